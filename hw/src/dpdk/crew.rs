//! The workers, and what is to be known and changed while they work.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lethe::app::App;
use lethe::engine::{Engine, SCRATCH_LEN};
use lethe::port::{Transmit, TxQueue};
use lethe::time::Instant;
use lethe::turn;
use lethe::verdict::Stats;

use super::{BURST, Rx, Tx};
use crate::published::{Published, Writer};

/// Polls without a frame after which an adaptive worker takes its time: some 20 µs.
const SPINS: u32 = 1_000;

/// Polls after which it begins to sleep: some 200 µs.
const PAUSES: u32 = 3_000;

/// How long it sleeps. A card with 1,024 descriptors loses nothing meanwhile below some 10 million frames a second.
const NAP: Duration = Duration::from_micros(50);

/// What a worker does when there is nothing to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Polling {
    /// It asks again at once: the shortest answers, and a core at full load.
    Busy,
    /// It asks again at once, then more slowly, and then sleeps between two polls.
    Adaptive,
}

/// Where a worker has the time from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Clock {
    /// The machine's clock, read once a burst; no system call where the kernel's vDSO has it.
    Wall,
    /// The time that the driver puts on each frame, as those of capture files do: the same file always has the same
    /// answers. Frames are taken one at a time.
    Frames,
}

/// What the workers have in common, and what others have of them.
///
/// Workers share nothing that changes; each publishes its counters. Now and then somebody wants something of them,
/// though: the engine, for a new data set. That is a *roll call*: a number is changed, which every worker looks at
/// between two bursts. It then lets go of the engine, and takes it again.
#[derive(Debug)]
pub struct Crew<'s, A> {
    engine: RwLock<Engine<A>>,
    stop: &'s AtomicBool,
    polling: Polling,
    clock: Clock,
    /// Frames that a worker takes at a time.
    burst: usize,
    /// The number of the last roll call.
    roll_call: AtomicU64,
    /// Whether the network is to be told where our addresses are.
    to_announce: AtomicBool,
    /// Locked by whoever wants the engine for himself: no worker takes it again meanwhile.
    door: Mutex<()>,
    published: Arc<[Published]>,
}

impl<'s, A: App + Send + Sync> Crew<'s, A> {
    /// A crew of so many workers, who work until `stop` is set.
    pub fn new(engine: Engine<A>, workers: usize, stop: &'s AtomicBool, polling: Polling, clock: Clock) -> Self {
        Self {
            engine: RwLock::new(engine),
            stop,
            polling,
            clock,
            burst: if clock == Clock::Frames { 1 } else { BURST },
            roll_call: AtomicU64::new(0),
            to_announce: AtomicBool::new(false),
            door: Mutex::default(),
            published: Published::for_workers(workers),
        }
    }

    /// The same with workers who take at most so many frames at a time, from 1 to [`BURST`].
    #[must_use]
    pub fn with_burst(self, burst: usize) -> Self {
        assert!((1..=BURST).contains(&burst), "{burst} frames at a time: buffers are for 1 to {BURST}");
        Self { burst: self.burst.min(burst), ..self }
    }

    /// What worker `number` does, on its own lcore: answers what `rx` receives on `tx` until all is over.
    pub fn work(&self, number: usize, rx: &mut Rx<'_>, tx: &mut Tx<'_>) {
        let mut scratch = vec![0; SCRATCH_LEN];
        let mut stats = Stats::default();
        let mut writer = self.published[number].writer();
        while !self.is_over() {
            // In this order: a call that comes after the first line is seen by `serve`, and one that came before it has
            // locked the door.
            let roll_call = self.roll_call.load(Ordering::Acquire);
            drop(open(&self.door));
            let engine = self.engine.read().unwrap_or_else(PoisonError::into_inner);
            if number == 0 && self.to_announce.swap(false, Ordering::Relaxed) {
                announce(&engine, tx, &mut stats);
                writer.publish(&stats);
            }
            self.serve(&engine, roll_call, rx, tx, &mut scratch, (&mut stats, &mut writer));
        }
        writer.publish(&stats);
        tx.drain();
    }

    /// The loop. It ends with the next roll call.
    fn serve(
        &self,
        engine: &Engine<A>,
        roll_call: u64,
        rx: &mut Rx<'_>,
        tx: &mut Tx<'_>,
        scratch: &mut [u8],
        (stats, writer): (&mut Stats, &mut Writer<'_>),
    ) {
        let mut idle = 0;
        while self.roll_call.load(Ordering::Relaxed) == roll_call && !self.is_over() {
            let count = rx.poll(self.burst);
            if count == 0 {
                tx.flush();
                writer.settle(stats);
                self.rest(&mut idle);
                continue;
            }
            idle = 0;
            let now = match self.clock {
                Clock::Wall => wall_clock(),
                Clock::Frames => rx.timestamp().unwrap_or_else(wall_clock),
            };
            turn(engine, now, rx, tx, scratch, stats, count);
            writer.turned(count == self.burst, stats);
        }
    }

    /// Waits for as long as fits so many polls in vain.
    #[inline]
    fn rest(&self, idle: &mut u32) {
        if self.polling == Polling::Busy {
            return;
        }
        *idle = idle.saturating_add(1);
        if *idle > PAUSES {
            thread::sleep(NAP);
        } else if *idle > SPINS {
            // Each lets the other thread of the core work for a moment.
            (0..8).for_each(|_| std::hint::spin_loop());
        }
    }

    fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Has the first worker tell the network where our addresses are. A capture file has nobody to be told.
    pub fn announce(&self) {
        if self.clock == Clock::Wall {
            self.to_announce.store(true, Ordering::Relaxed);
            self.call();
        }
    }

    /// The counters of each worker, as of a moment ago; as of the end, when all is over.
    pub fn stats(&self) -> Vec<Stats> {
        self.published.iter().map(Published::stats).collect()
    }

    /// Where the workers write their counters down.
    pub fn published(&self) -> Arc<[Published]> {
        Arc::clone(&self.published)
    }

    /// Does something to the engine while no worker uses it.
    pub fn with_engine<T>(&self, work: impl FnOnce(&mut Engine<A>) -> T) -> T {
        let _door = open(&self.door);
        self.call();
        let mut engine = self.engine.write().unwrap_or_else(PoisonError::into_inner);
        work(&mut engine)
    }

    fn call(&self) {
        self.roll_call.fetch_add(1, Ordering::AcqRel);
    }
}

/// Locks it. A panic elsewhere is no reason to stop: nothing is left half done under these locks.
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

/// What time it is. Saturating in the year 2554; a clock before 1970 is 1970.
fn wall_clock() -> Instant {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Instant::from_unix_nanos(u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX))
}
