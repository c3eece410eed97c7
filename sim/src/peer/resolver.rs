//! From the server's IP address to its hardware address: ARP (RFC 826) or neighbor discovery (RFC 4861).

use std::net::IpAddr;
use std::time::Duration;

use lethe::time::Instant;
use lethe::wire::ethernet::MacAddress;

use super::Outbox;
use crate::clock::after;
use crate::dissect::{Arp, Frame, Icmp, Ip, Network, Transport};
use crate::frame::{self, Ends};

/// The time between two questions (RFC 4861, section 10; Linux uses it for ARP as well).
const INTERVAL: Duration = Duration::from_secs(1);

const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;

/// Asks until it is answered. Questions about the client's own address it answers at any time.
#[derive(Clone, Debug)]
pub(super) struct Resolver {
    ends: Ends,
    ask_at: Option<Instant>,
}

impl Resolver {
    /// One that has not asked yet.
    pub(super) const fn new(ends: &Ends) -> Self {
        Self { ends: *ends, ask_at: None }
    }

    /// Asks, if it is time to.
    pub(super) fn wake(&mut self, now: Instant, out: &mut Outbox) {
        if self.ask_at.is_none_or(|at| at <= now) {
            out.push(match self.ends.server.ip() {
                IpAddr::V4(_) => frame::Arp::request(&self.ends).frame(),
                IpAddr::V6(_) => frame::Icmp::solicitation(&self.ends).frame(),
            });
            self.ask_at = Some(after(now, INTERVAL));
        }
    }

    /// When it asks again.
    pub(super) const fn deadline(&self) -> Option<Instant> {
        self.ask_at
    }

    /// The hardware address that this frame tells, if it answers the question.
    pub(super) fn answer(&self, frame: &Frame<'_>) -> Option<MacAddress> {
        match &frame.network {
            Network::Arp(Arp { operation: 2, sender_mac, sender, .. }) if *sender == self.ends.server.ip() => {
                Some(*sender_mac)
            }
            Network::Ip(Ip { transport: Transport::Icmp(icmp), hop_limit: 255, .. }) => self.advertised(icmp),
            _ => None,
        }
    }

    fn advertised(&self, icmp: &Icmp<'_>) -> Option<MacAddress> {
        let Icmp { kind: ADVERTISEMENT, code: 0, checksum_is_right: true, body } = *icmp else { return None };
        let (target, options) = body.get(4..)?.split_first_chunk::<16>()?;
        match *options {
            [2, 1, m0, m1, m2, m3, m4, m5] if IpAddr::from(*target) == self.ends.server.ip() => {
                Some(MacAddress::new([m0, m1, m2, m3, m4, m5]))
            }
            _ => None,
        }
    }

    /// Answers a question about the client's own address.
    pub(super) fn receive(&self, frame: &Frame<'_>, out: &mut Outbox) {
        let back = Ends { server_mac: frame.source, ..self.ends };
        match &frame.network {
            Network::Arp(Arp { operation: 1, target, .. }) if *target == self.ends.client.ip() => {
                out.push(frame::Arp::reply(&back).frame());
            }
            Network::Ip(Ip { transport: Transport::Icmp(icmp), hop_limit: 255, source: IpAddr::V6(_), .. }) => {
                let Icmp { kind: SOLICITATION, code: 0, checksum_is_right: true, body } = *icmp else { return };
                let target = body.get(4..20).and_then(|target| <[u8; 16]>::try_from(target).ok());
                if target.map(IpAddr::from) == Some(self.ends.client.ip()) {
                    out.push(frame::Icmp::advertisement(&back).frame());
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_families_are_asked_and_understood() {
        for ends in [Ends::v4(), Ends::v6().vlan(5)] {
            let now = Instant::from_unix_seconds(1);
            let mut resolver = Resolver::new(&ends);
            let mut out = Outbox::new();
            resolver.wake(now, &mut out);
            resolver.wake(now, &mut out);
            assert_eq!(out.len(), 1, "it does not ask twice at once");
            // A resolver at the other end answers.
            let server = Resolver::new(&ends.reversed());
            let mut answers = Outbox::new();
            server.receive(&Frame::dissect(&out[0]).unwrap(), &mut answers);
            let answer = Frame::dissect(&answers[0]).unwrap();
            assert_eq!(resolver.answer(&answer), Some(ends.server_mac));
            assert_eq!(answer.vlan, ends.vlan);
            assert_eq!(server.answer(&answer), None);
        }
    }
}
