//! `lethe bench`: what a packet costs the engine, without any port.

mod data;
mod measure;

use std::io::{self, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::anyhow;
use lethe::config::{Addresses, Config};
use lethe::cookie::Secret;
use lethe::port::Offload;
use lethe::{Engine, time::Instant};
use lethe_sim::fetch::Fetch;
use lethe_sim::frame::{Arp, Ends};

use data::Data;
use measure::{Bench, Cost};
use serde::Serialize;

use crate::app::Application;
use crate::note;
use crate::print::Printed as _;

#[derive(clap::Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Args {
    /// How long each row is measured
    #[arg(long, value_name = "TIME", default_value = "300ms", value_parser = parse_duration)]
    each: Duration,
    /// Only rows that have this in their name
    #[arg(long, value_name = "WORD", default_value = "")]
    only: String,
    /// The largest table of exam results that a page is looked up in
    #[arg(long, value_name = "MEGABYTES", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=8192))]
    data: u32,
    /// Print JSON: an array of rows
    #[arg(long)]
    json: bool,
}

const EXAMPLE: &str = "\
Each packet is one of 256 clients, and its reply is written into a buffer as a card has them. Times are
of one packet, in the mean over 64 that are measured together: the best of these, the middle, and the
one that 1 % are above. Where the machine counts cycles and instructions, they are shown. A fetch is all
five packets of a client: SYN, ACK, request, ACK, FIN. \"card\" says that a network card does the checksums.

Example:
  lethe bench
  lethe bench --only fetch --each 2s
  lethe bench --only table --data 4096";

/// Everybody comes at this time.
const NOW: Instant = Instant::from_unix_seconds(1_700_000_000);

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
pub(crate) fn bench(args: &Args) -> anyhow::Result<()> {
    let mut report = Report { args, rows: 0 };
    report.begin()?;
    for family in [Family::V4, Family::V6] {
        for by_card in [false, true] {
            packets(&mut report, family, by_card)?;
        }
    }
    tables(&mut report)?;
    report.end()
}

#[derive(Clone, Copy)]
enum Family {
    V4,
    V6,
}

impl Family {
    /// The ends of client `number`, each of whom has an address of its own.
    fn ends(self, number: u32) -> Ends {
        let spread = number.wrapping_mul(0x9e37_79b9);
        let [_, a, b, c] = spread.to_be_bytes();
        let port = 32_768 + (number % 28_000) as u16;
        let (client, server): (SocketAddr, SocketAddr) = match self {
            Self::V4 => {
                let client = Ipv4Addr::new(10, a, b, c.clamp(1, 254));
                ((client, port).into(), (Ipv4Addr::new(192, 0, 2, 1), 80).into())
            }
            Self::V6 => {
                let client = Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, (spread >> 16) as u16, spread as u16 | 1);
                ((client, port).into(), (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1), 80).into())
            }
        };
        Ends::between(client, server)
    }
}

fn engine(family: Family, offload: Offload, app: Application) -> anyhow::Result<Engine<Application>> {
    let mut addresses = Addresses::new();
    addresses.add(family.ends(0).server.ip())?;
    Ok(Engine::new(Config { addresses, offload, ..Config::new(Secret::new([7; 16])) }, app))
}

/// What the packets of clients cost who ask for `target`.
fn clients(engine: &Engine<Application>, family: Family, target: impl Fn(u32) -> String) -> anyhow::Result<Vec<Fetch>> {
    let fetch = |number| {
        let target = target(number);
        Fetch::new(engine, NOW, &family.ends(number), &target)
            .map_err(|verdict| anyhow!("{target} was answered with: {verdict}"))
    };
    (0..CLIENTS).map(fetch).collect()
}

/// The rows of one family, whose checksums are the processor's business or that of a card.
fn packets(report: &mut Report<'_>, family: Family, by_card: bool) -> anyhow::Result<()> {
    let name = |what: &str| match (family, by_card) {
        (Family::V4, false) => format!("IPv4 {what}"),
        (Family::V4, true) => format!("IPv4 card {what}"),
        (Family::V6, false) => format!("IPv6 {what}"),
        (Family::V6, true) => format!("IPv6 card {what}"),
    };
    let offload = Offload { ipv4: by_card, tcp: by_card };
    for data in [Data::Places, Data::Files, Data::Results { megabytes: 4 }] {
        let rows = match data {
            Data::Places => {
                ["SYN", "ACK", "GET ipinfo", "FIN", "garbage", "fetch ipinfo", "ARP"]
                    .split_at(if matches!(family, Family::V4) { 7 } else { 6 })
                    .0
            }
            Data::Files => ["GET files", "fetch files"].as_slice(),
            Data::Results { .. } => ["GET scores", "fetch scores"].as_slice(),
        };
        if !rows.iter().any(|what| report.wants(&name(what))) {
            continue;
        }
        let engine = engine(family, offload, data.load()?)?;
        let fetches = clients(&engine, family, |number| data.target(number))?;
        let mut bench = Bench::new(engine, by_card, report.args.each);
        for what in rows {
            let packets = |fetch: &Fetch| -> Vec<Vec<u8>> {
                match *what {
                    "SYN" => vec![fetch.syn.clone()],
                    "ACK" => vec![fetch.ack.clone()],
                    "FIN" => vec![fetch.fin.clone()],
                    "ARP" => vec![Arp::request(&Family::V4.ends(1)).frame()],
                    "garbage" => vec![[&fetch.syn[..14], &[0xa5; 60]].concat()],
                    get if get.starts_with("GET") => vec![fetch.get.clone()],
                    _ => fetch.frames().map(<[u8]>::to_vec).to_vec(),
                }
            };
            let asked: Vec<Vec<Vec<u8>>> = fetches.iter().map(packets).collect();
            report.row(&name(what), || bench.measure(&asked))?;
        }
    }
    Ok(())
}

/// How the cost of a page grows with the table that it is looked up in, from what a cache holds to what none does.
fn tables(report: &mut Report<'_>) -> anyhow::Result<()> {
    let sizes = [1, 4, 16, 64, 256, 1024, 4096, 8192].into_iter();
    for megabytes in sizes.filter(|&megabytes| megabytes <= report.args.data) {
        let name = format!("IPv4 GET table of {megabytes} MB");
        if !report.wants(&name) {
            continue;
        }
        let data = Data::Results { megabytes };
        if megabytes >= 256 {
            note(format_args!("making a table of {megabytes} MB"));
        }
        let engine = engine(Family::V4, Offload::default(), data.load()?)?;
        let fetches = clients(&engine, Family::V4, |number| data.target(number))?;
        // Each client asks for another page every time: what it asks for is in no cache because it was asked for before.
        let mut bench = Bench::new(engine, false, report.args.each);
        report.row(&name, || bench.measure_at_random(&fetches, |number| data.target(number)))?;
    }
    Ok(())
}

#[derive(Serialize)]
struct Row<'a> {
    name: &'a str,
    #[serde(flatten)]
    cost: Cost,
}

/// Where rows are printed.
struct Report<'a> {
    args: &'a Args,
    rows: usize,
}

impl Report<'_> {
    fn wants(&self, name: &str) -> bool {
        name.to_lowercase().contains(&self.args.only.to_lowercase())
    }

    fn begin(&self) -> anyhow::Result<()> {
        let mut out = io::stdout();
        if self.args.json {
            write!(out, "[").printed()
        } else {
            writeln!(
                out,
                "{:<28} {:>9} {:>9} {:>9} {:>9} {:>12}",
                "", "best ns", "median", "p99", "cycles", "instructions"
            )
            .printed()
        }
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
            writeln!(out, "{name:<28} {best_ns:>9.1} {median_ns:>9.1} {p99_ns:>9.1} {cycles:>9} {instructions:>12}")
        }
        .printed()?;
        self.rows += 1;
        out.flush().printed()
    }

    fn end(&self) -> anyhow::Result<()> {
        if self.args.json {
            writeln!(io::stdout(), "\n]").printed()?;
        }
        if self.rows == 0 { Err(anyhow!("no row has {:?} in its name", self.args.only)) } else { Ok(()) }
    }
}
