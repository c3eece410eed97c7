//! The receive ring of an `AF_PACKET` socket: shared memory into which the kernel copies frames
//! (`packet_mmap` in the kernel's documentation, `TPACKET_V2`).
//!
//! ```text
//! slot: | header: status … | room | 4 bytes | Ethernet frame            |
//!        0                                   tp_mac
//! ```
//!
//! The status of a slot tells whether it belongs to the kernel or to this program. Version 3 of the ring is not used:
//! it delivers blocks of frames when they are full or after a timer of milliseconds, which would delay answers.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicU32, Ordering};

use libc::{SOL_PACKET, TP_STATUS_COPY, TP_STATUS_CSUM_VALID, TP_STATUS_CSUMNOTREADY, TP_STATUS_USER, tpacket_req};
use memmap2::{MmapOptions, MmapRaw};

use crate::sys;

/// Bytes of the whole ring: room for thousands of requests.
const RING_LEN: usize = 8 << 20;

/// Bytes that the kernel allocates at a time; divides [`RING_LEN`].
const BLOCK_LEN: usize = 256 << 10;

/// The most bytes of a slot before a frame: `struct tpacket2_hdr`, a socket address, and alignment.
const HEADER_ROOM: usize = 128;

/// Bytes reserved before each frame, for a VLAN tag that the kernel has taken out.
pub(super) const TAG_LEN: usize = 4;

/// The ring, and the current position.
pub(super) struct Ring {
    memory: MmapRaw,
    slot_len: usize,
    /// The offset of the next slot.
    at: usize,
    /// Whether that slot was returned to the caller, and is not released yet.
    is_held: bool,
}

/// A slot that the kernel has filled.
pub(super) struct Slot<'a> {
    status: u32,
    /// The bytes of the slot behind its status.
    bytes: &'a mut [u8],
}

impl Ring {
    /// Creates a ring for a socket that is not bound yet, with slots for frames of this MTU.
    pub(super) fn new(socket: BorrowedFd<'_>, mtu: u16) -> io::Result<Self> {
        let slot_len = (usize::from(mtu) + HEADER_ROOM).next_power_of_two().max(2048);
        let version = libc::tpacket_versions::TPACKET_V2;
        sys::set_option(socket, SOL_PACKET, libc::PACKET_VERSION, &version)?;
        sys::set_option(socket, SOL_PACKET, libc::PACKET_RESERVE, &(TAG_LEN as u32))?;
        // A frame that is too long for its slot is put into the socket's queue as well.
        sys::set_option(socket, SOL_PACKET, libc::PACKET_COPY_THRESH, &1i32)?;
        let request = tpacket_req {
            tp_block_size: BLOCK_LEN as u32,
            tp_block_nr: (RING_LEN / BLOCK_LEN) as u32,
            tp_frame_size: slot_len as u32,
            tp_frame_nr: (RING_LEN / slot_len) as u32,
        };
        sys::set_option(socket, SOL_PACKET, libc::PACKET_RX_RING, &request)?;
        let memory = MmapOptions::new().len(RING_LEN).populate().map_raw(socket.as_fd().as_raw_fd())?;
        Ok(Self { memory, slot_len, at: 0, is_held: false })
    }

    /// The next frame, if there is one. Releases the one before.
    pub(super) fn next(&mut self) -> Option<Slot<'_>> {
        self.release();
        let status = self.status().load(Ordering::Acquire);
        if status & TP_STATUS_USER == 0 {
            return None;
        }
        self.is_held = true;
        Some(Slot { status, bytes: self.bytes() })
    }

    /// Whether there is a frame. Releases the one before.
    pub(super) fn has_next(&mut self) -> bool {
        self.release();
        self.status().load(Ordering::Acquire) & TP_STATUS_USER != 0
    }

    /// Returns the slot of the last frame to the kernel.
    fn release(&mut self) {
        if self.is_held {
            self.status().store(libc::TP_STATUS_KERNEL, Ordering::Release);
            self.at = (self.at + self.slot_len) % RING_LEN;
            self.is_held = false;
        }
    }

    #[expect(unsafe_code, reason = "memory that the kernel writes to as well")]
    fn status(&self) -> &AtomicU32 {
        // SAFETY: the status is the first word of a slot; `at` is a multiple of `slot_len`, a power of two, and
        // less than `RING_LEN`, so the word is in the mapping, and aligned. No other reference includes it: see
        // `bytes`. The kernel accesses it atomically.
        unsafe { AtomicU32::from_ptr(self.memory.as_mut_ptr().add(self.at).cast()) }
    }

    /// The bytes of the current slot, without its status.
    #[expect(unsafe_code, reason = "memory that the kernel writes to as well")]
    fn bytes(&mut self) -> &mut [u8] {
        debug_assert!(self.is_held);
        let start = size_of::<AtomicU32>();
        // SAFETY: the slot is in the mapping, as in `status`. The kernel wrote it before it changed the status, and
        // does not write it again before the status is changed back, which takes `&mut self`.
        unsafe { std::slice::from_raw_parts_mut(self.memory.as_mut_ptr().add(self.at + start), self.slot_len - start) }
    }
}

impl<'a> Slot<'a> {
    /// Whether the frame is longer than its slot, so that the whole frame is in the socket's queue.
    pub(super) fn is_cut(&self) -> bool {
        self.status & TP_STATUS_COPY != 0
    }

    /// Whether the transport checksum counts as verified: by the card, or because the sender is on this machine and has
    /// not computed it yet.
    pub(super) fn is_verified(&self) -> bool {
        self.status & (TP_STATUS_CSUM_VALID | TP_STATUS_CSUMNOTREADY) != 0
    }

    /// The VLAN tag that the kernel has taken out of the frame: type, and control information.
    pub(super) fn tag(&self) -> Option<[u8; 4]> {
        let [t0, t1] = match self.status & libc::TP_STATUS_VLAN_TPID_VALID {
            0 => 0x8100,
            _ => self.half(26),
        }
        .to_be_bytes();
        let [c0, c1] = self.half(24).to_be_bytes();
        (self.status & libc::TP_STATUS_VLAN_VALID != 0).then_some([t0, t1, c0, c1])
    }

    /// The part of the frame that the slot holds, behind [`TAG_LEN`] reserved bytes.
    pub(super) fn frame(self) -> &'a mut [u8] {
        let (len, start) = (self.word(8), self.half(12));
        let start = usize::from(start).saturating_sub(size_of::<u32>() + TAG_LEN);
        self.bytes.get_mut(start..).and_then(|rest| rest.get_mut(..TAG_LEN + len as usize)).unwrap_or_default()
    }

    /// A field of `struct tpacket2_hdr`: status, length, and length in the slot, of 32 bits; offsets of frame and IP
    /// packet, of 16 bits; seconds and nanoseconds, of 32 bits; tag and its type, of 16 bits.
    fn word(&self, offset: usize) -> u32 {
        self.bytes.get(offset - 4..).and_then(|rest| rest.first_chunk()).map_or(0, |field| u32::from_ne_bytes(*field))
    }

    fn half(&self, offset: usize) -> u16 {
        self.bytes.get(offset - 4..).and_then(|rest| rest.first_chunk()).map_or(0, |field| u16::from_ne_bytes(*field))
    }
}

/// Restores the VLAN tag of a frame that is behind [`TAG_LEN`] reserved bytes. Returns the frame.
pub(super) fn with_tag(room: &mut [u8], tag: Option<[u8; 4]>) -> &[u8] {
    let Some(tag) = tag else { return room.get(TAG_LEN..).unwrap_or_default() };
    if room.len() < 12 + TAG_LEN {
        return &[];
    }
    // Both hardware addresses move forward, and the tag follows them.
    room.copy_within(TAG_LEN..12 + TAG_LEN, 0);
    if let Some(place) = room.get_mut(12..12 + TAG_LEN) {
        place.copy_from_slice(&tag);
    }
    room
}

/// A buffer for a frame of any length, behind [`TAG_LEN`] reserved bytes.
pub(super) fn room_for_any() -> Box<[u8]> {
    vec![0; TAG_LEN + 14 + 65_535].into()
}

/// The part of that buffer for the frame.
pub(super) fn behind_tag(room: &mut [u8]) -> &mut [u8] {
    room.get_mut(TAG_LEN..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_goes_back_between_the_addresses_and_the_type() {
        let mut room = *b"____ddddddssssssTTpayload";
        assert_eq!(with_tag(&mut room, None), b"ddddddssssssTTpayload");
        assert_eq!(with_tag(&mut room, Some([0x81, 0, 0, 5])), b"ddddddssssss\x81\x00\x00\x05TTpayload");
        assert_eq!(with_tag(&mut [0; 15], Some([0x81, 0, 0, 5])), b"", "too short for any header");
    }
}
