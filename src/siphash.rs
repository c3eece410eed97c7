//! `SipHash-2-4` (J.-P. Aumasson, D. J. Bernstein, "A fast short-input PRF", 2012) of messages that are made of
//! whole words, as ours are: a message is never assembled in memory.

/// A hash in the making: of nothing yet, under a key, or of whole words, with which several messages begin.
#[derive(Clone, Copy)]
pub(crate) struct SipHash {
    state: [u64; 4],
    /// Bytes so far. A word, as all else: a value without gaps is written once.
    len: u64,
}

impl SipHash {
    pub(crate) const fn new(key: [u8; 16]) -> Self {
        let key = u128::from_le_bytes(key);
        let (k0, k1) = (key as u64, (key >> 64) as u64);
        // "somepseudorandomlygeneratedbytes"
        let state = [
            k0 ^ 0x736f_6d65_7073_6575,
            k1 ^ 0x646f_7261_6e64_6f6d,
            k0 ^ 0x6c79_6765_6e65_7261,
            k1 ^ 0x7465_6462_7974_6573,
        ];
        Self { state, len: 0 }
    }

    /// Appends words to the message.
    #[inline]
    pub(crate) fn with<const N: usize>(self, words: [u64; N]) -> Self {
        Self { state: words.into_iter().fold(self.state, absorb), len: self.len + 8 * N as u64 }
    }

    /// The hash, the four bytes of `tail` at its end.
    #[inline]
    pub(crate) fn finish(self, tail: u32) -> u64 {
        let len = self.len + 4;
        let [v0, v1, v2, v3] = absorb(self.state, u64::from(tail) | len << 56);
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

    #[quickcheck_macros::quickcheck]
    fn agrees_with_another_implementation(key: (u64, u64), words: (u64, u64), tail: u32) -> bool {
        let key = (u128::from(key.0) | u128::from(key.1) << 64).to_le_bytes();
        let mut message = [0; 20];
        message[..8].copy_from_slice(&words.0.to_le_bytes());
        message[8..16].copy_from_slice(&words.1.to_le_bytes());
        message[16..].copy_from_slice(&tail.to_le_bytes());
        let (start, theirs) = (SipHash::new(key), SipHasher24::new_with_key(&key));
        start.with([words.0, words.1]).finish(tail) == theirs.hash(&message)
            && start.with([words.0]).with([words.1]).finish(tail) == theirs.hash(&message)
            && start.finish(tail) == theirs.hash(&message[16..])
    }
}
