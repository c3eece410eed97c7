//! The formats on the wire: one protocol, one file; `parse` in, `emit` out.
//!
//! A parser takes bytes that anybody may have sent and returns a value in which nothing is wrong, with
//! the payload that the value's own length fields allow, or the [`DropReason`](crate::verdict::DropReason)
//! that says what was wrong. An emitter takes such a value and cannot fail.

pub mod arp;
pub mod checksum;
pub mod ethernet;
pub mod icmpv4;
pub mod icmpv6;
pub mod ip;
pub mod ipv4;
pub mod ipv6;
pub mod seq;
pub mod tcp;

/// Writes `bytes` at the start of `buffer` and returns the rest of it, or `None` when there is no room.
#[inline]
pub(crate) fn put<'b>(buffer: &'b mut [u8], bytes: &[u8]) -> Option<&'b mut [u8]> {
    let (room, rest) = buffer.split_at_mut_checked(bytes.len())?;
    room.copy_from_slice(bytes);
    Some(rest)
}

/// The same with a header that is made of whole words.
#[inline]
pub(crate) fn put_words<const N: usize>(buffer: &mut [u8], words: [u32; N]) -> Option<&mut [u8]> {
    let (room, rest) = buffer.split_at_mut_checked(4 * N)?;
    let (room, _) = room.as_chunks_mut::<4>();
    for (to, word) in room.iter_mut().zip(words) {
        *to = word.to_be_bytes();
    }
    Some(rest)
}
