//! dBASE III and IV, Clipper, `FoxPro` and Visual `FoxPro`.

mod header;
mod value;

use std::io::BufRead;

use encoding_rs::Encoding;

use self::header::{CodePage, Field, Header};
use self::value::{ValueError, push};
use super::text::{DecodeError, Decoder};
use super::{LeftOut, Read, Row, SourceError, Unshown};
use crate::scores::spreadsheet::Tally;

pub use self::header::{NotDbf, Unplaced};

/// In the first byte of a record.
const DELETED: u8 = b'*';

/// In column of a record: there are no more.
const END: u8 = 0x1a;

/// A table.
pub(in crate::scores) struct Table<R> {
    reader: R,
    names: Vec<String>,
    columns: Vec<Column>,
    left_out: Vec<LeftOut>,
    /// Where the marks are in a record that say what is null.
    nulls: std::ops::Range<usize>,
    decoder: Decoder,
    code_page: CodePage,
    /// Its deletion mark and its fields.
    record: Vec<u8>,
    header_len: u64,
    len: u64,
    records: u32,
    read: u32,
    /// What the header says of a record that is longer, which is right if the mark of the end is behind the last one.
    claimed: Option<usize>,
    /// For each field that is shown, the values that are to be numbers and are none.
    no_numbers: Vec<Tally>,
}

/// A field that is shown.
struct Column {
    field: Field,
    /// Which mark says that the value is shorter than the field.
    length_mark: Option<usize>,
    /// Which mark says that there is no value.
    null_mark: Option<usize>,
}

impl<R: BufRead> Table<R> {
    pub(super) fn open(mut reader: R, len: u64, encoding: Option<&'static Encoding>) -> Result<Self, SourceError> {
        let header = Header::read(&mut reader, len)?;
        let Header { records, len: header_len, record_len, claimed, code_page, fields } = header;
        let expected = header_len + u64::from(records) * record_len as u64;
        if len < expected {
            let record = record_len as u64;
            return Err(SourceError::Short { records, record, header: header_len, expected, actual: len });
        }
        let encoding = encoding.or(match code_page {
            CodePage::Read(encoding) => Some(encoding),
            CodePage::Other(_) | CodePage::Unsaid => None,
        });
        let mut table = Self {
            reader,
            names: Vec::new(),
            columns: Vec::new(),
            left_out: Vec::new(),
            nulls: 0..0,
            decoder: Decoder(encoding),
            code_page,
            record: vec![0; record_len],
            header_len,
            len,
            records,
            read: 0,
            claimed,
            no_numbers: Vec::new(),
        };
        let mut marks = 0..;
        for field in fields {
            let name = table.name(&field.name)?;
            // In the order of the fields, each that has one or both takes the next ones.
            let mut mark = |has_one: bool| if has_one { marks.next() } else { None };
            let [length_mark, null_mark] = [field.kind.has_own_length(), field.is_nullable].map(&mut mark);
            let Some(what) = field.kind.unshown() else {
                table.names.push(name);
                table.columns.push(Column { field, length_mark, null_mark });
                continue;
            };
            if what == Unshown::Nulls {
                table.nulls = field.start..field.start + field.len;
            }
            table.left_out.push(LeftOut { field: name, what });
        }
        table.no_numbers.resize_with(table.columns.len(), Tally::default);
        Ok(table)
    }

    /// Names are text too. Without an encoding they are ASCII.
    fn name(&self, bytes: &[u8]) -> Result<String, SourceError> {
        let mut name = String::new();
        let decoded = if bytes.len() < header::NAME_MAX {
            self.decoder.decode(bytes.trim_ascii(), &mut name)
        } else {
            self.decoder.decode_cut(bytes.trim_ascii(), &mut name)
        };
        decoded.map_err(|error| match error {
            DecodeError::Unknown => self.unknown_text(),
            DecodeError::Wrong(encoding) => SourceError::Names(encoding.name()),
        })?;
        Ok(name)
    }

    fn unknown_text(&self) -> SourceError {
        match self.code_page {
            CodePage::Other(number) => SourceError::CodePage(number),
            CodePage::Read(_) | CodePage::Unsaid => SourceError::Encoding,
        }
    }

    pub(super) fn fields(&self) -> &[String] {
        &self.names
    }

    pub(super) fn left_out(&self) -> &[LeftOut] {
        &self.left_out
    }

    pub(super) fn no_numbers(&self) -> &[Tally] {
        &self.no_numbers
    }

    pub(super) fn position(&self) -> u64 {
        self.header_len + u64::from(self.read) * self.record.len() as u64
    }

    pub(super) fn read(&mut self, row: &mut Row) -> Result<Read, SourceError> {
        if self.read == self.records {
            self.check_end()?;
            return Ok(Read::End);
        }
        self.reader.read_exact(&mut self.record)?;
        let before = self.read;
        self.read += 1;
        row.number = self.read.into();
        match self.record[0] {
            // dBASE writes a blank.
            b' ' | 0 => {}
            DELETED => return Ok(Read::Deleted),
            END => return Err(SourceError::End { records: self.records, actual: before.into() }),
            byte => return Err(SourceError::Mark { record: row.number, byte }),
        }
        row.values.resize_with(self.columns.len(), String::new);
        for (at, (column, value)) in self.columns.iter().zip(&mut row.values).enumerate() {
            let name = &self.names[at];
            value.clear();
            let Field { kind, decimals, .. } = column.field;
            match push(kind, decimals, self.value(column), self.decoder, value) {
                Ok(()) => {}
                Err(ValueError::Text(DecodeError::Unknown)) => return Err(self.unknown_text()),
                Err(ValueError::Text(error)) => return error.unusable(name),
                // The value is left empty.
                Err(ValueError::Number) => self.no_numbers[at].add(row.number),
                Err(ValueError::Date) => return Ok(Read::Unusable(format!("{name} is no date"))),
            }
        }
        Ok(Read::Row)
    }

    /// The bytes of a value in this record: none where it is null.
    fn value(&self, column: &Column) -> &[u8] {
        let bytes = &self.record[column.field.start..][..column.field.len];
        if self.is_marked(column.null_mark) {
            return &[];
        }
        match bytes.split_last() {
            Some((&len, rest)) if self.is_marked(column.length_mark) => rest.get(..len.into()).unwrap_or(rest),
            _ => bytes,
        }
    }

    fn is_marked(&self, mark: Option<usize>) -> bool {
        let byte = mark.and_then(|mark| Some((self.record[self.nulls.clone()].get(mark / 8)?, mark % 8)));
        byte.is_some_and(|(byte, bit)| byte >> bit & 1 != 0)
    }

    /// Behind the records stands a mark, and then anything. Without a mark it is nothing, or less than a record, or as
    /// programs fill up what they have no use for.
    fn check_end(&mut self) -> Result<(), SourceError> {
        if let Some(claimed) = self.claimed {
            let mut byte = [0];
            self.reader.read_exact(&mut byte)?;
            let [record, fields] = [claimed, self.record.len()].map(|len| len as u64);
            return if byte == [END] { Ok(()) } else { Err(SourceError::Record { record, fields }) };
        }
        let more = (self.len - self.position()) / self.record.len() as u64;
        if more == 0 {
            return Ok(());
        }
        self.reader.read_exact(&mut self.record)?;
        let is_filling = |&byte: &u8| matches!(byte, 0 | b' ' | END);
        if self.record[0] == END || self.record.iter().all(is_filling) {
            return Ok(());
        }
        Err(SourceError::Long { records: self.records, actual: u64::from(self.records) + more })
    }
}
