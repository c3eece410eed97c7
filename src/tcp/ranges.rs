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
