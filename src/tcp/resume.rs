//! Responses that go by the client's retransmission timer: how much it has received is in its acknowledgement alone.
//!
//! That is so for clients without timestamps, for responses that are not stored, which have no position that a
//! timestamp could carry, and for one that fits a first window and ends a connection that was kept open before. A first
//! window goes out; and whenever the client's RTO expires and it retransmits its request, another one from the offset
//! that it acknowledges. docs/protocol.md tells which acknowledgements are accepted, and why.

use super::probe::Probes;
use super::ranges::{SackRanges, last_boundary};
use super::segment::Segment;
use crate::app::{App, Room};
use crate::config::LargeReplies;
use crate::cookie::{CookieFields, EPOCHS, Scale, SegmentClass};
use crate::http::{RequestLine, Response};
use crate::reply::{Payload, Reply};
use crate::stamp::{LaterPart, Stamp, StampSequence, WindowLevel};
use crate::verdict::ReplyKind;
use crate::wire::ip::Pair;
use crate::wire::seq::{SeqNumber, inverse};
use crate::wire::tcp::Flags;

/// The longest response that is sent in segments: within half the circle of sequence numbers with room
/// for a window.
pub(super) const LEN_MAX: usize = (1 << 30) + (1 << 24);

/// Epochs for which a request may be resumed without timestamps: few enough that a forged request draws, on average,
/// fewer bytes than it has (docs/protocol.md).
const RESUME_EPOCHS: u32 = 60;
const RESUME_EPOCH_BYTES: u32 = 2_000_000_000;

/// A resumed request draws this many bytes divided by the length of the response, in segments, and one at least: a
/// forged one is the likelier to be accepted the longer the response is.
const RESUME_WINDOW_BYTES: u32 = 1 << 25;

/// Where in its response a client is.
#[derive(Clone, Copy)]
pub(super) struct Place {
    /// Bytes of the response that it has acknowledged.
    offset: u32,
    /// Bytes of payload in a full segment.
    seg_size: u32,
    generation: u8,
    /// How the client's windows are scaled.
    scale: Scale,
    /// What the timestamps of all segments of the response say.
    stamp: Stamp,
}

impl Place {
    /// The beginning of the first response of a connection.
    pub(super) fn first<P: Pair>(segment: &Segment<'_, P>, fields: CookieFields) -> Self {
        Self::of_first(segment, 0, fields)
    }

    fn of_first<P: Pair>(segment: &Segment<'_, P>, offset: u32, fields: CookieFields) -> Self {
        let stamp = Stamp::Part { proof: segment.keys.request_proof(segment.header.seq()) };
        let CookieFields { mss, generation, scale } = fields;
        Self { offset, seg_size: segment.seg_size(mss), generation, scale, stamp }
    }

    /// The beginning of a response that ends a connection which was kept open before. `None` if it is longer than a
    /// first window.
    pub(super) fn later<P: Pair>(
        segment: &Segment<'_, P>,
        fields: CookieFields,
        response: Response<'_>,
    ) -> Option<Self> {
        let is_train = segment.config.large_replies != LargeReplies::Fragments;
        let CookieFields { mss, generation, scale } = fields;
        let class = segment.segment_class(mss);
        let scale = class.map_or(Scale::NONE, |_| scale.kept());
        let start = later_start(segment, segment.header.ack(), class, generation);
        let seg_size = later_seg_size(segment, class);
        let stamp = Stamp::LaterPart(LaterPart { class, scale, start });
        let mut ends = later_ends(segment, seg_size, response.len() as u32);
        let has_ends = ends.next().is_some();
        (is_train && has_ends).then_some(Self { offset: 0, seg_size, generation, scale, stamp })
    }
}

/// Bytes of payload in a full segment of a response that ends a connection which was kept open before.
fn later_seg_size<P: Pair>(segment: &Segment<'_, P>, class: Option<SegmentClass>) -> u32 {
    let narrow = || segment.narrow_piece().min(segment.request_max() as u32);
    class.map_or_else(narrow, |class| segment.class_seg_size(class))
}

/// What the stamp says of such a response that begins at `start`, to the request that begins with the segment.
fn later_start<P: Pair>(
    segment: &Segment<'_, P>,
    start: SeqNumber,
    class: Option<SegmentClass>,
    generation: u8,
) -> u32 {
    let claims = (generation & 3) << 2 | class.map_or(0, |class| 1 + class as u8);
    let key = segment.keys.later_key(segment.header.seq(), claims);
    start.value().wrapping_add(key) % LaterPart::STARTS
}

/// The offsets that a client may have acknowledged of such a response of `len` bytes: behind each of its segments, and
/// its FIN. None if it is longer than a first window.
fn later_ends<P: Pair>(segment: &Segment<'_, P>, seg_size: u32, len: u32) -> impl Iterator<Item = u32> {
    let segments = if len <= segment.first_window(seg_size) { len.div_ceil(seg_size) } else { 0 };
    let ends = [len, len.saturating_add(1)].into_iter().filter(move |_| segments > 0);
    (1..segments).map(move |count| count * seg_size).chain(ends)
}

/// A response of at most [`LEN_MAX`] bytes that is not stored, or whose client has no timestamps, or that is the last
/// one of a connection that was kept open before, from there on.
pub(super) fn send_from<'a, P: Pair>(segment: &Segment<'_, P>, response: Response<'a>, place: Place) -> Reply<'a> {
    let (Place { offset, seg_size, scale, stamp, .. }, len) = (place, response.len() as u32);
    let start = segment.header.ack().rewind(offset);
    let window_end = offset.saturating_add(segment.client_window(scale));
    let most = if offset > 0 && !segment.has_timestamps() {
        (RESUME_WINDOW_BYTES / len.max(1)).max(1).saturating_mul(seg_size)
    } else {
        u32::MAX
    };
    let wanted = offset.saturating_add(segment.first_window(seg_size).min(most));
    let end = last_boundary(wanted, window_end, seg_size, len);
    let mut train = segment.train(
        Payload::new(response.head(), response.body()),
        start,
        seg_size,
        segment.header.seq(),
        segment.window(),
    );
    train.ranges = segment.sacked(start, offset, len).unwrap_or(SackRanges::NONE).gaps(offset, end);
    train.stamps = StampSequence::Constant(stamp.following(segment.echoed_value()));
    // More of the request would follow behind a part of it, and then it is unknown where it begins.
    let is_whole = segment.payload.ends_with(b"\r\n\r\n");
    let is_later = matches!(stamp, Stamp::LaterPart(_));
    if let Some(first) = response.position().filter(|_| segment.is_ack_clocked() && is_whole && !is_later) {
        // Its FIN too: otherwise the next window would acknowledge the first byte of the request.
        let request_len = segment.end().distance_from(segment.header.seq());
        let probes = Probes { first, start, acked: offset, seg_size, request_len };
        train.probes =
            if offset == 0 { probes.clock(segment, end, WindowLevel::SLOW_START) } else { probes.check(segment) };
    }
    segment.send(if offset == 0 { ReplyKind::FirstWindow } else { ReplyKind::Resumed }, train)
}

/// How far the client of a request that comes again has got, and with which response: the acknowledgement alone must
/// tell, for no timestamp does.
pub(super) struct Resumption<'f, 'a, P> {
    segment: Segment<'f, P>,
    response: Response<'a>,
    place: Place,
}

impl<'f, 'a, P: Pair> Resumption<'f, 'a, P> {
    /// `None` if the acknowledgement does not tell.
    pub(super) fn find<A: App>(
        segment: &Segment<'f, P>,
        line: &RequestLine<'_>,
        app: &'a A,
        scratch: &'a mut [u8],
    ) -> Option<Self> {
        let place = find_place(segment, line, app, scratch)?;
        let response = long_response(segment, line, place.generation, app, scratch)?;
        (response.len() <= LEN_MAX).then_some(Self { segment: *segment, response, place })
    }

    pub(super) fn answer(self) -> Reply<'a> {
        let Self { segment, response, place } = self;
        if place.offset > response.len() as u32 {
            // So that what else there is of a long request is acknowledged as well.
            let timestamps = segment.following_timestamps(Stamp::Done);
            let header = segment.header_back(Flags::ACK, segment.header.ack(), timestamps);
            return segment.reply(ReplyKind::Settled, header.words());
        }
        send_from(&segment, response, place)
    }
}

/// How far the client of this request has got, with the response of one version.
pub(super) fn find_place<A: App, P: Pair>(
    segment: &Segment<'_, P>,
    line: &RequestLine<'_>,
    app: &A,
    scratch: &mut [u8],
) -> Option<Place> {
    let later = match segment.stamp() {
        Some(Stamp::LaterPart(part)) => Some(part),
        _ => None,
    };
    let generations = app.generations().live;
    let mut found = (0..8).filter(|generation| generations >> generation & 1 == 1).filter_map(|generation| {
        let len = long_response(segment, line, generation, app, scratch)?.len();
        match later {
            Some(part) => find_later_place(segment, len, generation, part),
            None => {
                find_offset(segment, len, generation).map(|(offset, fields)| Place::of_first(segment, offset, fields))
            }
        }
    });
    found.next().filter(|_| found.next().is_none())
}

/// How far a client has got with a response that ends a connection which was kept open before.
fn find_later_place<P: Pair>(segment: &Segment<'_, P>, len: usize, generation: u8, part: LaterPart) -> Option<Place> {
    let LaterPart { class, scale, start } = part;
    let seg_size = later_seg_size(segment, class);
    let is_right =
        |&offset: &u32| later_start(segment, segment.header.ack().rewind(offset), class, generation) == start;
    let offset = later_ends(segment, seg_size, u32::try_from(len).ok()?).find(is_right)?;
    Some(Place { offset, seg_size, generation, scale, stamp: Stamp::LaterPart(part) })
}

/// The response to the request of this line, if it is longer than a packet: of a shorter one a client has all or
/// nothing.
fn long_response<'r, A: App, P: Pair>(
    segment: &Segment<'_, P>,
    line: &RequestLine<'_>,
    generation: u8,
    app: &'r A,
    scratch: &'r mut [u8],
) -> Option<Response<'r>> {
    let room = Room { one_packet: 0, takes_parts: false };
    Some(segment.ask(line, generation, room, app, scratch)).filter(|response| !response.is_empty())
}

/// How far a client of ours has got with a response of `len` bytes: a multiple of its segments, or the end.
///
/// The cookies with this version and one MSS are 2^27 numbers in a row. Of the offsets that lead there,
/// only those are looked at that fit the low half of the acknowledgement and are a multiple of the segments.
/// Where two are right, it cannot be told which, and neither is taken: the wrong one would be another part of the
/// response.
fn find_offset<P: Pair>(segment: &Segment<'_, P>, len: usize, generation: u8) -> Option<(u32, CookieFields)> {
    let len = u32::try_from(len).ok().filter(|&len| len as usize <= LEN_MAX)?;
    let epochs = (RESUME_EPOCH_BYTES / len.max(1)).clamp(EPOCHS, RESUME_EPOCHS);
    let nearest = segment.keys.offset(segment.header.ack(), 0);
    let newest = segment.header.ack().rewind(1);
    let mut found = None;
    for class in (0..8).map(|mss| mss << 29 | u32::from(generation) << 27) {
        // How far behind the lowest cookie of the class is, and the highest: that is ahead where the
        // acknowledgement is in their midst.
        let to = newest.value().wrapping_sub(class);
        let from = to.wrapping_sub((1 << 27) - 1);
        let (from, to) = (if from > to { 0 } else { from }, to.min(len + 1));
        if from > to {
            continue;
        }
        let seg_size = segment.seg_size(CookieFields::of(SeqNumber::new(class), false).mss);
        let is_right = |end: &u32| *end as u16 == nearest as u16 && !end.is_multiple_of(seg_size);
        let ends = [len, len + 1].into_iter().filter(|end| (from..=to).contains(end)).filter(is_right);
        let (first, step) = multiples(seg_size, nearest).unwrap_or((u32::MAX, 1));
        let skipped = from.saturating_sub(first).div_ceil(step).saturating_mul(step);
        let mut next = first.saturating_add(skipped);
        let offsets = core::iter::from_fn(|| {
            let offset = next;
            next = next.saturating_add(step);
            (offset <= to).then_some(offset)
        });
        for offset in offsets.chain(ends).filter(|&offset| offset != 0) {
            if let Some(fields) = segment.verify(newest.rewind(offset), None, 1 << generation, epochs)
                && found.replace((offset, fields)).is_some()
            {
                return None;
            }
        }
    }
    found
}

/// The smallest multiple of `seg_size` whose low half is `low`, and how far the next one is from it; if there is one.
fn multiples(seg_size: u32, low: u32) -> Option<(u32, u32)> {
    let shift = seg_size.trailing_zeros();
    if low & ((1 << shift) - 1) != 0 {
        return None;
    }
    let odd = seg_size >> shift;
    let times = (low >> shift).wrapping_mul(inverse(odd)) & (0xffff >> shift);
    Some((times * seg_size, odd << 16))
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec::Vec;

    use super::*;

    #[test]
    fn multiples_are_all_there_are() {
        for seg_size in [84, 88, 524, 536, 1208, 1220, 1300, 1380, 1440, 1460, 8928, 8940] {
            for low in (0..1 << 16).step_by(257).chain([0, 4, 1440, 65_532]) {
                let slow: Vec<u32> =
                    (low..=1_u32 << 30).step_by(1 << 16).filter(|offset| offset.is_multiple_of(seg_size)).collect();
                let fast: Vec<u32> = multiples(seg_size, low)
                    .map(|(first, step)| (first..=1 << 30).step_by(step as usize).collect())
                    .unwrap_or_default();
                assert_eq!(fast, slow, "{seg_size} {low}");
            }
        }
    }
}
