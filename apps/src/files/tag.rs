//! Entity tags (RFC 9110, section 8.8.3).

use core::fmt;
use core::hash::Hasher as _;

use lethe::http::Headers;
use siphasher::sip128::{Hasher128 as _, SipHasher13};

/// The bytes of a tag.
pub(super) const TAG_LEN: usize = 16;

/// The hash of a content: SipHash-1-3 of 128 bits under a key of zeros, so that all machines that serve a file give it
/// the same tag.
///
/// It finds accidental damage, and accidental collisions are not to be expected. It is not collision-resistant against
/// an attacker who may write the served files, and who could do worse than make two with the same tag.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Tag(pub(super) [u8; TAG_LEN]);

/// Computes a tag piece by piece.
#[derive(Default)]
pub(super) struct Tagger(SipHasher13);

impl Tagger {
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }

    pub(super) fn finish(&self) -> Tag {
        Tag(self.0.finish128().as_bytes())
    }
}

impl Tag {
    /// The opaque tag, in hexadecimal.
    pub(super) fn hex(self) -> [u8; 2 * TAG_LEN] {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut hex = [0; 2 * TAG_LEN];
        for (pair, byte) in hex.as_chunks_mut::<2>().0.iter_mut().zip(self.0) {
            *pair = [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]];
        }
        hex
    }

    /// Whether `If-None-Match` lists it, or is `*`: the client has this content (RFC 9110, section 13.1.2). Malformed
    /// text ends the list.
    pub(super) fn is_known(self, headers: &Headers<'_>) -> bool {
        headers.values("if-none-match").any(|value| {
            // Outside of the loop over a list, which may be long.
            let hex = self.hex();
            value == b"*" || Opaque(value).any(|tag| tag == hex)
        })
    }
}

/// The value of the header field, in quotes.
impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.hex().escape_ascii())
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The opaque tags of a list. The comparison is weak, so weak tags are like strong ones.
struct Opaque<'a>(&'a [u8]);

impl<'a> Iterator for Opaque<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let start = self.0.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b','))?;
        let tag = self.0.get(start..)?;
        let tag = tag.strip_prefix(b"W/").unwrap_or(tag).strip_prefix(b"\"")?;
        // A comma may be part of a tag, a quote may not.
        let end = tag.iter().position(|&byte| byte == b'"')?;
        self.0 = tag.get(end + 1..)?;
        tag.get(..end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(bytes: &[u8]) -> Tag {
        let mut tagger = Tagger::default();
        tagger.add(bytes);
        tagger.finish()
    }

    const HELLO: &str = "1b3e4dd374c91880e8a578ea955ab223";

    #[track_caller]
    fn check(value: &str, expect: bool) {
        let value = value.replace("HELLO", HELLO);
        let fields = format!("If-None-Match: {value}\r\n");
        assert_eq!(tag(b"hello\n").is_known(&Headers::new(fields.as_bytes())), expect, "{value}");
    }

    #[test]
    fn the_tag_of_a_content_stays_as_it_is() {
        // Another version of Lethe must not make every client fetch everything again.
        assert_eq!(tag(b"hello\n").hex(), HELLO.as_bytes());
        assert_ne!(tag(b"hello").hex(), HELLO.as_bytes());
    }

    #[test]
    fn a_content_in_pieces_has_the_same_tag() {
        let bytes: Vec<u8> = (0..100).collect();
        for cut in 0..100 {
            let mut tagger = Tagger::default();
            tagger.add(&bytes[..cut]);
            tagger.add(&bytes[cut..]);
            assert_eq!(tagger.finish(), tag(&bytes), "{cut}");
        }
    }

    #[test]
    fn a_tag_is_found_in_a_list_weak_or_strong() {
        check("\"HELLO\"", true);
        check("W/\"HELLO\"", true);
        check("\"a\", \"HELLO\"", true);
        check("\"a\" ,,\tW/\"b,c\",\"HELLO\", \"d\"", true);
        check("*", true);
    }

    #[test]
    fn what_is_not_quite_the_tag_is_another() {
        for value in
            ["", "HELLO", "\"HELLO", "\"HELLO \"", "\"\"", "\"a\"", "w/\"HELLO\"", "\"*\"", "\"a\" * \"HELLO\""]
        {
            check(value, false);
        }
        check(&format!("\"{}\"", HELLO.to_uppercase()), false);
        assert!(!tag(b"hello\n").is_known(&Headers::default()));
    }

    #[test]
    fn several_fields_are_one_list() {
        let fields = format!("If-None-Match: \"a\"\r\nif-none-match: \"{HELLO}\"\r\n");
        assert!(tag(b"hello\n").is_known(&Headers::new(fields.as_bytes())));
    }

    #[test]
    fn a_tag_is_shown_as_it_is_sent() {
        let tag = tag(b"hello");
        assert_eq!(format!("{tag:?}"), tag.to_string());
        assert_eq!(tag.to_string().len(), 34);
    }
}
