//! ICMP echo (RFC 792).
//!
//! ```text
//!  0      1      2             4             6             8
//! +------+------+-------------+-------------+-------------+---------
//! | type | code | checksum    | identifier  | sequence    | data
//! +------+------+-------------+-------------+-------------+---------
//! ```

use super::checksum::Sum;
use crate::port::Checked;
use crate::verdict::DropReason;

/// Bytes in front of the data.
pub const ECHO_HEADER_LEN: usize = 8;

/// Where the checksum stands.
pub const CHECKSUM_OFFSET: usize = 2;

const ECHO_REQUEST: u8 = 8;
const ECHO_REPLY: u8 = 0;

/// An echo request or its reply.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Echo<'a> {
    /// Identifier and sequence number: the reply gives them back.
    pub id: [u8; 4],
    /// The data: the reply gives it back.
    pub data: &'a [u8],
}

impl<'a> Echo<'a> {
    /// Parses an echo request.
    ///
    /// # Errors
    ///
    /// [`DropReason::IcmpMalformed`], [`DropReason::IcmpChecksum`], [`DropReason::IcmpType`].
    pub fn parse(message: &'a [u8], checksum: Checked) -> Result<Self, DropReason> {
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
            [ECHO_REQUEST, 0, _, _, i0, i1, s0, s1] => Ok(Self { id: [i0, i1, s0, s1], data }),
            _ => Err(DropReason::IcmpType),
        }
    }

    /// The header of the reply, its checksum still zero.
    pub const fn reply_header(&self) -> [u8; ECHO_HEADER_LEN] {
        let [i0, i1, s0, s1] = self.id;
        [ECHO_REPLY, 0, 0, 0, i0, i1, s0, s1]
    }
}
