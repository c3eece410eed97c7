//! The files of a directory.
//!
//! | request                       | answer                                                        |
//! |-------------------------------|---------------------------------------------------------------|
//! | `GET /a/b.html`               | the file, in the encoding that `Accept-Encoding` prefers      |
//! | … with its entity tag, or not written since | 304                                             |
//! | … with a range up to its end  | 206                                                           |
//! | `GET /a/`                     | the file `/a/index.html`                                      |
//! | `GET /a`                      | 301 to `/a/`, where that has an index                         |
//! | a path of no file             | 404, and the file `/404.html` where there is one              |
//! | a path that no file can have  | 400                                                           |
//! | a host that no site has       | 421, unless there is one for all other hosts                  |
//!
//! All of it is in one [`Image`], made from the directory beforehand: each response lies there from its
//! status line to its last byte, and is sent from there. Queries are ignored. Hosts may have sites of their own, in the
//! same image.
//!
//! **Invariant:** an image never changes. A server that is given a new one keeps the old one for the connections that
//! began with it ([`Versions`](lethe::versions::Versions)).

mod builder;
mod encoding;
mod error;
mod fields;
mod form;
mod format;
mod image;
mod listing;
mod pack;
mod path;
mod ranges;
mod ruled;
mod site;
mod tag;
mod tree;

use std::time::UNIX_EPOCH;

use lethe::app::Position;
use lethe::http::{Headers, Method, Response, Status};
use lethe::{App, Request};

pub use builder::{About, AddError, Builder, ObjectId};
use encoding::Accepted;
pub use encoding::Coding;
pub use error::OpenError;
pub use fields::{FieldRule, FieldRuleError};
pub use form::Flaw;
pub use format::VERSION;
pub use image::Image;
use image::{Entry, File, Object, Site as SiteOfHost};
pub use pack::{Options, PackError, PackObserver, Packed, pack, pack_sites};
use path::PathError;
pub use ruled::Ruled;
pub use site::{SITES_MAX, Site, SiteError, SiteHost, Sites, SitesError};
pub use tree::{FILE_MAX, FILES_MAX, Skipped};

use crate::host::{Host, HostError};
use crate::{query, redirect};

const TEXT: &str = "text/plain; charset=utf-8";
const NOT_FOUND: &[u8] = b"Nothing is here.\n";
const BAD_PATH: &[u8] = b"No file can have this path.\n";

/// The application: answers from one image.
#[derive(Debug)]
pub struct Files {
    image: Image,
}

impl Files {
    /// Answers from `image`.
    pub const fn new(image: Image) -> Self {
        Self { image }
    }

    /// The image that it answers from.
    pub const fn image(&self) -> &Image {
        &self.image
    }

    /// The site of the host that a request is for.
    ///
    /// Of a request whose header section is not complete, the engine sends no more than a packet, since another host
    /// might follow.
    #[inline(never)]
    fn site(&self, request: &Request<'_>) -> Result<&SiteOfHost, HostError> {
        Host::of(request).and_then(|host| self.image.site(host.as_ref()).ok_or(HostError::Unknown))
    }
}

impl App for Files {
    fn respond<'a>(&'a self, request: &Request<'_>, scratch: &'a mut [u8]) -> Response<'a> {
        let site = if self.image.is_by_host() { self.site(request) } else { Ok(self.image.only_site()) };
        let site = match site {
            Ok(site) => site,
            Err(error) => {
                let (status, text) = error.answer();
                return Response::build(scratch, status).header("Content-Type", TEXT).body(text.as_bytes());
            }
        };
        let found = path::decode(request.path, scratch).map(|path| self.image.find(site, path));
        match found {
            Ok(Some(Entry::File(file))) => respond_with(&file, request, scratch),
            Ok(Some(Entry::Redirect)) => redirect::to_directory(scratch, request),
            Ok(None) | Err(PathError::Long) => match self.image.not_found(site) {
                Some(object) => response(&object),
                None => Response::build(scratch, Status::NotFound).header("Content-Type", TEXT).body(NOT_FOUND),
            },
            Err(PathError::Escape | PathError::Character | PathError::Parent) => {
                Response::build(scratch, Status::BadRequest).header("Content-Type", TEXT).body(BAD_PATH)
            }
        }
    }

    fn stored(&self, position: Position) -> Option<Response<'_>> {
        self.image.stored(position.value()).map(|object| response(&object))
    }

    fn stores(&self) -> bool {
        true
    }

    fn stores_parts(&self) -> bool {
        true
    }

    fn positions(&self) -> u32 {
        self.image.end()
    }
}

/// The stored response of an object.
fn response<'a>(object: &Object<'a>) -> Response<'a> {
    let response = Response::prepared(object.head, object.body);
    let position = object.unit.and_then(Position::new);
    position.map_or(response, |position| response.stored_at(position))
}

/// Responds with a file in the form that the request asks for: by its name in the query, or by `Accept-Encoding`.
///
/// A request may arrive before all of its header fields have ([`Request::headers`]), and be answered again once they
/// have, by then perhaps with another form, or with a part. Segments of two must not be mixed in one response. So where
/// one does not fit a packet, the client is redirected to a URL that names the form and is answered alike whatever the
/// header fields are: as a whole.
fn respond_with<'a>(file: &File<'a>, request: &Request<'_>, scratch: &'a mut [u8]) -> Response<'a> {
    let named = query::field(request.query, FORM).and_then(|name| named(file, name));
    let is_named = named.is_some();
    let (object, coding) = match named {
        Some(object) => (object, None),
        None if file.varies() => choose(file, &request.headers()),
        None => (file.identity(), None),
    };
    let is_long = response(&object).len() > request.one_packet();
    let depends = !is_named && (file.varies() || request.method == Method::Get);
    if is_long && depends && !request.headers().is_complete() {
        return redirect::with_field(scratch, request, [FORM, coding.map_or(IDENTITY, Coding::token)], "");
    }
    if request.complete_headers().is_some_and(|headers| is_known(&object, &headers)) {
        let not_modified = not_modified(scratch, &object);
        // It fits one packet, so it cannot be mixed with what later header fields would lead to.
        return if not_modified.len() <= request.one_packet() { not_modified } else { response(&object) };
    }
    let part = if is_named { None } else { ranges::part(&object, request, scratch) };
    part.unwrap_or_else(|| response(&object))
}

/// Whether the client has this object, by its tag; if it tells none, by the time that it was written (RFC 9110,
/// sections 13.1.2 and 13.1.3).
fn is_known(object: &Object<'_>, headers: &Headers<'_>) -> bool {
    if headers.values("if-none-match").next().is_some() {
        return object.tag.is_known(headers);
    }
    let Some(modified) = object.modified else { return false };
    let since = only(headers, "if-modified-since").and_then(date);
    since.is_some_and(|since| modified <= since)
}

/// The value of the only field with this name.
fn only<'a>(headers: &Headers<'a>, name: &str) -> Option<&'a [u8]> {
    let mut values = headers.values(name);
    values.next().filter(|_| values.next().is_none())
}

/// A date of a header field (RFC 9110, section 5.6.7), in seconds since 1970.
fn date(text: &[u8]) -> Option<u64> {
    let date = httpdate::parse_http_date(str::from_utf8(text).ok()?).ok()?;
    Some(date.duration_since(UNIX_EPOCH).ok()?.as_secs())
}

/// The query field that names a form, and the name of the uncompressed one.
const FORM: &str = "encoding";
const IDENTITY: &str = "identity";

/// The form with this name, if the file has it.
fn named<'a>(file: &File<'a>, name: &[u8]) -> Option<Object<'a>> {
    if name == IDENTITY.as_bytes() {
        return Some(file.identity());
    }
    let mut forms = file.variants().into_iter().zip(Coding::ALL);
    forms.find_map(|(object, coding)| object.filter(|_| name == coding.token().as_bytes()))
}

/// The form with the highest quality value in `Accept-Encoding`, and its coding; of several, the shortest. A client
/// that accepts none gets the uncompressed file, which is of more use than a 406.
fn choose<'a>(file: &File<'a>, headers: &Headers<'_>) -> (Object<'a>, Option<Coding>) {
    let accepted = Accepted::of(headers);
    let (mut best, mut weight) = ((file.identity(), None), accepted.identity);
    let forms = file.variants().into_iter().zip(accepted.codings).zip(Coding::ALL);
    for ((variant, its_weight), coding) in forms {
        let Some(variant) = variant.filter(|_| its_weight > 0) else { continue };
        if its_weight > weight || (its_weight == weight && variant.body.len() < best.0.body.len()) {
            (best, weight) = ((variant, Some(coding)), its_weight);
        }
    }
    best
}

/// The fields of a response that a 304 has as well, beside its tag: a cache needs them to update what it has stored
/// (RFC 9110, section 15.4.5).
const OF_NOT_MODIFIED: [&str; 4] = ["Cache-Control", "Content-Location", "Expires", "Vary"];

/// The header fields of an object.
fn fields_of<'a>(object: &Object<'a>) -> Headers<'a> {
    let line_end = object.head.iter().position(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    Headers::new(object.head.get(line_end..).unwrap_or_default())
}

/// A 304.
fn not_modified<'a>(scratch: &'a mut [u8], object: &Object<'_>) -> Response<'a> {
    let mut response = Response::build(scratch, Status::NotModified).header_with("ETag", |tag| {
        tag.push("\"");
        tag.push_bytes(&object.tag.hex());
        tag.push("\"");
    });
    let fields = fields_of(object);
    for name in OF_NOT_MODIFIED {
        for value in fields.values(name) {
            response = response.header_with(name, |field| field.push_bytes(value));
        }
    }
    response.body(b"")
}
