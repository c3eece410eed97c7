//! A network interface of the kernel: its properties, and its filter of hardware addresses.
//!
//! The kernel keeps using the interface. Lethe's addresses are not the kernel's, so it does not answer for them,
//! neither by ARP nor by RST. A card passes only frames to its own address and to groups that were joined. So
//! memberships are added here: of the groups of neighbor solicitations for our addresses, and of our hardware address
//! if that is not the card's.

use std::fs;
use std::io;
use std::net::Ipv6Addr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use ipnet::IpNet;
use lethe::wire::ethernet::MacAddress;
use lethe::wire::icmpv6::solicited_node;
use libc::{c_ushort, packet_mreq};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, netdevice, socket_with, sockopt};

use crate::filter::Destinations;
use crate::sys;

/// The longest IP packet of a frame whose length has 16 bits.
const MTU_MAX: i32 = 65_521;

/// Why an interface cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InterfaceError {
    /// No interface of this network namespace has this name.
    #[error("there is no interface {0}: `ip -brief link` lists those that there are")]
    Missing(String),
    /// It is not an Ethernet interface.
    #[error("interface {0} is not an Ethernet interface")]
    NotEthernet(String),
    /// A capability is missing.
    #[error(
        "no permission to use interface {name}: be root, or have root do `setcap {capabilities}+ep` on the program"
    )]
    Denied {
        /// The name of the interface.
        name: String,
        /// The capabilities that are needed, as `setcap` takes them.
        capabilities: &'static str,
    },
    /// It is down.
    #[error("interface {0} is down: `ip link set {0} up`")]
    Down(String),
    /// Another XDP program is attached to it.
    #[error(
        "interface {0} has an XDP program already: `ip link set dev {0} xdp off` removes it, unless another process \
         holds it: `bpftool link` says which"
    )]
    Taken(String),
    /// Another socket is bound to the queue.
    #[error("queue {queue} of interface {name} is in use by another process")]
    Busy {
        /// The name of the interface.
        name: String,
        /// The number of the queue, counted from 0.
        queue: u32,
    },
    /// There is no queue with this number.
    #[error("interface {name} has no queue {queue}: it has {queues}, counted from 0 (`ethtool -l {name}`)")]
    NoQueue {
        /// The name of the interface.
        name: String,
        /// The number that was given.
        queue: u32,
        /// The number of queues.
        queues: u32,
    },
    /// There are more workers than queues.
    #[error("interface {name} has too few receive queues for {workers} workers: {queues} (`ethtool -L {name}`)")]
    FewQueues {
        /// The name of the interface.
        name: String,
        /// The number of workers.
        workers: usize,
        /// The number of queues.
        queues: usize,
    },
    /// The driver does not support zero copy.
    #[error("the driver of interface {0} does not let frames be used in place: leave out `zerocopy`")]
    NoZeroCopy(String),
    /// The buffers exceed the limit of locked memory of the process.
    #[error(
        "the buffers of interface {0} are more memory than this process may lock: be root, or raise the limit with \
         `ulimit -l unlimited` (`LimitMEMLOCK=infinity` in a systemd unit)"
    )]
    Locked(String),
    /// Another error of the kernel.
    #[error("cannot {what} interface {name}")]
    Refused {
        /// The operation, a phrase before the name.
        what: &'static str,
        /// The name of the interface.
        name: String,
        /// The error.
        source: io::Error,
    },
}

/// An interface, and the memberships in its filter, which end when this is dropped.
#[derive(Debug)]
pub(crate) struct Interface {
    /// The socket of requests and memberships. It receives no frames.
    socket: OwnedFd,
    name: String,
    index: u32,
    /// The interface's hardware address.
    own: MacAddress,
    /// The hardware address of our addresses.
    mac: MacAddress,
    mtu: u16,
}

impl Interface {
    /// Opens interface `name`, and makes it pass frames to `destinations`, and to `mac` if that is given.
    pub(crate) fn open(
        name: &str,
        mac: Option<MacAddress>,
        destinations: &Destinations,
        capabilities: &'static str,
    ) -> Result<Self, InterfaceError> {
        // Without a protocol it receives no frames.
        let socket = socket_with(AddressFamily::PACKET, SocketType::RAW, SocketFlags::CLOEXEC, None);
        let socket = socket.map_err(|error| refusal(name, "open", error.into(), capabilities))?;
        let failed = |error: io::Error| refusal(name, "ask about", error, capabilities);
        let index = netdevice::name_to_index(&socket, name).map_err(|error| failed(error.into()))?;
        let own = sys::mac(socket.as_fd(), name).map_err(failed)?;
        let own = MacAddress::new(own.ok_or_else(|| InterfaceError::NotEthernet(name.to_owned()))?);
        let mtu = sys::mtu(socket.as_fd(), name).map_err(failed)?;
        if !sys::is_up(socket.as_fd(), name).map_err(failed)? {
            return Err(InterfaceError::Down(name.to_owned()));
        }
        let mtu = u16::try_from(mtu.clamp(0, MTU_MAX)).unwrap_or(u16::MAX);
        let interface = Self { socket, name: name.to_owned(), index, own, mac: mac.unwrap_or(own), mtu };
        let joined = interface.join(destinations);
        joined.map_err(|error| refusal(name, "receive what is for us on", error, capabilities))?;
        Ok(interface)
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) const fn index(&self) -> u32 {
        self.index
    }

    /// The hardware address of our addresses.
    pub(crate) const fn mac(&self) -> MacAddress {
        self.mac
    }

    /// Whether the kernel would forward packets to our addresses: it forwards, and they are sent to its hardware
    /// address.
    pub(crate) fn is_forwarding(&self) -> bool {
        let is_on = |family: &str| {
            let setting = format!("/proc/sys/net/{family}/conf/{}/forwarding", self.name);
            fs::read_to_string(setting).is_ok_and(|value| value.trim() != "0")
        };
        self.mac == self.own && (is_on("ipv4") || is_on("ipv6"))
    }

    /// The MTU that the interface had when it was opened.
    pub(crate) const fn mtu(&self) -> u16 {
        self.mtu
    }

    /// The number of receive queues.
    pub(crate) fn receive_queues(&self) -> u32 {
        sys::receive_queues(self.socket.as_fd(), &self.name)
    }

    /// Sleeps until one of `sockets` has a frame, a signal comes, or `timeout` has passed.
    ///
    /// # Errors
    ///
    /// The interface was deleted. One that is down is waited for.
    pub(crate) fn wait(&self, sockets: &mut [PollFd<'_>], timeout: Duration) -> io::Result<()> {
        let timeout = Timespec::try_from(timeout).ok();
        match poll(sockets, timeout.as_ref()) {
            Ok(0) => self.check(),
            Ok(_) if sockets.iter().any(|socket| socket.revents().intersects(PollFlags::ERR | PollFlags::HUP)) => {
                for socket in sockets {
                    // Down: a socket reports that once, and works again when the interface is up.
                    let _ = sockopt::socket_error(&*socket);
                }
                self.check()
            }
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Checks that it still exists, perhaps under another name.
    fn check(&self) -> io::Result<()> {
        netdevice::index_to_name_inlined(&self.socket, self.index).map(drop).map_err(|error| match error {
            Errno::NODEV | Errno::NXIO => io::Error::other("the interface is gone"),
            _ => error.into(),
        })
    }

    fn join(&self, destinations: &Destinations) -> io::Result<()> {
        if self.mac != self.own {
            self.add_membership(libc::PACKET_MR_UNICAST as c_ushort, self.mac)?;
        }
        for network in destinations.networks() {
            match network {
                IpNet::V6(net) if net.prefix_len() == net.max_prefix_len() => {
                    self.add_membership(libc::PACKET_MR_MULTICAST as c_ushort, group_mac(solicited_node(net.addr())))?;
                }
                // The addresses of a network have too many groups to join each.
                IpNet::V6(_) => self.add_membership(libc::PACKET_MR_ALLMULTI as c_ushort, self.mac)?,
                IpNet::V4(_) => {}
            }
        }
        Ok(())
    }

    fn add_membership(&self, kind: c_ushort, mac: MacAddress) -> io::Result<()> {
        let mut address = [0; 8];
        address[..6].copy_from_slice(&mac.bytes());
        let membership =
            packet_mreq { mr_ifindex: self.index.cast_signed(), mr_type: kind, mr_alen: 6, mr_address: address };
        sys::set_option(self.socket.as_fd(), libc::SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP, &membership)
    }
}

/// The error for one of the kernel, from an operation on an interface.
pub(crate) fn refusal(name: &str, what: &'static str, error: io::Error, capabilities: &'static str) -> InterfaceError {
    let name = name.to_owned();
    match Errno::from_io_error(&error) {
        Some(Errno::PERM | Errno::ACCESS) => InterfaceError::Denied { name, capabilities },
        Some(Errno::NODEV | Errno::NXIO) => InterfaceError::Missing(name),
        Some(Errno::NETDOWN) => InterfaceError::Down(name),
        _ => InterfaceError::Refused { what, name, source: error },
    }
}

/// Enlarges the send buffer of a socket, as far as that is allowed.
pub(crate) fn widen_send_buffer(socket: BorrowedFd<'_>, bytes: i32) {
    // Beyond the system's limit only with a capability.
    let forced = sys::set_option(socket, libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, &bytes);
    if forced.is_err() {
        let _ = sys::set_option(socket, libc::SOL_SOCKET, libc::SO_SNDBUF, &bytes);
    }
}

/// The hardware address of a group (RFC 2464, section 7).
const fn group_mac(group: Ipv6Addr) -> MacAddress {
    let [.., a, b, c, d] = group.octets();
    MacAddress::new([0x33, 0x33, a, b, c, d])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_says_becomes_advice() {
        let advice = |errno: Errno| refusal("eth0", "open", errno.into(), "cap_net_raw").to_string();
        assert!(advice(Errno::PERM).contains("`setcap cap_net_raw+ep`"));
        assert!(advice(Errno::NODEV).contains("there is no interface eth0"));
        assert!(advice(Errno::NETDOWN).contains("`ip link set eth0 up`"));
        assert_eq!(advice(Errno::NOMEM), "cannot open interface eth0");
    }

    #[test]
    fn a_solicitation_comes_to_the_group_of_the_last_three_bytes() {
        let mac = group_mac(solicited_node("fd09::1234:5678".parse().unwrap()));
        assert_eq!(mac.to_string(), "33:33:ff:34:56:78");
    }
}
