//! The format of an image: complete responses, and an index of their paths.
//!
//! Numbers are little-endian. The sections follow one another without gaps.
//!
//! | bytes  | what                                                                        |
//! |--------|-----------------------------------------------------------------------------|
//! | 64     | header                                                                      |
//! |        | objects: each the complete head of a response, and then its body            |
//! | 52 × O | object table, in the order of the objects                                   |
//! | 24 × P | path table, ascending by path                                               |
//! | 8 × S  | hash table of paths: S is a power of two and greater than P                 |
//! | 8 × Q  | position table: the objects that have one, in their order                   |
//! | T      | the paths, one behind the other                                             |
//!
//! | bytes | header                            | bytes | of an object                            |
//! |-------|-----------------------------------|-------|-----------------------------------------|
//! | 8     | magic, `LETHE-FS`                 | 8     | where its head begins                   |
//! | 4     | version of the format: 4          | 8     | bytes of the body                       |
//! | 4     | O                                 | 16    | hash of the body, which is its tag      |
//! | 4     | P                                 | 4     | bytes of the head                       |
//! | 4     | S                                 | 4     | CRC-32 of the head                      |
//! | 4     | Q                                 | 4     | unit at which it begins, or 2³² − 1     |
//! | 4     | page for 404, see below           | 8     | when it was written, in seconds, or 2⁶⁴ − 1 |
//! |       |                                   |       | **of a path**                           |
//! | 8     | T                                 | 4     | where it begins in the paths            |
//! | 8     | where the object table begins     | 4     | its bytes                               |
//! | 8     | bytes of the image                | 4     | object, or 2³² − 2 for "add a slash"    |
//! | 4     | CRC-32 of all behind the objects  | 3 × 4 | its variants br, zstd, gzip, or 2³² − 1 |
//! | 4     | CRC-32 of the header before this  |       |                                         |
//!
//! The hash table has open addressing with linear probing. The hash of a path of a named site is that of the path from
//! its slash on, exclusive or that of the name. The lower half of the hash of a path is the slot at which a
//! lookup begins; a slot has the upper half, and the number of the path, counted from 1, or 0 when it is empty. An
//! entry of the position table is the unit at which an object begins, and the number of the object: a
//! [`Position`](lethe::app::Position) without its generation.
//!
//! The page for 404 is an object, or 2³² − 1 for none. Sites of named hosts have paths that begin with their names:
//! `example.org/index.html` or `*.example.org/index.html`. The name alone is a path as well: it stands for the page for
//! 404 of the site, or 2³² − 1 for none. What begins with its slash is the site of all other hosts; if these have none,
//! the page for 404 in the header is 2³² − 2.
//!
//! So a request reads a cache line of the hash table, and one or two each of the path, the path table, the object table
//! and the head, whatever the number of files.

use std::hash::Hasher as _;
use std::ops::Range;

use siphasher::sip::SipHasher13;

use super::encoding::Coding;
use super::error::OpenError;
use super::tag::{TAG_LEN, Tag};
use crate::container::{Format, check_len, index_checksum, put_u32, put_u64, seal, u32_at, u64_at};
use crate::positions::PAIR_LEN;

/// The version of the format that is read and written here.
pub const VERSION: u32 = 4;

pub(super) const FORMAT: Format =
    Format { magic: b"LETHE-FS", version: VERSION, file: "an image of files", name: "the image format", advice: "" };
pub(super) const HEADER_LEN: usize = 64;

/// No object, and no unit.
pub(super) const NONE: u32 = u32::MAX;

/// In place of an object: the path is redirected to the same path with a slash at its end.
pub(super) const REDIRECT: u32 = u32::MAX - 1;

/// In place of the page for 404: hosts that are not named have no site.
pub(super) const NO_SITE: u32 = u32::MAX - 1;

/// It is not known when a file was written.
pub(super) const NEVER: u64 = u64::MAX;

/// The end of the year 9999, in seconds since 1970: HTTP writes no later date (RFC 9110, section 5.6.7).
pub(super) const LAST_SECOND: u64 = 253_402_300_799;

/// The longest head. It varies by two numbers, a media type, and the fields that rules add.
pub(super) const HEAD_MAX: u32 = 512;

/// The header of an image.
#[derive(Clone, Copy)]
pub(super) struct Header {
    pub(super) objects: u32,
    pub(super) paths: u32,
    pub(super) slots: u32,
    pub(super) positions: u32,
    pub(super) not_found: u32,
    pub(super) text: u64,
    pub(super) index: u64,
    pub(super) len: u64,
    pub(super) checksum: u32,
}

impl Header {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, OpenError> {
        let header: &[u8; HEADER_LEN] = FORMAT.sealed_header(bytes)?;
        let parsed = Self {
            objects: u32_at(header, 12),
            paths: u32_at(header, 16),
            slots: u32_at(header, 20),
            positions: u32_at(header, 24),
            not_found: u32_at(header, 28),
            text: u64_at(header, 32),
            index: u64_at(header, 40),
            len: u64_at(header, 48),
            checksum: index_checksum(header),
        };
        check_len(bytes, parsed.len)?;
        let sections = parsed.tables_len().checked_add(parsed.text).and_then(|len| len.checked_add(parsed.index));
        let fits = sections == Some(parsed.len) && parsed.index >= HEADER_LEN as u64;
        if fits { Ok(parsed) } else { Err(OpenError::Sections) }
    }

    pub(super) fn emit(&self) -> [u8; HEADER_LEN] {
        let Self { objects, paths, slots, positions, not_found, text, index, len, checksum } = *self;
        let mut header = FORMAT.new_header();
        for (at, number) in [objects, paths, slots, positions, not_found].into_iter().enumerate() {
            put_u32(&mut header, 12 + 4 * at, number);
        }
        for (at, number) in [text, index, len].into_iter().enumerate() {
            put_u64(&mut header, 32 + 8 * at, number);
        }
        seal(header, checksum)
    }

    /// The bytes of all tables. Four counts of 32 bits, each times less than 64, do not overflow.
    fn tables_len(&self) -> u64 {
        let tables = [
            (self.objects, ObjectRecord::LEN),
            (self.paths, PathRecord::LEN),
            (self.slots, PAIR_LEN),
            (self.positions, PAIR_LEN),
        ];
        tables.into_iter().map(|(count, len)| u64::from(count) * len as u64).sum()
    }
}

/// An entry of the object table.
#[derive(Clone, Copy)]
pub(super) struct ObjectRecord {
    pub(super) start: u64,
    pub(super) body_len: u64,
    pub(super) tag: Tag,
    pub(super) head_len: u32,
    pub(super) head_checksum: u32,
    pub(super) unit: u32,
    /// Seconds since 1970, or [`NEVER`].
    pub(super) modified: u64,
}

impl ObjectRecord {
    pub(super) const LEN: usize = 52;

    pub(super) fn parse(bytes: &[u8; Self::LEN]) -> Self {
        let mut tag = Tag::default();
        tag.0.copy_from_slice(&bytes[16..16 + TAG_LEN]);
        Self {
            start: u64_at(bytes, 0),
            body_len: u64_at(bytes, 8),
            tag,
            head_len: u32_at(bytes, 32),
            head_checksum: u32_at(bytes, 36),
            unit: u32_at(bytes, 40),
            modified: u64_at(bytes, 44),
        }
    }

    pub(super) fn emit(&self, out: &mut Vec<u8>) {
        out.extend(self.start.to_le_bytes());
        out.extend(self.body_len.to_le_bytes());
        out.extend(self.tag.0);
        for number in [self.head_len, self.head_checksum, self.unit] {
            out.extend(number.to_le_bytes());
        }
        out.extend(self.modified.to_le_bytes());
    }

    /// The ranges of head and body in the file; `None` when they are beyond any file.
    pub(super) fn ranges(&self) -> Option<(Range<usize>, Range<usize>)> {
        let start = usize::try_from(self.start).ok()?;
        let body = start.checked_add(self.head_len as usize)?;
        let end = body.checked_add(usize::try_from(self.body_len).ok()?)?;
        Some((start..body, body..end))
    }

    /// The bytes of the whole response.
    pub(super) fn len(&self) -> u64 {
        u64::from(self.head_len) + self.body_len
    }
}

/// An entry of the path table.
#[derive(Clone, Copy)]
pub(super) struct PathRecord {
    pub(super) start: u32,
    pub(super) len: u32,
    pub(super) object: u32,
    pub(super) variants: [u32; Coding::ALL.len()],
}

impl PathRecord {
    pub(super) const LEN: usize = 24;

    pub(super) fn parse(bytes: &[u8; Self::LEN]) -> Self {
        Self {
            start: u32_at(bytes, 0),
            len: u32_at(bytes, 4),
            object: u32_at(bytes, 8),
            variants: [12, 16, 20].map(|at| u32_at(bytes, at)),
        }
    }

    pub(super) fn emit(&self, out: &mut Vec<u8>) {
        for number in [self.start, self.len, self.object].into_iter().chain(self.variants) {
            out.extend(number.to_le_bytes());
        }
    }
}

/// The two halves of the hash of a path: where its lookup begins, and what its slot is recognized by.
pub(super) fn hash(path: &[u8]) -> (usize, u32) {
    let mut hasher = SipHasher13::new();
    hasher.write(path);
    let hash = hasher.finish();
    (hash as u32 as usize, (hash >> 32) as u32)
}

/// The hash of a path in a site whose name has this hash.
pub(super) const fn hash_in(site: (usize, u32), path: (usize, u32)) -> (usize, u32) {
    (site.0 ^ path.0, site.1 ^ path.1)
}

/// The hash of a path with the name of its site before it.
pub(super) fn hash_whole(whole: &[u8]) -> (usize, u32) {
    let (site, path) = split_site(whole);
    if site.is_empty() { hash(path) } else { hash_in(hash(site), hash(path)) }
}

/// The name of the site, which is empty for hosts that are not named, and the path in it; this is empty for the name
/// alone.
pub(super) fn split_site(whole: &[u8]) -> (&[u8], &[u8]) {
    whole.split_at(whole.iter().position(|&byte| byte == b'/').unwrap_or(whole.len()))
}

/// The end of every head.
pub(super) fn head_end(body_len: u64) -> String {
    format!("\r\nContent-Length: {body_len}\r\nConnection: close\r\n\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ContainerError;

    /// Images go from one build to another, which has to find each path where this one has put it.
    #[test]
    fn the_hash_of_a_path_stays_what_it_is() {
        for (path, expect) in [(&b"/"[..], (0x8c81_f862, 0x2558_2f92)), (b"/index.html", (0x6e2d_f20a, 0x400c_586a))] {
            assert_eq!(hash(path), expect, "{}", path.escape_ascii());
        }
    }

    #[test]
    fn a_path_of_a_named_site_has_the_hashes_of_both() {
        assert_eq!(split_site(b"*.a/b/c"), (&b"*.a"[..], &b"/b/c"[..]));
        assert_eq!(split_site(b"/b/c"), (&b""[..], &b"/b/c"[..]));
        assert_eq!(split_site(b"a"), (&b"a"[..], &b""[..]));
        assert_eq!(hash_whole(b"/b"), hash(b"/b"));
        let (site, path) = (hash(b"a"), hash(b"/b"));
        assert_eq!(hash_whole(b"a/b"), (site.0 ^ path.0, site.1 ^ path.1));
        assert_ne!(hash_whole(b"a/b"), hash_whole(b"b/b"));
    }

    #[test]
    fn a_header_is_read_as_it_was_written() {
        let header = Header {
            objects: 1,
            paths: 2,
            slots: 4,
            positions: 3,
            not_found: NONE,
            text: 10,
            index: 100,
            len: 100 + 52 + 2 * 24 + 4 * 8 + 3 * 8 + 10,
            checksum: 0x0102_0304,
        };
        let bytes = header.emit();
        let expect = [
            b"LETHE-FS\x04\0\0\0",
            &b"\x01\0\0\0\x02\0\0\0\x04\0\0\0\x03\0\0\0\xff\xff\xff\xff"[..],
            b"\x0a\0\0\0\0\0\0\0\x64\0\0\0\0\0\0\0\x0a\x01\0\0\0\0\0\0",
            b"\x04\x03\x02\x01",
        ];
        assert_eq!(bytes[..60].escape_ascii().to_string(), expect.concat().escape_ascii().to_string());
        let file = |header: &Header, len| [&header.emit()[..], &vec![0; len - HEADER_LEN]].concat();
        let parsed = Header::parse(&file(&header, 266)).unwrap();
        assert_eq!(parsed.emit(), bytes);
        // One that would have its index in the header, and those whose sections are not as long as all.
        let wrong = |header: Header| Header::parse(&file(&header, header.len as usize)).err();
        assert_eq!(wrong(Header { index: 63, len: 229, ..header }), Some(OpenError::Sections));
        assert!(wrong(Header { index: 64, len: 230, ..header }).is_none());
        assert_eq!(wrong(Header { len: 267, ..header }), Some(OpenError::Sections));
        assert_eq!(wrong(Header { text: u64::MAX, ..header }), Some(OpenError::Sections));
        assert_eq!(wrong(Header { index: u64::MAX, ..header }), Some(OpenError::Sections));
        assert_eq!(wrong(Header { positions: 4, ..header }), Some(OpenError::Sections));
        let cut = Header::parse(&file(&header, 265)).err();
        assert_eq!(cut, Some(ContainerError::Length { actual: 265, expected: 266 }.into()));
        let cut = Header::parse(&bytes[..63]).err();
        assert_eq!(cut, Some(ContainerError::Length { actual: 63, expected: 64 }.into()));
    }
}
