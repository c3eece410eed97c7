//! Packs a directory into an image.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lethe::http::Status;
use thiserror::Error;

use super::builder::{About, AddError, Builder, ObjectId};
use super::encoding::Coding;
use super::fields::{self, FieldRule};
use super::form::{self, Failure, Flaw};
use super::format::LAST_SECOND;
use super::listing;
use super::site::Sites;
use super::tree::{FILE_MAX, FILES_MAX, Listed, Skipped, Tree, file_name};
use crate::media::content_type;

/// The file that is sent for a directory.
const INDEX: &[u8] = b"index.html";

/// The end of the name of a page.
const HTML: &[u8] = b".html";

/// The file that is sent for unknown paths.
const NOT_FOUND: &[u8] = b"/404.html";

/// How often a file is read that changes meanwhile, before it is an error.
const ATTEMPTS: u32 = 3;

/// How much older than its file a compressed file may be. Of two files that are copied together, either may be written
/// first; their contents are compared anyway.
const OLDER_MAX: Duration = Duration::from_mins(1);

/// The extension of SVG files compressed by gzip, which are sent with `Content-Encoding`.
const SVGZ: &str = "svgz";

/// Which files of a directory are packed, and how they are answered with.
#[derive(Clone, Default, Debug)]
pub struct Options {
    /// Whether names that begin with a dot are served.
    pub hidden: bool,
    /// Whether `/a` is answered with `/a.html`, where there is no file `/a`.
    pub clean_urls: bool,
    /// Whether a directory without `index.html` is answered with a list of its files.
    pub listing: bool,
    /// The path of the file that unknown paths are answered with, by a 200: for applications whose script looks at the
    /// path.
    pub fallback: Option<String>,
    /// Header fields by path.
    pub fields: Vec<FieldRule>,
}

/// Observes packing: is told of its progress and of files that are left out, and may stop it.
pub trait PackObserver {
    /// `files` were found so far.
    fn listed(&mut self, files: u64);
    /// A file or directory is not served.
    fn skipped(&mut self, path: &Path, why: Skipped);
    /// A compressed file is served under its own name only: not in place of the file `of`, or, without one, without
    /// `Content-Encoding`.
    fn unused(&mut self, path: &Path, of: Option<&Path>, why: Flaw);
    /// `done` bytes of `total` were compared, of the files of a directory that have compressed forms.
    fn compared(&mut self, done: u64, total: u64);
    /// `done` bytes of `total` were written.
    fn packed(&mut self, done: u64, total: u64);
    /// Whether to stop.
    fn stop(&self) -> bool {
        false
    }
}

/// The contents of an image, for a summary.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Packed {
    /// The number of files that are served.
    pub files: usize,
    /// Their bytes, without those of compressed variants.
    pub bytes: u64,
    /// The number of compressed variants.
    pub variants: usize,
}

/// Writes an image of `directory` to `out`, which is empty. Files go through memory piece by piece; the same directory
/// always makes the same bytes.
///
/// # Errors
///
/// A file that cannot be read, or changes while it is read; or an error of `out`.
pub fn pack<W: Write + Seek>(
    directory: &Path,
    options: &Options,
    out: W,
    observer: &mut dyn PackObserver,
) -> Result<(W, Packed), PackError> {
    pack_sites(&Sites::any(directory), options, out, observer)
}

/// Writes an image of several sites to `out`, which is empty. The options are those of each.
///
/// # Errors
///
/// As for [`pack`].
pub fn pack_sites<W: Write + Seek>(
    sites: &Sites,
    options: &Options,
    out: W,
    observer: &mut dyn PackObserver,
) -> Result<(W, Packed), PackError> {
    let mut planned = Vec::new();
    let mut listed = 0;
    for (hosts, directory) in &sites.directories {
        let tree = Tree::list(directory, options, listed, observer)?;
        listed += tree.files.len();
        let plan = Plan::of(&tree, options, observer)?;
        planned.push((hosts, tree, plan));
    }
    let total = planned.iter().flat_map(|(_, tree, plan)| plan.jobs.iter().map(|job| tree.files[job.file].len)).sum();
    let mut builder = Builder::new(out).map_err(PackError::Write)?;
    if !sites.has_others() {
        builder.without_others();
    }
    observer.packed(0, total);
    let (mut done, mut summary) = (0, Packed { files: listed, bytes: 0, variants: 0 });
    for (hosts, tree, plan) in &planned {
        builder.site(hosts);
        let mut packer = Packer { tree, builder: &mut builder, observer, done, total };
        let ids = plan.jobs.iter().map(|job| packer.add(job)).collect::<Result<Vec<_>, _>>()?;
        done = packer.done;
        Names { tree, builder: &mut builder }.add(plan, &ids, options)?;
        summary.bytes += tree.files.iter().map(|file| file.len).sum::<u64>();
        summary.variants += plan.answers.iter().flat_map(|answer| answer.variants).flatten().count();
    }
    Ok((builder.finish().map_err(PackError::Write)?, summary))
}

/// What the paths of a site are answered with.
struct Names<'n, W: Write + Seek> {
    tree: &'n Tree,
    builder: &'n mut Builder<W>,
}

impl<W: Write + Seek> Names<'_, W> {
    /// Names all objects of a plan, and adds lists of directories.
    fn add(&mut self, plan: &Plan, ids: &[ObjectId], options: &Options) -> Result<(), PackError> {
        for answer in &plan.answers {
            let path = &self.tree.files[answer.file].path;
            let answered = (ids[answer.job], answer.variants.map(|job| job.map(|job| ids[job])));
            self.builder.name(path, answered.0, answered.1);
            if let Some(directory) = path.strip_suffix(INDEX).filter(|directory| directory.ends_with(b"/")) {
                self.directory(directory, answered, options.clean_urls);
            } else if options.clean_urls
                && let Some(clean) = path.strip_suffix(HTML)
            {
                self.clean(clean, answered);
            }
        }
        if options.listing {
            for (path, page) in listing::pages(&self.tree.files, INDEX) {
                let fields = fields::lines(&options.fields, &path);
                let about = About { content_type: "text/html; charset=utf-8", fields: &fields, ..About::OK };
                let mut go_on = |_| ControlFlow::Continue(());
                let added = self.builder.add(&about, page.len() as u64, &mut page.as_bytes(), &mut go_on);
                let object = added.map_err(|error| PackError::Listing { path: path.clone(), cause: error })?;
                self.directory(&path, (object, [None; Coding::ALL.len()]), options.clean_urls);
            }
        }
        if let Some(job) = plan.unknown {
            self.builder.not_found(ids[job]);
        }
        Ok(())
    }

    /// Names a directory, and redirects the path without its slash there, unless that is the path of a page.
    fn directory(&mut self, path: &[u8], (object, variants): (ObjectId, Variants), clean_urls: bool) {
        self.builder.name(path, object, variants);
        let is_page = |path: &[u8]| clean_urls && self.tree.position(&[path, HTML].concat()).is_some();
        if let Some(unslashed @ [_, ..]) = path.strip_suffix(b"/")
            && !is_page(unslashed)
        {
            self.builder.redirect(unslashed);
        }
    }

    /// Names a page by its path without `.html`, unless that is the path of a file, or of a directory.
    fn clean(&mut self, path: &[u8], (object, variants): (ObjectId, Variants)) {
        if !path.ends_with(b"/") && self.tree.position(path).is_none() {
            self.builder.name(path, object, variants);
        }
    }
}

/// The compressed forms of an object.
type Variants = [Option<ObjectId>; Coding::ALL.len()];

/// The objects of the image, before they are written.
struct Plan {
    jobs: Vec<Job>,
    answers: Vec<Answer>,
    /// What unknown paths are answered with.
    unknown: Option<usize>,
}

/// An object to be written: its file, and what its head says.
struct Job {
    file: usize,
    /// The modification time of the file when it was compared, if it was.
    compared: Option<SystemTime>,
    status: Status,
    content_type: String,
    coding: Option<Coding>,
    varies: bool,
    /// More header fields.
    fields: String,
    /// The file whose modification time it has.
    dated: Option<usize>,
}

/// The objects that the path of a file is answered with.
struct Answer {
    file: usize,
    job: usize,
    variants: [Option<usize>; Coding::ALL.len()],
}

impl Plan {
    fn of(tree: &Tree, options: &Options, observer: &mut dyn PackObserver) -> Result<Self, PackError> {
        let mut plan = Self { jobs: Vec::new(), answers: Vec::new(), unknown: None };
        let fallback = options.fallback.as_deref().map(|path| format!("/{}", path.trim_start_matches('/')));
        if let Some(path) = &fallback
            && tree.position(path.as_bytes()).is_none()
        {
            return Err(PackError::Fallback { path: path.clone() });
        }
        let forms = Forms::of(tree, observer)?;
        for (file, (Listed { path, .. }, forms)) in tree.files.iter().zip(forms).enumerate() {
            let varies = forms.variants.iter().any(Option::is_some);
            let (content_type, fields) = (content_type(file_name(path)), fields::lines(&options.fields, path));
            let mut push = |(form, compared), status, coding, varies| {
                let (content_type, fields) = (content_type.clone(), fields.clone());
                let dated = (status == Status::Ok).then_some(file);
                plan.jobs.push(Job { file: form, compared, status, content_type, coding, varies, fields, dated });
                plan.jobs.len() - 1
            };
            let job = push((file, forms.compared), Status::Ok, forms.coding, varies);
            let mut variants = [None; Coding::ALL.len()];
            for ((variant, form), coding) in variants.iter_mut().zip(forms.variants).zip(Coding::ALL) {
                *variant = form.map(|(form, compared)| push((form, Some(compared)), Status::Ok, Some(coding), true));
            }
            if fallback.as_ref().is_some_and(|fallback| fallback.as_bytes() == path) {
                plan.unknown = Some(job);
            } else if fallback.is_none() && path == NOT_FOUND {
                plan.unknown = Some(push((file, None), Status::NotFound, None, false));
            }
            plan.answers.push(Answer { file, job, variants });
        }
        Ok(plan)
    }
}

/// The forms of a file, after they were compared with it.
#[derive(Clone, Default)]
struct Forms {
    /// The modification time of the file when it was compared, if it was.
    compared: Option<SystemTime>,
    /// The coding of the file itself.
    coding: Option<Coding>,
    /// The files that are its compressed forms, and their modification times.
    variants: [Option<(usize, SystemTime)>; Coding::ALL.len()],
}

impl Forms {
    /// The forms of each file of a tree.
    fn of(tree: &Tree, observer: &mut dyn PackObserver) -> Result<Vec<Self>, PackError> {
        /// A file that is compressed by its name, and the file that it is named after.
        struct Pair {
            form: usize,
            coding: Coding,
            file: Option<usize>,
        }
        let mut pairs = Vec::new();
        for (file, Listed { path, .. }) in tree.files.iter().enumerate() {
            if is_svgz(path) {
                pairs.push(Pair { form: file, coding: Coding::Gzip, file: None });
                continue;
            }
            let siblings = Coding::ALL.map(|coding| tree.position(&[path, coding.suffix().as_bytes()].concat()));
            let siblings = siblings.into_iter().zip(Coding::ALL);
            pairs.extend(siblings.filter_map(|(form, coding)| Some(Pair { form: form?, coding, file: Some(file) })));
        }
        let mut forms = vec![Self::default(); tree.files.len()];
        let total = pairs.iter().map(|pair| tree.files[pair.file.unwrap_or(pair.form)].len).sum();
        let mut comparison = Comparison { tree, observer, done: 0, total };
        for Pair { form, coding, file } in pairs {
            let listed = (&tree.files[form], file.map(|file| &tree.files[file]));
            let compared = comparison.compare(coding, listed.0, listed.1)?;
            comparison.done += listed.1.unwrap_or(listed.0).len;
            comparison.observer.compared(comparison.done, total);
            match (compared, file) {
                (Ok((modified, of_file)), Some(file)) => {
                    let forms = &mut forms[file];
                    forms.compared = of_file;
                    forms.variants[Coding::ALL.iter().position(|&each| each == coding).expect("it is one of all")] =
                        Some((form, modified));
                }
                (Ok((modified, _)), None) => {
                    forms[form] = Self { compared: Some(modified), coding: Some(coding), ..Self::default() };
                }
                (Err(flaw), _) => {
                    let file = listed.1.map(|file| tree.name(file));
                    comparison.observer.unused(&tree.name(listed.0), file.as_deref(), flaw);
                }
            }
        }
        Ok(forms)
    }
}

/// Compares files with their compressed forms.
struct Comparison<'c> {
    tree: &'c Tree,
    observer: &'c mut dyn PackObserver,
    done: u64,
    total: u64,
}

/// The modification times of a form and its file, or the flaw of the form.
type Compared = Result<(SystemTime, Option<SystemTime>), Flaw>;

impl Comparison<'_> {
    fn compare(&mut self, coding: Coding, form: &Listed, file: Option<&Listed>) -> Result<Compared, PackError> {
        let mut attempt = 1;
        loop {
            match self.try_compare(coding, form, file) {
                Err(PackError::Changed { .. }) if attempt < ATTEMPTS => attempt += 1,
                result => return result,
            }
        }
    }

    fn try_compare(&mut self, coding: Coding, form: &Listed, file: Option<&Listed>) -> Result<Compared, PackError> {
        if self.observer.stop() {
            return Err(PackError::Stopped);
        }
        let (tree, observer, done, total) = (self.tree, &mut *self.observer, self.done, self.total);
        let (mut form_read, len) = Steady::open(tree, form)?;
        let mut file_read = file.map(|file| Steady::open(tree, file)).transpose()?.map(|(file, _)| file);
        if len == 0 {
            return Ok(Err(Flaw::Empty));
        }
        let modified = (form_read.modified, file_read.as_ref().map(|file| file.modified));
        if modified.1.is_some_and(|file| modified.0 + OLDER_MAX < file) {
            return Ok(Err(Flaw::Older));
        }
        let limit = file.unwrap_or(form).len;
        let mut unpacked = 0;
        let checked = form::check(coding, &mut form_read, file_read.as_mut(), &mut |bytes| {
            unpacked += bytes;
            observer.compared(done + unpacked.min(limit), total);
            if observer.stop() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        match checked {
            Ok(()) => Ok(Ok(modified)),
            Err(Failure::Flaw(flaw)) => Ok(Err(flaw)),
            Err(Failure::Read(cause)) => Err(form_read.error(tree.name(form), cause)),
            Err(Failure::File(cause)) => {
                let (file, read) = file.zip(file_read).expect("it was read");
                Err(read.error(tree.name(file), cause))
            }
            Err(Failure::Stopped) => Err(PackError::Stopped),
        }
    }
}

/// Whether a file is a compressed SVG image, by its name.
fn is_svgz(path: &[u8]) -> bool {
    Path::new(file_name(path)).extension().is_some_and(|ending| ending.eq_ignore_ascii_case(SVGZ))
}

/// Copies files into the image.
struct Packer<'p, W: Write + Seek> {
    tree: &'p Tree,
    builder: &'p mut Builder<W>,
    observer: &'p mut dyn PackObserver,
    done: u64,
    total: u64,
}

impl<W: Write + Seek> Packer<'_, W> {
    fn add(&mut self, job: &Job) -> Result<ObjectId, PackError> {
        let mut attempt = 1;
        loop {
            match self.try_add(job) {
                Err(PackError::Changed { .. }) if attempt < ATTEMPTS => attempt += 1,
                result => return result,
            }
        }
    }

    fn try_add(&mut self, job: &Job) -> Result<ObjectId, PackError> {
        if self.observer.stop() {
            return Err(PackError::Stopped);
        }
        let file = &self.tree.files[job.file];
        let path = || self.tree.name(file);
        let (mut body, len) = Steady::open(self.tree, file)?;
        // Only the version of the file that was compared may be sent.
        if len > FILE_MAX || job.compared.is_some_and(|compared| compared != body.modified) {
            return Err(PackError::Changed { path: path() });
        }
        let modified = match job.dated {
            None => None,
            Some(dated) if dated == job.file => seconds(body.modified),
            Some(dated) => seconds(Steady::open(self.tree, &self.tree.files[dated])?.0.modified),
        };
        let Job { status, ref content_type, coding, varies, ref fields, .. } = *job;
        let about = About { status, content_type, coding, varies, modified, fields };
        let mut copied = 0;
        let (observer, done, total) = (&mut *self.observer, self.done, self.total);
        let added = self.builder.add(&about, len, &mut body, &mut |bytes| {
            copied += bytes;
            observer.packed(done + copied, total);
            if observer.stop() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        let added = added.map_err(|error| match error {
            AddError::Length => PackError::Changed { path: path() },
            AddError::Read(cause) => body.error(path(), cause),
            AddError::Stopped => PackError::Stopped,
            AddError::Write(cause) => PackError::Write(cause),
            error @ (AddError::Head | AddError::TooMany) => body.error(path(), io::Error::other(error)),
        })?;
        self.done += copied;
        Ok(added)
    }
}

/// A file that must not be written to while it is read. Its modification time tells, since two versions may have the
/// same length.
struct Steady {
    file: File,
    modified: SystemTime,
    changed: bool,
}

impl Steady {
    /// Opens a file of a tree. Returns its length as well.
    fn open(tree: &Tree, listed: &Listed) -> Result<(Self, u64), PackError> {
        let opened = tree.open(listed).and_then(|(file, len)| {
            let modified = file.metadata()?.modified()?;
            Ok((Self { file, modified, changed: false }, len))
        });
        opened.map_err(|cause| PackError::Io { path: tree.name(listed), cause })
    }

    /// The error for one that reading it returned.
    fn error(&self, path: PathBuf, cause: io::Error) -> PackError {
        if self.changed { PackError::Changed { path } } else { PackError::Io { path, cause } }
    }
}

impl Read for Steady {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        if read == 0 && !buffer.is_empty() && self.file.metadata()?.modified()? != self.modified {
            self.changed = true;
            return Err(io::Error::other("changed while it was read"));
        }
        Ok(read)
    }
}

/// Whole seconds since 1970, as HTTP has them.
fn seconds(time: SystemTime) -> Option<u64> {
    time.duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs()).filter(|&seconds| seconds <= LAST_SECOND)
}

/// Why a directory cannot be packed.
#[derive(Debug, Error)]
pub enum PackError {
    /// A file or directory cannot be read.
    #[error("cannot read {}", path.display())]
    Io {
        /// Its path.
        path: PathBuf,
        /// The error of the file system.
        #[source]
        cause: io::Error,
    },
    /// A file was written to while it was read, in each of several attempts.
    #[error("{} changes while it is read: put files in place by renaming them", path.display())]
    Changed {
        /// Its path.
        path: PathBuf,
    },
    /// The file for unknown paths is not among those that are served.
    #[error("no file {path} to answer unknown paths with")]
    Fallback {
        /// Its path, in requests.
        path: String,
    },
    /// The list of a directory cannot be added.
    #[error("the list of {}", path.escape_ascii())]
    Listing {
        /// The path of the directory, in requests.
        path: Vec<u8>,
        /// Why.
        #[source]
        cause: AddError,
    },
    /// There are more files than can be served.
    #[error("more than {FILES_MAX} files")]
    TooMany,
    /// The image cannot be written.
    #[error("cannot write the image: {0}")]
    Write(io::Error),
    /// The observer stopped it.
    #[error("stopped")]
    Stopped,
}
