//! What the engine makes of a header section: what is not valid is refused, and what is refused is never mixed with a
//! long response that a packet with less of the request has drawn.

mod support;

use lethe::wire::tcp::Flags;
use lethe_sim::dissect::Frame;
use support::{Client, Offer, TIME, both, payload};

/// The bytes of all segments.
fn text(frames: &[Vec<u8>]) -> String {
    String::from_utf8_lossy(&frames.iter().flat_map(|frame| payload(frame)).collect::<Vec<u8>>()).into_owned()
}

#[test]
fn a_header_section_that_is_not_valid_is_refused() {
    let engine = support::engine();
    for ends in both() {
        for (fields, status) in [
            ("", "400 Bad Request"),
            ("Host: a b\r\n", "400 Bad Request"),
            ("Host: h\r\nHost: h\r\n", "400 Bad Request"),
            ("Host: h\r\nAccept : */*\r\n", "400 Bad Request"),
            ("Host: h\r\nA: b\r\n c\r\n", "400 Bad Request"),
            ("Host: h\r\nContent-Length: 1, 1\r\n", "400 Bad Request"),
            ("Host: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n", "400 Bad Request"),
            ("Host: h\r\nTransfer-Encoding: gzip\r\n", "501 Not Implemented"),
            ("Host: h\r\nExpect: a-miracle\r\n", "417 Expectation Failed"),
        ] {
            for method in ["GET", "HEAD"] {
                let mut client = Client::connected(&engine, ends, Offer::LINUX);
                let sent = client.request(format!("{method} /11 HTTP/1.1\r\n{fields}\r\n"));
                let [frame] = &*sent else { panic!("{fields:?} draws one packet, which closes") };
                let dissected = Frame::dissect(frame).unwrap();
                let (_, tcp) = dissected.tcp().unwrap();
                assert!(tcp.flags.has(Flags::FIN), "{fields:?}");
                let text = text(&sent);
                assert!(text.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{fields:?}: {text}");
                assert_eq!(text.ends_with("\r\n\r\n"), method == "HEAD", "{fields:?}: {text}");
            }
        }
    }
}

#[test]
fn a_request_with_a_body_to_come_is_answered_and_no_byte_behind_it_is_a_request() {
    let engine = support::engine();
    for ends in both() {
        for fields in [
            "Content-Length: 30\r\n",
            "Transfer-Encoding: chunked\r\n",
            "Expect: 100-continue\r\nContent-Length: 30\r\n",
            "Upgrade: h2c\r\nConnection: Upgrade\r\n",
        ] {
            let mut client = Client::connected(&engine, ends, Offer::LINUX);
            let head = format!("GET /11 HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
            let sent = client.request(format!("{head}GET /12 HTTP/1.1\r\nHost: h\r\n\r\n"));
            let [frame] = &*sent else { panic!("one response, and not two") };
            let dissected = Frame::dissect(frame).unwrap();
            let (_, tcp) = dissected.tcp().unwrap();
            assert!(tcp.flags.has(Flags::FIN) && tcp.payload.len() < 130, "{fields}: {}", text(&sent));
            client = Client::connected(&engine, ends, Offer::LINUX);
            client.request(&head);
            let read = tcp.payload.len() as u32 + 1;
            let later = client.send(&client.at(head.len() as u32, read).payload("GET /12 HTTP/1.1\r\nHost: h\r\n\r\n"));
            assert!(later.iter().all(|frame| payload(frame).is_empty()), "{fields}");
        }
    }
}

#[test]
fn a_refusal_of_fields_is_shorter_than_a_segment_of_any_client() {
    let engine = support::engine();
    for ends in both() {
        for timestamps in [true, false] {
            for mss in [1, 88, 536, 1460] {
                for fields in ["", "Host: h\r\nTransfer-Encoding: x\r\n", "Host: h\r\nExpect: x\r\n"] {
                    let line = "GET /70000 HTTP/1.1\r\n";
                    let offer = Offer { timestamps, mss: Some(mss), ..Offer::LINUX };
                    let mut client = Client::connected(&engine, ends, offer);
                    // A packet with the line alone may have come first, and has drawn a long response.
                    let echo = client.echo;
                    let long = client.request(line);
                    client.echo = echo;
                    let segment = long.iter().map(|frame| payload(frame).len()).max().unwrap();
                    let refused = client.request(format!("{line}{fields}\r\n"));
                    let [frame] = &*refused else { panic!("one packet") };
                    let dissected = Frame::dissect(frame).unwrap();
                    let (_, tcp) = dissected.tcp().unwrap();
                    assert!(tcp.flags.has(Flags::FIN) && tcp.payload.len() < segment, "{mss} {fields:?}");
                    assert!(!tcp.payload.starts_with(b"HTTP/1.1 200"), "{mss} {fields:?}");
                    let body = !tcp.payload.ends_with(b"\r\n\r\n");
                    assert_eq!(body, mss > 88, "the body is what has to go");
                }
            }
        }
    }
}

#[test]
fn a_long_response_that_has_begun_goes_on_whatever_fields_come_with_the_request() {
    let engine = support::engine();
    for ends in both() {
        for timestamps in [true, false] {
            let mut client = Client::connected(&engine, ends, Offer { timestamps, ..Offer::LINUX });
            let line = "GET /70000 HTTP/1.1\r\n";
            let long = client.request(line);
            let first = payload(&long[0]);
            let start = Frame::dissect(&long[0]).unwrap();
            let (_, start) = start.tcp().unwrap();
            // It has the first segment and lost the others; its timer sends the request again, now with all fields.
            let again = client.at(0, first.len() as u32).payload(format!("{line}Not valid\r\n\r\n"));
            let again = start.timestamps.map_or(again.clone(), |(value, _)| again.timestamps(TIME + 1, value));
            let mut resumed = client.send(&again);
            // Without what ICMP has to say of it.
            resumed.retain(|frame| Frame::dissect(frame).unwrap().tcp().is_some());
            assert!(resumed.iter().any(|frame| payload(frame) == payload(&long[1])), "{timestamps}");
            assert!(!text(&resumed).contains("HTTP/1.1 400"), "{timestamps}");
        }
    }
}
