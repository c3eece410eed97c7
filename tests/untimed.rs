//! Long responses to clients without timestamps: the probes that are their clock, and requests that come again. One
//! rule a test; tests/transfers.rs has those of clients with timestamps.

mod support;

use lethe::config::{Config, Mtu, Refuse};
use lethe::cookie::{CookieFields, Mss, Scale};
use lethe::verdict::{Absorbed, DropReason, ReplyKind, Verdict};
use lethe::wire::seq::SeqNumber;
use lethe::wire::tcp::Flags;
use lethe::{App, Engine};
use lethe_sim::dialogue::Dialogue;
use lethe_sim::frame::{Ends, Segment};
use support::{Client, Offer, Sent, Stored, both, config, flow_keys, offsets, send, sent};

const REQUEST: &str = "GET /70000 HTTP/1.1\r\nHost: lethe.example\r\n\r\n";

/// A client with SACK, as those of Windows are.
const UNTIMED: Offer = Offer { mss: Some(1460), timestamps: false, sack: true };

/// Bytes of its segments over IPv4, a multiple of eight and not of sixteen, and of those of a client that says nothing
/// of itself.
const S: u32 = 1448;
const PLAIN: u32 = 536;

/// The longest request in one segment.
const REQUEST_MAX: u32 = 1460;

/// A client that has asked: segments and probes of its first window.
fn asked<A: App>(engine: &Engine<A>, ends: Ends, offer: Offer) -> (Client<'_, A>, Vec<Sent>, Vec<Sent>) {
    let mut client = Client::connected(engine, ends, offer);
    let frames = client.request(REQUEST);
    let (probes, segments) = sent(&client, &frames).into_iter().partition(Sent::is_probe);
    (client, segments, probes)
}

/// Sends a segment; the segments of the response that are sent for it.
fn draw<A: App>(segment: &Segment, client: &mut Client<'_, A>) -> Vec<Sent> {
    send(segment, client).into_iter().filter(|segment| !segment.is_probe()).collect()
}

/// The request of a client that has `read` bytes of the response.
fn request_again<A: App>(client: &Client<'_, A>, read: u32) -> Segment {
    client.at(0, read).payload(REQUEST)
}

/// What a probe is for, and the congestion window that a clock tells, as numbers.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Check = 0,
    Spare = 1,
    SlowStart = 2,
    Four = 3,
    Eight = 4,
    Twelve = 5,
    Sixteen = 6,
    TwentyFour = 7,
}

impl Kind {
    const CLOCKS: [Self; 6] = [Self::SlowStart, Self::Four, Self::Eight, Self::Twelve, Self::Sixteen, Self::TwentyFour];

    /// What the clock tells that goes with these segments.
    fn of_clock<A: App>(client: &Client<'_, A>, sent: &[Sent], now: u32, end: u32) -> u32 {
        let clock = sent.iter().find(|segment| segment.is_probe()).expect("a clock goes with a window");
        let told = Told::new(Self::Check, now, end).probe(client);
        clock.offset.wrapping_sub(told) & 7
    }
}

/// What an ACK tells whose first block is a probe.
#[derive(Clone, Copy, Debug)]
struct Told {
    kind: Kind,
    /// The version of the data set whose first response it is.
    generation: u32,
    /// Where the client is,
    now: u32,
    /// and up to where segments had been sent.
    sent: u32,
    request_len: u32,
}

impl Told {
    const fn new(kind: Kind, now: u32, sent: u32) -> Self {
        Self { kind, generation: 0, now, sent, request_len: REQUEST.len() as u32 }
    }

    /// Where the probe begins, from the start of the response. See the layout in `src/tcp/probe.rs`.
    fn probe<A: App>(self, client: &Client<'_, A>) -> u32 {
        const MARGIN: u32 = 1 << 17;
        const CIRCLE: u64 = (1 << 31) - 2 * MARGIN as u64;
        let Self { kind, generation, now, sent, .. } = self;
        let block = generation << 15 | now >> 14;
        let place = (u64::from(flow_keys(&client.ends).timestamp_base) + (u64::from(block) << 14)) % CIRCLE;
        sent.wrapping_sub(1).wrapping_sub(MARGIN + place as u32 - kind as u32)
    }

    /// The ACK, with these blocks behind that of the probe.
    fn with<A: App>(self, client: &Client<'_, A>, received: &[(u32, u32)]) -> Segment {
        let Self { now, request_len, .. } = self;
        let probe = self.probe(client);
        let blocks: Vec<_> = [(probe, probe.wrapping_add(request_len))]
            .iter()
            .chain(received)
            .map(|&(from, to)| (client.first_byte().wrapping_add(from), client.first_byte().wrapping_add(to)))
            .collect();
        client.at(request_len, now).sack(&blocks)
    }
}

#[test]
fn a_probe_tells_how_far_back_it_is_from_what_was_sent() {
    let engine = Stored::new(60_000).engine();
    let len = REQUEST.len() as u32;
    for port in 1..=8 {
        let (client, _, probes) = asked(&engine, Ends::v4().client_port(port), UNTIMED);
        assert_eq!(probes.len(), 2);
        for (probe, kind) in probes.iter().zip([Kind::SlowStart, Kind::Spare]) {
            let place = client.first_byte().wrapping_add(probe.offset);
            let told = Told::new(kind, 0, 10 * S).with(&client, &[]);
            assert_eq!(client.at(len, 0).sack(&[(place, place.wrapping_add(len))]), told, "{kind:?}");
        }
    }
}

#[test]
fn a_probe_that_tells_what_cannot_be_draws_nothing() {
    let engine = Stored::new(20_000).engine();
    let (mut client, ..) = asked(&engine, Ends::v4(), UNTIMED);
    let mut drawn = |now, sent| offsets(&draw(&Told::new(Kind::Twelve, now, sent).with(&client, &[]), &mut client));
    assert_eq!(drawn(7 * S, 10 * S), [7, 8, 10, 11, 12, 13].map(|at| at * S));
    // The last segment is the fourteenth.
    assert_eq!(drawn(10 * S, 14 * S), [10, 11, 12].map(|at| at * S));
    assert_eq!([drawn(7 * S, 10 * S + 8), drawn(10 * S, 15 * S), drawn(7 * S + 8, 10 * S)], [const { vec![] }; 3]);
    assert_eq!(client.verdict(), Verdict::Absorbed(Absorbed::Progress));
}

#[test]
fn a_response_that_ends_with_a_full_segment_has_its_fin_behind_that() {
    let engine = Stored::new(14 * S as usize).engine();
    let (mut client, ..) = asked(&engine, Ends::v4(), UNTIMED);
    // All has been sent, and the FIN counts as the segment that it would begin.
    let rest = draw(&Told::new(Kind::Eight, 13 * S, 15 * S).with(&client, &[]), &mut client);
    assert_eq!(offsets(&rest), [13 * S]);
    assert!(rest[0].flags.has(Flags::FIN));
}

#[test]
fn a_clock_draws_what_is_missing_and_a_window_from_where_that_ends() {
    let engine = Stored::new(60_000).engine();
    let (mut client, ..) = asked(&engine, Ends::v4(), UNTIMED);
    let mut drawn =
        |kind, now, received: &[_]| offsets(&draw(&Told::new(kind, now, 10 * S).with(&client, received), &mut client));
    // The last segment goes behind the clock: it is not missing.
    for (kind, segments) in Kind::CLOCKS.into_iter().zip([20, 4, 8, 12, 16, 24]) {
        assert_eq!(drawn(kind, 9 * S, &[]), (10..10 + segments).map(|at| at * S).collect::<Vec<_>>(), "{kind:?}");
    }
    // Behind a loss eight are left of twelve, and sixteen of 24: what is missing, and new ones.
    assert_eq!(drawn(Kind::Twelve, 7 * S, &[]), [7, 8, 10, 11, 12, 13, 14, 15].map(|at| at * S));
    assert_eq!(drawn(Kind::Twelve, S, &[(3 * S, 9 * S)]), [1, 2, 10, 11, 12, 13, 14, 15].map(|at| at * S));
    let new: Vec<_> = (1..3).chain(10..24).map(|at| at * S).collect();
    assert_eq!(drawn(Kind::TwentyFour, S, &[(3 * S, 9 * S)]), new);
    // One new segment at least.
    assert_eq!(drawn(Kind::Four, 3 * S, &[]), [3, 4, 5, 6, 7, 8, 10].map(|at| at * S));
}

#[test]
fn a_clock_tells_the_window_of_which_there_is_less_behind_a_loss_and_more_at_each_line_of_the_grid() {
    let engine = Stored::new(200_000).engine();
    let (mut client, ..) = asked(&engine, Ends::v4(), UNTIMED);
    let mut told = |kind, [now, sent]: [u32; 2], end| {
        let next = send(&Told::new(kind, now * S, sent * S).with(&client, &[]), &mut client);
        Kind::of_clock(&client, &next, now * S, end * S)
    };
    assert_eq!(told(Kind::SlowStart, [9, 10], 30), Kind::SlowStart as u32);
    // 32 kB are between the 22nd segment and the 23rd.
    assert_eq!(told(Kind::Four, [9, 10], 14), Kind::Four as u32);
    assert_eq!(told(Kind::Four, [19, 20], 24), Kind::Eight as u32);
    // No clock tells of more than 24.
    assert_eq!(told(Kind::TwentyFour, [80, 81], 105), Kind::TwentyFour as u32);
    assert_eq!(told(Kind::TwentyFour, [8, 10], 25), Kind::Sixteen as u32);
}

#[test]
fn a_check_that_finds_its_client_where_it_was_draws_a_first_window() {
    let engine = Stored::new(200_000).engine();
    let (mut client, ..) = asked(&engine, Ends::v4(), UNTIMED);
    let next = draw(&Told::new(Kind::Check, 40 * S, 40 * S).with(&client, &[]), &mut client);
    assert_eq!(offsets(&next), (40..50).map(|at| at * S).collect::<Vec<_>>());
}

#[test]
fn a_check_draws_what_is_missing_and_the_fin_if_that_is_all() {
    // The last segment is the twenty-first, and a client may drop the FIN that comes with it behind a gap.
    let len = 20 * S + 100;
    let engine = Stored::new(len as usize).engine();
    let (mut client, ..) = asked(&engine, Ends::v4(), UNTIMED);
    let mut drawn = |now, received: &[_]| draw(&Told::new(Kind::Check, now, now).with(&client, received), &mut client);
    for received in [(14 * S, len), (14 * S, len + 1)] {
        let missing = offsets(&drawn(12 * S, &[received]));
        let fin = (received.1 == len).then_some(len);
        assert_eq!(missing, [12 * S, 13 * S].into_iter().chain(fin).collect::<Vec<_>>(), "{received:?}");
    }
}

#[test]
fn a_probe_tells_of_32_segments_wherever_in_a_block_the_client_is() {
    let engine = Stored::new(400_000).engine();
    let (mut client, ..) = asked(&engine, Ends::v4(), UNTIMED);
    for now in 0..200 {
        // The probe was sent when the client was there, and it has received what came next, and lacks the rest.
        let sent = (now + 33) * S;
        for got in [0, 1, 16, 32, 33] {
            let told = Told::new(Kind::Spare, now * S, sent);
            let place = client.first_byte().wrapping_add(told.probe(&client));
            let ack = client.at(told.request_len, (now + got) * S);
            let check = send(&ack.sack(&[(place, place.wrapping_add(told.request_len))]), &mut client);
            assert_eq!((check.len(), client.verdict()), (1, Verdict::Replied(ReplyKind::Probe)), "{now} {got}");
        }
    }
}

#[test]
fn behind_the_fin_everything_is_acknowledged_and_ahead_of_it_nothing() {
    // Where a client is can be told in steps of eight bytes.
    for (len, now, verdict) in [(19_999, 20_000, ReplyKind::Settled), (20_000, 20_000, ReplyKind::Probe)] {
        let engine = Stored::new(len).engine();
        let (mut client, ..) = asked(&engine, Ends::v4(), UNTIMED);
        client.send(&Told::new(Kind::Spare, now, 14 * S).with(&client, &[]));
        assert_eq!(client.verdict(), Verdict::Replied(verdict), "{len}");
    }
}

#[test]
fn a_request_of_a_full_segment_has_a_clock() {
    let engine = Stored::new(60_000).engine();
    let mut client = Client::connected(&engine, Ends::v4(), UNTIMED);
    let head = "GET / HTTP/1.0\r\nX: ";
    let request = format!("{head}{}\r\n\r\n", "x".repeat(REQUEST_MAX as usize - head.len() - 4));
    let frames = client.request(&request);
    assert_eq!(sent(&client, &frames).iter().filter(|segment| segment.is_probe()).count(), 2);
    let told = Told { request_len: REQUEST_MAX, ..Told::new(Kind::SlowStart, 9 * S, 10 * S) };
    assert_eq!(draw(&told.with(&client, &[]), &mut client).len(), 20);
}

#[test]
fn a_response_that_does_not_begin_with_a_block_has_no_clock() {
    for (first, probes) in [(0, 2), (1, 0), (31, 0), (32, 2)] {
        let engine = Stored { first, ..Stored::new(60_000) }.engine();
        assert_eq!(asked(&engine, Ends::v4(), UNTIMED).2.len(), probes, "{first}");
    }
}

#[test]
fn segments_are_no_longer_than_a_path_surely_takes_and_twelve_fit_what_a_probe_can_tell() {
    let engine = Engine::new(Config { mtu: Mtu::new(9000).unwrap(), ..config(Refuse::Drop) }, Stored::new(60_000));
    let offer = Offer { mss: Some(8940), ..UNTIMED };
    for (ends, len, segments) in [(Ends::v4(), 4088, 10), (Ends::v6(), 1208, 10)] {
        let (_, first, _) = asked(&engine, ends, offer);
        assert_eq!((first[0].payload.len(), first.len()), (len, segments));
    }
}

#[test]
fn the_longest_response_in_segments_has_a_gibibyte_and_a_bit() {
    const LONGEST: usize = (1 << 30) + (1 << 24);
    for (len, kind) in [(LONGEST, ReplyKind::FirstWindow), (LONGEST + 1, ReplyKind::Refusal)] {
        let engine = Stored::new(len).engine();
        let (client, first, _) = asked(&engine, Ends::v4(), Offer::PLAIN);
        assert_eq!(client.verdict(), Verdict::Replied(kind));
        assert_eq!(first.len(), if kind == ReplyKind::Refusal { 1 } else { 10 });
    }
}

#[test]
fn the_longer_a_response_the_fewer_segments_answer_a_request_that_comes_again() {
    for (len, again) in [(70_000, 10), (1 << 22, 8), (10_000_000, 3), (1 << 25, 1), (100_000_000, 1)] {
        let engine = Stored::new(len).engine();
        let (mut client, first, _) = asked(&engine, Ends::v4(), Offer::PLAIN);
        assert_eq!(first.len(), 10, "nothing is known of its client that a cookie does not prove");
        let resumed = draw(&request_again(&client, 7 * PLAIN), &mut client);
        assert_eq!(offsets(&resumed), (7..7 + again).map(|at| at * PLAIN).collect::<Vec<_>>(), "{len}");
    }
}

#[test]
fn the_longer_a_response_the_sooner_its_request_comes_too_late() {
    // 2,000,000,000 bytes in all, a response an epoch: twenty epochs.
    let engine = Stored::new(100_000_000).engine();
    let (mut client, ..) = asked(&engine, Ends::v4(), Offer::PLAIN);
    client.wait(19 * 60);
    assert_eq!(draw(&request_again(&client, 7 * PLAIN), &mut client).len(), 1);
    client.wait(60);
    assert!(draw(&request_again(&client, 7 * PLAIN), &mut client).is_empty());
}

#[test]
fn a_client_that_lacks_only_the_fin_gets_it_where_that_would_begin_a_segment() {
    let len = 20 * PLAIN;
    let engine = Stored::new(len as usize).engine();
    let (mut client, ..) = asked(&engine, Ends::v4(), Offer::PLAIN);
    let fin = draw(&request_again(&client, len), &mut client);
    assert_eq!(offsets(&fin), [len]);
    assert!(fin[0].flags.has(Flags::FIN) && fin[0].payload.is_empty());
    client.send(&request_again(&client, len + 1));
    assert_eq!(client.verdict(), Verdict::Replied(ReplyKind::Settled));
}

#[test]
fn the_version_of_the_data_that_a_connection_began_with_is_the_one_it_gets_and_none_that_is_gone() {
    let began = Stored::of_version(1, 0b0010).engine();
    for (later, goes_on) in Stored::later_versions() {
        let (client, ..) = asked(&began, Ends::v4(), UNTIMED);
        let told = Told { generation: 1, ..Told::new(Kind::Eight, 9 * S, 10 * S) };
        let next = draw(&told.with(&client, &[]), &mut client.moved(&later));
        assert_eq!(next.len(), if goes_on { 8 } else { 0 }, "{:?}", later.app().generations);
        let (client, ..) = asked(&began, Ends::v4(), Offer::PLAIN);
        let resumed = draw(&request_again(&client, 7 * PLAIN), &mut client.moved(&later));
        assert_eq!(resumed.len(), if goes_on { 10 } else { 0 }, "{:?}", later.app().generations);
    }
}

#[test]
fn any_cookie_tells_the_end_of_a_response() {
    // Cookies that claim the same are 2^27 numbers in a row: here are the first of them and the last.
    let engine = Stored::new(50_000).engine();
    let fields = CookieFields { mss: Mss::at_most(536), generation: 0, scale: Scale::NONE };
    let mut dialogue = Dialogue::new(&engine);
    for low in [0, u32::MAX] {
        let now = dialogue.now();
        let cookie = |ends: &Ends, isn| flow_keys(ends).cookie(now, SeqNumber::new(isn), fields, false).0.value();
        let ends = (1..=u8::MAX)
            .flat_map(|host| (1..=u16::MAX).map(move |port| (host, port)))
            .map(|(host, port)| {
                let mut ends = Ends::v4().client_port(port);
                ends.client.set_ip([10, 9, 1, host].into());
                ends
            })
            .find(|ends| cookie(ends, 0) as u16 == low as u16)
            .unwrap();
        let isn = (0..1 << 20).find(|&isn| cookie(&ends, isn) << 5 == low << 5).unwrap();
        for (read, kind) in [(50_001, ReplyKind::Settled), (7 * PLAIN, ReplyKind::Resumed)] {
            let ack = cookie(&ends, isn).wrapping_add(1 + read);
            dialogue.send(&Segment::ack(&ends).seq(isn + 1).ack_number(ack).payload(REQUEST).frame());
            assert_eq!(dialogue.verdict(), Some(Verdict::Replied(kind)), "{low:#x}");
        }
    }
}

#[test]
fn a_fin_with_a_request_from_before_our_time_is_no_end_of_anything() {
    for ends in both() {
        let engine = Stored::new(50_000).engine();
        let mut client = Client::connected(&engine, ends, Offer::PLAIN);
        let stray = client.at(1448, 3).with(Flags::FIN);
        client.send(&stray.clone().payload(REQUEST));
        assert_eq!(client.verdict(), Verdict::Dropped(DropReason::TcpCookie));
        client.send(&stray.payload("the rest of something"));
        assert_eq!(client.verdict(), Verdict::Replied(ReplyKind::FinAck));
    }
}
