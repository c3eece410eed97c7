//! A bad network in front of a real port: the rules of [`link`](crate::link), in real time.
//!
//! ```text
//!   kernel ──> port's rx ──> link in ──> Rx ──┐
//!                                             turn()
//!   kernel <── port's tx <── link out <─ Tx <─┘
//! ```
//!
//! A frame that is under way waits here until its time has come, so the loop must wake for it:
//! [`Impaired::next_arrival`] says when.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::mem;

use lethe::port::{RxFrame, RxQueue, Transmit, TxChecksum, TxFrame, TxQueue};
use lethe::time::Instant;

use crate::FRAME_MAX;
use crate::link::{Impairment, Link, Passage};
use crate::offload::on_the_wire;
use crate::random::Random;

/// The most frames that are under way in one direction, some 100 MB of the longest ones on Ethernet. What
/// comes beyond that is lost, as in any queue.
const UNDER_WAY_MAX: usize = 65_536;

/// Both directions of a bad network.
pub struct Impaired {
    inward: Direction,
    outward: Direction,
    buffer: Box<[u8]>,
}

/// One direction: its link, and what is under way on it.
struct Direction {
    link: Link,
    under_way: BinaryHeap<Reverse<UnderWay>>,
    count: u64,
    /// What its link sends back, until the other direction takes it.
    back: Vec<Vec<u8>>,
    /// The frame that has arrived last.
    arrived: Vec<u8>,
    passage: Passage,
}

/// Ordered by time, and by number where that is the same.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct UnderWay {
    at: Instant,
    number: u64,
    frame: Vec<u8>,
}

impl Impaired {
    /// A network that is impaired like this in both directions from `start` on; each draws for itself.
    pub fn new(impairment: &Impairment, start: Instant) -> Self {
        let random = Random::from_seed(impairment.seed);
        let direction = |name| Direction::new(Link::new(impairment, start, &random.fork(name)));
        Self { inward: direction("in"), outward: direction("out"), buffer: vec![0; FRAME_MAX].into() }
    }

    /// The queues of a port behind this network, for one turn of the loop.
    pub fn queues<R: RxQueue, T: TxQueue>(&mut self, now: Instant, rx: R, tx: T) -> (Rx<'_, R>, Tx<'_, T>) {
        for frame in mem::take(&mut self.inward.back) {
            self.outward.arrive(now, frame);
        }
        for frame in mem::take(&mut self.outward.back) {
            self.inward.arrive(now, frame);
        }
        let rx = Rx { direction: &mut self.inward, now, inner: rx };
        let tx = Tx { direction: &mut self.outward, now, inner: tx, buffer: &mut self.buffer };
        (rx, tx)
    }

    /// When the next of the frames that are under way arrives.
    pub fn next_arrival(&self) -> Option<Instant> {
        let directions = [&self.inward, &self.outward];
        if directions.iter().any(|direction| !direction.back.is_empty()) {
            return Some(Instant::default());
        }
        directions.iter().filter_map(|direction| direction.next_arrival()).min()
    }
}

impl Direction {
    fn new(link: Link) -> Self {
        Self {
            link,
            under_way: BinaryHeap::new(),
            count: 0,
            back: Vec::new(),
            arrived: Vec::new(),
            passage: Passage::default(),
        }
    }

    fn send(&mut self, now: Instant, frame: Vec<u8>) {
        let mut passage = mem::take(&mut self.passage);
        self.link.send(now, frame, &mut passage);
        for frame in passage.onward.drain(..) {
            self.arrive(frame.at, frame.bytes);
        }
        self.back.append(&mut passage.back);
        passage.clear();
        self.passage = passage;
    }

    fn arrive(&mut self, at: Instant, frame: Vec<u8>) {
        if self.under_way.len() < UNDER_WAY_MAX {
            self.under_way.push(Reverse(UnderWay { at, number: self.count, frame }));
            self.count += 1;
        }
    }

    fn next_arrival(&self) -> Option<Instant> {
        self.under_way.peek().map(|Reverse(next)| next.at)
    }

    /// The next frame whose time has come.
    fn arrived(&mut self, now: Instant) -> Option<&[u8]> {
        if self.next_arrival()? > now {
            return None;
        }
        let Reverse(UnderWay { frame, .. }) = self.under_way.pop()?;
        self.arrived = frame;
        Some(&self.arrived)
    }
}

/// The receive queue of a port behind a bad network.
pub struct Rx<'a, R> {
    direction: &'a mut Direction,
    now: Instant,
    inner: R,
}

impl<R: RxQueue> RxQueue for Rx<'_, R> {
    fn receive(&mut self) -> Option<RxFrame<'_>> {
        while self.direction.next_arrival().is_none_or(|at| at > self.now) {
            let frame = self.inner.receive()?.bytes.to_vec();
            self.direction.send(self.now, frame);
        }
        self.direction.arrived(self.now).map(RxFrame::unchecked)
    }
}

/// The transmit queue of a port behind a bad network.
pub struct Tx<'a, T> {
    direction: &'a mut Direction,
    now: Instant,
    inner: T,
    buffer: &'a mut [u8],
}

impl<T: TxQueue> TxQueue for Tx<'_, T> {
    fn transmit(&mut self, write: impl FnOnce(&mut [u8]) -> Option<TxFrame>) -> Transmit {
        let Some(TxFrame { len, checksum }) = write(self.buffer) else {
            return Transmit::Nothing;
        };
        for frame in on_the_wire(&mut self.buffer[..len], checksum) {
            self.direction.send(self.now, frame);
        }
        Transmit::Queued(len)
    }

    fn flush(&mut self) {
        while let Some(frame) = self.direction.arrived(self.now) {
            let written = self.inner.transmit(|buffer| {
                buffer.get_mut(..frame.len())?.copy_from_slice(frame);
                Some(TxFrame { len: frame.len(), checksum: TxChecksum::Complete })
            });
            if written == Transmit::Full {
                break;
            }
        }
        self.inner.flush();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::time::Duration;

    use lethe::engine::SCRATCH_LEN;
    use lethe::turn;
    use lethe::verdict::Stats;

    use super::*;
    use crate::clock::after;
    use crate::dissect;
    use crate::frame::{Ends, Icmp};
    use crate::testing::engine;

    const START: Instant = Instant::from_unix_seconds(1_780_000_000);

    /// A port that holds what the test gives it.
    #[derive(Default)]
    struct Port {
        received: VecDeque<Vec<u8>>,
        current: Vec<u8>,
        sent: Vec<Vec<u8>>,
    }

    struct PortRx<'a>(&'a mut VecDeque<Vec<u8>>, &'a mut Vec<u8>);

    impl RxQueue for PortRx<'_> {
        fn receive(&mut self) -> Option<RxFrame<'_>> {
            *self.1 = self.0.pop_front()?;
            Some(RxFrame::unchecked(self.1))
        }
    }

    struct PortTx<'a>(&'a mut Vec<Vec<u8>>);

    impl TxQueue for PortTx<'_> {
        fn transmit(&mut self, write: impl FnOnce(&mut [u8]) -> Option<TxFrame>) -> Transmit {
            let mut buffer = vec![0; FRAME_MAX];
            let Some(frame) = write(&mut buffer) else { return Transmit::Nothing };
            buffer.truncate(frame.len);
            self.0.push(buffer);
            Transmit::Queued(frame.len)
        }

        fn flush(&mut self) {}
    }

    /// Turns until nothing is under way; returns what was sent, and when.
    fn run(impairment: &str, frames: impl IntoIterator<Item = Vec<u8>>) -> Vec<(Duration, Vec<u8>)> {
        let engine = engine();
        let mut impaired = Impaired::new(&impairment.parse().unwrap(), START);
        let mut port = Port { received: frames.into_iter().collect(), ..Port::default() };
        let (mut scratch, mut stats) = (vec![0; SCRATCH_LEN], Stats::default());
        let (mut now, mut sent) = (START, Vec::new());
        loop {
            let (rx, tx) = (PortRx(&mut port.received, &mut port.current), PortTx(&mut port.sent));
            let mut queues = impaired.queues(now, rx, tx);
            let taken = turn(&engine, now, &mut queues, &mut scratch, &mut stats, 64);
            sent.extend(port.sent.drain(..).map(|frame| (crate::clock::between(START, now), frame)));
            match impaired.next_arrival() {
                Some(at) => now = now.max(at),
                None if taken > 0 => {}
                None => return sent,
            }
        }
    }

    fn pings(count: u16) -> impl Iterator<Item = Vec<u8>> {
        (0..count).map(|number| Icmp::echo(&Ends::v4(), 1, number, &[7; 1000]).frame())
    }

    #[test]
    fn nothing_wrong_changes_nothing() {
        assert_eq!(run("", pings(100)).len(), 100);
    }

    #[test]
    fn both_directions_take_their_time() {
        let sent = run("delay=20ms", pings(3));
        assert_eq!(sent.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [Duration::from_millis(40); 3]);
    }

    #[test]
    fn both_directions_lose_their_share() {
        let count = run("loss=50%,seed=7", pings(1000)).len();
        assert!((200..300).contains(&count), "{count}");
        assert_ne!(count, run("loss=50%,seed=8", pings(1000)).len());
    }

    #[test]
    fn what_a_router_says_goes_back_to_the_kernel() {
        let sent = run("mtu=576", pings(1));
        let [(_, report)] = sent.as_slice() else { panic!("{sent:?}") };
        let report = dissect::Frame::dissect(report).unwrap();
        assert_eq!((report.problem(), report.destination), (None, Ends::v4().client_mac));
    }

    #[test]
    fn what_arrives_later_is_still_whole() {
        for (at, frame) in run("delay=1ms,jitter=10ms,reorder=50%", pings(100)) {
            assert!(at >= Duration::from_millis(2) && after(START, at) < after(START, Duration::from_secs(1)));
            assert_eq!(dissect::Frame::dissect(&frame).unwrap().problem(), None);
        }
    }
}
