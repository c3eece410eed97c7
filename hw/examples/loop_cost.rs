//! Measures the cost of the loop on one core. `cargo xtask loop-cost` runs it, beside DPDK's testpmd.
//!
//! ```text
//! loop_cost mix OUT.pcapng       a capture of clients who come now: SYN, ACK, GET, FIN of each
//! loop_cost ring SECONDS [N]     the same frames through net_ring, whose other side is this program; N under way [32]
//! loop_cost kept SECONDS ROUNDS  the same, and requests on connections that stay open, by turns
//! ```

#[path = "../tests/support/mix.rs"]
mod mix;

use std::fs::File;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lethe::engine::SCRATCH_LEN;
use lethe::time::Instant;
use lethe::turn;
use lethe::verdict::{ReplyKind, Stats, Verdict};
use lethe_hw::dpdk::{BURST, Eal, Port, PortConfig, RingPort, RingQueue};
use lethe_sim::capture::Writer;

/// Clients in the mix. Their frames fit the buffers of one queue.
const CLIENTS: u32 = 500;

/// Bursts of a time window: some 0.4 ms, so that many windows are not interrupted by other processes.
const BURSTS: usize = 64;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["mix", file] => write_mix(file),
        ["ring", seconds] => ring(seconds.parse().expect("a number of seconds"), BURST),
        ["ring", seconds, in_flight] => {
            ring(seconds.parse().expect("a number of seconds"), in_flight.parse().expect("a number of frames"));
        }
        ["kept", seconds, rounds] => {
            kept(seconds.parse().expect("a number of seconds"), rounds.parse().expect("a number of rounds"));
        }
        _ => panic!("usage: loop_cost mix OUT.pcapng | loop_cost ring SECONDS | loop_cost kept SECONDS ROUNDS"),
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

/// What is fed to a ring.
struct Fed {
    name: &'static str,
    frames: Vec<Vec<u8>>,
    frames_per_request: u32,
    keep_alive: bool,
}

impl Fed {
    /// Clients who connect, ask once and close.
    fn closing() -> Self {
        let frames_per_request = mix::FRAMES_PER_REQUEST as u32;
        Self { name: "closing", frames: mix::mix(now(), CLIENTS), frames_per_request, keep_alive: false }
    }

    /// Clients who ask once more.
    fn kept() -> Self {
        let frames = mix::kept_mix(now(), CLIENTS, false);
        Self { name: "kept", frames, frames_per_request: 1, keep_alive: true }
    }

    /// The same, who have acknowledged the last response before.
    fn kept_with_acks() -> Self {
        let frames = mix::kept_mix(now(), CLIENTS, true);
        Self { name: "kept-ack", frames, frames_per_request: 2, keep_alive: true }
    }
}

/// An EAL of this program's own, which leaves nothing behind.
struct OwnEal(Eal, String);

impl OwnEal {
    fn start() -> Self {
        let prefix = format!("lethe-loop-cost-{}", std::process::id());
        let arguments = ["--no-pci", "--no-huge", "-m", "256", "--no-telemetry", "-l", "0", "--file-prefix", &prefix];
        Self(Eal::start(arguments).unwrap(), prefix)
    }
}

impl Drop for OwnEal {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(format!("/var/run/dpdk/{}", self.1));
    }
}

fn ring(seconds: u64, in_flight: usize) {
    let eal = OwnEal::start();
    let fed = Fed::closing();
    let mut lane = Lane::new(&eal.0, &fed);
    let windows = lane.run(Duration::from_secs(seconds), in_flight);
    report("undisturbed", &windows[windows.len() / 100]);
    report("median", &windows[windows.len() / 2]);
}

/// Requests a second of closing connections and of those that stay open, by turns.
fn kept(seconds: u64, rounds: usize) {
    let eal = OwnEal::start();
    let all = [Fed::closing(), Fed::kept(), Fed::kept_with_acks()];
    let mut lanes = all.each_ref().map(|fed| Lane::new(&eal.0, fed));
    println!("net_ring, one core, million requests/s, undisturbed and median; of those that close");
    let mut ratios = [const { Vec::new() }; 3];
    for round in 0..rounds {
        let mut rates = [[0.0; 2]; 3];
        for turn in 0..lanes.len() {
            let number = (round + turn) % lanes.len();
            let windows = lanes[number].run(Duration::from_secs(seconds), BURST);
            let rate = |window: &Spent| requests(all[number].frames_per_request, window.serving);
            rates[number] = [rate(&windows[windows.len() / 100]), rate(&windows[windows.len() / 2])];
        }
        print!("round {}", round + 1);
        for (number, [undisturbed, median]) in rates.into_iter().enumerate() {
            let ratio = undisturbed / rates[0][0];
            ratios[number].push(ratio);
            print!("   {} {undisturbed:.2} {median:.2}, {ratio:.2}", all[number].name);
        }
        println!();
    }
    for (fed, ratios) in all.iter().zip(&mut ratios).skip(1) {
        ratios.sort_by(f64::total_cmp);
        println!("{}: {:.2} times as many as closing, median of {rounds}", fed.name, ratios[rounds / 2]);
    }
}

/// A ring, and what serves it.
struct Lane<'e> {
    fed: &'e Fed,
    queue: RingQueue<'e>,
    port: Port<'e>,
    scratch: Vec<u8>,
}

impl<'e> Lane<'e> {
    fn new(eal: &'e Eal, fed: &'e Fed) -> Self {
        let feeder = RingPort::new(eal, fed.name, std::slice::from_ref(&fed.frames)).unwrap();
        let port =
            Port::open(eal, PortConfig { number: feeder.number(), queues: 1, mtu: None, segmentation: None }).unwrap();
        Self { fed, queue: feeder.into_queues().pop().unwrap(), port, scratch: vec![0; SCRATCH_LEN] }
    }

    /// Serves for so long, with so many frames under way in each ring, and returns all windows, those with the least
    /// time for serving first. A card has some hundred under way, in more buffers than a first cache holds.
    fn run(&mut self, time: Duration, in_flight: usize) -> Vec<Spent> {
        let engine = mix::engine_with(self.port.offload(), self.fed.keep_alive);
        let (queues, _) = self.port.queues();
        let mut queues = queues.into_iter().next().unwrap();
        let mut stats = Stats::default();
        let mut windows = Vec::new();
        let mut kept_back = in_flight / BURST;
        for _ in 1..in_flight / BURST {
            self.queue.feed(BURST);
        }
        let start = std::time::Instant::now();
        while start.elapsed() < time {
            let mut spent = Spent::default();
            for _ in 0..BURSTS {
                let before = std::time::Instant::now();
                self.queue.feed(BURST);
                let fed = std::time::Instant::now();
                let count = queues.rx.poll(BURST);
                turn(&engine, now(), &mut queues, &mut self.scratch, &mut stats, count);
                let served = std::time::Instant::now();
                // What was sent first is taken when as much is on its way out.
                kept_back = kept_back.saturating_sub(1);
                if kept_back == 0 {
                    self.queue.collect(|_| ());
                }
                spent.feeding += fed - before;
                spent.serving += served - fed;
                spent.collecting += served.elapsed();
            }
            windows.push(spent);
        }
        let requests = stats.count(Verdict::Replied(ReplyKind::Response));
        let per_request = u64::from(self.fed.frames_per_request);
        assert!(
            (requests * per_request).abs_diff(stats.received_frames()) < per_request,
            "{}: every request was answered",
            self.fed.name
        );
        assert_eq!(stats.received_frames(), (windows.len() * BURSTS * BURST) as u64, "every frame was received");
        windows.sort_by_key(|spent| spent.serving);
        windows
    }
}

/// Millions of requests a second, where a window was served in this time.
fn requests(frames_per_request: u32, serving: Duration) -> f64 {
    f64::from((BURSTS * BURST) as u32) / f64::from(frames_per_request) / serving.as_secs_f64() / 1e6
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
