//! Conversations, packet by packet: one protocol rule a test, both families in each.
//!
//! A snapshot is read as a dialogue: `→` goes in, `←` comes out, the line between says what became of it.

mod support;

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use lethe::config::{LargeReplies, Mtu, Refuse};
use lethe::http::Response;
use lethe::port::{RxFrame, TxChecksum};
use lethe::verdict::{DropReason, ReplyKind, Verdict};
use lethe::wire::tcp::Flags;
use lethe::{App, Engine, Request};
use lethe_sim::dissect::Frame;
use lethe_sim::frame::{Arp, Ends, Icmp, Segment, internet_checksum};
use lethe_sim::sample::Sample;
use support::{Client, ISN, Offer, both, engine, engine_changed, engine_with, payload};

/// Runs a conversation over each of `ends` and compares the whole log with the snapshot of that name.
#[track_caller]
fn check(name: &str, refuse: Refuse, ends: &[Ends], offer: Offer, talk: impl Fn(&mut Client<'_>)) {
    check_with(&engine_with(refuse), name, ends, offer, talk);
}

#[track_caller]
fn check_with(engine: &Engine<Sample>, name: &str, ends: &[Ends], offer: Offer, talk: impl Fn(&mut Client<'_>)) {
    let mut log = String::new();
    for ends in ends {
        let mut client = Client::new(engine, *ends, offer);
        talk(&mut client);
        log.push_str(client.dialogue.log());
        log.push('\n');
    }
    insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!(name, log);
    });
}

/// The usual: both families, a client like Linux, nothing refused aloud.
#[track_caller]
fn check_linux(name: &str, talk: impl Fn(&mut Client<'_>)) {
    check(name, Refuse::Drop, &both(), Offer::LINUX, talk);
}

/// The same with a client that offers nothing.
#[track_caller]
fn check_plain(name: &str, talk: impl Fn(&mut Client<'_>)) {
    check(name, Refuse::Drop, &both(), Offer::PLAIN, talk);
}

/// The same from an engine that sends long responses in fragments.
#[track_caller]
fn check_fragments(name: &str, offer: Offer, talk: impl Fn(&mut Client<'_>)) {
    let engine = engine_changed(|config| config.large_replies = LargeReplies::Fragments);
    check_with(&engine, name, &both(), offer, talk);
}

fn text(frames: &[Vec<u8>]) -> String {
    frames.iter().map(|frame| String::from_utf8(payload(frame)).unwrap()).collect()
}

// Link and network.

#[test]
fn arp_is_answered_for_our_address_only() {
    check("arp", Refuse::Drop, &[Ends::v4(), Ends::v4().vlan(0x2064)], Offer::LINUX, |client| {
        let request = Arp::request(&client.ends);
        client.send_frame(&request.frame());
        client.send_frame(&Arp::probe(&client.ends).frame());
        client.send_frame(&request.clone().target(Ipv4Addr::new(10, 9, 0, 3)).frame());
        client.send_frame(&Arp::reply(&client.ends).frame());
        client.send_frame(&request.operation(3).frame());
    });
}

#[test]
fn an_arp_reply_goes_from_us_to_the_one_who_asked() {
    let engine = engine();
    let ends = Ends::v4();
    let mut client = Client::new(&engine, ends, Offer::LINUX);
    let request = Arp::request(&ends).frame();
    assert_eq!(request[..6], [0xff; 6]);
    let reply = &client.send_frame(&request)[0];
    assert_eq!((&reply[..6], &reply[6..12]), (&ends.client_mac.bytes()[..], &ends.server_mac.bytes()[..]));
}

#[test]
fn echo_gives_back_what_it_got() {
    check_linux("echo", |client| {
        for len in [0, 1, 56, 1400] {
            let data: Vec<u8> = (0..=u8::MAX).cycle().take(len).collect();
            let sent = client.send_frame(&Icmp::echo(&client.ends, 7, 1, &data).frame());
            assert!(sent[0].ends_with(&data), "{len}");
        }
        let larger_than_the_mtu = [0; 1473];
        client.send_frame(&Icmp::echo(&client.ends, 7, 1, &larger_than_the_mtu).frame());
        client.send_frame(&Icmp::echo(&client.ends, 7, 1, b"1").bad_checksum().frame());
        client.send_frame(&Icmp::echo(&client.ends, 7, 1, b"1").code(1).frame());
    });
}

#[test]
fn solicitations_are_answered_as_rfc_4861_says() {
    check("neighbor", Refuse::Drop, &[Ends::v6(), Ends::v6().vlan(7)], Offer::LINUX, |client| {
        let ends = client.ends;
        let source = match ends.client.ip() {
            std::net::IpAddr::V6(source) => source,
            std::net::IpAddr::V4(_) => unreachable!(),
        };
        let mut other = ends;
        other.server.set_ip("fd09::102".parse().unwrap());
        for (remark, message) in [
            ("with the hardware address of the one who asks", Icmp::solicitation(&ends)),
            ("without", Icmp::solicitation_with(&ends, source, &[])),
            ("to our address, to refresh a cache", Icmp::unicast_solicitation(&ends)),
            ("from nobody yet: duplicate address detection", Icmp::duplicate_address_probe(&ends)),
            ("through a router", Icmp::solicitation(&ends).hop_limit(254)),
            ("with a code", Icmp::solicitation(&ends).code(1)),
            ("with an option of length 0", Icmp::solicitation_with(&ends, source, &[1, 0, 0, 0, 0, 0, 0, 0])),
            ("with an option that is cut off", Icmp::solicitation_with(&ends, source, &[1, 2, 0, 0, 0, 0, 0, 0])),
            (
                "a probe that has a hardware address",
                Icmp::solicitation_with(&ends, [0; 16].into(), &[1, 1, 2, 0, 0, 0, 0, 1]),
            ),
            ("for another address of the same group", Icmp::solicitation(&other)),
            ("with a wrong checksum", Icmp::solicitation(&ends).bad_checksum()),
        ] {
            client.dialogue.remark(remark);
            client.send_frame(&message.frame());
        }
    });
}

#[test]
fn an_echo_request_to_a_group_is_not_answered() {
    check("echo-to-a-group", Refuse::Drop, &[Ends::v6()], Offer::LINUX, |client| {
        let mut all_nodes = client.ends;
        all_nodes.server.set_ip("ff02::1".parse().unwrap());
        all_nodes.server_mac = lethe::wire::ethernet::MacAddress::new([0x33, 0x33, 0, 0, 0, 1]);
        client.send_frame(&Icmp::echo(&all_nodes, 7, 1, b"1").frame());
        let mut solicited = client.ends;
        solicited.server.set_ip("ff02::1:ff00:2".parse().unwrap());
        client.send_frame(&Icmp::echo(&solicited, 7, 1, b"1").frame());
    });
}

#[test]
fn ip_options_and_extension_headers_are_skipped() {
    check("ip-options", Refuse::Drop, &[Ends::v4()], Offer::LINUX, |client| {
        let syn = Segment::syn(&client.ends).seq(ISN).mss(1460).packet();
        client.send_frame(&syn.options(&[7, 3, 4, 0]).frame());
    });
    check("ipv6-extensions", Refuse::Drop, &[Ends::v6()], Offer::LINUX, |client| {
        let syn = Segment::syn(&client.ends).seq(ISN).mss(1460).packet();
        client.send_frame(&syn.extension(60, &[0, 1, 4, 0, 0, 0, 0]).frame());
    });
}

#[test]
fn unknown_ipv6_options_are_treated_as_their_type_says() {
    check("ipv6-unknown-options", Refuse::Drop, &[Ends::v6()], Offer::LINUX, |client| {
        let syn = Segment::syn(&client.ends).seq(ISN).mss(1460).packet();
        for header in [0, 60] {
            for kind in [0x1e, 0x42, 0x82, 0xc2] {
                client.send_frame(&syn.clone().extension(header, &[0, kind, 4, 0, 0, 0, 0]).frame());
            }
        }
        client.dialogue.remark("a long packet is quoted as far as the answer is no longer");
        let echo = Icmp::echo(&client.ends, 7, 1, &[b'x'; 200]).packet();
        client.send_frame(&echo.extension(60, &[0, 0x82, 4, 0, 0, 0, 0]).frame());
        client.dialogue.remark("of a group a member is heard only where the option says so");
        let mut group = client.ends;
        group.server.set_ip("ff02::1:ff00:2".parse().unwrap());
        group.server_mac = lethe::wire::ethernet::MacAddress::new([0x33, 0x33, 0xff, 0, 0, 2]);
        for kind in [0x82, 0xc2] {
            client
                .send_frame(&Icmp::echo(&group, 7, 1, b"1").packet().extension(60, &[0, kind, 4, 0, 0, 0, 0]).frame());
        }
        client.dialogue.remark("an error is not answered by an error");
        let error = Icmp::new(&client.ends, 1, 4, [0; 60]).packet();
        client.send_frame(&error.extension(60, &[0, 0x82, 4, 0, 0, 0, 0]).frame());
        client.dialogue.remark("and a packet for another address not at all");
        let mut other = client.ends;
        other.server.set_ip("fd09::77".parse().unwrap());
        client.send_frame(&Icmp::echo(&other, 7, 1, b"1").packet().extension(60, &[0, 0x82, 4, 0, 0, 0, 0]).frame());
    });
}

/// Fragments have headers of their own.
#[test]
fn an_unknown_option_is_reported_in_one_packet_that_is_no_longer_whatever_our_mtu() {
    for mtu in [576, 1280, 1500] {
        let engine = engine_changed(|config| config.mtu = Mtu::new(mtu).unwrap());
        for len in (0..usize::from(mtu) - 56).step_by(8) {
            let mut client = Client::new(&engine, Ends::v6(), Offer::LINUX);
            let echo = Icmp::echo(&client.ends, 7, 1, &vec![b'x'; len]).packet();
            let frame = echo.extension(60, &[0, 0x82, 4, 0, 0, 0, 0]).frame();
            let [report] = &client.send_frame(&frame)[..] else { panic!("{mtu}, {len}") };
            assert!(report.len() <= frame.len().max(14 + 40 + 8 + 48), "{mtu}: {} for {}", report.len(), frame.len());
        }
    }
}

#[test]
fn an_unknown_option_in_a_packet_for_many_is_reported_only_where_it_says_so() {
    let report = |kind, ends: &Ends| {
        let engine = engine();
        let mut client = Client::new(&engine, *ends, Offer::LINUX);
        let echo = Icmp::echo(ends, 7, 1, b"1").packet().extension(60, &[0, kind, 4, 0, 0, 0, 0]);
        !client.send_frame(&echo.frame()).is_empty()
    };
    let one = Ends::v6();
    let group_mac = lethe::wire::ethernet::MacAddress::new([0x33, 0x33, 0xff, 0, 0, 2]);
    let mut group = one;
    group.server.set_ip("ff02::1:ff00:2".parse().unwrap());
    // A frame for many is one for a group, whatever the packet in it says, and the other way round.
    for (ends, even_for_one) in [
        (one, true),
        (group, false),
        (Ends { server_mac: group_mac, ..one }, false),
        (Ends { server_mac: group_mac, ..group }, false),
    ] {
        assert_eq!((report(0x82, &ends), report(0xc2, &ends)), (true, even_for_one), "{ends:?}");
    }
}

#[test]
fn what_is_said_of_an_unknown_option_quotes_48_bytes_at_least_and_fits_every_link() {
    let engine = engine();
    let ends = Ends::v6();
    let mut client = Client::new(&engine, ends, Offer::LINUX);
    for (len, told) in [(0, 96), (40, 96), (41, 97), (1223, 1279), (1224, 1280), (1225, 1280), (1400, 1280)] {
        let echo = Icmp::echo(&ends, 7, 1, &vec![b'x'; len]).packet().extension(60, &[0, 0x82, 4, 0, 0, 0, 0]);
        let sent = client.send_frame(&echo.frame());
        assert_eq!(sent[0].len() - 14, told, "{len}");
        assert_eq!(Frame::dissect(&sent[0]).unwrap().problem(), None);
    }
}

#[test]
fn an_atomic_fragment_is_answered_as_the_packet_that_it_is() {
    check("ipv6-atomic-fragment", Refuse::Drop, &[Ends::v6()], Offer::LINUX, |client| {
        let syn = Segment::syn(&client.ends).seq(ISN).mss(1460).packet();
        client.send_frame(&syn.clone().extension(44, &[0, 0, 0, 0, 0, 0, 9]).frame());
        client.dialogue.remark("more to come, or not the first");
        client.send_frame(&syn.clone().extension(44, &[0, 0, 1, 0, 0, 0, 9]).frame());
        client.send_frame(&syn.extension(44, &[0, 0, 8, 0, 0, 0, 9]).frame());
    });
}

#[test]
fn fragments_are_counted_and_not_reassembled() {
    check_linux("fragments-in", |client| {
        let echo = Icmp::echo(&client.ends, 7, 1, &[0; 1600]).packet();
        for frame in echo.fragments(9, 1500) {
            client.send_frame(&frame);
        }
    });
}

#[test]
fn what_is_not_for_us_is_dropped() {
    check_linux("not-for-us", |client| {
        let mut elsewhere = client.ends;
        elsewhere.server_mac = lethe::wire::ethernet::MacAddress::new([2, 0, 0, 0, 0, 9]);
        client.send(&Segment::syn(&elsewhere).seq(ISN));
        let mut broadcast = client.ends;
        broadcast.server_mac = lethe::wire::ethernet::MacAddress::BROADCAST;
        client.send(&Segment::syn(&broadcast).seq(ISN));
        let mut group_source = client.ends;
        group_source.client_mac = lethe::wire::ethernet::MacAddress::new([1, 0, 0, 0, 0, 1]);
        client.send(&Segment::syn(&group_source).seq(ISN));
        let mut ourselves = client.ends;
        ourselves.client.set_ip(client.ends.server.ip());
        client.send(&Segment::syn(&ourselves).seq(ISN));
        client.send_frame(&client.ends.ethernet(0x88cc, &[0; 46]));
        client.send_frame(&Segment::syn(&client.ends).packet().protocol(17).frame());
    });
}

// TCP: the life of a connection.

#[test]
fn a_fetch_is_one_packet_each_way() {
    check_linux("fetch", |client| {
        client.connect();
        let request = "GET /11 HTTP/1.1\r\nHost: 10.9.0.2\r\n\r\n";
        let response = client.request(request);
        let read = payload(&response[0]).len() as u32 + 1;
        let sent = request.len() as u32;
        client.send(&client.at(sent, read));
        client.send(&client.at(sent, read).with(Flags::FIN));
        client.dialogue.remark("the same again, should our ACK be lost");
        client.send(&client.at(sent, read).with(Flags::FIN));
    });
}

#[test]
fn a_client_without_options_gets_none() {
    check_plain("fetch-plain", |client| {
        client.connect();
        let request = "GET /11 HTTP/1.0\n\n";
        let read = payload(&client.request(request)[0]).len() as u32 + 1;
        client.send(&client.at(request.len() as u32, read).with(Flags::FIN));
    });
}

#[test]
fn a_vlan_tag_comes_back() {
    check("fetch-vlan", Refuse::Drop, &both().map(|ends| ends.vlan(0x6064)), Offer::LINUX, |client| {
        client.connect();
        client.request("GET /11 HTTP/1.0\r\n\r\n");
    });
}

#[test]
fn a_syn_is_answered_whatever_else_it_says() {
    check_plain("syn", |client| {
        let syn = Segment::syn(&client.ends).seq(u32::MAX);
        let sent = client.send(&syn.clone().payload(b"early data"));
        let frame = Frame::dissect(&sent[0]).unwrap();
        assert_eq!(frame.tcp().unwrap().1.ack.value(), 0, "data on a SYN is not acknowledged");
        client.send(&syn.clone().with(Flags::new(0xc0)));
        client.send(&syn.clone().mss(0));
        client.send(&syn.clone().mss(9000).window_scale(7).option(&[34, 2]));
        client.send(&syn.sack_permitted());
    });
}

#[test]
fn a_request_sent_again_gets_the_same_bytes() {
    check_linux("request-again", |client| {
        client.connect();
        let echo = client.echo;
        let first = client.request("GET /11 HTTP/1.0\r\n\r\n");
        client.echo = echo;
        client.dialogue.remark("the response was lost");
        let second = client.request("GET /11 HTTP/1.0\r\n\r\n");
        assert_eq!(first, second);
    });
}

#[test]
fn head_gets_the_head_alone() {
    check_linux("head", |client| {
        client.connect();
        let sent = client.request("HEAD /11 HTTP/1.0\r\n\r\n");
        assert!(text(&sent).ends_with("Content-Length: 11\r\nConnection: close\r\n\r\n"));
    });
}

#[test]
fn what_no_application_can_answer_is_refused() {
    check_linux("refusals", |client| {
        for (request, status) in [
            ("POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\na=b", "405 Method Not Allowed"),
            ("GET /\r\n\r\n", "400 Bad Request"),
            ("GET / HTTP/2.0\r\n\r\n", "505 HTTP Version Not Supported"),
            ("\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\u{0}", "400 Bad Request"),
        ] {
            client.connect();
            let sent = client.request(request);
            assert!(text(&sent).starts_with(&format!("HTTP/1.1 {status}\r\n")), "{request}");
        }
    });
}

#[test]
fn a_request_line_longer_than_a_segment_is_414() {
    check_linux("uri-too-long", |client| {
        client.connect();
        let mss = if client.ends.server.is_ipv4() { 1460 } else { 1440 };
        let full = format!("GET /{}", "x".repeat(mss - 12 - 5));
        let almost_full = &full[..full.len() - 1];
        client.dialogue.remark("one byte less might have been the end of a write");
        client.request(almost_full);
        assert!(text(&client.request(full)).starts_with("HTTP/1.1 414 URI Too Long\r\n"));
    });
}

#[test]
fn a_refusal_of_head_has_no_body() {
    check_linux("refusals-of-head", |client| {
        let mss = if client.ends.server.is_ipv4() { 1460 } else { 1440 };
        let long = format!("HEAD /{}", "x".repeat(mss - 12 - 6));
        for (request, status) in [
            (&*long, "414 URI Too Long"),
            ("HEAD /\u{1} HTTP/1.0\r\n\r\n", "400 Bad Request"),
            ("\r\nHEAD / HTTP/3.0\r\n\r\n", "505 HTTP Version Not Supported"),
        ] {
            client.connect();
            let sent = text(&client.request(request));
            assert!(sent.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{sent}");
            assert!(sent.ends_with("\r\n\r\n"), "{sent}");
        }
    });
}

#[test]
fn every_form_of_a_target_is_known_where_it_belongs() {
    check_linux("targets", |client| {
        for (request, status) in [
            ("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", "405 Method Not Allowed"),
            ("CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n", "405 Method Not Allowed"),
            ("GET http://h/10 HTTP/1.1\r\nHost: h\r\n\r\n", "200 OK"),
            ("GET https://h/10 HTTP/1.1\r\nHost: h\r\n\r\n", "200 OK"),
            ("GET * HTTP/1.1\r\nHost: h\r\n\r\n", "400 Bad Request"),
        ] {
            client.connect();
            let sent = payload(&client.request(request)[0]);
            assert!(sent.starts_with(format!("HTTP/1.1 {status}\r\n").as_bytes()), "{request}");
        }
    });
}

#[test]
fn a_request_line_in_two_segments_is_answered_when_it_comes_as_one() {
    check_linux("request-in-two", |client| {
        client.connect();
        client.request("GET /1");
        let rest = client.at(6, 0).payload("1 HTTP/1.1\r\n\r\n");
        client.send(&rest);
        client.dialogue.remark("Linux joins small segments when it sends them again");
        client.request("GET /11 HTTP/1.0\r\n\r\n");
    });
}

#[test]
fn a_complete_request_line_is_answered_before_its_headers_are() {
    check_linux("long-request", |client| {
        client.connect();
        let request = format!("GET /11 HTTP/1.1\r\nCookie: {}", "x".repeat(1000));
        let read = payload(&client.request(&request)[0]).len() as u32 + 1;
        let sent = request.len() as u32;
        client.dialogue.remark("the rest of it, now that the response has come");
        client.send(&client.at(sent, read).payload("x".repeat(500)));
        client.send(&client.at(sent + 500, read).payload("\r\n"));
        client.send(&client.at(sent + 502, read).payload("\r\n").with(Flags::FIN));
    });
}

#[test]
fn the_rest_of_a_request_is_silence_until_the_response_has_come() {
    check_linux("rest-of-request", |client| {
        client.connect();
        client.send(&client.at(1448, 0).payload("x".repeat(500)));
        client.send(&client.at(1448, 0).payload("GET / HTTP/1.0\r\n\r\n"));
    });
    check_plain("rest-of-request-plain", |client| {
        client.connect();
        client.send(&client.at(1448, 0).payload("x".repeat(500)));
        client.dialogue.remark("with the client's FIN: it will say no more, so this may be acknowledged");
        client.send(&client.at(1448, 0).payload("x".repeat(500)).with(Flags::FIN));
    });
}

#[test]
fn under_five_bytes_are_no_request() {
    check_linux("short-payload", |client| {
        client.connect();
        client.request("GET ");
        client.dialogue.remark("and no more will come");
        let short = client.at(0, 0).payload("GET ").with(Flags::FIN);
        client.send(&short);
    });
}

#[test]
fn five_bytes_may_be_the_start_of_a_request() {
    let engine = engine();
    for (text, verdict) in [("GET ", DropReason::TcpShortPayload), ("GET /", DropReason::HttpIncomplete)] {
        let mut client = Client::connected(&engine, Ends::v4(), Offer::LINUX);
        assert!(client.request(text).is_empty());
        assert_eq!(client.verdict(), Verdict::Dropped(verdict), "{text:?}");
    }
}

#[test]
fn only_the_segment_behind_the_syn_is_the_start_of_a_request() {
    // Eleven bits of the cookie say so, and 25 of the timestamp.
    let engine = engine();
    let mut client = Client::connected(&engine, Ends::v4(), Offer::LINUX);
    let echo = client.echo;
    for sent in 1..10_000 {
        client.echo = echo;
        client.send(&client.at(sent, 0).payload("GET /11 HTTP/1.0\r\n\r\n"));
        assert_eq!(client.verdict(), Verdict::Dropped(DropReason::TcpCookie), "{sent}");
    }
    client.echo = echo;
    assert_eq!(client.request("GET /11 HTTP/1.0\r\n\r\n").len(), 1);
}

#[test]
fn a_fin_on_the_request_is_acknowledged_with_the_response() {
    check_linux("fin-on-request", |client| {
        client.connect();
        let request = client.at(0, 0).payload("GET /11 HTTP/1.0\r\n\r\n").with(Flags::FIN);
        client.send(&request);
    });
}

#[test]
fn a_fin_without_any_request_closes_both_ways() {
    check_linux("idle-close", |client| {
        client.connect();
        client.send(&client.at(0, 0).with(Flags::FIN));
    });
    check_plain("idle-close-plain", |client| {
        client.connect();
        client.send(&client.at(0, 0).with(Flags::FIN));
    });
}

#[test]
fn a_fin_before_the_response_is_not_acknowledged_alone() {
    check_linux("half-close", |client| {
        client.connect();
        let request = "GET /11 HTTP/1.0\r\n\r\n";
        let sent = request.len() as u32;
        client.dialogue.remark("the request was lost; an ACK of this FIN would acknowledge it");
        client.send(&client.at(sent, 0).with(Flags::FIN));
        let read = payload(&client.request(request)[0]).len() as u32 + 1;
        client.send(&client.at(sent, read).with(Flags::FIN));
    });
}

#[test]
fn a_cookie_is_good_for_two_epochs() {
    check_linux("epochs", |client| {
        client.connect();
        let echo = client.echo;
        for _ in 0..3 {
            client.request("GET /11 HTTP/1.0\r\n\r\n");
            client.dialogue.remark("the response was lost");
            client.echo = echo;
            client.wait(60);
        }
    });
}

// Large responses.

#[test]
fn a_large_response_can_be_one_segment_in_fragments() {
    check_fragments("large", Offer::LINUX, |client| {
        client.connect();
        client.request("GET /5000 HTTP/1.0\r\n\r\n");
    });
}

#[test]
fn fragments_are_no_larger_than_the_mss_allows() {
    let small = Offer { mss: Some(536), ..Offer::PLAIN };
    check_fragments("large-small-mss", small, |client| {
        client.connect();
        client.request("GET /2000 HTTP/1.0\r\n\r\n");
    });
}

#[test]
fn a_response_fits_one_segment_to_the_byte() {
    check_linux("to-the-byte", |client| {
        let mss = if client.ends.server.is_ipv4() { 1460 } else { 1440 };
        client.connect();
        let head = payload(&client.request("HEAD /1300 HTTP/1.0\r\n\r\n")[0]).len();
        let body = mss - 12 - head;
        client.connect();
        assert_eq!(client.request(format!("GET /{body} HTTP/1.0\r\n\r\n")).len(), 1);
        client.connect();
        assert_eq!(client.request(format!("GET /{} HTTP/1.0\r\n\r\n", body + 1)).len(), 2);
    });
}

#[test]
fn a_response_that_just_fits_a_packet_is_left_to_the_card_as_shorter_ones_are() {
    let engine = engine_changed(|config| config.offload.tcp = true);
    for ends in both() {
        let client = Client::connected(&engine, ends, Offer::LINUX);
        let mss = if ends.server.is_ipv4() { 1460 } else { 1440 };
        let head = payload(
            &Client::connected(&support::engine(), ends, Offer::LINUX).request("HEAD /1300 HTTP/1.0\r\n\r\n")[0],
        );
        for left in [1, 0] {
            let body = mss - 12 - head.len() - left;
            let request = client.at(0, 0).payload(format!("GET /{body} HTTP/1.0\r\n\r\n")).frame();
            let (mut scratch, mut buffer) = ([0; 4096], [0; 2048]);
            let mut reply = engine.handle(client.dialogue.now(), RxFrame::unchecked(&request), &mut scratch);
            let frame = reply.next_frame(&mut buffer).unwrap();
            let ip = if ends.server.is_ipv4() { 20 } else { 40 };
            assert_eq!(frame.len, 14 + ip + 20 + mss - left);
            assert!(matches!(frame.checksum, TxChecksum::Partial { transport: true, .. }), "{left}");
        }
    }
}

#[test]
fn a_sum_that_a_response_came_with_is_the_one_it_is_sent_with() {
    struct Summed(Option<u16>);
    impl App for Summed {
        fn respond<'a>(&'a self, _: &Request<'_>, _: &'a mut [u8]) -> Response<'a> {
            let response = Response::prepared(b"HTTP/1.1 200 OK\r\n\r\n", b"hello!");
            self.0.map_or(response, |sum| response.with_sum(sum))
        }
    }
    let right = !internet_checksum([&b"HTTP/1.1 200 OK\r\n\r\nhello!"[..]]);
    for (sum, is_right) in [(None, true), (Some(right), true), (Some(right ^ 1), false)] {
        let engine = Engine::new(support::config(Refuse::Drop), Summed(sum));
        for ends in both() {
            let mut client = Client::new(&engine, ends, Offer::PLAIN);
            let syn_ack = client.dialogue.send(&Segment::syn(&ends).seq(ISN).frame());
            client.cookie = Frame::dissect(&syn_ack[0]).unwrap().tcp().unwrap().1.seq.value();
            let sent = client.dialogue.send(&client.at(0, 0).payload("GET / HTTP/1.0\r\n\r\n").frame());
            assert_eq!(Frame::dissect(&sent[0]).unwrap().problem().is_none(), is_right, "{sum:?}");
        }
    }
}

#[test]
fn packets_that_a_router_may_cut_have_identifications_of_their_own() {
    let engine = engine();
    let of = |frame: &Vec<u8>| u16::from_be_bytes([frame[18], frame[19]]);
    let mut all = Vec::new();
    for port in 1..=200 {
        let mut client = Client::connected(&engine, Ends::v4().client_port(port), Offer::LINUX);
        let echo = client.echo;
        let sent = client.request("GET /11 HTTP/1.0\r\n\r\n");
        client.echo = echo;
        assert_eq!(client.request("GET /11 HTTP/1.0\r\n\r\n"), sent, "another copy has the same");
        // Both halves of what the cookie and the client's sequence number make together.
        let both = client.first_byte() ^ (ISN + 1).rotate_left(16);
        assert_eq!(of(&sent[0]), (both >> 16 ^ both) as u16);
        all.extend(sent.iter().map(of));
    }
    // As hard to guess as the cookie: each bit is set in about every other.
    for bit in 0..16 {
        let set = all.iter().filter(|&id| id >> bit & 1 == 1).count();
        assert!((70..=130).contains(&set), "bit {bit}: {set} of 200");
    }
    let mut client = Client::connected(&engine, Ends::v4(), Offer::LINUX);
    let window: BTreeSet<u16> = client.request("GET /70000 HTTP/1.0\r\n\r\n").iter().map(of).collect();
    assert_eq!(window.len(), 10);
}

#[test]
fn a_response_larger_than_the_window_waits_for_room() {
    check_linux("window", |client| {
        client.connect();
        let request = client.at(0, 0).payload("GET /1000 HTTP/1.0\r\n\r\n");
        client.send(&request.clone().window(1000));
        client.dialogue.remark("the FIN takes a byte of it as well");
        client.send(&request.clone().window(1100));
        client.send(&request.window(1101));
    });
}

#[test]
fn the_longest_response_in_fragments_fits_an_ipv6_packet_with_timestamps() {
    let engine = engine_changed(|config| config.large_replies = LargeReplies::Fragments);
    for ends in both() {
        let mut client = Client::connected(&engine, ends, Offer::LINUX);
        let head = payload(&client.request("HEAD /65000 HTTP/1.0\r\n\r\n")[0]).len();
        let most = 65_535 - 40 - 20 - 12 - head;
        for (body, kind) in [(most, ReplyKind::Response), (most + 1, ReplyKind::Refusal)] {
            client.connect();
            client.send(&client.at(0, 0).payload(format!("GET /{body} HTTP/1.0\r\n\r\n")).window(u16::MAX));
            assert_eq!(client.verdict(), Verdict::Replied(kind), "{body}");
        }
    }
}

#[test]
fn a_response_that_fits_no_packet_is_500_in_fragments() {
    check_fragments("too-large", Offer::LINUX, |client| {
        client.connect();
        let sent = client.request("GET /66000 HTTP/1.0\r\n\r\n");
        assert!(text(&sent).starts_with("HTTP/1.1 500 "));
    });
}

// What is refused.

#[test]
fn nothing_is_refused_aloud_by_default() {
    check_linux("refuse-drop", |client| {
        client.send(&Segment::syn(&client.ends.server_port(81)).seq(ISN));
        client.send(&Segment::ack(&client.ends).seq(1).ack_number(2).payload("GET / HTTP/1.0\r\n\r\n"));
        client.connect();
        client.send(&client.at(5, 5).timestamps(5, 6).with(Flags::FIN));
    });
}

#[test]
fn refusal_is_a_reset_and_never_larger_than_its_cause() {
    check("refuse-reset", Refuse::Reset, &both(), Offer::LINUX, |client| {
        let closed = client.ends.server_port(81);
        client.send(&Segment::syn(&closed).seq(ISN));
        client.send(&Segment::syn(&closed).seq(ISN).payload("x"));
        client.send(&Segment::ack(&closed).seq(1).ack_number(2));
        client.dialogue.remark("a RST never answers a RST");
        client.send(&Segment::rst(&closed).seq(1));
        client.send(&Segment::rst(&closed).seq(1).with(Flags::ACK).ack_number(2));
        client.dialogue.remark("a request from before our time");
        client.send(&Segment::ack(&client.ends).seq(1).ack_number(2).payload("GET / HTTP/1.0\r\n\r\n"));
        client.dialogue.remark("may be a later part of a long request: a RST would kill the response");
        client.send(&Segment::ack(&client.ends).seq(1).ack_number(2).payload("x".repeat(100)));
        client.dialogue.remark("a FIN that echoes a timestamp which is none of ours");
        client.send(&Segment::fin(&client.ends).seq(1).ack_number(2).timestamps(5, 6));
    });
}

#[test]
fn segments_that_no_client_sends_are_dropped() {
    check_linux("flags", |client| {
        let ends = client.ends;
        for flags in [
            Flags::default(),
            Flags::SYN.with(Flags::ACK),
            Flags::SYN.with(Flags::FIN),
            Flags::SYN.with(Flags::RST),
            Flags::FIN,
            Flags::FIN.with(Flags::RST),
            Flags::PSH,
            Flags::new(0x29),
        ] {
            client.send(&Segment::new(&ends, flags).seq(ISN).payload("GET / HTTP/1.0\r\n\r\n"));
        }
    });
}

#[test]
fn an_engine_answers_for_all_its_addresses_and_no_other() {
    let engine = engine();
    for (address, answered) in [("10.9.0.2", true), ("10.9.0.3", false), ("fd09::2", true), ("fd09::3", false)] {
        let mut ends = if address.contains(':') { Ends::v6() } else { Ends::v4() };
        ends.server.set_ip(address.parse().unwrap());
        let mut client = Client::new(&engine, ends, Offer::LINUX);
        let sent = client.send(&Segment::syn(&ends).seq(ISN));
        assert_eq!(!sent.is_empty(), answered, "{address}");
    }
}
