//! The engine is of no use to flood a third party (design, rule 7).

use lethe::verdict::{ReplyKind, Verdict};

use super::{Checker, Exchange};

/// What a SYN+ACK may have more than its SYN: the MSS option, which a SYN need not have.
const SYN_ACK_SURPLUS: usize = 4;

/// What an advertisement may have more than its solicitation: the option with our hardware address.
const NEIGHBOR_SURPLUS: usize = 8;

/// The longest Parameter Problem that may be longer than its packet: Ethernet header, VLAN tag, IPv6 header, eight
/// bytes of ICMPv6, and 48 bytes of the packet.
const PROBLEM_MAX: usize = 14 + 4 + 40 + 8 + 48;

/// What is sent to an address that has not shown a valid cookie is no larger than what came from it. That
/// only one who has shown it gets a response is what [`Cookie`](super::Cookie) is for.
#[derive(Clone, Copy, Debug)]
pub struct Reflection;

impl Checker for Reflection {
    fn name(&self) -> &'static str {
        "reflection"
    }

    fn check(&mut self, exchange: &Exchange<'_>) -> Result<(), String> {
        let surplus = match exchange.verdict {
            Verdict::Replied(
                ReplyKind::Response
                | ReplyKind::Refusal
                | ReplyKind::FirstWindow
                | ReplyKind::NextWindow
                | ReplyKind::Probe
                | ReplyKind::Resent
                | ReplyKind::Resumed
                | ReplyKind::Narrowed,
            ) => return Ok(()),
            Verdict::Replied(ReplyKind::SynAck) => SYN_ACK_SURPLUS,
            Verdict::Replied(ReplyKind::Neighbor) => NEIGHBOR_SURPLUS,
            // Headers of an error, where its packet is too short to make room for them and be told from others.
            Verdict::Replied(ReplyKind::ParameterProblem) if exchange.received.len() < PROBLEM_MAX => {
                PROBLEM_MAX - exchange.received.len()
            }
            _ => 0,
        };
        let sent: usize = exchange.sent.iter().map(Vec::len).sum();
        let received = exchange.received.len();
        if sent > received + surplus {
            return Err(format!("{}: {received} bytes were answered by {sent}", exchange.verdict));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::stand::{NOW, Recorded};
    use crate::frame::{Arp, Ends, Icmp, Segment};
    use crate::testing;

    #[test]
    fn it_sees_one_byte_more_than_may_be() {
        let engine = testing::engine();
        let (v4, v6) = (Ends::v4(), Ends::v6());
        for (frame, surplus) in [
            (Segment::syn(&v4).frame(), SYN_ACK_SURPLUS),
            (Segment::syn(&v6).option(&[4, 2]).timestamps(1, 0).frame(), SYN_ACK_SURPLUS),
            (Segment::syn(&v4).mss(1460).window_scale(7).frame(), SYN_ACK_SURPLUS),
            (Arp::request(&v4).frame(), 0),
            (Icmp::echo(&v4, 1, 1, b"").frame(), 0),
            (Icmp::duplicate_address_probe(&v6).frame(), NEIGHBOR_SURPLUS),
            (Icmp::solicitation(&v6).frame(), NEIGHBOR_SURPLUS),
        ] {
            let mut recorded = Recorded::at(NOW, &engine, frame);
            assert_eq!(recorded.sent.len(), 1);
            assert_eq!(recorded.check(&mut Reflection), Ok(()));
            recorded.sent[0].resize(recorded.received.len() + surplus + 1, 0);
            assert!(recorded.check(&mut Reflection).is_err());
        }
    }
}
