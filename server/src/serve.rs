//! `lethe serve`: a real device, the wall clock, until a signal comes.

use std::net::IpAddr;
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use lethe::App;
use lethe::engine::Engine;
use lethe::port::Port;
use lethe::versions::Versions;
#[cfg(feature = "interfaces")]
use lethe_hw::Destinations;
use lethe_hw::WorkerStats;
use lethe_sim::tap::TapConfig;

use crate::access_log;
#[cfg(feature = "dpdk")]
use crate::card::OpenCard;
use crate::device::{Device, OnDevice, Opening};
#[cfg(feature = "dpdk")]
use crate::dpdk;
use crate::impaired::ImpairedPort;
use crate::message::warn;
use crate::metrics::snapshot::Watched;
use crate::owners::{self, Claim};
use crate::reload::{Data, Reload};
use crate::run::{Answerer, BURST, Pace, run};
use crate::server::Server;
use crate::serving::{Args, Opened, Ready, Serving};
use crate::table::print_end;
use crate::{privileges, workers};

/// What is wrong with an option that only shows beside others, or in the server as it was built: its name, and the
/// error.
pub(crate) fn check<X, A, P>(server: &Server<X, A, P>, args: &Args<X>) -> Result<(), (&'static str, anyhow::Error)>
where
    X: clap::Args,
    P: Port,
{
    let engine = &args.engine;
    args.device.check_kind(server.own_port.as_ref()).map_err(|error| ("device", error))?;
    engine.addresses().map_err(|error| ("addr", error))?;
    engine.ports().map_err(|error| ("tcp-port", error))?;
    args.log.check()?;
    privileges::check(&args.user).map_err(|error| ("user", error))?;
    check_workers(args).map_err(|error| ("workers", error))?;
    check_cpus(args).map_err(|error| ("cpus", error))?;
    match &args.device {
        Device::Tap(config) => check_hosts(config, &engine.addresses).map_err(|error| ("addr", error)),
        _ => Ok(()),
    }
}

/// Finds processors that no worker could be bound to.
fn check_cpus<X: clap::Args>(args: &Args<X>) -> anyhow::Result<()> {
    let Some(cpus) = &args.cpus else { return Ok(()) };
    let is_card = matches!(args.device, Device::Dpdk(_));
    ensure!(!is_card, "the workers of a card run on the lcores of --eal, as in `-l 2-5`: leave out --cpus");
    let (count, workers) = (cpus.count(), args.workers);
    ensure!(count == usize::from(workers), "{count} processors for {workers} workers: name one for each");
    Ok(())
}

/// Finds what cannot be served by several workers.
fn check_workers<X: clap::Args>(args: &Args<X>) -> anyhow::Result<()> {
    if args.workers == 1 {
        return Ok(());
    }
    ensure!(args.impair.is_none(), "--impair is one network, and takes one worker: leave out --workers");
    match &args.device {
        Device::Dpdk(_) => bail!("the workers of a card are the lcores of --eal, as in `-l 0-3`: leave out --workers"),
        Device::Own { kind, .. } => bail!("a device of kind {kind} has one worker: leave out --workers"),
        #[cfg(feature = "interfaces")]
        Device::Xdp(config) => {
            ensure!(config.queue.is_none(), "one queue has one worker: leave out `queue=`, or --workers");
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Serves until SIGINT or SIGTERM, what [`check`] has nothing against.
pub(crate) fn serve<X, A, P>(server: &Server<X, A, P>, args: &Args<X>) -> anyhow::Result<()>
where
    X: clap::Args + Clone + Send + Sync + 'static,
    A: App + Send + Sync + 'static,
    P: Port,
{
    // A signal that comes while the data is loaded has it loaded once more, and does not end anything.
    let data = (server.source)(&args.app).map(|name| Data {
        name,
        load: {
            let (load, app) = (Arc::clone(&server.reload), args.app.clone());
            Arc::new(move || load(&app))
        },
        summary: server.summary,
    });
    let reload = Reload::on_signal(data, args.generation, args.engine.secret_file.as_deref(), args.settle)?;
    // The mistakes come first, then what root is needed for.
    let app = Versions::of_generation((server.load)(&args.app)?, args.generation);
    ensure!(
        app.generations().current == args.generation,
        "--generation is even for data of more than 2 GiB: such a version takes two generations"
    );
    let addresses = &args.engine.addresses;
    owners::warn_of_kernel(addresses);
    let _claim = args.device.claimed().map(|(interface, share)| Claim::new(interface, addresses, share));
    let opening = Opening {
        #[cfg(feature = "interfaces")]
        mac: args.engine.mac,
        #[cfg(feature = "interfaces")]
        destinations: Destinations::from(&args.engine.addresses()?).without_acks(args.engine.tcp_ports.iter().copied()),
        dpdk: &args.dpdk,
    };
    let serving = Serving { args, app, app_name: (server.app_name)(&args.app), reload };
    args.device.open(opening, server.own_port.as_ref(), serving)
}

impl<X: clap::Args, A: App + Send + Sync + 'static> OnDevice for Serving<'_, X, A> {
    fn on_port(self, port: impl Port) -> anyhow::Result<()> {
        match &self.args.impair {
            Some(impairment) => {
                let port = ImpairedPort::new(port, impairment.clone());
                serve_on(port, self)
            }
            None => serve_on(port, self),
        }
    }

    fn workers(&self) -> usize {
        self.args.workers.into()
    }

    fn on_ports(self, ports: Vec<impl Port + Send>) -> anyhow::Result<()> {
        workers::serve(self, ports)
    }

    #[cfg(feature = "dpdk")]
    fn queues(&self, lcores: usize) -> usize {
        lcores
    }

    #[cfg(feature = "dpdk")]
    fn on_card(self, card: OpenCard<'_>) -> anyhow::Result<()> {
        dpdk::serve(self, card)
    }
}

fn serve_on<X: clap::Args, A>(mut port: impl Port, serving: Serving<'_, X, A>) -> anyhow::Result<()>
where
    A: App + Send + Sync + 'static,
{
    let args = serving.args;
    let pace = Pace { burst: args.burst(BURST), gather: args.gather };
    let name = port.name().to_string();
    let opened = Opened { name: &name, mtu: port.mtu(), mac: port.mac(), offload: port.offload() };
    let Ready { engine, stop, metrics, log, app_name, reload } = serving.begin(&opened)?;
    let (log, mut writers) = access_log::start(log, 1)?;
    let published = WorkerStats::for_workers(1);
    let watched = Watched::new(name.clone(), app_name, vec!["0".to_owned()], Arc::clone(&published), reload.counted());
    let watched = Arc::new(watched.with_log(log.as_ref()));
    let shown = metrics.show(&watched)?;
    if let Some(cpus) = &args.cpus {
        cpus.bind(0);
    }
    let missed = |missed| watched.set_missed(missed);
    let counting = (&published[0], &mut writers[0]);
    let (stats, ended) = run(&mut Alone { engine, reload }, &mut port, pace, &stop, counting, missed);
    drop(shown);
    let printed = print_end(&stats, port.missed(), log);
    ended.with_context(|| format!("{name} can no longer be used"))?;
    printed
}

/// An engine that no other worker uses: it is reloaded between two turns.
struct Alone<A> {
    engine: Engine<Versions<A>>,
    reload: Reload<A>,
}

impl<A: App + Send + Sync + 'static> Answerer for Alone<A> {
    type App = Versions<A>;

    fn with_engine<T>(&mut self, turn: impl FnOnce(&Engine<Versions<A>>) -> T) -> T {
        self.reload.observe(&mut self.engine);
        turn(&self.engine)
    }
}

/// Finds host addresses that cannot work, and warns of those that may not.
fn check_hosts(config: &TapConfig, addresses: &[IpAddr]) -> anyhow::Result<()> {
    for address in addresses {
        let taken = config.hosts.iter().any(|host| host.addr() == *address);
        ensure!(!taken, "{address} cannot be both the server's and the kernel's: give the server another --addr");
        if !config.hosts.is_empty() && !config.hosts.iter().any(|host| host.contains(address)) {
            let name = &config.name;
            warn(format_args!("no host= of {name} is in one network with {address}: the kernel needs a route to it"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_one_owner() {
        let hosts = vec!["10.9.0.1/24".parse().unwrap()];
        let config = TapConfig { name: "t".to_owned(), hosts, mtu: None };
        let check = |address: &str| check_hosts(&config, &[address.parse().unwrap()]);
        assert!(check("10.9.0.2").is_ok());
        assert!(check("10.9.1.2").is_ok());
        let error = check("10.9.0.1").unwrap_err().to_string();
        assert_eq!(error, "10.9.0.1 cannot be both the server's and the kernel's: give the server another --addr");
    }
}
