//! What all IP packets that are sent have in common below the transport layer.

use crate::config::Config;
use crate::packet::ReplyPath;
use crate::port::{Offload, TxChecksum};
use crate::wire::ethernet::{self, MacAddress};
use crate::wire::ip::Pair;
use crate::wire::ipv4;

/// The hop limit, or time to live, of everything but neighbor discovery (RFC 1700). It is neither configured (RFC 1122,
/// section 3.2.1.7) nor learned from a router (RFC 4861, section 6.3.4).
pub(super) const HOP_LIMIT: u8 = 64;

/// What of the configuration the frames that are sent depend on. A reply has a copy of it (fast: by value).
#[derive(Clone, Copy, Debug)]
pub(crate) struct TxConfig {
    /// The source of all frames.
    pub(super) mac: MacAddress,
    pub(super) offload: Offload,
    /// The largest IP packet, in bytes.
    pub(super) mtu: u16,
}

impl From<&Config> for TxConfig {
    #[inline]
    fn from(config: &Config) -> Self {
        Self { mac: config.mac, offload: config.offload, mtu: config.mtu.bytes() }
    }
}

/// The Ethernet header of a frame that goes this way.
#[inline]
pub(super) fn link_header<P: Pair>(config: &TxConfig, path: &ReplyPath<P>) -> ethernet::Header {
    let ether_type = path.addresses.into().ether_type();
    ethernet::Header { destination: path.next_hop_mac, source: config.mac, tag: path.tag, ether_type }
}

/// What is left to the port of the checksums of a frame with link and IP headers of these lengths.
#[inline]
pub(super) const fn tx_checksum(
    offload: Offload,
    network_offset: usize,
    network_len: usize,
    transport: bool,
) -> TxChecksum {
    let network = offload.ipv4 && network_len == ipv4::HEADER_LEN;
    if !network && !transport {
        return TxChecksum::Complete;
    }
    TxChecksum::Partial { network_offset, network_len, network, transport, segment_len: None }
}
