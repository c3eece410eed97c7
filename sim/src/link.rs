//! A link: one direction of a cable, and all that can go wrong on the way.
//!
//! A link is a chain of rules. Each takes a frame and passes on none, one or several, later or changed:
//!
//! ```text
//!  frame ─> outage ─> loss ─> burst ─> duplication ─> corruption ─> truncation ─> mtu ─> rate ─> delay ─> reordering
//! ─> frames
//!             │         │       │                                                  │      │
//!             └─────────┴───────┴── lost ──────────────────────────────────────────┴──────┘
//!                                                               to the sender (ICMP) <──┘
//! ```
//!
//! The rules that take time come last, so each rule sees frames in the order in which they are sent, and
//! all that happens to a frame is known when it is sent. Each draws from a random stream of its own: what
//! one is set to does not shift another.
//!
//! To add a rule: its implementation of `Rule` in a file below, a field and a key in [`Impairment`], a line in
//! [`Link::new`], and a [`Fate`] that says what it did.

mod corruption;
mod delay;
mod duplication;
mod fate;
mod impairment;
mod loss;
mod mtu;
mod packet;
mod rate;
mod reassembly;
mod truncation;

use std::mem;

use lethe::time::Instant;

pub use fate::{Fate, Fates};
pub use impairment::{Burst, Impairment, ImpairmentError, Outage, Rate};
pub use reassembly::Reassembler;

use crate::random::Random;

/// A frame on its way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Frame {
    /// When it gets to where it is now.
    pub at: Instant,
    /// From its destination address on.
    pub bytes: Vec<u8>,
    /// What has happened to it so far.
    pub fates: Vec<Fate>,
}

impl Frame {
    /// A frame that nothing has happened to yet.
    pub const fn new(at: Instant, bytes: Vec<u8>) -> Self {
        Self { at, bytes, fates: Vec::new() }
    }
}

/// What comes of a frame that is sent.
#[derive(Clone, Debug, Default)]
pub struct Passage {
    /// The frames that arrive, each at its own time and in no particular order.
    pub onward: Vec<Frame>,
    /// The frames that are lost; the last of its fates says why.
    pub lost: Vec<Frame>,
    /// Frames that go back to the sender at once.
    pub back: Vec<Vec<u8>>,
}

impl Passage {
    fn pass(&mut self, frame: Frame) {
        self.onward.push(frame);
    }

    fn pass_marked(&mut self, mut frame: Frame, fate: Fate) {
        frame.fates.push(fate);
        self.onward.push(frame);
    }

    fn lose(&mut self, mut frame: Frame, fate: Fate) {
        frame.fates.push(fate);
        self.lost.push(frame);
    }

    /// Forgets all frames and keeps the room for others.
    pub fn clear(&mut self) {
        self.onward.clear();
        self.lost.clear();
        self.back.clear();
    }
}

/// Something that happens to frames on a link.
trait Rule {
    /// Passes on, loses or multiplies a frame.
    fn apply(&mut self, frame: Frame, passage: &mut Passage);

    /// Whether it remains when the link is healed.
    fn outlives_healing(&self) -> bool {
        false
    }
}

/// One direction of a cable.
pub struct Link {
    rules: Vec<Box<dyn Rule>>,
    /// The frames on their way to the next rule; kept for its room.
    waiting: Vec<Frame>,
}

impl Link {
    /// A link that is impaired like this from `start` on.
    pub fn new(impairment: &Impairment, start: Instant, random: &Random) -> Self {
        let fork = |name| random.fork(name);
        let mut rules: Vec<Box<dyn Rule>> = Vec::new();
        if let Some(outage) = impairment.outage {
            rules.push(Box::new(loss::OneWayOutage::new(outage, start)));
        }
        if !impairment.loss.is_never() {
            rules.push(Box::new(loss::RandomLoss::new(impairment.loss, fork("loss"))));
        }
        if let Some(burst) = impairment.burst {
            rules.push(Box::new(loss::BurstLoss::new(burst, fork("burst"))));
        }
        if !impairment.duplicate.is_never() {
            rules.push(Box::new(duplication::Duplication::new(impairment.duplicate, fork("duplicate"))));
        }
        if !impairment.corrupt.is_never() {
            rules.push(Box::new(corruption::Corruption::new(impairment.corrupt, impairment.mend, fork("corrupt"))));
        }
        if !impairment.truncate.is_never() {
            rules.push(Box::new(truncation::Truncation::new(impairment.truncate, fork("truncate"))));
        }
        if let Some(mtu) = impairment.mtu {
            rules.push(Box::new(mtu::Router::new(mtu, impairment.black_hole)));
        }
        if let Some(rate) = impairment.rate {
            rules.push(Box::new(rate::Bottleneck::new(rate, impairment.queue)));
        }
        if !(impairment.delay.is_zero() && impairment.jitter.is_zero()) {
            rules.push(Box::new(delay::Delay::new(impairment.delay, impairment.jitter, fork("delay"))));
        }
        if !impairment.reorder.is_never() {
            rules.push(Box::new(delay::Reordering::new(impairment.reorder, impairment.hold, fork("reorder"))));
        }
        Self { rules, waiting: Vec::new() }
    }

    /// Sends a frame; what comes of it is added to `passage`, whose `onward` must be empty.
    pub fn send(&mut self, now: Instant, bytes: Vec<u8>, passage: &mut Passage) {
        debug_assert!(passage.onward.is_empty(), "the frames of another link");
        passage.onward.push(Frame::new(now, bytes));
        for rule in &mut self.rules {
            mem::swap(&mut self.waiting, &mut passage.onward);
            for frame in self.waiting.drain(..) {
                rule.apply(frame, passage);
            }
        }
    }

    /// Puts an end to everything but delay: from now on each frame arrives, whole, once and in order.
    pub fn heal(&mut self) {
        self.rules.retain(|rule| rule.outlives_healing());
    }
}

#[cfg(test)]
mod tests;
