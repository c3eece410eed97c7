//! What a Lethe server can answer with.
//!
//! Each application is a pure function of a request and a data set that was read and checked before
//! the first packet came. None allocates, blocks or fails while it answers.
//!
//! | application | answers with                                                            |
//! |-------------|-------------------------------------------------------------------------|
//! | [`ipinfo`]  | the place of an IPv4 address, from a database that the crate carries    |
//! | [`sample`]  | as many bytes as are asked for, known beforehand: for tests and figures |

pub mod ipinfo;
mod json;
pub mod sample;

use lethe::app::{App, Generations, Position, Request};
use lethe::http::Response;

use crate::ipinfo::IpInfo;
use crate::sample::Sample;

/// One of the applications, chosen when the server starts.
#[derive(Debug)]
pub enum Application {
    /// The places of IPv4 addresses.
    IpInfo(IpInfo<'static>),
    /// Bytes known beforehand.
    Sample(Sample),
}

impl App for Application {
    fn respond<'a>(&'a self, request: &Request<'_>, scratch: &'a mut [u8]) -> Response<'a> {
        match self {
            Self::IpInfo(app) => app.respond(request, scratch),
            Self::Sample(app) => app.respond(request, scratch),
        }
    }

    fn stored(&self, position: Position) -> Option<Response<'_>> {
        match self {
            Self::IpInfo(app) => app.stored(position),
            Self::Sample(app) => app.stored(position),
        }
    }

    fn stores(&self) -> bool {
        match self {
            Self::IpInfo(app) => app.stores(),
            Self::Sample(app) => app.stores(),
        }
    }

    fn generations(&self) -> Generations {
        match self {
            Self::IpInfo(app) => app.generations(),
            Self::Sample(app) => app.generations(),
        }
    }
}
