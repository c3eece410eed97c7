//! Drawing what is wrong with the links of a run.
//!
//! How much is wrong is drawn first, so that every fault is seen alone as well as together with all others
//! (Groce et al., "Swarm Testing", 2012).

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::link::{Burst, Impairment, Outage, Rate};
use crate::random::{Probability, Random};

/// How probable each fault is in a run: one in ten or so, one in four, every second.
const DENSITIES: [u32; 4] = [0, 10, 25, 50];

/// Packets with right checksums and wrong contents leave little to be judged: only few runs have them.
const MENDED_RUNS: Probability = Probability::from_percent(5);

/// What is wrong on the way to the engine, and on the way back. Where replies are `clocked`, their clients remember for
/// the engine where they are: of these, a network that changes packets and mends their checksums can make anything.
pub(super) fn draw(random: &Random, clocked: bool) -> (Impairment, Impairment) {
    let density = Probability::from_percent(*random.fork("density").pick(&DENSITIES));
    let may_mend = !clocked && random.fork("mend").chance(MENDED_RUNS);
    let draw = |direction| Drawing { random: random.fork(direction), density }.impairment(may_mend);
    (draw("up"), draw("down"))
}

struct Drawing {
    random: Random,
    density: Probability,
}

impl Drawing {
    /// The stream of a fault, if there is to be that fault.
    fn fault(&self, name: &str) -> Option<Random> {
        let mut random = self.random.fork(name);
        random.chance(self.density).then_some(random)
    }

    fn probability(&self, name: &str, percent_max: u64) -> Probability {
        // In tenths of a percent. Mostly small: the product of two numbers below 1.
        self.fault(name).map_or(Probability::NEVER, |mut random| {
            let most = random.range(1..=percent_max * 10);
            Probability::from_millionths(random.range(1..=most) as u32 * 1000)
        })
    }

    fn time(&self, name: &str, millis: RangeInclusive<u64>) -> Duration {
        self.fault(name).map_or(Duration::ZERO, |mut random| Duration::from_millis(random.range(millis)))
    }

    fn impairment(&self, may_mend: bool) -> Impairment {
        let default = Impairment::default();
        let corrupt = self.probability("corrupt", 10);
        let reorder = self.probability("reorder", 50);
        let mtu = self.fault("mtu").map(|mut random| random.range(576..=1499) as u16);
        let queue = self.random.fork("queue").range(10..=200) as u32;
        let rate = self.fault("rate").and_then(|mut random| Rate::new(random.range(2..=1000) * 100_000));
        Impairment {
            loss: self.probability("loss", 40),
            burst: self.fault("burst").map(|mut random| Burst {
                start: Probability::from_millionths(random.range(1..=30) as u32 * 1000),
                length: random.range(2..=10) as u32,
            }),
            duplicate: self.probability("duplicate", 40),
            hold: if reorder.is_never() { default.hold } else { self.hold() },
            reorder,
            mend: if may_mend && !corrupt.is_never() { Probability::from_percent(50) } else { Probability::NEVER },
            corrupt,
            truncate: self.probability("truncate", 10),
            delay: self.time("delay", 1..=250),
            jitter: self.time("jitter", 1..=50),
            queue: if rate.is_some() { queue } else { default.queue },
            rate,
            black_hole: mtu.is_some() && self.random.fork("black-hole").chance(Probability::from_percent(25)),
            mtu,
            outage: self.fault("outage").map(|mut random| Outage {
                begins: Duration::from_millis(random.range(0..=2000)),
                lasts: Duration::from_millis(random.range(100..=10_000)),
            }),
            ..default
        }
    }

    fn hold(&self) -> Duration {
        Duration::from_millis(self.random.fork("hold").range(1..=500))
    }
}
