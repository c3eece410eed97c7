//! An open image: checked, and ready for lookups. [`super::format`] has its format.

use std::collections::BTreeSet;
use std::fmt;

use lethe::app::Position;

use super::encoding::Coding;
use super::error::OpenError;
use super::format::{
    HEAD_MAX, HEADER_LEN, Header, LAST_SECOND, NEVER, NO_SITE, NONE, ObjectRecord, PathRecord, REDIRECT, hash, hash_in,
    hash_whole, head_end, split_site,
};
use super::path;
use super::site::{SITES_MAX, SiteHost};
use super::tag::{Tag, Tagger};
use crate::container::{FileBytes, check_index, table};
use crate::host::{Host, Hosts};
use crate::positions::{Buckets, Pair, pair};

/// Bytes of a body that are hashed between two calls of `progress`.
const PROGRESS_STEP: usize = 1 << 20;

/// A checked image. Lookups cannot fail, as long as its bytes do not change.
pub struct Image {
    bytes: FileBytes,
    header: Header,
    buckets: Buckets,
    /// The site of hosts that are not named; where the header says `NO_SITE`, it is not used.
    others: Site,
    /// The sites of named hosts, if there are any.
    sites: Option<Box<Sites>>,
}

/// The sites of named hosts.
struct Sites {
    hosts: Hosts<Site>,
    count: usize,
}

/// The site of some hosts.
pub(super) struct Site {
    /// What its paths begin with: nothing, for hosts that are not named.
    name: Box<[u8]>,
    /// The hash of that, or zero for nothing.
    hash: (usize, u32),
    not_found: u32,
}

impl Image {
    /// Opens an image, and checks all of it but the bodies, which [`Image::check_bodies`] does.
    ///
    /// # Errors
    ///
    /// The first error found. Damage in transit or on disk shows in the length or in a checksum; the other errors mean
    /// that the program that wrote the image is faulty.
    pub fn open(bytes: impl AsRef<[u8]> + Send + Sync + 'static) -> Result<Self, OpenError> {
        let header = Header::parse(bytes.as_ref())?;
        let others = Site { name: Box::default(), hash: (0, 0), not_found: header.not_found };
        let mut image = Self { bytes: Box::new(bytes), header, buckets: Buckets::default(), others, sites: None };
        let sections = image.sections();
        check_index(sections.index, header.checksum)?;
        sections.check_objects(&header)?;
        sections.check_positions()?;
        let sites = sections.check_paths()?;
        image.buckets = Buckets::of(sections.positions);
        image.sites = (sites.count > 0).then(|| Box::new(sites));
        if image.sites.is_none() && header.not_found == NO_SITE {
            return Err(OpenError::Objects);
        }
        Ok(image)
    }

    /// Checks each body against its hash. `progress` is called with the bytes checked, and those of all bodies.
    ///
    /// # Errors
    ///
    /// The first damaged object.
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

    /// The number of paths that are answered with a file, including directories with an index.
    pub fn path_count(&self) -> usize {
        let sections = self.sections();
        let is_file = |path: &PathRecord| path.object != REDIRECT && sections.path(path).contains(&b'/');
        sections.paths.iter().map(PathRecord::parse).filter(is_file).count()
    }

    /// The number of hosts that have a site of their own; all beneath a name are one.
    pub fn site_count(&self) -> usize {
        self.sites.as_ref().map_or(0, |sites| sites.count)
    }

    /// The number of responses: files, and their compressed variants.
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

    /// Whether it has no path.
    pub const fn is_empty(&self) -> bool {
        self.header.paths == 0
    }

    /// Whether the host of a request matters.
    pub(super) const fn is_by_host(&self) -> bool {
        self.sites.is_some()
    }

    /// The site of a host, which a request may not name: its own, that of the longest end of its name, or that of all
    /// other hosts.
    pub(super) fn site(&self, host: Option<&Host>) -> Option<&Site> {
        let named = self.sites.as_ref().zip(host).and_then(|(sites, host)| sites.hosts.of(host).next());
        named.or_else(|| (self.header.not_found != NO_SITE).then_some(&self.others))
    }

    /// The site of every host, where hosts do not matter.
    pub(super) const fn only_site(&self) -> &Site {
        &self.others
    }

    /// Looks a path of a site up.
    pub(super) fn find(&self, site: &Site, path: &[u8]) -> Option<Entry<'_>> {
        self.sections().find(site, path)
    }

    /// The response for unknown paths of a site.
    pub(super) fn not_found(&self, site: &Site) -> Option<Object<'_>> {
        (site.not_found != NONE).then(|| self.sections().object(site.not_found))
    }

    /// The first unit behind all objects.
    pub(super) fn end(&self) -> u32 {
        let sections = self.sections();
        let Some((first, id)) = sections.positions.last().copied().map(pair) else { return 0 };
        let object = sections.object(id);
        first + Position::units(object.head.len() + object.body.len()) as u32
    }

    /// The object that covers a unit.
    pub(super) fn stored(&self, unit: u32) -> Option<Object<'_>> {
        let sections = self.sections();
        let entry = self.buckets.last_at(sections.positions, unit)?;
        sections.covering(entry, unit)
    }

    #[inline]
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

/// What a path is answered with.
#[derive(Clone, Copy)]
pub(super) enum Entry<'a> {
    /// A directory without its slash.
    Redirect,
    /// A file.
    File(File<'a>),
}

/// A file, in all its forms.
#[derive(Clone, Copy)]
pub(super) struct File<'a> {
    sections: Sections<'a>,
    record: PathRecord,
}

impl<'a> File<'a> {
    pub(super) fn identity(&self) -> Object<'a> {
        self.sections.object(self.record.object)
    }

    /// Its compressed variants, in the order of [`Coding::ALL`].
    pub(super) fn variants(&self) -> [Option<Object<'a>>; Coding::ALL.len()] {
        self.record.variants.map(|id| (id != NONE).then(|| self.sections.object(id)))
    }

    /// Whether the response depends on `Accept-Encoding`.
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
    /// When the file was written, in seconds since 1970.
    pub(super) modified: Option<u64>,
    /// The unit of the image at which it begins.
    pub(super) unit: Option<u32>,
}

/// The sections of an image.
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
    /// Splits an image whose header was checked.
    #[inline]
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
            modified: (record.modified != NEVER).then_some(record.modified),
            unit: (record.unit != NONE).then_some(record.unit),
        }
    }

    fn path(&self, record: &PathRecord) -> &'a [u8] {
        &self.text[record.start as usize..][..record.len as usize]
    }

    /// Looks a path of a site up.
    fn find(&self, site: &Site, path: &[u8]) -> Option<Entry<'a>> {
        self.probe(hash_in(site.hash, hash(path)), |found| match &*site.name {
            [] => found == path,
            name => found.strip_prefix(name) == Some(path),
        })
    }

    /// Looks a path up with the name of its site before it.
    fn find_whole(&self, whole: &[u8]) -> Option<Entry<'a>> {
        self.probe(hash_whole(whole), |found| found == whole)
    }

    /// Looks a path up by its hash. Probing ends at the next empty slot, of which there is at least one.
    #[inline]
    fn probe(&self, (first, mark): (usize, u32), is_it: impl Fn(&[u8]) -> bool) -> Option<Entry<'a>> {
        // The number of slots is a power of two, so that of the last one is a mask.
        let last = self.slots.len().wrapping_sub(1);
        let mut at = first & last;
        loop {
            let (found, number) = pair(*self.slots.get(at)?);
            let id = number.checked_sub(1)?;
            if found == mark {
                let record = PathRecord::parse(&self.paths[id as usize]);
                if is_it(self.path(&record)) {
                    return Some(match record.object {
                        REDIRECT => Entry::Redirect,
                        _ => Entry::File(File { sections: *self, record }),
                    });
                }
            }
            at = (at + 1) & last;
        }
    }

    /// The object of an entry of the position table, if it covers `unit`.
    fn covering(&self, entry: usize, unit: u32) -> Option<Object<'a>> {
        let (first, id) = pair(*self.positions.get(entry)?);
        let object = self.object(id);
        let units = Position::units(object.head.len() + object.body.len());
        (units > (unit - first) as usize).then_some(object)
    }

    fn check_objects(&self, header: &Header) -> Result<(), OpenError> {
        let mut next = HEADER_LEN;
        for (id, record) in self.objects.iter().enumerate() {
            let record = ObjectRecord::parse(record);
            let wrong = OpenError::Object { id };
            let (head, body) = record.ranges().ok_or(wrong.clone())?;
            let is_date = record.modified == NEVER || record.modified <= LAST_SECOND;
            let is_there =
                head.start == next && body.end <= self.contents.len() && record.head_len <= HEAD_MAX && is_date;
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
        let not_found = matches!(header.not_found, NONE | NO_SITE) || header.not_found < header.objects;
        if all && not_found { Ok(()) } else { Err(OpenError::Objects) }
    }

    /// Checks that the position table has the positions of the objects, without gaps.
    fn check_positions(&self) -> Result<(), OpenError> {
        let (mut next, mut entries) = (0_u32, self.positions.iter().copied().map(pair));
        for (id, record) in self.objects.iter().enumerate() {
            let record = ObjectRecord::parse(record);
            if record.unit == NONE {
                continue;
            }
            let (first, end) = Position::reserve(next, record.len()).ok_or(OpenError::Positions)?;
            if record.unit != first || entries.next() != Some((first, id as u32)) {
                return Err(OpenError::Positions);
            }
            next = end;
        }
        if entries.next().is_none() { Ok(()) } else { Err(OpenError::Positions) }
    }

    /// Checks the paths and that each is found. Returns the sites whose names are among them.
    fn check_paths(&self) -> Result<Sites, OpenError> {
        let used = self.slots.iter().filter(|&&slot| pair(slot).1 != 0).count();
        let in_table = self.slots.iter().all(|&slot| pair(slot).1 as usize <= self.paths.len());
        if !self.slots.len().is_power_of_two() || used != self.paths.len() || used >= self.slots.len() || !in_table {
            return Err(OpenError::Slots);
        }
        let mut next = 0;
        let mut before: &[u8] = b"";
        // A name comes before its paths, if not right before.
        let (mut names, mut sites) = (BTreeSet::new(), Sites { hosts: Hosts::new(), count: 0 });
        for (id, record) in self.paths.iter().enumerate() {
            let record = PathRecord::parse(record);
            let wrong = OpenError::Path { id };
            let end = record.start.checked_add(record.len).filter(|&end| end as usize <= self.text.len());
            let is_object = |id: u32| (id as usize) < self.objects.len();
            let is_right = record.start == next && record.variants.iter().all(|&id| id == NONE || is_object(id));
            next = end.filter(|_| is_right).ok_or(wrong.clone())?;
            let whole = self.path(&record);
            let (site, path) = split_site(whole);
            let is_in_place = if path.is_empty() {
                let pattern = SiteHost::pattern(site).ok_or(wrong.clone())?;
                names.insert(site);
                sites.count += 1;
                sites.hosts.add(pattern, Site { name: site.into(), hash: hash(site), not_found: record.object });
                (is_object(record.object) || record.object == NONE) && record.variants == [NONE; Coding::ALL.len()]
            } else {
                let is_path = path::check(path).is_ok() && !path.array_windows().any(|pair| pair == b"//");
                is_path
                    && (is_object(record.object) || record.object == REDIRECT)
                    && (site.is_empty() || names.contains(site))
            };
            if !is_in_place || whole <= before || sites.count > SITES_MAX {
                return Err(wrong);
            }
            before = whole;
        }
        // Paths are distinct, since they ascend; so a lookup of each can only find itself.
        let is_lost = |record: &[u8; PathRecord::LEN]| self.find_whole(self.path(&PathRecord::parse(record))).is_none();
        if next as usize != self.text.len() {
            Err(OpenError::Text)
        } else if self.paths.iter().any(is_lost) {
            Err(OpenError::Slots)
        } else {
            Ok(sites)
        }
    }

    /// Names an object in a message by a path that is answered with it. The index may not have been checked yet.
    fn describe(&self, id: u32) -> String {
        let of = |record: &PathRecord| record.object == id || record.variants.contains(&id);
        let record = self.paths.iter().map(PathRecord::parse).find(of);
        let path = record
            .and_then(|record| self.text.get(record.start as usize..).and_then(|text| text.get(..record.len as usize)));
        path.map_or_else(|| format!("object {id}"), |path| String::from_utf8_lossy(path).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An image taken apart, whose parts can be other than they should. Put together, its checksums and lengths are
    /// right.
    #[derive(Clone)]
    struct Parts {
        not_found: u32,
        /// Heads and bodies.
        contents: Vec<u8>,
        objects: Vec<ObjectRecord>,
        paths: Vec<PathRecord>,
        slots: Vec<(u32, u32)>,
        positions: Vec<(u32, u32)>,
        text: Vec<u8>,
    }

    impl Parts {
        /// Three objects, of 1,000, 2,000 and 3 bytes: `/a`, a variant of it, and `/b`. `/c` is a redirect.
        fn new() -> Self {
            let mut parts = Self {
                not_found: 2,
                contents: Vec::new(),
                objects: Vec::new(),
                paths: Vec::new(),
                slots: vec![(0, 0); 8],
                positions: vec![(0, 0), (8, 1)],
                text: Vec::new(),
            };
            for (len, unit) in [(1000, 0), (2000, 8), (3, NONE)] {
                parts.object(&format!("HTTP/1.1 200 OK{}", head_end(len as u64)), &vec![b'x'; len], unit);
            }
            for (path, object, variants) in
                [(b"/a", 0, [NONE, 1, NONE]), (b"/b", 2, [NONE; 3]), (b"/c", REDIRECT, [NONE; 3])]
            {
                parts.path(path, object, variants);
            }
            parts
        }

        fn object(&mut self, head: &str, body: &[u8], unit: u32) {
            let start = (HEADER_LEN + self.contents.len()) as u64;
            self.contents.extend([head.as_bytes(), body].concat());
            let mut tagger = Tagger::default();
            tagger.add(body);
            self.objects.push(ObjectRecord {
                start,
                body_len: body.len() as u64,
                tag: tagger.finish(),
                head_len: head.len() as u32,
                head_checksum: crc32fast::hash(head.as_bytes()),
                unit,
                modified: NEVER,
            });
        }

        /// One object alone, with this head and 1,000 bytes.
        fn head(&mut self, head: &str) {
            self.not_found = NONE;
            (self.contents, self.objects, self.positions) = (Vec::new(), Vec::new(), vec![(0, 0)]);
            (self.paths, self.text) = (Vec::new(), Vec::new());
            self.object(head, &[b'x'; 1000], 0);
            self.path(b"/a", 0, [NONE; 3]);
        }

        /// Adds a path, and makes the hash table anew.
        fn path(&mut self, path: &[u8], object: u32, variants: [u32; Coding::ALL.len()]) {
            let (start, len) = (self.text.len() as u32, path.len() as u32);
            self.text.extend(path);
            self.paths.push(PathRecord { start, len, object, variants });
            self.hash();
        }

        /// Makes the hash table for the paths, in eight slots.
        fn hash(&mut self) {
            self.slots = vec![(0, 0); 8];
            for (record, number) in self.paths.iter().zip(1..) {
                let (first, mark) = hash_whole(&self.text[record.start as usize..][..record.len as usize]);
                let mut at = first % 8;
                while self.slots[at].1 != 0 {
                    at = (at + 1) % 8;
                }
                self.slots[at] = (mark, number);
            }
        }

        fn bytes(&self) -> Vec<u8> {
            let mut index = Vec::new();
            self.objects.iter().for_each(|object| object.emit(&mut index));
            self.paths.iter().for_each(|path| path.emit(&mut index));
            for (first, second) in self.slots.iter().chain(&self.positions) {
                index.extend([first.to_le_bytes(), second.to_le_bytes()].concat());
            }
            index.extend(&self.text);
            let from = HEADER_LEN + self.contents.len();
            let header = Header {
                objects: self.objects.len() as u32,
                paths: self.paths.len() as u32,
                slots: self.slots.len() as u32,
                positions: self.positions.len() as u32,
                not_found: self.not_found,
                text: self.text.len() as u64,
                index: from as u64,
                len: (from + index.len()) as u64,
                checksum: crc32fast::hash(&index),
            };
            [&header.emit(), &*self.contents, &index].concat()
        }

        fn open(&self) -> Result<Image, OpenError> {
            Image::open(self.bytes())
        }
    }

    /// The error of an image that is wrong in one way.
    #[track_caller]
    fn check(expect: &OpenError, change: impl FnOnce(&mut Parts)) {
        let mut parts = Parts::new();
        change(&mut parts);
        assert_eq!(parts.open().map(drop).as_ref(), Err(expect));
    }

    #[test]
    fn an_image_says_what_is_in_it() {
        let parts = Parts::new();
        let image = parts.open().unwrap();
        let len = parts.bytes().len();
        assert_eq!((image.path_count(), image.object_count(), image.body_bytes()), (2, 3, 3003));
        assert_eq!((image.len(), image.is_empty()), (len as u64, false));
        assert_eq!(format!("{image:?}"), format!("Image {{ objects: 3, paths: 3, len: {len}, .. }}"));
        let none = Parts { paths: Vec::new(), slots: vec![(0, 0)], text: Vec::new(), ..parts };
        assert!(none.open().unwrap().is_empty());
    }

    #[test]
    fn progress_of_checking_bodies_goes_from_piece_to_piece() {
        let mut calls = Vec::new();
        Parts::new().open().unwrap().check_bodies(&mut |done, total| calls.push((done, total))).unwrap();
        assert_eq!(calls, [(1000, 3003), (3000, 3003), (3003, 3003)]);
    }

    #[test]
    fn a_unit_is_of_the_object_that_reaches_as_far() {
        let image = Parts::new().open().unwrap();
        let len = |unit| image.stored(unit).map(|object| object.body.len());
        // About 1,060 bytes, of eight units, and 2,060, of ten.
        assert_eq!([0, 7, 8, 17, 18, 100].map(len), [Some(1000), Some(1000), Some(2000), Some(2000), None, None]);
    }

    #[test]
    fn objects_follow_one_another_and_each_is_a_response() {
        for (id, change) in [
            (1, (|parts| parts.objects[1].start += 1) as fn(&mut Parts)),
            (0, |parts| parts.objects[0].body_len -= 1),
            (2, |parts| parts.objects[2].body_len += 1),
            (2, |parts| parts.objects[2].body_len = u64::MAX),
            (1, |parts| parts.objects[1].modified = LAST_SECOND + 1),
            (0, |parts| parts.head(&format!("HTTP/1.0 200 OK{}", head_end(1000)))),
            (0, |parts| parts.head(&format!("HTTP/1.1 200 OK{}", head_end(1001)))),
            (0, |parts| parts.head("HTTP/1.1 200 OK\r\n\r\n")),
            (0, |parts| parts.head(&format!("HTTP/1.1 200 {}{}", "x".repeat(500), head_end(1000)))),
        ] {
            check(&OpenError::Object { id }, change);
        }
        let (line, end) = ("HTTP/1.1 200 ", head_end(1000));
        let mut longest = Parts::new();
        longest.head(&format!("{line}{}{end}", "x".repeat(HEAD_MAX as usize - line.len() - end.len())));
        assert_eq!(longest.objects[0].head_len, 512);
        longest.open().unwrap();
        let mut longer = Parts::new();
        longer.head(&format!("{line}{}{end}", "x".repeat(HEAD_MAX as usize - line.len() - end.len() + 1)));
        assert_eq!(longer.open().map(drop), Err(OpenError::Object { id: 0 }));
    }

    #[test]
    fn objects_fill_their_section_and_one_of_them_is_for_404() {
        check(&OpenError::Objects, |parts| parts.contents.push(b'x'));
        check(&OpenError::Objects, |parts| parts.not_found = 3);
        let without = Parts { not_found: NONE, ..Parts::new() };
        let image = without.open().unwrap();
        assert!(image.not_found(image.only_site()).is_none());
        let image = Parts::new().open().unwrap();
        assert_eq!(image.not_found(image.only_site()).unwrap().body, b"xxx");
    }

    #[test]
    fn positions_are_those_of_the_objects_without_gaps() {
        for change in [
            (|parts| parts.objects[1].unit = 4) as fn(&mut Parts),
            |parts| parts.objects[1].unit = NONE,
            |parts| parts.objects[2].unit = 8,
            |parts| parts.positions[1].0 = 9,
            |parts| parts.positions[1].1 = 0,
            |parts| parts.positions.truncate(1),
            |parts| parts.positions.push((18, 2)),
        ] {
            check(&OpenError::Positions, change);
        }
    }

    #[test]
    fn the_hash_table_leads_to_every_path_and_ends() {
        for change in [
            // Not a power of two; full; one entry more, and fewer; a path that there is not; a path that is lost.
            (|parts| parts.slots.push((0, 0))) as fn(&mut Parts),
            |parts| parts.slots.clear(),
            |parts| parts.slots = vec![(0, 1), (0, 2)],
            |parts| parts.slots = vec![(0, 1), (0, 2), (0, 3), (0, 3)],
            |parts| *parts.slots.iter_mut().find(|slot| slot.1 == 0).unwrap() = (0, 1),
            |parts| *parts.slots.iter_mut().find(|slot| slot.1 == 2).unwrap() = (0, 0),
            |parts| parts.slots.iter_mut().find(|slot| slot.1 == 2).unwrap().1 = 4,
            |parts| parts.slots.iter_mut().find(|slot| slot.1 == 2).unwrap().0 ^= 1,
        ] {
            check(&OpenError::Slots, change);
        }
        // As many paths as slots: a search for another one would not end.
        check(&OpenError::Slots, |parts| {
            parts.path(b"/d", 0, [NONE; 3]);
            parts.slots.retain(|slot| slot.1 != 0);
        });
    }

    #[test]
    fn paths_ascend_and_stand_for_something() {
        for (id, change) in [
            (0, (|parts| parts.paths[0].object = 3) as fn(&mut Parts)),
            (1, |parts| parts.paths[1].object = NONE),
            (0, |parts| parts.paths[0].variants[0] = 3),
            (2, |parts| parts.paths[2].variants[2] = REDIRECT),
            (1, |parts| parts.paths[1].start -= 1),
            (2, |parts| parts.paths[2].len += 1),
            (2, |parts| parts.paths[2].len = u32::MAX),
            (0, |parts| parts.text[0] = b'a'),
            (1, |parts| parts.text[3] = b'a'),
            (1, |parts| parts.text[3] = b'A'),
            (2, |parts| parts.text[5] = b'\\'),
        ] {
            check(&OpenError::Path { id }, |parts| {
                change(parts);
                if parts.paths.iter().all(|path| path.len < 3) {
                    parts.hash();
                }
            });
        }
        check(&OpenError::Path { id: 3 }, |parts| parts.path(b"/d//e", 0, [NONE; 3]));
        check(&OpenError::Text, |parts| parts.text.push(b'd'));
    }

    /// With the sites `a`, which has no page for 404, and `*.b`, which has one; each has a path.
    fn with_sites() -> Parts {
        let mut parts = Parts::new();
        (parts.paths, parts.text) = (Vec::new(), Vec::new());
        for (path, object) in [(&b"*.b"[..], 2), (b"*.b/x", 0), (b"/a", 0), (b"a", NONE), (b"a-b", NONE), (b"a/x", 1)] {
            parts.path(path, object, [NONE; 3]);
        }
        parts
    }

    #[test]
    fn a_site_is_named_before_its_paths() {
        let image = with_sites().open().unwrap();
        assert_eq!((image.site_count(), image.path_count()), (3, 3));
        let site = |host: &str| image.site(Host::parse(host.as_bytes()).as_ref()).unwrap();
        let found = |host, path| image.find(site(host), path).is_some();
        assert!(found("a", b"/x") && found("c.b", b"/x") && found("b", b"/a") && found("c", b"/a"));
        assert!(!found("a", b"/a") && !found("c.b", b"/a") && !found("b", b"/x") && !found("a-b", b"/x"));
        let pages = ["a", "c.b", "c"].map(|host| image.not_found(site(host)).map(|page| page.body.len()));
        assert_eq!(pages, [None, Some(3), Some(3)]);
        for (id, path) in [(4, "c/x"), (4, "a.b/x"), (4, "a_b"), (4, "aB"), (4, "a/.."), (4, "a//x"), (4, "a.")] {
            let mut parts = with_sites();
            parts.paths.truncate(id);
            parts.text.truncate(parts.paths.iter().map(|path| path.len as usize).sum());
            parts.path(path.as_bytes(), 0, [NONE; 3]);
            assert_eq!(parts.open().map(drop), Err(OpenError::Path { id }), "{path}");
        }
        for change in [
            (|parts| parts.paths[3].object = REDIRECT) as fn(&mut Parts),
            |parts| parts.paths[3].object = 3,
            |parts| parts.paths[3].variants[0] = 0,
        ] {
            let mut parts = with_sites();
            change(&mut parts);
            assert_eq!(parts.open().map(drop), Err(OpenError::Path { id: 3 }));
        }
    }

    #[test]
    fn hosts_that_are_not_named_have_a_site_unless_the_header_says_none() {
        let image = Parts { not_found: NO_SITE, ..with_sites() }.open().unwrap();
        let has_site = |host: &str| image.site(Host::parse(host.as_bytes()).as_ref()).is_some();
        assert_eq!(["a", "c.b", "b", "c"].map(has_site), [true, true, false, false]);
        assert!(image.site(None).is_none());
        check(&OpenError::Objects, |parts| parts.not_found = NO_SITE);
    }
}
