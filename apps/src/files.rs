//! The files of a directory.
//!
//! | request                       | answer                                                        |
//! |-------------------------------|---------------------------------------------------------------|
//! | `GET /a/b.html`               | the file, in the form that `Accept-Encoding` likes best       |
//! | … with its tag                | 304                                                           |
//! | `GET /a/`                     | the file `/a/index.html`                                      |
//! | `GET /a`                      | 301 to `/a/`, where that has an index                         |
//! | a path that none has          | 404, and the file `/404.html` where there is one              |
//! | a path that none could have   | 400                                                           |
//!
//! All of it is in one [`Image`], made from the directory beforehand: each response lies there from its
//! status line to its last byte, and is sent from there. Queries are ignored.
//!
//! **Invariant:** an image never changes. A server that is given a new one keeps the old one for the connections that
//! began with it ([`Versions`](lethe::versions::Versions)).

mod builder;
mod encoding;
mod error;
mod form;
mod format;
mod image;
mod pack;
mod path;
mod tag;
mod tree;

use lethe::app::Position;
use lethe::http::{Headers, Response, Status};
use lethe::{App, Request};

pub use builder::{About, AddError, Builder, ObjectId};
use encoding::Accepted;
pub use encoding::Coding;
pub use error::OpenError;
pub use form::Flaw;
pub use format::VERSION;
pub use image::Image;
use image::{Entry, File, Object};
pub use pack::{Options, PackError, PackObserver, Packed, pack};
use path::PathError;
pub use tree::{FILE_MAX, FILES_MAX, Skipped};

pub use crate::positions::UNITS;
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

    /// What it answers from.
    pub const fn image(&self) -> &Image {
        &self.image
    }
}

impl App for Files {
    fn respond<'a>(&'a self, request: &Request<'_>, scratch: &'a mut [u8]) -> Response<'a> {
        let found = path::decode(request.path, scratch).map(|path| self.image.find(path));
        match found {
            Ok(Some(Entry::File(file))) => respond_with(&file, request, scratch),
            Ok(Some(Entry::Redirect)) => redirect::to_directory(scratch, request),
            Ok(None) | Err(PathError::Long) => match self.image.not_found() {
                Some(object) => response(&object),
                None => Response::build(scratch, Status::NotFound).header("Content-Type", TEXT).body(NOT_FOUND),
            },
            Err(PathError::Escape | PathError::Character | PathError::Dots) => {
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
}

/// An object as it is sent.
fn response<'a>(object: &Object<'a>) -> Response<'a> {
    let response = Response::prepared(object.head, object.body);
    let position = object.unit.and_then(Position::new);
    position.map_or(response, |position| response.stored_at(position))
}

/// The file, in the form that is asked for: by its name in the query, or by `Accept-Encoding`.
///
/// Where there are several forms and not all header fields have come, a form that is longer than a packet might get
/// mixed with another one, which the same request draws once all its fields are there ([`Request::headers`]). So the
/// client is sent to the name of that form, whose response is the same for every header field.
fn respond_with<'a>(file: &File<'a>, request: &Request<'_>, scratch: &'a mut [u8]) -> Response<'a> {
    let named = query::field(request.query, FORM).and_then(|name| named(file, name));
    let object = match named {
        Some(object) => object,
        None if !file.varies() => file.identity(),
        None => {
            let headers = request.headers();
            let (object, coding) = choose(file, &headers);
            if !headers.is_complete() && response(&object).len() > request.one_packet() {
                return redirect::with_field(scratch, request, [FORM, coding.map_or(IDENTITY, Coding::token)], "");
            }
            object
        }
    };
    // All that it can lead to is a response of one packet, so fields that are still to come do not matter.
    let conditions = request.complete_headers().filter(|_| request.one_packet() >= NOT_MODIFIED_MAX);
    match conditions {
        Some(headers) if object.tag.is_known(&headers) => not_modified(scratch, &object, file.varies()),
        _ => response(&object),
    }
}

/// The field of a query that names a form, and the name of a file as it is.
const FORM: &str = "encoding";
const IDENTITY: &str = "identity";

/// The form with this name, if there is one.
fn named<'a>(file: &File<'a>, name: &[u8]) -> Option<Object<'a>> {
    if name == IDENTITY.as_bytes() {
        return Some(file.identity());
    }
    let mut forms = file.variants().into_iter().zip(Coding::ALL);
    forms.find_map(|(object, coding)| object.filter(|_| name == coding.token().as_bytes()))
}

/// The form that the client likes best, and how it is compressed; of those that it likes as well, the shortest. Where
/// it likes none it gets the file as it is, which is more than a 406 would give it.
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

/// What a 304 is not longer than.
const NOT_MODIFIED_MAX: usize = 160;

/// What a cache has to know of a content that it has (RFC 9110, section 15.4.5).
fn not_modified<'a>(scratch: &'a mut [u8], object: &Object<'_>, varies: bool) -> Response<'a> {
    let response = Response::build(scratch, Status::NotModified).header_with("ETag", |tag| {
        tag.push("\"");
        tag.push_bytes(&object.tag.hex());
        tag.push("\"");
    });
    response.fields(if varies { "Vary: Accept-Encoding\r\n" } else { "" }).body(b"")
}
