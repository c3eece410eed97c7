//! The image of the application `files`: made from a directory, or opened from a prepared file.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use indicatif::HumanBytes;
use lethe_apps::files::{
    FieldRule, Files, Flaw, Image, Options, PackError, PackObserver, Packed, Ruled, Site, Sites, SitesError, Skipped,
    pack_sites,
};

use crate::app::Application;
use crate::map::{Pages, map};
use crate::progress::{Meter, Progress, counted};
use lethe_server::{note, warn};

/// The most files that warnings name one by one. More have one cause, such as compressed forms that are all too old,
/// and would push everything else out of a terminal or a log.
const WARNINGS_MAX: u64 = 1000;

/// Where the files come from.
#[derive(Clone, clap::Args)]
pub(crate) struct FilesArgs {
    /// Directory to serve, or an image made by `lethe prepare files`
    #[arg(value_name = "DIR_OR_IMAGE", required_unless_present = "sites")]
    path: Option<PathBuf>,
    /// Answer by the rules of this file first, as `respond` reads them, and with a file what no rule has
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,
    #[command(flatten)]
    site: SiteArgs,
}

/// How directories become an image.
#[derive(Clone, clap::Args)]
pub(crate) struct SiteArgs {
    /// Answer this host from this directory: "example.org=/srv/www", or "*.example.org=/srv/www" for all that end so;
    /// repeat it for more. The directory without a host is that of all others; without one they get 421
    #[arg(long = "site", value_name = "HOST=DIR")]
    sites: Vec<Site>,
    /// Serve files whose name begins with a dot, too
    #[arg(long)]
    hidden: bool,
    /// Answer /a with a.html, where there is no file a
    #[arg(long)]
    clean_urls: bool,
    /// Answer a directory that has no index.html with a list of its files
    #[arg(long)]
    listing: bool,
    /// Answer unknown paths with this file and 200, for applications whose script looks at the path
    #[arg(long, value_name = "PATH")]
    fallback: Option<String>,
    /// Add a header field to files by their path, which is /exact, /prefix/*, *.suffix, or * for all: "/assets/*
    /// Cache-Control: max-age=31536000, immutable"; repeat it for more, of which the last with a name counts
    #[arg(long = "field", value_name = "RULE")]
    fields: Vec<FieldRule>,
}

impl SiteArgs {
    fn options(&self) -> Options {
        let Self { sites: _, hidden, clean_urls, listing, fallback, fields } = self.clone();
        Options { hidden, clean_urls, listing, fallback, fields }
    }

    /// The first option that was given, if any was.
    fn given(&self) -> Option<&'static str> {
        let Self { sites, hidden, clean_urls, listing, fallback, fields } = self;
        let options = [
            (!sites.is_empty(), "--site"),
            (*hidden, "--hidden"),
            (*clean_urls, "--clean-urls"),
            (*listing, "--listing"),
            (fallback.is_some(), "--fallback"),
            (!fields.is_empty(), "--field"),
        ];
        options.into_iter().find_map(|(is_given, name)| is_given.then_some(name))
    }

    /// The directories of named hosts, and that of all others.
    pub(crate) fn sites(&self, others: Option<&Path>) -> Result<Sites, SitesError> {
        Sites::new(others, &self.sites)
    }

    /// Whether there are named hosts.
    pub(crate) const fn has_sites(&self) -> bool {
        !self.sites.is_empty()
    }

    /// What the directories are called in messages.
    fn name(&self, others: Option<&Path>) -> String {
        let count = (!self.sites.is_empty()).then(|| counted(self.sites.len() as u64, "site"));
        let others = others.map(|others| others.display().to_string());
        [others, count].into_iter().flatten().collect::<Vec<_>>().join(" and ")
    }
}

impl FilesArgs {
    /// What it is loaded from, for messages.
    pub(crate) fn source(&self) -> String {
        let directories = self.site.name(self.path.as_deref());
        self.rules.as_ref().map_or_else(|| directories.clone(), |rules| format!("{directories}, {}", rules.display()))
    }

    /// Loads the files, and the rules that come before them.
    pub(crate) fn load(&self, progress: Progress) -> anyhow::Result<Application> {
        let files = Files::new(self.load_image(progress)?);
        let Some(path) = &self.rules else { return Ok(Application::Files(files)) };
        let app = Ruled::load(path, files)?;
        note(format_args!("{}: {}", path.display(), counted(app.rules().rule_count() as u64, "rule")));
        Ok(Application::Ruled(app))
    }

    /// Makes or opens the image and checks it, with progress and a summary on standard error.
    fn load_image(&self, progress: Progress) -> anyhow::Result<Image> {
        let Some(path) = &self.path else { return self.pack(progress) };
        let name = path.display();
        let metadata = path.metadata().with_context(|| format!("cannot read {name}"))?;
        if metadata.is_dir() {
            return self.pack(progress);
        }
        if let Some(option) = self.site.given() {
            bail!("{option} is for directories: what an image has was decided when it was made");
        }
        let image = open(path, progress)?;
        note(format_args!("{name}: {}", Contents(&image)));
        Ok(image)
    }

    /// Packs the directories into a file without a name, which no other process can open, and maps it.
    fn pack(&self, progress: Progress) -> anyhow::Result<Image> {
        let sites = self.site.sites(self.path.as_deref())?;
        let temporary =
            || format!("a temporary file in {} (TMPDIR names another place)", std::env::temp_dir().display());
        let file = tempfile::tempfile().with_context(temporary)?;
        let mut reporter = PackReporter::new(progress);
        let packed = pack_sites(&sites, &self.site.options(), &file, &mut reporter);
        let (_, packed) = packed.map_err(|error| {
            let wrote = matches!(error, PackError::Write(_));
            let error = anyhow::Error::from(error);
            if wrote { error.context(temporary()) } else { error }
        })?;
        let skipped = reporter.finish();
        let name = self.site.name(self.path.as_deref());
        note(format_args!("{name}: {}{skipped}", Summary(&packed)));
        let bytes = map(&file, Pages::Now).with_context(temporary)?;
        Image::open(bytes).with_context(temporary)
    }
}

/// Writes an image of these directories to `out`.
pub(crate) fn prepare(sites: &Sites, site: &SiteArgs, out: impl io::Write + io::Seek) -> anyhow::Result<String> {
    let mut reporter = PackReporter::new(Progress::Shown);
    let (_, packed) = pack_sites(sites, &site.options(), out, &mut reporter)?;
    let skipped = reporter.finish();
    Ok(format!("{}{skipped}", Summary(&packed)))
}

/// Opens an image file, and checks all of it.
pub(crate) fn open(path: &Path, progress: Progress) -> anyhow::Result<Image> {
    let name = path.display();
    let file = File::open(path).with_context(|| format!("cannot open {name}"))?;
    ensure!(file.metadata()?.is_file(), "{name} is neither a directory nor a file");
    let bytes = map(&file, Pages::Now).with_context(|| format!("cannot map {name}"))?;
    let image = Image::open(bytes).with_context(|| format!("image {name}"))?;
    let mut meter = Meter::new(progress, "checking");
    image.check_bodies(&mut |done, total| meter.bytes(done, total)).with_context(|| format!("image {name}"))?;
    Ok(image)
}

/// A summary of an image, for messages.
pub(crate) struct Contents<'a>(pub(crate) &'a Image);

impl fmt::Display for Contents<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(image) = self;
        let (paths, objects) =
            (counted(image.path_count() as u64, "path"), counted(image.object_count() as u64, "response"));
        if image.site_count() > 0 {
            write!(f, "{}, ", counted(image.site_count() as u64, "site"))?;
        }
        write!(f, "{paths}, {objects}, {}", HumanBytes(image.len()))
    }
}

/// A summary of a packed directory, for messages.
struct Summary<'a>(&'a Packed);

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Packed { files, bytes, variants } = *self.0;
        write!(f, "{}, {}", counted(files as u64, "file"), HumanBytes(bytes))?;
        if variants > 0 { write!(f, ", {}", counted(variants as u64, "compressed form")) } else { Ok(()) }
    }
}

/// Formats the count of each reason, behind `what` they are reasons for.
fn counts<R: fmt::Display>(what: &str, reasons: &BTreeMap<R, u64>) -> String {
    let reasons: Vec<_> = reasons.iter().map(|(why, count)| format!("{count} ({why})")).collect();
    if reasons.is_empty() { String::new() } else { format!("{what}{}", reasons.join(", ")) }
}

/// Shows the progress of packing, and warns of files that are left out.
struct PackReporter {
    meter: Meter,
    skipped: BTreeMap<Skipped, u64>,
    unused: BTreeMap<Flaw, u64>,
    warnings: u64,
}

impl PackReporter {
    fn new(progress: Progress) -> Self {
        let (skipped, unused) = (BTreeMap::new(), BTreeMap::new());
        Self { meter: Meter::new(progress, "packing"), skipped, unused, warnings: 0 }
    }

    /// Ends the progress bar. Returns the counts of files that were skipped or are not used, for the summary.
    fn finish(self) -> String {
        if let Some(more @ 1..) = self.warnings.checked_sub(WARNINGS_MAX) {
            let files = if more == 1 { "file is" } else { "files are" };
            self.meter.suspend(|| warn(format_args!("{more} more {files} not named")));
        }
        let skipped = counts("; skipped ", &self.skipped);
        skipped + &counts("; not sent as compressed: ", &self.unused)
    }

    /// Warns of a file, unless there were too many warnings.
    fn warn(&mut self, text: fmt::Arguments<'_>) {
        self.warnings += 1;
        if self.warnings <= WARNINGS_MAX {
            self.meter.suspend(|| warn(text));
        }
    }
}

impl PackObserver for PackReporter {
    fn listed(&mut self, files: u64) {
        self.meter.files(files);
    }

    fn skipped(&mut self, path: &Path, why: Skipped) {
        *self.skipped.entry(why).or_default() += 1;
        if !why.is_surprising() {
            return;
        }
        self.warn(format_args!("{} is not served: {why}", path.display()));
    }

    fn unused(&mut self, path: &Path, of: Option<&Path>, why: Flaw) {
        *self.unused.entry(why).or_default() += 1;
        let path = path.display();
        match of.and_then(Path::file_name) {
            Some(file) => self.warn(format_args!("{path} is not sent in place of {}: {why}", file.display())),
            None => self.warn(format_args!("{path} is sent without Content-Encoding: {why}")),
        }
    }

    fn compared(&mut self, done: u64, total: u64) {
        self.meter.what("comparing compressed forms");
        self.meter.bytes(done, total);
    }

    fn packed(&mut self, done: u64, total: u64) {
        self.meter.what("packing");
        self.meter.bytes(done, total);
    }
}
