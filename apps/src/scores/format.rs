//! The format of a file of scores: complete responses, and an index to find them by.
//!
//! Numbers are little-endian. The sections follow one another without gaps; a *line* is 64 bytes, a cache line.
//!
//! | bytes | what                                                                                  |
//! |-------|---------------------------------------------------------------------------------------|
//! | 128   | header                                                                                |
//! |       | records, in the order of the table; each begins with a line                           |
//! | 2 × P | pilots of the [perfect hash function](super::phf)                                     |
//! | 4 × S | slots: the line at which a record begins. A slot that is no candidate's has the first |
//! | 8 × Q | positions: the unit at which a page begins, and the line of its record, ascending     |
//! | T     | title and labels of the form, each of which ends with a NUL                           |
//!
//! | bytes | header                                 | bytes | of a record                                  |
//! |-------|----------------------------------------|-------|----------------------------------------------|
//! | 8     | magic, `LETHE-SC`                      | 16    | tag: hash of seat and identity number        |
//! | 4     | version of the format: 1               | 4     | CRC-32 of the page                           |
//! | 4     | candidates: P and S follow from them   | 4     | bytes of the body                            |
//! | 4     | Q                                      | 4     | unit of the page, or 2³² − 1                 |
//! | 4     | T                                      | 2     | bytes of the head                            |
//! | 8     | where the index begins                 | 2     | one's complement sum of the page (RFC 1071)  |
//! | 8     | bytes of the file                      | 4     | CRC-32 of the record before this             |
//! | 32    | key of the tags                        |       | the page: head of the response, and body     |
//! | 48    | zero                                   |       | zeros up to the next line                    |
//! | 4     | CRC-32 of the index                    |       |                                              |
//! | 4     | CRC-32 of the header before this       |       |                                              |
//!
//! So a request reads a cache line of the pilots, which are cached after some requests, one of the slots, and then
//! those of the page, the first of which has the tag to compare. The index is checked when the file is opened, and a
//! record before each use. So a server is ready before it has read the pages, and never sends a damaged one.

use super::error::OpenError;
use super::key::{KEY_LEN, Key, TAG_LEN, Tag};
use super::phf;
use crate::container::{Format, check_len, index_checksum, put_u32, put_u64, seal, u16_at, u32_at, u64_at};
use crate::positions::PAIR_LEN;

/// The version of the format that is read and written here.
pub const VERSION: u32 = 2;

/// The most bytes of the body of a page.
pub const PAGE_MAX: usize = 20_000;

/// The most candidates: 2^24, ten times as many as sit for the largest exam of a province.
pub const CANDIDATES_MAX: u32 = 1 << 24;

pub(super) const FORMAT: Format = Format {
    magic: b"LETHE-SC",
    version: VERSION,
    file: "a file of scores: `lethe prepare scores` makes one",
    name: "the format",
    advice: ": prepare it again",
};
pub(super) const HEADER_LEN: usize = 128;

/// Bytes of a line, in which records are aligned.
pub(super) const LINE: usize = 64;

/// No unit.
pub(super) const NONE: u32 = u32::MAX;

/// The header of a file.
#[derive(Clone, Copy)]
pub(super) struct Header {
    pub(super) candidates: u32,
    pub(super) positions: u32,
    pub(super) text: u32,
    pub(super) index: u64,
    pub(super) len: u64,
    pub(super) key: Key,
    pub(super) checksum: u32,
}

impl Header {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, OpenError> {
        let header: &[u8; HEADER_LEN] = FORMAT.sealed_header(bytes)?;
        let mut key = Key([0; KEY_LEN]);
        key.0.copy_from_slice(&header[40..40 + KEY_LEN]);
        let parsed = Self {
            candidates: u32_at(header, 12),
            positions: u32_at(header, 16),
            text: u32_at(header, 20),
            index: u64_at(header, 24),
            len: u64_at(header, 32),
            key,
            checksum: index_checksum(header),
        };
        check_len(bytes, parsed.len)?;
        let fits = (1..=CANDIDATES_MAX).contains(&parsed.candidates)
            && parsed.index.checked_add(parsed.tables_len()) == Some(parsed.len)
            && parsed.index >= (HEADER_LEN + RecordHeader::LEN) as u64;
        if fits { Ok(parsed) } else { Err(OpenError::Sections) }
    }

    pub(super) fn emit(&self) -> [u8; HEADER_LEN] {
        let mut header = FORMAT.new_header();
        for (at, number) in [self.candidates, self.positions, self.text].into_iter().enumerate() {
            put_u32(&mut header, 12 + 4 * at, number);
        }
        put_u64(&mut header, 24, self.index);
        put_u64(&mut header, 32, self.len);
        header[40..40 + KEY_LEN].copy_from_slice(&self.key.0);
        seal(header, self.checksum)
    }

    pub(super) fn slots(&self) -> u32 {
        phf::slots(self.candidates).expect("not more candidates than there can be")
    }

    pub(super) fn pilots(&self) -> u32 {
        phf::pilots(self.candidates)
    }

    /// The bytes of the index. Counts of 32 bits, each times at most 8, do not overflow.
    fn tables_len(&self) -> u64 {
        let counts = [(self.pilots(), 2), (self.slots(), 4), (self.positions, PAIR_LEN as u64), (self.text, 1)];
        counts.into_iter().map(|(count, len)| u64::from(count) * len).sum()
    }
}

/// The header of a record, before its page.
#[derive(Clone, Copy)]
pub(super) struct RecordHeader {
    pub(super) tag: Tag,
    pub(super) checksum: u32,
    pub(super) body_len: u32,
    pub(super) unit: u32,
    pub(super) head_len: u16,
    pub(super) sum: u16,
}

impl RecordHeader {
    pub(super) const LEN: usize = 36;

    /// `None` when it is damaged.
    #[inline]
    pub(super) fn parse(bytes: &[u8; Self::LEN]) -> Option<Self> {
        if crc32fast::hash(&bytes[..Self::LEN - 4]) != u32_at(bytes, Self::LEN - 4) {
            return None;
        }
        let mut tag = Tag([0; TAG_LEN]);
        tag.0.copy_from_slice(&bytes[..TAG_LEN]);
        Some(Self {
            tag,
            checksum: u32_at(bytes, 16),
            body_len: u32_at(bytes, 20),
            unit: u32_at(bytes, 24),
            head_len: u16_at(bytes, 28),
            sum: u16_at(bytes, 30),
        })
    }

    pub(super) fn emit(&self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..TAG_LEN].copy_from_slice(&self.tag.0);
        for (at, number) in [self.checksum, self.body_len, self.unit].into_iter().enumerate() {
            put_u32(&mut bytes, 16 + 4 * at, number);
        }
        bytes[28..30].copy_from_slice(&self.head_len.to_le_bytes());
        bytes[30..32].copy_from_slice(&self.sum.to_le_bytes());
        let own = crc32fast::hash(&bytes[..32]);
        put_u32(&mut bytes, 32, own);
        bytes
    }

    /// The bytes of the page, head and body.
    pub(super) fn page_len(&self) -> usize {
        usize::from(self.head_len) + self.body_len as usize
    }
}

/// The complete head of a page.
pub(super) fn head(body_len: usize) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n{}Content-Length: {body_len}\r\n\
         Connection: close\r\n\r\n",
        super::page::PRIVATE
    )
}
