//! `bench`: what a packet costs the engine, without any port.

mod clients;
mod measure;

use std::io::{self, Write};
use std::time::Duration;

use anyhow::{anyhow, ensure};
use lethe::config::{Addresses, Config};
use lethe::cookie::Secret;
use lethe::port::Offload;
use lethe::verdict::Verdict;
use lethe::versions::Versions;
use lethe::{App, Engine};
use lethe_sim::fetch::{Fetch, KeptFetch, LongFetch};
use lethe_sim::frame::{Arp, Ends};
use serde::Serialize;

use self::clients::{Family, NOW};
use self::measure::{Bench, Cost};
use crate::print::Printed as _;
use crate::server::{Server, parse_path};

/// What every command has that measures.
#[derive(clap::Args)]
#[group(skip)]
pub struct BenchArgs {
    /// How long each row is measured
    #[arg(long, value_name = "TIME", default_value = "300ms", value_parser = parse_duration)]
    each: Duration,
    /// Only rows that have this in their name
    #[arg(long, value_name = "WORD", default_value = "")]
    only: String,
    /// Print JSON: an array of rows
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
#[group(skip)]
#[command(after_help = format!("{ABOUT}\n\n{EXAMPLE}"))]
pub(crate) struct Args<X: clap::Args> {
    #[command(flatten)]
    bench: BenchArgs,
    /// What clients ask for; repeat it for more: each asks for one of them, and its response has to fit one segment
    #[arg(id = "server-path", long = "path", value_name = "PATH", value_parser = parse_path)]
    path: Vec<String>,
    #[command(flatten, next_help_heading = "Application")]
    app: X,
}

const EXAMPLE: &str = "\
Example:
  {name} bench{app}
  {name} bench --only fetch --each 2s{app}";

/// What the figures are.
pub const ABOUT: &str = "\
Each packet is one of 256 clients, and its reply is written into a buffer as a card has them.
Times are of one packet, in the mean over 64 that are measured together: the best of these, the
middle, and the one that 1 % are above. Where the machine counts cycles and instructions, they
are shown. A fetch is all five packets of a client: SYN, ACK, request, ACK, FIN. \"kept\" says that
the connection stays open: its first request, and the next one, a FIN or a keep-alive probe after
the response. \"card\" says that a network card does the checksums.";

/// Clients whose packets are made beforehand.
const CLIENTS: u32 = 256;

fn parse_duration(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if (Duration::from_millis(1)..=Duration::from_mins(10)).contains(&time) {
        Ok(time)
    } else {
        Err("a row takes from 1ms to 10min".to_owned())
    }
}

/// Measures everything that is asked for, and prints each row when it is known.
pub(crate) fn bench<X, A, P>(server: &Server<X, A, P>, args: &Args<X>) -> anyhow::Result<()>
where
    X: clap::Args,
    A: App,
{
    let app = (server.load)(&args.app)?;
    let paths = if args.path.is_empty() { of_one_segment(&app, &server.paths)? } else { args.path.clone() };
    let mut report = Report::begin(&args.bench)?;
    report.packets(server.name, &PACKETS, &app, |number| paths[number as usize % paths.len()].clone())?;
    report.end()
}

/// Those of these paths whose responses fit one segment.
fn of_one_segment(app: &impl App, paths: &[String]) -> anyhow::Result<Vec<String>> {
    let engine = engine(Family::V6, Offload::default(), false, app)?;
    let fits = |path: &&String| Fetch::new(&engine, NOW, &Family::V6.ends(0), path).is_ok();
    let fitting: Vec<String> = paths.iter().filter(fits).cloned().collect();
    ensure!(!fitting.is_empty(), "no response to {} fits one segment: --path", paths.join(", "));
    Ok(fitting)
}

fn engine<A: App>(family: Family, offload: Offload, keep_alive: bool, app: A) -> anyhow::Result<Engine<Versions<A>>> {
    let mut addresses = Addresses::new();
    addresses.add(family.ends(0).server.ip())?;
    let config = Config { addresses, offload, keep_alive, ..Config::new(Secret::new([7; 16])) };
    Ok(Engine::new(config, Versions::new(app)))
}

/// What each of the clients sends, which ask for `target`: `fetch` makes it.
fn clients<T>(
    family: Family,
    target: impl Fn(u32) -> String,
    fetch: impl Fn(&Ends, &str) -> Result<T, Verdict>,
) -> anyhow::Result<Vec<T>> {
    let fetch = |number| {
        let target = target(number);
        fetch(&family.ends(number), &target).map_err(|verdict| anyhow!("{target} was answered with: {verdict}"))
    };
    (0..CLIENTS).map(fetch).collect()
}

/// A kind of link that packets are measured on.
struct Link {
    name: &'static str,
    family: Family,
    /// Whether a card does the checksums.
    by_card: bool,
}

const LINKS: [Link; 4] = [
    Link { name: "IPv4", family: Family::V4, by_card: false },
    Link { name: "IPv4 card", family: Family::V4, by_card: true },
    Link { name: "IPv6", family: Family::V6, by_card: false },
    Link { name: "IPv6 card", family: Family::V6, by_card: true },
];

impl Link {
    fn engine<A: App>(&self, keep_alive: bool, app: A) -> anyhow::Result<Engine<Versions<A>>> {
        engine(self.family, Offload { ipv4: self.by_card, tcp: self.by_card, segmentation: false }, keep_alive, app)
    }

    /// What the row of these packets is called. `None` where they are not of this family.
    fn row(&self, what: &str, app_name: &str) -> Option<String> {
        let link = self.name;
        match (what, self.family) {
            ("fetch" | LONG_ACK, _) => Some(format!("{link} {what} {app_name}")),
            (get, _) if get.ends_with("GET") => Some(format!("{link} {what} {app_name}")),
            ("ARP", Family::V6) => None,
            _ => Some(format!("{link} {what}")),
        }
    }
}

/// Rows of an application: single packets, and all of a fetch; and the packets of connections that stay open.
pub const PACKETS: [&str; 11] =
    ["SYN", "ACK", "GET", "FIN", "garbage", "fetch", "ARP", "kept first GET", "kept GET", "kept FIN", "kept probe"];

/// Rows of long stored responses on connections that were kept open: the request, which draws the first window, and the
/// ACK that draws the next segments.
const LONG_GET: &str = "kept long GET";
const LONG_ACK: &str = "kept long ACK";
const LONG: [&str; 2] = [LONG_GET, LONG_ACK];

#[derive(Serialize)]
struct Row<'a> {
    name: &'a str,
    #[serde(flatten)]
    cost: Cost,
}

/// Where rows are printed.
pub struct Report<'a> {
    args: &'a BenchArgs,
    rows: usize,
}

impl<'a> Report<'a> {
    /// Prints the heading.
    pub fn begin(args: &'a BenchArgs) -> anyhow::Result<Self> {
        let mut out = io::stdout();
        if args.json {
            write!(out, "[").printed()?;
        } else {
            let heading = ["best ns", "median", "p99", "cycles", "instructions"];
            let [best, median, p99, cycles, instructions] = heading;
            writeln!(out, "{:<32} {best:>9} {median:>9} {p99:>9} {cycles:>9} {instructions:>12}", "").printed()?;
        }
        Ok(Self { args, rows: 0 })
    }

    /// Whether a row of this name is asked for.
    pub fn wants(&self, name: &str) -> bool {
        name.to_lowercase().contains(&self.args.only.to_lowercase())
    }

    /// Whether any row of [`long`](Self::long) is asked for.
    pub fn wants_long(&self, app_name: &str) -> bool {
        self.wants_packets(app_name, &LONG)
    }

    /// Whether any of these rows of [`packets`](Self::packets) is asked for.
    pub fn wants_packets(&self, app_name: &str, rows: &[&str]) -> bool {
        LINKS.iter().any(|link| !self.wanted(link, app_name, rows).is_empty())
    }

    /// The rows that are asked for on one kind of link, and what each is called.
    fn wanted<'r>(&self, link: &Link, app_name: &str, rows: &[&'r str]) -> Vec<(&'r str, String)> {
        let named = rows.iter().filter_map(|&what| Some((what, link.row(what, app_name)?)));
        named.filter(|(_, name)| self.wants(name)).collect()
    }

    /// Measures packets (those of [`PACKETS`] that `rows` names) over IPv4 and IPv6, with checksums by the processor
    /// and by a card. Client `number` asks for `target(number)`; requests and fetches are called by the name of the
    /// application.
    pub fn packets(
        &mut self,
        app_name: &str,
        rows: &[&str],
        app: &impl App,
        target: impl Fn(u32) -> String,
    ) -> anyhow::Result<()> {
        for link in &LINKS {
            let wanted = self.wanted(link, app_name, rows);
            if wanted.is_empty() {
                continue;
            }
            let (kept, closing): (Vec<_>, Vec<_>) = wanted.into_iter().partition(|(what, _)| what.starts_with("kept"));
            if !closing.is_empty() {
                let engine = link.engine(false, app)?;
                let fetches = clients(link.family, &target, |ends, target| Fetch::new(&engine, NOW, ends, target))?;
                self.rows(link, engine, closing, &fetches, frames)?;
            }
            if !kept.is_empty() {
                let engine = link.engine(true, app)?;
                let fetches = clients(link.family, &target, |ends, target| KeptFetch::new(&engine, NOW, ends, target))?;
                self.rows(link, engine, kept, &fetches, kept_frames)?;
            }
        }
        Ok(())
    }

    /// Measures long stored responses on connections that were kept open, over the same links as
    /// [`packets`](Self::packets): the request that draws a first window, and an ACK that draws more. The first
    /// response on each connection is that to `short`, which fits one segment.
    pub fn long(&mut self, app_name: &str, app: &impl App, short: &str, long: &str) -> anyhow::Result<()> {
        for link in &LINKS {
            let wanted = self.wanted(link, app_name, &LONG);
            if wanted.is_empty() {
                continue;
            }
            let engine = link.engine(true, app)?;
            let fetch = |ends: &Ends, long: &str| LongFetch::new(&engine, NOW, ends, short, long);
            let fetches = clients(link.family, |_| long.to_owned(), fetch)?;
            self.rows(link, engine, wanted, &fetches, |what, fetch| {
                vec![if what == LONG_GET { fetch.get.clone() } else { fetch.ack.clone() }]
            })?;
        }
        Ok(())
    }

    /// Measures these rows on one kind of link, each what `frames` says of every client.
    fn rows<A: App, T>(
        &mut self,
        link: &Link,
        engine: Engine<A>,
        rows: Vec<(&str, String)>,
        clients: &[T],
        frames: impl Fn(&str, &T) -> Vec<Vec<u8>>,
    ) -> anyhow::Result<()> {
        let mut bench = Bench::new(engine, link.by_card, self.args.each);
        for (what, name) in rows {
            let asked: Vec<Vec<Vec<u8>>> = clients.iter().map(|client| frames(what, client)).collect();
            self.row(&name, || bench.measure(&asked))?;
        }
        Ok(())
    }

    /// Measures one request of IPv4, each for something else, so that nothing asked for is in a cache.
    pub fn lookups(&mut self, name: &str, app: &impl App, target: impl Fn(u32) -> String) -> anyhow::Result<()> {
        let engine = engine(Family::V4, Offload::default(), false, app)?;
        let fetches = clients(Family::V4, &target, |ends, target| Fetch::new(&engine, NOW, ends, target))?;
        let mut bench = Bench::new(engine, false, self.args.each);
        self.row(name, || bench.measure_at_random(&fetches, &target))
    }

    fn row(&mut self, name: &str, measure: impl FnOnce() -> Cost) -> anyhow::Result<()> {
        if !self.wants(name) {
            return Ok(());
        }
        let cost = measure();
        let mut out = io::stdout();
        let Cost { best_ns, median_ns, p99_ns, cycles, instructions } = cost;
        if self.args.json {
            let row = serde_json::to_string(&Row { name, cost })?;
            write!(out, "{}\n  {row}", if self.rows == 0 { "" } else { "," })
        } else {
            let count = |count: Option<f64>| count.map_or("-".to_owned(), |count| format!("{count:.0}"));
            let (cycles, instructions) = (count(cycles), count(instructions));
            writeln!(out, "{name:<32} {best_ns:>9.1} {median_ns:>9.1} {p99_ns:>9.1} {cycles:>9} {instructions:>12}")
        }
        .printed()?;
        self.rows += 1;
        out.flush().printed()
    }

    /// Prints the end. An error where no row was asked for.
    pub fn end(&self) -> anyhow::Result<()> {
        if self.args.json {
            writeln!(io::stdout(), "\n]").printed()?;
        }
        if self.rows == 0 { Err(anyhow!("no row has {:?} in its name", self.args.only)) } else { Ok(()) }
    }
}

/// What a client sends in a row of this name.
fn frames(what: &str, fetch: &Fetch) -> Vec<Vec<u8>> {
    match what {
        "SYN" => vec![fetch.syn.clone()],
        "ACK" => vec![fetch.ack.clone()],
        "GET" => vec![fetch.get.clone()],
        "FIN" => vec![fetch.fin.clone()],
        "ARP" => vec![Arp::request(&Family::V4.ends(1)).frame()],
        "garbage" => vec![[&fetch.syn[..14], &[0xa5; 60]].concat()],
        _ => fetch.frames().map(<[u8]>::to_vec).to_vec(),
    }
}

/// What a client sends in a row of this name, on a connection that stays open.
fn kept_frames(what: &str, fetch: &KeptFetch) -> Vec<Vec<u8>> {
    let frame = match what {
        "kept first GET" => &fetch.first,
        "kept FIN" => &fetch.fin,
        "kept probe" => &fetch.probe,
        _ => &fetch.get,
    };
    vec![frame.clone()]
}

#[cfg(test)]
mod tests {
    use lethe_sim::sample::Sample;

    use super::*;

    #[test]
    fn paths_whose_responses_are_longer_than_a_segment_are_left_out() {
        let sample = Sample::new(100_000);
        let paths =
            |all: &[&str]| of_one_segment(&sample, &all.iter().map(|&path| path.to_owned()).collect::<Vec<_>>());
        assert_eq!(paths(&["/100", "/50000", "/7"]).unwrap(), ["/100", "/7"]);
        let error = paths(&["/50000", "/60000"]).unwrap_err().to_string();
        assert_eq!(error, "no response to /50000, /60000 fits one segment: --path");
    }
}
