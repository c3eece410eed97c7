//! Floods: frames that belong to no client, and are not followed up.

use std::net::{IpAddr, SocketAddr};

use crate::client_pool::{ClientPool, mix};
use crate::wire::{ACK, Ends, Link, PSH, SYN, Segment, emit, internet_packet};

/// The frames of a flood.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FloodKind {
    /// SYNs, each from another source.
    Syn,
    /// ACKs of connections that do not exist, every other one with a request.
    Ack,
    /// IP packets to the server with random contents.
    Garbage,
}

impl FloodKind {
    /// Its name, in reports and in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Syn => "syn",
            Self::Ack => "ack",
            Self::Garbage => "garbage",
        }
    }
}

/// A flood.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Flood {
    /// Its frames.
    pub kind: FloodKind,
    /// Frames a second; without a value as many as possible.
    pub per_second: Option<f64>,
}

/// The most frames of a flood in a turn, so that received frames do not wait.
const BATCH: u64 = 64;

/// The most random bytes in a frame.
const GARBAGE_MAX: u64 = 512;

/// A running flood.
#[derive(Clone, Debug)]
pub(crate) struct FloodStream {
    flood: Flood,
    pool: ClientPool,
    /// The time of its first frame, in µs.
    begun: Option<u64>,
    sent: u64,
    random: u64,
}

impl FloodStream {
    pub(crate) const fn new(flood: Flood, pool: ClientPool, seed: u64) -> Self {
        Self { flood, pool, begun: None, sent: 0, random: seed }
    }

    pub(crate) const fn flood(&self) -> Flood {
        self.flood
    }

    /// The frames that were sent.
    pub(crate) const fn sent(&self) -> u64 {
        self.sent
    }

    pub(crate) const fn count_sent(&mut self) {
        self.sent += 1;
    }

    /// The number of frames due at `now` µs, at most a batch. Frames that are late follow batch by batch.
    pub(crate) fn due(&mut self, now: u64) -> u64 {
        let begun = *self.begun.get_or_insert(now);
        #[expect(clippy::cast_precision_loss, clippy::cast_sign_loss, reason = "a rate is not that exact")]
        let due = self.flood.per_second.map_or(u64::MAX, |rate| ((now - begun) as f64 * rate / 1e6) as u64);
        due.saturating_sub(self.sent).min(BATCH)
    }

    /// Writes the next frame, to `server` over `link`. Both are of the address family of `source`.
    pub(crate) fn emit(&self, buffer: &mut [u8], link: Link, source: (IpAddr, u16), server: SocketAddr) -> usize {
        let ends =
            Ends { source: source.0, destination: server.ip(), source_port: source.1, destination_port: server.port() };
        let random = mix(self.random);
        let (seq, ack) = (random as u32, (random >> 32) as u32);
        let timestamps = Some((seq.rotate_left(7), 0));
        let segment = match self.flood.kind {
            FloodKind::Syn => {
                Segment { seq, flags: SYN, window: 65_535, mss: Some(1460), timestamps, ..Segment::default() }
            }
            FloodKind::Ack => {
                let payload: &[u8] = if random.is_multiple_of(2) { b"" } else { b"GET / HTTP/1.0\r\n\r\n" };
                let timestamps = Some((seq.rotate_left(7), ack.rotate_left(7)));
                Segment { seq, ack, flags: ACK | PSH, window: 65_535, mss: None, timestamps, duplicate: None, payload }
            }
            FloodKind::Garbage => {
                // Most packets are TCP, which the server parses further.
                let protocol = if random.is_multiple_of(4) { (random >> 40) as u8 } else { 6 };
                let checksum = (!random.is_multiple_of(3)).then_some(16);
                return internet_packet(buffer, link, (ends.source, ends.destination), (protocol, 64), |room| {
                    let len = (20 + (random >> 8) % GARBAGE_MAX) as usize;
                    for (chunk, at) in room[..len].chunks_mut(8).zip(1..) {
                        chunk.copy_from_slice(&mix(random.wrapping_add(at)).to_be_bytes()[..chunk.len()]);
                    }
                    room[2..4].copy_from_slice(&server.port().to_be_bytes());
                    if let Some(at) = checksum {
                        room[at..at + 2].fill(0);
                    }
                    (len, checksum)
                });
            }
        };
        emit(buffer, link, &ends, &segment)
    }

    /// Draws the source of the next frame from the pool.
    pub(crate) fn next_source(&mut self) -> (IpAddr, u16) {
        self.random = self.random.wrapping_add(1);
        let client = self.pool.client(mix(!self.random) % self.pool.count());
        (client.address, client.port)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use lethe::port::RxFrame;
    use lethe::wire::ethernet::MacAddress;

    use super::*;
    use crate::wire::{Content, parse};

    fn stream(kind: FloodKind, per_second: Option<f64>) -> FloodStream {
        let pool = ClientPool::new(&["198.18.0.0/15".parse().unwrap(), "2001:2::/48".parse().unwrap()], &[]).unwrap();
        FloodStream::new(Flood { kind, per_second }, pool, 7)
    }

    #[test]
    fn the_rate_is_kept_and_what_was_missed_is_sent_in_batches() {
        let mut flood = stream(FloodKind::Syn, Some(1000.0));
        assert_eq!(flood.due(5_000_000), 0);
        assert_eq!(flood.due(5_010_000), 10);
        (0..10).for_each(|_| flood.count_sent());
        assert_eq!(flood.due(5_010_000), 0);
        assert_eq!(flood.due(6_000_000), BATCH);
        assert_eq!(stream(FloodKind::Syn, None).due(0), BATCH);
    }

    #[test]
    fn each_syn_comes_from_another_client_and_none_is_malformed() {
        let link = Link { source: MacAddress::new([2; 6]), destination: MacAddress::LETHE };
        let servers: [SocketAddr; 2] = ["10.9.0.2:80".parse().unwrap(), "[fd09::2]:80".parse().unwrap()];
        for kind in [FloodKind::Syn, FloodKind::Ack] {
            let mut flood = stream(kind, None);
            let mut seen = HashSet::new();
            for _ in 0..1000 {
                let mut buffer = [0; 1514];
                let source = flood.next_source();
                let server = servers[usize::from(source.0.is_ipv6())];
                let len = flood.emit(&mut buffer, link, source, server);
                let Content::Segment(ends, segment) = parse(&RxFrame::unchecked(&buffer[..len])) else {
                    panic!("{kind:?}: {:?}", &buffer[..len]);
                };
                assert_eq!(segment.has(SYN), kind == FloodKind::Syn);
                seen.insert((ends.source, ends.source_port));
            }
            assert!(seen.len() > 990, "{kind:?}: {}", seen.len());
        }
    }

    #[test]
    fn garbage_is_of_every_kind() {
        let link = Link { source: MacAddress::new([2; 6]), destination: MacAddress::LETHE };
        let server: SocketAddr = "10.9.0.2:80".parse().unwrap();
        let mut flood = stream(FloodKind::Garbage, None);
        let (mut bad, mut segments, mut others) = (0, 0, 0);
        for _ in 0..3000 {
            let mut buffer = [0; 1514];
            let _ = flood.next_source();
            let len = flood.emit(&mut buffer, link, ("198.18.0.1".parse().unwrap(), 9), server);
            match parse(&RxFrame::unchecked(&buffer[..len])) {
                Content::Bad => bad += 1,
                Content::Segment(..) => segments += 1,
                Content::Other => others += 1,
                content => panic!("{content:?}"),
            }
        }
        assert!(bad > 500 && segments > 100 && others > 500, "{bad} bad, {segments} segments, {others} others");
    }
}
