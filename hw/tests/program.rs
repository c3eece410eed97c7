//! What the programs do with frames, in the kernel, without an interface. Needs root.

#[path = "support/bare_acks.rs"]
mod bare_acks;
#[path = "support/near.rs"]
mod near;

use std::cell::Cell;
use std::net::IpAddr;

use bare_acks::{MAC, PORT, is_bare_ack, nearly_bare_ack};
use ipnet::IpNet;
use lethe::Engine;
use lethe::config::{Addresses, Config as EngineConfig};
use lethe::cookie::Secret;
use lethe::engine::SCRATCH_LEN;
use lethe::port::{Checked, RxChecksum, RxFrame};
use lethe::time::Instant;
use lethe::wire::ethernet::MacAddress;
use lethe_apps::ipinfo::IpInfo;
use lethe_harness::test;
use lethe_hw::Destinations;
use lethe_hw::packet::{DroppingProgram, ReceivingProgram};
use lethe_hw::xdp::{Sorted, SortingProgram};
use near::{is_for, nearly_for_us, networks, ours};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// Bytes of an Ethernet header and one of IPv6. The kernel does not try such a program on less.
const HEADERS: usize = 54;

fn with_tag(frame: &[u8]) -> Vec<u8> {
    let (addresses, rest) = frame.split_at(12);
    [addresses, &[0x81, 0x00, 0x20, 0x05], rest].concat()
}

/// The frame, for a hardware address.
fn to(address: [u8; 6], frame: &[u8]) -> Vec<u8> {
    [&address, &frame[6..]].concat()
}

fn check(networks: &[IpNet]) {
    let destinations = Destinations::new(networks.to_vec());
    let program = SortingProgram::load(&destinations).expect("BPF needs root");
    let dropping = DroppingProgram::load(&destinations).expect("BPF needs root");
    let receiving = ReceivingProgram::load(&destinations).expect("BPF needs root");
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::default() });
    let checked = runner.run(&nearly_for_us(), |frame| {
        let expect = is_for(networks, &frame);
        let sorted = if expect { Sorted::ForUs } else { Sorted::ForTheKernel };
        prop_assert_eq!(program.sort(&frame).unwrap(), sorted);
        prop_assert_eq!(program.sort(&with_tag(&frame)).unwrap(), sorted, "with a tag");
        prop_assert_eq!(receiving.takes(&frame).unwrap(), (expect, false), "ahead of the socket");
        if frame.len() >= HEADERS {
            prop_assert_eq!(dropping.drops(&to([0; 6], &frame)).unwrap(), expect, "behind the socket");
            prop_assert!(!dropping.drops(&to([2, 0, 0, 0, 0, 9], &frame)).unwrap(), "to another hardware address");
        }
        Ok(())
    });
    checked.unwrap_or_else(|error| panic!("{networks:?}: {error}"));
}

#[test(root)]
fn the_program_takes_what_matches_with_and_without_tag_and_passes_the_rest() {
    check(&ours());
    check(&networks());
}

/// Both programs leave out the same bare ACKs, and count each of them; and of what is left out the engine answers
/// nothing, whatever else is wrong with it.
#[test(root)]
fn what_is_left_out_is_bare_acks_that_are_not_answered_and_each_is_counted() {
    let networks = ours();
    let addresses: Vec<IpAddr> = networks.iter().map(IpNet::addr).collect();
    let destinations = Destinations::new(networks.clone()).without_acks([443, PORT]);
    let sorting = SortingProgram::load(&destinations).expect("BPF needs root");
    let receiving = ReceivingProgram::load(&destinations).expect("BPF needs root");
    let left_out = Cell::new(0);
    for wanted in [false, true] {
        sorting.receive_acks(wanted);
        receiving.receive_acks(wanted);
        let engine = engine(&addresses, wanted);
        assert_eq!(engine.answers_acks(), wanted);
        let mut runner = TestRunner::new(Config { failure_persistence: None, cases: 20_000, ..Config::default() });
        let checked = runner.run(&nearly_bare_ack(addresses.clone()), |frame| {
            let (is_ours, is_left_out) = (is_for(&networks, &frame), is_bare_ack(&addresses, &frame, wanted));
            let expect = match (is_left_out, is_ours) {
                (true, _) => Sorted::LeftOut,
                (false, true) => Sorted::ForUs,
                (false, false) => Sorted::ForTheKernel,
            };
            prop_assert_eq!(sorting.sort(&frame).unwrap(), expect, "{:02x?}", &frame);
            prop_assert_eq!(sorting.sort(&with_tag(&frame)).unwrap(), expect, "with a tag: {:02x?}", &frame);
            let taken = receiving.takes(&frame).unwrap();
            prop_assert_eq!(taken, (is_ours && !is_left_out, is_left_out), "ahead of the socket: {:02x?}", &frame);
            if is_left_out {
                left_out.set(left_out.get() + 1);
                prop_assert!(!is_answered(&engine, &frame), "answered: {:02x?}", &frame);
            }
            Ok(())
        });
        checked.unwrap_or_else(|error| panic!("wanted: {wanted}: {error}"));
    }
    assert!(left_out.get() > 10_000, "{} were left out", left_out.get());
}

/// An engine for these addresses that answers bare ACKs with options, or not.
fn engine(ours: &[IpAddr], answers_acks: bool) -> Engine<IpInfo<'static>> {
    let mut addresses = Addresses::new();
    for &address in ours {
        addresses.add(address).unwrap();
    }
    let config = EngineConfig { addresses, keep_alive: answers_acks, ..EngineConfig::new(Secret::new([7; 16])) };
    Engine::new(EngineConfig { mac: MacAddress::new(MAC), ..config }, IpInfo::embedded())
}

/// Whether a frame draws an answer if its checksums are right, and if they are not.
fn is_answered(engine: &Engine<IpInfo<'static>>, frame: &[u8]) -> bool {
    let now = Instant::from_unix_seconds(1_700_000_000);
    [Checked::Good, Checked::Unknown].into_iter().any(|known| {
        let checksum = RxChecksum { network: known, transport: known };
        engine.handle(now, RxFrame { bytes: frame, checksum }, &mut vec![0; SCRATCH_LEN]).is_pending()
    })
}

lethe_harness::main!();
