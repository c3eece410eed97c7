//! Where a request ends, and what becomes of its connection: one pass over the header section (RFC 9112, sections 2.2,
//! 3.2, 5, 6.3 and 9.3).
//!
//! ```text
//! Host: lethe.example\r\n      exactly one, and valid, in HTTP/1.1
//! Accept: */*\r\n              a token, a colon, no control character but HTAB
//! \r\n                         the request ends here, unless it has a body
//! ```
//!
//! A connection that is kept is as safe as its framing: what one end takes for a body and the other for a request
//! belongs to another client behind a shared proxy (RFC 9112, section 11.2). So a section that is not valid to the
//! letter is refused, and what may have a body is answered and its connection closed: no byte of a body is ever read.
//!
//! A bare LF ends a line, as RFC 9112, section 2.2, allows and nginx does; but such a connection is not kept.
//!
//! Names are read eight bytes at a time where they are letters and hyphens, values always.

use core::num::NonZero;

use super::field::is_token;
use super::status::Status;
use super::words::{HIGH_BITS, ONES, control, equal, first, no_letter};

/// What the header section of a request says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Framing {
    /// The empty line that ends it has not come.
    Incomplete,
    /// It is valid.
    Complete {
        /// Bytes that came behind its empty line: the next request, or the body of this one.
        behind: usize,
        /// What becomes of the connection.
        persistence: Persistence,
    },
    /// It is not, or asks for what is not here: the response has this status, and closes the connection.
    Refused(Status),
}

/// What becomes of the connection behind the response, as far as the request says (RFC 9112, section 9.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Persistence {
    /// It is closed: the client asks for that, or the request has a body or may have one, or wants another protocol,
    /// or ends a line with a bare LF.
    Close,
    /// It may stay open.
    Keep,
    /// It may stay open if the response has `Connection: keep-alive`: to a client of HTTP/1.0.
    KeepAlive,
}

/// A version of HTTP/1, as far as requests are read differently (RFC 9110, section 6.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1, or a later minor version, which is taken for it.
    Http11,
}

impl Framing {
    /// Reads the bytes behind a request line that ends like this.
    #[inline]
    pub(super) fn of_section(end: LineEnd, bytes: &[u8]) -> Self {
        let (behind, seen) = read_section(bytes, Seen(end.0));
        if seen.0 == Seen::HOST {
            // Nearly all requests.
            return Self::Complete { behind, persistence: Persistence::Keep };
        }
        seen.decide(behind)
    }
}

/// What of a request line counts for the framing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct LineEnd(u32);

impl LineEnd {
    /// A line with this version, which ends with CRLF, or with LF alone.
    #[inline]
    pub(super) const fn new(version: Version, is_strict: bool) -> Self {
        let version = match version {
            Version::Http10 => Seen::HTTP_1_0,
            Version::Http11 => 0,
        };
        Self(version | if is_strict { 0 } else { Seen::BARE_LF })
    }

    pub(super) const fn version(self) -> Version {
        if self.0 & Seen::HTTP_1_0 == 0 { Version::Http11 } else { Version::Http10 }
    }
}

/// How `Host` begins, in lower case. All names that are looked at begin with four letters.
const HOST_NAME: u32 = u32::from_le_bytes(*b"host");

/// The fields that decide, as far as they have been seen.
#[derive(Clone, Copy)]
struct Seen(u32);

impl Seen {
    const HOST: u32 = 1;
    /// A line that ends with LF alone.
    const BARE_LF: u32 = 1 << 1;
    /// `Connection: close`, or a `Connection` that is no list of tokens.
    const CLOSE: u32 = 1 << 2;
    const KEEP_ALIVE: u32 = 1 << 3;
    /// `Content-Length`,
    const LENGTH: u32 = 1 << 4;
    /// and it is not 0.
    const BODY: u32 = 1 << 5;
    const UPGRADE: u32 = 1 << 6;
    const EXPECT: u32 = 1 << 7;
    /// An expectation other than `100-continue`.
    const EXPECT_OTHER: u32 = 1 << 8;
    /// The transfer coding `chunked`,
    const CHUNKED: u32 = 1 << 9;
    /// another one,
    const CODING: u32 = 1 << 10;
    /// and any.
    const TRANSFER: u32 = 1 << 11;
    /// Two fields where one may be, or a value that is not valid.
    const INVALID: u32 = 1 << 12;
    /// The section is not all there.
    const INCOMPLETE: u32 = 1 << 13;
    /// A line is malformed, and more bytes do not mend it.
    const MALFORMED: u32 = 1 << 14;
    /// The empty line, ahead of which nothing was wrong.
    const END: u32 = 1 << 15;
    const HTTP_1_0: u32 = 1 << 16;

    const fn has(self, any: u32) -> bool {
        self.0 & any != 0
    }

    /// What they come to, where so many bytes are behind the section.
    #[cold]
    #[inline(never)]
    fn decide(self, behind: usize) -> Framing {
        let is_old = self.has(Self::HTTP_1_0);
        if self.has(Self::MALFORMED) {
            return Framing::Refused(Status::BadRequest);
        }
        if self.has(Self::INCOMPLETE) {
            return Framing::Incomplete;
        }
        // RFC 9112, section 3.2.
        let lacks_host = !is_old && !self.has(Self::HOST);
        // With both, either may be wrong; HTTP/1.0 has no codings; and without `chunked` at the end nothing tells how
        // long the body is (RFC 9112, sections 6.1 and 6.3).
        let transfer_is_wrong =
            self.has(Self::TRANSFER) && (is_old || self.has(Self::LENGTH) || !self.has(Self::CHUNKED | Self::CODING));
        if self.has(Self::INVALID) || lacks_host || transfer_is_wrong {
            return Framing::Refused(Status::BadRequest);
        }
        // RFC 9112, section 6.1.
        if self.has(Self::CODING) {
            return Framing::Refused(Status::NotImplemented);
        }
        // RFC 9110, section 10.1.1.
        if self.has(Self::EXPECT_OTHER) && !is_old {
            return Framing::Refused(Status::ExpectationFailed);
        }
        let closes = Self::BARE_LF | Self::CLOSE | Self::BODY | Self::UPGRADE | Self::EXPECT | Self::TRANSFER;
        let persistence = if self.has(closes) {
            Persistence::Close
        } else if !is_old {
            Persistence::Keep
        } else if self.has(Self::KEEP_ALIVE) {
            Persistence::KeepAlive
        } else {
            Persistence::Close
        };
        Framing::Complete { behind, persistence }
    }

    /// Takes a field: the letters of its name, in lower case, of which there are eight at most; its line, and where the
    /// colon is in it.
    #[inline]
    fn take(&mut self, name: u64, line: &[u8], colon: usize) {
        if is_known(name) {
            self.take_known(line, colon);
        }
    }

    #[cold]
    fn take_known(&mut self, line: &[u8], colon: usize) {
        let Some((name, value)) = line.split_at_checked(colon) else { return };
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        if name.eq_ignore_ascii_case(b"host") {
            self.once(Self::HOST, is_host(value));
        } else if name.eq_ignore_ascii_case(b"connection") {
            self.take_connection(value);
        } else if name.eq_ignore_ascii_case(b"content-length") {
            let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
            let length = str::from_utf8(value).ok().and_then(|digits| digits.parse::<u64>().ok());
            self.once(Self::LENGTH, is_number && length.is_some());
            self.0 |= if length == Some(0) { 0 } else { Self::BODY };
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.take_transfer(value);
        } else if name.eq_ignore_ascii_case(b"expect") {
            let is_known = value.eq_ignore_ascii_case(b"100-continue");
            self.0 |= if is_known { Self::EXPECT } else { Self::EXPECT | Self::EXPECT_OTHER };
        } else if name.eq_ignore_ascii_case(b"upgrade") {
            self.0 |= Self::UPGRADE;
        }
    }

    /// A field that may be there once (RFC 9112, section 3.2; RFC 9110, section 5.3).
    #[inline]
    const fn once(&mut self, field: u32, is_valid: bool) {
        if self.has(field) || !is_valid {
            self.0 |= Self::INVALID;
        }
        self.0 |= field;
    }

    /// A list of options, of which two are known (RFC 9110, section 7.6.1).
    fn take_connection(&mut self, value: &[u8]) {
        for option in elements(value) {
            if option.eq_ignore_ascii_case(b"keep-alive") {
                self.0 |= Self::KEEP_ALIVE;
            } else if option.eq_ignore_ascii_case(b"close") || !option.iter().all(|&byte| is_token(byte)) {
                self.0 |= Self::CLOSE;
            }
        }
    }

    /// A list of codings: `chunked` once and at the end, or it is unknown where the body ends (RFC 9112, section
    /// 6.1).
    fn take_transfer(&mut self, value: &[u8]) {
        self.0 |= Self::TRANSFER;
        for coding in elements(value) {
            if self.has(Self::CHUNKED) {
                self.0 |= Self::INVALID;
            }
            let name = coding.split(|byte| matches!(byte, b';' | b' ' | b'\t')).next().unwrap_or_default();
            let is_chunked = name.eq_ignore_ascii_case(b"chunked");
            // It has no parameters (RFC 9112, section 7.1).
            if name.is_empty() || !name.iter().all(|&byte| is_token(byte)) || is_chunked && name.len() != coding.len() {
                self.0 |= Self::INVALID;
            }
            self.0 |= if is_chunked { Self::CHUNKED } else { Self::CODING };
        }
    }
}

/// Whether a name, of which these are the first letters in lower case, may be one of those that decide.
#[inline]
const fn is_known(name: u64) -> bool {
    const CONNECTION: u32 = u32::from_le_bytes(*b"conn");
    const CONTENT: u32 = u32::from_le_bytes(*b"cont");
    const TRANSFER: u32 = u32::from_le_bytes(*b"tran");
    const EXPECT: u32 = u32::from_le_bytes(*b"expe");
    const UPGRADE: u32 = u32::from_le_bytes(*b"upgr");
    matches!(name as u32, HOST_NAME | CONNECTION | CONTENT | TRANSFER | EXPECT | UPGRADE)
}

/// The elements of a list; empty ones are skipped (RFC 9110, section 5.6.1.2).
fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii).filter(|element| !element.is_empty())
}

/// Reads lines up to the empty one; returns how many bytes are behind it, and what has been seen.
///
/// What most requests of programs have is read here: first a `Host` that is an address, then fields with [`Known`]
/// names. All else is read in functions of their own, so nothing has to be kept for it (fast: parsed again).
#[inline(never)]
fn read_section(section: &[u8], seen: Seen) -> (usize, Seen) {
    let Some(end) = Words::new(section).and_then(plain_address) else { return read_lines(section, seen) };
    if end == HOST_AT {
        return read_plain_lines(section, seen);
    }
    match plain_fields(section, end) {
        Some(len) => (section.len() - len.get(), Seen(seen.0 | Seen::HOST)),
        None => read_plain_lines(section, seen),
    }
}

/// Reads what most browsers send: first a `Host`, then fields that decide nothing. From the first other line on,
/// [`read_lines`] does.
#[inline(never)]
fn read_plain_lines(section: &[u8], seen: Seen) -> (usize, Seen) {
    let Some((words, mut end)) = Words::new(section).and_then(|words| Some((words, plain_name(words)?))) else {
        return read_lines(section, seen);
    };
    let mut line = 0;
    while words.is_line_end(end) {
        line = end + 2;
        if words.is_line_end(line) {
            return (section.len() - line - 2, Seen(seen.0 | Seen::HOST));
        }
        let known = words.get(end).and_then(|head| Some((head, KNOWN.get(known_at(head))?)));
        let value = match known {
            Some((head, known)) if known.head == head && words.get(end + known.tail_at) == Some(known.tail) => {
                Some(end + known.tail_at + 8)
            }
            _ => plain_value(section, line, seen),
        };
        let Some(visible) = value.and_then(|value| words.end_of_visible(value)) else { break };
        end = visible;
    }
    if line == 0 {
        return read_lines(section, seen);
    }
    read_lines(section.get(line..).unwrap_or_default(), Seen(seen.0 | Seen::HOST))
}

/// Where the value begins of a line with a name of letters and hyphens that decides nothing, or that keeps a connection
/// open, as it is anyway.
#[inline]
fn plain_value(section: &[u8], line: usize, seen: Seen) -> Option<usize> {
    let rest = section.get(line..)?;
    let (colon, _, name) = read_name(rest)?;
    let is_plain = !is_known(name)
        || rest.starts_with(b"Upgrade-Insecure-Requests:")
        || rest.starts_with(b"Connection: keep-alive\r\n") && !seen.has(Seen::HTTP_1_0);
    is_plain.then_some(line + colon + 1)
}

/// Reads lines of all kinds up to the empty one.
#[cold]
#[inline(never)]
fn read_lines(lines: &[u8], mut seen: Seen) -> (usize, Seen) {
    let mut rest = lines;
    loop {
        match read_line(rest, &mut seen) {
            Ok(behind) => rest = behind,
            Err(behind) => return (behind, seen),
        }
    }
}

/// Reads fields that decide nothing, each with a [`Known`] name and a value of visible characters and spaces, from the
/// line end on that is to be at `end`. Returns how long the section is, if there is nothing else in it.
#[inline]
fn plain_fields(section: &[u8], end: usize) -> Option<NonZero<usize>> {
    let words = Words::new(section)?;
    let mut end = end;
    while let Some(head) = words.get(end) {
        let known = KNOWN.get(known_at(head))?;
        if known.head != head {
            section.get(end..)?.strip_prefix(END)?;
            return NonZero::new(end + END.len());
        }
        let mut at = end + known.tail_at;
        if words.get(at)? != known.tail {
            return None;
        }
        let marks = loop {
            at += 8;
            match words.get(at).map(control) {
                Some(0) => {}
                Some(marks) => break marks,
                None => {
                    // What is left is less than a word: the last one begins in the name, which is longer.
                    at = words.last;
                    break control(words.get(at)?);
                }
            }
        };
        end = at + NonZero::new(marks)?.trailing_zeros() as usize / 8;
    }
    if end - words.last == 4 && words.get(words.last)? >> 32 == LAST { NonZero::new(section.len()) } else { None }
}

/// The end of the last field, and the empty line.
const END: &[u8] = b"\r\n\r\n";
const LAST: u64 = 0x0a0d_0a0d;

/// Bytes that are read eight at a time, from anywhere on, with one comparison each time.
#[derive(Clone, Copy)]
struct Words<'a> {
    bytes: &'a [u8],
    /// Where the last word is.
    last: usize,
}

impl<'a> Words<'a> {
    #[inline]
    fn new(bytes: &'a [u8]) -> Option<Self> {
        Some(Self { bytes, last: bytes.len().checked_sub(8)? })
    }

    /// The eight bytes from there on, if they are there.
    #[inline]
    fn get(self, at: usize) -> Option<u64> {
        if at > self.last {
            return None;
        }
        Some(u64::from_le_bytes(*self.bytes.get(at..at + 8)?.first_chunk()?))
    }

    /// Whether a line ends there.
    #[inline]
    fn is_line_end(self, at: usize) -> bool {
        self.bytes.get(at..at + 2).is_some_and(|end| end == b"\r\n")
    }

    /// Where the first byte is, from there on, that is no visible character and no space.
    #[inline]
    fn end_of_visible(self, from: usize) -> Option<usize> {
        let mut at = from;
        while let Some(word) = self.get(at) {
            let marks = control(word);
            if marks != 0 {
                return Some(at + marks.trailing_zeros() as usize / 8);
            }
            at += 8;
        }
        // What is left is less than a word.
        let marks = control(self.get(self.last)?).checked_shr(8 * (at - self.last) as u32)?;
        (marks != 0).then(|| at + marks.trailing_zeros() as usize / 8)
    }
}

/// The end of a host of digits and dots, if the section begins with such a one, which may be empty.
#[inline]
fn plain_address(words: Words<'_>) -> Option<usize> {
    const NAME: u64 = u64::from_le_bytes(*b"\0\0Host: ");
    let mut at = HOST_AT;
    let mut marks = no_digit_or_dot(words.get(at)?);
    if words.get(0)? << 16 != NAME {
        return None;
    }
    while marks == 0 {
        at += 8;
        marks = no_digit_or_dot(words.get(at)?);
    }
    Some(at + NonZero::new(marks)?.trailing_zeros() as usize / 8)
}

/// Where the value of the first field is, if that is `Host`.
const HOST_AT: usize = b"Host: ".len();

/// The end of a host of letters, digits, dots and hyphens, of at least a character, with a port of up to four digits or
/// without.
#[inline]
fn plain_name(words: Words<'_>) -> Option<usize> {
    let value = words.bytes.strip_prefix(b"Host: ")?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    let len = first(value, no_host, |byte| !is_plain(byte)).filter(|&len| len > 0)?;
    let [b':', port @ ..] = value.get(len..)? else { return Some(HOST_AT + len) };
    let digits = port.iter().take_while(|byte| byte.is_ascii_digit()).count();
    (digits <= 4).then_some(HOST_AT + len + 1 + digits)
}

/// Marks what is no letter, no digit, no dot and no hyphen. A mark is wrong, or missing, only behind a byte that is
/// marked.
#[inline]
const fn no_host(word: u64) -> u64 {
    let from_hyphen = word.wrapping_add(ONES * (0x80 - 0x2d));
    let above_nine = word.wrapping_add(ONES * (0x80 - 0x3a));
    let slashes = equal(word, b'/');
    no_letter(word) & (!(from_hyphen ^ above_nine) | word | slashes) & HIGH_BITS
}

/// Marks what is no digit and no dot. A mark is wrong only behind the first of them.
#[inline]
const fn no_digit_or_dot(word: u64) -> u64 {
    // With the lowest bit swapped, the dot stands ahead of the digits, and the slash does not.
    let swapped = word ^ ONES;
    (swapped.wrapping_sub(ONES * 0x2f) | swapped.wrapping_add(ONES * (0x80 - 0x3a))) & HIGH_BITS
}

/// A name that decides nothing here, with its colon, as most clients write it: of 6 to 14 bytes.
#[derive(Clone, Copy)]
struct Known {
    /// The line end ahead of it, and its first six bytes.
    head: u64,
    /// The last eight bytes up to its colon,
    tail: u64,
    /// and where they are, from that line end on.
    tail_at: usize,
}

/// Names by a hash, so that two comparisons tell them.
#[expect(clippy::indexing_slicing, reason = "the compiler indexes, and finds what is wrong")]
static KNOWN: [Known; 1 << KNOWN_BITS] = {
    const NAMES: [&[u8]; 8] = [
        b"\r\nUser-Agent:",
        b"\r\nAccept:",
        b"\r\nCache-Control:",
        b"\r\nCookie:",
        b"\r\nReferer:",
        b"\r\nOrigin:",
        b"\r\nPragma:",
        b"\r\nIf-None-Match:",
    ];
    // No section has this: NUL is in no name.
    let mut known = [Known { head: 0, tail: 0, tail_at: 0 }; 1 << KNOWN_BITS];
    let mut index = 0;
    while index < NAMES.len() {
        let name = NAMES[index];
        let (Some(head), Some(tail)) = (name.first_chunk(), name.last_chunk()) else { panic!("too short") };
        assert!(name.len() <= 16, "all of it is compared");
        let head = u64::from_le_bytes(*head);
        let place = known_at(head);
        assert!(known[place].head == 0, "each has a place of its own");
        known[place] = Known { head, tail: u64::from_le_bytes(*tail), tail_at: name.len() - 8 };
        index += 1;
    }
    known
};

const KNOWN_BITS: u32 = 4;

#[inline]
const fn known_at(head: u64) -> usize {
    (head.wrapping_mul(MULTIPLIER) >> (64 - KNOWN_BITS)) as usize
}

/// Found by trying: with it, each name has a place of its own.
const MULTIPLIER: u64 = 0x1e2f_eb89_414c_343d;

/// Reads a line; returns what is behind it, or, where the section ends with it, how many bytes that are.
#[inline]
fn read_line<'a>(line: &'a [u8], seen: &mut Seen) -> Result<&'a [u8], usize> {
    let (colon, word, name) = if let Some(found) = read_name(line) {
        found
    } else {
        let (len, end) = read_odd_start(line);
        if end != 0 {
            seen.0 |= end & !Seen::END;
            return Err(line.len().saturating_sub(len));
        }
        (len, len, HOST_NAME.into())
    };
    let Some(end) = line.get(word..).and_then(|rest| first(rest, control, |byte| !matches!(byte, b' '..=b'~'))) else {
        seen.0 |= Seen::INCOMPLETE;
        return Err(0);
    };
    let mut end = word + end;
    if !matches!(line.get(end), Some(b'\r' | b'\n')) {
        end = skip_odd_value(line, end);
    }
    seen.take(name, line.get(..end).unwrap_or_default(), colon);
    match line.get(end..).unwrap_or_default() {
        [b'\r', b'\n', behind @ ..] => Ok(behind),
        [b'\n', behind @ ..] => {
            seen.0 |= Seen::BARE_LF;
            Ok(behind)
        }
        [] | [b'\r'] => {
            seen.0 |= Seen::INCOMPLETE;
            Err(0)
        }
        _ => {
            seen.0 |= Seen::MALFORMED;
            Err(0)
        }
    }
}

/// The end of a name of letters and hyphens, which a colon follows: where that is, where the word begins that it is in,
/// and the first word of the name in lower case. `None` for all else.
#[inline]
fn read_name(line: &[u8]) -> Option<(usize, usize, u64)> {
    let (head, _) = line.split_first_chunk()?;
    let head = u64::from_le_bytes(*head);
    let (mut word, mut at) = (head, 0);
    let mut marks = no_letter(word);
    loop {
        if marks == 0 {
            at += 8;
            word = u64::from_le_bytes(*line.get(at..)?.first_chunk()?);
            marks = no_letter(word);
            continue;
        }
        let shift = marks.trailing_zeros() & !7;
        match (word >> shift) as u8 {
            b':' if at + shift as usize > 0 => return Some((at + shift as usize / 8, at, head | (ONES * 0x20))),
            b'-' => marks &= marks - 1,
            _ => return None,
        }
    }
}

/// Behind what is no visible character and no space: HTAB and what is no ASCII may be in a value (RFC 9110, section
/// 5.5).
#[cold]
fn skip_odd_value(line: &[u8], from: usize) -> usize {
    let rest = line.get(from..).unwrap_or_default();
    let len = rest.iter().position(|&byte| byte.is_ascii_control() && byte != b'\t');
    from + len.unwrap_or(rest.len())
}

/// A line that does not begin with letters, hyphens and a colon: the empty one, or a name of other characters as well.
/// White space stands neither ahead of a field (RFC 9112, section 5.2) nor of its colon (RFC 9112, section 5.1).
/// Returns the bytes of the name, or of the empty line with what has been seen, which is not 0.
#[cold]
fn read_odd_start(line: &[u8]) -> (usize, u32) {
    match line {
        [b'\r', b'\n', ..] => return (2, Seen::END),
        [b'\n', ..] => return (1, Seen::END | Seen::BARE_LF),
        [b'\r'] => return (0, Seen::INCOMPLETE),
        _ => {}
    }
    let Some(len) = line.iter().position(|&byte| !is_token(byte)) else { return (0, Seen::INCOMPLETE) };
    match line.get(len) {
        Some(b':') if len > 0 => (len, 0),
        _ => (0, Seen::MALFORMED),
    }
}

/// Whether it is a host with an optional port (RFC 9110, section 7.2; RFC 3986, section 3.2.2), and not empty: all
/// targets here have one (RFC 9110, section 4.2.1).
pub(super) fn is_host(value: &[u8]) -> bool {
    if let [b'[', rest @ ..] = value {
        let Some(end) = rest.iter().position(|&byte| byte == b']') else { return false };
        let (literal, rest) = rest.split_at_checked(end).unwrap_or_default();
        return is_ip_literal(literal) && is_port(rest.get(1..).unwrap_or_default());
    }
    let end = value.iter().position(|&byte| byte == b':').unwrap_or(value.len());
    let (name, port) = value.split_at_checked(end).unwrap_or_default();
    is_reg_name(name) && is_port(port)
}

/// `IPv6address` or `IPvFuture` of RFC 3986, section 3.2.2.
fn is_ip_literal(literal: &[u8]) -> bool {
    if let [b'v' | b'V', rest @ ..] = literal {
        let Some(dot) = rest.iter().position(|&byte| byte == b'.') else { return false };
        let (version, rest) = rest.split_at_checked(dot).unwrap_or_default();
        let rest = rest.get(1..).unwrap_or_default();
        return !version.is_empty()
            && version.iter().all(u8::is_ascii_hexdigit)
            && !rest.is_empty()
            && rest.iter().all(|&byte| byte == b':' || is_unreserved_or_sub_delim(byte));
    }
    str::from_utf8(literal).is_ok_and(|text| text.parse::<core::net::Ipv6Addr>().is_ok())
}

/// A name of at least a character.
fn is_reg_name(name: &[u8]) -> bool {
    let mut rest = name;
    loop {
        rest = match rest {
            [] => return !name.is_empty(),
            [b'%', high, low, rest @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => rest,
            [byte, rest @ ..] if is_unreserved_or_sub_delim(*byte) => rest,
            _ => return false,
        }
    }
}

const fn is_unreserved_or_sub_delim(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'='
        )
}

/// Nothing, or a colon and a port, which may be empty (RFC 3986, section 3.2.3).
fn is_port(text: &[u8]) -> bool {
    match text {
        [] | [b':'] => true,
        [b':', digits @ ..] => {
            digits.iter().all(u8::is_ascii_digit)
                && str::from_utf8(digits).is_ok_and(|digits| digits.parse::<u16>().is_ok())
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::format;
    use std::string::String;
    use std::vec::Vec;

    use super::*;

    fn of(request: &str) -> Framing {
        of_bytes(request.as_bytes())
    }

    fn of_bytes(request: &[u8]) -> Framing {
        let request = request.strip_prefix(b"\r\n").unwrap_or(request);
        let (line, section) = request.split_at(request.iter().position(|&byte| byte == b'\n').unwrap() + 1);
        let version = if line.trim_ascii_end().ends_with(b"HTTP/1.0") { Version::Http10 } else { Version::Http11 };
        Framing::of_section(LineEnd::new(version, line.ends_with(b"\r\n")), section)
    }

    /// A request of HTTP/1.1 with `Host` and these lines.
    fn with(lines: &str) -> Framing {
        of(&format!("GET / HTTP/1.1\r\nHost: h\r\n{lines}\r\n"))
    }

    fn old_with(lines: &str) -> Framing {
        of(&format!("GET / HTTP/1.0\r\n{lines}\r\n"))
    }

    const fn complete(persistence: Persistence) -> Framing {
        Framing::Complete { behind: 0, persistence }
    }

    const KEEP: Framing = complete(Persistence::Keep);
    const CLOSE: Framing = complete(Persistence::Close);
    const KEEP_ALIVE: Framing = complete(Persistence::KeepAlive);
    const BAD: Framing = Framing::Refused(Status::BadRequest);
    const NOT_IMPLEMENTED: Framing = Framing::Refused(Status::NotImplemented);
    const EXPECTATION_FAILED: Framing = Framing::Refused(Status::ExpectationFailed);

    #[test]
    fn a_section_is_complete_with_its_empty_line_and_says_what_is_behind() {
        let section = "GET / HTTP/1.1\r\nHost: h\r\nX: y\r\n\r\n";
        for end in "GET / HTTP/1.1\r\n".len()..section.len() {
            assert_eq!(of(&section[..end]), Framing::Incomplete, "{:?}", &section[..end]);
        }
        for behind in ["", "x", "\r\n", "GET / HTTP/1.1\r\nHost: h\r\n\r\n"] {
            let expect = Framing::Complete { behind: behind.len(), persistence: Persistence::Keep };
            assert_eq!(of(&format!("{section}{behind}")), expect);
            assert_eq!(of(&format!("\r\n{section}{behind}")), expect, "an empty line ahead of it");
        }
    }

    #[test]
    fn http_1_1_has_one_host_and_http_1_0_at_most_one() {
        assert_eq!(of("GET / HTTP/1.1\r\n\r\n"), BAD);
        assert_eq!(of("GET / HTTP/1.1\r\nX: y\r\n\r\n"), BAD);
        assert_eq!(of("GET / HTTP/1.9\r\nX: y\r\n\r\n"), BAD, "a later minor version is as 1.1");
        assert_eq!(of("GET http://h/ HTTP/1.1\r\n\r\n"), BAD, "in absolute form as well");
        assert_eq!(with("Host: h\r\n"), BAD);
        assert_eq!(with("hOST:h\r\n"), BAD);
        assert_eq!(with("X-Host: h\r\nHos: h\r\nHostt: h\r\n"), KEEP);
        assert_eq!(old_with(""), CLOSE);
        assert_eq!(old_with("Host: h\r\n"), CLOSE);
        assert_eq!(old_with("Host: h\r\nHost: h\r\n"), BAD);
        assert_eq!(old_with("Host: /\r\n"), BAD);
    }

    #[test]
    fn a_host_is_a_name_or_an_address_with_an_optional_port() {
        for host in [
            "h",
            "10.9.0.2",
            "lethe.example",
            "Lethe.Example:80",
            "a-b.example",
            "h:",
            "h:0",
            "h:65535",
            "[::1]",
            "[fd09::2]:8080",
            "[v1.a:b]",
            "xn--bcher-kva.example",
            "a_b",
            "%41",
            "a%2fb:1",
            "!$&'()*+,;=~",
            "1.2.3.4.5",
        ] {
            for [before, behind] in [["", ""], [" ", ""], ["\t ", "\t"], ["  ", " "]] {
                assert_eq!(of(&format!("GET / HTTP/1.1\r\nHost:{before}{host}{behind}\r\n\r\n")), KEEP, "{host}");
            }
        }
        for host in [
            "", " ", "a b", "h/", "u@h", "h:a", "h:80:80", ":80", "[", "[]", "[::1", "[::1]a", "[g::]", "::1",
            "h:65536", "a\\b", "a\"b", "<a>", "%4", "%zz", "h,h h", "h#a", "h?a", "[v1.]", "[v.a]", "[v1]", "http://h",
            "h:-1", "h:+1", "{}", "a|b", "a^b", "\u{e9}",
        ] {
            assert_eq!(of(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")), BAD, "{host}");
        }
    }

    #[test]
    fn what_is_no_letter_digit_dot_or_hyphen_is_marked_in_a_host_wherever_it_stands() {
        for byte in 0..=u8::MAX {
            for at in 0..8 {
                let mut text = [b'x'; 8];
                text[at] = byte;
                let word = u64::from_le_bytes(text);
                let marks = no_host(word);
                let is_plain = byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
                let expect = if is_plain { 0 } else { 0x80 << (8 * at) };
                assert_eq!(marks & marks.wrapping_neg(), expect, "{byte:#x} at {at}");
            }
        }
    }

    #[test]
    fn a_name_is_a_token_and_a_colon_follows_it() {
        for line in [
            "X-1: y\r\n",
            "!#$%&'*+-.^_`|~9aZ: y\r\n",
            "x:\r\n",
            "x:y:z\r\n",
            "--:\r\n",
            "a-long-name-of-a-field: \r\n",
        ] {
            assert_eq!(with(line), KEEP, "{line}");
        }
        for line in [
            ": y\r\n",
            "X : y\r\n",
            "X\t: y\r\n",
            "X\r\n",
            "X y\r\n",
            "X;: y\r\n",
            "X\u{e9}: y\r\n",
            "(X): y\r\n",
            "X\0: y\r\n",
            "X/y: z\r\n",
            "X\"y: z\r\n",
            "=\r\n",
            "a-long-name-of-a-field\r\n",
            "a-long-name-of-a-field : y\r\n",
        ] {
            assert_eq!(with(line), BAD, "{line:?}");
        }
    }

    #[test]
    fn a_line_that_begins_with_white_space_is_refused() {
        for space in [" ", "\t"] {
            assert_eq!(with(&format!("X: y\r\n{space}z\r\n")), BAD);
            assert_eq!(with(&format!("{space}\r\n")), BAD);
            assert_eq!(of(&format!("GET / HTTP/1.1\r\n{space}Host: h\r\n\r\n")), BAD, "ahead of the first field");
        }
    }

    #[test]
    fn a_value_has_no_control_character_but_the_tab() {
        for byte in (0..=u8::MAX).filter(|byte| !matches!(byte, b'\n')) {
            for at in 0..20 {
                let mut value = [b'v'; 20];
                value[at] = byte;
                let section = [&b"GET / HTTP/1.1\r\nHost: h\r\nName: "[..], &value, b"\r\n\r\n"].concat();
                let expect = if byte == b'\t' || !byte.is_ascii_control() { KEEP } else { BAD };
                assert_eq!(of_bytes(&section), expect, "{byte:#x} at {at}");
            }
        }
        assert_eq!(with("X: \u{e9}\t\u{e9}\u{fc}\t \t\r\nY: \t\u{e9}\r\n"), KEEP);
        assert_eq!(with("X: \u{e9}\u{e9}\u{1}\r\n"), BAD);
    }

    #[test]
    fn a_bare_cr_is_refused_and_a_bare_lf_ends_a_line_and_the_connection() {
        for section in ["X: y\rz\r\n", "X: y\r\r\n", "X: y\rY: z\r\n", "\rX: y\r\n", "X\r: y\r\n"] {
            assert_eq!(with(section), BAD, "{section:?}");
        }
        assert_eq!(of("GET / HTTP/1.1\r\nHost: h\r\n\r\r\n"), BAD);
        for request in [
            "GET / HTTP/1.1\nHost: h\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\n\n",
            "GET / HTTP/1.1\nHost: h\n\n",
        ] {
            assert_eq!(of(request), CLOSE, "{request:?}");
        }
        assert_eq!(of("GET / HTTP/1.0\nConnection: keep-alive\n\n"), CLOSE);
        assert_eq!(of("GET / HTTP/1.1\r\nHost: h\n\nGET / HTTP/1.1\r\nHost: h\r\n\r\n"), {
            Framing::Complete { behind: 27, persistence: Persistence::Close }
        });
    }

    #[test]
    fn a_content_length_is_one_number() {
        assert_eq!(with("Content-Length: 0\r\n"), KEEP);
        assert_eq!(with("content-length:000\r\n"), KEEP);
        for length in ["1", "5", "18446744073709551615"] {
            assert_eq!(with(&format!("Content-Length: {length}\r\n")), CLOSE, "{length}");
        }
        for length in [
            "",
            "a",
            "+1",
            "-1",
            "0x1",
            "1 1",
            "1,1",
            "1, 1",
            "0,0",
            "1.0",
            "1e1",
            "18446744073709551616",
            "\u{661}",
            "'1'",
        ] {
            assert_eq!(with(&format!("Content-Length: {length}\r\n")), BAD, "{length}");
        }
        assert_eq!(with("Content-Length: 1\r\nContent-Length: 1\r\n"), BAD);
        assert_eq!(with("Content-Length: 0\r\nX: y\r\ncontent-LENGTH: 0\r\n"), BAD);
        assert_eq!(with("Content-Lengths: a\r\nContent: b\r\n"), KEEP);
    }

    #[test]
    fn a_transfer_coding_is_chunked_and_alone() {
        for coding in ["chunked", "Chunked", " chunked ", ",chunked,", "\tchunked"] {
            assert_eq!(with(&format!("Transfer-Encoding:{coding}\r\n")), CLOSE, "{coding}");
        }
        for coding in ["gzip", "identity", "gzip, chunked", "xchunked", "chunkedx", "gzip;q=1, chunked"] {
            assert_eq!(with(&format!("Transfer-Encoding: {coding}\r\n")), NOT_IMPLEMENTED, "{coding}");
        }
        for coding in ["", ",", "chunked, gzip", "chunked, chunked", "chunked;a=b", "\"chunked\"", "chunked chunked"] {
            assert_eq!(with(&format!("Transfer-Encoding: {coding}\r\n")), BAD, "{coding}");
        }
        assert_eq!(with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), BAD);
        assert_eq!(with("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n"), NOT_IMPLEMENTED);
    }

    #[test]
    fn a_transfer_coding_beside_a_content_length_or_in_http_1_0_is_refused() {
        for length in ["0", "4"] {
            assert_eq!(with(&format!("Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n")), BAD);
            assert_eq!(with(&format!("Transfer-Encoding: gzip\r\nContent-Length: {length}\r\n")), BAD);
        }
        assert_eq!(old_with("Transfer-Encoding: chunked\r\n"), BAD);
        assert_eq!(old_with("Connection: keep-alive\r\nTransfer-Encoding: gzip\r\n"), BAD);
    }

    #[test]
    fn an_unknown_expectation_is_refused_and_a_known_one_closes() {
        assert_eq!(with("Expect: 100-continue\r\n"), CLOSE);
        assert_eq!(with("expect: 100-Continue\r\n"), CLOSE);
        for other in ["", "x", "100-continue, x", "200-ok"] {
            assert_eq!(with(&format!("Expect: {other}\r\n")), EXPECTATION_FAILED, "{other}");
        }
        assert_eq!(with("Expect: 100-continue\r\nExpect: x\r\n"), EXPECTATION_FAILED);
        assert_eq!(old_with("Expect: x\r\n"), CLOSE, "in HTTP/1.0 it is ignored");
    }

    #[test]
    fn an_upgrade_is_ignored_and_closes() {
        assert_eq!(with("Upgrade: h2c\r\nConnection: upgrade\r\n"), CLOSE);
        assert_eq!(with("Upgrade: websocket\r\n"), CLOSE);
        assert_eq!(with("Upgrade-Insecure-Requests: 1\r\n"), KEEP);
    }

    #[test]
    fn a_connection_is_kept_as_its_options_and_version_say() {
        for (options, in_1_1, in_1_0) in [
            ("close", CLOSE, CLOSE),
            ("CLOSE", CLOSE, CLOSE),
            ("keep-alive", KEEP, KEEP_ALIVE),
            ("Keep-Alive, TE", KEEP, KEEP_ALIVE),
            (", ,\tkeep-alive ,", KEEP, KEEP_ALIVE),
            ("keep-alive, close", CLOSE, CLOSE),
            ("close\r\nConnection: keep-alive", CLOSE, CLOSE),
            ("keep-alive\r\nX: y\r\nConnection: x,close", CLOSE, CLOSE),
            ("x", KEEP, CLOSE),
            ("closed, keep-alives", KEEP, CLOSE),
            ("", KEEP, CLOSE),
            ("a b", CLOSE, CLOSE),
            ("\"keep-alive\"", CLOSE, CLOSE),
        ] {
            assert_eq!(with(&format!("Connection: {options}\r\n")), in_1_1, "{options}");
            assert_eq!(old_with(&format!("Connection: {options}\r\n")), in_1_0, "{options}");
        }
        assert_eq!(with("Proxy-Connection: close\r\nConnections: close\r\n"), KEEP);
    }

    #[test]
    fn a_malformed_section_counts_ahead_of_an_unknown_coding_and_that_ahead_of_an_expectation() {
        assert_eq!(with("Expect: x\r\nTransfer-Encoding: gzip\r\n"), NOT_IMPLEMENTED);
        assert_eq!(with("Expect: x\r\nTransfer-Encoding: gzip\r\nHost: h\r\n"), BAD);
        assert_eq!(with("Expect: x\r\nContent-Length: x\r\n"), BAD);
    }

    /// Lines of all kinds, of which most are right.
    fn section_of(pieces: &[u8]) -> String {
        const PIECES: [&str; 24] = [
            "Host: h\r\n",
            "Host: h\r\n",
            "\r\n",
            "Connection: ",
            "keep-alive",
            "close",
            "\r\n",
            ", ",
            "Content-Length: ",
            "0",
            "7",
            "\r\n",
            "Transfer-Encoding: ",
            "chunked",
            "\r\n",
            "X-Y: ",
            "long enough for two words",
            "\r\n",
            "\n",
            "\r",
            "\t",
            " ",
            "\u{e9}",
            ":",
        ];
        pieces.iter().map(|&piece| PIECES[usize::from(piece) % PIECES.len()]).collect()
    }

    #[quickcheck_macros::quickcheck]
    #[expect(clippy::needless_pass_by_value, reason = "quickcheck hands over what it made")]
    fn more_bytes_change_nothing_once_a_section_is_complete(pieces: Vec<u8>, behind: Vec<u8>) -> bool {
        let section = format!("GET / HTTP/1.1\r\nHost: h\r\n{}", section_of(&pieces));
        let Framing::Complete { behind: rest, persistence } = of(&section) else { return true };
        let longer = [section.as_bytes(), &behind].concat();
        let expect = Framing::Complete { behind: rest + behind.len(), persistence };
        of_bytes(&longer) == expect
    }

    #[quickcheck_macros::quickcheck]
    #[expect(clippy::needless_pass_by_value, reason = "quickcheck hands over what it made")]
    fn less_bytes_of_a_valid_section_are_incomplete(pieces: Vec<u8>) -> bool {
        let section = format!("GET / HTTP/1.1\r\nHost: h\r\n{}", section_of(&pieces));
        let whole = of(&section);
        let Framing::Complete { behind, .. } = whole else { return true };
        (16..section.len()).filter(|&end| section.is_char_boundary(end)).all(|end| {
            let expect = if end < section.len() - behind {
                Framing::Incomplete
            } else {
                let Framing::Complete { persistence, .. } = whole else { return false };
                Framing::Complete { behind: end + behind - section.len(), persistence }
            };
            of(&section[..end]) == expect
        })
    }
}
