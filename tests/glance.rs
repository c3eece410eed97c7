//! What is recognized at a glance is answered as the parsers have it answered, byte for byte. No packet with an IP
//! option or an extension header is recognized so.

#[path = "support/long_way.rs"]
mod long_way;
mod support;

use std::fs::{self, File};

use lethe::cookie::Secret;
use lethe::engine::Engine;
use lethe_sim::capture::Reader;
use lethe_sim::mutation::Mutation;
use lethe_sim::random::Random;
use lethe_sim::sample::Sample;
use support::engine_changed;

/// How often each packet of a capture is changed at random.
const ROUNDS: u32 = 20;

/// The first packets of a capture, of which each bit of the headers is flipped, and with right checksums again.
const FIRST: usize = 12;

/// Bytes of the headers, with all options.
const HEADERS_LEN: usize = 86;

/// An engine for the clients of the captures, whose connections stay open or not.
fn engine(keep_alive: bool) -> Engine<Sample> {
    engine_changed(|config| {
        config.secret = Secret::new([0; 16]);
        config.keep_alive = keep_alive;
    })
}

#[test]
fn what_is_recognized_at_a_glance_is_answered_as_by_the_parsers() {
    let engines = [false, true].map(engine);
    let mut random = Random::from_seed(1);
    let mut compared = 0;
    for entry in fs::read_dir("pcaps").unwrap() {
        let path = entry.unwrap().path();
        if !path.to_string_lossy().contains(".pcap") {
            continue;
        }
        for (number, packet) in Reader::new(File::open(path).unwrap()).unwrap().enumerate() {
            let packet = packet.unwrap();
            let mut frames = vec![packet.bytes.clone()];
            for _ in 0..ROUNDS {
                frames.push(Mutation::draw(&mut random).apply(&packet.bytes));
            }
            let bits = if number < FIRST { 8 * HEADERS_LEN.min(packet.bytes.len()) } else { 0 };
            for bit in 0..bits {
                frames.push(Mutation::FlipBit(bit).apply(&packet.bytes));
                frames.push(Mutation::FlipBitMended(bit).apply(&packet.bytes));
            }
            for (frame, engine) in frames.iter().flat_map(|frame| engines.iter().map(move |engine| (frame, engine))) {
                compared += u32::from(long_way::is_same(engine, packet.at, frame));
            }
        }
    }
    assert!(compared > 150_000, "only {compared} packets");
}
