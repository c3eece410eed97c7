//! Positions of stored responses: numbers that fit into a timestamp.

/// Where something stands among all stored responses of an application, counted in units of
/// [`Position::UNIT`] bytes.
///
/// Each stored response begins at a position of its own and takes [`Position::units`] of them, whatever
/// version of the data set it belongs to: no two that are answered from at the same time share one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Position(u32);

impl Position {
    /// Bytes of a response for which the position goes up by one. No full segment is smaller, so each
    /// has a position of its own.
    pub const UNIT: usize = 512;

    /// A response that is longer than a first window should begin at a multiple of this: then clients without
    /// timestamps have an ACK clock as well.
    pub const BLOCK: usize = 32;

    /// How many positions there are: as many as fit a timestamp beside its other fields. 8 GiB of responses.
    pub const COUNT: u32 = (1 << 24) - (1 << 11);

    /// Positions of a generation: `g` has those from `g` times this on. 2 GiB of responses.
    pub const PER_GENERATION: u32 = 1 << 22;

    /// Positions that the responses of a version of a data set may take: as many as the last two generations have, 4
    /// GiB of responses.
    pub const PER_VERSION: u32 = Self::COUNT - 2 * Self::PER_GENERATION;

    /// Positions that every generation has: the last one has fewer than [`Position::PER_GENERATION`], since there are
    /// [`Position::COUNT`] in all.
    pub(crate) const IN_EVERY_GENERATION: u32 = Self::COUNT % Self::PER_GENERATION;

    /// The position `units` units from the start, unless that is [`Position::COUNT`] or more.
    pub const fn new(units: u32) -> Option<Self> {
        if units < Self::COUNT { Some(Self(units)) } else { None }
    }

    /// In units.
    pub const fn value(self) -> u32 {
        self.0
    }

    /// The position of the byte at `offset` of a response that begins here. Every stored response lies within the
    /// positions, its end as well.
    #[inline]
    pub(crate) fn at(self, offset: u32) -> Self {
        Self::new(self.0.saturating_add(offset / Self::UNIT as u32)).unwrap_or(self)
    }

    /// How many generations' positions a version takes whose stored responses end before this position: one or two,
    /// also where the last generation is among them.
    pub(crate) const fn generations_of(end: u32) -> u8 {
        if end > Self::IN_EVERY_GENERATION { 2 } else { 1 }
    }

    /// The generation whose positions it is among, below [`Generations::COUNT`](crate::app::Generations::COUNT).
    #[inline]
    pub(crate) const fn generation(self) -> u8 {
        (self.0 / Self::PER_GENERATION) as u8
    }

    /// Where it is in a version that takes the positions of `count` generations, from this one on. `None` if it is
    /// none of them.
    #[inline]
    pub(crate) fn within(self, generation: u8, count: u8) -> Option<Self> {
        let within = self.0.checked_sub(u32::from(generation) * Self::PER_GENERATION)?;
        (within < u32::from(count) * Self::PER_GENERATION).then_some(Self(within))
    }

    /// This position of a version, which takes those of `count` generations, from this generation on. `None` where it
    /// has no such position.
    #[inline]
    pub(crate) const fn of_version(self, generation: u8, count: u8) -> Option<Self> {
        if self.0 < count as u32 * Self::PER_GENERATION {
            Self::new(self.0 + generation as u32 * Self::PER_GENERATION)
        } else {
            None
        }
    }

    /// Units that a response of more than a packet takes beyond its own length: on a connection that was kept open, its
    /// head may be 2 kB longer, and positions are counted by two.
    const SPARE: usize = 5;

    /// How many units a stored response of `len` bytes, head and body, takes. Its end has a position too.
    pub const fn units(len: usize) -> usize {
        len / Self::UNIT + 1 + if len > 2 * Self::UNIT { Self::SPARE } else { 0 }
    }

    /// Reserves units of a version for a response of `len` bytes, head and body, from `next` on: the first unit, and
    /// the one behind the last. `None` when too few are left. A response that may be longer than the first window
    /// begins at a multiple of a [block](Self::BLOCK), any other of more than a packet at an even number: from an odd
    /// one it could not be sent on a connection that was kept open.
    pub fn reserve(next: u32, len: u64) -> Option<(u32, u32)> {
        let align = match len {
            _ if len > Self::BLOCK as u64 * Self::UNIT as u64 / 2 => Self::BLOCK as u32,
            _ if len > 2 * Self::UNIT as u64 => 2,
            _ => 1,
        };
        let first = next.checked_next_multiple_of(align)?;
        let units = u32::try_from(Self::units(usize::try_from(len).ok()?)).ok()?;
        let end = first.checked_add(units).filter(|&end| end <= Self::PER_VERSION)?;
        Some((first, end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_longer_than_a_first_window_begins_with_a_block() {
        const BLOCK: u32 = Position::BLOCK as u32;
        // A first window is 8,192 bytes: half a block.
        let window = 8192;
        for len in [0, 1, 511, 512, 1024] {
            assert_eq!(Position::reserve(7, len), Some((7, 7 + Position::units(len as usize) as u32)), "{len}");
        }
        let units = Position::units(window as usize) as u32;
        for (next, first) in [(0, 0), (1, 2), (2, 2), (7, 8)] {
            assert_eq!(Position::reserve(next, window), Some((first, first + units)), "{next}");
        }
        let units = Position::units(window as usize + 1) as u32;
        for (next, first) in [(0, 0), (1, BLOCK), (BLOCK - 1, BLOCK), (BLOCK, BLOCK), (BLOCK + 1, 2 * BLOCK)] {
            assert_eq!(Position::reserve(next, window + 1), Some((first, first + units)), "{next}");
        }
    }

    #[test]
    fn a_version_has_as_many_units_as_there_are_and_no_more() {
        for len in [1, 512, 8192, 8193, 1 << 20] {
            let units = Position::units(len) as u32;
            let next = Position::PER_VERSION - units.next_multiple_of(Position::BLOCK as u32);
            assert_eq!(Position::reserve(next, len as u64), Some((next, next + units)), "{len}");
            assert_eq!(Position::reserve(Position::PER_VERSION - units + 1, len as u64), None, "{len}");
        }
        assert_eq!(
            Position::reserve(Position::PER_VERSION - 2, 512),
            Some((Position::PER_VERSION - 2, Position::PER_VERSION))
        );
        assert_eq!(Position::reserve(0, u64::MAX), None);
    }
}
