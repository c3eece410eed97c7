//! However a process ends, its namespaces, programs and folders go. Needs root.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use lethe_harness::test;
use lethe_testnet::{Namespace, Program, janitor, wait_until};
use nix::sys::signal::Signal;

/// Has this program make what the tests look for, and then wait: set by the tests, for the copy that they start.
const PLAY: &str = "LETHE_TESTNET_PLAY";

fn exists(space: &str) -> bool {
    Path::new("/var/run/netns").join(space).exists()
}

#[test(root)]
fn a_namespace_goes_with_its_programs_and_cables_when_a_test_panics() {
    let mut name = String::new();
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let (space, other) = (Namespace::new(), Namespace::new());
        space.cable("near", &other, "far").unwrap();
        // Its owner is gone before it.
        std::mem::forget(Program::start(space.command("sleep").arg("600")).unwrap());
        wait_until("it sleeps", Duration::from_secs(10), || Ok((!space.pids()?.is_empty()).then_some(()))).unwrap();
        space.name().clone_into(&mut name);
        panic!("a test fails");
    }));
    assert!(panicked.is_err() && !name.is_empty());
    assert!(!exists(&name), "{name} is still there");
}

/// What the other test kills: it runs only as that copy of this program.
#[test(root)]
fn plays_what_is_killed() {
    let Some(file) = std::env::var_os(PLAY) else { return };
    let (space, folder) = (Namespace::new(), janitor::folder("removal").unwrap());
    let sleeps = Program::start(space.command("sleep").arg("600")).unwrap();
    wait_until("it sleeps", Duration::from_secs(10), || Ok((!space.pids()?.is_empty()).then_some(()))).unwrap();
    let text = format!("{} {} {}", space.name(), folder.path().display(), sleeps.pid());
    fs::write(Path::new(&file).with_extension("new"), text).unwrap();
    fs::rename(Path::new(&file).with_extension("new"), &file).unwrap();
    std::thread::sleep(Duration::from_mins(10));
}

#[test(root)]
fn all_of_it_goes_when_the_process_is_killed() {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGKILL] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("made");
        let mut copy = Command::new(std::env::current_exe().unwrap());
        copy.args(["--exact", "plays_what_is_killed"]).env(PLAY, &file).stdout(Stdio::null()).stderr(Stdio::null());
        let mut copy = Program::start(&mut copy).unwrap();
        let limit = Duration::from_secs(30);
        let made = wait_until("it is made", limit, || Ok(fs::read_to_string(&file).ok())).unwrap();
        let [space, work, pid] = made.split(' ').collect::<Vec<_>>().try_into().unwrap();
        assert!(exists(space) && Path::new(work).exists());
        copy.signal(signal);
        copy.wait().unwrap();
        let process = format!("/proc/{pid}");
        wait_until("all is gone", limit, || {
            let gone = !exists(space) && !Path::new(work).exists() && !Path::new(&process).exists();
            Ok(gone.then_some(()))
        })
        .unwrap_or_else(|error| panic!("{signal}: {error}"));
    }
}

lethe_harness::main!();
