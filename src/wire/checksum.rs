//! The Internet checksum (RFC 1071): the one's complement of the one's complement sum of 16-bit words.

/// A one's complement sum in the making.
///
/// Words are added in the machine's own byte order, four bytes at a time, into 64 bits: carries are
/// folded once at the end, and the byte order is put right there (RFC 1071, section 2, B and C).
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum {
    total: u64,
    /// An odd number of bytes was added so far.
    odd: bool,
}

impl Sum {
    /// The sum of nothing.
    pub const fn new() -> Self {
        Self { total: 0, odd: false }
    }

    /// Adds bytes that follow those added before.
    ///
    /// 64 bits hold the carries of 2^32 words, far beyond any packet.
    #[inline]
    #[must_use]
    pub fn with(self, bytes: &[u8]) -> Self {
        let (words, rest) = bytes.as_chunks::<4>();
        let mut total: u64 = words.iter().map(|word| u64::from(u32::from_ne_bytes(*word))).sum();
        let tail = match *rest {
            [a] => [a, 0, 0, 0],
            [a, b] => [a, b, 0, 0],
            [a, b, c] => [a, b, c, 0],
            _ => [0; 4],
        };
        total += u64::from(u32::from_ne_bytes(tail));
        if self.odd {
            // Bytes at odd places weigh as if they had been swapped; so does their sum.
            total = u64::from(fold(total).swap_bytes());
        }
        Self { total: self.total + total, odd: self.odd ^ (bytes.len() % 2 == 1) }
    }

    /// Adds a 16-bit field. Nothing of odd length may have been added before.
    #[inline]
    #[must_use]
    pub fn with_u16(self, value: u16) -> Self {
        Self { total: self.total + u64::from(value.to_be()), odd: self.odd }
    }

    /// The value for the checksum field: the complement of the sum.
    #[inline]
    pub fn finish(self) -> u16 {
        !self.folded()
    }

    /// The sum itself: what goes into the field when a network card completes it.
    #[inline]
    pub fn folded(self) -> u16 {
        u16::from_be(fold(self.total))
    }

    /// Whether the sum over data and its checksum field is what it has to be.
    #[inline]
    pub fn is_valid(self) -> bool {
        fold(self.total) == 0xffff
    }
}

/// Adds the carries back in until none is left: once from 64 to 33 bits, then down to 16.
#[inline]
const fn fold(total: u64) -> u16 {
    let total = (total >> 32) + (total & 0xffff_ffff);
    let total = (total >> 16) + (total & 0xffff);
    let total = (total >> 16) + (total & 0xffff);
    let total = (total >> 16) + (total & 0xffff);
    total as u16
}

#[cfg(test)]
#[allow(clippy::needless_pass_by_value, reason = "quickcheck hands over what it made")]
mod tests {
    extern crate std;
    use std::vec::Vec;

    use super::*;

    /// RFC 1071, section 4.1, in the obvious way.
    fn oracle(bytes: &[u8]) -> u16 {
        let mut total: u32 = 0;
        for pair in bytes.chunks(2) {
            let low = pair.get(1).copied().unwrap_or(0);
            total += u32::from(u16::from_be_bytes([pair[0], low]));
            total = (total >> 16) + (total & 0xffff);
        }
        !(total as u16)
    }

    #[test]
    fn example_of_rfc_1071() {
        let sum = Sum::new().with(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]);
        assert_eq!(sum.folded(), 0xddf2);
        assert_eq!(sum.finish(), !0xddf2);
    }

    #[quickcheck_macros::quickcheck]
    fn agrees_with_the_obvious_way(bytes: Vec<u8>) -> bool {
        Sum::new().with(&bytes).finish() == oracle(&bytes)
    }

    #[quickcheck_macros::quickcheck]
    fn may_be_taken_in_pieces_of_any_length(bytes: Vec<u8>, cuts: Vec<usize>) -> bool {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
        cuts.sort_unstable();
        let (mut sum, mut start) = (Sum::new(), 0);
        for cut in cuts.into_iter().chain([bytes.len()]) {
            sum = sum.with(&bytes[start..cut]);
            start = cut;
        }
        sum.finish() == oracle(&bytes)
    }

    #[quickcheck_macros::quickcheck]
    fn data_with_its_checksum_is_valid_and_any_flipped_bit_is_not(bytes: Vec<u8>, bit: usize) -> bool {
        let mut bytes = bytes;
        if bytes.len() % 2 == 1 {
            bytes.push(0);
        }
        let checksum = Sum::new().with(&bytes).finish();
        bytes.extend(checksum.to_be_bytes());
        let right = Sum::new().with(&bytes).is_valid();
        let bit = bit % (bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        right && !Sum::new().with(&bytes).is_valid()
    }

    #[test]
    fn a_whole_jumbo_packet_of_ones_does_not_overflow() {
        let bytes = std::vec![0xff; 65_535];
        assert_eq!(Sum::new().with(&bytes).finish(), oracle(&bytes));
    }
}
