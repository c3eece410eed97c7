//! Whole runs, drawn from seeds: those that once failed, and some tens of others.

use std::collections::BTreeSet;

use lethe_sim::run::simulate;
use lethe_sim::scenario::Options;
use lethe_sim::sites::{self, Site};

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
    let lines: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
    assert!(lines.len() >= 10, "only {} seeds were read", lines.len());
    for line in lines {
        // A site stands at the end, as in what a failing run prints.
        let (options, site) = line.split_once(" --cut ").map_or((line, None), |(options, site)| (options, Some(site)));
        let options = options.parse().unwrap_or_else(|error| panic!("{line}: {error}"));
        let site = site.map(|site| Site::ALL.into_iter().find(|known| known.to_string() == site).expect(line));
        match site {
            Some(site) => drop(sites::simulate(site, options, None).unwrap_or_else(|failure| panic!("{failure}"))),
            None => check(options),
        }
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
    let digest = |seed| match simulate(Options::new(seed), None) {
        Ok(summary) => summary.digest,
        Err(failure) => panic!("{failure}"),
    };
    let digests: BTreeSet<u64> = (0..5).map(digest).collect();
    assert_eq!(digests.len(), 5, "another seed gives other frames");
    for (seed, again) in (0..5).map(|seed| (seed, digest(seed))) {
        assert!(digests.contains(&again), "seed {seed}");
    }
}

/// Requests of every site, cut anywhere, over networks of every kind: whatever arrives first, no byte changes.
#[test]
fn requests_that_are_cut_anywhere_are_answered_with_the_bytes_of_one_response() {
    for site in Site::ALL {
        for seed in 0..10 {
            let summary = sites::simulate(site, Options::new(seed), None).unwrap_or_else(|failure| panic!("{failure}"));
            assert!(summary.completed() > 20, "{site}, seed {seed}: {}", summary.completed());
        }
    }
}

/// A kernel sends what it takes for lost before it acknowledges what came with the ACK that it reads.
#[test]
fn the_rest_of_a_request_that_was_refused_is_acknowledged_by_its_timestamp() {
    let summary = sites::simulate(Site::Files, Options::new(454), None);
    assert!(summary.is_ok(), "{}", summary.unwrap_err());
}

/// Into a window of 1,024 bytes goes what fits segments of the least MSS: no 431, and no 304.
#[test]
fn a_client_with_a_tiny_window_gets_what_fits_its_segments_and_no_other_bytes() {
    for (site, seed) in [(Site::Redirect, 126), (Site::Files, 109), (Site::Files, 366), (Site::Files, 479)] {
        let summary = sites::simulate(site, Options::new(seed), None);
        assert!(summary.is_ok(), "{site}, seed {seed}: {}", summary.unwrap_err());
    }
}

/// Clients that keep their connections, idle, pipeline, cut, give up, and attackers on them.
#[test]
fn fresh_seeds_of_kept_connections_do_not_fail() {
    for seed in 0..60 {
        check(Options { requests: 30, keep_alive: Some(8), ..Options::new(seed) });
    }
}
