//! The table of counters.

use std::fmt;

use lethe::verdict::Stats;

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
        writeln!(f, "{requests:>12}  requests answered, on {connections} connections")?;
        let (frames, bytes) = (stats.received_frames(), stats.received_bytes());
        writeln!(f, "{frames:>12}  frames in, {bytes} bytes")?;
        let (frames, bytes) = (stats.sent_frames(), stats.sent_bytes());
        writeln!(f, "{frames:>12}  frames out, {bytes} bytes")?;
        writeln!(f, "{:>12}  replies lost to a full queue", stats.queue_full())
    }
}

#[cfg(test)]
mod tests {
    use lethe::verdict::{DropReason, LaterRequests, ReplyKind, Verdict};

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
        for _ in 0..300 {
            stats.count_received(150, Verdict::Replied(ReplyKind::Response));
        }
        for _ in 0..200 {
            stats.count_later_requests(LaterRequests { count: 1, with_first: false });
        }
        stats.count_received(60, Verdict::Dropped(DropReason::TcpCookie));
        insta::assert_snapshot!("table", Table(&stats));
    }
}
