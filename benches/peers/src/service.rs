//! The answers of all these servers.

use std::io::{self, Read, Write};
use std::net::{IpAddr, TcpStream};

use lethe::http::{Method, RequestLine, Response, Status};
use lethe::{App, Request};
use lethe_apps::ipinfo::IpInfo;

/// The longest head of a request, in bytes: more than twice as long as those of browsers.
pub(crate) const REQUEST_MAX: usize = 4096;

/// Bytes of scratch space of an answer: the page, with its head, has about 1,200.
pub(crate) const SCRATCH_LEN: usize = 4096;

/// The lookup, and the HTTP around it.
pub(crate) struct Service {
    app: IpInfo<'static>,
}

impl Default for Service {
    fn default() -> Self {
        Self { app: IpInfo::embedded() }
    }
}

impl Service {
    /// The response to a request whose head is complete. It is built in `scratch`.
    pub(crate) fn answer(&self, request: &[u8], client: IpAddr, scratch: &mut [u8]) -> Vec<u8> {
        let response = match RequestLine::parse(request) {
            Ok(line) => {
                let response = self.app.respond(&Request::of_line(&line).with_client(client), scratch);
                if line.method == Method::Head { response.without_body() } else { response }
            }
            Err(_) => Response::build(scratch, Status::BadRequest).body(b""),
        };
        [response.head(), response.body()].concat()
    }
}

/// A reusable buffer for an answer.
pub(crate) const fn scratch() -> [u8; SCRATCH_LEN] {
    [0; SCRATCH_LEN]
}

/// A connection that is read when it is readable, and ends with its first answer.
pub(crate) struct Connection {
    stream: TcpStream,
    client: IpAddr,
    request: [u8; REQUEST_MAX],
    len: usize,
}

/// The state of a connection.
#[derive(PartialEq, Eq)]
pub(crate) enum Progress {
    /// Its request is not complete.
    Waits,
    /// It was answered, or the client has gone: close it.
    Done,
}

impl Connection {
    /// A connection that was just accepted.
    pub(crate) fn new(stream: TcpStream, client: IpAddr) -> Self {
        Self { stream, client, request: [0; REQUEST_MAX], len: 0 }
    }

    /// Its socket.
    pub(crate) const fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Reads once, and answers if that completes the request.
    pub(crate) fn advance(&mut self, service: &Service, scratch: &mut [u8]) -> Progress {
        match self.stream.read(&mut self.request[self.len..]) {
            Ok(1..) if self.len == REQUEST_MAX => Progress::Done,
            Ok(read @ 1..) => {
                self.len += read;
                let request = &self.request[..self.len];
                if is_complete(request) {
                    // The answer fits the empty send buffer of a new socket, so this neither blocks nor is partial. An
                    // error means that the client has gone.
                    let _ = self.stream.write_all(&service.answer(request, self.client, scratch));
                    Progress::Done
                } else {
                    Progress::Waits
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Progress::Waits,
            Ok(0) | Err(_) => Progress::Done,
        }
    }
}

/// Whether the head is complete: the blank line was received.
pub(crate) fn is_complete(request: &[u8]) -> bool {
    request.windows(4).any(|bytes| bytes == b"\r\n\r\n")
}

/// Whether this error of accept concerns one connection, which ended before it was accepted, so that others can follow.
pub(crate) fn concerns_one(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted)
}
