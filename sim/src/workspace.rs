//! An engine without a port: one frame in, all that is sent for it out.

use lethe::engine::SCRATCH_LEN;
use lethe::port::RxFrame;
use lethe::time::Instant;
use lethe::verdict::{Answered, Stats, Verdict};
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
    answers: Vec<Answered>,
    is_to_later_request: bool,
}

impl Default for Workspace {
    fn default() -> Self {
        let (scratch, buffer) = (vec![DIRT; SCRATCH_LEN], vec![DIRT; FRAME_MAX]);
        Self { scratch, buffer, answers: Vec::new(), is_to_later_request: false }
    }
}

impl Workspace {
    /// What the engine does about a frame: its verdict, and the frames that it sends, in order.
    pub fn answer<A: App>(&mut self, engine: &Engine<A>, now: Instant, frame: &[u8]) -> (Verdict, Vec<Vec<u8>>) {
        let mut reply = engine.handle(now, RxFrame::unchecked(frame), &mut self.scratch);
        self.answers.clear();
        self.answers.extend(reply.answers());
        self.is_to_later_request = reply.is_to_later_request();
        let mut sent = Vec::new();
        while let Some(written) = reply.next_frame(&mut self.buffer) {
            sent.extend(on_the_wire(&mut self.buffer[..written.len], written.checksum));
        }
        (reply.verdict(), sent)
    }

    /// Counts the responses to the last frame.
    pub(crate) fn count_answers(&self, stats: &mut Stats) {
        stats.count_answers(self.is_to_later_request, self.answers.iter().copied());
    }
}
