//! Nobody is made a victim: what forged packets draw, computed and measured.
//!
//! The attacker knows everything that is public: addresses, paths, the length and bytes of every response, how
//! cookies, stamps and probes are laid out. He has connections of his own to the same engine and replays what he
//! saw there. He does not know the secret, and he cannot see what goes to the victim, whose address he writes
//! into his packets. See docs/forgery.md.
//!
//! Each cell is measured twice. *Blind*: random packets, as the attacker sends them. *Sighted*: the same where
//! the echo, or what a probe tells, is drawn from those that are right for the secret; how often the attacker
//! hits one of those is a number without doubt (half of all echoes are stamps). That sees more hits, and so the
//! probabilities more exactly.
//!
//! `FORGED=1000000 cargo test --release --test forgery -- --nocapture` prints the table of docs/forgery.md.

#![allow(clippy::cast_precision_loss, clippy::cast_sign_loss, reason = "a share of packets needs no 52 bits")]

mod support;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;
use std::time::Instant as Stopwatch;

use lethe::app::{Generations, Position};
use lethe::config::{Config, Mtu, Refuse};
use lethe::cookie::{CookieFields, Flow, Mss, Scale};
use lethe::engine::SCRATCH_LEN;
use lethe::http::Response;
use lethe::port::{Checked, RxChecksum, RxFrame};
use lethe::time::Instant;
use lethe::verdict::{ReplyKind, Verdict};
use lethe::wire::ip::AddressPair;
use lethe::wire::seq::SeqNumber;
use lethe::wire::tcp::Flags;
use lethe::{App, Engine, Request};
use lethe_sim::frame::{Ends, Segment};
use lethe_sim::random::Random;
use lethe_sim::workspace::Workspace;
use support::config;

const NOW: Instant = Instant::from_unix_seconds(1_780_000_000);

/// So many by default; the big run says more.
const FORGED: u64 = 30_000;

/// Packets per measurement.
fn packets() -> u64 {
    std::env::var("FORGED").ok().and_then(|value| value.parse().ok()).unwrap_or(FORGED)
}

/// The MSS values of a cookie.
const MSS: [u16; 8] = [88, 536, 1220, 1300, 1380, 1440, 1460, 8940];

const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\n\r\n";

/// The shortest request there is.
const GET: &str = "GET /g HTTP/1.0\n";

/// The longest that a probe stands for.
const PROBE_MAX: f64 = 1460.0;

/// What the stamps of stored responses count from whose connections end: behind 37 for each two positions.
const PLACED: u32 = (1 << 26) + (8 << 20) + 2 + Position::COUNT / 2 * 37;

/// Ways in which a segment of a stored response can have been sent, as its stamp says: on a path that is wide, and on
/// one that is narrow; four of each are those of clients without SACK.
const WAYS: u32 = 45;
const WIDE_WAYS: f64 = 31.0;
const NARROW_WAYS: f64 = 14.0;
const PAIRS: f64 = 4.0;

/// Stamps of stored responses.
const STAMPS: u32 = Position::COUNT * WAYS;

/// Segments in flight at each level, and the most that slow start has.
const LEVELS: [u32; 16] = [4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 512, 512];

/// Of these, levels of what is sent again.
const AGAIN: usize = 8;

/// How many segments an ACK may be ahead where windows are scaled: at any level, behind what was sent again, and where
/// the client's RTO has expired.
const LATE: u32 = 64;
const REACH: u32 = 640;
const TIMEOUT_REACH: u32 = 1200;

/// Bytes that a probe can tell of: three blocks fit.
const PROBED_MAX: u32 = 3 * (1 << 14) - 1;

/// Segments in flight by the clocks that a probe can be, in slow start at the most.
const CLOCKS: [u32; 6] = [32, 4, 8, 12, 16, 24];

/// A probe is at least so far back, and at most this circle further.
const MARGIN: u32 = 1 << 17;
const CIRCLE: u32 = (1 << 31) - 2 * MARGIN;

/// How far back the probe is that tells so much.
fn back_of(base: u32, told: u32) -> u32 {
    MARGIN + ((u64::from(base) + u64::from(told)) % u64::from(CIRCLE)) as u32
}

/// A data set of as many responses of the same length as there are positions for, in each live version.
struct Full {
    body: &'static [u8],
    live: u8,
}

impl Full {
    fn new(len: usize, live: u8) -> Self {
        // Zero pages: memory is taken for none of it.
        static ZEROS: LazyLock<Vec<u8>> = LazyLock::new(|| vec![0; 1_000_000_000]);
        Self { body: &ZEROS[..len - HEAD.len()], live }
    }

    fn len(&self) -> usize {
        HEAD.len() + self.body.len()
    }

    /// Positions from one response to the next.
    fn stride(&self) -> u32 {
        Position::units(self.len()).next_multiple_of(Position::BLOCK) as u32
    }

    /// How many there are in each version.
    fn count(&self) -> u32 {
        (Position::PER_GENERATION - 1) / self.stride()
    }

    fn at(&self, position: u32) -> Response<'_> {
        Response::prepared(HEAD, self.body).stored_at(Position::new(position).unwrap())
    }
}

impl App for Full {
    fn respond<'a>(&'a self, request: &Request<'_>, _: &'a mut [u8]) -> Response<'a> {
        self.at(u32::from(request.generation) * Position::PER_GENERATION)
    }

    fn stored(&self, position: Position) -> Option<Response<'_>> {
        let generation = position.value() / Position::PER_GENERATION;
        let number = position.value() % Position::PER_GENERATION / self.stride();
        let is_live = self.live >> generation & 1 == 1 && number < self.count();
        is_live.then(|| self.at(generation * Position::PER_GENERATION + number * self.stride()))
    }

    fn stores(&self) -> bool {
        true
    }

    fn generations(&self) -> Generations {
        Generations { current: 0, live: self.live }
    }
}

/// What a forged packet looks like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mode {
    /// A request.
    Request,
    /// A request with FIN.
    RequestFin,
    /// A request that echoes a timestamp.
    RequestEcho,
    /// The same with a SACK block far ahead: what is missing before it is sent at once.
    RequestEchoSack,
    /// An ACK that echoes a timestamp.
    Ack,
    /// The same with a SACK block.
    AckSack,
    /// An ACK with a D-SACK block, as if for a probe.
    Probe,
    /// A FIN that echoes a timestamp.
    Fin,
    /// The same with a SACK block.
    FinSack,
}

impl Mode {
    const ALL: [Self; 9] = [
        Self::Request,
        Self::RequestFin,
        Self::RequestEcho,
        Self::RequestEchoSack,
        Self::Ack,
        Self::AckSack,
        Self::Probe,
        Self::Fin,
        Self::FinSack,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::RequestFin => "request, FIN",
            Self::RequestEcho => "request, echo",
            Self::RequestEchoSack => "request, echo, SACK",
            Self::Ack => "ACK, echo",
            Self::AckSack => "ACK, echo, SACK",
            Self::Probe => "ACK, D-SACK",
            Self::Fin => "FIN, echo",
            Self::FinSack => "FIN, echo, SACK",
        }
    }

    const fn echoes(self) -> bool {
        !matches!(self, Self::Request | Self::RequestFin | Self::Probe)
    }

    const fn is_ack(self) -> bool {
        matches!(self, Self::Ack | Self::AckSack)
    }

    const fn has_sack(self) -> bool {
        matches!(self, Self::RequestEchoSack | Self::AckSack | Self::Probe | Self::FinSack)
    }

    const fn is_request(self) -> bool {
        matches!(self, Self::Request | Self::RequestFin | Self::RequestEcho | Self::RequestEchoSack)
    }

    const fn has_fin(self) -> bool {
        matches!(self, Self::RequestFin | Self::Fin | Self::FinSack)
    }

    fn template(self, ends: &Ends) -> Vec<u8> {
        let mut segment = Segment::ack(ends).window(u16::MAX);
        if self.echoes() {
            segment = segment.timestamps(7, 0);
        }
        if self.has_sack() {
            segment = segment.sack(&[(0, 0)]);
        }
        if self.is_request() {
            segment = segment.payload(GET);
        }
        if self.has_fin() {
            segment = segment.with(Flags::FIN);
        }
        segment.frame()
    }
}

/// What the attacker draws, before it is written into a packet.
#[derive(Clone, Copy, Default, Debug)]
struct Draw {
    port: u16,
    seq: u32,
    ack: u32,
    echo: u32,
    sack: (u32, u32),
}

/// An engine under attack from one address family.
struct Target {
    engine: Engine<Full>,
    ends: Ends,
    own_mss: u32,
}

impl Target {
    fn new(len: usize, live: u8, ends: Ends, mtu: u16) -> Self {
        let config = Config { mtu: Mtu::new(mtu).unwrap(), ..config(Refuse::Drop) };
        let headers = if ends.client.is_ipv4() { 40 } else { 60 };
        Self { engine: Engine::new(config, Full::new(len, live)), ends, own_mss: u32::from(mtu) - headers }
    }

    const fn header_len(&self) -> usize {
        if self.ends.client.is_ipv4() { 54 } else { 74 }
    }

    /// Bytes of the two messages that go with what resumes: IP header, ICMP, and as much of what came as a router
    /// quotes.
    const fn quotes_len(&self) -> usize {
        let ip = self.header_len() - 20;
        2 * (ip + 8 + (ip - 14) + 8)
    }

    fn flow(&self, port: u16) -> Flow {
        let addresses = match (self.ends.client.ip(), self.ends.server.ip()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => AddressPair::V4 { source, destination },
            (IpAddr::V6(source), IpAddr::V6(destination)) => AddressPair::V6 { source, destination },
            _ => panic!("two families"),
        };
        Flow { addresses, client_port: port, server_port: 80 }
    }

    /// What only the server knows of a connection: timestamp base and mark.
    fn secrets(&self, port: u16) -> (u32, u32) {
        let (secret, flow) = (&self.engine.config().secret, self.flow(port));
        let claims = CookieFields { mss: Mss::at_most(0), generation: 0, scale: Scale::NONE };
        let cookie = secret.flow_keys(&flow).cookie(NOW, SeqNumber::new(0), claims, false).0.value();
        (secret.flow_keys(&flow).timestamp_base, cookie & 0xffff)
    }

    /// Bytes of payload in a full segment.
    fn segment(&self, mss: u16, mode: Mode) -> u32 {
        let mut mss = u32::from(mss).min(self.own_mss);
        if !mode.echoes() && self.ends.client.is_ipv6() {
            mss = mss.min(1220);
        }
        // Without timestamps no longer than a twelfth of what a probe tells of, and a multiple of eight but not of 16.
        if mode.echoes() { (mss - 12) & !3 } else { (mss.min(PROBED_MAX / 12) - 8) / 16 * 16 + 8 }
    }

    /// Bytes of the response.
    fn len(&self) -> u32 {
        self.engine.app().len() as u32
    }

    fn write(&self, mode: Mode, draw: &Draw, frame: &mut [u8]) {
        let tcp = self.header_len() - 20;
        frame[tcp..tcp + 2].copy_from_slice(&draw.port.to_be_bytes());
        frame[tcp + 4..tcp + 8].copy_from_slice(&draw.seq.to_be_bytes());
        frame[tcp + 8..tcp + 12].copy_from_slice(&draw.ack.to_be_bytes());
        let mut options = tcp + 20;
        if mode.echoes() {
            frame[options + 8..options + 12].copy_from_slice(&draw.echo.to_be_bytes());
            options += 12;
        }
        if mode.has_sack() {
            frame[options + 4..options + 8].copy_from_slice(&draw.sack.0.to_be_bytes());
            frame[options + 8..options + 12].copy_from_slice(&draw.sack.1.to_be_bytes());
        }
    }
}

/// What came of some packets.
#[derive(Clone, Copy, Default, Debug)]
struct Tally {
    packets: u64,
    /// Those that drew a part of a response, or a probe.
    hits: u64,
    /// All bytes that were sent.
    sent: u64,
    nanos: u128,
}

impl Tally {
    fn probability(&self) -> f64 {
        self.hits as f64 / self.packets as f64
    }

    fn bytes(&self) -> f64 {
        self.sent as f64 / self.packets as f64
    }
}

/// Sends packets and counts what comes back.
fn attack(target: &Target, mode: Mode, packets: u64, mut draw: impl FnMut() -> Draw) -> Tally {
    // The checksum is right in a real packet; here nobody has to compute it.
    let valid = RxChecksum { network: Checked::Good, transport: Checked::Good };
    let mut frame = mode.template(&target.ends);
    let (mut scratch, mut buffer) = (vec![0; SCRATCH_LEN], vec![0; 10_000]);
    let mut tally = Tally { packets, ..Tally::default() };
    let begin = Stopwatch::now();
    for _ in 0..packets {
        target.write(mode, &draw(), &mut frame);
        let rx = RxFrame { bytes: &frame, checksum: valid };
        let mut reply = target.engine.handle(NOW, rx, &mut scratch);
        let is_data = match reply.verdict() {
            Verdict::Replied(kind) => !matches!(kind, ReplyKind::FinAck | ReplyKind::Settled | ReplyKind::LateAck),
            _ => false,
        };
        tally.hits += u64::from(is_data);
        while let Some(written) = reply.next_frame(&mut buffer) {
            tally.sent += written.len as u64;
        }
    }
    tally.nanos = begin.elapsed().as_nanos();
    tally
}

/// The highest acknowledgement whose cookie claims this MSS and the last live version, less the low half: so
/// that all that is behind it, as far as the response reaches, claims it as well, or what is next to it.
fn top_of(mss_index: usize, live: u8) -> u32 {
    // The highest scale; but no window is scaled of a client with so small an MSS.
    let scale = if MSS[mss_index] < 1220 { 0 } else { 4 };
    ((mss_index as u32) << 29).wrapping_add((live.ilog2() << 27) + ((scale + 1) << 24)).wrapping_sub(1 << 16)
}

/// What the cookies claim from there on down, over `reach` bytes: the segments, whether windows are scaled, and how
/// many of the bytes, in live versions.
fn claimed(target: &Target, mode: Mode, mss_index: usize, reach: u32) -> Vec<(u32, bool, f64)> {
    let live = target.engine.app().live;
    let top = u64::from(top_of(mss_index, live)) + (1 << 32);
    let classes = (0..512_u64).filter(|class| live >> (class / 8 % 4) & 1 == 1).map(|class| {
        let (from, to) = (class << 24, (class + 1) << 24);
        let bytes = top.min(to).saturating_sub((top - u64::from(reach)).max(from));
        let segment = target.segment(MSS[(class / 32 % 8) as usize], mode);
        let is_scaled = (1..5).contains(&(class % 8)) && mode.echoes();
        (segment - u32::from(is_scaled), is_scaled, bytes as f64)
    });
    classes.filter(|&(_, _, bytes)| bytes > 0.0).collect()
}

/// Draws packets as the attacker does: everything random but the claims that he wants the cookie to make.
fn blind(target: &Target, mode: Mode, mss_index: usize, mut random: Random) -> impl FnMut() -> Draw {
    let segment = target.segment(MSS[mss_index], mode);
    let base = top_of(mss_index, target.engine.app().live);
    move || {
        let (a, b) = (random.next_u64(), random.next_u64());
        let ack = base.wrapping_add(a as u32 & 0xffff);
        let mut draw = Draw { port: (a >> 16) as u16 | 1, seq: (a >> 32) as u32, ack, echo: b as u32, sack: (0, 0) };
        draw.sack = sack_of(mode, ack, segment, (b >> 32) as u32 & 0x7fff_ffff);
        draw
    }
}

/// A SACK block that draws the most: one that ends where ten segments would; or a long probe so far back.
fn sack_of(mode: Mode, ack: u32, segment: u32, back: u32) -> (u32, u32) {
    match mode {
        Mode::Probe => {
            let place = ack.wrapping_sub(1).wrapping_sub(back);
            (place, place.wrapping_add(PROBE_MAX as u32))
        }
        _ => (ack.wrapping_add(11 * segment), ack.wrapping_add(14 * segment)),
    }
}

/// Draws packets whose echo, or whose probe, is right for the secret. The attacker finds one with the
/// probability that is returned.
fn sighted<'t>(
    target: &'t Target,
    mode: Mode,
    mss_index: usize,
    mut random: Random,
) -> (f64, Box<dyn FnMut() -> Draw + 't>) {
    let segment = target.segment(MSS[mss_index], mode);
    let mut blind = blind(target, mode, mss_index, random.fork("blind"));
    if mode.echoes() {
        // One in six echoes is the stamp of some place.
        let draw = move || {
            let mut draw = blind();
            let (base, _) = target.secrets(draw.port);
            draw.echo = base.wrapping_add(PLACED).wrapping_add(random.below(STAMPS.into()) as u32);
            draw
        };
        (f64::from(STAMPS) / 2_f64.powi(32), Box::new(draw))
    } else if mode == Mode::Probe {
        // Whatever it tells, the client must be at the start of a segment: one of `segment` acknowledgements, for each
        // of the blocks that fit.
        let draw = move || {
            let mut draw = blind();
            let (base, mark) = target.secrets(draw.port);
            let told = random.below(u64::from(CIRCLE)) as u32;
            let block = (told.div_ceil(1 << 14) + random.below(4) as u32).wrapping_sub(1);
            let within = block % (1 << 15) * 32;
            let floor = within % target.engine.app().stride() * 512;
            let now = (floor + (draw.ack & 0xffff)).next_multiple_of(segment);
            let high = draw.ack.wrapping_sub(now) & 0xffff_0000;
            draw.ack = (high | mark).wrapping_add(1).wrapping_add(now);
            draw.sack = sack_of(mode, draw.ack, segment, back_of(base, told));
            draw
        };
        (4.0 / f64::from(segment), Box::new(draw))
    } else {
        (1.0, Box::new(blind))
    }
}

/// Draws what the attacker's own connections were told, each for the same port of the victim.
fn learned(target: &Target, mode: Mode, mss_index: usize, mut random: Random) -> impl FnMut() -> Draw {
    let mut own = target.ends;
    own.client.set_ip(match own.client.ip() {
        IpAddr::V4(_) => Ipv4Addr::new(10, 9, 7, 7).into(),
        IpAddr::V6(_) => Ipv6Addr::new(0xfd09, 0, 0, 0, 0, 0, 7, 7).into(),
    });
    let own = Target { ends: own, engine: Engine::new(target.engine.config().clone(), Full::new(2000, 15)), ..*target };
    let segment = target.segment(MSS[mss_index], mode);
    let (secret, len, stride) = (target.engine.config().secret, target.len(), target.engine.app().stride());
    let stored = target.engine.app().count() * stride;
    move || {
        let (a, b) = (random.next_u64(), random.next_u64());
        let (port, isn) = (a as u16 | 1, (a >> 16) as u32);
        // His own connection, and how it stands at some moment of it.
        let claims = CookieFields { mss: Mss::at_most(MSS[mss_index]), generation: 0, scale: Scale::NONE };
        let cookie =
            secret.flow_keys(&own.flow(port)).cookie(NOW, SeqNumber::new(isn), claims, mode.echoes()).0.value();
        let base = secret.flow_keys(&own.flow(port)).timestamp_base;
        let first = b as u32 % stored / stride * stride;
        let before = (b >> 32) as u32 % (len / segment).max(1) * segment;
        let now = before + 2 * segment;
        let ack = cookie.wrapping_add(1).wrapping_add(now);
        let echo = base.wrapping_add(PLACED).wrapping_add((first + before / 512) * WAYS);
        let block = (first + now / 512) / 32;
        let back = back_of(base, block << 14);
        Draw { port, seq: isn.wrapping_add(1), ack, echo, sack: sack_of(mode, ack, segment, back) }
    }
}

/// What the rules say: how likely a packet draws data, and how many bytes at most it is expected to draw.
#[derive(Clone, Copy, Debug)]
struct Computed {
    probability: f64,
    /// At most, with all headers.
    on_hit: f64,
    bytes: f64,
}

/// Epochs for which a request may be resumed: what src/tcp/transfer.rs says.
fn resume_epochs(len: u32) -> f64 {
    f64::from((2_000_000_000 / len).clamp(2, 60))
}

/// Segments that answer it.
fn resume_window(len: u32, segment: u32) -> f64 {
    probed_window(segment).min(f64::from(((1 << 25) / len).max(1)))
}

/// Segments of a first window without timestamps.
fn probed_window(segment: u32) -> f64 {
    f64::from((PROBED_MAX / segment - 1).clamp(1, 10))
}

/// Nothing if a client with this MSS has no such mode.
fn compute(target: &Target, mode: Mode, mss_index: usize) -> Option<Computed> {
    let len = target.len();
    if mode.is_request() && !mode.echoes() {
        return Some(compute_request(target, mode, &claimed(target, mode, mss_index, len)));
    }
    // Of each version, half a gigabyte has blocks.
    let reach = if mode == Mode::Probe { len.min(1 << 29) } else { len };
    let mut sum = Computed { probability: 0.0, on_hit: 0.0, bytes: 0.0 };
    for (segment, is_scaled, bytes) in claimed(target, mode, mss_index, reach) {
        let share = bytes / f64::from(reach);
        let part = match mode {
            Mode::Probe => compute_probe(target, segment),
            _ if segment < 512 || is_scaled && segment < 1000 => continue,
            _ if is_scaled => compute_scaled(target, mode, segment),
            _ => compute_placed(target, mode, segment),
        };
        sum.probability += share * part.probability;
        sum.on_hit = part.on_hit.max(sum.on_hit);
        sum.bytes += share * part.bytes;
    }
    (sum.bytes > 0.0).then_some(sum)
}

/// A request that is resumed: the low half of the acknowledgement is right for one offset in 2^16, the tag for
/// one in 2^11 and epoch. A segment that is a multiple of `2^n` has no offset at all but for one low half in `2^n`.
fn compute_request(target: &Target, mode: Mode, claimed: &[(u32, bool, f64)]) -> Computed {
    let (len, header) = (target.len(), target.header_len() as f64);
    let rate = resume_epochs(len) / f64::from(1 << 27);
    let frame = mode.template(&target.ends).len() as f64;
    let mut sum = Computed { probability: 0.0, on_hit: 0.0, bytes: 0.0 };
    for low in 0..64_u32 {
        let fits = claimed.iter().filter(|(segment, ..)| low.trailing_zeros() >= segment.trailing_zeros());
        let parts = fits.map(|&(segment, _, covered)| {
            let data = resume_window(len, segment).min(f64::from(len / segment + 1)) * (f64::from(segment) + header);
            (covered / f64::from(segment >> segment.trailing_zeros()) * rate, data + frame + target.quotes_len() as f64)
        });
        let (expected, bytes) = parts.fold((0.0, 0.0), |(all, bytes), (hits, each)| (all + hits, bytes + hits * each));
        // Exactly one offset must be right.
        let only = (-expected).exp();
        sum.probability += expected * only / 64.0;
        sum.bytes += bytes * only / 64.0;
    }
    Computed { on_hit: sum.bytes / sum.probability, ..sum }
}

/// Any number tells of four blocks, or of three to a clock: that there is a response, that the client is at the start
/// of a segment, and that so much is in flight as it tells (seven kinds of eight).
fn compute_probe(target: &Target, segment: u32) -> Computed {
    let (app, header, s) = (target.engine.app(), target.header_len() as f64, f64::from(segment));
    let blocks = f64::from(app.live.count_ones() * ((app.count() * app.stride()).min(1 << 20) / 32));
    let there = blocks * 16384.0 / f64::from(1_u32 << 31) * share_within(target.len(), segment);
    let (clock, spare, check) = (3.0 * there / s / s, 4.0 * there / s / s, there / s / 16384.0);
    let probe = header + PROBE_MAX;
    let window = |segments: u32| f64::from(segments.min(PROBED_MAX / segment - 1)) * (s + header) + 2.0 * probe;
    let clocks: f64 = CLOCKS.into_iter().map(window).sum();
    // A clock and a spare draw something, a check only from where it was.
    Computed {
        probability: clock * CLOCKS.len() as f64 + spare + check,
        on_hit: window(32),
        bytes: clock * clocks + spare * probe + check * window(10),
    }
}

/// The position must be that of a segment, and the client at the start of one, or of a piece.
fn compute_placed(target: &Target, mode: Mode, segment: u32) -> Computed {
    let s = f64::from(segment);
    let piece = if target.ends.client.is_ipv4() { 524 } else { 1208 };
    let there = places(target, segment) * share_within(target.len(), segment) / s;
    let pieces = f64::from(segment.div_ceil(piece));
    // An ACK of a pair is answered only where all of it has come.
    let pairs = if mode.is_ack() { PAIRS } else { 0.0 };
    let (wide, narrow_ways) = (WIDE_WAYS - pairs, NARROW_WAYS - pairs);
    let options = target.header_len() as f64 + 12.0;
    // An ACK is answered with all that it makes room for, as it could be of all that was under way.
    let most = if mode.is_ack() { 32.0_f64 } else { 10.0 };
    let quotes = if mode.is_ack() { 0.0 } else { target.quotes_len() as f64 };
    let on_hit = most.min(f64::from(target.len().div_ceil(segment))) * (s + options) + quotes;
    let narrow = most * (s.min(f64::from(piece)) + options) + quotes;
    Computed {
        probability: there * (wide + narrow_ways * pieces),
        on_hit,
        bytes: there * (wide * on_hit + narrow_ways * pieces * narrow),
    }
}

/// A target whose windows are scaled: of 2^16 acknowledgements as many are right as segments may have been in flight.
fn compute_scaled(target: &Target, mode: Mode, segment: u32) -> Computed {
    let narrow = compute_placed(target, mode, segment);
    let narrow_share = NARROW_WAYS / WIDE_WAYS;
    let there = places(target, segment) / 65536.0;
    let options = target.header_len() as f64 + 12.0;
    let starts = target.len().div_ceil(segment);
    let full = f64::from(segment) + options;
    let (mut probability, mut segments) = (0.0, 0.0);
    if mode.is_ack() {
        for (index, level) in LEVELS.into_iter().enumerate() {
            // What is acknowledged makes room for as much, and slow start or a step of the window for a third more.
            let ahead = level.max(LATE).min(starts);
            probability += f64::from(ahead);
            segments += f64::from(ahead) * f64::from(ahead) / 2.0 * 4.0 / 3.0;
            if index < AGAIN {
                probability += f64::from(REACH.min(starts));
                segments += f64::from(REACH.min(starts)) * f64::from(level);
            }
        }
        // What filled the window.
        probability += 512.0_f64.min(f64::from(starts));
        segments += 512.0_f64.min(f64::from(starts)) * 4.0;
    } else {
        probability = f64::from(TIMEOUT_REACH.min(starts)) * WIDE_WAYS;
        segments = probability * 10.0;
    }
    let quotes = if mode.is_ack() { 0.0 } else { probability * target.quotes_len() as f64 };
    Computed {
        probability: there * probability + narrow.probability * narrow_share,
        on_hit: 640.0_f64.min(f64::from(starts)) * full,
        bytes: there * (segments * full + quotes) + narrow.bytes * narrow_share,
    }
}

/// How likely an echo is a stamp of the position of some segment, for each way in which that was sent.
fn places(target: &Target, segment: u32) -> f64 {
    let app = target.engine.app();
    let objects = f64::from(app.count() * app.live.count_ones());
    objects * f64::from(target.len().div_ceil(segment)) / 2_f64.powi(32)
}

/// How much of the 64 kB behind the start of a segment lies within its response, on average.
fn share_within(len: u32, segment: u32) -> f64 {
    let starts = len.div_ceil(segment);
    let step = (starts / 4096).max(1);
    let sample = (0..starts).step_by(step as usize).map(|start| f64::from((len - start * segment).min(1 << 16)));
    let count = starts.div_ceil(step);
    sample.sum::<f64>() / f64::from(count) / 65536.0
}

/// One row of the table: the worst of all clients that the attacker can pretend to be.
struct Cell {
    target: Target,
    mss_index: usize,
    frame: usize,
    computed: Computed,
}

impl Cell {
    fn amplification(&self) -> f64 {
        self.computed.bytes / self.frame as f64
    }

    /// The worst over MSS, address family, MTU and versions of the data set.
    fn worst(len: usize, mode: Mode) -> Self {
        let mut cells = Vec::new();
        for ends in [Ends::v4(), Ends::v6()] {
            for mtu in [1500, 9000] {
                for live in [0b0001, 0b1111] {
                    for mss_index in 0..MSS.len() {
                        let target = Target::new(len, live, ends, mtu);
                        let frame = mode.template(&ends).len();
                        if let Some(computed) = compute(&target, mode, mss_index) {
                            cells.push(Self { target, mss_index, frame, computed });
                        }
                    }
                }
            }
        }
        cells.into_iter().max_by(|a, b| a.amplification().total_cmp(&b.amplification())).unwrap()
    }

    fn describe(&self) -> String {
        let version = if self.target.ends.client.is_ipv4() { "IPv4" } else { "IPv6" };
        let live = self.target.engine.app().live.count_ones();
        format!("{version}, MSS {}, {live} live", MSS[self.mss_index].min(self.target.own_mss as u16))
    }
}

/// The sizes of the table.
const SIZES: [(&str, usize); 4] =
    [("14 kB", 14_000), ("1 MB", 1_000_000), ("100 MB", 100_000_000), ("1 GB", 1_000_000_000)];

#[test]
fn no_forged_packet_pays() {
    let mut failures = Vec::new();
    println!(
        "| packet | reply | worst client | frame | P computed | bytes on a hit | P sighted | blind hits | expected | \
         ×computed | ×measured | ns |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|");
    for mode in Mode::ALL {
        for (name, len) in SIZES {
            let cell = Cell::worst(len, mode);
            let Cell { target, mss_index, frame, computed, .. } = &cell;
            let random = Random::from_seed(len as u64).fork(mode.name());
            let packets = packets();
            let blindly = attack(target, mode, packets, blind(target, mode, *mss_index, random.fork("blind")));
            let own = attack(target, mode, packets, learned(target, mode, *mss_index, random.fork("learned")));
            let (share, draw) = sighted(target, mode, *mss_index, random.fork("sighted"));
            let seen = attack(target, mode, packets, draw);
            let (probability, bytes) = (share * seen.probability(), share * seen.bytes());
            let amplification = bytes / *frame as f64;
            println!(
                "| {} | {name} | {} | {frame} | {:.1e} | {:.0} | {probability:.1e} | {} + {} | {:.1} | {:.4} | \
                 {amplification:.4} | {} |",
                mode.name(),
                cell.describe(),
                computed.probability,
                computed.on_hit,
                blindly.hits,
                own.hits,
                (computed.probability * packets as f64),
                cell.amplification(),
                blindly.nanos / u128::from(packets),
            );
            let mut check = |what: &str, good: bool| {
                if !good {
                    failures.push(format!("{} {name}: {what}", mode.name()));
                }
            };
            check("computed amplification", cell.amplification() < 1.0);
            // A hit draws thousands of bytes, so what few packets drew says little.
            let noise = 1.0 + 5.0 / ((seen.hits + 1) as f64).sqrt();
            check("measured amplification", amplification < 1.0);
            let expected = computed.probability * seen.packets as f64;
            check("more bytes than computed", amplification <= cell.amplification() * noise);
            // Offsets that fit a low half come in a row, which is not quite what chance does.
            let most = computed.probability * 1.15;
            check("more hits than computed", probability <= most * noise);
            // At a high pace all of a short response is under way already, and nothing is drawn.
            check("fewer hits than computed", mode.has_sack() || (seen.hits + 3) as f64 * noise * 3.0 >= expected);
            // What he learned makes other claims: of another MSS there are more segments, or fewer, in a response.
            for (what, tally, most) in [("blind", &blindly, most), ("learned", &own, 1.5 * most)] {
                check(what, tally.bytes() < *frame as f64);
                let expected = most * packets as f64;
                check(what, tally.hits as f64 <= expected + 5.0 * expected.sqrt() + 3.0);
            }
        }
    }
    assert_eq!(failures, Vec::<String>::new());
}

/// The sizes between those of the table, where the number of epochs and the number of segments change.
#[test]
fn no_size_between_pays_either() {
    let mut worst = (0.0, String::new());
    for step in 0..80 {
        let len = (14_000.0 * 1.15_f64.powi(step)).min(1e9) as usize;
        for mode in [Mode::Request, Mode::RequestEchoSack, Mode::Ack, Mode::Probe] {
            let cell = Cell::worst(len, mode);
            if cell.amplification() > worst.0 {
                worst = (cell.amplification(), format!("{} of {len} bytes, {}", mode.name(), cell.describe()));
            }
        }
    }
    println!("worst of all sizes: {worst:?}");
    assert!(worst.0 < 1.0, "{worst:?}");
}

/// A FIN without timestamps may be that of a client that has its response: it is acknowledged, byte for byte. A SYN
/// draws the MSS option besides, which fits the padding of the frame.
#[test]
fn what_is_not_data_is_no_larger_than_what_drew_it() {
    for ends in [Ends::v4(), Ends::v6()] {
        let target = Target::new(14_000, 15, ends, 1500);
        let mut random = Random::from_seed(1);
        for frame in [Segment::fin(&ends), Segment::fin(&ends).payload("x"), Segment::syn(&ends)] {
            for _ in 0..1000 {
                let (a, b) = (random.next_u64(), random.next_u64());
                let frame = frame.clone().seq(a as u32).ack_number(b as u32).frame();
                let (_, sent) = Workspace::default().answer(&target.engine, NOW, &frame);
                let sent: usize = sent.iter().map(|frame| frame.len().max(60)).sum();
                assert!(sent <= frame.len().max(60) + if ends.client.is_ipv4() { 0 } else { 4 }, "{sent}");
            }
        }
    }
}

/// What a forged packet for a connection that is kept open may pretend to be.
const KEPT_KINDS: [&str; 4] = ["request", "FIN", "probe", "ACK"];

/// Bits of a stamp that prove where the next request begins. A proof has a stamp for each of four generations, and of
/// 25 segment sizes and scales.
const KEPT_PROOF_BITS: i32 = 22;
const KEPT_STAMPS: i32 = 4 * 25;

/// Bits of the proof that are right already when the chance of the others is measured.
const KEPT_GIVEN_BITS: i32 = 12;

/// A connection that is kept open, as its client knows it.
struct Kept {
    ends: Ends,
    next: u32,
    read: u32,
    echo: u32,
}

impl Kept {
    fn new(engine: &Engine<lethe_sim::sample::Sample>, ends: Ends, isn: u32) -> Self {
        let told = |segment: Segment| {
            let (_, sent) = Workspace::default().answer(engine, NOW, &segment.frame());
            let frame = lethe_sim::dissect::Frame::dissect(&sent[0]).unwrap();
            let tcp = frame.tcp().unwrap().1;
            (tcp.ack.value(), tcp.end().value(), tcp.timestamps.unwrap().0)
        };
        let (next, read, echo) = told(Segment::syn(&ends).seq(isn).mss(1460).sack_permitted().timestamps(5, 0));
        let request = Segment::ack(&ends).seq(next).ack_number(read).timestamps(5, echo).payload(KEPT_GET);
        let (next, read, echo) = told(request);
        Self { ends, next, read, echo }
    }

    /// A packet of this kind with these numbers.
    fn forged(&self, kind: &str, [seq, ack, echo]: [u32; 3]) -> Vec<u8> {
        let segment = Segment::ack(&self.ends).ack_number(ack).timestamps(9, echo);
        match kind {
            "request" => segment.seq(seq).payload(KEPT_GET).frame(),
            "FIN" => segment.seq(seq).with(Flags::FIN).frame(),
            "probe" => segment.seq(seq.wrapping_sub(1)).payload("x").frame(),
            _ => segment.seq(seq).frame(),
        }
    }
}

const KEPT_GET: &str = "GET /1000 HTTP/1.1\r\nHost: h\r\n\r\n";

/// Blind injection into a connection that another client keeps: the attacker knows addresses and ports, and guesses
/// both sequence numbers and the timestamp. Of all timestamps one in 14 has the form of a proof, and of these one in
/// 2^22 is right, whatever numbers he has guessed: a packet is accepted with a chance of 1.7e-8.
///
/// That is too seldom to be seen, so it is measured where the first 12 bits are right.
#[test]
fn what_is_forged_into_a_kept_connection_does_not_pay() {
    let engine = support::engine_changed(|config| config.keep_alive = true);
    // Both halves of the circle of timestamps have all proofs, and one of the stamps of a proof is right.
    let chance = f64::from(2 * KEPT_STAMPS) * 0.5_f64.powi(32);
    let left = KEPT_PROOF_BITS - KEPT_GIVEN_BITS;
    println!("| packet | P computed | blind hits | P with 12 bits right | hits | expected | frame | draws | × |");
    for (family, ends) in [("v4", Ends::v4()), ("v6", Ends::v6())] {
        for kind in KEPT_KINDS {
            let mut random = Random::from_seed(28).fork(family).fork(kind);
            let kept = Kept::new(&engine, ends, 77);
            let mut workspace = Workspace::default();
            let mut draw = |frame: &[u8]| {
                let (_, sent) = workspace.answer(&engine, NOW, frame);
                sent.iter().map(|frame| frame.len().max(60)).sum::<usize>()
            };
            assert_eq!(draw(&kept.forged("ACK", [kept.next, kept.read, kept.echo])), 0);
            // With the next proof an ACK is taken for a probe of the byte behind it.
            let echo = kept.echo.wrapping_add(if kind == "ACK" { KEPT_STAMPS.unsigned_abs() } else { 0 });
            let right = kept.forged(kind, [kept.next, kept.read, echo]);
            let on_hit = draw(&right);
            let frame = right.len().max(60);
            // A right guess of anything but the request draws no more than it brings.
            assert!(if kind == "request" { on_hit > 1000 } else { on_hit <= frame }, "{kind}: {on_hit}");
            assert!(on_hit > 0, "{kind}");

            let (mut blind, mut blind_bytes) = (0_u64, 0);
            for _ in 0..packets() {
                let numbers = [(); 3].map(|()| random.next_u64() as u32);
                let bytes = draw(&kept.forged(kind, numbers));
                blind += u64::from(bytes > 0);
                blind_bytes += bytes as u64;
            }
            let mut hits = 0_u64;
            for number in 0..packets() {
                let other = (random.next_u64() as i32 & ((1 << left) - 1)) - (1 << (left - 1));
                let near = echo.wrapping_add_signed(other * KEPT_STAMPS) ^ (number as u32 & 1) << 31;
                hits += u64::from(draw(&kept.forged(kind, [kept.next, kept.read, near])) > 0);
            }
            let expected = packets() as f64 * 0.5_f64.powi(left);
            let amplification = chance * on_hit as f64 / frame as f64;
            println!(
                "| {kind} {family} | {chance:.1e} | {blind} | {:.1e} | {hits} | {expected:.1} | {frame} | {on_hit} | \
                 {amplification:.1e} |",
                0.5_f64.powi(left)
            );
            // A FIN is acknowledged behind a part of a response that is not stored, which three times 2^16 timestamps
            // may be; and, as an ACK, where it acknowledges all of a stored one.
            let all_of_a_response = if matches!(kind, "ACK" | "FIN") { 0.5_f64.powi(14) } else { 0.0 };
            let part = if kind == "FIN" { 3.0 * 0.5_f64.powi(16) } else { 0.0 };
            let acknowledged = packets() as f64 * (all_of_a_response + part);
            let blind_max = acknowledged + 6.0 * acknowledged.sqrt() + 3.0;
            assert!(blind as f64 <= blind_max, "{kind}: {blind} of {} blind packets", packets());
            assert!(blind_bytes < packets() * frame as u64 / 100, "{kind}: {blind_bytes} bytes");
            assert!((hits as f64 - expected).abs() <= 6.0 * expected.sqrt() + 3.0, "{kind}: {hits}, not {expected}");
            assert!(amplification < 1e-6);
        }
    }
}
