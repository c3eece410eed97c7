//! The packets that nearly all are, recognized at a glance: TCP over IPv4 without options or IPv6 without extension
//! headers, for us, whole, and right.
//!
//! What is constant in their headers is compared eight bytes at a time, and the checksums are sums of the same words.
//! A packet that is anything else is left to the parsers of [`wire`](crate::wire), which take each field by itself and
//! tell what is wrong with it; of a packet that is recognized here they say the same (`tests/glance.rs`).

use crate::config::Addresses;
use crate::packet::{Packet, ReplyPath};
use crate::port::{Checked, RxChecksum};
use crate::wire::checksum::Sum;
use crate::wire::ip::{Pair as _, Protocol, V4Pair, V6Pair};
use crate::wire::{ethernet, get, ipv4, ipv6, tcp};

/// What the first eight bytes of an IPv4 header have to be, and which of their bits: version and length, for a header
/// of 20 bytes, and no fragment.
const V4_FIRST: (u64, u64) = (0x45, 0xff3f_0000_0000_00ff);

/// What the next eight have to be: the protocol.
const V4_SECOND: (u64, u64) = (TCP << 8, 0xff << 8);

/// What the first eight bytes of an IPv6 header have to be: the version, and what follows the header.
const V6_FIRST: (u64, u64) = (0x60 | TCP << 48, 0xf0 | 0xff << 48);

const TCP: u64 = Protocol::TCP.number() as u64;

/// The bits of a word that are not as they have to be.
#[inline]
const fn differs(word: u64, (expected, mask): (u64, u64)) -> u64 {
    (word ^ expected) & mask
}

/// A segment over IPv4, whose checksums are right. `None` if this is anything else.
#[inline]
pub(crate) fn v4<'f>(
    addresses: &Addresses,
    link: &ethernet::Header,
    datagram: &'f [u8],
    checksum: RxChecksum,
) -> Option<Packet<'f, V4Pair>> {
    let head = datagram.first_chunk::<{ ipv4::HEADER_LEN + tcp::HEADER_LEN }>()?;
    let (first, second, third) = (get::<0, _>(head), get::<8, _>(head), get::<16, _>(head));
    let pair = V4Pair::of_word(second >> 32 | third << 32);
    let (client, server) = (pair.source(), pair.destination());
    if differs(first, V4_FIRST) | differs(second, V4_SECOND) != 0
        || !addresses.has_v4(server)
        || !addresses.may_answer_v4(client)
    {
        return None;
    }
    let datagram = datagram.get(..big_endian(first >> 16))?;
    let (_, payload) = datagram.split_first_chunk::<{ ipv4::HEADER_LEN }>()?;
    let is_header_valid = match checksum.network {
        Checked::Unknown => Sum::of_ipv4_header([first, second >> 32 | third << 32], second as u32).is_valid(),
        known => known == Checked::Good,
    };
    let sum = |options: [u64; 2], rest| {
        let header = [second >> 32, third, get::<24, _>(head), get::<32, _>(head)];
        Sum::of_headers(header, options, rest)
    };
    if !is_header_valid || !is_segment_valid(sum, payload, checksum.transport) {
        return None;
    }
    let reply_path = ReplyPath { next_hop_mac: link.source, tag: link.tag, addresses: pair.reversed() };
    Some(Packet { datagram, reply_path, checksum: Checked::Good, payload })
}

/// A segment over IPv6, whose checksum is right. `None` if this is anything else.
#[inline]
pub(crate) fn v6<'f>(
    addresses: &Addresses,
    link: &ethernet::Header,
    datagram: &'f [u8],
    checksum: RxChecksum,
) -> Option<Packet<'f, V6Pair>> {
    let head = datagram.first_chunk::<{ ipv6::HEADER_LEN + tcp::HEADER_LEN }>()?;
    let first = get::<0, _>(head);
    let [s0, s1] = [get::<8, _>(head), get::<16, _>(head)];
    let [d0, d1] = [get::<24, _>(head), get::<32, _>(head)];
    let pair = V6Pair::of_words([s0, s1, d0, d1]);
    let (client, server) = (pair.source(), pair.destination());
    if differs(first, V6_FIRST) != 0 || !addresses.has_v6(server) || !addresses.may_answer_v6(client) {
        return None;
    }
    let datagram = datagram.get(..ipv6::HEADER_LEN + big_endian(first >> 32))?;
    let (_, payload) = datagram.split_first_chunk::<{ ipv6::HEADER_LEN }>()?;
    let sum = |options: [u64; 2], rest| {
        let header = [s0, s1, d0, d1, get::<40, _>(head), get::<48, _>(head)];
        Sum::of_headers(header, options, rest + (get::<52, _>(head) >> 32))
    };
    if !is_segment_valid(sum, payload, checksum.transport) {
        return None;
    }
    let reply_path = ReplyPath { next_hop_mac: link.source, tag: link.tag, addresses: pair.reversed() };
    Some(Packet { datagram, reply_path, checksum: Checked::Good, payload })
}

/// A field of two bytes, as it stands in the lowest of a word.
#[inline]
const fn big_endian(word: u64) -> usize {
    (word as u16).swap_bytes() as usize
}

/// Whether a segment is long enough, and its checksum right (RFC 9293, section 3.1). `sum` is that of addresses, fixed
/// header and some more, the last of which is short.
#[inline]
fn is_segment_valid(sum: impl FnOnce([u64; 2], u64) -> Sum, segment: &[u8], checksum: Checked) -> bool {
    let Some((_, rest)) = segment.split_first_chunk::<{ tcp::HEADER_LEN }>() else { return false };
    if checksum != Checked::Unknown {
        return checksum == Checked::Good;
    }
    // With timestamps, and often nothing behind them, or eight bytes more: a SYN.
    let (first, last, rest) = match rest.split_first_chunk::<{ tcp::TIMESTAMPS_LEN }>() {
        Some((options, rest)) => (get::<0, _>(options), get::<4, _>(options) >> 32, rest),
        None => (0, 0, rest),
    };
    let (more, rest) = match rest.as_chunks::<8>() {
        ([more], []) => (u64::from_le_bytes(*more), &[][..]),
        _ => (0, rest),
    };
    let length_and_protocol = u64::from((segment.len() as u16).swap_bytes()) + (TCP << 8);
    let sum = sum([first, more], last + length_and_protocol);
    if rest.is_empty() { sum.is_valid() } else { sum.with(rest).is_valid() }
}
