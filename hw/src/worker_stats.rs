//! The published counters of a worker.
//!
//! A worker counts in [`Stats`] of its own, and publishes them here from time to time. Each number is an atomic word
//! that only this worker stores to, so that it neither locks nor waits, and readers cannot delay it. A reader may see
//! numbers of two successive publications, but no number ever decreases.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lethe::verdict::Stats;

/// Turns between two publications of a worker under full load: so many that the cost is negligible, and so few that
/// they take less than a tenth of a second even with the longest replies.
const TURNS: u32 = 64;

/// The published counters of a worker, aligned to a pair of cache lines against false sharing.
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
    /// The counters of a number of workers.
    pub fn for_workers(workers: usize) -> Arc<[Self]> {
        (0..workers).map(|_| Self::default()).collect()
    }

    /// The publisher. There must be only one at a time, that of the worker.
    pub const fn publisher(&self) -> StatsPublisher<'_> {
        StatsPublisher { published: self, turns: 0, full_turns: 0, since: 0 }
    }

    /// The counters, as last published.
    pub fn stats(&self) -> Stats {
        Stats::from_counters(std::array::from_fn(|place| self.stats[place].load(Ordering::Relaxed)))
    }

    /// Turns in which frames were received.
    pub fn turns(&self) -> u64 {
        self.turns.load(Ordering::Relaxed)
    }

    /// Of those, turns that received the most frames of a turn, so that more may have been left.
    pub fn full_turns(&self) -> u64 {
        self.full_turns.load(Ordering::Relaxed)
    }
}

/// Publishes the counters of a worker.
#[derive(Debug)]
pub struct StatsPublisher<'a> {
    published: &'a WorkerStats,
    turns: u64,
    full_turns: u64,
    /// Turns since the last publication.
    since: u32,
}

impl StatsPublisher<'_> {
    /// Counts a turn in which frames were received; `is_full` if it were the most of a turn.
    #[inline]
    pub fn turned(&mut self, is_full: bool, stats: &Stats) {
        self.turns += 1;
        self.full_turns += u64::from(is_full);
        self.since += 1;
        if self.since >= TURNS {
            self.publish(stats);
        }
    }

    /// Publishes what is not published yet, when there are no frames.
    #[inline]
    pub fn settle(&mut self, stats: &Stats) {
        if self.since > 0 {
            self.publish(stats);
        }
    }

    /// Publishes the counters.
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
        // No turn was counted, so nothing is published.
        publisher.settle(&Stats::default());
        assert_eq!(shared.stats().received_frames(), 65);
    }
}
