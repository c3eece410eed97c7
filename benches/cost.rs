//! The same as `engine`, without a library around it: what a profiler and a counter of instructions see.
//!
//! `cost v4 transaction 100000` runs 200 batches of so many, and prints the nanoseconds of one in the best of them.

#[path = "support/client.rs"]
mod client;

use std::time::Instant;

use client::{PACKETS, V4, V6, setup};

const BATCHES: u32 = 200;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let [family, packet, count] = args.as_slice() else {
        println!("usage: cost v4|v6 PACKET COUNT, where PACKET is one of {}", PACKETS.join(", "));
        return;
    };
    let (mut server, frames) = setup(if family == "v6" { V6 } else { V4 });
    let packets = frames.of(packet);
    let count: u32 = count.parse().expect("a number");
    let mut best = f64::INFINITY;
    for _ in 0..BATCHES {
        let start = Instant::now();
        for _ in 0..count {
            for frame in &packets {
                server.run(frame);
            }
        }
        best = best.min(start.elapsed().as_nanos() as f64 / f64::from(count));
    }
    println!("{family} {packet}: {best:.1} ns");
}
