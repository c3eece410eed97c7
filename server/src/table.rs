//! The table of counters.

use std::fmt;
use std::io::{self, Write as _};

use lethe::verdict::Stats;

use crate::access_log::{self, LogThread};
use crate::print::{Printed as _, print_line};

/// Every counter that is not zero, with its meaning, and the totals.
pub(crate) struct Table<'a>(pub(crate) &'a Stats);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stats = self.0;
        let rows: Vec<_> = stats.rows().filter(|&(_, count)| count > 0).collect();
        let name_width = rows.iter().map(|(verdict, _)| verdict.name().len()).max().unwrap_or(0);
        for (verdict, count) in rows {
            let (action, name) = (verdict.action(), verdict.name());
            let meaning = verdict.summary();
            writeln!(f, "{count:>12}  {action:<8}  {name:<name_width$}  {meaning}")?;
        }
        let (requests, connections) = (stats.requests(), stats.connections());
        write!(f, "{requests:>12}  requests answered, on {connections} connections")?;
        let responses = (2..).zip(stats.responses()).filter(|&(_, count)| count > 0);
        for (place, (class, count)) in responses.enumerate() {
            let before = if place == 0 { ": " } else { ", " };
            write!(f, "{before}{class}xx {count}")?;
        }
        writeln!(f)?;
        let (frames, bytes) = (stats.received_frames(), stats.received_bytes());
        writeln!(f, "{frames:>12}  frames in, {bytes} bytes")?;
        let (frames, bytes) = (stats.sent_frames(), stats.sent_bytes());
        writeln!(f, "{frames:>12}  frames out, {bytes} bytes")?;
        writeln!(f, "{:>12}  replies lost to a full queue", stats.queue_full())
    }
}

/// Prints what was counted, once the log is complete.
pub(crate) fn print_end(stats: &Stats, missed: Option<u64>, log: Option<LogThread>) -> anyhow::Result<()> {
    write!(io::stdout(), "\n{}", Table(stats)).printed()?;
    if let Some(missed) = missed {
        print_line(format_args!("{missed:>12}  frames missed: they came faster than they were taken"))?;
    }
    access_log::print_lines(log)
}

#[cfg(test)]
mod tests {
    use lethe::verdict::{Answered, DropReason, ReplyKind, Verdict};

    use super::*;

    #[test]
    fn only_what_happened_is_shown_and_the_totals_always() {
        let mut stats = Stats::default();
        insta::assert_snapshot!(Table(&stats), @r"
        0  requests answered, on 0 connections
        0  frames in, 0 bytes
        0  frames out, 0 bytes
        0  replies lost to a full queue
        ");
        for _ in 0..1000 {
            stats.count_received(74, Verdict::Replied(ReplyKind::SynAck));
            stats.count_sent(74);
        }
        for place in 0..300 {
            stats.count_received(150, Verdict::Replied(ReplyKind::Response));
            let answered = Answered { status: if place % 100 == 99 { 500 } else { 200 }, body_len: 100 };
            stats.count_answers(place >= 100, std::iter::once(answered));
        }
        stats.count_received(60, Verdict::Dropped(DropReason::TcpCookie));
        insta::assert_snapshot!("table", Table(&stats));
    }
}
