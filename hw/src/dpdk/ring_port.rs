//! A virtual card in this program: a port of `net_ring` receives the frames that it feeds, and returns the frames that
//! are sent. It serves tests of several workers, and measurements of the loop, since it costs next to nothing itself.

use std::ffi::CString;
use std::marker::PhantomData;
use std::ptr::NonNull;

use dpdk_sys::rte_ring;
use lethe::port::TxChecksum;

use super::BURST;
use super::eal::Eal;
use super::error::{self, DpdkError};
use super::pool::{Mbufs, Pool};
use super::rx::view;
use super::tx::{finish, room};

/// The size of each ring, in frames.
const RING: u32 = 1024;

/// The buffers of a queue: those in its ring, and those in use.
const BUFFERS: u32 = 4 * RING - 1;

/// The longest frame that can be fed.
const FRAME_MAX: u16 = 2018;

/// The far side of a port of `net_ring`. Rings and pools are leaked, since the port may use them until DPDK ends.
#[derive(Debug)]
pub struct RingPort<'e> {
    number: u16,
    queues: Vec<RingQueue<'e>>,
}

impl<'e> RingPort<'e> {
    /// Creates a port called `name` with a queue for each list of frames. No list may be empty.
    ///
    /// # Errors
    ///
    /// There is not enough memory.
    pub fn new(eal: &'e Eal, name: &str, queues: &[Vec<Vec<u8>>]) -> Result<Self, DpdkError> {
        let failed =
            |reason| DpdkError::Call { port: u16::MAX, driver: "net_ring".to_owned(), what: "be made", reason };
        let queue = |(number, frames): (usize, &Vec<_>)| RingQueue::new(eal, &format!("{name}-{number}"), frames);
        let queues: Vec<_> = queues.iter().enumerate().map(queue).collect::<Result<_, _>>().map_err(failed)?;
        let rx: Vec<_> = queues.iter().map(|queue| queue.to_port.as_ptr()).collect();
        let tx: Vec<_> = queues.iter().map(|queue| queue.from_port.as_ptr()).collect();
        let (name, count) = (CString::new(name).map_err(|_| DpdkError::Argument)?, queues.len() as u32);
        // SAFETY: two lists of `count` rings, which are copied; the rings are leaked.
        let number = unsafe { dpdk_sys::rte_eth_from_rings(name.as_ptr(), rx.as_ptr(), count, tx.as_ptr(), count, 0) };
        let number = u16::try_from(number).map_err(|_| failed(error::last()))?;
        Ok(Self { number, queues })
    }

    /// The number of the port.
    pub const fn number(&self) -> u16 {
        self.number
    }

    /// The far side of each queue, for a thread each.
    pub fn into_queues(self) -> Vec<RingQueue<'e>> {
        self.queues
    }
}

/// The far side of a pair of a receive and a transmit queue.
#[derive(Debug)]
pub struct RingQueue<'e> {
    to_port: NonNull<rte_ring>,
    from_port: NonNull<rte_ring>,
    pool: &'static Pool,
    frames: Vec<Vec<u8>>,
    next: usize,
    _eal: PhantomData<&'e ()>,
}

// SAFETY: each ring has a single producer and a single consumer, one of which is the owner of this value.
unsafe impl Send for RingQueue<'_> {}

impl<'e> RingQueue<'e> {
    fn new(_eal: &'e Eal, name: &str, frames: &[Vec<u8>]) -> Result<Self, String> {
        // Leaked, because its frames may still be in use when the queue is dropped.
        let pool = Box::leak(Box::new(Pool::new(name, BUFFERS, FRAME_MAX, dpdk_sys::DPDK_ANY_SOCKET)?));
        Ok(Self {
            to_port: ring(&format!("{name}-in"))?,
            from_port: ring(&format!("{name}-out"))?,
            pool,
            frames: frames.to_vec(),
            next: 0,
            _eal: PhantomData,
        })
    }

    /// Feeds the next frames to the port, in rotation: at most a burst, and at most `limit`. Returns their number,
    /// which the room in the ring limits, too.
    ///
    /// # Panics
    ///
    /// When a frame is longer than its buffer.
    #[inline]
    pub fn feed(&mut self, limit: usize) -> usize {
        let mut burst = Mbufs::<BURST>::new();
        burst.allocate(self.pool);
        burst.truncate(limit);
        for (at, &buffer) in (self.next..).zip(burst.as_slice()) {
            let frame = &self.frames[at % self.frames.len()];
            // SAFETY: the buffer was just taken from our pool.
            unsafe {
                room(buffer)[..frame.len()].copy_from_slice(frame);
                finish(buffer, frame.len(), TxChecksum::Complete);
            }
        }
        let (ring, mut fed) = (self.to_port.as_ptr(), 0);
        // SAFETY: the call takes the frames from the first on, and returns their number.
        unsafe {
            burst.take(|frames, count| {
                fed = dpdk_sys::dpdk_ring_enqueue(ring, frames.cast(), count.into()) as u16;
                fed
            });
        }
        self.next = (self.next + usize::from(fed)) % self.frames.len();
        fed.into()
    }

    /// Takes the frames that the port has sent, at most a burst, and calls `look` with each. Returns their number.
    #[inline]
    pub fn collect(&mut self, mut look: impl FnMut(&[u8])) -> usize {
        let mut sent = Mbufs::<BURST>::new();
        let ring = self.from_port.as_ptr();
        // SAFETY: the call writes as many pointers as it returns, each to an mbuf that the port has sent, and that is
        // ours.
        unsafe {
            sent.fill(BURST, |frames, room| dpdk_sys::dpdk_ring_dequeue(ring, frames.cast(), room.into()) as u16);
        };
        for &frame in sent.as_slice() {
            // SAFETY: the mbuf is ours until it is freed below.
            look(unsafe { view(frame) }.bytes);
        }
        sent.as_slice().len()
    }
}

fn ring(name: &str) -> Result<NonNull<rte_ring>, String> {
    let name = CString::new(name).map_err(|_| "its name has a NUL in it".to_owned())?;
    // SAFETY: the name is copied; the size is a power of two.
    let ring = unsafe {
        dpdk_sys::rte_ring_create(name.as_ptr(), RING, dpdk_sys::DPDK_ANY_SOCKET, dpdk_sys::DPDK_RING_ONE_TO_ONE)
    };
    NonNull::new(ring).ok_or_else(error::last)
}
