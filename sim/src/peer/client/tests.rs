use super::*;
use crate::peer::bench::Bench;
use crate::random::Random;
use crate::sample;
use std::time::Duration;

fn settings() -> Settings {
    Settings::linux(&Ends::v4(), "/1000")
}

/// Lets a client with these settings fetch 1,000 bytes over a perfect network.
fn fetch(settings: Settings) -> Outcome {
    let engine = sample::engine();
    Bench::new(&engine, Client::new(settings)).run()
}

fn complete() -> Outcome {
    Outcome::Complete(sample::response(1000))
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
        Settings { window: 1100, ..plain.clone() },
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
    let engine = sample::engine();
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
    let head = sample::response(1000).len() - 1000;
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
        window: *random.pick(&[64_240, 65_535, sample::response(len).len() as u32 + 1]),
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
    let engine = sample::engine();
    for seed in 0..400 {
        let mut random = Random::from_seed(seed);
        let (settings, len) = any_settings(&mut random);
        let mut bench = Bench::new(&engine, Client::new(settings.clone()));
        bench.bad_cable(random);
        let outcome = bench.run();
        // Not `assert_eq!`: the bytes would hide the rest.
        assert!(outcome == Outcome::Complete(sample::response(len)), "seed {seed}: {settings:?}");
    }
}

#[test]
fn a_reply_that_the_window_does_not_hold_is_not_sent() {
    let settings = Settings { window: 500, retries: 3, ..settings() };
    assert_eq!(fetch(settings), Outcome::Failed("no answer to 3 retransmissions".to_owned()));
}

#[test]
fn a_client_whose_small_writes_are_held_back_never_gets_through() {
    // What Nagle and a server that acknowledges nothing make of each other; see docs.
    let settings = Settings { nagle: true, retries: 3, ..settings() }.split_at(&[3]);
    assert_eq!(fetch(settings), Outcome::Failed("no answer to 3 retransmissions".to_owned()));
}

/// What a strict client says to a server whose frames `change` has changed.
fn verdict(change: impl Fn(Segment, &Tcp<'_>) -> Segment + 'static) -> Outcome {
    let engine = sample::engine();
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
        failed("option 254 that nobody offered")
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
