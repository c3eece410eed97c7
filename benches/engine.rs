//! What a packet costs: `handle` and `next_frame`, without any port.
//!
//! Run with `cargo bench --bench engine`. Each figure is the time for one packet, reply included; the
//! transaction is all five packets that a client sends for one answer.

use std::net::{Ipv4Addr, Ipv6Addr};

use divan::{Bencher, black_box};
use lethe::config::{Addresses, Config};
use lethe::cookie::{Claims, Flow, Mss, Secret};
use lethe::engine::{Engine, SCRATCH_LEN};
use lethe::port::RxFrame;
use lethe::time::Instant;
use lethe::wire::ethernet::{Header as Ethernet, MacAddress};
use lethe::wire::ip::{AddressPair, Protocol};
use lethe::wire::seq::SeqNumber;
use lethe::wire::tcp::{self, Flags, Options, Timestamps};
use lethe::wire::{ipv4, ipv6};
use lethe_apps::ipinfo::IpInfo;

const NOW: Instant = Instant::from_unix_seconds(1_700_000_000);
const ISN: SeqNumber = SeqNumber::new(0x1234_5678);
const REQUEST: &[u8] =
    b"GET /202.96.128.86 HTTP/1.1\r\nHost: 10.9.0.2\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\n\r\n";

const V4: AddressPair = AddressPair::V4 { source: Ipv4Addr::new(10, 9, 0, 1), destination: Ipv4Addr::new(10, 9, 0, 2) };
const V6: AddressPair = AddressPair::V6 {
    source: Ipv6Addr::new(0xfd09, 0, 0, 0, 0, 0, 0, 1),
    destination: Ipv6Addr::new(0xfd09, 0, 0, 0, 0, 0, 0, 2),
};

fn main() {
    divan::main();
}

/// The frames of one client that asks where an address is.
struct Frames {
    syn: Vec<u8>,
    ack: Vec<u8>,
    get: Vec<u8>,
    fin: Vec<u8>,
    /// A SYN to a port that nobody listens on.
    closed: Vec<u8>,
    /// Bytes without meaning behind a good Ethernet header.
    garbage: Vec<u8>,
}

/// An engine with the buffers of a loop.
struct Loop {
    engine: Engine<IpInfo<'static>>,
    scratch: Vec<u8>,
    buffer: Vec<u8>,
}

impl Loop {
    /// Hands in one frame, writes the reply, and returns its bytes.
    #[inline]
    fn run(&mut self, frame: &[u8]) -> usize {
        let mut reply = self.engine.handle(NOW, RxFrame::unchecked(black_box(frame)), &mut self.scratch);
        let mut sent = 0;
        while reply.is_pending() {
            sent += reply.next_frame(black_box(&mut self.buffer)).map_or(0, |frame| frame.len);
        }
        sent
    }
}

fn setup(addresses: AddressPair) -> (Loop, Frames) {
    let secret = Secret::new([7; 16]);
    let mut ours = Addresses::new();
    ours.add(addresses.destination()).unwrap();
    let engine = Engine::new(Config { addresses: ours, ..Config::new(secret) }, IpInfo::embedded());
    let mut server = Loop { engine, scratch: vec![0; SCRATCH_LEN], buffer: vec![0; 2048] };

    let flow = Flow { addresses, client_port: 40_000, server_port: 80 };
    let closed = Flow { server_port: 81, ..flow };
    let base = secret.identify(&flow).timestamp_base;
    let (seq, ack) =
        (ISN.advance(1), secret.cookie(NOW, &flow, ISN, Claims { mss: Mss::at_most(1460), generation: 0 }).advance(1));
    let behind = seq.advance(REQUEST.len() as u32);
    let zero = SeqNumber::default();
    let mut garbage = segment(&flow, Flags::SYN, ISN, zero, 0, &[]);
    garbage[14..].fill(0xa5);
    let frames = Frames {
        syn: segment(&flow, Flags::SYN, ISN, zero, 0, &[]),
        ack: segment(&flow, Flags::ACK, seq, ack, base, &[]),
        get: segment(&flow, Flags::ACK.with(Flags::PSH), seq, ack, base, REQUEST),
        fin: segment(&flow, Flags::FIN.with(Flags::ACK), behind, ack.advance(200), base.wrapping_add(2), &[]),
        closed: segment(&closed, Flags::SYN, ISN, zero, 0, &[]),
        garbage,
    };
    // What is measured is what it says it is.
    assert!(server.run(&frames.syn) > 0 && server.run(&frames.get) > 150 && server.run(&frames.fin) > 0);
    assert!(server.run(&frames.ack) == 0 && server.run(&frames.closed) == 0 && server.run(&frames.garbage) == 0);
    (server, frames)
}

/// A frame with timestamps, as Linux sends it.
fn segment(flow: &Flow, flags: Flags, seq: SeqNumber, ack: SeqNumber, echo: u32, payload: &[u8]) -> Vec<u8> {
    let syn = flags.has(Flags::SYN);
    let options = Options {
        mss: syn.then_some(1460),
        sack_permitted: syn,
        timestamps: Some(Timestamps { value: 1_000_000, echo }),
    };
    let header = tcp::Header {
        source_port: flow.client_port,
        destination_port: flow.server_port,
        seq,
        ack,
        flags,
        window: 64_240,
        options,
    };
    let mut bytes = [0; tcp::HEADER_LEN_MAX];
    let len = header.emit(&mut bytes);
    let mut segment = [&bytes[..len], payload].concat();
    let checksum = flow.addresses.pseudo_header(Protocol::TCP, segment.len()).with(&segment).finish();
    segment[tcp::CHECKSUM_OFFSET..][..2].copy_from_slice(&checksum.to_be_bytes());

    let link = Ethernet {
        destination: MacAddress::LETHE,
        source: MacAddress::new([2, 0, 0, 0, 0, 1]),
        tag: None,
        ether_type: flow.addresses.ether_type(),
    };
    let mut frame = vec![0; link.header_len() + flow.addresses.header_len()];
    let room = link.emit(&mut frame).unwrap();
    match flow.addresses {
        AddressPair::V4 { source, destination } => ipv4::Emit {
            source,
            destination,
            protocol: Protocol::TCP,
            ttl: 64,
            identification: 0,
            fragment_offset: 0,
            more_fragments: false,
            payload_len: segment.len(),
            partial_checksum: false,
        }
        .emit(room),
        AddressPair::V6 { source, destination } => {
            let (payload_len, fragment) = (segment.len(), None);
            ipv6::Emit { source, destination, protocol: Protocol::TCP, hop_limit: 64, payload_len, fragment }.emit(room)
        }
    }
    .unwrap();
    frame.extend(segment);
    frame
}

/// What is measured: each packet of a client, two that nobody wants, and a whole fetch.
const PACKETS: [&str; 7] = ["syn", "ack", "get", "fin", "closed port", "garbage", "transaction"];

fn measure(bencher: Bencher<'_, '_>, addresses: AddressPair, packet: &str) {
    let (mut server, frames) = setup(addresses);
    let Frames { syn, ack, get, fin, closed, garbage } = &frames;
    let packets = match packet {
        "syn" => vec![syn],
        "ack" => vec![ack],
        "get" => vec![get],
        "fin" => vec![fin],
        "closed port" => vec![closed],
        "garbage" => vec![garbage],
        _ => vec![syn, ack, get, ack, fin],
    };
    bencher.bench_local(|| packets.iter().map(|frame| server.run(frame)).sum::<usize>());
}

#[divan::bench(args = PACKETS)]
fn v4(bencher: Bencher<'_, '_>, packet: &str) {
    measure(bencher, V4, packet);
}

#[divan::bench(args = PACKETS)]
fn v6(bencher: Bencher<'_, '_>, packet: &str) {
    measure(bencher, V6, packet);
}
