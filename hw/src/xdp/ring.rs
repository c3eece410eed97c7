//! The rings of an `AF_XDP` socket, by which buffer addresses and frame descriptors go to the kernel and come back
//! (`af_xdp` in the kernel's documentation).
//!
//! A ring has one producer and one consumer. Both count the entries that they have written or read, modulo 2³²; the
//! index of an entry is its number modulo the length of the ring, a power of two.

use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicU32, Ordering};

use memmap2::{MmapOptions, MmapRaw};
use rustix::net::xdp::{XdpDesc, XdpRingFlags, XdpRingOffset};

/// A type of entries, for which any bytes are a valid value.
pub(super) trait Entry: Copy {}

/// An offset in the memory of the buffers.
impl Entry for u64 {}

/// The descriptor of a frame, or of a part of it.
impl Entry for XdpDesc {}

/// The mapped memory of a ring.
struct Shared<T> {
    memory: MmapRaw,
    offsets: XdpRingOffset,
    len: u32,
    entries: PhantomData<T>,
}

impl<T: Entry> Shared<T> {
    fn map(socket: BorrowedFd<'_>, page: u64, offsets: XdpRingOffset, len: u32) -> io::Result<Self> {
        assert!(len.is_power_of_two());
        let bytes = offsets.desc as usize + len as usize * size_of::<T>();
        let memory = MmapOptions::new().offset(page).len(bytes).populate().map_raw(socket.as_raw_fd())?;
        Ok(Self { memory, offsets, len, entries: PhantomData })
    }

    fn producer(&self) -> &AtomicU32 {
        self.word(self.offsets.producer)
    }

    fn consumer(&self) -> &AtomicU32 {
        self.word(self.offsets.consumer)
    }

    #[expect(unsafe_code, reason = "memory that the kernel writes to as well")]
    fn word(&self, offset: u64) -> &AtomicU32 {
        // SAFETY: the kernel gave the offset of this word of the ring, which is in the mapping and aligned. Both sides
        // access it atomically.
        unsafe { AtomicU32::from_ptr(self.memory.as_mut_ptr().add(offset as usize).cast()) }
    }

    /// The address of the entry with this number. It is in the mapping, and aligned.
    fn entry(&self, number: u32) -> *mut T {
        let place = (number & (self.len - 1)) as usize;
        let offset = self.offsets.desc as usize + place * size_of::<T>();
        self.memory.as_mut_ptr().wrapping_add(offset).cast()
    }
}

/// A ring that we write and the kernel reads.
pub(super) struct Producer<T> {
    shared: Shared<T>,
    /// The number of entries that were written. The kernel sees them after [`Producer::submit`].
    written: u32,
}

impl<T: Entry> Producer<T> {
    /// Maps the ring at `page` of a socket.
    pub(super) fn map(socket: BorrowedFd<'_>, page: u64, offsets: XdpRingOffset, len: u32) -> io::Result<Self> {
        Ok(Self { shared: Shared::map(socket, page, offsets, len)?, written: 0 })
    }

    /// The number of free entries.
    pub(super) fn room(&self) -> u32 {
        self.shared.len - self.unread()
    }

    /// The number of entries that the kernel has not read yet.
    pub(super) fn unread(&self) -> u32 {
        self.written.wrapping_sub(self.shared.consumer().load(Ordering::Acquire))
    }

    /// Writes an entry, if there is room.
    #[expect(unsafe_code, reason = "memory that the kernel reads")]
    pub(super) fn push(&mut self, entry: T) -> bool {
        if self.room() == 0 {
            return false;
        }
        // SAFETY: the entry is in the mapping, and aligned. It is free: the kernel has read it, and does not read it
        // again before it is submitted.
        unsafe { self.shared.entry(self.written).write(entry) };
        self.written = self.written.wrapping_add(1);
        true
    }

    /// Submits all written entries to the kernel.
    pub(super) fn submit(&mut self) {
        self.shared.producer().store(self.written, Ordering::Release);
    }

    /// Whether the kernel has to be woken to read the ring.
    pub(super) fn needs_wakeup(&self) -> bool {
        let flags = |offset| self.shared.word(offset).load(Ordering::Relaxed);
        self.shared.offsets.flags.is_none_or(|offset| flags(offset) & XdpRingFlags::XDP_RING_NEED_WAKEUP.bits() != 0)
    }
}

/// A ring that the kernel writes and we read.
pub(super) struct Consumer<T> {
    shared: Shared<T>,
    /// The number of entries that were read.
    read: u32,
}

impl<T: Entry> Consumer<T> {
    /// Maps the ring at `page` of a socket.
    pub(super) fn map(socket: BorrowedFd<'_>, page: u64, offsets: XdpRingOffset, len: u32) -> io::Result<Self> {
        Ok(Self { shared: Shared::map(socket, page, offsets, len)?, read: 0 })
    }

    /// Reads the next entry, if there is one.
    #[expect(unsafe_code, reason = "memory that the kernel writes to")]
    pub(super) fn pop(&mut self) -> Option<T> {
        if self.shared.producer().load(Ordering::Acquire) == self.read {
            return None;
        }
        // SAFETY: the entry is in the mapping, and aligned. The kernel has written it, and does not write it again
        // before it is released.
        let entry = unsafe { self.shared.entry(self.read).read() };
        self.read = self.read.wrapping_add(1);
        self.shared.consumer().store(self.read, Ordering::Release);
        Some(entry)
    }

    /// Whether there is an entry.
    pub(super) fn has_entry(&self) -> bool {
        self.shared.producer().load(Ordering::Acquire) != self.read
    }
}
