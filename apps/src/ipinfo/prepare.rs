//! Builds a database from a file of [ip2region](https://github.com/lionsoul2014/ip2region).
//!
//! Versions 2 and 3 of its `xdb` format, numbers little-endian:
//!
//! ```text
//! 0        header: version u16, index policy u16, built at u32 (Unix time),
//!                  first segment u32, last segment u32 (both offsets),
//!                  of version 3 also: 4 for IPv4 or 6 for IPv6, u16, and the bytes of an offset, u16;
//!                  padding to 256 bytes
//! 256      vector index: 256 × 256 × (first segment u32, end u32), by the high half of the address
//! 524,544  regions, as text: fields with | between them, and 0 for what is not known
//! …        segments, ascending: first address, last address, region length u16, region offset u32;
//!          an address of IPv4 is a u32, and one of IPv6 16 bytes as they are sent
//! ```
//!
//! The vector index speeds up lookups of single addresses; a reader of all segments does not need it. The country of
//! each region is kept, and in China province and city too: elsewhere these are known for few addresses, and the
//! database would be twice as large. `fields.rs` finds out which fields they are.

use std::collections::HashSet;
use std::net::Ipv4Addr;

use thiserror::Error;

use super::builder::{BuildError, Builder};
use super::database::Database;
use super::fields::{Fields, FieldsError};

/// The versions of `xdb` that this module reads.
const VERSION_2: u16 = 2;
const VERSION_3: u16 = 3;

/// Version 3: the kinds of addresses, and the length of offsets.
const IPV4: u16 = 4;
const IPV6: u16 = 6;
const OFFSET_LEN: u16 = 4;

/// The length of header and vector index.
const SEGMENTS_FROM: usize = 256 + 256 * 256 * 8;

const SEGMENT_LEN: usize = 14;

/// The length of a segment of IPv6.
const SEGMENT_LEN_IPV6: usize = 38;

/// Compressed files that may hold an `xdb` file: their magic, and the program that unpacks them.
const PACKED: [([u8; 2], &str); 3] = [(*b"\x1f\x8b", "gunzip"), (*b"PK", "unzip"), (*b"\x28\xb5", "unzstd")];

/// Segments between two calls of `progress`: enough calls for a smooth progress bar.
const PROGRESS_STEP: usize = 4096;

/// The result of [`prepare`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Prepared {
    /// The contents of the database file.
    pub database: Vec<u8>,
    /// Segments read from the source.
    pub segments: usize,
    /// Ranges in the database.
    pub ranges: usize,
    /// Places in the database, the unknown one counted.
    pub places: usize,
    /// The fields of the source that are in the database: the country alone if no region has more.
    pub fields: Fields,
}

/// Builds a database from the contents of an `xdb` file. Without `fields`, the layout of its regions is recognized.
///
/// `progress` is called with the number of segments read so far, and of all segments. The same source always makes the
/// same database.
///
/// # Errors
///
/// The first error in the source.
pub fn prepare(
    source: &[u8],
    fields: Option<Fields>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Prepared, PrepareError> {
    let source = Source::open(source)?;
    let fields = fields.map_or_else(|| source.fields(), Ok)?;
    let segments = source.segments.len();
    let mut builder = Builder::new();
    for (at, segment) in source.segments.iter().enumerate() {
        if at.is_multiple_of(PROGRESS_STEP) {
            progress(at as u64, segments as u64);
        }
        source.add_to(&mut builder, segment, fields).map_err(|cause| PrepareError::Segment { at, cause })?;
    }
    progress(segments as u64, segments as u64);
    let database = builder.finish();
    let opened = Database::open(&database).expect("what the builder makes can be opened");
    let (ranges, places) = (opened.range_count(), opened.place_count());
    let is_more_kept = opened.places().any(|place| !(place.province.is_empty() && place.city.is_empty()));
    let fields = if is_more_kept { fields } else { fields.only_country() };
    Ok(Prepared { database, segments, ranges, places, fields })
}

/// An open `xdb` file. Its segments are not checked yet.
struct Source<'a> {
    bytes: &'a [u8],
    segments: &'a [[u8; SEGMENT_LEN]],
}

impl<'a> Source<'a> {
    fn open(bytes: &'a [u8]) -> Result<Self, PrepareError> {
        let word = |at: usize| bytes[at..].first_chunk().map(|&word| u16::from_le_bytes(word));
        let offset = |at: usize| bytes[at..].first_chunk().map(|&offset| u32::from_le_bytes(offset));
        let Some(found) = bytes.first_chunk().map(|&word| u16::from_le_bytes(word)) else {
            return Err(PrepareError::Header);
        };
        if let Some(&(_, program)) = PACKED.iter().find(|(magic, _)| bytes.starts_with(magic)) {
            return Err(PrepareError::Packed { program });
        }
        if !matches!(found, VERSION_2 | VERSION_3) {
            return Err(PrepareError::Version { found });
        }
        if bytes.len() < SEGMENTS_FROM {
            return Err(PrepareError::Header);
        }
        if found == VERSION_3 {
            match word(16) {
                Some(IPV4) => {}
                Some(IPV6) => return Err(PrepareError::Ipv6),
                family => return Err(PrepareError::Family { found: family.unwrap_or_default() }),
            }
            if let Some(found) = word(18).filter(|&len| len != OFFSET_LEN) {
                return Err(PrepareError::Offsets { found });
            }
        }
        let [first, last] = [8, 12].map(|at| offset(at).unwrap_or_default());
        let wrong = PrepareError::Segments { first, last, len: bytes.len() };
        // `last` is where the last segment begins.
        let (from, to) = (first as usize, last as usize);
        // In a file that is cut off, the range ends with the file.
        let until = |len: usize| {
            let segments = bytes.get(from..to.saturating_add(len).min(bytes.len()));
            segments.filter(|_| from >= SEGMENTS_FROM && from <= to).unwrap_or_default()
        };
        let segments = until(SEGMENT_LEN).as_chunks();
        // Files with IPv6 addresses may have version 2, and segments whose total length would fit IPv4 as well.
        let segments_ipv6 = until(SEGMENT_LEN_IPV6).as_chunks::<SEGMENT_LEN_IPV6>().0;
        if (to.wrapping_sub(from)).is_multiple_of(SEGMENT_LEN_IPV6)
            && are_segments(bytes, segments_ipv6)
            && !are_segments(bytes, segments.0)
        {
            return Err(PrepareError::Ipv6);
        }
        let is_whole = to.saturating_add(SEGMENT_LEN) <= bytes.len();
        match segments {
            (segments @ [_, ..], []) if is_whole => Ok(Self { bytes, segments }),
            _ => Err(wrong),
        }
    }

    /// The layout of its regions.
    fn fields(&self) -> Result<Fields, PrepareError> {
        let mut seen = HashSet::new();
        let mut regions = Vec::new();
        for (at, segment) in self.segments.iter().enumerate() {
            if seen.insert(&segment[8..]) {
                regions.push(self.region(segment).map_err(|cause| PrepareError::Segment { at, cause })?);
            }
        }
        Ok(Fields::told(&regions)?)
    }

    fn region(&self, segment: &[u8; SEGMENT_LEN]) -> Result<&'a str, SegmentError> {
        let [.., n0, n1, r0, r1, r2, r3] = *segment;
        let from = u32::from_le_bytes([r0, r1, r2, r3]) as usize;
        let len = usize::from(u16::from_le_bytes([n0, n1]));
        let region = self.bytes.get(from..).and_then(|rest| rest.get(..len));
        let region = region.ok_or(SegmentError::Outside { from, len })?;
        str::from_utf8(region).map_err(|_| SegmentError::Text { from })
    }

    fn add_to(
        &self,
        builder: &mut Builder<'a>,
        segment: &[u8; SEGMENT_LEN],
        fields: Fields,
    ) -> Result<(), SegmentError> {
        let [a0, a1, a2, a3, b0, b1, b2, b3, ..] = *segment;
        let [first, last] =
            [[a0, a1, a2, a3], [b0, b1, b2, b3]].map(|bits| Ipv4Addr::from_bits(u32::from_le_bytes(bits)));
        let region = self.region(segment)?;
        let place = fields.place(region).ok_or_else(|| FieldsError::named(fields, region))?;
        Ok(builder.add(first..=last, place)?)
    }
}

/// Whether these are segments: their regions are behind the index, and within the file.
fn are_segments<const LEN: usize>(bytes: &[u8], segments: &[[u8; LEN]]) -> bool {
    let has_region = |segment: &[u8; LEN]| {
        let Some(&[n0, n1, r0, r1, r2, r3]) = segment.last_chunk() else { return false };
        let from = u32::from_le_bytes([r0, r1, r2, r3]) as usize;
        let len = usize::from(u16::from_le_bytes([n0, n1]));
        from >= SEGMENTS_FROM && from + len <= bytes.len()
    };
    !segments.is_empty() && segments.iter().all(has_region)
}

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
    /// It is in another version of the format, or no `xdb` file at all.
    #[error("not an xdb file of version {VERSION_2} or {VERSION_3}: it says {found}")]
    Version {
        /// What the file says.
        found: u16,
    },
    /// It has addresses of IPv6.
    #[error("its addresses are of IPv6, of which ipinfo knows no places: take the file for IPv4 (ip2region_v4.xdb)")]
    Ipv6,
    /// It has addresses of an unknown version of IP.
    #[error("its addresses are of version {found} of IP, where {IPV4} is read")]
    Family {
        /// What the file says.
        found: u16,
    },
    /// Its offsets have another length than those of known files.
    #[error("its offsets have {found} bytes, where {OFFSET_LEN} are read: make it with offsets of {OFFSET_LEN} bytes")]
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
    /// One of the segments is wrong.
    #[error("segment {at}: {cause}")]
    Segment {
        /// Its position.
        at: usize,
        /// What is wrong with it.
        cause: SegmentError,
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
    /// Its region has another number of fields than were named.
    #[error(transparent)]
    Fields(#[from] FieldsError),
    /// It cannot be added to the database.
    #[error(transparent)]
    Build(#[from] BuildError),
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A hand-made `xdb` file: the regions, then a segment for each.
    fn xdb(segments: &[(u32, u32, &str)]) -> Vec<u8> {
        let mut file = vec![0; SEGMENTS_FROM];
        let offsets: Vec<_> = segments
            .iter()
            .map(|(_, _, region)| {
                let offset = file.len() as u32;
                file.extend(region.bytes());
                offset
            })
            .collect();
        let first = file.len() as u32;
        for ((from, to, region), offset) in segments.iter().zip(offsets) {
            file.extend(from.to_le_bytes());
            file.extend(to.to_le_bytes());
            file.extend((region.len() as u16).to_le_bytes());
            file.extend(offset.to_le_bytes());
        }
        let last = first + (SEGMENT_LEN * (segments.len() - 1)) as u32;
        file[..2].copy_from_slice(&VERSION_2.to_le_bytes());
        file[8..12].copy_from_slice(&first.to_le_bytes());
        file[12..16].copy_from_slice(&last.to_le_bytes());
        file
    }

    fn made(source: &[u8]) -> Result<Prepared, PrepareError> {
        prepare(source, None, &mut |_, _| ())
    }

    fn error_of(segments: &[(u32, u32, &str)]) -> PrepareError {
        made(&xdb(segments)).unwrap_err()
    }

    const GUANGZHOU: &str = "中国|0|广东省|广州市|电信";

    #[test]
    fn china_is_kept_to_the_city_and_elsewhere_the_country() {
        let source = xdb(&[
            (0, 9, "0|0|0|内网IP|内网IP"),
            (10, 19, GUANGZHOU),
            (20, 29, "中国|0|广东省|广州市|联通"),
            (30, 39, "中国|0|0|0|0"),
            (40, 49, "泰国|0|曼谷|曼谷|TOT"),
            (50, 59, "泰国|0|0|0|0"),
        ]);
        let prepared = made(&source).unwrap();
        assert_eq!((prepared.segments, prepared.ranges, prepared.places), (6, 5, 4));
        let ranges: Vec<_> = Database::open(&prepared.database)
            .unwrap()
            .ranges()
            .map(|(first, place)| (first.to_bits(), place.map(|place| place.names())))
            .collect();
        let expected = [
            (0, None),
            (10, Some(["中国", "广东省", "广州市"])),
            (30, Some(["中国", "", ""])),
            (40, Some(["泰国", "", ""])),
            (60, None),
        ];
        assert_eq!(ranges, expected);
    }

    #[test]
    fn the_same_source_makes_the_same_bytes() {
        let source = xdb(&[(5, 9, GUANGZHOU), (12, 19, "美国|0|0|0|谷歌")]);
        assert_eq!(made(&source), made(&source));
    }

    #[test]
    fn progress_goes_from_nothing_to_all() {
        let segments: Vec<_> = (0..10_000).map(|at| (at, at, GUANGZHOU)).collect();
        let mut calls = Vec::new();
        prepare(&xdb(&segments), None, &mut |done, total| calls.push((done, total))).unwrap();
        assert_eq!(calls, [(0, 10_000), (4096, 10_000), (8192, 10_000), (10_000, 10_000)]);
    }

    #[test]
    fn a_file_of_another_kind_is_refused() {
        assert_eq!(made(b""), Err(PrepareError::Header));
        assert_eq!(made(b"\x02\x00"), Err(PrepareError::Header));
        assert_eq!(made(b"\x7fELF and so on, and so on"), Err(PrepareError::Version { found: 0x457f }));
        assert_eq!(made(&[4, 0].repeat(8)), Err(PrepareError::Version { found: 4 }));
        assert_eq!(made(&[3, 0].repeat(8)), Err(PrepareError::Header));
    }

    #[test]
    fn a_file_that_is_cut_off_is_refused() {
        let mut source = xdb(&[(0, 9, GUANGZHOU)]);
        source.pop();
        let error = made(&source).unwrap_err();
        assert!(matches!(error, PrepareError::Segments { len, .. } if len == source.len()), "{error}");
    }

    #[test]
    fn segments_where_they_cannot_be_are_refused() {
        let source = xdb(&[(0, 9, GUANGZHOU), (10, 19, GUANGZHOU)]);
        for (at, wrong) in [(8, 0_u32), (8, 256), (8, u32::MAX), (12, 0), (12, u32::MAX)] {
            let mut source = source.clone();
            source[at..at + 4].copy_from_slice(&wrong.to_le_bytes());
            assert!(matches!(made(&source), Err(PrepareError::Segments { .. })), "{at} {wrong}");
        }
    }

    #[test]
    fn segments_out_of_order_are_refused() {
        for second in [(9, 20), (30, 29), (0, 5)] {
            let error = error_of(&[(0, 9, GUANGZHOU), (second.0, second.1, GUANGZHOU)]);
            let [first, last] = [second.0, second.1].map(Ipv4Addr::from_bits);
            let cause = BuildError::Order { first, last }.into();
            assert_eq!(error, PrepareError::Segment { at: 1, cause });
        }
    }

    #[test]
    fn a_region_outside_of_the_file_is_refused() {
        let mut source = xdb(&[(0, 9, GUANGZHOU)]);
        let len = source.len();
        source[len - 4..].copy_from_slice(&u32::MAX.to_le_bytes());
        let cause = SegmentError::Outside { from: u32::MAX as usize, len: GUANGZHOU.len() };
        assert_eq!(made(&source), Err(PrepareError::Segment { at: 0, cause }));
    }

    #[test]
    fn a_region_that_is_not_utf_8_is_refused() {
        let mut source = xdb(&[(0, 9, GUANGZHOU)]);
        source[SEGMENTS_FROM] = 0xff;
        let cause = SegmentError::Text { from: SEGMENTS_FROM };
        assert_eq!(made(&source), Err(PrepareError::Segment { at: 0, cause }));
    }
}
