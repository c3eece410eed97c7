//! A reply: the verdict on a packet, and the frames that answer it, written one at a time.

mod answers;
mod datagram;
mod frame;
mod segment;
mod train;

pub(crate) use answers::ANSWERED_LEN;
pub use answers::Answers;
pub(crate) use datagram::{Datagram, TransportHeader};
pub(crate) use segment::{HeadEnd, TxPayload, TxSegment};
pub(crate) use train::{LastSegment, Payload, Probe, ProbeOrder, Quote, RANGES_MAX, Train};

use crate::port::{TxChecksum, TxFrame};
use crate::verdict::{Absorbed, DropReason, ReplyKind, Verdict};
use crate::wire::{arp, ethernet};

/// The verdict on a packet, and the frames that answer it.
///
/// Frames are pulled: the port hands in a buffer whenever it has one. A reply of any length needs no
/// buffer of its own, and a port that is full simply stops pulling.
#[derive(Clone, Debug)]
#[must_use]
pub struct Reply<'a> {
    outcome: Outcome,
    output: Output<'a>,
    /// The responses to several requests in a packet, where there are such.
    several: &'a [[u8; ANSWERED_LEN]],
}

/// A verdict, and which requests of their connection are answered (fast: as large as the verdict).
#[derive(Clone, Copy, Debug)]
enum Outcome {
    Replied(ReplyKind),
    Absorbed(Absorbed),
    Dropped(DropReason),
    /// To a request that is not the first of its connection.
    RepliedToLater(ReplyKind),
}

impl From<Verdict> for Outcome {
    #[inline]
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Replied(kind) => Self::Replied(kind),
            Verdict::Absorbed(kind) => Self::Absorbed(kind),
            Verdict::Dropped(reason) => Self::Dropped(reason),
        }
    }
}

/// What kind it is has a place of its own, where it is told by one comparison.
#[derive(Clone, Debug)]
#[repr(u8)]
#[expect(clippy::large_enum_variant, reason = "nothing is allocated")]
enum Output<'a> {
    Nothing,
    Segment(TxSegment<'a>),
    Rarer(Rarer<'a>),
}

/// What is rarer than one segment.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "nothing is allocated")]
enum Rarer<'a> {
    Arp { link: ethernet::Header, packet: arp::Packet },
    Datagram(Datagram<'a>),
    Train(Train<'a>),
}

impl Rarer<'_> {
    /// The next frame, and whether it is the last one.
    #[inline(never)]
    fn next_frame(&mut self, buffer: &mut [u8]) -> (Option<TxFrame>, bool) {
        match self {
            Self::Arp { link, packet } => (emit_arp(link, packet, buffer), true),
            Self::Datagram(datagram) => {
                let frame = datagram.next_frame(buffer);
                (frame, frame.is_none() || datagram.is_done())
            }
            Self::Train(train) => {
                let frame = train.next_frame(buffer);
                (frame, frame.is_none() || train.is_done())
            }
        }
    }
}

impl<'a> Reply<'a> {
    #[inline]
    pub(crate) fn silent(verdict: Verdict) -> Self {
        Self { outcome: verdict.into(), output: Output::Nothing, several: &[] }
    }

    pub(crate) const fn arp(link: ethernet::Header, packet: arp::Packet) -> Self {
        Self::with(ReplyKind::Arp, Output::Rarer(Rarer::Arp { link, packet }))
    }

    #[inline]
    pub(crate) const fn segment(kind: ReplyKind, segment: TxSegment<'a>) -> Self {
        Self::with(kind, Output::Segment(segment))
    }

    pub(crate) const fn datagram(kind: ReplyKind, datagram: Datagram<'a>) -> Self {
        Self::with(kind, Output::Rarer(Rarer::Datagram(datagram)))
    }

    pub(crate) fn train(kind: ReplyKind, train: Train<'a>) -> Self {
        Self::with(kind, Output::Rarer(Rarer::Train(train)))
    }

    #[inline]
    const fn with(kind: ReplyKind, output: Output<'a>) -> Self {
        Self { outcome: Outcome::Replied(kind), output, several: &[] }
    }

    /// Notes that what is answered is not the first request of its connection.
    #[inline]
    pub(crate) fn note_later_request(&mut self) {
        self.outcome = match self.outcome {
            Outcome::Replied(kind) if kind.answers_request() => Outcome::RepliedToLater(kind),
            other => other,
        };
    }

    /// Notes that it has these responses, to several requests.
    pub(crate) const fn note_responses(&mut self, list: &'a [[u8; ANSWERED_LEN]]) {
        self.several = list;
    }

    /// Whether it answers a request: with a response, the first segments of one, or a refusal.
    #[inline]
    pub const fn answers_request(&self) -> bool {
        match self.outcome {
            Outcome::Replied(kind) | Outcome::RepliedToLater(kind) => kind.answers_request(),
            Outcome::Absorbed(_) | Outcome::Dropped(_) => false,
        }
    }

    /// The responses in it, each of which is counted once: not what is sent of one later. To be asked for before the
    /// first frame is written.
    #[inline]
    pub fn answers(&self) -> Answers<'_> {
        let only = match &self.output {
            _ if !self.answers_request() || !self.several.is_empty() => None,
            Output::Segment(segment) => Some(segment.answered()),
            Output::Rarer(Rarer::Datagram(datagram)) => Some(datagram.answered()),
            Output::Rarer(Rarer::Train(train)) => Some(train.payload.answered()),
            Output::Nothing | Output::Rarer(Rarer::Arp { .. }) => None,
        };
        Answers { only, list: self.several }
    }

    /// Whether it answers a request, and the first of that connection was answered before.
    #[inline]
    pub const fn is_to_later_request(&self) -> bool {
        matches!(self.outcome, Outcome::RepliedToLater(_))
    }

    /// What became of the packet.
    #[inline]
    pub const fn verdict(&self) -> Verdict {
        match self.outcome {
            Outcome::Replied(kind) | Outcome::RepliedToLater(kind) => Verdict::Replied(kind),
            Outcome::Absorbed(kind) => Verdict::Absorbed(kind),
            Outcome::Dropped(reason) => Verdict::Dropped(reason),
        }
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
        if let Output::Segment(segment) = &self.output {
            let frame = segment.emit(buffer);
            self.output = Output::Nothing;
            return frame;
        }
        let Output::Rarer(rarer) = &mut self.output else { return None };
        let (frame, is_last) = rarer.next_frame(buffer);
        if is_last {
            self.output = Output::Nothing;
        }
        frame
    }
}

impl<V: Into<Verdict>> From<V> for Reply<'_> {
    #[inline]
    fn from(verdict: V) -> Self {
        Self::silent(verdict.into())
    }
}

fn emit_arp(link: &ethernet::Header, packet: &arp::Packet, buffer: &mut [u8]) -> Option<TxFrame> {
    let room = link.emit(buffer)?;
    packet.emit(room)?;
    Some(TxFrame { len: link.header_len() + arp::LEN, checksum: TxChecksum::Complete })
}
