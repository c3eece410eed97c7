//! Tables of candidates, in each form that boards have them in.

mod csv;
mod dbf;
mod lines;

use std::io::{self, BufRead};

use encoding_rs::Encoding;
use thiserror::Error;

/// The form of a table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// dBASE III and IV, `FoxPro`.
    Dbf,
    /// Values with commas between them; the first line has the names.
    Csv,
    /// `seat_id_html`, a line for each candidate: what the talk made of its table.
    Lines,
}

/// The encoding of this name: GBK, CP936, UTF-8, Latin-1 and whatever else the Encoding Standard names.
pub fn encoding(name: &str) -> Option<&'static Encoding> {
    // What the standard calls GBK has a number on Windows, and no name by it.
    let label = if matches!(name.to_ascii_lowercase().as_str(), "cp936" | "936") { "gbk" } else { name };
    Encoding::for_label(label.as_bytes())
}

/// A table that is open.
pub(super) enum Source<R> {
    Dbf(dbf::Table<R>),
    Csv(csv::Table<R>),
    Lines(lines::Lines<R>),
}

/// One row.
#[derive(Default)]
pub(super) struct Row {
    /// The number of its record, or of its line, from 1.
    pub(super) number: u64,
    /// As many as there are fields.
    pub(super) values: Vec<String>,
}

/// What came of reading a row.
pub(super) enum Read {
    Row,
    /// It is there and cannot be used. The number of the row says which one.
    Unusable(String),
    /// It was deleted: it stays in the table until that is packed.
    Deleted,
    End,
}

impl<R: BufRead> Source<R> {
    /// Opens a table of `len` bytes.
    pub(super) fn open(
        format: Format,
        reader: R,
        len: u64,
        encoding: Option<&'static Encoding>,
    ) -> Result<Self, SourceError> {
        Ok(match format {
            Format::Dbf => Self::Dbf(dbf::Table::open(reader, len, encoding)?),
            Format::Csv => Self::Csv(csv::Table::open(reader, encoding)?),
            Format::Lines => Self::Lines(lines::Lines::new(reader, encoding)),
        })
    }

    pub(super) fn fields(&self) -> &[String] {
        match self {
            Self::Dbf(table) => table.fields(),
            Self::Csv(table) => table.fields(),
            Self::Lines(lines) => lines.fields(),
        }
    }

    /// Reads the next row in place of what is in `row`.
    pub(super) fn read(&mut self, row: &mut Row) -> Result<Read, SourceError> {
        match self {
            Self::Dbf(table) => table.read(row),
            Self::Csv(table) => table.read(row),
            Self::Lines(lines) => lines.read(row),
        }
    }

    /// How many bytes were read.
    pub(super) fn position(&self) -> u64 {
        match self {
            Self::Dbf(table) => table.position(),
            Self::Csv(table) => table.position(),
            Self::Lines(lines) => lines.position(),
        }
    }
}

/// How text is read: by an encoding, or without one as long as it is ASCII.
#[derive(Clone, Copy)]
struct Decoder(Option<&'static Encoding>);

impl Decoder {
    /// Puts `bytes` behind `text`. What is not text in this encoding is never guessed at.
    fn decode(self, bytes: &[u8], text: &mut String) -> Result<(), DecodeError> {
        match self.0 {
            _ if bytes.is_ascii() => text.push_str(str::from_utf8(bytes).expect("ASCII")),
            None => return Err(DecodeError::Unknown),
            Some(encoding) => {
                let decoded = encoding.decode_without_bom_handling_and_without_replacement(bytes);
                text.push_str(&decoded.ok_or(DecodeError::Wrong(encoding))?);
            }
        }
        Ok(())
    }
}

enum DecodeError {
    /// There is no saying what it is.
    Unknown,
    /// It is not in this encoding.
    Wrong(&'static Encoding),
}

impl DecodeError {
    /// Without an encoding no row can be read; with one, this one cannot.
    fn unusable(&self, field: &str) -> Result<Read, SourceError> {
        match self {
            Self::Unknown => Err(SourceError::Encoding),
            Self::Wrong(encoding) => Ok(Read::Unusable(format!("{field} is not {} text", encoding.name()))),
        }
    }
}

/// Why a table cannot be read.
#[derive(Debug, Error)]
pub enum SourceError {
    /// Whatever it was.
    #[error("cannot read: {0}")]
    Io(#[from] io::Error),
    /// It is no table of this form.
    #[error("not a dBASE table: {0}")]
    Dbf(String),
    /// It is cut off.
    #[error(
        "cut off: the header says {records} records of {record} bytes behind {header}, which is {expected} bytes, \
         and the file has {actual}"
    )]
    Short {
        /// How many records there should be.
        records: u32,
        /// Bytes of each.
        record: u64,
        /// Bytes ahead of them.
        header: u64,
        /// Bytes that there should be.
        expected: u64,
        /// Bytes that there are.
        actual: u64,
    },
    /// It has more than it says.
    #[error(
        "the header says {records} records, and there are the bytes of {actual}: open the table with the program that \
         wrote it, which mends the count"
    )]
    Long {
        /// How many records there should be.
        records: u32,
        /// How many more would fit.
        actual: u64,
    },
    /// The records are not as long as their fields.
    #[error("damaged: a record is {record} bytes by the header, and {fields} by its fields")]
    Record {
        /// By the header.
        record: u64,
        /// By the fields.
        fields: u64,
    },
    /// The table does not say what its text is.
    #[error("the table does not say how its text is encoded: add --encoding gbk (or utf-8, latin1)")]
    Encoding,
    /// A name of a field is not text.
    #[error("the names of the fields are not {0} text: add another --encoding, such as gbk, utf-8 or latin1")]
    Names(&'static str),
    /// There is not even a line with names.
    #[error("it is empty")]
    Empty,
    /// A row cannot be taken apart.
    #[error("not a CSV file: {0}")]
    Csv(#[from] ::csv::Error),
}
