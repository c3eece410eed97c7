//! What is wrong with a file of rules, and where.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why rules cannot be answered from.
#[derive(Debug, Error)]
pub enum RulesError {
    /// The file of rules cannot be read.
    #[error("cannot read {}", path.display())]
    Io {
        /// Its path.
        path: PathBuf,
        /// The error of the file system.
        #[source]
        cause: io::Error,
    },
    /// Something in it is wrong.
    #[error("{}:{line}:{column}: {what}", path.display())]
    Rule {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The character of the line, from 1.
        column: usize,
        /// What is wrong, and what would be right.
        what: String,
        /// The error of the file system, where a file that is named there cannot be read.
        #[source]
        cause: Option<io::Error>,
    },
}

/// Something that is wrong at a place of the text.
#[derive(Debug)]
pub(super) struct Fault {
    at: usize,
    what: String,
    cause: Option<io::Error>,
}

impl Fault {
    pub(super) fn new(at: &Range<usize>, what: impl Into<String>) -> Self {
        Self { at: at.start, what: what.into(), cause: None }
    }

    /// There is no position left for an answer.
    pub(super) fn full(at: &Range<usize>) -> Self {
        Self::new(at, "all answers together are longer than 4 GiB")
    }

    /// A file of this path cannot be read.
    pub(super) fn unreadable(at: &Range<usize>, path: &Path, cause: io::Error) -> Self {
        Self { cause: Some(cause), ..Self::new(at, format!("cannot read {}", path.display())) }
    }

    /// As an error in the file of this path and text.
    pub(super) fn in_file(self, path: &Path, text: &str) -> RulesError {
        let before = text.get(..self.at).unwrap_or(text);
        let (line, column) = place(before);
        RulesError::Rule { path: path.to_owned(), line, column, what: self.what, cause: self.cause }
    }
}

impl From<toml::de::Error> for Fault {
    fn from(error: toml::de::Error) -> Self {
        let what = error.message().trim().replace('\n', ", ");
        Self::new(&error.span().unwrap_or_default(), what)
    }
}

/// Line and column of what follows a text.
pub(super) fn place(before: &str) -> (usize, usize) {
    let line = before.rsplit('\n').next().unwrap_or_default();
    (before.matches('\n').count() + 1, line.chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_counted_in_lines_and_characters() {
        for (before, expect) in [("", (1, 1)), ("a", (1, 2)), ("a\n", (2, 1)), ("a\r\n\u{e9}b", (2, 3))] {
            assert_eq!(place(before), expect, "{before:?}");
        }
    }
}
