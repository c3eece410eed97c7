//! Readers of tables of candidates, in the formats that boards have.

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

/// The format of a table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// dBASE III and IV, Clipper, `FoxPro` and Visual `FoxPro`.
    Dbf,
    /// Values with commas, semicolons, tabs or bars between them; the first line has the names.
    Csv,
    /// `seat_id_html`, a line for each candidate, with a complete page.
    Lines,
}

/// The encoding with this name: GBK, CP936, UTF-8, Latin-1 or any other label of the Encoding Standard.
pub fn encoding(name: &str) -> Option<&'static Encoding> {
    // The standard has no label for the Windows code page 936, which is GBK.
    let label = if matches!(name.to_ascii_lowercase().as_str(), "cp936" | "936") { "gbk" } else { name };
    Encoding::for_label(label.as_bytes())
}

/// An open table.
pub(super) enum Source<R> {
    Dbf(dbf::Table<R>),
    Csv(csv::Table<R>),
    Lines(lines::Lines<R>),
}

/// A row of a table.
#[derive(Default)]
pub(super) struct Row {
    /// The number of its record, or of its line, from 1.
    pub(super) number: u64,
    /// The values, one for each field.
    pub(super) values: Vec<String>,
}

/// The result of reading a row.
pub(super) enum Read {
    Row,
    /// The row cannot be used, for this reason.
    Unusable(String),
    /// The row is marked as deleted. dBASE keeps such records until the table is packed.
    Deleted,
    End,
}

impl<R: BufRead> Source<R> {
    /// Opens a table of `len` bytes. The names of the keys help to find the separator of a CSV file that does not say
    /// it.
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

    /// The fields that no page shows.
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

    /// Reads the next row into `row`.
    pub(super) fn read(&mut self, row: &mut Row) -> Result<Read, SourceError> {
        match self {
            Self::Dbf(table) => table.read(row),
            Self::Csv(table) => table.read(row),
            Self::Lines(lines) => lines.read(row),
        }
    }

    /// For each field, the floating-point values that are not finite.
    pub(super) fn no_numbers(&self) -> &[Tally] {
        match self {
            Self::Dbf(table) => table.no_numbers(),
            Self::Csv(_) | Self::Lines(_) => &[],
        }
    }

    /// The bytes that were read.
    pub(super) fn position(&self) -> u64 {
        match self {
            Self::Dbf(table) => table.position(),
            Self::Csv(table) => table.position(),
            Self::Lines(lines) => lines.position(),
        }
    }
}

/// A field that no page shows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LeftOut {
    /// Its name, or the number of its column if it has no name.
    pub field: String,
    /// What it contains.
    pub what: Unshown,
}

/// The contents of a field that no page shows.
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
    /// Flags of Visual `FoxPro`: which values are null, and which have their length in their last byte.
    Nulls,
    /// A column without a name.
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
    /// Reading failed.
    #[error("cannot read")]
    Io(#[from] io::Error),
    /// It is not a dBASE table.
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
        /// The number of records by the header.
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
    /// It has more records than its header says.
    #[error(
        "the header says {records} records, and there are the bytes of {actual}: open the table with the program that \
         wrote it, which mends the count"
    )]
    Long {
        /// The number of records by the header.
        records: u32,
        /// The number of records by the length of the file.
        actual: u64,
    },
    /// It has fewer records than its header says.
    #[error(
        "the header says {records} records, and the mark of the end stands behind {actual}: open the table with the \
         program that wrote it, which mends the count"
    )]
    End {
        /// The number of records by the header.
        records: u32,
        /// The number of records before the end mark.
        actual: u64,
    },
    /// The length of a record is not that of its fields.
    #[error("damaged: a record is {record} bytes by the header, and its fields are {fields}: get the table again")]
    Record {
        /// By the header.
        record: u64,
        /// By the fields.
        fields: u64,
    },
    /// The positions of the fields in a record are ambiguous.
    #[error(
        "its columns cannot be told: a record is {record} bytes by the header, and there is {ways} to share them among \
        the fields; the decimals of each of these text fields may mean that it is longer than 255 bytes (Clipper), or \
        nothing: {names}; save the table as CSV, or without decimals in them"
    )]
    Columns {
        /// By the header.
        record: u64,
        /// Whether there is no way to divide a record, or more than one.
        ways: Unplaced,
        /// The fields whose length is unknown.
        names: String,
    },
    /// A record does not begin with a deletion mark or a blank.
    #[error(
        "damaged: record {record} begins with the byte {byte:#04x}, where there should be a blank, or * if it was \
         deleted: header and records do not fit together; get the table again"
    )]
    Mark {
        /// Its number.
        record: u64,
        /// Its first byte.
        byte: u8,
    },
    /// The table does not say how its text is encoded.
    #[error("the table does not say how its text is encoded: add --encoding gbk (or utf-8, latin1)")]
    Encoding,
    /// The text is in a code page that is not supported.
    #[error(
        "the table says that its text is in code page {0}, which is not read; many tables say so and are in another: \
         add --encoding gbk (or utf-8, latin1), or if it is right save the table as CSV in UTF-8"
    )]
    CodePage(u16),
    /// The encoding that was given is not a superset of ASCII, so that separators could not be found.
    #[error("text in {0} is not read: convert the table to UTF-8, or give it without --encoding")]
    UnfitEncoding(&'static str),
    /// The name of a field is not text in this encoding.
    #[error("the names of the fields are not {0} text: add another --encoding, such as gbk, utf-8 or latin1")]
    Names(&'static str),
    /// It is UTF-16 or UTF-32.
    #[error(
        "its text is {name}, as \"Unicode text\" of Excel is: save it as \"CSV UTF-8\", or convert it with iconv -f \
         {name} -t UTF-8"
    )]
    WideText {
        /// The encoding.
        name: &'static str,
    },
    /// It is not text.
    #[error("it is no text: there is a byte 0 in its first line; a table of Excel is to be saved as \"CSV UTF-8\"")]
    NoText,
    /// It has no line with names.
    #[error("it is empty")]
    Empty,
    /// A quote leaves the end of a cell unclear.
    #[error("line {line}: {fault}")]
    Quote {
        /// The line.
        line: u64,
        /// What is wrong.
        fault: QuoteFault,
    },
    /// A cell has a line end of another kind, behind which there may be the row of another candidate.
    #[error(
        "line {line}: behind the U+{end:04X} inside a cell, which many programs take for the end of a line, there may \
        be another row: end each row with LF or CR LF, and put a blank in place of the U+{end:04X} elsewhere"
    )]
    LineEnd {
        /// The line.
        line: u64,
        /// The character.
        end: u32,
    },
    /// Two separators are possible.
    #[error(
        "the names in the first line may be separated by a {} or by a {}: put a line that says which ahead of it, \
        sep={} or sep={}",
        .0[0].name(), .0[1].name(), .0[0], .0[1]
    )]
    Separators([Separator; 2]),
    /// The first line has only one column.
    #[error("the first line has one column only, \"{name}\": {hint}")]
    OneColumn {
        /// The line.
        name: String,
        /// What to do about it.
        hint: SeparatorHint,
    },
    /// The line `sep=` does not name a separator.
    #[error("line 1: sep= is to be followed by one separator: a comma, a semicolon, a tab, a bar or another sign")]
    SeparatorLine,
    /// A row is too long.
    #[error("line {line}: a row of more than {most} bytes: this is not a table")]
    LongRow {
        /// The line in which it begins.
        line: u64,
        /// The limit.
        most: usize,
    },
}

impl From<NotDbf> for SourceError {
    fn from(error: NotDbf) -> Self {
        Self::Dbf(error)
    }
}
