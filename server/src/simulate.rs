//! `simulate`: the engine and its clients in a simulated network, from one seed.

use std::env;
use std::fmt::Display;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use lethe::App;
use lethe_sim::link::Impairment;
use lethe_sim::random::Probability;
use lethe_sim::run::{self, Failure, Summary};
use lethe_sim::scenario::{Options, Scenario};
use lethe_sim::world::Recorder;

use crate::message::warn;
use crate::print::{Printed as _, print_line};
use crate::server::{Server, parse_path};

/// What every command has that runs clients in a simulated network.
#[derive(clap::Args)]
#[group(skip)]
pub struct RunArgs {
    /// What everything is drawn from [default: drawn]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// How many clients come
    #[arg(long, value_name = "N", default_value_t = Options::REQUESTS)]
    pub requests: u32,
    /// What is wrong with the network.
    #[command(flatten)]
    pub network: Network,
    /// Write every frame to this file, before and after its link, with what became of it
    #[arg(long, value_name = "OUT.pcapng")]
    pub pcap: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
    /// Run one seed after the other for so long
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub soak: Option<Duration>,
}

#[derive(clap::Args)]
#[group(skip)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Args<X: clap::Args> {
    #[command(flatten)]
    run: RunArgs,
    /// What clients ask for; repeat it for more: each client asks for one of them, in pieces that are cut anywhere
    #[arg(id = "server-path", long = "path", value_name = "PATH", value_parser = parse_path)]
    path: Vec<String>,
    /// Name of the server in the requests
    #[arg(id = "server-host", long = "host", value_name = "NAME", default_value = "lethe.example")]
    host: String,
    /// Header field of the requests; repeat it for more
    #[arg(id = "server-header", long = "header", value_name = "NAME: VALUE", value_parser = parse_header)]
    header: Vec<String>,
    #[command(flatten, next_help_heading = "Application")]
    app: X,
}

/// The heading of the options below.
const NETWORK: &str = "Network (drawn if nothing is set; what is set holds for both directions)";

/// What is wrong with the network. With none of these, that is drawn as well.
#[derive(clap::Args)]
#[group(skip)]
pub struct Network {
    /// Probability that a frame is lost
    #[arg(long, help_heading = NETWORK, value_name = "P")]
    loss: Option<Probability>,
    /// Probability that a frame arrives twice
    #[arg(long, help_heading = NETWORK, value_name = "P")]
    duplicate: Option<Probability>,
    /// Probability that a frame is overtaken by others
    #[arg(long, help_heading = NETWORK, value_name = "P")]
    reorder: Option<Probability>,
    /// Probability that one bit of a frame is wrong
    #[arg(long, help_heading = NETWORK, value_name = "P")]
    corrupt: Option<Probability>,
    /// How long a frame is on its way, in milliseconds
    #[arg(long, help_heading = NETWORK, value_name = "MS")]
    delay: Option<u64>,
    /// The largest IP packet that passes
    #[arg(long, help_heading = NETWORK, value_name = "N")]
    mtu: Option<u16>,
    /// All of these and more in one: loss=5%,reorder=10%,delay=20ms
    #[arg(long, help_heading = NETWORK, value_name = "LIST")]
    impair: Option<Impairment>,
}

const EXAMPLE: &str = "\
All kinds of clients fetch from the application: with and without timestamps and SACK, with small
windows, and with requests that come in pieces. Every reply is compared with what the application
answers, and every frame is checked.
The same seed and options always give the same frames; the digest of two runs tells.

Example:
  {name} simulate --seed 1 --requests 10000 --loss 5% --path {target}{app}
  {name} simulate --soak 10m{app}";

/// What a failing run is recorded in where nothing else is said.
const RECORDING: &str = "lethe-simulate.pcapng";

/// Runs what is asked for.
pub(crate) fn simulate<X, A, P>(server: &Server<X, A, P>, args: &Args<X>) -> anyhow::Result<()>
where
    X: clap::Args,
    A: App + Sync,
{
    let app = (server.load)(&args.app)?;
    let paths = if args.path.is_empty() { &server.paths } else { &args.path };
    simulate_app(&app, &requests(paths, &args.host, &args.header), &args.run)
}

/// The requests for these paths, with these header fields.
pub fn requests(paths: &[String], host: &str, headers: &[String]) -> Vec<Vec<u8>> {
    let fields: String = headers.iter().flat_map(|field| [field.as_str(), "\r\n"]).collect();
    let request = |path: &String| format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n").into_bytes();
    paths.iter().map(request).collect()
}

/// Has clients fetch from an application, each with one of these requests.
pub fn simulate_app(app: &(impl App + Sync), requests: &[Vec<u8>], args: &RunArgs) -> anyhow::Result<()> {
    ensure!(!requests.is_empty(), "there is nothing to ask for: --path");
    let options = args.options()?;
    let words: Vec<String> = env::args().collect();
    let run = |options: Options, recorder: Option<&mut Recorder>| {
        let again = again(&words, options.seed);
        run::simulate_app(app, requests, true, options, again, recorder)
    };
    match args.soak {
        Some(time) => args.soak(&options, time, run),
        None => args.run_once(&options, &again(&words, options.seed), run),
    }
}

/// The command line that runs a seed again.
fn again(words: &[String], seed: u64) -> String {
    let (mut line, mut words) = (Vec::new(), words.iter());
    while let Some(word) = words.next() {
        match word.as_str() {
            "--seed" | "--soak" => _ = words.next(),
            word if word.starts_with("--seed=") || word.starts_with("--soak=") => {}
            "simulate" => line.push(format!("simulate --seed {seed}")),
            word if word.contains([' ', '"', '\'', '&', '?']) => line.push(format!("'{word}'")),
            word => line.push(word.to_owned()),
        }
    }
    line.join(" ")
}

fn parse_header(text: &str) -> Result<String, String> {
    let is_field = text.split_once(": ").is_some_and(|(name, _)| !name.is_empty()) && !text.contains(['\r', '\n']);
    if is_field { Ok(text.to_owned()) } else { Err("want `Name: value`, as in `Accept-Language: en`".to_owned()) }
}

impl RunArgs {
    /// What is set, and a seed that is drawn where none is.
    pub fn options(&self) -> anyhow::Result<Options> {
        let seed = self.seed.map_or_else(getrandom::u64, Ok).context("no randomness")?;
        let impairment = self.network.impairment()?;
        Ok(Options { requests: self.requests, impairment, ..Options::new(seed) })
    }

    /// Where frames are recorded, if they are to be.
    pub fn recorder(&self) -> anyhow::Result<Option<Recorder>> {
        let create =
            |path: &PathBuf| Recorder::create(path, None).with_context(|| format!("cannot write {}", path.display()));
        self.pcap.as_ref().map(create).transpose()
    }

    /// Prints what came of a run.
    pub fn print(&self, summary: &Summary, wall: Duration, command_line: &str) -> anyhow::Result<()> {
        let mut out = io::stdout().lock();
        if self.json {
            let (seconds, rest) = (wall.as_secs_f64(), summary.json());
            let command_line = command_line.replace('"', "\\\"");
            let rest = rest.trim_start_matches('{');
            return writeln!(out, "{{\"command\":\"{command_line}\",\"wall_seconds\":{seconds},{rest}").printed();
        }
        write!(out, "{summary}").and_then(|()| writeln!(out, "wall time    {:.2} s", wall.as_secs_f64())).printed()
    }

    /// Prints what is about to happen, so that it is known of a run that never ends.
    fn tell(&self, scenario: impl Display) -> anyhow::Result<()> {
        if self.json {
            // Standard output is for the machine. A closed standard error is no reason not to run.
            let _ = write!(io::stderr(), "{scenario}");
            return Ok(());
        }
        print_line(scenario)
    }

    /// Runs once and prints the result; `command_line` does the same again.
    pub fn run_once(
        &self,
        options: &Options,
        command_line: &str,
        run: impl Fn(Options, Option<&mut Recorder>) -> Result<Summary, Failure>,
    ) -> anyhow::Result<()> {
        self.tell(Scenario::draw(options.clone()))?;
        let mut recorder = self.recorder()?;
        let begun = Instant::now();
        let result = run(options.clone(), recorder.as_mut());
        let wall = begun.elapsed();
        if let Some(recorder) = recorder {
            recorder.finish().context("the recording is not complete")?;
        }
        match result {
            Ok(summary) => self.print(&summary, wall, command_line),
            Err(failure) => self.fail(&failure, |recorder| run(options.clone(), Some(recorder))),
        }
    }

    /// Says what is wrong, and records it if that has not been done: `again` does the same again.
    pub fn fail(
        &self,
        failure: &Failure,
        again: impl FnOnce(&mut Recorder) -> Result<Summary, Failure>,
    ) -> anyhow::Result<()> {
        warn(failure);
        let path = self.pcap.as_deref().unwrap_or(Path::new(RECORDING));
        if self.pcap.is_none() {
            let mut recorder = Recorder::create(path, Some(failure.client))?;
            // It ends with the same failure.
            let _ = again(&mut recorder);
            recorder.finish()?;
        }
        bail!("a run failed; its frames are in {}", path.display());
    }

    /// Runs seed after seed, on every processor, until the time is over or one fails.
    pub fn soak(
        &self,
        options: &Options,
        time: Duration,
        run: impl Fn(Options, Option<&mut Recorder>) -> Result<Summary, Failure> + Sync,
    ) -> anyhow::Result<()> {
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
                        match run(options.clone(), None) {
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
            return self.fail(&failure, |recorder| run(options, Some(recorder)));
        }
        print_line(format_args!("{seeds} seeds, {clients} clients: {} seeds a minute", seeds * 60 / seconds))
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

/// A thread that panicked has said so; what it leaves behind is still a failure or none.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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

    #[test]
    fn a_failing_seed_can_be_run_again() {
        let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let soak = words("redirect simulate --soak 10m --loss 5% --path /a?b");
        assert_eq!(again(&soak, 7), "redirect simulate --seed 7 --loss 5% --path '/a?b'");
        assert_eq!(again(&words("redirect simulate --seed=3"), 3), "redirect simulate --seed 3");
    }

    #[test]
    fn what_clients_ask_for_is_a_path_and_fields_are_fields() {
        assert_eq!(parse_path("/a?b"), Ok("/a?b".to_owned()));
        assert!(parse_path("a").is_err() && parse_path("/a b").is_err());
        assert_eq!(parse_header("A: b"), Ok("A: b".to_owned()));
        assert!(parse_header("A").is_err() && parse_header(": b").is_err() && parse_header("A: b\r\nC: d").is_err());
        let request = requests(&["/a".to_owned()], "h", &["A: b".to_owned()]).concat();
        assert_eq!(request, b"GET /a HTTP/1.1\r\nHost: h\r\nA: b\r\n\r\n");
    }
}
