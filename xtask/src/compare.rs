//! Lethe beside servers that have sockets.

mod clients;
mod grow;
mod measure;
mod pace;
mod report;
mod servers;
mod wire;

use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use clap::ValueEnum;
use lethe_testnet::{janitor, root};
use nix::sched::{CpuSet, sched_getaffinity};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::Pid;
use tempfile::TempDir;

use self::measure::{Amount, FULL, QUICK};
use self::report::{Place, Report};
pub(crate) use self::report::{figure, grouped, table};
use self::servers::{Kind, Running};
use self::wire::Cpus;
use crate::cost::Baseline;
use crate::programs;

const ABOUT: &str = "\
Compares Lethe with servers that have sockets: what a short connection costs, and how it ends.

One wire (a veth whose ends have CPUs of their own), one body, one run; every server is asked first whether it answers
as Lethe does. Measured are CPU time a request, of the whole machine and of the server's CPUs, on short connections
and on those that stay open, latency, also at fixed rates and in a flood, memory, the time a download takes under loss,
and how cost grows. The figures go into docs/performance.md, the charts into docs/charts, as they come. Everything runs
in network namespaces that are made for it and removed at the end, also if this is killed. Needs root, a quiet machine,
and 50 minutes; connections that stay open can be measured alone, in ten.";

const EXAMPLE: &str = "\
Examples:
  cargo xtask compare
  cargo xtask compare --quick
  cargo xtask compare kept
  cargo xtask compare short --dpdk on --server-cpus 2 --client-cpus 3-5 --out /tmp/compare";

/// The CPU time, in CPUs, that other programs may use before figures are worthless.
const QUIET: f64 = 0.2;

/// Programs that are needed, and their packages.
const PROGRAMS: [(&str, &str); 9] = [
    ("ip", "iproute2"),
    ("ss", "iproute2"),
    ("taskset", "util-linux"),
    ("ethtool", "ethtool"),
    ("curl", "curl"),
    ("ab", "apache2-utils"),
    ("wrk", "wrk"),
    ("h2load", "nghttp2-client"),
    ("nginx", "nginx-light"),
];

#[derive(clap::Args)]
#[command(long_about = ABOUT, after_help = EXAMPLE)]
pub(crate) struct Args {
    /// What to measure (all of it)
    measurement: Vec<Measurement>,
    /// Little of everything, once, to see that it works; its figures mean nothing
    #[arg(long)]
    quick: bool,
    /// How often each is measured (5 for what matters most, else 2; with --quick 1)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rounds: Option<u32>,
    /// CPUs of the servers, as in 0,2-3 (the first)
    #[arg(long, value_name = "LIST", value_parser = parse_cpus)]
    server_cpus: Option<CpuList>,
    /// CPUs of the clients (the second)
    #[arg(long, value_name = "LIST", value_parser = parse_cpus)]
    client_cpus: Option<CpuList>,
    /// Go on where the machine is busy with something else
    #[arg(long)]
    busy: bool,
    /// Whether Lethe is also measured by DPDK's `net_af_xdp`, and built with DPDK (if it is there, and all is built and
    /// measured)
    #[arg(long, value_name = "on|off", value_parser = parse_switch)]
    dpdk: Option<bool>,
    /// Where the report goes besides here (docs, if all or `kept` alone is measured and not quickly)
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Take what was built there before, and build nothing
    #[arg(long, value_name = "DIR")]
    binaries: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Measurement {
    /// Short connections to every server
    Short,
    /// Connections that stay open, to Lethe, nginx, epoll and `io_uring`
    Kept,
    /// Latency at fixed rates, alone and with nine of ten packets a SYN flood
    Rates,
    /// Requests that are answered beside SYN floods of growing rates
    Flood,
    /// With connections open: memory, and the cost of a request
    Memory,
    /// Downloads over a bad network
    Loss,
    /// Cost by the size of a reply
    Sizes,
    /// Cost by the number of files
    Files,
    /// Cost by the number of exam results
    Candidates,
    /// Cost by the number of workers
    Workers,
    /// Cost by the frames that Lethe takes at a time
    Bursts,
}

impl Measurement {
    fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    fn run(self, setup: &Setup, report: &mut Report) -> anyhow::Result<()> {
        match self {
            Self::Short => report.short(&measure::short(setup)?),
            Self::Kept => report.kept(setup, &measure::kept(setup)?)?,
            Self::Rates => report.rates(&pace::rates(setup)?),
            Self::Flood => report.flood(&pace::flood(setup)?),
            Self::Memory => report.memory(&measure::memory(setup)?),
            Self::Loss => report.loss(&measure::loss(setup)?),
            Self::Sizes => report.growth(&grow::by_size(setup)?),
            Self::Files => report.growth(&grow::by_files(setup)?),
            Self::Candidates => report.growth(&grow::by_candidates(setup)?),
            Self::Workers => report.growth(&grow::by_workers(setup)?),
            Self::Bursts => report.growth(&grow::by_burst(setup)?),
        }
        Ok(())
    }
}

/// Numbers of CPUs, in order.
#[derive(Clone, Debug)]
struct CpuList(Vec<usize>);

/// A list as taskset takes it: 0,2-3.
fn parse_cpus(text: &str) -> Result<CpuList, String> {
    let mut listed = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let range = first.parse().ok().zip(last.parse().ok()).filter(|(first, last): &(usize, usize)| first <= last);
        let (first, last) = range.ok_or("want CPUs as in 0,2-3")?;
        listed.extend(first..=last);
    }
    listed.sort_unstable();
    listed.dedup();
    match listed.iter().find(|cpu| !usable().contains(cpu)) {
        Some(cpu) => Err(format!("there is no CPU {cpu}")),
        None => Ok(CpuList(listed)),
    }
}

fn parse_switch(text: &str) -> Result<bool, String> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("on or off".to_owned()),
    }
}

/// The CPUs that there are for this process.
fn usable() -> Vec<usize> {
    let set = sched_getaffinity(Pid::from_raw(0)).unwrap_or_default();
    (0..CpuSet::count()).filter(|&cpu| set.is_set(cpu).unwrap_or(false)).collect()
}

/// The number of a measurement, of how many, and of its step.
struct Progress {
    begun: Instant,
    measurement: RefCell<String>,
    steps: Cell<usize>,
    done: Cell<usize>,
}

/// All that a measurement needs to know.
struct Setup {
    amount: Amount,
    cpus: Cpus,
    work: TempDir,
    /// Where the programs are.
    binaries: PathBuf,
    /// The command `lethe` once more, for clients: what a server has in memory it shares with no other process.
    client: PathBuf,
    dpdk: bool,
    /// Lethe's answer to `PATH`, and a directory in which it is a file.
    body: Vec<u8>,
    site: PathBuf,
    baseline: Baseline,
    progress: Progress,
    /// What went wrong; the rest of an hour is not lost for it.
    failures: RefCell<Vec<String>>,
}

/// Says something, with the time of day.
fn note(words: &str) {
    let time = std::process::Command::new("date").arg("+%H:%M:%S").output();
    let time = time.map_or_else(|_| String::new(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    println!("{time} {words}");
}

impl Setup {
    /// Asks Lethe once, and watches the machine while nothing is asked of it.
    fn prepare(amount: Amount, cpus: Cpus, binaries: PathBuf, dpdk: bool) -> anyhow::Result<Self> {
        let work = janitor::folder("compare")?;
        let client = work.path().join("client");
        std::fs::copy(binaries.join("lethe"), &client)?;
        let progress = Progress {
            begun: Instant::now(),
            measurement: RefCell::default(),
            steps: Cell::default(),
            done: Cell::default(),
        };
        let (site, baseline, failures) = (work.path().join("site"), Baseline::default(), RefCell::default());
        let mut setup =
            Self { amount, cpus, work, binaries, client, dpdk, body: Vec::new(), site, baseline, progress, failures };
        let body = Running::start(&setup, &Kind::lethe_packet(1), None, 0)?.get(servers::PATH)?;
        setup.body = body;
        setup.site = setup.folder("site", [(servers::PATH[1..].to_owned(), setup.body.clone())])?;
        setup.baseline = Baseline::watch(Duration::from_secs(setup.amount.idle))?;
        Ok(setup)
    }

    /// A directory with these files, which every server may read.
    fn folder(&self, name: &str, files: impl IntoIterator<Item = (String, Vec<u8>)>) -> anyhow::Result<PathBuf> {
        let folder = self.work.path().join(name);
        std::fs::create_dir(&folder)?;
        janitor::open_to_all(&folder)?;
        for (name, content) in files {
            std::fs::write(folder.join(name), content)?;
        }
        Ok(folder)
    }

    /// Whatever fails within is noted, and left out.
    fn going_on<T>(&self, work: impl FnOnce() -> anyhow::Result<T>) -> Option<T> {
        match work() {
            Ok(done) => Some(done),
            Err(error) => {
                note(&format!("failed: {error:#}"));
                self.failures.borrow_mut().push(format!("{}: {error:#}", self.progress.measurement.borrow()));
                None
            }
        }
    }

    fn expect_steps(&self, steps: usize) {
        self.progress.steps.set(steps);
        self.progress.done.set(0);
    }

    fn step(&self, words: &str) {
        let Progress { begun, measurement, steps, done } = &self.progress;
        done.set(done.get() + 1);
        let minutes = begun.elapsed().as_secs_f64() / 60.0;
        note(&format!("{minutes:4.1} min  {}, step {}/{}: {words}", measurement.borrow(), done.get(), steps.get()));
    }

    /// Lethe on every device.
    fn lethe(&self) -> Vec<Kind> {
        let mut kinds = Kind::lethe().to_vec();
        kinds.extend(self.dpdk.then(Kind::dpdk));
        kinds
    }
}

/// Builds what is measured, and returns where it is.
fn built(dpdk: bool) -> anyhow::Result<PathBuf> {
    let lethe = if dpdk { "-p lethe-httpd --features dpdk" } else { "-p lethe-httpd" };
    programs::build(&[lethe, "-p lethe-peers", "-p lethe-sim --example relay"])?;
    Ok(programs::release())
}

/// Lets programs have as many descriptors as they may: a server that holds connections has as many. What we start
/// inherits it.
fn raise_limit() -> anyhow::Result<()> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(setrlimit(Resource::RLIMIT_NOFILE, most, most)?)
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    programs::need_root()?;
    programs::need(&PROGRAMS)?;
    let usable = usable();
    let chosen = |list: &Option<CpuList>, at: usize| {
        list.as_ref().map_or_else(|| usable.iter().skip(at).take(1).copied().collect(), |list| list.0.clone())
    };
    let cpus = Cpus { server: chosen(&args.server_cpus, 0), client: chosen(&args.client_cpus, 1) };
    ensure!(
        !cpus.client.is_empty() && cpus.server.iter().all(|cpu| !cpus.client.contains(cpu)),
        "servers and clients need CPUs of their own: what a CPU does is counted for one of them"
    );
    raise_limit()?;
    let mut amount = if args.quick { QUICK } else { FULL };
    if let Some(rounds) = args.rounds {
        (amount.rounds, amount.rounds_of_others, amount.rounds_of_more) = (rounds, rounds, rounds);
    }
    let there = !args.quick && args.binaries.is_none() && Path::new("/usr/include/dpdk/rte_eal.h").exists();
    let dpdk = args.dpdk.unwrap_or(there);
    let binaries = match &args.binaries {
        Some(binaries) => binaries.canonicalize()?,
        None => built(dpdk)?,
    };
    for name in ["lethe", "lethe-peers", "examples/relay"] {
        ensure!(
            binaries.join(name).exists(),
            "there is no {name} in {}: leave --binaries out, and it is built",
            binaries.display()
        );
    }
    let setup = Setup::prepare(amount, cpus, binaries, dpdk)?;
    if setup.baseline.total() > QUIET && !args.quick && !args.busy {
        let percent = setup.baseline.total() * 100.0;
        bail!(
            "with nothing asked of it the machine is busy for {percent:.0}% of a CPU: end what else runs, or say --busy"
        );
    }
    args.measure(&setup)
}

impl Args {
    fn measure(&self, setup: &Setup) -> anyhow::Result<()> {
        // The place of what connections that stay open came to is their own, since they are also measured alone.
        let [mut report, mut kept] = [Place::All, Place::Kept].map(Report::new);
        let everything = self.measurement.is_empty();
        let only_kept = self.measurement == [Measurement::Kept];
        if !only_kept {
            report.machine(setup)?;
        }
        let out = self.out.clone().or_else(|| ((everything || only_kept) && !self.quick).then(|| root().join("docs")));
        let write = |report: &Report| out.as_ref().map_or(Ok(()), |out| report.write(out));
        let all = if everything { Measurement::value_variants() } else { &self.measurement };
        for (number, measurement) in (1..).zip(all) {
            let name = measurement.name();
            *setup.progress.measurement.borrow_mut() = format!("measurement {number}/{} {name}", all.len());
            let begun = Instant::now();
            let report = if *measurement == Measurement::Kept { &mut kept } else { &mut report };
            setup.going_on(|| measurement.run(setup, report));
            note(&format!("{name} took {:.0} s", begun.elapsed().as_secs_f64()));
            write(report)?;
        }
        let failures = setup.failures.borrow();
        if !failures.is_empty() {
            let report = if only_kept { &mut kept } else { &mut report };
            report.add(
                "What failed",
                &[failures.iter().map(|failure| format!("* {failure}")).collect::<Vec<_>>().join("\n")],
            );
            write(report)?;
        }
        println!("{report}\n\n{kept}");
        ensure!(failures.is_empty(), "{} failed", failures.len());
        note(&format!("done in {:.0} s", setup.progress.begun.elapsed().as_secs_f64()));
        Ok(())
    }
}
