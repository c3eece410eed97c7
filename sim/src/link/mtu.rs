//! A router before a link with a smaller MTU.
//!
//! | packet that is too big      | what the router does                                               |
//! |-----------------------------|--------------------------------------------------------------------|
//! | IPv4, Don't Fragment clear  | cuts it (RFC 791, section 2.3)                                      |
//! | IPv4, Don't Fragment set    | drops it, says so by ICMP "fragmentation needed" (RFC 1191)        |
//! | IPv6                        | drops it, says so by `ICMPv6` "packet too big" (RFC 8200, 4443)    |
//! | either, at a black hole     | drops what may not be cut and says nothing                         |

use lethe::wire::checksum::Sum;

use super::packet::{Ip, Packet, finish_ipv4};
use super::{Fate, Frame, Passage, Rule};

/// The router's hardware address.
const ROUTER_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0xfe];
/// 192.0.2.254, kept for documentation (RFC 5737).
const ROUTER_V4: [u8; 4] = [192, 0, 2, 254];
/// 2001:db8::fe, kept for documentation (RFC 3849).
const ROUTER_V6: [u8; 16] = [0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xfe];

/// The longest ICMP error: what every host receives whole (RFC 1812, section 4.3.2.3).
const ICMP_MAX: usize = 576;
/// The longest `ICMPv6` error (RFC 4443, section 2.4 (c)).
const ICMPV6_MAX: usize = 1280;

const ICMP_HEADER_LEN: usize = 8;
const HOP_LIMIT: u8 = 64;

pub(super) struct Router {
    mtu: u16,
    black_hole: bool,
}

impl Router {
    pub(super) fn new(mtu: u16, black_hole: bool) -> Self {
        Self { mtu, black_hole }
    }
}

impl Rule for Router {
    fn apply(&mut self, frame: Frame, passage: &mut Passage) {
        let Some(packet) = Packet::parse(&frame.bytes).filter(|packet| packet.ip.len() > usize::from(self.mtu)) else {
            passage.pass(frame);
            return;
        };
        if packet.ip.may_be_cut() {
            cut(&frame, &packet, self.mtu, passage);
            return;
        }
        let report = if self.black_hole { None } else { too_big(&packet, self.mtu) };
        let fate = Fate::TooBig { mtu: self.mtu, reported: report.is_some() };
        passage.back.extend(report);
        passage.lose(frame, fate);
    }
}

/// Cuts an IPv4 packet, which may be a fragment already.
fn cut(frame: &Frame, packet: &Packet<'_>, mtu: u16, passage: &mut Passage) {
    let Ip::V4 { header, payload } = packet.ip else {
        return;
    };
    let (start, last_has_more) = packet.ip.fragment().map_or((0, false), |whole| (whole.offset, whole.more));
    let room = (usize::from(mtu) - header.len()) / 8 * 8;
    let count = payload.len().div_ceil(room);
    for (index, piece) in payload.chunks(room).enumerate() {
        let offset = start + index * room;
        let mut bytes = [packet.link, header, piece].concat();
        let header = &mut bytes[packet.link.len()..][..header.len()];
        finish_ipv4(header, piece.len(), offset, last_has_more || index + 1 < count);
        let part = Frame { at: frame.at, bytes, fates: frame.fates.clone() };
        passage.pass_marked(part, Fate::Fragment { offset });
    }
}

/// The ICMP error about a packet, unless there must be none: about an ICMP error, or a fragment that is
/// not the first (RFC 1122, section 3.2.2).
fn too_big(packet: &Packet<'_>, mtu: u16) -> Option<Vec<u8>> {
    if packet.ip.fragment().is_some_and(|fragment| fragment.offset > 0) {
        return None;
    }
    let (destination, source) = packet.link.split_first_chunk::<6>().map(|(_, rest)| (rest.get(..6), ROUTER_MAC))?;
    let link = [destination?, &source, packet.link.get(12..)?].concat();
    Some(match packet.ip {
        Ip::V4 { header, payload } => {
            let quoted = [header, payload].concat();
            let quoted = &quoted[..quoted.len().min(ICMP_MAX - 20 - ICMP_HEADER_LEN)];
            let [m0, m1] = mtu.to_be_bytes();
            let mut message = [&[3, 4, 0, 0, 0, 0, m0, m1], quoted].concat();
            let checksum = Sum::new().with(&message).finish();
            message[2..4].copy_from_slice(&checksum.to_be_bytes());
            let mut ip = [0x45, 0, 0, 0, 0, 0, 0, 0, HOP_LIMIT, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
            ip[12..16].copy_from_slice(&ROUTER_V4);
            ip[16..].copy_from_slice(&header[12..16]);
            finish_ipv4(&mut ip, message.len(), 0, false);
            [&link, &ip[..], &message].concat()
        }
        Ip::V6 { header, payload } => {
            let quoted = [header, payload].concat();
            let quoted = &quoted[..quoted.len().min(ICMPV6_MAX - 40 - ICMP_HEADER_LEN)];
            let [m0, m1] = mtu.to_be_bytes();
            let mut message = [&[2, 0, 0, 0, 0, 0, m0, m1], quoted].concat();
            let len = message.len() as u16;
            let source = &header[8..24];
            let sum = Sum::new().with(&ROUTER_V6).with(source).with_u16(58).with_u16(len).with(&message);
            message[2..4].copy_from_slice(&sum.finish().to_be_bytes());
            let [l0, l1] = len.to_be_bytes();
            let ip = [&[0x60, 0, 0, 0, l0, l1, 58, HOP_LIMIT], &ROUTER_V6[..], source].concat();
            [link, ip, message].concat()
        }
    })
}
