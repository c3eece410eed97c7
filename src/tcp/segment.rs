//! A received segment: what it says, and the segments that answer it directly.

use core::cell::Cell;

use super::ranges::SackRanges;
use super::{date, reach};
use crate::app::{App, Request, Room};
use crate::config::{Config, LargeReplies, Refuse};
use crate::cookie::{CookieFields, EPOCHS, Flow, FlowKeys, Mss, Scale, SegmentClass};
use crate::http::{RequestLine, Response};
use crate::packet::{Packet, ReplyPath};
use crate::position::Position;
use crate::reply::{Payload, Quote, Reply, Train, TxPayload, TxSegment};
use crate::stamp::{Exchange, Kept, KeptSize, SentSegment, Stamp};
use crate::time::Instant;
use crate::verdict::{Absorbed, DropReason, ReplyKind};
use crate::wire::ip::{AddressPair, Pair};
use crate::wire::seq::SeqNumber;
use crate::wire::tcp::{
    Flags, HEADER_LEN, Header, OPTIONS_MAX, SackBlocks, SynOptions, TIMESTAMPS_LEN, Timestamps, Words,
};
use crate::wire::{ipv6, put};

/// The smallest packet that every IPv6 link carries whole (RFC 8200, section 5).
pub(crate) const IPV6_MTU_MIN: usize = 1280;

/// The most bytes that one probe can tell of.
pub(super) const PROBED_MAX: u32 = 3 * (1 << 14) - 1;

/// Segments of this size that a probe can tell of when they are in flight, without the one behind a clock.
pub(super) fn probed_segments(seg_size: u32) -> u32 {
    (PROBED_MAX / seg_size.max(1)).saturating_sub(1).max(1)
}

/// The longest segment to a client without timestamps: a probe can tell of twelve.
const NO_TIMESTAMPS_MAX: usize = PROBED_MAX as usize / 12;

/// To a client with a smaller MSS windows are not scaled: there is no room for it in the timestamps of a connection
/// that stays open, and the smaller its segments the more forged packets fit.
const SCALED_MSS_MIN: u16 = 1220;

/// Sizes of segments that are tried where windows are scaled. Of a hundred hardly one does not do.
const SCALED_SIZES: u32 = 8;

/// The MSS of the smallest packet that every host takes (RFC 1122, section 3.3.2).
const IPV4_PATH_MSS: usize = 536;

/// The MSS of the smallest packet that every link carries (RFC 8200, section 5).
const IPV6_PATH_MSS: usize = 1220;

const FIN_ACK: Flags = Flags::FIN.with(Flags::ACK);

/// How a request begins whose response may go in several segments on a connection that stays open. The segments that
/// its response begins with acknowledge this much of it, and if it comes again, it comes without.
pub(super) const GET: &[u8] = b"GET ";

/// Whether this can only be a request without its method: a method has neither a slash in it nor a colon (RFC 9110,
/// sections 5.6.2 and 9.1).
pub(super) fn begins_as_a_target(payload: &[u8]) -> bool {
    payload.starts_with(b"/") || payload.starts_with(b"http:") || payload.starts_with(b"https:")
}

/// Bytes of a segment that tell which one it was (RFC 792; RFC 1122, section 3.2.2).
const QUOTED: usize = 8;

/// A segment that arrived, and all that is known about it. It is handed on by reference: a copy would be read in other
/// pieces than it was written in (fast: read and written at once).
#[derive(Clone, Copy)]
pub(super) struct Segment<'a, P> {
    pub(super) config: &'a Config,
    /// The keys of its connection, by the secret that it began under.
    pub(super) keys: FlowKeys,
    pub(super) now: Instant,
    /// What came, of which this may be a part.
    pub(super) packet: &'a Packet<'a, P>,
    pub(super) header: Header,
    pub(super) payload: &'a [u8],
}

/// What a client has received from us, by the timestamp that it echoes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Seen {
    /// The SYN+ACK and nothing since.
    Handshake,
    /// All of the response.
    Response,
    /// A segment of the response.
    Part,
    /// All of a response after which the connection stays open.
    Kept,
    /// Nothing: the timestamp was not made here.
    Forged,
    /// It does not use timestamps, so this is unknown.
    Unknown,
}

impl<P: Pair> Flow<P> {
    /// The connection of a segment with this header, whose answer takes this path.
    #[inline]
    pub(super) fn of(path: &ReplyPath<P>, header: &Header) -> Self {
        Self {
            addresses: path.addresses.reversed(),
            client_port: header.source_port(),
            server_port: header.destination_port(),
        }
    }
}

impl<'a, P: Pair> Segment<'a, P> {
    /// A segment of a connection that began under the current secret, as far as is known yet.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "fast: inline")]
    pub(super) fn new(
        config: &'a Config,
        now: Instant,
        packet: &'a Packet<'a, P>,
        header: Header,
        payload: &'a [u8],
    ) -> Self {
        // All else is stored first, so that the hash has the registers for itself (fast: hashed last).
        let mut segment = Self { config, keys: FlowKeys::UNKNOWN, now, packet, header, payload };
        segment.keys = config.secret.flow_keys(&Flow::of(&packet.reply_path, &header));
        segment
    }

    /// The address of the client and ours, as they stand in an answer.
    #[inline]
    pub(super) fn addresses(&self) -> AddressPair {
        self.packet.reply_path.addresses.into()
    }

    #[inline]
    pub(super) fn is_fin(&self) -> bool {
        self.header.flags().has(Flags::FIN)
    }

    #[inline]
    pub(super) fn has_timestamps(&self) -> bool {
        self.header.timestamps.is_some()
    }

    /// The sequence number behind the segment, where SYN and FIN count as a byte each.
    #[inline]
    pub(super) fn end(&self) -> SeqNumber {
        let flags = self.header.flags();
        let flags = u32::from(flags.has(Flags::SYN)) + u32::from(flags.has(Flags::FIN));
        self.header.seq().advance(self.payload.len() as u32 + flags)
    }

    /// The fields of `cookie`, if it is the one that we sent in answer to the SYN before this segment.
    #[inline]
    pub(super) fn verify(&self, cookie: SeqNumber, proof: Option<u32>, live: u8, epochs: u32) -> Option<CookieFields> {
        self.keys.verify(self.now, [self.header.seq(), cookie], self.has_timestamps(), proof, live, epochs)
    }

    /// The fields of the cookie that a client acknowledges which has received nothing but our SYN+ACK, or segments
    /// behind a gap.
    ///
    /// Linux sends what is lost, or what its window has room for, while it reads an acknowledgement, and before it
    /// reads the data behind that: with the timestamp of that segment, and the old acknowledgement. If the timestamp is
    /// that of a response, this is a later part of the request, or of a later request.
    #[inline]
    pub(super) fn verify_start<A: App>(&self, app: &A) -> Option<CookieFields> {
        let proof = match self.stamp() {
            Some(Stamp::Handshake { proof, .. }) => Some(proof),
            Some(Stamp::Part { .. }) if self.may_begin_again() => None,
            None if !self.has_timestamps() => None,
            _ => return None,
        };
        self.verify(self.header.ack().rewind(1), proof, app.generations().live, EPOCHS)
    }

    /// How far the timestamp that the client echoes is from the base.
    #[inline]
    fn echo_from_base(&self) -> Option<u32> {
        Some(self.header.timestamps?.echo().wrapping_sub(self.keys.timestamp_base))
    }

    /// The stamp in the timestamp that the client echoes, if it is one of ours.
    #[inline]
    pub(super) fn stamp(&self) -> Option<Stamp> {
        Stamp::parse(self.echo_from_base()?)
    }

    /// The segment of a stored response whose timestamp the client echoes.
    #[inline]
    pub(super) fn echoed_segment(&self) -> Option<SentSegment> {
        let value = self.echo_from_base().filter(|&value| Stamp::may_be_stored(value))?;
        match Stamp::parse(value) {
            Some(Stamp::Stored(sent)) => {
                Some(sent).filter(|sent| sent.exchange == Exchange::Only || self.config.keep_alive)
            }
            _ => None,
        }
    }

    /// What the end of the last response said, if this client has received all of it, its connection stayed open, and
    /// its next request begins at `seq`.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "fast: inline")]
    fn kept_before(&self, seq: SeqNumber) -> Option<Kept> {
        let value = self.echo_from_base()?;
        if !Stamp::is_kept(value) || !self.config.keep_alive {
            return None;
        }
        let kept = Kept::of(value);
        (self.kept_proof(seq, self.header.ack(), kept) == kept.proof).then_some(kept)
    }

    /// What the end of the last response said, if that was of one segment, and this is the next request: by far the
    /// most common one.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "fast: inline")]
    pub(super) fn next_of_kept(&self) -> Option<Kept> {
        self.kept_before(self.header.seq()).filter(|kept| matches!(kept.size, KeptSize::Mss(_)))
    }

    /// What the end of the last response said, if this client has received all of it, its connection stayed open, and
    /// its next request begins at `seq`: for what is rarer than the next request.
    #[cold]
    #[inline(never)]
    pub(super) fn verify_kept(&self, seq: SeqNumber) -> Option<Kept> {
        self.kept_before(seq)
    }

    /// What the end of a response says whose connection stays open: its client's next sequence number, and ours.
    #[inline]
    pub(super) fn kept(&self, ends: [SeqNumber; 2], generation: u8, size: KeptSize, scale: Scale) -> Stamp {
        let [client_next, own_next] = ends;
        let kept = Kept { proof: 0, generation, size, scale: scale.kept() };
        Stamp::Kept(Kept { proof: self.kept_proof(client_next, own_next, kept), ..kept })
    }

    #[inline]
    fn kept_proof(&self, client_next: SeqNumber, own_next: SeqNumber, kept: Kept) -> u32 {
        let claims = kept.scale.kept_index() << 6 | (kept.generation & 3) << 4 | kept.size.index();
        self.keys.kept_proof(client_next, own_next, claims)
    }

    /// The MSS of a client whose connection was kept open.
    pub(super) fn kept_mss(&self, kept: Kept) -> Mss {
        match kept.size {
            KeptSize::Mss(mss) => mss,
            KeptSize::Long(class) => Mss::at_most(class.mss(self.headers_len())),
        }
    }

    /// The class of the segments of stored responses to a client with this MSS, where its connection is kept open.
    pub(super) fn segment_class(&self, mss: Mss) -> Option<SegmentClass> {
        SegmentClass::at_most(self.own_mss().min(mss.bytes().into()), self.headers_len())
    }

    /// Bytes of payload in a full segment of this class: an odd number.
    pub(super) fn class_seg_size(&self, class: SegmentClass) -> u32 {
        u32::from(class.mss(self.headers_len())) - TIMESTAMPS_LEN as u32 - 1
    }

    /// Where the request ends that comes again in this segment, in the middle of its response, without its beginning:
    /// that was acknowledged by the segments with the beginning of the response, and all but the last byte by others.
    pub(super) fn repeated_request_end(&self) -> Option<SeqNumber> {
        let len = match self.payload {
            // Not what is left of any request that was cut there: most is cut behind the target and before a field.
            [b'\n', next @ ..] if !RequestLine::is_field(next) => 1,
            payload if begins_as_a_target(payload) && RequestLine::is_get_without_method(payload) => {
                payload.windows(4).position(|end| end == b"\r\n\r\n")? as u32 + 4
            }
            _ => return None,
        };
        Some(self.header.seq().advance(len))
    }

    /// The rest of a segment from this sequence number on, which is not beyond its end.
    pub(super) fn from(&self, seq: SeqNumber) -> Option<Self> {
        let skipped = seq.distance_from(self.header.seq()) as usize;
        let payload = self.payload.get(skipped..)?;
        Some(Self { payload, header: self.header.with_seq(seq), ..*self })
    }

    /// The segment without what is behind the longest request that is read on a connection that stays open.
    pub(super) fn up_to_request_max(&self) -> Self {
        match self.payload.split_at_checked(self.request_max()) {
            Some((payload, behind)) if !behind.is_empty() => {
                Self { payload, header: self.header.without_flags(Flags::FIN), ..*self }
            }
            _ => *self,
        }
    }

    /// A request that comes again without its method, which was acknowledged, as it was; and the rest of `scratch`.
    /// `None` if this is none.
    pub(super) fn with_method<'r, 's: 'r>(&self, scratch: &'s mut [u8]) -> Option<(Segment<'r, P>, &'s mut [u8])>
    where
        'a: 'r,
    {
        if !begins_as_a_target(self.payload) {
            return None;
        }
        let (whole, scratch) = scratch.split_at_mut_checked(GET.len() + self.payload.len())?;
        put(put(whole, GET)?, self.payload)?;
        let header = self.header.with_seq(self.header.seq().rewind(GET.len() as u32));
        Some((Segment { payload: whole, header, ..*self }, scratch))
    }

    /// Answers a segment that asks whether the connection is still there: one byte, or none, that the client has sent
    /// already, on a connection that was kept open (RFC 9293, section 3.8.4). `None` if it is none.
    #[cold]
    pub(super) fn answer_keep_alive_probe<'r>(&self) -> Option<Reply<'r>> {
        if self.payload.len() > 1 || self.is_fin() {
            return None;
        }
        let end = self.header.seq().advance(1);
        let kept = self.verify_kept(end)?;
        if self.payload.is_empty() && self.is_ack_of_fin(kept) {
            return None;
        }
        Some(self.acknowledge_up_to(end, ReplyKind::KeepAlive))
    }

    /// Where a request ends whose response has arrived and of which the rest comes again, and what the end of the
    /// response said.
    pub(super) fn answered_again(&self) -> Option<(SeqNumber, Kept)> {
        let end = self.repeated_request_end()?;
        Some((end, self.verify_kept(end)?))
    }

    /// Whether this is the ACK of our FIN by a client that has closed its end: that is more likely than a keep-alive
    /// probe, and one in four million fits the byte behind it by chance.
    #[cold]
    #[inline(never)]
    fn is_ack_of_fin(&self, kept: Kept) -> bool {
        let (seq, ack) = (self.header.seq(), self.header.ack());
        self.kept_proof(seq.rewind(1), ack.rewind(1), kept) == kept.proof
    }

    /// Answers the acknowledgement of all of a long response, if the last byte of its request may have to be
    /// acknowledged yet.
    #[cold]
    pub(super) fn answer_end<'r>(&self) -> Option<Reply<'r>> {
        match self.stamp() {
            Some(Stamp::Kept(Kept { size: KeptSize::Long(_), .. })) => {
                self.verify_kept(self.header.seq())?;
                Some(self.acknowledge_up_to(self.header.seq(), ReplyKind::Settled))
            }
            _ => None,
        }
    }

    /// Acknowledges everything before `end`, with the timestamp that the client echoes.
    #[cold]
    #[inline(never)]
    pub(super) fn acknowledge_up_to<'r>(&self, end: SeqNumber, kind: ReplyKind) -> Reply<'r> {
        let header = self.header_back(Flags::ACK, self.header.ack(), self.echoed_timestamps());
        self.reply(kind, header.with_ack(end).words())
    }

    /// Acknowledges all of the request, which ends at `end`, to a client that has acknowledged all of the response, and
    /// the FIN behind the request if this is one. It has the timestamp of the last segment, and none newer: the next
    /// request may be under way, and its response would be older than that.
    #[cold]
    #[inline(never)]
    pub(super) fn settle<'r, A: App>(
        &self,
        end: SeqNumber,
        (class, scale): (SegmentClass, Scale),
        app: &A,
    ) -> Reply<'r> {
        let own_next = self.header.ack();
        let has_fin = self.is_fin() && self.end() == end.advance(1);
        let (flags, ack) = if has_fin { (FIN_ACK, end.advance(1)) } else { (Flags::ACK, end) };
        let stamp = self.kept([end, own_next], app.generations().current, KeptSize::Long(class), scale);
        let header = self.header_back(flags, own_next, self.following_timestamps(stamp)).with_ack(ack);
        self.reply(if has_fin { ReplyKind::FinAck } else { ReplyKind::Settled }, header.words())
    }

    #[inline]
    pub(super) fn seen(&self) -> Seen {
        if !self.has_timestamps() {
            return Seen::Unknown;
        }
        match self.stamp() {
            Some(Stamp::Handshake { .. }) => Seen::Handshake,
            Some(Stamp::Whole | Stamp::Done) => Seen::Response,
            Some(Stamp::Part { .. }) => Seen::Part,
            Some(Stamp::LaterPart(_)) if self.config.keep_alive => Seen::Part,
            Some(Stamp::Kept(_)) => Seen::Kept,
            Some(Stamp::LaterPart(_) | Stamp::Stored(_)) | None => Seen::Forged,
        }
    }

    /// Whether it can be the start of a request that comes again, whose client has a part of the response.
    pub(super) fn may_begin_again(&self) -> bool {
        match self.stamp() {
            Some(Stamp::Part { proof }) => proof == self.keys.request_proof(self.header.seq()),
            Some(Stamp::LaterPart(_)) => self.config.keep_alive,
            _ => !self.has_timestamps(),
        }
    }

    /// Whether stored responses go by the ACK clock of their clients.
    pub(super) fn is_ack_clocked(&self) -> bool {
        self.config.large_replies == LargeReplies::Clocked
    }

    /// The options, as they stand in the segment.
    pub(super) fn options(&self) -> &'a [u8] {
        self.packet.payload.get(HEADER_LEN..self.header.header_len()).unwrap_or_default()
    }

    /// What a client at `acked` has received beyond that. `None` if it reports a duplicate (RFC 2883, section 4), or
    /// something that it cannot have.
    pub(super) fn sacked(&self, start: SeqNumber, acked: u32, len: u32) -> Option<SackRanges> {
        let options = self.options();
        if options.len() <= TIMESTAMPS_LEN && self.has_timestamps() {
            return Some(SackRanges::NONE);
        }
        // The first one inside the second: a duplicate as well.
        let parsed = SackBlocks::parse(options);
        if let [(from, to), (second_from, second_to), ..] = *parsed.as_slice()
            && !from.before(second_from)
            && !to.after(second_to)
        {
            return None;
        }
        SackRanges::read(parsed.as_slice(), start, acked, len)
    }

    /// The response of the application to the request of this line, with a `Date` where it can have one. Empty if there
    /// is none to what has come of the request.
    #[inline]
    pub(super) fn ask<'r, A: App>(
        &self,
        line: &RequestLine<'_>,
        generation: u8,
        room: Room,
        app: &'r A,
        scratch: &'r mut [u8],
    ) -> Response<'r> {
        let uses_headers = Cell::new(false);
        let client = (self.addresses().destination(), self.header.destination_port());
        let request = Request::in_packet(line, client, generation, room, &uses_headers);
        if self.config.date {
            return self.ask_for_dated(&request, &uses_headers, room.one_packet, app, scratch);
        }
        request.answer_noted(&uses_headers, app, scratch)
    }

    /// Asks for a response that is to have a `Date`, where it can (fast: apart).
    #[cold]
    #[inline(never)]
    fn ask_for_dated<'r, A: App>(
        &self,
        request: &Request<'_>,
        uses_headers: &Cell<bool>,
        one_packet: usize,
        app: &'r A,
        scratch: &'r mut [u8],
    ) -> Response<'r> {
        let (dated, scratch) = self.date_room(scratch);
        let mut response = request.answer_noted(uses_headers, app, scratch);
        self.add_date(&mut response, one_packet, dated);
        response
    }

    /// Room for a head with a `Date`, and the rest of the scratch buffer.
    #[inline]
    pub(super) fn date_room<'r>(&self, scratch: &'r mut [u8]) -> (&'r mut [u8], &'r mut [u8]) {
        if !self.config.date {
            return (&mut [], scratch);
        }
        scratch.split_at_mut_checked(date::ROOM).unwrap_or_default()
    }

    /// Gives a response a `Date`, where it is to have one and can.
    #[inline]
    pub(super) fn add_date<'r>(&self, response: &mut Response<'r>, one_packet: usize, room: &'r mut [u8]) {
        if self.config.date {
            date::add(response, self.now, one_packet, room);
        }
    }

    /// The MSS of a client that announces none (RFC 9293, section 3.7.1).
    pub(super) fn default_mss(&self) -> u16 {
        match self.addresses() {
            AddressPair::V4 { .. } => 536,
            AddressPair::V6 { .. } => 1220,
        }
    }

    /// The MSS of a client that announces this one in its SYN, whose window has room for two such segments. With less,
    /// a response in segments waits for a window that never opens. Without timestamps a response of one packet is much
    /// faster, so there a window that has room for one will do.
    #[inline]
    pub(super) fn at_most_half_window(self, announced: u16) -> u16 {
        let window = self.header.window();
        let is_small = window / 2 < announced && (self.has_timestamps() || window <= announced);
        if is_small && window > 0 { window / 2 } else { announced }
    }

    /// The largest segment that we take, and could send.
    #[inline]
    pub(super) fn own_mss(&self) -> usize {
        usize::from(self.config.mtu.bytes()) - self.headers_len()
    }

    /// The longest request that is read on a connection that stays open: a full segment has room for it, whatever its
    /// options. Of a longer one, so much is read, however it comes: a device on our side may merge its segments, and
    /// with SACK blocks its first segment is shorter.
    pub(super) fn request_max(&self) -> usize {
        self.own_mss() - OPTIONS_MAX
    }

    /// Bytes of IP and TCP header without options.
    #[inline]
    pub(super) fn headers_len(&self) -> usize {
        self.addresses().header_len() + HEADER_LEN
    }

    /// Two segments, and never scaled (RFC 7323, section 2.2). One request in one segment is all that is read, but
    /// Linux halves its segments when the window does not hold two (`tcp_bound_to_half_wnd`).
    #[inline]
    pub(super) fn window(&self) -> u16 {
        (2 * self.own_mss()).min(usize::from(u16::MAX)) as u16
    }

    /// Whether the client could not have put another byte into this segment, as far as its MSS is known: that of a
    /// cookie is rounded down.
    pub(super) fn is_full(&self, mss: Mss) -> bool {
        self.options().len() + self.payload.len() >= self.own_mss().min(usize::from(mss.bytes()))
    }

    /// The largest IP packet for a client with this MSS, however far it is (RFC 1122, section 3.3.3).
    #[inline]
    pub(super) fn packet_limit(&self, mss: Mss) -> usize {
        let limit = usize::from(mss.bytes()) + self.headers_len();
        match self.addresses() {
            AddressPair::V4 { .. } => limit,
            AddressPair::V6 { .. } => limit.max(IPV6_MTU_MIN),
        }
    }

    /// Bytes of payload in a full segment for a client with this MSS.
    #[inline]
    pub(super) fn seg_size(&self, mss: Mss) -> u32 {
        let options = if self.has_timestamps() { TIMESTAMPS_LEN } else { 0 };
        // The path MTU of a client without timestamps cannot be discovered: an ICMP error about one of its segments
        // does not identify it.
        let most = match (self.addresses(), self.header.timestamps) {
            (AddressPair::V6 { .. }, None) => IPV6_PATH_MSS,
            (AddressPair::V4 { .. }, None) => NO_TIMESTAMPS_MAX,
            _ => usize::MAX,
        };
        let most = (self.own_mss().min(mss.bytes().into()).min(most) - options) as u32;
        // Without timestamps a multiple of eight, so that a probe has three bits to spare; but not of sixteen, or the
        // low bits of an acknowledgement would tell less of where a client is.
        if self.has_timestamps() { most & !3 } else { (most.saturating_sub(8) & !15) + 8 }
    }

    /// Bytes of payload in a full segment of a stored response of `len` bytes, each of which must have a position of
    /// its own. `None` where the segments of this client are too small for that.
    ///
    /// Where windows are scaled it is odd, so that the low 16 bits of an acknowledgement tell how many segments it is
    /// ahead; and such that the end of the response is not taken for the end of a segment.
    pub(super) fn stored_seg_size(&self, fields: CookieFields, len: u32) -> Option<u32> {
        let seg_size = self.seg_size(fields.mss);
        if fields.scale.is_scaled() {
            // To others no scale has been offered.
            if fields.mss.bytes() < SCALED_MSS_MIN {
                return None;
            }
            let sizes = (0..SCALED_SIZES).map(|less| seg_size.saturating_sub(1 + 2 * less));
            return sizes.into_iter().find(|&seg_size| reach::is_clear(seg_size, len));
        }
        Some(seg_size).filter(|&seg_size| seg_size as usize >= Position::UNIT)
    }

    /// A segment of a stored response to this client is never as short, unless it is the last.
    #[inline]
    pub(super) fn below_stored_seg_size(&self, fields: CookieFields) -> u32 {
        let less = if fields.scale.is_scaled() { 2 * SCALED_SIZES } else { 1 };
        self.seg_size(fields.mss).saturating_sub(less)
    }

    /// The client's window in bytes.
    #[inline]
    pub(super) fn client_window(&self, scale: Scale) -> u32 {
        scale.bytes(self.header.window())
    }

    /// How the windows of a client are scaled that offers this in its SYN. Only those are that use timestamps, whose
    /// echo tells where they are, and that take segments which a timestamp can tell apart on a connection that was kept
    /// open.
    #[inline]
    pub(super) fn scale(&self, mss: Mss, options: SynOptions) -> Scale {
        // What our own link carries counts as well: segments of less than a unit have no position of their own.
        let is_long = mss.bytes() >= SCALED_MSS_MIN && self.own_mss() >= SCALED_MSS_MIN.into();
        let is_wanted = self.config.ceiling > Exchange::UNSCALED && self.has_timestamps() && is_long;
        Scale::offered(options.window_scale.filter(|_| is_wanted))
    }

    /// Bytes of payload in a packet that every path carries: there is never reason for less (RFC 8201, section 4).
    pub(super) fn narrow_piece(&self) -> u32 {
        let smallest = match self.addresses() {
            AddressPair::V4 { .. } => IPV4_PATH_MSS,
            AddressPair::V6 { .. } => IPV6_PATH_MSS,
        };
        (smallest - TIMESTAMPS_LEN) as u32
    }

    /// Bytes of a first window. Without timestamps it is one that a probe can tell of.
    pub(super) fn first_window(&self, seg_size: u32) -> u32 {
        let segments = u32::from(self.config.first_window);
        let segments = if self.has_timestamps() { segments } else { segments.min(probed_segments(seg_size)) };
        segments.saturating_mul(seg_size)
    }

    /// Tells the fragments of this connection's responses from those of others. It is as hard to guess
    /// as the cookie.
    pub(super) fn identification(&self) -> u32 {
        self.header.ack().value() ^ self.header.seq().value().rotate_left(16)
    }

    /// The header of a segment that answers and acknowledges this one.
    #[inline]
    pub(super) fn header_back(&self, flags: Flags, seq: SeqNumber, timestamps: Option<Timestamps>) -> Header {
        let ports = [self.header.destination_port(), self.header.source_port()];
        Header::new(ports, seq, self.end(), flags, self.window(), timestamps)
    }

    /// Timestamps of a segment behind the handshake that says this behind what the client echoes, if the client uses
    /// them (RFC 7323, section 3.2). It has no other options: MSS and SACK-permitted stand on SYNs only (RFC 9293,
    /// section 3.2; RFC 2018, section 2).
    #[inline]
    pub(super) fn following_timestamps(&self, stamp: Stamp) -> Option<Timestamps> {
        self.timestamps_at(stamp.following(self.echoed_value()))
    }

    /// How far the timestamp that it echoes is from the base.
    #[inline]
    pub(super) fn echoed_value(&self) -> u32 {
        let echoed = self.header.timestamps.map_or(0, Timestamps::echo);
        echoed.wrapping_sub(self.keys.timestamp_base)
    }

    /// Our stamp, and the client's own timestamp, of which it takes its RTT (RFC 7323, section 4.1).
    #[inline]
    pub(super) fn timestamps(&self, stamp: Stamp) -> Option<Timestamps> {
        self.timestamps_at(stamp.value())
    }

    /// The timestamp that is so far from the base, and the client's own.
    #[inline]
    fn timestamps_at(&self, value: u32) -> Option<Timestamps> {
        Some(self.header.timestamps?.answered_with(self.keys.timestamp_base.wrapping_add(value)))
    }

    /// A segment without payload.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "fast: inline")]
    pub(super) fn reply<'r>(&self, kind: ReplyKind, header: Words) -> Reply<'r> {
        Reply::segment(kind, TxSegment::new(self.config, &self.packet.reply_path, header, TxPayload::NONE))
    }

    /// Acknowledges all that the segment holds.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "fast: inline")]
    pub(super) fn acknowledge<'r>(&self, kind: ReplyKind, flags: Flags) -> Reply<'r> {
        self.reply(kind, self.header_back(flags, self.header.ack(), self.echoed_timestamps()).words())
    }

    /// Answers a FIN behind a request, with payload or without, of a client that has [`seen`](Self::seen) so much.
    #[inline]
    pub(super) fn answer_fin_behind_request<'r>(&self, seen: Seen) -> Reply<'r> {
        match seen {
            Seen::Forged => self.refuse(DropReason::TcpFinForged),
            // The request came before the FIN and was lost, or its response was, or the end of that. The client will
            // repeat what is not acknowledged (RFC 9293, section 3.6).
            Seen::Handshake | Seen::Kept | Seen::Part => DropReason::TcpFinEarly.into(),
            Seen::Response | Seen::Unknown => self.acknowledge(ReplyKind::FinAck, Flags::ACK),
        }
    }

    /// The timestamp that the client echoes: at least the newest that it has seen, or it would drop the segment as an
    /// old duplicate (RFC 7323, section 5.3).
    #[inline]
    fn echoed_timestamps(&self) -> Option<Timestamps> {
        self.header.timestamps.map(Timestamps::reversed)
    }

    /// A segment that is not wanted here: silence, or RST (RFC 9293, section 3.5.2), which has no options (RFC 7323,
    /// section 3.2).
    #[cold]
    pub(super) fn refuse<'r>(&self, reason: DropReason) -> Reply<'r> {
        const RST_ACK: Flags = Flags::RST.with(Flags::ACK);
        if self.config.refuse == Refuse::Drop || self.header.flags().has(Flags::RST) {
            return reason.into();
        }
        let header = if self.header.flags().has(Flags::ACK) {
            self.header_back(Flags::RST, self.header.ack(), None).with_ack(SeqNumber::default())
        } else {
            self.header_back(RST_ACK, SeqNumber::default(), None)
        };
        self.reply(ReplyKind::Reset, header.with_window(0).words())
    }

    /// Segments of a response whose offset 0 is at `start`: none yet, until its ranges are set.
    pub(super) fn train<'r>(
        &self,
        payload: Payload<'r>,
        start: SeqNumber,
        seg_size: u32,
        ack: SeqNumber,
        window: u16,
    ) -> Train<'r> {
        let header = self.header_back(Flags::ACK, start, self.timestamps_at(0)).with_ack(ack).with_window(window);
        Train::new(self.config, self.packet.reply_path.either(), header, payload, seg_size)
    }

    /// A reply with these segments; and where they answer an RTO, with word to the client that it need not back off.
    pub(super) fn send<'r>(&self, kind: ReplyKind, mut train: Train<'r>) -> Reply<'r> {
        if train.is_empty() {
            return Absorbed::Progress.into();
        }
        if kind == ReplyKind::Resumed
            && let Some(quote) = Quote::new(self.quoted())
        {
            (train.quote, train.quotes) = (quote, [true; 2]);
        }
        Reply::train(kind, train)
    }

    /// What an ICMP error quotes of this packet: up to the ports and the sequence number (RFC 6069,
    /// section 4.2).
    fn quoted(&self) -> &'a [u8] {
        let Packet { datagram, payload, .. } = *self.packet;
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
}

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;

    use super::*;
    use crate::cookie::Secret;
    use crate::port::Checked;
    use crate::wire::ethernet::MacAddress;
    use crate::wire::ip::V4Pair;

    /// The client's next sequence number, and ours, when the connection was kept open.
    const CLIENT: SeqNumber = SeqNumber::new(1000);
    const OWN: u32 = 7_000_000;

    const PACKET: Packet<'_, V4Pair> = Packet {
        datagram: &[],
        reply_path: ReplyPath {
            next_hop_mac: MacAddress::new([2, 0, 0, 0, 0, 1]),
            tag: None,
            addresses: V4Pair::new(Ipv4Addr::new(10, 9, 0, 2), Ipv4Addr::new(10, 9, 0, 1)),
        },
        checksum: Checked::Good,
        payload: &[],
    };

    /// An ACK that echoes the stamp of the response that ended at `own_next`: so many bytes behind that, and behind the
    /// last request of its client.
    fn ack(config: &Config, own_next: SeqNumber, [sent, read]: [u32; 2]) -> Segment<'_, V4Pair> {
        let size = KeptSize::Mss(Mss::at_most(1460));
        let header = |echo| {
            let timestamps = Some(Timestamps::new(1, echo));
            Header::new([40_000, 80], CLIENT.advance(sent), own_next.advance(read), Flags::ACK, 1000, timestamps)
        };
        let segment = Segment::new(config, Instant::from_unix_seconds(1_700_000_000), &PACKET, header(0), &[]);
        let stamp = segment.kept([CLIENT, own_next], 0, size, Scale::NONE);
        Segment { header: header(segment.keys.timestamp_base.wrapping_add(stamp.value())), ..segment }
    }

    #[test]
    fn an_ack_is_no_keep_alive_probe() {
        let config = Config { keep_alive: true, ..Config::new(Secret::new([3; 16])) };
        // Bytes behind the request and the response: an ACK of the response; behind the client's FIN; of our FIN.
        for ends in [[0, 0], [1, 0], [1, 1]] {
            let plain = ack(&config, SeqNumber::new(OWN), ends);
            assert!(plain.answer_keep_alive_probe().is_none(), "{ends:?}");
        }
        // A probe fits nothing but the byte behind it.
        let probe = ack(&config, SeqNumber::new(OWN), [u32::MAX, 0]);
        assert!(probe.answer_keep_alive_probe().is_some());
    }

    #[test]
    fn an_ack_of_our_fin_that_fits_the_byte_behind_it_by_chance_is_no_keep_alive_probe() {
        let config = Config { keep_alive: true, ..Config::new(Secret::new([3; 16])) };
        let plain = ack(&config, SeqNumber::new(OWN), [1, 1]);
        let by_chance = (0..1 << 26).map(|more| SeqNumber::new(OWN).advance(more)).find(|&own_next| {
            let size = KeptSize::Mss(Mss::at_most(1460));
            let kept = Kept { proof: 0, generation: 0, size, scale: Scale::NONE };
            plain.kept_proof(CLIENT, own_next, kept) == plain.kept_proof(CLIENT.advance(2), own_next.advance(1), kept)
        });
        let fitting = ack(&config, by_chance.expect("one of four million fits"), [1, 1]);
        assert!(fitting.verify_kept(fitting.header.seq().advance(1)).is_some());
        assert!(fitting.answer_keep_alive_probe().is_none());
    }

    #[test]
    fn no_request_begins_behind_the_first_byte_of_another() {
        let config = Config { keep_alive: true, ..Config::new(Secret::new([3; 16])) };
        let is_kept = |sent| ack(&config, SeqNumber::new(OWN), [sent, 0]).next_of_kept().is_some();
        assert!(is_kept(0));
        assert!((1..1 << 16).all(|sent| !is_kept(sent)));
    }
}
