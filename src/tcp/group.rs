//! A stored response to a client with timestamps and without SACK: a group of segments at a time.
//!
//! The duplicates of an ACK of such a client cannot be told from the first. So only what cannot multiply is answered:
//! the ACK of all of a group draws the next one, and no other ACK draws anything. What is lost, the client's RTO brings
//! (RFC 6298, section 5): it draws the rest of the group, and what it begins with last. So what completes the group is
//! the last of it, and not one of others that the client has already and acknowledges again.
//!
//! Groups have the same number of segments and begin at multiples of it, so whatever draws a segment, it belongs to the
//! same group; and all segments of a group have the same stamp, so that a client takes each of them whenever it comes
//! again (RFC 7323, section 5.3). Two copies of a group are one to the client.
//!
//! Behind a group goes what *leaves* it, with a newer stamp: its last byte once more; and ahead of the next group an
//! empty segment with the same stamp, at its beginning. A client takes the timestamp of either only if that does not
//! begin behind the client's last ACK (RFC 7323, section 4.3): once it has acknowledged all of the group. One that has
//! received all of it and puts its ACK off acknowledges it when the byte comes. Whatever comes of the group from then
//! on is older than what the client has, and draws ACKs that echo *Left*, which draw nothing; and so do the ACKs that
//! segments of the next group draw while its first is missing. So each copy of a group, however many come, draws the
//! next one once.
//!
//! Where the client's window has no room for a group, or its path is narrow, segments go by two, as pairs
//! (transfer.rs).

use super::ranges::{last_boundary, only};
use super::segment::Segment;
use crate::config::Config;
use crate::position::Position;
use crate::reply::{Probe, ProbeOrder, Train};
use crate::stamp::{Exchange, SendReason, SentSegment, Stamp, StampSequence, WindowLevel};
use crate::wire::ip::Pair;

/// The most segments of a group: a first window, as clients that take SACK get (RFC 6928, section 2).
const SEGMENTS_MAX: u32 = 10;

/// Room that is left in a client's window behind a group. One that is full opens again with ACKs that tell nothing new.
const SLACK: u32 = 2;

/// Where the segments of a group lie in a response, in bytes from its start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Group {
    pub(super) begin: u32,
    /// The offset behind its last segment, be that beyond the response or not.
    pub(super) end: u32,
}

impl Group {
    /// Bytes of a group in segments of this size: of an even number of them, as clients acknowledge them by two (RFC
    /// 5681, section 4.2). Together they are within a window that is not scaled.
    pub(super) fn size(config: &Config, seg_size: u32) -> u32 {
        let fit = (u32::from(u16::MAX) / seg_size.max(1)).saturating_sub(SLACK);
        let segments = SEGMENTS_MAX.min(config.first_window.into()).min(fit).max(2) & !1;
        segments.saturating_mul(seg_size)
    }

    /// The group that begins at `offset`, if one does.
    pub(super) fn at(config: &Config, seg_size: u32, offset: u32) -> Option<Self> {
        let size = Self::size(config, seg_size);
        offset.is_multiple_of(size).then(|| Self { begin: offset, end: offset.saturating_add(size) })
    }

    /// Whether an ACK of `acked` is one of the whole group, and more is to come of a response of `len` bytes.
    pub(super) fn is_whole(self, acked: u32, len: u32) -> bool {
        acked == self.end && acked < len
    }

    /// Whether `offset` is before the end of the group, and not before its beginning.
    pub(super) fn has(self, offset: u32) -> bool {
        (self.begin..self.end).contains(&offset)
    }

    /// Has `train` send what there is of the group from `from` on, of a response at `first`, into a window that ends at
    /// `window_end`; `again` after a timeout. The client `leaves` the group before. `None` if the window has no room.
    pub(super) fn fill(
        self,
        train: &mut Train<'_>,
        first: Position,
        (from, again): (u32, bool),
        leaves: Option<Self>,
        window_end: u32,
    ) -> Option<()> {
        let (seg_size, len) = (train.seg_size, train.payload.end());
        let is_last = self.end >= len;
        let wanted = if is_last { len.saturating_add(1) } else { self.end.saturating_add(SLACK * seg_size) };
        if wanted > window_end {
            return None;
        }
        let end = last_boundary(self.end, window_end, seg_size, len);
        train.ranges = only((from, end));
        let behind = from.saturating_add(seg_size);
        if again && behind < end {
            let [rest, missing, ..] = &mut train.ranges;
            (*rest, *missing) = ((behind, end), (from, behind));
        }
        train.budget = SEGMENTS_MAX as u16;
        train.stamps = StampSequence::Constant(self.stamp(first, SendReason::Group));
        let start = train.header.seq();
        let leaving = |left: Self, len: u16, order| Probe {
            seq: start.advance(left.end - u32::from(len)),
            len,
            order,
            stamp: Some(left.stamp(first, SendReason::Left)),
        };
        let behind = (!is_last).then(|| leaving(self, 1, ProbeOrder::AfterAll));
        train.probes = [leaves.map(|left| leaving(left, 0, ProbeOrder::BeforeAll)), behind];
        Some(())
    }

    fn stamp(self, first: Position, reason: SendReason) -> u32 {
        let (position, level, exchange) = (first.at(self.begin), WindowLevel::LOWEST, Exchange::Only);
        Stamp::Stored(SentSegment { position, level, reason, narrow: false, exchange }).value()
    }
}

/// Has `train` send the first group of a response, or as much of a pair as the client's window has room for.
pub(super) fn begin<P: Pair>(segment: &Segment<'_, P>, train: &mut Train<'_>, first: Position, window_end: u32) {
    let (seg_size, len) = (train.seg_size, train.payload.end());
    let group = Group::at(segment.config, seg_size, 0);
    if group.and_then(|group| group.fill(train, first, (0, false), None, window_end)).is_none() {
        train.ranges = only((0, last_boundary(2 * seg_size, window_end, seg_size, len)));
        train.stamps = StampSequence::Pairs { first, pair: 0, again: false, seg_size, narrow: false };
    }
}
