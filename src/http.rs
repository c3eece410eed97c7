//! HTTP/1.0 and HTTP/1.1 (RFC 9112), as much of it as one segment in and one reply out need.

mod field;
mod method;
pub mod query;
mod request;
mod response;
mod status;

pub use field::{FieldName, FieldValue, InvalidField};
pub use method::{Method, Methods};
pub(crate) use request::KeptRequest;
pub use request::{Headers, Problem, RequestLine};
pub use response::{HEAD_ROOM, Response, ResponseBuilder, Writer};
pub use status::Status;
