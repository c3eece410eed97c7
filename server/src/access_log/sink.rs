//! Where lines go.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt, fchown};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};
use nix::unistd::{Uid, User};

use super::format::syslog_time;
use crate::message::name;

/// The socket of syslog.
const SYSLOG: &str = "/dev/log";

/// The facility `local0`, at the severity `info` (RFC 3164, section 4.1.1).
const PRIORITY: u8 = 16 * 8 + 6;

/// Bytes that are written to a file at a time.
const BATCH: usize = 64 << 10;

/// How long the other end of a socket is waited for.
const PATIENCE: Duration = Duration::from_millis(20);

/// The mode of a file that is made.
const MODE: u32 = 0o640;

/// A place as the command line names it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Place {
    File(PathBuf),
    /// `unix:PATH`
    Unix(PathBuf),
    /// `syslog`
    Syslog,
}

impl FromStr for Place {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        ensure!(!text.is_empty(), "want a file, unix:PATH or syslog");
        match text.strip_prefix("unix:") {
            Some(path) => {
                ensure!(!path.is_empty(), "a Unix socket needs a path, as in unix:/run/vector/access.sock");
                Ok(Self::Unix(path.into()))
            }
            None if text == "syslog" => Ok(Self::Syslog),
            None => Ok(Self::File(text.into())),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Syslog => f.write_str("syslog"),
        }
    }
}

/// What became of lines.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// Those that were written.
    pub(super) lines: u64,
    /// How many were not, and why.
    pub(super) failed: Option<(u64, io::Error)>,
}

impl Written {
    fn of(lines: u64, result: io::Result<()>) -> Self {
        match result {
            Ok(()) => Self { lines, failed: None },
            Err(error) => Self { lines: 0, failed: Some((lines, error)) },
        }
    }
}

/// A place that is open.
pub(super) enum Sink {
    File {
        path: PathBuf,
        file: File,
        batch: Vec<u8>,
        lines: u64,
    },
    /// The socket of the other end; what goes ahead of each line, if it is syslog.
    Socket {
        socket: UnixDatagram,
        path: PathBuf,
        is_connected: bool,
        is_syslog: bool,
        datagram: Vec<u8>,
    },
}

impl Sink {
    /// Opens it, before privileges are dropped to those of `user`: a file that is made becomes that user's.
    pub(super) fn open(place: &Place, user: &str) -> anyhow::Result<Self> {
        match place {
            Place::File(path) => {
                let is_new = !path.exists();
                let file = open_file(path)?;
                if is_new
                    && Uid::effective().is_root()
                    && let Some(owner) = User::from_name(user)?
                {
                    fchown(&file, Some(owner.uid.as_raw()), Some(owner.gid.as_raw())).context("cannot give it away")?;
                }
                Ok(Self::File { path: path.clone(), file, batch: Vec::with_capacity(2 * BATCH), lines: 0 })
            }
            Place::Unix(path) => Self::open_socket(path, false),
            Place::Syslog => Self::open_socket(Path::new(SYSLOG), true),
        }
    }

    fn open_socket(path: &Path, is_syslog: bool) -> anyhow::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        // A receiver that is slow holds the thread up for a while; what comes then is lost in the rings.
        socket.set_write_timeout(Some(PATIENCE))?;
        socket.connect(path).with_context(|| format!("nothing receives at {}", path.display()))?;
        let (path, datagram) = (path.to_owned(), Vec::new());
        Ok(Self::Socket { socket, path, is_connected: true, is_syslog, datagram })
    }

    /// Opens a file again, which was moved away.
    pub(super) fn reopen(&mut self) -> anyhow::Result<()> {
        if let Self::File { path, file, .. } = self {
            *file = open_file(path).with_context(|| format!("cannot open {}", path.display()))?;
        }
        Ok(())
    }

    /// Writes a line, which ends with a line end.
    pub(super) fn write(&mut self, line: &[u8]) -> Written {
        match self {
            Self::File { batch, lines, .. } => {
                batch.extend(line);
                *lines += 1;
                if batch.len() >= BATCH { self.flush() } else { Written::default() }
            }
            Self::Socket { socket, path, is_connected, is_syslog, datagram } => {
                let line = line.strip_suffix(b"\n").unwrap_or(line);
                datagram.clear();
                if *is_syslog {
                    let second = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
                    let time = syslog_time(second);
                    // Writing to memory does not fail.
                    let _ = write!(datagram, "<{PRIORITY}>{time} {}[{}]: ", name(), std::process::id());
                }
                datagram.extend(line);
                // What receives may have been started again.
                if !*is_connected {
                    *is_connected = socket.connect(&*path).is_ok();
                }
                let sent = socket.send(datagram).map(drop);
                *is_connected = sent.is_ok();
                Written::of(1, sent)
            }
        }
    }

    /// Writes what waits for more.
    pub(super) fn flush(&mut self) -> Written {
        match self {
            Self::File { file, batch, lines, .. } if !batch.is_empty() => {
                let result = file.write_all(batch);
                batch.clear();
                Written::of(std::mem::take(lines), result)
            }
            Self::File { .. } | Self::Socket { .. } => Written::default(),
        }
    }
}

fn open_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(MODE).open(path)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_place_is_a_file_a_socket_or_syslog() {
        let parse = |text: &str| text.parse::<Place>().unwrap();
        assert_eq!(parse("/var/log/lethe/access.log"), Place::File("/var/log/lethe/access.log".into()));
        assert_eq!(parse("unix:/run/x"), Place::Unix("/run/x".into()));
        assert_eq!(parse("syslog"), Place::Syslog);
        for wrong in ["", "unix:"] {
            assert!(wrong.parse::<Place>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_file_is_added_to_and_opened_again_where_it_was_moved_away() {
        let folder = tempfile::tempdir().unwrap();
        let (path, old) = (folder.path().join("log"), folder.path().join("log.1"));
        fs::write(&path, "before\n").unwrap();
        let mut sink = Sink::open(&Place::File(path.clone()), "nobody").unwrap();
        assert_eq!(sink.write(b"one\n").lines, 0);
        assert_eq!(sink.flush().lines, 1);
        fs::rename(&path, &old).unwrap();
        sink.write(b"two\n");
        sink.flush();
        sink.reopen().unwrap();
        sink.write(b"three\n");
        sink.flush();
        let read = |path| fs::read_to_string(path).unwrap();
        assert_eq!((read(&old), read(&path)), ("before\none\ntwo\n".to_owned(), "three\n".to_owned()));
    }

    #[test]
    fn what_a_full_disk_does_not_take_is_lost_and_counted() {
        let mut sink = Sink::open(&Place::File("/dev/full".into()), "nobody").unwrap();
        sink.write(b"one\n");
        sink.write(b"two\n");
        let Written { lines, failed } = sink.flush();
        assert_eq!((lines, failed.map(|(lines, _)| lines)), (0, Some(2)));
    }

    #[test]
    fn a_socket_gets_a_datagram_for_each_line_also_after_it_was_away() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        assert!(Sink::open(&Place::Unix(path.clone()), "nobody").is_err(), "nothing receives there");
        let receive = |socket: &UnixDatagram| {
            let mut room = [0; 100];
            let len = socket.recv(&mut room).unwrap();
            room[..len].to_vec()
        };
        let receiver = UnixDatagram::bind(&path).unwrap();
        let mut sink = Sink::open(&Place::Unix(path.clone()), "nobody").unwrap();
        assert_eq!(sink.write(b"one\n").lines, 1);
        assert_eq!(receive(&receiver), b"one");
        drop(receiver);
        fs::remove_file(&path).unwrap();
        assert!(sink.write(b"lost\n").failed.is_some());
        let receiver = UnixDatagram::bind(&path).unwrap();
        assert_eq!(sink.write(b"two\n").lines, 1);
        assert_eq!(receive(&receiver), b"two");
    }
}
