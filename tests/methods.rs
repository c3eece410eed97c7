//! Other methods than `GET` and `HEAD`, for an application that wants them; and several TCP ports.

use lethe::config::{Addresses, Config, Ports, Refuse};
use lethe::cookie::Secret;
use lethe::http::{Method, Methods, Response, Status, Writer};
use lethe::verdict::{Absorbed, DropReason, ReplyKind, Verdict};
use lethe::{App, Engine, Request};
use lethe_sim::dialogue::Dialogue;
use lethe_sim::dissect::Frame;
use lethe_sim::frame::{Ends, Segment};

const ISN: u32 = 1000;

/// Tells method, path and port; redirects where the path is `/moved`.
struct Api {
    methods: Methods,
}

impl App for Api {
    fn respond<'a>(&'a self, request: &Request<'_>, scratch: &'a mut [u8]) -> Response<'a> {
        if request.path == b"/moved" {
            let status = Status::moved(request.method);
            return Response::build(scratch, status).header("Location", "/").body(b"");
        }
        let tell = |body: &mut Writer<'_>| {
            body.push(request.method.name());
            body.push(" ");
            body.push_bytes(request.path);
            body.push(" ");
            body.push_decimal(request.port.into());
        };
        Response::build(scratch, Status::Ok).body_with(tell)
    }

    fn methods(&self) -> Methods {
        self.methods
    }
}

fn engine(methods: Methods, ports: &[u16]) -> Engine<Api> {
    let mut config =
        Config { refuse: Refuse::Reset, keep_alive: false, ..Config::new(Secret::new(*b"not a secret key")) };
    let mut addresses = Addresses::new();
    for address in ["10.9.0.2", "fd09::2"] {
        addresses.add(address.parse().unwrap()).unwrap();
    }
    config.addresses = addresses;
    config.tcp_ports = Ports::new(ports[0]).unwrap();
    for &port in &ports[1..] {
        config.tcp_ports.add(port).unwrap();
    }
    Engine::new(config, Api { methods })
}

fn with_post() -> Methods {
    Methods::GET_AND_HEAD.with(Method::Post).with(Method::Options)
}

/// A client whose handshake is done.
struct Client<'e> {
    dialogue: Dialogue<'e, Api>,
    ends: Ends,
    timestamps: bool,
    cookie: u32,
    echo: u32,
}

impl<'e> Client<'e> {
    fn connected(engine: &'e Engine<Api>, ends: Ends, timestamps: bool) -> Self {
        let mut client = Self { dialogue: Dialogue::new(engine), ends, timestamps, cookie: 0, echo: 0 };
        let syn = Segment::syn(&ends).seq(ISN).mss(1460);
        let syn = if timestamps { syn.timestamps(5, 0) } else { syn };
        let sent = client.dialogue.send(&syn.frame());
        let frame = Frame::dissect(&sent[0]).unwrap();
        let (_, tcp) = frame.tcp().unwrap();
        client.cookie = tcp.seq.value();
        client.echo = tcp.timestamps.map_or(0, |(value, _)| value);
        client
    }

    /// A segment that stands `sent` bytes behind the start of the request.
    fn at(&self, sent: u32, read: u32, payload: &str) -> Segment {
        let ack = self.cookie.wrapping_add(1 + read);
        let segment = Segment::ack(&self.ends).seq(ISN + 1 + sent).ack_number(ack).payload(payload);
        if self.timestamps { segment.timestamps(5, self.echo) } else { segment }
    }

    /// What is sent for a segment: its payload, and what it acknowledges.
    fn send(&mut self, segment: &Segment) -> Vec<(String, u32)> {
        let sent = self.dialogue.send(&segment.frame());
        sent.iter()
            .map(|frame| {
                let frame = Frame::dissect(frame).unwrap();
                assert_eq!(frame.problem(), None);
                let (_, tcp) = frame.tcp().unwrap();
                (String::from_utf8(tcp.payload.to_vec()).unwrap(), tcp.ack.value().wrapping_sub(ISN + 1))
            })
            .collect()
    }

    fn request(&mut self, request: &str) -> String {
        let sent = self.send(&self.at(0, 0, request));
        let [(response, acked)] = &sent[..] else { panic!("{request:?}: {sent:?}") };
        assert_eq!(*acked as usize, request.len(), "all of it is acknowledged");
        response.clone()
    }

    fn verdict(&self) -> Verdict {
        self.dialogue.verdict().unwrap()
    }
}

/// Every client: of both families, with timestamps and without.
fn clients(engine: &Engine<Api>, check: impl Fn(Client<'_>)) {
    for ends in [Ends::v4(), Ends::v6()] {
        for timestamps in [true, false] {
            check(Client::connected(engine, ends, timestamps));
        }
    }
}

#[test]
fn what_an_application_answers_it_is_asked_and_nothing_else() {
    let engine = engine(with_post(), &[80]);
    for method in ["GET", "POST", "OPTIONS", "HEAD"] {
        clients(&engine, |mut client| {
            let response = client.request(&format!("{method} /a HTTP/1.1\r\nHost: h\r\n\r\n"));
            assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
            let body = if method == "HEAD" { String::new() } else { format!("{method} /a 80") };
            assert_eq!(response.split_once("\r\n\r\n").unwrap().1, body);
        });
    }
    for method in ["PUT", "DELETE", "PATCH", "TRACE", "BREW"] {
        clients(&engine, |mut client| {
            if method == "BREW" && !client.timestamps {
                // For all that is known it is a later part of a request.
                return;
            }
            let response = client.request(&format!("{method} /a HTTP/1.1\r\nHost: h\r\n\r\n"));
            assert!(response.starts_with("HTTP/1.1 405 Method Not Allowed\r\n"), "{response}");
            assert!(response.contains("\r\nAllow: GET, HEAD, POST, OPTIONS\r\n"), "{response}");
            assert!(response.ends_with("\r\n\r\nOnly GET, HEAD, POST and OPTIONS are answered here.\n"), "{response}");
        });
    }
}

#[test]
fn options_may_ask_for_the_server() {
    clients(&engine(with_post(), &[80]), |mut client| {
        assert!(client.request("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n").ends_with("\r\n\r\nOPTIONS * 80"));
    });
}

#[test]
fn a_redirect_of_post_is_a_308() {
    clients(&engine(with_post(), &[80]), |mut client| {
        let response = client.request("POST /moved HTTP/1.0\r\nContent-Length: 3\r\n\r\na=b");
        assert!(response.starts_with("HTTP/1.1 308 Permanent Redirect\r\nLocation: /\r\n"), "{response}");
    });
    clients(&engine(with_post(), &[80]), |mut client| {
        assert!(client.request("GET /moved HTTP/1.0\r\n\r\n").starts_with("HTTP/1.1 301 Moved Permanently\r\n"));
    });
}

#[test]
fn a_body_changes_nothing_of_the_response() {
    const HEAD: &str = "POST /a HTTP/1.0\r\nContent-Length: 21\r\n\r\n";
    for body in ["", "a", "GET /b HTTP/1.0\r\n\r\n\r\n"] {
        clients(&engine(with_post(), &[80]), |mut client| {
            let echo = client.echo;
            let first = client.request(HEAD);
            // The response is lost, and the request comes again, with what of its body there was in the meantime.
            client.echo = echo;
            assert_eq!(client.request(&format!("{HEAD}{body}")), first);
        });
    }
}

#[test]
fn a_body_in_a_later_packet_is_acknowledged_and_no_request_even_if_it_looks_like_one() {
    const HEAD: &str = "POST /a HTTP/1.0\r\nContent-Length: 30\r\n\r\n";
    for body in ["a=b", "GET /b HTTP/1.0\r\n\r\n", "POST /b HTTP/1.0\r\n\r\n"] {
        for ends in [Ends::v4(), Ends::v6()] {
            let engine = engine(with_post(), &[80]);
            let mut client = Client::connected(&engine, ends, true);
            let response = client.request(HEAD);
            // It has the response, and its timestamp.
            let sent = client.dialogue.send(&client.at(HEAD.len() as u32, 0, "").frame());
            assert!(sent.is_empty());
            client.echo = client.echo_of_whole(HEAD);
            let later = client.at(HEAD.len() as u32, response.len() as u32 + 1, body);
            let sent = client.send(&later);
            assert_eq!(client.verdict(), Verdict::Replied(ReplyKind::LateAck), "{body}");
            assert_eq!(sent, [(String::new(), (HEAD.len() + body.len()) as u32)]);
        }
    }
}

impl Client<'_> {
    /// The timestamp of the response to a request.
    fn echo_of_whole(&mut self, request: &str) -> u32 {
        let sent = self.dialogue.send(&self.at(0, 0, request).frame());
        Frame::dissect(&sent[0]).unwrap().tcp().unwrap().1.timestamps.unwrap().0
    }
}

#[test]
fn a_request_from_before_our_time_is_one_only_with_a_method_of_the_application() {
    let old = |methods, request: &str| {
        let engine = engine(methods, &[80]);
        let mut client = Client::connected(&engine, Ends::v4(), true);
        client.cookie = client.cookie.wrapping_add(1 << 20);
        client.echo ^= 1 << 31;
        client.send(&client.at(0, 0, request));
        client.verdict()
    };
    let post = "POST / HTTP/1.0\r\n\r\n";
    assert_eq!(old(with_post(), post), Verdict::Replied(ReplyKind::Reset));
    assert_eq!(old(Methods::GET_AND_HEAD, post), Verdict::Dropped(DropReason::TcpCookie));
    assert_eq!(old(Methods::GET_AND_HEAD, "GET / HTTP/1.0\r\n\r\n"), Verdict::Replied(ReplyKind::Reset));
}

#[test]
fn several_ports_are_served_and_a_request_tells_its_own() {
    let ports = [80, 8080, 8008, 591];
    let engine = engine(Methods::GET_AND_HEAD, &ports);
    for port in ports {
        for ends in [Ends::v4(), Ends::v6()] {
            let mut client = Client::connected(&engine, ends.server_port(port), true);
            let response = client.request("GET /a HTTP/1.0\r\n\r\n");
            assert!(response.ends_with(&format!("\r\n\r\nGET /a {port}")), "{response}");
        }
    }
}

#[test]
fn other_ports_are_closed_and_a_cookie_is_of_one_port() {
    let engine = engine(Methods::GET_AND_HEAD, &[80, 8080]);
    let mut dialogue = Dialogue::new(&engine);
    for port in [0, 81, 443, 8081] {
        dialogue.send(&Segment::syn(&Ends::v4().server_port(port)).seq(ISN).frame());
        assert_eq!(dialogue.verdict(), Some(Verdict::Replied(ReplyKind::Reset)), "{port}");
        dialogue.send(&Segment::ack(&Ends::v4().server_port(port)).seq(ISN).frame());
        assert_eq!(dialogue.verdict(), Some(Verdict::Replied(ReplyKind::Reset)), "{port}");
    }
    dialogue.send(&Segment::ack(&Ends::v4().server_port(8080)).seq(ISN).frame());
    assert_eq!(dialogue.verdict(), Some(Verdict::Absorbed(Absorbed::Ack)));
    let mut client = Client::connected(&engine, Ends::v4(), false);
    client.ends = client.ends.server_port(8080);
    client.send(&client.at(0, 0, "GET / HTTP/1.0\r\n\r\n"));
    assert_eq!(client.verdict(), Verdict::Replied(ReplyKind::Reset));
}
