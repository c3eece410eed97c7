//! An engine without a port: one frame in, all that is sent for it out.

use lethe::engine::SCRATCH_LEN;
use lethe::port::RxFrame;
use lethe::time::Instant;
use lethe::verdict::Verdict;
use lethe::{App, Engine};

use crate::FRAME_MAX;

/// What the memory holds before anything is written there: nothing that should be seen outside.
const DIRT: u8 = 0xa5;

/// Room for an engine to work in.
#[derive(Clone, Debug)]
pub struct Workspace {
    scratch: Vec<u8>,
    buffer: Vec<u8>,
    is_later_request: bool,
}

impl Default for Workspace {
    fn default() -> Self {
        Self { scratch: vec![DIRT; SCRATCH_LEN], buffer: vec![DIRT; FRAME_MAX], is_later_request: false }
    }
}

impl Workspace {
    /// What the engine does about a frame: its verdict, and the frames that it sends, in order.
    pub fn answer<A: App>(&mut self, engine: &Engine<A>, now: Instant, frame: &[u8]) -> (Verdict, Vec<Vec<u8>>) {
        let mut reply = engine.handle(now, RxFrame::unchecked(frame), &mut self.scratch);
        self.is_later_request = reply.is_later_request();
        let mut sent = Vec::new();
        while let Some(written) = reply.next_frame(&mut self.buffer) {
            sent.push(self.buffer[..written.len].to_vec());
        }
        (reply.verdict(), sent)
    }

    /// Whether the last answer was to a request that is not the first of its connection.
    pub(crate) const fn is_later_request(&self) -> bool {
        self.is_later_request
    }
}
