//! One client's frames, and an engine to hand them to.

use std::hint::black_box;

use lethe::config::{Addresses, Config};
use lethe::cookie::Secret;
use lethe::engine::{Engine, SCRATCH_LEN};
use lethe::port::RxFrame;
use lethe::time::Instant;
use lethe_apps::ipinfo::IpInfo;
use lethe_sim::fetch::Fetch;
use lethe_sim::frame::{Ends, Segment};

const NOW: Instant = Instant::from_unix_seconds(1_700_000_000);

/// What is measured: each packet of a client, two that are dropped or refused, and a whole fetch.
pub(crate) const PACKETS: [&str; 10] =
    ["syn", "ack", "get", "fin", "closed port", "garbage", "transaction", "kept get", "kept fin", "kept probe"];

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
}

/// An engine, and the frames of one of [`PACKETS`] between these ends.
pub(crate) fn setup(ends: &Ends, packet: &str) -> (Loop, Vec<Vec<u8>>) {
    let mut addresses = Addresses::new();
    addresses.add(ends.server.ip()).expect("an address of a server");
    let keep_alive = packet.starts_with("kept");
    let engine = Engine::new(Config { addresses, keep_alive, ..Config::new(Secret::new([7; 16])) }, IpInfo::embedded());
    let fetch = Fetch::new(&engine, NOW, ends, "/202.96.128.86").expect("an answer in one segment");
    let frames = match packet {
        "syn" => vec![fetch.syn],
        "ack" => vec![fetch.ack],
        "get" => vec![fetch.get],
        "fin" => vec![fetch.fin],
        "closed port" => vec![Segment::syn(&ends.server_port(81)).frame()],
        "garbage" => vec![[&fetch.syn[..14], &[0xa5; 60]].concat()],
        "transaction" => fetch.frames().map(<[u8]>::to_vec).to_vec(),
        "kept get" | "kept fin" | "kept probe" => {
            let [get, fin, probe] = Fetch::kept(&engine, NOW, ends, "/202.96.128.86").expect("it is kept open");
            vec![if packet == "kept get" {
                get
            } else if packet == "kept fin" {
                fin
            } else {
                probe
            }]
        }
        other => panic!("{other} is none of {PACKETS:?}"),
    };
    (Loop { engine, scratch: vec![0; SCRATCH_LEN], buffer: vec![0; 2048] }, frames)
}
