//! Recorded captures as properties: what real clients sent, with frames missing, doubled, late, cut in two
//! and damaged, never makes the engine break a rule.

use std::fs::File;
use std::path::{Path, PathBuf};

use lethe::config::Refuse;
use lethe::cookie::Secret;
use lethe::http::{Response, Status};
use lethe::time::Instant;
use lethe::verdict::{ReplyKind, Verdict};
use lethe::wire::ethernet::MacAddress;
use lethe::{App, Config, Engine, Request};
use lethe_sim::capture::Reader;
use lethe_sim::check;
use lethe_sim::mutation::{Mutation, Step};
use proptest::prelude::*;
use proptest::test_runner::{Config as ProptestConfig, RngAlgorithm, TestCaseError, TestRng, TestRunner};

/// Things done to a capture at a time.
const STEPS_MAX: usize = 12;

/// Cases for each capture when nothing else is said.
const CASES: u32 = 200;

/// Says what it was asked for, and one thing longer than a packet.
struct Echo;

impl App for Echo {
    fn respond<'a>(&'a self, request: &Request<'_>, scratch: &'a mut [u8]) -> Response<'a> {
        Response::build(scratch, Status::Ok).header("Content-Type", "text/plain").body_with(|body| {
            let times = if request.path.len().is_multiple_of(2) { 1 } else { 5000 / request.path.len() };
            (0..times).for_each(|_| body.push_bytes(request.path));
        })
    }
}

/// An engine as it stood behind the captures: its addresses, and the secret in `pcaps/secret`.
fn engine(refuse: Refuse) -> Engine<Echo> {
    let mut config = Config::new(Secret::new([0; 16]));
    for address in ["10.9.0.2", "fd09::2"] {
        config.addresses.add(address.parse().unwrap()).unwrap();
    }
    config.refuse = refuse;
    Engine::new(config, Echo)
}

/// The capture files, in the order of their names.
fn captures() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../pcaps");
    let is_capture = |path: &PathBuf| path.extension().is_some_and(|kind| kind == "pcap" || kind == "pcapng");
    let mut captures: Vec<PathBuf> =
        folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).filter(is_capture).collect();
    captures.sort();
    assert!(!captures.is_empty(), "there is no capture in pcaps/");
    captures
}

/// What the clients sent, and when.
fn client_side(path: &Path) -> (Vec<Instant>, Vec<Vec<u8>>) {
    let packets = Reader::new(File::open(path).unwrap()).unwrap().map(Result::unwrap);
    let is_server = |bytes: &[u8]| bytes.get(6..12) == Some(&MacAddress::LETHE.bytes());
    packets.filter(|packet| !is_server(&packet.bytes)).map(|packet| (packet.at, packet.bytes)).unzip()
}

fn any_mutation() -> impl Strategy<Value = Mutation> {
    // Headers first: that is where a bit makes a difference.
    let place = || prop_oneof![0..80usize, 0..2048usize];
    prop_oneof![
        (0..80 * 8usize).prop_map(Mutation::FlipBit),
        (0..2048 * 8usize).prop_map(Mutation::FlipBitMended),
        (0..80 * 8usize).prop_map(Mutation::FlipBitMended),
        (place(), any::<u8>()).prop_map(|(at, value)| Mutation::SetByte(at, value)),
        place().prop_map(Mutation::Truncate),
        (0..64usize).prop_map(Mutation::Extend),
        (place(), place()).prop_map(|(one, other)| Mutation::Swap(one, other)),
    ]
}

fn any_step() -> impl Strategy<Value = Step> {
    let at = || 0..256usize;
    prop_oneof![
        at().prop_map(Step::Drop),
        (at(), 0..20usize).prop_map(|(at, later)| Step::Duplicate(at, later)),
        (at(), 0..20usize).prop_map(|(at, later)| Step::Delay(at, later)),
        (at(), 0..1500usize).prop_map(|(at, place)| Step::Split(at, place)),
        (at(), any_mutation()).prop_map(|(at, mutation)| Step::Change(at, mutation)),
    ]
}

/// The same cases every time, and as many as `PROPTEST_CASES` says.
fn runner() -> TestRunner {
    let default = ProptestConfig::default();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { default.cases } else { CASES };
    let config = ProptestConfig { cases, failure_persistence: None, ..default };
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
}

#[test]
fn no_capture_makes_the_engine_break_a_rule_whatever_happens_to_it_on_the_way() {
    for path in captures() {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let (times, frames) = client_side(&path);
        let mut runner = runner();
        let steps = prop::collection::vec(any_step(), 0..STEPS_MAX);
        let result = runner.run(&(steps, any::<bool>()), |(steps, reset)| {
            let mut mutated = frames.clone();
            for step in &steps {
                step.apply(&mut mutated);
            }
            // Frames have the times of the capture, whatever stands there now.
            let last = times.last().copied().unwrap_or_default();
            let times = times.iter().copied().chain(std::iter::repeat(last));
            let recorded = times.clone().zip(frames.iter().map(Vec::as_slice));
            let mutated = times.zip(mutated.iter().map(Vec::as_slice));
            let engine = engine(if reset { Refuse::Reset } else { Refuse::Drop });
            let mut checkers = check::all(&engine);
            // The checkers see first what was true: a recorded cookie is good even if its SYN is lost here.
            let observed = check::observe(&engine, &mut checkers, recorded)
                .and_then(|_| check::observe(&engine, &mut checkers, mutated));
            observed.map(|_| ()).map_err(TestCaseError::fail)
        });
        assert!(result.is_ok(), "{name}: {}", result.unwrap_err());
    }
}

#[test]
fn what_was_recorded_is_answered() {
    // Else the property above would hold of an engine that drops everything.
    let responses = |path: &PathBuf| {
        let (times, frames) = client_side(path);
        let engine = engine(Refuse::Drop);
        let mut checkers = check::all(&engine);
        let frames = times.iter().copied().zip(frames.iter().map(Vec::as_slice));
        let stats = check::observe(&engine, &mut checkers, frames).unwrap();
        stats.count(Verdict::Replied(ReplyKind::Response))
    };
    let total: u64 = captures().iter().map(responses).sum();
    assert!(total >= 50, "only {total} responses");
}
