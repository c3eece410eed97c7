//! A TCP segment that is sent in one packet, as nearly all are.

use super::frame::{HOP_LIMIT, TxConfig, link_header, tx_checksum};
use crate::http::Persistence;
use crate::packet::ReplyPath;
use crate::port::{Offload, TxFrame};
use crate::verdict::Answered;
use crate::wire::checksum::Sum;
use crate::wire::ip::{AddressPair, Pair, Protocol};
use crate::wire::{ethernet, ipv4, ipv6, put, tcp};

/// A segment to be sent: headers as they are written, and what follows them. They are put together where all that is in
/// them is at hand, and written when there is a buffer, in the same pieces (fast: read and written at once).
#[derive(Clone, Copy, Debug)]
pub(crate) struct TxSegment<'a> {
    link: ethernet::Words,
    network: NetworkHeader,
    transport: tcp::Words,
    head: &'a [u8],
    head_end: HeadEnd,
    body: &'a [u8],
    payload_len: usize,
    offload: Offload,
}

/// An IP header, as it is written.
#[derive(Clone, Copy, Debug)]
enum NetworkHeader {
    V4(ipv4::Words),
    V6(ipv6::Words),
}

/// The payload of a segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TxPayload<'a> {
    /// The first of two pieces, so that neither has to be copied to the other.
    pub(crate) head: &'a [u8],
    /// What stands between them.
    pub(crate) head_end: HeadEnd,
    /// The second.
    pub(crate) body: &'a [u8],
    /// The sum over all, where it is known beforehand: as [`Sum::folded`] gives it.
    pub(crate) sum: Option<u16>,
    /// Where a router cuts the packet, its pieces must not be taken for those of another.
    pub(crate) identification: u32,
}

impl TxPayload<'_> {
    /// No payload.
    pub(crate) const NONE: Self =
        Self { head: &[], head_end: HeadEnd::Nothing, body: &[], sum: Some(0), identification: 0 };
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

impl<'a> TxSegment<'a> {
    /// A segment with this header and payload, on this path.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "fast: inline")]
    pub(crate) fn new<P: Pair>(
        config: impl Into<TxConfig>,
        path: &ReplyPath<P>,
        transport: tcp::Words,
        payload: TxPayload<'a>,
    ) -> Self {
        let config = config.into();
        // Taken apart (fast: by value).
        let TxPayload { head, head_end, body, sum, identification } = payload;
        let payload_len = head.len() + head_end.bytes().len() + body.len();
        let len = transport.len() + payload_len;
        let addresses = path.addresses.into();
        let checksum = if config.offload.tcp {
            addresses.pseudo_header(Protocol::TCP, len).folded()
        } else {
            let sum = match sum {
                Some(sum) => Sum::of_folded(sum),
                None => Sum::new().with(head).with(head_end.bytes()).with(body),
            };
            transport.sum_between(addresses, len).followed_by(sum).finish()
        };
        let network = match addresses {
            AddressPair::V4 { source, destination } => {
                let header = ipv4::Repr {
                    source,
                    destination,
                    protocol: Protocol::TCP,
                    ttl: HOP_LIMIT,
                    identification,
                    fragment_offset: 0,
                    more_fragments: false,
                    payload_len: len,
                    partial_checksum: config.offload.ipv4,
                };
                NetworkHeader::V4(header.words())
            }
            AddressPair::V6 { source, destination } => {
                let (protocol, hop_limit, fragment) = (Protocol::TCP, HOP_LIMIT, None);
                let header = ipv6::Repr { source, destination, protocol, hop_limit, payload_len: len, fragment };
                NetworkHeader::V6(header.words())
            }
        };
        let (link, transport) = (link_header(&config, path).words(), transport.with_checksum(checksum));
        Self { link, network, transport, head, head_end, body, payload_len, offload: config.offload }
    }

    /// The response in it.
    #[inline]
    pub(super) fn answered(&self) -> Answered {
        Answered::of(self.head, self.body.len())
    }

    /// Writes the frame at the start of `buffer`. There must be room for the longest headers, whatever these are.
    #[inline]
    pub(crate) fn emit(&self, buffer: &mut [u8]) -> Option<TxFrame> {
        let room = self.link.emit(buffer)?;
        let headers = room.first_chunk_mut::<{ ipv6::HEADER_LEN + tcp::HEADER_ROOM }>()?;
        let (network_len, behind) = match &self.network {
            NetworkHeader::V4(header) => (ipv4::HEADER_LEN, header.emit(headers)?),
            NetworkHeader::V6(header) => (ipv6::HEADER_LEN, header.emit(headers)?),
        };
        self.transport.emit(behind.first_chunk_mut()?);
        let headers_len = network_len + self.transport.len();
        if self.payload_len > 0 {
            self.emit_payload(room.get_mut(headers_len..)?)?;
        }
        let (link_len, offload) = (self.link.len(), self.offload);
        let checksum = tx_checksum(offload, link_len, network_len, offload.tcp);
        Some(TxFrame { len: link_len + headers_len + self.payload_len, checksum })
    }

    #[inline]
    fn emit_payload(&self, mut room: &mut [u8]) -> Option<()> {
        if !self.head.is_empty() {
            room = put(room, self.head)?;
        }
        if self.head_end != HeadEnd::Nothing {
            room = put(room, self.head_end.bytes())?;
        }
        if !self.body.is_empty() {
            put(room, self.body)?;
        }
        Some(())
    }
}
