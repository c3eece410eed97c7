use super::*;
use crate::peer::bench::Bench;
use crate::random::Random;
use crate::testing;
use std::time::Duration;

fn settings() -> Settings {
    Settings::linux(&Ends::v4(), "/1000")
}

/// Lets a client with these settings fetch 1,000 bytes over a perfect network.
fn fetch(settings: Settings) -> Outcome {
    let engine = testing::engine();
    Bench::new(&engine, Client::new(settings)).run()
}

fn complete() -> Outcome {
    Outcome::Complete(testing::response(1000))
}

#[test]
fn every_setting_reads_the_same_bytes() {
    let plain = settings();
    let v6 = Settings::linux(&Ends::v6(), "/1000");
    for settings in [
        plain.clone(),
        v6.clone(),
        Settings { resolve: true, ..plain.clone() },
        Settings { resolve: true, ..v6 },
        Settings { timestamps: false, sack: false, window_scale: None, mss: None, ..plain.clone() },
        Settings { mss: Some(88), ..plain.clone() },
        Settings { mss: Some(8960), ..plain.clone() },
        Settings { window: 1152, ..plain.clone() },
        Settings { close: Close::AfterRequest, ..plain.clone() },
        Settings { close: Close::WithRequest, ..plain.clone() },
        Settings { ack_handshake: false, delayed_ack: Duration::ZERO, ..plain.clone() },
        Settings { think: Duration::from_secs(5), keep_alive: Some(Duration::from_secs(1)), ..plain.clone() },
        Settings { old_duplicates: true, ..plain.clone() },
        Settings { ends: Ends::v4().vlan(7), ..plain.clone() },
        plain.clone().split_at(&[30]),
        plain.split_at(&[1, 2, 3]),
    ] {
        assert_eq!(fetch(settings.clone()), complete(), "{settings:#?}");
    }
}

#[test]
fn other_errands_end_without_bytes() {
    for errand in [Errand::Connect, Errand::Abort, Errand::Scan] {
        assert_eq!(fetch(Settings { errand, ..settings() }), Outcome::Done, "{errand:?}");
    }
}

#[test]
fn every_lost_frame_is_made_good() {
    let engine = testing::engine();
    let frames = Bench::new(&engine, Client::new(settings())).count();
    for lost in 0..frames {
        let mut bench = Bench::new(&engine, Client::new(settings()));
        bench.lose(lost);
        assert_eq!(bench.run(), complete(), "frame {lost} of {frames} lost");
    }
}

/// A client with settings of which half are drawn, and the length of the body that it fetches.
fn any_settings(random: &mut Random) -> (Settings, usize) {
    let mss = *random.pick(&[None, Some(88), Some(536), Some(1220), Some(1460), Some(8960)]);
    // Where a reply just fits a segment, or just does not: around the MSS less timestamps and HTTP header.
    let head = testing::response(1000).len() - 1000;
    let edge = usize::from(mss.unwrap_or(536)).min(1460).saturating_sub(head + *random.pick(&[0, 12]));
    let len = *random.pick(&[1000, 1000, 0, 6000, edge, edge + 1, edge + 2, edge + 3]);
    let ends = *random.pick(&[Ends::v4(), Ends::v6(), Ends::v4().vlan(3)]);
    let mut coin = || random.below(2) == 1;
    let settings = Settings {
        resolve: coin(),
        timestamps: coin(),
        sack: coin(),
        window_scale: coin().then_some(7),
        ack_handshake: coin(),
        collapse: coin(),
        tail_loss_probe: coin(),
        keep_alive: coin().then_some(Duration::from_secs(1)),
        old_duplicates: coin(),
        ..Settings::linux(&ends, &format!("/{len}"))
    };
    let cut = random.below(60) as usize;
    let settings = Settings {
        close: *random.pick(&[Close::AfterReply, Close::AfterReply, Close::WithRequest, Close::AfterRequest]),
        mss,
        // The smallest holds the reply and its FIN, and nothing else.
        window: random
            .pick(&[64_240, 65_535, testing::response(len).len() as u32 + 1])
            .next_multiple_of(1 << settings.window_scale.unwrap_or_default()),
        delayed_ack: *random.pick(&[Duration::ZERO, Duration::from_millis(40)]),
        think: *random.pick(&[Duration::ZERO, Duration::from_millis(1500)]),
        isn: random.next_u64() as u32,
        timestamp_base: random.next_u64() as u32,
        ..settings
    };
    // Two limits of a server without state. Later parts of a request line are only read when they are sent
    // together with the first. And a FIN behind a part that was lost is acknowledged, and that part with it,
    // unless a timestamp tells that the client still waits.
    let settings = match settings.close {
        Close::AfterReply => settings,
        _ if settings.timestamps => settings,
        _ => Settings { close: Close::WithRequest, collapse: false, ..settings },
    };
    (if settings.collapse { settings.split_at(&[cut]) } else { settings }, len)
}

#[test]
fn any_client_gets_its_bytes_over_a_bad_cable() {
    let engine = testing::engine();
    for seed in 0..400 {
        let mut random = Random::from_seed(seed);
        let (settings, len) = any_settings(&mut random);
        let mut bench = Bench::new(&engine, Client::new(settings.clone()));
        bench.bad_cable(random);
        let outcome = bench.run();
        // Not `assert_eq!`: the bytes would hide the rest.
        assert!(outcome == Outcome::Complete(testing::response(len)), "seed {seed}: {settings:?}");
    }
}

#[test]
fn a_reply_that_the_window_does_not_hold_is_sent_in_segments_that_fit() {
    let settings = Settings { window: 500, retries: 3, ..settings() };
    assert!(matches!(fetch(settings), Outcome::Complete(_)));
}

#[test]
fn a_client_whose_small_writes_are_held_back_never_gets_through() {
    // What Nagle and a server that acknowledges nothing make of each other; see docs.
    let settings = Settings { nagle: true, retries: 3, ..settings() }.split_at(&[3]);
    assert_eq!(fetch(settings), Outcome::Failed("no answer to 3 retransmissions".to_owned()));
}

/// What a strict client says to a server whose frames `change` has changed.
fn verdict(change: impl Fn(Segment, &Tcp<'_>) -> Segment + 'static) -> Outcome {
    let engine = testing::engine();
    let mut bench = Bench::new(&engine, Client::new(settings()));
    bench.change(move |frame| {
        let dissected = Frame::dissect(frame).unwrap();
        let Some((_, tcp)) = dissected.tcp() else { return frame.to_vec() };
        change(Segment::copy_of(&Ends::v4().reversed(), tcp), tcp).frame()
    });
    bench.run()
}

#[test]
fn a_server_that_breaks_a_rule_is_told_which() {
    let is_data = |tcp: &Tcp<'_>| !tcp.payload.is_empty();
    let on_data = move |change: fn(Segment, &Tcp<'_>) -> Segment| {
        move |segment: Segment, tcp: &Tcp<'_>| if is_data(tcp) { change(segment, tcp) } else { segment }
    };
    let failed = |reason: &str| Outcome::Failed(reason.to_owned());
    assert_eq!(verdict(|segment, _| segment), complete(), "copies are true");
    assert_eq!(
        verdict(on_data(|segment, tcp| segment.ack_number(tcp.ack.value() + 1))),
        failed("it acknowledges 1 bytes that were never sent")
    );
    assert_eq!(
        verdict(|segment, tcp| segment.ack_number(tcp.ack.value() + 1)),
        failed("it acknowledges something else than our SYN")
    );
    assert_eq!(
        verdict(|segment, tcp| if tcp.mss.is_some() { segment.window_scale(3).option(&[254, 2]) } else { segment }),
        failed("option 254 that was not offered")
    );
    assert_eq!(
        verdict(on_data(|segment, _| segment.without_options())),
        failed("a segment without the timestamps agreed on")
    );
    assert_eq!(verdict(on_data(|segment, _| segment.with(Flags::new(0x40)))), failed("flags that were not agreed on"));
    assert_eq!(verdict(on_data(|segment, _| segment.mss(1460))), failed("an option that belongs on a SYN"));
    assert_eq!(
        verdict(on_data(|segment, tcp| segment.seq(tcp.seq.value().wrapping_add(70_000)))),
        failed("6820 bytes beyond the window that it was allowed")
    );
}

/// A client in the hands of a test that plays the server, whose stream begins at 1.
struct Held {
    client: Client,
    now: Instant,
    /// The client's first timestamp, for the server to give back.
    echo: u32,
    /// Where its request begins, and ends.
    asks: (u32, u32),
}

/// What the client says: number, acknowledgement, echo, blocks and bytes.
#[derive(PartialEq, Eq, Debug)]
struct Said {
    seq: u32,
    ack: u32,
    echo: u32,
    sack: Vec<(u32, u32)>,
    len: usize,
}

impl Held {
    /// One that has sent its request and got the SYN+ACK, with timestamp 100.
    fn new(settings: Settings) -> Self {
        let isn = settings.isn;
        let mut held = Self {
            client: Client::new(settings),
            now: Instant::from_unix_seconds(1_780_000_000),
            echo: 0,
            asks: (isn.wrapping_add(1), 0),
        };
        let mut out = Outbox::new();
        held.client.wake(held.now, &mut out);
        held.echo = Frame::dissect(&out[0]).unwrap().tcp().unwrap().1.timestamps.unwrap().0;
        let syn_ack = Segment::syn(&Ends::v4().reversed()).with(Flags::ACK).mss(1460).sack_permitted();
        let said = held.hear(20, &syn_ack.ack_number(held.asks.0).timestamps(100, held.echo));
        let request = said.last().unwrap();
        held.asks.1 = request.seq.wrapping_add(request.len as u32);
        held
    }

    /// Gives it a segment some milliseconds later.
    fn hear(&mut self, millis: u64, segment: &Segment) -> Vec<Said> {
        self.now = after(self.now, Duration::from_millis(millis));
        let mut out = Outbox::new();
        self.client.receive(self.now, &segment.frame(), &mut out);
        self.said(&out)
    }

    /// A thousand bytes of the stream, with this timestamp, that acknowledge all of the request but so much.
    fn hear_data(&mut self, seq: u32, stamp: u32, but: u32) -> Vec<Said> {
        let data = Segment::ack(&Ends::v4().reversed()).seq(seq).ack_number(self.asks.1 - but);
        self.hear(1, &data.timestamps(stamp, self.echo).payload([b'x'; 1000]))
    }

    fn wait(&mut self) -> Vec<Said> {
        self.now = self.client.deadline().unwrap();
        let mut out = Outbox::new();
        self.client.wake(self.now, &mut out);
        self.said(&out)
    }

    fn said(&self, out: &Outbox) -> Vec<Said> {
        let said = |frame: &Vec<u8>| {
            let frame = Frame::dissect(frame).unwrap();
            let tcp = frame.tcp().unwrap().1;
            let (seq, ack, sack) = (tcp.seq.value(), tcp.ack.value(), tcp.sack.clone());
            Said { seq, ack, echo: tcp.timestamps.map_or(self.echo, |(_, echo)| echo), sack, len: tcp.payload.len() }
        };
        out.iter().map(said).collect()
    }

    /// An ACK of its own.
    fn ack(&self, ack: u32, echo: u32, sack: &[(u32, u32)]) -> Vec<Said> {
        vec![Said { seq: self.asks.1, ack, echo, sack: sack.to_vec(), len: 0 }]
    }
}

#[test]
fn what_is_echoed_is_the_timestamp_of_the_segment_at_the_last_acknowledgement() {
    let mut held = Held::new(Settings { quick_acks: 0, ..settings() });
    assert_eq!(held.hear_data(1, 200, 0), []);
    assert_eq!(held.hear_data(1001, 201, 0), held.ack(2001, 200, &[]), "the second is not where it began");
    assert_eq!(held.hear_data(3001, 203, 0), held.ack(2001, 200, &[(3001, 4001)]), "nor is one behind a gap");
    assert_eq!(held.hear_data(2001, 202, 0), held.ack(4001, 202, &[]));
    assert_eq!(held.hear_data(4001, 204, 0), []);
    assert_eq!(held.wait(), held.ack(5001, 204, &[]), "held back for so long");
}

#[test]
fn an_older_timestamp_is_refused_and_old_data_is_told() {
    let mut held = Held::new(settings());
    assert_eq!(held.hear_data(1, 200, 0), held.ack(1001, 200, &[]));
    assert_eq!(held.hear_data(1001, 199, 0), held.ack(1001, 200, &[]), "new data, not taken");
    assert_eq!(held.hear_data(1, 199, 0), held.ack(1001, 200, &[(1, 1001)]));
    assert_eq!(held.hear_data(1, 201, 0), held.ack(1001, 201, &[(1, 1001)]), "it ends where we acknowledged");
    let far = Segment::ack(&Ends::v4().reversed()).seq(1_u32.wrapping_sub(1 << 30)).ack_number(held.asks.1);
    let far = far.timestamps(202, held.echo).payload(b"x");
    let place = 1_u32.wrapping_sub(1 << 30);
    assert_eq!(held.hear(1, &far), held.ack(1001, 201, &[(place, place + 1)]));
}

#[test]
fn every_segment_is_acknowledged_at_once_at_first_and_while_something_is_missing() {
    let mut held = Held::new(Settings { quick_acks: 2, ..settings() });
    assert_eq!(held.hear_data(1, 200, 0).len(), 1);
    assert_eq!(held.hear_data(1001, 201, 0).len(), 1);
    assert_eq!(held.hear_data(2001, 202, 0).len(), 0);
    assert_eq!(held.hear_data(4001, 204, 0).len(), 1);
    assert_eq!(held.hear_data(6001, 206, 0), held.ack(3001, 202, &[(6001, 7001), (4001, 5001)]));
    assert_eq!(held.hear_data(3001, 203, 0), held.ack(5001, 203, &[(6001, 7001)]), "a part of what is missing");
    assert_eq!(held.hear_data(5001, 205, 0), held.ack(7001, 205, &[]));
    assert_eq!(held.hear_data(7001, 207, 0).len(), 0);
}

#[test]
fn what_is_not_acknowledged_of_a_request_is_sent_again_with_what_is_missing_of_the_reply() {
    let mut held = Held::new(Settings { tail_loss_probe: false, ..settings() });
    held.hear_data(1, 200, 1);
    held.hear_data(2001, 202, 1);
    let again = |held: &Held| Said { seq: held.asks.1 - 1, ack: 1001, echo: 200, sack: vec![(2001, 3001)], len: 1 };
    assert_eq!(held.wait(), [again(&held)]);
    let first = held.now;
    assert_eq!(held.wait(), [again(&held)]);
    // 20 ms smoothed and 200 ms for its variation, doubled once: data that came in between changed nothing.
    assert_eq!(crate::clock::between(first, held.now), Duration::from_millis(440));
}

#[test]
fn a_segment_that_acknowledges_less_than_another_leaves_the_echo_unless_nothing_is_missing() {
    let mut held = Held::new(settings());
    assert_eq!(held.hear_data(1, 200, 1), held.ack(1001, 200, &[]));
    let all = held.asks.1 - held.asks.0;
    // Next in line, nothing else to it: Linux takes it before it looks at what it acknowledges.
    assert_eq!(held.hear_data(1001, 201, all), held.ack(2001, 201, &[]));
    assert_eq!(held.hear_data(3001, 203, 1), held.ack(2001, 201, &[(3001, 4001)]));
    // With something missing it looks first, and does not take the timestamp.
    assert_eq!(held.hear_data(2001, 204, all), held.ack(4001, 201, &[]));
}
