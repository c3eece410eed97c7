//! One client of a run: what it is like, what it asks for and what it may expect.

use std::fmt;
use std::time::Duration;

use lethe::app::{App, Request};
use lethe::cookie::Mss;
use lethe::http::RequestLine;

use crate::frame::Ends;
use crate::link::Impairment;
use crate::peer::{Peer, attacker, client, stack};
use crate::random::Random;
use crate::section;
use crate::world;

/// A client of a run.
#[derive(Clone, Debug)]
pub struct ClientSpec {
    /// Its number: how many were drawn before it.
    pub number: u32,
    /// What it is like.
    pub kind: Kind,
    /// What it asks: the whole request, from its first line to its empty line.
    pub request: Vec<u8>,
    /// How many bytes it asks for: for people.
    pub size: usize,
    /// What must come of it.
    pub promise: Promise,
    /// Both ends of its connection.
    pub ends: Ends,
    /// What is wrong on its way to the engine,
    pub up: Impairment,
    /// and on the way back.
    pub down: Impairment,
    /// What its links draw from.
    pub random: Random,
    /// How long after its start its links heal,
    pub heals_after: Duration,
    /// and how long after that it must be done.
    pub patience: Duration,
}

/// What a client is like.
#[derive(Clone, Debug)]
pub enum Kind {
    /// The model of ours.
    Model(Box<client::Settings>),
    /// smoltcp.
    Stack(Box<stack::Settings>),
    /// The model of ours, which keeps its connections.
    Session(Box<client::SessionSettings>),
    /// An attacker.
    Attacker(Box<attacker::Settings>),
}

/// What must come of a client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Promise {
    /// It gets its reply, byte by byte.
    Reply,
    /// If it gets a reply, that is right. It may get none: see `docs/protocol.md` for who, and why.
    PerhapsReply,
    /// It does what it came for, which is not to read a reply.
    NoReply,
    /// Nothing: what it gets is changed on the way, and it cannot know.
    Nothing,
}

impl ClientSpec {
    /// What it has to read: the whole response, head and body, to its whole request. A client that keeps its connection
    /// reads one after the other, and of none what it says about the connection.
    pub fn reply(&self, app: &impl App, scratch: &mut [u8]) -> Vec<u8> {
        if let Kind::Session(settings) = &self.kind {
            let answer = |request: &client::SessionRequest| {
                client::normalized(&self.reply_to(app, &request.bytes, ANY_LENGTH, scratch).unwrap_or_default())
            };
            return settings.awaited().iter().flat_map(answer).collect();
        }
        self.reply_to(app, &self.request, ANY_LENGTH, scratch).unwrap_or_default()
    }

    /// Whether an application may answer with what was read: to its whole request, or to a beginning of it that came
    /// alone. Answers of several packets are all the same: what is made of two of them is none of these. A request for
    /// a part may be answered with that, or with all.
    pub fn may_read(&self, app: &impl App, read: &[u8], scratch: &mut [u8]) -> bool {
        if let Kind::Session(settings) = &self.kind {
            let mut rest = read;
            return settings.awaited().iter().all(|request| {
                let begins = |room| {
                    let reply = client::normalized(&self.reply_to(app, &request.bytes, room, scratch)?);
                    rest.strip_prefix(reply.as_slice())
                };
                let behind = PART_OR_ALL.into_iter().find_map(begins);
                rest = behind.unwrap_or_default();
                behind.is_some()
            }) && rest.is_empty();
        }
        // What a connection is told that stays open is no part of the answer.
        let bare = client::normalized(read);
        let mut is_part_or_all = |room| {
            let reply = self.reply_to(app, &self.request, room, scratch);
            reply.is_some_and(|reply| client::normalized(&reply) == bare)
        };
        if PART_OR_ALL.into_iter().any(&mut is_part_or_all) {
            return true;
        }
        let mut rooms = one_packets().map(|one_packet| (one_packet, false));
        let ends = || (1..=self.request.len()).rev();
        rooms.any(|room| {
            ends().any(|end| self.reply_to(app, &self.request[..end], room, scratch).is_some_and(|reply| reply == read))
        })
    }

    /// The answer to this packet, where one packet has room for so many bytes of it, and it may be a part or not.
    fn reply_to(
        &self,
        app: &impl App,
        packet: &[u8],
        (one_packet, takes_parts): (usize, bool),
        scratch: &mut [u8],
    ) -> Option<Vec<u8>> {
        // A part of a section is refused only for what refuses all of it.
        if packet.len() == self.request.len() && section::refused(packet).is_some() {
            return section::refusal(packet, one_packet);
        }
        let line = RequestLine::parse_for(app.methods(), packet).ok()?;
        let request = Request::of_line(&line).with_client(self.ends.client.ip()).with_one_packet(one_packet);
        let request = request.with_parts(takes_parts);
        let response = request.answer(app, scratch)?;
        Some([response.head(), response.body()].concat())
    }

    /// The client itself, with its links.
    pub fn into_client(self) -> world::Client {
        let peer: Box<dyn Peer> = match self.kind {
            Kind::Model(settings) => Box::new(client::Client::new(*settings)),
            Kind::Session(settings) => Box::new(client::Session::new(*settings)),
            Kind::Stack(settings) => Box::new(stack::Stack::new(*settings)),
            Kind::Attacker(settings) => Box::new(attacker::Attacker::new(*settings, self.random.fork("attacker"))),
        };
        world::Client {
            peer,
            mac: self.ends.client_mac.bytes(),
            up: self.up,
            down: self.down,
            random: self.random,
            heals_after: self.heals_after,
            patience: self.patience,
            reassembles: true,
        }
    }
}

/// Room for an answer of any length in one packet.
const ANY_LENGTH: (usize, bool) = (usize::MAX, false);

/// With these rooms the answer is a part, if the request asks for one, or all.
const PART_OR_ALL: [(usize, bool); 3] = [ANY_LENGTH, (0, true), (0, false)];

/// The sizes that a response of one packet can have: a byte less than the segments of each client.
fn one_packets() -> impl Iterator<Item = usize> {
    let announced = [88, 536, 1220, 1300, 1380, 1440, 1460, 8940].map(|mss| usize::from(Mss::at_most(mss).bytes()));
    let ours = [576, 1280, 1492, 1500, 9000].into_iter().flat_map(|mtu| [mtu - 40, mtu - 60]);
    let all = announced.into_iter().chain(ours).chain([1220, 4095]);
    [usize::MAX].into_iter().chain(all.flat_map(|segment| [segment, segment - 12].map(|segment| (segment & !3) - 1)))
}

/// On a few lines, what it is like.
impl fmt::Display for ClientSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ends, up, down, size, kind, promise, .. } = self;
        writeln!(f, "  {} asks {} for {size} bytes; promised: {promise:?}", ends.client, ends.server)?;
        writeln!(f, "  to engine: {up}; to client: {down}")?;
        match kind {
            Kind::Stack(settings) => {
                let stack::Settings { mtu, window, delayed_ack, timestamps, half_close, .. } = **settings;
                write!(f, "  smoltcp: MTU {mtu}, window {window}, acknowledges after {delayed_ack:?}, ")?;
                write!(f, "timestamps: {timestamps}, closes after its request: {half_close}")
            }
            Kind::Session(settings) => {
                let client::SessionSettings { client, requests, ending, .. } = &**settings;
                write!(f, "  keeps its connection: timestamps {}, SACK {}, ", client.timestamps, client.sack)?;
                write!(f, "MSS {:?}, acknowledges after {:?}, ", client.mss, client.delayed_ack)?;
                write!(f, "probes every {:?}, leaves: {ending:?}", client.keep_alive)?;
                requests.iter().try_for_each(|request| {
                    let line = request.bytes.split(|&byte| byte == b'\r').next().unwrap_or_default();
                    let client::SessionRequest { bytes, timing, cuts, gap } = request;
                    let (line, len) = (String::from_utf8_lossy(line), bytes.len());
                    write!(f, "\n    {line}, {len} bytes, {timing:?}, cut at {cuts:?}, {gap:?} apart")
                })
            }
            Kind::Attacker(settings) => {
                let attacker::Settings { frames, pause, attacks, .. } = &**settings;
                write!(f, "  attacker: {frames} frames, pauses up to {pause:?}, {attacks:?}")
            }
            Kind::Model(settings) => {
                let writes: Vec<usize> = settings.request.iter().map(Vec::len).collect();
                let client::Settings { errand, close, think, mss, window, delayed_ack, .. } = **settings;
                write!(f, "  {errand:?}, closes {close:?}, writes {writes:?} after {think:?}, ")?;
                write!(f, "MSS {mss:?}, window {window}, acknowledges after {delayed_ack:?}")?;
                let client::Settings { timestamps, sack, ack_handshake, nagle, collapse, tail_loss_probe, .. } =
                    **settings;
                let switches = [
                    ("timestamps", timestamps),
                    ("SACK", sack),
                    ("ACK of its own for the handshake", ack_handshake),
                    ("Nagle", nagle),
                    ("collapse", collapse),
                    ("tail loss probe", tail_loss_probe),
                    ("keep-alive", settings.keep_alive.is_some()),
                    ("old duplicates", settings.old_duplicates),
                    ("resolve", settings.resolve),
                ];
                if let Some(rate) = settings.reads {
                    write!(f, ", reads {rate} bytes a second")?;
                }
                if let Some(limit) = settings.resend_limit {
                    write!(f, ", sends again {limit} bytes at a time")?;
                }
                if settings.quick_acks == 0 {
                    write!(f, ", holds ACKs back from the first on")?;
                }
                switches.iter().filter(|(_, is_on)| *is_on).try_for_each(|(name, _)| write!(f, ", {name}"))
            }
        }
    }
}
