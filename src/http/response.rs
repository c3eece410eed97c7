//! Responses: a status line and header fields, and a body made on the spot or lying in a data set.
//!
//! A response has two parts, head and body, so that a body that lies in a data set is never copied
//! before it is copied into the frame. What goes out always has the right `Content-Length` and says
//! `Connection: close` (RFC 9110, section 8.6; RFC 9112, sections 9.3 and 9.6). `Date` (RFC 9110, section 6.6.1) is
//! added by the engine to responses of one packet, if [`Config::date`](crate::config::Config::date) asks for it: the
//! same request must give the same bytes.

use core::fmt;

use super::field::{FieldName, FieldValue, ends_value};
use super::status::Status;
use crate::position::Position;

/// Bytes for status line and header fields beside the largest body, in a scratch buffer of
/// [`SCRATCH_LEN`](crate::engine::SCRATCH_LEN). A head may be longer where the body leaves room.
pub const HEAD_ROOM: usize = 512;

/// A complete response: everything that goes into the TCP stream.
#[derive(Clone, Copy)]
pub struct Response<'a> {
    head: &'a [u8],
    body: &'a [u8],
    position: Option<Position>,
    /// Whether this is a part of the stored response at that position.
    is_part: bool,
    /// The sum over head and body, as [`Sum::folded`](crate::wire::checksum::Sum::folded) gives it.
    sum: Option<u16>,
}

impl<'a> Response<'a> {
    /// What is sent when a response fits neither the scratch buffer nor a packet.
    pub(crate) const OVERFLOW: Self = Self {
        head: b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        body: b"",
        position: None,
        is_part: false,
        sum: None,
    };

    /// What is sent where a response depends on header fields that are not in the packet, and is longer than one.
    pub(crate) const HEADERS_CUT: Self = Self {
        head: b"HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        body: b"",
        position: None,
        is_part: false,
        sum: None,
    };

    /// A response that is complete already: `head` from the status line to the empty line, and `body`
    /// of the length that `head` says.
    pub const fn prepared(head: &'a [u8], body: &'a [u8]) -> Self {
        Self { head, body, position: None, is_part: false, sum: None }
    }

    /// Marks the response as stored: [`App::stored`](crate::App::stored) gives it again for every position from
    /// `position` to its end. One that does not fit a packet is then sent by the client's ACK clock.
    #[must_use]
    pub const fn stored_at(self, position: Position) -> Self {
        Self { position: Some(position), is_part: false, ..self }
    }

    /// Marks the response as a part of the stored one at `position`: the body is the end of the body there, and the
    /// head is its own. Only where [`Request::takes_parts`](crate::Request::takes_parts) says so; then it goes by the
    /// client's ACK clock, however long it is.
    #[must_use]
    pub const fn part_of(self, position: Position) -> Self {
        Self { position: Some(position), is_part: true, ..self }
    }

    /// A response of an application that knows nothing of generations, as one of a version that takes the positions of
    /// `count` generations, from this one on. It is no longer a stored one where the version has no such position.
    #[inline]
    #[must_use]
    pub(crate) fn of_version(self, generation: u8, count: u8) -> Self {
        Self { position: self.position.and_then(|position| position.of_version(generation, count)), ..self }
    }

    /// Where it is stored, if it is.
    #[inline]
    pub const fn position(&self) -> Option<Position> {
        if self.is_part { None } else { self.position }
    }

    /// Whether it is a part of a stored one.
    #[inline]
    pub(crate) const fn is_part(&self) -> bool {
        self.is_part
    }

    /// Where that is stored which it is a part of, if it is one.
    #[inline]
    pub const fn whole(&self) -> Option<Position> {
        if self.is_part { self.position } else { None }
    }

    /// Adds the one's complement sum over head and body, as
    /// [`Sum::folded`](crate::wire::checksum::Sum::folded) gives it. Where the response is sent in one segment, nothing
    /// has to be summed then. With a wrong sum, clients drop the segment.
    #[must_use]
    pub const fn with_sum(self, sum: u16) -> Self {
        Self { sum: Some(sum), ..self }
    }

    /// The sum over head and body that it came with, if any.
    pub const fn known_sum(&self) -> Option<u16> {
        self.sum
    }

    /// Begins a response that is made on the spot, in `scratch`.
    #[inline]
    pub fn build(scratch: &'a mut [u8], status: Status) -> ResponseBuilder<'a> {
        let mut head = Writer::new(scratch);
        head.push(status.line_with_end());
        ResponseBuilder { head, status }
    }

    /// From the status line to the empty line.
    pub const fn head(&self) -> &'a [u8] {
        self.head
    }

    /// What follows the empty line.
    pub const fn body(&self) -> &'a [u8] {
        self.body
    }

    /// The bytes of head and body.
    pub const fn len(&self) -> usize {
        self.head.len() + self.body.len()
    }

    /// Whether there is not a single byte.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The response to `HEAD`: without the body (RFC 9110, section 9.3.2).
    #[must_use]
    pub const fn without_body(self) -> Self {
        Self::prepared(self.head, b"")
    }
}

/// Two responses are the same if the same bytes are sent.
impl PartialEq for Response<'_> {
    fn eq(&self, other: &Self) -> bool {
        let of = |response: &Self| (response.head, response.body, response.position, response.is_part);
        of(self) == of(other)
    }
}

impl Eq for Response<'_> {}

impl fmt::Debug for Response<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.head.escape_ascii(), self.body.escape_ascii())
    }
}

/// A response in the making: header fields first, then the body, which completes it.
///
/// What cannot be sent becomes a 500 as a whole: a response that does not fit `scratch`, and a field value with a
/// CR, LF or NUL in it, which would end the field (RFC 9110, section 5.5).
#[must_use]
pub struct ResponseBuilder<'a> {
    head: Writer<'a>,
    status: Status,
}

impl<'a> ResponseBuilder<'a> {
    /// Adds header fields that are written out already: each with its CRLF. What is always the same is
    /// best added so, in one piece.
    #[inline]
    pub fn fields(mut self, lines: &'static str) -> Self {
        debug_assert!(lines.is_empty() || lines.ends_with("\r\n"), "a field ends with CRLF");
        self.head.push(lines);
        self
    }

    /// Adds a header field. `Content-Length` and `Connection` are added on completion.
    #[inline]
    pub fn header(self, name: &'static str, value: &str) -> Self {
        self.header_with(name, |field| field.push(value))
    }

    /// Adds a header field whose name and value are known to be such: nothing has to be looked for in them.
    #[inline]
    pub fn field(mut self, name: FieldName, value: FieldValue<'_>) -> Self {
        for part in [name.as_str(), ": ", value.as_str(), "\r\n"] {
            self.head.push(part);
        }
        self
    }

    /// Adds a header field whose value `write` makes.
    #[inline]
    pub fn header_with(mut self, name: &'static str, write: impl FnOnce(&mut Writer<'a>)) -> Self {
        self.head.push(name);
        self.head.push(": ");
        let start = self.head.len;
        write(&mut self.head);
        let value = self.head.buffer.get(start..self.head.len).unwrap_or_default();
        self.head.overflow |= value.iter().any(|&byte| ends_value(byte));
        self.head.push("\r\n");
        self
    }

    /// Completes the response with a body that `write` makes.
    #[inline]
    pub fn body_with(self, write: impl FnOnce(&mut Writer<'a>)) -> Response<'a> {
        let Self { head, status } = self;
        let Some((head, room)) = head.split(HEAD_END_MAX) else { return Response::OVERFLOW };
        let mut body = Writer::new(room);
        write(&mut body);
        match body.finish() {
            Some(body) => complete(head, status, body),
            None => Response::OVERFLOW,
        }
    }

    /// Completes the response with a body that exists already. With a status that has no content (204, 205, 304) it is
    /// left out.
    #[inline]
    pub fn body(self, body: &'a [u8]) -> Response<'a> {
        complete(self.head, self.status, body)
    }
}

/// Room for the end of a head: `Content-Length` with 20 digits, `Connection`, and the empty line.
const HEAD_END_MAX: usize = 64;

#[inline]
fn complete<'a>(mut head: Writer<'a>, status: Status, body: &'a [u8]) -> Response<'a> {
    let body = if status.has_content() { body } else { b"" };
    if status.has_length() {
        head.push("Content-Length: ");
        head.push_decimal(body.len() as u64);
        head.push("\r\nConnection: close\r\n\r\n");
    } else {
        head.push("Connection: close\r\n\r\n");
    }
    match head.finish() {
        Some(head) => Response::prepared(head, body),
        None => Response::OVERFLOW,
    }
}

/// Writes text into a buffer of fixed size, and remembers when it did not fit.
pub struct Writer<'a> {
    buffer: &'a mut [u8],
    len: usize,
    overflow: bool,
}

impl<'a> Writer<'a> {
    /// Writes from the start of `buffer`.
    pub const fn new(buffer: &'a mut [u8]) -> Self {
        Self { buffer, len: 0, overflow: false }
    }

    /// Appends text.
    #[inline]
    pub fn push(&mut self, text: &str) {
        self.push_bytes(text.as_bytes());
    }

    /// Appends bytes.
    #[inline]
    pub fn push_bytes(&mut self, bytes: &[u8]) {
        let end = self.len.saturating_add(bytes.len());
        match self.buffer.get_mut(self.len..end) {
            Some(room) => {
                room.copy_from_slice(bytes);
                self.len = end;
            }
            None => self.overflow = true,
        }
    }

    /// Appends a number in decimal.
    #[inline]
    pub fn push_decimal(&mut self, mut number: u64) {
        // 20 digits hold any u64.
        let mut digits = [0; 20];
        let mut first = digits.len();
        for (at, digit) in digits.iter_mut().enumerate().rev() {
            *digit = b'0' + (number % 10) as u8;
            number /= 10;
            first = at;
            if number == 0 {
                break;
            }
        }
        self.push_bytes(digits.get(first..).unwrap_or_default());
    }

    /// Appends text with the characters escaped that mean something in HTML.
    pub fn push_html(&mut self, text: &str) {
        for piece in text.split_inclusive(['&', '<', '>', '"', '\'']) {
            let (plain, escaped) = match piece.as_bytes() {
                [plain @ .., b'&'] => (plain, "&amp;"),
                [plain @ .., b'<'] => (plain, "&lt;"),
                [plain @ .., b'>'] => (plain, "&gt;"),
                [plain @ .., b'"'] => (plain, "&quot;"),
                [plain @ .., b'\''] => (plain, "&#39;"),
                plain => (plain, ""),
            };
            self.push_bytes(plain);
            self.push(escaped);
        }
    }

    /// Keeps `reserve` more bytes to write to, and returns the buffer behind them. `None` if they are not there.
    #[inline]
    fn split(self, reserve: usize) -> Option<(Self, &'a mut [u8])> {
        let Self { buffer, len, overflow } = self;
        let (buffer, rest) = buffer.split_at_mut_checked(len.checked_add(reserve)?)?;
        Some((Self { buffer, len, overflow }, rest))
    }

    /// What was written, or `None` when it did not fit.
    #[inline]
    pub fn finish(self) -> Option<&'a [u8]> {
        if self.overflow {
            return None;
        }
        let written: &'a [u8] = self.buffer;
        written.get(..self.len)
    }
}

impl fmt::Write for Writer<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text);
        if self.overflow { Err(fmt::Error) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;

    #[test]
    fn content_length_is_the_length_of_the_body() {
        let mut scratch = [0; 1024];
        let response = Response::build(&mut scratch, Status::Ok)
            .header("Content-Type", "text/plain")
            .body_with(|body| body.push("hello"));
        assert_eq!(
            response.head(),
            b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\nConnection: close\r\n\r\n"
        );
        assert_eq!(response.body(), b"hello");
        assert_eq!(response.without_body().len(), response.head().len());
    }

    #[test]
    fn what_does_not_fit_becomes_a_500_and_never_half_a_response() {
        let whole = b"HTTP/1.1 200 OK\r\nX: yy\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello".len();
        for room in 0..2 * HEAD_END_MAX + whole {
            let mut scratch = std::vec![0; room];
            let response = Response::build(&mut scratch, Status::Ok).header("X", "yy").body_with(|body| {
                body.push("hello");
            });
            assert!(response == Response::OVERFLOW || response.len() == whole && response.body() == b"hello", "{room}");
            assert!(response != Response::OVERFLOW || room < whole + HEAD_END_MAX, "{room}");
            let mut scratch = std::vec![0; room];
            let borrowed = Response::build(&mut scratch, Status::Ok).header("X", "yy").body(b"hello");
            assert_eq!(borrowed != Response::OVERFLOW, room >= whole - 5, "{room}");
        }
        let mut scratch = [0; 1000];
        let body = Response::build(&mut scratch, Status::Ok).body_with(|body| body.push_bytes(&[b'x'; 1000]));
        assert_eq!(body, Response::OVERFLOW);
    }

    #[test]
    fn a_head_may_be_as_long_as_the_scratch_buffer_has_room_for() {
        let long = "x".repeat(3000);
        let mut scratch = [0; 4096];
        let response = Response::build(&mut scratch, Status::Ok)
            .header("X", &long)
            .header_with("Y", |value| value.push_decimal(7))
            .body_with(|body| body.push("hello"));
        let head = str::from_utf8(response.head()).unwrap();
        assert!(head.starts_with(&std::format!("HTTP/1.1 200 OK\r\nX: {long}\r\nY: 7\r\nContent-Length: 5\r\n")));
        assert_eq!(response.body(), b"hello");
    }

    #[test]
    fn a_field_value_that_would_end_its_field_becomes_a_500() {
        for value in ["a\r\nSet-Cookie: b", "\n", "a\rb", "a\0"] {
            let mut scratch = [0; 1024];
            let response = Response::build(&mut scratch, Status::MovedPermanently).header("Location", value).body(b"");
            assert_eq!(response, Response::OVERFLOW, "{value:?}");
            let mut scratch = [0; 1024];
            let response = Response::build(&mut scratch, Status::MovedPermanently)
                .header_with("Location", |location| location.push(value))
                .header("X", "fine")
                .body_with(|body| body.push("hello"));
            assert_eq!(response, Response::OVERFLOW, "{value:?}");
        }
    }

    #[test]
    fn a_response_tells_its_parts_and_the_sum_that_it_came_with() {
        let response = Response::prepared(b"head", b"body!");
        assert_eq!((response.len(), response.is_empty(), response.known_sum()), (9, false, None));
        assert_eq!(response.with_sum(0x1234).known_sum(), Some(0x1234));
        assert!(Response::prepared(b"", b"").is_empty());
        assert_eq!(std::format!("{response:?}"), "headbody!");
    }

    #[test]
    fn a_304_has_neither_content_nor_its_length() {
        let mut scratch = [0; 1024];
        let response = Response::build(&mut scratch, Status::NotModified).header("ETag", "\"a\"").body(b"hello");
        assert_eq!(response.head(), b"HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\nConnection: close\r\n\r\n");
        assert_eq!(response.body(), b"");
        let mut scratch = [0; 1024];
        let response = Response::build(&mut scratch, Status::NotModified).body_with(|body| body.push("hello"));
        assert_eq!((response.head().len(), response.body()), (48, &b""[..]));
    }

    #[test]
    fn a_204_has_no_length_and_a_205_has_length_0() {
        let head = |status| {
            let mut scratch = [0; 1024];
            let response = Response::build(&mut scratch, status).body(b"hello");
            assert_eq!(response.body(), b"");
            std::string::String::from_utf8(response.head().to_vec()).unwrap()
        };
        assert_eq!(head(Status::NoContent), "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
        assert_eq!(
            head(Status::ResetContent),
            "HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
    }

    #[test]
    fn checked_fields_are_written_as_unchecked_ones() {
        let [mut one, mut other] = [[0; 1024]; 2];
        let value = FieldValue::new("/a b").unwrap();
        let checked = Response::build(&mut one, Status::Found).field(FieldName::LOCATION, value).body(b"");
        assert_eq!(checked, Response::build(&mut other, Status::Found).header("Location", "/a b").body(b""));
        let mut short = [0; 30];
        let cut = Response::build(&mut short, Status::Found).field(FieldName::LOCATION, value).body(b"");
        assert_eq!(cut, Response::OVERFLOW);
    }

    #[test]
    fn numbers_and_html_are_written_as_they_should_be() {
        let mut buffer = [0; 128];
        let mut writer = Writer::new(&mut buffer);
        for number in [0, 7, 10, 1_048_576, u64::MAX] {
            writer.push_decimal(number);
            writer.push(" ");
        }
        writer.push_html("a<b>&\"c\"'");
        assert_eq!(writer.finish().unwrap(), b"0 7 10 1048576 18446744073709551615 a&lt;b&gt;&amp;&quot;c&quot;&#39;");
    }

    #[test]
    fn a_sum_that_is_known_is_what_the_engine_goes_by() {
        let response = Response::prepared(b"head", b"body!");
        assert!(response.known_sum().is_none());
        assert_eq!(response.with_sum(0x1234).known_sum(), Some(0x1234));
        assert!(response.with_sum(0x1234).without_body().known_sum().is_none(), "of other bytes it is another one");
    }

    #[test]
    fn a_writer_takes_formatted_text_and_says_when_it_does_not_fit() {
        use fmt::Write;
        let mut buffer = [0; 8];
        let mut writer = Writer::new(&mut buffer);
        assert!(write!(writer, "{}:{:02x}", 12, 10).is_ok());
        assert!(write!(writer, "four").is_err() && writer.finish().is_none());
        let mut writer = Writer::new(&mut buffer);
        assert!(write!(writer, "{}:{:02x}", 12, 10).is_ok());
        assert_eq!(writer.finish(), Some(&b"12:0a"[..]));
    }
}
