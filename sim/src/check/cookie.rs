//! Nobody gets data who has not shown a valid cookie (design, rules 2 and 3).

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;

use lethe::cookie::EPOCH_SECONDS;
use lethe::time::Instant;
use lethe::wire::seq::SeqNumber;
use lethe::wire::tcp::Flags;

use super::{Checker, Exchange, each_segment};

/// Handshakes that are remembered. Only those of this epoch and the one before matter; with more than
/// this in so short a time the checker cannot tell any more, and stays silent for as long.
const HANDSHAKES_MAX: usize = 1 << 20;

/// Remembers each SYN+ACK, and insists that data and FIN go only to one who acknowledges one of them, with
/// the segment that follows the SYN, in the epoch it was made in or the next.
#[derive(Clone, Debug, Default)]
pub struct Cookie {
    handshakes: HashMap<Handshake, u64>,
    /// The same in the order they were made in.
    order: VecDeque<(Handshake, u64)>,
    /// Some of this epoch were forgotten.
    forgotten: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Handshake {
    client: SocketAddr,
    server: SocketAddr,
    /// What follows the SYN,
    seq: SeqNumber,
    /// and what acknowledges the SYN+ACK.
    ack: SeqNumber,
}

impl Cookie {
    fn remember(&mut self, handshake: Handshake, epoch: u64) {
        while self.order.front().is_some_and(|&(_, made)| made + 1 < epoch) || self.order.len() >= HANDSHAKES_MAX {
            let Some((oldest, made)) = self.order.pop_front() else { break };
            if self.handshakes.get(&oldest) == Some(&made) {
                self.handshakes.remove(&oldest);
            }
            if made + 1 >= epoch {
                self.forgotten = Some(made);
            }
        }
        self.handshakes.insert(handshake, epoch);
        self.order.push_back((handshake, epoch));
    }

    fn problem(&self, handshake: Handshake, epoch: u64) -> Option<&'static str> {
        if self.forgotten.is_some_and(|forgotten| forgotten + 1 >= epoch) {
            return None;
        }
        match self.handshakes.get(&handshake) {
            Some(made) if made + 1 >= epoch => None,
            Some(_) => Some("data for a cookie that has expired"),
            None => Some("data for somebody who has shown no cookie"),
        }
    }
}

impl Checker for Cookie {
    fn name(&self) -> &'static str {
        "cookie"
    }

    fn check(&mut self, exchange: &Exchange<'_>) -> Result<(), String> {
        let epoch = epoch(exchange.now);
        each_segment(exchange, |(ip, received), (_, sent)| {
            let (client, server) = (ip.from(received), ip.to(received));
            if sent.flags.has(Flags::SYN) {
                let handshake = Handshake { client, server, seq: received.seq.advance(1), ack: sent.seq.advance(1) };
                self.remember(handshake, epoch);
                return Ok(());
            }
            if sent.payload.is_empty() && !sent.flags.has(Flags::FIN) {
                return Ok(());
            }
            let handshake = Handshake { client, server, seq: received.seq, ack: received.ack };
            self.problem(handshake, epoch).map_or(Ok(()), |problem| Err(problem.to_owned()))
        })
    }
}

const fn epoch(now: Instant) -> u64 {
    now.as_unix_seconds() / EPOCH_SECONDS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::stand::{self, NOW, Recorded};
    use crate::frame::Ends;
    use crate::sample;

    #[test]
    fn it_sees_data_for_no_cookie_another_or_an_old_one() {
        let engine = sample::engine();
        let ends = Ends::v4();
        let [opened, asked] = stand::fetch(&engine, &ends, "/10");
        let later = |seconds| Instant::from_unix_seconds(NOW.as_unix_seconds() + seconds);
        let says =
            |result: Result<(), String>| result.err().map(|problem| problem.split(':').next().unwrap().to_owned());

        let mut checker = Cookie::default();
        let unknown = Some("data for somebody who has shown no cookie".to_owned());
        assert_eq!(says(asked.check(&mut checker)), unknown);
        assert_eq!(opened.check(&mut checker), Ok(()));
        assert_eq!(asked.check(&mut checker), Ok(()));
        let [_, other] = stand::fetch(&engine, &ends.client_port(40_001), "/10");
        assert_eq!(says(other.check(&mut checker)), unknown);

        let next_epoch = Recorded { now: later(60), ..asked.clone() };
        assert_eq!(next_epoch.check(&mut checker), Ok(()));
        let too_late = Recorded { now: later(120), ..asked };
        assert_eq!(says(too_late.check(&mut checker)), Some("data for a cookie that has expired".to_owned()));
    }

    #[test]
    fn what_it_remembers_is_bounded() {
        let mut checker = Cookie::default();
        let handshake = |number: u32| Handshake {
            client: Ends::v4().client,
            server: Ends::v4().server,
            seq: SeqNumber::new(number),
            ack: SeqNumber::new(1),
        };
        for epoch in 0..4 {
            for number in 0..100 {
                checker.remember(handshake(number), epoch);
            }
        }
        assert_eq!((checker.order.len(), checker.handshakes.len()), (200, 100));
        assert_eq!(checker.problem(handshake(7), 4), None);
        assert!(checker.problem(handshake(7), 5).is_some());
    }
}
