//! ICMPv6: echo, what a router says of a packet that is too big, and what is said of one that has an unknown option
//! (RFC 4443, sections 4, 3.2 and 3.4), and neighbor discovery as a host needs it (RFC 4861, section 4).
//!
//! ```text
//!  0      1      2             4                           8
//! +------+------+-------------+---------------------------+--------------------------+----------
//! | 128  | 0    | checksum    | identifier, sequence      | data                                 echo request
//! +------+------+-------------+---------------------------+--------------------------+----------
//! | 2    | 0    | checksum    | MTU                       | the packet                          too big
//! +------+------+-------------+---------------------------+--------------------------+----------
//! | 1    | 0    | checksum    | 0                         | the packet                          no route
//! +------+------+-------------+---------------------------+--------------------------+----------
//! | 4    | 2    | checksum    | pointer                   | the packet                          unknown option
//! +------+------+-------------+---------------------------+--------------------------+----------
//! | 135  | 0    | checksum    | 0                         | target (16)              | options   solicitation
//! +------+------+-------------+---------------------------+--------------------------+----------
//! | 136  | 0    | checksum    | R S O                     | target (16)              | options   advertisement
//! +------+------+-------------+---------------------------+--------------------------+----------
//!
//! option:  | type | length/8 | ...     1: the sender's hardware address    2: the target's
//! ```

use core::net::Ipv6Addr;

use super::ethernet::MacAddress;
use super::ipv6;
use crate::verdict::DropReason;

/// Bytes in front of the data of an echo.
pub(crate) const ECHO_HEADER_LEN: usize = 8;

/// Bytes of the advertisement that we send, its option included.
pub(crate) const ADVERTISEMENT_LEN: usize = 32;

/// The hop limit that neighbor discovery is sent with, and must arrive with: it has passed no router.
pub(crate) const HOP_LIMIT: u8 = 255;

/// The header of "no route to destination" (RFC 4443, section 3.1), its checksum still zero.
pub(crate) const UNREACHABLE_HEADER: [u8; 8] = [UNREACHABLE, NO_ROUTE, 0, 0, 0, 0, 0, 0];

/// The header of a Parameter Problem: the option at `pointer`, in bytes from the start of the packet, is unknown (RFC
/// 4443, section 3.4). Its checksum is still zero.
pub(crate) const fn unknown_option_header(pointer: u32) -> [u8; 8] {
    let [p0, p1, p2, p3] = pointer.to_be_bytes();
    [PARAMETER_PROBLEM, UNKNOWN_OPTION, 0, 0, p0, p1, p2, p3]
}

const UNREACHABLE: u8 = 1;
const NO_ROUTE: u8 = 0;
const TOO_BIG: u8 = 2;
const PARAMETER_PROBLEM: u8 = 4;
const UNKNOWN_OPTION: u8 = 2;
const ECHO_REQUEST: u8 = 128;
const ECHO_REPLY: u8 = 129;
const NEIGHBOR_SOLICITATION: u8 = 135;
const NEIGHBOR_ADVERTISEMENT: u8 = 136;

const SOURCE_LINK_LAYER: u8 = 1;
const TARGET_LINK_LAYER: u8 = 2;

const SOLICITED: u8 = 0x40;
const OVERRIDE: u8 = 0x20;

/// A message that we answer. Its checksum has been verified.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Message<'a> {
    /// An echo request.
    Echo {
        /// Identifier and sequence number: the reply gives them back.
        id: [u8; 4],
        /// The data: the reply gives it back.
        data: &'a [u8],
    },
    /// A packet from here does not fit a link on its way.
    TooBig {
        /// The largest that does.
        mtu: u32,
        /// How that packet began.
        quoted: &'a [u8],
    },
    /// A neighbor solicitation that passed the checks of RFC 4861, section 7.1.1.
    Solicitation(Solicitation),
}

/// A neighbor solicitation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Solicitation {
    /// The address asked for.
    pub(crate) target: Ipv6Addr,
    /// It came from `::`: the sender checks that the address is not in use (duplicate address detection, RFC 4862,
    /// section 5.4).
    pub(crate) probe: bool,
}

impl<'a> Message<'a> {
    /// Parses a message whose checksum is right.
    ///
    /// # Errors
    ///
    /// [`DropReason::IcmpMalformed`], [`DropReason::IcmpType`], [`DropReason::NeighborInvalid`].
    pub(crate) fn parse(header: &ipv6::Header, message: &'a [u8]) -> Result<Self, DropReason> {
        let (fixed, rest) = message.split_first_chunk::<8>().ok_or(DropReason::IcmpMalformed)?;
        match *fixed {
            [ECHO_REQUEST, 0, _, _, i0, i1, s0, s1] => Ok(Self::Echo { id: [i0, i1, s0, s1], data: rest }),
            [TOO_BIG, _, _, _, m0, m1, m2, m3] => {
                Ok(Self::TooBig { mtu: u32::from_be_bytes([m0, m1, m2, m3]), quoted: rest })
            }
            [NEIGHBOR_SOLICITATION, code, ..] => {
                if code != 0 || header.hop_limit != HOP_LIMIT {
                    return Err(DropReason::NeighborInvalid);
                }
                Solicitation::parse(header, rest).map(Self::Solicitation)
            }
            _ => Err(DropReason::IcmpType),
        }
    }
}

impl Solicitation {
    fn parse(header: &ipv6::Header, body: &[u8]) -> Result<Self, DropReason> {
        let (target, options) = body.split_first_chunk::<16>().ok_or(DropReason::NeighborInvalid)?;
        let target = Ipv6Addr::from_octets(*target);
        let probe = header.source.is_unspecified();
        let has_source_option = scan_options(options)?;
        let probe_is_wrong = probe && (has_source_option || !is_solicited_node(header.destination));
        if target.is_multicast() || probe_is_wrong {
            return Err(DropReason::NeighborInvalid);
        }
        Ok(Self { target, probe })
    }
}

/// Whether the options name the sender's hardware address. It is not used: the answer goes back to
/// where the frame came from.
fn scan_options(options: &[u8]) -> Result<bool, DropReason> {
    let (mut rest, mut has_source) = (options, false);
    // An option is at least 8 bytes long, so this ends; none may be of length 0 (RFC 4861, section 4.6).
    while let [kind, length, ..] = *rest {
        if length == 0 {
            return Err(DropReason::NeighborInvalid);
        }
        rest = rest.get(usize::from(length) * 8..).ok_or(DropReason::NeighborInvalid)?;
        has_source |= kind == SOURCE_LINK_LAYER;
    }
    if rest.is_empty() { Ok(has_source) } else { Err(DropReason::NeighborInvalid) }
}

/// Whether this is the group that the owners of some addresses listen to, `ff02::1:ffXX:XXXX`.
fn is_solicited_node(address: Ipv6Addr) -> bool {
    matches!(address.octets(), [0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, ..])
}

/// The group that the owner of `address` listens to (RFC 4291, section 2.7.1).
pub const fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = address.octets();
    Ipv6Addr::from_octets([0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c])
}

/// The header of an echo reply, its checksum still zero.
pub(crate) const fn echo_reply_header(id: [u8; 4]) -> [u8; ECHO_HEADER_LEN] {
    let [i0, i1, s0, s1] = id;
    [ECHO_REPLY, 0, 0, 0, i0, i1, s0, s1]
}

/// An advertisement that `target` is at `mac`, its checksum still zero. It is `solicited` when it answers a
/// solicitation.
pub(crate) fn advertisement(target: Ipv6Addr, mac: MacAddress, solicited: bool) -> [u8; ADVERTISEMENT_LEN] {
    let mut message = [0; ADVERTISEMENT_LEN];
    let flags = if solicited { SOLICITED | OVERRIDE } else { OVERRIDE };
    let head = [NEIGHBOR_ADVERTISEMENT, 0, 0, 0, flags, 0, 0, 0];
    let option = [TARGET_LINK_LAYER, 1];
    let bytes = head.into_iter().chain(target.octets()).chain(option).chain(mac.bytes());
    for (to, byte) in message.iter_mut().zip(bytes) {
        *to = byte;
    }
    message
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec::Vec;

    use super::*;
    use crate::wire::ip::Protocol;

    const TARGET: Ipv6Addr = Ipv6Addr::new(0xfd09, 0, 0, 0, 0, 0, 0, 2);

    /// What a solicitation for [`TARGET`] from and to these addresses asks for.
    fn solicitation(source: Ipv6Addr, destination: Ipv6Addr) -> Result<bool, DropReason> {
        let header = ipv6::Header { source, destination, protocol: Protocol::ICMPV6, hop_limit: HOP_LIMIT };
        let message: Vec<u8> =
            [NEIGHBOR_SOLICITATION, 0, 0, 0, 0, 0, 0, 0].into_iter().chain(TARGET.octets()).collect();
        match Message::parse(&header, &message)? {
            Message::Solicitation(Solicitation { target: TARGET, probe }) => Ok(probe),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_probe_for_duplicates_goes_to_a_solicited_node_group_alone() {
        let unspecified = Ipv6Addr::UNSPECIFIED;
        assert_eq!(solicitation(unspecified, solicited_node(TARGET)), Ok(true));
        for elsewhere in ["ff02::1", "fd09::2", "ff05::1:ff00:2", "ff02::1:fe00:2", "ff02::2:ff00:2"] {
            let elsewhere = elsewhere.parse().unwrap();
            assert_eq!(solicitation(unspecified, elsewhere), Err(DropReason::NeighborInvalid), "{elsewhere}");
            assert_eq!(solicitation(Ipv6Addr::new(0xfd09, 0, 0, 0, 0, 0, 0, 1), elsewhere), Ok(false), "{elsewhere}");
        }
    }
}
