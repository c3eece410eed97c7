//! Buffers of frames: a mempool of mbufs.

use std::ffi::CString;
use std::ptr::NonNull;

use dpdk_sys::{rte_mbuf, rte_mempool};

use super::error;

/// The cache of each lcore, which saves accesses to the shared ring of the pool.
const CACHE: u32 = 256;

/// The room of a buffer for a frame of this length. Some cards accept only powers of two; some no less than 2,048.
pub(super) const fn room_for(frame_max: u16) -> u32 {
    let room = (frame_max as u32).next_power_of_two();
    if room < 2048 { 2048 } else { room }
}

/// A pool of buffers of one size, which are freed when it is dropped.
#[derive(Debug)]
pub(super) struct Pool {
    raw: NonNull<rte_mempool>,
    buffers: u32,
}

// SAFETY: a mempool may be used by many lcores at a time.
unsafe impl Send for Pool {}
// SAFETY: a mempool is not bound to a thread.
unsafe impl Sync for Pool {}

impl Pool {
    /// Allocates `buffers`, each with room for a frame of this length, on NUMA node `socket`.
    ///
    /// # Errors
    ///
    /// The error of DPDK, mostly a lack of memory.
    pub(super) fn new(name: &str, buffers: u32, frame_max: u16, socket: i32) -> Result<Self, String> {
        let name = CString::new(name).map_err(|_| "its name has a NUL in it".to_owned())?;
        let room = u16::try_from(room_for(frame_max) + u32::from(dpdk_sys::DPDK_HEADROOM)).unwrap_or(u16::MAX);
        // SAFETY: the name is copied; the other arguments are numbers, which DPDK checks.
        let raw = unsafe { dpdk_sys::rte_pktmbuf_pool_create(name.as_ptr(), buffers, CACHE, 0, room, socket) };
        NonNull::new(raw).map(|raw| Self { raw, buffers }).ok_or_else(error::last)
    }

    pub(super) fn as_ptr(&self) -> *mut rte_mempool {
        self.raw.as_ptr()
    }

    /// The number of buffers.
    pub(super) fn buffers(&self) -> u32 {
        self.buffers
    }

    /// The number of buffers that are not in the pool. Exact only while no lcore uses it.
    pub(super) fn in_use(&self) -> u32 {
        // SAFETY: the pool lives as long as this value.
        unsafe { dpdk_sys::rte_mempool_in_use_count(self.as_ptr()) }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // SAFETY: the port that used it owns it, and closes itself first.
        unsafe { dpdk_sys::rte_mempool_free(self.as_ptr()) };
    }
}

/// Up to `N` mbufs that this value owns.
///
/// **Invariant:** each of the first `len` is an mbuf that was taken from a pool or a driver and not returned, and none
/// is there twice; or it is null, where it was [taken out](Self::take_out). The others are not valid.
#[derive(Debug)]
pub(super) struct Mbufs<const N: usize> {
    frames: [*mut rte_mbuf; N],
    len: usize,
}

// SAFETY: an mbuf belongs to the thread that has taken it, and may be passed on to another.
unsafe impl<const N: usize> Send for Mbufs<N> {}

impl<const N: usize> Mbufs<N> {
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

    /// Appends an mbuf, for which there is room.
    #[inline]
    pub(super) fn push(&mut self, frame: *mut rte_mbuf) {
        self.frames[self.len] = frame;
        self.len += 1;
    }

    /// Removes the last mbuf.
    #[inline]
    pub(super) fn pop(&mut self) -> Option<*mut rte_mbuf> {
        let last = self.len.checked_sub(1)?;
        self.len = last;
        self.frames.get(last).copied()
    }

    /// Takes the mbuf at this place out, if it is there and `may` says so of it.
    #[inline]
    pub(super) fn take_out(&mut self, at: usize, may: impl FnOnce(*const rte_mbuf) -> bool) -> Option<*mut rte_mbuf> {
        let frame = self.frames.get_mut(..self.len)?.get_mut(at)?;
        (!frame.is_null() && may(*frame)).then(|| std::mem::replace(frame, std::ptr::null_mut()))
    }

    /// Puts an mbuf back where it was taken out.
    #[inline]
    pub(super) fn put_back(&mut self, at: usize, frame: *mut rte_mbuf) {
        self.frames[at] = frame;
    }

    /// Fills the free room by `fill`, which writes at most as many mbufs as its second argument to the first, and
    /// returns their number.
    ///
    /// # Safety
    ///
    /// The mbufs that it writes satisfy the invariant.
    #[inline]
    pub(super) unsafe fn fill(&mut self, limit: usize, fill: impl FnOnce(*mut *mut rte_mbuf, u16) -> u16) {
        let room = self.frames.get_mut(self.len..).unwrap_or_default();
        let room_len = room.len().min(limit);
        let filled = fill(room.as_mut_ptr(), room_len as u16);
        self.len += usize::from(filled).min(room_len);
    }

    /// Fills the free room from a pool, completely or not at all.
    #[inline]
    pub(super) fn allocate(&mut self, pool: &Pool) {
        let pool = pool.as_ptr();
        // SAFETY: the pool lives as long as it is borrowed. It writes all pointers, each to an mbuf that is ours from
        // then on, or none.
        unsafe {
            self.fill(
                N,
                |frames, count| {
                    if dpdk_sys::dpdk_alloc_bulk(pool, frames, count.into()) == 0 { count } else { 0 }
                },
            );
        }
    }

    /// Passes all mbufs to `take`, which takes some from the first on, and returns their number.
    ///
    /// # Safety
    ///
    /// `take` owns the first mbufs, as many as it returns, and no others.
    #[inline]
    pub(super) unsafe fn take(&mut self, take: impl FnOnce(*mut *mut rte_mbuf, u16) -> u16) {
        let taken = usize::from(take(self.frames.as_mut_ptr(), self.len as u16)).min(self.len);
        self.frames.copy_within(taken..self.len, 0);
        self.len -= taken;
    }

    /// Keeps the first `len`, and returns the others to their pool.
    pub(super) fn truncate(&mut self, len: usize) {
        if let Some(rest) = self.frames.get_mut(len..self.len) {
            // SAFETY: they are ours, by the invariant, and after this they are not among the first `len`. Null is
            // passed over.
            unsafe { dpdk_sys::rte_pktmbuf_free_bulk(rest.as_mut_ptr(), rest.len() as u32) };
            self.len = len;
        }
    }

    /// Returns all mbufs to their pool.
    #[inline]
    pub(super) fn free(&mut self) {
        // SAFETY: they are ours, by the invariant, and after this there are none. Null is passed over.
        unsafe { dpdk_sys::rte_pktmbuf_free_bulk(self.frames.as_mut_ptr(), self.len as u32) };
        self.len = 0;
    }
}

impl<const N: usize> Drop for Mbufs<N> {
    fn drop(&mut self) {
        self.free();
    }
}
