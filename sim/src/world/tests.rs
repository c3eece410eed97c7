//! Tests of the world, with a client that sends echo requests.

use super::*;
use crate::frame::{Ends, Icmp};
use crate::testing::{Sized, engine};

const START: Instant = Instant::from_unix_seconds(1_780_000_000);
const PATIENCE: Duration = Duration::from_secs(10);

/// Sends an echo request, once a second until one is answered.
struct Pinger {
    request: Vec<u8>,
    deadline: Option<Instant>,
    reply: Option<Vec<u8>>,
}

impl Pinger {
    fn new(ends: &Ends, data: &[u8]) -> Self {
        let request = Icmp::echo(ends, 1, 1, data).packet().may_be_fragmented().frame();
        Self { request, deadline: Some(START), reply: None }
    }
}

impl Peer for Pinger {
    fn receive(&mut self, _now: Instant, frame: &[u8], _out: &mut Outbox) {
        self.reply = Some(frame.to_vec());
        self.deadline = None;
    }

    fn wake(&mut self, now: Instant, out: &mut Outbox) {
        out.push(self.request.clone());
        self.deadline = Some(after(now, Duration::from_secs(1)));
    }

    fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    fn outcome(&self) -> Outcome {
        self.reply.clone().map_or(Outcome::Running, Outcome::Complete)
    }
}

fn client(number: u8, up: &str, down: &str) -> Client {
    let mut ends = if number.is_multiple_of(2) { Ends::v4() } else { Ends::v6() };
    ends.client_mac = lethe::wire::ethernet::MacAddress::new([2, 0, 0, 0, 0, number]);
    Client {
        peer: Box::new(Pinger::new(&ends, &[number; 100])),
        mac: ends.client_mac.bytes(),
        up: up.parse().unwrap(),
        down: down.parse().unwrap(),
        random: Random::from_seed(1).nth(u64::from(number)),
        heals_after: Duration::from_secs(20),
        patience: PATIENCE,
        reassembles: true,
    }
}

/// Runs all clients to their ends, which come in order of the clients' numbers.
fn run(clients: Vec<Client>) -> (Vec<Finished>, u64, Tally) {
    let engine = engine();
    let mut world: World<'_, Sized> = World::new(&engine, START);
    for client in clients {
        world.add(START, client);
    }
    let mut finished = Vec::new();
    while let Some(one) = world.next_finished().unwrap() {
        finished.push(one);
    }
    finished.sort_by_key(|finished| finished.client);
    assert_eq!(world.stats().received_frames(), world.stats().rows().map(|(_, count)| count).sum::<u64>());
    (finished, world.digest(), world.tally().clone())
}

#[test]
fn a_frame_takes_the_time_of_both_links() {
    let (finished, _, tally) = run(vec![client(0, "delay=20ms", "delay=5ms")]);
    let [Finished { took, outcome: Outcome::Complete(reply), .. }] = finished.as_slice() else {
        panic!("{finished:?}");
    };
    assert_eq!(*took, Duration::from_millis(25));
    assert!(reply.ends_with(&[0; 100]));
    assert_eq!((tally.from_clients, tally.to_clients, tally.lost), (1, 1, 0));
}

#[test]
fn every_client_gets_its_own_answer() {
    let (finished, ..) = run((0..20).map(|number| client(number, "delay=1ms,jitter=9ms", "")).collect());
    assert_eq!(finished.len(), 20);
    for (number, finished) in finished.iter().enumerate() {
        let Outcome::Complete(reply) = &finished.outcome else { panic!("{finished:?}") };
        assert!(reply.ends_with(&[number as u8; 100]));
    }
}

#[test]
fn the_same_seed_is_the_same_world_and_another_link_is_another_one() {
    let clients = |last| {
        let lossy = "loss=40%,delay=3ms,jitter=3ms,duplicate=10%";
        vec![client(0, lossy, lossy), client(1, lossy, lossy), client(2, last, lossy)]
    };
    let lossy = "loss=40%";
    let (finished, digest, _) = run(clients(lossy));
    assert_eq!(run(clients(lossy)).1, digest);
    let (others, other, _) = run(clients("loss=60%,reorder=50%"));
    assert_ne!(other, digest);
    // What the third client's link is like does not concern the first two.
    assert_eq!(others[..2], finished[..2]);
}

#[test]
fn the_digest_stays_as_it_is() {
    // Another one means that old seeds no longer give the worlds that they gave.
    let lossy = "loss=20%,duplicate=20%,reorder=20%,corrupt=5%,truncate=5%,delay=3ms,jitter=3ms";
    let (_, digest, _) = run((0..20).map(|number| client(number, lossy, lossy)).collect());
    assert_eq!(format!("{digest:016x}"), "0222280c3553584c");
}

#[test]
fn links_heal_and_then_everything_comes_to_an_end() {
    let (finished, ..) = run((0..20).map(|number| client(number, "loss=99%", "outage=0s+1h")).collect());
    for Finished { took, outcome, .. } in finished {
        assert!(matches!(outcome, Outcome::Complete(_)));
        assert!((Duration::from_secs(20)..=Duration::from_secs(21)).contains(&took), "{took:?}");
    }
}

#[test]
fn who_does_not_come_to_an_end_is_found_out() {
    let mut client = client(0, "", "");
    client.mac = [2, 0, 0, 0, 0, 0xee];
    let (finished, ..) = run(vec![client]);
    let [Finished { took, outcome: Outcome::Running, .. }] = finished.as_slice() else {
        panic!("{finished:?}");
    };
    assert_eq!(*took, Duration::from_secs(20) + PATIENCE);
}

#[test]
fn bytes_drive_a_world_as_a_seed_does() {
    let bytes: Vec<u8> = (0..64).map(|number: u8| number.wrapping_mul(151)).collect();
    let mut clients: Vec<Client> = (0..4).map(|number| client(number, "loss=60%,corrupt=20%", "loss=60%")).collect();
    let random = Random::from_bytes(&bytes);
    for client in &mut clients {
        client.random = random.clone();
    }
    let (finished, ..) = run(clients);
    assert_eq!(finished.len(), 4);
    // The string ends soon, and then nothing goes wrong any more.
    assert!(finished.iter().all(|finished| finished.took < Duration::from_secs(20)));
}

#[test]
fn a_checker_sees_every_exchange_and_stops_the_world() {
    struct NoEcho(u32);
    impl Checker for NoEcho {
        fn name(&self) -> &'static str {
            "no-echo"
        }
        fn check(&mut self, exchange: &Exchange<'_>) -> Result<(), String> {
            self.0 += 1;
            assert_eq!(exchange.sent.len(), 1);
            if self.0 < 3 { Ok(()) } else { Err(exchange.verdict.to_string()) }
        }
    }
    let engine = engine();
    let mut world = World::new(&engine, START).with_checkers(vec![Box::new(NoEcho(0))]);
    for number in 0..4 {
        world.add(after(START, Duration::from_millis(number.into())), client(number, "", ""));
    }
    assert!(world.next_finished().is_ok() && world.next_finished().is_ok());
    let violation = world.next_finished().unwrap_err();
    assert_eq!(violation.to_string(), "client 2 after 2ms: no-echo: replied echo");
}

#[test]
fn a_recording_has_both_ends_and_every_fate() {
    let path = std::env::temp_dir().join(format!("lethe-world-{}.pcapng", std::process::id()));
    let engine = engine();
    let mut recorder = Recorder::create(&path, None).unwrap();
    let mut world = World::new(&engine, START).with_recorder(&mut recorder);
    world.add(START, client(0, "duplicate=100%,delay=2ms", "outage=0s+1s"));
    while world.next_finished().unwrap().is_some() {}
    drop(world);
    recorder.finish().unwrap();
    let file = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let text = String::from_utf8_lossy(&file);
    for comment in [
        "sent: delayed 2ms | duplicate, delayed 2ms (client 0)",
        "arrived: duplicate, delayed 2ms (client 0)",
        "sent: lost to an outage (client 0)",
        "client side",
        "server side",
    ] {
        assert!(text.contains(comment), "{comment}");
    }
}
