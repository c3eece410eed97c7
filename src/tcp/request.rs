//! A segment with payload: a request, and how its response goes out.
//!
//! A response that fits a packet and the client's window is one segment. A longer one is a train of segments: stored,
//! by the client's ACK clock ([`transfer`]); else its first window, and more whenever the request comes again
//! ([`resume`]). A request ends with its first segment: neither the rest of its header section (RFC 9110, section 5.3)
//! nor a body (RFC 9112, section 6.1) is waited for. It is the only one of its connection (RFC 9112, section 9.6),
//! unless that is kept open.

use super::layout::HEAD_END;
use super::part;
use super::pipeline::{self, Gathered};
use super::resume::{self, Place, Resumption};
use super::segment::{GET, Seen, Segment, begins_as_a_target};
use super::transfer;
use crate::app::{App, Room};
use crate::config::LargeReplies;
use crate::cookie::{CookieFields, Mss};
use crate::http::{Framing, Method, Methods, Persistence, Problem, RequestLine, Response, Status, Writer};
use crate::reply::{Datagram, HeadEnd, Reply, TransportHeader, TxPayload, TxSegment};
use crate::stamp::{Exchange, Kept, KeptSize, SentSegment, Stamp};
use crate::verdict::{DropReason, ReplyKind, Verdict};
use crate::wire::ip::Pair;
use crate::wire::ipv6;
use crate::wire::seq::SeqNumber;
use crate::wire::tcp::{Flags, HEADER_LEN, Header, SackBlocks, TIMESTAMPS_LEN};

/// Payload below this is never a request; nothing that short can be one.
const REQUEST_MIN: usize = 5;

/// The longest response in one segment: with the longest headers it still fits the length field of an IP packet.
const RESPONSE_MAX: usize = u16::MAX as usize - ipv6::HEADER_LEN - HEADER_LEN - TIMESTAMPS_LEN;

/// Room for the head of a refusal.
const REFUSAL_ROOM: usize = 256;

/// How requests begin (RFC 9110, section 9; RFC 5789).
const METHODS: [&[u8]; 9] =
    [b"GET ", b"HEAD ", b"POST ", b"PUT ", b"DELETE ", b"CONNECT ", b"OPTIONS ", b"TRACE ", b"PATCH "];

/// The flags of a segment with the end of a response (RFC 9293, section 3.9.1.2).
const LAST: Flags = Flags::ACK.with(Flags::PSH).with(Flags::FIN);

/// Answers a segment with payload: a request if the cookie is right.
#[inline]
pub(super) fn answer<'a, A: App, P: Pair>(segment: &Segment<'_, P>, app: &'a A, scratch: &'a mut [u8]) -> Reply<'a> {
    if segment.payload.len() < REQUEST_MIN && !segment.is_fin() {
        return answer_short_payload(segment, app.methods());
    }
    if let Some(kept) = segment.next_of_kept() {
        return answer_later_request(segment, kept, app, scratch);
    }
    match segment.verify_start(app) {
        Some(fields) => answer_request(segment, fields, None, app, scratch),
        None => answer_without_cookie(segment, app, scratch),
    }
}

/// A segment with less payload than a request has. The last bytes of a long one may be as few.
#[cold]
#[inline(never)]
fn answer_short_payload<'r, P: Pair>(segment: &Segment<'_, P>, methods: Methods) -> Reply<'r> {
    match segment.seen() {
        Seen::Response => answer_later_payload(segment, methods),
        Seen::Kept => segment
            .answer_keep_alive_probe()
            .or_else(|| segment.answered_again().map(|(end, _)| segment.acknowledge_up_to(end, ReplyKind::Settled)))
            .unwrap_or(DropReason::TcpShortPayload.into()),
        _ => DropReason::TcpShortPayload.into(),
    }
}

/// A segment with payload that does not acknowledge a cookie: a later request of a connection that was kept open, or
/// anything else.
#[inline(never)]
fn answer_without_cookie<'a, A: App, P: Pair>(
    segment: &Segment<'_, P>,
    app: &'a A,
    scratch: &'a mut [u8],
) -> Reply<'a> {
    if let Some(kept) = segment.verify_kept(segment.header.seq()) {
        return answer_later_request(segment, kept, app, scratch);
    }
    // The next request may be behind it.
    if let Some((end, kept)) = segment.answered_again()
        && let Some(next) = segment.from(end)
    {
        if !next.payload.is_empty()
            && let reply = answer_later_request(&next, kept, app, scratch)
            && !matches!(reply.verdict(), Verdict::Dropped(_))
        {
            return reply;
        }
        // A few bytes of the next request draw nothing, and would come again so for ever.
        return segment.acknowledge_up_to(end, ReplyKind::Settled);
    }
    if segment.config.keep_alive && begins_as_a_target(segment.payload) && has_sack_blocks(segment) {
        return answer_request_without_method(segment, app, scratch);
    }
    answer_request_again(segment, app, scratch)
}

/// A request that comes again without its method, since its client has got nothing of the response but segments behind
/// the first.
#[cold]
fn answer_request_without_method<'a, A: App, P: Pair>(
    segment: &Segment<'_, P>,
    app: &'a A,
    scratch: &'a mut [u8],
) -> Reply<'a> {
    let Some((whole, scratch)) = segment.with_method(scratch) else {
        return answer_later_payload(segment, app.methods());
    };
    if let Some(fields) = whole.verify_start(app) {
        answer_request(&whole, fields, None, app, scratch)
    } else if let Some(kept) = whole.verify_kept(whole.header.seq()) {
        answer_later_request(&whole, kept, app, scratch)
    } else {
        answer_later_payload(segment, app.methods())
    }
}

/// A request of a connection that was kept open.
#[inline(never)]
fn answer_later_request<'a, A: App, P: Pair>(
    segment: &Segment<'_, P>,
    kept: Kept,
    app: &'a A,
    scratch: &'a mut [u8],
) -> Reply<'a> {
    let shortened;
    let read = if segment.payload.len() <= segment.request_max() {
        segment
    } else {
        shortened = segment.up_to_request_max();
        &shortened
    };
    let generation = app.generations().current;
    // A client may have received a part of the response of a version that was current when its request came first.
    let mut reply = if kept.generation != generation && has_sack_blocks(read) {
        close(read)
    } else {
        let fields = CookieFields { mss: read.kept_mss(kept), generation, scale: kept.scale };
        answer_request(read, fields, Some(kept), app, scratch)
    };
    reply.note_later_request();
    reply
}

/// Whether the client has received something beyond its acknowledgement.
fn has_sack_blocks<P: Pair>(segment: &Segment<'_, P>) -> bool {
    !SackBlocks::parse(segment.options()).as_slice().is_empty()
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "fast: inline")]
fn answer_request<'a, A: App, P: Pair>(
    segment: &Segment<'_, P>,
    fields: CookieFields,
    later: Option<Kept>,
    app: &'a A,
    scratch: &'a mut [u8],
) -> Reply<'a> {
    let line = RequestLine::parse_for(app.methods(), segment.payload);
    // fast: parsed again
    let Ok(line) = &line else { return refuse(segment, fields, later.is_some(), app.methods(), scratch) };
    let framing = line.framing();
    if matches!(framing, Framing::Refused(_)) {
        return refuse(segment, fields, later.is_some(), app.methods(), scratch);
    }
    if let Framing::Complete { behind: pipeline::NEXT_MIN.., persistence } = framing
        && persistence != Persistence::Close
        && segment.config.keep_alive
        && let read = segment.up_to_request_max()
        && let Some(gathered) = gather(&read, fields, later, app, scratch)
    {
        return respond_together(&read, fields, gathered, app, scratch);
    }
    let one_packet = one_packet(segment, fields);
    let takes_parts = app.stores_parts() && takes_part(segment, fields, later.is_some(), line, framing);
    let response = segment.ask(line, fields.generation, Room { one_packet, takes_parts }, app, scratch);
    if response.is_empty() {
        return DropReason::HttpIncomplete.into();
    }
    if segment.config.keep_alive && segment.has_timestamps() {
        return respond_and_keep_open(segment, fields, later, &response, framing, app);
    }
    respond(segment, ReplyKind::Response, fields, &response)
}

/// The most bytes of a response of one packet. That is shorter than a segment of a long response: a client that has
/// received one of those takes nothing of it for new data, not even the FIN.
#[inline]
fn one_packet<P: Pair>(segment: &Segment<'_, P>, fields: CookieFields) -> usize {
    segment.below_stored_seg_size(fields) as usize
}

/// The responses to several requests, where the connection can stay open.
#[cold]
#[inline(never)]
fn gather<A: App, P: Pair>(
    segment: &Segment<'_, P>,
    fields: CookieFields,
    later: Option<Kept>,
    app: &A,
    scratch: &mut [u8],
) -> Option<Gathered> {
    if !segment.has_timestamps() || !may_stay_open(segment, fields, later.is_some()) {
        return None;
    }
    let headers = segment.addresses().header_len() + last_header(segment).header_len();
    let window = (segment.client_window(fields.scale) as usize).saturating_sub(1);
    let room = packet_limit(segment, fields).saturating_sub(headers).min(window);
    let write = |line: &RequestLine<'_>, persistence, scratch: &mut [u8], out: &mut [u8]| {
        let room = Room { one_packet: one_packet(segment, fields), takes_parts: false };
        let response = segment.ask(line, fields.generation, room, app, scratch);
        // With all of the scratch buffer it may be another one.
        let is_overflow = response == Response::OVERFLOW;
        let may_go = !response.is_empty() && !is_overflow && fits_packet(segment, fields, &response);
        may_go.then(|| pipeline::write_open(response, persistence, out))?
    };
    Gathered::gather(app.methods(), segment.payload, room, scratch, write)
}

/// Sends the responses to several requests in one segment that leaves the connection open.
#[cold]
#[inline(never)]
fn respond_together<'a, A: App, P: Pair>(
    segment: &Segment<'_, P>,
    fields: CookieFields,
    gathered: Gathered,
    app: &A,
    scratch: &'a [u8],
) -> Reply<'a> {
    let (list, responses) = gathered.read(scratch).unwrap_or_default();
    let mut reply = leave_open(segment, fields, ([responses, b""], HeadEnd::Nothing), gathered.behind, app);
    reply.note_responses(list);
    reply
}

/// Sends a response, and leaves the connection open if it can stay so.
#[inline(never)]
fn respond_and_keep_open<'a, A: App, P: Pair>(
    segment: &Segment<'_, P>,
    fields: CookieFields,
    later: Option<Kept>,
    response: &Response<'a>,
    framing: Framing,
    app: &'a A,
) -> Reply<'a> {
    if let Framing::Complete { behind, persistence } = framing {
        if !fits_packet(segment, fields, response) {
            let reply = match response.whole() {
                Some(whole) => keep_part_open(segment, fields, later, response, persistence, app).or_else(|| {
                    let whole = app.stored(whole)?;
                    Some(respond_and_keep_open(segment, fields, later, &whole, framing, app))
                }),
                None => keep_open_at_length(segment, fields, later, response, behind, persistence, app),
            };
            if let Some(reply) = reply {
                return reply;
            }
        } else if fits_window(segment, fields, response)
            && let Some(payload) = open_payload(segment, fields, later, response, persistence)
        {
            return leave_open(segment, fields, payload, behind, app);
        }
    }
    match later {
        Some(kept) => respond_and_close(segment, fields, kept, response, framing, app),
        None if framing == Framing::Incomplete
            && segment.payload.len() < segment.request_max()
            && !fits_packet(segment, fields, response)
            && may_stay_open(segment, fields, false)
            && let Some(reply) = transfer::begin_cut(segment, *response, fields) =>
        {
            reply
        }
        None => respond(segment, ReplyKind::Response, fields, response),
    }
}

/// Sends a response behind which a connection ends that was kept open before.
#[cold]
fn respond_and_close<'a, A: App, P: Pair>(
    segment: &Segment<'_, P>,
    fields: CookieFields,
    kept: Kept,
    response: &Response<'a>,
    framing: Framing,
    app: &A,
) -> Reply<'a> {
    // What is sent in answer to half a header section might be taken for a part of the response to the whole request,
    // unless no more of that is ever read.
    if framing == Framing::Incomplete && segment.payload.len() < segment.request_max() {
        return close(segment);
    }
    if fits_packet(segment, fields, response) {
        return respond(segment, ReplyKind::Response, fields, response);
    }
    match Place::later(segment, fields, *response) {
        Some(_) if kept.generation != fields.generation => renew(segment, fields),
        Some(place) => resume::send_from(segment, *response, place),
        // It is too long for that. A client that asks for the connection to be closed closes it itself when it has its
        // response (RFC 9112, section 9.6), which does not say that it stays open, nor that it does not.
        // fast: parsed again
        None if RequestLine::parse_for(app.methods(), segment.payload).is_ok_and(|line| line.is_last()) => {
            keep_open_at_length(segment, fields, Some(kept), response, 0, Persistence::Keep, app)
                .unwrap_or_else(|| close(segment))
        }
        None => close(segment),
    }
}

/// Answers a request that cannot be handed to an application: its line, or its header section.
#[cold]
#[inline(never)]
fn refuse<'a, P: Pair>(
    segment: &Segment<'_, P>,
    fields: CookieFields,
    is_later: bool,
    methods: Methods,
    scratch: &'a mut [u8],
) -> Reply<'a> {
    let problem = match RequestLine::parse_for(methods, segment.payload) {
        Ok(line) => match line.framing() {
            Framing::Refused(status) => return refuse_fields(segment, fields, status, line.method, scratch),
            _ => return DropReason::HttpMalformed.into(),
        },
        Err(problem) => problem,
    };
    // The rest of the line is in flight, or will be retransmitted together with the start. Nagle's algorithm must be
    // off for that (RFC 9293, section 3.7.4).
    let is_full = segment.is_full(fields.mss) || is_later && segment.payload.len() == segment.request_max();
    if problem == Problem::Incomplete && !segment.is_fin() && !is_full {
        return DropReason::HttpIncomplete.into();
    }
    // Without timestamps, one later segment in a thousand passes for the start of a request.
    if !is_proven(segment) {
        return DropReason::HttpMalformed.into();
    }
    let (dated, scratch) = segment.date_room(scratch);
    let mut response = refusal(problem, methods, segment.is_fin(), scratch);
    segment.add_date(&mut response, one_packet(segment, fields), dated);
    let is_head = segment.payload.trim_ascii_start().starts_with(b"HEAD ");
    respond(segment, ReplyKind::Refusal, fields, &if is_head { response.without_body() } else { response })
}

/// Answers a request whose header section is refused. A packet with less of the section may have drawn a long response,
/// so this one is shorter than a segment of that: of both, the client takes one and nothing of the other.
#[cold]
#[inline(never)]
fn refuse_fields<'a, P: Pair>(
    segment: &Segment<'_, P>,
    fields: CookieFields,
    status: Status,
    method: Method,
    scratch: &'a mut [u8],
) -> Reply<'a> {
    let text: &[u8] = match status {
        Status::NotImplemented => b"The transfer coding is not known here.\n",
        Status::ExpectationFailed => b"Only 100-continue may be expected here.\n",
        _ => b"The header section is not valid.\n",
    };
    let one_packet = one_packet(segment, fields);
    let (dated, scratch) = segment.date_room(scratch);
    let (long, scratch) = scratch.split_at_mut_checked(REFUSAL_ROOM).unwrap_or_default();
    let long = Response::build(long, status).header("Content-Type", "text/plain").body(text);
    let response = if long.len() <= one_packet { long } else { Response::build(scratch, status).body(b"") };
    if response.len() > one_packet {
        return DropReason::HttpMalformed.into();
    }
    let mut response = if method == Method::Head { response.without_body() } else { response };
    segment.add_date(&mut response, one_packet, dated);
    respond(segment, ReplyKind::Refusal, fields, &response)
}

/// A payload that leaves the connection open: two pieces, and what stands between them.
type OpenPayload<'a> = ([&'a [u8]; 2], HeadEnd);

/// The payload of a response in one segment that leaves the connection open. `None` if the connection ends with it, or
/// it does not fit a packet.
///
/// It does not say `Connection: close`, not even to a client that has closed its end: that may have sent the request
/// without its FIN before, and the response to that has the same bytes.
#[inline]
fn open_payload<'a, P: Pair>(
    segment: &Segment<'_, P>,
    fields: CookieFields,
    later: Option<Kept>,
    response: &Response<'a>,
    persistence: Persistence,
) -> Option<OpenPayload<'a>> {
    let (head, head_end) = (response.head().strip_suffix(HEAD_END)?, HeadEnd::of(persistence)?);
    let headers = segment.addresses().header_len() + last_header(segment).header_len();
    let len = headers + head.len() + head_end.bytes().len() + response.body().len();
    let is_possible = may_stay_open(segment, fields, later.is_some()) && len <= packet_limit(segment, fields);
    is_possible.then_some(([head, response.body()], head_end))
}

/// Sends a segment with complete responses that leaves the connection open, and acknowledges the requests, without the
/// bytes `behind` them in the same packet: these come again.
fn leave_open<'a, A: App, P: Pair>(
    segment: &Segment<'_, P>,
    fields: CookieFields,
    ([head, body], head_end): OpenPayload<'a>,
    behind: usize,
    app: &A,
) -> Reply<'a> {
    let len = head.len() + head_end.bytes().len() + body.len();
    let client_next = segment.header.seq().advance(segment.payload.len().saturating_sub(behind) as u32);
    let own_next = segment.header.ack().advance(len as u32);
    let (flags, ack, stamp) = if segment.is_fin() && behind == 0 {
        (LAST, segment.end(), Stamp::Whole)
    } else {
        let (generation, size) = (app.generations().current, KeptSize::Mss(fields.mss));
        let stamp = segment.kept([client_next, own_next], generation, size, fields.scale);
        (Flags::ACK.with(Flags::PSH), client_next, stamp)
    };
    let timestamps = segment.following_timestamps(stamp);
    let header = segment.header_back(flags, segment.header.ack(), timestamps).with_ack(ack);
    let identification = segment.identification();
    let payload = TxPayload { head, head_end, body, sum: None, identification };
    let answer = TxSegment::new(segment.config, &segment.packet.reply_path, header.words(), payload);
    Reply::segment(ReplyKind::Response, answer)
}

/// Sends the first window of a stored response that leaves the connection open. `None` if the connection ends with it,
/// or the response does not go by its client's ACKs.
#[cold]
#[inline(never)]
fn keep_open_at_length<'a, A: App, P: Pair>(
    segment: &Segment<'_, P>,
    fields: CookieFields,
    later: Option<Kept>,
    response: &Response<'a>,
    behind: usize,
    persistence: Persistence,
    app: &A,
) -> Option<Reply<'a>> {
    // The head of a first response has no room for what a client of HTTP/1.0 has to be told.
    let is_possible = persistence == Persistence::Keep || persistence == Persistence::KeepAlive && later.is_some();
    // A longer one may have come without its end before.
    let is_readable = segment.payload.len() <= segment.request_max() + behind;
    let is_open = may_stay_open(segment, fields, later.is_some());
    if !is_possible || !is_readable || !segment.payload.starts_with(GET) || !is_open {
        return None;
    }
    if behind > 0 {
        return end_ahead_of_next(segment, fields, later, response, app);
    }
    let request_end = segment.header.seq().advance(segment.payload.len() as u32);
    if is_outdated(later, app) {
        return Some(renew(segment, fields));
    }
    transfer::begin_open(segment, *response, request_end, fields, later.map(|_| persistence), app)
}

/// Answers a request for a stored response of several segments, behind which its packet has bytes of the next request.
/// The ACKs of its client come from behind those, so where this request ends could not be told by them: its connection
/// ends with the response, or at once where it was kept open before. A client that pipelines sends what has no response
/// again, on a new one (RFC 9112, section 9.3.2).
///
/// The request may come alone as well, and draw segments behind which the connection stays open. Of these and what goes
/// here, a client takes one: a segment as those to half a header section are, or a FIN that acknowledges nothing, so
/// that a client with a part of the response goes on asking for the rest.
#[cold]
fn end_ahead_of_next<'a, A: App, P: Pair>(
    segment: &Segment<'_, P>,
    fields: CookieFields,
    later: Option<Kept>,
    response: &Response<'a>,
    app: &A,
) -> Option<Reply<'a>> {
    response.position()?;
    // fast: parsed again
    let asks_for_part = || RequestLine::parse_for(app.methods(), segment.payload).is_ok_and(|line| line.has_range());
    if later.is_some() || app.stores_parts() && asks_for_part() {
        Some(close_at(segment, segment.header.seq()))
    } else {
        transfer::begin_cut(segment, *response, fields)
    }
}

/// Whether the response to this request may be a part of a stored one: no more of the request can come, its header
/// section has a `Range`, and its connection can stay open, which it does even if the client closes it.
#[cold]
fn takes_part<P: Pair>(
    segment: &Segment<'_, P>,
    fields: CookieFields,
    is_later: bool,
    line: &RequestLine<'_>,
    framing: Framing,
) -> bool {
    let is_whole = match framing {
        Framing::Complete { behind: 0, persistence } => persistence != Persistence::Close || line.is_last(),
        _ => false,
    };
    let is_open = segment.config.keep_alive && segment.has_timestamps() && may_stay_open(segment, fields, is_later);
    let is_readable = segment.payload.starts_with(GET) && segment.payload.len() <= segment.request_max();
    is_whole && is_open && is_readable && segment.is_ack_clocked() && line.has_range()
}

/// Sends the first window of a part of a stored response. `None` if that cannot go to this client.
#[cold]
#[inline(never)]
fn keep_part_open<'a, A: App, P: Pair>(
    segment: &Segment<'_, P>,
    fields: CookieFields,
    later: Option<Kept>,
    part: &Response<'a>,
    persistence: Persistence,
    app: &A,
) -> Option<Reply<'a>> {
    if is_outdated(later, app) {
        return Some(renew(segment, fields));
    }
    let request_end = segment.header.seq().advance(segment.payload.len() as u32);
    part::begin(segment, *part, request_end, fields, persistence, app)
}

/// Answers a request that comes again without its method, in the middle of a part of a stored response, from a client
/// that has not got a byte of the body. `None` if it is not such.
#[cold]
#[inline(never)]
pub(super) fn answer_part_again<'a, A: App, P: Pair>(
    segment: &Segment<'_, P>,
    echoed: SentSegment,
    app: &'a A,
    scratch: &'a mut [u8],
) -> Option<Reply<'a>> {
    let Exchange::Later(class, scale) = echoed.exchange else { return None };
    let (whole, scratch) = segment.with_method(scratch)?;
    let generation = app.generations().of(echoed.position)?;
    let fields = CookieFields { mss: Mss::at_most(class.mss(segment.headers_len())), generation, scale };
    let line = RequestLine::parse_for(app.methods(), whole.payload).ok()?;
    if !takes_part(&whole, fields, true, &line, line.framing()) {
        return None;
    }
    let room = Room { one_packet: one_packet(&whole, fields), takes_parts: true };
    let response = whole.ask(&line, generation, room, app, scratch);
    let request_end = whole.header.seq().advance(whole.payload.len() as u32);
    part::resume(&whole, echoed, response, request_end, app)
}

/// Whether the last response of a connection that was kept open is of a version that is not current any more.
fn is_outdated<A: App>(later: Option<Kept>, app: &A) -> bool {
    later.is_some_and(|kept| kept.generation != app.generations().current)
}

/// Has a request come again that is for another version than the last one of its connection. If it has come before,
/// segments of the response of a version that is not current any more may be under way. It says then that it belongs to
/// the current version.
#[cold]
fn renew<'r, P: Pair>(segment: &Segment<'_, P>, fields: CookieFields) -> Reply<'r> {
    let (end, own_next) = (segment.header.seq(), segment.header.ack());
    let stamp = segment.kept([end, own_next], fields.generation, KeptSize::Mss(fields.mss), fields.scale);
    let header = segment.header_back(Flags::ACK, own_next, segment.following_timestamps(stamp)).with_ack(end);
    segment.reply(ReplyKind::Renewed, header.words())
}

/// Whether the connection of this client can stay open: its MSS fits a stamp, and it takes SACK, without which a
/// duplicate ACK cannot be told from the first (RFC 2883).
fn may_stay_open<P: Pair>(segment: &Segment<'_, P>, fields: CookieFields, is_later: bool) -> bool {
    let takes_sack = is_later || matches!(segment.stamp(), Some(Stamp::Handshake { sack: true, .. }));
    takes_sack && fields.mss.index() != 0
}

/// Ends a connection without a response. A client that had one on it before sends the request again, on a new one (RFC
/// 9112, section 9.3).
#[cold]
fn close<'r, P: Pair>(segment: &Segment<'_, P>) -> Reply<'r> {
    close_at(segment, segment.end())
}

/// Ends a connection without a response, and acknowledges the request up to `acked`.
#[cold]
fn close_at<'r, P: Pair>(segment: &Segment<'_, P>, acked: SeqNumber) -> Reply<'r> {
    let timestamps = segment.following_timestamps(Stamp::Whole);
    let header = segment.header_back(Flags::FIN.with(Flags::ACK), segment.header.ack(), timestamps).with_ack(acked);
    segment.reply(ReplyKind::Closed, header.words())
}

/// A segment with payload whose acknowledgement is not the cookie: a request of a client that has
/// part of its response, or something else.
#[cold]
fn answer_request_again<'a, A: App, P: Pair>(segment: &Segment<'_, P>, app: &'a A, scratch: &'a mut [u8]) -> Reply<'a> {
    if segment.may_begin_again()
        && segment.config.large_replies != LargeReplies::Fragments
        && let Ok(line) = RequestLine::parse_for(app.methods(), segment.payload)
        && let Some(resumption) = Resumption::find(segment, &line, app, scratch)
    {
        return resumption.answer();
    }
    answer_later_payload(segment, app.methods())
}

/// A segment with payload that is not the first one of a request, or belongs to no connection of ours. What a TCP would
/// accept or acknowledge is mostly dropped (RFC 9293, section 3.10.7.4).
fn answer_later_payload<'r, P: Pair>(segment: &Segment<'_, P>, methods: Methods) -> Reply<'r> {
    let is_request = || RequestLine::parse_for(methods, segment.payload).is_ok();
    match (segment.seen(), segment.is_fin()) {
        // The rest of a request whose response was sent before the request was complete.
        (Seen::Response, false) => segment.acknowledge(ReplyKind::LateAck, Flags::ACK),
        // A request of a connection that began before our secret, or of which it is unknown how much of the response
        // has arrived: a RST tells its client. Anything else may be a later part of a request, and a RST would abort
        // its response.
        (Seen::Unknown, _) | (Seen::Forged, false) if is_request() => segment.refuse(DropReason::TcpCookie),
        (seen, true) => segment.answer_fin_behind_request(seen),
        (Seen::Handshake | Seen::Part | Seen::Kept | Seen::Unknown | Seen::Forged, false) => {
            DropReason::TcpCookie.into()
        }
    }
}

/// Sends a response: in one segment where it fits a packet and the client's window.
#[inline]
fn respond<'a, P: Pair>(
    segment: &Segment<'_, P>,
    kind: ReplyKind,
    fields: CookieFields,
    response: &Response<'a>,
) -> Reply<'a> {
    let header = last_header(segment);
    if !fits_packet(segment, fields, response) || !fits_window(segment, fields, response) {
        return respond_at_length(segment, kind, fields, response);
    }
    one_segment(segment, kind, header, response)
}

/// Whether a response fits one packet.
#[inline]
fn fits_packet<P: Pair>(segment: &Segment<'_, P>, fields: CookieFields, response: &Response<'_>) -> bool {
    packet_len(segment, last_header(segment), response) <= packet_limit(segment, fields)
}

/// Sends a response that does not fit a packet, or not the client's window.
#[cold]
fn respond_at_length<'a, P: Pair>(
    segment: &Segment<'_, P>,
    kind: ReplyKind,
    fields: CookieFields,
    response: &Response<'a>,
) -> Reply<'a> {
    let header = last_header(segment);
    let limit = packet_limit(segment, fields);
    let is_train = segment.config.large_replies != LargeReplies::Fragments;
    let stored_at = response.position().filter(|_| segment.has_timestamps() && segment.is_ack_clocked());
    if let Some(first) = stored_at
        && packet_len(segment, header, response) > limit
        && let Ok(len) = u32::try_from(response.len())
        && let Some(seg_size) = segment.stored_seg_size(fields, len)
    {
        return transfer::begin(segment, first, seg_size, *response, fields);
    }
    // What is too long for both of the other ways becomes a 500.
    let len_max = if is_train { resume::LEN_MAX } else { RESPONSE_MAX };
    let (kind, response) =
        if response.len() > len_max { (ReplyKind::Refusal, &Response::OVERFLOW) } else { (kind, response) };
    let is_whole = packet_len(segment, header, response) <= limit;
    let fits_window = fits_window(segment, fields, response);
    if is_whole && fits_window {
        one_segment(segment, kind, header, response)
    } else if !is_whole && is_train {
        resume::send_from(segment, *response, Place::first(segment, fields))
    } else if fits_window {
        let (transport, payload) = (TransportHeader::Tcp(header), [response.head(), response.body()]);
        let datagram = Datagram::new(segment.config, segment.packet.reply_path.either(), transport, payload);
        Reply::datagram(kind, datagram.fragmented(limit, segment.identification()))
    } else {
        DropReason::TcpWindow.into()
    }
}

/// The header of a segment with all of a response.
#[inline]
fn last_header<P: Pair>(segment: &Segment<'_, P>) -> Header {
    segment.header_back(LAST, segment.header.ack(), segment.following_timestamps(Stamp::Whole))
}

/// The largest IP packet for the client with this cookie.
#[inline]
fn packet_limit<P: Pair>(segment: &Segment<'_, P>, fields: CookieFields) -> usize {
    segment.packet_limit(fields.mss).min(segment.config.mtu.bytes().into())
}

/// Bytes of an IP packet with this response.
#[inline]
fn packet_len<P: Pair>(segment: &Segment<'_, P>, header: Header, response: &Response<'_>) -> usize {
    segment.addresses().header_len() + header.header_len() + response.len()
}

#[inline]
fn one_segment<'a, P: Pair>(
    segment: &Segment<'_, P>,
    kind: ReplyKind,
    header: Header,
    response: &Response<'a>,
) -> Reply<'a> {
    let (head, body) = (response.head(), response.body());
    let (sum, identification) = (response.known_sum(), segment.identification());
    let payload = TxPayload { head, head_end: HeadEnd::Nothing, body, sum, identification };
    Reply::segment(kind, TxSegment::new(segment.config, &segment.packet.reply_path, header.words(), payload))
}

/// Whether a response fits the client's window. The FIN takes a byte of it as well.
#[inline]
fn fits_window<P: Pair>(segment: &Segment<'_, P>, fields: CookieFields, response: &Response<'_>) -> bool {
    response.len() < segment.client_window(fields.scale) as usize
}

/// Whether what looks like the start of a request can be nothing else: proven by a timestamp, or by how it begins.
fn is_proven<P: Pair>(segment: &Segment<'_, P>) -> bool {
    METHODS.iter().any(|method| segment.payload.starts_with(method))
        || matches!(segment.stamp(), Some(Stamp::Handshake { .. }))
}

/// The response of the engine itself to a request that cannot be handed to an application (RFC 9112, sections 2.2 and
/// 3; RFC 9110, section 15.6.6).
fn refusal(problem: Problem, methods: Methods, is_complete: bool, scratch: &mut [u8]) -> Response<'_> {
    let (status, text) = match problem {
        Problem::Incomplete if !is_complete => (Status::UriTooLong, "The request line does not fit one segment.\n"),
        Problem::Incomplete | Problem::Malformed => (Status::BadRequest, "This is not an HTTP/1 request.\n"),
        Problem::Method => return method_not_allowed(methods, scratch),
        Problem::Version => (Status::VersionNotSupported, "Only HTTP/1.0 and HTTP/1.1 are spoken here.\n"),
    };
    Response::build(scratch, status).header("Content-Type", "text/plain").body(text.as_bytes())
}

/// 405 for every method that is not answered, known or not (RFC 9110, sections 9.1 and 15.5.6).
fn method_not_allowed(methods: Methods, scratch: &mut [u8]) -> Response<'_> {
    let count = methods.iter().count();
    let list = |out: &mut Writer<'_>, last: &'static str| {
        for (at, method) in methods.iter().enumerate() {
            out.push(match at {
                0 => "",
                at if at + 1 < count => ", ",
                _ => last,
            });
            out.push(method.name());
        }
    };
    Response::build(scratch, Status::MethodNotAllowed)
        .header("Content-Type", "text/plain")
        .header_with("Allow", |allow| list(allow, ", "))
        .body_with(|body| {
            body.push("Only ");
            list(body, " and ");
            body.push(" are answered here.\n");
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Method;

    #[test]
    fn a_method_that_is_not_answered_is_told_of_those_that_are() {
        for (methods, allow, text) in [
            (Methods::GET_AND_HEAD, "Allow: GET, HEAD\r\n", "Only GET and HEAD are answered here.\n"),
            (
                Methods::GET_AND_HEAD.with(Method::Put).with(Method::Patch),
                "Allow: GET, HEAD, PUT, PATCH\r\n",
                "Only GET, HEAD, PUT and PATCH are answered here.\n",
            ),
        ] {
            let mut scratch = [0; 512];
            let response = method_not_allowed(methods, &mut scratch);
            let head = str::from_utf8(response.head()).unwrap();
            assert!(head.starts_with("HTTP/1.1 405 ") && head.contains(allow), "{head}");
            assert_eq!(response.body(), text.as_bytes());
        }
    }
}
