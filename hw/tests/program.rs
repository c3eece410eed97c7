//! What the programs do with frames, in the kernel, without an interface. Needs root.

#[path = "support/bare_acks.rs"]
mod bare_acks;
#[path = "support/near.rs"]
mod near;

use std::cell::Cell;
use std::net::IpAddr;

use bare_acks::{MAC, PORT, is_bare_ack, nearly_bare_ack};
use ipnet::IpNet;
use lethe::config::{Addresses, Config as EngineConfig, Ports};
use lethe::cookie::Secret;
use lethe::engine::SCRATCH_LEN;
use lethe::port::{Checked, RxChecksum, RxFrame};
use lethe::time::Instant;
use lethe::verdict::{Absorbed, Verdict};
use lethe::wire::ethernet::MacAddress;
use lethe::{App, Engine};
use lethe_apps::ipinfo::IpInfo;
use lethe_harness::test;
use lethe_hw::Destinations;
use lethe_hw::packet::{DroppingProgram, ReceivingProgram};
use lethe_hw::xdp::{Sorted, SortingProgram};
use lethe_sim::sample::{MAX_SIZE, Sample};
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
    let program = SortingProgram::load(&destinations, MacAddress::new(MAC)).expect("BPF needs root");
    let dropping = DroppingProgram::load(&destinations).expect("BPF needs root");
    let receiving = ReceivingProgram::load(&destinations, MacAddress::new(MAC)).expect("BPF needs root");
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

/// Both programs leave out the same bare ACKs, and count each of them; and each of them the engine would have absorbed
/// as such, whatever application it has, had its checksums been right.
#[test(root)]
fn what_is_left_out_is_bare_acks_that_are_not_answered_and_each_is_counted() {
    let networks = ours();
    let addresses: Vec<IpAddr> = networks.iter().map(IpNet::addr).collect();
    let destinations = Destinations::new(networks.clone()).without_acks([443, PORT]);
    let sorting = SortingProgram::load(&destinations, MacAddress::new(MAC)).expect("BPF needs root");
    let receiving = ReceivingProgram::load(&destinations, MacAddress::new(MAC)).expect("BPF needs root");
    let closing = Engine::new(config(&addresses, false), IpInfo::embedded());
    let keeping = Engine::new(config(&addresses, true), IpInfo::embedded());
    let storing = Engine::new(config(&addresses, false), Sample::new(MAX_SIZE));
    assert_eq!((closing.answers_acks(), keeping.answers_acks(), storing.answers_acks()), (false, true, true));
    for wanted in [false, true] {
        sorting.receive_acks(wanted);
        receiving.receive_acks(wanted);
        let (left_out, cut) = (Cell::new(0), Cell::new(0));
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
                let absorbs = if wanted {
                    would_absorb(&keeping, &frame) && would_absorb(&storing, &frame)
                } else {
                    would_absorb(&closing, &frame)
                };
                prop_assert!(absorbs, "not absorbed: {:02x?}", &frame);
            } else if is_ours && frame.len() < 54 {
                cut.set(cut.get() + 1);
            }
            Ok(())
        });
        checked.unwrap_or_else(|error| panic!("wanted: {wanted}: {error}"));
        assert!(left_out.get() > 1_000 && cut.get() > 100, "{} were left out, {} cut", left_out.get(), cut.get());
    }
}

/// As many addresses and ports as a server can have.
#[test(root)]
fn programs_for_the_most_addresses_and_ports_are_loaded() {
    let v4 = (1..=Addresses::MAX as u8).map(|host| IpAddr::from([10, 9, 0, host]));
    let v6 = (1..=Addresses::MAX as u16).map(|host| IpAddr::from([0xfd09, 0, 0, 0, 0, 0, 0, host]));
    let networks: Vec<IpNet> = v4.chain(v6).map(IpNet::from).collect();
    let destinations = Destinations::new(networks).without_acks((1..=Ports::MAX as u16).map(|port| 8000 + port));
    SortingProgram::load(&destinations, MacAddress::new(MAC)).expect("XDP");
    ReceivingProgram::load(&destinations, MacAddress::new(MAC)).expect("a socket");
}

fn config(ours: &[IpAddr], keep_alive: bool) -> EngineConfig {
    let mut addresses = Addresses::new();
    for &address in ours {
        addresses.add(address).unwrap();
    }
    let mac = MacAddress::new(MAC);
    EngineConfig { addresses, mac, keep_alive, ..EngineConfig::new(Secret::new([7; 16])) }
}

/// Whether the engine absorbs a frame as an ACK if its checksums are right, and does not answer it if they are not.
fn would_absorb<A: App>(engine: &Engine<A>, frame: &[u8]) -> bool {
    let now = Instant::from_unix_seconds(1_700_000_000);
    let verdict = |known| {
        let checksum = RxChecksum { network: known, transport: known };
        engine.handle(now, RxFrame { bytes: frame, checksum }, &mut vec![0; SCRATCH_LEN]).verdict()
    };
    verdict(Checked::Good) == Verdict::Absorbed(Absorbed::Ack)
        && !matches!(verdict(Checked::Unknown), Verdict::Replied(_))
}

lethe_harness::main!();
