//! A router before a link with a smaller MTU.
//!
//! | packet that is too big      | what the router does                                               |
//! |-----------------------------|--------------------------------------------------------------------|
//! | IPv4, Don't Fragment clear  | cuts it (RFC 791, section 2.3)                                      |
//! | IPv4, Don't Fragment set    | drops it, says so by ICMP "fragmentation needed" (RFC 1191)        |
//! | IPv6                        | drops it, says so by ICMPv6 "packet too big" (RFC 8200, 4443)    |
//! | either, at a black hole     | drops what may not be cut and says nothing                         |

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use lethe::wire::ethernet::{self, MacAddress};

use super::packet::{Ip, Packet, finish_ipv4};
use super::{Fate, Frame, Passage, Rule};
use crate::frame::{Ends, Icmp, IcmpError};

/// The router's hardware address.
const ROUTER_MAC: MacAddress = MacAddress::new([0x02, 0, 0, 0, 0, 0xfe]);
/// Its addresses, from those kept for documentation (RFC 5737, RFC 3849).
const ROUTER_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 254);
const ROUTER_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0xfe);

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
        let report = if self.black_hole { None } else { too_big(&frame.bytes, &packet, self.mtu) };
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

/// The ICMP error about a frame, unless there must be none: about a fragment that is not the first (RFC
/// 1122, section 3.2.2).
fn too_big(frame: &[u8], packet: &Packet<'_>, mtu: u16) -> Option<Vec<u8>> {
    if packet.ip.fragment().is_some_and(|fragment| fragment.offset > 0) {
        return None;
    }
    let (link, _) = ethernet::Header::parse(frame).ok()?;
    let router = match packet.ip {
        Ip::V4 { .. } => IpAddr::V4(ROUTER_V4),
        Ip::V6 { .. } => IpAddr::V6(ROUTER_V6),
    };
    let ends = Ends {
        client_mac: ROUTER_MAC,
        server_mac: link.source,
        client: (router, 0).into(),
        server: (packet.ip.source(), 0).into(),
        vlan: link.tag,
    };
    Some(Icmp::error(&ends, IcmpError::TooBig(mtu), frame).frame())
}
