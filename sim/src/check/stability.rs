//! A byte at (connection, sequence number) never changes.
//!
//! A request may come again in a longer or shorter segment, and must be answered alike. One that says something
//! else is another request: where a network changes packets and mends their checksums, that happens.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;

use lethe::wire::seq::SeqNumber;
use lethe::wire::tcp::Flags;

use super::{Checker, Exchange, each_segment};
use crate::dissect::Tcp;
use crate::stream::Stream;

/// Connections that are remembered: some hundred are under way at a time.
const CONNECTIONS_MAX: usize = 1024;

/// Bytes of each that are: a window or two. What stands behind is not compared.
const BYTES_MAX: usize = 256 << 10;

/// Remembers what has been sent, from each SYN+ACK on.
#[derive(Clone, Debug, Default)]
pub struct Stability {
    connections: HashMap<(SocketAddr, SocketAddr), Vec<Connection>>,
    /// The clients and servers in the order they were first heard of.
    order: VecDeque<(SocketAddr, SocketAddr)>,
}

/// What has been sent to one client behind one SYN+ACK, for one request.
#[derive(Clone, Debug)]
struct Connection {
    start: SeqNumber,
    /// The longest segment that it came in; empty if none has come.
    request: Vec<u8>,
    stream: Stream,
    fin: Option<usize>,
}

/// Requests and SYN+ACKs of one client and port: a SYN that is repeated gives another cookie each epoch.
const OF_ONE_CLIENT_MAX: usize = 8;

impl Stability {
    fn open(&mut self, ends: (SocketAddr, SocketAddr), start: SeqNumber) {
        if !self.connections.contains_key(&ends) {
            if self.order.len() == CONNECTIONS_MAX
                && let Some(oldest) = self.order.pop_front()
            {
                self.connections.remove(&oldest);
            }
            self.order.push_back(ends);
        }
        let connections = self.connections.entry(ends).or_default();
        if connections.iter().all(|connection| connection.start != start) {
            push(connections, Connection::new(start));
        }
    }

    fn send(&mut self, ends: (SocketAddr, SocketAddr), request: &[u8], sent: &Tcp<'_>) -> Result<(), String> {
        let Some(connections) = self.connections.get_mut(&ends) else { return Ok(()) };
        // Of several SYN+ACKs, the one that it is nearest to.
        let place = |connection: &Connection| sent.seq.distance_from(connection.start) as usize;
        let Some(start) = connections.iter().min_by_key(|connection| place(connection)).map(|found| found.start) else {
            return Ok(());
        };
        let is_it = |connection: &Connection| connection.start == start && connection.is_for(request);
        let found = connections.iter().position(is_it).unwrap_or_else(|| push(connections, Connection::new(start)));
        let connection = &mut connections[found];
        if connection.request.len() < request.len() {
            connection.request = request.to_vec();
        }
        let (at, payload, fin) = (place(connection), sent.payload, sent.flags.has(Flags::FIN));
        let end = at + payload.len();
        if end > BYTES_MAX {
            return Ok(());
        }
        connection.stream.insert(at, payload).map_err(|changed| changed.to_string())?;
        match connection.fin {
            Some(known) if end > known || fin && end != known => {
                return Err(format!("the stream ended at {known} before, and now at {end}"));
            }
            None if fin => connection.fin = Some(end),
            _ => {}
        }
        Ok(())
    }
}

impl Connection {
    fn new(start: SeqNumber) -> Self {
        Self { start, request: Vec::new(), stream: Stream::default(), fin: None }
    }

    /// Whether this may be the same request in a longer or shorter segment.
    fn is_for(&self, request: &[u8]) -> bool {
        self.request.starts_with(request) || request.starts_with(&self.request)
    }
}

/// Adds one, at the cost of the oldest, and tells where it is.
fn push(connections: &mut Vec<Connection>, connection: Connection) -> usize {
    if connections.len() == OF_ONE_CLIENT_MAX {
        connections.remove(0);
    }
    connections.push(connection);
    connections.len() - 1
}

impl Checker for Stability {
    fn name(&self) -> &'static str {
        "stability"
    }

    fn check(&mut self, exchange: &Exchange<'_>) -> Result<(), String> {
        each_segment(exchange, |(ip, received), (_, sent)| {
            let ends = (ip.from(received), ip.to(received));
            if sent.flags.has(Flags::SYN) {
                self.open(ends, sent.seq.advance(1));
            } else if !sent.payload.is_empty() {
                return self.send(ends, received.payload, sent);
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::stand;
    use crate::frame::Ends;
    use crate::sample;

    #[test]
    fn it_sees_a_byte_that_changes_and_an_end_that_moves() {
        let engine = sample::engine();
        for path in ["/10", "/5000"] {
            let mut checker = Stability::default();
            let [opened, asked] = stand::fetch(&engine, &Ends::v4(), path);
            let [_, other] = stand::fetch(&engine, &Ends::v4(), "/11");
            for recorded in [&opened, &asked, &asked, &other] {
                assert_eq!(recorded.check(&mut checker), Ok(()), "another request is another stream");
            }
            let wrong = stand::Recorded { sent: other.sent, ..asked };
            assert!(wrong.check(&mut checker).unwrap_err().contains("now another than before"));
        }
        let mut checker = Stability::default();
        let [opened, asked] = stand::fetch(&engine, &Ends::v4(), "/10");
        assert_eq!(opened.check(&mut checker), Ok(()));
        assert_eq!(asked.check(&mut checker), Ok(()));
        let body = sample::response(10);
        let shorter = asked.change(|segment| segment.payload(&body[..body.len() - 1]));
        assert!(shorter.check(&mut checker).unwrap_err().starts_with("the stream ended at"));
    }
}
