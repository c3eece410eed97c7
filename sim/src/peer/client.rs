//! Our own client: a TCP that does what Linux does where it matters to a server without state, that can
//! be set to do otherwise, and that looks very closely at what it gets.
//!
//! It is a model and not a copy: no congestion control (a request is a few segments), no fast
//! retransmission (a server that acknowledges nothing gives no duplicate ACKs), no ACKs held back while
//! something is missing (Linux puts some together from the fourth on). What it has is what decides
//! whether a client gets its bytes: timers and their back-off, what is put into a segment when it is sent
//! again, what is acknowledged when and with which SACK blocks, how the window moves, whose timestamp is
//! echoed, and what is taken for invalid.
//!
//! With [`Settings::strict`] a segment that no TCP may send ends the fetch as [`Outcome::Failed`], with
//! the rule that it broke. Fragments are none of its business: the world puts them together before.

mod connection;
mod reader;
mod receiver;
mod rules;
mod sender;
mod session;
mod settings;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::net::IpAddr;

use lethe::time::Instant;
use lethe::wire::seq::SeqNumber;
use lethe::wire::tcp::Flags;

pub(crate) use connection::{SCALE_MAX, TIMESTAMPS_LEN};
pub use session::{Ending, Session, SessionRequest, SessionSettings, Timing};
pub(crate) use session::{Framed, normalized};
pub use settings::{Close, Errand, Settings};

use super::resolver::Resolver;
use super::{Outbox, Outcome, Peer};
use crate::clock::after;
use crate::dissect::{Frame, Ip, Tcp, Transport};
use crate::frame::{Ends, Segment};
use connection::Connection;

/// Segments of an old connection that are still under way.
const DUPLICATES_MAX: usize = 3;

/// How long the old connection, whose duplicates turn up later, is waited for.
const OLD_CONNECTION: std::time::Duration = std::time::Duration::from_millis(500);

/// How far the initial sequence number of the old connection is behind that of the new one.
const OLD_ISN: u32 = 0x0100_0000;

/// A machine that fetches one thing.
#[derive(Debug)]
pub struct Client {
    settings: Settings,
    resolver: Resolver,
    state: State,
    /// Segments of the old connection, sent again one at a time when the client has something else to say.
    duplicates: VecDeque<Vec<u8>>,
    outcome: Outcome,
    complete_at: Option<Instant>,
}

#[derive(Debug)]
enum State {
    /// It asks where the server is.
    Resolving,
    /// It makes the connection whose duplicates turn up later; until then.
    OldConnection(Instant),
    /// It is at it.
    Connected(Box<Connection>),
    /// It has no connection any more.
    Closed,
}

impl Client {
    /// A client that has not begun.
    pub fn new(settings: Settings) -> Self {
        Self {
            resolver: Resolver::new(&settings.ends),
            state: State::Resolving,
            duplicates: VecDeque::new(),
            outcome: Outcome::Running,
            complete_at: None,
            settings,
        }
    }

    /// What it has read so far.
    pub fn stream(&self) -> &[u8] {
        match &self.state {
            State::Connected(connection) => connection.stream(),
            _ => &[],
        }
    }

    /// Begins, now that it knows where the server is.
    fn begin(&mut self, now: Instant, out: &mut Outbox) {
        if self.settings.old_duplicates {
            let syn = self.old_syn();
            self.duplicates.push_back(syn.frame());
            out.push(syn.frame());
            self.state = State::OldConnection(after(now, OLD_CONNECTION));
        } else {
            self.connect(now, out);
        }
    }

    fn connect(&mut self, now: Instant, out: &mut Outbox) {
        let mut connection = Box::new(Connection::new(self.settings.clone()));
        let end = connection.open(now, out);
        self.state = State::Connected(connection);
        self.conclude(Ok(end));
    }

    fn conclude(&mut self, result: Result<Option<Outcome>, String>) {
        if let State::Connected(connection) = &self.state {
            self.complete_at = connection.complete_at();
        }
        let end = match result {
            Ok(None) => return,
            Ok(Some(outcome)) => outcome,
            Err(reason) => Outcome::Failed(reason),
        };
        self.outcome = end;
        self.state = State::Closed;
    }

    fn old_syn(&self) -> Segment {
        Segment::syn(&self.settings.ends).seq(self.settings.isn.wrapping_sub(OLD_ISN)).mss(1460)
    }

    /// The old connection got this far: the first segments that follow are sent now, and again later.
    fn receive_old(&mut self, ip: &Ip<'_>, tcp: &Tcp<'_>, now: Instant, out: &mut Outbox) {
        let is_answer = tcp.flags.has(Flags::SYN.with(Flags::ACK)) && tcp.ack.value() == self.old_syn().end();
        if !self.settings.is_ours(ip, tcp) || !is_answer {
            return;
        }
        let next = Segment::ack(&self.settings.ends).seq(self.old_syn().end()).ack_number(tcp.seq.value() + 1);
        let request = self.settings.request.concat();
        let fin = Segment::fin(&self.settings.ends).seq(next.end()).ack_number(tcp.seq.value() + 1);
        self.duplicates.push_back(next.payload(&request[..request.len().min(1400)]).frame());
        self.duplicates.push_back(fin.frame());
        self.duplicates.truncate(DUPLICATES_MAX);
        self.connect(now, out);
    }
}

impl Settings {
    /// What is not for the one connection that it has, it refuses (RFC 9293, section 3.10.7.1).
    fn refuse(&self, frame: &Frame<'_>, ip: &Ip<'_>, tcp: &Tcp<'_>, out: &mut Outbox) {
        if ip.destination != self.ends.client.ip() || tcp.flags.has(Flags::RST) {
            return;
        }
        let back = Ends { client: ip.to(tcp), server: ip.from(tcp), server_mac: frame.source, ..self.ends };
        out.push(if tcp.flags.has(Flags::ACK) {
            Segment::rst(&back).seq(tcp.ack.value()).window(0).frame()
        } else {
            Segment::rst(&back).with(Flags::ACK).ack_number(tcp.end().value()).window(0).frame()
        });
    }

    fn is_ours(&self, ip: &Ip<'_>, tcp: &Tcp<'_>) -> bool {
        ip.from(tcp) == self.ends.server && ip.to(tcp) == self.ends.client
    }

    /// Which segment of this connection an ICMP message says that there was no way for.
    fn undelivered(&self, frame: &Frame<'_>) -> Option<SeqNumber> {
        let ip = frame.ip()?;
        let Transport::Icmp(icmp) = &ip.transport else { return None };
        let (_unused, quoted) = icmp.body.split_first_chunk::<4>()?;
        // From the protocol on, as far as it matters.
        let (is_tcp, from, to, segment) = match (icmp.kind, icmp.code, ip.source) {
            (3, 0 | 1, IpAddr::V4(_)) => {
                let segment = quoted.get(usize::from(quoted.first()? & 0xf) * 4..)?;
                (*quoted.get(9)? == 6, &quoted[12..16], &quoted[16..20], segment)
            }
            (1, 0, IpAddr::V6(_)) => (*quoted.get(6)? == 6, quoted.get(8..24)?, quoted.get(24..40)?, quoted.get(40..)?),
            _ => return None,
        };
        let &[p0, p1, q0, q1, s0, s1, s2, s3, ..] = segment else { return None };
        let octets = |address: IpAddr| match address {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        let ports = [u16::from_be_bytes([p0, p1]), u16::from_be_bytes([q0, q1])];
        let ends = [self.ends.client, self.ends.server];
        let is_ours = is_tcp && ports == ends.map(|end| end.port()) && [from, to] == ends.map(|end| octets(end.ip()));
        (is_ours && self.revert_backoff).then(|| SeqNumber::new(u32::from_be_bytes([s0, s1, s2, s3])))
    }
}

impl Peer for Client {
    fn receive(&mut self, now: Instant, bytes: &[u8], out: &mut Outbox) {
        let Some(frame) = Frame::dissect(bytes) else { return };
        let ends = self.settings.ends;
        let is_for_us = frame.destination == ends.client_mac || frame.destination.is_group();
        if !is_for_us || frame.vlan != ends.vlan || frame.problem().is_some() {
            return;
        }
        self.resolver.receive(&frame, out);
        if matches!(self.state, State::Resolving)
            && let Some(mac) = self.resolver.answer(&frame)
        {
            self.settings.ends.server_mac = mac;
            self.begin(now, out);
            return;
        }
        if let (Some(seq), State::Connected(connection)) = (self.settings.undelivered(&frame), &mut self.state) {
            connection.undelivered(now, seq);
        }
        let Some((ip, tcp)) = frame.tcp() else { return };
        match &mut self.state {
            State::Connected(connection) if self.settings.is_ours(ip, tcp) => {
                let result = connection.receive(now, tcp, out);
                // Now is the worst moment for an old segment to turn up.
                out.extend(self.duplicates.pop_front());
                self.conclude(result);
            }
            State::OldConnection(_) => self.receive_old(ip, tcp, now, out),
            _ => self.settings.refuse(&frame, ip, tcp, out),
        }
    }

    fn wake(&mut self, now: Instant, out: &mut Outbox) {
        match &mut self.state {
            State::Resolving if self.settings.resolve => self.resolver.wake(now, out),
            State::Resolving => self.begin(now, out),
            State::OldConnection(until) if *until <= now => self.connect(now, out),
            State::Connected(connection) => {
                let result = connection.wake(now, out);
                self.conclude(result);
            }
            _ => {}
        }
    }

    fn deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Resolving => self.resolver.deadline(),
            State::OldConnection(until) => Some(*until),
            State::Connected(connection) => connection.deadline(),
            State::Closed => None,
        }
    }

    fn outcome(&self) -> Outcome {
        self.outcome.clone()
    }

    fn complete_at(&self) -> Option<Instant> {
        self.complete_at
    }
}
