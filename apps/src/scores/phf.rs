//! A perfect hash function: each key of a fixed set has a slot of its own.
//!
//! Keys are distributed over small buckets. For each bucket, the largest first, a *pilot* is searched: a number
//! which, mixed into the keys of that bucket, sends each of them to a free slot ("Hash, displace, and
//! compress", Belazzougui, Botelho and Dietzfelbinger, 2009; the search as in `PTHash`, Pibiri and Trani, 2021). So
//! every lookup reads one pilot and one slot, without collisions or chains. A key that is not in the set leads to the
//! slot of another one.
//!
//! The pilots are small, 2 bytes for four keys, so that all of them are in a cache near the processor after some
//! thousand lookups. `cargo bench -p lethe-apps --bench scores` compares it with other hash tables.

/// Keys in a bucket, on average. With more there are fewer pilots, and each takes longer to find.
const BUCKET: u32 = 4;

/// One slot in this many is left empty. With fewer, the last pilots are hard to find.
const SPARE: u32 = 32;

/// The pilot of a bucket, little-endian.
pub(super) type Pilot = [u8; 2];

/// The number of pilots for a number of keys.
pub(super) const fn pilots(keys: u32) -> u32 {
    keys.div_ceil(BUCKET)
}

/// The number of slots for a number of keys; `None` on overflow.
pub(super) const fn slots(keys: u32) -> Option<u32> {
    keys.checked_add(keys / SPARE + 1)
}

/// The slot of a key, below `slots`.
#[inline]
pub(super) fn slot(pilots: &[Pilot], slots: u32, key: u64) -> u32 {
    let bucket = scale(key, pilots.len() as u32);
    let pilot = pilots.get(bucket as usize).copied().unwrap_or_default();
    slot_with(key, u16::from_le_bytes(pilot), slots)
}

#[inline]
fn slot_with(key: u64, pilot: u16, slots: u32) -> u32 {
    // Two odd constants: 2^64 divided by the golden ratio, and one of MurmurHash3. The keys of a bucket differ in their
    // lower bits, which multiplication carries up.
    let mixed = (key ^ u64::from(pilot).wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    scale(mixed ^ mixed << 32, slots)
}

/// Maps a hash to a number below `count`, by its upper bits and without a division.
#[inline]
fn scale(hash: u64, count: u32) -> u32 {
    ((u128::from(hash) * u128::from(count)) >> 64) as u32
}

/// Finds the pilots for these keys. `None` when a bucket has none, as with a duplicate key.
pub(super) fn find(keys: &[u64]) -> Option<Vec<Pilot>> {
    let count = u32::try_from(keys.len()).ok()?;
    let (pilots, slots) = (pilots(count), slots(count)?);
    // The bucket of a key is in its upper bits, so sorting by key groups the buckets.
    let mut keys = keys.to_vec();
    keys.sort_unstable();
    let mut buckets: Vec<&[u64]> = keys.chunk_by(|a, b| scale(*a, pilots) == scale(*b, pilots)).collect();
    buckets.sort_by_key(|bucket| std::cmp::Reverse(bucket.len()));
    let mut taken = vec![false; slots as usize];
    let mut found = vec![Pilot::default(); pilots as usize];
    for bucket in buckets {
        let pilot = (0..=u16::MAX).find(|&pilot| take(bucket, pilot, &mut taken))?;
        found[scale(*bucket.first()?, pilots) as usize] = pilot.to_le_bytes();
    }
    Some(found)
}

/// Takes the slots of these keys with this pilot, unless one is taken.
fn take(bucket: &[u64], pilot: u16, taken: &mut [bool]) -> bool {
    for (at, &key) in bucket.iter().enumerate() {
        let slot = slot_with(key, pilot, taken.len() as u32) as usize;
        if std::mem::replace(&mut taken[slot], true) {
            // Frees those before it.
            for &key in &bucket[..at] {
                taken[slot_with(key, pilot, taken.len() as u32) as usize] = false;
            }
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers that look random.
    fn keys(count: u64, seed: u64) -> Vec<u64> {
        let hash = |number: u64| {
            let mixed = (number + 1 + (seed << 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^ mixed >> 31
        };
        (0..count).map(hash).collect()
    }

    #[test]
    fn each_key_has_a_slot_of_its_own() {
        let mut counts: Vec<u64> = (0..200).collect();
        counts.extend([1000, 4096, 100_000]);
        for count in counts {
            let keys = keys(count, count);
            let slots = slots(count as u32).unwrap();
            let pilots = find(&keys).unwrap();
            let mut taken = vec![false; slots as usize];
            for &key in &keys {
                let slot = slot(&pilots, slots, key) as usize;
                assert!(!std::mem::replace(&mut taken[slot], true), "{count} keys, slot {slot}");
            }
        }
    }

    #[test]
    fn any_key_has_a_slot_that_there_is() {
        let pilots = find(&keys(100, 1)).unwrap();
        for key in keys(10_000, 2).into_iter().chain([0, u64::MAX]) {
            assert!(slot(&pilots, slots(100).unwrap(), key) < slots(100).unwrap());
        }
        assert_eq!(slot(&[], 1, u64::MAX), 0);
    }

    #[test]
    fn the_same_key_twice_has_no_slots() {
        assert_eq!(find(&[7, 8, 7]), None);
    }

    /// Files go from one build to another, which has to look for each key where this one has put it.
    #[test]
    fn the_slot_of_a_key_stays_what_it_is() {
        let keys = keys(12, 3);
        let pilots = find(&keys).unwrap();
        let count = slots(12).unwrap();
        let slots: Vec<u32> = keys.iter().map(|&key| slot(&pilots, count, key)).collect();
        assert_eq!(pilots, [[6, 0], [105, 0], [1, 0]]);
        assert_eq!(slots, [1, 12, 5, 4, 2, 3, 10, 8, 6, 0, 7, 11]);
    }

    #[test]
    fn there_is_a_pilot_for_four_keys_and_a_slot_more_for_32() {
        assert_eq!([0, 1, 4, 5, 8, 9].map(pilots), [0, 1, 1, 2, 2, 3]);
        assert_eq!([0, 1, 31, 32, 63, 64, 320].map(slots), [1, 2, 32, 34, 65, 67, 331].map(Some));
        assert_eq!(slots(u32::MAX), None);
    }
}
