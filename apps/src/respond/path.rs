//! Paths as they are compared, and request targets as they are written into a URL (RFC 3986).

use lethe::http::Writer;

/// The longest path of a rule, in its normal form.
pub(super) const PATH_MAX: usize = 1024;

/// Room for the normal form of a path, of which no more than [`PATH_MAX`] bytes and one escape are needed.
pub(super) type Room = [u8; PATH_MAX + 3];

/// Whether a byte stands for itself in a path: `pchar` without `%`, and the slash (RFC 3986, section 3.3).
pub(super) const fn is_path(byte: u8) -> bool {
    is_unreserved(byte)
        || matches!(
            byte,
            b'/' | b':' | b'@' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'='
        )
}

/// Whether a byte stands for itself in a query (RFC 3986, section 3.4).
pub(super) const fn is_query(byte: u8) -> bool {
    is_path(byte) || byte == b'?'
}

/// Whether a byte stands for itself in the value of a field of a query, and cannot end it.
pub(super) const fn is_value(byte: u8) -> bool {
    is_path(byte) && !matches!(byte, b'&' | b'=' | b'+' | b';')
}

/// A character that means the same when it is escaped (RFC 3986, section 2.3).
const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// The byte that an escape at the start of a text stands for.
fn escape(text: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = text else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    Some(digit(*high)? << 4 | digit(*low)?)
}

const DIGITS: [u8; 16] = *b"0123456789ABCDEF";

/// The escape of a byte (RFC 3986, section 2.1).
pub(super) fn escaped(byte: u8) -> [u8; 3] {
    [b'%', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]
}

/// Whether a path has neither escapes nor anything that would have to be escaped.
#[inline]
pub(super) fn is_normal(path: &[u8]) -> bool {
    path.iter().all(|&byte| is_path(byte))
}

/// A path in the form in which two that mean the same are the same bytes (RFC 3986, section 6.2.2): what is unreserved
/// is not escaped, what has to be escaped is, and in capitals. Of one that is longer than the path of any rule this is
/// the beginning, which is longer as well.
pub(super) fn normal<'a>(path: &'a [u8], room: &'a mut Room) -> &'a [u8] {
    if is_normal(path) {
        return path;
    }
    let (mut rest, mut len) = (path, 0);
    while let [byte, after @ ..] = rest
        && len <= PATH_MAX
    {
        let (byte, after) = escape(rest).map_or((*byte, after), |byte| (byte, &rest[3..]));
        let is_plain = is_unreserved(byte) || after.len() + 1 == rest.len() && is_path(byte);
        let unit = if is_plain { [byte; 3] } else { escaped(byte) };
        let unit = if is_plain { &unit[..1] } else { &unit[..] };
        room[len..len + unit.len()].copy_from_slice(unit);
        len += unit.len();
        rest = after;
    }
    &room[..len]
}

/// What of a path is behind so many bytes of its normal form.
pub(super) fn behind(path: &[u8], normal_len: usize) -> &[u8] {
    let (mut rest, mut len) = (path, 0);
    while let [byte, after @ ..] = rest
        && len < normal_len
    {
        let (is_one, next) = match escape(rest) {
            Some(byte) => (is_unreserved(byte), &rest[3..]),
            None => (is_path(*byte), after),
        };
        len += if is_one { 1 } else { 3 };
        rest = next;
    }
    rest
}

/// Hands over a part of a request target in pieces, as it can stand in a URL: what does not stand for itself is
/// escaped, and escapes stay as they are.
pub(super) fn write(text: &[u8], is_plain: fn(u8) -> bool, mut push: impl FnMut(&[u8])) {
    let mut rest = text;
    while !rest.is_empty() {
        let plain = rest.iter().position(|&byte| !is_plain(byte)).unwrap_or(rest.len());
        let (run, behind) = rest.split_at(plain);
        push(run);
        rest = match behind {
            [b'%', _, _, after @ ..] if escape(behind).is_some() => {
                push(&behind[..3]);
                after
            }
            [byte, after @ ..] => {
                push(&escaped(*byte));
                after
            }
            [] => behind,
        };
    }
}

/// A target that is being written into a `Location`.
pub(super) struct Target<'w, 'a> {
    out: &'w mut Writer<'a>,
    /// It has no host: two slashes at its start would name one.
    is_local: bool,
    len: usize,
}

impl<'w, 'a> Target<'w, 'a> {
    pub(super) const fn new(out: &'w mut Writer<'a>, is_local: bool) -> Self {
        Self { out, is_local, len: 0 }
    }

    /// Appends bytes that can stand in a URL.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        if self.is_local && self.len < 2 {
            // `/.//a` is the path `//a` of the same host (RFC 3986, sections 4.2 and 5.2.4).
            match (self.len, bytes) {
                (0, [b'/', b'/', ..]) => self.out.push("/."),
                (1, [b'/', ..]) => self.out.push("./"),
                _ => {}
            }
        }
        self.out.push_bytes(bytes);
        self.len += bytes.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal_of(path: &[u8]) -> Vec<u8> {
        normal(path, &mut [0; PATH_MAX + 3]).to_vec()
    }

    #[test]
    fn paths_that_mean_the_same_have_one_normal_form() {
        for (path, form) in [
            ("/", "/"),
            ("/a-b/c;d=e", "/a-b/c;d=e"),
            ("/%61%2Db", "/a-b"),
            ("/a%2fb%5c", "/a%2Fb%5C"),
            ("/%3b;", "/%3B;"),
            ("/\\a^\u{e9}", "/%5Ca%5E%C3%A9"),
            ("/%", "/%25"),
            ("/%4", "/%254"),
            ("/%zz%41", "/%25zzA"),
            ("/%2525", "/%2525"),
        ] {
            assert_eq!(String::from_utf8(normal_of(path.as_bytes())).unwrap(), form, "{path}");
        }
    }

    #[quickcheck_macros::quickcheck]
    #[expect(clippy::needless_pass_by_value, reason = "quickcheck hands over what it made")]
    fn a_normal_form_is_its_own_and_is_written_as_it_is(path: Vec<u8>) -> bool {
        let form = normal_of(&path);
        let mut written: Vec<u8> = Vec::new();
        write(&form, is_path, |bytes| written.extend(bytes));
        normal_of(&form) == form && written == form
    }

    #[quickcheck_macros::quickcheck]
    #[expect(clippy::needless_pass_by_value, reason = "quickcheck hands over what it made")]
    fn what_is_behind_a_normal_beginning_has_the_rest_of_the_normal_form(path: Vec<u8>, cut: u8) -> bool {
        let (front, back) = path.split_at(usize::from(cut).min(path.len()));
        // A cut within an escape is no beginning that a path of a rule can have.
        let (front_form, back_form) = (normal_of(front), normal_of(back));
        let form = normal_of(&path);
        [front_form.as_slice(), &back_form].concat() != form || normal_of(behind(&path, front_form.len())) == back_form
    }

    #[test]
    fn a_path_longer_than_any_rule_has_the_beginning_of_its_form_and_more_than_a_rule_can_have() {
        for len in [PATH_MAX - 1, PATH_MAX, PATH_MAX + 1, 10_000] {
            let path = [b"/%41".as_slice(), &vec![b'%'; len]].concat();
            let form = normal_of(&path);
            assert!(form.starts_with(b"/A%25%25") && form.len() > PATH_MAX && form.len() <= PATH_MAX + 3, "{len}");
        }
    }

    #[test]
    fn what_cannot_stand_in_a_url_is_written_escaped() {
        let text = |text: &[u8], is_plain| {
            let mut all = Vec::new();
            write(text, is_plain, |bytes| all.extend(bytes));
            String::from_utf8(all).unwrap()
        };
        let every: Vec<u8> = (0..=u8::MAX).collect();
        for is_plain in [is_path as fn(u8) -> bool, is_query, is_value] {
            let written = text(&every, is_plain);
            assert!(written.bytes().all(|byte| is_plain(byte) || byte == b'%'), "{written}");
            assert!(written.starts_with("%00%01"), "{written}");
        }
        assert_eq!(text(b"/a%2fb\\c?d#e\r\n%4 \xff", is_path), "/a%2fb%5Cc%3Fd%23e%0D%0A%254%20%FF");
        assert_eq!(text(b"a=b&c?d/e#", is_query), "a=b&c?d/e%23");
        assert_eq!(text(b"/a&b=c+d;e%26", is_value), "/a%26b%3Dc%2Bd%3Be%26");
    }

    #[test]
    fn two_slashes_at_the_start_of_a_local_target_name_no_host() {
        for (pieces, local, other) in [
            (&["/a"][..], "/a", "/a"),
            (&["//a"], "/.//a", "//a"),
            (&["/", "/a"], "/.//a", "//a"),
            (&["", "/", "", "/", "/a"], "/.///a", "///a"),
            (&["/a", "/", "/b"], "/a//b", "/a//b"),
        ] {
            for (is_local, expect) in [(true, local), (false, other)] {
                let mut buffer = [0; 32];
                let mut out = Writer::new(&mut buffer);
                let mut target = Target::new(&mut out, is_local);
                for piece in pieces {
                    target.push(piece.as_bytes());
                }
                assert_eq!(out.finish().unwrap(), expect.as_bytes());
            }
        }
    }
}
