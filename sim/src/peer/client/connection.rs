//! One connection of a client, from SYN to the acknowledgement of its FIN.

use std::time::Duration;

use lethe::time::Instant;
use lethe::wire::seq::SeqNumber;
use lethe::wire::tcp::Flags;

use super::receiver::{Arrival, Receiver};
use super::rules::{self, Facts};
use super::sender::{Limits, Piece, Sender};
use super::{Close, Errand, OLD_ISN, Outbox, Outcome, Settings};
use crate::clock::after;
use crate::dissect::Tcp;
use crate::frame::Segment;

/// What the timestamps option takes in each segment, aligned.
const TIMESTAMPS_LEN: usize = 12;

/// SACK blocks that fit the options next to timestamps; one more fits without.
const SACK_BLOCKS: usize = 3;

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
    delayed_ack_at: Option<Instant>,
    is_closed: bool,
}

type Progress = Result<Option<Outcome>, String>;

impl Connection {
    pub(super) fn new(settings: Settings) -> Self {
        let isn = SeqNumber::new(settings.isn);
        let limits = Limits {
            segment: 1,
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
            delayed_ack_at: None,
            is_closed: false,
            settings,
        }
    }

    pub(super) fn stream(&self) -> &[u8] {
        self.receiver.as_ref().map_or(&[], Receiver::stream)
    }

    /// Sends the SYN.
    pub(super) fn open(&mut self, now: Instant, out: &mut Outbox) -> Option<Outcome> {
        self.facts.first_timestamp = self.timestamp(now);
        self.sender.push(&[], Flags::SYN);
        self.transmit(now, out);
        (self.settings.errand == Errand::Scan).then_some(Outcome::Done)
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let timers = [self.sender.deadline(), self.request_at, self.keep_alive_at, self.delayed_ack_at];
        timers.into_iter().flatten().min()
    }

    pub(super) fn wake(&mut self, now: Instant, out: &mut Outbox) -> Progress {
        let is_due = |timer: Option<Instant>| timer.is_some_and(|at| at <= now);
        match self.sender.wake(now) {
            Ok(Some(piece)) => self.send(now, &piece, out),
            Ok(None) => {}
            Err(gave_up) => return Err(format!("no answer to {} retransmissions", gave_up.retransmissions)),
        }
        if is_due(self.request_at) {
            return Ok(self.send_request(now, out));
        }
        if is_due(self.keep_alive_at) {
            // One byte before what was acknowledged: whoever is alive acknowledges it again.
            let probe = self.segment(now, Flags::ACK).seq(self.sender.position().rewind(1).value());
            out.push(probe.frame());
            self.rest(now);
        }
        if is_due(self.delayed_ack_at) {
            self.acknowledge(now, out);
        }
        Ok(None)
    }

    pub(super) fn receive(&mut self, now: Instant, tcp: &Tcp<'_>, out: &mut Outbox) -> Progress {
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
        self.sender.limit_segments(mss.saturating_sub(options).max(1));
        self.receiver = Some(Receiver::new(tcp.seq, self.settings.window));
        let echoed = self.echoed(now, tcp);
        self.sender.acknowledge(now, tcp.ack, tcp.window, echoed);
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
        if let Some((value, _)) = tcp.timestamps {
            if SeqNumber::new(value).before(SeqNumber::new(self.recent_timestamp)) {
                // PAWS (RFC 7323, section 5.3): an old duplicate; acknowledged and dropped.
                self.acknowledge(now, out);
                return Ok(None);
            }
            if !tcp.seq.after(self.acknowledged) {
                self.recent_timestamp = value;
            }
        }
        let echoed = self.echoed(now, tcp);
        if let Some(piece) = self.sender.acknowledge(now, tcp.ack, tcp.window, echoed) {
            self.send(now, &piece, out);
        }
        self.take(now, tcp, out)
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
            let is_second = self.delayed_ack_at.is_some();
            if arrival == Arrival::OutOfOrder || is_fin || is_second || self.settings.delayed_ack.is_zero() {
                self.acknowledge(now, out);
            } else {
                self.delayed_ack_at = Some(after(now, self.settings.delayed_ack));
            }
        }
        if self.receiver.as_ref().is_some_and(Receiver::is_complete) {
            self.close(now, out);
        }
        self.transmit(now, out);
        Ok(self.end())
    }

    /// Both sides have said all, and ours is acknowledged.
    fn end(&self) -> Option<Outcome> {
        let receiver = self.receiver.as_ref().filter(|receiver| receiver.is_complete())?;
        (self.is_closed && self.sender.is_acknowledged()).then(|| match self.settings.errand {
            Errand::Fetch => Outcome::Complete(receiver.stream().to_vec()),
            _ => Outcome::Done,
        })
    }

    fn close(&mut self, now: Instant, out: &mut Outbox) {
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
        let mut syn = Segment::syn(&ends).seq(isn).window(window);
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
        let mut ack = self.segment(now, Flags::ACK);
        let blocks = if self.facts.timestamps { SACK_BLOCKS } else { SACK_BLOCKS + 1 };
        if let (true, Some(receiver)) = (self.facts.sack, &mut self.receiver) {
            let blocks = receiver.sack_blocks(blocks);
            if !blocks.is_empty() {
                ack = ack.sack(&blocks);
            }
        }
        out.push(ack.frame());
    }

    /// A segment that acknowledges all there is.
    fn segment(&mut self, now: Instant, flags: Flags) -> Segment {
        let segment = Segment::new(&self.settings.ends, flags).seq(self.sender.position().value());
        let segment = segment.window(self.settings.window);
        let Some(receiver) = &mut self.receiver else { return segment };
        receiver.advertise();
        self.acknowledged = receiver.next();
        let segment = segment.ack_number(self.acknowledged.value());
        if !self.facts.timestamps {
            return segment;
        }
        self.facts.last_timestamp = self.timestamp(now);
        segment.timestamps(self.facts.last_timestamp, self.recent_timestamp)
    }

    /// A clock of milliseconds, as Linux has it.
    fn timestamp(&self, now: Instant) -> u32 {
        self.settings.timestamp_base.wrapping_add((now.as_unix_nanos() / 1_000_000) as u32)
    }

    /// How old the timestamp is that this segment gives back.
    fn echoed(&self, now: Instant, tcp: &Tcp<'_>) -> Option<Duration> {
        let (_, echo) = tcp.timestamps?;
        let age = self.timestamp(now).wrapping_sub(echo);
        Some(Duration::from_millis(age.into()))
    }

    fn rest(&mut self, now: Instant) {
        self.keep_alive_at = self.settings.keep_alive.map(|interval| after(now, interval));
    }
}
