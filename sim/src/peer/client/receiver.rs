//! The receiving half of a connection: the stream put together, and not a byte in it that changes.

use lethe::time::Instant;
use lethe::wire::seq::SeqNumber;

use super::normalized;
use super::reader::Reader;
use crate::stream::{Inserted, Stream};

/// The longest stream that is read: a reply has a length of its own, this is for one that never ends.
const STREAM_MAX: usize = 64 << 20;

/// SACK blocks that are remembered (`TCP_NUM_SACKS`): as many as ever fit.
const BLOCKS_MAX: usize = 4;

/// What the server has sent.
#[derive(Clone, Debug)]
pub(super) struct Receiver {
    /// Where the stream begins.
    start: SeqNumber,
    stream: Stream,
    /// The pieces behind a gap that came last, the newest first: what a SACK option tells of.
    recent: Vec<(usize, usize)>,
    /// What came although it had come before (RFC 2883). It may be from before the stream.
    repeated: Option<(SeqNumber, SeqNumber)>,
    /// How long the stream is, once a FIN has told.
    fin: Option<usize>,
    /// It came whole, in one segment.
    is_whole: bool,
    /// The furthest that was ever allowed for.
    allowed: usize,
    reader: Reader,
}

/// What a segment was for the stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Arrival {
    /// It went on from where the stream was.
    InOrder,
    /// It filled a gap, or part of one.
    Filling,
    /// It stands behind a gap.
    OutOfOrder,
    /// All of it was there already.
    Old,
}

impl Receiver {
    /// One whose application reads as `reader` does. The window that its SYN announced was `window`.
    pub(super) fn new(isn: SeqNumber, window: usize, reader: Reader) -> Self {
        Self {
            start: isn.advance(1),
            stream: Stream::default(),
            recent: Vec::new(),
            repeated: None,
            fin: None,
            is_whole: false,
            allowed: window,
            reader,
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

    /// Whether all of it has been read as well.
    pub(super) fn is_read(&self) -> bool {
        self.is_complete() && self.reader.position() == self.contiguous()
    }

    /// The stream as far as it has no gap.
    pub(super) fn stream(&self) -> &[u8] {
        self.stream.contiguous()
    }

    /// Whether something stands behind a gap.
    pub(super) fn has_gaps(&self) -> bool {
        self.stream.end() > self.contiguous()
    }

    fn contiguous(&self) -> usize {
        self.stream.contiguous().len()
    }

    /// Lets the application read until now.
    pub(super) fn read(&mut self, now: Instant) {
        self.reader.read(now, self.contiguous());
    }

    /// When the application will have read so much that something is to be done about it: to tell the
    /// server, or to close.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let end = self.contiguous();
        if self.is_complete() {
            return self.reader.when(end);
        }
        self.reader.when_window_opens(end, self.allowed)
    }

    /// Whether there is so much more room that the server had better be told.
    pub(super) fn has_opened(&self) -> bool {
        !self.is_complete() && self.reader.opens(self.contiguous(), self.allowed)
    }

    /// The window that is announced now. Its right edge never moves to the left.
    pub(super) fn advertise(&mut self) -> usize {
        self.allowed = self.reader.edge(self.contiguous(), self.allowed);
        self.window()
    }

    /// How many bytes from [`Receiver::next`] on may come.
    pub(super) fn window(&self) -> usize {
        self.allowed.saturating_sub(self.contiguous())
    }

    /// How many blocks there are for a SACK option.
    pub(super) fn sack_blocks_len(&self) -> usize {
        self.recent.len() + usize::from(self.repeated.is_some())
    }

    /// The blocks of a SACK option: what has been repeated, once, and then the newest first (RFC 2018,
    /// section 4; RFC 2883, section 4).
    pub(super) fn sack_blocks(&mut self, max: usize) -> Vec<(u32, u32)> {
        let repeated = self.repeated.take().map(|(from, to)| (from.value(), to.value()));
        let fin = self.fin;
        let edge = |at: usize| self.start.advance(at as u32).value();
        // A FIN behind a gap is part of its block.
        let end = |to: usize| edge(to + usize::from(fin == Some(to)));
        repeated.into_iter().chain(self.recent.iter().map(|&(from, to)| (edge(from), end(to)))).take(max).collect()
    }

    /// A segment came that is not taken. If it holds something, it is from before what is expected.
    pub(super) fn refuse(&mut self, seq: SeqNumber, end: SeqNumber) {
        let next = self.next();
        if end != seq && seq.before(next) {
            self.repeated = Some((seq, if end.after(next) { next } else { end }));
        }
    }

    /// Takes what a segment holds.
    ///
    /// # Errors
    ///
    /// When no TCP may send that.
    pub(super) fn receive(&mut self, seq: SeqNumber, payload: &[u8], is_fin: bool) -> Result<Arrival, String> {
        let (next, had_gaps) = (self.next(), self.has_gaps());
        let segment_end = seq.advance(payload.len() as u32 + u32::from(is_fin));
        if self.window() == 0 && seq == next && payload.len() <= 1 && !self.is_complete() {
            // It asks whether the window is still closed (RFC 9293, section 3.8.6.1).
            return Ok(Arrival::Old);
        }
        let Some((at, payload)) = self.place(seq, payload) else {
            self.refuse(seq, segment_end);
            return Ok(Arrival::Old);
        };
        let end = at + payload.len();
        let is_another = is_fin && at == 0 && self.fin != Some(end);
        if self.is_whole || is_another && !segment_end.after(next) {
            // One answer has been read to its end, or begun, and nothing of this one is behind it.
            self.refuse(seq, segment_end);
            return Ok(Arrival::Old);
        }
        // In answer to half a header section of a connection that was kept open.
        let is_alone = is_fin && payload.is_empty() && self.fin != Some(end);
        if is_alone && !segment_end.after(next) {
            // All of it has been answered since, and what lies there has been read.
            self.refuse(seq, segment_end);
            return Ok(Arrival::Old);
        }
        if is_another && self.contiguous() == 0 || is_alone && at == self.contiguous() && had_gaps {
            // What came out of order belongs to another answer, and lies behind the end of this one (`tcp_fin`).
            self.stream.truncate();
            self.recent.clear();
            self.fin = None;
            self.is_whole = true;
        }
        if end > self.allowed {
            return Err(format!("{} bytes beyond the window that it was allowed", end - self.allowed));
        }
        if is_fin && end + 1 > self.allowed {
            return Err("a FIN beyond the window that it was allowed".to_owned());
        }
        self.check_fin(end, is_fin)?;
        let overlap = self.stream.overlap(at, end);
        // The first segment to half a request says something else of the connection than that to all of it.
        let is_known = |known: &[u8]| normalized(known) == normalized(payload);
        let inserted = match self.stream.contiguous().get(..end).filter(|_| at == 0) {
            Some(known) if is_known(known) => Inserted::Repeated,
            _ => self.stream.insert(at, payload).map_err(|changed| changed.to_string())?,
        };
        if is_fin {
            self.fin = Some(end);
        }
        if !segment_end.after(next) {
            self.refuse(seq, segment_end);
            return Ok(Arrival::Old);
        }
        if seq.before(next) {
            self.repeated = Some((seq, next));
        } else if let Some((from, to)) = overlap {
            self.repeated = Some((self.start.advance(from as u32), self.start.advance(to as u32)));
        }
        self.rank(match inserted {
            Inserted::New(piece) => Some(piece),
            Inserted::Repeated => self.stream.pieces().iter().copied().find(|piece| piece.0 <= at && end <= piece.1),
        });
        Ok(match (self.next() != next, had_gaps) {
            (true, false) => Arrival::InOrder,
            (true, true) => Arrival::Filling,
            (false, _) => Arrival::OutOfOrder,
        })
    }

    /// Puts the piece that has grown first, and forgets those that are behind no gap any more.
    fn rank(&mut self, newest: Option<(usize, usize)>) {
        let contiguous = self.contiguous();
        let is_in = |block: &(usize, usize), piece: (usize, usize)| piece.0 <= block.0 && block.1 <= piece.1;
        self.recent.retain(|block| block.0 > contiguous && newest.is_none_or(|newest| !is_in(block, newest)));
        if let Some(newest) = newest.filter(|piece| piece.0 > contiguous && piece.0 < piece.1) {
            self.recent.insert(0, newest);
            self.recent.truncate(BLOCKS_MAX);
        }
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
        Receiver::new(ISN, 100, Reader::new(100, 1460, None))
    }

    fn at(offset: u32) -> SeqNumber {
        ISN.advance(1 + offset)
    }

    #[test]
    fn a_stream_is_put_together_from_pieces_in_any_order() {
        let mut receiver = receiver();
        assert_eq!(receiver.receive(at(6), b"world", true), Ok(Arrival::OutOfOrder));
        assert_eq!(receiver.sack_blocks(3), [(at(6).value(), at(12).value())], "with its FIN");
        assert_eq!(receiver.next(), at(0));
        assert_eq!(receiver.receive(at(0), b"hello", false), Ok(Arrival::Filling));
        assert_eq!(receiver.receive(at(3), b"lo wo", false), Ok(Arrival::Filling));
        assert_eq!(receiver.stream(), b"hello world");
        assert!(receiver.is_complete());
        assert_eq!(receiver.next(), at(12));
        assert_eq!(receiver.sack_blocks(3), [(at(3).value(), at(5).value())], "what was there of the last");
        assert!(receiver.sack_blocks(3).is_empty());
        assert_eq!(receiver.receive(at(0), b"hel", false), Ok(Arrival::Old));
        assert_eq!(receiver.sack_blocks(3), [(at(0).value(), at(3).value())], "a repeated piece is told");
    }

    /// The blocks of the next SACK option, as places in the stream.
    fn blocks(receiver: &mut Receiver) -> Vec<(u32, u32)> {
        let place = |number| SeqNumber::new(number).distance_from(at(0));
        receiver.sack_blocks(4).into_iter().map(|(from, to)| (place(from), place(to))).collect()
    }

    #[test]
    fn sack_blocks_are_told_the_newest_first_and_at_most_four_are_remembered() {
        let mut receiver = receiver();
        for place in [10, 20, 30, 40, 50] {
            assert_eq!(receiver.receive(at(place), b"xx", false), Ok(Arrival::OutOfOrder));
        }
        assert_eq!(blocks(&mut receiver), [(50, 52), (40, 42), (30, 32), (20, 22)]);
        receiver.receive(at(22), b"xx", false).unwrap();
        assert_eq!(blocks(&mut receiver), [(20, 24), (50, 52), (40, 42), (30, 32)]);
        receiver.receive(at(0), &[b'x'; 41], false).unwrap();
        assert_eq!(blocks(&mut receiver), [(10, 12), (50, 52)], "first what came twice");
        assert_eq!(blocks(&mut receiver), [(50, 52)]);
    }

    #[test]
    fn a_fin_alone_where_data_has_been_read_is_old() {
        let mut receiver = receiver();
        assert_eq!(receiver.receive(at(0), b"response", false), Ok(Arrival::InOrder));
        assert_eq!(receiver.receive(at(4), b"", true), Ok(Arrival::Old));
        assert_eq!(receiver.receive(at(8), b"next", false), Ok(Arrival::InOrder));
        assert!(!receiver.is_complete());
        assert!(receiver.receive(at(4), b"resp", true).is_err(), "with data, it says another end");
    }

    #[test]
    fn what_comes_twice_is_told_first_wherever_it_stands() {
        let mut receiver = receiver();
        receiver.receive(at(0), b"0123456789", false).unwrap();
        receiver.receive(at(20), b"0123456789", false).unwrap();
        assert_eq!(blocks(&mut receiver), [(20, 30)]);
        // Behind the gap: the block that it is in follows (RFC 2883, section 4).
        assert_eq!(receiver.receive(at(22), b"23", false), Ok(Arrival::OutOfOrder));
        assert_eq!(blocks(&mut receiver), [(22, 24), (20, 30)]);
        assert_eq!(receiver.receive(at(28), b"89ab", false), Ok(Arrival::OutOfOrder));
        assert_eq!(blocks(&mut receiver), [(28, 30), (20, 32)]);
        // Before it, in part and as a whole.
        assert_eq!(receiver.receive(at(8), b"89a", false), Ok(Arrival::Filling));
        assert_eq!(blocks(&mut receiver), [(8, 10), (20, 32)]);
        assert_eq!(receiver.receive(at(2), b"234", false), Ok(Arrival::Old));
        assert_eq!(blocks(&mut receiver), [(2, 5), (20, 32)]);
        // Far before the stream began.
        assert_eq!(receiver.receive(at(0).rewind(1 << 30), b"x", false), Ok(Arrival::Old));
        assert_eq!(receiver.sack_blocks(1), [(at(0).rewind(1 << 30).value(), at(1).rewind(1 << 30).value())]);
        assert_eq!(blocks(&mut receiver), [(20, 32)]);
    }

    #[test]
    fn a_reader_that_is_slow_closes_the_window_and_opens_it_again() {
        let now = |millis: u64| Instant::from_unix_nanos(millis * 1_000_000);
        let mut receiver = Receiver::new(ISN, 100, Reader::new(100, 20, Some(1000)));
        receiver.read(now(0));
        receiver.receive(at(0), &[b'x'; 60], false).unwrap();
        receiver.read(now(0));
        assert_eq!(receiver.advertise(), 40);
        receiver.read(now(10));
        assert_eq!(receiver.advertise(), 40, "10 bytes more are too few to tell of");
        receiver.receive(at(60), &[b'x'; 40], false).unwrap();
        assert_eq!(receiver.advertise(), 0);
        assert_eq!(receiver.receive(at(100), b"x", false), Ok(Arrival::Old), "a question");
        assert_eq!(receiver.deadline(), Some(now(20)));
        assert!(!receiver.has_opened());
        receiver.read(now(20));
        assert!(receiver.has_opened());
        assert_eq!(receiver.advertise(), 20);
        receiver.receive(at(100), b"x", true).unwrap();
        assert!(receiver.is_complete() && !receiver.is_read());
        assert_eq!(receiver.deadline(), Some(now(101)));
        receiver.read(now(101));
        assert!(receiver.is_read());
    }

    #[test]
    fn an_answer_of_one_segment_takes_the_place_of_another_of_which_the_beginning_has_not_come() {
        let mut receiver = receiver();
        receiver.receive(at(20), b"0123456789", true).unwrap();
        assert_eq!(receiver.receive(at(0), b"whole", true), Ok(Arrival::Filling));
        assert!(receiver.is_complete() && receiver.contiguous() == 5);
        assert_eq!(receiver.receive(at(0), b"0123456789", false), Ok(Arrival::Old));
        assert_eq!(receiver.receive(at(0), b"whole", true), Ok(Arrival::Old));
    }

    #[test]
    fn an_answer_of_one_segment_that_comes_late_is_old_unless_it_reaches_beyond_what_has_come() {
        let mut receiver = receiver();
        receiver.receive(at(0), b"0123456789", false).unwrap();
        assert_eq!(receiver.receive(at(0), b"whole", true), Ok(Arrival::Old));
        assert_eq!(receiver.receive(at(0), b"012345678", true), Ok(Arrival::Old));
        assert!(receiver.receive(at(0), b"another one", true).is_err());
    }

    #[test]
    fn a_first_segment_that_says_something_else_of_the_connection_is_old() {
        let first = |field: &str| format!("HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n{field}\r\n\r\nbody");
        let mut receiver = receiver();
        receiver.receive(at(0), first("Server: Lethe/0.1").as_bytes(), false).unwrap();
        assert_eq!(receiver.receive(at(0), first("Connection: close").as_bytes(), false), Ok(Arrival::Old));
        assert!(receiver.receive(at(0), first("Content-Type: no ").as_bytes(), false).is_err());
    }

    #[test]
    fn a_fin_alone_takes_the_place_of_an_answer_of_which_the_beginning_has_not_come() {
        let mut receiver = receiver();
        receiver.receive(at(0), b"before", false).unwrap();
        receiver.receive(at(20), b"0123456789", true).unwrap();
        assert_eq!(receiver.receive(at(6), b"", true), Ok(Arrival::Filling));
        assert!(receiver.is_complete() && receiver.stream() == b"before");
        assert_eq!(receiver.receive(at(6), b"0123456789", false), Ok(Arrival::Old));
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
        let mut tight = Receiver::new(ISN, 4, Reader::new(4, 1460, None));
        assert!(tight.receive(at(0), b"0123", true).unwrap_err().starts_with("a FIN beyond"));
    }
}
