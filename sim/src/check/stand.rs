//! A test stand for checkers: true exchanges with an engine, and faults planted into them.

use lethe::time::Instant;
use lethe::verdict::Verdict;
use lethe::wire::tcp::Flags;
use lethe::{App, Engine};

use super::{Checker, Exchange};
use crate::dissect::Frame;
use crate::frame::{Ends, Segment};
use crate::workspace::Workspace;

pub(super) const NOW: Instant = Instant::from_unix_seconds(1_780_000_000);

/// An exchange that owns its frames, so that they can be changed.
#[derive(Clone)]
pub(super) struct Recorded {
    pub(super) now: Instant,
    pub(super) received: Vec<u8>,
    pub(super) verdict: Verdict,
    pub(super) sent: Vec<Vec<u8>>,
}

impl Recorded {
    /// What the engine does about a frame.
    pub(super) fn at<A: App>(now: Instant, engine: &Engine<A>, received: Vec<u8>) -> Self {
        let (verdict, sent) = Workspace::default().answer(engine, now, &received);
        Self { now, received, verdict, sent }
    }

    pub(super) fn check(&self, checker: &mut dyn Checker) -> Result<(), String> {
        let Self { now, received, verdict, sent } = self;
        checker.check(&Exchange { now: *now, received, verdict: *verdict, sent })
    }

    /// Replaces the first frame that was sent by a segment that `change` makes of it.
    pub(super) fn change(mut self, change: impl Fn(Segment) -> Segment) -> Self {
        let frame = Frame::dissect(&self.sent[0]).expect("a frame was sent");
        let (ip, tcp) = frame.tcp().expect("it is a segment");
        let ends = Ends {
            client_mac: frame.source,
            server_mac: frame.destination,
            vlan: frame.vlan,
            ..Ends::between(ip.from(tcp), ip.to(tcp))
        };
        self.sent[0] = change(Segment::copy_of(&ends, tcp)).frame();
        self
    }
}

/// A fetch of `path` up to the response: SYN, and request.
pub(super) fn fetch<A: App>(engine: &Engine<A>, ends: &Ends, path: &str) -> [Recorded; 2] {
    fetch_at(NOW, NOW, engine, ends, path)
}

/// A fetch whose request comes some time after the SYN.
pub(super) fn fetch_at<A: App>(
    first: Instant,
    then: Instant,
    engine: &Engine<A>,
    ends: &Ends,
    path: &str,
) -> [Recorded; 2] {
    let syn = Segment::syn(ends).seq(1000).mss(1460).timestamps(5, 0);
    let opened = Recorded::at(first, engine, syn.frame());
    let answer = Frame::dissect(&opened.sent[0]).expect("a SYN is answered");
    let (_, tcp) = answer.tcp().expect("by a segment");
    let request = Segment::ack(ends).seq(1001).ack_number(tcp.seq.advance(1).value());
    let request = request.timestamps(6, tcp.timestamps.map_or(0, |(value, _)| value));
    let request = request.payload(format!("GET {path} HTTP/1.0\r\n\r\n")).with(Flags::PSH);
    let asked = Recorded::at(then, engine, request.frame());
    [opened, asked]
}
