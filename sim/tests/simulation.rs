//! Whole runs, drawn from seeds: those that once failed, and some tens of others.

use lethe_sim::run::simulate;
use lethe_sim::scenario::Options;
use lethe_sim::scenario::sites::Site;

/// Runs that once failed: see the file for its format.
const SEEDS: &str = include_str!("../seeds.txt");

fn check(options: Options) {
    if let Err(failure) = simulate(options, None) {
        panic!("{failure}");
    }
}

#[test]
fn what_once_failed_does_not_fail_again() {
    let lines = SEEDS.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    for line in lines.filter(|line| !line.is_empty()) {
        check(line.parse().unwrap_or_else(|error| panic!("{line}: {error}")));
    }
}

#[test]
fn fresh_seeds_do_not_fail() {
    for seed in 0..50 {
        check(Options { requests: 30, ..Options::new(seed) });
    }
}

#[test]
fn the_same_seed_gives_the_same_frames() {
    for seed in 0..5 {
        let digest = || simulate(Options::new(seed), None).map(|summary| summary.digest);
        assert_eq!(digest(), digest());
    }
}

/// Requests of every site, cut anywhere, over networks of every kind: whatever arrives first, no byte changes.
#[test]
fn requests_that_are_cut_anywhere_are_answered_with_the_bytes_of_one_response() {
    for site in Site::ALL {
        for seed in 0..10 {
            let options = Options { cut: Some(site), ..Options::new(seed) };
            let summary = simulate(options, None).unwrap_or_else(|failure| panic!("{failure}"));
            assert!(summary.completed() > 20, "{site}, seed {seed}: {}", summary.completed());
        }
    }
}
