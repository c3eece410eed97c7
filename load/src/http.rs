//! Parses replies of HTTP/1: heads and a body, as bytes (RFC 9112). A field may hold any byte but CR and LF.

use std::ops::Range;

/// The longest head that is parsed, including the heads of interim replies (1xx) before it.
#[cfg(feature = "generator")]
pub(crate) const HEAD_MAX: usize = u16::MAX as usize;

/// The head of a final reply. Any number of interim replies (1xx) may precede it (RFC 9110, section 15.2).
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// From the status line to the empty line, inclusive.
    bytes: &'a [u8],
    /// Its offset in the bytes of the reply.
    start: usize,
    status: u16,
}

impl<'a> Head<'a> {
    /// Parses the head of the final reply. `None` if the bytes are not HTTP, or the head is incomplete.
    pub fn last_of(bytes: &'a [u8]) -> Option<Self> {
        let mut start = 0;
        loop {
            let rest = &bytes[start..];
            let status = status(rest)?;
            let head = Self { bytes: &rest[..head_len(rest)?], start, status };
            // 101 is final for us: HTTP ends with it.
            if !(100..200).contains(&status) || status == 101 {
                return Some(head);
            }
            start = head.end();
        }
    }

    /// The status code.
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// The status code and the reason phrase.
    pub fn status_text(&self) -> String {
        let line = self.bytes.split(|&byte| byte == b'\n').next().unwrap_or_default();
        latin1(line.get(9..).unwrap_or_default()).trim_end().to_owned()
    }

    /// The offset of its first byte.
    #[cfg(feature = "generator")]
    pub(crate) const fn start(&self) -> usize {
        self.start
    }

    /// The offset of the body.
    pub const fn end(&self) -> usize {
        self.start + self.bytes.len()
    }

    /// The value of `Content-Length`.
    pub fn content_length(&self) -> Option<usize> {
        let value = &self.bytes[self.field("content-length")?];
        str::from_utf8(value).ok()?.trim().parse().ok()
    }

    /// Whether a reply to GET with this status has no body, whatever its fields say (RFC 9112, section 6.3).
    pub const fn has_no_body(&self) -> bool {
        matches!(self.status, 101 | 204 | 304)
    }

    /// Whether the body is chunked (RFC 9112, section 7.1).
    pub fn is_chunked(&self) -> bool {
        let codings = self.field("transfer-encoding").map(|range| self.bytes[range].to_ascii_lowercase());
        codings.is_some_and(|codings| codings.trim_ascii().ends_with(b"chunked"))
    }

    /// The range in the head of the value of the first field with this name, which is in lower case.
    pub(crate) fn field(&self, name: &str) -> Option<Range<usize>> {
        let mut at = 0;
        for line in self.bytes.split_inclusive(|&byte| byte == b'\n') {
            let (found, rest) = line.split_at(line.len().min(name.len()));
            if found.eq_ignore_ascii_case(name.as_bytes()) && rest.first() == Some(&b':') {
                return Some(at + name.len() + 1..at + line.trim_ascii_end().len());
            }
            at += line.len();
        }
        None
    }
}

/// The status code of a line such as `HTTP/1.1 200 OK`.
fn status(bytes: &[u8]) -> Option<u16> {
    let digits = bytes.strip_prefix(b"HTTP/1.")?.get(1..5)?.strip_prefix(b" ")?;
    let is_number = digits.iter().all(u8::is_ascii_digit);
    is_number.then(|| digits.iter().fold(0, |number, digit| number * 10 + u16::from(digit - b'0')))
}

/// The length of the head at the start of `bytes`: up to an empty line, which may end without CR (RFC 9112, section
/// 2.2).
fn head_len(bytes: &[u8]) -> Option<usize> {
    let ends = bytes.iter().enumerate().filter(|&(_, &byte)| byte == b'\n').map(|(at, _)| at + 1);
    ends.into_iter().find_map(|at| match &bytes[at..] {
        [b'\r', b'\n', ..] => Some(at + 2),
        [b'\n', ..] => Some(at + 1),
        _ => None,
    })
}

/// Decodes bytes as Latin-1 for messages, without control characters.
pub(crate) fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| char::from(byte)).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Decodes a chunked body, piece by piece.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Chunks {
    state: State,
    /// The size of the chunk as far as it is parsed, or how much of its data is missing.
    left: usize,
}

/// What the next byte of a chunked body is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum State {
    /// The first digit of a size.
    #[default]
    Begin,
    /// Another digit, or the end of the size.
    Size,
    /// A chunk extension, which is ignored.
    Extension,
    /// Data.
    Data,
    /// The line end behind the data.
    DataEnd,
    /// A trailer line, and whether it is empty so far.
    Trailer { is_empty: bool },
    /// The body is complete.
    Done,
    /// The body is malformed.
    Bad,
}

impl Chunks {
    /// Decodes the next bytes, and passes those of the body on.
    pub fn take<'b>(&mut self, mut bytes: &'b [u8], mut body: impl FnMut(&'b [u8])) {
        while let Some((&byte, rest)) = bytes.split_first() {
            if self.state == State::Data {
                let (data, behind) = bytes.split_at(self.left.min(bytes.len()));
                body(data);
                self.left -= data.len();
                bytes = behind;
                if self.left == 0 {
                    self.state = State::DataEnd;
                }
                continue;
            }
            self.state = self.after(byte);
            bytes = rest;
        }
    }

    /// The next state after a byte that is not data.
    fn after(&mut self, byte: u8) -> State {
        match (self.state, byte) {
            (State::Size | State::Extension, b'\n') if self.left == 0 => State::Trailer { is_empty: true },
            (State::Size | State::Extension, b'\n') => State::Data,
            (State::Size, b'\r' | b';' | b' ' | b'\t') | (State::Extension, _) => State::Extension,
            (State::Begin | State::Size, digit) => match char::from(digit).to_digit(16) {
                Some(digit) if self.left <= usize::MAX >> 8 => {
                    self.left = self.left << 4 | digit as usize;
                    State::Size
                }
                _ => State::Bad,
            },
            (State::DataEnd, b'\r') => State::DataEnd,
            (State::DataEnd, b'\n') => State::Begin,
            (State::Trailer { is_empty: true }, b'\n') => State::Done,
            (State::Trailer { .. }, b'\n') => State::Trailer { is_empty: true },
            (State::Trailer { is_empty }, b'\r') => State::Trailer { is_empty },
            (State::Trailer { .. }, _) => State::Trailer { is_empty: false },
            _ => State::Bad,
        }
    }

    /// Where the body ends in the next bytes, if it does.
    #[cfg(feature = "generator")]
    pub(crate) fn end_in(&self, bytes: &[u8]) -> Option<usize> {
        let mut ahead = *self;
        (1..=bytes.len()).find(|&end| {
            ahead.take(&bytes[end - 1..end], |_| {});
            ahead.is_done()
        })
    }

    /// Whether the body is complete.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Whether the body is malformed.
    pub fn is_bad(&self) -> bool {
        self.state == State::Bad
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_final_head_is_the_first_that_is_not_of_1xx() {
        let reply = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n\
            HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        let head = Head::last_of(reply).unwrap();
        assert_eq!((head.status(), head.status_text(), head.content_length()), (200, "200 OK".to_owned(), Some(2)));
        assert_eq!(&reply[head.end()..], b"ok");
        for len in 0..head.end() {
            assert!(Head::last_of(&reply[..len]).is_none(), "{len}");
        }
        assert_eq!(Head::last_of(b"HTTP/1.1 101 Switching Protocols\r\n\r\n").unwrap().status(), 101);
    }

    #[test]
    fn what_is_not_http_has_no_head() {
        for bytes in
            [&b"SSH-2.0\r\n\r\n"[..], b"HTTP/2 200\r\n\r\n", b"HTTP/1.1 2x0 OK\r\n\r\n", b"HTTP/1.1\r\n\r\n", b""]
        {
            assert!(Head::last_of(bytes).is_none(), "{bytes:?}");
        }
    }

    #[test]
    fn fields_are_bytes_and_lines_may_end_without_cr() {
        let head =
            Head::last_of(b"HTTP/1.0 200 Sch\xf6n\nX-City: K\xf6ln\nCONTENT-LENGTH:7 \nTransfer-Encoding: Chunked\n\n")
                .unwrap();
        assert_eq!((head.content_length(), head.is_chunked()), (Some(7), true));
        assert_eq!(head.status_text(), "200 Schön");
        assert_eq!(head.field("x-city").map(|range| head.bytes[range].to_vec()), Some(b" K\xf6ln".to_vec()));
        assert_eq!(head.field("city"), None);
    }

    /// The body, and whether its end has come, of bytes that come in pieces of this length.
    fn chunks(bytes: &[u8], pieces: usize) -> (Vec<u8>, bool, bool) {
        let (mut chunks, mut body) = (Chunks::default(), Vec::new());
        for piece in bytes.chunks(pieces) {
            chunks.take(piece, |data| body.extend_from_slice(data));
        }
        (body, chunks.is_done(), chunks.is_bad())
    }

    #[test]
    fn a_body_in_chunks_is_the_same_however_it_is_cut() {
        for bytes in [
            &b"5\r\nhello\r\nb;ext=\"1\"\r\n everybody!\r\n0\r\n\r\n"[..],
            b"1\r\nh\r\nF\r\nello everybody!\r\n0\r\nTrailer: x\r\n\r\n",
        ] {
            for pieces in 1..=bytes.len() {
                assert_eq!(chunks(bytes, pieces), (b"hello everybody!".to_vec(), true, false), "{pieces}");
                assert!(!chunks(&bytes[..bytes.len() - 1], pieces).1);
            }
        }
        for bad in [&b"x\r\n"[..], b"1\r\nab\r\n", b"0\r\n\r\nx", b"\r\n", b"ffffffffffffffffff\r\n"] {
            assert!(chunks(bad, 1).2, "{bad:?}");
        }
    }
}
