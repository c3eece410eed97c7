//! Removes namespaces and folders that a process has left behind when a signal ended it.
//!
//! A shell waits for the end of its input, which is the end of this process, however that comes about; SIGKILL
//! included.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use tempfile::TempDir;

/// What it runs.
const SCRIPT: &str = include_str!("clean.sh");

/// Its input, once there is something to remove.
static INPUT: Mutex<Option<ChildStdin>> = Mutex::new(None);

fn shell() -> std::io::Result<ChildStdin> {
    // A process group of its own: Ctrl-C is for this process only.
    let mut command = Command::new("sh");
    command.args(["-c", SCRIPT]).process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    Ok(command.spawn()?.stdin.take().expect("it is piped"))
}

/// Has something removed when this process ends.
fn remember(line: &str) -> std::io::Result<()> {
    let mut input = INPUT.lock().unwrap_or_else(PoisonError::into_inner);
    if input.is_none() {
        *input = Some(shell()?);
    }
    match input.as_mut() {
        Some(input) => writeln!(input, "{line}"),
        None => Ok(()),
    }
}

/// Has a network namespace removed when this process ends, with all that runs in it.
///
/// # Errors
///
/// When there is no shell.
pub fn remember_space(name: &str) -> std::io::Result<()> {
    remember(&format!("space {name}"))
}

/// Has a folder removed when this process ends.
///
/// # Errors
///
/// When there is no shell.
pub fn remember_folder(path: &Path) -> std::io::Result<()> {
    remember(&format!("folder {}", path.display()))
}

/// Removes namespaces now, with all that runs in them; programs in all of them end before the first cable goes.
pub fn remove_spaces(names: &[&str]) {
    let mut command = Command::new("sh");
    command.args(["-c", SCRIPT]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let Ok(mut child) = command.spawn() else { return };
    if let Some(mut input) = child.stdin.take() {
        for name in names {
            let _ = writeln!(input, "space {name}");
        }
    }
    let _ = child.wait();
}

/// A folder in memory that every server may read, whatever user it has become. It goes with its owner, or with this
/// process.
///
/// # Errors
///
/// When it cannot be made.
pub fn folder(name: &str) -> std::io::Result<TempDir> {
    let memory = PathBuf::from("/dev/shm");
    let at = if memory.is_dir() { memory } else { std::env::temp_dir() };
    let folder = tempfile::Builder::new().prefix(&format!("lethe-{name}-")).tempdir_in(at)?;
    remember_folder(folder.path())?;
    open_to_all(folder.path())?;
    Ok(folder)
}

/// Lets every user read a folder.
///
/// # Errors
///
/// When it is not ours.
pub fn open_to_all(folder: &Path) -> std::io::Result<()> {
    std::fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o755))
}
