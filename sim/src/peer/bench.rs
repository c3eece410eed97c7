//! A table for tests: one peer and an engine, joined by a cable on which single frames are lost or changed.

use std::collections::VecDeque;
use std::time::Duration;

use lethe::time::Instant;
use lethe::{App, Engine};

use super::{Outbox, Outcome, Peer};
use crate::check::{self, Checker, Exchange};
use crate::clock::after;
use crate::link::Reassembler;
use crate::random::Random;
use crate::workspace::Workspace;

/// The time a frame takes each way.
const DELAY: Duration = Duration::from_millis(10);

/// No fetch over such a cable takes longer.
const STEPS_MAX: usize = 10_000;

/// After this time, a bad cable is a good one: clients double their patience, and a cookie does not wait.
const BAD_TIME: Duration = Duration::from_secs(10);

/// When it all begins: in the middle of an epoch.
const START: Instant = Instant::from_unix_seconds(1_779_999_990);

type Change = Box<dyn Fn(&[u8]) -> Vec<u8>>;

pub(crate) struct Bench<'e, A, P> {
    engine: &'e Engine<A>,
    peer: P,
    now: Instant,
    under_way: VecDeque<(Instant, Vec<u8>, bool)>,
    reassembler: Option<Reassembler>,
    checkers: Vec<Box<dyn Checker + 'e>>,
    workspace: Workspace,
    frames: usize,
    lost: Option<usize>,
    bad_cable: Option<Random>,
    change: Option<Change>,
}

impl<'e, A: App, P: Peer> Bench<'e, A, P> {
    pub(crate) fn new(engine: &'e Engine<A>, peer: P) -> Self {
        Self {
            engine,
            peer,
            now: START,
            under_way: VecDeque::new(),
            reassembler: Some(Reassembler::default()),
            checkers: check::all(engine),
            workspace: Workspace::default(),
            frames: 0,
            lost: None,
            bad_cable: None,
            change: None,
        }
    }

    /// Leaves it to the peer to put fragments together.
    pub(crate) fn without_reassembly(mut self) -> Self {
        self.reassembler = None;
        self
    }

    /// Loses the frame with this number, whichever way it goes.
    pub(crate) fn lose(&mut self, number: usize) {
        self.lost = Some(number);
    }

    /// Loses, doubles and shuffles frames, for a while.
    pub(crate) fn bad_cable(&mut self, random: Random) {
        self.bad_cable = Some(random);
    }

    /// Changes all that the engine sends.
    pub(crate) fn change(&mut self, change: impl Fn(&[u8]) -> Vec<u8> + 'static) {
        self.change = Some(Box::new(change));
    }

    /// Runs to the end and tells how many frames there were.
    pub(crate) fn count(mut self) -> usize {
        self.go();
        self.frames
    }

    pub(crate) fn run(mut self) -> Outcome {
        self.go();
        self.peer.outcome()
    }

    /// Runs to the end, and returns the peer.
    pub(crate) fn run_for_peer(mut self) -> P {
        self.go();
        self.peer
    }

    fn go(&mut self) {
        let mut out = Outbox::new();
        self.peer.wake(self.now, &mut out);
        for _ in 0..STEPS_MAX {
            for frame in out.drain(..) {
                self.post(&frame, true);
            }
            if self.peer.outcome() != Outcome::Running && self.under_way.is_empty() {
                return;
            }
            let deadline = self.peer.deadline();
            match self.under_way.front() {
                Some((at, ..)) if deadline.is_none_or(|deadline| *at <= deadline) => self.deliver(&mut out),
                _ => {
                    let Some(deadline) = deadline else { return };
                    self.now = deadline.max(self.now);
                    self.peer.wake(self.now, &mut out);
                }
            }
        }
    }

    fn post(&mut self, frame: &[u8], to_engine: bool) {
        let (mut copies, mut delays) = (1, [DELAY; 2]);
        if let Some(random) = self.bad_cable.as_mut().filter(|_| self.now < after(START, BAD_TIME)) {
            copies = *random.pick(&[1, 1, 1, 1, 1, 0, 2]);
            delays = delays.map(|delay| delay * *random.pick(&[1, 1, 1, 2, 5, 40]));
        }
        if self.lost == Some(self.frames) {
            copies = 0;
        }
        for &delay in &delays[..copies] {
            let at = after(self.now, delay);
            let place = self.under_way.partition_point(|(other, ..)| *other <= at);
            self.under_way.insert(place, (at, frame.to_vec(), to_engine));
        }
        self.frames += 1;
    }

    fn deliver(&mut self, out: &mut Outbox) {
        let Some((at, frame, to_engine)) = self.under_way.pop_front() else { return };
        self.now = at.max(self.now);
        if !to_engine {
            let frame = self.change.as_ref().map_or(frame.clone(), |change| change(&frame));
            let whole = match &mut self.reassembler {
                Some(reassembler) => reassembler.receive(self.now, frame),
                None => Some(frame),
            };
            if let Some(frame) = whole {
                self.peer.receive(self.now, &frame, out);
            }
            return;
        }
        let (verdict, sent) = self.workspace.answer(self.engine, self.now, &frame);
        let exchange = Exchange { now: self.now, received: &frame, verdict, sent: &sent };
        for checker in &mut self.checkers {
            if let Err(violation) = checker.check(&exchange) {
                panic!("{}: {violation}", checker.name());
            }
        }
        for frame in sent {
            self.post(&frame, false);
        }
    }
}
