//! The query of a request, as an HTML form makes it (`application/x-www-form-urlencoded`).

/// What `+` stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plus {
    /// As in a path.
    Itself,
    /// As in a query.
    Space,
}

/// The first field of this name, still encoded.
pub(crate) fn field<'q>(query: Option<&'q [u8]>, name: &str) -> Option<&'q [u8]> {
    let mut fields = query.unwrap_or_default().split(|&byte| byte == b'&');
    fields.find_map(|field| field.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
}

/// Decodes percent-encoded text (RFC 3986, section 2.1), and takes away the white space around it.
/// `None` when it is encoded wrong, or longer than `room`.
pub(crate) fn decode<'a>(text: &[u8], plus: Plus, room: &'a mut [u8]) -> Option<&'a str> {
    let mut encoded = text.iter().copied();
    let mut len = 0;
    while let Some(byte) = encoded.next() {
        *room.get_mut(len)? = match byte {
            b'%' => hex_digit(encoded.next()?)? << 4 | hex_digit(encoded.next()?)?,
            b'+' if plus == Plus::Space => b' ',
            plain => plain,
        };
        len += 1;
    }
    str::from_utf8(&room[..len]).ok().map(str::trim)
}

fn hex_digit(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|digit| digit as u8)
}
