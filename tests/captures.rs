//! The captures in `pcaps/`, replayed: what real clients sent is given to the engine again, and what it
//! answers must be, byte for byte, what went over the wire when they were recorded.

mod support;

use std::fmt::Write;
use std::fs::File;
use std::path::{Path, PathBuf};

use lethe::App;
use lethe::config::{Config, Refuse};
use lethe::cookie::Secret;
use lethe::engine::{Engine, SCRATCH_LEN};
use lethe::port::RxFrame;
use lethe::time::Instant;
use lethe::verdict::Stats;
use lethe::wire::ethernet::{Header, MacAddress};
use lethe_apps::ipinfo::IpInfo;
use lethe_sim::capture::Reader;
use lethe_sim::notation;
use lethe_sim::sample::Sample;
use support::config;

/// The longest body that `lethe serve ... sample` gave when the captures were made.
const SAMPLE_MAX: usize = 65_000;

#[test]
fn every_capture_is_answered_as_it_was_when_it_was_recorded() {
    let (sample, places) = (Sample::new(SAMPLE_MAX), IpInfo::embedded());
    let captures = captures();
    assert!(captures.len() >= 10, "only {} captures were found", captures.len());
    for path in captures {
        let name = path.file_name().unwrap().to_str().unwrap();
        let Recorded { client, server } = read(&path);
        let engine = Engine::new(
            Config { secret: Secret::new([0; 16]), ..config(Refuse::Drop) },
            if name.starts_with("sample") { &sample as &dyn App } else { &places },
        );
        let mut stats = Stats::default();
        let mut answers = Vec::new();
        let (mut scratch, mut buffer) = (vec![0xa5; SCRATCH_LEN], vec![0xa5; 2048]);
        for (at, frame) in &client {
            let mut reply = engine.handle(*at, RxFrame::unchecked(frame), &mut scratch);
            stats.count_received(frame.len(), reply.verdict());
            while let Some(sent) = reply.next_frame(&mut buffer) {
                stats.count_sent(sent.len);
                answers.push(buffer[..sent.len].to_vec());
            }
        }
        compare(name, answers, server);
        insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
            insta::assert_snapshot!(format!("capture-{name}"), table(&stats));
        });
    }
}

/// The capture files, in the order of their names.
fn captures() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("pcaps");
    let is_capture = |path: &PathBuf| path.extension().is_some_and(|kind| kind == "pcap" || kind == "pcapng");
    let mut captures: Vec<PathBuf> =
        folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).filter(is_capture).collect();
    captures.sort();
    captures
}

/// Both sides must have the same frames. Their order is the kernel's: a recorder sees a frame before or
/// after the device does.
fn compare(name: &str, mut answers: Vec<Vec<u8>>, mut recorded: Vec<Vec<u8>>) {
    answers.sort();
    recorded.sort();
    let missing = recorded.iter().find(|frame| answers.binary_search(frame).is_err());
    let new = answers.iter().find(|frame| recorded.binary_search(frame).is_err());
    let line = |frame: &Vec<u8>| notation::line(frame);
    assert_eq!((missing.map(line), new.map(line)), (None, None), "{name}: not sent any more, and new");
    assert_eq!(answers, recorded, "{name}");
}

/// A capture, taken apart.
struct Recorded {
    /// What the client sent, and when.
    client: Vec<(Instant, Vec<u8>)>,
    /// What the server sent.
    server: Vec<Vec<u8>>,
}

fn read(path: &Path) -> Recorded {
    let mut recorded = Recorded { client: Vec::new(), server: Vec::new() };
    for packet in Reader::new(File::open(path).unwrap()).unwrap() {
        let packet = packet.unwrap();
        assert!(!packet.is_cut(), "{}", path.display());
        let (link, _) = Header::parse(&packet.bytes).unwrap();
        if link.source == MacAddress::LETHE {
            recorded.server.push(packet.bytes);
        } else {
            recorded.client.push((packet.at, packet.bytes));
        }
    }
    recorded
}

fn table(stats: &Stats) -> String {
    let mut table = String::new();
    for (verdict, count) in stats.rows().filter(|(_, count)| *count > 0) {
        writeln!(table, "{count:>5} {verdict}").unwrap();
    }
    writeln!(table, "{:>5} frames sent", stats.sent_frames()).unwrap();
    table
}
