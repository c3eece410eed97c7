//! Timers of the sending half, and what is sent again when one expires.

use std::time::Duration;

use lethe::time::Instant;
use lethe::wire::seq::SeqNumber;
use lethe::wire::tcp::Flags;

use super::round_trip::{TIMEOUT_MAX, TIMEOUT_MIN};
use super::{GaveUp, Piece, Sender, Sent, Timer};
use crate::clock::{after, before, between};

impl Sender {
    /// What is sent again because a timer has expired.
    pub(in crate::peer::client) fn wake(&mut self, now: Instant) -> Result<Option<Piece>, GaveUp> {
        match self.timer {
            Some(Timer::Probe(at)) if at <= now => {
                self.timer = Some(Timer::Retransmission(after(now, self.timeout())));
                self.probed_until = Some(self.position());
                Ok(self.sent.len().checked_sub(1).and_then(|last| self.send_again(last)))
            }
            Some(Timer::Retransmission(at)) if at <= now => self.retransmit(now),
            Some(Timer::Persist(at)) if at <= now => self.ask_for_window(now).map(Some),
            _ => Ok(None),
        }
    }

    fn retransmit(&mut self, now: Instant) -> Result<Option<Piece>, GaveUp> {
        let is_syn = self.sent.front().is_some_and(|sent| sent.piece.flags.has(Flags::SYN));
        let is_over =
            if is_syn { self.retransmissions >= self.limits.syn_retries } else { self.has_waited_enough(now) };
        self.back_off(now, is_over)?;
        self.lost_until = Some(self.position());
        for sent in &mut self.sent {
            sent.is_lost = true;
        }
        self.timer = Some(Timer::Retransmission(after(now, self.timeout())));
        Ok(self.send_again(0))
    }

    /// What begins at `seq` could not be delivered, a router says. If that was sent again because a timer had expired,
    /// the timer need not have been doubled (RFC 6069; `tcp_ld_RTO_revert`).
    pub(in crate::peer::client) fn revert_back_off(&mut self, now: Instant, seq: SeqNumber) {
        let Some(Timer::Retransmission(at)) = self.timer else { return };
        if seq != self.una || self.retransmissions == 0 || self.backoff == 0 {
            return;
        }
        let doubled = self.timeout();
        self.backoff -= 1;
        let earlier = before(at, doubled.saturating_sub(self.timeout()));
        self.timer = Some(Timer::Retransmission(earlier.max(now)));
    }

    /// Whether it has sent things again for as long as that many retransmissions take, each after twice the time
    /// (`tcp_model_timeout`).
    fn has_waited_enough(&self, now: Instant) -> bool {
        let waits = (0..=self.limits.retries).map(|retry| (TIMEOUT_MIN * 2u32.saturating_pow(retry)).min(TIMEOUT_MAX));
        self.retransmissions > 0 && between(self.retransmitting_since, now) >= waits.sum::<Duration>()
    }

    fn back_off(&mut self, now: Instant, is_over: bool) -> Result<(), GaveUp> {
        if is_over {
            self.timer = None;
            return Err(GaveUp { retransmissions: self.retransmissions });
        }
        if self.retransmissions == 0 {
            self.retransmitting_since = now;
        }
        self.retransmissions += 1;
        self.backoff += 1;
        Ok(())
    }

    /// Nothing is under way and nothing may be sent: an old sequence number makes the peer say what its window
    /// is, and what little fits is sent (RFC 9293, section 3.8.6.1; `tcp_write_wakeup`).
    fn ask_for_window(&mut self, now: Instant) -> Result<Piece, GaveUp> {
        self.back_off(now, self.has_waited_enough(now))?;
        let edge = self.window_end();
        if let Some(piece) = self.waiting.front_mut().filter(|piece| edge.after(piece.seq) && !piece.payload.is_empty())
        {
            let room = edge.distance_from(piece.seq) as usize;
            if room < piece.payload.len() {
                let rest = piece.split_off(room);
                self.waiting.insert(1, rest);
            }
            if let Some(piece) = self.transmit(now).pop() {
                return Ok(piece);
            }
        }
        self.timer = Some(Timer::Persist(after(now, self.timeout())));
        Ok(Piece { seq: self.una.rewind(1), flags: Flags::default(), payload: Vec::new() })
    }

    /// Sends a segment once more (`__tcp_retransmit_skb`): with small ones behind it put together, and no more
    /// of it than fits the window as it is now. If that has closed, the oldest segment asks whether it still is.
    pub(super) fn send_again(&mut self, index: usize) -> Option<Piece> {
        let edge = self.window_end();
        let limit = self.limits.again.unwrap_or(usize::MAX).min(self.limits.segment);
        let Sent { piece, .. } = self.sent.get_mut(index)?;
        let room = if edge.after(piece.seq) {
            edge.distance_from(piece.seq) as usize
        } else if piece.seq == self.una {
            limit
        } else {
            return None;
        };
        let len = limit.min(room);
        if piece.payload.len() > len {
            let rest = piece.split_off(len);
            let rest = Sent { piece: rest, ..self.sent.get(index)?.clone() };
            self.sent.insert(index + 1, rest);
        } else if self.limits.collapse && !piece.flags.has(Flags::SYN) {
            self.collapse(index, limit);
        }
        let sent = self.sent.get_mut(index)?;
        sent.is_repeated = true;
        sent.is_lost = false;
        Some(sent.piece.clone())
    }

    /// Puts segments behind this one into it, as far as they fit.
    fn collapse(&mut self, index: usize, limit: usize) {
        let edge = self.window_end();
        while let Some(second) = self.sent.get(index + 1) {
            let len = self.sent[index].piece.payload.len() + second.piece.payload.len();
            if len > limit || second.piece.end().after(edge) {
                break;
            }
            let Some(Sent { piece: second, .. }) = self.sent.remove(index + 1) else { break };
            let first = &mut self.sent[index].piece;
            first.payload.extend(second.payload);
            first.flags = first.flags.with(second.flags);
        }
    }

    /// Starts the timer: for a tail loss probe where one may be sent, and else for a retransmission.
    pub(super) fn arm(&mut self, now: Instant) {
        let timeout = self.timeout();
        let may_probe = self.limits.tail_loss_probe && self.lost_until.is_none() && self.probed_until.is_none();
        self.timer = Some(match self.round_trip.estimate {
            // PTO is twice the round trip; a single segment may be waiting for a delayed ACK.
            Some((smoothed, _)) if may_probe => {
                let held = if self.sent.len() == 1 { TIMEOUT_MIN } else { Duration::from_millis(2) };
                Timer::Probe(after(now, (2 * smoothed + held).min(timeout)))
            }
            _ => Timer::Retransmission(after(now, timeout)),
        });
    }
}
