//! How far an acknowledgement is ahead of the one before, on the first response of a connection.
//!
//! The mark in the cookie tells where a client is modulo 2^16, which is enough where its window has 16 bits. Where
//! windows are scaled, segments have an odd size: then the low 16 bits tell how many segments an acknowledgement is
//! ahead, up to 65,535 of them. It must still be told from the end of the response, which is not the end of a full
//! segment; so a size is chosen where it can be.

use super::ranges::is_end;
use crate::wire::seq::inverse;

/// The most segments that an acknowledgement may be ahead of the one before, where something is sent again: those of
/// the widest window, and what slow start adds.
pub(super) const REACH: u32 = 640;

/// Segments of an earlier window, which was wider, may arrive late: as many are always believed to have been in flight.
pub(super) const LATE: u32 = 64;

/// The most where the client's RTO has expired. Segments that acknowledge nothing new do not change the timestamp that
/// it echoes, which may be that of a window before.
pub(super) const TIMEOUT_REACH: u32 = 1200;

/// Whether the end of a response of `len` bytes, and of its FIN, is never taken for the end of a segment, nor that for
/// the end, where segments have this size.
pub(super) fn is_clear(seg_size: u32, len: u32) -> bool {
    let segments = len / seg_size;
    let is_far = |same: u32| segments.wrapping_sub(same) & 0xffff > TIMEOUT_REACH;
    let inverse = inverse(seg_size);
    is_far(len.wrapping_mul(inverse)) && is_far(len.wrapping_add(1).wrapping_mul(inverse))
}

/// What a client has acknowledged of a response of `len` bytes that had acknowledged `prev` before, the start of a
/// segment: that of another one, or the end, at most `reach` segments ahead. `low` is what it acknowledges modulo 2^16.
/// `None` if it can be neither.
pub(super) fn acked(seg_size: u32, len: u32, low: u32, prev: u32, reach: u32) -> Option<u32> {
    let ahead = low.wrapping_sub(prev).wrapping_mul(inverse(seg_size)) & 0xffff;
    let acked = prev.checked_add(ahead.checked_mul(seg_size)?)?;
    if ahead <= reach && acked < len {
        return Some(acked);
    }
    let is_near = |end: u32| end >= prev && end - prev <= reach.saturating_add(1).saturating_mul(seg_size);
    [len, len + 1].into_iter().find(|&end| end & 0xffff == low & 0xffff && is_near(end) && is_end(end, len))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From wherever a client was, it is found at each segment and at the end.
    #[quickcheck_macros::quickcheck]
    fn the_low_half_of_an_acknowledgement_tells_how_many_segments_it_is_ahead(len: u32, prev: u32, size: bool) -> bool {
        let len = len % (1 << 30) + 2000;
        let largest = if size { 1447 } else { 8927 };
        let seg_size = (0..8).map(|less| largest - 2 * less).find(|&seg_size| is_clear(seg_size, len)).unwrap();
        let segments = len / seg_size;
        let prev = prev % (segments + 1);
        let found = |offset: u32| acked(seg_size, len, offset & 0xffff, prev * seg_size, TIMEOUT_REACH);
        let last = (prev + TIMEOUT_REACH).min(segments);
        (prev..=last).filter(|at| at * seg_size < len).all(|at| found(at * seg_size) == Some(at * seg_size))
            && (segments > prev + TIMEOUT_REACH || [len, len + 1].into_iter().all(|end| found(end) == Some(end)))
            && found((last + 1) * seg_size).is_none_or(|offset| offset >= len)
            && found(prev * seg_size + 1).is_none_or(|offset| offset >= len)
    }

    #[test]
    fn a_size_is_not_used_with_which_the_end_would_be_taken_for_the_end_of_a_segment() {
        // 65,536 bytes before the end a segment begins; and one byte before that, where the FIN is.
        let seg_size = 1447;
        for (segment, beyond, is_good) in [(100, 65_536, false), (100, 65_535, false), (100, 65_534, true)] {
            assert_eq!(is_clear(seg_size, segment * seg_size + beyond), is_good, "{beyond}");
        }
        assert!(!is_clear(seg_size, 100 * seg_size), "the end of a full segment");
    }
}
