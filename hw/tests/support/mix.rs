//! What a busy server receives: of each client a SYN, an ACK, a request and a FIN, as Linux and curl send them.

#![allow(dead_code, reason = "each program uses its own part")]

use std::net::Ipv4Addr;

use lethe::Engine;
use lethe::config::{Addresses, Config};
use lethe::cookie::Secret;
use lethe::engine::SCRATCH_LEN;
use lethe::port::{Offload, RxFrame};
use lethe::time::Instant;
use lethe::verdict::{Absorbed, ReplyKind, Verdict};
use lethe_apps::Application;
use lethe_apps::ipinfo::IpInfo;
use lethe_sim::dissect::Frame;
use lethe_sim::frame::{Ends, Segment};

/// Frames that each client sends.
pub(crate) const FRAMES_PER_REQUEST: usize = 4;

/// An engine for 10.9.0.2 and `fd09::2` that tells places, with a key that everybody knows.
pub(crate) fn engine(offload: Offload) -> Engine<Application> {
    let mut addresses = Addresses::new();
    for address in ["10.9.0.2", "fd09::2"] {
        addresses.add(address.parse().unwrap()).unwrap();
    }
    let config = Config { addresses, offload, ..Config::new(Secret::new([0; 16])) };
    Engine::new(config, Application::IpInfo(IpInfo::embedded()))
}

/// What so many clients send who come at this time. Their cookies are good for a minute, at least.
pub(crate) fn mix(now: Instant, clients: u32) -> Vec<Vec<u8>> {
    let engine = engine(Offload::default());
    let mut talk = Talk { engine: &engine, now, scratch: vec![0; SCRATCH_LEN], frames: Vec::new() };
    for number in 0..clients {
        talk.client(number);
    }
    talk.frames
}

struct Talk<'e> {
    engine: &'e Engine<Application>,
    now: Instant,
    scratch: Vec<u8>,
    frames: Vec<Vec<u8>>,
}

/// What a client has to know of an answer: the number behind it, and its timestamp.
struct Answer {
    end: u32,
    timestamp: u32,
}

impl Talk<'_> {
    fn client(&mut self, number: u32) {
        let spread = number.wrapping_mul(0x9e37_79b9);
        let [_, a, b, c] = spread.to_be_bytes();
        let address = Ipv4Addr::new(10, a, b, c.clamp(1, 254));
        let port = 32_768 + (number % 28_000) as u16;
        let ends = Ends::between((address, port).into(), (Ipv4Addr::new(10, 9, 0, 2), 80).into());
        let (isn, time) = (spread ^ 0x5a5a_5a5a, spread >> 3);

        let syn = Segment::syn(&ends).seq(isn).mss(1460).sack_permitted().timestamps(time, 0).window_scale(7);
        let opened = self.say(&syn, Verdict::Replied(ReplyKind::SynAck)).expect("a SYN is answered");
        let ack = Segment::ack(&ends).seq(isn.wrapping_add(1)).ack_number(opened.end);
        let ack = ack.timestamps(time + 1, opened.timestamp);
        self.say(&ack, Verdict::Absorbed(Absorbed::Ack));
        let asked = Ipv4Addr::from_bits(spread.rotate_left(7));
        let request =
            format!("GET /{asked} HTTP/1.1\r\nHost: 10.9.0.2\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\n\r\n");
        let get = ack.clone().payload(&request);
        let answered = self.say(&get, Verdict::Replied(ReplyKind::Response)).expect("a request is answered");
        let fin = Segment::fin(&ends).seq(get.end()).ack_number(answered.end);
        self.say(&fin.timestamps(time + 2, answered.timestamp), Verdict::Replied(ReplyKind::FinAck));
    }

    /// Says it to the engine, which has to do as expected.
    fn say(&mut self, segment: &Segment, expect: Verdict) -> Option<Answer> {
        let frame = segment.frame();
        let mut reply = self.engine.handle(self.now, RxFrame::unchecked(&frame), &mut self.scratch);
        assert_eq!(reply.verdict(), expect);
        let mut buffer = vec![0; 2048];
        let answer = reply.next_frame(&mut buffer).map(|sent| {
            let frame = Frame::dissect(&buffer[..sent.len]).unwrap();
            let (_, tcp) = frame.tcp().unwrap();
            let len = tcp.payload.len() as u32 + 1;
            Answer { end: tcp.seq.value().wrapping_add(len), timestamp: tcp.timestamps.unwrap().0 }
        });
        self.frames.push(frame);
        answer
    }
}
