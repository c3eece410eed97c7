//! What our timestamps say. They do not tell the time: a client only compares and echoes them, so they
//! carry what it is to remember for us.
//!
//! A timestamp is the connection's keyed base plus a stamp, and a stamp is one of
//!
//! ```text
//!   0 .. 2^17      SYN+ACK: 16 bits that depend on the client's initial sequence number, and a bit that
//!                  says that it does not take SACK
//!   2^17           a response in one segment
//!   2^17 + 1       a segment of a response that is not stored
//!   2^17 + 2       the acknowledgement of a client that has all of such a response
//!   2^18 + place   a segment of a stored response:
//!
//!    29                           6 5    3 2   1 0
//!   +------------------------------+------+-----+-+
//!   | position of the segment      | pace |role |n|        n: narrow
//!   +------------------------------+------+-----+-+
//! ```
//!
//! Along a response the position grows, and with it the timestamp, as a client demands (RFC 7323, section
//! 5: an older one is a duplicate). A stamp is below 2^31, so the first is never newer than the last.

use crate::position::Position;

/// Bits of proof that a client gives back of its initial sequence number.
const PROOF_SHIFT: u32 = 1;
const WHOLE: u32 = 1 << 17;
const PART: u32 = WHOLE + 1;
const DONE: u32 = WHOLE + 2;
const PLACED: u32 = 1 << 18;
const POSITION_SHIFT: u32 = 6;
const PACE_SHIFT: u32 = 3;
const ROLE_SHIFT: u32 = 1;

/// Bytes for which the pace goes up by a step of four segments, as a power of two: 32 kB. It comes to what
/// congestion avoidance (RFC 5681, section 3.1) adds between four and twelve segments.
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
    Part,
    /// All of a response that is not stored, and that we know.
    Done,
    /// A segment of a stored one.
    Placed(Place),
}

/// A segment of a stored response, and how it was sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    /// Where it begins, rounded down to a position.
    pub(crate) position: Position,
    /// How much is under way at a time.
    pub(crate) pace: Pace,
    pub(crate) role: Role,
    /// The way to the client does not carry full segments: each is sent in pieces.
    pub(crate) narrow: bool,
}

/// Why a segment of a stored response was sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Role {
    /// In its turn.
    Fresh,
    /// In its turn, and with it the client's window was full: nothing follows until that opens.
    Stalled,
    /// Once more, because it was missing.
    Resent,
    /// To a client without SACK; the pace tells which of its pair it is.
    Paired,
}

/// How many segments are under way at a time.
///
/// | pace | segments                                        |
/// |------|-------------------------------------------------|
/// | 0–6  | 4, 8, 12 … 28: something has been lost          |
/// | 7    | slow start: nothing has been lost               |
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Pace(u8);

impl Pace {
    /// As many more as have been acknowledged since the start (RFC 5681, section 3.1).
    pub(crate) const SLOW_START: Self = Self(7);
    /// After a timeout, and after a window that was closed.
    pub(crate) const CAREFUL: Self = Self(0);

    /// To a client without SACK there are two segments under way, and these are their parts: the ACK
    /// of a silent one is not answered.
    pub(crate) const SILENT: Self = Self(0);
    pub(crate) const FIRST: Self = Self(1);
    pub(crate) const SECOND: Self = Self(2);
    pub(crate) const SECOND_AGAIN: Self = Self(3);

    const LEVELS: u8 = 7;
    const LEVEL: u32 = 4;

    /// Segments under way when `done` have been acknowledged.
    pub(crate) fn segments(self, done: u32, first_window: u8, ceiling: u8) -> u32 {
        let wanted = match self {
            Self::SLOW_START => u32::from(first_window).saturating_add(done),
            Self(pace) => Self::LEVEL * (u32::from(pace) + 1),
        };
        wanted.min(u32::from(ceiling)).max(1)
    }

    /// The fastest that has at most so many under way.
    pub(crate) fn at_most(segments: u32) -> Self {
        Self((segments / Self::LEVEL).clamp(1, Self::LEVELS.into()) as u8 - 1)
    }

    /// After a loss with so many under way (RFC 5681, section 3.1): half, and never below four. With two,
    /// one lost ACK ends the clock, and the client's timer is a worse one.
    pub(crate) fn halved(segments: u32) -> Self {
        Self::at_most(segments / 2)
    }

    /// The pace `steps` steps on, if that is not above `most`.
    pub(crate) fn stepped(self, steps: u32, most: Self) -> Self {
        if self == Self::SLOW_START {
            return self;
        }
        let level = u32::from(self.0).saturating_add(steps).min(most.0.into()) as u8;
        Self(level.max(self.0))
    }
}

impl Role {
    const ALL: [Self; 4] = [Self::Fresh, Self::Stalled, Self::Resent, Self::Paired];
}

impl Stamp {
    /// What is added to the base.
    pub(crate) fn value(self) -> u32 {
        match self {
            Self::Handshake { proof, sack } => u32::from(proof) << PROOF_SHIFT | u32::from(!sack),
            Self::Whole => WHOLE,
            Self::Part => PART,
            Self::Done => DONE,
            Self::Placed(place) => {
                PLACED
                    + (place.position.value() << POSITION_SHIFT
                        | u32::from(place.pace.0) << PACE_SHIFT
                        | (place.role as u32) << ROLE_SHIFT
                        | u32::from(place.narrow))
            }
        }
    }

    /// The stamp with this value, if we ever sent one.
    pub(crate) fn parse(value: u32) -> Option<Self> {
        Some(match value {
            0..WHOLE => Self::Handshake { proof: (value >> PROOF_SHIFT) as u16, sack: value & 1 == 0 },
            WHOLE => Self::Whole,
            PART => Self::Part,
            DONE => Self::Done,
            _ => {
                let place = value.checked_sub(PLACED)?;
                Self::Placed(Place {
                    position: Position::new(place >> POSITION_SHIFT)?,
                    pace: Pace((place >> PACE_SHIFT & 7) as u8),
                    role: Role::ALL.get((place >> ROLE_SHIFT & 3) as usize).copied()?,
                    narrow: place & 1 == 1,
                })
            }
        })
    }
}

/// What the timestamps of a train say.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Clock {
    /// Always the same: the response is not stored.
    Part,
    /// Where each segment stands, and why it was sent.
    Placed {
        /// Where the response begins.
        first: Position,
        line: Line,
        role: Role,
        /// Segments that begin from here on leave no room for two more.
        stalled_from: u32,
        /// They go in pieces.
        narrow: bool,
    },
    /// The same to a client without SACK: all but the last two segments are silent.
    Paired {
        /// Where the response begins.
        first: Position,
        /// Where the last pair begins.
        pair: u32,
        /// The second of the pair has been sent before.
        again: bool,
        segment: u32,
        narrow: bool,
    },
}

/// The pace along a response: a step more for each 32 kB.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line {
    pub(crate) origin: u32,
    pub(crate) pace: Pace,
    /// The client's window has no room for more.
    pub(crate) most: Pace,
}

impl Line {
    pub(crate) fn pace_at(self, offset: u32) -> Pace {
        let steps = (offset >> STEP_SHIFT).saturating_sub(self.origin >> STEP_SHIFT);
        self.pace.stepped(steps, self.most)
    }
}

impl Clock {
    /// What is added to the timestamp of the segment at `offset`.
    pub(crate) fn stamp(self, offset: u32) -> u32 {
        let (first, pace, role, narrow) = match self {
            Self::Part => return Stamp::Part.value(),
            Self::Placed { first, line, role, stalled_from, narrow } => {
                let stalled = role == Role::Fresh && offset >= stalled_from;
                (first, line.pace_at(offset), if stalled { Role::Stalled } else { role }, narrow)
            }
            Self::Paired { first, pair, again, segment, narrow } => {
                let pace = match offset.checked_sub(pair) {
                    None => Pace::SILENT,
                    Some(_) if again => Pace::SECOND_AGAIN,
                    Some(within) if within < segment => Pace::FIRST,
                    Some(_) => Pace::SECOND,
                };
                (first, pace, Role::Paired, narrow)
            }
        };
        let position = first.value().saturating_add(offset / Position::UNIT as u32);
        // Every stored response lies within the positions, its end as well.
        let position = Position::new(position).unwrap_or(first);
        Stamp::Placed(Place { position, pace, role, narrow }).value()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[quickcheck_macros::quickcheck]
    fn a_stamp_survives_value_and_parse(value: u32) -> bool {
        Stamp::parse(value).is_none_or(|stamp| stamp.value() == value)
    }

    #[test]
    fn every_stamp_is_below_half_the_circle() {
        let newest = Place {
            position: Position::new(Position::COUNT - 1).unwrap(),
            pace: Pace::SLOW_START,
            role: Role::Paired,
            narrow: true,
        };
        assert!(Stamp::Placed(newest).value() < 1 << 31);
        assert_eq!(Stamp::parse(Stamp::Placed(newest).value()), Some(Stamp::Placed(newest)));
        assert_eq!(Stamp::parse(Stamp::Placed(newest).value() + 1), None);
    }

    #[test]
    fn a_loss_halves_what_is_under_way() {
        let after = |segments| Pace::halved(segments).segments(0, 10, 32);
        assert_eq!([32, 24, 16, 12, 10, 8, 4, 2, 1].map(after), [16, 12, 8, 4, 4, 4, 4, 4, 4]);
    }

    #[test]
    fn the_pace_grows_step_by_step_to_what_the_window_takes() {
        let after = |steps, most| Pace::CAREFUL.stepped(steps, Pace::at_most(most)).segments(0, 10, 32);
        assert_eq!([0, 1, 5, 6, 9].map(|steps| after(steps, 100)), [4, 8, 24, 28, 28]);
        assert_eq!([0, 1, 9].map(|steps| after(steps, 15)), [4, 8, 12]);
    }

    #[test]
    fn slow_start_grows_by_what_has_been_acknowledged_up_to_the_ceiling() {
        let segments = |done| Pace::SLOW_START.segments(done, 10, 32);
        assert_eq!([0, 1, 10, 22, 23, u32::MAX].map(segments), [10, 11, 20, 32, 32, 32]);
    }
}
