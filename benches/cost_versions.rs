//! What `benches/cost.rs` counts, inside `Versions`, as every server has its application: with a version that was
//! replaced beside the current one.

#[path = "support/client.rs"]
mod client;

use lethe::versions::Versions;
use lethe_apps::ipinfo::IpInfo;

fn main() {
    let mut versions = Versions::new(IpInfo::embedded());
    assert!(versions.replace(IpInfo::embedded()).iter().all(Option::is_none), "the first version is still there");
    client::run(versions, "/202.96.128.86", "/");
}
