//! A transmit queue.

use std::marker::PhantomData;
use std::slice;

use dpdk_sys::rte_mbuf;
use lethe::port::{RxFrame, RxQueue, Transmit, TxChecksum, TxFrame, TxQueue};

use super::BURST;
use super::pool::{Mbufs, Pool};
use super::rx::Rx;

/// Frames that wait for the card. More are dropped, as by any full queue.
const QUEUE: usize = 2 * BURST;

/// Attempts to send the waiting frames at the end.
const LAST_TRIES: usize = 10_000;

/// What the buffers have to be that a queue sends.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Limits {
    /// All of one pool: the driver returns them without looking.
    pub(super) is_one_pool: bool,
    /// Bytes that the longest frame takes.
    pub(super) room: u16,
}

/// A transmit queue of a [`Port`](super::Port): frames are written to the buffers that the card sends from.
#[derive(Debug)]
pub struct Tx<'p> {
    port: u16,
    queue: u16,
    pool: &'p Pool,
    /// Empty mbufs, taken from the pool burst by burst.
    stock: Mbufs<BURST>,
    /// Frames that the card has not taken yet.
    waiting: Mbufs<QUEUE>,
    /// Whether the driver has to prepare any of them, for offloads.
    is_partial: bool,
    limits: Limits,
    _port: PhantomData<&'p ()>,
}

impl<'p> Tx<'p> {
    pub(super) fn new(port: u16, queue: u16, pool: &'p Pool, limits: Limits) -> Self {
        let (stock, waiting) = (Mbufs::new(), Mbufs::new());
        Self { port, queue, pool, stock, waiting, is_partial: false, limits, _port: PhantomData }
    }

    /// Passes all waiting frames to the card, which takes as many as it has room for.
    #[inline]
    fn send(&mut self) {
        let (port, queue) = (self.port, self.queue);
        if std::mem::take(&mut self.is_partial) {
            self.prepare();
        }
        // SAFETY: the port is started as long as it is borrowed, the queue is one of its own, and only this value uses
        // it. The call takes the frames from the first on, and returns their number.
        unsafe { self.waiting.take(|frames, count| dpdk_sys::dpdk_tx_burst(port, queue, frames, count)) };
    }

    /// Lets the driver prepare the frames for its card. A frame that it rejects is dropped with those behind it; that
    /// would be an error of the driver, since the engine only uses the offloads that it has announced.
    fn prepare(&mut self) {
        let (port, queue) = (self.port, self.queue);
        let mut fit = 0;
        // SAFETY: as in `send`; the call takes no frames, and changes their contents.
        unsafe {
            self.waiting.take(|frames, count| {
                fit = dpdk_sys::dpdk_tx_prepare(port, queue, frames, count);
                0
            });
        };
        self.waiting.truncate(usize::from(fit));
    }

    /// Tries to send the waiting frames, a number of times.
    pub fn drain(&mut self) {
        for _ in 0..LAST_TRIES {
            if self.waiting.is_empty() {
                return;
            }
            self.send();
            std::hint::spin_loop();
        }
    }

    #[inline]
    fn empty_buffer(&mut self) -> Option<*mut rte_mbuf> {
        if self.stock.is_empty() {
            self.stock.allocate(self.pool);
        }
        self.stock.pop()
    }
}

impl Tx<'_> {
    /// Whether there is room for a frame.
    #[inline]
    fn has_room(&mut self) -> bool {
        if self.waiting.is_full() {
            self.send();
        }
        !self.waiting.is_full()
    }

    /// Queues the frame that `write` puts into a buffer, which is returned if there is none.
    ///
    /// # Safety
    ///
    /// `buffer` is an mbuf that the caller owns, and gives away with the frame; it is the only one of its frame, and
    /// nothing else refers to it.
    #[inline]
    unsafe fn write_to(
        &mut self,
        buffer: *mut rte_mbuf,
        write: impl FnOnce(&mut [u8]) -> Option<TxFrame>,
    ) -> Result<usize, *mut rte_mbuf> {
        // SAFETY: by the caller's promise.
        let Some(TxFrame { len, checksum }) = write(unsafe { room(buffer) }) else { return Err(buffer) };
        // SAFETY: as above; the frame is within the room that it was written to.
        unsafe { finish(buffer, len, checksum) };
        self.is_partial |= checksum != TxChecksum::Complete;
        self.waiting.push(buffer);
        Ok(len)
    }

    /// Whether the buffer of a received frame may go out here: it is the only one of its frame, and nothing else refers
    /// to it. All are of our pool but where a driver passes on those of others, as `net_ring` does: then it has to have
    /// room for every frame, and to be returned to the pool that it names.
    ///
    /// # Safety
    ///
    /// The caller owns the buffer, which a driver has filled.
    #[inline]
    unsafe fn may_send(&self, buffer: *const rte_mbuf) -> bool {
        // SAFETY: by the caller's promise.
        let buffer = unsafe { &*buffer };
        let room = buffer.buf_len.saturating_sub(buffer.data_off);
        let fits = buffer.pool == self.pool.as_ptr() || !self.limits.is_one_pool && room >= self.limits.room;
        fits && buffer.refcnt == 1 && buffer.nb_segs == 1
    }
}

impl TxQueue for Tx<'_> {
    #[inline]
    fn transmit(&mut self, write: impl FnOnce(&mut [u8]) -> Option<TxFrame>) -> Transmit {
        if !self.has_room() {
            return Transmit::Full;
        }
        let Some(buffer) = self.empty_buffer() else { return Transmit::Full };
        // SAFETY: the buffer was just taken from our pool.
        match unsafe { self.write_to(buffer, write) } {
            Ok(len) => Transmit::Queued(len),
            Err(buffer) => {
                self.stock.push(buffer);
                Transmit::Nothing
            }
        }
    }

    #[inline]
    fn flush(&mut self) {
        if !self.waiting.is_empty() {
            self.send();
        }
    }
}

/// Both queues of a worker. An answer goes out in the buffer of the frame that it answers: that is in the cache, and
/// neither taken from the pool nor returned to it.
#[derive(Debug)]
pub struct Queues<'p> {
    /// Where frames come from.
    pub rx: Rx<'p>,
    /// Where they go.
    pub tx: Tx<'p>,
}

impl RxQueue for Queues<'_> {
    #[inline]
    fn receive(&mut self) -> Option<RxFrame<'_>> {
        self.rx.receive()
    }
}

impl TxQueue for Queues<'_> {
    #[inline]
    fn transmit(&mut self, write: impl FnOnce(&mut [u8]) -> Option<TxFrame>) -> Transmit {
        let Self { rx, tx } = self;
        if !tx.has_room() {
            return Transmit::Full;
        }
        // SAFETY: the buffer is in the queue of received frames, and so ours.
        let last = rx.take_last(|buffer| unsafe { tx.may_send(buffer) });
        let Some(buffer) = last else { return tx.transmit(write) };
        // SAFETY: the buffer was taken from the queue, which no longer has it, and is the only one of its frame.
        match unsafe { tx.write_to(buffer, write) } {
            Ok(len) => Transmit::Queued(len),
            Err(buffer) => {
                rx.give_back(buffer);
                Transmit::Nothing
            }
        }
    }

    #[inline]
    fn flush(&mut self) {
        self.tx.flush();
    }
}

/// The room for a frame in a buffer. It contains old data.
///
/// # Safety
///
/// `buffer` is an mbuf of a [`Pool`] that the caller owns during `'a`, and whose frame is no longer needed. Its memory
/// is initialized, since the kernel zeroes it.
#[inline]
pub(super) unsafe fn room<'a>(buffer: *mut rte_mbuf) -> &'a mut [u8] {
    // SAFETY: by the caller's promise; the room of a buffer is from `data_off` to its end.
    unsafe {
        let data_off = usize::from((*buffer).data_off);
        let data = (*buffer).buf_addr.cast::<u8>().add(data_off);
        slice::from_raw_parts_mut(data, usize::from((*buffer).buf_len) - data_off)
    }
}

/// Sets the length of a frame in its mbuf, and the offloads that the card performs.
///
/// # Safety
///
/// `buffer` is an mbuf that the caller owns, and `len` bytes are within its room.
#[inline]
pub(super) unsafe fn finish(buffer: *mut rte_mbuf, len: usize, checksum: TxChecksum) {
    // SAFETY: by the caller's promise.
    unsafe {
        (*buffer).data_len = len as u16;
        (*buffer).pkt_len = len as u32;
        (*buffer).ol_flags = match checksum {
            TxChecksum::Complete => 0,
            // Nothing is to be cut: an mbuf has room for one packet (`Port::offload`).
            TxChecksum::Partial { network_offset, network_len, network, transport, segment_len: _ } => {
                dpdk_sys::dpdk_set_header_lens(buffer, network_offset as u16, network_len as u16);
                flags(network_len, network, transport)
            }
        };
    }
}

/// The offload flags of DPDK. The length of the header tells the address family: the engine sends neither IPv4 options
/// nor IPv6 extension headers in packets that a card completes.
const fn flags(network_len: usize, network: bool, transport: bool) -> u64 {
    let family =
        if network_len == lethe::wire::ipv6::HEADER_LEN { dpdk_sys::DPDK_TX_IPV6 } else { dpdk_sys::DPDK_TX_IPV4 };
    let network = if network { dpdk_sys::DPDK_TX_IP_CKSUM } else { 0 };
    let transport = if transport { dpdk_sys::DPDK_TX_TCP_CKSUM } else { 0 };
    family | network | transport
}

#[cfg(test)]
mod tests {
    use dpdk_sys::{DPDK_TX_IP_CKSUM, DPDK_TX_IPV4, DPDK_TX_IPV6, DPDK_TX_TCP_CKSUM};

    use super::*;

    #[test]
    fn what_is_left_to_do_is_said_in_the_words_of_dpdk() {
        assert_eq!(flags(20, true, true), DPDK_TX_IPV4 | DPDK_TX_IP_CKSUM | DPDK_TX_TCP_CKSUM);
        assert_eq!(flags(20, true, false), DPDK_TX_IPV4 | DPDK_TX_IP_CKSUM);
        assert_eq!(flags(40, false, true), DPDK_TX_IPV6 | DPDK_TX_TCP_CKSUM);
    }
}
