//! What can be wrong with a file of scores.

use thiserror::Error;

use super::format::VERSION;

/// What is wrong with a file.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum OpenError {
    /// It does not begin as such a file does.
    #[error("this is not a file of scores: `lethe prepare scores` makes one")]
    Magic,
    /// It is in another version of the format.
    #[error("version {found} of the format, where this build reads version {VERSION}: prepare it again")]
    Version {
        /// What the file says.
        found: u32,
    },
    /// Its header is damaged.
    #[error("damaged: the checksum of the header is wrong")]
    HeaderChecksum,
    /// It is cut off, or something follows it.
    #[error("cut off, or grown: {actual} bytes, where there should be {expected}")]
    Length {
        /// The bytes that there are.
        actual: u64,
        /// The bytes that there should be.
        expected: u64,
    },
    /// The sections are not together as long as the file, or there is no candidate.
    #[error("the lengths in the header do not fit together")]
    Sections,
    /// The checksum of the index is not that in the header.
    #[error("damaged: the checksum of the index is {actual:08x}, and {expected:08x} in the header")]
    Checksum {
        /// That of the index.
        actual: u32,
        /// That in the header.
        expected: u32,
    },
    /// A slot leads out of the records, or a position is out of order.
    #[error("the index leads to what is no record")]
    Index,
    /// The labels of the form are no text, or too long.
    #[error("the labels of the form cannot be read")]
    Labels,
    /// Records are damaged.
    #[error("damaged: {count} of {candidates} records, the first at byte {first}; whoever asks for one is told so")]
    Records {
        /// How many.
        count: u32,
        /// Of how many.
        candidates: u32,
        /// Where the first one is.
        first: u64,
    },
}
