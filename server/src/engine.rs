//! The options of the engine, which every command that runs one has.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use anyhow::{Context, anyhow, bail};
use clap::ValueEnum;
use ipnet::IpNet;
use lethe::config::{Addresses, Config, Mtu, Ports};
use lethe::port::Offload;
use lethe::wire::ethernet::MacAddress;

use crate::secret::Secrets;

/// The smallest MTU that an IPv6 link can have (RFC 8200, section 5).
const IPV6_MTU_MIN: u16 = 1280;

#[derive(clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Engine")]
pub(crate) struct EngineArgs {
    /// Address to answer for, IPv4 or IPv6; repeat it for more, or put commas between them. A prefix
    /// length changes nothing: replies go back the way the packet came
    #[arg(long = "addr", value_name = "IP[/LEN]", required = true, value_delimiter = ',')]
    #[arg(value_parser = parse_address)]
    pub(crate) addresses: Vec<IpAddr>,
    /// TCP port to serve; repeat it for up to 8, or put commas between them
    #[arg(long = "tcp-port", value_name = "PORT", default_value = "80", value_delimiter = ',')]
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) tcp_ports: Vec<u16>,
    /// Hardware address to answer for. Without it, it is that of the interface; where there is none
    /// (TAP, captures) it is 02:4c:65:74:68:65
    #[arg(long, value_parser = parse_mac)]
    pub(crate) mac: Option<MacAddress>,
    /// File with 32 hexadecimal digits, the key of the cookies, in place of a random one. Servers
    /// that share it answer each other's clients, and a restart loses none. Up to two more lines are
    /// keys that are accepted and not given out; what follows a # is a comment
    #[arg(long, value_name = "FILE")]
    pub(crate) secret_file: Option<PathBuf>,
    /// What to do with segments for closed ports and with bad cookies: nothing, or answer with RST
    #[arg(long, value_enum, default_value_t = Refuse::Drop)]
    pub(crate) refuse: Refuse,
    /// How to send a response that does not fit one segment
    #[arg(long, value_enum, value_name = "HOW", default_value_t = LargeReplies::Clocked)]
    pub(crate) large_replies: LargeReplies,
    /// The most segments of a response that are sent in answer to one packet
    #[arg(long, value_name = "SEGMENTS", default_value_t = 10, value_parser = clap::value_parser!(u8).range(2..=64))]
    pub(crate) first_window: u8,
    /// The most segments of a response that are under way at a time; with 32 or fewer, no client's
    /// window is scaled
    #[arg(long, value_name = "SEGMENTS", default_value_t = 512, value_parser = clap::value_parser!(u16).range(2..=512))]
    pub(crate) ceiling: u16,
    /// How many of them are left after a loss, and how fast there are more again
    #[arg(long, value_enum, value_name = "HOW", default_value_t = Congestion::Standard)]
    pub(crate) congestion: Congestion,
    /// Tell a client whose timer has expired that it need not wait longer the next time: an ICMP
    /// message that quotes what it sent again (RFC 6069)
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    pub(crate) revert_backoff: bool,
    /// Keep connections open for more requests, as HTTP/1.1 does: for clients with timestamps and
    /// SACK, behind every response that fits one segment or is stored. Nothing is remembered
    #[arg(long, value_enum, value_name = "ON|OFF", default_value_t = Switch::On)]
    pub(crate) keep_alive: Switch,
    /// Say in responses of one packet when they were made (`Date`). Longer ones cannot: their parts
    /// are made at different times
    #[arg(long)]
    pub(crate) date: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Switch {
    On,
    Off,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum LargeReplies {
    /// By the clock of the client's ACKs where it can be, else as `segments`
    Clocked,
    /// A window at a time, whenever the client sends its request again
    Segments,
    /// One segment in IP fragments, up to 64 kB
    Fragments,
}

impl From<LargeReplies> for lethe::config::LargeReplies {
    fn from(large: LargeReplies) -> Self {
        match large {
            LargeReplies::Clocked => Self::Clocked,
            LargeReplies::Segments => Self::Segments,
            LargeReplies::Fragments => Self::Fragments,
        }
    }
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Congestion {
    /// As a kernel's TCP, so that transfers over the same link get equal shares
    Standard,
    /// Faster where frames get lost without congestion; on a shared link it takes from the others
    Fast,
}

impl From<Congestion> for lethe::config::Congestion {
    fn from(congestion: Congestion) -> Self {
        match congestion {
            Congestion::Standard => Self::Standard,
            Congestion::Fast => Self::Fast,
        }
    }
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Refuse {
    Drop,
    Reset,
}

impl From<Refuse> for lethe::config::Refuse {
    fn from(refuse: Refuse) -> Self {
        match refuse {
            Refuse::Drop => Self::Drop,
            Refuse::Reset => Self::Reset,
        }
    }
}

impl EngineArgs {
    /// The addresses to answer for.
    pub(crate) fn addresses(&self) -> anyhow::Result<Addresses> {
        let mut addresses = Addresses::new();
        for &address in &self.addresses {
            addresses.add(address).with_context(|| format!("--addr {address}"))?;
        }
        Ok(addresses)
    }

    pub(crate) fn ports(&self) -> anyhow::Result<Ports> {
        let (&first, others) = self.tcp_ports.split_first().context("--tcp-port: there is none")?;
        let mut ports = Ports::new(first).context("--tcp-port 0: there is no such port")?;
        for &port in others {
            ports.add(port).with_context(|| format!("--tcp-port {port}"))?;
        }
        Ok(ports)
    }

    /// What the engine is set up with on a link of this MTU, at a card of this hardware address, if it has one.
    pub(crate) fn config(&self, mtu: u16, card: Option<MacAddress>, secrets: &Secrets) -> anyhow::Result<Config> {
        let addresses = self.addresses()?;
        let smallest = if addresses.v6().is_empty() { Mtu::MIN } else { IPV6_MTU_MIN };
        let enough = Mtu::new(mtu).filter(|mtu| mtu.bytes() >= smallest);
        let too_small = || format!("an MTU of {mtu} is too small: these addresses need at least {smallest}");
        Ok(Config {
            mac: self.mac.or(card).unwrap_or(MacAddress::LETHE),
            addresses,
            tcp_ports: self.ports()?,
            mtu: enough.with_context(too_small)?,
            offload: Offload::default(),
            refuse: self.refuse.into(),
            secret: secrets.current,
            former: secrets.former,
            large_replies: self.large_replies.into(),
            first_window: self.first_window,
            ceiling: self.ceiling,
            congestion: self.congestion.into(),
            revert_backoff: self.revert_backoff,
            keep_alive: self.keep_alive == Switch::On,
            date: self.date,
        })
    }
}

fn parse_address(text: &str) -> anyhow::Result<IpAddr> {
    let address = text.parse().or_else(|_| text.parse::<IpNet>().map(|network| network.addr()));
    address.map_err(|_| anyhow!("{}", why_no_address(text)))
}

/// What is wrong with an address that is none, and what was probably meant.
fn why_no_address(text: &str) -> String {
    if let Ok(with_port) = text.parse::<SocketAddr>() {
        let (address, port) = (with_port.ip(), with_port.port());
        return match port {
            0 => format!("there is no port 0, and none belongs here: --addr {address}"),
            80 => format!("a port does not belong here, and 80 is what is served anyway: --addr {address}"),
            _ => format!("the port has an option of its own: --addr {address} --tcp-port {port}"),
        };
    }
    if let Some((_, rest)) = text.split_once("://") {
        let host = rest.split('/').next().unwrap_or_default();
        let host = host.parse().map_or_else(|_| host.to_owned(), |with_port: SocketAddr| with_port.ip().to_string());
        return format!("a URL, where only its address belongs: --addr {}", host.trim_matches(['[', ']']));
    }
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    if let Some(address) = bare.and_then(|bare| bare.parse::<IpAddr>().ok()) {
        return format!("brackets belong into a URL only: --addr {address}");
    }
    if let Some((address, zone)) = text.split_once('%')
        && address.parse::<IpAddr>().is_ok()
    {
        return format!("the interface is named by --device, not by `%{zone}`: --addr {address}");
    }
    match text.split_once('/') {
        Some((address, _)) if address.parse::<Ipv4Addr>().is_ok() => {
            "a prefix length of IPv4 is a number from 0 to 32".to_owned()
        }
        Some((address, _)) if address.parse::<IpAddr>().is_ok() => {
            "a prefix length of IPv6 is a number from 0 to 128".to_owned()
        }
        _ => "neither an address, such as 10.9.0.2, nor one with a prefix length; names are not looked up".to_owned(),
    }
}

fn parse_mac(text: &str) -> anyhow::Result<MacAddress> {
    let mac: MacAddress = text.parse()?;
    if mac.is_group() {
        bail!("this is a group of stations, and cannot be the address of one");
    }
    Ok(mac)
}

#[cfg(test)]
mod tests {
    use lethe::cookie::Secret;

    use super::*;

    #[test]
    fn addresses_come_with_and_without_prefix_length() {
        let parse = |text| parse_address(text).map(|address| address.to_string());
        assert_eq!(parse("10.9.0.2").unwrap(), "10.9.0.2");
        assert_eq!(parse("10.9.0.2/24").unwrap(), "10.9.0.2");
        assert_eq!(parse("fd09::2/64").unwrap(), "fd09::2");
        for wrong in ["", "10.9.0", "10.9.0/24", "lethe.example"] {
            let error = parse(wrong).unwrap_err().to_string();
            let expect = "neither an address, such as 10.9.0.2, nor one with a prefix length; names are not looked up";
            assert_eq!(error, expect, "{wrong}");
        }
    }

    #[test]
    fn what_was_meant_by_a_wrong_address_is_said() {
        for (wrong, meant) in [
            ("10.9.0.2:80", "a port does not belong here, and 80 is what is served anyway: --addr 10.9.0.2"),
            ("10.9.0.2:8080", "the port has an option of its own: --addr 10.9.0.2 --tcp-port 8080"),
            ("[fd09::2]:8080", "the port has an option of its own: --addr fd09::2 --tcp-port 8080"),
            ("10.9.0.2:0", "there is no port 0, and none belongs here: --addr 10.9.0.2"),
            ("http://10.9.0.2/", "a URL, where only its address belongs: --addr 10.9.0.2"),
            ("https://[fd09::2]:81/a", "a URL, where only its address belongs: --addr fd09::2"),
            ("http://[fd09::2]", "a URL, where only its address belongs: --addr fd09::2"),
            ("[fd09::2]", "brackets belong into a URL only: --addr fd09::2"),
            ("fe80::1%eth0", "the interface is named by --device, not by `%eth0`: --addr fe80::1"),
            ("10.9.0.2/33", "a prefix length of IPv4 is a number from 0 to 32"),
            ("10.9.0.2/", "a prefix length of IPv4 is a number from 0 to 32"),
            ("fd09::2/129", "a prefix length of IPv6 is a number from 0 to 128"),
        ] {
            assert_eq!(parse_address(wrong).unwrap_err().to_string(), meant, "{wrong}");
        }
    }

    #[test]
    fn a_hardware_address_is_that_of_one_station() {
        assert!(parse_mac("02:4c:65:74:68:65").is_ok());
        assert!(parse_mac("02:4c").unwrap_err().to_string().contains("six pairs"));
        assert!(parse_mac("ff:ff:ff:ff:ff:ff").unwrap_err().to_string().contains("group of stations"));
    }

    /// The configuration for these addresses, or why there is none.
    fn check(addresses: &[&str], mtu: u16, expect: Result<(), &str>) {
        let args = EngineArgs {
            addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
            tcp_ports: vec![80],
            mac: None,
            secret_file: None,
            refuse: Refuse::Drop,
            large_replies: LargeReplies::Clocked,
            first_window: 10,
            ceiling: 512,
            congestion: Congestion::Standard,
            revert_backoff: true,
            keep_alive: Switch::Off,
            date: false,
        };
        let config = args.config(mtu, None, &Secret::new([0; 16]).into());
        let result = config.map(drop).map_err(|error| format!("{error:#}"));
        assert_eq!(result.as_ref().copied().map_err(String::as_str), expect);
    }

    #[test]
    fn a_configuration_needs_addresses_of_hosts_and_a_link_that_takes_them() {
        check(&["10.9.0.2", "fd09::2"], 1280, Ok(()));
        check(&["10.9.0.2"], 576, Ok(()));
        check(&["10.9.0.2"], 575, Err("an MTU of 575 is too small: these addresses need at least 576"));
        check(&["fd09::2"], 1279, Err("an MTU of 1279 is too small: these addresses need at least 1280"));
        check(&["224.0.0.1"], 1500, Err("--addr 224.0.0.1: 224.0.0.1 is not an address that a server can have"));
        check(&["10.0.0.1"; 9], 1500, Err("--addr 10.0.0.1: more than 8 addresses of one family"));
    }
}
