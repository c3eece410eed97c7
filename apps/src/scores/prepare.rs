//! Makes a file of scores from a table of candidates.

use std::collections::HashMap;
use std::fmt;
use std::io::{BufRead, Seek, Write};

use encoding_rs::Encoding;
use thiserror::Error;

use super::builder::{AddError, Builder, FinishError};
use super::format::PAGE_MAX;
use super::key::KEY_LEN;
use super::number::{NUMBER_MAX, Number, NumberError};
use super::page::Labels;
use super::source::{Format, Read, Row, Source, SourceError};
use super::spreadsheet::{Findings, Warning};
use super::template::{Keys, NoField, Template, TemplateError, position};

/// Rows between two calls that report progress.
const PROGRESS_STEP: u64 = 256;

/// How a table is read, and what its pages look like.
#[derive(Clone, Default, Debug)]
pub struct Options {
    /// The encoding of its text, where the table does not say it or says it wrong.
    pub encoding: Option<&'static Encoding>,
    /// The name of the field with the seat number.
    pub seat_field: String,
    /// The name of the field with the identity number.
    pub secret_field: String,
    /// The template of a page. Without one, a page has a table of all other fields.
    pub template: Option<String>,
    /// The labels of the form.
    pub labels: Labels,
    /// The key of the hashes, which has to be random and secret until the file is published: hashes under a known key
    /// can be computed beforehand.
    pub key: [u8; KEY_LEN],
    /// Whether to fail at the first row that cannot be used, or number that a spreadsheet has damaged.
    pub strict: bool,
}

/// Observes the preparation: is told of its progress and of rows that are left out, and may stop it.
pub trait PrepareObserver {
    /// `bytes` of the table were read so far.
    fn read(&mut self, bytes: u64);
    /// A row was left out.
    fn rejected(&mut self, reject: &Reject);
    /// There is a warning about the table as a whole.
    fn warned(&mut self, warning: &Warning);
    /// Whether to stop.
    fn stop(&self) -> bool {
        false
    }
}

/// A row that was left out. It does not contain the identity number, since it is written to logs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reject {
    /// The number of the record, or of the line, from 1.
    pub row: u64,
    /// Its seat number, if it has one.
    pub seat: Option<String>,
    /// The reason.
    pub why: String,
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { row, seat, why } = self;
        match seat {
            Some(seat) => write!(f, "row {row}, seat {seat}: {why}"),
            None => write!(f, "row {row}: {why}"),
        }
    }
}

/// The contents of a file, for a summary.
pub struct Prepared {
    /// The number of candidates.
    pub candidates: u64,
    /// Rows that were left out.
    pub rejected: u64,
    /// Rows that were deleted in the table.
    pub deleted: u64,
    /// Bytes of the longest body.
    pub longest: usize,
    /// Bytes of all bodies.
    pub bytes: u64,
}

/// Reads a table of `len` bytes and writes a file of scores to `out`, which is empty. Pages go through memory one by
/// one; some dozen bytes are kept of each candidate.
///
/// # Errors
///
/// A table that cannot be read, or an error of `out`; with [`Options::strict`] also the first row that cannot be used,
/// or numbers that a spreadsheet has damaged.
pub fn prepare<W: Write + Seek>(
    format: Format,
    table: impl BufRead,
    len: u64,
    options: &Options,
    out: W,
    observer: &mut dyn PrepareObserver,
) -> Result<(W, Prepared), PrepareError> {
    let keys = [&options.seat_field, &options.secret_field].map(String::as_str);
    let mut source = Source::open(format, table, len, options.encoding, keys)?;
    let mut pages = Pages::of(format, &source, options)?;
    if !source.left_out().is_empty() {
        observer.warned(&Warning::LeftOut(source.left_out().to_vec()));
    }
    let mut findings = Findings::new(pages.examined(source.fields()), pages.keys);
    let builder = Builder::new(out, options.key, options.labels.clone()).map_err(AddError::Write)?;
    let prepared = Prepared { candidates: 0, rejected: 0, deleted: 0, longest: 0, bytes: 0 };
    let mut maker = Maker { builder, seats: HashMap::new(), prepared };
    let mut row = Row::default();
    loop {
        let why = match source.read(&mut row)? {
            Read::End => break,
            Read::Deleted => {
                maker.prepared.deleted += 1;
                continue;
            }
            Read::Unusable(why) => Err(Rejected { seat: None, why }),
            Read::Row => match findings.examine(row.number, &row.values) {
                Some(why) if options.strict => Err(Rejected { seat: None, why }),
                _ => maker.add(&mut pages, &mut findings, &row)?,
            },
        };
        if let Err(Rejected { seat, why }) = why {
            let reject = Reject { row: row.number, seat, why };
            if options.strict {
                return Err(PrepareError::Rejected(reject));
            }
            maker.prepared.rejected += 1;
            observer.rejected(&reject);
        }
        if row.number.is_multiple_of(PROGRESS_STEP) {
            observer.read(source.position());
            if observer.stop() {
                return Err(PrepareError::Stopped);
            }
        }
    }
    observer.read(len);
    for warning in findings.damaged().into_iter().chain(findings.no_numbers(source.no_numbers())) {
        if options.strict {
            return Err(PrepareError::Damaged(warning));
        }
        observer.warned(&warning);
    }
    if let Some(warning) = findings.shared() {
        observer.warned(&warning);
    }
    Ok((maker.builder.finish()?, maker.prepared))
}

/// Makes the pages of rows.
struct Pages {
    keys: Keys,
    names: [String; 2],
    template: Option<Template>,
    page: String,
}

impl Pages {
    fn of<R: BufRead>(format: Format, source: &Source<R>, options: &Options) -> Result<Self, PrepareError> {
        if format == Format::Lines {
            let names = ["seat", "id"].map(str::to_owned);
            return Ok(Self { keys: Keys { seat: 0, secret: 1 }, names, template: None, page: String::new() });
        }
        let fields = source.fields();
        let find = |name: &String| {
            position(fields, name).map_err(|error| match error {
                NoField::Unknown => PrepareError::Field { name: name.clone(), fields: fields.join(", ") },
                NoField::Twice => PrepareError::Twice { name: name.clone() },
            })
        };
        let keys = Keys { seat: find(&options.seat_field)?, secret: find(&options.secret_field)? };
        if keys.seat == keys.secret {
            return Err(PrepareError::Same);
        }
        let template = match &options.template {
            Some(text) => Template::parse(text, fields, keys)?,
            None => Template::of_table(&options.labels, fields, keys),
        };
        let names = [keys.seat, keys.secret].map(|at| fields[at].clone());
        Ok(Self { keys, names, template: Some(template), page: String::new() })
    }

    /// The fields in which damage is looked for. Pages that the table has ready are not examined.
    fn examined<'a>(&self, fields: &'a [String]) -> &'a [String] {
        if self.template.is_some() { fields } else { &fields[..2] }
    }

    /// The page of a row. A page that the table has ready is taken as it is.
    fn page<'a>(&'a mut self, row: &'a Row) -> &'a str {
        match &self.template {
            Some(template) => {
                template.write(&row.values, &mut self.page);
                &self.page
            }
            None => row.values.last().map_or("", String::as_str),
        }
    }
}

/// Why a row is left out.
struct Rejected {
    seat: Option<String>,
    why: String,
}

struct Maker<W: Write + Seek> {
    builder: Builder<W>,
    /// Each seat number, and the row that it came in.
    seats: HashMap<Box<[u8]>, u64>,
    prepared: Prepared,
}

impl<W: Write + Seek> Maker<W> {
    fn add(
        &mut self,
        pages: &mut Pages,
        findings: &mut Findings,
        row: &Row,
    ) -> Result<Result<(), Rejected>, PrepareError> {
        let number = |at: usize, name: &String| {
            // A line break may mean that two rows were joined, so that the second part belongs to another candidate.
            if row.values[at].contains(['\r', '\n']) {
                return Err(format!("a line break in {name}"));
            }
            Number::parse(&row.values[at]).map_err(|unfit| match unfit {
                NumberError::Empty => format!("no {name}"),
                NumberError::Long => format!("{name} of more than {NUMBER_MAX} bytes"),
            })
        };
        let seat = match number(pages.keys.seat, &pages.names[0]) {
            Ok(seat) => seat,
            Err(why) => return Ok(Err(Rejected { seat: None, why })),
        };
        let rejected = |why| Ok(Err(Rejected { seat: Some(seat.as_str().to_owned()), why }));
        let secret = match number(pages.keys.secret, &pages.names[1]) {
            Ok(secret) => secret,
            Err(why) => return rejected(why),
        };
        if let Some(first) = self.seats.get(seat.as_bytes()) {
            return rejected(format!("row {first} has the same {}", pages.names[0]));
        }
        let page = pages.page(row);
        if page.len() > PAGE_MAX {
            return rejected(format!("a page of {} bytes, where {PAGE_MAX} is the most", page.len()));
        }
        self.builder.add_numbers(&seat, &secret, page.as_bytes())?;
        findings.add_secret(row.number, &secret);
        self.seats.insert(seat.as_bytes().into(), row.number);
        self.prepared.candidates += 1;
        self.prepared.bytes += page.len() as u64;
        self.prepared.longest = self.prepared.longest.max(page.len());
        Ok(Ok(()))
    }
}

/// Why a file of scores cannot be made.
#[derive(Debug, Error)]
pub enum PrepareError {
    /// The table cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// There is no field of this name.
    #[error("the table has no field {name}; it has {fields}")]
    Field {
        /// The name that was given.
        name: String,
        /// The names that the table has.
        fields: String,
    },
    /// There is more than one field of this name.
    #[error("the table has more than one field {name}: give each a name of its own")]
    Twice {
        /// The name that was given.
        name: String,
    },
    /// The seat number and the identity number are the same field.
    #[error("the seat number cannot be the identity number: give --id-field and --secret-field two fields")]
    Same,
    /// The template is wrong.
    #[error("the template, {0}")]
    Template(TemplateError),
    /// A row cannot be used, with [`Options::strict`].
    #[error("{0}")]
    Rejected(Reject),
    /// A spreadsheet has damaged numbers, with [`Options::strict`].
    #[error("{0}")]
    Damaged(Warning),
    /// A candidate cannot be added.
    #[error(transparent)]
    Add(#[from] AddError),
    /// The file cannot be completed.
    #[error(transparent)]
    Finish(#[from] FinishError),
    /// The observer stopped it.
    #[error("stopped")]
    Stopped,
}

impl From<TemplateError> for PrepareError {
    fn from(error: TemplateError) -> Self {
        Self::Template(error)
    }
}
