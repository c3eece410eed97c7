//! Any frame as one line of text, in the spirit of tcpdump.
//!
//! ```text
//! 10.9.0.1:40000 > 10.9.0.2:80 SYN seq 1000 win 64240 <mss 1460, sack-ok, ts 5 0>
//! 10.9.0.1:40000 > 10.9.0.2:80 ACK PSH seq 1001 ack 77 win 64240 <ts 6 1> 143 bytes
//! 10.9.0.2 > 10.9.0.1 frag id 7 offset 1480 more, 512 bytes
//! arp who-has 10.9.0.2 tell 10.9.0.1
//! fd09::2 > fd09::1 neighbor advertisement fd09::2 is-at 02:4c:65:74:68:65 solicited override
//! vlan 7 10.9.0.1 > 10.9.0.2 icmp echo id 1 seq 2, 56 bytes
//! ```
//!
//! What is as usual is not said; what is wrong or unusual is: `!checksum`, `!ip-checksum`, `!options`, `ttl 3`,
//! `urg 9`. The frame is read by [`dissect`](crate::dissect), so this is a second opinion on what the
//! engine writes.

use std::collections::VecDeque;
use std::fmt::Write;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use lethe::wire::ethernet::MacAddress;
use lethe::wire::seq::SeqNumber;
use lethe::wire::tcp::Flags;

use crate::dissect::{Arp, Fragment, Frame, Icmp, Ip, Network, Tcp, Transport};

/// Connections whose first numbers are remembered: more than any dialogue has, few enough to search.
const ORIGINS_MAX: usize = 64;

/// The flags in the order they are written in.
const FLAGS: [(u8, &str); 8] = [
    (0x02, "SYN"),
    (0x10, "ACK"),
    (0x08, "PSH"),
    (0x01, "FIN"),
    (0x04, "RST"),
    (0x20, "URG"),
    (0x40, "ECE"),
    (0x80, "CWR"),
];

/// One frame with the numbers that stand in it.
pub fn line(frame: &[u8]) -> String {
    Notation::absolute().line(frame)
}

/// How frames are written down.
#[derive(Clone, Debug)]
pub struct Notation {
    relative: bool,
    origins: VecDeque<Origin>,
}

/// Where the numbers of one direction of a connection begin.
#[derive(Clone, Copy, Debug)]
struct Origin {
    from: SocketAddr,
    to: SocketAddr,
    seq: SeqNumber,
    timestamp: u32,
}

impl Notation {
    /// With sequence numbers and timestamps as they stand in the frames.
    pub const fn absolute() -> Self {
        Self { relative: false, origins: VecDeque::new() }
    }

    /// With sequence numbers and timestamps counted from the sender's SYN, where that has been seen: the
    /// same conversation looks the same whatever secret or clock there is behind it.
    pub const fn relative() -> Self {
        Self { relative: true, origins: VecDeque::new() }
    }

    /// One frame.
    pub fn line(&mut self, bytes: &[u8]) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = self.write_frame(&mut text, bytes);
        text
    }

    fn write_frame(&mut self, out: &mut String, bytes: &[u8]) -> std::fmt::Result {
        let Some(frame) = Frame::dissect(bytes) else {
            return write!(out, "no frame, {} bytes", bytes.len());
        };
        if let Some(tag) = frame.vlan {
            write!(out, "vlan {} ", tag & 0xfff)?;
            if tag >> 13 != 0 {
                write!(out, "priority {} ", tag >> 13)?;
            }
        }
        match &frame.network {
            Network::Arp(arp) => write_arp(out, arp),
            Network::Ip(ip) => self.write_ip(out, ip),
            Network::Other(ether_type, payload) => write!(out, "type {ether_type:#06x}, {} bytes", payload.len()),
            Network::Malformed(what) => write!(out, "!malformed: {what}, {} bytes", bytes.len()),
        }
    }

    fn write_ip(&mut self, out: &mut String, ip: &Ip<'_>) -> std::fmt::Result {
        match &ip.transport {
            Transport::Tcp(tcp) => self.write_tcp(out, ip, tcp)?,
            Transport::Icmp(icmp) => write_icmp(out, ip, icmp)?,
            Transport::Other => {
                write!(out, "{} > {}", ip.source, ip.destination)?;
                if let Some(Fragment { identification, offset, more }) = ip.fragment {
                    write!(out, " frag id {identification} offset {offset}{}", if more { " more" } else { "" })?;
                } else {
                    write!(out, " protocol {}", ip.protocol)?;
                }
                write!(out, ", {} bytes", ip.payload.len())?;
            }
            Transport::Malformed(what) => {
                write!(out, "{} > {} !malformed: {what}, {} bytes", ip.source, ip.destination, ip.payload.len())?;
            }
        }
        // Neighbor discovery is sent with 255, and everything else here with 64.
        if !matches!(ip.hop_limit, 64 | 255) {
            write!(out, " ttl {}", ip.hop_limit)?;
        }
        if ip.checksum_is_right { Ok(()) } else { out.write_str(" !ip-checksum") }
    }

    fn write_tcp(&mut self, out: &mut String, ip: &Ip<'_>, tcp: &Tcp<'_>) -> std::fmt::Result {
        let (from, to) = (ip.from(tcp), ip.to(tcp));
        if self.relative && tcp.flags.has(Flags::SYN) {
            self.learn(Origin { from, to, seq: tcp.seq, timestamp: tcp.timestamps.map_or(0, |(value, _)| value) });
        }
        write!(out, "{from} > {to}")?;
        for (_, name) in FLAGS.iter().filter(|(bit, _)| tcp.flags.bits() & bit != 0) {
            write!(out, " {name}")?;
        }
        let (ours, theirs) = (self.origin(from, to), self.origin(to, from));
        write!(out, " seq {}", relative_seq(tcp.seq, ours))?;
        if tcp.flags.has(Flags::ACK) {
            write!(out, " ack {}", relative_seq(tcp.ack, theirs))?;
        }
        write!(out, " win {}", tcp.window)?;
        write_options(out, tcp, ours, theirs)?;
        if tcp.urgent != 0 {
            write!(out, " urg {}", tcp.urgent)?;
        }
        if !tcp.payload.is_empty() {
            write!(out, " {} bytes", tcp.payload.len())?;
        }
        if tcp.options_are_malformed {
            out.write_str(" !options")?;
        }
        if tcp.checksum_is_right { Ok(()) } else { out.write_str(" !checksum") }
    }

    fn learn(&mut self, origin: Origin) {
        let is_same = |known: &Origin| known.from == origin.from && known.to == origin.to;
        self.origins.retain(|known| !is_same(known));
        if self.origins.len() == ORIGINS_MAX {
            self.origins.pop_front();
        }
        self.origins.push_back(origin);
    }

    fn origin(&self, from: SocketAddr, to: SocketAddr) -> Option<Origin> {
        self.origins.iter().find(|origin| origin.from == from && origin.to == to).copied()
    }
}

fn relative_seq(number: SeqNumber, origin: Option<Origin>) -> u32 {
    origin.map_or(number.value(), |origin| number.distance_from(origin.seq))
}

fn write_options(out: &mut String, tcp: &Tcp<'_>, ours: Option<Origin>, theirs: Option<Origin>) -> std::fmt::Result {
    let mut options = Vec::new();
    options.extend(tcp.mss.map(|mss| format!("mss {mss}")));
    options.extend(tcp.sack_permitted.then(|| "sack-ok".to_owned()));
    options.extend(tcp.timestamps.map(|(value, echo)| {
        let since =
            |stamp: u32, origin: Option<Origin>| origin.map_or(stamp, |origin| stamp.wrapping_sub(origin.timestamp));
        // Without an ACK, the echo means nothing and is zero.
        let theirs = theirs.filter(|_| tcp.flags.has(Flags::ACK));
        format!("ts {} {}", since(value, ours), since(echo, theirs))
    }));
    options.extend(tcp.window_scale.map(|shift| format!("wscale {shift}")));
    options.extend(tcp.sack.iter().map(|&(left, right)| {
        let edge = |number| relative_seq(SeqNumber::new(number), theirs);
        format!("sack {}-{}", edge(left), edge(right))
    }));
    options.extend(tcp.unknown_options.iter().map(|kind| format!("option {kind}")));
    if options.is_empty() { Ok(()) } else { write!(out, " <{}>", options.join(", ")) }
}

fn write_arp(out: &mut String, arp: &Arp) -> std::fmt::Result {
    match arp.operation {
        1 => write!(out, "arp who-has {} tell {}", arp.target, arp.sender),
        2 => write!(out, "arp {} is-at {}", arp.sender, arp.sender_mac),
        other => write!(out, "arp operation {other}"),
    }
}

fn write_icmp(out: &mut String, ip: &Ip<'_>, icmp: &Icmp<'_>) -> std::fmt::Result {
    let (name, is_v6) = if ip.source.is_ipv6() { ("icmp6", true) } else { ("icmp", false) };
    write!(out, "{} > {} ", ip.source, ip.destination)?;
    match (is_v6, icmp.kind, icmp.body) {
        (false, 8 | 0, [i0, i1, s0, s1, data @ ..]) | (true, 128 | 129, [i0, i1, s0, s1, data @ ..]) => {
            let reply = if matches!(icmp.kind, 0 | 129) { " reply" } else { "" };
            let (id, seq) = (u16::from_be_bytes([*i0, *i1]), u16::from_be_bytes([*s0, *s1]));
            write!(out, "{name} echo{reply} id {id} seq {seq}, {} bytes", data.len())?;
        }
        (true, 135 | 136, [flags, _, _, _, rest @ ..]) => write_neighbor(out, icmp.kind, *flags, rest)?,
        (false, 3, [_, _, m0, m1, ..]) if icmp.code == 4 => {
            write!(out, "icmp need-frag mtu {}", u16::from_be_bytes([*m0, *m1]))?;
        }
        (true, 2, [m0, m1, m2, m3, ..]) => {
            write!(out, "icmp6 too-big mtu {}", u32::from_be_bytes([*m0, *m1, *m2, *m3]))?;
        }
        (false, 3, _) | (true, 1, _) if icmp.code == 0 => write!(out, "{name} unreachable")?,
        _ => write!(out, "{name} type {} code {}, {} bytes", icmp.kind, icmp.code, icmp.body.len())?,
    }
    if icmp.checksum_is_right { Ok(()) } else { out.write_str(" !checksum") }
}

fn write_neighbor(out: &mut String, kind: u8, flags: u8, rest: &[u8]) -> std::fmt::Result {
    let Some((target, options)) = rest.split_first_chunk::<16>() else {
        return out.write_str("neighbor discovery, cut short");
    };
    let target = IpAddr::V6(Ipv6Addr::from_octets(*target));
    let mac = match *options {
        [1 | 2, 1, m0, m1, m2, m3, m4, m5, ..] => Some(MacAddress::new([m0, m1, m2, m3, m4, m5])),
        _ => None,
    };
    if kind == 135 {
        write!(out, "neighbor solicitation who-has {target}")?;
        return mac.map_or(Ok(()), |mac| write!(out, " from {mac}"));
    }
    write!(out, "neighbor advertisement {target}")?;
    if let Some(mac) = mac {
        write!(out, " is-at {mac}")?;
    }
    for (bit, name) in [(0x80, " router"), (0x40, " solicited"), (0x20, " override")] {
        if flags & bit != 0 {
            out.write_str(name)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::collection;
    use proptest::prelude::any;
    use proptest::sample::Index;

    use super::*;
    use crate::frame::{self, Ends, IcmpError, Segment};

    #[test]
    fn a_segment_is_written_with_all_that_stands_in_it() {
        let ends = Ends::v4();
        let syn = Segment::syn(&ends).seq(1000).mss(1460).sack_permitted().timestamps(5, 0).window_scale(7);
        assert_eq!(
            line(&syn.frame()),
            "10.9.0.1:40000 > 10.9.0.2:80 SYN seq 1000 win 64240 <mss 1460, sack-ok, ts 5 0, wscale 7>"
        );
        let odd =
            Segment::fin(&Ends::v6().vlan(7)).seq(77).ack_number(1038).window(2920).sack(&[(4, 9)]).payload(b"abc");
        assert_eq!(
            line(&odd.with(Flags::new(0x28)).urgent(9).option(&[254, 2]).bad_checksum().frame()),
            "vlan 7 [fd09::1]:40000 > [fd09::2]:80 ACK PSH FIN URG seq 77 ack 1038 win 2920 \
             <sack 4-9, option 254> urg 9 3 bytes !checksum"
        );
        let broken = Segment::ack(&ends).option(&[8, 3, 1, 0]).packet().hop_limit(1).bad_checksum();
        assert_eq!(
            line(&broken.frame()),
            "10.9.0.1:40000 > 10.9.0.2:80 ACK seq 0 ack 0 win 64240 <option 8> ttl 1 !ip-checksum"
        );
    }

    #[test]
    fn relative_numbers_count_from_each_senders_syn() {
        let (client, server) = (Ends::v4(), Ends::v4().reversed());
        let mut notation = Notation::relative();
        let mut check = |segment: Segment, expected: &str| {
            let line = notation.line(&segment.frame());
            assert_eq!(line.split_once(":80 ").or(line.split_once(":40000 ")).unwrap().1, expected);
        };
        check(Segment::syn(&client).seq(u32::MAX).timestamps(700, 0), "SYN seq 0 win 64240 <ts 0 0>");
        let syn_ack = Segment::syn(&server).with(Flags::ACK).seq(5000).ack_number(0).timestamps(90, 700);
        assert!(notation.line(&syn_ack.frame()).ends_with("SYN ACK seq 0 ack 1 win 64240 <ts 0 0>"));
        let request = Segment::ack(&client).seq(0).ack_number(5001).timestamps(703, 90).payload(b"GET /");
        assert!(notation.line(&request.frame()).ends_with("ACK seq 1 ack 1 win 64240 <ts 3 0> 5 bytes"));
    }

    #[test]
    fn what_is_not_tcp_is_written_too() {
        let (v4, v6) = (Ends::v4(), Ends::v6());
        assert_eq!(line(&frame::Arp::request(&v4).frame()), "arp who-has 10.9.0.2 tell 10.9.0.1");
        assert_eq!(line(&frame::Arp::reply(&v4).frame()), "arp 10.9.0.1 is-at 02:00:00:00:00:01");
        assert_eq!(
            line(&frame::Icmp::echo(&v4, 1, 2, b"abc").frame()),
            "10.9.0.1 > 10.9.0.2 icmp echo id 1 seq 2, 3 bytes"
        );
        assert_eq!(
            line(&frame::Icmp::solicitation(&v6).frame()),
            "fd09::1 > ff02::1:ff00:2 neighbor solicitation who-has fd09::2 from 02:00:00:00:00:01"
        );
        assert_eq!(
            line(&frame::Icmp::advertisement(&v6).frame()),
            "fd09::1 > fd09::2 neighbor advertisement fd09::1 is-at 02:00:00:00:00:01 solicited override"
        );
        let about = Segment::ack(&v6.reversed()).payload([0; 2000]).frame();
        assert_eq!(
            line(&frame::Icmp::error(&v6, IcmpError::TooBig(1280), &about).frame()),
            "fd09::1 > fd09::2 icmp6 too-big mtu 1280"
        );
        let pieces = Segment::ack(&v6).payload([0; 2000]).packet().fragments(7, 1280);
        assert_eq!(line(&pieces[1]), "fd09::1 > fd09::2 frag id 7 offset 1232, 788 bytes");
        assert_eq!(line(&v4.ethernet(0x88cc, b"abc")), "type 0x88cc, 3 bytes");
        assert_eq!(line(b"abc"), "no frame, 3 bytes");
    }

    proptest::proptest! {
        #[test]
        fn garbage_is_written_down_and_never_a_panic(bytes in collection::vec(any::<u8>(), 0..200)) {
            line(&bytes);
        }

        #[test]
        fn frames_with_a_few_wrong_bytes_are_written_down(
            v6: bool,
            wrong in collection::vec((any::<Index>(), any::<u8>()), 0..6),
            cut: Index,
        ) {
            let ends = if v6 { Ends::v6() } else { Ends::v4() };
            let mut frame = Segment::syn(&ends).mss(1460).timestamps(5, 0).sack(&[(1, 2)]).payload(b"GET /").frame();
            for (at, value) in wrong {
                let at = at.index(frame.len());
                frame[at] = value;
            }
            frame.truncate(cut.index(frame.len() + 1));
            line(&frame);
        }
    }
}
