//! A response in many segments: the frames of those that are to be sent now.

use super::datagram::{Datagram, TransportHeader};
use super::frame::TxConfig;
use super::segment::{HeadEnd, TxPayload, TxSegment};
use crate::config::Config;
use crate::packet::ReplyPath;
use crate::port::{TxChecksum, TxFrame};
use crate::stamp::{OPENS, StampSequence};
use crate::verdict::Answered;
use crate::wire::checksum::Sum;
use crate::wire::ip::{AddressPair, Protocol};
use crate::wire::seq::SeqNumber;
use crate::wire::tcp::{Flags, Header};
use crate::wire::{icmpv4, icmpv6, put};

/// The most stretches of a response that are sent in answer to one packet: what a client with four SACK
/// blocks can be missing, and what comes behind.
pub(crate) const RANGES_MAX: usize = 5;

/// The least bytes of payload in a segment of a frame that a port cuts: some network cards cut none into less.
const CUT_MIN: u32 = 256;

/// Segments of a response, one after the other.
///
/// Segments begin at multiples of their size, in every retransmission and from every machine; only with a smaller
/// `piece` are they cut further.
#[derive(Clone, Debug)]
pub(crate) struct Train<'a> {
    pub(crate) config: TxConfig,
    pub(crate) path: ReplyPath,
    /// The header of each: its sequence number that of the response's first byte.
    pub(crate) header: Header,
    /// The bytes of the response.
    pub(crate) payload: Payload<'a>,
    /// Bytes of payload in a full segment.
    pub(crate) seg_size: u32,
    /// The most bytes of payload in one packet.
    pub(crate) piece: u32,
    /// Stretches of the response, in bytes from its start. The FIN stands behind its last byte, if there is one.
    pub(crate) ranges: [(u32, u32); RANGES_MAX],
    /// What is added to the timestamp in `header`.
    pub(crate) stamps: StampSequence,
    /// Probes to go ahead of them and behind.
    pub(crate) probes: [Option<Probe>; 2],
    /// The start of the packet that the client retransmitted after an RTO. It is quoted in ICMP errors, each of which
    /// has the client revert one step of its back-off (RFC 6069, section 4.2; RFC 6298, section 5). To its connection
    /// such an error is a hint (RFC 1122, sections 3.2.2.1 and 4.2.3.9), and elsewhere a router's to send (RFC 792; RFC
    /// 4443, sections 2.4 and 3.1).
    pub(crate) quote: Quote,
    /// Whether one goes ahead of the segments, and behind them: there are two because they, too, get lost.
    pub(crate) quotes: [bool; 2],
    /// The most segments still to be sent.
    pub(crate) budget: u16,
    pub(crate) last: LastSegment,
    /// The window that is still to be opened, behind the last segment.
    opens: Option<u16>,
    /// Whether the second segment of a pair goes next.
    is_second: bool,
    /// Whether the port cuts frames of two segments.
    is_cut: bool,
}

/// The bytes of a response, in pieces that are not copied to each other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Payload<'a> {
    pub(crate) pieces: [&'a [u8]; 4],
    /// The offset of the first byte that there is.
    pub(crate) begin: u32,
}

impl<'a> Payload<'a> {
    /// Head and body of a response, at offset 0.
    pub(crate) const fn new(head: &'a [u8], body: &'a [u8]) -> Self {
        Self { pieces: [head, &[], &[], body], begin: 0 }
    }

    /// The offset behind the last byte.
    pub(crate) fn end(&self) -> u32 {
        self.pieces.iter().fold(self.begin, |end, piece| end.saturating_add(piece.len() as u32))
    }

    /// The response, of which this is all.
    pub(super) fn answered(&self) -> Answered {
        let [head, .., body] = self.pieces;
        Answered::of(head, body.len())
    }

    /// The bytes from one offset to another.
    fn range(&self, from: u32, end: u32) -> [&'a [u8]; 4] {
        let mut at = self.begin as usize;
        self.pieces.map(|piece| {
            let [from, end] = [from, end].map(|offset| (offset as usize).saturating_sub(at).min(piece.len()));
            at += piece.len();
            piece.get(from..end).unwrap_or_default()
        })
    }
}

/// The start of a received packet, as an ICMP error quotes it. A copy: the packet is gone when a reply goes out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quote {
    bytes: [u8; Self::LEN_MAX],
    len: u8,
}

impl Quote {
    const NONE: Self = Self { bytes: [0; Self::LEN_MAX], len: 0 };

    /// The longest: all headers of an IPv4 packet, or an IPv6 header and some extension headers, and eight bytes.
    const LEN_MAX: usize = 68;

    /// `None` where there is nothing to quote, or too much.
    pub(crate) fn new(bytes: &[u8]) -> Option<Self> {
        let mut quote = Self { len: u8::try_from(bytes.len()).ok().filter(|&len| len > 0)?, ..Self::NONE };
        put(&mut quote.bytes, bytes)?;
        Some(quote)
    }

    fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len.into()).unwrap_or_default()
    }
}

/// What is particular about the segment with the last byte of a response.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum LastSegment {
    /// It has the FIN.
    Fin,
    /// The connection stays open. It has a stamp of its own, if that is known; and then an empty segment follows that
    /// opens the window of a client which has taken that stamp ([`OPENS`]).
    Open { stamp: Option<u32>, window: u16 },
}

/// A segment of bytes that the client has received already. It reports that at once, in a D-SACK block with their
/// sequence number and length (RFC 2883, section 4): a field that it echoes when it has no timestamps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Probe {
    pub(crate) seq: SeqNumber,
    /// At most [`Probe::LEN_MAX`].
    pub(crate) len: u16,
    pub(crate) order: ProbeOrder,
    /// What is added to the timestamp of one that is to be told from segments: it has the bytes of the response in it.
    /// `None`: it has that of the last segment, and zeros in it.
    pub(crate) stamp: Option<u32>,
}

/// As many as a pair of segments can have bytes.
static ZEROS: [u8; 18_432] = [0; 18_432];

/// Where a probe goes out among the segments.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ProbeOrder {
    /// Ahead of the segments.
    BeforeAll,
    /// Ahead of the one at this offset.
    Before(u32),
    /// Ahead of the last of them.
    BeforeLast,
    /// Behind them.
    AfterAll,
}

impl Probe {
    pub(crate) const LEN_MAX: u16 = 1460;

    /// Its payload. The client has received these bytes already and ignores them.
    fn payload(self) -> &'static [u8] {
        ZEROS.get(..self.len.into()).unwrap_or_default()
    }
}

impl<'a> Train<'a> {
    #[inline]
    pub(crate) fn new(config: &Config, path: ReplyPath, header: Header, payload: Payload<'a>, seg_size: u32) -> Self {
        Self {
            config: config.into(),
            path,
            header,
            payload,
            seg_size,
            piece: seg_size,
            ranges: [(0, 0); RANGES_MAX],
            stamps: StampSequence::Constant(0),
            probes: [None; 2],
            quote: Quote::NONE,
            quotes: [false; 2],
            budget: config.first_window.into(),
            last: LastSegment::Fin,
            opens: None,
            is_second: false,
            is_cut: config.offload.tcp && config.offload.segmentation && seg_size >= CUT_MIN,
        }
    }

    /// Puts the timestamps of all segments so much ahead.
    pub(crate) fn add_to_timestamps(&mut self, value: u32) {
        self.header.advance_timestamp(value);
    }

    /// Whether no more than one segment is still to be sent.
    fn is_at_last(&self) -> bool {
        let mut rest = self.ranges.iter().filter(|(from, to)| from < to);
        let (next, more) = (rest.next(), rest.next());
        self.budget <= 1 || more.is_none() && next.is_none_or(|&(from, to)| self.end_of(from) + 1 >= to)
    }

    /// Whether there is no segment to send, and no probe.
    pub(crate) fn is_empty(&self) -> bool {
        self.is_sent() && self.probes.iter().all(Option::is_none)
    }

    /// Whether everything has been sent.
    pub(crate) fn is_done(&self) -> bool {
        self.is_empty() && self.quotes == [false; 2] && self.opens.is_none()
    }

    /// Whether all segments have been sent.
    fn is_sent(&self) -> bool {
        self.budget == 0 || self.ranges.iter().all(|&(from, to)| from >= to)
    }

    /// Where the segment ends that begins at `from`, its FIN aside.
    fn end_of(&self, from: u32) -> u32 {
        let (seg_size, piece) = (self.seg_size.max(1), self.piece.max(1));
        let start = from / seg_size * seg_size;
        let within = ((from - start) / piece + 1).saturating_mul(piece).min(seg_size);
        start.saturating_add(within).min(self.payload.end()).max(from)
    }

    /// The next segment: where it begins and ends.
    fn next(&mut self) -> Option<(u32, u32)> {
        let len = self.payload.end();
        self.budget = self.budget.checked_sub(1)?;
        let from = self.ranges.iter().find(|(from, to)| from < to)?.0;
        let end = self.end_of(from);
        let range = self.ranges.iter_mut().find(|(from, to)| from < to)?;
        // The FIN stands with the last byte; on its own only where that byte has arrived without it.
        range.0 = if end == len { len + 1 } else { end };
        Some((from, end))
    }

    /// Writes the next segment into `buffer`.
    #[inline(never)]
    pub(crate) fn next_frame(&mut self, buffer: &mut [u8]) -> Option<TxFrame> {
        if let Some(window) = self.opens.take() {
            return self.emit(self.opening_header(window), [&[]; 4], buffer);
        }
        if self.take_quote() {
            let quote = self.quote.bytes();
            let header = match self.path.addresses {
                AddressPair::V4 { .. } => TransportHeader::icmp(Protocol::ICMP, icmpv4::UNREACHABLE_HEADER),
                AddressPair::V6 { .. } => TransportHeader::icmp(Protocol::ICMPV6, icmpv6::UNREACHABLE_HEADER),
            };
            return Datagram::new(self.config, self.path, header, [quote, &[]]).uncut().next_frame(buffer);
        }
        if let Some(probe) = self.next_probe() {
            let mut header = self.header.with_seq(probe.seq);
            let Some(stamp) = probe.stamp else {
                let last = self.payload.end().saturating_sub(1) / self.seg_size.max(1) * self.seg_size;
                self.add_stamp(&mut header, last);
                return self.emit(header, [probe.payload(), &[], &[], &[]], buffer);
            };
            header.advance_timestamp(stamp);
            let from = probe.seq.distance_from(self.header.seq());
            return self.emit(header, self.payload.range(from, from.saturating_add(probe.len.into())), buffer);
        }
        let is_pair = self.is_at_pair();
        let (from, mut end) = self.next()?;
        let first = core::mem::take(&mut self.is_second).then(|| from.saturating_sub(self.seg_size));
        let mut segment_len = None;
        if is_pair && self.is_cut {
            segment_len = u16::try_from(self.seg_size).ok();
            end = self.next()?.1;
        } else {
            self.is_second = is_pair;
        }
        let mut header = self.header.with_seq(self.header.seq().advance(from));
        match self.last {
            _ if end != self.payload.end() => {
                self.add_stamp(&mut header, first.unwrap_or(from));
                if self.is_sent() {
                    header = header.with_flags(Flags::PSH);
                }
            }
            LastSegment::Fin => {
                self.add_stamp(&mut header, from);
                header = header.with_flags(Flags::FIN.with(Flags::PSH));
            }
            LastSegment::Open { stamp, window } => {
                match stamp.filter(|_| header.timestamps.is_some()) {
                    Some(stamp) => {
                        header.advance_timestamp(stamp);
                        self.opens = Some(window);
                    }
                    None => self.add_stamp(&mut header, from),
                }
                header = header.with_flags(Flags::PSH);
            }
        }
        // The second of a pair is numbered as a port does that cuts one.
        let number = match first {
            Some(first) => identification(self.header.seq().advance(first)).wrapping_add(1),
            None => identification(header.seq()),
        };
        let mut frame = self.emit_as(number, header, self.payload.range(from, end), buffer)?;
        if let TxChecksum::Partial { segment_len: len, .. } = &mut frame.checksum {
            *len = segment_len;
        }
        Some(frame)
    }

    /// Whether the next two segments are a pair: full ones, an even and an odd one, without the last of the response,
    /// not cut further, and with nothing between them. They have the same timestamp, and differ only in what is
    /// written where a frame is cut: so a port that cuts gets both in one.
    fn is_at_pair(&self) -> bool {
        let Some(&(from, to)) = self.ranges.iter().find(|(from, to)| from < to) else { return false };
        let Some(end) = self.seg_size.checked_mul(2).and_then(|pair| from.checked_add(pair)) else { return false };
        let is_even = from.checked_rem(end - from) == Some(0);
        let is_room = self.budget >= 2 && end <= to && end < self.payload.end();
        let is_last = self.budget == 2 || end == to;
        let is_probed = self.probes.iter().flatten().any(|probe| probe.order == ProbeOrder::BeforeLast);
        let is_whole = is_even && is_room && self.piece == self.seg_size && !(is_last && is_probed);
        is_whole && self.stamps.is_shared(from, self.seg_size)
    }

    /// Adds the stamp of a segment at this offset to the timestamp in its header.
    fn add_stamp(&self, header: &mut Header, offset: u32) {
        header.advance_timestamp(self.stamps.stamp_at(offset));
    }

    /// The header of the empty segment that opens the client's window behind the last segment. It begins a byte behind
    /// that, so its timestamp is never taken for the one to be echoed (RFC 7323, section 4.3).
    fn opening_header(&self, window: u16) -> Header {
        let mut header = self.header.with_seq(self.header.seq().advance(self.payload.end() + 1)).with_window(window);
        header.advance_timestamp(OPENS);
        header
    }

    /// Whether an ICMP error goes now.
    fn take_quote(&mut self) -> bool {
        let is_sent = self.is_empty();
        let [ahead, behind] = &mut self.quotes;
        core::mem::take(if is_sent && !*ahead { behind } else { ahead })
    }

    fn next_probe(&mut self) -> Option<Probe> {
        if self.probes.iter().all(Option::is_none) {
            return None;
        }
        let (is_sent, is_at_last) = (self.is_sent(), self.is_at_last());
        let next = self.ranges.iter().find(|(from, to)| from < to).copied();
        let is_due = |probe: &Probe| match probe.order {
            ProbeOrder::BeforeAll => true,
            ProbeOrder::Before(offset) => next.is_some_and(|(from, _)| from >= offset),
            ProbeOrder::BeforeLast => is_at_last,
            ProbeOrder::AfterAll => is_sent,
        };
        let due = self.probes.iter_mut().find_map(|probe| probe.take_if(|probe| is_due(probe)))?;
        // Where the connection stays open it may be for the end of the response, which the budget may not reach.
        let is_end = next.is_some_and(|(from, _)| self.end_of(from) == self.payload.end());
        (is_end || self.last == LastSegment::Fin || due.stamp.is_some()).then_some(due)
    }

    fn emit(&self, header: Header, payload: [&[u8]; 4], buffer: &mut [u8]) -> Option<TxFrame> {
        self.emit_as(identification(header.seq()), header, payload, buffer)
    }

    #[inline(never)]
    fn emit_as(&self, identification: u16, header: Header, payload: [&[u8]; 4], buffer: &mut [u8]) -> Option<TxFrame> {
        let identification = identification.into();
        let emit = |[head, body]: [&[u8]; 2], sum, buffer: &mut [u8]| {
            let payload = TxPayload { head, head_end: HeadEnd::Nothing, body, sum, identification };
            TxSegment::new(self.config, &self.path, header.words(), payload).emit(buffer)
        };
        let [head, middle @ .., body] = payload;
        if middle.iter().all(|piece| piece.is_empty()) {
            return emit([head, body], None, buffer);
        }
        // A packet has room for two pieces. One of all their bytes is written first, and these over it.
        let len = payload.iter().map(|piece| piece.len()).sum();
        let is_summed = !self.config.offload.tcp;
        let sum = is_summed.then(|| payload.iter().fold(Sum::new(), |sum, piece| sum.with(piece)).folded());
        let frame = emit([ZEROS.get(..len)?, &[]], sum, buffer)?;
        let mut room = buffer.get_mut(frame.len.checked_sub(len)?..)?;
        for piece in payload {
            room = put(room, piece)?;
        }
        Some(frame)
    }
}

/// That of the IPv4 packet with a segment that begins here. Where a router cuts it, its pieces must not be taken for
/// those of a neighbour.
const fn identification(seq: SeqNumber) -> u16 {
    seq.value() as u16
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec::Vec;

    use super::*;
    use crate::cookie::Secret;
    use crate::port::Offload;
    use crate::vnet;
    use crate::wire::ethernet::MacAddress;

    /// What one frame of a train is.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    enum Went {
        /// A segment with so many bytes from this offset on.
        Segment(u32, usize),
        Probe,
    }

    const START: SeqNumber = SeqNumber::new(1000);
    const PROBE_AT: SeqNumber = SeqNumber::new(1);

    const fn probe(order: ProbeOrder) -> Probe {
        Probe { seq: PROBE_AT, len: 3, order, stamp: None }
    }

    fn config() -> Config {
        Config::new(Secret::new([7; 16]))
    }

    /// A train over a response of 26 bytes in segments of 8.
    fn train(config: &Config) -> Train<'static> {
        let [source, destination] = [[10, 9, 0, 2], [10, 9, 0, 1]].map(Into::into);
        let path = ReplyPath {
            next_hop_mac: MacAddress::LETHE,
            tag: None,
            addresses: AddressPair::V4 { source, destination },
        };
        let header = Header::new([80, 40_000], START, SeqNumber::new(5), Flags::ACK, 1000, None);
        let mut train = Train::new(config, path, header, Payload::new(b"head", b"a body of 22 bytes, so"), 8);
        train.ranges[0] = (0, 27);
        train
    }

    /// All that goes out of it, changed by `change`.
    fn frames(change: impl Fn(&mut Train<'_>)) -> Vec<Went> {
        let mut train = train(&config());
        change(&mut train);
        let (mut buffer, mut went) = ([0; 2048], Vec::new());
        while !train.is_done() {
            let len = train.next_frame(&mut buffer).unwrap().len;
            let (header, payload) = Header::parse(&buffer[34..len]).unwrap();
            went.push(if header.seq() == PROBE_AT {
                Went::Probe
            } else {
                Segment(header.seq().distance_from(START), payload.len())
            });
        }
        assert!(train.next_frame(&mut buffer).is_none());
        went
    }

    use Went::Segment;

    #[test]
    fn a_train_is_the_segments_of_its_ranges() {
        assert_eq!(frames(|_| ()), [Segment(0, 8), Segment(8, 8), Segment(16, 8), Segment(24, 2)]);
        let two = frames(|train| train.ranges = [(0, 8), (5, 5), (16, 24), (0, 0), (0, 0)]);
        assert_eq!(two, [Segment(0, 8), Segment(16, 8)]);
        assert_eq!(frames(|train| train.budget = 2), [Segment(0, 8), Segment(8, 8)]);
        assert_eq!(frames(|train| train.ranges[0] = (26, 27)), [Segment(26, 0)], "the FIN alone");
    }

    #[test]
    fn a_probe_goes_first_or_just_ahead_of_a_segment_or_of_the_last_or_behind_it() {
        let last = Segment(24, 2);
        let with = |order| frames(|train| train.probes = [Some(probe(order)), None]);
        let all = [Segment(0, 8), Segment(8, 8), Segment(16, 8)];
        assert_eq!(with(ProbeOrder::BeforeAll), [&[Went::Probe][..], &all, &[last]].concat());
        assert_eq!(with(ProbeOrder::Before(16)), [&all[..2], &[Went::Probe], &all[2..], &[last]].concat());
        assert_eq!(with(ProbeOrder::BeforeLast), [&all[..], &[Went::Probe, last]].concat());
        assert_eq!(with(ProbeOrder::AfterAll), [&all[..], &[last, Went::Probe]].concat());
    }

    #[test]
    fn the_last_segment_is_that_of_the_last_range_or_of_the_budget() {
        let before_last = |change: &dyn Fn(&mut Train<'_>)| {
            frames(|train| {
                train.probes = [Some(probe(ProbeOrder::BeforeLast)), None];
                change(train);
            })
        };
        // One range that ends with a full segment, and empty ones behind it.
        let one = before_last(&|train| train.ranges = [(0, 16), (16, 16), (0, 0), (0, 0), (0, 0)]);
        assert_eq!(one, [Segment(0, 8), Went::Probe, Segment(8, 8)]);
        // The first of two ranges is at its last segment, which is not the last of all.
        let two = before_last(&|train| train.ranges = [(0, 8), (16, 24), (0, 0), (0, 0), (0, 0)]);
        assert_eq!(two, [Segment(0, 8), Went::Probe, Segment(16, 8)]);
        let budget = before_last(&|train| train.budget = 3);
        assert_eq!(budget, [Segment(0, 8), Segment(8, 8), Went::Probe, Segment(16, 8)]);
        // With no more than one byte behind it, and that is the FIN.
        let fin = before_last(&|train| train.ranges[0] = (16, 27));
        assert_eq!(fin, [Segment(16, 8), Went::Probe, Segment(24, 2)]);
        let open = LastSegment::Open { stamp: None, window: 9 };
        let short = before_last(&|train| (train.budget, train.last) = (3, open));
        assert_eq!(short, [Segment(0, 8), Segment(8, 8), Segment(16, 8)], "the end is not among them");
        let whole = before_last(&|train| train.last = open);
        assert_eq!(whole, [Segment(0, 8), Segment(8, 8), Segment(16, 8), Went::Probe, Segment(24, 2)]);
        // Nothing but a probe.
        assert_eq!(before_last(&|train| train.ranges[0] = (0, 0)), [Went::Probe]);
    }

    /// Where pairs begin.
    fn pairs(change: impl Fn(&mut Train<'_>)) -> Vec<u32> {
        let mut found = Vec::new();
        let config = Config { offload: vnet::OFFLOAD, ..config() };
        let mut train = train(&config);
        assert!(!std::mem::replace(&mut train.is_cut, true), "segments of 8 bytes are not cut");
        change(&mut train);
        let mut buffer = [0; 2048];
        while !train.is_done() {
            let frame = train.next_frame(&mut buffer).unwrap();
            let (header, payload) = Header::parse(&buffer[34..frame.len]).unwrap();
            if let TxChecksum::Partial { segment_len: Some(len), .. } = frame.checksum {
                assert_eq!((len, payload.len()), (8, 16));
                found.push(header.seq().distance_from(START));
            }
        }
        found
    }

    #[test]
    fn two_full_segments_go_in_one_frame_unless_they_are_an_odd_and_an_even_one_or_the_last() {
        assert_eq!(pairs(|_| ()), [0]);
        assert_eq!(pairs(|train| train.ranges[0] = (8, 27)), [], "the second and the third are none");
        assert_eq!(pairs(|train| train.ranges[0] = (0, 8)), []);
        assert_eq!(pairs(|train| (train.ranges[0], train.ranges[1]) = ((0, 8), (8, 16))), [], "they have a gap");
        assert_eq!(pairs(|train| train.budget = 1), []);
        assert_eq!(pairs(|train| train.piece = 4), []);
        // Without the last segment, which has the FIN, or a timestamp of its own.
        assert_eq!(pairs(|train| train.payload = Payload::new(b"head", b"12 bytes fit")), []);
        assert_eq!(pairs(|train| train.payload = Payload::new(b"head", b"12 bytes fit, and more")), [0]);
    }

    #[test]
    fn segments_of_less_than_256_bytes_and_those_whose_checksums_are_ours_have_a_frame_each() {
        let is_cut = |seg_size, offload| {
            let config = Config { offload, ..config() };
            let Train { path, header, payload, .. } = train(&config);
            Train::new(&config, path, header, payload, seg_size).is_cut
        };
        assert_eq!([255, 256, 1448].map(|seg_size| is_cut(seg_size, vnet::OFFLOAD)), [false, true, true]);
        assert!(!is_cut(1448, Offload { tcp: false, ..vnet::OFFLOAD }));
        assert!(!is_cut(1448, Offload { segmentation: false, ..vnet::OFFLOAD }));
    }

    #[test]
    fn nothing_goes_within_a_pair() {
        let probed = |to, order| pairs(|train| (train.ranges[0], train.probes) = ((0, to), [Some(probe(order)), None]));
        assert_eq!(probed(16, ProbeOrder::BeforeLast), [], "ahead of the second");
        assert_eq!(probed(24, ProbeOrder::BeforeLast), [0], "ahead of the third");
        assert_eq!([probed(16, ProbeOrder::BeforeAll), probed(16, ProbeOrder::AfterAll)], [[0], [0]]);
    }

    #[test]
    fn pieces_are_cut_within_segments() {
        let pieces = frames(|train| train.piece = 3);
        let all = [(0, 3), (3, 3), (6, 2), (8, 3), (11, 3), (14, 2), (16, 3), (19, 3), (22, 2), (24, 2)];
        assert_eq!(pieces, all.map(|(from, len)| Segment(from, len)));
    }
}
