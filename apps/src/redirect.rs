//! Redirects to another form of the same URL: with a slash at the end, or with one more query field.
//!
//! None leads to another host: the target is the path of the request, still encoded as it came.

use lethe::Request;
use lethe::http::{Response, Status, Writer};

/// Redirects to the path with a slash at its end. The path must not begin with `//`, which would name a host.
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

/// Redirects to the path and query with one more field, for a response that does not depend on header fields.
pub(crate) fn with_field<'a>(
    scratch: &'a mut [u8],
    request: &Request<'_>,
    [name, value]: [&str; 2],
    fields: &'static str,
) -> Response<'a> {
    let target = |location: &mut Writer<'_>| {
        location.push_bytes(request.path);
        location.push("?");
        // Before the others, since the first field with a name counts.
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
