//! Files that a database is made from: MaxMind DB files, and the binary and the text files of ip2region.

mod mmdb;
mod text;
mod xdb;

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use thiserror::Error;

use super::builder::BuildError;
use super::fields::{Fields, FieldsError};
use super::language::Language;

/// What one file says: ranges of addresses, and what is known of each.
#[derive(Debug)]
pub struct Source {
    /// The ranges of IPv4 and those of IPv6, each in ascending order.
    pub(super) ranges: [Vec<Range>; 2],
    pub(super) records: Vec<Record>,
    /// The languages of names, that of most names first.
    pub(super) languages: Vec<Language>,
    fields: Option<Fields>,
}

impl Source {
    /// Reads the contents of a file, of whatever kind it is.
    ///
    /// A region of ip2region has fields without names: without `fields`, they are recognized. With `only_china`,
    /// provinces and cities are kept of China alone.
    ///
    /// # Errors
    ///
    /// The first error in the file.
    pub fn read(bytes: &[u8], fields: Option<Fields>, only_china: bool) -> Result<Self, PrepareError> {
        if mmdb::is_mmdb(bytes) {
            return mmdb::read(bytes);
        }
        if let Some(&(_, program)) = PACKED.iter().find(|(magic, _)| bytes.starts_with(magic)) {
            return Err(PrepareError::Packed { program });
        }
        let (segments, unit) =
            if text::is_text(bytes) { (text::segments(bytes)?, "line") } else { (xdb::segments(bytes)?, "segment") };
        Self::of_segments(&segments, unit, fields, only_china)
    }

    /// The number of ranges.
    pub fn len(&self) -> usize {
        self.ranges.iter().map(Vec::len).sum()
    }

    /// Whether it has no range.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The fields of its regions, if it is of ip2region: the country alone if no region has more.
    pub fn fields(&self) -> Option<Fields> {
        let is_more_kept = self.records.iter().any(|record| record.names[1..].iter().any(|names| !names.is_empty()));
        self.fields.map(|fields| if is_more_kept { fields } else { fields.only_country() })
    }

    fn empty(languages: Vec<Language>) -> Self {
        Self { ranges: [Vec::new(), Vec::new()], records: Vec::new(), languages, fields: None }
    }

    fn of_segments(
        segments: &[Segment<'_>],
        unit: &'static str,
        fields: Option<Fields>,
        only_china: bool,
    ) -> Result<Self, PrepareError> {
        let fields = fields.map_or_else(|| told(segments, unit), Ok)?;
        let fields = if only_china { fields.only_china() } else { fields };
        let mut source = Self { fields: Some(fields), ..Self::empty(vec![Language::Chinese]) };
        let mut seen = HashMap::new();
        for segment in segments {
            let mut add = || -> Result<(), SegmentError> {
                let region = segment.region;
                let record = if let Some(&record) = seen.get(region) {
                    record
                } else {
                    let place = fields.place(region).ok_or_else(|| FieldsError::named(fields, region))?;
                    let names = place.names().map(|name| {
                        if name.is_empty() { Vec::new() } else { vec![(Language::Chinese, name.to_owned())] }
                    });
                    let (code, org) = (place.code.to_owned(), place.org.to_owned());
                    let record = source.record(Record { names, code, org, ..Record::default() });
                    seen.insert(region, record);
                    record
                };
                Ok(source.add(segment.first, segment.last, record)?)
            };
            add().map_err(|cause| PrepareError::Segment { unit, at: segment.at, cause })?;
        }
        Ok(source)
    }

    /// The number of a new record.
    fn record(&mut self, record: Record) -> u32 {
        self.records.push(record);
        (self.records.len() - 1) as u32
    }

    fn add(&mut self, first: IpAddr, last: IpAddr, record: u32) -> Result<(), BuildError> {
        let (family, from, to) = match (first, last) {
            (IpAddr::V4(first), IpAddr::V4(last)) => (0, first.to_bits().into(), last.to_bits().into()),
            (IpAddr::V6(first), IpAddr::V6(last)) => (1, first.to_bits(), last.to_bits()),
            _ => return Err(BuildError::Order { first, last }),
        };
        let ranges = &mut self.ranges[family];
        if to < from || ranges.last().is_some_and(|before| from <= before.last) {
            return Err(BuildError::Order { first, last });
        }
        ranges.push(Range { first: from, last: to, record });
        Ok(())
    }
}

/// Addresses of one family that the same is known of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Range {
    pub(super) first: u128,
    pub(super) last: u128,
    /// The number of its record.
    pub(super) record: u32,
}

/// What is known of a range.
#[derive(Clone, Default, Debug)]
pub(super) struct Record {
    /// Country, region and city, each in some languages.
    pub(super) names: [Vec<(Language, String)>; 3],
    pub(super) code: String,
    pub(super) org: String,
    pub(super) asn: u32,
    pub(super) position: Option<[i32; 2]>,
}

impl Record {
    /// Whether it says where the addresses are.
    pub(super) fn has_place(&self) -> bool {
        !self.code.is_empty() || self.names.iter().any(|names| !names.is_empty())
    }

    /// Whether it says whose the addresses are.
    pub(super) const fn has_network(&self) -> bool {
        self.asn != 0 || !self.org.is_empty()
    }
}

/// A range of a file of ip2region, and its region.
struct Segment<'a> {
    /// Its position, or its line.
    at: usize,
    first: IpAddr,
    last: IpAddr,
    region: &'a str,
}

/// The layout of regions, by each of them once: as often as it is in an xdb file, and once for all its lines.
fn told(segments: &[Segment<'_>], unit: &str) -> Result<Fields, FieldsError> {
    let mut seen = HashSet::new();
    let place = |region: &str| if unit == "line" { 0 } else { region.as_ptr().addr() };
    let regions = segments.iter().map(|segment| segment.region);
    let regions: Vec<_> = regions.filter(|&region| seen.insert((place(region), region))).collect();
    Fields::told(&regions)
}

/// Compressed files that may hold a source: their magic, and the program that unpacks them.
const PACKED: [(&[u8], &str); 3] = [(b"\x1f\x8b", "gunzip"), (b"PK\x03\x04", "unzip"), (b"\x28\xb5\x2f\xfd", "unzstd")];

/// What is wrong with a source.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum PrepareError {
    /// It ends within its header or its index.
    #[error("too short for an xdb file")]
    Header,
    /// It is compressed.
    #[error("this is a packed file: unpack it first ({program})")]
    Packed {
        /// The program that unpacks it.
        program: &'static str,
    },
    /// It is in another version of the format, or of no kind that is read.
    #[error(
        "none of a MaxMind DB file, an xdb file of version 2 or 3 (it would have version {found}), and lines of \
         first|last|region"
    )]
    Version {
        /// What the file says.
        found: u16,
    },
    /// It has addresses of an unknown version of IP.
    #[error("its addresses are of version {found} of IP, where 4 and 6 are read")]
    Family {
        /// What the file says.
        found: u16,
    },
    /// Its offsets have another length than those of known files.
    #[error("its offsets have {found} bytes, where 4 are read: make it with offsets of 4 bytes")]
    Offsets {
        /// What the file says.
        found: u16,
    },
    /// The layout of its regions is not known.
    #[error(transparent)]
    Fields(#[from] FieldsError),
    /// The segments are not within the file.
    #[error("segments from {first} to {last} in a file of {len} bytes: the file is cut off or damaged")]
    Segments {
        /// The offset of the first.
        first: u32,
        /// The offset of the last.
        last: u32,
        /// The bytes of the file.
        len: usize,
    },
    /// One of the segments, or of the lines, is wrong.
    #[error("{unit} {at}: {cause}")]
    Segment {
        /// What it is.
        unit: &'static str,
        /// Its position.
        at: usize,
        /// What is wrong with it.
        cause: SegmentError,
    },
    /// A MaxMind DB file is damaged.
    #[error("a damaged MaxMind DB file, {place}: {error}")]
    Mmdb {
        /// Where: the network, or the header.
        place: String,
        /// What the reader says of it.
        error: String,
    },
    /// A MaxMind DB file is about other things than places and networks.
    #[error(
        "a MaxMind DB file of type {database_type:?} without country_code, country, city, autonomous_system_number or \
         asn in any record"
    )]
    Nothing {
        /// What the file says that it is.
        database_type: String,
    },
}

/// What is wrong with a segment.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum SegmentError {
    /// Its region lies outside of the file.
    #[error("a region of {len} bytes at {from}, outside of the file")]
    Outside {
        /// The offset of the region.
        from: usize,
        /// The bytes of the region.
        len: usize,
    },
    /// Its region is not UTF-8.
    #[error("the region at {from} is not UTF-8")]
    Text {
        /// The offset of the region.
        from: usize,
    },
    /// It is a line that is not a range.
    #[error("not first|last|region, with two addresses of one family")]
    Line,
    /// Its region has another number of fields than were named.
    #[error(transparent)]
    Fields(#[from] FieldsError),
    /// It is out of order.
    #[error(transparent)]
    Build(#[from] BuildError),
}
