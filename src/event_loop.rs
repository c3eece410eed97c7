//! One turn of the event loop, which is the same for every port: receive, handle, transmit, count.

use crate::app::App;
use crate::engine::Engine;
use crate::port::{RxQueue, Transmit, TxQueue};
use crate::time::Instant;
use crate::verdict::Stats;

/// Takes up to `burst` frames from `rx`, answers each on `tx`, and returns how many it took.
///
/// `scratch` is where applications build what they answer; [`SCRATCH_LEN`](crate::engine::SCRATCH_LEN)
/// bytes are enough for any response that is made on the spot.
pub fn turn<A: App>(
    engine: &Engine<A>,
    now: Instant,
    rx: &mut impl RxQueue,
    tx: &mut impl TxQueue,
    scratch: &mut [u8],
    stats: &mut Stats,
    burst: usize,
) -> usize {
    let mut taken = 0;
    while taken < burst {
        let Some(frame) = rx.receive() else { break };
        taken += 1;
        let mut reply = engine.handle(now, frame, scratch);
        stats.count_received(frame.bytes.len(), reply.verdict());
        while reply.is_pending() {
            match tx.transmit(|buffer| reply.next_frame(buffer)) {
                Transmit::Queued(len) => stats.count_sent(len),
                Transmit::Nothing => break,
                Transmit::Full => {
                    stats.count_queue_full();
                    break;
                }
            }
        }
    }
    tx.flush();
    taken
}
