//! `serve --device dpdk:PORT`: a card driven by DPDK, a worker on each lcore.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::ensure;
use lethe::App;
use lethe::verdict::Stats;
use lethe::versions::Versions;
use lethe_hw::dpdk::{BURST, Card, CardStats, Eal, Link, Polling, Port, TimeSource, Workers};
use nix::sched::{CpuSet, sched_setaffinity};

use crate::access_log;
use crate::card::{OpenCard, SELF};
use crate::dpdk_args::{Poll, Time};
use crate::message::{note, warn};
use crate::metrics::Metrics;
use crate::metrics::snapshot::{self, Watched};
use crate::print::{Printed as _, print_line};
use crate::reload::Reload;
use crate::serving::{Opened, Ready, Serving};
use crate::table::Table;

/// How often the link, signals and the counters of the card are looked at.
const ROUND: Duration = Duration::from_millis(100);

impl From<Poll> for Polling {
    fn from(poll: Poll) -> Self {
        match poll {
            Poll::Busy => Self::Busy,
            Poll::Adaptive => Self::Adaptive,
        }
    }
}

impl From<Time> for TimeSource {
    fn from(time: Time) -> Self {
        match time {
            Time::Wall => Self::Wall,
            Time::Frames => Self::Frames,
        }
    }
}

/// Serves with a worker on each lcore until SIGINT or SIGTERM.
pub(crate) fn serve<X, A>(serving: Serving<'_, X, A>, card: OpenCard<'_>) -> anyhow::Result<()>
where
    X: clap::Args,
    A: App + Send + Sync + 'static,
{
    let OpenCard { eal, cpus, name, mut port } = card;
    let args = serving.args;
    ensure!(args.impair.is_none(), "--impair is for the other devices: a card has a network of its own");
    let burst = args.burst(BURST);
    ensure!(burst <= BURST, "a worker of DPDK takes at most {BURST} frames at a time: --burst {BURST}, or less");
    ensure!(args.gather.is_zero(), "DPDK's workers do not sleep while frames come: --gather is for the other devices");
    describe(eal, &port);
    let opened = Opened { name: &name, mtu: port.mtu(), mac: None, offload: port.offload() };
    let Ready { engine, stop, metrics, log, app_name, reload } = serving.begin(&opened)?;

    let count = port.queue_count();
    let workers = Workers::new(engine, count, &stop, args.dpdk.poll.into(), args.dpdk.clock().into()).with_burst(burst);
    let (queues, card) = port.queues();
    let lcores = eal.lcores().iter().take(count).map(u32::to_string).collect();
    let (log, writers) = access_log::start(log, count)?;
    let watched = Watched::new(name, app_name, lcores, workers.published(), reload.counted());
    let watched = Arc::new(watched.with_log(log.as_ref()));
    let watch = Watch { workers: &workers, card, cpus: &cpus, stop: &stop, reload, watched };
    thread::scope(|scope| {
        scope.spawn(|| watch.run(metrics));
        let mut posts: Vec<_> = queues.into_iter().zip(writers).enumerate().collect();
        eal.run(&mut posts, |(number, (queues, log))| workers.work(*number, queues, log));
    });

    let stats = workers.stats();
    let counted = card.stats();
    let buffers = port.buffers();
    let kept = port.close();
    print_end(eal.lcores(), &stats, counted).printed()?;
    access_log::print_lines(log)?;
    print_line(format_args!("{kept:>12}  of {buffers} buffers not given back by the driver"))
}

/// Watches the card, signals and reloads, on a thread that is bound to no lcore.
struct Watch<'a, A> {
    workers: &'a Workers<'a, Versions<A>>,
    card: Card<'a>,
    cpus: &'a CpuSet,
    stop: &'a AtomicBool,
    reload: Reload<A>,
    watched: Arc<Watched>,
}

impl<A: App + Send + Sync + 'static> Watch<'_, A> {
    fn run(mut self, metrics: Metrics) {
        if let Err(error) = sched_setaffinity(SELF, self.cpus) {
            warn(format_args!("the first worker shares its CPU: {error}"));
        }
        // Their threads are bound to no lcore either.
        let shown = metrics.show(&self.watched);
        let _shown = shown.inspect_err(|error| warn(format_args!("nothing is shown: {error:#}")));
        let mut link = None;
        while !self.stop.load(Ordering::Relaxed) {
            let before = link.replace(self.card.link());
            if let Some(now) = link.filter(|_| link != before) {
                note(format_args!("{now}"));
                if now != Link::Down {
                    self.workers.announce();
                }
            }
            if self.reload.is_due() {
                let reload = &mut self.reload;
                self.workers.with_engine(|engine| reload.observe(engine));
            }
            let counted = self.card.stats();
            self.watched.set_missed(Some(counted.missed));
            self.watched.set_card(snapshot::Card {
                link_up: link.is_some_and(|link| link != Link::Down),
                frames_received: counted.received,
                frames_sent: counted.sent,
                receive_errors: counted.receive_errors,
                send_errors: counted.send_errors,
                no_buffer: counted.no_buffer,
            });
            thread::sleep(ROUND);
        }
    }
}

/// Says what was found, and chosen.
fn describe(eal: &Eal, port: &Port<'_>) {
    let (workers, lcores) = (port.queue_count(), eal.lcores().len());
    let by = |card: bool| if card { "the card" } else { "the engine" };
    let offload = port.offload();
    note(format_args!(
        "port {} ({}): workers {workers}; checksums are checked by {}, computed by {} (IPv4) and {} (TCP); {}",
        port.name(),
        port.driver(),
        by(port.checks_received()),
        by(offload.ipv4),
        by(offload.tcp),
        if offload.segmentation { "two segments a frame (TSO)" } else { "a segment a frame" },
    ));
    if workers < lcores {
        let idle = lcores - workers;
        warn(format_args!(
            "{idle} of {lcores} lcores have nothing to do: the card has no more queues, or the driver \
                           was given no more in --eal"
        ));
    }
}

fn total(stats: &[Stats]) -> Stats {
    let mut total = Stats::default();
    for stats in stats {
        total.add(stats);
    }
    total
}

fn print_end(lcores: &[u32], stats: &[Stats], card: CardStats) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out)?;
    for (lcore, stats) in lcores.iter().zip(stats) {
        writeln!(out, "lcore {lcore}: in {}, out {}", stats.received_frames(), stats.sent_frames())?;
    }
    write!(out, "{}", Table(&total(stats)))?;
    for (count, what) in [
        (card.received, "frames in"),
        (card.sent, "frames out"),
        (card.missed, "frames missed: no descriptor was free"),
        (card.receive_errors, "frames damaged on the wire"),
        (card.send_errors, "frames that could not be sent"),
        (card.no_buffer, "times without a buffer to receive into"),
    ] {
        writeln!(out, "{count:>12}  by the card's count: {what}")?;
    }
    Ok(())
}
