//! All that one client sends for one answer, as Linux and curl send it: what benchmarks hand to an engine.

use lethe::port::{Checked, Offload, RxFrame};
use lethe::time::Instant;
use lethe::verdict::{Absorbed, ReplyKind, Verdict};
use lethe::wire::ethernet::{self, EtherType};
use lethe::wire::ip::{AddressPair, Protocol};
use lethe::wire::tcp::Flags;
use lethe::wire::{ipv4, ipv6, tcp};
use lethe::{App, Engine};

use crate::frame::{Ends, Segment};

/// The frames of a client, each of which answers what the engine said to the one before.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fetch {
    /// SYN, with the options of Linux.
    pub syn: Vec<u8>,
    /// The ACK that ends the handshake.
    pub ack: Vec<u8>,
    /// The request.
    pub get: Vec<u8>,
    /// The ACK of the response.
    pub read: Vec<u8>,
    /// FIN and ACK.
    pub fin: Vec<u8>,
}

impl Fetch {
    /// Fetches `target` once, with timestamps, at this time: its cookies are good for a minute, at least.
    ///
    /// # Errors
    ///
    /// The verdict on the frame that the engine did not answer as it answers a client whose response fits one segment,
    /// or not with a frame that is right in all its checksums.
    pub fn new<A: App>(engine: &Engine<A>, now: Instant, ends: &Ends, target: &str) -> Result<Self, Verdict> {
        let port = u32::from(ends.client.port());
        let (isn, time) = (port.wrapping_mul(0x9e37_79b9), 1_000_000 + port);
        let mut talk = Talk { engine, now, scratch: vec![0; lethe::engine::SCRATCH_LEN] };

        let syn = Segment::syn(ends).seq(isn).mss(1460).sack_permitted().timestamps(time, 0).window_scale(7);
        let opened = talk.say(&syn, Verdict::Replied(ReplyKind::SynAck))?;
        let ack = Segment::ack(ends).seq(isn.wrapping_add(1)).ack_number(opened.end);
        let ack = ack.timestamps(time + 1, opened.timestamp);
        talk.hear_nothing(&ack)?;
        let request =
            format!("GET {target} HTTP/1.1\r\nHost: 10.9.0.2\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\n\r\n");
        let get = ack.clone().payload(request);
        let answered = talk.say(&get, Verdict::Replied(ReplyKind::Response))?;
        let read = Segment::ack(ends).seq(get.end()).ack_number(answered.end);
        let read = read.timestamps(time + 2, answered.timestamp);
        talk.hear_nothing(&read)?;
        let fin = Segment::fin(ends).seq(get.end()).ack_number(answered.end);
        let fin = fin.timestamps(time + 2, answered.timestamp);
        talk.say(&fin, Verdict::Replied(ReplyKind::FinAck))?;
        let [syn, ack, get, read, fin] = [syn, ack, get, read, fin].map(|segment| segment.frame());
        Ok(Self { syn, ack, get, read, fin })
    }

    /// Fetches `target` from an engine that keeps connections open, and gives what a client may send then: the same
    /// request again, a FIN, and a keep-alive probe.
    ///
    /// # Errors
    ///
    /// The verdict on the frame that the engine did not answer so.
    pub fn kept<A: App>(engine: &Engine<A>, now: Instant, ends: &Ends, target: &str) -> Result<[Vec<u8>; 3], Verdict> {
        let fetch = Self::new(engine, now, ends, target)?;
        let mut talk = Talk { engine, now, scratch: vec![0; lethe::engine::SCRATCH_LEN] };
        let unread = |frame: &[u8]| Sent::read(frame).ok_or(Verdict::Replied(ReplyKind::Response));
        let (get, read) = (unread(&fetch.get)?, unread(&fetch.read)?);
        let next = |segment: Segment, seq: u32| {
            segment.seq(seq).ack_number(read.ack).timestamps(read.timestamps.0 + 1, read.timestamps.1)
        };
        let get = next(Segment::ack(ends), read.seq).payload(get.payload);
        talk.say(&get, Verdict::Replied(ReplyKind::Response))?;
        let fin = next(Segment::fin(ends), read.seq);
        talk.say(&fin, Verdict::Replied(ReplyKind::FinAck))?;
        let probe = next(Segment::ack(ends), read.seq.wrapping_sub(1));
        talk.say(&probe, Verdict::Replied(ReplyKind::KeepAlive))?;
        Ok([get, fin, probe].map(|segment| segment.frame()))
    }

    /// In the order in which they are sent.
    pub fn frames(&self) -> [&[u8]; 5] {
        [&self.syn, &self.ack, &self.get, &self.read, &self.fin]
    }
}

/// What a client has to know of an answer: the number behind it, and its timestamp.
struct Answer {
    end: u32,
    timestamp: u32,
}

impl Answer {
    /// Reads it from a frame, with the engine's own parsers: a benchmark measures what an engine does, and does not
    /// judge it. The checkers of the simulator judge, and have a parser of their own.
    fn read(frame: &[u8], checksums: Checked) -> Option<Self> {
        let (link, packet) = ethernet::Header::parse(frame).ok()?;
        let (addresses, segment) = if link.ether_type == EtherType::IPV4 {
            let (ip, segment) = ipv4::Header::parse(packet, checksums).ok()?;
            (AddressPair::V4 { source: ip.source, destination: ip.destination }, segment)
        } else {
            let (ip, segment) = ipv6::Header::parse(packet).ok()?;
            (AddressPair::V6 { source: ip.source, destination: ip.destination }, segment)
        };
        let sum = addresses.pseudo_header(Protocol::TCP, segment.len()).with(segment);
        if checksums == Checked::Unknown && !sum.is_valid() {
            return None;
        }
        let (tcp, payload) = tcp::Header::parse(segment).ok()?;
        let flags = [Flags::SYN, Flags::FIN].into_iter().filter(|&flag| tcp.flags().has(flag)).count();
        let end = tcp.seq().advance((payload.len() + flags) as u32).value();
        Some(Self { end, timestamp: tcp.options.timestamps?.value })
    }
}

/// What a client has sent: its numbers, and the request.
struct Sent {
    seq: u32,
    ack: u32,
    timestamps: (u32, u32),
    payload: Vec<u8>,
}

impl Sent {
    fn read(frame: &[u8]) -> Option<Self> {
        let (link, packet) = ethernet::Header::parse(frame).ok()?;
        let segment = if link.ether_type == EtherType::IPV4 {
            ipv4::Header::parse(packet, Checked::Good).ok()?.1
        } else {
            ipv6::Header::parse(packet).ok()?.1
        };
        let (tcp, payload) = tcp::Header::parse(segment).ok()?;
        let stamps = tcp.options.timestamps?;
        let timestamps = (stamps.value, stamps.echo);
        Some(Self { seq: tcp.seq().value(), ack: tcp.ack().value(), timestamps, payload: payload.to_vec() })
    }
}

struct Talk<'e, A> {
    engine: &'e Engine<A>,
    now: Instant,
    scratch: Vec<u8>,
}

impl<A: App> Talk<'_, A> {
    /// Says it to the engine, which has to answer as expected.
    fn say(&mut self, segment: &Segment, expect: Verdict) -> Result<Answer, Verdict> {
        let frame = segment.frame();
        let mut reply = self.engine.handle(self.now, RxFrame::unchecked(&frame), &mut self.scratch);
        let verdict = reply.verdict();
        let mut buffer = vec![0; crate::FRAME_MAX];
        let sent = reply.next_frame(&mut buffer).filter(|_| verdict == expect).ok_or(verdict)?;
        // Checksums that a card computes are not in the frame yet.
        let by_card = self.engine.config().offload != Offload::default();
        let checksums = if by_card { Checked::Good } else { Checked::Unknown };
        Answer::read(&buffer[..sent.len], checksums).ok_or(verdict)
    }

    fn hear_nothing(&mut self, segment: &Segment) -> Result<(), Verdict> {
        let frame = segment.frame();
        let verdict = self.engine.handle(self.now, RxFrame::unchecked(&frame), &mut self.scratch).verdict();
        if matches!(verdict, Verdict::Absorbed(Absorbed::Ack | Absorbed::Progress)) { Ok(()) } else { Err(verdict) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::engine;

    const NOW: Instant = Instant::from_unix_seconds(1_700_000_000);

    #[test]
    fn every_frame_of_a_fetch_is_answered_as_it_is_meant() {
        let engine = engine();
        for ends in [Ends::v4(), Ends::v6()] {
            let fetch = Fetch::new(&engine, NOW, &ends, "/1000").unwrap();
            assert_eq!(fetch.frames().map(<[u8]>::is_empty), [false; 5]);
        }
    }

    #[test]
    fn what_does_not_fit_one_segment_is_no_fetch_of_this_kind() {
        let long = Fetch::new(&engine(), NOW, &Ends::v4(), "/10000");
        assert_eq!(long.unwrap_err(), Verdict::Replied(ReplyKind::FirstWindow));
    }
}
