//! Only what a client's timer had it send again is quoted as undelivered (RFC 6069).

use lethe::verdict::{ReplyKind, Verdict};

use super::{Checker, Exchange};
use crate::dissect::{Frame, Icmp, Ip, Transport};
use crate::notation;

/// Bytes of the segment that are quoted: what tells which one it was (RFC 792).
const QUOTED: usize = 8;

/// An ICMP message for a segment goes ahead of what that is answered with, or behind, and quotes it.
#[derive(Clone, Copy, Debug)]
pub struct Quote;

/// Whether this says that a packet could not be delivered: no route to its network.
pub(super) fn is_unreachable(ip: &Ip<'_>, icmp: &Icmp<'_>) -> bool {
    icmp.code == 0 && icmp.kind == if ip.source.is_ipv4() { 3 } else { 1 }
}

impl Checker for Quote {
    fn name(&self) -> &'static str {
        "quote"
    }

    fn check(&mut self, exchange: &Exchange<'_>) -> Result<(), String> {
        for (number, bytes) in exchange.sent.iter().enumerate() {
            let Some(frame) = Frame::dissect(bytes) else { continue };
            let Some(ip) = frame.ip() else { continue };
            let Transport::Icmp(icmp) = &ip.transport else { continue };
            if !is_unreachable(ip, icmp) {
                continue;
            }
            if let Some(problem) = problem(number, exchange, icmp) {
                return Err(format!("{problem}: {}", notation::line(bytes)));
            }
        }
        Ok(())
    }
}

fn problem(number: usize, exchange: &Exchange<'_>, icmp: &Icmp<'_>) -> Option<&'static str> {
    let received = Frame::dissect(exchange.received);
    let Some((_, tcp)) = received.as_ref().and_then(Frame::tcp) else {
        return Some("what is no segment is told of as undelivered");
    };
    if exchange.verdict != Verdict::Replied(ReplyKind::Resumed) || exchange.sent.len() < 3 {
        return Some("a segment that nothing is resumed for is told of as undelivered");
    }
    if number > 0 && number + 1 < exchange.sent.len() {
        return Some("it is told of as undelivered in the midst of what answers it");
    }
    // Ports and sequence number, after the IP header as it came.
    let quoted = icmp.body.get(4..).unwrap_or_default();
    let ports = [tcp.source_port, tcp.destination_port].map(u16::to_be_bytes).concat();
    let start = [ports.as_slice(), &tcp.seq.value().to_be_bytes()].concat();
    let is_whole = quoted.len() > QUOTED
        && quoted.ends_with(&start)
        && exchange.received.windows(quoted.len()).any(|window| window == quoted);
    (!is_whole).then_some("another packet is quoted")
}

#[cfg(test)]
mod tests {
    use lethe::time::Instant;

    use super::*;
    use crate::check::stand::{self, NOW, Recorded};
    use crate::frame::{Ends, Segment};
    use crate::testing;

    /// A request that comes again when all but the end of its response has arrived.
    fn resumed(ends: &Ends) -> Recorded {
        let engine = testing::engine();
        let [_, asked] = stand::fetch(&engine, ends, "/5000");
        let last = Frame::dissect(asked.sent.last().unwrap()).unwrap();
        let (_, last) = last.tcp().unwrap();
        let request = Frame::dissect(&asked.received).unwrap();
        let (_, request) = request.tcp().unwrap();
        let again = Segment::ack(ends).seq(request.seq.value()).ack_number(last.seq.value());
        let again = again.timestamps(9, last.timestamps.unwrap().0).payload(request.payload);
        Recorded::at(Instant::from_unix_seconds(NOW.as_unix_seconds()), &engine, again.frame())
    }

    #[test]
    fn it_sees_what_is_quoted_wrongly_or_for_nothing() {
        for ends in [Ends::v4(), Ends::v6()] {
            let recorded = resumed(&ends);
            assert_eq!(recorded.verdict, Verdict::Replied(ReplyKind::Resumed));
            assert!(Frame::dissect(&recorded.sent[0]).unwrap().tcp().is_none(), "it is quoted");
            assert_eq!(recorded.check(&mut Quote), Ok(()));
            let broken = |change: &dyn Fn(&mut Recorded)| {
                let mut broken = recorded.clone();
                change(&mut broken);
                assert!(broken.check(&mut Quote).is_err());
            };
            broken(&|recorded| *recorded.sent[0].last_mut().unwrap() ^= 1);
            broken(&|recorded| recorded.sent.truncate(2));
            broken(&|recorded| recorded.sent.insert(0, recorded.sent[1].clone()));
            broken(&|recorded| recorded.verdict = Verdict::Replied(ReplyKind::Resent));
        }
    }
}
