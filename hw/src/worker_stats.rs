//! The counters of a worker, where others can read them.
//!
//! A worker counts in [`Stats`] of its own, and now and then writes them down here. Each number is a word that
//! only this worker writes: it stores, and neither locks nor waits, and who reads cannot hold it up.
//! A reader may see some numbers of one moment and some of the next, and none ever go back.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lethe::verdict::Stats;

/// Turns after which a worker that has no rest writes its counters down. It is so many that writing costs nothing beside
/// them, and so few that they are over in a tenth of a second even if each draws the longest replies there are.
const TURNS: u32 = 64;

/// What a worker has written down. It has cache lines of its own, and the next one's to keep its neighbors out of them.
#[repr(align(128))]
#[derive(Debug)]
pub struct WorkerStats {
    stats: [AtomicU64; Stats::COUNTERS],
    turns: AtomicU64,
    full_turns: AtomicU64,
}

impl Default for WorkerStats {
    fn default() -> Self {
        Self { stats: [const { AtomicU64::new(0) }; _], turns: AtomicU64::new(0), full_turns: AtomicU64::new(0) }
    }
}

impl WorkerStats {
    /// One for each of so many workers.
    pub fn for_workers(workers: usize) -> Arc<[Self]> {
        (0..workers).map(|_| Self::default()).collect()
    }

    /// The side of the worker. There is one worker, and so one of these at a time.
    pub const fn publisher(&self) -> StatsPublisher<'_> {
        StatsPublisher { published: self, turns: 0, full_turns: 0, since: 0 }
    }

    /// What the worker has counted, as of a moment ago.
    pub fn stats(&self) -> Stats {
        Stats::from_counters(std::array::from_fn(|place| self.stats[place].load(Ordering::Relaxed)))
    }

    /// Turns in which frames were taken.
    pub fn turns(&self) -> u64 {
        self.turns.load(Ordering::Relaxed)
    }

    /// Of those, how many left frames behind, because there were more than are taken in one.
    pub fn full_turns(&self) -> u64 {
        self.full_turns.load(Ordering::Relaxed)
    }
}

/// Where a worker writes its counters down.
#[derive(Debug)]
pub struct StatsPublisher<'a> {
    published: &'a WorkerStats,
    turns: u64,
    full_turns: u64,
    /// Turns since they were last written down.
    since: u32,
}

impl StatsPublisher<'_> {
    /// After a turn in which frames were taken, as many as can be (`is_full`) or fewer.
    #[inline]
    pub fn turned(&mut self, is_full: bool, stats: &Stats) {
        self.turns += 1;
        self.full_turns += u64::from(is_full);
        self.since += 1;
        if self.since >= TURNS {
            self.publish(stats);
        }
    }

    /// When there is nothing to do: what is not written down yet, is now.
    #[inline]
    pub fn settle(&mut self, stats: &Stats) {
        if self.since > 0 {
            self.publish(stats);
        }
    }

    /// Writes them down.
    pub fn publish(&mut self, stats: &Stats) {
        self.since = 0;
        for (word, value) in self.published.stats.iter().zip(stats.counters()) {
            word.store(value, Ordering::Relaxed);
        }
        self.published.turns.store(self.turns, Ordering::Relaxed);
        self.published.full_turns.store(self.full_turns, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use lethe::verdict::{Absorbed, Verdict};

    use super::*;

    #[test]
    fn who_has_no_rest_writes_down_after_so_many_turns_and_who_has_at_once() {
        let shared = WorkerStats::default();
        let mut publisher = shared.publisher();
        let mut stats = Stats::default();
        let mut turn = |publisher: &mut StatsPublisher<'_>, is_full| {
            stats.count_received(60, Verdict::Absorbed(Absorbed::Ack));
            publisher.turned(is_full, &stats);
            stats.clone()
        };
        for _ in 1..TURNS {
            turn(&mut publisher, true);
            assert_eq!((shared.stats(), shared.turns()), (Stats::default(), 0));
        }
        let stats = turn(&mut publisher, true);
        assert_eq!((shared.stats(), shared.turns(), shared.full_turns()), (stats, 64, 64));
        let stats = turn(&mut publisher, false);
        publisher.settle(&stats);
        assert_eq!((shared.stats(), shared.turns(), shared.full_turns()), (stats, 65, 64));
        // Nothing was done, and so nothing is written.
        publisher.settle(&Stats::default());
        assert_eq!(shared.stats().received_frames(), 65);
    }
}
