//! `lethe bench`: what a packet costs the engine, with an application of the command line or with generated data sets.

use lethe_server::bench::{BenchArgs, PACKETS, Report};
use lethe_server::{note, parse_path};

use crate::app::AppArgs;
use crate::bench_data::{Dataset, LONG_FILE};

#[derive(clap::Args)]
#[command(after_help = format!("{}\n\n{EXAMPLE}", lethe_server::bench::ABOUT))]
pub(crate) struct Args {
    #[command(flatten)]
    bench: BenchArgs,
    /// The largest table of exam results that a page is looked up in
    #[arg(long, value_name = "MEGABYTES", default_value_t = 256)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=8192))]
    data: u32,
    /// Path that clients request from APP; repeat it for several
    #[arg(long, value_name = "PATH", default_value = "/", value_parser = parse_path)]
    path: Vec<String>,
    #[command(subcommand)]
    app: Option<AppArgs>,
}

const EXAMPLE: &str = "\
Without APP the data is generated: places, a thousand short files and a long one, a thousand rules
with a short answer each and one that redirects the rest to HTTPS, exam results.

Example:
  lethe bench
  lethe bench --only fetch --each 2s
  lethe bench --only kept
  lethe bench --only table --data 4096
  lethe bench --path /index.html files public";

/// Runs the selected measurements, and prints each row when it is known.
pub(crate) fn bench(args: &Args) -> anyhow::Result<()> {
    let mut report = Report::begin(&args.bench)?;
    if let Some(app) = &args.app {
        let target = |number: u32| args.path[number as usize % args.path.len()].clone();
        report.packets(app.name(), &PACKETS, &app.load()?, target)?;
        return report.end();
    }
    let of_requests: &[&str] = &["GET", "fetch", "kept GET"];
    for (name, rows, data) in [
        ("ipinfo", &PACKETS[..], Dataset::Places),
        ("files", of_requests, Dataset::Files),
        ("respond", of_requests, Dataset::Rules),
        ("redirect", of_requests, Dataset::Redirects),
        ("scores", of_requests, Dataset::Results { megabytes: 4 }),
    ] {
        if report.wants_packets(name, rows) {
            report.packets(name, rows, &data.load()?, |number| data.target(number))?;
        }
    }
    if report.wants_long("files") {
        report.long("files", &Dataset::Files.load()?, &Dataset::Files.target(0), LONG_FILE)?;
    }
    tables(&mut report, args.data)?;
    report.end()
}

/// Measures the cost of a page in tables of growing size, from one that fits the cache to one that fits none.
fn tables(report: &mut Report<'_>, largest: u32) -> anyhow::Result<()> {
    for megabytes in [1, 4, 16, 64, 256, 1024, 4096, 8192].into_iter().filter(|&megabytes| megabytes <= largest) {
        let name = format!("IPv4 GET table of {megabytes} MB");
        if !report.wants(&name) {
            continue;
        }
        let data = Dataset::Results { megabytes };
        if megabytes >= 256 {
            note(format_args!("making a table of {megabytes} MB"));
        }
        // Clients request other pages every time, so that no page is cached by an earlier request.
        report.lookups(&name, &data.load()?, |number| data.target(number))?;
    }
    Ok(())
}
