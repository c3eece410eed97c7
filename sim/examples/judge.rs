//! Runs seeds until a checker fires: what `tests/faults.rs` puts each faulty engine before.
//!
//! `judge SEEDS [CHECKER]` runs seeds from 1 to SEEDS, and prints a line for each that fails: the seed, and
//! who found out. It stops after the first that CHECKER has found.

use std::process::ExitCode;

use lethe_sim::run::{Fault, simulate};
use lethe_sim::scenario::Options;
use lethe_sim::sites::{self, Site};

/// Requests of a client that keeps its connection, at most.
const KEPT: u32 = 8;

/// Clients of a run that keep their connections, and of one with long responses: few, since the first fault that is
/// found ends a run, and each checker is to have its turn.
const KEPT_CLIENTS: u32 = 10;
const LONG_CLIENTS: u32 = 10;

/// Sites whose answers depend on header fields that a fault may lose; small ones have simulations of their own.
const SITES: [Site; 3] = [Site::Files, Site::Redirect, Site::Scores];

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let Some(seeds) = arguments.next().and_then(|seeds| seeds.parse().ok()) else {
        eprintln!("usage: judge SEEDS [CHECKER]");
        return ExitCode::from(2);
    };
    let awaited = arguments.next();
    for seed in 1..=seeds {
        let site = SITES[seed as usize % SITES.len()];
        let cut = || sites::simulate(site, Options::new(seed), None);
        let kept = || simulate(Options { keep_alive: Some(KEPT), requests: KEPT_CLIENTS, ..Options::new(seed) }, None);
        let long = || simulate(Options { large: true, requests: LONG_CLIENTS, ..Options::new(seed) }, None);
        let result = simulate(Options::new(seed), None).and_then(|_| cut()).and_then(|_| kept()).and_then(|_| long());
        let Err(failure) = result else { continue };
        let checker = checker(&failure.fault);
        println!("{seed} {checker}");
        eprintln!("{failure}");
        if awaited.as_deref() == Some(checker) {
            break;
        }
    }
    ExitCode::SUCCESS
}

/// Who found out: a checker of frames by its name, or whoever looks at what became of a client.
const fn checker(fault: &Fault) -> &'static str {
    match fault {
        Fault::Violation(violation) => violation.checker,
        Fault::Overdue { .. } => "progress",
        Fault::WrongBytes { .. } => "oracle",
        Fault::Failed(_) | Fault::Unexpected(_) => "client",
    }
}
