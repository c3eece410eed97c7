//! Lines of `seat_id_html`: a candidate's numbers, and a complete page.

use std::io::{BufRead, Read as _};

use encoding_rs::{Encoding, UTF_8};

use super::text::Decoder;
use super::{Read, Row, SourceError};
use crate::scores::format::PAGE_MAX;

/// The longest line, in bytes: a page, which before decoding may be four times as long as after it, and two numbers.
const LINE_MAX: u64 = 4 * PAGE_MAX as u64 + 1024;

/// An open table of lines.
pub(in crate::scores) struct Lines<R> {
    reader: R,
    fields: Vec<String>,
    decoder: Decoder,
    line: Vec<u8>,
    number: u64,
    position: u64,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(reader: R, encoding: Option<&'static Encoding>) -> Self {
        let fields = ["seat", "id", "html"].map(str::to_owned).to_vec();
        let decoder = Decoder(Some(encoding.unwrap_or(UTF_8)));
        Self { reader, fields, decoder, line: Vec::new(), number: 0, position: 0 }
    }

    pub(super) fn fields(&self) -> &[String] {
        &self.fields
    }

    pub(super) fn position(&self) -> u64 {
        self.position
    }

    pub(super) fn read(&mut self, row: &mut Row) -> Result<Read, SourceError> {
        self.line.clear();
        let read = self.reader.by_ref().take(LINE_MAX).read_until(b'\n', &mut self.line)?;
        self.number += 1;
        self.position += read as u64;
        row.number = self.number;
        if read == 0 {
            return Ok(Read::End);
        }
        if read as u64 == LINE_MAX && !self.line.ends_with(b"\n") {
            self.position += self.reader.skip_until(b'\n')? as u64;
            return Ok(Read::Unusable(format!("a line of more than {LINE_MAX} bytes")));
        }
        let line = self.line.trim_ascii_end();
        // Lines that end in CR alone would put all candidates into the page of the first.
        if line.contains(&b'\r') {
            return Ok(Read::Unusable("a CR inside the line, which is to end in LF or CR LF".to_owned()));
        }
        let mut parts = line.splitn(3, |&byte| byte == b'_');
        let (Some(seat), Some(secret), Some(html)) = (parts.next(), parts.next(), parts.next()) else {
            return Ok(Read::Unusable("not of the form seat_id_html".to_owned()));
        };
        row.values.resize_with(self.fields.len(), String::new);
        for ((bytes, value), field) in [seat, secret, html].into_iter().zip(&mut row.values).zip(&self.fields) {
            value.clear();
            if let Err(error) = self.decoder.decode(bytes, value) {
                return error.unusable(field);
            }
            if let Some(end) = self.decoder.other_end(value) {
                let why = format!("a U+{:04X} inside the line, which many programs take for its end", u32::from(end));
                return Ok(Read::Unusable(why));
            }
        }
        Ok(Read::Row)
    }
}
