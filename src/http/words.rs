//! Eight bytes at a time: marks in a little-endian word, which are high bits of the bytes that are looked for.

use core::num::NonZero;

/// Marks what is no visible character: a space and what is below, DEL, and what is above. A mark is wrong only behind
/// the first of them.
#[inline]
pub(super) const fn others(word: u64) -> u64 {
    (word.wrapping_sub(ONES * 0x21) | word.wrapping_add(ONES)) & HIGH_BITS
}

/// Marks what [`others`] marks, and `wanted`, which is a visible character.
#[inline]
pub(super) const fn others_and(word: u64, wanted: u8) -> u64 {
    others(word) | ((word ^ (ONES * wanted as u64)).wrapping_sub(ONES) & HIGH_BITS)
}

/// Marks control characters and what is no ASCII. Of what is behind the first of them, others may be marked as well,
/// and none is missed.
#[inline]
pub(super) const fn control(word: u64) -> u64 {
    (word.wrapping_sub(ONES * 0x20) | word.wrapping_add(ONES)) & HIGH_BITS
}

/// Marks what is no letter of ASCII. A mark is wrong, or missing, only behind a byte that is no ASCII, which is marked.
#[inline]
pub(super) const fn no_letter(word: u64) -> u64 {
    let lower = word | (ONES * 0x20);
    let from_a = lower.wrapping_add(ONES * (0x80 - 0x61));
    let above_z = lower.wrapping_add(ONES * (0x80 - 0x7b));
    (!(from_a ^ above_z) | word) & HIGH_BITS
}

/// Marks what is no letter of ASCII and no hyphen. A mark is wrong, or missing, only behind a byte that is no ASCII,
/// which is marked.
#[inline]
pub(super) const fn no_letter_or_hyphen(word: u64) -> u64 {
    let to_hyphen = word ^ (ONES * b'-' as u64);
    no_letter(word) & (to_hyphen.wrapping_add(ONES * 0x7f) | word)
}

/// Whether it is no visible character.
#[inline]
pub(super) const fn is_other(byte: u8) -> bool {
    !byte.is_ascii_graphic()
}

/// Marks `wanted`, which is ASCII.
#[inline]
pub(super) const fn equal(word: u64, wanted: u8) -> u64 {
    let word = word ^ (ONES * wanted as u64);
    word.wrapping_sub(ONES) & !word & HIGH_BITS
}

pub(super) const ONES: u64 = 0x0101_0101_0101_0101;
pub(super) const HIGH_BITS: u64 = 0x8080_8080_8080_8080;

/// The first byte that is found, eight at a time: `mark` sets the high bit of it in a little-endian word, and of none
/// before it.
#[inline]
pub(super) fn first(bytes: &[u8], mark: impl Fn(u64) -> u64, is_it: impl Fn(u8) -> bool) -> Option<usize> {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut at = 0;
    for word in words {
        let marks = mark(u64::from_le_bytes(*word));
        if marks != 0 {
            return Some(at + marks.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    // Of the last eight, those that have been looked at are not marked again.
    let Some(last) = bytes.last_chunk::<8>().filter(|_| !rest.is_empty()) else {
        return rest.iter().position(|&byte| is_it(byte)).map(|found| at + found);
    };
    let marks = mark(u64::from_le_bytes(*last)) >> (64 - 8 * rest.len());
    (marks != 0).then(|| at + marks.trailing_zeros() as usize / 8)
}

/// Whether a line may begin with this letter, in either case: the first line, or one behind a line feed. There are no
/// false negatives; false positives are lines that begin with a byte that differs in bit 5 only, and what has less than
/// nine bytes.
#[inline]
pub(super) fn may_begin_line(bytes: &[u8], letter: u8) -> bool {
    let letter = letter | 0x20;
    let Some(last) = bytes.last_chunk::<9>().filter(|_| bytes.first().is_none_or(|&first| first | 0x20 != letter))
    else {
        return true;
    };
    // A byte of the first word and the same of the second, which is read one byte further on, are a pair. It is a line
    // feed and the letter where both differences are zero.
    let is_found = |at: &[u8; 8], behind: &[u8; 8]| {
        let line_end = u64::from_le_bytes(*at) ^ (ONES * u64::from(b'\n'));
        let begin = (u64::from_le_bytes(*behind) | (ONES * 0x20)) ^ (ONES * u64::from(letter));
        equal(line_end | begin, 0) != 0
    };
    let behind = bytes.get(1..).unwrap_or_default();
    let [at_last, behind_last] = [last.first_chunk(), last.last_chunk()].map(|chunk| chunk.unwrap_or(&[0; 8]));
    is_found(at_last, behind_last)
        || bytes.as_chunks().0.iter().zip(behind.as_chunks().0).any(|(at, behind)| is_found(at, behind))
}

/// At least eight bytes, which are read from anywhere on.
#[derive(Clone, Copy)]
pub(super) struct Words<'a> {
    bytes: &'a [u8],
    /// Where the last word is.
    last: usize,
}

impl<'a> Words<'a> {
    #[inline]
    pub(super) fn new(bytes: &'a [u8]) -> Option<Self> {
        Some(Self { bytes, last: bytes.len().checked_sub(8)? })
    }

    /// The eight bytes from there on, if they are there.
    #[inline]
    pub(super) fn get(self, at: usize) -> Option<u64> {
        if at > self.last {
            return None;
        }
        Some(u64::from_le_bytes(*self.bytes.get(at..at + 8)?.first_chunk()?))
    }

    /// Whether these four bytes are there, and then no more.
    #[inline]
    pub(super) fn ends_with(self, at: usize, four: u32) -> bool {
        at == self.last + 4 && self.get(self.last).is_some_and(|word| (word >> 32) as u32 == four)
    }

    #[inline]
    pub(super) fn byte(self, at: usize) -> Option<u8> {
        self.bytes.get(at).copied()
    }

    /// As [`end_of_visible`], where that is within two words.
    #[inline]
    pub(super) fn end_of_short(self, from: usize) -> Option<NonZero<usize>> {
        let mut at = from;
        let mut marks = control(self.get(at)?);
        if marks == 0 {
            at += 8;
            marks = control(self.get(at)?);
        }
        NonZero::new(at + NonZero::new(marks)?.trailing_zeros() as usize / 8)
    }
}

/// Where the first byte is, from there on, that is no visible character and no space; `None` if there is none, and
/// perhaps where one is less than eight bytes ahead.
#[inline(never)]
pub(super) fn end_of_visible(bytes: &[u8], from: usize) -> Option<NonZero<usize>> {
    let mut at = from;
    let mut rest = bytes.get(from..)?;
    while let Some((block, behind)) = rest.split_first_chunk::<BLOCK>()
        && block.iter().fold(true, |all, byte| all & matches!(byte, b' '..=b'~'))
    {
        (rest, at) = (behind, at + BLOCK);
    }
    while let Some((word, behind)) = rest.split_first_chunk() {
        let marks = control(u64::from_le_bytes(*word));
        if marks != 0 {
            return NonZero::new(at + marks.trailing_zeros() as usize / 8);
        }
        (rest, at) = (behind, at + 8);
    }
    end_in_last(bytes, at)
}

/// The end of what is visible where less than a word is left.
#[inline]
fn end_in_last(bytes: &[u8], from: usize) -> Option<NonZero<usize>> {
    let marks = control(u64::from_le_bytes(*bytes.last_chunk()?));
    let end = bytes.len() - 8 + NonZero::new(marks)?.trailing_zeros() as usize / 8;
    if end >= from { NonZero::new(end) } else { None }
}

/// Bytes that are looked at together in a long value: two registers, where those have 16 bytes.
const BLOCK: usize = 32;

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec::Vec;

    use super::*;

    #[quickcheck_macros::quickcheck]
    #[expect(clippy::needless_pass_by_value, reason = "quickcheck hands over what it made")]
    fn eight_bytes_at_a_time_find_what_one_at_a_time_finds(bytes: Vec<u8>, plain: u8) -> bool {
        // Mostly of visible characters, or the first byte would nearly always be it.
        let text: Vec<u8> = bytes.iter().map(|byte| if *byte > plain { byte % 0x5e + 0x21 } else { *byte }).collect();
        let graphic = text.iter().position(|byte| !byte.is_ascii_graphic()).unwrap_or(text.len());
        first(&text, others, is_other).unwrap_or(text.len()) == graphic
            && first(&text, |word| equal(word, b'?'), |byte| byte == b'?') == text.iter().position(|&byte| byte == b'?')
            && first(&text, |word| others_and(word, b'?'), |byte| byte == b'?' || is_other(byte))
                == text.iter().position(|&byte| byte == b'?' || is_other(byte))
    }

    #[quickcheck_macros::quickcheck]
    #[expect(clippy::needless_pass_by_value, reason = "quickcheck hands over what it made")]
    fn a_letter_may_begin_a_line_where_one_does_and_mostly_nowhere_else(pieces: Vec<u8>) -> bool {
        const PIECES: [&[u8]; 8] = [b"r", b"R", b"s", b"\n", b"\r\n", b"xyz", b" ", b"\xff"];
        let text: Vec<u8> = pieces.iter().flat_map(|&piece| PIECES[usize::from(piece % 8)]).copied().collect();
        let begins = text.split(|&byte| byte == b'\n').any(|line| line.first().is_some_and(|byte| byte | 0x20 == b'r'));
        may_begin_line(&text, b'R') == (begins || text.len() < 9)
    }

    #[test]
    fn each_byte_that_is_no_visible_character_ends_a_target_wherever_it_stands() {
        for byte in 0..=u8::MAX {
            for at in 0..18 {
                let mut text = [b'x'; 18];
                text[at] = byte;
                let expect = Some(at).filter(|_| !(0x21..=0x7e).contains(&byte));
                assert_eq!(first(&text, others, is_other), expect, "{byte:#x} at {at}");
            }
        }
    }

    #[test]
    fn each_control_character_and_what_is_no_letter_is_marked_wherever_it_stands() {
        for byte in 0..=u8::MAX {
            for at in 0..8 {
                let mut text = [b'x'; 8];
                text[at] = byte;
                let word = u64::from_le_bytes(text);
                let mark = |is_it: bool| if is_it { 0x80 << (8 * at) } else { 0_u64 };
                let first = |marks: u64| marks & marks.wrapping_neg();
                assert_eq!(first(control(word)), mark(!(0x20..=0x7e).contains(&byte)), "{byte:#x} at {at}");
                assert_eq!(first(no_letter(word)), mark(!byte.is_ascii_alphabetic()), "{byte:#x} at {at}");
                let is_plain = byte.is_ascii_alphabetic() || byte == b'-';
                assert_eq!(first(no_letter_or_hyphen(word)), mark(!is_plain), "{byte:#x} at {at}");
            }
        }
    }

    #[quickcheck_macros::quickcheck]
    #[expect(clippy::needless_pass_by_value, reason = "quickcheck hands over what it made")]
    fn no_control_character_is_missed_behind_another(bytes: Vec<u8>) -> bool {
        bytes.windows(8).all(|window| {
            let marks = control(u64::from_le_bytes(window.try_into().unwrap())).to_le_bytes();
            window.iter().zip(marks).all(|(byte, mark)| mark != 0 || (0x20..=0x7e).contains(byte))
        })
    }
}
