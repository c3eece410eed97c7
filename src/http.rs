//! HTTP/1.0 and HTTP/1.1 (RFC 9112), as much of it as one segment in and one reply out need.

mod field;
mod framing;
mod method;
mod names;
pub mod query;
mod request;
mod response;
mod status;
mod words;

pub use field::{FieldName, FieldValue, InvalidField};
pub use framing::{Framing, Persistence, Version};
pub use method::{Method, Methods};
pub use request::{Headers, Problem, RequestLine};
pub use response::{HEAD_ROOM, Response, ResponseBuilder, Writer};
pub use status::Status;
