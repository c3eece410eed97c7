//! A received packet, taken down to its transport layer, and the way its answer takes.

use crate::port::Checked;
use crate::verdict::DropReason;
use crate::wire::ethernet::MacAddress;
use crate::wire::ip::{AddressPair, Pair, Protocol};
use crate::wire::{icmpv6, ipv6};

/// Where a packet goes: the headers below the transport layer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReplyPath<P = AddressPair> {
    /// The hardware address that the frame is sent to: that of the router or host the packet came from.
    pub(crate) next_hop_mac: MacAddress,
    /// The tag of its VLAN, if it is in one.
    pub(crate) tag: Option<u16>,
    pub(crate) addresses: P,
}

impl<P: Pair> ReplyPath<P> {
    /// The path with addresses of either family.
    #[inline]
    pub(crate) fn either(self) -> ReplyPath {
        ReplyPath { next_hop_mac: self.next_hop_mac, tag: self.tag, addresses: self.addresses.into() }
    }
}

/// A packet, taken down to its transport layer.
#[derive(Clone, Copy)]
pub(crate) struct Packet<'a, P> {
    /// All of it, from its IP header on.
    pub(crate) datagram: &'a [u8],
    /// The way back: where an answer goes, and from which of our addresses.
    pub(crate) reply_path: ReplyPath<P>,
    /// What the port says of the transport checksum.
    pub(crate) checksum: Checked,
    pub(crate) payload: &'a [u8],
}

impl<'a, P: Pair> Packet<'a, P> {
    /// Whether the checksum of a transport that has a pseudo-header is right. The pseudo-header is the
    /// same in both directions.
    #[inline]
    pub(crate) fn checksum_is_valid(self, protocol: Protocol) -> bool {
        match self.checksum {
            Checked::Good => true,
            Checked::Bad => false,
            Checked::Unknown => {
                let pseudo_header = self.reply_path.addresses.into().pseudo_header(protocol, self.payload.len());
                pseudo_header.with(self.payload).is_valid()
            }
        }
    }

    pub(crate) fn parse_icmpv6(self, header: &ipv6::Header) -> Result<icmpv6::Message<'a>, DropReason> {
        if !self.checksum_is_valid(Protocol::ICMPV6) {
            return Err(DropReason::IcmpChecksum);
        }
        icmpv6::Message::parse(header, self.payload)
    }
}
