//! An answer goes back to where the frame came from, from the address that it was sent to.

use std::net::{IpAddr, Ipv6Addr};

use lethe::verdict::{ReplyKind, Verdict};
use lethe::wire::ethernet::MacAddress;

use super::quote::is_unreachable;
use super::{Checker, Exchange, whole};
use crate::dissect::{Frame, Icmp, Ip, Network, Transport};
use crate::notation;

/// All nodes on the link: who a duplicate address probe is answered to (RFC 4861, section 7.2.4).
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ALL_NODES_MAC: MacAddress = MacAddress::new([0x33, 0x33, 0, 0, 0, 1]);

/// Hardware addresses, VLAN, IP addresses and ports.
#[derive(Clone, Copy, Debug)]
pub struct Address {
    mac: MacAddress,
}

impl Address {
    /// For an engine with this hardware address.
    pub const fn new(mac: MacAddress) -> Self {
        Self { mac }
    }

    fn problem(self, received: &Frame<'_>, sent: &Frame<'_>) -> Option<&'static str> {
        let is_probe = received.ip().is_some_and(|ip| ip.source.is_unspecified());
        let destination = if is_probe { ALL_NODES_MAC } else { received.source };
        if sent.source != self.mac {
            return Some("it is not from our hardware address");
        }
        if sent.destination != destination {
            return Some("it goes to another station than the one that asked");
        }
        if sent.vlan != received.vlan {
            return Some("it is in another VLAN");
        }
        match (&received.network, &sent.network) {
            (Network::Arp(asked), Network::Arp(told)) => {
                let is_right = (told.sender_mac, told.sender) == (self.mac, asked.target)
                    && (told.target_mac, told.target) == (asked.sender_mac, asked.sender);
                (!is_right).then_some("it does not answer that question")
            }
            (Network::Ip(received), Network::Ip(sent)) => ip_problem(received, sent),
            _ => Some("it speaks another protocol"),
        }
    }
}

fn ip_problem(received: &Ip<'_>, sent: &Ip<'_>) -> Option<&'static str> {
    let destination = if received.source.is_unspecified() { ALL_NODES.into() } else { received.source };
    let is_group = match destination {
        IpAddr::V4(address) => address.is_broadcast() || address.is_multicast() || address.is_unspecified(),
        IpAddr::V6(address) => address.is_multicast() && address != ALL_NODES,
    };
    if is_group || destination.is_loopback() {
        return Some("it goes to an address that no host has");
    }
    if sent.destination != destination {
        return Some("it goes to another address than the one that asked");
    }
    // A question to a group is answered from the address that was asked for.
    let is_problem = matches!(&sent.transport, Transport::Icmp(Icmp { kind: 4, code: 2, .. }) if sent.source.is_ipv6());
    let source = match &received.transport {
        // Of a group that is told of an unknown option, a member tells.
        _ if is_problem && received.destination.is_multicast() => Some(sent.source),
        Transport::Icmp(Icmp { kind: 135, body, .. }) => {
            body.get(4..20).and_then(|target| <[u8; 16]>::try_from(target).ok()).map(IpAddr::from)
        }
        _ => Some(received.destination),
    };
    if Some(sent.source) != source {
        return Some("it comes from another address than the one that was asked");
    }
    match (&received.transport, &sent.transport) {
        // It is about the packet, whatever that carries.
        _ if is_problem => None,
        (Transport::Tcp(received), Transport::Tcp(sent)) => {
            let is_right =
                (received.source_port, received.destination_port) == (sent.destination_port, sent.source_port);
            (!is_right).then_some("it is between other ports")
        }
        (Transport::Icmp(received), Transport::Icmp(sent)) => match (received.kind, sent.kind) {
            (135, 136) => None,
            (8, 0) | (128, 129) if received.body == sent.body => None,
            _ => Some("it does not answer that message"),
        },
        (Transport::Tcp(_), Transport::Icmp(icmp)) if is_unreachable(sent, icmp) => None,
        _ => Some("it speaks another protocol"),
    }
}

impl Checker for Address {
    fn name(&self) -> &'static str {
        "address"
    }

    fn check(&mut self, exchange: &Exchange<'_>) -> Result<(), String> {
        // What a router could not pass on goes once more to its destination.
        if exchange.sent.is_empty() || exchange.verdict == Verdict::Replied(ReplyKind::Narrowed) {
            return Ok(());
        }
        let Some(received) = Frame::dissect(exchange.received) else {
            return Err("what is no frame was answered".to_owned());
        };
        for bytes in whole(exchange.sent) {
            let problem = Frame::dissect(&bytes).and_then(|sent| self.problem(&received, &sent));
            if let Some(problem) = problem {
                return Err(format!("{problem}: {}", notation::line(&bytes)));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::stand::{self, NOW, Recorded};
    use crate::frame::{Arp, Ends, Icmp};
    use crate::testing;

    #[test]
    fn it_lets_every_right_answer_pass() {
        let engine = testing::engine();
        let mut checker = Address::new(engine.config().mac);
        let (v4, v6) = (Ends::v4().vlan(3), Ends::v6());
        for frame in [
            Arp::request(&v4).frame(),
            Arp::probe(&v4).frame(),
            Icmp::echo(&v4, 1, 2, b"abc").frame(),
            Icmp::echo(&v6, 1, 2, b"abc").frame(),
            Icmp::solicitation(&v6).frame(),
            Icmp::unicast_solicitation(&v6).frame(),
            Icmp::duplicate_address_probe(&v6).frame(),
        ] {
            let recorded = Recorded::at(NOW, &engine, frame);
            assert_eq!(recorded.sent.len(), 1, "{}", notation::line(&recorded.received));
            assert_eq!(recorded.check(&mut checker), Ok(()));
        }
    }

    #[test]
    fn it_sees_an_answer_that_goes_astray() {
        let engine = testing::engine();
        let mut checker = Address::new(engine.config().mac);
        let [opened, _] = stand::fetch(&engine, &Ends::v4().vlan(3), "/");
        let ends = Ends::v4().vlan(3).reversed();
        let from = |ends: Ends| {
            let mut wrong = opened.clone();
            wrong.sent[0] = crate::frame::Segment::syn(&ends).frame();
            wrong.check(&mut checker).err().map(|problem| problem.split(':').next().unwrap().to_owned())
        };
        let mut from = from;
        assert_eq!(from(ends), None);
        let says = |problem: &str| Some(problem.to_owned());
        assert_eq!(from(ends.vlan(4)), says("it is in another VLAN"));
        assert_eq!(from(Ends { client_mac: ends.server_mac, ..ends }), says("it is not from our hardware address"));
        let astray = Ends { server_mac: MacAddress::BROADCAST, ..ends };
        assert_eq!(from(astray), says("it goes to another station than the one that asked"));
        assert_eq!(from(ends.server_port(1)), says("it is between other ports"));
        let other = Ends { client: "10.9.0.3:80".parse().unwrap(), ..ends };
        assert_eq!(from(other), says("it comes from another address than the one that was asked"));
        let other = Ends { server: "10.9.0.3:40000".parse().unwrap(), ..ends };
        assert_eq!(from(other), says("it goes to another address than the one that asked"));
    }
}
