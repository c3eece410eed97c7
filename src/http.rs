//! HTTP/1.0 and HTTP/1.1 (RFC 9112), as much of it as one segment in and one reply out need.

mod request;
mod response;

pub use request::{Headers, Method, Problem, RequestLine};
pub use response::{HEAD_ROOM, Response, ResponseBuilder, Status, Writer};
