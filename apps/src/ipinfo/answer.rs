//! Answers, as text and as JSON.

use core::net::IpAddr;

use lethe::http::{Status, Writer};

use super::{Place, address};
use crate::json;

/// The answer to a question.
#[derive(Clone, Copy, Debug)]
pub(super) enum Answer<'a> {
    /// The address has a place.
    Place(IpAddr, Place<'a>),
    /// The address has no place.
    NoPlace(IpAddr),
    /// The text is not an address.
    NoAddress,
}

impl Answer<'_> {
    /// The status of a response that gives this answer.
    pub(super) const fn status(&self) -> Status {
        match self {
            Self::Place(..) => Status::Ok,
            Self::NoPlace(_) => Status::NotFound,
            Self::NoAddress => Status::BadRequest,
        }
    }

    /// Writes a line of text: the place, or a sentence that says why there is none.
    pub(super) fn write_text(&self, body: &mut Writer<'_>) {
        match *self {
            Self::Place(_, place) => push_names(body, place, Writer::push),
            Self::NoPlace(address) => {
                address::push(body, address);
                body.push(" is ");
                body.push(address::kind(address));
                body.push(".");
            }
            Self::NoAddress => body.push("That is not an IP address. One looks like 8.8.8.8."),
        }
        body.push("\n");
    }

    /// Writes a JSON object: address, country, province and city, or an error.
    pub(super) fn write_json(&self, body: &mut Writer<'_>) {
        let object = json::Object::begin(body);
        match *self {
            Self::Place(address, place) => object
                .member_with("ip", |body| address::push(body, address))
                .member("country", place.country)
                .member("province", place.province)
                .member("city", place.city),
            Self::NoPlace(address) => {
                object.member_with("ip", |body| address::push(body, address)).member("error", address::kind(address))
            }
            Self::NoAddress => object.member("error", "not an IP address"),
        }
        .end();
    }
}

/// Appends the known names with `push`, from the country down.
pub(super) fn push_names<'b>(body: &mut Writer<'b>, place: Place<'_>, push: fn(&mut Writer<'b>, &str)) {
    let mut separator = "";
    for name in place.names().into_iter().filter(|name| !name.is_empty()) {
        body.push(separator);
        push(body, name);
        separator = " ";
    }
}
