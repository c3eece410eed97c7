//! What the programs do with frames, in the kernel, without an interface. Needs root.

#[path = "support/near.rs"]
mod near;

use ipnet::IpNet;
use lethe_harness::test;
use lethe_hw::Destinations;
use lethe_hw::packet::DroppingProgram;
use lethe_hw::xdp::SortingProgram;
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
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::default() });
    let checked = runner.run(&nearly_for_us(), |frame| {
        let expect = is_for(networks, &frame);
        prop_assert_eq!(program.takes(&frame).unwrap(), expect);
        prop_assert_eq!(program.takes(&with_tag(&frame)).unwrap(), expect, "with a tag");
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

lethe_harness::main!();
