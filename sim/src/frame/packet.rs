//! IP packets (RFC 791, RFC 8200) with anything in them, and their fragments.

use std::net::IpAddr;

use super::{Ends, internet_checksum};

const FRAGMENT: u8 = 44;

/// An IP packet, of the family that the ends have.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Packet {
    ends: Ends,
    protocol: u8,
    payload: Vec<u8>,
    hop_limit: u8,
    /// IPv4: the header's options, padded with "end of options". IPv6: unused.
    options: Vec<u8>,
    /// IPv6: extension headers, each with its number and all its bytes but the first. IPv4: unused.
    extensions: Vec<(u8, Vec<u8>)>,
    dont_fragment: bool,
    fragment: Option<Fragment>,
    bad_checksum: bool,
    length_error: i16,
    padding: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Fragment {
    identification: u32,
    offset: u16,
    more: bool,
}

impl Packet {
    /// A packet from the client to the server: whole, with hop limit 64.
    pub fn new(ends: &Ends, protocol: u8, payload: impl Into<Vec<u8>>) -> Self {
        Self {
            ends: *ends,
            protocol,
            payload: payload.into(),
            hop_limit: 64,
            options: Vec::new(),
            extensions: Vec::new(),
            dont_fragment: true,
            fragment: None,
            bad_checksum: false,
            length_error: 0,
            padding: 0,
        }
    }

    /// Another hop limit or time to live.
    #[must_use]
    pub const fn hop_limit(mut self, hop_limit: u8) -> Self {
        self.hop_limit = hop_limit;
        self
    }

    /// Another protocol number.
    #[must_use]
    pub const fn protocol(mut self, protocol: u8) -> Self {
        self.protocol = protocol;
        self
    }

    /// IPv4 options, padded to a multiple of four bytes. They hold 40 bytes.
    #[must_use]
    pub fn options(mut self, options: &[u8]) -> Self {
        assert!(options.len() <= 40, "IPv4 options take at most 40 bytes");
        self.options = options.to_vec();
        self.options.resize(options.len().next_multiple_of(4), 0);
        self
    }

    /// An IPv6 extension header behind those already there: its number, and its bytes from the second
    /// on (the first one says what follows). It is padded to a multiple of eight; its length field, if it
    /// is one of those that have one, is `body[0]`.
    #[must_use]
    pub fn extension(mut self, number: u8, body: &[u8]) -> Self {
        let mut body = body.to_vec();
        body.resize((body.len() + 1).next_multiple_of(8) - 1, 0);
        self.extensions.push((number, body));
        self
    }

    /// Makes it a fragment of a larger packet that stands at `offset` bytes, a multiple of 8.
    #[must_use]
    pub fn fragment(mut self, identification: u32, offset: u16, more: bool) -> Self {
        assert!(offset.is_multiple_of(8), "fragments stand at multiples of 8");
        self.fragment = Some(Fragment { identification, offset, more });
        self.dont_fragment = false;
        self
    }

    /// IPv4: routers may fragment it.
    #[must_use]
    pub const fn may_be_fragmented(mut self) -> Self {
        self.dont_fragment = false;
        self
    }

    /// IPv4: the checksum of the header is wrong.
    #[must_use]
    pub const fn bad_checksum(mut self) -> Self {
        self.bad_checksum = true;
        self
    }

    /// The length field says so many bytes more, or less, than there are.
    #[must_use]
    pub const fn length_error(mut self, bytes: i16) -> Self {
        self.length_error = bytes;
        self
    }

    /// Bytes behind the packet, as Ethernet pads short frames.
    #[must_use]
    pub const fn padding(mut self, bytes: usize) -> Self {
        self.padding = bytes;
        self
    }

    /// Cuts it into fragments with at most `mtu` bytes of IP packet each; itself if it fits.
    pub fn fragments(&self, identification: u32, mtu: usize) -> Vec<Vec<u8>> {
        let whole = self.frame();
        let link = self.link_len();
        if whole.len() - link - self.padding <= mtu {
            return vec![whole];
        }
        let header = if self.ends.server.is_ipv4() { 20 + self.options.len() } else { 48 };
        let room = (mtu - header) / 8 * 8;
        let count = self.payload.len().div_ceil(room);
        let piece = |(at, bytes): (usize, &[u8])| {
            let whole = Self { payload: bytes.to_vec(), ..self.clone() };
            whole.fragment(identification, (at * room) as u16, at + 1 < count).frame()
        };
        self.payload.chunks(room).enumerate().map(piece).collect()
    }

    /// The frame.
    pub fn frame(&self) -> Vec<u8> {
        let (ether_type, mut packet) = match (self.ends.client.ip(), self.ends.server.ip()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                (0x0800, self.v4_header(source.octets(), destination.octets()))
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                (0x86dd, self.v6_header(source.octets(), destination.octets()))
            }
            _ => panic!("both ends have addresses of one family"),
        };
        packet.extend(&self.payload);
        packet.resize(packet.len() + self.padding, 0);
        self.ends.ethernet(ether_type, &packet)
    }

    fn link_len(&self) -> usize {
        if self.ends.vlan.is_some() { 18 } else { 14 }
    }

    fn length_field(&self, length: usize) -> [u8; 2] {
        (length as u16).wrapping_add_signed(self.length_error).to_be_bytes()
    }

    fn v4_header(&self, source: [u8; 4], destination: [u8; 4]) -> Vec<u8> {
        let header_len = 20 + self.options.len();
        let mut header = vec![0x40 | (header_len / 4) as u8, 0];
        header.extend(self.length_field(header_len + self.payload.len()));
        let fragment = self.fragment.unwrap_or(Fragment { identification: 0, offset: 0, more: false });
        header.extend((fragment.identification as u16).to_be_bytes());
        let flags = u16::from(self.dont_fragment) << 14 | u16::from(fragment.more) << 13;
        header.extend((flags | (fragment.offset / 8)).to_be_bytes());
        header.extend([self.hop_limit, self.protocol, 0, 0]);
        header.extend(source);
        header.extend(destination);
        header.extend(&self.options);
        let checksum = internet_checksum([header.as_slice()]) ^ u16::from(self.bad_checksum);
        header[10..12].copy_from_slice(&checksum.to_be_bytes());
        header
    }

    fn v6_header(&self, source: [u8; 16], destination: [u8; 16]) -> Vec<u8> {
        let mut extensions = self.extensions.clone();
        if let Some(Fragment { identification, offset, more }) = self.fragment {
            let mut body = vec![0];
            body.extend((offset | u16::from(more)).to_be_bytes());
            body.extend(identification.to_be_bytes());
            extensions.push((FRAGMENT, body));
        }
        let following = extensions.iter().skip(1).map(|(number, _)| *number).chain([self.protocol]);
        let chain: Vec<u8> = extensions
            .iter()
            .zip(following)
            .flat_map(|((_, body), next)| [&[next], body.as_slice()].concat())
            .collect();
        let first = extensions.first().map_or(self.protocol, |(number, _)| *number);
        let mut header = vec![0x60, 0, 0, 0];
        header.extend(self.length_field(chain.len() + self.payload.len()));
        header.extend([first, self.hop_limit]);
        header.extend(source);
        header.extend(destination);
        header.extend(chain);
        header
    }
}

/// The pseudo-header of TCP and ICMPv6 (RFC 9293, section 3.1; RFC 8200, section 8.1).
pub fn pseudo_header(ends: &Ends, protocol: u8, length: usize) -> Vec<u8> {
    let length = length as u32;
    match (ends.client.ip(), ends.server.ip()) {
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let tail = [0, 0, 0, protocol];
            [source.octets().as_slice(), &destination.octets(), &length.to_be_bytes(), &tail].concat()
        }
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let [_, _, high, low] = length.to_be_bytes();
            [source.octets().as_slice(), &destination.octets(), &[0, protocol, high, low]].concat()
        }
        _ => panic!("both ends have addresses of one family"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fragments_carry_the_whole_payload_once() {
        for ends in [Ends::v4(), Ends::v6()] {
            let payload: Vec<u8> = (0..=255).cycle().take(4000).collect();
            let frames = Packet::new(&ends, 6, payload.clone()).fragments(7, 1280);
            assert_eq!(frames.len(), 4);
            let header = if ends.server.is_ipv4() { 34 } else { 62 };
            assert!(frames.iter().all(|frame| frame.len() <= 1294));
            let joined: Vec<u8> = frames.iter().flat_map(|frame| &frame[header..]).copied().collect();
            assert_eq!(joined, payload);
        }
    }

    #[test]
    fn extension_headers_are_chained_in_order() {
        let packet = Packet::new(&Ends::v6(), 6, [9; 4]).extension(0, &[0]).extension(60, &[0]).frame();
        assert_eq!(packet[20], 0);
        assert_eq!((packet[54], packet[62]), (60, 6));
        assert_eq!(packet[70..], [9; 4]);
        assert_eq!(packet[18..20], 20u16.to_be_bytes());
    }
}
