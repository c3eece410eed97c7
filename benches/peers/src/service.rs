//! What all these servers answer with.

use std::io::{self, Read, Write};
use std::net::{IpAddr, TcpStream};

use lethe::http::{Method, RequestLine, Response, Status};
use lethe::{App, Request};
use lethe_apps::ipinfo::IpInfo;

/// The longest head of a request, in bytes: of those that browsers send none is half as long.
pub(crate) const REQUEST_MAX: usize = 4096;

/// Bytes in which an answer is made: the page, with its head, has 1,200 or so.
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
    /// The whole response to a request whose head is complete, as bytes. What is made for it is made in `scratch`.
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

/// Room for any answer, to be used again and again.
pub(crate) const fn scratch() -> [u8; SCRATCH_LEN] {
    [0; SCRATCH_LEN]
}

/// A connection that is read when there is something, and ends with its first answer.
pub(crate) struct Connection {
    stream: TcpStream,
    client: IpAddr,
    request: [u8; REQUEST_MAX],
    len: usize,
}

/// Whether a connection is still wanted.
#[derive(PartialEq, Eq)]
pub(crate) enum Progress {
    /// Its request is not complete.
    Waits,
    /// It was answered, or is gone: close it.
    Done,
}

impl Connection {
    /// One that was just accepted.
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
                    // It fits the empty buffer of a new socket: this neither waits nor is cut. A client that has gone
                    // has nothing to be told.
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

/// Whether the blank line has come.
pub(crate) fn is_complete(request: &[u8]) -> bool {
    request.windows(4).any(|bytes| bytes == b"\r\n\r\n")
}

/// Whether another connection can be accepted after this error: it was about one that went before it was.
pub(crate) fn concerns_one(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted)
}
