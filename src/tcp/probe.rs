//! The clock of a client without timestamps: a byte that it has long had.
//!
//! A client with SACK answers a segment that it has already at once, with an ACK whose first block is that
//! segment (D-SACK, RFC 2883): it gives a sequence number of our choice back, once. So behind the
//! segments of a stored response goes a **probe**, a segment of one byte whose place, counted back from
//! the end of what was sent, is the connection's keyed base and where in the data set that was:
//!
//! ```text
//!   end of what was sent - 1 - place of the probe = margin + (base + block * 2^14) mod (2^31 - 2 margins)
//! ```
//!
//! A client that has not got everything counts from further back, by less than 2^14, which tells how
//! much it is missing. A block is 2^14 bytes of the response; what is below that the mark in the cookie tells.
//! The probe is as long as the request, so that what is sent for it can leave all of that unacknowledged.
//!
//! There is one such **clock** for one round trip, and one answer to it. A network may double it, but the clock
//! goes ahead of its window's last segment: of two windows with a clock, the second finds that segment there, and
//! is not answered. So nothing multiplies. The clock may get lost, so a **spare** goes behind that segment. That is answered with a **check**: whether the client is, a round trip later,
//! still where it was. Only then the clock has stopped, and is started again. A client whose timer expired
//! gets segments, and a check as well: were it on its way already, there would be two clocks.

use super::Segment;
use super::transfer::{Sacked, cut, is_end, missing};
use crate::app::{App, Generations, Position};
use crate::cookie::CookieFields;
use crate::http::Response;
use crate::reply::{Probe, Reply, Turn};
use crate::verdict::{Absorbed, ReplyKind, Verdict};
use crate::wire::ip::Pair;
use crate::wire::seq::SeqNumber;
use crate::wire::tcp::{Flags, SackBlocks};

/// Bytes of a block: more than are under way.
const BLOCK_SHIFT: u32 = 14;

/// The most bytes that one probe can tell of.
pub(super) const PROBED_MAX: u32 = (1 << BLOCK_SHIFT) - 1;

/// Positions of a block.
const BLOCK_POSITIONS: u32 = Position::BLOCK as u32;

const _: () = assert!(Position::BLOCK * Position::UNIT == 1 << BLOCK_SHIFT);

/// Blocks of each version of a data set that have a number.
const BLOCKS: u32 = 1 << (31 - BLOCK_SHIFT - 2);

const _: () = assert!(Generations::COUNT == 4);

/// The block of a position, unless that is too far behind the start of its version of the data set.
fn block_of(position: Position) -> Option<u32> {
    let generation = position.value() / Position::PER_GENERATION;
    let within = position.value() % Position::PER_GENERATION / BLOCK_POSITIONS;
    (within < BLOCKS).then_some(generation * BLOCKS + within)
}

/// Its first position.
fn position_of(block: u32) -> Option<Position> {
    Position::new(block / BLOCKS * Position::PER_GENERATION + block % BLOCKS * BLOCK_POSITIONS)
}

/// How far back a probe is at least: nothing near a window.
const MARGIN: u32 = 1 << 17;

/// How much further it can be: half the circle of sequence numbers is what lies behind a client.
const CIRCLE: u32 = (1 << 31) - 2 * MARGIN;

/// What a probe is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ProbeKind {
    /// When it is answered, what went ahead of it has arrived or is lost.
    Clock,
    /// The same, in case the clock is lost.
    Spare,
    /// Whether the client is still where it was.
    Check,
}

impl ProbeKind {
    /// Segments are a multiple of four, and so is how much of them is missing.
    const ALL: [Self; 3] = [Self::Clock, Self::Spare, Self::Check];
    const MASK: u32 = 0b11;
}

/// All that an answered probe has told. Offsets count from the start of the response.
struct Told<'a> {
    kind: ProbeKind,
    request_len: u32,
    response: Response<'a>,
    /// Where the response begins,
    first: Position,
    /// and the sequence number of its first byte.
    start: SeqNumber,
    /// Where the client is,
    now: u32,
    /// and up to where segments had been sent.
    sent: u32,
    sacked: Sacked,
    /// Bytes in a full segment.
    segment: u32,
}

impl<'a, P: Pair> Segment<'a, P> {
    /// The probe for a client at `now`, to whom all segments up to `end` have been sent of the response that
    /// is stored at `first` and begins at `start`.
    pub(super) fn probe(
        self,
        kind: ProbeKind,
        first: Position,
        start: SeqNumber,
        now: u32,
        end: u32,
        request_len: usize,
    ) -> Option<Probe> {
        let len = u16::try_from(request_len).ok().filter(|&len| len <= Probe::LEN_MAX)?;
        if self.header.options.timestamps.is_some() {
            return None;
        }
        if !first.value().is_multiple_of(BLOCK_POSITIONS) || end - now > PROBED_MAX {
            return None;
        }
        let position = Position::new(first.value().checked_add(now / Position::UNIT as u32)?)?;
        let place = u64::from(self.keys.timestamp_base) + (u64::from(block_of(position)?) << BLOCK_SHIFT);
        let back = MARGIN + (place % u64::from(CIRCLE)) as u32;
        let back = back - kind as u32;
        let seq = start.advance(end).rewind(1).rewind(back);
        let turn = match kind {
            ProbeKind::Clock => Turn::BeforeLast,
            ProbeKind::Spare => Turn::Last,
            ProbeKind::Check => Turn::First,
        };
        Some(Probe { seq, len, turn })
    }

    /// An ACK whose first block is a probe of ours.
    pub(super) fn answer_probe<A: App>(self, app: &'a A) -> Result<Reply<'a>, Verdict> {
        if !self.clocks() {
            return Err(Absorbed::Ack.into());
        }
        let blocks = SackBlocks::parse(self.options());
        if blocks.as_slice().is_empty() {
            return Err(Absorbed::Ack.into());
        }
        self.told(blocks.as_slice(), app).map_or(Err(Absorbed::Progress.into()), |told| self.go_on_probed(&told))
    }

    /// Whether its client gives a probe of ours back.
    pub(super) fn is_probed<A: App>(self, app: &'a A) -> bool {
        self.clocks() && self.told(SackBlocks::parse(self.options()).as_slice(), app).is_some()
    }

    /// What a client tells whose first block is a probe. `None` if it cannot be ours.
    fn told<A: App>(self, blocks: &[(SeqNumber, SeqNumber)], app: &'a A) -> Option<Told<'a>> {
        let (&(place, to), blocks) = blocks.split_first()?;
        let request_len = to.distance_from(place);
        if request_len > Probe::LEN_MAX.into() {
            return None;
        }
        let back = self.header.ack().rewind(1).distance_from(place);
        let base = self.keys.timestamp_base % CIRCLE;
        let told = back.checked_add(CIRCLE)?.checked_sub(MARGIN)?.checked_sub(base)? % CIRCLE;
        let block = told.div_ceil(1 << BLOCK_SHIFT);
        let behind = (block << BLOCK_SHIFT) - told;
        let kind = *ProbeKind::ALL.get((behind & ProbeKind::MASK) as usize)?;
        let behind = behind & !ProbeKind::MASK;
        let position = position_of(block % (CIRCLE >> BLOCK_SHIFT))?;
        let response = app.stored(position)?;
        let first = response.position()?;
        let floor = position.value().checked_sub(first.value())?.checked_mul(Position::UNIT as u32)?;
        let now = self.keys.offset(self.header.ack(), floor);
        let start = self.header.ack().rewind(now);
        let fields = CookieFields::of(start.rewind(1));
        let (segment, len) = (self.segment_len(fields.mss), u32::try_from(response.len()).ok()?);
        let sent = now.checked_add(behind)?;
        let live = app.generations().live >> fields.generation & 1 == 1;
        let is_boundary = is_end(now, len) || now.is_multiple_of(segment);
        let possible = sent <= (len + 1).next_multiple_of(segment) && sent.is_multiple_of(segment);
        if !live || !is_boundary || !possible {
            return None;
        }
        let mut sacked = Sacked::NONE;
        if !sacked.fill(blocks, start, now, len) {
            return None;
        }
        Some(Told { kind, request_len, response, first, start, now, sent, sacked, segment })
    }

    fn go_on_probed(self, told: &Told<'a>) -> Result<Reply<'a>, Verdict> {
        let Told { kind, request_len, response, first, start, now, sent, ref sacked, segment } = *told;
        let len = response.len() as u32;
        if now > len {
            return Ok(self.acknowledge(ReplyKind::Settled, Flags::ACK));
        }
        let edge = now.saturating_add(self.header.window().into());
        // The clock went ahead of the last segment, which is taken to arrive.
        let (base, from) = match kind {
            ProbeKind::Clock => (sent.min(now + segment), sent),
            ProbeKind::Spare | ProbeKind::Check => (now, now),
        };
        let end = cut(base.saturating_add(self.first_window(segment)), edge, segment, len);
        // The request stays whole.
        let ack = self.header.seq().rewind(request_len);
        let mut train = self.train(response, start, segment, ack, self.window());
        let probe =
            |kind, sent: u32| self.probe(kind, first, start, now, sent.next_multiple_of(segment), request_len as usize);
        let is_late = match kind {
            // Behind the last segment: it was doubled, or overtaken. The spare will tell.
            ProbeKind::Clock => sent == now,
            ProbeKind::Check => sent != now,
            ProbeKind::Spare => false,
        };
        if end <= now || is_late {
            return Err(Absorbed::Progress.into());
        }
        if kind == ProbeKind::Spare {
            train.probes = [probe(ProbeKind::Check, now), None];
            return self.depart(ReplyKind::Probe, train);
        }
        if kind == ProbeKind::Clock {
            train.ranges = missing(now, sent - segment, sacked);
            // A block told of the probe, so there is room.
            if let Some(last) = train.ranges.last_mut() {
                *last = (from, end);
            }
        } else {
            train.ranges = missing(now, end, sacked);
        }
        if train.is_empty() {
            return Err(Absorbed::Progress.into());
        }
        let end = end.max(sent);
        train.probes = [probe(ProbeKind::Clock, end), probe(ProbeKind::Spare, end)];
        self.depart(ReplyKind::NextWindow, train)
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
            block < 4 * BLOCKS && (first..first + BLOCK_POSITIONS).contains(&position.value())
        })
    }

    #[test]
    fn half_a_gigabyte_of_each_version_has_blocks() {
        let in_version = |generation: u32, bytes: usize| {
            block_of(Position::new(generation * Position::PER_GENERATION + (bytes / Position::UNIT) as u32).unwrap())
        };
        for generation in 0..4 {
            assert!(in_version(generation, 0).is_some() && in_version(generation, (1 << 29) - 1).is_some());
            assert!(in_version(generation, 1 << 29).is_none());
        }
    }
}
