//! A conversation with an engine, written down line by line: what snapshots are taken of.
//!
//! ```text
//! → 10.9.0.1:40000 > 10.9.0.2:80 SYN seq 0 win 64240 <mss 1460>
//!   replied syn-ack
//! ← 10.9.0.2:80 > 10.9.0.1:40000 SYN ACK seq 0 ack 1 win 2920 <mss 1460>
//! → 10.9.0.1:40000 > 10.9.0.2:80 RST seq 1 win 64240
//!   absorbed rst
//! ```

use std::fmt::Write;
use std::time::Duration;

use lethe::time::Instant;
use lethe::verdict::Verdict;
use lethe::{App, Engine};

use crate::check::{Checker, Exchange};
use crate::notation::Notation;
use crate::workspace::Workspace;

/// A conversation with `engine`.
pub struct Dialogue<'e, A> {
    engine: &'e Engine<A>,
    now: Instant,
    notation: Notation,
    checkers: Vec<Box<dyn Checker>>,
    workspace: Workspace,
    log: String,
    verdict: Option<Verdict>,
}

impl<'e, A: App> Dialogue<'e, A> {
    /// Begins one, at a fixed moment in 2026. Sequence numbers and timestamps are written relative to
    /// each side's SYN.
    pub fn new(engine: &'e Engine<A>) -> Self {
        Self {
            engine,
            now: Instant::from_unix_seconds(1_780_000_000),
            notation: Notation::relative(),
            checkers: Vec::new(),
            workspace: Workspace::default(),
            log: String::new(),
            verdict: None,
        }
    }

    /// Writes numbers as [`Notation::absolute`] does, from here on.
    #[must_use]
    pub fn absolute(mut self) -> Self {
        self.notation = Notation::absolute();
        self
    }

    /// Shows every exchange to these checkers too; a violation is written down as a line with `!`.
    #[must_use]
    pub fn checked(mut self, checkers: Vec<Box<dyn Checker>>) -> Self {
        self.checkers = checkers;
        self
    }

    /// What time it is.
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// Lets time pass, and writes that down.
    pub fn wait(&mut self, time: Duration) {
        let nanos = time.as_nanos() as u64;
        self.now = Instant::from_unix_nanos(self.now.as_unix_nanos() + nanos);
        let _ = writeln!(self.log, "… {time:?}");
    }

    /// Writes down a remark.
    pub fn remark(&mut self, text: &str) {
        let _ = writeln!(self.log, "# {text}");
    }

    /// Gives a frame to the engine and returns what it sends for it.
    pub fn send(&mut self, frame: &[u8]) -> Vec<Vec<u8>> {
        let _ = writeln!(self.log, "→ {}", self.notation.line(frame));
        let (verdict, sent) = self.workspace.answer(self.engine, self.now, frame);
        let _ = writeln!(self.log, "  {verdict}");
        for frame in &sent {
            let _ = writeln!(self.log, "← {}", self.notation.line(frame));
        }
        let exchange = Exchange { now: self.now, received: frame, verdict, sent: &sent };
        for checker in &mut self.checkers {
            if let Err(violation) = checker.check(&exchange) {
                let _ = writeln!(self.log, "! {}: {violation}", checker.name());
            }
        }
        self.verdict = Some(verdict);
        sent
    }

    /// What became of the last frame.
    pub const fn verdict(&self) -> Option<Verdict> {
        self.verdict
    }

    /// The log so far.
    pub fn log(&self) -> &str {
        &self.log
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Ends, Segment};
    use crate::testing;

    #[test]
    fn a_dialogue_is_written_line_by_line() {
        let engine = testing::engine();
        let mut dialogue = Dialogue::new(&engine);
        let ends = Ends::v4();
        dialogue.send(&Segment::syn(&ends).seq(1000).mss(1460).frame());
        dialogue.wait(Duration::from_millis(30));
        dialogue.send(&Segment::rst(&ends).seq(1001).frame());
        assert_eq!(
            dialogue.log(),
            "→ 10.9.0.1:40000 > 10.9.0.2:80 SYN seq 0 win 64240 <mss 1460>\n  replied syn-ack\n\
             ← 10.9.0.2:80 > 10.9.0.1:40000 SYN ACK seq 0 ack 1 win 2920 <mss 1460>\n… 30ms\n\
             → 10.9.0.1:40000 > 10.9.0.2:80 RST seq 1 win 64240\n  absorbed rst\n"
        );
    }
}
