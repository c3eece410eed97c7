//! Clients that keep their connections behind a bad network, of Lethe and of nginx.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, ensure};
use lethe_testnet::kept::{Crowd, Outcome, Site};
use lethe_testnet::nginx::{Content, Nginx};
use lethe_testnet::relay::{self, Relay, Way};
use lethe_testnet::{Namespace, Server, counters, root, serve};

use crate::compare::{grouped, table};
use crate::downloads::percentile;
use crate::{page, programs};

const ABOUT: &str = "\
Measures requests on connections that stay open behind a bad network, from Lethe and from nginx, and compares every
byte.

Each client has a connection, and asks for one of 357 files after the other, by chance: 300 of them fit a segment with
the head of their response, and 57 have up to 102 kB. Every other client uses IPv6. Each server stands behind the same
network, sim/examples/relay.rs between TAP devices, which loses, reorders and duplicates frames both ways. A request
whose connection is closed before its response has begun is sent again on a new one, as HTTP clients do, and counted.
Needs root and a release build, which is made first.";

const EXAMPLE: &str = "\
Examples:
  cargo xtask kept --update
  cargo xtask kept --loss 5 --clients 20 --requests 50";

/// Where the table is in docs/performance.md.
const MARKS: [&str; 2] = ["<!-- kept: begin -->", "<!-- kept: end -->"];

/// The longest file whose response fits a segment of IPv6 with its head.
const SHORT_MAX: usize = 1100;

#[derive(clap::Args)]
#[command(long_about = ABOUT, after_help = EXAMPLE)]
pub(crate) struct Args {
    /// Per cent of the frames that are lost each way
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_values_t = [0, 1, 5, 10])]
    loss: Vec<u32>,
    /// What else the network does
    #[arg(long, value_name = "LIST", default_value = "reorder=2%,duplicate=1%,delay=10ms")]
    impair: String,
    /// Clients at a time
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    clients: u32,
    /// Requests of each
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    requests: u32,
    /// Writes the table into docs/performance.md
    #[arg(long)]
    update: bool,
    /// Where `lethe` and `examples/relay` are, in place of a release build
    #[arg(long, value_name = "DIR")]
    binaries: Option<PathBuf>,
}

/// The lengths of the files: all are different.
fn lengths() -> Vec<usize> {
    let short = (0..300).map(|number| 100 + SHORT_MAX.saturating_sub(100) * number / 299);
    let long = (1..=57).map(|number| SHORT_MAX + 31 * number * number);
    short.chain(long).collect()
}

/// What one server made of it.
struct Run {
    outcome: Outcome,
    /// Seconds from the first request to the last response.
    seconds: f64,
}

impl Args {
    fn crowd(&self, seed: u64) -> anyhow::Result<std::sync::Arc<Crowd>> {
        Ok(Crowd::new(self.clients as usize, self.requests as usize, seed, Site::new(&lengths())?))
    }

    /// Two namespaces with the network between them, for as long as that runs.
    fn network(&self, binaries: &Path, loss: u32) -> anyhow::Result<(Namespace, Namespace, Relay)> {
        let (client, space) = (Namespace::create()?, Namespace::create()?);
        let loss = if loss == 0 { String::new() } else { format!("loss={loss}%,") };
        let impairment = format!("{loss}{},seed=1", self.impair);
        let relay = relay::start(&binaries.join("examples/relay"), &client, &[&space], Way::Chance, &impairment)?;
        Ok((client, space, relay))
    }

    fn lethe(&self, binaries: &Path, loss: u32) -> anyhow::Result<Run> {
        let (client, space, _relay) = self.network(binaries, loss)?;
        let crowd = self.crowd(loss.into())?;
        let mut command = serve(&space, &binaries.join("lethe"), &["--device", "tap:lethe0"]);
        let server = Server::launch(command.args(["--keep-alive", "on", "files"]).arg(crowd.site.path()), 2)?;
        relay::bridge(&space, 0)?;
        let run = run(&crowd, &client);
        let counted = counters(&server.stop());
        let count = |name: &str| counted.get(name).copied().unwrap_or(0) as usize;
        let responses = count("response") + count("first-window");
        ensure!(responses >= run.outcome.answers.len(), "{responses} responses of Lethe");
        Ok(run)
    }

    fn nginx(&self, binaries: &Path, loss: u32) -> anyhow::Result<Run> {
        let (client, space, _relay) = self.network(binaries, loss)?;
        space.address("server0", 2)?;
        let crowd = self.crowd(loss.into())?;
        let more = "keepalive_requests 1000000000; keepalive_timeout 1000s;";
        let _nginx = Nginx { more, ..Nginx::new(Content::Files(crowd.site.path())) }.start(&space, &[])?;
        Ok(run(&crowd, &client))
    }
}

fn run(crowd: &std::sync::Arc<Crowd>, client: &Namespace) -> Run {
    let begun = Instant::now();
    let outcome = crowd.run(client);
    Run { outcome, seconds: begun.elapsed().as_secs_f64() }
}

impl Run {
    fn row(&self, loss: u32, server: &str) -> Vec<String> {
        let Outcome { answers, failures, opened, again } = &self.outcome;
        let times = |is_short| {
            let of_kind = answers.iter().filter(|(len, _)| (*len <= SHORT_MAX) == is_short);
            let times: Vec<f64> = of_kind.map(|(_, seconds)| seconds * 1e3).collect();
            [50, 99].map(|percent| grouped(percentile(&times, percent)))
        };
        let ([short50, short99], [long50, long99]) = (times(true), times(false));
        vec![
            format!("{loss} %"),
            server.to_owned(),
            grouped((answers.len() + failures.len()) as f64),
            failures.len().to_string(),
            opened.to_string(),
            again.to_string(),
            short50,
            short99,
            long50,
            long99,
            format!("{:.0}", self.seconds),
        ]
    }
}

const HEAD: [&str; 11] = [
    "lost each way",
    "server",
    "requests",
    "failed",
    "connections",
    "sent again",
    "p50, one segment",
    "p99",
    "p50, up to 102 kB",
    "p99",
    "seconds in all",
];

pub(crate) fn run_all(args: &Args) -> anyhow::Result<()> {
    programs::need_root()?;
    programs::need(&[("ip", "iproute2"), ("nginx", "nginx-light")])?;
    let binaries = if let Some(binaries) = &args.binaries {
        binaries.canonicalize()?
    } else {
        programs::build(&["-p lethe-httpd", "-p lethe-sim --example relay"])?;
        programs::release()
    };
    let (mut rows, mut failed) = (Vec::new(), 0);
    for (number, &loss) in args.loss.iter().enumerate() {
        // By turns, and each goes first every other time.
        let mut names = ["Lethe", "nginx"];
        names.rotate_left(number % 2);
        let mut pair = Vec::new();
        for name in names {
            let run = if name == "Lethe" { args.lethe(&binaries, loss) } else { args.nginx(&binaries, loss) };
            let run = run.with_context(|| format!("{name}, {loss} % lost"))?;
            for failure in run.outcome.failures.iter().take(10) {
                println!("{name}, {loss} % lost: {failure}");
            }
            failed += run.outcome.failures.len();
            let row = run.row(loss, name);
            println!("{}", row.join("  "));
            pair.push(row);
        }
        pair.sort_by(|one, other| one[1].cmp(&other[1]));
        rows.append(&mut pair);
    }
    let table = table(&HEAD, &rows);
    println!("\n{table}");
    if args.update {
        page::put(&root().join("docs"), "performance.md", MARKS, &table, &[])?;
    }
    ensure!(failed == 0, "{failed} requests failed");
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{SHORT_MAX, lengths};

    #[test]
    fn all_files_are_of_different_lengths() {
        let lengths: BTreeSet<_> = lengths().into_iter().collect();
        assert_eq!((lengths.len(), lengths.first(), lengths.last()), (357, Some(&100), Some(&101_819)));
        assert_eq!(lengths.iter().filter(|&&len| len <= SHORT_MAX).count(), 300);
    }
}
