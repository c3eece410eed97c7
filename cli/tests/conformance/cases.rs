//! Requests, right and wrong, and what RFC 9110 and RFC 9112 say of them, as far as that concerns `GET` and `HEAD`.

/// One connection, on which this is sent.
pub(crate) struct Case {
    pub(crate) group: Group,
    pub(crate) name: &'static str,
    /// The section of RFC 9112 that decides, or of another RFC.
    pub(crate) section: &'static str,
    pub(crate) request: Vec<u8>,
    /// The statuses of the first response that conform; `CLOSED` is the end of the connection without one.
    pub(crate) statuses: &'static [u16],
    /// How many responses there may be: one for each request that the bytes can be.
    pub(crate) responses: usize,
    /// Whether the server has to close the connection.
    pub(crate) closes: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Group {
    RequestLine,
    Host,
    Fields,
    Framing,
}

impl Group {
    pub(crate) const ALL: [Self; 4] = [Self::RequestLine, Self::Host, Self::Fields, Self::Framing];

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::RequestLine => "Request line",
            Self::Host => "Host",
            Self::Fields => "Fields",
            Self::Framing => "Framing and connections",
        }
    }
}

pub(crate) const CLOSED: u16 = 0;

/// What is answered where nothing is wrong: `/11` is there.
const OK: &[u16] = &[200];
const BAD: &[u16] = &[400];
/// What may be read leniently.
const MAY: &[u16] = &[200, 400];
const VERSION: &[u16] = &[505];
const CODING: &[u16] = &[501, 400];

impl Case {
    fn new(group: Group, name: &'static str, section: &'static str, request: &[u8], statuses: &'static [u16]) -> Self {
        Self { group, name, section, request: request.to_vec(), statuses, responses: 1, closes: false }
    }

    fn closes(self) -> Self {
        Self { closes: true, ..self }
    }

    fn responses(self, responses: usize) -> Self {
        Self { responses, ..self }
    }
}

pub(crate) fn all() -> Vec<Case> {
    [request_line(), host(), fields(), lengths(), codings(), connections()].into_iter().flatten().collect()
}

fn request_line() -> Vec<Case> {
    let line = |name, section, line: &str, statuses| {
        let request = [line.as_bytes(), b"\r\nHost: h\r\n\r\n"].concat();
        Case::new(Group::RequestLine, name, section, &request, statuses)
    };
    let raw = |name, section, request: &[u8], statuses| Case::new(Group::RequestLine, name, section, request, statuses);
    let long = format!("GET /{} HTTP/1.1", "0".repeat(998) + "11");
    let longer = format!("GET /{} HTTP/1.1", "0".repeat(7998) + "11");
    let longest = format!("GET /{} HTTP/1.1", "0".repeat(99_998) + "11");
    vec![
        line("GET", "3", "GET /11 HTTP/1.1", OK),
        line("HEAD", "9110, 9.3.2", "HEAD /11 HTTP/1.1", OK),
        line("a query", "3.2.1", "GET /11?a=b&c HTTP/1.1", OK),
        raw("HTTP/1.0", "2.3", b"GET /11 HTTP/1.0\r\n\r\n", OK),
        line("HTTP/1.0 with Host", "2.3", "GET /11 HTTP/1.0", OK),
        line("HTTP/1.2", "9110, 6.2", "GET /11 HTTP/1.2", OK),
        line("HTTP/1.9", "9110, 6.2", "GET /11 HTTP/1.9", OK),
        line("HTTP/2.0", "9110, 15.6.6", "GET /11 HTTP/2.0", VERSION),
        line("HTTP/3.0", "9110, 15.6.6", "GET /11 HTTP/3.0", VERSION),
        line("HTTP/9.9", "9110, 15.6.6", "GET /11 HTTP/9.9", VERSION),
        line("HTTP/0.9", "9110, 15.6.6", "GET /11 HTTP/0.9", &[505, 400]),
        line("a version without minor", "2.3", "GET /11 HTTP/1", BAD),
        line("a version that ends with a dot", "2.3", "GET /11 HTTP/1.", BAD),
        line("a minor version of two digits", "2.3", "GET /11 HTTP/1.10", BAD),
        line("a major version of two digits", "2.3", "GET /11 HTTP/01.1", BAD),
        line("a version in lower case", "2.3", "GET /11 http/1.1", BAD),
        line("a version with a space", "2.3", "GET /11 HTTP/ 1.1", BAD),
        line("a version with a comma", "2.3", "GET /11 HTTP/1,1", BAD),
        line("a negative version", "2.3", "GET /11 HTTP/-1.1", BAD),
        line("a version with a letter behind it", "2.3", "GET /11 HTTP/1.1x", BAD),
        line("another protocol", "2.3", "GET /11 FTP/1.1", BAD),
        line("no version", "3", "GET /11", &[400, 505]),
        line("a method alone", "3", "GET", BAD),
        line("no target", "3", "GET HTTP/1.1", BAD),
        line("an empty target", "3", "GET  HTTP/1.1", BAD),
        line("two spaces ahead of the target", "3", "GET  /11 HTTP/1.1", MAY),
        line("two spaces ahead of the version", "3", "GET /11  HTTP/1.1", MAY),
        line("a tab ahead of the target", "3", "GET\t/11 HTTP/1.1", MAY),
        line("a space behind the version", "3", "GET /11 HTTP/1.1 ", MAY),
        line("a space ahead of the method", "3", " GET /11 HTTP/1.1", BAD),
        raw("an empty line ahead", "2.2", b"\r\nGET /11 HTTP/1.1\r\nHost: h\r\n\r\n", OK),
        raw("LF alone behind the line", "2.2", b"GET /11 HTTP/1.1\nHost: h\r\n\r\n", MAY),
        raw("CR alone behind the line", "2.2", b"GET /11 HTTP/1.1\rHost: h\r\n\r\n", BAD),
        line("CR alone in the line", "2.2", "GET /11\rHTTP/1.1", BAD),
        line("a method in lower case", "9110, 9.1", "get /11 HTTP/1.1", &[501, 405, 400]),
        line("a method that is not known", "9110, 9.1", "BREW /11 HTTP/1.1", &[501, 405]),
        line("a method that is no token", "9110, 9.1", "G(T /11 HTTP/1.1", BAD),
        line("an empty method", "3.1", "/11 HTTP/1.1", BAD),
        line("absolute form", "3.2.2", "GET http://h/11 HTTP/1.1", OK),
        line("absolute form with another host", "3.2.2", "GET http://other:8080/11 HTTP/1.1", OK),
        line("absolute form in upper case", "9110, 4.2.3", "GET HTTP://H/11 HTTP/1.1", OK),
        line("absolute form without host", "9110, 4.2.1", "GET http:///11 HTTP/1.1", BAD),
        line("absolute form with a user", "9110, 4.2.4", "GET http://u@h/11 HTTP/1.1", BAD),
        line("absolute form with a port of letters", "9110, 4.2.1", "GET http://h:a/11 HTTP/1.1", BAD),
        line("absolute form with a host that is none", "9110, 4.2.1", "GET http://a\"b/11 HTTP/1.1", BAD),
        line("authority form", "3.2.3", "GET h:80 HTTP/1.1", BAD),
        line("asterisk form", "3.2.4", "GET * HTTP/1.1", BAD),
        line("a relative target", "3.2", "GET 11 HTTP/1.1", BAD),
        line("a fragment", "3.2", "GET /11#a HTTP/1.1", BAD),
        line("a space in the target", "3.2", "GET /1 1 HTTP/1.1", BAD),
        line("a control character in the target", "3.2", "GET /11\u{1} HTTP/1.1", BAD),
        line("DEL in the target", "3.2", "GET /11\u{7f} HTTP/1.1", BAD),
        line("NUL in the target", "3.2", "GET /11\0 HTTP/1.1", BAD),
        line("no ASCII in the target", "3.2", "GET /11\u{e9} HTTP/1.1", BAD),
        line("a line of 1,000 bytes", "3", &long, &[200, 404]),
        line("a line of 8,000 bytes", "3", &longer, &[200, 404]),
        line("a line of 100,000 bytes", "3", &longest, &[414, 200, 404]),
        raw("no HTTP at all", "2.2", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", &[400, CLOSED]),
    ]
}

fn host() -> Vec<Case> {
    let with = |name, section, fields: &str, statuses| {
        let request = [b"GET /11 HTTP/1.1\r\n", fields.as_bytes(), b"\r\n\r\n"].concat();
        Case::new(Group::Host, name, section, &request, statuses)
    };
    let raw = |name, section, request: &[u8], statuses| Case::new(Group::Host, name, section, request, statuses);
    vec![
        raw("none", "3.2", b"GET /11 HTTP/1.1\r\n\r\n", BAD).closes(),
        with("another field alone", "3.2", "Accept: */*", BAD),
        raw("none, in absolute form", "3.2", b"GET http://h/11 HTTP/1.1\r\n\r\n", BAD),
        raw("none, HTTP/1.2", "3.2", b"GET /11 HTTP/1.2\r\n\r\n", BAD),
        raw("none, HEAD", "3.2", b"HEAD /11 HTTP/1.1\r\n\r\n", BAD),
        with("a name", "3.2", "Host: lethe.example", OK),
        with("a name and a port", "3.2", "Host: lethe.example:80", OK),
        with("an address", "3.2", "Host: 10.9.0.2", OK),
        with("an address and a port", "3.2", "Host: 10.9.0.2:8080", OK),
        with("an IPv6 address", "3.2", "Host: [fd09::2]", OK),
        with("an IPv6 address and a port", "3.2", "Host: [fd09::2]:80", OK),
        with("hyphens, digits and underscores", "3.2", "Host: a-1_b.example", OK),
        with("an escape", "9110, 4.2.3", "Host: %61.example", OK),
        with("an empty port", "9110, 4.2.1", "Host: h:", OK),
        with("two", "3.2", "Host: h\r\nHost: h", BAD),
        with("two that differ", "3.2", "Host: h\r\nHost: i", BAD),
        with("two with a field between", "3.2", "Host: h\r\nAccept: */*\r\nhost: h", BAD),
        with("an empty one", "9110, 4.2.1", "Host:", BAD),
        with("white space alone", "9110, 4.2.1", "Host: \t ", BAD),
        with("an empty one beside another", "3.2", "Host: h\r\nHost:", BAD),
        with("a port alone", "9110, 4.2.1", "Host: :80", BAD),
        with("a port of letters", "3.2", "Host: h:http", BAD),
        with("a negative port", "3.2", "Host: h:-1", BAD),
        with("two ports", "3.2", "Host: h:80:80", BAD),
        with("a port of 99999", "3.2", "Host: h:99999", MAY),
        with("a space within", "3.2", "Host: h i", BAD),
        with("a tab within", "3.2", "Host: h\ti", BAD),
        with("a list", "3.2", "Host: h, i", BAD),
        with("a user", "9110, 4.2.4", "Host: u@h", BAD),
        with("a path", "3.2", "Host: h/11", BAD),
        with("a query", "3.2", "Host: h?a", BAD),
        with("a fragment", "3.2", "Host: h#a", BAD),
        with("a URI", "3.2", "Host: http://h", BAD),
        with("a backslash", "3.2", "Host: a\\b", BAD),
        with("quotation marks", "3.2", "Host: \"h\"", BAD),
        with("angle brackets", "3.2", "Host: <h>", BAD),
        with("an escape that is none", "3.2", "Host: %zz", BAD),
        with("an IPv6 address without brackets", "3.2", "Host: fd09::2", BAD),
        with("a bracket that is not closed", "3.2", "Host: [fd09::2", BAD),
        with("no address in brackets", "3.2", "Host: [h]", BAD),
        with("letters behind the bracket", "3.2", "Host: [fd09::2]a", BAD),
        with("a control character", "3.2", "Host: h\u{1}", BAD),
        with("no ASCII", "3.2", "Host: \u{e9}.example", BAD),
        with("no space behind the colon", "5.1", "Host:h", OK),
        with("white space around it", "5.1", "Host: \t h \t", OK),
        with("in lower case", "9110, 5.1", "host: h", OK),
        with("behind another field", "3.2", "Accept: */*\r\nHost: h", OK),
        with("a space ahead of the colon", "5.1", "Host : h", BAD),
        with("on a folded line", "5.2", "Host:\r\n h", MAY),
        with("folded", "5.2", "Host: h\r\n i", BAD),
        raw("two, HTTP/1.0", "3.2", b"GET /11 HTTP/1.0\r\nHost: h\r\nHost: h\r\n\r\n", BAD),
        raw("not valid, HTTP/1.0", "3.2", b"GET /11 HTTP/1.0\r\nHost: a b\r\n\r\n", BAD),
        raw("not valid, in absolute form", "3.2", b"GET http://h/11 HTTP/1.1\r\nHost: a b\r\n\r\n", BAD),
    ]
}

fn fields() -> Vec<Case> {
    let with = |name, section, field: &[u8], statuses| {
        let request = [b"GET /11 HTTP/1.1\r\nHost: h\r\n", field, b"\r\n\r\n"].concat();
        Case::new(Group::Fields, name, section, &request, statuses)
    };
    let raw = |name, section, request: &[u8], statuses| Case::new(Group::Fields, name, section, request, statuses);
    let many = (0..60).map(|number| format!("X-{number}: y")).collect::<Vec<_>>().join("\r\n");
    vec![
        with("a field", "5", b"X-A: b", OK),
        with("no space behind the colon", "5", b"X-A:b", OK),
        with("an empty value", "5", b"X-A:", OK),
        with("a value of white space", "5", b"X-A: \t ", OK),
        with("white space behind the value", "5", b"X-A: b \t", OK),
        with("a tab within the value", "9110, 5.5", b"X-A: b\tc", OK),
        with("no ASCII in the value", "9110, 5.5", b"X-A: \xe9\xff", OK),
        with("colons in the value", "5", b"X-A: b:c:", OK),
        with("a name of digits", "9110, 5.6.2", b"12: b", OK),
        with("a name of every other character of a token", "9110, 5.6.2", b"!#$%&'*+-.^_`|~: b", OK),
        with("a field twice", "9110, 5.3", b"X-A: b\r\nX-A: c", OK),
        with("60 fields", "9110, 5.4", many.as_bytes(), OK),
        with("a field of 1,000 bytes", "9110, 5.4", format!("X-A: {}", "b".repeat(995)).as_bytes(), OK),
        with("a field of 7,000 bytes", "9110, 5.4", format!("X-A: {}", "b".repeat(6995)).as_bytes(), OK),
        with(
            "a field of 60,000 bytes",
            "9110, 5.4",
            format!("X-A: {}", "b".repeat(59_995)).as_bytes(),
            &[200, 431, 400],
        ),
        with("a space ahead of the colon", "5.1", b"X-A : b", BAD),
        with("a tab ahead of the colon", "5.1", b"X-A\t: b", BAD),
        with("no colon", "5", b"X-A", BAD),
        with("no colon in the last line but one", "5", b"X-A\r\nX-B: c", BAD),
        with("an empty name", "5", b": b", BAD),
        with("a space in the name", "5", b"X A: b", BAD),
        with("a parenthesis in the name", "9110, 5.6.2", b"X(A): b", BAD),
        with("a comma in the name", "9110, 5.6.2", b"X,A: b", BAD),
        with("a slash in the name", "9110, 5.6.2", b"X/A: b", BAD),
        with("a semicolon in the name", "9110, 5.6.2", b"X;A: b", BAD),
        with("an equals sign in the name", "9110, 5.6.2", b"X=A: b", BAD),
        with("an at sign in the name", "9110, 5.6.2", b"X@A: b", BAD),
        with("a bracket in the name", "9110, 5.6.2", b"X[A]: b", BAD),
        with("a brace in the name", "9110, 5.6.2", b"X{A}: b", BAD),
        with("a backslash in the name", "9110, 5.6.2", b"X\\A: b", BAD),
        with("a quotation mark in the name", "9110, 5.6.2", b"X\"A: b", BAD),
        with("no ASCII in the name", "9110, 5.6.2", b"X\xe9: b", BAD),
        with("a control character in the name", "9110, 5.6.2", b"X\x01: b", BAD),
        with("NUL in the name", "9110, 5.6.2", b"X\0: b", BAD),
        with("NUL in the value", "9110, 5.5", b"X-A: b\0c", BAD),
        with("CR alone in the value", "2.2", b"X-A: b\rc", BAD),
        with("CR alone ahead of what looks like a field", "2.2", b"X-A: b\rX-B: c", BAD),
        with("CR twice behind the value", "2.2", b"X-A: b\r", BAD),
        with("another control character in the value", "9110, 5.5", b"X-A: b\x01c", MAY),
        with("DEL in the value", "9110, 5.5", b"X-A: b\x7fc", MAY),
        with("a folded line", "5.2", b"X-A: b\r\n c", MAY),
        with("a line folded with a tab", "5.2", b"X-A: b\r\n\tc", MAY),
        with("a line of white space", "5.2", b"X-A: b\r\n \r\nX-B: c", MAY),
        raw("white space ahead of the first field", "2.2", b"GET /11 HTTP/1.1\r\n X-A: b\r\nHost: h\r\n\r\n", MAY),
        raw("Host behind white space", "2.2", b"GET /11 HTTP/1.1\r\n Host: h\r\n\r\n", BAD),
        with("LF alone behind a field", "2.2", b"X-A: b\nX-B: c", MAY),
        raw("LF alone at the end", "2.2", b"GET /11 HTTP/1.1\r\nHost: h\r\n\n", MAY),
        with("Expect: 100-continue without a body", "9110, 10.1.1", b"Expect: 100-continue", OK),
        with("another expectation", "9110, 10.1.1", b"Expect: a-miracle", &[417, 200]),
        raw("Expect in HTTP/1.0", "9110, 10.1.1", b"GET /11 HTTP/1.0\r\nExpect: 100-continue\r\n\r\n", OK),
        with("Upgrade to HTTP/2", "9110, 7.8", b"Connection: Upgrade\r\nUpgrade: h2c", OK),
        with("Upgrade to an unknown protocol", "9110, 7.8", b"Connection: Upgrade\r\nUpgrade: nothing/1", OK),
        with("TE", "7.4", b"Connection: TE\r\nTE: trailers", OK),
        with("Range that is none", "9110, 14.2", b"Range: nothing", OK),
    ]
}

/// What looks like the next request.
const NEXT: &str = "GET /11 HTTP/1.1\r\nHost: h\r\n\r\n";

/// [`NEXT`] as a chunk of a body.
const HIDDEN: &str = "1d\r\nGET /11 HTTP/1.1\r\nHost: h\r\n\r\n\r\n0\r\n\r\n";

/// A request of HTTP/1.1 with these fields, and what is behind it.
fn with(name: &'static str, section: &'static str, fields: &str, behind: &str, statuses: &'static [u16]) -> Case {
    let request = format!("GET /11 HTTP/1.1\r\nHost: h\r\n{fields}\r\n\r\n{behind}");
    Case::new(Group::Framing, name, section, request.as_bytes(), statuses)
}

fn raw(name: &'static str, section: &'static str, request: &str, statuses: &'static [u16]) -> Case {
    Case::new(Group::Framing, name, section, request.as_bytes(), statuses)
}

fn lengths() -> Vec<Case> {
    vec![
        with("Content-Length: 0", "6.2", "Content-Length: 0", "", OK),
        with("a body", "6.2", "Content-Length: 5", "hello", OK),
        with("a body that looks like a request", "6.2", "Content-Length: 29", NEXT, OK),
        with("a body that looks like a request, HEAD behind", "6.2", "Content-Length: 5", "HEAD ", OK),
        with("a negative length", "6.3", "Content-Length: -1", "", BAD).closes(),
        with("a length with a plus sign", "6.3", "Content-Length: +0", "", BAD).closes(),
        with("a hexadecimal length", "6.3", "Content-Length: 0x0", "", BAD).closes(),
        with("an empty length", "6.3", "Content-Length:", "", BAD).closes(),
        with("a length of letters", "6.3", "Content-Length: five", "", BAD).closes(),
        with("a length with a point", "6.3", "Content-Length: 0.0", "", BAD).closes(),
        with("a length with a space within", "6.3", "Content-Length: 0 0", "", BAD).closes(),
        with("a length with an underscore", "6.3", "Content-Length: 1_0", "", BAD).closes(),
        with("a length of 2^64", "6.3", "Content-Length: 18446744073709551616", "", &[400, 413]).closes(),
        with("a length of 30 digits", "6.3", "Content-Length: 100000000000000000000000000000", "", &[400, 413])
            .closes(),
        with("two lengths", "6.3", "Content-Length: 0\r\nContent-Length: 0", "", MAY),
        with("two lengths that differ", "6.3", "Content-Length: 5\r\nContent-Length: 29", NEXT, BAD).closes(),
        with("two lengths that differ, the first 0", "6.3", "Content-Length: 0\r\nContent-Length: 29", NEXT, BAD)
            .closes(),
        with("a list of lengths", "6.3", "Content-Length: 0, 0", "", MAY),
        with("a list of lengths that differ", "6.3", "Content-Length: 0, 29", NEXT, BAD).closes(),
        with("a space ahead of the colon of a length", "5.1", "Content-Length : 29", NEXT, BAD),
        with("a folded length", "5.2", "Content-Length:\r\n 29", NEXT, MAY),
    ]
}

fn codings() -> Vec<Case> {
    vec![
        with("chunked", "7.1", "Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\n\r\n", OK),
        with("chunked in mixed case", "7", "Transfer-Encoding: ChUnKeD", "0\r\n\r\n", OK),
        with("chunked with a request within", "7.1", "Transfer-Encoding: chunked", HIDDEN, OK),
        with(
            "chunked in a list with empty elements",
            "9110, 5.6.1.2",
            "Transfer-Encoding: , chunked ,",
            "0\r\n\r\n",
            OK,
        ),
        with("chunked with a chunk that is none", "7.1", "Transfer-Encoding: chunked", "xyz\r\n", MAY),
        with("chunked and a length", "6.1", "Transfer-Encoding: chunked\r\nContent-Length: 5", "0\r\n\r\n", MAY)
            .closes(),
        with(
            "a length and chunked with a request within",
            "6.1",
            "Content-Length: 4\r\nTransfer-Encoding: chunked",
            HIDDEN,
            MAY,
        )
        .closes(),
        with("a coding that is not known", "6.1", "Transfer-Encoding: nothing", "", CODING),
        with("identity", "6.1", "Transfer-Encoding: identity", "", CODING),
        with("gzip", "6.3", "Transfer-Encoding: gzip", "", CODING),
        with("a name that ends with chunked", "6.1", "Transfer-Encoding: xchunked", "", CODING),
        with("a name that begins with chunked", "6.1", "Transfer-Encoding: chunked-x", "", CODING),
        with("gzip ahead of chunked", "6.1", "Transfer-Encoding: gzip, chunked", "0\r\n\r\n", &[501, 400, 200]),
        with("chunked ahead of gzip", "6.3", "Transfer-Encoding: chunked, gzip", "0\r\n\r\n", CODING).closes(),
        with("chunked ahead of identity", "6.3", "Transfer-Encoding: chunked, identity", HIDDEN, CODING).closes(),
        with("chunked twice", "6.1", "Transfer-Encoding: chunked, chunked", "0\r\n\r\n", CODING),
        with(
            "chunked in two fields",
            "6.1",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            HIDDEN,
            CODING,
        ),
        with(
            "chunked and identity in two fields",
            "6.3",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
            HIDDEN,
            CODING,
        ),
        with("chunked with a parameter", "7.1", "Transfer-Encoding: chunked;a=b", "0\r\n\r\n", CODING),
        with("chunked in quotation marks", "6.1", "Transfer-Encoding: \"chunked\"", "0\r\n\r\n", CODING),
        with("an empty coding", "6.3", "Transfer-Encoding:", HIDDEN, CODING),
        with("a control character ahead of chunked", "9110, 5.5", "Transfer-Encoding: \u{b}chunked", HIDDEN, CODING),
        with("CR alone ahead of chunked", "2.2", "Transfer-Encoding: \rchunked", HIDDEN, CODING),
        with("a space ahead of the colon of a coding", "5.1", "Transfer-Encoding : chunked", HIDDEN, BAD),
        with("a coding behind a folded line", "5.2", "X-A: b\r\n Transfer-Encoding: chunked", "", MAY),
        raw(
            "chunked in HTTP/1.0",
            "6.1",
            &format!("GET /11 HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n{HIDDEN}"),
            MAY,
        )
        .closes(),
        raw(
            "chunked in HTTP/1.0, kept",
            "6.1",
            &format!("GET /11 HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n{HIDDEN}"),
            MAY,
        )
        .closes(),
    ]
}

fn connections() -> Vec<Case> {
    vec![
        with("Connection: close", "9.6", "Connection: close", "", OK).closes(),
        with("close among others", "9.6", "Connection: x, Close", "", OK).closes(),
        with("close in a second field", "9.6", "Connection: x\r\nConnection: close", "", OK).closes(),
        with("close with a request behind", "9.6", "Connection: close", NEXT, OK).closes(),
        raw("HTTP/1.0", "9.3", "GET /11 HTTP/1.0\r\n\r\n", OK).closes(),
        raw("HTTP/1.0 with a request behind", "9.3", &format!("GET /11 HTTP/1.0\r\n\r\n{NEXT}"), OK).closes(),
        raw("HTTP/1.0 with keep-alive", "9.3", "GET /11 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", OK),
        raw(
            "what is refused, with a request behind",
            "2.2",
            &format!("GET /11\u{1} HTTP/1.1\r\nHost: h\r\n\r\n{NEXT}"),
            BAD,
        )
        .closes(),
        with("a request behind", "9.3.2", "Accept: */*", NEXT, OK).responses(2),
        with("HEAD behind", "9.3.2", "Accept: */*", "HEAD /11 HTTP/1.1\r\nHost: h\r\n\r\n", OK).responses(2),
    ]
}
