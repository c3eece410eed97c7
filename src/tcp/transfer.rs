//! A stored response, by the ACK clock of its client.
//!
//! No segment acknowledges the whole request before the client has acknowledged the whole response. So
//! the client's retransmission timer runs for us (RFC 9293, sections 3.8.1, 3.8.2 and 3.8.3; RFC 6298, section 5):
//! whatever gets lost, the client speaks again, and its acknowledgement says how far it has got. That is later than a
//! TCP may acknowledge (RFC 9293, section 3.8.6.3).
//!
//! Between those timeouts each ACK draws what comes next. It echoes the timestamp of the segment that began
//! where the last ACK had been (RFC 7323, section 4.3), and the stamp in it says which response that was and
//! what the congestion window was there. There is one for every second segment at least (RFC 5681, section 4.2), and at
//! once where something is missing (RFC 5681, section 3.2). So an ACK tells what was acknowledged before it and what is
//! now; what is in flight is a function of the offset; and the segments by which the window has moved are what is sent.
//! See docs/protocol.md for why this neither stops nor storms.

use super::ranges::{SackRanges, is_end, last_boundary, only};
use super::segment::Segment;
use crate::app::App;
use crate::config::Config;
use crate::cookie::CookieFields;
use crate::http::Response;
use crate::position::Position;
use crate::reply::{RANGES_MAX, Reply, Train};
use crate::stamp::{SendReason, SentSegment, Stamp, StampSequence, WindowLevel, WindowSchedule};
use crate::verdict::{Absorbed, DropReason, ReplyKind};
use crate::wire::ip::Pair;
use crate::wire::seq::SeqNumber;
use crate::wire::tcp::{Flags, TIMESTAMPS_LEN};

/// Segments of the client's window that are left free where its reader keeps up.
const SLACK: u32 = 2;

/// Segments that a client must have received behind a gap until what is in it counts as lost, and not just late (RFC
/// 5681, section 3.2).
const DUPLICATES: u32 = 3;

/// A stored response in transfer, as one packet of its client tells of it. Offsets count from its start.
#[derive(Clone, Copy)]
pub(super) struct Transfer<'a, P> {
    /// The packet.
    segment: Segment<'a, P>,
    response: Response<'a>,
    /// The position of the response.
    first: Position,
    /// The sequence number of its first byte.
    start: SeqNumber,
    /// Bytes of payload in a full segment.
    seg_size: u32,
    /// Bytes of the response; behind them stands the FIN.
    len: u32,
    /// What the client had acknowledged before this packet.
    prev_acked: u32,
    /// What it acknowledges now.
    acked: u32,
    /// The end of its receive window, as it is now: it may have shrunk (RFC 9293, section 3.8.6).
    window_end: u32,
    /// What it has received beyond the acknowledgement.
    sacked: SackRanges,
    /// The segment whose timestamp it echoes.
    echoed: SentSegment,
}

/// The first window of a stored response: from here on its client's ACKs tell the rest.
pub(super) fn begin<'a, P: Pair>(
    segment: Segment<'a, P>,
    first: Position,
    seg_size: u32,
    response: Response<'a>,
) -> Reply<'a> {
    let window = u32::from(segment.header.window());
    let sack = !matches!(segment.stamp(), Some(Stamp::Handshake { sack: false, .. }));
    let start = segment.header.ack();
    let mut train = segment.train(response, start, seg_size, segment.header.seq(), segment.window());
    let ceiling = u32::from(segment.config.ceiling);
    let room = (window / seg_size).saturating_sub(SLACK);
    // No more than a first window (RFC 6928, section 2), in segments of any size, answers a request; and what is not
    // sent now, no later ACK will draw.
    let cap = WindowLevel::at_most(room.min(segment.config.first_window.into()));
    let level = if window / seg_size >= ceiling + SLACK { WindowLevel::SLOW_START } else { cap };
    let schedule = WindowSchedule { origin: 0, level, cap };
    let (wanted, len) = (sent_up_to(segment.config, schedule, 0, seg_size), response.len() as u32);
    let end = last_boundary(wanted, window, seg_size, len);
    train.ranges = segment.sacked(start, 0, len).unwrap_or(SackRanges::NONE).gaps(0, end);
    train.stamps = if sack {
        let limited_from = limited_from(window, seg_size, end, len);
        StampSequence::Stored { first, schedule, reason: SendReason::NewData, limited_from, narrow: false }
    } else {
        let pair = (end.saturating_sub(1) / seg_size).saturating_sub(1).saturating_mul(seg_size);
        StampSequence::Pairs { first, pair, again: false, seg_size, narrow: false }
    };
    segment.send(ReplyKind::FirstWindow, train)
}

/// Answers a segment that echoes the timestamp of a segment of a stored response: from a client in the middle of that
/// response, or forged.
pub(super) fn answer<'a, A: App, P: Pair>(segment: Segment<'a, P>, echoed: SentSegment, app: &'a A) -> Reply<'a> {
    let is_timeout = !segment.payload.is_empty() || segment.is_fin();
    match Transfer::find(segment, echoed, app) {
        Some(transfer) => transfer.answer(is_timeout),
        None if is_timeout => segment.refuse(DropReason::TcpEcho),
        None => Absorbed::Ack.into(),
    }
}

impl<'a, P: Pair> Transfer<'a, P> {
    /// What the packet tells, if it can be true. Its own timestamp is compared with none (RFC 7323, section 5.3).
    pub(super) fn find<A: App>(segment: Segment<'a, P>, echoed: SentSegment, app: &'a A) -> Option<Self> {
        if !segment.is_ack_clocked() {
            return None;
        }
        let response = app.stored(echoed.position)?;
        let first = response.position()?;
        let unit = Position::UNIT as u32;
        let offset = echoed.position.value().checked_sub(first.value())?.checked_mul(unit)?;
        let acked = segment.keys.offset(segment.header.ack(), offset);
        let start = segment.header.ack().rewind(acked);
        let fields = CookieFields::of(start.rewind(1));
        let seg_size = segment.stored_seg_size(fields.mss)?;
        let len = u32::try_from(response.len()).ok()?;
        // A FIN that goes alone begins at the end.
        let prev_acked = offset.checked_next_multiple_of(seg_size)?.min(len);
        let within = acked % seg_size;
        let is_boundary =
            is_end(acked, len) || within == 0 || echoed.narrow && within.is_multiple_of(segment.narrow_piece());
        let live = app.generations().live >> fields.generation & 1 == 1;
        // A segment has one position.
        let possible = prev_acked.checked_sub(offset)? < unit && prev_acked <= acked && acked <= len + 1;
        (live && possible && is_boundary).then_some(Self {
            segment,
            response,
            first,
            start,
            seg_size,
            len,
            prev_acked,
            acked,
            window_end: acked.saturating_add(segment.header.window().into()),
            sacked: SackRanges::NONE,
            echoed,
        })
    }

    fn answer(self, is_timeout: bool) -> Reply<'a> {
        // Nothing new is acknowledged: the client sent this on our acknowledgement of its request, before it processed
        // the segment.
        if self.prev_acked == self.acked {
            return Absorbed::Progress.into();
        }
        if self.acked > self.len {
            let kind = if self.segment.is_fin() { ReplyKind::FinAck } else { ReplyKind::Settled };
            return self.segment.acknowledge(kind, Flags::ACK);
        }
        let Some(sacked) = self.segment.sacked(self.start, self.acked, self.len) else {
            return Absorbed::Progress.into();
        };
        let transfer = Self { sacked, ..self };
        if is_timeout {
            transfer.answer_timeout()
        } else if transfer.echoed.reason == SendReason::Pair {
            transfer.answer_without_sack()
        } else if transfer.sacked.is_empty() {
            transfer.advance()
        } else {
            transfer.recover()
        }
    }

    /// An ACK without a gap: the segments by which the window has moved.
    fn advance(&self) -> Reply<'a> {
        let Self { seg_size, prev_acked, acked, window_end, echoed, len, .. } = *self;
        let schedule = self.schedule(prev_acked, echoed.level);
        let sent = self.sent_up_to(schedule, prev_acked);
        let (schedule, from) = match echoed.reason {
            // More than that may be acknowledged: segments of an earlier window that arrived late.
            SendReason::NewData | SendReason::Pair => {
                (schedule, last_boundary(sent, window_end, seg_size, len).max(acked))
            }
            // The end of a recovery. From here on with half the window, which is the level in the stamp.
            SendReason::Retransmission => (self.schedule(acked, echoed.level), acked),
            // The receive window was full. What it has opened to since is all that may be sent, and by two segments at
            // least (RFC 9293, section 3.8.6.2.1). No probe asks for that (RFC 9293, section 3.8.6.1): the client's
            // update tells (RFC 9293, section 3.8.6.2.2).
            SendReason::WindowLimited if window_end - acked >= (2 * seg_size).min(len + 1 - acked) => {
                (self.schedule(acked, WindowLevel::LOWEST), acked)
            }
            SendReason::WindowLimited => return Absorbed::Progress.into(),
        };
        let end = last_boundary(self.sent_up_to(schedule, acked), window_end, seg_size, len);
        self.send(ReplyKind::NextWindow, only((from, end)), schedule, SendReason::NewData)
    }

    /// An ACK with a gap, as its SACK blocks tell (RFC 2018, section 4): what is missing, when it is certain that it is
    /// lost. No new data is sent before everything in flight has arrived.
    fn recover(&self) -> Reply<'a> {
        let Self { seg_size, prev_acked, acked, echoed, len, window_end, .. } = *self;
        let received = self.sacked.as_slice();
        let (Some(&(gap_end, _)), Some(&(_, top))) = (received.first(), received.last()) else {
            return Absorbed::Progress.into();
        };
        let sent = self.sent_up_to(self.schedule(prev_acked, echoed.level), acked);
        let received: u32 = received.iter().map(|(from, to)| (to - from).div_ceil(seg_size)).sum();
        // Whether nothing in flight can still be added to that.
        let is_all = top >= last_boundary(sent, window_end, seg_size, len);
        let is_retransmitted = echoed.reason == SendReason::Retransmission;
        let in_flight = (sent - acked) / seg_size;
        let threshold = DUPLICATES.min(in_flight / 2);
        let lost = if is_all && !is_retransmitted {
            self.sacked.gaps(acked, top)
        } else if is_retransmitted && acked - prev_acked > seg_size || !is_retransmitted && received == threshold {
            // After a gap that has been filled, the next one.
            only((acked, gap_end))
        } else {
            return Absorbed::Progress.into();
        };
        let level = if is_retransmitted { echoed.level } else { WindowLevel::halved(in_flight) };
        self.send(ReplyKind::Resent, lost, self.schedule(acked, level), SendReason::Retransmission)
    }

    /// The client's RTO has expired: what it is missing, from its acknowledgement on (RFC 2018, section 5), with the
    /// lowest window: four segments, where RFC 5681, section 3.1, has one.
    fn answer_timeout(&self) -> Reply<'a> {
        let Self { seg_size, acked, window_end, len, echoed, ref sacked, .. } = *self;
        if echoed.reason == SendReason::Pair {
            return self.send_pair(ReplyKind::Resumed, acked, false);
        }
        let schedule = self.schedule(acked, WindowLevel::LOWEST);
        let wanted = self.sent_up_to(schedule, acked);
        let top = sacked.as_slice().last().map_or(acked, |&(_, top)| top);
        let end = last_boundary(wanted.max(top), window_end, seg_size, len);
        let reason = if sacked.is_empty() { SendReason::NewData } else { SendReason::Retransmission };
        self.send(ReplyKind::Resumed, sacked.gaps(acked, end), schedule, reason)
    }

    /// An ACK of a client without SACK. Its duplicates cannot be told from the first, so only what
    /// cannot be multiplied is answered: the ACK of a whole pair, and of half of one.
    fn answer_without_sack(&self) -> Reply<'a> {
        let Self { seg_size, prev_acked, acked, echoed, .. } = *self;
        match (echoed.level, acked - prev_acked) {
            (WindowLevel::FIRST, got) if got == 2 * seg_size => self.send_pair(ReplyKind::NextWindow, acked, false),
            (WindowLevel::SECOND_AGAIN, got) if got == seg_size => self.send_pair(ReplyKind::NextWindow, acked, false),
            (WindowLevel::FIRST, got) if got == seg_size => self.send_pair(ReplyKind::Resent, acked, true),
            _ => Absorbed::Progress.into(),
        }
    }

    /// The pair that begins at `from`, or the second of one, `again`.
    fn send_pair(&self, kind: ReplyKind, from: u32, again: bool) -> Reply<'a> {
        let Self { seg_size, first, window_end, len, echoed, .. } = *self;
        let pair = from / seg_size * seg_size;
        let end = pair.saturating_add(if again { seg_size } else { 2 * seg_size });
        let mut train = self.train();
        train.ranges = only((from, last_boundary(end, window_end, seg_size, len)));
        train.stamps = StampSequence::Pairs { first, pair, again, seg_size, narrow: echoed.narrow };
        self.segment.send(kind, train)
    }

    /// Answers an ICMP error that a segment did not fit `mtu` bytes: if the client would be there, that segment once
    /// more in pieces that every path carries. From then on all that its ACKs draw goes in such pieces; the path MTU is
    /// not stored (RFC 8201, section 5.2).
    pub(super) fn narrow(&self, mtu: u32) -> Reply<'a> {
        let Self { segment, first, seg_size, prev_acked, acked, len, echoed, .. } = *self;
        let packet = (segment.headers_len() + TIMESTAMPS_LEN) as u32 + seg_size.min(len - acked);
        if prev_acked != acked || packet <= mtu || seg_size <= segment.narrow_piece() {
            return DropReason::IcmpQuote.into();
        }
        let (ack, window) = (segment.header.seq(), segment.header.window());
        let mut train = segment.train(self.response, self.start, seg_size, ack, window);
        let end = acked.saturating_add(seg_size);
        train.piece = segment.narrow_piece();
        train.ranges = only((acked, if end >= len { len + 1 } else { end }));
        train.stamps = match echoed.reason {
            SendReason::Pair => StampSequence::Pairs { first, pair: acked, again: false, seg_size, narrow: true },
            reason => {
                let schedule = self.schedule(acked, echoed.level);
                StampSequence::Stored { first, schedule, reason, limited_from: u32::MAX, narrow: true }
            }
        };
        Reply::train(ReplyKind::Narrowed, train)
    }

    fn send(
        &self,
        kind: ReplyKind,
        ranges: [(u32, u32); RANGES_MAX],
        schedule: WindowSchedule,
        reason: SendReason,
    ) -> Reply<'a> {
        let Self { segment, seg_size, first, acked, window_end, len, echoed, .. } = *self;
        let mut train = self.train();
        train.ranges = ranges;
        let end = ranges.iter().map(|&(_, to)| to).max().unwrap_or(acked);
        let limited_from = limited_from(window_end, seg_size, end, len);
        train.stamps = StampSequence::Stored { first, schedule, reason, limited_from, narrow: echoed.narrow };
        // A client that acknowledges much at once has received as much. What is not sent now, no later ACK will draw.
        if kind == ReplyKind::NextWindow {
            train.budget = u16::from(segment.config.ceiling.max(segment.config.first_window));
        }
        segment.send(kind, train)
    }

    fn train(&self) -> Train<'a> {
        let Self { segment, seg_size, .. } = *self;
        let mut train = segment.train(self.response, self.start, seg_size, self.request_ack(), segment.window());
        if self.echoed.narrow {
            train.piece = segment.narrow_piece();
        }
        train
    }

    /// How much of the request is acknowledged in the middle of a response: never its last byte. A plain ACK stands at
    /// the end of what its client has sent. What comes again may be its end or not.
    fn request_ack(&self) -> SeqNumber {
        let Segment { header, payload, .. } = self.segment;
        let is_last = header.flags().has(Flags::PSH) || self.segment.is_fin();
        match payload.len() {
            0 => self.segment.end().rewind(1),
            1 if is_last => header.seq(),
            _ => header.seq().advance(1),
        }
    }

    /// The schedule that has this level at `origin`.
    fn schedule(&self, origin: u32, level: WindowLevel) -> WindowSchedule {
        let window = (self.window_end - self.acked) / self.seg_size;
        WindowSchedule { origin, level, cap: WindowLevel::at_most(window.saturating_sub(SLACK)) }
    }

    fn sent_up_to(&self, schedule: WindowSchedule, offset: u32) -> u32 {
        sent_up_to(self.segment.config, schedule, offset, self.seg_size)
    }
}

/// Up to where segments have been sent when a client has acknowledged everything up to `offset`.
fn sent_up_to(config: &Config, schedule: WindowSchedule, offset: u32, seg_size: u32) -> u32 {
    let done = offset / seg_size;
    let segments = schedule.level_at(offset).segments(done, config.first_window, config.ceiling);
    done.saturating_add(segments).saturating_mul(seg_size)
}

/// From where on a segment may be the last that its window has room for, when segments up to `end` are sent
/// into one that ends at `window_end`, of a response of `len` bytes. The last two are: an ACK echoes the first of those
/// that it acknowledges.
fn limited_from(window_end: u32, seg_size: u32, end: u32, len: u32) -> u32 {
    if end > len || end.saturating_add(SLACK * seg_size) <= window_end {
        return u32::MAX;
    }
    end.saturating_sub(2 * seg_size)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEGMENT: u32 = 1448;

    #[test]
    fn segments_that_leave_no_room_for_two_more_are_the_last_of_their_window() {
        let (len, end) = (100_000, 10 * SEGMENT);
        let from = |window_end| limited_from(window_end, SEGMENT, end, len);
        assert_eq!([end, 12 * SEGMENT - 1, 12 * SEGMENT].map(from), [8 * SEGMENT, 8 * SEGMENT, u32::MAX]);
        // Nothing follows the FIN. Without room for it, it still follows.
        assert_eq!(limited_from(len + 1, SEGMENT, len + 1, len), u32::MAX);
        assert_eq!(limited_from(len, SEGMENT, len, len), len - 2 * SEGMENT);
        assert_eq!(limited_from(SEGMENT, SEGMENT, SEGMENT, len), 0);
    }
}
