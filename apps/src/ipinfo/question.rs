//! What a request asks for.

use core::net::{IpAddr, Ipv4Addr};

use lethe::Request;

use super::address;
use crate::query::{self, Plus, decode};

/// The question of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Question {
    /// The format of the answer.
    pub(super) form: Form,
    /// The address, if it is valid.
    pub(super) address: Option<IpAddr>,
}

/// The format of an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Form {
    /// A line of text.
    Text,
    /// A JSON object.
    Json,
    /// The page about an address in the query.
    Page,
    /// The page about the client's own address.
    Home,
    /// A JSON object about the client's own address.
    OwnJson,
    /// The client's own address.
    OwnAddress,
}

impl Question {
    /// Parses a request. `None` for a path that this application does not have.
    pub(super) fn of(request: &Request<'_>) -> Option<Self> {
        let own = |form| Some(Self { form, address: Some(request.client.to_canonical()) });
        match request.path {
            b"/" => Some(Self::of_query(request)),
            b"/json" => own(Form::OwnJson),
            b"/ip" => own(Form::OwnAddress),
            path => Self::of_path(str::from_utf8(path.strip_prefix(b"/")?).ok()?),
        }
    }

    /// The address of a path that is a slash and a dotted quad, as that of nearly all requests.
    #[inline]
    pub(super) fn plain(path: &[u8]) -> Option<Ipv4Addr> {
        address::parse_v4(path.strip_prefix(b"/")?)
    }

    fn of_path(path: &str) -> Option<Self> {
        let (text, form) = match path.strip_suffix(".json").or_else(|| path.strip_suffix("/json")) {
            Some(text) => (text, Form::Json),
            None => (path, Form::Text),
        };
        let mut room = [0; DECODED_LEN];
        // Percent-encoding is rare.
        let text = if text.contains('%') { decode(text.as_bytes(), Plus::Itself, &mut room)? } else { text };
        let address = address::parse(text);
        (address.is_some() || address::is_attempt(text)).then_some(Self { form, address })
    }

    /// Parses the query of an HTML form (`application/x-www-form-urlencoded`). The first field `ip` counts.
    fn of_query(request: &Request<'_>) -> Self {
        let value = query::field(request.query, "ip").unwrap_or_default();
        let mut room = [0; DECODED_LEN];
        match decode(value, Plus::Space, &mut room) {
            Some("") => Self { form: Form::Home, address: Some(request.client.to_canonical()) },
            text => Self { form: Form::Page, address: text.and_then(address::parse) },
        }
    }
}

/// Room for decoded text: the longest address, an IPv4-mapped one written out in full, has 45 bytes, and there may be
/// white space around it.
const DECODED_LEN: usize = 64;

#[cfg(test)]
mod tests {
    use core::net::Ipv6Addr;

    use super::*;

    const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

    fn question_from(client: IpAddr, target: &str) -> Option<Question> {
        let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        let (path, query) = (path.as_bytes(), query.map(str::as_bytes));
        Question::of(&Request::get(path).with_query(query).with_client(client))
    }

    /// Checks what a target asks for: nothing, or a form and an address that may be wrong.
    fn check(target: &str, expected: Option<(Form, Option<&str>)>) {
        let expected =
            expected.map(|(form, address)| Question { form, address: address.map(|address| address.parse().unwrap()) });
        assert_eq!(question_from(CLIENT, target), expected, "{target}");
    }

    #[test]
    fn an_address_in_the_path_is_asked_for_as_text_or_json() {
        check("/8.8.8.8", Some((Form::Text, Some("8.8.8.8"))));
        check("/8.8.8.8.json", Some((Form::Json, Some("8.8.8.8"))));
        check("/8.8.8.8/json", Some((Form::Json, Some("8.8.8.8"))));
        check("/[2001:db8::1]/json", Some((Form::Json, Some("2001:db8::1"))));
        check("/%5B2001:db8::1%5D", Some((Form::Text, Some("2001:db8::1"))));
        check("/8.8.8.8?ip=9.9.9.9", Some((Form::Text, Some("8.8.8.8"))));
        check("/2001:db8::1", Some((Form::Text, Some("2001:db8::1"))));
        check("/2001%3adb8%3A:1.json", Some((Form::Json, Some("2001:db8::1"))));
    }

    #[test]
    fn a_mapped_address_is_the_ipv4_address_in_it() {
        check("/::ffff:8.8.8.8", Some((Form::Text, Some("8.8.8.8"))));
        check("/?ip=0:0:0:0:0:ffff:808:808", Some((Form::Page, Some("8.8.8.8"))));
        let client = Ipv4Addr::new(8, 8, 8, 8);
        let own = question_from(client.to_ipv6_mapped().into(), "/").unwrap();
        assert_eq!(own.address, Some(client.into()));
    }

    #[test]
    fn the_root_asks_for_the_address_of_the_client() {
        for target in ["/", "/?", "/?ip", "/?ip=", "/?ip=+", "/?x=y", "/?IP=8.8.8.8", "/?ip=&ip=8.8.8.8"] {
            check(target, Some((Form::Home, Some("192.0.2.1"))));
        }
        let client = IpAddr::V6(Ipv6Addr::LOCALHOST);
        assert_eq!(question_from(client, "/").unwrap().address, Some(client));
    }

    #[test]
    fn json_and_ip_are_about_the_client() {
        check("/json", Some((Form::OwnJson, Some("192.0.2.1"))));
        check("/ip?ip=8.8.8.8", Some((Form::OwnAddress, Some("192.0.2.1"))));
    }

    #[test]
    fn the_field_of_the_form_is_decoded_and_trimmed() {
        for target in [
            "/?ip=8.8.8.8",
            "/?x=y&ip=8.8.8.8&z",
            "/?ip=8.8.8.8&ip=9.9.9.9",
            "/?ip=+8.8.8.8++",
            "/?ip=%20%098%2E8.8%2e8%0D%0A",
        ] {
            check(target, Some((Form::Page, Some("8.8.8.8"))));
        }
        for target in ["/?ip=2001%3Adb8%3A%3A1", "/?ip=%5B2001:db8::1]"] {
            check(target, Some((Form::Page, Some("2001:db8::1"))));
        }
        let longest = "1111:2222:3333:4444:5555:6666:255.255.255.255";
        check(&format!("/?ip={longest}"), Some((Form::Page, Some(longest))));
    }

    #[test]
    fn whatever_else_is_in_the_field_is_an_attempt_at_an_address() {
        let too_long = format!("/?ip=8.8.8.8{}x", "+".repeat(DECODED_LEN));
        for target in [
            "/?ip=x",
            "/?ip=8.8.8",
            "/?ip=8.8.8.8%",
            "/?ip=8.8.8.8%2",
            "/?ip=%zz",
            "/?ip=%ff",
            "/?ip=8.8+.8.8",
            &too_long,
        ] {
            check(target, Some((Form::Page, None)));
        }
    }

    #[test]
    fn a_path_that_looks_like_an_address_is_an_attempt_at_one() {
        for text in ["1.2.3", "1.2.3.4.5", "256.1.1.1", "01.2.3.4", "1", "...", "1:2", ":::", "::ffff:1.2.3", "%31.2"] {
            check(&format!("/{text}"), Some((Form::Text, None)));
            check(&format!("/{text}.json"), Some((Form::Json, None)));
        }
    }

    #[test]
    fn a_path_that_looks_like_something_else_asks_for_nothing() {
        for path in [
            "/favicon.ico",
            "/robots.txt",
            "/index.html",
            "/a.b",
            "/cafe",
            "/.json",
            "/x.json",
            "/1.2.3.x",
            "/1.2.3.4/",
            "/1.2.3.4/x",
            "/1.2.3.4/json/",
            "/json/",
            "/ip.json",
            "/[cafe]",
            "//1.2.3.4",
            "/g::1",
            "/+1.2.3.4",
            "/%zz",
            "/%",
            "/1.2.3.4.JSON",
            "/fe80::1%25eth0",
        ] {
            check(path, None);
        }
    }

    #[test]
    fn what_nearly_all_requests_have_is_plain() {
        assert_eq!(Question::plain(b"/8.8.4.4"), Some(Ipv4Addr::new(8, 8, 4, 4)));
        for path in [&b"/"[..], b"8.8.4.4", b"/8.8.4.4.json", b"/8.8.4", b"/::1", b"/8%2e8.4.4"] {
            assert_eq!(Question::plain(path), None, "{}", path.escape_ascii());
        }
    }
}
