//! The port to an interface that the kernel goes on using: an `AF_PACKET` socket.
//!
//! It works with every interface and driver. Each frame is copied once on its way in, by the kernel into a
//! ring, and once on its way out. The kernel looks at every frame as well; one for an address that is
//! not its own it drops in silence, as long as it does not forward.

mod batch;
mod ring;

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use lethe::port::{Checked, Port, RxChecksum, RxFrame, RxQueue, Transmit, TxFrame, TxQueue};
use lethe::wire::ethernet::MacAddress;
use libc::{SOL_PACKET, c_ushort, sock_fprog, tpacket_stats};
use rustix::event::{PollFd, PollFlags};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, recv, socket_with};

use crate::filter::{Destinations, classic, rules};
use crate::interface::{Interface, InterfaceError, refusal, widen_send_buffer};
use crate::sys;
use batch::Batch;
use ring::{Ring, behind_tag, room_for_any, with_tag};

/// What is needed, as `setcap` takes it.
const CAPABILITIES: &str = "cap_net_raw";

/// Bytes of frames on their way out that the kernel keeps: some thousand of the largest on Ethernet.
const SEND_BUFFER: i32 = 4 << 20;

/// Which interface, and how.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PacketConfig {
    /// The name of the interface.
    pub interface: String,
    /// A number that processes have in common which share the frames of the interface, by flow.
    pub fanout: Option<u16>,
}

/// An interface, shared with the kernel.
pub struct PacketPort {
    interface: Interface,
    socket: OwnedFd,
    ring: Ring,
    /// For a frame that is longer than a slot of the ring.
    long: Box<[u8]>,
    batch: Batch,
    missed: u64,
}

impl PacketPort {
    /// Opens it for what goes to `destinations`, at the interface's hardware address or at `mac`.
    ///
    /// # Errors
    ///
    /// No such interface, no permission, or the kernel refuses something.
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
        widen_send_buffer(socket.as_fd(), SEND_BUFFER);
        let batch = Batch::new(interface.mtu());
        Ok(Self { interface, socket, ring, long: room_for_any(), batch, missed: 0 })
    }

    /// Whether the kernel would send on what is for us: it forwards, and takes it for its own.
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

    /// The hardware address to answer for.
    fn mac(&self) -> Option<MacAddress> {
        Some(self.interface.mac())
    }

    fn queues(&mut self) -> (impl RxQueue, impl TxQueue) {
        let socket = self.socket.as_fd();
        (Rx { socket, ring: &mut self.ring, long: &mut self.long }, Tx { socket, batch: &mut self.batch })
    }

    /// Frames that found the ring full.
    fn missed(&mut self) -> Option<u64> {
        // The kernel begins anew whenever it is asked.
        let none = tpacket_stats { tp_packets: 0, tp_drops: 0 };
        let counted = sys::option(self.socket.as_fd(), SOL_PACKET, libc::PACKET_STATISTICS, none).ok()?;
        self.missed += u64::from(counted.tp_drops);
        Some(self.missed)
    }

    /// An error when the interface is gone. One that is down is waited for.
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
        // The card, or the sender on this machine, has put several segments into one. The whole waits in the
        // socket's queue; if it does not, the engine finds that the frame ends too early.
        if is_cut {
            let whole = recv(self.socket, behind_tag(self.long), RecvFlags::DONTWAIT);
            if let Ok((len, _)) = whole {
                room = self.long.get_mut(..ring::TAG_LEN + len).unwrap_or_default();
            }
        }
        // The header's checksum costs little, and nobody vouches for it.
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

/// A socket with a ring, that receives what is for `destinations` and comes from others.
fn open_socket(
    interface: &Interface,
    config: &PacketConfig,
    destinations: &Destinations,
) -> io::Result<(OwnedFd, Ring)> {
    // As long as it has no protocol it receives nothing.
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::PACKET, SocketType::RAW, flags, None)?;
    let ring = Ring::new(socket.as_fd(), interface.mtu())?;
    attach_filter(socket.as_fd(), destinations)?;
    // Not what the kernel sends, and not what we do.
    sys::set_option(socket.as_fd(), SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, &1i32)?;
    sys::bind_packet(socket.as_fd(), interface.index(), libc::ETH_P_ALL as c_ushort)?;
    if let Some(group) = config.fanout {
        let hash = libc::PACKET_FANOUT_HASH;
        sys::set_option(socket.as_fd(), SOL_PACKET, libc::PACKET_FANOUT, &(u32::from(group) | hash << 16))?;
    }
    Ok((socket, ring))
}

fn attach_filter(socket: BorrowedFd<'_>, destinations: &Destinations) -> io::Result<()> {
    let mut program = classic(&rules(destinations));
    let program = sock_fprog { len: program.len() as c_ushort, filter: program.as_mut_ptr() };
    sys::set_option(socket, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program)
}
