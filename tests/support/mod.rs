//! What the tests that cross crates have in common: an engine, and a client of it that talks step by step.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::net::IpAddr;
use std::sync::LazyLock;
use std::time::Duration;

use lethe::app::{Generations, Position};
use lethe::config::{Addresses, Config, Refuse};
use lethe::cookie::{Flow, FlowKeys, Secret};
use lethe::engine::Engine;
use lethe::http::Response;
use lethe::verdict::Verdict;
use lethe::wire::ip::AddressPair;
use lethe::wire::tcp::Flags;
use lethe::{App, Request};
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

/// Its configuration, with a secret that everybody knows: each response closes its connection.
pub(crate) fn config(refuse: Refuse) -> Config {
    let mut addresses = Addresses::new();
    for address in ["10.9.0.2", "fd09::2"] {
        addresses.add(address.parse().unwrap()).unwrap();
    }
    Config { addresses, refuse, keep_alive: false, ..Config::new(Secret::new(*b"not a secret key")) }
}

/// What the secret that everybody knows makes of the connection between these ends.
pub(crate) fn flow_keys(ends: &Ends) -> FlowKeys {
    let addresses = match (ends.client.ip(), ends.server.ip()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => AddressPair::V4 { source, destination },
        (IpAddr::V6(source), IpAddr::V6(destination)) => AddressPair::V6 { source, destination },
        _ => unreachable!("both ends are of one family"),
    };
    let (client_port, server_port) = (ends.client.port(), ends.server.port());
    config(Refuse::Drop).secret.flow_keys(&Flow { addresses, client_port, server_port })
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
pub(crate) struct Client<'e, A = Sample> {
    pub(crate) dialogue: Dialogue<'e, A>,
    pub(crate) ends: Ends,
    pub(crate) offer: Offer,
    /// The sequence number of the SYN+ACK.
    pub(crate) cookie: u32,
    /// The newest timestamp of the server.
    pub(crate) echo: u32,
}

impl<'e, A: App> Client<'e, A> {
    pub(crate) fn new(engine: &'e Engine<A>, ends: Ends, offer: Offer) -> Self {
        Self { dialogue: Dialogue::new(engine), ends, offer, cookie: 0, echo: 0 }
    }

    /// A client whose handshake is done.
    pub(crate) fn connected(engine: &'e Engine<A>, ends: Ends, offer: Offer) -> Self {
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

    /// The sequence number of the first byte of the response.
    pub(crate) const fn first_byte(&self) -> u32 {
        self.cookie.wrapping_add(1)
    }

    /// An ACK that stands `sent` bytes behind the start of the request, and acknowledges `read` bytes of
    /// the response.
    pub(crate) fn at(&self, sent: u32, read: u32) -> Segment {
        let ack_number = self.first_byte().wrapping_add(read);
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

    /// Sends the packets of this client to another engine from here on.
    pub(crate) fn moved<'o, B: App>(&self, engine: &'o Engine<B>) -> Client<'o, B> {
        let Self { ends, offer, cookie, echo, .. } = *self;
        Client { dialogue: Dialogue::new(engine), ends, offer, cookie, echo }
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

/// A segment that was sent: offset from the start of the response, payload, and the rest of what matters.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) offset: u32,
    pub(crate) payload: Vec<u8>,
    pub(crate) flags: Flags,
    /// How many bytes of the request it acknowledges.
    pub(crate) acknowledged: u32,
    pub(crate) window: u16,
    pub(crate) stamp: u32,
}

impl Sent {
    /// Probes are far behind.
    pub(crate) fn is_probe(&self) -> bool {
        self.offset > 1 << 30
    }
}

/// The segments among these frames.
pub(crate) fn sent<A: App>(client: &Client<'_, A>, frames: &[Vec<u8>]) -> Vec<Sent> {
    let parse = |bytes: &Vec<u8>| {
        let frame = Frame::dissect(bytes).unwrap();
        assert_eq!(frame.problem(), None);
        let (_, tcp) = frame.tcp()?;
        Some(Sent {
            offset: tcp.seq.value().wrapping_sub(client.first_byte()),
            payload: tcp.payload.to_vec(),
            flags: tcp.flags,
            acknowledged: tcp.ack.value().wrapping_sub(ISN + 1),
            window: tcp.window,
            stamp: tcp.timestamps.map_or(0, |(value, _)| value),
        })
    };
    frames.iter().filter_map(parse).collect()
}

/// Sends a segment; what is sent for it.
pub(crate) fn send<A: App>(segment: &Segment, client: &mut Client<'_, A>) -> Vec<Sent> {
    let frames = client.send(segment);
    sent(client, &frames)
}

pub(crate) fn offsets(sent: &[Sent]) -> Vec<u32> {
    sent.iter().map(|segment| segment.offset).collect()
}

/// An application with one response of `len` bytes, head and body, in each version of its data. It gives that of a
/// version that is gone as well, so it is for the engine to refuse it.
pub(crate) struct Stored {
    pub(crate) len: usize,
    /// Where it begins in each version.
    pub(crate) first: u32,
    pub(crate) generations: Generations,
    /// Whether the application says that it stores anything.
    pub(crate) stores: bool,
}

impl Stored {
    pub(crate) const fn new(len: usize) -> Self {
        Self { len, first: 0, generations: Generations::ONE, stores: true }
    }

    /// One with these versions of its data.
    pub(crate) const fn of_version(current: u8, live: u8) -> Self {
        Self { generations: Generations { current, live }, ..Self::new(50_000) }
    }

    /// Engines that a connection may come to which began with version 1, and whether that one is live there.
    pub(crate) fn later_versions() -> [(Engine<Self>, bool); 5] {
        [(1, 0b0010), (2, 0b0110), (2, 0b0111), (2, 0b0100), (0, 0b0001)]
            .map(|(current, live)| (Self::of_version(current, live).engine(), live & 0b0010 != 0))
    }

    /// An engine that answers with it.
    pub(crate) fn engine(self) -> Engine<Self> {
        Engine::new(config(Refuse::Drop), self)
    }

    fn of(&self, generation: u32) -> Response<'_> {
        const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\n\r\n";
        // Zero pages: memory is taken for none that is not sent.
        static ZEROS: LazyLock<Vec<u8>> = LazyLock::new(|| vec![0; 1_100_000_000]);
        let position = Position::new(generation * Position::PER_GENERATION + self.first).unwrap();
        Response::prepared(HEAD, &ZEROS[..self.len - HEAD.len()]).stored_at(position)
    }
}

impl App for Stored {
    fn respond<'a>(&'a self, request: &Request<'_>, _: &'a mut [u8]) -> Response<'a> {
        self.of(request.generation.into())
    }

    fn stored(&self, position: Position) -> Option<Response<'_>> {
        let response = self.of(position.value() / Position::PER_GENERATION);
        let within = position.value().checked_sub(response.position()?.value())?;
        (within < Position::units(self.len) as u32).then_some(response)
    }

    fn stores(&self) -> bool {
        self.stores
    }

    fn generations(&self) -> Generations {
        self.generations
    }
}
