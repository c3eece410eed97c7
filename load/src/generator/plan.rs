//! Builds a generator from its settings, and takes it from stage to stage.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use lethe::port::TxQueue;

use super::send::send;
use super::{BURST, Generator, Request, RunError, Stage};
use crate::client_pool::{ClientPool, ClientPoolError};
use crate::connection::{Connection, Phase};
use crate::counts::{Counts, Latency, SlowCounts};
use crate::flood::FloodStream;
use crate::kept::{Kept, Ring};
use crate::neighbors::Neighbors;
use crate::settings::{KeepAlive, Plan, Settings, SettingsError};

/// Bytes of TCP options of a segment with a request.
const OPTIONS: usize = 12;

/// The smallest MSS that servers accept (Linux: `tcp_min_snd_mss` and timestamps).
const MSS_MIN: u16 = 88;

/// Timeouts that fit a clock of 32 bits in µs.
const TIMEOUTS: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_mins(30);

/// The most slots: their numbers have 32 bits.
const SLOTS_MAX: u64 = 1 << 31;

/// The most requests in a segment.
const PIPELINE_MAX: u32 = 100;

pub(super) fn build(mut settings: Settings) -> Result<Generator, SettingsError> {
    check_servers(&settings)?;
    check_keep_alive(&mut settings)?;
    if !TIMEOUTS.contains(&settings.timeout) {
        return Err(SettingsError::Timeout);
    }
    let taken: Vec<IpAddr> = settings.to.iter().map(SocketAddr::ip).chain(settings.gateways.iter().copied()).collect();
    let pool = ClientPool::new(&settings.from, &taken)?;
    let (requests, ring) = requests(&settings)?;
    let slow: usize = settings.slow.iter().map(|&(_, count)| count as usize).sum();
    let extras = slow + requests.len();
    let room = slots(&settings)?;
    let wanted = room + extras as u64;
    if wanted > SLOTS_MAX {
        return Err(SettingsError::TooMany(wanted));
    }
    if wanted > pool.count() {
        return Err(SettingsError::TooFewClients { wanted, there: pool.count() });
    }
    let mut slow_ranges = Vec::new();
    let mut at = 0;
    for &(kind, count) in &settings.slow {
        slow_ranges.push((kind, at..at + count as usize));
        at += count as usize;
    }
    let slow_counts = settings.slow.iter();
    let slow_counts = slow_counts.map(|&(_, wanted)| SlowCounts { wanted: wanted.into(), ..SlowCounts::default() });
    let hops = settings.to.iter().filter_map(|server| {
        let gateway = settings.gateways.iter().find(|gateway| gateway.is_ipv4() == server.is_ipv4());
        let hop = gateway.copied().unwrap_or(server.ip());
        Some((hop, pool.any_like(hop)?))
    });
    Ok(Generator {
        neighbors: Neighbors::new(settings.mac, hops),
        floods: floods(&settings, &taken)?,
        pool,
        requests,
        ring,
        kept: vec![Kept::default(); if settings.keep_alive.is_some() { room as usize } else { 0 }],
        idle: VecDeque::new(),
        again: VecDeque::new(),
        laps: 0,
        first_lap: 0,
        last_reply: 0,
        table: vec![Connection::default(); wanted as usize],
        slow,
        extras,
        slow_ranges,
        slow_counts: slow_counts.collect(),
        begun: 0,
        cursor: 0,
        waiting: 0,
        stage: Stage::Resolving,
        stage_begun: 0,
        now: 0,
        origin: None,
        scan_at: 0,
        scanned: 0,
        learned: Vec::new(),
        partial: HashMap::new(),
        error: None,
        mismatch: None,
        counts: Counts::default(),
        connect: Latency::new(),
        latency: Latency::new(),
        recent: Latency::new(),
        settings,
    })
}

fn check_servers(settings: &Settings) -> Result<(), SettingsError> {
    let is_like = |one: IpAddr| move |other: &&SocketAddr| other.is_ipv4() == one.is_ipv4();
    if settings.to.is_empty() {
        return Err(SettingsError::NoServer);
    }
    for server in &settings.to {
        if settings.to.iter().filter(is_like(server.ip())).count() > 1 {
            return Err(SettingsError::TwoServers(server.ip()));
        }
        if !settings.from.is_empty() && !settings.from.iter().any(|net| net.addr().is_ipv4() == server.is_ipv4()) {
            return Err(SettingsError::NoClientFor(*server));
        }
    }
    for net in &settings.from {
        if !settings.to.iter().any(|server| server.is_ipv4() == net.addr().is_ipv4()) {
            return Err(SettingsError::NoServerFor(*net));
        }
    }
    for gateway in &settings.gateways {
        if !settings.to.iter().any(|server| server.is_ipv4() == gateway.is_ipv4()) {
            return Err(SettingsError::IdleGateway(*gateway));
        }
    }
    let headers = if settings.to.iter().any(SocketAddr::is_ipv6) { 60 } else { 40 };
    let mss_max = settings.mtu.saturating_sub(headers);
    match settings.mss {
        Some(mss) if !(MSS_MIN..=mss_max).contains(&mss) => Err(SettingsError::Mss(mss_max)),
        _ => Ok(()),
    }
}

/// Checks how connections stay open. A rate is one of segments with requests from here on.
fn check_keep_alive(settings: &mut Settings) -> Result<(), SettingsError> {
    let Some(KeepAlive { requests, pipeline, think }) = settings.keep_alive else { return Ok(()) };
    if !(1..=requests.unwrap_or(PIPELINE_MAX).min(PIPELINE_MAX)).contains(&pipeline) {
        return Err(SettingsError::Pipeline(PIPELINE_MAX));
    }
    match &mut settings.plan {
        Plan::Open { .. } if !think.is_zero() && requests.is_none() => Err(SettingsError::Think),
        Plan::Rate { .. } if !think.is_zero() => Err(SettingsError::Think),
        Plan::Open { .. } => Ok(()),
        Plan::Rate { per_second, .. } => {
            *per_second /= f64::from(pipeline);
            Ok(())
        }
    }
}

/// The requests, each of which fits a segment, as do all that are sent together.
fn requests(settings: &Settings) -> Result<(Vec<Request>, Ring), SettingsError> {
    let server = settings.to.first().ok_or(SettingsError::NoServer)?;
    let host = settings.host.clone().unwrap_or_else(|| match server {
        SocketAddr::V4(v4) if v4.port() == 80 => v4.ip().to_string(),
        SocketAddr::V6(v6) if v6.port() == 80 => format!("[{}]", v6.ip()),
        server => server.to_string(),
    });
    let room = usize::from(settings.mtu).saturating_sub(60 + OPTIONS);
    let room = settings.mss.map_or(room, |mss| usize::from(mss).saturating_sub(OPTIONS).min(room));
    let request = |path: &String| {
        if !path.starts_with('/') || !path.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(SettingsError::Path(path.clone()));
        }
        let close = if settings.keep_alive.is_some() { "" } else { "Connection: close\r\n" };
        Ok(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{close}\r\n").into_bytes())
    };
    let texts: Vec<Vec<u8>> = settings.paths.iter().map(request).collect::<Result<_, _>>()?;
    let batch = settings.keep_alive.map_or(1, |keep| keep.pipeline as usize);
    let ring = Ring::new(&texts, batch);
    if ring.longest(batch) > room {
        let longest = settings.paths.iter().zip(&texts).max_by_key(|(_, text)| text.len());
        let (path, text) = longest.map_or_else(Default::default, |(path, text)| (path.clone(), text.len()));
        return Err(SettingsError::LongRequest { path, len: text * batch, room });
    }
    let requests = settings.paths.iter().map(|path| Request { path: path.clone(), expected: None }).collect();
    Ok((requests, ring))
}

/// The number of slots of main connections. At a rate it is one more than begin within the timeout, so that a
/// connection has timed out when its slot is used again.
#[expect(clippy::cast_sign_loss, reason = "a rate is above 0, and a number too large is refused")]
fn slots(settings: &Settings) -> Result<u64, SettingsError> {
    match settings.plan {
        Plan::Rate { per_second, .. } if per_second > 0.0 => {
            Ok((per_second * settings.timeout.as_secs_f64()).ceil() as u64 + 1)
        }
        Plan::Open { connections: 1.., per_second, .. } if per_second.is_none_or(|rate| rate > 0.0) => {
            let Plan::Open { connections, .. } = settings.plan else { return Err(SettingsError::Nothing) };
            Ok(connections.into())
        }
        Plan::Rate { .. } if !settings.floods.is_empty() || !settings.slow.is_empty() => Ok(1),
        _ => Err(SettingsError::Nothing),
    }
}

fn floods(settings: &Settings, taken: &[IpAddr]) -> Result<Vec<FloodStream>, SettingsError> {
    if settings.floods.is_empty() {
        return Ok(Vec::new());
    }
    let has_server = |net: &&ipnet::IpNet| settings.to.iter().any(|server| server.is_ipv4() == net.addr().is_ipv4());
    let from: Vec<_> = settings.flood_from.iter().filter(has_server).copied().collect();
    let taken_too = |error| SettingsError::FloodSources(error);
    let pool = ClientPool::new(&from, taken).map_err(taken_too)?;
    for net in &from {
        if let Some(same) = settings.from.iter().find(|client| net.contains(*client) || client.contains(net)) {
            return Err(taken_too(ClientPoolError::Overlap(*same, *net)));
        }
    }
    let streams = settings.floods.iter().zip(1..);
    Ok(streams
        .map(|(&flood, at)| FloodStream::new(flood, pool.clone(), settings.seed.wrapping_add(at << 48)))
        .collect())
}

impl Generator {
    /// Whether all connections are opened before the first request.
    pub(super) const fn opens_first(&self) -> bool {
        matches!(self.settings.plan, Plan::Open { .. })
    }

    /// Whether a connection has its first request as soon as it is open: where it is idle behind that anyway, and not
    /// held open before.
    pub(super) fn asks_at_once(&self) -> bool {
        match (self.settings.keep_alive, self.settings.plan) {
            (Some(keep), Plan::Open { hold, .. }) => !keep.think.is_zero() && hold.is_zero(),
            _ => false,
        }
    }

    /// Does what is due in the stage. Returns the number of frames sent.
    pub(super) fn proceed(&mut self, tx: &mut impl TxQueue) -> usize {
        let again = self.ask_again(tx);
        again
            + match self.stage {
                Stage::Resolving => self.resolve(tx),
                Stage::Learning => self.learn(tx),
                Stage::Crowding => self.crowd(tx),
                Stage::Running => self.keep_rate(tx),
                Stage::Draining => {
                    if self.is_quiet() {
                        self.part(tx);
                    }
                    0
                }
                Stage::Opening => self.open(tx),
                Stage::Holding => {
                    let Plan::Open { hold, .. } = self.settings.plan else { return 0 };
                    let hold = match self.settings.keep_alive {
                        Some(keep) if self.laps > 0 => keep.think,
                        Some(KeepAlive { requests: None, .. }) => Duration::ZERO,
                        _ => hold,
                    };
                    if u128::from(self.now - self.stage_begun) >= hold.as_micros() {
                        if self.laps == 0 {
                            self.first_lap = self.now;
                        }
                        self.enter(Stage::Fetching);
                    }
                    0
                }
                Stage::Fetching => self.fetch(tx),
                Stage::Over => 0,
            }
    }

    fn resolve(&mut self, tx: &mut impl TxQueue) -> usize {
        if self.neighbors.is_known() {
            self.enter(Stage::Learning);
            return 0;
        }
        let (neighbors, now) = (&mut self.neighbors, self.now);
        let mut silent = None;
        let sent = send(&mut self.counts, tx, |buffer| match neighbors.question(now, buffer) {
            Ok(len) => len,
            Err(address) => {
                silent = Some(address);
                None
            }
        });
        if let Some(address) = silent {
            self.error = Some(RunError::NoNeighbor(address));
        }
        sent.into()
    }

    /// Fetches the paths one by one, each by a client of its own.
    fn learn(&mut self, tx: &mut impl TxQueue) -> usize {
        if self.waiting > 0 || self.error.is_some() {
            return 0;
        }
        let Some(path) = self.requests.iter().position(|request| request.expected.is_none()) else {
            self.enter(Stage::Crowding);
            return 0;
        };
        self.begin(self.slow + path, 0, self.now, tx).into()
    }

    /// Opens the connections of slow clients, as fast as the answers come.
    fn crowd(&mut self, tx: &mut impl TxQueue) -> usize {
        let mut sent = 0;
        while self.cursor < self.slow && sent < BURST && self.has_room() {
            if !self.begin(self.cursor, 0, self.now, tx) {
                return sent;
            }
            self.cursor += 1;
            sent += 1;
        }
        if self.cursor == self.slow && self.waiting == 0 {
            self.first_lap = self.now;
            self.cursor = 0;
            self.enter(if self.opens_first() { Stage::Opening } else { Stage::Running });
        }
        sent
    }

    /// Begins the connections that are due. Latencies count from their due times.
    fn keep_rate(&mut self, tx: &mut impl TxQueue) -> usize {
        let Plan::Rate { per_second, duration } = self.settings.plan else { return 0 };
        let elapsed = self.now - self.stage_begun;
        let end = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let due = times(elapsed.min(end), per_second);
        let mut sent = 0;
        while self.begun < due && sent < BURST {
            let at = self.stage_begun + time_of(self.begun, per_second);
            if self.settings.keep_alive.is_some() {
                if !self.ask_or_begin(at, tx) {
                    break;
                }
                sent += 1;
                continue;
            }
            let slot = self.extras + (self.begun % self.room()) as usize;
            // The last connection of this slot began at least a timeout ago.
            self.give_up(slot);
            if !self.begin(slot, self.begun, at, tx) {
                break;
            }
            sent += 1;
        }
        if elapsed >= end {
            // Connections that are still due are given up: the rate was too high for the generator.
            self.counts.never_begun = (times(end, per_second) - self.begun) * u64::from(self.pipeline());
            self.enter(Stage::Draining);
        }
        sent
    }

    /// Opens connections, at a rate or as fast as the answers come.
    fn open(&mut self, tx: &mut impl TxQueue) -> usize {
        let mut sent = 0;
        while self.begun < self.room().min(self.paced()) && sent < BURST && self.has_room() {
            let slot = self.extras + self.begun as usize;
            if !self.begin(slot, self.begun, self.now, tx) {
                return sent;
            }
            sent += 1;
        }
        if self.begun == self.room() && self.is_quiet() {
            if self.asks_at_once() {
                self.end_lap(tx);
            } else {
                self.cursor = self.extras;
                self.enter(Stage::Holding);
            }
        }
        sent
    }

    /// All connections have had their turn: they have the next one after a pause, if there is one.
    fn end_lap(&mut self, tx: &mut impl TxQueue) {
        self.laps += 1;
        if self.has_more_laps() {
            self.cursor = self.extras;
            self.enter(Stage::Holding);
        } else {
            self.part(tx);
        }
    }

    /// Sends the requests of open connections, in the order in which these were opened.
    fn fetch(&mut self, tx: &mut impl TxQueue) -> usize {
        let mut sent = 0;
        let end = self.extras + self.room().min(self.paced()) as usize;
        while self.cursor < end && sent < BURST && self.has_room() {
            if self.table[self.cursor].phase == Phase::Open
                && let Some(id) = self.connection_id(self.cursor)
            {
                self.ask(&id, self.now, tx);
                sent += 1;
            } else if self.table[self.cursor].phase == Phase::Done && self.laps > 0 && !self.is_finished(self.cursor) {
                // The server has closed it meanwhile.
                self.table[self.cursor].begun = self.micros();
                self.again.push_back(self.cursor as u32);
            }
            self.cursor += 1;
        }
        if self.cursor == self.table.len() && self.is_quiet() {
            self.end_lap(tx);
        }
        sent
    }

    /// µs until the next connection is due, with a rate.
    pub(super) fn until_next(&self) -> u64 {
        match (self.stage, self.settings.plan) {
            (Stage::Running, Plan::Rate { per_second, .. }) if per_second > 0.0 => {
                (self.stage_begun + time_of(self.begun, per_second)).saturating_sub(self.now)
            }
            _ => u64::MAX,
        }
    }

    /// The number of connections, or requests, that are due by now.
    fn paced(&self) -> u64 {
        match self.settings.plan {
            Plan::Open { per_second: Some(rate), .. } => times(self.now - self.stage_begun, rate),
            _ => u64::MAX,
        }
    }

    pub(super) const fn has_room(&self) -> bool {
        self.waiting < self.settings.window as usize
    }

    /// Sends the SYN of a connection, the `nth` main one, which was due at `at` µs. Returns whether there was room.
    pub(super) fn begin(&mut self, slot: usize, nth: u64, at: u64, tx: &mut impl TxQueue) -> bool {
        let kept = slot.checked_sub(self.extras).and_then(|at| self.kept.get(at).copied());
        if let Some(kept) = kept {
            self.kept[slot - self.extras] = Kept { rounds: kept.rounds + 1, earlier: kept.answered, ..kept };
        }
        let id = self.nth_connection_id(slot, nth);
        let before = self.table[slot];
        self.table[slot] = Connection { begun: at as u32, phase: Phase::SynSent, ..Connection::default() };
        self.table[slot].sent_first((self.now / 1000) as u16);
        self.partial.remove(&slot);
        if !self.send_syn(&id, tx) {
            self.table[slot] = before;
            if let Some(kept) = kept {
                self.kept[slot - self.extras] = kept;
            }
            return false;
        }
        self.waiting += 1;
        if self.is_main(slot) {
            // Where connections stay open, requests at a rate are counted, which may need none.
            self.begun += u64::from(kept.is_none() || self.stage == Stage::Opening);
            self.counts.begun += 1;
        }
        true
    }

    /// Resets the connections that are open, and ends the run.
    fn part(&mut self, tx: &mut impl TxQueue) {
        let kept = if self.kept.is_empty() { 0..0 } else { self.extras..self.table.len() };
        for slot in (0..self.slow).chain(kept) {
            if matches!(self.table[slot].phase, Phase::Open | Phase::Asked)
                && let Some(id) = self.connection_id(slot)
            {
                self.send_flags(&id, crate::wire::RST, 0, tx);
                if slot % BURST == 0 {
                    tx.flush();
                }
            }
        }
        self.enter(Stage::Over);
    }
}

/// The number of events of a rate within so many µs, the first at 0.
#[expect(clippy::cast_precision_loss, clippy::cast_sign_loss, reason = "below 2^53 for days")]
fn times(micros: u64, per_second: f64) -> u64 {
    (micros as f64 * per_second / 1e6).ceil() as u64
}

/// The time of an event of a rate, in µs.
#[expect(clippy::cast_precision_loss, clippy::cast_sign_loss, reason = "below 2^53 for days")]
fn time_of(number: u64, per_second: f64) -> u64 {
    (number as f64 * 1e6 / per_second) as u64
}
