//! Errors of opening and checking a file of scores.

use thiserror::Error;

use super::format::FORMAT;
use crate::ContainerError;

/// What is wrong with a file.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum OpenError {
    /// What any file may suffer: another file, another version, wrong length or checksum.
    #[error("{}", FORMAT.describe(*.0))]
    Container(ContainerError),
    /// The lengths of the sections do not add up to that of the file, or there is no candidate.
    #[error("the lengths in the header do not fit together")]
    Sections,
    /// A slot points outside of the records, or a position is out of order.
    #[error("the index leads to what is no record")]
    Index,
    /// The labels of the form are not UTF-8, or too long.
    #[error("the labels of the form cannot be read")]
    Labels,
    /// Records are damaged.
    #[error("damaged: {count} of {candidates} records, the first at byte {first}; requests for one get an error")]
    Records {
        /// The number of damaged records.
        count: u32,
        /// The number of all records.
        candidates: u32,
        /// The offset of the first damaged one.
        first: u64,
    },
}

impl From<ContainerError> for OpenError {
    fn from(error: ContainerError) -> Self {
        Self::Container(error)
    }
}
