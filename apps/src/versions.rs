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
    /// What each request asks for.
    generations: Generations,
}

impl<T> Versions<T> {
    /// With one version, of this generation modulo [`Generations::COUNT`].
    pub(crate) fn new(first: T, generation: u8) -> Self {
        let mut slots = [const { None }; COUNT];
        let current = generation % Generations::COUNT;
        slots[usize::from(current)] = Some(first);
        Self { slots, generations: Generations { current, live: 1 << current } }
    }

    /// Puts `next` in place for new connections; returns what nothing is answered from any more.
    pub(crate) fn replace(&mut self, next: T) -> Option<T> {
        let gone = self.add(next);
        self.advance();
        gone
    }

    /// Answers those from `next` that have begun with it elsewhere; returns what nothing is answered from any more.
    pub(crate) fn add(&mut self, next: T) -> Option<T> {
        self.generations.live |= 1 << self.next();
        self.slots[usize::from(self.next())].replace(next)
    }

    /// Begins new connections with what was added.
    pub(crate) fn advance(&mut self) {
        let next = self.next();
        if self.slots[usize::from(next)].is_some() {
            self.generations.current = next;
        }
    }

    const fn next(&self) -> u8 {
        (self.generations.current + 1) % Generations::COUNT
    }

    /// What new connections are answered from.
    pub(crate) fn current(&self) -> &T {
        self.slots[usize::from(self.generations.current)].as_ref().expect("the current one is always there")
    }

    /// The version of a generation; of one that is not live, the current one.
    pub(crate) fn of(&self, generation: u8) -> (&T, u8) {
        match self.slots.get(usize::from(generation)) {
            Some(Some(version)) => (version, generation),
            _ => (self.current(), self.generations.current),
        }
    }

    /// The version that a position is of, its generation, and the unit within it.
    pub(crate) fn at(&self, position: Position) -> Option<(&T, u8, u32)> {
        let (generation, unit) =
            (position.value() / Position::PER_GENERATION, position.value() % Position::PER_GENERATION);
        let version = self.slots.get(generation as usize)?.as_ref()?;
        Some((version, generation as u8, unit))
    }

    #[inline]
    pub(crate) const fn generations(&self) -> Generations {
        self.generations
    }
}

/// The position of a unit of this generation.
pub(crate) fn position(generation: u8, unit: u32) -> Option<Position> {
    Position::new(u32::from(generation) * Position::PER_GENERATION + unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_added_is_answered_from_and_nobody_begins_with_it() {
        let mut versions = Versions::new("first", 3);
        assert_eq!(versions.generations(), Generations { current: 3, live: 0b1000 });
        assert_eq!(versions.add("second"), None);
        assert_eq!(versions.generations(), Generations { current: 3, live: 0b1001 });
        assert_eq!((versions.current(), versions.of(0)), (&"first", (&"second", 0)));
        versions.advance();
        assert_eq!(versions.generations(), Generations { current: 0, live: 0b1001 });
        assert_eq!(versions.current(), &"second");
    }

    #[test]
    fn nobody_begins_with_what_is_not_there() {
        let mut versions = Versions::new("first", 0);
        versions.advance();
        assert_eq!(versions.generations(), Generations { current: 0, live: 0b0001 });
    }
}
