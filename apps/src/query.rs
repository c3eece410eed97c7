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
