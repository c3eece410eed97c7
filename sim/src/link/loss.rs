//! Random loss: each frame is lost with the same probability, whatever became of the others.

use super::{Fate, Frame, Passage, Rule};
use crate::random::{Probability, Random};

pub(super) struct RandomLoss {
    probability: Probability,
    random: Random,
}

impl RandomLoss {
    pub(super) fn new(probability: Probability, random: Random) -> Self {
        Self { probability, random }
    }
}

impl Rule for RandomLoss {
    fn apply(&mut self, frame: Frame, passage: &mut Passage) {
        if self.random.chance(self.probability) {
            passage.lose(frame, Fate::Lost);
        } else {
            passage.pass(frame);
        }
    }
}
