//! Files that are there as a whole or not at all.
//!
//! A file in the making has a name beside the one that it is to have. It goes when the [`Output`] is dropped, which is
//! what happens on every error, such as a full disk; and when a signal ends the command, for which a thread waits that
//! knows all names (`Unfinished`). Only SIGKILL and a power failure leave it there.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::{process, thread};

use anyhow::Context;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;
use tempfile::NamedTempFile;

use crate::message::note;

/// What a new file may be, before the process's umask takes from it.
const MODE: u32 = 0o666;

/// What ends a command: Ctrl-C, `kill`, the end of its terminal, Ctrl-\.
const ENDS: [i32; 4] = [SIGINT, SIGTERM, SIGHUP, SIGQUIT];

/// The names of all files in the making, for the thread that removes them when a signal comes.
static UNFINISHED: Mutex<Vec<Unfinished>> = Mutex::new(Vec::new());

/// A file in the making.
#[derive(PartialEq, Eq)]
struct Unfinished {
    /// What it is called now,
    temporary: PathBuf,
    /// and what it is to be called.
    path: PathBuf,
}

/// Locked while a file gets its name, so that a signal finds it either finished or not.
fn unfinished() -> MutexGuard<'static, Vec<Unfinished>> {
    UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From the first call on, a signal that ends the command removes what is unfinished, and says so.
fn remove_on_signal() -> io::Result<()> {
    static STARTED: Mutex<bool> = Mutex::new(false);
    let mut started = STARTED.lock().unwrap_or_else(PoisonError::into_inner);
    if !*started {
        let mut signals = Signals::new(ENDS)?;
        let wait = move || {
            if signals.forever().next().is_some() {
                // It is not given back: no file begins or gets its name any more.
                let files = unfinished();
                for Unfinished { temporary, path } in files.iter() {
                    let _ = fs::remove_file(temporary);
                    note(format_args!("interrupted: nothing was written to {}", path.display()));
                }
                process::exit(1);
            }
        };
        thread::Builder::new().name("signals".to_owned()).spawn(wait)?;
        *started = true;
    }
    Ok(())
}

/// A file in the making. What had its name before stays until [`Output::finish`], and for good if that is
/// never called.
pub struct Output {
    path: PathBuf,
    sink: Sink,
}

enum Sink {
    /// Beside the path, so that it can be renamed onto it.
    Beside(Beside),
    /// A device or pipe, such as `/dev/null`: nothing that could be replaced.
    Direct(File),
}

impl Output {
    /// Begins a file that is to have this path.
    pub fn create(path: &Path) -> anyhow::Result<Self> {
        let sink = Sink::create(path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Self { path: path.to_owned(), sink })
    }

    /// Whether the file is going to be somewhere beneath `directory`, which has no links in its path.
    pub fn is_within(&self, directory: &Path) -> bool {
        match &self.sink {
            Sink::Beside(Beside { file: Some(file) }) => {
                fs::canonicalize(file.path()).is_ok_and(|path| path.starts_with(directory))
            }
            Sink::Beside(_) | Sink::Direct(_) => false,
        }
    }

    /// Gives the file its name.
    pub fn finish(self) -> anyhow::Result<()> {
        let kept = match self.sink {
            Sink::Beside(file) => file.persist(&self.path),
            Sink::Direct(_) => Ok(()),
        };
        kept.with_context(|| format!("cannot write {}", self.path.display()))
    }
}

/// A file beside the path that it is to have, gone when this is dropped.
struct Beside {
    /// Until it has its name.
    file: Option<NamedTempFile>,
}

impl Beside {
    fn create(path: &Path) -> io::Result<Self> {
        remove_on_signal()?;
        let mut files = unfinished();
        let mut builder = tempfile::Builder::new();
        let builder = builder.prefix(".lethe-").permissions(Permissions::from_mode(MODE));
        let file = builder.tempfile_in(parent(path))?;
        files.push(Unfinished { temporary: file.path().to_owned(), path: path.to_owned() });
        Ok(Self { file: Some(file) })
    }

    fn file(&mut self) -> &mut NamedTempFile {
        self.file.as_mut().expect("it is there until it has its name")
    }

    /// Renames it into place: its bytes first, so that not even a crash leaves a name without them.
    fn persist(mut self, path: &Path) -> io::Result<()> {
        self.file().as_file().sync_all()?;
        {
            let mut files = unfinished();
            let file = self.file.take().expect("it has no name yet");
            files.retain(|unfinished| unfinished.temporary != file.path());
            file.persist(path).map_err(|error| error.error)?;
        }
        File::open(parent(path))?.sync_all()
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        let mut files = unfinished();
        if let Some(file) = self.file.take() {
            files.retain(|unfinished| unfinished.temporary != file.path());
        }
    }
}

/// The directory that a file is in.
fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

impl Sink {
    fn create(path: &Path) -> io::Result<Self> {
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
            Ok(metadata) if !metadata.is_file() => OpenOptions::new().write(true).open(path).map(Self::Direct),
            _ => Beside::create(path).map(Self::Beside),
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.sink {
            Sink::Beside(file) => file.file().write(bytes),
            Sink::Direct(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.sink {
            Sink::Beside(file) => file.file().flush(),
            Sink::Direct(file) => file.flush(),
        }
    }
}

impl Seek for Output {
    /// A pipe cannot, and says so.
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match &mut self.sink {
            Sink::Beside(file) => file.file().seek(to),
            Sink::Direct(file) => file.seek(to),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names in a directory.
    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_file_replaces_the_old_one_only_when_it_is_finished() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("out");
        fs::write(&path, "old").unwrap();

        let mut output = Output::create(&path).unwrap();
        output.write_all(b"new").unwrap();
        drop(output);
        assert_eq!(fs::read(&path).unwrap(), b"old");

        let mut output = Output::create(&path).unwrap();
        output.write_all(b"new").unwrap();
        output.finish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(names(directory.path()), ["out"]);
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o600, 0o600);
        assert_eq!(mode & 0o111, 0);
    }

    #[test]
    fn a_device_is_written_to_and_never_replaced() {
        let mut output = Output::create(Path::new("/dev/null")).unwrap();
        output.write_all(b"new").unwrap();
        output.finish().unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
    }

    #[test]
    fn what_cannot_be_created_is_named() {
        let directory = tempfile::tempdir().unwrap();
        for path in [directory.path().to_owned(), directory.path().join("missing/out")] {
            let error = Output::create(&path).map(drop).unwrap_err();
            assert_eq!(error.to_string(), format!("cannot create {}", path.display()));
        }
    }
}
