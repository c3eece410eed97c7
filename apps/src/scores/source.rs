//! Tables of candidates, in each form that boards have them in.

mod csv;
mod dbf;
mod lines;
mod text;

use std::fmt;
use std::io::{self, BufRead};

use encoding_rs::Encoding;
use thiserror::Error;

use super::spreadsheet::Tally;

pub use self::csv::{QuoteFault, Separator, SeparatorHint};
pub use self::dbf::{NotDbf, Unplaced};

/// The form of a table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// dBASE III and IV, Clipper, `FoxPro` and Visual `FoxPro`.
    Dbf,
    /// Values with commas, semicolons, tabs or bars between them; the first line has the names.
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
    /// Opens a table of `len` bytes. The names of the keys tell what separates its columns, where it does not say so.
    pub(super) fn open(
        format: Format,
        mut reader: R,
        len: u64,
        encoding: Option<&'static Encoding>,
        keys: [&str; 2],
    ) -> Result<Self, SourceError> {
        if let Some(unfit) = encoding.filter(|encoding| !encoding.is_ascii_compatible()) {
            return Err(SourceError::UnfitEncoding(unfit.name()));
        }
        if format != Format::Dbf {
            text::check(reader.fill_buf()?)?;
        }
        Ok(match format {
            Format::Dbf => Self::Dbf(dbf::Table::open(reader, len, encoding)?),
            Format::Csv => Self::Csv(csv::Table::open(reader, encoding, keys)?),
            Format::Lines => Self::Lines(lines::Lines::new(reader, encoding)),
        })
    }

    /// The fields that are not shown.
    pub(super) fn left_out(&self) -> &[LeftOut] {
        match self {
            Self::Dbf(table) => table.left_out(),
            Self::Csv(table) => table.left_out(),
            Self::Lines(_) => &[],
        }
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

    /// For each field whose values are numbers, how many are none.
    pub(super) fn no_numbers(&self) -> &[Tally] {
        match self {
            Self::Dbf(table) => table.no_numbers(),
            Self::Csv(_) | Self::Lines(_) => &[],
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

/// A field or column that is not shown.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LeftOut {
    /// Its name; or, where it has none, the number of its column.
    pub field: String,
    /// What is in it.
    pub what: Unshown,
}

/// What is in a field that is not shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unshown {
    /// Text, in another file.
    Memo,
    /// An object of another program, in another file.
    General,
    /// A picture, in another file.
    Picture,
    /// Bytes, here or in another file.
    Binary,
    /// Which values of a record are null, and how long its texts are.
    Nulls,
    /// There is no saying what: the column has no name.
    Unnamed,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.what {
            Unshown::Memo => "a memo",
            Unshown::General => "an OLE object",
            Unshown::Picture => "a picture",
            Unshown::Binary => "binary data",
            Unshown::Nulls => "marks of Visual FoxPro",
            Unshown::Unnamed => "a column without a name",
        };
        write!(f, "{} ({what})", self.field)
    }
}

/// Why a table cannot be read.
#[derive(Debug, Error)]
pub enum SourceError {
    /// Whatever it was.
    #[error("cannot read")]
    Io(#[from] io::Error),
    /// It is no table of this form.
    #[error("not a dBASE table: {0}")]
    Dbf(NotDbf),
    /// It is a table of dBASE 7.
    #[error("a table of dBASE 7, whose list of fields is another: save it as dBASE IV or as CSV")]
    Dbase7,
    /// It is cut off.
    #[error(
        "cut off: the header says {records} records of {record} bytes behind {header}, which is {expected} bytes, \
         and the file has {actual}: get the table again, or open it with the program that wrote it, which mends the \
         count"
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
    /// It ends before it should.
    #[error(
        "the header says {records} records, and the mark of the end stands behind {actual}: open the table with the \
         program that wrote it, which mends the count"
    )]
    End {
        /// How many records there should be.
        records: u32,
        /// How many there are.
        actual: u64,
    },
    /// The records are shorter than their fields.
    #[error("damaged: a record is {record} bytes by the header, and its fields are {fields}: get the table again")]
    Record {
        /// By the header.
        record: u64,
        /// By the fields.
        fields: u64,
    },
    /// There is no saying where each field is.
    #[error(
        "its columns cannot be told: a record is {record} bytes by the header, and there is {ways} to share them among \
        the fields; the decimals of each of these text fields may mean that it is longer than 255 bytes (Clipper), or \
        nothing: {names}; save the table as CSV, or without decimals in them"
    )]
    Columns {
        /// By the header.
        record: u64,
        /// How many ways there are.
        ways: Unplaced,
        /// The fields of which it is not known.
        names: String,
    },
    /// A record does not begin as records do.
    #[error(
        "damaged: record {record} begins with the byte {byte:#04x}, where there should be a blank, or * if it was \
         deleted: header and records do not fit together; get the table again"
    )]
    Mark {
        /// Which record.
        record: u64,
        /// What it begins with.
        byte: u8,
    },
    /// The table does not say what its text is.
    #[error("the table does not say how its text is encoded: add --encoding gbk (or utf-8, latin1)")]
    Encoding,
    /// The table says what its text is, and that is not read.
    #[error(
        "the table says that its text is in code page {0}, which is not read; many tables say so and are in another: \
         add --encoding gbk (or utf-8, latin1), or if it is right save the table as CSV in UTF-8"
    )]
    CodePage(u16),
    /// What was given as an encoding is none in which separators stand for themselves.
    #[error("text in {0} is not read: convert the table to UTF-8, or give it without --encoding")]
    UnfitEncoding(&'static str),
    /// A name of a field is not text.
    #[error("the names of the fields are not {0} text: add another --encoding, such as gbk, utf-8 or latin1")]
    Names(&'static str),
    /// It is text of two or four bytes a character.
    #[error(
        "its text is {name}, as \"Unicode text\" of Excel is: save it as \"CSV UTF-8\", or convert it with iconv -f \
         {name} -t UTF-8"
    )]
    WideText {
        /// UTF-16 or UTF-32.
        name: &'static str,
    },
    /// It is something else.
    #[error("it is no text: there is a byte 0 in its first line; a table of Excel is to be saved as \"CSV UTF-8\"")]
    NoText,
    /// There is not even a line with names.
    #[error("it is empty")]
    Empty,
    /// There is no saying where a cell ends.
    #[error("line {line}: {fault}")]
    Quote {
        /// Where.
        line: u64,
        /// What is wrong.
        fault: QuoteFault,
    },
    /// A row of another candidate may be in a cell.
    #[error(
        "line {line}: behind the U+{end:04X} inside a cell, which many programs take for the end of a line, there may \
        be another row: end each row with LF or CR LF, and put a blank in place of the U+{end:04X} elsewhere"
    )]
    LineEnd {
        /// Where.
        line: u64,
        /// What stands there.
        end: u32,
    },
    /// There is no saying what stands between two columns.
    #[error(
        "the names in the first line may be separated by a {} or by a {}: put a line that says which ahead of it, \
        sep={} or sep={}",
        .0[0].name(), .0[1].name(), .0[0], .0[1]
    )]
    Separators([Separator; 2]),
    /// There is no separator.
    #[error("the first line has one column only, \"{name}\": {hint}")]
    OneColumn {
        /// All of it.
        name: String,
        /// What helps.
        hint: SeparatorHint,
    },
    /// What the table says of it is none.
    #[error("line 1: sep= is to be followed by one separator: a comma, a semicolon, a tab, a bar or another sign")]
    SeparatorLine,
    /// A row does not end.
    #[error("line {line}: a row of more than {most} bytes: this is not a table")]
    LongRow {
        /// Where it begins.
        line: u64,
        /// The most that there may be.
        most: usize,
    },
}

impl From<NotDbf> for SourceError {
    fn from(error: NotDbf) -> Self {
        Self::Dbf(error)
    }
}
