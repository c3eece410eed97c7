//! A client that keeps its connection (RFC 9112, section 9.3): it sends one request after the other, or several at
//! once, and where the server closes, it asks what has not been answered again on a new connection.
//!
//! It does what HTTP clients do and no more: which request a response belongs to, it knows by the order of the two
//! alone. So what it has read shows whether a server has ever given it another one's.

use std::collections::VecDeque;
use std::time::Duration;

use lethe::time::Instant;

use super::connection::Connection;
use super::{Outbox, Outcome, Peer, Settings};
use crate::clock::after;
use crate::dissect::Frame;
use crate::frame::Ends;

/// Probes of an idle connection that go unanswered before it is given up (`tcp_keepalive_probes`).
const PROBES_MAX: u32 = 9;

/// What a client that keeps its connection is like, and what it asks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SessionSettings {
    /// What each of its connections is like. The request that is set there is not sent.
    pub client: Settings,
    /// What it asks, in this order.
    pub requests: Vec<SessionRequest>,
    /// What it does when it has asked everything.
    pub ending: Ending,
    /// From so long after its start, the network loses nothing: then a probe is answered.
    pub heals_after: Duration,
}

impl SessionSettings {
    /// The requests whose responses it waits for: when it aborts, all but the last.
    pub const fn awaited(&self) -> &[SessionRequest] {
        match (self.ending, self.requests.as_slice()) {
            (Ending::Abort, [awaited @ .., _]) => awaited,
            (_, all) => all,
        }
    }
}

/// One request, and when and how it is sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SessionRequest {
    /// The request, from its first line to its empty line.
    pub bytes: Vec<u8>,
    /// How it follows the request before.
    pub timing: Timing,
    /// Where it is cut into writes, counted from its beginning,
    pub cuts: Vec<usize>,
    /// and the time between two of these.
    pub gap: Duration,
}

/// How a request follows the one before it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Timing {
    /// So long after all that was asked before has been answered.
    Answered(Duration),
    /// So long after the request before was written, answered or not.
    Written(Duration),
    /// In the same write.
    Joined,
}

/// What a client does when it has asked everything.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// It closes, this long after the last response.
    Close(Duration),
    /// It closes its side right behind the last request.
    HalfClose,
    /// Its last request says `Connection: close`: it waits for the server, if the response says so too.
    Wait,
    /// It resets the connection after the last response.
    Reset,
    /// It resets the connection instead of waiting for the last response.
    Abort,
}

/// A machine that keeps its connection.
#[derive(Debug)]
pub struct Session {
    settings: SessionSettings,
    started: Option<Instant>,
    current: Option<Open>,
    /// When the next connection is made, where there is none.
    connects_at: Option<Instant>,
    /// Connections that the application has closed, of which the kernel takes care.
    orphans: Vec<(Ends, Box<Connection>)>,
    /// Requests that have been answered.
    answered: usize,
    /// Requests that have been written, on this connection or one before.
    reached: usize,
    /// All responses, in the order of their requests, as [`normalized`] leaves them.
    read: Vec<u8>,
    connections: u32,
    outcome: Outcome,
    complete_at: Option<Instant>,
}

/// The connection that it uses.
#[derive(Debug)]
struct Open {
    ends: Ends,
    connection: Box<Connection>,
    /// Bytes of its stream that have been taken for responses.
    parsed: usize,
    /// Requests that had been answered when it began.
    first: usize,
    /// Requests that have been written or wait to be.
    asked: usize,
    /// Writes that wait for their time.
    writes: VecDeque<(Instant, Vec<u8>)>,
    /// When the last request was written, and when everything was last answered.
    written_at: Instant,
    answered_at: Instant,
    /// The last response did not say that the connection ends with it.
    is_kept: bool,
}

impl Session {
    /// A client that has not begun.
    pub const fn new(settings: SessionSettings) -> Self {
        Self {
            settings,
            started: None,
            current: None,
            connects_at: None,
            orphans: Vec::new(),
            answered: 0,
            reached: 0,
            read: Vec::new(),
            connections: 0,
            outcome: Outcome::Running,
            complete_at: None,
        }
    }

    /// How many connections it has made.
    pub const fn connections(&self) -> u32 {
        self.connections
    }

    fn connect(&mut self, now: Instant, out: &mut Outbox) {
        let mut settings = Settings { request: Vec::new(), ..self.settings.client.clone() };
        // Every connection has its own port, and its own numbers (RFC 6528).
        let port = settings.ends.client.port().wrapping_add(self.connections as u16).max(1);
        settings.ends = settings.ends.client_port(port);
        settings.isn = settings.isn.wrapping_add(self.connections.wrapping_mul(0x9e37_79b1));
        self.connections += 1;
        let ends = settings.ends;
        let mut connection = Box::new(Connection::new(settings));
        connection.open(now, out);
        self.current = Some(Open {
            ends,
            connection,
            parsed: 0,
            first: self.answered,
            asked: self.answered,
            writes: VecDeque::new(),
            written_at: now,
            answered_at: now,
            is_kept: true,
        });
    }

    fn connect_when_due(&mut self, now: Instant, out: &mut Outbox) {
        if self.connects_at.is_some_and(|at| at <= now) {
            self.connects_at = None;
            self.connect(now, out);
        }
    }

    /// How many requests are to be answered.
    const fn wanted(&self) -> usize {
        self.settings.awaited().len()
    }

    /// Leaves the connection to the kernel, and makes another one when there is something to ask.
    fn reconnect(&mut self, now: Instant, out: &mut Outbox) -> Result<(), String> {
        if let Some(mut open) = self.current.take() {
            if open.first == self.answered {
                return Err("the server closed a connection without an answer to its first request".to_owned());
            }
            open.connection.close(now, out);
            self.orphans.push((open.ends, open.connection));
            let pause = match self.settings.requests.get(self.answered).map(|request| request.timing) {
                Some(Timing::Answered(pause)) if self.reached == self.answered => pause,
                _ => Duration::ZERO,
            };
            self.connects_at = Some(after(open.answered_at, pause).max(now));
        }
        self.connect_when_due(now, out);
        Ok(())
    }

    /// Reads what has come, and writes what is due.
    fn go_on(&mut self, now: Instant, out: &mut Outbox) -> Result<(), String> {
        let must_close = self.read_responses(now)?;
        let Some(open) = &mut self.current else { return Ok(()) };
        if self.answered < self.settings.requests.len() && (must_close || open.connection.is_complete()) {
            if self.answered >= self.wanted() {
                self.finish(now, true, out);
                return Ok(());
            }
            return self.reconnect(now, out);
        }
        self.write(now, out);
        let Some(open) = &mut self.current else { return Ok(()) };
        let is_idle = open.writes.is_empty() && open.asked == self.answered;
        if open.connection.is_established() && is_idle {
            open.connection.idle(now);
        }
        if open.connection.unanswered_probes() > PROBES_MAX {
            return Err(format!("no answer to {PROBES_MAX} probes of an idle connection"));
        }
        let is_written = open.writes.is_empty() && open.asked == self.settings.requests.len();
        if !is_written {
            return Ok(());
        }
        match self.settings.ending {
            Ending::HalfClose => open.connection.close(now, out),
            Ending::Close(pause) if is_idle && after(open.answered_at, pause) <= now => {
                open.connection.close(now, out);
            }
            // It closes itself (RFC 9112, section 9.6).
            Ending::Wait if is_idle && open.is_kept => open.connection.close(now, out),
            Ending::Reset if is_idle => self.finish(now, true, out),
            Ending::Abort if self.answered >= self.wanted() => self.finish(now, true, out),
            _ => {}
        }
        Ok(())
    }

    fn finish(&mut self, now: Instant, reset: bool, out: &mut Outbox) {
        if let Some(open) = self.current.as_mut().filter(|_| reset) {
            open.connection.reset(now, out);
        }
        self.current = None;
        self.outcome = Outcome::Complete(std::mem::take(&mut self.read));
    }

    /// Takes all complete responses. Tells whether one of them said that it is the last.
    fn read_responses(&mut self, now: Instant) -> Result<bool, String> {
        let wanted = self.wanted();
        let Some(open) = &mut self.current else { return Ok(false) };
        let mut must_close = false;
        loop {
            let stream = &open.connection.stream()[open.parsed..];
            let is_over = open.connection.is_complete();
            if stream.is_empty() || must_close {
                return Ok(must_close);
            }
            let Some(request) = self.settings.requests.get(self.answered).filter(|_| self.answered < open.asked) else {
                return Err(format!("{} bytes that answer no request", stream.len()));
            };
            let is_head = request.bytes.starts_with(b"HEAD ");
            let Some(response) = Framed::parse(stream, is_head)?.filter(|response| response.len <= stream.len()) else {
                if is_over {
                    return Err(format!("the stream ends in response {}", self.answered));
                }
                return Ok(must_close);
            };
            if self.answered < wanted {
                self.read.extend(normalized(&stream[..response.len]));
            }
            open.parsed += response.len;
            self.answered += 1;
            if self.answered == wanted {
                self.complete_at.get_or_insert(now);
            }
            open.answered_at = now;
            must_close = response.is_last;
            open.is_kept = !must_close;
        }
    }

    /// Writes what is due now.
    fn write(&mut self, now: Instant, out: &mut Outbox) {
        loop {
            let due = self.next_request();
            let Some(open) = self.current.as_mut().filter(|open| open.connection.is_established()) else { return };
            if open.connection.is_closed() || open.connection.is_complete() {
                open.writes.clear();
                return;
            }
            if let Some((_, bytes)) = open.writes.pop_front_if(|(at, _)| *at <= now) {
                open.written_at = now;
                open.connection.write(now, &bytes, out);
                continue;
            }
            if due.is_none_or(|at| at > now) {
                return;
            }
            let mut at = now;
            let mut joined: Vec<u8> = Vec::new();
            loop {
                let request = &self.settings.requests[open.asked];
                let mut start = 0;
                for &cut in request.cuts.iter().filter(|&&cut| cut < request.bytes.len()) {
                    joined.extend(&request.bytes[start..cut]);
                    open.writes.push_back((at, std::mem::take(&mut joined)));
                    at = after(at, request.gap);
                    start = cut;
                }
                joined.extend(&request.bytes[start..]);
                open.asked += 1;
                let next = self.settings.requests.get(open.asked);
                if next.is_none_or(|next| next.timing != Timing::Joined) {
                    break;
                }
            }
            open.writes.push_back((at, joined));
            self.reached = self.reached.max(open.asked);
        }
    }

    /// When the next request is due, if that does not depend on what is still to come.
    fn next_request(&self) -> Option<Instant> {
        let open = self.current.as_ref().filter(|open| open.writes.is_empty() && open.connection.is_established())?;
        let request = self.settings.requests.get(open.asked)?;
        if open.asked < self.reached || open.asked == open.first && self.connections > 1 {
            // It was asked before, on another connection, or this one was made for it.
            return (open.asked == self.answered).then_some(open.answered_at);
        }
        match request.timing {
            Timing::Answered(pause) => (open.asked == self.answered).then(|| after(open.answered_at, pause)),
            Timing::Written(pause) => Some(after(open.written_at, pause)),
            Timing::Joined => Some(open.written_at),
        }
    }

    fn ends_at(&self) -> Option<Instant> {
        let open = self.current.as_ref().filter(|_| self.answered == self.settings.requests.len())?;
        match self.settings.ending {
            Ending::Close(pause) if !open.connection.is_closed() => Some(after(open.answered_at, pause)),
            _ => None,
        }
    }

    /// What a connection has come to: `Some` if it has ended.
    fn conclude(
        &mut self,
        now: Instant,
        progress: Result<Option<Outcome>, String>,
        out: &mut Outbox,
    ) -> Result<(), String> {
        let has_ended = progress?.is_some();
        let connection = self.connections;
        self.go_on(now, out)?;
        if has_ended && self.current.is_some() && self.connections == connection {
            if self.answered == self.settings.requests.len() {
                self.finish(now, false, out);
            } else {
                return Err("a connection ended before its requests were answered".to_owned());
            }
        }
        Ok(())
    }

    fn note(&mut self, result: Result<(), String>) {
        if let Err(reason) = result {
            self.current = None;
            self.outcome = Outcome::Failed(reason);
        }
    }
}

impl Peer for Session {
    fn receive(&mut self, now: Instant, bytes: &[u8], out: &mut Outbox) {
        let Some(frame) = Frame::dissect(bytes) else { return };
        let own = self.settings.client.ends;
        if frame.destination != own.client_mac || frame.vlan != own.vlan || frame.problem().is_some() {
            return;
        }
        let undelivered = |ends: &Ends| Settings { ends: *ends, ..self.settings.client.clone() }.undelivered(&frame);
        if let Some(open) = &mut self.current
            && let Some(seq) = undelivered(&open.ends)
        {
            open.connection.undelivered(now, seq);
        }
        let Some((ip, tcp)) = frame.tcp() else { return };
        let is_of = |ends: &Ends| ip.from(tcp) == ends.server && ip.to(tcp) == ends.client;
        if let Some(open) = self.current.as_mut().filter(|open| is_of(&open.ends)) {
            let progress = open.connection.receive(now, tcp, out);
            let result = self.conclude(now, progress, out);
            self.note(result);
        } else if let Some(at) = self.orphans.iter().position(|(ends, _)| is_of(ends)) {
            // A kernel tells no application what becomes of a connection that it has closed.
            if !matches!(self.orphans[at].1.receive(now, tcp, out), Ok(None)) {
                self.orphans.remove(at);
            }
        } else {
            self.settings.client.refuse(&frame, ip, tcp, out);
        }
    }

    fn wake(&mut self, now: Instant, out: &mut Outbox) {
        if self.started.is_none() {
            self.started = Some(now);
            self.connect(now, out);
            return;
        }
        self.orphans.retain_mut(|(_, connection)| matches!(connection.wake(now, out), Ok(None)));
        self.connect_when_due(now, out);
        let heals_at = self.started.map(|start| after(start, self.settings.heals_after));
        if let Some(open) = &mut self.current {
            if heals_at.is_some_and(|at| now < at) {
                open.connection.forgive_probes();
            }
            let progress = open.connection.wake(now, out);
            let result = self.conclude(now, progress, out);
            self.note(result);
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.started?;
        let open = self.current.as_ref();
        let connects = self.connects_at;
        let write = open.and_then(|open| open.writes.front()).map(|(at, _)| *at);
        let orphans = self.orphans.iter().filter_map(|(_, connection)| connection.deadline());
        let timers =
            [open.and_then(|open| open.connection.deadline()), write, connects, self.next_request(), self.ends_at()];
        timers.into_iter().flatten().chain(orphans).min()
    }

    fn outcome(&self) -> Outcome {
        self.outcome.clone()
    }

    fn complete_at(&self) -> Option<Instant> {
        self.complete_at
    }
}

/// A response at the start of a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Framed {
    /// Its bytes, head and body.
    pub(crate) len: usize,
    /// It says that its connection is closed behind it.
    pub(crate) is_last: bool,
}

impl Framed {
    /// The response at the start of these bytes, if its head is complete.
    ///
    /// # Errors
    ///
    /// When there is something else.
    pub(crate) fn parse(stream: &[u8], is_head: bool) -> Result<Option<Self>, String> {
        let start = b"HTTP/1.1 ";
        let len = stream.len().min(start.len());
        if stream[..len] != start[..len] {
            return Err(format!("no response begins like this: {:?}", String::from_utf8_lossy(&stream[..len])));
        }
        let Some(head_len) = stream.windows(4).position(|end| end == b"\r\n\r\n").map(|at| at + 4) else {
            return Ok(None);
        };
        let head = String::from_utf8_lossy(&stream[..head_len]).to_ascii_lowercase();
        let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        let is_last = field("connection") == Some("close");
        let has_body = !is_head && !["204", "304"].contains(&head[start.len()..].get(..3).unwrap_or_default());
        let body_len = match field("content-length").map(str::parse::<usize>) {
            _ if !has_body => 0,
            Some(Ok(len)) => len,
            _ => return Err(format!("a response without a length: {head:?}")),
        };
        Ok(Some(Self { len: head_len + body_len, is_last }))
    }
}

/// A response without its `Connection` field, what stands there in the first of several segments on a connection that
/// stays open, and padding: these tell of the connection and not of what was asked for.
pub(crate) fn normalized(response: &[u8]) -> Vec<u8> {
    let is_of_connection = |field: &[u8]| {
        let is_padding = field.strip_prefix(b"p:").is_some_and(|rest| rest.iter().all(|&byte| byte == b'-'));
        is_padding || field == b"Server: Lethe/0.1" || field.starts_with(b"Connection: ")
    };
    let head_len = response.windows(4).position(|end| end == b"\r\n\r\n").map_or(response.len(), |at| at + 2);
    let (head, rest) = response.split_at(head_len);
    let lines = head.split_inclusive(|&byte| byte == b'\n');
    let is_kept = |line: &&[u8]| !is_of_connection(line.strip_suffix(b"\r\n").unwrap_or(line));
    lines.filter(is_kept).chain([rest]).flatten().copied().collect()
}

#[cfg(test)]
mod tests;
