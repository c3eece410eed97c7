use lethe::{App, Engine};

use super::*;
use crate::peer::bench::Bench;
use crate::peer::client::Settings;
use crate::random::Random;
use crate::testing;

/// Each is a path, and how its request follows the one before.
fn settings(ends: &Ends, asked: &[(&str, Timing)], ending: Ending) -> SessionSettings {
    let requests = asked.iter().map(|&(path, timing)| SessionRequest {
        bytes: format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n").into_bytes(),
        timing,
        cuts: Vec::new(),
        gap: Duration::ZERO,
    });
    let requests = requests.collect();
    SessionSettings { client: Settings::linux(ends, "/"), requests, ending, heals_after: Duration::ZERO }
}

fn engine() -> Engine<testing::Sized> {
    testing::engine_with(|config| config.keep_alive = true)
}

/// What a client has to read that asks for bodies of these sizes.
fn wanted(sizes: &[usize]) -> Outcome {
    Outcome::Complete(sizes.iter().flat_map(|&size| normalized(&testing::response(size))).collect())
}

fn run<A: App>(engine: &Engine<A>, settings: SessionSettings) -> (Outcome, u32) {
    let session = Bench::new(engine, Session::new(settings)).run_for_peer();
    (session.outcome(), session.connections())
}

const AT_ONCE: Timing = Timing::Answered(Duration::ZERO);
const ENDINGS: [Ending; 3] = [Ending::Close(Duration::from_secs(9)), Ending::HalfClose, Ending::Reset];

#[test]
fn every_request_is_answered_on_one_connection_however_it_follows() {
    let engine = engine();
    for ends in [Ends::v4(), Ends::v6()] {
        for timing in
            [AT_ONCE, Timing::Joined, Timing::Written(Duration::ZERO), Timing::Written(DAY), Timing::Answered(DAY)]
        {
            for ending in ENDINGS {
                let settings = settings(&ends, &[("/10", AT_ONCE), ("/20", timing), ("/30", timing)], ending);
                assert_eq!(run(&engine, settings), (wanted(&[10, 20, 30]), 1), "{timing:?}, {ending:?}");
            }
        }
    }
}

const DAY: Duration = Duration::from_hours(24);

#[test]
fn an_idle_client_is_answered_each_probe_and_gives_up_without() {
    let kept = engine();
    let closing = testing::engine();
    let mut settings = settings(&Ends::v4(), &[("/10", AT_ONCE), ("/20", Timing::Answered(DAY))], ENDINGS[0]);
    settings.client.keep_alive = Some(Duration::from_mins(10));
    assert_eq!(run(&kept, settings.clone()), (wanted(&[10, 20]), 1));
    let mut bench = Bench::new(&kept, Session::new(settings.clone()));
    bench.change(|frame| {
        // From the second answer on, all that has no payload is lost: the engine does not answer probes.
        let is_ack = Frame::dissect(frame).unwrap().tcp().unwrap().1.flags == lethe::wire::tcp::Flags::ACK;
        if is_ack { Vec::new() } else { frame.to_vec() }
    });
    assert_eq!(bench.run(), Outcome::Failed("no answer to 9 probes of an idle connection".to_owned()));
    assert_eq!(run(&closing, settings), (wanted(&[10, 20]), 2), "it has no connection to be probed");
}

/// `tcp_keepalive_timer`: a retransmission asks already.
#[test]
fn a_connection_with_something_unacknowledged_is_not_probed() {
    let closing = testing::engine();
    let mut settings = settings(&Ends::v4(), &[("/10", AT_ONCE)], Ending::Wait);
    settings.client.keep_alive = Some(Duration::from_secs(10));
    let mut bench = Bench::new(&closing, Session::new(settings));
    bench.change(|frame| {
        // The client's FIN, behind the response, is never acknowledged.
        let is_ack = Frame::dissect(frame).unwrap().tcp().unwrap().1.flags == lethe::wire::tcp::Flags::ACK;
        if is_ack { Vec::new() } else { frame.to_vec() }
    });
    assert_eq!(bench.run(), Outcome::Failed("no answer to 15 retransmissions".to_owned()));
}

#[test]
fn what_the_server_does_not_answer_before_it_closes_is_asked_again() {
    let closing = testing::engine();
    let all = [("/10", AT_ONCE), ("/20", Timing::Joined), ("/30", Timing::Written(Duration::ZERO)), ("/40", AT_ONCE)];
    let (outcome, connections) = run(&closing, settings(&Ends::v4(), &all, ENDINGS[0]));
    assert_eq!((outcome, connections), (wanted(&[10, 20, 30, 40]), 4));
    let (outcome, _) = run(&engine(), settings(&Ends::v4(), &[("/10", AT_ONCE), ("/9000", AT_ONCE)], ENDINGS[0]));
    assert_eq!(outcome, wanted(&[10, 9000]), "a long one, on this connection or another");
}

#[test]
fn whatever_the_cable_does_all_is_answered_in_order() {
    let engine = engine();
    for seed in 0..200 {
        let mut random = Random::from_seed(seed);
        let timings = [AT_ONCE, Timing::Joined, Timing::Written(Duration::from_millis(5))];
        let asked = ["/10", "/20", "/300", "/40"].map(|path| (path, *random.pick(&timings)));
        let settings = settings(&Ends::v4(), &asked, *random.pick(&ENDINGS));
        let mut bench = Bench::new(&engine, Session::new(settings));
        bench.bad_cable(random.fork("cable"));
        assert_eq!(bench.run(), wanted(&[10, 20, 300, 40]), "{seed}");
    }
}

#[test]
fn what_answers_nothing_is_seen() {
    let engine = engine();
    let mut bench = Bench::new(&engine, Session::new(settings(&Ends::v4(), &[("/10", AT_ONCE)], ENDINGS[0])));
    bench.change(|frame| {
        let frame = Frame::dissect(frame).unwrap();
        let tcp = frame.tcp().unwrap().1;
        let longer = [tcp.payload, &b"HTTP/1.1 200 OK\r\n"[..]].concat();
        let segment = crate::frame::Segment::copy_of(&Ends::v4().reversed(), tcp);
        if tcp.payload.is_empty() { segment.frame() } else { segment.payload(longer).frame() }
    });
    assert_eq!(bench.run(), Outcome::Failed("17 bytes that answer no request".to_owned()));
}

#[test]
fn a_response_is_told_from_the_next_and_from_what_is_none() {
    let parse = |text: &str| Framed::parse(text.as_bytes(), false).map(|framed| framed.map(|framed| framed.len));
    let text = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcHTTP";
    assert_eq!(parse(text), Ok(Some(41)));
    assert_eq!(parse(&text[..30]), Ok(None));
    assert_eq!(parse("HTTP/1.1 304 Not Modified\r\n\r\n"), Ok(Some(29)));
    assert_eq!(Framed::parse(text.as_bytes(), true), Ok(Some(Framed { len: 38, is_last: false })));
    assert!(parse("abc").is_err() && parse("HTTP/1.1 200 OK\r\n\r\n").is_err());
    let closing = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\nConnection: close";
    assert!(Framed::parse(closing.as_bytes(), false).unwrap().unwrap().is_last);
    assert_eq!(normalized(closing.as_bytes()), b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nConnection: close");
}
