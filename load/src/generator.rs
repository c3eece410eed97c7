//! The load generator: all clients, from stage to stage.
//!
//! ```text
//!  Resolving ─► Learning ─► Crowding ─┬─► Running ─► Draining ──────────┬─► Over
//!   where the    one fetch   the slow │    at their    the last answers │
//!   server is    of each     clients  │    times                        │
//!                            open     └─► Opening ─► Holding ─► Fetching┘
//! ```
//!
//! The table of connections begins with the slots of slow clients and of the first fetches; the others are those of the
//! main connections. With [`Plan::Rate`](crate::Plan::Rate) there are as many as connections can begin within the
//! timeout, so that a connection has ended when its slot is used again.

mod next;
mod plan;
mod receive;
mod send;
mod timers;

use std::collections::{HashMap, VecDeque};
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
use crate::flood::{Flood, FloodStream};
use crate::http::Chunks;
use crate::kept::{Kept, Ring};
use crate::neighbors::Neighbors;
use crate::settings::{Settings, SettingsError, Slow};
use crate::wire::{Content, Ends, parse};
use send::send;

/// The most frames that are received, and connections that are begun, in a turn.
const BURST: usize = 64;

/// The receive window: the largest without window scaling.
const WINDOW: u16 = u16::MAX;

/// The receive window of a slow reader: one segment of the default MSS (RFC 9293, section 3.7.1).
const TINY_WINDOW: u16 = 536;

/// The stage of a run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Stage {
    /// The hardware address of the server, or of a router, is resolved.
    Resolving,
    /// Each path is fetched once, for the expected reply.
    Learning,
    /// The slow clients open their connections.
    Crowding,
    /// Connections begin, at the rate of the plan.
    Running,
    /// No more connections begin; the last ones end or time out.
    Draining,
    /// Connections are opened.
    Opening,
    /// All connections are held open.
    Holding,
    /// Each connection sends its request.
    Fetching,
    /// The run is over.
    Over,
}

/// Why a run cannot continue.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RunError {
    /// There is no answer to ARP or neighbor solicitations.
    #[error("no answer from {0}: is the server running, and is it, or the router given with --gateway, on this link?")]
    NoNeighbor(IpAddr),
    /// The first fetch of a path failed.
    #[error("the first fetch of {path} from {server} failed: {what}")]
    FirstFetch {
        /// The path.
        path: String,
        /// The server.
        server: SocketAddr,
        /// The failure.
        what: &'static str,
    },
    /// The first reply cannot be the expected one.
    #[error("the first fetch of {path}: {reason}")]
    NotComparable {
        /// The path.
        path: String,
        /// The reason.
        reason: NotComparable,
    },
}

/// A reply that differs from the expected one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mismatch {
    /// The path.
    pub path: String,
    /// The client.
    pub client: Client,
    /// The first difference.
    pub part: Part,
}

/// The first difference of a reply from the expected one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// The byte at this offset in the reply, which is wrong or missing.
    Byte(usize),
    /// The byte at this offset in the body, which is wrong or missing.
    OfBody(usize),
    /// The status.
    Status {
        /// The status of the reply.
        found: u16,
        /// The expected status.
        expected: u16,
    },
    /// The head: it does not begin as HTTP does, or has no end.
    Head,
    /// The chunks of the body, which are malformed.
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

/// All clients, and their results.
#[derive(Debug)]
pub struct Generator {
    settings: Settings,
    pool: ClientPool,
    neighbors: Neighbors,
    /// The requests and their expected replies, by path.
    requests: Vec<Request>,
    ring: Ring,
    floods: Vec<FloodStream>,
    table: Vec<Connection>,
    /// What more is remembered of main connections that stay open, by slot. Empty where none does.
    kept: Vec<Kept>,
    /// Main connections that are open and idle, at a rate, and slots whose request waits for a new connection.
    idle: VecDeque<u32>,
    again: VecDeque<u32>,
    /// The requests that each connection has sent, with pauses between them, and the time of the first one.
    laps: u32,
    first_lap: u64,
    last_reply: u64,
    /// Slots before those of the main connections: `slow` of slow clients, and `extras` together with the first
    /// fetches.
    slow: usize,
    extras: usize,
    /// The kinds of slow clients, and their slots.
    slow_ranges: Vec<(Slow, Range<usize>)>,
    slow_counts: Vec<SlowCounts>,
    /// The number of main connections that were begun.
    begun: u64,
    /// The next slot to open a slow connection in, or to send a request on.
    cursor: usize,
    /// Connections that wait for an answer, without slow clients that are open.
    waiting: usize,
    stage: Stage,
    /// The time at which the stage began, and the current time, in µs since the start.
    stage_begun: u64,
    now: u64,
    origin: Option<Instant>,
    /// The slot at which the scan of timers continues, and the time of the last part of it.
    scan_at: usize,
    scanned: u64,
    /// The received part of the reply of a first fetch.
    learned: Vec<u8>,
    /// State of replies whose bodies are compared that does not fit 24 bytes, by slot: few at a time.
    partial: HashMap<usize, Partial>,
    error: Option<RunError>,
    mismatch: Option<Mismatch>,
    counts: Counts,
    connect: Latency,
    latency: Latency,
    recent: Latency,
}

/// The state of a partly received reply.
#[derive(Debug)]
enum Partial {
    /// The beginning of its head.
    Head(Vec<u8>),
    /// The decoder of its chunks, and the bytes of the body so far.
    Chunks(Chunks, usize),
}

/// A request, and its expected reply.
#[derive(Debug)]
struct Request {
    path: String,
    expected: Option<Expected>,
}

/// Identifies a connection: all that follows from its number.
#[derive(Clone, Copy, Debug)]
struct ConnectionId {
    slot: usize,
    /// Source and destination of the client's segments.
    ends: Ends,
    /// The sequence number before the first byte of the requests that are sent together: the ISN, or a later one.
    isn: u32,
    /// The number of the first of these requests, and how many they are.
    first: usize,
    count: usize,
    /// The number of the request whose reply comes next.
    path: usize,
}

impl Generator {
    /// A generator with these settings.
    ///
    /// # Errors
    ///
    /// Settings that contradict each other.
    pub fn new(settings: Settings) -> Result<Self, SettingsError> {
        plan::build(settings)
    }

    /// Handles received frames and does what is due. Returns whether there was anything to do.
    ///
    /// # Errors
    ///
    /// The run cannot continue.
    pub fn turn(
        &mut self,
        clock: impl Fn() -> Instant,
        rx: &mut impl RxQueue,
        tx: &mut impl TxQueue,
    ) -> Result<bool, RunError> {
        self.set_time(clock());
        let mut taken = 0;
        while taken < BURST {
            let Some(frame) = rx.receive() else { break };
            taken += 1;
            self.counts.frames_in += 1;
            // The arrival time of queued frames is unknown. The time of reading never makes a server look faster.
            self.set_time(clock());
            self.handle(&parse(&frame), tx);
        }
        let done = self.proceed(tx) + self.run_timers(tx) + self.flood(tx);
        tx.flush();
        self.error.take().map_or(Ok(taken > 0 || done > 0), Err)
    }

    fn set_time(&mut self, now: Instant) {
        let origin = *self.origin.get_or_insert(now);
        // A clock that is set back stands still for the generator.
        let nanos = now.as_unix_nanos().saturating_sub(origin.as_unix_nanos());
        self.now = self.now.max(nanos / 1000);
    }

    /// Stops beginning connections, and waits for the outstanding answers.
    pub fn stop(&mut self) {
        let next = match self.stage {
            Stage::Running => Stage::Draining,
            _ => Stage::Over,
        };
        self.enter(next);
    }

    /// The current stage.
    pub const fn stage(&self) -> Stage {
        self.stage
    }

    /// Whether the run is over.
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

    /// The counters, without slow clients and first fetches.
    pub const fn counts(&self) -> &Counts {
        &self.counts
    }

    /// The latency of connecting: from the time at which a SYN was due to the SYN+ACK.
    pub const fn connect(&self) -> &Latency {
        &self.connect
    }

    /// The latency of replies: from the time at which a connection was due, or a request if all connections are opened
    /// first, to the last byte of the reply.
    pub const fn latency(&self) -> &Latency {
        &self.latency
    }

    /// The latency of replies since the last call.
    pub fn take_recent(&mut self) -> Latency {
        let recent = self.recent.clone();
        self.recent.clear();
        recent
    }

    /// The first reply that differed from the expected one.
    pub const fn mismatch(&self) -> Option<&Mismatch> {
        self.mismatch.as_ref()
    }

    /// The counters of slow clients, by kind.
    pub fn slow(&self) -> impl Iterator<Item = (Slow, SlowCounts)> {
        self.slow_ranges.iter().map(|(kind, _)| *kind).zip(self.slow_counts.iter().copied())
    }

    /// The floods, and the frames that each has sent.
    pub fn floods(&self) -> impl Iterator<Item = (Flood, u64)> {
        self.floods.iter().map(|stream| (stream.flood(), stream.sent()))
    }

    /// The expected replies that were fetched: path, status, and bytes of the body.
    pub fn replies(&self) -> impl Iterator<Item = (&str, u16, usize)> {
        self.requests.iter().filter_map(|request| {
            let expected = request.expected.as_ref()?;
            Some((request.path.as_str(), expected.status(), expected.body_len()))
        })
    }

    /// Replies a second, from the first request that was due to the last reply.
    #[expect(clippy::cast_precision_loss, reason = "µs of a run")]
    pub fn rate(&self) -> f64 {
        let micros = self.last_reply.saturating_sub(self.first_lap);
        self.counts.answered as f64 * 1e6 / micros.max(1) as f64
    }

    /// The memory of the table of connections, in bytes.
    pub fn table_bytes(&self) -> usize {
        size_of_val(self.table.as_slice()) + size_of_val(self.kept.as_slice())
    }

    /// How long the caller may wait for frames before the next turn.
    pub fn pause(&self) -> Duration {
        /// The timers are scanned at least so often, in µs.
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

    /// The number of slots of main connections.
    const fn room(&self) -> u64 {
        (self.table.len() - self.extras) as u64
    }

    /// The number of clients that main connections rotate through: a multiple of their slots.
    const fn numbers(&self) -> u64 {
        let there = self.pool.count() - self.extras as u64;
        there - there % self.room()
    }

    /// The main connection that was last begun in a slot, by its number among all main connections.
    fn latest(&self, slot: usize) -> Option<u64> {
        let (room, at) = (self.room(), (slot - self.extras) as u64);
        if let Some(kept) = self.kept.get(slot - self.extras) {
            return Some(at + u64::from(kept.rounds.checked_sub(1)?) * room);
        }
        let last = self.begun.checked_sub(1)?;
        let found = last - last % room + at;
        if found <= last { Some(found) } else { found.checked_sub(room) }
    }

    /// The connection that was last begun in a slot.
    fn connection_id(&self, slot: usize) -> Option<ConnectionId> {
        let nth = if self.is_main(slot) { self.latest(slot)? } else { 0 };
        Some(self.nth_connection_id(slot, nth))
    }

    /// The connection in a slot that is the `nth` main one.
    fn nth_connection_id(&self, slot: usize, nth: u64) -> ConnectionId {
        let (number, round) = if self.is_main(slot) {
            (self.extras as u64 + nth % self.numbers(), nth / self.numbers())
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
        self.id_of(slot, number, round, ends)
    }

    fn id_of(&self, slot: usize, number: u64, round: u64, ends: Ends) -> ConnectionId {
        // A client that connects again takes a higher ISN, as with RFC 6528.
        let isn = (mix(self.settings.seed ^ number) as u32).wrapping_add((round as u32) << 20);
        if self.is_main(slot)
            && let Some(keep) = self.settings.keep_alive
        {
            let kept = &self.kept[slot - self.extras];
            let before = kept.here() - kept.here() % keep.pipeline;
            let nth =
                |count: u32| ((slot - self.extras) / self.settings.from.len() + count as usize) % self.requests.len();
            return ConnectionId {
                slot,
                ends,
                isn: isn.wrapping_add(self.ring.distance(nth(kept.earlier), before)),
                first: nth(kept.earlier + before),
                count: self.limit(slot).map_or(keep.pipeline, |most| keep.pipeline.min(most - before)) as usize,
                path: nth(kept.answered),
            };
        }
        // Numbers rotate through the networks, so that each network requests every path.
        let path = if self.is_main(slot) || self.is_slow(slot) {
            (number / self.settings.from.len() as u64) as usize % self.requests.len()
        } else {
            slot - self.slow
        };
        ConnectionId { slot, ends, isn, first: path, count: 1, path }
    }

    /// The connection that a segment from a server belongs to.
    fn find(&self, ends: &Ends) -> Option<ConnectionId> {
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
            return Some(self.id_of(number as usize, number, 0, from_client));
        };
        let slot = self.extras + (main % self.room()) as usize;
        let nth = self.latest(slot)?;
        (nth % self.numbers() == main).then(|| self.id_of(slot, number, nth / self.numbers(), from_client))
    }

    /// The server of the same address family.
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

    /// The current time in the unit of [`Connection::begun`].
    const fn micros(&self) -> u32 {
        self.now as u32
    }

    const fn millis(&self) -> u32 {
        (self.now / 1000) as u32
    }
}
