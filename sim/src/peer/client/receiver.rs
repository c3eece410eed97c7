//! The receiving half of a connection: the stream put together, and not a byte in it that changes.

use lethe::wire::seq::SeqNumber;

use crate::stream::{Inserted, Stream};

/// The longest stream that is read: a reply has a length of its own, this is for one that never ends.
const STREAM_MAX: usize = 64 << 20;

/// What the server has sent.
#[derive(Clone, Debug)]
pub(super) struct Receiver {
    /// Where the stream begins.
    start: SeqNumber,
    stream: Stream,
    /// The piece that came last, which is the first that a SACK option tells of.
    newest: Option<(usize, usize)>,
    /// What came although it had come before (RFC 2883).
    repeated: Option<(usize, usize)>,
    /// How long the stream is, once a FIN has told.
    fin: Option<usize>,
    /// The window, and the furthest that was ever allowed for.
    window: u16,
    allowed: usize,
}

/// What a segment was for the stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Arrival {
    /// It went on from where the stream was.
    InOrder,
    /// It did not: the peer had better hear of it at once.
    OutOfOrder,
}

impl Receiver {
    pub(super) fn new(isn: SeqNumber, window: u16) -> Self {
        Self {
            start: isn.advance(1),
            stream: Stream::default(),
            newest: None,
            repeated: None,
            fin: None,
            window,
            allowed: window.into(),
        }
    }

    /// The next sequence number that is expected, FIN included.
    pub(super) fn next(&self) -> SeqNumber {
        let fin = u32::from(self.is_complete());
        self.start.advance(self.contiguous() as u32 + fin)
    }

    /// Whether everything up to the FIN is there.
    pub(super) fn is_complete(&self) -> bool {
        self.fin == Some(self.contiguous())
    }

    /// The stream as far as it has no gap.
    pub(super) fn stream(&self) -> &[u8] {
        self.stream.contiguous()
    }

    fn contiguous(&self) -> usize {
        self.stream.contiguous().len()
    }

    /// Notes that an acknowledgement has gone out, and with it the window.
    pub(super) fn advertise(&mut self) {
        self.allowed = self.allowed.max(self.contiguous() + usize::from(self.window));
    }

    /// The blocks of a SACK option, the newest first (RFC 2018, section 4; RFC 2883, section 4).
    pub(super) fn sack_blocks(&mut self, max: usize) -> Vec<(u32, u32)> {
        let contiguous = self.contiguous();
        let newest = self.newest.filter(|&(from, _)| from > contiguous);
        let others =
            self.stream.pieces().iter().copied().filter(|&piece| piece.0 > contiguous && Some(piece) != newest);
        let blocks = self.repeated.take().into_iter().chain(newest).chain(others).take(max);
        let edge = |at: usize| self.start.advance(at as u32).value();
        blocks.map(|(from, to)| (edge(from), edge(to))).collect()
    }

    /// Takes what a segment holds.
    ///
    /// # Errors
    ///
    /// When no TCP may send that.
    pub(super) fn receive(&mut self, seq: SeqNumber, payload: &[u8], is_fin: bool) -> Result<Arrival, String> {
        // Data from before the stream can only be that of another connection: the caller has looked.
        let Some((at, payload)) = self.place(seq, payload) else { return Ok(Arrival::OutOfOrder) };
        let end = at + payload.len();
        if end > self.allowed {
            return Err(format!("{} bytes beyond the window that it was allowed", end - self.allowed));
        }
        if is_fin && end + 1 > self.allowed {
            return Err("a FIN beyond the window that it was allowed".to_owned());
        }
        self.check_fin(end, is_fin)?;
        let was_next = self.next();
        let inserted = self.stream.insert(at, payload).map_err(|changed| changed.to_string())?;
        if is_fin {
            self.fin = Some(end);
        }
        match inserted {
            Inserted::New(piece) => self.newest = Some(piece),
            Inserted::Repeated if !payload.is_empty() => self.repeated = Some((at, end)),
            Inserted::Repeated => {}
        }
        let has_gaps = self.stream.end() > self.contiguous();
        Ok(if self.next() != was_next && !has_gaps { Arrival::InOrder } else { Arrival::OutOfOrder })
    }

    /// Where it stands in the stream, without what stands before it (a keep-alive sends such a byte).
    fn place<'p>(&self, seq: SeqNumber, payload: &'p [u8]) -> Option<(usize, &'p [u8])> {
        if seq.before(self.start) {
            let before = self.start.distance_from(seq) as usize;
            return payload.get(before..).map(|payload| (0, payload));
        }
        Some((seq.distance_from(self.start) as usize, payload))
    }

    fn check_fin(&self, end: usize, is_fin: bool) -> Result<(), String> {
        let last = self.stream.end();
        match self.fin {
            Some(fin) if end > fin => Err(format!("{} bytes behind its FIN", end - fin)),
            Some(fin) if is_fin && end != fin => Err(format!("a FIN at {end}, and another at {fin} before")),
            None if is_fin && end < last => Err(format!("a FIN at {end}, and data up to {last} before")),
            _ if end > STREAM_MAX => Err("a stream that never ends".to_owned()),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ISN: SeqNumber = SeqNumber::new(u32::MAX - 2);

    fn receiver() -> Receiver {
        Receiver::new(ISN, 100)
    }

    fn at(offset: u32) -> SeqNumber {
        ISN.advance(1 + offset)
    }

    #[test]
    fn a_stream_is_put_together_from_pieces_in_any_order() {
        let mut receiver = receiver();
        assert_eq!(receiver.receive(at(6), b"world", true), Ok(Arrival::OutOfOrder));
        assert_eq!(receiver.sack_blocks(3), [(at(6).value(), at(11).value())]);
        assert_eq!(receiver.next(), at(0));
        assert_eq!(receiver.receive(at(0), b"hello", false), Ok(Arrival::OutOfOrder));
        assert_eq!(receiver.receive(at(3), b"lo wo", false), Ok(Arrival::InOrder));
        assert_eq!(receiver.stream(), b"hello world");
        assert!(receiver.is_complete());
        assert_eq!(receiver.next(), at(12));
        assert!(receiver.sack_blocks(3).is_empty());
        assert_eq!(receiver.receive(at(0), b"hel", false), Ok(Arrival::OutOfOrder));
        assert_eq!(receiver.sack_blocks(3), [(at(0).value(), at(3).value())], "a repeated piece is told");
    }

    #[test]
    fn what_no_tcp_may_send_is_an_error() {
        let error = |seq: u32, payload: &[u8], fin: bool| {
            let mut receiver = receiver();
            receiver.receive(at(0), b"0123456789", false).unwrap();
            receiver.receive(at(20), b"0123456789", true).unwrap();
            receiver.receive(at(seq), payload, fin).unwrap_err()
        };
        assert_eq!(error(5, b"56X8", false), "byte 7 of the stream, now another than before");
        assert_eq!(error(25, b"56789Z", false), "1 bytes behind its FIN");
        assert_eq!(error(10, b"ab", true), "a FIN at 12, and another at 30 before");
        assert_eq!(error(95, b"0123456789", false), "5 bytes beyond the window that it was allowed");
        let mut tight = Receiver::new(ISN, 4);
        assert!(tight.receive(at(0), b"0123", true).unwrap_err().starts_with("a FIN beyond"));
    }
}
