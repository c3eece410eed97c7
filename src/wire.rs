//! The formats on the wire: one protocol, one file; `parse` in, `emit` out.
//!
//! A parser takes untrusted bytes and returns a value in which nothing is wrong, with
//! the payload that the value's own length fields allow, or the [`DropReason`](crate::verdict::DropReason)
//! that says what was wrong (of TCP, what becomes one). An emitter takes such a value and cannot fail.

pub mod arp;
pub mod checksum;
pub mod ethernet;
pub(crate) mod icmpv4;
pub mod icmpv6;
pub mod ip;
pub mod ipv4;
pub mod ipv6;
pub mod seq;
pub mod tcp;

use core::net::Ipv4Addr;

/// Writes `bytes` at the start of `buffer` and returns the rest of it, or `None` when there is no room.
#[inline]
pub(crate) fn put<'b>(buffer: &'b mut [u8], bytes: &[u8]) -> Option<&'b mut [u8]> {
    let (room, rest) = buffer.split_at_mut_checked(bytes.len())?;
    room.copy_from_slice(bytes);
    Some(rest)
}

/// Four bytes of a header, in the order of the wire: read as a little-endian number, which is how they are summed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Word(pub(crate) u32);

impl Word {
    pub(crate) const ZERO: Self = Self(0);

    /// A field of 32 bits.
    #[inline]
    pub(crate) const fn new(field: u32) -> Self {
        Self(field.swap_bytes())
    }

    /// Two fields of 16 bits.
    #[inline]
    pub(crate) const fn pair(first: u16, second: u16) -> Self {
        Self::new((first as u32) << 16 | second as u32)
    }

    /// The word as one field of 32 bits.
    #[inline]
    pub(crate) const fn field(self) -> u32 {
        self.0.swap_bytes()
    }

    /// The first of two fields.
    #[inline]
    pub(crate) const fn first(self) -> u16 {
        (self.0 as u16).swap_bytes()
    }

    /// The second.
    #[inline]
    pub(crate) const fn second(self) -> u16 {
        ((self.0 >> 16) as u16).swap_bytes()
    }

    /// An address.
    #[inline]
    pub(crate) const fn address(address: Ipv4Addr) -> Self {
        Self(u32::from_le_bytes(address.octets()))
    }
}

/// Writes eight bytes of a header at a place that is known at compile time .
#[inline(always)]
#[expect(clippy::inline_always, reason = "fast: eight bytes at a time")]
pub(crate) fn set<const AT: usize, const N: usize>(header: &mut [u8; N], bytes: u64) {
    const { assert!(AT + 8 <= N) };
    if let Some(to) = header.get_mut(AT..).and_then(|rest| rest.first_chunk_mut()) {
        *to = bytes.to_le_bytes();
    }
}

/// Reads eight bytes of a header at a place that is known at compile time.
#[inline(always)]
#[expect(clippy::inline_always, reason = "fast: eight bytes at a time")]
pub(crate) fn get<const AT: usize, const N: usize>(header: &[u8; N]) -> u64 {
    const { assert!(AT + 8 <= N) };
    header.get(AT..).and_then(|rest| rest.first_chunk()).map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// Eight bytes of a header, the first four before the others.
#[inline]
pub(crate) const fn wide(Word(first): Word, Word(second): Word) -> u64 {
    first as u64 | (second as u64) << 32
}

/// Writes a header of whole words at the start of `buffer` and returns the rest of it.
#[inline]
pub(crate) fn put_words<const N: usize>(buffer: &mut [u8], words: [Word; N]) -> Option<&mut [u8]> {
    let (room, rest) = buffer.split_at_mut_checked(4 * N)?;
    let (room, _) = room.as_chunks_mut::<4>();
    for (to, Word(word)) in room.iter_mut().zip(words) {
        *to = word.to_le_bytes();
    }
    Some(rest)
}
