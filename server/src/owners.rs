//! Others who answer for an address of ours: the kernel, or another server on the same interface. A client then gets
//! two answers, of which one is a reset, or each of its packets is answered twice.
//!
//! Servers know of each other by the names of sockets that nothing is sent to: one for each address, in the abstract
//! namespace, which is that of the network namespace (`unix(7)`), and which the kernel lists in `/proc/net/unix`.

use std::fmt;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::process;

use nix::ifaddrs::getifaddrs;
use nix::net::if_::if_nametoindex;
use nix::sys::socket::SockaddrStorage;

use crate::message::warn;

/// What the names of all such sockets begin with.
const PREFIX: &str = "lethe/serve/";

/// How an interface is served.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Share {
    /// All frames for an address.
    All,
    /// Those that the kernel gives to one of a group, by flow.
    #[cfg_attr(not(any(feature = "interfaces", test)), expect(dead_code, reason = "no device is shared"))]
    Fanout(u16),
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Fanout(group) => write!(f, "fanout={group}"),
        }
    }
}

/// Warns of addresses that the kernel has as well.
pub(crate) fn warn_of_kernel(addresses: &[IpAddr]) {
    // Where the kernel does not tell, nothing is known.
    for interface in getifaddrs().into_iter().flatten() {
        let Some(address) = interface.address.as_ref().and_then(ip) else { continue };
        if addresses.contains(&address) {
            let name = &interface.interface_name;
            warn(format_args!(
                "the kernel has {address} too, on {name}, and answers for it as well: clients will see connections \
                 reset. Take it away (`ip address del {address} dev {name}`), or give another --addr"
            ));
        }
    }
}

fn ip(address: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
    v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
}

/// What others see of this server, as long as it is not dropped.
pub(crate) struct Claim {
    _names: Vec<UnixListener>,
}

impl Claim {
    /// Has others know that these addresses are served on an interface, and warns of those who do so already.
    pub(crate) fn new(interface: &str, addresses: &[IpAddr], share: Share) -> Self {
        let Ok(index) = if_nametoindex(interface) else { return Self { _names: Vec::new() } };
        let sockets = fs::read_to_string("/proc/net/unix").unwrap_or_default();
        let others = others(&sockets, index, addresses, share);
        if let Some((address, pid)) = others.first() {
            let more = if others.len() > 1 { " and more" } else { "" };
            warn(format_args!(
                "process {pid} serves {address}{more} on {interface} already, and each packet will be answered twice: \
                 stop it, give another --addr, or have both share the interface (packet:{interface},fanout=1 and one \
                 --secret-file)"
            ));
        }
        let name = |address: &IpAddr| {
            let name = format!("{PREFIX}{index}/{address}/{share}/{}", process::id());
            SocketAddr::from_abstract_name(name).and_then(|name| UnixListener::bind_addr(&name))
        };
        // A server that others do not see serves all the same.
        Self { _names: addresses.iter().map(name).filter_map(io::Result::ok).collect() }
    }
}

/// Of all sockets, those of servers that do not share: address and process.
fn others<'a>(sockets: &'a str, index: u32, addresses: &[IpAddr], share: Share) -> Vec<(IpAddr, &'a str)> {
    let of_other = |line: &'a str| {
        let (_, name) = line.split_once(&format!("@{PREFIX}{index}/"))?;
        let mut parts = name.split('/');
        let (address, other, pid) = (parts.next()?.parse().ok()?, parts.next()?, parts.next()?);
        let is_shared = share != Share::All && other == share.to_string();
        (addresses.contains(&address) && !is_shared).then_some((address, pid))
    };
    sockets.lines().filter_map(of_other).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_are_those_with_the_same_interface_and_address_who_do_not_share() {
        let sockets = "Num       RefCount Protocol Flags    Type St Inode Path\n\
            0000000000000000: 00000002 00000000 00010000 0001 01 1 @lethe/serve/3/10.9.0.2/fanout=7/41\n\
            0000000000000000: 00000002 00000000 00010000 0001 01 2 @lethe/serve/3/fd09::2/all/42\n\
            0000000000000000: 00000002 00000000 00010000 0001 01 3 @lethe/serve/33/10.9.0.2/all/43\n\
            0000000000000000: 00000002 00000000 00010000 0001 01 4 /run/lethe/metrics.sock\n";
        let pids = |addresses: &[&str], share| {
            let addresses: Vec<IpAddr> = addresses.iter().map(|text| text.parse().unwrap()).collect();
            others(sockets, 3, &addresses, share).into_iter().map(|(_, pid)| pid).collect::<Vec<_>>()
        };
        assert_eq!(pids(&["10.9.0.2", "fd09::2"], Share::All), ["41", "42"]);
        assert_eq!(pids(&["10.9.0.2", "fd09::2"], Share::Fanout(7)), ["42"]);
        assert_eq!(pids(&["10.9.0.2"], Share::Fanout(8)), ["41"]);
        assert_eq!(pids(&["10.9.0.3"], Share::All), [""; 0]);
    }
}
