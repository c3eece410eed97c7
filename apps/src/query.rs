//! Fields of a query as text, without the white space around it.

pub(crate) use lethe::http::query::field;
use lethe::http::query::{form_decode, percent_decode};

/// What `+` stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plus {
    /// Itself, in a path.
    Itself,
    /// A space, in a query.
    Space,
}

/// Decodes percent-encoded text, and trims white space. `None` when the encoding is malformed, or the text is not UTF-8
/// or longer than `room`.
pub(crate) fn decode<'a>(text: &[u8], plus: Plus, room: &'a mut [u8]) -> Option<&'a str> {
    let bytes = match plus {
        Plus::Itself => percent_decode(text, room),
        Plus::Space => form_decode(text, room),
    };
    str::from_utf8(bytes?).ok().map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plus_is_a_space_in_a_query_and_itself_in_a_path() {
        let decoded = |plus| decode(b"a+%2B+b", plus, &mut [0; 16]).map(str::to_owned);
        assert_eq!(decoded(Plus::Space).as_deref(), Some("a + b"));
        assert_eq!(decoded(Plus::Itself).as_deref(), Some("a+++b"));
    }

    #[test]
    fn white_space_around_text_is_taken_away_and_what_is_no_text_is_none() {
        let decoded = |text: &[u8]| decode(text, Plus::Itself, &mut [0; 8]).map(str::to_owned);
        assert_eq!(decoded(b" %E5%8c%97%09").as_deref(), Some("\u{5317}"));
        for wrong in [&b"%4"[..], b"%ff", b"%e5%8c", b"123456789"] {
            assert_eq!(decoded(wrong), None, "{}", wrong.escape_ascii());
        }
    }
}
