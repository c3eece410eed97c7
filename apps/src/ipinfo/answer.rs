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
            Self::Place(_, place) if place.is_empty() => push_network(body, place),
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

    /// Writes the address alone.
    pub(super) fn write_address(&self, body: &mut Writer<'_>) {
        if let Self::Place(address, _) | Self::NoPlace(address) = *self {
            address::push(body, address);
        }
        body.push("\n");
    }

    /// Writes a JSON object: address and place, or an error. Country, region and city are always there, what else is
    /// not known is left out. The region is also the `province`, as it was called first.
    pub(super) fn write_json(&self, body: &mut Writer<'_>) {
        let object = json::Object::begin(body);
        match *self {
            Self::Place(address, place) => {
                let mut object = object.member_with("ip", |body| address::push(body, address));
                object = object.member("country", place.country);
                if !place.code.is_empty() {
                    object = object.member("country_code", place.code);
                }
                for (name, value) in [("region", place.region), ("province", place.region), ("city", place.city)] {
                    object = object.member(name, value);
                }
                if let Some(position) = place.position {
                    for (name, degrees) in ["latitude", "longitude"].into_iter().zip(position) {
                        object = object.number_with(name, |body| push_degrees(body, degrees));
                    }
                }
                if place.asn != 0 {
                    object = object.member_with("asn", |body| push_asn(body, place.asn));
                }
                if place.org.is_empty() { object } else { object.member("org", place.org) }
            }
            Self::NoPlace(address) => {
                object.member_with("ip", |body| address::push(body, address)).member("error", address::kind(address))
            }
            Self::NoAddress => object.member("error", "not an IP address"),
        }
        .end();
    }
}

/// Appends what is known of the network that an address is in.
fn push_network(body: &mut Writer<'_>, place: Place<'_>) {
    if place.asn != 0 {
        push_asn(body, place.asn);
        body.push(if place.org.is_empty() { "" } else { " " });
    }
    body.push(place.org);
}

fn push_asn(body: &mut Writer<'_>, asn: u32) {
    body.push("AS");
    body.push_decimal(asn.into());
}

/// Appends degrees, of ten-thousandths of a degree, without zeros at the end.
fn push_degrees(body: &mut Writer<'_>, degrees: i32) {
    const TEN_THOUSANDTHS: u32 = 10_000;
    body.push(if degrees < 0 { "-" } else { "" });
    body.push_decimal(u64::from(degrees.unsigned_abs() / TEN_THOUSANDTHS));
    let mut rest = degrees.unsigned_abs() % TEN_THOUSANDTHS;
    let mut separator = ".";
    while rest != 0 {
        body.push(separator);
        body.push_decimal(u64::from(rest * 10 / TEN_THOUSANDTHS));
        rest = rest * 10 % TEN_THOUSANDTHS;
        separator = "";
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn degrees_are_written_as_json_numbers() {
        for (degrees, expected) in [
            (0, "0"),
            (1, "0.0001"),
            (-1, "-0.0001"),
            (10_000, "1"),
            (-274_767, "-27.4767"),
            (1_530_170, "153.017"),
            (-1_800_000, "-180"),
            (1_000_500, "100.05"),
        ] {
            let mut buffer = [0; 16];
            let mut writer = Writer::new(&mut buffer);
            push_degrees(&mut writer, degrees);
            assert_eq!(str::from_utf8(writer.finish().unwrap()), Ok(expected), "{degrees}");
        }
    }
}
