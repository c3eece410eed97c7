//! A reply: the verdict on a packet, and the frames that answer it, written one at a time.

mod train;

pub(crate) use train::{Probe, RANGES_MAX, Train, Turn};

use crate::config::Config;
use crate::port::{Offload, TxChecksum, TxFrame};
use crate::verdict::{ReplyKind, Verdict};
use crate::wire::checksum::Sum;
use crate::wire::ip::{AddressPair, Protocol};
use crate::wire::{arp, ethernet, icmpv4, icmpv6, ipv4, ipv6, tcp};

/// The hop limit, or time to live, of everything but neighbor discovery (RFC 1700).
const HOP_LIMIT: u8 = 64;

/// What became of a packet, and what goes out for it.
///
/// Frames are pulled: the port hands in a buffer whenever it has one. A reply of any length needs no
/// buffer of its own, and a port that is full simply stops pulling.
#[derive(Clone, Debug)]
#[must_use]
pub struct Reply<'a> {
    verdict: Verdict,
    output: Output<'a>,
}

#[derive(Clone, Debug)]
enum Output<'a> {
    Nothing,
    Arp { link: ethernet::Header, packet: arp::Packet },
    Ip(Datagram<'a>),
    Train(Train<'a>),
}

impl<'a> Reply<'a> {
    #[inline]
    pub(crate) const fn silent(verdict: Verdict) -> Self {
        Self { verdict, output: Output::Nothing }
    }

    pub(crate) const fn arp(link: ethernet::Header, packet: arp::Packet) -> Self {
        Self { verdict: Verdict::Replied(ReplyKind::Arp), output: Output::Arp { link, packet } }
    }

    #[inline]
    pub(crate) const fn ip(kind: ReplyKind, datagram: Datagram<'a>) -> Self {
        Self { verdict: Verdict::Replied(kind), output: Output::Ip(datagram) }
    }

    #[inline]
    pub(crate) fn train(kind: ReplyKind, train: Train<'a>) -> Self {
        Self { verdict: Verdict::Replied(kind), output: Output::Train(train) }
    }

    /// What became of the packet.
    #[inline]
    pub const fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// Whether [`next_frame`](Self::next_frame) has another frame to write.
    #[inline]
    pub const fn is_pending(&self) -> bool {
        !matches!(self.output, Output::Nothing)
    }

    /// Writes the next frame at the start of `buffer`, or returns `None` when there is none.
    ///
    /// A buffer that is too small for the frame ends the reply, which to the peer is packet loss. The
    /// MTU and [`LINK_HEADER_MAX`](ethernet::LINK_HEADER_MAX) bytes are always enough.
    #[inline]
    pub fn next_frame(&mut self, buffer: &mut [u8]) -> Option<TxFrame> {
        let (frame, done) = match &mut self.output {
            Output::Nothing => (None, true),
            Output::Arp { link, packet } => (emit_arp(link, packet, buffer), true),
            Output::Ip(datagram) => {
                let frame = datagram.next_frame(buffer);
                (frame, frame.is_none() || datagram.is_done())
            }
            Output::Train(train) => {
                let frame = train.next_frame(buffer);
                (frame, frame.is_none() || train.is_done())
            }
        };
        if done {
            self.output = Output::Nothing;
        }
        frame
    }
}

fn emit_arp(link: &ethernet::Header, packet: &arp::Packet, buffer: &mut [u8]) -> Option<TxFrame> {
    let room = link.emit(buffer)?;
    packet.emit(room)?;
    Some(TxFrame { len: link.header_len() + arp::LEN, checksum: TxChecksum::Complete })
}

/// Where a datagram goes: the headers below the transport layer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Route {
    pub(crate) link: ethernet::Header,
    pub(crate) addresses: AddressPair,
}

/// The start of a datagram: the transport header, its checksum field zero until it is known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TransportHeader {
    bytes: [u8; tcp::HEADER_LEN_MAX],
    len: usize,
    protocol: Protocol,
}

impl TransportHeader {
    #[inline]
    pub(crate) fn tcp(header: &tcp::Header) -> Self {
        let mut bytes = [0; tcp::HEADER_LEN_MAX];
        let len = header.emit(&mut bytes);
        Self { bytes, len, protocol: Protocol::TCP }
    }

    /// The header of an ICMP message of either family.
    pub(crate) fn icmp<const N: usize>(protocol: Protocol, header: [u8; N]) -> Self {
        let mut bytes = [0; tcp::HEADER_LEN_MAX];
        for (to, byte) in bytes.iter_mut().zip(header) {
            *to = byte;
        }
        Self { bytes, len: N, protocol }
    }

    #[inline]
    fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    #[inline]
    const fn checksum_offset(&self) -> usize {
        match self.protocol {
            Protocol::TCP => tcp::CHECKSUM_OFFSET,
            Protocol::ICMP => icmpv4::CHECKSUM_OFFSET,
            _ => icmpv6::CHECKSUM_OFFSET,
        }
    }
}

/// An IP packet to be sent, whole where it fits `limit` and else in fragments.
#[derive(Clone, Debug)]
pub(crate) struct Datagram<'a> {
    route: Route,
    header: TransportHeader,
    /// What follows the transport header: two pieces, so that neither has to be copied to the other.
    payload: [&'a [u8]; 2],
    hop_limit: u8,
    /// The same for every fragment of this datagram.
    identification: u32,
    /// The largest IP packet to be sent, header included.
    limit: usize,
    offload: Offload,
    /// Bytes of transport header and payload that are sent already.
    sent: usize,
}

impl<'a> Datagram<'a> {
    #[inline]
    pub(crate) fn new(config: &Config, route: Route, header: TransportHeader) -> Self {
        Self {
            route,
            header,
            payload: [&[], &[]],
            hop_limit: HOP_LIMIT,
            identification: 0,
            limit: usize::from(config.mtu.bytes()),
            offload: config.offload,
            sent: 0,
        }
    }

    /// A packet that is not cut here. A router may cut it, and tells it by its `identification`.
    #[inline]
    fn whole(offload: Offload, route: Route, header: TransportHeader, identification: u32) -> Self {
        Self {
            route,
            header,
            payload: [&[], &[]],
            hop_limit: HOP_LIMIT,
            identification,
            limit: usize::from(u16::MAX),
            offload,
            sent: 0,
        }
    }

    #[inline]
    pub(crate) fn with_payload(mut self, head: &'a [u8], body: &'a [u8]) -> Self {
        self.payload = [head, body];
        self
    }

    pub(crate) fn with_hop_limit(mut self, hop_limit: u8) -> Self {
        self.hop_limit = hop_limit;
        self
    }

    /// Cuts the datagram into packets of at most `limit` bytes.
    ///
    /// Its fragments are told from those of others by `identification` and its checksum: another copy of
    /// the same datagram gets the same number, and their fragments may be mixed; another answer to the
    /// same request gets another.
    #[inline]
    pub(crate) fn fragmented(mut self, limit: usize, identification: u32) -> Self {
        self.limit = self.limit.min(limit);
        self.identification = identification;
        if !self.is_whole() {
            // A fragment's checksum is that of the whole: nobody can complete it further down.
            let [head, body] = self.payload;
            let sum = self.pseudo_header().with(self.header.as_slice()).with(head).with(body);
            let at = self.header.checksum_offset();
            let checksum = sum.finish();
            set_checksum(&mut self.header.bytes, at, checksum);
            self.identification ^= u32::from(checksum);
        }
        self
    }

    /// Whether it fits one packet of `limit` bytes.
    #[inline]
    pub(crate) fn fits(&self, limit: usize) -> bool {
        self.route.addresses.header_len() + self.len() <= limit.min(self.limit)
    }

    /// Whether it fits the largest packet.
    #[inline]
    pub(crate) fn is_whole(&self) -> bool {
        self.route.addresses.header_len() + self.len() <= self.limit
    }

    #[inline]
    fn is_done(&self) -> bool {
        self.sent >= self.len()
    }

    /// Bytes of transport header and payload.
    #[inline]
    fn len(&self) -> usize {
        let [head, body] = self.payload;
        self.header.len + head.len() + body.len()
    }

    #[inline]
    fn pseudo_header(&self) -> Sum {
        match self.header.protocol {
            // The one protocol here whose checksum covers nothing but itself.
            Protocol::ICMP => Sum::new(),
            protocol => self.route.addresses.pseudo_header(protocol, self.len()),
        }
    }

    #[inline]
    fn next_frame(&mut self, buffer: &mut [u8]) -> Option<TxFrame> {
        let whole = self.is_whole();
        let len = if whole { self.len() } else { (self.len() - self.sent).min(self.fragment_room()) };
        let room = self.route.link.emit(buffer)?;
        let room = self.emit_ip_header(room, len, whole)?;
        let payload = room.get_mut(..len)?;
        let link_len = self.route.link.header_len();
        let behind_link = self.ip_header_len(whole) + len;
        self.copy_to(payload);
        self.sent += len;
        let checksum = if whole { self.complete_checksum(payload) } else { self.partial(false) };
        Some(TxFrame { len: link_len + behind_link, checksum })
    }

    /// The most payload that one fragment may have.
    fn fragment_room(&self) -> usize {
        (self.limit - self.ip_header_len(false)) / ipv4::FRAGMENT_UNIT * ipv4::FRAGMENT_UNIT
    }

    #[inline]
    fn ip_header_len(&self, whole: bool) -> usize {
        match self.route.addresses {
            AddressPair::V4 { .. } => ipv4::HEADER_LEN,
            AddressPair::V6 { .. } if whole => ipv6::HEADER_LEN,
            AddressPair::V6 { .. } => ipv6::HEADER_LEN + ipv6::FRAGMENT_HEADER_LEN,
        }
    }

    #[inline]
    fn emit_ip_header<'b>(&self, room: &'b mut [u8], len: usize, whole: bool) -> Option<&'b mut [u8]> {
        let more = self.sent + len < self.len();
        match self.route.addresses {
            AddressPair::V4 { source, destination } => ipv4::Emit {
                source,
                destination,
                protocol: self.header.protocol,
                ttl: self.hop_limit,
                identification: (self.identification >> 16 ^ self.identification) as u16,
                fragment_offset: self.sent,
                more_fragments: more,
                payload_len: len,
                partial_checksum: self.offload.ipv4,
            }
            .emit(room),
            AddressPair::V6 { source, destination } => ipv6::Emit {
                source,
                destination,
                protocol: self.header.protocol,
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
    #[inline]
    fn copy_to(&self, room: &mut [u8]) {
        let [head, body] = self.payload;
        let (mut skip, mut room) = (self.sent, room);
        for part in [self.header.as_slice(), head, body] {
            let piece = part.get(skip..).unwrap_or_default();
            skip = skip.saturating_sub(part.len());
            let len = piece.len().min(room.len());
            let Some((to, rest)) = room.split_at_mut_checked(len) else {
                return;
            };
            to.copy_from_slice(piece.get(..len).unwrap_or_default());
            room = rest;
        }
    }

    /// Puts the checksum of the whole datagram in place, or as much of it as the port wants.
    #[inline]
    fn complete_checksum(&self, payload: &mut [u8]) -> TxChecksum {
        let at = self.header.checksum_offset();
        let by_port = self.offload.tcp && self.header.protocol == Protocol::TCP;
        let checksum =
            if by_port { self.pseudo_header().folded() } else { self.pseudo_header().with(payload).finish() };
        set_checksum(payload, at, checksum);
        self.partial(by_port)
    }

    #[inline]
    fn partial(&self, transport: bool) -> TxChecksum {
        let network = self.offload.ipv4 && matches!(self.route.addresses, AddressPair::V4 { .. });
        if !network && !transport {
            return TxChecksum::Complete;
        }
        TxChecksum::Partial {
            network_offset: self.route.link.header_len(),
            network_len: self.route.addresses.header_len(),
            network,
            transport,
        }
    }
}

fn set_checksum(message: &mut [u8], at: usize, checksum: u16) {
    if let Some(field) = message.get_mut(at..at + 2) {
        field.copy_from_slice(&checksum.to_be_bytes());
    }
}
