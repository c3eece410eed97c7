//! What can be wrong with an image.

use thiserror::Error;

use super::format::FORMAT;
use crate::ContainerError;

/// What is wrong with an image.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum OpenError {
    /// What any file may suffer: another file, another version, wrong length or checksum.
    #[error("{}", FORMAT.describe(*.0))]
    Container(ContainerError),
    /// The sections are not together as long as the image.
    #[error("the lengths in the header do not fit together")]
    Sections,
    /// The head of a response is damaged.
    #[error("damaged: the checksum of the header fields of {object} is wrong")]
    Head {
        /// The path that it is the answer to.
        object: String,
    },
    /// A body is damaged.
    #[error("damaged: the contents of {object} are not what they were")]
    Body {
        /// The path that it is the answer to.
        object: String,
    },
    /// An object is not where it should be, or is no response.
    #[error("object {id} is not where it should be, or is no response")]
    Object {
        /// Its number.
        id: usize,
    },
    /// The objects do not end where the index begins, or the one for 404 is none.
    #[error("the objects do not fill their section, or the page for 404 is none of them")]
    Objects,
    /// The positions are not consecutive, or are too many.
    #[error("the positions are out of order")]
    Positions,
    /// A path is none, is out of order, or stands for nothing.
    #[error("path {id} is out of order, or stands for nothing")]
    Path {
        /// Its number.
        id: usize,
    },
    /// There is text that is no path.
    #[error("there is text that belongs to no path")]
    Text,
    /// The hash table is not one, or does not have all paths.
    #[error("the hash table does not lead to every path")]
    Slots,
}

impl From<ContainerError> for OpenError {
    fn from(error: ContainerError) -> Self {
        Self::Container(error)
    }
}
