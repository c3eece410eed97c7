//! The frames of many clients: of each a SYN, an ACK, a request and a FIN, as Linux and curl send them.

#![allow(dead_code, reason = "each program uses its own part")]

use std::net::Ipv4Addr;

use lethe::Engine;
use lethe::config::{Addresses, Config};
use lethe::cookie::Secret;
use lethe::port::Offload;
use lethe::time::Instant;
use lethe_apps::ipinfo::IpInfo;
use lethe_sim::fetch::{Fetch, KeptFetch};
use lethe_sim::frame::Ends;

/// Frames that each client sends.
pub(crate) const FRAMES_PER_REQUEST: usize = 4;

/// An engine with `ipinfo` for 10.9.0.2 and `fd09::2`, with a fixed key, which closes its connections.
pub(crate) fn engine(offload: Offload) -> Engine<IpInfo<'static>> {
    engine_with(offload, false)
}

/// The same, which closes its connections or keeps them open.
pub(crate) fn engine_with(offload: Offload, keep_alive: bool) -> Engine<IpInfo<'static>> {
    let mut addresses = Addresses::new();
    for address in ["10.9.0.2", "fd09::2"] {
        addresses.add(address.parse().unwrap()).unwrap();
    }
    let config = Config { addresses, offload, keep_alive, ..Config::new(Secret::new([0; 16])) };
    Engine::new(config, IpInfo::embedded())
}

/// The frames of so many clients that connect at this time. Their cookies are valid for a minute, at least.
pub(crate) fn mix(now: Instant, clients: u32) -> Vec<Vec<u8>> {
    let engine = engine(Offload::default());
    let fetch = |number| {
        let (ends, target) = client(number);
        Fetch::new(&engine, now, &ends, &target).expect("an answer in one segment")
    };
    (0..clients).map(fetch).flat_map(|Fetch { syn, ack, get, read: _, fin }| [syn, ack, get, fin]).collect()
}

/// The next request of each of so many clients whose connections stay open, behind the ACK of their last response if
/// they send one.
pub(crate) fn kept_mix(now: Instant, clients: u32, with_ack: bool) -> Vec<Vec<u8>> {
    let engine = engine_with(Offload::default(), true);
    let mut frames = Vec::new();
    for (ends, target) in (0..clients).map(client) {
        let read = Fetch::new(&engine, now, &ends, &target).expect("an answer in one segment").read;
        frames.extend(with_ack.then_some(read));
        frames.push(KeptFetch::new(&engine, now, &ends, &target).expect("an answer in one segment").get);
    }
    frames
}

/// A client, and what it asks for.
fn client(number: u32) -> (Ends, String) {
    let spread = number.wrapping_mul(0x9e37_79b9);
    let [_, a, b, c] = spread.to_be_bytes();
    let address = Ipv4Addr::new(10, a, b, c.clamp(1, 254));
    let port = 32_768 + (number % 28_000) as u16;
    let ends = Ends::between((address, port).into(), (Ipv4Addr::new(10, 9, 0, 2), 80).into());
    (ends, format!("/{}", Ipv4Addr::from_bits(spread.rotate_left(7))))
}
