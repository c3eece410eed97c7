//! Reordering: some frames are held back while those behind them go on.

use std::time::Duration;

use super::{Fate, Frame, Passage, Rule};
use crate::clock::after;
use crate::random::{Probability, Random};

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
