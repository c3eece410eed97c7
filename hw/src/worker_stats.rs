//! The published counters of a worker.
//!
//! A worker counts in [`Stats`] of its own, and publishes them here from time to time. Each number is an atomic word
//! that only this worker stores to, so that it neither locks nor waits, and readers cannot delay it. A reader may see
//! numbers of two successive publications, but no number ever decreases.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use lethe::verdict::Stats;

/// Turns between two publications of a worker under full load: so many that the cost is negligible, and so few that
/// they take less than a tenth of a second even with the longest replies.
const TURNS: u32 = 64;

/// One turn in so many is timed: reading the clock twice takes as long as a frame.
const TIMED: u64 = 16;

/// The turns of a worker's loop in which frames were received: how many there were, and in classes by powers of two,
/// how many frames they received and how long they took for each.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Turns {
    /// All of them.
    pub count: u64,
    /// Of those, turns that received the most frames of a turn, so that more may have been left.
    pub full: u64,
    /// Their frames.
    pub frames: u64,
    /// Turns by the number of their frames: at most [`1 << place`](Self::size).
    pub by_size: [u64; Self::SIZES],
    /// Frames of the turns that were timed, by the average time of a frame of their turn: at most
    /// [`64 << place`](Self::nanos) ns, and longer at the last place.
    pub by_nanos: [u64; Self::TIMES],
    /// The time of all turns that were timed, in ns.
    pub nanos: u64,
}

impl Turns {
    /// Classes of [`by_size`](Self::by_size).
    pub const SIZES: usize = 9;

    /// Classes of [`by_nanos`](Self::by_nanos).
    pub const TIMES: usize = 12;

    const COUNTERS: usize = 4 + Self::SIZES + Self::TIMES;

    /// The most frames of a turn in the class at `place`.
    pub const fn size(place: usize) -> u64 {
        1 << place
    }

    /// The longest time for a frame in the class at `place`, in ns; that of the last class has no limit.
    pub const fn nanos(place: usize) -> u64 {
        64 << place
    }

    /// Frames of the turns that were timed.
    pub fn timed_frames(&self) -> u64 {
        self.by_nanos.iter().sum()
    }

    fn count(&mut self, frames: usize, is_full: bool, took: Option<Duration>) {
        self.count += 1;
        self.full += u64::from(is_full);
        let frames = frames as u64;
        self.frames += frames;
        self.by_size[class(frames, Self::SIZES)] += 1;
        if let Some(took) = took {
            let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
            self.by_nanos[class((nanos / frames.max(1)).div_ceil(64), Self::TIMES)] += frames;
            self.nanos = self.nanos.saturating_add(nanos);
        }
    }

    fn counters(&self) -> impl Iterator<Item = u64> {
        [self.count, self.full, self.frames, self.nanos].into_iter().chain(self.by_size).chain(self.by_nanos)
    }

    fn from_counters(counters: [u64; Self::COUNTERS]) -> Self {
        let mut all = counters.into_iter();
        let mut next = || all.next().unwrap_or(0);
        let [count, full, frames, nanos] = std::array::from_fn(|_| next());
        let by_size = std::array::from_fn(|_| next());
        Self { count, full, frames, by_size, by_nanos: std::array::from_fn(|_| next()), nanos }
    }
}

/// The first of so many classes whose limit, a power of two, a number does not exceed; the last if none.
fn class(number: u64, classes: usize) -> usize {
    (number.max(1).next_power_of_two().trailing_zeros() as usize).min(classes - 1)
}

/// The published counters of a worker, aligned to a pair of cache lines against false sharing.
#[repr(align(128))]
#[derive(Debug)]
pub struct WorkerStats {
    stats: [AtomicU64; Stats::COUNTERS],
    turns: [AtomicU64; Turns::COUNTERS],
}

impl Default for WorkerStats {
    fn default() -> Self {
        Self { stats: [const { AtomicU64::new(0) }; _], turns: [const { AtomicU64::new(0) }; _] }
    }
}

impl WorkerStats {
    /// The counters of a number of workers.
    pub fn for_workers(workers: usize) -> Arc<[Self]> {
        (0..workers).map(|_| Self::default()).collect()
    }

    /// The publisher. There must be only one at a time, that of the worker.
    pub fn publisher(&self) -> StatsPublisher<'_> {
        StatsPublisher { published: self, turns: Turns::default(), since: 0 }
    }

    /// The counters, as last published.
    pub fn stats(&self) -> Stats {
        Stats::from_counters(std::array::from_fn(|place| self.stats[place].load(Ordering::Relaxed)))
    }

    /// The turns, as last published.
    pub fn turns(&self) -> Turns {
        Turns::from_counters(std::array::from_fn(|place| self.turns[place].load(Ordering::Relaxed)))
    }
}

/// Publishes the counters of a worker.
#[derive(Debug)]
pub struct StatsPublisher<'a> {
    published: &'a WorkerStats,
    turns: Turns,
    /// Turns since the last publication.
    since: u32,
}

impl StatsPublisher<'_> {
    /// The time at which a turn begins, if it is to be timed: for [`turned`](Self::turned).
    #[inline]
    pub fn begin_turn(&self) -> Option<Instant> {
        self.turns.count.is_multiple_of(TIMED).then(Instant::now)
    }

    /// Counts a turn in which so many frames were received; `is_full` if it were the most of a turn.
    #[inline]
    pub fn turned(&mut self, begun: Option<Instant>, frames: usize, is_full: bool, stats: &Stats) {
        self.turns.count(frames, is_full, begun.map(|begun| begun.elapsed()));
        self.since += 1;
        if self.since >= TURNS {
            self.publish(stats);
        }
    }

    /// Notes that there is something to publish besides turns.
    #[inline]
    pub fn changed(&mut self) {
        self.since = self.since.max(1);
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
        for (word, value) in self.published.turns.iter().zip(self.turns.counters()) {
            word.store(value, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use lethe::verdict::{Absorbed, Verdict};

    use super::*;

    #[test]
    fn a_worker_under_load_publishes_after_so_many_turns_and_an_idle_one_at_once() {
        let shared = WorkerStats::default();
        let mut publisher = shared.publisher();
        let mut stats = Stats::default();
        let mut turn = |publisher: &mut StatsPublisher<'_>, is_full| {
            stats.count_received(60, Verdict::Absorbed(Absorbed::Ack));
            publisher.turned(None, 1, is_full, &stats);
            stats.clone()
        };
        for _ in 1..TURNS {
            turn(&mut publisher, true);
            assert_eq!((shared.stats(), shared.turns()), (Stats::default(), Turns::default()));
        }
        let stats = turn(&mut publisher, true);
        assert_eq!((shared.stats(), shared.turns().count, shared.turns().full), (stats, 64, 64));
        let stats = turn(&mut publisher, false);
        publisher.settle(&stats);
        assert_eq!((shared.stats(), shared.turns().count, shared.turns().full), (stats, 65, 64));
        // No turn was counted, so nothing is published.
        publisher.settle(&Stats::default());
        assert_eq!(shared.stats().received_frames(), 65);
    }

    #[test]
    fn a_turn_is_in_the_class_of_its_frames_and_its_frames_in_that_of_their_time() {
        let mut turns = Turns::default();
        for (frames, nanos, size, time) in
            [(1, 64, 0, 0), (2, 130, 1, 1), (3, 3 * 128, 2, 1), (64, 64 * 129, 6, 2), (9_999, u64::MAX / 2, 8, 11)]
        {
            let before = turns;
            turns.count(frames, false, Some(Duration::from_nanos(nanos)));
            assert_eq!(turns.by_size[size], before.by_size[size] + 1, "{frames}");
            assert_eq!(turns.by_nanos[time], before.by_nanos[time] + frames as u64, "{nanos}");
        }
        turns.count(5, true, None);
        assert_eq!((turns.count, turns.full, turns.timed_frames()), (6, 1, 1 + 2 + 3 + 64 + 9_999));
        assert_eq!(turns.frames, turns.timed_frames() + 5);
        let shared = WorkerStats::default();
        StatsPublisher { published: &shared, turns, since: 0 }.publish(&Stats::default());
        assert_eq!(shared.turns(), turns);
    }

    #[test]
    fn one_turn_of_sixteen_is_timed() {
        let shared = WorkerStats::default();
        let mut publisher = shared.publisher();
        let mut timed = 0;
        for _ in 0..160 {
            let begun = publisher.begin_turn();
            timed += u32::from(begun.is_some());
            publisher.turned(begun, 1, false, &Stats::default());
        }
        assert_eq!((timed, shared.turns().timed_frames()), (10, 8), "128 are published");
    }
}
