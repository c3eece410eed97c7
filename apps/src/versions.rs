//! Versions of a data set: the one for new connections, and those that it replaced.

use lethe::app::{Generations, Position};

/// How many versions there are at a time: one for each generation.
const COUNT: usize = Generations::COUNT as usize;

/// A generation is a slot for a version. A new one takes the next slot of [`Generations::COUNT`], and what was
/// there goes. So a reply is never of two versions as long as at most three replacements come while it is under
/// way; after a fourth, what is left of it is no longer there.
#[derive(Debug)]
pub(crate) struct Versions<T> {
    slots: [Option<T>; COUNT],
    current: u8,
}

impl<T> Versions<T> {
    pub(crate) fn new(first: T) -> Self {
        let mut slots = [const { None }; COUNT];
        slots[0] = Some(first);
        Self { slots, current: 0 }
    }

    /// Puts `next` in place for new connections; returns what nothing is answered from any more.
    pub(crate) fn replace(&mut self, next: T) -> Option<T> {
        self.current = (self.current + 1) % Generations::COUNT;
        self.slots[usize::from(self.current)].replace(next)
    }

    /// What new connections are answered from.
    pub(crate) fn current(&self) -> &T {
        self.slots[usize::from(self.current)].as_ref().expect("the current one is always there")
    }

    /// The version of a generation; of one that is not live, the current one.
    pub(crate) fn of(&self, generation: u8) -> (&T, u8) {
        match self.slots.get(usize::from(generation)) {
            Some(Some(version)) => (version, generation),
            _ => (self.current(), self.current),
        }
    }

    /// The version that a position is of, its generation, and the unit within it.
    pub(crate) fn at(&self, position: Position) -> Option<(&T, u8, u32)> {
        let (generation, unit) =
            (position.value() / Position::PER_GENERATION, position.value() % Position::PER_GENERATION);
        let version = self.slots.get(generation as usize)?.as_ref()?;
        Some((version, generation as u8, unit))
    }

    pub(crate) fn generations(&self) -> Generations {
        let live = self.slots.iter().zip(0..).filter(|(version, _)| version.is_some());
        Generations { current: self.current, live: live.fold(0, |live, (_, generation)| live | 1 << generation) }
    }
}

/// The position of a unit of this generation.
pub(crate) fn position(generation: u8, unit: u32) -> Option<Position> {
    Position::new(u32::from(generation) * Position::PER_GENERATION + unit)
}
