//! A response in many segments, and the client's memory of it.
//!
//! No segment acknowledges the whole request before the client has acknowledged the whole response. So
//! the client's retransmission timer runs for us: whatever gets lost, the client speaks again, and its
//! acknowledgement says how far it has got.
//!
//! Between those timeouts a **stored** response goes by the clock of the client's ACKs. Each echoes the
//! timestamp of the segment that began where its last ACK had been (RFC 7323, section 4.3), and the stamp
//! in it says which response that was and at what pace. So an ACK tells where the client was before it
//! and where it is now; what is under way is a function of the place; and the segments that it moved over
//! are what is sent. See docs/protocol.md for why this neither stops nor storms.

use super::Segment;
use super::probe::PROBED_MAX;
use crate::app::{App, Position};
use crate::cookie::{CookieFields, Mss};
use crate::http::Response;
use crate::packet::Packet;
use crate::reply::{RANGES_MAX, Reply, Train};
use crate::stamp::{Clock, Line, Pace, Place, Role, Stamp};
use crate::verdict::{Absorbed, DropReason, ReplyKind, Verdict};
use crate::wire::ip::{AddressPair, Pair};
use crate::wire::ipv6;
use crate::wire::seq::SeqNumber;
use crate::wire::tcp::{Flags, HEADER_LEN, Options, SackBlocks, TIMESTAMPS_LEN, Timestamps};

/// Segments of the client's window that are left free where its reader keeps up.
const SLACK: u32 = 2;

/// Segments that a client must have received behind a hole until it is a loss, and not just late (RFC
/// 5681, section 3.2).
const DUPLICATES: u32 = 3;

/// A stored response on its way, as one packet of its client tells of it. Offsets count from its start.
pub(super) struct Transfer<'a> {
    response: Response<'a>,
    first: Position,
    /// The sequence number of its first byte.
    start: SeqNumber,
    /// Bytes in a full segment.
    segment: u32,
    /// Bytes of the response; behind them stands the FIN.
    len: u32,
    /// Where the client was before this packet.
    before: u32,
    /// Where it is now.
    now: u32,
    /// The end of its window.
    edge: u32,
    /// What it has beyond that.
    sacked: Sacked,
    /// How the segment was sent that it had from us last.
    place: Place,
}

impl Transfer<'_> {
    /// The line that has this pace at `origin`.
    fn line(&self, origin: u32, pace: Pace) -> Line {
        let window = (self.edge - self.now) / self.segment;
        Line { origin, pace, most: Pace::at_most(window.saturating_sub(SLACK)) }
    }
}

/// What a client has beyond its acknowledgement, in ascending order.
pub(super) struct Sacked {
    blocks: [(u32, u32); SackBlocks::MAX],
    len: usize,
}

impl Sacked {
    pub(super) const NONE: Self = Self { blocks: [(0, 0); SackBlocks::MAX], len: 0 };

    fn as_slice(&self) -> &[(u32, u32)] {
        self.blocks.get(..self.len).unwrap_or_default()
    }

    /// Takes over what a client at `now` says of a response that begins at `start`. Whether it can be so.
    pub(super) fn fill(&mut self, blocks: &[(SeqNumber, SeqNumber)], start: SeqNumber, now: u32, len: u32) -> bool {
        for (slot, &(from, to)) in self.blocks.iter_mut().zip(blocks) {
            let (from, to) = (from.distance_from(start), to.distance_from(start));
            if from <= now || to <= from || to > len + 1 {
                return false;
            }
            *slot = (from, to);
            self.len += 1;
        }
        let blocks = self.blocks.get_mut(..self.len).unwrap_or_default();
        blocks.sort_unstable();
        blocks.windows(2).all(|pair| matches!(pair, [(_, end), (next, _)] if end <= next))
    }
}

impl<'a, P: Pair> Segment<'a, P> {
    /// The first window of a response that does not fit one segment, or `None` where it is to be sent
    /// another way.
    pub(super) fn begin(self, fields: CookieFields, response: Response<'a>) -> Option<Result<Reply<'a>, Verdict>> {
        if self.header.options.timestamps.is_some()
            && let Some(first) = response.position().filter(|_| self.clocks())
            && let Some(segment) = self.placed_segment(fields.mss)
        {
            return Some(self.begin_placed(first, segment, response));
        }
        self.resume_part(fields, response, 0)
    }

    /// A stored response: from here on its client's ACKs tell the rest.
    fn begin_placed(self, first: Position, segment: u32, response: Response<'a>) -> Result<Reply<'a>, Verdict> {
        let window = u32::from(self.header.window());
        let sack = !matches!(self.stamp(), Some(Stamp::Handshake { sack: false, .. }));
        let start = self.header.ack();
        let mut train = self.train(response, start, segment, self.header.seq(), self.window());
        let ceiling = u32::from(self.config.ceiling);
        let room = (window / segment).saturating_sub(SLACK);
        // No more than a first window answers a request, and what is not sent now nobody will know to send.
        let most = Pace::at_most(room.min(self.config.first_window.into()));
        let pace = if window / segment >= ceiling + SLACK { Pace::SLOW_START } else { most };
        let line = Line { origin: 0, pace, most };
        let (wanted, len) = (self.under_way(line, 0, segment), response.len() as u32);
        let end = cut(wanted, window, segment, len);
        train.ranges = missing(0, end, &self.sacked(start, 0, len).unwrap_or(Sacked::NONE));
        train.clock = if sack {
            let stalled_from = stalled_from(window, segment, end, len);
            Clock::Placed { first, line, role: Role::Fresh, stalled_from, narrow: false }
        } else {
            let pair = (end.saturating_sub(1) / segment).saturating_sub(1).saturating_mul(segment);
            Clock::Paired { first, pair, again: false, segment, narrow: false }
        };
        self.depart(ReplyKind::FirstWindow, train)
    }

    /// A segment of a client that is in the middle of a stored response, or pretends to be.
    pub(super) fn answer_placed<A: App>(self, place: Place, app: &'a A) -> Result<Reply<'a>, Verdict> {
        let is_timeout = !self.payload.is_empty() || self.is_fin();
        let Some(transfer) = self.transfer(place, app) else {
            return if is_timeout { Ok(self.refuse(DropReason::TcpEcho)) } else { Err(Absorbed::Ack.into()) };
        };
        // Its segment has just come, and what our acknowledgement set off was faster than its own.
        if transfer.before == transfer.now {
            return Err(Absorbed::Progress.into());
        }
        if transfer.now > transfer.len {
            return Ok(self.acknowledge(if self.is_fin() { ReplyKind::FinAck } else { ReplyKind::Settled }, Flags::ACK));
        }
        let Some(sacked) = self.sacked(transfer.start, transfer.now, transfer.len) else {
            // It has got something twice, or does not know what it says.
            return Err(Absorbed::Progress.into());
        };
        let transfer = Transfer { sacked, ..transfer };
        if is_timeout {
            self.resume(&transfer)
        } else if place.role == Role::Paired {
            self.next_pair(&transfer)
        } else if transfer.sacked.len > 0 {
            self.resend(&transfer)
        } else {
            self.go_on(&transfer)
        }
    }

    /// What the packet tells, if it can be true.
    pub(super) fn transfer<A: App>(self, place: Place, app: &'a A) -> Option<Transfer<'a>> {
        if !self.clocks() {
            return None;
        }
        let response = app.stored(place.position)?;
        let first = response.position()?;
        let unit = Position::UNIT as u32;
        let echoed = place.position.value().checked_sub(first.value())?.checked_mul(unit)?;
        let now = self.keys.offset(self.header.ack(), echoed);
        let start = self.header.ack().rewind(now);
        let fields = CookieFields::of(start.rewind(1));
        let segment = self.placed_segment(fields.mss)?;
        let len = u32::try_from(response.len()).ok()?;
        let before = echoed.checked_next_multiple_of(segment)?;
        let within = now % segment;
        let is_boundary = is_end(now, len) || within == 0 || place.narrow && within.is_multiple_of(self.narrow_piece());
        let live = app.generations().live >> fields.generation & 1 == 1;
        // A segment has one position.
        let possible = before - echoed < unit && before < len && before <= now && now <= len + 1;
        (live && possible && is_boundary).then_some(Transfer {
            response,
            first,
            start,
            segment,
            len,
            before,
            now,
            edge: now.saturating_add(self.header.window().into()),
            sacked: Sacked::NONE,
            place,
        })
    }

    /// An ACK without a gap: the segments that the window has moved over.
    fn go_on(self, transfer: &Transfer<'a>) -> Result<Reply<'a>, Verdict> {
        let Transfer { segment, before, now, edge, place, len, .. } = *transfer;
        let line = transfer.line(before, place.pace);
        let sent = self.under_way(line, before, segment);
        let (line, from) = match place.role {
            // It may have more than that: some of it was sent at another pace, and arrived late.
            Role::Fresh | Role::Paired => (line, cut(sent, edge, segment, len).max(now)),
            // The same, after a loss. From here on at half the pace, which is in the place.
            Role::Resent => (transfer.line(now, place.pace), now),
            // The window was full. Whatever it has opened to since is all that may be sent.
            Role::Stalled if edge - now >= (2 * segment).min(len + 1 - now) => (transfer.line(now, Pace::CAREFUL), now),
            Role::Stalled => return Err(Absorbed::Progress.into()),
        };
        let end = cut(self.under_way(line, now, segment), edge, segment, len);
        self.send(ReplyKind::NextWindow, transfer, ranges([(from, end)]), line, Role::Fresh)
    }

    /// Up to where segments have been sent when a client has acknowledged everything up to `offset`.
    fn under_way(self, line: Line, offset: u32, segment: u32) -> u32 {
        let done = offset / segment;
        let segments = line.pace_at(offset).segments(done, self.config.first_window, self.config.ceiling);
        done.saturating_add(segments).saturating_mul(segment)
    }

    /// An ACK with a gap: what is missing, when it is certain that it is lost. Nothing new is sent before
    /// everything that is under way has arrived.
    fn resend(self, transfer: &Transfer<'a>) -> Result<Reply<'a>, Verdict> {
        let Transfer { segment, before, now, place, len, edge, .. } = *transfer;
        let blocks = transfer.sacked.as_slice();
        let (Some(&(hole, _)), Some(&(_, top))) = (blocks.first(), blocks.last()) else {
            return Err(Absorbed::Progress.into());
        };
        let line = transfer.line(before, place.pace);
        let wanted = self.under_way(line, now, segment);
        let received: u32 = blocks.iter().map(|(from, to)| (to - from).div_ceil(segment)).sum();
        // Whether anything that is under way can still be added to that.
        let is_all = top >= cut(wanted, edge, segment, len);
        let is_resent = place.role == Role::Resent;
        let under_way = (wanted - now) / segment;
        let threshold = DUPLICATES.min(under_way / 2);
        let lost = if is_all && !is_resent {
            missing(now, top, &transfer.sacked)
        } else if is_resent && now - before > segment || !is_resent && received == threshold {
            // After a hole that has been filled, the next one.
            ranges([(now, hole)])
        } else {
            return Err(Absorbed::Progress.into());
        };
        let pace = if is_resent { place.pace } else { Pace::halved(under_way) };
        self.send(ReplyKind::Resent, transfer, lost, transfer.line(now, pace), Role::Resent)
    }

    /// The client's timer has expired: what it is missing, carefully.
    fn resume(self, transfer: &Transfer<'a>) -> Result<Reply<'a>, Verdict> {
        let Transfer { segment, now, edge, len, place, .. } = *transfer;
        if place.role == Role::Paired {
            return self.send_pair(ReplyKind::Resumed, transfer, now, false);
        }
        let line = transfer.line(now, Pace::CAREFUL);
        let wanted = self.under_way(line, now, segment);
        let top = transfer.sacked.as_slice().last().map_or(now, |&(_, top)| top);
        let end = cut(wanted.max(top), edge, segment, len);
        let role = if transfer.sacked.len > 0 { Role::Resent } else { Role::Fresh };
        self.send(ReplyKind::Resumed, transfer, missing(now, end, &transfer.sacked), line, role)
    }

    /// An ACK of a client without SACK. Its duplicates cannot be told from the first, so only what
    /// cannot be multiplied is answered: the pair that it has got, and half of one.
    fn next_pair(self, transfer: &Transfer<'a>) -> Result<Reply<'a>, Verdict> {
        let Transfer { segment, before, now, place, .. } = *transfer;
        match (place.pace, now - before) {
            (Pace::FIRST, got) if got == 2 * segment => self.send_pair(ReplyKind::NextWindow, transfer, now, false),
            (Pace::SECOND_AGAIN, got) if got == segment => self.send_pair(ReplyKind::NextWindow, transfer, now, false),
            (Pace::FIRST, got) if got == segment => self.send_pair(ReplyKind::Resent, transfer, now, true),
            _ => Err(Absorbed::Progress.into()),
        }
    }

    /// The pair that begins at `from`, or the second of one, `again`.
    fn send_pair(self, kind: ReplyKind, transfer: &Transfer<'a>, from: u32, again: bool) -> Result<Reply<'a>, Verdict> {
        let Transfer { segment, first, edge, len, place, .. } = *transfer;
        let start = from / segment * segment;
        let end = start.saturating_add(if again { segment } else { 2 * segment });
        let mut train = self.placed_train(transfer);
        train.ranges = ranges([(from, cut(end, edge, segment, len))]);
        train.clock = Clock::Paired { first, pair: start, again, segment, narrow: place.narrow };
        self.depart(kind, train)
    }

    /// A segment at which the client would be, once more in pieces that pass everywhere, because it did not fit
    /// `mtu` bytes. From then on all that its ACKs draw goes in such pieces.
    pub(super) fn narrow<A: App>(self, place: Place, app: &'a A, mtu: u32) -> Option<Reply<'a>> {
        let place = Place { narrow: true, ..Some(place).filter(|place| !place.narrow)? };
        let transfer = self.transfer(place, app)?;
        let Transfer { first, segment, before, now, len, .. } = transfer;
        let packet = (self.headers_len() + TIMESTAMPS_LEN) as u32 + segment.min(len - now);
        if before != now || packet <= mtu || segment <= self.narrow_piece() {
            return None;
        }
        let (ack, window) = (self.header.seq(), self.header.window());
        let mut train = self.train(transfer.response, transfer.start, segment, ack, window);
        let end = now.saturating_add(segment);
        train.piece = self.narrow_piece();
        train.ranges = ranges([(now, if end >= len { len + 1 } else { end })]);
        train.clock = match place.role {
            Role::Paired => Clock::Paired { first, pair: now, again: false, segment, narrow: true },
            role => {
                let line = transfer.line(now, place.pace);
                Clock::Placed { first, line, role, stalled_from: u32::MAX, narrow: true }
            }
        };
        Some(Reply::train(ReplyKind::Narrowed, train))
    }

    fn send(
        self,
        kind: ReplyKind,
        transfer: &Transfer<'a>,
        ranges: [(u32, u32); RANGES_MAX],
        line: Line,
        role: Role,
    ) -> Result<Reply<'a>, Verdict> {
        let Transfer { segment, first, now, edge, place, .. } = *transfer;
        let mut train = self.placed_train(transfer);
        train.ranges = ranges;
        let end = ranges.iter().map(|&(_, to)| to).max().unwrap_or(now);
        train.clock = Clock::Placed {
            first,
            line,
            role,
            stalled_from: stalled_from(edge, segment, end, transfer.len),
            narrow: place.narrow,
        };
        // A client that acknowledges much at once has got as much. What is not sent now, nobody will know to send.
        if kind == ReplyKind::NextWindow {
            train.budget = u16::from(self.config.ceiling.max(self.config.first_window));
        }
        self.depart(kind, train)
    }

    fn placed_train(self, transfer: &Transfer<'a>) -> Train<'a> {
        let ack = self.acknowledged();
        let mut train = self.train(transfer.response, transfer.start, transfer.segment, ack, self.window());
        if transfer.place.narrow {
            train.piece = self.narrow_piece();
        }
        train
    }

    /// Segments of a response whose first byte is at `start`.
    pub(super) fn train(
        self,
        response: Response<'a>,
        start: SeqNumber,
        segment: u32,
        ack: SeqNumber,
        window: u16,
    ) -> Train<'a> {
        let timestamps = self.header.options.timestamps;
        let options = Options {
            timestamps: timestamps.map(|theirs| Timestamps { value: self.keys.timestamp_base, echo: theirs.value }),
            ..Options::default()
        };
        let header = self.header_back(Flags::ACK, start, options).with_ack(ack).with_window(window);
        Train::new(self.config, self.packet.reply_path.either(), header, [response.head(), response.body()], segment)
    }

    /// A reply with what there is to send, and with word to a client that what it sent again need not have waited longer.
    pub(super) fn depart(self, kind: ReplyKind, mut train: Train<'a>) -> Result<Reply<'a>, Verdict> {
        if train.is_empty() {
            return Err(Absorbed::Progress.into());
        }
        if kind == ReplyKind::Resumed {
            train.quotes = [self.quote(); 2];
        }
        Ok(Reply::train(kind, train))
    }

    /// What a client is told of that need not back off: what it has sent again, up to its ports and sequence number.
    fn quote(self) -> &'a [u8] {
        let Packet { datagram, payload, .. } = self.packet;
        let len = match (self.addresses(), datagram) {
            (AddressPair::V4 { .. }, &[_, _, len0, len1, ..]) => usize::from(u16::from_be_bytes([len0, len1])),
            (AddressPair::V6 { .. }, &[_, _, _, _, len0, len1, ..]) => {
                ipv6::HEADER_LEN + usize::from(u16::from_be_bytes([len0, len1]))
            }
            _ => 0,
        };
        let quoted = len.saturating_sub(payload.len()) + QUOTED;
        datagram.get(..quoted).filter(|_| self.config.revert_backoff).unwrap_or_default()
    }

    /// How much of the request is acknowledged in the middle of a response: never its last byte. A plain ACK stands at
    /// the end of what its client has sent. What comes again may be its end or not.
    fn acknowledged(self) -> SeqNumber {
        let is_last = self.header.flags().has(Flags::PSH) || self.is_fin();
        match self.payload.len() {
            0 => self.end().rewind(1),
            1 if is_last => self.header.seq(),
            _ => self.header.seq().advance(1),
        }
    }

    /// What the client has beyond `now`. `None` if it is telling of a duplicate (RFC 2883), or of
    /// something that it cannot have.
    pub(super) fn sacked(self, start: SeqNumber, now: u32, len: u32) -> Option<Sacked> {
        let options = self.options();
        let mut sacked = Sacked::NONE;
        if options.len() <= TIMESTAMPS_LEN && self.header.options.timestamps.is_some() {
            return Some(sacked);
        }
        // The first one inside the second: a duplicate as well.
        let parsed = SackBlocks::parse(options);
        if let [(from, to), (second_from, second_to), ..] = *parsed.as_slice()
            && !from.before(second_from)
            && !to.after(second_to)
        {
            return None;
        }
        sacked.fill(parsed.as_slice(), start, now, len).then_some(sacked)
    }

    /// The options, as they stand in the segment.
    pub(super) fn options(self) -> &'a [u8] {
        let header_len = self.packet.payload.len().saturating_sub(self.payload.len());
        self.packet.payload.get(HEADER_LEN..header_len).unwrap_or_default()
    }

    /// Bytes of payload in a full segment for a client with this MSS.
    pub(super) fn segment_len(self, mss: Mss) -> u32 {
        let options = if self.header.options.timestamps.is_some() { TIMESTAMPS_LEN } else { 0 };
        // A client that does not tell where it is cannot be asked what its path carries.
        let most = match (self.addresses(), self.header.options.timestamps) {
            (AddressPair::V6 { .. }, None) => IPV6_PATH_MSS,
            (AddressPair::V4 { .. }, None) => UNTOLD_MAX,
            _ => usize::MAX,
        };
        // A multiple of four, so that a probe has two bits to spare.
        (self.own_mss().min(mss.bytes().into()).min(most) - options) as u32 & !3
    }

    /// The same where each must have a position of its own.
    fn placed_segment(self, mss: Mss) -> Option<u32> {
        Some(self.segment_len(mss)).filter(|&segment| segment as usize >= Position::UNIT)
    }

    /// Bytes of payload that pass everywhere.
    fn narrow_piece(self) -> u32 {
        let smallest = match self.addresses() {
            AddressPair::V4 { .. } => IPV4_PATH_MSS,
            AddressPair::V6 { .. } => IPV6_PATH_MSS,
        };
        (smallest - TIMESTAMPS_LEN) as u32
    }
}

/// The longest segment to a client without timestamps: a probe can tell of four.
const UNTOLD_MAX: usize = PROBED_MAX as usize / 4;

/// What fits the smallest packet that every host takes (RFC 1122, section 3.3.2).
const IPV4_PATH_MSS: usize = 536;

/// What fits the smallest packet that every link carries (RFC 8200, section 5).
const IPV6_PATH_MSS: usize = 1220;

/// Bytes of a segment that tell which one it was (RFC 792).
const QUOTED: usize = 8;

/// From where on a segment may be the last that its window has room for, when segments up to `end` are sent
/// into one that ends at `edge`, of a response of `len` bytes. The last two are: an ACK echoes the first of those
/// that it acknowledges.
fn stalled_from(edge: u32, segment: u32, end: u32, len: u32) -> u32 {
    if end > len || end.saturating_add(SLACK * segment) <= edge {
        return u32::MAX;
    }
    end.saturating_sub(2 * segment)
}

/// The last offset up to `wanted` that full segments reach within the window, or behind the FIN.
pub(super) fn cut(wanted: u32, edge: u32, segment: u32, len: u32) -> u32 {
    if wanted >= len && edge > len {
        return len + 1;
    }
    wanted.min(edge) / segment * segment
}

/// Whether a client at `offset` has all `len` bytes. Some do not keep a FIN that came behind a gap, and lack
/// nothing else then.
pub(super) fn is_end(offset: u32, len: u32) -> bool {
    offset == len || offset == len + 1
}

fn ranges<const N: usize>(given: [(u32, u32); N]) -> [(u32, u32); RANGES_MAX] {
    let mut all = [(0, 0); RANGES_MAX];
    for (slot, range) in all.iter_mut().zip(given) {
        *slot = range;
    }
    all
}

/// What lies between `now` and `end` and has not been received.
pub(super) fn missing(now: u32, end: u32, sacked: &Sacked) -> [(u32, u32); RANGES_MAX] {
    let mut all = [(0, 0); RANGES_MAX];
    let mut from = now;
    let blocks = sacked.as_slice().iter().copied().chain([(end, end)]);
    for (slot, (start, stop)) in all.iter_mut().zip(blocks) {
        *slot = (from, start.min(end));
        from = stop;
    }
    all
}
