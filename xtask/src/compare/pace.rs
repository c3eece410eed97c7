//! Requests at a fixed rate, whatever the server does: how long they take, and how many are answered, alone and beside
//! a flood of SYNs.

use anyhow::Context;

use super::Setup;
use super::clients::{Sample, Syns, steadily};
use super::measure::{Named, turns, warm_up};
use super::report::median;
use super::servers::{Kind, PATH, Running};

/// Of all packets to the server these are the flood.
const SHARE: f64 = 0.9;

/// Requests a second beside floods of growing rates.
const BESIDE: u32 = 1000;

/// By server, rate, and whether there is a flood: a sample each round.
pub(super) type Rates = Named<(String, u32, bool), Vec<Sample>>;

/// Latency at fixed rates.
pub(super) fn rates(setup: &Setup) -> anyhow::Result<Rates> {
    let amount = &setup.amount;
    let mut kinds = setup.lethe();
    kinds.extend([Kind::reference(), Kind::epoll()]);
    setup.expect_steps(amount.rounds_of_more as usize * kinds.len() * 2);
    let mut found = Rates::new();
    for round in 0..amount.rounds_of_more {
        for flooded in [false, true] {
            for kind in turns(kinds.clone(), round) {
                let words = if flooded { ", in a flood" } else { "" };
                setup.step(&format!("{}{words}, round {}", kind.name, round + 1));
                setup.going_on(|| {
                    let server = ready(setup, &kind)?;
                    for &rate in if flooded { amount.rates_in_flood } else { amount.rates } {
                        let syns = if flooded {
                            Syns::Rate(f64::from(rate) * syns_a_request(&found, &kind)?)
                        } else {
                            Syns::None
                        };
                        let sample = steadily(&server, rate, amount.steady, syns)?;
                        found.of((kind.name.clone(), rate, flooded)).push(sample);
                    }
                    Ok(())
                });
            }
        }
    }
    found.something()
}

/// So many that they are nine of ten packets, by what a client sent for a request when there was no flood.
fn syns_a_request(found: &Rates, kind: &Kind) -> anyhow::Result<f64> {
    let mut idle = found.0.iter().filter(|((name, _, flooded), _)| *name == kind.name && !flooded);
    let (_, samples) =
        idle.next().with_context(|| format!("{}: how many packets a request takes is not known", kind.name))?;
    let packets: Vec<f64> = samples.iter().map(|sample| sample.packets).collect();
    Ok(median(&packets) * SHARE / (1.0 - SHARE))
}

/// By server and SYNs a second that were asked for: a sample each round.
pub(super) type Floods = Named<(String, Option<u32>), Vec<Sample>>;

/// A fixed rate beside floods.
pub(super) fn flood(setup: &Setup) -> anyhow::Result<Floods> {
    let amount = &setup.amount;
    let mut kinds: Vec<Kind> = setup.lethe().into_iter().filter(|kind| !kind.is_tap()).collect();
    kinds.extend([Kind::reference(), Kind::without_cookies()]);
    let rounds = amount.rounds_of_more;
    setup.expect_steps(rounds as usize * (kinds.len() - 1) + 1);
    let mut found = Floods::new();
    for round in 0..rounds {
        // Without cookies it is too slow to be measured more than once.
        let count = if round == 0 { kinds.len() } else { kinds.len() - 1 };
        for kind in turns(kinds[..count].to_vec(), round) {
            setup.step(&format!("{}, round {}", kind.name, round + 1));
            setup.going_on(|| {
                let server = ready(setup, &kind)?;
                let most = amount.rates.iter().max().copied().unwrap_or(BESIDE);
                for rate in std::iter::once(None).chain(amount.floods.iter().copied().map(Some)) {
                    let syns = match rate {
                        None => Syns::None,
                        Some(0) => Syns::Most,
                        Some(rate) => Syns::Rate(f64::from(rate)),
                    };
                    let sample = steadily(&server, BESIDE.min(most), amount.steady, syns)?;
                    found.of((kind.name.clone(), rate)).push(sample);
                }
                Ok(())
            });
        }
    }
    found.something()
}

/// A server that was looked at, and is warm.
fn ready<'a>(setup: &'a Setup, kind: &'a Kind) -> anyhow::Result<Running<'a>> {
    let server = Running::start(setup, kind, None, 0)?;
    server.check_body(PATH, &setup.body)?;
    warm_up(&server, setup.amount.growth)?;
    Ok(server)
}
