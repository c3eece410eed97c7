//! Percent-encoded text (RFC 3986, section 2.1), and the fields of a query as an HTML form makes them
//! (`application/x-www-form-urlencoded`). Nothing is allocated: text is decoded byte by byte, or into a buffer.

use super::words;

/// The bytes that percent-encoded text stands for: `None` for an escape that is not `%` and two hexadecimal digits.
pub fn percent_decoded(text: &[u8]) -> impl Iterator<Item = Option<u8>> + '_ {
    decoded(text, false)
}

/// The bytes that the name or the value of a form field stands for: `+` is a space there.
pub fn form_decoded(text: &[u8]) -> impl Iterator<Item = Option<u8>> + '_ {
    decoded(text, true)
}

/// Decodes percent-encoded text into `room`: `None` when it is encoded wrong, or longer than that.
pub fn percent_decode<'r>(text: &[u8], room: &'r mut [u8]) -> Option<&'r [u8]> {
    collect(percent_decoded(text), room)
}

/// Decodes the name or the value of a form field into `room`: `None` when it is encoded wrong, or longer than that.
pub fn form_decode<'r>(text: &[u8], room: &'r mut [u8]) -> Option<&'r [u8]> {
    collect(form_decoded(text), room)
}

/// The fields of a query in order: name and value, still encoded. One without `=` is a name with an empty value.
///
/// ```
/// use lethe::http::query;
///
/// let mut fields = query::fields(Some(b"ip=10.0.0.1&q=a+b%21&debug"));
/// assert_eq!(fields.next(), Some((&b"ip"[..], &b"10.0.0.1"[..])));
/// let mut room = [0; 16];
/// assert_eq!(query::form_decode(fields.next().unwrap().1, &mut room), Some(&b"a b!"[..]));
/// assert_eq!(fields.next(), Some((&b"debug"[..], &b""[..])));
/// assert_eq!(fields.next(), None);
/// ```
pub fn fields(query: Option<&[u8]>) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = query;
    let parts = core::iter::from_fn(move || {
        let (part, behind) = split_at_first(rest?, b'&');
        rest = behind;
        Some(part)
    });
    parts.filter(|part| !part.is_empty()).map(|part| {
        let (name, value) = split_at_first(part, b'=');
        (name, value.unwrap_or_default())
    })
}

/// The value of the first field of this name that has a `=`, still encoded. The name may be encoded in the query.
#[inline]
pub fn field<'q>(query: Option<&'q [u8]>, name: &str) -> Option<&'q [u8]> {
    let mut rest = query;
    loop {
        let (part, behind) = split_at_first(rest?, b'&');
        if let Some(value) = part.strip_prefix(name.as_bytes()).and_then(|rest| rest.strip_prefix(b"=")) {
            return Some(value);
        }
        if let (encoded, Some(value)) = split_at_first(part, b'=')
            && encoded.iter().any(|byte| matches!(byte, b'%' | b'+'))
            && form_decoded(encoded).eq(name.bytes().map(Some))
        {
            return Some(value);
        }
        rest = behind;
    }
}

/// What stands before the first such byte, and what stands behind it, if it is there.
#[inline]
fn split_at_first(text: &[u8], wanted: u8) -> (&[u8], Option<&[u8]>) {
    let at = words::first(text, |word| words::equal(word, wanted), |byte| byte == wanted);
    match at.and_then(|at| text.split_at_checked(at)) {
        Some((before, [_, behind @ ..])) => (before, Some(behind)),
        _ => (text, None),
    }
}

fn decoded(text: &[u8], is_form: bool) -> impl Iterator<Item = Option<u8>> + '_ {
    let mut encoded = text.iter().copied();
    core::iter::from_fn(move || {
        Some(match encoded.next()? {
            b'%' => escaped(encoded.next(), encoded.next()),
            b'+' if is_form => Some(b' '),
            plain => Some(plain),
        })
    })
}

fn escaped(high: Option<u8>, low: Option<u8>) -> Option<u8> {
    let digit = |byte: Option<u8>| char::from(byte?).to_digit(16).map(|digit| digit as u8);
    Some(digit(high)? << 4 | digit(low)?)
}

fn collect(decoded: impl Iterator<Item = Option<u8>>, room: &mut [u8]) -> Option<&[u8]> {
    let mut len = 0;
    for byte in decoded {
        *room.get_mut(len)? = byte?;
        len += 1;
    }
    room.get(..len)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec::Vec;

    use super::*;

    #[test]
    fn escapes_are_decoded_and_wrong_ones_are_none() {
        let mut room = [0; 8];
        assert_eq!(percent_decode(b"a%2Fb%e4+", &mut room), Some(&b"a/b\xe4+"[..]));
        assert_eq!(form_decode(b"a+%2b%20", &mut room), Some(&b"a + "[..]));
        for wrong in [&b"%"[..], b"%2", b"%2g", b"%g2", b"a%", b"%%41"] {
            assert_eq!(percent_decode(wrong, &mut room), None, "{wrong:?}");
        }
    }

    #[test]
    fn what_does_not_fit_is_none() {
        let mut room = [0; 3];
        assert_eq!(percent_decode(b"%61bc", &mut room), Some(&b"abc"[..]));
        assert_eq!(percent_decode(b"%61bcd", &mut room), None);
        assert_eq!(percent_decode(b"", &mut []), Some(&b""[..]));
    }

    #[quickcheck_macros::quickcheck]
    #[expect(clippy::needless_pass_by_value, reason = "quickcheck hands over what it made")]
    fn what_is_encoded_is_decoded(bytes: Vec<u8>) -> bool {
        let encoded: Vec<_> = bytes.iter().map(|byte| std::format!("%{byte:02x}")).collect();
        let encoded = encoded.concat();
        form_decoded(encoded.as_bytes()).eq(bytes.iter().copied().map(Some))
    }

    #[test]
    fn the_first_field_of_a_name_counts() {
        let query = Some(&b"ab=1&a&a=2&a=3&%62=4&c+d=5&e=6=7&=8"[..]);
        let found = ["a", "b", "ab", "c d", "e", "", "d"].map(|name| field(query, name));
        let expected = ["2", "4", "1", "5", "6=7", "8"].map(|value| Some(value.as_bytes()));
        assert_eq!((&found[..6], found[6]), (&expected[..], None));
        assert_eq!(field(None, "a"), None);
    }

    #[test]
    fn fields_are_told_in_order() {
        let found: Vec<_> = fields(Some(b"&a=1&&b&=c&d==")).collect();
        let expected = [("a", "1"), ("b", ""), ("", "c"), ("d", "=")];
        assert_eq!(found, expected.map(|(name, value)| (name.as_bytes(), value.as_bytes())));
        assert_eq!(fields(None).count(), 0);
    }
}
