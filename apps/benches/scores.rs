//! Compares hash tables of candidates, and measures the lookup of a page.
//!
//! `cargo bench -p lethe-apps --bench scores` prints, for the 400,000 candidates of the sample, what each table takes
//! of memory, how many entries a lookup reads, and its time: *hot*, with the same thousand candidates again and again;
//! *mixed*, with all candidates in random order; and *cold*, with other data read through the caches between every few
//! of them.

#![allow(clippy::cast_precision_loss, reason = "figures for people")]

use std::collections::HashMap;
use std::hint::black_box;
use std::io::Cursor;
use std::time::{Duration, Instant};

use lethe::{App, Request};
use lethe_apps::scores::{Builder, Image, Labels, Scores, write_sample};
use siphasher::sip::SipHasher13;

#[allow(dead_code, unused_imports, reason = "not all of it is measured")]
#[path = "../src/scores/phf.rs"]
mod phf;

const CANDIDATES: u32 = 400_000;

/// Lookups between two floods of the caches.
const COLD_BATCH: usize = 16;

/// More than any cache holds of it.
const FLOOD: usize = 192 << 20;

/// A page of about a thousand bytes.
const PAGE: [u8; 1000] = [b'x'; 1000];

/// A candidate, as a table sees one.
struct Person {
    seat: Vec<u8>,
    secret: Vec<u8>,
    /// What the tables with hashes are given.
    hash: u64,
}

fn people() -> Vec<Person> {
    let mut table = Vec::new();
    write_sample(CANDIDATES, 1, &mut table, &mut |_, _| ()).expect("memory can be written");
    let [header, record] = [8, 10].map(|at| usize::from(u16::from_le_bytes([table[at], table[at + 1]])));
    let person = |number: usize| {
        let record = &table[header + number * record..][..record];
        let (seat, secret) = (record[1..14].to_vec(), record[14..32].to_vec());
        let hash = std::hash::Hasher::finish(&{
            let mut hasher = SipHasher13::new();
            std::hash::Hasher::write(&mut hasher, &seat);
            hasher
        });
        Person { seat, secret, hash }
    };
    (0..CANDIDATES as usize).map(person).collect()
}

/// Something that finds the line of a candidate's record, and says how many entries it looked at.
trait Table {
    const NAME: &'static str;
    fn of(people: &[Person]) -> Self;
    fn find(&self, person: &Person) -> (u32, u32);
    /// Bytes of all of it.
    fn len(&self) -> usize;
}

/// The table of the talk: heads of chains, and the candidates in them, each with its seat number.
struct Chains {
    heads: Vec<u32>,
    nodes: Vec<Node>,
}

struct Node {
    seat: [u8; 16],
    next: u32,
    line: u32,
}

fn weighted_sum(seat: &[u8]) -> usize {
    seat.iter().fold(0, |sum, &character| (sum * 31 + usize::from(character)) % 1_000_000)
}

fn padded(seat: &[u8]) -> [u8; 16] {
    std::array::from_fn(|at| seat.get(at).copied().unwrap_or(0))
}

impl Table for Chains {
    const NAME: &'static str = "weighted sum, chains (the talk)";

    fn of(people: &[Person]) -> Self {
        let mut table = Self { heads: vec![u32::MAX; 1_000_000], nodes: Vec::new() };
        for (person, line) in people.iter().zip(0..) {
            let head = &mut table.heads[weighted_sum(&person.seat)];
            table.nodes.push(Node { seat: padded(&person.seat), next: *head, line });
            *head = line;
        }
        table
    }

    fn find(&self, person: &Person) -> (u32, u32) {
        let seat = padded(&person.seat);
        let (mut at, mut looked) = (self.heads[weighted_sum(&person.seat)], 1);
        loop {
            let node = &self.nodes[at as usize];
            if node.seat == seat {
                return (node.line, looked);
            }
            (at, looked) = (node.next, looked + 1);
        }
    }

    fn len(&self) -> usize {
        4 * self.heads.len() + size_of::<Node>() * self.nodes.len()
    }
}

/// Open addressing: half of the slots are empty, and the next one is looked at where one is taken.
struct Linear(Vec<(u32, u32)>);

impl Table for Linear {
    const NAME: &'static str = "linear probing, at most half full";

    fn of(people: &[Person]) -> Self {
        let mut slots = vec![(0, u32::MAX); (2 * people.len()).next_power_of_two()];
        let last = slots.len() - 1;
        for (person, line) in people.iter().zip(0..) {
            let mut at = person.hash as usize & last;
            while slots[at].1 != u32::MAX {
                at = (at + 1) & last;
            }
            slots[at] = ((person.hash >> 32) as u32, line);
        }
        Self(slots)
    }

    fn find(&self, person: &Person) -> (u32, u32) {
        let (mark, last) = ((person.hash >> 32) as u32, self.0.len() - 1);
        let (mut at, mut looked) = (person.hash as usize & last, 1);
        while self.0[at].0 != mark {
            (at, looked) = ((at + 1) & last, looked + 1);
        }
        (self.0[at].1, looked)
    }

    fn len(&self) -> usize {
        8 * self.0.len()
    }
}

/// Robin Hood hashing, nine in ten slots full: of two entries the one that is farther from its first slot stays.
struct RobinHood(Vec<(u32, u32)>);

impl RobinHood {
    fn home(&self, mark: u32) -> usize {
        ((u64::from(mark) * self.0.len() as u64) >> 32) as usize
    }
}

impl Table for RobinHood {
    const NAME: &'static str = "Robin Hood, 90 % full";

    fn of(people: &[Person]) -> Self {
        let mut table = Self(vec![(0, u32::MAX); people.len() * 10 / 9]);
        let len = table.0.len();
        for (person, line) in people.iter().zip(0..) {
            let mut entry = ((person.hash >> 32) as u32, line);
            let (mut at, mut distance) = (table.home(entry.0), 0);
            while table.0[at].1 != u32::MAX {
                let there = (at + len - table.home(table.0[at].0)) % len;
                if there < distance {
                    std::mem::swap(&mut entry, &mut table.0[at]);
                    distance = there;
                }
                (at, distance) = ((at + 1) % len, distance + 1);
            }
            table.0[at] = entry;
        }
        table
    }

    fn find(&self, person: &Person) -> (u32, u32) {
        let mark = (person.hash >> 32) as u32;
        let (mut at, mut looked) = (self.home(mark), 1);
        while self.0[at].0 != mark {
            at = if at + 1 == self.0.len() { 0 } else { at + 1 };
            looked += 1;
        }
        (self.0[at].1, looked)
    }

    fn len(&self) -> usize {
        8 * self.0.len()
    }
}

/// Eight entries in a cache line, four in five of them used; what does not fit goes into the next line.
struct Lines(Vec<Line>);

#[repr(align(64))]
#[derive(Clone)]
struct Line([(u32, u32); 8]);

impl Table for Lines {
    const NAME: &'static str = "cache lines of eight, 80 % full";

    fn of(people: &[Person]) -> Self {
        let mut lines = vec![Line([(0, u32::MAX); 8]); people.len() / 8 * 5 / 4 + 1];
        let count = lines.len();
        for (person, line) in people.iter().zip(0..) {
            let mut at = (person.hash as u32 as usize) % count;
            let place = loop {
                if let Some(place) = lines[at].0.iter_mut().find(|entry| entry.1 == u32::MAX) {
                    break place;
                }
                at = (at + 1) % count;
            };
            *place = ((person.hash >> 32) as u32, line);
        }
        Self(lines)
    }

    fn find(&self, person: &Person) -> (u32, u32) {
        let (mark, mut looked) = ((person.hash >> 32) as u32, 1);
        let mut at = (person.hash as u32 as usize) % self.0.len();
        loop {
            if let Some(entry) = self.0[at].0.iter().find(|entry| entry.0 == mark) {
                return (entry.1, looked);
            }
            at = if at + 1 == self.0.len() { 0 } else { at + 1 };
            looked += 1;
        }
    }

    fn len(&self) -> usize {
        64 * self.0.len()
    }
}

/// The standard library's table, which has all that it needs to grow.
struct Std(HashMap<u64, u32>);

impl Table for Std {
    const NAME: &'static str = "std::collections::HashMap";

    fn of(people: &[Person]) -> Self {
        Self(people.iter().zip(0..).map(|(person, line)| (person.hash, line)).collect())
    }

    fn find(&self, person: &Person) -> (u32, u32) {
        // It does not tell how many it looks at.
        (self.0[&person.hash], 0)
    }

    fn len(&self) -> usize {
        // A byte of control for each entry of 16; seven eighths of a power of two are used.
        (self.0.capacity() * 8 / 7).next_power_of_two() * 17
    }
}

/// What is in a file of scores.
struct Perfect {
    pilots: Vec<phf::Pilot>,
    slots: Vec<u32>,
}

impl Table for Perfect {
    const NAME: &'static str = "perfect hashing (the file of scores)";

    fn of(people: &[Person]) -> Self {
        let hashes: Vec<u64> = people.iter().map(|person| person.hash).collect();
        let pilots = phf::find(&hashes).expect("no two are the same");
        let mut slots = vec![0; phf::slots(people.len() as u32).expect("not too many") as usize];
        for (hash, line) in hashes.iter().zip(0..) {
            let slot = phf::slot(&pilots, slots.len() as u32, *hash);
            slots[slot as usize] = line;
        }
        Self { pilots, slots }
    }

    fn find(&self, person: &Person) -> (u32, u32) {
        (self.slots[phf::slot(&self.pilots, self.slots.len() as u32, person.hash) as usize], 1)
    }

    fn len(&self) -> usize {
        2 * self.pilots.len() + 4 * self.slots.len()
    }
}

/// The numbers below `count` in no order.
fn shuffled(count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    let mut state = 1_u64;
    for at in (1..count).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        order.swap(at, (state >> 33) as usize % (at + 1));
    }
    order
}

/// Pushes everything else out of the caches.
fn flood(bytes: &mut [u64]) {
    for word in bytes.iter_mut().step_by(8) {
        *word = word.wrapping_add(1);
    }
    black_box(bytes);
}

/// Nanoseconds of a lookup: hot, mixed, cold.
fn time(order: &[usize], flooded: &mut [u64], mut find: impl FnMut(usize)) -> [f64; 3] {
    let per = |elapsed: Duration, count: usize| elapsed.as_secs_f64() * 1e9 / count as f64;
    let mut over = |order: &[usize]| {
        let start = Instant::now();
        for &at in order {
            find(at);
        }
        start.elapsed()
    };
    let few = &order[..1000];
    over(few);
    let hot = (0..200).map(|_| over(few)).min().map_or(0.0, |elapsed| per(elapsed, few.len()));
    over(order);
    let mixed = (0..3).map(|_| over(order)).min().map_or(0.0, |elapsed| per(elapsed, order.len()));
    let mut cold: Vec<Duration> = Vec::new();
    for batch in order.chunks(COLD_BATCH).take(60) {
        flood(flooded);
        cold.push(over(batch));
    }
    cold.sort_unstable();
    [hot, mixed, per(cold[cold.len() / 2], COLD_BATCH)]
}

fn report<T: Table>(people: &[Person], order: &[usize], flooded: &mut [u64]) {
    let start = Instant::now();
    let table = T::of(people);
    let built = start.elapsed();
    let mut found = [0_u32; 7];
    for (person, line) in people.iter().zip(0..) {
        let (at, looked) = table.find(person);
        // Two with the same 32 bits of hash are told apart by their records.
        assert!(at == line || people[at as usize].hash >> 32 == person.hash >> 32);
        if let Some(at) = looked.checked_sub(1) {
            found[at.min(6) as usize] += 1;
        }
    }
    let [hot, mixed, cold] = time(order, flooded, |at| _ = black_box(table.find(&people[at])));
    let memory = table.len() as f64 / people.len() as f64;
    let millis = built.as_millis();
    println!("{:<38} {memory:>6.1} B {millis:>6} ms {hot:>7.1} {mixed:>7.1} {cold:>7.1} ns", T::NAME);
    let share = |count: &u32| format!("{:.2} %", 100.0 * f64::from(*count) / people.len() as f64);
    let shares: Vec<_> = found.iter().filter(|&&count| count > 0).map(share).collect();
    if !shares.is_empty() {
        println!("  found with the 1st look, 2nd, …: {}", shares.join(", "));
    }
}

fn image(people: &[Person]) -> Scores {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("digits");
    let mut builder = Builder::new(Cursor::new(Vec::new()), [7; 32], Labels::default()).expect("memory");
    for person in people {
        builder.add(&text(&person.seat), &text(&person.secret), &PAGE).expect("a candidate");
    }
    Scores::new(Image::open(builder.finish().expect("memory").into_inner()).expect("what was built"))
}

fn main() {
    // `cargo test --benches` asks for a list, and there is none.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let people = people();
    let order = shuffled(people.len());
    let mut flooded = vec![0; FLOOD / 8];
    println!("{CANDIDATES} candidates{:>37} {:>9} {:>7} {:>7} {:>7}", "a candidate", "built", "hot", "mixed", "cold");
    report::<Chains>(&people, &order, &mut flooded);
    report::<Linear>(&people, &order, &mut flooded);
    report::<RobinHood>(&people, &order, &mut flooded);
    report::<Lines>(&people, &order, &mut flooded);
    report::<Std>(&people, &order, &mut flooded);
    report::<Perfect>(&people, &order, &mut flooded);

    let app = image(&people);
    let mut scratch = vec![0; lethe::engine::SCRATCH_LEN];
    let queries: Vec<String> = people
        .iter()
        .map(|person| {
            format!("seat={}&id={}", String::from_utf8_lossy(&person.seat), String::from_utf8_lossy(&person.secret))
        })
        .collect();
    let wrong: Vec<String> = queries.iter().map(|query| format!("{query}0")).collect();
    let unknown: Vec<String> = queries.iter().map(|query| query.replace("seat=", "seat=0")).collect();
    for (what, queries, expect) in [
        ("the page", &queries, "HTTP/1.1 200"),
        ("a wrong identity number", &wrong, "HTTP/1.1 404"),
        ("an unknown seat", &unknown, "HTTP/1.1 404"),
    ] {
        let [hot, mixed, cold] = time(&order, &mut flooded, |at| {
            let query = Some(queries[at].as_bytes());
            let request = Request::get(b"/").with_query(query);
            let response = app.respond(&request, &mut scratch);
            assert!(response.head().starts_with(expect.as_bytes()));
            black_box(response);
        });
        println!("{:<38} {:>18} {hot:>7.1} {mixed:>7.1} {cold:>7.1} ns", format!("a request for {what}"), "");
    }
}
