//! The answers of all these servers.

use std::io::{self, Read, Write};
use std::net::{IpAddr, TcpStream};

use lethe::http::{Framing, Method, Persistence, RequestLine, Response, Status};
use lethe::{App, Request};
use lethe_apps::ipinfo::IpInfo;

/// The most that is received ahead of an answer: more than twice the longest head of a browser's request, in bytes.
const REQUEST_MAX: usize = 4096;

/// Bytes of scratch space of an answer: the page, with its head, has about 1,200.
pub(crate) const SCRATCH_LEN: usize = 4096;

/// The end of a head that says that the connection is closed.
const CLOSES: &[u8] = b"Connection: close\r\n\r\n";

/// The lookup, and the HTTP around it.
pub(crate) struct Service {
    app: IpInfo<'static>,
    /// Whether connections stay open behind a response, if the request allows it.
    keep_alive: bool,
}

/// The responses to all complete requests that were received.
pub(crate) struct Answer {
    pub(crate) bytes: Vec<u8>,
    /// Whether the connection stays open behind them.
    pub(crate) keeps_open: bool,
}

impl Service {
    pub(crate) fn new(keep_alive: bool) -> Self {
        Self { app: IpInfo::embedded(), keep_alive }
    }

    /// Adds the response to the first request, whose head is complete, and returns the bytes of the request. The
    /// response is built in `scratch`.
    fn answer(&self, received: &[u8], client: IpAddr, scratch: &mut [u8], answer: &mut Answer) -> usize {
        let line = RequestLine::parse(received);
        let response = match &line {
            Ok(line) => {
                let response = self.app.respond(&Request::of_line(line).with_client(client), scratch);
                if line.method == Method::Head { response.without_body() } else { response }
            }
            Err(_) => Response::build(scratch, Status::BadRequest).body(b""),
        };
        let framing = line.ok().filter(|_| self.keep_alive).map(|line| line.framing());
        let end = match framing {
            Some(Framing::Complete { behind, persistence }) => match persistence {
                Persistence::Keep => Some((behind, &b"\r\n"[..])),
                Persistence::KeepAlive => Some((behind, &b"Connection: keep-alive\r\n\r\n"[..])),
                Persistence::Close => None,
            },
            _ => None,
        };
        let kept = end.zip(response.head().strip_suffix(CLOSES));
        answer.keeps_open = kept.is_some();
        let ((behind, end), head) = kept.unwrap_or(((0, b""), response.head()));
        for part in [head, end, response.body()] {
            answer.bytes.extend_from_slice(part);
        }
        received.len() - behind
    }
}

/// A reusable buffer for an answer.
pub(crate) const fn scratch() -> [u8; SCRATCH_LEN] {
    [0; SCRATCH_LEN]
}

/// What was received on a connection, and is not answered yet.
pub(crate) struct Received {
    bytes: [u8; REQUEST_MAX],
    len: usize,
}

impl Received {
    pub(crate) const fn new() -> Self {
        Self { bytes: [0; REQUEST_MAX], len: 0 }
    }

    /// Where more is to be received; empty if a request is too long.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        &mut self.bytes[self.len..]
    }

    /// Notes that so many bytes were received.
    pub(crate) fn add(&mut self, count: usize) {
        self.len += count;
    }

    /// Forgets everything: for the next connection.
    pub(crate) fn clear(&mut self) {
        self.len = 0;
    }

    /// Answers all complete requests, up to one that closes the connection. `None` if there is none.
    pub(crate) fn answer(&mut self, service: &Service, client: IpAddr, scratch: &mut [u8]) -> Option<Answer> {
        let mut answer = Answer { bytes: Vec::new(), keeps_open: true };
        let mut at = 0;
        while answer.keeps_open && is_complete(&self.bytes[at..self.len]) {
            at += service.answer(&self.bytes[at..self.len], client, scratch, &mut answer);
        }
        self.bytes.copy_within(at..self.len, 0);
        self.len -= at;
        (at > 0).then_some(answer)
    }
}

/// A connection that is read when it is readable.
pub(crate) struct Connection {
    stream: TcpStream,
    client: IpAddr,
    received: Received,
}

/// The state of a connection.
#[derive(PartialEq, Eq)]
pub(crate) enum Progress {
    /// Its request is not complete, or its next one has not come.
    Waits,
    /// It was answered, or the client has gone: close it.
    Done,
}

impl Connection {
    /// A connection that was just accepted.
    pub(crate) fn new(stream: TcpStream, client: IpAddr) -> Self {
        Self { stream, client, received: Received::new() }
    }

    /// Its socket.
    pub(crate) const fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Reads once, and answers the requests that are complete then.
    pub(crate) fn advance(&mut self, service: &Service, scratch: &mut [u8]) -> Progress {
        match self.stream.read(self.received.room()) {
            Ok(read @ 1..) => {
                self.received.add(read);
                let Some(answer) = self.received.answer(service, self.client, scratch) else { return Progress::Waits };
                // The answers fit the send buffer, which is empty if the client reads what it is sent, so this neither
                // blocks nor is partial. An error means that the client has gone.
                let sent = self.stream.write_all(&answer.bytes);
                if answer.keeps_open && sent.is_ok() { Progress::Waits } else { Progress::Done }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Progress::Waits,
            Ok(0) | Err(_) => Progress::Done,
        }
    }
}

/// Whether the head is complete: the blank line was received.
fn is_complete(request: &[u8]) -> bool {
    request.windows(4).any(|bytes| bytes == b"\r\n\r\n")
}

/// Whether this error of accept concerns one connection, which ended before it was accepted, so that others can follow.
pub(crate) fn concerns_one(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted)
}
