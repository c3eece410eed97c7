//! `lethe prepare`: makes the data files of applications.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use clap::Subcommand;
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use lethe_apps::ipinfo::{self, Fields, Language, Source};

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
        /// Directory to read, which may be left out where there are sites
        #[arg(value_name = "DIR", required_unless_present_any = ["check", "sites"])]
        directory: Option<PathBuf>,
        /// Image to write
        #[arg(value_name = "OUT", required_unless_present_any = ["check", "sites"])]
        output: Option<PathBuf>,
        #[command(flatten)]
        site: SiteArgs,
        /// Check every byte of an image, and make none
        #[arg(long, value_name = "IMAGE", exclusive = true)]
        check: Option<PathBuf>,
    },
    /// The database of `ipinfo`, from MaxMind DB files and those of ip2region
    #[command(after_help = EXAMPLE)]
    Ipinfo(PlacesArgs),
    /// The file of `scores`, from the board's table: dBASE, CSV, or lines of `seat_id_html`
    #[command(after_help = scores::EXAMPLE)]
    Scores(Box<TableArgs>),
    /// A table of fictitious candidates, to try `scores` with
    #[command(after_help = scores::SAMPLE_EXAMPLE)]
    ScoresSample(SampleArgs),
}

/// Sources of `ipinfo`, and what is kept of them.
#[derive(clap::Args)]
struct PlacesArgs {
    /// Files to read, each with addresses of IPv4, IPv6 or both: MaxMind DB (.mmdb), ip2region (.xdb, version 2 or 3),
    /// or its lines of text. Where several say where an address is, or whose it is, the first of them counts
    #[arg(value_name = "IN", required = true)]
    inputs: Vec<PathBuf>,
    /// Database to write
    #[arg(value_name = "OUT", required = true)]
    output: PathBuf,
    /// The fields of a region of ip2region in their order, if they are not recognized: `country`, `province`, `city`,
    /// `code`, `carrier`, and `-` for any other
    #[arg(long, value_name = "NAMES")]
    fields: Option<Fields>,
    /// Of ip2region, keep provinces and cities of China alone, which makes the database smaller
    #[arg(long)]
    only_china: bool,
    /// The languages that names are kept in, the first one for clients that prefer none: of `en`, `zh`, `de`, `es`,
    /// `fr`, `ja`, `pt` and `ru` [default: those of the files, and `en` and `zh` for countries]
    #[arg(long, value_name = "TAGS", value_delimiter = ',')]
    languages: Vec<Language>,
}

const EXAMPLE: &str = "\
Examples:
  lethe prepare ipinfo ip2region_v4.xdb ip2region_v6.xdb places.db
  lethe prepare ipinfo --languages en,de GeoLite2-City.mmdb GeoLite2-ASN.mmdb places.db
  lethe serve --device tap:lethe0,host=10.9.0.1/24 --addr 10.9.0.2 ipinfo --db places.db";

const FILES_EXAMPLE: &str = "\
The old image stays until the new one is complete: a server that has it mapped is not disturbed, and
takes the new one when it is sent SIGHUP.

Example:
  lethe prepare files public site.image
  lethe prepare files --site example.org=public --site '*.example.org=other' site.image
  lethe serve --device tap:lethe0,host=10.9.0.1/24 --addr 10.9.0.2 files site.image";

/// Makes one file. An existing file is replaced only on success.
pub(crate) fn prepare(args: &Args) -> anyhow::Result<()> {
    match &args.what {
        What::Files { check: Some(image), .. } => {
            let opened = files::open(image, Progress::Shown)?;
            writeln!(io::stdout(), "{} is in order: {}", image.display(), Contents(&opened)).printed()
        }
        What::Files { directory, output, site, check: None } => {
            // One path alone is that of the image.
            let (directory, output) = match (directory, output) {
                (Some(directory), Some(output)) => (Some(directory.as_path()), output),
                (Some(output), None) if site.has_sites() => (None, output),
                _ => bail!("no OUT to write the image to"),
            };
            prepare_files(directory, output, site)
        }
        What::Scores(table) => table.prepare(),
        What::ScoresSample(sample) => sample.write(),
        What::Ipinfo(places) => places.prepare(),
    }
}

impl PlacesArgs {
    fn prepare(&self) -> anyhow::Result<()> {
        let mut file = Output::create(&self.output)?;
        let sources = self.inputs.iter().map(|input| self.read(input)).collect::<anyhow::Result<Vec<_>>>()?;
        let bar = progress_bar();
        let prepared = ipinfo::prepare(&sources, &self.languages, &mut |done, total| {
            bar.set_length(total);
            bar.set_position(done);
        });
        bar.finish_and_clear();
        let ipinfo::Prepared { database, ranges, ranges_v6, places } = prepared?;
        file.write_all(&database).with_context(|| format!("cannot write {}", self.output.display()))?;
        file.finish()?;
        let (output, size) = (self.output.display(), HumanBytes(database.len() as u64));
        writeln!(io::stdout(), "{output}: {ranges} ranges of IPv4 and {ranges_v6} of IPv6, {places} places, {size}")
            .printed()
    }

    /// Reads a file, and says what was found in it.
    fn read(&self, input: &Path) -> anyhow::Result<Source> {
        let bytes = fs::read(input).with_context(|| format!("cannot read {}", input.display()))?;
        let source = Source::read(&bytes, self.fields, self.only_china).with_context(|| input.display().to_string())?;
        let (name, count) = (input.display(), source.len());
        match source.fields() {
            Some(fields) => {
                if self.fields.is_some_and(|named| named.to_string() != fields.to_string()) {
                    let of = if self.only_china { "region of China (中国, 中國, China, CN)" } else { "region" };
                    let why = format_args!("no {of} has a province or a city in the fields named");
                    warn(format_args!("{name}: only countries are kept: {why}"));
                }
                writeln!(io::stdout(), "{name}: {count} segments of {fields}").printed()?;
            }
            None => writeln!(io::stdout(), "{name}: {count} networks").printed()?,
        }
        Ok(source)
    }
}

fn prepare_files(others: Option<&Path>, output: &Path, site: &SiteArgs) -> anyhow::Result<()> {
    let sites = site.sites(others)?;
    let mut file = Output::create(output)?;
    let to = output.display();
    for directory in sites.directories() {
        let from = directory.display();
        let within = fs::canonicalize(directory).with_context(|| format!("cannot read {from}"))?;
        ensure!(!file.is_within(&within), "{to} is within {from}, and would be a part of itself: write it elsewhere");
    }
    let summary = files::prepare(&sites, site, &mut file)?;
    file.finish()?;
    writeln!(io::stdout(), "{to}: {summary}").printed()
}

/// A progress bar on standard error, hidden if that is not a terminal.
fn progress_bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} ranges, {eta} left");
    ProgressBar::new(0).with_style(style.expect("the template is well-formed"))
}
