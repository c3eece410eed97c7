//! Replies that are finished beforehand: head, body, and the sum over both.

use lethe::app::Position;
use lethe::http::{Response, Status};
use lethe::wire::checksum::Sum;

/// The longest response that every client takes in one packet: the least MSS of IPv4 with timestamps is 524 bytes. A
/// longer one has a position, so that it can be sent by its client's ACKs.
const ONE_PACKET: usize = 500;

/// Names a reply.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct ReplyId(u32);

#[derive(Debug)]
struct Reply {
    head: Box<[u8]>,
    body: Box<[u8]>,
    sum: u16,
    position: Option<Position>,
}

impl Reply {
    fn response(&self) -> Response<'_> {
        let response = Response::prepared(&self.head, &self.body).with_sum(self.sum);
        self.position.map_or(response, |position| response.stored_at(position))
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Replies {
    all: Vec<Reply>,
    /// Those that have a position, in the order of these.
    stored: Vec<(Position, u32)>,
    /// The first position that is free.
    next: u32,
}

/// Whether a response with this status has a body (RFC 9110, section 6.4.1).
pub(super) const fn has_content(status: Status) -> bool {
    !matches!(status, Status::NoContent | Status::ResetContent | Status::NotModified)
}

/// A head up to its fields, which are lines; what follows them is the end of a head.
pub(super) fn head(status: Status, fields: &str) -> String {
    format!("{}\r\n{fields}", status.line())
}

/// The end of the head of a response with a body of this length, which a 204 does not name (RFC 9110, section 8.6).
pub(super) fn head_end(status: Status, len: usize) -> String {
    let length = if status == Status::NoContent { String::new() } else { format!("Content-Length: {len}\r\n") };
    format!("{length}Connection: close\r\n\r\n")
}

impl Replies {
    /// None yet, and those that will be stored have positions from this one on.
    pub(super) fn from_position(next: u32) -> Self {
        Self { next, ..Self::default() }
    }

    /// Adds a reply. `None` when there is no position left for it.
    pub(super) fn add(&mut self, status: Status, fields: &str, body: Vec<u8>) -> Option<ReplyId> {
        let head: Box<[u8]> = (head(status, fields) + &head_end(status, body.len())).into_bytes().into();
        let len = head.len() + body.len();
        let id = u32::try_from(self.all.len()).ok()?;
        let position = if len > ONE_PACKET {
            let (first, end) = Position::reserve(self.next, len as u64)?;
            let position = Position::new(first)?;
            self.next = end;
            self.stored.push((position, id));
            Some(position)
        } else {
            None
        };
        let sum = Sum::new().with(&head).with(&body).folded();
        self.all.push(Reply { head, body: body.into(), sum, position });
        Some(ReplyId(id))
    }

    pub(super) fn get(&self, id: ReplyId) -> Response<'_> {
        self.all[id.0 as usize].response()
    }

    /// The one that covers a position.
    pub(super) fn at(&self, position: Position) -> Option<Response<'_>> {
        let behind = self.stored.partition_point(|&(first, _)| first <= position);
        let &(first, id) = self.stored.get(behind.checked_sub(1)?)?;
        let response = self.get(ReplyId(id));
        let is_covered = ((position.value() - first.value()) as usize) < Position::units(response.len());
        is_covered.then_some(response)
    }

    /// Whether one has a position.
    pub(super) const fn are_stored(&self) -> bool {
        !self.stored.is_empty()
    }

    /// The first position behind them.
    pub(super) const fn end(&self) -> u32 {
        self.next
    }

    /// How many there are, and their bytes.
    pub(super) fn size(&self) -> (usize, u64) {
        (self.all.len(), self.all.iter().map(|reply| reply.response().len() as u64).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_whole_and_its_sum_is_known() {
        let mut replies = Replies::default();
        let id = replies.add(Status::Ok, "A: b\r\n", b"hello".to_vec()).unwrap();
        let response = replies.get(id);
        assert_eq!(response.head(), b"HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 5\r\nConnection: close\r\n\r\n");
        assert_eq!(response.body(), b"hello");
        let bytes = [response.head(), response.body()].concat();
        assert_eq!(response.known_sum(), Some(Sum::new().with(&bytes).folded()));
        assert_eq!(response.position(), None);
        let empty = replies.add(Status::NoContent, "", Vec::new()).unwrap();
        assert_eq!(replies.get(empty).head(), b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
        assert!(!replies.are_stored());
        assert_eq!(replies.size(), (2, bytes.len() as u64 + 46));
    }

    #[test]
    fn a_reply_longer_than_a_packet_is_found_at_every_position_that_it_covers_and_at_no_other() {
        let mut replies = Replies::default();
        let mut covered = 0;
        for len in [0, 300, 500, 200_000, 511, 10, 10_000] {
            let id = replies.add(Status::Ok, "", vec![b'x'; len]).unwrap();
            let response = replies.get(id);
            assert_eq!(response.position().is_some(), response.len() > ONE_PACKET, "{len}");
            let Some(position) = response.position() else { continue };
            let first = position.value();
            assert!(first >= covered, "no two share a position");
            covered = first + u32::try_from(Position::units(response.len())).unwrap();
            for position in (first..covered).filter_map(Position::new) {
                assert_eq!(replies.at(position), Some(response));
            }
        }
        assert!(replies.are_stored());
        assert_eq!(replies.at(Position::new(covered).unwrap()), None);
        assert_eq!(Replies::default().at(Position::new(0).unwrap()), None);
    }

    #[test]
    fn positions_end_with_those_of_a_version() {
        let mut replies = Replies { next: Position::PER_VERSION - 2, ..Replies::default() };
        assert_eq!(replies.add(Status::Ok, "", vec![0; 1100]), None);
        assert!(replies.add(Status::Ok, "", vec![0; 100]).is_some());
    }
}
