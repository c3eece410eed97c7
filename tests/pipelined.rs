//! A request that is sent before the response to the one ahead of it has been read.

mod support;

use lethe::time::Instant;
use lethe::verdict::Verdict;
use lethe_sim::dissect::Frame;
use lethe_sim::frame::{Ends, Segment};
use lethe_sim::workspace::Workspace;

const NOW: Instant = Instant::from_unix_seconds(1_780_000_000);

/// How many connections ask.
const CONNECTIONS: u32 = 4000;

/// A response of several segments that is not stored goes by its request: when that comes again, more is sent. What
/// says that it is that request is 11 bits of the cookie, of any of 60 epochs, by which a request behind it would be
/// taken for it once in 35 times, and the client would read bytes of one response in the midst of another; and so 20
/// more in the timestamp of the response.
#[test]
fn a_request_behind_another_is_not_taken_for_that_request() {
    let engine = support::engine();
    let ends = Ends::v4();
    let mut taken = 0;
    for number in 0..CONNECTIONS {
        let mut workspace = Workspace::default();
        let mut told = |segment: Segment| {
            let (verdict, sent) = workspace.answer(&engine, NOW, &segment.frame());
            let first = sent.iter().find_map(|frame| {
                let frame = Frame::dissect(frame)?;
                let tcp = frame.tcp()?.1;
                Some((tcp.end().value(), tcp.timestamps?.0))
            });
            (verdict, first)
        };
        let isn = number.wrapping_mul(0x9e37_79b1);
        let (_, Some((start, echo))) = told(Segment::syn(&ends).seq(isn).mss(1460).timestamps(5, 0)) else {
            panic!("no SYN+ACK");
        };
        let segment = |seq: u32, ack: u32, echo: u32| Segment::ack(&ends).seq(seq).ack_number(ack).timestamps(5, echo);
        let request = |size: u32| format!("GET /{size} HTTP/1.1\r\nHost: h\r\n\r\n");
        let first = segment(isn.wrapping_add(1), start, echo).payload(request(5001));
        let next = isn.wrapping_add(1 + request(5001).len() as u32);
        let (_, Some((read, echo))) = told(first) else { panic!("no response") };
        let (verdict, _) = told(segment(next, read, echo).payload(request(9001)));
        taken += u32::from(matches!(verdict, Verdict::Replied(_)));
    }
    assert_eq!(taken, 0, "of {CONNECTIONS}");
}

/// A method of three letters need not be `GET`: that of a request may still be under way, or lost.
#[test]
fn a_request_without_its_method_is_answered_only_to_a_client_that_has_a_part_of_its_response() {
    let engine = support::engine_changed(|config| config.keep_alive = true);
    for ends in [Ends::v4(), Ends::v6()] {
        let mut workspace = Workspace::default();
        let syn = Segment::syn(&ends).seq(1000).mss(1440).sack_permitted().timestamps(5, 0);
        let (_, sent) = workspace.answer(&engine, NOW, &syn.frame());
        let frame = Frame::dissect(&sent[0]).unwrap();
        let tcp = frame.tcp().unwrap().1;
        let (start, echo) = (tcp.end().value(), tcp.timestamps.unwrap().0);
        let rest = Segment::ack(&ends).seq(1001 + 4).ack_number(start).timestamps(5, echo);
        let rest = rest.payload("/100 HTTP/1.1\r\nHost: h\r\n\r\n");
        let (verdict, sent) = workspace.answer(&engine, NOW, &rest.frame());
        assert_eq!(sent, Vec::<Vec<u8>>::new(), "{verdict}: it may have been PUT");
    }
}
