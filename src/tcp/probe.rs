//! Probes: the ACK clock of a client without timestamps.
//!
//! A client with SACK answers a segment that it has received already at once, with an ACK whose first block is that
//! segment (D-SACK; RFC 2883, section 4; RFC 9293, section 3.10.7.4). So it echoes a sequence number of our choice,
//! once. A **probe** is a segment of old bytes, acknowledged long ago (RFC 9293, section 3.8.1), that is sent along
//! with the segments of a stored response. Its distance from the end of what has been sent encodes the connection's
//! keyed base and where in the data set that end is:
//!
//! ```text
//!   end of what was sent - 1 - sequence number of the probe = margin + (base + block * 2^14) mod (2^31 - 2 margins)
//!                                                             - kind
//! ```
//!
//! The ACK of a client that is missing something counts from further back, by less than 3 * 2^14, which tells how much
//! is missing. A block is 2^14 bytes of the response; the low bits come from the mark in the cookie. So three blocks
//! fit what comes back, each with another amount that is missing, and a fourth if the client has more than had been
//! sent with the probe; of these one is a number of full segments. Their sizes are multiples of eight, so there is room
//! for eight kinds of probes: an ACK clock tells the congestion window as well. The probe is as long as the request, so
//! that the ACK that it draws tells where the request begins, and the request can be left unacknowledged.
//!
//! There is one **ACK clock** for a round trip, and one answer to it. A network may duplicate it, but it is sent ahead
//! of its window's last segment: of two windows with a clock, the second finds that segment received, and is not
//! answered. So nothing multiplies. The clock may get lost, so a **spare** is sent behind that segment. It is answered
//! with a **check**, which finds out whether the client has received nothing for another round trip. Only then the
//! clock has stopped, and is started again. A retransmitted request draws segments and a check as well: were a clock in
//! flight already, there would be two.

use super::ranges::{SackRanges, is_end, last_boundary};
use super::segment::{PROBED_MAX, Segment, probed_segments};
use crate::app::{App, Generations};
use crate::cookie::CookieFields;
use crate::http::Response;
use crate::position::Position;
use crate::reply::{Payload, Probe, ProbeOrder, Reply};
use crate::stamp::{Exchange, Ways, WindowLevel, WindowSchedule};
use crate::verdict::{Absorbed, ReplyKind};
use crate::wire::ip::Pair;
use crate::wire::seq::SeqNumber;
use crate::wire::tcp::{Flags, SackBlocks};

/// Bytes of a block.
const BLOCK_SHIFT: u32 = 14;

/// Blocks that fit what a probe tells: more may be in flight than a block has.
const BLOCKS_PROBED: i32 = ((PROBED_MAX + 1) >> BLOCK_SHIFT).cast_signed();

// From the start of the block that a client was in, it has come less far than the mark tells, which has 16 bits.
const _: () = assert!(PROBED_MAX + (1 << BLOCK_SHIFT) <= u16::MAX as u32);

/// Positions of a block.
const BLOCK_POSITIONS: u32 = Position::BLOCK as u32;

const _: () = assert!(Position::BLOCK * Position::UNIT == 1 << BLOCK_SHIFT);

/// Blocks of each generation that have a number.
const BLOCKS: u32 = 1 << (31 - BLOCK_SHIFT - 2);

const _: () = assert!(Generations::COUNT == 4);

/// The block of a position, unless it is too far from the start of its version of the data set.
fn block_of(position: Position) -> Option<u32> {
    let within = position.value() % Position::PER_GENERATION / BLOCK_POSITIONS;
    let block = u32::from(position.generation()) * BLOCKS + within;
    (within < BLOCKS && block < CIRCLE >> BLOCK_SHIFT).then_some(block)
}

/// The first position of a block.
fn position_of(block: u32) -> Option<Position> {
    Position::new(block / BLOCKS * Position::PER_GENERATION + block % BLOCKS * BLOCK_POSITIONS)
}

/// The least distance of a probe: far from any window.
const MARGIN: u32 = 1 << 17;

/// The range of distances: half of all sequence numbers lie behind a client's acknowledgement.
const CIRCLE: u32 = (1 << 31) - 2 * MARGIN;

/// What a probe is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ProbeKind {
    /// Draws the next window: when it is answered, what was sent ahead of it has arrived or is lost. It tells the
    /// congestion window where that ends.
    AckClock(WindowLevel),
    /// Replaces the clock if that is lost.
    Spare,
    /// Finds out whether the client still has what it had a round trip ago.
    Check,
}

impl ProbeKind {
    /// Segments are a multiple of eight, and so is how much of them is missing.
    const MASK: u32 = 0b111;

    fn number(self) -> u32 {
        match self {
            Self::Check => 0,
            Self::Spare => 1,
            Self::AckClock(level) => 2 + level.probed_index(),
        }
    }

    fn of_number(number: u32) -> Self {
        match number {
            0 => Self::Check,
            1 => Self::Spare,
            _ => Self::AckClock(WindowLevel::of_probed_index(number - 2)),
        }
    }
}

/// What the probes of one reply have in common: the response, its client, and their length, which is that of the
/// request.
#[derive(Clone, Copy)]
pub(super) struct Probes {
    /// The position of the response.
    pub(super) first: Position,
    /// The sequence number of its first byte.
    pub(super) start: SeqNumber,
    /// What the client has acknowledged.
    pub(super) acked: u32,
    pub(super) seg_size: u32,
    pub(super) request_len: u32,
}

impl Probes {
    /// An ACK clock and its spare, behind segments up to `end`, where the congestion window has this level.
    pub(super) fn clock<P: Pair>(&self, segment: &Segment<'_, P>, end: u32, level: WindowLevel) -> [Option<Probe>; 2] {
        [ProbeKind::AckClock(level), ProbeKind::Spare].map(|kind| self.probe(segment, kind, end))
    }

    /// A check.
    pub(super) fn check<P: Pair>(&self, segment: &Segment<'_, P>) -> [Option<Probe>; 2] {
        [self.probe(segment, ProbeKind::Check, self.acked), None]
    }

    /// A probe, when all segments up to `sent` have been sent.
    fn probe<P: Pair>(&self, segment: &Segment<'_, P>, kind: ProbeKind, sent: u32) -> Option<Probe> {
        let Self { first, start, acked, seg_size, request_len } = *self;
        let end = sent.next_multiple_of(seg_size);
        let len = u16::try_from(request_len).ok().filter(|&len| len <= Probe::LEN_MAX)?;
        if segment.has_timestamps() {
            return None;
        }
        if !first.value().is_multiple_of(BLOCK_POSITIONS) || end - acked > PROBED_MAX {
            return None;
        }
        let position = Position::new(first.value().checked_add(acked / Position::UNIT as u32)?)?;
        let number = u64::from(segment.keys.timestamp_base) + (u64::from(block_of(position)?) << BLOCK_SHIFT);
        let back = MARGIN + (number % u64::from(CIRCLE)) as u32;
        let back = back - kind.number();
        let seq = start.advance(end).rewind(1).rewind(back);
        let order = match kind {
            ProbeKind::AckClock(_) => ProbeOrder::BeforeLast,
            ProbeKind::Spare => ProbeOrder::AfterAll,
            ProbeKind::Check => ProbeOrder::BeforeAll,
        };
        Some(Probe { seq, len, order, stamp: None })
    }
}

/// A probe that came back as a D-SACK block, and all that it tells. Offsets count from the start of the response.
pub(super) struct ProbeEcho<'f, 'a, P> {
    /// The ACK that it came in.
    segment: Segment<'f, P>,
    kind: ProbeKind,
    request_len: u32,
    response: Response<'a>,
    /// The position of the response.
    first: Position,
    /// The sequence number of its first byte.
    start: SeqNumber,
    /// What the client has acknowledged.
    acked: u32,
    /// Up to where segments had been sent.
    sent: u32,
    sacked: SackRanges,
    /// Bytes of payload in a full segment.
    seg_size: u32,
}

/// Answers an ACK without timestamps: if it brings a probe back, with the next window.
pub(super) fn answer<'a, A: App, P: Pair>(segment: &Segment<'_, P>, app: &'a A) -> Reply<'a> {
    if !segment.is_ack_clocked() {
        return Absorbed::Ack.into();
    }
    let blocks = SackBlocks::parse(segment.options());
    if blocks.as_slice().is_empty() {
        return Absorbed::Ack.into();
    }
    match ProbeEcho::read(segment, blocks.as_slice(), app) {
        Some(echo) => echo.answer(),
        None => Absorbed::Progress.into(),
    }
}

/// Whether the segment brings a probe back that is ours.
pub(super) fn is_echoed<A: App, P: Pair>(segment: &Segment<'_, P>, app: &A) -> bool {
    let blocks = SackBlocks::parse(segment.options());
    segment.is_ack_clocked() && ProbeEcho::read(segment, blocks.as_slice(), app).is_some()
}

impl<'f, 'a, P: Pair> ProbeEcho<'f, 'a, P> {
    /// What an ACK tells whose first block is a probe. `None` if that cannot be ours, or if two are possible.
    fn read<A: App>(segment: &Segment<'f, P>, blocks: &[(SeqNumber, SeqNumber)], app: &'a A) -> Option<Self> {
        let (&(probe, to), blocks) = blocks.split_first()?;
        let request_len = to.distance_from(probe);
        if request_len > Probe::LEN_MAX.into() {
            return None;
        }
        let back = segment.header.ack().rewind(1).distance_from(probe);
        let base = segment.keys.timestamp_base % CIRCLE;
        let number = back.checked_add(CIRCLE)?.checked_sub(MARGIN)?.checked_sub(base)? % CIRCLE;
        let nearest = number.div_ceil(1 << BLOCK_SHIFT);
        let nearest_behind = ((nearest << BLOCK_SHIFT) - number).cast_signed();
        let mut found = (-1..BLOCKS_PROBED).filter_map(|further| {
            let block = nearest.checked_add_signed(further).unwrap_or((CIRCLE >> BLOCK_SHIFT) - 1);
            let position = position_of(block % (CIRCLE >> BLOCK_SHIFT))?;
            Self::read_from(segment, (request_len, blocks), position, nearest_behind + (further << BLOCK_SHIFT), app)
        });
        found.next().filter(|_| found.next().is_none())
    }

    /// What such an ACK tells if the probe names the block that begins at `position`, and the client is so far behind
    /// what had been sent; or ahead, if something else drew more.
    fn read_from<A: App>(
        segment: &Segment<'f, P>,
        (request_len, blocks): (u32, &[(SeqNumber, SeqNumber)]),
        position: Position,
        behind: i32,
        app: &'a A,
    ) -> Option<Self> {
        let kind = ProbeKind::of_number(behind.cast_unsigned() & ProbeKind::MASK);
        let behind = behind & !ProbeKind::MASK.cast_signed();
        let ack = segment.header.ack();
        let response = app.stored(position)?;
        let first = response.position()?;
        let floor = position.value().checked_sub(first.value())?.checked_mul(Position::UNIT as u32)?;
        let acked = segment.keys.offset(ack, floor);
        let start = ack.rewind(acked);
        let fields = CookieFields::of(start.rewind(1), false);
        let (seg_size, len) = (segment.seg_size(fields.mss), u32::try_from(response.len()).ok()?);
        let sent = acked.checked_add_signed(behind)?;
        let is_boundary = is_end(acked, len) || acked.is_multiple_of(seg_size);
        let possible = sent <= (len + 1).next_multiple_of(seg_size) && sent.is_multiple_of(seg_size);
        let is_of_version = app.generations().of(position) == Some(fields.generation);
        if !is_of_version || !is_boundary || !possible {
            return None;
        }
        let sacked = SackRanges::read(blocks, start, acked, len)?;
        Some(Self { segment: *segment, kind, request_len, response, first, start, acked, sent, sacked, seg_size })
    }

    fn answer(&self) -> Reply<'a> {
        let Self { segment, kind, request_len, response, first, start, acked, sent, ref sacked, seg_size } = *self;
        let len = response.len() as u32;
        if acked > len {
            return segment.acknowledge(ReplyKind::Settled, Flags::ACK);
        }
        let is_late = match kind {
            // The last segment is there already: the clock was duplicated or reordered. The spare will tell.
            ProbeKind::AckClock(_) => sent <= acked,
            ProbeKind::Check => sent != acked,
            ProbeKind::Spare => false,
        };
        // Nothing is in flight but the last segment, which goes behind the clock and is taken to arrive. A check tells
        // where the client is; what was sent behind what it has, if anything, is lost.
        let top = sacked.as_slice().last().map_or(acked, |&(_, end)| end);
        let (sent, arrived) = match kind {
            ProbeKind::AckClock(_) => (sent, sent.saturating_sub(seg_size)),
            // Behind the last byte stands the FIN alone.
            ProbeKind::Spare | ProbeKind::Check => (top.next_multiple_of(seg_size).min(top.max(len)), top),
        };
        let mut ranges = sacked.gaps(acked, arrived);
        let missing: u32 = ranges.iter().map(|&(from, to)| to.saturating_sub(from).div_ceil(seg_size)).sum();
        let level = match kind {
            ProbeKind::AckClock(level) if missing > 0 => self.reduced(level),
            ProbeKind::AckClock(level) => level,
            ProbeKind::Spare | ProbeKind::Check => WindowLevel::AFTER_CHECK,
        };
        let window_end = acked.saturating_add(segment.header.window().into());
        let wanted = match kind {
            ProbeKind::AckClock(_) => self.wanted(level, sent, missing),
            // A request that came again has drawn a first window as well as the check.
            _ => self.wanted(level, sent, missing).max(acked.saturating_add(segment.first_window(seg_size))),
        };
        let end = last_boundary(wanted, window_end, seg_size, len);
        if end <= acked || is_late {
            return Absorbed::Progress.into();
        }
        // The request stays whole.
        let ack = segment.header.seq().rewind(request_len);
        let mut train =
            segment.train(Payload::new(response.head(), response.body()), start, seg_size, ack, segment.window());
        let probes = Probes { first, start, acked, seg_size, request_len };
        if kind == ProbeKind::Spare {
            train.probes = probes.check(&segment);
            return segment.send(ReplyKind::Probe, train);
        }
        // A block told of the probe, so there is room.
        if let Some(last) = ranges.last_mut() {
            *last = (sent, end);
        }
        train.ranges = ranges;
        if train.is_empty() {
            return Absorbed::Progress.into();
        }
        train.budget = train.budget.max(Exchange::UNSCALED + 1);
        let end = end.max(sent);
        let congestion = segment.config.congestion;
        let cap = WindowLevel::PROBED_MAX;
        let schedule = WindowSchedule { origin: sent, level, cap, ways: Ways::Only, congestion, pair: seg_size };
        train.probes = probes.clock(&segment, end, schedule.level_at(end));
        segment.send(ReplyKind::NextWindow, train)
    }

    /// Up to where segments are wanted at this level behind those up to `sent`, when so many of these are missing and
    /// go again: one at least, or the clock would have none that it could go ahead of. A probe can tell no more.
    fn wanted(&self, level: WindowLevel, sent: u32, missing: u32) -> u32 {
        let Self { acked, seg_size, .. } = *self;
        let most = acked.saturating_add((probed_segments(seg_size) + 1).saturating_mul(seg_size));
        let new = self.segments(level).saturating_sub(missing).max(1);
        sent.saturating_add(new.saturating_mul(seg_size)).min(most)
    }

    /// Segments that are in flight at this level.
    fn segments(&self, level: WindowLevel) -> u32 {
        let Self { segment, sent, seg_size, .. } = *self;
        let ceiling = segment.config.ceiling.min(Exchange::UNSCALED);
        level.segments(sent / seg_size, segment.config.first_window, ceiling)
    }

    /// The level after a loss at this one.
    fn reduced(&self, level: WindowLevel) -> WindowLevel {
        let reduced = WindowLevel::reduced(self.segments(level), self.segment.config.congestion);
        reduced.min(WindowLevel::PROBED_MAX)
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
    fn half_a_gigabyte_of_each_version_has_blocks_but_for_the_end_of_the_last_one() {
        let in_version = |generation: u32, bytes: usize| {
            block_of(Position::new(generation * Position::PER_GENERATION + (bytes / Position::UNIT) as u32).unwrap())
        };
        for generation in 0..4 {
            let end = (1 << 29) - if generation < 3 { 0 } else { 2 * MARGIN as usize };
            assert!(in_version(generation, 0).is_some() && in_version(generation, end - 1).is_some());
            assert!(in_version(generation, end).is_none());
        }
    }
}
