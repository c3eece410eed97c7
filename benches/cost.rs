//! The five packets of a client through the engine and nothing around it: what a profiler and a counter of instructions
//! see. `lethe bench` measures the time of the same packets.
//!
//! `cost v4 transaction 1000` runs 200 batches of so many, and prints the nanoseconds of one in the best of them.
//! `cargo xtask instructions` counts what it executes. A fourth argument is how much more is to be done, in percent,
//! which that command has to notice.

use std::hint::black_box;
use std::time;

use lethe::config::{Addresses, Config};
use lethe::cookie::Secret;
use lethe::engine::{Engine, SCRATCH_LEN};
use lethe::port::RxFrame;
use lethe::time::Instant;
use lethe_apps::ipinfo::IpInfo;
use lethe_sim::fetch::Fetch;
use lethe_sim::frame::{Ends, Segment};

const BATCHES: u32 = 200;

const NOW: Instant = Instant::from_unix_seconds(1_700_000_000);

/// What is measured: each packet of a client, two that are dropped or refused, and a whole fetch.
const PACKETS: [&str; 7] = ["syn", "ack", "get", "fin", "closed port", "garbage", "transaction"];

/// An engine with the buffers of a loop.
struct Loop {
    engine: Engine<IpInfo<'static>>,
    scratch: Vec<u8>,
    buffer: Vec<u8>,
}

impl Loop {
    /// Hands in one frame, writes the reply, and returns its bytes.
    #[inline]
    fn run(&mut self, frame: &[u8]) -> usize {
        let mut reply = self.engine.handle(NOW, RxFrame::unchecked(black_box(frame)), &mut self.scratch);
        let mut sent = 0;
        while reply.is_pending() {
            sent += reply.next_frame(black_box(&mut self.buffer)).map_or(0, |frame| frame.len);
        }
        sent
    }
}

/// An engine, and the frames of one of [`PACKETS`] between these ends.
fn setup(ends: &Ends, packet: &str) -> (Loop, Vec<Vec<u8>>) {
    let mut addresses = Addresses::new();
    addresses.add(ends.server.ip()).expect("an address of a server");
    let engine = Engine::new(Config { addresses, ..Config::new(Secret::new([7; 16])) }, IpInfo::embedded());
    let fetch = Fetch::new(&engine, NOW, ends, "/202.96.128.86").expect("an answer in one segment");
    let frames = match packet {
        "syn" => vec![fetch.syn],
        "ack" => vec![fetch.ack],
        "get" => vec![fetch.get],
        "fin" => vec![fetch.fin],
        "closed port" => vec![Segment::syn(&ends.server_port(81)).frame()],
        "garbage" => vec![[&fetch.syn[..14], &[0xa5; 60]].concat()],
        "transaction" => fetch.frames().map(<[u8]>::to_vec).to_vec(),
        other => panic!("{other} is none of {PACKETS:?}"),
    };
    (Loop { engine, scratch: vec![0; SCRATCH_LEN], buffer: vec![0; 2048] }, frames)
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let [family, packet, count, more @ ..] = args.as_slice() else {
        println!("usage: cost v4|v6 PACKET COUNT [PERCENT], where PACKET is one of: {}", PACKETS.join(", "));
        return;
    };
    let (mut server, frames) = setup(&if family == "v6" { Ends::v6() } else { Ends::v4() }, packet);
    let count: u32 = count.parse().expect("a number");
    let more: u32 = more.first().map_or(0, |more| more.parse().expect("a number"));
    let mut best = f64::INFINITY;
    for _ in 0..BATCHES {
        let start = time::Instant::now();
        // What is counted is to be the engine, so the loop has no more in it than it must.
        for times in [count, count * more / 100] {
            for _ in 0..times {
                for frame in &frames {
                    server.run(frame);
                }
            }
        }
        best = best.min(start.elapsed().as_secs_f64() * 1e9 / f64::from(count));
    }
    println!("{family} {packet}: {best:.1} ns");
}
