//! HTTPS by a TLS terminator in front of Lethe, with connections that are kept and with connections that are closed.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::ValueEnum;
use lethe_testnet::terminator::{Terminator, certificate};
use lethe_testnet::{Namespace, Program, Server, TAP, counters, janitor, output, serve};

use crate::compare::{figure, grouped, table};
use crate::cost::{Baseline, of_processes, spent};
use crate::programs;

const ABOUT: &str = "\
Measures what HTTPS costs behind a TLS terminator: nginx, HAProxy and Caddy, with the configurations of docs/https.md.

Lethe serves `ipinfo` on a TAP device, kept (`--keep-alive on`) and closing (off) by turns, and wrk asks for one
address over and over: through each terminator over HTTPS, and once without one over HTTP. All of it shares the CPUs of
this machine, so figures of one run are to be compared with each other. Needs root and a release build, which is made
first.";

const EXAMPLE: &str = "\
Examples:
  cargo xtask https
  cargo xtask https --only haproxy --rounds 1 --seconds 2";

/// What wrk asks for.
const PATH: &str = "/8.8.8.8";

/// Programs that are needed, and their packages.
const PROGRAMS: [(&str, &str); 6] = [
    ("ip", "iproute2"),
    ("wrk", "wrk"),
    ("openssl", "openssl"),
    ("nginx", "nginx-light"),
    ("haproxy", "haproxy"),
    ("caddy", "caddy"),
];

/// For health checks to find the server.
const SETTLE: Duration = Duration::from_millis(1500);

#[derive(clap::Args)]
#[command(long_about = ABOUT, after_help = EXAMPLE)]
pub(crate) struct Args {
    /// How often each is measured
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// How long each time
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// Clients at a time
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    clients: u32,
    /// Only this way to Lethe; repeat it for more
    #[arg(long)]
    only: Vec<Way>,
    /// Take what was built before
    #[arg(long)]
    no_build: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Way {
    /// Over HTTP, without a terminator
    None,
    Nginx,
    Haproxy,
    Caddy,
}

impl Way {
    fn terminator(self) -> Option<Terminator> {
        match self {
            Self::None => None,
            Self::Nginx => Some(Terminator::Nginx),
            Self::Haproxy => Some(Terminator::Haproxy),
            Self::Caddy => Some(Terminator::Caddy),
        }
    }

    fn name(self) -> &'static str {
        self.terminator().map_or("none, HTTP", Terminator::name)
    }
}

/// What one run of wrk came to; processor time is in microseconds a request.
struct Sample {
    rate: f64,
    /// Connections to Lethe for a thousand requests.
    connections: f64,
    terminator: f64,
    lethe: f64,
}

/// The number in front of a word of a text.
fn number_before(text: &str, word: &str) -> Option<f64> {
    text.split_once(word)?.0.split_whitespace().last()?.parse().ok()
}

impl Args {
    /// wrk, and its count of requests. None may fail.
    fn wrk(&self, space: &Namespace, url: &str) -> anyhow::Result<f64> {
        let mut command = space.command("wrk");
        command.args(["-t1", &format!("-c{}", self.clients), &format!("-d{}s", self.seconds), url]);
        let text = output(&mut command)?;
        ensure!(!text.contains("Socket errors") && !text.contains("Non-2xx"), "requests failed: {text}");
        number_before(&text, " requests in ").with_context(|| format!("wrk counts: {text}"))
    }

    fn measure(&self, lethe: &Path, way: Way, kept: bool) -> anyhow::Result<Sample> {
        let (space, folder) = (Namespace::create()?, janitor::folder("https")?);
        let mut command: Command = serve(&space, lethe, &["--device", TAP]);
        let server = Server::launch(command.args(["--keep-alive", if kept { "on" } else { "off" }, "ipinfo"]), 2)?;
        let url = if way == Way::None { "http://10.9.0.2" } else { "https://localhost" };
        let start = |terminator: Terminator| -> anyhow::Result<Program> {
            certificate(&space, folder.path())?;
            terminator.start(&space, folder.path(), &terminator.config()?, &[])
        };
        let _program = way.terminator().map(start).transpose()?;
        std::thread::sleep(SETTLE);
        let processes: Vec<u32> = space.pids()?.into_iter().filter(|&pid| pid != server.pid()).collect();
        let before = of_processes(&[server.pid()])?;
        let work = || self.wrk(&space, &format!("{url}{PATH}"));
        let (requests, spent) = spent(&Baseline::default(), None, &processes, &[], work)?;
        let lethe = of_processes(&[server.pid()])? - before;
        let counted = counters(&server.stop());
        let count = |name: &str| counted.get(name).copied().unwrap_or(0) as f64;
        let each = |seconds: f64| seconds / requests * 1e6;
        Ok(Sample {
            rate: requests / spent.seconds,
            connections: count("syn-ack") / count("response").max(1.0) * 1e3,
            terminator: each(spent.process),
            lethe: each(lethe),
        })
    }
}

/// Lethe of this build.
fn built(no_build: bool) -> anyhow::Result<PathBuf> {
    if !no_build {
        programs::build(&["-p lethe-httpd"])?;
    }
    let lethe = programs::release().join("lethe");
    ensure!(lethe.exists(), "there is no {}: leave --no-build out, and it is built", lethe.display());
    Ok(lethe)
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    programs::need_root()?;
    programs::need(&PROGRAMS)?;
    let lethe = built(args.no_build)?;
    let ways: &[Way] = if args.only.is_empty() { Way::value_variants() } else { &args.only };
    let busy = Baseline::watch(Duration::from_secs(3))?.total();
    println!("with nothing asked of it the machine is busy for {:.0} % of a CPU", busy * 100.0);
    let mut rows = Vec::new();
    for &way in ways {
        let mut samples: [Vec<Sample>; 2] = [Vec::new(), Vec::new()];
        for round in 0..args.rounds {
            // By turns, and each goes first every other time.
            for kept in [round.is_multiple_of(2), !round.is_multiple_of(2)] {
                let sample = args.measure(&lethe, way, kept)?;
                let Sample { rate, connections, .. } = sample;
                let name = if kept { "kept" } else { "closing" };
                println!("{}, {name}: {rate:.0} requests/s, {connections:.1} connections for 1,000", way.name());
                samples[usize::from(!kept)].push(sample);
            }
        }
        let ratios: Vec<f64> =
            samples[0].iter().zip(&samples[1]).map(|(kept, closed)| kept.rate / closed.rate).collect();
        for (samples, name) in samples.iter().zip(["kept", "closing"]) {
            let of = |pick: fn(&Sample) -> f64| samples.iter().map(pick).collect::<Vec<_>>();
            let rates = figure(&of(|sample| sample.rate), 0);
            let rates = rates.split(' ').map(|word| {
                let digits = word.trim_matches(['(', ')']);
                digits.parse().map_or_else(|_| word.to_owned(), |number| word.replace(digits, &grouped(number)))
            });
            rows.push(vec![
                way.name().to_owned(),
                name.to_owned(),
                rates.collect::<Vec<_>>().join(" "),
                if name == "kept" { figure(&ratios, 2) } else { String::new() },
                figure(&of(|sample| sample.connections), 1),
                if way == Way::None { "–".to_owned() } else { figure(&of(|sample| sample.terminator), 1) },
                figure(&of(|sample| sample.lethe), 1),
            ]);
        }
    }
    let head = [
        "terminator",
        "Lethe",
        "requests/s",
        "kept / closing",
        "connections for 1,000 requests",
        "terminator, µs a request",
        "Lethe, µs",
    ];
    println!("\n{}", table(&head, &rows));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::number_before;

    #[test]
    fn requests_are_read_from_what_wrk_prints() {
        let text = "  1 threads and 50 connections\n  34321 requests in 4.00s, 5.21MB read\nRequests/sec:   8577.88\n";
        assert_eq!(number_before(text, " requests in "), Some(34321.0));
        assert_eq!(number_before("unable to connect", " requests in "), None);
    }
}
