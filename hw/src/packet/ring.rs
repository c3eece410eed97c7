//! The receive ring of an `AF_PACKET` socket: memory that the kernel puts frames into
//! (`packet_mmap` in the kernel's documentation, `TPACKET_V2`).
//!
//! ```text
//! slot: | header: status … | room | 4 bytes | Ethernet frame            |
//!        0                                   tp_mac
//! ```
//!
//! A slot is ours from when its status says so until we say that it is the kernel's. Version 2, since with
//! version 3 the kernel hands over a block of frames when it is full or a timer of milliseconds expires, and
//! a client would wait for that timer.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicU32, Ordering};

use libc::{SOL_PACKET, TP_STATUS_COPY, TP_STATUS_CSUM_VALID, TP_STATUS_CSUMNOTREADY, TP_STATUS_USER, tpacket_req};
use memmap2::{MmapOptions, MmapRaw};

use crate::sys;

/// Bytes of the whole ring: thousands of requests that arrive while we answer others.
const RING_LEN: usize = 8 << 20;

/// Bytes that the kernel allocates at a time; divides [`RING_LEN`].
const BLOCK_LEN: usize = 256 << 10;

/// Bytes of a slot in front of a frame, at most: `struct tpacket2_hdr`, a socket address, and what the
/// kernel aligns.
const HEADER_ROOM: usize = 128;

/// Bytes kept free in front of each frame, for a tag that the kernel has taken out.
pub(super) const TAG_LEN: usize = 4;

/// The ring, and where in it we are.
pub(super) struct Ring {
    memory: MmapRaw,
    slot_len: usize,
    /// The slot that is looked at next.
    at: usize,
    /// It has been handed out, and not yet given back.
    is_held: bool,
}

/// A slot that is ours.
pub(super) struct Slot<'a> {
    status: u32,
    /// The slot, behind its status.
    bytes: &'a mut [u8],
}

impl Ring {
    /// Has the kernel make a ring for a socket that is not bound yet, with slots for frames of this MTU.
    pub(super) fn new(socket: BorrowedFd<'_>, mtu: u16) -> io::Result<Self> {
        let slot_len = (usize::from(mtu) + HEADER_ROOM).next_power_of_two().max(2048);
        let version = libc::tpacket_versions::TPACKET_V2;
        sys::set_option(socket, SOL_PACKET, libc::PACKET_VERSION, &version)?;
        sys::set_option(socket, SOL_PACKET, libc::PACKET_RESERVE, &(TAG_LEN as u32))?;
        // What is too long for its slot is also put into the socket's own queue.
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

    /// The next frame, if there is one. The one before goes back to the kernel.
    pub(super) fn next(&mut self) -> Option<Slot<'_>> {
        if self.is_held {
            self.status().store(libc::TP_STATUS_KERNEL, Ordering::Release);
            self.at = (self.at + self.slot_len) % RING_LEN;
            self.is_held = false;
        }
        let status = self.status().load(Ordering::Acquire);
        if status & TP_STATUS_USER == 0 {
            return None;
        }
        self.is_held = true;
        Some(Slot { status, bytes: self.bytes() })
    }

    #[expect(unsafe_code, reason = "memory that the kernel writes to as well")]
    fn status(&self) -> &AtomicU32 {
        // SAFETY: the status is the first word of a slot; `at` is a multiple of `slot_len`, a power of two, and
        // less than `RING_LEN`, so the word is in the mapping, and aligned. Nothing else refers to it: see
        // `bytes`. The kernel reads and writes it in one piece.
        unsafe { AtomicU32::from_ptr(self.memory.as_mut_ptr().add(self.at).cast()) }
    }

    /// The slot that is held, without its status.
    #[expect(unsafe_code, reason = "memory that the kernel writes to as well")]
    fn bytes(&mut self) -> &mut [u8] {
        debug_assert!(self.is_held);
        let start = size_of::<AtomicU32>();
        // SAFETY: the slot is in the mapping, as in `status`. It is held: the kernel wrote it before it changed
        // the status, and leaves it alone until we change it back, which takes `&mut self`.
        unsafe { std::slice::from_raw_parts_mut(self.memory.as_mut_ptr().add(self.at + start), self.slot_len - start) }
    }
}

impl<'a> Slot<'a> {
    /// Whether the frame is longer than its slot, and is in the socket's queue as well.
    pub(super) fn is_cut(&self) -> bool {
        self.status & TP_STATUS_COPY != 0
    }

    /// Whether the kernel vouches for the checksum of the transport: a card has verified it, or the sender is on
    /// this machine and has not computed it yet.
    pub(super) fn is_verified(&self) -> bool {
        self.status & (TP_STATUS_CSUM_VALID | TP_STATUS_CSUMNOTREADY) != 0
    }

    /// The tag that the kernel has taken out of the frame: its type, and its control information.
    pub(super) fn tag(&self) -> Option<[u8; 4]> {
        let [t0, t1] = match self.status & libc::TP_STATUS_VLAN_TPID_VALID {
            0 => 0x8100,
            _ => self.half(26),
        }
        .to_be_bytes();
        let [c0, c1] = self.half(24).to_be_bytes();
        (self.status & libc::TP_STATUS_VLAN_VALID != 0).then_some([t0, t1, c0, c1])
    }

    /// As much of the frame as the slot holds, behind [`TAG_LEN`] bytes that are free.
    pub(super) fn frame(self) -> &'a mut [u8] {
        let (len, start) = (self.word(8), self.half(12));
        let start = usize::from(start).saturating_sub(size_of::<u32>() + TAG_LEN);
        self.bytes.get_mut(start..).and_then(|rest| rest.get_mut(..TAG_LEN + len as usize)).unwrap_or_default()
    }

    /// A field of `struct tpacket2_hdr`: status, length, and length in the slot, each a word; then offsets of frame
    /// and IP packet, each a half; seconds, nanoseconds; tag and its type, each a half.
    fn word(&self, offset: usize) -> u32 {
        self.bytes.get(offset - 4..).and_then(|rest| rest.first_chunk()).map_or(0, |field| u32::from_ne_bytes(*field))
    }

    fn half(&self, offset: usize) -> u16 {
        self.bytes.get(offset - 4..).and_then(|rest| rest.first_chunk()).map_or(0, |field| u16::from_ne_bytes(*field))
    }
}

/// Puts a tag back into a frame that stands behind [`TAG_LEN`] free bytes, and returns the frame.
pub(super) fn with_tag(room: &mut [u8], tag: Option<[u8; 4]>) -> &[u8] {
    let Some(tag) = tag else { return room.get(TAG_LEN..).unwrap_or_default() };
    if room.len() < 12 + TAG_LEN {
        return &[];
    }
    // The two addresses move to the front, the tag goes behind them.
    room.copy_within(TAG_LEN..12 + TAG_LEN, 0);
    if let Some(place) = room.get_mut(12..12 + TAG_LEN) {
        place.copy_from_slice(&tag);
    }
    room
}

/// Room for a frame of any length, behind [`TAG_LEN`] free bytes.
pub(super) fn room_for_any() -> Box<[u8]> {
    vec![0; TAG_LEN + 14 + 65_535].into()
}

/// The part of that room that a frame goes to.
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
