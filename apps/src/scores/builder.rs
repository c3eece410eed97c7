//! Writes a file of scores, candidate by candidate.

use std::io::{self, Seek, SeekFrom, Write};

use lethe::app::Position;
use lethe::wire::checksum::Sum;
use thiserror::Error;

use super::format::{self, CANDIDATES_MAX, HEADER_LEN, Header, LINE, NONE, PAGE_MAX, RecordHeader};
use super::key::{KEY_LEN, Key};
use super::number::Number;
use super::page::Labels;
use super::phf;
use crate::huge_page_writer::HugePageWriter;

/// Writes a file of scores to `W`. Pages are written as they are added; only the index is kept in memory.
///
/// The header is written last: before [`Builder::finish`] there is no valid file.
pub struct Builder<W: Write + Seek> {
    out: HugePageWriter<W>,
    key: Key,
    labels: Labels,
    /// The offset of the next record.
    at: u64,
    /// The first free unit.
    unit: u32,
    /// For each candidate, the key of the perfect hash function and the line of the record.
    slot_keys: Vec<(u64, u32)>,
    positions: Vec<(u32, u32)>,
    page: Vec<u8>,
}

impl<W: Write + Seek> Builder<W> {
    /// Begins a file at the start of `out`, which is empty. The key must be random.
    ///
    /// # Errors
    ///
    /// The error of `out`.
    pub fn new(out: W, key: [u8; KEY_LEN], labels: Labels) -> io::Result<Self> {
        let mut out = HugePageWriter::new(out);
        out.write_all(&[0; HEADER_LEN])?;
        Ok(Self {
            out,
            key: Key(key),
            labels,
            at: HEADER_LEN as u64,
            unit: 0,
            slot_keys: Vec::new(),
            positions: Vec::new(),
            page: Vec::new(),
        })
    }

    /// Adds a candidate. The caller makes sure that no two have the same seat number.
    ///
    /// # Errors
    ///
    /// A number or page that the format does not allow, after which the file is as it was before; or the error of the
    /// destination.
    pub fn add(&mut self, seat: &str, secret: &str, body: &[u8]) -> Result<(), AddError> {
        let number = |text| Number::parse(text).map_err(|_| AddError::Number);
        self.add_numbers(&number(seat)?, &number(secret)?, body)
    }

    pub(super) fn add_numbers(&mut self, seat: &Number, secret: &Number, body: &[u8]) -> Result<(), AddError> {
        if body.len() > PAGE_MAX {
            return Err(AddError::Page { len: body.len() });
        }
        let line = u32::try_from(self.at / LINE as u64).ok().filter(|_| self.slot_keys.len() < CANDIDATES_MAX as usize);
        let line = line.ok_or(AddError::TooMany)?;
        let digest = self.key.digest(seat, secret);
        let head = format::head(body.len());
        self.page.clear();
        self.page.extend_from_slice(head.as_bytes());
        self.page.extend_from_slice(body);
        let mut header = RecordHeader {
            tag: digest.tag,
            checksum: crc32fast::hash(&self.page),
            body_len: body.len() as u32,
            unit: NONE,
            head_len: head.len() as u16,
            sum: Sum::new().with(&self.page).folded(),
        };
        // A smaller response fits any segment, so it is never continued from a position.
        if self.page.len() > Position::UNIT
            && let Some((first, end)) = Position::reserve(self.unit, self.page.len() as u64)
        {
            header.unit = first;
            self.unit = end;
            self.positions.push((first, line));
        }
        let len = RecordHeader::LEN + self.page.len();
        let padding = len.next_multiple_of(LINE) - len;
        self.out.write_all(&header.emit())?;
        self.out.write_all(&self.page)?;
        self.out.write_all(&[0; LINE][..padding])?;
        self.at += (len + padding) as u64;
        self.slot_keys.push((digest.slot_key, line));
        Ok(())
    }

    /// Completes the file.
    ///
    /// # Errors
    ///
    /// [`FinishError::Empty`] without a candidate, or the error of the destination.
    pub fn finish(mut self) -> Result<W, FinishError> {
        let Some(&(_, first)) = self.slot_keys.first() else { return Err(FinishError::Empty) };
        let keys: Vec<u64> = self.slot_keys.iter().map(|&(key, _)| key).collect();
        let pilots = phf::find(&keys).ok_or(FinishError::Hash)?;
        let count = phf::slots(keys.len() as u32).ok_or(FinishError::Hash)?;
        let mut slots = vec![first; count as usize];
        for &(key, line) in &self.slot_keys {
            slots[phf::slot(&pilots, count, key) as usize] = line;
        }
        let mut index = pilots.concat();
        let positions = self.positions.iter().flat_map(|&(unit, line)| [unit, line]);
        slots.into_iter().chain(positions).for_each(|number| index.extend(number.to_le_bytes()));
        let text = self.labels.emit();
        index.extend_from_slice(&text);
        let header = Header {
            candidates: self.slot_keys.len() as u32,
            positions: self.positions.len() as u32,
            text: text.len() as u32,
            index: self.at,
            len: self.at + index.len() as u64,
            key: self.key,
            checksum: crc32fast::hash(&index),
        };
        self.out.write_all(&index)?;
        self.out.seek(SeekFrom::Start(0))?;
        self.out.write_all(&header.emit())?;
        Ok(self.out.into_inner()?)
    }
}

/// Why a candidate cannot be added.
#[derive(Debug, Error)]
pub enum AddError {
    /// The seat number or the secret is empty, or too long.
    #[error("a number that is empty or too long")]
    Number,
    /// The page is too long.
    #[error("a page of {len} bytes, where {PAGE_MAX} is the most")]
    Page {
        /// Its bytes.
        len: usize,
    },
    /// The format has no room for one more candidate.
    #[error("more than {CANDIDATES_MAX} candidates, or more than 256 GiB of pages")]
    TooMany,
    /// The file cannot be written.
    #[error("cannot write")]
    Write(#[from] io::Error),
}

/// Why a file cannot be completed.
#[derive(Debug, Error)]
pub enum FinishError {
    /// No candidate was added.
    #[error("there is not one candidate in it")]
    Empty,
    /// No perfect hash function was found, because a candidate was added twice.
    #[error("two candidates have the same numbers")]
    Hash,
    /// The file cannot be written.
    #[error("cannot write")]
    Write(#[from] io::Error),
}
