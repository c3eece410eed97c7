//! An `AF_XDP` socket: one queue of an interface, its buffers and its four rings.
//!
//! ```text
//!              ┌── fill ────────► kernel ── receive ──┐
//!   buffers to receive into                         frames
//!
//!              ┌── transmit ────► kernel ── completion ──┐
//!   frames that `write` has written           buffers to write into again
//! ```
//!
//! A buffer belongs to the kernel from when its address is in the first ring until it comes back in the second, and to
//! this program otherwise. The `unsafe` code here relies on that rule. A frame that was received may be answered in its
//! own buffer, which then goes through the other two rings before it is filled again.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use lethe::port::{Transmit, TxFrame};
use lethe::wire::ethernet::LINK_HEADER_MAX;
use memmap2::{MmapOptions, MmapRaw};
use rustix::io::Errno;
use rustix::net::sockopt;
use rustix::net::xdp::{
    SocketAddrXdp, SocketAddrXdpFlags, XDP_PGOFF_RX_RING, XDP_PGOFF_TX_RING, XDP_UMEM_PGOFF_COMPLETION_RING,
    XDP_UMEM_PGOFF_FILL_RING, XdpDesc, XdpDescOptions, XdpOptionsFlags, XdpUmemReg, XdpUmemRegFlags,
};
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, bind, send, socket_with};

use super::ring::{Consumer, Producer};
use crate::interface::widen_send_buffer;

/// The number of receive buffers, and of transmit buffers: room for a burst of requests while another one is answered.
const BUFFERS: u32 = 2048;

/// Bytes that the kernel leaves free before a received frame (`XDP_PACKET_HEADROOM`).
const HEADROOM: usize = 256;

/// The largest buffer: a page.
const BUFFER_MAX: usize = 4096;

/// The send buffer of the socket, in bytes, where the kernel copies frames.
const SEND_BUFFER: i32 = 4 << 20;

/// The buffers of a socket: one half for receiving and for answers, one for sending.
struct Memory {
    // Closed before the buffers are unmapped.
    file: OwnedFd,
    buffers: MmapRaw,
    /// Bytes of a buffer, a power of two.
    buffer_len: usize,
}

impl Memory {
    /// Opens a socket that can receive and send frames of `frame_len` bytes.
    fn open(frame_len: usize) -> io::Result<Self> {
        let buffer_len = if frame_len + HEADROOM <= BUFFER_MAX / 2 { BUFFER_MAX / 2 } else { BUFFER_MAX };
        let file = socket_with(AddressFamily::XDP, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
        let len = 2 * BUFFERS as usize * buffer_len;
        let buffers = MmapRaw::from(MmapOptions::new().len(len).populate().map_anon()?);
        let registration = XdpUmemReg {
            addr: buffers.as_mut_ptr().expose_provenance() as u64,
            len: len as u64,
            chunk_size: buffer_len as u32,
            headroom: 0,
            flags: XdpUmemRegFlags::empty(),
            tx_metadata_len: 0,
        };
        sockopt::set_xdp_umem_reg(&file, registration)?;
        Ok(Self { file, buffers, buffer_len })
    }

    /// The offset of the transmit buffers.
    fn half(&self) -> usize {
        self.buffers.len() / 2
    }

    /// So many bytes from `start` on, to be written to.
    ///
    /// # Safety
    ///
    /// They are in buffers that the kernel does not have, and nothing else refers to them.
    #[expect(unsafe_code, reason = "memory that the kernel reads as well")]
    #[expect(clippy::mut_from_ref, reason = "by the caller's promise")]
    unsafe fn bytes_mut(&self, start: usize, len: usize) -> &mut [u8] {
        assert!(start.saturating_add(len) <= self.buffers.len());
        // SAFETY: it is in the mapping, and by the caller's promise ours alone.
        unsafe { std::slice::from_raw_parts_mut(self.buffers.as_mut_ptr().add(start), len) }
    }
}

/// Opens a socket and binds it to a queue of the interface with this number.
///
/// # Errors
///
/// The error of the kernel; which one is not specified if it or the driver does not support the `flags`.
pub(super) fn open(interface: u32, queue: u32, mtu: u16, flags: SocketAddrXdpFlags) -> io::Result<(Receiver, Sender)> {
    let frame_len = usize::from(mtu) + LINK_HEADER_MAX;
    let memory = Arc::new(Memory::open(frame_len)?);
    let file = &memory.file;
    sockopt::set_xdp_umem_fill_ring_size(file, BUFFERS)?;
    sockopt::set_xdp_umem_completion_ring_size(file, BUFFERS)?;
    sockopt::set_xdp_rx_ring_size(file, BUFFERS)?;
    sockopt::set_xdp_tx_ring_size(file, BUFFERS)?;
    let offsets = sockopt::xdp_mmap_offsets(file)?;
    let mut receiver = Receiver {
        fill: Producer::map(file.as_fd(), XDP_UMEM_PGOFF_FILL_RING, offsets.fr, BUFFERS)?,
        ring: Consumer::map(file.as_fd(), XDP_PGOFF_RX_RING, offsets.rx, BUFFERS)?,
        held: None,
        gathered: Vec::with_capacity(usize::from(u16::MAX) + HEADROOM),
        memory: Arc::clone(&memory),
    };
    let run = frame_len.div_ceil(memory.buffer_len);
    let runs = BUFFERS as usize / run;
    let sender = Sender {
        ring: Producer::map(file.as_fd(), XDP_PGOFF_TX_RING, offsets.tx, BUFFERS)?,
        completion: Consumer::map(file.as_fd(), XDP_UMEM_PGOFF_COMPLETION_RING, offsets.cr, BUFFERS)?,
        free: (0..runs).collect(),
        pending: vec![0; runs],
        run,
        frame_len,
        has_queued: false,
        answered: Vec::with_capacity(BUFFERS as usize),
        memory: Arc::clone(&memory),
    };
    for number in 0..u64::from(BUFFERS) {
        receiver.fill.push(number * memory.buffer_len as u64);
    }
    receiver.fill.submit();
    bind(file, &SocketAddrXdp::new(flags, interface, queue))?;
    widen_send_buffer(file.as_fd(), SEND_BUFFER);
    Ok((receiver, sender))
}

/// Whether a frame of this MTU fits one buffer.
pub(super) fn fits_one_buffer(mtu: u16) -> bool {
    usize::from(mtu) + LINK_HEADER_MAX + HEADROOM <= BUFFER_MAX
}

/// The receiving half of a socket.
pub(super) struct Receiver {
    fill: Producer<u64>,
    ring: Consumer<XdpDesc>,
    /// The address of the frame that was returned last.
    held: Option<u64>,
    /// A frame that was received in several buffers.
    gathered: Vec<u8>,
    memory: Arc<Memory>,
}

impl Receiver {
    /// Whether the driver uses the buffers in place (zero copy).
    pub(super) fn is_zero_copy(&self) -> bool {
        let options = sockopt::xdp_options(&self.memory.file);
        options.is_ok_and(|options| options.contains(XdpOptionsFlags::XDP_OPTIONS_ZEROCOPY))
    }

    /// Frames that were dropped because the ring was full or there was no buffer.
    pub(super) fn missed(&self) -> io::Result<u64> {
        let counted = sockopt::xdp_statistics(&self.memory.file)?;
        Ok(counted.rx_dropped + counted.rx_ring_full.unwrap_or(0))
    }

    /// Whether a frame has been received.
    pub(super) fn has_frame(&self) -> bool {
        self.ring.has_entry()
    }

    /// Returns the buffer of the last frame to the kernel, unless that was answered in it.
    pub(super) fn release(&mut self) {
        if let Some(address) = self.held.take() {
            self.give_back(address);
        }
    }

    /// Returns the buffers to the kernel whose answers `sender`, of the same socket, has sent.
    pub(super) fn reclaim(&mut self, sender: &mut Sender) {
        for address in sender.answered.drain(..) {
            self.give_back(address);
        }
    }

    /// The next frame, if there is one. It is valid until [`Receiver::release`].
    #[expect(unsafe_code, reason = "memory that the kernel writes to as well")]
    pub(super) fn receive(&mut self) -> Option<&[u8]> {
        self.release();
        let mut part = self.ring.pop()?;
        if is_last(&part) {
            self.held = Some(part.addr);
            // SAFETY: it comes from the receive ring, and is returned to the kernel only by the next `&mut self`.
            return Some(unsafe { frame(&self.memory, &part) });
        }
        // The kernel puts all parts of a frame into the ring at once.
        self.gathered.clear();
        loop {
            // SAFETY: it comes from the receive ring, and is returned to the kernel after it was copied.
            self.gathered.extend_from_slice(unsafe { frame(&self.memory, &part) });
            self.give_back(part.addr);
            if is_last(&part) {
                return Some(&self.gathered);
            }
            part = self.ring.pop()?;
        }
    }

    /// Returns a buffer to the kernel. The ring has room for all buffers.
    fn give_back(&mut self, address: u64) {
        self.fill.push(address & !(self.memory.buffer_len as u64 - 1));
        self.fill.submit();
    }
}

impl AsFd for Receiver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.memory.file.as_fd()
    }
}

fn is_last(part: &XdpDesc) -> bool {
    !part.options.contains(XdpDescOptions::XDP_PKT_CONTD)
}

/// A received frame, or a part of it.
///
/// # Safety
///
/// `part` comes from the receive ring, and its buffer is not returned to the kernel while it is read.
#[expect(unsafe_code, reason = "memory that the kernel writes to as well")]
unsafe fn frame<'a>(memory: &'a Memory, part: &XdpDesc) -> &'a [u8] {
    let (start, len) = (part.addr as usize, part.len as usize);
    assert!(start.saturating_add(len) <= memory.half(), "the kernel names a buffer that it was given");
    // SAFETY: it is in the mapping. The kernel does not have the buffer, as the caller promises, and an answer is
    // written into it only where what is received is no longer borrowed.
    unsafe { std::slice::from_raw_parts(memory.buffers.as_ptr().add(start), len) }
}

/// The sending half of a socket.
pub(super) struct Sender {
    ring: Producer<XdpDesc>,
    completion: Consumer<u64>,
    /// Free runs: adjacent buffers that hold a frame of the MTU together, and that the kernel does not have.
    free: Vec<usize>,
    /// For each run, the number of its buffers that the kernel has.
    pending: Vec<usize>,
    /// Buffers of a run.
    run: usize,
    /// Bytes of a frame, at most.
    frame_len: usize,
    has_queued: bool,
    /// Receive buffers that the kernel has sent an answer from.
    answered: Vec<u64>,
    memory: Arc<Memory>,
}

impl Sender {
    /// Passes the buffer of the frame that `receiver`, of the same socket, has returned last to `write`, and queues the
    /// frame that it writes. What that buffer has no room for, and further frames, go into others.
    #[expect(unsafe_code, reason = "memory that the kernel reads as well")]
    pub(super) fn answer(
        &mut self,
        receiver: &mut Receiver,
        write: impl FnOnce(&mut [u8]) -> Option<TxFrame>,
    ) -> Transmit {
        let fits = |start: usize| start % self.memory.buffer_len + self.frame_len <= self.memory.buffer_len;
        let Some(start) = receiver.held.map(|address| address as usize).filter(|&start| fits(start)) else {
            return self.transmit(write);
        };
        if !self.has_room(1) {
            return Transmit::Full;
        }
        // SAFETY: the kernel gets the buffer back only by `release`, as long as it is held, and what was received in it
        // is no longer referred to: that borrowed `receiver`.
        let buffer = unsafe { self.memory.bytes_mut(start, self.frame_len) };
        let Some(TxFrame { len, .. }) = write(buffer) else { return Transmit::Nothing };
        receiver.held = None;
        self.ring.push(XdpDesc { addr: start as u64, len: len as u32, options: XdpDescOptions::empty() });
        self.has_queued = true;
        Transmit::Queued(len)
    }

    /// Whether there is room for a frame of so many parts, perhaps after those before were sent.
    fn has_room(&mut self, parts: u32) -> bool {
        if self.ring.room() < parts {
            self.flush();
        }
        self.ring.room() >= parts
    }

    /// Passes a free run to `write`, and queues the frame that it writes.
    pub(super) fn transmit(&mut self, write: impl FnOnce(&mut [u8]) -> Option<TxFrame>) -> Transmit {
        if self.free.is_empty() {
            self.flush();
        }
        if !self.has_room(self.run as u32) {
            return Transmit::Full;
        }
        let Some(run) = self.free.pop() else { return Transmit::Full };
        let Some(TxFrame { len, .. }) = write(self.run_mut(run)) else {
            self.free.push(run);
            return Transmit::Nothing;
        };
        let buffer_len = self.memory.buffer_len;
        let (start, parts) = (self.start(run), len.div_ceil(buffer_len).max(1));
        for part in 0..parts {
            let offset = part * buffer_len;
            let is_last = part + 1 == parts;
            self.ring.push(XdpDesc {
                addr: (start + offset) as u64,
                len: (len - offset).min(buffer_len) as u32,
                options: if is_last { XdpDescOptions::empty() } else { XdpDescOptions::XDP_PKT_CONTD },
            });
        }
        if let Some(pending) = self.pending.get_mut(run) {
            *pending = parts;
        }
        self.has_queued = true;
        Transmit::Queued(len)
    }

    /// Makes the kernel send the queued frames, and reclaims the buffers of those that were sent.
    pub(super) fn flush(&mut self) {
        if std::mem::take(&mut self.has_queued) {
            self.ring.submit();
            self.kick();
        }
        self.collect();
    }

    /// Wakes the kernel until it has taken all frames, or takes no more. The rest is sent at the next wait.
    fn kick(&self) {
        let mut left = self.ring.unread();
        while left > 0 && self.ring.needs_wakeup() {
            let kicked = send(&self.memory.file, &[], SendFlags::DONTWAIT);
            let before = std::mem::replace(&mut left, self.ring.unread());
            // It takes about 32 frames at a time, and reports that there are more.
            let has_more = matches!(kicked, Err(Errno::AGAIN | Errno::BUSY | Errno::NOBUFS));
            if !has_more || left == before {
                break;
            }
        }
    }

    /// Reclaims the buffers of frames that were sent.
    fn collect(&mut self) {
        while let Some(address) = self.completion.pop() {
            let Some(offset) = (address as usize).checked_sub(self.memory.half()) else {
                self.answered.push(address);
                continue;
            };
            let run = offset / self.memory.buffer_len / self.run;
            if let Some(pending) = self.pending.get_mut(run).filter(|pending| **pending > 0) {
                *pending -= 1;
                if *pending == 0 {
                    self.free.push(run);
                }
            }
        }
    }

    /// The offset of a run.
    fn start(&self, run: usize) -> usize {
        self.memory.half() + run * self.run * self.memory.buffer_len
    }

    /// A free run, to write a frame to.
    #[expect(unsafe_code, reason = "memory that the kernel reads as well")]
    fn run_mut(&mut self, run: usize) -> &mut [u8] {
        // SAFETY: it is in the half that only this sender refers to, once for as long as `&mut self`. The run is free:
        // the kernel does not read it.
        unsafe { self.memory.bytes_mut(self.start(run), self.frame_len) }
    }
}
