//! `--stats`: one line a second.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Context;
use lethe::verdict::{Stats, Verdict};

use super::snapshot::Watched;

const INTERVAL: Duration = Duration::from_secs(1);

/// The thread that prints, until this value is dropped.
pub(crate) struct Monitor {
    /// The thread ends when this is dropped.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Monitor {
    /// Begins now.
    pub(crate) fn start(watched: Arc<Watched>) -> anyhow::Result<Self> {
        let (stop, stopped) = channel();
        let print = move || {
            let (start, mut before) = (Instant::now(), Stats::default());
            for seconds in 1.. {
                let next = start + INTERVAL * seconds;
                let wait = next.saturating_duration_since(Instant::now());
                if stopped.recv_timeout(wait) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
                let now = watched.total();
                // A closed standard output is no reason to stop.
                let _ = writeln!(io::stdout(), "{}", line(seconds, &before, &now));
                before = now;
            }
        };
        let thread = thread::Builder::new().name("stats".to_owned()).spawn(print).context("no thread for --stats")?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What was counted from `before` to `after`, in the second that ended `seconds` after the start.
fn line(seconds: u32, before: &Stats, after: &Stats) -> String {
    let received = after.received_frames() - before.received_frames();
    let sent = after.sent_frames() - before.sent_frames();
    let full = after.queue_full() - before.queue_full();
    let since = |verdict| after.count(verdict) - before.count(verdict);

    let mut line = format!("{seconds:>6} s  in {received}/s  out {sent}/s");
    let (mut absorbed, mut dropped) = (0, 0);
    for verdict in Verdict::all() {
        match (verdict, since(verdict)) {
            (_, 0) => {}
            // Writing to a string does not fail.
            (Verdict::Replied(kind), count) => _ = write!(line, "  {kind} {count}"),
            (Verdict::Absorbed(_), count) => absorbed += count,
            (Verdict::Dropped(_), count) => dropped += count,
        }
    }
    for (what, count) in [("absorbed", absorbed), ("dropped", dropped), ("queue full", full)] {
        if count > 0 {
            _ = write!(line, "  {what} {count}");
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use lethe::verdict::{Absorbed, DropReason, ReplyKind};

    use super::*;

    #[test]
    fn a_line_has_what_changed_and_nothing_else() {
        let mut before = Stats::default();
        before.count_received(60, Verdict::Replied(ReplyKind::Arp));
        before.count_sent(60);
        let mut after = before.clone();
        assert_eq!(line(1, &before, &after), "     1 s  in 0/s  out 0/s");
        for verdict in [
            Verdict::Replied(ReplyKind::SynAck),
            Verdict::Replied(ReplyKind::SynAck),
            Verdict::Absorbed(Absorbed::Ack),
            Verdict::Dropped(DropReason::TcpCookie),
            Verdict::Dropped(DropReason::ArpNotForUs),
        ] {
            after.count_received(60, verdict);
        }
        after.count_sent(74);
        after.count_queue_full();
        assert_eq!(
            line(12, &before, &after),
            "    12 s  in 5/s  out 1/s  syn-ack 2  absorbed 1  dropped 2  queue full 1"
        );
    }
}
