//! All that one client sends for one answer, as Linux and curl send it: what benchmarks hand to an engine.

use lethe::port::{Checked, RxFrame};
use lethe::time::Instant;
use lethe::verdict::{Absorbed, ReplyKind, Verdict};
use lethe::wire::ethernet::{self, EtherType};
use lethe::wire::ip::{AddressPair, Protocol};
use lethe::wire::tcp::Flags;
use lethe::wire::{ipv4, ipv6, tcp};
use lethe::{App, Engine};

use crate::frame::{Ends, Segment};
use crate::offload::on_the_wire;

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
        Self::with_request(engine, now, ends, request(target))
    }

    /// Fetches `target` as [`new`](Self::new) does, with the header fields of a browser.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn of_browser<A: App>(engine: &Engine<A>, now: Instant, ends: &Ends, target: &str) -> Result<Self, Verdict> {
        Self::with_request(engine, now, ends, browser_request(target))
    }

    fn with_request<A: App>(engine: &Engine<A>, now: Instant, ends: &Ends, request: String) -> Result<Self, Verdict> {
        let port = u32::from(ends.client.port());
        let (isn, time) = (port.wrapping_mul(0x9e37_79b9), 1_000_000 + port);
        let mut talk = Talk { engine, now, scratch: vec![0; lethe::engine::SCRATCH_LEN] };

        let syn = Segment::syn(ends).seq(isn).mss(1460).sack_permitted().timestamps(time, 0).window_scale(7);
        let opened = talk.say(&syn, Verdict::Replied(ReplyKind::SynAck))?;
        let ack = Segment::ack(ends).seq(isn.wrapping_add(1)).ack_number(opened.end);
        let ack = ack.timestamps(time + 1, opened.timestamp);
        talk.hear_nothing(&ack)?;
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

    /// In the order in which they are sent.
    pub fn frames(&self) -> [&[u8]; 5] {
        [&self.syn, &self.ack, &self.get, &self.read, &self.fin]
    }
}

/// What a client sends on a connection that stays open behind its first response, which fits one segment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeptFetch {
    /// The first request of the connection.
    pub first: Vec<u8>,
    /// The first request again, with the acknowledgement of its response.
    pub get: Vec<u8>,
    /// FIN and ACK instead.
    pub fin: Vec<u8>,
    /// A keep-alive probe instead.
    pub probe: Vec<u8>,
}

impl KeptFetch {
    /// Fetches `target` twice, from an engine that keeps connections open.
    ///
    /// # Errors
    ///
    /// Those of [`Fetch::new`]; and the verdict on what is sent next, if it is not answered as it is meant.
    pub fn new<A: App>(engine: &Engine<A>, now: Instant, ends: &Ends, target: &str) -> Result<Self, Verdict> {
        let (mut talk, first, read) = Talk::keep_open(engine, now, ends, target)?;
        let get = read.next(Segment::ack(ends), 0).payload(request(target));
        talk.say(&get, Verdict::Replied(ReplyKind::Response))?;
        let fin = read.next(Segment::fin(ends), 0);
        talk.say(&fin, Verdict::Replied(ReplyKind::FinAck))?;
        let probe = read.next(Segment::ack(ends), 1);
        talk.say(&probe, Verdict::Replied(ReplyKind::KeepAlive))?;
        let [get, fin, probe] = [get, fin, probe].map(|segment| segment.frame());
        Ok(Self { first, get, fin, probe })
    }
}

/// What a client sends for a long stored response on a connection that was kept open.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LongFetch {
    /// The request, which draws the first window.
    pub get: Vec<u8>,
    /// The ACK of its first two segments, which draws the next ones.
    pub ack: Vec<u8>,
}

impl LongFetch {
    /// Fetches `short`, whose response fits one segment, from an engine that keeps connections open, and begins to
    /// fetch `long` behind it.
    ///
    /// # Errors
    ///
    /// Those of [`Fetch::new`]; and the verdict on what is sent next, if it is not answered as it is meant.
    pub fn new<A: App>(
        engine: &Engine<A>,
        now: Instant,
        ends: &Ends,
        short: &str,
        long: &str,
    ) -> Result<Self, Verdict> {
        let (mut talk, _, read) = Talk::keep_open(engine, now, ends, short)?;
        let get = read.next(Segment::ack(ends), 0).payload(request(long));
        let first_window = Verdict::Replied(ReplyKind::FirstWindow);
        let [one, two, ..] = &talk.say_all(&get, first_window)?[..] else { return Err(first_window) };
        // The ACK that is put off for a second segment echoes the timestamp of the first (RFC 7323, section 4.3).
        let ack = Segment::ack(ends).seq(get.end()).ack_number(two.end);
        let ack = ack.timestamps(read.timestamps.0 + 2, one.timestamp);
        talk.say(&ack, Verdict::Replied(ReplyKind::NextWindow))?;
        Ok(Self { get: get.frame(), ack: ack.frame() })
    }
}

/// A request as curl sends it.
fn request(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: 10.9.0.2\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\n\r\n")
}

/// A request as Chromium sends it for a page that it loads again.
fn browser_request(target: &str) -> String {
    format!(
        "GET {target} HTTP/1.1\r\nHost: 10.9.0.2\r\nConnection: keep-alive\r\nCache-Control: max-age=0\r\n\
         Upgrade-Insecure-Requests: 1\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, \
         like Gecko) Chrome/131.0.0.0 Safari/537.36\r\nAccept: text/html,application/xhtml+xml,application/xml;\
         q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7\r\n\
         Referer: http://10.9.0.2/\r\nAccept-Encoding: gzip, deflate\r\nAccept-Language: en-US,en;q=0.9\r\n\r\n"
    )
}

/// What a client has to know of an answer: the number behind it, and its timestamp.
struct Answer {
    end: u32,
    timestamp: u32,
}

impl Answer {
    /// Reads it from a frame, with the engine's own parsers: a benchmark measures what an engine does, and does not
    /// judge it. The checkers of the simulator judge, and have a parser of their own.
    fn read(frame: &[u8]) -> Option<Self> {
        let (link, packet) = ethernet::Header::parse(frame).ok()?;
        let (addresses, segment) = if link.ether_type == EtherType::IPV4 {
            let (ip, segment) = ipv4::Header::parse(packet, Checked::Unknown).ok()?;
            (AddressPair::V4 { source: ip.source, destination: ip.destination }, segment)
        } else {
            let (ip, segment) = ipv6::Header::parse(packet).ok()?;
            (AddressPair::V6 { source: ip.source, destination: ip.destination }, segment)
        };
        let sum = addresses.pseudo_header(Protocol::TCP, segment.len()).with(segment);
        if !sum.is_valid() {
            return None;
        }
        let (tcp, payload) = tcp::Header::parse(segment).ok()?;
        let flags = [Flags::SYN, Flags::FIN].into_iter().filter(|&flag| tcp.flags().has(flag)).count();
        let end = tcp.seq().advance((payload.len() + flags) as u32).value();
        Some(Self { end, timestamp: tcp.timestamps?.value() })
    }
}

/// Where a client is that has read its response: its numbers, and its timestamps.
struct Read {
    seq: u32,
    ack: u32,
    timestamps: (u32, u32),
}

impl Read {
    /// Reads it from the ACK of the response.
    fn of(ack: &[u8]) -> Option<Self> {
        let (link, packet) = ethernet::Header::parse(ack).ok()?;
        let segment = if link.ether_type == EtherType::IPV4 {
            ipv4::Header::parse(packet, Checked::Good).ok()?.1
        } else {
            ipv6::Header::parse(packet).ok()?.1
        };
        let (tcp, _) = tcp::Header::parse(segment).ok()?;
        let stamps = tcp.timestamps?;
        Some(Self { seq: tcp.seq().value(), ack: tcp.ack().value(), timestamps: (stamps.value(), stamps.echo()) })
    }

    /// A segment that begins `before` bytes before the client's next one.
    fn next(&self, segment: Segment, before: u32) -> Segment {
        let segment = segment.seq(self.seq.wrapping_sub(before)).ack_number(self.ack);
        segment.timestamps(self.timestamps.0 + 1, self.timestamps.1)
    }
}

struct Talk<'e, A> {
    engine: &'e Engine<A>,
    now: Instant,
    scratch: Vec<u8>,
}

impl<'e, A: App> Talk<'e, A> {
    /// Fetches `target` on a connection that stays open: what goes on from there, the request, and where the client is
    /// then.
    fn keep_open(
        engine: &'e Engine<A>,
        now: Instant,
        ends: &Ends,
        target: &str,
    ) -> Result<(Self, Vec<u8>, Read), Verdict> {
        let fetch = Fetch::new(engine, now, ends, target)?;
        let read = Read::of(&fetch.read).ok_or(Verdict::Absorbed(Absorbed::Ack))?;
        Ok((Self { engine, now, scratch: vec![0; lethe::engine::SCRATCH_LEN] }, fetch.get, read))
    }

    /// Says it to the engine, which has to answer as expected, and gives the first frame of the answer.
    fn say(&mut self, segment: &Segment, expect: Verdict) -> Result<Answer, Verdict> {
        self.say_all(segment, expect)?.into_iter().next().ok_or(expect)
    }

    /// Says it to the engine, which has to answer as expected, and gives all frames of the answer.
    fn say_all(&mut self, segment: &Segment, expect: Verdict) -> Result<Vec<Answer>, Verdict> {
        let frame = segment.frame();
        let mut reply = self.engine.handle(self.now, RxFrame::unchecked(&frame), &mut self.scratch);
        let verdict = reply.verdict();
        if verdict != expect {
            return Err(verdict);
        }
        let (mut answers, mut buffer) = (Vec::new(), vec![0; crate::FRAME_MAX]);
        while let Some(sent) = reply.next_frame(&mut buffer) {
            for frame in on_the_wire(&mut buffer[..sent.len], sent.checksum) {
                answers.push(Answer::read(&frame).ok_or(verdict)?);
            }
        }
        Ok(answers)
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
    use crate::sample::Sample;
    use crate::testing::{engine, engine_with};

    const NOW: Instant = Instant::from_unix_seconds(1_700_000_000);

    #[test]
    fn every_frame_of_a_fetch_is_answered_as_it_is_meant() {
        let engine = engine();
        for ends in [Ends::v4(), Ends::v6()] {
            let fetch = Fetch::new(&engine, NOW, &ends, "/1000").unwrap();
            assert_eq!(fetch.frames().map(<[u8]>::is_empty), [false; 5]);
        }
    }

    /// An engine that has short and long responses, and keeps connections open.
    fn keeping() -> Engine<Sample> {
        let config = engine_with(|config| config.keep_alive = true).config().clone();
        Engine::new(config, Sample::new(100_000))
    }

    #[test]
    fn every_frame_on_a_connection_that_stays_open_is_answered_as_it_is_meant() {
        let engine = keeping();
        for ends in [Ends::v4(), Ends::v6()] {
            let kept = KeptFetch::new(&engine, NOW, &ends, "/100").unwrap();
            assert!(kept.get != kept.first && kept.get.len() == kept.first.len());
            let long = LongFetch::new(&engine, NOW, &ends, "/100", "/100000").unwrap();
            assert!(long.get.len() > kept.get.len() && long.ack.len() < kept.get.len());
            let short = LongFetch::new(&engine, NOW, &ends, "/100", "/1000");
            assert_eq!(short.unwrap_err(), Verdict::Replied(ReplyKind::Response));
        }
    }

    #[test]
    fn an_engine_that_closes_its_connections_answers_no_second_request() {
        let late = Verdict::Replied(ReplyKind::LateAck);
        assert_eq!(KeptFetch::new(&engine(), NOW, &Ends::v4(), "/1000").unwrap_err(), late);
        assert_eq!(LongFetch::new(&engine(), NOW, &Ends::v4(), "/1000", "/100000").unwrap_err(), late);
    }

    #[test]
    fn what_does_not_fit_one_segment_is_no_fetch_of_this_kind() {
        let long = Fetch::new(&engine(), NOW, &Ends::v4(), "/10000");
        assert_eq!(long.unwrap_err(), Verdict::Replied(ReplyKind::FirstWindow));
    }
}
