//! `lethe serve`: a real device, the wall clock, until a signal comes.

use std::fmt;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context, ensure};
use lethe::port::{Offload, Port};
use lethe::verdict::Stats;
use lethe::versions::Versions;
use lethe::wire::ethernet::MacAddress;
use lethe::{App, Config, Engine};
use lethe_hw::WorkerStats;
use lethe_sim::link::Impairment;
use lethe_sim::tap::TapConfig;

use crate::device::{Device, OnDevice, Opening};
#[cfg(feature = "dpdk")]
use crate::dpdk;
use crate::dpdk_args::DpdkArgs;
use crate::engine::EngineArgs;
use crate::impaired::ImpairedPort;
use crate::metrics::snapshot::Watched;
use crate::metrics::{Metrics, MetricsArgs};
use crate::owners::{self, Claim};
use crate::print::{Printed as _, ReaderLeft, print_line};
use crate::reload::{Data, Reload};
use crate::run::{BURST, GATHER_MAX, Pace, run, stop_on_signal};
use crate::secret::Secrets;
use crate::server::Server;
use crate::table::Table;
use crate::{privileges, secret, warn};

#[derive(clap::Args)]
#[group(skip)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Args<X: clap::Args> {
    /// Device to serve through: tap:NAME[,host=IP/LEN]...[,mtu=N], a TAP device, made if there is none, where
    /// each `host` is an address for the kernel's end; packet:IFACE[,fanout=N], an interface shared with the
    /// kernel; xdp:IFACE[,queue=N][,copy|,zerocopy][,generic], the same ahead of the kernel; or dpdk:PORT[,mtu=N],
    /// a card that DPDK drives{own}
    #[arg(long, value_name = "DEVICE")]
    device: Device,
    /// User to run as once the device is open, when started as root
    #[arg(long, value_name = "NAME", default_value = "nobody")]
    pub(crate) user: String,
    /// What is wrong with the network between the kernel and the server, in both directions:
    /// loss=5%,reorder=10%,delay=20ms,seed=7 and more
    #[arg(long, value_name = "LIST")]
    pub(crate) impair: Option<Impairment>,
    /// Maximum frames per batch, from 1 to 256; larger is cheaper per frame, smaller lowers latency [default: 64; with
    /// dpdk 32, which is also the maximum there]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    burst: Option<u16>,
    /// Time to let frames gather after a batch, at most 10ms: fewer wakeups and less CPU time per frame, and as much
    /// more latency. Try 50us. Not for dpdk, whose workers poll
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = parse_gather)]
    pub(crate) gather: Duration,
    /// Number of the first version of the data, 0 to 3: the one that the other servers of a cluster have reached. Each
    /// reload adds one, modulo 4
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=3))]
    generation: u8,
    /// How long after a reload new connections still begin with the old version: until every server of a cluster has
    /// the new one
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = humantime::parse_duration)]
    settle: Duration,
    #[command(flatten)]
    pub(crate) metrics: MetricsArgs,
    #[command(flatten)]
    pub(crate) dpdk: DpdkArgs,
    #[command(flatten)]
    pub(crate) engine: EngineArgs,
    #[command(flatten, next_help_heading = "Application")]
    pub(crate) app: X,
}

impl<X: clap::Args> Args<X> {
    /// Frames at a time: what was said, else `usual`.
    pub(crate) fn burst(&self, usual: usize) -> usize {
        self.burst.map_or(usual, usize::from)
    }

    /// The keys of the cookies: from the file that was named, else a random one.
    pub(crate) fn secrets(&self) -> anyhow::Result<Secrets> {
        self.engine.secret_file.as_deref().map_or_else(|| Ok(secret::random()?.into()), secret::read)
    }
}

fn parse_gather(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    let most = humantime::format_duration(GATHER_MAX);
    if time > GATHER_MAX { Err(format!("clients wait as long for their answers: {most} at most")) } else { Ok(time) }
}

const EXAMPLE: &str = "\
Ctrl-C ends it and prints every counter.
On SIGHUP the data is loaded again, and the secret file is read again; where neither comes from a
file, nothing happens.

Example:
  {name} serve --device tap:lethe0,host=10.9.0.1/24,host=fd09::1/64 \\
      --addr 10.9.0.2 --addr fd09::2{app}
  curl http://10.9.0.2{path}
  curl 'http://[fd09::2]/'
  {name} serve --device packet:eth0 --addr 192.0.2.7{app}
  {name} serve --device dpdk:0 --eal '-l 0-3 -a 0000:01:00.0' --addr 10.9.0.2{app}";

/// Serves until SIGINT or SIGTERM.
pub(crate) fn serve<X, A, P>(server: &Server<X, A, P>, args: &Args<X>) -> anyhow::Result<()>
where
    X: clap::Args + Clone + Send + Sync + 'static,
    A: App + Send + Sync + 'static,
    P: Port,
{
    args.device.check_kind(server.own_port.as_ref())?;
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
    let addresses = &args.engine.addresses;
    owners::warn_of_kernel(addresses);
    if let Device::Tap(config) = &args.device {
        check_hosts(config, addresses)?;
    }
    let _claim = args.device.claimed().map(|(interface, share)| Claim::new(interface, addresses, share));
    let opening = Opening {
        #[cfg(feature = "interfaces")]
        mac: args.engine.mac,
        #[cfg(feature = "interfaces")]
        destinations: (&args.engine.addresses()?).into(),
        dpdk: &args.dpdk,
    };
    let serving = Serving { args, app, app_name: (server.app_name)(&args.app), reload };
    args.device.open(opening, server.own_port.as_ref(), serving)
}

/// A server whose device is about to be opened.
pub(crate) struct Serving<'a, X: clap::Args, A> {
    pub(crate) args: &'a Args<X>,
    pub(crate) app: Versions<A>,
    pub(crate) app_name: String,
    pub(crate) reload: Reload<A>,
}

/// A server whose device is open, and that is about to answer.
pub(crate) struct Ready<A> {
    pub(crate) engine: Engine<Versions<A>>,
    pub(crate) stop: Arc<AtomicBool>,
    pub(crate) metrics: Metrics,
    pub(crate) app_name: String,
    pub(crate) reload: Reload<A>,
}

/// What the engine is set up with on a device.
pub(crate) struct Opened<'a> {
    pub(crate) name: &'a str,
    pub(crate) mtu: u16,
    pub(crate) mac: Option<MacAddress>,
    pub(crate) offload: Offload,
}

impl<X: clap::Args, A: App> Serving<'_, X, A> {
    /// What is done once a device is open: privileges are dropped, and the addresses are printed.
    pub(crate) fn begin(self, device: &Opened<'_>) -> anyhow::Result<Ready<A>> {
        let Self { args, app, app_name, reload } = self;
        let config = args.engine.config(device.mtu, device.mac, &args.secrets()?)?;
        let config = Config { offload: device.offload, ..config };
        let stop = stop_on_signal().context("cannot catch signals")?;
        let metrics = args.metrics.open(&args.user)?;
        privileges::drop_to(&args.user)?;
        print_ready(device.name, device.mtu, config.mac, &args.engine)?;
        Ok(Ready { engine: Engine::new(config, app), stop, metrics, app_name, reload })
    }
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

    #[cfg(feature = "dpdk")]
    fn queues(&self, lcores: usize) -> usize {
        lcores
    }

    #[cfg(feature = "dpdk")]
    fn on_card(self, card: dpdk::OpenCard<'_>) -> anyhow::Result<()> {
        dpdk::serve(self, card)
    }
}

fn serve_on<X: clap::Args, A>(mut port: impl Port, serving: Serving<'_, X, A>) -> anyhow::Result<()>
where
    A: App + Send + Sync + 'static,
{
    let pace = Pace { burst: serving.args.burst(BURST), gather: serving.args.gather };
    let name = port.name().to_string();
    let opened = Opened { name: &name, mtu: port.mtu(), mac: port.mac(), offload: Offload::default() };
    let Ready { mut engine, stop, metrics, app_name, mut reload } = serving.begin(&opened)?;
    let published = WorkerStats::for_workers(1);
    let watched = Watched::new(name.clone(), app_name, vec!["0".to_owned()], Arc::clone(&published), reload.counted());
    let watched = Arc::new(watched);
    let shown = metrics.show(&watched)?;
    let (stats, ended) =
        run(&mut engine, &mut port, pace, &stop, &published[0], &watched, |engine| reload.observe(engine));
    drop(shown);
    let printed = print_end(&stats, port.missed());
    ended.with_context(|| format!("{name} can no longer be used"))?;
    printed
}

fn print_end(stats: &Stats, missed: Option<u64>) -> anyhow::Result<()> {
    write!(io::stdout(), "\n{}", Table(stats)).printed()?;
    let Some(missed) = missed else { return Ok(()) };
    print_line(format_args!("{missed:>12}  frames missed: they came faster than they were taken"))
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

/// Says where the server is; one whose standard output is not read serves all the same.
pub(crate) fn print_ready(name: &str, mtu: u16, mac: MacAddress, engine: &EngineArgs) -> anyhow::Result<()> {
    let each_port = |&address: &IpAddr| engine.tcp_ports.iter().map(move |&port| SocketAddr::new(address, port));
    for url in engine.addresses.iter().flat_map(each_port).map(Url) {
        match print_line(format_args!("listening on {url}  ({name}, MTU {mtu}, mac {mac})")) {
            Err(error) if error.is::<ReaderLeft>() => return Ok(()),
            printed => printed?,
        }
    }
    Ok(())
}

/// Where a browser goes; the port is left out where it is the usual one.
struct Url(SocketAddr);

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.ip(), self.0.port()) {
            (IpAddr::V4(address), 80) => write!(f, "http://{address}/"),
            (IpAddr::V6(address), 80) => write!(f, "http://[{address}]/"),
            _ => write!(f, "http://{}/", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_to_open_is_written_as_browsers_take_it() {
        let url = |text: &str| Url(text.parse().unwrap()).to_string();
        assert_eq!(url("10.9.0.2:80"), "http://10.9.0.2/");
        assert_eq!(url("10.9.0.2:8080"), "http://10.9.0.2:8080/");
        assert_eq!(url("[fd09::2]:80"), "http://[fd09::2]/");
        assert_eq!(url("[fd09::2]:8080"), "http://[fd09::2]:8080/");
    }

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
