//! The clients: `ab`, `h2load`, `wrk`, and `lethe load`, which sends at a fixed rate, floods, and holds connections
//! open.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};
use lethe_testnet::{Program, output};
use serde_json::Value;

use super::servers::{ADDRESS, PATH, Running};
use super::wire::{CROWD, CROWD_MAC, FORGED, listed};
use crate::cost::{Spent, spent};

/// Seconds for which `lethe load` waits for an answer. SYNs are sent again after 1 and 3 of them.
const PATIENCE: &str = "4s";

/// Bytes of a head that ab has room for.
const AB_TIMEOUT: &str = "30";

/// wrk knows all percentiles, and prints few.
const DONE: &str = r#"
done = function(summary, latency)
  local e = summary.errors
  print(string.format("counted %d %d %d %d %d", summary.requests, e.connect + e.read + e.write + e.timeout + e.status,
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9)))
end
"#;

/// Percentiles of latency in milliseconds: the 50th, 99th and 99.9th.
pub(super) type Latency = [f64; 3];

/// Microseconds of processor time for a request, in the order of [`crate::cost::PARTS`].
pub(super) type Costs = [Option<f64>; 5];

/// What one run of a client came to.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) requests: f64,
    pub(super) failed: f64,
    /// Requests a second.
    pub(super) rate: f64,
    pub(super) costs: Costs,
    pub(super) latency: Option<Latency>,
    /// The share of its time for which the server worked, where that is one worker.
    pub(super) busy: f64,
    /// Of `lethe load`: frames of a flood each second, and packets that a client sends for a request.
    pub(super) flood: f64,
    pub(super) packets: f64,
}

impl Sample {
    fn new(requests: f64, failed: f64) -> Self {
        Self { requests, failed, rate: 0.0, costs: [None; 5], latency: None, busy: 0.0, flood: 0.0, packets: 0.0 }
    }

    /// The share of the requests that were answered.
    pub(super) fn answered(&self) -> f64 {
        1.0 - self.failed / self.requests
    }

    /// What the server spent on a request.
    pub(super) fn server(&self) -> f64 {
        self.costs[0].unwrap_or(f64::NAN)
    }

    /// What the whole machine spent on a request.
    pub(super) fn machine(&self) -> f64 {
        self.costs[3].unwrap_or(f64::NAN)
    }
}

/// Runs a client on the client's CPUs, and reads what it printed.
fn measured(
    server: &Running<'_>,
    arguments: &[String],
    read: impl FnOnce(&str) -> anyhow::Result<Sample>,
) -> anyhow::Result<Sample> {
    let mut command = pinned(server, arguments);
    let cpus = server.server_cpus();
    let work = || output(&mut command);
    let (text, spent) = spent(&server.setup.baseline, cpus.as_deref(), &server.pids, &server.receivers, work)
        .with_context(|| server.kind.name.clone())?;
    let mut sample = read(&text)?;
    let each = |seconds: f64| Some(seconds / sample.requests * 1e6);
    let Spent { seconds, server, process, cpus, machine, client } = spent;
    sample.costs = [each(server), each(process), cpus.and_then(each), each(machine), each(client)];
    if sample.rate <= 0.0 {
        sample.rate = sample.requests / seconds;
    }
    sample.busy = server / seconds;
    Ok(sample)
}

/// A program in the client's namespace, on the client's CPUs.
fn pinned(server: &Running<'_>, arguments: &[String]) -> Command {
    let mut command = server.wire.client.command("taskset");
    command.args(["-c", &listed(&server.setup.cpus.client)]).args(arguments);
    command
}

/// A run of which no answer came says nothing.
fn with_answers(server: &Running<'_>, sample: Sample) -> anyhow::Result<Sample> {
    let Sample { requests, failed, .. } = sample;
    ensure!(requests > failed, "{}: of {requests} requests {failed} failed", server.kind.name);
    Ok(sample)
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

/// What a request says of its connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Request {
    /// It is the only one.
    Closes,
    /// Others follow.
    Keeps,
}

/// Requests of HTTP/1.0. On connections that stay open all must have their response on such a one.
pub(super) fn ab(
    server: &Running<'_>,
    request: Request,
    requests: usize,
    parallel: usize,
    path: &str,
) -> anyhow::Result<Sample> {
    let (number, parallel, url) =
        (requests.to_string(), parallel.min(requests).to_string(), format!("http://{ADDRESS}{path}"));
    let mut command = words(&["ab", "-q", "-r", "-s", AB_TIMEOUT, "-n", &number, "-c", &parallel]);
    if request == Request::Keeps {
        command.push("-k".to_owned());
    }
    command.push(url);
    let sample = measured(server, &command, |text| {
        let number = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok()).unwrap_or(0.0)
        };
        let (complete, kept) = (number("Complete requests"), number("Keep-Alive requests"));
        ensure!(request == Request::Closes || kept >= complete, "of {complete} connections {kept} stayed open");
        let failed = number("Failed requests") + number("Non-2xx responses");
        let rate = number("Requests per second");
        Ok(Sample { rate, ..Sample::new(complete, failed) })
    })?;
    with_answers(server, sample)
}

/// Requests of HTTP/1.1 on connections that stay open.
pub(super) fn h2load(server: &Running<'_>, requests: usize, parallel: usize) -> anyhow::Result<Sample> {
    let (number, parallel, url) =
        (requests.to_string(), parallel.min(requests).to_string(), format!("http://{ADDRESS}{PATH}"));
    let sample = measured(server, &words(&["h2load", "--h1", "-n", &number, "-c", &parallel, &url]), |text| {
        // "requests: 9 total, 9 started, 9 done, 9 succeeded, 0 failed, 0 errored, 0 timeout"
        let line = text.lines().find_map(|line| line.strip_prefix("requests: ")).context("h2load counts")?;
        let number = |name: &str| {
            let count = line.split(", ").find_map(|part| part.strip_suffix(name)?.trim().parse::<f64>().ok());
            count.with_context(|| format!("h2load says {line}"))
        };
        // "finished in 36.29ms, 27553.26 req/s, 4.86MB/s"
        let finished = text.lines().find_map(|line| line.strip_prefix("finished in ")).context("h2load finishes")?;
        let rate = finished.split(", ").find_map(|part| part.strip_suffix(" req/s")?.parse::<f64>().ok());
        let total = number("total")?;
        Ok(Sample { rate: rate.unwrap_or(0.0), ..Sample::new(total, total - number("succeeded")?) })
    })?;
    with_answers(server, sample)
}

/// Requests of HTTP/1.1; `script` says what for, if there is one.
pub(super) fn wrk(
    server: &Running<'_>,
    request: Request,
    seconds: u32,
    parallel: usize,
    script: &str,
) -> anyhow::Result<Sample> {
    let file = server.setup.work.path().join("wrk.lua");
    std::fs::write(&file, format!("{DONE}{script}"))?;
    let threads = server.setup.cpus.client.len();
    let (count, parallel) = (threads.to_string(), parallel.max(threads).to_string());
    let (time, file, url) = (format!("{seconds}s"), file.display().to_string(), format!("http://{ADDRESS}{PATH}"));
    let mut options = words(&["wrk", "-t", &count, "-c", &parallel, "-d", &time, "-s", &file]);
    if request == Request::Closes {
        options.extend(words(&["-H", "Connection: close"]));
    }
    options.push(url);
    let sample = measured(server, &options, |text| {
        let line = text.lines().find_map(|line| line.strip_prefix("counted "));
        let numbers: Vec<f64> = line.context("wrk counts")?.split(' ').filter_map(|word| word.parse().ok()).collect();
        let [requests, failed, p50, p99, p999] = numbers[..] else { bail!("wrk has counted {numbers:?}") };
        Ok(Sample { latency: Some([p50, p99, p999].map(|micros| micros / 1e3)), ..Sample::new(requests, failed) })
    })?;
    with_answers(server, sample)
}

/// `lethe load` at the client's end of the wire: clients that the kernel there knows nothing of.
fn crowd(server: &Running<'_>, arguments: &[&str]) -> Vec<String> {
    let (client, device) = (server.setup.client.display().to_string(), format!("packet:{}", server.near()));
    let place =
        [&client, "load", "--device", &device, "--mac", CROWD_MAC, "--from", CROWD, "--to", ADDRESS, "--path", PATH];
    words(&[&place[..], &["--flood-from", FORGED], arguments].concat())
}

/// SYNs beside requests.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Syns {
    None,
    /// So many a second.
    Rate(f64),
    /// No fewer than can be sent.
    Most,
}

/// Requests at a rate, each on a connection of its own, whatever the server does; beside SYNs from forged addresses.
pub(super) fn steadily(server: &Running<'_>, rate: u32, seconds: u32, syns: Syns) -> anyhow::Result<Sample> {
    let (rate_word, time) = (rate.to_string(), format!("{seconds}s"));
    let flood = match syns {
        Syns::None => None,
        Syns::Rate(rate) => Some(format!("syn={rate:.0}")),
        Syns::Most => Some("syn".to_owned()),
    };
    let mut arguments = vec!["--rate", &rate_word, "--for", &time, "--timeout", PATIENCE];
    if let Some(flood) = &flood {
        arguments.extend(["--flood", flood]);
    }
    arguments.extend(["--json", "--quiet"]);
    measured(server, &crowd(server, &arguments), |text| {
        let found: Value = serde_json::from_str(text)?;
        let number = |pointer: &str| found.pointer(pointer).and_then(Value::as_f64).unwrap_or(0.0);
        let wanted = number("/begun") + number("/never_begun");
        let answered = number("/answered");
        let latency = ["p50", "p99", "p99.9"].map(|mark| number(&format!("/latency_us/{mark}")) / 1e3);
        Ok(Sample {
            rate: f64::from(rate),
            latency: (answered > 0.0).then_some(latency),
            flood: number("/frames/flood") / number("/seconds"),
            packets: number("/frames/out") / number("/begun").max(1.0),
            ..Sample::new(wanted, wanted - answered)
        })
    })
}

/// Connections, open and idle until this is dropped.
pub(super) struct Held<'a> {
    pub(super) count: usize,
    program: Option<Program>,
    server: &'a Running<'a>,
}

impl<'a> Held<'a> {
    /// Opens so many; returns when all are open that can be.
    pub(super) fn open(server: &'a Running<'a>, count: usize) -> anyhow::Result<Self> {
        if count == 0 {
            return Ok(Self { count, program: None, server });
        }
        // For longer than anything is measured; SYNs that wait for an answer, fewer than a veth queues, so that none is
        // lost; and the time after which one that has none is given up.
        let number = count.to_string();
        let options = ["--open", &number, "--for", "1h", "--in-flight", "200", "--timeout", "60s"];
        let mut command = pinned(server, &crowd(server, &options));
        let (program, log) = Program::start_with_log(command.stdout(Stdio::null()))?;
        let mut held = Self { count: 0, program: Some(program), server };
        for line in BufReader::new(log).lines() {
            let line = line?;
            let open = line.split_once(" s  holding ").and_then(|(_, rest)| rest.split_once("open "));
            if let Some((_, rest)) = open {
                let digits = rest.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
                held.count = digits.parse().with_context(|| line.clone())?;
                return Ok(held);
            }
        }
        bail!("{}: connections could not be held", server.kind.name)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        // Their clients vanish; the server's kernel is not to speak to them for long.
        let _ = self.server.wire.server.sh("echo 1 >/proc/sys/net/ipv4/tcp_orphan_retries");
        if let Some(program) = &mut self.program {
            program.kill();
        }
    }
}
