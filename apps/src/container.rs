//! What the files of applications have in common: a header that says which file it is, checksums, tables of records.
//!
//! | bytes            | of the header                                                       |
//! |------------------|---------------------------------------------------------------------|
//! | 0 to 8           | magic                                                               |
//! | 8 to 12          | version of the format                                               |
//! | …                | what the application has in it                                      |
//! | the last 8 to 4  | CRC-32 of the index, with which the file ends                       |
//! | the last 4       | CRC-32 of the header before this                                    |
//!
//! All numbers are little-endian. A database of [`ipinfo`](crate::ipinfo) has magic and version alone, and one checksum
//! over everything.

use std::fmt;

/// A file that is open: mapped, or in memory.
pub(crate) type FileBytes = Box<dyn AsRef<[u8]> + Send + Sync>;

/// A format of this crate, and how messages call it.
pub(crate) struct Format {
    pub(crate) magic: &'static [u8; 8],
    pub(crate) version: u32,
    /// A file of it, behind "this is not".
    pub(crate) file: &'static str,
    /// The format, behind "version 2 of".
    pub(crate) name: &'static str,
    /// Ends the message about another version: what to do about it.
    pub(crate) advice: &'static str,
}

/// What is wrong with a file, whichever application it is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ContainerError {
    /// The file does not begin with the magic of its format.
    Magic,
    /// The file is in another version of the format.
    Version {
        /// The version in its header.
        found: u32,
    },
    /// The header is damaged.
    HeaderChecksum,
    /// The file is cut off, or something follows its end.
    Length {
        /// The bytes of the file.
        actual: u64,
        /// The bytes that it should have, by its header.
        expected: u64,
    },
    /// The index is damaged.
    IndexChecksum {
        /// The checksum of the index.
        actual: u32,
        /// The checksum in the header.
        expected: u32,
    },
}

impl Format {
    /// The header, after its magic and its version were found to be right.
    pub(crate) fn header<'a, const N: usize>(&self, bytes: &'a [u8]) -> Result<&'a [u8; N], ContainerError> {
        if !bytes.starts_with(self.magic) {
            return Err(ContainerError::Magic);
        }
        let cut_off = ContainerError::Length { actual: bytes.len() as u64, expected: N as u64 };
        let header: &[u8; N] = bytes.first_chunk().ok_or(cut_off)?;
        match u32_at(header, VERSION_AT) {
            found if found != self.version => Err(ContainerError::Version { found }),
            _ => Ok(header),
        }
    }

    /// The header, after its own checksum was found to be right, too. The version comes first, since what follows it
    /// may be anything in another one.
    pub(crate) fn sealed_header<'a, const N: usize>(&self, bytes: &'a [u8]) -> Result<&'a [u8; N], ContainerError> {
        let header = self.header(bytes)?;
        let is_right = crc32fast::hash(&header[..N - 4]) == u32_at(header, N - 4);
        if is_right { Ok(header) } else { Err(ContainerError::HeaderChecksum) }
    }

    /// A header with magic and version, and zeros for everything else.
    pub(crate) fn new_header<const N: usize>(&self) -> [u8; N] {
        let mut header = [0; N];
        header[..VERSION_AT].copy_from_slice(self.magic);
        put_u32(&mut header, VERSION_AT, self.version);
        header
    }

    /// The message of an error.
    pub(crate) fn describe(&self, error: ContainerError) -> impl fmt::Display + use<> {
        let Self { version, file, name, advice, .. } = *self;
        fmt::from_fn(move |f| match error {
            ContainerError::Magic => write!(f, "this is not {file}"),
            ContainerError::Version { found } => {
                write!(f, "version {found} of {name}, where this build reads version {version}{advice}")
            }
            ContainerError::HeaderChecksum => f.write_str("damaged: the checksum of the header is wrong"),
            ContainerError::Length { actual, expected } => {
                write!(f, "cut off, or grown: {actual} bytes, where there should be {expected}")
            }
            ContainerError::IndexChecksum { actual, expected } => {
                write!(f, "damaged: the checksum of the index is {actual:08x}, and {expected:08x} in the header")
            }
        })
    }
}

const VERSION_AT: usize = 8;

/// Completes a header with both checksums.
pub(crate) fn seal<const N: usize>(mut header: [u8; N], index_checksum: u32) -> [u8; N] {
    put_u32(&mut header, N - 8, index_checksum);
    let own = crc32fast::hash(&header[..N - 4]);
    put_u32(&mut header, N - 4, own);
    header
}

/// The checksum of the index in a header.
pub(crate) fn index_checksum<const N: usize>(header: &[u8; N]) -> u32 {
    u32_at(header, N - 8)
}

/// Whether a file has as many bytes as its header says.
pub(crate) const fn check_len(bytes: &[u8], expected: u64) -> Result<(), ContainerError> {
    let actual = bytes.len() as u64;
    if actual == expected { Ok(()) } else { Err(ContainerError::Length { actual, expected }) }
}

/// Whether an index has the checksum that the header says.
pub(crate) fn check_index(index: &[u8], expected: u32) -> Result<(), ContainerError> {
    let actual = crc32fast::hash(index);
    if actual == expected { Ok(()) } else { Err(ContainerError::IndexChecksum { actual, expected }) }
}

pub(crate) fn put_u32(bytes: &mut [u8], at: usize, number: u32) {
    bytes[at..][..4].copy_from_slice(&number.to_le_bytes());
}

pub(crate) fn put_u64(bytes: &mut [u8], at: usize, number: u64) {
    bytes[at..][..8].copy_from_slice(&number.to_le_bytes());
}

pub(crate) fn u16_at<const N: usize>(bytes: &[u8; N], at: usize) -> u16 {
    u16::from_le_bytes(*bytes[at..].first_chunk().expect("within the record"))
}

pub(crate) fn u32_at<const N: usize>(bytes: &[u8; N], at: usize) -> u32 {
    u32::from_le_bytes(*bytes[at..].first_chunk().expect("within the record"))
}

pub(crate) fn u64_at<const N: usize>(bytes: &[u8; N], at: usize) -> u64 {
    u64::from_le_bytes(*bytes[at..].first_chunk().expect("within the record"))
}

/// Splits a table of `count` records off the front of bytes whose length was checked.
pub(crate) fn table<const N: usize>(bytes: &[u8], count: u32) -> (&[[u8; N]], &[u8]) {
    let (table, rest) = bytes.split_at(N * count as usize);
    (table.as_chunks().0, rest)
}
