//! `--access-log`: a line for each request.
//!
//! ```text
//! worker ── copies a record of fixed size ──► ring ──► thread ── writes a line ──► file, socket or syslog
//! ```
//!
//! **Invariant:** a worker neither waits nor allocates for the log, nor calls the kernel. Where its ring is full the
//! record is lost, which is counted.

mod format;
mod record;
mod sink;

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, anyhow};
use lethe::Reply;
use lethe::event_loop::Observer;
use lethe::time::Instant;
use lethe::verdict::Answered;
use rtrb::{Consumer, Producer, RingBuffer};
use signal_hook::consts::SIGUSR1;
use signal_hook::flag;

use self::format::{Format, Lines};
use self::record::{Record, Requests};
use self::sink::{Place, Sink};
use crate::message::warn;
use crate::print::print_line;

/// Records that the ring of a worker has room for: those of 20 ms at 400,000 requests a second.
const RING: usize = 8192;

/// How long the thread sleeps when there is nothing to write.
const PAUSE: Duration = Duration::from_millis(10);

#[derive(clap::Args)]
#[group(skip)]
pub(crate) struct LogArgs {
    /// Write a line for each request: to a file, which is opened again on SIGUSR1; to unix:PATH, a datagram for each
    /// line; or to syslog
    #[arg(long, value_name = "WHERE")]
    access_log: Option<Place>,
    /// How these lines are written: combined, as other web servers do, or json
    #[arg(long, value_name = "FORMAT", default_value = "combined")]
    log_format: Format,
    /// Share of the requests that have a line: 1/100 is every hundredth
    // An application may be called `sample`, and be a table of that name in a file of options.
    #[arg(long, visible_alias = "sample", value_name = "1/N", default_value = "1/1")]
    log_sample: Sample,
}

impl LogArgs {
    /// What is wrong with an option that only shows beside others: its name, and the error.
    pub(crate) fn check(&self) -> Result<(), (&'static str, anyhow::Error)> {
        let error = |name| Err((name, anyhow!("--{name} is for --access-log, and there is none")));
        match self {
            Self { access_log: Some(_), .. } => Ok(()),
            Self { log_format: Format::Json, .. } => error("log-format"),
            Self { log_sample, .. } if log_sample.0 != NonZeroU32::MIN => error("log-sample"),
            _ => Ok(()),
        }
    }

    /// Opens what it takes privileges to open, for a server that goes on as `user`.
    pub(crate) fn open(&self, user: &str) -> anyhow::Result<Option<AccessLog>> {
        let Some(place) = &self.access_log else { return Ok(None) };
        let sink = Sink::open(place, user).with_context(|| format!("--access-log {place}"))?;
        let reopen = Arc::new(AtomicBool::new(false));
        flag::register(SIGUSR1, Arc::clone(&reopen)).context("cannot catch signals")?;
        Ok(Some(AccessLog { sink, lines: Lines::new(self.log_format), sample: self.log_sample, reopen }))
    }
}

/// One request in so many.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Sample(NonZeroU32);

impl FromStr for Sample {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = text.strip_prefix("1/").and_then(|number| number.parse().ok());
        number.map(Self).ok_or("want a share as in 1/100: every hundredth request")
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "1/{}", self.0)
    }
}

/// A log that is open, and about to be written to.
pub(crate) struct AccessLog {
    sink: Sink,
    lines: Lines,
    sample: Sample,
    reopen: Arc<AtomicBool>,
}

/// How many lines there are, and how many are not.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    written: AtomicU64,
    lost: AtomicU64,
}

impl Counted {
    /// Lines that were written.
    pub(crate) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Lines that were not: the ring was full, or what they are written to did not take them.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

impl AccessLog {
    /// Begins to write what the workers are asked for, and gives each of them what it writes to.
    fn start(self, workers: usize) -> anyhow::Result<(LogThread, Vec<LogWriter>)> {
        let counted = Arc::new(Counted::default());
        let (mut writers, mut rings) = (Vec::new(), Vec::new());
        for _ in 0..workers {
            let (producer, consumer) = RingBuffer::new(RING);
            let sample = self.sample.0.get();
            writers.push(LogWriter { producer, sample, left: sample, counted: Arc::clone(&counted) });
            rings.push(consumer);
        }
        let stop = Arc::new(AtomicBool::new(false));
        let mut writing = Writing { log: self, rings, counted: Arc::clone(&counted), has_failed: false };
        let thread = thread::Builder::new().name("access log".to_owned()).spawn({
            let stop = Arc::clone(&stop);
            move || writing.run(&stop)
        });
        let thread = Some(thread.context("no thread for --access-log")?);
        Ok((LogThread { stop, thread, counted }, writers))
    }
}

/// The thread that writes lines. When this is dropped it writes what is left, and ends.
pub(crate) struct LogThread {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    counted: Arc<Counted>,
}

impl LogThread {
    pub(crate) fn counted(&self) -> Arc<Counted> {
        Arc::clone(&self.counted)
    }
}

impl Drop for LogThread {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

/// What the thread has.
struct Writing {
    log: AccessLog,
    rings: Vec<Consumer<Record>>,
    counted: Arc<Counted>,
    /// Whether the last batch could not be written, which was said.
    has_failed: bool,
}

impl Writing {
    fn run(&mut self, stop: &AtomicBool) {
        loop {
            // In this order: what a worker has written before the end is read after this.
            let is_over = stop.load(Ordering::Acquire);
            if self.log.reopen.swap(false, Ordering::Relaxed)
                && let Err(error) = self.log.sink.reopen()
            {
                warn(format_args!("the access log goes on as it was: {error:#}"));
            }
            let records = self.write_all();
            if is_over && (records == 0 || self.has_failed) {
                let left: usize = self.rings.iter().map(Consumer::slots).sum();
                self.counted.lost.fetch_add(left as u64, Ordering::Relaxed);
                return;
            }
            if records == 0 {
                thread::park_timeout(PAUSE);
            }
        }
    }

    /// Writes what is in the rings, and returns how many records that were.
    fn write_all(&mut self) -> usize {
        let mut records = 0;
        for ring in 0..self.rings.len() {
            // No more than were there at once, so that each worker gets its turn.
            for _ in 0..RING {
                let Some(record) = self.rings[ring].pop().ok() else { break };
                records += 1;
                let line = self.log.lines.line(&record);
                let written = self.log.sink.write(line);
                self.note(written);
            }
        }
        let flushed = self.log.sink.flush();
        self.note(flushed);
        records
    }

    /// Counts lines, and says once what is wrong.
    fn note(&mut self, written: sink::Written) {
        self.counted.written.fetch_add(written.lines, Ordering::Relaxed);
        match written.failed {
            Some((lines, error)) => {
                self.counted.lost.fetch_add(lines, Ordering::Relaxed);
                if !std::mem::replace(&mut self.has_failed, true) {
                    warn(format_args!("lines of the access log are lost: {error}"));
                }
            }
            None if written.lines > 0 => self.has_failed = false,
            None => {}
        }
    }
}

/// The end of a worker.
pub(crate) struct LogWriter {
    producer: Producer<Record>,
    sample: u32,
    /// Requests up to the next that has a line, that included.
    left: u32,
    counted: Arc<Counted>,
}

impl Observer for LogWriter {
    #[inline]
    fn answered(&mut self, now: Instant, frame: &[u8], reply: &Reply<'_>) {
        for (place, answered) in reply.answers().enumerate() {
            self.left -= 1;
            if self.left == 0 {
                self.left = self.sample;
                self.log(now, frame, place, answered);
            }
        }
    }
}

impl LogWriter {
    /// Logs the request of a frame that stands at this place.
    #[inline(never)]
    fn log(&mut self, now: Instant, frame: &[u8], place: usize, answered: Answered) {
        let Some(mut requests) = Requests::of(frame) else { return };
        (0..place).for_each(|_| requests.skip_one());
        let is_lost = requests.record(now, answered).is_none_or(|record| self.producer.push(record).is_err());
        if is_lost {
            self.counted.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Begins to write what so many workers are asked for, if there is a log.
pub(crate) fn start(
    log: Option<AccessLog>,
    workers: usize,
) -> anyhow::Result<(Option<LogThread>, Vec<Option<LogWriter>>)> {
    let Some(log) = log else { return Ok((None, (0..workers).map(|_| None).collect())) };
    let (thread, writers) = log.start(workers)?;
    Ok((Some(thread), writers.into_iter().map(Some).collect()))
}

/// Prints how many lines the log has, once it is complete.
pub(crate) fn print_lines(log: Option<LogThread>) -> anyhow::Result<()> {
    let Some(log) = log else { return Ok(()) };
    let counted = log.counted();
    drop(log);
    let (written, lost) = (counted.written(), counted.lost());
    print_line(format_args!("{written:>12}  lines in the access log, and {lost} lost"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_one_in_so_many() {
        assert_eq!("1/1000".parse::<Sample>().unwrap().to_string(), "1/1000");
        for wrong in ["", "1", "1/0", "1/", "2/3", "1/x", "0.1", "1/4294967296"] {
            assert!(wrong.parse::<Sample>().is_err(), "{wrong}");
        }
    }
}
