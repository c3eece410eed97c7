//! What a Lethe server can answer with.
//!
//! Each application is a pure function of a request and a data set that was read and checked before
//! the first packet came. None allocates, blocks or fails while it answers.
//!
//! | application | answers with                                                            |
//! |-------------|-------------------------------------------------------------------------|
//! | [`files`]   | the files of a directory, from one image that is replaced as a whole    |
//! | [`ipinfo`]  | the place of an IPv4 address, from a database that the crate carries    |
//! | [`sample`]  | as many bytes as are asked for, known beforehand: for tests and figures |
//! | [`scores`]  | exam results: the page of each candidate, from one file that is mapped  |

#![forbid(unsafe_code)]

mod bytes;
pub mod files;
mod huge;
pub mod ipinfo;
mod json;
mod positions;
mod query;
mod redirect;
pub mod sample;
pub mod scores;
mod versions;
mod weight;

use lethe::app::{App, Generations, Position, Request};
use lethe::http::Response;

use crate::files::Files;
use crate::ipinfo::IpInfo;
use crate::sample::Sample;
use crate::scores::Scores;

/// One of the applications, chosen when the server starts.
#[derive(Debug)]
pub enum Application {
    /// The files of a directory.
    Files(Files),
    /// The places of IPv4 addresses.
    IpInfo(IpInfo<'static>),
    /// Bytes known beforehand.
    Sample(Sample),
    /// Exam results.
    Scores(Scores),
}

impl Application {
    /// Answers new connections from the version of its data that was added last, if it has versions.
    pub fn advance(&mut self) {
        match self {
            Self::Files(app) => app.advance(),
            Self::IpInfo(app) => app.advance(),
            Self::Scores(app) => app.advance(),
            Self::Sample(_) => {}
        }
    }
}

impl App for Application {
    fn respond<'a>(&'a self, request: &Request<'_>, scratch: &'a mut [u8]) -> Response<'a> {
        match self {
            Self::Files(app) => app.respond(request, scratch),
            Self::IpInfo(app) => app.respond(request, scratch),
            Self::Sample(app) => app.respond(request, scratch),
            Self::Scores(app) => app.respond(request, scratch),
        }
    }

    fn stored(&self, position: Position) -> Option<Response<'_>> {
        match self {
            Self::Files(app) => app.stored(position),
            Self::IpInfo(app) => app.stored(position),
            Self::Sample(app) => app.stored(position),
            Self::Scores(app) => app.stored(position),
        }
    }

    fn stores(&self) -> bool {
        match self {
            Self::Files(app) => app.stores(),
            Self::IpInfo(app) => app.stores(),
            Self::Sample(app) => app.stores(),
            Self::Scores(app) => app.stores(),
        }
    }

    fn generations(&self) -> Generations {
        match self {
            Self::Files(app) => app.generations(),
            Self::IpInfo(app) => app.generations(),
            Self::Sample(app) => app.generations(),
            Self::Scores(app) => app.generations(),
        }
    }
}
