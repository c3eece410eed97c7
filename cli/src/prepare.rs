//! `lethe prepare`: the data files of applications, from the files that others publish.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Context;
use clap::Subcommand;
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use lethe_apps::ipinfo;

use crate::output::Output;

#[derive(clap::Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
#[command(subcommand_value_name = "APP", subcommand_help_heading = "Applications", disable_help_subcommand = true)]
enum What {
    /// The database of `ipinfo`, from an ip2region file: China to the city, elsewhere the country
    #[command(after_help = EXAMPLE)]
    Ipinfo {
        /// ip2region database to read: xdb, version 2
        #[arg(value_name = "IN.xdb")]
        input: PathBuf,
        /// Database to write
        #[arg(value_name = "OUT")]
        output: PathBuf,
    },
}

const EXAMPLE: &str = "\
Example:
  lethe prepare ipinfo ip2region.xdb places.db
  lethe serve --device tap:lethe0,host=10.9.0.1/24 --addr 10.9.0.2 ipinfo --db places.db";

/// Makes one file; the one that was there stays unless all goes well.
pub(crate) fn prepare(args: &Args) -> anyhow::Result<()> {
    match &args.what {
        What::Ipinfo { input, output } => {
            let source = fs::read(input).with_context(|| format!("cannot read {}", input.display()))?;
            let mut file = Output::create(output)?;
            let bar = progress_bar();
            let prepared = ipinfo::prepare(&source, &mut |done, total| {
                bar.set_length(total);
                bar.set_position(done);
            });
            bar.finish_and_clear();
            let prepared = prepared.with_context(|| input.display().to_string())?;
            file.write_all(&prepared.database).with_context(|| format!("cannot write {}", output.display()))?;
            file.finish()?;
            let ipinfo::Prepared { database, segments, ranges, places } = prepared;
            let (output, size) = (output.display(), HumanBytes(database.len() as u64));
            writeln!(io::stdout(), "{output}: {segments} segments made {ranges} ranges of {places} places, {size}")
                .context("standard output")
        }
    }
}

/// A bar on standard error, and nothing at all where that is no terminal.
fn progress_bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} segments, {eta} left");
    ProgressBar::new(0).with_style(style.expect("the template is well-formed"))
}
