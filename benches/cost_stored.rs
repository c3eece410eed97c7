//! The packets of a client that fetches a long stored response on a connection that was kept open, as `benches/cost.rs`
//! has those of a short one.

#[path = "support/client.rs"]
mod client;

use lethe_sim::sample::Sample;

fn main() {
    client::run(Sample::new(100_000), "/100", "/100000");
}
