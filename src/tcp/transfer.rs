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
//!
//! Where the connection stays open behind the response, there is no FIN. Its last segment says where the next request
//! begins ([`Kept`](crate::stamp::Kept)), and the ACK of that segment draws the acknowledgement of the request's last
//! byte. For that it must be known where the request ends; a client that has sent more must not have that
//! acknowledged. The packet with the request tells, and so does what comes again of it. An ACK does as well: all
//! segments end the client's window at the end of its request, and a client that has sent more goes back to there (as
//! Linux does). What opens the window is taken only by a client that echoes the timestamp of the last segment from then
//! on ([`OPENS`](crate::stamp::OPENS)).
//!
//! The segments that a response begins with acknowledge the method of the request and nothing else: a client that lacks
//! the first of them must still have something to ask with, and a client that has it must not send all of it again, for
//! that could not be told from the next request.

use super::group::{self, Group};
use super::layout::{HEAD_END, Layout, REACH, TIMEOUT_REACH};
use super::ranges::{SackRanges, clipped, is_end, last_boundary, only};
use super::reach;
use super::segment::{GET, Segment};
use crate::app::App;
use crate::config::Config;
use crate::cookie::{CookieFields, Mss, Scale, SegmentClass};
use crate::http::{Persistence, Response};
use crate::position::Position;
use crate::reply::{LastSegment, Payload, Probe, ProbeOrder, RANGES_MAX, Reply, Train};
use crate::stamp::{
    Exchange, KeptSize, SendReason, SentSegment, Stamp, StampSequence, WindowLevel, WindowSchedule, following, half_of,
};
use crate::verdict::{Absorbed, DropReason, ReplyKind};
use crate::wire::ip::Pair;
use crate::wire::seq::SeqNumber;
use crate::wire::tcp::{Flags, SackBlocks, TIMESTAMPS_LEN};

/// Segments of the client's window that are left free where its reader keeps up.
const SLACK: u32 = 2;

/// What slow start adds to the most segments in flight, in answer to an ACK of all of them.
const BURST_SPARE: u16 = 128;

/// Segments of a client's window that is short in slow start and is about to open: its reader has not read yet what has
/// just come.
const DIP: u32 = 64;

/// Segments that a client must have received behind a gap until what is in it counts as lost, and not just late (RFC
/// 5681, section 3.2).
const DUPLICATES: u32 = 3;

/// A stored response in transfer, as one packet of its client tells of it. Offsets count from its start.
#[derive(Clone, Copy)]
pub(super) struct Transfer<'f, 'a, P> {
    /// The packet.
    segment: Segment<'f, P>,
    /// The bytes of the response.
    payload: Payload<'a>,
    /// The position of the response.
    first: Position,
    /// The sequence number of offset 0, where the response begins unless its head is padded.
    start: SeqNumber,
    /// Bytes of payload in a full segment.
    seg_size: u32,
    /// The offset behind the response, where the FIN stands if there is one.
    len: u32,
    /// The client's MSS, and how its windows are scaled.
    fields: CookieFields,
    /// Where the request ends, if that is certain; only of a connection that stays open.
    request_end: Option<SeqNumber>,
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

/// The head of the first response of a connection says this, where that of the only one says that the connection is
/// closed. It is as long: one may be sent in answer to half a header section, and the other in answer to all of it, and
/// a client may get segments of both.
const FIRST_HEAD_END: [&[u8]; 2] = [b"Server: Lethe/0.1\r\n", b"\r\n"];

const _: () = assert!(FIRST_HEAD_END[0].len() + FIRST_HEAD_END[1].len() == HEAD_END.len());

/// The bytes of the first response of a connection that stays open.
fn first_payload(response: Response<'_>) -> Option<Payload<'_>> {
    let [name, end] = FIRST_HEAD_END;
    let head = response.head().strip_suffix(HEAD_END)?;
    Some(Payload { pieces: [head, name, end, response.body()], begin: 0 })
}

/// The first window of a stored response: from here on its client's ACKs tell the rest.
pub(super) fn begin<'a, P: Pair>(
    segment: &Segment<'_, P>,
    first: Position,
    seg_size: u32,
    response: Response<'a>,
    fields: CookieFields,
) -> Reply<'a> {
    let sack = !matches!(segment.stamp(), Some(Stamp::Handshake { sack: false, .. }));
    let payload = Payload::new(response.head(), response.body());
    let mut train = segment.train(payload, segment.header.ack(), seg_size, segment.header.seq(), segment.window());
    if sack {
        let window = FirstWindow::of_whole(segment, &payload, seg_size, Exchange::Only, fields.scale);
        window.fill(segment, &mut train, first, Exchange::Only);
    } else {
        group::begin(segment, &mut train, first, segment.client_window(fields.scale));
    }
    segment.send(ReplyKind::FirstWindow, train)
}

/// The first segment of a stored response to half the header section of a client whose connection could stay open if it
/// were whole, and nothing else: as if it filled the client's window. `None` if that connection could not stay open.
///
/// The whole request may be under way, or come next, and draw segments behind which the connection stays open. Their
/// windows end with the request, and where it ends is known from that; the window of this one cannot. So a client must
/// not take some of each. This one it takes in order or not at all, and then none of the others, whose timestamps are
/// older; and if it takes the first of the others, this one is an old duplicate. It acknowledges as much as they do,
/// or Linux would not echo its timestamp behind one of them.
pub(super) fn begin_cut<'a, P: Pair>(
    segment: &Segment<'_, P>,
    response: Response<'a>,
    fields: CookieFields,
) -> Option<Reply<'a>> {
    let first = response.position().filter(|_| segment.is_ack_clocked() && segment.payload.starts_with(GET))?;
    segment.segment_class(fields.mss)?;
    let seg_size = segment.stored_seg_size(fields, u32::try_from(response.len()).ok()?)?;
    let acked = segment.header.seq().advance(GET.len() as u32);
    let payload = Payload::new(response.head(), response.body());
    let mut train = segment.train(payload, segment.header.ack(), seg_size, acked, segment.window());
    let exchange = Exchange::Only;
    let ways = exchange.ways(false);
    let (level, reason) = (WindowLevel::LOWEST, SendReason::WindowLimited);
    let (congestion, pair) = (segment.config.congestion, 2 * seg_size);
    let schedule = WindowSchedule { origin: 0, level, cap: level, ways, congestion, pair };
    train.ranges = only((0, seg_size));
    train.stamps = StampSequence::Stored { first, schedule, reason, limited_from: 0, narrow: false, exchange };
    Some(segment.send(ReplyKind::FirstWindow, train))
}

/// The first window of a stored response behind which the connection stays open, to a request that is whole and ends
/// at `request_end`. What the response says of its connection is in `later`, unless it is the first of it. `None` if
/// there is no such thing for this response and this client.
pub(super) fn begin_open<'a, A: App, P: Pair>(
    segment: &Segment<'_, P>,
    response: Response<'a>,
    request_end: SeqNumber,
    fields: CookieFields,
    later: Option<Persistence>,
    app: &A,
) -> Option<Reply<'a>> {
    if !segment.is_ack_clocked() {
        return None;
    }
    let class = segment.segment_class(fields.mss)?;
    // Positions are counted by two.
    let first = response.position().filter(|first| first.value().is_multiple_of(2))?;
    let own = segment.header.ack();
    let (payload, seg_size, exchange) = if let Some(persistence) = later {
        let seg_size = segment.class_seg_size(class);
        let layout = Layout::new(seg_size, response.head().len(), response.body().len())?;
        let begin = layout.begin(own, segment.keys.residue(request_end))?;
        let head = response.head().strip_suffix(HEAD_END)?;
        let [padding_start, padding] = layout.padding(begin, persistence);
        let pieces = [head, padding_start, padding, response.body()];
        (Payload { pieces, begin }, seg_size, Exchange::Later(class, fields.scale))
    } else {
        let seg_size = segment.stored_seg_size(fields, u32::try_from(response.len()).ok()?)?;
        (first_payload(response)?, seg_size, Exchange::First)
    };
    let window = FirstWindow::of_whole(segment, &payload, seg_size, exchange, fields.scale);
    Some(send_open(segment, payload, (first, seg_size, exchange), window, (request_end, class, fields.scale), app))
}

/// Sends the first window of a stored response, or of a part of one, to a request that is whole and ends at
/// `request_end`. It acknowledges the method of that.
pub(super) fn send_open<'a, A: App, P: Pair>(
    segment: &Segment<'_, P>,
    payload: Payload<'a>,
    (first, seg_size, exchange): (Position, u32, Exchange),
    window: FirstWindow,
    (request_end, class, scale): (SeqNumber, SegmentClass, Scale),
    app: &A,
) -> Reply<'a> {
    let own = segment.header.ack();
    let start = own.rewind(payload.begin);
    let acked = segment.header.seq().advance(GET.len() as u32);
    let open = request_end.distance_from(acked) as u16;
    let mut train = segment.train(payload, start, seg_size, acked, open);
    if window.fill(segment, &mut train, first, exchange) > payload.end() {
        train.probes = [Some(last_ack_probe(own)), None];
    }
    let stamp = train.stamps.stamp_at(payload.begin);
    train.add_to_timestamps(half_of(following(stamp, segment.echoed_value())));
    let ends = [request_end, start.advance(payload.end())];
    let stamp = segment.kept(ends, app.generations().current, KeptSize::Long(class), scale);
    train.last = LastSegment::Open { stamp: Some(stamp.value()), window: segment.window() };
    segment.send(ReplyKind::FirstWindow, train)
}

/// A byte that the client has acknowledged, ahead of the last segment. It draws an ACK at once, so that the last
/// segment begins where the client's last ACK was, and the stamp in it is the one that comes back (RFC 7323, section
/// 4.3). It ends before what has been acknowledged, or else Linux may put that ACK off (`tcp_backlog_ack_defer`).
fn last_ack_probe(acked: SeqNumber) -> Probe {
    Probe { seq: acked.rewind(2), len: 1, order: ProbeOrder::BeforeLast, stamp: None }
}

/// A byte that the client has acknowledged, ahead of the segments from `limited_from` on, which fill its window. It
/// draws an ACK at once, so that the next one echoes their stamp, however much it acknowledges: a reader that is late,
/// or a card that merges segments, acknowledges many at once, and echoes the first of them.
fn limit_probe(acked: SeqNumber, limited_from: u32, stamps: StampSequence) -> Probe {
    let order = ProbeOrder::Before(limited_from);
    Probe { seq: acked.rewind(2), len: 1, order, stamp: Some(stamps.stamp_at(limited_from)) }
}

/// What is sent in answer to a request for a stored response, or for a part of one.
#[derive(Clone, Copy, Debug)]
pub(super) struct FirstWindow {
    schedule: WindowSchedule,
    end: u32,
    limited_from: u32,
    /// How many segments it may have.
    budget: u16,
}

impl FirstWindow {
    /// Bytes of payload of which a first window has some number: what RFC 6928, section 2, has.
    const SEGMENT: u32 = 1460;

    /// That of a response.
    fn of_whole<P: Pair>(
        segment: &Segment<'_, P>,
        payload: &Payload<'_>,
        seg_size: u32,
        exchange: Exchange,
        scale: Scale,
    ) -> Self {
        // The windows of clients grow with what they receive: one that is scaled need not have room for all at first.
        let ceiling = u32::from(segment.config.ceiling.min(Exchange::UNSCALED));
        let (window, cap) = Self::room(segment, seg_size, scale);
        let level = if window / seg_size >= ceiling + SLACK { WindowLevel::SLOW_START } else { cap };
        Self::wanted(segment, payload, (0, level, cap), (seg_size, exchange), scale).0
    }

    /// That of a part whose head and padding end in the segment at `origin`. Slow start sends the more the further it
    /// is from where a response begins, so the window has a level. `None` where that is more than a first window, which
    /// does not depend on what the client's receive window has room for: all packets of the request draw the part, or
    /// none does.
    pub(super) fn of_part<P: Pair>(
        segment: &Segment<'_, P>,
        payload: &Payload<'_>,
        origin: u32,
        (seg_size, exchange): (u32, Exchange),
        scale: Scale,
    ) -> Option<Self> {
        let (_, cap) = Self::room(segment, seg_size, scale);
        let schedule = (origin, WindowLevel::OF_PART, cap);
        let (window, wanted) = Self::wanted(segment, payload, schedule, (seg_size, exchange), scale);
        let first_window = segment.config.first_window;
        let is_room = wanted.saturating_sub(payload.begin) <= u32::from(first_window) * Self::SEGMENT;
        let segments = wanted.div_ceil(seg_size).saturating_sub(payload.begin / seg_size) as u16;
        is_room.then_some(Self { budget: segments.max(first_window.into()), ..window })
    }

    /// That of a part whose window was filled by it before: the rest of the segment at `origin`.
    pub(super) fn of_filled_part(self, end: u32) -> Self {
        Self { end: end.min(self.end), limited_from: 0, ..self }
    }

    /// The client's receive window, and the highest level that it has room for.
    fn room<P: Pair>(segment: &Segment<'_, P>, seg_size: u32, scale: Scale) -> (u32, WindowLevel) {
        let window = segment.client_window(scale);
        let room = (window / seg_size).saturating_sub(SLACK);
        // No more than a first window (RFC 6928, section 2), in segments of any size, answers a request; and what is
        // not sent now, no later ACK will draw.
        (window, WindowLevel::at_most(room.min(segment.config.first_window.into())))
    }

    /// One that begins with this level at `origin`, and where it would end in a receive window that has room for all.
    fn wanted<P: Pair>(
        segment: &Segment<'_, P>,
        payload: &Payload<'_>,
        (origin, level, cap): (u32, WindowLevel, WindowLevel),
        (seg_size, exchange): (u32, Exchange),
        scale: Scale,
    ) -> (Self, u32) {
        let (begin, len) = (payload.begin, payload.end());
        let (ways, congestion, pair) = (exchange.ways(false), segment.config.congestion, 2 * seg_size);
        let schedule = WindowSchedule { origin, level, cap, ways, congestion, pair };
        let ceiling = exchange.ceiling(segment.config.ceiling, scale);
        let wanted = sent_up_to(segment.config, exchange, schedule, ceiling, begin.max(origin), seg_size);
        let window_end = begin.saturating_add(segment.client_window(scale));
        let end = last_boundary(wanted, window_end, seg_size, len);
        let limited_from = limited_from(window_end, seg_size, end, len);
        (Self { schedule, end, limited_from, budget: segment.config.first_window.into() }, wanted)
    }

    /// Sets ranges and stamps of a train to this, without what the client has already, and returns its end.
    fn fill<P: Pair>(
        self,
        segment: &Segment<'_, P>,
        train: &mut Train<'_>,
        first: Position,
        exchange: Exchange,
    ) -> u32 {
        let Self { schedule, end, limited_from, budget } = self;
        train.budget = budget;
        let (begin, len) = (train.payload.begin, train.payload.end());
        let sacked = segment.sacked(segment.header.ack().rewind(begin), begin, len);
        train.ranges = sacked.unwrap_or(SackRanges::NONE).gaps(begin, end);
        let reason = SendReason::NewData;
        train.stamps = StampSequence::Stored { first, schedule, reason, limited_from, narrow: false, exchange };
        end
    }
}

/// Answers a segment that echoes the timestamp of a segment of a stored response: from a client in the middle of that
/// response, or forged.
pub(super) fn answer<'a, A: App, P: Pair>(segment: &Segment<'_, P>, echoed: SentSegment, app: &'a A) -> Reply<'a> {
    let is_timeout = is_timeout(segment, echoed);
    match Transfer::find(segment, echoed, app) {
        Some(transfer) => transfer.answer(is_timeout, app),
        // Behind a later request, which was lost or has come ahead of an acknowledgement: it comes again.
        None if segment.is_fin() && !is_timeout && echoed.exchange != Exchange::Only => DropReason::TcpFinEarly.into(),
        None if is_timeout || segment.is_fin() => segment.refuse(DropReason::TcpEcho),
        None => Absorbed::Ack.into(),
    }
}

/// Whether a segment is what its client's RTO sends again, or the end of what it sends.
fn is_timeout<P: Pair>(segment: &Segment<'_, P>, echoed: SentSegment) -> bool {
    match echoed.exchange {
        Exchange::Only => !segment.payload.is_empty() || segment.is_fin(),
        // Else it is an ACK, in a packet with the next request, if there is payload.
        Exchange::First | Exchange::Later(..) => segment.repeated_request_end().is_some(),
    }
}

impl<'f, 'a, P: Pair> Transfer<'f, 'a, P> {
    /// What the packet tells, if it can be true. Its own timestamp is compared with none (RFC 7323, section 5.3).
    pub(super) fn find<A: App>(segment: &Segment<'f, P>, echoed: SentSegment, app: &'a A) -> Option<Self> {
        if !segment.is_ack_clocked() {
            return None;
        }
        match echoed.exchange {
            Exchange::Only | Exchange::First => Self::find_by_cookie(segment, echoed, app),
            Exchange::Later(class, scale) => Self::find_later(segment, echoed, (class, scale), app),
        }
    }

    /// The transfer of the first response of a connection, or of its only one: its cookie tells where that begins.
    fn find_by_cookie<A: App>(segment: &Segment<'f, P>, echoed: SentSegment, app: &'a A) -> Option<Self> {
        let (response, first, [offset, unit_end]) = Self::stored(echoed, app)?;
        let len = u32::try_from(response.len()).ok()?;
        // A FIN that goes alone begins at the end.
        let begin = |seg_size: u32| {
            let size = if echoed.reason.is_of_group() { Group::size(segment.config, seg_size) } else { seg_size };
            Some(offset.checked_next_multiple_of(size)?.min(len))
        };
        let fields_at = |acked| CookieFields::of(segment.header.ack().rewind(acked + 1), segment.has_timestamps());
        let nearest = segment.keys.offset(segment.header.ack(), offset);
        let (mut acked, mut fields) = (nearest, fields_at(nearest));
        fields.scale = fields.scale.as_if_carried_into();
        let mut seg_size = segment.stored_seg_size(fields, len)?;
        if fields.scale.is_scaled() && !echoed.narrow {
            // Where it is more than 64 kB ahead the cookie is not known before, but for its MSS and version, and
            // whether windows are scaled.
            acked = reach::acked(seg_size, len, nearest, begin(seg_size)?, reach::TIMEOUT_REACH)?;
            fields = fields_at(acked);
            seg_size = segment.stored_seg_size(fields, len).filter(|_| fields.scale.is_scaled())?;
            if reach::acked(seg_size, len, nearest, begin(seg_size)?, reach::TIMEOUT_REACH) != Some(acked) {
                return None;
            }
        }
        let is_open = echoed.exchange != Exchange::Only;
        let payload = if is_open { first_payload(response)? } else { Payload::new(response.head(), response.body()) };
        let prev_acked = begin(seg_size)?;
        let within = acked % seg_size;
        let is_boundary =
            is_end(acked, len) || within == 0 || echoed.narrow && within.is_multiple_of(segment.narrow_piece());
        let start = segment.header.ack().rewind(acked);
        let is_of_version = app.generations().of(echoed.position) == Some(fields.generation);
        // A segment has one position.
        // The first response of a connection that stays open may have had a FIN, in answer to half its header section.
        let possible = prev_acked < unit_end && prev_acked <= acked && acked <= len + 1;
        let found = Self::new(segment, echoed, (payload, first), (start, seg_size, fields), (prev_acked, acked));
        // What is new is no further ahead than there was in flight.
        let is_near = || {
            let is_again = echoed.reason == SendReason::Retransmission;
            let in_flight = found.in_flight_from(prev_acked).max(reach::LATE * seg_size);
            let reach = if is_again { reach::REACH * seg_size } else { in_flight };
            !fields.scale.is_scaled() || is_timeout(segment, echoed) || acked - prev_acked <= reach
        };
        (is_of_version && possible && is_boundary && is_near()).then_some(found)
    }

    /// The transfer of a later response.
    #[cold]
    fn find_later<A: App>(
        segment: &Segment<'f, P>,
        echoed: SentSegment,
        (class, scale): (SegmentClass, Scale),
        app: &'a A,
    ) -> Option<Self> {
        let (response, first, [offset, unit_end]) = Self::stored(echoed, app)?;
        let seg_size = segment.class_seg_size(class);
        let layout = Layout::new(seg_size, response.head().len(), response.body().len())?;
        let prev_acked = offset.checked_next_multiple_of(seg_size).filter(|&prev| prev < unit_end)?;
        // No such segment is sent: in pieces.
        let is_again = echoed.reason == SendReason::Retransmission;
        if echoed.narrow {
            return None;
        }
        let (request_end, reach) = match segment.repeated_request_end() {
            Some(end) => (end, TIMEOUT_REACH),
            None if is_again => (segment.header.seq(), REACH),
            // Of what fills a window only the end says so.
            None if echoed.reason == SendReason::WindowLimited => (segment.header.seq(), SLACK),
            // No more than was in flight then. A client that has more comes again when its RTO expires.
            None => {
                let (level, ways) = (echoed.level, echoed.exchange.ways(false));
                let (congestion, pair) = (segment.config.congestion, 2 * seg_size);
                let schedule = WindowSchedule { origin: prev_acked, level, cap: level, ways, congestion, pair };
                let ceiling = echoed.exchange.ceiling(segment.config.ceiling, scale);
                let sent = sent_up_to(segment.config, echoed.exchange, schedule, ceiling, prev_acked, seg_size);
                (segment.header.seq(), ((sent - prev_acked) / seg_size).min(REACH))
            }
        };
        let acked = layout.acked(segment.header.ack(), segment.keys.residue(request_end), prev_acked, reach)?;
        let start = segment.header.ack().rewind(acked);
        // Where head and padding meet differs from connection to connection, but not behind the first segment.
        let pieces = [&[], &[], layout.padding_from(seg_size), response.body()];
        let payload = Payload { pieces, begin: seg_size };
        let generation = app.generations().of(echoed.position)?;
        let mss = Mss::at_most(class.mss(segment.headers_len()));
        let fields = CookieFields { mss, generation, scale };
        Some(Self::new(segment, echoed, (payload, first), (start, seg_size, fields), (prev_acked, acked)))
    }

    /// The response that a segment belonged to, the position of that, and the offsets at which the segment may have
    /// begun, from the first to the one behind the last.
    fn stored<A: App>(echoed: SentSegment, app: &'a A) -> Option<(Response<'a>, Position, [u32; 2])> {
        let response = app.stored(echoed.position)?;
        let first = response.position()?;
        let unit = Position::UNIT as u32;
        let offset = echoed.position.value().checked_sub(first.value())?.checked_mul(unit)?;
        // Positions are counted by two where the connection stays open.
        let units = match echoed.exchange {
            Exchange::Only => 1,
            _ if first.value().is_multiple_of(2) => 2,
            _ => return None,
        };
        Some((response, first, [offset, offset.checked_add(units * unit)?]))
    }

    fn new(
        segment: &Segment<'f, P>,
        echoed: SentSegment,
        (payload, first): (Payload<'a>, Position),
        (start, seg_size, fields): (SeqNumber, u32, CookieFields),
        (prev_acked, acked): (u32, u32),
    ) -> Self {
        let len = payload.end();
        // No client that echoes this has been told of a window for more.
        let is_ack = acked < len || segment.payload.is_empty();
        let ends_here = Some(segment.header.seq()).filter(|_| is_ack);
        let is_open = echoed.exchange != Exchange::Only;
        let request_end = segment.repeated_request_end().or(ends_here).filter(|_| is_open);
        Self {
            segment: *segment,
            payload,
            first,
            start,
            seg_size,
            len,
            fields,
            request_end,
            prev_acked,
            acked,
            window_end: acked.saturating_add(segment.client_window(fields.scale)),
            sacked: SackRanges::NONE,
            echoed,
        }
    }

    fn is_open(&self) -> bool {
        self.echoed.exchange != Exchange::Only
    }

    fn answer<A: App>(self, is_timeout: bool, app: &A) -> Reply<'a> {
        // Nothing new is acknowledged: the client sent this on our acknowledgement of its request, before it processed
        // the segment.
        if self.prev_acked == self.acked && self.echoed.reason != SendReason::Check {
            return Absorbed::Progress.into();
        }
        if self.is_open() && self.acked == self.len {
            return match self.request_end.zip(self.segment.segment_class(self.fields.mss)) {
                Some((end, class)) => self.segment.settle(end, (class, self.fields.scale), app),
                None => Absorbed::Progress.into(),
            };
        }
        if self.acked > self.len {
            let kind = if self.segment.is_fin() { ReplyKind::FinAck } else { ReplyKind::Settled };
            return self.segment.acknowledge(kind, Flags::ACK);
        }
        let Some(sacked) = self.segment.sacked(self.start, self.acked, self.len) else {
            return self.answer_duplicate(app);
        };
        let transfer = Self { sacked, ..self };
        if transfer.echoed.reason == SendReason::Check {
            return transfer.answer_checked(is_timeout || transfer.sacked.is_empty(), app);
        }
        if is_timeout {
            transfer.answer_timeout(app)
        } else if transfer.takes_no_sack() {
            transfer.answer_without_sack(app)
        } else if transfer.sacked.is_empty() {
            transfer.advance(app)
        } else {
            transfer.recover(app)
        }
    }

    /// An ACK without a gap: the segments by which the window has moved.
    fn advance<A: App>(&self, app: &A) -> Reply<'a> {
        let Self { seg_size, prev_acked, acked, window_end, echoed, len, .. } = *self;
        let schedule = self.schedule(prev_acked, echoed.level);
        let (schedule, from) = match echoed.reason {
            // More than that may be acknowledged: segments of an earlier window that arrived late.
            SendReason::NewData => (schedule, self.boundary(schedule, prev_acked).max(acked)),
            // The end of a recovery. From here on with half the window, which is the level in the stamp.
            SendReason::Retransmission | SendReason::Check => (self.schedule(acked, echoed.level), acked),
            // The receive window was full. What it has opened to since is all that may be sent, and by two segments at
            // least (RFC 9293, section 3.8.6.2.1). No probe asks for that (RFC 9293, section 3.8.6.1): the client's
            // update tells (RFC 9293, section 3.8.6.2.2).
            SendReason::WindowLimited if window_end - acked >= (2 * seg_size).min(len + 1 - acked) => {
                (self.schedule(acked, WindowLevel::LOWEST), acked)
            }
            SendReason::WindowLimited | SendReason::Pair | SendReason::Group | SendReason::Left => {
                return Absorbed::Progress.into();
            }
        };
        let schedule = if from == acked { self.fitting(schedule) } else { schedule };
        let end = self.boundary(schedule, acked);
        self.send(ReplyKind::NextWindow, only((from, end)), schedule, SendReason::NewData, app)
    }

    /// An ACK with a gap, as its SACK blocks tell (RFC 2018, section 4): what is missing, when it is certain that it is
    /// lost. No new data is sent before everything in flight has arrived.
    fn recover<A: App>(&self, app: &A) -> Reply<'a> {
        let Self { seg_size, prev_acked, acked, echoed, len, .. } = *self;
        let received = self.sacked.as_slice();
        let (Some(&(gap_end, _)), Some(&(_, top))) = (received.first(), received.last()) else {
            return Absorbed::Progress.into();
        };
        let schedule = self.schedule(prev_acked, echoed.level);
        let sent = self.sent_up_to(schedule, acked);
        let received: u32 = received.iter().map(|(from, to)| (to - from).div_ceil(seg_size)).sum();
        // Whether nothing in flight can still be added to that. An ACK that has reached `acked` and shows the gap at
        // once has drawn nothing, so what the ACK before it drew is all. One that had reached it before has drawn more.
        // The timestamp is the same in both cases.
        let fin = u32::from(!self.is_open());
        let boundary = |offset| self.boundary(schedule, offset).min(len + fin);
        let is_all = top >= boundary(acked) || top == boundary(prev_acked);
        let is_retransmitted = echoed.reason == SendReason::Retransmission;
        let (in_flight, congestion) = ((sent - acked) / seg_size, self.segment.config.congestion);
        let threshold = DUPLICATES.min(in_flight.div_ceil(2));
        let is_unsent = self.may_be_unsent(gap_end);
        let level = if is_retransmitted {
            echoed.level
        } else if is_unsent {
            WindowLevel::SLOWER_START
        } else {
            WindowLevel::reduced(in_flight, congestion)
        };
        let again = self.schedule(acked, level);
        let ahead = |offset| self.sent_up_to(again, offset).min(top);
        let lost = if is_retransmitted {
            // The holes by which the window of what is sent again has moved.
            let moved = clipped(self.sacked.gaps(acked, top), self.sent_up_to(schedule, prev_acked), ahead(acked));
            if acked - prev_acked > seg_size {
                // After a gap that has been filled, the next one.
                let [_, rest @ ..] = moved;
                let [second, third, fourth, fifth] = rest;
                [(acked, gap_end.min(ahead(acked))), second, third, fourth, fifth]
            } else {
                moved
            }
        } else if is_all {
            clipped(self.sacked.gaps(acked, top), acked, ahead(acked))
        } else if received == threshold && !is_unsent {
            only((acked, gap_end.min(ahead(acked))))
        } else {
            return Absorbed::Progress.into();
        };
        self.send(ReplyKind::Resent, lost, again, SendReason::Retransmission, app)
    }

    /// Whether the gap up to `gap_end` may never have been sent: the only one, of pairs, in slow start. The ACK that
    /// would have drawn it was lost, or the client said so along with something else: a request that its RTO sent again
    /// or a duplicate. Where a queue is full in slow start, there are more gaps, and shorter ones.
    fn may_be_unsent(&self, gap_end: u32) -> bool {
        let Self { seg_size, acked, echoed, ref sacked, .. } = *self;
        let is_boundary = |offset: u32| offset.is_multiple_of(2 * seg_size);
        let is_slow_start = echoed.level.is_slow_start() && echoed.reason == SendReason::NewData;
        is_slow_start && sacked.as_slice().len() == 1 && is_boundary(acked) && is_boundary(gap_end)
    }

    /// The client's RTO has expired. What has arrived behind a gap tells that all in it is lost: that, from the
    /// client's acknowledgement on (RFC 2018, section 5), and nothing behind.
    ///
    /// Where nothing tells it, all that was sent may be on its way still: the timer expires after a round trip and 200
    /// ms even where nothing is lost. So a check finds out whether the client is in the same place a round trip later,
    /// and only then is anything sent again. What answered the request itself was sent before the timer was started,
    /// and is lost.
    fn answer_timeout<A: App>(&self, app: &A) -> Reply<'a> {
        let Self { segment, seg_size, prev_acked, acked, window_end, len, echoed, ref sacked, .. } = *self;
        if self.takes_no_sack() {
            return self.send_without_sack(ReplyKind::Resumed, app);
        }
        let is_first_window = acked / seg_size < segment.config.first_window.into();
        let is_closed = window_end - acked < seg_size;
        if !sacked.is_empty() || is_first_window || is_closed || acked >= len || echoed.narrow {
            return self.resume(app);
        }
        let before = self.schedule(prev_acked, echoed.level);
        let mut range = (acked, acked);
        if self.is_of_one_segment() {
            range = (self.boundary(before, prev_acked).max(acked), self.boundary(before, acked).max(acked));
        }
        let mut train = self.stored_train(only(range), before, SendReason::NewData, app);
        let level = WindowLevel::AFTER_CHECK;
        let position = self.first.value().saturating_add(acked / Position::UNIT as u32);
        if let Some(position) = Position::new(position) {
            let check = SentSegment { position, level, reason: SendReason::Check, narrow: false, ..echoed };
            let stamp = Some(Stamp::Stored(check).value());
            let seq = segment.header.ack().rewind(1);
            train.probes = [Some(Probe { seq, len: 1, order: ProbeOrder::BeforeAll, stamp }), None];
        }
        segment.send(ReplyKind::Resumed, train)
    }

    /// An ACK that tells that something has come twice (RFC 2883, section 4). It draws nothing, or duplicates would
    /// draw duplicates. But a check comes to where its client is, and is reported as well; and where its client has
    /// gone on, this may be the first ACK of a segment.
    fn answer_duplicate<A: App>(&self, app: &A) -> Reply<'a> {
        let Self { segment, seg_size, acked, start, len, echoed, .. } = *self;
        let blocks = SackBlocks::parse(segment.options());
        let [(from, to), rest @ ..] = blocks.as_slice() else { return Absorbed::Progress.into() };
        let sacked = SackRanges::read(rest, start, acked, len).filter(|_| to.distance_from(*from) == 1);
        let Some(sacked) = sacked else { return Absorbed::Progress.into() };
        let checked = to.distance_from(start);
        if echoed.reason == SendReason::Check {
            return Self { sacked, ..*self }.answer_checked(checked == acked, app);
        }
        // The byte of a check is the last of a segment.
        let is_check = checked < acked && checked.is_multiple_of(seg_size) && sacked.is_empty();
        if is_check && self.is_of_one_segment() { self.advance(app) } else { Absorbed::Progress.into() }
    }

    /// Whether this acknowledges one segment of new data. That may have had no ACK of its own yet, so what it draws may
    /// be new; two segments have one (RFC 9293, section 3.8.6.3).
    fn is_of_one_segment(&self) -> bool {
        self.acked - self.prev_acked <= self.seg_size && self.echoed.reason == SendReason::NewData
    }

    /// A client that has taken a check: it had received nothing more for a round trip, and `is_idle` if it has not
    /// received anything since either.
    fn answer_checked<A: App>(&self, is_idle: bool, app: &A) -> Reply<'a> {
        if self.acked > self.prev_acked {
            return self.advance(app);
        }
        if is_idle { self.resume(app) } else { self.recover(app) }
    }

    /// Begins anew where the client is: with the gaps that its SACK blocks show, or with two segments. What those draw
    /// is a first window at most, where RFC 5681, section 3.1, has a segment.
    fn resume<A: App>(&self, app: &A) -> Reply<'a> {
        let Self { segment, seg_size, prev_acked, acked, window_end, len, echoed, ref sacked, .. } = *self;
        let before = self.schedule(prev_acked, echoed.level);
        let sent = self.sent_up_to(before, acked);
        let level = WindowLevel::reduced((sent - acked) / seg_size, segment.config.congestion);
        let level = level.min(WindowLevel::at_most(segment.config.first_window.into()));
        // A FIN that goes alone may go to a client that has received it and taken its timestamp: not with an older one.
        let is_again = acked >= len && !echoed.level.is_slow_start();
        let level = if is_again { level.max(echoed.level) } else { level };
        let schedule = self.schedule(acked, level);
        if let Some(&(_, top)) = sacked.as_slice().last() {
            let holes = clipped(sacked.gaps(acked, top), acked, self.sent_up_to(schedule, acked));
            return self.send(ReplyKind::Resumed, holes, schedule, SendReason::Retransmission, app);
        }
        let end = last_boundary(acked.saturating_add(2 * seg_size), window_end, seg_size, len);
        // Behind a FIN that goes alone nothing is drawn.
        let reason = if acked < len { SendReason::Retransmission } else { SendReason::NewData };
        self.send(ReplyKind::Resumed, only((acked, end)), schedule, reason, app)
    }

    /// Whether this is a client without SACK.
    fn takes_no_sack(&self) -> bool {
        self.echoed.reason == SendReason::Pair || self.echoed.reason.is_of_group()
    }

    /// The group of the segment whose timestamp the client echoes.
    fn group(&self) -> Option<Group> {
        Group::at(self.segment.config, self.seg_size, self.prev_acked).filter(|_| self.echoed.reason.is_of_group())
    }

    /// An ACK of a client without SACK. Its duplicates cannot be told from the first, so only what cannot be multiplied
    /// is answered: the ACK of a whole group, or of a whole pair, and of half of one.
    fn answer_without_sack<A: App>(&self, app: &A) -> Reply<'a> {
        let Self { seg_size, prev_acked, acked, len, echoed, .. } = *self;
        if let Some(group) = self.group() {
            let is_drawn = echoed.reason == SendReason::Group && group.is_whole(acked, len);
            return if is_drawn {
                self.send_without_sack(ReplyKind::NextWindow, app)
            } else {
                Absorbed::Progress.into()
            };
        }
        match (echoed.level, acked - prev_acked) {
            (WindowLevel::FIRST, got) if got == 2 * seg_size => self.send_without_sack(ReplyKind::NextWindow, app),
            (WindowLevel::SECOND_AGAIN, got) if got == seg_size => self.send_without_sack(ReplyKind::NextWindow, app),
            (WindowLevel::FIRST, got) if got == seg_size => self.send_pair(ReplyKind::Resent, true, app),
            _ => Absorbed::Progress.into(),
        }
    }

    /// What comes next for a client without SACK: the rest of its group, a group, or a pair where there is no room for
    /// more; or one segment, so that pairs come to where a group begins.
    fn send_without_sack<A: App>(&self, kind: ReplyKind, app: &A) -> Reply<'a> {
        let Self { segment, seg_size, first, acked, window_end, len, echoed, .. } = *self;
        let echoed_group = self.group();
        let begun = echoed_group.filter(|group| group.has(acked));
        let left = echoed_group.filter(|group| group.end == acked);
        let group = begun.or_else(|| Group::at(segment.config, seg_size, acked));
        if let Some(group) = group.filter(|_| !echoed.narrow && acked < len) {
            let mut train = self.train(app);
            let from = (acked, kind == ReplyKind::Resumed);
            if group.fill(&mut train, first, from, left, window_end).is_some() {
                return segment.send(kind, train);
            }
        }
        let is_odd = (acked / seg_size) & 1 == 1;
        self.send_pair(kind, is_odd && !echoed.narrow, app)
    }

    /// The pair that begins where the client is, or the second of one, `again`.
    fn send_pair<A: App>(&self, kind: ReplyKind, again: bool, app: &A) -> Reply<'a> {
        let Self { seg_size, first, acked, window_end, len, echoed, .. } = *self;
        let pair = acked / seg_size * seg_size;
        let end = pair.saturating_add(if again { seg_size } else { 2 * seg_size });
        let mut train = self.train(app);
        train.ranges = only((acked, last_boundary(end, window_end, seg_size, len)));
        train.stamps = StampSequence::Pairs { first, pair, again, seg_size, narrow: echoed.narrow };
        self.segment.send(kind, train)
    }

    /// Answers an ICMP error that a segment did not fit `mtu` bytes: if the client would be there, that segment once
    /// more in pieces that every path carries. From then on all that its ACKs draw goes in such pieces; the path MTU is
    /// not stored (RFC 8201, section 5.2).
    pub(super) fn narrow(&self, mtu: u32) -> Reply<'a> {
        let Self { segment, payload, first, seg_size, prev_acked, acked, len, echoed, .. } = *self;
        let packet = (segment.headers_len() + TIMESTAMPS_LEN) as u32 + seg_size.min(len.saturating_sub(acked));
        // The second of a pair has the timestamp of the first, and a segment of a group that of all of them.
        let is_even = (prev_acked / seg_size).is_multiple_of(2);
        let is_second = is_even && acked == prev_acked.saturating_add(seg_size) && echoed.reason.is_shared();
        let is_there = self.group().map_or(prev_acked == acked || is_second, |group| group.has(acked));
        if !is_there || packet <= mtu || seg_size <= segment.narrow_piece() {
            return DropReason::IcmpQuote.into();
        }
        let (ack, window) = (segment.header.seq(), segment.header.window());
        let mut train = segment.train(payload, self.start, seg_size, ack, window);
        if self.is_open() {
            train.last = LastSegment::Open { stamp: None, window };
        }
        let end = acked.saturating_add(seg_size);
        train.piece = segment.narrow_piece();
        train.ranges = only((acked, if end >= len { len + 1 } else { end }));
        train.stamps = match echoed.reason {
            SendReason::Pair | SendReason::Group | SendReason::Left => {
                StampSequence::Pairs { first, pair: acked, again: false, seg_size, narrow: true }
            }
            reason => {
                let schedule = self.schedule(acked, echoed.level);
                let exchange = echoed.exchange;
                StampSequence::Stored { first, schedule, reason, limited_from: u32::MAX, narrow: true, exchange }
            }
        };
        Reply::train(ReplyKind::Narrowed, train)
    }

    fn send<A: App>(
        &self,
        kind: ReplyKind,
        ranges: [(u32, u32); RANGES_MAX],
        schedule: WindowSchedule,
        reason: SendReason,
        app: &A,
    ) -> Reply<'a> {
        let Self { segment, seg_size, acked, len, .. } = *self;
        let mut train = self.stored_train(ranges, schedule, reason, app);
        let last = len.saturating_sub(1) / seg_size * seg_size;
        if self.is_open() && acked < last && ranges.iter().any(|&(from, to)| from < to && to > len) {
            train.probes = [Some(last_ack_probe(segment.header.ack())), None];
        }
        // A client that acknowledges much at once has received as much. What is not sent now, no later ACK will draw.
        if kind == ReplyKind::NextWindow || kind == ReplyKind::Resent {
            train.budget = segment.config.ceiling.max(segment.config.first_window.into()).saturating_add(BURST_SPARE);
        }
        segment.send(kind, train)
    }

    /// These ranges, sent for this reason.
    fn stored_train<A: App>(
        &self,
        ranges: [(u32, u32); RANGES_MAX],
        schedule: WindowSchedule,
        reason: SendReason,
        app: &A,
    ) -> Train<'a> {
        let Self { seg_size, first, acked, window_end, len, echoed, .. } = *self;
        let mut train = self.train(app);
        train.ranges = ranges;
        let end = ranges.iter().map(|&(_, to)| to).max().unwrap_or(acked);
        let is_dip = schedule.level.is_slow_start() && window_end - acked >= DIP * seg_size;
        let limited_from = if is_dip { u32::MAX } else { limited_from(window_end, seg_size, end, len) };
        let SentSegment { narrow, exchange, .. } = echoed;
        train.stamps = StampSequence::Stored { first, schedule, reason, limited_from, narrow, exchange };
        let is_filling = ranges.iter().any(|&(from, to)| from < to && limited_from < to);
        if reason == SendReason::NewData && is_filling && limited_from > acked {
            train.probes = [Some(limit_probe(self.segment.header.ack(), limited_from, train.stamps)), None];
        }
        train
    }

    fn train<A: App>(&self, app: &A) -> Train<'a> {
        let Self { segment, payload, start, seg_size, len, fields, .. } = *self;
        let (ack, window) = self.request_ack();
        let mut train = segment.train(payload, start, seg_size, ack, window);
        if self.echoed.narrow {
            train.piece = segment.narrow_piece();
        }
        if self.is_open() {
            train.add_to_timestamps(half_of(segment.echoed_value()));
            let class = segment.segment_class(fields.mss);
            let stamp = self.request_end.zip(class).map(|(end, class)| {
                let ends = [end, start.advance(len)];
                segment.kept(ends, app.generations().current, KeptSize::Long(class), fields.scale).value()
            });
            train.last = LastSegment::Open { stamp, window: segment.window() };
        }
        train
    }

    /// How much of the request is acknowledged in the middle of a response, and the window behind that: never its last
    /// byte. A plain ACK stands at the end of what its client has sent. What comes again may be its end or not.
    fn request_ack(&self) -> (SeqNumber, u16) {
        let Segment { header, payload, .. } = self.segment;
        let is_last = header.flags().has(Flags::PSH) || self.segment.is_fin();
        let window = self.segment.window();
        match self.request_end {
            Some(end) => (end.rewind(1), 1),
            None => match payload.len() {
                0 => (self.segment.end().rewind(1), window),
                1 if is_last => (header.seq(), window),
                _ => (header.seq().advance(1), window),
            },
        }
    }

    /// The schedule that has this level at `origin`.
    fn schedule(&self, origin: u32, level: WindowLevel) -> WindowSchedule {
        let window = (self.window_end - self.acked) / self.seg_size;
        let cap = WindowLevel::at_most(window.saturating_sub(SLACK));
        let ways = self.echoed.exchange.ways(self.echoed.narrow);
        let (congestion, pair) = (self.segment.config.congestion, 2 * self.seg_size);
        WindowSchedule { origin, level: ways.rounded(level), cap, ways, congestion, pair }
    }

    /// A schedule for when nothing is in flight: a lower one where the client's receive window has no room for this
    /// one. The next ACKs compute from the stamps what has been sent, so the stamps must not say more than that.
    fn fitting(&self, schedule: WindowSchedule) -> WindowSchedule {
        let Self { acked, window_end, seg_size, .. } = *self;
        let is_room = |level| {
            let wanted = self.sent_up_to(self.schedule(acked, level), acked).saturating_add(SLACK * seg_size);
            wanted <= window_end
        };
        let slow_starts = [WindowLevel::SLOW_START, WindowLevel::SLOWER_START];
        let levels = if schedule.level == WindowLevel::SLOW_START { &slow_starts[..] } else { &[schedule.level] };
        let level = levels.iter().copied().find(|&level| is_room(level));
        self.schedule(acked, level.unwrap_or(schedule.cap))
    }

    /// Up to where segments have been sent when the client had acknowledged everything up to `offset`.
    fn sent_up_to(&self, schedule: WindowSchedule, offset: u32) -> u32 {
        let Self { segment, echoed, fields, seg_size, .. } = *self;
        // On a narrow path an acknowledgement tells where it is within 64 kB.
        let scale = if echoed.narrow { Scale::NONE } else { fields.scale };
        let ceiling = echoed.exchange.ceiling(segment.config.ceiling, scale);
        sent_up_to(segment.config, echoed.exchange, schedule, ceiling, offset, seg_size)
    }

    /// The end of the last full segment that has been sent then: the client's window had room for it. In slow start a
    /// window of many segments is filled by pairs, so that what it leaves out is pairs ([`Self::may_be_unsent`]).
    fn boundary(&self, schedule: WindowSchedule, offset: u32) -> u32 {
        let Self { acked, window_end, seg_size, len, .. } = *self;
        let (wanted, pair) = (self.sent_up_to(schedule, offset), 2 * seg_size);
        let is_filled = wanted.min(len) >= window_end && window_end - acked >= 4 * pair;
        let is_by_pairs = is_filled && schedule.level.is_slow_start();
        last_boundary(wanted, if is_by_pairs { window_end / pair * pair } else { window_end }, seg_size, len)
    }

    /// Bytes in flight when the client had acknowledged `offset`, by the stamp that it echoes.
    fn in_flight_from(&self, offset: u32) -> u32 {
        self.sent_up_to(self.schedule(offset, self.echoed.level), offset) - offset
    }
}

/// Up to where segments have been sent when a client has acknowledged everything up to `offset`.
fn sent_up_to(
    config: &Config,
    exchange: Exchange,
    schedule: WindowSchedule,
    ceiling: u16,
    offset: u32,
    seg_size: u32,
) -> u32 {
    // Two at a time, as clients acknowledge them: one of its own would wait for its ACK (RFC 9293, section 3.8.6.3).
    let done = (offset / seg_size) & !1;
    // A later response begins in the first or the second.
    let acked = done.saturating_sub(matches!(exchange, Exchange::Later(..)).into());
    let segments = schedule.level_at(offset).segments(acked, config.first_window, ceiling);
    (done.saturating_add(segments) & !1).saturating_mul(seg_size)
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
