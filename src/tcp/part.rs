//! Parts of stored responses, by the ACK clock of their clients: a byte range up to the end (RFC 9110, section 14).
//!
//! A part lies in the sequence space as it would on a connection that was kept open, be it the first response of one or
//! not, so behind its origin the ACKs of its client draw what they draw of the response ([`super::layout`]). The
//! segments up to there have head and padding in them, and only the request tells what those are. They have the stamp
//! of the segment at the origin: an ACK of some of them draws nothing, and a client that lacks the rest sends its
//! request again.

use super::layout::{HEAD_END, Layout, PartLayout};
use super::segment::Segment;
use super::transfer::{self, FirstWindow};
use crate::app::App;
use crate::cookie::{CookieFields, SegmentClass};
use crate::http::{Persistence, Response};
use crate::position::Position;
use crate::reply::{Payload, Reply};
use crate::stamp::{Exchange, SendReason, SentSegment, WindowLevel};
use crate::wire::ip::Pair;
use crate::wire::seq::SeqNumber;

/// A part, to one client.
struct Part {
    /// The position of the response that it is a part of.
    first: Position,
    layout: PartLayout,
    class: SegmentClass,
    seg_size: u32,
}

impl Part {
    fn find<A: App, P: Pair>(
        segment: &Segment<'_, P>,
        response: Response<'_>,
        class: SegmentClass,
        app: &A,
    ) -> Option<Self> {
        if !segment.is_ack_clocked() {
            return None;
        }
        // Positions are counted by two.
        let first = response.whole().filter(|first| first.value().is_multiple_of(2))?;
        let whole = app.stored(first).filter(|whole| whole.position() == Some(first))?;
        let seg_size = segment.class_seg_size(class);
        let layout = Layout::new(seg_size, whole.head().len(), whole.body().len())?;
        let layout = layout.part(whole.body().len().checked_sub(response.body().len())?)?;
        Some(Self { first, layout, class, seg_size })
    }
}

/// The first window of a part, to a request that is whole and ends at `request_end`. `None` if it cannot be sent to
/// this client.
#[cold]
pub(super) fn begin<'a, A: App, P: Pair>(
    segment: &Segment<'_, P>,
    response: Response<'a>,
    request_end: SeqNumber,
    fields: CookieFields,
    persistence: Persistence,
    app: &A,
) -> Option<Reply<'a>> {
    let Part { first, layout, class, seg_size } =
        Part::find(segment, response, segment.segment_class(fields.mss)?, app)?;
    // As its ACKs will tell it.
    let scale = fields.scale.kept();
    let exchange = Exchange::Later(class, scale);
    let head = response.head().strip_suffix(HEAD_END)?;
    let begin = layout.begin(segment.header.ack(), segment.keys.residue(request_end), response.head().len())?;
    let [padding_start, padding] = layout.padding(begin + head.len() as u32, persistence);
    let payload = Payload { pieces: [head, padding_start, padding, response.body()], begin };
    let window = FirstWindow::of_part(segment, &payload, layout.origin, (seg_size, exchange), scale)?;
    let of = (first, seg_size, exchange);
    Some(transfer::send_open(segment, payload, of, window, (request_end, class, scale), app))
}

/// The rest of the first window of a part, to a request that comes again from a client that has some segments of the
/// padding and not the one at the origin, and echoes their timestamp. `None` if it is not such.
pub(super) fn resume<'a, A: App, P: Pair>(
    segment: &Segment<'_, P>,
    echoed: SentSegment,
    response: Response<'a>,
    request_end: SeqNumber,
    app: &A,
) -> Option<Reply<'a>> {
    let Exchange::Later(class, scale) = echoed.exchange else { return None };
    let Part { first, layout, seg_size, .. } = Part::find(segment, response, class, app)?;
    let is_there = first.at(layout.origin).value() & !1 == echoed.position.value();
    let begin = layout.acked_padding(segment.header.ack(), segment.keys.residue(request_end)).filter(|_| is_there)?;
    let payload = Payload { pieces: [&[], &[], layout.padding_from(begin), response.body()], begin };
    let of = (first, seg_size, echoed.exchange);
    // With the timestamp that it has already: to an older one it would not listen.
    let window = FirstWindow::of_part(segment, &payload, layout.origin, (seg_size, echoed.exchange), scale)?;
    let window = match echoed.reason {
        SendReason::NewData if echoed.level == WindowLevel::OF_PART => window,
        SendReason::WindowLimited => window.of_filled_part(layout.origin + seg_size),
        _ => return None,
    };
    Some(transfer::send_open(segment, payload, of, window, (request_end, class, scale), app))
}
