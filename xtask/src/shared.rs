//! Servers side by side behind one network: all that are compared send through the same link.
//!
//! ```text
//!                                      ┌── TAP ── packet: Lethe
//!   client's kernel ── TAP ── relay ───┼── TAP ── kernel, cubic ── nginx
//!                        loss, delay,  └── TAP ── kernel, bbr ──── nginx
//!                       rate and queue
//! ```
//!
//! Each server has a namespace of its own, and all serve the same folder. What a kernel hands to a TAP device it has
//! cut into frames of the MTU, whatever it would leave to a card: each loss is one segment's.

use std::fmt;
use std::iter;
use std::path::Path;
use std::process::Stdio;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, ensure};
use lethe_sim::link::Rate;
use lethe_testnet::nginx::{self, Content, Nginx};
use lethe_testnet::relay::{self, Counters, Relay, Way};
use lethe_testnet::{Capture, Namespace, Program, Server, janitor, wait_until};

use crate::downloads::{Curl, Expected};
use crate::networks::Networks;

/// The longest frame of an MTU of 1500.
pub(crate) const FRAME: u64 = 1514;

/// Frames that may wait in a device for the relay to take them: no loss is to be but those of the link.
const DEVICE_QUEUE: u32 = 16_384;

/// How long it may take until a connection is seen at the server, over a network with loss.
const PATIENCE: Duration = Duration::from_mins(1);

/// A file that every folder has, to look at a connection while it lasts.
const PROBE: &str = "probe";

/// A server that takes part.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Contender {
    /// Lethe on `packet:`.
    Lethe,
    /// Another one: the path of `lethe`, and options of `lethe serve`.
    Before(String),
    /// nginx on a kernel with this congestion control.
    Nginx(String),
}

impl Contender {
    /// What it is called in tables.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Lethe => "Lethe".to_owned(),
            Self::Before(_) => "Lethe before".to_owned(),
            Self::Nginx(control) => format!("nginx, {control}"),
        }
    }

    /// Lethe, and nginx with cubic and with bbr, where the kernel has those.
    pub(crate) fn all() -> Vec<Self> {
        let controls = ["cubic", "bbr"].into_iter().filter(|control| is_known(control));
        iter::once(Self::Lethe).chain(controls.map(|control| Self::Nginx(control.to_owned()))).collect()
    }
}

/// Whether the kernel has a congestion control.
pub(crate) fn is_known(control: &str) -> bool {
    let known = std::fs::read_to_string("/proc/sys/net/ipv4/tcp_available_congestion_control").unwrap_or_default();
    known.split_whitespace().any(|name| name == control)
}

/// What the network is like, in both directions alike.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Link {
    /// Milliseconds there and back.
    pub(crate) rtt: u32,
    /// Percent of all frames that are lost each way.
    pub(crate) loss: f64,
    pub(crate) bottleneck: Option<Bottleneck>,
}

/// So many bits a second, and what may wait for them; what finds the queue full is lost.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Bottleneck {
    pub(crate) rate: Rate,
    pub(crate) queue: Queue,
}

/// Bits a second, as in 10mbit.
pub(crate) fn parse_rate(text: &str) -> Result<Rate, String> {
    text.parse().map_err(|_| "want a rate as in 10mbit".to_owned())
}

/// How much may wait before a bottleneck.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Queue {
    /// So many times what is sent within a round trip.
    Bdp(f64),
    /// What is sent within so many milliseconds.
    Time(u32),
    /// So many frames.
    Frames(u32),
}

impl Link {
    /// As `lethe serve --impair` takes it.
    pub(crate) fn impair(&self, seed: u64) -> String {
        let queue = self.bottleneck.map(|Bottleneck { rate, queue }| {
            let frames = queue.frames(rate, self.rtt);
            format!(",rate={rate},queue={frames}")
        });
        let queue = queue.unwrap_or_default();
        format!("delay={}us,loss={}%,seed={seed}{queue}", self.rtt * 500, self.loss)
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RTT {} ms, {} % lost each way", self.rtt, self.loss)?;
        let Some(Bottleneck { rate, queue }) = self.bottleneck else { return Ok(()) };
        write!(f, ", {rate}/s, a queue of {queue}")
    }
}

impl Queue {
    /// In frames of full size; at least one, which is being sent.
    #[expect(clippy::cast_precision_loss, clippy::cast_sign_loss, reason = "numbers of frames")]
    fn frames(self, rate: Rate, rtt: u32) -> u32 {
        let within = |ms: f64| (rate.bits_per_second() as f64 * ms / 8e3 / FRAME as f64).round() as u32;
        match self {
            Self::Bdp(times) => within(f64::from(rtt) * times),
            Self::Time(ms) => within(f64::from(ms)),
            Self::Frames(frames) => frames,
        }
        .max(1)
    }
}

impl FromStr for Queue {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "want a queue as in 1bdp, 100ms or 50, which is frames".to_owned();
        let times = |text: &str| text.parse().ok().filter(|times| *times > 0.0 && f64::is_finite(*times));
        if let Some(text) = text.strip_suffix("bdp") {
            return times(text).map(Self::Bdp).ok_or_else(wrong);
        }
        let (text, queue): (_, fn(u32) -> Self) = match text.strip_suffix("ms") {
            Some(text) => (text, Self::Time),
            None => (text, Self::Frames),
        };
        text.parse().ok().filter(|&number| number > 0).map(queue).ok_or_else(wrong)
    }
}

impl fmt::Display for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bdp(times) => write!(f, "{times} BDP"),
            Self::Time(ms) => write!(f, "{ms} ms"),
            Self::Frames(frames) => write!(f, "{frames} frames"),
        }
    }
}

/// A folder that all servers serve: files by their names, and what is in them.
pub(crate) struct Site {
    folder: tempfile::TempDir,
}

impl Site {
    /// Files of these sizes, each called by its size.
    pub(crate) fn of(networks: &Networks, sizes: &[usize]) -> anyhow::Result<Self> {
        let names: Vec<String> = sizes.iter().map(ToString::to_string).collect();
        let files: Vec<_> = names.iter().map(String::as_str).zip(sizes.iter().copied()).collect();
        Self::with(networks, &files)
    }

    /// Files of these names and sizes.
    pub(crate) fn with(networks: &Networks, files: &[(&str, usize)]) -> anyhow::Result<Self> {
        let folder = janitor::folder("site")?;
        for &(name, size) in files.iter().chain(&[(PROBE, 1_000_000)]) {
            networks.write_pattern(&folder.path().join(name), size)?;
        }
        Ok(Self { folder })
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Servers behind one network, with a client in front of it. Programs go first.
pub(crate) struct SharedNetwork {
    /// Lethe's, where it takes part.
    pub(crate) servers: Vec<Server>,
    nginx: Vec<nginx::Running>,
    _capture: Option<Capture>,
    relay: Relay,
    pub(crate) client: Namespace,
    spaces: Vec<Namespace>,
    contenders: Vec<Contender>,
}

impl SharedNetwork {
    /// Starts `contenders` behind an impairment, as `lethe serve --impair` takes it. All neighbors know each other's
    /// hardware addresses then, so that no round trip is spent on that later.
    pub(crate) fn start(
        networks: &Networks,
        contenders: &[Contender],
        site: &Site,
        impair: &str,
    ) -> anyhow::Result<Self> {
        let client = networks.space()?;
        let spaces = contenders.iter().map(|_| networks.space()).collect::<anyhow::Result<Vec<_>>>()?;
        let ends: Vec<&Namespace> = spaces.iter().collect();
        let relay = relay::start(&networks.relay, &client, &ends, Way::Switch, impair)?;
        let contenders = contenders.to_vec();
        let (servers, nginx, capture) = (Vec::new(), Vec::new(), networks.capture(&client)?);
        let mut network = Self { servers, nginx, _capture: capture, relay, client, spaces, contenders };
        as_on_a_cable(&network.client, "lethe0")?;
        for number in 0..network.contenders.len() {
            network.serve(networks, number, site)?;
        }
        network.acquaint()?;
        for number in 0..network.contenders.len() {
            network.verify(number)?;
        }
        Ok(network)
    }

    /// Starts the server of a number.
    fn serve(&mut self, networks: &Networks, number: usize, site: &Site) -> anyhow::Result<()> {
        let (space, device, own) = (&self.spaces[number], format!("server{number}"), number as u8 + 2);
        as_on_a_cable(space, &device)?;
        match &self.contenders[number] {
            Contender::Lethe => self.serve_lethe(&networks.lethe, number, site, &networks.options)?,
            Contender::Before(command) => {
                let mut words = command.split_whitespace().map(ToOwned::to_owned);
                let program = words.next().context("--before wants a command")?;
                self.serve_lethe(Path::new(&program), number, site, &words.collect::<Vec<_>>())?;
            }
            Contender::Nginx(control) => {
                space.address(&device, own)?;
                nginx::use_congestion_control(space, &device, own, control)?;
                self.nginx.push(Nginx::new(Content::Files(site.path())).start(space, &[])?);
            }
        }
        Ok(())
    }

    fn serve_lethe(&mut self, program: &Path, number: usize, site: &Site, options: &[String]) -> anyhow::Result<()> {
        let (space, own) = (&self.spaces[number], number + 2);
        space.sh(&format!("ip link set server{number} up"))?;
        let mut command = space.command(program);
        command.args(["serve", "--device", &format!("packet:server{number}"), "--addr", &format!("10.9.0.{own}")]);
        command.args(["--addr", &format!("fd09::{own}")]).args(options).arg("files").arg(site.path());
        self.servers.push(Server::launch(&mut command, 2)?);
        Ok(())
    }

    /// Has all machines learn each other's hardware addresses, and keep them.
    fn acquaint(&self) -> anyhow::Result<()> {
        for number in 0..self.contenders.len() {
            for address in [format!("10.9.0.{}", number + 2), format!("fd09::{}", number + 2)] {
                let once = format!("ping -q -n -c 1 -W 2 {address} >/dev/null 2>&1 && echo 1 || true");
                wait_until(&format!("{address} answers"), PATIENCE, || {
                    Ok((!self.client.sh(&once)?.is_empty()).then_some(()))
                })?;
            }
        }
        for space in self.spaces.iter().chain([&self.client]) {
            space.sh("ip neigh show | while read to _ device _ mac _; do
                     case $mac in *:*:*) ip neigh replace $to dev $device lladdr $mac nud permanent;; esac
                 done")?;
        }
        Ok(())
    }

    /// Looks at a connection to nginx: what its route says must be what its kernel does.
    fn verify(&self, number: usize) -> anyhow::Result<()> {
        let Contender::Nginx(control) = &self.contenders[number] else { return Ok(()) };
        let mut slow = self.client.command("curl");
        slow.args(["-s", "-o", "/dev/null", "--limit-rate", "10k", &Self::url(number, "v4", PROBE)]);
        let _slow = Program::start(slow.stdout(Stdio::null()).stdin(Stdio::null()))?;
        let found = wait_until(&format!("a connection to nginx with {control}"), PATIENCE, || {
            let text = self.spaces[number].sh("ss -Htni state established sport = :80")?;
            Ok((!text.trim().is_empty()).then_some(text))
        })?;
        let is_it = found.split_whitespace().any(|word| word == control);
        ensure!(is_it, "nginx was to use {control}, and does not: {found}");
        Ok(())
    }

    pub(crate) fn contenders(&self) -> &[Contender] {
        &self.contenders
    }

    /// The address of a file at the server of a number, over a family: `v4` or `v6`.
    pub(crate) fn url(number: usize, family: &str, file: &str) -> String {
        let own = number + 2;
        if family == "v6" { format!("http://[fd09::{own}]/{file}") } else { format!("http://10.9.0.{own}/{file}") }
    }

    /// Curl at the client.
    pub(crate) fn curl(&self, expected: Expected, longest: u32) -> Curl {
        Curl { longest, ..Curl::new(&self.client, expected) }
    }

    /// What each server has sent so far.
    pub(crate) fn counters(&mut self) -> anyhow::Result<Vec<Counters>> {
        let counters = self.relay.counters()?;
        for (counters, contender) in counters.iter().zip(&self.contenders) {
            let longest = counters.longest;
            ensure!(longest <= FRAME, "{} sent a frame of {longest} bytes: a loss would be many", contender.name());
        }
        Ok(counters)
    }

    /// Fails if a device had no room for a frame: nothing may be lost but by the link.
    pub(crate) fn check_devices(&self) -> anyhow::Result<()> {
        let devices = self.spaces.iter().enumerate().map(|(number, space)| (space, format!("server{number}")));
        for (space, device) in devices.chain([(&self.client, "lethe0".to_owned())]) {
            let dropped = space.sh(&format!("cat /sys/class/net/{device}/statistics/tx_dropped"))?;
            let frames: u64 = dropped.trim().parse()?;
            if frames > 0 {
                return Err(Dropped { device: format!("{device} of {}", space.name()), frames }.into());
            }
        }
        Ok(())
    }
}

/// A device had no room for frames, since the machine was busy with something else.
#[derive(Clone, Debug)]
struct Dropped {
    device: String,
    frames: u64,
}

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} lost {} frames: is the machine busy with something else?", self.device, self.frames)
    }
}

impl std::error::Error for Dropped {}

/// How often something is measured, if devices lose frames.
const TRIES: usize = 3;

/// What `measure` finds, which it is asked for again if devices have lost frames.
pub(crate) fn undisturbed<T>(mut measure: impl FnMut() -> anyhow::Result<T>) -> anyhow::Result<T> {
    for _ in 1..TRIES {
        match measure() {
            Err(error) if error.is::<Dropped>() => println!("{error}: once more"),
            result => return result,
        }
    }
    measure()
}

/// Has a device neither cut nor join segments, and not lose a frame because the relay is late.
fn as_on_a_cable(space: &Namespace, device: &str) -> anyhow::Result<()> {
    space.sh(&format!(
        "ethtool -K {device} tso off gso off gro off tx off rx off >/dev/null 2>&1 || true
         ip link set {device} txqueuelen {DEVICE_QUEUE}"
    ))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_so_many_frames_of_full_size() {
        let link = |queue: &str, rtt| {
            let bottleneck = Bottleneck { rate: "10mbit".parse().unwrap(), queue: queue.parse().unwrap() };
            Link { rtt, loss: 0.5, bottleneck: Some(bottleneck) }.impair(7)
        };
        // 25,000 bytes within 20 ms.
        assert_eq!(link("1bdp", 20), "delay=10000us,loss=0.5%,seed=7,rate=10mbit,queue=17");
        assert!(link("2bdp", 20).ends_with("queue=33") && link("100ms", 20).ends_with("queue=83"));
        assert!(link("50", 5).ends_with("queue=50") && link("1bdp", 1).ends_with("queue=1"));
        for text in [link("1bdp", 20), Link { rtt: 5, loss: 0.0, bottleneck: None }.impair(0)] {
            let impairment: Result<lethe_sim::link::Impairment, _> = text.parse();
            assert!(impairment.is_ok(), "{text}: {impairment:?}");
        }
        for wrong in ["", "0", "bdp", "-1bdp", "ms", "0ms", "1.5", "3s"] {
            assert!(wrong.parse::<Queue>().is_err(), "{wrong}");
        }
    }
}
