//! Handles the segments of the server.

use std::collections::HashMap;

use lethe::port::TxQueue;

use super::{ConnectionId, Generator, Mismatch, Part, Partial, RunError};
use crate::client_pool::Client;
use crate::connection::{Connection, Phase};
use crate::counts::Failure;
use crate::expected::{Expected, NotComparable, REPLY_MAX};
use crate::http::{Chunks, HEAD_MAX, Head};
use crate::settings::{Compare, Slow};
use crate::wire::{ACK, Ends, FIN, RST, SYN, Segment};

impl Generator {
    pub(super) fn handle_segment(&mut self, ends: &Ends, segment: &Segment<'_>, tx: &mut impl TxQueue) {
        let found = self.find(ends).filter(|id| self.table[id.slot].phase != Phase::Free);
        let Some(id) = found else {
            self.counts.strays += 1;
            // Segments between other hosts are ignored.
            if self.pool.has(ends.destination) && self.settings.to.iter().any(|to| to.ip() == ends.source) {
                self.send_reset(ends, segment, tx);
            }
            return;
        };
        match self.table[id.slot].phase {
            Phase::Open | Phase::Asked if self.opens_a_window(&id, segment) => {}
            Phase::SynSent => self.handle_syn_ack(&id, ends, segment, tx),
            Phase::Failed => self.send_reset(ends, segment, tx),
            // Our FIN was lost, or is not acknowledged yet.
            Phase::Done if segment.has(FIN) || !segment.payload.is_empty() => {
                self.send_flags(&id, ACK | FIN, 1, tx);
            }
            Phase::Open if self.is_idle(id.slot) && segment.has(RST) => self.end_idle(&id),
            Phase::Open | Phase::Asked if segment.has(RST) => {
                if segment.seq.wrapping_sub(self.table[id.slot].expected()) <= u32::from(super::WINDOW) {
                    self.fail(&id, Failure::Reset);
                }
            }
            // The last ACK of the handshake was lost, or the request, which has its own timer.
            Phase::Open if segment.has(SYN) => {
                self.send_flags(&id, ACK, 0, tx);
            }
            // Data or a probe that was acknowledged before.
            Phase::Open if self.is_idle(id.slot) && segment.seq != self.table[id.slot].expected() => {
                self.send_flags(&id, ACK, 0, tx);
            }
            Phase::Open if self.is_idle(id.slot) && segment.has(FIN) && segment.payload.is_empty() => {
                self.send_flags(&id, ACK | FIN, 1, tx);
                self.end_idle(&id);
            }
            Phase::Open if segment.has(FIN) => self.break_off(&id, Failure::ClosedEarly, ends, segment, tx),
            Phase::Asked if !segment.has(SYN) => self.handle_reply(&id, ends, segment, tx),
            Phase::Free | Phase::Open | Phase::Asked | Phase::Done => {}
        }
    }

    /// Whether a segment is empty and begins behind the next byte, as one does that opens our window. It is acceptable,
    /// so it draws no ACK (RFC 9293, section 3.10.7.4); and there is always room for the next request.
    fn opens_a_window(&self, id: &ConnectionId, segment: &Segment<'_>) -> bool {
        let ahead = segment.seq.wrapping_sub(self.table[id.slot].expected());
        segment.payload.is_empty()
            && segment.flags & (SYN | FIN | RST) == 0
            && ahead != 0
            && ahead <= u32::from(super::WINDOW)
    }

    /// Handles a segment in SYN-SENT (RFC 9293, section 3.10.7.3).
    fn handle_syn_ack(&mut self, id: &ConnectionId, ends: &Ends, segment: &Segment<'_>, tx: &mut impl TxQueue) {
        if !segment.has(ACK) || segment.ack != id.isn.wrapping_add(1) {
            self.send_reset(ends, segment, tx);
            return;
        }
        if segment.has(RST) {
            self.fail(id, Failure::Refused);
            return;
        }
        if !segment.has(SYN) {
            return;
        }
        let now = self.micros();
        let connection = &mut self.table[id.slot];
        connection.server_isn = segment.seq;
        connection.received = 0;
        connection.acknowledged = 0;
        connection.echo = segment.timestamps.map_or(0, |(value, _)| value);
        let elapsed = now.wrapping_sub(connection.begun);
        self.waiting -= 1;
        self.table[id.slot].phase = Phase::Open;
        if self.is_main(id.slot) {
            self.counts.opened += 1;
            self.connect.record(elapsed);
        }
        match self.slow_kind(id.slot) {
            Some((at, kind)) => {
                self.slow_counts[at].opened += 1;
                match kind {
                    Slow::Idle => _ = self.send_flags(id, ACK, 0, tx),
                    Slow::Drip | Slow::Window => self.ask(id, self.now, tx),
                }
            }
            // A connection that is held open without a request completes the handshake by an ACK.
            None if self.stage == super::Stage::Opening && !self.asks_at_once() => _ = self.send_flags(id, ACK, 0, tx),
            // Latency counts from when the connection was due.
            None => self.ask(id, self.now - u64::from(elapsed), tx),
        }
    }

    /// Sends the requests of a segment, which were due at `at` µs, for the first time.
    pub(super) fn ask(&mut self, id: &ConnectionId, at: u64, tx: &mut impl TxQueue) {
        let connection = &mut self.table[id.slot];
        connection.phase = Phase::Asked;
        connection.sent_first((self.now / 1000) as u16);
        connection.acknowledged = 0;
        connection.begun = at as u32;
        if !self.is_slow(id.slot) {
            self.waiting += 1;
        }
        if self.is_main(id.slot) {
            self.counts.asked += id.count as u64;
            let is_used = self.is_used(id.slot);
            self.counts.later += id.count as u64 - u64::from(!is_used);
        }
        // Without room in the queue it is retransmitted.
        self.send_request(id, tx);
    }

    /// Handles a segment of the reply, or an ACK of the request.
    fn handle_reply(&mut self, id: &ConnectionId, ends: &Ends, segment: &Segment<'_>, tx: &mut impl TxQueue) {
        let offered = self.offered(id) as u32;
        let millis = (self.now / 1000) as u16;
        let connection = &mut self.table[id.slot];
        let acknowledged = segment.ack.wrapping_sub(id.isn.wrapping_add(1));
        if segment.has(ACK) && acknowledged <= offered && acknowledged > connection.acknowledged.into() {
            connection.acknowledged = acknowledged as u16;
        }
        // How much of the segment was received before. It wraps to a huge number for a segment beyond RCV.NXT.
        let known = connection.expected().wrapping_sub(segment.seq) as usize;
        let len = segment.payload.len();
        // A client with timestamps offers SACK as well, and has to use it.
        if let Some((value, _)) = segment.timestamps {
            if known >= 1 << 30 {
                // Out of order: it is not kept, so no SACK block may tell of it, and an ACK without one counts as new.
                return;
            }
            connection.take_timestamp(value);
            if len > 0 && known >= len && !segment.has(FIN) {
                self.report_duplicate(id, (segment.seq, segment.seq.wrapping_add(len as u32)), tx);
                return;
            }
        }
        if known > len {
            // Old or out of order: answered with an ACK (RFC 9293, section 3.10.7.4).
            self.send_flags(id, ACK, 0, tx);
            return;
        }
        let (offset, fresh) = (connection.received as usize, &segment.payload[known..]);
        if self.settings.keep_alive.is_some() {
            self.handle_kept_reply(id, ends, segment, fresh, tx);
            return;
        }
        if !fresh.is_empty() {
            connection.received += fresh.len() as u32;
            connection.sent_first(millis);
            if let Err(part) = self.compare(id, offset, fresh) {
                self.note_mismatch(id, part);
                self.break_off(id, Failure::WrongBytes, ends, segment, tx);
                return;
            }
        }
        if segment.has(FIN) {
            self.end(id, ends, segment, tx);
        } else if !segment.payload.is_empty() {
            self.send_flags(id, ACK, 0, tx);
        }
    }

    pub(super) fn note_mismatch(&mut self, id: &ConnectionId, part: Part) {
        let client = Client { address: id.ends.source, port: id.ends.source_port };
        let path = self.requests[id.path].path.clone();
        self.mismatch.get_or_insert(Mismatch { path, client, part });
    }

    /// Compares bytes with the expected reply, or collects them for a new one. The error is the first difference.
    pub(super) fn compare(&mut self, id: &ConnectionId, offset: usize, fresh: &[u8]) -> Result<(), Part> {
        let Some(expected) = &self.requests[id.path].expected else {
            self.learned.extend_from_slice(fresh);
            if self.learned.len() > REPLY_MAX {
                let path = self.requests[id.path].path.clone();
                self.error = Some(RunError::NotComparable { path, reason: NotComparable::TooLong });
            }
            return Ok(());
        };
        match expected.compare() {
            Compare::All => expected.difference(offset, fresh).map_or(Ok(()), |at| Err(Part::Byte(at))),
            Compare::Body => {
                let connection = &mut self.table[id.slot];
                compare_body(expected, connection, &mut self.partial, id.slot, offset, fresh)
            }
        }
    }

    /// Checks that the reply is as long as the expected one.
    pub(super) fn check_end(&self, id: &ConnectionId, expected: &Expected) -> Result<(), Part> {
        let connection = &self.table[id.slot];
        let received = connection.received as usize;
        match (expected.compare(), self.partial.get(&id.slot)) {
            (Compare::All, _) if received == expected.len() => Ok(()),
            (Compare::All, _) => Err(Part::Byte(received)),
            (Compare::Body, Some(Partial::Head(_))) => Err(Part::Head),
            (Compare::Body, Some(Partial::Chunks(chunks, at))) if !chunks.is_done() => Err(Part::OfBody(*at)),
            (Compare::Body, partial) => {
                let at = match partial {
                    Some(Partial::Chunks(_, at)) => *at,
                    _ => received - usize::from(connection.body_at),
                };
                if connection.body_at > 0 && at == expected.len() { Ok(()) } else { Err(Part::OfBody(at)) }
            }
        }
    }

    /// Handles the FIN of the server, behind the complete reply.
    fn end(&mut self, id: &ConnectionId, ends: &Ends, segment: &Segment<'_>, tx: &mut impl TxQueue) {
        if let Some(expected) = &self.requests[id.path].expected {
            if let Err(part) = self.check_end(id, expected) {
                // Without any reply the server is overloaded; with a part of one, the reply is wrong.
                let failure = if self.table[id.slot].received > 0 {
                    self.note_mismatch(id, part);
                    Failure::WrongBytes
                } else {
                    Failure::ClosedEarly
                };
                self.break_off(id, failure, ends, segment, tx);
                return;
            }
        } else {
            self.keep_learned(id);
        }
        self.partial.remove(&id.slot);
        self.send_flags(id, ACK | FIN, 1, tx);
        self.finish(id);
    }

    /// Makes the reply of a first fetch the expected one.
    pub(super) fn keep_learned(&mut self, id: &ConnectionId) {
        let (learned, expect) = (std::mem::take(&mut self.learned), self.settings.expect.as_deref());
        match Expected::new(learned, expect, self.settings.compare) {
            Ok(expected) => self.requests[id.path].expected = Some(expected),
            Err(reason) => {
                let path = self.requests[id.path].path.clone();
                self.error = Some(RunError::NotComparable { path, reason });
            }
        }
    }

    /// Counts the reply of a connection that has ended with it.
    pub(super) fn finish(&mut self, id: &ConnectionId) {
        let elapsed = self.micros().wrapping_sub(self.table[id.slot].begun);
        self.table[id.slot].phase = Phase::Done;
        if let Some((at, _)) = self.slow_kind(id.slot) {
            self.slow_counts[at].answered += 1;
            return;
        }
        self.waiting -= 1;
        if self.is_main(id.slot) {
            self.counts.answered += 1;
            self.counts.ended += 1;
            self.last_reply = self.now;
            self.latency.record(elapsed);
            self.recent.record(elapsed);
        }
    }

    /// Fails a connection, and resets it.
    pub(super) fn break_off(
        &mut self,
        id: &ConnectionId,
        failure: Failure,
        ends: &Ends,
        segment: &Segment<'_>,
        tx: &mut impl TxQueue,
    ) {
        self.fail(id, failure);
        self.send_reset(ends, segment, tx);
    }

    /// Fails a connection.
    pub(super) fn fail(&mut self, id: &ConnectionId, failure: Failure) {
        let phase = std::mem::replace(&mut self.table[id.slot].phase, Phase::Failed);
        self.partial.remove(&id.slot);
        let is_slow = self.is_slow(id.slot);
        if phase == Phase::SynSent || phase == Phase::Asked && !is_slow {
            self.waiting -= 1;
        }
        if self.is_main(id.slot) {
            self.counts.count_failed(failure);
            self.counts.ended += u64::from(phase != Phase::SynSent);
            self.give_back(id, phase);
        } else if let Some((at, _)) = self.slow_kind(id.slot) {
            self.slow_counts[at].closed += u64::from(phase != Phase::SynSent);
        } else {
            let what = match failure {
                Failure::NoSynAck => "its SYN was not answered",
                Failure::Refused => "its SYN was answered with RST; is that the right port?",
                Failure::NoReply => "its request was not answered",
                Failure::Incomplete => "its reply did not come to an end; the server must close the connection",
                Failure::Reset => "its connection was reset",
                Failure::ClosedEarly | Failure::WrongBytes => "its connection was closed",
            };
            let (path, server) = (self.requests[id.path].path.clone(), self.server(id.ends.source));
            self.error = Some(RunError::FirstFetch { path, server, what });
        }
    }
}

/// Compares status and body of a reply, piece by piece in order.
fn compare_body(
    expected: &Expected,
    connection: &mut Connection,
    partial: &mut HashMap<usize, Partial>,
    slot: usize,
    offset: usize,
    fresh: &[u8],
) -> Result<(), Part> {
    let differs = |at: usize, bytes: &[u8]| expected.difference(at, bytes).map_or(Ok(()), |at| Err(Part::OfBody(at)));
    let known = if connection.body_at == 0 { None } else { offset.checked_sub(connection.body_at.into()) };
    match (known, partial.get_mut(&slot)) {
        (Some(_), Some(Partial::Chunks(chunks, at))) => take_chunks(chunks, at, fresh, differs),
        (Some(at), _) => differs(at, fresh),
        (None, Some(Partial::Head(before))) => {
            before.extend_from_slice(fresh);
            let all = std::mem::take(before);
            partial.remove(&slot);
            begin_body(expected, connection, partial, slot, &all)
        }
        (None, _) => begin_body(expected, connection, partial, slot, fresh),
    }
}

/// Handles the beginning of a reply whose head was incomplete so far.
fn begin_body(
    expected: &Expected,
    connection: &mut Connection,
    partial: &mut HashMap<usize, Partial>,
    slot: usize,
    bytes: &[u8],
) -> Result<(), Part> {
    let differs = |at: usize, bytes: &[u8]| expected.difference(at, bytes).map_or(Ok(()), |at| Err(Part::OfBody(at)));
    let Some(head) = Head::last_of(bytes) else {
        const BEGINNING: &[u8] = b"HTTP/1.";
        let is_http = bytes.iter().zip(BEGINNING).all(|(byte, expected)| byte == expected);
        if !is_http || bytes.len() > HEAD_MAX {
            return Err(Part::Head);
        }
        partial.insert(slot, Partial::Head(bytes.to_vec()));
        return Ok(());
    };
    let (found, expected) = (head.status(), expected.status());
    if found != expected {
        return Err(Part::Status { found, expected });
    }
    connection.body_at = u16::try_from(head.end()).map_err(|_| Part::Head)?;
    let body = &bytes[head.end()..];
    if !head.is_chunked() {
        return differs(0, body);
    }
    let (mut chunks, mut at) = (Chunks::default(), 0);
    let taken = take_chunks(&mut chunks, &mut at, body, differs);
    partial.insert(slot, Partial::Chunks(chunks, at));
    taken
}

fn take_chunks(
    chunks: &mut Chunks,
    at: &mut usize,
    bytes: &[u8],
    differs: impl Fn(usize, &[u8]) -> Result<(), Part>,
) -> Result<(), Part> {
    let mut taken = Ok(());
    chunks.take(bytes, |data| {
        if taken.is_ok() {
            taken = differs(*at, data);
        }
        *at += data.len();
    });
    if chunks.is_bad() { Err(Part::Chunks) } else { taken }
}
