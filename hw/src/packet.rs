//! A port that shares an interface with the kernel: an `AF_PACKET` socket.
//!
//! It works with every interface and driver. The kernel copies each received frame into a ring, and each sent one out
//! of a buffer. It processes every received frame itself as well, and silently drops those to addresses that are not
//! its own, as long as it does not forward.
//!
//! Sent frames have a virtio-net header ([`lethe::vnet`]): the kernel computes TCP checksums, and cuts frames of two
//! segments, or has the card do both. Where they stay on this machine neither is done.

mod batch;
mod ring;

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use lethe::port::{Checked, Offload, Port, RxChecksum, RxFrame, RxQueue, Transmit, TxFrame, TxQueue};
use lethe::vnet;
use lethe::wire::ethernet::MacAddress;
use libc::{SOL_PACKET, c_ushort, sock_fprog, tpacket_stats};
use rustix::event::{PollFd, PollFlags};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, recv, socket_with};

use crate::filter::{Destinations, classic, rules};
use crate::interface::{Interface, InterfaceError, refusal, widen_send_buffer};
use crate::sys;
use batch::Batch;
use ring::{Ring, behind_tag, room_for_any, with_tag};

/// The capability that is needed, as `setcap` takes it.
const CAPABILITIES: &str = "cap_net_raw";

/// The send buffer of the socket, in bytes: some thousand of the largest Ethernet frames.
const SEND_BUFFER: i32 = 4 << 20;

/// The interface, and how it is opened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PacketConfig {
    /// The name of the interface.
    pub interface: String,
    /// The fanout group: processes with the same number share the frames of the interface, by flow.
    pub fanout: Option<u16>,
}

/// An interface that is shared with the kernel.
pub struct PacketPort {
    interface: Interface,
    socket: OwnedFd,
    /// The socket that sends: its frames have a virtio-net header, which those in the ring would have as well.
    sender: OwnedFd,
    ring: Ring,
    /// Buffer of a frame that is longer than a slot of the ring.
    long: Box<[u8]>,
    batch: Batch,
    missed: u64,
}

impl PacketPort {
    /// Opens an interface for frames to `destinations`, with the interface's hardware address or `mac`.
    ///
    /// # Errors
    ///
    /// No such interface, no permission, or an error of the kernel.
    pub fn open(
        config: &PacketConfig,
        mac: Option<MacAddress>,
        destinations: impl Into<Destinations>,
    ) -> Result<Self, InterfaceError> {
        let destinations = &destinations.into();
        let name = &config.interface;
        let interface = Interface::open(name, mac, destinations, CAPABILITIES)?;
        let (socket, ring) = open_socket(&interface, config, destinations)
            .map_err(|error| refusal(name, "receive from", error, CAPABILITIES))?;
        let sender = open_sender(&interface).map_err(|error| refusal(name, "send to", error, CAPABILITIES))?;
        widen_send_buffer(sender.as_fd(), SEND_BUFFER);
        let batch = Batch::new(interface.mtu());
        Ok(Self { interface, socket, sender, ring, long: room_for_any(), batch, missed: 0 })
    }

    /// Whether the kernel would forward packets to our addresses.
    pub fn is_forwarded(&self) -> bool {
        self.interface.is_forwarding()
    }
}

impl Port for PacketPort {
    type Error = io::Error;

    fn name(&self) -> impl fmt::Display {
        format!("packet {}", self.interface.name())
    }

    /// The MTU that the interface had when it was opened.
    fn mtu(&self) -> u16 {
        self.interface.mtu()
    }

    /// The hardware address of our addresses.
    fn mac(&self) -> Option<MacAddress> {
        Some(self.interface.mac())
    }

    /// The kernel computes TCP checksums and cuts frames of two segments.
    fn offload(&self) -> Offload {
        vnet::OFFLOAD
    }

    fn queues(&mut self) -> (impl RxQueue, impl TxQueue) {
        let rx = Rx { socket: self.socket.as_fd(), ring: &mut self.ring, long: &mut self.long };
        (rx, Tx { socket: self.sender.as_fd(), batch: &mut self.batch })
    }

    /// Frames that were dropped because the ring was full.
    fn missed(&mut self) -> Option<u64> {
        // The kernel resets its counter when it is read.
        let none = tpacket_stats { tp_packets: 0, tp_drops: 0 };
        let counted = sys::option(self.socket.as_fd(), SOL_PACKET, libc::PACKET_STATISTICS, none).ok()?;
        self.missed += u64::from(counted.tp_drops);
        Some(self.missed)
    }

    /// The interface was deleted. One that is down is waited for.
    fn wait(&mut self, timeout: Duration) -> io::Result<()> {
        self.interface.wait(&mut [PollFd::new(&self.socket, PollFlags::IN)], timeout)
    }
}

/// The receive queue of a [`PacketPort`].
struct Rx<'a> {
    socket: BorrowedFd<'a>,
    ring: &'a mut Ring,
    long: &'a mut [u8],
}

impl RxQueue for Rx<'_> {
    fn receive(&mut self) -> Option<RxFrame<'_>> {
        let slot = self.ring.next()?;
        let (is_cut, tag) = (slot.is_cut(), slot.tag());
        let transport = if slot.is_verified() { Checked::Good } else { Checked::Unknown };
        let mut room = slot.frame();
        // GRO, or a sender on this machine with TSO, has merged several segments. The whole frame is in the socket's
        // queue; without it the engine finds the frame truncated.
        if is_cut {
            let whole = recv(self.socket, behind_tag(self.long), RecvFlags::DONTWAIT);
            if let Ok((len, _)) = whole {
                room = self.long.get_mut(..ring::TAG_LEN + len).unwrap_or_default();
            }
        }
        // The kernel does not verify the checksum of the IP header; checking it costs little.
        let checksum = RxChecksum { network: Checked::Unknown, transport };
        Some(RxFrame { bytes: with_tag(room, tag), checksum })
    }
}

/// The transmit queue of a [`PacketPort`].
struct Tx<'a> {
    socket: BorrowedFd<'a>,
    batch: &'a mut Batch,
}

impl TxQueue for Tx<'_> {
    fn transmit(&mut self, write: impl FnOnce(&mut [u8]) -> Option<TxFrame>) -> Transmit {
        self.batch.push(self.socket, write)
    }

    fn flush(&mut self) {
        self.batch.send(self.socket);
    }
}

/// A socket with a ring that receives frames to `destinations`, and none that are sent from here.
fn open_socket(
    interface: &Interface,
    config: &PacketConfig,
    destinations: &Destinations,
) -> io::Result<(OwnedFd, Ring)> {
    // Without a protocol it receives no frames yet.
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::PACKET, SocketType::RAW, flags, None)?;
    let ring = Ring::new(socket.as_fd(), interface.mtu())?;
    attach_filter(socket.as_fd(), destinations)?;
    // Neither frames that the kernel sends, nor our own.
    sys::set_option(socket.as_fd(), SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, &1i32)?;
    sys::bind_packet(socket.as_fd(), interface.index(), libc::ETH_P_ALL as c_ushort)?;
    if let Some(group) = config.fanout {
        let hash = libc::PACKET_FANOUT_HASH;
        sys::set_option(socket.as_fd(), SOL_PACKET, libc::PACKET_FANOUT, &(u32::from(group) | hash << 16))?;
    }
    Ok((socket, ring))
}

/// A socket that sends frames behind virtio-net headers, and receives none: it has no protocol.
fn open_sender(interface: &Interface) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::PACKET, SocketType::RAW, flags, None)?;
    sys::set_option(socket.as_fd(), SOL_PACKET, libc::PACKET_VNET_HDR, &1i32)?;
    sys::bind_packet(socket.as_fd(), interface.index(), 0)?;
    Ok(socket)
}

fn attach_filter(socket: BorrowedFd<'_>, destinations: &Destinations) -> io::Result<()> {
    let mut program = classic(&rules(destinations));
    let program = sock_fprog { len: program.len() as c_ushort, filter: program.as_mut_ptr() };
    sys::set_option(socket, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program)
}
