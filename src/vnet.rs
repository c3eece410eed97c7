//! The header that virtio-net has in front of each frame, by which a port tells what is left to do to it: the kernel
//! takes it on TAP devices (`IFF_VNET_HDR`) and on `AF_PACKET` sockets (`PACKET_VNET_HDR`).
//!
//! ```text
//!    0       1       2               4               6               8              10
//!   +-------+-------+---------------+---------------+---------------+---------------+
//!   | flags | GSO   | header length | GSO size      | sum start     | sum offset    |
//!   +-------+-------+---------------+---------------+---------------+---------------+
//! ```
//!
//! | field | says |
//! |---|---|
//! | flags | 1: the checksum has to be computed |
//! | GSO type | 0: the frame goes as it is; 1 and 4: it holds TCP segments over IPv4 or IPv6, and has to be cut |
//! | header length | of the headers of such a frame, in bytes |
//! | GSO size | the payload of a segment, in bytes |
//! | checksum start | from the start of the frame to what is summed up: all from there on |
//! | checksum offset | from there to the field, which holds the sum of the pseudo-header |
//!
//! Virtio 1.2, section 5.1.6. Numbers are of the machine's own byte order, as in legacy devices.

use crate::port::{Offload, TxChecksum};

/// Bytes of a header.
pub const LEN: usize = 10;

/// What a port with this header leaves to the kernel: TCP checksums, and cutting frames of two segments.
pub const OFFLOAD: Offload = Offload { ipv4: false, tcp: true, segmentation: true };

const NEEDS_CHECKSUM: u8 = 1;
const GSO_NONE: u8 = 0;
const GSO_TCP_V4: u8 = 1;
const GSO_TCP_V6: u8 = 4;
/// Where a TCP header has its length, in words of four bytes, and its checksum.
const TCP_DATA_OFFSET: usize = 12;
const TCP_CHECKSUM: u16 = 16;

/// What is left to do to a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Header {
    /// 1 where a checksum has to be computed.
    pub flags: u8,
    /// What kind of segments has to be cut: 0 for none.
    pub gso_type: u8,
    /// Bytes of all headers of a frame that has to be cut.
    pub header_len: u16,
    /// Bytes of payload in a segment.
    pub gso_size: u16,
    /// From where on bytes are summed up.
    pub checksum_start: u16,
    /// Where, from there, the checksum is put.
    pub checksum_offset: u16,
}

impl Header {
    /// What is left to do to a frame of ours. The checksum of an IPv4 header cannot be left to the kernel.
    #[inline]
    pub fn of(frame: &[u8], checksum: TxChecksum) -> Self {
        let TxChecksum::Partial { network_offset, network_len, transport: true, segment_len, .. } = checksum else {
            return Self::default();
        };
        let start = network_offset + network_len;
        let gso_type = match segment_len {
            None => GSO_NONE,
            Some(_) if network_len == crate::wire::ipv6::HEADER_LEN => GSO_TCP_V6,
            Some(_) => GSO_TCP_V4,
        };
        let transport_len = frame.get(start + TCP_DATA_OFFSET).map_or(0, |byte| usize::from(byte >> 4) * 4);
        Self {
            flags: NEEDS_CHECKSUM,
            gso_type,
            header_len: (start + transport_len) as u16,
            gso_size: segment_len.unwrap_or_default(),
            checksum_start: start as u16,
            checksum_offset: TCP_CHECKSUM,
        }
    }

    /// Reads a header.
    pub const fn parse(bytes: [u8; LEN]) -> Self {
        let [flags, gso_type, h0, h1, g0, g1, s0, s1, o0, o1] = bytes;
        Self {
            flags,
            gso_type,
            header_len: u16::from_ne_bytes([h0, h1]),
            gso_size: u16::from_ne_bytes([g0, g1]),
            checksum_start: u16::from_ne_bytes([s0, s1]),
            checksum_offset: u16::from_ne_bytes([o0, o1]),
        }
    }

    /// Writes the header.
    #[inline]
    pub const fn emit(self) -> [u8; LEN] {
        let [h0, h1] = self.header_len.to_ne_bytes();
        let [g0, g1] = self.gso_size.to_ne_bytes();
        let [s0, s1] = self.checksum_start.to_ne_bytes();
        let [o0, o1] = self.checksum_offset.to_ne_bytes();
        [self.flags, self.gso_type, h0, h1, g0, g1, s0, s1, o0, o1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[quickcheck_macros::quickcheck]
    fn a_header_survives_emit_and_parse(flags: u8, gso_type: u8, fields: (u16, u16, u16, u16)) -> bool {
        let (header_len, gso_size, checksum_start, checksum_offset) = fields;
        let header = Header { flags, gso_type, header_len, gso_size, checksum_start, checksum_offset };
        Header::parse(header.emit()) == header
    }

    #[test]
    fn a_header_says_what_is_left_to_do() {
        let mut frame = [0; 100];
        (frame[14 + 20 + 12], frame[14 + 40 + 12]) = (8 << 4, 5 << 4);
        let left = |network_len, transport, segment_len| {
            let network = false;
            Header::of(&frame, TxChecksum::Partial { network_offset: 14, network_len, network, transport, segment_len })
        };
        assert_eq!(Header::of(&frame, TxChecksum::Complete), Header::default());
        assert_eq!(left(20, false, None), Header::default());
        let of = |gso_type, header_len, gso_size, checksum_start| Header {
            flags: 1,
            gso_type,
            header_len,
            gso_size,
            checksum_start,
            checksum_offset: 16,
        };
        assert_eq!(left(20, true, None), of(0, 66, 0, 34));
        assert_eq!(left(20, true, Some(1448)), of(1, 66, 1448, 34));
        assert_eq!(left(40, true, Some(1440)), of(4, 74, 1440, 54));
    }
}
