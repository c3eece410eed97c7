//! What the tests that cross crates have in common: an engine, and a client of it that talks step by step.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::time::Duration;

use lethe::config::{Addresses, Config, Refuse};
use lethe::cookie::Secret;
use lethe::engine::Engine;
use lethe::verdict::Verdict;
use lethe_sim::dialogue::Dialogue;
use lethe_sim::dissect::Frame;
use lethe_sim::frame::{Ends, Segment};
use lethe_sim::sample::Sample;

/// The initial sequence number of the client.
pub(crate) const ISN: u32 = 1000;

/// The timestamp that the client sends.
pub(crate) const TIME: u32 = 5;

/// An engine for 10.9.0.2 and `fd09::2` that answers `GET /N` with N bytes.
pub(crate) fn engine() -> Engine<Sample> {
    engine_with(Refuse::Drop)
}

/// The same with another policy for what nobody wants.
pub(crate) fn engine_with(refuse: Refuse) -> Engine<Sample> {
    Engine::new(config(refuse), Sample::new(70_000))
}

/// The same, changed by `change`.
pub(crate) fn engine_changed(change: impl FnOnce(&mut Config)) -> Engine<Sample> {
    let mut config = config(Refuse::Drop);
    change(&mut config);
    Engine::new(config, Sample::new(70_000))
}

/// Its configuration, with a secret that everybody knows.
pub(crate) fn config(refuse: Refuse) -> Config {
    let mut addresses = Addresses::new();
    for address in ["10.9.0.2", "fd09::2"] {
        addresses.add(address.parse().unwrap()).unwrap();
    }
    Config { addresses, refuse, ..Config::new(Secret::new(*b"not a secret key")) }
}

/// What a client says in its SYN.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offer {
    pub(crate) mss: Option<u16>,
    pub(crate) timestamps: bool,
    pub(crate) sack: bool,
}

impl Offer {
    /// What Linux offers.
    pub(crate) const LINUX: Self = Self { mss: Some(1460), timestamps: true, sack: true };
    /// Nothing at all.
    pub(crate) const PLAIN: Self = Self { mss: None, timestamps: false, sack: false };
}

/// A client that says what it is told to, and remembers what it must give back.
pub(crate) struct Client<'e> {
    pub(crate) dialogue: Dialogue<'e, Sample>,
    pub(crate) ends: Ends,
    pub(crate) offer: Offer,
    /// The sequence number of the SYN+ACK.
    pub(crate) cookie: u32,
    /// The newest timestamp of the server.
    pub(crate) echo: u32,
}

impl<'e> Client<'e> {
    pub(crate) fn new(engine: &'e Engine<Sample>, ends: Ends, offer: Offer) -> Self {
        Self { dialogue: Dialogue::new(engine), ends, offer, cookie: 0, echo: 0 }
    }

    /// A client whose handshake is done.
    pub(crate) fn connected(engine: &'e Engine<Sample>, ends: Ends, offer: Offer) -> Self {
        let mut client = Self::new(engine, ends, offer);
        client.connect();
        client
    }

    /// SYN, SYN+ACK, ACK.
    pub(crate) fn connect(&mut self) {
        let Offer { mss, timestamps, sack } = self.offer;
        let mut syn = Segment::syn(&self.ends).seq(ISN);
        syn = mss.map_or(syn.clone(), |mss| syn.mss(mss));
        syn = if sack { syn.sack_permitted() } else { syn };
        syn = if timestamps { syn.timestamps(TIME, 0) } else { syn };
        let sent = self.send(&syn);
        let [syn_ack] = &sent[..] else { panic!("one SYN+ACK, not {}", sent.len()) };
        let frame = Frame::dissect(syn_ack).unwrap();
        let (_, tcp) = frame.tcp().unwrap();
        self.cookie = tcp.seq.value();
        self.echo = tcp.timestamps.map_or(0, |(value, _)| value);
        let ack = self.at(0, 0);
        self.send(&ack);
    }

    /// An ACK that stands `sent` bytes behind the start of the request, and acknowledges `read` bytes of
    /// the response.
    pub(crate) fn at(&self, sent: u32, read: u32) -> Segment {
        let ack_number = self.cookie.wrapping_add(1).wrapping_add(read);
        let segment = Segment::ack(&self.ends).seq(ISN + 1 + sent).ack_number(ack_number);
        if self.offer.timestamps { segment.timestamps(TIME, self.echo) } else { segment }
    }

    /// Gives a segment to the engine; remembers the timestamp of what comes back.
    pub(crate) fn send(&mut self, segment: &Segment) -> Vec<Vec<u8>> {
        self.send_frame(&segment.frame())
    }

    /// Gives a frame to the engine; remembers the timestamp of what comes back.
    pub(crate) fn send_frame(&mut self, frame: &[u8]) -> Vec<Vec<u8>> {
        let sent = self.dialogue.send(frame);
        for frame in &sent {
            let frame = Frame::dissect(frame).unwrap();
            if let Some((value, _)) = frame.tcp().and_then(|(_, tcp)| tcp.timestamps) {
                self.echo = value;
            }
        }
        sent
    }

    /// Sends a request in one segment and returns the frames of the response.
    pub(crate) fn request(&mut self, request: impl AsRef<[u8]>) -> Vec<Vec<u8>> {
        let segment = self.at(0, 0).payload(request);
        self.send(&segment)
    }

    pub(crate) fn wait(&mut self, seconds: u64) {
        self.dialogue.wait(Duration::from_secs(seconds));
    }

    /// What became of the last frame.
    pub(crate) fn verdict(&self) -> Verdict {
        self.dialogue.verdict().expect("a frame was sent")
    }
}

/// The TCP payload of an unfragmented frame.
pub(crate) fn payload(frame: &[u8]) -> Vec<u8> {
    let frame = Frame::dissect(frame).unwrap();
    assert_eq!(frame.problem(), None);
    frame.tcp().unwrap().1.payload.to_vec()
}

/// Both families, to run the same conversation over.
pub(crate) fn both() -> [Ends; 2] {
    [Ends::v4(), Ends::v6()]
}
