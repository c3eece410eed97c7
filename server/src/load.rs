//! `lethe load`: many clients, on the same ports that a server runs on.

mod args;
mod console;
#[cfg(feature = "dpdk")]
mod first_queue;
mod report;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
#[cfg(feature = "interfaces")]
use ipnet::IpNet;
use lethe::port::{Port, RxQueue, TxQueue};
use lethe::wire::ethernet::MacAddress;
use lethe_load::{Generator, Settings};

pub(crate) use self::args::Args;
use self::console::Console;
#[cfg(feature = "dpdk")]
use self::first_queue::FirstQueue;
#[cfg(feature = "dpdk")]
use crate::card::OpenCard;
use crate::device::{OnDevice, Opening};
use crate::message::note;
use crate::print::Printed as _;
use crate::privileges;
use crate::run::stop_on_signal_or_hangup;
use crate::server::Server;

/// The clients' hardware address where the port has none.
pub(crate) const MAC: MacAddress = MacAddress::new([0x02, b'L', b'o', b'a', b'd', b'1']);

/// Loads a server until all is done, or a signal comes.
pub(crate) fn load<X, A, P: Port>(server: &Server<X, A, P>, args: &Args) -> anyhow::Result<()> {
    args.device.check_kind(server.own_port.as_ref())?;
    // The mistakes come first, then what root is needed for.
    privileges::check(&args.user)?;
    Generator::new(args.settings(1500, MAC)?)?;
    let opening = Opening {
        #[cfg(feature = "interfaces")]
        mac: args.mac,
        #[cfg(feature = "interfaces")]
        destinations: lethe_hw::Destinations::new(args.from.iter().map(IpNet::trunc).collect::<Vec<_>>()),
        dpdk: &args.dpdk,
    };
    args.device.open(opening, server.own_port.as_ref(), Loading(args))
}

/// Clients whose device is about to be opened.
struct Loading<'a>(&'a Args);

impl OnDevice for Loading<'_> {
    fn on_port(self, mut port: impl Port) -> anyhow::Result<()> {
        let Self(args) = self;
        let mac = args.mac.or(port.mac()).unwrap_or(MAC);
        let settings = args.settings(port.mtu(), mac)?;
        let device = port.name().to_string();
        let name = format!("{device}, MTU {}, mac {mac}", port.mtu());
        let stop = stop_on_signal_or_hangup().context("cannot catch signals")?;
        privileges::drop_to(&args.user)?;
        let mut session = Session::begin(settings, args, &name)?;
        let ended = loop {
            let turned = {
                let (mut rx, mut tx) = port.queues();
                session.turn(&mut rx, &mut tx, &stop)
            };
            match turned {
                Ok(Some(pause)) if pause.is_zero() => {}
                Ok(Some(pause)) => port.wait(pause).with_context(|| format!("{device} can no longer be used"))?,
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        session.end(ended, port.missed())
    }

    fn workers(&self) -> usize {
        1
    }

    fn on_ports(self, mut ports: Vec<impl Port + Send>) -> anyhow::Result<()> {
        self.on_port(ports.pop().context("clients need a port")?)
    }

    #[cfg(feature = "dpdk")]
    fn queues(&self, _: usize) -> usize {
        1
    }

    #[cfg(feature = "dpdk")]
    fn on_card(self, mut card: OpenCard<'_>) -> anyhow::Result<()> {
        self.on_port(FirstQueue::of(&mut card)?)
    }
}

/// Clients at work, and who tells of them.
pub(crate) struct Session<'a> {
    generator: Generator,
    console: Console,
    begun: Instant,
    args: &'a Args,
}

impl<'a> Session<'a> {
    /// Clients with these settings, behind the port that is called `name`.
    pub(crate) fn begin(settings: Settings, args: &'a Args, name: &str) -> anyhow::Result<Self> {
        let generator = Generator::new(settings)?;
        note(format_args!("{name}: {}", report::plan(args, generator.table_bytes())));
        let console = Console::new(!args.quiet, args.watch)?;
        Ok(Self { generator, console, begun: Instant::now(), args })
    }

    /// Does what is due. Says how long nothing more is, or nothing when all is over.
    pub(crate) fn turn(
        &mut self,
        rx: &mut impl RxQueue,
        tx: &mut impl TxQueue,
        stop: &AtomicBool,
    ) -> anyhow::Result<Option<Duration>> {
        let begun = self.begun;
        // By a monotonic clock.
        let clock = || lethe::time::Instant::from_unix_nanos(u64::try_from(begun.elapsed().as_nanos()).unwrap_or(0));
        let is_busy = self.generator.turn(clock, rx, tx)?;
        if stop.load(Ordering::Relaxed) {
            self.generator.stop();
        }
        self.console.observe(&mut self.generator);
        let pause = if is_busy { Duration::ZERO } else { self.generator.pause() };
        Ok((!self.generator.is_over()).then_some(pause))
    }

    /// Prints the result, also of what has come to a bad end before it.
    pub(crate) fn end(mut self, ended: anyhow::Result<()>, missed: Option<u64>) -> anyhow::Result<()> {
        self.console.finish(&self.generator);
        ended?;
        let printed = report::print(self.args, &self.generator, &self.console, missed).printed();
        if self.generator.mismatch().is_some() {
            // One may have been to a slow client, and those are not counted.
            let count = self.generator.counts().wrong().max(1);
            bail!(
                "{count} {} wrong: the result names the first",
                if count == 1 { "reply was" } else { "replies were" }
            );
        }
        printed
    }
}
