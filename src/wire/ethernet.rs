//! Ethernet II frames, with or without one 802.1Q tag (IEEE 802.3, clause 3; IEEE 802.1Q, clause 9).
//!
//! ```text
//!  0                   6                   12       14
//! +-------------------+-------------------+--------+-----------------
//! | destination       | source            | type   | payload
//! +-------------------+-------------------+--------+-----------------
//!                                         | 0x8100 | tag    | type   | payload
//!                                         +--------+--------+--------+----------
//! ```

use core::fmt;
use core::str::FromStr;

use super::{get, set};
use crate::verdict::DropReason;

/// The longest header in front of an IP packet: addresses, one tag, type.
pub const LINK_HEADER_MAX: usize = 18;

/// An Ethernet address: its bytes as a little-endian number, which is one word to compare and to shift.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct MacAddress(u64);

impl MacAddress {
    /// Its bits, of a number of 64.
    const MASK: u64 = (1 << 48) - 1;

    /// Every station.
    pub const BROADCAST: Self = Self::new([0xff; 6]);

    /// Locally administered, and the name in ASCII: what Lethe uses where no card has an address.
    pub const LETHE: Self = Self::new([0x02, b'L', b'e', b't', b'h', b'e']);

    /// The address with these bytes, in the order of the wire.
    #[inline]
    pub const fn new([b0, b1, b2, b3, b4, b5]: [u8; 6]) -> Self {
        Self(u32::from_le_bytes([b0, b1, b2, b3]) as u64 | (u16::from_le_bytes([b4, b5]) as u64) << 32)
    }

    /// The bytes in the order of the wire.
    pub const fn bytes(self) -> [u8; 6] {
        let [b0, b1, b2, b3, b4, b5, ..] = self.0.to_le_bytes();
        [b0, b1, b2, b3, b4, b5]
    }

    /// Whether it names a group of stations, broadcast included.
    #[inline]
    pub const fn is_group(self) -> bool {
        self.0 & 1 == 1
    }

    /// Whether it is a group that IPv6 multicast maps to (RFC 2464, section 7).
    #[inline]
    pub const fn is_ipv6_group(self) -> bool {
        self.0 as u16 == 0x3333
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.bytes().iter().enumerate() {
            write!(f, "{}{byte:02x}", if at == 0 { "" } else { ":" })?;
        }
        Ok(())
    }
}

impl fmt::Debug for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not six pairs of hexadecimal digits with colons between them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MacAddressError;

impl fmt::Display for MacAddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a hardware address is six pairs of hexadecimal digits, such as 02:4c:65:74:68:65")
    }
}

impl core::error::Error for MacAddressError {}

impl FromStr for MacAddress {
    type Err = MacAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 6];
        let mut pairs = text.split(':');
        for byte in &mut bytes {
            let pair = pairs.next().ok_or(MacAddressError)?;
            // `from_str_radix` alone would take "+f".
            if pair.len() != 2 || !pair.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                return Err(MacAddressError);
            }
            *byte = u8::from_str_radix(pair, 16).map_err(|_| MacAddressError)?;
        }
        if pairs.next().is_some() { Err(MacAddressError) } else { Ok(Self::new(bytes)) }
    }
}

/// What a frame carries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EtherType(u16);

impl EtherType {
    /// IPv4 (RFC 894).
    pub const IPV4: Self = Self(0x0800);
    /// ARP (RFC 826).
    pub const ARP: Self = Self(0x0806);
    /// IPv6 (RFC 2464).
    pub const IPV6: Self = Self(0x86dd);
    const VLAN: Self = Self(0x8100);
}

/// The header of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// The receiver.
    pub destination: MacAddress,
    /// The sender.
    pub source: MacAddress,
    /// The tag control information of the 802.1Q tag, if there is one: priority and VLAN.
    pub tag: Option<u16>,
    /// What the payload is.
    pub ether_type: EtherType,
}

impl Header {
    /// Splits a frame into header and payload. The payload may end in padding.
    ///
    /// # Errors
    ///
    /// [`DropReason::EthernetTruncated`].
    #[inline]
    pub fn parse(frame: &[u8]) -> Result<(Self, &[u8]), DropReason> {
        let (header, payload) = frame.split_first_chunk::<14>().ok_or(DropReason::EthernetTruncated)?;
        let (first, last) = (get::<0, _>(header), get::<6, _>(header));
        let [destination, source] = [first, last].map(|bytes| MacAddress(bytes & MacAddress::MASK));
        let ether_type = EtherType(((last >> 48) as u16).swap_bytes());
        if ether_type != EtherType::VLAN {
            return Ok((Self { destination, source, tag: None, ether_type }, payload));
        }
        let (tag, payload) = payload.split_first_chunk::<4>().ok_or(DropReason::EthernetTruncated)?;
        let [c0, c1, t0, t1] = *tag;
        let (tag, ether_type) = (u16::from_be_bytes([c0, c1]), EtherType(u16::from_be_bytes([t0, t1])));
        Ok((Self { destination, source, tag: Some(tag), ether_type }, payload))
    }

    /// Bytes that [`Header::emit`] writes.
    #[inline]
    pub const fn header_len(&self) -> usize {
        self.words().len()
    }

    /// Writes the header at the start of `buffer` and returns the room behind it.
    #[inline]
    pub fn emit<'b>(&self, buffer: &'b mut [u8]) -> Option<&'b mut [u8]> {
        self.words().emit(buffer)
    }

    /// The header as it is sent.
    #[inline]
    pub(crate) const fn words(&self) -> Words {
        let (MacAddress(destination), MacAddress(source), EtherType(kind)) =
            (self.destination, self.source, self.ether_type);
        Words { destination, source_and_type: source | (kind.swap_bytes() as u64) << 48, tag: self.tag }
    }
}

/// A header in the words that it is written in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Words {
    /// The receiver, and no more.
    destination: u64,
    source_and_type: u64,
    tag: Option<u16>,
}

impl Words {
    /// Bytes of the header.
    #[inline]
    pub(crate) const fn len(&self) -> usize {
        if self.tag.is_some() { LINK_HEADER_MAX } else { LINK_HEADER_MAX - 4 }
    }

    /// Writes the header at the start of `buffer` and returns the room behind it.
    #[inline]
    pub(crate) fn emit<'b>(&self, buffer: &'b mut [u8]) -> Option<&'b mut [u8]> {
        let Self { destination, source_and_type, tag } = *self;
        let Some(tag) = tag else {
            let (header, rest) = buffer.split_first_chunk_mut::<{ LINK_HEADER_MAX - 4 }>()?;
            set::<0, _>(header, destination);
            set::<6, _>(header, source_and_type);
            return Some(rest);
        };
        let (header, rest) = buffer.split_first_chunk_mut::<LINK_HEADER_MAX>()?;
        let with_vlan = source_and_type & MacAddress::MASK | u64::from(EtherType::VLAN.0.swap_bytes()) << 48;
        set::<0, _>(header, destination);
        set::<10, _>(header, source_and_type >> 48 << 48 | u64::from(tag.swap_bytes()) << 32);
        set::<6, _>(header, with_vlan);
        Some(rest)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::string::ToString;

    use super::*;

    #[test]
    fn header_survives_emit_and_parse_with_and_without_tag() {
        for tag in [None, Some(0x2064)] {
            let header = Header {
                destination: MacAddress::new([1, 2, 3, 4, 5, 6]),
                source: MacAddress::new([7, 8, 9, 10, 11, 12]),
                tag,
                ether_type: EtherType::IPV6,
            };
            let mut buffer = [0; 20];
            let room = header.emit(&mut buffer).unwrap().len();
            assert_eq!(header.header_len(), 20 - room);
            let (parsed, payload) = Header::parse(&buffer).unwrap();
            assert_eq!((parsed, payload.len()), (header, room));
        }
    }

    #[test]
    fn a_frame_that_ends_within_its_header_is_truncated() {
        let mut frame = [0; 18];
        (frame[12], frame[13]) = (0x81, 0x00);
        for end in 0..18 {
            assert_eq!(Header::parse(&frame[..end]), Err(DropReason::EthernetTruncated), "{end}");
        }
        assert!(Header::parse(&frame).is_ok());
    }

    #[test]
    fn addresses_are_written_as_they_are_read() {
        let address: MacAddress = "02:4c:65:74:68:65".parse().unwrap();
        assert_eq!(address.to_string(), "02:4c:65:74:68:65");
        for wrong in ["", "02:4c:65:74:68", "02:4c:65:74:68:65:00", "2:4c:65:74:68:65", "+2:4c:65:74:68:65"] {
            assert_eq!(wrong.parse::<MacAddress>(), Err(MacAddressError), "{wrong}");
        }
    }

    #[test]
    fn an_address_is_shown_as_it_is_written_and_an_error_tells_how() {
        assert_eq!(std::format!("{:?}", MacAddress::LETHE), "02:4c:65:74:68:65");
        let told = MacAddressError.to_string();
        assert!(told.ends_with(" such as 02:4c:65:74:68:65"), "{told}");
    }
}
