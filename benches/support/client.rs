//! One client's frames, an engine to hand them to, and the time that it takes.

use std::hint::black_box;
use std::time;

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

const BATCHES: u32 = 200;

/// What is measured: each packet of a client, its request with the ten fields of a browser, two that are dropped or
/// refused, and a whole fetch; and what clients send on a connection that stays open, last the request that draws the
/// first window of a long stored response, and the ACK that draws more.
const PACKETS: [&str; 14] = [
    "syn",
    "ack",
    "get",
    "browser",
    "fin",
    "closed port",
    "garbage",
    "transaction",
    "kept first",
    "kept get",
    "kept fin",
    "kept probe",
    "kept long get",
    "kept long ack",
];

/// Does what the command line says, with an application that answers `short` with one segment and `long` with several.
pub(crate) fn run<A: App>(app: A, short: &str, long: &str) {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let [family, packet, count, more @ ..] = args.as_slice() else {
        println!(
            "usage: cost v4|v6 PACKET COUNT [PERCENT [wait|stall]], where PACKET is one of: {}",
            PACKETS.join(", ")
        );
        return;
    };
    let ends = if family == "v6" { Ends::v6() } else { Ends::v4() };
    let (mut server, frames) = setup(app, [short, long], &ends, packet);
    let count: u32 = count.parse().expect("a number");
    let percent: u32 = more.first().map_or(0, |more| more.parse().expect("a number"));
    let best = match more.get(1) {
        Some(store) => wait_for_stores(&mut server, &frames, count, store == "stall"),
        // What is counted is to be the engine, so the loop has no more in it than it must.
        None => best(count, || {
            for times in [count, count * percent / 100] {
                for _ in 0..times {
                    for frame in &frames {
                        server.run(frame);
                    }
                }
            }
        }),
    };
    println!("{family} {packet}: {best:.1} ns");
}

/// The nanoseconds of one in the best batch of `count`.
fn best(count: u32, mut batch: impl FnMut()) -> f64 {
    let nanos = (0..BATCHES).map(|_| {
        let start = time::Instant::now();
        batch();
        start.elapsed().as_secs_f64() * 1e9 / f64::from(count)
    });
    nanos.fold(f64::INFINITY, f64::min)
}

/// Measures packets that each wait for a store in two pieces: for one of these, or for half of each at once, which
/// takes as many instructions and longer. `cargo xtask times` has to notice that.
fn wait_for_stores<A: App>(server: &mut Loop<A>, frames: &[Vec<u8>], count: u32, is_stalled: bool) -> f64 {
    let (mut pieces, mut found) = ([0_u8; 8], 0_u32);
    // Zero, which the compiler does not know.
    let nothing = black_box(0);
    best(count, || {
        for _ in 0..count {
            for frame in frames {
                let (first, last) = pieces.split_at_mut(4);
                first.copy_from_slice(&found.to_le_bytes());
                black_box(&mut *first);
                last.copy_from_slice(&found.to_le_bytes());
                let stored = black_box(&pieces);
                let piece = if is_stalled { &stored[2..] } else { &stored[..] };
                found = u32::from_le_bytes(*piece.first_chunk().expect("four bytes of eight"));
                server.run(&frame[(found & nothing) as usize..]);
            }
        }
    })
}

/// An engine with the buffers of a loop.
struct Loop<A> {
    engine: Engine<A>,
    scratch: Vec<u8>,
    buffer: Vec<u8>,
}

impl<A: App> Loop<A> {
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

/// An engine, and the frames of one of [`PACKETS`] between these ends.
fn setup<A: App>(app: A, [short, long]: [&str; 2], ends: &Ends, packet: &str) -> (Loop<A>, Vec<Vec<u8>>) {
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
        "browser" => Fetch::of_browser(engine, NOW, ends, short)?.get,
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
