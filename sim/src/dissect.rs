//! What stands in a frame, as smoltcp reads it: a parser that is not ours.
//!
//! A [`Frame`] holds whatever could be read and says what is wrong with the rest; it is never an error
//! to look at garbage. Peers take what is right, [`notation`](crate::notation) prints everything, and
//! checkers insist that nothing is wrong ([`Frame::problem`]).

use std::net::{IpAddr, SocketAddr};

use lethe::wire::ethernet::MacAddress;
use lethe::wire::seq::SeqNumber;
use lethe::wire::tcp::Flags;
use smoltcp::wire::{
    ArpPacket, EthernetAddress, EthernetFrame, Icmpv4Packet, Icmpv6Packet, Ipv4Packet, Ipv6FragmentHeader, Ipv6Packet,
    TcpOption, TcpPacket,
};

use crate::frame::{Ends, Segment, internet_checksum, pseudo_header};

const ARP: u16 = 0x0806;
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const VLAN: u16 = 0x8100;

const TCP: u8 = 6;
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;

/// More extension headers than this are not followed.
const EXTENSIONS_MAX: usize = 8;

/// A frame.
#[derive(Clone, Debug)]
pub struct Frame<'a> {
    /// The destination address.
    pub destination: MacAddress,
    /// The source address.
    pub source: MacAddress,
    /// The tag control information, if it is tagged.
    pub vlan: Option<u16>,
    /// What it carries.
    pub network: Network<'a>,
}

/// What a frame carries.
#[derive(Clone, Debug)]
pub enum Network<'a> {
    /// ARP for IPv4.
    Arp(Arp),
    /// A packet of either family.
    Ip(Ip<'a>),
    /// Something else: its type, and its bytes.
    Other(u16, &'a [u8]),
    /// It lies about a length, or is cut short.
    Malformed(&'static str),
}

/// An ARP packet.
#[derive(Clone, Copy, Debug)]
pub struct Arp {
    /// 1 asks, 2 answers.
    pub operation: u16,
    /// The hardware address of the sender.
    pub sender_mac: MacAddress,
    /// Its IP address.
    pub sender: IpAddr,
    /// The hardware address of the target.
    pub target_mac: MacAddress,
    /// Its IP address.
    pub target: IpAddr,
}

/// An IP packet.
#[derive(Clone, Debug)]
pub struct Ip<'a> {
    /// The source address.
    pub source: IpAddr,
    /// The destination address.
    pub destination: IpAddr,
    /// Hop limit, or time to live.
    pub hop_limit: u8,
    /// What it carries, behind all extension headers that can be followed.
    pub protocol: u8,
    /// Bytes of the whole packet.
    pub len: usize,
    /// Bytes of the frame behind it.
    pub padding: usize,
    /// Whether the checksum of an IPv4 header is right.
    pub checksum_is_right: bool,
    /// IPv4: routers may not cut it. An IPv6 packet is never cut by one.
    pub dont_fragment: bool,
    /// What part of a larger packet it is, if it is one.
    pub fragment: Option<Fragment>,
    /// What follows the headers.
    pub payload: &'a [u8],
    /// What follows the headers, parsed.
    pub transport: Transport<'a>,
}

/// What part of a larger packet a fragment is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fragment {
    /// The number of the larger packet.
    pub identification: u32,
    /// Where it stands there, in bytes.
    pub offset: usize,
    /// Others follow.
    pub more: bool,
}

/// What an IP packet carries. Nothing is said of a fragment.
#[derive(Clone, Debug)]
pub enum Transport<'a> {
    /// A TCP segment.
    Tcp(Tcp<'a>),
    /// A message of ICMP or ICMPv6.
    Icmp(Icmp<'a>),
    /// A fragment, or another protocol.
    Other,
    /// It lies about a length, or is cut short.
    Malformed(&'static str),
}

/// A TCP segment.
#[derive(Clone, Debug)]
pub struct Tcp<'a> {
    /// From which port.
    pub source_port: u16,
    /// To which port.
    pub destination_port: u16,
    /// The sequence number.
    pub seq: SeqNumber,
    /// The acknowledgement number, which means nothing without ACK.
    pub ack: SeqNumber,
    /// The flags.
    pub flags: Flags,
    /// The window, not scaled.
    pub window: u16,
    /// The urgent pointer.
    pub urgent: u16,
    /// Maximum segment size.
    pub mss: Option<u16>,
    /// Window scale.
    pub window_scale: Option<u8>,
    /// SACK permitted.
    pub sack_permitted: bool,
    /// SACK blocks.
    pub sack: Vec<(u32, u32)>,
    /// Timestamps: value and echo.
    pub timestamps: Option<(u32, u32)>,
    /// Kinds of options that are none of these.
    pub unknown_options: Vec<u8>,
    /// An option lies about its length.
    pub options_are_malformed: bool,
    /// Whether the checksum is right.
    pub checksum_is_right: bool,
    /// The payload.
    pub payload: &'a [u8],
}

/// A message of ICMP or ICMPv6.
#[derive(Clone, Debug)]
pub struct Icmp<'a> {
    /// The type.
    pub kind: u8,
    /// The code.
    pub code: u8,
    /// Whether the checksum is right.
    pub checksum_is_right: bool,
    /// What follows the checksum.
    pub body: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Looks at a frame; `None` if it ends before its Ethernet header does.
    pub fn dissect(bytes: &'a [u8]) -> Option<Self> {
        let frame = EthernetFrame::new_checked(bytes).ok()?;
        let (ether_type, payload, vlan) = match (u16::from(frame.ethertype()), frame.payload()) {
            (VLAN, [t0, t1, e0, e1, payload @ ..]) => {
                (u16::from_be_bytes([*e0, *e1]), payload, Some(u16::from_be_bytes([*t0, *t1])))
            }
            (ether_type, payload) => (ether_type, payload, None),
        };
        let network = match ether_type {
            ARP => dissect_arp(payload),
            IPV4 => dissect_ipv4(payload),
            IPV6 => dissect_ipv6(payload),
            other => Network::Other(other, payload),
        };
        Some(Self { destination: mac(frame.dst_addr()), source: mac(frame.src_addr()), vlan, network })
    }

    /// The IP packet, if there is one.
    pub const fn ip(&self) -> Option<&Ip<'a>> {
        match &self.network {
            Network::Ip(ip) => Some(ip),
            _ => None,
        }
    }

    /// The TCP segment, if there is one, and the packet it comes in.
    pub const fn tcp(&self) -> Option<(&Ip<'a>, &Tcp<'a>)> {
        match &self.network {
            Network::Ip(ip @ Ip { transport: Transport::Tcp(tcp), .. }) => Some((ip, tcp)),
            _ => None,
        }
    }

    /// The first thing from the bottom up that is wrong with it.
    pub const fn problem(&self) -> Option<&'static str> {
        match &self.network {
            Network::Malformed(what) => Some(what),
            Network::Ip(ip) if !ip.checksum_is_right => Some("the IPv4 header checksum is wrong"),
            Network::Ip(ip) => match &ip.transport {
                Transport::Malformed(what) => Some(what),
                Transport::Tcp(tcp) if !tcp.checksum_is_right => Some("the TCP checksum is wrong"),
                Transport::Tcp(tcp) if tcp.options_are_malformed => Some("a TCP option lies about its length"),
                Transport::Icmp(icmp) if !icmp.checksum_is_right => Some("the ICMP checksum is wrong"),
                _ => None,
            },
            _ => None,
        }
    }
}

impl Ip<'_> {
    /// Address and port that this segment came from.
    pub const fn from(&self, tcp: &Tcp<'_>) -> SocketAddr {
        SocketAddr::new(self.source, tcp.source_port)
    }

    /// Address and port that this segment goes to.
    pub const fn to(&self, tcp: &Tcp<'_>) -> SocketAddr {
        SocketAddr::new(self.destination, tcp.destination_port)
    }
}

impl Tcp<'_> {
    /// The sequence number behind it: SYN and FIN count as a byte each.
    pub fn end(&self) -> SeqNumber {
        let flags = u32::from(self.flags.has(Flags::SYN)) + u32::from(self.flags.has(Flags::FIN));
        self.seq.advance(self.payload.len() as u32 + flags)
    }
}

impl Segment {
    /// A segment that was dissected, once more between these ends. Options that are not understood are lost.
    pub fn copy_of(ends: &Ends, tcp: &Tcp<'_>) -> Self {
        let mut copy = Self::new(ends, tcp.flags).seq(tcp.seq.value()).ack_number(tcp.ack.value());
        copy = copy.window(tcp.window).urgent(tcp.urgent).payload(tcp.payload);
        if let Some(mss) = tcp.mss {
            copy = copy.mss(mss);
        }
        if tcp.sack_permitted {
            copy = copy.sack_permitted();
        }
        if let Some((value, echo)) = tcp.timestamps {
            copy = copy.timestamps(value, echo);
        }
        if let Some(shift) = tcp.window_scale {
            copy = copy.window_scale(shift);
        }
        if tcp.sack.is_empty() { copy } else { copy.sack(&tcp.sack) }
    }
}

fn mac(address: EthernetAddress) -> MacAddress {
    MacAddress::new(address.0)
}

fn dissect_arp(payload: &[u8]) -> Network<'_> {
    let Ok(packet) = ArpPacket::new_checked(payload) else {
        return Network::Malformed("the ARP packet is cut short");
    };
    let mac = |bytes: &[u8]| <[u8; 6]>::try_from(bytes).map(MacAddress::new);
    let ip = |bytes: &[u8]| <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    match (
        mac(packet.source_hardware_addr()),
        ip(packet.source_protocol_addr()),
        mac(packet.target_hardware_addr()),
        ip(packet.target_protocol_addr()),
    ) {
        (Ok(sender_mac), Ok(sender), Ok(target_mac), Ok(target))
            if u16::from(packet.hardware_type()) == 1 && u16::from(packet.protocol_type()) == IPV4 =>
        {
            Network::Arp(Arp { operation: packet.operation().into(), sender_mac, sender, target_mac, target })
        }
        _ => Network::Malformed("the ARP packet is not for Ethernet and IPv4"),
    }
}

fn dissect_ipv4(bytes: &[u8]) -> Network<'_> {
    let Ok(packet) = Ipv4Packet::new_checked(bytes) else {
        return Network::Malformed("an IPv4 length lies");
    };
    if packet.version() != 4 || packet.header_len() < 20 {
        return Network::Malformed("the IPv4 header is not one");
    }
    let len = usize::from(packet.total_len());
    let is_fragment = packet.more_frags() || packet.frag_offset() > 0;
    let fragment = is_fragment.then(|| Fragment {
        identification: packet.ident().into(),
        offset: packet.frag_offset().into(),
        more: packet.more_frags(),
    });
    let (source, destination) = (packet.src_addr().into(), packet.dst_addr().into());
    let protocol = u8::from(packet.next_header());
    let (header, payload) = (&bytes[..packet.header_len().into()], packet.payload());
    Network::Ip(Ip {
        source,
        destination,
        hop_limit: packet.hop_limit(),
        protocol,
        len,
        padding: bytes.len() - len,
        checksum_is_right: internet_checksum([header]) == 0,
        dont_fragment: packet.dont_frag(),
        fragment,
        payload,
        transport: dissect_transport(source, destination, protocol, payload, is_fragment),
    })
}

fn dissect_ipv6(bytes: &[u8]) -> Network<'_> {
    let Ok(packet) = Ipv6Packet::new_checked(bytes) else {
        return Network::Malformed("an IPv6 length lies");
    };
    if packet.version() != 6 {
        return Network::Malformed("the IPv6 header is not one");
    }
    let Some((protocol, payload, fragment)) = skip_extensions(packet.next_header().into(), packet.payload()) else {
        return Network::Malformed("the IPv6 extension headers are cut short");
    };
    let (source, destination) = (packet.src_addr().into(), packet.dst_addr().into());
    Network::Ip(Ip {
        source,
        destination,
        hop_limit: packet.hop_limit(),
        protocol,
        len: packet.total_len(),
        padding: bytes.len() - packet.total_len(),
        checksum_is_right: true,
        dont_fragment: true,
        fragment,
        payload,
        transport: dissect_transport(source, destination, protocol, payload, fragment.is_some()),
    })
}

/// Follows the chain of extension headers to what the packet carries, or to where a fragment begins.
fn skip_extensions(first: u8, bytes: &[u8]) -> Option<(u8, &[u8], Option<Fragment>)> {
    const HOP_BY_HOP: u8 = 0;
    const ROUTING: u8 = 43;
    const FRAGMENT: u8 = 44;
    const DESTINATION_OPTIONS: u8 = 60;
    let (mut next, mut rest) = (first, bytes);
    for _ in 0..EXTENSIONS_MAX {
        match next {
            HOP_BY_HOP | ROUTING | DESTINATION_OPTIONS => {
                let [after, length, ..] = *rest else { return None };
                rest = rest.get((usize::from(length) + 1) * 8..)?;
                next = after;
            }
            FRAGMENT => {
                let [after, _, header @ ..] = rest else { return None };
                // smoltcp leaves the first two bytes of every extension header out.
                let header = Ipv6FragmentHeader::new_checked(header).ok()?;
                let fragment = Fragment {
                    identification: header.ident(),
                    offset: usize::from(header.frag_offset()) * 8,
                    more: header.more_frags(),
                };
                return Some((*after, rest.get(8..)?, Some(fragment)));
            }
            _ => break,
        }
    }
    Some((next, rest, None))
}

fn dissect_transport(
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    payload: &[u8],
    is_fragment: bool,
) -> Transport<'_> {
    match (protocol, source) {
        _ if is_fragment => Transport::Other,
        (TCP, _) => dissect_tcp(payload, sums_up(source, destination, protocol, payload)),
        (ICMP, IpAddr::V4(_)) => match Icmpv4Packet::new_checked(payload) {
            Ok(packet) => Transport::Icmp(Icmp {
                kind: packet.msg_type().into(),
                code: packet.msg_code(),
                checksum_is_right: internet_checksum([payload]) == 0,
                body: payload.get(4..).unwrap_or_default(),
            }),
            Err(_) => Transport::Malformed("the ICMP message is cut short"),
        },
        (ICMPV6, IpAddr::V6(_)) => match Icmpv6Packet::new_checked(payload) {
            Ok(packet) => Transport::Icmp(Icmp {
                kind: packet.msg_type().into(),
                code: packet.msg_code(),
                checksum_is_right: sums_up(source, destination, protocol, payload),
                body: payload.get(4..).unwrap_or_default(),
            }),
            Err(_) => Transport::Malformed("the ICMPv6 message is cut short"),
        },
        _ => Transport::Other,
    }
}

fn dissect_tcp(payload: &[u8], checksum_is_right: bool) -> Transport<'_> {
    let Ok(packet) = TcpPacket::new_checked(payload) else {
        return Transport::Malformed("a TCP length lies");
    };
    let flags = payload.get(13).copied().unwrap_or_default();
    let mut tcp = Tcp {
        source_port: packet.src_port(),
        destination_port: packet.dst_port(),
        seq: seq(packet.seq_number()),
        ack: seq(packet.ack_number()),
        flags: Flags::new(flags),
        window: packet.window_len(),
        urgent: packet.urgent_at(),
        mss: None,
        window_scale: None,
        sack_permitted: false,
        sack: Vec::new(),
        timestamps: None,
        unknown_options: Vec::new(),
        options_are_malformed: false,
        checksum_is_right,
        payload: packet.payload(),
    };
    dissect_options(packet.options(), &mut tcp);
    Transport::Tcp(tcp)
}

fn dissect_options(options: &[u8], tcp: &mut Tcp<'_>) {
    let mut rest = options;
    while !rest.is_empty() {
        let Ok((after, option)) = TcpOption::parse(rest) else {
            tcp.options_are_malformed = true;
            return;
        };
        match option {
            TcpOption::EndOfList => return,
            TcpOption::NoOperation => {}
            TcpOption::MaxSegmentSize(mss) => tcp.mss = Some(mss),
            TcpOption::WindowScale(shift) => tcp.window_scale = Some(shift),
            TcpOption::SackPermitted => tcp.sack_permitted = true,
            TcpOption::SackRange(blocks) => tcp.sack.extend(blocks.into_iter().flatten()),
            TcpOption::TimeStamp { tsval, tsecr } => tcp.timestamps = Some((tsval, tsecr)),
            TcpOption::Unknown { kind, .. } => tcp.unknown_options.push(kind),
        }
        rest = after;
    }
}

/// Whether the checksum over pseudo-header and payload is right. smoltcp's own check is not used: it is
/// left out where fuzzing is compiled in.
fn sums_up(source: IpAddr, destination: IpAddr, protocol: u8, payload: &[u8]) -> bool {
    let ends = Ends::between(SocketAddr::new(source, 0), SocketAddr::new(destination, 0));
    internet_checksum([pseudo_header(&ends, protocol, payload.len()).as_slice(), payload]) == 0
}

const fn seq(number: smoltcp::wire::TcpSeqNumber) -> SeqNumber {
    SeqNumber::new(number.0.cast_unsigned())
}
