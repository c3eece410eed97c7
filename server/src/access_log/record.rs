//! What a worker notes of a request.

use std::net::IpAddr;

use lethe::http::{Framing, Method, Methods, RequestLine};
use lethe::port::Checked;
use lethe::time::Instant;
use lethe::verdict::Answered;
use lethe::wire::ethernet::EtherType;
use lethe::wire::{ethernet, ipv4, ipv6, tcp};

/// Bytes of a request that are noted: those of a browser with a few cookies.
const NOTED: usize = 1000;

/// Every method.
pub(super) const METHODS: Methods = {
    let (mut all, mut place) = (Methods::GET_AND_HEAD, 0);
    while place < Method::ALL.len() {
        all = all.with(Method::ALL[place]);
        place += 1;
    }
    all
};

/// A request, and what it was answered with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    /// When it came.
    pub(super) at: Instant,
    pub(super) client: IpAddr,
    pub(super) port: u16,
    pub(super) answered: Answered,
    /// Bytes that are noted.
    len: u16,
    request: [u8; NOTED],
}

impl Record {
    /// The request, as far as it is noted.
    pub(super) fn request(&self) -> &[u8] {
        self.request.get(..self.len.into()).unwrap_or_default()
    }

    #[cfg(test)]
    pub(super) fn of(at: Instant, client: IpAddr, answered: Answered, request: &[u8]) -> Self {
        Requests { client, port: 50_000, rest: request }.record(at, answered).unwrap()
    }
}

/// The requests of a frame that are not gone through yet.
pub(super) struct Requests<'f> {
    client: IpAddr,
    port: u16,
    /// From the next request on.
    rest: &'f [u8],
}

impl<'f> Requests<'f> {
    /// Those of a frame that the engine has answered. Its checksums are right.
    pub(super) fn of(frame: &'f [u8]) -> Option<Self> {
        let (link, datagram) = ethernet::Header::parse(frame).ok()?;
        let (client, segment) = match link.ether_type {
            EtherType::IPV4 => {
                let (header, segment) = ipv4::Header::parse(datagram, Checked::Good).ok()?;
                (header.source.into(), segment)
            }
            EtherType::IPV6 => {
                let (header, segment) = ipv6::Header::parse(datagram).ok()?;
                (header.source.into(), segment)
            }
            _ => return None,
        };
        let (header, rest) = tcp::Header::parse(segment).ok()?;
        Some(Self { client, port: header.source_port(), rest })
    }

    /// The next one, which was answered so.
    pub(super) fn record(&self, at: Instant, answered: Answered) -> Option<Record> {
        let len = self.rest.len().min(NOTED);
        let mut request = [0; NOTED];
        request.get_mut(..len)?.copy_from_slice(self.rest.get(..len)?);
        Some(Record { at, client: self.client, port: self.port, answered, len: len as u16, request })
    }

    /// Goes on to the one behind it.
    pub(super) fn skip_one(&mut self) {
        let line = RequestLine::parse_for(METHODS, self.rest);
        let behind = match line.map(|line| line.framing()) {
            Ok(Framing::Complete { behind, .. }) => behind,
            _ => 0,
        };
        self.rest = self.rest.len().checked_sub(behind).and_then(|start| self.rest.get(start..)).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_of_a_packet_are_gone_through_one_by_one() {
        let payload = b"GET /1 HTTP/1.1\r\nHost: h\r\n\r\nHEAD /2 HTTP/1.1\r\nHost: h\r\n\r\nGET /3";
        let client = "192.0.2.1".parse().unwrap();
        let mut requests = Requests { client, port: 1, rest: payload };
        let answered = Answered { status: 200, body_len: 0 };
        for start in [&b"GET /1 "[..], b"HEAD /2 ", b"GET /3"] {
            let record = requests.record(Instant::default(), answered).unwrap();
            assert!(record.request().starts_with(start), "{}", record.request().escape_ascii());
            requests.skip_one();
        }
        assert!(requests.record(Instant::default(), answered).unwrap().request().is_empty());
    }

    #[test]
    fn of_a_long_request_the_beginning_is_noted() {
        let long = [b'x'; 3 * NOTED];
        let answered = Answered { status: 414, body_len: 0 };
        let record = Record::of(Instant::default(), "fd09::1".parse().unwrap(), answered, &long);
        assert_eq!(record.request(), &long[..NOTED]);
    }
}
