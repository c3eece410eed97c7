//! A transmit queue.

use std::marker::PhantomData;
use std::slice;

use dpdk_sys::rte_mbuf;
use lethe::port::{RxFrame, RxQueue, Transmit, TxChecksum, TxFrame, TxQueue};
use lethe::wire::checksum::Sum;

use super::BURST;
use super::pool::{Mbufs, Pool};
use super::rx::Rx;

/// Frames that wait for the card. More are dropped, as by any full queue.
const QUEUE: usize = 2 * BURST;

/// The bytes of a TCP header without options.
const TCP_HEADER: usize = 20;

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

/// Sets the length of a frame in its mbuf, and the offloads that the card performs. In a frame that it cuts, the sum of
/// the pseudo-header loses its length, since each segment has one of its own.
///
/// # Safety
///
/// `buffer` is an mbuf that the caller owns, and `len` bytes are within its room. Its memory is initialized.
#[inline]
pub(super) unsafe fn finish(buffer: *mut rte_mbuf, len: usize, checksum: TxChecksum) {
    // SAFETY: by the caller's promise.
    unsafe {
        (*buffer).data_len = len as u16;
        (*buffer).pkt_len = len as u32;
        (*buffer).ol_flags = match checksum {
            TxChecksum::Complete => 0,
            TxChecksum::Partial { network_offset, network_len, network, transport, segment_len } => {
                let segment_len = segment_len.unwrap_or_default();
                let transport_len = match segment_len {
                    0 => 0,
                    _ => without_len(room(buffer).get_mut(..len).unwrap_or_default(), network_offset + network_len),
                };
                dpdk_sys::dpdk_set_tx_lens(
                    buffer,
                    network_offset as u16,
                    network_len as u16,
                    transport_len,
                    segment_len,
                );
                flags(network_len, network, transport, segment_len != 0)
            }
        };
    }
}

/// Takes the length out of the sum of the pseudo-header in a frame whose TCP header is at this offset. Returns the
/// length of that header.
fn without_len(frame: &mut [u8], transport: usize) -> u16 {
    let Some((header, payload)) = frame.get_mut(transport..).and_then(<[u8]>::split_first_chunk_mut::<TCP_HEADER>)
    else {
        return 0;
    };
    let [.., offset, _, _, _, sum_0, sum_1, _, _] = header;
    let len = (TCP_HEADER + payload.len()) as u16;
    // In one's complement to subtract is to add the complement.
    let sum = Sum::of_folded(u16::from_be_bytes([*sum_0, *sum_1])).followed_by(Sum::of_folded(!len));
    [*sum_0, *sum_1] = sum.folded().to_be_bytes();
    u16::from(*offset >> 4) * 4
}

/// The offload flags of DPDK. The length of the header tells the address family: the engine sends neither IPv4 options
/// nor IPv6 extension headers in packets that a card completes.
const fn flags(network_len: usize, network: bool, transport: bool, is_cut: bool) -> u64 {
    let family =
        if network_len == lethe::wire::ipv6::HEADER_LEN { dpdk_sys::DPDK_TX_IPV6 } else { dpdk_sys::DPDK_TX_IPV4 };
    let network = if network { dpdk_sys::DPDK_TX_IP_CKSUM } else { 0 };
    let transport = match (is_cut, transport) {
        // Which stands for checksums as well.
        (true, _) => dpdk_sys::DPDK_TX_TCP_SEG,
        (false, true) => dpdk_sys::DPDK_TX_TCP_CKSUM,
        (false, false) => 0,
    };
    family | network | transport
}

#[cfg(test)]
mod tests {
    use dpdk_sys::{DPDK_TX_IP_CKSUM, DPDK_TX_IPV4, DPDK_TX_IPV6, DPDK_TX_TCP_CKSUM, DPDK_TX_TCP_SEG};

    use super::*;

    const LINK: usize = 14;

    /// What an mbuf says of a frame: flags, lengths of headers and of a segment, and of the frame.
    #[derive(PartialEq, Eq, Debug)]
    struct Said {
        flags: u64,
        lens: [u16; 4],
        frame: (u16, u32),
    }

    /// Has a frame finished in an mbuf that was used before.
    fn said(frame: &mut [u8], network_len: usize, network: bool, transport: bool, segment_len: Option<u16>) -> Said {
        // SAFETY: all fields of an mbuf may be zero.
        let mut buffer: rte_mbuf = unsafe { std::mem::zeroed() };
        buffer.buf_addr = frame.as_mut_ptr().cast();
        buffer.buf_len = frame.len() as u16;
        buffer.ol_flags = u64::MAX;
        let checksum = TxChecksum::Partial { network_offset: LINK, network_len, network, transport, segment_len };
        let mut lens = [u16::MAX; 4];
        // SAFETY: the buffer is this function's, and its memory the frame; there is room for four numbers.
        unsafe {
            dpdk_sys::dpdk_set_tx_lens(&raw mut buffer, 1, 2, 3, 4);
            finish(&raw mut buffer, frame.len(), checksum);
            dpdk_sys::dpdk_tx_lens(&raw const buffer, lens.as_mut_ptr());
        }
        Said { flags: buffer.ol_flags, lens, frame: (buffer.data_len, buffer.pkt_len) }
    }

    /// A frame whose TCP header has 32 bytes, and in its checksum field the sum of a pseudo-header: of `addresses`, the
    /// protocol, and the length of header and payload.
    fn frame(network_len: usize, payload_len: usize, addresses: &[u8]) -> Vec<u8> {
        let mut frame = vec![7; LINK + network_len + 32 + payload_len];
        let header = &mut frame[LINK + network_len..];
        header[12] = 8 << 4;
        let len = (32 + payload_len) as u16;
        let sum = Sum::new().with(addresses).with(&[0, 6]).with(&len.to_be_bytes());
        header[16..18].copy_from_slice(&sum.folded().to_be_bytes());
        frame
    }

    #[test]
    fn what_is_left_to_do_is_said_in_the_words_of_dpdk() {
        let said = |network_len, network, transport| {
            let mut written = frame(network_len, 100, &[9; 8]);
            let before = written.clone();
            let said = said(&mut written, network_len, network, transport, None);
            assert_eq!(written, before);
            assert_eq!(
                (said.lens, said.frame),
                ([14, network_len as u16, 0, 0], (written.len() as u16, written.len() as u32))
            );
            said.flags
        };
        assert_eq!(said(20, true, true), DPDK_TX_IPV4 | DPDK_TX_IP_CKSUM | DPDK_TX_TCP_CKSUM);
        assert_eq!(said(20, true, false), DPDK_TX_IPV4 | DPDK_TX_IP_CKSUM);
        assert_eq!(said(40, false, true), DPDK_TX_IPV6 | DPDK_TX_TCP_CKSUM);
    }

    #[test]
    fn of_a_frame_that_a_card_cuts_all_headers_are_told_and_the_sum_of_the_pseudo_header_has_no_length() {
        let check = |network_len: usize, network, addresses: &[u8], flags| {
            let mut written = frame(network_len, 2896, addresses);
            let len = written.len();
            let said = said(&mut written, network_len, network, true, Some(1448));
            let lens = [14, network_len as u16, 32, 1448];
            assert_eq!(said, Said { flags, lens, frame: (len as u16, len as u32) });
            let mut expected = frame(network_len, 2896, addresses);
            let sum = Sum::new().with(addresses).with(&[0, 6]).folded();
            expected[LINK + network_len + 16..][..2].copy_from_slice(&sum.to_be_bytes());
            assert_eq!(written, expected, "nothing else is changed");
        };
        check(20, true, &[10, 9, 0, 2, 10, 9, 0, 1], DPDK_TX_IPV4 | DPDK_TX_IP_CKSUM | DPDK_TX_TCP_SEG);
        // With a carry on the way back, and without one.
        check(20, true, &[255, 255, 255, 255, 0, 0, 0, 1], DPDK_TX_IPV4 | DPDK_TX_IP_CKSUM | DPDK_TX_TCP_SEG);
        // Of a card that computes no header checksums otherwise: `net_vmxnet3` refuses frames that ask for one.
        check(20, false, &[10, 9, 0, 2, 10, 9, 0, 1], DPDK_TX_IPV4 | DPDK_TX_TCP_SEG);
        check(40, false, &[0xfd; 32], DPDK_TX_IPV6 | DPDK_TX_TCP_SEG);
        check(40, false, &[3; 32], DPDK_TX_IPV6 | DPDK_TX_TCP_SEG);
    }
}
