//! The result, for people and for programs.

use std::fmt::{self, Display, Formatter};
use std::io::{self, Write};

use lethe_load::{Failure, Generator, KeepAlive, Latency, Plan};
use serde_json::{Value, json};

use super::args::{Args, CompareWhat};
use super::console::{Console, Mark, millis, stage_name};

/// The quantiles that are told, and what they are called.
const QUANTILES: [(&str, f64); 5] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("p99.99", 0.9999)];

/// What is going to be done.
pub(super) fn plan(args: &Args, bytes: usize) -> String {
    let to: Vec<_> = args.to.iter().map(ToString::to_string).collect();
    let from: Vec<_> = args.from.iter().map(ToString::to_string).collect();
    let time = humantime::format_duration(args.duration);
    let what = match args.plan() {
        Ok(Plan::Open { connections, .. }) => match args.keep_alive() {
            None => format!("{connections} connections open for {time}, then a request on each"),
            Some(KeepAlive { requests: None, .. }) => {
                format!("{connections} connections, on each one request after the other for {time}")
            }
            Some(KeepAlive { requests: Some(requests), think, .. }) => {
                let pause = if think.is_zero() {
                    String::new()
                } else {
                    format!(", {} between them", humantime::format_duration(think))
                };
                format!("{connections} connections open for {time}, then {requests} requests on each{pause}")
            }
        },
        Ok(Plan::Rate { per_second, .. }) => format!("{per_second} requests a second for {time}"),
        Err(_) => String::new(),
    };
    let kib = bytes.div_ceil(1024);
    format!("from {} to {}: {what} ({kib} KiB of connections)", from.join(", "), to.join(", "))
}

/// Prints the result.
pub(super) fn print(args: &Args, generator: &Generator, console: &Console, missed: Option<u64>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", json(args, generator, console, missed))
    } else {
        write!(out, "{}", Text { args, generator, console, missed })
    }
}

fn json(args: &Args, generator: &Generator, console: &Console, missed: Option<u64>) -> Value {
    let counts = generator.counts();
    let failed: serde_json::Map<_, _> =
        Failure::ALL.iter().map(|&failure| (failure.name().to_owned(), counts.failed(failure).into())).collect();
    let stages: serde_json::Map<_, _> =
        console.stages.iter().map(|&(stage, seconds)| (stage_name(stage).to_owned(), seconds.into())).collect();
    let floods = generator.floods().map(|(flood, frames)| json!({"kind": flood.kind.name(), "frames": frames}));
    let slow = generator.slow().map(|(kind, counts)| {
        json!({"kind": kind.name(), "wanted": counts.wanted, "opened": counts.opened,
               "answered": counts.answered, "closed": counts.closed})
    });
    let replies = generator.replies().map(|(path, status, body)| json!({"path": path, "status": status, "body": body}));
    let memory = console.marks.iter().map(|mark| {
        json!({"seconds": mark.seconds, "open": mark.open, "resident_kib": mark.memory.resident,
               "peak_kib": mark.memory.peak, "anonymous_kib": mark.memory.anonymous})
    });
    let mismatch = generator.mismatch().map(|wrong| {
        json!({"path": wrong.path, "client": wrong.client.address.to_string(), "port": wrong.client.port,
               "wrong": wrong.part.to_string()})
    });
    json!({
        "to": args.to.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "from": args.from.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "seconds": generator.seconds(),
        "stages": stages,
        "begun": counts.begun,
        "never_begun": counts.never_begun,
        "opened": counts.opened,
        "asked": counts.asked,
        "answered": counts.answered,
        "unfinished": counts.unfinished(),
        "closed": counts.closed,
        "cut": counts.cut,
        "requests_a_connection": per_connection(generator),
        "answered_a_second": generator.rate(),
        "memory_of_connections": generator.table_bytes(),
        "failed": failed,
        "connect_us": latency(generator.connect()),
        "latency_us": latency(generator.latency()),
        "replies": replies.collect::<Vec<_>>(),
        "mismatch": mismatch,
        "frames": {
            "in": counts.frames_in, "out": counts.frames_out, "again": counts.sent_again,
            "queue_full": counts.queue_full,
            "bad": counts.bad_frames, "fragments": counts.fragments, "strays": counts.strays, "missed": missed,
            "flood": counts.flood_frames,
        },
        "floods": floods.collect::<Vec<_>>(),
        "slow": slow.collect::<Vec<_>>(),
        "memory": memory.collect::<Vec<_>>(),
    })
}

fn latency(latency: &Latency) -> Value {
    let quantiles: serde_json::Map<_, _> =
        QUANTILES.iter().map(|&(name, part)| (name.to_owned(), latency.quantile(part).into())).collect();
    let mut value = json!({"count": latency.count(), "mean": latency.mean(), "max": latency.max()});
    if let Value::Object(fields) = &mut value {
        fields.extend(quantiles);
    }
    value
}

/// Replies on a connection, on average.
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
fn per_connection(generator: &Generator) -> f64 {
    let counts = generator.counts();
    counts.answered as f64 / counts.opened.max(1) as f64
}

/// The result, for people.
struct Text<'a> {
    args: &'a Args,
    generator: &'a Generator,
    console: &'a Console,
    missed: Option<u64>,
}

impl Display for Text<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f)?;
        for (path, status, body) in self.generator.replies() {
            writeln!(f, "{path}: status {status}, {body} bytes")?;
        }
        let stages = self.console.stages.iter().filter(|(_, seconds)| *seconds >= 0.01);
        for (stage, seconds) in stages {
            writeln!(f, "{seconds:>12.2}  s {}", stage_name(*stage))?;
        }
        self.write_counts(f)?;
        if self.args.keep_alive().is_some() {
            writeln!(f, "{:>12.0}  requests answered a second", self.generator.rate())?;
        }
        for (what, latency) in [("connect", self.generator.connect()), ("latency", self.generator.latency())] {
            write_latency(f, what, latency)?;
        }
        if let Some(wrong) = self.generator.mismatch() {
            let client = wrong.client;
            writeln!(f, "{}: a reply to {} port {} is wrong: {}", wrong.path, client.address, client.port, wrong.part)?;
        }
        for Mark { seconds, open, memory } in &self.console.marks {
            writeln!(
                f,
                "{open:>12}  connections open after {seconds:.1} s: server has {} KiB, had at most {} KiB",
                memory.resident, memory.peak
            )?;
        }
        Ok(())
    }
}

impl Text<'_> {
    fn write_counts(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let counts = self.generator.counts();
        let row = |f: &mut Formatter<'_>, count: u64, what: &str| writeln!(f, "{count:>12}  {what}");
        row(f, counts.begun, "connections begun")?;
        row(f, counts.opened, "opened")?;
        let right = match self.args.compare {
            CompareWhat::All => "all bytes right",
            CompareWhat::Body => "status and body right",
        };
        let requests = if self.args.keep_alive().is_some() { counts.asked - counts.cut } else { counts.begun };
        if self.args.keep_alive().is_some() {
            row(f, requests, &format!("requests, {:.1} a connection", per_connection(self.generator)))?;
        }
        row(f, counts.answered, &format!("answered, {right} ({})", Share(counts.answered, requests)))?;
        for failure in Failure::ALL.into_iter().filter(|&failure| counts.failed(failure) > 0) {
            row(f, counts.failed(failure), &format!("failed: {}", failure.name()))?;
        }
        for (count, what) in [
            (counts.closed, "connections closed by the server though they were to stay open"),
            (counts.cut, "requests sent again on a new connection, since theirs ended before the reply"),
            (counts.unfinished(), "not finished"),
            (counts.never_begun, "never begun: the rate is more than can be sent from here"),
        ] {
            if count > 0 {
                row(f, count, what)?;
            }
        }
        for (flood, frames) in self.generator.floods() {
            row(f, frames, &format!("frames of flood {}", flood.kind.name()))?;
        }
        for (kind, slow) in self.generator.slow() {
            let what = format!("slow clients ({}) of {} connected", kind.name(), slow.wanted);
            row(f, slow.opened, &format!("{what}; {} answered, {} closed by the server", slow.answered, slow.closed))?;
        }
        row(f, counts.frames_in, "frames in")?;
        row(f, counts.frames_out, "frames out, without floods")?;
        for (count, what) in [
            (counts.sent_again, "frames sent again"),
            (counts.queue_full, "times that there was no room for a frame"),
            (self.missed.unwrap_or(0), "frames missed: they came faster than they were taken"),
            (counts.bad_frames, "frames malformed or with a wrong checksum"),
            (counts.fragments, "fragments, which are not put together"),
            (counts.strays, "segments of no connection"),
        ] {
            if count > 0 {
                row(f, count, what)?;
            }
        }
        Ok(())
    }
}

fn write_latency(f: &mut Formatter<'_>, what: &str, latency: &Latency) -> fmt::Result {
    if latency.count() == 0 {
        return Ok(());
    }
    write!(f, "{what:>12}")?;
    for (name, part) in QUANTILES {
        write!(f, "  {name} {}", millis(latency.quantile(part)))?;
    }
    writeln!(f, "  max {}", millis(latency.max()))
}

/// A part of a whole.
struct Share(u64, u64);

impl Display for Share {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.0 == self.1 {
            return write!(f, "all");
        }
        #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
        let percent = self.0 as f64 * 100.0 / self.1.max(1) as f64;
        // Never "100" of what is not all.
        write!(f, "{:.3} %", percent.min(99.999))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_all_only_where_it_is() {
        assert_eq!(Share(5, 5).to_string(), "all");
        assert_eq!(Share(9_999_999, 10_000_000).to_string(), "99.999 %");
        assert_eq!(Share(1, 3).to_string(), "33.333 %");
    }
}
