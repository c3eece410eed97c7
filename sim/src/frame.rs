//! Frames as a client sends them, right by default and wrong on request.
//!
//! ```
//! use lethe_sim::frame::{Ends, Segment};
//!
//! let ends = Ends::v4();
//! let syn = Segment::syn(&ends).seq(1000).mss(1460).sack_permitted().timestamps(5, 0).frame();
//! let tagged = Segment::ack(&ends.vlan(7)).seq(1001).ack_number(1).payload(b"GET / HTTP/1.0\r\n\r\n").frame();
//! let broken = Segment::fin(&ends).seq(1001).ack_number(1).bad_checksum().frame();
//! # assert_eq!((syn.len(), tagged.len(), broken.len()), (70, 76, 54));
//! ```
//!
//! Every byte is written here, from the RFCs and not by the engine's `emit`: a bug in that would else
//! stand on both ends of the wire and cancel itself out. For the same reason the checksum is the plainest
//! one that there is. From the bottom up: [`Packet`] is an IP packet with anything in it, [`Segment`],
//! [`Icmp`] and [`Arp`] are what it usually carries.
//!
//! A frame of the *server*, to see whether a checker notices a wrong one, is one of [`Ends::reversed`].

mod icmp;
mod packet;
mod segment;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use lethe::wire::ethernet::MacAddress;

pub use icmp::{Icmp, IcmpError};
pub use packet::{Packet, pseudo_header};
pub use segment::Segment;

/// The value of the type field in front of an 802.1Q tag.
const VLAN: [u8; 2] = [0x81, 0x00];

/// Both ends of a conversation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Ends {
    /// The hardware address that frames come from.
    pub client_mac: MacAddress,
    /// The hardware address that they go to.
    pub server_mac: MacAddress,
    /// Address and port that packets come from.
    pub client: SocketAddr,
    /// Address and port that they go to; of the same family.
    pub server: SocketAddr,
    /// The 802.1Q tag control information of every frame, if they are tagged.
    pub vlan: Option<u16>,
}

impl Ends {
    /// 10.9.0.1:40000 and 10.9.0.2:80, where the engine has the hardware address it has by default.
    pub fn v4() -> Self {
        Self::between((Ipv4Addr::new(10, 9, 0, 1), 40_000).into(), (Ipv4Addr::new(10, 9, 0, 2), 80).into())
    }

    /// `[fd09::1]:40000` and `[fd09::2]:80`, where the engine has the hardware address it has by default.
    pub fn v6() -> Self {
        let address = |last| Ipv6Addr::new(0xfd09, 0, 0, 0, 0, 0, 0, last);
        Self::between((address(1), 40_000).into(), (address(2), 80).into())
    }

    /// The value of `Host` in a request to this server: its address, in brackets where that is one of IPv6.
    pub fn host(&self) -> String {
        match self.server.ip() {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        }
    }

    /// These two, with the hardware addresses of [`Ends::v4`], untagged.
    pub const fn between(client: SocketAddr, server: SocketAddr) -> Self {
        let client_mac = MacAddress::new([0x02, 0, 0, 0, 0, 0x01]);
        Self { client_mac, server_mac: MacAddress::LETHE, client, server, vlan: None }
    }

    /// Changes the client port.
    #[must_use]
    pub fn client_port(mut self, port: u16) -> Self {
        self.client.set_port(port);
        self
    }

    /// Changes the server port.
    #[must_use]
    pub fn server_port(mut self, port: u16) -> Self {
        self.server.set_port(port);
        self
    }

    /// Puts it into a VLAN: the tag control information, priority in its top three bits.
    #[must_use]
    pub const fn vlan(mut self, tag: u16) -> Self {
        self.vlan = Some(tag);
        self
    }

    /// The other direction: frames that the server sends.
    #[must_use]
    pub const fn reversed(self) -> Self {
        Self {
            client_mac: self.server_mac,
            server_mac: self.client_mac,
            client: self.server,
            server: self.client,
            vlan: self.vlan,
        }
    }

    /// A frame of this type between the two, with anything in it.
    pub fn ethernet(&self, ether_type: u16, payload: &[u8]) -> Vec<u8> {
        let mut frame = Vec::with_capacity(18 + payload.len());
        frame.extend(self.server_mac.bytes());
        frame.extend(self.client_mac.bytes());
        if let Some(tag) = self.vlan {
            frame.extend(VLAN);
            frame.extend(tag.to_be_bytes());
        }
        frame.extend(ether_type.to_be_bytes());
        frame.extend(payload);
        frame
    }
}

/// An ARP packet (RFC 826).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Arp {
    ends: Ends,
    operation: u16,
    sender: Ipv4Addr,
    target: Ipv4Addr,
}

impl Arp {
    /// A broadcast that asks for the server's address (who-has). It asks for 0.0.0.0 when the ends are not IPv4.
    pub fn request(ends: &Ends) -> Self {
        let v4 = |end: SocketAddr| match end.ip() {
            IpAddr::V4(address) => address,
            IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
        };
        let broadcast = Ends { server_mac: MacAddress::BROADCAST, ..*ends };
        Self { ends: broadcast, operation: 1, sender: v4(ends.client), target: v4(ends.server) }
    }

    /// An ARP probe, from a host that has no address yet (RFC 5227, section 2.1.1).
    pub fn probe(ends: &Ends) -> Self {
        Self { sender: Ipv4Addr::UNSPECIFIED, ..Self::request(ends) }
    }

    /// To the one who asked: the client's address is at the client's hardware address.
    pub fn reply(ends: &Ends) -> Self {
        Self { ends: *ends, operation: 2, ..Self::request(ends) }
    }

    /// Another operation than request (1) or reply (2).
    #[must_use]
    pub const fn operation(mut self, operation: u16) -> Self {
        self.operation = operation;
        self
    }

    /// Asks for another address.
    #[must_use]
    pub const fn target(mut self, target: Ipv4Addr) -> Self {
        self.target = target;
        self
    }

    /// To one station and not to all, as a cache is refreshed (RFC 1122, section 2.3.2.1).
    #[must_use]
    pub const fn to(mut self, mac: MacAddress) -> Self {
        self.ends.server_mac = mac;
        self
    }

    /// The frame.
    pub fn frame(&self) -> Vec<u8> {
        let mut packet = vec![0, 1, 8, 0, 6, 4];
        packet.extend(self.operation.to_be_bytes());
        packet.extend(self.ends.client_mac.bytes());
        packet.extend(self.sender.octets());
        packet.extend(if self.operation == 1 { [0; 6] } else { self.ends.server_mac.bytes() });
        packet.extend(self.target.octets());
        self.ends.ethernet(0x0806, &packet)
    }
}

/// The Internet checksum of these bytes in a row, as RFC 1071 defines it: no trick, big-endian words. All
/// parts but the last are of even length.
pub fn internet_checksum<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> u16 {
    let mut sum = 0;
    for part in parts {
        let (words, rest) = part.as_chunks::<2>();
        sum += words.iter().map(|word| u64::from(u16::from_be_bytes(*word))).sum::<u64>();
        sum += rest.first().map_or(0, |&byte| u64::from(byte) << 8);
    }
    // 65,535 is what carries are worth when they are added back in; no sum of a packet is zero.
    match sum % 0xffff {
        0 if sum > 0 => 0,
        rest => !(rest as u16),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_rfc_1071() {
        // The example of section 3.
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(internet_checksum([bytes.as_slice()]), !0xddf2);
        assert_eq!(internet_checksum([&bytes[..4], &bytes[4..]]), !0xddf2);
        // An odd end is padded.
        assert_eq!(internet_checksum([[0x12].as_slice()]), !0x1200);
        assert_eq!(internet_checksum([[].as_slice()]), 0xffff);
        assert_eq!(internet_checksum([[0xff, 0xff].as_slice()]), 0);
    }

    #[test]
    fn a_probe_has_no_sender_address() {
        let probe = Arp::probe(&Ends::v4()).frame();
        assert_eq!(probe.len(), 42);
        assert_eq!(probe[..6], [0xff; 6]);
        assert_eq!(probe[28..32], [0; 4]);
        assert_eq!(probe[38..], [10, 9, 0, 2]);
    }
}
