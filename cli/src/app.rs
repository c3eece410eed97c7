//! The built-in applications, and their arguments.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Subcommand;
use indicatif::HumanBytes;
use lethe::app::{App, Position, Request};
use lethe::http::{Methods, Response};
use lethe_apps::files::{Files, Ruled};
use lethe_apps::ipinfo::{Database, Dataset, IpInfo};
use lethe_apps::respond::Respond;
use lethe_apps::scores::Scores;
use lethe_sim::sample::Sample;

use crate::files::{Contents, FilesArgs};
use crate::progress::{Progress, counted};
use crate::scores::{Candidates, ScoresArgs};

/// The application and its data, as every command that runs an engine takes them.
#[derive(Clone, Subcommand)]
#[command(subcommand_value_name = "APP", subcommand_help_heading = "Applications", disable_help_subcommand = true)]
pub(crate) enum AppArgs {
    /// The files of a directory: GET /index.html
    Files(FilesArgs),
    /// The place of an address: GET /202.96.128.86
    Ipinfo(IpinfoArgs),
    /// Small answers by the rules of a file: GET /robots.txt
    Respond(RespondArgs),
    /// A number of bytes of a known pattern, for tests: GET /1000
    Sample {
        /// The most bytes that one request may ask for
        #[arg(long, value_name = "BYTES", default_value_t = lethe_sim::sample::MAX_SIZE)]
        max: usize,
    },
    /// Exam results: GET / is the form
    Scores(ScoresArgs),
}

impl AppArgs {
    /// Its name on the command line.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Files(_) => "files",
            Self::Ipinfo(_) => "ipinfo",
            Self::Respond(_) => "respond",
            Self::Sample { .. } => "sample",
            Self::Scores(_) => "scores",
        }
    }

    /// Reads and checks the application's data, and shows progress.
    pub(crate) fn load(&self) -> anyhow::Result<Application> {
        self.load_with(Progress::Shown)
    }

    /// Reads and checks the application's data while the server runs, without showing progress.
    pub(crate) fn load_again(&self) -> anyhow::Result<Application> {
        self.load_with(Progress::Silent)
    }

    fn load_with(&self, progress: Progress) -> anyhow::Result<Application> {
        Ok(match self {
            Self::Files(files) => files.load(progress)?,
            Self::Ipinfo(IpinfoArgs { db: None }) => Application::IpInfo(IpInfo::new(Database::embedded())),
            Self::Ipinfo(IpinfoArgs { db: Some(file) }) => Application::IpInfo(IpInfo::new(open_database(file)?)),
            Self::Respond(RespondArgs { rules }) => Application::Respond(Respond::load(rules)?),
            Self::Sample { max } => Application::Sample(Sample::new(*max)),
            Self::Scores(scores) => Application::Scores(Scores::new(scores.load(progress)?)),
        })
    }

    /// The file or directory that its data is loaded from, if any, for messages.
    pub(crate) fn source(&self) -> Option<String> {
        let path = match self {
            Self::Files(files) => return Some(files.source()),
            Self::Ipinfo(IpinfoArgs { db }) => db.as_deref()?,
            Self::Respond(RespondArgs { rules }) => rules,
            Self::Sample { .. } => return None,
            Self::Scores(scores) => scores.path(),
        };
        Some(path.display().to_string())
    }
}

/// The application that was chosen on the command line.
#[derive(Debug)]
pub(crate) enum Application {
    /// The files of a directory.
    Files(Files),
    /// The places of addresses.
    IpInfo(IpInfo<'static>),
    /// Answers by rules.
    Respond(Respond),
    /// Answers by rules, and the files of a directory.
    Ruled(Ruled),
    /// Bytes of a known pattern.
    Sample(Sample),
    /// Exam results.
    Scores(Scores),
}

impl Application {
    /// A summary of its data, for messages.
    pub(crate) fn summary(&self) -> String {
        match self {
            Self::Files(files) => Contents(files.image()).to_string(),
            Self::IpInfo(ipinfo) => {
                let database = ipinfo.data().database();
                let ranges = (database.range_count() + database.range_count_v6()) as u64;
                let places = database.place_count() as u64;
                format!("{}, {}", counted(ranges, "range"), counted(places, "place"))
            }
            Self::Respond(app) => {
                let (replies, bytes) = app.replies();
                let (rules, replies) = (counted(app.rule_count() as u64, "rule"), replies as u64);
                format!("{rules}, {} finished, {}", counted(replies, "answer"), HumanBytes(bytes))
            }
            Self::Ruled(app) => {
                let rules = counted(app.rules().rule_count() as u64, "rule");
                format!("{}, {rules}", Contents(app.files().image()))
            }
            Self::Sample(sample) => format!("{} bytes", sample.max_size()),
            Self::Scores(scores) => Candidates(scores.image()).to_string(),
        }
    }
}

impl App for Application {
    fn respond<'a>(&'a self, request: &Request<'_>, scratch: &'a mut [u8]) -> Response<'a> {
        match self {
            Self::Files(app) => app.respond(request, scratch),
            Self::IpInfo(app) => app.respond(request, scratch),
            Self::Respond(app) => app.respond(request, scratch),
            Self::Ruled(app) => app.respond(request, scratch),
            Self::Sample(app) => app.respond(request, scratch),
            Self::Scores(app) => app.respond(request, scratch),
        }
    }

    fn methods(&self) -> Methods {
        match self {
            Self::Respond(app) => app.methods(),
            Self::Ruled(app) => app.methods(),
            Self::Files(_) | Self::IpInfo(_) | Self::Sample(_) | Self::Scores(_) => Methods::GET_AND_HEAD,
        }
    }

    fn stored(&self, position: Position) -> Option<Response<'_>> {
        match self {
            Self::Files(app) => app.stored(position),
            Self::IpInfo(app) => app.stored(position),
            Self::Respond(app) => app.stored(position),
            Self::Ruled(app) => app.stored(position),
            Self::Sample(app) => app.stored(position),
            Self::Scores(app) => app.stored(position),
        }
    }

    fn stores(&self) -> bool {
        match self {
            Self::Files(app) => app.stores(),
            Self::IpInfo(app) => app.stores(),
            Self::Respond(app) => app.stores(),
            Self::Ruled(app) => app.stores(),
            Self::Sample(app) => app.stores(),
            Self::Scores(app) => app.stores(),
        }
    }

    fn stores_parts(&self) -> bool {
        match self {
            Self::Files(app) => app.stores_parts(),
            Self::Ruled(app) => app.stores_parts(),
            Self::IpInfo(_) | Self::Respond(_) | Self::Sample(_) | Self::Scores(_) => false,
        }
    }

    fn positions(&self) -> u32 {
        match self {
            Self::Files(app) => app.positions(),
            Self::IpInfo(app) => app.positions(),
            Self::Respond(app) => app.positions(),
            Self::Ruled(app) => app.positions(),
            Self::Sample(app) => app.positions(),
            Self::Scores(app) => app.positions(),
        }
    }
}

/// The database to serve.
#[derive(Clone, clap::Args)]
pub(crate) struct IpinfoArgs {
    /// A database made by `lethe prepare ipinfo`, in place of the one built in
    #[arg(long, value_name = "FILE")]
    pub(crate) db: Option<PathBuf>,
}

/// The rules to answer by.
#[derive(Clone, clap::Args)]
#[command(after_help = RESPOND_EXAMPLE)]
pub(crate) struct RespondArgs {
    /// Rules, in TOML: docs/respond.md has all that can be in them
    #[arg(value_name = "RULES")]
    rules: PathBuf,
}

const RESPOND_EXAMPLE: &str = "\
A file with two rules, which sends everything but a health check to HTTPS:
  [[rule]]
  paths = [\"/health\"]
  body = \"ok\"

  [[rule]]
  methods = [\"*\"]
  redirect = \"https://{host}{path}{query}\"

Example:
  lethe verify respond rules.toml
  lethe serve --device tap:lethe0,host=10.9.0.1/24 --addr 10.9.0.2 respond rules.toml
  curl -i http://10.9.0.2/health";

/// Reads a database, and checks all of it.
pub(crate) fn open_database(file: &Path) -> anyhow::Result<Dataset<'static>> {
    let read = || -> anyhow::Result<_> { Ok(Dataset::read(&fs::read(file)?)?) };
    read().with_context(|| format!("database {}", file.display()))
}
