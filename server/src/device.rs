//! `--device`: which network device is served through.

use std::convert::Infallible;
use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, anyhow, bail, ensure};
use lethe::config::Mtu;
use lethe::port::{Port, RxFrame, RxQueue, Transmit, TxFrame, TxQueue};
#[cfg(feature = "interfaces")]
use lethe::wire::ethernet::MacAddress;
#[cfg(feature = "interfaces")]
use lethe_hw::Destinations;
#[cfg(feature = "interfaces")]
use lethe_hw::packet::{PacketConfig, PacketPort};
#[cfg(feature = "interfaces")]
use lethe_hw::xdp::{Buffers, XdpConfig, XdpPort};
use lethe_sim::tap::{Tap, TapConfig};

#[cfg(feature = "dpdk")]
use crate::card::{OpenCard, Started};
use crate::dpdk_args::{DpdkArgs, DpdkPort};
#[cfg(not(feature = "dpdk"))]
use crate::message::name;
#[cfg(feature = "interfaces")]
use crate::message::warn;
use crate::owners::Share;

/// From what the engine takes to what the kernel gives a TAP device: 65,535 less the Ethernet header.
pub(crate) const MTU_RANGE: RangeInclusive<u16> = Mtu::MIN..=65_521;

/// What can stand before the colon.
#[cfg(feature = "interfaces")]
const KINDS: &str = "tap, packet, xdp, dpdk";
#[cfg(not(feature = "interfaces"))]
const KINDS: &str = "tap, dpdk (packet and xdp: build with the feature `interfaces`)";

/// A device as the command line names it: `KIND:DETAILS`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Device {
    /// `tap:NAME[,host=IP/LEN]…[,mtu=N]`
    Tap(TapConfig),
    /// `packet:IFACE[,fanout=N][,acks]`
    #[cfg(feature = "interfaces")]
    Packet(PacketConfig),
    /// `xdp:IFACE[,queue=N][,copy|,zerocopy][,generic][,acks]`
    #[cfg(feature = "interfaces")]
    Xdp(XdpConfig),
    /// `dpdk:PORT[,mtu=N][,tso=on|off]`
    Dpdk(DpdkPort),
    /// `KIND:DETAILS`, of a kind that the server may have of its own
    Own {
        /// What stands before the colon.
        kind: String,
        /// What stands behind it.
        details: String,
    },
}

impl FromStr for Device {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            Some(("tap", details)) => parse_tap(details).map(Self::Tap),
            #[cfg(feature = "interfaces")]
            Some(("packet", details)) => parse_packet(details).map(Self::Packet),
            #[cfg(feature = "interfaces")]
            Some(("xdp", details)) => parse_xdp(details).map(Self::Xdp),
            Some(("dpdk", details)) => parse_dpdk(details).map(Self::Dpdk),
            Some((kind, details)) => Ok(Self::Own { kind: kind.to_owned(), details: details.to_owned() }),
            None if text.is_empty() => bail!("a device is written KIND:NAME, as in tap:lethe0; known kinds: {KINDS}"),
            None => bail!(
                "a device is written KIND:NAME: packet:{text} is an interface that there is, shared with the kernel, \
                 and tap:{text} a TAP device; known kinds: {KINDS}"
            ),
        }
    }
}

/// Opens a device by its details.
pub(crate) type OpenOwn<P> = Box<dyn Fn(&str) -> anyhow::Result<P>>;

/// A kind of device that comes with a server.
pub(crate) struct OwnPort<P> {
    /// What it is called before the colon.
    pub(crate) kind: &'static str,
    /// How it is written, and what it is: for `--help`.
    pub(crate) usage: &'static str,
    /// Opens the one that the details behind the colon name.
    pub(crate) open: OpenOwn<P>,
}

/// What a device is opened with.
pub(crate) struct Opening<'a> {
    /// The hardware address to answer for, in place of the interface's own.
    #[cfg(feature = "interfaces")]
    pub(crate) mac: Option<MacAddress>,
    /// What to receive, where the kernel receives the rest.
    #[cfg(feature = "interfaces")]
    pub(crate) destinations: Destinations,
    #[cfg_attr(not(feature = "dpdk"), expect(dead_code, reason = "there is no DPDK"))]
    pub(crate) dpdk: &'a DpdkArgs,
}

/// What is done with a device once it is open.
pub(crate) trait OnDevice: Sized {
    /// With a port of one pair of queues.
    fn on_port(self, port: impl Port) -> anyhow::Result<()>;

    /// How many workers share the device.
    fn workers(&self) -> usize;

    /// With so many ports of one device, one for each worker.
    fn on_ports(self, ports: Vec<impl Port + Send>) -> anyhow::Result<()>;

    /// The most pairs of queues of a card that are used, where that many lcores are there.
    #[cfg(feature = "dpdk")]
    fn queues(&self, lcores: usize) -> usize;

    /// With a card that DPDK drives.
    #[cfg(feature = "dpdk")]
    fn on_card(self, card: OpenCard<'_>) -> anyhow::Result<()>;
}

impl Device {
    /// Opens the device and goes on with it.
    #[cfg_attr(
        not(feature = "interfaces"),
        allow(clippy::needless_pass_by_value, unused_variables, reason = "interfaces keep what is in it")
    )]
    pub(crate) fn open<P: Port>(
        &self,
        opening: Opening<'_>,
        own: Option<&OwnPort<P>>,
        then: impl OnDevice,
    ) -> anyhow::Result<()> {
        let workers = then.workers();
        match self {
            Self::Tap(config) if workers > 1 => then.on_ports(Tap::open_queues(config, workers)?),
            Self::Tap(config) => then.on_port(Tap::open(config)?),
            #[cfg(feature = "interfaces")]
            Self::Packet(config) => {
                let mut ports = PacketPort::open_group(config, opening.mac, opening.destinations, workers)?;
                if ports.first().is_some_and(PacketPort::is_forwarded) {
                    let name = &config.interface;
                    warn(format_args!(
                        "the kernel forwards what comes in by {name}, and would send our packets on: use xdp:{name}, \
                         or a hardware address of our own (--mac 02:4c:65:74:68:65)"
                    ));
                }
                if workers > 1 { then.on_ports(ports) } else { then.on_port(ports.swap_remove(0)) }
            }
            #[cfg(feature = "interfaces")]
            Self::Xdp(config) if workers > 1 => {
                then.on_ports(XdpPort::open_shares(config, opening.mac, opening.destinations, workers)?)
            }
            #[cfg(feature = "interfaces")]
            Self::Xdp(config) => then.on_port(XdpPort::open(config, opening.mac, opening.destinations)?),
            #[cfg(feature = "dpdk")]
            Self::Dpdk(port) => {
                let dpdk = Started::new(opening.dpdk)?;
                let queues = then.queues(dpdk.lcores());
                then.on_card(dpdk.open(*port, queues)?)
            }
            #[cfg(not(feature = "dpdk"))]
            Self::Dpdk(_) => Err(without_dpdk(name())),
            Self::Own { kind, details } => {
                let open = own_kind(kind, own)?;
                then.on_port(open(details).with_context(|| format!("--device {kind}:{details}"))?)
            }
        }
    }

    /// An error where there is no such kind of device: said before anything else is done.
    pub(crate) fn check_kind<P>(&self, own: Option<&OwnPort<P>>) -> anyhow::Result<()> {
        match self {
            Self::Own { kind, .. } => own_kind(kind, own).map(drop),
            _ => Ok(()),
        }
    }

    /// The interface of the kernel that is served, and whether it is shared with other servers.
    pub(crate) fn claimed(&self) -> Option<(&str, Share)> {
        match self {
            #[cfg(feature = "interfaces")]
            Self::Packet(config) => Some((&config.interface, config.fanout.map_or(Share::All, Share::Fanout))),
            #[cfg(feature = "interfaces")]
            Self::Xdp(config) => Some((&config.interface, Share::All)),
            _ => None,
        }
    }
}

/// Says how to get what is missing in a program that was built without DPDK.
#[cfg(not(feature = "dpdk"))]
fn without_dpdk(name: &str) -> anyhow::Error {
    let package = if name == "lethe" { " -p lethe-httpd" } else { "" };
    anyhow!(
        "this `{name}` was built without DPDK. With it: apt-get install dpdk libdpdk-dev clang libclang-dev \
         pkg-config, then cargo build --release{package} --features dpdk"
    )
}

/// Whether every server has this kind of device.
pub(crate) fn is_known(kind: &str) -> bool {
    ["tap", "packet", "xdp", "dpdk"].contains(&kind)
}

/// How a device of this kind is opened.
fn own_kind<'p, P>(kind: &str, own: Option<&'p OwnPort<P>>) -> anyhow::Result<&'p OpenOwn<P>> {
    match own {
        Some(own) if own.kind == kind => Ok(&own.open),
        Some(own) => bail!("there is no kind of device called `{kind}`; known: {KINDS}, {}", own.kind),
        None => bail!("there is no kind of device called `{kind}`; known: {KINDS}"),
    }
}

/// The port of a server that has none of its own.
pub enum NoPort {}

impl Port for NoPort {
    type Error = Infallible;

    fn name(&self) -> impl fmt::Display {
        ""
    }

    fn mtu(&self) -> u16 {
        match *self {}
    }

    fn queues(&mut self) -> (impl RxQueue, impl TxQueue) {
        (NoQueue, NoQueue)
    }

    fn wait(&mut self, _: Duration) -> Result<(), Infallible> {
        match *self {}
    }
}

/// The queue of a port that there is not.
struct NoQueue;

impl RxQueue for NoQueue {
    fn receive(&mut self) -> Option<RxFrame<'_>> {
        None
    }
}

impl TxQueue for NoQueue {
    fn transmit(&mut self, _: impl FnOnce(&mut [u8]) -> Option<TxFrame>) -> Transmit {
        Transmit::Full
    }

    fn flush(&mut self) {}
}

fn parse_tap(details: &str) -> anyhow::Result<TapConfig> {
    let mut parts = details.split(',');
    let name = parts.next().unwrap_or_default();
    ensure!(!name.is_empty(), "a TAP device needs a name, as in tap:lethe0");
    let mut config = TapConfig { name: name.to_owned(), hosts: Vec::new(), mtu: None };
    for part in parts {
        match part.split_once('=') {
            Some(("host", value)) => {
                let host = value.parse().ok();
                let host = host.with_context(|| format!("`{part}`: want IP/LEN, as in host=10.9.0.1/24"))?;
                config.hosts.push(host);
            }
            Some(("mtu", value)) => {
                ensure!(config.mtu.is_none(), "`{part}`: there is an MTU already");
                config.mtu = Some(parse_mtu(value).map_err(|error| anyhow!("`{part}`: {error}"))?);
            }
            _ => bail!("a TAP device has no option `{part}`; known: host=IP/LEN, mtu=N"),
        }
    }
    Ok(config)
}

#[cfg(feature = "interfaces")]
fn parse_packet(details: &str) -> anyhow::Result<PacketConfig> {
    let (interface, options) = parse_interface("packet", details)?;
    let mut config = PacketConfig { interface, fanout: None, acks: false };
    for option in options {
        match (option, option.split_once('=')) {
            ("acks", _) => config.acks = true,
            (_, Some(("fanout", value))) => {
                let group = value.parse().ok();
                config.fanout = Some(group.with_context(|| format!("`{option}`: want a number from 0 to 65535"))?);
            }
            _ => bail!("a packet device has no option `{option}`; known: fanout=N, acks"),
        }
    }
    Ok(config)
}

#[cfg(feature = "interfaces")]
fn parse_xdp(details: &str) -> anyhow::Result<XdpConfig> {
    let (interface, options) = parse_interface("xdp", details)?;
    let mut config = XdpConfig { interface, queue: None, buffers: Buffers::Best, generic: false, acks: false };
    for option in options {
        match (option, option.split_once('=')) {
            ("copy" | "zerocopy", _) if config.buffers != Buffers::Best => bail!("either `copy` or `zerocopy`, once"),
            ("copy", _) => config.buffers = Buffers::Copy,
            ("zerocopy", _) => config.buffers = Buffers::ZeroCopy,
            ("generic", _) => config.generic = true,
            ("acks", _) => config.acks = true,
            (_, Some(("queue", value))) => {
                let queue = value.parse().ok();
                config.queue = Some(queue.with_context(|| format!("`{option}`: want a number, counted from 0"))?);
            }
            _ => bail!("an XDP device has no option `{option}`; known: queue=N, copy, zerocopy, generic, acks"),
        }
    }
    Ok(config)
}

/// The name of an interface, and the options behind it.
#[cfg(feature = "interfaces")]
fn parse_interface<'a>(kind: &str, details: &'a str) -> anyhow::Result<(String, impl Iterator<Item = &'a str>)> {
    let mut parts = details.split(',');
    let name = parts.next().unwrap_or_default();
    ensure!(!name.is_empty(), "a device of kind {kind} needs an interface, as in {kind}:eth0");
    Ok((name.to_owned(), parts))
}

fn parse_dpdk(details: &str) -> anyhow::Result<DpdkPort> {
    let mut parts = details.split(',');
    let number = parts.next().and_then(|number| number.parse().ok());
    let number = number.context("a port of DPDK is a number, as in dpdk:0: the first that it finds")?;
    let mut port = DpdkPort { number, mtu: None, segmentation: None };
    for part in parts {
        match part.split_once('=') {
            Some(("mtu", value)) => port.mtu = Some(parse_mtu(value).map_err(|error| anyhow!("`{part}`: {error}"))?),
            Some(("tso", "on")) => port.segmentation = Some(true),
            Some(("tso", "off")) => port.segmentation = Some(false),
            Some(("tso", _)) => bail!("`{part}`: want tso=on or tso=off"),
            _ => {
                bail!("a port of DPDK has no option `{part}`; known: mtu=N, tso. What its driver takes goes into --eal")
            }
        }
    }
    Ok(port)
}

/// An MTU in bytes.
pub(crate) fn parse_mtu(text: &str) -> anyhow::Result<u16> {
    let mtu = text.parse().ok().filter(|mtu| MTU_RANGE.contains(mtu));
    mtu.with_context(|| format!("an MTU is a number from {} to {}", MTU_RANGE.start(), MTU_RANGE.end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tap_device_has_a_name_addresses_and_an_mtu() {
        let parsed: Device = "tap:lethe0,host=10.9.0.1/24,host=fd09::1/64,mtu=9000".parse().unwrap();
        let config = TapConfig {
            name: "lethe0".to_owned(),
            hosts: vec!["10.9.0.1/24".parse().unwrap(), "fd09::1/64".parse().unwrap()],
            mtu: Some(9000),
        };
        assert_eq!(parsed, Device::Tap(config));
        let plain = TapConfig { name: "t".to_owned(), hosts: vec![], mtu: None };
        assert_eq!("tap:t".parse::<Device>().unwrap(), Device::Tap(plain));
    }

    #[cfg(feature = "interfaces")]
    #[test]
    fn a_packet_device_has_an_interface_and_may_share_it() {
        let config = |fanout, acks| Device::Packet(PacketConfig { interface: "eth0".to_owned(), fanout, acks });
        assert_eq!("packet:eth0".parse::<Device>().unwrap(), config(None, false));
        assert_eq!("packet:eth0,fanout=7".parse::<Device>().unwrap(), config(Some(7), false));
        assert_eq!("packet:eth0,acks".parse::<Device>().unwrap(), config(None, true));
    }

    #[cfg(feature = "interfaces")]
    #[test]
    fn an_xdp_device_has_an_interface_and_how_it_is_used() {
        let interface = "eth0".to_owned();
        let plain = XdpConfig { interface, queue: None, buffers: Buffers::Best, generic: false, acks: false };
        assert_eq!("xdp:eth0".parse::<Device>().unwrap(), Device::Xdp(plain.clone()));
        let parsed: Device = "xdp:eth0,generic,queue=1,copy,acks".parse().unwrap();
        let copied = XdpConfig { queue: Some(1), buffers: Buffers::Copy, generic: true, acks: true, ..plain.clone() };
        assert_eq!(parsed, Device::Xdp(copied));
        let zero_copy = XdpConfig { buffers: Buffers::ZeroCopy, ..plain };
        assert_eq!("xdp:eth0,zerocopy".parse::<Device>().unwrap(), Device::Xdp(zero_copy));
    }

    #[test]
    fn a_port_of_dpdk_has_a_number_and_an_mtu_and_may_be_told_whether_it_cuts_frames() {
        let check = |text: &str, number, mtu, segmentation| {
            let port = DpdkPort { number, mtu, segmentation };
            assert_eq!(text.parse::<Device>().unwrap(), Device::Dpdk(port), "{text}");
        };
        check("dpdk:0", 0, None, None);
        check("dpdk:3,mtu=9000", 3, Some(9000), None);
        check("dpdk:0,tso=on", 0, None, Some(true));
        check("dpdk:0,tso=off,mtu=1500", 0, Some(1500), Some(false));
    }

    #[cfg(feature = "interfaces")]
    fn check(text: &str, expect: &str) {
        let error = text.parse::<Device>().unwrap_err();
        assert_eq!(error.to_string(), expect, "{text}");
    }

    #[cfg(feature = "interfaces")]
    #[test]
    fn each_mistake_is_told_from_the_others() {
        check("", "a device is written KIND:NAME, as in tap:lethe0; known kinds: tap, packet, xdp, dpdk");
        check(
            "eth0",
            "a device is written KIND:NAME: packet:eth0 is an interface that there is, shared with the kernel, and \
             tap:eth0 a TAP device; known kinds: tap, packet, xdp, dpdk",
        );
        check("tap:", "a TAP device needs a name, as in tap:lethe0");
        check("tap:,mtu=1500", "a TAP device needs a name, as in tap:lethe0");
        check("tap:t,host=10.9.0.1", "`host=10.9.0.1`: want IP/LEN, as in host=10.9.0.1/24");
        check("tap:t,host=10.9.0.1/33", "`host=10.9.0.1/33`: want IP/LEN, as in host=10.9.0.1/24");
        check("tap:t,mtu=575", "`mtu=575`: an MTU is a number from 576 to 65521");
        check("tap:t,mtu=", "`mtu=`: an MTU is a number from 576 to 65521");
        check("tap:t,mtu=1500,mtu=1500", "`mtu=1500`: there is an MTU already");
        check("tap:t,up", "a TAP device has no option `up`; known: host=IP/LEN, mtu=N");
        check("packet:", "a device of kind packet needs an interface, as in packet:eth0");
        check("packet:eth0,fanout=x", "`fanout=x`: want a number from 0 to 65535");
        check("packet:eth0,copy", "a packet device has no option `copy`; known: fanout=N, acks");
        check("xdp:", "a device of kind xdp needs an interface, as in xdp:eth0");
        check("xdp:eth0,queue=-1", "`queue=-1`: want a number, counted from 0");
        check("xdp:eth0,copy,zerocopy", "either `copy` or `zerocopy`, once");
        check(
            "xdp:eth0,mtu=9000",
            "an XDP device has no option `mtu=9000`; known: queue=N, copy, zerocopy, generic, acks",
        );
        check("dpdk:", "a port of DPDK is a number, as in dpdk:0: the first that it finds");
        check("dpdk:eth0", "a port of DPDK is a number, as in dpdk:0: the first that it finds");
        check("dpdk:0,mtu=9", "`mtu=9`: an MTU is a number from 576 to 65521");
        check(
            "dpdk:0,queues=2",
            "a port of DPDK has no option `queues=2`; known: mtu=N, tso. What its driver takes goes into --eal",
        );
        check("dpdk:0,tso=yes", "`tso=yes`: want tso=on or tso=off");
        check("tap:t,", "a TAP device has no option ``; known: host=IP/LEN, mtu=N");
    }
}
