//! The sending half of a connection: what is not acknowledged, and when it is sent again.
//!
//! As in Linux: the retransmission timeout is 1 s until a round trip has been measured and never below
//! 0.2 s after (RFC 6298 with Linux's minimum), doubles each time, and only the oldest segment is sent
//! again when it expires, with small ones behind it put together (`tcp_retrans_try_collapse`). Before that,
//! a tail loss probe sends the newest segment again (RFC 8985, section 7).
//!
//! The timer runs for as long as a byte is unacknowledged, and an acknowledgement of a part of a segment
//! neither restarts it nor takes anything from its back-off: only a segment that is acknowledged to its end
//! gives a round trip (`tcp_clean_rtx_queue`, `tcp_ack_update_rtt`). A server that keeps no state may use that
//! to have itself reminded.

mod retransmission;
mod round_trip;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::Duration;

use lethe::time::Instant;
use lethe::wire::seq::SeqNumber;
use lethe::wire::tcp::Flags;

use crate::clock::{after, between};
use round_trip::{FALLBACK_TIMEOUT, INITIAL_TIMEOUT, RoundTrip};

/// A piece of the stream that is sent, or will be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Piece {
    /// Where it stands.
    pub(super) seq: SeqNumber,
    /// SYN, FIN and PSH as they belong to it.
    pub(super) flags: Flags,
    /// Its bytes.
    pub(super) payload: Vec<u8>,
}

impl Piece {
    pub(super) fn end(&self) -> SeqNumber {
        let flags = u32::from(self.flags.has(Flags::SYN)) + u32::from(self.flags.has(Flags::FIN));
        self.seq.advance(self.payload.len() as u32 + flags)
    }

    /// Cuts it behind so many bytes, and returns the rest. What concerns the end goes with the end.
    fn split_off(&mut self, len: usize) -> Self {
        let rest = Self { seq: self.seq.advance(len as u32), flags: self.flags, payload: self.payload.split_off(len) };
        self.flags = Flags::default();
        rest
    }
}

/// What a segment of the peer says about what we have sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heard {
    /// Its sequence number,
    pub(super) seq: SeqNumber,
    /// what it acknowledges,
    pub(super) ack: SeqNumber,
    /// how many bytes more it takes, scaled,
    pub(super) window: u32,
    /// and how old the timestamp is that it gives back.
    pub(super) echoed: Option<Duration>,
}

/// What an acknowledgement number is, seen from what is acknowledged already.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Standing {
    /// It acknowledges something, or the same as the last.
    Current,
    /// It is behind.
    Old,
    /// It is further behind than any window ever reached (RFC 5961, section 5.2).
    TooOld,
}

/// Too many retransmissions without an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct GaveUp {
    /// How many.
    pub(super) retransmissions: u32,
}

/// What there is to limit a sender.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Bytes of payload that a segment may have,
    pub(super) segment: usize,
    /// and that one may have that is sent again, if that is less.
    pub(super) again: Option<usize>,
    /// How often a SYN is sent again.
    pub(super) syn_retries: u32,
    /// How often anything else is.
    pub(super) retries: u32,
    pub(super) nagle: bool,
    pub(super) collapse: bool,
    pub(super) tail_loss_probe: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Sender {
    limits: Limits,
    start: SeqNumber,
    /// The oldest byte that is not acknowledged.
    una: SeqNumber,
    /// The byte behind all that has been queued.
    next: SeqNumber,
    /// Sent and not acknowledged.
    sent: VecDeque<Sent>,
    /// Not sent, for want of window or because of Nagle.
    waiting: VecDeque<Piece>,
    /// How much the peer takes from `una` on, where it said so, and the most that it ever did.
    window: u32,
    window_seq: Option<SeqNumber>,
    window_max: u32,
    round_trip: RoundTrip,
    /// How often the timeout has been doubled since a round trip was measured.
    backoff: u32,
    /// Retransmissions since the peer last acknowledged anything.
    retransmissions: u32,
    /// When the first of them was.
    retransmitting_since: Instant,
    /// What was outstanding when the timer expired is taken for lost, up to here.
    lost_until: Option<SeqNumber>,
    /// A tail loss probe was sent, and nothing up to here acknowledged since.
    probed_until: Option<SeqNumber>,
    timer: Option<Timer>,
}

/// A piece that was sent.
#[derive(Clone, Debug)]
struct Sent {
    piece: Piece,
    /// When it was sent first.
    at: Instant,
    /// It was sent more than once, so an acknowledgement does not tell which of them it is for (Karn).
    is_repeated: bool,
    /// It is taken for lost, and was not sent again since.
    is_lost: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Timer {
    /// Time for a tail loss probe.
    Probe(Instant),
    /// Time for a retransmission.
    Retransmission(Instant),
    /// Time to ask whether there is a window by now.
    Persist(Instant),
}

impl Sender {
    /// One that begins with this sequence number.
    pub(super) fn new(isn: SeqNumber, limits: Limits) -> Self {
        Self {
            limits,
            start: isn,
            una: isn,
            next: isn,
            sent: VecDeque::new(),
            waiting: VecDeque::new(),
            // Room for the SYN.
            window: 1,
            window_seq: None,
            window_max: 1,
            round_trip: RoundTrip { estimate: None, fallback: INITIAL_TIMEOUT },
            backoff: 0,
            retransmissions: 0,
            retransmitting_since: Instant::from_unix_seconds(0),
            lost_until: None,
            probed_until: None,
            timer: None,
        }
    }

    /// Behind all that has been sent.
    pub(super) fn position(&self) -> SeqNumber {
        self.sent.back().map_or(self.una, |sent| sent.piece.end())
    }

    /// The sequence number of a segment that only acknowledges: behind all that has been sent, unless the
    /// window has shrunk meanwhile and ends before (`tcp_acceptable_seq`).
    pub(super) fn acceptable(&self) -> SeqNumber {
        let (edge, position) = (self.window_end(), self.position());
        if edge.before(position) { edge } else { position }
    }

    pub(super) const fn is_acknowledged(&self) -> bool {
        self.una.distance_from(self.next) == 0
    }

    /// Bytes of payload that a segment may have from now on.
    pub(super) const fn limit_segments(&mut self, bytes: usize) {
        self.limits.segment = bytes;
    }

    /// The window that the peer announced last.
    pub(super) const fn window(&self) -> u32 {
        self.window
    }

    /// Where an acknowledgement number stands.
    pub(super) fn standing(&self, ack: SeqNumber) -> Standing {
        if !ack.before(self.una) {
            return Standing::Current;
        }
        let acknowledged = self.una.distance_from(self.start);
        let oldest = self.una.rewind(self.window_max.min(acknowledged));
        if ack.before(oldest) { Standing::TooOld } else { Standing::Old }
    }

    /// Queues a write, cut into segments; the last one carries `flags` too.
    pub(super) fn push(&mut self, payload: &[u8], flags: Flags) {
        let mut pieces: Vec<&[u8]> = payload.chunks(self.limits.segment).collect();
        if pieces.is_empty() {
            pieces.push(&[]);
        }
        let last = pieces.len() - 1;
        for (at, piece) in pieces.into_iter().enumerate() {
            let flags = if at == last { flags } else { Flags::default() };
            let piece = Piece { seq: self.next, flags, payload: piece.to_vec() };
            self.next = piece.end();
            self.waiting.push_back(piece);
        }
    }

    /// What may be sent now.
    pub(super) fn transmit(&mut self, now: Instant) -> Vec<Piece> {
        let mut out = Vec::new();
        // A FIN is not held back, and neither is what is ahead of it (`tcp_send_fin`).
        let holds = self.limits.nagle && !self.waiting.iter().any(|piece| piece.flags.has(Flags::FIN));
        while let Some(piece) = self.waiting.front() {
            let is_small = piece.payload.len() < self.limits.segment && !piece.payload.is_empty();
            if piece.end().after(self.window_end()) {
                break;
            }
            if holds && is_small && !self.sent.is_empty() {
                self.join_waiting();
                break;
            }
            let Some(piece) = self.waiting.pop_front() else { break };
            out.push(piece.clone());
            self.sent.push_back(Sent { piece, at: now, is_repeated: false, is_lost: false });
        }
        if !out.is_empty() {
            self.arm(now);
        } else if self.sent.is_empty() && !self.waiting.is_empty() && self.timer.is_none() {
            self.timer = Some(Timer::Persist(after(now, self.timeout())));
        }
        out
    }

    /// Takes note of what the peer says. Returns what is sent again because it is taken for lost.
    pub(super) fn acknowledge(&mut self, now: Instant, heard: &Heard) -> Option<Piece> {
        let ack = heard.ack;
        if ack.before(self.una) {
            return None;
        }
        self.update_window(heard);
        if matches!(self.timer, Some(Timer::Persist(_))) {
            self.retransmissions = 0;
        }
        if !ack.after(self.una) {
            return None;
        }
        self.una = ack;
        self.retransmissions = 0;
        self.probed_until = self.probed_until.filter(|until| ack.before(*until));
        if !self.forget(now, heard) {
            return None;
        }
        self.timer = None;
        self.lost_until = self.lost_until.filter(|until| ack.before(*until));
        if !self.sent.is_empty() {
            self.arm(now);
        }
        self.lost_until?;
        let lost = self.sent.iter().position(|sent| sent.is_lost)?;
        self.send_again(lost)
    }

    /// Forgets what is acknowledged, and takes a round trip from it if it can. Tells whether a segment was
    /// acknowledged to its end.
    fn forget(&mut self, now: Instant, heard: &Heard) -> bool {
        let (mut is_whole, mut is_repeated, mut is_syn, mut sent_at) = (false, false, false, None);
        while let Some(sent) = self.sent.pop_front_if(|sent| !sent.piece.end().after(heard.ack)) {
            is_whole = true;
            is_repeated |= sent.is_repeated;
            is_syn |= sent.piece.flags.has(Flags::SYN);
            sent_at.get_or_insert(sent.at);
        }
        if let Some(Sent { piece, .. }) = self.sent.front_mut().filter(|sent| sent.piece.seq.before(heard.ack)) {
            let acknowledged = heard.ack.distance_from(piece.seq) as usize;
            piece.payload.drain(..acknowledged.min(piece.payload.len()));
            piece.seq = heard.ack;
        }
        let timed = sent_at.filter(|_| !is_repeated).map(|at| between(at, now));
        match timed.or(heard.echoed.filter(|_| is_whole)) {
            Some(sample) => {
                self.round_trip.measure(sample);
                self.backoff = 0;
            }
            None if is_syn => {
                self.round_trip.fallback = FALLBACK_TIMEOUT;
                self.backoff = 0;
            }
            None => {}
        }
        is_whole
    }

    /// RFC 9293, section 3.10.7.4, as Linux has it (`tcp_may_update_window`): a window may shrink.
    fn update_window(&mut self, heard: &Heard) {
        let is_newer = match self.window_seq {
            None => true,
            Some(seq) => {
                heard.ack.after(self.una)
                    || heard.seq.after(seq)
                    || heard.seq == seq && (heard.window > self.window || heard.window == 0)
            }
        };
        if is_newer {
            self.window = heard.window;
            self.window_seq = Some(heard.seq);
            self.window_max = self.window_max.max(heard.window);
        }
    }

    pub(super) const fn deadline(&self) -> Option<Instant> {
        match self.timer {
            Some(Timer::Probe(at) | Timer::Retransmission(at) | Timer::Persist(at)) => Some(at),
            None => None,
        }
    }

    /// What is held back is put together as it is written (`tcp_sendmsg`).
    fn join_waiting(&mut self) {
        let mut joined: VecDeque<Piece> = VecDeque::new();
        for piece in self.waiting.drain(..) {
            match joined.back_mut() {
                Some(last) if last.payload.len() + piece.payload.len() <= self.limits.segment => {
                    last.payload.extend(piece.payload);
                    last.flags = last.flags.with(piece.flags);
                }
                _ => joined.push_back(piece),
            }
        }
        self.waiting = joined;
    }

    fn window_end(&self) -> SeqNumber {
        self.una.advance(self.window)
    }

    /// The retransmission timeout as it is now.
    fn timeout(&self) -> Duration {
        self.round_trip.timeout(self.backoff)
    }
}
