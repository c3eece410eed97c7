//! The reply that every connection must get: the first one, or what `--expect` says.

use std::ops::Range;

/// The longest reply that is kept to compare others with.
pub(crate) const REPLY_MAX: usize = 256 << 20;

/// A reply, byte by byte.
#[derive(Clone, Debug)]
pub(crate) struct Reference {
    bytes: Vec<u8>,
    /// The value of the field `Date`, which changes from second to second. Empty where there is none.
    date: Range<usize>,
    body: usize,
    status: u16,
}

/// A reply that nothing can be compared with.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NoReference {
    /// It is not HTTP.
    #[error("the reply does not begin as one of HTTP/1 does: {0:?}")]
    NotHttp(String),
    /// There is no end of it.
    #[error("the reply is longer than {REPLY_MAX} bytes")]
    TooLong,
    /// There is less of it than it says.
    #[error("the reply says that its body has {announced} bytes, and has {found}")]
    Length {
        /// By `Content-Length`.
        announced: usize,
        /// That came.
        found: usize,
    },
    /// It is not what was expected.
    #[error(
        "the body of the reply differs from the file given with --expect at byte {at}: {found} bytes came, the file has {expected}"
    )]
    Unexpected {
        /// The first byte that differs.
        at: usize,
        /// Bytes that came.
        found: usize,
        /// Bytes of the file.
        expected: usize,
    },
}

impl Reference {
    /// Takes a whole reply for the reference, if it is one of HTTP, is whole, and its body is as expected.
    pub(crate) fn new(bytes: Vec<u8>, expect: Option<&[u8]>) -> Result<Self, NoReference> {
        let not_http = || NoReference::NotHttp(String::from_utf8_lossy(&bytes[..bytes.len().min(40)]).into_owned());
        let body = bytes.windows(4).position(|end| end == b"\r\n\r\n").ok_or_else(not_http)? + 4;
        let head = std::str::from_utf8(&bytes[..body]).map_err(|_| not_http())?;
        let status = head.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)?.parse().ok()).ok_or_else(not_http)?;
        let field = |name| field(head, name);
        let announced = field("content-length").and_then(|range| head[range].trim().parse().ok());
        let found = bytes.len() - body;
        if let Some(announced) = announced.filter(|&announced| announced != found) {
            return Err(NoReference::Length { announced, found });
        }
        let date = field("date").unwrap_or(0..0);
        if let Some(expect) = expect.filter(|expect| *expect != &bytes[body..]) {
            let at = expect.iter().zip(&bytes[body..]).take_while(|(one, other)| one == other).count();
            return Err(NoReference::Unexpected { at, found, expected: expect.len() });
        }
        Ok(Self { bytes, date, body, status })
    }

    /// Bytes of the whole reply.
    pub(crate) const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Bytes of its body.
    pub(crate) const fn body_len(&self) -> usize {
        self.bytes.len() - self.body
    }

    pub(crate) const fn status(&self) -> u16 {
        self.status
    }

    /// The first of `bytes`, which stand at `offset`, that is wrong.
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

/// Where the value of a field stands in a head.
fn field(head: &str, name: &str) -> Option<Range<usize>> {
    let mut at = 0;
    for line in head.split_inclusive("\r\n") {
        if let Some((found, _)) = line.split_once(':')
            && found.eq_ignore_ascii_case(name)
        {
            return Some(at + name.len() + 1..at + line.trim_end().len());
        }
        at += line.len();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPLY: &[u8] = b"HTTP/1.1 200 OK\r\nDate: Mon, 01\r\nContent-Length: 5\r\n\r\nhello";

    #[test]
    fn every_byte_counts_but_those_of_the_date() {
        let reference = Reference::new(REPLY.to_vec(), None).unwrap();
        assert_eq!((reference.len(), reference.body_len(), reference.status()), (REPLY.len(), 5, 200));
        assert_eq!(reference.difference(0, REPLY), None);
        for at in 0..REPLY.len() {
            let mut other = REPLY.to_vec();
            other[at] ^= 1;
            let is_date = (22..30).contains(&at);
            assert_eq!(reference.difference(0, &other), (!is_date).then_some(at));
            assert_eq!(reference.difference(20, &other[20..]), (!is_date && at >= 20).then_some(at));
        }
        assert_eq!(reference.difference(REPLY.len() - 2, b"lo!"), Some(REPLY.len()));
        assert_eq!(reference.difference(REPLY.len() + 9, b"!"), Some(REPLY.len() + 9));
    }

    #[test]
    fn what_is_no_whole_reply_is_no_reference() {
        let error = |bytes: &[u8], expect| Reference::new(bytes.to_vec(), expect).unwrap_err().to_string();
        assert!(error(b"SSH-2.0-OpenSSH_9.2\r\n\r\n", None).contains("SSH-2.0"));
        assert!(error(b"HTTP/1.1 200 OK\r\n", None).contains("does not begin"));
        assert_eq!(error(&REPLY[..REPLY.len() - 1], None), "the reply says that its body has 5 bytes, and has 4");
        assert!(error(REPLY, Some(b"help")).contains("at byte 3: 5 bytes came, the file has 4"));
        assert!(Reference::new(REPLY.to_vec(), Some(b"hello")).is_ok());
    }
}
