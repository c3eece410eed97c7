//! The clients against the engine itself, in virtual time, through a wire that may lose frames.

use std::cell::Cell;
use std::collections::VecDeque;
use std::time::Duration;

use lethe::Engine;
use lethe::app::{App, Request};
use lethe::config::{Config, LargeReplies, Refuse};
use lethe::cookie::Secret;
use lethe::engine::SCRATCH_LEN;
use lethe::http::{Response, Status};
use lethe::port::{RxFrame, RxQueue, Transmit, TxFrame, TxQueue};
use lethe::time::Instant;
use lethe::turn;
use lethe::verdict::Stats;
use lethe::wire::ethernet::MacAddress;
use lethe_load::{
    Compare, Failure, Flood, FloodKind, Generator, KeepAlive, Part, Plan, RunError, Settings, SettingsError, Slow,
    SlowCounts, Stage,
};
use lethe_sim::dissect::Frame;
use lethe_sim::frame::{Ends, Segment};
use lethe_sim::sample::{Sample, expected};

/// When the simulated time begins.
const START: u64 = 1_700_000_000_000_000_000;

/// How far it goes on between two turns: a quick network.
const STEP: u64 = 50_000;

/// One direction of a wire. A frame is lost when its number, mixed, falls below the loss.
#[derive(Default)]
struct Direction {
    frames: VecDeque<Vec<u8>>,
    /// The one that was handed out last.
    current: Vec<u8>,
    loss: u64,
    /// One of so many is changed on its way, in its last byte; none, if zero.
    damage: u64,
    count: u64,
}

impl Direction {
    fn put(&mut self, mut frame: Vec<u8>) {
        self.count += 1;
        let mixed = self.count.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        if self.damage > 0 && self.count.is_multiple_of(self.damage) {
            *frame.last_mut().unwrap() ^= 1;
        }
        if mixed % 1000 >= self.loss {
            self.frames.push_back(frame);
        }
    }
}

impl RxQueue for Direction {
    fn receive(&mut self) -> Option<RxFrame<'_>> {
        self.current = self.frames.pop_front()?;
        Some(RxFrame::unchecked(&self.current))
    }
}

impl TxQueue for Direction {
    fn transmit(&mut self, write: impl FnOnce(&mut [u8]) -> Option<TxFrame>) -> Transmit {
        let mut buffer = vec![0; 1518];
        let Some(TxFrame { len, .. }) = write(&mut buffer) else { return Transmit::Nothing };
        buffer.truncate(len);
        self.put(buffer);
        Transmit::Queued(len)
    }

    fn flush(&mut self) {}
}

/// Clients, a server, and the wire between them.
struct Lab<A> {
    generator: Generator,
    engine: Engine<A>,
    up: Direction,
    down: Direction,
    now: Cell<u64>,
    stats: Stats,
}

fn config() -> Config {
    let mut config = Config::new(Secret::new([7; 16]));
    config.addresses.add("10.9.0.2".parse().unwrap()).unwrap();
    config.addresses.add("fd09::2".parse().unwrap()).unwrap();
    config
}

impl<A: App> Lab<A> {
    fn new(settings: Settings, app: A) -> Self {
        Self::with(settings, config(), app)
    }

    fn with(settings: Settings, config: Config, app: A) -> Self {
        Self {
            generator: Generator::new(settings).unwrap(),
            engine: Engine::new(config, app),
            up: Direction::default(),
            down: Direction::default(),
            now: Cell::new(START),
            stats: Stats::default(),
        }
    }

    /// Of a thousand frames in each direction so many are lost.
    fn losing(mut self, loss: u64) -> Self {
        (self.up.loss, self.down.loss) = (loss, loss);
        self
    }

    fn step(&mut self) -> Result<(), RunError> {
        let now = &self.now;
        self.generator.turn(|| Instant::from_unix_nanos(now.get()), &mut self.down, &mut self.up)?;
        self.step_engine();
        Ok(())
    }

    fn step_engine(&mut self) {
        let (now, mut scratch) = (Instant::from_unix_nanos(self.now.get()), vec![0; SCRATCH_LEN]);
        turn(&self.engine, now, &mut (&mut self.up, &mut self.down), &mut scratch, &mut self.stats, 256);
        self.now.set(self.now.get() + STEP);
    }

    fn run(mut self) -> Result<Self, RunError> {
        let end = self.now.get() + 600_000_000_000;
        while !self.generator.is_over() {
            self.step()?;
            assert!(self.now.get() < end, "it does not end: {:?}", self.generator.counts());
        }
        Ok(self)
    }

    #[track_caller]
    fn check_all_answered(&self, connections: u64) {
        let counts = self.generator.counts();
        assert_eq!((counts.begun, counts.opened), (connections, connections), "{counts:?}");
        assert_eq!((counts.answered, counts.failures()), (connections, 0), "{counts:?}");
        assert_eq!(self.generator.latency().count(), connections);
        assert_eq!(self.generator.mismatch(), None);
    }
}

fn settings(plan: Plan) -> Settings {
    Settings {
        mac: MacAddress::new([2, 0, 0, 0, 0, 1]),
        mtu: 1500,
        from: vec!["10.0.0.0/8".parse().unwrap(), "fd00::/16".parse().unwrap()],
        to: vec!["10.9.0.2:80".parse().unwrap(), "[fd09::2]:80".parse().unwrap()],
        gateways: vec![],
        paths: vec!["/100".to_owned(), "/0".to_owned()],
        host: None,
        expect: None,
        compare: Compare::Body,
        plan,
        keep_alive: None,
        timeout: Duration::from_secs(30),
        mss: None,
        timestamps: true,
        window: 256,
        slow: vec![],
        floods: vec![],
        flood_from: vec!["198.18.0.0/15".parse().unwrap(), "2001:2::/48".parse().unwrap()],
        seed: 5,
    }
}

fn open(connections: u32) -> Plan {
    Plan::Open { connections, per_second: None, hold: Duration::from_secs(1) }
}

fn rate(per_second: f64, seconds: u64) -> Plan {
    Plan::Rate { per_second, duration: Duration::from_secs(seconds) }
}

fn sample() -> Sample {
    Sample::new(1 << 20)
}

#[test]
fn ten_thousand_connections_are_open_at_once_and_each_is_answered() {
    let mut lab = Lab::new(settings(open(10_000)), sample());
    while lab.generator.stage() < Stage::Holding {
        lab.step().unwrap();
    }
    assert_eq!((lab.generator.counts().open(), lab.generator.counts().answered), (10_000, 0));
    let lab = lab.run().unwrap();
    lab.check_all_answered(10_000);
    assert_eq!(lab.generator.counts().sent_again, 0);
    let replies: Vec<_> = lab.generator.replies().collect();
    assert_eq!(replies, [("/100", 200, 100), ("/0", 200, 0)]);
}

#[test]
fn what_is_lost_is_sent_again_until_all_are_answered() {
    for loss in [50, 200] {
        // Of five tries all fail once in 170 times, where a fifth is lost each way: more are needed.
        let settings = Settings { timeout: Duration::from_mins(5), ..settings(open(2000)) };
        let lab = Lab::new(settings, sample()).losing(loss).run().unwrap();
        lab.check_all_answered(2000);
        assert!(lab.generator.counts().sent_again > 2000 * loss / 1000, "{:?}", lab.generator.counts());
    }
}

#[test]
fn replies_of_many_segments_are_read_to_their_ends_in_every_way_to_send_them() {
    for (large, timestamps) in [
        (LargeReplies::Clocked, true),
        (LargeReplies::Clocked, false),
        (LargeReplies::Segments, true),
        (LargeReplies::Segments, false),
    ] {
        let config = Config { large_replies: large, ..config() };
        let paths = vec!["/100000".to_owned()];
        let settings = Settings { paths, timestamps, expect: Some(expected(100_000)), ..settings(open(20)) };
        let lab = Lab::with(settings, config, sample()).run().unwrap();
        lab.check_all_answered(20);
    }
}

#[test]
fn large_replies_come_whole_though_frames_are_lost() {
    let paths = vec!["/20000".to_owned()];
    let settings = Settings { paths, expect: Some(expected(20_000)), ..settings(open(50)) };
    let lab = Lab::new(settings, sample()).losing(20).run().unwrap();
    lab.check_all_answered(50);
}

#[test]
fn a_rate_is_kept_whatever_the_answers() {
    let lab = Lab::new(settings(rate(3000.0, 5)), sample()).losing(10).run().unwrap();
    lab.check_all_answered(15_000);
    assert_eq!(lab.generator.counts().never_begun, 0);
    // Of a hundred a SYN is lost or its answer, and that takes a second at least; most take a step or two.
    assert!(lab.generator.latency().quantile(0.9) < 1000);
    assert!(lab.generator.latency().quantile(0.99) >= 200_000);
}

/// A server that stands still for a second: an open loop sees all the requests that would have come meanwhile.
#[test]
fn a_pause_of_the_server_is_felt_by_all_who_would_have_asked() {
    let mut lab = Lab::new(settings(rate(1000.0, 4)), sample());
    while lab.generator.counts().begun < 1000 {
        lab.step().unwrap();
    }
    // A second without a turn, as when the generator itself is stopped.
    lab.now.set(lab.now.get() + 1_000_000_000);
    let lab = lab.run().unwrap();
    lab.check_all_answered(4000);
    let latency = lab.generator.latency();
    // Those begun in that second waited half of it on average; a closed loop would have one such request.
    assert!((400_000..=650_000).contains(&latency.quantile(0.875)), "{}", latency.quantile(0.875));
    assert!(latency.quantile(0.7) < 10_000, "{}", latency.quantile(0.7));
    assert!((900_000..1_100_000).contains(&latency.max()), "{}", latency.max());
}

#[test]
fn few_clients_come_again_and_again_and_are_told_apart() {
    let from = vec!["10.1.0.1/32".parse().unwrap()];
    let timeout = Duration::from_secs(10);
    let to = vec!["10.9.0.2:80".parse().unwrap()];
    let settings = Settings { from, to, timeout, ..settings(rate(3000.0, 25)) };
    let lab = Lab::new(settings, sample()).run().unwrap();
    // 64,512 clients for 75,000 connections.
    lab.check_all_answered(75_000);
}

#[test]
fn a_server_that_does_not_answer_is_told_by_name() {
    let server = "10.9.0.3:80".parse().unwrap();
    let from = vec!["10.0.0.0/8".parse().unwrap()];
    let silent = Settings { to: vec![server], from: from.clone(), ..settings(open(1)) };
    let error = Lab::new(silent, sample()).run().err().unwrap();
    assert_eq!(error, RunError::NoNeighbor(server.ip()));

    let server = "10.9.0.2:81".parse().unwrap();
    let closed = Settings { to: vec![server], from, ..settings(open(1)) };
    let error = Lab::new(closed.clone(), sample()).run().err().unwrap();
    assert!(error.to_string().contains("its SYN was not answered"), "{error}");
    let mut config = Config::new(Secret::new([7; 16]));
    config.addresses.add("10.9.0.2".parse().unwrap()).unwrap();
    config.refuse = Refuse::Reset;
    let error = Lab::with(closed, config, sample()).run().err().unwrap();
    assert!(error.to_string().contains("answered with RST"), "{error}");
}

#[test]
fn what_is_expected_is_compared_with_the_first_reply() {
    let paths = vec!["/100".to_owned()];
    let settings = Settings { paths, expect: Some(expected(99)), ..settings(open(1)) };
    let error = Lab::new(settings, sample()).run().err().unwrap();
    assert!(error.to_string().contains("at byte 99: 100 bytes came, the file has 99"), "{error}");
}

/// Answers every request after the first with something else.
struct Fickle {
    asked: Cell<u32>,
    inner: Sample,
}

impl App for Fickle {
    fn respond<'a>(&'a self, request: &Request<'_>, scratch: &'a mut [u8]) -> Response<'a> {
        self.asked.set(self.asked.get() + 1);
        let path = if self.asked.get().is_multiple_of(10) { b"/101" } else { request.path };
        self.inner.respond(&request.with_path(path), scratch)
    }
}

#[test]
fn one_wrong_reply_in_ten_is_found() {
    for (compare, wrong) in [(Compare::All, Part::Byte(0)), (Compare::Body, Part::OfBody(100))] {
        let app = Fickle { asked: Cell::new(1), inner: sample() };
        let settings = Settings { paths: vec!["/100".to_owned()], compare, ..settings(open(1000)) };
        let lab = Lab::new(settings, app).run().unwrap();
        let counts = lab.generator.counts();
        assert_eq!(
            (counts.wrong(), counts.failed(Failure::WrongBytes), counts.answered),
            (100, 100, 900),
            "{counts:?}"
        );
        let found = lab.generator.mismatch().unwrap();
        assert_eq!(found.path, "/100");
        match found.part {
            Part::Byte(at) => assert!(compare == Compare::All && at > 17, "behind the status line: {found:?}"),
            part => assert_eq!(part, wrong),
        }
    }
}

/// Has a cookie, a number of the request and a date in each head, none of them twice; one status or body in so many is
/// another.
struct Chatty {
    asked: Cell<usize>,
    busy_every: usize,
    short_every: usize,
}

impl App for Chatty {
    fn respond<'a>(&'a self, _: &Request<'_>, scratch: &'a mut [u8]) -> Response<'a> {
        let asked = self.asked.get() + 1;
        self.asked.set(asked);
        let is = |every: usize| every > 0 && asked.is_multiple_of(every);
        let status = if is(self.busy_every) { Status::InternalServerError } else { Status::Ok };
        let body: &[u8] = if is(self.short_every) { b"hell" } else { b"hello" };
        let cookie = format!("{:x<1$}", asked, 5 + asked % 200);
        Response::build(scratch, status)
            .header("Set-Cookie", &cookie)
            .header("X-Request-ID", &asked.to_string())
            .header("X-City", "K\u{f6}ln")
            .body(body)
    }
}

#[test]
fn heads_may_change_from_reply_to_reply_where_bodies_are_compared() {
    // With the smallest segments a head comes in up to five.
    for mss in [None, Some(88)] {
        let app = Chatty { asked: Cell::new(0), busy_every: 0, short_every: 0 };
        let config = || {
            let mut config = Config::new(Secret::new([7; 16]));
            config.addresses.add("10.9.0.2".parse().unwrap()).unwrap();
            // Replies that are made on the spot have no place among those that are stored.
            Config { large_replies: LargeReplies::Segments, ..config }
        };
        let settings = || Settings {
            from: vec!["10.0.0.0/8".parse().unwrap()],
            to: vec!["10.9.0.2:80".parse().unwrap()],
            paths: vec!["/a".to_owned()],
            mss,
            slow: vec![(Slow::Drip, 5), (Slow::Window, 5)],
            ..settings(rate(100.0, 30))
        };
        // Not under loss: what is asked again is answered otherwise by such a server.
        let lab = Lab::with(settings(), config(), app).run().unwrap();
        lab.check_all_answered(3000);

        let app = Chatty { asked: Cell::new(0), busy_every: 0, short_every: 0 };
        let lab = Lab::with(Settings { compare: Compare::All, ..settings() }, config(), app).run().unwrap();
        let counts = lab.generator.counts();
        assert!(counts.wrong() == counts.begun && lab.generator.mismatch().is_some(), "{counts:?}");

        let app = Chatty { asked: Cell::new(0), busy_every: 0, short_every: 9 };
        let lab = Lab::with(settings(), config(), app).run().unwrap();
        assert!((300..=380).contains(&lab.generator.counts().wrong()), "{:?}", lab.generator.counts());
        assert_eq!(lab.generator.mismatch().unwrap().part, Part::OfBody(4));

        let app = Chatty { asked: Cell::new(0), busy_every: 9, short_every: 0 };
        let lab = Lab::with(settings(), config(), app).run().unwrap();
        assert!((300..=380).contains(&lab.generator.counts().wrong()), "{:?}", lab.generator.counts());
        assert_eq!(lab.generator.mismatch().unwrap().part, Part::Status { found: 500, expected: 200 });
    }
}

#[test]
fn a_frame_with_a_wrong_checksum_is_not_believed() {
    let mut lab = Lab::new(settings(open(1000)), sample());
    lab.down.damage = 10;
    let lab = lab.run().unwrap();
    lab.check_all_answered(1000);
    assert!(lab.generator.counts().bad_frames > 100);
}

#[test]
fn slow_clients_keep_nobody_waiting() {
    let slow = vec![(Slow::Idle, 50), (Slow::Drip, 40), (Slow::Window, 30)];
    let settings = Settings { slow, ..settings(rate(100.0, 100)) };
    let lab = Lab::new(settings, sample()).run().unwrap();
    lab.check_all_answered(10_000);
    let slow: Vec<_> = lab.generator.slow().collect();
    let counts = |wanted, answered| SlowCounts { wanted, opened: wanted, answered, closed: 0 };
    // By then each request is whole, and read.
    assert_eq!(slow, [(Slow::Idle, counts(50, 0)), (Slow::Drip, counts(40, 40)), (Slow::Window, counts(30, 30))]);
}

#[test]
fn floods_come_from_others_and_change_nothing() {
    for kind in [FloodKind::Syn, FloodKind::Ack, FloodKind::Garbage] {
        let floods = vec![Flood { kind, per_second: Some(20_000.0) }];
        let settings = Settings { floods, ..settings(rate(1000.0, 3)) };
        let lab = Lab::new(settings, sample()).run().unwrap();
        lab.check_all_answered(3000);
        let sent = lab.generator.floods().next().unwrap().1;
        assert!((59_000..62_000).contains(&sent), "{kind:?}: {sent}");
        assert!(lab.stats.received_frames() > sent);
    }
}

#[test]
fn settings_that_do_not_fit_are_told_with_what_mends_it() {
    let check = |change: &dyn Fn(&mut Settings), expect: &str| {
        let mut settings = settings(open(10));
        change(&mut settings);
        let error: SettingsError = Generator::new(settings).err().unwrap();
        assert!(error.to_string().contains(expect), "{error}");
    };
    check(&|s| s.to.clear(), "--to");
    check(&|s| s.to.truncate(1), "clients in fd00::/16 have no server");
    check(&|s| s.from.truncate(1), "no client can ask [fd09::2]:80");
    check(&|s| s.to.push("10.9.0.3:80".parse().unwrap()), "one server of each family");
    check(&|s| s.paths = vec!["index.html".to_owned()], "\"index.html\" is no path");
    check(&|s| s.paths = vec!["/".repeat(1400)], "use a shorter path");
    check(&|s| s.mss = Some(1441), "an MSS is from 88 to 1440");
    check(&|s| s.plan = open(0), "nothing is to be done");
    check(&|s| s.plan = rate(0.0, 1), "nothing is to be done");
    check(&|s| s.plan = rate(1e9, 1), "too many");
    check(&|s| s.timeout = Duration::from_millis(999), "a timeout is from 1 second");
    let one = |s: &mut Settings| s.from = vec!["10.0.0.1/32".parse().unwrap(), "fd00::1/128".parse().unwrap()];
    let too_few = |s: &mut Settings| (one(s), s.plan = open(200_000)).1;
    check(&too_few, "200002 connections at a time need as many clients, and there are 129024");
}

#[expect(clippy::unnecessary_wraps, reason = "as the setting has it")]
fn kept(requests: impl Into<Option<u32>>, pipeline: u32, think: u64) -> Option<KeepAlive> {
    Some(KeepAlive { requests: requests.into(), pipeline, think: Duration::from_secs(think) })
}

#[test]
fn connections_that_stay_open_have_all_their_requests() {
    for compare in [Compare::Body, Compare::All] {
        let paths = ["/100", "/0", "/333"].map(str::to_owned).to_vec();
        let settings = Settings { keep_alive: kept(10, 1, 0), compare, paths, ..settings(open(200)) };
        let lab = Lab::new(settings, sample()).run().unwrap();
        let counts = lab.generator.counts();
        assert_eq!((counts.begun, counts.opened, counts.ended), (200, 200, 200), "{counts:?}");
        assert_eq!((counts.answered, counts.asked, counts.later), (2000, 2000, 1800), "{counts:?}");
        assert_eq!((counts.failures(), counts.closed, counts.cut, counts.unfinished()), (0, 0, 0, 0), "{counts:?}");
        assert_eq!((counts.sent_again, counts.strays), (0, 0), "{counts:?}");
        // The server counts requests and connections as its clients do, with the first fetch of each path.
        assert_eq!((lab.stats.requests(), lab.stats.connections()), (2003, 203));
    }
}

#[test]
fn idle_connections_are_asked_again_after_a_minute() {
    let settings = Settings { keep_alive: kept(3, 1, 60), ..settings(open(1000)) };
    let lab = Lab::new(settings, sample()).run().unwrap();
    let counts = lab.generator.counts();
    assert_eq!((counts.opened, counts.answered, counts.failures(), counts.closed), (1000, 3000, 0, 0), "{counts:?}");
    assert!(lab.generator.seconds() > 120.0);
}

/// With pauses between requests, and none before the first, the first one does not wait for all connections: cookies
/// would expire meanwhile.
#[test]
fn connections_that_take_minutes_to_open_have_their_first_request_at_once() {
    let plan = Plan::Open { connections: 130, per_second: Some(1.0), hold: Duration::ZERO };
    let settings = Settings { keep_alive: kept(2, 1, 1), ..settings(plan) };
    let lab = Lab::new(settings, sample()).run().unwrap();
    let counts = lab.generator.counts();
    assert_eq!((counts.opened, counts.answered, counts.failures(), counts.closed), (130, 260, 0, 0), "{counts:?}");
    assert!(lab.generator.seconds() > 2.0 * 129.0);
}

#[test]
fn one_request_follows_the_other_until_the_time_is_over() {
    let plan = Plan::Open { connections: 20, per_second: None, hold: Duration::from_secs(2) };
    let lab = Lab::new(Settings { keep_alive: kept(None, 1, 0), ..settings(plan) }, sample()).run().unwrap();
    let counts = lab.generator.counts();
    assert_eq!((counts.opened, counts.failures(), counts.closed, counts.unfinished()), (20, 0, 0, 0), "{counts:?}");
    assert!(counts.answered > 20 * 10_000, "a reply comes within two steps: {counts:?}");
    // Two frames a request, of which none is an ACK alone.
    assert!(counts.frames_out < counts.answered + 100, "{counts:?}");
}

#[test]
fn requests_at_a_rate_share_the_connections_that_are_open() {
    let settings = Settings { keep_alive: kept(50, 1, 0), ..settings(rate(2000.0, 5)) };
    let lab = Lab::new(settings, sample()).run().unwrap();
    let counts = lab.generator.counts();
    assert_eq!((counts.answered, counts.failures(), counts.unfinished()), (10_000, 0, 0), "{counts:?}");
    assert!((200..230).contains(&counts.begun), "50 requests a connection: {counts:?}");
}

#[test]
fn requests_on_connections_that_stay_open_survive_loss() {
    for plan in [open(200), rate(500.0, 4)] {
        let settings = Settings { keep_alive: kept(10, 1, 0), timeout: Duration::from_mins(5), ..settings(plan) };
        let lab = Lab::new(settings, sample()).losing(50).run().unwrap();
        let counts = lab.generator.counts();
        assert_eq!((counts.answered, counts.failures(), counts.unfinished()), (2000, 0, 0), "{counts:?}");
        assert!(counts.sent_again > 50, "{counts:?}");
        assert_eq!(lab.generator.mismatch(), None);
    }
}

/// A server that closes after each reply: the next request goes on a new connection, and all are counted.
#[test]
fn a_server_that_closes_has_a_connection_for_each_request() {
    for (plan, requests) in [(open(100), 5), (rate(500.0, 1), 5)] {
        let settings = Settings { keep_alive: kept(requests, 1, 0), ..settings(plan) };
        let lab = Lab::with(settings, Config { keep_alive: false, ..config() }, sample()).run().unwrap();
        let counts = lab.generator.counts();
        assert_eq!((counts.answered, counts.opened, counts.closed), (500, 500, 500), "{counts:?}");
        assert_eq!((counts.failures(), counts.unfinished()), (0, 0), "{counts:?}");
    }
}

/// The requests of a segment that a server leaves unanswered are sent again, on another connection.
#[test]
fn requests_in_a_pipeline_are_all_answered() {
    for plan in [open(50), rate(600.0, 1)] {
        let settings = Settings { keep_alive: kept(12, 4, 0), ..settings(plan) };
        let lab = Lab::new(settings, sample()).run().unwrap();
        let counts = lab.generator.counts();
        assert_eq!((counts.answered, counts.failures(), counts.unfinished()), (600, 0, 0), "{counts:?}");
        assert_eq!(counts.asked - counts.cut, 600, "{counts:?}");
    }
}

/// Answers the requests of a segment together, as far as they are to be: a server on the wire between the clients and
/// the engine, which answers the rest. It remembers nothing either.
struct Together {
    /// How many requests of a segment are answered, and acknowledged.
    requests: usize,
    /// Where the bytes of the responses are cut into segments.
    cuts: &'static [usize],
    /// A byte that is wrong, counted from the last one of them.
    wrong: Option<usize>,
    /// How many responses were complete before that byte.
    intact: Cell<u64>,
}

impl Together {
    const SIZES: [usize; 3] = [100, 0, 333];

    fn response(size: usize) -> Vec<u8> {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n");
        [head.into_bytes(), expected(size)].concat()
    }

    /// The frames that answer one with requests in it; none for any other.
    fn answer(&self, frame: &[u8]) -> Vec<Vec<u8>> {
        let Some((ip, tcp)) =
            Frame::dissect(frame).and_then(|frame| frame.tcp().map(|(ip, tcp)| (ip.clone(), tcp.clone())))
        else {
            return Vec::new();
        };
        let text = String::from_utf8_lossy(tcp.payload);
        let requests: Vec<&str> = text.split_inclusive("\r\n\r\n").take(self.requests).collect();
        let size = |request: &&str| request.strip_prefix("GET /")?.split(' ').next()?.parse().ok();
        let sizes: Vec<usize> = requests.iter().filter_map(size).collect();
        let (mut bytes, mut ends_at) = (Vec::new(), Vec::new());
        for &size in &sizes {
            bytes.extend(Self::response(size));
            ends_at.push(bytes.len());
        }
        if let Some(wrong) = self.wrong.filter(|_| sizes.len() > 1) {
            let at = bytes.len() - 1 - wrong;
            bytes[at] ^= 1;
            let intact = ends_at.iter().filter(|&&end| end <= at).count();
            self.intact.set(self.intact.get() + intact as u64);
        }
        let asked: usize = requests.iter().map(|request| request.len()).sum();
        let client = (ip.source, tcp.source_port).into();
        let ends = Ends {
            client_mac: MacAddress::new([2, 0, 0, 0, 0, 1]),
            ..Ends::between(client, (ip.destination, 80).into())
        };
        // A RST has none.
        let Some((value, _)) = tcp.timestamps else { return Vec::new() };
        let mut at = 0;
        let cuts =
            self.cuts.iter().copied().filter(|&cut| cut < bytes.len()).chain([bytes.len()]).filter(|&cut| cut > 0);
        let segments = cuts.map(|cut| {
            let part = &bytes[at..cut];
            let segment = Segment::ack(&ends.reversed()).seq(tcp.ack.value().wrapping_add(at as u32)).payload(part);
            at = cut;
            segment.ack_number(tcp.seq.value().wrapping_add(asked as u32)).timestamps(value + 1, value).frame()
        });
        segments.collect()
    }

    /// Runs clients of this plan with so many requests in a segment, each with four of them in all.
    fn run(&self, compare: Compare, pipeline: u32, plan: Plan) -> Lab<Sample> {
        let paths = Self::SIZES.map(|size| format!("/{size}")).to_vec();
        let settings = Settings { keep_alive: kept(12, pipeline, 0), compare, paths, ..settings(plan) };
        let mut lab = Lab::new(settings, sample());
        while !lab.generator.is_over() {
            let now = lab.now.get();
            lab.generator.turn(|| Instant::from_unix_nanos(now), &mut lab.down, &mut lab.up).unwrap();
            for frame in std::mem::take(&mut lab.up.frames) {
                let answer = self.answer(&frame);
                if answer.is_empty() {
                    lab.up.frames.push_back(frame);
                }
                lab.down.frames.extend(answer);
            }
            lab.step_engine();
            assert!(now < START + 600_000_000_000, "it does not end: {:?}", lab.generator.counts());
        }
        lab
    }
}

/// One packet with all the responses, several that are cut anywhere, and responses to some of the requests only.
#[test]
fn several_responses_in_one_packet_are_told_apart() {
    for compare in [Compare::All, Compare::Body] {
        for pipeline in [1, 4, 6] {
            for (requests, cuts) in [
                (100, &[][..]),
                (100, &[1]),
                (100, &[17, 18, 41]),
                (100, &[60, 200, 250, 251, 500]),
                (100, &[138, 176, 548]),
                (1, &[]),
                (2, &[100]),
                (5, &[]),
            ] {
                let lab =
                    Together { requests, cuts, wrong: None, intact: Cell::new(0) }.run(compare, pipeline, open(30));
                let counts = lab.generator.counts();
                let told =
                    format!("{compare:?} {pipeline} {requests} {cuts:?}: {counts:?} {:?}", lab.generator.mismatch());
                assert_eq!((counts.opened, counts.answered, counts.asked), (30, 360, 360), "{told}");
                assert_eq!((counts.later, counts.ended, counts.cut), (330, 30, 0), "{told}");
                assert_eq!((counts.failures(), counts.closed, counts.unfinished()), (0, 0, 0), "{told}");
                assert_eq!(lab.generator.latency().count(), 360, "{told}");
                // Without requests that are left over nothing is sent again.
                assert_eq!(counts.sent_again == 0, requests >= pipeline as usize, "{told}");
            }
        }
    }
}

#[test]
fn a_wrong_byte_in_one_of_several_responses_in_a_packet_is_found() {
    for compare in [Compare::All, Compare::Body] {
        // The last byte of the fourth response, and one in the body of another: of which, depends on what is asked for.
        for wrong in [0, 238] {
            let server = Together { requests: 100, cuts: &[], wrong: Some(wrong), intact: Cell::new(0) };
            let lab = server.run(compare, 4, open(10));
            let counts = lab.generator.counts();
            assert_eq!((counts.failures(), counts.unfinished()), (10, 0), "{compare:?} {wrong}: {counts:?}");
            // An empty response ends with its head, and one without an end is no wrong body.
            assert!(counts.wrong() == 10 || compare == Compare::Body && wrong == 0, "{counts:?}");
            assert!(counts.wrong() > 0 && lab.generator.mismatch().is_some(), "{counts:?}");
            assert_eq!(counts.answered, server.intact.get(), "{compare:?} {wrong}: {counts:?}");
        }
    }
}

#[test]
fn a_wrong_reply_on_a_connection_that_stays_open_is_found() {
    for compare in [Compare::All, Compare::Body] {
        let app = Fickle { asked: Cell::new(1), inner: sample() };
        let paths = vec!["/100".to_owned()];
        let settings = Settings { paths, compare, keep_alive: kept(100, 1, 0), ..settings(open(10)) };
        let lab = Lab::new(settings, app).run().unwrap();
        let counts = lab.generator.counts();
        assert_eq!((counts.wrong(), counts.failures(), counts.unfinished()), (10, 10, 0), "{counts:?}");
        // About one reply in ten is wrong, and ends its connection.
        assert!((counts.asked - 10..=counts.asked).contains(&counts.answered), "{counts:?}");
        assert!((80..=100).contains(&counts.asked), "{counts:?}");
        assert!(lab.generator.mismatch().is_some());
    }
}

#[test]
fn what_makes_no_sense_on_kept_connections_is_told() {
    for (keep, plan, expect) in [
        (kept(None, 1, 5), open(10), SettingsError::Think),
        (kept(5, 1, 5), rate(10.0, 1), SettingsError::Think),
        (kept(5, 6, 0), open(10), SettingsError::Pipeline(100)),
        (kept(None, 0, 0), open(10), SettingsError::Pipeline(100)),
    ] {
        assert_eq!(Generator::new(Settings { keep_alive: keep, ..settings(plan) }).unwrap_err(), expect);
    }
}
