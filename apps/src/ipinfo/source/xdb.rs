//! Binary files of [ip2region](https://github.com/lionsoul2014/ip2region).
//!
//! Versions 2 and 3 of its `xdb` format, numbers little-endian:
//!
//! ```text
//! 0        header: version u16, index policy u16, built at u32 (Unix time),
//!                  first segment u32, last segment u32 (both offsets),
//!                  of version 3 also: 4 for IPv4 or 6 for IPv6, u16, and the bytes of an offset, u16;
//!                  padding to 256 bytes
//! 256      vector index: 256 × 256 × (first segment u32, end u32), by the first two bytes of the address
//! 524,544  regions, as text: fields with | between them, and 0 for what is not known
//! …        segments, ascending: first address, last address, region length u16, region offset u32;
//!          an address of IPv4 is a u32, and one of IPv6 16 bytes as they are sent
//! ```
//!
//! The vector index speeds up lookups of single addresses; a reader of all segments does not need it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{PrepareError, Segment, SegmentError};

/// The versions of `xdb` that this module reads.
const VERSION_2: u16 = 2;
const VERSION_3: u16 = 3;

/// Version 3: the kinds of addresses, and the length of offsets.
const IPV4: u16 = 4;
const IPV6: u16 = 6;
const OFFSET_LEN: u16 = 4;

/// The length of header and vector index.
const SEGMENTS_FROM: usize = 256 + 256 * 256 * 8;

/// The length of a segment, of IPv4 and of IPv6.
const SEGMENT_LEN: usize = 14;
const SEGMENT_LEN_IPV6: usize = 38;

/// All segments of a file.
pub(super) fn segments(bytes: &[u8]) -> Result<Vec<Segment<'_>>, PrepareError> {
    let (from, to, is_ipv6) = bounds(bytes)?;
    let segment = |(at, segment): (usize, &[u8])| {
        let (first, last, rest) = if is_ipv6 {
            let (addresses, rest) = segment.split_at(32);
            let [first, last] = [&addresses[..16], &addresses[16..]]
                .map(|bytes| IpAddr::V6(Ipv6Addr::from_octets(bytes.try_into().expect("16 bytes"))));
            (first, last, rest)
        } else {
            let (addresses, rest) = segment.split_at(8);
            let [first, last] = [&addresses[..4], &addresses[4..]]
                .map(|bytes| IpAddr::V4(Ipv4Addr::from_bits(u32::from_le_bytes(bytes.try_into().expect("4 bytes")))));
            (first, last, rest)
        };
        match region(bytes, rest) {
            Ok(region) => Ok(Segment { at, first, last, region }),
            Err(cause) => Err(PrepareError::Segment { unit: "segment", at, cause }),
        }
    };
    let len = if is_ipv6 { SEGMENT_LEN_IPV6 } else { SEGMENT_LEN };
    bytes[from..to].chunks_exact(len).enumerate().map(segment).collect()
}

/// Where the segments begin and end, and whether they are of IPv6.
fn bounds(bytes: &[u8]) -> Result<(usize, usize, bool), PrepareError> {
    let word = |at: usize| bytes[at..].first_chunk().map(|&word| u16::from_le_bytes(word));
    let offset = |at: usize| bytes[at..].first_chunk().map(|&offset| u32::from_le_bytes(offset));
    let Some(found) = bytes.first_chunk().map(|&word| u16::from_le_bytes(word)) else {
        return Err(PrepareError::Header);
    };
    if !matches!(found, VERSION_2 | VERSION_3) {
        return Err(PrepareError::Version { found });
    }
    if bytes.len() < SEGMENTS_FROM {
        return Err(PrepareError::Header);
    }
    if found == VERSION_3 {
        let family = word(16).unwrap_or_default();
        if !matches!(family, IPV4 | IPV6) {
            return Err(PrepareError::Family { found: family });
        }
        if let Some(found) = word(18).filter(|&len| len != OFFSET_LEN) {
            return Err(PrepareError::Offsets { found });
        }
    }
    let [first, last] = [8, 12].map(|at| offset(at).unwrap_or_default());
    // `last` is where the last segment begins.
    let (from, to) = (first as usize, last as usize);
    let is_whole = |len: usize| {
        from >= SEGMENTS_FROM && from <= to && (to - from).is_multiple_of(len) && to.saturating_add(len) <= bytes.len()
    };
    let is_ipv6 = if found == VERSION_3 {
        word(16) == Some(IPV6)
    } else {
        // Files with IPv6 addresses may have version 2, and segments whose total length would fit IPv4 as well.
        let are_segments = |len| is_whole(len) && are_segments(bytes, &bytes[from..to + len], len);
        are_segments(SEGMENT_LEN_IPV6) && !are_segments(SEGMENT_LEN)
    };
    let len = if is_ipv6 { SEGMENT_LEN_IPV6 } else { SEGMENT_LEN };
    if is_whole(len) {
        Ok((from, to + len, is_ipv6))
    } else {
        Err(PrepareError::Segments { first, last, len: bytes.len() })
    }
}

/// The region whose length and offset end a segment.
fn region<'a>(bytes: &'a [u8], segment: &[u8]) -> Result<&'a str, SegmentError> {
    let (from, len) = place_of_region(segment);
    let region = bytes.get(from..).and_then(|rest| rest.get(..len)).ok_or(SegmentError::Outside { from, len })?;
    str::from_utf8(region).map_err(|_| SegmentError::Text { from })
}

/// Where the region of a segment begins, and its length.
fn place_of_region(segment: &[u8]) -> (usize, usize) {
    let &[.., n0, n1, r0, r1, r2, r3] = segment else { return (usize::MAX, 0) };
    (u32::from_le_bytes([r0, r1, r2, r3]) as usize, usize::from(u16::from_le_bytes([n0, n1])))
}

/// Whether these are segments of this length: their regions are behind the index, and within the file.
fn are_segments(bytes: &[u8], segments: &[u8], len: usize) -> bool {
    segments
        .chunks_exact(len)
        .map(place_of_region)
        .all(|(from, len)| from >= SEGMENTS_FROM && from + len <= bytes.len())
}

#[cfg(test)]
mod tests {
    use super::super::super::{Database, Prepared, Source, prepare};
    use super::super::BuildError;
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
        made_with(source, &mut |_, _| ())
    }

    fn made_with(source: &[u8], progress: &mut dyn FnMut(u64, u64)) -> Result<Prepared, PrepareError> {
        Ok(prepare(&[Source::read(source, None, true)?], &[], progress).unwrap())
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
        assert_eq!((prepared.ranges, prepared.ranges_v6, prepared.places), (5, 0, 4));
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
        made_with(&xdb(&segments), &mut |done, total| calls.push((done, total))).unwrap();
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
            let [first, last] = [second.0, second.1].map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits)));
            let cause = BuildError::Order { first, last }.into();
            assert_eq!(error, PrepareError::Segment { unit: "segment", at: 1, cause });
        }
    }

    #[test]
    fn a_region_outside_of_the_file_is_refused() {
        let mut source = xdb(&[(0, 9, GUANGZHOU)]);
        let len = source.len();
        source[len - 4..].copy_from_slice(&u32::MAX.to_le_bytes());
        let cause = SegmentError::Outside { from: u32::MAX as usize, len: GUANGZHOU.len() };
        assert_eq!(made(&source), Err(PrepareError::Segment { unit: "segment", at: 0, cause }));
    }

    #[test]
    fn a_region_that_is_not_utf_8_is_refused() {
        let mut source = xdb(&[(0, 9, GUANGZHOU)]);
        source[SEGMENTS_FROM] = 0xff;
        let cause = SegmentError::Text { from: SEGMENTS_FROM };
        assert_eq!(made(&source), Err(PrepareError::Segment { unit: "segment", at: 0, cause }));
    }
}
