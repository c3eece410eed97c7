//! What IPv4 and IPv6 have in common: two addresses, a protocol, and the pseudo-header.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Word;
use super::checksum::Sum;
use super::ethernet::EtherType;

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

/// The addresses of an IPv4 packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct V4Pair {
    /// The sender.
    pub source: Ipv4Addr,
    /// The receiver.
    pub destination: Ipv4Addr,
}

/// The addresses of an IPv6 packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct V6Pair {
    /// The sender.
    pub source: Ipv6Addr,
    /// The receiver.
    pub destination: Ipv6Addr,
}

impl Pair for V4Pair {
    #[inline]
    fn reversed(self) -> Self {
        Self { source: self.destination, destination: self.source }
    }
}

impl Pair for V6Pair {
    #[inline]
    fn reversed(self) -> Self {
        Self { source: self.destination, destination: self.source }
    }
}

impl From<V4Pair> for AddressPair {
    #[inline]
    fn from(V4Pair { source, destination }: V4Pair) -> Self {
        Self::V4 { source, destination }
    }
}

impl From<V6Pair> for AddressPair {
    #[inline]
    fn from(V6Pair { source, destination }: V6Pair) -> Self {
        Self::V6 { source, destination }
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
        // IPv6 has 32 bits for the length; no packet here is that long (no jumbograms).
        let rest = Word::pair(protocol.0.into(), length as u16);
        match *self {
            Self::V4 { source, destination } => {
                Sum::new().with_words([Word::address(source), Word::address(destination), rest])
            }
            Self::V6 { source, destination } => {
                Sum::new().with(&source.octets()).with(&destination.octets()).with_words([rest])
            }
        }
    }
}
