//! Checkers: what must be true of every answer, one invariant a file.
//!
//! The engine answers each frame from that frame alone, so what a checker is shown is one
//! [`Exchange`]: a frame that went in, and all that came out for it.

use lethe::time::Instant;
use lethe::verdict::Verdict;

/// A frame that the engine was given, and all that it did about it.
#[derive(Clone, Copy, Debug)]
pub struct Exchange<'a> {
    /// When.
    pub now: Instant,
    /// The frame that was received.
    pub received: &'a [u8],
    /// What became of it.
    pub verdict: Verdict,
    /// The frames that were sent for it, in order.
    pub sent: &'a [Vec<u8>],
}

/// One invariant.
pub trait Checker {
    /// Its name, as it stands in a report.
    fn name(&self) -> &'static str;

    /// Looks at one exchange.
    ///
    /// # Errors
    ///
    /// When the invariant does not hold: one line that says what was wrong with which frame.
    fn check(&mut self, exchange: &Exchange<'_>) -> Result<(), String>;
}
