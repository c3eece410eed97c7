//! The load of publication day on one core: all packets of people who look up their results, through the engine.
//!
//! `cargo bench --bench scores` prints the time of each packet, and how many people a second that allows. Each opens
//! the form, and then a page that fills an Ethernet frame: the budget of the talk, which at 1 Gbit/s is 36,653.

#![allow(clippy::cast_precision_loss, reason = "figures for people")]

use std::io::Cursor;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use lethe::config::{Addresses, Config};
use lethe::cookie::Secret;
use lethe::engine::{Engine, SCRATCH_LEN};
use lethe::port::{Offload, RxFrame};
use lethe::time::Instant as Now;
use lethe::wire::tcp::Flags;
use lethe_apps::scores::{Builder, Image, Labels, Scores};
use lethe_sim::dissect::Frame;
use lethe_sim::frame::{Ends, Segment};

const NOW: Now = Now::from_unix_seconds(1_780_000_000);
const CANDIDATES: u32 = 400_000;

/// People whose packets are prepared, so that they are in a cache as those that a card has just written.
const CROWD: u32 = 256;

/// The number of such crowds that are measured.
const ROUNDS: u32 = 100;

/// The body of a page: with a head of 155 bytes, TCP timestamps and IPv4, a packet of 1,500 bytes.
const PAGE: usize = 1293;

/// The overhead of an Ethernet frame on the wire: preamble, check sequence, gap.
const WIRE: usize = 8 + 4 + 12;

/// The shortest frame without its check sequence.
const FRAME_MIN: usize = 60;

struct Server {
    engine: Engine<Scores>,
    scratch: Vec<u8>,
    buffers: Vec<Vec<u8>>,
    next: usize,
    frames: u64,
    wire: u64,
}

impl Server {
    /// Handles a frame, and writes the replies into a ring of buffers, as with a card.
    #[inline]
    fn run(&mut self, frame: &[u8]) -> usize {
        let mut reply = self.engine.handle(NOW, RxFrame::unchecked(frame), &mut self.scratch);
        let mut sent = 0;
        while reply.is_pending() {
            self.next = (self.next + 1) % self.buffers.len();
            if let Some(frame) = reply.next_frame(&mut self.buffers[self.next]) {
                sent += frame.len;
                self.frames += 1;
                self.wire += (frame.len.max(FRAME_MIN) + WIRE) as u64;
            }
        }
        sent
    }

    /// The frame that was written last.
    fn last(&self, len: usize) -> Frame<'_> {
        Frame::dissect(&self.buffers[self.next][..len]).expect("a frame of ours")
    }
}

fn numbers(candidate: u32) -> (String, String) {
    (format!("26990{candidate:08}"), format!("9901012008010{candidate:05}"))
}

fn server(offload: Offload) -> Server {
    let mut builder = Builder::new(Cursor::new(Vec::new()), [7; 32], Labels::default()).expect("memory");
    for candidate in 0..CANDIDATES {
        let (seat, secret) = numbers(candidate);
        builder.add(&seat, &secret, &[b'x'; PAGE]).expect("a candidate");
    }
    let image = Image::open(builder.finish().expect("memory").into_inner()).expect("what was built");
    let mut addresses = Addresses::new();
    addresses.add(Ipv4Addr::new(10, 9, 0, 2).into()).expect("an address");
    let config = Config { addresses, offload, keep_alive: false, ..Config::new(Secret::new([7; 16])) };
    let engine = Engine::new(config, Scores::new(Arc::new(image)));
    let buffers = vec![vec![0; 2048]; 512];
    Server { engine, scratch: vec![0; SCRATCH_LEN], buffers, next: 0, frames: 0, wire: 0 }
}

/// All packets of one connection, in the order in which they come.
fn connection(server: &mut Server, client: u32, target: &str) -> [Vec<u8>; 4] {
    let address = Ipv4Addr::from_bits(0x0a00_0000 + client / 1000);
    let client = SocketAddr::from((address, 10_000 + (client % 1000) as u16));
    let ends = Ends::between(client, (Ipv4Addr::new(10, 9, 0, 2), 80).into());
    let syn = Segment::syn(&ends).seq(1000).mss(1460).sack_permitted().timestamps(5, 0).frame();
    let len = server.run(&syn);
    let (cookie, echo) = {
        let frame = server.last(len);
        let (_, tcp) = frame.tcp().expect("TCP");
        (tcp.seq.value().wrapping_add(1), tcp.timestamps.expect("timestamps").0)
    };
    let request = format!(
        "GET {target} HTTP/1.1\r\nHost: 10.9.0.2\r\nUser-Agent: Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 \
         (KHTML, like Gecko) Chrome/140.0 Mobile Safari/537.36\r\nAccept: text/html,application/xhtml+xml\r\n\
         Accept-Language: zh-CN,zh;q=0.9\r\n\r\n"
    );
    let behind = 1001 + request.len() as u32;
    let at = |seq: u32, read: u32, echo: u32| {
        Segment::ack(&ends).seq(seq).ack_number(cookie.wrapping_add(read)).timestamps(6, echo)
    };
    let get = at(1001, 0, echo).payload(&request).frame();
    let len = server.run(&get);
    let (read, echo) = {
        let frame = server.last(len);
        let (_, tcp) = frame.tcp().expect("TCP");
        assert!(tcp.flags.has(Flags::FIN), "the reply is one packet");
        (tcp.payload.len() as u32 + 1, tcp.timestamps.expect("timestamps").0)
    };
    [syn, at(1001, 0, echo).frame(), get, at(behind, read, echo).with(Flags::FIN).frame()]
}

fn main() {
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    for (name, offload) in [
        ("checksums by the processor", Offload::default()),
        ("checksums by the card", Offload { ipv4: true, tcp: true, segmentation: false }),
    ] {
        measure(name, offload);
    }
}

fn measure(name: &str, offload: Offload) {
    let mut server = server(offload);
    let (mut packets, mut candidate) = ([Duration::ZERO; 8], 0_u32);
    let (mut frames, mut wire, mut longest) = (0, 0, 0);
    for _ in 0..ROUNDS {
        // In random order, so that no page is cached.
        let mut crowd = Vec::new();
        for person in 0..CROWD {
            candidate = (candidate + 157_831) % CANDIDATES;
            let (seat, secret) = numbers(candidate);
            let form = connection(&mut server, 2 * person, "/");
            let page = connection(&mut server, 2 * person + 1, &format!("/?seat={seat}&id={secret}"));
            crowd.push([form, page].concat());
        }
        // Preparing the packets has cached the pages, so other pages are read before the measurement.
        for other in 0..40_000_u32 {
            let (seat, secret) = numbers((candidate + other * 7) % CANDIDATES);
            let query = format!("seat={seat}&id={secret}");
            std::hint::black_box(lookup(&server, &query));
        }
        (server.frames, server.wire) = (0, 0);
        for (packet, elapsed) in packets.iter_mut().enumerate() {
            let start = Instant::now();
            for person in &crowd {
                longest = server.run(&person[packet]).max(longest);
            }
            *elapsed += start.elapsed();
        }
        frames += server.frames;
        wire += server.wire;
    }
    let people = f64::from(CROWD * ROUNDS);
    let nanos = packets.map(|elapsed| elapsed.as_secs_f64() * 1e9 / people);
    let total: f64 = nanos.iter().sum();
    println!("{name}:");
    for (what, nanos) in ["form: SYN", "ACK", "GET", "FIN", "page: SYN", "ACK", "GET", "FIN"].iter().zip(nanos) {
        println!("  {what:<10} {nanos:7.0} ns");
    }
    let (frames, wire) = (frames as f64 / people, wire as f64 / people);
    println!("  {total:.0} ns a person: {:.0} people a second on this core", 1e9 / total);
    println!(
        "  {frames} frames to each, the longest {longest} bytes; {wire:.0} bytes on the wire: {:.0} people a second at \
         1 Gbit/s",
        1e9 / 8.0 / wire
    );
}

fn lookup(server: &Server, query: &str) -> usize {
    let mut scratch = [0; 2048];
    let request = lethe::Request::get(b"/").with_query(Some(query.as_bytes()));
    lethe::App::respond(server.engine.app(), &request, &mut scratch).len()
}
