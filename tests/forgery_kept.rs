//! Forged packets to connections that stay open: what they draw, measured, and how likely they are right, computed.
//!
//! The attacker of `forgery.rs`: he knows everything but the secret, and does not see what goes to the victim.
//! `FORGED=1000000 cargo test --release --test forgery_kept -- --nocapture` prints the second table of docs/forgery.md.

#![allow(clippy::cast_precision_loss, reason = "a share of packets needs no 52 bits")]

mod support;

use std::sync::LazyLock;

use lethe::app::{Generations, Position};
use lethe::config::{Config, Refuse};
use lethe::cookie::Flow;
use lethe::engine::SCRATCH_LEN;
use lethe::http::Response;
use lethe::port::{Checked, RxChecksum, RxFrame};
use lethe::time::Instant;
use lethe::verdict::{ReplyKind, Verdict};
use lethe::wire::ip::AddressPair;
use lethe::wire::tcp::Flags;
use lethe::{App, Engine, Request};
use lethe_sim::frame::{Ends, Segment};
use lethe_sim::random::Random;

const NOW: Instant = Instant::from_unix_seconds(1_780_000_000);
const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n";

/// Stamps of segments whose connection stays open: from here on, in each half of the circle of timestamps, with 37 ways
/// for each place of a first response;
const FIRST: u32 = LATER_PART + LATER_PARTS;
const FIRST_STAMPS: u32 = Position::COUNT / 2 * 37;
/// and with 48 for one of a later, behind 45 of segments whose connection ends.
const LATER: u32 = FIRST + FIRST_STAMPS + Position::COUNT * 45;
/// How many of them there are in a half.
const OPEN_STAMPS: u32 = FIRST_STAMPS + Position::COUNT / 2 * 48;

/// Packets per measurement.
fn packets() -> u64 {
    std::env::var("FORGED").ok().and_then(|value| value.parse().ok()).unwrap_or(20_000)
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

    /// Positions from one response to the next.
    fn stride(&self) -> u32 {
        (Position::units(HEAD.len() + self.body.len()) as u32).next_multiple_of(2)
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
        let is_live = self.live >> generation & 1 == 1 && number < (Position::PER_GENERATION - 1) / self.stride();
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
    Ack,
    AckSack,
    /// The last byte of a request again.
    LineFeed,
    /// A request again without its method.
    Target,
    /// A request.
    Request,
    Fin,
}

impl Mode {
    const ALL: [Self; 6] = [Self::Ack, Self::AckSack, Self::LineFeed, Self::Target, Self::Request, Self::Fin];

    const fn name(self) -> &'static str {
        match self {
            Self::Ack => "ACK",
            Self::AckSack => "ACK, SACK",
            Self::LineFeed => "end of a request",
            Self::Target => "request without method",
            Self::Request => "request",
            Self::Fin => "FIN",
        }
    }

    fn frame(self, ends: &Ends, seq: u32, ack: u32, echo: u32) -> Vec<u8> {
        let segment = Segment::ack(ends).window(u16::MAX).seq(seq).ack_number(ack).timestamps(7, echo);
        match self {
            Self::Ack => segment,
            Self::AckSack => segment.sack(&[(ack.wrapping_add(11 * 1447), ack.wrapping_add(14 * 1447))]),
            Self::LineFeed => segment.payload("\n"),
            Self::Target => segment.payload("/g HTTP/1.1\r\nHost:h\r\n\r\n"),
            Self::Request => segment.payload("GET /g HTTP/1.1\r\nHost:h\r\n\r\n"),
            Self::Fin => segment.with(Flags::FIN),
        }
        .frame()
    }
}

fn timestamp_base(config: &Config, ends: &Ends) -> u32 {
    let addresses = match (ends.client.ip(), ends.server.ip()) {
        (std::net::IpAddr::V4(source), std::net::IpAddr::V4(destination)) => AddressPair::V4 { source, destination },
        (std::net::IpAddr::V6(source), std::net::IpAddr::V6(destination)) => AddressPair::V6 { source, destination },
        _ => unreachable!("both ends are of one family"),
    };
    let flow = Flow { addresses, client_port: ends.client.port(), server_port: ends.server.port() };
    config.secret.flow_keys(&flow).timestamp_base
}

/// The share of the packets that drew data, and the bytes sent for each received.
fn attack(engine: &Engine<Full>, mode: Mode, ends: Ends, sighted: bool) -> (f64, f64) {
    let valid = RxChecksum { network: Checked::Good, transport: Checked::Good };
    let (mut scratch, mut buffer) = (vec![0; SCRATCH_LEN], vec![0; 10_000]);
    let mut random = Random::from_seed(7);
    let (mut hits, mut sent, mut received) = (0_u64, 0_u64, 0_u64);
    for _ in 0..packets() {
        let (a, b) = (random.next_u64(), random.next_u64());
        let ends = ends.client_port(a as u16 | 1);
        let mut echo = b as u32;
        if sighted {
            let half = if random.next_u64() & 1 == 1 { 1 << 31 } else { 0 };
            let number = random.below(OPEN_STAMPS.into()) as u32;
            let stamp = number.checked_sub(FIRST_STAMPS).map_or(FIRST + number, |later| LATER + later);
            echo = timestamp_base(engine.config(), &ends).wrapping_add(half + stamp);
        }
        let frame = mode.frame(&ends, (a >> 32) as u32, (b >> 32) as u32, echo);
        received += frame.len() as u64;
        let mut reply = engine.handle(NOW, RxFrame { bytes: &frame, checksum: valid }, &mut scratch);
        let is_data = |kind| !matches!(kind, ReplyKind::FinAck | ReplyKind::Settled | ReplyKind::LateAck);
        hits += u64::from(matches!(reply.verdict(), Verdict::Replied(kind) if is_data(kind)));
        while let Some(written) = reply.next_frame(&mut buffer) {
            sent += written.len as u64;
        }
    }
    let share = if sighted { 2.0 * f64::from(OPEN_STAMPS) / 2_f64.powi(32) } else { 1.0 };
    (hits as f64 / packets() as f64 * share, sent as f64 / received as f64 * share)
}

#[test]
fn forged_packets_to_connections_that_stay_open_draw_fewer_bytes_than_they_bring() {
    println!("| packet | response | family | P | × |\n|---|---|---|---|---|");
    let mut worst = (0.0, String::new());
    for mode in Mode::ALL {
        for (len, size) in [
            (2000, "2 kB"),
            (5000, "5 kB"),
            (14_000, "14 kB"),
            (30_000, "30 kB"),
            (100_000, "100 kB"),
            (1_000_000, "1 MB"),
            (100_000_000, "100 MB"),
        ] {
            for (ends, family) in [(Ends::v4(), "IPv4"), (Ends::v6(), "IPv6")] {
                let config = Config { keep_alive: true, ..support::config(Refuse::Drop) };
                let engine = Engine::new(config, Full::new(len, 0b1111));
                let (probability, factor) = attack(&engine, mode, ends, true);
                println!("| {} | {size} | {family} | {probability:.1e} | {factor:.4} |", mode.name());
                if factor > worst.0 {
                    worst = (factor, format!("{} {size} {family}", mode.name()));
                }
            }
        }
    }
    println!("worst {worst:?}");
    assert!(worst.0 < 1.0, "{worst:?}");
}

/// Stamps of segments of responses that are not stored and end a connection: from here on, in each half of the circle.
const LATER_PART: u32 = (1 << 26) + (1 << 20) + 2;
const LATER_PARTS: u32 = 7 << 20;

/// Responses of 5,000 bytes that are not stored.
struct Made;

impl App for Made {
    fn respond<'a>(&'a self, _: &Request<'_>, _: &'a mut [u8]) -> Response<'a> {
        static BODY: [u8; 5000 - HEAD.len()] = [0; 5000 - HEAD.len()];
        Response::prepared(HEAD, &BODY)
    }
}

#[test]
fn a_forged_request_in_the_middle_of_a_response_that_is_not_stored_must_have_one_of_few_offsets() {
    let config = Config { keep_alive: true, ..support::config(Refuse::Drop) };
    let engine = Engine::new(config, Made);
    let (mut scratch, mut random, mut hits) = (vec![0; SCRATCH_LEN], Random::from_seed(7), 0);
    let checksum = RxChecksum { network: Checked::Good, transport: Checked::Good };
    let count = 10 * packets();
    for _ in 0..count {
        let (a, b) = (random.next_u64(), random.next_u64());
        let ends = Ends::v4().client_port(a as u16 | 1);
        let half = if a >> 16 & 1 == 1 { 1 << 31 } else { 0 };
        let stamp = LATER_PART + random.below(LATER_PARTS.into()) as u32;
        let echo = timestamp_base(engine.config(), &ends).wrapping_add(half + stamp);
        let frame = Mode::Request.frame(&ends, (a >> 32) as u32, b as u32, echo);
        let reply = engine.handle(NOW, RxFrame { bytes: &frame, checksum }, &mut scratch);
        hits += u64::from(matches!(reply.verdict(), Verdict::Replied(ReplyKind::Resumed | ReplyKind::Settled)));
    }
    // Segments of 1448, 1208 and 524 bytes begin at 3, 4 and 9 places, and then there are two ends; with three scales
    // but for the shortest.
    let computed = f64::from(3 * (3 + 2) + 3 * (4 + 2) + 9 + 2) / f64::from(LATER_PARTS);
    let expected = count as f64 * computed;
    println!("{hits} of {count} draw the rest of a response, expected {expected:.0}");
    let deviation = 4.0 * expected.sqrt();
    assert!((hits as f64 - expected).abs() < deviation, "{hits}, expected {expected}");
}
