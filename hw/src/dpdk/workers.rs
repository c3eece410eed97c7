//! The workers of a card, one on each lcore; their counters can be read and their engine replaced while they run.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lethe::app::App;
use lethe::engine::{Engine, SCRATCH_LEN};
use lethe::event_loop::{Observer, turn_observed};
use lethe::port::{Transmit, TxQueue};
use lethe::time::Instant;
use lethe::verdict::Stats;

use super::{BURST, Queues, Tx};
use crate::worker_stats::{StatsPublisher, WorkerStats};

/// Empty polls after which an adaptive worker slows down: some 20 µs.
const SPINS: u32 = 1_000;

/// Empty polls after which it begins to sleep: some 200 µs.
const PAUSES: u32 = 3_000;

/// The duration of a sleep. A card with 1,024 descriptors loses no frame meanwhile, below some 10 million frames a
/// second.
const NAP: Duration = Duration::from_micros(50);

/// How a worker polls when there are no frames.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Polling {
    /// At once: the lowest latency, and a core at full load.
    Busy,
    /// At once, later with pauses, and then with a sleep between polls.
    Adaptive,
}

/// The source of a worker's time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TimeSource {
    /// The system clock, read once a burst; without a system call where the vDSO has it.
    Wall,
    /// The timestamp of each frame, which drivers of capture files set, so that a file always gets the same answers.
    /// Frames are taken one at a time.
    Frames,
}

/// The shared state of all workers.
///
/// It does not change while they run; each publishes its own counters. Replacing the data set writes to the engine,
/// which needs a *quiescent point*: a number is advanced, which each worker compares between two bursts. The worker
/// then releases its read lock of the engine, waits at the writer gate, and takes the lock again.
#[derive(Debug)]
pub struct Workers<'s, A> {
    engine: RwLock<Engine<A>>,
    stop: &'s AtomicBool,
    polling: Polling,
    clock: TimeSource,
    /// Frames that a worker takes at a time.
    burst: usize,
    /// The number of the last quiescent point.
    quiesce: AtomicU64,
    /// Whether to announce our addresses to the network.
    to_announce: AtomicBool,
    /// Held by the writer of the engine, so that no worker takes the read lock again before it has written.
    writer_gate: Mutex<()>,
    published: Arc<[WorkerStats]>,
}

impl<'s, A: App + Send + Sync> Workers<'s, A> {
    /// A number of workers, which run until `stop` is set.
    pub fn new(engine: Engine<A>, count: usize, stop: &'s AtomicBool, polling: Polling, clock: TimeSource) -> Self {
        Self {
            engine: RwLock::new(engine),
            stop,
            polling,
            clock,
            burst: if clock == TimeSource::Frames { 1 } else { BURST },
            quiesce: AtomicU64::new(0),
            to_announce: AtomicBool::new(false),
            writer_gate: Mutex::default(),
            published: WorkerStats::for_workers(count),
        }
    }

    /// Limits the frames of a burst, to a number from 1 to [`BURST`].
    #[must_use]
    pub fn with_burst(self, burst: usize) -> Self {
        assert!((1..=BURST).contains(&burst), "{burst} frames at a time: buffers are for 1 to {BURST}");
        Self { burst: self.burst.min(burst), ..self }
    }

    /// Runs worker `number` on its lcore: answers the frames of its queues until `stop` is set. `log` is told of
    /// requests.
    pub fn work(&self, number: usize, queues: &mut Queues<'_>, log: &mut impl Observer) {
        let mut scratch = vec![0; SCRATCH_LEN];
        let mut stats = Stats::default();
        let mut publisher = self.published[number].publisher();
        while !self.is_over() {
            // In this order: a quiescent point requested after the first line is seen by `serve`, and the writer that
            // requested one before it holds the gate.
            let seen = self.quiesce.load(Ordering::Acquire);
            drop(open(&self.writer_gate));
            let engine = self.engine.read().unwrap_or_else(PoisonError::into_inner);
            if number == 0 && self.to_announce.swap(false, Ordering::Relaxed) {
                announce(&engine, &mut queues.tx, &mut stats);
                publisher.publish(&stats);
            }
            self.serve(&engine, seen, queues, &mut scratch, (&mut stats, &mut publisher, log));
        }
        publisher.publish(&stats);
        queues.tx.drain();
    }

    /// The loop, up to the next quiescent point.
    fn serve(
        &self,
        engine: &Engine<A>,
        seen: u64,
        queues: &mut Queues<'_>,
        scratch: &mut [u8],
        (stats, publisher, log): (&mut Stats, &mut StatsPublisher<'_>, &mut impl Observer),
    ) {
        let mut idle = 0;
        while self.quiesce.load(Ordering::Relaxed) == seen && !self.is_over() {
            let count = queues.rx.poll(self.burst);
            if count == 0 {
                queues.flush();
                publisher.settle(stats);
                self.rest(&mut idle);
                continue;
            }
            idle = 0;
            let now = match self.clock {
                TimeSource::Wall => wall_clock(),
                TimeSource::Frames => queues.rx.timestamp().unwrap_or_else(wall_clock),
            };
            let begun = publisher.begin_turn();
            turn_observed(engine, now, queues, scratch, stats, count, log);
            publisher.turned(begun, count, count == self.burst, stats);
        }
    }

    /// Waits by the number of empty polls.
    #[inline]
    fn rest(&self, idle: &mut u32) {
        if self.polling == Polling::Busy {
            return;
        }
        *idle = idle.saturating_add(1);
        if *idle > PAUSES {
            thread::sleep(NAP);
        } else if *idle > SPINS {
            // A pause lets the other hardware thread of the core run.
            (0..8).for_each(|_| std::hint::spin_loop());
        }
    }

    fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Makes the first worker announce our addresses, unless frames are from a capture file.
    pub fn announce(&self) {
        if self.clock == TimeSource::Wall {
            self.to_announce.store(true, Ordering::Relaxed);
            self.request_quiescent_point();
        }
    }

    /// The counters of each worker, as last published; after the end, the final ones.
    pub fn stats(&self) -> Vec<Stats> {
        self.published.iter().map(WorkerStats::stats).collect()
    }

    /// The published counters of each worker.
    pub fn published(&self) -> Arc<[WorkerStats]> {
        Arc::clone(&self.published)
    }

    /// Calls `work` with the engine while no worker uses it.
    pub fn with_engine<T>(&self, work: impl FnOnce(&mut Engine<A>) -> T) -> T {
        let _gate = open(&self.writer_gate);
        self.request_quiescent_point();
        let mut engine = self.engine.write().unwrap_or_else(PoisonError::into_inner);
        work(&mut engine)
    }

    fn request_quiescent_point(&self) {
        self.quiesce.fetch_add(1, Ordering::AcqRel);
    }
}

/// Locks a mutex, also if it is poisoned: no invariant is broken in between.
fn open<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

fn announce<A: App>(engine: &Engine<A>, tx: &mut Tx<'_>, stats: &mut Stats) {
    for mut reply in engine.announcements() {
        if let Transmit::Queued(len) = tx.transmit(|buffer| reply.next_frame(buffer)) {
            stats.count_sent(len);
        }
    }
    tx.flush();
}

/// The current time. Saturates in the year 2554; a clock before 1970 is 1970.
fn wall_clock() -> Instant {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Instant::from_unix_nanos(u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX))
}
