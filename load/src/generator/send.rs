//! Sends the segments of a connection.

use lethe::port::{Transmit, TxChecksum, TxFrame, TxQueue};

use super::{ConnectionId, Generator, TINY_WINDOW, WINDOW};
use crate::connection::Phase;
use crate::counts::Counts;
use crate::settings::Slow;
use crate::wire::{ACK, Ends, PSH, RST, SYN, Segment, emit};

impl Generator {
    /// Sends a segment of a connection. Returns whether there was room.
    pub(super) fn send(&mut self, id: &ConnectionId, segment: &Segment<'_>, tx: &mut impl TxQueue) -> bool {
        let Some(link) = self.neighbors.link(id.ends.source.is_ipv4()) else { return false };
        send(&mut self.counts, tx, |buffer| Some(emit(buffer, link, &id.ends, segment)))
    }

    /// The timestamps option of a segment.
    pub(super) fn timestamps(&self, echo: u32) -> Option<(u32, u32)> {
        self.settings.timestamps.then(|| (self.millis().wrapping_add(self.settings.seed as u32), echo))
    }

    /// Sends a SYN.
    pub(super) fn send_syn(&mut self, id: &ConnectionId, tx: &mut impl TxQueue) -> bool {
        let headers = if id.ends.source.is_ipv4() { 40 } else { 60 };
        let segment = Segment {
            seq: id.isn,
            flags: SYN,
            window: self.window(id.slot),
            mss: self.settings.mss.or(Some(self.settings.mtu - headers)),
            timestamps: self.timestamps(0),
            ..Segment::default()
        };
        self.send(id, &segment, tx)
    }

    /// Sends the offered part of the request that is not acknowledged, or an ACK if there is none.
    pub(super) fn send_request(&mut self, id: &ConnectionId, tx: &mut impl TxQueue) -> bool {
        let connection = self.table[id.slot];
        let end = self.offered(id);
        let start = usize::from(connection.acknowledged).min(end);
        let segment = Segment {
            seq: id.isn.wrapping_add(1).wrapping_add(start as u32),
            ack: connection.expected(),
            flags: if start < end { ACK | PSH } else { ACK },
            window: self.window(id.slot),
            mss: None,
            timestamps: self.timestamps(connection.echo),
            duplicate: None,
            payload: &self.ring.batch(id.first, id.count)[start..end],
        };
        // Not by `Generator::send`, which borrows all of `self`: the segment borrows the request.
        let Some(link) = self.neighbors.link(id.ends.source.is_ipv4()) else { return false };
        send(&mut self.counts, tx, |buffer| Some(emit(buffer, link, &id.ends, &segment)))
    }

    /// Sends a segment without payload: SND.NXT, and an acknowledgment of RCV.NXT and `more`.
    pub(super) fn send_flags(&mut self, id: &ConnectionId, flags: u8, more: u32, tx: &mut impl TxQueue) -> bool {
        self.send_empty(id, flags, more, None, tx)
    }

    /// Sends an ACK that reports a range of sequence numbers that came again, as a D-SACK block (RFC 2883).
    pub(super) fn report_duplicate(&mut self, id: &ConnectionId, range: (u32, u32), tx: &mut impl TxQueue) -> bool {
        self.send_empty(id, ACK, 0, Some(range), tx)
    }

    fn send_empty(
        &mut self,
        id: &ConnectionId,
        flags: u8,
        more: u32,
        duplicate: Option<(u32, u32)>,
        tx: &mut impl TxQueue,
    ) -> bool {
        let connection = self.table[id.slot];
        let sent = match connection.phase {
            // After the last reply all requests are before the sequence number of `id`.
            Phase::Done if self.is_between(id.slot) => 0,
            Phase::Asked | Phase::Done => self.offered(id),
            _ => 0,
        };
        let segment = Segment {
            seq: id.isn.wrapping_add(1).wrapping_add(sent as u32),
            ack: connection.expected().wrapping_add(more),
            flags,
            window: self.window(id.slot),
            timestamps: self.timestamps(connection.echo),
            duplicate,
            ..Segment::default()
        };
        self.send(id, &segment, tx)
    }

    /// Answers a segment that belongs to no connection with RST (RFC 9293, section 3.10.7.1).
    pub(super) fn send_reset(&mut self, ends: &Ends, segment: &Segment<'_>, tx: &mut impl TxQueue) {
        if segment.has(RST) || !segment.has(ACK) {
            return;
        }
        let back = Ends {
            source: ends.destination,
            destination: ends.source,
            source_port: ends.destination_port,
            destination_port: ends.source_port,
        };
        let Some(link) = self.neighbors.link(back.source.is_ipv4()) else { return };
        let reset = Segment { seq: segment.ack, flags: RST, ..Segment::default() };
        send(&mut self.counts, tx, |buffer| Some(emit(buffer, link, &back, &reset)));
    }

    /// The bytes of the request that the client has released so far: a slow one releases byte by byte.
    pub(super) fn offered(&self, id: &ConnectionId) -> usize {
        let len = self.ring.batch(id.first, id.count).len();
        match self.slow_kind(id.slot).filter(|_| self.is_slow(id.slot)) {
            Some((_, Slow::Drip)) => {
                let seconds = self.micros().wrapping_sub(self.table[id.slot].begun) / 1_000_000;
                len.min(1 + seconds as usize)
            }
            _ => len,
        }
    }

    pub(super) fn window(&self, slot: usize) -> u16 {
        match self.slow_kind(slot).filter(|_| self.is_slow(slot)) {
            Some((_, Slow::Window)) => TINY_WINDOW,
            _ => WINDOW,
        }
    }
}

/// Writes and sends a frame. Returns whether there was one, and room for it.
pub(super) fn send(counts: &mut Counts, tx: &mut impl TxQueue, write: impl FnOnce(&mut [u8]) -> Option<usize>) -> bool {
    let whole = |buffer: &mut [u8]| write(buffer).map(|len| TxFrame { len, checksum: TxChecksum::Complete });
    match tx.transmit(whole) {
        Transmit::Queued(_) => counts.frames_out += 1,
        Transmit::Nothing => return false,
        Transmit::Full => {
            counts.queue_full += 1;
            return false;
        }
    }
    true
}
