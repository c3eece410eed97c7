//! Burst loss: the model of Gilbert and Elliott, in which a link is good or bad for a while.
//!
//! ```text
//!            start
//!   good ────────────> bad         good: every frame passes
//!     <────────────────            bad:  every frame is lost
//!        1 / length
//! ```
//!
//! The state changes before each frame. In the long run `start / (start + 1/length)` of all frames are
//! lost, `length` in a row on average.

use super::{Burst, Fate, Frame, Passage, Rule};
use crate::random::{Probability, Random};

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
