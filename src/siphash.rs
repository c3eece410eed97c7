//! `SipHash-2-4` (J.-P. Aumasson, D. J. Bernstein, "A fast short-input PRF", 2012) of messages that are made of
//! whole words, as ours are: nothing is put together in memory only to be read again.

/// A key, ready to hash with.
#[derive(Clone, Copy)]
pub(crate) struct SipHash([u64; 4]);

impl SipHash {
    pub(crate) const fn new(key: [u8; 16]) -> Self {
        let key = u128::from_le_bytes(key);
        let (k0, k1) = (key as u64, (key >> 64) as u64);
        // "somepseudorandomlygeneratedbytes"
        Self([
            k0 ^ 0x736f_6d65_7073_6575,
            k1 ^ 0x646f_7261_6e64_6f6d,
            k0 ^ 0x6c79_6765_6e65_7261,
            k1 ^ 0x7465_6462_7974_6573,
        ])
    }

    /// Hashes `words`, and behind them the `tail_len` low bytes of `tail`, at most 7; the others are zero.
    #[inline]
    pub(crate) fn hash<const N: usize>(&self, words: [u64; N], tail: u64, tail_len: usize) -> u64 {
        let mut state = self.0;
        for word in words {
            state = absorb(state, word);
        }
        let [v0, v1, v2, v3] = absorb(state, tail | ((8 * N + tail_len) as u64) << 56);
        let [v0, v1, v2, v3] = round(round(round(round([v0, v1, v2 ^ 0xff, v3]))));
        v0 ^ v1 ^ v2 ^ v3
    }
}

#[inline]
const fn absorb([v0, v1, v2, v3]: [u64; 4], word: u64) -> [u64; 4] {
    let [v0, v1, v2, v3] = round(round([v0, v1, v2, v3 ^ word]));
    [v0 ^ word, v1, v2, v3]
}

#[inline]
const fn round([v0, v1, v2, v3]: [u64; 4]) -> [u64; 4] {
    let (v0, v2) = (v0.wrapping_add(v1), v2.wrapping_add(v3));
    let (v1, v3) = (v1.rotate_left(13) ^ v0, v3.rotate_left(16) ^ v2);
    let (v2, v0) = (v2.wrapping_add(v1), v0.rotate_left(32).wrapping_add(v3));
    [v0, v1.rotate_left(17) ^ v2, v2.rotate_left(32), v3.rotate_left(21) ^ v0]
}

#[cfg(test)]
mod tests {
    use siphasher::sip::SipHasher24;

    use super::*;

    #[test]
    fn example_of_the_paper() {
        // Appendix A: key 00 … 0f, message 00 … 0e.
        let key = core::array::from_fn(|at| at as u8);
        let hash = SipHash::new(key).hash([0x0706_0504_0302_0100], 0x000e_0d0c_0b0a_0908, 7);
        assert_eq!(hash, 0xa129_ca61_49be_45e5);
    }

    #[quickcheck_macros::quickcheck]
    fn agrees_with_another_implementation(key: (u64, u64), words: (u64, u64), tail: u32) -> bool {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&key.0.to_le_bytes());
        bytes[8..].copy_from_slice(&key.1.to_le_bytes());
        let mut message = [0; 20];
        message[..8].copy_from_slice(&words.0.to_le_bytes());
        message[8..16].copy_from_slice(&words.1.to_le_bytes());
        message[16..].copy_from_slice(&tail.to_le_bytes());
        let ours = SipHash::new(bytes);
        ours.hash([words.0, words.1], tail.into(), 4) == SipHasher24::new_with_key(&bytes).hash(&message)
            && ours.hash([], (tail & 0xffff).into(), 2) == SipHasher24::new_with_key(&bytes).hash(&message[16..18])
    }
}
