//! Retransmission and timeouts.
//!
//! There is no queue of timers: the table is scanned, a part of it in every turn. That takes no memory, and 1 or 2 ns
//! for each connection.

use lethe::port::TxQueue;

use super::send::send;
use super::{Generator, Stage};
use crate::connection::Phase;
use crate::counts::Failure;
use crate::settings::Slow;

/// The period of a scan of the whole table: at least so many µs, and so many for each connection. Ten million take half
/// a second.
const ROUND_MIN: u64 = 20_000;
const ROUND_EACH_NANOS: u64 = 50;

/// The most connections that are scanned in a turn, so that received frames do not wait.
const STEP_MAX: u64 = 100_000;

/// The most retransmissions in a turn.
const AGAIN_MAX: usize = 64;

impl Generator {
    /// Scans the connections that are due. Returns the number of frames sent.
    pub(super) fn run_timers(&mut self, tx: &mut impl TxQueue) -> usize {
        let len = self.table.len() as u64;
        let round = ROUND_MIN.max(len * ROUND_EACH_NANOS / 1000);
        let step = (len * (self.now - self.scanned) / round).min(len).min(STEP_MAX);
        if step == 0 {
            return 0;
        }
        self.scanned = self.now;
        if self.waiting == 0 && self.slow == 0 {
            return 0;
        }
        let mut sent = 0;
        for _ in 0..step {
            let slot = self.scan_at;
            self.scan_at = if slot + 1 == self.table.len() { 0 } else { slot + 1 };
            if matches!(self.table[slot].phase, Phase::SynSent | Phase::Asked) {
                sent += usize::from(self.look_at(slot, tx));
            }
            if sent == AGAIN_MAX {
                break;
            }
        }
        sent
    }

    /// Checks the timers of a connection: it times out, or retransmits. Returns whether a frame was sent.
    fn look_at(&mut self, slot: usize, tx: &mut impl TxQueue) -> bool {
        let Some(id) = self.connection_id(slot) else { return false };
        let connection = self.table[slot];
        let millis = (self.now / 1000) as u16;
        let habit = self.slow_kind(slot).map(|(_, kind)| kind);
        let is_open_slow = habit.is_some() && connection.phase == Phase::Asked;
        if !is_open_slow && self.is_timed_out(slot) {
            self.give_up(slot);
            return false;
        }
        if habit == Some(Slow::Drip)
            && connection.phase == Phase::Asked
            && self.offered(&id) < self.ring.batch(id.first, id.count).len()
        {
            // The next byte, with all unacknowledged ones before it.
            let is_due = u32::from(millis.wrapping_sub(connection.sent)) >= 1000;
            return is_due && self.send_request(&id, tx) && {
                self.table[slot].sent_first(millis);
                true
            };
        }
        if !connection.is_overdue(millis) {
            return false;
        }
        let is_acknowledged = usize::from(connection.acknowledged) == self.ring.batch(id.first, id.count).len();
        let sent = match connection.phase {
            Phase::SynSent => self.send_syn(&id, tx),
            // The request is acknowledged, so retransmission is up to the server.
            _ if is_acknowledged => return false,
            _ => self.send_request(&id, tx),
        };
        if sent {
            self.counts.sent_again += 1;
            self.table[slot].sent_again(millis);
        }
        sent
    }

    pub(super) fn is_timed_out(&self, slot: usize) -> bool {
        let elapsed = self.micros().wrapping_sub(self.table[slot].begun);
        u128::from(elapsed) >= self.settings.timeout.as_micros()
    }

    /// Fails a connection by timeout.
    pub(super) fn give_up(&mut self, slot: usize) {
        let Some(id) = self.connection_id(slot) else { return };
        let connection = self.table[slot];
        let failure = match connection.phase {
            Phase::SynSent => Failure::NoSynAck,
            Phase::Asked if connection.received == 0 => Failure::NoReply,
            Phase::Asked => Failure::Incomplete,
            _ => return,
        };
        self.fail(&id, failure);
    }

    /// Sends the frames of floods that are due. Returns their number.
    pub(super) fn flood(&mut self, tx: &mut impl TxQueue) -> usize {
        if !(Stage::Running..Stage::Over).contains(&self.stage) {
            return 0;
        }
        let mut sent = 0;
        for at in 0..self.floods.len() {
            for _ in 0..self.floods[at].due(self.now) {
                let source = self.floods[at].next_source();
                let server = self.server(source.0);
                let Some(link) = self.neighbors.link(source.0.is_ipv4()) else { break };
                let stream = &self.floods[at];
                // Frames of floods have a counter of their own, and a full queue is expected.
                let mut apart = crate::Counts::default();
                if !send(&mut apart, tx, |buffer| Some(stream.emit(buffer, link, source, server))) {
                    break;
                }
                self.floods[at].count_sent();
                self.counts.flood_frames += 1;
                sent += 1;
            }
        }
        sent
    }
}
