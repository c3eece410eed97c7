//! The TAP port: an Ethernet cable between the engine and the kernel of the same machine.
//!
//! The kernel's end is a network interface like any other: it can be given addresses, be routed and
//! bridged to, and captured on. Our end is a file: one `read` is one frame, one `write` is one frame, each behind its
//! virtio-net header ([`lethe::vnet`]). Only on the way out does that say anything: the kernel computes TCP checksums
//! and cuts frames of two segments. Neither is done where they stay on this machine.
//!
//! Why `tun-rs`: making the device and setting it up are ioctls, and an ioctl is `unsafe`, in `nix` as
//! well; `tun-rs` is kept up, does them behind safe calls, and clears the offloads that another program
//! may have left on a persistent device. `tun-tap`, the better known one, is no longer kept up, and only
//! opens the device: it sets neither address nor MTU, and does not bring the interface up.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::thread;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use lethe::port::{Offload, Port, RxFrame, RxQueue, Transmit, TxFrame, TxQueue};
use lethe::vnet;
use nix::errno::Errno;
use nix::ifaddrs::getifaddrs;
use nix::libc;
use nix::net::if_::InterfaceFlags;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::SockaddrStorage;
use tun_rs::{DeviceBuilder, Layer, SyncDevice};

use crate::FRAME_MAX;

/// The longest name that the kernel gives to an interface (`IFNAMSIZ` less the terminating zero).
const NAME_MAX: usize = 15;

/// How long the kernel may take to make an address usable: somewhat more than duplicate address detection does, where
/// it cannot be switched off.
const USABLE_WITHIN: Duration = Duration::from_secs(3);

/// What a TAP device should be like.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TapConfig {
    /// The name of the interface. One that exists already is used as it is, and stays; one that does not
    /// is made, and goes when the port is dropped.
    pub name: String,
    /// Addresses for the kernel's end.
    pub hosts: Vec<IpNet>,
    /// The MTU of both ends; the kernel's choice, 1500, if there is none.
    pub mtu: Option<u16>,
}

/// Why a TAP device cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum TapError {
    /// The kernel takes no such name.
    #[error("an interface cannot be called {0:?}: at most {NAME_MAX} bytes, without spaces, `/`, `:` and `%`")]
    Name(String),
    /// The kernel has no TAP devices, or this container does not show them.
    #[error("there is no /dev/net/tun: `modprobe tun`, or start the container with `--device /dev/net/tun`")]
    NoTun,
    /// The file cannot be opened. Most systems let everyone: what may be done with it is asked later.
    #[error("no permission to open /dev/net/tun: be root, or have root do `chmod 666 /dev/net/tun`")]
    NoAccess,
    /// The capability is missing.
    #[error(
        "no permission to use TAP device {0}: be root, or have root make it: ip tuntap add {0} mode tap user $USER\n\
         (root in a container needs `--cap-add NET_ADMIN --device /dev/net/tun`)"
    )]
    Denied(String),
    /// Another process has it open.
    #[error("TAP device {0} is in use by another process")]
    Busy(String),
    /// The name belongs to something else.
    #[error("interface {0} exists and is no TAP device of one queue")]
    Taken(String),
    /// The device was made for one queue, or the name belongs to something else.
    #[error("interface {0} exists and is no TAP device of several queues: `ip tuntap add {0} mode tap multi_queue`")]
    OneQueue(String),
    /// The kernel refuses a setting.
    #[error("cannot {what}")]
    Setting {
        /// What was to be done.
        what: String,
        /// What the kernel says.
        source: io::Error,
    },
}

/// A TAP device, open and up.
pub struct Tap {
    device: SyncDevice,
    name: String,
    mtu: u16,
    rx_buffer: Box<[u8]>,
    tx_buffer: Box<[u8]>,
    /// Why nothing can be received any more: a queue has no way to say so, [`Port::wait`] has.
    failure: Option<io::Error>,
}

impl Tap {
    /// Opens the device, makes it if there is none, and brings it up.
    pub fn open(config: &TapConfig) -> Result<Self, TapError> {
        Self::open_first(config, false)
    }

    /// Opens the device with so many queues, at least one: the kernel distributes frames over them by flow.
    pub fn open_queues(config: &TapConfig, count: usize) -> Result<Vec<Self>, TapError> {
        let mut queues = vec![Self::open_first(config, true)?];
        while let Some(first) = queues.first().filter(|_| queues.len() < count) {
            let failed = |error| setting(format!("open another queue of {}", first.name), error);
            let device = first.device.try_clone().map_err(failed)?;
            device.set_nonblocking(true).map_err(failed)?;
            let queue = Self::of(device, first.name.clone(), first.mtu)?;
            queues.push(queue);
        }
        Ok(queues)
    }

    fn open_first(config: &TapConfig, has_queues: bool) -> Result<Self, TapError> {
        let name = config.name.clone();
        if !is_interface_name(&name) {
            return Err(TapError::Name(name));
        }
        let builder = DeviceBuilder::new().name(&name).layer(Layer::L2).inherit_enable_state().offload(true);
        let device = builder.multi_queue(has_queues).build_sync().map_err(|error| match open_error(&name, error) {
            TapError::Taken(name) if has_queues => TapError::OneQueue(name),
            error => error,
        })?;
        let mtu = set_up(&device, config)?;
        Self::of(device, name, mtu)
    }

    /// A queue that is set up.
    fn of(device: SyncDevice, name: String, mtu: u16) -> Result<Self, TapError> {
        let whole = receive_whole_frames(&device);
        whole.map_err(|error| setting(format!("switch the offloads of {name} off"), error))?;
        Ok(Self {
            device,
            name,
            mtu,
            rx_buffer: vec![0; vnet::LEN + FRAME_MAX].into(),
            tx_buffer: vec![0; vnet::LEN + FRAME_MAX].into(),
            failure: None,
        })
    }
}

impl Port for Tap {
    type Error = io::Error;

    fn name(&self) -> impl fmt::Display {
        format!("tap {}", self.name)
    }

    /// The MTU that the interface had when it was opened.
    fn mtu(&self) -> u16 {
        self.mtu
    }

    /// The kernel computes TCP checksums and cuts frames of two segments.
    fn offload(&self) -> Offload {
        vnet::OFFLOAD
    }

    fn queues(&mut self) -> (impl RxQueue, impl TxQueue) {
        let rx = Rx { device: &self.device, buffer: &mut self.rx_buffer, failure: &mut self.failure };
        let tx = Tx { device: &self.device, buffer: &mut self.tx_buffer };
        (rx, tx)
    }

    /// An error when the interface was deleted: no frame will come any more.
    fn wait(&mut self, timeout: Duration) -> io::Result<()> {
        if let Some(error) = self.failure.take() {
            return Err(error);
        }
        let timeout = PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX);
        let mut fds = [PollFd::new(self.device.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, timeout) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// For programs that wait for several devices at a time.
impl AsFd for Tap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.device.as_fd()
    }
}

/// The receive queue of a [`Tap`].
struct Rx<'a> {
    device: &'a SyncDevice,
    buffer: &'a mut [u8],
    failure: &'a mut Option<io::Error>,
}

impl RxQueue for Rx<'_> {
    fn receive(&mut self) -> Option<RxFrame<'_>> {
        match self.device.recv(self.buffer) {
            // The header says nothing: `receive_whole_frames`.
            Ok(len) => self.buffer.get(vnet::LEN..len).map(RxFrame::unchecked),
            Err(error) => {
                if !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) {
                    *self.failure = Some(error);
                }
                None
            }
        }
    }
}

/// The transmit queue of a [`Tap`].
struct Tx<'a> {
    device: &'a SyncDevice,
    buffer: &'a mut [u8],
}

impl TxQueue for Tx<'_> {
    fn transmit(&mut self, write: impl FnOnce(&mut [u8]) -> Option<TxFrame>) -> Transmit {
        let Some((header, buffer)) = self.buffer.split_first_chunk_mut() else { return Transmit::Full };
        let Some(TxFrame { len, checksum }) = write(buffer) else { return Transmit::Nothing };
        *header = vnet::Header::of(buffer, checksum).emit();
        let frame = self.buffer.get(..vnet::LEN + len).unwrap_or_default();
        match self.device.send(frame) {
            Ok(_) => Transmit::Queued(len),
            // No memory, or the interface is down: the frame is lost, as on any network. That the
            // interface is gone for good is found out on the receiving side.
            Err(_) => Transmit::Full,
        }
    }

    fn flush(&mut self) {}
}

/// Has the kernel hand over frames of one segment each, with their checksums in place. With the header in front of
/// frames `tun-rs` asks for others; what is recorded of those could not be replayed. Frames that are sent are not
/// concerned.
#[expect(unsafe_code, reason = "`ioctl`")]
fn receive_whole_frames(device: &SyncDevice) -> io::Result<()> {
    const NONE: libc::c_ulong = 0;
    // SAFETY: the argument of this request is a number, and the kernel takes it for one.
    let done = unsafe { libc::ioctl(device.as_raw_fd(), libc::TUNSETOFFLOAD, NONE) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// What the kernel's `dev_valid_name` takes, without `%`, which asks it to make up a number.
fn is_interface_name(name: &str) -> bool {
    let forbidden = |byte: u8| byte.is_ascii_whitespace() || matches!(byte, b'/' | b':' | b'%' | 0);
    (1..=NAME_MAX).contains(&name.len()) && name != "." && name != ".." && !name.bytes().any(forbidden)
}

fn open_error(name: &str, error: io::Error) -> TapError {
    let name = name.to_owned();
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ENOENT | Errno::ENXIO | Errno::ENODEV) => TapError::NoTun,
        Some(Errno::EACCES) => TapError::NoAccess,
        Some(Errno::EPERM) => TapError::Denied(name),
        Some(Errno::EBUSY) => TapError::Busy(name),
        Some(Errno::EINVAL | Errno::EEXIST) => TapError::Taken(name),
        _ => setting(format!("open TAP device {name}"), error),
    }
}

fn setting(what: String, source: io::Error) -> TapError {
    TapError::Setting { what, source }
}

/// Brings the device into the state that `config` asks for, and returns its MTU. What is so already is
/// left alone: on a device that root has prepared, this needs no privilege.
fn set_up(device: &SyncDevice, config: &TapConfig) -> Result<u16, TapError> {
    let name = &config.name;
    let non_blocking = device.set_nonblocking(true);
    non_blocking.map_err(|error| setting(format!("make TAP device {name} non-blocking"), error))?;

    let mut mtu = device.mtu().map_err(|error| setting(format!("read the MTU of {name}"), error))?;
    if let Some(wanted) = config.mtu.filter(|&wanted| wanted != mtu) {
        let set = device.set_mtu(wanted);
        set.map_err(|error| setting(format!("set the MTU of {name} to {wanted}"), error))?;
        mtu = wanted;
    }

    prepare_ipv6(config);
    for &host in &config.hosts {
        add_address(device, name, host).map_err(|error| setting(format!("give {name} the address {host}"), error))?;
    }

    let up = interface_is_up(name).and_then(|is_up| if is_up { Ok(()) } else { device.enabled(true) });
    up.map_err(|error| setting(format!("bring {name} up"), error))?;
    if config.hosts.iter().any(|host| host.addr().is_ipv6()) {
        await_ipv6(name);
    }
    Ok(mtu)
}

/// Waits until the kernel has made the addresses of this interface usable, which it does some time after the interface
/// is up, at most [`USABLE_WITHIN`]. Until then it sends from another one, `::1` even, and goes on so for as long as
/// that connection tries.
fn await_ipv6(name: &str) {
    let start = Instant::now();
    while start.elapsed() < USABLE_WITHIN
        && std::fs::read_to_string("/proc/net/if_inet6").is_ok_and(|addresses| has_tentative(&addresses, name))
    {
        thread::sleep(Duration::from_millis(5));
    }
}

/// Whether this interface has an address that cannot be used yet, by the lines of `/proc/net/if_inet6`.
fn has_tentative(addresses: &str, name: &str) -> bool {
    // include/uapi/linux/if_addr.h
    const IFA_F_TENTATIVE: u32 = 0x40;
    addresses.lines().any(|line| {
        let mut fields = line.split_whitespace().rev();
        let (device, flags) = (fields.next(), fields.next());
        let flags = flags.and_then(|flags| u32::from_str_radix(flags, 16).ok());
        device == Some(name) && flags.is_some_and(|flags| flags & IFA_F_TENTATIVE != 0)
    })
}

/// Makes IPv6 addresses of the kernel's end usable at once.
///
/// Duplicate address detection would keep them tentative for a second or two, and there is no other host on
/// this cable but us; nor is there a router to solicit. A container may show these files read-only:
/// then things merely take longer, so failure is no error.
fn prepare_ipv6(config: &TapConfig) {
    let set = |key: &str, value: &str| {
        let _ = std::fs::write(format!("/proc/sys/net/ipv6/conf/{}/{key}", config.name), value);
    };
    set("accept_dad", "0");
    set("dad_transmits", "0");
    set("router_solicitations", "0");
    if config.hosts.iter().any(|host| host.addr().is_ipv6()) {
        // Where IPv6 is off by default, this interface still has it, since it was asked for.
        set("disable_ipv6", "0");
    }
}

fn add_address(device: &SyncDevice, name: &str, host: IpNet) -> io::Result<()> {
    if has_address(name, host.addr())? {
        return Ok(());
    }
    match host {
        IpNet::V4(host) => device.add_address_v4(host.addr(), host.prefix_len())?,
        IpNet::V6(host) => device.add_address_v6(host.addr(), host.prefix_len())?,
    }
    // An IPv4 address is asked for without waiting for the kernel's answer.
    if has_address(name, host.addr())? { Ok(()) } else { Err(io::Error::other("the kernel refuses it")) }
}

fn has_address(name: &str, address: IpAddr) -> io::Result<bool> {
    let is_it = |storage: SockaddrStorage| match address {
        IpAddr::V4(v4) => storage.as_sockaddr_in().is_some_and(|found| found.ip() == v4),
        IpAddr::V6(v6) => storage.as_sockaddr_in6().is_some_and(|found| found.ip() == v6),
    };
    let mut interfaces = getifaddrs()?;
    Ok(interfaces.any(|found| found.interface_name == name && found.address.is_some_and(is_it)))
}

fn interface_is_up(name: &str) -> io::Result<bool> {
    let mut interfaces = getifaddrs()?;
    Ok(interfaces.any(|found| found.interface_name == name && found.flags.contains(InterfaceFlags::IFF_UP)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_the_kernel_refuses_are_refused_before_it_is_asked() {
        for name in ["lethe0", "a", "fifteen-bytes-x", "tap.1", "名字"] {
            assert!(is_interface_name(name), "{name}");
        }
        for name in ["", "sixteen-bytes-xx", ".", "..", "a/b", "a:1", "a b", "tap%d", "a\0"] {
            assert!(!is_interface_name(name), "{name:?}");
        }
    }

    #[test]
    fn an_address_that_cannot_be_used_yet_is_seen() {
        let line = |flags, device| format!("fd090000000000000000000000000001 02 40 00 {flags} {device:>8}\n");
        let lines = line("80", "lo") + &line("c0", "lethe1") + &line("80", "lethe0");
        assert!(has_tentative(&lines, "lethe1"));
        assert!(!has_tentative(&lines, "lethe0") && !has_tentative("", "lethe0") && !has_tentative("x\n", "x"));
    }

    #[test]
    fn what_the_kernel_says_on_opening_becomes_advice() {
        let advice = |errno: Errno| open_error("lethe0", io::Error::from(errno)).to_string();
        assert!(advice(Errno::ENOENT).contains("modprobe tun"));
        assert!(advice(Errno::EACCES).contains("chmod 666 /dev/net/tun"));
        assert!(advice(Errno::EPERM).contains("ip tuntap add lethe0 mode tap user $USER"));
        assert!(advice(Errno::EBUSY).contains("in use by another process"));
        assert!(advice(Errno::EINVAL).contains("is no TAP device"));
        assert_eq!(advice(Errno::EMFILE), "cannot open TAP device lethe0");
    }
}
