//! Lethe beside cubic over one bottleneck: how they share it, and what each loses there.

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

use anyhow::ensure;
use lethe_sim::link::Rate;
use lethe_testnet::relay::Counters;
use lethe_testnet::{Program, janitor, root};

use crate::compare::{figure, table};
use crate::networks::Networks;
use crate::page::{self, wrapped};
use crate::programs;
use crate::shared::{Bottleneck, Contender, Link, Queue, SharedNetwork, Site, is_known, parse_rate, undisturbed};

const ABOUT: &str = "\
Lethe beside cubic over one bottleneck: how they share it, and what each loses there.

Some transfers from Lethe and as many from nginx on a kernel with cubic go through one queue at the same time, for a
while; then cubic takes Lethe's place, and bbr, to see what is usual. All servers are behind the one relay
(sim/examples/relay.rs), which drops what finds its queue full. Counted are the bytes that each client got after the
first seconds, and the frames that each server lost. All of it takes 20 minutes, and goes into
docs/performance.md.";

const EXAMPLE: &str = "\
Examples:
  cargo xtask fair
  cargo xtask fair --rate 10mbit --queue 1bdp --flows 2 --seconds 10
  cargo xtask fair --beside lethe --option=--ceiling=16";

/// Where the table is in docs/performance.md.
const MARKS: [&str; 2] = ["<!-- fair: begin -->", "<!-- fair: end -->"];

/// The file that all download. It is longer than what passes meanwhile.
const FILE: &str = "long";

#[derive(clap::Args)]
#[command(long_about = ABOUT, after_help = EXAMPLE)]
pub(crate) struct Args {
    /// Rates of the bottleneck, as in 10mbit
    #[arg(long, value_name = "RATE", value_delimiter = ',', default_values = ["10mbit", "50mbit"])]
    #[arg(value_parser = parse_rate)]
    rate: Vec<Rate>,
    /// What may wait before it, as in 1bdp, 100ms, or 50, which is frames
    #[arg(long, value_name = "QUEUE", value_delimiter = ',', default_values = ["1bdp", "100ms"])]
    queue: Vec<Queue>,
    /// Transfers from each of both servers
    #[arg(long, value_name = "N", value_delimiter = ',', default_values = ["2", "8"])]
    flows: Vec<u16>,
    /// Round trip without the queue, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 20)]
    rtt: u32,
    /// How often each is measured
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// How long bytes are counted,
    #[arg(long, value_name = "N", default_value_t = 15)]
    seconds: u32,
    /// and how long before that everything begins
    #[arg(long, value_name = "N", default_value_t = 5)]
    warmup: u32,
    /// Who is measured beside cubic: lethe, before, cubic, bbr (all that there are)
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    beside: Vec<String>,
    /// One more option for `lethe serve`, as in --option=--ceiling=16
    #[arg(long, value_name = "OPTION", allow_hyphen_values = true)]
    option: Vec<String>,
    /// Another `lethe` that is measured too, as a command: "old/lethe --ceiling=16"
    #[arg(long, value_name = "COMMAND")]
    before: Option<String>,
    /// Where the report goes (docs, if all of it is measured)
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Take what was built before
    #[arg(long)]
    no_build: bool,
    /// Take what was built there
    #[arg(long, value_name = "DIR")]
    binaries: Option<PathBuf>,
}

/// What came of one network: goodput of each transfer, bits a second, first those of the server that is measured; and
/// what both servers have sent meanwhile.
struct Found {
    goodput: Vec<f64>,
    sent: [Counters; 2],
}

impl Found {
    /// What all transfers got together.
    fn all(&self) -> f64 {
        self.goodput.iter().sum()
    }

    /// The part of it that the server got which is measured.
    fn share(&self) -> f64 {
        self.goodput[..self.goodput.len() / 2].iter().sum::<f64>() / self.all()
    }

    /// What the transfer with the least got, as a part of what is fair.
    fn least(&self) -> f64 {
        self.goodput.iter().copied().fold(f64::INFINITY, f64::min) * self.goodput.len() as f64 / self.all()
    }
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    programs::need_root()?;
    programs::need(&[("ip", "iproute2"), ("curl", "curl"), ("nginx", "nginx-light"), ("ethtool", "ethtool")])?;
    if args.binaries.is_none() && !args.no_build {
        programs::build(&["-p lethe-httpd", "-p lethe-sim --example relay"])?;
    }
    let binaries = args.binaries.clone().unwrap_or_else(programs::release);
    let mut networks = Networks::new(binaries.join("lethe"), binaries.join("examples/relay"));
    networks.options.clone_from(&args.option);
    let contenders = contenders(args)?;
    let fastest = args.rate.iter().map(|rate| rate.bits_per_second()).max().unwrap_or(0);
    let len = usize::try_from(fastest / 8 * u64::from(args.seconds + args.warmup))?;
    let site = Site::with(&networks, &[(FILE, len)])?;
    let mut rows = Vec::new();
    for &rate in &args.rate {
        for &queue in &args.queue {
            let link = Link { rtt: args.rtt, loss: 0.0, bottleneck: Some(Bottleneck { rate, queue }) };
            for &flows in &args.flows {
                for contender in &contenders {
                    let round = |round| {
                        undisturbed(|| measure(args, &networks, &site, &link.impair(round), (contender, flows), len))
                    };
                    let found = (1..=args.rounds.into()).map(round).collect::<anyhow::Result<Vec<_>>>()?;
                    let row =
                        [vec![rate.to_string(), queue.to_string(), flows.to_string()], cells(contender, &found, rate)];
                    println!("{}", row.concat().join("  "));
                    rows.push(row.concat());
                }
            }
        }
    }
    let text = report(args, &rows)?;
    println!("\n{text}");
    let is_all = args.out.is_none() && std::env::args().skip(2).all(|argument| argument == "--no-build");
    match args.out.clone().or_else(|| is_all.then(|| root().join("docs"))) {
        Some(folder) => page::put(&folder, "performance.md", MARKS, &text, &[]),
        None => Ok(()),
    }
}

/// Who is measured beside cubic.
fn contenders(args: &Args) -> anyhow::Result<Vec<Contender>> {
    ensure!(is_known("cubic"), "this kernel has no cubic");
    let mut all = vec![("lethe", Contender::Lethe), ("cubic", Contender::Nginx("cubic".to_owned()))];
    if is_known("bbr") {
        all.push(("bbr", Contender::Nginx("bbr".to_owned())));
    }
    if let Some(command) = &args.before {
        all.insert(1, ("before", Contender::Before(command.clone())));
    }
    for name in &args.beside {
        ensure!(all.iter().any(|(known, _)| known == name), "--beside: there is no {name}");
    }
    all.retain(|(name, _)| args.beside.is_empty() || args.beside.iter().any(|wanted| wanted == name));
    Ok(all.into_iter().map(|(_, contender)| contender).collect())
}

/// Some transfers from a server, and as many from nginx with cubic.
fn measure(
    args: &Args,
    networks: &Networks,
    site: &Site,
    impair: &str,
    (contender, flows): (&Contender, u16),
    len: usize,
) -> anyhow::Result<Found> {
    let both = [contender.clone(), Contender::Nginx("cubic".to_owned())];
    let mut network = SharedNetwork::start(networks, &both, site, impair)?;
    let folder = janitor::folder("fair")?;
    // By turns, so that neither is first everywhere.
    let paths: Vec<PathBuf> = (0..2 * flows).map(|number| folder.path().join(number.to_string())).collect();
    let mut transfers = Vec::new();
    for (number, path) in paths.iter().enumerate() {
        let mut curl = network.client.command("curl");
        curl.args(["-sN", "-o"]).arg(path).arg(SharedNetwork::url(number % 2, "v4", FILE));
        transfers.push(Program::start(curl.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()))?);
    }
    let lens = || paths.iter().map(|path| fs::metadata(path).map_or(0, |file| file.len())).collect::<Vec<_>>();
    sleep(Duration::from_secs(args.warmup.into()));
    let (before, sent) = (lens(), network.counters()?);
    sleep(Duration::from_secs(args.seconds.into()));
    let (after, more) = (lens(), network.counters()?);
    for transfer in &mut transfers {
        ensure!(transfer.is_running(), "a transfer has ended before its time");
        transfer.kill();
    }
    network.check_devices()?;
    let expected = networks.pattern(len);
    for path in &paths {
        ensure!(expected.begins_with(path)?, "{}: other bytes than were to come", path.display());
    }
    let goodput = |of: usize| {
        let pairs = before.iter().zip(&after).skip(of).step_by(2);
        pairs.map(|(before, after)| (after - before) as f64 * 8.0 / f64::from(args.seconds))
    };
    Ok(Found { goodput: goodput(0).chain(goodput(1)).collect(), sent: [0, 1].map(|of| since(sent[of], more[of])) })
}

fn since(before: Counters, after: Counters) -> Counters {
    Counters {
        frames: after.frames - before.frames,
        bytes: after.bytes - before.bytes,
        longest: after.longest,
        delivered: after.delivered - before.delivered,
    }
}

/// Jain's index of fairness: 1 where all have the same, and one part in so many where one has all.
fn jain(values: &[f64]) -> f64 {
    let (sum, squares): (f64, f64) = (values.iter().sum(), values.iter().map(|value| value * value).sum());
    sum * sum / (values.len() as f64 * squares)
}

/// The part of a row that was measured.
fn cells(contender: &Contender, rounds: &[Found], rate: Rate) -> Vec<String> {
    let of = |value: &dyn Fn(&Found) -> f64, digits| figure(&rounds.iter().map(value).collect::<Vec<_>>(), digits);
    let lost = |side: usize| {
        let [frames, delivered] = rounds.iter().fold([0, 0], |[frames, delivered], found| {
            [frames + found.sent[side].frames, delivered + found.sent[side].delivered]
        });
        let lost = frames.saturating_sub(delivered);
        format!("{lost} ({:.1} %)", lost as f64 * 100.0 / frames.max(1) as f64)
    };
    vec![
        contender.name(),
        of(&|found| found.share() * 100.0, 0) + " %",
        of(&|found| jain(&found.goodput), 2),
        of(&Found::least, 2),
        of(&|found| found.all() * 100.0 / rate.bits_per_second() as f64, 0) + " %",
        lost(0),
        lost(1),
    ]
}

fn report(args: &Args, rows: &[Vec<String>]) -> anyhow::Result<String> {
    let run = [
        format!(
            "* {}: RTT {} ms, {} times {} s after the first {}.",
            page::date_and_command(),
            args.rtt,
            args.rounds,
            args.seconds,
            args.warmup
        ),
        format!("* {}; {}.", page::machine()?, page::said("nginx", &["-v"])),
    ];
    let head = [
        "rate",
        "queue",
        "transfers each",
        "beside cubic",
        "its share",
        "Jain's index",
        "least, of a fair share",
        "link used",
        "frames it lost",
        "frames cubic lost",
    ];
    Ok(format!("{}\n\n{}", run.map(|line| wrapped(&line)).join("\n"), table(&head, rows)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_is_one_where_all_have_the_same() {
        assert!((jain(&[3.0; 4]) - 1.0).abs() < 1e-9);
        assert!((jain(&[8.0, 0.0, 0.0, 0.0]) - 0.25).abs() < 1e-9);
    }

    #[test]
    fn a_row_has_the_share_of_the_first_half() {
        let counters = |frames, delivered| Counters { frames, bytes: 0, longest: 1514, delivered };
        let found = Found { goodput: vec![1e6, 1e6, 3e6, 5e6], sent: [counters(200, 190), counters(100, 100)] };
        let row = |rounds: &[Found]| cells(&Contender::Lethe, rounds, "20mbit".parse().unwrap());
        let other = Found { goodput: vec![5e6; 4], sent: found.sent };
        assert_eq!(row(&[found]), ["Lethe", "20 %", "0.69", "0.40", "50 %", "10 (5.0 %)", "0 (0.0 %)"]);
        assert_eq!(row(&[other])[1..4], ["50 %", "1.00", "1.00"]);
    }
}
