//! Several secrets: whatever a client sends whose connection began under a former one draws what it drew before.

mod support;

use std::collections::{BTreeMap, VecDeque};

use lethe::Engine;
use lethe::config::{Config, Refuse};
use lethe::cookie::Secret;
use lethe::verdict::{Absorbed, DropReason, ReplyKind, Verdict};
use lethe::wire::tcp::Flags;
use lethe_sim::dialogue::Dialogue;
use lethe_sim::dissect::Frame;
use lethe_sim::frame::{Ends, Icmp, IcmpError, Segment};
use lethe_sim::sample::{Sample, expected};
use proptest::prelude::*;
use support::{Client, ISN, Offer, TIME, both, config, engine_changed};

const REQUEST: &str = "GET /70000 HTTP/1.1\r\nHost: lethe.example\r\n\r\n";
const LEN: u32 = REQUEST.len() as u32;

/// What the clients of Windows offer.
const UNTIMED: Offer = Offer { mss: Some(1220), timestamps: false, sack: true };
const OFFERS: [Offer; 4] = [Offer::LINUX, Offer { sack: false, ..Offer::LINUX }, UNTIMED, Offer::PLAIN];

/// A server with these secrets, each a byte sixteen times; the first is for new connections.
fn server(secrets: &[u8]) -> Engine<Sample> {
    engine_changed(|config| {
        let mut secrets = secrets.iter().map(|&byte| Secret::new([byte; 16]));
        config.secret = secrets.next().unwrap();
        config.former = std::array::from_fn(|_| secrets.next());
    })
}

const OLD: u8 = 1;
const NEW: u8 = 2;
const OTHER: u8 = 3;

/// A client of a server with the old secret, and servers that have it as one of their former ones.
struct Twins<'e> {
    client: Client<'e>,
    servers: &'e [Engine<Sample>],
    /// Verdicts so far.
    verdicts: Vec<Verdict>,
}

impl<'e> Twins<'e> {
    /// A client that has done its handshake with the first.
    fn connected(servers: &'e [Engine<Sample>], ends: Ends, offer: Offer) -> Self {
        Self { client: Client::connected(&servers[0], ends, offer), servers, verdicts: Vec::new() }
    }

    fn send_frame(&mut self, frame: &[u8]) -> Vec<Vec<u8>> {
        let sent = self.client.send_frame(frame);
        for server in self.servers {
            let mut dialogue = Dialogue::new(server);
            assert_eq!(dialogue.send(frame), sent, "{:?}", self.client.verdict());
            assert_eq!(dialogue.verdict(), Some(self.client.verdict()));
        }
        self.verdicts.push(self.client.verdict());
        sent
    }

    fn send(&mut self, segment: &Segment) -> Vec<Vec<u8>> {
        self.send_frame(&segment.frame())
    }

    /// Whether anything drew this.
    fn has_seen(&self, kind: ReplyKind) -> bool {
        self.verdicts.contains(&Verdict::Replied(kind))
    }

    /// An ACK behind the request of everything up to `read`, by a client whose last ACK was where `frame` began.
    fn ack(&self, frame: &[u8], read: u32) -> Segment {
        let segment = self.client.at(LEN, read);
        match Part::of(&self.client, frame) {
            Some(Part { stamp: Some(stamp), .. }) => segment.timestamps(TIME + 1, stamp),
            _ => segment,
        }
    }
}

/// A segment of a response.
struct Part {
    offset: u32,
    payload: Vec<u8>,
    is_last: bool,
    stamp: Option<u32>,
}

impl Part {
    fn of(client: &Client<'_>, frame: &[u8]) -> Option<Self> {
        let frame = Frame::dissect(frame).unwrap();
        let (_, tcp) = frame.tcp()?;
        Some(Self {
            offset: tcp.seq.value().wrapping_sub(client.cookie.wrapping_add(1)),
            payload: tcp.payload.to_vec(),
            is_last: tcp.flags.has(Flags::FIN),
            stamp: tcp.timestamps.map(|(value, _)| value),
        })
    }

    /// Probes are far behind.
    fn is_probe(&self) -> bool {
        self.offset > 1 << 30
    }
}

fn twins() -> [Engine<Sample>; 4] {
    [server(&[OLD]), server(&[NEW, OLD]), server(&[OLD, NEW]), server(&[NEW, OTHER, OLD])]
}

#[test]
fn a_short_dialogue_under_a_former_secret_goes_as_it_would_have() {
    let servers = twins();
    for (ends, offer) in both().into_iter().flat_map(|ends| OFFERS.map(|offer| (ends, offer))) {
        let mut twins = Twins::connected(&servers, ends, offer);
        let request = "GET /100 HTTP/1.0\r\n\r\n";
        twins.send(&twins.client.at(0, 0));
        let start = twins.client.at(0, 0).payload(request);
        let response = twins.send(&start);
        assert_eq!(twins.send(&start), response);
        let len = Part::of(&twins.client, &response[0]).unwrap().payload.len() as u32;
        twins.send(&twins.client.at(request.len() as u32, 0).payload("end"));
        twins.send(&twins.client.at(request.len() as u32, 0).payload("a later part"));
        twins.send(&twins.client.at(request.len() as u32, len + 1).with(Flags::FIN));
        assert!(twins.has_seen(ReplyKind::Response) && twins.has_seen(ReplyKind::FinAck));

        let mut idle = Twins::connected(&servers, ends, offer);
        let closed = idle.send(&idle.client.at(0, 0).with(Flags::FIN));
        assert!(Part::of(&idle.client, &closed[0]).unwrap().is_last, "nothing was asked: both are done");
        let mut wrong = Twins::connected(&servers, ends, offer);
        wrong.send(&wrong.client.at(0, 0).payload("POST / HTTP/1.0\r\n\r\n"));
        assert!(wrong.has_seen(ReplyKind::Refusal));
    }
}

#[test]
fn whatever_comes_in_the_middle_of_a_response_draws_what_it_would_have() {
    let servers = twins();
    for (ends, offer) in both().into_iter().flat_map(|ends| OFFERS.map(|offer| (ends, offer))) {
        let mut twins = Twins::connected(&servers, ends, offer);
        let first = twins.send(&twins.client.at(0, 0).payload(REQUEST));
        let s = Part::of(&twins.client, &first[0]).unwrap().payload.len() as u32;
        let start = twins.client.cookie.wrapping_add(1);
        let block = |from: u32, to: u32| (start.wrapping_add(from * s), start.wrapping_add(to * s));
        // The window moves; a hole; a duplicate; a timeout, and a FIN; the request again.
        twins.send(&twins.ack(&first[0], 2 * s));
        twins.send(&twins.ack(&first[0], 2 * s).sack(&[block(3, 6)]));
        twins.send(&twins.ack(&first[0], 2 * s).sack(&[block(0, 1)]));
        twins.send(&twins.ack(&first[1], 2 * s).seq(ISN + LEN).payload("\n").with(Flags::PSH));
        twins.send(&twins.ack(&first[1], 2 * s).with(Flags::FIN));
        twins.send(&twins.ack(&first[1], 2 * s).seq(ISN + 1).payload(REQUEST));
        assert!(twins.has_seen(ReplyKind::Resumed));
        assert!(!offer.timestamps || offer.sack == twins.has_seen(ReplyKind::NextWindow));
        // A probe that comes back, and what it asks for.
        let probes: Vec<_> = first.iter().filter_map(|frame| Part::of(&twins.client, frame)).collect();
        for probe in probes.iter().filter(|part| part.is_probe()) {
            let place = start.wrapping_add(probe.offset);
            let read = (probes.len() as u32 - 3) * s;
            twins.send(&twins.client.at(LEN, read).sack(&[(place, place.wrapping_add(LEN))]));
        }
        assert!(offer.timestamps || twins.has_seen(ReplyKind::NextWindow), "{offer:?}");
        // A link that is too small for a segment, and one that is not.
        twins.send_frame(&Icmp::error(&ends, IcmpError::TooBig(1300), &first[2]).frame());
        assert_eq!(offer.timestamps, twins.has_seen(ReplyKind::Narrowed));
        twins.send_frame(&Icmp::error(&ends, IcmpError::TooBig(1500), &first[2]).frame());
    }
}

/// What a client reads that acknowledges each segment, takes a check where it is, and asks again when nothing comes;
/// every packet of it goes to the server that `turns` names next. `None` if it waits in vain, since what it sends fits
/// two secrets (docs/cluster.md).
fn read(servers: &[Engine<Sample>], first: usize, turns: &[usize], ends: Ends, offer: Offer) -> Option<Vec<u8>> {
    let mut turns = turns.iter().cycle();
    let mut client = Client::connected(&servers[first], ends, offer);
    let mut send = |client: &mut Client<'_>, frame: &[u8]| {
        let frames = Dialogue::new(&servers[*turns.next().unwrap()]).send(frame);
        frames.iter().filter_map(|frame| Part::of(client, frame)).filter(|part| !part.is_probe()).collect::<Vec<_>>()
    };
    let (mut body, mut parts) = (Vec::new(), BTreeMap::new());
    let mut echo = client.echo;
    let mut frame = Vec::new();
    for _ in 0..1000 {
        let now = body.len() as u32;
        let segment = match parts.remove(&now) {
            Some(Part { payload, is_last, stamp, .. }) => {
                body.extend(payload);
                if is_last {
                    return Some(body);
                }
                echo = stamp.unwrap_or_default();
                client.at(LEN, body.len() as u32)
            }
            None if let Some(checked) = parts.remove(&now.wrapping_sub(1)).and_then(|part: Part| part.stamp) => {
                echo = checked;
                client.at(LEN, now)
            }
            None if offer.timestamps && now > 0 => client.at(LEN - 1, now).payload("\n").with(Flags::PSH),
            None => client.at(0, now).payload(REQUEST),
        };
        let segment = if offer.timestamps { segment.timestamps(TIME, echo) } else { segment };
        frame = segment.frame();
        parts.extend(send(&mut client, &frame).into_iter().map(|part| (part.offset, part)));
    }
    let is_answered = |&secret: &u8| !Dialogue::new(&server(&[secret])).send(&frame).is_empty();
    let fitting = [OLD, NEW, OTHER].iter().filter(|secret| is_answered(secret)).count();
    assert!(fitting > 1, "{} bytes came, and no more", body.len());
    None
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    /// In the midst of a rotation each server is at another step of it.
    #[test]
    fn a_long_response_comes_whole_whichever_server_gets_a_packet(
        first in 0..3_usize,
        turns in prop::collection::vec(0..4_usize, 1..50),
        port in 1..=u16::MAX,
        v4 in any::<bool>(),
        offer in prop::sample::select(&OFFERS[..]),
    ) {
        let orders: [&[_]; 4] = [&[OLD, NEW], &[NEW, OLD], &[NEW, OTHER, OLD], &[OLD, NEW, OTHER]];
        let servers = orders.map(server);
        let ends = if v4 { Ends::v4() } else { Ends::v6() }.client_port(port);
        let body = read(&servers, first, &turns, ends, offer);
        prop_assume!(body.is_some());
        prop_assert!(body.unwrap().ends_with(&expected(70_000)));
    }
}

#[test]
fn new_connections_begin_under_the_first_secret() {
    let (old, rotated, new) = (server(&[OLD]), server(&[NEW, OLD]), server(&[NEW]));
    for ends in both() {
        let cookie = |engine| Client::connected(engine, ends, Offer::LINUX).cookie;
        assert_eq!(cookie(&rotated), cookie(&new));
        assert_ne!(cookie(&rotated), cookie(&old));
    }
}

#[test]
fn a_syn_begins_under_the_first_secret_whatever_it_echoes() {
    let (old, rotated, new) = (server(&[OLD]), server(&[NEW, OLD]), server(&[NEW]));
    for ends in both() {
        // What the last connection from the same port had seen of us.
        let mut client = Client::connected(&old, ends, Offer::LINUX);
        client.request("GET /100 HTTP/1.0\r\n\r\n");
        let syn = Segment::syn(&ends).seq(ISN).mss(1460).timestamps(TIME, client.echo).frame();
        let plain = Segment::syn(&ends).seq(ISN + 1).ack_number(client.cookie + 1).frame();
        for syn in [syn, plain] {
            assert_eq!(Dialogue::new(&rotated).send(&syn), Dialogue::new(&new).send(&syn));
        }
    }
}

#[test]
fn what_began_under_a_secret_that_is_gone_is_refused() {
    let (old, gone) = (server(&[OLD]), server(&[NEW, OTHER]));
    let mut verdicts = Vec::new();
    for (port, offer) in (1..200).flat_map(|port| [Offer::LINUX, UNTIMED].map(|offer| (port, offer))) {
        let mut client = Client::connected(&old, Ends::v4().client_port(port), offer);
        let first = client.request(REQUEST);
        let Part { payload, stamp, .. } = Part::of(&client, &first[0]).unwrap();
        let ack = client.at(LEN, 2 * payload.len() as u32);
        let ack = stamp.map_or(ack.clone(), |stamp| ack.timestamps(TIME, stamp));
        for segment in [client.at(0, 0).payload(REQUEST), ack.clone(), ack.seq(ISN + LEN).payload("\n")] {
            let mut dialogue = Dialogue::new(&gone);
            assert!(dialogue.send(&segment.frame()).is_empty(), "{:?}", dialogue.verdict());
            verdicts.extend(dialogue.verdict());
        }
    }
    for expect in [Verdict::Dropped(DropReason::TcpCookie), Verdict::Absorbed(Absorbed::Ack)] {
        assert!(verdicts.contains(&expect));
    }
}

/// A client gets no other part of the data set because what it gives back fits two secrets.
#[test]
fn what_fits_two_secrets_draws_nothing() {
    let old = server(&[OLD]);
    // The same twice: all fits both.
    let twice = engine_changed(|config: &mut Config| {
        config.secret = Secret::new([NEW; 16]);
        config.former = [Some(Secret::new([OLD; 16])); 2];
    });
    let mut client = Client::connected(&old, Ends::v4(), Offer::LINUX);
    let first = client.request(REQUEST);
    let stamp = Part::of(&client, &first[0]).unwrap().stamp.unwrap();
    let ack = client.at(LEN, 2 * 1448).timestamps(TIME + 1, stamp);
    let mut dialogue = Dialogue::new(&twice);
    assert!(dialogue.send(&ack.frame()).is_empty());
    assert_eq!(dialogue.verdict(), Some(Verdict::Dropped(DropReason::TcpEcho)));
    assert!(!client.send(&ack).is_empty());
}

/// How many of so many other secrets fit somewhere along a response of `size` bytes: an ACK for each two segments; and
/// what the client's RTO sends in its place.
fn count_fitting(size: usize, others: u64) -> [usize; 2] {
    let app = Sample::new(100_000_000);
    let engine = |secret: Secret, former: Option<Secret>| {
        Engine::new(Config { keep_alive: true, secret, former: [former, None], ..config(Refuse::Drop) }, &app)
    };
    let genuine = Secret::new([OLD; 16]);
    let server = engine(genuine, None);
    let mut client = Client::connected(&server, Ends::v4(), Offer::LINUX);
    let request = format!("GET /{size} HTTP/1.1\r\nHost: lethe.example\r\nConnection: close\r\n\r\n");
    let len = request.len() as u32;
    let frames = client.request(&request);
    let mut sent: VecDeque<_> = support::sent(&client, &frames).into();
    let (mut acked, mut packets) = (0, Vec::new());
    while let Some(first) = sent.pop_front() {
        let last = sent.pop_front().unwrap_or_else(|| first.clone());
        acked = last.offset + last.payload.len() as u32;
        let [ack, again] = [client.at(len, acked), client.at(len - 1, acked).payload(b"\n")]
            .map(|segment| segment.timestamps(TIME + 1, first.stamp));
        sent.extend(support::send(&ack, &mut client));
        packets.push([ack.frame(), again.frame()]);
    }
    assert!(acked as usize > size, "{acked}");
    let mut fitting = [0; 2];
    for number in 0..others {
        let other = Secret::new(std::array::from_fn(|at| number.to_le_bytes()[at % 8] ^ 0x55));
        let server = engine(other, Some(genuine));
        let is_refused = |frame: &[u8]| {
            let mut dialogue = Dialogue::new(&server);
            dialogue.send(frame);
            dialogue.verdict() == Some(Verdict::Dropped(DropReason::TcpEcho))
        };
        for (count, kind) in fitting.iter_mut().zip(0..) {
            *count += usize::from(packets.iter().any(|packet| is_refused(&packet[kind])));
        }
    }
    fitting
}

/// docs/cluster.md has what this counts with 3,000 secrets (`SECRETS=3000`).
#[test]
fn in_a_long_response_another_secret_fits_one_connection_in_a_hundred() {
    let others = std::env::var("SECRETS").map_or(100, |text| text.parse().unwrap());
    for size in [70_000, 5_000_000] {
        let [acks, timeouts] = count_fitting(size, others);
        println!("{size} bytes: ACKs of {acks}, timeouts of {timeouts} in {others}");
        assert!(acks.max(timeouts) as u64 <= others / 50, "{size}: {acks}, {timeouts}");
    }
}
