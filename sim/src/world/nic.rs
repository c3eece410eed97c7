//! The engine's network card: the queues that the production loop runs over, and the checksums that a card
//! computes.

use std::mem;

use lethe::port::{RxFrame, RxQueue, Transmit, TxChecksum, TxFrame, TxQueue};
use lethe::wire::checksum::Sum;

use crate::FRAME_MAX;

/// Where an IPv4 header has its checksum.
const IPV4_CHECKSUM: usize = 10;
/// Where a TCP header has its checksum.
const TCP_CHECKSUM: usize = 16;

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
        let frame = &mut self.buffer[..len];
        complete(frame, checksum);
        self.sent.push(frame.to_vec());
        Transmit::Queued(len)
    }

    fn flush(&mut self) {}
}

/// Does what the engine left to the card.
fn complete(frame: &mut [u8], checksum: TxChecksum) {
    let TxChecksum::Partial { network_offset, network_len, network, transport } = checksum else {
        return;
    };
    let (header, segment) = frame[network_offset..].split_at_mut(network_len);
    if network {
        put(header, IPV4_CHECKSUM);
    }
    if transport {
        put(segment, TCP_CHECKSUM);
    }
}

/// Sums up all there is, the field itself included, and puts the result there.
fn put(bytes: &mut [u8], at: usize) {
    let checksum = Sum::new().with(bytes).finish();
    bytes[at..at + 2].copy_from_slice(&checksum.to_be_bytes());
}
