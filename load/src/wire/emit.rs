//! Writes frames.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use lethe::wire::ethernet::MacAddress;

use super::{ACK, ARP, Ends, ICMPV6, IPV4, IPV6, Segment, TCP, fold, pseudo_sum, sum};

/// The lengths of the headers of Ethernet, IPv4 and IPv6.
const ETHERNET_LEN: usize = 14;
const IPV4_LEN: usize = 20;
const IPV6_LEN: usize = 40;

/// TTL and hop limit.
const HOPS: u8 = 64;

/// The hardware addresses of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Link {
    pub(crate) source: MacAddress,
    pub(crate) destination: MacAddress,
}

/// Appends bytes to a buffer.
struct Writer<'b> {
    buffer: &'b mut [u8],
    len: usize,
}

impl Writer<'_> {
    fn put(&mut self, bytes: &[u8]) {
        self.buffer[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    fn ethernet(&mut self, link: Link, ether_type: u16) {
        self.put(&link.destination.bytes());
        self.put(&link.source.bytes());
        self.put(&ether_type.to_be_bytes());
    }
}

/// Writes a frame with an IP packet. `fill` writes its payload, and returns the length and the offset of the checksum,
/// if there is one. Returns the length of the frame.
///
/// # Panics
///
/// When the buffer is shorter than the frame.
pub(crate) fn internet_packet(
    buffer: &mut [u8],
    link: Link,
    (source, destination): (IpAddr, IpAddr),
    (protocol, hops): (u8, u8),
    fill: impl FnOnce(&mut [u8]) -> (usize, Option<usize>),
) -> usize {
    let header_len = ETHERNET_LEN + if source.is_ipv4() { IPV4_LEN } else { IPV6_LEN };
    let (headers, room) = buffer.split_at_mut(header_len);
    let (len, checksum) = fill(room);
    if let Some(at) = checksum {
        let sum = fold(pseudo_sum(source, destination, protocol, len) + sum(&room[..len]));
        room[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    }
    let mut out = Writer { buffer: headers, len: 0 };
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            out.ethernet(link, IPV4);
            let total = (IPV4_LEN + len) as u16;
            let [high, low] = total.to_be_bytes();
            // Version, header length, and the flag "don't fragment".
            out.put(&[0x45, 0, high, low, 0, 0, 0x40, 0, hops, protocol, 0, 0]);
            out.put(&source.octets());
            out.put(&destination.octets());
            let checksum = fold(sum(&headers[ETHERNET_LEN..]));
            headers[ETHERNET_LEN + 10..ETHERNET_LEN + 12].copy_from_slice(&checksum.to_be_bytes());
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            out.ethernet(link, IPV6);
            let [high, low] = (len as u16).to_be_bytes();
            out.put(&[0x60, 0, 0, 0, high, low, protocol, hops]);
            out.put(&source.octets());
            out.put(&destination.octets());
        }
        _ => unreachable!("both ends are of one family"),
    }
    header_len + len
}

/// Writes a frame with a TCP segment, and returns its length.
pub(crate) fn emit(buffer: &mut [u8], link: Link, ends: &Ends, segment: &Segment<'_>) -> usize {
    internet_packet(buffer, link, (ends.source, ends.destination), (TCP, HOPS), |room| {
        let mut out = Writer { buffer: room, len: 0 };
        out.put(&ends.source_port.to_be_bytes());
        out.put(&ends.destination_port.to_be_bytes());
        out.put(&segment.seq.to_be_bytes());
        out.put(&if segment.has(ACK) { segment.ack } else { 0 }.to_be_bytes());
        // A SYN with timestamps offers SACK as well: without it no server without state keeps a connection.
        let offers_sack = segment.mss.is_some() && segment.timestamps.is_some() && !segment.has(ACK);
        let options_len = if segment.mss.is_some() { 4 } else { 0 }
            + if offers_sack { 4 } else { 0 }
            + if segment.timestamps.is_some() { 12 } else { 0 }
            + if segment.duplicate.is_some() { 12 } else { 0 };
        out.put(&[(5 + options_len / 4) << 4, segment.flags]);
        out.put(&segment.window.to_be_bytes());
        // Checksum and urgent pointer.
        out.put(&[0; 4]);
        if let Some(mss) = segment.mss {
            out.put(&[2, 4]);
            out.put(&mss.to_be_bytes());
        }
        if offers_sack {
            out.put(&[1, 1, 4, 2]);
        }
        if let Some((value, echo)) = segment.timestamps {
            // The layout of RFC 7323, appendix A.
            out.put(&[1, 1, 8, 10]);
            out.put(&value.to_be_bytes());
            out.put(&echo.to_be_bytes());
        }
        if let Some((from, to)) = segment.duplicate {
            out.put(&[1, 1, 5, 10]);
            out.put(&from.to_be_bytes());
            out.put(&to.to_be_bytes());
        }
        out.put(segment.payload);
        (out.len, Some(16))
    })
}

/// Writes an ARP packet (RFC 826): `operation` is 1 for a request, 2 for a reply. Returns the length of the frame.
pub(crate) fn arp(buffer: &mut [u8], link: Link, operation: u8, sender: Ipv4Addr, target: Ipv4Addr) -> usize {
    let mut out = Writer { buffer, len: 0 };
    out.ethernet(link, ARP);
    out.put(&[0, 1, 8, 0, 6, 4, 0, operation]);
    out.put(&link.source.bytes());
    out.put(&sender.octets());
    out.put(&if operation == 1 { [0; 6] } else { link.destination.bytes() });
    out.put(&target.octets());
    out.len
}

/// Writes a neighbor solicitation (`kind` 135) or advertisement (136) for `target` (RFC 4861, sections 4.3 and 4.4),
/// with our hardware address. Returns the length of the frame.
pub(crate) fn neighbor(
    buffer: &mut [u8],
    link: Link,
    kind: u8,
    (source, destination): (Ipv6Addr, Ipv6Addr),
    target: Ipv6Addr,
) -> usize {
    internet_packet(buffer, link, (source.into(), destination.into()), (ICMPV6, 255), |room| {
        let mut out = Writer { buffer: room, len: 0 };
        let is_answer = kind == 136;
        // The flags Solicited and Override.
        out.put(&[kind, 0, 0, 0, if is_answer { 0x60 } else { 0 }, 0, 0, 0]);
        out.put(&target.octets());
        // The option with the hardware address of the source, or of the target.
        out.put(&[if is_answer { 2 } else { 1 }, 1]);
        out.put(&link.source.bytes());
        (out.len, Some(2))
    })
}
