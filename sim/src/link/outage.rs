//! One-way outage: for a while nothing passes in this direction.

use lethe::time::Instant;

use super::{Fate, Frame, Outage, Passage, Rule};
use crate::clock::after;

pub(super) struct OneWayOutage {
    begins: Instant,
    ends: Instant,
}

impl OneWayOutage {
    pub(super) fn new(outage: Outage, start: Instant) -> Self {
        let begins = after(start, outage.begins);
        Self { begins, ends: after(begins, outage.lasts) }
    }
}

impl Rule for OneWayOutage {
    fn apply(&mut self, frame: Frame, passage: &mut Passage) {
        if (self.begins..self.ends).contains(&frame.at) {
            passage.lose(frame, Fate::LostToOutage);
        } else {
            passage.pass(frame);
        }
    }
}
