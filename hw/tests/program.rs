//! What the XDP program does with frames, in the kernel, without an interface. Needs root.

#[path = "support/near.rs"]
mod near;

use ipnet::IpNet;
use lethe_harness::test;
use lethe_hw::Destinations;
use lethe_hw::xdp::SortingProgram;
use near::{is_for, nearly_for_us, networks, ours};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

fn with_tag(frame: &[u8]) -> Vec<u8> {
    let (addresses, rest) = frame.split_at(12);
    [addresses, &[0x81, 0x00, 0x20, 0x05], rest].concat()
}

fn check(networks: &[IpNet]) {
    let program = SortingProgram::load(&Destinations::new(networks.to_vec())).expect("BPF needs root");
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::default() });
    let checked = runner.run(&nearly_for_us(), |frame| {
        let expect = is_for(networks, &frame);
        prop_assert_eq!(program.takes(&frame).unwrap(), expect);
        prop_assert_eq!(program.takes(&with_tag(&frame)).unwrap(), expect, "with a tag");
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
