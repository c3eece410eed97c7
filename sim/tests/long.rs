//! Long responses: what no window may leave out and no timer may draw over clean links, and copies over others.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use lethe::cookie::Secret;
use lethe::time::Instant;
use lethe::{Config, Engine};
use lethe_sim::check::{self, Checker, Exchange, Unsent};
use lethe_sim::clock::after;
use lethe_sim::frame::Ends;
use lethe_sim::link::Impairment;
use lethe_sim::peer::Outcome;
use lethe_sim::peer::client::{Client as Model, Settings};
use lethe_sim::random::{Probability, Random};
use lethe_sim::sample::Sample;
use lethe_sim::world::{Client, World};

const SIZE: usize = 3_000_000;
const START: Instant = Instant::from_unix_seconds(1_780_000_000);

/// The checker, and another hold on it.
#[derive(Clone, Default)]
struct Shared(Rc<RefCell<Unsent>>);

impl Checker for Shared {
    fn name(&self) -> &'static str {
        "unsent"
    }

    fn check(&mut self, exchange: &Exchange<'_>) -> Result<(), String> {
        self.0.borrow_mut().check(exchange)
    }
}

/// Counts the bytes of all frames that are sent.
#[derive(Clone, Default)]
struct Bytes(Rc<Cell<usize>>);

impl Checker for Bytes {
    fn name(&self) -> &'static str {
        "bytes"
    }

    fn check(&mut self, exchange: &Exchange<'_>) -> Result<(), String> {
        self.0.set(self.0.get() + exchange.sent.iter().map(Vec::len).sum::<usize>());
        Ok(())
    }
}

/// Fetches a response once without loss, as `change` makes the client: how long that takes, and how many segments are
/// sent once more.
fn fetch(ends: Ends, round_trip: Duration, change: impl Fn(&mut Settings)) -> (Duration, u64) {
    let (links, unsent) = (Impairment { delay: round_trip / 2, ..Impairment::default() }, Shared::default());
    let took = fetch_over(ends, &links, SIZE, unsent.clone(), change);
    let again = unsent.0.borrow().again();
    (took, again)
}

/// Fetches a response of this size over such links, with one checker more than those for all. How long that takes.
fn fetch_over(
    ends: Ends,
    links: &Impairment,
    size: usize,
    checker: impl Checker + 'static,
    change: impl Fn(&mut Settings),
) -> Duration {
    let mut config = Config { keep_alive: false, ..Config::new(Secret::new([7; 16])) };
    config.addresses.add(ends.server.ip()).unwrap();
    let engine = Engine::new(config, Sample::new(size));
    let mut checkers = check::all(&engine);
    checkers.push(Box::new(checker));
    let mut world = World::new(&engine, START).with_checkers(checkers);
    let mut settings = Settings { window: 4 << 20, ..Settings::linux(&ends, &format!("/{size}")) };
    change(&mut settings);
    let client = Client {
        peer: Box::new(Model::new(settings)),
        mac: ends.client_mac.bytes(),
        up: links.clone(),
        down: links.clone(),
        random: Random::from_seed(links.seed),
        heals_after: Duration::from_hours(5),
        patience: Duration::ZERO,
        reassembles: true,
    };
    world.add(after(START, Duration::ZERO), client);
    let finished = world.next_finished().unwrap_or_else(|violation| panic!("{violation}")).unwrap();
    assert!(matches!(finished.outcome, Outcome::Complete(read) if read.ends_with(&lethe_sim::sample::expected(size))));
    finished.read_after.unwrap()
}

/// Each timer that fires draws two segments, and nothing else is sent once more. Without windows that are scaled it
/// takes a round trip for each 32 segments.
#[test]
fn no_segment_of_a_window_stays_unsent_and_a_wide_window_takes_few_round_trips() {
    for ends in [Ends::v4(), Ends::v6()] {
        for (millis, trips) in [(5, 21), (20, 21), (100, 21), (300, 22)] {
            for scale in [7, 8, 9, 10] {
                let round_trip = Duration::from_millis(millis);
                let (took, again) = fetch(ends, round_trip, |client| client.window_scale = Some(scale));
                let timers = took.as_millis() as u64 / (millis + 200);
                assert!(took <= round_trip * trips, "{millis} ms, scale {scale}: {took:?}");
                assert!(again <= 2 * timers, "{millis} ms, scale {scale}: {again} again, {timers} timers");
            }
        }
        let (took, _) = fetch(ends, Duration::from_millis(20), |client| client.window_scale = None);
        assert!(took >= Duration::from_millis(20) * (SIZE as u32 / 1448 / 32), "{took:?}");
    }
}

/// A network card puts segments together, and one ACK moves over a hundred and more.
#[test]
fn no_segment_stays_unsent_where_one_ack_moves_over_a_hundred() {
    for stretch in [1, 8, 44, 100, 150] {
        for millis in [20, 100] {
            let (took, again) = fetch(Ends::v4(), Duration::from_millis(millis), |client| {
                (client.window_scale, client.stretch, client.quick_acks) = (Some(7), stretch, 0);
                client.delayed_ack = Duration::from_millis(1);
            });
            assert!(took < Duration::from_secs(10), "{stretch}: {took:?}");
            let timers = took.as_millis() as u64 / (millis + 200) + 1;
            assert!(again <= 2 * timers, "{stretch}, {millis} ms: {again} again, {timers} timers");
        }
    }
}

/// A client without SACK acknowledges each copy of a group, and each of these ACKs draws the next group. What leaves a
/// group ends that: copies do not become more from group to group. Each timer that expires makes one.
#[test]
fn copies_of_a_group_do_not_multiply() {
    let percent = Probability::from_percent;
    let clean = Impairment { delay: Duration::from_millis(10), ..Impairment::default() };
    let lossy = |loss| Impairment { loss: percent(loss), ..clean.clone() };
    let doubled = |duplicate| Impairment { duplicate: percent(duplicate), ..clean.clone() };
    let hold = Duration::from_millis(5);
    let reordered = |reorder| Impairment { reorder: percent(reorder), hold, ..clean.clone() };
    // Bytes that are sent for each hundred of the response, at most.
    let links = [
        (clean.clone(), 120),
        (doubled(1), 130),
        (doubled(100), 500),
        (lossy(1), 150),
        (lossy(20), 300),
        (reordered(1), 180),
        (reordered(20), 700),
    ];
    for (links, most) in links {
        for (ends, seed) in [Ends::v4(), Ends::v6()].into_iter().zip(1..) {
            let bytes = Bytes::default();
            let links = Impairment { seed, ..links.clone() };
            fetch_over(ends, &links, 1_000_000, bytes.clone(), |client| {
                (client.sack, client.window_scale) = (false, Some(7));
            });
            let sent = bytes.0.get() / 10_000;
            assert!(sent < most, "{links}: {sent}");
        }
    }
}
