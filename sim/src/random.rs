//! The one source of randomness: a seed, or a string of bytes.
//!
//! A part that needs randomness is given a [`Random`] of its own, forked by name from that of the whole run:
//!
//! ```text
//!  seed ──> Random ──fork("client")──nth(3)──fork("up")──fork("loss")
//! ```
//!
//! A fork depends on the seed and on the names that lead to it, and on nothing that was drawn before. So
//! a link that draws more often, or a rule that is added, shifts no other stream, and one client of ten
//! thousand can be run again alone.
//!
//! **Invariant:** the numbers that a seed gives never change: the seeds of old failures would be worth
//! nothing. The generator is written out here for that reason.
//!
//! A fuzzer gives bytes in place of a seed. Then every fork reads on in the same string, in the order in
//! which the simulation draws; and when the string has ended, every draw is the most harmless one: no
//! chance comes true, and every number is the smallest.

mod probability;

use std::cell::Cell;
use std::ops::RangeInclusive;
use std::rc::Rc;

pub use probability::{Probability, ProbabilityError};

/// A stream of random numbers.
#[derive(Clone, Debug)]
pub struct Random {
    source: Source,
}

#[derive(Clone, Debug)]
enum Source {
    Seeded {
        /// What forks are made from.
        seed: u64,
        /// xoshiro256++, by Blackman and Vigna.
        state: [u64; 4],
    },
    Bytes(Rc<Tape>),
}

/// Bytes that are read once, by the first that asks.
#[derive(Debug)]
struct Tape {
    bytes: Box<[u8]>,
    next: Cell<usize>,
}

impl Random {
    /// The stream that a seed gives, the same on every machine and for all time.
    pub fn from_seed(seed: u64) -> Self {
        let mut mixer = seed;
        let state = std::array::from_fn(|_| split_mix(&mut mixer));
        Self { source: Source::Seeded { seed, state } }
    }

    /// The stream that reads `bytes`.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self { source: Source::Bytes(Rc::new(Tape { bytes: bytes.into(), next: Cell::new(0) })) }
    }

    /// The stream with this name: the same one every time, independent of those with other names.
    #[must_use]
    pub fn fork(&self, name: &str) -> Self {
        self.fork_by(fnv1a(name.as_bytes()))
    }

    /// The stream with this number.
    #[must_use]
    pub fn nth(&self, number: u64) -> Self {
        self.fork_by(fnv1a(&number.to_le_bytes()))
    }

    fn fork_by(&self, label: u64) -> Self {
        match &self.source {
            Source::Seeded { seed, .. } => {
                let mut mixer = *seed;
                // Mixed before and after, so that a fork of a fork is not that of the two labels swapped.
                mixer = split_mix(&mut mixer) ^ label;
                Self::from_seed(split_mix(&mut mixer))
            }
            Source::Bytes(_) => self.clone(),
        }
    }

    /// A number of which every bit is random.
    pub fn next_u64(&mut self) -> u64 {
        match &mut self.source {
            Source::Seeded { state, .. } => xoshiro(state),
            Source::Bytes(tape) => tape.read(8),
        }
    }

    /// A number from 0 to `limit - 1`; 0 if there is none. Of a byte string it takes no more bytes than
    /// the number needs.
    pub fn below(&mut self, limit: u64) -> u64 {
        match &mut self.source {
            // The high half of a product (Lemire): its bias, limit / 2^64, will never be seen.
            Source::Seeded { state, .. } => ((u128::from(xoshiro(state)) * u128::from(limit)) >> 64) as u64,
            Source::Bytes(tape) => {
                let bits = u64::BITS - limit.saturating_sub(1).leading_zeros();
                tape.read(bits.div_ceil(8)).checked_rem(limit).unwrap_or(0)
            }
        }
    }

    /// A number from a range, both ends included.
    pub fn range(&mut self, range: RangeInclusive<u64>) -> u64 {
        let (start, end) = range.into_inner();
        match end.saturating_sub(start).checked_add(1) {
            Some(limit) => start.saturating_add(self.below(limit)),
            None => self.next_u64(),
        }
    }

    /// Whether a chance comes true.
    pub fn chance(&mut self, probability: Probability) -> bool {
        let millionths = u64::from(probability.millionths());
        match &self.source {
            _ if millionths == 0 => false,
            // The smallest number is the harmless one.
            Source::Seeded { .. } => self.below(Probability::ONE) >= Probability::ONE - millionths,
            // One byte is enough, and whatever is possible happens for some byte.
            Source::Bytes(_) => self.below(256) >= 256 - (millionths * 256).div_ceil(Probability::ONE),
        }
    }

    /// One of `choices`. The first is the harmless one.
    ///
    /// # Panics
    ///
    /// When there is none.
    pub fn pick<'c, T>(&mut self, choices: &'c [T]) -> &'c T {
        &choices[self.below(choices.len() as u64) as usize]
    }
}

impl Tape {
    /// The next `count` bytes as a number; those behind the end are zero.
    fn read(&self, count: u32) -> u64 {
        (0..count).fold(0, |number, _| {
            let at = self.next.get();
            self.next.set(at + 1);
            number << 8 | u64::from(self.bytes.get(at).copied().unwrap_or(0))
        })
    }
}

/// `SplitMix64`, by Steele, Lea and Flood: what its authors recommend for seeding xoshiro.
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn xoshiro(state: &mut [u64; 4]) -> u64 {
    let [s0, s1, s2, s3] = state;
    let result = s0.wrapping_add(*s3).rotate_left(23).wrapping_add(*s0);
    let shifted = *s1 << 17;
    *s2 ^= *s0;
    *s3 ^= *s1;
    *s1 ^= *s2;
    *s0 ^= *s3;
    *s2 ^= shifted;
    *s3 = s3.rotate_left(45);
    result
}

/// FNV-1a, which tells short names apart and needs four lines.
fn fnv1a(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(mut random: Random) -> [u64; 4] {
        std::array::from_fn(|_| random.next_u64())
    }

    #[test]
    fn the_generators_are_those_of_their_authors() {
        // SplitMix64 from 1234567 and xoshiro256++ from [1, 2, 3, 4], as published with them.
        let mut seed = 1_234_567;
        let mixed: [u64; 3] = std::array::from_fn(|_| split_mix(&mut seed));
        assert_eq!(mixed, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
        let mut state = [1, 2, 3, 4];
        let numbers: [u64; 3] = std::array::from_fn(|_| xoshiro(&mut state));
        assert_eq!(numbers, [41_943_041, 58_720_359, 3_588_806_011_781_223]);
    }

    #[test]
    fn a_fork_does_not_depend_on_what_was_drawn_before() {
        let untouched = Random::from_seed(1);
        let mut used = Random::from_seed(1);
        used.fork("other").next_u64();
        used.next_u64();
        assert_eq!(draw(untouched.fork("link")), draw(used.fork("link")));
    }

    #[test]
    fn forks_with_other_names_are_other_streams() {
        let random = Random::from_seed(1);
        let streams = [
            draw(random.clone()),
            draw(random.fork("up")),
            draw(random.fork("down")),
            draw(random.nth(0)),
            draw(random.nth(1)),
            draw(random.fork("up").fork("down")),
            draw(random.fork("down").fork("up")),
            draw(Random::from_seed(2).fork("up")),
        ];
        for (i, one) in streams.iter().enumerate() {
            assert!(streams[..i].iter().all(|other| one != other), "{i}");
        }
    }

    #[test]
    fn a_chance_comes_true_as_often_as_it_should() {
        let mut random = Random::from_seed(3);
        for (percent, least, most) in [(0, 0, 0), (5, 450, 550), (50, 4_850, 5_150), (100, 10_000, 10_000)] {
            let probability = Probability::from_percent(percent);
            let count = (0..10_000).filter(|_| random.chance(probability)).count();
            assert!((least..=most).contains(&count), "{percent} %: {count}");
        }
    }

    #[test]
    fn a_range_has_both_its_ends() {
        let mut random = Random::from_seed(4);
        let drawn: Vec<u64> = (0..100).map(|_| random.range(3..=5)).collect();
        assert!([3, 4, 5].iter().all(|number| drawn.contains(number)));
        assert!(drawn.iter().all(|number| (3..=5).contains(number)));
        assert_eq!([random.range(7..=7), random.below(1), random.below(0)], [7, 0, 0]);
        random.range(0..=u64::MAX);
    }

    #[test]
    fn bytes_stand_for_draws_and_their_end_is_harmless() {
        let mut random = Random::from_bytes(&[0xff, 0, 7, 1, 2]);
        let rare = Probability::from_millionths(1);
        assert!(random.chance(rare));
        assert!(!random.fork("other").chance(Probability::from_percent(99)));
        assert_eq!(random.below(5), 2);
        assert_eq!(random.below(1000), 0x0102);
        assert_eq!((random.next_u64(), random.range(3..=9), *random.pick(&["first", "second"])), (0, 3, "first"));
        assert!(!random.chance(Probability::from_percent(99)));
    }
}
