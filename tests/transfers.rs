//! Responses in many segments: one rule a test. That all of them together bring every byte to every client is for
//! the simulator to show.

mod support;

use lethe::Engine;
use lethe::config::LargeReplies;
use lethe::verdict::{Absorbed, DropReason, ReplyKind, Verdict};
use lethe::wire::tcp::Flags;
use lethe_sim::dissect::{Frame, Transport};
use lethe_sim::frame::{Ends, Icmp, IcmpError, Segment};
use lethe_sim::sample::Sample;
use support::{Client, ISN, Offer, TIME, both, engine, engine_changed};

const REQUEST: &str = "GET /70000 HTTP/1.1\r\nHost: lethe.example\r\n\r\n";
const LEN: u32 = REQUEST.len() as u32;

/// A segment that was sent: offset from the start of the response, payload, and the rest of what matters.
#[derive(Clone, Debug)]
struct Sent {
    offset: u32,
    payload: Vec<u8>,
    flags: Flags,
    /// How many bytes of the request it acknowledges.
    acknowledged: u32,
    window: u16,
    stamp: u32,
}

fn sent(client: &Client<'_>, frames: &[Vec<u8>]) -> Vec<Sent> {
    let parse = |bytes: &Vec<u8>| {
        let frame = Frame::dissect(bytes).unwrap();
        assert_eq!(frame.problem(), None);
        let (_, tcp) = frame.tcp()?;
        Some(Sent {
            offset: tcp.seq.value().wrapping_sub(client.cookie.wrapping_add(1)),
            payload: tcp.payload.to_vec(),
            flags: tcp.flags,
            acknowledged: tcp.ack.value().wrapping_sub(ISN + 1),
            window: tcp.window,
            stamp: tcp.timestamps.map_or(0, |(value, _)| value),
        })
    };
    frames.iter().filter_map(parse).collect()
}

fn offsets(sent: &[Sent]) -> Vec<u32> {
    sent.iter().map(|segment| segment.offset).collect()
}

/// A client that has asked, and its first window.
fn asked(engine: &Engine<Sample>, ends: Ends, offer: Offer) -> (Client<'_>, Vec<Sent>) {
    let mut client = Client::connected(engine, ends, offer);
    let frames = client.request(REQUEST);
    let first = sent(&client, &frames);
    (client, first)
}

/// An ACK of everything before `now`, from a client whose last ACK was where `echoed` began.
fn ack(client: &Client<'_>, echoed: &Sent, now: u32) -> Segment {
    let read = client.cookie.wrapping_add(1).wrapping_add(now);
    Segment::ack(&client.ends).seq(ISN + 1 + LEN).ack_number(read).timestamps(TIME + 1, echoed.stamp)
}

fn send(segment: &Segment, client: &mut Client<'_>) -> Vec<Sent> {
    let frames = client.send(segment);
    sent(client, &frames)
}

/// Bytes of a full segment to a client with timestamps.
fn full(ends: &Ends) -> u32 {
    if ends.server.is_ipv4() { 1448 } else { 1428 }
}

#[test]
fn a_first_window_is_ten_segments_and_acknowledges_nothing() {
    let engine = engine();
    for ends in both() {
        let (client, first) = asked(&engine, ends, Offer::LINUX);
        assert_eq!(client.verdict(), Verdict::Replied(ReplyKind::FirstWindow));
        let s = full(&ends);
        assert_eq!(offsets(&first), (0..10).map(|at| at * s).collect::<Vec<_>>());
        for segment in &first {
            assert_eq!((segment.payload.len() as u32, segment.acknowledged), (s, 0));
            assert!(!segment.flags.has(Flags::FIN) && u32::from(segment.window) > LEN);
        }
    }
}

#[test]
fn timestamps_grow_along_a_response() {
    let engine = engine();
    let (_, first) = asked(&engine, Ends::v4(), Offer::LINUX);
    assert_eq!(first.len(), 10);
    assert!(first.array_windows().all(|[one, next]| next.stamp.wrapping_sub(one.stamp).cast_signed() > 0));
}

#[test]
fn an_ack_draws_the_segments_that_the_window_moved_over() {
    let engine = engine();
    for ends in both() {
        let (mut client, first) = asked(&engine, ends, Offer::LINUX);
        let s = full(&ends);
        // Slow start: two for each that has been acknowledged.
        let next = send(&ack(&client, &first[0], 2 * s), &mut client);
        assert_eq!(offsets(&next), [10, 11, 12, 13].map(|at| at * s));
        let next = send(&ack(&client, &first[2], 3 * s), &mut client);
        assert_eq!(offsets(&next), [14, 15].map(|at| at * s));
        assert_eq!(client.verdict(), Verdict::Replied(ReplyKind::NextWindow));
    }
}

#[test]
fn the_last_byte_of_the_request_stays_unacknowledged_until_the_end() {
    let engine = engine();
    let (mut client, first) = asked(&engine, Ends::v4(), Offer::LINUX);
    let next = send(&ack(&client, &first[0], 2 * 1448), &mut client);
    assert_eq!(next.len(), 4);
    assert!(next.iter().all(|segment| segment.acknowledged == LEN - 1 && u32::from(segment.window) > LEN));
    // What the timer sends, with what the client has.
    let again = ack(&client, &first[8], 10 * 1448).seq(ISN + LEN).payload("x").with(Flags::PSH);
    let resumed = send(&again, &mut client);
    assert_eq!(client.verdict(), Verdict::Replied(ReplyKind::Resumed));
    assert_eq!((resumed[0].offset, resumed[0].acknowledged), (10 * 1448, LEN - 1));
}

#[test]
fn a_hole_is_filled_once_when_three_segments_behind_it_have_arrived() {
    let engine = engine();
    let (mut client, first) = asked(&engine, Ends::v4(), Offer::LINUX);
    let (s, start) = (1448, client.cookie.wrapping_add(1));
    let mut verdicts = Vec::new();
    for received in 1..=4 {
        let block = (start.wrapping_add(3 * s), start.wrapping_add((3 + received) * s));
        let resent = send(&ack(&client, &first[0], 2 * s).sack(&[block]), &mut client);
        verdicts.push(offsets(&resent));
    }
    assert_eq!(verdicts, [vec![], vec![], vec![2 * s], vec![]]);
}

#[test]
fn nothing_answers_an_ack_that_tells_of_a_duplicate() {
    let engine = engine();
    let (mut client, first) = asked(&engine, Ends::v4(), Offer::LINUX);
    let start = client.cookie.wrapping_add(1);
    let duplicate = ack(&client, &first[0], 2 * 1448).sack(&[(start, start.wrapping_add(1448))]);
    assert!(send(&duplicate, &mut client).is_empty());
    assert_eq!(client.verdict(), Verdict::Absorbed(Absorbed::Progress));
}

#[test]
fn after_a_loss_half_as_much_is_under_way() {
    let engine = engine();
    let (mut client, first) = asked(&engine, Ends::v4(), Offer::LINUX);
    let (s, start) = (1448, client.cookie.wrapping_add(1));
    let block = (start.wrapping_add(3 * s), start.wrapping_add(6 * s));
    let resent = send(&ack(&client, &first[0], 2 * s).sack(&[block]), &mut client);
    // Twelve were under way; all have arrived.
    let next = send(&ack(&client, &resent[0], 14 * s), &mut client);
    assert_eq!(offsets(&next), [14, 15, 16, 17].map(|at| at * s));
}

#[test]
fn the_last_segment_has_the_fin_and_then_everything_is_acknowledged() {
    let engine = engine();
    for (ends, path, len) in [(Ends::v4(), "/5000", 5100), (Ends::v6(), "/5000", 5100)] {
        let mut client = Client::connected(&engine, ends, Offer::LINUX);
        let request = format!("GET {path} HTTP/1.1\r\n\r\n");
        let frames = client.request(&request);
        let all = sent(&client, &frames);
        let last = all.last().unwrap();
        assert!(last.flags.has(Flags::FIN) && all.iter().rev().skip(1).all(|segment| !segment.flags.has(Flags::FIN)));
        let whole: Vec<u8> = all.iter().flat_map(|segment| segment.payload.clone()).collect();
        assert!(whole.ends_with(&lethe_sim::sample::expected(5000)));
        assert_eq!(whole.len(), len);
        let done = client.at(request.len() as u32, len as u32 + 1).timestamps(TIME, last.stamp);
        client.send(&done.clone());
        assert_eq!(client.verdict(), Verdict::Replied(ReplyKind::Settled));
        client.send(&done.with(Flags::FIN));
        assert_eq!(client.verdict(), Verdict::Replied(ReplyKind::FinAck));
    }
}

#[test]
fn a_fin_before_the_end_is_not_acknowledged_and_resumes() {
    let engine = engine();
    let (mut client, first) = asked(&engine, Ends::v4(), Offer::LINUX);
    let fin = ack(&client, &first[8], 10 * 1448).with(Flags::FIN);
    let resumed = send(&fin, &mut client);
    assert_eq!(client.verdict(), Verdict::Replied(ReplyKind::Resumed));
    assert!(resumed[0].offset == 10 * 1448 && resumed[0].acknowledged <= LEN);
}

#[test]
fn an_ack_that_no_client_of_ours_can_send_draws_nothing() {
    let engine = engine();
    let (mut client, first) = asked(&engine, Ends::v4(), Offer::LINUX);
    let s = 1448;
    for (segment, what) in [
        (ack(&client, &first[0], 2 * s + 4), "between two segments"),
        (ack(&client, &first[2], 2 * s - s), "before what it echoes"),
        (ack(&client, &first[0], 2 * s).ack_number(client.cookie.wrapping_add(0x0800_0000 + 2 * s)), "another cookie"),
        (ack(&client, &Sent { stamp: first[0].stamp.wrapping_add(64), ..first[0].clone() }, 2 * s), "no such place"),
    ] {
        assert!(send(&segment, &mut client).is_empty(), "{what}");
    }
}

#[test]
fn a_closed_window_draws_nothing_and_goes_on_when_it_opens() {
    let engine = engine();
    let mut client = Client::connected(&engine, Ends::v4(), Offer::LINUX);
    let s = 1448_u32;
    // Room for four segments and a bit.
    let request = client.at(0, 0).payload(REQUEST).window(4 * 1448 + 100);
    let first = send(&request, &mut client);
    assert_eq!(offsets(&first), [0, 1, 2, 3].map(|at| at * s));
    let full = ack(&client, &first[2], 4 * s);
    assert!(send(&full.clone().window(100), &mut client).is_empty());
    assert_eq!(offsets(&send(&full.window(3 * 1448), &mut client)), [4, 5, 6].map(|at| at * s));
}

#[test]
fn another_engine_with_the_same_secret_goes_on_at_any_time() {
    let (here, there) = (engine(), engine());
    let (client, first) = asked(&here, Ends::v4(), Offer::LINUX);
    let mut moved = Client::new(&there, client.ends, client.offer);
    moved.cookie = client.cookie;
    moved.wait(3600);
    let next = send(&ack(&client, &first[0], 2 * 1448), &mut moved);
    assert_eq!(offsets(&next), [10, 11, 12, 13].map(|at| at * 1448));
}

#[test]
fn a_client_without_sack_has_two_segments_under_way() {
    let engine = engine();
    let (mut client, first) = asked(&engine, Ends::v4(), Offer { sack: false, ..Offer::LINUX });
    let s = 1448;
    assert!(send(&ack(&client, &first[0], 2 * s), &mut client).is_empty());
    let pair = send(&ack(&client, &first[8], 10 * s), &mut client);
    assert_eq!(offsets(&pair), [10 * s, 11 * s]);
    // Half of it: the other half again, and only when that has come the next pair.
    let again = send(&ack(&client, &pair[0], 11 * s), &mut client);
    assert_eq!(offsets(&again), [11 * s]);
    assert!(send(&ack(&client, &pair[1], 12 * s), &mut client).is_empty());
    assert_eq!(offsets(&send(&ack(&client, &again[0], 12 * s), &mut client)), [12 * s, 13 * s]);
}

#[test]
fn a_probe_is_the_clock_of_a_client_without_timestamps() {
    let engine = engine();
    for ends in both() {
        let offer = Offer { mss: Some(1220), timestamps: false, sack: true };
        let (mut client, first) = asked(&engine, ends, offer);
        // The clock goes ahead of the last segment, and a spare behind it.
        let is_probe = |segment: &&Sent| segment.offset > 1 << 30;
        let data: Vec<_> = first.iter().filter(|segment| !is_probe(segment)).cloned().collect();
        let probes: Vec<_> = first.iter().filter(is_probe).cloned().collect();
        assert_eq!(offsets(&data), (0..10).map(|at| at * 1220).collect::<Vec<_>>());
        assert!(probes.len() == 2 && probes.iter().all(|probe| probe.payload.len() as u32 == LEN));
        assert!(is_probe(&&first[9]) && is_probe(&&first[11]));
        let start = client.cookie.wrapping_add(1);
        let told = |client: &Client<'_>, probe: &Sent, now: u32, more: &[(u32, u32)]| {
            let place = start.wrapping_add(probe.offset);
            let blocks = [&[(place, place.wrapping_add(LEN))], more].concat();
            client.at(LEN, now).sack(&blocks)
        };
        let next = send(&told(&client, &probes[0], 10_980, &[]), &mut client);
        let new: Vec<_> = next.iter().filter(|segment| !is_probe(segment)).cloned().collect();
        assert_eq!(offsets(&new)[..9], (10..19).map(|at| at * 1220).collect::<Vec<_>>());
        assert!(next.iter().all(|segment| segment.acknowledged == 0), "the request stays whole");
        // Two are missing: those, and what follows.
        let hole = (start.wrapping_add(3660), start.wrapping_add(10_980));
        let next = send(&told(&client, &probes[0], 1220, &[hole]), &mut client);
        assert_eq!(offsets(&next[..2]), [1220, 2440]);
        // A clock that comes behind the last segment is a second one.
        assert!(send(&told(&client, &probes[0], 12_200, &[]), &mut client).is_empty());
        // The spare only asks, and is answered only where the client still is.
        let check = send(&told(&client, &probes[1], 12_200, &[]), &mut client);
        assert_eq!((check.len(), client.verdict()), (1, Verdict::Replied(ReplyKind::Probe)));
        assert!(send(&told(&client, &check[0], 12_200 + 1220, &[]), &mut client).is_empty());
        assert_eq!(send(&told(&client, &check[0], 12_200, &[]), &mut client)[0].offset, 12_200);
    }
}

#[test]
fn without_timestamps_and_sack_a_request_that_comes_again_resumes() {
    let engine = engine();
    for ends in both() {
        let (mut client, first) = asked(&engine, ends, Offer::PLAIN);
        let s = first[0].payload.len() as u32;
        let resumed = send(&client.at(0, 7 * s).payload(REQUEST), &mut client);
        let data: Vec<_> = resumed.iter().filter(|segment| segment.offset < 1 << 30).cloned().collect();
        assert_eq!(offsets(&data), (7..17).map(|at| at * s).collect::<Vec<_>>());
        assert!(data.iter().all(|segment| segment.acknowledged == 0));
        assert!(send(&client.at(0, 7 * s + 1).payload(REQUEST), &mut client).is_empty(), "between two segments");
        client.wait(600);
        assert!(!send(&client.at(0, 7 * s).payload(REQUEST), &mut client).is_empty(), "a slow client goes on");
    }
}

#[test]
fn a_segment_that_is_too_big_for_a_link_goes_again_in_pieces() {
    let engine = engine();
    for (ends, error, pieces) in [
        (Ends::v4(), IcmpError::TooBig(1400), vec![0, 524, 1048]),
        (Ends::v6(), IcmpError::TooBig(1300), vec![0, 1208]),
    ] {
        let mut client = Client::connected(&engine, ends, Offer::LINUX);
        let frames = client.request(REQUEST);
        let again = client.send_frame(&Icmp::error(&ends, error, &frames[2]).frame());
        assert_eq!(client.verdict(), Verdict::Replied(ReplyKind::Narrowed));
        let again = sent(&client, &again);
        let s = full(&ends);
        assert_eq!(offsets(&again), pieces.iter().map(|piece| 2 * s + piece).collect::<Vec<_>>());
        let whole: Vec<u8> = again.iter().flat_map(|piece| piece.payload.clone()).collect();
        assert_eq!(whole, sent(&client, &frames)[2].payload);
        // From then on all is sent so; and a piece is never cut again.
        let next = send(&ack(&client, &again[0], 4 * s), &mut client);
        assert!(next.iter().all(|piece| (piece.payload.len() as u32) < s) && !next.is_empty());
        let frames = client.send(&ack(&client, &again[0], 4 * s));
        assert!(client.send_frame(&Icmp::error(&ends, error, &frames[0]).frame()).is_empty());
        assert_eq!(client.verdict(), Verdict::Dropped(DropReason::IcmpQuote));
    }
}

#[test]
fn an_error_about_a_packet_that_is_not_ours_is_dropped() {
    let engine = engine();
    for ends in both() {
        let mut client = Client::connected(&engine, ends, Offer::LINUX);
        let frames = client.request(REQUEST);
        let packet = &frames[2][..];
        let tcp = if ends.server.is_ipv4() { 34 } else { 54 };
        let mut other_stamp = packet.to_vec();
        other_stamp[tcp + 27] ^= 0x80;
        let mut other_seq = packet.to_vec();
        other_seq[tcp + 7] ^= 1;
        let mut other_client = packet.to_vec();
        other_client[tcp - 1] ^= 3;
        for quoted in
            [&other_stamp[..], &other_seq, &other_client, &packet[..tcp + 8], &packet[..tcp + 20], &packet[..14]]
        {
            let error = Icmp::error(&ends, IcmpError::TooBig(1280), quoted);
            assert!(client.send_frame(&error.frame()).is_empty());
            assert_eq!(client.verdict(), Verdict::Dropped(DropReason::IcmpQuote));
        }
    }
}

#[test]
fn segments_can_be_all_that_there_is() {
    let engine = engine_changed(|config| config.large_replies = LargeReplies::Segments);
    let (mut client, first) = asked(&engine, Ends::v4(), Offer::LINUX);
    assert_eq!(first.len(), 10);
    assert!(send(&ack(&client, &first[0], 2 * 1448), &mut client).is_empty());
    let again = client.at(0, 10 * 1448).payload(REQUEST).timestamps(TIME, first[9].stamp);
    assert_eq!(offsets(&send(&again, &mut client)), (10..20).map(|at| at * 1448).collect::<Vec<_>>());
}

#[test]
fn what_comes_again_in_the_middle_of_a_response_is_quoted_so_that_the_timer_does_not_back_off() {
    for (reverts, ends) in [(true, Ends::v4()), (true, Ends::v6()), (false, Ends::v4())] {
        let engine = engine_changed(|config| config.revert_backoff = reverts);
        let (mut client, first) = asked(&engine, ends, Offer::LINUX);
        let again = ack(&client, &first[8], 10 * full(&ends)).seq(ISN + LEN).payload("x").with(Flags::PSH);
        let frames = client.send(&again);
        assert_eq!(frames.first() == frames.last(), reverts, "once ahead, and once behind");
        let message = Frame::dissect(&frames[0]).unwrap();
        match &message.ip().unwrap().transport {
            Transport::Icmp(icmp) => {
                assert!(reverts, "nothing is quoted where that is switched off");
                // Its IP header, ports and sequence number (RFC 792); no route there (RFC 6069, section 4).
                let (kind, quoted) = if ends.server.is_ipv4() { (3, 20 + 8) } else { (1, 40 + 8) };
                assert_eq!((icmp.kind, icmp.code), (kind, 0));
                assert_eq!(icmp.body[4..], again.frame()[14..14 + quoted]);
            }
            _ => assert!(!reverts),
        }
        assert_eq!(sent(&client, &frames)[0].offset, 10 * full(&ends));
    }
}

#[test]
fn an_ack_in_the_middle_of_a_response_is_not_quoted() {
    let engine = engine();
    let (mut client, first) = asked(&engine, Ends::v4(), Offer::LINUX);
    for frame in client.send(&ack(&client, &first[0], 2 * 1448)) {
        assert!(Frame::dissect(&frame).unwrap().tcp().is_some());
    }
}

#[test]
fn the_start_of_a_request_alone_is_no_clock() {
    let engine = engine();
    let mut client = Client::connected(&engine, Ends::v4(), Offer { timestamps: false, ..Offer::LINUX });
    // The rest of its header fields is on its way: how much of it there is says nothing of where it began.
    let frames = client.request("GET /70000 HTTP/1.1\r\nHost:");
    let is_probe = |segment: &Sent| segment.offset > 1 << 30;
    assert!(!sent(&client, &frames).iter().any(is_probe));
    let frames = client.request(REQUEST);
    assert!(sent(&client, &frames).iter().any(is_probe));
}

#[test]
fn without_timestamps_only_what_begins_with_a_method_is_a_request() {
    // Eleven bits of the cookie let one later segment in a thousand pass for the first.
    let engine = engine();
    for (request, answered) in [("GE /1 HTTP/1.1\r\n\r\n", false), ("PUT /1 HTTP/1.1\r\n\r\n", true)] {
        let mut client = Client::connected(&engine, Ends::v4(), Offer { timestamps: false, ..Offer::LINUX });
        assert_eq!(!client.request(request).is_empty(), answered, "{request}");
    }
}
