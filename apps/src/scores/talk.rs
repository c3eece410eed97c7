//! The hash table of the talk that Lethe comes from, to compare with: chains from a million heads, found by a
//! weighted sum of the characters of the seat number, modulo a million.
//!
//! The talk does not say which weights. Here they are the powers of 31, from the last character on, which is what
//! is mostly meant by a weighted sum.

/// Heads of chains.
const HEADS: u64 = 1_000_000;

/// The weight of a character, times that of the one behind it.
const WEIGHT: u64 = 31;

/// What the talk says of 400,000 candidates: how many in a hundred are found with the first comparison, the second,
/// and so on.
pub const TALK: [u64; 6] = [70, 13, 7, 4, 4, 2];

/// How long its chains are for these candidates.
pub struct Chains {
    lengths: Vec<u16>,
    /// How many candidates are the first of their chain, the second, and so on.
    found: Vec<u64>,
}

impl Chains {
    /// Chains with nobody in them.
    #[expect(clippy::new_without_default, reason = "they are a megabyte")]
    pub fn new() -> Self {
        Self { lengths: vec![0; HEADS as usize], found: Vec::new() }
    }

    /// Puts a seat number at the end of its chain.
    pub fn add(&mut self, seat: &[u8]) {
        let length = &mut self.lengths[hash(seat) as usize];
        let at = usize::from(*length);
        *length = length.saturating_add(1);
        if self.found.len() <= at {
            self.found.resize(at + 1, 0);
        }
        self.found[at] += 1;
    }

    /// How many candidates are found with the first comparison, the second, and so on.
    pub fn found(&self) -> &[u64] {
        &self.found
    }
}

/// The number of the chain that a seat number belongs to.
fn hash(seat: &[u8]) -> u64 {
    seat.iter().fold(0, |sum, &character| (sum * WEIGHT + u64::from(character)) % HEADS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_later_is_found_later() {
        let mut chains = Chains::new();
        // 31 times the first character and once the second: the same sum.
        for seat in [&b"1P"[..], b"21", b"11"] {
            chains.add(seat);
        }
        assert_eq!(hash(b"1P"), hash(b"21"));
        assert_eq!(chains.found(), [2, 1]);
    }
}
