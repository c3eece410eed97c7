//! The request line (RFC 9112, section 3) and the header fields behind it.
//!
//! ```text
//! GET /202.96.128.86?lang=zh HTTP/1.1\r\n
//! |   |              |       |
//! |   path           query   version: any 1.x
//! method
//! ```
//!
//! The parser reads each byte of the line once, and distinguishes a line that is malformed, a line that is not complete
//! *yet*, and a well-formed line with a method or version that is not supported.

use super::field::is_token;
use super::framing::{Framing, LineEnd, Version, is_host};
use super::method::{Method, Methods};
use super::words::{equal, first, is_other, may_begin_line, others, others_and};

/// A request line, taken apart, and what came behind it.
#[derive(Clone, Copy, Debug)]
pub struct RequestLine<'a> {
    /// The method.
    pub method: Method,
    /// Host and port of a target in absolute form; they count, and not the `Host` field (RFC 9112, section 3.2.2).
    pub authority: Option<&'a [u8]>,
    /// The path, still percent-encoded; it begins with `/`, or is `*` for `OPTIONS`.
    pub path: &'a [u8],
    /// What followed the first `?`.
    pub query: Option<&'a [u8]>,
    /// The header fields that came with it.
    pub headers: Headers<'a>,
    /// What of the line counts for the framing.
    end: LineEnd,
}

/// Why a payload is not a request that can be handed to an application.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Problem {
    /// So far it is right, and it is not all there.
    Incomplete,
    /// It is no HTTP/1 request line, and more bytes will not make it one.
    Malformed,
    /// The method is one that we do not answer.
    Method,
    /// The HTTP version is not 1.x.
    Version,
}

impl<'a> RequestLine<'a> {
    /// Parses the start of a TCP payload, for an application that answers `GET` and `HEAD`.
    ///
    /// # Errors
    ///
    /// As [`parse_for`](Self::parse_for).
    #[inline]
    pub fn parse(payload: &'a [u8]) -> Result<Self, Problem> {
        Self::parse_for(Methods::GET_AND_HEAD, payload)
    }

    /// Parses the start of a TCP payload, for an application that answers these methods.
    ///
    /// A bare LF ends a line as CRLF does, and one empty line ahead of the request is skipped (RFC
    /// 9112, section 2.2).
    ///
    /// # Errors
    ///
    /// The first [`Problem`] from the left; and only where there is none, that the method is not one of them.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "fast: inline")]
    pub fn parse_for(methods: Methods, payload: &'a [u8]) -> Result<Self, Problem> {
        let (asked, rest) = if let Some(rest) = payload.strip_prefix(b"GET ") {
            (Asked::Known(Method::Get), rest)
        } else {
            parse_other_method(payload)?
        };
        let (target, rest) = parse_target(asked, rest)?;
        let (end, headers) = parse_version(rest)?;
        // Only now is the line known to be well-formed, and the method worth an answer of its own.
        let Asked::Known(method) = asked else { return Err(Problem::Method) };
        if !methods.has(method) {
            return Err(Problem::Method);
        }
        let Target { authority, path, query } = target;
        Ok(Self { method, authority, path, query, headers: Headers { bytes: headers }, end })
    }

    /// What the header section says of the end of the request and of its connection, if it is valid.
    #[inline]
    pub fn framing(&self) -> Framing {
        Framing::of_section(self.end, self.headers.bytes)
    }

    /// Whether nothing can follow the request: its section is complete, valid, and the end of the payload, and it has
    /// no body, and asks for nothing that could make one of what follows. No byte of a body is ever read as a request.
    #[cold]
    pub(crate) fn is_last(&self) -> bool {
        Framing::is_end(self.end, self.headers.bytes)
    }

    /// Whether it asks for a part of the response (RFC 9110, section 14.2), as far as its header section has come.
    #[cold]
    pub(crate) fn has_range(&self) -> bool {
        self.headers.values("range").next().is_some()
    }

    /// Whether this is a request line of `GET` from its target on.
    #[cold]
    pub(crate) fn is_get_without_method(payload: &[u8]) -> bool {
        parse_target(Asked::Known(Method::Get), payload).and_then(|(_, rest)| parse_version(rest)).is_ok()
    }

    /// Whether this begins with a header field, and so cannot be a request.
    #[cold]
    pub(crate) fn is_field(payload: &[u8]) -> bool {
        split_field(payload).is_some()
    }

    /// Its version of HTTP.
    pub fn version(&self) -> Version {
        self.end.version()
    }
}

/// A method, as far as it decides which forms the target may have (RFC 9112, section 3.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Asked {
    /// A method that an application can be asked for. The target of `OPTIONS` may be `*`.
    Known(Method),
    /// `CONNECT`, whose target is host and port.
    Connect,
    /// Any other.
    Other,
}

/// A target, taken apart.
struct Target<'a> {
    authority: Option<&'a [u8]>,
    path: &'a [u8],
    query: Option<&'a [u8]>,
}

#[cold]
fn parse_other_method(payload: &[u8]) -> Result<(Asked, &[u8]), Problem> {
    if payload == b"\r" {
        return Err(Problem::Incomplete);
    }
    let bytes = payload.strip_prefix(b"\r\n").unwrap_or(payload);
    let (token, rest) = split_while(bytes, is_token).ok_or(Problem::Incomplete)?;
    let asked = match token {
        b"CONNECT" => Asked::Connect,
        token => Method::from_name(token).map_or(Asked::Other, Asked::Known),
    };
    match rest {
        [b' ', rest @ ..] if !token.is_empty() => Ok((asked, rest)),
        _ => Err(Problem::Malformed),
    }
}

/// The target, in whichever form it came (RFC 9112, section 3.2); and what follows it.
fn parse_target(asked: Asked, bytes: &[u8]) -> Result<(Target<'_>, &[u8]), Problem> {
    let end = first(bytes, |word| others_and(word, b'?'), |byte| byte == b'?' || is_other(byte));
    let (path, rest) = bytes.split_at_checked(end.unwrap_or(bytes.len())).ok_or(Problem::Malformed)?;
    let (query, rest) = match rest {
        [b'?', rest @ ..] => {
            let end = first(rest, others, is_other).unwrap_or(rest.len());
            rest.split_at_checked(end).map(|(query, rest)| (Some(query), rest)).ok_or(Problem::Malformed)?
        }
        _ => (None, rest),
    };
    let rest = match rest {
        [b' ', rest @ ..] => rest,
        // What cannot begin a target will not become one.
        [] if may_begin(asked, bytes) => return Err(Problem::Incomplete),
        _ => return Err(Problem::Malformed),
    };
    let (authority, path) = if path.starts_with(b"/") { (None, path) } else { parse_other_form(asked, path, query)? };
    Ok((Target { authority, path, query }, rest))
}

/// Whether `bytes` begin a target, of which more may follow.
#[cold]
fn may_begin(asked: Asked, bytes: &[u8]) -> bool {
    match bytes {
        [] | [b'/' | b'h' | b'H', ..] => true,
        [b'*'] => matches!(asked, Asked::Known(Method::Options) | Asked::Connect),
        _ => asked == Asked::Connect,
    }
}

/// Authority and path of a target that is no path.
#[cold]
fn parse_other_form<'a>(
    asked: Asked,
    target: &'a [u8],
    query: Option<&[u8]>,
) -> Result<(Option<&'a [u8]>, &'a [u8]), Problem> {
    match asked {
        Asked::Known(Method::Options) if target == b"*" && query.is_none() => Ok((None, target)),
        Asked::Connect if is_host(target) && query.is_none() => Ok((Some(target), b"")),
        Asked::Connect => Err(Problem::Malformed),
        _ => parse_absolute(target),
    }
}

/// Authority and path of a target in absolute form: `/` for `http://host`. The authority is a host with an optional
/// port, without user information (RFC 9110, sections 4.2.1 and 4.2.4). Behind a proxy that takes TLS off, the
/// scheme may be `https` (RFC 9110, section 7.4).
fn parse_absolute(target: &[u8]) -> Result<(Option<&[u8]>, &[u8]), Problem> {
    let colon = target.iter().position(|&byte| byte == b':').ok_or(Problem::Malformed)?;
    let (scheme, rest) = target.split_at_checked(colon).ok_or(Problem::Malformed)?;
    if !scheme.eq_ignore_ascii_case(b"http") && !scheme.eq_ignore_ascii_case(b"https") {
        return Err(Problem::Malformed);
    }
    let rest = rest.strip_prefix(b"://").ok_or(Problem::Malformed)?;
    let end = rest.iter().position(|&byte| byte == b'/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end).ok_or(Problem::Malformed)?;
    if !is_host(authority) {
        return Err(Problem::Malformed);
    }
    Ok((Some(authority), if path.is_empty() { b"/" } else { path }))
}

/// Checks the version and the end of the line, which is CRLF or LF alone; returns what follows it.
#[inline]
fn parse_version(bytes: &[u8]) -> Result<(LineEnd, &[u8]), Problem> {
    // The line end of nearly all requests.
    if let Some(rest) = bytes.strip_prefix(b"HTTP/1.1\r\n") {
        return Ok((LineEnd::new(Version::Http11, true), rest));
    }
    parse_other_version(bytes)
}

#[cold]
fn parse_other_version(bytes: &[u8]) -> Result<(LineEnd, &[u8]), Problem> {
    const NAME: &[u8] = b"HTTP/";
    let Some(version) = bytes.strip_prefix(NAME) else {
        return Err(if NAME.starts_with(bytes) { Problem::Incomplete } else { Problem::Malformed });
    };
    let (major, minor, rest) = match version {
        [major @ b'0'..=b'9', b'.', minor @ b'0'..=b'9', rest @ ..] => (*major, *minor, rest),
        [] | [b'0'..=b'9'] | [b'0'..=b'9', b'.'] => return Err(Problem::Incomplete),
        _ => return Err(Problem::Malformed),
    };
    let (is_strict, rest) = match rest {
        [b'\r', b'\n', rest @ ..] => (true, rest),
        [b'\n', rest @ ..] => (false, rest),
        [] | [b'\r'] => return Err(Problem::Incomplete),
        _ => return Err(Problem::Malformed),
    };
    if major != b'1' {
        return Err(Problem::Version);
    }
    Ok((LineEnd::new(if minor == b'0' { Version::Http10 } else { Version::Http11 }, is_strict), rest))
}

/// Splits before the first byte that is not `wanted`; `None` when there is no such byte.
fn split_while(bytes: &[u8], wanted: impl Fn(u8) -> bool) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|&byte| !wanted(byte))?;
    bytes.split_at_checked(end)
}

/// The name of the header field that this begins with, and what is behind the colon.
fn split_field(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (name, rest) = split_while(bytes, is_token)?;
    rest.strip_prefix(b":").filter(|_| !name.is_empty()).map(|behind| (name, behind))
}

/// The header fields that came in the first segment of a request. They are read when they are asked for, and only then:
/// lines that are no fields are passed over. The engine hands an application no complete section that is not valid to
/// the letter ([`RequestLine::framing`]).
///
/// They may be a part of the header section only: then [`Headers::is_complete`] is false, and a later packet of the
/// same client can bring the request with more of them. See [`Request::headers`](crate::Request::headers).
#[derive(Clone, Copy, Default)]
pub struct Headers<'a> {
    bytes: &'a [u8],
}

impl<'a> Headers<'a> {
    /// A complete header section without a field.
    pub const NONE: Self = Self { bytes: b"\r\n" };

    /// Reads the bytes behind a request line.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// Whether the empty line that ends the header section is there (RFC 9112, section 2.1). No longer packet with the
    /// same beginning shows other fields then.
    #[inline]
    pub fn is_complete(&self) -> bool {
        // Nearly all requests end with their section.
        self.bytes.ends_with(b"\r\n\r\n") || self.has_empty_line()
    }

    fn has_empty_line(&self) -> bool {
        let mut rest = self.bytes;
        while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
            let (line, after) = rest.split_at_checked(end).unwrap_or_default();
            if matches!(line, b"" | b"\r") {
                return true;
            }
            rest = after.strip_prefix(b"\n").unwrap_or_default();
        }
        false
    }

    /// The values of all fields called `name`, in any case, without the white space around them.
    #[inline]
    pub fn values<'n>(&self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        // Most requests lack the fields that are asked for, and one look at all bytes is cheaper than one at each line.
        let may_be_there = name.bytes().next().is_none_or(|first| may_begin_line(self.bytes, first));
        let among = if may_be_there { *self } else { Self::default() };
        among.lines().filter_map(move |line| {
            let (field, value) = line.split_at_checked(name.len())?;
            let value = value.strip_prefix(b":")?;
            field.eq_ignore_ascii_case(name.as_bytes()).then(|| value.trim_ascii())
        })
    }

    /// The fields in order: name, and value without the white space around it. A line that is no field
    /// is passed over, and so is one that the segment cuts off.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        self.lines().filter_map(split_field).map(|(name, value)| (name, value.trim_ascii()))
    }

    /// The lines up to the empty one, which ends the fields.
    #[inline]
    fn lines(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut rest = self.bytes;
        core::iter::from_fn(move || {
            let end = first(rest, |word| equal(word, b'\n'), |byte| byte == b'\n')?;
            let (line, after) = rest.split_at_checked(end)?;
            rest = after.strip_prefix(b"\n").unwrap_or_default();
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            (!line.is_empty()).then_some(line)
        })
    }
}

impl core::fmt::Debug for Headers<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_map().entries(self.iter().map(|(name, value)| (Lossy(name), Lossy(value)))).finish()
    }
}

/// Bytes shown as text, for debugging.
struct Lossy<'a>(&'a [u8]);

impl core::fmt::Debug for Lossy<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec::Vec;

    use super::super::framing::Persistence;
    use super::super::status::Status;
    use super::*;

    fn target(payload: &str) -> Result<(Method, &str, Option<&str>), Problem> {
        let text = |bytes| str::from_utf8(bytes).unwrap();
        RequestLine::parse(payload.as_bytes()).map(|line| (line.method, text(line.path), line.query.map(text)))
    }

    #[quickcheck_macros::quickcheck]
    #[expect(clippy::needless_pass_by_value, reason = "quickcheck hands over what it made")]
    fn values_are_those_of_the_fields_with_that_name(pieces: Vec<u8>) -> bool {
        const PIECES: [&[u8]; 8] = [b"a", b"A", b"b", b":", b" ", b"\r\n", b"\n", b"\xff"];
        let bytes: Vec<u8> = pieces.iter().flat_map(|&piece| PIECES[usize::from(piece % 8)]).copied().collect();
        let headers = Headers::new(&bytes);
        ["a", "ab", "aab"].into_iter().all(|name| {
            let named = headers.iter().filter(|(field, _)| field.eq_ignore_ascii_case(name.as_bytes()));
            headers.values(name).eq(named.map(|(_, value)| value))
        })
    }

    #[test]
    fn takes_a_request_line_apart() {
        use Method::{Get, Head};
        assert_eq!(target("GET / HTTP/1.1\r\n"), Ok((Get, "/", None)));
        assert_eq!(target("HEAD /a?b?c HTTP/1.0\r\n"), Ok((Head, "/a", Some("b?c"))));
        assert_eq!(target("GET /? HTTP/1.9\n"), Ok((Get, "/", Some(""))));
        assert_eq!(target("\r\nGET / HTTP/1.1\r\n"), Ok((Get, "/", None)));
    }

    #[test]
    fn tells_a_request_without_its_method_from_the_rest_of_another() {
        for rest in ["/ HTTP/1.1\r\n", "/a?b HTTP/1.0\r\n", "http://h/ HTTP/1.1\r\nHost: h\r\n\r\n"] {
            assert!(RequestLine::is_get_without_method(rest.as_bytes()), "{rest}");
        }
        for rest in ["/1.1\r\n\r\n", "/*\r\nHost: h\r\n\r\n", "/5.0 (X11; Linux)\r\n\r\n", "/ HTTP/1.1", ""] {
            assert!(!RequestLine::is_get_without_method(rest.as_bytes()), "{rest}");
        }
    }

    #[test]
    fn tells_a_header_field_from_a_request() {
        for field in ["Host: h\r\n\r\n", "Host:", "a:b"] {
            assert!(RequestLine::is_field(field.as_bytes()), "{field}");
        }
        for other in ["", "GET / HTTP/1.1\r\n\r\n", "GET", "\r\n", ":", "GET http://h"] {
            assert!(!RequestLine::is_field(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn takes_the_absolute_form() {
        use Method::Get;
        assert_eq!(target("GET http://h/a?b HTTP/1.1\r\n"), Ok((Get, "/a", Some("b"))));
        assert_eq!(target("GET HTTP://h HTTP/1.1\r\n"), Ok((Get, "/", None)));
        assert_eq!(target("GET http://h?b HTTP/1.1\r\n"), Ok((Get, "/", Some("b"))));
        assert_eq!(target("GET https://h/a HTTP/1.1\r\n"), Ok((Get, "/a", None)));
        for malformed in [
            "ftp://h/",
            "http:/h/",
            "http//h",
            "http://",
            "http:///a",
            "http://:80/",
            "http://u@h/",
            "http://h:a/",
            "http://a\"b/",
            "http://[h]/",
            "hello",
        ] {
            assert_eq!(target(&std::format!("GET {malformed} HTTP/1.1\r\n")), Err(Problem::Malformed), "{malformed}");
        }
    }

    #[test]
    fn a_fragment_is_a_part_of_the_path() {
        assert_eq!(target("GET /a#b HTTP/1.1\r\n"), Ok((Method::Get, "/a#b", None)));
    }

    #[test]
    fn the_authority_of_an_absolute_target_is_told() {
        let authority = |line: &str| RequestLine::parse(line.as_bytes()).map(|line| line.authority.map(<[u8]>::to_vec));
        assert_eq!(authority("GET http://a.example:8080/b?c HTTP/1.1\r\n"), Ok(Some(b"a.example:8080".to_vec())));
        assert_eq!(authority("GET https://[::1]?c HTTP/1.1\r\n"), Ok(Some(b"[::1]".to_vec())));
        assert_eq!(authority("GET /http://h/ HTTP/1.1\r\n"), Ok(None));
    }

    #[test]
    fn targets_that_belong_to_other_methods_are_well_formed_there_and_nowhere_else() {
        assert_eq!(target("OPTIONS * HTTP/1.1\r\n"), Err(Problem::Method));
        assert_eq!(target("OPTIONS / HTTP/1.1\r\n"), Err(Problem::Method));
        assert_eq!(target("CONNECT h:443 HTTP/1.1\r\n"), Err(Problem::Method));
        for malformed in
            ["GET *", "POST *", "OPTIONS *?a", "OPTIONS **", "CONNECT /a@b", "CONNECT h:443?a", "GET h:443"]
        {
            let expect = if malformed.starts_with("CONNECT /") { Problem::Method } else { Problem::Malformed };
            assert_eq!(target(&std::format!("{malformed} HTTP/1.1\r\n")), Err(expect), "{malformed}");
        }
    }

    #[quickcheck_macros::quickcheck]
    #[expect(clippy::needless_pass_by_value, reason = "quickcheck hands over what it made")]
    fn more_bytes_change_nothing_once_a_line_is_decided(pieces: Vec<u8>) -> bool {
        const PIECES: [&str; 16] = [
            "GET ", "HEAD ", "OPTIONS ", "CONNECT ", "P", "/", "*", "http://", "h", "?", " ", "HTTP/1.1", "HTTP/2.0",
            "\r", "\n", "\u{e9}",
        ];
        let text: std::string::String = pieces.iter().map(|&piece| PIECES[usize::from(piece % 16)]).collect();
        let whole = target(&text);
        let prefixes = (0..text.len()).filter(|&end| text.is_char_boundary(end)).map(|end| target(&text[..end]));
        prefixes.into_iter().all(|decided| decided == Err(Problem::Incomplete) || decided == whole)
    }

    #[test]
    fn every_proper_prefix_of_a_request_line_is_incomplete() {
        for line in [
            "\r\nGET / HTTP/1.1\r\n",
            "GET /1.2.3.4 HTTP/1.1\r\n",
            "HEAD http://h/ HTTP/1.0\r\n",
            "POST / HTTP/1.1\r\n",
            "OPTIONS * HTTP/1.1\r\n",
            "CONNECT h:443 HTTP/1.1\r\n",
            "CONNECT *h:443 HTTP/1.1\r\n",
        ] {
            for end in 0..line.len() {
                assert_eq!(target(&line[..end]), Err(Problem::Incomplete), "{:?}", &line[..end]);
            }
        }
    }

    #[test]
    fn a_well_formed_line_with_another_method_is_told_from_a_malformed_one() {
        assert_eq!(target("POST / HTTP/1.1\r\n"), Err(Problem::Method));
        assert_eq!(target("get / HTTP/1.1\r\n"), Err(Problem::Method));
        assert_eq!(target("POST / HTTP/1.1x\r\n"), Err(Problem::Malformed));
        assert_eq!(target("GET / HTTP/2.0\r\n"), Err(Problem::Version));
        for malformed in [
            " GET / HTTP/1.1\r\n",
            "GET  / HTTP/1.1\r\n",
            "GET /\r\n",
            "GET / HTTP/1.1 \r\n",
            "GET / HTTP/x.1\r\n",
            "GET /\u{e9} HTTP/1.1\r\n",
            "G\u{1}T / HTTP/1.1\r\n",
            "\u{16}\u{3}\u{1}",
        ] {
            assert_eq!(target(malformed), Err(Problem::Malformed), "{malformed:?}");
        }
    }

    #[test]
    fn a_method_that_an_application_answers_is_told_with_its_target() {
        let methods = Methods::GET_AND_HEAD.with(Method::Post).with(Method::Options);
        let parse = |line: &str| {
            let line = RequestLine::parse_for(methods, line.as_bytes())?;
            Ok((line.method, str::from_utf8(line.path).unwrap().len()))
        };
        assert_eq!(parse("POST /ab HTTP/1.1\r\nContent-Length: 3\r\n\r\na=b"), Ok((Method::Post, 3)));
        assert_eq!(parse("OPTIONS * HTTP/1.1\r\n"), Ok((Method::Options, 1)));
        assert_eq!(parse("POST * HTTP/1.1\r\n"), Err(Problem::Malformed));
        for other in ["PUT", "DELETE", "PATCH", "TRACE", "post", "BREW"] {
            assert_eq!(parse(&std::format!("{other} / HTTP/1.1\r\n")), Err(Problem::Method), "{other}");
        }
        assert_eq!(parse("CONNECT h:1 HTTP/1.1\r\n"), Err(Problem::Method));
        assert_eq!(parse("PUT / HTTP/2.0\r\n"), Err(Problem::Version));
        assert_eq!(parse("POST /"), Err(Problem::Incomplete));
    }

    #[test]
    fn headers_are_found_in_any_case_up_to_the_empty_line() {
        let headers = Headers::new(b"Host: h\r\nAccept-Language:  zh, en \nbroken\r\n\r\nX: y\r\n");
        let first = |name| headers.values(name).next();
        assert_eq!(first("host"), Some(&b"h"[..]));
        assert_eq!(first("accept-language"), Some(&b"zh, en"[..]));
        assert_eq!([first("accept"), first("x")], [None; 2]);
        assert_eq!(headers.iter().count(), 2);
    }

    #[test]
    fn a_header_section_is_complete_with_its_empty_line_and_not_before() {
        for section in ["\r\n", "Host: h\r\n\r\n", "Host: h\r\nAccept: */*\r\n\r\n", "Host: h\n\n", "\n"] {
            for end in 0..section.len() {
                assert!(!Headers::new(&section.as_bytes()[..end]).is_complete(), "{:?}", &section[..end]);
            }
            for behind in ["", "a body", "GET / HTTP/1.1\r\n\r\n", "\r\n"] {
                assert!(Headers::new(std::format!("{section}{behind}").as_bytes()).is_complete(), "{section:?}");
            }
        }
        assert!(Headers::NONE.is_complete() && !Headers::default().is_complete());
    }

    #[test]
    fn the_framing_is_that_of_version_line_end_and_section() {
        let framing = |request: &str| RequestLine::parse(request.as_bytes()).unwrap().framing();
        let complete = |behind, persistence| Framing::Complete { behind, persistence };
        assert_eq!(framing("GET / HTTP/1.1\r\nHost: h\r\n\r\n"), complete(0, Persistence::Keep));
        assert_eq!(framing("\r\nGET / HTTP/1.7\r\nHost: h\r\n\r\nGET "), complete(4, Persistence::Keep));
        assert_eq!(framing("GET / HTTP/1.1\nHost: h\r\n\r\n"), complete(0, Persistence::Close));
        assert_eq!(framing("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"), complete(0, Persistence::KeepAlive));
        assert_eq!(framing("GET / HTTP/1.0\r\n\r\n"), complete(0, Persistence::Close));
        assert_eq!(framing("GET / HTTP/1.1\r\nHost: h\r\n"), Framing::Incomplete);
        assert_eq!(framing("GET / HTTP/1.1\r\n\r\n"), Framing::Refused(Status::BadRequest));
    }

    #[test]
    fn header_fields_are_shown_as_a_map_for_debugging() {
        let headers = Headers::new(b"A: b\r\nC: \xff\r\n\r\n");
        assert_eq!(std::format!("{headers:?}"), r#"{"A": "b", "C": "\xff"}"#);
    }

    #[test]
    fn a_header_that_the_segment_cuts_off_is_not_there() {
        assert_eq!(Headers::new(b"Host: exam").values("host").next(), None);
    }

    #[test]
    fn what_can_begin_no_target_is_malformed_before_its_end() {
        use Problem::{Incomplete, Malformed};
        for (cut, expect) in [
            ("GET ", Incomplete),
            ("GET /", Incomplete),
            ("GET h", Incomplete),
            ("GET H", Incomplete),
            ("GET x", Malformed),
            ("GET *", Malformed),
            ("OPTIONS *", Incomplete),
            ("OPTIONS **", Malformed),
            ("OPTIONS x", Malformed),
            ("CONNECT x", Incomplete),
            ("CONNECT *", Incomplete),
        ] {
            assert_eq!(target(cut), Err(expect), "{cut}");
        }
    }

    #[test]
    fn a_target_in_absolute_form_is_none_for_connect() {
        assert_eq!(target("CONNECT http://h/ HTTP/1.1\r\n"), Err(Problem::Malformed));
        assert_eq!(target("POST http://h/ HTTP/1.1\r\n"), Err(Problem::Method));
    }

    #[test]
    fn a_line_without_a_method_is_malformed() {
        assert_eq!(target(" / HTTP/1.1\r\n"), Err(Problem::Malformed));
    }

    #[test]
    fn a_field_of_a_few_bytes_is_found() {
        for section in ["a:b\n", "a:b\r\n", "a: b\n\n"] {
            let headers = Headers::new(section.as_bytes());
            assert!(headers.iter().eq([(&b"a"[..], &b"b"[..])]), "{section:?}");
            assert!(headers.values("A").eq([b"b"]), "{section:?}");
        }
    }
}
