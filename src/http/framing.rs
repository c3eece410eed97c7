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
use super::names;
use super::status::Status;
use super::words::{HIGH_BITS, ONES, Words, control, end_of_visible, equal, first, no_letter, no_letter_or_hyphen};

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

    /// Whether a section is valid, and neither bytes nor anything that it says can follow it.
    pub(super) fn is_end(end: LineEnd, bytes: &[u8]) -> bool {
        let (behind, seen) = read_section(bytes, Seen(end.0));
        let may_follow = Seen::BARE_LF | Seen::LENGTH | Seen::TRANSFER | Seen::UPGRADE | Seen::EXPECT;
        !seen.has(may_follow) && matches!(seen.decide(behind), Self::Complete { behind: 0, .. })
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
/// What most programs send is read here: first a `Host` that is an address, then fields with the most frequent names
/// and short values. From the first other line on, [`read_plain_lines`] does, which is handed nothing but where that
/// is, so that this function calls none and has all registers for itself (fast: parsed again).
#[inline(never)]
fn read_section(section: &[u8], seen: Seen) -> (usize, Seen) {
    let Some((words, mut end)) = Words::new(section).and_then(|words| Some((words, plain_address(words)?))) else {
        return read_lines(section, seen);
    };
    if end == HOST_AT {
        return read_other_lines(section, 0, 0, seen);
    }
    while let Some(head) = words.get(end) {
        let short = names::value(words, end, head).and_then(|value| words.end_of_short(value));
        let Some(visible) = short else { return read_plain_lines(section, end, seen) };
        end = visible.get();
    }
    if words.ends_with(end, LAST) {
        return (0, Seen(seen.0 | Seen::HOST));
    }
    read_plain_lines(section, end, seen)
}

/// Reads what nearly all requests have, from the line end on that is to be at `from`, ahead of which is `Host`: fields
/// that decide nothing, of visible characters and spaces, and CRLF behind each.
#[inline(never)]
fn read_plain_lines(section: &[u8], from: usize, seen: Seen) -> (usize, Seen) {
    let Some(words) = Words::new(section) else { return read_lines(section, seen) };
    // The line that ends at `end`, if it is known.
    let (mut line, mut end) = (0, from);
    while let Some(head) = words.get(end) {
        let value = match names::value(words, end, head) {
            Some(value) => value,
            None if head as u32 == LAST => return (section.len() - end - 4, Seen(seen.0 | Seen::HOST)),
            None => match other_value(section, end, seen) {
                Some(value) => value.get(),
                None => break,
            },
        };
        line = end + 2;
        let visible = words.end_of_short(value).or_else(|| end_of_visible(section, value));
        let Some(visible) = visible else { break };
        end = visible.get();
    }
    if words.ends_with(end, LAST) {
        return (0, Seen(seen.0 | Seen::HOST));
    }
    read_other_lines(section, from, line, seen)
}

/// Reads lines of all kinds from this one on, ahead of which is `Host`; or from the first one on, which may have a host
/// that is no address, or has a port, and so ends behind `from`.
#[inline(never)]
fn read_other_lines(section: &[u8], from: usize, line: usize, seen: Seen) -> (usize, Seen) {
    if line > 0 {
        return read_lines(section.get(line..).unwrap_or_default(), Seen(seen.0 | Seen::HOST));
    }
    match Words::new(section).and_then(plain_name) {
        Some(end) if end > from => read_plain_lines(section, end, seen),
        _ => read_lines(section, seen),
    }
}

/// The end of the last field, and the empty line.
const LAST: u32 = u32::from_le_bytes(*b"\r\n\r\n");

/// Where the value begins of a line that is none of the most frequent ones, and decides nothing either. The line end
/// ahead of it is to be at `end`.
#[inline(never)]
fn other_value(section: &[u8], end: usize, seen: Seen) -> Option<NonZero<usize>> {
    const KEEP_ALIVE: &[u8] = b"Connection: keep-alive";
    const UPGRADE: &[u8] = b"Upgrade-Insecure-Requests:";
    let line = section.get(end..)?.strip_prefix(b"\r\n")?;
    let len = if line.starts_with(b"Accept-Encoding:") || line.starts_with(b"Accept-Language:") {
        b"Accept-Encoding:".len()
    } else if line.starts_with(KEEP_ALIVE) && line.get(KEEP_ALIVE.len()) == Some(&b'\r') && !seen.has(Seen::HTTP_1_0) {
        KEEP_ALIVE.len()
    } else if line.starts_with(UPGRADE) {
        UPGRADE.len()
    } else {
        return named_value(section, end + 2);
    };
    NonZero::new(end + 2 + len)
}

/// Where the value begins of a line whose name is of letters and hyphens and decides nothing.
#[inline(never)]
fn named_value(section: &[u8], line: usize) -> Option<NonZero<usize>> {
    let (colon, _, name) = read_name(section.get(line..)?)?;
    if is_known(name) { None } else { NonZero::new(line + colon + 1) }
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

/// The end of a host of digits and dots, if the section begins with such a one, which may be empty.
#[inline]
fn plain_address(words: Words<'_>) -> Option<usize> {
    let mut at = HOST_AT;
    let mut marks = no_digit_or_dot(words.get(at)?);
    if !begins_with_host(words.get(0)?) {
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

/// Whether the first word of a section begins with `Host: `.
#[inline]
const fn begins_with_host(word: u64) -> bool {
    const HOST: u64 = u64::from_le_bytes(*b"\0\0Host: ");
    word << 16 == HOST
}

/// The end of a host of letters, digits, dots and hyphens, of at least a character, with a port of up to four digits or
/// without, if the section begins with such a one.
#[inline]
fn plain_name(words: Words<'_>) -> Option<usize> {
    if !begins_with_host(words.get(0)?) {
        return None;
    }
    let mut at = HOST_AT;
    let mut marks = no_host(words.get(at)?);
    while marks == 0 {
        at += 8;
        marks = no_host(words.get(at)?);
    }
    let end = at + marks.trailing_zeros() as usize / 8;
    if words.byte(end) != Some(b':') {
        return (end > HOST_AT).then_some(end);
    }
    let digits = (1..5).take_while(|&at| words.byte(end + at).is_some_and(|byte| byte.is_ascii_digit())).count();
    (end > HOST_AT).then_some(end + 1 + digits)
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
    let mut at = 0;
    let mut word = u64::from_le_bytes(*line.first_chunk()?);
    let head = word;
    let mut marks = no_letter_or_hyphen(word);
    while marks == 0 {
        at += 8;
        word = u64::from_le_bytes(*line.get(at..)?.first_chunk()?);
        marks = no_letter_or_hyphen(word);
    }
    let shift = marks.trailing_zeros() & !7;
    let colon = at + shift as usize / 8;
    ((word >> shift) as u8 == b':' && colon > 0).then_some((colon, at, head | (ONES * 0x20)))
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
mod tests;
