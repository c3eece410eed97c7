//! How far an acknowledgement is ahead of the one before, on the first response of a connection.
//!
//! The mark in the cookie tells where a client is modulo 2^16, which is enough where its window has 16 bits. Where windows
//! are scaled, segments have an odd size: then the low 16 bits tell how many segments an acknowledgement is ahead, up to
//! 65,535 of them. It must still be told from the end of the response, which is not the end of a full segment; so a size
//! is chosen where it can be.

use super::ranges::is_end;

/// The most segments that an acknowledgement may be ahead of the one before, where something is sent again: those of the
/// widest window, and what slow start adds.
pub(super) const REACH: u32 = 320;

/// Segments of an earlier window, which was wider, may arrive late: as many are always believed to have been in flight.
pub(super) const LATE: u32 = 64;

/// The most where the client's RTO has expired. Segments that acknowledge nothing new do not change the timestamp that
/// it echoes, which may be that of a window before.
pub(super) const TIMEOUT_REACH: u32 = 600;

/// The number that `seg_size`, which is odd, times gives 1 modulo 2^16.
const fn inverse(seg_size: u32) -> u32 {
    let (mut inverse, mut rounds) = (seg_size, 0);
    // Each round doubles the bits that are right: 3, 6, 12, 24.
    while rounds < 3 {
        inverse = inverse.wrapping_mul(2_u32.wrapping_sub(seg_size.wrapping_mul(inverse)));
        rounds += 1;
    }
    inverse & 0xffff
}

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
