//! An attacker: bounded, seeded, and with all that can be had from outside.
//!
//! He sits on the same link as the clients, so he hears what the engine sends to *his* hardware address,
//! whatever IP address it is for. He forges the addresses of others (their answers come to him, as they would
//! to a real attacker only on his own network, which makes him stronger than most), guesses, replays what
//! he has heard long after, and sends what no stack would.
//!
//! He wants no bytes, so he is [`Outcome::Done`] when he has sent all that he may. Whether he has done harm is
//! for the checkers to find out.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use lethe::time::Instant;
use lethe::wire::tcp::Flags;

use super::{Outbox, Outcome, Peer};
use crate::clock::after;
use crate::dissect::Frame;
use crate::frame::{Arp, Ends, Icmp, IcmpError, Segment};
use crate::mutation::Mutation;
use crate::random::Random;

/// What he has heard and may use again: some of each kind at a time.
const HEARD_MAX: usize = 64;

/// What he asks for when he has, or believes to have, a cookie.
const REQUEST: &[u8] = b"GET / HTTP/1.0\r\n\r\n";

/// What he asks for on a connection that was kept for him,
const KEPT_REQUEST: &[u8] = b"GET /7 HTTP/1.1\r\nHost: h\r\n\r\n";

/// and on that of another.
const INJECTED: &[u8] = b"GET /injected HTTP/1.1\r\nHost: h\r\n\r\n";

/// What can be set about him.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// The attacker's end, and the server's.
    pub ends: Ends,
    /// Frames that he sends before he has enough.
    pub frames: u32,
    /// The longest time between two of them. Together with `frames` it says how long he keeps at it, and so
    /// whether he sees cookies expire.
    pub pause: Duration,
    /// What he does.
    pub attacks: Vec<Attack>,
    /// Both ends of a connection of another client, which he knows.
    pub victim: Option<Ends>,
}

/// One kind of attack.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Attack {
    /// SYNs from the addresses of others.
    Flood,
    /// Requests with a guessed cookie, from the addresses of others: with timestamps and without.
    Guess,
    /// Requests with a cookie that he was given, now or long ago, true in every detail or nearly.
    Replay,
    /// FIN and RST for connections of others.
    Close,
    /// ICMP errors about what the engine has sent.
    Error,
    /// True frames with something wrong in them.
    Malform,
    /// Answers of the engine sent back to it, and its own addresses as the sender.
    Loop,
    /// Questions of the link layer and echoes for another host.
    Ask,
    /// Requests, FINs and probes for a connection that another client keeps, blind: with guessed numbers.
    Inject,
    /// Requests that follow the responses that he was given on a connection of his own that was kept, true in every
    /// detail or nearly.
    ReplayKept,
}

impl Attack {
    /// All of those for connections of one request.
    pub const ALL: [Self; 8] =
        [Self::Flood, Self::Guess, Self::Replay, Self::Close, Self::Error, Self::Malform, Self::Loop, Self::Ask];
}

/// The attacker.
#[derive(Debug)]
pub struct Attacker {
    settings: Settings,
    random: Random,
    sent: u32,
    next_at: Option<Instant>,
    /// SYN+ACKs that came: the connection, and the numbers that follow.
    handshakes: VecDeque<Handshake>,
    /// What the engine sent to him.
    heard: VecDeque<Vec<u8>>,
}

#[derive(Clone, Copy, Debug)]
struct Handshake {
    ends: Ends,
    seq: u32,
    ack: u32,
    timestamp: Option<u32>,
}

impl Attacker {
    /// One who draws all that he does from `random`. With no attacks set, he tries each kind.
    pub fn new(settings: Settings, random: Random) -> Self {
        Self { settings, random, sent: 0, next_at: None, handshakes: VecDeque::new(), heard: VecDeque::new() }
    }

    fn attack(&mut self) -> Vec<u8> {
        let attacks = if self.settings.attacks.is_empty() { &Attack::ALL } else { self.settings.attacks.as_slice() };
        match *self.random.pick(attacks) {
            Attack::Flood => self.syn().frame(),
            Attack::Guess => self.guess(),
            Attack::Replay => self.replay(),
            Attack::Close => self.close(),
            Attack::Error => self.error(),
            Attack::Malform => self.malform(),
            Attack::Loop => self.mirror(),
            Attack::Ask => self.ask(),
            Attack::Inject => self.inject(),
            Attack::ReplayKept => self.replay_kept(),
        }
    }

    fn number(&mut self) -> u32 {
        self.random.next_u64() as u32
    }

    /// The attacker's address, or a forged one.
    fn forged(&mut self) -> Ends {
        let ends = self.settings.ends;
        let ip = match ends.client.ip() {
            IpAddr::V4(own) => {
                let [a, b, ..] = own.octets();
                let [.., c, d] = self.number().to_be_bytes();
                let neighbor = Ipv4Addr::new(a, b, c, d);
                let stranger = Ipv4Addr::from_bits(self.number());
                let special =
                    [Ipv4Addr::BROADCAST, Ipv4Addr::UNSPECIFIED, Ipv4Addr::LOCALHOST, Ipv4Addr::new(224, 0, 0, 1)];
                IpAddr::V4(*self.random.pick(&[own, neighbor, neighbor, stranger, special[usize::from(d % 4)]]))
            }
            IpAddr::V6(own) => {
                let mut octets = own.octets();
                octets[12..].copy_from_slice(&self.number().to_be_bytes());
                let neighbor = Ipv6Addr::from_octets(octets);
                let special = [Ipv6Addr::UNSPECIFIED, Ipv6Addr::LOCALHOST, Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1)];
                IpAddr::V6(*self.random.pick(&[own, neighbor, neighbor, special[usize::from(octets[15] % 3)]]))
            }
        };
        let port = self.random.range(0..=0xffff) as u16;
        Ends { client: SocketAddr::new(ip, port), ..ends }
    }

    fn syn(&mut self) -> Segment {
        let mut syn = Segment::syn(&self.forged()).seq(self.number());
        if self.coin() {
            let mss = *self.random.pick(&[0, 1, 88, 536, 1460, 8960, u16::MAX]);
            syn = syn.mss(mss);
        }
        if self.coin() {
            syn = syn.sack_permitted();
        }
        if self.coin() {
            let value = self.number();
            syn = syn.timestamps(value, 0);
        }
        // Fast open, or the flags of an ECN handshake (RFC 3168, section 6.1.1).
        match self.random.below(6) {
            0 => syn.payload(REQUEST),
            1 => syn.with(Flags::new(0xc0)),
            _ => syn,
        }
    }

    fn guess(&mut self) -> Vec<u8> {
        let mut guess = Segment::ack(&self.forged()).seq(self.number()).ack_number(self.number());
        if self.coin() {
            let (value, echo) = (self.number(), self.number());
            guess = guess.timestamps(value, echo);
        }
        if self.coin() {
            guess = guess.payload(REQUEST);
        }
        if self.random.below(4) == 0 {
            guess = guess.with(Flags::FIN);
        }
        guess.frame()
    }

    /// What he was given, or a bit beside it: other ports, other addresses, another sequence number.
    fn replay(&mut self) -> Vec<u8> {
        if self.handshakes.is_empty() {
            // He has to be given something first: under his own address, he is.
            return Segment::syn(&self.settings.ends).seq(self.number()).mss(1460).frame();
        }
        let Handshake { ends, seq, ack, timestamp } = self.any_handshake();
        let (mut ends, mut seq, mut ack) = (ends, seq, ack);
        match self.random.below(8) {
            0 => ends = ends.client_port(ends.client.port() ^ 1),
            1 => ends = Ends { client: SocketAddr::new(self.forged().client.ip(), ends.client.port()), ..ends },
            2 => seq = seq.wrapping_add(*self.random.pick(&[1, u32::MAX, 1460])),
            // An offset that a client may have who has read so far: valid where replies are resumed. And another
            // MSS, which stands in the highest bits.
            3 => ack = ack.wrapping_add(*self.random.pick(&[1, u32::MAX, 1460, 100_000, 1 << 29, 1 << 31])),
            _ => {}
        }
        // Some windows hold what he has heard before, and not its FIN.
        let just = self.any_heard();
        let just = Frame::dissect(&just).and_then(|frame| Some(frame.tcp()?.1.payload.len() as u16));
        let window = *self.random.pick(&[u16::MAX, 64_240, 1000, 1, just.unwrap_or(0)]);
        let mut request = Segment::ack(&ends).seq(seq).ack_number(ack).window(window).payload(REQUEST);
        if let Some(echo) = timestamp.filter(|_| self.random.below(4) > 0) {
            let value = self.number();
            request = request.timestamps(value, echo);
        }
        request.frame()
    }

    /// What may belong to a kept connection of another client, whose numbers he has to guess.
    fn inject(&mut self) -> Vec<u8> {
        let ends = self.settings.victim.unwrap_or(self.settings.ends);
        let ends = Ends { client_mac: self.settings.ends.client_mac, ..ends };
        let (value, echo) = (self.number(), self.number());
        let segment = Segment::ack(&ends).seq(self.number()).ack_number(self.number()).timestamps(value, echo);
        match self.random.below(4) {
            0 => segment.with(Flags::FIN).frame(),
            1 => segment.frame(),
            2 => segment.payload(b"x").frame(),
            _ => segment.payload(INJECTED).frame(),
        }
    }

    /// The next request on a connection that was kept open for him: as it must be, or a bit beside it.
    fn replay_kept(&mut self) -> Vec<u8> {
        let heard = self.any_heard();
        let frame = Frame::dissect(&heard);
        let Some((ip, tcp)) = frame.as_ref().and_then(Frame::tcp).filter(|(_, tcp)| tcp.timestamps.is_some()) else {
            // He needs a connection first. An old one is as good.
            if self.handshakes.is_empty() || self.coin() {
                let (isn, value) = (self.number(), self.number());
                return Segment::syn(&self.settings.ends).seq(isn).mss(1460).timestamps(value, 0).frame();
            }
            return self.replay();
        };
        let ends = Ends { client: ip.to(tcp), server: ip.from(tcp), ..self.settings.ends };
        let (seq, ack, echo) = (tcp.ack.value(), tcp.end().value(), tcp.timestamps.map_or(0, |(value, _)| value));
        let (mut ends, mut seq, mut ack, mut echo) = (ends, seq, ack, echo);
        match self.random.below(8) {
            0 => ends = ends.client_port(ends.client.port() ^ 1),
            1 => ends = Ends { client: SocketAddr::new(self.forged().client.ip(), ends.client.port()), ..ends },
            2 => seq = seq.wrapping_add(*self.random.pick(&[1, u32::MAX, 40, 1460])),
            3 => ack = ack.wrapping_add(*self.random.pick(&[1, u32::MAX, 1460])),
            4 => echo = echo.wrapping_add(*self.random.pick(&[1, 8, u32::MAX, 1 << 31])),
            _ => {}
        }
        let value = self.number();
        let segment = Segment::ack(&ends).seq(seq).ack_number(ack).timestamps(value, echo);
        match self.random.below(8) {
            0 => segment.with(Flags::FIN).frame(),
            1 => segment.seq(seq.wrapping_sub(1)).frame(),
            _ => segment.payload(KEPT_REQUEST).frame(),
        }
    }

    fn close(&mut self) -> Vec<u8> {
        let (ends, seq, ack) = if self.coin() && !self.handshakes.is_empty() {
            let Handshake { ends, seq, ack, .. } = self.any_handshake();
            (ends, seq, ack)
        } else {
            (self.forged(), self.number(), self.number())
        };
        let flags = [Flags::RST, Flags::RST.with(Flags::ACK), Flags::FIN, Flags::FIN.with(Flags::ACK)];
        let flags = *self.random.pick(&flags);
        let mut segment = Segment::new(&ends, flags).seq(seq).ack_number(ack);
        if self.coin() {
            let (value, echo) = (self.number(), self.number());
            segment = segment.timestamps(value, echo);
        }
        // Closed ports are refused, perhaps.
        if self.coin() { segment.frame() } else { Segment::new(&ends.server_port(81), flags).seq(seq).frame() }
    }

    fn error(&mut self) -> Vec<u8> {
        let errors = [
            IcmpError::PortUnreachable,
            IcmpError::HostUnreachable,
            IcmpError::TimeExceeded,
            IcmpError::TooBig(0),
            IcmpError::TooBig(68),
            IcmpError::TooBig(576),
            IcmpError::TooBig(1280),
            IcmpError::TooBig(u16::MAX),
        ];
        let error = *self.random.pick(&errors);
        let about = self.any_heard();
        Icmp::error(&self.forged(), error, &about).frame()
    }

    fn malform(&mut self) -> Vec<u8> {
        let good = match self.random.below(4) {
            0 => self.syn().frame(),
            1 => self.ask(),
            2 => self.guess(),
            _ => self.replay(),
        };
        Mutation::draw(&mut self.random).apply(&good)
    }

    /// What the engine said, back to it: with the source address of its receiver, or as if from itself.
    fn mirror(&mut self) -> Vec<u8> {
        let heard = self.any_heard();
        let Some(frame) = Frame::dissect(&heard) else { return heard };
        let Some((ip, tcp)) = frame.tcp() else { return heard };
        let ends = Ends { client: ip.from(tcp), ..self.settings.ends };
        let ends = if self.coin() { Ends { client: ip.to(tcp), ..ends } } else { ends };
        Segment::copy_of(&ends, tcp).frame()
    }

    fn ask(&mut self) -> Vec<u8> {
        let ends = self.forged();
        let length = self.random.below(1600) as usize;
        if ends.client.is_ipv4() {
            return match self.random.below(3) {
                0 => Arp::request(&ends).frame(),
                1 => Arp::request(&ends).operation(2).frame(),
                _ => Icmp::echo(&ends, 1, 1, &vec![0; length]).frame(),
            };
        }
        match self.random.below(4) {
            0 => Icmp::solicitation(&ends).frame(),
            1 => Icmp::duplicate_address_probe(&ends).frame(),
            2 => Icmp::advertisement(&ends).frame(),
            _ => Icmp::echo(&ends, 1, 1, &vec![0; length]).frame(),
        }
    }

    fn coin(&mut self) -> bool {
        self.random.below(2) == 1
    }

    fn any_handshake(&mut self) -> Handshake {
        self.handshakes[self.random.below(self.handshakes.len() as u64) as usize]
    }

    /// Something that he has heard, or made up.
    fn any_heard(&mut self) -> Vec<u8> {
        if self.heard.is_empty() {
            let ends = self.forged().reversed();
            return Segment::new(&ends, Flags::SYN.with(Flags::ACK)).seq(self.number()).frame();
        }
        self.heard[self.random.below(self.heard.len() as u64) as usize].clone()
    }
}

impl Peer for Attacker {
    fn receive(&mut self, _: Instant, bytes: &[u8], _: &mut Outbox) {
        let Some(frame) = Frame::dissect(bytes) else { return };
        // The answer to another attacker, who forged this one's hardware address.
        if frame.ip().is_some_and(|ip| ip.source.is_ipv4() != self.settings.ends.server.is_ipv4()) {
            return;
        }
        if let Some((ip, tcp)) = frame.tcp()
            && tcp.flags.has(Flags::SYN.with(Flags::ACK))
        {
            remember(
                &mut self.handshakes,
                Handshake {
                    ends: Ends { client: ip.to(tcp), server: ip.from(tcp), ..self.settings.ends },
                    seq: tcp.ack.value(),
                    ack: tcp.seq.advance(1).value(),
                    timestamp: tcp.timestamps.map(|(value, _)| value),
                },
            );
        }
        remember(&mut self.heard, bytes.to_vec());
    }

    fn wake(&mut self, now: Instant, out: &mut Outbox) {
        if self.sent < self.settings.frames && self.next_at.is_none_or(|at| at <= now) {
            out.push(self.attack());
            self.sent += 1;
            let pause = self.random.below(self.settings.pause.as_nanos() as u64 + 1);
            self.next_at = Some(after(now, Duration::from_nanos(pause)));
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.next_at.filter(|_| self.sent < self.settings.frames)
    }

    fn outcome(&self) -> Outcome {
        if self.sent < self.settings.frames { Outcome::Running } else { Outcome::Done }
    }
}

/// The oldest is forgotten.
fn remember<T>(list: &mut VecDeque<T>, item: T) {
    if list.len() == HEARD_MAX {
        list.pop_front();
    }
    list.push_back(item);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::bench::Bench;
    use crate::testing;

    fn settings(ends: Ends) -> Settings {
        Settings { ends, frames: 3000, pause: Duration::from_millis(200), attacks: Vec::new(), victim: None }
    }

    #[test]
    fn he_does_no_harm() {
        for engine in [testing::engine(), testing::resetting_engine()] {
            for (seed, ends) in [(1, Ends::v4()), (2, Ends::v6()), (3, Ends::v4().vlan(3))] {
                let attacker = Attacker::new(settings(ends), Random::from_seed(seed));
                assert_eq!(Bench::new(&engine, attacker).run(), Outcome::Done);
            }
        }
    }

    #[test]
    fn the_same_seed_is_the_same_attack() {
        let first = |seed| {
            let mut attacker = Attacker::new(settings(Ends::v6()), Random::from_seed(seed));
            let mut out = Outbox::new();
            while let Outcome::Running = attacker.outcome() {
                attacker.wake(attacker.deadline().unwrap_or_default(), &mut out);
            }
            out
        };
        assert_eq!(first(7), first(7));
        assert_ne!(first(7), first(8));
        assert_eq!(first(7).len(), 3000);
    }
}
