//! `Date`, where the engine adds it (`Config::date`): in responses of one packet, and without breaking what else holds.

mod support;

use std::time::{Duration, UNIX_EPOCH};

use lethe::engine::Engine;
use lethe_sim::frame::Ends;
use lethe_sim::sample::{Sample, expected};
use proptest::prelude::*;
use support::{Client, Offer, both, engine_changed, payload, sent};

const LINE_LEN: usize = b"Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n".len();

fn engine(keep_alive: bool) -> Engine<Sample> {
    engine_changed(|config| (config.date, config.keep_alive) = (true, keep_alive))
}

/// The frames that answer a request, which is the first of its connection.
fn answer(engine: &Engine<Sample>, ends: Ends, offer: Offer, request: &str) -> (Vec<Vec<u8>>, String) {
    let mut client = Client::connected(engine, ends, offer);
    let frames = client.request(request);
    let now = UNIX_EPOCH + Duration::from_nanos(client.dialogue.now().as_unix_nanos());
    (frames, format!("Date: {}\r\n", httpdate::fmt_http_date(now)))
}

#[test]
fn a_response_of_one_packet_says_when_it_was_made() {
    let requests = [
        ("GET /100 HTTP/1.0\r\n\r\n", "200", 100),
        ("GET /100 HTTP/1.1\r\nHost: h\r\n\r\n", "200", 100),
        ("HEAD /100 HTTP/1.1\r\nHost: h\r\n\r\n", "200", 0),
        // What goes by ACKs has none, and its head alone has one.
        ("HEAD /70000 HTTP/1.1\r\nHost: h\r\n\r\n", "200", 0),
        ("GET /none HTTP/1.1\r\nHost: h\r\n\r\n", "404", 0),
        ("BREW / HTTP/1.1\r\nHost: h\r\n\r\n", "405", 0),
        ("GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: x\r\n\r\n", "501", 0),
    ];
    for (ends, keep_alive) in both().into_iter().zip([false, true]) {
        let engine = engine(keep_alive);
        for (request, status, len) in requests {
            let (frames, date) = answer(&engine, ends, Offer::LINUX, request);
            let [frame] = &frames[..] else { panic!("{request}: {} frames", frames.len()) };
            let response = payload(frame);
            let end = response.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap() + 4;
            let head = str::from_utf8(&response[..end]).unwrap();
            assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {head}");
            assert_eq!(head.matches("Date: ").count(), 1, "{head}");
            assert!(head.contains(&date), "{head}");
            assert!(len == 0 || response[end..] == expected(len), "{request}");
        }
    }
}

#[test]
fn a_response_of_several_packets_has_no_date() {
    for (ends, offer) in both().into_iter().zip([Offer::LINUX, Offer::PLAIN]) {
        for path in ["/50000", "/50001"] {
            let request = format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n");
            let (with, _) = answer(&engine(false), ends, offer, &request);
            let (without, _) = answer(&engine_changed(|config| config.date = false), ends, offer, &request);
            assert!(with.len() > 1 && with == without, "{path}");
        }
    }
}

#[test]
fn requests_of_one_packet_are_answered_with_a_date_each() {
    let engine = engine(true);
    let request = "GET /100 HTTP/1.1\r\nHost: h\r\n\r\n";
    let (alone, _) = answer(&engine, Ends::v4(), Offer::LINUX, request);
    let (together, _) = answer(&engine, Ends::v4(), Offer::LINUX, &request.repeat(3));
    let [together] = &together[..] else { panic!("{} frames", together.len()) };
    assert_eq!(payload(together), payload(&alone[0]).repeat(3));
}

proptest! {
    /// Of a response that is lost and asked for again, a client may read some bytes of one packet and some of another:
    /// as where its window is full. So these differ in nothing but the time.
    #[test]
    fn a_response_that_is_asked_for_again_is_as_long_and_differs_in_its_date_alone(
        size in 0_usize..2000,
        seconds in 0_u64..60,
        v6: bool,
        keep_alive: bool,
        timestamps: bool,
        mss in proptest::option::of(500_u16..1460),
        window in 100_u16..4000,
    ) {
        let engine = engine(keep_alive);
        let [v4_ends, v6_ends] = both();
        let offer = Offer { mss, timestamps, sack: timestamps };
        let mut client = Client::connected(&engine, if v6 { v6_ends } else { v4_ends }, offer);
        let request = client.at(0, 0).payload(format!("GET /{size} HTTP/1.1\r\nHost: h\r\n\r\n"));
        let first = client.dialogue.send(&request.clone().frame());
        client.wait(seconds);
        let second = client.dialogue.send(&request.window(window).frame());
        let stream = |frames: &[Vec<u8>]| {
            let segments = sent(&client, frames).into_iter().filter(|segment| !segment.is_probe());
            segments.fold(Vec::new(), |mut bytes, segment| {
                assert_eq!(segment.offset as usize, bytes.len());
                bytes.extend(segment.payload);
                bytes
            })
        };
        let (first, second) = (stream(&first), stream(&second));
        let date = first.windows(6).position(|bytes| bytes == b"Date: ");
        let date = date.map_or(0..0, |begin| begin..begin + LINE_LEN);
        let both = first.len().min(second.len());
        prop_assert!(date.is_empty() || [first.len(), 0].contains(&second.len()), "{} {}", first.len(), second.len());
        prop_assert!((0..both).all(|at| date.contains(&at) || first[at] == second[at]));
        prop_assert!(date.is_empty() || both == 0 || second[date.clone()].starts_with(b"Date: "));
    }
}
