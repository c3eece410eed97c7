//! A port that shares an interface with the kernel: an `AF_PACKET` socket.
//!
//! It works with every interface and driver. The kernel copies each received frame into a ring, and each sent one out
//! of a buffer. Since Linux 6.6 a program behind the socket drops received frames for us, if it may be attached.
//! Without it the kernel processes each of them as well, and silently drops those to addresses that are not its own, as
//! long as it does not forward.
//!
//! Sent frames have a virtio-net header ([`lethe::vnet`]): the kernel computes TCP checksums, and cuts frames of two
//! segments, or has the card do both. Where they stay on this machine neither is done.

mod batch;
mod ring;

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use std::time::Duration;

use lethe::port::{Checked, LeftOutFrames, Offload, Port, RxChecksum, RxFrame, RxQueue, Transmit, TxFrame, TxQueue};
use lethe::vnet;
use lethe::wire::ethernet::MacAddress;
use libc::{SOL_PACKET, c_ushort, sock_fprog, tpacket_stats};
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::SockaddrStorage;
use rustix::event::{PollFd, PollFlags};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, recv, socket_with};

use crate::bpf::{self, Count, Hook, LeftOut, program};
use crate::filter::{Destinations, classic, rules};
use crate::interface::{Interface, InterfaceError, refusal, widen_send_buffer};
use crate::sys;
use batch::Batch;
use ring::{Ring, behind_tag, room_for_any, with_tag};

/// The capability that is needed, as `setcap` takes it.
const CAPABILITIES: &str = "cap_net_raw";

/// The send buffer of the socket, in bytes: some thousand of the largest Ethernet frames.
const SEND_BUFFER: i32 = 4 << 20;

/// The program that drops frames behind the socket, loaded into the kernel, for its test.
#[doc(hidden)]
#[derive(Debug)]
pub struct DroppingProgram(OwnedFd);

impl DroppingProgram {
    /// Loads the program for frames to `destinations`.
    ///
    /// # Errors
    ///
    /// No permission, or the kernel refuses the program.
    pub fn load(destinations: &Destinations) -> io::Result<Self> {
        bpf::load(&program::drop(destinations), Hook::Ingress).map(Self)
    }

    /// Whether the program drops a frame. To the kernel, one with a destination of six zeros is for the interface.
    ///
    /// # Errors
    ///
    /// The kernel does not run it.
    pub fn drops(&self, frame: &[u8]) -> io::Result<bool> {
        bpf::run(self.0.as_fd(), frame).map(|verdict| verdict.cast_signed() == program::TCX_DROP)
    }
}

/// The filter of a socket that counts bare ACKs, on a socket of its own, for its test.
#[doc(hidden)]
#[derive(Debug)]
pub struct ReceivingProgram {
    from: UnixDatagram,
    to: UnixDatagram,
    left_out: LeftOut,
}

impl ReceivingProgram {
    /// Attaches the filter for frames to `destinations`, which leaves out bare ACKs to `mac`.
    ///
    /// # Errors
    ///
    /// No permission, or the kernel refuses the program.
    pub fn load(destinations: &Destinations, mac: MacAddress) -> io::Result<Self> {
        let (from, to) = UnixDatagram::pair()?;
        to.set_nonblocking(true)?;
        let left_out = leave_out_acks(to.as_fd(), destinations, mac)?;
        Ok(Self { from, to, left_out })
    }

    /// Whether bare ACKs with options are wanted.
    pub fn receive_acks(&self, wanted: bool) {
        self.left_out.set_wanted(wanted);
    }

    /// Whether the filter takes a frame, and counts it as left out.
    ///
    /// # Errors
    ///
    /// The frame cannot be sent.
    pub fn takes(&self, frame: &[u8]) -> io::Result<(bool, bool)> {
        let [before, _] = self.left_out.counted();
        self.from.send(frame)?;
        let is_taken = self.to.recv(&mut [0; 2048]).is_ok();
        Ok((is_taken, self.left_out.counted()[0] != before))
    }
}

/// The interface, and how it is opened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PacketConfig {
    /// The name of the interface.
    pub interface: String,
    /// The fanout group: processes with the same number share the frames of the interface, by flow.
    pub fanout: Option<u16>,
    /// Whether all bare ACKs are received, also those that the engine would only absorb.
    pub acks: bool,
}

/// The group of sockets that share the frames of an interface.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fanout {
    /// None: the socket receives all.
    None,
    /// One of this number, which other processes may join.
    Numbered(u16),
    /// One of this process, whose number the kernel chooses. A socket whose ring is full leaves frames to the others.
    New,
    /// The one that the kernel has said this of.
    Joined(u32),
}

impl Fanout {
    fn of(config: &PacketConfig) -> Self {
        config.fanout.map_or(Self::None, Self::Numbered)
    }

    /// What the kernel is told: a number of 16 bits, and above it how frames are shared.
    fn argument(self) -> Option<u32> {
        let hash = libc::PACKET_FANOUT_HASH << 16;
        match self {
            Self::None => None,
            Self::Numbered(group) => Some(u32::from(group) | hash),
            Self::New => Some(hash | (libc::PACKET_FANOUT_FLAG_ROLLOVER | PACKET_FANOUT_FLAG_UNIQUEID) << 16),
            Self::Joined(argument) => Some(argument),
        }
    }
}

/// Has the kernel choose a number that is not in use: from `linux/if_packet.h`.
const PACKET_FANOUT_FLAG_UNIQUEID: u32 = 0x2000;

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
    /// The program that drops frames for us behind the sockets of the group, for as long as this is open.
    dropping: Option<Arc<OwnedFd>>,
    left_out: Count,
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
        let mut ports = Self::open_group(config, mac, destinations, 1)?;
        Ok(ports.swap_remove(0))
    }

    /// Opens an interface as [`open`](Self::open) does, `count` times, with ports that share its frames by flow.
    ///
    /// # Errors
    ///
    /// No such interface, no permission, or an error of the kernel.
    pub fn open_group(
        config: &PacketConfig,
        mac: Option<MacAddress>,
        destinations: impl Into<Destinations>,
        count: usize,
    ) -> Result<Vec<Self>, InterfaceError> {
        let destinations = &destinations.into().with_acks_if(config.acks);
        let mut fanout = Fanout::of(config);
        if fanout == Fanout::None && count > 1 {
            fanout = Fanout::New;
        }
        let mut ports = Vec::new();
        for _ in 0..count {
            let port = Self::open_socket(config, mac, destinations, fanout)?;
            if fanout == Fanout::New {
                let group = port.group();
                let group = group.map_err(|error| refusal(&config.interface, "share", error, CAPABILITIES))?;
                fanout = Fanout::Joined(group);
            }
            ports.push(port);
        }
        if let Some(Self { interface, .. }) = ports.first() {
            // An older kernel, or no permission: then it handles each frame as well.
            let dropping = drop_behind_sockets(interface, destinations).ok().map(Arc::new);
            for port in &mut ports {
                port.dropping.clone_from(&dropping);
            }
        }
        Ok(ports)
    }

    fn open_socket(
        config: &PacketConfig,
        mac: Option<MacAddress>,
        destinations: &Destinations,
        fanout: Fanout,
    ) -> Result<Self, InterfaceError> {
        let name = &config.interface;
        let interface = Interface::open(name, mac, destinations, CAPABILITIES)?;
        let (socket, ring, left_out) = open_socket(&interface, fanout, destinations)
            .map_err(|error| refusal(name, "receive from", error, CAPABILITIES))?;
        let sender = open_sender(&interface).map_err(|error| refusal(name, "send to", error, CAPABILITIES))?;
        widen_send_buffer(sender.as_fd(), SEND_BUFFER);
        let batch = Batch::new(interface.mtu());
        let (long, missed, dropping) = (room_for_any(), 0, None);
        Ok(Self { interface, socket, sender, ring, long, batch, missed, dropping, left_out })
    }

    /// The group that the kernel has put the socket into, and how it shares frames.
    fn group(&self) -> io::Result<u32> {
        sys::option(self.socket.as_fd(), SOL_PACKET, libc::PACKET_FANOUT, 0u32)
    }

    /// Whether the kernel would forward packets to our addresses.
    pub fn is_forwarded(&self) -> bool {
        self.dropping.is_none() && self.interface.is_forwarding()
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

    fn receive_acks(&mut self, wanted: bool) {
        self.left_out.set_wanted(wanted);
    }

    fn take_left_out(&mut self) -> LeftOutFrames {
        self.left_out.take()
    }

    /// The interface was deleted. One that is down is waited for.
    fn wait(&mut self, timeout: Duration) -> io::Result<()> {
        // While the last answers were sent, more may have come: no system call has to tell.
        if self.ring.has_next() {
            return Ok(());
        }
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
    fanout: Fanout,
    destinations: &Destinations,
) -> io::Result<(OwnedFd, Ring, Count)> {
    // Without a protocol it receives no frames yet.
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::PACKET, SocketType::RAW, flags, None)?;
    let ring = Ring::new(socket.as_fd(), interface.mtu())?;
    // Without permission for programs that count, bare ACKs are received like all others.
    let leave_out = || leave_out_acks(socket.as_fd(), destinations, interface.mac()).ok();
    let left_out = if destinations.leave_out_acks() { leave_out() } else { None };
    if left_out.is_none() {
        attach_filter(socket.as_fd(), destinations)?;
    }
    // Neither frames that the kernel sends, nor our own.
    sys::set_option(socket.as_fd(), SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, &1i32)?;
    sys::bind_packet(socket.as_fd(), interface.index(), libc::ETH_P_ALL as c_ushort)?;
    if let Some(argument) = fanout.argument() {
        sys::set_option(socket.as_fd(), SOL_PACKET, libc::PACKET_FANOUT, &argument)?;
    }
    Ok((socket, ring, Count::new(left_out.map(Arc::new), true)))
}

/// A socket that sends frames behind virtio-net headers, and receives none: it has no protocol.
fn open_sender(interface: &Interface) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::PACKET, SocketType::RAW, flags, None)?;
    sys::set_option(socket.as_fd(), SOL_PACKET, libc::PACKET_VNET_HDR, &1i32)?;
    sys::bind_packet(socket.as_fd(), interface.index(), 0)?;
    Ok(socket)
}

/// Has the kernel drop frames to `destinations` once its sockets have them, instead of processing each in vain. It goes
/// on with those to addresses of its own.
fn drop_behind_sockets(interface: &Interface, destinations: &Destinations) -> io::Result<OwnedFd> {
    let addresses = getifaddrs()?.filter_map(|interface| address(&interface.address?));
    let program = program::drop(&destinations.without(&addresses.collect::<Vec<_>>()));
    let program = bpf::load(&program, Hook::Ingress)?;
    bpf::attach(program.as_fd(), interface.index(), Hook::Ingress)
}

fn address(socket: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = socket.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
    v4.or_else(|| socket.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
}

/// Attaches a filter that counts the bare ACKs that it leaves out.
fn leave_out_acks(socket: BorrowedFd<'_>, destinations: &Destinations, mac: MacAddress) -> io::Result<LeftOut> {
    let left_out = LeftOut::new()?;
    let filter = bpf::load(&program::socket(destinations, (left_out.as_raw_fd(), mac)), Hook::Socket)?;
    sys::set_option(socket, libc::SOL_SOCKET, libc::SO_ATTACH_BPF, &filter.as_raw_fd())?;
    Ok(left_out)
}

fn attach_filter(socket: BorrowedFd<'_>, destinations: &Destinations) -> io::Result<()> {
    let mut program = classic(&rules(destinations));
    let program = sock_fprog { len: program.len() as c_ushort, filter: program.as_mut_ptr() };
    sys::set_option(socket, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program)
}
