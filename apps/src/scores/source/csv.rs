//! CSV tables (RFC 4180). The first line has the names of the columns.

mod rows;
mod separator;

use std::io::{BufRead, Chain, Cursor, Read as _};

use encoding_rs::{Encoding, UTF_8};

use self::rows::Rows;
use self::separator::COMMON;
use super::text::Decoder;
use super::{LeftOut, Read, Row, SourceError, Unshown};
use crate::scores::template::{NoField, position};

pub use self::rows::QuoteFault;
pub use self::separator::{Separator, SeparatorHint};

/// The longest line of names, in bytes: hundreds of columns with names four times as long as any known.
const NAMES_MAX: u64 = 1 << 16;

/// The most characters of a name that a message shows.
const NAME_SHOWN: usize = 100;

/// An open table. In the supported encodings no byte of a longer character is a comma, a quote or a line end, so rows
/// are split before they are decoded.
pub(in crate::scores) struct Table<R> {
    rows: Rows<Chain<Cursor<Vec<u8>>, R>>,
    /// The names of all columns. Some have none.
    columns: Vec<String>,
    /// The names of the columns that have one.
    fields: Vec<String>,
    left_out: Vec<LeftOut>,
    decoder: Decoder,
}

impl<R: BufRead> Table<R> {
    pub(super) fn open(
        mut reader: R,
        encoding: Option<&'static Encoding>,
        keys: [&str; 2],
    ) -> Result<Self, SourceError> {
        let mut head = Vec::new();
        reader.by_ref().take(NAMES_MAX).read_to_end(&mut head)?;
        // The byte order mark of UTF-8, which Excel writes.
        let marked = head.starts_with(b"\xef\xbb\xbf");
        let encoding = if marked { UTF_8 } else { encoding.unwrap_or(UTF_8) };
        let opening = Opening { encoding, decoder: Decoder(Some(encoding)), keys };
        let mut start = if marked { 3 } else { 0 };
        let first = head[start..].split_inclusive(|byte| b"\r\n".contains(byte)).next().unwrap_or_default();
        let (separator, line) = match Separator::of_line(first) {
            Some(separator) => {
                start += first.len();
                // The line may end in two bytes.
                start += usize::from(first.ends_with(b"\r") && head.get(start) == Some(&b'\n'));
                (separator?, 1)
            }
            None => (opening.separator(&head[start..])?, 0),
        };
        let mut head = Cursor::new(head);
        head.set_position(start as u64);
        let mut rows = opening.rows(head.chain(reader), separator, line, start as u64);
        let columns = opening.names(&mut rows)?;
        if let [name] = &columns[..]
            && !opening.has_keys(&columns)
        {
            let said = (line > 0).then_some(separator);
            return Err(SourceError::OneColumn { name: cut(name), hint: SeparatorHint::of(name, said) });
        }
        let named = |&(_, name): &(usize, &String)| !name.is_empty();
        let fields = columns.iter().enumerate().filter(named).map(|(_, name)| name.clone()).collect();
        // Empty names at the end are not columns: many programs end each row with a separator.
        let last = columns.iter().rposition(|name| !name.is_empty()).unwrap_or(0);
        let left_out = columns[..last].iter().zip(1..).filter(|(name, _)| name.is_empty());
        let left_out = left_out.map(|(_, column)| LeftOut { field: column.to_string(), what: Unshown::Unnamed });
        Ok(Self { rows, left_out: left_out.collect(), fields, columns, decoder: opening.decoder })
    }

    pub(super) fn fields(&self) -> &[String] {
        &self.fields
    }

    pub(super) fn left_out(&self) -> &[LeftOut] {
        &self.left_out
    }

    pub(super) fn position(&self) -> u64 {
        self.rows.position()
    }

    pub(super) fn read(&mut self, row: &mut Row) -> Result<Read, SourceError> {
        let Some(line) = self.rows.read()? else { return Ok(Read::End) };
        row.number = line;
        let (found, wanted) = (self.rows.len(), self.columns.len());
        if found != wanted {
            self.check_whole(line)?;
            let values = if found == 1 { "value" } else { "values" };
            return Ok(Read::Unusable(format!("{found} {values}, where the first line has {wanted} names")));
        }
        row.values.resize_with(self.fields.len(), String::new);
        let (mut values, mut last) = (row.values.iter_mut(), None);
        for (bytes, name) in self.rows.cells().zip(&self.columns) {
            if name.is_empty() {
                // A cell with a separator was probably not quoted.
                if let Some(last) = last.filter(|_| values.len() == 0 && !bytes.is_empty()) {
                    self.check_whole(line)?;
                    let why = format!("a value behind that of {last}, the last name in the first line");
                    return Ok(Read::Unusable(why));
                }
                continue;
            }
            let value = values.next().expect("as many as there are names");
            value.clear();
            if bytes.contains(&0) {
                return Ok(Read::Unusable(format!("a byte 0 in {name}")));
            }
            if let Err(error) = self.decoder.decode(bytes, value) {
                return error.unusable(name);
            }
            check(self.decoder, value, line, &self.rows)?;
            last = Some(name);
        }
        Ok(Read::Row)
    }

    /// Rejects a row of several lines that has not as many values as there are names: it may be several rows.
    fn check_whole(&self, line: u64) -> Result<(), SourceError> {
        if let Some(line) = self.rows.broken() {
            return Err(SourceError::Quote { line, fault: QuoteFault::Spans });
        }
        let mut text = String::new();
        for cell in self.rows.cells() {
            text.clear();
            // A row that cannot be decoded gets no page anyway.
            if self.decoder.decode(cell, &mut text).is_ok()
                && let Some(end) = self.decoder.other_end(&text)
            {
                return Err(SourceError::LineEnd { line, end: end.into() });
            }
        }
        Ok(())
    }
}

/// Rejects a cell that may contain the row of another candidate.
fn check<R: BufRead>(decoder: Decoder, cell: &str, line: u64, rows: &Rows<R>) -> Result<(), SourceError> {
    match decoder.hides_row(cell) {
        None => Ok(()),
        Some('\r' | '\n') => Err(SourceError::Quote { line: rows.broken().unwrap_or(line), fault: QuoteFault::Spans }),
        Some(end) => Err(SourceError::LineEnd { line, end: end.into() }),
    }
}

/// A name, shortened for a message.
fn cut(name: &str) -> String {
    match name.char_indices().nth(NAME_SHOWN) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.to_owned(),
    }
}

/// What is known of a table before its names are read.
struct Opening<'a> {
    encoding: &'static Encoding,
    decoder: Decoder,
    keys: [&'a str; 2],
}

impl Opening<'_> {
    fn rows<R: BufRead>(&self, reader: R, separator: Separator, line: u64, position: u64) -> Rows<R> {
        // In UTF-8 and single-byte encodings no separator is part of another character.
        let wide = self.encoding != UTF_8 && !self.encoding.is_single_byte();
        Rows::new(reader, separator, wide, line, position)
    }

    /// The names in the first row.
    fn names<R: BufRead>(&self, rows: &mut Rows<R>) -> Result<Vec<String>, SourceError> {
        let line = rows.read()?.ok_or(SourceError::Empty)?;
        let name = |bytes| {
            let mut name = String::new();
            self.decoder.decode(bytes, &mut name).map_err(|_| SourceError::Names(self.encoding.name()))?;
            check(self.decoder, &name, line, rows)?;
            Ok(name)
        };
        rows.cells().map(name).collect()
    }

    fn has_keys(&self, names: &[String]) -> bool {
        self.keys.iter().all(|key| position(names, key) != Err(NoField::Unknown))
    }

    /// The separator that separates the names of the keys. If they are missing, the one that makes the most names, so
    /// that the error lists them.
    fn separator(&self, head: &[u8]) -> Result<Separator, SourceError> {
        let names = COMMON.map(|separator| (separator, self.names(&mut self.rows(head, separator, 0, 0))));
        let has_keys = |names: &Result<Vec<String>, _>| names.as_ref().is_ok_and(|names| self.has_keys(names));
        let mut fitting = names.iter().filter(|(_, names)| has_keys(names)).map(|&(separator, _)| separator);
        match (fitting.next(), fitting.next()) {
            (Some(one), None) => return Ok(one),
            (Some(one), Some(other)) => return Err(SourceError::Separators([one, other])),
            (None, _) => {}
        }
        let mut most = (COMMON[0], 0);
        for (separator, names) in names {
            let count = names?.len();
            if count > most.1 {
                most = (separator, count);
            }
        }
        Ok(most.0)
    }
}
