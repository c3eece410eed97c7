//! A client that follows a script: send this, expect that, within a time. In the spirit of packetdrill.
//!
//! ```
//! use lethe_sim::peer::script::Script;
//!
//! let script: Script = r#"
//!     ## A client that half-closes right after its request.
//!     client 10.9.0.1:40000
//!     server 10.9.0.2:80
//!     isn 1000
//!
//!     send SYN seq 0 win 64240 <mss 1460, ts 5 0>
//!     expect SYN ACK seq 0 ack 1 <mss 1460, ts 0 5> within 100ms
//!     send ACK seq 1 ack 1 <ts 6 0> "GET / HTTP/1.0\r\n\r\n"
//!     send ACK FIN seq 19 ack 1 <ts 6 0>
//!     expect ACK PSH FIN seq 1 ack 19 "HTTP/1.1 200 OK\r\n"... within 100ms
//!     wait 2s
//!     send ACK FIN seq 19 ack 1 <ts 2006 1>
//!     expect ACK
//!     expect nothing for 1m
//! "#
//! .parse()
//! .unwrap();
//! # assert_eq!(script.len(), 9);
//! ```
//!
//! One statement a line; `#` begins a remark. A segment is written as [`notation`] writes
//! it, with these rules:
//!
//! * `seq` and `ack` count from the SYN of their side, and so do the server's timestamps: the echo that is
//!   sent, and the value that is expected. The client's own timestamps are as they are.
//! * What is sent has `seq 0`, `ack 0` and `win 64240` if nothing is said. What is expected has to have all
//!   that is said, and may have anything where nothing is; its flags and, if any are given, its options have
//!   to be exactly these.
//! * A payload is a text with the escapes `\r \n \t \" \\ \xHH`, or only its length (`12 bytes`; zeros are
//!   sent). With `...` behind it, a text is the beginning of what is expected.
//! * An `expect` takes the next segment that comes. It waits for 1 s if it has no `within`.
//!
//! The script fails at the first line that does not come true, and when a segment came that no line expects.
//! It gives the server's hardware address as known, so ARP and neighbor discovery do not come up.

mod parser;

use std::collections::VecDeque;
use std::str::FromStr;
use std::time::Duration;

use lethe::time::Instant;
use lethe::wire::seq::SeqNumber;
use lethe::wire::tcp::Flags;

pub use parser::ScriptError;

use super::{Outbox, Outcome, Peer};
use crate::clock::after;
use crate::dissect::{Frame, Ip, Tcp};
use crate::frame::{Ends, Segment};
use crate::notation;

/// Statements that a script may have: it is a dialogue and no book.
const STATEMENTS_MAX: usize = 1000;

/// A script that has been read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Script {
    ends: Ends,
    isn: u32,
    statements: Vec<Statement>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Statement {
    /// Its line in the script, from 1.
    line: usize,
    action: Action,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Action {
    Send(Described),
    Expect(Described, Duration),
    ExpectNothing(Duration),
    Wait(Duration),
}

/// A segment as far as a script describes it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Described {
    flags: Flags,
    seq: Option<u32>,
    ack: Option<u32>,
    window: Option<u16>,
    options: Option<Options>,
    payload: Option<Payload>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Options {
    mss: Option<u16>,
    sack_permitted: bool,
    timestamps: Option<(u32, u32)>,
    window_scale: Option<u8>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Payload {
    Is(Vec<u8>),
    Begins(Vec<u8>),
    Length(usize),
}

impl Script {
    /// How many statements it has.
    pub fn len(&self) -> usize {
        self.statements.len()
    }

    /// Whether it says nothing at all.
    pub fn is_empty(&self) -> bool {
        self.statements.is_empty()
    }
}

impl FromStr for Script {
    type Err = ScriptError;

    fn from_str(text: &str) -> Result<Self, ScriptError> {
        parser::parse(text)
    }
}

/// A machine that follows a script.
#[derive(Debug)]
pub struct Player {
    script: Script,
    /// The statement that it is at.
    next: usize,
    /// When that is over, if it takes time.
    until: Option<Instant>,
    /// What has come and is not expected yet.
    received: VecDeque<Vec<u8>>,
    /// The server's sequence number and timestamp on its SYN.
    origin: Option<(SeqNumber, u32)>,
    outcome: Outcome,
}

impl Player {
    /// One that has not begun.
    pub const fn new(script: Script) -> Self {
        Self { script, next: 0, until: None, received: VecDeque::new(), origin: None, outcome: Outcome::Running }
    }

    /// Goes on as far as it can without waiting.
    fn run(&mut self, now: Instant, out: &mut Outbox) {
        while self.outcome == Outcome::Running {
            let Some(Statement { line, action }) = self.script.statements.get(self.next).cloned() else {
                self.outcome = match self.received.pop_front() {
                    None => Outcome::Done,
                    Some(frame) => Outcome::Failed(format!("nothing expects {}", notation::line(&frame))),
                };
                return;
            };
            match self.step(now, &action, out) {
                Ok(true) => {
                    self.next += 1;
                    self.until = None;
                }
                Ok(false) => return,
                Err(problem) => self.outcome = Outcome::Failed(format!("line {line}: {problem}")),
            }
        }
    }

    /// Does a statement; `false` if it has to wait.
    fn step(&mut self, now: Instant, action: &Action, out: &mut Outbox) -> Result<bool, String> {
        match action {
            Action::Send(described) => {
                out.push(self.segment(described).frame());
                Ok(true)
            }
            Action::Wait(time) => Ok(self.is_over(now, *time)),
            Action::ExpectNothing(time) => match self.received.pop_front() {
                Some(frame) => Err(format!("nothing was expected, and {} came", notation::line(&frame))),
                None => Ok(self.is_over(now, *time)),
            },
            Action::Expect(described, time) => match self.received.pop_front() {
                Some(frame) => self.compare(described, &frame).map(|()| true),
                None if self.is_over(now, *time) => Err(format!("nothing came within {time:?}")),
                None => Ok(false),
            },
        }
    }

    fn is_over(&mut self, now: Instant, time: Duration) -> bool {
        *self.until.get_or_insert(after(now, time)) <= now
    }

    fn segment(&self, described: &Described) -> Segment {
        let (server_isn, server_timestamp) = self.origin.unwrap_or_default();
        let mut segment = Segment::new(&self.script.ends, described.flags)
            .seq(self.script.isn.wrapping_add(described.seq.unwrap_or(0)))
            .window(described.window.unwrap_or(64_240));
        if described.flags.has(Flags::ACK) {
            segment = segment.ack_number(server_isn.advance(described.ack.unwrap_or(0)).value());
        }
        let Options { mss, sack_permitted, timestamps, window_scale } = described.options.unwrap_or_default();
        if let Some(mss) = mss {
            segment = segment.mss(mss);
        }
        if sack_permitted {
            segment = segment.sack_permitted();
        }
        if let Some((value, echo)) = timestamps {
            let echo = if described.flags.has(Flags::ACK) { server_timestamp.wrapping_add(echo) } else { echo };
            segment = segment.timestamps(value, echo);
        }
        if let Some(shift) = window_scale {
            segment = segment.window_scale(shift);
        }
        match &described.payload {
            None => segment,
            Some(Payload::Is(text) | Payload::Begins(text)) => segment.payload(text),
            Some(Payload::Length(length)) => segment.payload(vec![0; *length]),
        }
    }

    fn compare(&mut self, described: &Described, bytes: &[u8]) -> Result<(), String> {
        let frame = Frame::dissect(bytes);
        let Some((_, tcp)) = frame.as_ref().and_then(Frame::tcp) else {
            return Err(format!("a segment was expected, and {} came", notation::line(bytes)));
        };
        if tcp.flags.has(Flags::SYN) {
            self.origin = Some((tcp.seq, tcp.timestamps.map_or(0, |(value, _)| value)));
        }
        match self.difference(described, tcp) {
            None => Ok(()),
            Some(what) => Err(format!("another {what}: {}", notation::line(bytes))),
        }
    }

    fn difference(&self, described: &Described, tcp: &Tcp<'_>) -> Option<String> {
        let (server_isn, server_timestamp) = self.origin.unwrap_or_default();
        let differs = |wanted: Option<u32>, is: u32| wanted.is_some_and(|wanted| wanted != is);
        let (seq, ack) = (tcp.seq.distance_from(server_isn), tcp.ack.value().wrapping_sub(self.script.isn));
        if described.flags != tcp.flags {
            return Some("set of flags".to_owned());
        }
        if differs(described.seq, seq) {
            return Some(format!("seq ({seq})"));
        }
        if differs(described.ack, ack) {
            return Some(format!("ack ({ack})"));
        }
        if differs(described.window.map(u32::from), tcp.window.into()) {
            return Some("window".to_owned());
        }
        let timestamps = tcp.timestamps.map(|(value, echo)| (value.wrapping_sub(server_timestamp), echo));
        let options =
            Options { mss: tcp.mss, sack_permitted: tcp.sack_permitted, timestamps, window_scale: tcp.window_scale };
        if described.options.is_some_and(|wanted| wanted != options) {
            return Some(format!("set of options ({options:?})"));
        }
        let is_same = match &described.payload {
            None => true,
            Some(Payload::Is(text)) => tcp.payload == text,
            Some(Payload::Begins(text)) => tcp.payload.starts_with(text),
            Some(Payload::Length(length)) => tcp.payload.len() == *length,
        };
        (!is_same).then(|| format!("payload (\"{}\")", tcp.payload.escape_ascii()))
    }

    fn is_ours(&self, ip: &Ip<'_>, tcp: &Tcp<'_>) -> bool {
        ip.from(tcp) == self.script.ends.server && ip.to(tcp) == self.script.ends.client
    }
}

impl Peer for Player {
    fn receive(&mut self, now: Instant, bytes: &[u8], out: &mut Outbox) {
        let Some(frame) = Frame::dissect(bytes) else { return };
        if frame.tcp().is_some_and(|(ip, tcp)| self.is_ours(ip, tcp)) {
            self.received.push_back(bytes.to_vec());
            self.run(now, out);
        }
    }

    fn wake(&mut self, now: Instant, out: &mut Outbox) {
        self.run(now, out);
    }

    fn deadline(&self) -> Option<Instant> {
        self.until.filter(|_| self.outcome == Outcome::Running)
    }

    fn outcome(&self) -> Outcome {
        self.outcome.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::bench::Bench;
    use crate::testing;

    fn play(text: &str) -> Outcome {
        let engine = testing::engine();
        Bench::new(&engine, Player::new(text.parse().unwrap())).run()
    }

    const OPENING: &str = r#"
        send SYN seq 0 <mss 1460, ts 5 0>
        expect SYN ACK seq 0 ack 1 <mss 1460, ts 0 5>
        send ACK seq 1 ack 1 <ts 6 0> "GET /3 HTTP/1.0\r\n\r\n"
    "#;

    #[test]
    fn a_script_that_comes_true_is_done() {
        let script = format!(
            "{OPENING}
            expect ACK PSH FIN seq 1 ack 20 <ts 349217 6> \"HTTP/1.1 200 OK\\r\\n\"... within 30ms
            send ACK FIN seq 20 ack 62 <ts 7 349217>
            expect ACK
            expect nothing for 1m"
        );
        assert_eq!(play(&script), Outcome::Done);
    }

    #[test]
    fn what_does_not_come_true_is_told_with_its_line() {
        let fails = |rest: &str, problem: &str| match play(&format!("{OPENING}{rest}")) {
            Outcome::Failed(reason) => assert!(reason.contains(problem), "{reason}"),
            other => panic!("{other:?}"),
        };
        fails("expect ACK PSH FIN ack 21", "line 5: another ack (20): 10.9.0.2:80 > ");
        fails("expect ACK PSH", "line 5: another set of flags");
        fails("expect ACK PSH FIN 7 bytes", "line 5: another payload (\"HTTP/1.1 200");
        fails("expect ACK PSH FIN <ts 0 6>", "line 5: another set of options");
        fails("expect nothing for 1s", "line 5: nothing was expected, and");
        fails("expect ACK PSH FIN\nexpect ACK within 2s", "line 6: nothing came within 2s");
        fails("wait 1s", "nothing expects 10.9.0.2:80 >");
    }

    #[test]
    fn both_families_and_tags_are_spoken() {
        let script = "client [fd09::1]:7\nserver [fd09::2]:80\nvlan 3\nisn 4294967295\n\
                      send SYN <mss 1220>\nexpect SYN ACK ack 1 <mss 1440>";
        assert_eq!(play(script), Outcome::Done);
    }
}
