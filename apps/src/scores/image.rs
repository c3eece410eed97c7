//! An open file of scores. [`super::format`] has its format.

use std::fmt;

use lethe::app::Position;
use lethe::wire::checksum::Sum;

use super::error::OpenError;
use super::format::{HEADER_LEN, Header, LINE, NONE, RecordHeader, head};
use super::key::Digest;
use super::number::Number;
use super::page::Labels;
use super::phf::{self, Pilot};
use crate::container::{FileBytes, check_index, table, u32_at};
use crate::positions::{Buckets, Pair, pair};

/// Records that are checked between two calls of `progress`.
const PROGRESS_STEP: usize = 256;

/// A file whose index was checked. A record is checked each time that it is used.
pub struct Image {
    bytes: FileBytes,
    header: Header,
    buckets: Buckets,
    labels: Labels,
}

/// A record is damaged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Damaged;

/// A page: a complete response.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Page<'a> {
    pub(super) head: &'a [u8],
    pub(super) body: &'a [u8],
    /// The one's complement sum of both, as [`Sum::folded`] gives it.
    pub(super) sum: u16,
    /// The unit of the file at which it begins.
    pub(super) unit: Option<u32>,
}

impl Image {
    /// Opens a file. Reads and checks its header and index only.
    ///
    /// # Errors
    ///
    /// The first error found.
    pub fn open(bytes: impl AsRef<[u8]> + Send + Sync + 'static) -> Result<Self, OpenError> {
        let header = Header::parse(bytes.as_ref())?;
        let sections = Sections::split(bytes.as_ref(), &header);
        check_index(sections.index, header.checksum)?;
        sections.check()?;
        let buckets = Buckets::of(sections.positions);
        let labels = Labels::parse(sections.text).ok_or(OpenError::Labels)?;
        Ok(Self { bytes: Box::new(bytes), header, buckets, labels })
    }

    /// Checks each record. `progress` is called with the records checked, and those of the file.
    ///
    /// # Errors
    ///
    /// [`OpenError::Records`], with the number of damaged records and the offset of the first.
    pub fn check_records(&self, progress: &mut dyn FnMut(u64, u64)) -> Result<(), OpenError> {
        let sections = self.sections();
        let candidates = self.header.candidates;
        let mut lines: Vec<u32> = sections.slots.iter().map(|slot| u32_at(slot, 0)).collect();
        lines.sort_unstable();
        lines.dedup();
        let (mut count, mut first) = (candidates.saturating_sub(lines.len() as u32), None);
        for (done, &line) in lines.iter().enumerate() {
            if done.is_multiple_of(PROGRESS_STEP) {
                progress(done as u64, candidates.into());
            }
            if !sections.record(line).is_ok_and(|record| record.is_whole()) {
                count += 1;
                first = first.or(Some(line));
            }
        }
        progress(candidates.into(), candidates.into());
        let first = u64::from(first.unwrap_or(0)) * LINE as u64;
        if count == 0 { Ok(()) } else { Err(OpenError::Records { count, candidates, first }) }
    }

    /// The number of candidates.
    pub const fn candidates(&self) -> u32 {
        self.header.candidates
    }

    /// The bytes of the file.
    pub const fn len(&self) -> u64 {
        self.header.len
    }

    /// Always `false`: there is at least one candidate.
    pub const fn is_empty(&self) -> bool {
        self.header.candidates == 0
    }

    pub(super) fn labels(&self) -> &Labels {
        &self.labels
    }

    /// The page of the candidate with these numbers. `Ok(None)` takes the same time for an unknown seat number as for
    /// an identity number of another candidate.
    pub(super) fn find(&self, seat: &Number, secret: &Number) -> Result<Option<Page<'_>>, Damaged> {
        let Digest { slot_key, tag } = self.header.key.digest(seat, secret);
        let sections = self.sections();
        let slot = phf::slot(sections.pilots, sections.slots.len() as u32, slot_key);
        let line = u32_at(sections.slots.get(slot as usize).ok_or(Damaged)?, 0);
        let record = sections.record(line)?;
        if record.header.tag.is(tag) { record.page().map(Some) } else { Ok(None) }
    }

    /// The first unit behind all pages.
    pub(super) fn end(&self) -> u32 {
        let sections = self.sections();
        let Some((first, line)) = sections.positions.last().copied().map(pair) else { return 0 };
        first + sections.record(line).map_or(1, |record| Position::units(record.header.page_len()) as u32)
    }

    /// The page that covers a unit.
    pub(super) fn stored(&self, unit: u32) -> Option<Page<'_>> {
        let sections = self.sections();
        let entry = self.buckets.last_at(sections.positions, unit)?;
        let (first, line) = pair(*sections.positions.get(entry)?);
        let record = sections.record(line).ok()?;
        let units = Position::units(record.header.page_len());
        let covers = record.header.unit == first && units > (unit - first) as usize;
        if covers { record.page().ok() } else { None }
    }

    fn sections(&self) -> Sections<'_> {
        Sections::split((*self.bytes).as_ref(), &self.header)
    }
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Header { candidates, len, .. } = self.header;
        f.debug_struct("Image").field("candidates", &candidates).field("len", &len).finish_non_exhaustive()
    }
}

/// The sections of a file.
#[derive(Clone, Copy)]
struct Sections<'a> {
    /// From the first byte of the file to the end of the last record.
    records: &'a [u8],
    /// Everything behind that.
    index: &'a [u8],
    pilots: &'a [Pilot],
    slots: &'a [[u8; 4]],
    positions: &'a [Pair],
    text: &'a [u8],
}

impl<'a> Sections<'a> {
    /// Splits a file whose header was checked.
    #[inline]
    fn split(bytes: &'a [u8], header: &Header) -> Self {
        let (records, index) = bytes.split_at(header.index as usize);
        let (pilots, rest) = table(index, header.pilots());
        let (slots, rest) = table(rest, header.slots());
        let (positions, text) = table(rest, header.positions);
        Self { records, index, pilots, slots, positions, text }
    }

    fn check(&self) -> Result<(), OpenError> {
        let is_record = |line: u32| line as usize * LINE + RecordHeader::LEN <= self.records.len();
        let is_above_header = |line: u32| line as usize * LINE >= HEADER_LEN;
        let slots_lead_to_records =
            self.slots.iter().map(|slot| u32_at(slot, 0)).all(|line| is_record(line) && is_above_header(line));
        let positions_ascend = self.positions.array_windows().all(|&[a, b]| pair(a).0 < pair(b).0)
            && self.positions.last().is_none_or(|&last| pair(last).0 < Position::PER_VERSION);
        if slots_lead_to_records && positions_ascend { Ok(()) } else { Err(OpenError::Index) }
    }

    /// The record that begins at a line. Its header is checked, and not yet its page.
    #[inline]
    fn record(&self, line: u32) -> Result<Record<'a>, Damaged> {
        let bytes = self.records.get(line as usize * LINE..).ok_or(Damaged)?;
        let (header, rest) = bytes.split_first_chunk().ok_or(Damaged)?;
        let header = RecordHeader::parse(header).ok_or(Damaged)?;
        Ok(Record { header, page: rest.get(..header.page_len()).ok_or(Damaged)? })
    }
}

/// A record whose header was checked.
struct Record<'a> {
    header: RecordHeader,
    page: &'a [u8],
}

impl<'a> Record<'a> {
    /// Its page, if the checksum is right.
    #[inline]
    fn page(&self) -> Result<Page<'a>, Damaged> {
        if crc32fast::hash(self.page) != self.header.checksum {
            return Err(Damaged);
        }
        let (head, body) = self.page.split_at_checked(self.header.head_len.into()).ok_or(Damaged)?;
        let unit = (self.header.unit != NONE).then_some(self.header.unit);
        Ok(Page { head, body, sum: self.header.sum, unit })
    }

    /// Whether head and sum of its page are right, besides its checksum: those a faulty program could have written
    /// wrong.
    fn is_whole(&self) -> bool {
        self.page().is_ok_and(|page| {
            page.head == head(page.body.len()).as_bytes() && page.sum == Sum::new().with(self.page).folded()
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::super::builder::Builder;
    use super::super::format::CANDIDATES_MAX;
    use super::*;

    /// Candidates `1` and so on, whose secrets are their numbers and whose pages are this long. The first record is in
    /// line 2.
    fn file(pages: &[usize]) -> Vec<u8> {
        let mut builder = Builder::new(Cursor::new(Vec::new()), [7; 32], Labels::default()).unwrap();
        for (number, &len) in (1..).zip(pages) {
            let number = format!("{number}");
            builder.add(&number, &number, &vec![b'x'; len]).unwrap();
        }
        builder.finish().unwrap().into_inner()
    }

    /// Where the index begins.
    fn index(file: &[u8]) -> usize {
        Header::parse(file).unwrap().index as usize
    }

    /// Puts a number of four bytes somewhere.
    fn put(file: &mut [u8], at: usize, number: u32) {
        file[at..at + 4].copy_from_slice(&number.to_le_bytes());
    }

    /// Opens a file after its checksums were made right.
    fn open(mut file: Vec<u8>) -> Result<Image, OpenError> {
        let index = u32_at(file.first_chunk::<HEADER_LEN>().unwrap(), 24) as usize;
        let checksum = crc32fast::hash(file.get(index..).unwrap_or_default());
        put(&mut file, HEADER_LEN - 8, checksum);
        let checksum = crc32fast::hash(&file[..HEADER_LEN - 4]);
        put(&mut file, HEADER_LEN - 4, checksum);
        Image::open(file)
    }

    #[track_caller]
    fn check(file: &[u8], expect: Option<&OpenError>, change: impl FnOnce(&mut Vec<u8>)) {
        let mut file = file.to_vec();
        change(&mut file);
        assert_eq!(open(file).map(drop).err().as_ref(), expect);
    }

    fn number(text: &str) -> Number {
        Number::parse(text).unwrap()
    }

    #[test]
    fn a_file_says_what_is_in_it() {
        let file = file(&[10, 10]);
        let len = file.len();
        let image = open(file).unwrap();
        assert_eq!((image.candidates(), image.len(), image.is_empty()), (2, len as u64, false));
        assert_eq!(format!("{image:?}"), format!("Image {{ candidates: 2, len: {len}, .. }}"));
        assert!(image.find(&number("2"), &number("2")).unwrap().is_some_and(|page| page.body == [b'x'; 10]));
        assert_eq!(image.find(&number("2"), &number("1")), Ok(None));
    }

    #[test]
    fn sections_are_together_as_long_as_the_file() {
        let file = file(&[10; 4]);
        for change in [
            (|file| put(file, 12, 0)) as fn(&mut Vec<u8>),
            |file| put(file, 12, 5),
            |file| put(file, 12, CANDIDATES_MAX + 1),
            |file| put(file, 16, 1),
            |file| file[20] += 1,
            |file| file[24] -= 1,
            |file| file[24..32].fill(0xff),
            // The index begins within the first record, and there is more text.
            |file| {
                let more = index(file) as u32 - 163;
                let text = Header::parse(file).unwrap().text;
                put(file, 20, text + more);
                put(file, 24, 163);
            },
        ] {
            check(&file, Some(&OpenError::Sections), change);
        }
    }

    #[test]
    fn slots_lead_to_records_and_positions_ascend() {
        let file = file(&[1000, 1000, 10]);
        let slots = index(&file) + 2;
        let positions = slots + 4 * 4;
        let lines = (index(&file) / LINE) as u32;
        for (at, number, is_right) in [
            (slots, 0, false),
            (slots, 1, false),
            (slots, 2, true),
            (slots, lines - 1, true),
            (slots, lines, false),
            (slots, u32::MAX, false),
            (positions, 7, true),
            (positions, 8, false),
            (positions, 9, false),
            (positions + 8, Position::PER_VERSION - 1, true),
            (positions + 8, Position::PER_VERSION, false),
        ] {
            check(&file, (!is_right).then_some(&OpenError::Index), |file| put(file, at, number));
        }
    }

    #[test]
    fn a_record_may_fill_what_is_ahead_of_the_index() {
        let labels = Labels::default().emit();
        // A record of a header and nothing else.
        let record = RecordHeader {
            tag: super::super::key::Tag([0; 16]),
            checksum: 0,
            body_len: 0,
            unit: NONE,
            head_len: 0,
            sum: 0,
        };
        let contents = [&[0; 2][..], &2_u32.to_le_bytes(), &2_u32.to_le_bytes(), &labels].concat();
        let header = Header {
            candidates: 1,
            positions: 0,
            text: labels.len() as u32,
            index: 164,
            len: 164 + contents.len() as u64,
            key: super::super::key::Key([7; 32]),
            checksum: 0,
        };
        open([&header.emit()[..], &record.emit(), &contents].concat()).unwrap();
    }

    #[test]
    fn a_unit_is_of_the_page_that_reaches_as_far() {
        let image = open(file(&[1000, 2000])).unwrap();
        let len = |unit| image.stored(unit).map(|page| page.body.len());
        // Heads are some 200 bytes long: eight units, and ten.
        assert_eq!([0, 7, 8, 17, 18, 100].map(len), [Some(1000), Some(1000), Some(2000), Some(2000), None, None]);
        // A position that leads to the record of another has no page.
        let mut swapped = file(&[1000, 2000]);
        let positions = index(&swapped) + 2 + 4 * 3;
        let second = u32_at(swapped[positions + 12..].first_chunk::<4>().unwrap(), 0);
        put(&mut swapped, positions + 4, second);
        let image = open(swapped).unwrap();
        assert_eq!(image.stored(0), None);
        assert!(image.stored(8).is_some());
    }

    #[test]
    fn records_are_checked_in_steps_and_the_damaged_ones_are_counted() {
        let file = file(&[10; 300]);
        let checked = |file: Vec<u8>| {
            let mut calls = Vec::new();
            let result = open(file).unwrap().check_records(&mut |done, total| calls.push((done, total)));
            (result, calls)
        };
        assert_eq!(checked(file.clone()), (Ok(()), vec![(0, 300), (256, 300), (300, 300)]));
        let len = (index(&file) - HEADER_LEN) / 300;
        let records = |damaged: &[usize]| {
            let mut file = file.clone();
            for number in damaged {
                file[HEADER_LEN + len * number + RecordHeader::LEN] ^= 1;
            }
            checked(file).0.unwrap_err()
        };
        let first = (HEADER_LEN + 7 * len) as u64;
        assert_eq!(records(&[7]), OpenError::Records { count: 1, candidates: 300, first });
        assert_eq!(records(&[7, 290]), OpenError::Records { count: 2, candidates: 300, first });
        // A candidate whose slot leads to the record of another.
        let mut lost = file.clone();
        let slots = index(&file) + 2 * 75;
        let line = |at: usize| u32_at(file[slots + 4 * at..].first_chunk::<4>().unwrap(), 0);
        let at = (0..309).find(|&at| line(at) != 2).unwrap();
        put(&mut lost, slots + 4 * at, 2);
        assert_eq!(checked(lost).0, Err(OpenError::Records { count: 1, candidates: 300, first: 0 }));
    }

    #[test]
    fn a_record_that_was_written_wrong_is_not_whole() {
        let whole = file(&[10]);
        let page = {
            let image = open(whole.clone()).unwrap();
            let found = image.find(&number("1"), &number("1")).unwrap().unwrap();
            [found.head, found.body].concat()
        };
        let parsed = RecordHeader::parse(whole[HEADER_LEN..].first_chunk().unwrap()).unwrap();
        let count = |header: RecordHeader, page: &[u8]| {
            let mut file = whole.clone();
            file[HEADER_LEN..][..RecordHeader::LEN].copy_from_slice(&header.emit());
            file[HEADER_LEN + RecordHeader::LEN..][..page.len()].copy_from_slice(page);
            open(file).unwrap().check_records(&mut |_, _| ()).is_err()
        };
        assert!(!count(parsed, &page));
        assert!(count(RecordHeader { sum: parsed.sum ^ 1, ..parsed }, &page));
        // Another head, with checksum and sum of its own.
        let mut other = page.clone();
        other[9] = b'3';
        let (checksum, sum) = (crc32fast::hash(&other), Sum::new().with(&other).folded());
        assert!(count(RecordHeader { checksum, sum, ..parsed }, &other));
    }
}
