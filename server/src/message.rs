//! Messages on standard error.

use std::fmt::Display;
use std::io::{self, Write};
use std::sync::OnceLock;

/// The name of the command: what messages begin with.
static NAME: OnceLock<&'static str> = OnceLock::new();

/// Says what the name of the command is, once.
pub(crate) fn set_name(name: &'static str) {
    let _ = NAME.set(name);
}

/// The name of the command.
pub(crate) fn name() -> &'static str {
    NAME.get().copied().unwrap_or("lethe")
}

/// Writes a warning to standard error: something is wrong, and the command goes on.
pub fn warn(message: impl Display) {
    tell("warning", message);
}

/// Writes to standard error what is being done, or was.
pub fn note(message: impl Display) {
    tell(name(), message);
}

/// Writes a line to standard error, behind what it is or is from.
pub(crate) fn tell(prefix: &str, message: impl Display) {
    // A standard error that is closed is no reason to stop.
    let _ = writeln!(io::stderr(), "{prefix}: {message}");
}
