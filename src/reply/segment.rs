//! A TCP segment that is sent in one packet, as nearly all are.

use super::frame::{HOP_LIMIT, link_header, tx_checksum};
use crate::config::Config;
use crate::http::Persistence;
use crate::packet::ReplyPath;
use crate::port::{TxChecksum, TxFrame};
use crate::wire::checksum::Sum;
use crate::wire::ip::{AddressPair, Pair, Protocol};
use crate::wire::{Word, ethernet, ipv4, ipv6, put, put_words, tcp};

/// Bytes of the longest headers, from Ethernet to TCP.
const HEADERS_MAX: usize = ethernet::LINK_HEADER_MAX + ipv6::HEADER_LEN + tcp::HEADER_LEN_MAX;

/// Space for them from wherever they begin.
const ROOM: usize = HEADERS_MAX + ethernet::START_MAX;

/// A segment to be sent, and the path that it takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TxSegment<'a, P> {
    pub(crate) path: ReplyPath<P>,
    pub(crate) header: tcp::Header,
    /// Two pieces, so that neither has to be copied to the other.
    pub(crate) payload: [&'a [u8]; 2],
    /// What stands between them.
    pub(crate) head_end: HeadEnd,
    /// The sum over the payload, where it is known beforehand.
    pub(crate) sum: Option<Sum>,
    /// Where a router cuts the packet, its pieces must not be taken for those of another.
    pub(crate) identification: u16,
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

/// A segment whose headers are complete, from Ethernet to TCP. They are built where all their fields are at hand, and
/// copied when there is a buffer; the payload is only copied then.
#[derive(Clone, Debug)]
pub(crate) struct BuiltSegment<'a> {
    /// The headers from `start` on, and zeros behind them.
    bytes: [u8; ROOM],
    start: u8,
    head_end: HeadEnd,
    payload: [&'a [u8]; 2],
    /// Bytes of the headers.
    headers_len: u8,
    checksum: TxChecksum,
}

impl<'a, P: Pair> TxSegment<'a, P> {
    /// A segment without payload.
    #[inline]
    pub(crate) const fn new(path: ReplyPath<P>, header: tcp::Header) -> Self {
        Self { path, header, payload: [&[], &[]], head_end: HeadEnd::Nothing, sum: None, identification: 0 }
    }

    /// Puts the headers together.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "fast: inline")]
    pub(crate) fn build(self, config: &Config) -> BuiltSegment<'a> {
        let transport = self.header.words();
        let [head, body] = self.payload;
        let head_end = self.head_end.bytes();
        let payload_len = head.len() + head_end.len() + body.len();
        let len = transport.len() + payload_len;
        let addresses = self.path.addresses.into();
        let pseudo_header = addresses.pseudo_header(Protocol::TCP, len);
        let checksum = if config.offload.tcp {
            pseudo_header.folded()
        } else {
            let payload_sum = match self.sum {
                Some(sum) => sum,
                None if payload_len == 0 => Sum::new(),
                None => Sum::new().with(head).with(head_end).with(body),
            };
            pseudo_header.followed_by(transport.sum()).followed_by(payload_sum).finish()
        };
        let link = link_header(config, &self.path);
        let mut bytes = [0; ROOM];
        let (start, words) = link.words();
        let rest = set(&mut bytes, words);
        let rest = match addresses {
            AddressPair::V4 { source, destination } => {
                let header = ipv4::Repr {
                    source,
                    destination,
                    protocol: Protocol::TCP,
                    ttl: HOP_LIMIT,
                    identification: self.identification,
                    fragment_offset: 0,
                    more_fragments: false,
                    payload_len: len,
                    partial_checksum: config.offload.ipv4,
                };
                set(rest, header.words())
            }
            AddressPair::V6 { source, destination } => {
                let (protocol, hop_limit, fragment) = (Protocol::TCP, HOP_LIMIT, None);
                set(rest, ipv6::Repr { source, destination, protocol, hop_limit, payload_len: len, fragment }.words())
            }
        };
        set(rest, transport.with_checksum(checksum));
        BuiltSegment {
            bytes,
            start: start as u8,
            payload: self.payload,
            head_end: self.head_end,
            headers_len: (link.header_len() + addresses.header_len() + transport.len()) as u8,
            checksum: tx_checksum(config, &self.path, config.offload.tcp),
        }
    }
}

impl BuiltSegment<'_> {
    /// Writes the frame at the start of `buffer`. There must be room for the longest headers, whatever these are:
    /// then all of them are copied in one go.
    #[inline]
    pub(crate) fn emit(&self, buffer: &mut [u8]) -> Option<TxFrame> {
        let (_, headers) = self.bytes.split_at_checked(self.start.into())?;
        *buffer.first_chunk_mut::<HEADERS_MAX>()? = *headers.first_chunk()?;
        let mut len = usize::from(self.headers_len);
        let mut room = buffer.get_mut(len..)?;
        let [head, body] = self.payload;
        for part in [head, self.head_end.bytes(), body] {
            if !part.is_empty() {
                room = put(room, part)?;
                len += part.len();
            }
        }
        Some(TxFrame { len, checksum: self.checksum })
    }
}

/// Sets the first of `bytes` and returns the others.
#[inline]
fn set<const N: usize>(bytes: &mut [u8], header: [Word; N]) -> &mut [u8] {
    put_words(bytes, header).unwrap_or_default()
}
