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

/// The first byte of a deleted record.
const DELETED: u8 = b'*';

/// The end mark, behind the last record.
const END: u8 = 0x1a;

/// An open table.
pub(in crate::scores) struct Table<R> {
    reader: R,
    names: Vec<String>,
    columns: Vec<Column>,
    left_out: Vec<LeftOut>,
    /// The bytes of a record with the null flags.
    nulls: std::ops::Range<usize>,
    decoder: Decoder,
    code_page: CodePage,
    /// The current record: its deletion mark and its fields.
    record: Vec<u8>,
    header_len: u64,
    len: u64,
    records: u32,
    read: u32,
    /// The length of a record by the header, where it is less than that of its fields. The latter is right if the end
    /// mark follows the last record.
    claimed: Option<usize>,
    /// For each field that is shown, the floating-point values that are not finite.
    no_numbers: Vec<Tally>,
}

/// A field that is shown.
struct Column {
    field: Field,
    /// The flag that the value has its length in its last byte.
    length_mark: Option<usize>,
    /// The flag that the value is null.
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
            // Flags are numbered in the order of the fields; a field may have one or two.
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

    /// Decodes the name of a field. Without an encoding it has to be ASCII.
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
            // dBASE writes a blank, other programs a NUL.
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
                // The value stays empty.
                Err(ValueError::Number) => self.no_numbers[at].add(row.number),
                Err(ValueError::Date) => return Ok(Read::Unusable(format!("{name} is no date"))),
            }
        }
        Ok(Read::Row)
    }

    /// The bytes of a value in the current record; empty if it is null.
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

    /// Checks what follows the last record: the end mark and anything behind it, less than a record, or padding.
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
