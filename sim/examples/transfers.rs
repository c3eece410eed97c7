//! How long downloads take over links that lose, in virtual time: many of each kind in a moment, the same ones each
//! time.
//!
//! ```console
//! $ cargo run --release -p lethe-sim --features simulator --example transfers -- 200
//! $ cargo run --release -p lethe-sim --features simulator --example transfers -- 200 fast
//! ```

use std::cell::RefCell;
use std::error::Error;
use std::rc::Rc;
use std::time::Duration;

use lethe::config::Congestion;
use lethe::cookie::Secret;
use lethe::time::Instant;
use lethe::{Config, Engine};
use lethe_sim::check::{Checker, Exchange, Unsent};
use lethe_sim::clock::after;
use lethe_sim::frame::Ends;
use lethe_sim::link::Impairment;
use lethe_sim::peer::Outcome;
use lethe_sim::peer::client::{Client as Model, Settings};
use lethe_sim::random::{Probability, Random};
use lethe_sim::sample::{Sample, expected};
use lethe_sim::world::{Client, World};

const START: Instant = Instant::from_unix_seconds(1_780_000_000);

/// Round trip in milliseconds, what is lost each way in millionths, and bytes.
const ROWS: [(u64, u32, u32); 13] = [
    (20, 50_000, 14_000),
    (20, 10_000, 65_536),
    (20, 50_000, 65_536),
    (20, 0, 1_000_000),
    (20, 10_000, 1_000_000),
    (20, 50_000, 1_000_000),
    (20, 0, 10_000_000),
    (20, 1_000, 10_000_000),
    (20, 10_000, 10_000_000),
    (100, 0, 1_000_000),
    (100, 10_000, 1_000_000),
    (100, 50_000, 1_000_000),
    (100, 0, 10_000_000),
];

/// Counts what is sent, and what of it a second time.
#[derive(Clone, Default)]
struct Sent(Rc<RefCell<(Unsent, u32)>>);

impl Checker for Sent {
    fn name(&self) -> &'static str {
        "sent"
    }

    fn check(&mut self, exchange: &Exchange<'_>) -> Result<(), String> {
        let (unsent, bytes) = &mut *self.0.borrow_mut();
        *bytes += exchange.sent.iter().map(|frame| frame.len() as u32).sum::<u32>();
        // Behind a loss something may be left out for a while.
        drop(unsent.check(exchange));
        Ok(())
    }
}

/// One download: how long it takes, the bytes of all frames, and how many segments are sent again.
fn fetch(
    seed: u32,
    (millis, loss, size): (u64, u32, u32),
    congestion: Congestion,
) -> Result<(Duration, f64, f64), Box<dyn Error>> {
    let ends = Ends::v4();
    let mut config = Config { keep_alive: false, congestion, ..Config::new(Secret::new([7; 16])) };
    config.addresses.add(ends.server.ip())?;
    let engine = Engine::new(config, Sample::new(size as usize));
    let sent = Sent::default();
    let mut world = World::new(&engine, START).with_checkers(vec![Box::new(sent.clone())]);
    let mut settings = Settings { window: 3 << 20, ..Settings::linux(&ends, &format!("/{size}")) };
    settings.window_scale = Some(7);
    let delay = Duration::from_millis(millis) / 2;
    let loss = Probability::from_millionths(loss);
    let links = Impairment { delay, loss, ..Impairment::default() };
    let client = Client {
        peer: Box::new(Model::new(settings)),
        mac: ends.client_mac.bytes(),
        up: links.clone(),
        down: links,
        random: Random::from_seed(seed.into()),
        heals_after: Duration::from_mins(10),
        patience: Duration::ZERO,
        reassembles: true,
    };
    world.add(after(START, Duration::ZERO), client);
    let finished = world.next_finished()?.ok_or("no client has finished")?;
    if !matches!(&finished.outcome, Outcome::Complete(read) if read.ends_with(&expected(size as usize))) {
        return Err(format!("seed {seed}: {:?}", finished.outcome).into());
    }
    let (unsent, bytes) = &*sent.0.borrow();
    let again = u32::try_from(unsent.again())?;
    Ok((finished.read_after.ok_or("it has not read all")?, f64::from(*bytes), f64::from(again)))
}

fn main() -> Result<(), Box<dyn Error>> {
    let count: u32 = std::env::args().nth(1).map_or(Ok(100), |count| count.parse())?;
    let congestion = match std::env::args().nth(2).as_deref() {
        None | Some("standard") => Congestion::Standard,
        Some("fast") => Congestion::Fast,
        Some(other) => return Err(format!("{other}: want standard or fast").into()),
    };
    println!("RTT, ms  lost      bytes      p50, s   p90, s   p99, s   bytes sent   again");
    for row in ROWS {
        let (millis, loss, size) = row;
        let count = if size > 1_000_000 { count.div_ceil(10) } else { count };
        let mut found = (1..=count).map(|seed| fetch(seed, row, congestion)).collect::<Result<Vec<_>, _>>()?;
        found.sort_by_key(|&(took, ..)| took);
        let at = |percent: u32| found[((count - 1) * percent / 100) as usize].0.as_secs_f64();
        let sent: f64 = found.iter().map(|&(_, bytes, _)| bytes).sum();
        let again: f64 = found.iter().map(|&(.., again)| again).sum();
        println!(
            "{millis:7}  {:4.1} %  {size:9}   {:7.3}  {:7.3}  {:7.3}   {:10.3}   {:5.1}",
            f64::from(loss) / 10_000.0,
            at(50),
            at(90),
            at(99),
            sent / f64::from(count) / f64::from(size),
            again / f64::from(count),
        );
    }
    Ok(())
}
