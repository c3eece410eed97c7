//! What stands between two columns.

use std::fmt;

use super::super::SourceError;
use super::rows::without_end;

/// A byte between two columns, in ASCII.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Separator(u8);

/// What is looked for where a table does not say what it has.
pub(super) const COMMON: [Separator; 4] = [Separator(b','), Separator(b';'), Separator(b'\t'), Separator(b'|')];

impl Separator {
    pub(super) fn byte(self) -> u8 {
        self.0
    }

    /// As it is called.
    pub fn name(self) -> String {
        match self.0 {
            b',' => "comma".to_owned(),
            b';' => "semicolon".to_owned(),
            b'\t' => "tab".to_owned(),
            b'|' => "bar".to_owned(),
            other => format!("{:?}", char::from(other)),
        }
    }

    /// What a line says ahead of the table: `sep=;`, which Excel reads and writes. `None` where it is another line.
    pub(super) fn of_line(line: &[u8]) -> Option<Result<Self, SourceError>> {
        let line = without_end(line);
        let line = line.strip_prefix(b"\"").and_then(|line| line.strip_suffix(b"\"")).unwrap_or(line);
        let (start, rest) = line.split_at_checked(4)?;
        if !start.eq_ignore_ascii_case(b"sep=") {
            return None;
        }
        // A program that took the line for a row has filled it up.
        let separator = rest.split_first().filter(|(first, rest)| rest.iter().all(|byte| byte == *first));
        let separator = separator.map(|(&first, _)| first).filter(|&first| is_separator(first));
        Some(separator.map(Self).ok_or(SourceError::SeparatorLine))
    }
}

/// Whether it can be told from what is in a cell, and from the end of a row.
fn is_separator(byte: u8) -> bool {
    byte == b'\t' || byte.is_ascii_punctuation() && byte != b'"'
}

impl fmt::Display for Separator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", char::from(self.0))
    }
}
