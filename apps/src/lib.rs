//! What a Lethe server can answer with.
//!
//! Each application is a pure function of a request and a data set that was read and checked before
//! the first packet came. None allocates, blocks or fails while it answers.
//!
//! | application | answers with                                                            |
//! |-------------|-------------------------------------------------------------------------|
//! | [`files`]   | the files of a directory, from one image that is replaced as a whole    |
//! | [`ipinfo`]  | the place of an IPv4 address, from a database that the crate carries    |
//! | [`scores`]  | exam results: the page of each candidate, from one file that is mapped  |

#![forbid(unsafe_code)]

mod container;
pub mod files;
mod huge_page_writer;
pub mod ipinfo;
mod json;
mod positions;
mod query;
mod redirect;
pub mod scores;

pub use container::ContainerError;
mod qvalue;
