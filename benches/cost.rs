//! The five packets of a client through the engine and nothing around it: what a profiler and a counter of instructions
//! see. `lethe bench` measures the time of the same packets.
//!
//! `cost v4 transaction 1000` runs 200 batches of so many, and prints the nanoseconds of one in the best of them.
//! `cargo xtask instructions` counts what it executes. A fourth argument is how much more is to be done, in percent,
//! which that command has to notice.

#[path = "support/client.rs"]
mod client;

use std::time::Instant;

use client::{LONG, Loop, PACKETS, setup};
use lethe::App;
use lethe_apps::ipinfo::IpInfo;
use lethe_sim::frame::Ends;
use lethe_sim::sample::Sample;

const BATCHES: u32 = 200;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let [family, packet, count, more @ ..] = args.as_slice() else {
        println!("usage: cost v4|v6 PACKET COUNT [PERCENT], where PACKET is one of: {}", PACKETS.join(", "));
        return;
    };
    let ends = if family == "v6" { Ends::v6() } else { Ends::v4() };
    let count: u32 = count.parse().expect("a number");
    let more: u32 = more.first().map_or(0, |more| more.parse().expect("a number"));
    let counts = [count, count * more / 100];
    let best = if LONG.contains(&packet.as_str()) {
        measure(setup(Sample::new(100_000), ["/100", "/100000"], &ends, packet), counts)
    } else {
        measure(setup(IpInfo::embedded(), ["/202.96.128.86", "/"], &ends, packet), counts)
    };
    println!("{family} {packet}: {:.1} ns", best * 1e9 / f64::from(count));
}

/// The seconds of the best of all batches. What is counted is to be the engine, so the loop has no more in it than it
/// must.
fn measure<A: App>((mut server, frames): (Loop<A>, Vec<Vec<u8>>), counts: [u32; 2]) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..BATCHES {
        let start = Instant::now();
        for times in counts {
            for _ in 0..times {
                for frame in &frames {
                    server.run(frame);
                }
            }
        }
        best = best.min(start.elapsed().as_secs_f64());
    }
    best
}
