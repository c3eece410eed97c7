//! The IP packet in a frame, as a router sees it: a header, and a payload that it does not look into.

use std::net::IpAddr;

use crate::frame::internet_checksum;

/// Bytes of an Ethernet header without a tag.
pub(super) const LINK_HEADER_LEN: usize = 14;

const TAG_LEN: usize = 4;
const IPV6_HEADER_LEN: usize = 40;
const FRAGMENT_HEADER_LEN: usize = 8;
const NEXT_IS_FRAGMENT: u8 = 44;

/// A frame, cut at its layers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Packet<'a> {
    pub(super) link: &'a [u8],
    pub(super) ip: Ip<'a>,
}

/// The header of each family, and what it carries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ip<'a> {
    V4 { header: &'a [u8], payload: &'a [u8] },
    V6 { header: &'a [u8; IPV6_HEADER_LEN], payload: &'a [u8] },
}

/// What a packet says of its place in the one that it was cut from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Fragment<'a> {
    pub(super) identification: u32,
    pub(super) protocol: u8,
    /// Where the data stands, in bytes.
    pub(super) offset: usize,
    pub(super) more: bool,
    pub(super) data: &'a [u8],
}

impl<'a> Packet<'a> {
    /// The IP packet in a frame, if there is a whole one whose header is right. What lies behind it is
    /// padding.
    pub(super) fn parse(frame: &'a [u8]) -> Option<Self> {
        Self::parse_unchecked(frame).filter(|packet| match packet.ip {
            Ip::V4 { header, .. } => internet_checksum([header]) == 0,
            Ip::V6 { .. } => true,
        })
    }

    /// Parses it whatever the checksum of its header says.
    pub(super) fn parse_unchecked(frame: &'a [u8]) -> Option<Self> {
        let is_tagged = matches!(frame.get(12..14)?, [0x81, 0]);
        let link_len = LINK_HEADER_LEN + if is_tagged { TAG_LEN } else { 0 };
        let (link, packet) = frame.split_at_checked(link_len)?;
        let ip = match link {
            [.., 0x08, 0x00] => Self::parse_v4(packet),
            [.., 0x86, 0xdd] => Self::parse_v6(packet),
            _ => None,
        }?;
        Some(Self { link, ip })
    }

    fn parse_v4(packet: &'a [u8]) -> Option<Ip<'a>> {
        let header_len = usize::from(packet.first()? & 0xf) * 4;
        let packet = packet.get(..usize::from(u16_at(packet, 2)?))?;
        let (header, payload) = packet.split_at_checked(header_len)?;
        (packet[0] >> 4 == 4 && header_len >= 20).then_some(Ip::V4 { header, payload })
    }

    fn parse_v6(packet: &'a [u8]) -> Option<Ip<'a>> {
        let (header, rest) = packet.split_first_chunk::<IPV6_HEADER_LEN>()?;
        let payload = rest.get(..usize::from(u16_at(header, 4)?))?;
        (header[0] >> 4 == 6).then_some(Ip::V6 { header, payload })
    }
}

impl<'a> Ip<'a> {
    /// Bytes of the whole packet.
    pub(super) const fn len(&self) -> usize {
        match self {
            Self::V4 { header, payload } => header.len() + payload.len(),
            Self::V6 { header, payload } => header.len() + payload.len(),
        }
    }

    /// Source and destination, as they stand in the header.
    pub(super) fn addresses(&self) -> &'a [u8] {
        match self {
            Self::V4 { header, .. } => &header[12..20],
            Self::V6 { header, .. } => &header[8..],
        }
    }

    /// The source address.
    pub(super) fn source(&self) -> IpAddr {
        match self {
            Self::V4 { header, .. } => IpAddr::from(first_chunk::<4>(&header[12..])),
            Self::V6 { header, .. } => IpAddr::from(first_chunk::<16>(&header[8..])),
        }
    }

    /// Whether a router may fragment it.
    pub(super) fn may_be_cut(&self) -> bool {
        matches!(self, Self::V4 { header, .. } if header[6] & 0x40 == 0)
    }

    /// Its place in a larger packet, if it is not one by itself.
    pub(super) fn fragment(&self) -> Option<Fragment<'a>> {
        let (identification, protocol, field, data) = match *self {
            Self::V4 { header, payload } => {
                let field = u16_at(header, 6)?;
                let at = (usize::from(field & 0x1fff) * 8, field & 0x2000 != 0);
                (u32::from(u16_at(header, 4)?), header[9], at, payload)
            }
            Self::V6 { header, payload } => {
                if header[6] != NEXT_IS_FRAGMENT {
                    return None;
                }
                let (fragment, data) = payload.split_first_chunk::<FRAGMENT_HEADER_LEN>()?;
                let [protocol, _, f0, f1, i0, i1, i2, i3] = *fragment;
                let field = u16::from_be_bytes([f0, f1]);
                let at = (usize::from(field & !7), field & 1 != 0);
                (u32::from_be_bytes([i0, i1, i2, i3]), protocol, at, data)
            }
        };
        let (offset, more) = field;
        let is_whole = offset == 0 && !more;
        (!is_whole).then_some(Fragment { identification, protocol, offset, more, data })
    }
}

/// Sets length and fragment fields of an IPv4 header, and its checksum.
pub(super) fn finish_ipv4(header: &mut [u8], payload_len: usize, offset: usize, more: bool) {
    let total = (header.len() + payload_len) as u16;
    let field = (offset / 8) as u16 | if more { 0x2000 } else { 0 };
    header[2..4].copy_from_slice(&total.to_be_bytes());
    header[6..8].copy_from_slice(&field.to_be_bytes());
    mend_ipv4(header);
}

/// Makes the checksum of an IPv4 header right.
pub(super) fn mend_ipv4(header: &mut [u8]) {
    header[10..12].fill(0);
    let checksum = internet_checksum([&*header]);
    header[10..12].copy_from_slice(&checksum.to_be_bytes());
}

fn first_chunk<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.first_chunk().copied().unwrap_or([0; N])
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map(|field| u16::from_be_bytes(*field))
}
