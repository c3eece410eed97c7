//! The IPv4 header (RFC 791, section 3.1).
//!
//! ```text
//!  0      1      2             4             6                8      9      10            12         16
//! +------+------+-------------+-------------+----------------+------+------+-------------+----------+----------+
//! | 4|IHL| TOS  | total length| identific.  | flags | offset | TTL  | proto| checksum    | source   | dest.    |
//! +------+------+-------------+-------------+----------------+------+------+-------------+----------+----------+
//! ```

use core::net::Ipv4Addr;

use super::checksum::{Checked, Sum};
use super::ip::Protocol;
use super::{Word, set, wide};
use crate::verdict::DropReason;

/// Bytes of a header without options.
pub const HEADER_LEN: usize = super::ip::V4_HEADER_LEN;

/// The unit of fragment offsets, in bytes.
pub(crate) const FRAGMENT_UNIT: usize = 8;

const MORE_FRAGMENTS: u16 = 0x2000;
const OFFSET: u16 = 0x1fff;

/// The header of a packet that is not a fragment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// The sender.
    pub source: Ipv4Addr,
    /// The receiver.
    pub destination: Ipv4Addr,
    /// What the payload is.
    pub protocol: Protocol,
}

impl Header {
    /// Splits a packet into header and payload. Options are skipped (RFC 1122, sections 3.2.1.8 and 3.2.2.6), the time
    /// to live is not looked at (RFC 1122, section 3.2.1.7), and what lies behind the total length is padding and is
    /// not part of the payload. Fragments are not reassembled (RFC 1122, section 3.3.2).
    ///
    /// # Errors
    ///
    /// [`DropReason::Ipv4Malformed`], [`DropReason::Ipv4Checksum`], [`DropReason::Ipv4Fragment`].
    #[inline]
    pub fn parse(bytes: &[u8], checksum: Checked) -> Result<(Self, &[u8]), DropReason> {
        let (fixed, _) = bytes.split_first_chunk::<HEADER_LEN>().ok_or(DropReason::Ipv4Malformed)?;
        let [version_ihl, _, l0, l1, _, _, f0, f1, _, protocol, _, _, s0, s1, s2, s3, d0, d1, d2, d3] = *fixed;
        let header_len = usize::from(version_ihl & 0xf) * 4;
        let total_len = usize::from(u16::from_be_bytes([l0, l1]));
        // RFC 1122, section 3.2.1.1.
        if version_ihl >> 4 != 4 || header_len < HEADER_LEN {
            return Err(DropReason::Ipv4Malformed);
        }
        // Both splits fail when a length field is wrong: beyond the frame, or beyond the other.
        let packet = bytes.get(..total_len).ok_or(DropReason::Ipv4Malformed)?;
        let (header, payload) = packet.split_at_checked(header_len).ok_or(DropReason::Ipv4Malformed)?;
        let valid = match checksum {
            Checked::Good => true,
            Checked::Bad => false,
            Checked::Unknown => {
                let sum = Sum::new().with(fixed);
                // Nearly every header has no options, and a length known beforehand is summed without a loop.
                let options = header.get(HEADER_LEN..).unwrap_or_default();
                if options.is_empty() { sum.is_valid() } else { sum.with(options).is_valid() }
            }
        };
        // RFC 1122, section 3.2.1.2.
        if !valid {
            return Err(DropReason::Ipv4Checksum);
        }
        if u16::from_be_bytes([f0, f1]) & (MORE_FRAGMENTS | OFFSET) != 0 {
            return Err(DropReason::Ipv4Fragment);
        }
        let header = Self {
            source: Ipv4Addr::new(s0, s1, s2, s3),
            destination: Ipv4Addr::new(d0, d1, d2, d3),
            protocol: Protocol::new(protocol),
        };
        Ok((header, payload))
    }
}

/// The header of a packet to be sent, which may be a fragment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Repr {
    /// The sender.
    pub(crate) source: Ipv4Addr,
    /// The receiver.
    pub(crate) destination: Ipv4Addr,
    /// What the payload is.
    pub(crate) protocol: Protocol,
    /// Time to live.
    pub(crate) ttl: u8,
    /// Tells fragments of one packet from those of another. Don't Fragment is never set (RFC 1191, section 3).
    /// A field of 16 bits, which is made of both halves.
    pub(crate) identification: u32,
    /// Where the payload stands in the packet that was cut, in bytes: a multiple of 8.
    pub(crate) fragment_offset: usize,
    /// More fragments follow.
    pub(crate) more_fragments: bool,
    /// Bytes of payload.
    pub(crate) payload_len: usize,
    /// Leave the checksum to the port.
    pub(crate) partial_checksum: bool,
}

impl Repr {
    /// Writes the header at the start of `buffer` and returns the room behind it.
    pub(crate) fn emit<'b>(&self, buffer: &'b mut [u8]) -> Option<&'b mut [u8]> {
        self.words().emit(buffer)
    }

    /// The header as it is sent.
    #[inline]
    pub(crate) fn words(&self) -> Words {
        let flags = if self.more_fragments { MORE_FRAGMENTS } else { 0 };
        let offset = flags | (self.fragment_offset / FRAGMENT_UNIT) as u16 & OFFSET;
        let length = (HEADER_LEN + self.payload_len) as u16;
        let identification = (self.identification >> 16 ^ self.identification) as u16;
        let [length, identification, offset] = [length, identification, offset].map(|field| u64::from(field.to_be()));
        let first = 0x45 | length << 16 | identification << 32 | offset << 48;
        let addresses = wide(Word::address(self.source), Word::address(self.destination));
        let middle = u32::from(u16::from_le_bytes([self.ttl, self.protocol.number()]));
        let checksum = if self.partial_checksum { 0 } else { Sum::of_ipv4_header([first, addresses], middle).field() };
        let second = wide(Word(middle | u32::from(checksum) << 16), Word::address(self.source));
        Words { first, second, addresses }
    }
}

/// A header without options in the words that it is written in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Words {
    /// Version, lengths, identification and fragment offset.
    first: u64,
    /// Time to live, protocol, checksum and source.
    second: u64,
    addresses: u64,
}

impl Words {
    /// Writes the header at the start of `buffer` and returns the room behind it.
    #[inline]
    pub(crate) fn emit<'b>(&self, buffer: &'b mut [u8]) -> Option<&'b mut [u8]> {
        let (header, rest) = buffer.split_first_chunk_mut::<HEADER_LEN>()?;
        set::<0, _>(header, self.first);
        set::<8, _>(header, self.second);
        set::<12, _>(header, self.addresses);
        Some(rest)
    }
}

/// Reads the start of a packet that an ICMP error quotes: source, destination, and what there is of its
/// payload, if that is the start of a TCP segment. Lengths and checksum may have been changed on the way.
pub(crate) fn quoted_tcp(bytes: &[u8]) -> Option<(Ipv4Addr, Ipv4Addr, &[u8])> {
    let (fixed, _) = bytes.split_first_chunk::<HEADER_LEN>()?;
    let [version_ihl, _, _, _, _, _, f0, f1, _, protocol, _, _, s0, s1, s2, s3, d0, d1, d2, d3] = *fixed;
    let is_first = u16::from_be_bytes([f0, f1]) & OFFSET == 0;
    if version_ihl >> 4 != 4 || !is_first || Protocol::new(protocol) != Protocol::TCP {
        return None;
    }
    let header_len = usize::from(version_ihl & 0xf) * 4;
    let payload = bytes.get(header_len..).filter(|_| header_len >= HEADER_LEN)?;
    Some((Ipv4Addr::new(s0, s1, s2, s3), Ipv4Addr::new(d0, d1, d2, d3), payload))
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec::Vec;

    use super::*;

    fn packet() -> Vec<u8> {
        let mut bytes = std::vec![0; HEADER_LEN + 4];
        let emit = Repr {
            source: Ipv4Addr::new(10, 9, 0, 1),
            destination: Ipv4Addr::new(10, 9, 0, 2),
            protocol: Protocol::TCP,
            ttl: 64,
            identification: 7,
            fragment_offset: 0,
            more_fragments: false,
            payload_len: 4,
            partial_checksum: false,
        };
        assert_eq!(emit.emit(&mut bytes).unwrap().len(), 4);
        bytes
    }

    fn parse(bytes: &[u8]) -> Result<usize, DropReason> {
        Header::parse(bytes, Checked::Good).map(|(_, payload)| payload.len())
    }

    #[test]
    fn header_survives_emit_and_parse() {
        let bytes = packet();
        let (header, payload) = Header::parse(&bytes, Checked::Unknown).unwrap();
        assert_eq!(header.source, Ipv4Addr::new(10, 9, 0, 1));
        assert_eq!(header.destination, Ipv4Addr::new(10, 9, 0, 2));
        assert_eq!(header.protocol, Protocol::TCP);
        assert_eq!(payload, [0; 4]);
    }

    #[test]
    fn padding_is_not_payload() {
        let mut bytes = packet();
        bytes.extend([0xee; 22]);
        assert_eq!(parse(&bytes), Ok(4));
    }

    #[test]
    fn total_length_beyond_the_frame_or_below_the_header_is_malformed() {
        for (total, expected) in [
            (24, Ok(4)),
            (20, Ok(0)),
            (25, Err(DropReason::Ipv4Malformed)),
            (0xffff, Err(DropReason::Ipv4Malformed)),
            (19, Err(DropReason::Ipv4Malformed)),
            (0, Err(DropReason::Ipv4Malformed)),
        ] {
            let mut bytes = packet();
            bytes[2..4].copy_from_slice(&u16::to_be_bytes(total));
            assert_eq!(parse(&bytes), expected, "{total}");
        }
    }

    #[test]
    fn options_are_skipped_and_a_header_length_beyond_the_packet_is_malformed() {
        for (ihl, expected) in
            [(5, Ok(4)), (6, Ok(0)), (7, Err(DropReason::Ipv4Malformed)), (4, Err(DropReason::Ipv4Malformed))]
        {
            let mut bytes = packet();
            bytes[0] = 0x40 | ihl;
            assert_eq!(parse(&bytes), expected, "{ihl}");
        }
    }

    #[test]
    fn a_checksum_is_verified_unless_the_port_has_done_it() {
        let mut bytes = packet();
        bytes[8] = 63;
        assert_eq!(Header::parse(&bytes, Checked::Unknown), Err(DropReason::Ipv4Checksum));
        assert!(Header::parse(&bytes, Checked::Good).is_ok());
        assert_eq!(Header::parse(&packet(), Checked::Bad), Err(DropReason::Ipv4Checksum));
    }

    #[test]
    fn fragments_are_refused_first_middle_and_last() {
        for (flags, expected) in [
            (0x2000, Err(DropReason::Ipv4Fragment)),
            (0x2001, Err(DropReason::Ipv4Fragment)),
            (0x0001, Err(DropReason::Ipv4Fragment)),
            (0x4000, Ok(4)),
        ] {
            let mut bytes = packet();
            bytes[6..8].copy_from_slice(&u16::to_be_bytes(flags));
            assert_eq!(parse(&bytes), expected, "{flags:04x}");
        }
    }

    #[test]
    fn only_the_start_of_a_tcp_segment_is_read_from_what_is_quoted() {
        let quoted = |at: usize, value: u8| {
            let mut bytes = packet();
            bytes[at] = value;
            quoted_tcp(&bytes).map(|(source, destination, payload)| (source, destination, payload.len()))
        };
        let right = Some((Ipv4Addr::new(10, 9, 0, 1), Ipv4Addr::new(10, 9, 0, 2), 4));
        let unchanged = packet();
        assert_eq!(quoted(0, unchanged[0]), right);
        // More of it was to follow, and its checksum was another one.
        assert_eq!([quoted(6, 0x20), quoted(10, !unchanged[10])], [right; 2]);
        for (at, value, what) in [
            (0, 0x65, "another version"),
            (0, 0x44, "a header shorter than its fixed part"),
            (0, 0x47, "a header longer than what is quoted"),
            (6, 0x01, "not the first fragment"),
            (7, 0x01, "not the first fragment"),
            (9, 17, "another protocol"),
        ] {
            assert_eq!(quoted(at, value), None, "{what}");
        }
    }
}
