//! Parses frames.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use lethe::port::{Checked, RxFrame};
use lethe::wire::ethernet::MacAddress;

use super::{ARP, Ends, ICMPV6, IPV4, IPV6, Segment, TCP, fold, pseudo_sum, sum};

/// The contents of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Content<'a> {
    /// An ARP packet: operation, sender, and target.
    Arp { operation: u16, sender: (MacAddress, Ipv4Addr), target: Ipv4Addr },
    /// A neighbor solicitation: its source, and the target address.
    Solicitation { mac: MacAddress, source: Ipv6Addr, target: Ipv6Addr },
    /// A neighbor advertisement.
    Advertisement { mac: MacAddress, target: Ipv6Addr },
    /// A TCP segment.
    Segment(Ends, Segment<'a>),
    /// An IP fragment. Fragments are not reassembled.
    Fragment,
    /// A frame with a wrong length or checksum.
    Bad,
    /// Any other frame.
    Other,
}

/// Parses a frame without a VLAN tag.
pub(crate) fn parse<'a>(frame: &RxFrame<'a>) -> Content<'a> {
    parse_frame(frame).unwrap_or(Content::Bad)
}

/// `None` for a frame that is truncated or malformed.
fn parse_frame<'a>(frame: &RxFrame<'a>) -> Option<Content<'a>> {
    let (_, rest) = frame.bytes.split_first_chunk::<6>()?;
    let (source, rest) = rest.split_first_chunk::<6>()?;
    let (ether_type, packet) = rest.split_first_chunk::<2>()?;
    match u16::from_be_bytes(*ether_type) {
        ARP => parse_arp(packet),
        IPV4 => parse_ipv4(frame, packet),
        IPV6 => parse_ipv6(frame, MacAddress::new(*source), packet),
        _ => Some(Content::Other),
    }
}

fn parse_arp(packet: &[u8]) -> Option<Content<'_>> {
    let (head, rest) = packet.split_first_chunk::<8>()?;
    let (sender_mac, rest) = rest.split_first_chunk::<6>()?;
    let (sender, rest) = rest.split_first_chunk::<4>()?;
    let (_, rest) = rest.split_first_chunk::<6>()?;
    let (target, _) = rest.split_first_chunk::<4>()?;
    let [0, 1, 8, 0, 6, 4, o0, o1] = *head else { return Some(Content::Other) };
    let sender = (MacAddress::new(*sender_mac), Ipv4Addr::from(*sender));
    Some(Content::Arp { operation: u16::from_be_bytes([o0, o1]), sender, target: Ipv4Addr::from(*target) })
}

fn parse_ipv4<'a>(frame: &RxFrame<'a>, packet: &'a [u8]) -> Option<Content<'a>> {
    let (head, _) = packet.split_first_chunk::<20>()?;
    let [version, _, l0, l1, _, _, f0, f1, _, protocol, _, _, s0, s1, s2, s3, d0, d1, d2, d3] = *head;
    let header_len = usize::from(version & 0xf) * 4;
    let total = usize::from(u16::from_be_bytes([l0, l1]));
    let header = packet.get(..header_len)?;
    let payload = packet.get(header_len..total)?;
    if version >> 4 != 4 || header_len < 20 || is_wrong(frame.checksum.network, || fold(sum(header)) == 0) {
        return None;
    }
    if u16::from_be_bytes([f0, f1]) & 0x3fff != 0 {
        return Some(Content::Fragment);
    }
    let (source, destination) = (Ipv4Addr::from([s0, s1, s2, s3]), Ipv4Addr::from([d0, d1, d2, d3]));
    if protocol != TCP {
        return Some(Content::Other);
    }
    parse_tcp(frame.checksum.transport, source.into(), destination.into(), payload)
}

fn parse_ipv6<'a>(frame: &RxFrame<'a>, mac: MacAddress, packet: &'a [u8]) -> Option<Content<'a>> {
    let (head, rest) = packet.split_first_chunk::<8>()?;
    let (source, rest) = rest.split_first_chunk::<16>()?;
    let (destination, rest) = rest.split_first_chunk::<16>()?;
    let [version, _, _, _, l0, l1, protocol, hops] = *head;
    let payload = rest.get(..usize::from(u16::from_be_bytes([l0, l1])))?;
    let (source, destination) = (Ipv6Addr::from(*source), Ipv6Addr::from(*destination));
    match protocol {
        _ if version >> 4 != 6 => None,
        TCP => parse_tcp(frame.checksum.transport, source.into(), destination.into(), payload),
        ICMPV6 => {
            let pseudo = || pseudo_sum(source.into(), destination.into(), ICMPV6, payload.len());
            if is_wrong(frame.checksum.transport, || fold(pseudo() + sum(payload)) == 0) {
                return None;
            }
            Some(parse_neighbor(mac, source, hops, payload))
        }
        44 => Some(Content::Fragment),
        _ => Some(Content::Other),
    }
}

/// Parses a message of neighbor discovery. It has to come from this link, by its hop limit (RFC 4861, section 7.1).
fn parse_neighbor(mac: MacAddress, source: Ipv6Addr, hops: u8, message: &[u8]) -> Content<'_> {
    let (Some(&[kind, ..]), Some(target)) = (message.first_chunk::<8>(), message.get(8..24)) else {
        return Content::Other;
    };
    let target = <[u8; 16]>::try_from(target).map_or(Ipv6Addr::UNSPECIFIED, Ipv6Addr::from);
    match kind {
        135 if hops == 255 => Content::Solicitation { mac, source, target },
        136 if hops == 255 => Content::Advertisement { mac, target },
        _ => Content::Other,
    }
}

fn parse_tcp(checked: Checked, source: IpAddr, destination: IpAddr, bytes: &[u8]) -> Option<Content<'_>> {
    let (head, _) = bytes.split_first_chunk::<20>()?;
    let [p0, p1, p2, p3, s0, s1, s2, s3, a0, a1, a2, a3, offset, flags, w0, w1, _, _, _, _] = *head;
    let header_len = usize::from(offset >> 4) * 4;
    let options = bytes.get(20..header_len)?;
    let payload = bytes.get(header_len..)?;
    let pseudo = || pseudo_sum(source, destination, TCP, bytes.len());
    if is_wrong(checked, || fold(pseudo() + sum(bytes)) == 0) {
        return None;
    }
    let ends = Ends {
        source,
        destination,
        source_port: u16::from_be_bytes([p0, p1]),
        destination_port: u16::from_be_bytes([p2, p3]),
    };
    let (mss, timestamps) = parse_options(options);
    let segment = Segment {
        seq: u32::from_be_bytes([s0, s1, s2, s3]),
        ack: u32::from_be_bytes([a0, a1, a2, a3]),
        flags,
        window: u16::from_be_bytes([w0, w1]),
        mss,
        timestamps,
        duplicate: None,
        payload,
    };
    Some(Content::Segment(ends, segment))
}

/// MSS and timestamps. Parsing ends at an option with an invalid length.
fn parse_options(mut rest: &[u8]) -> (Option<u16>, Option<(u32, u32)>) {
    let (mut mss, mut timestamps) = (None, None);
    loop {
        match *rest {
            [1, ref after @ ..] => rest = after,
            [2, 4, m0, m1, ref after @ ..] => {
                mss = Some(u16::from_be_bytes([m0, m1]));
                rest = after;
            }
            [8, 10, v0, v1, v2, v3, e0, e1, e2, e3, ref after @ ..] => {
                timestamps = Some((u32::from_be_bytes([v0, v1, v2, v3]), u32::from_be_bytes([e0, e1, e2, e3])));
                rest = after;
            }
            [kind, len, ..] if kind != 0 && len >= 2 => match rest.get(usize::from(len)..) {
                Some(after) => rest = after,
                None => return (mss, timestamps),
            },
            _ => return (mss, timestamps),
        }
    }
}

/// Whether a checksum is wrong: as the port says, or else by its sum.
fn is_wrong(checked: Checked, sums_up: impl FnOnce() -> bool) -> bool {
    match checked {
        Checked::Good => false,
        Checked::Bad => true,
        Checked::Unknown => !sums_up(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ACK, Link, PSH, SYN, arp, emit, neighbor};
    use super::*;

    const LINK: Link = Link { source: MacAddress::new([2, 0, 0, 0, 0, 1]), destination: MacAddress::LETHE };

    fn ends(source: &str, destination: &str) -> Ends {
        let parse = |text: &str| text.parse().unwrap();
        Ends { source: parse(source), destination: parse(destination), source_port: 40_000, destination_port: 80 }
    }

    #[test]
    fn what_is_written_is_read_and_one_wrong_bit_is_found() {
        let syn = Segment { seq: 7, flags: SYN, window: 65_535, mss: Some(1460), ..Segment::default() };
        let request = Segment {
            seq: 8,
            ack: 0xffff_ffff,
            flags: ACK | PSH,
            window: 9,
            mss: None,
            timestamps: Some((1, 0xf000_0002)),
            duplicate: None,
            payload: b"GET / HTTP/1.0\r\n\r\nodd",
        };
        for ends in [ends("10.9.0.1", "10.9.0.2"), ends("fd09::1", "fd09::2")] {
            for segment in [syn, request] {
                let mut buffer = [0; 200];
                let len = emit(&mut buffer, LINK, &ends, &segment);
                assert_eq!(parse(&RxFrame::unchecked(&buffer[..len])), Content::Segment(ends, segment));
                // Padding is not payload.
                assert_eq!(parse(&RxFrame::unchecked(&buffer[..len + 9])), Content::Segment(ends, segment));
                assert_eq!(parse(&RxFrame::unchecked(&buffer[..len - 1])), Content::Bad);
                buffer[len - 1] ^= 0x10;
                assert_eq!(parse(&RxFrame::unchecked(&buffer[..len])), Content::Bad);
            }
        }
    }

    #[test]
    fn questions_and_answers_about_neighbors_are_read_as_written() {
        let mut buffer = [0; 200];
        let (ours, theirs) = (Ipv4Addr::new(10, 9, 0, 1), Ipv4Addr::new(10, 9, 0, 2));
        let len = arp(&mut buffer, LINK, 1, ours, theirs);
        let expect = Content::Arp { operation: 1, sender: (LINK.source, ours), target: theirs };
        assert_eq!(parse(&RxFrame::unchecked(&buffer[..len])), expect);
        let (ours, theirs) = ("fd09::1".parse().unwrap(), "fd09::2".parse().unwrap());
        let len = neighbor(&mut buffer, LINK, 135, (ours, theirs), theirs);
        let expect = Content::Solicitation { mac: LINK.source, source: ours, target: theirs };
        assert_eq!(parse(&RxFrame::unchecked(&buffer[..len])), expect);
        let len = neighbor(&mut buffer, LINK, 136, (ours, theirs), ours);
        assert_eq!(
            parse(&RxFrame::unchecked(&buffer[..len])),
            Content::Advertisement { mac: LINK.source, target: ours }
        );
    }

    #[test]
    fn options_that_are_not_known_are_passed_over_and_none_is_read_twice() {
        let sack_permitted = [4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 1, 3, 3, 7];
        assert_eq!(parse_options(&sack_permitted), (None, Some((1, 2))));
        assert_eq!(parse_options(&[2, 4, 5, 180, 0, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2]), (Some(1460), None));
        for lie in [&[5, 0, 8][..], &[5, 9, 8], &[5], &[8, 9, 0, 0, 0, 0]] {
            assert_eq!(parse_options(lie), (None, None), "{lie:?}");
        }
    }
}
