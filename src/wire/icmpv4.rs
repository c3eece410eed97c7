//! ICMP: echo (RFC 792) and what a router says of a packet that is too big (RFC 1191, section 4).
//!
//! ```text
//!  0      1      2             4             6             8
//! +------+------+-------------+-------------+-------------+---------
//! | 8, 0 | 0    | checksum    | identifier  | sequence    | data              echo, its reply
//! +------+------+-------------+-------------+-------------+---------
//! | 3    | 4    | checksum    | 0           | next MTU    | the packet        too big
//! | 3    | 0    | checksum    | 0                         | the packet        network unreachable
//! +------+------+-------------+-------------+-------------+---------
//! ```

use super::checksum::{Checked, Sum};
use crate::verdict::DropReason;

/// Bytes in front of the data.
pub(crate) const ECHO_HEADER_LEN: usize = 8;

/// Where the checksum stands.
pub(crate) const CHECKSUM_OFFSET: usize = 2;

const ECHO_REQUEST: u8 = 8;
const ECHO_REPLY: u8 = 0;
const UNREACHABLE: u8 = 3;
const TOO_BIG: u8 = 4;
const NETWORK: u8 = 0;

/// The header of "network unreachable", its checksum still zero.
pub(crate) const UNREACHABLE_HEADER: [u8; 8] = [UNREACHABLE, NETWORK, 0, 0, 0, 0, 0, 0];

/// A message that we answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Message<'a> {
    /// An echo request.
    Echo(Echo<'a>),
    /// A packet from here does not fit a link on its way.
    TooBig {
        /// The largest that does; 0 from routers that do not say.
        mtu: u16,
        /// How that packet began.
        quoted: &'a [u8],
    },
}

/// An echo request or its reply.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Echo<'a> {
    /// Identifier and sequence number: the reply gives them back.
    pub(crate) id: [u8; 4],
    /// The data: the reply gives it back.
    pub(crate) data: &'a [u8],
}

impl<'a> Message<'a> {
    /// Parses a message.
    ///
    /// # Errors
    ///
    /// [`DropReason::IcmpMalformed`], [`DropReason::IcmpChecksum`], [`DropReason::IcmpType`].
    pub(crate) fn parse(message: &'a [u8], checksum: Checked) -> Result<Self, DropReason> {
        let (header, data) = message.split_first_chunk::<ECHO_HEADER_LEN>().ok_or(DropReason::IcmpMalformed)?;
        let valid = match checksum {
            Checked::Good => true,
            Checked::Bad => false,
            Checked::Unknown => Sum::new().with(message).is_valid(),
        };
        if !valid {
            return Err(DropReason::IcmpChecksum);
        }
        match *header {
            [ECHO_REQUEST, 0, _, _, i0, i1, s0, s1] => Ok(Self::Echo(Echo { id: [i0, i1, s0, s1], data })),
            [UNREACHABLE, TOO_BIG, _, _, _, _, m0, m1] => {
                Ok(Self::TooBig { mtu: u16::from_be_bytes([m0, m1]), quoted: data })
            }
            // Unknown types (RFC 1122, section 3.2.2), and errors of other kinds (RFC 1122, section 4.2.3.9).
            _ => Err(DropReason::IcmpType),
        }
    }
}

impl Echo<'_> {
    /// The header of the reply, its checksum still zero.
    pub(crate) const fn reply_header(&self) -> [u8; ECHO_HEADER_LEN] {
        let [i0, i1, s0, s1] = self.id;
        [ECHO_REPLY, 0, 0, 0, i0, i1, s0, s1]
    }
}
