//! The engine: from a received frame to its answer, link and network layer.
//!
//! ```text
//! handle ── Ethernet ──┬── ARP ─────────────────────────────── reply
//!                      ├── IPv4 ──┬── ICMP ──┬─ echo ───────── reply
//!                      │          │          └─ too big ─┐
//!                      │          └── TCP ──┐           ┊ as if its client had said where it is
//!                      └── IPv6 ──┬── TCP ──┴── tcp::answer ── reply
//!                                 └── ICMPv6 ┬── echo ──────── reply
//!                                            └── neighbor ──── reply
//! ```
//!
//! **Invariant:** everything that is needed to answer a packet is in the packet, the configuration and
//! the data set. `handle` takes `&self`, so there is nowhere to remember anything.

use core::net::Ipv6Addr;

use crate::app::App;
use crate::config::Config;
use crate::glance;
use crate::packet::{Packet, ReplyPath};
use crate::port::{RxChecksum, RxFrame};
use crate::reply::{Datagram, Reply, TransportHeader};
use crate::tcp;
use crate::time::Instant;
use crate::verdict::{DropReason, ReplyKind};
use crate::wire::ethernet::{EtherType, MacAddress};
use crate::wire::ip::{AddressPair, Pair, Protocol, V4Pair, V6Pair};
use crate::wire::{arp, ethernet, icmpv4, icmpv6, ipv4, ipv6};

/// Bytes of scratch space that hold any response which fits one IP datagram.
pub const SCRATCH_LEN: usize = 64 * 1024 + crate::http::HEAD_ROOM + tcp::DATE_ROOM;

/// Bytes of a packet that a Parameter Problem quotes at the least: the IPv6 header, and what tells the packet from
/// others.
const QUOTED_MIN: usize = ipv6::HEADER_LEN + 8;

/// The link-layer group of all IPv6 nodes.
const ALL_NODES_MAC: MacAddress = MacAddress::new([0x33, 0x33, 0, 0, 0, 1]);

/// All IPv6 nodes on the link.
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// A server that forgets every connection: frames in, frames out.
#[derive(Debug)]
pub struct Engine<A> {
    config: Config,
    app: A,
}

impl<A: App> Engine<A> {
    /// An engine that answers with `app`.
    pub const fn new(config: Config, app: A) -> Self {
        Self { config, app }
    }

    /// The configuration.
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// The configuration, to be changed between two packets: other secrets, for example.
    pub const fn config_mut(&mut self) -> &mut Config {
        &mut self.config
    }

    /// The application.
    pub const fn app(&self) -> &A {
        &self.app
    }

    /// The application, to be given a new data set between two packets.
    pub const fn app_mut(&mut self) -> &mut A {
        &mut self.app
    }

    /// Whether it may answer bare ACKs with options: TCP segments with the ACK bit and none of SYN, FIN and RST,
    /// without payload. Those without options are always absorbed.
    pub fn answers_acks(&self) -> bool {
        tcp::answers_acks(&self.config, &self.app)
    }

    /// Answers one frame from that frame alone.
    ///
    /// Never panics, whatever the frame holds. The same arguments always give the same reply. `scratch`
    /// may hold anything; [`SCRATCH_LEN`] bytes are enough, with fewer a large response becomes a 500, and a long echo
    /// request is dropped. The reply borrows nothing of the frame: it may be written over it.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "fast: inline")]
    pub fn handle<'a>(&'a self, now: Instant, frame: RxFrame<'_>, scratch: &'a mut [u8]) -> Reply<'a> {
        let (link, payload) = match ethernet::Header::parse(frame.bytes) {
            Ok(parts) => parts,
            Err(reason) => return reason.into(),
        };
        if let Err(reason) = self.check_link(&link) {
            return reason.into();
        }
        let Config { addresses, .. } = &self.config;
        match link.ether_type {
            EtherType::IPV4 if let Some(packet) = glance::v4(addresses, &link, payload, frame.checksum) => {
                tcp::answer(&self.config, &self.app, now, packet, scratch)
            }
            EtherType::IPV6
                if !link.destination.is_group()
                    && let Some(packet) = glance::v6(addresses, &link, payload, frame.checksum) =>
            {
                tcp::answer(&self.config, &self.app, now, packet, scratch)
            }
            _ => self.answer_any(now, frame, scratch),
        }
    }

    /// A frame that is not recognized at a glance: not TCP, unusual, or wrong. Its link header is parsed again, so that
    /// it stays in registers where the frame is recognized (fast: parsed again).
    #[cold]
    #[inline(never)]
    fn answer_any<'a>(&'a self, now: Instant, frame: RxFrame<'_>, scratch: &'a mut [u8]) -> Reply<'a> {
        let (link, payload) = match ethernet::Header::parse(frame.bytes) {
            Ok(parts) => parts,
            Err(reason) => return reason.into(),
        };
        match link.ether_type {
            EtherType::IPV4 => self.answer_ipv4(now, &link, payload, frame.checksum, scratch),
            EtherType::IPV6 => self.answer_ipv6(now, &link, payload, frame.checksum, scratch),
            EtherType::ARP => self.answer_arp(link, payload),
            _ => DropReason::EtherType.into(),
        }
    }

    /// Frames that tell the network where our addresses are, without being asked: a gratuitous ARP for each IPv4
    /// address (RFC 5227, sections 2.3 and 3) and an unsolicited neighbor advertisement for each IPv6 address (RFC
    /// 4861, section 7.2.6). A server that takes over from another sends them once its link is up.
    pub fn announcements(&self) -> impl Iterator<Item = Reply<'_>> {
        let v4 = self.config.addresses.v4().iter().map(move |&address| {
            let packet = arp::Packet {
                operation: arp::Operation::Request,
                sender_mac: self.config.mac,
                sender_ip: address,
                target_mac: MacAddress::new([0; 6]),
                target_ip: address,
            };
            let (destination, source) = (MacAddress::BROADCAST, self.config.mac);
            Reply::arp(ethernet::Header { destination, source, tag: None, ether_type: EtherType::ARP }, packet)
        });
        let v6 = self.config.addresses.v6().iter().map(move |&address| {
            let addresses = AddressPair::V6 { source: address, destination: ALL_NODES };
            self.advertisement(ReplyPath { next_hop_mac: ALL_NODES_MAC, tag: None, addresses }, address, false)
        });
        v4.chain(v6)
    }

    /// A group address may be the destination only of ARP and IPv6, whose solicitations go to groups.
    #[inline]
    fn check_link(&self, link: &ethernet::Header) -> Result<(), DropReason> {
        let for_us = link.destination == self.config.mac
            || match link.ether_type {
                EtherType::ARP => link.destination == MacAddress::BROADCAST,
                EtherType::IPV6 => link.destination.is_ipv6_group(),
                _ => false,
            };
        if !for_us {
            Err(DropReason::EthernetNotForUs)
        } else if link.source.is_group() {
            Err(DropReason::EthernetSource)
        } else {
            Ok(())
        }
    }

    /// Answers a request, and learns nothing from it: not who asks (RFC 826), nor that another has our address (RFC
    /// 5227, sections 2.1 and 2.4).
    fn answer_arp(&self, link: ethernet::Header, payload: &[u8]) -> Reply<'_> {
        let request = match self.parse_arp(payload) {
            Ok(request) => request,
            Err(reason) => return reason.into(),
        };
        let reply = arp::Packet {
            operation: arp::Operation::Reply,
            sender_mac: self.config.mac,
            sender_ip: request.target_ip,
            target_mac: request.sender_mac,
            target_ip: request.sender_ip,
        };
        Reply::arp(ethernet::Header { destination: link.source, source: self.config.mac, ..link }, reply)
    }

    /// An ARP request for an address of ours.
    fn parse_arp(&self, payload: &[u8]) -> Result<arp::Packet, DropReason> {
        let request = arp::Packet::parse(payload)?;
        if request.sender_mac.is_group() {
            return Err(DropReason::ArpMalformed);
        }
        if request.operation != arp::Operation::Request || !self.config.addresses.has_v4(request.target_ip) {
            return Err(DropReason::ArpNotForUs);
        }
        Ok(request)
    }

    fn answer_ipv4<'a>(
        &'a self,
        now: Instant,
        link: &ethernet::Header,
        datagram: &[u8],
        checksum: RxChecksum,
        scratch: &'a mut [u8],
    ) -> Reply<'a> {
        let (header, payload) = match ipv4::Header::parse(datagram, checksum.network) {
            Ok(parts) => parts,
            Err(reason) => return reason.into(),
        };
        let ipv4::Header { source, destination, protocol } = header;
        // RFC 1122, section 3.2.1.3.
        if !self.config.addresses.has_v4(destination) {
            return DropReason::Ipv4NotForUs.into();
        }
        if !self.config.addresses.may_answer_v4(source) {
            return DropReason::IpSource.into();
        }
        let addresses = V4Pair::new(destination, source);
        let reply_path = ReplyPath { next_hop_mac: link.source, tag: link.tag, addresses };
        let packet = Packet { datagram, reply_path, checksum: checksum.transport, payload };
        match protocol {
            Protocol::TCP => self.answer_any_tcp(now, packet, scratch),
            Protocol::ICMP => self.answer_icmpv4(now, packet, scratch),
            // Nothing is reported (RFC 1122, section 3.2.2.1).
            _ => DropReason::IpProtocol.into(),
        }
    }

    /// A segment whose checksum has yet to be verified, which is never optional (RFC 9293, section 3.1).
    fn answer_any_tcp<'a, P: Pair>(&'a self, now: Instant, packet: Packet<'_, P>, scratch: &'a mut [u8]) -> Reply<'a> {
        if !packet.checksum_is_valid(Protocol::TCP) {
            return DropReason::TcpChecksum.into();
        }
        tcp::answer(&self.config, &self.app, now, packet, scratch)
    }

    #[cold]
    fn answer_icmpv4<'a>(&'a self, now: Instant, packet: Packet<'_, V4Pair>, scratch: &'a mut [u8]) -> Reply<'a> {
        match icmpv4::Message::parse(packet.payload, packet.checksum) {
            Ok(icmpv4::Message::Echo(echo)) => {
                let header = TransportHeader::icmp(Protocol::ICMP, echo.reply_header());
                self.echo(ReplyKind::Echo, &packet, header, echo.data, scratch)
            }
            Ok(icmpv4::Message::TooBig { mtu, quoted }) => match ipv4::quoted_tcp(quoted) {
                Some((source, destination, segment)) => {
                    let path = ReplyPath { addresses: V4Pair::new(source, destination), ..packet.reply_path };
                    tcp::answer_too_big(&self.config, &self.app, now, path, segment, mtu.into())
                }
                None => DropReason::IcmpQuote.into(),
            },
            Err(reason) => reason.into(),
        }
    }

    fn answer_ipv6<'a>(
        &'a self,
        now: Instant,
        link: &ethernet::Header,
        datagram: &[u8],
        checksum: RxChecksum,
        scratch: &'a mut [u8],
    ) -> Reply<'a> {
        let (header, payload) = match ipv6::Header::parse(datagram) {
            Ok(parts) => parts,
            Err(DropReason::Ipv6Option) => return self.refuse_option(link, datagram, scratch),
            Err(reason) => return reason.into(),
        };
        let ipv6::Header { source, destination, protocol, .. } = header;
        let addresses = V6Pair::new(destination, source);
        let reply_path = ReplyPath { next_hop_mac: link.source, tag: link.tag, addresses };
        let packet = Packet { datagram, reply_path, checksum: checksum.transport, payload };
        if destination.is_multicast() {
            return self.answer_group(header, packet);
        }
        // A packet for one address must not arrive in a frame for a group: several servers would answer it.
        if link.destination.is_group() || !self.config.addresses.has_v6(destination) {
            return DropReason::Ipv6NotForUs.into();
        }
        if !self.config.addresses.may_answer_v6(source) {
            return DropReason::IpSource.into();
        }
        match protocol {
            Protocol::TCP => self.answer_any_tcp(now, packet, scratch),
            Protocol::ICMPV6 => self.answer_icmpv6(now, header, packet, scratch),
            // Nothing is reported (RFC 8200, section 4; RFC 4443, section 3.1).
            _ => DropReason::IpProtocol.into(),
        }
    }

    /// Tells the sender of a packet that an option of it is unknown, if the option says so (RFC 8200, section 4.2).
    ///
    /// The sender has proven nothing, so the message is no larger than its packet where that leaves room for what an
    /// IPv6 stack wants to see of a packet of its own: [`QUOTED_MIN`] bytes (RFC 4443, sections 2.4 and 3.4). No rate
    /// is kept, and so none is limited.
    fn refuse_option<'a>(&self, link: &ethernet::Header, packet: &[u8], scratch: &'a mut [u8]) -> Reply<'a> {
        match self.parameter_problem(link, packet, scratch) {
            Ok(message) => Reply::datagram(ReplyKind::ParameterProblem, message),
            Err(reason) => reason.into(),
        }
    }

    fn parameter_problem<'a>(
        &self,
        link: &ethernet::Header,
        packet: &[u8],
        scratch: &'a mut [u8],
    ) -> Result<Datagram<'a>, DropReason> {
        const SILENCE: DropReason = DropReason::Ipv6Option;
        let (source, destination) = ipv6::addresses(packet).ok_or(SILENCE)?;
        let option = ipv6::unknown_option_to_report(packet).ok_or(SILENCE)?;
        let ours = self.config.addresses.v6().iter().copied();
        let is_group = destination.is_multicast() || link.destination.is_group();
        let mut asked =
            ours.filter(|&address| address == destination || icmpv6::solicited_node(address) == destination);
        let source_of_error = asked.next().filter(|_| !is_group || option.even_for_groups).ok_or(SILENCE)?;
        if !self.config.addresses.may_answer_v6(source) {
            return Err(DropReason::IpSource);
        }
        let added = ipv6::HEADER_LEN + icmpv6::ECHO_HEADER_LEN;
        // In one packet: fragments have headers of their own.
        let most = tcp::IPV6_MTU_MIN.min(self.config.mtu.bytes().into()) - added;
        let quoted = packet.len().saturating_sub(added).max(QUOTED_MIN).min(packet.len()).min(most);
        let addresses = V6Pair::new(source_of_error, source);
        let header = TransportHeader::icmp(Protocol::ICMPV6, icmpv6::unknown_option_header(option.pointer));
        let path = ReplyPath { next_hop_mac: link.source, tag: link.tag, addresses };
        let quoted = copied(packet.get(..quoted).unwrap_or_default(), scratch).ok_or(SILENCE)?;
        Ok(Datagram::new(&self.config, path.either(), header, [quoted, &[]]))
    }

    #[cold]
    fn answer_icmpv6<'a>(
        &'a self,
        now: Instant,
        header: ipv6::Header,
        packet: Packet<'_, V6Pair>,
        scratch: &'a mut [u8],
    ) -> Reply<'a> {
        match packet.parse_icmpv6(&header) {
            Ok(icmpv6::Message::Echo { id, data }) => {
                let header = TransportHeader::icmp(Protocol::ICMPV6, icmpv6::echo_reply_header(id));
                self.echo(ReplyKind::EchoV6, &packet, header, data, scratch)
            }
            Ok(icmpv6::Message::Solicitation(solicitation)) => self.advertise(&packet, solicitation),
            Ok(icmpv6::Message::TooBig { mtu, quoted }) => match ipv6::quoted_tcp(quoted) {
                Some((source, destination, segment)) => {
                    let path = ReplyPath { addresses: V6Pair::new(source, destination), ..packet.reply_path };
                    tcp::answer_too_big(&self.config, &self.app, now, path, segment, mtu)
                }
                None => DropReason::IcmpQuote.into(),
            },
            Err(reason) => reason.into(),
        }
    }

    /// Answers a packet for a group: only a solicitation for an address of ours is for us, and no echo request (RFC
    /// 4443, section 4.2).
    #[cold]
    fn answer_group(&self, header: ipv6::Header, packet: Packet<'_, V6Pair>) -> Reply<'_> {
        let ours = self.config.addresses.v6().iter();
        if !ours.copied().any(|address| icmpv6::solicited_node(address) == header.destination) {
            return DropReason::Ipv6NotForUs.into();
        }
        let source_is_ours = self.config.addresses.has_v6(header.source);
        if header.source.is_multicast() || header.source.is_loopback() || source_is_ours {
            return DropReason::IpSource.into();
        }
        if header.protocol != Protocol::ICMPV6 {
            return DropReason::IpProtocol.into();
        }
        match packet.parse_icmpv6(&header) {
            Ok(icmpv6::Message::Solicitation(solicitation)) => self.advertise(&packet, solicitation),
            Ok(icmpv6::Message::Echo { .. } | icmpv6::Message::TooBig { .. }) => DropReason::Ipv6NotForUs.into(),
            Err(reason) => reason.into(),
        }
    }

    /// Answers a solicitation; its sender is not remembered (RFC 4861, section 7.2.3), and that it has our address for
    /// its own is not noticed (RFC 4862, section 5.4).
    fn advertise(&self, packet: &Packet<'_, V6Pair>, solicitation: icmpv6::Solicitation) -> Reply<'_> {
        let icmpv6::Solicitation { target, probe } = solicitation;
        let path = packet.reply_path;
        if !self.config.addresses.has_v6(target) {
            return DropReason::NeighborNotForUs.into();
        }
        // A sender without an address cannot be answered directly: all nodes are told (RFC 4861, section 7.2.4).
        let (next_hop_mac, destination) =
            if probe { (ALL_NODES_MAC, ALL_NODES) } else { (path.next_hop_mac, path.addresses.destination()) };
        let addresses = AddressPair::V6 { source: target, destination };
        self.advertisement(ReplyPath { next_hop_mac, tag: path.tag, addresses }, target, !probe)
    }

    fn advertisement(&self, path: ReplyPath, target: Ipv6Addr, solicited: bool) -> Reply<'_> {
        let message = icmpv6::advertisement(target, self.config.mac, solicited);
        let header = TransportHeader::icmp(Protocol::ICMPV6, message);
        let datagram = Datagram::new(&self.config, path, header, [&[]; 2]).with_hop_limit(icmpv6::HOP_LIMIT);
        Reply::datagram(ReplyKind::Neighbor, datagram)
    }

    /// The data goes back as it came (RFC 1122, section 3.2.2.6; RFC 4443, section 4.2).
    fn echo<'a>(
        &self,
        kind: ReplyKind,
        packet: &Packet<'_, impl Pair>,
        header: TransportHeader,
        data: &[u8],
        scratch: &'a mut [u8],
    ) -> Reply<'a> {
        let Some(data) = copied(data, scratch) else { return DropReason::IcmpMalformed.into() };
        let datagram = Datagram::new(&self.config, packet.reply_path.either(), header, [data, &[]]);
        if datagram.is_whole() { Reply::datagram(kind, datagram) } else { DropReason::IcmpMalformed.into() }
    }
}

/// A copy of some bytes of the frame, which is gone when the reply goes out.
fn copied<'a>(bytes: &[u8], scratch: &'a mut [u8]) -> Option<&'a [u8]> {
    let (copy, _) = scratch.split_at_mut_checked(bytes.len())?;
    copy.copy_from_slice(bytes);
    Some(copy)
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use crate::http::{Response, Status};

    #[test]
    fn scratch_space_holds_any_response_that_fits_a_datagram_and_not_much_more() {
        let mut scratch = std::vec![0; SCRATCH_LEN];
        let body = std::vec![b'x'; u16::MAX.into()];
        let response = Response::build(&mut scratch, Status::Ok).body_with(|to| to.push_bytes(&body));
        assert_eq!(response.body().len(), body.len());
        assert!(SCRATCH_LEN < 2 * body.len());
    }
}
