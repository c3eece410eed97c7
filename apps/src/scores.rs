//! Exam results: a page for each candidate, shown to clients that send both of the candidate's numbers.
//!
//! | request                     | answer                                                             |
//! |-----------------------------|--------------------------------------------------------------------|
//! | `GET /`                     | the form, in Chinese or English                                    |
//! | `GET /?seat=…&id=…`         | the page of the candidate with this seat and this identity number  |
//! | … of no candidate           | 404, and the form, which says that nothing was found               |
//! | … where one is empty        | 400, and the form, which says so                                   |
//! | … whose record is damaged   | 500, and the form, which says to come back later                   |
//! | any other path              | 404                                                                |
//!
//! All pages are in one [`Image`], made from the board's table beforehand: each response lies there from its
//! status line to its last byte, and is sent from there. The file has
//! keyed hashes in place of identity numbers, and these are compared.
//!
//! **Invariant:** neither the response nor the memory accesses of a lookup tell which of the two numbers was wrong.

mod builder;
mod error;
mod format;
mod image;
mod key;
mod language;
mod number;
mod page;
mod phf;
mod prepare;
mod sample;
mod source;
mod spreadsheet;
mod template;

use std::sync::Arc;

use lethe::app::Position;
use lethe::http::{Response, Status};
use lethe::{App, Request};

pub use builder::{AddError, Builder, FinishError};
pub use error::OpenError;
pub use format::{CANDIDATES_MAX, PAGE_MAX, VERSION};
pub use image::Image;
use image::Page;
use language::Language;
use number::{NUMBER_MAX, Number, NumberError};
pub use page::Labels;
use page::Message;
pub use prepare::{Options, PrepareError, PrepareObserver, Prepared, Reject, prepare};
pub use sample::{SampleError, write_sample};
pub use source::{
    Format, LeftOut, NotDbf, QuoteFault, Separator, SeparatorHint, SourceError, Unplaced, Unshown, encoding,
};
pub use spreadsheet::{Damage, Warning};
pub use template::TemplateError;

use crate::query::{self, Plus, decode};
use crate::redirect;

/// The field of a query that names a language.
const LANGUAGE: &str = "lang";

/// An upper bound of the length of the form, head and body.
const FORM_MAX: usize = 1208;

/// Room for a decoded number: fullwidth characters take three bytes each, and there may be white space.
const DECODED_LEN: usize = 4 * NUMBER_MAX;

/// The application: answers from one file.
#[derive(Debug)]
pub struct Scores {
    /// Shared with the thread that checks its records.
    image: Arc<Image>,
}

impl Scores {
    /// Answers from `image`.
    pub fn new(image: impl Into<Arc<Image>>) -> Self {
        Self { image: image.into() }
    }

    /// The image that it answers from.
    pub fn image(&self) -> &Image {
        &self.image
    }
}

impl App for Scores {
    fn respond<'a>(&'a self, request: &Request<'_>, scratch: &'a mut [u8]) -> Response<'a> {
        if request.path != b"/" {
            return Response::build(scratch, Status::NotFound)
                .header("Content-Type", "text/plain; charset=utf-8")
                .body(b"Nothing is here. Ask for /\n");
        }
        let numbers = ["seat", "id"].map(|name| number(request.query, name));
        let (status, message) = match ask(&self.image, &numbers) {
            Answer::Page(page) => return response(&page),
            Answer::Form => (Status::Ok, Message::None),
            Answer::Empty => (Status::BadRequest, Message::Empty),
            Answer::Wrong => (Status::NotFound, Message::Wrong),
            Answer::Damaged => (Status::InternalServerError, Message::Damaged),
        };
        let named = query::field(request.query, LANGUAGE).and_then(Language::named);
        let language = named.unwrap_or_else(|| Language::of(&request.headers()));
        // Header fields may arrive later and name another language. A form that does not fit one packet could then be
        // mixed with one in that language (see `Request::headers`), so the client is redirected to a URL that names its
        // language.
        if named.is_none() && request.complete_headers().is_none() && request.one_packet() < FORM_MAX {
            return redirect::with_field(scratch, request, [LANGUAGE, language.name()], page::PRIVATE);
        }
        // A candidate who mistyped one digit of eighteen on a phone corrects that digit.
        let typed = numbers.each_ref().map(|number| match number {
            Some(Ok(number)) => number.as_str(),
            _ => "",
        });
        Response::build(scratch, status)
            .fields(page::FIELDS)
            .body_with(|body| page::write(body, self.image.labels(), language, message, typed))
    }

    fn stored(&self, position: Position) -> Option<Response<'_>> {
        self.image.stored(position.value()).map(|page| response(&page))
    }

    fn stores(&self) -> bool {
        true
    }

    fn positions(&self) -> u32 {
        self.image.end()
    }
}

/// What a query is answered with.
#[derive(Clone, Copy, Debug)]
enum Answer<'a> {
    /// The query has neither number.
    Form,
    /// One of the numbers is missing.
    Empty,
    /// No candidate has both numbers.
    Wrong,
    /// The record found is damaged.
    Damaged,
    /// The page of the candidate with both numbers.
    Page(Page<'a>),
}

/// A number of a query. `None` where the query has no such field.
type Asked = Option<Result<Number, NumberError>>;

fn number(query: Option<&[u8]>, name: &str) -> Asked {
    let value = query::field(query, name)?;
    if let Some(number) = Number::of_plain(value) {
        return Some(Ok(number));
    }
    let mut room = [0; DECODED_LEN];
    // Malformed encoding cannot be the number of a candidate.
    Some(decode(value, Plus::Space, &mut room).map_or(Err(NumberError::Long), Number::parse))
}

/// What is answered to a seat number and a secret.
fn ask<'a>(image: &'a Image, [seat, secret]: &[Asked; 2]) -> Answer<'a> {
    match (seat, secret) {
        (None, None) => Answer::Form,
        (Some(Ok(seat)), Some(Ok(secret))) => match image.find(seat, secret) {
            Ok(Some(page)) => Answer::Page(page),
            Ok(None) => Answer::Wrong,
            Err(_) => Answer::Damaged,
        },
        (None | Some(Err(NumberError::Empty)), _) | (_, None | Some(Err(NumberError::Empty))) => Answer::Empty,
        (Some(Err(NumberError::Long)), _) | (_, Some(Err(NumberError::Long))) => Answer::Wrong,
    }
}

/// The stored response of a page.
fn response<'a>(page: &Page<'a>) -> Response<'a> {
    let response = Response::prepared(page.head, page.body).with_sum(page.sum);
    let position = page.unit.and_then(Position::new);
    position.map_or(response, |position| response.stored_at(position))
}
