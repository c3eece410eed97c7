//! The sending half of a connection: what is not acknowledged, and when it is sent again.
//!
//! As in Linux: the retransmission timeout is 1 s until a round trip has been measured and never below
//! 0.2 s after (RFC 6298 with Linux's minimum), doubles each time, and only the oldest segment is sent
//! again when it expires, with small ones behind it put together (`tcp_retrans_try_collapse`). Before that,
//! a tail loss probe sends the newest segment again (RFC 8985, section 7).

use std::collections::VecDeque;
use std::time::Duration;

use lethe::time::Instant;
use lethe::wire::seq::SeqNumber;
use lethe::wire::tcp::Flags;

use crate::clock::{after, between};

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
    /// Bytes of payload that a segment may have.
    pub(super) segment: usize,
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
    /// The oldest byte that is not acknowledged.
    una: SeqNumber,
    /// The byte behind all that has been queued.
    next: SeqNumber,
    /// Sent and not acknowledged.
    sent: VecDeque<Piece>,
    /// Not sent, for want of window or because of Nagle.
    waiting: VecDeque<Piece>,
    /// The first byte that the peer does not take any more.
    window_end: SeqNumber,
    round_trip: RoundTrip,
    retransmissions: u32,
    /// What was outstanding when the timer expired is taken for lost, up to here.
    lost_until: Option<SeqNumber>,
    timer: Option<Timer>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Timer {
    /// Time for a tail loss probe.
    Probe(Instant),
    /// Time for a retransmission.
    Retransmission(Instant),
}

/// The estimate of the round trip (RFC 6298, section 2).
#[derive(Clone, Copy, Debug)]
struct RoundTrip {
    /// Smoothed, and its variation.
    estimate: Option<(Duration, Duration)>,
    /// What is being timed: acknowledged up to here, sent then. Nothing that was sent twice (Karn).
    timing: Option<(SeqNumber, Instant)>,
    fallback: Duration,
}

impl Sender {
    /// One that begins with this sequence number.
    pub(super) fn new(isn: SeqNumber, limits: Limits) -> Self {
        Self {
            limits,
            una: isn,
            next: isn,
            sent: VecDeque::new(),
            waiting: VecDeque::new(),
            // Room for the SYN.
            window_end: isn.advance(1),
            round_trip: RoundTrip { estimate: None, timing: None, fallback: INITIAL_TIMEOUT },
            retransmissions: 0,
            lost_until: None,
            timer: None,
        }
    }

    /// The sequence number of a segment that only acknowledges: behind all that has been sent.
    pub(super) fn position(&self) -> SeqNumber {
        self.sent.back().map_or(self.una, Piece::end)
    }

    pub(super) const fn is_acknowledged(&self) -> bool {
        self.una.distance_from(self.next) == 0
    }

    /// Bytes of payload that a segment may have from now on.
    pub(super) const fn limit_segments(&mut self, bytes: usize) {
        self.limits.segment = bytes;
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
        while let Some(piece) = self.waiting.front() {
            // A FIN takes no room at the other end.
            let data_end = piece.seq.advance(piece.payload.len() as u32);
            let is_small = piece.payload.len() < self.limits.segment && !piece.payload.is_empty();
            if data_end.after(self.window_end) || self.limits.nagle && is_small && !self.sent.is_empty() {
                break;
            }
            self.round_trip.timing = self.round_trip.timing.or(Some((piece.end(), now)));
            out.push(piece.clone());
            self.sent.extend(self.waiting.pop_front());
        }
        if !out.is_empty() {
            self.arm(now);
        }
        out
    }

    /// The peer acknowledges `ack` and takes `window` bytes more. `echoed` is how old the timestamp is that
    /// it gives back. Returns what is sent again because it is taken for lost.
    pub(super) fn acknowledge(
        &mut self,
        now: Instant,
        ack: SeqNumber,
        window: u16,
        echoed: Option<Duration>,
    ) -> Option<Piece> {
        let edge = ack.advance(window.into());
        if edge.after(self.window_end) {
            self.window_end = edge;
        }
        if !ack.after(self.una) {
            return None;
        }
        self.una = ack;
        while self.sent.front().is_some_and(|piece| !piece.end().after(ack)) {
            self.sent.pop_front();
        }
        if let Some(piece) = self.sent.front_mut().filter(|piece| piece.seq.before(ack)) {
            let acknowledged = ack.distance_from(piece.seq) as usize;
            piece.payload.drain(..acknowledged.min(piece.payload.len()));
            piece.seq = ack;
        }
        self.round_trip.measure(now, ack, echoed);
        self.retransmissions = 0;
        self.timer = None;
        if !self.sent.is_empty() {
            self.arm(now);
        }
        match self.lost_until {
            Some(until) if ack.before(until) => self.oldest(),
            _ => {
                self.lost_until = None;
                None
            }
        }
    }

    pub(super) const fn deadline(&self) -> Option<Instant> {
        match self.timer {
            Some(Timer::Probe(at) | Timer::Retransmission(at)) => Some(at),
            None => None,
        }
    }

    /// What is sent again because a timer has expired.
    pub(super) fn wake(&mut self, now: Instant) -> Result<Option<Piece>, GaveUp> {
        match self.timer {
            Some(Timer::Probe(at)) if at <= now => {
                self.timer = Some(Timer::Retransmission(after(now, self.timeout())));
                self.round_trip.timing = None;
                Ok(self.sent.back().cloned())
            }
            Some(Timer::Retransmission(at)) if at <= now => self.retransmit(now).map(Some),
            _ => Ok(None),
        }
    }

    fn retransmit(&mut self, now: Instant) -> Result<Piece, GaveUp> {
        let is_syn = self.sent.front().is_some_and(|piece| piece.flags.has(Flags::SYN));
        let limit = if is_syn { self.limits.syn_retries } else { self.limits.retries };
        let gave_up = GaveUp { retransmissions: self.retransmissions };
        if self.retransmissions >= limit {
            self.timer = None;
            return Err(gave_up);
        }
        self.retransmissions += 1;
        self.round_trip.timing = None;
        if is_syn {
            self.round_trip.fallback = FALLBACK_TIMEOUT;
        }
        self.lost_until = Some(self.position());
        // The timeout of a SYN doubles from 1 s; what it falls back to concerns what comes after.
        let timeout = if is_syn { INITIAL_TIMEOUT } else { self.timeout() };
        let timeout = (timeout * 2u32.saturating_pow(self.retransmissions.min(10))).min(TIMEOUT_MAX);
        self.timer = Some(Timer::Retransmission(after(now, timeout)));
        self.oldest().ok_or(gave_up)
    }

    /// The oldest segment that is not acknowledged, with small ones behind it put together.
    fn oldest(&mut self) -> Option<Piece> {
        while self.limits.collapse && self.sent.len() > 1 {
            let fits = self.sent[0].payload.len() + self.sent[1].payload.len() <= self.limits.segment;
            if !fits || self.sent[0].flags.has(Flags::SYN) {
                break;
            }
            let second = self.sent.remove(1)?;
            let first = self.sent.front_mut()?;
            first.payload.extend(second.payload);
            first.flags = first.flags.with(second.flags);
        }
        self.sent.front().cloned()
    }

    fn arm(&mut self, now: Instant) {
        let timeout = self.timeout();
        let is_syn = self.sent.front().is_some_and(|piece| piece.flags.has(Flags::SYN));
        self.timer = Some(match self.round_trip.estimate {
            // PTO is twice the round trip; a single segment may be waiting for a delayed ACK.
            Some((smoothed, _)) if self.limits.tail_loss_probe && self.retransmissions == 0 => {
                let held = if self.sent.len() == 1 { TIMEOUT_MIN } else { Duration::from_millis(2) };
                Timer::Probe(after(now, (2 * smoothed + held).min(timeout)))
            }
            _ if is_syn => Timer::Retransmission(after(now, INITIAL_TIMEOUT)),
            _ => Timer::Retransmission(after(now, timeout)),
        });
    }

    fn timeout(&self) -> Duration {
        let RoundTrip { estimate, fallback, .. } = self.round_trip;
        estimate.map_or(fallback, |(smoothed, variation)| smoothed + (4 * variation).max(TIMEOUT_MIN))
    }
}

impl RoundTrip {
    fn measure(&mut self, now: Instant, ack: SeqNumber, echoed: Option<Duration>) {
        let timed = self.timing.filter(|(end, _)| !ack.before(*end)).map(|(_, at)| between(at, now));
        if timed.is_some() {
            self.timing = None;
        }
        let Some(sample) = timed.or(echoed) else { return };
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
    const LIMITS: Limits =
        Limits { segment: 10, syn_retries: 6, retries: 15, nagle: false, collapse: true, tail_loss_probe: false };

    fn at(millis: u64) -> Instant {
        Instant::from_unix_nanos(millis * 1_000_000)
    }

    /// A sender after a handshake that took `round_trip` milliseconds and ended at that time.
    fn established(limits: Limits, round_trip: u64) -> Sender {
        let mut sender = Sender::new(ISN, limits);
        sender.push(&[], Flags::SYN);
        assert_eq!(sender.transmit(at(0)).len(), 1);
        assert_eq!(sender.acknowledge(at(round_trip), ISN.advance(1), 100, None), None);
        sender
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
    fn a_partial_acknowledgement_has_the_rest_of_what_was_lost_sent_at_once() {
        let limits = Limits { collapse: false, ..LIMITS };
        let mut sender = established(limits, 20);
        sender.push(b"0123456789abcde", Flags::PSH);
        assert_eq!(sender.transmit(at(20)).len(), 2);
        sender.wake(sender.deadline().unwrap()).unwrap();
        let rest = sender.acknowledge(at(300), ISN.advance(1 + 12), 100, None).unwrap();
        assert_eq!((rest.seq, rest.payload.as_slice()), (ISN.advance(13), b"cde".as_slice()));
        assert_eq!(sender.acknowledge(at(320), ISN.advance(1 + 15), 100, None), None);
        assert!(sender.is_acknowledged());
        assert_eq!(sender.deadline(), None);
    }

    #[test]
    fn nothing_is_sent_beyond_the_window_and_nagle_holds_small_writes_back() {
        let mut sender = established(LIMITS, 20);
        sender.push(&[0; 150], Flags::PSH);
        assert_eq!(sender.transmit(at(20)).len(), 10);
        sender.acknowledge(at(40), ISN.advance(1 + 20), 100, None);
        assert_eq!(sender.transmit(at(40)).len(), 2);

        let mut sender = established(Limits { nagle: true, ..LIMITS }, 20);
        sender.push(b"GE", Flags::PSH);
        sender.push(b"T /", Flags::PSH);
        assert_eq!(sender.transmit(at(20)).len(), 1);
        sender.acknowledge(at(40), ISN.advance(1 + 2), 100, None);
        assert_eq!(sender.transmit(at(40)).len(), 1);
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
