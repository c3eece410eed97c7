//! The image: files as they are sent, and an index to find them by.
//!
//! Numbers are little-endian. The sections follow one another without gaps.
//!
//! | bytes  | what                                                                        |
//! |--------|-----------------------------------------------------------------------------|
//! | 64     | header                                                                      |
//! |        | objects: each the complete head of a response, and then its body            |
//! | 44 × O | object table, in the order of the objects                                   |
//! | 24 × P | path table, ascending by path                                               |
//! | 8 × S  | hash table of paths: S is a power of two and greater than P                 |
//! | 8 × Q  | position table: the objects that have one, in their order                   |
//! | T      | the paths, one behind the other                                             |
//!
//! | bytes | header                            | bytes | of an object                            |
//! |-------|-----------------------------------|-------|-----------------------------------------|
//! | 8     | magic, `LETHE-FS`                 | 8     | where its head begins                   |
//! | 4     | version of the format: 1          | 8     | bytes of the body                       |
//! | 4     | O                                 | 16    | hash of the body, which is its tag      |
//! | 4     | P                                 | 4     | bytes of the head                       |
//! | 4     | S                                 | 4     | CRC-32 of the head                      |
//! | 4     | Q                                 | 4     | unit at which it begins, or 2³² − 1     |
//! | 4     | object for 404, or 2³² − 1        |       | **of a path**                           |
//! | 8     | T                                 | 4     | where it begins in the paths            |
//! | 8     | where the object table begins     | 4     | its bytes                               |
//! | 8     | bytes of the image                | 4     | object, or 2³² − 2 for "add a slash"    |
//! | 4     | CRC-32 of all behind the objects  | 3 × 4 | its variants br, zstd, gzip, or 2³² − 1 |
//! | 4     | CRC-32 of the header before this  |       |                                         |
//!
//! A slot of the hash table is the upper half of the hash of a path, and the number of that path, counted
//! from 1; 0 is an empty slot. The lower half says in which slot to begin, and where others have it the next
//! ones follow. An entry of the position table is the unit at which an object begins, and the number of the
//! object: [`Position`]s without what the generation adds to them.
//!
//! So a request costs a cache line of the hash table and one or two each of path, path table, object table
//! and head, whatever the number of files.

use std::fmt;
use std::hash::Hasher as _;
use std::ops::Range;

use lethe::app::{Generations, Position};
use siphasher::sip::SipHasher13;
use thiserror::Error;

use super::encoding::Coding;
use super::path;
use super::tag::{TAG_LEN, Tag};

/// The version of the format that is read and written here.
pub const VERSION: u32 = 1;

/// The units of [`Position`] that one image may take: 4 GiB, so that each generation has as many.
pub const UNITS: u32 = Position::COUNT / Generations::COUNT as u32;

pub(super) const MAGIC: &[u8; 8] = b"LETHE-FS";
pub(super) const HEADER_LEN: usize = 64;

/// No object, and no unit.
pub(super) const NONE: u32 = u32::MAX;

/// In place of an object: the path wants a slash behind it.
pub(super) const REDIRECT: u32 = u32::MAX - 1;

/// No head is longer. What varies in it are two numbers and a type.
pub(super) const HEAD_MAX: u32 = 512;

/// How many steps of a check pass between two calls that tell how far it is.
const PROGRESS_STEP: usize = 1 << 20;

/// Where an image lies: a mapped file, or memory.
type Owner = Box<dyn AsRef<[u8]> + Send + Sync>;

/// An image that was checked. Once it is open it cannot fail, as long as its bytes stay what they are.
pub struct Image {
    bytes: Owner,
    header: Header,
    buckets: Buckets,
}

impl Image {
    /// Opens an image, and checks all of it but the bodies: those are [`Image::check_bodies`]'s.
    ///
    /// # Errors
    ///
    /// The first damage that is found. What befell an image on its way shows in its length or a checksum;
    /// the errors after these tell of a program that wrote it wrong.
    pub fn open(bytes: impl AsRef<[u8]> + Send + Sync + 'static) -> Result<Self, OpenError> {
        let header = Header::parse(bytes.as_ref())?;
        let mut image = Self { bytes: Box::new(bytes), header, buckets: Buckets::default() };
        let sections = image.sections();
        sections.check_checksum(&header)?;
        sections.check_objects(&header)?;
        sections.check_positions()?;
        sections.check_paths()?;
        image.buckets = Buckets::of(sections.positions);
        Ok(image)
    }

    /// Checks each body against its hash. `progress` is told the bytes done and those of all bodies.
    ///
    /// # Errors
    ///
    /// The first object that is damaged.
    pub fn check_bodies(&self, progress: &mut dyn FnMut(u64, u64)) -> Result<(), OpenError> {
        let sections = self.sections();
        let (mut done, total) = (0, self.body_bytes());
        for id in 0..self.header.objects {
            let object = sections.object(id);
            let mut tagger = super::tag::Tagger::default();
            for piece in object.body.chunks(PROGRESS_STEP) {
                tagger.add(piece);
                done += piece.len() as u64;
                progress(done, total);
            }
            if tagger.finish() != object.tag {
                return Err(OpenError::Body { object: sections.describe(id) });
            }
        }
        Ok(())
    }

    /// How many paths are answered with a file; a directory that has an index counts as well.
    pub fn path_count(&self) -> usize {
        self.sections().paths.iter().filter(|path| PathRecord::parse(path).object != REDIRECT).count()
    }

    /// How many responses it has: files, and their variants.
    pub const fn object_count(&self) -> usize {
        self.header.objects as usize
    }

    /// The bytes of all bodies.
    pub fn body_bytes(&self) -> u64 {
        self.sections().objects.iter().map(|object| ObjectRecord::parse(object).body_len).sum()
    }

    /// The bytes of the image.
    pub const fn len(&self) -> u64 {
        self.header.len
    }

    /// Whether it has no path at all.
    pub const fn is_empty(&self) -> bool {
        self.header.paths == 0
    }

    /// What stands behind a path.
    pub(super) fn find(&self, path: &[u8]) -> Option<Entry<'_>> {
        self.sections().find(path)
    }

    /// The response for whatever is not there.
    pub(super) fn not_found(&self) -> Option<Object<'_>> {
        (self.header.not_found != NONE).then(|| self.sections().object(self.header.not_found))
    }

    /// The object that covers a unit.
    pub(super) fn stored(&self, unit: u32) -> Option<Object<'_>> {
        let sections = self.sections();
        let entry = self.buckets.last_at(sections.positions, unit)?;
        sections.covering(entry, unit)
    }

    fn sections(&self) -> Sections<'_> {
        Sections::split((*self.bytes).as_ref(), &self.header)
    }
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Header { objects, paths, len, .. } = self.header;
        f.debug_struct("Image")
            .field("objects", &objects)
            .field("paths", &paths)
            .field("len", &len)
            .finish_non_exhaustive()
    }
}

/// What a path stands for.
#[derive(Clone, Copy)]
pub(super) enum Entry<'a> {
    /// A directory that was asked for without its slash.
    Redirect,
    /// A file.
    File(File<'a>),
}

/// A file, in every form that it is there in.
#[derive(Clone, Copy)]
pub(super) struct File<'a> {
    sections: Sections<'a>,
    record: PathRecord,
}

impl<'a> File<'a> {
    pub(super) fn identity(&self) -> Object<'a> {
        self.sections.object(self.record.object)
    }

    /// The variants that there are, in the order of [`Coding::ALL`].
    pub(super) fn variants(&self) -> [Option<Object<'a>>; Coding::ALL.len()] {
        self.record.variants.map(|id| (id != NONE).then(|| self.sections.object(id)))
    }

    /// Whether it depends on the client what it is answered with.
    pub(super) fn varies(&self) -> bool {
        self.record.variants.iter().any(|&id| id != NONE)
    }
}

/// A response.
#[derive(Clone, Copy)]
pub(super) struct Object<'a> {
    pub(super) head: &'a [u8],
    pub(super) body: &'a [u8],
    pub(super) tag: Tag,
    /// Where it begins among the units of the image.
    pub(super) unit: Option<u32>,
}

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
    fn parse(bytes: &[u8]) -> Result<Self, OpenError> {
        if !bytes.starts_with(MAGIC) {
            return Err(OpenError::Magic);
        }
        let actual = bytes.len() as u64;
        let header: &[u8; HEADER_LEN] =
            bytes.first_chunk().ok_or(OpenError::Length { actual, expected: HEADER_LEN as u64 })?;
        // The version comes first: whatever is behind it is what it says.
        let found = u32_at(header, 8);
        if found != VERSION {
            return Err(OpenError::Version { found });
        }
        if crc32fast::hash(&header[..HEADER_LEN - 4]) != u32_at(header, HEADER_LEN - 4) {
            return Err(OpenError::HeaderChecksum);
        }
        let parsed = Self {
            objects: u32_at(header, 12),
            paths: u32_at(header, 16),
            slots: u32_at(header, 20),
            positions: u32_at(header, 24),
            not_found: u32_at(header, 28),
            text: u64_at(header, 32),
            index: u64_at(header, 40),
            len: u64_at(header, 48),
            checksum: u32_at(header, 56),
        };
        if parsed.len != actual {
            return Err(OpenError::Length { actual, expected: parsed.len });
        }
        let sections = parsed.tables_len().checked_add(parsed.text).and_then(|len| len.checked_add(parsed.index));
        let fits = sections == Some(actual) && parsed.index >= HEADER_LEN as u64;
        if fits { Ok(parsed) } else { Err(OpenError::Sections) }
    }

    pub(super) fn emit(&self) -> [u8; HEADER_LEN] {
        let Self { objects, paths, slots, positions, not_found, text, index, len, checksum } = *self;
        let mut header = [0; HEADER_LEN];
        header[..8].copy_from_slice(MAGIC);
        for (at, number) in [VERSION, objects, paths, slots, positions, not_found].into_iter().enumerate() {
            header[8 + 4 * at..][..4].copy_from_slice(&number.to_le_bytes());
        }
        for (at, number) in [text, index, len].into_iter().enumerate() {
            header[32 + 8 * at..][..8].copy_from_slice(&number.to_le_bytes());
        }
        header[56..60].copy_from_slice(&checksum.to_le_bytes());
        let own = crc32fast::hash(&header[..60]);
        header[60..].copy_from_slice(&own.to_le_bytes());
        header
    }

    /// Four counts of 32 bits, each times less than 64, do not overflow.
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

/// One object, as the table has it.
#[derive(Clone, Copy)]
pub(super) struct ObjectRecord {
    pub(super) start: u64,
    pub(super) body_len: u64,
    pub(super) tag: Tag,
    pub(super) head_len: u32,
    pub(super) head_checksum: u32,
    pub(super) unit: u32,
}

impl ObjectRecord {
    pub(super) const LEN: usize = 44;

    fn parse(bytes: &[u8; Self::LEN]) -> Self {
        let mut tag = Tag::default();
        tag.0.copy_from_slice(&bytes[16..16 + TAG_LEN]);
        Self {
            start: u64_at(bytes, 0),
            body_len: u64_at(bytes, 8),
            tag,
            head_len: u32_at(bytes, 32),
            head_checksum: u32_at(bytes, 36),
            unit: u32_at(bytes, 40),
        }
    }

    pub(super) fn emit(&self, out: &mut Vec<u8>) {
        out.extend(self.start.to_le_bytes());
        out.extend(self.body_len.to_le_bytes());
        out.extend(self.tag.0);
        for number in [self.head_len, self.head_checksum, self.unit] {
            out.extend(number.to_le_bytes());
        }
    }

    /// Where head and body are, and where the next object begins; `None` where no file is that long.
    fn ranges(&self) -> Option<(Range<usize>, Range<usize>)> {
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

/// One path, as the table has it.
#[derive(Clone, Copy)]
pub(super) struct PathRecord {
    pub(super) start: u32,
    pub(super) len: u32,
    pub(super) object: u32,
    pub(super) variants: [u32; Coding::ALL.len()],
}

impl PathRecord {
    pub(super) const LEN: usize = 24;

    fn parse(bytes: &[u8; Self::LEN]) -> Self {
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

/// Two numbers: a slot of the hash table, or an entry of the position table.
const PAIR_LEN: usize = 8;
type Pair = [u8; PAIR_LEN];

fn pair(bytes: Pair) -> (u32, u32) {
    (u32_at(&bytes, 0), u32_at(&bytes, 4))
}

fn u32_at<const N: usize>(bytes: &[u8; N], at: usize) -> u32 {
    u32::from_le_bytes(*bytes[at..].first_chunk().expect("within the record"))
}

fn u64_at<const N: usize>(bytes: &[u8; N], at: usize) -> u64 {
    u64::from_le_bytes(*bytes[at..].first_chunk().expect("within the record"))
}

/// The hash of a path: where it is looked for, and what it is known by there.
pub(super) fn hash(path: &[u8]) -> (usize, u32) {
    let mut hasher = SipHasher13::new();
    hasher.write(path);
    let hash = hasher.finish();
    (hash as u32 as usize, (hash >> 32) as u32)
}

/// The sections of an image, taken apart.
#[derive(Clone, Copy)]
struct Sections<'a> {
    /// From the first byte of the image to the end of the last object.
    contents: &'a [u8],
    /// Everything behind that.
    index: &'a [u8],
    objects: &'a [[u8; ObjectRecord::LEN]],
    paths: &'a [[u8; PathRecord::LEN]],
    slots: &'a [Pair],
    positions: &'a [Pair],
    text: &'a [u8],
}

impl<'a> Sections<'a> {
    /// The lengths are those that the header was checked with.
    fn split(bytes: &'a [u8], header: &Header) -> Self {
        let (contents, index) = bytes.split_at(header.index as usize);
        let (objects, rest) = table(index, header.objects);
        let (paths, rest) = table(rest, header.paths);
        let (slots, rest) = table(rest, header.slots);
        let (positions, text) = table(rest, header.positions);
        Self { contents, index, objects, paths, slots, positions, text }
    }

    fn object(&self, id: u32) -> Object<'a> {
        const CHECKED: &str = "objects are within the contents";
        let record = ObjectRecord::parse(&self.objects[id as usize]);
        let (head, body) = record.ranges().expect(CHECKED);
        Object {
            head: &self.contents[head],
            body: &self.contents[body],
            tag: record.tag,
            unit: (record.unit != NONE).then_some(record.unit),
        }
    }

    fn path(&self, record: &PathRecord) -> &'a [u8] {
        &self.text[record.start as usize..][..record.len as usize]
    }

    /// Ends at an empty slot at the latest, of which there is always one.
    fn find(&self, path: &[u8]) -> Option<Entry<'a>> {
        let (first, mark) = hash(path);
        // As many slots as a power of two: the number of the last one is a mask.
        let last = self.slots.len().wrapping_sub(1);
        let mut at = first & last;
        loop {
            let (found, number) = pair(*self.slots.get(at)?);
            let id = number.checked_sub(1)?;
            if found == mark {
                let record = PathRecord::parse(&self.paths[id as usize]);
                if self.path(&record) == path {
                    return Some(match record.object {
                        REDIRECT => Entry::Redirect,
                        _ => Entry::File(File { sections: *self, record }),
                    });
                }
            }
            at = (at + 1) & last;
        }
    }

    /// The object of an entry of the position table, if it reaches as far as `unit`.
    fn covering(&self, entry: usize, unit: u32) -> Option<Object<'a>> {
        let (first, id) = pair(*self.positions.get(entry)?);
        let object = self.object(id);
        let units = Position::units(object.head.len() + object.body.len());
        (units > (unit - first) as usize).then_some(object)
    }

    fn check_checksum(&self, header: &Header) -> Result<(), OpenError> {
        let (actual, expected) = (crc32fast::hash(self.index), header.checksum);
        if actual == expected { Ok(()) } else { Err(OpenError::Checksum { actual, expected }) }
    }

    fn check_objects(&self, header: &Header) -> Result<(), OpenError> {
        let mut next = HEADER_LEN;
        for (id, record) in self.objects.iter().enumerate() {
            let record = ObjectRecord::parse(record);
            let wrong = OpenError::Object { id };
            let (head, body) = record.ranges().ok_or(wrong.clone())?;
            let is_there = head.start == next && body.end <= self.contents.len() && record.head_len <= HEAD_MAX;
            next = body.end;
            let head = if is_there { &self.contents[head] } else { return Err(wrong) };
            if crc32fast::hash(head) != record.head_checksum {
                return Err(OpenError::Head { object: self.describe(id as u32) });
            }
            let end = head_end(record.body_len);
            if !head.starts_with(b"HTTP/1.1 ") || !head.ends_with(end.as_bytes()) {
                return Err(wrong);
            }
        }
        let all = next == self.contents.len();
        let not_found = header.not_found == NONE || header.not_found < header.objects;
        if all && not_found { Ok(()) } else { Err(OpenError::Objects) }
    }

    /// Positions are those of the objects that have one, without gaps.
    fn check_positions(&self) -> Result<(), OpenError> {
        let (mut next, mut entries) = (0_u32, self.positions.iter().copied().map(pair));
        for (id, record) in self.objects.iter().enumerate() {
            let record = ObjectRecord::parse(record);
            if record.unit == NONE {
                continue;
            }
            if record.unit != next || entries.next() != Some((next, id as u32)) {
                return Err(OpenError::Positions);
            }
            let end = units(record.len()).and_then(|units| next.checked_add(units));
            next = end.filter(|&end| end <= UNITS).ok_or(OpenError::Positions)?;
        }
        if entries.next().is_none() { Ok(()) } else { Err(OpenError::Positions) }
    }

    fn check_paths(&self) -> Result<(), OpenError> {
        let used = self.slots.iter().filter(|&&slot| pair(slot).1 != 0).count();
        let in_table = self.slots.iter().all(|&slot| pair(slot).1 as usize <= self.paths.len());
        if !self.slots.len().is_power_of_two() || used != self.paths.len() || used >= self.slots.len() || !in_table {
            return Err(OpenError::Slots);
        }
        let mut next = 0;
        let mut before: &[u8] = b"";
        for (id, record) in self.paths.iter().enumerate() {
            let record = PathRecord::parse(record);
            let wrong = OpenError::Path { id };
            let end = record.start.checked_add(record.len).filter(|&end| end as usize <= self.text.len());
            let is_object = |id: u32| (id as usize) < self.objects.len();
            let is_right = record.start == next
                && (is_object(record.object) || record.object == REDIRECT)
                && record.variants.iter().all(|&id| id == NONE || is_object(id));
            next = end.filter(|_| is_right).ok_or(wrong.clone())?;
            let path = self.path(&record);
            let is_path =
                path.starts_with(b"/") && path::check(path).is_ok() && !path.array_windows().any(|pair| pair == b"//");
            if !is_path || path <= before {
                return Err(wrong);
            }
            before = path;
        }
        // Ascending paths are different ones, so each that is found is found as itself.
        let is_lost = |record: &[u8; PathRecord::LEN]| self.find(self.path(&PathRecord::parse(record))).is_none();
        if next as usize != self.text.len() {
            Err(OpenError::Text)
        } else if self.paths.iter().any(is_lost) {
            Err(OpenError::Slots)
        } else {
            Ok(())
        }
    }

    /// An object for people: a path that it is the answer to. The index may still be wrong.
    fn describe(&self, id: u32) -> String {
        let of = |record: &PathRecord| record.object == id || record.variants.contains(&id);
        let record = self.paths.iter().map(PathRecord::parse).find(of);
        let path = record
            .and_then(|record| self.text.get(record.start as usize..).and_then(|text| text.get(..record.len as usize)));
        path.map_or_else(|| format!("object {id}"), |path| String::from_utf8_lossy(path).into_owned())
    }
}

/// Where in the position table to look for a unit: for each stretch of units, how many entries begin below it.
///
/// It stands in for the first steps of a binary search, each of which is a cache miss where there are many
/// files. There are at most about twice as many stretches as entries.
#[derive(Default)]
struct Buckets {
    /// The binary logarithm of the units of a stretch.
    shift: u32,
    below: Vec<u32>,
}

impl Buckets {
    fn of(positions: &[Pair]) -> Self {
        let last = positions.last().map_or(0, |&entry| pair(entry).0) as usize;
        let mut shift = 0;
        while last >> shift > 2 * positions.len() {
            shift += 1;
        }
        let mut below = vec![0];
        let mut entries = positions.iter().map(|&entry| pair(entry).0 as usize).peekable();
        let mut count = 0;
        for stretch in 0..=last >> shift {
            while entries.next_if(|first| first >> shift == stretch).is_some() {
                count += 1;
            }
            below.push(count);
        }
        Self { shift, below }
    }

    /// The last entry that begins at or before `unit`.
    fn last_at(&self, positions: &[Pair], unit: u32) -> Option<usize> {
        // Behind the last stretch there is only what the last object has of it.
        let stretch = ((unit >> self.shift) as usize).min(self.below.len().checked_sub(2)?);
        let [from, to] = [self.below[stretch], self.below[stretch + 1]].map(|count| count as usize);
        let before = positions[from..to].partition_point(|&entry| pair(entry).0 <= unit);
        (from + before).checked_sub(1)
    }
}

/// Splits a table of `count` records off the front.
fn table<const N: usize>(bytes: &[u8], count: u32) -> (&[[u8; N]], &[u8]) {
    let (table, rest) = bytes.split_at(N * count as usize);
    (table.as_chunks().0, rest)
}

/// How every head ends.
pub(super) fn head_end(body_len: u64) -> String {
    format!("\r\nContent-Length: {body_len}\r\nConnection: close\r\n\r\n")
}

/// The units that a response takes, if there are as many.
pub(super) fn units(len: u64) -> Option<u32> {
    usize::try_from(len).ok().and_then(|len| u32::try_from(Position::units(len)).ok())
}

/// What is wrong with an image.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum OpenError {
    /// It does not begin as an image does.
    #[error("this is not an image of files")]
    Magic,
    /// It is in another version of the format.
    #[error("version {found} of the image format, where this build reads version {VERSION}")]
    Version {
        /// What the image says.
        found: u32,
    },
    /// Its header is damaged.
    #[error("damaged: the checksum of the header is wrong")]
    HeaderChecksum,
    /// It is cut off, or something follows it.
    #[error("cut off, or grown: {actual} bytes, where there should be {expected}")]
    Length {
        /// The bytes that there are.
        actual: u64,
        /// The bytes that there should be.
        expected: u64,
    },
    /// The sections are not together as long as the image.
    #[error("the lengths in the header do not fit together")]
    Sections,
    /// The checksum of the index is not that in the header.
    #[error("damaged: the checksum of the index is {actual:08x}, and {expected:08x} in the header")]
    Checksum {
        /// That of the index.
        actual: u32,
        /// That in the header.
        expected: u32,
    },
    /// The head of a response is damaged.
    #[error("damaged: the checksum of the header fields of {object} is wrong")]
    Head {
        /// The path that it is the answer to.
        object: String,
    },
    /// A body is damaged.
    #[error("damaged: the contents of {object} are not what they were")]
    Body {
        /// The path that it is the answer to.
        object: String,
    },
    /// An object is not where it should be, or is no response.
    #[error("object {id} is not where it should be, or is no response")]
    Object {
        /// Its number.
        id: usize,
    },
    /// The objects do not end where the index begins, or the one for 404 is none.
    #[error("the objects do not fill their section, or the page for 404 is none of them")]
    Objects,
    /// The positions are not consecutive, or are too many.
    #[error("the positions are out of order")]
    Positions,
    /// A path is none, is out of order, or stands for nothing.
    #[error("path {id} is out of order, or stands for nothing")]
    Path {
        /// Its number.
        id: usize,
    },
    /// There is text that is no path.
    #[error("there is text that belongs to no path")]
    Text,
    /// The hash table is not one, or does not have all paths.
    #[error("the hash table does not lead to every path")]
    Slots,
}
