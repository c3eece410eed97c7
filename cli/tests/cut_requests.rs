//! Requests that a client writes in pieces, from a real kernel through a real TAP device and a bad network: no reply is
//! made of two. Needs root.
//!
//! A kernel puts pieces together when it sends them again, so the server sees the request line alone first, and line
//! and header fields later; `files` has another form of a file for each.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use lethe_harness::test;
use lethe_testnet::{Namespace, Server};
use tempfile::TempDir;

/// Fetches of each kind where nothing else is said; `LETHE_CUT_REQUESTS=2000` is a long measurement.
const FETCHES: usize = 200;

/// Clients at a time.
const CLIENTS: usize = 20;

/// A file and its compressed form.
struct Site {
    folder: TempDir,
    plain: Vec<u8>,
    gzip: Vec<u8>,
}

fn site() -> Site {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("big.css");
    let plain: Vec<u8> = (0..60_000_u32).flat_map(|number| number.wrapping_mul(2_654_435_761).to_be_bytes()).collect();
    fs::write(&path, &plain).unwrap();
    assert!(std::process::Command::new("gzip").arg("--keep").arg(&path).status().unwrap().success());
    let gzip = fs::read(folder.path().join("big.css.gz")).unwrap();
    Site { folder, plain, gzip }
}

/// A server of that site behind a network that loses so much.
fn serve(folder: &Path, network: &str) -> (Namespace, Server) {
    let space = Namespace::new();
    let server = Server::start(&space, &format!("--impair {network} files {}", folder.display()));
    space.patient_neighbors("lethe0").unwrap();
    (space, server)
}

/// What came of a fetch.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Plain,
    Gzip,
    /// To another path.
    Redirect(String),
    Wrong(String),
}

/// Sends a request for a path in these writes, and reads the reply to its end.
fn fetch(writes: &[String], nagle: bool, pause: Duration) -> Vec<u8> {
    let mut stream = TcpStream::connect("10.9.0.2:80").unwrap();
    stream.set_nodelay(!nagle).unwrap();
    stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    for (number, write) in writes.iter().enumerate() {
        if number > 0 {
            thread::sleep(pause);
        }
        // The server may have answered and closed already.
        let _ = stream.write_all(write.as_bytes());
    }
    let mut reply = Vec::new();
    let mut buffer = vec![0; 65_536];
    while !is_complete(&reply) {
        match stream.read(&mut buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Ok(0) | Err(_) => break,
            Ok(len) => reply.extend_from_slice(&buffer[..len]),
        }
    }
    // A byte too many would come now.
    stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let _ = stream.read_to_end(&mut reply);
    reply
}

/// Whether a reply has the length that its head says.
fn is_complete(reply: &[u8]) -> bool {
    let Some(end) = reply.windows(4).position(|bytes| bytes == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&reply[..end]).to_ascii_lowercase();
    let len = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
    len.is_some_and(|len| reply.len() >= end + 4 + len)
}

fn outcome(reply: &[u8], site: &Site) -> Outcome {
    let Some(end) = reply.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Outcome::Wrong(format!("{} bytes without a head", reply.len()));
    };
    let (head, body) = (String::from_utf8_lossy(&reply[..end]).into_owned(), &reply[end + 4..]);
    let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    match (head.lines().next(), field("Content-Encoding")) {
        (Some("HTTP/1.1 200 OK"), None) if body == site.plain => Outcome::Plain,
        (Some("HTTP/1.1 200 OK"), Some("gzip")) if body == site.gzip => Outcome::Gzip,
        (Some("HTTP/1.1 307 Temporary Redirect"), None) if body.is_empty() => {
            Outcome::Redirect(field("Location").unwrap_or_default().to_owned())
        }
        _ => Outcome::Wrong(format!("{head}\n... and {} bytes", body.len())),
    }
}

/// The pieces of a request for a path.
fn pieces(path: &str) -> Vec<String> {
    vec![format!("GET {path} HTTP/1.1\r\n"), "Host: h\r\n".to_owned(), "Accept-Encoding: gzip\r\n\r\n".to_owned()]
}

/// Fetches that file so often, each request in pieces, and returns the longest that one took, with its redirect.
fn fetch_all(space: &Namespace, site: Arc<Site>, fetches: usize, nagle: bool) -> Duration {
    space.enter(move || {
        let client = |client: usize| {
            let site = Arc::clone(&site);
            thread::spawn(move || {
                let mut longest = Duration::ZERO;
                for number in (client..fetches).step_by(CLIENTS) {
                    let pause = Duration::from_millis(number as u64 * 7 % 30);
                    let start = Instant::now();
                    let first = outcome(&fetch(&pieces("/big.css"), nagle, pause), &site);
                    let last = match &first {
                        Outcome::Redirect(target) => {
                            let encoding = target.strip_prefix("/big.css?encoding=").unwrap_or("none");
                            let expect = if encoding == "gzip" { Outcome::Gzip } else { Outcome::Plain };
                            let second = outcome(&fetch(&pieces(target), nagle, pause), &site);
                            assert_eq!(second, expect, "{target}");
                            second
                        }
                        _ => first,
                    };
                    assert!(matches!(last, Outcome::Plain | Outcome::Gzip), "{last:?}");
                    longest = longest.max(start.elapsed());
                }
                longest
            })
        };
        let clients: Vec<_> = (0..CLIENTS).map(client).collect();
        clients.into_iter().map(|client| client.join().unwrap()).max().unwrap()
    })
}

fn fetches() -> usize {
    std::env::var("LETHE_CUT_REQUESTS").map_or(FETCHES, |text| text.parse().expect("LETHE_CUT_REQUESTS is a number"))
}

#[test(root)]
fn no_reply_to_a_request_in_pieces_is_made_of_two() {
    let site = Arc::new(site());
    let (space, _server) = serve(site.folder.path(), "loss=5%,delay=10ms");
    for nagle in [false, true] {
        let longest = fetch_all(&space, Arc::clone(&site), fetches(), nagle);
        println!("{} fetches in pieces, Nagle's algorithm {nagle}: all right, the longest took {longest:?}", fetches());
    }
}

#[test(root, "nc")]
fn a_request_typed_line_by_line_is_answered_at_once() {
    let site = site();
    let (space, _server) = serve(site.folder.path(), "delay=1ms");
    for (path, status) in [("/big.css", "307 Temporary Redirect"), ("/big.css?encoding=identity", "200 OK")] {
        let lines = format!("GET {path} HTTP/1.1 | Host: h | Accept-Encoding: gzip | ").replace(" | ", "\\r\\n' '");
        let typed = format!("for line in '{lines}\\r\\n'; do printf \"$line\"; sleep 0.3; done");
        let start = Instant::now();
        let head = space.run(&format!("({typed}) | nc -w 20 10.9.0.2 80 | head -n 1"));
        assert_eq!(head.trim(), format!("HTTP/1.1 {status}"));
        println!("{path}, typed in lines: {status} after {:?}", start.elapsed());
        assert!(start.elapsed() < Duration::from_secs(10));
    }
}

lethe_harness::main!();
