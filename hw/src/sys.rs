//! System calls for which no library has a safe function.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use libc::{c_int, c_ulong, ifreq, socklen_t};

/// Sets a socket option whose value is a number or a structure of the kernel.
#[expect(unsafe_code, reason = "`setsockopt`, with options that no library knows")]
pub(crate) fn set_option<T: Copy>(socket: BorrowedFd<'_>, level: c_int, name: c_int, value: &T) -> io::Result<()> {
    let value = std::ptr::from_ref(value);
    // SAFETY: the kernel reads as many bytes as `T` has, and writes none.
    let done = unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, value.cast(), size_of::<T>() as socklen_t) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Reads a socket option whose value is a structure of the kernel, and at most as long as `T`.
#[expect(unsafe_code, reason = "`getsockopt`, with options that no library knows")]
pub(crate) fn option<T: Copy>(socket: BorrowedFd<'_>, level: c_int, name: c_int, mut value: T) -> io::Result<T> {
    let mut len = size_of::<T>() as socklen_t;
    let pointer = std::ptr::from_mut(&mut value).cast();
    // SAFETY: the kernel writes at most `len` bytes, the size of `T`. The structures that are read here consist of
    // integers, so any bytes are a valid value.
    let done = unsafe { libc::getsockopt(socket.as_raw_fd(), level, name, pointer, &raw mut len) };
    if done == 0 { Ok(value) } else { Err(io::Error::last_os_error()) }
}

/// The MTU of an interface, in bytes.
#[expect(unsafe_code, reason = "an answer in a union")]
pub(crate) fn mtu(socket: BorrowedFd<'_>, name: &str) -> io::Result<i32> {
    let mut question = question(name);
    ask(socket, libc::SIOCGIFMTU, &mut question)?;
    // SAFETY: this request sets this field of the union.
    Ok(unsafe { question.ifr_ifru.ifru_mtu })
}

/// The hardware address of an interface, if it is an Ethernet one.
#[expect(unsafe_code, reason = "an answer in a union")]
pub(crate) fn mac(socket: BorrowedFd<'_>, name: &str) -> io::Result<Option<[u8; 6]>> {
    let mut question = question(name);
    ask(socket, libc::SIOCGIFHWADDR, &mut question)?;
    // SAFETY: this request sets this field of the union.
    let address = unsafe { question.ifr_ifru.ifru_hwaddr };
    let is_ethernet = address.sa_family == libc::ARPHRD_ETHER;
    Ok(address.sa_data.map(i8::cast_unsigned).first_chunk().copied().filter(|_| is_ethernet))
}

/// Whether an interface has been brought up.
#[expect(unsafe_code, reason = "an answer in a union")]
pub(crate) fn is_up(socket: BorrowedFd<'_>, name: &str) -> io::Result<bool> {
    let mut question = question(name);
    ask(socket, libc::SIOCGIFFLAGS, &mut question)?;
    // SAFETY: this request sets this field of the union.
    let flags = unsafe { question.ifr_ifru.ifru_flags };
    Ok(i32::from(flags) & libc::IFF_UP != 0)
}

/// The number of receive queues of an interface, as its driver reports it.
pub(crate) fn receive_queues(socket: BorrowedFd<'_>, name: &str) -> u32 {
    /// `struct ethtool_channels`.
    #[repr(C)]
    #[derive(Default)]
    struct Channels {
        command: u32,
        /// The limits: receive, transmit, other, and combined queues.
        most: [u32; 4],
        receive: u32,
        send: u32,
        other: u32,
        combined: u32,
    }
    /// `ETHTOOL_GCHANNELS`.
    const GET_CHANNELS: u32 = 0x3c;

    let mut channels = Channels { command: GET_CHANNELS, ..Channels::default() };
    let mut question = question(name);
    question.ifr_ifru.ifru_data = (&raw mut channels).cast();
    // A driver without this request has one queue.
    match ask(socket, libc::SIOCETHTOOL, &mut question) {
        Ok(()) => (channels.receive + channels.combined).max(1),
        Err(_) => 1,
    }
}

/// A request about the interface with this name.
#[expect(unsafe_code, reason = "a structure with a union")]
fn question(name: &str) -> ifreq {
    // SAFETY: all zeros are a valid `ifreq`: integers, and a union of integers and pointers.
    let mut question: ifreq = unsafe { std::mem::zeroed() };
    // The last byte stays zero, and ends the name.
    for (to, from) in question.ifr_name.iter_mut().take(libc::IFNAMSIZ - 1).zip(name.bytes()) {
        *to = from.cast_signed();
    }
    question
}

#[expect(unsafe_code, reason = "`ioctl`")]
fn ask(socket: BorrowedFd<'_>, request: c_ulong, question: &mut ifreq) -> io::Result<()> {
    // SAFETY: the requests above write into the structure, and the last one to the structure at its `ifru_data`, which
    // has the size that it needs.
    let done = unsafe { libc::ioctl(socket.as_raw_fd(), request, std::ptr::from_mut(question)) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Binds a packet socket to `protocol` and to the interface with this number.
#[expect(unsafe_code, reason = "`bind`, with an address that no library knows")]
pub(crate) fn bind_packet(socket: BorrowedFd<'_>, index: u32, protocol: u16) -> io::Result<()> {
    let address = libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: protocol.to_be(),
        sll_ifindex: index.cast_signed(),
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    let len = size_of_val(&address) as socklen_t;
    // SAFETY: the kernel reads as many bytes as the address has.
    let done = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), len) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
