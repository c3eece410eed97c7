//! Connections that stay open behind responses of any length, over a network that loses, repeats and reorders.
//!
//! The client here is a model of what Linux does with a segment: which it takes, what it notes of it, and what it
//! answers. Everything that could pair a response with another request, or stop a connection for ever, happens to it by
//! chance, thousands of times a second.

use std::collections::VecDeque;

use lethe::app::{Generations, Position};
use lethe::config::{Addresses, Config};
use lethe::cookie::Secret;
use lethe::http::{Response, Status};
use lethe::versions::Versions;
use lethe::wire::tcp::Flags;
use lethe::{App, Engine, Request};
use lethe_sim::dialogue::Dialogue;
use lethe_sim::dissect::{Frame, Tcp};
use lethe_sim::frame::{Ends, Segment};
use proptest::prelude::*;

const ISN: u32 = 0xffff_fc00;
/// Where its first request begins.
const FIRST: u32 = ISN.wrapping_add(1);
const SIZES: [usize; 16] =
    [0, 100, 1100, 1380, 1400, 1500, 2000, 2900, 4400, 9000, 14_000, 20_000, 33_000, 70_000, 150_000, 400_000];

/// Pages of up to this length fit a first window, of large segments.
const FIRST_WINDOW_MAX: usize = 14_000;

/// Answers `/N` with the bytes of page `N`, of which those of more than a packet are stored; and where parts are, with
/// those from a byte on that `Range` asks for.
struct Pages {
    pages: Vec<Page>,
    parts: bool,
}

struct Page {
    position: Position,
    head: Vec<u8>,
    body: Vec<u8>,
}

impl Pages {
    fn new(version: u8) -> Self {
        Self::from_position(version, 1)
    }

    /// Those of a version of more than 2 GiB: the positions of some page are of both its generations.
    fn wide(version: u8) -> Self {
        Self::from_position(version, Position::PER_GENERATION - 200)
    }

    fn from_position(version: u8, mut next: u32) -> Self {
        let pages = SIZES.into_iter().enumerate().map(|(number, size)| {
            let body: Vec<u8> = (0..size).map(|at| (at * 7 + at / 251 + number * 13) as u8 ^ version << 6).collect();
            let mut scratch = [0; 256];
            let head = Response::build(&mut scratch, Status::Ok).body(&body).head().to_vec();
            let (first, end) = Position::reserve(next, (head.len() + size) as u64).unwrap();
            next = end;
            Page { position: Position::new(first).unwrap(), head, body }
        });
        Self { pages: pages.collect(), parts: false }
    }

    fn with_parts(self, parts: bool) -> Self {
        Self { parts, ..self }
    }

    /// The byte from which on a request wants its page.
    fn from(request: &Request<'_>) -> Option<usize> {
        let range = request.complete_headers()?.values("range").next()?;
        std::str::from_utf8(range).ok()?.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
    }

    fn response(page: &Page) -> Response<'_> {
        Response::prepared(&page.head, &page.body).stored_at(page.position)
    }
}

impl App for Pages {
    fn respond<'a>(&'a self, request: &Request<'_>, scratch: &'a mut [u8]) -> Response<'a> {
        let number = std::str::from_utf8(&request.path[1..]).ok().and_then(|number| number.parse::<usize>().ok());
        match number.and_then(|number| self.pages.get(number)) {
            Some(page) => {
                let from = Self::from(request).filter(|&from| self.parts && from < page.body.len());
                let Some(from) = from else { return Self::response(page) };
                let range = format!("bytes {from}-{}/{}", page.body.len() - 1, page.body.len());
                let part = Response::build(scratch, Status::PartialContent).header("Content-Range", &range);
                let part = part.body(&page.body[from..]).part_of(page.position);
                let may_go = part.len() <= request.one_packet() || request.takes_parts();
                if may_go { part } else { Self::response(page) }
            }
            None => Response::build(scratch, Status::NotFound).body(b""),
        }
    }

    fn stored(&self, position: Position) -> Option<Response<'_>> {
        let behind = self.pages.partition_point(|page| page.position <= position);
        let page = self.pages.get(behind.checked_sub(1)?)?;
        let units = Position::units(page.head.len() + page.body.len()) as u32;
        (position.value() < page.position.value() + units).then(|| Self::response(page))
    }

    fn stores(&self) -> bool {
        true
    }

    fn stores_parts(&self) -> bool {
        self.parts
    }

    fn positions(&self) -> u32 {
        let last = self.pages.last().unwrap();
        last.position.value() + Position::units(last.head.len() + last.body.len()) as u32
    }

    fn generations(&self) -> Generations {
        Generations::ONE
    }
}

fn engine(app: Versions<Pages>, secrets: &[u8]) -> Engine<Versions<Pages>> {
    let [first, former @ ..] = secrets else { panic!("there is a secret") };
    let mut config = Config { keep_alive: true, ..Config::new(Secret::new([*first; 16])) };
    for (slot, &byte) in config.former.iter_mut().zip(former) {
        *slot = Some(Secret::new([byte; 16]));
    }
    let mut addresses = Addresses::new();
    for address in ["10.9.0.2", "fd09::2"] {
        addresses.add(address.parse().unwrap()).unwrap();
    }
    config.addresses = addresses;
    Engine::new(config, app)
}

/// Numbers by chance, from a seed (xorshift).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() >> 11) as usize % bound
    }

    fn percent(&mut self, percent: u8) -> bool {
        self.below(100) < percent.into()
    }
}

fn before(one: u32, other: u32) -> bool {
    one.wrapping_sub(other) >> 31 == 1
}

/// A network and the clients on it.
#[derive(Clone, Debug)]
struct Network {
    seed: u64,
    loss: u8,
    duplicates: u8,
    reordering: u8,
    /// Timers that expire although nothing was lost.
    spurious: u8,
    /// Requests that a client sends before it has the response to the first of them.
    pipelined: usize,
    /// Servers that follow one another, each with a new version of the data and a new secret.
    servers: usize,
    mss: u16,
    window: u16,
    v6: bool,
    /// Whether it asks for parts of responses as well.
    parts: bool,
}

/// What a client's kernel knows, and its application.
struct Client<'e> {
    dialogue: Dialogue<'e, Versions<Pages>>,
    chance: Chance,
    network: Network,
    ends: Ends,
    clock: u32,
    /// Sent and to be sent, from the byte behind the SYN, and where each write ended.
    outgoing: Vec<u8>,
    writes: Vec<usize>,
    una: u32,
    next: u32,
    window_end: u32,
    wl1: u32,
    read: u32,
    /// Its last acknowledgement.
    acked: u32,
    ts_recent: u32,
    received: Vec<u8>,
    beyond: Vec<(u32, Vec<u8>)>,
    duplicate: Option<(u32, u32)>,
    unacked: usize,
    fin: bool,
    outbound: VecDeque<Vec<u8>>,
    inbound: VecDeque<Vec<u8>>,
}

impl<'e> Client<'e> {
    fn connected(engine: &'e Engine<Versions<Pages>>, network: Network) -> Self {
        let ends = if network.v6 { Ends::v6() } else { Ends::v4() };
        let mut dialogue = Dialogue::new(engine);
        let syn = Segment::syn(&ends).seq(ISN).mss(network.mss).sack_permitted().timestamps(1, 0);
        let sent = dialogue.send(&syn.frame());
        let frame = Frame::dissect(&sent[0]).unwrap();
        let (_, tcp) = frame.tcp().unwrap();
        let (read, next) = (tcp.seq.value().wrapping_add(1), ISN.wrapping_add(1));
        Self {
            chance: Chance(network.seed | 1),
            network,
            ends,
            clock: 1,
            outgoing: Vec::new(),
            writes: Vec::new(),
            una: next,
            next,
            window_end: next.wrapping_add(tcp.window.into()),
            wl1: tcp.seq.value(),
            read,
            acked: read,
            ts_recent: tcp.timestamps.unwrap().0,
            received: Vec::new(),
            beyond: Vec::new(),
            duplicate: None,
            unacked: 0,
            fin: false,
            outbound: VecDeque::new(),
            inbound: VecDeque::new(),
            dialogue,
        }
    }

    /// Writes, and sends what the window has room for.
    fn write(&mut self, bytes: &[u8]) {
        self.outgoing.extend_from_slice(bytes);
        self.writes.push(self.outgoing.len());
        self.push();
    }

    fn push(&mut self) {
        loop {
            let sent = self.next.wrapping_sub(FIRST) as usize;
            let Some(&end) = self.writes.iter().find(|&&end| end > sent) else { return };
            let is_closed = !before(self.next, self.window_end);
            let room = if is_closed { 0 } else { self.window_end.wrapping_sub(self.next) as usize };
            // A kernel does not send a part of what the window has no room for, while something is under way.
            if room < end - sent && (self.una != self.next || is_closed) {
                return;
            }
            let end = end.min(sent + room).min(sent + usize::from(self.network.mss) - 12);
            self.transmit(sent, end);
            self.next = FIRST.wrapping_add(end as u32);
        }
    }

    fn transmit(&mut self, from: usize, end: usize) {
        let payload = self.outgoing[from..end].to_vec();
        self.send_segment(FIRST.wrapping_add(from as u32), &payload);
    }

    fn send_segment(&mut self, seq: u32, payload: &[u8]) {
        self.clock += 1;
        let mut segment = Segment::ack(&self.ends).seq(seq).ack_number(self.read).payload(payload);
        if !payload.is_empty() {
            segment = segment.with(Flags::PSH);
        }
        let mut blocks: Vec<(u32, u32)> = self.duplicate.take().into_iter().collect();
        let mut ranges: Vec<(u32, u32)> = Vec::new();
        for (seq, bytes) in &self.beyond {
            match ranges.last_mut() {
                Some((_, end)) if *end == *seq => *end = seq.wrapping_add(bytes.len() as u32),
                _ => ranges.push((*seq, seq.wrapping_add(bytes.len() as u32))),
            }
        }
        blocks.extend(ranges);
        blocks.truncate(3);
        let room = usize::from(self.network.window).saturating_sub(self.beyond.iter().map(|(_, b)| b.len()).sum());
        segment = segment.window(room as u16).timestamps(self.clock, self.ts_recent);
        if !blocks.is_empty() {
            segment = segment.sack(&blocks);
        }
        self.acked = self.read;
        self.unacked = 0;
        let copies = self.copies();
        for _ in 0..copies {
            self.outbound.push_back(segment.frame());
        }
    }

    /// Where Linux puts a segment without payload (`tcp_acceptable_seq`).
    fn ack(&mut self) {
        let seq = if before(self.window_end, self.next) { self.window_end } else { self.next };
        self.send_segment(seq, b"");
    }

    fn copies(&mut self) -> usize {
        if self.chance.percent(self.network.loss) {
            return 0;
        }
        1 + usize::from(self.chance.percent(self.network.duplicates))
    }

    fn take(&mut self, queue: fn(&mut Self) -> &mut VecDeque<Vec<u8>>) -> Option<Vec<u8>> {
        let len = queue(self).len();
        let at = if self.chance.percent(self.network.reordering) { self.chance.below(len.max(1)) } else { 0 };
        queue(self).remove(at)
    }

    /// What the client's kernel does with a segment (RFC 9293, section 3.10.7.4; RFC 7323, section 5.3).
    fn receive(&mut self, tcp: &Tcp<'_>) {
        let (seq, len) = (tcp.seq.value(), tcp.payload.len() as u32);
        let end = seq.wrapping_add(len);
        let (ts, _) = tcp.timestamps.unwrap();
        let window_end = self.read.wrapping_add(self.network.window.into());
        if before(ts, self.ts_recent) || before(end, self.acked) || before(window_end, seq) {
            if len > 0 {
                self.duplicate = before(seq, self.read).then_some((seq, end));
                self.ack();
            }
            return;
        }
        let ack = tcp.ack.value();
        assert!(!before(self.next, ack), "what was not sent is acknowledged");
        assert!(tcp.window <= 2920, "a window of {} bytes", tcp.window);
        if !before(ack, self.una) {
            if !before(self.acked, seq) {
                self.ts_recent = ts;
            }
            let shown = ack.wrapping_add(tcp.window.into());
            let is_wider = self.wl1 == seq && before(self.window_end, shown);
            if before(self.una, ack) || before(self.wl1, seq) || is_wider {
                (self.wl1, self.window_end) = (seq, shown);
            }
            self.una = ack;
        }
        self.fin |= tcp.flags.has(Flags::FIN);
        if len == 0 {
            return self.push();
        }
        if !before(self.read, end) {
            self.duplicate = Some((seq, end));
            self.ack();
        } else if before(self.read, seq) {
            if self.beyond.iter().any(|(at, _)| *at == seq) {
                self.duplicate = Some((seq, end));
            } else {
                self.beyond.push((seq, tcp.payload.to_vec()));
                let read = self.read;
                self.beyond.sort_by_key(|(at, _)| at.wrapping_sub(read));
            }
            self.ack();
        } else {
            self.accept(seq, tcp.payload);
            let filled = !self.beyond.is_empty();
            while let Some((at, _)) = self.beyond.first().filter(|(at, _)| !before(self.read, *at)) {
                let at = *at;
                let (_, bytes) = self.beyond.remove(0);
                self.accept(at, &bytes);
            }
            self.unacked += 1;
            if filled || self.unacked > 1 {
                self.ack();
            }
        }
        self.push();
    }

    fn accept(&mut self, seq: u32, bytes: &[u8]) {
        let known = self.read.wrapping_sub(seq) as usize;
        if let Some(new) = bytes.get(known..) {
            self.received.extend_from_slice(new);
            self.read = self.read.wrapping_add(new.len() as u32);
        }
    }

    /// The timers: of the delayed ACK, and of the retransmission.
    fn expire(&mut self, is_timeout: bool) {
        if self.unacked > 0 && !is_timeout {
            return self.ack();
        }
        let from = self.una.wrapping_sub(FIRST) as usize;
        let sent = self.next.wrapping_sub(FIRST) as usize;
        if from < sent {
            // What was written at once, or more of it joined (`tcp_retrans_try_collapse`).
            let write = self.writes.iter().copied().find(|&end| end > from).unwrap_or(sent).min(sent);
            let end = if self.chance.percent(50) { sent.min(from + 1448) } else { write };
            self.transmit(from, end);
        }
    }

    /// One event: something arrives, or a timer expires.
    fn step(&mut self) {
        if self.chance.percent(50)
            && let Some(frame) = self.take(|client| &mut client.outbound)
        {
            for reply in self.dialogue.send(&frame) {
                let frame = Frame::dissect(&reply).unwrap();
                // Reports of no route revert the back-off of a timer, which there is none of.
                if frame.tcp().is_some() {
                    assert_eq!(frame.problem(), None);
                    for _ in 0..self.copies() {
                        self.inbound.push_back(reply.clone());
                    }
                }
            }
        } else if let Some(bytes) = self.take(|client| &mut client.inbound) {
            let frame = Frame::dissect(&bytes).unwrap();
            let (_, tcp) = frame.tcp().unwrap();
            self.receive(tcp);
        } else if self.outbound.is_empty() {
            let is_timeout = self.unacked == 0;
            self.expire(is_timeout);
        }
        if self.network.spurious > 0 && self.chance.below(2000) < self.network.spurious.into() {
            self.expire(true);
        }
    }

    /// The next complete response: its head and its body.
    fn response(&mut self) -> Option<(String, Vec<u8>)> {
        let start = self.received.get(..self.received.len().min(9))?;
        assert!(b"HTTP/1.1 ".starts_with(start), "no response begins with {:?}", start.escape_ascii().to_string());
        let end = self.received.windows(4).position(|end| end == b"\r\n\r\n")? + 4;
        let head = String::from_utf8(self.received[..end].to_vec()).unwrap();
        let len: usize = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap().parse().unwrap();
        if self.received.len() < end + len {
            return None;
        }
        let body = self.received[end..end + len].to_vec();
        self.received.drain(..end + len);
        Some((head, body))
    }
}

/// Servers that follow one another: each has one more version of the data, and one more secret.
fn servers(pages: impl Fn(u8) -> Pages) -> [Engine<Versions<Pages>>; 3] {
    let mut secrets = vec![7];
    [0, 1, 2].map(|last| {
        let mut versions = Versions::new(pages(0));
        for version in 1..=last {
            let _ = versions.replace(pages(version));
        }
        secrets.insert(0, 8 + last);
        engine(versions, &secrets)
    })
}

/// Asks for pages in any order on one connection, and compares every byte. Returns how many parts of more than a packet
/// came as such, and how many did not.
fn converse(network: &Network, requests: usize) -> Result<[usize; 2], TestCaseError> {
    // Of versions that wide there are two at a time.
    let is_wide = network.servers < 3 && network.seed & 2 != 0;
    let pages = if is_wide { Pages::wide } else { Pages::new };
    let servers = servers(|version| pages(version).with_parts(network.parts));
    let mut parts = [0; 2];
    let versions = [0, 1, 2].map(Pages::new);
    let mut client = Client::connected(&servers[0], network.clone());
    let mut asked = VecDeque::new();
    let (mut server, mut sent, mut answered, mut idle) = (0, 0, 0, 0);
    // Whether the last request closes the connection.
    let mut closes = false;
    while answered < requests {
        if server + 1 < network.servers && client.chance.below(3000) == 0 {
            server += 1;
            client.dialogue = Dialogue::new(&servers[server]);
        }
        while sent < requests && asked.len() < network.pipelined.max(1) {
            let page = client.chance.below(SIZES.len());
            let is_part = network.parts && SIZES[page] > 0 && client.chance.percent(60);
            let from = is_part.then(|| client.chance.below(SIZES[page]));
            asked.push_back((page, from, server));
            sent += 1;
            let range = from.map_or_else(String::new, |from| format!("Range: bytes={from}-\r\n"));
            let fill = "x".repeat(client.chance.below(200));
            let close = if sent == requests && network.seed.is_multiple_of(2) { "Connection: close\r\n" } else { "" };
            // A longer response leaves its connection to the client.
            closes = !close.is_empty() && SIZES[page] - from.unwrap_or(0) <= FIRST_WINDOW_MAX;
            client.write(format!("GET /{page} HTTP/1.1\r\nHost: h\r\n{close}{range}X: {fill}\r\n\r\n").as_bytes());
        }
        client.step();
        idle += 1;
        while let Some((head, body)) = client.response() {
            let (page, from, oldest) = asked.pop_front().unwrap();
            let may_close = closes && asked.is_empty() || network.pipelined > 1;
            let is_part = head.starts_with("HTTP/1.1 206 ");
            prop_assert!(is_part && from.is_some() || head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
            let from = from.unwrap_or(0);
            if SIZES[page] - from > 1400 && from > 0 {
                parts[usize::from(!is_part)] += 1;
            }
            let from = if is_part { from } else { 0 };
            prop_assert!(may_close || !head.contains("Connection:"), "{head}");
            // The only request that may be answered from an older version is the first: its cookie says which.
            let oldest = if answered == 0 { 0 } else { oldest };
            let is_right = versions[oldest..=server].iter().any(|version| version.pages[page].body[from..] == body);
            prop_assert!(is_right, "the response to request {answered}, for page {page}");
            (answered, idle) = (answered + 1, 0);
        }
        // A client that holds segments of a version that is not current any more has to ask on a new connection.
        // One that pipelines has no more on a connection behind a long response.
        let may_end = server > 0 || closes || network.pipelined > 1;
        prop_assert!(!client.fin || may_end, "the connection was closed behind {answered} responses");
        if client.fin {
            return Ok(parts);
        }
        prop_assert!(idle < 200_000, "nothing more arrives behind {answered} responses; {asked:?}");
    }
    Ok(parts)
}

fn network() -> impl Strategy<Value = Network> {
    let faults = (0_u8..20, 0_u8..10, 0_u8..30, 0_u8..4);
    let mss = prop::sample::select(vec![1220, 1400, 1460, 8960]);
    let client = (1_usize..4, mss, 5_000_u16.., any::<bool>(), any::<bool>());
    (any::<u64>(), faults, client, 1_usize..4).prop_map(|(seed, faults, client, servers)| {
        let (loss, duplicates, reordering, spurious) = faults;
        let (pipelined, mss, window, v6, parts) = client;
        Network { seed, loss, duplicates, reordering, spurious, pipelined, servers, mss, window, v6, parts }
    })
}

/// A network that loses and changes nothing, with one server.
const GOOD: Network = Network {
    seed: 1,
    loss: 0,
    duplicates: 0,
    reordering: 0,
    spurious: 0,
    pipelined: 1,
    servers: 1,
    mss: 1460,
    window: 65_535,
    v6: false,
    parts: false,
};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(std::env::var("KEPT_CASES").map_or(64, |n| n.parse().unwrap())))]

    #[test]
    fn every_response_is_the_one_to_its_request_whatever_the_network_does(network in network()) {
        converse(&network, 12)?;
    }
}

#[test]
fn a_part_of_a_response_goes_as_such_from_wherever_it_begins() {
    for (mss, v6) in [(1460, false), (1440, true), (1220, false), (8960, false)] {
        let network = Network { mss, v6, parts: true, ..GOOD };
        let [parts, whole] = converse(&network, 2000).unwrap();
        assert!(parts > 500 && whole == 0, "{parts} parts, {whole} not, of segments of {mss} bytes");
    }
}

#[test]
fn a_good_network_delivers_everything_without_a_timeout() {
    for (mss, v6) in [(1460, false), (1440, true), (1220, false), (8960, false)] {
        let network = Network { mss, v6, ..GOOD };
        converse(&network, 300).unwrap();
    }
}

/// What a client has to know of a segment.
#[derive(Clone, Copy)]
struct Told {
    seq: u32,
    end: u32,
    ack: u32,
    window: u16,
    stamp: u32,
}

fn told(frames: &[Vec<u8>]) -> Vec<Told> {
    let of_frame = |frame: &Vec<u8>| {
        let frame = Frame::dissect(frame).unwrap();
        let (_, tcp) = frame.tcp().unwrap();
        let (seq, stamp) = (tcp.seq.value(), tcp.timestamps.unwrap().0);
        Told { seq, end: tcp.end().value(), ack: tcp.ack.value(), window: tcp.window, stamp }
    };
    frames.iter().map(of_frame).collect()
}

/// There is no FIN behind the last segment, and nothing else that could still arrive. The ACK of what was missing has
/// no proof for the next request, and draws it.
#[test]
fn a_last_segment_out_of_order_costs_neither_its_response_nor_the_next_request_a_timeout() {
    let engine = engine(Versions::new(Pages::new(0)), &[1]);
    for ends in [Ends::v4(), Ends::v6()] {
        let mut dialogue = Dialogue::new(&engine);
        let syn = Segment::syn(&ends).seq(ISN).mss(1460).sack_permitted().timestamps(1, 0);
        let [opened] = told(&dialogue.send(&syn.frame()))[..] else { panic!() };
        // Four segments.
        let request = "GET /8 HTTP/1.1\r\nHost: h\r\n\r\n";
        let behind = FIRST.wrapping_add(request.len() as u32);
        let asked = Segment::ack(&ends).seq(FIRST).ack_number(opened.end).timestamps(1, opened.stamp).payload(request);
        let segments = told(&dialogue.send(&asked.frame()));
        // Among them is a byte that the client has.
        let [first, second, missing, _, last, opening] = segments[..] else { panic!("{} frames", segments.len()) };
        for segment in [first, second, missing, last] {
            assert_eq!(segment.ack.wrapping_add(segment.window.into()), behind, "there is no room for more");
        }
        // It is taken behind the last segment, and older than what else a client can have seen last, and never echoed.
        assert_eq!((opening.seq, opening.end), (last.end.wrapping_add(1), last.end.wrapping_add(1)));
        assert!(opening.window > 1000 && opening.ack == last.ack);
        assert!(before(last.stamp, opening.stamp));
        for segment in [opened, first, second, missing] {
            assert!(before(opening.stamp, segment.stamp), "an old duplicate (RFC 7323, section 5.3)");
        }
        let ack = |upto: u32, stamp| Segment::ack(&ends).seq(behind).ack_number(upto).timestamps(2, stamp);
        let resent = ack(missing.seq, first.stamp).sack(&[(last.seq, last.end)]);
        let [again] = told(&dialogue.send(&resent.frame()))[..] else { panic!() };
        assert_eq!((again.seq, again.window), (missing.seq, 1));
        assert!(before(opening.stamp, again.stamp));
        let [proof] = told(&dialogue.send(&ack(last.end, again.stamp).frame()))[..] else { panic!() };
        assert_eq!((proof.seq, proof.end, proof.ack), (last.end, last.end, behind));
        assert!(proof.window > 1000 && proof.stamp == last.stamp);
        let next = ack(last.end, proof.stamp).payload("GET /1 HTTP/1.1\r\nHost: h\r\n\r\n");
        let [response] = told(&dialogue.send(&next.frame()))[..] else { panic!() };
        assert_eq!(response.seq, last.end);
        assert!(!before(response.stamp, proof.stamp));
    }
}

/// Linux joins what is unacknowledged when it sends it again, as far as a segment holds it.
#[test]
fn the_end_of_an_answered_request_is_acknowledged_also_where_it_comes_again_with_half_of_the_next_one() {
    let engine = engine(Versions::new(Pages::new(0)), &[1]);
    for ends in [Ends::v4(), Ends::v6()] {
        let mut dialogue = Dialogue::new(&engine);
        let syn = Segment::syn(&ends).seq(ISN).mss(1460).sack_permitted().timestamps(1, 0);
        let [opened] = told(&dialogue.send(&syn.frame()))[..] else { panic!() };
        let (request, next) = ("GET /8 HTTP/1.1\r\nHost: h\r\n\r\n", "GET /1 HTTP/1.1\r\nHost: h\r\n\r\n");
        let behind = FIRST.wrapping_add(request.len() as u32);
        let asked = Segment::ack(&ends).seq(FIRST).ack_number(opened.end).timestamps(1, opened.stamp).payload(request);
        let [.., last, _] = told(&dialogue.send(&asked.frame()))[..] else { panic!() };
        // All but the method, or the last byte, is unacknowledged.
        for skipped in [4, request.len() - 1] {
            for more in 0..=next.len() {
                let again = Segment::ack(&ends).seq(FIRST.wrapping_add(skipped as u32)).ack_number(last.end);
                let again = again.timestamps(2, last.stamp).payload(request[skipped..].to_owned() + &next[..more]);
                let [reply] = told(&dialogue.send(&again.frame()))[..] else { panic!("{skipped}, {more}") };
                let has_data = reply.end != reply.seq;
                let acknowledged = reply.ack.wrapping_sub(behind) as usize;
                assert!(reply.seq == last.end && acknowledged <= more, "{skipped}, {more}");
                assert!(has_data || acknowledged == 0, "{skipped}, {more}");
                assert!(more < next.len() || has_data && acknowledged == more, "{skipped}, {more}");
            }
        }
    }
}

/// Its client closes the connection itself, once it has all of the response. Where bytes may follow that are no
/// request, there is none.
#[test]
fn a_long_response_to_a_request_that_closes_leaves_that_to_the_client() {
    let servers = servers(Pages::new);
    let network = Network { window: 60_000, ..GOOD };
    let page = SIZES.iter().position(|&size| size == 33_000).unwrap();
    let last = |request: &str| {
        let mut client = Client::connected(&servers[0], network.clone());
        client.write(b"GET /1 HTTP/1.1\r\nHost: h\r\n\r\n");
        while client.response().is_none() {
            client.step();
        }
        client.write(request.as_bytes());
        for _ in 0..2000 {
            client.step();
        }
        client
    };
    let with = |fields: &str| format!("GET /{page} HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
    for request in [with("Connection: close\r\n"), format!("GET /{page} HTTP/1.0\r\n\r\n")] {
        let mut client = last(&request);
        let (head, body) = client.response().unwrap_or_else(|| panic!("{request}"));
        assert_eq!(body, Pages::new(0).pages[page].body);
        assert!(!head.contains("Connection:") && !client.fin, "{head}");
        assert_eq!(client.una, client.next, "all of the request is acknowledged");
        let fin = Segment::fin(&client.ends).seq(client.next).ack_number(client.read);
        let sent = client.dialogue.send(&fin.timestamps(client.clock, client.ts_recent).frame());
        let frame = Frame::dissect(&sent[0]).unwrap();
        let tcp = frame.tcp().unwrap().1;
        assert!(tcp.flags.has(Flags::FIN) && tcp.ack.value() == client.next.wrapping_add(1), "its FIN has an answer");
    }
    let close = with("Connection: close\r\n");
    for other in [
        with("Connection: close\r\nContent-Length: 3\r\n"),
        with("content-length: 0\r\nConnection: close\r\n"),
        with("Connection: close\r\nTransfer-Encoding: chunked\r\n"),
        with("Connection: close, upgrade\r\nUpgrade: h2c\r\n"),
        with("Connection: close\r\nEXPECT: 100-continue\r\n"),
        with("Connection: close\n"),
        close.replacen("\r\n", "\n", 1),
        close.clone() + "GET /1 HTTP/1.1\r\nHost: h\r\n\r\n",
    ] {
        let client = last(&other);
        assert!(client.fin && client.received.is_empty(), "{other:?}");
    }
}

/// The segments of a connection that stays open close the window behind the request, and half a request does not tell
/// where that is. So a client must not take some of each.
#[test]
fn half_a_request_draws_one_segment_that_is_taken_before_those_to_the_whole_of_it_and_then_none_of_these() {
    let engine = engine(Versions::new(Pages::new(0)), &[1]);
    let page = SIZES.iter().position(|&size| size == 33_000).unwrap();
    let with = |rest: &str| format!("GET /{page} HTTP/1.1\r\n{rest}");
    for ends in [Ends::v4(), Ends::v6()] {
        for takes_sack in [true, false] {
            let mut dialogue = Dialogue::new(&engine);
            let syn = Segment::syn(&ends).seq(ISN).mss(1460).timestamps(1, 0);
            let syn = if takes_sack { syn.sack_permitted() } else { syn };
            let [opened] = told(&dialogue.send(&syn.frame()))[..] else { panic!() };
            let mut draw = |request: &str| {
                let asked = Segment::ack(&ends).seq(FIRST).ack_number(opened.end).timestamps(1, opened.stamp);
                told(&dialogue.send(&asked.payload(request).frame()))
            };
            let half = draw(&with("Ho"));
            let whole = draw(&with("Host: h\r\n\r\n"));
            let long = draw(&with(&format!("Host: h\r\nCookie: {}", "c".repeat(1390))));
            assert!(long.len() > 8 && long.iter().all(|segment| segment.ack == FIRST), "it is never answered whole");
            if !takes_sack {
                assert!(half.len() > 8 && whole.len() > 8 && half[0].stamp == whole[0].stamp);
                continue;
            }
            let [only] = half[..] else { panic!("{} segments", half.len()) };
            assert_eq!((only.seq, only.end, only.ack), (whole[0].seq, whole[0].end, whole[0].ack));
            let [.., last, opening] = &whole[..] else { panic!() };
            assert!(before(opening.stamp, only.stamp) || opening.seq != last.end.wrapping_add(1));
            for segment in whole {
                assert!(before(segment.stamp, only.stamp), "an old duplicate (RFC 7323, section 5.3)");
            }
            // Its ACK draws the rest, and the connection ends.
            let ack = Segment::ack(&ends).seq(FIRST.wrapping_add(30)).ack_number(only.end).timestamps(2, only.stamp);
            let next = told(&dialogue.send(&ack.frame()));
            assert!(next.len() > 2 && next[0].seq == only.end);
        }
    }
}
