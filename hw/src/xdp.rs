//! A port that receives frames ahead of the kernel's stack: `AF_XDP`.
//!
//! An XDP program at the interface passes frames for our addresses to the socket of their queue, and all others to the
//! kernel. If the driver supports it, it receives and sends in our buffers; otherwise the kernel copies each frame
//! once.
//!
//! Why not a library: `xsk-rs` needs `libxdp`, which needs clang and libelf to be built, and whose program takes every
//! frame of the interface; `xdp` needs neither, but has an unsafe interface. The code here is four rings and four
//! commands of one system call.

mod ring;
mod socket;

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use lethe::port::{LeftOutFrames, Port, RxFrame, RxQueue, Transmit, TxFrame, TxQueue};
use lethe::wire::ethernet::MacAddress;
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::net::xdp::SocketAddrXdpFlags;

use crate::bpf::program::{Action, redirect};
use crate::bpf::{self, Count, Hook, LeftOut, Sockets};
use crate::filter::Destinations;
use crate::interface::{Interface, InterfaceError, refusal};
use socket::{Receiver, Sender, fits_one_buffer};

/// The capabilities that are needed, as `setcap` takes them.
const CAPABILITIES: &str = "cap_net_raw,cap_net_admin,cap_bpf,cap_ipc_lock";

/// Whether frames are copied.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Buffers {
    /// Zero copy if the driver supports it; otherwise copies.
    #[default]
    Best,
    /// Always copies.
    Copy,
    /// Zero copy, or an error.
    ZeroCopy,
}

/// The interface, and how it is opened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct XdpConfig {
    /// The name of the interface.
    pub interface: String,
    /// The only queue to receive from, counted from 0; by default all.
    pub queue: Option<u32>,
    /// Whether frames may, must or must not be copied.
    pub buffers: Buffers,
    /// Whether the program runs in the kernel's stack even if the driver supports it.
    pub generic: bool,
    /// Whether all bare ACKs are received, also those that the engine would only absorb.
    pub acks: bool,
}

/// What becomes of a frame.
#[doc(hidden)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sorted {
    /// It goes to a socket.
    ForUs,
    /// It is a bare ACK for us, and goes nowhere.
    LeftOut,
    /// It goes on to the kernel.
    ForTheKernel,
}

/// The program without sockets, loaded into the kernel, for its test.
#[doc(hidden)]
#[derive(Debug)]
pub struct SortingProgram {
    program: OwnedFd,
    _map: Sockets,
    left_out: LeftOut,
}

impl SortingProgram {
    /// Loads the program for frames to `destinations`, which leaves out bare ACKs to `mac`.
    ///
    /// # Errors
    ///
    /// No permission, or the kernel refuses the program.
    pub fn load(destinations: &Destinations, mac: MacAddress) -> io::Result<Self> {
        let (map, left_out) = (Sockets::new(1)?, LeftOut::new()?);
        let program = redirect(destinations, map.as_raw_fd(), Some((left_out.as_raw_fd(), mac)), Action::Transmit);
        let program = bpf::load(&program, Hook::Native)?;
        Ok(Self { program, _map: map, left_out })
    }

    /// Whether bare ACKs with options are wanted.
    pub fn receive_acks(&self, wanted: bool) {
        self.left_out.set_wanted(wanted);
    }

    /// What the program does with a frame, and whether it has counted that as left out.
    ///
    /// # Errors
    ///
    /// The kernel does not run it.
    pub fn sort(&self, frame: &[u8]) -> io::Result<Sorted> {
        let [before, _] = self.left_out.counted();
        let action = bpf::run(self.program.as_fd(), frame)?;
        let [after, _] = self.left_out.counted();
        match (action, after - before) {
            (action, 1) if action == Action::Drop as u32 => Ok(Sorted::LeftOut),
            (action, 0) if action == Action::Transmit as u32 => Ok(Sorted::ForUs),
            (action, 0) if action == Action::Pass as u32 => Ok(Sorted::ForTheKernel),
            (action, counted) => Err(io::Error::other(format!("the program returned {action}, and counted {counted}"))),
        }
    }
}

/// An interface of which only the frames for our addresses are taken.
pub struct XdpPort {
    // Dropped first, so that no frame goes to a closed socket.
    _link: Arc<OwnedFd>,
    receivers: Vec<Receiver>,
    /// The sender of each queue. The first sends what is no answer to a frame of a certain one.
    senders: Vec<Sender>,
    /// The receiver that was read last.
    current: usize,
    interface: Interface,
    hook: Hook,
    queues: u32,
    /// One program serves all ports of the interface, the first of which counts what it leaves out.
    left_out: Count,
}

impl XdpPort {
    /// Opens an interface for frames to `destinations`, with the interface's hardware address or `mac`.
    ///
    /// # Errors
    ///
    /// No such interface or queue, no permission, another XDP program, or an error of the kernel.
    pub fn open(
        config: &XdpConfig,
        mac: Option<MacAddress>,
        destinations: impl Into<Destinations>,
    ) -> Result<Self, InterfaceError> {
        let mut shares = Self::open_shares(config, mac, destinations, 1)?;
        Ok(shares.swap_remove(0))
    }

    /// Opens an interface as [`open`](Self::open) does, as `count` ports, at least one, each of which receives from a
    /// share of the queues.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open), and fewer queues than ports.
    pub fn open_shares(
        config: &XdpConfig,
        mac: Option<MacAddress>,
        destinations: impl Into<Destinations>,
        count: usize,
    ) -> Result<Vec<Self>, InterfaceError> {
        let destinations = &destinations.into().with_acks_if(config.acks);
        let name = &config.interface;
        let interface = Interface::open(name, mac, destinations, CAPABILITIES)?;
        let failed = |what| move |error| refusal(name, what, error, CAPABILITIES);
        let queues = interface.receive_queues();
        let served = config.queue.map_or(0..queues, |queue| queue..queue + 1);
        if let Some(queue) = config.queue.filter(|&queue| queue >= queues) {
            return Err(InterfaceError::NoQueue { name: name.clone(), queue, queues });
        }
        if served.len() < count {
            let queues = served.len();
            return Err(InterfaceError::FewQueues { name: name.clone(), workers: count, queues });
        }
        let map = Sockets::new(queues).map_err(failed("make a map of the queues of"))?;
        let left_out = if destinations.leave_out_acks() { LeftOut::new().ok().map(Arc::new) } else { None };
        let counter = left_out.as_deref().map(|left_out| (left_out.as_raw_fd(), interface.mac()));
        let program = redirect(destinations, map.as_raw_fd(), counter, Action::Pass);
        let program = bpf::load(&program, Hook::Native).map_err(failed("load an XDP program for"))?;
        // Before the sockets are opened, since a card may be reset for a program.
        let (link, hook) = attach(&interface, &program, config.generic)?;
        let link = Arc::new(link);
        let mut ports: Vec<Self> = Vec::new();
        for (number, queue) in served.enumerate() {
            let (receiver, sender) = open_socket(&interface, queue, config.buffers)?;
            map.set(queue, receiver.as_fd()).map_err(failed("receive from"))?;
            if let Some(port) = ports.get_mut(number % count) {
                port.receivers.push(receiver);
                port.senders.push(sender);
                continue;
            }
            let interface = Interface::open(name, mac, destinations, CAPABILITIES)?;
            let (receivers, senders, link) = (vec![receiver], vec![sender], Arc::clone(&link));
            let left_out = Count::new(left_out.clone(), number == 0);
            ports.push(Self { _link: link, receivers, senders, current: 0, interface, hook, queues, left_out });
        }
        Ok(ports)
    }

    /// Has the kernel receive into the buffers again that answers were sent from.
    fn reclaim(&mut self) {
        for (receiver, sender) in self.receivers.iter_mut().zip(&mut self.senders) {
            receiver.reclaim(sender);
        }
    }
}

impl Port for XdpPort {
    type Error = io::Error;

    fn name(&self) -> impl fmt::Display {
        Name(self)
    }

    /// The MTU that the interface had when it was opened.
    fn mtu(&self) -> u16 {
        self.interface.mtu()
    }

    /// The hardware address of our addresses.
    fn mac(&self) -> Option<MacAddress> {
        Some(self.interface.mac())
    }

    fn queues(&mut self) -> (impl RxQueue, impl TxQueue) {
        self.reclaim();
        let rx = Rx { receivers: &mut self.receivers, current: &mut self.current };
        (rx, Tx { senders: &mut self.senders })
    }

    /// Answers go into the buffers of the frames that they answer.
    fn joined(&mut self) -> impl RxQueue + TxQueue {
        self.reclaim();
        let rx = Rx { receivers: &mut self.receivers, current: &mut self.current };
        InPlace { rx, tx: Tx { senders: &mut self.senders } }
    }

    /// Frames that were dropped because a ring was full or there was no buffer.
    fn missed(&mut self) -> Option<u64> {
        self.receivers.iter().map(Receiver::missed).sum::<io::Result<_>>().ok()
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
        if self.receivers.iter().any(Receiver::has_frame) {
            return Ok(());
        }
        let mut sockets: Vec<_> = self.receivers.iter().map(|socket| PollFd::new(socket, PollFlags::IN)).collect();
        self.interface.wait(&mut sockets, timeout)
    }
}

/// The name, and how frames are received: from which queues, in which hook, and whether they are copied.
struct Name<'a>(&'a XdpPort);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(port) = self;
        write!(f, "xdp {}, ", port.interface.name())?;
        match (port.receivers.len(), port.queues) {
            (served, queues) if served < queues as usize => write!(f, "{served} of {queues} queues")?,
            (1, _) => write!(f, "1 queue")?,
            (served, _) => write!(f, "{served} queues")?,
        }
        if port.hook == Hook::Generic {
            write!(f, ", generic XDP")?;
        }
        let is_zero_copy = port.receivers.iter().all(Receiver::is_zero_copy);
        write!(f, ", {}", if is_zero_copy { "zero-copy" } else { "copied" })
    }
}

/// The receive queue of an [`XdpPort`].
struct Rx<'a> {
    receivers: &'a mut [Receiver],
    current: &'a mut usize,
}

impl RxQueue for Rx<'_> {
    fn receive(&mut self) -> Option<RxFrame<'_>> {
        // The receiver that was read last releases its frame, and is tried last.
        let count = self.receivers.len();
        self.receivers.get_mut(*self.current)?.release();
        let mut order = (1..=count).map(|step| (*self.current + step) % count);
        *self.current = order.find(|&at| self.receivers.get(at).is_some_and(Receiver::has_frame))?;
        // AF_XDP does not tell whether the card has verified a checksum.
        self.receivers.get_mut(*self.current)?.receive().map(RxFrame::unchecked)
    }
}

/// The transmit queue of an [`XdpPort`].
struct Tx<'a> {
    senders: &'a mut [Sender],
}

impl TxQueue for Tx<'_> {
    fn transmit(&mut self, write: impl FnOnce(&mut [u8]) -> Option<TxFrame>) -> Transmit {
        // Any queue can send any frame.
        self.senders.first_mut().map_or(Transmit::Full, |sender| sender.transmit(write))
    }

    fn flush(&mut self) {
        self.senders.iter_mut().for_each(Sender::flush);
    }
}

/// Both queues of an [`XdpPort`]: a frame is answered in its buffer, by the queue that it came from.
struct InPlace<'a> {
    rx: Rx<'a>,
    tx: Tx<'a>,
}

impl RxQueue for InPlace<'_> {
    fn receive(&mut self) -> Option<RxFrame<'_>> {
        self.rx.receive()
    }
}

impl TxQueue for InPlace<'_> {
    fn transmit(&mut self, write: impl FnOnce(&mut [u8]) -> Option<TxFrame>) -> Transmit {
        let current = *self.rx.current;
        match (self.rx.receivers.get_mut(current), self.tx.senders.get_mut(current)) {
            (Some(receiver), Some(sender)) => sender.answer(receiver, write),
            _ => Transmit::Full,
        }
    }

    fn flush(&mut self) {
        self.tx.flush();
    }
}

/// Attaches the program to the driver if it supports XDP, and otherwise to the kernel's stack.
fn attach(interface: &Interface, program: &OwnedFd, is_generic: bool) -> Result<(OwnedFd, Hook), InterfaceError> {
    let attach = |hook| bpf::attach(program.as_fd(), interface.index(), hook).map(|link| (link, hook));
    let is_taken = |error: &io::Error| matches!(Errno::from_io_error(error), Some(Errno::BUSY | Errno::EXIST));
    let native = (!is_generic).then(|| attach(Hook::Native));
    let attached = match native {
        Some(Ok(attached)) => Ok(attached),
        Some(Err(error)) if is_taken(&error) => Err(error),
        _ => attach(Hook::Generic),
    };
    let name = interface.name();
    attached.map_err(|error| match error {
        error if is_taken(&error) => InterfaceError::Taken(name.to_owned()),
        error => refusal(name, "attach an XDP program to", error, CAPABILITIES),
    })
}

/// Opens a socket for a queue, with the fastest mode that the kernel and the driver support.
fn open_socket(interface: &Interface, queue: u32, buffers: Buffers) -> Result<(Receiver, Sender), InterfaceError> {
    type Flags = SocketAddrXdpFlags;
    let (name, mtu) = (interface.name(), interface.mtu());
    let parts = |is_needed| if is_needed { Flags::XDP_USE_SG } else { Flags::empty() };
    let large = !fits_one_buffer(mtu);
    // Frames in several parts are needed above the MTU as well, for segments that GRO has merged. Kernels support them
    // since 6.6, and not all drivers with zero copy.
    let zero_copy = Flags::XDP_ZEROCOPY | parts(large);
    let copy = [Flags::XDP_COPY | parts(true), Flags::XDP_COPY | parts(large)];
    let attempts: &[Flags] = match buffers {
        Buffers::Best => &[zero_copy, copy[0], copy[1]],
        Buffers::Copy => &copy,
        Buffers::ZeroCopy => &[zero_copy],
    };
    let open = |&flags: &Flags| socket::open(interface.index(), queue, mtu, flags | Flags::XDP_USE_NEED_WAKEUP);
    let mut opened = Err(io::ErrorKind::Unsupported.into());
    for attempt in attempts {
        opened = open(attempt);
        if opened.is_ok() {
            break;
        }
    }
    opened.map_err(|error| match Errno::from_io_error(&error) {
        Some(Errno::BUSY) => InterfaceError::Busy { name: name.to_owned(), queue },
        Some(Errno::NOBUFS) => InterfaceError::Locked(name.to_owned()),
        Some(Errno::OPNOTSUPP | Errno::INVAL) if buffers == Buffers::ZeroCopy => {
            InterfaceError::NoZeroCopy(name.to_owned())
        }
        _ => refusal(name, "receive from", error, CAPABILITIES),
    })
}
