//! Applications for a Lethe server.
//!
//! Each is a pure function of a request and a data set, which is read and checked before the server starts. None
//! allocates, blocks or fails while it answers a request.
//!
//! | application | answers with                                                            |
//! |-------------|-------------------------------------------------------------------------|
//! | [`files`]   | the files of a directory, from one image that is replaced as a whole    |
//! | [`ipinfo`]  | the place of an IPv4 address, from a database that the crate carries    |
//! | [`respond`] | small answers by rules: redirects, connectivity checks, a maintenance page    |
//! | [`scores`]  | exam results: the page of each candidate, from one file that is mapped  |

#![forbid(unsafe_code)]

mod container;
mod field;
pub mod files;
mod host;
mod huge_page_writer;
pub mod ipinfo;
mod json;
mod media;
mod positions;
mod query;
mod redirect;
pub mod respond;
pub mod scores;

pub use container::ContainerError;
mod qvalue;
