//! Lists the files of a directory that are served.
//!
//! Symbolic links are resolved while the tree is listed, and have to lead to a file within it. Each file is then opened
//! by its resolved path, beneath the directory and without following links (`openat2`). So a tree that is changed
//! meanwhile leads to an error, and never to a file from elsewhere.

use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};

use super::pack::{Options, PackError, PackObserver};
use super::path::{self, PATH_MAX};

/// The most files of an image: ten times what images are made for, and a bound on directories that link to one another.
pub const FILES_MAX: usize = 1 << 20;

/// The largest file, in bytes. It takes a quarter of the positions of an image.
pub const FILE_MAX: u64 = 1 << 30;

/// Why a file or directory is not served.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Skipped {
    /// Its name begins with a dot.
    Hidden,
    /// It is a link out of the directory.
    Outside,
    /// It is a link to nothing, or to itself.
    Dangling,
    /// It is a link to a directory that it is in.
    Loop,
    /// It is neither a file nor a directory.
    Special,
    /// There is a backslash in its name, which no request can have.
    Backslash,
    /// Its path has more than `PATH_MAX` bytes.
    Long,
    /// It has more than [`FILE_MAX`] bytes.
    Large,
}

impl Skipped {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Hidden,
        Self::Outside,
        Self::Dangling,
        Self::Loop,
        Self::Special,
        Self::Backslash,
        Self::Long,
        Self::Large,
    ];

    /// Whether to warn of it.
    pub const fn is_surprising(self) -> bool {
        !matches!(self, Self::Hidden)
    }
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hidden => "hidden",
            Self::Outside => "a link out of the directory",
            Self::Dangling => "a link to nothing",
            Self::Loop => "a link to a directory that it is in",
            Self::Special => "neither file nor directory",
            Self::Backslash => "a backslash in its name",
            Self::Long => "a path of more than 1024 bytes",
            Self::Large => "more than 1 GiB",
        })
    }
}

/// The files of a directory.
pub(super) struct Tree {
    /// The directory, without links.
    root: PathBuf,
    handle: File,
    /// Ascending by path.
    pub(super) files: Vec<Listed>,
}

/// A file that is served.
pub(super) struct Listed {
    /// The path of its requests, decoded.
    pub(super) path: Vec<u8>,
    /// Its path beneath the directory, with links resolved.
    real: PathBuf,
    /// Its bytes when it was listed.
    pub(super) len: u64,
}

#[cfg(test)]
impl Listed {
    /// A file with this path and length, which is nowhere.
    pub(super) fn of(path: &[u8], len: u64) -> Self {
        Self { path: path.to_owned(), real: PathBuf::new(), len }
    }
}

impl Tree {
    /// Lists a directory, after so many files of others.
    pub(super) fn list(
        directory: &Path,
        options: &Options,
        before: usize,
        observer: &mut dyn PackObserver,
    ) -> Result<Self, PackError> {
        let cannot = |cause| PackError::Io { path: directory.to_owned(), cause };
        let root = fs::canonicalize(directory).map_err(cannot)?;
        let handle = OpenOptions::new().read(true).custom_flags(OFlag::O_DIRECTORY.bits()).open(&root);
        let tree = Self { root, handle: handle.map_err(cannot)?, files: Vec::new() };
        let mut walk = Walk { tree, hidden: options.hidden, before, observer, within: Vec::new() };
        walk.directory(PathBuf::new(), &[])?;
        let mut tree = walk.tree;
        tree.files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        Ok(tree)
    }

    /// The number of the file with this path.
    pub(super) fn position(&self, path: &[u8]) -> Option<usize> {
        self.files.binary_search_by(|file| file.path.as_slice().cmp(path)).ok()
    }

    /// The path of a file, for messages.
    pub(super) fn name(&self, file: &Listed) -> PathBuf {
        self.root.join(&file.real)
    }

    /// Opens a file, if it is one still, and tells how long it is now.
    pub(super) fn open(&self, file: &Listed) -> io::Result<(File, u64)> {
        // If it has become a pipe, opening it must not wait for its other end.
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
        let resolve = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS;
        let opened = openat2(&self.handle, &file.real, OpenHow::new().flags(flags).resolve(resolve));
        let opened = File::from(opened.map_err(|error| match error {
            Errno::ELOOP | Errno::EXDEV => io::Error::other("became a link while it was read"),
            error => error.into(),
        })?);
        let metadata = opened.metadata()?;
        if metadata.is_file() { Ok((opened, metadata.len())) } else { Err(io::Error::other("is no file any more")) }
    }
}

/// The walk that lists a tree.
struct Walk<'w> {
    tree: Tree,
    hidden: bool,
    /// The files of other trees.
    before: usize,
    observer: &'w mut dyn PackObserver,
    /// The directories on the way down to this one, with links resolved.
    within: Vec<PathBuf>,
}

/// What an entry of a directory is after links are resolved, and its path.
enum Kind {
    File(PathBuf, u64),
    Directory(PathBuf),
    Skipped(Skipped),
}

impl Walk<'_> {
    /// Lists a directory: `real` beneath the root, `path` in requests. `PATH_MAX` limits the depth.
    fn directory(&mut self, real: PathBuf, path: &[u8]) -> Result<(), PackError> {
        let name = self.tree.root.join(&real);
        let cannot = |cause| PackError::Io { path: name.clone(), cause };
        let entries = fs::read_dir(&name).map_err(cannot)?.collect::<io::Result<Vec<_>>>().map_err(cannot)?;
        self.within.push(real);
        for entry in entries {
            if self.observer.stop() {
                return Err(PackError::Stopped);
            }
            let path = [path, b"/", entry.file_name().as_bytes()].concat();
            let cannot = |cause| PackError::Io { path: entry.path(), cause };
            match self.kind(&entry, &path).map_err(cannot)? {
                Kind::Skipped(why) => self.observer.skipped(&entry.path(), why),
                Kind::Directory(real) if self.within.contains(&real) => {
                    self.observer.skipped(&entry.path(), Skipped::Loop);
                }
                Kind::Directory(real) => self.directory(real, &path)?,
                Kind::File(real, len) => {
                    if self.before + self.tree.files.len() == FILES_MAX {
                        return Err(PackError::TooMany);
                    }
                    self.tree.files.push(Listed { path, real, len });
                    self.observer.listed((self.before + self.tree.files.len()) as u64);
                }
            }
        }
        self.within.pop();
        Ok(())
    }

    fn kind(&self, entry: &fs::DirEntry, path: &[u8]) -> io::Result<Kind> {
        let name = entry.file_name();
        if name.as_bytes().starts_with(b".") && !self.hidden {
            return Ok(Kind::Skipped(Skipped::Hidden));
        }
        match path::check(path) {
            Ok(()) => {}
            Err(path::PathError::Long) => return Ok(Kind::Skipped(Skipped::Long)),
            // A file name has no NUL and is neither `.` nor `..`.
            Err(_) => return Ok(Kind::Skipped(Skipped::Backslash)),
        }
        let kind = entry.file_type()?;
        if kind.is_symlink() {
            return self.target(&entry.path());
        }
        let real = self.within.last().map_or_else(PathBuf::new, |within| within.join(&name));
        if kind.is_dir() {
            Ok(Kind::Directory(real))
        } else if kind.is_file() {
            Ok(file(real, entry.metadata()?.len()))
        } else {
            Ok(Kind::Skipped(Skipped::Special))
        }
    }

    /// What a link leads to.
    fn target(&self, link: &Path) -> io::Result<Kind> {
        let target = match fs::canonicalize(link) {
            Ok(target) => target,
            Err(error) if matches!(error.raw_os_error().map(Errno::from_raw), Some(Errno::ENOENT | Errno::ELOOP)) => {
                return Ok(Kind::Skipped(Skipped::Dangling));
            }
            // The target is in a directory that the server may not read, so it is not served either.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Ok(Kind::Skipped(Skipped::Outside));
            }
            Err(error) => return Err(error),
        };
        let Ok(real) = target.strip_prefix(&self.tree.root) else { return Ok(Kind::Skipped(Skipped::Outside)) };
        let metadata = fs::symlink_metadata(&target)?;
        Ok(if metadata.is_dir() {
            Kind::Directory(real.to_owned())
        } else if metadata.is_file() {
            file(real.to_owned(), metadata.len())
        } else {
            Kind::Skipped(Skipped::Special)
        })
    }
}

fn file(real: PathBuf, len: u64) -> Kind {
    if len > FILE_MAX { Kind::Skipped(Skipped::Large) } else { Kind::File(real, len) }
}

/// The last part of a path.
pub(super) fn file_name(path: &[u8]) -> &OsStr {
    let start = path.iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1);
    OsStr::from_bytes(&path[start..])
}

const _: () = assert!(PATH_MAX == 1024, "the text of Skipped::Long says so");

#[cfg(test)]
mod tests {
    use nix::fcntl::{FcntlArg, FdFlag, fcntl};

    use super::*;

    struct Silent;

    impl PackObserver for Silent {
        fn listed(&mut self, _: u64) {}
        fn skipped(&mut self, _: &Path, _: Skipped) {}
        fn unused(&mut self, _: &Path, _: Option<&Path>, _: crate::files::Flaw) {}
        fn compared(&mut self, _: u64, _: u64) {}
        fn packed(&mut self, _: u64, _: u64) {}
    }

    #[test]
    fn no_other_program_gets_a_file_that_is_open() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("a"), b"a").unwrap();
        let tree = Tree::list(directory.path(), &Options::default(), 0, &mut Silent).unwrap();
        let (file, len) = tree.open(&tree.files[0]).unwrap();
        assert_eq!(len, 1);
        assert_eq!(fcntl(&file, FcntlArg::F_GETFD).unwrap(), FdFlag::FD_CLOEXEC.bits());
    }

    #[test]
    fn a_file_of_a_gibibyte_is_listed_and_a_larger_one_is_not() {
        let directory = tempfile::tempdir().unwrap();
        for (name, len) in [("a", FILE_MAX), ("b", FILE_MAX + 1)] {
            File::create(directory.path().join(name)).unwrap().set_len(len).unwrap();
        }
        let tree = Tree::list(directory.path(), &Options::default(), 0, &mut Silent).unwrap();
        let listed: Vec<_> = tree.files.iter().map(|file| (&*file.path, file.len)).collect();
        assert_eq!(listed, [(&b"/a"[..], 1 << 30)]);
    }

    #[test]
    fn the_name_of_a_file_is_behind_the_last_slash() {
        for (path, name) in [(&b"/a/b.c"[..], "b.c"), (b"/a", "a"), (b"a", "a"), (b"/a/", "")] {
            assert_eq!(file_name(path), name);
        }
    }
}
