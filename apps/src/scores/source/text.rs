//! Decodes text, and rejects files that are not text.

use encoding_rs::{DecoderResult, Encoding};

use super::{Read, SourceError};
use crate::scores::number::narrow;

/// Bytes at the beginning of a file that are examined to tell whether it is text.
const BEGINNING: usize = 256;

/// Decodes text in an encoding, or without one as long as it is ASCII.
#[derive(Clone, Copy)]
pub(super) struct Decoder(pub(super) Option<&'static Encoding>);

impl Decoder {
    /// Appends `bytes` to `text`. Bytes that are malformed in the encoding are an error, and are never replaced.
    pub(super) fn decode(self, bytes: &[u8], text: &mut String) -> Result<(), DecodeError> {
        match self.0 {
            _ if bytes.is_ascii() => text.push_str(str::from_utf8(bytes).expect("ASCII")),
            None => return Err(DecodeError::Unknown),
            Some(encoding) => {
                let decoded = encoding.decode_without_bom_handling_and_without_replacement(bytes);
                text.push_str(&decoded.ok_or(DecodeError::Wrong(encoding))?);
            }
        }
        Ok(())
    }

    /// Decodes text that fills its field, so that its last character may have been cut. An incomplete character at the
    /// end is dropped.
    pub(super) fn decode_cut(self, bytes: &[u8], text: &mut String) -> Result<(), DecodeError> {
        let Some(encoding) = self.0.filter(|_| !bytes.is_ascii()) else { return self.decode(bytes, text) };
        let mut decoder = encoding.new_decoder_without_bom_handling();
        text.reserve(decoder.max_utf8_buffer_length_without_replacement(bytes.len()).unwrap_or(0));
        match decoder.decode_to_string_without_replacement(bytes, text, false) {
            (DecoderResult::InputEmpty, _) => Ok(()),
            (DecoderResult::Malformed(..) | DecoderResult::OutputFull, _) => Err(DecodeError::Wrong(encoding)),
        }
    }

    /// The first character that many programs take for a line end, though rows do not end with it here.
    pub(super) fn other_end(self, text: &str) -> Option<char> {
        text.chars().find_map(|character| self.as_other_end(character))
    }

    fn as_other_end(self, character: char) -> Option<char> {
        match character {
            '\u{b}' | '\u{c}' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}' => Some(character),
            // The byte 0x85, decoded as Windows-1252. In Latin-1 it is U+0085.
            '…' if self.0.is_some_and(Encoding::is_single_byte) => Some('\u{85}'),
            _ => None,
        }
    }

    /// A line end inside a cell, behind which there may be the row of another candidate.
    pub(super) fn hides_row(self, cell: &str) -> Option<char> {
        let mut end = None;
        for character in cell.chars() {
            let ends = self.as_other_end(character).or(matches!(character, '\r' | '\n').then_some(character));
            if ends.is_some() {
                end = ends;
            } else if end.is_some() && is_of_row(character) {
                return end;
            }
        }
        None
    }
}

pub(super) enum DecodeError {
    /// No encoding is known, and the text is not ASCII.
    Unknown,
    /// The text is malformed in this encoding.
    Wrong(&'static Encoding),
}

impl DecodeError {
    /// Without an encoding the table cannot be read; with one, only this row cannot.
    pub(super) fn unusable(&self, field: &str) -> Result<Read, SourceError> {
        match self {
            Self::Unknown => Err(SourceError::Encoding),
            Self::Wrong(encoding) => Ok(Read::Unusable(format!("{field} is not {} text", encoding.name()))),
        }
    }
}

/// Rejects a file that is not text in a superset of ASCII, by its beginning.
pub(super) fn check(beginning: &[u8]) -> Result<(), SourceError> {
    match beginning {
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => return Err(SourceError::WideText { name: "UTF-32" }),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => return Err(SourceError::WideText { name: "UTF-16" }),
        _ => {}
    }
    let beginning = &beginning[..beginning.len().min(BEGINNING)];
    if is_utf_16(beginning) {
        return Err(SourceError::WideText { name: "UTF-16" });
    }
    let line = beginning.split(|byte| b"\r\n".contains(byte)).next().unwrap_or_default();
    if line.contains(&0) { Err(SourceError::NoText) } else { Ok(()) }
}

/// Whether this is UTF-16 without a byte order mark: each ASCII character, of which a table has many, has a zero byte
/// on the same side.
fn is_utf_16(beginning: &[u8]) -> bool {
    let is_ascii = |byte: u8| matches!(byte, b' '..=b'~' | b'\t' | b'\r' | b'\n');
    let count = |is_little: bool| {
        let zeros = beginning.as_chunks().0.iter().map(|&[first, second]| {
            let (character, zero) = if is_little { (first, second) } else { (second, first) };
            // A zero on the other side rules this byte order out.
            if character == 0 { None } else { Some(usize::from(zero == 0 && is_ascii(character))) }
        });
        zeros.sum::<Option<usize>>().unwrap_or(0)
    };
    let zeros = count(true).max(count(false));
    let separators = beginning.iter().filter(|byte| b",;\t\r\n".contains(byte)).count();
    zeros > 0 && zeros >= separators
}

/// Whether the character is a digit or a separator: rows of candidates have them, and other text in a cell seldom does.
pub(super) fn is_of_row(character: char) -> bool {
    narrow(character).is_ascii_digit() || matches!(character, ',' | ';' | '\t' | '|')
}
