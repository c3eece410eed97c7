//! A client that asks whether its idle connection is still there draws no more than it brings.

use std::net::SocketAddr;

use lethe::verdict::{ReplyKind, Verdict};
use lethe::wire::seq::SeqNumber;
use lethe::wire::tcp::Flags;

use super::{Checker, Exchange};
use crate::dissect::Frame;
use crate::recent::Recent;

/// Connections that are remembered; of an older one nothing is said.
const CONNECTIONS_MAX: usize = 4096;

/// A probe (RFC 9293, section 3.8.4) is the byte before its client's next one, or none there. Its sender needs to know
/// little to make one, so the answer is one segment, empty and no larger.
#[derive(Clone, Debug, Default)]
pub struct Probe {
    /// Where all ends that each client has sent.
    next: Recent<(SocketAddr, SocketAddr), SeqNumber, CONNECTIONS_MAX>,
}

impl Checker for Probe {
    fn name(&self) -> &'static str {
        "probe"
    }

    fn check(&mut self, exchange: &Exchange<'_>) -> Result<(), String> {
        let Some(received) = Frame::dissect(exchange.received) else { return Ok(()) };
        let Some((ip, tcp)) = received.tcp() else { return Ok(()) };
        let ends = (ip.from(tcp), ip.to(tcp));
        if tcp.flags.has(Flags::SYN) {
            *self.next.get_or_insert_with(ends, || tcp.seq) = tcp.seq.advance(1);
            return Ok(());
        }
        let Some(next) = self.next.get_mut(&ends) else { return Ok(()) };
        let is_probe = tcp.seq.advance(1) == *next && tcp.payload.len() <= 1 && !tcp.flags.has(Flags::FIN);
        if tcp.end().after(*next) {
            *next = tcp.end();
        }
        // The last byte of a request, whose client's timer reminds us of the rest of a long response.
        let is_reminder = matches!(
            exchange.verdict,
            Verdict::Replied(
                ReplyKind::NextWindow | ReplyKind::Resent | ReplyKind::Resumed | ReplyKind::Narrowed | ReplyKind::Probe
            )
        );
        if !is_probe || is_reminder || exchange.sent.is_empty() {
            return Ok(());
        }
        let sent: usize = exchange.sent.iter().map(Vec::len).sum();
        let has_payload = |frame: &Vec<u8>| {
            Frame::dissect(frame).is_some_and(|frame| frame.tcp().is_some_and(|(_, tcp)| !tcp.payload.is_empty()))
        };
        if exchange.sent.iter().any(has_payload) {
            return Err("a probe is answered with payload".to_owned());
        }
        if sent > exchange.received.len() {
            return Err(format!("a probe of {} bytes is answered by {sent}", exchange.received.len()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::stand::{Recorded, fetch};
    use crate::frame::{Ends, Segment};
    use crate::testing;

    #[test]
    fn it_sees_a_probe_that_draws_payload_or_more_than_it_brings() {
        let engine = testing::engine();
        let ends = Ends::v4();
        let mut checker = Probe::default();
        let [opened, asked] = fetch(&engine, &ends, "/10");
        for recorded in [&opened, &asked] {
            assert_eq!(recorded.check(&mut checker), Ok(()));
        }
        let end = Frame::dissect(&asked.received).unwrap().tcp().unwrap().1.end();
        let probe = |place: SeqNumber| Segment::ack(&ends).seq(place.value()).timestamps(7, 7).frame();
        let answered = Recorded { received: probe(end.rewind(1)), ..asked.clone() };
        assert_eq!(answered.check(&mut checker), Err("a probe is answered with payload".to_owned()));
        let ack = answered.clone().change(|segment| segment.payload([]));
        assert_eq!(ack.check(&mut checker), Ok(()));
        let long = Recorded { sent: [ack.sent.clone(), ack.sent].concat(), ..answered.clone() };
        assert!(long.check(&mut checker).unwrap_err().starts_with("a probe of "));
        let plain = Recorded { received: probe(end), ..answered };
        assert_eq!(plain.check(&mut checker), Ok(()), "the ACK of a client that reads");
    }
}
