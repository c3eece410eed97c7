//! One turn of the event loop, which is the same for every port: receive, handle, transmit, count.

use crate::app::App;
use crate::engine::Engine;
use crate::port::{RxQueue, Transmit, TxQueue};
use crate::reply::Reply;
use crate::time::Instant;
use crate::verdict::Stats;

/// What is told of each frame that has requests which are answered, before the answer is sent: a log of them.
///
/// It runs within the loop: it should neither wait nor allocate.
pub trait Observer {
    /// `frame` came at `now`, and is answered with `reply`.
    fn answered(&mut self, now: Instant, frame: &[u8], reply: &Reply<'_>);
}

impl Observer for () {
    #[inline]
    fn answered(&mut self, _: Instant, _: &[u8], _: &Reply<'_>) {}
}

impl<O: Observer> Observer for Option<O> {
    #[inline]
    fn answered(&mut self, now: Instant, frame: &[u8], reply: &Reply<'_>) {
        if let Some(observer) = self {
            observer.answered(now, frame, reply);
        }
    }
}

/// Takes up to `burst` frames from `queues`, answers each on them, and returns how many it took. A receive queue and a
/// transmit queue of their own are a tuple.
///
/// `scratch` is where applications build what they answer; [`SCRATCH_LEN`](crate::engine::SCRATCH_LEN)
/// bytes are enough for any response that is made on the spot.
pub fn turn<A: App>(
    engine: &Engine<A>,
    now: Instant,
    queues: &mut (impl RxQueue + TxQueue),
    scratch: &mut [u8],
    stats: &mut Stats,
    burst: usize,
) -> usize {
    turn_observed(engine, now, queues, scratch, stats, burst, &mut ())
}

/// As [`turn`], and `observer` is told of requests.
pub fn turn_observed<A: App>(
    engine: &Engine<A>,
    now: Instant,
    queues: &mut (impl RxQueue + TxQueue),
    scratch: &mut [u8],
    stats: &mut Stats,
    burst: usize,
    observer: &mut impl Observer,
) -> usize {
    let mut taken = 0;
    while taken < burst {
        let Some(frame) = queues.receive() else { break };
        let bytes = frame.bytes;
        taken += 1;
        let mut reply = engine.handle(now, frame, scratch);
        stats.count_received(bytes.len(), reply.verdict());
        if reply.answers_request() {
            stats.count_answers(reply.is_to_later_request(), reply.answers());
            observer.answered(now, bytes, &reply);
        }
        while reply.is_pending() {
            match queues.transmit(|buffer| reply.next_frame(buffer)) {
                Transmit::Queued(len) => stats.count_sent(len),
                Transmit::Nothing => break,
                Transmit::Full => {
                    stats.count_queue_full();
                    break;
                }
            }
        }
    }
    queues.flush();
    taken
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::Request;
    use crate::config::Config;
    use crate::cookie::Secret;
    use crate::http::{Response, Status};
    use crate::port::{RxFrame, TxFrame};
    use crate::wire::arp;
    use crate::wire::ethernet::{EtherType, Header, MacAddress};

    struct Empty;

    impl App for Empty {
        fn respond<'a>(&'a self, _: &Request<'_>, scratch: &'a mut [u8]) -> Response<'a> {
            Response::build(scratch, Status::NotFound).body(b"")
        }
    }

    /// So many copies of a frame.
    struct Copies {
        frame: [u8; 64],
        left: usize,
    }

    impl RxQueue for Copies {
        fn receive(&mut self) -> Option<RxFrame<'_>> {
            self.left = self.left.checked_sub(1)?;
            Some(RxFrame::unchecked(&self.frame))
        }
    }

    /// What was asked of a transmit queue that is full after so many frames.
    struct Count {
        room: usize,
        asked: usize,
        queued: usize,
        flushed: usize,
    }

    impl Count {
        const fn new(room: usize) -> Self {
            Self { room, asked: 0, queued: 0, flushed: 0 }
        }
    }

    impl TxQueue for Count {
        fn transmit(&mut self, write: impl FnOnce(&mut [u8]) -> Option<TxFrame>) -> Transmit {
            self.asked += 1;
            if self.queued == self.room {
                return Transmit::Full;
            }
            match write(&mut [0; 2048]) {
                Some(frame) => {
                    self.queued += 1;
                    Transmit::Queued(frame.len)
                }
                None => Transmit::Nothing,
            }
        }

        fn flush(&mut self) {
            self.flushed += 1;
        }
    }

    /// A question for the engine's address, or for another one.
    fn arp_request(target: [u8; 4]) -> [u8; 64] {
        let source = MacAddress::new([2, 0, 0, 0, 0, 1]);
        let header = Header { destination: MacAddress::BROADCAST, source, tag: None, ether_type: EtherType::ARP };
        let packet = arp::Packet {
            operation: arp::Operation::Request,
            sender_mac: source,
            sender_ip: [10, 9, 0, 1].into(),
            target_mac: MacAddress::new([0; 6]),
            target_ip: target.into(),
        };
        let mut frame = [0; 64];
        packet.emit(header.emit(&mut frame).unwrap()).unwrap();
        frame
    }

    /// Runs one turn over ten frames; returns how many it took and what it did to the queue.
    fn turn_of_ten(target: [u8; 4], room: usize, burst: usize) -> (usize, usize, Count) {
        let mut config = Config::new(Secret::new([7; 16]));
        config.addresses.add([10, 9, 0, 2].into()).unwrap();
        let engine = Engine::new(config, Empty);
        let (mut rx, mut tx) = (Copies { frame: arp_request(target), left: 10 }, Count::new(room));
        let mut stats = Stats::default();
        let taken = turn(&engine, Instant::default(), &mut (&mut rx, &mut tx), &mut [0; 512], &mut stats, burst);
        (taken, rx.left, tx)
    }

    #[test]
    fn a_turn_takes_no_more_than_a_burst_and_says_how_many() {
        for (burst, expect) in [(0, 0), (1, 1), (9, 9), (10, 10), (11, 10)] {
            let (taken, left, tx) = turn_of_ten([10, 9, 0, 2], 100, burst);
            assert_eq!((taken, left, tx.queued, tx.flushed), (expect, 10 - expect, expect, 1), "{burst}");
        }
    }

    #[test]
    fn a_buffer_is_asked_for_only_where_there_is_a_frame() {
        assert_eq!(turn_of_ten([10, 9, 0, 3], 100, 10).2.asked, 0);
        assert_eq!(turn_of_ten([10, 9, 0, 2], 100, 10).2.asked, 10);
    }

    #[test]
    fn a_full_queue_costs_its_frame_and_no_more() {
        let (taken, _, tx) = turn_of_ten([10, 9, 0, 2], 3, 10);
        assert_eq!((taken, tx.asked, tx.queued), (10, 10, 3));
    }
}
