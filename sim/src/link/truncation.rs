//! Truncation: the end of a frame is lost. A parser that trusts a length field over the frame is found out.

use super::packet::LINK_HEADER_LEN;
use super::{Fate, Frame, Passage, Rule};
use crate::random::{Probability, Random};

pub(super) struct Truncation {
    probability: Probability,
    random: Random,
}

impl Truncation {
    pub(super) fn new(probability: Probability, random: Random) -> Self {
        Self { probability, random }
    }
}

impl Rule for Truncation {
    fn apply(&mut self, mut frame: Frame, passage: &mut Passage) {
        let len = frame.bytes.len();
        if len <= LINK_HEADER_LEN || !self.random.chance(self.probability) {
            passage.pass(frame);
            return;
        }
        let cut = self.random.range(1..=(len - LINK_HEADER_LEN) as u64) as usize;
        frame.bytes.truncate(len - cut);
        passage.pass_marked(frame, Fate::Truncated { len: len - cut });
    }
}
