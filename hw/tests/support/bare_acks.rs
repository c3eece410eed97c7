//! Bare ACKs, and frames that nearly are, with a check that does not use the rules of `filter.rs`.

use std::net::IpAddr;

use proptest::prelude::*;

/// The port whose bare ACKs are left out.
pub(crate) const PORT: u16 = 80;

/// The hardware address that they go to.
pub(crate) const MAC: [u8; 6] = [2, b'L', b'e', b't', b'h', b'e'];

/// Bytes of an Ethernet header.
const LINK: usize = 14;

/// Whether a frame is left out, at [`MAC`] and one of these addresses: by what RFC 791, 8200, 9293 and 7323 say of
/// headers, read from the front.
pub(crate) fn is_bare_ack(ours: &[IpAddr], frame: &[u8], with_options_wanted: bool) -> bool {
    let read = || {
        let packet = frame.get(LINK..)?;
        let (header, len, protocol, [source, destination]): (_, _, _, [IpAddr; 2]) = match half(frame, 12)? {
            0x0800 => {
                let is_fragment = half(packet, 6)? & 0x3fff != 0;
                if *packet.first()? != 0x45 || is_fragment {
                    return None;
                }
                let address = |at| Some(<[u8; 4]>::try_from(packet.get(at..at + 4)?).ok()?.into());
                (20, half(packet, 2)?, *packet.get(9)?, [address(12)?, address(16)?])
            }
            0x86dd => {
                if packet.first()? >> 4 != 6 {
                    return None;
                }
                let address = |at| Some(<[u8; 16]>::try_from(packet.get(at..at + 16)?).ok()?.into());
                (40, 40 + half(packet, 4)?, *packet.get(6)?, [address(8)?, address(24)?])
            }
            _ => return None,
        };
        // What lies behind the packet is padding; one that ends before its length says is cut.
        let segment = packet.get(..len)?.get(header..)?;
        let header_len = usize::from(*segment.get(12)? >> 4) * 4;
        let flags = *segment.get(13)?;
        let [fin, syn, rst, ack] = [1, 2, 4, 16].map(|flag| flags & flag != 0);
        let has_usual_options = match header_len {
            20 => true,
            32 => !with_options_wanted && segment.get(20..24)? == [1, 1, 8, 10],
            _ => false,
        };
        let is_for_us = protocol == 6 && ours.contains(&destination) && half(segment, 2)? == usize::from(PORT);
        let is_from_a_host = !ours.contains(&source) && frame[6] & 1 == 0 && is_of_a_host(source);
        let is_bare = segment.len() == header_len && half(segment, 0)? != 0;
        let is_ack = ack && !(fin || syn || rst);
        Some(frame[..6] == MAC && is_from_a_host && is_for_us && is_bare && has_usual_options && is_ack)
    };
    read().unwrap_or(false)
}

/// Whether a host can have this address (RFC 1122, section 3.2.1.3; RFC 4291, section 2).
fn is_of_a_host(address: IpAddr) -> bool {
    let is_special = address.is_unspecified() || address.is_loopback() || address.is_multicast();
    !is_special && !matches!(address, IpAddr::V4(v4) if v4.octets()[0] == 0 || v4.octets()[0] >= 240)
}

/// Sources that a host has, and those that none can have, with their neighbors.
const SOURCES: [&str; 18] = [
    "192.0.2.1",
    "0.0.0.1",
    "1.0.0.1",
    "126.0.0.1",
    "127.0.0.1",
    "128.0.0.1",
    "223.0.0.1",
    "224.0.0.1",
    "239.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "2001:db8::1",
    "::",
    "::1",
    "::2",
    "0:0:1::1",
    "fe80::1",
    "ff02::1",
];

fn half(bytes: &[u8], at: usize) -> Option<usize> {
    Some(usize::from(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?)))
}

/// A bare ACK from an address and this port to another address, with timestamps or without.
fn bare_ack([from, to]: [IpAddr; 2], port: u16, has_options: bool, ack: [u8; 4]) -> Vec<u8> {
    let header_len: u8 = if has_options { 32 } else { 20 };
    let mut frame = [&MAC[..], &[2, 0, 0, 0, 0, 1]].concat();
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let header = [0x45, 0, 0, 20 + header_len, 0, 1, 0x40, 0, 64, 6, 0, 0];
            frame.extend([&[0x08, 0x00][..], &header, &from.octets(), &to.octets()].concat());
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let header = [0x60, 0, 0, 0, 0, header_len, 6, 64];
            frame.extend([&[0x86, 0xdd][..], &header, &from.octets(), &to.octets()].concat());
        }
        _ => unreachable!("both are of one version"),
    }
    let numbers = [&port.to_be_bytes()[..], &PORT.to_be_bytes(), &[1, 2, 3, 4], &ack].concat();
    frame.extend([&numbers[..], &[header_len << 2, 0x10, 0xff, 0xff, 0, 0, 0, 0]].concat());
    if has_options {
        frame.extend([&[1, 1, 8, 10, 0, 0, 0, 1][..], &ack].concat());
    }
    frame
}

/// A bare ACK to one of these addresses, as it is, padded or cut, and up to two of its bytes changed.
pub(crate) fn nearly_bare_ack(ours: Vec<IpAddr>) -> impl Strategy<Value = Vec<u8>> {
    let port = prop_oneof![9 => Just(40_000u16), 1 => Just(0)];
    let special: Vec<IpAddr> = SOURCES.iter().map(|text| text.parse().unwrap()).chain(ours.clone()).collect();
    let usual = |to: IpAddr| (if to.is_ipv4() { SOURCES[0] } else { SOURCES[11] }).parse().unwrap();
    let source = prop_oneof![2 => Just(None), 1 => prop::sample::select(special).prop_map(Some)];
    let frame = (prop::sample::select(ours), source, port, any::<bool>(), any::<[u8; 4]>());
    let frame = frame.prop_map(move |(to, source, port, has_options, ack)| {
        let from = source.filter(|from| from.is_ipv4() == to.is_ipv4()).unwrap_or_else(|| usual(to));
        bare_ack([from, to], port, has_options, ack)
    });
    // By how many bytes it is longer, or shorter.
    let longer = prop_oneof![4 => Just(0isize), 2 => 0..40isize, 2 => -12..0isize, 1 => -60..0isize];
    let bits = prop_oneof![any::<u8>(), (0..8u8).prop_map(|bit| 1 << bit)];
    let changes = prop::collection::vec((any::<prop::sample::Index>(), bits), 0..3);
    (frame, longer, changes).prop_map(|(mut frame, longer, changes)| {
        frame.resize(frame.len().saturating_add_signed(longer).max(LINK), 0);
        for (at, bits) in changes {
            let at = at.index(frame.len());
            frame[at] ^= bits;
        }
        frame
    })
}
