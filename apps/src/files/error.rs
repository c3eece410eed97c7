//! Errors of opening and checking an image.

use thiserror::Error;

use super::format::FORMAT;
use crate::ContainerError;

/// What is wrong with an image.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum OpenError {
    /// What any file may suffer: another file, another version, wrong length or checksum.
    #[error("{}", FORMAT.describe(*.0))]
    Container(ContainerError),
    /// The lengths of the sections do not add up to that of the image.
    #[error("the lengths in the header do not fit together")]
    Sections,
    /// The head of a response is damaged.
    #[error("damaged: the checksum of the header fields of {object} is wrong")]
    Head {
        /// A path that is answered with it.
        object: String,
    },
    /// A body is damaged.
    #[error("damaged: the contents of {object} are not what they were")]
    Body {
        /// A path that is answered with it.
        object: String,
    },
    /// An object is out of place, or is not a response.
    #[error("object {id} is not where it should be, or is no response")]
    Object {
        /// Its number.
        id: usize,
    },
    /// The objects do not end where the index begins, or there is no object with the number of that for 404.
    #[error("the objects do not fill their section, or the page for 404 is none of them")]
    Objects,
    /// The positions are not consecutive, or too many.
    #[error("the positions are out of order")]
    Positions,
    /// A path is malformed, out of order, or has no object.
    #[error("path {id} is out of order, or stands for nothing")]
    Path {
        /// Its number.
        id: usize,
    },
    /// The text is longer than the paths.
    #[error("there is text that belongs to no path")]
    Text,
    /// The hash table is malformed, or lacks a path.
    #[error("the hash table does not lead to every path")]
    Slots,
}

impl From<ContainerError> for OpenError {
    fn from(error: ContainerError) -> Self {
        Self::Container(error)
    }
}
