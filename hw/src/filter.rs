//! The rules by which the kernel sorts frames: which are for Lethe.
//!
//! They match destinations only: ARP requests and neighbor solicitations for an address of ours, and IP packets to one.
//! All other frames stay with the kernel, so that logins over the interface go on. The engine checks the contents of
//! frames.
//!
//! Two kinds of programs are compiled from the rules: the filter of a socket, here, and those of [`bpf`](crate::bpf).

use std::net::IpAddr;

use ipnet::IpNet;
use lethe::config::Addresses;
use lethe::wire::ethernet::MacAddress;
use libc::sock_filter;

/// The verdict that takes the whole frame: a filter returns how many bytes to keep.
const WHOLE: u32 = u32::MAX;

/// Bytes of both hardware addresses, which stand ahead of a VLAN tag.
pub(crate) const ADDRESSES_LEN: u8 = 12;

/// The destinations of frames for us: a server's addresses, or the networks of a load generator's clients.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Destinations {
    networks: Vec<IpNet>,
    absorbing: Vec<u16>,
}

impl Destinations {
    /// Every address of these networks.
    pub const fn new(networks: Vec<IpNet>) -> Self {
        Self { networks, absorbing: Vec::new() }
    }

    /// Leaves out bare ACKs to these TCP ports, where they can be counted: those without options, and those with
    /// timestamps unless the port is told to [receive](lethe::port::Port::receive_acks) them.
    #[must_use]
    pub fn without_acks(self, ports: impl IntoIterator<Item = u16>) -> Self {
        Self { absorbing: ports.into_iter().collect(), ..self }
    }

    pub(crate) fn networks(&self) -> &[IpNet] {
        &self.networks
    }

    /// Those with all bare ACKs, if `wanted`.
    pub(crate) fn with_acks_if(self, wanted: bool) -> Self {
        if wanted { Self::new(self.networks) } else { self }
    }

    /// Whether bare ACKs are left out.
    pub(crate) fn leave_out_acks(&self) -> bool {
        !self.absorbing.is_empty()
    }

    /// Those without any of these addresses.
    pub(crate) fn without(&self, addresses: &[IpAddr]) -> Self {
        let is_free = |net: &&IpNet| !addresses.iter().any(|address| net.contains(address));
        Self { networks: self.networks.iter().filter(is_free).copied().collect(), ..self.clone() }
    }
}

impl From<&Addresses> for Destinations {
    fn from(addresses: &Addresses) -> Self {
        Self::new(addresses.iter().map(IpNet::from).collect())
    }
}

/// A condition on a field of a frame without a VLAN tag, which would shift all but the hardware addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Field {
    /// The offset in the frame. Hardware addresses end at [`ADDRESSES_LEN`].
    pub(crate) offset: u8,
    pub(crate) width: Width,
    /// The value of the field, which is in network byte order on the wire.
    pub(crate) value: u32,
    /// The bits that are compared.
    pub(crate) mask: u32,
}

impl Field {
    /// Whether all bits are compared.
    pub(crate) const fn is_whole(&self) -> bool {
        self.mask == u32::MAX
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Width {
    Byte,
    Half,
    Word,
}

impl Width {
    pub(crate) const fn bytes(self) -> u8 {
        match self {
            Self::Byte => 1,
            Self::Half => 2,
            Self::Word => 4,
        }
    }
}

/// A rule. A frame is for us if it has all fields of one rule.
pub(crate) type Rule = Vec<Field>;

/// The rules for these destinations, the frequent ones first.
pub(crate) fn rules(destinations: &Destinations) -> Vec<Rule> {
    let networks = |is_v4: bool| destinations.networks.iter().filter(move |net| net.addr().is_ipv4() == is_v4);
    let ipv4 = networks(true).map(|net| [vec![half(12, 0x0800)], address(30, net)].concat());
    let arp = networks(true).map(|net| [vec![half(12, 0x0806)], address(38, net)].concat());
    let ipv6 = networks(false).map(|net| [vec![half(12, 0x86dd)], address(38, net)].concat());
    // An ICMPv6 neighbor solicitation to any group, for one of ours (RFC 4861, section 4.3).
    let solicited = networks(false).map(|net| {
        let solicitation = vec![half(12, 0x86dd), byte(20, 58), byte(38, 0xff), byte(54, 135)];
        [solicitation, address(62, net)].concat()
    });
    ipv4.chain(ipv6).chain(arp).chain(solicited).collect()
}

/// A bare ACK, by the options of its TCP header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum BareAck {
    /// None.
    Plain,
    /// Timestamps, as they usually stand: behind two no-ops (RFC 7323, appendix A).
    Stamped,
}

impl BareAck {
    pub(crate) const ALL: [Self; 2] = [Self::Plain, Self::Stamped];

    /// Bytes of its TCP header.
    const fn header_len(self) -> u16 {
        match self {
            Self::Plain => 20,
            Self::Stamped => 32,
        }
    }
}

/// The bare ACKs of a kind over a version of IP that are left out.
pub(crate) struct BareAcks {
    pub(crate) kind: BareAck,
    /// What all of them have.
    pub(crate) fields: Rule,
    /// Their ports and destinations, of which they have one each.
    pub(crate) ports: Vec<Rule>,
    pub(crate) destinations: Vec<Rule>,
    /// What they have none of.
    pub(crate) never: Vec<Rule>,
    /// Their bytes, behind which there may be padding.
    pub(crate) len: u8,
}

/// The bare ACKs to these destinations at a hardware address that the engine absorbs if their checksums are right: TCP
/// segments with the ACK bit and none of SYN, FIN and RST, without payload, behind an IPv4 header without options that
/// is no fragment or an IPv6 header without extension headers. PSH, URG and the bits of ECN make no difference.
/// None of a version that there is no address of, nor without ports.
pub(crate) fn bare_acks(destinations: &Destinations, mac: MacAddress) -> Vec<BareAcks> {
    let ports = &destinations.absorbing;
    let kinds = [true, false].into_iter().flat_map(|is_v4| BareAck::ALL.map(|kind| (is_v4, kind)));
    let of_kind = |(is_v4, kind): (bool, BareAck)| {
        let networks: Vec<_> = destinations.networks.iter().filter(|net| net.addr().is_ipv4() == is_v4).collect();
        let (source_at, destination_at, tcp_at) = if is_v4 { (26, 30, 34) } else { (22, 38, 54) };
        let bits = |offset, value, mask| Field { offset, width: Width::Byte, value, mask };
        // Those first that most frames differ in.
        let mut fields = if is_v4 {
            let whole = Field { offset: 20, width: Width::Half, value: 0, mask: 0x3fff };
            vec![half(12, 0x0800), half(16, 20 + kind.header_len()), byte(14, 0x45), byte(23, 6), whole]
        } else {
            vec![half(12, 0x86dd), half(18, kind.header_len()), bits(14, 0x60, 0xf0), byte(20, 6)]
        };
        // Header length; of the flags, FIN, SYN, RST and ACK.
        fields.extend([bits(tcp_at + 12, u32::from(kind.header_len()) << 2, 0xf0), bits(tcp_at + 13, 0x10, 0x17)]);
        if kind == BareAck::Stamped {
            fields.push(word(tcp_at + 20, 0x0101_080a));
        }
        fields.extend((0..).zip(mac.bytes()).map(|(at, value)| byte(at, value)));
        // From no group, port 0, no address that no host can have, and none of ours.
        let mut never = vec![vec![bits(6, 1, 1)], vec![half(tcp_at, 0)]];
        if is_v4 {
            let first = |value, mask| vec![bits(source_at, value, mask)];
            never.extend([first(0, 0xff), first(127, 0xff), first(224, 224)]);
        } else {
            let last = Field { offset: source_at + 12, width: Width::Word, value: 0, mask: !1 };
            let unspecified_or_loopback =
                vec![last, word(source_at, 0), word(source_at + 4, 0), word(source_at + 8, 0)];
            never.extend([vec![byte(source_at, 0xff)], unspecified_or_loopback]);
        }
        never.extend(networks.iter().map(|net| address(source_at, net)));
        BareAcks {
            kind,
            fields,
            ports: ports.iter().map(|&port| vec![half(tcp_at + 2, port)]).collect(),
            destinations: networks.iter().map(|net| address(destination_at, net)).collect(),
            never,
            len: tcp_at + kind.header_len() as u8,
        }
    };
    kinds.map(of_kind).filter(|acks| !acks.ports.is_empty() && !acks.destinations.is_empty()).collect()
}

/// The rules as a filter of a socket, in classic BPF. The kernel has taken a VLAN tag out of the frame before.
pub(crate) fn classic(rules: &[Rule]) -> Vec<sock_filter> {
    let instruction = |code: u32, jf: u8, k: u32| sock_filter { code: code as u16, jt: 0, jf, k };
    let mut program = Vec::new();
    for rule in rules {
        // The remaining instructions of the rule: two or three a field, and its `return`.
        let mut rest: usize = rule.iter().map(|field| 2 + usize::from(!field.is_whole())).sum::<usize>() + 1;
        for field in rule {
            let size = match field.width {
                Width::Byte => libc::BPF_B,
                Width::Half => libc::BPF_H,
                Width::Word => libc::BPF_W,
            };
            program.push(instruction(libc::BPF_LD | size | libc::BPF_ABS, 0, field.offset.into()));
            rest -= 2;
            if !field.is_whole() {
                rest -= 1;
                program.push(instruction(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, 0, field.mask));
            }
            program.push(instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, rest as u8, field.value));
        }
        program.push(instruction(libc::BPF_RET | libc::BPF_K, 0, WHOLE));
    }
    program.push(instruction(libc::BPF_RET | libc::BPF_K, 0, 0));
    program
}

const fn byte(offset: u8, value: u8) -> Field {
    Field { offset, width: Width::Byte, value: value as u32, mask: u32::MAX }
}

const fn half(offset: u8, value: u16) -> Field {
    Field { offset, width: Width::Half, value: value as u32, mask: u32::MAX }
}

const fn word(offset: u8, value: u32) -> Field {
    Field { offset, width: Width::Word, value, mask: u32::MAX }
}

/// An address of a network: its last word first, where addresses differ most. Words without a mask are left out.
fn address(offset: u8, network: &IpNet) -> Vec<Field> {
    let word = |at: u8, value: u32, mask: u32| Field { offset: offset + 4 * at, width: Width::Word, value, mask };
    let words: Vec<Field> = match network.trunc() {
        IpNet::V4(net) => vec![word(0, net.addr().to_bits(), net.netmask().to_bits())],
        IpNet::V6(net) => {
            let part = |bits: u128, at: u8| (bits >> (96 - 32 * u32::from(at))) as u32;
            let (address, mask) = (net.addr().to_bits(), net.netmask().to_bits());
            (0..4).rev().map(|at| word(at, part(address, at), part(mask, at))).collect()
        }
    };
    words.into_iter().filter(|field| field.mask != 0).collect()
}

#[cfg(test)]
#[path = "../tests/support/near.rs"]
mod near;

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixDatagram;

    use libc::sock_fprog;
    use proptest::prelude::*;

    use super::near::nearly_for_us;
    use super::*;

    fn ours() -> Destinations {
        Destinations::new(near::ours())
    }

    fn networks() -> Destinations {
        Destinations::new(near::networks())
    }

    /// Whether a frame without a tag matches one of the rules.
    fn matches(destinations: &Destinations, frame: &[u8]) -> bool {
        let is = |field: &Field| {
            let bytes = frame.get(field.offset.into()..).and_then(|rest| rest.get(..field.width.bytes().into()));
            let value = bytes.map(|bytes| bytes.iter().fold(0, |value, &byte| value << 8 | u32::from(byte)));
            value.is_some_and(|value| value & field.mask == field.value)
        };
        rules(destinations).iter().any(|rule| rule.iter().all(is))
    }

    #[test]
    fn what_is_for_us_is_what_asks_for_us_or_goes_to_us() {
        let frame = |fields: &[(usize, &[u8])]| {
            let mut frame = [0; 90];
            for &(at, bytes) in fields {
                frame[at..at + bytes.len()].copy_from_slice(bytes);
            }
            matches(&ours(), &frame)
        };
        let v6 = |text: &str| text.parse::<std::net::Ipv6Addr>().unwrap().octets();
        let (ip, arp, ip6): (&[u8], &[u8], &[u8]) = (&[8, 0], &[8, 6], &[0x86, 0xdd]);
        assert!(frame(&[(12, ip), (30, &[10, 9, 0, 2])]));
        assert!(frame(&[(12, arp), (38, &[10, 9, 0, 7])]));
        assert!(!frame(&[(12, ip), (30, &[10, 9, 0, 3])]), "the kernel's own address");
        assert!(!frame(&[(12, arp), (28, &[10, 9, 0, 2])]), "ARP from us is not for us");
        assert!(frame(&[(12, ip6), (38, &v6("fd09::2"))]));
        let solicitation = [(12, ip6), (20, &[58]), (54, &[135]), (38, &v6("ff02::1:ff00:2")[..])];
        assert!(frame(&[&solicitation[..], &[(62, &v6("fd09::2"))]].concat()));
        assert!(!frame(&[&solicitation[..], &[(62, &v6("fe80::2"))]].concat()), "the same group, another target");
    }

    #[test]
    fn a_network_in_which_the_kernel_has_an_address_is_left_out() {
        let all = networks();
        assert_eq!(all.without(&[]), all);
        let own: IpAddr = "47.1.2.3".parse().unwrap();
        assert_eq!(all.without(&[own]).networks().len(), all.networks().len() - 1);
        assert!(!all.without(&[own]).networks().iter().any(|net| net.contains(&own)));
    }

    #[test]
    fn a_network_is_all_of_its_addresses_and_no_other() {
        let frame = |ether_type: u16, at: usize, address: &[u8]| {
            let mut frame = [0; 90];
            frame[12..14].copy_from_slice(&ether_type.to_be_bytes());
            frame[at..at + address.len()].copy_from_slice(address);
            matches(&networks(), &frame)
        };
        let v6 = |text: &str| text.parse::<std::net::Ipv6Addr>().unwrap().octets();
        for (address, expect) in
            [([10, 9, 0, 3], true), ([10, 9, 0, 4], false), ([47, 1, 2, 3], true), ([48, 0, 0, 0], false)]
        {
            assert_eq!(frame(0x0800, 30, &address), expect, "{address:?}");
            assert_eq!(frame(0x0806, 38, &address), expect, "{address:?}");
        }
        for (address, expect) in
            [("fd09::1", true), ("fd09:0:0:1::", false), ("fd08:ffff::1", true), ("fd08:7fff::1", false)]
        {
            assert_eq!(frame(0x86dd, 38, &v6(address)), expect, "{address}");
        }
    }

    /// Whether a socket with the classic program takes the frame.
    fn socket_takes(destinations: &Destinations, frame: &[u8]) -> bool {
        let (from, to) = UnixDatagram::pair().unwrap();
        to.set_nonblocking(true).unwrap();
        let mut program = classic(&rules(destinations));
        let program = sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
        crate::sys::set_option(to.as_fd(), libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program).unwrap();
        // The filter drops without an error at the sender.
        from.send(frame).unwrap();
        let mut room = [0; 200];
        to.recv(&mut room).is_ok_and(|len| &room[..len] == frame)
    }

    proptest! {
        #[test]
        fn the_classic_program_takes_what_matches(frame in nearly_for_us()) {
            for destinations in [ours(), networks()] {
                let expect = near::is_for(destinations.networks(), &frame);
                prop_assert_eq!(matches(&destinations, &frame), expect, "the rules");
                prop_assert_eq!(socket_takes(&destinations, &frame), expect, "the program");
            }
        }
    }
}
