//! What IPv4 and IPv6 have in common: two addresses, a protocol, and the pseudo-header.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::checksum::Sum;
use super::ethernet::EtherType;
use super::{Word, wide};

/// Bytes of an IPv4 header without options.
pub(super) const V4_HEADER_LEN: usize = 20;

/// Bytes of the fixed IPv6 header.
pub(super) const V6_HEADER_LEN: usize = 40;

/// What an IP packet carries (IANA protocol numbers).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Protocol(u8);

impl Protocol {
    /// ICMP for IPv4 (RFC 792).
    pub const ICMP: Self = Self(1);
    /// TCP (RFC 9293).
    pub const TCP: Self = Self(6);
    /// ICMP for IPv6 (RFC 4443).
    pub const ICMPV6: Self = Self(58);

    /// The protocol with this number.
    pub const fn new(number: u8) -> Self {
        Self(number)
    }

    /// Its number.
    pub const fn number(self) -> u8 {
        self.0
    }
}

/// The addresses of a packet, which are of one family.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum AddressPair {
    /// IPv4.
    V4 {
        /// The sender.
        source: Ipv4Addr,
        /// The receiver.
        destination: Ipv4Addr,
    },
    /// IPv6.
    V6 {
        /// The sender.
        source: Ipv6Addr,
        /// The receiver.
        destination: Ipv6Addr,
    },
}

/// Addresses whose family is known at compile time, so that a choice by family costs nothing.
pub trait Pair: Copy + Into<AddressPair> {
    /// Sender and receiver exchanged: the addresses of the answer.
    #[must_use]
    fn reversed(self) -> Self;
}

impl Pair for AddressPair {
    fn reversed(self) -> Self {
        match self {
            Self::V4 { source, destination } => Self::V4 { source: destination, destination: source },
            Self::V6 { source, destination } => Self::V6 { source: destination, destination: source },
        }
    }
}

/// The addresses of an IPv4 packet, as they stand in it: a little-endian number (fast: read and written at once).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct V4Pair(u64);

impl V4Pair {
    /// The sender, and the receiver.
    #[inline]
    pub const fn new(source: Ipv4Addr, destination: Ipv4Addr) -> Self {
        Self(wide(Word::address(source), Word::address(destination)))
    }

    /// The addresses in the last eight bytes of a header.
    #[inline]
    pub(crate) const fn of_word(word: u64) -> Self {
        Self(word)
    }

    /// The sender.
    #[inline]
    pub const fn source(self) -> Ipv4Addr {
        let [a, b, c, d, ..] = self.0.to_le_bytes();
        Ipv4Addr::new(a, b, c, d)
    }

    /// The receiver.
    #[inline]
    pub const fn destination(self) -> Ipv4Addr {
        let [.., a, b, c, d] = self.0.to_le_bytes();
        Ipv4Addr::new(a, b, c, d)
    }
}

/// The addresses of an IPv6 packet, as they stand in it: little-endian numbers, two for each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct V6Pair([u64; 4]);

impl V6Pair {
    /// The sender, and the receiver.
    #[inline]
    pub const fn new(source: Ipv6Addr, destination: Ipv6Addr) -> Self {
        let ([s0, s1], [d0, d1]) = (halves(source), halves(destination));
        Self([s0, s1, d0, d1])
    }

    /// The addresses in the last 32 bytes of a header.
    #[inline]
    pub(crate) const fn of_words(words: [u64; 4]) -> Self {
        Self(words)
    }

    /// The sender.
    #[inline]
    pub const fn source(self) -> Ipv6Addr {
        let [low, high, ..] = self.0;
        address(low, high)
    }

    /// The receiver.
    #[inline]
    pub const fn destination(self) -> Ipv6Addr {
        let [.., low, high] = self.0;
        address(low, high)
    }
}

/// An address in two numbers.
#[inline]
pub(super) const fn halves(address: Ipv6Addr) -> [u64; 2] {
    let number = u128::from_le_bytes(address.octets());
    [number as u64, (number >> 64) as u64]
}

const fn address(low: u64, high: u64) -> Ipv6Addr {
    Ipv6Addr::from_octets((low as u128 | (high as u128) << 64).to_le_bytes())
}

impl Pair for V4Pair {
    #[inline]
    fn reversed(self) -> Self {
        Self(self.0.rotate_left(32))
    }
}

impl Pair for V6Pair {
    #[inline]
    fn reversed(self) -> Self {
        let [s0, s1, d0, d1] = self.0;
        Self([d0, d1, s0, s1])
    }
}

impl From<V4Pair> for AddressPair {
    #[inline]
    fn from(pair: V4Pair) -> Self {
        Self::V4 { source: pair.source(), destination: pair.destination() }
    }
}

impl From<V6Pair> for AddressPair {
    #[inline]
    fn from(pair: V6Pair) -> Self {
        Self::V6 { source: pair.source(), destination: pair.destination() }
    }
}

impl AddressPair {
    /// The sender.
    pub const fn source(&self) -> IpAddr {
        match *self {
            Self::V4 { source, .. } => IpAddr::V4(source),
            Self::V6 { source, .. } => IpAddr::V6(source),
        }
    }

    /// The receiver.
    pub const fn destination(&self) -> IpAddr {
        match *self {
            Self::V4 { destination, .. } => IpAddr::V4(destination),
            Self::V6 { destination, .. } => IpAddr::V6(destination),
        }
    }

    /// The type of a frame with these addresses.
    pub const fn ether_type(&self) -> EtherType {
        match self {
            Self::V4 { .. } => EtherType::IPV4,
            Self::V6 { .. } => EtherType::IPV6,
        }
    }

    /// Bytes of the IP header that we send for these addresses, which has neither options nor extensions.
    pub const fn header_len(&self) -> usize {
        match self {
            Self::V4 { .. } => V4_HEADER_LEN,
            Self::V6 { .. } => V6_HEADER_LEN,
        }
    }

    /// The sum over the pseudo-header (RFC 9293, section 3.1; RFC 8200, section 8.1), where `length` is
    /// that of the transport header and its payload.
    #[inline]
    pub fn pseudo_header(&self, protocol: Protocol, length: usize) -> Sum {
        self.pseudo_header_and(protocol, length, [], 0)
    }

    /// The sum over the pseudo-header, and over a transport header: eight bytes at a time, and some words of four bytes
    /// that have been added to each other.
    #[inline]
    pub(crate) fn pseudo_header_and<const N: usize>(
        &self,
        protocol: Protocol,
        length: usize,
        header: [u64; N],
        words: u64,
    ) -> Sum {
        // IPv6 has 32 bits for the length; no packet here is that long (no jumbograms).
        let Word(rest) = Word::pair(protocol.0.into(), length as u16);
        let words = words + u64::from(rest);
        match *self {
            Self::V4 { source, destination } => {
                Sum::of_headers([wide(Word::address(source), Word::address(destination))], header, words)
            }
            Self::V6 { source, destination } => {
                let ([s0, s1], [d0, d1]) = (halves(source), halves(destination));
                Sum::of_headers([s0, s1, d0, d1], header, words)
            }
        }
    }
}
