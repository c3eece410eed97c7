//! A receive queue.

use std::marker::PhantomData;
use std::slice;

use dpdk_sys::rte_mbuf;
use lethe::port::{Checked, RxChecksum, RxFrame, RxQueue};
use lethe::time::Instant;

use super::BURST;
use super::pool::Mbufs;
use super::port::Timestamps;

/// A receive queue of a [`Port`](super::Port): bursts of frames in the buffers of the card.
///
/// [`Rx::poll`] receives a burst; [`receive`](RxQueue::receive) returns its frames one by one. The burst behind it is
/// received ahead, so that its frames come into the cache meanwhile: a card writes to memory, or to a cache far away.
#[derive(Debug)]
pub struct Rx<'p> {
    port: u16,
    queue: u16,
    timestamps: Timestamps,
    burst: Mbufs<BURST>,
    /// The burst behind it.
    next: Mbufs<BURST>,
    /// The frames of the burst that were returned.
    taken: usize,
    _port: PhantomData<&'p ()>,
}

impl Rx<'_> {
    pub(super) const fn new(port: u16, queue: u16, timestamps: Timestamps) -> Self {
        Self { port, queue, timestamps, burst: Mbufs::new(), next: Mbufs::new(), taken: 0, _port: PhantomData }
    }

    /// Frees the buffers of the last burst, and goes on to the next: at most `limit` frames. Returns their number.
    #[inline]
    pub fn poll(&mut self, limit: usize) -> usize {
        if !self.burst.is_empty() {
            self.burst.free();
        }
        self.taken = 0;
        if self.next.is_empty() {
            self.receive_ahead(limit);
        }
        std::mem::swap(&mut self.burst, &mut self.next);
        if !self.burst.is_empty() {
            self.receive_ahead(limit);
        }
        self.burst.as_slice().len()
    }

    #[inline]
    fn receive_ahead(&mut self, limit: usize) {
        let (port, queue) = (self.port, self.queue);
        // SAFETY: the port is started as long as it is borrowed, the queue is one of its own, and only this value uses
        // it. The call writes as many pointers as it returns, each to an mbuf that is ours from then on.
        unsafe { self.next.fill(limit, |frames, room| dpdk_sys::dpdk_rx_burst(port, queue, frames, room)) };
    }

    /// The timestamp of the next frame, which drivers of capture files set.
    pub fn timestamp(&self) -> Option<Instant> {
        let &frame = self.burst.as_slice().get(self.taken)?;
        // SAFETY: the frame is ours, until the next poll.
        unsafe { self.timestamps.read(frame) }
    }

    /// The buffer of the frame that was returned last, if `may` says so of it: it is the caller's from then on.
    #[inline]
    pub(super) fn take_last(&mut self, may: impl FnOnce(*const rte_mbuf) -> bool) -> Option<*mut rte_mbuf> {
        self.burst.take_out(self.taken.checked_sub(1)?, may)
    }

    /// Takes back what [`take_last`](Self::take_last) gave away.
    #[inline]
    pub(super) fn give_back(&mut self, frame: *mut rte_mbuf) {
        if let Some(at) = self.taken.checked_sub(1) {
            self.burst.put_back(at, frame);
        }
    }
}

impl RxQueue for Rx<'_> {
    #[inline]
    fn receive(&mut self) -> Option<RxFrame<'_>> {
        let &frame = self.burst.as_slice().get(self.taken)?;
        self.taken += 1;
        // SAFETY: the frame is ours until the next poll, which this borrow of `self` prevents.
        Some(unsafe { view(frame) })
    }
}

/// The bytes of a frame, and the card's verdict on its checksums.
///
/// Of a frame in several buffers only the first is returned, so that the frame looks truncated: buffers hold the MTU,
/// and the frame is longer than that.
///
/// # Safety
///
/// `frame` is an mbuf that a driver has filled, and that is not written to during `'a`.
#[inline]
pub(super) unsafe fn view<'a>(frame: *const rte_mbuf) -> RxFrame<'a> {
    // SAFETY: by the caller's promise; a driver sets offset and length within the buffer.
    unsafe {
        let data = (*frame).buf_addr.cast::<u8>().add(usize::from((*frame).data_off));
        let bytes = slice::from_raw_parts(data, usize::from((*frame).data_len));
        RxFrame { bytes, checksum: checksum((*frame).ol_flags, (*frame).packet_type) }
    }
}

/// The checksums that the card has verified. `NONE` is a packet of a virtual device that has not crossed a wire, so
/// that its checksum was never computed, and counts as verified.
///
/// Many drivers report every checksum as good that they have not found to be bad, also of protocols that the card does
/// not know. So they are trusted for TCP only, which every card knows, and only if they report the packet type.
#[inline]
const fn checksum(flags: u64, packet_type: u32) -> RxChecksum {
    let network = match flags & dpdk_sys::DPDK_RX_IP_CKSUM_MASK {
        dpdk_sys::DPDK_RX_IP_CKSUM_GOOD | dpdk_sys::DPDK_RX_IP_CKSUM_NONE => Checked::Good,
        dpdk_sys::DPDK_RX_IP_CKSUM_BAD => Checked::Bad,
        _ => Checked::Unknown,
    };
    let is_tcp = packet_type & dpdk_sys::DPDK_PTYPE_L4_MASK == dpdk_sys::DPDK_PTYPE_L4_TCP;
    let transport = match flags & dpdk_sys::DPDK_RX_L4_CKSUM_MASK {
        dpdk_sys::DPDK_RX_L4_CKSUM_GOOD | dpdk_sys::DPDK_RX_L4_CKSUM_NONE if is_tcp => Checked::Good,
        dpdk_sys::DPDK_RX_L4_CKSUM_BAD => Checked::Bad,
        _ => Checked::Unknown,
    };
    RxChecksum { network, transport }
}

#[cfg(test)]
mod tests {
    use dpdk_sys::{
        DPDK_PTYPE_L4_TCP, DPDK_RX_IP_CKSUM_BAD, DPDK_RX_IP_CKSUM_GOOD, DPDK_RX_IP_CKSUM_NONE, DPDK_RX_L4_CKSUM_BAD,
        DPDK_RX_L4_CKSUM_GOOD, DPDK_RX_L4_CKSUM_NONE,
    };

    use super::*;

    #[test]
    fn a_card_is_believed_where_it_says_good_or_bad_and_nowhere_else() {
        use Checked::{Bad, Good, Unknown};
        let check = |flags, packet_type, network, transport| {
            assert_eq!(checksum(flags, packet_type), RxChecksum { network, transport }, "{flags:x} {packet_type:x}");
        };
        check(0, 0, Unknown, Unknown);
        check(0, DPDK_PTYPE_L4_TCP, Unknown, Unknown);
        check(DPDK_RX_IP_CKSUM_GOOD | DPDK_RX_L4_CKSUM_GOOD, DPDK_PTYPE_L4_TCP, Good, Good);
        check(DPDK_RX_IP_CKSUM_NONE | DPDK_RX_L4_CKSUM_NONE, DPDK_PTYPE_L4_TCP, Good, Good);
        check(DPDK_RX_IP_CKSUM_BAD | DPDK_RX_L4_CKSUM_BAD, DPDK_PTYPE_L4_TCP, Bad, Bad);
        // Packets that are not TCP, or not reported as TCP.
        check(DPDK_RX_IP_CKSUM_GOOD | DPDK_RX_L4_CKSUM_GOOD, 0, Good, Unknown);
        check(DPDK_RX_IP_CKSUM_GOOD | DPDK_RX_L4_CKSUM_BAD, 0, Good, Bad);
    }
}
