//! dBASE III and IV, `FoxPro` and Visual `FoxPro`.
//!
//! The `dbase` crate reads the header and the list of fields. The values are read here, as they stand in the record:
//! that crate makes numbers of them, and a score of `118.50`, or of `0118`, should be shown as the board wrote it.

use std::io::{BufRead, Cursor};

use dbase::encoding::EncodingRs;
use dbase::{CodePageMark, FieldType, ReaderBuilder};
use encoding_rs::{BIG5, Encoding, GBK, UTF_8, WINDOWS_1252};

use super::{DecodeError, Decoder, Read, Row, SourceError};

/// Header, list of fields, and what Visual `FoxPro` has behind it.
const HEADER_MAX: usize = 1 << 16;

/// Ahead of the list of fields.
const FIELDS_FROM: usize = 32;

/// In the first byte of a record.
const DELETED: u8 = b'*';

/// A table.
pub(in crate::scores) struct Table<R> {
    reader: R,
    fields: Vec<String>,
    places: Vec<Place>,
    decoder: Decoder,
    /// Its deletion mark and its fields.
    record: Vec<u8>,
    header_len: u64,
    records: u32,
    read: u32,
}

/// A field that is shown.
struct Place {
    /// Where it begins in a record.
    start: usize,
    len: usize,
    kind: FieldType,
}

impl<R: BufRead> Table<R> {
    pub(super) fn open(mut reader: R, len: u64, encoding: Option<&'static Encoding>) -> Result<Self, SourceError> {
        let mut header = vec![0; FIELDS_FROM];
        let short = |_| SourceError::Dbf("it is shorter than a header".to_owned());
        reader.read_exact(&mut header).map_err(short)?;
        let [header_len, record_len] = [8, 10].map(|at| usize::from(u16::from_le_bytes([header[at], header[at + 1]])));
        let code_page = header[29];
        header.resize(header_len.clamp(FIELDS_FROM, HEADER_MAX), 0);
        reader.read_exact(&mut header[FIELDS_FROM..]).map_err(short)?;
        // The day of the last change is nobody's business here, and programs leave it out.
        header[1..4].copy_from_slice(&[0, 1, 1]);
        let encoding = encoding.or_else(|| of_code_page(code_page));

        // Names are text too. Without an encoding they are ASCII, of which UTF-8 is a superset.
        let names = EncodingRs::from(encoding.unwrap_or(UTF_8));
        let wrong = |error: dbase::Error| SourceError::Dbf(error.to_string());
        let table = ReaderBuilder::new().with_encoding(names).build(Cursor::new(header)).map_err(wrong)?;
        let (records, record) = (table.header().num_records, record_len as u64);
        let of_fields = 1 + table.fields().iter().map(|field| u64::from(field.length())).sum::<u64>();
        if record != of_fields {
            return Err(SourceError::Record { record, fields: of_fields });
        }
        let header = header_len as u64;
        check_len(records, record, header, len)?;

        let (mut fields, mut places, mut start) = (Vec::new(), Vec::new(), 1);
        for field in table.fields() {
            let field_len = usize::from(field.length());
            if field.name().contains('\u{fffd}') {
                let name = encoding.ok_or(SourceError::Encoding)?.name();
                return Err(SourceError::Names(name));
            }
            // Memos are in another file, and are no scores.
            if field.field_type() != FieldType::Memo {
                fields.push(field.name().trim().to_owned());
                places.push(Place { start, len: field_len, kind: field.field_type() });
            }
            start += field_len;
        }
        let (decoder, record) = (Decoder(encoding), vec![0; record_len]);
        Ok(Self { reader, fields, places, decoder, record, header_len: header, records, read: 0 })
    }

    pub(super) fn fields(&self) -> &[String] {
        &self.fields
    }

    pub(super) fn position(&self) -> u64 {
        self.header_len + u64::from(self.read) * self.record.len() as u64
    }

    pub(super) fn read(&mut self, row: &mut Row) -> Result<Read, SourceError> {
        if self.read == self.records {
            return Ok(Read::End);
        }
        self.reader.read_exact(&mut self.record)?;
        self.read += 1;
        row.number = self.read.into();
        if self.record[0] == DELETED {
            return Ok(Read::Deleted);
        }
        row.values.resize_with(self.places.len(), String::new);
        for ((place, value), field) in self.places.iter().zip(&mut row.values).zip(&self.fields) {
            value.clear();
            let bytes = &self.record[place.start..][..place.len];
            if let Err(error) = push(place.kind, bytes, self.decoder, value) {
                return error.unusable(field);
            }
        }
        Ok(Read::Row)
    }
}

/// One byte may follow, which marks the end; and less than a record of anything, which some programs leave.
fn check_len(records: u32, record: u64, header: u64, actual: u64) -> Result<(), SourceError> {
    let expected = header + u64::from(records) * record;
    if actual < expected {
        return Err(SourceError::Short { records, record, header, expected, actual });
    }
    let more = (actual - expected).saturating_sub(1) / record;
    if more > 0 { Err(SourceError::Long { records, actual: u64::from(records) + more }) } else { Ok(()) }
}

/// What the header says of the text: byte 29, the "language driver". `None` where it says nothing.
fn of_code_page(code: u8) -> Option<&'static Encoding> {
    match code {
        // ESRI's, which the crate does not know.
        0x57 | 0x58 => Some(WINDOWS_1252),
        _ => match CodePageMark::from(code) {
            CodePageMark::CP936 => Some(GBK),
            CodePageMark::CP950 => Some(BIG5),
            CodePageMark::Utf8 => Some(UTF_8),
            CodePageMark::CP1252 => Some(WINDOWS_1252),
            _ => None,
        },
    }
}

/// Puts a value behind `text`, as people write it.
fn push(kind: FieldType, bytes: &[u8], decoder: Decoder, text: &mut String) -> Result<(), DecodeError> {
    let trimmed = bytes.trim_ascii();
    let trimmed = trimmed.strip_suffix(b"\0").map_or(trimmed, |_| {
        let end = trimmed.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        trimmed[..end].trim_ascii()
    });
    match (kind, trimmed) {
        // A number that was too wide for its field.
        (FieldType::Numeric | FieldType::Float, [b'*', ..]) | (FieldType::Logical, [b'?']) => Ok(()),
        (FieldType::Logical, [b'T' | b't' | b'Y' | b'y']) => decoder.decode(b"T", text),
        (FieldType::Logical, [b'F' | b'f' | b'N' | b'n']) => decoder.decode(b"F", text),
        (FieldType::Date, [y0, y1, y2, y3, m0, m1, d0, d1]) => {
            decoder.decode(&[*y0, *y1, *y2, *y3, b'-', *m0, *m1, b'-', *d0, *d1], text)
        }
        (FieldType::Integer | FieldType::Currency | FieldType::Double | FieldType::DateTime, _) => {
            text.push_str(&binary(kind, bytes).unwrap_or_default());
            Ok(())
        }
        _ => decoder.decode(trimmed, text),
    }
}

/// The values that Visual `FoxPro` does not write as text.
fn binary(kind: FieldType, bytes: &[u8]) -> Option<String> {
    let eight = bytes.first_chunk::<8>();
    match kind {
        FieldType::Integer => Some(i32::from_le_bytes(*bytes.first_chunk()?).to_string()),
        FieldType::Double => Some(f64::from_le_bytes(*eight?).to_string()),
        FieldType::Currency => {
            let hundredths_of_hundredths = i64::from_le_bytes(*eight?);
            let (sign, whole) =
                (if hundredths_of_hundredths < 0 { "-" } else { "" }, hundredths_of_hundredths.unsigned_abs());
            Some(format!("{sign}{}.{:04}", whole / 10_000, whole % 10_000))
        }
        FieldType::DateTime => {
            let (day, milliseconds) = eight?.split_at(4);
            let [day, milliseconds] = [day, milliseconds].map(|half| Some(u32::from_le_bytes(*half.first_chunk()?)));
            let (day, milliseconds) = day.zip(milliseconds)?;
            let (year, month, day) = of_julian_day(day)?;
            let minutes = milliseconds / 60_000;
            Some(format!("{year:04}-{month:02}-{day:02} {:02}:{:02}", minutes / 60, minutes % 60))
        }
        _ => None,
    }
}

/// Year, month and day of a Julian day number from 1900 to 9999 (E. G. Richards, in the Explanatory Supplement to
/// the Astronomical Almanac, section 15.11).
fn of_julian_day(number: u32) -> Option<(u32, u32, u32)> {
    let number = u64::from(number);
    if !(2_415_021..=5_373_484).contains(&number) {
        return None;
    }
    let f = number + 1401 + (4 * number + 274_277) / 146_097 * 3 / 4 - 38;
    let e = 4 * f + 3;
    let h = 5 * (e % 1461 / 4) + 2;
    let (day, month) = (h % 153 / 5 + 1, (h / 153 + 2) % 12 + 1);
    let year = e / 1461 + (12 + 2 - month) / 12 - 4716;
    Some((year as u32, month as u32, day as u32))
}
