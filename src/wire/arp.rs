//! ARP for IPv4 over Ethernet (RFC 826).
//!
//! ```text
//!  0        2        4     5     6        8
//! +--------+--------+-----+-----+--------+----------------+---------+----------------+---------+
//! | 1      | 0x0800 | 6   | 4   | op     | sender MAC (6) | IP (4)  | target MAC (6) | IP (4)  |
//! +--------+--------+-----+-----+--------+----------------+---------+----------------+---------+
//! ```

use core::net::Ipv4Addr;

use super::ethernet::MacAddress;
use super::put;
use crate::verdict::DropReason;

/// Bytes of an ARP packet.
pub const LEN: usize = 28;

/// What an ARP packet wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operation {
    /// A question: which hardware address has the target address.
    Request,
    /// An answer: the sender has the sender address.
    Reply,
}

/// An ARP packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Packet {
    /// Request or reply.
    pub operation: Operation,
    /// The sender's hardware address.
    pub sender_mac: MacAddress,
    /// The sender's IP address: 0.0.0.0 in a probe (RFC 5227, section 2.1.1).
    pub sender_ip: Ipv4Addr,
    /// The target's hardware address; means nothing in a request.
    pub target_mac: MacAddress,
    /// The target's IP address.
    pub target_ip: Ipv4Addr,
}

/// Hardware type Ethernet, protocol type IPv4, and the lengths of their addresses.
const ETHERNET_IPV4: [u8; 6] = [0, 1, 8, 0, 6, 4];

impl Packet {
    /// Parses the payload of a frame; padding behind the packet is ignored.
    ///
    /// # Errors
    ///
    /// [`DropReason::ArpMalformed`].
    pub fn parse(payload: &[u8]) -> Result<Self, DropReason> {
        let (packet, _padding) = payload.split_first_chunk::<LEN>().ok_or(DropReason::ArpMalformed)?;
        let (fixed, rest) = packet.split_first_chunk::<6>().ok_or(DropReason::ArpMalformed)?;
        if *fixed != ETHERNET_IPV4 {
            return Err(DropReason::ArpMalformed);
        }
        let &[0, operation, s0, s1, s2, s3, s4, s5, p0, p1, p2, p3, t0, t1, t2, t3, t4, t5, q0, q1, q2, q3] = rest
        else {
            return Err(DropReason::ArpMalformed);
        };
        Ok(Self {
            operation: match operation {
                1 => Operation::Request,
                2 => Operation::Reply,
                _ => return Err(DropReason::ArpMalformed),
            },
            sender_mac: MacAddress::new([s0, s1, s2, s3, s4, s5]),
            sender_ip: Ipv4Addr::new(p0, p1, p2, p3),
            target_mac: MacAddress::new([t0, t1, t2, t3, t4, t5]),
            target_ip: Ipv4Addr::new(q0, q1, q2, q3),
        })
    }

    /// Writes the packet at the start of `buffer` and returns the room behind it.
    pub fn emit<'b>(&self, buffer: &'b mut [u8]) -> Option<&'b mut [u8]> {
        let operation = match self.operation {
            Operation::Request => 1,
            Operation::Reply => 2,
        };
        let buffer = put(buffer, &ETHERNET_IPV4)?;
        let buffer = put(buffer, &[0, operation])?;
        let buffer = put(buffer, &self.sender_mac.bytes())?;
        let buffer = put(buffer, &self.sender_ip.octets())?;
        let buffer = put(buffer, &self.target_mac.bytes())?;
        put(buffer, &self.target_ip.octets())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packet_survives_emit_and_parse_and_every_shorter_one_is_malformed() {
        let packet = Packet {
            operation: Operation::Reply,
            sender_mac: MacAddress::new([1, 2, 3, 4, 5, 6]),
            sender_ip: Ipv4Addr::new(10, 9, 0, 2),
            target_mac: MacAddress::new([7, 8, 9, 10, 11, 12]),
            target_ip: Ipv4Addr::new(10, 9, 0, 1),
        };
        let mut buffer = [0; LEN];
        assert!(packet.emit(&mut buffer).unwrap().is_empty());
        assert_eq!(Packet::parse(&buffer), Ok(packet));
        for end in 0..LEN {
            assert_eq!(Packet::parse(&buffer[..end]), Err(DropReason::ArpMalformed), "{end}");
        }
        for at in 0..8 {
            let mut wrong = buffer;
            wrong[at] ^= 0x40;
            assert_eq!(Packet::parse(&wrong), Err(DropReason::ArpMalformed), "{at}");
        }
    }
}
