//! The separator of columns.

use std::fmt;

use thiserror::Error;

use super::super::SourceError;
use super::rows::without_end;

/// An ASCII character that separates columns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Separator(u8);

/// The separators that are tried when a table does not name one.
pub(super) const COMMON: [Separator; 4] = [Separator(b','), Separator(b';'), Separator(b'\t'), Separator(b'|')];

impl Separator {
    pub(super) fn byte(self) -> u8 {
        self.0
    }

    /// Its name.
    pub fn name(self) -> String {
        match self.0 {
            b',' => "comma".to_owned(),
            b';' => "semicolon".to_owned(),
            b'\t' => "tab".to_owned(),
            b'|' => "bar".to_owned(),
            other => format!("{:?}", char::from(other)),
        }
    }

    /// Parses a line `sep=;` before the table, which Excel reads and writes. `None` for any other line.
    pub(super) fn of_line(line: &[u8]) -> Option<Result<Self, SourceError>> {
        let line = without_end(line);
        let line = line.strip_prefix(b"\"").and_then(|line| line.strip_suffix(b"\"")).unwrap_or(line);
        let (start, rest) = line.split_at_checked(4)?;
        if !start.eq_ignore_ascii_case(b"sep=") {
            return None;
        }
        // A program that took the line for a row may have appended separators.
        let separator = rest.split_first().filter(|(first, rest)| rest.iter().all(|byte| byte == *first));
        let separator = separator.map(|(&first, _)| first).filter(|&first| is_separator(first));
        Some(separator.map(Self).ok_or(SourceError::SeparatorLine))
    }
}

/// Whether a byte can be a separator: not part of a number or a word, no quote and no line end.
fn is_separator(byte: u8) -> bool {
    byte == b'\t' || byte.is_ascii_punctuation() && byte != b'"'
}

impl fmt::Display for Separator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", char::from(self.0))
    }
}

/// What to do about a first line with only one column.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum SeparatorHint {
    /// The whole line is in quotes.
    #[error("the line is in quotes as a whole; remove those around each line, or export the table again")]
    Quoted,
    /// The line `sep=` names another separator than the one that is used.
    #[error(
        "the line ahead of it says sep={said}, and what separates the columns seems to be a {}: put sep={found} there, \
        or leave the line out", found.name()
    )]
    Other {
        /// The separator that the table names.
        said: Separator,
        /// The separator that is used.
        found: Separator,
    },
    /// The line has a character that may be the separator.
    #[error(
        "where columns are not separated by {}, put a line that says by what ahead of it: sep={found}",
        tried(*said)
    )]
    Unsaid {
        /// The separator that the table names.
        said: Option<Separator>,
        /// The separator that is used.
        found: Separator,
    },
    /// The line has a character that looks like a separator and cannot be one.
    #[error(
        "{} is no separator; put a comma, a semicolon, a tab or a bar between the columns, or another sign of ASCII \
        that a line ahead of it says, such as sep=^", shown(*.0)
    )]
    Unfit(char),
    /// The line has no candidate for a separator.
    #[error(
        "where columns are not separated by {}, put a line that says by what ahead of it, such as sep=^", tried(*.0)
    )]
    Unknown(Option<Separator>),
}

impl SeparatorHint {
    /// The hint for a first line with this name only, and the separator of the line `sep=` before it, if any.
    pub(super) fn of(name: &str, said: Option<Separator>) -> Self {
        let is_in = |separator: &Separator| name.contains(char::from(separator.0));
        match (said, COMMON.into_iter().find(is_in)) {
            (None, Some(_)) => return Self::Quoted,
            (Some(said), _) if is_in(&said) => return Self::Quoted,
            (Some(said), Some(found)) => return Self::Other { said, found },
            (_, None) => {}
        }
        // Characters that are common in names.
        let is_of_name = |byte: &u8| b"\"'_-.()[]{}%&".contains(byte);
        if let Some(found) = name.bytes().find(|byte| is_separator(*byte) && !is_of_name(byte)) {
            return Self::Unsaid { said, found: Separator(found) };
        }
        let looks_so = |character: &char| matches!(character, '，' | '、' | '；' | '：' | '｜' | '\0'..='\x1f');
        let unfit = name.chars().find(looks_so).or_else(|| name.chars().find(|character| character.is_whitespace()));
        unfit.map_or(Self::Unknown(said), Self::Unfit)
    }
}

/// The separators that were tried.
fn tried(said: Option<Separator>) -> String {
    said.map_or("a comma, a semicolon, a tab or a bar".to_owned(), |said| format!("a {}", said.name()))
}

/// A character for a message, also if it is not printable.
fn shown(character: char) -> String {
    match character {
        _ if character.is_whitespace() => "a blank".to_owned(),
        _ if character.is_control() => format!("U+{:04X}", u32::from(character)),
        _ => character.to_string(),
    }
}
