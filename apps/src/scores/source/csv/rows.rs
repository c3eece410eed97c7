//! Splits rows into cells (RFC 4180), and tolerates no mistake that could join rows.
//!
//! A stray quote is a common mistake, and most readers take all text up to the next quote for one cell: rows of other
//! candidates, with their identity numbers. So a quoted cell has to be closed by a quote before a separator, a blank or
//! a line end. A cell may have several lines, as Excel writes line breaks in cells; but then its further lines must
//! have no digit and none of the common separators, as rows of candidates do.

use std::io::BufRead;

use thiserror::Error;

use super::super::SourceError;
use super::super::text::is_of_row;
use super::separator::Separator;

/// The longest row, in bytes: many times that of a page. A file with longer ones is not a table.
const ROW_MAX: usize = 1 << 20;

/// A quote that leaves the end of a cell unclear.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum QuoteFault {
    /// A quote opens a cell, and the table ends before it is closed.
    #[error("a quote opens a cell and is never closed: close it, or remove it")]
    Open,
    /// A quote opens a cell of several lines, which may contain another row.
    #[error(
        "a quote opens a cell and the line ends inside it: close the quote, or remove it (a cell can be of several \
        lines only where no further line has a digit or one of the separators , ; tab |)"
    )]
    Spans,
    /// Text follows the quote that closes a cell.
    #[error("text behind the quote that closes a cell: a quote inside a cell in quotes is written twice")]
    Behind,
}

/// Reads rows, from the current position of the reader.
pub(super) struct Rows<R> {
    reader: R,
    separator: u8,
    /// Whether the second byte of a character may be a separator, as in GBK.
    wide: bool,
    /// The number of lines that were read.
    line: u64,
    /// The number of bytes that were read.
    position: u64,
    /// The line that is being split.
    text: Vec<u8>,
    /// The bytes of all cells of the row, without the quotes around them.
    bytes: Vec<u8>,
    /// The end of each cell in `bytes`.
    ends: Vec<usize>,
    /// The line of the quote that opens the first cell of several lines in the row.
    broken: Option<u64>,
}

/// The position of the last byte within its cell.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before its text, where blanks are ignored.
    Ahead,
    /// In a cell without quotes.
    Plain,
    /// Between the quotes.
    Quoted,
    /// Behind the closing quote.
    Closed,
}

/// The state of the current cell.
#[derive(Clone, Copy)]
struct Cell {
    state: State,
    /// The line of the quote that opens it.
    opened: u64,
    /// Whether it contains a separator.
    separated: bool,
    /// Whether it has several lines.
    broken: bool,
}

impl Cell {
    const NEW: Self = Self { state: State::Ahead, opened: 0, separated: false, broken: false };
}

impl<R: BufRead> Rows<R> {
    /// Rows of a reader from which `line` lines and `position` bytes were read before.
    pub(super) fn new(reader: R, separator: Separator, wide: bool, line: u64, position: u64) -> Self {
        let (text, bytes, ends) = (Vec::new(), Vec::new(), Vec::new());
        Self { reader, separator: separator.byte(), wide, line, position, text, bytes, ends, broken: None }
    }

    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// The number of cells of the row.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The cells of the row, without blanks around them.
    pub(super) fn cells(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(&0).chain(&self.ends);
        starts.zip(&self.ends).map(|(&start, &end)| self.bytes[start..end].trim_ascii())
    }

    /// The line in which the first cell of several lines begins, if the row has one.
    pub(super) fn broken(&self) -> Option<u64> {
        self.broken
    }

    /// Reads the next row that is not blank. Returns the line in which it begins, or `None` at the end.
    pub(super) fn read(&mut self) -> Result<Option<u64>, SourceError> {
        while self.read_line()? {
            let first = self.line;
            self.read_row()?;
            if self.cells().any(|cell| !cell.is_empty()) {
                return Ok(Some(first));
            }
        }
        Ok(None)
    }

    /// Splits a row whose first line was read.
    fn read_row(&mut self) -> Result<(), SourceError> {
        let first = self.line;
        self.bytes.clear();
        self.ends.clear();
        self.broken = None;
        let mut cell = Cell::NEW;
        loop {
            let text = std::mem::take(&mut self.text);
            let split = self.split(&text, &mut cell);
            self.text = text;
            split?;
            if cell.state != State::Quoted {
                self.ends.push(self.bytes.len());
                return Ok(());
            }
            cell.broken = true;
            self.broken.get_or_insert(cell.opened);
            if !self.read_line()? {
                return Err(SourceError::Quote { line: cell.opened, fault: QuoteFault::Open });
            }
            if cell.separated {
                return Err(SourceError::Quote { line: cell.opened, fault: QuoteFault::Spans });
            }
            if self.bytes.len() > ROW_MAX {
                return Err(SourceError::LongRow { line: first, most: ROW_MAX });
            }
        }
    }

    /// Splits a line. Its last cell stays open.
    fn split(&mut self, line: &[u8], cell: &mut Cell) -> Result<(), SourceError> {
        let fault = |line, fault| Err(SourceError::Quote { line, fault });
        let content = without_end(line);
        let mut rest = content;
        while let Some((&byte, behind)) = rest.split_first() {
            rest = behind;
            let is_separator = byte == self.separator;
            match cell.state {
                State::Ahead | State::Plain | State::Closed if is_separator => {
                    self.ends.push(self.bytes.len());
                    *cell = Cell::NEW;
                }
                State::Ahead if byte == b'"' => *cell = Cell { state: State::Quoted, opened: self.line, ..*cell },
                State::Quoted if byte == b'"' => match rest.split_first() {
                    Some((b'"', behind)) => {
                        rest = behind;
                        self.bytes.push(b'"');
                    }
                    _ => cell.state = State::Closed,
                },
                State::Closed if !is_blank(byte) => return fault(self.line, QuoteFault::Behind),
                State::Closed => {}
                State::Ahead | State::Plain | State::Quoted => {
                    if cell.broken && (is_separator || is_of_row(byte.into())) {
                        return fault(cell.opened, QuoteFault::Spans);
                    }
                    cell.separated |= is_separator;
                    if cell.state == State::Ahead && !is_blank(byte) {
                        cell.state = State::Plain;
                    }
                    self.bytes.push(byte);
                    // Lead bytes are above ASCII, and no second byte is a quote, a comma or a line end. In GB 18030 it
                    // may be a digit.
                    if self.wide
                        && byte > 0x80
                        && let Some((&second @ (b'0'..=b'9' | 0x40..), behind)) = rest.split_first()
                    {
                        self.bytes.push(second);
                        rest = behind;
                    }
                }
            }
        }
        if cell.state == State::Quoted {
            self.bytes.extend(&line[content.len()..]);
        }
        Ok(())
    }

    /// Reads a line up to its end: LF, CR LF, or CR. Returns whether there was one.
    pub(super) fn read_line(&mut self) -> Result<bool, SourceError> {
        self.text.clear();
        let mut was_cr = false;
        loop {
            let buffer = self.reader.fill_buf()?;
            if was_cr {
                if buffer.first() == Some(&b'\n') {
                    self.text.push(b'\n');
                    self.reader.consume(1);
                }
                break;
            }
            if buffer.is_empty() {
                break;
            }
            let end = buffer.iter().position(|byte| b"\r\n".contains(byte));
            let len = end.map_or(buffer.len(), |end| end + 1);
            self.text.extend(&buffer[..len]);
            self.reader.consume(len);
            if self.text.len() > ROW_MAX {
                return Err(SourceError::LongRow { line: self.line + 1, most: ROW_MAX });
            }
            match self.text.last() {
                Some(b'\n') => break,
                Some(b'\r') => was_cr = true,
                _ => {}
            }
        }
        self.position += self.text.len() as u64;
        self.line += u64::from(!self.text.is_empty());
        Ok(!self.text.is_empty())
    }
}

/// A line without its line end.
pub(super) fn without_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}
