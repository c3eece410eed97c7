//! What our timestamps say. They do not tell the time (RFC 7323, section 5.4): a client only compares and echoes them,
//! so they carry what it is to remember for us.
//!
//! A timestamp is the connection's keyed base plus a stamp, and a stamp is one of
//!
//! ```text
//!   0 .. 2^17      SYN+ACK: 16 bits that depend on the client's initial sequence number, and a bit that
//!                  says that it does not take SACK
//!   2^17           a response in one segment
//!   2^17 + 1 ..    a segment of a response that is not stored: 16 bits that depend on where its request begins
//!   2^17 + 1 + 2^16 the acknowledgement of a client that has all of such a response
//!   .. 2^18        a segment of such a response, not the first of its connection: 16 bits that depend on where its
//!                  request begins, and on where it begins itself
//!   2^18 + segment a segment of a stored response, whose connection ends with it:
//!
//!    29                           6 5     3 2      1 0
//!   +------------------------------+-------+--------+-+
//!   | position of the segment      | level | reason |n|     n: narrow
//!   +------------------------------+-------+--------+-+
//!
//!   2^30 + 2^18 .. a segment of a stored response, whose connection stays open: the same in mixed radix, with
//!                  positions of 1,024 bytes, and whether the response is the first of its connection
//!   2^31 - 9 * 2^24 .. the end of a response after which the connection stays open: 22 bits that depend on both next
//!                  sequence numbers, the version of the data set, and the client's MSS
//! ```
//!
//! Along a response the position grows, and with it the timestamp, as a client demands (RFC 7323, section
//! 5.2: an older one is a duplicate). A stamp is below 2^31, so the first is never newer than the last.
//!
//! On a connection that stays open there is no last one: the next timestamp is the smallest that is not before the
//! one that the client echoes, and whose low 31 bits are the stamp. It is less than 2^31 ahead, which a client takes
//! for newer, so any number of responses can follow one another, round the circle ([`Stamp::following`]).

use crate::cookie::{KEPT_PROOF_BITS, Mss, SegmentClass};
use crate::position::Position;

/// Bits of proof that a client gives back of its initial sequence number.
const PROOF_SHIFT: u32 = 1;
const WHOLE: u32 = 1 << 17;
const PART: u32 = WHOLE + 1;
const DONE: u32 = PART + (1 << 16);
const LATER_PART: u32 = DONE + 1;
const STORED: u32 = 1 << 18;
/// Half the circle of timestamps: the bit that stamps leave free.
const HALF: u32 = 1 << 31;
/// Stamps of segments of stored responses whose connections stay open: position, exchange, window and reason, in mixed
/// radix.
const OPEN: u32 = (1 << 30) + (1 << 18);
/// Exchanges of such connections: the first one, and a later one with segments of either class.
const OPEN_EXCHANGES: u32 = 3;
/// Windows: eight levels, and four for narrow paths.
const OPEN_WINDOWS: u32 = 12;
const OPEN_REASONS: u32 = 3;
/// The highest level on a narrow path.
const NARROW_LEVEL_MAX: u8 = 3;
/// Stamps of ends of responses whose connections stay open: proof, generation, and MSS, in mixed radix.
const KEPT: u32 = HALF - (KEPT_SIZES << (KEPT_PROOF_BITS + GENERATION_BITS));
const GENERATION_BITS: u32 = 2;
/// The MSS values but the smallest, and the two classes of [`SegmentClass`] behind a long response.
const KEPT_SIZES: u32 = 9;
const POSITION_SHIFT: u32 = 6;

const _: () = assert!(STORED + (Position::COUNT << POSITION_SHIFT) <= OPEN);
const _: () = assert!(OPEN + Position::COUNT / 2 * OPEN_EXCHANGES * OPEN_WINDOWS * OPEN_REASONS <= KEPT);
const LEVEL_SHIFT: u32 = 3;
const REASON_SHIFT: u32 = 1;

/// Bytes for which the window grows by one level, four segments, as a power of two: 32 kB. Between windows of four and
/// twelve segments that is the growth of congestion avoidance (RFC 5681, section 3.1).
const STEP_SHIFT: u32 = 15;

/// What a client has seen last, by the timestamp that it echoes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stamp {
    /// Our SYN+ACK, and nothing since.
    Handshake {
        /// What only the segment that follows its SYN can belong to.
        proof: u16,
        /// Whether it takes SACK.
        sack: bool,
    },
    /// A response in one segment.
    Whole,
    /// A segment of a response that is not stored.
    Part {
        /// What only the start of its request can belong to.
        proof: u16,
    },
    /// A segment of a response that ends a connection which was kept open before. Its number, below
    /// [`LATER_PARTS`](Self::LATER_PARTS), is what only this request and this response can have.
    LaterPart { proof: u16 },
    /// All of a response that is not stored, and that we know.
    Done,
    /// A segment of a stored one.
    Stored(SentSegment),
    /// All of a response, and the connection stays open.
    Kept(Kept),
}

/// What the end of a response says after which the connection stays open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Kept {
    /// What only the start of the next request can belong to.
    pub(crate) proof: u32,
    /// The version of the data set that was current.
    pub(crate) generation: u8,
    pub(crate) size: KeptSize,
}

/// What the end of a response says of its client's MSS, and of the request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum KeptSize {
    /// The MSS, which is not the smallest. The whole request is acknowledged.
    Mss(Mss),
    /// The response took several segments of this class, and the last byte of the request is to be acknowledged yet.
    Long(SegmentClass),
}

impl KeptSize {
    /// A number below [`KEPT_SIZES`].
    pub(crate) const fn index(self) -> u8 {
        match self {
            Self::Long(SegmentClass::Small) => 0,
            Self::Mss(mss) => mss.index(),
            Self::Long(SegmentClass::Large) => 8,
        }
    }

    const fn of_index(index: u8) -> Self {
        match index {
            0 => Self::Long(SegmentClass::Small),
            8 => Self::Long(SegmentClass::Large),
            mss => Self::Mss(Mss::of_index(mss)),
        }
    }
}

/// The place of a request on its connection, and what becomes of that behind the response.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Exchange {
    /// The only one: the connection ends with the response.
    Only,
    /// The first one. The connection stays open.
    First,
    /// One on a connection that was kept open, and stays so.
    Later(SegmentClass),
}

impl Exchange {
    const OPEN: [Self; OPEN_EXCHANGES as usize] =
        [Self::First, Self::Later(SegmentClass::Small), Self::Later(SegmentClass::Large)];
}

/// A segment of a stored response, and how it was sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SentSegment {
    /// Where it begins, rounded down to a position.
    pub(crate) position: Position,
    /// The congestion window it was sent under.
    pub(crate) level: WindowLevel,
    pub(crate) reason: SendReason,
    /// The path to the client does not carry full segments: each is sent in pieces.
    pub(crate) narrow: bool,
    pub(crate) exchange: Exchange,
}

/// Why a segment of a stored response was sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SendReason {
    /// New data, as the congestion window allows.
    NewData,
    /// New data that filled the client's receive window: nothing follows until that opens.
    WindowLimited,
    /// A retransmission of what the client's SACK blocks show to be missing.
    Retransmission,
    /// New data to a client without SACK, two segments at a time; the level tells which of the pair it is.
    Pair,
}

/// The congestion window (RFC 9293, section 3.8.2), in eight levels.
///
/// | level | segments in flight                              |
/// |-------|-------------------------------------------------|
/// | 0–6   | 4, 8, 12 … 28: there has been a loss            |
/// | 7     | slow start: there has been no loss              |
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct WindowLevel(u8);

impl WindowLevel {
    /// The first window, and one segment more for each that has been acknowledged (RFC 5681, section 3.1).
    pub(crate) const SLOW_START: Self = Self(7);
    /// After the client's window was closed.
    pub(crate) const LOWEST: Self = Self(0);

    /// The highest on a narrow path, on a connection that stays open: there is no room in a stamp for more.
    pub(crate) const NARROW_MAX: Self = Self(NARROW_LEVEL_MAX);

    /// To a client without SACK two segments are in flight, and the level tells them apart. This one is neither of the
    /// two: its ACK is not answered.
    pub(crate) const SILENT: Self = Self(0);
    /// The first of a pair.
    pub(crate) const FIRST: Self = Self(1);
    /// The second of a pair.
    pub(crate) const SECOND: Self = Self(2);
    /// The second of a pair, retransmitted.
    pub(crate) const SECOND_AGAIN: Self = Self(3);

    const LEVELS: u8 = 7;
    const LEVEL: u32 = 4;

    /// Segments in flight when `done` have been acknowledged.
    pub(crate) fn segments(self, done: u32, first_window: u8, ceiling: u8) -> u32 {
        let wanted = match self {
            Self::SLOW_START => u32::from(first_window).saturating_add(done),
            Self(level) => Self::LEVEL * (u32::from(level) + 1),
        };
        wanted.min(u32::from(ceiling)).max(1)
    }

    /// The highest level with at most so many segments in flight.
    pub(crate) fn at_most(segments: u32) -> Self {
        Self((segments / Self::LEVEL).clamp(1, Self::LEVELS.into()) as u8 - 1)
    }

    /// The level after a loss with so many segments in flight: the one that is nearest to 0.7 times as many, as CUBIC
    /// has it (RFC 9438), where RFC 5681, section 3.1, has half; and at least [`Self::FLOOR`].
    pub(crate) fn reduced(segments: u32) -> Self {
        let wanted = segments.saturating_mul(7) / 10;
        Self::at_most(wanted.saturating_add(Self::LEVEL / 2).max(Self::FLOOR))
    }

    /// After a loss no fewer segments are in flight. With four, a loss is hardly ever told by three segments behind
    /// it, and each lost ACK may stop the ACK clock, which the client's RTO has to start again.
    const FLOOR: u32 = 8;

    /// The level `steps` steps up, limited to `cap`. Slow start is not limited.
    pub(crate) fn stepped(self, steps: u32, cap: Self) -> Self {
        if self == Self::SLOW_START {
            return self;
        }
        let level = u32::from(self.0).saturating_add(steps).min(cap.0.into()) as u8;
        Self(level.max(self.0))
    }
}

impl SendReason {
    const ALL: [Self; 4] = [Self::NewData, Self::WindowLimited, Self::Retransmission, Self::Pair];
}

impl Stamp {
    /// How many numbers there are of a [`LaterPart`](Self::LaterPart).
    pub(crate) const LATER_PARTS: u32 = STORED - LATER_PART;

    /// What is added to the base.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "fast: inline")]
    pub(crate) fn value(self) -> u32 {
        match self {
            Self::Handshake { proof, sack } => u32::from(proof) << PROOF_SHIFT | u32::from(!sack),
            Self::Whole => WHOLE,
            Self::Part { proof } => PART + u32::from(proof),
            Self::LaterPart { proof } => LATER_PART + u32::from(proof),
            Self::Done => DONE,
            Self::Kept(kept) => kept.value(),
            Self::Stored(segment) => segment.value(),
        }
    }

    /// The stamp that is this far from the base, if we ever sent one. In the second half of the circle there are only
    /// those of connections that stay open, and what ends such a connection.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "fast: inline")]
    pub(crate) fn parse(value: u32) -> Option<Self> {
        match value {
            0..WHOLE => Some(Self::Handshake { proof: (value >> PROOF_SHIFT) as u16, sack: value & 1 == 0 }),
            WHOLE => Some(Self::Whole),
            _ => Self::parse_rarer(value),
        }
    }

    #[inline(never)]
    fn parse_rarer(value: u32) -> Option<Self> {
        Some(match value {
            PART..DONE => Self::Part { proof: (value - PART) as u16 },
            STORED..OPEN => {
                let segment = value.checked_sub(STORED)?;
                Self::Stored(SentSegment {
                    position: Position::new(segment >> POSITION_SHIFT)?,
                    level: WindowLevel((segment >> LEVEL_SHIFT & 7) as u8),
                    reason: SendReason::ALL.get((segment >> REASON_SHIFT & 3) as usize).copied()?,
                    narrow: segment & 1 == 1,
                    exchange: Exchange::Only,
                })
            }
            _ => match value & (HALF - 1) {
                within @ KEPT.. => Self::kept(within),
                within @ OPEN.. => Self::Stored(SentSegment::of_open(within - OPEN)?),
                within @ LATER_PART..STORED => Self::LaterPart { proof: (within - LATER_PART) as u16 },
                DONE => Self::Done,
                WHOLE => Self::Whole,
                _ => return None,
            },
        })
    }

    fn kept(value: u32) -> Self {
        let (number, size) = ((value - KEPT) / KEPT_SIZES, (value - KEPT) % KEPT_SIZES);
        let (proof, generation) = (number >> GENERATION_BITS, (number & 3) as u8);
        Self::Kept(Kept { proof, generation, size: KeptSize::of_index(size as u8) })
    }

    /// What is added to the base for a timestamp with this stamp that is not before the one that the client `echoed`,
    /// counted from the base as well.
    #[inline]
    pub(crate) fn following(self, echoed: u32) -> u32 {
        let value = self.value() | echoed & HALF;
        if value < echoed { value ^ HALF } else { value }
    }
}

/// The half of the circle that a timestamp lies in, which is so far from the base.
pub(crate) const fn half_of(value: u32) -> u32 {
    value & HALF
}

impl Kept {
    #[inline(never)]
    fn value(self) -> u32 {
        let Self { proof, generation, size } = self;
        let number = (proof & ((1 << KEPT_PROOF_BITS) - 1)) << GENERATION_BITS | u32::from(generation & 3);
        KEPT + number * KEPT_SIZES + u32::from(size.index())
    }
}

impl SentSegment {
    #[inline(never)]
    fn value(self) -> u32 {
        let Self { position, level, reason, narrow, exchange } = self;
        let exchange = match exchange {
            Exchange::Only => {
                return STORED
                    + (position.value() << POSITION_SHIFT
                        | u32::from(level.0) << LEVEL_SHIFT
                        | (reason as u32) << REASON_SHIFT
                        | u32::from(narrow));
            }
            Exchange::First => 0,
            Exchange::Later(SegmentClass::Small) => 1,
            Exchange::Later(SegmentClass::Large) => 2,
        };
        let window = if narrow { 8 + level.0.min(NARROW_LEVEL_MAX) } else { level.0 };
        let place = position.value() / 2 * OPEN_EXCHANGES + exchange;
        OPEN + (place * OPEN_WINDOWS + u32::from(window)) * OPEN_REASONS + reason as u32
    }

    /// The segment with this number, of a connection that stays open.
    fn of_open(number: u32) -> Option<Self> {
        let (place, rest) = (number / (OPEN_WINDOWS * OPEN_REASONS), number % (OPEN_WINDOWS * OPEN_REASONS));
        let window = (rest / OPEN_REASONS) as u8;
        Some(Self {
            position: Position::new(place / OPEN_EXCHANGES * 2)?,
            level: WindowLevel(window % 8),
            reason: SendReason::ALL.get((rest % OPEN_REASONS) as usize).copied()?,
            narrow: window >= 8,
            exchange: Exchange::OPEN.get((place % OPEN_EXCHANGES) as usize).copied()?,
        })
    }
}

/// The stamps of a train of segments, by their offset in the response.
#[derive(Clone, Copy, Debug)]
pub(crate) enum StampSequence {
    /// This for each: the response is not stored.
    Constant(u32),
    /// Position, window level and reason of each.
    Stored {
        /// Where the response begins.
        first: Position,
        schedule: WindowSchedule,
        reason: SendReason,
        /// Segments from this offset on fill the client's window: it has no room for two more behind them.
        limited_from: u32,
        /// They go in pieces.
        narrow: bool,
        exchange: Exchange,
    },
    /// For a client without SACK: all but the last two segments are silent.
    Pairs {
        /// Where the response begins.
        first: Position,
        /// Where the last pair begins.
        pair: u32,
        /// Whether this is a retransmission of the second of the pair.
        again: bool,
        seg_size: u32,
        narrow: bool,
    },
}

/// How the congestion window grows along a response: by a level for each 32 kB.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WindowSchedule {
    /// The offset at which the window has this level.
    pub(crate) origin: u32,
    pub(crate) level: WindowLevel,
    /// The highest level that the client's receive window has room for.
    pub(crate) cap: WindowLevel,
}

impl WindowSchedule {
    pub(crate) fn level_at(self, offset: u32) -> WindowLevel {
        let steps = (offset >> STEP_SHIFT).saturating_sub(self.origin >> STEP_SHIFT);
        self.level.stepped(steps, self.cap)
    }
}

impl StampSequence {
    /// The stamp of the segment at `offset`, to be added to the timestamp base.
    pub(crate) fn stamp_at(self, offset: u32) -> u32 {
        let (first, level, reason, narrow, exchange) = match self {
            Self::Constant(stamp) => return stamp,
            Self::Stored { first, schedule, reason, limited_from, narrow, exchange } => {
                let limited = reason == SendReason::NewData && offset >= limited_from;
                let reason = if limited { SendReason::WindowLimited } else { reason };
                (first, schedule.level_at(offset), reason, narrow, exchange)
            }
            Self::Pairs { first, pair, again, seg_size, narrow } => {
                let level = match offset.checked_sub(pair) {
                    None => WindowLevel::SILENT,
                    Some(_) if again => WindowLevel::SECOND_AGAIN,
                    Some(within) if within < seg_size => WindowLevel::FIRST,
                    Some(_) => WindowLevel::SECOND,
                };
                (first, level, SendReason::Pair, narrow, Exchange::Only)
            }
        };
        let position = first.value().saturating_add(offset / Position::UNIT as u32);
        // Every stored response lies within the positions, its end as well.
        let position = Position::new(position).unwrap_or(first);
        Stamp::Stored(SentSegment { position, level, reason, narrow, exchange }).value()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[quickcheck_macros::quickcheck]
    fn a_stamp_survives_value_and_parse(value: u32) -> bool {
        Stamp::parse(value).is_none_or(|stamp| stamp.value() == value & (HALF - 1))
    }

    #[quickcheck_macros::quickcheck]
    fn the_next_timestamp_is_not_before_the_one_that_is_echoed(echoed: u32, proof: u32) -> bool {
        let size = KeptSize::Mss(Mss::at_most(1460));
        let stamps = [Stamp::Whole, Stamp::Kept(Kept { proof: proof >> 10, generation: 2, size })];
        stamps.into_iter().all(|stamp| {
            let next = stamp.following(echoed);
            next.wrapping_sub(echoed) < HALF && Stamp::parse(next) == Some(stamp)
        })
    }

    #[test]
    fn every_stamp_is_below_half_the_circle() {
        let newest = SentSegment {
            position: Position::new(Position::COUNT - 1).unwrap(),
            level: WindowLevel::SLOW_START,
            reason: SendReason::Pair,
            narrow: true,
            exchange: Exchange::Only,
        };
        assert!(Stamp::Stored(newest).value() < 1 << 31);
        assert_eq!(Stamp::parse(Stamp::Stored(newest).value()), Some(Stamp::Stored(newest)));
        assert_eq!(Stamp::parse(Stamp::Stored(newest).value() + 1), None);
    }

    #[test]
    fn a_loss_takes_away_a_third_of_what_is_in_flight_and_leaves_eight() {
        let after = |segments| WindowLevel::reduced(segments).segments(0, 10, 32);
        assert_eq!([32, 28, 24, 20, 16, 12, 10, 8, 4, 1].map(after), [24, 20, 16, 16, 12, 8, 8, 8, 8, 8]);
    }

    #[test]
    fn the_window_grows_step_by_step_to_what_the_client_takes() {
        let after = |steps, cap| WindowLevel::LOWEST.stepped(steps, WindowLevel::at_most(cap)).segments(0, 10, 32);
        assert_eq!([0, 1, 5, 6, 9].map(|steps| after(steps, 100)), [4, 8, 24, 28, 28]);
        assert_eq!([0, 1, 9].map(|steps| after(steps, 15)), [4, 8, 12]);
    }

    #[test]
    fn slow_start_grows_by_what_has_been_acknowledged_up_to_the_ceiling() {
        let segments = |done| WindowLevel::SLOW_START.segments(done, 10, 32);
        assert_eq!([0, 1, 10, 22, 23, u32::MAX].map(segments), [10, 11, 20, 32, 32, 32]);
    }

    #[test]
    fn each_kind_of_stamp_is_told_from_the_others() {
        for stamp in [
            Stamp::Handshake { proof: 0, sack: true },
            Stamp::Handshake { proof: u16::MAX, sack: false },
            Stamp::Whole,
            Stamp::Part { proof: 0 },
            Stamp::Part { proof: u16::MAX },
            Stamp::Done,
            Stamp::LaterPart { proof: 0 },
            Stamp::LaterPart { proof: (Stamp::LATER_PARTS - 1) as u16 },
            Stamp::Kept(Kept { proof: 0, generation: 0, size: KeptSize::Long(SegmentClass::Small) }),
            Stamp::Kept(Kept { proof: 7, generation: 1, size: KeptSize::Mss(Mss::at_most(536)) }),
            Stamp::Kept(Kept {
                proof: (1 << KEPT_PROOF_BITS) - 1,
                generation: 3,
                size: KeptSize::Long(SegmentClass::Large),
            }),
        ] {
            assert_eq!(Stamp::parse(stamp.value()), Some(stamp));
        }
        assert_eq!([KEPT - 1, HALF, HALF + STORED].map(Stamp::parse), [None; 3]);
    }

    #[test]
    fn the_window_grows_a_level_with_each_block_of_32_kb_behind_its_origin() {
        let schedule = WindowSchedule { origin: 100_000, level: WindowLevel::LOWEST, cap: WindowLevel::at_most(100) };
        let at = |offset| schedule.level_at(offset).segments(0, 10, 32);
        let next = 4 << STEP_SHIFT;
        assert_eq!([0, 100_000, next - 1, next, next + (1 << STEP_SHIFT), 1 << 30].map(at), [4, 4, 4, 8, 12, 28]);
    }
}
