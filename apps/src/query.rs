//! Fields of a query as text, without the white space around it.

pub(crate) use lethe::http::query::field;
use lethe::http::query::{form_decode, percent_decode};

/// What `+` stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plus {
    /// As in a path.
    Itself,
    /// As in a query.
    Space,
}

/// Decodes percent-encoded text, and takes away the white space around it. `None` when it is encoded wrong, is not UTF-8,
/// or is longer than `room`.
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
    fn the_first_field_of_a_name_counts_and_only_of_the_whole_name() {
        let query = Some(&b"xa=0&a=1&ab=2&a=3&b&c="[..]);
        for (name, value) in [("a", Some(&b"1"[..])), ("ab", Some(b"2")), ("b", None), ("c", Some(b"")), ("d", None)] {
            assert_eq!(field(query, name), value, "{name}");
        }
        assert_eq!(field(None, "a"), None);
    }

    #[test]
    fn a_plus_is_a_space_in_a_query_and_itself_in_a_path() {
        let decoded = |plus| decode(b"a+%2B+b", plus, &mut [0; 16]).map(str::to_owned);
        assert_eq!(decoded(Plus::Space).as_deref(), Some("a + b"));
        assert_eq!(decoded(Plus::Itself).as_deref(), Some("a+++b"));
    }

    #[test]
    fn what_fills_the_room_is_decoded_and_what_is_longer_is_not() {
        let decoded = |text: &[u8], room| decode(text, Plus::Itself, &mut vec![0; room]).map(str::to_owned);
        assert_eq!(decoded(b"%41bc", 3).as_deref(), Some("Abc"));
        assert_eq!(decoded(b"%41bc", 2), None);
        assert_eq!(decoded(b" %E5%8c%97%09", 8).as_deref(), Some("\u{5317}"));
        for wrong in [&b"%"[..], b"%4", b"%4g", b"%g4", b"%ff", b"%e5%8c"] {
            assert_eq!(decoded(wrong, 8), None, "{}", wrong.escape_ascii());
        }
    }
}
