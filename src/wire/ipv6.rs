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

use super::ip::{Protocol, halves};
use super::{Word, put_words, set, wide};
use crate::verdict::DropReason;

/// Bytes of the fixed header.
pub const HEADER_LEN: usize = super::ip::V6_HEADER_LEN;

/// Bytes of the fragment header.
pub(crate) const FRAGMENT_HEADER_LEN: usize = 8;

/// The most extension headers skipped. RFC 8200, section 4.1, has four kinds that can stand in front of TCP here; one
/// may occur twice. More can only be meant to cost time.
pub(crate) const EXTENSIONS_MAX: usize = 6;

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const DESTINATION_OPTIONS: u8 = 60;

/// The header of a packet that is whole, its extension headers skipped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// The sender.
    pub source: Ipv6Addr,
    /// The receiver.
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
    /// [`DropReason::Ipv6Malformed`], [`DropReason::Ipv6Fragment`], [`DropReason::Ipv6Extensions`],
    /// [`DropReason::Ipv6Option`].
    #[inline]
    pub fn parse(bytes: &[u8]) -> Result<(Self, &[u8]), DropReason> {
        let (fixed, rest) = bytes.split_first_chunk::<HEADER_LEN>().ok_or(DropReason::Ipv6Malformed)?;
        let [version_class, _, _, _, l0, l1, next, hop_limit, ..] = fixed;
        let (source, destination) = addresses(fixed).ok_or(DropReason::Ipv6Malformed)?;
        let payload_len = usize::from(u16::from_be_bytes([*l0, *l1]));
        if version_class >> 4 != 6 {
            return Err(DropReason::Ipv6Malformed);
        }
        // A jumbogram says 0 here and has nothing in it for us.
        let payload = rest.get(..payload_len).ok_or(DropReason::Ipv6Malformed)?;
        let (protocol, payload) = skip_extensions(*next, payload)?;
        let header = Self { source, destination, protocol, hop_limit: *hop_limit };
        Ok((header, payload))
    }
}

#[inline]
fn skip_extensions(first: u8, payload: &[u8]) -> Result<(Protocol, &[u8]), DropReason> {
    let (mut next, mut rest) = (first, payload);
    for skipped in 0..=EXTENSIONS_MAX {
        match next {
            // Only the first header may be the one that every router looks at (RFC 8200, section 4.1).
            HOP_BY_HOP if skipped > 0 => return Err(DropReason::Ipv6Malformed),
            HOP_BY_HOP | DESTINATION_OPTIONS => {
                if unknown_option(options(rest)?)?.is_some() {
                    return Err(DropReason::Ipv6Option);
                }
            }
            ROUTING => segments_left_is_zero(rest)?,
            FRAGMENT => is_atomic(rest)?,
            _ => return Ok((Protocol::new(next), rest)),
        }
        (next, rest) = after_extension(next, rest).ok_or(DropReason::Ipv6Malformed)?;
    }
    Err(DropReason::Ipv6Extensions)
}

/// What follows an extension header, and where that begins.
fn after_extension(kind: u8, extension: &[u8]) -> Option<(u8, &[u8])> {
    let &[next, length, ..] = extension else { return None };
    // The fragment header has no length field: there is only one length.
    let len = if kind == FRAGMENT { FRAGMENT_HEADER_LEN } else { (usize::from(length) + 1) * 8 };
    Some((next, extension.get(len..)?))
}

/// An atomic fragment is treated as a packet without a fragment header (RFC 6946, section 4): there is nothing to
/// reassemble.
fn is_atomic(extension: &[u8]) -> Result<(), DropReason> {
    match *extension {
        [_, _, offset, flags, _, _, _, _, ..] if offset == 0 && flags & !RESERVED == 0 => Ok(()),
        [_, _, _, _, _, _, _, _, ..] => Err(DropReason::Ipv6Fragment),
        _ => Err(DropReason::Ipv6Malformed),
    }
}

/// Two bits of the fragment header between the offset and M, which a receiver ignores (RFC 8200, section 4.5).
const RESERVED: u8 = 0b110;

/// The options of a hop-by-hop or destination options header.
fn options(extension: &[u8]) -> Result<&[u8], DropReason> {
    let length = *extension.get(1).ok_or(DropReason::Ipv6Malformed)?;
    extension.get(2..(usize::from(length) + 1) * 8).ok_or(DropReason::Ipv6Malformed)
}

/// The first unknown option that is not to be skipped (RFC 8200, section 4.2): its offset in `options`, and its type.
fn unknown_option(options: &[u8]) -> Result<Option<(usize, u8)>, DropReason> {
    let mut rest = options;
    // An option is a byte at least, so this ends.
    while let [kind, after @ ..] = rest {
        if kind & OPTION_ACTION != OPTION_SKIP {
            return Ok(Some((options.len() - rest.len(), *kind)));
        }
        rest = match (*kind, after) {
            (PAD1, after) => after,
            (_, [length, value @ ..]) => value.get(usize::from(*length)..).ok_or(DropReason::Ipv6Malformed)?,
            (_, []) => return Err(DropReason::Ipv6Malformed),
        };
    }
    Ok(None)
}

const PAD1: u8 = 0;

/// The two bits of an option type that say what is to be done with a packet whose option is unknown.
const OPTION_ACTION: u8 = 0b1100_0000;
const OPTION_SKIP: u8 = 0;
const OPTION_REPORT: u8 = 0b1000_0000;
const OPTION_REPORT_UNICAST: u8 = 0b1100_0000;

/// A packet with an option that we do not know and whose sender is to be told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct UnknownOption {
    /// Where the option type stands, in bytes from the start of the packet.
    pub(crate) pointer: u32,
    /// A packet for a group is answered as well.
    pub(crate) even_for_groups: bool,
}

/// Looks for an unknown option whose sender wants to be told of it (RFC 8200, section 4.2), in a packet that was
/// dropped for [`DropReason::Ipv6Option`]. `None` where an error would answer an error or a redirect (RFC 4443, section
/// 2.4).
pub(crate) fn unknown_option_to_report(packet: &[u8]) -> Option<UnknownOption> {
    let payload_len = usize::from(u16::from_be_bytes([*packet.get(4)?, *packet.get(5)?]));
    let packet = packet.get(..HEADER_LEN.checked_add(payload_len)?)?;
    let (mut next, mut rest) = (*packet.get(6)?, packet.get(HEADER_LEN..)?);
    let mut found = None;
    for _ in 0..=EXTENSIONS_MAX {
        match next {
            HOP_BY_HOP | DESTINATION_OPTIONS if found.is_none() => {
                let options = options(rest).ok()?;
                if let Some((place, kind)) = unknown_option(options).ok()? {
                    let even_for_groups = match kind & OPTION_ACTION {
                        OPTION_REPORT => true,
                        OPTION_REPORT_UNICAST => false,
                        _ => return None,
                    };
                    let pointer = (packet.len() - rest.len() + 2 + place) as u32;
                    found = Some(UnknownOption { pointer, even_for_groups });
                }
            }
            HOP_BY_HOP | DESTINATION_OPTIONS | ROUTING | FRAGMENT => {}
            _ => break,
        }
        (next, rest) = after_extension(next, rest)?;
    }
    let is_error = Protocol::new(next) == Protocol::ICMPV6 && rest.first().is_none_or(|&kind| is_icmp_error(kind));
    found.filter(|_| !is_error)
}

/// Error messages, and the redirect, which is one in all but its number.
const fn is_icmp_error(kind: u8) -> bool {
    kind < 128 || kind == 137
}

/// A routing header with segments left asks us to forward the packet (RFC 8200, section 4.4), and for a source route
/// back (RFC 5095, section 3).
fn segments_left_is_zero(extension: &[u8]) -> Result<(), DropReason> {
    match extension {
        [_, _, _, 0, ..] => Ok(()),
        _ => Err(DropReason::Ipv6Malformed),
    }
}

/// One fragment of a packet: what stands in the fragment header (RFC 8200, section 4.5).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Fragment {
    /// Tells fragments of one packet from those of another.
    pub(crate) identification: u32,
    /// Where the payload stands in the packet that was cut, in bytes: a multiple of 8.
    pub(crate) offset: usize,
    /// More fragments follow.
    pub(crate) more: bool,
}

/// The header of a packet to be sent, which may be a fragment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Repr {
    /// The sender.
    pub(crate) source: Ipv6Addr,
    /// The receiver.
    pub(crate) destination: Ipv6Addr,
    /// What the payload is.
    pub(crate) protocol: Protocol,
    /// How many routers it may pass.
    pub(crate) hop_limit: u8,
    /// Bytes of payload, without the fragment header.
    pub(crate) payload_len: usize,
    /// The fragment header, if there is to be one.
    pub(crate) fragment: Option<Fragment>,
}

impl Repr {
    /// Writes the header, or both headers, at the start of `buffer` and returns the room behind.
    pub(crate) fn emit<'b>(&self, buffer: &'b mut [u8]) -> Option<&'b mut [u8]> {
        let buffer = self.words().emit(buffer)?;
        let Some(fragment) = self.fragment else {
            return Some(buffer);
        };
        // The offset counts units of 8 bytes from bit 3 on: in bytes, it stands there as it is.
        let offset = fragment.offset as u16 & !7 | u16::from(fragment.more);
        let next = u16::from(self.protocol.number()) << 8;
        put_words(buffer, [Word::pair(next, offset), Word::new(fragment.identification)])
    }

    /// The fixed header as it is sent.
    #[inline]
    pub(crate) const fn words(&self) -> Words {
        let (next, payload_len) = match self.fragment {
            None => (self.protocol.number(), self.payload_len),
            Some(_) => (FRAGMENT, self.payload_len + FRAGMENT_HEADER_LEN),
        };
        let rest = Word::pair(payload_len as u16, u16::from_be_bytes([next, self.hop_limit]));
        let (source, destination) = (halves(self.source), halves(self.destination));
        Words { first: wide(Word::new(6 << 28), rest), source, destination }
    }
}

/// A fixed header in the words that it is written in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Words {
    /// All but the addresses.
    first: u64,
    source: [u64; 2],
    destination: [u64; 2],
}

impl Words {
    /// Writes the header at the start of `buffer` and returns the room behind it.
    #[inline]
    pub(crate) fn emit<'b>(&self, buffer: &'b mut [u8]) -> Option<&'b mut [u8]> {
        let (header, rest) = buffer.split_first_chunk_mut::<HEADER_LEN>()?;
        let ([s0, s1], [d0, d1]) = (self.source, self.destination);
        set::<0, _>(header, self.first);
        set::<8, _>(header, s0);
        set::<16, _>(header, s1);
        set::<24, _>(header, d0);
        set::<32, _>(header, d1);
        Some(rest)
    }
}

/// Source and destination of a packet.
pub(crate) fn addresses(packet: &[u8]) -> Option<(Ipv6Addr, Ipv6Addr)> {
    let (source, rest) = packet.get(8..)?.split_first_chunk::<16>()?;
    Some((Ipv6Addr::from_octets(*source), Ipv6Addr::from_octets(*rest.first_chunk::<16>()?)))
}

/// Reads the start of a packet that an ICMP error quotes: source, destination, and what there is of its
/// payload, if that is the start of a TCP segment.
pub(crate) fn quoted_tcp(bytes: &[u8]) -> Option<(Ipv6Addr, Ipv6Addr, &[u8])> {
    let (fixed, payload) = bytes.split_first_chunk::<HEADER_LEN>()?;
    let [version_class, _, _, _, _, _, next, ..] = fixed;
    if version_class >> 4 != 6 || Protocol::new(*next) != Protocol::TCP {
        return None;
    }
    let (source, destination) = addresses(fixed)?;
    Some((source, destination, payload))
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
        let emit = Repr {
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
        assert_eq!(parse(&packet(44, &[&[6, 0, 1, 0, 0, 0, 0, 7]])), Err(DropReason::Ipv6Fragment));
        let destination: &[u8] = &[44, 0, 1, 4, 0, 0, 0, 0];
        assert_eq!(parse(&packet(60, &[destination, &[6, 0, 0, 8, 0, 0, 0, 7]])), Err(DropReason::Ipv6Fragment));
        assert_eq!(parse(&packet(44, &[])), Err(DropReason::Ipv6Malformed));
    }

    #[test]
    fn an_atomic_fragment_is_a_whole_packet_whatever_its_reserved_fields_say() {
        assert_eq!(parse(&packet(44, &[&[6, 0, 0, 0, 0, 0, 0, 7]])), Ok((6, 4)));
        // Where other headers have their length, this one has a byte that is ignored.
        assert_eq!(parse(&packet(44, &[&[6, 0xff, 0, 6, 0, 0, 0, 7]])), Ok((6, 4)));
        let destination: &[u8] = &[44, 0, 1, 4, 0, 0, 0, 0];
        assert_eq!(parse(&packet(60, &[destination, &[6, 0, 0, 0, 0, 0, 0, 7]])), Ok((6, 4)));
    }

    /// A destination or hop-by-hop header whose second option, behind padding, is of this type.
    fn with_option(kind: u8) -> [u8; 8] {
        [6, 0, 1, 0, kind, 2, 0, 0]
    }

    #[test]
    fn an_unknown_option_is_skipped_or_drops_its_packet_as_its_first_two_bits_say() {
        for header in [0, 60] {
            for (kind, expect) in [
                (0x1e, Ok((6, 4))),
                (0x3f, Ok((6, 4))),
                (0x42, Err(DropReason::Ipv6Option)),
                (0x82, Err(DropReason::Ipv6Option)),
                (0xc2, Err(DropReason::Ipv6Option)),
            ] {
                assert_eq!(parse(&packet(header, &[&with_option(kind)])), expect, "{kind:#x}");
            }
        }
        // Its value is not looked at as if there were options in it.
        assert_eq!(parse(&packet(60, &[&[6, 0, 0x1e, 4, 0x82, 0, 0x42, 0]])), Ok((6, 4)));
    }

    #[test]
    fn an_option_beyond_its_header_is_malformed() {
        for options in [[0x1e, 5, 0, 0, 0, 0], [1, 4, 0, 0, 0, 0x1e], [0, 0, 0, 0, 1, 1]] {
            let mut header = [6, 0, 0, 0, 0, 0, 0, 0];
            header[2..].copy_from_slice(&options);
            let expect = if options == [1, 4, 0, 0, 0, 0x1e] { Ok((6, 4)) } else { Err(DropReason::Ipv6Malformed) };
            assert_eq!(parse(&packet(60, &[&header])), expect, "{options:?}");
        }
    }

    #[test]
    fn the_sender_of_an_unknown_option_is_told_where_it_stands() {
        let report = |kind: u8| unknown_option_to_report(&packet(60, &[&with_option(kind)]));
        let at = |pointer, even_for_groups| Some(UnknownOption { pointer, even_for_groups });
        assert_eq!([0x42, 0x7f].map(report), [None; 2]);
        assert_eq!([0x82, 0xbf].map(report), [at(44, true); 2]);
        assert_eq!([0xc2, 0xff].map(report), [at(44, false); 2]);
        let behind = packet(0, &[&[60, 0, 1, 4, 0, 0, 0, 0], &with_option(0x82)]);
        assert_eq!(unknown_option_to_report(&behind), at(52, true));
    }

    #[test]
    fn no_error_is_reported_for_an_error_or_a_redirect() {
        for (kind, is_told) in [(1, false), (127, false), (128, true), (135, true), (137, false)] {
            let header = [58, 0, 0x82, 4, 0, 0, 0, 0];
            let icmp = packet(60, &[&header, &[kind, 0, 0, 0, 0, 0, 0, 0]]);
            assert_eq!(unknown_option_to_report(&icmp).is_some(), is_told, "type {kind}");
        }
    }

    #[test]
    fn payload_length_beyond_the_frame_is_malformed_and_padding_is_not_payload() {
        let mut bytes = packet(6, &[]);
        bytes.extend([0xee; 6]);
        assert_eq!(parse(&bytes), Ok((6, 4)));
        bytes[5] = 11;
        assert_eq!(parse(&bytes), Err(DropReason::Ipv6Malformed));
    }

    #[test]
    fn only_the_start_of_a_tcp_segment_is_read_from_what_is_quoted() {
        let quoted = |at: usize, value: u8| {
            let mut bytes = packet(6, &[]);
            bytes[at] = value;
            quoted_tcp(&bytes).map(|(source, destination, payload)| (source, destination, payload.len()))
        };
        assert_eq!(quoted(1, 0x10), Some((SOURCE, DESTINATION, 4)), "of any traffic class");
        assert_eq!([quoted(0, 0x45), quoted(6, 17), quoted(6, FRAGMENT)], [None; 3]);
    }

    #[test]
    fn the_first_of_several_unknown_options_is_reported() {
        let at = |pointer, even_for_groups| Some(UnknownOption { pointer, even_for_groups });
        let first_of_its_header: &[u8] = &[60, 0, 0x82, 4, 0, 0, 0, 0];
        let last_of_its_header: &[u8] = &[6, 0, 1, 2, 0, 0, 0xc2, 0];
        assert_eq!(unknown_option_to_report(&packet(0, &[first_of_its_header, last_of_its_header])), at(42, true));
        assert_eq!(unknown_option_to_report(&packet(60, &[last_of_its_header])), at(46, false));
    }

    #[test]
    fn a_fragment_header_says_what_follows_and_where_it_stands() {
        let mut bytes = [0; HEADER_LEN + FRAGMENT_HEADER_LEN];
        let fragment = Fragment { identification: 0x0102_0304, offset: 1232, more: true };
        let emit = Repr {
            source: SOURCE,
            destination: DESTINATION,
            protocol: Protocol::TCP,
            hop_limit: 64,
            payload_len: 16,
            fragment: Some(fragment),
        };
        assert!(emit.emit(&mut bytes).unwrap().is_empty());
        assert_eq!(bytes[4..8], [0, 24, FRAGMENT, 64]);
        // The offset counts units of eight bytes, from bit 3 on (RFC 8200, section 4.5).
        assert_eq!(bytes[HEADER_LEN..], [6, 0, 1232_u16.to_be_bytes()[0], 1232_u16.to_be_bytes()[1] | 1, 1, 2, 3, 4]);
        let last = Repr { fragment: Some(Fragment { more: false, ..fragment }), ..emit };
        last.emit(&mut bytes).unwrap();
        assert_eq!(bytes[HEADER_LEN + 2..HEADER_LEN + 4], 1232_u16.to_be_bytes());
    }
}
