//! Connections that are kept and idle: how many there are, and for how long, is nothing to the engine.
//!
//! `KEPT=1000000 cargo test --release --test idle -- --nocapture` asks a million of them.

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use lethe::app::Generations;
use lethe::config::{Addresses, Config};
use lethe::cookie::Secret;
use lethe::http::{Response, Status};
use lethe::time::Instant;
use lethe::wire::tcp::Flags;
use lethe::{App, Engine, Request};
use lethe_sim::clock::after;
use lethe_sim::dissect::Frame;
use lethe_sim::frame::{Ends, Segment};
use lethe_sim::workspace::Workspace;

const START: Instant = Instant::from_unix_seconds(1_780_000_000);

/// How many connections there are by default; a million say more.
const KEPT: u32 = 20_000;

/// How often each is asked, and the time between.
const ROUNDS: u32 = 3;
const PAUSE: Duration = Duration::from_mins(1);

/// Tells the path, and the version of its data.
#[derive(Default)]
struct Echo {
    generation: AtomicU8,
}

impl Echo {
    fn reload(&self) {
        self.generation.fetch_add(1, Ordering::Relaxed);
    }
}

impl App for Echo {
    fn respond<'a>(&'a self, request: &Request<'_>, scratch: &'a mut [u8]) -> Response<'a> {
        Response::build(scratch, Status::Ok).body_with(|body| {
            body.push_bytes(request.path);
            body.push_bytes(&[b' ', b'0' + request.generation % Generations::COUNT]);
        })
    }

    fn generations(&self) -> Generations {
        let current = self.generation.load(Ordering::Relaxed) % Generations::COUNT;
        // The one before is still answered from.
        let before = (current + Generations::COUNT - 1) % Generations::COUNT;
        Generations { current, live: 1 << current | 1 << before }
    }
}

fn engine(secrets: &[u8]) -> Engine<Echo> {
    let [first, former @ ..] = secrets else { panic!("there is a secret") };
    let mut addresses = Addresses::new();
    for address in ["10.9.0.2", "fd09::2"] {
        addresses.add(address.parse().unwrap()).unwrap();
    }
    let mut config = Config { keep_alive: true, addresses, ..Config::new(Secret::new([*first; 16])) };
    for (slot, &byte) in config.former.iter_mut().zip(former) {
        *slot = Some(Secret::new([byte; 16]));
    }
    Engine::new(config, Echo::default())
}

/// All that a client remembers of its connection.
#[derive(Clone, Copy, Debug)]
struct Kept {
    next: u32,
    read: u32,
    echo: u32,
}

impl Kept {
    /// Connects.
    fn new(engine: &Engine<Echo>, now: Instant, ends: &Ends, isn: u32) -> Self {
        let syn = Segment::syn(ends).seq(isn).mss(1460).sack_permitted().timestamps(5, 0);
        let mut kept = Self { next: isn.wrapping_add(1), read: 0, echo: 0 };
        let payload = kept.send(engine, now, &syn);
        assert_eq!(payload, b"");
        kept.read = kept.read.wrapping_add(1);
        kept
    }

    /// Sends a segment, takes the one that answers it, and returns its payload.
    fn send(&mut self, engine: &Engine<Echo>, now: Instant, segment: &Segment) -> Vec<u8> {
        let (verdict, sent) = Workspace::default().answer(engine, now, &segment.clone().frame());
        let [answer] = &sent[..] else { panic!("{verdict}: {} frames", sent.len()) };
        let frame = Frame::dissect(answer).unwrap();
        let (_, tcp) = frame.tcp().unwrap();
        assert!(!tcp.flags.has(Flags::FIN), "it stays open");
        *self = Self {
            next: tcp.ack.value(),
            read: tcp.seq.value().wrapping_add(tcp.payload.len() as u32),
            echo: tcp.timestamps.unwrap().0,
        };
        tcp.payload.to_vec()
    }

    fn segment(&self, ends: &Ends, time: u32) -> Segment {
        Segment::ack(ends).seq(self.next).ack_number(self.read).timestamps(time, self.echo)
    }

    /// Asks for a path, and compares every byte.
    fn get(&mut self, engine: &Engine<Echo>, now: Instant, ends: &Ends, path: &str) {
        let request = self.segment(ends, 6).payload(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n"));
        let got = self.send(engine, now, &request);
        let body = format!("{path} {}", engine.app().generations().current);
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        assert_eq!(String::from_utf8(got).unwrap(), head + &body);
    }
}

/// Pages of memory that this process has in use.
fn resident_pages() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse().unwrap()
}

fn client(number: u32) -> (Ends, u32) {
    let ends = if number.is_multiple_of(2) { Ends::v4() } else { Ends::v6() };
    let port = (1024 + number / 2 % 60_000) as u16;
    let [_, b, c, d] = (number / 120_000 + 1).to_be_bytes();
    let ip: std::net::IpAddr = match ends.client {
        std::net::SocketAddr::V4(_) => std::net::Ipv4Addr::new(10, b | 128, c, d).into(),
        std::net::SocketAddr::V6(_) => std::net::Ipv6Addr::new(0xfd09, 0, 0, 0, 0, 2, c.into(), d.into()).into(),
    };
    (Ends { client: (ip, port).into(), ..ends }, number.wrapping_mul(0x9e37_79b1))
}

#[test]
fn any_number_of_idle_connections_is_asked_three_times_and_takes_no_memory() {
    let engine = engine(&[7]);
    let count = std::env::var("KEPT").map_or(KEPT, |count| count.parse().unwrap());
    let mut kept: Vec<Kept> = Vec::with_capacity(count as usize);
    for number in 0..count {
        let (ends, isn) = client(number);
        let mut one = Kept::new(&engine, START, &ends, isn);
        one.get(&engine, START, &ends, &format!("/{number}/0"));
        kept.push(one);
    }
    let before = resident_pages();
    let mut now = START;
    for round in 1..=ROUNDS {
        now = after(now, PAUSE);
        for (number, one) in (0..).zip(&mut kept) {
            let (ends, _) = client(number);
            one.get(&engine, now, &ends, &format!("/{number}/{round}"));
        }
    }
    let grown = resident_pages().saturating_sub(before);
    println!("{count} connections, each asked {ROUNDS} times: {grown} pages more");
    // The other test of this file runs at the same time, and has some of its own.
    assert!(grown < u64::from(count / 100).max(64), "{grown} pages");
}

#[test]
fn a_connection_that_is_idle_for_a_day_outlives_three_reloads_and_a_rotated_secret() {
    for ends in [Ends::v4(), Ends::v6()] {
        for pause in [Duration::from_hours(24), Duration::from_hours(24 * 60)] {
            let mut now = START;
            let first = engine(&[7]);
            let mut kept = Kept::new(&first, now, &ends, u32::MAX - 20);
            kept.get(&first, now, &ends, "/first");
            // What is in use when it comes back: another secret, and data that have been replaced three times.
            for secrets in [&[8, 7][..], &[8, 7, 3], &[9, 8, 7]] {
                let engine = engine(secrets);
                for _ in 0..3 {
                    now = after(now, pause / 3);
                    engine.app().reload();
                    // The kernel asks whether the server is there.
                    let probe = kept.segment(&ends, 6).seq(kept.next.wrapping_sub(1));
                    assert_eq!(kept.clone().send(&engine, now, &probe), b"");
                }
                kept.get(&engine, now, &ends, "/later");
            }
            // Not for one that was made under a secret that is gone.
            let stranger = engine(&[10]);
            let request = kept.segment(&ends, 6).payload("GET /later HTTP/1.1\r\nHost: h\r\n\r\n");
            assert_eq!(Workspace::default().answer(&stranger, now, &request.frame()).1, Vec::<Vec<u8>>::new());
        }
    }
}
