//! Writes an image, object by object.

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::{ControlFlow, Range};
use std::time::{Duration, UNIX_EPOCH};

use lethe::app::Position;
use lethe::http::Status;
use thiserror::Error;

use super::encoding::Coding;
use super::format::{self, HEAD_MAX, HEADER_LEN, Header, NEVER, NO_SITE, NONE, ObjectRecord, PathRecord, REDIRECT};
use super::path;
use super::site::SiteHost;
use super::tag::{Tag, Tagger};
use crate::huge_page_writer::HugePageWriter;

/// The most bytes of a file in memory at a time. A smaller file is written in one piece.
const PIECE: usize = 1 << 20;

/// The number of an object, in the order in which they were added.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ObjectId(u32);

/// What the head of a response says of a body.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// 200, or 404 for the page that is sent for unknown paths.
    pub status: Status,
    /// Its media type.
    pub content_type: &'a str,
    /// The value of `Content-Encoding`.
    pub coding: Option<Coding>,
    /// Whether the response depends on `Accept-Encoding`.
    pub varies: bool,
    /// When the file was written, in seconds since 1970.
    pub modified: Option<u64>,
    /// More header fields, each behind a CRLF.
    pub fields: &'a str,
}

impl About<'_> {
    /// A text of which nothing else is known.
    pub const OK: Self = Self {
        status: Status::Ok,
        content_type: "text/plain; charset=utf-8",
        coding: None,
        varies: false,
        modified: None,
        fields: "",
    };

    /// The complete head. Its length does not depend on the tag, so that it can be written before the body is hashed.
    fn head(&self, body_len: u64, tag: Tag) -> String {
        let line = self.status.line();
        let content_type = self.content_type;
        let coding = self.coding.map_or_else(String::new, |coding| format!("\r\nContent-Encoding: {coding}"));
        let vary = if self.varies { "\r\nVary: Accept-Encoding" } else { "" };
        // An entity tag identifies the content of a path; the page for 404 is not that of any.
        let tag = if self.status == Status::Ok { format!("\r\nETag: {tag}") } else { String::new() };
        let modified = self.modified.map_or_else(String::new, |seconds| {
            format!("\r\nLast-Modified: {}", httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds)))
        });
        let (fields, end) = (self.fields, format::head_end(body_len));
        format!("{line}\r\nContent-Type: {content_type}{coding}{vary}{tag}{modified}{fields}{end}")
    }
}

/// Writes an image to `W`. Bodies are written as they are added; only their records are kept in memory.
///
/// The header is written last: before [`Builder::finish`] there is no valid image.
pub struct Builder<W: Write + Seek> {
    out: HugePageWriter<W>,
    /// The offset of the next object.
    at: u64,
    /// The first free unit.
    unit: u32,
    objects: Vec<ObjectRecord>,
    paths: Vec<(Vec<u8>, u32, [u32; Coding::ALL.len()])>,
    /// The page for 404 of hosts that are not named.
    not_found: u32,
    /// The site that paths are named in: the numbers of its names in `paths`, or none for hosts that are not named.
    site: Range<usize>,
    piece: Vec<u8>,
}

impl<W: Write + Seek> Builder<W> {
    /// Begins an image at the start of `out`, which is empty.
    ///
    /// # Errors
    ///
    /// The error of `out`.
    pub fn new(out: W) -> io::Result<Self> {
        let mut out = HugePageWriter::new(out);
        out.write_all(&[0; HEADER_LEN])?;
        Ok(Self {
            out,
            at: HEADER_LEN as u64,
            unit: 0,
            objects: Vec::new(),
            paths: Vec::new(),
            not_found: NONE,
            site: 0..0,
            piece: Vec::new(),
        })
    }

    /// Adds a body of `len` bytes. `progress` is called with the bytes of each piece that was copied, and may stop it.
    ///
    /// # Errors
    ///
    /// [`AddError::Length`] when the body has another length. After any error but [`AddError::Write`] the image is as
    /// it was before.
    pub fn add(
        &mut self,
        about: &About<'_>,
        len: u64,
        body: &mut impl Read,
        progress: &mut dyn FnMut(u64) -> ControlFlow<()>,
    ) -> Result<ObjectId, AddError> {
        let added = self.copy(about, len, body, progress);
        if added.is_err() {
            self.out.seek(SeekFrom::Start(self.at)).map_err(AddError::Write)?;
        }
        let mut record = added?;
        // A smaller response fits any segment, so it is never continued from a position.
        if record.len() > Position::UNIT as u64
            && let Some((first, end)) = Position::reserve(self.unit, record.len())
        {
            record.unit = first;
            self.unit = end;
        }
        self.at += record.len();
        self.objects.push(record);
        Ok(ObjectId(self.objects.len() as u32 - 1))
    }

    fn copy(
        &mut self,
        about: &About<'_>,
        len: u64,
        body: &mut impl Read,
        progress: &mut dyn FnMut(u64) -> ControlFlow<()>,
    ) -> Result<ObjectRecord, AddError> {
        if self.objects.len() >= REDIRECT as usize {
            return Err(AddError::TooMany);
        }
        let in_one_piece = len <= PIECE as u64;
        let placeholder = about.head(len, Tag::default());
        let head_len = u32::try_from(placeholder.len()).ok().filter(|&len| len <= HEAD_MAX);
        let head_len = head_len.ok_or(AddError::Head)?;
        if !in_one_piece {
            self.out.write_all(placeholder.as_bytes()).map_err(AddError::Write)?;
        }
        let (mut tagger, mut left) = (Tagger::default(), len);
        self.piece.clear();
        while left > 0 {
            let wanted = left.min(PIECE as u64);
            self.piece.clear();
            let read = body.by_ref().take(wanted).read_to_end(&mut self.piece).map_err(AddError::Read)?;
            if (read as u64) < wanted {
                return Err(AddError::Length);
            }
            left -= wanted;
            tagger.add(&self.piece);
            if !in_one_piece {
                self.out.write_all(&self.piece).map_err(AddError::Write)?;
            }
            if progress(wanted).is_break() {
                return Err(AddError::Stopped);
            }
        }
        if body.read(&mut [0]).map_err(AddError::Read)? > 0 {
            return Err(AddError::Length);
        }
        let tag = tagger.finish();
        let head = about.head(len, tag);
        if in_one_piece {
            self.out.write_all(head.as_bytes()).map_err(AddError::Write)?;
            self.out.write_all(&self.piece).map_err(AddError::Write)?;
        } else {
            let end = self.at + u64::from(head_len) + len;
            self.out.seek(SeekFrom::Start(self.at)).map_err(AddError::Write)?;
            self.out.write_all(head.as_bytes()).map_err(AddError::Write)?;
            self.out.seek(SeekFrom::Start(end)).map_err(AddError::Write)?;
        }
        let head_checksum = crc32fast::hash(head.as_bytes());
        let modified = about.modified.unwrap_or(NEVER);
        Ok(ObjectRecord { start: self.at, body_len: len, tag, head_len, head_checksum, unit: NONE, modified })
    }

    /// Maps a path to an object and its compressed variants.
    ///
    /// # Panics
    ///
    /// When it cannot be the path of a request.
    pub fn name(&mut self, path: &[u8], object: ObjectId, variants: [Option<ObjectId>; Coding::ALL.len()]) {
        self.push(path, object.0, variants.map(|id| id.map_or(NONE, |id| id.0)));
    }

    /// Maps a path to a redirect to the same path with a slash at its end.
    ///
    /// # Panics
    ///
    /// When it cannot be the path of a request.
    pub fn redirect(&mut self, path: &[u8]) {
        self.push(path, REDIRECT, [NONE; Coding::ALL.len()]);
    }

    fn push(&mut self, path: &[u8], object: u32, variants: [u32; Coding::ALL.len()]) {
        assert!(path.starts_with(b"/") && path::check(path).is_ok(), "{} is no path", path.escape_ascii());
        if self.site.is_empty() {
            self.paths.push((path.to_owned(), object, variants));
        }
        for name in self.site.clone() {
            self.paths.push(([&self.paths[name].0, path].concat(), object, variants));
        }
    }

    /// Sends this object for unknown paths.
    pub fn not_found(&mut self, object: ObjectId) {
        if self.site.is_empty() {
            self.not_found = object.0;
        }
        for (_, of_site, _) in &mut self.paths[self.site.clone()] {
            *of_site = object.0;
        }
    }

    /// Begins the site of these hosts: what is named from here on is theirs. What was named before the first site is of
    /// all other hosts.
    pub fn site(&mut self, hosts: &[SiteHost]) {
        let first = self.paths.len();
        self.paths.extend(hosts.iter().map(|host| (host.name(), NONE, [NONE; Coding::ALL.len()])));
        self.site = first..self.paths.len();
    }

    /// Has no site for hosts that are not named.
    pub fn without_others(&mut self) {
        self.not_found = NO_SITE;
    }

    /// Completes the image.
    ///
    /// # Errors
    ///
    /// The error of the destination.
    ///
    /// # Panics
    ///
    /// When a path or a host was named twice, or the paths have more than 4 GiB together.
    pub fn finish(mut self) -> io::Result<W> {
        self.paths.sort_unstable();
        assert!(self.paths.array_windows().all(|[a, b]| a.0 != b.0), "a path has one answer");
        let slots = self.slots();
        let mut index = Vec::new();
        self.objects.iter().for_each(|object| object.emit(&mut index));
        let mut text = Vec::new();
        for (path, object, variants) in &self.paths {
            let start = u32::try_from(text.len()).expect("paths of less than 4 GiB");
            PathRecord { start, len: path.len() as u32, object: *object, variants: *variants }.emit(&mut index);
            text.extend_from_slice(path);
        }
        let with_unit = self.objects.iter().zip(0_u32..).filter(|(object, _)| object.unit != NONE);
        let positions: Vec<_> = with_unit.map(|(object, id)| (object.unit, id)).collect();
        for (first, second) in slots.iter().chain(&positions) {
            index.extend(first.to_le_bytes());
            index.extend(second.to_le_bytes());
        }
        index.extend_from_slice(&text);

        let header = Header {
            objects: self.objects.len() as u32,
            paths: self.paths.len() as u32,
            slots: slots.len() as u32,
            positions: positions.len() as u32,
            not_found: self.not_found,
            text: text.len() as u64,
            index: self.at,
            len: self.at + index.len() as u64,
            checksum: crc32fast::hash(&index),
        };
        self.out.write_all(&index)?;
        self.out.seek(SeekFrom::Start(0))?;
        self.out.write_all(&header.emit())?;
        self.out.into_inner()
    }

    /// The hash table: at most half full, so that most lookups end at their first slot.
    fn slots(&self) -> Vec<(u32, u32)> {
        let mut slots = vec![(0, 0); (2 * self.paths.len() + 1).next_power_of_two()];
        let last = slots.len() - 1;
        for ((path, ..), number) in self.paths.iter().zip(1_u32..) {
            let (first, mark) = format::hash_whole(path);
            let mut at = first & last;
            while slots[at].1 != 0 {
                at = (at + 1) & last;
            }
            slots[at] = (mark, number);
        }
        slots
    }
}

/// Why a body cannot be added.
#[derive(Debug, Error)]
pub enum AddError {
    /// It cannot be read.
    #[error("cannot be read")]
    Read(#[source] io::Error),
    /// It has another length than was said.
    #[error("changed while it was read")]
    Length,
    /// The head would be longer than `HEAD_MAX`.
    #[error("its header fields have more than {HEAD_MAX} bytes")]
    Head,
    /// The format has no number for one more object.
    #[error("too many files")]
    TooMany,
    /// `progress` stopped it.
    #[error("stopped")]
    Stopped,
    /// The image cannot be written.
    #[error("the image cannot be written")]
    Write(#[source] io::Error),
}
