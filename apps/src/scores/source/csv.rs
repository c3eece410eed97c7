//! Values with commas between them (RFC 4180); the first line has the names.

use std::io::BufRead;

use csv::{ByteRecord, Reader, ReaderBuilder};
use encoding_rs::{Encoding, UTF_8};

use super::{Decoder, Read, Row, SourceError};

/// A table. In GBK no byte of a character is a comma, a quote or the end of a line, so that it can be taken apart
/// before it is decoded.
pub(in crate::scores) struct Table<R> {
    reader: Reader<R>,
    fields: Vec<String>,
    decoder: Decoder,
    record: ByteRecord,
}

impl<R: BufRead> Table<R> {
    pub(super) fn open(mut reader: R, encoding: Option<&'static Encoding>) -> Result<Self, SourceError> {
        // Excel's mark of UTF-8.
        let marked = reader.fill_buf()?.starts_with(b"\xef\xbb\xbf");
        if marked {
            reader.consume(3);
        }
        let encoding = if marked { UTF_8 } else { encoding.unwrap_or(UTF_8) };
        let decoder = Decoder(Some(encoding));
        let mut reader = ReaderBuilder::new().has_headers(false).flexible(true).from_reader(reader);
        let mut record = ByteRecord::new();
        if !reader.read_byte_record(&mut record)? {
            return Err(SourceError::Empty);
        }
        let mut fields = Vec::new();
        for bytes in &record {
            let mut name = String::new();
            decoder.decode(bytes.trim_ascii(), &mut name).map_err(|_| SourceError::Names(encoding.name()))?;
            fields.push(name);
        }
        Ok(Self { reader, fields, decoder, record })
    }

    pub(super) fn fields(&self) -> &[String] {
        &self.fields
    }

    pub(super) fn position(&self) -> u64 {
        self.reader.position().byte()
    }

    pub(super) fn read(&mut self, row: &mut Row) -> Result<Read, SourceError> {
        row.number = self.reader.position().line();
        if !self.reader.read_byte_record(&mut self.record)? {
            return Ok(Read::End);
        }
        row.number = self.record.position().map_or(row.number, csv::Position::line);
        let (found, wanted) = (self.record.len(), self.fields.len());
        if found != wanted {
            return Ok(Read::Unusable(format!("{found} values, where the first line has {wanted} names")));
        }
        row.values.resize_with(wanted, String::new);
        for ((bytes, value), field) in self.record.iter().zip(&mut row.values).zip(&self.fields) {
            value.clear();
            if let Err(error) = self.decoder.decode(bytes.trim_ascii(), value) {
                return error.unusable(field);
            }
        }
        Ok(Read::Row)
    }
}
