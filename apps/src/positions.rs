//! Positions of stored responses, in units of [`Position`](lethe::app::Position), within one version of a data set.

use crate::container::u32_at;

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
