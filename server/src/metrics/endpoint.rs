//! Where counters are asked for: a Unix socket, or a TCP port of the kernel on this machine.

use std::fmt;
use std::fs::{self, DirBuilder};
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt, lchown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, anyhow, bail, ensure};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Gid, Uid, User};

use crate::message::{note, warn};

/// Where `lethe top` looks if it is told nothing.
pub(crate) const DEFAULT: &str = "unix:/run/lethe/metrics.sock";

/// What others may not do to a socket: its mode is 0660, and connecting takes the right to write.
const SOCKET_UMASK: Mode = Mode::from_bits_truncate(0o117);

/// The mode of a directory that is made for a socket: open to all users. Access is limited by the socket's own mode.
const DIRECTORY_MODE: u32 = 0o755;

/// A place as the command line names it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Endpoint {
    /// `unix:PATH`
    Unix(PathBuf),
    /// `IP:PORT[,public]`
    Tcp {
        /// An address of the kernel's, not one of ours.
        address: SocketAddr,
        /// Others than this machine may ask.
        is_public: bool,
    },
}

impl FromStr for Endpoint {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(path) = text.strip_prefix("unix:") {
            ensure!(!path.is_empty(), "a Unix socket needs a path, as in {DEFAULT}");
            return Ok(Self::Unix(path.into()));
        }
        let (address, is_public) = text.strip_suffix(",public").map_or((text, false), |address| (address, true));
        let address: SocketAddr =
            address.parse().map_err(|_| anyhow!("want unix:PATH or IP:PORT, as in {DEFAULT} or 127.0.0.1:9690"))?;
        ensure!(address.port() != 0, "port 0 is none: want a number from 1 to 65535");
        Ok(Self::Tcp { address, is_public })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp { address, .. } => write!(f, "{address}"),
        }
    }
}

/// A socket that is listened on. Nothing of it blocks.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(super) socket: Socket,
    _file: Option<SocketFile>,
}

/// A socket of either kind.
#[derive(Debug)]
pub(super) enum Socket {
    Unix(UnixListener),
    Tcp(TcpListener),
}

impl Listener {
    /// Opens the socket, before privileges are dropped to those of `user`: a Unix socket becomes that user's.
    pub(crate) fn open(endpoint: &Endpoint, user: &str) -> anyhow::Result<Self> {
        let listener = match endpoint {
            Endpoint::Unix(path) => Self::open_unix(path, user),
            Endpoint::Tcp { address, is_public } => Self::open_tcp(*address, *is_public),
        };
        let listener = listener.with_context(|| format!("--metrics {endpoint}"))?;
        note(format_args!("metrics at {endpoint}"));
        Ok(listener)
    }

    fn open_unix(path: &Path, user: &str) -> anyhow::Result<Self> {
        let owner = if Uid::effective().is_root() { User::from_name(user)? } else { None };
        let owner = owner.map(|user| (user.uid, user.gid));
        make_directory(path, owner)?;
        let socket = bind(path)?;
        socket.set_nonblocking(true)?;
        own(path, owner)?;
        let file = fs::symlink_metadata(path)
            .map(|data| SocketFile { path: path.to_owned(), id: (data.dev(), data.ino()) })?;
        if !file.is_removable_by(owner) {
            warn(format_args!(
                "{user} cannot remove {path} when all is over, and it stays until the next start: \
                 name one in a directory of its own, such as {DEFAULT}",
                path = path.display()
            ));
        }
        Ok(Self { socket: Socket::Unix(socket), _file: Some(file) })
    }

    fn open_tcp(address: SocketAddr, is_public: bool) -> anyhow::Result<Self> {
        ensure!(
            is_public || is_loopback(address.ip()),
            "other machines could ask as well: take 127.0.0.1:{0}, or say {address},public if that is meant",
            address.port()
        );
        let socket = TcpListener::bind(address).map_err(|error| match error.kind() {
            io::ErrorKind::AddrInUse => anyhow!("the port is in use: take another one"),
            io::ErrorKind::AddrNotAvailable => {
                anyhow!("the kernel has no such address: this one is asked by the kernel's TCP, not by Lethe's")
            }
            _ => error.into(),
        })?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket: Socket::Tcp(socket), _file: None })
    }
}

fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

/// The file of a Unix socket. It is removed with this value, if it is still the same.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    /// Device and inode.
    id: (u64, u64),
}

impl SocketFile {
    /// Whether who is left when privileges are gone may remove it from its directory.
    fn is_removable_by(&self, owner: Option<(Uid, Gid)>) -> bool {
        // Who gives nothing up has just made it.
        let Some((uid, _)) = owner else { return true };
        fs::metadata(directory(&self.path)).is_ok_and(|data| {
            let mode = data.permissions().mode();
            (data.uid() == uid.as_raw() && mode & 0o300 == 0o300) || mode & 0o003 == 0o003
        })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|data| (data.dev(), data.ino()) == self.id) {
            // What may not be removed was told of at start, and the next start replaces it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The directory that a file is in.
fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes the directory of the socket if there is none, for the user who has to remove the socket from it.
fn make_directory(path: &Path, owner: Option<(Uid, Gid)>) -> anyhow::Result<()> {
    let directory = directory(path);
    match DirBuilder::new().mode(DIRECTORY_MODE).create(directory) {
        Ok(()) => own(directory, owner).map_err(Into::into),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error).with_context(|| format!("cannot make the directory {}", directory.display())),
    }
}

/// Changes the owner of a file; of a link itself, should one have been put in its place.
fn own(path: &Path, owner: Option<(Uid, Gid)>) -> io::Result<()> {
    owner.map_or(Ok(()), |(uid, gid)| lchown(path, Some(uid.as_raw()), Some(gid.as_raw())))
}

/// A socket of this name. One that a dead server left is replaced; one that is in use is not.
fn bind(path: &Path) -> anyhow::Result<UnixListener> {
    let bind = || {
        // At no moment may another user connect.
        let before = umask(SOCKET_UMASK);
        let bound = UnixListener::bind(path);
        umask(before);
        bound
    };
    match bind() {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
        bound => return Ok(bound?),
    }
    ensure!(
        fs::symlink_metadata(path)?.file_type().is_socket(),
        "there is a file of that name, and it is no socket: remove it, or name another"
    );
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
        Err(error) => return Err(error.into()),
        Ok(_) => bail!("the socket is in use, by another server? Give this one another path"),
    }
    fs::remove_file(path)?;
    Ok(bind()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_path_or_an_address() {
        let unix = Endpoint::Unix("/run/lethe/metrics.sock".into());
        assert_eq!(DEFAULT.parse::<Endpoint>().unwrap(), unix);
        assert_eq!(unix.to_string(), DEFAULT);
        for (text, is_public) in [("127.0.0.1:9690", false), ("[::1]:9690", false), ("0.0.0.0:80,public", true)] {
            let address = text.trim_end_matches(",public");
            let endpoint: Endpoint = text.parse().unwrap();
            assert_eq!(endpoint, Endpoint::Tcp { address: address.parse().unwrap(), is_public });
            assert_eq!(endpoint.to_string(), address);
        }
    }

    #[test]
    fn each_mistake_is_told_from_the_others() {
        let error = |text: &str| text.parse::<Endpoint>().unwrap_err().to_string();
        let want = "want unix:PATH or IP:PORT, as in unix:/run/lethe/metrics.sock or 127.0.0.1:9690";
        for text in ["", "9690", "/run/lethe.sock", "127.0.0.1", "localhost:9690", "127.0.0.1:9690,all"] {
            assert_eq!(error(text), want, "{text}");
        }
        assert_eq!(error("unix:"), "a Unix socket needs a path, as in unix:/run/lethe/metrics.sock");
        assert_eq!(error("127.0.0.1:0"), "port 0 is none: want a number from 1 to 65535");
    }

    #[test]
    fn only_this_machine_may_ask_unless_it_is_said() {
        let open = |text: &str| {
            Listener::open(&text.parse().unwrap(), "nobody").map(drop).map_err(|error| format!("{error:#}"))
        };
        for address in ["0.0.0.0:19690", "[::]:19690", "192.0.2.1:19690", "[::ffff:192.0.2.1]:19690"] {
            let told = format!(
                "--metrics {address}: other machines could ask as well: take 127.0.0.1:19690, or say {address},public \
                 if that is meant"
            );
            assert_eq!(open(address), Err(told));
        }
        let none = "the kernel has no such address: this one is asked by the kernel's TCP, not by Lethe's";
        assert_eq!(open("192.0.2.1:19690,public"), Err(format!("--metrics 192.0.2.1:19690: {none}")));
    }

    #[test]
    fn a_socket_that_is_listened_on_stays_and_one_that_is_not_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("made/socket");
        let endpoint = Endpoint::Unix(path.clone());
        let open = || Listener::open(&endpoint, "nobody").map_err(|error| format!("{error:#}"));
        let first = open().unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
        let taken = open().unwrap_err();
        assert!(taken.ends_with("the socket is in use, by another server? Give this one another path"), "{taken}");

        // What is left of a process that was killed.
        let Listener { socket, _file: file } = first;
        drop(socket);
        std::mem::forget(file);
        assert!(path.exists());
        let second = open().unwrap();
        // A socket of another server is not removed.
        fs::rename(&path, folder.path().join("moved")).unwrap();
        let other = UnixListener::bind(&path).unwrap();
        drop(second);
        assert!(path.exists());
        drop(other);
        drop(open().unwrap());
        assert!(!path.exists());

        fs::write(&path, "text").unwrap();
        let error = open().unwrap_err();
        assert!(
            error.ends_with("there is a file of that name, and it is no socket: remove it, or name another"),
            "{error}"
        );
        assert_eq!(fs::read(&path).unwrap(), b"text");
    }
}
