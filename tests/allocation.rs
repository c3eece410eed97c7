//! `handle` and `next_frame` allocate nothing, whatever the frame.

mod support;

use lethe::engine::SCRATCH_LEN;
use lethe::port::RxFrame;
use lethe::time::Instant;
use lethe::wire::tcp::Flags;
use lethe_apps::ipinfo::IpInfo;
use lethe_sim::frame::{Arp, Ends, Icmp, Segment};
use support::{Client, ISN, Offer, config, engine};

#[test]
fn the_engine_allocates_nothing() {
    let engine = engine();
    let ipinfo = lethe::Engine::new(config(lethe::config::Refuse::Reset), IpInfo::embedded());
    let mut scratch = vec![0; SCRATCH_LEN];
    let mut buffer = vec![0; 2048];
    let mut answered = 0;
    for ends in support::both() {
        let client = Client::connected(&engine, ends, Offer::LINUX);
        let get = |target: &str| client.at(0, 0).payload(format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n")).frame();
        let frames = [
            Segment::syn(&ends).seq(ISN).mss(1460).sack_permitted().timestamps(5, 0).frame(),
            client.at(0, 0).frame(),
            get("/100"),
            get("/20000"),
            get("/202.96.128.86"),
            get("/202.96.128.86.json"),
            get("/?ip=8.8.8.8"),
            get("/"),
            get("/%"),
            client.at(0, 0).payload("POST / HTTP/1.0\r\n\r\n").frame(),
            client.at(20, 111).with(Flags::FIN).frame(),
            Segment::syn(&ends.server_port(81)).frame(),
            Icmp::echo(&ends, 1, 1, &[0; 1400]).frame(),
            Arp::request(&Ends::v4()).frame(),
            Icmp::solicitation(&Ends::v6()).frame(),
            vec![0xff; 60],
        ];
        let now = client.dialogue.now();
        for frame in &frames {
            answered += count(|| run(&engine, now, frame, &mut scratch, &mut buffer));
            answered += count(|| run(&ipinfo, now, frame, &mut scratch, &mut buffer));
        }
    }
    assert!(answered > 60, "only {answered} frames were sent: nothing was measured");
}

/// Runs `work`, fails if it allocates, and returns what it returns.
fn count(work: impl FnOnce() -> usize) -> usize {
    let mut frames = 0;
    let info = allocation_counter::measure(|| frames = work());
    assert_eq!(info.count_total, 0);
    frames
}

fn run<A: lethe::App>(
    engine: &lethe::Engine<A>,
    now: Instant,
    frame: &[u8],
    scratch: &mut [u8],
    buffer: &mut [u8],
) -> usize {
    let mut reply = engine.handle(now, RxFrame::unchecked(frame), scratch);
    std::iter::from_fn(|| reply.next_frame(buffer)).count()
}
