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
//! **Invariant:** an image never changes. [`Files::replace`] puts a new one beside it, and connections that
//! began with the old one are answered from the old one.

mod builder;
mod damage;
mod encoding;
mod form;
mod format;
mod image;
mod pack;
mod path;
mod tag;
mod tree;

use lethe::app::{Generations, Position};
use lethe::http::{Headers, Response, Status};
use lethe::{App, Request};

pub use builder::{About, AddError, Builder, ObjectId};
pub use damage::OpenError;
use encoding::Accepted;
pub use encoding::Coding;
pub use form::Flaw;
pub use format::VERSION;
pub use image::Image;
use image::{Entry, File, Object};
pub use pack::{Options, PackError, Packed, Watch, pack};
use path::Unfit;
pub use tree::{FILE_MAX, FILES_MAX, Skipped};

pub use crate::positions::UNITS;
use crate::versions::{self, Versions};
use crate::{query, redirect};

const TEXT: &str = "text/plain; charset=utf-8";
const NOT_FOUND: &[u8] = b"Nothing is here.\n";
const BAD_PATH: &[u8] = b"No file can have this path.\n";

/// The application: the current image, and those that it replaced.
///
/// There is one image for each of [`Generations::COUNT`] generations. So a reply is never of two images as long
/// as at most three replacements come while it is under way; after a fourth, what is left of it is no longer
/// there.
#[derive(Debug)]
pub struct Files {
    images: Versions<Image>,
}

impl Files {
    /// Answers from `image`.
    pub fn new(image: Image) -> Self {
        Self::of_generation(image, 0)
    }

    /// The same, with a number other than 0 for that image: what another server has come to by replacing its own.
    pub fn of_generation(image: Image, generation: u8) -> Self {
        Self { images: Versions::new(image, generation) }
    }

    /// Answers new connections from `image`, and those that there are from what they began with.
    ///
    /// Returns the image that nothing is answered from any more, if there is one. To drop it takes the time
    /// of unmapping it.
    #[must_use = "to drop an image takes time that whoever answers packets has not"]
    pub fn replace(&mut self, image: Image) -> Option<Image> {
        self.images.replace(image)
    }

    /// Answers those from `image` that have begun with it elsewhere; [`advance`](Self::advance) has new connections
    /// begin with it here.
    #[must_use = "to drop an image takes time that whoever answers packets has not"]
    pub fn add(&mut self, image: Image) -> Option<Image> {
        self.images.add(image)
    }

    /// Answers new connections from what was added.
    pub fn advance(&mut self) {
        self.images.advance();
    }

    /// What new connections are answered from.
    pub fn image(&self) -> &Image {
        self.images.current()
    }
}

impl App for Files {
    fn respond<'a>(&'a self, request: &Request<'_>, scratch: &'a mut [u8]) -> Response<'a> {
        let (image, generation) = self.images.of(request.generation);
        let found = path::decode(request.path, scratch).map(|path| image.find(path));
        match found {
            Ok(Some(Entry::File(file))) => respond_with(&file, generation, request, scratch),
            Ok(Some(Entry::Redirect)) => redirect::to_directory(scratch, request),
            Ok(None) | Err(Unfit::Long) => match image.not_found() {
                Some(object) => response(&object, generation),
                None => Response::build(scratch, Status::NotFound).header("Content-Type", TEXT).body(NOT_FOUND),
            },
            Err(Unfit::Escape | Unfit::Character | Unfit::Dots) => {
                Response::build(scratch, Status::BadRequest).header("Content-Type", TEXT).body(BAD_PATH)
            }
        }
    }

    fn stored(&self, position: Position) -> Option<Response<'_>> {
        let (image, generation, unit) = self.images.at(position)?;
        image.stored(unit).map(|object| response(&object, generation))
    }

    fn stores(&self) -> bool {
        true
    }

    fn generations(&self) -> Generations {
        self.images.generations()
    }
}

/// An object as it is sent, of the image of this generation.
fn response<'a>(object: &Object<'a>, generation: u8) -> Response<'a> {
    let response = Response::prepared(object.head, object.body);
    let position = object.unit.and_then(|unit| versions::position(generation, unit));
    position.map_or(response, |position| response.stored_at(position))
}

/// The file, in the form that is asked for: by its name in the query, or by `Accept-Encoding`.
///
/// Where there are several forms and not all header fields have come, a form that is longer than a packet might get
/// mixed with another one, which the same request draws once all its fields are there ([`Request::headers`]). So the
/// client is sent to the name of that form, whose response is the same for every header field.
fn respond_with<'a>(file: &File<'a>, generation: u8, request: &Request<'_>, scratch: &'a mut [u8]) -> Response<'a> {
    let named = query::field(request.query, FORM).and_then(|name| named(file, name));
    let object = match named {
        Some(object) => object,
        None if !file.varies() => file.identity(),
        None => {
            let headers = request.headers();
            let (object, coding) = choose(file, &headers);
            if !headers.is_complete() && response(&object, generation).len() > request.one_packet() {
                return redirect::with_field(scratch, request, [FORM, coding.map_or(IDENTITY, Coding::token)], "");
            }
            object
        }
    };
    // All that it can lead to is a response of one packet, so fields that are still to come do not matter.
    let conditions = request.complete_headers().filter(|_| request.one_packet() >= NOT_MODIFIED_MAX);
    match conditions {
        Some(headers) if object.tag.is_known(&headers) => not_modified(scratch, &object, file.varies()),
        _ => response(&object, generation),
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
