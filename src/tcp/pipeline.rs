//! Several requests in one packet (RFC 9112, section 9.3.2), answered together.

use super::layout::HEAD_END;
use crate::http::{Framing, Methods, Persistence, RequestLine, Response};
use crate::reply::{ANSWERED_LEN, HeadEnd};
use crate::verdict::Answered;

/// Fewer bytes behind a request are no complete request: the shortest is `GET / HTTP/1.0` and two line ends.
pub(super) const NEXT_MIN: usize = 16;

/// The most requests of a packet that are answered together.
const TOGETHER_MAX: usize = 255;

/// The responses to the first requests of a packet, in the scratch buffer: a list of them, and then one behind the
/// other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Gathered {
    /// Bytes of the responses.
    pub len: usize,
    /// How many there are.
    pub count: usize,
    /// Bytes of the packet behind the last request that is answered. These come again.
    pub behind: usize,
}

impl Gathered {
    /// Has the response to each request of a packet written, as far as they fit `room` bytes. `write` is given the
    /// request, the scratch buffer of the application, and the room that is left; it returns the length, or `None` if
    /// there is no response in one segment behind which the connection stays open. `None` if the first one is not such:
    /// it is answered as if it were alone.
    ///
    /// Each response has the bytes that it has where its request comes alone, and begins where the one before ends. So
    /// a client that sends the requests again, in other packets, reads the same.
    pub(super) fn gather(
        methods: Methods,
        payload: &[u8],
        room: usize,
        scratch: &mut [u8],
        write: impl Fn(&RequestLine<'_>, Persistence, &mut [u8], &mut [u8]) -> Option<(usize, Answered)>,
    ) -> Option<Self> {
        let (list, scratch) = scratch.split_at_mut_checked(TOGETHER_MAX * ANSWERED_LEN)?;
        let (out, scratch) = scratch.split_at_mut_checked(room)?;
        let mut gathered = Self { len: 0, count: 0, behind: payload.len() };
        let mut rest = payload;
        while rest.len() >= NEXT_MIN
            && let Some(place) = list.as_chunks_mut().0.get_mut(gathered.count)
            && let Ok(line) = RequestLine::parse_for(methods, rest)
            && let Framing::Complete { behind, persistence } = line.framing()
            && let Some((len, answered)) = write(&line, persistence, scratch, out.get_mut(gathered.len..)?)
        {
            *place = answered.pack();
            gathered = Self { len: gathered.len + len, count: gathered.count + 1, behind };
            rest = rest.get(rest.len().checked_sub(behind)?..)?;
        }
        (gathered.len > 0).then_some(gathered)
    }

    /// The list of the responses, and their bytes, out of the scratch buffer.
    pub(super) fn read(self, scratch: &[u8]) -> Option<(&[[u8; ANSWERED_LEN]], &[u8])> {
        let (list, out) = scratch.split_at_checked(TOGETHER_MAX * ANSWERED_LEN)?;
        Some((list.as_chunks().0.get(..self.count)?, out.get(..self.len)?))
    }
}

/// Writes a response that leaves the connection open, and returns its length. `None` if it closes the connection, or
/// there is too little room.
pub(super) fn write_open(
    response: Response<'_>,
    persistence: Persistence,
    out: &mut [u8],
) -> Option<(usize, Answered)> {
    let head_end = HeadEnd::of(persistence)?;
    let head = response.head().strip_suffix(HEAD_END)?;
    let mut len = 0;
    for part in [head, head_end.bytes(), response.body()] {
        let end = len + part.len();
        out.get_mut(len..end)?.copy_from_slice(part);
        len = end;
    }
    Some((len, Answered::of(head, response.body().len())))
}
