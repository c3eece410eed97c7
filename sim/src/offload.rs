//! What the engine may leave to a network card, done in software, and without the engine's own sum: else an error there
//! would be on both sides.

use lethe::port::TxChecksum;

use crate::frame::internet_checksum;

/// Where an IPv4 header has its checksum.
const IPV4_CHECKSUM: usize = 10;
/// Where a TCP header has its checksum.
const TCP_CHECKSUM: usize = 16;

/// Puts the checksums in place that are still missing.
pub(crate) fn complete(frame: &mut [u8], checksum: TxChecksum) {
    let TxChecksum::Partial { network_offset, network_len, network, transport } = checksum else {
        return;
    };
    let (header, segment) = frame[network_offset..].split_at_mut(network_len);
    if network {
        put(header, IPV4_CHECKSUM);
    }
    if transport {
        put(segment, TCP_CHECKSUM);
    }
}

/// Sums up all there is, with what the field holds already, and puts the result there.
fn put(bytes: &mut [u8], at: usize) {
    let checksum = internet_checksum([&*bytes]);
    bytes[at..at + 2].copy_from_slice(&checksum.to_be_bytes());
}
