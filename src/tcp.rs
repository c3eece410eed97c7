//! TCP without a connection: what each segment is answered with.
//!
//! | segment                              | answer                                                      |
//! |--------------------------------------|-------------------------------------------------------------|
//! | SYN                                  | SYN+ACK whose sequence number is the cookie                 |
//! | ACK with payload, cookie right       | the response: ACK+PSH+FIN, or its first window              |
//! | the same, part of the response there | the response from there on                                  |
//! | ACK with payload, cookie wrong       | nothing; ACK if the client has its response already         |
//! | FIN+ACK of a client with no request  | FIN+ACK                                                     |
//! | FIN+ACK of a client with its response| ACK                                                         |
//! | FIN+ACK of a client that waits       | nothing: an ACK would acknowledge a lost request too        |
//! | ACK in the middle of a response      | the segments that the window has moved over                 |
//! | ACK                                  | nothing: the end of a handshake, or of a response           |
//! | RST                                  | nothing, ever                                               |
//! | anything else                        | nothing                                                     |
//!
//! Which of the clients it is, is told by what it gives back of ours: the cookie in its acknowledgement,
//! and the timestamp it echoes ([`Stamp`]). Responses that do not fit one segment are in [`transfer`].

mod probe;
mod resume;
mod rotation;
mod transfer;

use core::cell::Cell;

use crate::app::{App, Request};
use crate::config::{Config, LargeReplies, Refuse};
use crate::cookie::{CookieFields, EPOCHS, Flow, FlowKeys, Mss};
use crate::http::{Problem, RequestLine, Response, Status};
use crate::packet::{Packet, ReplyPath};
use crate::port::Checked;
use crate::reply::{Datagram, Reply, TransportHeader, TxSegment};
use crate::stamp::{Place, Stamp};
use crate::time::Instant;
use crate::verdict::{Absorbed, DropReason, ReplyKind, Verdict};
use crate::wire::ip::{AddressPair, Pair, Protocol};
use crate::wire::ipv6;
use crate::wire::seq::SeqNumber;
use crate::wire::tcp::{Flags, HEADER_LEN, Header, Options, TIMESTAMPS_LEN, Timestamps};

/// Payload below this is never a request; nothing that short can be one.
const REQUEST_MIN: usize = 5;

/// The longest response in one segment: with the longest headers it still fits the length field of an IP packet.
const RESPONSE_MAX: usize = u16::MAX as usize - ipv6::HEADER_LEN - HEADER_LEN - TIMESTAMPS_LEN;

/// The smallest packet that every IPv6 link carries whole (RFC 8200, section 5).
pub(crate) const IPV6_MTU_MIN: usize = 1280;

/// How requests begin (RFC 9110, section 9; RFC 5789).
const METHODS: [&[u8]; 9] =
    [b"GET ", b"HEAD ", b"POST ", b"PUT ", b"DELETE ", b"CONNECT ", b"OPTIONS ", b"TRACE ", b"PATCH "];

const SYN: Flags = Flags::SYN;
const ACK: Flags = Flags::ACK;
const RST: Flags = Flags::RST;
const FIN_ACK: Flags = Flags::FIN.with(Flags::ACK);
const RST_ACK: Flags = Flags::RST.with(Flags::ACK);
const SYN_ACK: Flags = Flags::SYN.with(Flags::ACK);
const LAST: Flags = Flags::ACK.with(Flags::PSH).with(Flags::FIN);

/// The flags that tell segments apart. PSH, URG and the ECN bits say nothing that matters here.
const KIND: Flags = Flags::SYN.with(Flags::ACK).with(Flags::FIN).with(Flags::RST);

/// Answers a TCP segment.
#[inline]
pub(crate) fn answer<'a, A: App, P: Pair>(
    config: &'a Config,
    app: &'a A,
    now: Instant,
    packet: Packet<'a, P>,
    scratch: &'a mut [u8],
) -> Reply<'a> {
    // First: what is read before it would have to be kept for as long as it takes.
    if !packet.checksum_is_valid(Protocol::TCP) {
        return DropReason::TcpChecksum.into();
    }
    let (header, payload) = match Header::parse(packet.payload) {
        Ok(parts) => parts,
        Err(malformed) => return DropReason::from(malformed).into(),
    };
    if header.source_port() == 0 {
        return DropReason::TcpSourcePort.into();
    }
    let kind = header.flags().masked(KIND);
    let for_us = header.destination_port() == config.tcp_port;
    // By far the most common, and nothing more has to be known about it.
    let is_plain = kind == ACK && payload.is_empty();
    let has_options = packet.payload.len() - payload.len() > HEADER_LEN;
    if for_us && is_plain && (!has_options || !app.stores()) {
        return Absorbed::Ack.into();
    }
    let mut segment = Segment::new(config, now, packet, header, payload);
    if !for_us {
        return segment.refuse(DropReason::TcpClosedPort);
    }
    if kind != SYN && config.is_rotating() {
        segment = match segment.under_its_secret(app, scratch) {
            Ok(segment) => segment,
            Err(reason) => return reason.into(),
        };
    }
    match kind {
        ACK | FIN_ACK if let Some(place) = segment.place() => segment.answer_placed(place, app).into(),
        ACK if is_plain => segment.answer_ack(app).into(),
        ACK | FIN_ACK if !payload.is_empty() => segment.answer_payload(app, scratch),
        FIN_ACK => segment.answer_fin(app),
        SYN => segment.syn_ack(app),
        RST | RST_ACK => Absorbed::Reset.into(),
        _ => DropReason::TcpFlags.into(),
    }
}

/// Answers a router that could not pass on what `quoted` begins with, because it takes no more than `mtu` bytes.
///
/// A segment of a stored response tells by its timestamp which one it is, as an ACK would that echoes it.
pub(crate) fn answer_too_big<'a, A: App, P: Pair>(
    config: &'a Config,
    app: &'a A,
    now: Instant,
    reply_path: ReplyPath<P>,
    quoted: &'a [u8],
    mtu: u32,
) -> Result<Reply<'a>, Verdict> {
    let (sent, _) = Header::parse(quoted).map_err(|_| DropReason::IcmpQuote)?;
    if !config.addresses.may_have_sent(reply_path.addresses.into()) || sent.source_port() != config.tcp_port {
        return Err(DropReason::IcmpQuote.into());
    }
    // What the client would say that has got everything up to this segment, and its timestamp. The window is ours.
    let options = Options {
        timestamps: sent.options.timestamps.map(|ours| Timestamps { value: ours.echo, echo: ours.value }),
        ..Options::default()
    };
    let ports = [sent.destination_port(), sent.source_port()];
    let header = Header::new(ports, sent.ack(), sent.seq(), ACK, sent.window(), options);
    let packet = Packet { datagram: &[], reply_path, checksum: Checked::Good, payload: &[] };
    let mut segment = Segment::new(config, now, packet, header, &[]);
    if config.is_rotating() {
        segment = segment.under_its_secret(app, &mut []).map_err(|_| DropReason::IcmpQuote)?;
    }
    segment.place().and_then(|place| segment.narrow(place, app, mtu)).ok_or(DropReason::IcmpQuote.into())
}

/// A segment that arrived, and all that is known about it. It is handed on by value: what is asked for nearly always
/// is inlined and then needs no place in memory, and what is asked for seldom gets a copy.
#[derive(Clone, Copy)]
struct Segment<'a, P> {
    config: &'a Config,
    /// What the secret makes of the connection that it began under.
    keys: FlowKeys,
    now: Instant,
    packet: Packet<'a, P>,
    header: Header,
    payload: &'a [u8],
}

/// What a client has got from us, by the timestamp that it echoes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Seen {
    /// The SYN+ACK and nothing since.
    Handshake,
    /// All of the response.
    Response,
    /// A segment of the response.
    Part,
    /// Nothing: that timestamp is none of ours.
    Forged,
    /// It does not use timestamps, and we cannot know.
    Unknown,
}

impl<P: Pair> Flow<P> {
    /// The connection of a segment with this header, whose answer takes this path.
    #[inline]
    fn of(reply_path: ReplyPath<P>, header: Header) -> Self {
        Self {
            addresses: reply_path.addresses.reversed(),
            client_port: header.source_port(),
            server_port: header.destination_port(),
        }
    }
}

impl<'a, P: Pair> Segment<'a, P> {
    /// A segment of a connection that began under the current secret, as far as is known yet.
    #[inline]
    fn new(config: &'a Config, now: Instant, packet: Packet<'a, P>, header: Header, payload: &'a [u8]) -> Self {
        let keys = config.secret.flow_keys(&Flow::of(packet.reply_path, header));
        Self { config, keys, now, packet, header, payload }
    }

    #[inline]
    fn syn_ack<A: App>(self, app: &A) -> Reply<'a> {
        let announced = self.header.options.mss.unwrap_or(self.default_mss());
        let fields = CookieFields { mss: Mss::at_most(announced), generation: app.generations().current };
        let (cookie, proof) = self.keys.cookie(self.now, self.header.seq(), fields);
        let sack = self.header.options.sack_permitted;
        let options = Options {
            mss: Some(self.own_mss() as u16),
            sack_permitted: sack,
            timestamps: self.timestamps(Stamp::Handshake { proof, sack }),
        };
        // Data on a SYN is not acknowledged: the client sends it again with its ACK (RFC 7413, section 4.1.2).
        let header = self.header_back(SYN_ACK, cookie, options).with_ack(self.header.seq().advance(1));
        self.reply(ReplyKind::SynAck, header)
    }

    /// A segment with payload: a request if the cookie is right.
    #[inline]
    fn answer_payload<A: App>(self, app: &'a A, scratch: &'a mut [u8]) -> Reply<'a> {
        if self.payload.len() < REQUEST_MIN && !self.is_fin() {
            // The last bytes of a long request may be as few.
            return match self.seen() {
                Seen::Response => self.answer_later_payload(),
                _ => DropReason::TcpShortPayload.into(),
            };
        }
        match self.verify_start(app) {
            Some(fields) => self.answer_request(fields, app, scratch),
            None => self.answer_request_again(app, scratch),
        }
    }

    #[inline]
    fn answer_request<A: App>(self, fields: CookieFields, app: &'a A, scratch: &'a mut [u8]) -> Reply<'a> {
        let (kind, response) = match RequestLine::parse(self.payload) {
            Ok(line) => {
                // Shorter than a segment of a long response: to a client that has one of those, nothing of it is new,
                // not even its FIN.
                let one_packet = self.segment_len(fields.mss).saturating_sub(1) as usize;
                let Some(response) = self.response(&line, fields.generation, one_packet, app, scratch) else {
                    return DropReason::HttpIncomplete.into();
                };
                (ReplyKind::Response, response)
            }
            // The rest of the line is on its way, or will be sent together with the start.
            Err(Problem::Incomplete) if !self.is_fin() && !self.is_full(fields.mss) => {
                return DropReason::HttpIncomplete.into();
            }
            // Without timestamps, one later segment in a thousand passes for the start of a request.
            Err(_) if !self.is_proven() => return DropReason::HttpMalformed.into(),
            Err(problem) => {
                let response = refusal(problem, self.is_fin(), scratch);
                let is_head = self.payload.trim_ascii_start().starts_with(b"HEAD ");
                (ReplyKind::Refusal, if is_head { response.without_body() } else { response })
            }
        };
        self.respond(kind, fields, response)
    }

    /// The response to the request of this line, which may have `one_packet` bytes where it goes in one packet.
    #[inline]
    fn response<'r, A: App>(
        self,
        line: &RequestLine<'_>,
        generation: u8,
        one_packet: usize,
        app: &'r A,
        scratch: &'r mut [u8],
    ) -> Option<Response<'r>> {
        let uses_headers = Cell::new(false);
        let client = self.addresses().destination();
        Request::in_packet(line, client, generation, one_packet, &uses_headers).answer_noted(
            &uses_headers,
            app,
            scratch,
        )
    }

    /// A segment with payload whose acknowledgement is not the cookie: a request of a client that has
    /// part of its response, or something else.
    #[cold]
    fn answer_request_again<A: App>(self, app: &'a A, scratch: &'a mut [u8]) -> Reply<'a> {
        if matches!(self.seen(), Seen::Part | Seen::Unknown)
            && self.config.large_replies != LargeReplies::Fragments
            && let Ok(line) = RequestLine::parse(self.payload)
            && let Some(reply) = self.resume_request(&line, app, scratch)
        {
            return reply.into();
        }
        self.answer_later_payload()
    }

    /// Sends a response: in one segment where that fits a packet.
    #[inline]
    fn respond(self, kind: ReplyKind, fields: CookieFields, response: Response<'a>) -> Reply<'a> {
        let header = self.header_back(LAST, self.header.ack(), self.plain_options(Stamp::Whole));
        let limit = self.packet_limit(fields.mss).min(self.config.mtu.bytes().into());
        let packet_len = self.addresses().header_len() + header.header_len() + response.len();
        // The FIN takes a byte of the window as well.
        if packet_len > limit || response.len() >= usize::from(self.header.window()) {
            return self.respond_at_length(kind, fields, response, limit);
        }
        let payload = [response.head(), response.body()];
        let identification = self.identification();
        let identification = (identification >> 16 ^ identification) as u16;
        let sum = response.sum();
        let segment = TxSegment { payload, sum, identification, ..TxSegment::new(self.packet.reply_path, header) };
        Reply::segment(kind, segment.build(self.config))
    }

    /// Sends a response that does not fit a packet, or not the client's window.
    #[cold]
    fn respond_at_length(
        self,
        kind: ReplyKind,
        fields: CookieFields,
        response: Response<'a>,
        limit: usize,
    ) -> Reply<'a> {
        let header = self.header_back(LAST, self.header.ack(), self.plain_options(Stamp::Whole));
        let is_whole = self.addresses().header_len() + header.header_len() + response.len() <= limit;
        if !is_whole
            && self.config.large_replies != LargeReplies::Fragments
            && let Some(reply) = self.begin(fields, response)
        {
            return reply.into();
        }
        if response.len() > RESPONSE_MAX {
            return self.respond(ReplyKind::Refusal, fields, Response::OVERFLOW);
        }
        if response.len() >= usize::from(self.header.window()) {
            return DropReason::TcpWindow.into();
        }
        let (transport, payload) = (TransportHeader::Tcp(header), [response.head(), response.body()]);
        let datagram = Datagram::new(self.config, self.packet.reply_path.either(), transport, payload);
        Reply::datagram(kind, datagram.fragmented(limit, self.identification()))
    }

    /// A segment with payload that is not the first one of a request, or is not of our making.
    fn answer_later_payload(self) -> Reply<'a> {
        match (self.seen(), self.is_fin()) {
            // The rest of a request whose response was on its way before it was complete.
            (Seen::Response, false) => self.acknowledge(ReplyKind::LateAck, ACK),
            // A request that nothing of its response is known of: as if it had no FIN.
            (Seen::Unknown, true) if RequestLine::parse(self.payload).is_ok() => self.refuse(DropReason::TcpCookie),
            (Seen::Response | Seen::Part | Seen::Unknown, true) => self.acknowledge(ReplyKind::FinAck, ACK),
            (Seen::Handshake | Seen::Part, false) => DropReason::TcpCookie.into(),
            (Seen::Handshake, true) => DropReason::TcpFinEarly.into(),
            (Seen::Forged, true) => self.refuse(DropReason::TcpFinForged),
            // What looks like a request comes from before our time, and had better be told. Anything
            // else may be a later part of a request, and a RST would kill its response.
            (Seen::Unknown | Seen::Forged, false) => match RequestLine::parse(self.payload) {
                Ok(_) => self.refuse(DropReason::TcpCookie),
                Err(_) => DropReason::TcpCookie.into(),
            },
        }
    }

    /// An ACK that no timestamp says anything of.
    fn answer_ack<A: App>(self, app: &'a A) -> Result<Reply<'a>, Verdict> {
        match self.header.options.timestamps {
            None => self.answer_probe(app),
            Some(_) => Err(Absorbed::Ack.into()),
        }
    }

    /// A FIN without payload.
    #[inline]
    fn answer_fin<A: App>(self, app: &A) -> Reply<'a> {
        let is_idle = || self.verify_start(app).is_some();
        match self.seen() {
            Seen::Forged => self.refuse(DropReason::TcpFinForged),
            // Straight after the handshake, so there was no request: we are done as well.
            Seen::Handshake | Seen::Unknown if is_idle() => self.acknowledge(ReplyKind::FinAck, FIN_ACK),
            // The request came before the FIN and was lost, or its response was. The client will repeat
            // what is not acknowledged.
            Seen::Handshake => DropReason::TcpFinEarly.into(),
            Seen::Response | Seen::Part | Seen::Unknown => self.acknowledge(ReplyKind::FinAck, ACK),
        }
    }

    /// A segment that nobody here wants: silence, or RST (RFC 9293, section 3.5.2).
    #[cold]
    fn refuse(self, reason: DropReason) -> Reply<'a> {
        if self.config.refuse == Refuse::Drop || self.header.flags().has(RST) {
            return reason.into();
        }
        let header = if self.header.flags().has(ACK) {
            self.header_back(RST, self.header.ack(), Options::default()).with_ack(SeqNumber::default())
        } else {
            self.header_back(RST_ACK, SeqNumber::default(), Options::default())
        };
        self.reply(ReplyKind::Reset, header.with_window(0))
    }

    /// Acknowledges all that the segment holds.
    #[inline]
    fn acknowledge(self, kind: ReplyKind, flags: Flags) -> Reply<'a> {
        let options = Options {
            // Never less than what the client has seen: it would take the segment for an old one (RFC
            // 7323, section 5).
            timestamps: self
                .header
                .options
                .timestamps
                .map(|theirs| Timestamps { value: theirs.echo, echo: theirs.value }),
            ..Options::default()
        };
        self.reply(kind, self.header_back(flags, self.header.ack(), options))
    }

    #[inline]
    fn reply(self, kind: ReplyKind, header: Header) -> Reply<'a> {
        Reply::segment(kind, TxSegment::new(self.packet.reply_path, header).build(self.config))
    }

    /// The header of a segment that goes back and acknowledges this one.
    #[inline]
    fn header_back(self, flags: Flags, seq: SeqNumber, options: Options) -> Header {
        let ports = [self.header.destination_port(), self.header.source_port()];
        Header::new(ports, seq, self.end(), flags, self.window(), options)
    }

    /// Ours and the client's, as they stand in an answer.
    #[inline]
    fn addresses(self) -> AddressPair {
        self.packet.reply_path.addresses.into()
    }

    fn is_fin(self) -> bool {
        self.header.flags().has(Flags::FIN)
    }

    /// The sequence number behind the segment, where SYN and FIN count as a byte each.
    #[inline]
    fn end(self) -> SeqNumber {
        let flags = self.header.flags();
        let flags = u32::from(flags.has(Flags::SYN)) + u32::from(flags.has(Flags::FIN));
        self.header.seq().advance(self.payload.len() as u32 + flags)
    }

    /// What `cookie` says, if it is one of ours to the SYN before this segment.
    #[inline]
    fn verify(self, cookie: SeqNumber, proof: Option<u16>, live: u8, epochs: u32) -> Option<CookieFields> {
        self.keys.verify(self.now, self.header.seq(), cookie, proof, live, epochs)
    }

    /// The same of the cookie that a client acknowledges who has had nothing but our SYN+ACK.
    #[inline]
    fn verify_start<A: App>(self, app: &A) -> Option<CookieFields> {
        let proof = match self.stamp() {
            Some(Stamp::Handshake { proof, .. }) => Some(proof),
            _ => None,
        };
        self.verify(self.header.ack().rewind(1), proof, app.generations().live, EPOCHS)
    }

    /// Whether what looks like the start of a request can be nothing else: proven by a timestamp, or by how it begins.
    fn is_proven(self) -> bool {
        METHODS.iter().any(|method| self.payload.starts_with(method))
            || matches!(self.stamp(), Some(Stamp::Handshake { .. }))
    }

    /// What the client has seen last, if it uses timestamps and that was ours.
    #[inline]
    fn stamp(self) -> Option<Stamp> {
        let echo = self.header.options.timestamps?.echo;
        Stamp::parse(echo.wrapping_sub(self.keys.timestamp_base))
    }

    /// The segment of a stored response that the client has seen last.
    #[inline]
    fn place(self) -> Option<Place> {
        match self.stamp() {
            Some(Stamp::Placed(place)) => Some(place),
            _ => None,
        }
    }

    #[inline]
    fn seen(self) -> Seen {
        if self.header.options.timestamps.is_none() {
            return Seen::Unknown;
        }
        match self.stamp() {
            Some(Stamp::Handshake { .. }) => Seen::Handshake,
            Some(Stamp::Whole | Stamp::Done) => Seen::Response,
            Some(Stamp::Part) => Seen::Part,
            Some(Stamp::Placed(_)) | None => Seen::Forged,
        }
    }

    /// Whether stored responses go by the clock of their ACKs.
    fn clocks(self) -> bool {
        self.config.large_replies == LargeReplies::Clocked
    }

    /// Options of a segment behind the handshake: timestamps, if the client uses them.
    #[inline]
    fn plain_options(self, stamp: Stamp) -> Options {
        Options { timestamps: self.timestamps(stamp), ..Options::default() }
    }

    #[inline]
    fn timestamps(self, stamp: Stamp) -> Option<Timestamps> {
        self.header.options.timestamps.map(|theirs| Timestamps {
            value: self.keys.timestamp_base.wrapping_add(stamp.value()),
            echo: theirs.value,
        })
    }

    /// The MSS of a client that says nothing (RFC 9293, section 3.7.1).
    fn default_mss(self) -> u16 {
        match self.addresses() {
            AddressPair::V4 { .. } => 536,
            AddressPair::V6 { .. } => 1220,
        }
    }

    /// The largest segment that we take, and could send.
    #[inline]
    fn own_mss(self) -> usize {
        usize::from(self.config.mtu.bytes()) - self.headers_len()
    }

    /// Bytes of IP and TCP header without options.
    #[inline]
    fn headers_len(self) -> usize {
        self.addresses().header_len() + HEADER_LEN
    }

    /// Two segments. One request in one segment is all that is read, but Linux halves its segments when
    /// the window does not hold two (`tcp_bound_to_half_wnd`).
    #[inline]
    fn window(self) -> u16 {
        (2 * self.own_mss()).min(usize::from(u16::MAX)) as u16
    }

    /// Whether the client could not have put another byte into this segment.
    fn is_full(self, mss: Mss) -> bool {
        let segment = self.packet.payload.len() - HEADER_LEN;
        segment >= self.own_mss().min(usize::from(mss.bytes()))
    }

    /// The largest IP packet for a client with this MSS.
    #[inline]
    fn packet_limit(self, mss: Mss) -> usize {
        let limit = usize::from(mss.bytes()) + self.headers_len();
        match self.addresses() {
            AddressPair::V4 { .. } => limit,
            AddressPair::V6 { .. } => limit.max(IPV6_MTU_MIN),
        }
    }

    /// Tells the fragments of this connection's responses from those of others. It is as hard to guess
    /// as the cookie.
    fn identification(self) -> u32 {
        self.header.ack().value() ^ self.header.seq().value().rotate_left(16)
    }
}

/// What the engine itself says to a request that no application could answer.
fn refusal(problem: Problem, is_complete: bool, scratch: &mut [u8]) -> Response<'_> {
    let (status, text) = match problem {
        Problem::Incomplete if !is_complete => (Status::UriTooLong, "The request line does not fit one segment.\n"),
        Problem::Incomplete | Problem::Malformed => (Status::BadRequest, "This is not an HTTP/1 request.\n"),
        Problem::Method => (Status::MethodNotAllowed, "Only GET and HEAD are answered here.\n"),
        Problem::Version => (Status::VersionNotSupported, "Only HTTP/1.0 and HTTP/1.1 are spoken here.\n"),
    };
    let response = Response::build(scratch, status).header("Content-Type", "text/plain");
    let response = match problem {
        Problem::Method => response.header("Allow", "GET, HEAD"),
        _ => response,
    };
    response.body(text.as_bytes())
}
