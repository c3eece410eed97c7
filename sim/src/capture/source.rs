//! The bytes of a file, from which a reader may look ahead.

use std::io::{self, Read};

/// The least that is asked of a file at a time.
const PIECE: usize = 1 << 16;

/// A file, and what of it was read and is not used yet.
pub(super) struct Source<R> {
    file: R,
    buffer: Vec<u8>,
    /// Where in the buffer the next byte is.
    at: usize,
}

impl<R: Read> Source<R> {
    pub(super) const fn new(file: R) -> Self {
        Self { file, buffer: Vec::new(), at: 0 }
    }

    /// The next `len` bytes, or as many as there still are. They stay. Memory is taken only for bytes that are there.
    pub(super) fn peek(&mut self, len: usize) -> io::Result<&[u8]> {
        if self.buffer.len() - self.at < len {
            self.buffer.drain(..self.at);
            self.at = 0;
        }
        while self.buffer.len() - self.at < len {
            let there = self.buffer.len();
            self.buffer.resize(there + PIECE, 0);
            let read = self.file.read(&mut self.buffer[there..]);
            self.buffer.truncate(there + read.as_ref().map_or(0, |&read| read));
            match read {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let end = self.buffer.len().min(self.at + len);
        Ok(&self.buffer[self.at..end])
    }

    /// Goes on behind bytes that were looked at.
    pub(super) fn skip(&mut self, len: usize) {
        self.at += len;
        debug_assert!(self.at <= self.buffer.len(), "they were looked at");
    }

    /// Reads a head of which all bytes are known to be there or none, and goes on behind it.
    pub(super) fn take<const LEN: usize>(&mut self) -> io::Result<Taken<LEN>> {
        let bytes = self.peek(LEN)?;
        let taken = match bytes.first_chunk() {
            Some(&head) => Taken::All(head),
            None if bytes.is_empty() => Taken::End,
            None => return Ok(Taken::Part),
        };
        if matches!(taken, Taken::All(_)) {
            self.skip(LEN);
        }
        Ok(taken)
    }
}

/// What there was of a head.
pub(super) enum Taken<const LEN: usize> {
    All([u8; LEN]),
    /// The file ends within it.
    Part,
    /// The file ends before it.
    End,
}

/// In which order the bytes of a number are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Big,
    Little,
}

impl Order {
    /// The order in which these bytes are this number, if it is one.
    pub(super) const fn of(bytes: [u8; 4], number: u32) -> Option<Self> {
        if u32::from_be_bytes(bytes) == number {
            Some(Self::Big)
        } else if u32::from_le_bytes(bytes) == number {
            Some(Self::Little)
        } else {
            None
        }
    }

    /// The number at `at`.
    ///
    /// # Panics
    ///
    /// When it is not within `bytes`, as with [`u32`](Self::u32): lengths are checked before.
    pub(super) fn u16(self, bytes: &[u8], at: usize) -> u16 {
        let bytes = bytes[at..].first_chunk().expect("there is room for a number");
        match self {
            Self::Big => u16::from_be_bytes(*bytes),
            Self::Little => u16::from_le_bytes(*bytes),
        }
    }

    pub(super) fn u32(self, bytes: &[u8], at: usize) -> u32 {
        let bytes = bytes[at..].first_chunk().expect("there is room for a number");
        match self {
            Self::Big => u32::from_be_bytes(*bytes),
            Self::Little => u32::from_le_bytes(*bytes),
        }
    }

    pub(super) const fn i64(self, bytes: [u8; 8]) -> i64 {
        match self {
            Self::Big => i64::from_be_bytes(bytes),
            Self::Little => i64::from_le_bytes(bytes),
        }
    }
}
