//! Buffers for frames: a mempool of mbufs.

use std::ffi::CString;
use std::ptr::NonNull;

use dpdk_sys::{rte_mbuf, rte_mempool};
use lethe::wire::ethernet::LINK_HEADER_MAX;

use super::error;

/// Buffers that a worker keeps to itself, so that it seldom goes to the ring that the pool is.
const CACHE: u32 = 256;

/// Buffers of a pool, all of one size. They go when it is dropped.
#[derive(Debug)]
pub(super) struct Pool {
    raw: NonNull<rte_mempool>,
    buffers: u32,
}

// SAFETY: a mempool is made to be used by many lcores at a time.
unsafe impl Send for Pool {}
// SAFETY: the same.
unsafe impl Sync for Pool {}

impl Pool {
    /// Makes `buffers` of them, each with room for a frame of this MTU, in memory near `socket`.
    ///
    /// # Errors
    ///
    /// What DPDK says: mostly that there is no memory.
    pub(super) fn new(name: &str, buffers: u32, mtu: u16, socket: i32) -> Result<Self, String> {
        let name = CString::new(name).map_err(|_| "its name has a NUL in it".to_owned())?;
        // Some cards take only powers of two; some do not take less than 2,048.
        let room = (usize::from(mtu) + LINK_HEADER_MAX).next_power_of_two().max(2048);
        let room = u16::try_from(room + usize::from(dpdk_sys::DPDK_HEADROOM)).unwrap_or(u16::MAX);
        // SAFETY: the name is copied; everything else is a number that is checked.
        let raw = unsafe { dpdk_sys::rte_pktmbuf_pool_create(name.as_ptr(), buffers, CACHE, 0, room, socket) };
        NonNull::new(raw).map(|raw| Self { raw, buffers }).ok_or_else(error::last)
    }

    pub(super) fn as_ptr(&self) -> *mut rte_mempool {
        self.raw.as_ptr()
    }

    /// How many buffers there are.
    pub(super) fn buffers(&self) -> u32 {
        self.buffers
    }

    /// How many of them are not in the pool. Right only while nobody works with it.
    pub(super) fn in_use(&self) -> u32 {
        // SAFETY: the pool is there for as long as this value.
        unsafe { dpdk_sys::rte_mempool_in_use_count(self.as_ptr()) }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // SAFETY: the port that used it is closed before: it owns the pools, and closes itself first.
        unsafe { dpdk_sys::rte_mempool_free(self.as_ptr()) };
    }
}

/// Up to `N` buffers, which are ours and nobody else's.
///
/// **Invariant:** each of the first `len` is an mbuf that was taken from a pool or from a driver and has not been
/// given back; none is there twice. The others mean nothing.
#[derive(Debug)]
pub(super) struct Buffers<const N: usize> {
    frames: [*mut rte_mbuf; N],
    len: usize,
}

// SAFETY: an mbuf belongs to whoever has taken it, on whatever thread that is.
unsafe impl<const N: usize> Send for Buffers<N> {}

impl<const N: usize> Buffers<N> {
    pub(super) const fn new() -> Self {
        Self { frames: [std::ptr::null_mut(); N], len: 0 }
    }

    #[inline]
    pub(super) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    #[inline]
    pub(super) const fn is_full(&self) -> bool {
        self.len == N
    }

    #[inline]
    pub(super) fn as_slice(&self) -> &[*mut rte_mbuf] {
        self.frames.get(..self.len).unwrap_or_default()
    }

    /// Puts one behind the others; there is room for it.
    #[inline]
    pub(super) fn push(&mut self, frame: *mut rte_mbuf) {
        self.frames[self.len] = frame;
        self.len += 1;
    }

    /// Takes the last one.
    #[inline]
    pub(super) fn pop(&mut self) -> Option<*mut rte_mbuf> {
        let last = self.len.checked_sub(1)?;
        self.len = last;
        self.frames.get(last).copied()
    }

    /// Fills the room by `fill`, which puts that many at its argument, at most as many as its other argument.
    ///
    /// # Safety
    ///
    /// What it puts there is as the invariant says.
    #[inline]
    pub(super) unsafe fn fill(&mut self, limit: usize, fill: impl FnOnce(*mut *mut rte_mbuf, u16) -> u16) {
        let room = self.frames.get_mut(self.len..).unwrap_or_default();
        let room_len = room.len().min(limit);
        let filled = fill(room.as_mut_ptr(), room_len as u16);
        self.len += usize::from(filled).min(room_len);
    }

    /// Fills the room from a pool, as a whole or not at all.
    #[inline]
    pub(super) fn allocate(&mut self, pool: &Pool) {
        let pool = pool.as_ptr();
        // SAFETY: the pool is there for as long as it is borrowed. It writes all pointers, each to an mbuf that is ours
        // from then on, or none.
        unsafe {
            self.fill(
                N,
                |frames, count| {
                    if dpdk_sys::dpdk_alloc_bulk(pool, frames, count.into()) == 0 { count } else { 0 }
                },
            );
        }
    }

    /// Gives the first of them to `take`, which says how many it has taken.
    ///
    /// # Safety
    ///
    /// It takes those from the first on, and has them from then on.
    #[inline]
    pub(super) unsafe fn take(&mut self, take: impl FnOnce(*mut *mut rte_mbuf, u16) -> u16) {
        let taken = usize::from(take(self.frames.as_mut_ptr(), self.len as u16)).min(self.len);
        self.frames.copy_within(taken..self.len, 0);
        self.len -= taken;
    }

    /// Keeps the first `len`, and gives the others back to their pool.
    pub(super) fn truncate(&mut self, len: usize) {
        if let Some(rest) = self.frames.get_mut(len..self.len) {
            // SAFETY: they are ours, by the invariant, and after this they are not among the first `len`.
            unsafe { dpdk_sys::rte_pktmbuf_free_bulk(rest.as_mut_ptr(), rest.len() as u32) };
            self.len = len;
        }
    }

    /// Gives all of them back to their pool.
    #[inline]
    pub(super) fn free(&mut self) {
        // SAFETY: they are ours, by the invariant, and after this there are none.
        unsafe { dpdk_sys::rte_pktmbuf_free_bulk(self.frames.as_mut_ptr(), self.len as u32) };
        self.len = 0;
    }
}

impl<const N: usize> Drop for Buffers<N> {
    fn drop(&mut self) {
        self.free();
    }
}
