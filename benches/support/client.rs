//! One client's frames, and an engine to hand them to.

use std::hint::black_box;

use lethe::App;
use lethe::config::{Addresses, Config};
use lethe::cookie::Secret;
use lethe::engine::{Engine, SCRATCH_LEN};
use lethe::port::RxFrame;
use lethe::time::Instant;
use lethe::verdict::Verdict;
use lethe_sim::fetch::{Fetch, KeptFetch, LongFetch};
use lethe_sim::frame::{Ends, Segment};

const NOW: Instant = Instant::from_unix_seconds(1_700_000_000);

/// What is measured: each packet of a client, two that are dropped or refused, and a whole fetch; and what clients send
/// on a connection that stays open.
pub(crate) const PACKETS: [&str; 13] = [
    "syn",
    "ack",
    "get",
    "fin",
    "closed port",
    "garbage",
    "transaction",
    "kept first",
    "kept get",
    "kept fin",
    "kept probe",
    LONG[0],
    LONG[1],
];

/// The request that draws the first window of a stored response, and the ACK that draws more: of another application.
pub(crate) const LONG: [&str; 2] = ["kept long get", "kept long ack"];

/// An engine with the buffers of a loop.
pub(crate) struct Loop<A> {
    engine: Engine<A>,
    scratch: Vec<u8>,
    buffer: Vec<u8>,
}

impl<A: App> Loop<A> {
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

/// An engine, and the frames of one of [`PACKETS`] between these ends; `short` and `long` are what the application
/// answers with one segment, and with several.
pub(crate) fn setup<A: App>(app: A, [short, long]: [&str; 2], ends: &Ends, packet: &str) -> (Loop<A>, Vec<Vec<u8>>) {
    let mut addresses = Addresses::new();
    addresses.add(ends.server.ip()).expect("an address of a server");
    let keep_alive = packet.starts_with("kept");
    let engine = Engine::new(Config { addresses, keep_alive, ..Config::new(Secret::new([7; 16])) }, app);
    let frames = frames(&engine, [short, long], ends, packet).expect("an answer of the right length");
    (Loop { engine, scratch: vec![0; SCRATCH_LEN], buffer: vec![0; 2048] }, frames)
}

fn frames<A: App>(
    engine: &Engine<A>,
    [short, long]: [&str; 2],
    ends: &Ends,
    packet: &str,
) -> Result<Vec<Vec<u8>>, Verdict> {
    let fetch = || Fetch::new(engine, NOW, ends, short);
    let kept = || KeptFetch::new(engine, NOW, ends, short);
    let kept_long = || LongFetch::new(engine, NOW, ends, short, long);
    let frame = match packet {
        "syn" => fetch()?.syn,
        "ack" => fetch()?.ack,
        "get" => fetch()?.get,
        "fin" => fetch()?.fin,
        "closed port" => Segment::syn(&ends.server_port(81)).frame(),
        "garbage" => [&fetch()?.syn[..14], &[0xa5; 60]].concat(),
        "transaction" => return Ok(fetch()?.frames().map(<[u8]>::to_vec).to_vec()),
        "kept first" => kept()?.first,
        "kept get" => kept()?.get,
        "kept fin" => kept()?.fin,
        "kept probe" => kept()?.probe,
        "kept long get" => kept_long()?.get,
        "kept long ack" => kept_long()?.ack,
        other => panic!("{other} is none of {PACKETS:?}"),
    };
    Ok(vec![frame])
}
