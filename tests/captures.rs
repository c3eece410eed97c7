//! The captures in `pcaps/`, replayed: what real clients sent is given to the engine again, and what it
//! answers must be, byte for byte, what went over the wire when they were recorded. However they are changed, no rule
//! is broken.

use std::fmt::Write;

use lethe::http::{Response, Status};
use lethe::verdict::Stats;
use lethe::{App, Request};
use lethe_apps::ipinfo::IpInfo;
use lethe_sim::sample::Sample;
use lethe_test::Replayed;

/// The longest body that `lethe serve ... sample` gave when the captures were made.
const SAMPLE_MAX: usize = 65_000;

/// The captures of `ipinfo`, and of `sample`.
const IPINFO: [&str; 2] = ["pcaps/*.pcap", "pcaps/curl-*.pcapng"];
const SAMPLE: &str = "pcaps/sample-*.pcapng";

/// How often each is changed.
const ROUNDS: u32 = 200;

/// Captures at the addresses and under the secret of `pcaps/record`.
fn captures(pattern: &str) -> lethe_test::Captures {
    let captures = lethe_test::captures(pattern).secret([0; 16]);
    captures.addresses(["10.9.0.2", "fd09::2"]).expect("two addresses that a server can have")
}

#[test]
fn every_capture_is_answered_as_it_was_when_it_was_recorded() {
    let (sample, places) = (Sample::new(SAMPLE_MAX), IpInfo::embedded());
    let mut count = snapshots(&replayed(captures(SAMPLE), &sample));
    count += IPINFO.map(|pattern| snapshots(&replayed(captures(pattern), &places))).iter().sum::<usize>();
    let names = std::path::Path::new("pcaps").read_dir().unwrap().map(|entry| entry.unwrap().file_name());
    let all = names.filter(|name| name.to_string_lossy().contains(".pcap")).count();
    assert_eq!(count, all, "not every capture belongs to an application");
}

fn replayed<A: App>(captures: lethe_test::Captures, app: &A) -> Replayed<'_, A> {
    captures.replay(app).unwrap_or_else(|error| panic!("{error}"))
}

/// Compares what was counted with the snapshots; returns how many captures there are.
fn snapshots(replayed: &Replayed<'_, impl App>) -> usize {
    for recording in replayed.recordings() {
        let name = recording.file().file_name().unwrap().to_str().unwrap();
        insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
            insta::assert_snapshot!(format!("capture-{name}"), table(recording.stats()));
        });
    }
    replayed.recordings().len()
}

fn table(stats: &Stats) -> String {
    let mut table = String::new();
    for (verdict, count) in stats.rows().filter(|(_, count)| *count > 0) {
        writeln!(table, "{count:>5} {verdict}").unwrap();
    }
    writeln!(table, "{:>5} frames sent", stats.sent_frames()).unwrap();
    table
}

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

#[test]
fn no_capture_makes_the_engine_break_a_rule_whatever_happens_to_it_on_the_way() {
    let replayed = replayed(captures("pcaps/*.pcap*").requests_only(), &Echo);
    assert!(replayed.responses() >= 50, "only {} responses", replayed.responses());
    let mutated = replayed.mutate(ROUNDS).unwrap_or_else(|error| panic!("{error}"));
    assert!(mutated.frames > 100_000, "{mutated}");
}

#[test]
fn a_reply_by_positions_breaks_no_rule_whatever_happens_to_its_capture() {
    let sample = Sample::new(SAMPLE_MAX);
    let mutated = replayed(captures("pcaps/*.pcap*").requests_only(), &sample).mutate(ROUNDS);
    mutated.unwrap_or_else(|error| panic!("{error}"));
}
