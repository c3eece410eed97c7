//! A TCP segment that goes out in one packet: nearly every frame that there is.

use super::{HOP_LIMIT, Route, tx_checksum};
use crate::config::Config;
use crate::port::TxFrame;
use crate::wire::checksum::Sum;
use crate::wire::ip::{AddressPair, Protocol};
use crate::wire::{ipv4, ipv6, put, tcp};

/// A segment and the way that it goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outgoing<'a> {
    pub(crate) route: Route,
    pub(crate) header: tcp::Header,
    /// Two pieces, so that neither has to be copied to the other.
    pub(crate) payload: [&'a [u8]; 2],
    /// The sum over the payload, where it is known beforehand.
    pub(crate) sum: Option<Sum>,
    /// Where a router cuts the packet, its pieces must not be taken for those of another.
    pub(crate) identification: u16,
}

impl Outgoing<'_> {
    /// A segment without payload.
    #[inline]
    pub(crate) const fn new(route: Route, header: tcp::Header) -> Self {
        Self { route, header, payload: [&[], &[]], sum: None, identification: 0 }
    }

    /// Bytes of payload.
    #[inline]
    const fn payload_len(&self) -> usize {
        let [head, body] = self.payload;
        head.len() + body.len()
    }

    /// Writes the frame at the start of `buffer`.
    #[inline(never)]
    pub(crate) fn emit(&self, config: &Config, buffer: &mut [u8]) -> Option<TxFrame> {
        let words = self.header.words();
        let len = words.len() + self.payload_len();
        let link = self.route.link(config);
        let room = link.emit(buffer)?;
        let room = self.emit_ip_header(config, len, room)?;
        let pseudo_header = self.route.addresses.pseudo_header(Protocol::TCP, len);
        let checksum = if config.offload.tcp {
            pseudo_header.folded()
        } else {
            pseudo_header.followed_by(words.sum()).followed_by(self.payload_sum()).finish()
        };
        let mut room = words.emit(checksum, room)?;
        for part in self.payload {
            if !part.is_empty() {
                room = put(room, part)?;
            }
        }
        let len = link.header_len() + self.route.addresses.header_len() + len;
        Some(TxFrame { len, checksum: tx_checksum(config, &self.route, config.offload.tcp) })
    }

    #[inline]
    fn payload_sum(&self) -> Sum {
        let [head, body] = self.payload;
        match self.sum {
            Some(sum) => sum,
            None if self.payload_len() == 0 => Sum::new(),
            None => Sum::new().with(head).with(body),
        }
    }

    #[inline]
    fn emit_ip_header<'b>(&self, config: &Config, payload_len: usize, room: &'b mut [u8]) -> Option<&'b mut [u8]> {
        match self.route.addresses {
            AddressPair::V4 { source, destination } => ipv4::Emit {
                source,
                destination,
                protocol: Protocol::TCP,
                ttl: HOP_LIMIT,
                identification: self.identification,
                fragment_offset: 0,
                more_fragments: false,
                payload_len,
                partial_checksum: config.offload.ipv4,
            }
            .emit(room),
            AddressPair::V6 { source, destination } => {
                let (protocol, hop_limit, fragment) = (Protocol::TCP, HOP_LIMIT, None);
                ipv6::Emit { source, destination, protocol, hop_limit, payload_len, fragment }.emit(room)
            }
        }
    }
}
