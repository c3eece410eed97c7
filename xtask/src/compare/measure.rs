//! Short connections and those that stay open, memory, and downloads under loss. Each function returns what it found,
//! in the order of the report.

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, ensure};
use lethe_testnet::V4;

use super::clients::{Held, Request, Sample, ab, h2load, wrk};
use super::servers::{Kind, PATH, Running};
use super::{Setup, note};
use crate::downloads::{Batch, Curl};
use crate::networks::Networks;

/// How much is measured of each thing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Amount {
    /// How often: short connections to Lethe and to nginx with one worker; those to the others; everything else.
    pub(super) rounds: u32,
    pub(super) rounds_of_others: u32,
    pub(super) rounds_of_more: u32,
    /// How many of `ab` at a time and its requests, and those of the others; and seconds of `wrk`.
    pub(super) short: [(usize, usize); 2],
    pub(super) short_of_others: usize,
    pub(super) seconds: u32,
    /// Connections that stay open, and the requests of `ab` and `h2load` on them.
    pub(super) kept: (usize, usize),
    /// Seconds of `lethe load` at a rate; requests a second alone, and beside a flood that is nine of ten packets; and
    /// SYNs a second beside a thousand requests, the last of which is as many as can be sent where it is 0.
    pub(super) steady: u32,
    pub(super) rates: &'static [u32],
    pub(super) rates_in_flood: &'static [u32],
    pub(super) floods: &'static [u32],
    /// Requests of `ab` for what grows, and the sizes and numbers that it grows to.
    pub(super) growth: usize,
    pub(super) sizes: &'static [usize],
    pub(super) files: &'static [usize],
    pub(super) candidates: &'static [usize],
    pub(super) bursts: &'static [usize],
    pub(super) held: &'static [usize],
    /// Downloads over each network with loss, and its share of lost packets.
    pub(super) downloads: usize,
    pub(super) losses: &'static [u32],
    /// Seconds for which the machine is watched while nothing is asked of it.
    pub(super) idle: u64,
}

pub(super) const FULL: Amount = Amount {
    rounds: 5,
    rounds_of_others: 2,
    rounds_of_more: 2,
    short: [(100, 100_000), (1000, 100_000)],
    short_of_others: 20_000,
    seconds: 3,
    kept: (100, 100_000),
    steady: 3,
    rates: &[1000, 10_000, 30_000],
    rates_in_flood: &[1000, 10_000],
    floods: &[50_000, 100_000, 200_000, 0],
    growth: 10_000,
    sizes: &[200, 500, 1000, 1400, 3000, 14_000, 30_000, 100_000, 1_000_000],
    files: &[100, 1000, 10_000, 100_000],
    candidates: &[1000, 10_000, 100_000, 400_000],
    bursts: &[1, 4, 16, 32, 64, 256],
    held: &[10_000, 100_000, 1_000_000],
    downloads: 200,
    losses: &[1, 5],
    idle: 10,
};

pub(super) const QUICK: Amount = Amount {
    rounds: 1,
    rounds_of_others: 1,
    rounds_of_more: 1,
    short: [(10, 100), (50, 100)],
    short_of_others: 100,
    seconds: 1,
    kept: (10, 500),
    steady: 1,
    rates: &[200, 400],
    rates_in_flood: &[200],
    floods: &[2000],
    growth: 100,
    sizes: &[200, 14_000],
    files: &[10, 100],
    candidates: &[10, 100],
    bursts: &[1, 32],
    held: &[20, 500],
    downloads: 4,
    losses: &[1],
    idle: 1,
};

/// Values by their names, in the order in which the names came.
#[derive(Clone, Debug)]
pub(super) struct Named<K, V>(pub(super) Vec<(K, V)>);

impl<K, V> Default for Named<K, V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K: PartialEq, V: Default> Named<K, V> {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// The value of a name; the default one at first.
    pub(super) fn of(&mut self, name: K) -> &mut V {
        let at = self.0.iter().position(|(known, _)| *known == name).unwrap_or_else(|| {
            self.0.push((name, V::default()));
            self.0.len() - 1
        });
        &mut self.0[at].1
    }

    pub(super) fn get(&self, name: &K) -> Option<&V> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// Fails if there are no values.
    pub(super) fn something(self) -> anyhow::Result<Self> {
        ensure!(!self.0.is_empty(), "nothing could be measured");
        Ok(self)
    }
}

/// In every other round the last is first.
pub(super) fn turns<T>(mut all: Vec<T>, round: u32) -> Vec<T> {
    if round % 2 == 1 {
        all.reverse();
    }
    all
}

/// Requests to every server.
pub(super) struct Requests {
    /// The clients, in the order of the tables.
    loads: Vec<Load>,
    /// By server and client, a sample each round.
    pub(super) samples: Named<String, Named<String, Vec<Sample>>>,
    /// By server and client: what the server and the machine spent, of what they spent on its neighbor in the round.
    pub(super) ratios: Named<String, Named<String, Vec<(f64, f64)>>>,
}

/// A client.
#[derive(Clone, Copy)]
enum Load {
    Ab(Request, usize, usize),
    H2load(usize, usize),
    Wrk(Request, usize),
}

impl Load {
    /// Those of short connections.
    fn short(amount: &Amount) -> [Self; 3] {
        let [few, many] = amount.short.map(|(parallel, requests)| Self::Ab(Request::Closes, parallel, requests));
        [few, many, Self::Wrk(Request::Closes, amount.short[0].0)]
    }

    /// Those of connections that stay open.
    fn kept(amount: &Amount) -> [Self; 3] {
        let (parallel, requests) = amount.kept;
        [
            Self::Ab(Request::Keeps, parallel, requests),
            Self::H2load(parallel, requests),
            Self::Wrk(Request::Keeps, parallel),
        ]
    }

    fn name(self) -> String {
        match self {
            Self::Ab(Request::Closes, parallel, _) => format!("ab, {parallel} at a time"),
            Self::Ab(Request::Keeps, parallel, _) => format!("ab -k, {parallel} at a time"),
            Self::H2load(parallel, _) => format!("h2load --h1, {parallel} at a time"),
            Self::Wrk(_, parallel) => format!("wrk, {parallel} at a time"),
        }
    }

    /// Of `ab` at most so many requests.
    fn run(self, server: &Running<'_>, most: usize) -> anyhow::Result<Sample> {
        match self {
            Self::Ab(request, parallel, requests) => ab(server, request, requests.min(most), parallel, PATH),
            Self::H2load(parallel, requests) => h2load(server, requests.min(most), parallel),
            Self::Wrk(request, parallel) => wrk(server, request, server.setup.amount.seconds, parallel, ""),
        }
    }
}

/// Each of these next to an nginx, which two of them share. Lethe and nginx follow one another, and take turns at being
/// first.
fn beside_the_reference(lethe: &[Kind]) -> Vec<Vec<Kind>> {
    let pairs = lethe.chunks(2).map(|pair| {
        let mut group = pair.to_vec();
        group.insert(1, Kind::reference());
        group
    });
    pairs.collect()
}

/// Short connections to every server.
pub(super) fn short(setup: &Setup) -> anyhow::Result<Requests> {
    let lethe: Vec<Kind> = setup.lethe().into_iter().chain(Kind::gathering()).collect();
    let mut groups = beside_the_reference(&lethe);
    groups.push(vec![Kind::nginx_file(1)]);
    let others = (Kind::others(), setup.amount.rounds_of_others, setup.amount.short_of_others);
    Requests::new(&Load::short(&setup.amount)).all(setup, &groups, others)
}

/// Requests on connections that stay open, to servers that keep them.
pub(super) fn kept(setup: &Setup) -> anyhow::Result<Requests> {
    let keeps = |kinds: Vec<Kind>| kinds.into_iter().map(Kind::keeping).collect::<Vec<_>>();
    let groups: Vec<_> = beside_the_reference(&setup.lethe()).into_iter().map(keeps).collect();
    let others = (keeps(vec![Kind::epoll(), Kind::uring()]), setup.amount.rounds, usize::MAX);
    Requests::new(&Load::kept(&setup.amount)).all(setup, &groups, others)
}

impl Requests {
    fn new(loads: &[Load]) -> Self {
        Self { loads: loads.to_vec(), samples: Named::new(), ratios: Named::new() }
    }

    /// The names of the clients, in the order of the tables.
    pub(super) fn clients(&self) -> Vec<String> {
        self.loads.iter().map(|load| load.name()).collect()
    }

    /// All servers: groups with one that the others of the group are compared with, and others, with rounds and
    /// requests of their own.
    fn all(
        mut self,
        setup: &Setup,
        groups: &[Vec<Kind>],
        (others, rounds_of_others, most): (Vec<Kind>, u32, usize),
    ) -> anyhow::Result<Self> {
        let all = groups.iter().map(Vec::len).sum::<usize>();
        let rounds = setup.amount.rounds;
        setup.expect_steps(rounds as usize * all + rounds_of_others as usize * others.len());
        for round in 0..rounds {
            for group in groups {
                self.group(setup, &turns(group.clone(), round), round);
            }
            if round < rounds_of_others {
                for kind in turns(others.clone(), round) {
                    self.serve(setup, &kind, round, most);
                }
            }
        }
        self.samples = self.samples.something()?;
        Ok(self)
    }

    /// Servers that are compared with the reference among them.
    fn group(&mut self, setup: &Setup, group: &[Kind], round: u32) {
        let served: Vec<_> =
            group.iter().map(|kind| (kind.name.clone(), self.serve(setup, kind, round, usize::MAX))).collect();
        let reference = Kind::reference().name;
        let Some((_, beside)) = served.iter().find(|(name, _)| *name == reference) else { return };
        for (name, samples) in served.iter().filter(|(name, _)| *name != reference) {
            for (client, sample) in samples {
                if let Some((_, other)) = beside.iter().find(|(other, _)| other == client) {
                    let ratio = (sample.server() / other.server(), sample.machine() / other.machine());
                    self.ratios.of(name.clone()).of(client.clone()).push(ratio);
                }
            }
        }
    }

    /// All the clients at one server, after a look at what it answers; nothing if that failed.
    fn serve(&mut self, setup: &Setup, kind: &Kind, round: u32, most: usize) -> Vec<(String, Sample)> {
        setup.step(&format!("{}, round {}", kind.name, round + 1));
        let samples = setup.going_on(|| {
            let server = Running::start(setup, kind, None, 0)?;
            server.check_body(PATH, &setup.body)?;
            warm_up(&server, setup.amount.short[0].1)?;
            let run = |load: &Load| Ok((load.name(), load.run(&server, most)?));
            self.loads.iter().map(run).collect::<anyhow::Result<Vec<_>>>()
        });
        let samples = samples.unwrap_or_default();
        for (client, sample) in &samples {
            self.samples.of(kind.name.clone()).of(client.clone()).push(sample.clone());
        }
        samples
    }
}

/// Requests before the measurement, which are not measured.
pub(super) fn warm_up(server: &Running<'_>, most: usize) -> anyhow::Result<()> {
    ab(server, Request::Closes, most.min(2000), 10, PATH).map(drop)
}

/// Bytes that these processes have in memory, pages that several share counted once (Pss).
fn memory_of(pids: &[u32]) -> f64 {
    let of = |&pid: &u32| {
        // A process may have ended since it was listed.
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
        number_behind(&text, "Pss:")
    };
    pids.iter().filter_map(of).sum::<f64>() * 1024.0
}

/// The first number of the line that begins with these words.
fn number_behind(text: &str, words: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(words))?.split_whitespace().next()?.parse().ok()
}

/// Bytes of the whole kernel: objects in slabs, stacks of threads, page tables, and what TCP counts as its buffers.
fn memory_of_kernel() -> anyhow::Result<f64> {
    let info = fs::read_to_string("/proc/meminfo")?;
    let kilobytes: f64 = ["KernelStack:", "PageTables:"].iter().filter_map(|name| number_behind(&info, name)).sum();
    // Those in use, and not the pages that they are in: what was here before leaves pages with room in them.
    let slabs = fs::read_to_string("/proc/slabinfo")?;
    let object = |line: &str| {
        let words: Vec<f64> = line.split_whitespace().skip(1).take(3).filter_map(|word| word.parse().ok()).collect();
        words.first().zip(words.get(2)).map(|(count, size)| count * size)
    };
    let sockets = fs::read_to_string("/proc/net/sockstat")?;
    let tcp = sockets.lines().find(|line| line.starts_with("TCP:")).and_then(|line| line.split_once(" mem "));
    let pages: f64 = tcp.and_then(|(_, rest)| rest.trim().parse().ok()).context("/proc/net/sockstat")?;
    Ok(slabs.lines().filter_map(object).sum::<f64>() + kilobytes * 1024.0 + pages * 4096.0)
}

/// The kernel's memory, once it is done with what was before: it frees connections in its own time.
fn settled() -> anyhow::Result<f64> {
    let mut before = memory_of_kernel()?;
    for _ in 0..20 {
        sleep(Duration::from_millis(500));
        let now = memory_of_kernel()?;
        if before - now < 4e6 {
            return Ok(now);
        }
        before = now;
    }
    Ok(before)
}

/// A server with connections open.
pub(super) struct Open {
    pub(super) server: String,
    pub(super) count: usize,
    /// Its processes' memory before and with them, and the kernel's growth, in bytes.
    pub(super) before: f64,
    pub(super) processes: f64,
    pub(super) kernel: f64,
    /// What a request costs meanwhile.
    pub(super) samples: Vec<Sample>,
}

/// Memory with so many connections open, and what a request costs beside them.
pub(super) fn memory(setup: &Setup) -> anyhow::Result<Vec<Open>> {
    let mut kinds = vec![Kind::lethe_packet(1), Kind::reference()];
    kinds.extend(Kind::others().into_iter().filter(|kind| kind.workers == 1));
    let counts = || std::iter::once(0).chain(setup.amount.held.iter().copied());
    let plan =
        kinds.iter().flat_map(|kind| counts().filter(|&count| count <= kind.most_held).map(move |count| (kind, count)));
    let plan: Vec<(&Kind, usize)> = plan.collect();
    setup.expect_steps(plan.len());
    let mut rows = Vec::new();
    for (kind, count) in plan {
        setup.step(&format!("{}, {count} connections", kind.name));
        rows.extend(setup.going_on(|| open(setup, kind, count)));
    }
    ensure!(!rows.is_empty(), "nothing could be measured");
    Ok(rows)
}

fn open(setup: &Setup, kind: &Kind, count: usize) -> anyhow::Result<Open> {
    let server = Running::start(setup, kind, None, count)?;
    server.check_body(PATH, &setup.body)?;
    warm_up(&server, setup.amount.growth)?;
    let (before, kernel) = (memory_of(&server.pids), settled()?);
    let held = Held::open(&server, count)?;
    let (processes, kernel) = (memory_of(&server.space().pids()?), memory_of_kernel()? - kernel);
    if held.count < count {
        note(&format!("{}: of {count} connections {} were made", kind.name, held.count));
    }
    let run = |_| ab(&server, Request::Closes, setup.amount.growth / 4, setup.amount.short[0].0, PATH);
    let samples = (0..setup.amount.rounds_of_more).map(run).collect::<anyhow::Result<Vec<_>>>()?;
    Ok(Open { server: kind.name.clone(), count: held.count, before, processes, kernel, samples })
}

/// Completion times over a bad network: by percent and size, and by server, those of each round.
pub(super) type Loss = Named<(u32, usize), Named<&'static str, Vec<Vec<f64>>>>;

pub(super) fn loss(setup: &Setup) -> anyhow::Result<Loss> {
    let networks = Networks::new(setup.binaries.join("lethe"), setup.binaries.join("examples/relay"));
    let (sizes, rounds) = ([1000, 14_000], setup.amount.rounds_of_more);
    setup.expect_steps(rounds as usize * setup.amount.losses.len() * 2);
    let mut found = Loss::new();
    for round in 0..rounds {
        for &percent in setup.amount.losses {
            let impair = format!("loss={percent}%,delay=20ms,seed={}", round + 1);
            for name in turns(vec!["Lethe", "nginx"], round) {
                setup.step(&format!("{name}, {impair}"));
                let times = setup.going_on(|| {
                    let network = match name {
                        "Lethe" => networks.lethe_here(&impair, &["sample"]),
                        _ => networks.nginx_behind(&sizes, &impair),
                    }?;
                    let download = |size| {
                        let curl = Curl::new(&network.client, networks.pattern(size));
                        let urls = vec![format!("{V4}/{size}"); setup.amount.downloads];
                        let downloads = Batch::start(&curl, &urls, 20)?.result();
                        let right = downloads.iter().all(|download| download.version.is_some());
                        ensure!(right, "{name}, {size} bytes, {impair}: not what was to come");
                        Ok(downloads.iter().map(|download| download.seconds).collect::<Vec<f64>>())
                    };
                    Ok([download(sizes[0])?, download(sizes[1])?])
                });
                for (size, times) in sizes.into_iter().zip(times.into_iter().flatten()) {
                    found.of((percent, size)).of(name).push(times);
                }
            }
        }
    }
    found.something()
}
