//! A byte at (connection, sequence number) never changes.
//!
//! A request may come again in a longer or shorter segment, and must be answered alike, but for one thing: where the
//! header section is not complete, the answer may be another one, if it is a packet that cannot be mixed with segments
//! of the other: a whole response, shorter than such a segment. A request that says something else is another request:
//! where a network changes packets and mends their checksums, that happens.
//!
//! On a connection that stays open each request has a stream of its own, which does not reach into the next. What a
//! response says of its connection (`Connection: close`, or `Server` in the same bytes) may be another thing for half
//! the header section and for all of it, and for an echo that an attacker has changed; to two segments that have both
//! alike it is the same. With a FIN, which answers half a header section, a response may have another length than
//! without. A packet with several requests may be delayed until each of them has been answered alone: the responses to
//! them, in one segment, are those that were given before.

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;

use lethe::wire::seq::SeqNumber;
use lethe::wire::tcp::Flags;

use super::{
    Checker, Exchange, are_responses, beginnings, each_segment, end_of_request, holds_responses, is_probe,
    may_be_asked_from, requests_in,
};
use crate::dissect::Tcp;
use crate::peer::client::{Framed, normalized};
use crate::stream::Stream;

/// Connections that are remembered: some hundred are under way at a time.
const CONNECTIONS_MAX: usize = 1024;

/// Bytes of all of them together: with more, the oldest connections are forgotten.
const BYTES_MAX: usize = 256 << 20;

/// A place that no reply reaches, and no request: such a segment belongs to a connection that has been forgotten.
const PLACE_MAX: usize = 64 << 20;

/// Remembers what has been sent, from each SYN+ACK on.
#[derive(Clone, Debug, Default)]
pub struct Stability {
    connections: HashMap<(SocketAddr, SocketAddr), Vec<Connection>>,
    /// The clients and servers in the order they were first heard of.
    order: VecDeque<(SocketAddr, SocketAddr)>,
    /// Bytes that are remembered.
    bytes: usize,
}

/// What has been sent to one client for one request: behind one SYN+ACK, or a response that left the connection open.
#[derive(Clone, Debug)]
struct Connection {
    start: SeqNumber,
    /// Whether there was a response before, on the same connection.
    is_later: bool,
    /// Where the request begins.
    asks_at: SeqNumber,
    /// The longest segment that it came in; empty if none has come.
    request: Vec<u8>,
    stream: Stream,
    fin: Option<usize>,
    /// Bytes of the longest segment of a response in several,
    segment: usize,
    /// and a request that drew its beginning.
    drew_segments: Vec<u8>,
    /// Responses in one packet, each with the request that drew it.
    whole: Vec<(Vec<u8>, Vec<u8>)>,
    /// Beginnings of requests with their echoes, and whether the response said that its connection is closed.
    said: Vec<(Vec<u8>, Option<u32>, bool)>,
}

/// The first segment of a response, as it stands where the connection ends with it: the first long one of a connection
/// that stays open has the same length, and to half a header section it is closed.
fn closing(payload: &[u8]) -> Cow<'_, [u8]> {
    const OPEN: &[u8] = b"\r\nServer: Lethe/0.1\r\n\r\n";
    const CLOSED: &[u8] = b"\r\nConnection: close\r\n\r\n";
    match payload.windows(4).position(|end| end == b"\r\n\r\n").map(|at| at + 4) {
        Some(end) if payload[..end].ends_with(OPEN) => {
            let head = &payload[..end - OPEN.len()];
            Cow::Owned([head, CLOSED, &payload[end..]].concat())
        }
        _ => Cow::Borrowed(payload),
    }
}

/// Responses in one packet that are remembered of a connection: a request is cut in fewer ways.
const WHOLE_MAX: usize = 64;

/// Requests and SYN+ACKs of one client and port: a SYN that is repeated gives another cookie each epoch, and a
/// connection that stays open has many requests, of which none but the last few come again.
const OF_ONE_CLIENT_MAX: usize = 16;

impl Stability {
    fn open(&mut self, ends: (SocketAddr, SocketAddr), start: SeqNumber, asks_at: SeqNumber) {
        if !self.connections.contains_key(&ends) {
            if self.order.len() == CONNECTIONS_MAX {
                self.forget_oldest();
            }
            self.order.push_back(ends);
        }
        let connections = self.connections.entry(ends).or_default();
        if connections.iter().all(|connection| (connection.start, connection.asks_at) != (start, asks_at)) {
            self.bytes -= push(connections, Connection::new(start, asks_at, false));
        }
    }

    fn forget_oldest(&mut self) {
        let oldest = self.order.pop_front().and_then(|oldest| self.connections.remove(&oldest));
        self.bytes -= oldest.unwrap_or_default().iter().map(|connection| connection.stream.end()).sum::<usize>();
    }

    fn send(&mut self, ends: (SocketAddr, SocketAddr), received: &Tcp<'_>, sent: &Tcp<'_>) -> Result<(), String> {
        let Some((start, asks_at)) = self.find(ends, received, sent) else { return Ok(()) };
        let Some(connections) = self.connections.get_mut(&ends) else { return Ok(()) };
        let at = sent.seq.distance_from(start) as usize;
        if at > PLACE_MAX {
            return Ok(());
        }
        let is_known = |connection: &&Connection| connection.start == start;
        let next = connections.iter().filter(|next| next.is_later).map(|next| next.start.distance_from(start) as usize);
        let next = next.filter(|next| (1..=PLACE_MAX).contains(next)).min();
        // One with a FIN may be the answer to half a request that comes late.
        if next.is_some_and(|next| at + sent.payload.len() > next)
            && !sent.flags.has(Flags::FIN)
            && connections.iter().filter(is_known).count() == 1
        {
            return Err("a response reaches into the next one on its connection".to_owned());
        }
        // Anything but the beginning of the request may belong to any that began there.
        let request = beginnings(received).into_iter().find(|(place, _)| *place == asks_at);
        let request = request.map(|(_, request)| request).unwrap_or_default();
        let is_it = |connection: &Connection| connection.start == start && connection.is_for(&request);
        if !connections.iter().any(is_it) {
            self.bytes -= push(connections, Connection::new(start, asks_at, false));
        }
        let asked = Asked { request: &request, echo: received.timestamps.map(|(_, echo)| echo) };
        let mut result = Ok(());
        for connection in connections.iter_mut().filter(|connection| is_it(connection)) {
            let before = connection.stream.end();
            result = connection.take(asked, at, sent, holds_responses(received, sent));
            self.bytes += connection.stream.end() - before;
            if result.is_ok() {
                break;
            }
        }
        while self.bytes > BYTES_MAX {
            self.forget_oldest();
        }
        result
    }

    /// Where the response begins that a segment belongs to, and its request: the nearest that is known, of several
    /// handshakes as well as of several requests on a connection, unless another one begins here.
    fn find(
        &mut self,
        ends: (SocketAddr, SocketAddr),
        received: &Tcp<'_>,
        sent: &Tcp<'_>,
    ) -> Option<(SeqNumber, SeqNumber)> {
        let connections = self.connections.get_mut(&ends)?;
        let place = |connection: &Connection| sent.seq.distance_from(connection.start) as usize;
        let is_near = |connection: &&Connection| may_be_asked_from(received, connection.asks_at);
        let nearest = connections.iter().filter(is_near).min_by_key(|connection| place(connection))?;
        let found = (nearest.start, nearest.asks_at);
        let begins = sent.seq == received.ack && sent.payload.starts_with(b"HTTP/1.1 ");
        if !begins || place(nearest) == 0 || place(nearest) > PLACE_MAX {
            return Some(found);
        }
        let beginnings = beginnings(received);
        let is_asked = |(place, _): &&(SeqNumber, _)| place.before(sent.ack);
        let (asks_at, _) = beginnings.iter().rfind(is_asked).or(beginnings.first())?;
        self.bytes -= push(connections, Connection::new(sent.seq, *asks_at, true));
        Some((sent.seq, *asks_at))
    }
}

/// What drew a segment.
#[derive(Clone, Copy)]
struct Asked<'a> {
    /// The segment with the beginning of the request; empty if it was another one.
    request: &'a [u8],
    /// What its client echoed.
    echo: Option<u32>,
}

impl Connection {
    fn new(start: SeqNumber, asks_at: SeqNumber, is_later: bool) -> Self {
        Self {
            start,
            asks_at,
            is_later,
            request: Vec::new(),
            stream: Stream::default(),
            fin: None,
            segment: 0,
            drew_segments: Vec::new(),
            whole: Vec::new(),
            said: Vec::new(),
        }
    }

    /// Takes a segment that answers this request, if it says what was said before.
    fn take(&mut self, asked: Asked<'_>, at: usize, sent: &Tcp<'_>, is_complete: bool) -> Result<(), String> {
        let request = asked.request;
        let (end, is_fin) = (at + sent.payload.len(), sent.flags.has(Flags::FIN));
        let is_whole = at == 0 && (is_fin || is_complete);
        if at == 0 && !request.is_empty() {
            self.check_connection_field(asked, sent.payload)?;
        }
        if is_whole {
            self.take_whole(request, &normalized(sent.payload))?;
        } else {
            self.segment = self.segment.max(sent.payload.len());
            if at == 0 && !request.is_empty() {
                self.drew_segments = request.to_vec();
            }
        }
        self.check_mixing()?;
        if self.request.len() < request.len() {
            self.request = request.to_vec();
        }
        if is_whole {
            return Ok(());
        }
        let payload = if at == 0 { closing(sent.payload) } else { sent.payload.into() };
        self.stream.insert(at, &payload).map_err(|changed| changed.to_string())?;
        if let Some(known) = self.fin.filter(|&known| end > known || is_fin && end != known) {
            return Err(format!("the stream ended at {known} before, and now at {end}"));
        }
        if is_fin {
            self.fin = Some(end);
        }
        Ok(())
    }

    /// What a response says of its connection depends on the request, and on the echo, which an attacker may change. To
    /// two packets that have both alike, it says the same.
    fn check_connection_field(&mut self, asked: Asked<'_>, payload: &[u8]) -> Result<(), String> {
        let says_close = payload.windows(19).any(|field| field == b"Connection: close\r\n");
        let is_it =
            |(request, echo, _): &&(Vec<u8>, Option<u32>, bool)| request == asked.request && *echo == asked.echo;
        match self.said.iter().find(is_it) {
            Some((_, _, said)) if *said != says_close => Err("it says something else of its connection".to_owned()),
            Some(_) => Ok(()),
            None => {
                if self.said.len() < WHOLE_MAX {
                    self.said.push((asked.request.to_vec(), asked.echo, says_close));
                }
                Ok(())
            }
        }
    }

    /// Takes a response in one packet: the same request always draws the same.
    fn take_whole(&mut self, request: &[u8], response: &[u8]) -> Result<(), String> {
        if !request.is_empty() && self.drew_segments == request {
            self.stream.insert(0, response).map_err(|changed| changed.to_string())?;
            return Err(format!("the stream ended at {} before, and now at {}", self.stream.end(), response.len()));
        }
        let known = self.whole.iter().find(|(known, _)| known == request);
        let Some((_, known)) = known else {
            if self.whole.len() < WHOLE_MAX {
                self.whole.push((request.to_vec(), response.to_vec()));
            }
            return Ok(());
        };
        let mut stream = Stream::default();
        stream.insert(0, known).and_then(|_| stream.insert(0, response)).map_err(|changed| changed.to_string())?;
        if known.len() != response.len() {
            return Err(format!("the stream ended at {} before, and now at {}", known.len(), response.len()));
        }
        Ok(())
    }

    /// A client that has a segment of a long response takes nothing of a shorter one that comes late, not even its end.
    fn check_mixing(&self) -> Result<(), String> {
        let longest = self.whole.iter().map(|(_, response)| response.len()).max();
        match longest {
            Some(len) if self.segment > 0 && len >= self.segment => Err(format!(
                "a response of {len} bytes in one packet can be mixed with segments of {} bytes of another",
                self.segment
            )),
            _ => Ok(()),
        }
    }

    /// Whether this may be the same request in a longer or shorter segment.
    fn is_for(&self, request: &[u8]) -> bool {
        self.request.starts_with(request) || request.starts_with(&self.request)
    }
}

/// A segment with several complete responses as if each had been sent alone, for its request alone; any other as it is.
fn each_response<'a>(received: &Tcp<'a>, sent: &Tcp<'a>) -> Vec<(Tcp<'a>, Tcp<'a>)> {
    let Some(mut requests) = requests_in(received).find(|requests| are_responses(sent.payload, requests)) else {
        return vec![(received.clone(), sent.clone())];
    };
    let mut responses = sent.payload;
    let mut parts = Vec::new();
    while let Ok(Some(response)) = Framed::parse(responses, requests.starts_with(b"HEAD ")) {
        let (now, later) = responses.split_at(response.len);
        let (asked, behind) = requests.split_at(end_of_request(requests).unwrap_or(requests.len()));
        if parts.is_empty() && later.is_empty() {
            return vec![(received.clone(), sent.clone())];
        }
        let seq = sent.seq.advance((sent.payload.len() - responses.len()) as u32);
        let asks_at = received.seq.advance((received.payload.len() - requests.len()) as u32);
        let flags = if later.is_empty() { sent.flags } else { Flags::ACK };
        parts.push((
            Tcp { seq: asks_at, ack: seq, payload: asked, ..received.clone() },
            Tcp { seq, flags, payload: now, ack: asks_at.advance(asked.len() as u32), ..sent.clone() },
        ));
        (responses, requests) = (later, behind);
    }
    parts
}

/// Adds one, at the cost of the oldest, and tells how many bytes that had.
fn push(connections: &mut Vec<Connection>, connection: Connection) -> usize {
    let is_full = connections.len() == OF_ONE_CLIENT_MAX;
    let forgotten = if is_full { connections.remove(0).stream.end() } else { 0 };
    connections.push(connection);
    forgotten
}

impl Checker for Stability {
    fn name(&self) -> &'static str {
        "stability"
    }

    fn check(&mut self, exchange: &Exchange<'_>) -> Result<(), String> {
        each_segment(exchange, |(ip, received), (_, sent)| {
            let ends = (ip.from(received), ip.to(received));
            if sent.flags.has(Flags::SYN) {
                self.open(ends, sent.seq.advance(1), received.seq.advance(1));
            } else if !sent.payload.is_empty() && !is_probe(received, sent) {
                for (received, sent) in each_response(received, sent) {
                    self.send(ends, &received, &sent)?;
                }
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::stand;
    use crate::frame::{Ends, Segment};
    use crate::testing;

    const KEPT: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody";
    const CLOSED: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody";

    #[test]
    fn it_sees_a_byte_that_changes_and_an_end_that_moves() {
        let engine = testing::engine();
        for path in ["/10", "/5000"] {
            let mut checker = Stability::default();
            let [opened, asked] = stand::fetch(&engine, &Ends::v4(), path);
            let [_, other] = stand::fetch(&engine, &Ends::v4(), "/11");
            for recorded in [&opened, &asked, &asked, &other] {
                assert_eq!(recorded.check(&mut checker), Ok(()), "another request is another stream");
            }
            let wrong = stand::Recorded { sent: other.sent, ..asked };
            assert!(wrong.check(&mut checker).unwrap_err().contains("now another than before"));
        }
        let mut checker = Stability::default();
        let [opened, asked] = stand::fetch(&engine, &Ends::v4(), "/10");
        assert_eq!(opened.check(&mut checker), Ok(()));
        assert_eq!(asked.check(&mut checker), Ok(()));
        let body = testing::response(10);
        let shorter = asked.change(|segment| segment.payload(&body[..body.len() - 1]));
        assert!(shorter.check(&mut checker).unwrap_err().starts_with("the stream ended at"));
    }

    #[test]
    fn a_response_may_reach_into_that_of_an_old_connection_between_the_same_ports() {
        let mut checker = Stability::default();
        for recorded in stand::two_connections() {
            assert_eq!(recorded.check(&mut checker), Ok(()));
        }
        let [.., last] = stand::two_connections();
        let changed = last.change(|segment| segment.payload([b'x'; 1000]));
        assert!(changed.check(&mut checker).unwrap_err().contains("now another than before"));
    }

    #[test]
    fn it_sees_a_response_of_one_packet_that_reaches_into_another_response() {
        let engine = testing::engine();
        let ends = Ends::v4();
        let [opened, asked] = stand::fetch(&engine, &ends, "/10");
        let start = crate::dissect::Frame::dissect(&opened.sent[0]).unwrap().tcp().unwrap().1.seq.advance(1);
        let send = |checker: &mut Stability, is_whole: bool, len: usize| {
            let request = if is_whole { "GET / HTTP/1.1\r\nA" } else { "GET / HTTP/1.1\r\nAccept: a\r\n\r\n" };
            let received = Segment::ack(&ends).seq(1001).ack_number(start.value()).payload(request).frame();
            let sent = Segment::ack(&ends.reversed()).seq(start.value()).payload(vec![b'x'; len]);
            let sent = if is_whole { sent.with(Flags::FIN) } else { sent }.frame();
            stand::Recorded { received, sent: vec![sent], ..asked.clone() }.check(checker)
        };
        for order in [[true, false], [false, true]] {
            for (len, is_right) in [(100, true), (1447, true), (1448, false), (1460, false)] {
                let mut checker = Stability::default();
                assert_eq!(opened.check(&mut checker), Ok(()));
                let result = order.map(|is_whole| send(&mut checker, is_whole, if is_whole { len } else { 1448 }));
                assert_eq!(result[0], Ok(()));
                assert_eq!(result[1].is_ok(), is_right, "{len}: {result:?}");
            }
        }
    }

    /// What the checker says of the last of three requests on a connection that stays open, each with its sequence
    /// number, the offset of its response, and that. Of the first two it says nothing.
    fn told_of(asked: [(u32, u32, &str, &str); 3]) -> Result<(), String> {
        let engine = testing::engine_with(|config| config.keep_alive = true);
        let ends = Ends::v4();
        let [opened, _] = stand::fetch(&engine, &ends, "/10");
        let frame = crate::dissect::Frame::dissect(&opened.sent[0]).unwrap();
        let start = frame.tcp().unwrap().1.seq.advance(1).value();
        let mut checker = Stability::default();
        assert_eq!(opened.check(&mut checker), Ok(()));
        let mut told = Ok(());
        for (number, (seq, at, request, response)) in asked.into_iter().enumerate() {
            let received = Segment::ack(&ends).seq(seq).ack_number(start + at).timestamps(7, 7).payload(request);
            let sent = Segment::ack(&ends.reversed()).seq(start + at).ack_number(received.end());
            let sent = vec![sent.timestamps(number as u32, 7).payload(response).frame()];
            told = stand::Recorded { received: received.frame(), sent, ..opened.clone() }.check(&mut checker);
            assert!(number == 2 || told == Ok(()), "{told:?}");
        }
        told.map_err(|problem| problem.split(':').next().unwrap().to_owned())
    }

    #[test]
    fn it_sees_a_response_that_reaches_into_the_next_one_and_one_that_says_something_else_of_its_connection() {
        let told = |asks: [u32; 3], says: [(u32, &str); 3]| {
            let requests = asks.map(|seq| format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", seq % 10));
            told_of([0, 1, 2].map(|number| (asks[number], says[number].0, &*requests[number], says[number].1)))
        };
        let end = KEPT.len() as u32;
        assert_eq!(told([1001, 1035, 1035], [(0, KEPT), (end, KEPT), (end, KEPT)]), Ok(()));
        let longer = KEPT.to_owned() + "and more";
        let wrong = told([1001, 1035, 1001], [(0, KEPT), (end, KEPT), (0, &longer)]);
        assert_eq!(wrong, Err("a response reaches into the next one on its connection".to_owned()));
        let wrong = told([1001, 1035, 1035], [(0, KEPT), (end, KEPT), (end, CLOSED)]);
        assert_eq!(wrong, Err("it says something else of its connection".to_owned()));
        let changed = KEPT.replace("body", "bodY");
        let wrong = told([1001, 1035, 1035], [(0, KEPT), (end, KEPT), (end, &changed)]);
        assert!(wrong.unwrap_err().starts_with("byte "));
    }

    #[test]
    fn it_sees_what_changes_in_the_responses_to_several_requests_that_were_answered_alone() {
        let request = |name: char| format!("GET /{name} HTTP/1.1\r\nHost: h\r\n\r\n");
        let [one, two] = ['1', '2'].map(request);
        let (len, end) = (one.len() as u32, KEPT.len() as u32);
        // Of the first, nothing is lost with `\n` ahead of the next, or without its method.
        let told = |joined: &str, seq: u32, at: u32, responses: &str| {
            told_of([(1001, 0, &*one, KEPT), (1001 + len, end, &two, KEPT), (seq, at, joined, responses)])
        };
        let (both, responses) = (one.clone() + &two, [KEPT, KEPT].concat());
        assert_eq!(told(&both, 1001, 0, &responses), Ok(()));
        assert_eq!(told(&both[4..], 1005, 0, &responses), Ok(()), "without its method");
        let (rest, three) = (format!("\n{two}{}", request('3')), [KEPT, KEPT].concat());
        assert_eq!(told(&rest, 1000 + len, end, &three), Ok(()), "behind the end of the one before");
        for changed in [[KEPT, &KEPT.replace("body", "bodY")].concat(), [&KEPT.replace("200", "201"), KEPT].concat()] {
            assert!(told(&both, 1001, 0, &changed).unwrap_err().starts_with("byte "));
        }
        let longer = KEPT.replace("4\r\n\r\nbody", "5\r\n\r\nbody!");
        let wrong = told(&both, 1001, 0, &[&longer, KEPT].concat());
        assert_eq!(wrong, Err("a response reaches into the next one on its connection".to_owned()));
    }

    #[test]
    fn it_sees_a_byte_that_changes_anywhere_in_a_long_stream_whatever_is_answered() {
        let engine = testing::engine();
        let ends = Ends::v4();
        let [opened, asked] = stand::fetch(&engine, &ends, "/10");
        let mut checker = Stability::default();
        opened.check(&mut checker).unwrap();
        let frame = crate::dissect::Frame::dissect(&opened.sent[0]).unwrap();
        let start = frame.tcp().unwrap().1.seq.advance(1);
        let mut send = |at: u32, byte: u8| {
            let received = Segment::ack(&ends).seq(1031).ack_number(start.value()).frame();
            let sent = Segment::ack(&ends.reversed()).seq(start.advance(at).value()).payload([byte; 1000]).frame();
            stand::Recorded { received, sent: vec![sent], ..asked.clone() }.check(&mut checker)
        };
        assert_eq!(send(9_000_000, b'a'), Ok(()));
        assert_eq!(send(9_000_500, b'a'), Ok(()));
        assert!(send(9_000_999, b'b').unwrap_err().starts_with("byte 9000999 of the stream"));
    }
}
