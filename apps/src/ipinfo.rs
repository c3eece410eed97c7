//! IP geolocation: the place of an address, and the network that it is in.
//!
//! | request                              | answer                                                      |
//! |--------------------------------------|-------------------------------------------------------------|
//! | `GET /8.8.8.8`                       | its place, as a line of text                                |
//! | `GET /8.8.8.8/json`, `/8.8.8.8.json` | address and place, as a JSON object                         |
//! | `GET /?ip=8.8.8.8`                   | address and place, on a page with a form                    |
//! | `GET /`                              | the same page, about the address that the request came from |
//! | `GET /json`                          | a JSON object about that address                            |
//! | `GET /ip`                            | that address, as a line of text                             |
//!
//! An address that has no place in the database, such as a private one, is answered with 404. Text that looks like an
//! address and is not a valid one is answered with 400. Both have a sentence that explains it, in the format that was
//! asked for. Only the answers about the client's own address are always 200. What looks like an address is
//!
//! * any value of `ip` that is not blank (a blank one asks for the client's own address);
//! * a path of digits and dots, or of hexadecimal digits, dots and colons with at least one colon, which may be in
//!   brackets, with or without `/json` or `.json`.
//!
//! Any other path, such as `/favicon.ico`, is answered with 404. An IPv4-mapped IPv6 address stands
//! for the IPv4 address in it (RFC 4291, section 2.5.5.2).
//!
//! JSON and pages have names in the language that the client prefers (`Accept-Language`), of those that the database
//! has. Text has them in its first language: it is what most programs ask for, and made beforehand.

mod address;
mod answer;
mod builder;
mod countries;
mod database;
mod fields;
mod language;
mod page;
mod prepare;
mod question;
mod source;
mod table;
mod texts;

use core::fmt;
use core::net::IpAddr;

use lethe::http::{Response, Status};
use lethe::{App, Request};

use answer::Answer;
pub use builder::{BuildError, Builder, PlaceId};
use database::Owned;
pub use database::{Database, OpenError, Place, VERSION};
pub use fields::{Fields, FieldsError, NamesError};
pub use language::{Language, LanguageError};
pub use prepare::{Prepared, prepare};
use question::{Form, Question};
pub use source::{PrepareError, SegmentError, Source};
use texts::Texts;

impl Form {
    /// Whether it is about the client's own address.
    const fn is_own(self) -> bool {
        matches!(self, Self::Home | Self::OwnJson | Self::OwnAddress)
    }

    /// Whether it has names in the language that the client prefers.
    const fn is_translated(self) -> bool {
        !matches!(self, Self::Text | Self::OwnAddress)
    }

    /// The header fields of an answer in this form.
    ///
    /// A cache may keep an answer for an hour: it depends on the data set only, which seldom changes. It must not keep
    /// one about the client's own address, which would be wrong for another client behind the same cache.
    const fn fields(self) -> &'static str {
        match self {
            Self::Text => "Content-Type: text/plain; charset=utf-8\r\nCache-Control: max-age=3600\r\n",
            Self::Json => "Content-Type: application/json\r\nCache-Control: max-age=3600\r\n",
            Self::Page => "Content-Type: text/html; charset=utf-8\r\nCache-Control: max-age=3600\r\n",
            Self::Home => "Content-Type: text/html; charset=utf-8\r\nCache-Control: no-store\r\n",
            Self::OwnJson => "Content-Type: application/json\r\nCache-Control: no-store\r\n",
            Self::OwnAddress => "Content-Type: text/plain; charset=utf-8\r\nCache-Control: no-store\r\n",
        }
    }

    /// The response with this answer, whose names are in this language, which may be the client's choice.
    fn respond<'a>(
        self,
        answer: &Answer<'_>,
        language: Language,
        is_choice: bool,
        scratch: &'a mut [u8],
    ) -> Response<'a> {
        let status = if self.is_own() { Status::Ok } else { answer.status() };
        let varies = match answer {
            Answer::Place(..) if is_choice => "Vary: Accept-Language\r\n",
            _ => "",
        };
        let response = Response::build(scratch, status).fields(self.fields()).fields(varies);
        response.body_with(|body| match self {
            Self::Text => answer.write_text(body),
            Self::Json | Self::OwnJson => answer.write_json(body),
            Self::OwnAddress => answer.write_address(body),
            Self::Page | Self::Home => page::write(body, answer, self.is_own(), language),
        })
    }
}

/// A version of the data: a database, and the responses that are made from it when it is loaded.
pub struct Dataset<'d> {
    database: Held<'d>,
    texts: Texts,
}

/// The memory of a database.
enum Held<'d> {
    /// Borrowed from elsewhere.
    Elsewhere(Database<'d>),
    /// Owned.
    Here(Owned),
}

impl Dataset<'static> {
    /// Opens the contents of a database file, checks all of it, and keeps a copy.
    ///
    /// # Errors
    ///
    /// [`Database::open`] has them.
    pub fn read(bytes: &[u8]) -> Result<Self, OpenError> {
        let database = Database::open(bytes)?;
        Ok(Self { texts: Texts::of(&database), database: Held::Here(database.into()) })
    }
}

impl<'d> From<Database<'d>> for Dataset<'d> {
    fn from(database: Database<'d>) -> Self {
        Self { texts: Texts::of(&database), database: Held::Elsewhere(database) }
    }
}

impl Dataset<'_> {
    /// The database.
    #[inline]
    pub fn database(&self) -> Database<'_> {
        match &self.database {
            Held::Elsewhere(database) => *database,
            Held::Here(owned) => owned.database(),
        }
    }

    /// The answer, with names in one of the languages, by its number.
    fn answer(&self, address: Option<IpAddr>, language: usize) -> Answer<'_> {
        match address {
            None => Answer::NoAddress,
            Some(address) => match self.database().lookup_in(address, language) {
                None => Answer::NoPlace(address),
                Some(place) => Answer::Place(address, place),
            },
        }
    }
}

impl fmt::Debug for Dataset<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dataset").field("database", &self.database()).finish_non_exhaustive()
    }
}

/// The application: answers from one database.
#[derive(Debug)]
pub struct IpInfo<'d> {
    data: Dataset<'d>,
}

impl IpInfo<'static> {
    /// Answers from the database that comes with Lethe.
    pub fn embedded() -> Self {
        Self::new(Database::embedded())
    }
}

impl<'d> IpInfo<'d> {
    /// Answers from a [`Database`] or from [`Dataset`].
    pub fn new(data: impl Into<Dataset<'d>>) -> Self {
        Self { data: data.into() }
    }

    /// The data that it answers from.
    pub const fn data(&self) -> &Dataset<'d> {
        &self.data
    }
}

impl App for IpInfo<'_> {
    #[inline]
    fn respond<'a>(&'a self, request: &Request<'_>, scratch: &'a mut [u8]) -> Response<'a> {
        // The most frequent request by far: its response is prepared.
        if let Some(address) = Question::plain(request.path)
            && let Some(place) = self.data.database().find(address)
            && let Some(response) = self.data.texts.get(place)
        {
            return response;
        }
        respond_to_any(&self.data, request, scratch)
    }
}

fn respond_to_any<'a>(data: &'a Dataset<'_>, request: &Request<'_>, scratch: &'a mut [u8]) -> Response<'a> {
    let Some(Question { form, address }) = Question::of(request) else {
        return Response::build(scratch, Status::NotFound)
            .header("Content-Type", "text/plain; charset=utf-8")
            .body(b"Nothing is here. Ask for / or for an address, as in /8.8.8.8.\n");
    };
    let database = data.database();
    if form == Form::Text
        && let Some(IpAddr::V6(address)) = address
        && let Some(response) = database.find_v6(address).and_then(|place| data.texts.get(place))
    {
        return response;
    }
    let is_choice = form.is_translated() && database.languages().nth(1).is_some();
    let number = if is_choice { Language::preferred(database.languages(), &request.headers()) } else { 0 };
    let language = database.languages().nth(number).unwrap_or(Language::English);
    form.respond(&data.answer(address, number), language, is_choice, scratch)
}
