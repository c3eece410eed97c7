//! A line a second, and what is only known while it goes on: the memory of the server, and how long each stage took.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write};

use anyhow::{Context, anyhow};
use lethe_load::{Counts, Generator, Stage};

/// From so many open connections on, the memory of the server is noted at each power of ten.
const FIRST_MARK: u64 = 1000;

/// The memory of a process, in KiB.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Memory {
    /// Now (`VmRSS`).
    pub(super) resident: u64,
    /// The most so far (`VmHWM`).
    pub(super) peak: u64,
    /// What it has written (`RssAnon`). The rest is files, mostly code, whose pages come and go.
    pub(super) anonymous: u64,
}

/// The memory of the server with so many connections open.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Mark {
    pub(super) seconds: f64,
    pub(super) open: u64,
    pub(super) memory: Memory,
}

/// What is told while the clients are at work.
pub(super) struct Console {
    shows_lines: bool,
    watch: Option<u32>,
    next_line: u64,
    before: Counts,
    stage: Stage,
    /// Stages that are done, and how many seconds each took.
    pub(super) stages: Vec<(Stage, f64)>,
    stage_begun: f64,
    pub(super) marks: Vec<Mark>,
    next_mark: u64,
}

impl Console {
    /// Says nothing yet. An error, if there is no process `watch`.
    pub(super) fn new(shows_lines: bool, watch: Option<u32>) -> anyhow::Result<Self> {
        let mut console = Self {
            shows_lines,
            watch,
            next_line: 1,
            before: Counts::default(),
            stage: Stage::Resolving,
            stages: Vec::new(),
            stage_begun: 0.0,
            marks: Vec::new(),
            next_mark: FIRST_MARK,
        };
        if let Some(pid) = watch {
            let memory = memory(pid).with_context(|| format!("--watch {pid}: there is no such process to look at"))?;
            console.marks.push(Mark { seconds: 0.0, open: 0, memory });
        }
        Ok(console)
    }

    /// Looks whether there is something to tell.
    pub(super) fn observe(&mut self, generator: &mut Generator) {
        let open = generator.counts().open();
        if open >= self.next_mark {
            self.mark(generator);
            self.next_mark *= 10;
        }
        if generator.stage() != self.stage {
            // All are open, and still are: after the time for which they are held.
            if self.stage == Stage::Holding {
                self.mark(generator);
            }
            let seconds = generator.seconds() - generator.stage_seconds();
            self.stages.push((self.stage, seconds - self.stage_begun));
            (self.stage, self.stage_begun) = (generator.stage(), seconds);
        }
        #[expect(clippy::cast_precision_loss, reason = "seconds of a run")]
        let is_due = generator.seconds() >= self.next_line as f64;
        if is_due {
            if self.shows_lines {
                let memory = self.watch.and_then(|pid| memory(pid).ok());
                let line = line(self.next_line, &self.before, generator, memory);
                // A closed standard error is no reason to stop.
                let _ = writeln!(io::stderr(), "{line}");
            }
            self.before = *generator.counts();
            self.next_line += 1;
        }
    }

    /// All is over.
    pub(super) fn finish(&mut self, generator: &Generator) {
        self.mark(generator);
    }

    fn mark(&mut self, generator: &Generator) {
        if let Some(memory) = self.watch.and_then(|pid| memory(pid).ok()) {
            self.marks.push(Mark { seconds: generator.seconds(), open: generator.counts().open(), memory });
        }
    }
}

/// What was counted in the second that ended `seconds` after the start.
fn line(seconds: u64, before: &Counts, generator: &mut Generator, memory: Option<Memory>) -> String {
    let counts = *generator.counts();
    let recent = generator.take_recent();
    let mut line = format!("{seconds:>5} s  {}", stage_name(generator.stage()));
    // Writing to a string does not fail.
    for (what, now, then) in [
        ("begun", counts.begun, before.begun),
        ("opened", counts.opened, before.opened),
        ("answered", counts.answered, before.answered),
    ] {
        _ = write!(line, "  {what} {}/s", now - then);
    }
    _ = write!(line, "  open {}", counts.open());
    if counts.failures() > 0 {
        _ = write!(line, "  failed {}", counts.failures());
    }
    if recent.count() > 0 {
        _ = write!(line, "  p50 {}  p99 {}", millis(recent.quantile(0.5)), millis(recent.quantile(0.99)));
    }
    let since = [
        ("in", counts.frames_in, before.frames_in),
        ("out", counts.frames_out, before.frames_out),
        ("again", counts.sent_again, before.sent_again),
        ("flood", counts.flood_frames, before.flood_frames),
    ];
    for (what, now, then) in since.into_iter().filter(|(_, now, then)| now > then) {
        _ = write!(line, "  {what} {}/s", now - then);
    }
    if let Some(memory) = memory {
        _ = write!(line, "  server {} KiB", memory.resident);
    }
    line
}

pub(super) fn stage_name(stage: Stage) -> &'static str {
    match stage {
        Stage::Resolving => "resolving",
        Stage::Learning => "learning",
        Stage::Crowding => "crowding",
        Stage::Running => "running",
        Stage::Draining => "draining",
        Stage::Opening => "opening",
        Stage::Holding => "holding",
        Stage::Fetching => "fetching",
        Stage::Over => "over",
    }
}

/// A time in µs, for people.
pub(super) fn millis(micros: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let millis = micros as f64 / 1e3;
    if millis < 10.0 { format!("{millis:.2} ms") } else { format!("{millis:.0} ms") }
}

/// The memory of a process (`proc_pid_status(5)`).
fn memory(pid: u32) -> anyhow::Result<Memory> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    parse_memory(&status).ok_or_else(|| anyhow!("it has ended"))
}

fn parse_memory(status: &str) -> Option<Memory> {
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.trim().strip_suffix("kB")?.trim().parse().ok()
    };
    Some(Memory { resident: field("VmRSS")?, peak: field("VmHWM")?, anonymous: field("RssAnon")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_a_process_is_read_and_a_dead_one_has_none() {
        let status = "Name:\tlethe\nVmHWM:\t   12844 kB\nVmRSS:\t   12560 kB\nRssAnon:\t  9 kB\n";
        assert_eq!(parse_memory(status), Some(Memory { resident: 12_560, peak: 12_844, anonymous: 9 }));
        assert_eq!(parse_memory("Name:\tlethe\nState:\tZ (zombie)\n"), None);
        assert!(memory(std::process::id()).unwrap().resident > 100);
    }

    #[test]
    fn times_are_told_to_three_digits_or_so() {
        assert_eq!(millis(42), "0.04 ms");
        assert_eq!(millis(9_990), "9.99 ms");
        assert_eq!(millis(1_234_567), "1235 ms");
    }
}
