//! Rules that take time: delay with jitter, which keeps the order of frames, and reordering.

use std::time::Duration;

use lethe::time::Instant;

use super::{Fate, Frame, Passage, Rule};
use crate::clock::{after, between};
use crate::random::{Probability, Random};

/// Delay and jitter: how long frames are on their way. Jitter keeps them in order, as a queue does;
/// what changes the order is a rule of its own.
pub(super) struct Delay {
    least: Duration,
    jitter: Duration,
    /// When the frame before arrives.
    last: Instant,
    random: Random,
}

impl Delay {
    pub(super) fn new(delay: Duration, jitter: Duration, random: Random) -> Self {
        Self { least: delay, jitter, last: Instant::default(), random }
    }
}

impl Rule for Delay {
    fn apply(&mut self, mut frame: Frame, passage: &mut Passage) {
        let jitter = self.random.below(self.jitter.as_nanos() as u64);
        let arrival = after(after(frame.at, self.least), Duration::from_nanos(jitter)).max(self.last);
        self.last = arrival;
        let delayed = between(frame.at, arrival);
        frame.at = arrival;
        passage.pass_marked(frame, Fate::Delayed(delayed));
    }

    fn outlives_healing(&self) -> bool {
        true
    }
}

/// Reordering: some frames are held back while those behind them go on.
pub(super) struct Reordering {
    probability: Probability,
    hold: Duration,
    random: Random,
}

impl Reordering {
    pub(super) fn new(probability: Probability, hold: Duration, random: Random) -> Self {
        Self { probability, hold, random }
    }
}

impl Rule for Reordering {
    fn apply(&mut self, mut frame: Frame, passage: &mut Passage) {
        if !self.random.chance(self.probability) {
            passage.pass(frame);
            return;
        }
        let held = Duration::from_nanos(self.random.below(self.hold.as_nanos() as u64));
        frame.at = after(frame.at, held);
        passage.pass_marked(frame, Fate::HeldBack(held));
    }
}
