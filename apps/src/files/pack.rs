//! From a directory to an image.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use lethe::http::Status;
use thiserror::Error;

use super::builder::{About, AddError, Builder, ObjectId};
use super::encoding::Coding;
use super::tree::{FILE_MAX, FILES_MAX, Listed, Skipped, Tree, file_name};

/// What stands for a directory.
const INDEX: &[u8] = b"index.html";

/// What is shown in place of a file that is not there.
const NOT_FOUND: &[u8] = b"/404.html";

/// How often a file is read that changes meanwhile, before that is an error.
const ATTEMPTS: u32 = 3;

/// What of a directory is packed.
#[derive(Clone, Copy, Default, Debug)]
pub struct Options {
    /// Whether names that begin with a dot are served.
    pub hidden: bool,
}

/// Somebody who is told how far it is.
pub trait Watch {
    /// So many files were found.
    fn listed(&mut self, files: u64);
    /// Something was found that is not served.
    fn skipped(&mut self, path: &Path, why: Skipped);
    /// So many bytes were written, of as many.
    fn packed(&mut self, done: u64, total: u64);
    /// Whether to stop.
    fn stop(&self) -> bool {
        false
    }
}

/// What came of a directory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Packed {
    /// The files that are served.
    pub files: usize,
    /// Their bytes, without those of variants.
    pub bytes: u64,
    /// How many of them are there in other forms.
    pub variants: usize,
}

/// Writes an image of `directory` to `out`, which is empty. Of a file there is never more in memory than a
/// piece; the same directory makes the same bytes.
///
/// # Errors
///
/// Whatever cannot be read or written, and a file that changes while it is read.
pub fn pack<W: Write + Seek>(
    directory: &Path,
    options: Options,
    out: W,
    watch: &mut dyn Watch,
) -> Result<(W, Packed), PackError> {
    let tree = Tree::list(directory, options, watch)?;
    let plan = Plan::of(&tree);
    let total = plan.jobs.iter().map(|job| tree.files[job.file].len).sum();
    let mut packer =
        Packer { tree: &tree, builder: Builder::new(out).map_err(PackError::Write)?, watch, done: 0, total };
    packer.watch.packed(0, total);
    let ids = plan.jobs.iter().map(|job| packer.add(job)).collect::<Result<Vec<_>, _>>()?;
    let mut builder = packer.builder;
    for answer in &plan.answers {
        let path = &tree.files[answer.file].path;
        let (object, variants) = (ids[answer.job], answer.variants.map(|job| job.map(|job| ids[job])));
        builder.name(path, object, variants);
        if let Some(directory) = path.strip_suffix(INDEX).filter(|directory| directory.ends_with(b"/")) {
            builder.name(directory, object, variants);
            if let Some(unslashed @ [_, ..]) = directory.strip_suffix(b"/") {
                builder.redirect(unslashed);
            }
        }
    }
    if let Some(job) = plan.not_found {
        builder.not_found(ids[job]);
    }
    let summary = Packed {
        files: tree.files.len(),
        bytes: tree.files.iter().map(|file| file.len).sum(),
        variants: plan.answers.iter().flat_map(|answer| answer.variants).flatten().count(),
    };
    Ok((builder.finish().map_err(PackError::Write)?, summary))
}

/// Which objects there are going to be.
struct Plan {
    jobs: Vec<Job>,
    answers: Vec<Answer>,
    not_found: Option<usize>,
}

/// An object: which file, and what is said of it.
struct Job {
    file: usize,
    status: Status,
    content_type: String,
    coding: Option<Coding>,
    varies: bool,
}

/// What the path of a file is answered with.
struct Answer {
    file: usize,
    job: usize,
    variants: [Option<usize>; Coding::ALL.len()],
}

impl Plan {
    fn of(tree: &Tree) -> Self {
        let mut plan = Self { jobs: Vec::new(), answers: Vec::new(), not_found: None };
        for (file, Listed { path, .. }) in tree.files.iter().enumerate() {
            let siblings = Coding::ALL.map(|coding| tree.position(&[path, coding.suffix().as_bytes()].concat()));
            let varies = siblings.iter().any(Option::is_some);
            let content_type = content_type(file_name(path));
            let mut push = |file, status, coding, varies| {
                plan.jobs.push(Job { file, status, content_type: content_type.clone(), coding, varies });
                plan.jobs.len() - 1
            };
            let job = push(file, Status::Ok, None, varies);
            let mut variants = [None; Coding::ALL.len()];
            for ((variant, sibling), coding) in variants.iter_mut().zip(siblings).zip(Coding::ALL) {
                *variant = sibling.map(|file| push(file, Status::Ok, Some(coding), true));
            }
            if path == NOT_FOUND {
                plan.not_found = Some(push(file, Status::NotFound, None, false));
            }
            plan.answers.push(Answer { file, job, variants });
        }
        plan
    }
}

/// Copies one file after the other.
struct Packer<'p, W: Write + Seek> {
    tree: &'p Tree,
    builder: Builder<W>,
    watch: &'p mut dyn Watch,
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
        if self.watch.stop() {
            return Err(PackError::Stopped);
        }
        let file = &self.tree.files[job.file];
        let path = || self.tree.name(file);
        let cannot = |cause| PackError::Io { path: path(), cause };
        let (body, len) = self.tree.open(file).map_err(cannot)?;
        if len > FILE_MAX {
            return Err(PackError::Changed { path: path() });
        }
        let mut body = Steady::new(body).map_err(cannot)?;
        let about =
            About { status: job.status, content_type: &job.content_type, coding: job.coding, varies: job.varies };
        let mut copied = 0;
        let (watch, done, total) = (&mut *self.watch, self.done, self.total);
        let added = self.builder.add(&about, len, &mut body, &mut |bytes| {
            copied += bytes;
            watch.packed(done + copied, total);
            if watch.stop() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        let added = added.map_err(|error| match error {
            AddError::Length => PackError::Changed { path: path() },
            AddError::Read(_) if body.changed => PackError::Changed { path: path() },
            AddError::Read(cause) => cannot(cause),
            AddError::Stopped => PackError::Stopped,
            AddError::Write(cause) => PackError::Write(cause),
            error @ (AddError::Head | AddError::TooMany) => cannot(io::Error::other(error)),
        })?;
        self.done += copied;
        Ok(added)
    }
}

/// A file that must not be written to while it is read. Two versions of it can have as many bytes: what tells
/// is when it was written to.
struct Steady {
    file: File,
    modified: SystemTime,
    changed: bool,
}

impl Steady {
    fn new(file: File) -> io::Result<Self> {
        let modified = file.metadata()?.modified()?;
        Ok(Self { file, modified, changed: false })
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

/// What a name says of the file's contents. Text is UTF-8, since nothing else is written any more.
fn content_type(name: &OsStr) -> String {
    let guess = mime_guess::from_path(name).first_raw().unwrap_or("application/octet-stream");
    let is_text = guess.starts_with("text/") || matches!(guess, "application/javascript" | "application/xml");
    if is_text { format!("{guess}; charset=utf-8") } else { guess.to_owned() }
}

/// Why there is no image.
#[derive(Debug, Error)]
pub enum PackError {
    /// Something in the directory cannot be read.
    #[error("cannot read {}: {cause}", path.display())]
    Io {
        /// What.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// A file was written to while it was read, each time that was tried.
    #[error("{} changes while it is read: put files in place by renaming them", path.display())]
    Changed {
        /// Which one.
        path: PathBuf,
    },
    /// There are more files than can be served.
    #[error("more than {FILES_MAX} files")]
    TooMany,
    /// The image cannot be written.
    #[error("cannot write the image: {0}")]
    Write(io::Error),
    /// The watcher said so.
    #[error("stopped")]
    Stopped,
}
