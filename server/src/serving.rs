//! What `serve` is told, and what it is from its device on: whatever that is.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::Context;
use lethe::port::Offload;
use lethe::versions::Versions;
use lethe::wire::ethernet::MacAddress;
use lethe::{App, Config, Engine};
use lethe_sim::link::Impairment;

use crate::access_log::{AccessLog, LogArgs};
use crate::config::ConfigArgs;
use crate::cpus::Cpus;
use crate::device::Device;
use crate::dpdk_args::DpdkArgs;
use crate::engine::EngineArgs;
use crate::metrics::{Metrics, MetricsArgs};
use crate::print::{ReaderLeft, print_line};
use crate::reload::Reload;
use crate::run::{GATHER_MAX, stop_on_signal};
use crate::secret::Secrets;
use crate::{privileges, secret};

#[derive(clap::Args)]
#[group(skip)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Args<X: clap::Args> {
    /// Device to serve through: tap:NAME[,host=IP/LEN]...[,mtu=N], a TAP device, made if there is none, where
    /// each `host` is an address for the kernel's end; packet:IFACE[,fanout=N][,acks], an interface shared with the
    /// kernel; xdp:IFACE[,queue=N][,copy|,zerocopy][,generic][,acks], the same ahead of the kernel; or
    /// dpdk:PORT[,mtu=N][,tso=on|off], a card that DPDK drives{own}
    #[arg(long, value_name = "DEVICE")]
    pub(crate) device: Device,
    /// User to run as once the device is open, when started as root
    #[arg(long, value_name = "NAME", default_value = "nobody")]
    pub(crate) user: String,
    /// Workers, each a thread with a queue of the device: for xdp at most as many as the interface has receive queues.
    /// With dpdk the lcores of --eal are the workers
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) workers: u16,
    /// Processors that the workers are bound to, one for each, as in 2,4-6. With dpdk --eal has them
    #[arg(long, value_name = "LIST")]
    pub(crate) cpus: Option<Cpus>,
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
    pub(crate) generation: u8,
    /// How long after a reload new connections still begin with the old version: until every server of a cluster has
    /// the new one
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = humantime::parse_duration)]
    pub(crate) settle: Duration,
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    #[command(flatten)]
    pub(crate) metrics: MetricsArgs,
    #[command(flatten)]
    pub(crate) log: LogArgs,
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
  curl http://10.9.0.2{target}
  curl 'http://[fd09::2]/'
  {name} serve --device packet:eth0 --addr 192.0.2.7{app}
  {name} serve --device dpdk:0 --eal '-l 0-3 -a 0000:01:00.0' --addr 10.9.0.2{app}";

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
    pub(crate) log: Option<AccessLog>,
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
        let metrics = args.metrics.open(&args.user)?;
        let log = args.log.open(&args.user)?;
        privileges::drop_to(&args.user)?;
        // It starts a thread, which has the capabilities of this one.
        let stop = stop_on_signal().context("cannot catch signals")?;
        print_ready(device.name, device.mtu, config.mac, &args.engine)?;
        Ok(Ready { engine: Engine::new(config, app), stop, metrics, log, app_name, reload })
    }
}

/// Says where the server is; one whose standard output is not read serves all the same.
fn print_ready(name: &str, mtu: u16, mac: MacAddress, engine: &EngineArgs) -> anyhow::Result<()> {
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
}
