//! A file of scores that is open. Its format is that of [`super::format`].

use std::fmt;

use lethe::app::Position;
use lethe::wire::checksum::Sum;

use super::damage::OpenError;
use super::format::{HEADER_LEN, Header, LINE, NONE, RecordHeader, head};
use super::key::Digest;
use super::number::Number;
use super::page::Labels;
use super::perfect::{self, Pilot};
use crate::bytes::{table, u32_at};
use crate::positions::{Buckets, Pair, UNITS, pair};

/// How many records are checked between two calls that tell how far it is.
const PROGRESS_STEP: usize = 256;

/// Where a file lies: mapped, or in memory.
type Owner = Box<dyn AsRef<[u8]> + Send + Sync>;

/// A file whose index was checked. Its records are checked each time that they are used.
pub struct Image {
    bytes: Owner,
    header: Header,
    buckets: Buckets,
    labels: Labels,
}

/// A record is not what it was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Damaged;

/// A page, as it is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Page<'a> {
    pub(super) head: &'a [u8],
    pub(super) body: &'a [u8],
    /// The one's complement sum of both, as [`Sum::folded`] gives it.
    pub(super) sum: u16,
    /// Where it begins among the units of the file.
    pub(super) unit: Option<u32>,
}

impl Image {
    /// Opens a file, and checks its header and index. Only those are read.
    ///
    /// # Errors
    ///
    /// The first damage that is found.
    pub fn open(bytes: impl AsRef<[u8]> + Send + Sync + 'static) -> Result<Self, OpenError> {
        let header = Header::parse(bytes.as_ref())?;
        let sections = Sections::split(bytes.as_ref(), &header);
        sections.check(&header)?;
        let buckets = Buckets::of(sections.positions);
        let labels = Labels::parse(sections.text).ok_or(OpenError::Labels)?;
        Ok(Self { bytes: Box::new(bytes), header, buckets, labels })
    }

    /// Checks each record. `progress` is told the candidates done, and those of the file.
    ///
    /// # Errors
    ///
    /// How many are damaged, and where the first is.
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

    /// How many candidates it has.
    pub const fn candidates(&self) -> u32 {
        self.header.candidates
    }

    /// The bytes of the file.
    pub const fn len(&self) -> u64 {
        self.header.len
    }

    /// Never: there is a candidate.
    pub const fn is_empty(&self) -> bool {
        self.header.candidates == 0
    }

    pub(super) fn labels(&self) -> &Labels {
        &self.labels
    }

    /// The page of the candidate with these numbers. `Ok(None)` takes as long for a seat that nobody has as for
    /// an identity number that is another's.
    pub(super) fn find(&self, seat: &Number, secret: &Number) -> Result<Option<Page<'_>>, Damaged> {
        let Digest { place, tag } = self.header.key.digest(seat, secret);
        let sections = self.sections();
        let slot = perfect::slot(sections.pilots, sections.slots.len() as u32, place);
        let line = u32_at(sections.slots.get(slot as usize).ok_or(Damaged)?, 0);
        let record = sections.record(line)?;
        if record.header.tag.is(tag) { record.page().map(Some) } else { Ok(None) }
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

/// The sections of a file, taken apart.
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
    /// The lengths are those that the header was checked with.
    #[inline]
    fn split(bytes: &'a [u8], header: &Header) -> Self {
        let (records, index) = bytes.split_at(header.index as usize);
        let (pilots, rest) = table(index, header.pilots());
        let (slots, rest) = table(rest, header.slots());
        let (positions, text) = table(rest, header.positions);
        Self { records, index, pilots, slots, positions, text }
    }

    fn check(&self, header: &Header) -> Result<(), OpenError> {
        let (actual, expected) = (crc32fast::hash(self.index), header.checksum);
        if actual != expected {
            return Err(OpenError::Checksum { actual, expected });
        }
        let is_record = |line: u32| line as usize * LINE + RecordHeader::LEN <= self.records.len();
        let is_above_header = |line: u32| line as usize * LINE >= HEADER_LEN;
        let slots_lead_to_records =
            self.slots.iter().map(|slot| u32_at(slot, 0)).all(|line| is_record(line) && is_above_header(line));
        let positions_ascend = self.positions.array_windows().all(|&[a, b]| pair(a).0 < pair(b).0)
            && self.positions.last().is_none_or(|&last| pair(last).0 < UNITS);
        if slots_lead_to_records && positions_ascend { Ok(()) } else { Err(OpenError::Index) }
    }

    /// The record that begins at a line, as far as its header says.
    #[inline]
    fn record(&self, line: u32) -> Result<Record<'a>, Damaged> {
        let bytes = self.records.get(line as usize * LINE..).ok_or(Damaged)?;
        let (header, rest) = bytes.split_first_chunk().ok_or(Damaged)?;
        let header = RecordHeader::parse(header).ok_or(Damaged)?;
        Ok(Record { header, page: rest.get(..header.page_len()).ok_or(Damaged)? })
    }
}

/// A record whose header is whole.
struct Record<'a> {
    header: RecordHeader,
    page: &'a [u8],
}

impl<'a> Record<'a> {
    /// Its page, if that is what it was.
    #[inline]
    fn page(&self) -> Result<Page<'a>, Damaged> {
        if crc32fast::hash(self.page) != self.header.checksum {
            return Err(Damaged);
        }
        let (head, body) = self.page.split_at_checked(self.header.head_len.into()).ok_or(Damaged)?;
        let unit = (self.header.unit != NONE).then_some(self.header.unit);
        Ok(Page { head, body, sum: self.header.sum, unit })
    }

    /// Whether everything about it is right, and not only what damage could befall.
    fn is_whole(&self) -> bool {
        self.page().is_ok_and(|page| {
            page.head == head(page.body.len()).as_bytes() && page.sum == Sum::new().with(self.page).folded()
        })
    }
}
