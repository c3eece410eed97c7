//! The clients at work.
//!
//! ```text
//!  Resolving ─► Learning ─► Crowding ─┬─► Running ─► Draining ──────────┬─► Over
//!   where the    one fetch   the slow │    at their    the last answers │
//!   server is    of each     clients  │    times                        │
//!                            open     └─► Opening ─► Holding ─► Fetching┘
//! ```
//!
//! The table of connections begins with those of slow clients and of the first fetches; the rest is the main ones. In
//! [`Plan::Rate`](crate::Plan::Rate) it is as long as connections can begin within the timeout, so that the one whose place is needed next has
//! ended.

mod plan;
mod receive;
mod send;
mod timers;

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::time::Duration;

use lethe::port::{RxQueue, TxQueue};
use lethe::time::Instant;

use crate::client_pool::{Client, ClientPool, mix};
use crate::connection::Connection;
use crate::counts::{Counts, Latency, SlowCounts};
use crate::expected::{Expected, NotComparable};
use crate::flood::{Flood, Stream};
use crate::http::Chunks;
use crate::neighbors::Neighbors;
use crate::settings::{Settings, SettingsError, Slow};
use crate::wire::{Content, Ends, parse};
use send::send;

/// Frames that are taken, and connections that are begun, between two looks at anything else.
const BURST: usize = 64;

/// The window that is announced: all that there is without scaling.
const WINDOW: u16 = u16::MAX;

/// That of a slow reader: a segment of the size that every host takes (RFC 9293, section 3.7.1).
const TINY_WINDOW: u16 = 536;

/// How far a run is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Stage {
    /// It is found out where the server is.
    Resolving,
    /// Each path is asked for once, to have something to compare with.
    Learning,
    /// The slow clients open their connections.
    Crowding,
    /// Connections begin at their times.
    Running,
    /// No more connections begin; the last answers are waited for.
    Draining,
    /// Connections are opened.
    Opening,
    /// They are open.
    Holding,
    /// Each asks.
    Fetching,
    /// All is done.
    Over,
}

/// Why a run cannot go on.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Trouble {
    /// There is no answer to ARP or neighbor solicitations.
    #[error(
        "nobody answers for {0}: is the server running, and is it, or the router given with --gateway, on this link?"
    )]
    NoNeighbor(IpAddr),
    /// The first fetch of a path failed.
    #[error("the first fetch of {path} from {server} failed: {what}")]
    FirstFetch {
        /// What was asked for.
        path: String,
        /// Whom.
        server: SocketAddr,
        /// What became of it.
        what: &'static str,
    },
    /// What it got is no reply to compare others with.
    #[error("the first fetch of {path}: {reason}")]
    NotComparable {
        /// What was asked for.
        path: String,
        /// What is wrong.
        reason: NotComparable,
    },
}

/// A reply that is not as it should be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mismatch {
    /// What was asked for.
    pub path: String,
    /// Who asked.
    pub client: Client,
    /// What of it is wrong.
    pub part: Part,
}

/// What of a reply is wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// This byte, counted from the first of the reply, or there is none where one should be.
    Byte(usize),
    /// This byte, counted from the first of the body, or there is none where one should be.
    OfBody(usize),
    /// Its status.
    Status {
        /// That came.
        found: u16,
        /// Of the first reply.
        expected: u16,
    },
    /// It does not begin as replies of HTTP do, or its head has no end.
    Head,
    /// The chunks that its body is in.
    Chunks,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Byte(at) => write!(f, "byte {at} is wrong"),
            Self::OfBody(at) => write!(f, "byte {at} of the body is wrong"),
            Self::Status { found, expected } => write!(f, "the status is {found} in place of {expected}"),
            Self::Head => write!(f, "what came is not HTTP"),
            Self::Chunks => write!(f, "the chunks of the body are malformed"),
        }
    }
}

/// All clients, and what they have seen.
#[derive(Debug)]
pub struct Generator {
    settings: Settings,
    pool: ClientPool,
    neighbors: Neighbors,
    /// Requests, and what must come for them, by path.
    requests: Vec<Request>,
    floods: Vec<Stream>,
    table: Vec<Connection>,
    /// Connections of the table that are not main ones: slow clients, then a first fetch for each path.
    slow: usize,
    extras: usize,
    /// What slow clients do, by their places.
    slow_ranges: Vec<(Slow, Range<usize>)>,
    slow_counts: Vec<SlowCounts>,
    /// Main connections that were begun, in order.
    begun: u64,
    /// The next connection to ask, when all are open.
    cursor: usize,
    /// Connections, slow clients apart once they are open, that wait for an answer.
    waiting: usize,
    stage: Stage,
    /// When the stage began, and what time it is, in µs since the start.
    stage_begun: u64,
    now: u64,
    origin: Option<Instant>,
    /// Where the timers are looked at next, and when that was last done.
    scan_at: usize,
    scanned: u64,
    /// The reply of a first fetch, as far as it has come.
    learned: Vec<u8>,
    /// Of replies whose bodies are compared, what 24 bytes do not hold: few at a time.
    partial: HashMap<usize, Partial>,
    trouble: Option<Trouble>,
    mismatch: Option<Mismatch>,
    counts: Counts,
    connect: Latency,
    latency: Latency,
    recent: Latency,
}

/// What is kept of a reply that has begun.
#[derive(Debug)]
enum Partial {
    /// The beginning of its head.
    Head(Vec<u8>),
    /// Where it is among its chunks, and how much of the body has come.
    Chunks(Chunks, usize),
}

/// What is asked for.
#[derive(Debug)]
struct Request {
    path: String,
    bytes: Box<[u8]>,
    expected: Option<Expected>,
}

/// All that follows from a connection's number.
#[derive(Clone, Copy, Debug)]
struct Identity {
    slot: usize,
    /// From the client.
    ends: Ends,
    isn: u32,
    /// What it asks for.
    path: usize,
}

impl Generator {
    /// Clients that do what the settings say.
    ///
    /// # Errors
    ///
    /// Settings that do not fit each other.
    pub fn new(settings: Settings) -> Result<Self, SettingsError> {
        plan::build(settings)
    }

    /// Takes what has come in, does what is due, and tells whether there was anything of either.
    ///
    /// # Errors
    ///
    /// When there is no use in going on.
    pub fn turn(
        &mut self,
        clock: impl Fn() -> Instant,
        rx: &mut impl RxQueue,
        tx: &mut impl TxQueue,
    ) -> Result<bool, Trouble> {
        self.set_time(clock());
        let mut taken = 0;
        while taken < BURST {
            let Some(frame) = rx.receive() else { break };
            taken += 1;
            self.counts.frames_in += 1;
            // Of what waited in the queue the time is not known; the later one makes nobody look faster.
            self.set_time(clock());
            self.handle(&parse(&frame), tx);
        }
        let done = self.proceed(tx) + self.run_timers(tx) + self.flood(tx);
        tx.flush();
        self.trouble.take().map_or(Ok(taken > 0 || done > 0), Err)
    }

    fn set_time(&mut self, now: Instant) {
        let origin = *self.origin.get_or_insert(now);
        // A clock that is set back stands still here.
        let nanos = now.as_unix_nanos().saturating_sub(origin.as_unix_nanos());
        self.now = self.now.max(nanos / 1000);
    }

    /// Begins no more connections, and waits for the answers that are still to come.
    pub fn stop(&mut self) {
        let next = match self.stage {
            Stage::Running => Stage::Draining,
            _ => Stage::Over,
        };
        self.enter(next);
    }

    /// How far it is.
    pub const fn stage(&self) -> Stage {
        self.stage
    }

    /// Whether all is done.
    pub const fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Over)
    }

    /// Seconds since the start.
    #[expect(clippy::cast_precision_loss, reason = "µs of a run")]
    pub fn seconds(&self) -> f64 {
        self.now as f64 / 1e6
    }

    /// Seconds since the stage began.
    #[expect(clippy::cast_precision_loss, reason = "µs of a run")]
    pub fn stage_seconds(&self) -> f64 {
        (self.now - self.stage_begun) as f64 / 1e6
    }

    /// What was counted, slow clients and first fetches apart.
    pub const fn counts(&self) -> &Counts {
        &self.counts
    }

    /// From when a SYN was to be sent to when it was answered.
    pub const fn connect(&self) -> &Latency {
        &self.connect
    }

    /// From when a connection was to begin, or where all are opened first, to ask, to the last byte of its reply.
    pub const fn latency(&self) -> &Latency {
        &self.latency
    }

    /// The same since this was last asked.
    pub fn take_recent(&mut self) -> Latency {
        let recent = self.recent.clone();
        self.recent.clear();
        recent
    }

    /// The first reply that was not as it should be.
    pub const fn mismatch(&self) -> Option<&Mismatch> {
        self.mismatch.as_ref()
    }

    /// What became of the slow clients of each kind.
    pub fn slow(&self) -> impl Iterator<Item = (Slow, SlowCounts)> {
        self.slow_ranges.iter().map(|(kind, _)| *kind).zip(self.slow_counts.iter().copied())
    }

    /// The floods, and how many frames each has sent.
    pub fn floods(&self) -> impl Iterator<Item = (Flood, u64)> {
        self.floods.iter().map(|stream| (stream.flood(), stream.sent()))
    }

    /// What was asked for, with status and bytes of the body, as far as it has been fetched.
    pub fn replies(&self) -> impl Iterator<Item = (&str, u16, usize)> {
        self.requests.iter().filter_map(|request| {
            let expected = request.expected.as_ref()?;
            Some((request.path.as_str(), expected.status(), expected.body_len()))
        })
    }

    /// Bytes of memory that are kept for connections.
    pub fn table_bytes(&self) -> usize {
        size_of_val(self.table.as_slice())
    }

    /// How long nothing is due, as far as that is known, if nothing comes in.
    pub fn pause(&self) -> Duration {
        /// The timers are looked at now and then.
        const LONGEST: u64 = 1000;
        let is_flooding = !self.floods.is_empty() && self.stage >= Stage::Running;
        Duration::from_micros(if is_flooding { 0 } else { self.until_next().min(LONGEST) })
    }

    fn enter(&mut self, stage: Stage) {
        self.stage = stage;
        self.stage_begun = self.now;
    }

    const fn is_main(&self, slot: usize) -> bool {
        slot >= self.extras
    }

    const fn is_slow(&self, slot: usize) -> bool {
        slot < self.slow
    }

    fn slow_kind(&self, slot: usize) -> Option<(usize, Slow)> {
        let at = self.slow_ranges.iter().position(|(_, range)| range.contains(&slot))?;
        Some((at, self.slow_ranges[at].0))
    }

    /// How many main connections the table has room for.
    const fn room(&self) -> u64 {
        (self.table.len() - self.extras) as u64
    }

    /// Numbers of clients that main connections take, again and again: a multiple of their places.
    const fn numbers(&self) -> u64 {
        let there = self.pool.count() - self.extras as u64;
        there - there % self.room()
    }

    /// The main connection that was last begun in a place, by its place among all that were begun.
    const fn latest(&self, slot: usize) -> Option<u64> {
        let (room, at) = (self.room(), (slot - self.extras) as u64);
        let Some(last) = self.begun.checked_sub(1) else { return None };
        let found = last - last % room + at;
        if found <= last { Some(found) } else { found.checked_sub(room) }
    }

    /// The connection that is, or was last, in a place.
    fn identity(&self, slot: usize) -> Option<Identity> {
        let turn = if self.is_main(slot) { self.latest(slot)? } else { 0 };
        Some(self.identity_of(slot, turn))
    }

    /// The connection in a place that is the `turn`-th begun.
    fn identity_of(&self, slot: usize, turn: u64) -> Identity {
        let (number, round) = if self.is_main(slot) {
            (self.extras as u64 + turn % self.numbers(), turn / self.numbers())
        } else {
            (slot as u64, 0)
        };
        let client = self.pool.client(number);
        let server = self.server(client.address);
        let ends = Ends {
            source: client.address,
            destination: server.ip(),
            source_port: client.port,
            destination_port: server.port(),
        };
        self.identify(slot, number, round, ends)
    }

    fn identify(&self, slot: usize, number: u64, round: u64, ends: Ends) -> Identity {
        // Where a client comes again it goes on above where it was, as RFC 6528 has it.
        let isn = (mix(self.settings.seed ^ number) as u32).wrapping_add((round as u32) << 20);
        // The networks are taken in turns as well: each asks for everything.
        let path = if self.is_main(slot) || self.is_slow(slot) {
            (number / self.settings.from.len() as u64) as usize % self.requests.len()
        } else {
            slot - self.slow
        };
        Identity { slot, ends, isn, path }
    }

    /// The connection that a segment from a server belongs to.
    fn find(&self, ends: &Ends) -> Option<Identity> {
        let server = SocketAddr::new(ends.source, ends.source_port);
        if !self.settings.to.contains(&server) {
            return None;
        }
        let number = self.pool.number(Client { address: ends.destination, port: ends.destination_port })?;
        let from_client = Ends {
            source: ends.destination,
            destination: ends.source,
            source_port: ends.destination_port,
            destination_port: ends.source_port,
        };
        let Some(main) = number.checked_sub(self.extras as u64) else {
            return Some(self.identify(number as usize, number, 0, from_client));
        };
        let slot = self.extras + (main % self.room()) as usize;
        let turn = self.latest(slot)?;
        (turn % self.numbers() == main).then(|| self.identify(slot, number, turn / self.numbers(), from_client))
    }

    /// The server of an address's family.
    fn server(&self, like: IpAddr) -> SocketAddr {
        let same = |server: &&SocketAddr| server.is_ipv4() == like.is_ipv4();
        *self.settings.to.iter().find(same).expect("each family of clients has a server")
    }

    fn handle(&mut self, content: &Content<'_>, tx: &mut impl TxQueue) {
        match content {
            Content::Segment(ends, segment) => self.handle_segment(ends, segment, tx),
            Content::Bad => self.counts.bad_frames += 1,
            Content::Fragment => self.counts.fragments += 1,
            Content::Other => {}
            Content::Arp { .. } | Content::Solicitation { .. } | Content::Advertisement { .. } => {
                self.neighbors.learn(content);
                let target = match *content {
                    Content::Arp { target, .. } => IpAddr::V4(target),
                    Content::Solicitation { target, .. } | Content::Advertisement { target, .. } => IpAddr::V6(target),
                    _ => return,
                };
                if self.pool.has(target) {
                    let neighbors = &self.neighbors;
                    send(&mut self.counts, tx, |buffer| neighbors.answer(content, buffer));
                }
            }
        }
    }

    /// The time as connections keep it.
    const fn micros(&self) -> u32 {
        self.now as u32
    }

    const fn millis(&self) -> u32 {
        (self.now / 1000) as u32
    }
}
