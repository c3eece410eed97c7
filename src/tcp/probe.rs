//! The clock of a client without timestamps: a byte that it has long had.
//!
//! A client with SACK answers a segment that it has already at once, with an ACK whose first block is that
//! segment (D-SACK, RFC 2883): it gives a sequence number of our choice back, once. So behind the
//! segments of a stored response goes a **probe**, a segment of one byte whose place, counted back from
//! the end of what was sent, is the connection's keyed base and where in the data set that was:
//!
//! ```text
//!   end of what was sent - 1 - place of the probe = base + block * 2^14    (mod 2^31)
//! ```
//!
//! A client that has not got everything counts from further back, by less than 2^14, which tells how
//! much it is missing. A block is 2^14 bytes of the response; what is below that the mark in the cookie tells.
//!
//! There is one probe for one round trip, and one answer to it, so nothing multiplies. Where it is lost, the
//! client's timer makes it send its request again. That is answered with segments as well, but the probe that
//! goes with them only asks, by its two bytes, whether the client is still there: were it on its way already,
//! there would be two clocks.

use super::Segment;
use super::transfer::{Sacked, cut, depart, missing};
use crate::app::{App, Position};
use crate::cookie::Claims;
use crate::http::Response;
use crate::reply::{Probe, ProbeKind, Reply};
use crate::verdict::{Absorbed, ReplyKind, Verdict};
use crate::wire::seq::SeqNumber;
use crate::wire::tcp::{Flags, SackBlocks};

/// Bytes of a block: more than are under way.
const BLOCK_SHIFT: u32 = 14;

/// The most bytes that one probe can tell of.
pub(super) const PROBED_MAX: u32 = (1 << BLOCK_SHIFT) - 1;

/// Positions of a block.
const BLOCK_POSITIONS: u32 = Position::BLOCK as u32;

const _: () = assert!(Position::BLOCK * Position::UNIT == 1 << BLOCK_SHIFT);

/// How many bits of a block's number fit.
const BLOCK_BITS: u32 = 31 - BLOCK_SHIFT;

/// Of those, the number of the data set's version, as it stands on top of a position.
const GENERATION_BITS: u32 = 2;
const POSITION_BITS: u32 = 25;

/// The block of a position, unless that is too far behind the start of its version of the data set.
fn block_of(position: Position) -> Option<u32> {
    let generation = position.value() >> (POSITION_BITS - GENERATION_BITS);
    let within = (position.value() & ((1 << (POSITION_BITS - GENERATION_BITS)) - 1)) / BLOCK_POSITIONS;
    (within >> (BLOCK_BITS - GENERATION_BITS) == 0).then_some(generation << (BLOCK_BITS - GENERATION_BITS) | within)
}

/// Its first position.
fn position_of(block: u32) -> Option<Position> {
    let generation = block >> (BLOCK_BITS - GENERATION_BITS);
    let within = block & ((1 << (BLOCK_BITS - GENERATION_BITS)) - 1);
    Position::new((generation << (POSITION_BITS - GENERATION_BITS)) + within * BLOCK_POSITIONS)
}

const CIRCLE: u32 = (1 << 31) - 1;

impl<'a> Segment<'_, 'a> {
    /// The probe for a client at `now`, to whom everything up to `end` has been sent of the response that is
    /// stored at `first` and begins at `start`.
    pub(super) fn probe(
        &self,
        kind: ProbeKind,
        first: Position,
        start: SeqNumber,
        now: u32,
        end: u32,
    ) -> Option<Probe> {
        if !first.value().is_multiple_of(BLOCK_POSITIONS) || end - now > PROBED_MAX {
            return None;
        }
        let position = Position::new(first.value().checked_add(now / Position::UNIT as u32)?)?;
        let back = self.identity.timestamp_base.wrapping_add(block_of(position)? << BLOCK_SHIFT) & CIRCLE;
        Some(Probe { seq: start.advance(end).rewind(1).rewind(back), kind })
    }

    /// An ACK whose first block is a probe of ours.
    pub(super) fn answer_probe<A: App>(&self, app: &'a A) -> Result<Reply<'a>, Verdict> {
        if !self.clocks() {
            return Err(Absorbed::Ack.into());
        }
        let blocks = SackBlocks::parse(self.options());
        let Some((&(from, to), rest)) = blocks.as_slice().split_first() else {
            return Err(Absorbed::Ack.into());
        };
        let kind = match to.distance_from(from) {
            1 => ProbeKind::Clock,
            2 => ProbeKind::Check,
            _ => return Err(Absorbed::Progress.into()),
        };
        self.probed(kind, from, rest, app).unwrap_or(Err(Absorbed::Progress.into()))
    }

    /// The next window of a client that gives back the probe at `place`. `None` if it cannot be ours.
    fn probed<A: App>(
        &self,
        kind: ProbeKind,
        place: SeqNumber,
        blocks: &[(SeqNumber, SeqNumber)],
        app: &'a A,
    ) -> Option<Result<Reply<'a>, Verdict>> {
        let back = self.header.ack.rewind(1).distance_from(place);
        let told = back.wrapping_sub(self.identity.timestamp_base) & CIRCLE;
        let block = told.div_ceil(1 << BLOCK_SHIFT);
        let behind = (block << BLOCK_SHIFT) - told;
        let position = position_of(block)?;
        let response = app.stored(position)?;
        let first = response.position()?;
        let floor = position.value().checked_sub(first.value())?.checked_mul(Position::UNIT as u32)?;
        let now = self.identity.offset(self.header.ack, floor);
        let start = self.header.ack.rewind(now);
        let claims = Claims::of(start.rewind(1));
        let (segment, len) = (self.segment_len(claims.mss), u32::try_from(response.len()).ok()?);
        let sent = now.checked_add(behind)?;
        let is_boundary = |offset: u32| offset == len + 1 || offset.is_multiple_of(segment);
        let live = app.generations().live >> claims.generation & 1 == 1;
        if !live || sent > len + 1 || !is_boundary(now) || !is_boundary(sent) {
            return None;
        }
        let mut sacked = Sacked::NONE;
        if !sacked.fill(blocks, start, now, len) {
            return None;
        }
        Some(self.go_on_probed(kind, response, first, start, now, sent, &sacked, segment))
    }

    #[expect(clippy::too_many_arguments, reason = "all that the probe has told")]
    fn go_on_probed(
        &self,
        kind: ProbeKind,
        response: Response<'a>,
        first: Position,
        start: SeqNumber,
        now: u32,
        sent: u32,
        sacked: &Sacked,
        segment: u32,
    ) -> Result<Reply<'a>, Verdict> {
        let len = response.len() as u32;
        if now > len {
            return Ok(self.acknowledge(ReplyKind::Settled, Flags::ACK));
        }
        let edge = now.saturating_add(self.header.window.into());
        let end = cut(now.saturating_add(self.first_window(segment)), edge, segment, len);
        // As old an acknowledgement as is still taken (RFC 5961, section 5.2): the request stays whole.
        let ack = self.header.seq.rewind(self.window().into());
        let mut train = self.train(response, start, segment, ack, self.window());
        match kind {
            ProbeKind::Clock => train.ranges = missing(now, end, sacked),
            // What went with it is under way.
            ProbeKind::Check if sent == now => {}
            ProbeKind::Check => return Err(Absorbed::Progress.into()),
        }
        if end <= now {
            return Err(Absorbed::Progress.into());
        }
        train.probe = self.probe(ProbeKind::Clock, first, start, now, end);
        depart(ReplyKind::NextWindow, train)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[quickcheck_macros::quickcheck]
    fn a_block_tells_its_position(units: u32) -> bool {
        let Some(position) = Position::new(units % Position::COUNT) else { return false };
        block_of(position).is_none_or(|block| {
            let first = position_of(block).unwrap().value();
            block < 1 << BLOCK_BITS && (first..first + BLOCK_POSITIONS).contains(&position.value())
        })
    }

    #[test]
    fn half_a_gigabyte_of_each_version_has_blocks() {
        let in_version = |generation: u32, bytes: usize| {
            block_of(Position::new((generation << 23) + (bytes / Position::UNIT) as u32).unwrap())
        };
        for generation in 0..4 {
            assert!(in_version(generation, 0).is_some() && in_version(generation, (1 << 29) - 1).is_some());
            assert!(in_version(generation, 1 << 29).is_none());
        }
    }
}
