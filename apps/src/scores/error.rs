//! What can be wrong with a file of scores.

use thiserror::Error;

use super::format::FORMAT;
use crate::ContainerError;

/// What is wrong with a file.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum OpenError {
    /// What any file may suffer: another file, another version, wrong length or checksum.
    #[error("{}", FORMAT.describe(*.0))]
    Container(ContainerError),
    /// The sections are not together as long as the file, or there is no candidate.
    #[error("the lengths in the header do not fit together")]
    Sections,
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

impl From<ContainerError> for OpenError {
    fn from(error: ContainerError) -> Self {
        Self::Container(error)
    }
}
