//! What our timestamps say. They do not tell the time (RFC 7323, section 5.4): a client only compares and echoes them,
//! so they carry what it is to remember for us.
//!
//! A timestamp is the connection's keyed base plus a stamp, and a stamp is one of
//!
//! ```text
//!   0 .. WHOLE     SYN+ACK: 25 bits that depend on the client's initial sequence number, and a bit that
//!                  says that it does not take SACK
//!   WHOLE          a response in one segment
//!   PART ..        a segment of a response that is not stored: 20 bits that depend on where its request begins
//!   DONE           the acknowledgement of a client that has all of such a response
//!   LATER_PART ..  a segment of such a response, not the first of its connection: how long its segments are, how its
//!                  client's windows are scaled, and 20 bits of where it begins, keyed by where its request begins
//!   STORED ..      a segment of the first stored response of a connection that stays open: a position of 1,024 bytes,
//!                  and which of 37 ways
//!   ONLY ..        a segment of a stored response, whose connection ends with it: its position, and which of 45 ways
//!                  it was sent in
//!   LATER ..       a segment of a later one: a position of 1,024 bytes, how long its segments are, how its client's
//!                  windows are scaled, and which of 8 ways
//!   KEPT ..        the end of a response after which the connection stays open: 22 bits that depend on both next
//!                  sequence numbers, the version of the data set, and the client's MSS and scale
//! ```
//!
//! What is in one is counted in mixed radix: there is hardly a number of 31 bits that has no meaning.
//!
//! Along a response the position grows, and with it the timestamp, as a client demands (RFC 7323, section
//! 5.2: an older one is a duplicate). A stamp is below 2^31, so the first is never newer than the last.
//!
//! On a connection that stays open there is no last one: the next timestamp is the smallest that is not before the
//! one that the client echoes, and whose low 31 bits are the stamp. It is less than 2^31 ahead, which a client takes
//! for newer, so any number of responses can follow one another, round the circle ([`Stamp::following`]).

use crate::config::Congestion;
use crate::cookie::{HANDSHAKE_PROOF_BITS, KEPT_PROOF_BITS, Mss, REQUEST_PROOF_BITS, Scale, SegmentClass};
use crate::position::Position;

/// Where the proof stands that a client gives back of its initial sequence number.
const PROOF_SHIFT: u32 = 1;
const WHOLE: u32 = 1 << (PROOF_SHIFT + HANDSHAKE_PROOF_BITS);
const PART: u32 = WHOLE + 1;
const DONE: u32 = PART + (1 << REQUEST_PROOF_BITS);
const LATER_PART: u32 = DONE + 1;
const STORED: u32 = LATER_PART + LaterPart::KINDS * LaterPart::STARTS;
/// Half the circle of timestamps: the bit that stamps leave free.
const HALF: u32 = 1 << 31;
/// Places of 1,024 bytes: positions are counted by two where the connection stays open.
const PLACES: u32 = Position::COUNT / 2;
/// Stamps of segments of a stored response whose connection ends with it. They are behind those of the first of a
/// connection that stays open: of a client that has taken the timestamp of one of these, it takes none (RFC 7323,
/// section 5.3).
const ONLY: u32 = STORED + PLACES * Ways::First.count();
/// Those of a later one.
const LATER: u32 = ONLY + Position::COUNT * Ways::Only.count();
/// Two classes of segments, each with every scale.
const LATER_KINDS: u32 = 2 * Scale::KEPT_COUNT;
/// Stamps of ends of responses whose connections stay open: proof, generation, MSS and scale, in mixed radix.
const KEPT: u32 = HALF - (KEPT_KINDS << (KEPT_PROOF_BITS + GENERATION_BITS));
const GENERATION_BITS: u32 = 2;
/// The MSS values but the smallest, and the two classes of [`SegmentClass`] behind a long response.
const KEPT_SIZES: u32 = 9;
/// Clients with an MSS of 536 have no scale: no long response goes to them that would need it.
const KEPT_KINDS: u32 = (KEPT_SIZES - 1) * Scale::KEPT_COUNT + 1;

/// Behind the last one of a later response.
const LATER_END: u32 = LATER + PLACES * LATER_KINDS * Ways::Later.count();

const _: () = assert!(LATER_END <= KEPT - 3);

/// What is added to the base in a segment that opens the window behind a stored response whose connection stays open,
/// if that is in the lower half of the circle. It is half the circle ahead of all segments of the response but the
/// last, which are below [`KEPT`], and less ahead of that; and it is before the end of the response before. So a client
/// takes it for an old duplicate and drops it (RFC 7323, section 5.3), unless it has taken the timestamp of the last
/// segment, which it does in order only. (To Linux a timestamp is not older that is older by one.)
pub(crate) const OPENS: u32 = HALF + KEPT - 2;

/// What a client has seen last, by the timestamp that it echoes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stamp {
    /// Our SYN+ACK, and nothing since.
    Handshake {
        /// What only the segment that follows its SYN can belong to: below 2^[`HANDSHAKE_PROOF_BITS`].
        proof: u32,
        /// Whether it takes SACK.
        sack: bool,
    },
    /// A response in one segment.
    Whole,
    /// A segment of a response that is not stored.
    Part {
        /// What only the start of its request can belong to: below 2^[`REQUEST_PROOF_BITS`].
        proof: u32,
    },
    /// A segment of a response that is not stored and ends a connection which was kept open before.
    LaterPart(LaterPart),
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
    /// How the client's windows are scaled, as far as there is room for it.
    pub(crate) scale: Scale,
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

/// What each segment says of a response that is not stored and ends a connection which was kept open before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct LaterPart {
    /// How long its segments are. `None` to a client that takes none of a class.
    pub(crate) class: Option<SegmentClass>,
    /// How its client's windows are scaled. To a client without a class they are not.
    pub(crate) scale: Scale,
    /// Where it begins, keyed by where its request begins: below [`STARTS`](Self::STARTS).
    pub(crate) start: u32,
}

impl LaterPart {
    /// How many starts are told apart.
    pub(crate) const STARTS: u32 = 1 << 20;

    /// No class, and two classes, each with every scale.
    const KINDS: u32 = 1 + LATER_KINDS;

    fn number(self) -> u32 {
        let kind = self.class.map_or(0, |class| 1 + later_kind(class, self.scale));
        kind * Self::STARTS + self.start
    }

    fn of_number(number: u32) -> Option<Self> {
        let (kind, start) = (number / Self::STARTS, number % Self::STARTS);
        let (class, scale) = match kind.checked_sub(1) {
            None => (None, Scale::NONE),
            Some(kind) => {
                let (class, scale) = of_later_kind(kind);
                (Some(class), scale)
            }
        };
        Some(Self { class, scale, start }).filter(|_| kind < Self::KINDS)
    }
}

/// The number of a class of segments with a scale, below [`LATER_KINDS`].
fn later_kind(class: SegmentClass, scale: Scale) -> u32 {
    class as u32 * Scale::KEPT_COUNT + u32::from(scale.kept_index())
}

/// The class and the scale with this number.
fn of_later_kind(kind: u32) -> (SegmentClass, Scale) {
    let class = if kind < Scale::KEPT_COUNT { SegmentClass::Small } else { SegmentClass::Large };
    (class, Scale::of_kept_index((kind % Scale::KEPT_COUNT) as u8))
}

/// The place of a request on its connection, and what becomes of that behind the response.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Exchange {
    /// The only one: the connection ends with the response.
    Only,
    /// The first one. The connection stays open.
    First,
    /// One on a connection that was kept open, and stays so: its segments, and the scale of its client's windows.
    Later(SegmentClass, Scale),
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
    /// A segment of a group to a client without SACK. The position is that of the group.
    Group,
    /// No segment, but what leaves a group: its client has all of it.
    Left,
    /// No segment, but a byte that the client has acknowledged, the one before this place: it finds out whether the
    /// client is still there.
    Check,
}

impl SendReason {
    /// Whether this goes with a group: its segments, and what leaves it.
    pub(crate) const fn is_of_group(self) -> bool {
        matches!(self, Self::Group | Self::Left)
    }

    /// Whether both segments of a pair that is sent for this reason may have the timestamp of the first.
    pub(crate) const fn is_shared(self) -> bool {
        matches!(self, Self::NewData | Self::WindowLimited)
    }
}

/// The congestion window (RFC 9293, section 3.8.2), in levels: each is about 0.7 times the next.
///
/// | level | segments in flight                                                        |
/// |-------|---------------------------------------------------------------------------|
/// | 0–13  | 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512: after a loss   |
/// | 14    | slow start: there has been no loss                                        |
/// | 15    | slow start with fewer, for a smaller receive window                       |
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct WindowLevel(u8);

impl WindowLevel {
    /// The first window, and more with each segment that has been acknowledged (RFC 5681, section 3.1).
    pub(crate) const SLOW_START: Self = Self(Self::SEGMENTS.len() as u8);
    /// Slow start where the client's receive window had no room for that.
    pub(crate) const SLOWER_START: Self = Self(Self::SEGMENTS.len() as u8 + 1);
    /// After the client's window was closed.
    pub(crate) const LOWEST: Self = Self(0);
    /// That of a part begins with this.
    pub(crate) const OF_PART: Self = Self(1);
    /// After a check has found the client where it was: nothing is in flight.
    pub(crate) const AFTER_CHECK: Self = Self(1);

    /// The highest on a narrow path: there is no room in a stamp for more.
    const NARROW_MAX: Self = Self(3);

    /// The first of a pair: two segments that are in flight to a client without SACK. The level tells them apart.
    pub(crate) const FIRST: Self = Self(1);
    /// The second of a pair.
    pub(crate) const SECOND: Self = Self(2);
    /// The second of a pair, retransmitted.
    pub(crate) const SECOND_AGAIN: Self = Self(3);

    const SEGMENTS: [u16; 14] = [4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512];

    /// Bytes, as powers of two, at whose multiples the window grows from each level to the next.
    const fn growth_shifts(congestion: Congestion) -> [u8; 13] {
        match congestion {
            // About one segment a round trip, as congestion avoidance has it (RFC 5681, section 3.1).
            Congestion::Standard => [15, 16, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26],
            // Up to five segments a round trip, and of all windows some 7 %.
            Congestion::Fast => [15, 15, 15, 16, 16, 18, 19, 19, 20, 20, 21, 22, 22],
        }
    }

    /// Those that the stamps of later responses on a connection that stays open have room for.
    const LATER: [Self; 3] = [Self(1), Self(3), Self(5)];

    /// The fewest segments that are in flight after a loss. With four, a loss is hardly ever told by three segments
    /// behind it, and each lost ACK may stop the ACK clock, which the client's RTO has to start again.
    const fn fewest_after_loss(congestion: Congestion) -> u32 {
        match congestion {
            Congestion::Standard => 4,
            Congestion::Fast => 8,
        }
    }

    /// The most: all that was in flight has arrived then or is lost, and these are sent at once.
    const MOST_AFTER_LOSS: u32 = 64;

    /// The highest behind a loss that a probe can tell.
    pub(crate) const PROBED_MAX: Self = Self(4);

    /// What a probe tells of a level: below 6.
    pub(crate) fn probed_index(self) -> u32 {
        if self.is_slow_start() { 0 } else { 1 + u32::from(self.min(Self::PROBED_MAX).0) }
    }

    pub(crate) fn of_probed_index(index: u32) -> Self {
        index.checked_sub(1).map_or(Self::SLOW_START, |level| Self(level as u8).min(Self::PROBED_MAX))
    }

    /// The highest that is sent again.
    const AGAIN_MAX: Self = Self(7);

    /// Segments in flight when `done` have been acknowledged. In slow start there is one more for each that has been;
    /// from 40 in flight on one for three, from 73 on five for eight, and from 238 on one for four: less than the
    /// windows of clients that widen them with what they receive (docs/protocol.md).
    pub(crate) fn segments(self, done: u32, first_window: u8, ceiling: u16) -> u32 {
        let wanted = match Self::SEGMENTS.get(usize::from(self.0)) {
            Some(&segments) => segments.into(),
            None if self == Self::SLOW_START => {
                let steep = (done.saturating_mul(5) / 8).saturating_sub(8);
                let line = (done / 3 + 30).max(steep.min(done / 4 + 140));
                u32::from(first_window).saturating_add(done).min(line)
            }
            None => (done / 4).saturating_add(24),
        };
        wanted.min(u32::from(ceiling)).max(2)
    }

    pub(crate) fn is_slow_start(self) -> bool {
        self >= Self::SLOW_START
    }

    /// The highest level with at most so many segments in flight.
    pub(crate) fn at_most(segments: u32) -> Self {
        let above = Self::SEGMENTS.iter().filter(|&&most| u32::from(most) <= segments).count();
        Self(above.saturating_sub(1) as u8)
    }

    /// The level after a loss with so many segments in flight: the one that is nearest to 0.7 times as many, as CUBIC
    /// has it (RFC 9438), where RFC 5681, section 3.1, has half; [`Self::fewest_after_loss`] at least and
    /// [`Self::MOST_AFTER_LOSS`] at most.
    pub(crate) fn reduced(segments: u32, congestion: Congestion) -> Self {
        let wanted = segments.saturating_mul(7) / 10;
        let below = Self::at_most(wanted);
        let [low, high] = [below.0, below.0 + 1].map(|at| Self::SEGMENTS.get(usize::from(at)).copied());
        let is_nearer = |(low, high): (u16, u16)| u32::from(high).abs_diff(wanted) <= wanted.abs_diff(low.into());
        let nearest = if low.zip(high).is_some_and(is_nearer) { Self(below.0 + 1) } else { below };
        let [fewest, most] = [Self::fewest_after_loss(congestion), Self::MOST_AFTER_LOSS].map(Self::at_most);
        nearest.clamp(fewest, most)
    }
}

/// In how many ways a segment can have been sent, as stamps tell it: reason, level, and whether the path is narrow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ways {
    /// Of a response that ends its connection.
    Only,
    /// Of the first of a connection that stays open.
    First,
    /// Of a later one.
    Later,
    /// Of any of them, on a narrow path.
    Narrow,
}

impl Ways {
    /// Levels of new data but slow start, and levels of what is sent again.
    const fn levels(self) -> (u32, u32) {
        match self {
            // Slow start may go on behind what is sent again, as the slower one.
            Self::Only | Self::First => (WindowLevel::SEGMENTS.len() as u32, WindowLevel::AGAIN_MAX.0 as u32 + 2),
            // A loss never leaves the highest of them.
            Self::Later => (WindowLevel::LATER.len() as u32, WindowLevel::LATER.len() as u32 - 1),
            Self::Narrow => (WindowLevel::NARROW_MAX.0 as u32 + 1, WindowLevel::NARROW_MAX.0 as u32 + 1),
        }
    }

    /// Ways that are not those of segments: a check, but for a narrow path. It is first, so that a client which has
    /// taken its timestamp takes that of any segment at the same place.
    const fn checks(self) -> u32 {
        if matches!(self, Self::Narrow) { 0 } else { 1 }
    }

    /// Slow start, and in segments that may be many in flight a slower one.
    const fn slow_starts(self) -> u32 {
        if matches!(self, Self::Only | Self::First) { 2 } else { 1 }
    }

    /// A check, slow start, new data at each level, what is sent again at each, what fills the client's window; and on
    /// a path that is narrow.
    const fn full(self) -> u32 {
        let (new, again) = self.levels();
        self.checks() + self.slow_starts() + new + again + 1
    }

    /// How many there are.
    const fn count(self) -> u32 {
        match self {
            // And three of a pair, each; a group, and what leaves it.
            Self::Only => self.full() + Self::Narrow.full() + 2 * 4,
            Self::First => self.full() + Self::Narrow.full(),
            Self::Later | Self::Narrow => self.full(),
        }
    }

    /// The level that stands for this one: the highest that is not above it, or the lowest.
    pub(crate) fn rounded(self, level: WindowLevel) -> WindowLevel {
        match self {
            Self::Only | Self::First => level,
            _ if level.is_slow_start() => WindowLevel::SLOW_START,
            Self::Narrow => level.min(WindowLevel::NARROW_MAX),
            Self::Later => {
                let [lowest, ..] = WindowLevel::LATER;
                WindowLevel::LATER.into_iter().rev().find(|&known| known <= level).unwrap_or(lowest)
            }
        }
    }

    /// The level above this one, or the highest there is.
    fn next(self, level: WindowLevel) -> WindowLevel {
        let above = WindowLevel(level.0 + if self == Self::Later { 2 } else { 1 });
        self.rounded(above.min(WindowLevel(WindowLevel::SLOW_START.0 - 1)))
    }

    /// The level of what is sent again with this number, counted from the lowest.
    const fn level_again(self, number: u32) -> WindowLevel {
        match self {
            Self::Later => WindowLevel(number as u8 * 2 + 1),
            Self::Only | Self::First if number > WindowLevel::AGAIN_MAX.0 as u32 => WindowLevel::SLOWER_START,
            _ => WindowLevel(number as u8),
        }
    }

    /// The number of a way, but those of clients without SACK.
    fn number(self, level: WindowLevel, reason: SendReason) -> u32 {
        let (new, again) = self.levels();
        let index = |level: WindowLevel| match self {
            Self::Later => u32::from(self.rounded(level).0 / 2),
            _ => u32::from(self.rounded(level).0),
        };
        let first_new = self.checks() + self.slow_starts();
        match reason {
            SendReason::Check => 0,
            SendReason::NewData if level.is_slow_start() => {
                self.checks() + u32::from(self.rounded(level).0 - WindowLevel::SLOW_START.0)
            }
            SendReason::NewData => first_new + index(level),
            SendReason::Retransmission => {
                let most = if level.is_slow_start() { level } else { WindowLevel::AGAIN_MAX };
                first_new + new + index(level.min(most)).min(again - 1)
            }
            SendReason::WindowLimited | SendReason::Pair | SendReason::Group | SendReason::Left => {
                first_new + new + again
            }
        }
    }

    /// The way with this number. What fills the client's window tells no level, nor does a check.
    fn of_number(self, number: u32) -> (WindowLevel, SendReason) {
        let (new, again) = self.levels();
        let Some(number) = number.checked_sub(self.checks()) else {
            return (WindowLevel::AFTER_CHECK, SendReason::Check);
        };
        let level = |index: u32| match self {
            Self::Later => WindowLevel(index as u8 * 2 + 1),
            _ => WindowLevel(index as u8),
        };
        let Some(number) = number.checked_sub(self.slow_starts()) else {
            return (WindowLevel(WindowLevel::SLOW_START.0 + number as u8), SendReason::NewData);
        };
        match number {
            _ if number < new => (level(number), SendReason::NewData),
            _ if number < new + again => (self.level_again(number - new), SendReason::Retransmission),
            _ => (level(new - 1), SendReason::WindowLimited),
        }
    }

    /// The number of the way in which a segment was sent.
    fn number_of(self, segment: SentSegment) -> u32 {
        let SentSegment { level, reason, narrow, .. } = segment;
        match (reason, narrow) {
            (SendReason::Pair, _) => self.full() + Self::Narrow.full() + u32::from(narrow) * 4 + u32::from(level.0 & 3),
            // Groups are not narrow. What leaves one is newer than its segments.
            (SendReason::Group, _) => self.full() + Self::Narrow.full(),
            (SendReason::Left, _) => self.full() + Self::Narrow.full() + 4,
            (_, true) if self != Self::Later => self.full() + Self::Narrow.number(level, reason),
            _ => self.number(level, reason),
        }
    }

    /// Level and reason of the way with this number, and whether the path is narrow.
    fn of(self, number: u32) -> (WindowLevel, SendReason, bool) {
        let full = self.full();
        if number < full {
            let (level, reason) = self.of_number(number);
            return (level, reason, false);
        }
        if number < full + Self::Narrow.full() {
            let (level, reason) = Self::Narrow.of_number(number - full);
            return (level, reason, true);
        }
        match number - full - Self::Narrow.full() {
            0 => (WindowLevel::LOWEST, SendReason::Group, false),
            4 => (WindowLevel::LOWEST, SendReason::Left, false),
            pair => (WindowLevel((pair & 3) as u8), SendReason::Pair, pair > 4),
        }
    }
}

impl Stamp {
    /// What is added to the base.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "fast: inline")]
    pub(crate) fn value(self) -> u32 {
        match self {
            Self::Handshake { proof, sack } => proof << PROOF_SHIFT | u32::from(!sack),
            Self::Whole => WHOLE,
            Self::Part { proof } => PART + proof,
            Self::LaterPart(part) => LATER_PART + part.number(),
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
            0..WHOLE => Some(Self::Handshake { proof: value >> PROOF_SHIFT, sack: value & 1 == 0 }),
            WHOLE => Some(Self::Whole),
            _ => Self::parse_rarer(value),
        }
    }

    /// Whether a timestamp so far from the base says that all of a response has arrived whose connection stays open.
    #[inline]
    pub(crate) const fn is_kept(value: u32) -> bool {
        value & (HALF - 1) >= KEPT
    }

    /// Whether a timestamp so far from the base may be that of a segment of a stored response.
    #[inline]
    pub(crate) const fn may_be_stored(value: u32) -> bool {
        matches!(value & (HALF - 1), STORED..KEPT)
    }

    #[inline(never)]
    fn parse_rarer(value: u32) -> Option<Self> {
        Some(match value {
            PART..DONE => Self::Part { proof: value - PART },
            ONLY..LATER => {
                let number = value - ONLY;
                let (place, way) = (number / Ways::Only.count(), number % Ways::Only.count());
                Self::Stored(SentSegment::of(place, Ways::Only.of(way), Exchange::Only)?)
            }
            _ => match value & (HALF - 1) {
                KEPT.. => Self::Kept(Kept::of(value)),
                within @ LATER..LATER_END => Self::Stored(SentSegment::of_later(within - LATER)?),
                within @ STORED..ONLY => {
                    let number = within - STORED;
                    let (place, way) = (number / Ways::First.count(), number % Ways::First.count());
                    Self::Stored(SentSegment::of(place * 2, Ways::First.of(way), Exchange::First)?)
                }
                within @ LATER_PART..STORED => Self::LaterPart(LaterPart::of_number(within - LATER_PART)?),
                DONE => Self::Done,
                WHOLE => Self::Whole,
                _ => return None,
            },
        })
    }

    /// What is added to the base for a timestamp with this stamp that is not before the one that the client `echoed`,
    /// counted from the base as well.
    #[inline]
    pub(crate) fn following(self, echoed: u32) -> u32 {
        following(self.value(), echoed)
    }
}

/// What is added to the base for a timestamp with the stamp of this value that is not before the one that the client
/// `echoed`, counted from the base as well.
#[inline]
pub(crate) const fn following(stamp: u32, echoed: u32) -> u32 {
    let value = stamp | half_of(echoed);
    if value < echoed { value ^ HALF } else { value }
}

/// The half of the circle that a timestamp lies in, which is so far from the base.
pub(crate) const fn half_of(value: u32) -> u32 {
    value & HALF
}

impl Kept {
    /// What a timestamp says that is so far from the base.
    #[inline]
    pub(crate) fn of(value: u32) -> Self {
        let value = (value & (HALF - 1)).saturating_sub(KEPT);
        let (number, kind) = (value / KEPT_KINDS, value % KEPT_KINDS);
        let (proof, generation) = (number >> GENERATION_BITS, (number & 3) as u8);
        let [size, scale] = match [kind / Scale::KEPT_COUNT, kind % Scale::KEPT_COUNT] {
            _ if kind == KEPT_KINDS - 1 => [1, 0],
            [0, scale] => [0, scale],
            [size, scale] => [size + 1, scale],
        };
        let scale = Scale::of_kept_index(scale as u8);
        Self { proof, generation, size: KeptSize::of_index(size as u8), scale }
    }

    #[inline(never)]
    fn value(self) -> u32 {
        let Self { proof, generation, size, scale } = self;
        let number = (proof & ((1 << KEPT_PROOF_BITS) - 1)) << GENERATION_BITS | u32::from(generation & 3);
        let kind = match u32::from(size.index()) {
            0 => u32::from(scale.kept_index()),
            1 => KEPT_KINDS - 1,
            size => (size - 1) * Scale::KEPT_COUNT + u32::from(scale.kept_index()),
        };
        KEPT + number * KEPT_KINDS + kind
    }
}

impl Exchange {
    /// In which ways its segments can have been sent, as stamps tell it.
    pub(crate) const fn ways(self, narrow: bool) -> Ways {
        match self {
            Self::Later(..) => Ways::Later,
            _ if narrow => Ways::Narrow,
            Self::Only => Ways::Only,
            Self::First => Ways::First,
        }
    }

    /// The most segments of it that are in flight, on a connection whose windows are scaled or not. The stamps of later
    /// responses have no room for more.
    pub(crate) fn ceiling(self, ceiling: u16, scale: Scale) -> u16 {
        match self {
            Self::Only if scale.is_scaled() => ceiling,
            Self::First if scale.is_scaled() => ceiling.min(Self::OPEN),
            _ => ceiling.min(Self::UNSCALED),
        }
    }

    /// Where the connection stays open more forged ACKs fit, and with more segments each would draw too much
    /// (docs/forgery.md).
    const OPEN: u16 = 256;

    /// 32 segments of 1460 bytes, and two more, fit a window that is not scaled.
    pub(crate) const UNSCALED: u16 = 32;
}

impl SentSegment {
    #[inline(never)]
    fn value(self) -> u32 {
        let place = self.position.value();
        match self.exchange {
            Exchange::Only => ONLY + place * Ways::Only.count() + Ways::Only.number_of(self),
            Exchange::First => STORED + place / 2 * Ways::First.count() + Ways::First.number_of(self),
            Exchange::Later(class, scale) => {
                let number = place / 2 * LATER_KINDS + later_kind(class, scale);
                LATER + number * Ways::Later.count() + Ways::Later.number_of(self)
            }
        }
    }

    fn of(place: u32, (level, reason, narrow): (WindowLevel, SendReason, bool), exchange: Exchange) -> Option<Self> {
        Some(Self { position: Position::new(place)?, level, reason, narrow, exchange })
    }

    /// The segment with this number, of a later response.
    fn of_later(number: u32) -> Option<Self> {
        let (number, way) = (number / Ways::Later.count(), number % Ways::Later.count());
        let (place, kind) = (number / LATER_KINDS, number % LATER_KINDS);
        let (class, scale) = of_later_kind(kind);
        Self::of(place * 2, Ways::Later.of(way), Exchange::Later(class, scale))
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
    /// For a client without SACK.
    Pairs {
        /// Where the response begins.
        first: Position,
        /// Where the pair begins.
        pair: u32,
        /// Whether this is a retransmission of the second of the pair.
        again: bool,
        seg_size: u32,
        narrow: bool,
    },
}

/// How the congestion window grows along a response.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WindowSchedule {
    /// The offset at which the window has this level.
    pub(crate) origin: u32,
    pub(crate) level: WindowLevel,
    /// The highest level that the client's receive window has room for.
    pub(crate) cap: WindowLevel,
    /// The levels that there are.
    pub(crate) ways: Ways,
    pub(crate) congestion: Congestion,
    /// Bytes of a pair of full segments. Both have the same level, so that one timestamp can tell it of both.
    pub(crate) pair: u32,
}

impl WindowSchedule {
    /// The level at an offset behind the origin: limited to the cap, but never below the one at the origin. Slow start
    /// is not limited.
    pub(crate) fn level_at(self, offset: u32) -> WindowLevel {
        let Self { origin, cap, ways, congestion, pair, .. } = self;
        let [mut from, offset] = [origin, offset].map(|offset| offset - offset.checked_rem(pair).unwrap_or(0));
        let mut level = ways.rounded(self.level);
        if level.is_slow_start() {
            return level;
        }
        let shifts = WindowLevel::growth_shifts(congestion);
        // No more often than there are levels.
        loop {
            let next = ways.next(level);
            let Some(&shift) = shifts.get(usize::from(next.0.saturating_sub(1))) else { return level };
            let line = (from >> shift).saturating_add(1) << shift;
            if line > offset || next > cap || next == level {
                return level;
            }
            (level, from) = (next, line);
        }
    }
}

impl StampSequence {
    /// Whether both segments of the pair that begins at `offset` can have the stamp of the first: windows are the same
    /// at both, so an ACK draws the same whichever it is. What is sent again is told by segments.
    pub(crate) fn is_shared(self, offset: u32, seg_size: u32) -> bool {
        match self {
            Self::Constant(_) => true,
            Self::Stored { reason, limited_from, .. } => {
                let [first, second] = [offset, offset.saturating_add(seg_size)].map(|offset| offset >= limited_from);
                reason.is_shared() && first == second
            }
            Self::Pairs { .. } => false,
        }
    }

    /// The stamp of the segment at `offset`, to be added to the timestamp base.
    pub(crate) fn stamp_at(self, mut offset: u32) -> u32 {
        let (first, level, reason, narrow, exchange) = match self {
            Self::Constant(stamp) => return stamp,
            Self::Stored { first, schedule, reason, limited_from, narrow, exchange } => {
                // All that is ahead of the segment behind the origin is told as the one at the origin.
                if !narrow && offset < schedule.origin.saturating_add(schedule.pair / 2) {
                    offset = schedule.origin;
                }
                let limited = reason == SendReason::NewData && offset >= limited_from;
                let reason = if limited { SendReason::WindowLimited } else { reason };
                (first, schedule.level_at(offset), reason, narrow, exchange)
            }
            Self::Pairs { first, pair, again, seg_size, narrow } => {
                let level = match offset.saturating_sub(pair) {
                    _ if again => WindowLevel::SECOND_AGAIN,
                    within if within < seg_size => WindowLevel::FIRST,
                    _ => WindowLevel::SECOND,
                };
                (first, level, SendReason::Pair, narrow, Exchange::Only)
            }
        };
        let position = first.at(offset);
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
        let (size, scale) = (KeptSize::Mss(Mss::at_most(1460)), Scale::NONE);
        let proof = proof >> (32 - KEPT_PROOF_BITS);
        let stamps = [Stamp::Whole, Stamp::Kept(Kept { proof, generation: 2, size, scale })];
        stamps.into_iter().all(|stamp| {
            let next = stamp.following(echoed);
            next.wrapping_sub(echoed) < HALF && Stamp::parse(next) == Some(stamp)
        })
    }

    #[test]
    fn every_stamp_is_below_half_the_circle() {
        let position = Position::new(Position::COUNT - 1).unwrap();
        let reason = SendReason::Pair;
        let newest = SentSegment { position, level: WindowLevel(3), reason, narrow: true, exchange: Exchange::Only };
        assert_eq!(Stamp::Stored(newest).value() + 1, LATER);
        assert_eq!(Stamp::parse(Stamp::Stored(newest).value()), Some(Stamp::Stored(newest)));
        assert!(LATER_END <= KEPT && Stamp::parse(LATER_END).is_none());
    }

    #[test]
    fn a_stamp_tells_in_which_way_a_segment_was_sent() {
        let position = Position::new(4).unwrap();
        let later = |class, shift| Exchange::Later(class, Scale::offered(Some(shift)));
        let exchanges = [
            Exchange::Only,
            Exchange::First,
            later(SegmentClass::Small, 0),
            later(SegmentClass::Small, 9),
            later(SegmentClass::Large, 7),
        ];
        for exchange in exchanges {
            for narrow in [false, true].into_iter().take(if exchange.ways(false) == Ways::Later { 1 } else { 2 }) {
                let mut found = 0;
                for level in (0..=15).map(WindowLevel) {
                    for reason in [SendReason::NewData, SendReason::Retransmission] {
                        let is_known = exchange.ways(narrow).rounded(level) == level;
                        let is_again = reason == SendReason::Retransmission;
                        let is_later = exchange.ways(narrow) == Ways::Later;
                        let again_max = if is_later { WindowLevel(3) } else { WindowLevel::AGAIN_MAX };
                        let goes_on = !is_later && !narrow && level == WindowLevel::SLOWER_START;
                        if !is_known || is_again && level > again_max && !goes_on {
                            continue;
                        }
                        let sent = SentSegment { position, level, reason, narrow, exchange };
                        assert_eq!(Stamp::parse(Stamp::Stored(sent).value()), Some(Stamp::Stored(sent)));
                        found += 1;
                    }
                }
                let ways = exchange.ways(narrow);
                assert_eq!(found + 1, ways.full() - ways.checks(), "{exchange:?} {narrow}");
                let (level, reason) = (WindowLevel::AFTER_CHECK, SendReason::Check);
                let check = SentSegment { position, level, reason, narrow, exchange };
                let is_told = Stamp::parse(Stamp::Stored(check).value()) == Some(Stamp::Stored(check));
                assert_eq!(is_told, !narrow || exchange.ways(false) == Ways::Later);
                let (level, reason) = (WindowLevel::LOWEST, SendReason::WindowLimited);
                let limited = Stamp::Stored(SentSegment { position, level, reason, narrow, exchange }).value();
                let Some(Stamp::Stored(SentSegment { reason, .. })) = Stamp::parse(limited) else { panic!() };
                assert_eq!(reason, SendReason::WindowLimited);
            }
        }
    }

    /// A client takes what leaves a group behind its segments, and what is sent by two behind a part of it.
    #[test]
    fn the_stamps_of_a_group_are_between_those_of_the_place_before_and_what_leaves_it() {
        let at = |place, reason, level, narrow| {
            let position = Position::new(place).unwrap();
            let sent = SentSegment { position, level, reason, narrow, exchange: Exchange::Only };
            assert_eq!(Stamp::parse(Stamp::Stored(sent).value()), Some(Stamp::Stored(sent)));
            Stamp::Stored(sent).value()
        };
        let pairs = |place| {
            [false, true].into_iter().flat_map(move |narrow| {
                [WindowLevel::FIRST, WindowLevel::SECOND, WindowLevel::SECOND_AGAIN]
                    .map(|level| at(place, SendReason::Pair, level, narrow))
            })
        };
        let group = at(9, SendReason::Group, WindowLevel::LOWEST, false);
        let left = at(9, SendReason::Left, WindowLevel::LOWEST, false);
        assert!(group < left && left < at(10, SendReason::Group, WindowLevel::LOWEST, false));
        assert!(pairs(8).all(|pair| pair < group) && pairs(9).all(|pair| pair > group));
        assert!(pairs(10).all(|pair| pair > left));
    }

    #[test]
    fn a_loss_takes_away_a_third_of_what_is_in_flight_and_leaves_four_at_least_and_64_at_most() {
        let after = |segments| WindowLevel::reduced(segments, Congestion::Standard).segments(0, 10, 256);
        assert_eq!([64, 48, 32, 24, 16, 12, 10, 8, 4, 1].map(after), [48, 32, 24, 16, 12, 8, 8, 4, 4, 4]);
        assert_eq!([256, 128, 96, 90].map(after), [64; 4]);
    }

    #[test]
    fn a_loss_leaves_eight_at_least_where_congestion_is_to_be_fast() {
        let after = |segments| WindowLevel::reduced(segments, Congestion::Fast).segments(0, 10, 256);
        assert_eq!([64, 48, 32, 24, 16, 12, 10, 8, 4, 1].map(after), [48, 32, 24, 16, 12, 8, 8, 8, 8, 8]);
        assert_eq!([256, 128, 96, 90].map(after), [64; 4]);
    }

    #[test]
    fn slow_start_grows_by_what_has_been_acknowledged_and_from_40_on_by_a_part_of_it_up_to_the_ceiling() {
        let segments = |ceiling| move |done| WindowLevel::SLOW_START.segments(done, 10, ceiling);
        assert_eq!([0, 1, 10, 22, 23, u32::MAX].map(segments(32)), [10, 11, 20, 32, 32, 32]);
        assert_eq!(
            [0, 22, 28, 30, 32, 130, 194, 300, 464, 900].map(segments(256)),
            [10, 32, 38, 40, 40, 73, 113, 179, 256, 256]
        );
    }

    #[test]
    fn fewer_segments_are_in_flight_where_the_connection_stays_open_and_where_windows_are_not_scaled() {
        let scaled = Scale::offered(Some(7));
        let exchanges = [Exchange::Only, Exchange::First, Exchange::Later(SegmentClass::Large, scaled)];
        assert_eq!(exchanges.map(|exchange| exchange.ceiling(512, scaled)), [512, 256, 32]);
        assert_eq!(exchanges.map(|exchange| exchange.ceiling(100, scaled)), [100, 100, 32]);
        assert_eq!(exchanges.map(|exchange| exchange.ceiling(512, Scale::NONE)), [32; 3]);
    }

    #[test]
    fn each_kind_of_stamp_is_told_from_the_others() {
        for stamp in [
            Stamp::Handshake { proof: 0, sack: true },
            Stamp::Handshake { proof: (1 << HANDSHAKE_PROOF_BITS) - 1, sack: false },
            Stamp::Whole,
            Stamp::Part { proof: 0 },
            Stamp::Part { proof: (1 << REQUEST_PROOF_BITS) - 1 },
            Stamp::Done,
        ] {
            assert_eq!(Stamp::parse(stamp.value()), Some(stamp));
        }
        for (class, scales) in [(None, 1), (Some(SegmentClass::Small), 3), (Some(SegmentClass::Large), 3)] {
            for scale in (0..scales).map(Scale::of_kept_index) {
                for start in [0, 1, LaterPart::STARTS - 1] {
                    let stamp = Stamp::LaterPart(LaterPart { class, scale, start });
                    assert_eq!(Stamp::parse(stamp.value()), Some(stamp));
                }
            }
        }
        for (size, scales) in [
            (KeptSize::Long(SegmentClass::Small), 3),
            (KeptSize::Mss(Mss::at_most(536)), 1),
            (KeptSize::Mss(Mss::at_most(1220)), 3),
            (KeptSize::Mss(Mss::at_most(8940)), 3),
            (KeptSize::Long(SegmentClass::Large), 3),
        ] {
            for scale in (0..scales).map(Scale::of_kept_index) {
                for (proof, generation) in [(0, 0), (7, 1), ((1 << KEPT_PROOF_BITS) - 1, 3)] {
                    let stamp = Stamp::Kept(Kept { proof, generation, size, scale });
                    assert_eq!(Stamp::parse(stamp.value()), Some(stamp));
                }
            }
        }
        assert_eq!([KEPT - 1, HALF, HALF + ONLY, LATER_END].map(Stamp::parse), [None; 4]);
    }

    #[test]
    fn the_window_grows_by_a_level_at_each_line_of_a_grid() {
        for (congestion, lines, of_later) in [
            (Congestion::Standard, [4, 6, 8, 12, 16, 32].map(|line| line << 15), [8, 8, 16, 32]),
            (Congestion::Fast, [4, 5, 6, 8, 10, 16].map(|line| line << 15), [8, 16, 32, 32]),
        ] {
            let grown = |from, to, level, cap| {
                let (level, cap, ways) = (WindowLevel(level), WindowLevel(cap), Ways::First);
                WindowSchedule { origin: from, level, cap, ways, congestion, pair: 1 }.level_at(to)
            };
            let at = |offset| grown(100_000, offset, 0, 13).segments(0, 10, 512);
            let before = lines.map(|line| at(line - 1));
            assert_eq!((before, lines.map(at)), ([4, 8, 12, 16, 24, 32], [8, 12, 16, 24, 32, 48]));
            assert_eq!((at(0), at(100_000), at(1 << 30)), (4, 4, 512));
            assert_eq!(grown(0, 1 << 30, 0, 3), WindowLevel(3), "no more than the client takes");
            assert_eq!(grown(0, 1 << 30, 6, 3), WindowLevel(6), "and no less than there is");
            let (level, cap, ways) = (WindowLevel(1), WindowLevel(11), Ways::Later);
            let later = WindowSchedule { origin: 0, level, cap, ways, congestion, pair: 1 };
            let offsets = [0, 1 << 15, 1 << 16, 1 << 18];
            assert_eq!(offsets.map(|to| later.level_at(to).segments(0, 10, 256)), of_later);
        }
    }

    #[test]
    fn both_segments_of_a_pair_have_the_same_window() {
        let (level, cap, ways, congestion) = (WindowLevel(0), WindowLevel(13), Ways::Only, Congestion::Standard);
        let schedule = WindowSchedule { origin: 0, level, cap, ways, congestion, pair: 2 * 1448 };
        let levels = |first: u32| [first, first + 1].map(|segment| schedule.level_at(segment * 1448));
        assert!((0..1000).step_by(2).map(levels).all(|[first, second]| first == second));
        // From the second on as from the first.
        let level = schedule.level_at(89 * 1448);
        let from = |segment: u32| WindowSchedule { origin: segment * 1448, level, ..schedule }.level_at(90 * 1448);
        assert_eq!((from(88), from(89), schedule.level_at(88 * 1448)), (from(89), schedule.level_at(90 * 1448), level));
    }

    #[test]
    fn a_pair_shares_its_stamp_unless_it_is_sent_again_or_only_its_second_fills_the_window() {
        let (level, ways, congestion) = (WindowLevel::SLOW_START, Ways::Only, Congestion::Standard);
        let schedule = WindowSchedule { origin: 0, level, cap: level, ways, congestion, pair: 2000 };
        let (first, narrow, exchange) = (Position::new(4).unwrap(), false, Exchange::Only);
        let stored =
            |reason, limited_from| StampSequence::Stored { first, schedule, reason, limited_from, narrow, exchange };
        let new = |limited_from| stored(SendReason::NewData, limited_from).is_shared(2000, 1000);
        assert_eq!([u32::MAX, 4000, 3000, 2000, 0].map(new), [true, true, false, true, true]);
        assert!(!stored(SendReason::Retransmission, u32::MAX).is_shared(2000, 1000));
        let pairs = StampSequence::Pairs { first, pair: 2000, again: false, seg_size: 1000, narrow };
        assert!(!pairs.is_shared(2000, 1000) && StampSequence::Constant(7).is_shared(2000, 1000));
    }

    /// What it costs the others on the same link depends on it.
    #[test]
    fn a_window_grows_by_a_segment_each_round_trip_or_two() {
        let levels = WindowLevel::SEGMENTS.iter().zip(&WindowLevel::SEGMENTS[1..]);
        for ((&low, &high), shift) in levels.zip(WindowLevel::growth_shifts(Congestion::Standard)) {
            let round_trips = f64::from(1 << shift) / (f64::from(low) * 1448.0);
            let segments = f64::from(high - low) / round_trips;
            assert!((0.4..=1.5).contains(&segments), "{low}: {segments:.2}");
        }
    }

    /// Whichever ACK draws a segment, its window is the same.
    #[quickcheck_macros::quickcheck]
    fn a_window_grows_alike_in_one_step_and_in_two(level: u8, offsets: [u32; 3], way: u8) -> bool {
        let mut offsets = offsets.map(|offset| offset >> 4);
        offsets.sort_unstable();
        let [from, between, to] = offsets;
        let ways = [Ways::Only, Ways::Later, Ways::Narrow][usize::from(way % 3)];
        let (level, cap) = (WindowLevel(level % 15), WindowLevel(level / 15 % 14));
        let congestion = [Congestion::Standard, Congestion::Fast][usize::from(way / 3 % 2)];
        let once = WindowSchedule { origin: from, level, cap, ways, congestion, pair: 1 };
        let twice = WindowSchedule { origin: between, level: once.level_at(between), ..once };
        twice.level_at(to) == once.level_at(to)
    }
}
