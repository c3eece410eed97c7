//! What a server answers with.
//!
//! An application is a pure function from a request and a data set to bytes. It has no place for
//! state: `respond` takes `&self`, and a client whose reply was lost sends its request again and must
//! be given the same bytes, possibly by another machine.

use core::net::IpAddr;

use crate::http::{Headers, Method, Response};

/// An application: what stands behind the engine.
pub trait App {
    /// Answers one request.
    ///
    /// The same request must give the same bytes for as long as a client may still be fetching them:
    /// no clock, no counter, no randomness. `scratch` holds whatever of the response is made for this
    /// request; a body that lies in the data set is borrowed from there and never copied here.
    ///
    /// The engine only asks for `GET` and `HEAD`. A response to `HEAD` may carry the body all the
    /// same: the engine leaves it out and keeps its `Content-Length`.
    fn respond<'a>(&'a self, request: &Request<'_>, scratch: &'a mut [u8]) -> Response<'a>;
}

impl<A: App + ?Sized> App for &A {
    fn respond<'a>(&'a self, request: &Request<'_>, scratch: &'a mut [u8]) -> Response<'a> {
        (**self).respond(request, scratch)
    }
}

/// One request, as far as its first segment told it.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// `GET` or `HEAD`.
    pub method: Method,
    /// The path of the request target, still percent-encoded; it begins with `/`.
    pub path: &'a str,
    /// What followed the first `?` of the target, if there was one.
    pub query: Option<&'a str>,
    /// The header fields that came in the same segment as the request line.
    pub headers: Headers<'a>,
    /// The address the request came from.
    pub client: IpAddr,
}
