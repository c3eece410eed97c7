//! Makes a database from a file of [ip2region](https://github.com/lionsoul2014/ip2region).
//!
//! Version 2 of its `xdb` format, numbers little-endian:
//!
//! ```text
//! 0        header: version u16, index policy u16, built at u32 (Unix time),
//!                  first segment u32, last segment u32 (both offsets), padding to 256 bytes
//! 256      vector index: 256 × 256 × (first segment u32, end u32), by the high half of the address
//! 524,544  regions, as text: 国家|区域|省份|城市|ISP, with 0 for what is not known
//! …        segments, ascending: first address u32, last address u32, region length u16, region offset u32
//! ```
//!
//! The vector index only finds segments faster than the segments themselves can be searched; whoever
//! reads all of them does without it. Of each region we keep the country, and in China province and
//! city too: elsewhere these are known for few addresses, and the file would be twice as large.

use std::net::Ipv4Addr;

use thiserror::Error;

use super::builder::{BuildError, Builder};
use super::database::{Database, Place};

/// The version of `xdb` that this module reads.
pub const XDB_VERSION: u16 = 2;

/// Header and vector index.
const SEGMENTS_FROM: usize = 256 + 256 * 256 * 8;

const SEGMENT_LEN: usize = 14;

/// Segments read between two calls to `progress`: often enough for a smooth bar of any width.
const PROGRESS_STEP: usize = 4096;

/// What [`prepare`] made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Prepared {
    /// The database, as it is to be written to a file.
    pub database: Vec<u8>,
    /// Segments read from the source.
    pub segments: usize,
    /// Ranges in the database.
    pub ranges: usize,
    /// Places in the database, the unknown one counted.
    pub places: usize,
}

/// Makes a database from the contents of an `xdb` file.
///
/// `progress` is told now and then how many segments are read, of how many. The same source always
/// makes the same database.
///
/// # Errors
///
/// The first thing in the source that is not as it should be.
pub fn prepare(source: &[u8], progress: &mut dyn FnMut(u64, u64)) -> Result<Prepared, PrepareError> {
    let source = Source::open(source)?;
    let segments = source.segments.len();
    let mut builder = Builder::new();
    for (at, segment) in source.segments.iter().enumerate() {
        if at.is_multiple_of(PROGRESS_STEP) {
            progress(at as u64, segments as u64);
        }
        source.add_to(&mut builder, segment).map_err(|cause| PrepareError::Segment { at, cause })?;
    }
    progress(segments as u64, segments as u64);
    let database = builder.finish();
    let opened = Database::open(&database).expect("what the builder makes can be opened");
    let (ranges, places) = (opened.range_count(), opened.place_count());
    Ok(Prepared { database, segments, ranges, places })
}

/// An `xdb` file, as far as it can be checked without reading all of it.
struct Source<'a> {
    bytes: &'a [u8],
    segments: &'a [[u8; SEGMENT_LEN]],
}

impl<'a> Source<'a> {
    fn open(bytes: &'a [u8]) -> Result<Self, PrepareError> {
        let (head, _) = bytes.split_first_chunk().ok_or(PrepareError::Header)?;
        let [v0, v1, _, _, _, _, _, _, f0, f1, f2, f3, l0, l1, l2, l3] = *head;
        let version = u16::from_le_bytes([v0, v1]);
        if version != XDB_VERSION {
            return Err(PrepareError::Version { found: version });
        }
        let [first, last] = [[f0, f1, f2, f3], [l0, l1, l2, l3]].map(u32::from_le_bytes);
        let wrong = PrepareError::Segments { first, last, len: bytes.len() };
        // The end of the last segment, since `last` is where it begins.
        let (first, end) = (first as usize, (last as usize).saturating_add(SEGMENT_LEN));
        let segments = bytes.get(first..end).filter(|_| first >= SEGMENTS_FROM);
        match segments.map(<[u8]>::as_chunks) {
            Some((segments, [])) => Ok(Self { bytes, segments }),
            _ => Err(wrong),
        }
    }

    fn add_to(&self, builder: &mut Builder<'a>, segment: &[u8; SEGMENT_LEN]) -> Result<(), SegmentError> {
        let [a0, a1, a2, a3, b0, b1, b2, b3, n0, n1, r0, r1, r2, r3] = *segment;
        let [first, last] =
            [[a0, a1, a2, a3], [b0, b1, b2, b3]].map(|bits| Ipv4Addr::from_bits(u32::from_le_bytes(bits)));
        let from = u32::from_le_bytes([r0, r1, r2, r3]) as usize;
        let len = usize::from(u16::from_le_bytes([n0, n1]));
        let region =
            self.bytes.get(from..).and_then(|rest| rest.get(..len)).ok_or(SegmentError::Outside { from, len })?;
        let region = str::from_utf8(region).map_err(|_| SegmentError::Text { from })?;
        let place = reduce(region).ok_or(SegmentError::Fields { from })?;
        Ok(builder.add(first..=last, place)?)
    }
}

/// The place of a region, when it has the right fields: China to the city, elsewhere the country.
fn reduce(region: &str) -> Option<Place<'_>> {
    let mut fields = region.split('|').map(|field| if field == "0" { "" } else { field });
    let mut next = || fields.next();
    let (country, _area, province, city, _isp) = (next()?, next()?, next()?, next()?, next()?);
    if fields.next().is_some() {
        return None;
    }
    Some(match country {
        "中国" => Place { country, province, city },
        _ => Place { country, ..Place::default() },
    })
}

/// What is wrong with a source.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum PrepareError {
    /// It ends within its header.
    #[error("too short for an xdb file")]
    Header,
    /// It is in another version of the format, or no `xdb` file at all.
    #[error("not an xdb file of version {XDB_VERSION}: it says {found}")]
    Version {
        /// What the file says.
        found: u16,
    },
    /// The header has the segments where they cannot be.
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
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
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
    /// Its region has not the five fields that are expected.
    #[error("the region at {from} is not of the form 国家|区域|省份|城市|ISP")]
    Fields {
        /// The offset of the region.
        from: usize,
    },
    /// The database cannot have it.
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
        file[..2].copy_from_slice(&XDB_VERSION.to_le_bytes());
        file[8..12].copy_from_slice(&first.to_le_bytes());
        file[12..16].copy_from_slice(&last.to_le_bytes());
        file
    }

    fn made(source: &[u8]) -> Result<Prepared, PrepareError> {
        prepare(source, &mut |_, _| ())
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
        prepare(&xdb(&segments), &mut |done, total| calls.push((done, total))).unwrap();
        assert_eq!(calls, [(0, 10_000), (4096, 10_000), (8192, 10_000), (10_000, 10_000)]);
    }

    #[test]
    fn a_file_of_another_kind_is_refused() {
        assert_eq!(made(b""), Err(PrepareError::Header));
        assert_eq!(made(b"\x02\x00"), Err(PrepareError::Header));
        assert_eq!(made(b"\x7fELF and so on, and so on"), Err(PrepareError::Version { found: 0x457f }));
        assert_eq!(made(&[3, 0].repeat(8)), Err(PrepareError::Version { found: 3 }));
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

    #[test]
    fn a_region_of_other_fields_is_refused() {
        for region in ["", "中国", "中国|广东省|广州市|电信", "中国|0|广东省|广州市|电信|0"] {
            let cause = SegmentError::Fields { from: SEGMENTS_FROM };
            assert_eq!(error_of(&[(0, 9, region)]), PrepareError::Segment { at: 0, cause });
        }
    }
}
