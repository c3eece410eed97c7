//! A test stand for checkers: true exchanges with an engine, and faults planted into them.

use lethe::time::Instant;
use lethe::verdict::{ReplyKind, Verdict};
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

/// A client's old connection, and another one between the same ports whose cookie is 64 kB less: their handshakes, a
/// segment of the first response, and the second up to a segment that lies where that segment is.
pub(super) fn two_connections() -> [Recorded; 6] {
    const BETWEEN: u32 = 1 << 16;
    const OLD: [u32; 2] = [1000, 7 << 16];
    const NEW: [u32; 2] = [OLD[0] + (1 << 24), OLD[1] - BETWEEN];
    const MIDDLE: u32 = BETWEEN / 2;
    const LAST: u32 = BETWEEN + 100;
    let (ends, server) = (Ends::v4(), Ends::v4().reversed());
    let exchange = |received: Segment, sent: Segment| Recorded {
        now: NOW,
        received: received.frame(),
        verdict: Verdict::Replied(ReplyKind::Response),
        sent: vec![sent.frame()],
    };
    let opened = |[isn, cookie]: [u32; 2]| {
        let answer = Segment::syn(&server).with(Flags::ACK).seq(cookie).ack_number(isn + 1);
        exchange(Segment::syn(&ends).seq(isn).mss(1460), answer)
    };
    let asked = |[isn, cookie]: [u32; 2], from: u32, to: u32, byte: u8| {
        let start = cookie + 1 + from;
        let request = Segment::ack(&ends).seq(isn + 1).ack_number(start).payload("GET / HTTP/1.0\r\n\r\n");
        let payload = vec![byte; (to - from) as usize];
        exchange(request, Segment::ack(&server).seq(start).ack_number(isn + 1).payload(payload))
    };
    [
        opened(OLD),
        opened(NEW),
        asked(OLD, 0, 1000, b'a'),
        asked(NEW, 0, MIDDLE, b'b'),
        asked(NEW, MIDDLE, LAST, b'b'),
        asked(NEW, LAST, LAST + 1000, b'c'),
    ]
}
