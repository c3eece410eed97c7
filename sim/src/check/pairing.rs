//! No response, whole or part, is ever taken for that of another request.

use std::net::SocketAddr;

use lethe::app::Request;
use lethe::cookie::Mss;
use lethe::http::{Framing, RequestLine};
use lethe::verdict::{ReplyKind, Verdict};
use lethe::wire::seq::SeqNumber;
use lethe::wire::tcp::{self, Flags};
use lethe::wire::{ipv4, ipv6};
use lethe::{App, Engine};

use super::{Checker, Exchange, GET, each_segment, end_of_request, is_probe, keeps_open};
use crate::dissect::Tcp;
use crate::peer::client::normalized;
use crate::recent::Recent;
use crate::section;
use crate::stream::Stream;

/// Connections that are remembered; of an older one nothing is said.
const CONNECTIONS_MAX: usize = 1024;

/// SYN+ACKs of one client and port that are remembered.
const OF_ONE_CLIENT_MAX: usize = 8;

/// The longest stream, in either direction: a segment from further on belongs to another connection.
const STREAM_MAX: usize = 1 << 22;

/// A client that keeps its connection knows by its place alone what a response belongs to. So each byte that is sent is
/// the one that the application answers there, to the requests that the client has sent up to there; and a response
/// after which the connection stays open acknowledges its request, to the last byte and no further, if it is one
/// segment.
///
/// One of several segments acknowledges its request up to the method or the last byte, and never that. The window of
/// its segments ends where the request ends: a client that has a part of it cannot have sent more. How much
/// padding is in the head of a later one depends on the secret: of all that it can be, some must fit all its segments,
/// and the next response begins where the whole of this one ends. Behind its head, the first long one has the same
/// bytes whether its connection ends with it or not.
///
/// It is for clients with timestamps: without, a connection has one request. Where a request that is not complete has
/// been answered, nothing is said of that connection; whether it may be is for [`Stability`](super::Stability). A later
/// request is answered so only where it is longer than what is read of one, or refused for what has come of it.
///
/// A SYN that comes again in another minute draws another cookie, which may lie in the midst of the responses of the
/// first. So a segment has to fit one of the connections that it may belong to.
#[derive(Debug)]
pub struct Pairing<'e, A> {
    engine: &'e Engine<A>,
    connections: Recent<(SocketAddr, SocketAddr), Vec<Connection>, CONNECTIONS_MAX>,
    scratch: Box<[u8]>,
}

#[derive(Clone, Debug)]
struct Connection {
    /// Where the requests begin, and the responses.
    asks_at: SeqNumber,
    start: SeqNumber,
    asker: Asker,
    asked: Stream,
    answers: Vec<Answer>,
    /// Something else has been sent than can be known here.
    is_unclear: bool,
}

/// Of what an answer depends, besides the request.
#[derive(Clone, Copy, Debug)]
struct Asker {
    client: SocketAddr,
    one_packet: usize,
}

impl Asker {
    /// Who sends this SYN. Segments of all MSSs but the least have room for the short answers of all applications.
    fn new(client: SocketAddr, syn: &Tcp<'_>) -> Self {
        let announced = syn.mss.unwrap_or(if client.is_ipv4() { 536 } else { 1220 });
        // Two segments fit its window.
        let mss = if syn.window > 0 { announced.min(syn.window / 2) } else { announced };
        let is_least = Mss::at_most(mss) == Mss::at_most(0);
        Self { client, one_packet: if is_least { section::LEAST_ROOM } else { usize::MAX } }
    }
}

/// What is to be sent for a complete request.
#[derive(Clone, Debug)]
struct Answer {
    /// Where its request begins and ends.
    asked: (usize, usize),
    /// Where its response begins: of the first ones. Where the last that is known begins is known.
    begin: Option<usize>,
    /// The response, as it stands there if the connection ends with it,
    closing: Vec<u8>,
    /// if it stays open, in one segment,
    kept: Vec<u8>,
    /// and in several: with each length of its padding that is possible yet.
    long: Vec<usize>,
    /// How the field begins that pads it; the first is not padded.
    padding: Option<&'static [u8]>,
    /// Whether any of `kept` has been sent, and any of `long`.
    is_sent: [bool; 2],
}

/// The ends of heads: of a connection that ends, and of the first long response of one that does not.
const CLOSED: &[u8] = b"Connection: close\r\n\r\n";
const OPEN: &[u8] = b"Server: Lethe/0.1\r\n\r\n";

/// What one segment says of its connection to a client of HTTP/1.0, if it stays open.
const KEEP_ALIVE: &[u8] = b"Connection: keep-alive\r\n\r\n";

/// A response with another end of its head.
fn with_end(closing: &[u8], end: &[u8]) -> Vec<u8> {
    let at = closing.windows(CLOSED.len()).position(|here| here == CLOSED);
    at.map_or(closing.to_vec(), |at| [&closing[..at], end, &closing[at + CLOSED.len()..]].concat())
}

/// The longest padding, and more.
const PADDING_MAX: usize = 4096;
const DASHES: [u8; PADDING_MAX] = [b'-'; PADDING_MAX];

impl Answer {
    fn new(asked: (usize, usize), closing: Vec<u8>, request: &[u8], is_first: bool) -> Self {
        let is_old = request.windows(10).any(|version| version == b" HTTP/1.0\r");
        let padding: &[u8] = if is_old { b"Connection: keep-alive\r\np:" } else { b"p:" };
        let has_end = closing.windows(CLOSED.len()).any(|end| end == CLOSED) && request.starts_with(b"GET ");
        let lens = if is_first { 0..=0 } else { padding.len() + 4..=PADDING_MAX };
        Self {
            asked,
            begin: is_first.then_some(0),
            kept: if is_old { with_end(&closing, KEEP_ALIVE) } else { normalized(&closing) },
            long: if has_end { lens.collect() } else { Vec::new() },
            closing,
            padding: (!is_first).then_some(padding),
            is_sent: [false; 2],
        }
    }

    fn head_len(&self) -> usize {
        self.closing.windows(CLOSED.len()).position(|end| end == CLOSED).unwrap_or_default()
    }

    /// How long it is in several segments, with so much padding.
    fn long_len(&self, padded: usize) -> usize {
        let end = if self.padding.is_some() { padded } else { OPEN.len() };
        self.closing.len() - CLOSED.len() + end
    }

    /// Whether these bytes stand in it from `at` on, with so much padding.
    fn has(&self, at: usize, bytes: &[u8], padded: usize) -> bool {
        let head_len = self.head_len();
        let end: [&[u8]; 3] = match self.padding {
            None => [OPEN, &[], &[]],
            Some(start) => [start, &DASHES[..padded - start.len() - 4], b"\r\n\r\n"],
        };
        let [head, body] = [&self.closing[..head_len], &self.closing[head_len + CLOSED.len()..]];
        let pieces = [head, end[0], end[1], end[2], body];
        let (mut from, mut rest) = (at, bytes);
        for piece in pieces {
            let Some(here) = piece.get(from..) else {
                from -= piece.len();
                continue;
            };
            let (now, later) = rest.split_at(rest.len().min(here.len()));
            if !here.starts_with(now) {
                return false;
            }
            (rest, from) = (later, 0);
        }
        rest.is_empty()
    }

    /// Where it ends if the connection stays open, if that is certain.
    fn end(&self) -> Option<usize> {
        let begin = self.begin?;
        match (self.is_sent, self.long.as_slice()) {
            ([true, false], _) => Some(begin + self.kept.len()),
            ([false, true], &[padded]) => Some(begin + self.long_len(padded)),
            _ => None,
        }
    }
}

impl<'e, A: App> Pairing<'e, A> {
    /// For the application of this engine.
    pub fn new(engine: &'e Engine<A>) -> Self {
        Self { engine, connections: Recent::default(), scratch: vec![0; lethe::engine::SCRATCH_LEN].into() }
    }

    fn open(&mut self, ends: (SocketAddr, SocketAddr), received: &Tcp<'_>, sent: &Tcp<'_>) {
        let new = Connection {
            asks_at: received.seq.advance(1),
            start: sent.seq.advance(1),
            asker: Asker::new(ends.0, received),
            asked: Stream::default(),
            answers: Vec::new(),
            is_unclear: false,
        };
        let connections = self.connections.get_or_insert_with(ends, Vec::new);
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

    fn send(
        &mut self,
        ends: (SocketAddr, SocketAddr),
        received: &Tcp<'_>,
        sent: &Tcp<'_>,
        is_refused: bool,
    ) -> Result<(), String> {
        let Some(connections) = self.connections.get_mut(&ends) else { return Ok(()) };
        let place = |connection: &Connection| sent.seq.distance_from(connection.start) as usize;
        let is_near = |connection: &&mut Connection| {
            (received.seq.distance_from(connection.asks_at) as usize) < STREAM_MAX && place(connection) < STREAM_MAX
        };
        let mut near: Vec<&mut Connection> = connections.iter_mut().filter(is_near).collect();
        near.sort_by_key(|connection| place(connection));
        let mut problem = None;
        for connection in near {
            if connection.is_unclear {
                return Ok(());
            }
            let app = self.engine.app();
            let most = usize::from(self.engine.config().mtu.bytes()) - headers_len(ends.0);
            let is_closing_answer = connection.asked_behind(received, sent).is_some_and(|asked| {
                is_refused && sent.flags.has(Flags::FIN) && cannot_be_handed_on(app, asked)
                    || asked
                        .get(..most)
                        .is_some_and(|read| is_closing_answer(app, connection.asker, read, sent, &mut self.scratch))
            });
            if is_closing_answer {
                connection.is_unclear = true;
                return Ok(());
            }
            connection.expect(app, &mut self.scratch);
            let mut checked = connection.clone();
            match checked.check(received, sent) {
                Ok(()) => {
                    *connection = checked;
                    return Ok(());
                }
                Err(found) => problem = problem.or(Some(found)),
            }
        }
        problem.map_or(Ok(()), Err)
    }
}

/// All of the response of an application to a request.
fn respond(app: &impl App, asker: Asker, line: &RequestLine<'_>, scratch: &mut [u8]) -> Option<Vec<u8>> {
    let request = Request::of_line(line).with_client(asker.client.ip()).with_one_packet(asker.one_packet);
    let response = request.answer(app, scratch)?;
    Some([response.head(), response.body()].concat())
}

/// Whether the engine has to answer this itself, though it is not complete: no byte that may come behind it mends it. A
/// network that changes bytes makes such requests.
fn cannot_be_handed_on(app: &impl App, payload: &[u8]) -> bool {
    let line = RequestLine::parse_for(app.methods(), payload);
    end_of_request(payload).is_none() && line.map_or(true, |line| matches!(line.framing(), Framing::Refused(_)))
}

/// Whether this begins a response that ends the connection, to what is read of a longer request than is read on a
/// connection that stays open.
fn is_closing_answer(app: &impl App, asker: Asker, read: &[u8], sent: &Tcp<'_>, scratch: &mut [u8]) -> bool {
    let Ok(line) = RequestLine::parse_for(app.methods(), read) else { return false };
    let whole = respond(app, asker, &line, scratch).unwrap_or_default();
    let has_its_bytes =
        whole.starts_with(sent.payload) && (sent.flags.has(Flags::FIN) || sent.payload.len() < whole.len());
    has_its_bytes && end_of_request(read).is_none()
}

/// The most bytes that the headers of a segment have.
fn headers_len(client: SocketAddr) -> usize {
    (if client.is_ipv4() { ipv4::HEADER_LEN } else { ipv6::HEADER_LEN }) + tcp::HEADER_LEN + tcp::OPTIONS_MAX
}

impl Connection {
    /// What a segment brings of the request that begins where the last known one ends, if it is answered right behind
    /// the response to that. The end of that one may come again before it.
    fn asked_behind<'t>(&self, received: &Tcp<'t>, sent: &Tcp<'_>) -> Option<&'t [u8]> {
        let asks_at = received.seq.distance_from(self.asks_at) as usize;
        let is_in_it = |answer: &&Answer| (asks_at..asks_at + received.payload.len()).contains(&answer.asked.1);
        let before = self.answers.iter().find(is_in_it)?;
        let is_behind = before.end() == Some(sent.seq.distance_from(self.start) as usize);
        received.payload.get(before.asked.1 - asks_at..).filter(|_| is_behind)
    }

    /// Has the application answer each request that has become complete.
    fn expect(&mut self, app: &impl App, scratch: &mut [u8]) {
        loop {
            let begins = self.answers.last().map_or(0, |answer| answer.asked.1);
            let asked = &self.asked.contiguous()[begins..];
            let Some(end) = end_of_request(asked) else { return };
            let line = RequestLine::parse_for(app.methods(), &asked[..end]).ok();
            // A section that is refused has a response of the engine, which its client's oracle knows.
            let line = line.filter(|line| matches!(line.framing(), Framing::Complete { .. }));
            // One for a part may be answered with that or with all, as its client's oracle knows.
            let line = line.filter(|line| !app.stores_parts() || line.headers.values("range").next().is_none());
            let response = line.and_then(|line| respond(app, self.asker, &line, scratch));
            let Some(response) = response else {
                self.is_unclear = true;
                return;
            };
            let is_first = self.answers.is_empty();
            self.answers.push(Answer::new((begins, begins + end), response, &asked[..end], is_first));
        }
    }

    fn check(&mut self, received: &Tcp<'_>, sent: &Tcp<'_>) -> Result<(), String> {
        let at = sent.seq.distance_from(self.start) as usize;
        for number in 1..self.answers.len() {
            if self.answers[number].begin.is_none() {
                self.answers[number].begin = self.answers[number - 1].end();
            }
        }
        let begins = |answer: &Answer| answer.begin.is_some_and(|begin| begin <= at);
        let Some(number) = self.answers.iter().rposition(begins) else {
            self.is_unclear = true;
            return Ok(());
        };
        let at = at - self.answers[number].begin.unwrap_or_default();
        let end = at + sent.payload.len();
        let is_closing = self.answers[number].closing.get(at..end) == Some(sent.payload);
        // To a client that has closed its side, the same as without, and the FIN.
        let kept = if at == 0 { self.last_kept(number, sent.payload) } else { None };
        if sent.flags.has(Flags::FIN) && (is_closing || kept.is_some()) {
            return Ok(());
        }
        if keeps_open(received, sent) && at == 0 {
            let Some(last) = kept else { return self.other_bytes(number, received) };
            for answered in number..=last {
                self.answers[answered].is_sent[0] = true;
                let end = self.answers[answered].end();
                if let Some(next) = self.answers.get_mut(answered + 1) {
                    next.begin = end;
                }
            }
            if self.answers[last].asked.1 as u32 != sent.ack.distance_from(self.asks_at) {
                return Err(format!("the response to request {last} acknowledges another place than its end"));
            }
            return Ok(());
        }
        let answer = &mut self.answers[number];
        let fitting: Vec<usize> =
            answer.long.iter().copied().filter(|&padded| answer.has(at, sent.payload, padded)).collect();
        if !fitting.is_empty() && !sent.flags.has(Flags::FIN) {
            answer.is_sent[1] = true;
            answer.long = fitting;
            // Behind the head of the first one, both say the same: if the connection ends, the hold is for `Hold`.
            return if is_closing { Ok(()) } else { self.check_hold(number, sent) };
        }
        if is_closing {
            return Ok(());
        }
        if answer.is_sent == [true; 2] {
            // An attacker can have both.
            self.is_unclear = true;
            return Ok(());
        }
        if self.is_unclear && at > 0 {
            // It may answer a request behind those that are known.
            return Ok(());
        }
        let next = number + 1;
        let answer_begin = answer.begin.unwrap_or_default();
        let end = answer.end().filter(|&end| end <= at + answer_begin);
        if let Some(end) = end.filter(|_| next == self.answers.len()) {
            // Where its client is in a first response, the low half of an acknowledgement tells.
            let is_changed = number == 0 && received.ack.distance_from(self.start) as usize > end + 1;
            let problem = format!("a response to request {next}, which is not there");
            return if is_changed { Ok(()) } else { Err(problem) };
        }
        self.other_bytes(number, received)
    }

    /// The last request of those whose responses a segment has, one behind the other, from that to request `first` on.
    fn last_kept(&self, first: usize, payload: &[u8]) -> Option<usize> {
        let mut rest = payload;
        for (number, answer) in self.answers.iter().enumerate().skip(first) {
            rest = rest.strip_prefix(answer.kept.as_slice())?;
            if rest.is_empty() {
                return Some(number);
            }
        }
        None
    }

    /// What a segment of a long response acknowledges, and where its window ends.
    fn check_hold(&self, number: usize, sent: &Tcp<'_>) -> Result<(), String> {
        let (begin, end) = self.answers[number].asked;
        let acknowledged = sent.ack.distance_from(self.asks_at) as usize;
        if ![begin + GET.len(), end - 1].contains(&acknowledged) {
            return Err(format!("a part of the response to request {number} acknowledges another place than its hold"));
        }
        let edge = sent.ack.advance(sent.window.into());
        if edge != self.asks_at.advance(end as u32) {
            return Err(format!("a part of the response to request {number} has a window that ends elsewhere"));
        }
        Ok(())
    }

    fn other_bytes(&mut self, number: usize, received: &Tcp<'_>) -> Result<(), String> {
        let starts_at = self.asks_at.advance(self.answers[number].asked.0 as u32);
        let is_whole = received.seq == starts_at && end_of_request(received.payload).is_some();
        if number == 0 && !is_whole {
            self.is_unclear = true;
            return Ok(());
        }
        Err(format!("other bytes than those of the response to request {number}"))
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
        let is_refused = exchange.verdict == Verdict::Replied(ReplyKind::Refusal);
        each_segment(exchange, |(ip, received), (_, sent)| {
            let ends = (ip.from(received), ip.to(received));
            if sent.flags.has(Flags::SYN) {
                self.open(ends, received, sent);
            } else if !sent.payload.is_empty() && sent.timestamps.is_some() && !is_probe(received, sent) {
                return self.send(ends, received, sent, is_refused);
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
    /// Of a request that a network has changed.
    const CHANGED: &str = "GET /222 HTTP/1.1\r\nHost :h\r\n";

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
        assert_eq!(wrong, Err("the response to request 1 acknowledges another place than its end".to_owned()));
    }

    #[test]
    fn it_looks_for_a_segment_on_each_connection_that_it_may_belong_to() {
        let engine = testing::engine();
        let told = |ahead: u32, change: &dyn Fn(Segment) -> Segment| {
            let mut checker = Pairing::new(&engine);
            let all = exchanges(&engine, &["GET /9000 HTTP/1.1\r\nHost: h\r\n\r\n"]);
            let (opened, asked) = (all[0].clone(), all[1].clone());
            let cookie = Frame::dissect(&opened.sent[0]).unwrap().tcp().unwrap().1.seq.value();
            let other = opened.clone().change(|segment| segment.seq(cookie.wrapping_add(ahead)));
            assert_eq!([opened.check(&mut checker), other.check(&mut checker)], [Ok(()), Ok(())]);
            assert!(asked.sent.len() > 5);
            asked.change(change).check(&mut checker)
        };
        // The SYN+ACK that the client has not taken lies in the midst of its response.
        for ahead in [1, 1448, 2000, 5000] {
            assert_eq!(told(ahead, &|segment| segment), Ok(()), "{ahead}");
            assert!(told(ahead, &|segment| segment.payload("other bytes")).is_err(), "{ahead}");
        }
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
        let wrong = Recorded { received: part, ..last.clone() }.check(&mut checker).unwrap_err();
        assert!(wrong.starts_with("a response to request 1, which is not there"), "{wrong}");
        // It acknowledges more than there was: of an acknowledgement, the engine knows the low half.
        let ahead = tcp.ack.value() + (1 << 17);
        let ahead = Segment::copy_of(&Ends::v4(), &tcp).seq(tcp.seq.value() + 700).ack_number(ahead);
        assert_eq!(Recorded { received: ahead.frame(), ..last }.check(&mut checker), Ok(()));
    }

    #[test]
    fn it_knows_that_what_a_network_has_changed_is_refused_before_it_is_complete() {
        let engine = testing::engine_with(|config| config.keep_alive = true);
        let told = |half: &str, change: &dyn Fn(Recorded) -> Recorded| {
            let mut checker = Pairing::new(&engine);
            let mut all = exchanges(&engine, &[ONE, half]);
            let Some(last) = all.pop() else { panic!("a response") };
            assert!(all.iter().all(|recorded| recorded.check(&mut checker) == Ok(())));
            change(last).check(&mut checker).map_err(|problem| problem.split(':').next().unwrap().to_owned())
        };
        let whole = CHANGED.to_owned() + "\r\n";
        for changed in [CHANGED, &whole, &whole.replace("222", "2\x0b2")] {
            assert_eq!(told(changed, &|last| last), Ok(()), "{changed:?}");
        }
        let wrong = Err("a response to request 1, which is not there".to_owned());
        let open = |last: Recorded| {
            let frame = Frame::dissect(&last.sent[0]).unwrap();
            let sent = frame.tcp().unwrap().1;
            let open = Segment::ack(&Ends::v4().reversed()).seq(sent.seq.value()).ack_number(sent.ack.value());
            let sent = vec![open.timestamps(1, 5).payload(sent.payload).frame()];
            Recorded { sent, ..last }
        };
        assert_eq!(told(CHANGED, &open), wrong, "it leaves the connection open");
        let answered = |last| Recorded { verdict: Verdict::Replied(ReplyKind::Response), ..last };
        assert_eq!(told(CHANGED, &answered), wrong, "it is no response of the application");
        let valid = |last: Recorded| {
            let frame = Frame::dissect(&last.received).unwrap();
            let valid = Segment::copy_of(&Ends::v4(), frame.tcp().unwrap().1);
            Recorded { received: valid.payload("GET /222 HTTP/1.1\r\nHost: h\r\n").frame(), ..last }
        };
        assert_eq!(told(CHANGED, &valid), wrong, "more bytes would complete it");
        let behind = TWO.to_owned() + &whole;
        assert_eq!(told(&behind, &|last| last), Ok(()));
        let other = |last: Recorded| last.change(|segment| segment.payload(ONE));
        let wrong = Err("other bytes than those of the response to request 1".to_owned());
        assert_eq!(told(&behind, &other), wrong, "of what is ahead of it, all is known");
    }
}
