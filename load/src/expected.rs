//! The expected reply of each path: the first one, or the one that `--expect` gives.

use std::ops::Range;

use crate::http::{Chunks, Head, latin1};
use crate::settings::Compare;

/// The longest expected reply, in bytes.
pub(crate) const REPLY_MAX: usize = 256 << 20;

/// An expected reply, and the part of it that others are compared with.
#[derive(Clone, Debug)]
pub(crate) struct Expected {
    /// The whole reply or its body, by what is compared.
    bytes: Vec<u8>,
    compare: Compare,
    /// The bytes of the value of the field `Date`, which may differ. Empty if there is none.
    date: Range<usize>,
    body_len: usize,
    status: u16,
}

/// Why a first reply cannot be the expected one.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NotComparable {
    /// It is not HTTP.
    #[error("the reply does not begin as one of HTTP/1 does: {0:?}")]
    NotHttp(String),
    /// There were interim replies (1xx), and no final one.
    #[error("the final reply has not come, only one of 1xx: {0:?}")]
    Interim(String),
    /// It is too long.
    #[error("the reply is longer than {REPLY_MAX} bytes")]
    TooLong,
    /// It is shorter than it says.
    #[error("the reply says that its body has {announced} bytes, and has {found}")]
    Length {
        /// The length of the body by `Content-Length`.
        announced: usize,
        /// The length of the body that was received.
        found: usize,
    },
    /// Its body is chunked, and malformed or incomplete.
    #[error("the body of the reply is in chunks, and has no end")]
    Chunks,
    /// It differs from the file of `--expect`.
    #[error(
        "the body of the reply differs from the file given with --expect at byte {at}: {found} bytes came, the \
        file has {expected}"
    )]
    Unexpected {
        /// The first byte that differs.
        at: usize,
        /// Bytes that were received.
        found: usize,
        /// Bytes of the file.
        expected: usize,
    },
}

impl Expected {
    /// Makes a reply the expected one, if it is HTTP, complete, and has the body that `expect` gives, if any.
    pub(crate) fn new(bytes: Vec<u8>, expect: Option<&[u8]>, compare: Compare) -> Result<Self, NotComparable> {
        let not_http = || {
            let line = bytes.split(|&byte| byte == b'\n').next().unwrap_or_default();
            let begins = latin1(&line[..line.len().min(40)]).trim_end().to_owned();
            let is_interim = bytes.starts_with(b"HTTP/1.") && begins.get(8..10) == Some(" 1");
            if is_interim { NotComparable::Interim(begins) } else { NotComparable::NotHttp(begins) }
        };
        let head = Head::last_of(&bytes).ok_or_else(not_http)?;
        let mut body = bytes[head.end()..].to_vec();
        if head.is_chunked() {
            let mut chunks = Chunks::default();
            body.clear();
            chunks.take(&bytes[head.end()..], |data| body.extend_from_slice(data));
            if !chunks.is_done() {
                return Err(NotComparable::Chunks);
            }
        } else if let Some(announced) = head.content_length().filter(|_| !head.has_no_body())
            && announced != body.len()
        {
            return Err(NotComparable::Length { announced, found: body.len() });
        }
        if let Some(expect) = expect.filter(|expect| *expect != body) {
            let at = expect.iter().zip(&body).take_while(|(one, other)| one == other).count();
            return Err(NotComparable::Unexpected { at, found: body.len(), expected: expect.len() });
        }
        let date = head.field("date").map_or(0..0, |range| head.start() + range.start..head.start() + range.end);
        let (body_len, status) = (body.len(), head.status());
        Ok(match compare {
            Compare::All => Self { bytes, compare, date, body_len, status },
            Compare::Body => Self { bytes: body, compare, date: 0..0, body_len, status },
        })
    }

    /// Whether a reply is complete by what it says itself, without the end of the connection.
    pub(crate) fn ends(bytes: &[u8]) -> bool {
        let Some(head) = Head::last_of(bytes) else { return false };
        let body = &bytes[head.end()..];
        if head.has_no_body() {
            return true;
        }
        if head.is_chunked() {
            return Chunks::default().end_in(body).is_some();
        }
        head.content_length().is_some_and(|len| body.len() >= len)
    }

    /// The bytes that are compared.
    pub(crate) const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The bytes of its body.
    pub(crate) const fn body_len(&self) -> usize {
        self.body_len
    }

    pub(crate) const fn status(&self) -> u16 {
        self.status
    }

    /// Which part of a reply is compared.
    pub(crate) const fn compare(&self) -> Compare {
        self.compare
    }

    /// The first of `bytes`, which begin at `offset`, that differs.
    pub(crate) fn difference(&self, offset: usize, bytes: &[u8]) -> Option<usize> {
        let expect = self.bytes.get(offset..).unwrap_or_default();
        let same = expect.len().min(bytes.len());
        if bytes.len() <= expect.len() && bytes == &expect[..same] {
            return None;
        }
        let differs = |at: &usize| bytes[*at] != expect[*at] && !self.date.contains(&(offset + at));
        let beyond = (bytes.len() > expect.len()).then_some(same);
        (0..same).find(differs).or(beyond).map(|at| offset + at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPLY: &[u8] = b"HTTP/1.1 200 OK\r\nDate: Mon, 01\r\nContent-Length: 5\r\n\r\nhello";

    #[test]
    fn every_byte_counts_but_those_of_the_date() {
        let expected = Expected::new(REPLY.to_vec(), None, Compare::All).unwrap();
        assert_eq!((expected.len(), expected.body_len(), expected.status()), (REPLY.len(), 5, 200));
        assert_eq!(expected.difference(0, REPLY), None);
        for at in 0..REPLY.len() {
            let mut other = REPLY.to_vec();
            other[at] ^= 1;
            let is_date = (22..30).contains(&at);
            assert_eq!(expected.difference(0, &other), (!is_date).then_some(at));
            assert_eq!(expected.difference(20, &other[20..]), (!is_date && at >= 20).then_some(at));
        }
        assert_eq!(expected.difference(REPLY.len() - 2, b"lo!"), Some(REPLY.len()));
        assert_eq!(expected.difference(REPLY.len() + 9, b"!"), Some(REPLY.len() + 9));
    }

    #[test]
    fn what_is_no_whole_reply_is_no_reference() {
        let error =
            |bytes: &[u8], expect| Expected::new(bytes.to_vec(), expect, Compare::Body).unwrap_err().to_string();
        assert!(error(b"SSH-2.0-OpenSSH_9.2\r\n\r\n", None).contains("SSH-2.0"));
        assert!(error(b"HTTP/1.1 200 OK\r\n", None).contains("does not begin"));
        assert_eq!(error(&REPLY[..REPLY.len() - 1], None), "the reply says that its body has 5 bytes, and has 4");
        assert!(error(REPLY, Some(b"help")).contains("at byte 3: 5 bytes came, the file has 4"));
        assert!(Expected::new(REPLY.to_vec(), Some(b"hello"), Compare::Body).is_ok());
        let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
        assert!(Expected::new(chunked.to_vec(), Some(b"hello"), Compare::Body).is_ok());
        assert!(error(&chunked[..chunked.len() - 2], None).contains("has no end"));
    }

    #[test]
    fn the_date_is_found_behind_replies_of_1xx_and_fields_that_are_not_utf_8() {
        let reply = b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nX: K\xf6ln\r\nDate: Mon, 01\r\n\r\nhello";
        let expected = Expected::new(reply.to_vec(), None, Compare::All).unwrap();
        assert_eq!((expected.status(), expected.body_len()), (200, 5));
        let mut other = reply.to_vec();
        let at = reply.windows(2).position(|pair| pair == b"01").unwrap();
        other[at] = b'9';
        assert_eq!(expected.difference(0, &other), None);
        assert_eq!(Expected::new(other, None, Compare::Body).unwrap().len(), 5);
    }
}
