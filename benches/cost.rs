//! The five packets of a client through the engine and nothing around it: what a profiler and a counter of instructions
//! see. `lethe bench` measures the time of the same packets. `benches/cost_stored.rs` has the packets of stored
//! responses: with a second application in this program, the compiler would inline less of the engine.
//!
//! `cost v4 transaction 1000` runs 200 batches of so many, and prints the nanoseconds of one in the best of them.
//! `cargo xtask instructions` counts what it executes. A fourth argument is how much more is to be done, in percent,
//! which that command has to notice.

#[path = "support/client.rs"]
mod client;

use lethe_apps::ipinfo::IpInfo;

fn main() {
    client::run(IpInfo::embedded(), "/202.96.128.86", "/");
}
