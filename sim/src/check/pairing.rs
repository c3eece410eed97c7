//! No response, whole or part, is ever taken for that of another request.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;

use lethe::app::Request;
use lethe::http::RequestLine;
use lethe::wire::seq::SeqNumber;
use lethe::wire::tcp::Flags;
use lethe::{App, Engine};

use super::{Checker, Exchange, each_segment, end_of_request, is_probe, keeps_open};
use crate::dissect::Tcp;
use crate::peer::client::normalized;
use crate::stream::Stream;

/// Connections that are remembered; of an older one nothing is said.
const CONNECTIONS_MAX: usize = 1024;

/// SYN+ACKs of one client and port that are remembered.
const OF_ONE_CLIENT_MAX: usize = 8;

/// The longest stream, in either direction: a segment from further on belongs to another connection.
const STREAM_MAX: usize = 1 << 22;

/// A client that keeps its connection knows by its place alone what a response belongs to. So each byte that is sent is
/// the one that the application answers there, to the requests that the client has sent up to there; and a response
/// after which the connection stays open acknowledges its request, to the last byte and no further.
///
/// It is for clients with timestamps: without, a connection has one request. Where a request that is not complete has
/// been answered, nothing is said of that connection; whether it may be is for [`Stability`](super::Stability).
#[derive(Debug)]
pub struct Pairing<'e, A> {
    engine: &'e Engine<A>,
    connections: HashMap<(SocketAddr, SocketAddr), Vec<Connection>>,
    order: VecDeque<(SocketAddr, SocketAddr)>,
    scratch: Box<[u8]>,
}

#[derive(Clone, Debug)]
struct Connection {
    /// Where the requests begin, and the responses.
    asks_at: SeqNumber,
    start: SeqNumber,
    asked: Stream,
    /// Of each complete request, where it and its response end.
    ends: Vec<(usize, usize)>,
    /// The responses, one after the other, but for what they say of the connection,
    expected: Vec<u8>,
    /// and the last one as it stands there if the connection ends with it.
    closing: Vec<Vec<u8>>,
    /// Something else has been sent than can be known here.
    is_unclear: bool,
}

impl<'e, A: App> Pairing<'e, A> {
    /// For the application of this engine.
    pub fn new(engine: &'e Engine<A>) -> Self {
        Self {
            engine,
            connections: HashMap::new(),
            order: VecDeque::new(),
            scratch: vec![0; lethe::engine::SCRATCH_LEN].into(),
        }
    }

    fn open(&mut self, ends: (SocketAddr, SocketAddr), received: &Tcp<'_>, sent: &Tcp<'_>) {
        let new = Connection {
            asks_at: received.seq.advance(1),
            start: sent.seq.advance(1),
            asked: Stream::default(),
            ends: Vec::new(),
            expected: Vec::new(),
            closing: Vec::new(),
            is_unclear: false,
        };
        if !self.connections.contains_key(&ends) {
            if self.order.len() == CONNECTIONS_MAX
                && let Some(oldest) = self.order.pop_front()
            {
                self.connections.remove(&oldest);
            }
            self.order.push_back(ends);
        }
        let connections = self.connections.entry(ends).or_default();
        if connections.iter().all(|known| (known.asks_at, known.start) != (new.asks_at, new.start)) {
            if connections.len() == OF_ONE_CLIENT_MAX {
                connections.remove(0);
            }
            connections.push(new);
        }
    }

    /// Takes note of what a client has sent, on each connection that it may belong to.
    fn hear(&mut self, ends: (SocketAddr, SocketAddr), received: &Tcp<'_>) {
        let Some(connections) = self.connections.get_mut(&ends) else { return };
        for connection in connections {
            let at = received.seq.distance_from(connection.asks_at) as usize;
            if at < STREAM_MAX && connection.asked.insert(at, received.payload).is_err() {
                connection.is_unclear = true;
            }
        }
    }

    fn send(&mut self, ends: (SocketAddr, SocketAddr), received: &Tcp<'_>, sent: &Tcp<'_>) -> Result<(), String> {
        let Some(connections) = self.connections.get_mut(&ends) else { return Ok(()) };
        let place = |connection: &Connection| sent.seq.distance_from(connection.start) as usize;
        let is_near = |connection: &&mut Connection| {
            (received.seq.distance_from(connection.asks_at) as usize) < STREAM_MAX && place(connection) < STREAM_MAX
        };
        let nearest = connections.iter_mut().filter(is_near).min_by_key(|connection| place(connection));
        let Some(connection) = nearest.filter(|connection| !connection.is_unclear) else { return Ok(()) };
        connection.expect(self.engine.app(), ends.0, &mut self.scratch);
        connection.check(received, sent)
    }
}

impl Connection {
    /// Has the application answer each request that has become complete.
    fn expect(&mut self, app: &impl App, client: SocketAddr, scratch: &mut [u8]) {
        loop {
            let (begins, at) = self.ends.last().copied().unwrap_or_default();
            let asked = &self.asked.contiguous()[begins..];
            let Some(end) = end_of_request(asked) else { return };
            let request = RequestLine::parse_for(app.methods(), &asked[..end]).ok().and_then(|line| {
                let response = Request::of_line(&line).with_client(client.ip()).answer(app, scratch)?;
                Some([response.head(), response.body()].concat())
            });
            let Some(response) = request else {
                self.is_unclear = true;
                return;
            };
            let kept = normalized(&response);
            self.ends.push((begins + end, at + kept.len()));
            self.expected.extend(kept);
            self.closing.push(response);
        }
    }

    fn check(&mut self, received: &Tcp<'_>, sent: &Tcp<'_>) -> Result<(), String> {
        let at = sent.seq.distance_from(self.start) as usize;
        let end = at + sent.payload.len();
        // How much padding there is in the head of a long response depends on the secret: the client's oracle reads it.
        if !sent.flags.has(Flags::FIN) && !keeps_open(received, sent) {
            self.is_unclear = true;
            return Ok(());
        }
        let begins = [0].into_iter().chain(self.ends.iter().map(|&(_, ends)| ends));
        let mut closing = begins.take_while(|&begins| begins <= at).zip(&self.closing);
        let is_closing =
            closing.any(|(begins, response)| response.get(at - begins..end - begins) == Some(sent.payload));
        if is_closing && sent.flags.has(Flags::FIN) {
            return Ok(());
        }
        let Some(number) = self.ends.iter().position(|&(_, ends)| at < ends) else {
            if is_closing {
                return Ok(());
            }
            if self.ends.is_empty() {
                self.is_unclear = true;
                return Ok(());
            }
            return Err(format!("a response to request {}, which is not there", self.ends.len()));
        };
        let is_kept = self.expected.get(at..end) == Some(sent.payload);
        if !is_kept && !is_closing {
            let starts_at = self.asks_at.advance(number.checked_sub(1).map_or(0, |before| self.ends[before].0) as u32);
            if number == 0 && (received.seq != starts_at || end_of_request(received.payload).is_none()) {
                self.is_unclear = true;
                return Ok(());
            }
            return Err(format!("other bytes than those of the response to request {number}"));
        }
        if is_kept && !is_closing && keeps_open(received, sent) {
            let asked = self.ends.iter().find(|&&(_, ends)| ends == end).map(|&(asked, _)| asked as u32);
            if asked != Some(sent.ack.distance_from(self.asks_at)) {
                return Err(format!("the response to request {number} acknowledges another place than its end"));
            }
        }
        Ok(())
    }
}

impl<A: App> Checker for Pairing<'_, A> {
    fn name(&self) -> &'static str {
        "pairing"
    }

    fn check(&mut self, exchange: &Exchange<'_>) -> Result<(), String> {
        if let Some(frame) = crate::dissect::Frame::dissect(exchange.received)
            && let Some((ip, tcp)) = frame.tcp().filter(|_| frame.problem().is_none())
            && !tcp.payload.is_empty()
            && !tcp.flags.has(Flags::SYN)
        {
            self.hear((ip.from(tcp), ip.to(tcp)), tcp);
        }
        each_segment(exchange, |(ip, received), (_, sent)| {
            let ends = (ip.from(received), ip.to(received));
            if sent.flags.has(Flags::SYN) {
                self.open(ends, received, sent);
            } else if !sent.payload.is_empty() && sent.timestamps.is_some() && !is_probe(received, sent) {
                return self.send(ends, received, sent);
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::stand::{NOW, Recorded};
    use crate::dissect::Frame;
    use crate::frame::{Ends, Segment};
    use crate::testing;

    /// A connection up to the response to each of these.
    fn exchanges(engine: &Engine<testing::Sized>, asked: &[&str]) -> Vec<Recorded> {
        let ends = Ends::v4();
        let mut all = vec![Recorded::at(
            NOW,
            engine,
            Segment::syn(&ends).seq(1000).mss(1460).sack_permitted().timestamps(5, 0).frame(),
        )];
        for payload in asked {
            let frame = Frame::dissect(&all.last().unwrap().sent[0]).unwrap();
            let (_, tcp) = frame.tcp().unwrap();
            let request = Segment::ack(&ends).seq(tcp.ack.value()).ack_number(tcp.end().value());
            let request = request.timestamps(5, tcp.timestamps.unwrap().0).payload(payload);
            all.push(Recorded::at(NOW, engine, request.frame()));
        }
        all
    }

    const ONE: &str = "GET /1 HTTP/1.1\r\nHost: h\r\n\r\n";
    const TWO: &str = "GET /222 HTTP/1.1\r\nHost: h\r\n\r\n";

    #[test]
    fn it_sees_a_response_to_another_request_and_one_that_acknowledges_another_place() {
        let engine = testing::engine_with(|config| config.keep_alive = true);
        let both = ONE.to_owned() + TWO;
        let told = |change: &dyn Fn(Segment) -> Segment, asked: &[&str]| {
            let mut checker = Pairing::new(&engine);
            let mut all = exchanges(&engine, asked);
            let last = all.pop().unwrap();
            assert!(all.iter().all(|recorded| recorded.check(&mut checker) == Ok(())));
            last.change(change).check(&mut checker).map_err(|problem| problem.split(':').next().unwrap().to_owned())
        };
        for asked in [&[ONE][..], &[ONE, TWO], &[TWO, ONE, TWO], &[&both], &[&both, TWO]] {
            assert_eq!(told(&|segment| segment, asked), Ok(()));
        }
        let other = exchanges(&engine, &[ONE]).pop().unwrap();
        let other = Frame::dissect(&other.sent[0]).unwrap().tcp().unwrap().1.payload.to_vec();
        let wrong = told(&|segment| segment.payload(&other), &[ONE, TWO]);
        assert_eq!(wrong, Err("other bytes than those of the response to request 1".to_owned()));
        let wrong = told(&|segment| segment.payload(&other), &[TWO]);
        assert_eq!(wrong, Err("other bytes than those of the response to request 0".to_owned()));
        let ack = 1001 + ONE.len() as u32 + 1;
        let wrong = told(&|segment| segment.ack_number(ack), &[&both]);
        assert_eq!(wrong, Err("the response to request 0 acknowledges another place than its end".to_owned()));
    }

    #[test]
    fn it_sees_a_response_to_what_is_no_request() {
        let engine = testing::engine_with(|config| config.keep_alive = true);
        let mut checker = Pairing::new(&engine);
        let mut all = exchanges(&engine, &[ONE, TWO]);
        let Some(last) = all.pop() else { panic!("a response") };
        assert!(all.iter().all(|recorded| recorded.check(&mut checker) == Ok(())));
        let frame = Frame::dissect(&last.received).unwrap();
        let tcp = frame.tcp().unwrap().1.clone();
        let part = Segment::copy_of(&Ends::v4(), &tcp).seq(tcp.seq.value() + 700).frame();
        let wrong = Recorded { received: part, ..last }.check(&mut checker).unwrap_err();
        assert!(wrong.starts_with("a response to request 1, which is not there"), "{wrong}");
    }
}
