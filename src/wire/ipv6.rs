//! The IPv6 header and its extension headers (RFC 8200, sections 3 and 4).
//!
//! ```text
//!  0                4             6      7      8                    24
//! +----------------+-------------+------+------+--------------------+--------------------+
//! | 6 | class/flow | payload len | next | hops | source (16)        | destination (16)   |
//! +----------------+-------------+------+------+--------------------+--------------------+
//!
//! extension:  | next | len/8-1 | ...        fragment:  | next | 0 | offset<<3 | M | identification (4) |
//! ```

use core::net::Ipv6Addr;

use super::ip::Protocol;
use super::{Word, put_words};
use crate::verdict::DropReason;

/// Bytes of the fixed header.
pub const HEADER_LEN: usize = 40;

/// Bytes of the fragment header.
pub const FRAGMENT_HEADER_LEN: usize = 8;

/// The most extension headers skipped. RFC 8200 knows four kinds that can stand in front of TCP here;
/// one may occur twice. More is an attempt to make us work.
pub const EXTENSIONS_MAX: usize = 6;

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const DESTINATION_OPTIONS: u8 = 60;

/// The header of a packet that is not a fragment, its extension headers skipped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// From whom.
    pub source: Ipv6Addr,
    /// To whom.
    pub destination: Ipv6Addr,
    /// What the payload is.
    pub protocol: Protocol,
    /// How many routers it may still pass: 255 proves that it passed none.
    pub hop_limit: u8,
}

impl Header {
    /// Splits a packet into header and payload. What lies behind the payload length is padding.
    ///
    /// # Errors
    ///
    /// [`DropReason::Ipv6Malformed`], [`DropReason::Ipv6Fragment`], [`DropReason::Ipv6Extensions`].
    #[inline]
    pub fn parse(bytes: &[u8]) -> Result<(Self, &[u8]), DropReason> {
        let (fixed, rest) = bytes.split_first_chunk::<HEADER_LEN>().ok_or(DropReason::Ipv6Malformed)?;
        let [version_class, _, _, _, l0, l1, next, hop_limit, addresses @ ..] = fixed;
        let (source, destination) = addresses.split_first_chunk::<16>().ok_or(DropReason::Ipv6Malformed)?;
        let destination = destination.first_chunk::<16>().ok_or(DropReason::Ipv6Malformed)?;
        let payload_len = usize::from(u16::from_be_bytes([*l0, *l1]));
        if version_class >> 4 != 6 {
            return Err(DropReason::Ipv6Malformed);
        }
        // A jumbogram says 0 here and has nothing in it for us.
        let payload = rest.get(..payload_len).ok_or(DropReason::Ipv6Malformed)?;
        let (protocol, payload) = skip_extensions(*next, payload)?;
        let header = Self {
            source: Ipv6Addr::from_octets(*source),
            destination: Ipv6Addr::from_octets(*destination),
            protocol,
            hop_limit: *hop_limit,
        };
        Ok((header, payload))
    }
}

#[inline]
fn skip_extensions(first: u8, payload: &[u8]) -> Result<(Protocol, &[u8]), DropReason> {
    let (mut next, mut rest) = (first, payload);
    for skipped in 0..=EXTENSIONS_MAX {
        match next {
            // Only the first header may be the one that every router looks at (section 4.1).
            HOP_BY_HOP if skipped > 0 => return Err(DropReason::Ipv6Malformed),
            HOP_BY_HOP | DESTINATION_OPTIONS => {}
            ROUTING => segments_left_is_zero(rest)?,
            FRAGMENT => return Err(DropReason::Ipv6Fragment),
            _ => return Ok((Protocol::new(next), rest)),
        }
        let &[after, length, ..] = rest else {
            return Err(DropReason::Ipv6Malformed);
        };
        rest = rest.get((usize::from(length) + 1) * 8..).ok_or(DropReason::Ipv6Malformed)?;
        next = after;
    }
    Err(DropReason::Ipv6Extensions)
}

/// A routing header that still has somewhere to go asks us to be a router (section 4.4), and a source
/// route to reply by (RFC 5095).
fn segments_left_is_zero(extension: &[u8]) -> Result<(), DropReason> {
    match extension {
        [_, _, _, 0, ..] => Ok(()),
        _ => Err(DropReason::Ipv6Malformed),
    }
}

/// One fragment of a packet: what stands in the fragment header (section 4.5).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fragment {
    /// Tells fragments of one packet from those of another.
    pub identification: u32,
    /// Where the payload stands in the packet that was cut, in bytes: a multiple of 8.
    pub offset: usize,
    /// More fragments follow.
    pub more: bool,
}

/// The header of a packet to be sent, which may be a fragment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Emit {
    /// From whom.
    pub source: Ipv6Addr,
    /// To whom.
    pub destination: Ipv6Addr,
    /// What the payload is.
    pub protocol: Protocol,
    /// How many routers it may pass.
    pub hop_limit: u8,
    /// Bytes of payload, without the fragment header.
    pub payload_len: usize,
    /// The fragment header, if there is to be one.
    pub fragment: Option<Fragment>,
}

impl Emit {
    /// Writes the header, or both headers, at the start of `buffer` and returns the room behind.
    #[inline]
    pub fn emit<'b>(&self, buffer: &'b mut [u8]) -> Option<&'b mut [u8]> {
        let buffer = put_words(buffer, self.words())?;
        let Some(fragment) = self.fragment else {
            return Some(buffer);
        };
        // The offset counts units of 8 bytes from bit 3 on: in bytes, it stands there as it is.
        let offset = fragment.offset as u16 & !7 | u16::from(fragment.more);
        let next = u16::from(self.protocol.number()) << 8;
        put_words(buffer, [Word::pair(next, offset), Word::new(fragment.identification)])
    }

    /// The first of the two as it is sent.
    #[inline]
    pub(crate) fn words(&self) -> [Word; HEADER_LEN / 4] {
        let (next, payload_len) = match self.fragment {
            None => (self.protocol.number(), self.payload_len),
            Some(_) => (FRAGMENT, self.payload_len + FRAGMENT_HEADER_LEN),
        };
        let rest = Word::pair(payload_len as u16, u16::from_be_bytes([next, self.hop_limit]));
        let [s0, s1, s2, s3] = Word::of_v6(self.source);
        let [d0, d1, d2, d3] = Word::of_v6(self.destination);
        [Word::new(6 << 28), rest, s0, s1, s2, s3, d0, d1, d2, d3]
    }
}

/// Reads the start of a packet that somebody quotes: source, destination, and what there is of its
/// payload, if that is the start of a TCP segment.
pub fn quoted_tcp(bytes: &[u8]) -> Option<(Ipv6Addr, Ipv6Addr, &[u8])> {
    let (fixed, payload) = bytes.split_first_chunk::<HEADER_LEN>()?;
    let [version_class, _, _, _, _, _, next, _, addresses @ ..] = fixed;
    let (source, destination) = addresses.split_first_chunk::<16>()?;
    let destination = destination.first_chunk::<16>()?;
    if version_class >> 4 != 6 || Protocol::new(*next) != Protocol::TCP {
        return None;
    }
    Some((Ipv6Addr::from_octets(*source), Ipv6Addr::from_octets(*destination), payload))
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec::Vec;

    use super::*;

    const SOURCE: Ipv6Addr = Ipv6Addr::new(0xfd09, 0, 0, 0, 0, 0, 0, 1);
    const DESTINATION: Ipv6Addr = Ipv6Addr::new(0xfd09, 0, 0, 0, 0, 0, 0, 2);

    /// A packet whose payload is the given extension headers and four bytes of TCP.
    fn packet(next: u8, extensions: &[&[u8]]) -> Vec<u8> {
        let payload: Vec<u8> = extensions.concat().into_iter().chain([0xaa; 4]).collect();
        let mut bytes = std::vec![0; HEADER_LEN];
        let emit = Emit {
            source: SOURCE,
            destination: DESTINATION,
            protocol: Protocol::new(next),
            hop_limit: 255,
            payload_len: payload.len(),
            fragment: None,
        };
        assert!(emit.emit(&mut bytes).unwrap().is_empty());
        bytes.extend(payload);
        bytes
    }

    fn parse(bytes: &[u8]) -> Result<(u8, usize), DropReason> {
        Header::parse(bytes).map(|(header, payload)| (header.protocol.number(), payload.len()))
    }

    const DESTINATION_THEN_TCP: &[u8] = &[6, 0, 1, 4, 0, 0, 0, 0];
    const DESTINATION_THEN_DESTINATION: &[u8] = &[60, 0, 1, 4, 0, 0, 0, 0];

    #[test]
    fn header_survives_emit_and_parse() {
        let bytes = packet(6, &[]);
        let (header, payload) = Header::parse(&bytes).unwrap();
        assert_eq!((header.source, header.destination), (SOURCE, DESTINATION));
        assert_eq!((header.protocol, header.hop_limit), (Protocol::TCP, 255));
        assert_eq!(payload, [0xaa; 4]);
    }

    #[test]
    fn extension_headers_are_skipped() {
        assert_eq!(parse(&packet(60, &[DESTINATION_THEN_TCP])), Ok((6, 4)));
        assert_eq!(parse(&packet(0, &[DESTINATION_THEN_DESTINATION, DESTINATION_THEN_TCP])), Ok((6, 4)));
        assert_eq!(parse(&packet(43, &[&[6, 0, 0, 0, 0, 0, 0, 0]])), Ok((6, 4)));
    }

    #[test]
    fn an_extension_header_beyond_the_packet_is_malformed() {
        assert_eq!(parse(&packet(60, &[&[6, 9, 1, 4, 0, 0, 0, 0]])), Err(DropReason::Ipv6Malformed));
        let mut cut = packet(60, &[]);
        cut.truncate(HEADER_LEN + 1);
        cut[5] = 1;
        assert_eq!(parse(&cut), Err(DropReason::Ipv6Malformed));
    }

    #[test]
    fn extension_headers_without_end_are_refused() {
        let mut extensions = std::vec![DESTINATION_THEN_DESTINATION; EXTENSIONS_MAX - 1];
        extensions.push(DESTINATION_THEN_TCP);
        assert_eq!(parse(&packet(60, &extensions)), Ok((6, 4)));
        extensions.insert(0, DESTINATION_THEN_DESTINATION);
        assert_eq!(parse(&packet(60, &extensions)), Err(DropReason::Ipv6Extensions));
    }

    #[test]
    fn hop_by_hop_options_anywhere_but_first_are_malformed() {
        let hop_by_hop: &[u8] = &[6, 0, 1, 4, 0, 0, 0, 0];
        let destination: &[u8] = &[0, 0, 1, 4, 0, 0, 0, 0];
        assert_eq!(parse(&packet(60, &[destination, hop_by_hop])), Err(DropReason::Ipv6Malformed));
    }

    #[test]
    fn a_source_route_with_segments_left_is_refused() {
        assert_eq!(parse(&packet(43, &[&[6, 0, 0, 1, 0, 0, 0, 0]])), Err(DropReason::Ipv6Malformed));
    }

    #[test]
    fn fragments_are_refused_even_behind_other_extensions() {
        assert_eq!(parse(&packet(44, &[&[6, 0, 0, 1, 0, 0, 0, 7]])), Err(DropReason::Ipv6Fragment));
        let destination: &[u8] = &[44, 0, 1, 4, 0, 0, 0, 0];
        assert_eq!(parse(&packet(60, &[destination, &[6, 0, 0, 8, 0, 0, 0, 7]])), Err(DropReason::Ipv6Fragment));
    }

    #[test]
    fn payload_length_beyond_the_frame_is_malformed_and_padding_is_not_payload() {
        let mut bytes = packet(6, &[]);
        bytes.extend([0xee; 6]);
        assert_eq!(parse(&bytes), Ok((6, 4)));
        bytes[5] = 11;
        assert_eq!(parse(&bytes), Err(DropReason::Ipv6Malformed));
    }
}
