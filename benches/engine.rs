//! What a packet costs: `handle` and `next_frame`, without any port.
//!
//! Run with `cargo bench --bench engine`. Each figure is the time for one packet, reply included; the
//! transaction is all five packets that a client sends for one answer.

#[path = "support/client.rs"]
mod client;

use client::{PACKETS, setup};
use divan::Bencher;
use lethe_sim::frame::Ends;

fn main() {
    divan::main();
}

fn measure(bencher: Bencher<'_, '_>, ends: &Ends, packet: &str) {
    let (mut server, frames) = setup(ends, packet);
    bencher.bench_local(|| frames.iter().map(|frame| server.run(frame)).sum::<usize>());
}

#[divan::bench(args = PACKETS)]
fn v4(bencher: Bencher<'_, '_>, packet: &str) {
    measure(bencher, &Ends::v4(), packet);
}

#[divan::bench(args = PACKETS)]
fn v6(bencher: Bencher<'_, '_>, packet: &str) {
    measure(bencher, &Ends::v6(), packet);
}
