//! Large replies, from Lethe and from nginx.

mod measurements;
mod resent;
mod table;
mod times;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{bail, ensure};
use clap::ValueEnum;
use lethe_sim::link::Rate;
use lethe_testnet::{V4, V6, janitor};
use tempfile::TempDir;

use self::table::Table;
use crate::networks::Networks;
use crate::programs;
use crate::shared::Queue;

const ABOUT: &str = "\
Measures large replies with curl, from Lethe and from nginx, and checks every byte of them.

Each row is a number of downloads, 20 at a time, each compared with what was to come; of `times` one at a time, from
each server by turns. Everything runs in network namespaces that are made for it and removed at the end, also after
Ctrl-C. The network is that of `lethe serve --impair`. Where nginx is measured too, both are behind the same one, by way
of sim/examples/relay.rs: each frame is one segment, and meets the same delay, loss and queue.

`times` measures a table of 22 rows in half an hour, and writes it into docs/performance.md, with charts into
docs/charts. With --rtt, --loss or --size it measures all combinations of these, and writes them where --out says.

`resent` counts, in what a client's device has recorded, what Lethe sends again where nothing is lost, in 100 downloads
of 1 MB and 10 of 10 MB for each of six round trips: half an hour, or an hour with --before.";

const EXAMPLE: &str = "\
Examples:
  cargo xtask large loss --server lethe --family v4
  cargo xtask large times
  cargo xtask large times --rtt 20,100 --loss 0,1 --size 1000000 --count 5
  cargo xtask large times --rate 10mbit --queue 1bdp --loss 0
  cargo xtask large resent --rtt 100 --size 1000000 --count 20
  cargo xtask large clients --case no-sack --scale 0.1
  cargo xtask large loss --impair loss=10%,delay=50ms";

/// A network with loss, and a seed.
pub(crate) const LOSSY: &str = "loss=5%,delay=20ms,seed=7";

#[derive(clap::Args)]
#[command(long_about = ABOUT, after_help = EXAMPLE)]
pub(crate) struct Args {
    /// What to measure, one after the other
    #[arg(required = true)]
    measurement: Vec<Measurement>,
    /// Only this server; repeat it for more
    #[arg(long)]
    server: Vec<Server>,
    /// Only this family
    #[arg(long)]
    family: Vec<Family>,
    /// Only replies of this size, where there are several: 14000, 100000, 1000000; of times and resent any
    #[arg(long, value_name = "BYTES", value_delimiter = ',')]
    size: Vec<usize>,
    /// Round trips of times and resent, in milliseconds (20, if others are given)
    #[arg(long, value_name = "MS", value_delimiter = ',')]
    rtt: Vec<u32>,
    /// Percent of frames that times has lost each way (0,1,5)
    #[arg(long, value_name = "PERCENT", value_delimiter = ',')]
    loss: Vec<f64>,
    /// A bottleneck of times, each way, as in 10mbit
    #[arg(long, value_name = "RATE", value_parser = crate::shared::parse_rate)]
    rate: Option<Rate>,
    /// What waits before it, as in 1bdp, 100ms or 50, which is frames
    #[arg(long, value_name = "QUEUE", default_value = "1bdp", requires = "rate")]
    queue: Queue,
    /// Another `lethe` that times and resent put beside, as a command: "old/lethe --ceiling=16"
    #[arg(long, value_name = "COMMAND")]
    before: Option<String>,
    /// Downloads of each row of times (10) and resent
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    count: Option<u16>,
    /// What losses of times are drawn from
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Where the report of times goes (docs, if all of the table is measured)
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Only this kind of client of `clients`
    #[arg(long)]
    case: Vec<Case>,
    /// So many times the usual number of downloads
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0)]
    scale: f64,
    /// The network of loss, clients and spread
    #[arg(long, value_name = "LIST", default_value = LOSSY)]
    impair: String,
    /// One more option for `lethe serve`, as in --option=--ceiling=16
    #[arg(long, value_name = "OPTION", allow_hyphen_values = true)]
    option: Vec<String>,
    /// What nginx's kernel is to use
    #[arg(long, value_name = "NAME", default_value = "cubic")]
    congestion_control: String,
    /// How often restart kills the server
    #[arg(long, value_name = "N", default_value_t = 2)]
    kills: usize,
    /// How long slow reads
    #[arg(long, value_name = "N", default_value_t = 360)]
    seconds: u32,
    /// When curl gives up
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    longest: u32,
    /// The client's kernel keeps no round-trip times for its next connection
    #[arg(long)]
    forgetful: bool,
    /// Print the counters of lethe as well
    #[arg(long)]
    counters: bool,
    /// Write there what passes each TAP, and keep it
    #[arg(long, value_name = "DIR")]
    capture: Option<PathBuf>,
    /// Take what was built before
    #[arg(long)]
    no_build: bool,
    /// Take what was built there
    #[arg(long, value_name = "DIR")]
    binaries: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Measurement {
    /// Nothing lost: the segments that 10 MB take, on the TAP and by the server's counters
    Minimal,
    /// Nothing lost: 1 GB from `lethe serve files`
    Gigabyte,
    /// Nothing lost: how fast, next to nginx
    Throughput,
    /// 5 % lost both ways, 20 ms each way: 200 x 14 kB, 100 x 100 kB, 20 x 1 MB, next to nginx
    Loss,
    /// One download at a time, by round trip, loss and size, next to nginx with cubic and with bbr
    Times,
    /// Nothing lost: what is sent again, and timers of the client that expire, for round trips of 5 to 300 ms
    Resent,
    /// Clients on that network without timestamps, without SACK, with small MTUs, without window scaling
    Clients,
    /// kill -9 and a new server in the middle of 50 downloads of 10 MB
    Restart,
    /// Two servers behind one address, each packet to one of them by chance
    Spread,
    /// SIGHUP with changed files in the middle of 50 downloads of 10 MB
    Reload,
    /// 2 MB that curl takes some 6 minutes to read, with timestamps and without
    Slow,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Server {
    Lethe,
    Nginx,
}

impl Server {
    fn name(self) -> &'static str {
        match self {
            Self::Lethe => "lethe",
            Self::Nginx => "nginx",
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Family {
    V4,
    V6,
}

impl Family {
    fn name(self) -> &'static str {
        match self {
            Self::V4 => "v4",
            Self::V6 => "v6",
        }
    }

    fn base(self) -> &'static str {
        match self {
            Self::V4 => V4,
            Self::V6 => V6,
        }
    }

    /// The most data in a segment to a client with an MTU of 1500 and timestamps.
    fn mss(self) -> usize {
        match self {
            Self::V4 => 1448,
            Self::V6 => 1428,
        }
    }
}

/// The TCP features that a client's kernel has switched off.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Case {
    AsIs,
    NoTimestamps,
    NoSack,
    #[value(name = "mtu-576")]
    Mtu576,
    #[value(name = "mtu-1280")]
    Mtu1280,
    NoWindowScaling,
}

/// All that a measurement needs to know.
struct Lab<'a> {
    args: &'a Args,
    networks: Networks,
    work: TempDir,
}

impl Lab<'_> {
    fn servers(&self) -> Vec<Server> {
        if self.args.server.is_empty() { vec![Server::Lethe, Server::Nginx] } else { self.args.server.clone() }
    }

    fn families(&self) -> Vec<Family> {
        if self.args.family.is_empty() { vec![Family::V4, Family::V6] } else { self.args.family.clone() }
    }

    /// So many times the usual number, and at least `least`.
    #[expect(clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "numbers of downloads")]
    fn scaled(&self, count: usize, least: usize) -> usize {
        ((count as f64 * self.args.scale).round() as usize).max(least)
    }
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    ensure!(args.scale > 0.0, "--scale: want a number above 0");
    let takes_any_size = |one: &Measurement| matches!(one, Measurement::Times | Measurement::Resent);
    for size in args.size.iter().filter(|_| !args.measurement.iter().all(takes_any_size)) {
        ensure!(measurements::COUNTS.iter().any(|(known, _)| known == size), "--size: want 14000, 100000 or 1000000");
    }
    programs::need_root()?;
    programs::need(&[("ip", "iproute2"), ("curl", "curl"), ("nginx", "nginx-light"), ("ethtool", "ethtool")])?;
    let records = |one: &Measurement| matches!(one, Measurement::Minimal | Measurement::Resent);
    if args.capture.is_some() || args.measurement.iter().any(records) {
        programs::need(&[("tcpdump", "tcpdump")])?;
    }
    if args.binaries.is_none() && !args.no_build {
        programs::build(&["-p lethe-httpd", "-p lethe-sim --example relay"])?;
    }
    let release = args.binaries.clone().unwrap_or_else(programs::release);
    let mut networks = Networks::new(release.join("lethe"), release.join("examples/relay"));
    networks.options.clone_from(&args.option);
    networks.forgetful = args.forgetful;
    networks.congestion_control.clone_from(&args.congestion_control);
    networks.captures.clone_from(&args.capture);
    let lab = Lab { args, networks, work: janitor::folder("large")? };
    let mut table = Table::default();
    for &measurement in &args.measurement {
        let start = Instant::now();
        lab.measure(measurement, &mut table)?;
        let name = measurement.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned());
        println!("({name}: {:.0} s)", start.elapsed().as_secs_f64());
    }
    if table.wrong > 0 {
        bail!("{} were not as they should be", table.wrong);
    }
    println!("\nall equal");
    Ok(())
}
