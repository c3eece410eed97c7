//! Address resolution: resolves the next hops, and answers requests for the clients' addresses.

use std::net::{IpAddr, Ipv6Addr};

use lethe::wire::ethernet::MacAddress;

use crate::wire::{Content, Link, arp, neighbor};

/// µs between two requests, and the most requests for an address.
const PATIENCE: u64 = 500_000;
const QUESTIONS: u32 = 10;

/// The next hop to a server: the server itself, or a router.
#[derive(Clone, Copy, Debug)]
struct Hop {
    address: IpAddr,
    /// The client that sends the requests.
    client: IpAddr,
    mac: Option<MacAddress>,
    asked: u32,
    next: u64,
}

/// All next hops.
#[derive(Clone, Debug)]
pub(crate) struct Neighbors {
    mac: MacAddress,
    hops: Vec<Hop>,
}

impl Neighbors {
    /// Next hops, each with the client that resolves it. All clients have the hardware address `mac`.
    pub(crate) fn new(mac: MacAddress, hops: impl Iterator<Item = (IpAddr, IpAddr)>) -> Self {
        let hop = |(address, client)| Hop { address, client, mac: None, asked: 0, next: 0 };
        Self { mac, hops: hops.map(hop).collect() }
    }

    /// The link-layer addresses of frames to the server of this family, once they are resolved.
    pub(crate) fn link(&self, is_ipv4: bool) -> Option<Link> {
        let hop = self.hops.iter().find(|hop| hop.address.is_ipv4() == is_ipv4)?;
        Some(Link { source: self.mac, destination: hop.mac? })
    }

    /// Whether all next hops are resolved.
    pub(crate) fn is_known(&self) -> bool {
        self.hops.iter().all(|hop| hop.mac.is_some())
    }

    /// Writes a request, if one is due at `now`, in µs. The error is an address that does not answer.
    pub(crate) fn question(&mut self, now: u64, buffer: &mut [u8]) -> Result<Option<usize>, IpAddr> {
        let Some(hop) = self.hops.iter_mut().find(|hop| hop.mac.is_none() && hop.next <= now) else { return Ok(None) };
        if hop.asked == QUESTIONS {
            return Err(hop.address);
        }
        hop.asked += 1;
        hop.next = now + PATIENCE;
        Ok(match (hop.client, hop.address) {
            (IpAddr::V4(client), IpAddr::V4(address)) => {
                let link = Link { source: self.mac, destination: MacAddress::BROADCAST };
                Some(arp(buffer, link, 1, client, address))
            }
            (IpAddr::V6(client), IpAddr::V6(address)) => {
                let (group, mac) = solicited_node(address);
                let link = Link { source: self.mac, destination: mac };
                Some(neighbor(buffer, link, 135, (client, group), address))
            }
            _ => None,
        })
    }

    /// Learns the address of a next hop from a frame.
    pub(crate) fn learn(&mut self, content: &Content<'_>) {
        let (address, mac) = match *content {
            Content::Arp { sender: (mac, address), .. } => (IpAddr::V4(address), mac),
            Content::Advertisement { mac, target } => (IpAddr::V6(target), mac),
            _ => return,
        };
        for hop in self.hops.iter_mut().filter(|hop| hop.address == address) {
            hop.mac = Some(mac);
        }
    }

    /// Writes the answer to a request for the address of a client.
    pub(crate) fn answer(&self, content: &Content<'_>, buffer: &mut [u8]) -> Option<usize> {
        let to = |mac| Link { source: self.mac, destination: mac };
        match *content {
            Content::Arp { operation: 1, sender: (mac, asker), target } => Some(arp(buffer, to(mac), 2, target, asker)),
            // A probe of duplicate address detection has no source (RFC 4862, section 5.4.3); it is answered too, since
            // the address is in use.
            Content::Solicitation { mac, source, target } if !source.is_unspecified() => {
                Some(neighbor(buffer, to(mac), 136, (target, source), target))
            }
            _ => None,
        }
    }
}

/// The solicited-node group of an address (RFC 4291, section 2.7.1), and its hardware address (RFC 2464, section 7).
fn solicited_node(address: Ipv6Addr) -> (Ipv6Addr, MacAddress) {
    let [.., a, b, c] = address.octets();
    let group = 0xff02_0000_0000_0000_0000_0001_ff00_0000 | address.to_bits() & 0xff_ffff;
    (Ipv6Addr::from_bits(group), MacAddress::new([0x33, 0x33, 0xff, a, b, c]))
}

#[cfg(test)]
mod tests {
    use lethe::port::RxFrame;

    use super::*;
    use crate::wire::parse;

    #[test]
    fn a_station_that_is_asked_by_another_of_us_answers_and_is_known() {
        let pairs =
            [("10.9.0.2", "10.9.0.1"), ("fd09::2", "fd09::1")].map(|(a, b)| (a.parse().unwrap(), b.parse().unwrap()));
        let (ours, theirs) = (MacAddress::new([2, 0, 0, 0, 0, 1]), MacAddress::LETHE);
        let mut asking = Neighbors::new(ours, pairs.into_iter());
        let asked = Neighbors::new(theirs, std::iter::empty());
        for _ in pairs {
            let (mut question, mut answer) = ([0; 100], [0; 100]);
            let len = asking.question(0, &mut question).unwrap().unwrap();
            let len = asked.answer(&parse(&RxFrame::unchecked(&question[..len])), &mut answer).unwrap();
            asking.learn(&parse(&RxFrame::unchecked(&answer[..len])));
        }
        assert!(asking.is_known());
        assert_eq!(asking.link(true), Some(Link { source: ours, destination: theirs }));
        assert_eq!(asking.link(true), asking.link(false));
    }

    #[test]
    fn a_question_is_asked_ten_times_and_then_it_is_said_for_whom() {
        let hop = ("10.9.0.2".parse().unwrap(), "10.9.0.1".parse().unwrap());
        let mut asking = Neighbors::new(MacAddress::LETHE, std::iter::once(hop));
        let mut buffer = [0; 100];
        for time in 0..10 {
            assert!(asking.question(time * PATIENCE, &mut buffer).unwrap().is_some());
            assert!(asking.question(time * PATIENCE + 1, &mut buffer).unwrap().is_none());
        }
        assert_eq!(asking.question(10 * PATIENCE, &mut buffer), Err(hop.0));
    }
}
