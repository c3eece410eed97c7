//! `lethe simulate`: the engine and its clients in a simulated network, from one seed.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use lethe_sim::chart;
use lethe_sim::compare::{self, Contender};
use lethe_sim::exhaustive::{self, Exhaustive};
use lethe_sim::link::Impairment;
use lethe_sim::random::Probability;
use lethe_sim::run::{self, Failure, Summary};
use lethe_sim::sample::MAX_SIZE;
use lethe_sim::scenario::{Options, Plan, Scenario};
use lethe_sim::sites::{self, Site};
use lethe_sim::world::Recorder;

use crate::print::{Printed as _, print_line};
use crate::warn;

#[derive(clap::Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Args {
    /// What everything is drawn from [default: drawn]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// How many clients come
    #[arg(long, value_name = "N", default_value_t = Options::REQUESTS)]
    requests: u32,
    /// How many bytes each asks for [default: drawn for each]
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(..=MAX_SIZE as u64))]
    size: Option<u64>,
    /// Some ask for long replies, up to 1 MB, and some of them read slowly
    #[arg(long)]
    large: bool,
    /// Clients send requests to this site, cut anywhere, as kernels send them that put small writes together: files,
    /// redirect or scores
    #[arg(long, value_name = "SITE", conflicts_with_all = ["size", "exhaustive", "compare", "chart"])]
    cut: Option<Site>,
    #[command(flatten)]
    network: Network,
    /// Write every frame to this file, before and after its link, with what became of it
    #[arg(long, value_name = "OUT.pcapng")]
    pcap: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
    /// Try every way in which the first frames of a connection can be lost or doubled
    #[arg(long, conflicts_with_all = ["seed", "soak", "chart"])]
    exhaustive: bool,
    /// How many of the first frames that are
    #[arg(long, value_name = "N", requires = "exhaustive", default_value_t = exhaustive::FRAMES)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=15))]
    frames: u32,
    /// Run one seed after the other for so long
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, conflicts_with = "chart")]
    soak: Option<Duration>,
    #[command(flatten)]
    comparison: Comparison,
    /// Draw completion time against loss
    #[arg(long, value_name = "OUT.svg")]
    chart: Option<PathBuf>,
}

/// How Lethe fares beside a server with connections.
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
    #[arg(long, value_name = "PERCENT", value_delimiter = ',', default_values_t = compare::LOSSES, requires = "compare")]
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

/// What is wrong with the network. With none of these, that is drawn as well.
#[derive(clap::Args)]
#[command(next_help_heading = "Network (drawn if nothing is set; what is set holds for both directions)")]
struct Network {
    /// Probability that a frame is lost
    #[arg(long, value_name = "P")]
    loss: Option<Probability>,
    /// Probability that a frame arrives twice
    #[arg(long, value_name = "P")]
    duplicate: Option<Probability>,
    /// Probability that a frame is overtaken by others
    #[arg(long, value_name = "P")]
    reorder: Option<Probability>,
    /// Probability that one bit of a frame is wrong
    #[arg(long, value_name = "P")]
    corrupt: Option<Probability>,
    /// How long a frame is on its way, in milliseconds
    #[arg(long, value_name = "MS")]
    delay: Option<u64>,
    /// The largest IP packet that passes
    #[arg(long, value_name = "N")]
    mtu: Option<u16>,
    /// All of these and more in one: loss=5%,reorder=10%,delay=20ms
    #[arg(long, value_name = "LIST")]
    impair: Option<Impairment>,
}

const EXAMPLE: &str = "\
The same seed and options always give the same frames; the digest of two runs tells.

Example:
  lethe simulate --seed 1 --requests 10000 --loss 5%
  lethe simulate --seed 7
  lethe simulate --soak 10m";

/// What a failing run is recorded in where nothing else is said.
const RECORDING: &str = "lethe-simulate.pcapng";

/// Runs what is asked for.
pub(crate) fn simulate(args: &Args) -> anyhow::Result<()> {
    let options = args.options()?;
    if args.comparison.compare {
        run_comparison(args, options.seed)
    } else if args.exhaustive {
        run_exhaustive(args)
    } else if let Some(time) = args.soak {
        soak(args, &options, time)
    } else if let Some(file) = &args.chart {
        draw(&options, file)
    } else {
        run_once(args, &options)
    }
}

impl Args {
    fn options(&self) -> anyhow::Result<Options> {
        let seed = self.seed.map_or_else(getrandom::u64, Ok).context("no randomness")?;
        let size = self.size.map(|size| size as usize);
        let impairment = self.network.impairment()?;
        Ok(Options { seed, requests: self.requests, size, impairment, large: self.large })
    }

    /// Runs the clients of a seed.
    fn run(&self, options: &Options, recorder: Option<&mut Recorder>) -> Result<Summary, Failure> {
        match self.cut {
            Some(site) => sites::simulate(site, options.clone(), recorder),
            None => run::simulate(options.clone(), recorder),
        }
    }

    fn recorder(&self) -> anyhow::Result<Option<Recorder>> {
        let create =
            |path: &PathBuf| Recorder::create(path, None).with_context(|| format!("cannot write {}", path.display()));
        self.pcap.as_ref().map(create).transpose()
    }

    fn print(&self, summary: &Summary, wall: Duration, command_line: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if self.json {
            let (seconds, rest) = (wall.as_secs_f64(), summary.json());
            let command_line = command_line.replace('"', "\\\"");
            let rest = rest.trim_start_matches('{');
            return writeln!(out, "{{\"command\":\"{command_line}\",\"wall_seconds\":{seconds},{rest}");
        }
        write!(out, "{summary}")?;
        writeln!(out, "wall time    {:.2} s", wall.as_secs_f64())
    }
}

impl Network {
    fn impairment(&self) -> anyhow::Result<Option<Impairment>> {
        let delay = self.delay.map(|millis| format!("{millis}ms"));
        let settings = [
            ("loss", self.loss.map(|chance| chance.to_string())),
            ("duplicate", self.duplicate.map(|chance| chance.to_string())),
            ("reorder", self.reorder.map(|chance| chance.to_string())),
            ("corrupt", self.corrupt.map(|chance| chance.to_string())),
            ("delay", delay),
            ("mtu", self.mtu.map(|mtu| mtu.to_string())),
        ];
        let set: Vec<String> =
            settings.into_iter().filter_map(|(key, value)| Some(format!("{key}={}", value?))).collect();
        let all = self.impair.iter().map(Impairment::to_string).chain(set).collect::<Vec<_>>().join(",");
        let is_set = self.impair.is_some() || !all.is_empty();
        Ok(if is_set { Some(all.parse()?) } else { None })
    }
}

fn run_once(args: &Args, options: &Options) -> anyhow::Result<()> {
    let command_line = args.cut.map_or_else(|| options.to_string(), |site| sites::command_line(site, options));
    tell(args, &Scenario::draw(options.clone()))?;
    let mut recorder = args.recorder()?;
    let begun = Instant::now();
    let result = args.run(options, recorder.as_mut());
    let wall = begun.elapsed();
    if let Some(recorder) = recorder {
        recorder.finish().context("the recording is not complete")?;
    }
    match result {
        Ok(summary) => args.print(&summary, wall, &command_line).printed(),
        Err(failure) => fail(args, &failure, |recorder| args.run(options, Some(recorder))),
    }
}

/// Prints every option before anything happens: should the run never end, it is known which it was.
fn tell(args: &Args, scenario: &Scenario) -> anyhow::Result<()> {
    if args.json {
        // Standard output is for the machine. A closed standard error is no reason not to run.
        let _ = write!(io::stderr(), "{scenario}");
        return Ok(());
    }
    if let Some(site) = args.cut {
        print_line(format_args!("requests of  the site `{site}`, cut anywhere"))?;
    }
    print_line(scenario)
}

/// Says what is wrong, and records it if that has not been done: `again` does the same again.
fn fail(
    args: &Args,
    failure: &Failure,
    again: impl FnOnce(&mut Recorder) -> Result<Summary, Failure>,
) -> anyhow::Result<()> {
    warn(failure);
    let path = args.pcap.as_deref().unwrap_or(Path::new(RECORDING));
    if args.pcap.is_none() {
        let mut recorder = Recorder::create(path, Some(failure.client))?;
        // It ends with the same failure.
        let _ = again(&mut recorder);
        recorder.finish()?;
    }
    bail!("a run failed; its frames are in {}", path.display());
}

fn run_comparison(args: &Args, seed: u64) -> anyhow::Result<()> {
    let Comparison { only, sizes, losses, mss, window, no_timestamps, no_sack, ipv6, .. } = &args.comparison;
    let settings = compare::Settings {
        seed,
        requests: args.requests,
        sizes: sizes.clone(),
        losses: losses.clone(),
        contenders: if only.is_empty() { Contender::ALL.to_vec() } else { only.clone() },
        timestamps: !no_timestamps,
        sack: !no_sack,
        mss: *mss,
        ipv6: *ipv6,
        window: *window,
    };
    if !args.json {
        let clients = args.requests;
        print_line(format_args!(
            "seed {seed}, {clients} clients each, MSS {mss}, window {window}\n\n{}",
            compare::HEADING
        ))?;
    }
    // A table of minutes is shown as it grows.
    settings.run(|row| if args.json { print_line(row.json()) } else { print_line(row) })
}

fn run_exhaustive(args: &Args) -> anyhow::Result<()> {
    let frames = args.frames;
    let all = if args.large { Exhaustive::three_segments(frames) } else { Exhaustive::new(frames) };
    let begun = Instant::now();
    let mut recorder = args.recorder()?;
    let result = all.run(recorder.as_mut());
    if let Some(recorder) = recorder {
        recorder.finish().context("the recording is not complete")?;
    }
    let summary = match result {
        Ok(summary) => summary,
        Err(failure) => return fail(args, &failure, |recorder| all.run(Some(recorder))),
    };
    if !args.json {
        let (clients, kinds) = (all.clients(), all.clients() / all.cases());
        print_line(format_args!("cases        {clients}: the first {frames} frames of a connection"))?;
        print_line(format_args!("             kept, lost or doubled, for {kinds} kinds of clients\n"))?;
    }
    args.print(&summary, begun.elapsed(), &all.command_line()).printed()
}

/// Runs seed after seed, on every processor, until the time is over or one fails.
fn soak(args: &Args, options: &Options, time: Duration) -> anyhow::Result<()> {
    let begun = Instant::now();
    let next = AtomicU64::new(options.seed);
    let failed = Mutex::new(None);
    let (seeds, clients) = (AtomicU64::new(0), AtomicU64::new(0));
    print_line(format_args!("from seed {} on, {} clients each, for {time:?}", options.seed, options.requests))?;
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while begun.elapsed() < time && lock(&failed).is_none() {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let options = Options { seed, ..options.clone() };
                    match args.run(&options, None) {
                        Ok(_) => {
                            seeds.fetch_add(1, Ordering::Relaxed);
                            clients.fetch_add(options.requests.into(), Ordering::Relaxed);
                        }
                        Err(failure) => *lock(&failed) = Some((options, failure)),
                    }
                }
            });
        }
    });
    let (seeds, clients, seconds) = (seeds.into_inner(), clients.into_inner(), begun.elapsed().as_secs().max(1));
    if let Some((options, failure)) = lock(&failed).take() {
        return fail(args, &failure, |recorder| args.run(&options, Some(recorder)));
    }
    print_line(format_args!("{seeds} seeds, {clients} clients: {} seeds a minute", seeds * 60 / seconds))
}

/// A thread that panicked has said so; what it leaves behind is still a failure or none.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn network(impair: &str) -> Network {
        let impair = (!impair.is_empty()).then(|| impair.parse().unwrap());
        Network { loss: None, duplicate: None, reorder: None, corrupt: None, delay: None, mtu: None, impair }
    }

    #[test]
    fn options_and_list_come_together() {
        assert_eq!(network("").impairment().unwrap(), None);
        let both = Network { loss: "5%".parse().ok(), delay: Some(20), ..network("reorder=1%") };
        assert_eq!(both.impairment().unwrap().unwrap().to_string(), "loss=5%,reorder=1%,delay=20ms");
        let twice = Network { loss: "5%".parse().ok(), ..network("loss=1%") };
        assert_eq!(twice.impairment().unwrap_err().to_string(), "`loss` is given twice");
    }
}
