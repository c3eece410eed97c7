//! ICMP of both families (RFC 792, RFC 4443) and neighbor solicitations (RFC 4861, section 4.3).

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use lethe::wire::ethernet::MacAddress;

use super::packet::pseudo_header;
use super::{Ends, Packet, internet_checksum};

const ICMP: u8 = 1;
const ICMPV6: u8 = 58;

/// An ICMP message, of the family that the ends have.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Icmp {
    ends: Ends,
    kind: u8,
    code: u8,
    body: Vec<u8>,
    hop_limit: u8,
    bad_checksum: bool,
}

/// What a router or host complains about: an ICMP error, in the words of either family.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IcmpError {
    /// The port is closed.
    PortUnreachable,
    /// There is no way to that host.
    HostUnreachable,
    /// It does not fit a link with this MTU.
    TooBig(u16),
    /// It has passed too many routers.
    TimeExceeded,
}

impl Icmp {
    /// A message of this type and code, and what follows the checksum.
    pub fn new(ends: &Ends, kind: u8, code: u8, body: impl Into<Vec<u8>>) -> Self {
        Self { ends: *ends, kind, code, body: body.into(), hop_limit: 64, bad_checksum: false }
    }

    /// An echo request.
    pub fn echo(ends: &Ends, identifier: u16, sequence: u16, data: &[u8]) -> Self {
        let kind = if ends.server.is_ipv4() { 8 } else { 128 };
        Self::new(ends, kind, 0, [&identifier.to_be_bytes(), &sequence.to_be_bytes(), data].concat())
    }

    /// Who has the server's address? Sent to its solicited-node group, with the hardware address of the
    /// one who asks. The ends must be IPv6.
    pub fn solicitation(ends: &Ends) -> Self {
        let option = [&[1, 1], ends.client_mac.bytes().as_slice()].concat();
        Self::solicitation_with(ends, v6(ends.client), &option)
    }

    /// Asks the server itself, as a cache is refreshed (RFC 4861, section 7.3.3).
    pub fn unicast_solicitation(ends: &Ends) -> Self {
        Self { ends: *ends, ..Self::solicitation_with(ends, v6(ends.client), &[]) }
    }

    /// Asks whether another host has the server's address: duplicate address detection (RFC 4862, section 5.4.2).
    pub fn duplicate_address_probe(ends: &Ends) -> Self {
        Self::solicitation_with(ends, Ipv6Addr::UNSPECIFIED, &[])
    }

    /// A solicitation for the server's address, with anything as its options.
    pub fn solicitation_with(ends: &Ends, source: Ipv6Addr, options: &[u8]) -> Self {
        let target = v6(ends.server).octets();
        let [.., a, b, c] = target;
        let group = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | u16::from(a), u16::from_be_bytes([b, c]));
        let ends = Ends {
            server_mac: MacAddress::new([0x33, 0x33, 0xff, a, b, c]),
            client: SocketAddr::new(source.into(), 0),
            server: SocketAddr::new(group.into(), 0),
            ..*ends
        };
        Self::new(&ends, 135, 0, [&[0; 4], target.as_slice(), options].concat()).hop_limit(255)
    }

    /// To the one who asked: the client's address is at the client's hardware address.
    pub fn advertisement(ends: &Ends) -> Self {
        let body = [&[0x60, 0, 0, 0], v6(ends.client).octets().as_slice(), &[2, 1], &ends.client_mac.bytes()].concat();
        Self::new(ends, 136, 0, body).hop_limit(255)
    }

    /// A complaint about a frame that the server has sent: it quotes as much of the IP packet in it as
    /// what a packet of 1,280 bytes holds over IPv6, and one of 576 bytes over IPv4 (RFC 1812, section 4.3.2.3).
    pub fn error(ends: &Ends, error: IcmpError, about: &[u8]) -> Self {
        let link = if about.get(12..14) == Some(&super::VLAN) { 18 } else { 14 };
        let packet = about.get(link..).unwrap_or_default();
        let (kind, code, rest, quoted) = if ends.server.is_ipv4() {
            let (kind, code, mtu) = match error {
                IcmpError::HostUnreachable => (3, 1, 0),
                IcmpError::PortUnreachable => (3, 3, 0),
                IcmpError::TooBig(mtu) => (3, 4, mtu),
                IcmpError::TimeExceeded => (11, 0, 0),
            };
            (kind, code, u32::from(mtu), 576 - 28)
        } else {
            let (kind, code, mtu) = match error {
                IcmpError::HostUnreachable => (1, 3, 0),
                IcmpError::PortUnreachable => (1, 4, 0),
                IcmpError::TooBig(mtu) => (2, 0, mtu),
                IcmpError::TimeExceeded => (3, 0, 0),
            };
            (kind, code, u32::from(mtu), 1280 - 48)
        };
        let quoted = &packet[..packet.len().min(quoted)];
        Self::new(ends, kind, code, [&rest.to_be_bytes(), quoted].concat())
    }

    /// Another code.
    #[must_use]
    pub const fn code(mut self, code: u8) -> Self {
        self.code = code;
        self
    }

    /// Another hop limit.
    #[must_use]
    pub const fn hop_limit(mut self, hop_limit: u8) -> Self {
        self.hop_limit = hop_limit;
        self
    }

    /// The checksum is wrong.
    #[must_use]
    pub const fn bad_checksum(mut self) -> Self {
        self.bad_checksum = true;
        self
    }

    /// The IP packet, to be changed below ICMP.
    pub fn packet(&self) -> Packet {
        let is_v4 = self.ends.server.is_ipv4();
        let mut bytes = vec![self.kind, self.code, 0, 0];
        bytes.extend(&self.body);
        let protocol = if is_v4 { ICMP } else { ICMPV6 };
        let pseudo_header = if is_v4 { Vec::new() } else { pseudo_header(&self.ends, protocol, bytes.len()) };
        let checksum = internet_checksum([pseudo_header.as_slice(), &bytes]) ^ u16::from(self.bad_checksum);
        bytes[2..4].copy_from_slice(&checksum.to_be_bytes());
        Packet::new(&self.ends, protocol, bytes).hop_limit(self.hop_limit)
    }

    /// The frame.
    pub fn frame(&self) -> Vec<u8> {
        self.packet().frame()
    }
}

fn v6(end: SocketAddr) -> Ipv6Addr {
    match end.ip() {
        IpAddr::V6(address) => address,
        IpAddr::V4(_) => panic!("neighbor discovery is for IPv6"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_solicitation_goes_to_the_group_of_its_target() {
        let frame = Icmp::solicitation(&Ends::v6()).frame();
        assert_eq!(frame[..6], [0x33, 0x33, 0xff, 0, 0, 2]);
        assert_eq!(frame[38..54], "ff02::1:ff00:2".parse::<Ipv6Addr>().unwrap().octets());
        assert_eq!(frame.len(), 86);
        assert_eq!(Icmp::duplicate_address_probe(&Ends::v6()).frame().len(), 78);
    }
}
