//! The faults of the C program that this one descends from, each with a test that it is not here.

mod support;

use lethe::config::Config;
use lethe::cookie::Secret;
use lethe::engine::Engine;
use lethe::verdict::{Absorbed, DropReason, ReplyKind, Verdict};
use lethe::wire::tcp::Flags;
use lethe_sim::dissect::Frame;
use lethe_sim::frame::{Ends, Icmp, Segment};
use lethe_sim::sample::Sample;
use support::{Client, ISN, Offer, both, config, engine, payload};

const GET: &str = "GET /11 HTTP/1.0\r\n\r\n";

/// The cookie was a sum of the addresses and one random number: one SYN+ACK gave it away for all.
#[test]
fn a_cookie_cannot_be_computed_from_one_observed_syn_ack() {
    let cookie_of = |secret: u8, port: u16, isn: u32| {
        let refuse = lethe::config::Refuse::Drop;
        let config = Config { secret: Secret::new([secret; 16]), ..config(refuse) };
        let engine = Engine::new(config, Sample::new(100));
        let ends = Ends::v4().client_port(port);
        let sent = Client::new(&engine, ends, Offer::PLAIN).send(&Segment::syn(&ends).seq(isn));
        Frame::dissect(&sent[0]).unwrap().tcp().unwrap().1.seq.value()
    };
    // Whatever a watcher sees, what he does not know decides: with another secret, the way from the
    // cookie he saw to the one he wants is another one.
    for (port, isn) in [(40_001, ISN), (40_000, ISN + 1)] {
        let way = |secret| cookie_of(secret, port, isn).wrapping_sub(cookie_of(secret, 40_000, ISN));
        let ways: std::collections::BTreeSet<u32> = (0..32).map(way).collect();
        assert_eq!(ways.len(), 32, "port {port}, isn {isn}");
    }
}

/// Any segment with SYN was answered.
#[test]
fn syn_fin_and_syn_rst_are_not_answered() {
    let engine = engine();
    for ends in both() {
        for flag in [Flags::FIN, Flags::RST, Flags::ACK] {
            let mut client = Client::new(&engine, ends, Offer::LINUX);
            let sent = client.send(&Segment::syn(&ends).seq(ISN).with(flag));
            assert_eq!(sent, Vec::<Vec<u8>>::new(), "{flag:?}");
            assert_eq!(client.verdict(), Verdict::Dropped(DropReason::TcpFlags));
        }
    }
}

/// Any segment with ACK and payload was answered, even a RST.
#[test]
fn rst_with_ack_and_data_is_not_answered() {
    let engine = engine();
    for ends in both() {
        let mut client = Client::connected(&engine, ends, Offer::LINUX);
        let reset = client.at(0, 0).payload(GET).with(Flags::RST);
        assert!(client.send(&reset).is_empty());
        assert_eq!(client.verdict(), Verdict::Absorbed(Absorbed::Reset));
    }
}

/// Any segment with FIN was answered.
#[test]
fn a_fin_is_answered_only_as_part_of_a_plausible_segment() {
    let engine = engine();
    for ends in both() {
        let mut client = Client::connected(&engine, ends, Offer::LINUX);
        let fin = Segment::fin(&ends).seq(ISN + 21).ack_number(client.cookie.wrapping_add(111));
        client.request("GET /10 HTTP/1.0\r\n\r\n");
        let response = client.echo;
        let forged = DropReason::TcpFinForged;
        for (segment, verdict) in [
            // No ACK: no connection can be meant.
            (Segment::new(&ends, Flags::FIN).seq(ISN), Verdict::Dropped(DropReason::TcpFlags)),
            (fin.clone().with(Flags::SYN), Verdict::Dropped(DropReason::TcpFlags)),
            (fin.clone().with(Flags::RST), Verdict::Dropped(DropReason::TcpFlags)),
            // It echoes a timestamp that we never sent.
            (fin.clone().timestamps(5, response.wrapping_sub(1)), Verdict::Dropped(DropReason::TcpFinEarly)),
            (fin.clone().timestamps(5, response.wrapping_add((1 << 20) + 3)), Verdict::Dropped(forged)),
            (fin.clone().bad_checksum(), Verdict::Dropped(DropReason::TcpChecksum)),
            (fin.timestamps(5, response), Verdict::Replied(ReplyKind::FinAck)),
        ] {
            client.send(&segment);
            assert_eq!(client.verdict(), verdict, "{segment:?}");
        }
    }
}

/// The destination of an IPv6 packet was not looked at.
#[test]
fn the_ipv6_destination_is_checked() {
    let engine = engine();
    for address in ["fd09::3", "fd09::", "::2", "ff02::1", "ff02::1:ff00:2", "::ffff:10.9.0.2"] {
        let mut ends = Ends::v6();
        ends.server.set_ip(address.parse().unwrap());
        for frame in [Segment::syn(&ends).seq(ISN).frame(), Icmp::echo(&ends, 1, 1, b"x").frame()] {
            let mut client = Client::new(&engine, ends, Offer::LINUX);
            assert!(client.send_frame(&frame).is_empty(), "{address}");
        }
    }
}

/// The length in the IP header was believed, and memory behind the frame was sent back.
#[test]
fn a_length_beyond_the_frame_reads_no_foreign_memory() {
    let engine = engine();
    for (ends, reason) in [(Ends::v4(), DropReason::Ipv4Malformed), (Ends::v6(), DropReason::Ipv6Malformed)] {
        for beyond in [1, 2, 100, 30_000] {
            let mut client = Client::new(&engine, ends, Offer::LINUX);
            let echo = Icmp::echo(&ends, 1, 1, b"x").packet().length_error(beyond).frame();
            assert!(client.send_frame(&echo).is_empty());
            assert_eq!(client.verdict(), Verdict::Dropped(reason), "{beyond}");
        }
    }
}

/// The ICMP checksum was computed to the end of the frame, padding included.
#[test]
fn padding_is_not_counted_into_an_icmp_checksum() {
    let engine = engine();
    for ends in both() {
        let echo = Icmp::echo(&ends, 1, 1, b"x");
        let mut frame = echo.frame();
        frame.extend([0xff; 17]);
        let mut client = Client::new(&engine, ends, Offer::LINUX);
        let sent = client.send_frame(&frame);
        assert_eq!(Frame::dissect(&sent[0]).unwrap().problem(), None);
        assert_eq!(sent[0].len(), echo.frame().len(), "nor sent back");
    }
}

/// `GET /1.2` and then `.3.4` was answered for 1.2, or twice.
#[test]
fn a_request_split_over_two_segments_is_never_answered_for_its_first_half() {
    let engine = engine();
    let request = "GET /11 HTTP/1.1\r\n";
    for ends in both() {
        for offer in [Offer::LINUX, Offer::PLAIN] {
            for cut in 1..request.len() {
                let (first, second) = request.split_at(cut);
                let mut client = Client::connected(&engine, ends, offer);
                assert!(client.request(first).is_empty(), "{first}");
                let rest = client.at(cut as u32, 0).payload(second);
                assert!(client.send(&rest).is_empty(), "{second}");
                // Linux joins them when it sends them again.
                assert!(payload(&client.request(request)[0]).ends_with(&lethe_sim::sample::expected(11)));
            }
        }
    }
}

/// HEAD and POST were met with silence.
#[test]
fn head_and_post_are_answered() {
    let engine = engine();
    for ends in both() {
        for (request, status) in [
            ("HEAD /11 HTTP/1.0\r\n\r\n", "HTTP/1.1 200 OK\r\n"),
            ("POST /11 HTTP/1.0\r\n\r\n", "HTTP/1.1 405 Method Not Allowed\r\n"),
            ("OPTIONS /11 HTTP/1.0\r\n\r\n", "HTTP/1.1 405 Method Not Allowed\r\n"),
        ] {
            let mut client = Client::connected(&engine, ends, Offer::LINUX);
            let sent = payload(&client.request(request)[0]);
            assert!(sent.starts_with(status.as_bytes()), "{request}");
        }
    }
}

/// The client's TCP options were sent back to it, some of which mean something else from our side.
#[test]
fn the_clients_options_are_not_echoed() {
    let engine = engine();
    for ends in both() {
        let syn = Segment::syn(&ends).seq(ISN).mss(1000).window_scale(7).sack_permitted().option(&[34, 2]);
        let sent = Client::new(&engine, ends, Offer::LINUX).send(&syn);
        let frame = Frame::dissect(&sent[0]).unwrap();
        let (_, tcp) = frame.tcp().unwrap();
        assert_eq!((tcp.window_scale, &tcp.unknown_options[..]), (None, &[][..]));
        assert_ne!(tcp.mss, Some(1000));

        let mut client = Client::connected(&engine, ends, Offer::PLAIN);
        let request = client.at(0, 0).option(&[5, 10, 0, 0, 0, 1, 0, 0, 0, 2]).payload(GET);
        let sent = client.send(&request);
        let frame = Frame::dissect(&sent[0]).unwrap();
        let (_, tcp) = frame.tcp().unwrap();
        assert!(tcp.sack.is_empty() && tcp.timestamps.is_none() && tcp.unknown_options.is_empty());
    }
}

/// There was no MSS option, and so Linux sent 536-byte segments.
#[test]
fn the_mss_option_is_sent() {
    let engine = engine();
    for (ends, mss) in [(Ends::v4(), 1460), (Ends::v6(), 1440)] {
        let sent = Client::new(&engine, ends, Offer::PLAIN).send(&Segment::syn(&ends).seq(ISN));
        assert_eq!(Frame::dissect(&sent[0]).unwrap().tcp().unwrap().1.mss, Some(mss));
    }
}
