//! `lethe simulate`: an application under loss, or the engine with a test application.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use lethe_server::parse_path;
use lethe_server::print::print_line;
use lethe_server::simulate::{RunArgs, requests, simulate_app};
use lethe_sim::chart;
use lethe_sim::compare::{self, Contender};
use lethe_sim::exhaustive::{self, Exhaustive};
use lethe_sim::run;
use lethe_sim::sample::MAX_SIZE;
use lethe_sim::scenario::{Options, Workload as _};
use lethe_sim::sites::{self, Site};
use lethe_sim::world::Recorder;

use crate::app::AppArgs;

#[derive(clap::Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Args {
    #[command(flatten)]
    run: RunArgs,
    /// Bytes that each client requests [default: drawn for each]
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(..=MAX_SIZE as u64))]
    size: Option<u64>,
    /// Some clients request long replies, up to 1 MB, and some of those read slowly
    #[arg(long)]
    large: bool,
    /// Clients keep their connections for up to N requests each: at once, idle for up to a day, pipelined, cut
    /// anywhere, with attackers among them. With --exhaustive, two requests on a connection, whose frames overtake
    /// others as well
    #[arg(long, value_name = "N", conflicts_with_all = ["cut", "compare", "chart"])]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1000))]
    keep_alive: Option<u32>,
    /// Clients send requests to this site, split at any byte, as by kernels that coalesce small writes: files,
    /// redirect, scores, respond or ipinfo
    #[arg(long, value_name = "SITE", conflicts_with_all = ["size", "exhaustive", "compare", "chart"])]
    cut: Option<Site>,
    /// Try every way in which the first frames of a connection can be lost or doubled
    #[arg(long, conflicts_with_all = ["seed", "soak", "chart"])]
    exhaustive: bool,
    /// The number of these frames
    #[arg(long, value_name = "N", requires = "exhaustive", default_value_t = exhaustive::FRAMES)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=15))]
    frames: u32,
    /// Draw completion time against loss
    #[arg(long, value_name = "OUT.svg", conflicts_with = "soak")]
    chart: Option<PathBuf>,
    /// Path that clients request from APP; repeat it for several
    #[arg(long, value_name = "PATH", default_value = "/", value_parser = parse_path)]
    path: Vec<String>,
    #[command(flatten)]
    comparison: Comparison,
    #[command(subcommand)]
    app: Option<AppArgs>,
}

/// Comparison of Lethe with a server that has connections.
#[derive(clap::Args)]
#[command(next_help_heading = "Comparison")]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
struct Comparison {
    /// Fetch replies of several sizes over several losses, from Lethe and from a server with connections
    #[arg(long, conflicts_with_all = ["exhaustive", "soak", "chart", "pcap", "size", "loss", "impair"])]
    compare: bool,
    /// Only from these: lethe, reference (smoltcp with Reno), greedy (smoltcp without)
    #[arg(long, value_name = "SERVER", value_delimiter = ',', value_parser = parse_contender, requires = "compare")]
    only: Vec<Contender>,
    /// The sizes in bytes
    #[arg(long, value_name = "BYTES", value_delimiter = ',', default_values_t = compare::SIZES, requires = "compare")]
    sizes: Vec<usize>,
    /// The losses in percent, each way
    #[arg(long, value_name = "PERCENT", value_delimiter = ',', requires = "compare")]
    #[arg(default_values_t = compare::LOSSES)]
    losses: Vec<u32>,
    /// The MSS that clients announce
    #[arg(long, value_name = "N", default_value_t = 1460, requires = "compare")]
    mss: u16,
    /// The receive buffer of clients
    #[arg(long, value_name = "BYTES", default_value_t = 64_240, requires = "compare")]
    window: u32,
    /// Clients use no timestamps
    #[arg(long, requires = "compare")]
    no_timestamps: bool,
    /// Clients use no SACK
    #[arg(long, requires = "compare")]
    no_sack: bool,
    /// Over IPv6
    #[arg(long, requires = "compare")]
    ipv6: bool,
}

fn parse_contender(name: &str) -> Result<Contender, String> {
    let found = Contender::ALL.into_iter().find(|contender| contender.name() == name);
    found.ok_or_else(|| "there are lethe, reference and greedy".to_owned())
}

const EXAMPLE: &str = "\
Without APP clients request bytes of a known pattern, and the network and the engine are drawn from the seed.
The same seed and options always give the same frames, and so the same digest.

Example:
  lethe simulate --seed 1 --requests 10000 --loss 5%
  lethe simulate --seed 7
  lethe simulate --soak 10m
  lethe simulate --keep-alive 20 --seed 7
  lethe simulate --loss 5% --path /8.8.8.8 ipinfo";

/// Runs the simulation, the comparison or the measurement that the arguments select.
pub(crate) fn simulate(args: &Args) -> anyhow::Result<()> {
    if let Some(app) = &args.app {
        ensure!(args.keep_alive.is_none(), "--keep-alive is for the test application, without APP");
        return simulate_app(&app.load()?, &requests(&args.path, "lethe.example", &[]), &args.run);
    }
    let size = args.size.map(|size| size as usize);
    let options = Options { size, large: args.large, keep_alive: args.keep_alive, ..args.run.options()? };
    let run = |options: Options, recorder: Option<&mut Recorder>| match args.cut {
        Some(cut) => sites::simulate(cut, options, recorder),
        None => run::simulate(options, recorder),
    };
    if args.comparison.compare {
        run_comparison(args, options.seed)
    } else if args.exhaustive {
        run_exhaustive(args)
    } else if let Some(time) = args.run.soak {
        args.run.soak(&options, time, run)
    } else if let Some(file) = &args.chart {
        draw(&options, file)
    } else if let Some(site) = args.cut {
        if !args.run.json {
            print_line(format_args!("requests of  the site `{site}`, cut anywhere"))?;
        }
        args.run.run_once(&options, &sites::command_line(site, &options), run)
    } else {
        args.run.run_once(&options, &options.to_string(), run)
    }
}

fn run_comparison(args: &Args, seed: u64) -> anyhow::Result<()> {
    let Comparison { only, sizes, losses, mss, window, no_timestamps, no_sack, ipv6, .. } = &args.comparison;
    let settings = compare::Settings {
        seed,
        requests: args.run.requests,
        sizes: sizes.clone(),
        losses: losses.clone(),
        contenders: if only.is_empty() { Contender::ALL.to_vec() } else { only.clone() },
        timestamps: !no_timestamps,
        sack: !no_sack,
        mss: *mss,
        ipv6: *ipv6,
        window: *window,
    };
    if !args.run.json {
        let clients = args.run.requests;
        print_line(format_args!(
            "seed {seed}, {clients} clients each, MSS {mss}, window {window}\n\n{}",
            compare::HEADING
        ))?;
    }
    // Each row is shown when it is known: the table takes minutes.
    settings.run(|row| if args.run.json { print_line(row.json()) } else { print_line(row) })
}

fn run_exhaustive(args: &Args) -> anyhow::Result<()> {
    let frames = args.frames;
    if args.keep_alive.is_some() && frames > exhaustive::KEPT_FRAMES_MAX {
        bail!("with --keep-alive, --frames is at most {}", exhaustive::KEPT_FRAMES_MAX);
    }
    let all = if args.keep_alive.is_some() && args.large {
        Exhaustive::kept_long(frames)
    } else if args.keep_alive.is_some() {
        Exhaustive::kept(frames)
    } else if args.large {
        Exhaustive::three_segments(frames)
    } else {
        Exhaustive::new(frames)
    };
    let begun = Instant::now();
    let mut recorder = args.run.recorder()?;
    let result = all.run(recorder.as_mut());
    if let Some(recorder) = recorder {
        recorder.finish().context("the recording is not complete")?;
    }
    let summary = match result {
        Ok(summary) => summary,
        Err(failure) => return args.run.fail(&failure, |recorder| all.run(Some(recorder))),
    };
    if !args.run.json {
        let (clients, kinds) = (all.clients(), all.clients() / all.cases());
        print_line(format_args!("cases        {clients}: the first {frames} frames of a connection"))?;
        let fates =
            if args.keep_alive.is_some() { "kept, lost, doubled or overtaken" } else { "kept, lost or doubled" };
        print_line(format_args!("             {fates}, for {kinds} kinds of clients\n"))?;
    }
    args.run.print(&summary, begun.elapsed(), &all.command_line())
}

fn draw(options: &Options, file: &Path) -> anyhow::Result<()> {
    let points = match chart::measure(options) {
        Ok(points) => points,
        Err(failure) => bail!("{failure}"),
    };
    print_line(format_args!("{:>6} {:>10} {:>10}", "loss", "median", "p99"))?;
    for point in &points {
        let (median, p99) = (point.median.as_secs_f64(), point.p99.as_secs_f64());
        print_line(format_args!("{:>4} % {median:>8.3} s {p99:>8.3} s", point.loss))?;
    }
    let size = options.size.map_or("replies of any size".to_owned(), |size| format!("replies of {size} bytes"));
    let title = format!("Time to fetch {size}, {} of them at each loss", options.requests);
    fs::write(file, chart::svg(&title, &points)).with_context(|| format!("cannot write {}", file.display()))
}
