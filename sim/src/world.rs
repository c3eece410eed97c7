//! A world: an engine, its clients and the links between them, in one thread and in virtual time.
//!
//! ```text
//!                 link up                    ┌────────────┐
//!   ┌────────┐ ──────────────> engine side   │            │
//!   │ client │                               │   Engine   │ ──> checkers
//!   └────────┘ <──── reassembly <─────────── │   turn()   │
//!   client side        link down             └────────────┘
//! ```
//!
//! Everything that happens is an event at a moment; events of one moment happen in the order in which they
//! were made. Nothing here looks at a clock, at the address of an object or at the order of a hash map, so
//! the same seed gives the same world, frame by frame: [`World::digest`] is there to prove it.
//!
//! Each client has links of its own that begin when it does, are impaired for a while and heal then. After
//! that, the client has to come to an end within bounded time.

mod event;
mod nic;
mod record;

use std::fmt;
use std::hash::Hasher;
use std::mem;
use std::time::Duration;

use crate::sample::Sample;
use lethe::app::App;
use lethe::engine::{Engine, SCRATCH_LEN};
use lethe::time::Instant;
use lethe::turn;
use lethe::verdict::{Stats, Verdict};
use siphasher::sip::SipHasher13;

pub use record::Recorder;

use crate::check::{Checker, Exchange};
use crate::clock::{after, between};
use crate::link::{Fate, Impairment, Link, Passage, Reassembler};
use crate::peer::{Outbox, Outcome, Peer};
use crate::random::Random;
use crate::server::Server;
use event::{Action, Queue};
use nic::{Rx, Tx};

/// Names a client of a world: the number of clients that were added before it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ClientId(pub u32);

/// How long a client is still there when it is done, so that late frames find it.
const LINGER: Duration = Duration::from_secs(2);

/// The most events for each client: a fetch takes some hundred, and one of 64 kB in the smallest fragments
/// over the worst link some ten thousand. More means that something goes round in circles.
const EVENTS_PER_CLIENT: u64 = 1_000_000;

/// A client, and what lies between it and the engine.
pub struct Client {
    /// The machine itself.
    pub peer: Box<dyn Peer>,
    /// Its hardware address: what the engine sends there arrives here.
    pub mac: [u8; 6],
    /// What is wrong on the way to the engine,
    pub up: Impairment,
    /// and on the way back.
    pub down: Impairment,
    /// What both links draw from.
    pub random: Random,
    /// How long after the start its links heal.
    pub heals_after: Duration,
    /// How long after that it must be done.
    pub patience: Duration,
    /// Whether IP fragments are put together before it sees them.
    pub reassembles: bool,
}

/// A client that has come to its end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finished {
    /// Which.
    pub client: ClientId,
    /// How long it took; in the case of [`Outcome::Running`], how long it was waited for.
    pub took: Duration,
    /// How long it took until the last byte of its reply was there, if it says so.
    pub read_after: Option<Duration>,
    /// How it ended. [`Outcome::Running`]: it did not, though its links have healed long ago.
    pub outcome: Outcome,
}

/// An invariant does not hold.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub struct Violation {
    /// The client whose frame brought it to light.
    pub client: ClientId,
    /// When, from the beginning of the world.
    pub at: Duration,
    /// The name of the checker.
    pub checker: &'static str,
    /// What was wrong with which frame.
    pub message: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { client: ClientId(client), at, checker, message } = self;
        write!(f, "client {client} after {at:?}: {checker}: {message}")
    }
}

/// What has been counted in a world.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    /// Frames that clients sent.
    pub from_clients: u64,
    /// Frames that clients got.
    pub to_clients: u64,
    /// Frames that links lost.
    pub lost: u64,
    /// Events.
    pub events: u64,
    /// The most frames that were sent for one frame.
    pub burst_max: usize,
}

/// A world.
pub struct World<'a, A> {
    host: Host<'a, A>,
    checkers: Vec<Box<dyn Checker + 'a>>,
    recorder: Option<&'a mut Recorder>,
    start: Instant,
    now: Instant,
    nodes: Vec<Option<Box<Node>>>,
    events: Queue,
    finished: Option<Finished>,
    stats: Stats,
    tally: Tally,
    digest: SipHasher13,
    scratch: Box<[u8]>,
    tx: Tx,
    // Kept for their room.
    passage: Passage,
    outbox: Outbox,
}

/// Who answers.
enum Host<'a, A> {
    Engine(&'a Engine<A>),
    Other(Box<dyn Server + 'a>),
}

/// A client that has begun and is not gone yet.
struct Node {
    client: Client,
    started: Instant,
    up: Link,
    down: Link,
    reassembler: Reassembler,
    /// When it is to be woken, as it was last heard to say.
    wake: Option<Instant>,
    /// When the server is to be woken because of it.
    server_wake: Option<Instant>,
    is_finished: bool,
}

/// Where a frame is seen.
#[derive(Clone, Copy)]
enum TracePoint {
    SentByClient = 0,
    ReceivedByEngine = 1,
    SentByEngine = 2,
    ReceivedByClient = 3,
}

impl<'a> World<'a, Sample> {
    /// A world in which another server answers. What it sends is counted, and not looked at by checkers.
    pub fn of_server(server: Box<dyn Server + 'a>, start: Instant) -> Self {
        Self::with_host(Host::Other(server), start)
    }
}

impl<'a, A: App> World<'a, A> {
    /// A world that begins at `start`, with an engine and no clients yet.
    pub fn new(engine: &'a Engine<A>, start: Instant) -> Self {
        Self::with_host(Host::Engine(engine), start)
    }

    fn with_host(host: Host<'a, A>, start: Instant) -> Self {
        Self {
            host,
            checkers: Vec::new(),
            recorder: None,
            start,
            now: start,
            nodes: Vec::new(),
            events: Queue::default(),
            finished: None,
            stats: Stats::default(),
            tally: Tally::default(),
            digest: SipHasher13::new(),
            scratch: vec![0; SCRATCH_LEN].into(),
            tx: Tx::new(),
            passage: Passage::default(),
            outbox: Outbox::new(),
        }
    }

    /// Has every exchange looked at by `checkers`.
    #[must_use]
    pub fn with_checkers(mut self, checkers: Vec<Box<dyn Checker + 'a>>) -> Self {
        self.checkers = checkers;
        self
    }

    /// Has every frame written down.
    #[must_use]
    pub fn with_recorder(mut self, recorder: &'a mut Recorder) -> Self {
        self.recorder = Some(recorder);
        self
    }

    /// Adds a client that begins at `start`, or now if that is past.
    pub fn add(&mut self, start: Instant, client: Client) -> ClientId {
        let id = ClientId(self.nodes.len() as u32);
        let started = start.max(self.now);
        let limit = after(after(started, client.heals_after), client.patience);
        self.events.push(started, id, Action::Wake);
        self.events.push(after(started, client.heals_after), id, Action::Heal);
        self.events.push(limit, id, Action::Limit);
        self.nodes.push(Some(Box::new(Node {
            up: Link::new(&client.up, started, &client.random.fork("up")),
            down: Link::new(&client.down, started, &client.random.fork("down")),
            client,
            started,
            reassembler: Reassembler::default(),
            wake: Some(started),
            server_wake: None,
            is_finished: false,
        })));
        id
    }

    /// Goes on until a client has come to its end, and tells which; `None` when nothing is left to happen.
    ///
    /// # Errors
    ///
    /// When a checker finds that an invariant does not hold.
    pub fn next_finished(&mut self) -> Result<Option<Finished>, Violation> {
        while let Some(event) = self.events.pop() {
            debug_assert!(self.now <= event.at, "time goes forward");
            self.now = event.at;
            self.tally.events += 1;
            self.handle(event.client, event.action)?;
            if let Some(finished) = self.finished.take() {
                return Ok(Some(finished));
            }
        }
        Ok(None)
    }

    /// The time it is.
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// What the engine's loop has counted.
    pub const fn stats(&self) -> &Stats {
        &self.stats
    }

    /// What the world has counted.
    pub const fn tally(&self) -> &Tally {
        &self.tally
    }

    /// A number made of every frame, where it was seen and when. Two runs with the same digest were the same.
    pub fn digest(&self) -> u64 {
        self.digest.finish()
    }

    fn handle(&mut self, id: ClientId, action: Action) -> Result<(), Violation> {
        let Some(node) = self.nodes.get_mut(id.0 as usize).and_then(Option::as_mut) else {
            // What was under way to a client that is gone is still under way to the engine.
            return match action {
                Action::ToEngine(frame, fates) => self.receive_at_engine(id, &frame, &fates),
                _ => Ok(()),
            };
        };
        match action {
            Action::Wake if node.wake == Some(self.now) => {
                node.client.peer.wake(self.now, &mut self.outbox);
                self.after_peer(id);
            }
            Action::WakeServer if node.server_wake == Some(self.now) => {
                let mut out = mem::take(&mut self.outbox);
                if let Host::Other(server) = &mut self.host {
                    server.wake(self.now, id, &mut out);
                }
                self.after_server(id, out);
            }
            Action::Wake | Action::WakeServer => {}
            Action::Heal => {
                node.up.heal();
                node.down.heal();
            }
            Action::Limit => self.finish(id),
            Action::Leave => {
                self.nodes[id.0 as usize] = None;
                if let Host::Other(server) = &mut self.host {
                    server.forget(id);
                }
            }
            Action::ToEngine(frame, fates) => self.receive_at_engine(id, &frame, &fates)?,
            Action::ToClient(frame, fates) => self.receive_at_client(id, frame, &fates),
        }
        if self.tally.events > EVENTS_PER_CLIENT * self.nodes.len() as u64 {
            return Err(self.violation(id, "bounded-events", "the world does not come to rest".to_owned()));
        }
        Ok(())
    }

    /// A frame has reached the client's end.
    fn receive_at_client(&mut self, id: ClientId, frame: Vec<u8>, fates: &[Fate]) {
        self.note(TracePoint::ReceivedByClient, id, &frame);
        self.record(TracePoint::ReceivedByClient, id, &frame, |to| to.write_fates(fates));
        self.tally.to_clients += 1;
        let Some(node) = &mut self.nodes[id.0 as usize] else {
            return;
        };
        let frame = if node.client.reassembles { node.reassembler.receive(self.now, frame) } else { Some(frame) };
        if let Some(frame) = frame {
            node.client.peer.receive(self.now, &frame, &mut self.outbox);
            self.after_peer(id);
        }
    }

    /// A client has had its say: sends what it wrote, and sees when it wants to be woken and whether it is done.
    fn after_peer(&mut self, id: ClientId) {
        let mut outbox = mem::take(&mut self.outbox);
        for frame in outbox.drain(..) {
            self.send_from_client(id, frame);
        }
        self.outbox = outbox;
        let Some(node) = &mut self.nodes[id.0 as usize] else {
            return;
        };
        let wake = node.client.peer.deadline().map(|deadline| deadline.max(self.now));
        // A time that is waited for already is not waited for twice.
        if let Some(at) = wake.filter(|_| wake != node.wake || wake == Some(self.now)) {
            self.events.push(at, id, Action::Wake);
        }
        node.wake = wake;
        if !node.is_finished && node.client.peer.outcome() != Outcome::Running {
            self.finish(id);
        }
    }

    /// A client is done, or has been waited for long enough.
    fn finish(&mut self, id: ClientId) {
        let Some(node) = self.nodes[id.0 as usize].as_mut().filter(|node| !node.is_finished) else {
            return;
        };
        node.is_finished = true;
        let took = between(node.started, self.now);
        let peer = &node.client.peer;
        let read_after = peer.complete_at().map(|at| between(node.started, at));
        self.finished = Some(Finished { client: id, took, read_after, outcome: peer.outcome() });
        self.events.push(after(self.now, LINGER), id, Action::Leave);
    }

    fn send_from_client(&mut self, id: ClientId, frame: Vec<u8>) {
        self.note(TracePoint::SentByClient, id, &frame);
        self.tally.from_clients += 1;
        let Some(node) = &mut self.nodes[id.0 as usize] else {
            return;
        };
        let copy = self.recorder.as_ref().map(|_| frame.clone());
        node.up.send(self.now, frame, &mut self.passage);
        if let Some(frame) = copy {
            self.record_passage(TracePoint::SentByClient, id, &frame);
        }
        self.tally.lost += self.passage.lost.len() as u64;
        for frame in self.passage.onward.drain(..) {
            self.events.push(frame.at, id, Action::ToEngine(frame.bytes, frame.fates));
        }
        for bytes in self.passage.back.drain(..) {
            self.events.push(self.now, id, Action::ToClient(bytes, Vec::new()));
        }
        self.passage.clear();
    }

    /// A frame has reached the engine: one turn of the production loop, under the eyes of all checkers.
    fn receive_at_engine(&mut self, id: ClientId, frame: &[u8], fates: &[Fate]) -> Result<(), Violation> {
        self.note(TracePoint::ReceivedByEngine, id, frame);
        self.record(TracePoint::ReceivedByEngine, id, frame, |to| to.write_fates(fates));
        let engine = match &mut self.host {
            Host::Engine(engine) => *engine,
            Host::Other(server) => {
                let mut out = mem::take(&mut self.outbox);
                server.receive(self.now, id, frame, &mut out);
                self.after_server(id, out);
                return Ok(());
            }
        };
        let mut stats = Stats::default();
        turn(engine, self.now, &mut (Rx::new(frame), &mut self.tx), &mut self.scratch, &mut stats, 1);
        let Some(verdict) = only_verdict(&stats) else {
            return Err(self.violation(id, "one-verdict", "a frame has not got exactly one verdict".to_owned()));
        };
        self.stats.add(&stats);
        let mut sent = self.tx.take();
        self.tally.burst_max = self.tally.burst_max.max(sent.len());
        let exchange = Exchange { now: self.now, received: frame, verdict, sent: &sent };
        let mut checkers = self.checkers.iter_mut();
        let found =
            checkers.find_map(|checker| checker.check(&exchange).err().map(|message| (checker.name(), message)));
        for frame in sent.drain(..) {
            self.send_from_engine(id, frame);
        }
        self.tx.give_back(sent);
        found.map_or(Ok(()), |(checker, message)| Err(self.violation(id, checker, message)))
    }

    /// A server that is no engine has had its say.
    fn after_server(&mut self, id: ClientId, mut out: Outbox) {
        self.tally.burst_max = self.tally.burst_max.max(out.len());
        for frame in out.drain(..) {
            self.stats.count_sent(frame.len());
            self.send_from_engine(id, frame);
        }
        self.outbox = out;
        let (Host::Other(server), Some(node)) = (&self.host, &mut self.nodes[id.0 as usize]) else {
            return;
        };
        let wake = server.deadline(id).map(|deadline| deadline.max(self.now));
        if let Some(at) = wake.filter(|_| wake != node.server_wake || wake == Some(self.now)) {
            self.events.push(at, id, Action::WakeServer);
        }
        node.server_wake = wake;
    }

    /// Sends a frame of the engine to its destination: one client, or all. `id` is the client that caused it.
    fn send_from_engine(&mut self, id: ClientId, frame: Vec<u8>) {
        let destination = frame.first_chunk::<6>().copied().unwrap_or_default();
        if destination[0] & 1 == 1 {
            for index in 0..self.nodes.len() {
                self.send_down(ClientId(index as u32), frame.clone());
            }
            return;
        }
        let is_it = |node: &Option<Box<Node>>| node.as_ref().is_some_and(|node| node.client.mac == destination);
        // Mostly it is the one who asked.
        let to = if self.nodes.get(id.0 as usize).is_some_and(is_it) {
            Some(id.0 as usize)
        } else {
            self.nodes.iter().position(is_it)
        };
        if let Some(index) = to {
            self.send_down(ClientId(index as u32), frame);
        }
    }

    fn send_down(&mut self, id: ClientId, frame: Vec<u8>) {
        if self.nodes[id.0 as usize].is_none() {
            return;
        }
        self.note(TracePoint::SentByEngine, id, &frame);
        let copy = self.recorder.as_ref().map(|_| frame.clone());
        let Some(node) = &mut self.nodes[id.0 as usize] else {
            return;
        };
        node.down.send(self.now, frame, &mut self.passage);
        if let Some(frame) = copy {
            self.record_passage(TracePoint::SentByEngine, id, &frame);
        }
        self.tally.lost += self.passage.lost.len() as u64;
        for frame in self.passage.onward.drain(..) {
            self.events.push(frame.at, id, Action::ToClient(frame.bytes, frame.fates));
        }
        for bytes in self.passage.back.drain(..) {
            self.events.push(self.now, id, Action::ToEngine(bytes, Vec::new()));
        }
        self.passage.clear();
    }

    /// Adds a frame to the digest. In bytes of a fixed order: it is the same on every machine.
    fn note(&mut self, place: TracePoint, id: ClientId, frame: &[u8]) {
        let mut head = [0; 17];
        head[..8].copy_from_slice(&between(self.start, self.now).as_nanos().to_le_bytes()[..8]);
        head[8..12].copy_from_slice(&id.0.to_le_bytes());
        head[12] = place as u8;
        head[13..].copy_from_slice(&(frame.len() as u32).to_le_bytes());
        self.digest.write(&head);
        self.digest.write(frame);
    }

    fn record(&mut self, place: TracePoint, id: ClientId, frame: &[u8], comment: impl FnOnce(&mut Recorder)) {
        if let Some(recorder) = &mut self.recorder {
            comment(recorder);
            recorder.write(self.now, id, place.side(), frame);
        }
    }

    fn record_passage(&mut self, place: TracePoint, id: ClientId, frame: &[u8]) {
        if let Some(recorder) = &mut self.recorder {
            recorder.write_passage(&self.passage);
            recorder.write(self.now, id, place.side(), frame);
        }
    }

    fn violation(&self, client: ClientId, checker: &'static str, message: String) -> Violation {
        Violation { client, at: between(self.start, self.now), checker, message }
    }
}

impl TracePoint {
    const fn side(self) -> record::Side {
        match self {
            Self::SentByClient | Self::ReceivedByClient => record::Side::Client,
            Self::ReceivedByEngine | Self::SentByEngine => record::Side::Server,
        }
    }
}

/// The verdict that was counted, if it is one frame and one verdict.
fn only_verdict(stats: &Stats) -> Option<Verdict> {
    let mut counted = stats.rows().filter(|&(_, count)| count > 0);
    match (counted.next(), counted.next()) {
        (Some((verdict, 1)), None) => Some(verdict),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
