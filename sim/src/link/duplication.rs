//! Duplication: a frame arrives twice, the copies taking their chances one by one from there on.

use super::{Fate, Frame, Passage, Rule};
use crate::random::{Probability, Random};

pub(super) struct Duplication {
    probability: Probability,
    random: Random,
}

impl Duplication {
    pub(super) fn new(probability: Probability, random: Random) -> Self {
        Self { probability, random }
    }
}

impl Rule for Duplication {
    fn apply(&mut self, frame: Frame, passage: &mut Passage) {
        let copy = self.random.chance(self.probability).then(|| frame.clone());
        passage.pass(frame);
        if let Some(copy) = copy {
            passage.pass_marked(copy, Fate::Duplicate);
        }
    }
}
