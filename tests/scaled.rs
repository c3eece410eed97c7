//! Windows that are scaled: one rule a test. That every byte arrives is for the simulator to show.

mod support;

use lethe::config::{Config, Congestion, Mtu, Refuse};
use lethe::verdict::{ReplyKind, Verdict};
use lethe::wire::tcp::Flags;
use lethe::{App as _, Engine};
use lethe_sim::dissect::Frame;
use lethe_sim::frame::{Ends, Segment};
use lethe_sim::sample::Sample;
use support::{Client, ISN, Offer, Sent, TIME, both, engine_changed, offsets, send};

const REQUEST: &str = "GET /1000000 HTTP/1.1\r\nHost: lethe.example\r\n\r\n";
const LEN: u32 = REQUEST.len() as u32;

fn engine() -> Engine<Sample> {
    engine_with(Congestion::default())
}

fn engine_with(congestion: Congestion) -> Engine<Sample> {
    let config = Config { congestion, ..support::config(Refuse::Drop) };
    Engine::new(config, Sample::new(1_000_000))
}

/// The scale in the SYN+ACK to a client that offers this one.
fn agreed(engine: &Engine<Sample>, ends: Ends, syn: impl Fn(Segment) -> Segment) -> Option<u8> {
    let mut client = Client::new(engine, ends, Offer::LINUX);
    let sent = client.send(&syn(Segment::syn(&ends).seq(ISN).sack_permitted()));
    Frame::dissect(&sent[0]).unwrap().tcp().unwrap().1.window_scale
}

/// A client that has agreed on a scale, and whose window is `window` bytes; and its first window.
fn asked(engine: &Engine<Sample>, ends: Ends, shift: u8, window: u32) -> (Client<'_, Sample>, Vec<Sent>) {
    let mut client = Client::new(engine, ends, Offer::LINUX);
    let syn = Segment::syn(&ends).seq(ISN).mss(1460).sack_permitted().timestamps(TIME, 0).window_scale(shift);
    let sent = client.send(&syn);
    let frame = Frame::dissect(&sent[0]).unwrap();
    let (_, tcp) = frame.tcp().unwrap();
    (client.cookie, client.echo) = (tcp.seq.value(), tcp.timestamps.unwrap().0);
    let request = client.at(0, 0).payload(REQUEST).window((window >> shift) as u16);
    let first = send(&request, &mut client);
    (client, first)
}

/// An ACK of everything before `now`, from a client whose last ACK was where `echoed` began.
fn ack(client: &Client<'_, Sample>, echoed: &Sent, now: u32, window: u32, shift: u8) -> Segment {
    let read = client.first_byte().wrapping_add(now);
    let ack = Segment::ack(&client.ends).seq(ISN + 1 + LEN).ack_number(read).window((window >> shift) as u16);
    ack.timestamps(TIME + 1, echoed.stamp)
}

/// Ways in which a segment can have been sent: what its stamp has for each position. See `src/stamp.rs`.
const WAYS: u32 = 45;

/// A segment with the stamp of the one with this number, in slow start, where segments have `s` bytes.
fn numbered(first: &[Sent], number: u32, s: u32) -> Sent {
    Sent { stamp: first[0].stamp.wrapping_add(number * s / 512 * WAYS), ..first[0].clone() }
}

/// Segments in flight in slow start when so many have been acknowledged. See `src/stamp.rs`.
const fn slow_start(done: u32) -> u32 {
    let steep = (done * 5 / 8).saturating_sub(8);
    let late = if steep < done / 4 + 140 { steep } else { done / 4 + 140 };
    let later = if late > done / 3 + 30 { late } else { done / 3 + 30 };
    if later < 10 + done { later } else { 10 + done }
}

/// Bytes of a full segment.
fn full(ends: &Ends) -> u32 {
    if ends.server.is_ipv4() { 1447 } else { 1427 }
}

#[test]
fn windows_are_scaled_of_a_client_with_timestamps_and_a_usual_scale_and_ours_is_not() {
    let (engine, low) = (engine(), engine_changed(|config| config.ceiling = 32));
    let narrow = engine_changed(|config| config.mtu = Mtu::new(576).unwrap());
    for ends in both() {
        let offered = |shift| agreed(&engine, ends, |syn| syn.mss(1460).timestamps(TIME, 0).window_scale(shift));
        assert_eq!([6, 7, 8, 9, 10, 11].map(offered), [None, Some(0), Some(0), Some(0), Some(0), None]);
        let with = |syn: &dyn Fn(Segment) -> Segment| agreed(&engine, ends, syn);
        assert_eq!(with(&|syn| syn.mss(1460).timestamps(TIME, 0)), None);
        assert_eq!(with(&|syn| syn.mss(1460).window_scale(7)), None, "without timestamps");
        assert_eq!(with(&|syn| syn.mss(1219).timestamps(TIME, 0).window_scale(7)), None, "short segments");
        assert_eq!(agreed(&low, ends, |syn| syn.mss(1460).timestamps(TIME, 0).window_scale(7)), None);
        assert_eq!(
            agreed(&narrow, ends, |syn| syn.mss(1460).timestamps(TIME, 0).window_scale(7)),
            None,
            "a small link"
        );
    }
}

#[test]
fn a_window_is_what_the_client_says_times_its_scale() {
    let engine = engine();
    for (ends, shift) in both().into_iter().flat_map(|ends| [7, 8, 9, 10].map(|shift| (ends, shift))) {
        let s = full(&ends);
        let (client, first) = asked(&engine, ends, shift, 64 << 10);
        assert_eq!(client.verdict(), Verdict::Replied(ReplyKind::FirstWindow));
        assert_eq!(offsets(&first), (0..10).map(|at| at * s).collect::<Vec<_>>(), "{shift}");
        // As one that is not scaled it would have room for none of them.
        let (_, first) = asked(&engine, ends, shift, 8 << 10);
        assert_eq!(offsets(&first), [0, 1, 2, 3].map(|at| at * s), "{shift}");
    }
}

#[test]
fn slow_start_has_more_in_flight_than_fits_a_window_that_is_not_scaled() {
    let engine = engine();
    for ends in both() {
        let (mut client, first) = asked(&engine, ends, 7, 1 << 20);
        let (s, mut echoed, mut acked, mut end) = (full(&ends), first[0].clone(), 0, 10);
        let mut most = 0;
        let mut known = first;
        while acked < 300 {
            let next = send(&ack(&client, &echoed, (acked + 2) * s, 1 << 20, 7), &mut client);
            assert_eq!(offsets(&next), (end..end + next.len() as u32).map(|at| at * s).collect::<Vec<_>>());
            (acked, end) = (acked + 2, end + next.len() as u32);
            known.extend(next);
            echoed = known[acked as usize].clone();
            most = most.max(end - acked);
        }
        assert_eq!(most, slow_start(300) & !1);
    }
}

#[test]
fn an_acknowledgement_tells_where_its_client_is_however_many_segments_it_is_ahead() {
    let engine = engine();
    for ends in both() {
        let (client, first) = asked(&engine, ends, 10, 4 << 20);
        let s = full(&ends);
        // Where 200 segments have been acknowledged, 116 are in flight. One ACK tells that all have arrived.
        let echoed = numbered(&first, 200, s);
        let mut moved = client.moved(&engine);
        let now = 200 + (slow_start(200) & !1);
        let next = send(&ack(&client, &echoed, now * s, 4 << 20, 10), &mut moved);
        assert_eq!(offsets(&next), (now..(now + slow_start(now)) & !1).map(|at| at * s).collect::<Vec<_>>());
        // Of one that would be much further ahead nothing is believed.
        assert!(send(&ack(&client, &echoed, 560 * s, 4 << 20, 10), &mut moved).is_empty());
        assert!(send(&ack(&client, &echoed, now * s + 1, 4 << 20, 10), &mut moved).is_empty());
    }
}

/// A reader that has not read yet what came at once leaves a window that is short and about to open. What it has no
/// room for comes as a gap behind which slow start goes on; a window that is small is waited for.
#[test]
fn a_window_that_is_wide_and_short_of_slow_start_is_not_taken_for_one_that_closes() {
    let engine = engine();
    for (ends, room, expected) in both().into_iter().flat_map(|ends| [(ends, 70, 362..364), (ends, 40, 200..204)]) {
        let (client, first) = asked(&engine, ends, 7, 1 << 20);
        let (s, mut moved) = (full(&ends), client.moved(&engine));
        // Two segments are in flight, so that slow start cannot be left.
        let echoed = numbered(&first, 100, s);
        let next = send(&ack(&client, &echoed, 160 * s, room * s + 128, 7), &mut moved);
        let mut sent: Vec<u32> = (162..160 + room).map(|at| at * s).collect();
        if room < 64 {
            // A byte that has been acknowledged, so that the next ACK echoes that the window is filled.
            let probe = next.len() - 3;
            sent.insert(probe, 160 * s - 2);
            assert_eq!((next[probe].payload.len(), next[probe].stamp), (1, next[probe + 1].stamp));
        }
        assert_eq!(offsets(&next), sent);
        let last = send(&ack(&client, next.last().unwrap(), (160 + room) * s, 1 << 20, 7), &mut moved);
        assert_eq!(offsets(&last), expected.map(|at| at * s).collect::<Vec<_>>());
    }
}

/// What an acknowledgement is ahead may be carried from the tag of the cookie into the scale. That is so for one client
/// in 128, and else its transfer would never go on.
#[test]
fn an_acknowledgement_of_far_ahead_is_right_whatever_the_cookie() {
    let engine = engine();
    let mut carried = 0;
    for (port, shift) in (10_000..12_000).flat_map(|port| [(port, 7), (port, 10)]) {
        let ends = Ends::v4().client_port(port);
        let (client, first) = asked(&engine, ends, shift, 4 << 20);
        let s = full(&ends);
        let echoed = numbered(&first, 300, s);
        let mut moved = client.moved(&engine);
        let again = ack(&client, &echoed, 406 * s, 4 << 20, shift);
        for segment in [again.clone(), again.seq(ISN + LEN).payload("\n")] {
            assert!(!send(&segment, &mut moved).is_empty(), "port {port}, scale {shift}, cookie {:08x}", client.cookie);
        }
        carried += usize::from(client.cookie >> 16 & 0xff >= 0xfe);
    }
    assert!(carried >= 10, "{carried}");
}

#[test]
fn what_comes_again_resumes_from_far_ahead_and_the_end_is_known() {
    let engine = engine();
    let (client, first) = asked(&engine, Ends::v4(), 7, 4 << 20);
    let s = 1447;
    let echoed = numbered(&first, 200, s);
    let again = |now: u32| {
        let last = ack(&client, &echoed, now, 4 << 20, 7).seq(ISN + LEN).payload("x");
        last.with(Flags::PSH)
    };
    let mut moved = client.moved(&engine);
    let check = send(&again(600 * s), &mut moved);
    assert_eq!(offsets(&check), [600 * s - 1]);
    let stands = ack(&client, &check[0], 600 * s, 4 << 20, 7);
    assert_eq!(offsets(&send(&stands, &mut moved)), [600, 601].map(|at| at * s));
    // Where the client has all of it, whatever it echoes of the last 600 segments.
    let mut scratch = vec![0; lethe::engine::SCRATCH_LEN];
    let size = engine.app().respond(&lethe::Request::get(b"/1000000"), &mut scratch).len() as u32;
    for segment in [200, 400, 600] {
        let echoed = numbered(&first, segment, s);
        let end = ack(&client, &echoed, size + 1, 4 << 20, 7).seq(ISN + LEN).payload("x").with(Flags::PSH);
        assert_eq!(send(&end, &mut moved).len(), 1);
        assert_eq!(moved.verdict(), Verdict::Replied(ReplyKind::Settled), "{segment}");
    }
}

#[test]
fn after_a_loss_no_more_than_a_burst_is_sent_at_once() {
    for congestion in [Congestion::Standard, Congestion::Fast] {
        let engine = engine_with(congestion);
        let (client, first) = asked(&engine, Ends::v4(), 7, 4 << 20);
        let s = 1447;
        let echoed = numbered(&first, 398, s);
        let mut moved = client.moved(&engine);
        // 240 are in flight; three of them arrive behind the first, and then it and the others.
        let block = [client.first_byte().wrapping_add(401 * s), client.first_byte().wrapping_add(404 * s)];
        let hole = ack(&client, &echoed, 400 * s, 4 << 20, 7).sack(&[block.into()]);
        let resent = send(&hole, &mut moved);
        assert_eq!(offsets(&resent), [400 * s]);
        let next = send(&ack(&client, &resent[0], 532 * s, 4 << 20, 7), &mut moved);
        assert_eq!(offsets(&next), (532..532 + 64).map(|at| at * s).collect::<Vec<_>>());
    }
}

/// A gap of pairs in slow start, if it is the only one: the ACK that would have drawn it was lost, or came along with
/// something that draws nothing. It is sent when all has arrived, and slow start goes on with the slower line.
#[test]
fn a_gap_of_pairs_that_may_never_have_been_sent_does_not_end_slow_start() {
    let engine = engine();
    for ends in both() {
        let (client, first) = asked(&engine, ends, 7, 4 << 20);
        let s = full(&ends);
        let echoed = numbered(&first, 198, s);
        let mut moved = client.moved(&engine);
        let place = |segment: u32| client.first_byte().wrapping_add(segment * s);
        let top = (198 + slow_start(198)) & !1;
        let shows = |from: u32, to: u32| ack(&client, &echoed, 200 * s, 4 << 20, 7).sack(&[(place(from), place(to))]);
        for to in 203..top {
            assert!(send(&shows(202, to), &mut moved).is_empty(), "not all has arrived");
        }
        let resent = send(&shows(202, top), &mut moved);
        assert_eq!(offsets(&resent), [200 * s, 201 * s]);
        let next = send(&ack(&client, &resent[0], top * s, 4 << 20, 7), &mut moved);
        assert_eq!(offsets(&next), (top..(top + 24 + top / 4) & !1).map(|at| at * s).collect::<Vec<_>>());
        // And so it does behind another.
        let echoed = next[0].clone();
        let shows = |to: u32| ack(&client, &echoed, (top + 2) * s, 4 << 20, 7).sack(&[(place(top + 6), place(to))]);
        let all = (top + 24 + top / 4) & !1;
        let again = send(&shows(all), &mut moved);
        assert_eq!(offsets(&again), [top + 2, top + 3, top + 4, top + 5].map(|at| at * s));
        let next = send(&ack(&client, &again[0], all * s, 4 << 20, 7), &mut moved);
        assert_eq!(offsets(&next), (all..(all + 24 + all / 4) & !1).map(|at| at * s).collect::<Vec<_>>());
    }
}

#[test]
fn other_gaps_in_slow_start_are_losses_and_reduce_the_window() {
    let engine = engine();
    let (client, first) = asked(&engine, Ends::v4(), 7, 4 << 20);
    let s = full(&Ends::v4());
    let echoed = numbered(&first, 198, s);
    let place = |segment: u32| client.first_byte().wrapping_add(segment * s);
    let top = (198 + slow_start(198)) & !1;
    let gaps = [vec![(201, top)], vec![(203, top)], vec![(202, 210), (212, top)], vec![(202, 210), (211, top)]];
    for received in gaps {
        let blocks: Vec<_> = received.iter().map(|&(from, to)| (place(from), place(to))).collect();
        let mut moved = client.moved(&engine);
        let resent = send(&ack(&client, &echoed, 200 * s, 4 << 20, 7).sack(&blocks), &mut moved);
        assert_eq!(resent[0].offset, 200 * s);
        let next = send(&ack(&client, resent.last().unwrap(), top * s, 4 << 20, 7), &mut moved);
        assert_eq!(offsets(&next), (top..top + 64).map(|at| at * s).collect::<Vec<_>>(), "{received:?}");
    }
}

/// Windows that are narrower than what slow start would send are filled by pairs.
#[test]
fn slow_start_ends_with_a_pair_where_the_window_has_no_room_for_more() {
    let engine = engine();
    for ends in both() {
        let s = full(&ends);
        let (mut client, first) = asked(&engine, ends, 7, 1 << 20);
        for (room, end) in [(20, 26), (18, 26), (17, 24), (16, 24)] {
            let next = send(&ack(&client, &first[0], 8 * s, room * s + 100, 7), &mut client);
            assert_eq!(offsets(&next).last().unwrap() / s + 1, end, "{room}");
        }
    }
}

/// An ACK of all that was in flight tells what the window has room for, and the segments behind it say no more than was
/// sent. If they said what slow start would have sent, the next ACK would leave out what had no room.
#[test]
fn what_had_no_room_in_a_window_is_sent_when_the_window_has_grown() {
    let engine = engine();
    for ends in both() {
        let (s, narrow, wide) = (full(&ends), 60 * full(&ends), 1 << 20);
        let (mut client, mut flight) = asked(&engine, ends, 7, narrow);
        let mut end = 10;
        // Each time all of it has arrived at once. Slow start has 10, 20, 40, 52 and then 70 in flight, for which there
        // is no room.
        for sent in [20, 40, 52, 54] {
            flight = send(&ack(&client, &flight[0], end * s, narrow, 7), &mut client);
            assert_eq!(offsets(&flight), (end..end + sent).map(|at| at * s).collect::<Vec<_>>());
            end += sent;
        }
        let acked = end - 54 + 2;
        let next = send(&ack(&client, &flight[0], acked * s, wide, 7), &mut client);
        assert_eq!(offsets(&next), [end, end + 1].map(|at| at * s));
    }
}
