//! What is going to happen, in order of time.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use lethe::time::Instant;

use super::ClientId;
use crate::link::Fate;

/// Something that happens to one client or on its links.
#[derive(Debug)]
pub(super) enum Action {
    /// Its deadline has come.
    Wake,
    /// A deadline of the server's because of it has come.
    WakeServer,
    /// Its links heal.
    Heal,
    /// It has been waited for long enough.
    Limit,
    /// It is gone.
    Leave,
    /// A frame from it reaches the engine.
    ToEngine(Vec<u8>, Vec<Fate>),
    /// A frame reaches it.
    ToClient(Vec<u8>, Vec<Fate>),
}

#[derive(Debug)]
pub(super) struct Event {
    pub(super) at: Instant,
    /// How many were made before: what happens first of two at the same moment.
    number: u64,
    pub(super) client: ClientId,
    pub(super) action: Action,
}

impl Event {
    /// The greatest is what the heap gives first.
    fn key(&self) -> impl Ord + use<> {
        std::cmp::Reverse((self.at, self.number))
    }
}

impl PartialEq for Event {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Event {}

impl PartialOrd for Event {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Event {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

/// All that is going to happen.
#[derive(Debug, Default)]
pub(super) struct Queue {
    heap: BinaryHeap<Event>,
    count: u64,
}

impl Queue {
    pub(super) fn push(&mut self, at: Instant, client: ClientId, action: Action) {
        self.heap.push(Event { at, number: self.count, client, action });
        self.count += 1;
    }

    pub(super) fn pop(&mut self) -> Option<Event> {
        self.heap.pop()
    }
}
