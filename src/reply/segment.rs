//! A TCP segment that is sent in one packet, as nearly all are.

use super::frame::{HOP_LIMIT, TxConfig, link_header, tx_checksum};
use crate::http::Persistence;
use crate::packet::ReplyPath;
use crate::port::TxFrame;
use crate::verdict::Answered;
use crate::wire::checksum::Sum;
use crate::wire::ip::{AddressPair, Pair, Protocol};
use crate::wire::{ipv4, ipv6, put, tcp};

/// A segment to be sent, and the path that it takes. Its frame is written when there is a buffer for it, from what is
/// here: nothing is written twice.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TxSegment<'a, P> {
    pub(crate) config: TxConfig,
    pub(crate) path: ReplyPath<P>,
    pub(crate) header: tcp::Words,
    /// Two pieces, so that neither has to be copied to the other.
    pub(crate) payload: [&'a [u8]; 2],
    /// What stands between them.
    pub(crate) head_end: HeadEnd,
    /// The sum over the payload, where it is known beforehand.
    pub(crate) sum: Option<Sum>,
    /// Where a router cuts the packet, its pieces must not be taken for those of another.
    pub(crate) identification: u32,
}

/// What replaces the end of a response's head, which says that the connection is closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum HeadEnd {
    /// It is not replaced.
    Nothing,
    /// The empty line: the connection stays open.
    Keep,
    /// The connection stays open, which a client of HTTP/1.0 has to be told.
    KeepAlive,
}

impl HeadEnd {
    /// What keeps a connection of this kind open. `None` where it is closed.
    #[inline]
    pub(crate) const fn of(persistence: Persistence) -> Option<Self> {
        match persistence {
            Persistence::Keep => Some(Self::Keep),
            Persistence::KeepAlive => Some(Self::KeepAlive),
            Persistence::Close => None,
        }
    }

    #[inline]
    pub(crate) const fn bytes(self) -> &'static [u8] {
        match self {
            Self::Nothing => b"",
            Self::Keep => b"\r\n",
            Self::KeepAlive => b"Connection: keep-alive\r\n\r\n",
        }
    }
}

impl<P: Pair> TxSegment<'_, P> {
    /// A segment without payload.
    #[inline]
    pub(crate) fn new(config: impl Into<TxConfig>, path: ReplyPath<P>, header: tcp::Header) -> Self {
        let (config, header) = (config.into(), header.words());
        let (payload, head_end, sum) = ([&[][..]; 2], HeadEnd::Nothing, Some(Sum::new()));
        Self { config, path, header, payload, head_end, sum, identification: 0 }
    }

    /// The response in it.
    #[inline]
    pub(super) fn answered(&self) -> Answered {
        let [head, body] = self.payload;
        Answered::of(head, body.len())
    }

    /// Writes the frame at the start of `buffer`. There must be room for the longest headers, whatever these are.
    #[inline]
    pub(crate) fn emit(&self, buffer: &mut [u8]) -> Option<TxFrame> {
        let (config, transport) = (&self.config, &self.header);
        let [head, body] = self.payload;
        let head_end = self.head_end.bytes();
        let payload_len = head.len() + head_end.len() + body.len();
        let len = transport.len() + payload_len;
        let addresses = self.path.addresses.into();
        let pseudo_header = addresses.pseudo_header(Protocol::TCP, len);
        let checksum = if config.offload.tcp {
            pseudo_header.folded()
        } else {
            let payload_sum = self.sum.unwrap_or_else(|| Sum::new().with(head).with(head_end).with(body));
            pseudo_header.followed_by(transport.sum()).followed_by(payload_sum).finish()
        };
        let link = link_header(config, &self.path);
        let room = link.emit(buffer)?;
        let room = match addresses {
            AddressPair::V4 { source, destination } => ipv4::Repr {
                source,
                destination,
                protocol: Protocol::TCP,
                ttl: HOP_LIMIT,
                identification: self.identification,
                fragment_offset: 0,
                more_fragments: false,
                payload_len: len,
                partial_checksum: config.offload.ipv4,
            }
            .emit(room)?,
            AddressPair::V6 { source, destination } => {
                let (protocol, hop_limit, fragment) = (Protocol::TCP, HOP_LIMIT, None);
                ipv6::Repr { source, destination, protocol, hop_limit, payload_len: len, fragment }.emit(room)?
            }
        };
        transport.emit(checksum, room.first_chunk_mut()?);
        let mut room = room.get_mut(transport.len()..)?;
        for part in [head, head_end, body] {
            if !part.is_empty() {
                room = put(room, part)?;
            }
        }
        let len = link.header_len() + addresses.header_len() + len;
        Some(TxFrame { len, checksum: tx_checksum(config, &self.path, config.offload.tcp) })
    }
}
