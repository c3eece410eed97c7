//! Measures the cost of the loop on one core. `cargo xtask loop-cost` runs it, beside DPDK's testpmd.
//!
//! ```text
//! loop_cost mix OUT.pcapng       a capture of clients who come now: SYN, ACK, GET, FIN of each
//! loop_cost ring SECONDS         the same frames through net_ring, whose other side is this program
//! ```

#[path = "../tests/support/mix.rs"]
mod mix;

use std::fs::File;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lethe::engine::SCRATCH_LEN;
use lethe::time::Instant;
use lethe::turn;
use lethe::verdict::{ReplyKind, Stats, Verdict};
use lethe_hw::dpdk::{BURST, Eal, Port, PortConfig, RingPort};
use lethe_sim::capture::Writer;

/// Clients in the mix. Their frames fit the buffers of one queue.
const CLIENTS: u32 = 500;

/// Bursts of a time window: some 0.4 ms, so that many windows are not interrupted by other processes.
const BURSTS: usize = 64;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["mix", file] => write_mix(file),
        ["ring", seconds] => ring(seconds.parse().expect("a number of seconds")),
        _ => panic!("usage: loop_cost mix OUT.pcapng | loop_cost ring SECONDS"),
    }
}

fn write_mix(path: &str) {
    let mut file = Writer::new(File::create(path).expect("the file can be written"), &["in"]).unwrap();
    let now = now();
    for frame in mix::mix(now, CLIENTS) {
        file.write(0, now, &frame, None).unwrap();
    }
    file.finish().unwrap();
}

/// Time spent on each side of a ring.
#[derive(Clone, Copy, Default)]
struct Spent {
    feeding: Duration,
    serving: Duration,
    collecting: Duration,
}

fn ring(seconds: u64) {
    let prefix = format!("lethe-loop-cost-{}", std::process::id());
    let arguments = ["--no-pci", "--no-huge", "-m", "256", "--no-telemetry", "-l", "0", "--file-prefix", &prefix];
    let eal = Eal::start(arguments).unwrap();
    let feeder = RingPort::new(&eal, "feeder", &[mix::mix(now(), CLIENTS)]).unwrap();
    let mut port = Port::open(&eal, PortConfig { number: feeder.number(), queues: 1, mtu: None }).unwrap();
    let mut queue = feeder.into_queues().pop().unwrap();
    let engine = mix::engine(port.offload());
    let (queues, _) = port.queues();
    let (mut rx, mut tx) = queues.into_iter().next().unwrap();

    let mut scratch = vec![0; SCRATCH_LEN];
    let mut stats = Stats::default();
    let mut windows = Vec::new();
    let start = std::time::Instant::now();
    while start.elapsed() < Duration::from_secs(seconds) {
        let mut spent = Spent::default();
        for _ in 0..BURSTS {
            let before = std::time::Instant::now();
            queue.feed(BURST);
            let fed = std::time::Instant::now();
            let count = rx.poll(BURST);
            turn(&engine, now(), &mut rx, &mut tx, &mut scratch, &mut stats, count);
            let served = std::time::Instant::now();
            queue.collect(|_| ());
            spent.feeding += fed - before;
            spent.serving += served - fed;
            spent.collecting += served.elapsed();
        }
        windows.push(spent);
    }
    let requests = stats.count(Verdict::Replied(ReplyKind::Response));
    assert_eq!(requests * mix::FRAMES_PER_REQUEST as u64, stats.received_frames(), "every request was answered");
    assert_eq!(stats.received_frames(), (windows.len() * BURSTS * BURST) as u64, "every frame was received");

    windows.sort_by_key(|spent| spent.serving);
    report("undisturbed", &windows[windows.len() / 100]);
    report("median", &windows[windows.len() / 2]);
    let _ = std::fs::remove_dir_all(format!("/var/run/dpdk/{prefix}"));
}

/// Reports a window: by the time of serving alone, and by all of it.
fn report(which: &str, spent: &Spent) {
    let frames = f64::from((BURSTS * BURST) as u32);
    let per_frame = |time: Duration| time.as_secs_f64() * 1e9 / frames;
    let [feeding, serving, collecting] = [spent.feeding, spent.serving, spent.collecting].map(per_frame);
    let requests = |nanos: f64| 1e3 / nanos / f64::from(mix::FRAMES_PER_REQUEST as u32);
    println!(
        "net_ring, {which}: {:.2} Mpps in, {:.2} million requests/s; {serving:.1} ns a frame, and {feeding:.1} of \
         feeding and {collecting:.1} of collecting left out; with them {:.2} million requests/s",
        1e3 / serving,
        requests(serving),
        requests(feeding + serving + collecting),
    );
}

fn now() -> Instant {
    Instant::from_unix_nanos(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64)
}
