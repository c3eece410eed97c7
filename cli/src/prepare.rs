//! `lethe prepare`: makes the data files of applications.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use clap::Subcommand;
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use lethe_apps::ipinfo::{self, Fields};

use crate::files::{self, Contents, SiteArgs};
use crate::progress::Progress;
use crate::scores::{self, SampleArgs, TableArgs};
use lethe_server::output::Output;
use lethe_server::print::Printed as _;
use lethe_server::warn;

#[derive(clap::Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
#[command(subcommand_value_name = "APP", subcommand_help_heading = "Applications", disable_help_subcommand = true)]
enum What {
    /// The image of `files`: a directory, checked and laid out as it is sent
    #[command(after_help = FILES_EXAMPLE)]
    Files {
        /// Directory to read
        #[arg(value_name = "DIR", required_unless_present = "check")]
        directory: Option<PathBuf>,
        /// Image to write
        #[arg(value_name = "OUT", required_unless_present = "check")]
        output: Option<PathBuf>,
        #[command(flatten)]
        site: SiteArgs,
        /// Check every byte of an image, and make none
        #[arg(long, value_name = "IMAGE", exclusive = true)]
        check: Option<PathBuf>,
    },
    /// The database of `ipinfo`, from an ip2region file: China to the city, elsewhere the country
    #[command(after_help = EXAMPLE)]
    Ipinfo {
        /// ip2region database of IPv4 addresses to read: xdb, version 2 or 3
        #[arg(value_name = "IN.xdb")]
        input: PathBuf,
        /// Database to write
        #[arg(value_name = "OUT")]
        output: PathBuf,
        /// The fields of a region in their order, if they are not recognized: `country`, `province`, `city`, and `-`
        /// for any other
        #[arg(long, value_name = "NAMES")]
        fields: Option<Fields>,
    },
    /// The file of `scores`, from the board's table: dBASE, CSV, or lines of `seat_id_html`
    #[command(after_help = scores::EXAMPLE)]
    Scores(Box<TableArgs>),
    /// A table of fictitious candidates, to try `scores` with
    #[command(after_help = scores::SAMPLE_EXAMPLE)]
    ScoresSample(SampleArgs),
}

const EXAMPLE: &str = "\
Example:
  lethe prepare ipinfo ip2region.xdb places.db
  lethe serve --device tap:lethe0,host=10.9.0.1/24 --addr 10.9.0.2 ipinfo --db places.db";

const FILES_EXAMPLE: &str = "\
The old image stays until the new one is complete: a server that has it mapped is not disturbed, and
takes the new one when it is sent SIGHUP.

Example:
  lethe prepare files public site.image
  lethe serve --device tap:lethe0,host=10.9.0.1/24 --addr 10.9.0.2 files site.image";

/// Makes one file. An existing file is replaced only on success.
pub(crate) fn prepare(args: &Args) -> anyhow::Result<()> {
    match &args.what {
        What::Files { check: Some(image), .. } => {
            let opened = files::open(image, Progress::Shown)?;
            writeln!(io::stdout(), "{} is in order: {}", image.display(), Contents(&opened)).printed()
        }
        What::Files { directory, output, site, check: None } => {
            let (directory, output) = directory.as_deref().zip(output.as_deref()).context("no DIR or no OUT")?;
            prepare_files(directory, output, site)
        }
        What::Scores(table) => table.prepare(),
        What::ScoresSample(sample) => sample.write(),
        What::Ipinfo { input, output, fields } => {
            let source = fs::read(input).with_context(|| format!("cannot read {}", input.display()))?;
            let mut file = Output::create(output)?;
            let bar = progress_bar();
            let prepared = ipinfo::prepare(&source, *fields, &mut |done, total| {
                bar.set_length(total);
                bar.set_position(done);
            });
            bar.finish_and_clear();
            let prepared = prepared.with_context(|| input.display().to_string())?;
            file.write_all(&prepared.database).with_context(|| format!("cannot write {}", output.display()))?;
            file.finish()?;
            let named = fields;
            let ipinfo::Prepared { database, segments, ranges, places, fields } = prepared;
            if named.is_some_and(|named| named != fields) {
                let why = "no region of China (中国, 中國, China, CN) has a province or a city in the fields named";
                warn(format_args!("{}: only countries are kept: {why}", input.display()));
            }
            let (output, size) = (output.display(), HumanBytes(database.len() as u64));
            writeln!(
                io::stdout(),
                "{output}: {segments} segments of {fields} made {ranges} ranges of {places} places, {size}"
            )
            .printed()
        }
    }
}

fn prepare_files(directory: &Path, output: &Path, site: &SiteArgs) -> anyhow::Result<()> {
    let mut file = Output::create(output)?;
    let within = fs::canonicalize(directory).with_context(|| format!("cannot read {}", directory.display()))?;
    let (from, to) = (directory.display(), output.display());
    ensure!(!file.is_within(&within), "{to} is within {from}, and would be a part of itself: write it elsewhere");
    let summary = files::prepare(directory, site, &mut file)?;
    file.finish()?;
    writeln!(io::stdout(), "{to}: {summary}").printed()
}

/// A progress bar on standard error, hidden if that is not a terminal.
fn progress_bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} segments, {eta} left");
    ProgressBar::new(0).with_style(style.expect("the template is well-formed"))
}
