//! Standard output, and a reader of it that has seen enough: `lethe simulate … | head`.

use std::fmt::{self, Display};
use std::io::{self, ErrorKind, Write};

use anyhow::Context;

/// The reader of standard output has left, which is no failure: the command ends, and says nothing of it.
#[derive(Debug)]
pub struct ReaderLeft;

impl Display for ReaderLeft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the reader of standard output has left")
    }
}

impl std::error::Error for ReaderLeft {}

/// What came of writing to standard output.
pub trait Printed<T> {
    /// An error that names standard output, or [`ReaderLeft`].
    fn printed(self) -> anyhow::Result<T>;
}

impl<T> Printed<T> for io::Result<T> {
    fn printed(self) -> anyhow::Result<T> {
        match self {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(ReaderLeft.into()),
            other => other.context("standard output"),
        }
    }
}

/// Writes a line to standard output.
pub fn print_line(line: impl Display) -> anyhow::Result<()> {
    writeln!(io::stdout(), "{line}").printed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_leaves_is_told_from_a_disk_that_is_full() {
        let error = |kind: ErrorKind| Err::<(), _>(io::Error::from(kind)).printed().unwrap_err();
        assert!(error(ErrorKind::BrokenPipe).is::<ReaderLeft>());
        let full = error(ErrorKind::StorageFull);
        assert!(!full.is::<ReaderLeft>() && format!("{full:#}").starts_with("standard output: "), "{full:#}");
    }
}
