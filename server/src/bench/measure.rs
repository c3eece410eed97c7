//! How long it takes.

#![allow(clippy::cast_precision_loss, reason = "figures for people")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use lethe::engine::SCRATCH_LEN;
use lethe::port::{Checked, RxChecksum, RxFrame};
use lethe::{App, Engine};
use lethe_sim::fetch::Fetch;
use perf_event::events::Hardware;
use perf_event::{Builder, Counter};
use serde::Serialize;

use super::clients::{Family, NOW};

/// Packets, or fetches, that are measured together: long enough for the clock to be of no account.
const BATCH: usize = 64;

/// Transmit buffers, as many as a small ring has.
const BUFFERS: usize = 256;

/// What one packet costs, or one fetch.
#[derive(Clone, Copy, Serialize)]
pub(super) struct Cost {
    pub(super) best_ns: f64,
    pub(super) median_ns: f64,
    pub(super) p99_ns: f64,
    /// Where the machine counts them.
    pub(super) cycles: Option<f64>,
    pub(super) instructions: Option<f64>,
}

/// An engine with the buffers of a loop.
pub(super) struct Bench<A> {
    engine: Engine<A>,
    checksum: RxChecksum,
    each: Duration,
    scratch: Vec<u8>,
    buffers: Vec<Vec<u8>>,
    next: usize,
}

impl<A: App> Bench<A> {
    pub(super) fn new(engine: Engine<A>, by_card: bool, each: Duration) -> Self {
        let checked = if by_card { Checked::Good } else { Checked::Unknown };
        Self {
            engine,
            checksum: RxChecksum { network: checked, transport: checked },
            each,
            scratch: vec![0; SCRATCH_LEN],
            buffers: vec![vec![0; 2048]; BUFFERS],
            next: 0,
        }
    }

    /// The cost of what each client sends, who come one after the other.
    pub(super) fn measure(&mut self, clients: &[Vec<Vec<u8>>]) -> Cost {
        let mut at = 0;
        self.batches(|bench| {
            for _ in 0..BATCH {
                at = (at + 1) % clients.len();
                for frame in &clients[at] {
                    bench.run(frame);
                }
            }
        })
    }

    /// The cost of a request, where each is for something else.
    pub(super) fn measure_at_random(&mut self, clients: &[Fetch], target: impl Fn(u32) -> String) -> Cost {
        let mut number = clients.len() as u32;
        let mut times = Vec::new();
        let start = Instant::now();
        while start.elapsed() < self.each || times.is_empty() {
            let frames: Vec<Vec<u8>> = (0..BATCH)
                .map(|_| {
                    number = number.wrapping_add(1);
                    let ends = Family::V4.ends(number);
                    Fetch::new(&self.engine, NOW, &ends, &target(number.rotate_left(9))).map(|fetch| fetch.get)
                })
                .filter_map(Result::ok)
                .collect();
            // What was asked for while the frames were made is in a cache now: others are asked for in between.
            for other in 0..BATCH as u32 * 64 {
                let other = number.wrapping_mul(31).wrapping_add(other);
                black_box(ask(&self.engine, &target(other), &mut self.scratch));
            }
            let begin = Instant::now();
            for frame in &frames {
                self.run(frame);
            }
            times.push(begin.elapsed().as_secs_f64() * 1e9 / frames.len().max(1) as f64);
        }
        cost(times, None, None)
    }

    fn batches(&mut self, mut batch: impl FnMut(&mut Self)) -> Cost {
        // Caches and branch predictors learn.
        for _ in 0..16 {
            batch(self);
        }
        let mut times = Vec::new();
        let mut counters = [Hardware::CPU_CYCLES, Hardware::INSTRUCTIONS].map(counter);
        let start = Instant::now();
        while start.elapsed() < self.each || times.is_empty() {
            let begin = Instant::now();
            batch(self);
            times.push(begin.elapsed().as_secs_f64() * 1e9 / BATCH as f64);
        }
        // The clock between the batches is counted, too, and is of no account.
        let total = (times.len() * BATCH) as f64;
        let [cycles, instructions] = counters.each_mut().map(|counter| {
            let count = counter.as_mut()?.read().ok().filter(|&count| count > 0)?;
            Some(count as f64 / total)
        });
        cost(times, cycles, instructions)
    }

    /// Hands in one frame, and writes what answers it.
    #[inline]
    fn run(&mut self, frame: &[u8]) {
        let frame = RxFrame { bytes: black_box(frame), checksum: self.checksum };
        let mut reply = self.engine.handle(NOW, frame, &mut self.scratch);
        while reply.is_pending() {
            self.next = (self.next + 1) % BUFFERS;
            black_box(reply.next_frame(&mut self.buffers[self.next]));
        }
    }
}

/// What the application says, without packets.
fn ask(engine: &Engine<impl App>, target: &str, scratch: &mut [u8]) -> usize {
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let request = lethe::Request::get(path.as_bytes()).with_query(query.map(str::as_bytes));
    let response = App::respond(engine.app(), &request, scratch);
    response.body().iter().step_by(64).map(|&byte| usize::from(byte)).sum()
}

/// A counter of the processor for this thread, where there are such.
fn counter(what: Hardware) -> Option<Counter> {
    let mut counter = Builder::new(what).exclude_kernel(true).build().ok()?;
    counter.enable().ok()?;
    Some(counter)
}

fn cost(mut times: Vec<f64>, cycles: Option<f64>, instructions: Option<f64>) -> Cost {
    times.sort_unstable_by(f64::total_cmp);
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    Cost { best_ns: at(0), median_ns: at(50), p99_ns: at(99), cycles, instructions }
}
