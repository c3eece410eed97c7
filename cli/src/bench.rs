//! `lethe bench`: what a packet costs the engine, for an application, or for data sets made on the spot.

use lethe_server::bench::{BenchArgs, PACKETS, Report};
use lethe_server::note;

use crate::app::AppArgs;
use crate::bench_data::Dataset;

#[derive(clap::Args)]
#[command(after_help = format!("{}\n\n{EXAMPLE}", lethe_server::bench::ABOUT))]
pub(crate) struct Args {
    #[command(flatten)]
    bench: BenchArgs,
    /// The largest table of exam results that a page is looked up in
    #[arg(long, value_name = "MEGABYTES", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=8192))]
    data: u32,
    /// What clients ask APP for; repeat it for more
    #[arg(long, value_name = "PATH", default_value = "/")]
    path: Vec<String>,
    #[command(subcommand)]
    app: Option<AppArgs>,
}

const EXAMPLE: &str = "\
Without APP the data is made on the spot: places, a thousand files, exam results.

Example:
  lethe bench
  lethe bench --only fetch --each 2s
  lethe bench --only table --data 4096
  lethe bench --path /index.html files public";

/// Measures everything that is asked for, and prints each row when it is known.
pub(crate) fn bench(args: &Args) -> anyhow::Result<()> {
    let mut report = Report::begin(&args.bench)?;
    if let Some(app) = &args.app {
        let target = |number: u32| args.path[number as usize % args.path.len()].clone();
        report.packets(app.name(), &PACKETS, || app.load(), target)?;
        return report.end();
    }
    report.packets("ipinfo", &PACKETS, || Dataset::Places.load(), |number| Dataset::Places.target(number))?;
    for (name, data) in [("files", Dataset::Files), ("scores", Dataset::Results { megabytes: 4 })] {
        report.packets(name, &["GET", "fetch"], || data.load(), |number| data.target(number))?;
    }
    tables(&mut report, args.data)?;
    report.end()
}

/// How the cost of a page grows with the table that it is looked up in, from what a cache holds to what none does.
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
        // Each client asks for another page every time: what it asks for is in no cache because it was asked for before.
        report.lookups(&name, &data.load()?, |number| data.target(number))?;
    }
    Ok(())
}
