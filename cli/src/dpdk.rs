//! `--device dpdk:PORT`: a card driven by DPDK, a worker on each lcore.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, ensure};
use lethe::engine::Engine;
use lethe::verdict::Stats;
use lethe_hw::dpdk::{BURST, Card, CardStats, Clock, Crew, Eal, Link, Polling, Port, PortConfig};
use lethe_load::Settings;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use crate::app::Application;
use crate::device::DpdkPort;
use crate::dpdk_args::{Poll, Time};
use crate::load;
use crate::metrics::Metrics;
use crate::metrics::snapshot::{self, Watched};
use crate::print::{Printed as _, print_line};
use crate::reload::Reload;
use crate::run::{stop_on_signal, stop_on_signal_or_hangup};
use crate::serve::{Args, print_ready};
use crate::table::Table;
use crate::{note, privileges, warn};

/// How often the one who looks after the workers does: at the link, at signals, at what the card has counted.
const ROUND: Duration = Duration::from_millis(100);

/// Frames that a client's turn is given.
const POLLED: usize = 32;

/// The process of the calling thread.
const SELF: Pid = Pid::from_raw(0);

impl From<Poll> for Polling {
    fn from(poll: Poll) -> Self {
        match poll {
            Poll::Busy => Self::Busy,
            Poll::Adaptive => Self::Adaptive,
        }
    }
}

impl From<Time> for Clock {
    fn from(time: Time) -> Self {
        match time {
            Time::Wall => Self::Wall,
            Time::Frames => Self::Frames,
        }
    }
}

/// Serves until SIGINT or SIGTERM.
pub(crate) fn serve(device: DpdkPort, args: &Args, app: Application, reload: Reload) -> anyhow::Result<()> {
    let secrets = args.secrets()?;
    let burst = args.burst(BURST);
    ensure!(burst <= BURST, "a worker of DPDK takes at most {BURST} frames at a time: --burst {BURST}, or less");
    ensure!(args.gather.is_zero(), "DPDK's workers do not sleep while frames come: --gather is for the other devices");
    // EAL binds this thread to one CPU; whoever looks after the workers must not be bound with it.
    let cpus = sched_getaffinity(SELF).context("cannot find out which CPUs may be used")?;
    let eal = Eal::start(args.dpdk.eal.iter().flat_map(|arguments| arguments.split_whitespace()))?;
    let queues = u16::try_from(eal.lcores().len()).unwrap_or(u16::MAX);
    let mut port = Port::open(&eal, PortConfig { number: device.number, queues, mtu: device.mtu })?;
    let mut config = args.engine.config(port.mtu(), None, &secrets)?;
    config.offload = port.offload();
    let mac = config.mac;
    let stop = stop_on_signal().context("cannot catch signals")?;
    let metrics = args.metrics.open(&args.user)?;
    privileges::drop_to(&args.user)?;
    describe(&eal, &port);
    let name = format!("dpdk {} {}", device.number, port.name());
    print_ready(&name, port.mtu(), mac, &args.engine)?;

    let workers = port.queue_count();
    let crew = Crew::new(Engine::new(config, app), workers, &stop, args.dpdk.poll.into(), args.dpdk.clock().into())
        .with_burst(burst);
    let (queues, card) = port.queues();
    let lcores = eal.lcores().iter().take(workers).map(u32::to_string).collect();
    let watched = Arc::new(Watched::new(name, args.app.name(), lcores, crew.published(), reload.counted()));
    let watch = Watch { crew: &crew, card, stop: &stop, reload, watched };
    thread::scope(|scope| {
        scope.spawn(|| watch.run(&cpus, metrics));
        let mut posts: Vec<_> = queues.into_iter().enumerate().collect();
        eal.run(&mut posts, |(number, (rx, tx))| crew.work(*number, rx, tx));
    });

    let stats = crew.stats();
    let counted = card.stats();
    let buffers = port.buffers();
    let kept = port.close();
    print_end(eal.lcores(), &stats, counted).printed()?;
    print_line(format_args!("{kept:>12}  of {buffers} buffers not given back by the driver"))
}

/// Loads a server through one queue of a card, until all is done or a signal comes.
pub(crate) fn load(
    device: DpdkPort,
    args: &load::Args,
    settings: impl FnOnce(u16) -> anyhow::Result<Settings>,
) -> anyhow::Result<()> {
    let eal = Eal::start(args.dpdk.eal.iter().flat_map(|arguments| arguments.split_whitespace()))?;
    let mut port = Port::open(&eal, PortConfig { number: device.number, queues: 1, mtu: device.mtu })?;
    let settings = settings(port.mtu())?;
    let stop = stop_on_signal_or_hangup().context("cannot catch signals")?;
    privileges::drop_to(&args.user)?;
    if !port.is_promiscuous() {
        warn("the card takes no frames but those to its own address: give that with --mac");
    }
    let name = format!("dpdk {} {}, MTU {}", device.number, port.name(), port.mtu());
    let mut session = load::Session::begin(settings, args, &name)?;
    let (queues, card) = port.queues();
    let mut ended = Ok(());
    for (mut rx, mut tx) in queues {
        ended = loop {
            // A turn takes them all.
            rx.poll(POLLED);
            match session.turn(&mut rx, &mut tx, &stop) {
                Ok(Some(_)) => {}
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
    }
    let missed = card.stats().missed;
    session.end(ended, Some(missed))
}

/// Whoever looks after the workers, on a thread that is bound to no lcore.
struct Watch<'a> {
    crew: &'a Crew<'a, Application>,
    card: Card<'a>,
    stop: &'a AtomicBool,
    reload: Reload,
    watched: Arc<Watched>,
}

impl Watch<'_> {
    fn run(mut self, cpus: &CpuSet, metrics: Metrics) {
        if let Err(error) = sched_setaffinity(SELF, cpus) {
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
                    self.crew.announce();
                }
            }
            if self.reload.is_due() {
                let reload = &mut self.reload;
                self.crew.with_engine(|engine| reload.observe(engine));
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
        "port {} ({}): workers {workers}; checksums are checked by {}, computed by {} (IPv4) and {} (TCP)",
        port.name(),
        port.driver(),
        by(port.checks_received()),
        by(offload.ipv4),
        by(offload.tcp),
    ));
    if workers < lcores {
        let idle = lcores - workers;
        warn(format_args!(
            "{idle} of {lcores} lcores have nothing to do: the card has no more queues, or the driver \
                           was given no more in --eal"
        ));
    }
    if !port.is_promiscuous() {
        warn("the card takes no frames but those to its own address: give that with --mac");
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
