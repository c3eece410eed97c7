//! The file of the application `scores`: made from a table, or opened.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use anyhow::{Context, anyhow, ensure};
use clap::ValueEnum;
use indicatif::{HumanBytes, HumanCount};
use lethe_apps::scores::{
    Format, Image, Labels, Options, PAGE_MAX, PrepareObserver, Prepared, Reject, Warning, encoding, prepare,
    write_sample,
};

use crate::map::{Pages, map};
use crate::progress::{Meter, Progress, counted};
use lethe_server::output::Output;
use lethe_server::print::Printed as _;
use lethe_server::{note, warn};

/// The most rejected rows that warnings name one by one. The report names all.
const WARNINGS_MAX: u64 = 10;

/// The file to serve.
#[derive(Clone, clap::Args)]
pub(crate) struct ScoresArgs {
    /// File made by `lethe prepare scores`
    #[arg(value_name = "FILE")]
    path: PathBuf,
}

impl ScoresArgs {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the file, and checks its index. Each page is checked when it is requested; meanwhile a thread reads all of
    /// them, and warns if one is damaged.
    pub(crate) fn load(&self, progress: Progress) -> anyhow::Result<Arc<Image>> {
        let image = Arc::new(open(&self.path)?);
        if progress == Progress::Shown {
            note(format_args!("{}: {}", self.path.display(), Candidates(&image)));
        }
        let (reader, name) = (Arc::clone(&image), self.path.display().to_string());
        let read = move || {
            if let Err(error) = reader.check_records(&mut |_, _| ()) {
                warn(format_args!("{name} is {error}"));
            }
        };
        thread::Builder::new().name("check".to_owned()).spawn(read).context("there is no thread to read in")?;
        Ok(image)
    }
}

fn open(path: &Path) -> anyhow::Result<Image> {
    let name = path.display();
    let file = File::open(path).with_context(|| format!("cannot open {name}"))?;
    ensure!(file.metadata()?.is_file(), "{name} is no file: `lethe prepare scores` makes one");
    let bytes = map(&file, Pages::WhenUsed).with_context(|| format!("cannot map {name}"))?;
    Image::open(bytes).with_context(|| name.to_string())
}

/// A summary of a file, for messages.
pub(crate) struct Candidates<'a>(pub(crate) &'a Image);

impl fmt::Display for Candidates<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", counted(self.0.candidates().into(), "candidate"), HumanBytes(self.0.len()))
    }
}

/// The table, and how its file is made.
#[derive(clap::Args)]
pub(crate) struct TableArgs {
    /// Table to read
    #[arg(value_name = "IN", required_unless_present = "check")]
    input: Option<PathBuf>,
    /// File to write
    #[arg(value_name = "OUT", required_unless_present = "check")]
    output: Option<PathBuf>,
    /// Field with the seat number
    #[arg(long, value_name = "NAME")]
    id_field: Option<String>,
    /// Field with a secret of the candidate: an identity number, or better a code of ten characters
    #[arg(long, value_name = "NAME")]
    secret_field: Option<String>,
    /// Format of the table, if it does not follow from the name of the file
    #[arg(long, value_enum)]
    format: Option<TableFormat>,
    /// Encoding of its text, if the table does not say it: gbk, utf-8, latin1
    #[arg(long, value_name = "NAME", value_parser = parse_encoding)]
    encoding: Option<&'static encoding_rs::Encoding>,
    /// HTML template of a page, with {{FIELD}} for a field and {{*}} for rows of all others; without it, a plain table
    #[arg(long, value_name = "FILE")]
    template: Option<PathBuf>,
    /// Title of the form and of the pages
    #[arg(long, default_value = "", hide_default_value = true)]
    title: String,
    /// Label of the seat number in the form
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    id_label: String,
    /// Label of the secret in the form
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    secret_label: String,
    /// File for the list of rows that cannot be used, instead of OUT.rejects
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,
    /// Stop at the first row that cannot be used, and at the first number that a spreadsheet has damaged
    #[arg(long)]
    strict: bool,
    /// Check every byte of a file, and make none
    #[arg(long, value_name = "FILE", exclusive = true)]
    check: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum TableFormat {
    /// dBASE III and IV, Clipper, `FoxPro`, Visual `FoxPro`
    Dbf,
    /// Values with commas, semicolons, tabs or bars between them, names in the first line
    Csv,
    /// `seat_id_html`, a line for each candidate
    Text,
}

pub(crate) const EXAMPLE: &str = "\
The old file stays until the new one is complete: a server that has it mapped is not disturbed, and
takes the new one when it is sent SIGHUP.

Example:
  lethe prepare scores-sample --candidates 400000 scores.dbf
  lethe prepare scores --id-field 准考证号 --secret-field 身份证号 scores.dbf scores.lethe
  lethe serve --device tap:lethe0,host=10.9.0.1/24 --addr 10.9.0.2 scores scores.lethe";

impl TableArgs {
    /// Makes one file. An existing file is replaced only on success.
    pub(crate) fn prepare(&self) -> anyhow::Result<()> {
        let (input, output) = match (&self.check, &self.input, &self.output) {
            (Some(path), ..) => return check(path),
            (None, Some(input), Some(output)) => (input, output),
            _ => unreachable!("clap requires both"),
        };
        let format = self.format(input)?;
        let options = self.options(format)?;
        let table = File::open(input).with_context(|| format!("cannot open {}", input.display()))?;
        let len = table.metadata()?.len();
        let mut file = Output::create(output)?;
        let report = self.rejects.clone().unwrap_or_else(|| {
            let mut name = output.clone().into_os_string();
            name.push(".rejects");
            name.into()
        });
        let mut reporter = PrepareReporter::new(len, report);
        let made = prepare(format, BufReader::with_capacity(1 << 20, table), len, &options, &mut file, &mut reporter);
        let (_, prepared) = made.with_context(|| input.display().to_string())?;
        file.finish()?;
        reporter.finish()?;
        let size = fs::metadata(output).map_or(0, |metadata| metadata.len());
        let summary = Summary { output, prepared: &prepared, size };
        write!(io::stdout(), "{summary}").printed()
    }

    fn format(&self, input: &Path) -> anyhow::Result<Format> {
        let format = self.format.or_else(|| TableFormat::of_name(input));
        let name = input.display();
        Ok(match format.with_context(|| format!("{name} may be anything: add --format dbf, csv or text"))? {
            TableFormat::Dbf => Format::Dbf,
            TableFormat::Csv => Format::Csv,
            TableFormat::Text => Format::Lines,
        })
    }

    fn options(&self, format: Format) -> anyhow::Result<Options> {
        let field = |field: &Option<String>, option: &str| match (field, format) {
            (Some(name), _) => Ok(name.clone()),
            // A line has its keys in its first two parts, without names.
            (None, Format::Lines) => Ok(String::new()),
            (None, _) => Err(anyhow!("add {option} NAME: any name, and the error lists those that the table has")),
        };
        let read = |path: &PathBuf| fs::read_to_string(path).with_context(|| format!("template {}", path.display()));
        let labels = Labels::new(&self.title, &self.id_label, &self.secret_label);
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|error| anyhow!("no randomness for a key: {error}"))?;
        Ok(Options {
            encoding: self.encoding,
            seat_field: field(&self.id_field, "--id-field")?,
            secret_field: field(&self.secret_field, "--secret-field")?,
            template: self.template.as_ref().map(read).transpose()?,
            labels: labels.context(
                "--title, --id-label and --secret-label may have 120 bytes together (40 Chinese characters), and \
                 neither < nor &: the form is to fit one packet",
            )?,
            key,
            strict: self.strict,
        })
    }
}

impl TableFormat {
    fn of_name(path: &Path) -> Option<Self> {
        let ending = path.extension()?.to_ascii_lowercase();
        Some(match ending.to_str()? {
            "dbf" => Self::Dbf,
            "csv" | "tsv" => Self::Csv,
            "txt" => Self::Text,
            _ => return None,
        })
    }
}

fn check(path: &Path) -> anyhow::Result<()> {
    let image = open(path)?;
    let mut meter = Meter::new(Progress::Shown, "checking");
    let size = image.len();
    let checked = image.check_records(&mut |done, total| meter.bytes(size * done / total.max(1), size));
    drop(meter);
    checked.with_context(|| path.display().to_string())?;
    writeln!(io::stdout(), "{} is in order: {}", path.display(), Candidates(&image)).printed()
}

fn parse_encoding(name: &str) -> Result<&'static encoding_rs::Encoding, String> {
    encoding(name).ok_or_else(|| "no encoding that is known: gbk, cp936, gb18030, utf-8, big5, latin1".to_owned())
}

/// Shows the progress of the preparation, and writes the report of rejected rows.
struct PrepareReporter {
    meter: Meter,
    len: u64,
    report: PathBuf,
    file: anyhow::Result<Option<Output>>,
    rejected: u64,
}

impl PrepareReporter {
    fn new(len: u64, report: PathBuf) -> Self {
        Self { meter: Meter::new(Progress::Shown, "preparing"), len, report, file: Ok(None), rejected: 0 }
    }

    fn write(&mut self, reject: &Reject) -> anyhow::Result<()> {
        if let Ok(None) = self.file {
            self.file = Output::create(&self.report).map(Some);
        }
        if let Ok(Some(file)) = &mut self.file {
            writeln!(file, "{reject}").with_context(|| format!("cannot write {}", self.report.display()))?;
        }
        Ok(())
    }

    /// Completes the report, after the file was made. Without rejected rows there is none, and an older one is removed.
    fn finish(self) -> anyhow::Result<()> {
        let Self { meter, report, file, rejected, .. } = self;
        drop(meter);
        match file? {
            None => match fs::remove_file(&report) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    Err(error).with_context(|| format!("cannot remove {}, which is older", report.display()))
                }
                _ => Ok(()),
            },
            Some(file) => {
                file.finish()?;
                warn(format_args!("{} left out: {} names them", counted(rejected, "row"), report.display()));
                Ok(())
            }
        }
    }
}

impl PrepareObserver for PrepareReporter {
    fn read(&mut self, bytes: u64) {
        self.meter.bytes(bytes, self.len);
    }

    fn rejected(&mut self, reject: &Reject) {
        self.rejected += 1;
        if self.rejected <= WARNINGS_MAX {
            self.meter.suspend(|| warn(format_args!("left out: {reject}")));
        }
        if let Err(error) = self.write(reject) {
            self.file = Err(error);
        }
    }

    fn warned(&mut self, warning: &Warning) {
        self.meter.suspend(|| warn(warning));
    }
}

/// A summary of a prepared table, for messages.
struct Summary<'a> {
    output: &'a Path,
    prepared: &'a Prepared,
    size: u64,
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { output, prepared, size } = self;
        let Prepared { candidates, rejected, deleted, longest, bytes } = prepared;
        write!(f, "{}: {}, {}; ", output.display(), counted(*candidates, "candidate"), HumanBytes(*size))?;
        let average = HumanCount(bytes / (*candidates).max(1));
        write!(f, "pages of {average} bytes on average, {} at most", HumanCount(*longest as u64))?;
        for (count, what) in [(rejected, "left out"), (deleted, "deleted in the table")] {
            if *count > 0 {
                write!(f, "; {} {what}", HumanCount(*count))?;
            }
        }
        writeln!(f)
    }
}

/// The sample table.
#[derive(clap::Args)]
pub(crate) struct SampleArgs {
    /// Table to write: dBASE III in GBK
    #[arg(value_name = "OUT")]
    output: PathBuf,
    /// Number of candidates
    #[arg(long, value_name = "N", default_value_t = 400_000)]
    candidates: u32,
    /// Seed of the candidates
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

pub(crate) const SAMPLE_EXAMPLE: &str = "\
The same number and seed make the same table. Identity numbers have valid check digits, and are of a
region that does not exist.

Example:
  lethe prepare scores-sample --candidates 400000 scores.dbf
  lethe prepare scores --id-field 准考证号 --secret-field 身份证号 scores.dbf scores.lethe";

impl SampleArgs {
    pub(crate) fn write(&self) -> anyhow::Result<()> {
        let mut file = Output::create(&self.output)?;
        let name = self.output.display();
        let mut meter = Meter::new(Progress::Shown, "writing");
        let written = write_sample(self.candidates, self.seed, &mut file, &mut |done, total| meter.bytes(done, total));
        drop(meter);
        written.with_context(|| name.to_string())?;
        file.finish()?;
        let (candidates, size) = (counted(self.candidates.into(), "candidate"), fs::metadata(&self.output)?.len());
        writeln!(io::stdout(), "{name}: {candidates}, {}, all fictitious", HumanBytes(size)).printed()
    }
}

const _: () = assert!(PAGE_MAX == 20_000, "the documentation says so");
