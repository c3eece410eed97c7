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

use std::collections::VecDeque;
use std::time::Duration;

use lethe::time::Instant;
use lethe::wire::seq::SeqNumber;
use lethe::wire::tcp::Flags;

use crate::clock::{after, before, between};

const INITIAL_TIMEOUT: Duration = Duration::from_secs(1);
/// `TCP_TIMEOUT_FALLBACK`: after a SYN that had to be repeated and so could not be timed.
const FALLBACK_TIMEOUT: Duration = Duration::from_secs(3);
const TIMEOUT_MIN: Duration = Duration::from_millis(200);
const TIMEOUT_MAX: Duration = Duration::from_mins(2);

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
    /// It was sent more than once, so nobody knows which of them an acknowledgement is for (Karn).
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

/// The estimate of the round trip (RFC 6298, section 2).
#[derive(Clone, Copy, Debug)]
struct RoundTrip {
    /// Smoothed, and its variation.
    estimate: Option<(Duration, Duration)>,
    fallback: Duration,
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

    /// What is sent again because a timer has expired.
    pub(super) fn wake(&mut self, now: Instant) -> Result<Option<Piece>, GaveUp> {
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
    pub(super) fn revert_back_off(&mut self, now: Instant, seq: SeqNumber) {
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
    fn send_again(&mut self, index: usize) -> Option<Piece> {
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

    fn arm(&mut self, now: Instant) {
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

    fn window_end(&self) -> SeqNumber {
        self.una.advance(self.window)
    }

    /// The timeout, doubled as often as it has to be.
    fn timeout(&self) -> Duration {
        let RoundTrip { estimate, fallback, .. } = self.round_trip;
        let once = estimate.map_or(fallback, |(smoothed, variation)| smoothed + (4 * variation).max(TIMEOUT_MIN));
        (once * 2u32.saturating_pow(self.backoff.min(10))).min(TIMEOUT_MAX)
    }
}

impl RoundTrip {
    fn measure(&mut self, sample: Duration) {
        self.estimate = Some(match self.estimate {
            None => (sample, sample / 2),
            Some((smoothed, variation)) => {
                ((smoothed * 7 + sample) / 8, (variation * 3 + smoothed.abs_diff(sample)) / 4)
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ISN: SeqNumber = SeqNumber::new(1000);
    const LIMITS: Limits = Limits {
        segment: 10,
        again: None,
        syn_retries: 6,
        retries: 15,
        nagle: false,
        collapse: true,
        tail_loss_probe: false,
    };

    fn at(millis: u64) -> Instant {
        Instant::from_unix_nanos(millis * 1_000_000)
    }

    /// A sender after a handshake that took `round_trip` milliseconds and ended at that time.
    fn established(limits: Limits, round_trip: u64) -> Sender {
        let mut sender = Sender::new(ISN, limits);
        sender.push(&[], Flags::SYN);
        assert_eq!(sender.transmit(at(0)).len(), 1);
        assert_eq!(acknowledge(&mut sender, round_trip, 0, None), None);
        sender
    }

    /// The peer acknowledges so many bytes of the stream and takes 100 more.
    fn acknowledge(sender: &mut Sender, millis: u64, offset: u32, echoed: Option<u64>) -> Option<Piece> {
        acknowledge_with(sender, millis, offset, 100, echoed)
    }

    fn acknowledge_with(
        sender: &mut Sender,
        millis: u64,
        offset: u32,
        window: u32,
        echoed: Option<u64>,
    ) -> Option<Piece> {
        let echoed = echoed.map(Duration::from_millis);
        let heard = Heard { seq: SeqNumber::new(millis as u32), ack: ISN.advance(1 + offset), window, echoed };
        sender.acknowledge(at(millis), &heard)
    }

    /// What is sent when the timer expires: when, from which byte on, and what.
    fn expire(sender: &mut Sender) -> (u64, u32, String) {
        let deadline = sender.deadline().unwrap();
        let piece = sender.wake(deadline).unwrap().unwrap();
        let text = String::from_utf8(piece.payload).unwrap();
        (deadline.as_unix_nanos() / 1_000_000, piece.seq.distance_from(ISN.advance(1)), text)
    }

    fn retransmissions(sender: &mut Sender, count: usize) -> Vec<u64> {
        let next = |_| {
            let deadline = sender.deadline().unwrap();
            sender.wake(deadline).unwrap().unwrap();
            deadline.as_unix_nanos() / 1_000_000
        };
        (0..count).map(next).collect()
    }

    #[test]
    fn a_syn_is_repeated_after_1_s_and_then_twice_as_long_each_time() {
        let mut sender = Sender::new(ISN, LIMITS);
        sender.push(&[], Flags::SYN);
        sender.transmit(at(0));
        assert_eq!(retransmissions(&mut sender, 6), [1000, 3000, 7000, 15_000, 31_000, 63_000]);
        let deadline = sender.deadline().unwrap();
        assert_eq!(sender.wake(deadline), Err(GaveUp { retransmissions: 6 }));
    }

    #[test]
    fn data_is_repeated_after_the_measured_round_trip_and_at_least_200_ms() {
        let mut sender = established(LIMITS, 20);
        sender.push(b"request", Flags::PSH);
        assert_eq!(sender.transmit(at(20)).len(), 1);
        // 20 ms smoothed and 40 ms of variation, which is below the minimum.
        assert_eq!(retransmissions(&mut sender, 3), [240, 680, 1560]);
    }

    #[test]
    fn small_segments_are_put_together_when_they_are_sent_again() {
        let mut sender = established(LIMITS, 20);
        for piece in ["GET ", "/ HT", "TP"] {
            sender.push(piece.as_bytes(), Flags::PSH);
        }
        sender.push(&[], Flags::FIN);
        assert_eq!(sender.transmit(at(20)).len(), 4);
        let again = sender.wake(sender.deadline().unwrap()).unwrap().unwrap();
        assert_eq!(again.payload, b"GET / HTTP");
        assert_eq!(again.flags, Flags::PSH.with(Flags::FIN));
    }

    #[test]
    fn what_was_lost_with_the_oldest_segment_is_sent_as_soon_as_that_is_acknowledged() {
        let limits = Limits { collapse: false, ..LIMITS };
        let mut sender = established(limits, 20);
        sender.push(b"0123456789abcde", Flags::PSH);
        assert_eq!(sender.transmit(at(20)).len(), 2);
        sender.wake(sender.deadline().unwrap()).unwrap();
        assert_eq!(acknowledge(&mut sender, 290, 5, None), None, "the oldest has been sent again already");
        let rest = acknowledge(&mut sender, 300, 12, None).unwrap();
        assert_eq!((rest.seq, rest.payload.as_slice()), (ISN.advance(13), b"cde".as_slice()));
        assert_eq!(acknowledge(&mut sender, 320, 15, None), None);
        assert!(sender.is_acknowledged());
        assert_eq!(sender.deadline(), None);
    }

    #[test]
    fn a_part_of_a_segment_gives_no_round_trip_and_keeps_timer_and_back_off() {
        for echoed in [None, Some(1)] {
            let mut sender = established(LIMITS, 20);
            sender.push(b"request", Flags::PSH);
            sender.transmit(at(20));
            assert_eq!(retransmissions(&mut sender, 2), [240, 680]);
            assert_eq!(acknowledge(&mut sender, 700, 6, echoed), None);
            // From what is not acknowledged on, when it was due anyway; then twice as long again.
            assert_eq!(expire(&mut sender), (1560, 6, "t".to_owned()));
            assert_eq!(expire(&mut sender), (3320, 6, "t".to_owned()));
        }
    }

    #[test]
    fn the_back_off_is_taken_back_when_icmp_tells_of_what_was_sent_again() {
        let mut sender = established(LIMITS, 20);
        sender.push(b"request", Flags::PSH);
        sender.transmit(at(20));
        sender.revert_back_off(at(30), ISN.advance(1));
        assert_eq!(retransmissions(&mut sender, 2), [240, 680], "nothing had been sent again before");
        sender.revert_back_off(at(690), ISN.advance(2));
        assert_eq!(sender.deadline(), Some(at(1560)), "this was about something else");
        sender.revert_back_off(at(700), ISN.advance(1));
        assert_eq!(sender.deadline(), Some(at(1120)));
        sender.revert_back_off(at(1000), ISN.advance(1));
        assert_eq!(sender.deadline(), Some(at(1000)), "it would have expired already");
        sender.revert_back_off(at(1000), ISN.advance(1));
        assert_eq!(retransmissions(&mut sender, 2), [1000, 1440], "once not doubled is as short as it gets");
    }

    #[test]
    fn the_back_off_ends_with_a_round_trip_and_the_count_with_any_progress() {
        let mut sender = established(Limits { collapse: false, retries: 3, ..LIMITS }, 20);
        sender.push(b"0123456789abcde", Flags::PSH);
        sender.transmit(at(20));
        assert_eq!(retransmissions(&mut sender, 3), [240, 680, 1560]);
        // Without timestamps nobody knows which of the two this is for: 1.76 s go on doubling.
        acknowledge(&mut sender, 1600, 10, None);
        assert_eq!(sender.deadline(), Some(at(1600 + 1760)));
        assert_eq!(retransmissions(&mut sender, 1), [3360], "the count begins anew");
        let mut sender = established(LIMITS, 20);
        sender.push(b"0123456789abcde", Flags::PSH);
        sender.transmit(at(20));
        assert_eq!(retransmissions(&mut sender, 3), [240, 680, 1560]);
        // With them it is known. 22.5 ms smoothed, 12.5 ms of variation: below the minimum.
        acknowledge(&mut sender, 1600, 10, Some(40));
        assert_eq!(sender.deadline(), Some(at(1600)).map(|now| after(now, Duration::from_micros(222_500))));
    }

    #[test]
    fn retransmissions_are_cut_to_what_the_path_takes_by_now() {
        let mut sender = established(Limits { again: Some(4), ..LIMITS }, 20);
        sender.push(b"0123456789", Flags::PSH);
        assert_eq!(sender.transmit(at(20)).len(), 1);
        assert_eq!(expire(&mut sender), (240, 0, "0123".to_owned()));
        let rest = acknowledge(&mut sender, 250, 4, None).unwrap();
        assert_eq!((rest.payload.as_slice(), rest.flags), (b"4567".as_slice(), Flags::default()));
        let rest = acknowledge(&mut sender, 260, 8, None).unwrap();
        assert_eq!((rest.payload.as_slice(), rest.flags), (b"89".as_slice(), Flags::PSH));
    }

    #[test]
    fn only_what_fits_a_window_that_shrank_is_sent_again_and_acknowledgements_stay_in_it() {
        let mut sender = established(LIMITS, 20);
        sender.push(b"request", Flags::PSH);
        sender.transmit(at(20));
        assert_eq!(sender.acceptable(), ISN.advance(8));
        acknowledge_with(&mut sender, 40, 0, 1, None);
        assert_eq!(sender.acceptable(), ISN.advance(2));
        assert_eq!(expire(&mut sender), (240, 0, "r".to_owned()));
        acknowledge_with(&mut sender, 250, 0, 0, None);
        assert_eq!(sender.acceptable(), ISN.advance(1));
        assert_eq!(expire(&mut sender).2, "r", "a closed window is asked after");
        acknowledge_with(&mut sender, 2000, 6, 1, None);
        assert_eq!(sender.acceptable(), ISN.advance(8));
    }

    #[test]
    fn a_window_that_is_closed_before_anything_is_sent_is_asked_after() {
        let mut sender = established(LIMITS, 20);
        acknowledge_with(&mut sender, 30, 0, 0, None);
        sender.push(b"request", Flags::PSH);
        assert_eq!(sender.transmit(at(30)).len(), 0);
        let probe = sender.wake(sender.deadline().unwrap()).unwrap().unwrap();
        assert_eq!((probe.seq, probe.payload.len()), (ISN, 0));
        acknowledge_with(&mut sender, 300, 0, 3, None);
        assert_eq!(sender.transmit(at(300)).len(), 0);
        assert_eq!(expire(&mut sender).2, "req");
    }

    #[test]
    fn an_old_acknowledgement_is_one_within_a_window_of_the_last() {
        let mut sender = established(LIMITS, 20);
        sender.push(&[0; 150], Flags::PSH);
        sender.transmit(at(20));
        acknowledge(&mut sender, 40, 100, None);
        sender.transmit(at(40));
        acknowledge(&mut sender, 60, 150, None);
        assert_eq!(sender.standing(ISN.advance(151)), Standing::Current);
        assert_eq!(sender.standing(ISN.advance(51)), Standing::Old);
        assert_eq!(sender.standing(ISN.advance(50)), Standing::TooOld);
    }

    #[test]
    fn nothing_is_sent_beyond_the_window_and_nagle_holds_small_writes_back() {
        let mut sender = established(LIMITS, 20);
        sender.push(&[0; 150], Flags::PSH);
        assert_eq!(sender.transmit(at(20)).len(), 10);
        acknowledge(&mut sender, 40, 20, None);
        assert_eq!(sender.transmit(at(40)).len(), 2);

        let mut sender = established(Limits { nagle: true, ..LIMITS }, 20);
        sender.push(b"GE", Flags::PSH);
        sender.push(b"T /", Flags::PSH);
        assert_eq!(sender.transmit(at(20)).len(), 1);
        acknowledge(&mut sender, 40, 2, None);
        assert_eq!(sender.transmit(at(40)).len(), 1);
    }

    #[test]
    fn what_nagle_holds_back_is_put_together_and_goes_with_a_fin() {
        let mut sender = established(Limits { nagle: true, ..LIMITS }, 20);
        sender.push(b"GE", Flags::PSH);
        assert_eq!(sender.transmit(at(20)).len(), 1);
        for text in [b"T ", b"/ ", b"HT"] {
            sender.push(text, Flags::PSH);
            assert_eq!(sender.transmit(at(21)).len(), 0);
        }
        acknowledge(&mut sender, 40, 2, None);
        assert_eq!(sender.transmit(at(40))[0].payload, b"T / HT");
        sender.push(b"TP", Flags::PSH);
        assert_eq!(sender.transmit(at(41)).len(), 0);
        sender.push(b"", Flags::FIN);
        let rest: Vec<u8> = sender.transmit(at(42)).into_iter().flat_map(|piece| piece.payload).collect();
        assert_eq!(rest, b"TP");
    }

    #[test]
    fn a_tail_loss_probe_sends_the_newest_segment_before_the_timer_expires() {
        let limits = Limits { tail_loss_probe: true, collapse: false, ..LIMITS };
        let mut sender = established(limits, 20);
        sender.push(b"0123456789abcde", Flags::PSH);
        sender.transmit(at(20));
        assert_eq!(sender.deadline(), Some(at(62)));
        assert_eq!(sender.wake(at(62)).unwrap().unwrap().payload, b"abcde");
        let deadline = sender.deadline().unwrap();
        assert_eq!(sender.wake(deadline).unwrap().unwrap().payload, b"0123456789");
    }
}
