//! Drawing the clients of a run.
//!
//! Where everything is drawn, they are of every kind: those who want no reply, those who are promised none,
//! and some who mean harm. Where the network is set by hand, what is asked is how clients fare on it: then
//! each is an ordinary one that fetches at once, and is promised its reply.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use crate::sample::is_stored;
use lethe::cookie::Mss;
use lethe::http::{Problem, RequestLine};
use lethe::wire::ethernet::MacAddress;

use super::client_spec::{ClientSpec, Kind, Promise};
use super::{HEALS_AFTER, LARGE_SIZE_MAX, PATIENCE, SIZE_MAX, Scenario};
use crate::frame::Ends;
use crate::link::Impairment;
use crate::peer::client::{Close, Errand, Settings};
use crate::peer::{attacker, stack};
use crate::random::{Probability, Random};

/// Where the engine is.
pub(super) const SERVERS: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(10, 9, 0, 2)), IpAddr::V6(Ipv6Addr::new(0xfd09, 0, 0, 0, 0, 0, 0, 2))];

/// The smallest MTU of an IPv6 link (RFC 8200, section 5).
const IPV6_MTU_MIN: u16 = 1280;

/// The head of a response of the sample application is shorter.
pub(super) const HEAD_MAX: usize = 200;

/// The headers of IPv6 and TCP with timestamps are not longer.
pub(super) const HEADERS_MAX: usize = 72;

/// A client that has no clock has the next window of a long reply only from asking again, after a timeout
/// that doubles each time. No client is promised more segments than a few such windows hold.
const UNCLOCKED_SEGMENTS: usize = 30;

/// Round trips that a reply may take where it is promised, when nothing is lost any more: the longest is a second,
/// with an ACK that is held back.
const ROUNDS_MAX: usize = 150;

/// The least segments of stored replies: each has a position of its own.
const PLACED_MIN: usize = lethe::app::Position::UNIT;

/// Bytes that one probe can tell of.
const PROBED_MAX: usize = 49_151;

/// How fast a slow reader reads, in bytes a second: at the least, 1 MB within a minute or so.
const READS: std::ops::RangeInclusive<u64> = 20_000..=500_000;

/// The most frames that an attacker sends, and his longest pause: what he needs to see cookies expire, and
/// is done with while he is waited for.
const ATTACK_FRAMES: u64 = 40;
const ATTACK_PAUSE: Duration = Duration::from_secs(5);

/// What a client asks for, and what an application has for it.
#[derive(Clone)]
pub(super) struct Asked {
    /// As Linux would ask for it,
    pub(super) model: Settings,
    /// and as smoltcp would.
    pub(super) stack: stack::Settings,
    /// The most bytes of the response, head and body.
    pub(super) len: usize,
}

/// Draws the client with this number, which fetches from the sample application.
pub(super) fn draw(scenario: &Scenario, random: Random, number: u32) -> ClientSpec {
    let drawn = || {
        let large = if scenario.options.large { draw_large_size(random.fork("large size")) } else { None };
        large.unwrap_or_else(|| draw_size(random.fork("size")))
    };
    let size = scenario.options.size.unwrap_or_else(drawn);
    let ends = draw_ends(random.fork("ends"), number);
    let path = format!("/{size}");
    let (model, stack) = (Settings::linux(&ends, &path), stack::Settings::new(&ends, &path));
    let asked = Asked { model, stack, len: size + HEAD_MAX };
    let (mut kind, mut promise) = if scenario.options.impairment.is_some() {
        (draw_ordinary(&random, asked), Promise::Reply)
    } else {
        draw_kind(scenario, &random, &ends, asked)
    };
    if scenario.options.large && scenario.options.impairment.is_none() {
        enlarge(&mut kind, random.fork("large"));
    }
    if promise == Promise::Reply && !is_promised(scenario, &kind, &ends, size + HEAD_MAX, is_stored(size)) {
        promise = Promise::PerhapsReply;
    }
    let is_v6 = ends.client.is_ipv6();
    // What goes out again has the same identification: a fragment that was corrupted spoils it for as long
    // as it is kept, and that may be longer than the cookie is good for.
    if promise == Promise::Reply && !scenario.down.corrupt.is_never() && is_cut(scenario, &kind, size + HEAD_MAX) {
        promise = Promise::PerhapsReply;
    }
    ClientSpec {
        number,
        request: format!("GET /{size} HTTP/1.0\r\n\r\n").into_bytes(),
        kind,
        size,
        promise: if scenario.may_mislead() { Promise::Nothing } else { promise },
        ends,
        up: for_family(&scenario.up, is_v6),
        down: for_family(&scenario.down, is_v6),
        random,
        heals_after: HEALS_AFTER,
        patience: PATIENCE,
    }
}

/// Draws what a client is like: of 20, 15 are models, 4 are smoltcp and 1 is an attacker.
pub(super) fn draw_kind(scenario: &Scenario, random: &Random, ends: &Ends, asked: Asked) -> (Kind, Promise) {
    match random.fork("kind").below(20) {
        15..=18 => {
            let settings = draw_stack(random.fork("stack"), asked.stack, asked.len);
            let is_promised = settings.timestamps || !settings.half_close;
            let promise = if is_promised { Promise::Reply } else { Promise::PerhapsReply };
            (Kind::Stack(Box::new(settings)), promise)
        }
        19 => (Kind::Attacker(Box::new(draw_attacker(random.fork("attack"), ends))), Promise::NoReply),
        _ => {
            let settings = draw_model(scenario, random.fork("settings"), asked.model, asked.len);
            let promise = promise(&settings);
            (Kind::Model(Box::new(settings)), promise)
        }
    }
}

/// Linux as it is, mostly, and smoltcp as it is.
pub(super) fn draw_ordinary(random: &Random, asked: Asked) -> Kind {
    let number = random.fork("kind").below(20);
    let mut random = random.fork("ordinary");
    let timestamps = random.chance(Probability::from_percent(75));
    if number < 15 {
        let (isn, timestamp_base) = (random.next_u64() as u32, random.next_u64() as u32);
        Kind::Model(Box::new(Settings { isn, timestamp_base, timestamps, ..asked.model }))
    } else {
        let seed = random.next_u64();
        Kind::Stack(Box::new(stack::Settings { seed, timestamps, ..asked.stack }))
    }
}

/// What the limits of the protocol leave of a promise; `docs/protocol.md` explains them.
pub(super) fn promise(settings: &Settings) -> Promise {
    if settings.errand != Errand::Fetch {
        return Promise::NoReply;
    }
    let is_one_segment =
        settings.request.len() == 1 && settings.mss.is_none_or(|mss| usize::from(mss) >= settings.request[0].len());
    // Later pieces are not sent before the first is acknowledged, and that is not done alone: only with an answer.
    let waits_forever = settings.nagle && settings.request.len() > 1 && !is_answered_at_once(settings);
    // Without timestamps a FIN does not tell whether its sender has its reply: it is acknowledged, and with
    // it a request that was lost.
    let closes_early = match settings.close {
        Close::AfterReply => false,
        Close::AfterRequest => true,
        Close::WithRequest => !is_one_segment,
    };
    if waits_forever || closes_early && !settings.timestamps { Promise::PerhapsReply } else { Promise::Reply }
}

/// Whether the first write of a client is enough for an answer.
pub(super) fn is_answered_at_once(settings: &Settings) -> bool {
    let first = settings.request.first().map_or(&[][..], Vec::as_slice);
    !matches!(RequestLine::parse(first), Err(Problem::Incomplete))
}

/// Whether a reply of so many bytes, head and body, may arrive in fragments.
pub(super) fn is_cut(scenario: &Scenario, kind: &Kind, len: usize) -> bool {
    let mss = match kind {
        // An MSS of 88 still stands for packets of 1,280 bytes over IPv6, but that need not be known here.
        Kind::Model(settings) => settings.mss.unwrap_or(536).into(),
        Kind::Stack(settings) => settings.mtu - HEADERS_MAX,
        Kind::Attacker(_) | Kind::Session(_) => return false,
    };
    let path = scenario.down.mtu.unwrap_or(u16::MAX).min(scenario.config.mtu.bytes());
    len > mss.min(usize::from(path) - HEADERS_MAX)
}

pub(super) fn for_family(impairment: &Impairment, is_v6: bool) -> Impairment {
    let least = if is_v6 { IPV6_MTU_MIN } else { 0 };
    Impairment { mtu: impairment.mtu.map(|mtu| mtu.max(least)), ..impairment.clone() }
}

/// Mostly what fits a segment, and sometimes as much as there can be.
fn draw_size(mut random: Random) -> usize {
    let most = *random.pick(&[1_200, 1_200, 1_500, 3_000, 3_000, 15_000, 15_000, SIZE_MAX as u64]);
    random.range(0..=most) as usize
}

/// Half of all replies where long ones are wanted: some windows, many, or more than anything else draws.
fn draw_large_size(mut random: Random) -> Option<usize> {
    let most = *random.pick(&[0, 0, 0, 0, 30_000, 100_000, 100_000, LARGE_SIZE_MAX as u64]);
    if most == 0 {
        return None;
    }
    // Most are stored, and go by a clock.
    Some(match random.below(8) {
        0..=3 => most as usize,
        4..=6 => (random.range(1..=most) as usize + 1).next_power_of_two() / 2,
        _ => random.range(1..=most) as usize,
    })
}

/// Draws what matters to clients of long replies only: slow readers, small windows, and ACKs that are held back.
pub(super) fn enlarge(kind: &mut Kind, mut random: Random) {
    let seldom = Probability::from_percent(20);
    if let Kind::Stack(settings) = kind {
        // smoltcp takes SACK and does not report duplicates (RFC 2883): its ACKs would be a clock that multiplies.
        settings.timestamps = false;
    }
    let Kind::Model(settings) = kind else { return };
    if random.chance(seldom) {
        settings.reads = Some(random.range(READS));
    }
    if random.chance(seldom) {
        settings.window = random.range(4000..=u64::from(u16::MAX)) as u32;
    }
    if random.chance(seldom) {
        settings.mss = Some(*random.pick(&[536, 1220]));
    }
    if random.chance(seldom) {
        settings.resend_limit = Some(*random.pick(&[1, 20, 536]));
    }
    settings.quick_acks = *random.pick(&[16, 16, 16, 0]);
}

/// Whether a client gets a reply of at most `len` bytes, head and body, in the time that there is.
pub(super) fn is_promised(scenario: &Scenario, kind: &Kind, ends: &Ends, len: usize, is_stored: bool) -> bool {
    let is_v6 = ends.client.is_ipv6();
    let headers = if is_v6 { 60 } else { 40 };
    let mut resends_whole = true;
    let mut is_slow = false;
    let (timestamps, sack, mss, window) = match kind {
        Kind::Model(settings) => {
            // A request that is lost and comes again in small pieces is never a request.
            if settings.resend_limit.is_some_and(|limit| usize::from(limit) < settings.request.concat().len()) {
                return false;
            }
            // Without positions only the whole request says what is wanted.
            let is_single = settings.request.len() == 1 && settings.close == Close::WithRequest;
            resends_whole = settings.resend_limit.is_none() && (is_single || settings.close == Close::AfterReply);
            let mss = settings.mss.map_or(if is_v6 { 1220 } else { 536 }, usize::from);
            is_slow = settings.reads.is_some();
            (settings.timestamps, settings.sack, mss, settings.window as usize)
        }
        // It echoes the timestamp that came last, which says nothing of where it is.
        Kind::Stack(settings) if settings.timestamps && is_stored => return len < 500,
        // It does not tell of what it gets twice.
        Kind::Stack(settings) => (false, false, settings.mtu - headers - 12, settings.window),
        Kind::Attacker(_) | Kind::Session(_) => return true,
    };
    let own = usize::from(scenario.config.mtu.bytes()) - headers;
    let segment = usize::from(Mss::at_most(mss.min(usize::from(u16::MAX)) as u16).bytes()).min(own);
    let segment = match (timestamps, is_v6) {
        (true, _) => segment - 12,
        (false, true) => segment.min(1220) - 15,
        (false, false) => segment.min(PROBED_MAX / 12) - 15,
    };
    let segments = len.div_ceil(segment);
    if segments <= 1 {
        // What fits one segment is not cut to a smaller window.
        return len <= window;
    }
    // Routers of IPv6 cut nothing, and what they say about it is not heeded yet.
    let path = scenario.down.mtu.map_or(usize::MAX, |mtu| usize::from(mtu.max(IPV6_MTU_MIN)));
    if is_v6 && segment + HEADERS_MAX > path {
        return false;
    }
    let of_window = window / segment;
    // A receiver announces more only where it is half its buffer (RFC 9293, section 3.8.6.2.2): what a slow one has
    // announced may stay below a segment.
    if is_slow && of_window < 2 {
        return false;
    }
    let is_placed = is_stored && segment >= PLACED_MIN;
    let of_round = match (timestamps, sack) {
        (true, true) if is_placed => of_window.min(8),
        (true, false) if is_placed => of_window.min(2),
        (false, true) if is_stored && resends_whole => of_window.min((PROBED_MAX / segment - 1).clamp(1, 8)),
        _ => return resends_whole && segments <= UNCLOCKED_SEGMENTS && of_window >= 10.min(segments),
    };
    of_round > 0 && segments / of_round <= ROUNDS_MAX
}

pub(super) fn draw_ends(mut random: Random, number: u32) -> Ends {
    let [a, b, c, d] = number.to_be_bytes();
    let index = random.below(SERVERS.len() as u64) as usize;
    let server = SERVERS[index];
    let client = match server {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::from_bits(u32::from_be_bytes([10, 128, 0, 1]).wrapping_add(number))),
        IpAddr::V6(_) => {
            let [high, low] = [u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])];
            IpAddr::V6(Ipv6Addr::new(0xfd09, 0, 0, 0, 0, 1, high, low))
        }
    };
    let port = random.range(1..=65_535) as u16;
    let ends = Ends::between(SocketAddr::new(client, port), SocketAddr::new(server, 80));
    let ends = Ends { client_mac: MacAddress::new([0x02, 0x01, a, b, c, d]), ..ends };
    if random.chance(Probability::from_percent(10)) { ends.vlan(random.range(1..=4094) as u16) } else { ends }
}

fn draw_stack(mut random: Random, usual: stack::Settings, len: usize) -> stack::Settings {
    let smallest = if usual.ends.client.is_ipv6() { u64::from(IPV6_MTU_MIN) } else { 576 };
    let often = Probability::from_percent(75);
    let seldom = Probability::from_percent(20);
    let window = if random.chance(seldom) { random.range(needed(len)..=65_535) } else { 65_535 };
    stack::Settings {
        seed: random.next_u64(),
        timestamps: random.chance(often),
        mtu: if random.chance(seldom) { random.range(smallest..=9000) as usize } else { 1500 },
        window: window as usize,
        delayed_ack: random.chance(often).then(|| Duration::from_millis(random.range(1..=500))),
        keep_alive: random.chance(seldom).then(|| Duration::from_secs(random.range(1..=10))),
        half_close: random.chance(seldom),
        ..usual
    }
}

fn draw_attacker(mut random: Random, ends: &Ends) -> attacker::Settings {
    attacker::Settings {
        ends: *ends,
        frames: random.range(1..=ATTACK_FRAMES) as u32,
        pause: Duration::from_nanos(random.below(ATTACK_PAUSE.as_nanos() as u64)),
        attacks: Vec::new(),
        victim: None,
    }
}

/// As Linux does it, or otherwise here and there.
fn draw_model(scenario: &Scenario, mut random: Random, linux: Settings, len: usize) -> Settings {
    let often = Probability::from_percent(75);
    let seldom = Probability::from_percent(20);
    let mut settings = Settings {
        resolve: random.chance(seldom),
        errand: *random.pick(&[
            Errand::Fetch,
            Errand::Fetch,
            Errand::Fetch,
            Errand::Fetch,
            Errand::Fetch,
            Errand::Fetch,
            Errand::Fetch,
            Errand::Connect,
            Errand::Abort,
            Errand::Scan,
        ]),
        close: *random.pick(&[
            Close::AfterReply,
            Close::AfterReply,
            Close::AfterReply,
            Close::AfterRequest,
            Close::WithRequest,
        ]),
        think: Duration::from_millis(random.below(2) * random.below(5000)),
        isn: random.next_u64() as u32,
        timestamp_base: random.next_u64() as u32,
        timestamps: random.chance(often),
        sack: random.chance(often),
        window_scale: random.chance(often).then(|| random.range(0..=14) as u8),
        mss: draw_mss(&mut random, linux.mss),
        delayed_ack: Duration::from_millis(random.below(2) * random.range(1..=500)),
        ack_handshake: random.chance(often),
        nagle: random.chance(seldom),
        tail_loss_probe: random.chance(often),
        keep_alive: random.chance(seldom).then(|| Duration::from_secs(random.range(1..=10))),
        old_duplicates: random.chance(seldom),
        strict: !scenario.may_mislead(),
        ..linux
    };
    if random.chance(seldom) {
        settings.window = random.range(needed(len)..=u64::from(u16::MAX)) as u32;
    }
    if random.chance(seldom) {
        let len = settings.request.concat().len() as u64;
        let places: Vec<usize> = (0..random.range(1..=4)).map(|_| random.below(len) as usize).collect();
        settings = settings.split_at(&places);
    } else {
        // Who does not put small segments together can never complete a request line that was cut.
        settings.collapse = random.chance(often);
    }
    // What a scale takes off its window would be missing where a reply just fits.
    let unit = 1 << settings.window_scale.unwrap_or_default();
    settings.window = settings.window.next_multiple_of(unit);
    settings
}

/// The window that takes a reply whole, as long as any does: one that goes out as one segment goes out whole or
/// not at all.
fn needed(len: usize) -> u64 {
    len.min(SIZE_MAX + HEAD_MAX) as u64
}

fn draw_mss(random: &mut Random, usual: Option<u16>) -> Option<u16> {
    *random.pick(&[usual, usual, usual, usual, None, Some(88), Some(536), Some(1220), Some(1380), Some(8960)])
}
