//! Every script in `scripts` comes true, under the eyes of all checkers.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lethe::config::Config;
use lethe::cookie::Secret;
use lethe::engine::Engine;
use lethe::time::Instant;
use lethe_sim::check;
use lethe_sim::frame::Ends;
use lethe_sim::link::Impairment;
use lethe_sim::peer::Outcome;
use lethe_sim::peer::script::{Player, Script};
use lethe_sim::random::Random;
use lethe_sim::sample::Sample;
use lethe_sim::world::{Client, World};

/// Longer than any script takes.
const PATIENCE: Duration = Duration::from_hours(1);

/// Plays a script to an engine at 10.9.0.2 and `fd09::2` that answers `/N` with N bytes, over a link that is
/// all right.
fn play(script: Script) -> Outcome {
    let mut config = Config { keep_alive: false, ..Config::new(Secret::new([5; 16])) };
    for address in ["10.9.0.2", "fd09::2"] {
        config.addresses.add(address.parse().unwrap()).unwrap();
    }
    let engine = Engine::new(config, Sample::new(60_000));
    let mut world = World::new(&engine, Instant::from_unix_seconds(1_780_000_000)).with_checkers(check::all(&engine));
    let client = Client {
        peer: Box::new(Player::new(script)),
        mac: Ends::v4().client_mac.bytes(),
        up: Impairment::default(),
        down: Impairment::default(),
        random: Random::from_seed(0),
        heals_after: Duration::ZERO,
        patience: PATIENCE,
        reassembles: true,
    };
    world.add(world.now(), client);
    match world.next_finished() {
        Ok(finished) => finished.unwrap().outcome,
        Err(violation) => Outcome::Failed(violation.to_string()),
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts")
}

#[test]
fn every_script_comes_true() {
    let scripts: Vec<PathBuf> = folder().read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(scripts.len() >= 2, "only {} scripts were found", scripts.len());
    for path in scripts {
        let text = fs::read_to_string(&path).unwrap();
        let script = text.parse().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(play(script), Outcome::Done, "{}", path.display());
    }
}

#[test]
fn what_does_not_come_true_is_told_with_its_line() {
    let script = "send SYN seq 0 <mss 1460>\nexpect SYN ACK ack 2";
    let Outcome::Failed(reason) = play(script.parse().unwrap()) else { panic!("it came true") };
    assert!(reason.starts_with("line 2: another ack (1): "), "{reason}");
}

/// The example in the book is one of them, letter by letter.
#[test]
fn the_book_shows_a_script_that_is_played() {
    let book = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/simulator.md");
    let (book, script) =
        (fs::read_to_string(book).unwrap(), fs::read_to_string(folder().join("lost-reply.script")).unwrap());
    assert!(book.contains(&script), "docs/simulator.md shows another script than lost-reply.script");
}
