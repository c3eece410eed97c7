//! An image that is open: checked, and ready to be answered from. Its format is that of [`super::format`].

use std::fmt;

use lethe::app::Position;

use super::damage::OpenError;
use super::encoding::Coding;
use super::format::{HEAD_MAX, HEADER_LEN, Header, NONE, ObjectRecord, PathRecord, REDIRECT, hash, head_end};
use super::path;
use super::tag::{Tag, Tagger};
use crate::bytes::table;
use crate::positions::{Buckets, Pair, pair, place};

/// How many bytes of a body are hashed between two calls that tell how far it is.
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
            let mut tagger = Tagger::default();
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
            let (first, end) = place(next, record.len()).ok_or(OpenError::Positions)?;
            if record.unit != first || entries.next() != Some((first, id as u32)) {
                return Err(OpenError::Positions);
            }
            next = end;
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
