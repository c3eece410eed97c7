//! Connections that stay open: one request after the other, and what follows a reply.

use lethe::port::TxQueue;

use super::{ConnectionId, Generator, Partial, Stage};
use crate::connection::Phase;
use crate::counts::Failure;
use crate::expected::Expected;
use crate::http::{Chunks, Head};
use crate::kept::Kept;
use crate::settings::{Compare, KeepAlive, Plan};
use crate::wire::{ACK, Ends, FIN, Segment};

impl Generator {
    fn kept(&self, slot: usize) -> Option<&Kept> {
        self.kept.get(slot.checked_sub(self.extras)?)
    }

    /// The requests that are sent together.
    pub(super) fn pipeline(&self) -> u32 {
        self.settings.keep_alive.map_or(1, |keep| keep.pipeline)
    }

    /// Whether the connection in a slot has had a reply, and may have more.
    pub(super) fn is_used(&self, slot: usize) -> bool {
        self.kept(slot).is_some_and(|kept| kept.here() > 0)
    }

    /// Whether the connection in a slot has had a reply, and has no request under way.
    pub(super) fn is_idle(&self, slot: usize) -> bool {
        self.is_used(slot) && self.table[slot].phase == Phase::Open
    }

    /// Whether all requests of the connection in a slot were answered.
    pub(super) fn is_between(&self, slot: usize) -> bool {
        self.is_used(slot) && self.kept(slot).is_some_and(|kept| self.is_boundary(slot, kept))
    }

    fn is_boundary(&self, slot: usize, kept: &Kept) -> bool {
        kept.here().is_multiple_of(self.pipeline()) || self.limit(slot) == Some(kept.here())
    }

    /// The most requests on the present connection of a slot. Connections that are all opened first have their number
    /// together with those before them in the slot.
    pub(super) fn limit(&self, slot: usize) -> Option<u32> {
        let most = self.settings.keep_alive?.requests?;
        let earlier = if self.opens_first() { self.kept(slot)?.earlier } else { 0 };
        Some(most - earlier)
    }

    /// Whether the client in a slot has had all its replies.
    pub(super) fn is_finished(&self, slot: usize) -> bool {
        self.kept(slot).is_none_or(|kept| self.limit(slot).is_some_and(|most| kept.here() >= most))
    }

    /// Whether no request is under way, and none waits for a connection.
    pub(super) fn is_quiet(&self) -> bool {
        self.waiting == 0 && self.again.is_empty()
    }

    /// Whether each reply is followed by the next request at once. Otherwise all connections have their turn first.
    fn goes_on(&self) -> bool {
        let Some(keep) = self.settings.keep_alive else { return false };
        self.opens_first() && keep.think.is_zero() && self.room() <= u64::from(self.settings.window)
    }

    fn is_time_up(&self) -> bool {
        match (self.settings.keep_alive, self.settings.plan) {
            (Some(KeepAlive { requests: None, .. }), Plan::Open { hold, .. }) => {
                u128::from(self.now - self.first_lap) >= hold.as_micros()
            }
            _ => false,
        }
    }

    /// Whether all connections have another turn.
    pub(super) fn has_more_laps(&self) -> bool {
        !self.is_time_up()
            && (self.extras..self.table.len())
                .any(|slot| matches!(self.table[slot].phase, Phase::Open | Phase::Done) && !self.is_finished(slot))
    }

    /// Sends requests that were due at `at` µs on an idle connection, or begins a new one for them. Returns whether
    /// there was room.
    pub(super) fn ask_or_begin(&mut self, at: u64, tx: &mut impl TxQueue) -> bool {
        while let Some(slot) = self.idle.pop_front().map(|slot| slot as usize) {
            // It may have been closed meanwhile, and even opened again.
            if self.is_idle(slot)
                && let Some(id) = self.connection_id(slot)
            {
                self.ask(&id, at, tx);
                self.begun += 1;
                return true;
            }
        }
        for _ in 0..self.room() {
            let slot = self.extras + self.cursor % self.room() as usize;
            self.cursor = (self.cursor + 1) % self.room() as usize;
            if matches!(self.table[slot].phase, Phase::SynSent | Phase::Asked) && self.is_timed_out(slot) {
                self.give_up(slot);
            }
            if matches!(self.table[slot].phase, Phase::Free | Phase::Done | Phase::Failed) {
                let is_begun = self.begin(slot, self.following(slot), at, tx);
                self.begun += u64::from(is_begun);
                return is_begun;
            }
        }
        false
    }

    /// The number of the next connection in a slot, among all main ones.
    fn following(&self, slot: usize) -> u64 {
        let rounds = self.kept(slot).map_or(0, |kept| kept.rounds);
        (slot - self.extras) as u64 + u64::from(rounds) * self.room()
    }

    /// Begins the connections of requests whose connection ended before their reply. Returns the number of frames sent.
    pub(super) fn ask_again(&mut self, tx: &mut impl TxQueue) -> usize {
        let mut sent = 0;
        while let Some(slot) = self.again.pop_front().map(|slot| slot as usize) {
            // In µs since the start again; the low 32 bits were stored.
            let at = self.now - u64::from(self.micros().wrapping_sub(self.table[slot].begun));
            if !self.begin(slot, self.following(slot), at, tx) {
                self.again.push_front(slot as u32);
                break;
            }
            sent += 1;
        }
        sent
    }

    /// Handles new bytes of replies on a connection that is to stay open, and the FIN behind them.
    pub(super) fn handle_kept_reply(
        &mut self,
        id: &ConnectionId,
        ends: &Ends,
        segment: &Segment<'_>,
        mut fresh: &[u8],
        tx: &mut impl TxQueue,
    ) {
        let mut id = *id;
        while !fresh.is_empty() && self.table[id.slot].phase == Phase::Asked {
            let (bytes, rest) = fresh.split_at(self.extent(&id, fresh));
            let connection = &mut self.table[id.slot];
            let offset = connection.received as usize;
            connection.received += bytes.len() as u32;
            connection.sent_first((self.now / 1000) as u16);
            if let Err(part) = self.compare(&id, offset, bytes) {
                self.note_mismatch(&id, part);
                self.break_off(&id, Failure::WrongBytes, ends, segment, tx);
                return;
            }
            fresh = rest;
            if !self.is_complete(&id) {
                break;
            }
            if !self.is_main(id.slot) {
                self.end_single(&id, segment, tx);
                return;
            }
            self.count_reply(&id);
            let Some(next) = self.connection_id(id.slot) else { return };
            id = next;
        }
        if !fresh.is_empty() {
            // More than was asked for.
            self.note_mismatch(&id, super::Part::Head);
            self.break_off(&id, Failure::WrongBytes, ends, segment, tx);
        } else if segment.has(FIN) {
            self.end_kept(&id, ends, segment, tx);
        } else if self.table[id.slot].phase == Phase::Open {
            self.follow(&id, tx);
        } else if !segment.payload.is_empty() {
            self.send_flags(&id, ACK, 0, tx);
        }
    }

    /// How many of the next bytes belong to the present reply, as far as is known.
    fn extent(&self, id: &ConnectionId, fresh: &[u8]) -> usize {
        let connection = &self.table[id.slot];
        let received = connection.received as usize;
        let Some(expected) = &self.requests[id.path].expected else { return fresh.len() };
        let until = |end: usize| end.saturating_sub(received).min(fresh.len());
        match (expected.compare(), self.partial.get(&id.slot)) {
            (Compare::All, _) => until(expected.len()),
            (Compare::Body, Some(Partial::Chunks(chunks, _))) => chunks.end_in(fresh).unwrap_or(fresh.len()),
            (Compare::Body, _) if connection.body_at > 0 => until(usize::from(connection.body_at) + expected.len()),
            (Compare::Body, partial) => {
                let whole;
                let bytes = match partial {
                    Some(Partial::Head(before)) => {
                        whole = [before, fresh].concat();
                        whole.as_slice()
                    }
                    _ => fresh,
                };
                let Some(head) = Head::last_of(bytes) else { return fresh.len() };
                let body = &bytes[head.end()..];
                if head.is_chunked() {
                    until(head.end() + Chunks::default().end_in(body).unwrap_or(body.len()))
                } else {
                    until(head.end() + expected.len())
                }
            }
        }
    }

    /// Whether the present reply is complete without a FIN.
    fn is_complete(&self, id: &ConnectionId) -> bool {
        match &self.requests[id.path].expected {
            Some(expected) => self.check_end(id, expected).is_ok(),
            None => Expected::ends(&self.learned),
        }
    }

    /// Ends the connection of a slow client or of a first fetch, after its reply.
    fn end_single(&mut self, id: &ConnectionId, segment: &Segment<'_>, tx: &mut impl TxQueue) {
        if self.requests[id.path].expected.is_none() {
            self.keep_learned(id);
        }
        self.partial.remove(&id.slot);
        self.send_flags(id, ACK | FIN, segment.has(FIN).into(), tx);
        self.finish(id);
    }

    /// Counts a reply, and turns to the next one.
    fn count_reply(&mut self, id: &ConnectionId) {
        let connection = &mut self.table[id.slot];
        let elapsed = (self.now as u32).wrapping_sub(connection.begun);
        connection.server_isn = connection.server_isn.wrapping_add(connection.received);
        (connection.received, connection.body_at) = (0, 0);
        self.partial.remove(&id.slot);
        self.kept[id.slot - self.extras].answered += 1;
        self.counts.answered += 1;
        self.last_reply = self.now;
        self.latency.record(elapsed);
        self.recent.record(elapsed);
        if self.is_between(id.slot) {
            self.table[id.slot].phase = Phase::Open;
            self.table[id.slot].acknowledged = 0;
            self.waiting -= 1;
        }
    }

    /// Does what follows the last reply: the next request, a FIN, or nothing yet.
    fn follow(&mut self, id: &ConnectionId, tx: &mut impl TxQueue) {
        if self.is_finished(id.slot) {
            self.table[id.slot].phase = Phase::Done;
            self.counts.ended += 1;
            self.send_flags(id, ACK | FIN, 0, tx);
        } else if self.goes_on() && self.stage == Stage::Fetching && !self.is_time_up() {
            self.ask(id, self.now, tx);
        } else {
            self.send_flags(id, ACK, 0, tx);
            if !self.opens_first() {
                self.idle.push_back(id.slot as u32);
            }
        }
    }

    /// Handles the FIN of the server on a connection that was to stay open.
    fn end_kept(&mut self, id: &ConnectionId, ends: &Ends, segment: &Segment<'_>, tx: &mut impl TxQueue) {
        let mut id = *id;
        if self.table[id.slot].received > 0 || !self.is_main(id.slot) {
            // A reply may end with the connection.
            let checked =
                self.requests[id.path].expected.as_ref().map_or(Ok(()), |expected| self.check_end(&id, expected));
            if let Err(part) = checked {
                self.note_mismatch(&id, part);
                self.break_off(&id, Failure::WrongBytes, ends, segment, tx);
                return;
            }
            if !self.is_main(id.slot) {
                self.end_single(&id, segment, tx);
                return;
            }
            self.count_reply(&id);
            let Some(next) = self.connection_id(id.slot) else { return };
            id = next;
        }
        if !self.is_used(id.slot) {
            self.break_off(&id, Failure::ClosedEarly, ends, segment, tx);
            return;
        }
        self.send_flags(&id, ACK | FIN, 1, tx);
        let is_cut = self.table[id.slot].phase == Phase::Asked;
        if is_cut {
            self.waiting -= 1;
            self.counts.cut += self.outstanding(&id);
        }
        self.end_idle(&id);
        let goes_on = self.goes_on() && self.stage == Stage::Fetching && !self.is_time_up();
        if is_cut || goes_on && !self.is_finished(id.slot) {
            if !is_cut {
                self.table[id.slot].begun = self.micros();
            }
            self.again.push_back(id.slot as u32);
        }
    }

    /// Requests under way on a connection.
    fn outstanding(&self, id: &ConnectionId) -> u64 {
        let here = self.kept(id.slot).map_or(0, Kept::here);
        id.count as u64 - u64::from(here % self.pipeline())
    }

    /// Records that the server has closed an idle connection.
    pub(super) fn end_idle(&mut self, id: &ConnectionId) {
        self.table[id.slot].phase = Phase::Done;
        self.counts.ended += 1;
        self.counts.closed += 1;
    }

    /// Requests that were under way on a connection that has failed: one of them is the failure, the others are counted
    /// as cut.
    pub(super) fn give_back(&mut self, id: &ConnectionId, phase: Phase) {
        if phase == Phase::Asked && !self.kept.is_empty() {
            self.counts.cut += self.outstanding(id).saturating_sub(1);
        }
    }
}
