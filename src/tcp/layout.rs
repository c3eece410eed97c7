//! How a stored response lies in the sequence space of a connection that was kept open.
//!
//! An ACK in the middle of a response must tell where its client is. On the first response of a connection the mark in
//! the cookie tells it. Later ones can begin anywhere, and only the segment that the client had acknowledged *before*
//! is known, from its timestamp. So the head of a later response is padded, by a field that says nothing, until
//! segments begin at sequence numbers that depend on a keyed hash of the connection, modulo a power of two. As the size
//! of the segments is odd, the residue of an acknowledgement tells how many segments it is ahead.
//!
//! Offsets here are virtual: segment `k` begins at `k` times the segment size, the body always at the same offset, and
//! head and padding end there. What differs from connection to connection is where the response begins:
//!
//! ```text
//!   0          begin                                   body                        end
//!   |............|--- head ---|-------- padding --------|---------- body -----------|
//!                     |               |               |               |
//!                     S               2 S             3 S             4 S
//! ```
//!
//! A part of a response that goes by itself, from some byte of its body to the end, lies where it lies in the response:
//! its own head and padding end where its first byte is. So behind the segment with that byte, whose beginning is the
//! part's origin, ACKs draw what they draw of the response, and nothing has to tell them that it is a part.

use crate::http::Persistence;
use crate::wire::seq::{SeqNumber, inverse};

/// A response begins at a lower offset than this.
const BEGIN_MAX: u32 = 2048;

/// The most segments that an acknowledgement may be ahead of the one before: those of the widest window, and some.
pub(super) const REACH: u32 = 34;

/// The same of a client whose RTO has expired. Segments that acknowledge nothing new do not change the timestamp that
/// it echoes, which may be that of a window before.
pub(super) const TIMEOUT_REACH: u32 = 72;

/// Residues modulo this are the same for all requests of a connection.
const MARK_MODULUS: u32 = 64;

const _: () = assert!(REACH < MARK_MODULUS);

/// The end of a head that says that the connection is closed.
pub(super) const HEAD_END: &[u8] = b"Connection: close\r\n\r\n";

/// The first bytes of the field that pads a head: it says nothing.
pub(super) const PADDING_START: &[u8] = b"p:";

/// The same behind what a client of HTTP/1.0 has to be told.
pub(super) const KEEP_ALIVE_PADDING_START: &[u8] = b"Connection: keep-alive\r\np:";

/// The rest of it, with the end of the head, of which the last bytes are used.
const PADDING: [u8; PADDING_LEN] = {
    let mut bytes = [b'-'; PADDING_LEN];
    if let Some(end) = bytes.last_chunk_mut() {
        *end = *b"\r\n\r\n";
    }
    bytes
};
const PADDING_LEN: usize = (PART_PADDING_MAX + PADDING_MIN) as usize;
/// A part has less padding than this beyond the least: of three places in a row that have the right residue, one has
/// room for its head in a segment.
const PART_PADDING_MAX: u32 = BEGIN_MAX + 1024;
const PADDING_MIN: u32 = KEEP_ALIVE_PADDING_START.len() as u32 + 4;

/// The layout of one response, the same on all connections with segments of this size.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Layout {
    seg_size: u32,
    /// What residues are counted by.
    modulus: u32,
    /// Times `seg_size` it is 1 more than a multiple of the modulus.
    inverse: u32,
    /// The bytes of the head, without what says that the connection is closed.
    head: u32,
    /// Where the body begins.
    body: u32,
    /// Where it ends.
    pub(super) end: u32,
}

impl Layout {
    /// For a response whose head has so many bytes with [`HEAD_END`], and whose body has these. `None` if it does not
    /// fit: if its head is longer than a segment, or the response too long.
    pub(super) fn new(seg_size: u32, head: usize, body: usize) -> Option<Self> {
        let head = u32::try_from(head.checked_sub(HEAD_END.len())?).ok()?;
        let first_body = head + BEGIN_MAX + PADDING_MIN;
        let end = u32::try_from(body).ok().filter(|&body| body <= 1 << 30)? + first_body;
        let segments = (end - BEGIN_MAX) / seg_size + 1;
        let modulus = segments.min(22).pow(2).saturating_mul(2).next_power_of_two().clamp(16, 1024);
        let inverse = inverse(seg_size);
        // The end must not be taken for the start of a segment, nor that for the end; not even where only the low bits
        // of the residue are right, as they are where it is wrong where the request ends.
        (0..64).map(|shift| Self { seg_size, modulus, inverse, head, body: first_body + shift, end: end + shift }).find(
            |layout| {
                let segments = layout.end / seg_size;
                let same = segments.wrapping_sub(layout.end.wrapping_mul(inverse));
                same & (modulus.min(MARK_MODULUS) - 1) > REACH.min(segments)
                    && same & (modulus - 1) > TIMEOUT_REACH.min(segments)
            },
        )
    }

    /// Where the response begins if its first byte has sequence number `seq`, for connections with this residue.
    /// `None` if its head would not lie in its first segment.
    pub(super) fn begin(&self, seq: SeqNumber, residue: u32) -> Option<u32> {
        let low = seq.value().wrapping_sub(residue) & (self.modulus - 1);
        let highest = BEGIN_MAX - self.modulus + low;
        // No two segments begin at offsets that share their number of whole 1024 bytes.
        let begin = if highest < self.seg_size { highest - self.modulus } else { highest };
        let boundary = (begin / self.seg_size + 1) * self.seg_size;
        (begin + self.head + KEEP_ALIVE_PADDING_START.len() as u32 <= boundary).then_some(begin)
    }

    /// What a client acknowledges by `ack` that had acknowledged `prev` before, the start of a segment: the start of
    /// another one, or the end, which is at most `reach` segments ahead. `None` if it can be neither.
    pub(super) fn acked(&self, ack: SeqNumber, residue: u32, prev: u32, reach: u32) -> Option<u32> {
        let mask = self.modulus - 1;
        let low = ack.value().wrapping_sub(residue) & mask;
        if self.end & mask == low && self.end - prev.min(self.end) <= reach * self.seg_size {
            return Some(self.end);
        }
        let ahead = low.wrapping_sub(prev).wrapping_mul(self.inverse) & mask;
        let acked = prev.checked_add(ahead.checked_mul(self.seg_size)?)?;
        (ahead <= reach && acked < self.end).then_some(acked)
    }

    /// The bytes between head and body of a response that begins at `begin`.
    pub(super) fn padding(&self, begin: u32, persistence: Persistence) -> [&'static [u8]; 2] {
        padding_between(begin + self.head, self.body, persistence)
    }

    /// Those that lie behind the first segments, in which the response begins.
    pub(super) fn padding_from(&self, from: u32) -> &'static [u8] {
        padding_end(from, self.body)
    }

    /// The part of the response from the byte of its body with this number on.
    pub(super) fn part(self, from: usize) -> Option<PartLayout> {
        let body = self.body.checked_add(u32::try_from(from).ok()?)?;
        let origin = body.checked_sub(1)? / self.seg_size * self.seg_size;
        (body < self.end).then_some(PartLayout { layout: self, body, origin })
    }
}

/// The layout of a part of a response, from some byte of its body to the end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct PartLayout {
    layout: Layout,
    /// Where its first byte is.
    body: u32,
    /// Where the segment begins that the padding ends in. Behind that segment all are those of the response.
    pub(super) origin: u32,
}

impl PartLayout {
    /// Where the part begins if the first byte of its head, which has so many with [`HEAD_END`], has sequence number
    /// `seq`, for connections with this residue. `None` if its head does not fit the segment that it begins in.
    pub(super) fn begin(&self, seq: SeqNumber, residue: u32, head: usize) -> Option<u32> {
        let Layout { seg_size, modulus, .. } = self.layout;
        let head = u32::try_from(head.checked_sub(HEAD_END.len())?).ok()?;
        let latest = self.body.checked_sub(head.checked_add(PADDING_MIN)?)?;
        let low = seq.value().wrapping_sub(residue) & (modulus - 1);
        let nearest = latest.checked_sub(latest.wrapping_sub(low) & (modulus - 1))?;
        let begins = core::iter::successors(Some(nearest), |begin| begin.checked_sub(modulus));
        let is_room = |&begin: &u32| begin % seg_size + head + KEEP_ALIVE_PADDING_START.len() as u32 <= seg_size;
        begins.take_while(|begin| latest - begin < PART_PADDING_MAX).find(is_room)
    }

    /// The bytes between its head, which ends at `head_end` without [`HEAD_END`], and its first byte.
    pub(super) fn padding(&self, head_end: u32, persistence: Persistence) -> [&'static [u8]; 2] {
        padding_between(head_end, self.body, persistence)
    }

    /// Those from a later segment on.
    pub(super) fn padding_from(&self, from: u32) -> &'static [u8] {
        padding_end(from, self.body)
    }

    /// Where a client is, by what it acknowledges on a connection with this residue, that has some segments of the
    /// padding and no byte of the part: at the beginning of another one.
    pub(super) fn acked_padding(&self, ack: SeqNumber, residue: u32) -> Option<u32> {
        let Layout { seg_size, modulus, .. } = self.layout;
        let low = ack.value().wrapping_sub(residue) & (modulus - 1);
        let boundaries = core::iter::successors(Some(self.origin), |boundary| boundary.checked_sub(seg_size));
        let mut boundaries = boundaries.take_while(|boundary| self.body - boundary <= PADDING_LEN as u32);
        boundaries.find(|boundary| boundary & (modulus - 1) == low)
    }
}

/// The padding between a head that ends at `head_end`, without [`HEAD_END`], and a body.
fn padding_between(head_end: u32, body: u32, persistence: Persistence) -> [&'static [u8]; 2] {
    let start = if persistence == Persistence::KeepAlive { KEEP_ALIVE_PADDING_START } else { PADDING_START };
    [start, padding_end(head_end + start.len() as u32, body)]
}

/// The padding from there to where the body begins.
fn padding_end(from: u32, body: u32) -> &'static [u8] {
    let len = body.saturating_sub(from) as usize;
    PADDING.get(PADDING_LEN - len.min(PADDING_LEN)..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;

    /// A client with random keys, in the middle of a response, is found at every segment and at the end, from every
    /// place where it can have been before.
    #[quickcheck_macros::quickcheck]
    fn an_acknowledgement_tells_where_its_client_is(size: bool, head: u8, body: u32, seq: u32, residue: u32) -> bool {
        let seg_size = if size { 1447 } else { 1207 };
        let (head, body) = (100 + usize::from(head), 1000 + body as usize % 400_000);
        let layout = Layout::new(seg_size, head, body).unwrap();
        let Some(begin) = layout.begin(SeqNumber::new(seq), residue) else { return head > 386 };
        let start = SeqNumber::new(seq).rewind(begin);
        let padding = layout.padding(begin, Persistence::Keep);
        let len = begin + (head - HEAD_END.len() + padding.concat().len() + body) as u32;
        let first = begin / seg_size;
        (len == layout.end && padding[1].ends_with(b"\r\n\r\n"))
            && (first..=layout.end / seg_size).all(|prev| {
                let last = (prev + TIMEOUT_REACH).min(layout.end / seg_size);
                let found = |offset: u32| layout.acked(start.advance(offset), residue, prev * seg_size, TIMEOUT_REACH);
                (prev + 1..=last).all(|k| found(k * seg_size) == Some(k * seg_size))
                    && (layout.end - prev * seg_size > TIMEOUT_REACH * seg_size
                        || found(layout.end) == Some(layout.end))
            })
    }

    /// A part lies where it lies in the response, with room for its head in the first segment, and is not found where
    /// another residue is right.
    #[quickcheck_macros::quickcheck]
    fn a_part_ends_its_padding_in_the_segment_at_its_origin(size: bool, from: u32, body: u32, seq: u32, residue: u32) {
        let seg_size = if size { 1447 } else { 1207 };
        let (head, body) = (300, 4000 + body as usize % 400_000);
        let from = from as usize % body;
        let part = Layout::new(seg_size, 260, body).unwrap().part(from).unwrap();
        let Some(begin) = part.begin(SeqNumber::new(seq), residue, head) else {
            assert!(from < 64 && seg_size == 1207, "nearly all of the response");
            return;
        };
        let start = SeqNumber::new(seq).rewind(begin);
        let head_end = begin + (head - HEAD_END.len()) as u32;
        let padding = part.padding(head_end, Persistence::KeepAlive);
        assert_eq!(head_end + padding.concat().len() as u32, part.body);
        assert_eq!(begin / seg_size, (head_end + padding[0].len() as u32 - 1) / seg_size, "its head is in one segment");
        assert!(part.origin < part.body && part.body <= part.origin + seg_size);
        let first = begin / seg_size + 1;
        for boundary in (first..).map(|number| number * seg_size).take_while(|&boundary| boundary <= part.origin) {
            assert_eq!(part.acked_padding(start.advance(boundary), residue), Some(boundary));
            assert_eq!(part.padding_from(boundary).len() as u32, part.body - boundary);
        }
        assert_eq!(part.acked_padding(start.advance(part.origin + seg_size), residue), None);
        assert!(part.origin.saturating_sub(begin) < 3 * seg_size, "three segments at most, and the one at the origin");
    }

    #[test]
    fn the_first_two_segments_begin_at_different_positions() {
        for (seg_size, low) in [1207, 1447].into_iter().flat_map(|size| (0..1024).map(move |low| (size, low))) {
            let layout = Layout::new(seg_size, 300, 1 << 20).unwrap();
            assert_eq!(layout.modulus, 1024);
            let begin = layout.begin(SeqNumber::new(low), 0).unwrap();
            assert_eq!(begin % 1024, low);
            assert!(begin / 1024 < (begin / seg_size + 1) * seg_size / 1024, "{begin}");
        }
    }

    #[test]
    fn padding_is_a_small_part_of_a_response() {
        for (body, most) in [(2000, 32), (5000, 64), (14_000, 256), (100_000, 2048)] {
            let layout = Layout::new(1447, 250, body).unwrap();
            let longest = (0..2048)
                .filter_map(|seq| layout.begin(SeqNumber::new(seq), 0))
                .map(|begin| layout.padding(begin, Persistence::Keep).concat().len());
            assert!(longest.max().unwrap() <= most + 64 + PADDING_MIN as usize, "{body}");
        }
    }

    #[test]
    fn a_head_that_does_not_fit_the_first_segment_has_no_layout() {
        let layout = Layout::new(1447, 1400, 100_000).unwrap();
        assert!((0..1024).any(|seq| layout.begin(SeqNumber::new(seq), 0).is_none()));
        assert_eq!(Layout::new(1447, 10, 100_000), None);
        assert_eq!(Layout::new(1447, 300, (1 << 30) + 1), None);
    }
}
