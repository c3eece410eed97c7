//! Tests of whole runs.

use super::*;

fn run_with(options: Options) -> Result<Summary, Failure> {
    simulate(options, None)
}

fn impaired(text: &str) -> Options {
    Options { impairment: Some(text.parse().unwrap()), ..Options::new(1) }
}

#[test]
fn without_faults_every_client_gets_everything_at_once() {
    let summary = run_with(Options { requests: 200, ..impaired("") }).unwrap();
    assert_eq!((summary.excused, summary.tally.lost), (0, 0));
    assert!(summary.completed() > 100 && summary.completed() + summary.without_reply == 200);
}

#[test]
fn two_runs_of_one_seed_are_the_same() {
    let options = impaired("loss=10%,duplicate=10%,reorder=10%,corrupt=2%,delay=10ms,jitter=5ms");
    let first = run_with(options.clone()).unwrap();
    assert_eq!(run_with(options.clone()).unwrap(), first);
    let other = run_with(Options { seed: 2, ..options }).unwrap();
    assert_ne!(other.digest, first.digest);
}

#[test]
fn a_summary_counts_and_ranks() {
    let mut summary = Summary::default();
    (1..=100).rev().for_each(|second| summary.complete(std::time::Duration::from_secs(second), 10));
    let engine = Scenario::draw(Options::new(1)).engine();
    summary.close(&World::new(&engine, Instant::default()));
    let seconds = |percent| summary.percentile(percent).map(|time| time.as_secs());
    assert_eq!([0, 50, 99, 100].map(seconds), [Some(1), Some(50), Some(99), Some(100)]);
    assert_eq!(summary.needed_bytes, 1000);
    assert_eq!(Summary::default().percentile(50), None);
    assert!(summary.json().starts_with("{\"completed\":100,\"without_reply\":0,"), "{}", summary.json());
}

#[test]
fn wrong_bytes_are_told_apart_from_right_ones() {
    assert_eq!(wrong_bytes(b"wring", b"wrong"), Fault::WrongBytes { got: 5, wanted: 5, differs: 2 });
    assert_eq!(wrong_bytes(b"wro", b"wrong"), Fault::WrongBytes { got: 3, wanted: 5, differs: 3 });
}

/// Without loss, too: what becomes of a client that gets no reply is said with the limit of the protocol that is the
/// reason.
#[test]
fn a_summary_says_why_clients_were_promised_nothing() {
    let impaired = Options { seed: 3, ..impaired("delay=5ms") };
    let summary = run_with(Options { requests: 40, size: Some(200_000), ..impaired }).unwrap();
    assert_eq!((summary.completed() + summary.excused, summary.tally.lost), (40, 0));
    assert_eq!(summary.excuses.values().sum::<u64>(), summary.excused);
    let [newest, by_timer] = [Excuse::EchoesNewest, Excuse::StackByTimer].map(|why| summary.excuses[&why]);
    let (text, json) = (summary.to_string(), summary.json());
    for line in [
        format!("{newest:>19} smoltcp with timestamps: it echoes the newest, a segment is passed over"),
        format!(
            "{by_timer:>19} smoltcp without timestamps: a window of segments for each of its timeouts, which double"
        ),
        "(docs/protocol.md, \"Known limits\", has the reasons)\n".to_owned(),
    ] {
        assert!(text.contains(&line), "{text}");
    }
    assert!(json.contains(&format!("{{\"echoes_newest\":{newest},\"smoltcp_by_timer\":{by_timer}}}")), "{json}");
}
