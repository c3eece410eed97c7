//! Byte ranges (RFC 9110, section 14).
//!
//! A part that fits one packet is sent, wherever it ends; a longer one if it goes up to the end of the file, as where a
//! client goes on with a download (`curl -C -`, `wget -c`, apt) or seeks in a film. Of other requests the range is
//! ignored, as the RFC permits: an ACK in the middle of a part tells the engine where its client is, and not what it
//! has asked for.

use std::ops::Range;

use lethe::Request;
use lethe::app::Position;
use lethe::http::{Headers, Method, Response, Status, Writer};

use super::image::Object;
use super::only;

/// What a request asks for of an object.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Wanted {
    /// Bytes of the body.
    Part(Range<usize>),
    /// Bytes that it has not.
    Nothing,
}

/// The response to a request for a part of an object. `None` if all of it is to be sent: it asks for no part, or for
/// one that cannot be sent, or for one of another version.
pub(super) fn part<'a>(object: &Object<'a>, request: &Request<'_>, scratch: &'a mut [u8]) -> Option<Response<'a>> {
    // RFC 9110, section 14.2: of no other method.
    if request.method != Method::Get {
        return None;
    }
    let headers = request.complete_headers()?;
    let range = only(&headers, "range")?;
    let response = match wanted(range, object.body.len()).filter(|_| is_current(&headers, object))? {
        Wanted::Nothing => {
            let said = |range: &mut Writer<'a>| {
                range.push("bytes */");
                range.push_decimal(object.body.len() as u64);
            };
            Response::build(scratch, Status::RangeNotSatisfiable).header_with("Content-Range", said).body(b"")
        }
        Wanted::Part(range) => {
            let head = head(object, &range, scratch)?;
            let response = Response::prepared(head, object.body.get(range.clone())?);
            match object.unit.and_then(Position::new).filter(|_| range.end == object.body.len()) {
                Some(position) if request.takes_parts() => return Some(response.part_of(position)),
                _ => response,
            }
        }
    };
    // It cannot be mixed with what other packets of the request would lead to.
    (response.len() <= request.one_packet()).then_some(response)
}

/// What a `Range` asks for of a body of `len` bytes. `None` if it is malformed, of other units than bytes, or for
/// several ranges (RFC 9110, section 14.2); and where there is nothing to have a part of.
fn wanted(range: &[u8], len: usize) -> Option<Wanted> {
    let (unit, set) = str::from_utf8(range).ok()?.split_once('=')?;
    let (first, last) = set.trim_matches([' ', '\t']).split_once('-')?;
    if !unit.eq_ignore_ascii_case("bytes") || len == 0 {
        return None;
    }
    let range = match (first, last) {
        ("", last) => len.saturating_sub(number(last)?)..len,
        (first, "") => number(first)?..len,
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            // RFC 9110, section 14.1.2: such a range is invalid.
            if last < first {
                return None;
            }
            first..len.min(last.saturating_add(1))
        }
    };
    Some(if range.start < range.end { Wanted::Part(range) } else { Wanted::Nothing })
}

/// A number of digits; one that is too large for any file is the largest.
fn number(digits: &str) -> Option<usize> {
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(usize::MAX))
}

/// Whether the part is to be one of this object (RFC 9110, section 13.1.5): its tag, which is strong, or the time at
/// which it was written, to the second.
fn is_current(headers: &Headers<'_>, object: &Object<'_>) -> bool {
    let mut conditions = headers.values("if-range");
    let Some(condition) = conditions.next() else { return true };
    if conditions.next().is_some() {
        return false;
    }
    match condition {
        [b'"', tag @ .., b'"'] => tag == object.tag.hex(),
        date => object.modified.is_some() && super::date(date) == object.modified,
    }
}

/// The head of a 206: with all fields of the object, as one that has no part of it yet needs them (RFC 9110, section
/// 15.3.7).
fn head<'a>(object: &Object<'a>, range: &Range<usize>, scratch: &'a mut [u8]) -> Option<&'a [u8]> {
    let mut head = Writer::new(scratch);
    head.push(Status::PartialContent.line());
    head.push("\r\n");
    for (name, value) in super::fields_of(object).iter() {
        if ![&b"Content-Length"[..], b"Connection"].contains(&name) {
            for piece in [name, b": ", value, b"\r\n"] {
                head.push_bytes(piece);
            }
        }
    }
    head.push("Content-Range: bytes ");
    head.push_decimal(range.start as u64);
    head.push("-");
    head.push_decimal(range.end as u64 - 1);
    head.push("/");
    head.push_decimal(object.body.len() as u64);
    head.push("\r\nContent-Length: ");
    head.push_decimal(range.len() as u64);
    head.push("\r\nConnection: close\r\n\r\n");
    head.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_from_a_byte_on_up_to_a_byte_or_of_so_many_at_the_end() {
        for (range, part) in [
            ("bytes=0-", 0..10),
            ("bytes=3-", 3..10),
            ("Bytes= 3-", 3..10),
            ("bytes=0-0", 0..1),
            ("bytes=2-4", 2..5),
            ("bytes=2-9", 2..10),
            ("bytes=2-10", 2..10),
            ("bytes=2-99999999999999999999999", 2..10),
            ("bytes=-3", 7..10),
            ("bytes=-10", 0..10),
            ("bytes=-11", 0..10),
        ] {
            assert_eq!(wanted(range.as_bytes(), 10), Some(Wanted::Part(part)), "{range}");
        }
    }

    #[test]
    fn a_range_behind_the_end_has_nothing() {
        for range in ["bytes=10-", "bytes=10-20", "bytes=-0", "bytes=99999999999999999999999-"] {
            assert_eq!(wanted(range.as_bytes(), 10), Some(Wanted::Nothing), "{range}");
        }
    }

    #[test]
    fn what_is_malformed_or_of_several_ranges_is_ignored() {
        for range in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=a-",
            "bytes=+1-",
            "bytes=1 -2",
            "bytes=4-2",
            "bytes=0-1,3-4",
            "bytes=0-,",
            "lines=0-",
            "bytes 0-",
            "0-1",
            "bytes=1-2-3",
        ] {
            assert_eq!(wanted(range.as_bytes(), 10), None, "{range}");
        }
        assert_eq!(wanted(b"bytes=0-", 0), None);
    }
}
