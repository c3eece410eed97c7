//! Hosts: of rules and sites, and of requests.

use core::net::{Ipv4Addr, Ipv6Addr};
use std::collections::HashMap;

use lethe::Request;
use lethe::http::Status;

/// The longest name (RFC 1035, section 2.3.4), without the dot at its end.
const NAME_MAX: usize = 253;
const LABEL_MAX: usize = 63;

/// The host that a request is for, without its port: letters in lower case, and no dot at the end.
#[derive(Clone, Copy)]
pub(crate) struct Host {
    /// Zero from `len` on.
    bytes: [u8; NAME_MAX],
    len: u8,
}

impl Host {
    /// The host that a request is for; of an old client there may be none.
    pub(crate) fn of(request: &Request<'_>) -> Result<Option<Self>, HostError> {
        match request.authority() {
            Some(authority) => Self::parse(authority).map(Some).ok_or(HostError::Bad),
            None if request.headers().is_complete() => Ok(None),
            None => Err(HostError::NotYet),
        }
    }

    /// The host of an authority: a name of letters, digits, `-` and `.`, or an IPv6 address in brackets; and perhaps a
    /// port. What a URL may have besides, no host that is served has: escapes, user information, `_`.
    pub(crate) fn parse(authority: &[u8]) -> Option<Self> {
        let (name, port) = split_port(authority);
        if !is_port(port) || !is_host(name) {
            return None;
        }
        let mut bytes = [0; NAME_MAX];
        for (lower, byte) in bytes.iter_mut().zip(name) {
            *lower = byte.to_ascii_lowercase();
        }
        Some(Self { bytes, len: name.len() as u8 })
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// Whether it is an address, and no name.
    pub(crate) fn is_address(&self) -> bool {
        let is_v4 = |name| str::from_utf8(name).is_ok_and(|text| text.parse::<Ipv4Addr>().is_ok());
        self.bytes[0] == b'[' || is_v4(self.as_bytes())
    }
}

/// Why a request is answered for no host.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum HostError {
    /// It is none that can be.
    Bad,
    /// It may still come, in another packet (RFC 6585, section 5).
    NotYet,
    /// Nothing is here for it (RFC 9110, section 15.5.20).
    Unknown,
}

impl HostError {
    /// What it is answered with.
    pub(crate) const fn answer(self) -> (Status, &'static str) {
        match self {
            Self::Bad => (Status::BadRequest, "The request names no host, or one that cannot be.\n"),
            Self::NotYet => {
                (Status::RequestHeaderFieldsTooLarge, "The Host field has to be in the first packet of the request.\n")
            }
            Self::Unknown => (Status::MisdirectedRequest, "This host is not served here.\n"),
        }
    }
}

/// The name, without a dot at its end, and what follows its colon.
fn split_port(authority: &[u8]) -> (&[u8], &[u8]) {
    let end = match authority {
        [b'[', ..] => authority.iter().position(|&byte| byte == b']').map_or(authority.len(), |end| end + 1),
        _ => authority.iter().position(|&byte| byte == b':').unwrap_or(authority.len()),
    };
    let (name, port) = authority.split_at(end);
    (name.strip_suffix(b".").unwrap_or(name), port)
}

/// Nothing, or a colon and a number; or the colon alone (RFC 3986, section 3.2.3).
fn is_port(port: &[u8]) -> bool {
    match port {
        [] => true,
        [b':', digits @ ..] => {
            let number = str::from_utf8(digits).ok().and_then(|digits| digits.parse::<u16>().ok());
            digits.is_empty() || digits.iter().all(u8::is_ascii_digit) && number.is_some()
        }
        _ => false,
    }
}

fn is_host(name: &[u8]) -> bool {
    if let [b'[', address @ .., b']'] = name {
        return str::from_utf8(address).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok());
    }
    let is_label = |label: &[u8]| {
        (1..=LABEL_MAX).contains(&label.len()) && label.iter().all(|&byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    name.len() <= NAME_MAX && name.split(|&byte| byte == b'.').all(is_label)
}

/// Which hosts a rule or a site is for.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Pattern {
    /// One.
    Exact(Box<[u8]>),
    /// All whose names end with this, which begins with a dot.
    Under(Box<[u8]>),
    /// All, and requests that name none.
    Any,
}

impl Pattern {
    /// What is written in a rule, or on a command line.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let (name, is_under) = text.strip_prefix("*.").map_or((text, false), |name| (name, true));
        if name.contains('*') {
            return Err("a `*` stands for the beginning of a name, and a dot follows it: \"*.example.com\"".to_owned());
        }
        let host = Host::parse(name.as_bytes()).filter(|host| !(is_under && host.is_address()));
        let host = host.ok_or_else(|| {
            "a host is a name of letters, digits, `-` and `.`, or an IPv6 address in brackets: \"example.com\", \
             \"*.example.com\", \"[2001:db8::1]\""
                .to_owned()
        })?;
        if !split_port(name.as_bytes()).1.is_empty() {
            return Err("a host is compared without its port: leave the port out".to_owned());
        }
        let name = host.as_bytes();
        Ok(if is_under { Self::Under([b".", name].concat().into()) } else { Self::Exact(name.into()) })
    }

    /// How it is written, in lower case.
    pub(crate) fn name(&self) -> Vec<u8> {
        match self {
            Self::Exact(name) => name.to_vec(),
            Self::Under(end) => [b"*", &**end].concat(),
            Self::Any => b"*".to_vec(),
        }
    }
}

/// What there is for named hosts. A look-up allocates nothing.
#[derive(Debug)]
pub(crate) struct Hosts<T> {
    exact: HashMap<Box<[u8]>, T>,
    /// By the end of the name, which begins with a dot.
    under: HashMap<Box<[u8]>, T>,
}

impl<T> Hosts<T> {
    pub(crate) fn new() -> Self {
        Self { exact: HashMap::new(), under: HashMap::new() }
    }

    /// Adds what there is for the hosts of a pattern. Gives it back where the pattern is for any host.
    pub(crate) fn add(&mut self, pattern: Pattern, value: T) -> Option<T> {
        match pattern {
            Pattern::Exact(name) => drop(self.exact.insert(name, value)),
            Pattern::Under(end) => drop(self.under.insert(end, value)),
            Pattern::Any => return Some(value),
        }
        None
    }

    /// All that there is for a host: for the host itself, and then from the longest end of its name to the shortest.
    pub(crate) fn of(&self, host: &Host) -> impl Iterator<Item = &T> {
        let name = host.as_bytes();
        // A name has at most 127 labels.
        let ends = name.iter().enumerate().filter(|&(_, &byte)| byte == b'.').map(|(at, _)| &name[at..]);
        let ends = ends.filter(|_| !self.under.is_empty());
        self.exact.get(name).into_iter().chain(ends.filter_map(|end| self.under.get(end)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> Option<String> {
        Host::parse(text.as_bytes()).map(|host| String::from_utf8(host.as_bytes().to_vec()).unwrap())
    }

    #[test]
    fn a_host_is_compared_without_case_port_and_last_dot() {
        for text in
            ["example.com", "EXAMPLE.com", "example.com:80", "example.com.", "Example.Com.:8080", "example.com:"]
        {
            assert_eq!(host(text).as_deref(), Some("example.com"), "{text}");
        }
        assert_eq!(host("[2001:DB8::1]:443").as_deref(), Some("[2001:db8::1]"));
        assert_eq!(host("10.9.0.2").as_deref(), Some("10.9.0.2"));
        assert_eq!(host("a").as_deref(), Some("a"));
        let long = ["a".repeat(63).as_str(); 4].join(".");
        assert_eq!(host(&long[..253]).as_deref(), Some(&long[..253]));
        assert_eq!(host(&long[..254]), None);
    }

    #[test]
    fn what_is_no_host_is_none() {
        for text in [
            "",
            ".",
            "..",
            "a..b",
            ".a",
            "a b",
            "a\tb",
            "a/b",
            "a\\b",
            "a@b",
            "a:b",
            "a:80:80",
            "a:65536",
            "a:+1",
            ":80",
            "[::1",
            "::1",
            "[::1]a",
            "[::1]:a",
            "[a]",
            "[fe80::1%25eth0]",
            "[v1.a]",
            "a%62",
            "a_b",
            "a,b",
            "a;b",
            "a'b",
            "a?b",
            "a#b",
            "\u{e9}.example",
            "a\r\nb",
            "a\0",
            "[]",
            "*.a",
        ] {
            assert_eq!(host(text), None, "{text:?}");
        }
        assert_eq!(host(&"a".repeat(64)), None);
    }

    #[test]
    fn a_rule_names_one_host_those_under_a_name_or_any() {
        let parsed = |text| Pattern::parse(text).unwrap();
        assert_eq!(parsed("Example.com"), Pattern::Exact(b"example.com"[..].into()));
        assert_eq!(parsed("*.Example.com"), Pattern::Under(b".example.com"[..].into()));
        assert_eq!(parsed("[::1]"), Pattern::Exact(b"[::1]"[..].into()));
        assert_eq!(parsed("*"), Pattern::Any);
        for (text, why) in [
            ("", "a name of letters"),
            ("a_b", "a name of letters"),
            ("*.[::1]", "a name of letters"),
            ("*.192.0.2.1", "a name of letters"),
            ("*a", "a dot follows it"),
            ("a.*", "a dot follows it"),
            ("*.*.a", "a dot follows it"),
            ("http://a", "a name of letters"),
            ("a:80", "without its port"),
            ("a:", "without its port"),
        ] {
            let said = Pattern::parse(text).unwrap_err();
            assert!(said.contains(why), "{text}: {said}");
        }
    }
}
