//! An engine without a port: one frame in, all that is sent for it out.

use lethe::engine::SCRATCH_LEN;
use lethe::port::RxFrame;
use lethe::time::Instant;
use lethe::verdict::{LaterRequests, Verdict};
use lethe::{App, Engine};

use crate::FRAME_MAX;
use crate::offload::on_the_wire;

/// What the memory holds before anything is written there: nothing that should be seen outside.
const DIRT: u8 = 0xa5;

/// Room for an engine to work in.
#[derive(Clone, Debug)]
pub struct Workspace {
    scratch: Vec<u8>,
    buffer: Vec<u8>,
    later_requests: LaterRequests,
}

impl Default for Workspace {
    fn default() -> Self {
        Self { scratch: vec![DIRT; SCRATCH_LEN], buffer: vec![DIRT; FRAME_MAX], later_requests: LaterRequests::NONE }
    }
}

impl Workspace {
    /// What the engine does about a frame: its verdict, and the frames that it sends, in order.
    pub fn answer<A: App>(&mut self, engine: &Engine<A>, now: Instant, frame: &[u8]) -> (Verdict, Vec<Vec<u8>>) {
        let mut reply = engine.handle(now, RxFrame::unchecked(frame), &mut self.scratch);
        self.later_requests = reply.later_requests();
        let mut sent = Vec::new();
        while let Some(written) = reply.next_frame(&mut self.buffer) {
            sent.extend(on_the_wire(&mut self.buffer[..written.len], written.checksum));
        }
        (reply.verdict(), sent)
    }

    /// The requests that were answered last and are not the first of their connection.
    pub(crate) const fn later_requests(&self) -> LaterRequests {
        self.later_requests
    }
}
