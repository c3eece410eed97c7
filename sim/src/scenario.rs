//! What is to be simulated: everything that one seed draws, and what is set by hand.
//!
//! A [`Scenario`] says what the network, the engine and the clients of a run are like. It draws them from
//! the seed, each from a stream of its own, so that setting one by hand leaves the others as they were.

mod app_clients;
mod client_spec;
mod crowd;
mod faults;
mod options;
mod sessions;

use std::fmt;
use std::time::Duration;

use crate::sample::Sample;
use lethe::config::{Congestion, Mtu, Refuse};
use lethe::cookie::Secret;
use lethe::port::Offload;
use lethe::time::Instant;
use lethe::{Config, Engine};

pub use app_clients::AppClients;
pub use client_spec::{ClientSpec, Kind, Promise};
pub use options::{Options, OptionsError};
pub(crate) use sessions::SMUGGLED;

use crate::clock::after;
use crate::link::Impairment;
use crate::random::{Probability, Random};

/// The most bytes that are asked for: the longest response that goes out as one segment, less its head.
pub const SIZE_MAX: usize = 60_000;

/// The most bytes that are asked for where long replies are wanted.
pub const LARGE_SIZE_MAX: usize = 1_000_000;

/// How long links are impaired, counted from each client's start. A cookie is good for one minute at
/// least: a client whose request was lost until now still has time to send it once more, at twice the
/// interval.
pub const HEALS_AFTER: Duration = Duration::from_secs(20);

/// How long after that every client must be done: twice the longest interval at which Linux repeats itself,
/// which is more than the back-off from 20 s on and the slowest link take together.
pub const PATIENCE: Duration = Duration::from_mins(4);

/// When every run begins, and how much later it may be: two epochs of cookies, so that a run meets the
/// end of one anywhere.
const START: Instant = Instant::from_unix_seconds(1_780_000_000);
const START_SPREAD: Duration = Duration::from_mins(2);

/// The clients of a run, and when it begins.
pub trait Workload {
    /// When the first client comes.
    fn start(&self) -> Instant;

    /// How many clients come.
    fn clients(&self) -> u32;

    /// The client with this number. It does not depend on the others.
    fn client(&self, number: u32) -> ClientSpec;

    /// The command line that does the same again.
    fn command_line(&self) -> String;
}

/// Everything about a run.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// What was set by hand.
    pub options: Options,
    /// What is wrong on the way to the engine,
    pub up: Impairment,
    /// and on the way back.
    pub down: Impairment,
    /// When it begins.
    pub start: Instant,
    /// What the engine is set up with.
    pub config: Config,
    random: Random,
}

impl Scenario {
    /// Draws what is not set.
    pub fn draw(options: Options) -> Self {
        Self::draw_from(&Random::from_seed(options.seed), options)
    }

    /// Draws what is not set from any randomness, such as a fuzzer's.
    pub fn draw_from(random: &Random, options: Options) -> Self {
        let (up, down) = match &options.impairment {
            Some(impairment) => (impairment.clone(), impairment.clone()),
            None => faults::draw(&random.fork("faults"), options.large || options.keep_alive.is_some()),
        };
        let late = Duration::from_nanos(random.fork("start").below(START_SPREAD.as_nanos() as u64));
        let keep_alive = options.keep_alive.is_some();
        let config = Config { keep_alive, ..draw_config(random.fork("engine")) };
        Self { up, down, start: after(START, late), config, random: random.clone(), options }
    }

    /// An engine as it is wanted here. Its application knows the answer to `/N` for all N that are asked.
    pub fn engine(&self) -> Engine<Sample> {
        Engine::new(self.config.clone(), Sample::new(self.options.size.unwrap_or(0).max(self.size_max())))
    }

    /// The most bytes that are asked for where nothing else is said.
    pub const fn size_max(&self) -> usize {
        if self.options.large { LARGE_SIZE_MAX } else { SIZE_MAX }
    }

    /// Whether what arrives may be wrong and yet pass every check: then no promise can be kept.
    pub fn may_mislead(&self) -> bool {
        self.up.may_mislead() || self.down.may_mislead()
    }
}

impl Workload for Scenario {
    fn start(&self) -> Instant {
        self.start
    }

    fn clients(&self) -> u32 {
        self.options.requests
    }

    fn client(&self, number: u32) -> ClientSpec {
        let random = self.random.fork("client").nth(number.into());
        match self.options.keep_alive {
            Some(requests) => sessions::draw(self, &random, number, requests),
            None => crowd::draw(self, random, number),
        }
    }

    fn command_line(&self) -> String {
        self.options.to_string()
    }
}

fn draw_config(mut random: Random) -> Config {
    let mut secret = [0; 16];
    secret[..8].copy_from_slice(&random.next_u64().to_le_bytes());
    secret[8..].copy_from_slice(&random.next_u64().to_le_bytes());
    let mut config = Config::new(Secret::new(secret));
    for address in crowd::SERVERS {
        // Two hosts' addresses always fit.
        let _ = config.addresses.add(address);
    }
    let mtu = *random.pick(&[1500, 1500, 1500, 1500, 576, 1280, 1492, 9000]);
    config.mtu = Mtu::new(mtu).unwrap_or_default();
    config.refuse = *random.pick(&[Refuse::Drop, Refuse::Reset]);
    let quarter = Probability::from_percent(25);
    // A stream of its own: what else a seed draws does not depend on it.
    let cuts = random.fork("segmentation").chance(Probability::from_percent(50));
    let (ipv4, tcp) = (random.chance(quarter), random.chance(quarter));
    config.offload = Offload { ipv4, tcp, segmentation: tcp && cuts };
    config.congestion = *random.pick(&[Congestion::Standard, Congestion::Fast]);
    config
}

/// Every option, a line each.
impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { options, up, down, start, config, .. } = self;
        let link = |impairment: &Impairment| {
            if impairment.is_none() { "nothing wrong".to_owned() } else { impairment.to_string() }
        };
        let nanos = start.as_unix_nanos();
        writeln!(f, "seed         {}", options.seed)?;
        writeln!(f, "requests     {}", options.requests)?;
        match options.size {
            Some(size) => writeln!(f, "size         {size} bytes")?,
            None => writeln!(f, "size         drawn, up to {} bytes", self.size_max())?,
        }
        writeln!(f, "to engine    {}", link(up))?;
        writeln!(f, "to clients   {}", link(down))?;
        writeln!(f, "heals after  {HEALS_AFTER:?}, then {PATIENCE:?} to finish")?;
        writeln!(f, "begins at    {}.{:09} Unix time", nanos / 1_000_000_000, nanos % 1_000_000_000)?;
        let Offload { ipv4, tcp, segmentation } = config.offload;
        let checksums = match (ipv4, tcp) {
            (false, false) => "none",
            (true, false) => "IPv4",
            (false, true) => "TCP",
            (true, true) => "IPv4 and TCP",
        };
        let offload = if segmentation { format!("{checksums}, and pairs are cut") } else { checksums.to_owned() };
        let refuse = match config.refuse {
            Refuse::Drop => "dropped",
            Refuse::Reset => "reset",
        };
        let congestion = if config.congestion == Congestion::Fast { "fast" } else { "standard" };
        let mtu = config.mtu.bytes();
        writeln!(f, "engine       MTU {mtu}, refused are {refuse}, checksums offloaded: {offload}")?;
        writeln!(f, "congestion   {congestion}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_alone_draws_everything() {
        let scenarios: Vec<Scenario> = (0..200).map(|seed| Scenario::draw(Options::new(seed))).collect();
        let share = |is_so: &dyn Fn(&Scenario) -> bool| scenarios.iter().filter(|one| is_so(one)).count();
        for (what, count) in [
            ("loss", share(&|one| !one.up.loss.is_never())),
            ("burst", share(&|one| one.down.burst.is_some())),
            ("reorder", share(&|one| !one.down.reorder.is_never())),
            ("mtu", share(&|one| one.down.mtu.is_some())),
            ("rate", share(&|one| one.up.rate.is_some())),
            ("a big MTU", share(&|one| one.config.mtu.bytes() == 9000)),
            ("a reset", share(&|one| one.config.refuse == Refuse::Reset)),
            ("fast", share(&|one| one.config.congestion == Congestion::Fast)),
        ] {
            assert!((10..150).contains(&count), "{what}: {count} of 200");
        }
        assert!(share(&|one| one.up.is_none() && one.down.is_none()) > 0);
    }

    #[test]
    fn long_replies_are_asked_for_by_all_kinds_of_clients_and_leave_the_others_as_they_were() {
        let plain = Scenario::draw(Options::new(7));
        let large = Scenario::draw(Options { large: true, ..Options::new(7) });
        let clients: Vec<ClientSpec> = (0..400).map(|number| large.client(number)).collect();
        let models: Vec<_> = clients
            .iter()
            .filter_map(|client| match &client.kind {
                Kind::Model(settings) => Some((client, settings)),
                _ => None,
            })
            .collect();
        let count = |is_so: &dyn Fn(&ClientSpec, &crate::peer::client::Settings) -> bool| {
            models.iter().filter(|(client, settings)| is_so(client, settings)).count()
        };
        for (what, count) in [
            ("100 kB", count(&|client, _| (60_000..=100_000).contains(&client.size))),
            ("more", count(&|client, _| client.size > 100_000)),
            ("slow readers", count(&|client, settings| client.size > 60_000 && settings.reads.is_some())),
            ("held back", count(&|_, settings| settings.quick_acks == 0)),
            ("a narrower path", count(&|_, settings| settings.resend_limit.is_some())),
            ("an MSS of 536", count(&|_, settings| settings.mss == Some(536))),
            ("no timestamps", count(&|client, settings| client.size > 60_000 && !settings.timestamps)),
            ("no SACK", count(&|client, settings| client.size > 60_000 && !settings.sack)),
        ] {
            assert!(count >= 3, "{what}: {count} of {}", models.len());
        }
        let same = (0..400).filter(|&number| plain.client(number).size == large.client(number).size).count();
        assert!((100..300).contains(&same), "{same} of 400 ask for what they asked for");
    }

    #[test]
    fn what_is_set_leaves_the_rest_as_it_was() {
        let drawn = Scenario::draw(Options::new(7));
        let set = Scenario::draw(Options { size: Some(9), requests: 5, ..Options::new(7) });
        assert_eq!((&set.up, &set.down, set.start), (&drawn.up, &drawn.down, drawn.start));
        let fixed = Scenario::draw(Options { impairment: "loss=5%".parse().ok(), ..Options::new(7) });
        assert_eq!(fixed.start, drawn.start);
        assert_eq!(fixed.client(3).ends, drawn.client(3).ends);
    }
}
