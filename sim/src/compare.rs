//! Lethe and a server with connections, side by side: the same clients on the same links, and how long each
//! has to wait for its reply.

use std::fmt::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use crate::sample::Sample;
use lethe::app::{App, Request};
use lethe::cookie::Secret;
use lethe::engine::SCRATCH_LEN;
use lethe::time::Instant;
use lethe::wire::ethernet::MacAddress;
use lethe::{Config, Engine};

use crate::clock::after;
use crate::frame::Ends;
use crate::link::{Impairment, Rate};
use crate::peer::Outcome;
use crate::peer::client::{Client as Model, Settings as Like};
use crate::random::{Probability, Random};
use crate::server::{self, Reference};
use crate::world::{Client, Violation, World};

/// The sizes that are asked for where nothing else is said,
pub const SIZES: [usize; 4] = [1000, 14_000, 100_000, 1_000_000];

/// and the losses in percent, each way.
pub const LOSSES: [u32; 5] = [0, 1, 5, 10, 20];

/// How long a frame is under way, and how much passes in a second.
const DELAY: Duration = Duration::from_millis(20);
const BITS_PER_SECOND: u64 = 100_000_000;

/// In percent, where frames are lost at all.
const REORDERED: u32 = 1;
const DOUBLED: u32 = 1;

/// Who has not got its reply by then gets none.
const PATIENCE: Duration = Duration::from_mins(10);

/// Clients begin one after the other, over two epochs of cookies and more.
const APART: Duration = Duration::from_millis(1370);
const START: Instant = Instant::from_unix_seconds(1_780_000_000);

/// The segments of a first window (RFC 6928).
const FIRST_WINDOW: u64 = 10;

/// What is compared, and for which clients.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// What everything is drawn from.
    pub seed: u64,
    /// How many clients there are for each size and loss.
    pub requests: u32,
    /// The bytes that are asked for.
    pub sizes: Vec<usize>,
    /// The losses in percent, each way.
    pub losses: Vec<u32>,
    /// The servers.
    pub contenders: Vec<Contender>,
    /// Clients use timestamps,
    pub timestamps: bool,
    /// and SACK.
    pub sack: bool,
    /// The MSS that they announce.
    pub mss: u16,
    /// Over IPv6.
    pub ipv6: bool,
    /// Their receive buffer. Only who scales windows can use more than 65,535 of it.
    pub window: u32,
}

/// A server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Contender {
    /// The engine, which remembers nothing.
    Lethe,
    /// smoltcp with Reno: two segments at first, no use of SACK, a timeout of a second at least.
    Reference,
    /// smoltcp without congestion control: always as much as the window takes.
    Greedy,
}

impl Contender {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Lethe, Self::Reference, Self::Greedy];

    /// Its name in a table.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lethe => "lethe",
            Self::Reference => "reference",
            Self::Greedy => "greedy",
        }
    }
}

/// How the clients of one server fared with one size at one loss.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    /// The bytes that were asked for.
    pub size: usize,
    /// The loss in percent, each way.
    pub loss: u32,
    /// Who was asked.
    pub contender: Contender,
    /// From the first SYN to the last byte: in order of size, of those that are complete.
    times: Vec<Duration>,
    /// What it would take if nothing were lost and windows grew from ten segments on.
    pub ideal: Duration,
    /// Clients that did not get their reply, or got another.
    pub incomplete: u32,
    /// Bytes of complete replies,
    pub needed: u64,
    /// and all that the server sent, headers included.
    pub sent: u64,
    /// The most frames in answer to one.
    pub burst_max: usize,
}

impl Row {
    /// The time within which so many percent of the complete fetches were done (nearest rank).
    pub fn percentile(&self, percent: u32) -> Option<Duration> {
        let rank = (self.times.len() * percent as usize).div_ceil(100);
        self.times.get(rank.saturating_sub(1)).copied()
    }

    /// Bytes that were sent for each that was needed, if any client got its reply.
    #[expect(clippy::cast_precision_loss, reason = "two digits of it are shown")]
    pub fn overhead(&self) -> Option<f64> {
        (self.needed > 0).then(|| self.sent as f64 / self.needed as f64)
    }

    /// As one JSON object, times in seconds.
    pub fn json(&self) -> String {
        let Self { size, loss, contender, incomplete, burst_max, .. } = self;
        let mut out = format!("{{\"size\":{size},\"loss_percent\":{loss},\"server\":\"{}\"", contender.name());
        for percent in [50, 99] {
            if let Some(time) = self.percentile(percent) {
                let _ = write!(out, ",\"p{percent}_seconds\":{}", time.as_secs_f64());
            }
        }
        let (ideal, sent, needed) = (self.ideal.as_secs_f64(), self.sent, self.needed);
        let _ = write!(
            out,
            ",\"ideal_seconds\":{ideal},\"incomplete\":{incomplete},\"bytes_sent\":{sent},\
             \"bytes_needed\":{needed},\"most_frames_for_one\":{burst_max}}}"
        );
        out
    }
}

/// The first line of a table of [`Row`]s.
pub const HEADING: &str =
    "    size   loss  server       median       p99     ideal  incomplete  sent/needed  frames for one";

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { size, loss, contender, incomplete, burst_max, ideal, .. } = self;
        let time =
            |percent| self.percentile(percent).map_or("-".to_owned(), |time| format!("{:.3} s", time.as_secs_f64()));
        let overhead = self.overhead().map_or("-".to_owned(), |overhead| format!("{overhead:.2}"));
        let name = contender.name();
        let (median, p99, ideal) = (time(50), time(99), ideal.as_secs_f64());
        write!(
            f,
            "{size:>8} {loss:>4} %  {name:<9} {median:>9} {p99:>9} {ideal:>7.3} s {incomplete:>11} {overhead:>12} \
             {burst_max:>15}"
        )
    }
}

impl Settings {
    /// Linux clients with all that they have, over IPv4.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            requests: 100,
            sizes: SIZES.to_vec(),
            losses: LOSSES.to_vec(),
            contenders: Contender::ALL.to_vec(),
            timestamps: true,
            sack: true,
            mss: 1460,
            ipv6: false,
            window: 64_240,
        }
    }

    /// Has every contender serve every size at every loss, and shows each row as soon as it is known.
    ///
    /// # Errors
    ///
    /// When a world does not come to rest.
    pub fn run<E: From<Violation>>(&self, mut show: impl FnMut(&Row) -> Result<(), E>) -> Result<(), E> {
        for &size in &self.sizes {
            let app = Sample::new(size);
            for &loss in &self.losses {
                for &contender in &self.contenders {
                    show(&self.measure(&app, size, loss, contender)?)?;
                }
            }
        }
        Ok(())
    }

    fn measure(&self, app: &Sample, size: usize, loss: u32, contender: Contender) -> Result<Row, Violation> {
        let random = Random::from_seed(self.seed);
        let wanted = response(app, size);
        let engine = Engine::new(self.config(&random), Sample::new(size));
        let mut world: World<'_, Sample> = match contender {
            Contender::Lethe => World::new(&engine, START),
            Contender::Reference | Contender::Greedy => {
                let is_polite = contender == Contender::Reference;
                let settings = server::Settings { mac: MacAddress::LETHE, seed: self.seed, is_polite };
                World::of_server(Box::new(Reference::new(app, settings)), START)
            }
        };
        for number in 0..self.requests {
            world.add(after(START, APART * number), self.client(&random, size, loss, number));
        }
        let (mut times, mut needed, mut incomplete) = (Vec::new(), 0, 0);
        while let Some(finished) = world.next_finished()? {
            match finished.outcome {
                Outcome::Complete(read) if read == wanted => {
                    times.push(finished.read_after.unwrap_or(finished.took));
                    needed += wanted.len() as u64;
                }
                _ => incomplete += 1,
            }
        }
        times.sort_unstable();
        let (sent, burst_max) = (world.stats().sent_bytes(), world.tally().burst_max);
        let ideal = self.ideal(wanted.len());
        Ok(Row { size, loss, contender, times, ideal, incomplete, needed, sent, burst_max })
    }

    fn config(&self, random: &Random) -> Config {
        let secret = random.fork("secret").next_u64().to_le_bytes();
        let secret = Secret::new([secret, secret].concat().try_into().unwrap_or_default());
        let mut config = Config { keep_alive: false, ..Config::new(secret) };
        // Two addresses always fit.
        let _ = config.addresses.add(self.ends(0).server.ip());
        config
    }

    fn ends(&self, number: u32) -> Ends {
        let [a, b, c, d] = number.to_be_bytes();
        let (base, client) = if self.ipv6 {
            let [high, low] = [u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])];
            (Ends::v6(), IpAddr::V6(Ipv6Addr::new(0xfd09, 0, 0, 0, 0, 1, high, low)))
        } else {
            (Ends::v4(), IpAddr::V4(Ipv4Addr::from([10, 128 | b, c, d])))
        };
        let ends = Ends::between(SocketAddr::new(client, base.client.port()), base.server);
        Ends { client_mac: MacAddress::new([0x02, 0x01, a, b, c, d]), ..ends }
    }

    fn client(&self, random: &Random, size: usize, loss: u32, number: u32) -> Client {
        let ends = self.ends(number);
        let mut random = random.fork("client").nth(number.into());
        let settings = Like {
            timestamps: self.timestamps,
            sack: self.sack,
            mss: Some(self.mss),
            window: self.window,
            isn: random.next_u64() as u32,
            timestamp_base: random.next_u64() as u32,
            ..Like::linux(&ends, &format!("/{size}"))
        };
        let some = |percent| if loss > 0 { Probability::from_percent(percent) } else { Probability::NEVER };
        let links = Impairment {
            loss: some(loss),
            reorder: some(REORDERED),
            duplicate: some(DOUBLED),
            delay: DELAY,
            rate: Rate::new(BITS_PER_SECOND),
            ..Impairment::default()
        };
        Client {
            peer: Box::new(Model::new(settings)),
            mac: ends.client_mac.bytes(),
            up: links.clone(),
            down: links,
            random,
            heals_after: PATIENCE,
            patience: Duration::ZERO,
            reassembles: true,
        }
    }

    /// How long a reply of so many bytes would take if nothing were lost: the handshake, a round trip for each
    /// window, the first of ten segments and each twice the one before until the path is full, and the time
    /// that the bytes themselves take.
    fn ideal(&self, len: usize) -> Duration {
        let segment = u64::from(self.mss) - if self.timestamps { 12 } else { 0 };
        let round_trip = 2 * DELAY;
        let path = BITS_PER_SECOND / 8 * round_trip.as_millis() as u64 / 1000;
        let (mut rounds, mut window, mut sent) = (1, FIRST_WINDOW * segment, 0);
        loop {
            rounds += 1;
            sent += window;
            if sent >= len as u64 || window >= path {
                break;
            }
            window *= 2;
        }
        round_trip * rounds + Duration::from_nanos(len as u64 * 8_000_000_000 / BITS_PER_SECOND)
    }
}

/// Head and body, as a client has to read them.
fn response(app: &Sample, size: usize) -> Vec<u8> {
    let path = format!("/{size}").into_bytes();
    let mut scratch = vec![0; SCRATCH_LEN];
    let response = app.respond(&Request::get(&path), &mut scratch);
    [response.head(), response.body()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(settings: &Settings) -> Vec<Row> {
        let mut rows = Vec::new();
        settings
            .run(|row| {
                rows.push(row.clone());
                Ok::<_, Violation>(())
            })
            .unwrap();
        rows
    }

    #[test]
    fn without_loss_every_client_is_served_in_the_time_it_takes() {
        let settings = Settings { requests: 3, sizes: vec![1000], losses: vec![0], ..Settings::new(1) };
        for row in rows(&settings) {
            assert_eq!((row.incomplete, row.times.len()), (0, 3), "{row}");
            let median = row.percentile(50).unwrap();
            assert!(median >= row.ideal && median < row.ideal * 2, "{row}");
        }
    }

    #[test]
    fn a_server_with_state_delivers_long_replies_whatever_the_client_is_like() {
        let base = Settings {
            requests: 4,
            sizes: vec![100_000],
            losses: vec![0, 5],
            contenders: vec![Contender::Reference, Contender::Greedy],
            ..Settings::new(1)
        };
        for settings in [
            base.clone(),
            Settings { timestamps: false, ..base.clone() },
            Settings { sack: false, mss: 536, ..base.clone() },
            Settings { ipv6: true, mss: 1220, ..base.clone() },
            Settings { window: 1 << 20, ..base },
        ] {
            for row in rows(&settings) {
                assert_eq!(row.incomplete, 0, "{row}");
                assert!(row.overhead() > Some(1.0) && row.percentile(99) >= Some(row.ideal / 2), "{row}");
            }
        }
    }

    #[test]
    fn the_ideal_grows_by_a_round_trip_with_each_window() {
        let ideal = |len| Settings::new(1).ideal(len).as_millis();
        assert_eq!([1000, 14_480, 14_481, 43_440, 43_441].map(ideal), [80, 81, 121, 123, 163]);
        assert_eq!(ideal(10_000_000), 40 * 8 + 800, "a full path is no reason to wait");
    }
}
