//! The text that ip2region's files are made from: a range a line, of IPv4 or of IPv6.
//!
//! ```text
//! 1.0.8.0|1.0.15.255|中国|广东省|广州市|电信|CN
//! 2001:250::|2001:250:ffff:ffff:ffff:ffff:ffff:ffff|中国|北京|北京市|教育网|CN
//! ```

use std::net::IpAddr;

use super::{PrepareError, Segment, SegmentError};

/// Whether a file begins with an address and a separator of fields.
pub(super) fn is_text(bytes: &[u8]) -> bool {
    /// The longest address has 45 characters.
    const ADDRESS: usize = 46;
    let begin = &bytes[..bytes.len().min(ADDRESS)];
    let end = begin.iter().position(|byte| b"|,;\t \"".contains(byte));
    end.and_then(|end| address(str::from_utf8(&begin[..end]).ok()?)).is_some()
}

/// All lines, with numbers from 1 on. Empty ones are left out.
pub(super) fn segments(bytes: &[u8]) -> Result<Vec<Segment<'_>>, PrepareError> {
    let mut segments = Vec::new();
    for (at, line) in (1..).zip(bytes.split(|&byte| byte == b'\n')) {
        let line = line.trim_ascii();
        if !line.is_empty() {
            let cause = SegmentError::Line;
            segments.push(segment(at, line).ok_or(PrepareError::Segment { unit: "line", at, cause })?);
        }
    }
    Ok(segments)
}

fn segment(at: usize, line: &[u8]) -> Option<Segment<'_>> {
    let (first, rest) = str::from_utf8(line).ok()?.split_once('|')?;
    let (last, region) = rest.split_once('|')?;
    let (first, last) = (address(first)?, address(last)?);
    (first.is_ipv4() == last.is_ipv4()).then_some(Segment { at, first, last, region })
}

fn address(text: &str) -> Option<IpAddr> {
    text.trim().parse().ok()
}
