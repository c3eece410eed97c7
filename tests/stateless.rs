//! What follows from having no state: rules of RFCs that ask for a timer, a cache, a table or a last value, and what is
//! done instead; and a few about single packets. One rule a test, and in `docs/requirements.md` its section.

mod support;

use std::net::IpAddr;

use lethe::Reply;
use lethe::config::Mtu;
use lethe::verdict::{DropReason, ReplyKind, Verdict};
use lethe::wire::ethernet::MacAddress;
use lethe::wire::tcp::Flags;
use lethe_sim::dissect::{Frame, Ip, Network, Tcp, Transport};
use lethe_sim::frame::{Arp, Ends, Icmp, IcmpError, Segment};
use support::{Client, ISN, Offer, TIME, both, engine, engine_changed, payload};

const REQUEST: &str = "GET /11 HTTP/1.1\r\nHost: h\r\n\r\n";
const LONG: &str = "GET /70000 HTTP/1.1\r\nHost: h\r\n\r\n";

/// Another machine than the client.
const STRANGER: MacAddress = MacAddress::new([2, 0, 0, 0, 0, 0x77]);

fn only<T>(list: Vec<T>) -> T {
    let [one] = <[T; 1]>::try_from(list).unwrap_or_else(|list| panic!("{} instead of one", list.len()));
    one
}

fn with_ip<T>(frame: &[u8], read: impl FnOnce(&Ip<'_>) -> T) -> T {
    read(Frame::dissect(frame).unwrap().ip().unwrap())
}

fn with_tcp<T>(frame: &[u8], read: impl FnOnce(&Tcp<'_>) -> T) -> T {
    read(Frame::dissect(frame).unwrap().tcp().unwrap().1)
}

/// The frames of a reply.
fn frames(mut reply: Reply<'_>) -> Vec<Vec<u8>> {
    let mut buffer = [0; 1600];
    let next = || reply.next_frame(&mut buffer).map(|frame| frame.len).map(|len| buffer[..len].to_vec());
    std::iter::from_fn(next).collect()
}

// Timers.

#[test]
fn whatever_was_lost_is_drawn_again_by_the_client_s_rto() {
    let engine = engine();
    for ends in both() {
        let mut client = Client::new(&engine, ends, Offer::LINUX);
        let syn = Segment::syn(&ends).seq(ISN).mss(1460).timestamps(TIME, 0);
        let syn_ack = client.send(&syn);
        client.wait(1);
        assert_eq!(client.send(&syn), syn_ack, "the SYN+ACK was lost");
        client.connect();
        for request in [REQUEST, LONG] {
            let echo = client.echo;
            let response = client.request(request);
            client.wait(1);
            client.echo = echo;
            assert_eq!(client.request(request), response, "all of it was lost");
        }
    }
}

#[test]
fn no_time_ends_a_connection_that_is_closed_by_its_client() {
    let engine = engine();
    for ends in both() {
        let mut client = Client::connected(&engine, ends, Offer::LINUX);
        let response = only(client.request(REQUEST));
        let read = payload(&response).len() as u32 + 1;
        let fin = client.at(REQUEST.len() as u32, read).with(Flags::FIN);
        let ack = client.send(&fin);
        assert_eq!(client.verdict(), Verdict::Replied(ReplyKind::FinAck));
        client.wait(24 * 3600);
        assert_eq!(client.send(&fin), ack, "it is acknowledged a day later too");
    }
}

#[test]
fn addresses_and_ports_of_a_closed_connection_are_used_again_at_once() {
    let engine = engine();
    for ends in both() {
        let mut client = Client::connected(&engine, ends, Offer::LINUX);
        let response = only(client.request(REQUEST));
        assert!(with_tcp(&response, |tcp| tcp.flags.has(Flags::FIN)), "the server closes first");
        let read = payload(&response).len() as u32 + 1;
        client.send(&client.at(REQUEST.len() as u32, read).with(Flags::FIN));
        client.send(&Segment::syn(&ends).seq(ISN + 100).mss(1460));
        assert_eq!(client.verdict(), Verdict::Replied(ReplyKind::SynAck));
    }
}

// What was before.

#[test]
fn a_syn_on_a_connection_gets_a_syn_ack_and_no_challenge() {
    let engine = engine();
    for ends in both() {
        let mut client = Client::connected(&engine, ends, Offer::LINUX);
        for seq in [ISN + 1, ISN + 3_000_000_000] {
            let sent = only(client.send(&Segment::syn(&ends).seq(seq).mss(1460)));
            let (flags, ack) = with_tcp(&sent, |tcp| (tcp.flags, tcp.ack.value()));
            assert!(flags.has(Flags::SYN) && flags.has(Flags::ACK) && ack == seq + 1, "{flags:?} {ack}");
        }
        assert!(payload(&only(client.request(REQUEST))).starts_with(b"HTTP/1.1 200"), "the connection goes on");
    }
}

#[test]
fn a_segment_with_an_older_timestamp_is_answered_and_its_timestamp_echoed() {
    let engine = engine();
    for ends in both() {
        let mut client = Client::connected(&engine, ends, Offer::LINUX);
        let before = TIME - 1;
        let older = client.at(0, 0).without_options().timestamps(before, client.echo).payload(REQUEST);
        let sent = only(client.send(&older));
        assert_eq!(client.verdict(), Verdict::Replied(ReplyKind::Response));
        assert_eq!(with_tcp(&sent, |tcp| tcp.timestamps.unwrap().1), before);
    }
}

#[test]
fn urgent_data_is_read_like_any_other() {
    let engine = engine();
    for ends in both() {
        let mut client = Client::connected(&engine, ends, Offer::LINUX);
        let usual = client.request(REQUEST);
        let mut client = Client::connected(&engine, ends, Offer::LINUX);
        let urgent = client.at(0, 0).with(Flags::new(0x20)).urgent(3).payload(REQUEST);
        assert_eq!(client.send(&urgent), usual);
    }
}

#[test]
fn data_on_a_syn_is_answered_when_it_comes_again_behind_it() {
    let engine = engine();
    for ends in both() {
        let mut client = Client::new(&engine, ends, Offer::LINUX);
        let syn = Segment::syn(&ends).seq(ISN).mss(1460).timestamps(TIME, 0).payload(REQUEST);
        let syn_ack = only(client.send(&syn));
        let (seq, ack) = with_tcp(&syn_ack, |tcp| (tcp.seq.value(), tcp.ack.value()));
        assert_eq!(ack, ISN + 1, "the SYN alone is acknowledged");
        client.cookie = seq;
        assert!(payload(&only(client.request(REQUEST))).starts_with(b"HTTP/1.1 200"));
    }
}

#[test]
fn a_first_window_of_long_segments_is_four_where_the_rfc_has_two() {
    let engine = engine_changed(|config| config.mtu = Mtu::new(9000).unwrap());
    for ends in both() {
        let mut client = Client::connected(&engine, ends, Offer { mss: Some(8940), ..Offer::LINUX });
        let lens: Vec<_> = client.request(LONG).iter().map(|frame| payload(frame).len()).collect();
        // Four is what a client gets whose receive window is smaller than ten segments.
        assert_eq!(lens, [8928; 4]);
    }
}

// Addresses and their hardware.

#[test]
fn who_has_an_address_is_not_remembered() {
    let engine = engine();
    let claims = |ends: &Ends| {
        let other = Ends { client_mac: STRANGER, ..*ends };
        if ends.client.is_ipv4() {
            [Arp::request(&other).frame(), Arp::reply(&other).frame()]
        } else {
            [Icmp::solicitation(&other).frame(), Icmp::advertisement(&other).frame()]
        }
    };
    for ends in both() {
        let mut client = Client::new(&engine, ends, Offer::LINUX);
        for claim in claims(&ends) {
            client.send_frame(&claim);
            let syn_ack = only(client.send(&Segment::syn(&ends).seq(ISN)));
            let to = Frame::dissect(&syn_ack).unwrap().destination;
            assert_eq!(to, ends.client_mac, "a reply goes back to where the frame came from");
        }
    }
}

#[test]
fn addresses_are_announced_once_and_not_probed() {
    let engine = engine();
    let announced: Vec<Vec<u8>> = engine.announcements().flat_map(frames).collect();
    let [v4, v6] = &announced[..] else { panic!("one for each address: {}", announced.len()) };
    let (v4, v6) = (Frame::dissect(v4).unwrap(), Frame::dissect(v6).unwrap());
    let Network::Arp(arp) = &v4.network else { panic!("{v4:?}") };
    let own: IpAddr = "10.9.0.2".parse().unwrap();
    // A probe would have no sender yet.
    assert_eq!((arp.operation, arp.sender, arp.target, v4.destination), (1, own, own, MacAddress::BROADCAST));
    let ip = v6.ip().unwrap();
    let Transport::Icmp(icmp) = &ip.transport else { panic!("{v6:?}") };
    let group: IpAddr = "ff02::1".parse().unwrap();
    // A probe would be a solicitation (135).
    assert_eq!((icmp.kind, ip.source.to_string(), ip.destination), (136, "fd09::2".to_owned(), group));
}

#[test]
fn addresses_are_used_without_a_probe_and_kept_when_another_machine_has_them() {
    let engine = engine();
    for ends in both() {
        let mut client = Client::new(&engine, ends, Offer::LINUX);
        client.send(&Segment::syn(&ends).seq(ISN));
        assert_eq!(client.verdict(), Verdict::Replied(ReplyKind::SynAck), "nothing was probed");
        // Another machine says that our address is its own.
        let conflict = Ends { client: ends.server, client_mac: STRANGER, ..ends };
        let claim =
            if ends.server.is_ipv4() { Arp::reply(&conflict).frame() } else { Icmp::advertisement(&conflict).frame() };
        assert_eq!(client.send_frame(&claim), Vec::<Vec<u8>>::new(), "it is not defended");
        client.send(&Segment::syn(&ends).seq(ISN));
        assert_eq!(client.verdict(), Verdict::Replied(ReplyKind::SynAck), "nor given up");
    }
}

// Single packets.

#[test]
fn an_ip_packet_of_another_version_is_dropped() {
    let engine = engine();
    for ends in both() {
        let mut client = Client::new(&engine, ends, Offer::LINUX);
        let frame = Segment::syn(&ends).seq(ISN).frame();
        for version in (0..=15).filter(|version| *version != frame[14] >> 4) {
            let mut other = frame.clone();
            other[14] = version << 4 | other[14] & 0x0f;
            if ends.server.is_ipv4() {
                other[24..26].fill(0);
                let sum = lethe_sim::frame::internet_checksum([&other[14..34]]);
                other[24..26].copy_from_slice(&sum.to_be_bytes());
            }
            assert_eq!(client.send_frame(&other), Vec::<Vec<u8>>::new(), "version {version}");
            let dropped = if ends.server.is_ipv4() { DropReason::Ipv4Malformed } else { DropReason::Ipv6Malformed };
            assert_eq!(client.verdict(), Verdict::Dropped(dropped), "version {version}");
        }
    }
}

#[test]
fn a_packet_at_the_end_of_its_time_to_live_is_answered() {
    let engine = engine();
    for (ends, hop_limit) in both().into_iter().flat_map(|ends| [0, 1].map(|limit| (ends, limit))) {
        let mut client = Client::new(&engine, ends, Offer::LINUX);
        client.send_frame(&Segment::syn(&ends).seq(ISN).packet().hop_limit(hop_limit).frame());
        assert_eq!(client.verdict(), Verdict::Replied(ReplyKind::SynAck));
    }
}

#[test]
fn a_packet_is_sent_with_a_hop_limit_of_64_and_may_be_cut_by_routers() {
    let engine = engine();
    for ends in both() {
        let mut client = Client::new(&engine, ends, Offer::LINUX);
        if ends.client.is_ipv6() {
            // What a router advertises (134): a hop limit of 255.
            let from_router = Icmp::new(&ends, 134, 0, [255, 0, 0, 30, 0, 0, 0, 0, 0, 0, 0, 0]).hop_limit(255);
            client.send_frame(&from_router.frame());
            assert!(matches!(client.verdict(), Verdict::Dropped(_)));
        }
        let mut all = client.send_frame(&Icmp::echo(&ends, 7, 1, b"1").frame());
        all.extend(client.send(&Segment::syn(&ends).seq(ISN)));
        client.connect();
        all.extend(client.request(LONG));
        // Nor is it set when a router has said what the path takes.
        all.extend(client.send_frame(&Icmp::error(&ends, IcmpError::TooBig(1300), &all[2]).frame()));
        assert!(all.len() > 12, "{}", all.len());
        for frame in &all {
            let (hop_limit, dont_fragment) = with_ip(frame, |ip| (ip.hop_limit, ip.dont_fragment));
            assert_eq!(hop_limit, 64);
            assert!(!(ends.client.is_ipv4() && dont_fragment));
        }
    }
}

#[test]
fn an_icmp_message_of_an_unknown_type_is_dropped() {
    let engine = engine();
    for ends in both() {
        let mut client = Client::new(&engine, ends, Offer::LINUX);
        for kind in [1, 7, 13, 42, 100, 127, 150, 200, 255] {
            let sent = client.send_frame(&Icmp::new(&ends, kind, 0, [0; 60]).frame());
            assert_eq!(sent, Vec::<Vec<u8>>::new(), "{kind}");
            assert!(matches!(client.verdict(), Verdict::Dropped(_)), "{kind}: {}", client.verdict());
        }
    }
}

#[test]
fn an_echo_reply_has_no_options_of_its_request() {
    let engine = engine();
    let ends = Ends::v4();
    let mut client = Client::new(&engine, ends, Offer::LINUX);
    let plain = client.send_frame(&Icmp::echo(&ends, 7, 1, b"1").frame());
    // Record Route (7) with room for two addresses, and Timestamp (68) with room for one.
    for options in [&[7, 11, 4, 0, 0, 0, 0, 0, 0, 0, 0][..], &[68, 8, 5, 0, 0, 0, 0, 0]] {
        let echo = Icmp::echo(&ends, 7, 1, b"1").packet().options(options);
        assert_eq!(client.send_frame(&echo.frame()), plain, "as without options");
    }
}

#[test]
fn every_unknown_option_that_asks_for_a_report_gets_one_however_many_come() {
    let engine = engine();
    let ends = Ends::v6();
    let mut client = Client::new(&engine, ends, Offer::LINUX);
    let asks = Icmp::echo(&ends, 7, 1, b"1").packet().extension(60, &[0, 0x82, 4, 0, 0, 0, 0]).frame();
    let reports: usize = (0..1000).map(|_| client.send_frame(&asks).len()).sum();
    assert_eq!(reports, 1000);
}
