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
mod format;
mod image;
mod pack;
mod path;
mod tag;
mod tree;

use lethe::app::{Generations, Position};
use lethe::http::{Headers, Response, Status, Writer};
use lethe::{App, Request};

pub use builder::{About, AddError, Builder, ObjectId};
pub use damage::OpenError;
use encoding::Accepted;
pub use encoding::Coding;
pub use format::VERSION;
pub use image::Image;
use image::{Entry, File, Object};
pub use pack::{Options, PackError, Packed, Watch, pack};
use path::Unfit;
pub use tree::{FILE_MAX, FILES_MAX, Skipped};

pub use crate::positions::UNITS;
use crate::versions::{self, Versions};

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
            Ok(Some(Entry::File(file))) => {
                let object = choose(&file, &request.headers);
                if object.tag.is_known(&request.headers) {
                    not_modified(scratch, &object, file.varies())
                } else {
                    response(&object, generation)
                }
            }
            Ok(Some(Entry::Redirect)) => redirect(scratch, request),
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

/// The form that the client likes best; of those that it likes as well, the shortest. Where it likes none it
/// gets the file as it is, which is more than a 406 would give it.
fn choose<'a>(file: &File<'a>, headers: &Headers<'_>) -> Object<'a> {
    let mut best = file.identity();
    if !file.varies() {
        return best;
    }
    let accepted = Accepted::of(headers);
    let mut weight = accepted.identity;
    for (variant, its_weight) in file.variants().into_iter().zip(accepted.codings) {
        let Some(variant) = variant.filter(|_| its_weight > 0) else { continue };
        if its_weight > weight || (its_weight == weight && variant.body.len() < best.body.len()) {
            (best, weight) = (variant, its_weight);
        }
    }
    best
}

/// What a cache has to know of a content that it has (RFC 9110, section 15.4.5). It has no `Content-Length`:
/// that would be the one of the content.
fn not_modified<'a>(scratch: &'a mut [u8], object: &Object<'_>, varies: bool) -> Response<'a> {
    written(scratch, Status::NotModified, |head| {
        head.push("ETag: \"");
        head.push_bytes(&object.tag.hex());
        head.push(if varies { "\"\r\nVary: Accept-Encoding\r\n" } else { "\"\r\n" });
    })
}

/// To the same path with a slash, encoded as it came. It cannot lead to another host: no path in an image
/// begins with two slashes.
fn redirect<'a>(scratch: &'a mut [u8], request: &Request<'_>) -> Response<'a> {
    written(scratch, Status::MovedPermanently, |head| {
        head.push("Location: ");
        head.push_bytes(request.path);
        head.push("/");
        if let Some(query) = request.query {
            head.push("?");
            head.push_bytes(query);
        }
        head.push("\r\nContent-Length: 0\r\n");
    })
}

/// A response without a body, whose head may be longer than [`lethe::http::HEAD_ROOM`].
fn written(scratch: &mut [u8], status: Status, fields: impl FnOnce(&mut Writer<'_>)) -> Response<'_> {
    let mut head = Writer::new(scratch);
    head.push(status.line());
    head.push("\r\n");
    fields(&mut head);
    head.push("Connection: close\r\n\r\n");
    // Too small a scratch buffer is the caller's choice, and a head that says so is always right.
    let head = head.finish().unwrap_or(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n");
    Response::prepared(head, b"")
}
