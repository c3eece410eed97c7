//! Positions of stored responses, in units of [`Position`], within one version of a data set.

use lethe::app::{Generations, Position};

use crate::container::u32_at;

/// The units of [`Position`] that one version may take: 2 GiB, so that each generation has as many.
pub const UNITS: u32 = Position::PER_GENERATION - (1 << 11);

const _: () = assert!((Generations::COUNT as u32 - 1) * Position::PER_GENERATION + UNITS <= Position::COUNT);

/// Reserves units for a response of `len` bytes, from `next` on: the first unit, and the one behind the last. `None`
/// when too few are left. A response that may be longer than the first window begins at a multiple of a block.
pub(crate) fn reserve(next: u32, len: u64) -> Option<(u32, u32)> {
    let is_long = len > Position::BLOCK as u64 * Position::UNIT as u64 / 2;
    let first = if is_long { next.checked_next_multiple_of(Position::BLOCK as u32)? } else { next };
    let units = u32::try_from(Position::units(usize::try_from(len).ok()?)).ok()?;
    let end = first.checked_add(units).filter(|&end| end <= UNITS)?;
    Some((first, end))
}

/// Two numbers: an entry of a position table, which is a unit and the object that begins there, or a slot of a hash
/// table.
pub(crate) type Pair = [u8; PAIR_LEN];
pub(crate) const PAIR_LEN: usize = 8;

pub(crate) fn pair(bytes: Pair) -> (u32, u32) {
    (u32_at(&bytes, 0), u32_at(&bytes, 4))
}

/// An index of a position table: for each range of units of one size, how many entries begin below it.
///
/// This replaces the first steps of a binary search, each of which is a cache miss in a large table. There are at most
/// about twice as many ranges as entries.
#[derive(Default)]
pub(crate) struct Buckets {
    /// The binary logarithm of the units of a range.
    shift: u32,
    below: Vec<u32>,
}

impl Buckets {
    /// The index of entries in ascending order.
    pub(crate) fn of(positions: &[Pair]) -> Self {
        let last = positions.last().map_or(0, |&entry| pair(entry).0) as usize;
        let mut shift = 0;
        while last >> shift > 2 * positions.len() {
            shift += 1;
        }
        let mut below = vec![0];
        let mut entries = positions.iter().map(|&entry| pair(entry).0 as usize).peekable();
        let mut count = 0;
        for stretch in 0..=last >> shift {
            while entries.next_if(|first| first >> shift == stretch).is_some() {
                count += 1;
            }
            below.push(count);
        }
        Self { shift, below }
    }

    /// The last entry that begins at or before `unit`.
    pub(crate) fn last_at(&self, positions: &[Pair], unit: u32) -> Option<usize> {
        // Units behind the last range belong to the last entry.
        let stretch = ((unit >> self.shift) as usize).min(self.below.len().checked_sub(2)?);
        let [from, to] = [self.below[stretch], self.below[stretch + 1]].map(|count| count as usize);
        let before = positions[from..to].partition_point(|&entry| pair(entry).0 <= unit);
        (from + before).checked_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[quickcheck_macros::quickcheck]
    fn a_unit_belongs_to_the_last_entry_that_begins_before_it(mut firsts: Vec<u16>) -> bool {
        firsts.sort_unstable();
        firsts.dedup();
        let entry = |(first, at): (&u16, u32)| {
            let mut pair = [0; PAIR_LEN];
            pair[..4].copy_from_slice(&u32::from(*first).to_le_bytes());
            pair[4..].copy_from_slice(&at.to_le_bytes());
            pair
        };
        let positions: Vec<Pair> = firsts.iter().zip(0..).map(entry).collect();
        let buckets = Buckets::of(&positions);
        let expect = |unit: u16| firsts.iter().rposition(|&first| first <= unit);
        (0..=u16::MAX).all(|unit| buckets.last_at(&positions, unit.into()) == expect(unit))
    }

    #[test]
    fn what_is_longer_than_a_first_window_begins_with_a_block() {
        const BLOCK: u32 = Position::BLOCK as u32;
        // A first window is 8,192 bytes: half a block.
        let window = 8192;
        for len in [0, 1, 511, 512, window] {
            assert_eq!(reserve(7, len), Some((7, 7 + Position::units(len as usize) as u32)), "{len}");
        }
        let units = Position::units(window as usize + 1) as u32;
        for (next, first) in [(0, 0), (1, BLOCK), (BLOCK - 1, BLOCK), (BLOCK, BLOCK), (BLOCK + 1, 2 * BLOCK)] {
            assert_eq!(reserve(next, window + 1), Some((first, first + units)), "{next}");
        }
    }

    #[test]
    fn a_version_has_as_many_units_as_there_are_and_no_more() {
        for len in [1, 512, 8192, 8193, 1 << 20] {
            let units = Position::units(len) as u32;
            let next = UNITS - units.next_multiple_of(Position::BLOCK as u32);
            assert_eq!(reserve(next, len as u64), Some((next, next + units)), "{len}");
            assert_eq!(reserve(UNITS - units + 1, len as u64), None, "{len}");
        }
        assert_eq!(reserve(UNITS - 2, 512), Some((UNITS - 2, UNITS)));
        assert_eq!(reserve(0, u64::MAX), None);
    }

    #[test]
    fn there_are_at_most_twice_as_many_stretches_as_entries() {
        let entry = |first: u32| {
            let [a, b, c, d] = first.to_le_bytes();
            [a, b, c, d, 0, 0, 0, 0]
        };
        let stretches = |firsts: &[u32]| {
            let positions: Vec<Pair> = firsts.iter().copied().map(entry).collect();
            Buckets::of(&positions).below.len() - 1
        };
        let spread: Vec<u32> = (0..1000).map(|number| 1000 * number).collect();
        assert_eq!(stretches(&spread), (999_000 >> 9) + 1);
        // The last entry is in the last stretch: one more than twice as many, of one unit each, where all fits.
        assert_eq!(stretches(&[0, 1, 6]), 7);
        assert_eq!(stretches(&[0, 1, 7]), 4);
        assert_eq!(stretches(&[]), 1);
    }
}
