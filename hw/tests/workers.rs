//! Several workers on several queues of one port, whose card is this test.

#[path = "support/mix.rs"]
mod mix;

use std::net::Ipv6Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use allocation_counter::measure;
use lethe::app::{App as _, Generations};
use lethe::time::Instant;
use lethe::verdict::{DropReason, ReplyKind, Stats, Verdict};
use lethe_apps::ipinfo::IpInfo;
use lethe_hw::dpdk::{Eal, Polling, Port, PortConfig, RingPort, RingQueue, TimeSource, Workers};
use lethe_sim::dissect::Frame;

const WORKERS: u16 = 4;
const CLIENTS: u32 = 800;

/// Any worker can answer any packet, so the frames of each client are spread over all workers. DPDK starts only once in
/// a process, so this test checks everything about several workers.
#[test]
fn workers_answer_each_frame_once_whoever_had_the_last_of_that_client() {
    let prefix = format!("lethe-workers-{}", std::process::id());
    let arguments = ["--no-pci", "--no-huge", "-m", "256", "--no-telemetry", "--lcores", "(0-3)@(0-1)"];
    let eal = Eal::start(arguments.into_iter().chain(["--file-prefix", &prefix])).unwrap();
    assert_eq!(eal.lcores().len(), usize::from(WORKERS));

    let frames = mix::mix(now(), CLIENTS);
    let feeder = RingPort::new(&eal, "feeder", &spread(&frames)).unwrap();
    let mut port =
        Port::open(&eal, PortConfig { number: feeder.number(), queues: 16, mtu: None, segmentation: None }).unwrap();
    assert_eq!((port.driver(), port.mtu(), port.queue_count()), ("net_ring", 1500, usize::from(WORKERS)));
    let stop = AtomicBool::new(false);
    let engine = mix::engine(port.offload());
    let workers = Workers::new(engine, port.queue_count(), &stop, Polling::Adaptive, TimeSource::Wall);
    let (queues, card) = port.queues();
    let mut posts: Vec<_> = queues.into_iter().enumerate().map(|(number, queues)| (number, queues, 0)).collect();

    let (answers, announced) = thread::scope(|scope| {
        let world = scope.spawn(|| {
            let _end = End(&stop);
            world(feeder.into_queues(), &workers, frames.len())
        });
        eal.run(&mut posts, |(number, queues, allocations)| {
            *allocations = measure(|| workers.work(*number, queues, &mut ())).count_total;
        });
        world.join().unwrap()
    });

    let stats = workers.stats();
    let expected = frames.len() / usize::from(WORKERS);
    for worker in &stats {
        assert_eq!(worker.received_frames(), expected as u64, "each has what its queue received");
    }
    let total = total(&stats);
    for kind in [ReplyKind::SynAck, ReplyKind::Response, ReplyKind::FinAck] {
        assert_eq!(total.count(Verdict::Replied(kind)), u64::from(CLIENTS), "{kind}");
    }
    assert!(DropReason::ALL.iter().all(|&reason| total.count(Verdict::Dropped(reason)) == 0));
    assert_eq!(answers, 3 * CLIENTS as usize);
    let [arp, advertisement] = &announced[..] else { panic!("{} broadcast frames", announced.len()) };
    // A request of 10.9.0.2 for itself, and an advertisement of fd09::2 that overrides what was known.
    assert_eq!((&arp[12..14], &arp[20..22]), (&[8, 6][..], &[0, 1][..]));
    assert_eq!((&arp[28..32], &arp[38..42]), (&[10, 9, 0, 2][..], &[10, 9, 0, 2][..]));
    let address: Ipv6Addr = "fd09::2".parse().unwrap();
    assert_eq!((advertisement[54], advertisement[58]), (136, 0x20));
    assert_eq!(advertisement[62..78], address.octets());
    assert_eq!(card.stats().received, frames.len() as u64);
    assert!(posts.iter().all(|&(.., allocations)| allocations == 1), "scratch space, and nothing for any frame");
    drop(posts);
    assert_eq!(port.close(), 0, "every buffer came back");
    let _ = std::fs::remove_dir_all(format!("/var/run/dpdk/{prefix}"));
}

/// Ends the workers, also when a check fails.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A list for each worker, so that each has some of every kind and no client has a worker of its own.
fn spread(frames: &[Vec<u8>]) -> Vec<Vec<Vec<u8>>> {
    let mut queues = vec![Vec::new(); usize::from(WORKERS)];
    for (client, said) in frames.chunks(mix::FRAMES_PER_REQUEST).enumerate() {
        for (number, frame) in said.iter().enumerate() {
            queues[(client + number) % usize::from(WORKERS)].push(frame.clone());
        }
    }
    queues
}

/// Feeds every frame once, and looks at everything that comes back, while their engine is written to again and again.
/// Returns the number of unicast frames that came back, and the broadcast and multicast ones.
fn world(
    mut queues: Vec<RingQueue<'_>>,
    workers: &Workers<'_, IpInfo<'static>>,
    frames: usize,
) -> (usize, Vec<Vec<u8>>) {
    workers.announce();
    let mut left = vec![frames / queues.len(); queues.len()];
    let (mut answers, mut announced) = (0, Vec::new());
    let mut busy = std::time::Instant::now();
    while busy.elapsed() < Duration::from_millis(500) {
        for (queue, left) in queues.iter_mut().zip(&mut left) {
            *left -= queue.feed(*left);
            let collected = queue.collect(|frame| {
                assert_eq!(Frame::dissect(frame).unwrap().problem(), None);
                let is_group = frame[0] & 1 == 1;
                announced.extend(is_group.then(|| frame.to_vec()));
                answers += usize::from(!is_group);
            });
            if *left > 0 || collected > 0 {
                busy = std::time::Instant::now();
            }
        }
        workers.with_engine(|engine| assert_eq!(engine.app().generations(), Generations::ONE));
        assert!(total(&workers.stats()).received_frames() <= frames as u64);
    }
    (answers, announced)
}

fn total(stats: &[Stats]) -> Stats {
    let mut total = Stats::default();
    for stats in stats {
        total.add(stats);
    }
    total
}

fn now() -> Instant {
    Instant::from_unix_nanos(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64)
}
