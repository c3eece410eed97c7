//! The rings of an `AF_XDP` socket: numbers of buffers, and descriptions of frames, that go to the kernel and
//! come back (`af_xdp` in the kernel's documentation).
//!
//! Both ends count how many entries they have ever written or read, modulo 2³²; an entry's place is its number
//! modulo the length of the ring, a power of two. One end writes, the other reads.

use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicU32, Ordering};

use memmap2::{MmapOptions, MmapRaw};
use rustix::net::xdp::{XdpDesc, XdpRingFlags, XdpRingOffset};

/// An entry: any bytes are a value.
pub(super) trait Entry: Copy {}

/// The number of a byte in the buffers.
impl Entry for u64 {}

/// Where a frame is, or a part of it.
impl Entry for XdpDesc {}

/// Memory that a ring is in.
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
        // SAFETY: the kernel has said that one of the ring's words is here: in the mapping, which goes further, and
        // aligned. It is read and written in one piece by both sides.
        unsafe { AtomicU32::from_ptr(self.memory.as_mut_ptr().add(offset as usize).cast()) }
    }

    /// Where the entry with this number is. It is in the mapping, and aligned.
    fn entry(&self, number: u32) -> *mut T {
        let place = (number & (self.len - 1)) as usize;
        let offset = self.offsets.desc as usize + place * size_of::<T>();
        self.memory.as_mut_ptr().wrapping_add(offset).cast()
    }
}

/// A ring that we write and the kernel reads.
pub(super) struct Producer<T> {
    shared: Shared<T>,
    /// How many entries have been written; the kernel knows of those before [`Producer::submit`].
    written: u32,
}

impl<T: Entry> Producer<T> {
    /// Maps the ring at `page` of a socket.
    pub(super) fn map(socket: BorrowedFd<'_>, page: u64, offsets: XdpRingOffset, len: u32) -> io::Result<Self> {
        Ok(Self { shared: Shared::map(socket, page, offsets, len)?, written: 0 })
    }

    /// How many entries there is room for.
    pub(super) fn room(&self) -> u32 {
        self.shared.len - self.unread()
    }

    /// How many entries the kernel has not yet read.
    pub(super) fn unread(&self) -> u32 {
        self.written.wrapping_sub(self.shared.consumer().load(Ordering::Acquire))
    }

    /// Writes an entry, if there is room for it.
    #[expect(unsafe_code, reason = "memory that the kernel reads")]
    pub(super) fn push(&mut self, entry: T) -> bool {
        if self.room() == 0 {
            return false;
        }
        // SAFETY: the place is in the mapping, and aligned. The kernel has read what was there, since there is room,
        // and does not look at it again before it is submitted.
        unsafe { self.shared.entry(self.written).write(entry) };
        self.written = self.written.wrapping_add(1);
        true
    }

    /// Tells the kernel of all entries that have been written.
    pub(super) fn submit(&mut self) {
        self.shared.producer().store(self.written, Ordering::Release);
    }

    /// Whether the kernel looks at the ring only when it is told to.
    pub(super) fn needs_wakeup(&self) -> bool {
        let flags = |offset| self.shared.word(offset).load(Ordering::Relaxed);
        self.shared.offsets.flags.is_none_or(|offset| flags(offset) & XdpRingFlags::XDP_RING_NEED_WAKEUP.bits() != 0)
    }
}

/// A ring that the kernel writes and we read.
pub(super) struct Consumer<T> {
    shared: Shared<T>,
    /// How many entries have been read.
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
        // SAFETY: the place is in the mapping, and aligned. The kernel has written it, and does not write there again
        // before it is told that it was read.
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
