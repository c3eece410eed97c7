//! The responses in a reply, as counters and logs have them.

use crate::verdict::Answered;

/// Bytes of an [`Answered`] in a list.
pub(crate) const ANSWERED_LEN: usize = 4;

/// The responses in a reply, in the order of their requests: [`Reply::answers`](super::Reply::answers).
#[derive(Clone, Debug)]
pub struct Answers<'a> {
    /// The only one,
    pub(super) only: Option<Answered>,
    /// or those to several requests of a packet.
    pub(super) list: &'a [[u8; ANSWERED_LEN]],
}

impl Iterator for Answers<'_> {
    type Item = Answered;

    #[inline]
    fn next(&mut self) -> Option<Answered> {
        self.only.take().or_else(|| {
            let (first, rest) = self.list.split_first()?;
            self.list = rest;
            Some(Answered::unpack(*first))
        })
    }
}

impl Answered {
    /// A response with this head, and so many bytes of body.
    #[inline]
    pub(crate) fn of(head: &[u8], body_len: usize) -> Self {
        let digits = head.get("HTTP/1.1 ".len()..).and_then(<[u8]>::first_chunk::<3>);
        let number = |digits: &[u8; 3]| digits.iter().fold(0, |sum, digit| 10 * sum + u16::from(digit & 0xf));
        Self { status: digits.map_or(0, number), body_len: body_len as u32 }
    }

    /// As a member of a list: of a response in one packet.
    pub(crate) const fn pack(self) -> [u8; ANSWERED_LEN] {
        let ([s0, s1], [l0, l1]) = (self.status.to_be_bytes(), (self.body_len as u16).to_be_bytes());
        [s0, s1, l0, l1]
    }

    const fn unpack([s0, s1, l0, l1]: [u8; ANSWERED_LEN]) -> Self {
        Self { status: u16::from_be_bytes([s0, s1]), body_len: u16::from_be_bytes([l0, l1]) as u32 }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;

    #[test]
    fn a_status_is_the_three_digits_of_the_status_line() {
        for (head, status) in [
            (&b"HTTP/1.1 200 OK\r\n"[..], 200),
            (b"HTTP/1.1 503", 503),
            (b"HTTP/1.1 50", 0),
            (b"HTTP/1.1 ", 0),
            (b"", 0),
        ] {
            assert_eq!(Answered::of(head, 7), Answered { status, body_len: 7 }, "{}", head.escape_ascii());
        }
    }

    #[test]
    fn a_list_is_read_as_it_was_written() {
        let all = [Answered { status: 200, body_len: 65_535 }, Answered { status: 599, body_len: 0 }];
        let list = all.map(Answered::pack);
        assert_eq!(Answers { only: None, list: &list }.collect::<std::vec::Vec<_>>(), all);
    }
}
