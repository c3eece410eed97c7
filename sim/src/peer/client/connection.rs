//! One connection of a client, from SYN to the acknowledgement of its FIN.

use std::time::Duration;

use lethe::time::Instant;
use lethe::wire::seq::SeqNumber;
use lethe::wire::tcp::Flags;

use super::reader::Reader;
use super::receiver::{Arrival, Receiver};
use super::rules::{self, Facts};
use super::sender::{Heard, Limits, Piece, Sender, Standing};
use super::{Close, Errand, OLD_ISN, Outbox, Outcome, Settings};
use crate::clock::after;
use crate::dissect::Tcp;
use crate::frame::Segment;

/// The furthest that a window is scaled (RFC 7323, section 2.3).
pub(crate) const SCALE_MAX: u8 = 14;

/// What the timestamps option takes in each segment, aligned.
pub(crate) const TIMESTAMPS_LEN: usize = 12;

/// SACK blocks that fit the options next to timestamps; one more fits without.
const SACK_BLOCKS: usize = 3;

/// What a SACK option takes, aligned, and each of its blocks.
const SACK_LEN: usize = 4;
const SACK_BLOCK_LEN: usize = 8;

/// What counts as a full segment before a larger one has come (`TCP_MSS_DEFAULT`).
const FULL_SEGMENT_MIN: usize = 536;

/// An unacceptable segment without data is not answered twice in this time, lest two ends that disagree tell
/// each other so for good (`tcp_invalid_ratelimit`).
const INVALID_INTERVAL: Duration = Duration::from_millis(500);

/// Flags with which a segment may be what Linux has foreseen.
const FORESEEN: Flags = Flags::ACK.with(Flags::PSH);

#[derive(Debug)]
pub(super) struct Connection {
    settings: Settings,
    sender: Sender,
    facts: Facts,
    /// What the server has sent, once it has sent a SYN.
    receiver: Option<Receiver>,
    /// The timestamp to echo (RFC 7323, section 4.3), and up to where we had acknowledged.
    recent_timestamp: u32,
    acknowledged: SeqNumber,
    /// When the request is due, before it is sent.
    request_at: Option<Instant>,
    keep_alive_at: Option<Instant>,
    /// Probes since anything has come.
    probes: u32,
    delayed_ack_at: Option<Instant>,
    /// How many more ACKs are not held back.
    quick_acks: u32,
    /// The largest segment that has come: what counts as a full one.
    full_segment: usize,
    /// Bytes of payload that a segment of ours may have, but for SACK blocks.
    segment: usize,
    /// How far our windows are scaled, and the server's.
    scales: (u8, u8),
    invalid_at: Option<Instant>,
    /// When the last byte of the stream came.
    complete_at: Option<Instant>,
    is_closed: bool,
}

type Progress = Result<Option<Outcome>, String>;

impl Connection {
    pub(super) fn new(settings: Settings) -> Self {
        let isn = SeqNumber::new(settings.isn);
        let limits = Limits {
            segment: 1,
            again: settings.resend_limit.map(usize::from),
            syn_retries: settings.syn_retries,
            retries: settings.retries,
            nagle: settings.nagle,
            collapse: settings.collapse,
            // RFC 8985 needs SACK to tell what the probe brought to light.
            tail_loss_probe: settings.tail_loss_probe && settings.sack,
        };
        let facts = Facts { timestamps: false, sack: false, first_timestamp: 0, last_timestamp: 0, sent: isn };
        Self {
            sender: Sender::new(isn, limits),
            facts,
            receiver: None,
            recent_timestamp: 0,
            acknowledged: SeqNumber::default(),
            request_at: None,
            keep_alive_at: None,
            probes: 0,
            delayed_ack_at: None,
            quick_acks: settings.quick_acks,
            full_segment: FULL_SEGMENT_MIN,
            segment: 1,
            scales: (0, 0),
            invalid_at: None,
            complete_at: None,
            is_closed: false,
            settings,
        }
    }

    pub(super) fn stream(&self) -> &[u8] {
        self.receiver.as_ref().map_or(&[], Receiver::stream)
    }

    /// When the last byte of the reply came.
    pub(super) const fn complete_at(&self) -> Option<Instant> {
        self.complete_at
    }

    /// Whether the handshake is done.
    pub(super) const fn is_established(&self) -> bool {
        self.receiver.is_some()
    }

    /// Whether everything up to the server's FIN is there.
    pub(super) fn is_complete(&self) -> bool {
        self.receiver.as_ref().is_some_and(Receiver::is_complete)
    }

    /// Whether our side is closed.
    pub(super) const fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Sends what the application writes.
    pub(super) fn write(&mut self, now: Instant, bytes: &[u8], out: &mut Outbox) {
        self.keep_alive_at = None;
        self.sender.push(bytes, Flags::PSH);
        self.transmit(now, out);
    }

    /// There is nothing to be sent or awaited: from now on, the connection is probed.
    pub(super) fn idle(&mut self, now: Instant) {
        if self.keep_alive_at.is_none() {
            self.rest(now);
        }
    }

    /// How many probes have gone unanswered.
    pub(super) const fn unanswered_probes(&self) -> u32 {
        self.probes
    }

    /// Does not count the probes that have gone unanswered so far.
    pub(super) const fn forgive_probes(&mut self) {
        self.probes = 0;
    }

    /// Gives the connection up.
    pub(super) fn reset(&mut self, now: Instant, out: &mut Outbox) {
        out.push(self.segment(now, Flags::RST.with(Flags::ACK)).frame());
    }

    /// There was no way for what it sent from `seq` on.
    pub(super) fn undelivered(&mut self, now: Instant, seq: SeqNumber) {
        self.sender.revert_back_off(now, seq);
    }

    /// Sends the SYN.
    pub(super) fn open(&mut self, now: Instant, out: &mut Outbox) -> Option<Outcome> {
        self.facts.first_timestamp = self.timestamp(now);
        self.sender.push(&[], Flags::SYN);
        self.transmit(now, out);
        (self.settings.errand == Errand::Scan).then_some(Outcome::Done)
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let reader = self.receiver.as_ref().and_then(Receiver::deadline);
        let timers = [self.sender.deadline(), self.request_at, self.keep_alive_at, self.delayed_ack_at, reader];
        timers.into_iter().flatten().min()
    }

    pub(super) fn wake(&mut self, now: Instant, out: &mut Outbox) -> Progress {
        let is_due = |timer: Option<Instant>| timer.is_some_and(|at| at <= now);
        self.let_read(now);
        match self.sender.wake(now) {
            Ok(Some(piece)) => self.send(now, &piece, out),
            Ok(None) => {}
            Err(gave_up) => return Err(format!("no answer to {} retransmissions", gave_up.retransmissions)),
        }
        if is_due(self.request_at) {
            return Ok(self.send_request(now, out));
        }
        if is_due(self.keep_alive_at) {
            // What is under way is sent again anyway (`tcp_keepalive_timer`).
            if self.sender.is_acknowledged() {
                // One byte before what was acknowledged: a live peer acknowledges it again (keep-alive).
                let probe = self.segment(now, Flags::ACK).seq(self.sender.position().rewind(1).value());
                out.push(probe.frame());
                self.probes += 1;
            }
            self.rest(now);
        }
        let has_opened = self.receiver.as_ref().is_some_and(Receiver::has_opened);
        if is_due(self.delayed_ack_at) || has_opened {
            self.acknowledge(now, out);
        }
        self.close_when_read(now, out);
        Ok(self.end())
    }

    /// Lets the application read, and makes room for what there is to say about what it reads.
    fn let_read(&mut self, now: Instant) {
        let Some(receiver) = &mut self.receiver else { return };
        receiver.read(now);
        let blocks = receiver.sack_blocks_len().min(self.sack_blocks_max());
        let options = if self.facts.sack && blocks > 0 { SACK_LEN + SACK_BLOCK_LEN * blocks } else { 0 };
        self.sender.limit_segments(self.segment.saturating_sub(options).max(1));
    }

    /// How many SACK blocks fit a segment.
    const fn sack_blocks_max(&self) -> usize {
        if self.facts.timestamps { SACK_BLOCKS } else { SACK_BLOCKS + 1 }
    }

    fn close_when_read(&mut self, now: Instant, out: &mut Outbox) {
        if self.receiver.as_ref().is_some_and(Receiver::is_read) {
            self.close(now, out);
        }
    }

    pub(super) fn receive(&mut self, now: Instant, tcp: &Tcp<'_>, out: &mut Outbox) -> Progress {
        self.let_read(now);
        self.probes = 0;
        if self.receiver.is_none() {
            self.receive_in_syn_sent(now, tcp, out)
        } else {
            self.receive_established(now, tcp, out)
        }
    }

    /// RFC 9293, section 3.10.7.3.
    fn receive_in_syn_sent(&mut self, now: Instant, tcp: &Tcp<'_>, out: &mut Outbox) -> Progress {
        let has = |flags| tcp.flags.has(flags);
        if has(Flags::ACK) && tcp.ack != self.facts.sent {
            if self.settings.strict && !self.settings.old_duplicates {
                return Err("it acknowledges something else than our SYN".to_owned());
            }
            if !has(Flags::RST) {
                out.push(Segment::rst(&self.settings.ends).seq(tcp.ack.value()).window(0).frame());
            }
            return Ok(None);
        }
        if has(Flags::RST) {
            return if has(Flags::ACK) { Err("connection refused".to_owned()) } else { Ok(None) };
        }
        if !has(Flags::SYN.with(Flags::ACK)) {
            return self.objection(format!("{:?} in answer to a SYN", tcp.flags));
        }
        if let Err(broken) = rules::check_syn_ack(&self.settings, &self.facts, tcp) {
            return self.objection(broken);
        }
        Ok(self.establish(now, tcp, out))
    }

    fn establish(&mut self, now: Instant, tcp: &Tcp<'_>, out: &mut Outbox) -> Option<Outcome> {
        self.facts.timestamps = self.settings.timestamps && tcp.timestamps.is_some();
        self.facts.sack = self.settings.sack && tcp.sack_permitted;
        self.recent_timestamp = tcp.timestamps.map_or(0, |(value, _)| value);
        // RFC 9293, section 3.7.1: what is assumed when nothing is said.
        let default_mss = if self.settings.ends.client.is_ipv4() { 536 } else { 1220 };
        let own = self.settings.mss.unwrap_or(default_mss).max(536);
        let mss = usize::from(tcp.mss.unwrap_or(default_mss).min(own));
        let options = if self.facts.timestamps { TIMESTAMPS_LEN } else { 0 };
        self.segment = mss.saturating_sub(options).max(1);
        self.sender.limit_segments(self.segment);
        let Settings { window, reads, window_scale, .. } = self.settings;
        let mut reader = Reader::new(window as usize, own.into(), reads);
        reader.read(now, 0);
        // What a SYN says is not scaled (RFC 7323, section 2.2).
        let announced = window.min(u16::MAX.into()) as usize;
        self.receiver = Some(Receiver::new(tcp.seq, announced, reader));
        let heard = self.heard(now, tcp);
        self.sender.acknowledge(now, &heard);
        if let (Some(ours), Some(theirs)) = (window_scale, tcp.window_scale) {
            self.scales = (ours.min(SCALE_MAX), theirs.min(SCALE_MAX));
        }
        if self.settings.ack_handshake {
            self.acknowledge(now, out);
        }
        if self.settings.errand == Errand::Connect {
            self.close(now, out);
            return None;
        }
        if self.settings.think.is_zero() {
            return self.send_request(now, out);
        }
        self.request_at = Some(after(now, self.settings.think));
        self.rest(now);
        None
    }

    fn send_request(&mut self, now: Instant, out: &mut Outbox) -> Option<Outcome> {
        self.request_at = None;
        self.keep_alive_at = None;
        let request = std::mem::take(&mut self.settings.request);
        let last = request.len().saturating_sub(1);
        for (at, write) in request.iter().enumerate() {
            let is_end = at == last && self.settings.close == Close::WithRequest;
            self.is_closed |= is_end;
            let flags = if is_end { Flags::PSH.with(Flags::FIN) } else { Flags::PSH };
            self.sender.push(write, flags);
        }
        self.transmit(now, out);
        match (self.settings.errand, self.settings.close) {
            (Errand::Abort, _) => {
                out.push(self.segment(now, Flags::RST.with(Flags::ACK)).frame());
                return Some(Outcome::Done);
            }
            (_, Close::AfterRequest) => self.close(now, out),
            _ => {}
        }
        None
    }

    /// RFC 9293, section 3.10.7.4.
    fn receive_established(&mut self, now: Instant, tcp: &Tcp<'_>, out: &mut Outbox) -> Progress {
        if self.is_old(tcp) {
            // An answer to a segment of the connection before: unacceptable, and told so.
            self.acknowledge(now, out);
            return Ok(None);
        }
        if tcp.flags.has(Flags::RST) {
            // RFC 5961, section 3.2: only a RST exactly where the stream is counts.
            let expected = self.receiver.as_ref().map(Receiver::next);
            return if Some(tcp.seq) == expected { Err("connection reset".to_owned()) } else { Ok(None) };
        }
        if tcp.flags.has(Flags::SYN) {
            // The SYN+ACK again, or one with another cookie: our SYN was sent twice (RFC 5961, section 4.2).
            self.acknowledge(now, out);
            return Ok(None);
        }
        if !tcp.flags.has(Flags::ACK) {
            return self.objection("a segment without ACK".to_owned());
        }
        if let Err(broken) = rules::check_segment(&self.facts, tcp) {
            return self.objection(broken);
        }
        if !self.is_acceptable(now, tcp, out) {
            return Ok(None);
        }
        let heard = self.heard(now, tcp);
        if let Some(piece) = self.sender.acknowledge(now, &heard) {
            self.send(now, &piece, out);
        }
        self.take(now, tcp, out)
    }

    /// What Linux looks at before it takes a segment (`tcp_validate_incoming`, and the beginning of `tcp_ack`).
    fn is_acceptable(&mut self, now: Instant, tcp: &Tcp<'_>, out: &mut Outbox) -> bool {
        let is_older = |value| SeqNumber::new(value).before(SeqNumber::new(self.recent_timestamp));
        // PAWS (RFC 7323, section 5.3).
        let is_old = tcp.timestamps.is_some_and(|(value, _)| is_older(value));
        // From the last acknowledgement on: what came since may come again before the server knows.
        // (What is beyond the window, no server may send: the receiver objects.)
        if is_old || tcp.end().before(self.acknowledged) {
            self.refuse(now, tcp, out);
            return false;
        }
        let standing = self.sender.standing(tcp.ack);
        if standing == Standing::TooOld {
            // A challenge ACK, of which there are as few (`tcp_send_challenge_ack`; RFC 5961, section 10).
            if self.invalid_at.is_none_or(|at| now >= after(at, INVALID_INTERVAL)) {
                self.invalid_at = Some(now);
                self.acknowledge(now, out);
            }
            return false;
        }
        if let Some((value, _)) = tcp.timestamps
            && !tcp.seq.after(self.acknowledged)
            && (standing == Standing::Current || self.is_foreseen(tcp))
        {
            self.recent_timestamp = value;
        }
        true
    }

    /// Whether Linux takes it the short way, and its timestamp with it, before it looks at what it acknowledges:
    /// the next data, nothing else, with nothing missing and the same window as before.
    fn is_foreseen(&self, tcp: &Tcp<'_>) -> bool {
        let Some(receiver) = &self.receiver else { return false };
        tcp.seq == receiver.next()
            && tcp.seq == self.acknowledged
            && !tcp.payload.is_empty()
            && tcp.flags.masked(FORESEEN) == tcp.flags
            && !receiver.has_gaps()
            && self.sender.window() == u32::from(tcp.window) << self.scales.1
    }

    /// Drops a segment, and says where we are. Of data that is old the server is told that it came again.
    fn refuse(&mut self, now: Instant, tcp: &Tcp<'_>, out: &mut Outbox) {
        let is_data = tcp.end() != tcp.seq;
        if !is_data && self.invalid_at.is_some_and(|at| now < after(at, INVALID_INTERVAL)) {
            return;
        }
        if is_data {
            self.quick_acks = self.settings.quick_acks;
        } else {
            self.invalid_at = Some(now);
        }
        if let Some(receiver) = &mut self.receiver {
            receiver.refuse(tcp.seq, tcp.end());
        }
        self.acknowledge(now, out);
    }

    /// Puts what the segment holds into the stream, and says so.
    fn take(&mut self, now: Instant, tcp: &Tcp<'_>, out: &mut Outbox) -> Progress {
        let is_fin = tcp.flags.has(Flags::FIN);
        let Some(receiver) = &mut self.receiver else { return Ok(None) };
        if !tcp.payload.is_empty() || is_fin {
            let arrival = match receiver.receive(tcp.seq, tcp.payload, is_fin) {
                Ok(arrival) => arrival,
                Err(broken) => return self.objection(broken),
            };
            receiver.read(now);
            if receiver.is_complete() {
                self.complete_at.get_or_insert(now);
            }
            self.full_segment = self.full_segment.max(tcp.payload.len());
            if arrival == Arrival::Old {
                self.quick_acks = self.settings.quick_acks;
            }
            if self.must_acknowledge(arrival, is_fin) {
                self.acknowledge(now, out);
            } else {
                self.delayed_ack_at = self.delayed_ack_at.or(Some(after(now, self.settings.delayed_ack)));
            }
        }
        self.close_when_read(now, out);
        self.transmit(now, out);
        Ok(self.end())
    }

    /// Whether an ACK is due at once (RFC 9293, section 3.8.6.3; RFC 5681, section 4.2; `__tcp_ack_snd_check`).
    fn must_acknowledge(&mut self, arrival: Arrival, is_fin: bool) -> bool {
        let Some(receiver) = &self.receiver else { return false };
        let unacknowledged = receiver.next().distance_from(self.acknowledged) as usize;
        let is_quick = self.quick_acks > 0;
        self.quick_acks = self.quick_acks.saturating_sub(1);
        is_quick
            || arrival != Arrival::InOrder
            || is_fin
            || unacknowledged > self.full_segment * self.settings.stretch
            || self.settings.delayed_ack.is_zero()
    }

    /// Both sides have said all, and ours is acknowledged.
    fn end(&self) -> Option<Outcome> {
        let receiver = self.receiver.as_ref().filter(|receiver| receiver.is_read())?;
        (self.is_closed && self.sender.is_acknowledged()).then(|| match self.settings.errand {
            Errand::Fetch => Outcome::Complete(receiver.stream().to_vec()),
            _ => Outcome::Done,
        })
    }

    pub(super) fn close(&mut self, now: Instant, out: &mut Outbox) {
        self.keep_alive_at = None;
        if !self.is_closed {
            self.is_closed = true;
            self.sender.push(&[], Flags::FIN);
            self.transmit(now, out);
        }
    }

    /// Something that no TCP may send: the end of it, or a segment that is not taken.
    fn objection(&self, broken: String) -> Progress {
        if self.settings.strict { Err(broken) } else { Ok(None) }
    }

    /// Whether this answers the old connection, whose sequence numbers are far behind ours.
    fn is_old(&self, tcp: &Tcp<'_>) -> bool {
        let old = SeqNumber::new(self.settings.isn).rewind(OLD_ISN);
        self.settings.old_duplicates && tcp.flags.has(Flags::ACK) && tcp.ack.distance_from(old) < OLD_ISN
    }

    fn transmit(&mut self, now: Instant, out: &mut Outbox) {
        for piece in self.sender.transmit(now) {
            self.send(now, &piece, out);
        }
    }

    fn send(&mut self, now: Instant, piece: &Piece, out: &mut Outbox) {
        if piece.end().after(self.facts.sent) {
            self.facts.sent = piece.end();
        }
        let segment = if piece.flags.has(Flags::SYN) {
            self.syn(now)
        } else {
            self.delayed_ack_at = None;
            self.segment(now, Flags::ACK.with(piece.flags)).seq(piece.seq.value())
        };
        out.push(segment.payload(&piece.payload).frame());
    }

    fn syn(&mut self, now: Instant) -> Segment {
        let Settings { ends, isn, mss, sack, timestamps, window_scale, window, .. } = self.settings;
        self.facts.last_timestamp = self.timestamp(now);
        let mut syn = Segment::syn(&ends).seq(isn).window(window.min(u16::MAX.into()) as u16);
        if let Some(mss) = mss {
            syn = syn.mss(mss);
        }
        if sack {
            syn = syn.sack_permitted();
        }
        if timestamps {
            syn = syn.timestamps(self.facts.last_timestamp, 0);
        }
        window_scale.map_or(syn.clone(), |shift| syn.window_scale(shift))
    }

    fn acknowledge(&mut self, now: Instant, out: &mut Outbox) {
        self.delayed_ack_at = None;
        out.push(self.segment(now, Flags::ACK).frame());
    }

    /// A segment that acknowledges all there is.
    fn segment(&mut self, now: Instant, flags: Flags) -> Segment {
        let mut segment = Segment::new(&self.settings.ends, flags).seq(self.sender.acceptable().value());
        let blocks = self.sack_blocks_max();
        let Some(receiver) = &mut self.receiver else { return segment };
        let window = receiver.advertise() >> self.scales.0;
        self.acknowledged = receiver.next();
        segment = segment.window(window.min(u16::MAX.into()) as u16).ack_number(self.acknowledged.value());
        let blocks = if self.facts.sack { receiver.sack_blocks(blocks) } else { Vec::new() };
        if self.facts.timestamps {
            self.facts.last_timestamp = self.timestamp(now);
            segment = segment.timestamps(self.facts.last_timestamp, self.recent_timestamp);
        }
        if blocks.is_empty() { segment } else { segment.sack(&blocks) }
    }

    /// A clock of milliseconds, as Linux has it.
    fn timestamp(&self, now: Instant) -> u32 {
        self.settings.timestamp_base.wrapping_add((now.as_unix_nanos() / 1_000_000) as u32)
    }

    /// What a segment says about what we have sent.
    fn heard(&self, now: Instant, tcp: &Tcp<'_>) -> Heard {
        let age = |(_, echo)| Duration::from_millis(self.timestamp(now).wrapping_sub(echo).into());
        let window = u32::from(tcp.window) << self.scales.1;
        Heard { seq: tcp.seq, ack: tcp.ack, window, echoed: tcp.timestamps.map(age) }
    }

    fn rest(&mut self, now: Instant) {
        self.keep_alive_at = self.settings.keep_alive.map(|interval| after(now, interval));
    }
}
