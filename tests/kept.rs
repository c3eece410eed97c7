//! Connections that stay open: any number of requests, and nothing remembered between them.

use lethe::config::{Addresses, Config};
use lethe::cookie::Secret;
use lethe::http::{Response, Status};
use lethe::port::RxFrame;
use lethe::time::Instant;
use lethe::verdict::{Absorbed, DropReason, ReplyKind, Verdict};
use lethe::wire::tcp::Flags;
use lethe::{App, Engine, Reply, Request};
use lethe_sim::dialogue::Dialogue;
use lethe_sim::dissect::Frame;
use lethe_sim::fetch::{KeptFetch, LongFetch};
use lethe_sim::frame::{Ends, Segment};
use lethe_sim::sample::Sample;
use proptest::prelude::*;

const ISN: u32 = 1000;
const HALF: u32 = 1 << 31;

static LONGER: [u8; 20_000] = [b'x'; 20_000];

/// Tells the path; `/long` is more than a segment, and `/longer` more than a first window.
struct Echo;

const LONG: [u8; 5000] = {
    let mut bytes = [0; 5000];
    let mut at = 0;
    while at < bytes.len() {
        bytes[at] = b'a' + (at % 23) as u8;
        at += 1;
    }
    bytes
};

impl App for Echo {
    fn respond<'a>(&'a self, request: &Request<'_>, scratch: &'a mut [u8]) -> Response<'a> {
        let response = Response::build(scratch, Status::Ok);
        match request.path {
            b"/long" => response.body(&LONG),
            b"/longer" => response.body(&LONGER),
            b"/scratch" => response.body_with(|body| (0..13).for_each(|_| body.push_bytes(&LONGER[..5_000]))),
            [b'/', b'=', len @ ..] => response.body(&LONGER[..str::from_utf8(len).unwrap().parse::<usize>().unwrap()]),
            path => response.body_with(|body| body.push_bytes(path)),
        }
    }
}

fn engine(secrets: &[u8]) -> Engine<Echo> {
    let [first, former @ ..] = secrets else { panic!("there is a secret") };
    let mut config = Config { keep_alive: true, ..Config::new(Secret::new([*first; 16])) };
    for (slot, &byte) in config.former.iter_mut().zip(former) {
        *slot = Some(Secret::new([byte; 16]));
    }
    let mut addresses = Addresses::new();
    for address in ["10.9.0.2", "fd09::2"] {
        addresses.add(address.parse().unwrap()).unwrap();
    }
    config.addresses = addresses;
    Engine::new(config, Echo)
}

/// A client with timestamps, as RFC 7323 has it.
struct Client<'e> {
    dialogue: Dialogue<'e, Echo>,
    ends: Ends,
    next: u32,
    read: u32,
    echo: u32,
}

/// What is sent to a client.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Sent {
    payload: String,
    seq: u32,
    ack: u32,
    fin: bool,
    timestamp: u32,
}

impl<'e> Client<'e> {
    fn connected(engine: &'e Engine<Echo>, ends: Ends) -> Self {
        let mut client = Self { dialogue: Dialogue::new(engine), ends, next: ISN, read: 0, echo: 0 };
        let [sent] = &client.draw(&Segment::syn(&ends).seq(ISN).mss(1460).sack_permitted().timestamps(5, 0))[..] else {
            panic!("no SYN+ACK")
        };
        client.take(&sent.clone());
        (client.next, client.read) = (ISN + 1, sent.seq.wrapping_add(1));
        client
    }

    fn draw(&mut self, segment: &Segment) -> Vec<Sent> {
        let sent = self.dialogue.send(&segment.frame());
        let sent = sent.iter().filter_map(|frame| {
            let frame = Frame::dissect(frame).unwrap();
            assert_eq!(frame.problem(), None);
            // An ICMP error tells the client that it need not back off.
            let (_, tcp) = frame.tcp()?;
            Some(Sent {
                payload: String::from_utf8(tcp.payload.to_vec()).unwrap(),
                seq: tcp.seq.value(),
                ack: tcp.ack.value(),
                fin: tcp.flags.has(Flags::FIN),
                timestamp: tcp.timestamps.unwrap().0,
            })
        });
        sent.collect()
    }

    /// A segment that begins `skip` bytes behind what has been sent and acknowledged.
    fn segment(&self, skip: u32, payload: &str) -> Segment {
        let segment = Segment::ack(&self.ends).seq(self.next.wrapping_add(skip)).ack_number(self.read);
        segment.payload(payload).timestamps(5, self.echo)
    }

    fn send(&mut self, payload: &str) -> Vec<Sent> {
        self.draw(&self.segment(0, payload))
    }

    /// Receives it in order.
    fn take(&mut self, sent: &Sent) {
        assert!(
            sent.timestamp.wrapping_sub(self.echo) < HALF || self.read == 0,
            "an old duplicate (RFC 7323, section 5.3)"
        );
        self.echo = sent.timestamp;
        self.next = sent.ack;
        self.read = sent.seq.wrapping_add(sent.payload.len() as u32 + u32::from(sent.fin));
    }

    /// Sends a request, and receives the response.
    fn get(&mut self, path: &str) -> Sent {
        let request = request(path);
        let sent = self.send(&request);
        let [response] = &sent[..] else { panic!("{path}: {sent:?}") };
        assert_eq!((response.seq, response.ack), (self.read, self.next.wrapping_add(request.len() as u32)));
        self.take(response);
        response.clone()
    }

    fn verdict(&self) -> Verdict {
        self.dialogue.verdict().unwrap()
    }
}

fn request(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n")
}

fn clients(check: impl Fn(Client<'_>)) {
    for secrets in [&[7][..], &[7, 8], &[7, 8, 9]] {
        for ends in [Ends::v4(), Ends::v6()] {
            check(Client::connected(&engine(secrets), ends));
        }
    }
}

#[test]
fn a_connection_takes_any_number_of_requests_and_no_timestamp_goes_back() {
    clients(|mut client| {
        for number in 0..300 {
            let path = format!("/{number}");
            let response = client.get(&path);
            assert!(
                response.payload.starts_with("HTTP/1.1 200 OK\r\n")
                    && response.payload.ends_with(&format!("\r\n\r\n{path}"))
            );
            assert!(!response.payload.contains("Connection") && !response.fin);
        }
    });
}

#[test]
fn a_request_that_comes_again_draws_the_same_packet() {
    clients(|mut client| {
        client.get("/1");
        let [first, second] = [(); 2].map(|()| client.send(&request("/2")));
        assert_eq!(first, second);
    });
}

#[test]
fn a_part_of_a_request_that_looks_like_a_request_is_none() {
    clients(|mut client| {
        client.get("/1");
        for skip in (1..3000).chain([u32::MAX, u32::MAX - 1, HALF]) {
            assert_eq!(client.draw(&client.segment(skip, &request("/secret"))), [], "{skip}");
            assert_eq!(client.verdict(), Verdict::Dropped(DropReason::TcpCookie));
        }
        client.get("/2");
    });
}

#[test]
fn what_acknowledges_anything_else_than_the_whole_response_is_no_request() {
    clients(|mut client| {
        client.get("/1");
        for less in 1..200 {
            let segment = client.segment(0, &request("/2")).ack_number(client.read.wrapping_sub(less));
            assert_eq!(client.draw(&segment), [], "{less}");
        }
    });
}

/// Linux sends what is lost while it reads an acknowledgement, and before it reads the data behind that: with the
/// timestamp of that segment, and the old acknowledgement. The tag of a cookie has eight bits.
#[test]
fn what_acknowledges_the_syn_ack_and_echoes_a_later_timestamp_is_no_request() {
    let engine = engine(&[7]);
    for ends in (1..3000).map(|port| Ends::v4().client_port(port)) {
        let mut client = Client::connected(&engine, ends);
        let cookie = client.read;
        client.get("/1");
        client.read = cookie;
        assert_eq!(client.send(&request("/2")), [], "port {}", ends.client.port());
    }
}

#[test]
fn what_acknowledges_the_syn_ack_and_echoes_no_timestamp_of_ours_is_no_request() {
    let engine = engine(&[7]);
    let mut client = Client::connected(&engine, Ends::v4());
    let handshake = client.echo;
    // The lowest bit says that it does not take SACK.
    for bit in 1..u32::BITS {
        client.echo = handshake.wrapping_add(1 << bit);
        assert_eq!(client.send(&request("/2")), [], "bit {bit}");
    }
}

/// The rest of a request may come so as well, with the timestamp of the response to its beginning.
#[test]
fn what_follows_of_a_request_that_has_been_answered_is_no_request() {
    let engine = engine(&[7]);
    for ends in (1..3000).map(|port| Ends::v4().client_port(port)) {
        for path in ["/1", "/longer"] {
            let mut client = Client::connected(&engine, ends);
            let begin = format!("GET {path} HTTP/1.1\r\nX: ");
            let [first, ..] = &client.send(&begin)[..] else { panic!("{path} is answered") };
            client.echo = first.timestamp;
            let sent = client.draw(&client.segment(begin.len() as u32, &request("/2")));
            assert!(sent.iter().all(|sent| sent.payload.is_empty()), "{path}, port {}: {sent:?}", ends.client.port());
        }
    }
}

/// What begins as a target may be the rest of an answered request without its method, and is acknowledged as that.
#[test]
fn the_rest_of_a_request_is_not_acknowledged_whatever_it_begins_with() {
    let engine = engine(&[7]);
    let whole = request("/2");
    for ends in (1..20_000).map(|port| Ends::v6().client_port(port)) {
        let mut client = Client::connected(&engine, ends);
        client.get("/1");
        for begin in whole.match_indices('/').map(|(at, _)| at) {
            let drawn = client.draw(&client.segment(begin as u32, &whole[begin..]));
            assert_eq!(drawn, [], "port {}, from byte {begin}", ends.client.port());
        }
    }
}

/// It may also come again by itself, after a loss, while its client has a part of the response.
#[test]
fn what_follows_of_a_request_is_none_in_the_middle_of_the_response_either() {
    let engine = engine(&[7]);
    for ends in (1..4000).map(|port| Ends::v4().client_port(port)) {
        for is_later in [false, true] {
            let mut client = Client::connected(&engine, ends);
            if is_later {
                client.get("/1");
            }
            let begin = request("/=5000");
            let sent = client.send(&begin);
            for arrived in 1..sent.len() {
                (client.read, client.echo) = (sent[arrived].seq, sent[arrived - 1].timestamp);
                let drawn = client.draw(&client.segment(begin.len() as u32, &request("/=5000")));
                assert_eq!(drawn, [], "port {}, segment {arrived}, later: {is_later}", ends.client.port());
            }
        }
    }
}

#[test]
fn requests_in_a_packet_are_answered_together_in_order_with_the_bytes_that_each_draws_alone() {
    clients(|mut client| {
        for _ in 0..2 {
            let paths = ["/1", "/another", "/1", "/3"];
            let sent = client.send(&paths.map(request).concat());
            let [together] = &sent[..] else { panic!("{sent:?}") };
            let mut alone = String::new();
            let (next, read) = (client.next, client.read);
            for path in paths {
                let response = client.get(path);
                alone += &response.payload;
                assert_eq!(response.ack, client.next);
            }
            assert_eq!((&together.payload, together.seq, together.ack), (&alone, read, client.next));
            assert_eq!(together.ack.wrapping_sub(next) as usize, paths.map(request).concat().len());
        }
    });
}

#[test]
fn a_request_behind_another_that_is_cut_or_closes_is_not_acknowledged() {
    let closing = "GET /2 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    let with_body = "GET /2 HTTP/1.1\r\nHost: h\r\nContent-Length: 30\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n....";
    clients(|mut client| {
        for next in
            ["GET /2 HT", "GET /2 HTTP/1.1\r\nHost: h\r\n", closing, with_body, &request("/long"), "nonsense\r\n\r\n"]
        {
            let sent = client.send(&(request("/0") + &request("/1") + next));
            let [response] = &sent[..] else { panic!("{next}: {sent:?}") };
            assert_eq!(response.ack.wrapping_sub(client.next) as usize, request("/0").len() + request("/1").len());
            assert!(response.payload.ends_with("/1") && !response.fin, "{next}");
            client.take(response);
        }
    });
}

#[test]
fn as_many_requests_of_a_packet_are_answered_as_there_is_room_for_in_one_segment_and_the_window() {
    clients(|mut client| {
        let one = client.get("/").payload.len();
        for (window, fits) in
            [(u16::MAX, 1448 / one), (5 * one as u16, 4), (5 * one as u16 + 1, 5), (2 * one as u16, 1)]
        {
            let segment = client.segment(0, &request("/").repeat(40)).window(window);
            let sent = client.draw(&segment);
            let [response] = &sent[..] else { panic!("{sent:?}") };
            let at_most = if matches!(client.ends.client.ip(), std::net::IpAddr::V6(_)) { 1428 / one } else { fits };
            assert_eq!(response.payload.len() / one, fits.min(at_most), "{window}");
            assert_eq!(response.ack.wrapping_sub(client.next) as usize, request("/").len() * fits.min(at_most));
            client.take(response);
        }
    });
}

#[test]
fn requests_in_a_packet_with_a_fin_end_the_connection_once_the_last_is_answered() {
    clients(|mut client| {
        let both = client.segment(0, &(request("/1") + &request("/2"))).with(Flags::FIN);
        let sent = client.draw(&both);
        let [response] = &sent[..] else { panic!("{sent:?}") };
        assert!(response.fin && response.payload.ends_with("/2"));
        assert_eq!(response.ack.wrapping_sub(client.next) as usize, 2 * request("/1").len() + 1);
        let more = client.segment(0, &(request("/1") + &request("/long"))).with(Flags::FIN);
        let sent = client.draw(&more);
        let [response] = &sent[..] else { panic!("{sent:?}") };
        assert!(!response.fin && response.payload.ends_with("/1"));
        assert_eq!(response.ack.wrapping_sub(client.next) as usize, request("/1").len());
    });
}

#[test]
fn a_client_that_closes_is_answered_with_a_fin_once_it_has_everything() {
    clients(|mut client| {
        client.get("/1");
        let fin = |client: &Client<'_>, skip| client.segment(skip, "").with(Flags::FIN);
        // A request ahead of it is lost.
        assert_eq!(client.draw(&fin(&client, 40)), []);
        assert_eq!(client.verdict(), Verdict::Dropped(DropReason::TcpFinEarly));
        let sent = client.draw(&fin(&client, 0));
        let [answer] = &sent[..] else { panic!("{sent:?}") };
        assert!(answer.fin && answer.payload.is_empty());
        assert_eq!((answer.seq, answer.ack), (client.read, client.next.wrapping_add(1)));
    });
}

#[test]
fn a_request_with_a_fin_draws_the_bytes_that_it_draws_without() {
    clients(|mut client| {
        for path in ["/1", "/2"] {
            let [without, with] =
                [client.segment(0, &request(path)), client.segment(0, &request(path)).with(Flags::FIN)];
            let [without, with] = [without, with].map(|segment| client.draw(&segment).remove(0));
            assert_eq!((&without.payload, without.seq), (&with.payload, with.seq));
            assert_eq!((without.fin, with.fin), (false, true));
            assert_eq!(with.ack, without.ack.wrapping_add(1));
            client.take(&without);
        }
    });
}

#[test]
fn an_idle_client_that_asks_whether_we_are_there_gets_an_ack_no_larger() {
    clients(|mut client| {
        let probe = |client: &Client<'_>, payload| client.segment(u32::MAX, payload);
        assert_eq!(client.draw(&probe(&client, "")), [], "there has been no request");
        for path in ["/1", "/2"] {
            client.get(path);
            for payload in ["", "x"] {
                let segment = probe(&client, payload);
                let sent = client.dialogue.send(&segment.frame());
                assert_eq!(client.verdict(), Verdict::Replied(ReplyKind::KeepAlive));
                assert!(sent.len() == 1 && sent[0].len() <= segment.frame().len());
                let sent = client.draw(&segment);
                assert_eq!((sent[0].seq, sent[0].ack, sent[0].timestamp), (client.read, client.next, client.echo));
            }
            assert_eq!(client.draw(&client.segment(0, "")), []);
            assert_eq!(client.verdict(), Verdict::Absorbed(Absorbed::Ack));
        }
    });
}

#[test]
fn a_request_that_closes_or_may_have_a_body_is_the_last_one() {
    let fields = [
        "Connection: close",
        "connection: keep-alive, Close",
        "Connection: upgrade\r\nUpgrade: h2c",
        "Content-Length: 3",
        "Transfer-Encoding: chunked",
        "Expect: 100-continue",
        "Two words: x",
        ": x",
        "x: y\r\n z: folded",
        "x: a\0b",
        "x: a\rb",
    ];
    clients(|mut client| {
        client.get("/1");
        for field in fields {
            let sent = client.send(&format!("GET /2 HTTP/1.1\r\nHost: h\r\n{field}\r\n\r\n"));
            assert!(sent[0].fin && sent[0].payload.contains("\r\nConnection: close\r\n"), "{field}: {sent:?}");
            assert!(sent[0].timestamp.wrapping_sub(client.echo) < HALF);
        }
        for bare in ["GET /2 HTTP/1.1\nHost: h\r\n\r\n", "GET /2 HTTP/1.1\r\nHost: h\n\r\n", "GET /2 HTTP/1.0\r\n\r\n"]
        {
            assert!(client.send(bare)[0].fin, "{bare:?}");
        }
        for field in ["Connection: keep-alive", "Connection: ,", "Content-Length: 0", "X: \ty\u{e9}"] {
            let sent = client.send(&format!("GET /2 HTTP/1.1\r\n{field}\r\nHost: h\r\n\r\n"));
            assert!(!sent[0].fin, "{field}: {sent:?}");
        }
    });
}

#[test]
fn a_client_of_http_1_0_says_that_it_keeps_its_connection_and_is_told_so() {
    clients(|mut client| {
        for path in ["/1", "/2"] {
            let sent = client.send(&format!("GET {path} HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"));
            let [response] = &sent[..] else { panic!("{sent:?}") };
            assert!(!response.fin && response.payload.ends_with(&format!("\r\nConnection: keep-alive\r\n\r\n{path}")));
            client.take(response);
        }
    });
}

/// What would be sent could be taken for a part of the response to the whole request: nothing is.
#[test]
fn half_a_header_section_or_a_response_of_many_segments_ends_a_connection_that_was_kept_open() {
    clients(|mut client| {
        client.get("/1");
        for payload in ["GET /2 HTTP/1.1\r\nHost:".to_owned(), request("/longer")] {
            let sent = client.send(&payload);
            assert!(sent.len() == 1 && sent[0].fin && sent[0].payload.is_empty(), "{payload}: {sent:?}");
            assert_eq!(client.verdict(), Verdict::Replied(ReplyKind::Closed));
        }
        // The end of a request line is waited for.
        assert_eq!(client.send("GET /2 HT"), []);
    });
}

/// It is not stored, so no ACK could tell where its client is: all of it goes out at once.
#[test]
fn a_response_of_a_few_segments_ends_a_connection_that_was_kept_open_whatever_gets_lost() {
    for (ends, secrets) in [(Ends::v4(), &[7][..]), (Ends::v6(), &[7]), (Ends::v4(), &[8, 7])] {
        let (before, engine) = (engine(&[7]), engine(secrets));
        let mut client = Client::connected(&before, ends);
        client.get("/1");
        client.dialogue = Dialogue::new(&engine);
        let sent = client.send(&request("/long"));
        assert_eq!(sent.iter().map(|segment| segment.fin).collect::<Vec<_>>(), [false, false, false, true]);
        let whole: String = sent.iter().map(|segment| segment.payload.as_str()).collect();
        let body = str::from_utf8(&LONG).unwrap();
        assert_eq!(whole, format!("HTTP/1.1 200 OK\r\nContent-Length: 5000\r\nConnection: close\r\n\r\n{body}"));
        assert!(sent.iter().all(|segment| segment.ack == client.next), "nothing of the request is acknowledged");
        assert_eq!(client.send(&request("/long")), sent, "it comes again");
        // Whatever has arrived, the request that comes again draws the rest, of the same bytes.
        let start = client.read;
        for arrived in 1..4 {
            client.read = sent[arrived].seq;
            client.echo = sent[arrived - 1].timestamp;
            let rest = client.send(&request("/long"));
            assert_eq!(rest, sent[arrived..]);
            // An ACK draws nothing, and what acknowledges anything else neither.
            assert_eq!(client.draw(&client.segment(0, "")), []);
            client.read = client.read.wrapping_add(1);
            assert_eq!(client.send(&request("/long")), []);
        }
        client.read = start.wrapping_add(whole.len() as u32 + 1);
        let len = request("/long").len() as u32;
        let [settled] = &client.send(&request("/long"))[..] else { panic!("an ACK") };
        assert_eq!((settled.payload.as_str(), settled.ack), ("", client.next + len));
        // Before that, it is unknown whether all has arrived.
        assert_eq!(client.draw(&client.segment(len, "").with(Flags::FIN)), []);
        client.echo = settled.timestamp;
        let fin = client.segment(len, "").with(Flags::FIN);
        let [acknowledged] = &client.draw(&fin)[..] else { panic!("an ACK") };
        assert_eq!(acknowledged.ack, client.next + len + 1);
    }
}

/// Where two ends of a segment would look alike, the connection ends without a response.
#[test]
fn a_client_is_told_how_it_goes_on_wherever_it_is_in_a_response_of_a_few_segments() {
    let engine = engine(&[7]);
    for len in (1400_u16..14_300).step_by(7) {
        let mut client = Client::connected(&engine, Ends::v4().client_port(len));
        client.get("/1");
        let request = request(&format!("/={len}"));
        let sent = client.send(&request);
        let end = sent.last().unwrap().seq.wrapping_add(sent.last().unwrap().payload.len() as u32);
        for arrived in 1..sent.len() {
            (client.read, client.echo) = (sent[arrived].seq, sent[arrived - 1].timestamp);
            assert_eq!(client.send(&request), sent[arrived..], "{len}, {arrived}");
        }
        // With the FIN that came behind the response, or without.
        for read in [end, end.wrapping_add(1)] {
            client.read = read;
            let again = client.draw(&client.segment(0, &request).with(Flags::FIN));
            let fin = sent.last().filter(|_| read == end).map_or(0, |last| u32::from(last.fin));
            assert!(
                again.len() == 1 && u32::from(again[0].fin) == fin && again[0].payload.is_empty(),
                "{len}: {again:?}"
            );
        }
    }
}

#[test]
fn a_request_that_not_every_segment_holds_is_answered_from_its_beginning_and_closes() {
    let field = |len: usize| format!("GET /a HTTP/1.1\r\nHost: h\r\nCookie: {}", "c".repeat(len));
    for (ends, most) in [(Ends::v4(), 1420), (Ends::v6(), 1400)] {
        let engine = engine(&[7]);
        let mut client = Client::connected(&engine, ends);
        client.get("/1");
        let full = field(most - field(0).len());
        let [cut] = &client.send(&full)[..] else { panic!("one segment") };
        assert!(cut.fin && cut.payload.contains("Connection: close\r\n") && cut.payload.ends_with("\r\n\r\n/a"));
        assert_eq!(client.send(&full), std::slice::from_ref(cut), "it comes again");
        // So is all that is longer, however much of it a device on our side has merged.
        for merged in [full.clone() + "c", full.clone() + "\r\n\r\n", full.clone() + &"c".repeat(most)] {
            assert_eq!(client.send(&merged)[0].payload, cut.payload);
            assert_eq!(client.send(&merged)[0].seq, cut.seq);
            assert!(client.send(&merged)[0].fin);
        }
        let with_fin = client.segment(0, &(full.clone() + "\r\n\r\n")).with(Flags::FIN);
        assert_eq!(client.draw(&with_fin)[0], *cut);
        // One byte less may be a part of what every segment holds.
        let [shorter] = &client.send(&full[..most - 1])[..] else { panic!("one segment") };
        assert_eq!((shorter.payload.as_str(), shorter.fin), ("", true));
    }
}

#[test]
fn a_client_that_has_the_last_response_gets_its_fin_acknowledged() {
    clients(|mut client| {
        for path in ["/1", "/2", "/3"] {
            client.get(path);
        }
        let sent = client.send("GET /4 HTTP/1.1\r\nConnection: close\r\n\r\n");
        client.take(&sent[0]);
        let sent = client.draw(&client.segment(0, "").with(Flags::FIN));
        assert!(sent.len() == 1 && !sent[0].fin && sent[0].ack == client.next.wrapping_add(1), "{sent:?}");
    });
}

#[test]
fn a_secret_that_is_rotated_keeps_its_connections() {
    for ends in [Ends::v4(), Ends::v6()] {
        let engines = [&[7][..], &[8, 7], &[9, 8, 7]].map(engine);
        let mut client = Client::connected(&engines[0], ends);
        client.get("/0");
        for engine in &engines {
            client.dialogue = Dialogue::new(engine);
            client.get("/1");
        }
        let stranger = engine(&[10]);
        client.dialogue = Dialogue::new(&stranger);
        assert_eq!(client.send(&request("/2")), []);
    }
}

proptest! {
    /// However long ago, and however its packets are repeated: a response belongs to its request, and follows the last.
    #[test]
    fn whatever_is_repeated_no_response_belongs_to_another_request(
        steps in prop::collection::vec((0..4_u8, 0..1000_u32, 1..4_usize), 1..60),
    ) {
        let engine = engine(&[7]);
        let mut client = Client::connected(&engine, Ends::v4());
        let mut all: Vec<(Segment, Vec<Sent>)> = Vec::new();
        for (step, number, count) in steps {
            if step == 0 && !all.is_empty() {
                let (segment, sent) = all[number as usize % all.len()].clone();
                prop_assert_eq!(client.draw(&segment), sent, "the same packet, the same answer");
                continue;
            }
            let path = format!("/{}", "x".repeat(number as usize / count / 2));
            let segment = client.segment(0, &request(&path).repeat(count));
            let sent = client.draw(&segment);
            prop_assert_eq!(sent.len(), 1);
            prop_assert!(sent[0].payload.ends_with(&format!("\r\n\r\n{path}")), "another response");
            let answered = sent[0].payload.matches("HTTP/1.1 200 OK").count();
            prop_assert_eq!(sent[0].ack.wrapping_sub(client.next) as usize, answered * request(&path).len());
            prop_assert!(answered == count || number > 500, "{} of {}", answered, count);
            prop_assert!(sent[0].timestamp.wrapping_sub(client.echo) < HALF);
            all.push((segment, sent.clone()));
            client.take(&sent[0]);
        }
    }
}

#[test]
fn each_response_is_told_of_and_whether_it_is_to_the_first_request() {
    let now = Instant::from_unix_seconds(1_700_000_000);
    let mut scratch = vec![0; lethe::engine::SCRATCH_LEN];
    let engine = engine(&[7]);
    let sample = Engine::new(engine.config().clone(), Sample::new(100_000));
    let answered = |reply: &Reply<'_>| {
        let statuses: Vec<_> = reply.answers().map(|answered| answered.status).collect();
        (statuses, reply.is_to_later_request())
    };
    for ends in [Ends::v4(), Ends::v6()] {
        let mut ask = |frame: &[u8]| answered(&sample.handle(now, RxFrame::unchecked(frame), &mut scratch));
        let kept = KeptFetch::new(&sample, now, &ends, "/100").unwrap();
        assert_eq!(ask(&kept.first), (vec![200], false));
        assert_eq!(ask(&kept.get), (vec![200], true));
        assert_eq!([&kept.fin, &kept.probe].map(|frame| ask(frame)), [(vec![], false), (vec![], false)]);
        let long = LongFetch::new(&sample, now, &ends, "/100", "/100000").unwrap();
        assert_eq!([&long.get, &long.ack].map(|frame| ask(frame)), [(vec![200], true), (vec![], false)]);
        let mut client = Client::connected(&engine, ends);
        for is_later in [false, true] {
            let several = client.segment(0, &request("/1").repeat(3)).frame();
            let reply = engine.handle(client.dialogue.now(), RxFrame::unchecked(&several), &mut scratch);
            assert_eq!(reply.verdict(), Verdict::Replied(ReplyKind::Response));
            assert_eq!(answered(&reply), (vec![200; 3], is_later));
            client.get("/2");
        }
    }
}

#[test]
fn a_response_that_needs_all_of_the_scratch_buffer_is_not_answered_together_with_others() {
    let engine = engine(&[7]);
    // Without a body it fits a packet, but its length has to be found out.
    let head = request("/scratch").replace("GET", "HEAD");
    for ends in [Ends::v4(), Ends::v6()] {
        for together in [request("/1") + &head, head.clone() + &request("/1")] {
            let mut client = Client::connected(&engine, ends);
            let mut answered = String::new();
            while (client.next as usize) < ISN as usize + 1 + together.len() {
                let rest = &together[client.next as usize - ISN as usize - 1..];
                let sent = client.send(rest);
                assert!(!sent.is_empty(), "nothing after {answered}");
                for sent in sent {
                    client.take(&sent);
                    answered += &sent.payload;
                }
            }
            assert_eq!(answered.matches("HTTP/1.1 200 OK").count(), 2, "{answered}");
            assert_eq!(answered.matches("Content-Length: 65000").count(), 1, "{answered}");
        }
    }
}
