//! The engine's network card: the queues that the production loop runs over.

use std::mem;

use lethe::port::{RxFrame, RxQueue, Transmit, TxFrame, TxQueue};

use crate::FRAME_MAX;
use crate::offload::on_the_wire;

/// A receive queue of one frame.
pub(super) struct Rx<'a> {
    frame: Option<&'a [u8]>,
}

impl<'a> Rx<'a> {
    pub(super) fn new(frame: &'a [u8]) -> Self {
        Self { frame: Some(frame) }
    }
}

impl RxQueue for Rx<'_> {
    fn receive(&mut self) -> Option<RxFrame<'_>> {
        self.frame.take().map(RxFrame::unchecked)
    }
}

/// A transmit queue without end.
pub(super) struct Tx {
    buffer: Box<[u8]>,
    sent: Vec<Vec<u8>>,
}

impl Tx {
    pub(super) fn new() -> Self {
        Self { buffer: vec![0; FRAME_MAX].into(), sent: Vec::new() }
    }

    /// The frames that were sent, in order.
    pub(super) fn take(&mut self) -> Vec<Vec<u8>> {
        mem::take(&mut self.sent)
    }

    /// Takes an empty list back for its room.
    pub(super) fn give_back(&mut self, room: Vec<Vec<u8>>) {
        self.sent = room;
    }
}

impl TxQueue for Tx {
    fn transmit(&mut self, write: impl FnOnce(&mut [u8]) -> Option<TxFrame>) -> Transmit {
        let Some(TxFrame { len, checksum }) = write(&mut self.buffer) else {
            return Transmit::Nothing;
        };
        self.sent.extend(on_the_wire(&mut self.buffer[..len], checksum));
        Transmit::Queued(len)
    }

    fn flush(&mut self) {}
}
