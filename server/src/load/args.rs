//! What `lethe load` is told.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow, bail, ensure};
use clap::ValueEnum;
use ipnet::IpNet;
use lethe::wire::ethernet::MacAddress;
use lethe_load::{Compare, Flood, FloodKind, KeepAlive, Plan, Settings, Slow};

use crate::device::Device;
use crate::dpdk_args::DpdkArgs;

/// Where floods come from, if nothing is said: networks for measurements (RFC 2544, RFC 5180).
const FLOOD_FROM: [&str; 2] = ["198.18.0.0/15", "2001:2::/48"];

#[derive(clap::Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Args {
    /// Device that the clients are behind, as `{name} serve` has it: packet:IFACE, xdp:IFACE, tap:NAME or
    /// dpdk:PORT{own}
    #[arg(long, value_name = "DEVICE")]
    pub(super) device: Device,
    /// Network whose addresses are the clients'; repeat it for more. The server's own addresses in it are left out
    #[arg(long, value_name = "IP/LEN", required = true, value_parser = parse_network)]
    pub(super) from: Vec<IpNet>,
    /// Server to ask, at most one of each family
    #[arg(long, value_name = "IP[:PORT]", required = true, value_parser = parse_server)]
    pub(super) to: Vec<SocketAddr>,
    /// Router on the way to the server, if that is not on the same link
    #[arg(long, value_name = "IP")]
    gateway: Vec<IpAddr>,
    /// Hardware address of the clients; that of the interface, if nothing is said
    #[arg(long)]
    pub(super) mac: Option<MacAddress>,
    /// User to run as once the device is open, when started as root
    #[arg(long, value_name = "NAME", default_value = "nobody")]
    pub(crate) user: String,

    /// What to ask for; repeat it to ask for several, in turns
    #[arg(long, value_name = "PATH", default_value = "/", help_heading = "Requests")]
    path: Vec<String>,
    /// Name of the server in the requests; its address, if nothing is said
    #[arg(long, value_name = "NAME", help_heading = "Requests")]
    host: Option<String>,
    /// File with the body that must come. Otherwise it must be that of the first reply for the same path
    #[arg(long, value_name = "FILE", help_heading = "Requests")]
    expect: Option<PathBuf>,
    /// What of a reply must be as in the first one for the same path
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = CompareWhat::Body, help_heading = "Requests")]
    pub(super) compare: CompareWhat,

    /// Connections that begin in a second, whatever the server does: 500, 20k. With --open, the most that begin, and
    /// then ask
    #[arg(long, value_name = "N[/s]", value_parser = parse_rate, help_heading = "Load")]
    rate: Option<f64>,
    /// Connections that are all opened, held open, and then ask: 50k, 10M
    #[arg(long, value_name = "N", value_parser = parse_count, help_heading = "Load")]
    open: Option<u32>,
    /// How long connections begin at a rate, or are held open
    #[arg(long = "for", value_name = "TIME", default_value = "10s", help_heading = "Load")]
    #[arg(value_parser = humantime::parse_duration)]
    pub(super) duration: Duration,
    /// How long an answer is waited for
    #[arg(long, value_name = "TIME", default_value = "10s", help_heading = "Load")]
    #[arg(value_parser = humantime::parse_duration)]
    timeout: Duration,
    /// The most SYNs, and then requests, that wait for an answer with --open
    #[arg(long, value_name = "N", default_value = "1024", value_parser = parse_count, help_heading = "Load")]
    in_flight: u32,
    /// Keep connections open, for N requests each. Without N: for as many as the server answers on one, and with
    /// --open, for as many as there is time for
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "0", help_heading = "Load")]
    #[arg(value_parser = parse_requests)]
    keep_alive: Option<u32>,
    /// Requests in a segment, where connections are kept open
    #[arg(long, value_name = "N", default_value = "1", requires = "keep_alive", help_heading = "Load")]
    #[arg(value_parser = parse_count)]
    pipeline: u32,
    /// How long all connections of --open are idle before their next request
    #[arg(long, value_name = "TIME", default_value = "0s", requires = "keep_alive", help_heading = "Load")]
    #[arg(value_parser = humantime::parse_duration)]
    think: Duration,
    /// Clients that take their time, beside the others: idle=N say nothing, drip=N send a byte a second, window=N read
    /// 536 bytes at a time
    #[arg(long, value_name = "KIND=N", value_parser = parse_slow, help_heading = "Load")]
    slow: Vec<(Slow, u32)>,
    /// Frames with forged sources, beside the clients, at a rate or as many as can be sent: syn, ack, garbage
    #[arg(long, value_name = "KIND[=N/s]", value_parser = parse_flood, help_heading = "Load")]
    flood: Vec<Flood>,
    /// Network that floods say they come from; those for measurements (RFC 2544, RFC 5180), if nothing is said
    #[arg(long, value_name = "IP/LEN", value_parser = parse_network, help_heading = "Load")]
    flood_from: Vec<IpNet>,

    /// MSS to announce; what fits the MTU, if nothing is said
    #[arg(long, value_name = "BYTES", help_heading = "TCP")]
    mss: Option<u16>,
    /// Offer no timestamps
    #[arg(long, help_heading = "TCP")]
    no_timestamps: bool,
    /// Number that initial sequence numbers and floods are made from; a random one, if nothing is said
    #[arg(long, value_name = "N", help_heading = "TCP")]
    seed: Option<u64>,

    /// Print the result as JSON
    #[arg(long, help_heading = "Output")]
    pub(super) json: bool,
    /// Print no line every second
    #[arg(long, help_heading = "Output")]
    pub(super) quiet: bool,
    /// Process of the server on this machine, to tell what memory it has
    #[arg(long, value_name = "PID", help_heading = "Output")]
    pub(super) watch: Option<u32>,
    #[command(flatten)]
    pub(crate) dpdk: DpdkArgs,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum CompareWhat {
    /// Status and body; header fields may change: times, cookies, numbers of requests
    Body,
    /// Every byte but those of the field Date
    All,
}

const EXAMPLE: &str = "\
The addresses of --from must not be in use, and the server must find the way back: the network is on its link, or it \
has a route by one of these addresses. Latency counts from when a connection was to begin, not from when it could. \
Ctrl-C ends it and prints the result so far. \
The exit code is 1 when a reply was wrong; a request without a reply is a figure of the result.

Example:
  {name} load --device packet:eth1 --from 10.0.0.0/8 --to 10.9.0.2 --path /8.8.8.8 --rate 20k --for 30s
  {name} load --device packet:eth1 --from 10.0.0.0/8 --from fd00::/64 --to 10.9.0.2 --to '[fd09::2]:80' --open 1M
  {name} load --device packet:eth1 --from 10.0.0.0/8 --to 10.9.0.2 --path /8.8.8.8 --open 100 --keep-alive --for 10s
  {name} load --device packet:eth1 --from 10.0.0.0/8 --to 10.9.0.2 --open 1M --keep-alive 3 --think 60s --for 0s
  {name} load --device packet:eth1 --from 10.0.0.0/8 --to 10.9.0.2 --rate 1k --flood syn --slow drip=1000 --json";

impl Args {
    /// What the clients do behind a port of this MTU.
    pub(super) fn settings(&self, mtu: u16, mac: MacAddress) -> anyhow::Result<Settings> {
        let expect = |file: &PathBuf| fs::read(file).with_context(|| format!("--expect {}", file.display()));
        let flood_from = if self.flood_from.is_empty() {
            FLOOD_FROM.iter().map(|text| text.parse()).collect::<Result<_, _>>()?
        } else {
            self.flood_from.clone()
        };
        Ok(Settings {
            mac,
            mtu,
            from: self.from.clone(),
            to: self.to.clone(),
            gateways: self.gateway.clone(),
            paths: self.path.clone(),
            host: self.host.clone(),
            expect: self.expect.as_ref().map(expect).transpose()?,
            compare: match self.compare {
                CompareWhat::Body => Compare::Body,
                CompareWhat::All => Compare::All,
            },
            plan: self.plan()?,
            keep_alive: self.keep_alive(),
            timeout: self.timeout,
            mss: self.mss,
            timestamps: !self.no_timestamps,
            window: self.in_flight,
            slow: self.slow.clone(),
            floods: self.flood.clone(),
            flood_from,
            seed: self.seed.map_or_else(getrandom::u64, Ok).context("no randomness")?,
        })
    }

    /// How connections stay open; 0 requests are as many as there can be.
    pub(super) fn keep_alive(&self) -> Option<KeepAlive> {
        let requests = Some(self.keep_alive?).filter(|&requests| requests > 0);
        Some(KeepAlive { requests, pipeline: self.pipeline, think: self.think })
    }

    pub(super) fn plan(&self) -> anyhow::Result<Plan> {
        match (self.open, self.rate) {
            (Some(connections), per_second) => Ok(Plan::Open { connections, per_second, hold: self.duration }),
            (None, Some(per_second)) => Ok(Plan::Rate { per_second, duration: self.duration }),
            (None, None) if !self.flood.is_empty() || !self.slow.is_empty() => {
                Ok(Plan::Rate { per_second: 0.0, duration: self.duration })
            }
            (None, None) => bail!("what is to be done? --rate 1000 for requests, --open 100k for connections"),
        }
    }
}

fn parse_server(text: &str) -> anyhow::Result<SocketAddr> {
    if let Some((_, rest)) = text.split_once("://") {
        let (host, path) = rest.find('/').map_or((rest, "/"), |slash| rest.split_at(slash));
        bail!("a URL, which goes into two options: --to {host} --path {path}");
    }
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = text.parse().or_else(|_| bare.parse::<IpAddr>().map(|address| SocketAddr::new(address, 80)));
    let address = address.map_err(|_| {
        anyhow!(
            "want an address, with or without port, as in 10.9.0.2, 10.9.0.2:8080 or [fd09::2]:80; names are not \
             looked up"
        )
    })?;
    ensure!(address.port() != 0, "there is no port 0: leave it out for 80");
    Ok(address)
}

fn parse_network(text: &str) -> anyhow::Result<IpNet> {
    if let Ok(address) = text.parse::<IpAddr>() {
        bail!("want a network, as in 10.0.0.0/8; of one address it is {}", IpNet::from(address));
    }
    text.parse().map_err(|_| anyhow!("want a network, as in 10.0.0.0/8 or fd00::/64"))
}

/// A number, with k or M behind it or without.
fn parse_number(text: &str) -> Option<f64> {
    let (digits, unit) = match text.strip_suffix(['k', 'K']) {
        Some(digits) => (digits, 1e3),
        None => text.strip_suffix('M').map_or((text, 1.0), |digits| (digits, 1e6)),
    };
    let number = digits
        .parse::<f64>()
        .ok()
        .filter(|number| digits.starts_with(|c: char| c.is_ascii_digit()) && number.is_finite())?;
    Some(number * unit)
}

fn parse_rate(text: &str) -> anyhow::Result<f64> {
    let number = parse_number(text.strip_suffix("/s").unwrap_or(text));
    number.filter(|&rate| rate > 0.0).context("want a number a second, as in 500, 20k or 1.5M/s")
}

fn parse_count(text: &str) -> anyhow::Result<u32> {
    let number =
        parse_number(text).filter(|&number| number >= 1.0 && number <= f64::from(u32::MAX) && number.fract() == 0.0);
    #[expect(clippy::cast_sign_loss, reason = "it is within bounds")]
    number.map(|number| number as u32).context("want a number, as in 500, 50k or 10M")
}

/// A number of requests on a connection; 0 for no limit.
fn parse_requests(text: &str) -> anyhow::Result<u32> {
    if text == "0" { Ok(0) } else { parse_count(text) }
}

fn parse_slow(text: &str) -> anyhow::Result<(Slow, u32)> {
    let (kind, count) = text.split_once('=').context("want KIND=N, as in idle=1000")?;
    let kinds = [Slow::Idle, Slow::Drip, Slow::Window];
    let kind = kinds.into_iter().find(|known| known.name() == kind);
    let kind = kind.context("there are these slow clients: idle, drip, window")?;
    Ok((kind, parse_count(count)?))
}

fn parse_flood(text: &str) -> anyhow::Result<Flood> {
    let (kind, rate) = text.split_once('=').map_or((text, None), |(kind, rate)| (kind, Some(rate)));
    let kinds = [FloodKind::Syn, FloodKind::Ack, FloodKind::Garbage];
    let kind = kinds.into_iter().find(|known| known.name() == kind);
    ensure!(kind.is_some(), "there are these floods: syn, ack, garbage; as in syn or syn=100k/s");
    let per_second = rate.map(parse_rate).transpose()?;
    Ok(Flood { kind: kind.context("it is known")?, per_second })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_people_write_them() {
        for (text, expect) in [("500", 500.0), ("20k", 20e3), ("1.5M/s", 1.5e6), ("0.5/s", 0.5)] {
            assert!((parse_rate(text).unwrap() - expect).abs() < 1e-6, "{text}");
        }
        for text in ["", "k", "-1", "inf", "0", "1G", "20 k", "/s", "nan"] {
            assert!(parse_rate(text).is_err(), "{text}");
        }
        assert_eq!(parse_count("10M").unwrap(), 10_000_000);
        for text in ["0", "1.5", "5000M", "x"] {
            assert!(parse_count(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_server_has_a_port_that_need_not_be_said() {
        for (text, expect) in [
            ("10.9.0.2", "10.9.0.2:80"),
            ("10.9.0.2:8080", "10.9.0.2:8080"),
            ("fd09::2", "[fd09::2]:80"),
            ("[fd09::2]", "[fd09::2]:80"),
            ("[fd09::2]:81", "[fd09::2]:81"),
        ] {
            assert_eq!(parse_server(text).unwrap().to_string(), expect);
        }
        for (wrong, expect) in [
            ("example.org", "as in 10.9.0.2"),
            ("http://10.9.0.2:81/a", "two options: --to 10.9.0.2:81 --path /a"),
            ("http://10.9.0.2", "two options: --to 10.9.0.2 --path /"),
            ("10.9.0.2:0", "there is no port 0"),
        ] {
            let error = parse_server(wrong).unwrap_err().to_string();
            assert!(error.contains(expect), "{wrong}: {error}");
        }
        assert!(parse_network("10.0.0.1").unwrap_err().to_string().contains("of one address it is 10.0.0.1/32"));
        assert!(parse_network("10.0.0.0/33").unwrap_err().to_string().contains("as in 10.0.0.0/8"));
    }

    #[test]
    fn floods_and_slow_clients_are_told_by_name_and_number() {
        assert_eq!(parse_flood("syn").unwrap(), Flood { kind: FloodKind::Syn, per_second: None });
        assert_eq!(parse_flood("ack=10k/s").unwrap(), Flood { kind: FloodKind::Ack, per_second: Some(10e3) });
        assert!(parse_flood("udp").unwrap_err().to_string().contains("syn, ack, garbage"));
        assert_eq!(parse_slow("drip=1k").unwrap(), (Slow::Drip, 1000));
        assert!(parse_slow("drip").is_err());
        assert!(parse_slow("nap=1").unwrap_err().to_string().contains("idle, drip, window"));
    }
}
