//! The boundary between the engine and whatever moves frames: a TAP device, a capture file, the
//! simulator, a network card.
//!
//! A port hands out an [`RxQueue`] and a [`TxQueue`] for [`turn`](crate::turn), the one loop that every port
//! runs. They may be one value: nothing of a received frame is needed any more when its answer is written, so that may
//! take the place of the frame. One that can be waited for is a [`Port`]: a server takes any of them.
//! What the hardware can do is data here ([`Offload`], [`RxChecksum`], [`TxChecksum`]), so that protocol
//! code has no branch for it.

use core::fmt;
use core::time::Duration;

pub use crate::wire::checksum::Checked;
use crate::wire::ethernet::MacAddress;

/// What the port already knows about the checksums of a received frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RxChecksum {
    /// The IPv4 header checksum.
    pub network: Checked,
    /// The TCP or ICMP checksum.
    pub transport: Checked,
}

/// A received Ethernet frame, without preamble and frame check sequence.
#[derive(Clone, Copy, Debug)]
pub struct RxFrame<'a> {
    /// The frame from its destination address on. It may carry padding at the end.
    pub bytes: &'a [u8],
    /// What is known about its checksums.
    pub checksum: RxChecksum,
}

impl<'a> RxFrame<'a> {
    /// A frame about whose checksums nothing is known.
    pub const fn unchecked(bytes: &'a [u8]) -> Self {
        Self { bytes, checksum: RxChecksum { network: Checked::Unknown, transport: Checked::Unknown } }
    }
}

/// What the port does to frames on the way out, so that the engine need not.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Offload {
    /// The port fills in the IPv4 header checksum.
    pub ipv4: bool,
    /// The port fills in the TCP checksum of a frame that is not a fragment.
    pub tcp: bool,
    /// The port cuts a frame that holds two segments of the same size (TSO), of at least 256 bytes of payload each. It
    /// has to fill in TCP checksums as well.
    pub segmentation: bool,
}

impl Offload {
    /// Nothing: frames go out as they were written.
    pub const NONE: Self = Self { ipv4: false, tcp: false, segmentation: false };
}

/// What is left to do to a frame before it goes on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TxChecksum {
    /// Nothing: every checksum is in place.
    Complete,
    /// The port has to fill some in, and may have to cut the frame before.
    Partial {
        /// Bytes from the start of the frame to the IP header.
        network_offset: usize,
        /// Bytes of IP header.
        network_len: usize,
        /// The IPv4 header checksum is missing; its field is zero.
        network: bool,
        /// The TCP checksum is missing; its field holds the sum of the pseudo-header.
        transport: bool,
        /// The payload of a segment, in bytes, if the frame holds two of that size and has to be cut. Each gets the
        /// headers of the frame, with its own lengths, sequence number and checksums, and the second an identification
        /// of IPv4 that is higher by one; PSH and FIN are for the second alone. `None`: the frame goes as it is.
        segment_len: Option<u16>,
    },
}

/// A frame that the engine wrote.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub struct TxFrame {
    /// Its length in bytes, counted from the start of the buffer.
    pub len: usize,
    /// What is left to do to its checksums.
    pub checksum: TxChecksum,
}

/// Where received frames come from.
pub trait RxQueue {
    /// The next received frame, or `None` when there is none at the moment.
    fn receive(&mut self) -> Option<RxFrame<'_>>;
}

impl<Q: RxQueue> RxQueue for &mut Q {
    #[inline]
    fn receive(&mut self) -> Option<RxFrame<'_>> {
        (**self).receive()
    }
}

/// What became of one call of [`TxQueue::transmit`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Transmit {
    /// A frame of this many bytes was written and queued.
    Queued(usize),
    /// `write` had nothing (more) to send.
    Nothing,
    /// There was no room. To the peer this is packet loss, and it recovers as from any other.
    Full,
}

/// Where frames go.
pub trait TxQueue {
    /// Hands a transmit buffer to `write` and queues the frame that it puts there. A buffer holds at
    /// least the MTU and [`LINK_HEADER_MAX`](crate::wire::ethernet::LINK_HEADER_MAX) bytes, and twice the MTU where the
    /// port [cuts](Offload::segmentation).
    fn transmit(&mut self, write: impl FnOnce(&mut [u8]) -> Option<TxFrame>) -> Transmit;

    /// Sends what is queued. Called once a turn, so that a port may batch.
    fn flush(&mut self);
}

impl<Q: TxQueue> TxQueue for &mut Q {
    #[inline]
    fn transmit(&mut self, write: impl FnOnce(&mut [u8]) -> Option<TxFrame>) -> Transmit {
        (**self).transmit(write)
    }

    #[inline]
    fn flush(&mut self) {
        (**self).flush();
    }
}

/// A receive queue and a transmit queue that know nothing of each other.
impl<R: RxQueue, T> RxQueue for (R, T) {
    #[inline]
    fn receive(&mut self) -> Option<RxFrame<'_>> {
        self.0.receive()
    }
}

impl<R, T: TxQueue> TxQueue for (R, T) {
    #[inline]
    fn transmit(&mut self, write: impl FnOnce(&mut [u8]) -> Option<TxFrame>) -> Transmit {
        self.1.transmit(write)
    }

    #[inline]
    fn flush(&mut self) {
        self.1.flush();
    }
}

/// Frames that a device has left out of those that it receives.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LeftOutFrames {
    /// How many.
    pub frames: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// A device that frames come from and go to: a receive queue, a transmit queue, and what a server needs to know of
/// them.
pub trait Port {
    /// Why the device can no longer be used.
    type Error: core::error::Error + Send + Sync + 'static;

    /// Kind and name of the device, for people: `packet eth0`.
    fn name(&self) -> impl fmt::Display;

    /// The largest IP packet that it carries, in bytes.
    fn mtu(&self) -> u16;

    /// Its hardware address, if it has one.
    fn mac(&self) -> Option<MacAddress> {
        None
    }

    /// What it does to frames on the way out.
    fn offload(&self) -> Offload {
        Offload::NONE
    }

    /// Both queues, for one turn of the loop.
    fn queues(&mut self) -> (impl RxQueue, impl TxQueue);

    /// Both queues as one, which may send an answer in the buffer of the frame that was received last.
    fn joined(&mut self) -> impl RxQueue + TxQueue {
        self.queues()
    }

    /// Frames for us that were lost before they could be received, since the device was opened. `None` where they are
    /// not counted.
    fn missed(&mut self) -> Option<u64> {
        None
    }

    /// Says whether bare ACKs with options are to be received
    /// ([`Engine::answers_acks`](crate::engine::Engine::answers_acks)). If not, the device may leave them out, since
    /// the engine would only [absorb](crate::verdict::Absorbed::Ack) them, so that nothing is woken for them; those
    /// without options it may leave out in any case. Before this is called it receives those with options.
    fn receive_acks(&mut self, wanted: bool) {
        let _ = wanted;
    }

    /// The bare ACKs that the device has left out since this was called last.
    fn take_left_out(&mut self) -> LeftOutFrames {
        LeftOutFrames::default()
    }

    /// Sleeps until there is a frame to receive, a signal has come, or `timeout` has passed.
    ///
    /// # Errors
    ///
    /// The device can no longer be used: it was removed, for example.
    fn wait(&mut self, timeout: Duration) -> Result<(), Self::Error>;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A device of which nothing is known but what has to be.
    struct Bare;

    impl RxQueue for Bare {
        fn receive(&mut self) -> Option<RxFrame<'_>> {
            None
        }
    }

    impl TxQueue for Bare {
        fn transmit(&mut self, _: impl FnOnce(&mut [u8]) -> Option<TxFrame>) -> Transmit {
            Transmit::Full
        }

        fn flush(&mut self) {}
    }

    impl Port for Bare {
        type Error = fmt::Error;

        fn name(&self) -> impl fmt::Display {
            "bare"
        }

        fn mtu(&self) -> u16 {
            1500
        }

        fn queues(&mut self) -> (impl RxQueue, impl TxQueue) {
            (Self, Self)
        }

        fn wait(&mut self, _: Duration) -> Result<(), Self::Error> {
            Ok(())
        }
    }

    #[test]
    fn a_device_has_no_hardware_address_counts_nothing_and_does_nothing_to_frames_unless_it_says_so() {
        assert_eq!((Bare.mac(), Bare.missed(), Bare.offload()), (None, None, Offload::NONE));
    }
}
