//! Answers to those who ask for the counters: a thread that looks after all of them, and that no worker waits for.
//!
//! HTTP/1.1 on the kernel's sockets (RFC 9112), as little of it as a scraper needs: one request, one response, and
//! the connection is closed. One that says nothing, or whose other end does not read, stays for [`PATIENCE`]; when
//! there are [`CONNECTIONS_MAX`], the oldest makes room for the next.

use std::io::{self, ErrorKind, PipeReader, PipeWriter, Read, Write};
use std::ops::ControlFlow;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Context;
use lethe::http::{Method, Problem, RequestLine};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::endpoint::{Listener, Socket};
use super::prometheus;
use super::snapshot::Watched;

/// Connections at a time: some scrapers, a `lethe top` or two, and as many again.
const CONNECTIONS_MAX: usize = 16;

/// Bytes of a request: more than any scraper sends.
const REQUEST_MAX: usize = 4096;

/// How long a request may take, with its response.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long to wait when the kernel can give us no more connections.
const PAUSE: Duration = Duration::from_millis(100);

/// What `/` answers.
const INDEX: &str = "/metrics     counters, as Prometheus reads them\n/stats.json  the same as JSON\n";

/// The thread that answers, until this value is dropped.
pub(crate) struct Server {
    /// The thread ends when the other end of the pipe does.
    stop: Option<PipeWriter>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Begins to answer.
    pub(crate) fn start(listener: Listener, watched: Arc<Watched>) -> anyhow::Result<Self> {
        let (stopped, stop) = io::pipe().context("no pipe")?;
        let responder = Responder { listener, watched, connections: Vec::with_capacity(CONNECTIONS_MAX) };
        let thread = thread::Builder::new().name("metrics".to_owned());
        let thread = thread.spawn(move || responder.run(&stopped)).context("no thread for --metrics")?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The listener and its connections, the oldest first.
struct Responder {
    listener: Listener,
    watched: Arc<Watched>,
    connections: Vec<Connection>,
}

impl Responder {
    fn run(mut self, stopped: &PipeReader) {
        loop {
            let ready = self.wait(stopped);
            let [stop, listener, connections @ ..] = &ready[..] else { return };
            if *stop {
                return;
            }
            let mut ready = connections.iter();
            self.connections.retain_mut(|connection| {
                let is_ready = ready.next().is_some_and(|&ready| ready);
                let is_done = is_ready && connection.go_on(&self.watched).is_break();
                !is_done && !connection.patience().is_zero()
            });
            if *listener {
                self.accept();
            }
        }
    }

    /// Sleeps until there is something to do: whether to stop, to accept, and to go on with each of the connections.
    fn wait(&self, stopped: &PipeReader) -> Vec<bool> {
        let mut sockets = vec![
            PollFd::new(stopped.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.listener.socket.as_fd(), PollFlags::POLLIN),
        ];
        sockets.extend(self.connections.iter().map(Connection::poll));
        let until = self.connections.iter().map(Connection::patience).min();
        // Rounded up, so that whose time is over is seen to be so.
        let timeout = until.map_or(PollTimeout::NONE, |until| PollTimeout::from(until.as_millis() as u16 + 1));
        if let Err(error) = poll(&mut sockets, timeout) {
            if error != Errno::EINTR {
                thread::sleep(PAUSE);
            }
            return vec![false; sockets.len()];
        }
        sockets.iter().map(|socket| socket.any().unwrap_or(true)).collect()
    }

    /// Accepts those that wait, as many as there is room for.
    fn accept(&mut self) {
        for _ in 0..CONNECTIONS_MAX {
            match self.listener.socket.accept() {
                Ok(stream) => {
                    if self.connections.len() == CONNECTIONS_MAX {
                        self.connections.remove(0);
                    }
                    self.connections.push(Connection::new(stream));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                // It is gone already, or there are too many files: then poll would return at once, again and again.
                Err(_) => return thread::sleep(PAUSE),
            }
        }
    }
}

impl Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Unix(socket) => socket.as_fd(),
            Self::Tcp(socket) => socket.as_fd(),
        }
    }

    fn accept(&self) -> io::Result<Box<dyn Stream>> {
        Ok(match self {
            Self::Unix(socket) => {
                let (stream, _) = socket.accept()?;
                stream.set_nonblocking(true)?;
                Box::new(stream)
            }
            Self::Tcp(socket) => {
                let (stream, _) = socket.accept()?;
                stream.set_nonblocking(true)?;
                Box::new(stream)
            }
        })
    }
}

/// A connection of either kind.
trait Stream: Read + Write + AsFd + Send {}

impl<T: Read + Write + AsFd + Send> Stream for T {}

/// A client of the endpoint.
struct Connection {
    stream: Box<dyn Stream>,
    since: Instant,
    request: Vec<u8>,
    /// Once the request is there.
    response: Option<Vec<u8>>,
    /// Bytes of the response that were sent.
    sent: usize,
}

impl Connection {
    fn new(stream: Box<dyn Stream>) -> Self {
        Self { stream, since: Instant::now(), request: Vec::new(), response: None, sent: 0 }
    }

    fn poll(&self) -> PollFd<'_> {
        let wanted = if self.response.is_some() { PollFlags::POLLOUT } else { PollFlags::POLLIN };
        PollFd::new(self.stream.as_fd(), wanted)
    }

    /// How long it may still stay.
    fn patience(&self) -> Duration {
        PATIENCE.saturating_sub(self.since.elapsed())
    }

    /// Reads and writes as much as there is, and there is room for. A break is the end: it is answered, or gone.
    fn go_on(&mut self, watched: &Watched) -> ControlFlow<()> {
        if self.response.is_none() && self.read()? {
            self.response = Some(respond(&self.request, watched));
        }
        self.write()
    }

    /// Whether the request is all there.
    fn read(&mut self) -> ControlFlow<(), bool> {
        let mut chunk = [0; REQUEST_MAX];
        while !is_whole(&self.request) && self.request.len() < REQUEST_MAX {
            match self.stream.read(&mut chunk) {
                Ok(0) => return ControlFlow::Break(()),
                Ok(len) => self.request.extend_from_slice(&chunk[..len]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return ControlFlow::Continue(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return ControlFlow::Break(()),
            }
        }
        ControlFlow::Continue(true)
    }

    fn write(&mut self) -> ControlFlow<()> {
        let Some(response) = &self.response else { return ControlFlow::Continue(()) };
        while let Some(rest @ [_, ..]) = response.get(self.sent..) {
            match self.stream.write(rest) {
                Ok(len) => self.sent += len,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return ControlFlow::Continue(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        ControlFlow::Break(())
    }
}

/// Whether there is an empty line: the end of the header fields.
fn is_whole(request: &[u8]) -> bool {
    request.windows(4).any(|end| end == b"\r\n\r\n") || request.windows(2).any(|end| end == b"\n\n")
}

/// The response to a request.
fn respond(request: &[u8], watched: &Watched) -> Vec<u8> {
    const PLAIN: &str = "text/plain; charset=utf-8";
    let line = RequestLine::parse(request);
    let (status, kind, body) = match line {
        Ok(RequestLine { path: b"/metrics", .. }) => {
            ("200 OK", prometheus::CONTENT_TYPE, prometheus::encode(&watched.snapshot()))
        }
        Ok(RequestLine { path: b"/stats.json", .. }) => ("200 OK", "application/json", json(watched)),
        Ok(RequestLine { path: b"/", .. }) => ("200 OK", PLAIN, INDEX.to_owned()),
        Ok(_) => ("404 Not Found", PLAIN, INDEX.to_owned()),
        Err(Problem::Method) => ("405 Method Not Allowed\r\nAllow: GET, HEAD", PLAIN, "GET or HEAD\n".to_owned()),
        Err(Problem::Version) => ("505 HTTP Version Not Supported", PLAIN, "HTTP/1\n".to_owned()),
        Err(Problem::Incomplete | Problem::Malformed) => ("400 Bad Request", PLAIN, "no HTTP/1 request\n".to_owned()),
    };
    let len = body.len();
    let head =
        format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n");
    let is_head = line.is_ok_and(|line| line.method == Method::Head);
    [head.as_str(), if is_head { "" } else { &body }].concat().into_bytes()
}

fn json(watched: &Watched) -> String {
    let mut text = serde_json::to_string_pretty(&watched.snapshot()).expect("numbers and names are JSON");
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use lethe_hw::WorkerStats;

    use super::*;

    fn watched() -> Watched {
        let workers = vec!["0".to_owned()];
        Watched::new("tap t".to_owned(), "files".to_owned(), workers, WorkerStats::for_workers(1), Arc::default())
    }

    /// Head and body of the response.
    fn check(request: &str, status: &str) -> (String, String) {
        let response = String::from_utf8(respond(request.as_bytes(), &watched())).unwrap();
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{request:?}: {head}");
        assert!(head.ends_with("\r\nConnection: close"), "{head}");
        (head.to_owned(), body.to_owned())
    }

    #[test]
    fn each_path_has_what_its_type_says() {
        let (head, body) = check("GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n", "200 OK");
        assert!(head.contains("\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"), "{head}");
        assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{head}");
        assert!(body.starts_with("# HELP lethe_build_info "), "{body}");
        let (head, body) = check("GET /stats.json HTTP/1.0\r\n\r\n", "200 OK");
        assert!(head.contains("\r\nContent-Type: application/json\r\n"), "{head}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&body).unwrap()["device"], "tap t");
        assert_eq!(check("GET / HTTP/1.1\n\n", "200 OK").1, INDEX);
        assert_eq!(check("GET /metrics/ HTTP/1.1\r\n\r\n", "404 Not Found").1, INDEX);
        assert_eq!(check("HEAD / HTTP/1.1\r\n\r\n", "200 OK").1, "");
    }

    #[test]
    fn what_is_no_get_is_refused() {
        let (head, _) = check("POST /metrics HTTP/1.1\r\n\r\n", "405 Method Not Allowed");
        assert!(head.contains("\r\nAllow: GET, HEAD\r\n"), "{head}");
        check("GET / HTTP/2.0\r\n\r\n", "505 HTTP Version Not Supported");
        let long = format!("GET /{}", "x".repeat(REQUEST_MAX));
        for request in ["\r\n\r\n", "\x16\x03\x01\r\n\r\n", "GET metrics HTTP/1.1\r\n\r\n", &long] {
            check(request, "400 Bad Request");
        }
    }

    #[test]
    fn a_request_ends_with_an_empty_line() {
        assert!(is_whole(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n") && is_whole(b"GET / HTTP/1.0\n\n"));
        assert!(!is_whole(b"GET / HTTP/1.1\r\nHost: h\r\n") && !is_whole(b""));
    }
}
