//! What is on the screen: lines made of two snapshots.

use std::time::Duration;

use crate::metrics::snapshot::{Counters, Snapshot, Verdicts, Worker};

/// Columns of a list of verdicts: name, rate and total.
const COLUMN: usize = 39;

/// The lines of a screen of this size. Rates are those between the snapshots; without an earlier one of the same server
/// there are none.
pub(crate) fn lines(before: Option<&Snapshot>, now: &Snapshot, width: usize, height: usize) -> Vec<String> {
    let before = before.filter(|before| {
        before.start_time_seconds.to_bits() == now.start_time_seconds.to_bits()
            && before.workers.len() == now.workers.len()
    });
    let since = before.and_then(|before| Duration::try_from_secs_f64(now.uptime_seconds - before.uptime_seconds).ok());
    let since = since.filter(|since| !since.is_zero());
    let view = View { before: before.zip(since), now };
    let mut lines = view.head();
    let tail = view.tail(height.saturating_sub(lines.len()) / 2);
    let room = height.saturating_sub(lines.len() + tail.len());
    lines.extend(view.verdicts(width, room));
    lines.extend(tail);
    lines.truncate(height);
    lines
}

/// A snapshot, and if there is one the one before, with the time in between.
struct View<'a> {
    before: Option<(&'a Snapshot, Duration)>,
    now: &'a Snapshot,
}

impl View<'_> {
    /// How often a second, since the snapshot before.
    fn rate(&self, of: impl Fn(&Snapshot) -> u64) -> Option<u64> {
        let (before, since) = self.before?;
        let count = of(self.now).saturating_sub(of(before));
        let nanos = since.as_nanos();
        u64::try_from((u128::from(count) * 1_000_000_000 + nanos / 2) / nanos).ok()
    }

    /// Everything about the server as a whole.
    fn head(&self) -> Vec<String> {
        let Snapshot { version, device, application, uptime_seconds, process, data, total, .. } = self.now;
        let memory = process.resident_bytes.map_or_else(|| "-".to_owned(), |bytes| format!("{}B", si(bytes)));
        let cpu = self.before.and_then(|(before, since)| {
            let spent = process.cpu_seconds? - before.process.cpu_seconds?;
            Some(format!("{:.0} %", 100.0 * spent / since.as_secs_f64()))
        });
        let row = |name, frames: fn(&Counters) -> u64, bytes: fn(&Counters) -> u64| {
            let (rate, bits) = (self.rate(|at| frames(&at.total)), self.rate(|at| 8 * bytes(&at.total)));
            format!(
                "{name:<8}{:>10}{:>11}{:>15}{:>10}",
                number(rate),
                number(bits),
                si(frames(total)),
                si(bytes(total))
            )
        };
        let missed = self.now.frames_missed.map(|missed| {
            format!("   missed {}/s, {} in all", number(self.rate(|at| at.frames_missed.unwrap_or(0))), si(missed))
        });
        vec![
            format!("lethe {version}   {device}   {application}   up {}", duration(*uptime_seconds)),
            format!(
                "memory {memory}   CPU {}   generation {}, {} reloads, {} failed",
                cpu.unwrap_or_else(|| "-".to_owned()),
                data.generation,
                data.reloads,
                data.reload_failures
            ),
            String::new(),
            format!("{:<8}{:>10}{:>11}{:>15}{:>10}", "", "frames/s", "bit/s", "frames", "bytes"),
            row("in", |of| of.frames_received, |of| of.bytes_received),
            row("out", |of| of.frames_sent, |of| of.bytes_sent),
            format!(
                "requests/s {}   connections/s {}   {}",
                number(self.rate(|at| at.total.requests)),
                number(self.rate(|at| at.total.connections)),
                self.responses()
            ),
            format!(
                "queue full {}/s, {} in all{}",
                number(self.rate(|at| at.total.queue_full)),
                si(total.queue_full),
                missed.unwrap_or_default()
            ),
            String::new(),
        ]
    }

    /// Responses a second, by class.
    fn responses(&self) -> String {
        let rate = |class: &String| self.rate(|at| at.total.responses.get(class).copied().unwrap_or(0));
        let classes = self.now.total.responses.keys().map(|class| format!("{class} {}", number(rate(class))));
        classes.collect::<Vec<_>>().join("  ")
    }

    /// What became of frames: what was in order on the left, what was dropped on the right; below each other where the
    /// screen is too narrow.
    fn verdicts(&self, width: usize, room: usize) -> Vec<String> {
        let mut good = self.list("replied", |counters| &counters.replied);
        good.extend(self.list("absorbed", |counters| &counters.absorbed));
        let mut dropped = self.list("dropped", |counters| &counters.dropped);
        if dropped.len() == 1 {
            dropped.push(format!("{:<COLUMN$}", "nothing"));
        }
        if width < 2 * COLUMN + 1 {
            return shorten([dropped, good].concat(), room);
        }
        let (good, dropped) = (shorten(good, room), shorten(dropped, room));
        let empty = String::new();
        let line = |lists: &[Vec<String>; 2], row: usize| {
            let [left, right] = [0, 1].map(|list| lists[list].get(row).unwrap_or(&empty));
            format!("{left:<COLUMN$}  {right}").trim_end().to_owned()
        };
        let lists = [good, dropped];
        (0..lists[0].len().max(lists[1].len())).map(|row| line(&lists, row)).collect()
    }

    /// One kind of verdicts, those that happen most first, below a line that says what they are.
    fn list(&self, action: &str, of: fn(&Counters) -> &Verdicts) -> Vec<String> {
        let mut rows: Vec<_> = of(&self.now.total)
            .iter()
            .filter(|&(_, &total)| total > 0)
            .map(|(name, &total)| (name, self.rate(|at| of(&at.total).get(name).copied().unwrap_or(0)), total))
            .collect();
        rows.sort_by_key(|&(_, rate, total)| std::cmp::Reverse((rate, total)));
        let title = format!("{:<20}{:>8}{:>10} ", action.to_uppercase(), "/s", "total");
        let rows =
            rows.into_iter().map(|(name, rate, total)| format!("{name:<20}{:>8}{:>10} ", number(rate), si(total)));
        std::iter::once(title).chain(rows).collect()
    }

    /// A line for each worker and one for the card, in at most so many lines; fewer workers where there is no room.
    fn tail(&self, room: usize) -> Vec<String> {
        let mut lines = vec![
            String::new(),
            format!(
                "{:<8}{:>8}{:>9}{:>12}{:>11}{:>12}{:>9}{:>10}",
                "WORKER", "in/s", "out/s", "requests/s", "dropped/s", "full turns", "burst", "ns/frame"
            ),
        ];
        let mut workers: Vec<_> =
            self.now.workers.iter().enumerate().map(|(at, worker)| self.worker(at, worker)).collect();
        let card = self.card();
        workers = shorten(workers, room.saturating_sub(lines.len() + card.len()).max(1));
        lines.extend(workers);
        lines.extend(card);
        lines
    }

    #[expect(clippy::cast_precision_loss, reason = "whole numbers are shown")]
    fn worker(&self, at: usize, worker: &Worker) -> String {
        let counters =
            |snapshot: &Snapshot| snapshot.workers.get(at).map(|worker| worker.counters.clone()).unwrap_or_default();
        let rate = |of: fn(&Counters) -> u64| number(self.rate(|snapshot| of(&counters(snapshot))));
        let (turns, full) = (self.rate(|at| counters(at).turns), self.rate(|at| counters(at).full_turns));
        let share = match (full, turns) {
            (Some(full), Some(turns)) if turns > 0 => format!("{} %", 100 * full / turns),
            _ => "-".to_owned(),
        };
        // What was added since the snapshot before, for each of what there was of the other.
        let ratio = |sum: fn(&Counters) -> f64, count: fn(&Counters) -> u64| {
            let (before, now) = (self.before.map(|(before, _)| counters(before)), counters(self.now));
            let before = before.unwrap_or_default();
            let count = count(&now).saturating_sub(count(&before));
            if count == 0 { "-".to_owned() } else { format!("{:.0}", (sum(&now) - sum(&before)) / count as f64) }
        };
        let burst = ratio(|of| of.frames_received as f64, |of| of.turns);
        let nanos = ratio(|of| of.timed_seconds * 1e9, |of| of.frame_times.iter().sum());
        format!(
            "{:<8}{:>8}{:>9}{:>12}{:>11}{share:>12}{burst:>9}{nanos:>10}",
            worker.worker,
            rate(|of| of.frames_received),
            rate(|of| of.frames_sent),
            rate(|of| of.requests),
            rate(|of| of.dropped.values().sum())
        )
    }

    fn card(&self) -> Vec<String> {
        let Some(card) = &self.now.card else { return Vec::new() };
        let link = if card.link_up { "up" } else { "DOWN" };
        let errors = format!(
            "CARD    link {link}  in {}  out {}  damaged {}  not sent {}  no buffer {}",
            si(card.frames_received),
            si(card.frames_sent),
            si(card.receive_errors),
            si(card.send_errors),
            si(card.no_buffer)
        );
        vec![String::new(), errors]
    }
}

/// As many lines as there is room for; the last then says how many are missing.
fn shorten(mut lines: Vec<String>, room: usize) -> Vec<String> {
    if lines.len() > room {
        let missing = lines.len() + 1 - room.max(1);
        lines.truncate(room.saturating_sub(1));
        lines.push(format!("... {missing} more"));
    }
    lines
}

/// A rate, if there is one.
fn number(rate: Option<u64>) -> String {
    rate.map_or_else(|| "-".to_owned(), si)
}

/// Five digits as they are; of more the first three, and k, M, G, T, P or E for thousands.
fn si(number: u64) -> String {
    if number < 100_000 {
        return number.to_string();
    }
    // In thousandths.
    let (mut value, mut prefixes) = (u128::from(number) * 1000, " kMGTPE".chars());
    let mut prefix = prefixes.next();
    while value >= 999_500 {
        value /= 1000;
        prefix = prefixes.next();
    }
    let prefix = prefix.unwrap_or('?');
    if value < 9_995 {
        format!("{}.{:02} {prefix}", (value + 5) / 1000, (value + 5) / 10 % 100)
    } else if value < 99_950 {
        format!("{}.{} {prefix}", (value + 50) / 1000, (value + 50) / 100 % 10)
    } else {
        format!("{} {prefix}", (value + 500) / 1000)
    }
}

/// The two largest units of a time.
fn duration(seconds: f64) -> String {
    let seconds = Duration::try_from_secs_f64(seconds).unwrap_or_default().as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, ..) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::snapshot::tests::sample;

    /// Two snapshots of one server, a second apart.
    fn pair() -> (Snapshot, Snapshot) {
        let (mut before, mut now) = (sample(1_000), sample(251_000));
        (before.start_time_seconds, now.start_time_seconds) = (1e9, 1e9);
        (before.uptime_seconds, now.uptime_seconds) = (3_599.0, 3_600.0);
        (before.process.cpu_seconds, now.process.cpu_seconds) = (Some(10.0), Some(10.5));
        now.process.resident_bytes = Some(12_345_678);
        (before, now)
    }

    #[test]
    fn a_screen_of_80_columns_and_24_rows_has_it_all() {
        let (before, now) = pair();
        let lines = lines(Some(&before), &now, 80, 23);
        insta::assert_snapshot!("screen", lines.join("\n"));
        assert!(lines.iter().all(|line| line.chars().count() <= 80), "{lines:?}");
    }

    #[test]
    fn no_screen_is_too_small() {
        let (before, now) = pair();
        for height in 0..40 {
            for width in [1, 40, 78, 79, 200] {
                let lines = lines(Some(&before), &now, width, height);
                assert!(lines.len() <= height, "{width} x {height}");
                let text = lines.join("\n");
                let all = ["fin-ack", "\nack ", "tcp-cookie", "\n2 ", "\n3 ", "\nCARD "];
                let is_whole = all.iter().all(|part| text.contains(part));
                assert!(is_whole || text.contains(" more") || height < 12, "{width} x {height}\n{text}");
                assert!(is_whole || height < 24, "{width} x {height}\n{text}");
            }
        }
    }

    #[test]
    fn there_is_no_rate_across_a_restart() {
        let (before, mut now) = pair();
        now.start_time_seconds += 1.0;
        let lines = lines(Some(&before), &now, 80, 24);
        assert!(lines[4].starts_with("in               -          -"), "{}", lines[4]);
    }

    #[test]
    fn numbers_are_cut_to_three_digits_where_they_are_long() {
        let check = |number, expect: &str| assert_eq!(si(number), expect);
        check(0, "0");
        check(99_999, "99999");
        check(100_000, "100 k");
        check(999_499, "999 k");
        check(999_500, "1.00 M");
        check(12_345_678, "12.3 M");
        check(99_960_000, "100 M");
        check(u64::MAX, "18.4 E");
    }

    #[test]
    fn a_time_has_its_two_largest_units() {
        let check = |seconds, expect: &str| assert_eq!(duration(seconds), expect);
        check(59.9, "59 s");
        check(60.0, "1 min 0 s");
        check(7_260.0, "2 h 1 min");
        check(90_000.0, "1 d 1 h");
    }
}
