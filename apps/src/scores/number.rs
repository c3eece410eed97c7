//! Seat numbers and identity numbers, normalized so that they can be compared.
//!
//! People type them on phones, with input methods that make fullwidth digits, and copy them from messages with spaces
//! in and around them. Tables differ in the same ways. So numbers of requests and of tables are both normalized here.

/// The most bytes of a number. Identity numbers have 18.
pub(super) const NUMBER_MAX: usize = 64;

/// A number without white space, in ASCII where it can be, and in capitals: the check digit of an identity
/// number may be an X.
#[derive(Clone, Copy)]
pub(super) struct Number {
    bytes: [u8; NUMBER_MAX],
    len: usize,
}

/// Why a text is not a number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum NumberError {
    /// It is empty, or blank.
    Empty,
    /// It is longer than [`NUMBER_MAX`].
    Long,
}

impl Number {
    pub(super) fn parse(text: &str) -> Result<Self, NumberError> {
        let mut number = Self { bytes: [0; NUMBER_MAX], len: 0 };
        if text.is_ascii() {
            // The common case.
            for byte in text.bytes().filter(|&byte| !is_blank(byte.into())) {
                *number.bytes.get_mut(number.len).ok_or(NumberError::Long)? = byte.to_ascii_uppercase();
                number.len += 1;
            }
        } else {
            for character in text.chars().filter(|&character| !is_blank(character)).map(narrow) {
                let room = number.bytes.get_mut(number.len..).filter(|room| room.len() >= character.len_utf8());
                number.len += character.encode_utf8(room.ok_or(NumberError::Long)?).len();
            }
        }
        if number.len == 0 { Err(NumberError::Empty) } else { Ok(number) }
    }

    /// The number of a query, where nothing in it is percent-encoded, blank, or outside ASCII, which is how nearly all
    /// are typed; else `None`, which says nothing of whether it is valid.
    #[inline]
    pub(super) fn of_plain(text: &[u8]) -> Option<Self> {
        let mut number = Self { bytes: [0; NUMBER_MAX], len: text.len() };
        number.bytes.get_mut(..text.len()).filter(|room| !room.is_empty())?.copy_from_slice(text);
        // All of the array is looked at, without an early exit, so that it is vectorized. A NUL is there only behind
        // the number, or it is one of the number.
        let (mut is_plain, mut nuls) = (true, 0);
        for byte in &mut number.bytes {
            is_plain &= matches!(byte, 0 | b'!'..=b'~') & !matches!(byte, b'%' | b'+');
            nuls += u8::from(*byte == 0);
            byte.make_ascii_uppercase();
        }
        (is_plain && usize::from(nuls) == NUMBER_MAX - text.len()).then_some(number)
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    pub(super) fn as_str(&self) -> &str {
        str::from_utf8(self.as_bytes()).expect("only whole characters are put in")
    }
}

/// White space of any kind, and invisible characters.
#[inline]
pub(super) fn is_blank(character: char) -> bool {
    character.is_whitespace() || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}')
}

/// Fullwidth forms (Unicode, U+FF01 to U+FF5E) stand for the ASCII characters in the same order.
pub(super) fn narrow(character: char) -> char {
    let narrow = match character {
        '\u{ff01}'..='\u{ff5e}' => char::from((u32::from(character) - 0xff01 + 0x21) as u8),
        _ => character,
    };
    narrow.to_ascii_uppercase()
}

#[cfg(test)]
#[allow(clippy::needless_pass_by_value, reason = "quickcheck hands over what it made")]
mod tests {
    use super::*;

    fn check(text: &str, expect: Result<&str, NumberError>) {
        assert_eq!(Number::parse(text).as_ref().map(Number::as_str).map_err(|&unfit| unfit), expect, "{text:?}");
    }

    #[test]
    fn what_people_type_is_brought_into_one_form() {
        for text in [
            "99010119900101001X",
            " 99010119900101001x\t",
            "９９０１０１１９９００１０１００１Ｘ",
            "９９０１０１１９９００１０１００１ｘ",
            "990101 19900101 001x",
            "\u{3000}99010119900101001X\u{feff}",
            "\u{200b}99010119900101001X\u{a0}",
        ] {
            check(text, Ok("99010119900101001X"));
        }
        check("甲01", Ok("甲01"));
    }

    #[test]
    fn what_is_no_number_says_why() {
        for text in ["", " ", "\u{3000}\r\n", "\u{200b}"] {
            check(text, Err(NumberError::Empty));
        }
        let (longest, longer) = ("9".repeat(NUMBER_MAX), "9".repeat(NUMBER_MAX + 1));
        check(&longest, Ok(&longest));
        check(&longer, Err(NumberError::Long));
        check(&"甲".repeat(22), Err(NumberError::Long));
    }

    #[test]
    fn a_nul_is_part_of_no_plain_number() {
        for text in ["\0", "1\0", "\u{0}1", "1\u{0}1", &"\0".repeat(NUMBER_MAX)] {
            assert!(Number::of_plain(text.as_bytes()).is_none(), "{text:?}");
        }
        assert!(Number::of_plain(&[b'1'; NUMBER_MAX]).is_some() && Number::of_plain(&[b'1'; NUMBER_MAX + 1]).is_none());
    }

    #[quickcheck_macros::quickcheck]
    fn a_plain_number_is_what_any_is(text: String) -> bool {
        // Mostly of what is plain.
        let text: String = text.chars().map(|char| if char.is_alphabetic() { 'x' } else { char }).collect();
        let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic() && !b"%+".contains(&byte));
        let plain = Number::of_plain(text.as_bytes()).map(|number| number.as_bytes().to_vec());
        let any = Number::parse(&text).ok().filter(|_| is_plain).map(|number| number.as_bytes().to_vec());
        plain == any
    }

    #[quickcheck_macros::quickcheck]
    fn the_form_of_a_form_is_itself(text: String) -> bool {
        Number::parse(&text)
            .is_ok_and(|number| Number::parse(number.as_str()).is_ok_and(|again| again.as_bytes() == number.as_bytes()))
            || Number::parse(&text).is_err()
    }
}
