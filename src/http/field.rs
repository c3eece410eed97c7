//! Names and values of header fields that are known to be such (RFC 9110, section 5).

use core::fmt;

/// The name of a header field: a token, so that it cannot end its line or hide in another field.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FieldName(&'static str);

/// The value of a header field: without CR, LF and NUL, each of which could end the field.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FieldValue<'a>(&'a str);

/// A text that cannot stand in a header field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InvalidField;

impl fmt::Display for InvalidField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field name is a token, and a field value has no CR, LF or NUL in it")
    }
}

impl core::error::Error for InvalidField {}

impl FieldName {
    /// `Allow`
    pub const ALLOW: Self = Self("Allow");
    /// `Cache-Control`
    pub const CACHE_CONTROL: Self = Self("Cache-Control");
    /// `Content-Encoding`
    pub const CONTENT_ENCODING: Self = Self("Content-Encoding");
    /// `Content-Language`
    pub const CONTENT_LANGUAGE: Self = Self("Content-Language");
    /// `Content-Type`
    pub const CONTENT_TYPE: Self = Self("Content-Type");
    /// `ETag`
    pub const ETAG: Self = Self("ETag");
    /// `Last-Modified`
    pub const LAST_MODIFIED: Self = Self("Last-Modified");
    /// `Location`
    pub const LOCATION: Self = Self("Location");
    /// `Retry-After`
    pub const RETRY_AFTER: Self = Self("Retry-After");
    /// `Vary`
    pub const VARY: Self = Self("Vary");

    /// The field of this name. Best made in a constant, where a wrong one does not compile:
    ///
    /// ```
    /// # use lethe::http::FieldName;
    /// const SERVER_TIMING: FieldName = FieldName::new("Server-Timing").unwrap();
    /// assert!(FieldName::new("Server Timing").is_none());
    /// ```
    pub const fn new(name: &'static str) -> Option<Self> {
        let mut rest = name.as_bytes();
        if rest.is_empty() {
            return None;
        }
        while let [byte, after @ ..] = rest {
            if !is_token(*byte) {
                return None;
            }
            rest = after;
        }
        Some(Self(name))
    }

    /// As it is sent.
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

impl<'a> FieldValue<'a> {
    /// The value with this text.
    ///
    /// # Errors
    ///
    /// [`InvalidField`]: there is a CR, LF or NUL in it.
    pub fn new(text: &'a str) -> Result<Self, InvalidField> {
        if text.bytes().any(ends_value) { Err(InvalidField) } else { Ok(Self(text)) }
    }

    /// As it is sent.
    pub const fn as_str(self) -> &'a str {
        self.0
    }
}

/// Whether a byte cannot stand in a field value (RFC 9110, section 5.5).
#[inline]
pub(super) const fn ends_value(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n' | 0)
}

/// `tchar` of RFC 9110, section 5.6.2.
pub(super) const fn is_token(byte: u8) -> bool {
    matches!(
        byte,
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.'
            | b'^' | b'_' | b'`' | b'|' | b'~'
    )
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;

    #[test]
    fn a_name_is_a_token() {
        for name in ["X", "Content-Type", "x_1!#$%&'*+-.^_`|~"] {
            assert_eq!(FieldName::new(name).map(FieldName::as_str), Some(name));
        }
        for name in ["", " ", "A B", "A:", "A\r\n", "\0", "\u{e9}", "(a)", "a/b"] {
            assert_eq!(FieldName::new(name), None, "{name:?}");
        }
    }

    #[test]
    fn every_byte_is_a_token_or_not_as_the_rfc_lists_them() {
        let listed = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        assert!((0..=u8::MAX).all(|byte| is_token(byte) == listed(byte)));
    }

    #[test]
    fn a_value_cannot_end_its_field() {
        for text in ["", "a b", "text/plain; charset=utf-8", "\u{e9}\t"] {
            assert_eq!(FieldValue::new(text).map(FieldValue::as_str), Ok(text));
        }
        for text in ["a\r\nb", "\n", "\r", "a\0"] {
            assert_eq!(FieldValue::new(text), Err(InvalidField), "{text:?}");
        }
        assert!(std::format!("{InvalidField}").contains("CR"));
    }
}
