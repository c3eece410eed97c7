//! What the servers of `benches/peers` answer, over the loopback device.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use lethe::engine::SCRATCH_LEN;
use lethe::http::RequestLine;
use lethe::{App, Request};
use lethe_apps::ipinfo::IpInfo;

const MODELS: [&str; 5] = ["epoll", "poll", "threads", "processes", "uring"];

const GET: &str = "GET /202.96.128.86 HTTP/1.1\r\nHost: lethe\r\nConnection: close\r\n\r\n";

/// A server on a port of its own, until the end of the test.
struct Peer {
    child: Child,
    address: String,
}

impl Peer {
    fn start(model: &str) -> Self {
        Self::start_with(model, &[])
    }

    fn start_with(model: &str, options: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_lethe-peers"))
            .args([model, "127.0.0.1:0"])
            .args(options)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim_end().strip_prefix("listening on http://").unwrap().trim_end_matches('/').to_owned();
        Self { child, address }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }

    /// What comes until the server closes, for a request that goes in these parts.
    fn ask(&self, parts: &[&str]) -> String {
        let mut stream = self.connect();
        for part in parts {
            stream.write_all(part.as_bytes()).unwrap();
            // Long enough that they are read one by one, mostly; the answer is the same if not.
            thread::sleep(Duration::from_millis(20));
        }
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What `lethe serve … ipinfo` answers a GET with.
fn lethe(request: &str) -> String {
    let line = RequestLine::parse(request.as_bytes()).unwrap();
    let client = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let mut scratch = vec![0; SCRATCH_LEN];
    let app = IpInfo::embedded();
    let response = app.respond(&Request::of_line(&line).with_client(client), &mut scratch);
    String::from_utf8([response.head(), response.body()].concat()).unwrap()
}

#[test]
fn every_model_answers_as_lethe_does() {
    for model in MODELS {
        let peer = Peer::start(model);
        let (nothing, page) = (GET.replace("202.96.128.86", "nothing"), GET.replace("202.96.128.86", "?ip=8.8.8.8"));
        for request in [GET, nothing.as_str(), page.as_str()] {
            assert_eq!(peer.ask(&[request]), lethe(request), "{model}");
        }
        let head = peer.ask(&[&GET.replace("GET", "HEAD")]);
        assert_eq!(head, lethe(GET).split_inclusive("\r\n\r\n").next().unwrap(), "{model}");
        assert!(peer.ask(&["nonsense\r\n\r\n"]).starts_with("HTTP/1.1 400 "), "{model}");
    }
}

#[test]
fn a_request_may_come_in_parts_and_a_client_may_go() {
    for model in MODELS {
        let peer = Peer::start(model);
        let (first, second) = GET.split_at(9);
        assert_eq!(peer.ask(&[first, second]), lethe(GET), "{model}");
        // Neither of these is answered, and others do not wait for them.
        let idle = peer.connect();
        let mut gone = peer.connect();
        gone.write_all(first.as_bytes()).unwrap();
        gone.shutdown(Shutdown::Write).unwrap();
        assert_eq!(gone.read(&mut [0; 16]).unwrap(), 0, "{model}");
        assert_eq!(peer.ask(&[GET]), lethe(GET), "{model}");
        drop(idle);
    }
}

#[test]
fn connections_stay_open_where_that_is_wanted() {
    let keeps = GET.replace("Connection: close\r\n", "");
    let old = keeps.replace("HTTP/1.1", "HTTP/1.0").replace("\r\n\r\n", "\r\nConnection: keep-alive\r\n\r\n");
    let kept = lethe(GET).replace("Connection: close\r\n", "");
    let told = lethe(GET).replace("Connection: close", "Connection: keep-alive");
    for model in MODELS {
        let peer = Peer::start_with(model, &["--keep-alive"]);
        let mut stream = peer.connect();
        let mut hear = |request: &str, expected: &str| {
            let mut answer = vec![0; expected.len()];
            stream.write_all(request.as_bytes()).unwrap();
            stream.read_exact(&mut answer).unwrap();
            assert_eq!(String::from_utf8_lossy(&answer), expected, "{model}");
        };
        hear(&keeps, &kept);
        hear(&old, &told);
        // Two together, and half of a third.
        let (half, rest) = keeps.split_at(30);
        hear(&[&keeps, &keeps, half].concat(), &kept.repeat(2));
        hear(rest, &kept);
        hear(GET, &lethe(GET));
        assert_eq!(stream.read(&mut [0; 16]).unwrap(), 0, "{model}: it asked for the end");
        assert_eq!(peer.ask(&[&keeps.replace("HTTP/1.1", "HTTP/1.0")]), lethe(GET), "{model}");
        assert!(peer.ask(&["nonsense\r\n\r\n"]).starts_with("HTTP/1.1 400 "), "{model}");

        let closing = Peer::start(model);
        assert_eq!(closing.ask(&[&keeps]), lethe(GET), "{model}: without the option");
    }
}

#[test]
fn many_clients_at_once_get_what_one_gets() {
    for model in MODELS {
        let peer = Peer::start(model);
        let expected = lethe(GET);
        let mut streams: Vec<_> = (0..200).map(|_| peer.connect()).collect();
        for stream in &mut streams {
            stream.write_all(GET.as_bytes()).unwrap();
        }
        for mut stream in streams {
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            assert_eq!(answer, expected, "{model}");
        }
    }
}
