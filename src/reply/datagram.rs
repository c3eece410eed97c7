//! An ICMP message, or a segment in IP fragments.

use super::frame::{HOP_LIMIT, TxConfig, link_header, tx_checksum};
use crate::packet::ReplyPath;
use crate::port::TxFrame;
use crate::verdict::Answered;
use crate::wire::checksum::Sum;
use crate::wire::ip::{AddressPair, Protocol};
use crate::wire::{icmpv4, icmpv6, ipv4, ipv6, put, tcp};

/// The start of a datagram: the transport header, without its checksum.
#[derive(Clone, Copy, Debug)]
pub(crate) enum TransportHeader {
    Tcp(tcp::Header),
    Icmp(IcmpHeader),
}

/// The header of an ICMP message of either family.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IcmpHeader {
    /// Its checksum is zero.
    bytes: [u8; icmpv6::ADVERTISEMENT_LEN],
    len: usize,
    protocol: Protocol,
}

impl TransportHeader {
    pub(crate) fn icmp<const N: usize>(protocol: Protocol, header: [u8; N]) -> Self {
        let mut bytes = [0; icmpv6::ADVERTISEMENT_LEN];
        for (to, byte) in bytes.iter_mut().zip(header) {
            *to = byte;
        }
        Self::Icmp(IcmpHeader { bytes, len: N, protocol })
    }

    const fn protocol(&self) -> Protocol {
        match self {
            Self::Tcp(_) => Protocol::TCP,
            Self::Icmp(header) => header.protocol,
        }
    }

    const fn len(&self) -> usize {
        match self {
            Self::Tcp(header) => header.header_len(),
            Self::Icmp(header) => header.len,
        }
    }

    fn sum(&self) -> Sum {
        match self {
            Self::Tcp(header) => header.words().sum(),
            Self::Icmp(header) => Sum::new().with(&header.bytes),
        }
    }

    /// Writes the header.
    fn emit(&self, checksum: u16, room: &mut [u8; tcp::HEADER_ROOM]) -> Option<()> {
        match self {
            Self::Tcp(header) => header.words().with_checksum(checksum).emit(room),
            Self::Icmp(header) => {
                let mut bytes = header.bytes;
                *bytes.get_mut(icmpv4::CHECKSUM_OFFSET..)?.first_chunk_mut()? = checksum.to_be_bytes();
                put(room, bytes.get(..header.len)?)?;
            }
        }
        Some(())
    }
}

/// An ICMP message, or a segment in fragments: an IP packet that is whole where it fits `limit`.
#[derive(Clone, Debug)]
pub(crate) struct Datagram<'a> {
    config: TxConfig,
    path: ReplyPath,
    header: TransportHeader,
    /// What follows the transport header: two pieces, so that neither has to be copied to the other.
    payload: [&'a [u8]; 2],
    hop_limit: u8,
    /// The identification of every fragment of this datagram.
    identification: u32,
    /// The largest IP packet to be sent, header included.
    limit: usize,
    /// Bytes of transport header and payload that are sent already.
    sent: usize,
    checksum: u16,
}

impl<'a> Datagram<'a> {
    /// A message to be sent as it is, if it [fits](Self::is_whole).
    pub(crate) fn new(
        config: impl Into<TxConfig>,
        path: ReplyPath,
        header: TransportHeader,
        payload: [&'a [u8]; 2],
    ) -> Self {
        let config = config.into();
        let mut datagram = Self {
            config,
            path,
            header,
            payload,
            hop_limit: HOP_LIMIT,
            identification: 0,
            limit: config.mtu.into(),
            sent: 0,
            checksum: 0,
        };
        // The checksum of a fragmented segment covers all fragments, so the port cannot compute it.
        let [head, body] = payload;
        let sum = datagram.pseudo_header().followed_by(header.sum()).with(head).with(body);
        datagram.checksum = sum.finish();
        datagram
    }

    pub(crate) fn with_hop_limit(mut self, hop_limit: u8) -> Self {
        self.hop_limit = hop_limit;
        self
    }

    /// Whatever its length, it is not cut here.
    pub(super) fn uncut(mut self) -> Self {
        self.limit = usize::from(u16::MAX);
        self
    }

    /// Cuts the datagram into packets of at most `limit` bytes, which do not overlap (RFC 8200, section 4.5) and of
    /// which the first holds all headers (RFC 7112, section 5). Together they may be longer than 1500 bytes (RFC 8200,
    /// section 5).
    ///
    /// Its fragments are told from those of others by `identification` and its checksum: another copy of
    /// the same datagram gets the same number, and their fragments may be mixed; another answer to the
    /// same request gets another.
    pub(crate) fn fragmented(mut self, limit: usize, identification: u32) -> Self {
        self.limit = self.limit.min(limit);
        self.identification = identification ^ u32::from(self.checksum);
        self
    }

    /// The response in it.
    pub(super) fn answered(&self) -> Answered {
        let [head, body] = self.payload;
        Answered::of(head, body.len())
    }

    /// Whether it fits the largest packet.
    pub(crate) fn is_whole(&self) -> bool {
        self.path.addresses.header_len() + self.len() <= self.limit
    }

    pub(super) fn is_done(&self) -> bool {
        self.sent >= self.len()
    }

    /// Bytes of transport header and payload.
    fn len(&self) -> usize {
        let [head, body] = self.payload;
        self.header.len() + head.len() + body.len()
    }

    fn pseudo_header(&self) -> Sum {
        match self.header.protocol() {
            // The one protocol here whose checksum covers nothing but itself.
            Protocol::ICMP => Sum::new(),
            protocol => self.path.addresses.pseudo_header(protocol, self.len()),
        }
    }

    pub(super) fn next_frame(&mut self, buffer: &mut [u8]) -> Option<TxFrame> {
        let whole = self.is_whole();
        let link = link_header(&self.config, &self.path);
        let len = if whole { self.len() } else { (self.len() - self.sent).min(self.fragment_room()) };
        let room = link.emit(buffer)?;
        let room = self.emit_ip_header(room, len, whole)?;
        self.copy_to(room.get_mut(..len)?)?;
        self.sent += len;
        let (link_len, network_len) = (link.header_len(), self.ip_header_len(whole));
        let checksum = tx_checksum(self.config.offload, link_len, network_len, false);
        Some(TxFrame { len: link_len + network_len + len, checksum })
    }

    /// The most payload that one fragment may have.
    fn fragment_room(&self) -> usize {
        (self.limit - self.ip_header_len(false)) / ipv4::FRAGMENT_UNIT * ipv4::FRAGMENT_UNIT
    }

    fn ip_header_len(&self, whole: bool) -> usize {
        match self.path.addresses {
            AddressPair::V4 { .. } => ipv4::HEADER_LEN,
            AddressPair::V6 { .. } if whole => ipv6::HEADER_LEN,
            AddressPair::V6 { .. } => ipv6::HEADER_LEN + ipv6::FRAGMENT_HEADER_LEN,
        }
    }

    fn emit_ip_header<'b>(&self, room: &'b mut [u8], len: usize, whole: bool) -> Option<&'b mut [u8]> {
        let more = self.sent + len < self.len();
        match self.path.addresses {
            AddressPair::V4 { source, destination } => ipv4::Repr {
                source,
                destination,
                protocol: self.header.protocol(),
                ttl: self.hop_limit,
                identification: self.identification,
                fragment_offset: self.sent,
                more_fragments: more,
                payload_len: len,
                partial_checksum: self.config.offload.ipv4,
            }
            .emit(room),
            AddressPair::V6 { source, destination } => ipv6::Repr {
                source,
                destination,
                protocol: self.header.protocol(),
                hop_limit: self.hop_limit,
                payload_len: len,
                fragment: (!whole).then_some(ipv6::Fragment {
                    identification: self.identification,
                    offset: self.sent,
                    more,
                }),
            }
            .emit(room),
        }
    }

    /// Fills `room` with transport header and payload from where the last fragment ended.
    fn copy_to(&self, room: &mut [u8]) -> Option<()> {
        let mut header = [0; tcp::HEADER_ROOM];
        self.header.emit(self.checksum, &mut header)?;
        let header = header.get(..self.header.len())?;
        let [head, body] = self.payload;
        let (mut skip, mut room) = (self.sent, room);
        for part in [header, head, body] {
            let piece = part.get(skip..).unwrap_or_default();
            skip = skip.saturating_sub(part.len());
            let len = piece.len().min(room.len());
            room = put(room, piece.get(..len)?)?;
        }
        Some(())
    }
}
