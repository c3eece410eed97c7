//! Responses in many segments: one rule a test. That all of them together bring every byte to every client is for
//! the simulator to show.

mod support;

use lethe::app::Position;
use lethe::config::{Congestion, LargeReplies, Mtu, Ports};
use lethe::engine::SCRATCH_LEN;
use lethe::port::{Offload, RxFrame};
use lethe::verdict::{Absorbed, DropReason, ReplyKind, Verdict};
use lethe::vnet;
use lethe::wire::ethernet::LINK_HEADER_MAX;
use lethe::wire::tcp::Flags;
use lethe::{App, Engine};
use lethe_sim::dissect::{Frame, Transport};
use lethe_sim::frame::{Ends, Icmp, IcmpError, Segment};
use lethe_sim::sample::Sample;
use support::{Client, ISN, Offer, Sent, Stored, TIME, both, engine, engine_changed, flow_keys, offsets, send, sent};

const REQUEST: &str = "GET /70000 HTTP/1.1\r\nHost: lethe.example\r\n\r\n";
const LEN: u32 = REQUEST.len() as u32;

/// A client that has asked, and its first window.
fn asked<A: App>(engine: &Engine<A>, ends: Ends, offer: Offer) -> (Client<'_, A>, Vec<Sent>) {
    let mut client = Client::connected(engine, ends, offer);
    let frames = client.request(REQUEST);
    let first = sent(&client, &frames);
    (client, first)
}

/// An ACK of everything before `now`, from a client whose last ACK was where `echoed` began.
fn ack<A: App>(client: &Client<'_, A>, echoed: &Sent, now: u32) -> Segment {
    let read = client.first_byte().wrapping_add(now);
    Segment::ack(&client.ends).seq(ISN + 1 + LEN).ack_number(read).timestamps(TIME + 1, echoed.stamp)
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
fn timestamps_grow_along_a_response_two_full_segments_at_a_time() {
    let engine = engine();
    let (_, first) = asked(&engine, Ends::v4(), Offer::LINUX);
    let (pairs, []) = first.as_chunks::<2>() else { panic!("{} segments", first.len()) };
    assert!(pairs.iter().all(|[one, other]| one.stamp == other.stamp));
    assert!(pairs.array_windows().all(|[[one, _], [next, _]]| next.stamp.wrapping_sub(one.stamp).cast_signed() > 0));
}

#[test]
fn what_is_sent_again_has_a_timestamp_for_each_segment() {
    let engine = engine();
    let (mut client, first) = asked(&engine, Ends::v4(), Offer::LINUX);
    let s = 1448;
    let read = client.first_byte();
    let block = (read.wrapping_add(4 * s), read.wrapping_add(10 * s));
    let again = send(&ack(&client, &first[0], 2 * s).sack(&[block]), &mut client);
    assert_eq!(offsets(&again), [2 * s, 3 * s]);
    assert_ne!(again[0].stamp, again[1].stamp);
}

/// What a port that cuts puts on the wire is what another one does, along a whole response.
#[test]
fn a_port_that_cuts_changes_nothing_on_the_wire() {
    let [plain, cutting] =
        [Offload::NONE, vnet::OFFLOAD].map(|offload| engine_changed(|config| config.offload = offload));
    for ends in both().into_iter().flat_map(|ends| [ends, ends.vlan(7)]) {
        let [(mut client, mut first), (mut other, _)] =
            [&plain, &cutting].map(|engine| asked(engine, ends, Offer::LINUX));
        let s = full(&ends);
        let (mut acked, mut pairs) = (0, 0);
        while acked + 10 * s < 70_000 {
            acked += 2 * s;
            let segment = ack(&client, &first[0], acked);
            let frames = client.send(&segment);
            assert_eq!(frames, other.send(&segment));
            let mut reply_buffer = vec![0; 4096];
            let mut scratch = vec![0; SCRATCH_LEN];
            let frame = segment.frame();
            let mut reply = cutting.handle(client.dialogue.now(), RxFrame::unchecked(&frame), &mut scratch);
            let count = std::iter::from_fn(|| reply.next_frame(&mut reply_buffer)).count();
            pairs += frames.len() - count;
            let drawn = sent(&client, &frames);
            first = first.into_iter().skip(2).chain(drawn).collect();
        }
        assert!(pairs > 15, "{pairs} frames were cut");
    }
}

#[test]
fn a_buffer_of_two_mtus_and_a_link_header_takes_every_frame_of_a_port_that_cuts() {
    let engine = engine_changed(|config| {
        config.offload = vnet::OFFLOAD;
        config.mtu = Mtu::new(9000).unwrap();
    });
    for ends in both().map(|ends| ends.vlan(7)) {
        let client = Client::connected(&engine, ends, Offer { mss: Some(8960), ..Offer::LINUX });
        let (mut scratch, mut buffer) = (vec![0; SCRATCH_LEN], vec![0; 2 * 9000 + LINK_HEADER_MAX]);
        let frame = client.at(0, 0).payload(REQUEST).frame();
        let mut reply = engine.handle(client.dialogue.now(), RxFrame::unchecked(&frame), &mut scratch);
        let lens: Vec<usize> = std::iter::from_fn(|| reply.next_frame(&mut buffer)).map(|frame| frame.len).collect();
        assert!(lens.len() == 2 && lens.iter().all(|&len| len > 17_000), "{lens:?}");
    }
}

#[test]
fn the_second_of_a_pair_that_is_too_big_for_a_link_goes_again_in_pieces() {
    let engine = engine();
    for (ends, error) in [(Ends::v4(), IcmpError::TooBig(1400)), (Ends::v6(), IcmpError::TooBig(1300))] {
        let mut client = Client::connected(&engine, ends, Offer::LINUX);
        let frames = client.request(REQUEST);
        let again = client.send_frame(&Icmp::error(&ends, error, &frames[3]).frame());
        assert_eq!(client.verdict(), Verdict::Replied(ReplyKind::Narrowed));
        assert_eq!(offsets(&sent(&client, &again))[0], 3 * full(&ends));
    }
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
        assert_eq!(client.verdict(), Verdict::Replied(ReplyKind::NextWindow));
        // Two by two: one that is acknowledged alone draws what both draw, or nothing.
        for (acked, drawn) in [(3, &[][..]), (4, &[14, 15, 16, 17])] {
            let next = send(&ack(&client, &first[acked as usize - 1], acked * s), &mut client);
            assert_eq!(offsets(&next), drawn.iter().map(|at| at * s).collect::<Vec<_>>());
        }
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
    let again = ack(&client, &first[6], 8 * 1448).seq(ISN + LEN).payload("x").with(Flags::PSH);
    let resumed = send(&again, &mut client);
    assert_eq!(client.verdict(), Verdict::Replied(ReplyKind::Resumed));
    assert_eq!((resumed[0].offset, resumed[0].acknowledged), (8 * 1448, LEN - 1));
}

#[test]
fn a_hole_is_filled_once_when_three_segments_behind_it_have_arrived() {
    let engine = engine();
    let (mut client, first) = asked(&engine, Ends::v4(), Offer::LINUX);
    let (s, start) = (1448, client.first_byte());
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
    let start = client.first_byte();
    let duplicate = ack(&client, &first[0], 2 * 1448).sack(&[(start, start.wrapping_add(1448))]);
    assert!(send(&duplicate, &mut client).is_empty());
    assert_eq!(client.verdict(), Verdict::Absorbed(Absorbed::Progress));
}

#[test]
fn after_a_loss_a_third_less_is_in_flight_and_eight_segments_at_least() {
    let engine = engine();
    let (mut client, first) = asked(&engine, Ends::v4(), Offer::LINUX);
    let (s, start) = (1448, client.first_byte());
    let block = (start.wrapping_add(3 * s), start.wrapping_add(6 * s));
    let resent = send(&ack(&client, &first[0], 2 * s).sack(&[block]), &mut client);
    // Twelve were under way; all have arrived.
    let next = send(&ack(&client, &resent[0], 14 * s), &mut client);
    assert_eq!(offsets(&next), (14..22).map(|at| at * s).collect::<Vec<_>>());
}

#[test]
fn the_last_segment_has_the_fin_and_then_everything_is_acknowledged() {
    let engine = engine();
    for (ends, path, len) in [(Ends::v4(), "/5000", 5100), (Ends::v6(), "/5000", 5100)] {
        let mut client = Client::connected(&engine, ends, Offer::LINUX);
        let request = format!("GET {path} HTTP/1.0\r\n\r\n");
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
    let fin = ack(&client, &first[6], 8 * 1448).with(Flags::FIN);
    let resumed = send(&fin, &mut client);
    assert_eq!(client.verdict(), Verdict::Replied(ReplyKind::Resumed));
    assert!(resumed[0].offset == 8 * 1448 && resumed[0].acknowledged <= LEN);
}

#[test]
fn an_ack_that_no_client_of_ours_can_send_draws_nothing() {
    let engine = engine();
    let (mut client, first) = asked(&engine, Ends::v4(), Offer::LINUX);
    let s = 1448;
    for (segment, what) in [
        (ack(&client, &first[0], 2 * s + 4), "between two segments"),
        (ack(&client, &first[0], 2 * s + 524), "between two pieces of a segment that was not cut"),
        (ack(&client, &first[2], 2 * s - s), "before what it echoes"),
        (ack(&client, &first[0], 2 * s).ack_number(client.cookie.wrapping_add(0x0800_0000 + 2 * s)), "another cookie"),
        (ack(&client, &Sent { stamp: first[0].stamp.wrapping_add(WAYS), ..first[0].clone() }, 2 * s), "no such place"),
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
    // A byte that has been acknowledged goes ahead of the two that fill it again.
    assert_eq!(offsets(&send(&full.window(3 * 1448), &mut client)), [4 * s, 4 * s - 2, 5 * s, 6 * s]);
}

#[test]
fn another_engine_with_the_same_secret_goes_on_at_any_time() {
    let (here, there) = (engine(), engine());
    let (client, first) = asked(&here, Ends::v4(), Offer::LINUX);
    let mut moved = client.moved(&there);
    moved.wait(3600);
    let next = send(&ack(&client, &first[0], 2 * 1448), &mut moved);
    assert_eq!(offsets(&next), [10, 11, 12, 13].map(|at| at * 1448));
}

const WITHOUT_SACK: Offer = Offer { sack: false, ..Offer::LINUX };

/// The offsets of the segments of a group, in full segments, and whether something ahead of them leaves the group
/// before. What leaves this one follows.
fn group(client: &Client<'_, impl App>, sent: &[Sent]) -> (Vec<u32>, bool) {
    let (behind, sent) = sent.split_last().unwrap();
    let (leaves, segments): (Vec<&Sent>, Vec<&Sent>) =
        sent.iter().partition(|segment| role(client, segment) == Role::Leaves);
    let begin = segments[0].offset / (10 * 1448) * (10 * 1448);
    assert!(
        segments.iter().all(|segment| { role(client, segment) == Role::Grouped && segment.stamp == segments[0].stamp })
    );
    assert_eq!((role(client, behind), behind.offset, behind.payload.len()), (Role::Leaves, begin + 10 * 1448 - 1, 1));
    assert!(behind.stamp > segments[0].stamp);
    let is_first = |segment: &&Sent| segment.offset == begin && segment.payload.is_empty();
    assert!(leaves.iter().all(|segment| is_first(segment) && segment.stamp < segments[0].stamp));
    assert!(leaves.is_empty() || role(client, &sent[0]) == Role::Leaves && leaves.len() == 1);
    (segments.iter().map(|segment| segment.offset / 1448).collect(), !leaves.is_empty())
}

#[test]
fn a_client_without_sack_gets_a_group_at_a_time_and_the_ack_of_all_of_it_draws_the_next() {
    let engine = engine();
    let (mut client, first) = asked(&engine, Ends::v4(), WITHOUT_SACK);
    let s = 1448;
    assert_eq!(group(&client, &first), ((0..10).collect(), false));
    for part in 1..10 {
        assert!(send(&ack(&client, &first[0], part * s), &mut client).is_empty(), "{part}: a part of it");
    }
    assert!(send(&ack(&client, &first[0], 11 * s), &mut client).is_empty(), "more than the group");
    let next = send(&ack(&client, &first[8], 10 * s), &mut client);
    assert_eq!(group(&client, &next), ((10..20).collect(), true));
}

#[test]
fn a_client_that_has_left_a_group_draws_nothing_with_what_comes_again() {
    let engine = engine();
    let (mut client, first) = asked(&engine, Ends::v4(), WITHOUT_SACK);
    let left = first.last().unwrap();
    assert!(send(&ack(&client, left, 10 * 1448), &mut client).is_empty());
    let resumed = send(&again(&client, left, 10 * 1448), &mut client);
    assert_eq!(group(&client, &resumed), ((11..20).chain([10]).collect(), true), "but its timer does");
    // It has left the group, be that by one segment or the other.
    assert_eq!(resumed[0].stamp, left.stamp);
}

#[test]
fn a_timeout_draws_the_rest_of_a_group_with_the_same_stamps_and_what_is_missing_first_comes_last() {
    let engine = engine();
    let (mut client, first) = asked(&engine, Ends::v4(), WITHOUT_SACK);
    for part in 1..10 {
        let rest = send(&again(&client, &first[0], part * 1448), &mut client);
        assert_eq!(group(&client, &rest), ((part + 1..10).chain([part]).collect(), false));
        assert_eq!(rest[0].stamp, first[0].stamp);
    }
}

#[test]
fn where_the_window_has_no_room_for_a_group_and_two_segments_more_a_client_without_sack_gets_pairs() {
    let engine = engine();
    let (mut client, first) = asked(&engine, Ends::v4(), WITHOUT_SACK);
    let s = 1448;
    for (window, count) in [(12 * s, 12), (12 * s - 1, 2), (2 * s, 2), (s, 1), (0, 0)] {
        let next = send(&ack(&client, &first[0], 10 * s).window(window as u16), &mut client);
        assert_eq!(next.len(), count, "{window}");
    }
    let mut pair = send(&ack(&client, &first[0], 10 * s).window(4000), &mut client);
    assert_eq!(offsets(&pair), [10 * s, 11 * s]);
    // Half of it: the other half again, and only when that has come the next pair.
    assert!(send(&ack(&client, &pair[0], 13 * s), &mut client).is_empty(), "more than the pair");
    let again = send(&ack(&client, &pair[0], 11 * s), &mut client);
    assert_eq!(offsets(&again), [11 * s]);
    assert!(send(&ack(&client, &again[0], 13 * s), &mut client).is_empty(), "more than was sent again");
    assert!(send(&ack(&client, &pair[1], 12 * s), &mut client).is_empty());
    assert_eq!(offsets(&send(&ack(&client, &again[0], 12 * s), &mut client)), [12 * s, 13 * s]);
    // Up to where the next group begins.
    for at in [12, 14, 16, 18] {
        pair = send(&ack(&client, &pair[0], at * s), &mut client);
        assert_eq!(offsets(&pair), [at * s, (at + 1) * s]);
    }
    let next = send(&ack(&client, &pair[0], 20 * s), &mut client);
    assert_eq!(group(&client, &next), ((20..30).collect(), false), "pairs are not left");
}

#[test]
fn one_segment_at_an_odd_place_leads_back_to_pairs() {
    let engine = engine();
    let s = 1448;
    let (mut client, first) = asked(&engine, Ends::v4(), WITHOUT_SACK);
    let one = send(&again(&client, &first[0], 3 * s).window(4000), &mut client);
    assert_eq!(offsets(&one), [3 * s]);
    assert_eq!(offsets(&send(&ack(&client, &one[0], 4 * s).window(4000), &mut client)), [4 * s, 5 * s]);
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
        assert_eq!(offsets(&data), (0..10).map(|at| at * 1208).collect::<Vec<_>>());
        assert!(probes.len() == 2 && probes.iter().all(|probe| probe.payload.len() as u32 == LEN));
        assert!(is_probe(&&first[9]) && is_probe(&&first[11]));
        let start = client.first_byte();
        let told = |client: &Client<'_>, probe: &Sent, now: u32, more: &[(u32, u32)]| {
            let place = start.wrapping_add(probe.offset);
            let blocks = [&[(place, place.wrapping_add(LEN))], more].concat();
            client.at(LEN, now).sack(&blocks)
        };
        let next = send(&told(&client, &probes[0], 10_872, &[]), &mut client);
        let new: Vec<_> = next.iter().filter(|segment| !is_probe(segment)).cloned().collect();
        assert_eq!(offsets(&new)[..9], (10..19).map(|at| at * 1208).collect::<Vec<_>>());
        assert!(next.iter().all(|segment| segment.acknowledged == 0), "the request stays whole");
        // Two are missing: those, and what follows.
        let hole = (start.wrapping_add(3624), start.wrapping_add(10_872));
        let next = send(&told(&client, &probes[0], 1208, &[hole]), &mut client);
        assert_eq!(offsets(&next[..2]), [1208, 2416]);
        // A clock that comes behind the last segment is a second one.
        assert!(send(&told(&client, &probes[0], 12_080, &[]), &mut client).is_empty());
        // The spare only asks, and is answered only where the client still is.
        let check = send(&told(&client, &probes[1], 12_080, &[]), &mut client);
        assert_eq!((check.len(), client.verdict()), (1, Verdict::Replied(ReplyKind::Probe)));
        assert!(send(&told(&client, &check[0], 12_080 + 1208, &[]), &mut client).is_empty());
        assert_eq!(send(&told(&client, &check[0], 12_080, &[]), &mut client)[0].offset, 12_080);
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
        let again = ack(&client, &first[6], 8 * full(&ends)).seq(ISN + LEN).payload("x").with(Flags::PSH);
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
        assert_eq!(sent(&client, &frames)[0].offset, 8 * full(&ends));
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
    for (request, answered) in [("GE /1 HTTP/1.0\r\n\r\n", false), ("PUT /1 HTTP/1.0\r\n\r\n", true)] {
        let mut client = Client::connected(&engine, Ends::v4(), Offer { timestamps: false, ..Offer::LINUX });
        assert_eq!(!client.request(request).is_empty(), answered, "{request}");
    }
}

/// Why a segment was sent, as its stamp says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Role {
    Checks,
    Fresh,
    Stalled,
    Resent,
    Grouped,
    Leaves,
    Paired,
}

/// Ways in which a segment can have been sent: what its stamp has for each position. See `src/stamp.rs`.
const WAYS: u32 = 45;

/// What these stamps count from where the connection ends with the response.
const ONLY: u32 = (1 << 26) + (8 << 20) + 2 + Position::COUNT / 2 * 37;

/// The way in the stamp of a segment of a stored response.
fn way<A: App>(client: &Client<'_, A>, segment: &Sent) -> u32 {
    segment.stamp.wrapping_sub(flow_keys(&client.ends).timestamp_base + ONLY) % WAYS
}

/// The role in the stamp of a segment of a stored response.
fn role<A: App>(client: &Client<'_, A>, segment: &Sent) -> Role {
    match way(client, segment) {
        0 => Role::Checks,
        1..17 => Role::Fresh,
        17..26 => Role::Resent,
        26 => Role::Stalled,
        // On a narrow path there are ten more.
        37 => Role::Grouped,
        41 => Role::Leaves,
        _ => Role::Paired,
    }
}

/// How much of the request is behind a client whose timer has its last byte sent again; it ends the request.
fn again(client: &Client<'_, impl App>, echoed: &Sent, now: u32) -> Segment {
    ack(client, echoed, now).seq(ISN + LEN).payload("x").with(Flags::PSH)
}

#[test]
fn a_first_window_leaves_two_segments_of_the_clients_window_free_and_starts_slowly_where_it_takes_the_ceiling() {
    let engine = engine();
    let s = 1448_u16;
    // The ceiling is 32 segments.
    for (window, segments) in [
        (3 * s, 3),
        (9 * s, 4),
        (10 * s - 1, 4),
        (10 * s, 8),
        (33 * s, 8),
        (34 * s - 1, 8),
        (34 * s, 10),
        (u16::MAX, 10),
    ] {
        let mut client = Client::connected(&engine, Ends::v4(), Offer::LINUX);
        let first = send(&client.at(0, 0).payload(REQUEST).window(window), &mut client);
        assert_eq!(first.len(), segments, "{window}");
    }
}

#[test]
fn an_ack_of_much_at_once_draws_all_that_follows() {
    let engine = engine();
    let (mut client, first) = asked(&engine, Ends::v4(), Offer::LINUX);
    let next = send(&ack(&client, &first[0], 10 * 1448), &mut client);
    assert_eq!(offsets(&next), (10..30).map(|at| at * 1448).collect::<Vec<_>>());
}

#[test]
fn a_stalled_client_goes_on_when_its_window_takes_two_segments() {
    let engine = engine();
    let s = 1448;
    let (window, two) = (4 * s as u16 + 100, 2 * s as u16);
    let mut client = Client::connected(&engine, Ends::v4(), Offer::LINUX);
    let first = send(&client.at(0, 0).payload(REQUEST).window(window), &mut client);
    assert_eq!([1, 2].map(|at| role(&client, &first[at])), [Role::Fresh, Role::Stalled]);
    let full = ack(&client, &first[2], 4 * s);
    assert!(send(&full.clone().window(two - 1), &mut client).is_empty());
    assert_eq!(offsets(&send(&full.window(two), &mut client)), [4 * s, 5 * s]);
}

#[test]
fn a_stalled_client_goes_on_when_its_window_takes_the_rest() {
    let s = 1448;
    let engine = Stored::new(5 * s as usize + 500).engine();
    let mut client = Client::connected(&engine, Ends::v4(), Offer::LINUX);
    let first = send(&client.at(0, 0).payload(REQUEST).window(4 * s as u16 + 100), &mut client);
    assert_eq!(offsets(&first), [0, s, 2 * s, 3 * s]);
    let full = ack(&client, &first[2], 4 * s);
    // A segment and 500 bytes; the FIN takes a byte as well.
    assert!(send(&full.clone().window(s as u16 + 500), &mut client).is_empty());
    let rest = send(&full.window(s as u16 + 501), &mut client);
    assert_eq!(offsets(&rest), [4 * s, 5 * s]);
    assert!(rest[1].flags.has(Flags::FIN));
}

#[test]
fn fewer_segments_behind_a_hole_are_a_loss_where_fewer_are_under_way() {
    let engine = engine();
    let (s, window) = (1448_u32, 7 * 1448);
    let mut client = Client::connected(&engine, Ends::v4(), Offer::LINUX);
    let first = send(&client.at(0, 0).payload(REQUEST).window(window), &mut client);
    assert_eq!(first.len(), 4);
    let start = client.first_byte();
    let mut resent = Vec::new();
    for received in 1..=2 {
        let block = (start.wrapping_add(2 * s), start.wrapping_add((2 + received) * s));
        let lost = ack(&client, &first[0], s).sack(&[block]).window(window);
        resent.push(offsets(&send(&lost, &mut client)));
    }
    assert_eq!(resent, [vec![], vec![s]]);
}

#[test]
fn all_holes_are_filled_when_everything_else_has_arrived() {
    let engine = engine();
    let (mut client, first) = asked(&engine, Ends::v4(), Offer::LINUX);
    let (s, start) = (1448, client.first_byte());
    let block = |from: u32, to: u32| (start.wrapping_add(from * s), start.wrapping_add(to * s));
    // Fourteen are under way.
    for blocks in [[block(3, 5), block(7, 14)], [block(7, 14), block(3, 5)]] {
        let resent = send(&ack(&client, &first[0], 2 * s).sack(&blocks), &mut client);
        assert_eq!(offsets(&resent), [2 * s, 5 * s, 6 * s]);
    }
}

/// The ACK of what came before the hole shows the hole at once, so nothing was sent for that.
#[test]
fn a_hole_is_filled_also_where_nothing_has_been_sent_since_the_ack_before() {
    let engine = engine();
    let s = 1448;
    for (acked, top, wanted) in [(6, 8, vec![6 * s]), (5, 8, vec![5 * s, 6 * s]), (5, 7, vec![]), (6, 9, vec![])] {
        // Four are in flight where the client's window has been closed.
        let mut client = Client::connected(&engine, Ends::v4(), Offer::LINUX);
        let first = send(&client.at(0, 0).payload(REQUEST).window(4 * 1448 + 100), &mut client);
        let next = send(&ack(&client, &first[2], 4 * s), &mut client);
        assert_eq!(offsets(&next), [4, 5, 6, 7].map(|at| at * s));
        let [from, to] = [top - 1, top].map(|at| client.first_byte().wrapping_add(at * s));
        let resent = send(&ack(&client, &next[0], acked * s).sack(&[(from, to)]), &mut client);
        assert_eq!(offsets(&resent), wanted, "{acked}, {top}");
    }
}

#[test]
fn when_a_hole_has_been_filled_the_next_one_is() {
    let engine = engine();
    let (mut client, first) = asked(&engine, Ends::v4(), Offer::LINUX);
    let (s, start) = (1448, client.first_byte());
    let block = |from: u32, to: u32| (start.wrapping_add(from * s), start.wrapping_add(to * s));
    let resent = send(&ack(&client, &first[0], 2 * s).sack(&[block(3, 5), block(6, 7)]), &mut client);
    assert_eq!(offsets(&resent), [2 * s]);
    assert_eq!(role(&client, &resent[0]), Role::Resent);
    let next = send(&ack(&client, &resent[0], 5 * s).sack(&[block(6, 9)]), &mut client);
    assert_eq!(offsets(&next), [5 * s]);
    // A hole of which the first segment has come: the others are on their way as well.
    assert!(send(&ack(&client, &resent[0], 3 * s).sack(&[block(6, 9)]), &mut client).is_empty());
}

/// A segment of the third round trip, and what a client echoes that has acknowledged 28 segments.
fn third(first: &[Sent], s: u32) -> Sent {
    Sent { stamp: first[0].stamp.wrapping_add(26 * s / 512 * WAYS), ..first[0].clone() }
}

#[test]
fn a_timeout_sends_what_answered_the_request_again() {
    let engine = engine();
    let s = 1448;
    let (mut client, first) = asked(&engine, Ends::v4(), Offer::LINUX);
    let resumed = send(&again(&client, &first[6], 8 * s), &mut client);
    assert_eq!(offsets(&resumed), [8, 9].map(|at| at * s));
    assert!(resumed.iter().all(|segment| role(&client, segment) == Role::Resent));
    // They had been lost, and draw a first window at most.
    let next = send(&ack(&client, &resumed[0], 10 * s), &mut client);
    assert_eq!(offsets(&next), (10..18).map(|at| at * s).collect::<Vec<_>>());
}

#[test]
fn a_timeout_sends_what_sack_blocks_show_to_be_missing_and_nothing_behind_it() {
    let engine = engine();
    let s = 1448;
    let (mut client, first) = asked(&engine, Ends::v4(), Offer::LINUX);
    let start = client.first_byte();
    let block = |from: u32, to: u32| (start.wrapping_add(from * s), start.wrapping_add(to * s));
    let resumed = send(&again(&client, &first[8], 10 * s).sack(&[block(11, 13), block(14, 16)]), &mut client);
    assert_eq!(offsets(&resumed), [10 * s, 13 * s]);
    assert!(resumed.iter().all(|segment| role(&client, segment) == Role::Resent));
}

#[test]
fn a_timeout_with_everything_under_way_draws_a_check_and_no_data() {
    let engine = engine();
    let s = 1448;
    let (mut client, first) = asked(&engine, Ends::v4(), Offer::LINUX);
    let drawn = send(&again(&client, &third(&first, s), 28 * s), &mut client);
    let [check] = &drawn[..] else { panic!("{drawn:?}") };
    // Of what the client has, the last byte.
    assert_eq!((check.offset, check.payload.len(), check.acknowledged), (28 * s - 1, 1, LEN - 1));
    assert_eq!(role(&client, check), Role::Checks);
    // A client that has gone on reports that the byte came twice. A segment may not have had an ACK of its own yet, and
    // draws what it draws; two segments have.
    let start = client.first_byte();
    let byte = [(start.wrapping_add(12 * s - 1), start.wrapping_add(12 * s))];
    for (before, next) in [(12, 0..0), (13, 34..38)] {
        let moved = Sent { stamp: first[0].stamp.wrapping_add(before * s / 512 * WAYS), ..first[0].clone() };
        let drawn = offsets(&send(&ack(&client, &moved, 14 * s).sack(&byte), &mut client));
        assert_eq!(drawn, next.map(|at| at * s).collect::<Vec<_>>(), "{before}");
    }
}

#[test]
fn a_client_that_has_not_moved_when_a_check_comes_gets_two_segments() {
    let engine = engine_changed(|config| config.congestion = Congestion::Fast);
    let s = 1448;
    let (mut client, first) = asked(&engine, Ends::v4(), Offer::LINUX);
    let check = send(&again(&client, &third(&first, s), 28 * s), &mut client).remove(0);
    let start = client.first_byte();
    let byte = (start.wrapping_add(28 * s - 1), start.wrapping_add(28 * s));
    // It reports the byte; or does not know how to; or that was lost, and its timer expires.
    let at = |client: &_| ack(client, &check, 28 * s);
    for says in [at(&client).sack(&[byte]), at(&client), again(&client, &check, 28 * s)] {
        let resumed = send(&says, &mut client);
        assert_eq!(offsets(&resumed), [28 * s, 29 * s]);
        assert!(resumed.iter().all(|segment| role(&client, segment) == Role::Resent));
        // A client takes the timestamps of what comes behind the check.
        assert!(resumed.iter().all(|segment| segment.stamp > check.stamp));
        let next = send(&ack(&client, &resumed[0], 30 * s), &mut client);
        assert_eq!(offsets(&next), (30..38).map(|at| at * s).collect::<Vec<_>>());
    }
    // Something has come behind the gap since: that draws what is missing, when three segments have.
    let behind = |to: u32| (start.wrapping_add(29 * s), start.wrapping_add(to * s));
    let holes = |client: &mut _, says: Segment| offsets(&send(&says, client));
    for (to, found) in [(30, vec![]), (32, vec![28 * s])] {
        let says = at(&client).sack(&[behind(to)]);
        assert_eq!(holes(&mut client, says), found, "{to}");
    }
    let says = at(&client).sack(&[byte, behind(30)]);
    assert_eq!(holes(&mut client, says), [28 * s]);
}

#[test]
fn what_is_sent_again_of_a_long_hole_is_no_more_than_the_window_and_its_acks_draw_the_rest() {
    let engine = engine();
    let s = 1448;
    let (mut client, first) = asked(&engine, Ends::v4(), Offer::LINUX);
    let start = client.first_byte();
    let behind = |from: u32, to: u32| [(start.wrapping_add(from * s), start.wrapping_add(to * s))];
    // 28 have been acknowledged and 32 are in flight, of which the last arrives.
    let echoed = third(&first, s);
    let resent = send(&ack(&client, &echoed, 28 * s).sack(&behind(47, 48)), &mut client);
    assert_eq!(offsets(&resent), []);
    let resent = send(&again(&client, &echoed, 28 * s).sack(&behind(45, 48)), &mut client);
    assert_eq!(offsets(&resent), (28..36).map(|at| at * s).collect::<Vec<_>>());
    for at in 1..8 {
        let next = send(&ack(&client, &resent[at - 1], (28 + at as u32) * s).sack(&behind(45, 48)), &mut client);
        let two = [34, 35].map(|behind| (behind + at as u32) * s);
        assert_eq!(offsets(&next), if at % 2 == 0 { &two[..] } else { &[] });
    }
}

#[test]
fn a_byte_that_comes_again_is_acknowledged_where_more_of_the_request_follows() {
    let engine = engine();
    let (mut client, first) = asked(&engine, Ends::v4(), Offer::LINUX);
    let last = again(&client, &first[8], 10 * 1448);
    assert_eq!(send(&last, &mut client)[0].acknowledged, LEN - 1);
    let pushed_on = ack(&client, &first[8], 10 * 1448).seq(ISN + LEN).payload("x");
    assert_eq!(send(&pushed_on, &mut client)[0].acknowledged, LEN);
}

#[test]
fn a_client_that_lacks_only_the_fin_gets_it_again() {
    let engine = engine();
    for ends in both() {
        let mut client = Client::connected(&engine, ends, Offer::LINUX);
        let frames = client.request("GET /5000 HTTP/1.0\r\n\r\n");
        let all = sent(&client, &frames);
        let last = all.last().unwrap();
        let len = last.offset + last.payload.len() as u32;
        let fin = send(&again(&client, last, len), &mut client);
        assert_eq!(client.verdict(), Verdict::Replied(ReplyKind::Resumed));
        assert!(offsets(&fin) == [len] && fin[0].flags.has(Flags::FIN) && fin[0].payload.is_empty());
    }
}

#[test]
fn a_segment_has_one_position() {
    let engine = Engine::new(support::config(lethe::config::Refuse::Drop), Sample::new(200_000));
    let (mut client, first) = asked(&engine, Ends::v4(), Offer::LINUX);
    let mut client_of_200_kb = Client::connected(&engine, Ends::v4(), Offer::LINUX);
    let frames = client_of_200_kb.request("GET /200000 HTTP/1.0\r\n\r\n");
    let at_zero = &sent(&client_of_200_kb, &frames)[0];
    // Where the 64th segment begins, exactly where a position does: 181 of 512 bytes.
    let (at, position) = (64 * 1448, 64 * 1448 / 512);
    let echo = |position: u32| Sent { stamp: at_zero.stamp.wrapping_add(position * WAYS), ..first[0].clone() };
    assert!(send(&ack(&client, &echo(position - 1), at + 2 * 1448), &mut client).is_empty());
    assert!(!send(&ack(&client, &echo(position), at + 2 * 1448), &mut client).is_empty());
}

#[test]
fn the_version_of_the_data_that_a_connection_began_with_is_the_one_it_gets_and_none_that_is_gone() {
    let began = Stored::of_version(1, 0b0010).engine();
    let (client, first) = asked(&began, Ends::v4(), Offer::LINUX);
    for (later, goes_on) in Stored::later_versions() {
        let mut moved = client.moved(&later);
        let next = send(&ack(&client, &first[0], 2 * 1448), &mut moved);
        assert_eq!(next.len(), if goes_on { 4 } else { 0 }, "{:?}", later.app().generations);
    }
}

#[test]
fn an_ack_is_not_looked_at_where_nothing_is_stored() {
    let engine = Stored { stores: false, ..Stored::new(50_000) }.engine();
    for timestamps in [true, false] {
        let (mut client, first) = asked(&engine, Ends::v4(), Offer { timestamps, ..Offer::LINUX });
        let start = client.first_byte();
        let ack = client.at(LEN, 2 * 1460).sack(&[(start.wrapping_add(5000), start.wrapping_add(6000))]);
        let ack = if timestamps { ack.timestamps(TIME, first[0].stamp) } else { ack };
        assert!(send(&ack, &mut client).is_empty());
        assert_eq!(client.verdict(), Verdict::Absorbed(Absorbed::Ack));
    }
}

#[test]
fn a_router_tells_of_a_link_and_the_client_gets_the_pieces() {
    let engine = engine();
    for ends in both() {
        let mut client = Client::connected(&engine, ends, Offer::LINUX);
        let frames = client.request(REQUEST);
        let mut router = ends;
        router.client.set_ip(if ends.server.is_ipv4() { "10.9.0.99" } else { "fd09::99" }.parse().unwrap());
        let pieces = client.send_frame(&Icmp::error(&router, IcmpError::TooBig(1300), &frames[2]).frame());
        assert!(pieces.len() > 1);
        for piece in &pieces {
            let piece = Frame::dissect(piece).unwrap();
            assert_eq!(piece.ip().unwrap().destination, ends.client.ip());
            assert!(piece.tcp().unwrap().1.timestamps.is_some_and(|(_, echo)| echo == TIME));
        }
    }
}

#[test]
fn a_segment_is_cut_only_for_a_link_that_does_not_take_it() {
    let engine = engine();
    let told = |ends: &Ends, path: &str, at: usize, mtu: u16| {
        let mut client = Client::connected(&engine, *ends, Offer::LINUX);
        let frames = client.request(format!("GET {path} HTTP/1.0\r\n\r\n"));
        client.send_frame(&Icmp::error(ends, IcmpError::TooBig(mtu), &frames[at]).frame());
        client.verdict()
    };
    let (narrowed, dropped) = (Verdict::Replied(ReplyKind::Narrowed), Verdict::Dropped(DropReason::IcmpQuote));
    for ends in both() {
        assert_eq!([1500, 1499].map(|mtu| told(&ends, "/70000", 2, mtu)), [dropped, narrowed]);
        // The last one has some 750 bytes.
        assert_eq!(told(&ends, "/5000", 3, 1300), dropped);
    }
}

#[test]
fn the_last_segment_goes_again_in_pieces_with_its_fin() {
    // The last piece has a single byte.
    let engine = Stored::new(3 * 1448 + 2 * 524 + 1).engine();
    let mut client = Client::connected(&engine, Ends::v4(), Offer::LINUX);
    let frames = client.request(REQUEST);
    let again = client.send_frame(&Icmp::error(&client.ends, IcmpError::TooBig(1000), &frames[3]).frame());
    let again = sent(&client, &again);
    assert_eq!(offsets(&again), [0, 524, 1048].map(|piece| 3 * 1448 + piece));
    assert_eq!(again[2].payload.len(), 1);
    assert!(again[2].flags.has(Flags::FIN) && !again[1].flags.has(Flags::FIN));
}

#[test]
fn an_error_about_a_packet_of_another_server_with_the_same_secret_is_dropped() {
    for ends in both() {
        let (ours, mut other, mut between) = (ends.server.ip(), ends, ends);
        let neighbour = if ours.is_ipv4() { "10.9.0.3" } else { "fd09::3" }.parse().unwrap();
        other.server.set_ip(neighbour);
        between.client.set_ip(neighbour);
        let with = |address: Option<_>, port| {
            engine_changed(|config| {
                address.map_or(Ok(()), |address| config.addresses.add(address)).unwrap();
                config.tcp_ports = Ports::new(port).unwrap();
            })
        };
        for (what, theirs, ends, engine) in [
            ("another address", with(Some(neighbour), 80), other, with(None, 80)),
            ("between two of ours", with(None, 80), between, with(Some(neighbour), 80)),
            ("another port", with(None, 80), ends, with(None, 8080)),
        ] {
            let mut client = Client::connected(&theirs, ends, Offer::LINUX);
            let frames = client.request(REQUEST);
            // It quotes the one, and comes to the other.
            let error = |to: &Ends| Icmp::error(to, IcmpError::TooBig(1300), &frames[2]).frame();
            client.send_frame(&error(&ends));
            assert_eq!(client.verdict(), Verdict::Replied(ReplyKind::Narrowed), "{what}");
            let mut reporter = both()[usize::from(!ours.is_ipv4())];
            reporter.server.set_ip(ours);
            let mut moved = client.moved(&engine);
            assert!(moved.send_frame(&error(&reporter)).is_empty(), "{what}");
            assert_eq!(moved.verdict(), Verdict::Dropped(DropReason::IcmpQuote), "{what}");
        }
    }
}

#[test]
fn a_buffer_of_an_mtu_and_a_link_header_takes_every_frame() {
    let engine = engine_changed(|config| config.mtu = Mtu::new(Mtu::MIN).unwrap());
    for ends in both().map(|ends| ends.vlan(7)) {
        let mut client = Client::new(&engine, ends, Offer::LINUX);
        let (mut scratch, mut buffer) = (vec![0; SCRATCH_LEN], [0; Mtu::MIN as usize + LINK_HEADER_MAX]);
        client.connect();
        let syn = Segment::syn(&ends).seq(ISN).mss(1460).sack_permitted().timestamps(TIME, 0);
        for (segment, frames) in [(syn, 1), (client.at(0, 0).payload(REQUEST), 10)] {
            let frame = segment.frame();
            let mut reply = engine.handle(client.dialogue.now(), RxFrame::unchecked(&frame), &mut scratch);
            let count = std::iter::from_fn(|| reply.next_frame(&mut buffer)).count();
            assert_eq!(count, frames);
        }
    }
}

#[test]
fn a_buffer_that_is_too_small_for_a_frame_ends_its_reply() {
    let engine = engine();
    let mut client = Client::connected(&engine, Ends::v4(), Offer::LINUX);
    let request = client.at(0, 0).payload(REQUEST).frame();
    let (mut scratch, mut buffer) = (vec![0; SCRATCH_LEN], [0; 2048]);
    let mut reply = engine.handle(client.dialogue.now(), RxFrame::unchecked(&request), &mut scratch);
    assert!(reply.is_pending() && reply.next_frame(&mut buffer).is_some());
    assert!(reply.is_pending() && reply.next_frame(&mut buffer[..1000]).is_none());
    assert!(!reply.is_pending() && reply.next_frame(&mut buffer).is_none());
    // And with its last frame it is over.
    let mut scratch = vec![0; SCRATCH_LEN];
    let mut reply = engine.handle(client.dialogue.now(), RxFrame::unchecked(&request), &mut scratch);
    for _ in 0..10 {
        assert!(reply.is_pending() && reply.next_frame(&mut buffer).is_some());
    }
    assert!(!reply.is_pending());
    assert!(client.request(REQUEST).len() == 10);
}

#[test]
fn a_client_that_got_the_fin_alone_has_the_whole_response() {
    // Where the last segment begins near the position of the FIN, and where it does not.
    for len in [4 * 1448, 4 * 1448 + 100, 5000] {
        let engine = Stored::new(len).engine();
        let (mut client, first) = asked(&engine, Ends::v4(), Offer::LINUX);
        let fin = send(&again(&client, first.last().unwrap(), len as u32), &mut client);
        assert!(offsets(&fin) == [len as u32] && fin[0].flags.has(Flags::FIN));
        for (segment, kind) in [
            (ack(&client, &fin[0], len as u32 + 1), ReplyKind::Settled),
            (again(&client, &fin[0], len as u32 + 1), ReplyKind::Settled),
            (ack(&client, &fin[0], len as u32 + 1).with(Flags::FIN), ReplyKind::FinAck),
        ] {
            assert_eq!(send(&segment, &mut client).len(), 1);
            assert_eq!(client.verdict(), Verdict::Replied(kind), "{len}");
        }
        assert!(send(&ack(&client, &fin[0], len as u32), &mut client).is_empty(), "it has just come");
    }
}

#[test]
fn the_window_grows_with_each_32_kb_as_far_as_the_client_takes_two_segments_more() {
    let engine = engine_changed(|config| config.congestion = Congestion::Fast);
    let (mut client, first) = asked(&engine, Ends::v4(), Offer::LINUX);
    let s = 1448;
    // The fifth begins behind 64 kB: with room for twelve segments and two, the window is twelve there.
    for (window, levels) in [(14 * s, [1, 1, 1, 1, 2, 2, 2]), (14 * s - 1, [1; 7])] {
        let check = send(&again(&client, &first[8], 40 * s).window(window as u16), &mut client);
        let resumed = send(&ack(&client, &check[0], 40 * s).window(window as u16), &mut client);
        let next = send(&ack(&client, &resumed[0], 42 * s).window(window as u16), &mut client);
        let found: Vec<u32> = next.iter().map(|segment| way(&client, segment) - 3).collect();
        assert_eq!(found, levels, "{window}");
    }
}

#[test]
fn segments_are_at_most_half_the_window_in_a_syn() {
    let engine = engine();
    // The cookie has the number of the MSS in its highest bits: 536 is 1, 1220 is 2, and 1460 is 6.
    for (window, timestamps, number) in [
        (2920, true, 6),
        (2919, true, 5),
        (2440, true, 2),
        (2439, true, 1),
        (1152, true, 1),
        (2919, false, 6),
        (1461, false, 6),
        (1460, false, 1),
        (0, true, 6),
    ] {
        let syn = Segment::syn(&Ends::v4()).seq(ISN).mss(1460).sack_permitted().window(window);
        let syn = if timestamps { syn.timestamps(TIME, 0) } else { syn };
        let mut client = Client::new(&engine, Ends::v4(), Offer { timestamps, ..Offer::LINUX });
        let frames = client.send(&syn);
        let frame = Frame::dissect(&frames[0]).unwrap();
        assert_eq!(frame.tcp().unwrap().1.seq.value() >> 29, number, "{window} {timestamps}");
    }
}

#[test]
fn what_comes_again_with_a_stamp_of_no_segment_is_refused() {
    let engine = engine();
    let (mut client, first) = asked(&engine, Ends::v4(), Offer::LINUX);
    let forged = Sent { stamp: first[0].stamp.wrapping_add(WAYS), ..first[0].clone() };
    assert!(send(&again(&client, &forged, 2 * 1448), &mut client).is_empty());
    assert_eq!(client.verdict(), Verdict::Dropped(DropReason::TcpEcho));
    assert!(send(&ack(&client, &forged, 2 * 1448).with(Flags::FIN), &mut client).is_empty());
    assert_eq!(client.verdict(), Verdict::Dropped(DropReason::TcpEcho));
    // What may be a late ACK is none the less one.
    assert!(send(&ack(&client, &forged, 2 * 1448), &mut client).is_empty());
    assert_eq!(client.verdict(), Verdict::Absorbed(Absorbed::Ack));
}

#[test]
fn a_response_of_one_packet_is_not_begun_where_the_window_has_no_room_for_its_fin() {
    let engine = Stored::new(1448).engine();
    for (window, verdict) in
        [(1448, Verdict::Dropped(DropReason::TcpWindow)), (1449, Verdict::Replied(ReplyKind::Response))]
    {
        let mut client = Client::connected(&engine, Ends::v4(), Offer::LINUX);
        client.send(&client.at(0, 0).payload(REQUEST).window(window));
        assert_eq!(client.verdict(), verdict, "{window}");
    }
}
