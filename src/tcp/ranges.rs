//! Ranges of a response, in bytes from its start: what a client has, what it lacks, and how far full segments reach.

use crate::reply::RANGES_MAX;
use crate::wire::seq::SeqNumber;
use crate::wire::tcp::SackBlocks;

/// The ranges that a client has received beyond its acknowledgement, in ascending order.
#[derive(Clone, Copy)]
pub(super) struct SackRanges {
    ranges: [(u32, u32); SackBlocks::MAX],
    len: usize,
}

impl SackRanges {
    pub(super) const NONE: Self = Self { ranges: [(0, 0); SackBlocks::MAX], len: 0 };

    /// Reads the SACK blocks of a client that has acknowledged `acked` bytes of a response of `len` bytes, whose first
    /// byte is at `start`. `None` if they cannot be true.
    pub(super) fn read(blocks: &[(SeqNumber, SeqNumber)], start: SeqNumber, acked: u32, len: u32) -> Option<Self> {
        let mut found = Self::NONE;
        for (slot, &(from, to)) in found.ranges.iter_mut().zip(blocks) {
            let (from, to) = (from.distance_from(start), to.distance_from(start));
            if from <= acked || to <= from || to > len + 1 {
                return None;
            }
            *slot = (from, to);
            found.len += 1;
        }
        let ranges = found.ranges.get_mut(..found.len).unwrap_or_default();
        ranges.sort_unstable();
        let is_disjoint = ranges.windows(2).all(|pair| matches!(pair, [(_, end), (next, _)] if end <= next));
        is_disjoint.then_some(found)
    }

    pub(super) fn as_slice(&self) -> &[(u32, u32)] {
        self.ranges.get(..self.len).unwrap_or_default()
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What lies between `acked` and `end` and has not been received.
    pub(super) fn gaps(&self, acked: u32, end: u32) -> [(u32, u32); RANGES_MAX] {
        let mut all = [(0, 0); RANGES_MAX];
        let mut from = acked;
        let received = self.as_slice().iter().copied().chain([(end, end)]);
        for (slot, (start, stop)) in all.iter_mut().zip(received) {
            *slot = (from, start.min(end));
            from = stop;
        }
        all
    }
}

/// What of these ranges lies between `from` and `to`.
pub(super) fn clipped(ranges: [(u32, u32); RANGES_MAX], from: u32, to: u32) -> [(u32, u32); RANGES_MAX] {
    ranges.map(|(start, end)| (start.max(from), end.min(to)))
}

/// One range.
pub(super) fn only(range: (u32, u32)) -> [(u32, u32); RANGES_MAX] {
    let mut all = [(0, 0); RANGES_MAX];
    let [first, ..] = &mut all;
    *first = range;
    all
}

/// The last offset up to `wanted` that full segments reach within the client's window, or the one behind the FIN.
pub(super) fn last_boundary(wanted: u32, window_end: u32, seg_size: u32, len: u32) -> u32 {
    if wanted >= len && window_end > len {
        return len + 1;
    }
    wanted.min(window_end) / seg_size * seg_size
}

/// Whether a client that acknowledges `offset` has received all `len` bytes. Some drop a FIN that comes behind a gap,
/// and lack nothing else then.
pub(super) fn is_end(offset: u32, len: u32) -> bool {
    offset == len || offset == len + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEGMENT: u32 = 1448;

    #[test]
    fn what_a_client_has_received_lies_behind_its_acknowledgement_and_within_the_response() {
        let start = SeqNumber::new(u32::MAX - 3000);
        let read = |blocks: &[(u32, u32)]| {
            let mut given = [(start, start); 4];
            for (slot, &(from, to)) in given.iter_mut().zip(blocks) {
                *slot = (start.advance(from), start.advance(to));
            }
            SackRanges::read(&given[..blocks.len()], start, 1000, 10_000).map(|found| (found.len, found.ranges))
        };
        for (block, can_be) in [
            ((1001, 2000), true),
            ((1000, 2000), false),
            ((3000, 3001), true),
            ((3000, 3000), false),
            ((3000, 2999), false),
            // Behind the last byte stands the FIN.
            ((9000, 10_001), true),
            ((9000, 10_002), false),
        ] {
            assert_eq!(read(&[block]).is_some(), can_be, "{block:?}");
        }
        let sorted = [(2000, 3000), (3000, 4000), (5000, 6000), (0, 0)];
        assert_eq!(read(&[(5000, 6000), (2000, 3000), (3000, 4000)]), Some((3, sorted)));
        // One within another, or over its edge: the first of them tells of a duplicate (RFC 2883, section 4).
        for overlap in [[(5000, 6000), (4000, 8000)], [(4000, 8000), (5000, 6000)], [(2000, 3000), (2999, 4000)]] {
            assert_eq!(read(&overlap), None, "{overlap:?}");
        }
    }

    #[test]
    fn full_segments_are_sent_up_to_the_end_of_the_window_and_the_rest_with_the_fin() {
        let len = 10 * SEGMENT + 100;
        let to = |wanted, window_end| last_boundary(wanted, window_end, SEGMENT, len);
        let offsets = [SEGMENT - 1, SEGMENT, 2 * SEGMENT - 1];
        assert_eq!(offsets.map(|wanted| to(wanted, u32::MAX)), [0, SEGMENT, SEGMENT]);
        assert_eq!(offsets.map(|window_end| to(u32::MAX, window_end)), [0, SEGMENT, SEGMENT]);
        // The FIN takes a byte of the window.
        assert_eq!([len, len + 1, u32::MAX].map(|end| to(len, end)), [10 * SEGMENT, len + 1, len + 1]);
        assert_eq!(to(len - 1, u32::MAX), 10 * SEGMENT);
    }
}
