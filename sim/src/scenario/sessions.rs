//! Drawing clients that keep their connection: what each asks, when, in which pieces, and how it leaves.

use std::net::IpAddr;
use std::time::Duration;

use crate::frame::Ends;
use crate::peer::attacker::{self, Attack};
use crate::peer::client::{Close, Ending, SessionRequest, SessionSettings, Settings, Timing};
use crate::random::{Probability, Random};
use crate::sample;

use super::crowd::{self, HEAD_MAX};
use super::{ClientSpec, HEALS_AFTER, Kind, LARGE_SIZE_MAX, PATIENCE, Promise, SIZE_MAX, Scenario};

/// The most requests that are joined or written before the one ahead of them is answered: each costs a client that is
/// answered one at a time a retransmission timeout, twice as long as the one before.
const UNANSWERED_MAX: u32 = 4;

/// The longest retransmission timeout (`TCP_RTO_MAX`).
const TIMEOUT_MAX: Duration = Duration::from_mins(2);

/// The longest that a client is idle.
const DAY: Duration = Duration::from_hours(24);

/// What every smuggler's header field pretends to be. No client ever asks for this.
pub(crate) const SMUGGLED: &[u8] = b"GET /smuggled HTTP/1.1\r\n";

/// The longest header field ahead of what is smuggled.
const PADDING_MAX: u64 = 3000;

/// Bodies that a segment of any client has room for, with the head.
const SHORT: u64 = 300;

/// From here on sizes are drawn of responses of several segments.
const LONG_MIN: usize = 5000;

/// Requests that may share a segment with others.
const SMALL: usize = 200;

/// Frames of an attacker, and the longest pause between two.
const ATTACK_FRAMES: u64 = 60;
const ATTACK_PAUSE: Duration = Duration::from_millis(500);

/// Draws a client that makes at most so many requests on each connection, or an attacker on the connection of another.
pub(super) fn draw(scenario: &Scenario, random: &Random, number: u32, requests_max: u32) -> ClientSpec {
    let mut ends = crowd::draw_ends(random.fork("ends"), number);
    let is_v6 = ends.client.is_ipv6();
    let mut draw = random.fork("session");
    let is_attacker = draw.below(20) == 19;
    if !is_attacker {
        // Each connection has a port of its own, and these do not begin again.
        ends = ends.client_port(draw.range(1024..=32_767) as u16);
    }
    let (kind, patience) = if is_attacker {
        (Kind::Attacker(Box::new(draw_attacker(scenario, &mut draw, ends, number))), Duration::ZERO)
    } else {
        let settings = draw_session(scenario, random, &mut draw, &ends, requests_max.max(1));
        let patience = settings.patience();
        (Kind::Session(Box::new(settings)), patience)
    };
    let size = match &kind {
        Kind::Session(settings) => settings.requests.len(),
        _ => 0,
    };
    let promise = match &kind {
        _ if scenario.may_mislead() => Promise::Nothing,
        Kind::Attacker(_) => Promise::NoReply,
        _ => Promise::Reply,
    };
    ClientSpec {
        number,
        request: Vec::new(),
        kind,
        size,
        promise,
        ends,
        up: crowd::for_family(&scenario.up, is_v6),
        down: crowd::for_family(&scenario.down, is_v6),
        random: random.clone(),
        heals_after: HEALS_AFTER,
        patience: PATIENCE + patience,
    }
}

fn draw_attacker(scenario: &Scenario, draw: &mut Random, ends: Ends, number: u32) -> attacker::Settings {
    // The client before him: its addresses and port are known to him, and the server.
    let victim = number.checked_sub(1).map(|victim| super::Workload::client(scenario, victim).ends);
    attacker::Settings {
        ends,
        frames: draw.range(1..=ATTACK_FRAMES) as u32,
        pause: Duration::from_nanos(draw.below(ATTACK_PAUSE.as_nanos() as u64)),
        attacks: vec![Attack::Inject, Attack::ReplayKept, Attack::ReplayKept, Attack::Replay, Attack::Close],
        victim: victim.filter(|victim| victim.client.is_ipv4() == ends.client.is_ipv4()),
    }
}

impl SessionSettings {
    /// How much longer it may take than a client with one request.
    pub(super) fn patience(&self) -> Duration {
        let unanswered = self.requests.iter().filter(|request| !matches!(request.timing, Timing::Answered(_)));
        // Each of these may cost a retransmission timeout.
        self.idle() + TIMEOUT_MAX * unanswered.count() as u32
    }

    /// How long it waits in all.
    fn idle(&self) -> Duration {
        let pauses = self.requests.iter().map(|request| {
            let (Timing::Answered(pause) | Timing::Written(pause)) = request.timing else { return Duration::ZERO };
            pause + request.gap * request.cuts.len() as u32
        });
        let last = if let Ending::Close(pause) = self.ending { pause } else { Duration::ZERO };
        pauses.sum::<Duration>() + last
    }
}

fn draw_session(
    scenario: &Scenario,
    random: &Random,
    draw: &mut Random,
    ends: &Ends,
    requests_max: u32,
) -> SessionSettings {
    let seldom = Probability::from_percent(20);
    let often = Probability::from_percent(90);
    let mut client = Settings {
        isn: draw.next_u64() as u32,
        timestamp_base: draw.next_u64() as u32,
        timestamps: draw.chance(often),
        sack: draw.chance(often),
        window_scale: draw.chance(often).then(|| draw.range(0..=14) as u8),
        ack_handshake: draw.chance(often),
        tail_loss_probe: draw.chance(often),
        quick_acks: *draw.pick(&[16, 16, 0]),
        delayed_ack: Duration::from_millis(draw.below(2) * draw.range(1..=500)),
        strict: !scenario.may_mislead(),
        ..Settings::linux(ends, "/")
    };
    if draw.chance(seldom) {
        client.mss = *draw.pick(&[Some(1220), Some(1380), Some(8960)]);
    }
    // Behind a slow round trip and with long pauses, fewer requests are enough.
    let count = draw.range(1..=requests_max.into()) as u32;
    let is_smuggler = client.timestamps && draw.chance(seldom);
    let pauses: &[Duration] = match draw.below(4) {
        0 => &[Duration::ZERO],
        1 | 2 => &[Duration::ZERO, Duration::ZERO, Duration::from_millis(300), Duration::from_secs(3)],
        _ => &[Duration::ZERO, Duration::from_secs(5), Duration::from_mins(10), DAY],
    };
    let pause = *draw.pick(pauses);
    let ending = match draw.below(6) {
        0 => Ending::HalfClose,
        1 => Ending::Wait,
        2 => Ending::Reset,
        3 => Ending::Abort,
        _ => Ending::Close(pause),
    };
    let ending = if client.timestamps { ending } else { Ending::Close(Duration::ZERO) };
    if ending == Ending::HalfClose {
        client.close = Close::AfterRequest;
    }
    let mut requests = Vec::new();
    let (mut unanswered, mut is_placed) = (0, true);
    for number in 0..count {
        let mut random = random.fork("request").nth(number.into());
        let size = draw_size(scenario, &client, ends, random.fork("size"));
        let pause = *random.pick(pauses);
        let mut timing = match random.below(6) {
            0 => Timing::Joined,
            1 => Timing::Written(pause.min(Duration::from_millis(random.below(300)))),
            _ => Timing::Answered(pause),
        };
        if number == 0 || unanswered == UNANSWERED_MAX || !client.timestamps {
            // Before the first, a cookie does not wait for long.
            let pause = if number == 0 { pause.min(Duration::from_secs(5)) } else { pause };
            timing = Timing::Answered(pause);
        }
        // Of a response in several segments that is not stored, an ACK does not tell which request it is to: what
        // follows its request before it has been read may pass for that, by chance (docs/protocol.md).
        let is_unplaced = requests.last().is_some_and(|_| !is_placed);
        if is_unplaced {
            timing = Timing::Answered(pause);
        }
        is_placed = size <= SHORT as usize || sample::is_stored(size);
        unanswered = if matches!(timing, Timing::Answered(_)) { 0 } else { unanswered + 1 };
        let method = if random.below(8) == 0 { "HEAD" } else { "GET" };
        let mut bytes = format!("{method} /{size} HTTP/1.1\r\n").into_bytes();
        let host = match ends.server.ip() {
            IpAddr::V4(host) => format!("Host: {host}\r\n"),
            IpAddr::V6(host) => format!("Host: [{host}]\r\n"),
        };
        let mut cuts = Vec::new();
        if is_smuggler && random.chance(Probability::from_percent(50)) {
            bytes.extend(b"X: ");
            bytes.resize(bytes.len() + random.below(PADDING_MAX) as usize, b'x');
            cuts.push(bytes.len());
            bytes.extend(SMUGGLED);
            // The only one of the request around it.
            bytes.extend(host.as_bytes());
            bytes.extend(b"\r\n");
        } else {
            bytes.extend(host.as_bytes());
            bytes.extend(b"Accept: */*\r\n\r\n");
            if client.timestamps && random.chance(seldom) {
                cuts = (0..random.range(1..=3)).map(|_| 1 + random.below(bytes.len() as u64 - 1) as usize).collect();
                cuts.sort_unstable();
                cuts.dedup();
            }
        }
        // A kernel does not put a small piece and a full one together, so the line of such a request would never be
        // complete (`AppClients` says the same).
        if timing == Timing::Joined && bytes.len() > SMALL {
            timing = Timing::Answered(pause);
        }
        let gap = Duration::from_millis(random.below(2) * random.below(100));
        requests.push(SessionRequest { bytes, timing, cuts, gap });
    }
    if let (Ending::Wait, Some(last)) = (ending, requests.last_mut()) {
        last.bytes.truncate(last.bytes.len() - 2);
        last.bytes.extend(b"Connection: close\r\n\r\n");
    }
    // For its kernel it closes when it says so.
    client.close = Close::AfterReply;
    let mut session = SessionSettings { client, requests, ending, heals_after: HEALS_AFTER };
    if draw.chance(seldom) {
        let shortest = (session.idle() / 100).max(Duration::from_secs(1));
        session.client.keep_alive = Some(shortest + Duration::from_secs(draw.below(10)));
    }
    session
}

/// Mostly what fits a segment; sometimes several, where this client is promised those.
fn draw_size(scenario: &Scenario, client: &Settings, ends: &Ends, mut random: Random) -> usize {
    let most = *random.pick(&[SHORT, SHORT, SHORT, SHORT, 1300, 1300, 5000, 16_384]) as usize;
    let drawn = random.below(most as u64 + 1) as usize;
    let size = match scenario.options.size {
        Some(size) => size,
        None if most < LONG_MIN => drawn,
        None => draw_long_size(scenario, drawn, random.fork("long")),
    };
    let kind = Kind::Model(Box::new(client.clone()));
    let len = size + HEAD_MAX;
    let is_spoilt = !scenario.down.corrupt.is_never() && crowd::is_cut(scenario, &kind, len);
    let is_promised = crowd::is_promised(scenario, &kind, ends, len, sample::is_stored(size));
    if is_promised && !is_spoilt { size } else { size % SHORT as usize }
}

/// Most long responses are stored, and leave their connection open.
fn draw_long_size(scenario: &Scenario, drawn: usize, mut random: Random) -> usize {
    let most = if scenario.options.large { LARGE_SIZE_MAX } else { SIZE_MAX };
    let larger = (drawn as u64).max(random.below(1 + most as u64) * random.below(2)) as usize;
    if random.below(4) == 0 { drawn } else { sample::stored_up_to(larger).unwrap_or(drawn) }
}
