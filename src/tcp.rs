//! TCP without a connection: what each segment is answered with.
//!
//! | segment                              | answer                                                      |
//! |--------------------------------------|-------------------------------------------------------------|
//! | SYN                                  | SYN+ACK whose sequence number is the cookie                 |
//! | ACK with payload, cookie right       | the response: ACK+PSH+FIN, or its first window              |
//! | a request again, response part there | the response from there on                                  |
//! | ACK with payload, cookie wrong       | nothing; ACK if the client has its response already         |
//! | keep-alive probe, proof right        | ACK                                                         |
//! | FIN+ACK of a client with no request  | FIN+ACK                                                     |
//! | FIN+ACK of a client with its response| ACK                                                         |
//! | FIN+ACK of a client that waits       | nothing: an ACK would acknowledge a lost request too        |
//! | ACK in the middle of a response      | the segments by which the window has moved                  |
//! | ACK                                  | nothing: the end of a handshake, or of a response           |
//! | RST                                  | nothing, ever                                               |
//! | anything else                        | nothing                                                     |
//!
//! The state of a connection is read from what the client sends back: the cookie in its acknowledgement,
//! and the timestamp that it echoes ([`Stamp`]). Responses that do not fit one
//! segment are in [`transfer`] and [`resume`].

mod date;
mod group;
mod layout;
mod part;
mod pipeline;
mod probe;
mod ranges;
mod reach;
mod request;
mod resume;
mod rotation;
mod segment;
mod transfer;

pub(crate) use date::ROOM as DATE_ROOM;
pub(crate) use segment::IPV6_MTU_MIN;

use rotation::under_its_secret;
use segment::{Seen, Segment};
use transfer::Transfer;

use crate::app::App;
use crate::config::Config;
use crate::cookie::{CookieFields, Mss};
use crate::packet::{Packet, ReplyPath};
use crate::port::Checked;
use crate::reply::Reply;
use crate::stamp::{SentSegment, Stamp};
use crate::time::Instant;
use crate::verdict::{Absorbed, DropReason, ReplyKind};
use crate::wire::ip::Pair;
use crate::wire::tcp::{Flags, HEADER_LEN, Header, SynOptions, Timestamps};

const SYN: Flags = Flags::SYN;
const ACK: Flags = Flags::ACK;
const RST: Flags = Flags::RST;
const FIN_ACK: Flags = Flags::FIN.with(Flags::ACK);
const RST_ACK: Flags = Flags::RST.with(Flags::ACK);
const SYN_ACK: Flags = Flags::SYN.with(Flags::ACK);

/// The flags that tell segments apart. PSH says nothing that matters here; ECN (RFC 9293, section 3.8.2) and urgent
/// data (RFC 9293, section 3.8.5) are not supported.
const KIND: Flags = Flags::SYN.with(Flags::ACK).with(Flags::FIN).with(Flags::RST);

/// Answers a TCP segment, whose checksum is right.
#[inline]
pub(crate) fn answer<'a, A: App, P: Pair>(
    config: &'a Config,
    app: &'a A,
    now: Instant,
    packet: Packet<'_, P>,
    scratch: &'a mut [u8],
) -> Reply<'a> {
    let (header, payload) = match Header::parse(packet.payload) {
        Ok(parts) => parts,
        Err(malformed) => return DropReason::from(malformed).into(),
    };
    if header.source_port() == 0 {
        return DropReason::TcpSourcePort.into();
    }
    let kind = header.flags().masked(KIND);
    let for_us = config.tcp_ports.has(header.destination_port());
    // By far the most common segment, and nothing more has to be known about it. A keep-alive probe looks like this
    // (RFC 9293, section 3.8.4).
    let is_plain = kind == ACK && payload.is_empty();
    let has_options = header.header_len() > HEADER_LEN;
    if for_us && is_plain && !(has_options && answers_acks(config, app)) {
        return Absorbed::Ack.into();
    }
    let mut segment = Segment::new(config, now, &packet, header, payload);
    if !for_us {
        return segment.refuse(DropReason::TcpClosedPort);
    }
    if kind != SYN && config.is_rotating() {
        segment = match under_its_secret(&segment, app, scratch) {
            Ok(segment) => segment,
            Err(reason) => return reason.into(),
        };
    }
    // A RST is ignored, and dropped is what has neither SYN nor ACK (RFC 9293, sections 3.10.7.2 and 3.10.7.4).
    match kind {
        ACK | FIN_ACK if let Some(echoed) = segment.echoed_segment() => answer_echo(&segment, echoed, app, scratch),
        ACK if is_plain => answer_ack(&segment, app),
        ACK | FIN_ACK if !payload.is_empty() => request::answer(&segment, app, scratch),
        FIN_ACK => answer_fin(&segment, app),
        SYN => syn_ack(&segment, app),
        RST | RST_ACK => Absorbed::Reset.into(),
        _ => DropReason::TcpFlags.into(),
    }
}

/// Whether there are bare ACKs with options that are answered. Those without never are.
#[inline]
pub(crate) fn answers_acks(config: &Config, app: &impl App) -> bool {
    config.keep_alive || app.stores()
}

/// Answers a segment that echoes the timestamp of a segment of a stored response, or of a part of one.
#[inline]
fn answer_echo<'a, A: App, P: Pair>(
    segment: &Segment<'_, P>,
    echoed: SentSegment,
    app: &'a A,
    scratch: &'a mut [u8],
) -> Reply<'a> {
    if app.stores_parts()
        && !segment.payload.is_empty()
        && let Some(reply) = request::answer_part_again(segment, echoed, app, scratch)
    {
        return reply;
    }
    transfer::answer(segment, echoed, app)
}

/// Answers an ICMP error of a router: the packet that begins with `quoted` is longer than the `mtu` of the next link.
///
/// If it is a segment of a stored response, its timestamp identifies it, as in an ACK that echoes it; else it was not
/// sent here (RFC 8201, section 4).
pub(crate) fn answer_too_big<'a, A: App, P: Pair>(
    config: &'a Config,
    app: &'a A,
    now: Instant,
    path: ReplyPath<P>,
    quoted: &[u8],
    mtu: u32,
) -> Reply<'a> {
    let packet = Packet { datagram: &[], reply_path: path, checksum: Checked::Good, payload: &[] };
    match find_quoted(config, app, now, &packet, quoted) {
        Some(transfer) => transfer.narrow(mtu),
        None => DropReason::IcmpQuote.into(),
    }
}

/// The transfer that a quoted segment of ours belongs to, unless it goes in pieces already.
fn find_quoted<'f, 'a: 'f, A: App, P: Pair>(
    config: &'a Config,
    app: &'a A,
    now: Instant,
    packet: &'f Packet<'f, P>,
    quoted: &[u8],
) -> Option<Transfer<'f, 'a, P>> {
    let (sent, _) = Header::parse(quoted).ok()?;
    if !config.addresses.may_have_sent(packet.reply_path.addresses.into()) || !config.tcp_ports.has(sent.source_port())
    {
        return None;
    }
    // The ACK of a client that has received everything up to this segment, and its timestamp. The window is ours.
    let timestamps = sent.timestamps.map(Timestamps::reversed);
    let ports = [sent.destination_port(), sent.source_port()];
    let header = Header::new(ports, sent.ack(), sent.seq(), ACK, sent.window(), timestamps);
    let mut segment = Segment::new(config, now, packet, header, &[]);
    if config.is_rotating() {
        segment = under_its_secret(&segment, app, &mut []).ok()?;
    }
    let echoed = segment.echoed_segment().filter(|echoed| !echoed.narrow)?;
    Transfer::find(&segment, SentSegment { narrow: true, ..echoed }, app)
}

/// Answers a SYN, whatever there has been with these addresses and ports: nothing is known of it (RFC 9293, sections
/// 3.6.1, 3.10.7.2 and 3.10.7.4; RFC 6191, section 2). A SYN+ACK that is lost is drawn again by the client's next SYN
/// (RFC 9293, sections 3.8.3 and 3.10.8).
#[inline]
fn syn_ack<'a, A: App, P: Pair>(segment: &Segment<'_, P>, app: &A) -> Reply<'a> {
    let options = SynOptions::parse(segment.options());
    let announced = options.mss.unwrap_or(segment.default_mss());
    let mss = Mss::at_most(segment.at_most_half_window(announced));
    let fields = CookieFields { mss, generation: app.generations().current, scale: segment.scale(mss, options) };
    let (cookie, proof) = segment.keys.cookie(segment.now, segment.header.seq(), fields, segment.has_timestamps());
    // Only what the client has offered (RFC 7323, section 3.2; RFC 2018, section 2), and the MSS (RFC 9293, section
    // 3.7.1).
    let sack = options.sack_permitted;
    let timestamps = segment.timestamps(Stamp::Handshake { proof, sack });
    // Our own window is never scaled.
    let window_scale = fields.scale.is_scaled().then_some(0);
    // Data on a SYN is not acknowledged: the client sends it again with its ACK (RFC 9293, sections 3.5 and 3.10.7.3;
    // RFC 7413, section 4.2.2).
    let header = segment.header_back(SYN_ACK, cookie, timestamps).with_ack(segment.header.seq().advance(1));
    segment.reply(ReplyKind::SynAck, header.syn_words(segment.own_mss() as u16, sack, window_scale))
}

/// An ACK without payload, and without a timestamp of a stored response.
#[cold]
#[inline(never)]
fn answer_ack<'a, A: App, P: Pair>(segment: &Segment<'_, P>, app: &'a A) -> Reply<'a> {
    if !segment.has_timestamps() {
        return probe::answer(segment, app);
    }
    if !matches!(segment.stamp(), Some(Stamp::Kept(_))) {
        return Absorbed::Ack.into();
    }
    let reply = segment.answer_end().or_else(|| segment.answer_keep_alive_probe());
    reply.unwrap_or(Absorbed::Ack.into())
}

/// A FIN without payload.
#[inline]
fn answer_fin<'a, A: App, P: Pair>(segment: &Segment<'_, P>, app: &A) -> Reply<'a> {
    let is_idle = || segment.verify_start(app).is_some();
    match segment.seen() {
        // Straight after the handshake, so there was no request: we are done as well.
        Seen::Handshake | Seen::Unknown if is_idle() => segment.acknowledge(ReplyKind::FinAck, FIN_ACK),
        Seen::Kept if segment.verify_kept(segment.header.seq()).is_some() => {
            segment.acknowledge(ReplyKind::FinAck, FIN_ACK)
        }
        seen => segment.answer_fin_behind_request(seen),
    }
}
