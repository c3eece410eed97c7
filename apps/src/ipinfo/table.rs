//! The ranges of one family of addresses, in order.
//!
//! An address is taken as two numbers: its *bucket*, 16 bits, and the *rest* of it. The index says which ranges begin
//! in each bucket, and a binary search among those finds the range. If none of them begins at or below the address, the
//! address is in the range before them in the array, which began in a lower bucket. So ranges need not be split at the
//! borders of buckets.

use std::ops::Range;

use super::database::OpenError;

/// A number in the file, little-endian.
pub(super) type Word = [u8; 4];

/// An entry for each bucket, and one for the end.
pub(super) const INDEX_LEN: usize = (1 << 16) + 1;

/// Ranges whose entries have `N` bytes: the rest of the first address, and 16 bits of the number of the place.
#[derive(Clone, Copy)]
pub(super) struct Table<'a, const N: usize> {
    pub(super) index: &'a [Word; INDEX_LEN],
    pub(super) ranges: &'a [[u8; N]],
    /// Bits 16 to 23 of the number of each range's place. Empty where no number has them.
    pub(super) high: &'a [u8],
}

impl<const N: usize> Table<'_, N> {
    /// The number of the place of an address.
    #[inline]
    pub(super) fn find(&self, bucket: u16, rest: u64) -> usize {
        let under = self.under(bucket);
        let below = self.ranges[under.clone()].partition_point(|&range| rest_of(range) <= rest);
        // The first range begins in bucket 0 at 0, so there is always one at or below the address.
        self.place(under.start + below - 1)
    }

    /// All ranges, as bucket, rest and number of the place.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u16, u64, usize)> {
        (0..=u16::MAX).flat_map(move |bucket| {
            self.under(bucket).map(move |at| (bucket, rest_of(self.ranges[at]), self.place(at)))
        })
    }

    /// Whether index and ranges ascend, from 0 on, and no number of a place is above `last`.
    pub(super) fn check(&self, family: u8, last: usize) -> Result<(), OpenError> {
        let [first, .., end] = self.index;
        let ascends = self.index.is_sorted_by_key(|&entry| number(entry));
        if !ascends || number(*first) != 0 || number(*end) != self.ranges.len() {
            return Err(OpenError::Index { family });
        }
        for bucket in 0..=u16::MAX {
            let ranges = &self.ranges[self.under(bucket)];
            let begins = bucket > 0 || ranges.first().is_some_and(|&range| rest_of(range) == 0);
            if !begins || !ranges.is_sorted_by(|&a, &b| rest_of(a) < rest_of(b)) {
                return Err(OpenError::Ranges { family, bucket });
            }
        }
        match (0..self.ranges.len()).position(|at| self.place(at) > last) {
            Some(range) => Err(OpenError::PlaceOfRange { family, range, places: last + 1 }),
            None => Ok(()),
        }
    }

    /// The ranges that begin in a bucket.
    #[inline]
    fn under(&self, bucket: u16) -> Range<usize> {
        let bucket = usize::from(bucket);
        number(self.index[bucket])..number(self.index[bucket + 1])
    }

    #[inline]
    fn place(&self, at: usize) -> usize {
        let high = self.high.get(at).copied().unwrap_or_default();
        (value(self.ranges[at]) & 0xffff) as usize | usize::from(high) << 16
    }
}

/// A table that owns its memory.
pub(super) struct OwnedTable<const N: usize> {
    index: Box<[Word; INDEX_LEN]>,
    ranges: Box<[[u8; N]]>,
    high: Box<[u8]>,
}

impl<const N: usize> OwnedTable<N> {
    /// A view of it, for lookups.
    #[inline]
    pub(super) const fn table(&self) -> Table<'_, N> {
        Table { index: &self.index, ranges: &self.ranges, high: &self.high }
    }
}

impl<const N: usize> From<Table<'_, N>> for OwnedTable<N> {
    fn from(table: Table<'_, N>) -> Self {
        Self { index: Box::new(*table.index), ranges: table.ranges.into(), high: table.high.into() }
    }
}

/// Appends a table to a file. The ranges are bucket, rest and number of the place, in ascending order. With `wide`,
/// numbers have 24 bits.
pub(super) fn emit<const N: usize>(file: &mut Vec<u8>, ranges: &[(u16, u64, u32)], wide: bool) {
    for bucket in 0..INDEX_LEN {
        let below = ranges.partition_point(|&(in_bucket, ..)| usize::from(in_bucket) < bucket);
        file.extend((below as u32).to_le_bytes());
    }
    for &(_, rest, place) in ranges {
        file.extend(&(rest << 16 | u64::from(place as u16)).to_le_bytes()[..N]);
    }
    if wide {
        file.extend(ranges.iter().map(|&(.., place)| (place >> 16) as u8));
    }
}

/// The value of a count or a position.
pub(super) fn number(word: Word) -> usize {
    u32::from_le_bytes(word) as usize
}

#[inline]
fn value<const N: usize>(range: [u8; N]) -> u64 {
    let mut bytes = [0; 8];
    bytes[..N].copy_from_slice(&range);
    u64::from_le_bytes(bytes)
}

#[inline]
fn rest_of<const N: usize>(range: [u8; N]) -> u64 {
    value(range) >> 16
}
