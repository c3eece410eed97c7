//! The path of a request, as the path of a file.
//!
//! Path traversal is impossible: a path is only compared with those of the image, and no file is opened. Paths that no
//! file can have are still refused with 400 and not answered with 404: an image must not hold such paths, which another
//! program could unpack to a place outside its directory, and the client learns that its request is malformed.

/// The longest path of a file, in bytes. A request has to fit a segment, and few would with a longer path,
/// percent-encoded.
pub(super) const PATH_MAX: usize = 1024;

/// Why a path names no file in any directory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum PathError {
    /// A `%` without two hexadecimal digits behind it.
    Escape,
    /// A NUL or a backslash, or a slash that was percent-encoded.
    Character,
    /// A segment `..`. Clients resolve these before they ask (RFC 3986, section 5.2.4). A `.` they should resolve as
    /// well; it is left out.
    Parent,
    /// More than [`PATH_MAX`] bytes, or than there is room for: no file of an image has such a path.
    Long,
}

/// Decodes a path that begins with `/`. `buffer` is used only if anything in it is percent-encoded, or a segment `.`.
pub(super) fn decode<'a>(encoded: &'a [u8], buffer: &'a mut [u8]) -> Result<&'a [u8], PathError> {
    if is_plain(encoded) {
        return check_len(encoded);
    }
    // The loop has no early exit, so that it is vectorized.
    let found = encoded.iter().fold(0, |found, &byte| found | u8::from(byte == b'%') | u8::from(is_refused(byte)) << 1);
    let len = match found {
        // Few paths have a segment that begins with a dot.
        0 if !encoded.windows(2).any(|pair| pair == b"/.") => return check_len(encoded),
        0 => copy(encoded, buffer)?,
        1 => unescape(encoded, buffer)?,
        _ => return Err(PathError::Character),
    };
    let len = leave_dots_out(&mut buffer[..len])?;
    check_len(&buffer[..len])
}

/// Whether there is nothing in a path to be decoded, left out or refused, told eight bytes at a time. There are no
/// false positives; false negatives are paths of less than nine bytes, and a few with dots and slashes in a row.
fn is_plain(path: &[u8]) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    // Marks bytes that are `wanted`, and perhaps some behind a marked one.
    let equal = |word: u64, wanted: u8| {
        let word = word ^ (ONES * u64::from(wanted));
        word.wrapping_sub(ONES) & !word & (ONES << 7)
    };
    let has_none = |&at: &[u8; 8], &behind: &[u8; 8]| {
        let (at, behind) = (u64::from_le_bytes(at), u64::from_le_bytes(behind));
        let others = equal(at, b'%') | equal(at, b'\\') | equal(at, 0);
        others | equal(at, b'/') & equal(behind, b'.') == 0
    };
    let Some((last, [.., end])) = path.last_chunk::<9>().and_then(|last| last.first_chunk().zip(Some(last))) else {
        return false;
    };
    let Some(behind_last) = path.last_chunk() else { return false };
    let behind = path.get(1..).unwrap_or_default().as_chunks().0;
    has_none(last, behind_last)
        && !matches!(end, b'%' | b'\\' | 0)
        && path.as_chunks().0.iter().zip(behind).all(|(at, behind)| has_none(at, behind))
}

/// Whether these bytes, which begin with `/`, can be the path of a file.
pub(super) fn check(path: &[u8]) -> Result<(), PathError> {
    if path.iter().copied().any(is_refused) {
        Err(PathError::Character)
    } else if path.split(|&byte| byte == b'/').any(|segment| matches!(segment, b"." | b"..")) {
        Err(PathError::Parent)
    } else {
        check_len(path).map(|_| ())
    }
}

/// A path, if it is not longer than any.
const fn check_len(path: &[u8]) -> Result<&[u8], PathError> {
    if path.len() > PATH_MAX { Err(PathError::Long) } else { Ok(path) }
}

fn copy(path: &[u8], buffer: &mut [u8]) -> Result<usize, PathError> {
    buffer.get_mut(..path.len()).ok_or(PathError::Long)?.copy_from_slice(path);
    Ok(path.len())
}

/// Leaves segments `.` out of a path that begins with `/` (RFC 3986, section 5.2.4), and returns its length without.
fn leave_dots_out(path: &mut [u8]) -> Result<usize, PathError> {
    let (mut from, mut len) = (0, 0);
    while from < path.len() {
        let end = path[from + 1..].iter().position(|&byte| byte == b'/').map_or(path.len(), |at| from + 1 + at);
        match &path[from + 1..end] {
            b".." => return Err(PathError::Parent),
            b"." if end < path.len() => {}
            // The last one leaves its slash.
            b"." => {
                path[len] = b'/';
                len += 1;
            }
            _ => {
                path.copy_within(from..end, len);
                len += end - from;
            }
        }
        from = end;
    }
    Ok(len)
}

/// Whether no path has this byte.
const fn is_refused(byte: u8) -> bool {
    matches!(byte, 0 | b'\\')
}

/// Decodes what has no byte that is refused, unless it is encoded, and returns its length.
fn unescape(encoded: &[u8], buffer: &mut [u8]) -> Result<usize, PathError> {
    let mut len = 0;
    let mut rest = encoded;
    while let [first, after @ ..] = rest {
        let byte = match (first, after) {
            (b'%', [high, low, after @ ..]) => {
                rest = after;
                digit(*high)? << 4 | digit(*low)?
            }
            (b'%', _) => return Err(PathError::Escape),
            (&byte, after) => {
                rest = after;
                // A literal slash separates segments; only an encoded one would be part of a name.
                *buffer.get_mut(len).ok_or(PathError::Long)? = byte;
                len += 1;
                continue;
            }
        };
        if byte == b'/' || is_refused(byte) {
            return Err(PathError::Character);
        }
        *buffer.get_mut(len).ok_or(PathError::Long)? = byte;
        len += 1;
    }
    Ok(len)
}

fn digit(character: u8) -> Result<u8, PathError> {
    char::from(character).to_digit(16).map(|digit| digit as u8).ok_or(PathError::Escape)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::path::{Component, Path};

    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check_path(path: &str, expect: Result<&[u8], PathError>) {
        assert_eq!(decode(path.as_bytes(), &mut [0; PATH_MAX]), expect, "{path}");
    }

    #[test]
    fn what_is_not_encoded_stays_as_it_is() {
        for path in ["/", "/a", "/a/b.html", "/a/", "/...", "/.a", "/a..b", "//", "/+", "/~"] {
            check_path(path, Ok(path.as_bytes()));
        }
    }

    #[test]
    fn what_is_to_be_changed_or_refused_is_seen_wherever_it_stands() {
        for len in 9..30 {
            let plain = vec![b'a'; len];
            assert!(is_plain(&plain));
            for piece in [&b"%"[..], b"\\", b"\0", b"/."] {
                for at in 0..=len - piece.len() {
                    let mut path = plain.clone();
                    path[at..at + piece.len()].copy_from_slice(piece);
                    assert!(!is_plain(&path), "{}", path.escape_ascii());
                }
            }
        }
        assert!(is_plain(b"/docs/a..b.html/") && !is_plain(b"/short"));
    }

    #[test]
    fn escapes_are_decoded_once() {
        check_path("/a%20b", Ok(b"/a b"));
        check_path("/%e4%bd%A0", Ok("/你".as_bytes()));
        check_path("/%ff", Ok(b"/\xff"));
        check_path("/%2525", Ok(b"/%25"));
        check_path("/a%2ehtml", Ok(b"/a.html"));
    }

    #[test]
    fn an_escape_has_two_hexadecimal_digits() {
        for path in ["/%", "/%2", "/%2/", "/%g0", "/%0g", "/%%20", "/%+1", "/a%"] {
            check_path(path, Err(PathError::Escape));
        }
    }

    #[test]
    fn nul_backslash_and_an_encoded_slash_are_refused() {
        for path in ["/%00", "/a%00.html", "/%5c", "/a\\b", "/..%5c", "/%2f", "/a%2Fb", "/..%2fetc"] {
            check_path(path, Err(PathError::Character));
        }
    }

    #[test]
    fn segments_that_lead_upwards_are_refused_however_they_are_written() {
        for path in ["/..", "/../a", "/a/..", "/a/./..", "/%2e%2e/a", "/.%2e", "/a/%2E%2e/b"] {
            check_path(path, Err(PathError::Parent));
        }
    }

    #[test]
    fn segments_of_one_dot_are_left_out_however_they_are_written() {
        for (path, decoded) in [
            ("/.", "/"),
            ("/./", "/"),
            ("/./a", "/a"),
            ("/a/./b", "/a/b"),
            ("/a/.", "/a/"),
            ("/././a/././", "/a/"),
            ("/%2E/a", "/a"),
            ("/a%20b/%2e/.c", "/a b/.c"),
            ("//./a", "//a"),
        ] {
            check_path(path, Ok(decoded.as_bytes()));
        }
        let dots = format!("/{}a", "./".repeat(PATH_MAX));
        assert_eq!(decode(dots.as_bytes(), &mut [0; 3 * PATH_MAX]), Ok(&b"/a"[..]));
        assert_eq!(decode(dots.as_bytes(), &mut [0; PATH_MAX]), Err(PathError::Long));
    }

    #[test]
    fn a_path_that_is_longer_than_any_file_has_is_told_apart() {
        let long = format!("/{}", "a".repeat(PATH_MAX - 1));
        check_path(&long, Ok(long.as_bytes()));
        check_path(&format!("{long}a"), Err(PathError::Long));
        check_path(&format!("{long}%61"), Err(PathError::Long));
        // The buffer may be smaller still.
        assert_eq!(decode(b"/%61", &mut [0; 1]), Err(PathError::Long));
    }

    /// Paths of pieces that traversal attacks are made of.
    fn path() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            Just("/"),
            Just(".."),
            Just("."),
            Just("%2e"),
            Just("%2F"),
            Just("%5C"),
            Just("\\"),
            Just("%00"),
            Just("%25"),
            Just("2e"),
            Just("%"),
            Just("a"),
            Just("%c0%ae"),
        ];
        prop::collection::vec(piece, 0..12).prop_map(|pieces| format!("/{}", pieces.concat()))
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(4096) })]

        #[test]
        fn no_decoded_path_leads_out_of_the_directory(path in path()) {
            let mut buffer = [0; PATH_MAX];
            if let Ok(decoded) = decode(path.as_bytes(), &mut buffer) {
                let file = Path::new("/srv/www").join(Path::new(OsStr::from_bytes(decoded)).strip_prefix("/").unwrap());
                prop_assert!(file.starts_with("/srv/www"), "{file:?}");
                prop_assert!(file.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_))));
                prop_assert!(!decoded.contains(&0) && !decoded.contains(&b'\\'));
                // An encoded slash makes no new segment, and one of a dot none.
                let path = path.replace("%2e", ".");
                let dots = path.split('/').filter(|&segment| segment == ".").count();
                let is_last = usize::from(path.ends_with("/."));
                let slashes = |bytes: &[u8]| bytes.split(|&byte| byte == b'/').count();
                prop_assert_eq!(slashes(decoded) + dots - is_last, slashes(path.as_bytes()));
            }
        }

        #[test]
        fn any_bytes_can_be_asked_for(mut name in prop::collection::vec(any::<u8>(), 1..40)) {
            name.retain(|byte| !matches!(byte, 0 | b'/' | b'\\'));
            prop_assume!(name != b"." && name != b"..");
            let encoded = name.iter().fold("/".to_owned(), |path, byte| format!("{path}%{byte:02x}"));
            let mut buffer = [0; PATH_MAX];
            prop_assert_eq!(decode(encoded.as_bytes(), &mut buffer), Ok(&[b"/", &name[..]].concat()[..]));
        }
    }
}
