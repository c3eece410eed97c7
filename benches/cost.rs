//! The five packets of a client through the engine and nothing around it: what a profiler and a counter of instructions
//! see. `lethe bench` measures the time of the same packets.
//!
//! `cost v4 transaction 1000` runs 200 batches of so many, and prints the nanoseconds of one in the best of them.
//! `cargo xtask instructions` counts what it executes. A fourth argument is how much more is to be done, in percent,
//! which that command has to notice.

#[path = "support/client.rs"]
mod client;

use std::time::Instant;

use client::{PACKETS, setup};
use lethe_sim::frame::Ends;

const BATCHES: u32 = 200;

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
        let start = Instant::now();
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
