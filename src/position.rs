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

    /// Positions of one version of a data set: version `g` has those from `g` times this on.
    pub const PER_GENERATION: u32 = 1 << 22;

    /// The position `units` units from the start, unless that is [`Position::COUNT`] or more.
    pub const fn new(units: u32) -> Option<Self> {
        if units < Self::COUNT { Some(Self(units)) } else { None }
    }

    /// In units.
    pub const fn value(self) -> u32 {
        self.0
    }

    /// The generation that it belongs to, and the position within that.
    pub(crate) const fn split(self) -> (u8, Self) {
        ((self.0 / Self::PER_GENERATION) as u8, Self(self.0 % Self::PER_GENERATION))
    }

    /// This position of the first generation, in another one. `None` where that has no such position.
    #[inline]
    pub(crate) const fn of_generation(self, generation: u8) -> Option<Self> {
        if self.0 < Self::PER_GENERATION { Self::new(self.0 + generation as u32 * Self::PER_GENERATION) } else { None }
    }

    /// How many units a stored response of `len` bytes, head and body, takes. Its end has a position too.
    pub const fn units(len: usize) -> usize {
        len / Self::UNIT + 1
    }
}
