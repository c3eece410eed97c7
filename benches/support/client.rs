//! One client's frames, and an engine to hand them to.

use std::hint::black_box;
use std::net::{Ipv4Addr, Ipv6Addr};

use lethe::config::{Addresses, Config};
use lethe::cookie::{Flow, Secret};
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

pub(crate) const V4: AddressPair =
    AddressPair::V4 { source: Ipv4Addr::new(10, 9, 0, 1), destination: Ipv4Addr::new(10, 9, 0, 2) };
pub(crate) const V6: AddressPair = AddressPair::V6 {
    source: Ipv6Addr::new(0xfd09, 0, 0, 0, 0, 0, 0, 1),
    destination: Ipv6Addr::new(0xfd09, 0, 0, 0, 0, 0, 0, 2),
};

/// What is measured: each packet of a client, two that nobody wants, and a whole fetch.
pub(crate) const PACKETS: [&str; 7] = ["syn", "ack", "get", "fin", "closed port", "garbage", "transaction"];

/// The frames of one client that asks where an address is.
pub(crate) struct Frames {
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
pub(crate) struct Loop {
    engine: Engine<IpInfo<'static>>,
    scratch: Vec<u8>,
    buffer: Vec<u8>,
}

impl Loop {
    /// Hands in one frame, writes the reply, and returns its bytes.
    #[inline]
    pub(crate) fn run(&mut self, frame: &[u8]) -> usize {
        let mut reply = self.engine.handle(NOW, RxFrame::unchecked(black_box(frame)), &mut self.scratch);
        let mut sent = 0;
        while reply.is_pending() {
            sent += reply.next_frame(black_box(&mut self.buffer)).map_or(0, |frame| frame.len);
        }
        sent
    }

    /// Hands in one frame, and returns what its client says next: sequence number, acknowledgement, echoed timestamp.
    fn answer(&mut self, flow: &Flow, frame: &[u8]) -> (SeqNumber, SeqNumber, u32) {
        let sent = self.run(frame);
        let (header, payload) =
            tcp::Header::parse(&self.buffer[14 + flow.addresses.header_len()..sent]).expect("a segment");
        let fin_or_syn = u32::from(header.flags.has(Flags::FIN)) + u32::from(header.flags.has(Flags::SYN));
        let behind = header.seq.advance(payload.len() as u32 + fin_or_syn);
        (header.ack, behind, header.options.timestamps.expect("timestamps").value)
    }
}

pub(crate) fn setup(addresses: AddressPair) -> (Loop, Frames) {
    let mut ours = Addresses::new();
    ours.add(addresses.destination()).unwrap();
    let engine = Engine::new(Config { addresses: ours, ..Config::new(Secret::new([7; 16])) }, IpInfo::embedded());
    let mut server = Loop { engine, scratch: vec![0; SCRATCH_LEN], buffer: vec![0; 2048] };

    let flow = Flow { addresses, client_port: 40_000, server_port: 80 };
    let closed = Flow { server_port: 81, ..flow };
    let zero = SeqNumber::default();
    let syn = segment(&flow, Flags::SYN, ISN, zero, 0, &[]);
    let mut garbage = syn.clone();
    garbage[14..].fill(0xa5);
    let closed = segment(&closed, Flags::SYN, ISN, zero, 0, &[]);

    // A dialogue: each frame answers what the engine said to the one before.
    let (seq, ack, echo) = server.answer(&flow, &syn);
    let get = segment(&flow, Flags::ACK.with(Flags::PSH), seq, ack, echo, REQUEST);
    let bare = segment(&flow, Flags::ACK, seq, ack, echo, &[]);
    let (seq, ack, echo) = server.answer(&flow, &get);
    let fin = segment(&flow, Flags::FIN.with(Flags::ACK), seq, ack, echo, &[]);
    let frames = Frames { syn, ack: bare, get, fin, closed, garbage };
    // What is measured is what it says it is.
    assert!(server.run(&frames.syn) > 0 && server.run(&frames.get) > 150 && server.run(&frames.fin) > 0);
    assert!(server.run(&frames.ack) == 0 && server.run(&frames.closed) == 0 && server.run(&frames.garbage) == 0);
    (server, frames)
}

impl Frames {
    /// Those of one of [`PACKETS`].
    pub(crate) fn of(&self, packet: &str) -> Vec<&[u8]> {
        let Self { syn, ack, get, fin, closed, garbage } = self;
        match packet {
            "syn" => vec![syn],
            "ack" => vec![ack],
            "get" => vec![get],
            "fin" => vec![fin],
            "closed port" => vec![closed],
            "garbage" => vec![garbage],
            _ => vec![syn, ack, get, ack, fin],
        }
    }
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
    let words = header.words();
    let sum = flow.addresses.pseudo_header(Protocol::TCP, words.len() + payload.len());
    let mut segment = vec![0; words.len()];
    words.emit(sum.followed_by(words.sum()).with(payload).finish(), &mut segment).unwrap();
    segment.extend(payload);

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
