//! The Internet checksum (RFC 1071): the one's complement of the one's complement sum of 16-bit words.

/// What the port already knows about one checksum of a received frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Checked {
    /// It has not been verified: the engine does that.
    #[default]
    Unknown,
    /// The port vouches for it (verified by the card, or never on a wire at all).
    Good,
    /// The port found it wrong: the engine drops the frame.
    Bad,
}

/// A one's complement sum in the making.
///
/// Words are added as little-endian numbers, eight bytes at a time, and what overflows comes back in at the other end:
/// modulo 2^64 - 1 is modulo 2^16 - 1 as well. The sum is folded once at the end, and the byte order is put right
/// there (RFC 1071, section 2, B and C).
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

    /// A sum from what [`Sum::folded`] gave. If that was of an odd number of bytes, no more may be added.
    #[inline]
    pub const fn of_folded(sum: u16) -> Self {
        Self { total: sum.swap_bytes() as u64, odd: false }
    }

    /// Adds bytes that follow those added before.
    #[inline]
    #[must_use]
    pub fn with(self, bytes: &[u8]) -> Self {
        let (words, rest) = bytes.as_chunks::<8>();
        let total = words.iter().fold(0, |total, word| add(total, u64::from_le_bytes(*word)));
        let tail = match bytes.last_chunk::<8>() {
            // Those of the last eight that have been added already are shifted out.
            Some(last) => u64::from_le_bytes(*last).checked_shr(64 - 8 * rest.len() as u32).unwrap_or(0),
            None => rest.iter().rev().fold(0, |tail, byte| tail << 8 | u64::from(*byte)),
        };
        self.followed_by(Self { total: add(total, tail), odd: bytes.len() % 2 == 1 })
    }

    /// The sum of these bytes and then those.
    #[inline]
    #[must_use]
    pub fn followed_by(self, other: Self) -> Self {
        // Bytes at odd places weigh as if they had been swapped; so does their sum.
        let total = if self.odd { u64::from(fold(other.total).swap_bytes()) } else { other.total };
        Self { total: add(self.total, total), odd: self.odd ^ other.odd }
    }

    /// The sum over eight bytes of headers at a time, and over some words of four bytes, which have been added to each
    /// other.
    #[inline]
    pub(crate) fn of_headers<const N: usize, const M: usize>(
        network: [u64; N],
        transport: [u64; M],
        words: u64,
    ) -> Self {
        // A carry goes on to the next addition, which takes one instruction. There is room for the last one, since few
        // words are far less than 64 bits.
        let (mut total, mut carry) = (0_u64, false);
        for word in network {
            (total, carry) = total.carrying_add(word, carry);
        }
        for word in transport {
            (total, carry) = total.carrying_add(word, carry);
        }
        let (total, carry) = total.carrying_add(words, carry);
        Self { total: total.wrapping_add(carry.into()), odd: false }
    }

    /// The sum over an IPv4 header of five words: so few that their carries fit beside them.
    #[inline]
    pub(crate) const fn of_ipv4_header([first, addresses]: [u64; 2], middle: u32) -> Self {
        const LOW: u64 = u32::MAX as u64;
        let total = (first & LOW) + (first >> 32) + (addresses & LOW) + (addresses >> 32) + middle as u64;
        Self { total, odd: false }
    }

    /// The value for the checksum field: the complement of the sum.
    #[inline]
    pub fn finish(self) -> u16 {
        self.field().swap_bytes()
    }

    /// The checksum as it stands in a header, read as a little-endian number.
    #[inline]
    pub(crate) const fn field(self) -> u16 {
        !fold(self.total)
    }

    /// The sum itself: what goes into the field when a network card completes it.
    #[inline]
    pub fn folded(self) -> u16 {
        fold(self.total).swap_bytes()
    }

    /// Whether the sum over data and its checksum field is what it has to be.
    #[inline]
    pub fn is_valid(self) -> bool {
        fold(self.total) == 0xffff
    }
}

/// Adds modulo 2^64 - 1.
#[inline]
const fn add(total: u64, more: u64) -> u64 {
    let (total, carry) = total.overflowing_add(more);
    total + carry as u64
}

/// The sum of the four words of 16 bits: in 33 bits, then in 18, and then a number and its halves exchanged add up to
/// the sum of the halves in the upper one, with the carry of the lower.
#[inline]
const fn fold(total: u64) -> u16 {
    let total = (total >> 32) + (total & 0xffff_ffff);
    let total = ((total >> 16) + (total & 0xffff)) as u32;
    (total.wrapping_add(total.rotate_left(16)) >> 16) as u16
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
