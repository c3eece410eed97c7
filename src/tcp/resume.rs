//! The response to a request that comes again: how far its client has got is told by the acknowledgement alone.
//!
//! That is so for clients without timestamps, and for responses that are not stored, whose place no timestamp can
//! tell. A first window goes out; and whenever the client's timer has it send its request again, another one from
//! where it is. See docs/protocol.md, "Nobody is made a victim", for what an acknowledgement has to look like.

use super::Segment;
use super::probe::{PROBED_MAX, ProbeKind};
use super::transfer::{Sacked, cut, missing};
use crate::app::App;
use crate::cookie::{CookieFields, EPOCHS};
use crate::http::{RequestLine, Response};
use crate::reply::Reply;
use crate::stamp::{Clock, Stamp};
use crate::verdict::{ReplyKind, Verdict};
use crate::wire::ip::Pair;
use crate::wire::seq::SeqNumber;
use crate::wire::tcp::Flags;

/// The longest response that is sent in segments: within half the circle of sequence numbers with room
/// for a window.
const LEN_MAX: usize = (1 << 30) + (1 << 24);

/// Epochs for which a request may be resumed without timestamps: as many as keep a forged one from
/// drawing more bytes than it has. See docs/protocol.md, "Nobody is made a victim".
const RESUME_EPOCHS: u32 = 60;
const RESUME_EPOCH_BYTES: u32 = 2_000_000_000;

/// As many segments of a response answer such a request as it goes into this, and one at least: what a forged
/// one is likely to draw grows with the length.
const RESUME_WINDOW_BYTES: u32 = 1 << 25;

impl<'a, P: Pair> Segment<'a, P> {
    /// A response that is not stored, or whose client has no timestamps, from `offset` on.
    pub(super) fn resume_part(
        self,
        fields: CookieFields,
        response: Response<'a>,
        offset: u32,
    ) -> Option<Result<Reply<'a>, Verdict>> {
        if response.len() > LEN_MAX {
            return None;
        }
        let (segment, len) = (self.segment_len(fields.mss), response.len() as u32);
        let start = self.header.ack().rewind(offset);
        let window = offset.saturating_add(self.header.window().into());
        let most = match self.header.options.timestamps {
            None if offset > 0 => (RESUME_WINDOW_BYTES / len.max(1)).max(1).saturating_mul(segment),
            _ => u32::MAX,
        };
        let end = cut(offset.saturating_add(self.first_window(segment).min(most)), window, segment, len);
        let mut train = self.train(response, start, segment, self.header.seq(), self.window());
        train.ranges = missing(offset, end, &self.sacked(start, offset, len).unwrap_or(Sacked::NONE));
        train.clock = Clock::Part;
        // More of the request would follow behind a part of it, and nobody would know where it begins.
        let is_whole = self.payload.ends_with(b"\r\n\r\n");
        if let Some(first) = response.position().filter(|_| self.clocks() && is_whole) {
            // Its FIN too: otherwise the next window would acknowledge the first byte of the request.
            let request_len = self.end().distance_from(self.header.seq()) as usize;
            let probe =
                |kind, sent: u32| self.probe(kind, first, start, offset, sent.next_multiple_of(segment), request_len);
            train.probes = match offset {
                0 => [probe(ProbeKind::Clock, end), probe(ProbeKind::Spare, end)],
                _ => [probe(ProbeKind::Check, offset), None],
            };
        }
        Some(self.depart(if offset == 0 { ReplyKind::FirstWindow } else { ReplyKind::Resumed }, train))
    }

    /// A request that comes again, from a client that has part of the response, and does not echo
    /// where: the acknowledgement alone must tell. `None` if it does not.
    pub(super) fn resume_request<A: App>(
        self,
        line: &RequestLine<'_>,
        app: &'a A,
        scratch: &'a mut [u8],
    ) -> Option<Result<Reply<'a>, Verdict>> {
        let (offset, fields) = self.find_request(line, app, scratch)?;
        let response = self.long_response(line, fields.generation, app, scratch)?;
        if offset > response.len() as u32 {
            // So that what else there is of a long request is acknowledged as well.
            let header = self.header_back(Flags::ACK, self.header.ack(), self.plain_options(Stamp::Done));
            return Some(Ok(self.reply(ReplyKind::Settled, header)));
        }
        self.resume_part(fields, response, offset)
    }

    /// How far its client has got, with the response of one version.
    pub(super) fn find_request<A: App>(
        self,
        line: &RequestLine<'_>,
        app: &'a A,
        scratch: &mut [u8],
    ) -> Option<(u32, CookieFields)> {
        let generations = app.generations().live;
        let mut found = (0..8).filter(|generation| generations >> generation & 1 == 1).filter_map(|generation| {
            let len = self.long_response(line, generation, app, scratch)?.len();
            self.find_offset(len, generation)
        });
        found.next().filter(|_| found.next().is_none())
    }

    /// The response to the request of this line, if it is longer than a packet: of a shorter one a client has all or
    /// nothing.
    fn long_response<'r, A: App>(
        self,
        line: &RequestLine<'_>,
        generation: u8,
        app: &'r A,
        scratch: &'r mut [u8],
    ) -> Option<Response<'r>> {
        self.response(line, generation, 0, app, scratch)
    }

    /// How far a client of ours has got with a response of `len` bytes: a multiple of its segments, or the end.
    ///
    /// The cookies that claim this version and one MSS are 2^27 numbers in a row. Of the offsets that lead there,
    /// only those are looked at that fit the low half of the acknowledgement and are a multiple of the segments.
    /// Where two are right, nobody can say which, and neither is: the wrong one would be another part of the
    /// response.
    fn find_offset(self, len: usize, generation: u8) -> Option<(u32, CookieFields)> {
        let len = u32::try_from(len).ok().filter(|&len| len as usize <= LEN_MAX)?;
        let epochs = (RESUME_EPOCH_BYTES / len.max(1)).clamp(EPOCHS, RESUME_EPOCHS);
        let nearest = self.keys.offset(self.header.ack(), 0);
        let newest = self.header.ack().rewind(1);
        let mut found = None;
        for class in (0..8).map(|mss| mss << 29 | u32::from(generation) << 27) {
            // How far behind the lowest cookie of the class is, and the highest: that is ahead where the
            // acknowledgement is in their midst.
            let to = newest.value().wrapping_sub(class);
            let from = to.wrapping_sub((1 << 27) - 1);
            let (from, to) = (if from > to { 0 } else { from }, to.min(len + 1));
            if from > to {
                continue;
            }
            let segment = self.segment_len(CookieFields::of(SeqNumber::new(class)).mss);
            let is_right = |end: &u32| *end as u16 == nearest as u16 && !end.is_multiple_of(segment);
            let ends = [len, len + 1].into_iter().filter(|end| (from..=to).contains(end)).filter(is_right);
            let (first, step) = multiples(segment, nearest).unwrap_or((u32::MAX, 1));
            let skipped = from.saturating_sub(first).div_ceil(step).saturating_mul(step);
            let mut next = first.saturating_add(skipped);
            let offsets = core::iter::from_fn(|| {
                let offset = next;
                next = next.saturating_add(step);
                (offset <= to).then_some(offset)
            });
            for offset in offsets.chain(ends).filter(|&offset| offset != 0) {
                if let Some(fields) = self.verify(newest.rewind(offset), None, 1 << generation, epochs)
                    && found.replace((offset, fields)).is_some()
                {
                    return None;
                }
            }
        }
        found
    }

    /// Bytes of a first window. Without timestamps it is one that a probe can tell of.
    pub(super) fn first_window(self, segment: u32) -> u32 {
        let segments = u32::from(self.config.first_window);
        match self.header.options.timestamps {
            Some(_) => segments.saturating_mul(segment),
            None => segments.min((PROBED_MAX / segment.max(1)).saturating_sub(1)).max(1).saturating_mul(segment),
        }
    }
}

/// The smallest multiple of `segment` whose low half is `low`, and how far the next one is from it; if there is one.
fn multiples(segment: u32, low: u32) -> Option<(u32, u32)> {
    let shift = segment.trailing_zeros();
    if low & ((1 << shift) - 1) != 0 {
        return None;
    }
    let odd = segment >> shift;
    // Each step doubles the bits that are right: 3, 6, 12, 24.
    let inverse = (0..3).fold(odd, |inverse, _| inverse.wrapping_mul(2_u32.wrapping_sub(odd.wrapping_mul(inverse))));
    let times = (low >> shift).wrapping_mul(inverse) & (0xffff >> shift);
    Some((times * segment, odd << 16))
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec::Vec;

    use super::*;

    #[test]
    fn multiples_are_all_there_are() {
        for segment in [84, 88, 524, 536, 1208, 1220, 1300, 1380, 1440, 1460, 8928, 8940] {
            for low in (0..1 << 16).step_by(257).chain([0, 4, 1440, 65_532]) {
                let slow: Vec<u32> =
                    (low..=1_u32 << 30).step_by(1 << 16).filter(|offset| offset.is_multiple_of(segment)).collect();
                let fast: Vec<u32> = multiples(segment, low)
                    .map(|(first, step)| (first..=1 << 30).step_by(step as usize).collect())
                    .unwrap_or_default();
                assert_eq!(fast, slow, "{segment} {low}");
            }
        }
    }
}
