//! What the engine says it has done is what it has done.

use lethe::verdict::{ReplyKind, Verdict};
use lethe::wire::tcp::Flags;

use super::{Checker, Exchange, whole};
use crate::dissect::{Frame, Network, Transport};

/// A frame is answered if and only if the verdict says so, by an answer of the kind that it says. (That
/// frames in are the sum of verdicts follows from there being one verdict each, which the world insists on.)
#[derive(Clone, Copy, Debug)]
pub struct Truthful;

const SYN_ACK: Flags = Flags::SYN.with(Flags::ACK);

impl Checker for Truthful {
    fn name(&self) -> &'static str {
        "verdict"
    }

    fn check(&mut self, exchange: &Exchange<'_>) -> Result<(), String> {
        let wrong = || Err(format!("{}, but {} frames were sent", exchange.verdict, exchange.sent.len()));
        match exchange.verdict {
            Verdict::Absorbed(_) | Verdict::Dropped(_) if exchange.sent.is_empty() => Ok(()),
            Verdict::Replied(kind) if !exchange.sent.is_empty() => {
                let is_true = |bytes: &[u8]| Frame::dissect(bytes).is_none_or(|frame| is_of_kind(&frame, kind));
                if whole(exchange.sent).iter().all(|bytes| is_true(bytes)) {
                    Ok(())
                } else {
                    Err(format!("{}, but something else was sent", exchange.verdict))
                }
            }
            _ => wrong(),
        }
    }
}

fn is_of_kind(frame: &Frame<'_>, kind: ReplyKind) -> bool {
    let transport = match &frame.network {
        Network::Arp(_) => return kind == ReplyKind::Arp,
        Network::Ip(ip) => &ip.transport,
        _ => return false,
    };
    match (kind, transport) {
        (ReplyKind::Echo, Transport::Icmp(icmp)) => icmp.kind == 0,
        (ReplyKind::EchoV6, Transport::Icmp(icmp)) => icmp.kind == 129,
        (ReplyKind::Neighbor, Transport::Icmp(icmp)) => icmp.kind == 136,
        (ReplyKind::ParameterProblem, Transport::Icmp(icmp)) => (icmp.kind, icmp.code) == (4, 2),
        (ReplyKind::Resumed, Transport::Icmp(icmp)) => matches!((icmp.kind, icmp.code), (3 | 1, 0)),
        (ReplyKind::SynAck, Transport::Tcp(tcp)) => tcp.flags == SYN_ACK && tcp.payload.is_empty(),
        (ReplyKind::Response | ReplyKind::Refusal, Transport::Tcp(tcp)) => {
            tcp.flags.has(Flags::ACK) && !tcp.flags.has(Flags::SYN) && !tcp.payload.is_empty()
        }
        (
            ReplyKind::FirstWindow
            | ReplyKind::NextWindow
            | ReplyKind::Probe
            | ReplyKind::Resent
            | ReplyKind::Resumed
            | ReplyKind::Narrowed,
            Transport::Tcp(tcp),
        ) => {
            // The end of a response that leaves its connection open, to a client that has all of its bytes: the proof
            // for the next request alone. And what opens its window, behind the end.
            let is_end = tcp.flags.masked(Flags::ACK.with(Flags::PSH)) == tcp.flags && tcp.timestamps.is_some();
            tcp.flags.masked(SYN_ACK) == Flags::ACK
                && (!tcp.payload.is_empty() || tcp.flags.has(Flags::FIN) || is_end && kind != ReplyKind::Probe)
        }
        (ReplyKind::FinAck, Transport::Tcp(tcp)) => tcp.flags.masked(SYN_ACK) == Flags::ACK && tcp.payload.is_empty(),
        (ReplyKind::Closed, Transport::Tcp(tcp)) => tcp.flags == Flags::FIN.with(Flags::ACK) && tcp.payload.is_empty(),
        (ReplyKind::LateAck | ReplyKind::KeepAlive | ReplyKind::Renewed | ReplyKind::Settled, Transport::Tcp(tcp)) => {
            tcp.flags == Flags::ACK && tcp.payload.is_empty()
        }
        (ReplyKind::Reset, Transport::Tcp(tcp)) => tcp.flags.has(Flags::RST),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::stand;
    use crate::frame::Ends;
    use crate::testing;
    use lethe::verdict::DropReason;

    #[test]
    fn it_sees_a_verdict_that_is_not_true() {
        let engine = testing::engine();
        let [opened, asked] = stand::fetch(&engine, &Ends::v4(), "/5000");
        for mut recorded in [opened, asked] {
            assert_eq!(recorded.check(&mut Truthful), Ok(()));
            recorded.verdict = Verdict::Replied(ReplyKind::Echo);
            assert!(recorded.check(&mut Truthful).is_err());
            recorded.verdict = Verdict::Dropped(DropReason::TcpCookie);
            assert!(recorded.check(&mut Truthful).is_err());
            recorded.sent.clear();
            assert_eq!(recorded.check(&mut Truthful), Ok(()));
            recorded.verdict = Verdict::Replied(ReplyKind::SynAck);
            assert!(recorded.check(&mut Truthful).is_err());
        }
    }
}
