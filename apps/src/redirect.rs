//! Redirects to where a request would have come to by itself, had it been written a little otherwise.
//!
//! None leads to another host: the target is the path that was asked for, encoded as it came.

use lethe::Request;
use lethe::http::{Response, Status, Writer};

/// To the same path with a slash. No path that an application has begins with two, which would be a host.
pub(crate) fn to_directory<'a>(scratch: &'a mut [u8], request: &Request<'_>) -> Response<'a> {
    let target = |location: &mut Writer<'_>| {
        location.push_bytes(request.path);
        location.push("/");
        if let Some(query) = request.query {
            location.push("?");
            location.push_bytes(query);
        }
    };
    Response::build(scratch, Status::MovedPermanently).header_with("Location", target).body(b"")
}

/// To the same path and query with one field more, where the answer does not depend on header fields.
pub(crate) fn with_field<'a>(
    scratch: &'a mut [u8],
    request: &Request<'_>,
    [name, value]: [&str; 2],
    fields: &'static str,
) -> Response<'a> {
    let target = |location: &mut Writer<'_>| {
        location.push_bytes(request.path);
        location.push("?");
        // Ahead of the others: the first of a name counts.
        for part in [name, "=", value] {
            location.push(part);
        }
        if let Some(query) = request.query.filter(|query| !query.is_empty()) {
            location.push("&");
            location.push_bytes(query);
        }
    };
    Response::build(scratch, Status::TemporaryRedirect).header_with("Location", target).fields(fields).body(b"")
}
