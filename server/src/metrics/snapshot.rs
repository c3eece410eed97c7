//! What is to be known of a server at a moment: the one thing that all who show it are made of.

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use lethe::verdict::{Stats, Verdict};
use lethe_hw::{Turns, WorkerStats};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use serde::{Deserialize, Serialize};

use crate::access_log::{self, LogThread};
use crate::reload::Reloads;

/// In place of a number that is not counted.
const NOT_COUNTED: u64 = u64::MAX;

/// The state of a server that its metrics are made of. Each number has one writer, and neither writers nor readers
/// wait.
pub(crate) struct Watched {
    device: String,
    application: String,
    /// What each worker is called: the number of its lcore, or 0.
    workers: Vec<String>,
    published: Arc<[WorkerStats]>,
    reloads: Arc<Reloads>,
    missed: AtomicU64,
    log: Option<Arc<access_log::Counted>>,
    card: Mutex<Option<Card>>,
    started: Instant,
    started_at: SystemTime,
}

impl Watched {
    /// A server that begins now.
    pub(crate) fn new(
        device: String,
        application: String,
        workers: Vec<String>,
        published: Arc<[WorkerStats]>,
        reloads: Arc<Reloads>,
    ) -> Self {
        let (started, started_at) = (Instant::now(), SystemTime::now());
        let (missed, card) = (AtomicU64::new(NOT_COUNTED), Mutex::new(None));
        Self { device, application, workers, published, reloads, missed, log: None, card, started, started_at }
    }

    /// With an access log, if there is one.
    pub(crate) fn with_log(self, log: Option<&LogThread>) -> Self {
        Self { log: log.map(LogThread::counted), ..self }
    }

    /// The counters of all workers together.
    pub(crate) fn total(&self) -> Stats {
        let mut total = Stats::default();
        for worker in &*self.published {
            total.add(&worker.stats());
        }
        total
    }

    /// Sets how many frames were lost on the way to the workers, if that is counted.
    pub(crate) fn set_missed(&self, missed: Option<u64>) {
        self.missed.store(missed.unwrap_or(NOT_COUNTED), Ordering::Relaxed);
    }

    /// Writes down what the card says.
    #[cfg(feature = "dpdk")]
    pub(crate) fn set_card(&self, card: Card) {
        *self.card.lock().unwrap_or_else(PoisonError::into_inner) = Some(card);
    }

    /// All of it, now.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let workers: Vec<_> = self.workers.iter().zip(&*self.published).map(|(name, of)| worker(name, of)).collect();
        let mut total = Counters::default();
        for Worker { counters, .. } in &workers {
            total.add(counters);
        }
        let start_time_seconds = unix_seconds(self.started_at);
        let (reloads, failed) = (self.reloads.done(), self.reloads.failed());
        let loaded = self.reloads.last().map_or(start_time_seconds, unix_seconds);
        let usage = getrusage(UsageWho::RUSAGE_SELF).ok();
        let cpu = usage.and_then(|usage| (usage.user_time() + usage.system_time()).num_microseconds().try_into().ok());
        Snapshot {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            device: self.device.clone(),
            application: self.application.clone(),
            start_time_seconds,
            uptime_seconds: self.started.elapsed().as_secs_f64(),
            process: Process {
                resident_bytes: resident(),
                cpu_seconds: cpu.map(|micros| Duration::from_micros(micros).as_secs_f64()),
            },
            data: Data {
                generation: self.reloads.generation(),
                loaded_time_seconds: loaded,
                reloads,
                reload_failures: failed,
            },
            total,
            workers,
            access_log: self.log.as_ref().map(|log| AccessLog { lines: log.written(), lost: log.lost() }),
            frames_missed: Some(self.missed.load(Ordering::Relaxed)).filter(|&missed| missed != NOT_COUNTED),
            card: *self.card.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }
}

/// A server at a moment. As JSON this is what `/stats.json` answers, and `docs/observability.md` promises.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Snapshot {
    /// Of the command.
    pub(crate) version: String,
    /// What is served through, as it is called in the lines printed at start.
    pub(crate) device: String,
    /// The application, by its name.
    pub(crate) application: String,
    /// When it started, in seconds since 1970.
    pub(crate) start_time_seconds: f64,
    /// For how long it has been running.
    pub(crate) uptime_seconds: f64,
    pub(crate) process: Process,
    pub(crate) data: Data,
    /// Of all workers together.
    pub(crate) total: Counters,
    pub(crate) workers: Vec<Worker>,
    /// Frames lost on the way to the workers; `None` where they are not counted (TAP).
    pub(crate) frames_missed: Option<u64>,
    /// Where there is one.
    pub(crate) access_log: Option<AccessLog>,
    /// Where there is one that counts itself (DPDK).
    pub(crate) card: Option<Card>,
}

/// What there is of an access log.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct AccessLog {
    /// Lines that were written.
    pub(crate) lines: u64,
    /// Lines that were not.
    pub(crate) lost: u64,
}

/// What the process takes.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Process {
    /// Memory in use.
    pub(crate) resident_bytes: Option<u64>,
    /// Time on CPUs, of all threads.
    pub(crate) cpu_seconds: Option<f64>,
}

/// The data set of the application.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Data {
    /// The number of the one that new connections are answered from, modulo 4: what `--generation` says, and one on
    /// with each reload.
    pub(crate) generation: u8,
    /// When it was put in place, in seconds since 1970.
    pub(crate) loaded_time_seconds: f64,
    /// How often it was replaced.
    pub(crate) reloads: u64,
    /// How often it was to be, and what there was could not be used.
    pub(crate) reload_failures: u64,
}

/// What a worker has counted.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Worker {
    /// The number of its lcore; 0 where there are none.
    pub(crate) worker: String,
    pub(crate) counters: Counters,
}

/// The counters of a worker, or of all.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Counters {
    pub(crate) frames_received: u64,
    pub(crate) bytes_received: u64,
    pub(crate) frames_sent: u64,
    pub(crate) bytes_sent: u64,
    /// Requests that were answered: with a response, the first segments of one, or a refusal.
    pub(crate) requests: u64,
    /// Connections whose first request was answered.
    pub(crate) connections: u64,
    /// Responses by the class of their status: `2xx` to `5xx`.
    pub(crate) responses: BTreeMap<String, u64>,
    /// Replies of which at least one frame was lost to a full transmit queue.
    pub(crate) queue_full: u64,
    /// Turns of the loop in which frames were taken.
    pub(crate) turns: u64,
    /// Of those, how many left frames behind.
    pub(crate) full_turns: u64,
    /// Frames of all turns: those received, but for bare ACKs that the kernel has left out.
    pub(crate) turn_frames: u64,
    /// Turns by the most frames that they took: `turn_sizes[n]` those of up to 2ⁿ, and more than half of that.
    pub(crate) turn_sizes: [u64; Turns::SIZES],
    /// Frames of the turns that were timed, by the time for a frame: `frame_times[n]` those of up to 64 · 2ⁿ ns, and
    /// more than half of that; the last those of any longer time.
    pub(crate) frame_times: [u64; Turns::TIMES],
    /// The time of the turns that were timed.
    pub(crate) timed_seconds: f64,
    /// Frames by what became of them: `replied`, `absorbed` or `dropped`, and each its kinds or reasons.
    pub(crate) replied: Verdicts,
    pub(crate) absorbed: Verdicts,
    pub(crate) dropped: Verdicts,
}

/// Frames by the name of what became of them.
pub(crate) type Verdicts = BTreeMap<String, u64>;

impl Counters {
    fn add(&mut self, other: &Self) {
        self.frames_received += other.frames_received;
        self.bytes_received += other.bytes_received;
        self.frames_sent += other.frames_sent;
        self.bytes_sent += other.bytes_sent;
        self.requests += other.requests;
        self.connections += other.connections;
        self.queue_full += other.queue_full;
        self.turns += other.turns;
        self.full_turns += other.full_turns;
        self.turn_frames += other.turn_frames;
        add_each(&mut self.turn_sizes, &other.turn_sizes);
        add_each(&mut self.frame_times, &other.frame_times);
        self.timed_seconds += other.timed_seconds;
        for (sums, counts) in [
            (&mut self.responses, &other.responses),
            (&mut self.replied, &other.replied),
            (&mut self.absorbed, &other.absorbed),
            (&mut self.dropped, &other.dropped),
        ] {
            for (name, count) in counts {
                *sums.entry(name.clone()).or_default() += count;
            }
        }
    }
}

fn add_each(sums: &mut [u64], counts: &[u64]) {
    for (sum, count) in sums.iter_mut().zip(counts) {
        *sum += count;
    }
}

impl From<&Stats> for Counters {
    fn from(stats: &Stats) -> Self {
        let responses = (2..).zip(stats.responses()).map(|(class, count)| (format!("{class}xx"), count));
        let mut counters = Self {
            frames_received: stats.received_frames(),
            bytes_received: stats.received_bytes(),
            frames_sent: stats.sent_frames(),
            bytes_sent: stats.sent_bytes(),
            requests: stats.requests(),
            connections: stats.connections(),
            responses: responses.collect(),
            queue_full: stats.queue_full(),
            ..Self::default()
        };
        for (verdict, count) in stats.rows() {
            let list = match verdict {
                Verdict::Replied(_) => &mut counters.replied,
                Verdict::Absorbed(_) => &mut counters.absorbed,
                Verdict::Dropped(_) => &mut counters.dropped,
            };
            list.insert(verdict.name().to_owned(), count);
        }
        counters
    }
}

/// What the card has counted itself.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Card {
    pub(crate) link_up: bool,
    pub(crate) frames_received: u64,
    pub(crate) frames_sent: u64,
    /// Frames damaged on the wire.
    pub(crate) receive_errors: u64,
    /// Frames that could not be sent.
    pub(crate) send_errors: u64,
    /// Times without a buffer to receive into.
    pub(crate) no_buffer: u64,
}

fn worker(name: &str, published: &WorkerStats) -> Worker {
    let turns = published.turns();
    let counters = Counters {
        turns: turns.count,
        full_turns: turns.full,
        turn_frames: turns.frames,
        turn_sizes: turns.by_size,
        frame_times: turns.by_nanos,
        timed_seconds: Duration::from_nanos(turns.nanos).as_secs_f64(),
        ..Counters::from(&published.stats())
    };
    Worker { worker: name.to_owned(), counters }
}

/// A clock before 1970 is 1970.
fn unix_seconds(at: SystemTime) -> f64 {
    at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// Memory in use, in bytes: what `/proc` says, where there is one.
fn resident() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().trim_end_matches("kB").trim_end().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
pub(crate) mod tests {
    use lethe::verdict::{Absorbed, Answered, DropReason, ReplyKind};

    use super::*;

    /// A server with two workers and a card, after so many connections to one of them, each with two requests.
    pub(crate) fn sample(connections: u64) -> Snapshot {
        let published = WorkerStats::for_workers(2);
        let mut stats = Stats::default();
        let mut writer = published[1].publisher();
        for _ in 0..connections {
            for verdict in
                [ReplyKind::SynAck, ReplyKind::Response, ReplyKind::Response, ReplyKind::FinAck].map(Verdict::Replied)
            {
                stats.count_received(100, verdict);
                stats.count_sent(200);
            }
            for (is_later, status) in [(false, 200), (true, 404)] {
                stats.count_answers(is_later, std::iter::once(Answered { status, body_len: 100 }));
            }
            stats.count_received(60, Verdict::Absorbed(Absorbed::Ack));
            stats.count_received(60, Verdict::Dropped(DropReason::TcpCookie));
            writer.turned(None, 6, false, &stats);
        }
        writer.publish(&stats);
        let workers = ["2", "3"].map(str::to_owned).to_vec();
        let watched =
            Watched::new("dpdk 0 \"a\\b\"".to_owned(), "files".to_owned(), workers, published, Arc::default());
        watched.set_missed(Some(7));
        let card = Card {
            link_up: true,
            frames_received: 6 * connections,
            frames_sent: 4 * connections,
            receive_errors: 1,
            send_errors: 2,
            no_buffer: 3,
        };
        *watched.card.lock().unwrap() = Some(card);
        Snapshot { access_log: Some(AccessLog { lines: connections, lost: 9 }), ..watched.snapshot() }
    }

    #[test]
    fn the_total_is_the_sum_of_the_workers() {
        let Snapshot { total, workers, frames_missed, .. } = sample(5);
        assert_eq!(workers.iter().map(|worker| worker.worker.as_str()).collect::<Vec<_>>(), ["2", "3"]);
        assert_eq!((&workers[1].counters, workers[0].counters.frames_received), (&total, 0));
        assert_eq!((total.frames_received, total.bytes_received), (30, 5 * 520));
        assert_eq!((total.frames_sent, total.bytes_sent, total.turns), (20, 5 * 800, 5));
        assert_eq!((total.requests, total.connections), (10, 5));
        let responses = [("2xx", 5), ("3xx", 0), ("4xx", 5), ("5xx", 0)];
        assert_eq!(total.responses, responses.map(|(class, count)| (class.to_owned(), count)).into());
        assert_eq!((total.turn_sizes[3], total.turn_sizes.iter().sum::<u64>()), (5, 5));
        assert_eq!((total.dropped["tcp-cookie"], frames_missed), (5, Some(7)));
        let all = [&total.replied, &total.absorbed, &total.dropped];
        assert_eq!(all.map(|list| list.values().sum::<u64>()).iter().sum::<u64>(), total.frames_received);
        assert_eq!(all.map(Verdicts::len).iter().sum::<usize>(), Verdict::all().count(), "each has a name of its own");
    }

    #[test]
    fn what_nobody_counts_is_not_there() {
        let watched =
            Watched::new(String::new(), "files".to_owned(), vec![], WorkerStats::for_workers(0), Arc::default());
        let snapshot = watched.snapshot();
        assert_eq!((snapshot.frames_missed, snapshot.card), (None, None));
        assert_eq!((snapshot.data.generation, snapshot.data.reloads), (0, 0));
        assert_eq!(snapshot.data.loaded_time_seconds.to_bits(), snapshot.start_time_seconds.to_bits());
    }

    #[test]
    fn json_says_all_of_it() {
        let snapshot = sample(5);
        let text = serde_json::to_string(&snapshot).unwrap();
        assert_eq!(serde_json::from_str::<Snapshot>(&text).unwrap(), snapshot);
    }

    /// Both must be looked at when one of them is changed.
    #[test]
    fn every_name_is_documented() {
        let docs = include_str!("../../../docs/observability.md");
        let is_documented = |name: &str| docs.contains(&format!("`{name}`"));
        let mut json = vec![serde_json::to_value(sample(1)).unwrap()];
        while let Some(value) = json.pop() {
            match value {
                serde_json::Value::Object(fields) => {
                    for (name, value) in fields {
                        assert!(is_documented(&name), "{name}");
                        json.push(value);
                    }
                }
                serde_json::Value::Array(values) => json.extend(values),
                _ => {}
            }
        }
        for verdict in Verdict::all() {
            let row = format!("| `{}` | {} |", verdict.name(), verdict.summary());
            assert!(docs.contains(&row), "{row}");
        }
        let text = super::super::prometheus::encode(&sample(1));
        for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
            let (name, kind) = line.split_once(' ').unwrap();
            assert!(docs.contains(&format!("| `{name}` | {kind} |")), "{line}");
        }
    }
}
