//! Rules that lose frames: an outage, random loss, and bursts.

use lethe::time::Instant;

use super::{Burst, Fate, Frame, Outage, Passage, Rule};
use crate::clock::after;
use crate::random::{Probability, Random};

/// One-way outage: for a while nothing passes in this direction.
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

/// Random loss: each frame is lost with the same probability, whatever became of the others.
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

/// Burst loss: the model of Gilbert and Elliott, in which a link is good or bad for a while.
///
/// ```text
///            start
///   good ────────────> bad         good: every frame passes
///     <────────────────            bad:  every frame is lost
///        1 / length
/// ```
///
/// The state changes before each frame. In the long run `start / (start + 1/length)` of all frames are
/// lost, `length` in a row on average.
pub(super) struct BurstLoss {
    start: Probability,
    end: Probability,
    is_bad: bool,
    random: Random,
}

impl BurstLoss {
    pub(super) fn new(burst: Burst, random: Random) -> Self {
        let end = Probability::from_millionths(Probability::ONE as u32 / burst.length.max(1));
        Self { start: burst.start, end, is_bad: false, random }
    }
}

impl Rule for BurstLoss {
    fn apply(&mut self, frame: Frame, passage: &mut Passage) {
        // That a burst goes on is what has to be drawn: when a byte string has ended, so has the burst.
        self.is_bad =
            if self.is_bad { self.random.chance(self.end.complement()) } else { self.random.chance(self.start) };
        if self.is_bad {
            passage.lose(frame, Fate::LostInBurst);
        } else {
            passage.pass(frame);
        }
    }
}
