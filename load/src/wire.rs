//! Writes and parses the frames of clients, by the RFCs and without the engine's code.

mod emit;
mod parse;

use std::net::IpAddr;

pub(crate) use emit::{Link, arp, emit, internet_packet, neighbor};
pub(crate) use parse::{Content, parse};

/// Ethernet types, and protocols of IP.
pub(crate) const IPV4: u16 = 0x0800;
pub(crate) const ARP: u16 = 0x0806;
pub(crate) const IPV6: u16 = 0x86dd;
pub(crate) const TCP: u8 = 6;
pub(crate) const ICMPV6: u8 = 58;

/// Flags of TCP (RFC 9293, section 3.1).
pub(crate) const FIN: u8 = 0x01;
pub(crate) const SYN: u8 = 0x02;
pub(crate) const RST: u8 = 0x04;
pub(crate) const PSH: u8 = 0x08;
pub(crate) const ACK: u8 = 0x10;

/// Source and destination of a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Ends {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) source_port: u16,
    pub(crate) destination_port: u16,
}

/// A TCP segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Segment<'a> {
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) flags: u8,
    pub(crate) window: u16,
    /// The MSS option of a SYN.
    pub(crate) mss: Option<u16>,
    /// The timestamps option: value and echo.
    pub(crate) timestamps: Option<(u32, u32)>,
    /// What came twice, the first sequence number and the one behind the last, for a D-SACK block.
    pub(crate) duplicate: Option<(u32, u32)>,
    pub(crate) payload: &'a [u8],
}

impl Segment<'_> {
    pub(crate) const fn has(&self, flags: u8) -> bool {
        self.flags & flags == flags
    }
}

/// The sum of big-endian words for the Internet checksum (RFC 1071), before folding. All parts of a packet but the last
/// have an even length.
pub(crate) fn sum(bytes: &[u8]) -> u64 {
    // Words of 32 bits can be added as well, since 2^16 is 1 modulo 65,535.
    let (words, rest) = bytes.as_chunks::<4>();
    let sum: u64 = words.iter().map(|word| u64::from(u32::from_be_bytes(*word))).sum();
    let mut last = [0; 4];
    last[..rest.len()].copy_from_slice(rest);
    sum + u64::from(u32::from_be_bytes(last))
}

/// The checksum for a sum. Over bytes that include a right checksum it is 0.
pub(crate) const fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// The sum of the pseudo-header (RFC 9293, section 3.1; RFC 8200, section 8.1).
pub(crate) fn pseudo_sum(source: IpAddr, destination: IpAddr, protocol: u8, len: usize) -> u64 {
    let addresses = match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => sum(&source.octets()) + sum(&destination.octets()),
        (IpAddr::V6(source), IpAddr::V6(destination)) => sum(&source.octets()) + sum(&destination.octets()),
        _ => 0,
    };
    addresses + u64::from(protocol) + len as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_rfc_1071() {
        // The example of section 3.
        assert_eq!(fold(sum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7])), !0xddf2);
        assert_eq!(fold(sum(&[0x12])), !0x1200);
        assert_eq!(fold(sum(&[0xff, 0xff, 0x00, 0x01, 0x02])), !0x0201);
        assert_eq!(fold(sum(&[])), 0xffff);
    }
}
