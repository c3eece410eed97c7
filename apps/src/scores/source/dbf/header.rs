//! The header of a dBASE table: 32 bytes, and 32 for each field.
//!
//! ```text
//!   0  version        1  day of the last change (3)    4  records (4)     8  bytes of all this (2)
//!  10  bytes of a record (2)                          29  code page
//!
//!   0  name (11, ends at the first NUL)    11  type    12  where it begins (4, or anything)
//!  16  length                              17  decimals                                      18  flags
//! ```
//!
//! The list of fields usually ends with a byte 0x0D. The bytes behind it are private to the program that wrote the
//! table.
//!
//! The `dbase` crate reads only headers as it writes them. Boards have tables of thirty years of programs, which differ
//! in where a header ends and how long a field can be.

use std::io::BufRead;

use encoding_rs::{
    BIG5, EUC_KR, Encoding, GBK, IBM866, MACINTOSH, SHIFT_JIS, UTF_8, WINDOWS_874, WINDOWS_1250, WINDOWS_1251,
    WINDOWS_1252, WINDOWS_1253, WINDOWS_1254, WINDOWS_1255, WINDOWS_1256, WINDOWS_1257, X_MAC_CYRILLIC,
};
use thiserror::Error;

use super::super::{SourceError, Unshown};

/// Bytes before the list of fields.
const FIELDS_FROM: usize = 32;

/// Bytes of a field in the list.
const FIELD_LEN: usize = 32;

/// The longest name of a field, without the NUL behind it, which some programs leave out. A name of this length may
/// have been cut.
pub(super) const NAME_MAX: usize = 10;

/// The header of a table.
pub(super) struct Header {
    pub(super) records: u32,
    /// Bytes before the first record.
    pub(super) len: u64,
    pub(super) record_len: usize,
    /// The length of a record by the header, if it is less and that of the fields seems to be right.
    pub(super) claimed: Option<usize>,
    pub(super) code_page: CodePage,
    pub(super) fields: Vec<Field>,
}

/// An entry of the list of fields.
pub(super) struct Field {
    pub(super) name: Vec<u8>,
    pub(super) kind: Kind,
    /// Its offset in a record.
    pub(super) start: usize,
    pub(super) len: usize,
    pub(super) decimals: u8,
    /// Whether its value may be null, for which there is a flag in the record.
    pub(super) is_nullable: bool,
}

/// The type of a field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Text,
    /// Text that may have its length in its last byte (Visual `FoxPro`).
    Varchar,
    Number,
    Logical,
    Date,
    /// Four bytes.
    Integer,
    /// Eight bytes, of ten-thousandths.
    Currency,
    /// Eight bytes.
    Double,
    /// Four bytes of a day, and four of a time.
    Moment,
    Unshown(Unshown),
    /// Bytes that may have their length in their last one.
    Varbinary,
}

impl Kind {
    /// The type with this letter, in dBASE or `FoxPro`.
    fn of(letter: u8, len: u8) -> Option<Self> {
        Some(match letter {
            b'C' => Self::Text,
            b'V' => Self::Varchar,
            b'N' | b'F' => Self::Number,
            b'L' => Self::Logical,
            b'D' => Self::Date,
            b'I' | b'+' => Self::Integer,
            b'Y' => Self::Currency,
            // In dBASE V ten bytes, a reference to another file.
            b'B' if len != 8 => Self::Unshown(Unshown::Binary),
            b'B' | b'O' => Self::Double,
            b'T' | b'@' => Self::Moment,
            b'M' => Self::Unshown(Unshown::Memo),
            b'G' => Self::Unshown(Unshown::General),
            b'P' => Self::Unshown(Unshown::Picture),
            b'W' => Self::Unshown(Unshown::Binary),
            b'Q' => Self::Varbinary,
            b'0' => Self::Unshown(Unshown::Nulls),
            _ => return None,
        })
    }

    /// The bytes of its values, if that is fixed.
    fn len(self) -> Option<u8> {
        match self {
            Self::Integer => Some(4),
            Self::Currency | Self::Double | Self::Moment => Some(8),
            _ => None,
        }
    }

    /// What it contains, if it is not shown.
    pub(super) fn unshown(self) -> Option<Unshown> {
        match self {
            Self::Unshown(what) => Some(what),
            Self::Varbinary => Some(Unshown::Binary),
            _ => None,
        }
    }

    /// Whether a flag in the record may say that the value has its length in its last byte.
    pub(super) fn has_own_length(self) -> bool {
        matches!(self, Self::Varchar | Self::Varbinary)
    }
}

impl Header {
    /// Reads the header of a table of `file_len` bytes.
    pub(super) fn read(reader: &mut impl BufRead, file_len: u64) -> Result<Self, SourceError> {
        let mut bytes = vec![0; FIELDS_FROM];
        reader.read_exact(&mut bytes).map_err(|_| NotDbf::Short)?;
        if bytes.iter().all(|&byte| byte >= b' ' || byte.is_ascii_whitespace()) {
            return Err(NotDbf::Text.into());
        }
        let [len, record_len] = [8, 10].map(|at| u16::from_le_bytes([bytes[at], bytes[at + 1]]));
        if usize::from(len) < FIELDS_FROM + FIELD_LEN {
            return Err(NotDbf::HeaderLen(len).into());
        }
        if record_len < 2 {
            return Err(NotDbf::RecordLen(record_len).into());
        }
        bytes.resize(len.into(), 0);
        reader.read_exact(&mut bytes[FIELDS_FROM..]).map_err(|_| NotDbf::Short)?;
        if is_of_dbase_7(&bytes, record_len) {
            return Err(SourceError::Dbase7);
        }
        let mut header = Self {
            records: u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]),
            len: len.into(),
            record_len: record_len.into(),
            claimed: None,
            code_page: CodePage::of(bytes[29]),
            fields: fields(&bytes[FIELDS_FROM..])?,
        };
        // Some programs count the deletion mark wrong; then the length of the file is that of the fields.
        let by_fields = 1 + header.fields.iter().map(|field| field.len).sum::<usize>();
        if !header.fills(header.record_len, file_len) && header.fills(by_fields, file_len) {
            header.record_len = by_fields;
        } else if !header.fills(header.record_len, file_len)
            && header.record_len < by_fields
            && header.len + u64::from(header.records) * (by_fields as u64) < file_len
        {
            header.claimed = Some(std::mem::replace(&mut header.record_len, by_fields));
        }
        lay_out(&mut header.fields, header.record_len)?;
        Ok(header)
    }

    /// Whether records of this length fill the file up to its end mark.
    fn fills(&self, record_len: usize, file_len: u64) -> bool {
        let len = self.len + u64::from(self.records) * record_len as u64;
        matches!(file_len.checked_sub(len), Some(0 | 1))
    }
}

/// Parses the list of fields.
fn fields(list: &[u8]) -> Result<Vec<Field>, SourceError> {
    let mut fields = Vec::new();
    // Some programs leave the 0x0D out; then the list ends with the header, or with padding.
    let is_field = |field: &&[u8; FIELD_LEN]| {
        !matches!(field[0], b'\r' | b'\n') && field[..12] != [0; 12] && field[..12] != [b' '; 12]
    };
    for (field, number) in list.as_chunks().0.iter().take_while(is_field).zip(1_u32..) {
        let name = field[..11].split(|&byte| byte == 0).next().unwrap_or_default();
        let (letter, len) = (field[11], field[16]);
        let named = || shown(name).unwrap_or_else(|| number.to_string());
        let letter_of = || shown(&[letter]).map_or_else(|| format!("{letter:#04x}"), |letter| format!("'{letter}'"));
        let kind = Kind::of(letter, len).ok_or_else(|| NotDbf::Kind { name: named(), letter: letter_of() })?;
        if let Some(right) = kind.len().filter(|&right| len != right) {
            return Err(NotDbf::FieldLen { name: named(), letter: letter_of(), len, right }.into());
        }
        fields.push(Field {
            name: name.to_vec(),
            kind,
            start: u32::from_le_bytes([field[12], field[13], field[14], field[15]]) as usize,
            len: len.into(),
            decimals: field[17],
            is_nullable: field[18] & 2 != 0,
        });
    }
    if fields.is_empty() { Err(NotDbf::NoFields.into()) } else { Ok(fields) }
}

/// A name for messages, if it is ASCII; its encoding is not known yet.
fn shown(name: &[u8]) -> Option<String> {
    let is_shown = !name.is_empty() && name.iter().all(u8::is_ascii_graphic);
    is_shown.then(|| String::from_utf8_lossy(name).into_owned())
}

/// Finds the offset of each field in a record.
///
/// Text has no decimals, so Clipper and `FoxPro` use that byte for the length: 256 bytes for each decimal. Other
/// programs leave any value there, even in the same table. The offsets in the list of fields are used if they fit the
/// record, and otherwise the only choice of long fields that fills it. Without one the columns are ambiguous, which is
/// an error.
fn lay_out(fields: &mut [Field], record_len: usize) -> Result<(), SourceError> {
    let without = 1 + fields.iter().map(|field| field.len).sum::<usize>();
    let Some(more) = record_len.checked_sub(without) else {
        return Err(SourceError::Record { record: record_len as u64, fields: without as u64 });
    };
    let open: Vec<usize> = (0..fields.len()).filter(|&at| more_of(&fields[at]) > 0).collect();
    let long = if open.is_empty() {
        Vec::new()
    } else if let Some(long) = long_by_starts(fields, record_len) {
        long
    } else {
        let decimals: Vec<usize> = open.iter().map(|&at| fields[at].decimals.into()).collect();
        let chosen = match more % 256 {
            0 => choose(&decimals, more / 256),
            _ => Err(Unplaced::Nowhere),
        };
        let chosen = chosen.map_err(|ways| {
            let name = |&at: &usize| shown(&fields[at].name).unwrap_or_else(|| format!("field {}", at + 1));
            let names = open.iter().map(name).collect::<Vec<_>>().join(", ");
            SourceError::Columns { record: record_len as u64, ways, names }
        })?;
        chosen.into_iter().map(|at| open[at]).collect()
    };
    for at in long {
        fields[at].len += more_of(&fields[at]);
    }
    let mut start = 1;
    for field in fields {
        field.start = start;
        start += field.len;
    }
    Ok(())
}

/// The bytes by which a field is longer if its decimals are part of its length.
fn more_of(field: &Field) -> usize {
    if field.kind == Kind::Text { 256 * usize::from(field.decimals) } else { 0 }
}

/// The long fields, by the offsets in the list of fields. `None` if those do not fill the record exactly, or are the
/// sums of the short lengths: programs that know no long fields write such offsets.
fn long_by_starts(fields: &[Field], record_len: usize) -> Option<Vec<usize>> {
    let ends = fields.iter().skip(1).map(|field| field.start).chain([record_len]);
    let (mut long, mut expected) = (Vec::new(), 1);
    for ((at, field), end) in fields.iter().enumerate().zip(ends) {
        if field.start != expected {
            return None;
        }
        match end.checked_sub(field.start)? {
            len if len == field.len => {}
            len if len == field.len + more_of(field) => long.push(at),
            _ => return None,
        }
        expected = end;
    }
    long.first().is_some_and(|&at| at + 1 < fields.len()).then_some(long)
}

/// The only choice of `numbers` whose sum is `sum`.
fn choose(numbers: &[usize], sum: usize) -> Result<Vec<usize>, Unplaced> {
    // For each tail of the numbers and each sum, the number of choices: 0, 1, or 2 for more.
    let mut ways = vec![vec![0_u8; sum + 1]; numbers.len() + 1];
    ways[numbers.len()][0] = 1;
    for (at, &number) in numbers.iter().enumerate().rev() {
        for rest in 0..=sum {
            let with = rest.checked_sub(number).map_or(0, |rest| ways[at + 1][rest]);
            ways[at][rest] = (ways[at + 1][rest] + with).min(2);
        }
    }
    match ways[0][sum] {
        0 => return Err(Unplaced::Nowhere),
        1 => {}
        _ => return Err(Unplaced::Anywhere),
    }
    let (mut chosen, mut rest) = (Vec::new(), sum);
    for (at, &number) in numbers.iter().enumerate() {
        if ways[at + 1][rest] == 0 {
            chosen.push(at);
            rest -= number;
        }
    }
    Ok(chosen)
}

/// Why the columns of a record are ambiguous.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum Unplaced {
    /// None.
    #[error("no way")]
    Nowhere,
    /// Several.
    #[error("more than one way")]
    Anywhere,
}

/// Whether this is a header of dBASE 7: 68 bytes, and 48 for each field, with lengths that add up to that of a record.
fn is_of_dbase_7(header: &[u8], record_len: u16) -> bool {
    let Some(list) = header.get(68..).filter(|_| header[0] & 7 == 4) else { return false };
    let mut len = 1_u32;
    for field in list.chunks(48) {
        match field.get(33) {
            _ if field[0] == b'\r' => return len == record_len.into(),
            Some(&field_len) => len += u32::from(field_len),
            None => return false,
        }
    }
    false
}

/// The encoding by byte 29, the "language driver".
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum CodePage {
    Read(&'static Encoding),
    /// A code page of DOS that is not supported.
    Other(u16),
    Unsaid,
}

impl CodePage {
    /// By the codes of Visual `FoxPro`, and those that other programs have added.
    fn of(code: u8) -> Self {
        Self::Read(match code {
            0x03 | 0x57..=0x59 => WINDOWS_1252,
            0x04 => MACINTOSH,
            0x13 | 0x7b => SHIFT_JIS,
            0x26 | 0x65 => IBM866,
            0x4d | 0x7a => GBK,
            0x4e | 0x79 => EUC_KR,
            0x4f | 0x78 => BIG5,
            0x50 | 0x7c => WINDOWS_874,
            0x7d => WINDOWS_1255,
            0x7e => WINDOWS_1256,
            0x96 => X_MAC_CYRILLIC,
            0xc8 => WINDOWS_1250,
            0xc9 => WINDOWS_1251,
            0xca => WINDOWS_1254,
            0xcb => WINDOWS_1253,
            0xcc => WINDOWS_1257,
            0xf0 => UTF_8,
            _ => return Self::of_dos(code).map_or(Self::Unsaid, Self::Other),
        })
    }

    fn of_dos(code: u8) -> Option<u16> {
        Some(match code {
            0x01 | 0x09 | 0x0b | 0x0d | 0x0f | 0x11 | 0x15 | 0x18 | 0x19 | 0x1b => 437,
            0x02 | 0x0a | 0x0e | 0x10 | 0x12 | 0x14 | 0x16 | 0x1a | 0x1d | 0x25 | 0x37 => 850,
            0x1f | 0x22 | 0x23 | 0x40 | 0x64 | 0x87 => 852,
            0x08 | 0x17 | 0x66 => 865,
            0x1c | 0x6c => 863,
            0x24 => 860,
            0x67 => 861,
            0x6a | 0x86 => 737,
            0x6b | 0x88 => 857,
            _ => return None,
        })
    }
}

/// Why a file is not a dBASE table.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum NotDbf {
    /// It ends before the first record.
    #[error("it is shorter than a header")]
    Short,
    /// It is text.
    #[error("it begins with text: add --format csv, if that is what it is")]
    Text,
    /// Its header is too short for a field.
    #[error("its header is of {0} bytes, and one with a field has 65")]
    HeaderLen(u16),
    /// A record has no room for a value.
    #[error("its records are of {0} bytes")]
    RecordLen(u16),
    /// There is no field in it.
    #[error("it has no fields")]
    NoFields,
    /// A field has an unknown type.
    #[error("its field {name} is of a type that there is not, {letter}")]
    Kind {
        /// Its name, or its number.
        name: String,
        /// Its type.
        letter: String,
    },
    /// A field has not the length of its type.
    #[error("its field {name}, of type {letter}, has {len} bytes and not {right}")]
    FieldLen {
        /// Its name, or its number.
        name: String,
        /// Its type.
        letter: String,
        /// Its bytes.
        len: u8,
        /// The bytes that values of its type have.
        right: u8,
    },
}
