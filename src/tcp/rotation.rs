//! Several secrets: which of them a connection began under.
//!
//! A secret that has been replaced is accepted for a while. All that a client sends back is keyed, so it hardly ever
//! fits two secrets, and the segment is answered under the one that it fits:
//!
//! | what is sent back                                    | fits another by chance                              |
//! |------------------------------------------------------|-----------------------------------------------------|
//! | the cookie, at the start of a request or with a FIN  | 1 in 2^26; with a timestamp 1 in 2^31               |
//! | the stamp of a whole response that is not stored     | 1 in 2^30                                           |
//! | the stamp of a part of one                           | 1 in 270                                            |
//! | the stamp of a stored response, or a probe           | 1 in 6,000 with segments of 1447 bytes, times the   |
//! |                                                      | share of positions that are used                    |
//! | an acknowledgement in the middle of a response       | as a forged one: the longer the response, the likelier |
//!
//! The first two decide. Of the others only one secret may fit: with the wrong one the client would get another part
//! of the data set. What fits two draws nothing. Each chance is that of a forged packet (docs/forgery.md). Along a
//! whole response they add up: tests/rotation.rs counts that, and docs/cluster.md says what it means.

use super::probe;
use super::request;
use super::resume;
use super::segment::{GET, Segment};
use super::transfer::Transfer;
use crate::app::App;
use crate::config::LargeReplies;
use crate::cookie::{Flow, Secret};
use crate::http::RequestLine;
use crate::stamp::Stamp;
use crate::verdict::DropReason;
use crate::wire::ip::Pair;

/// The segment under the secret that it fits, or under the current one where it fits none, which will refuse it.
#[cold]
pub(super) fn under_its_secret<'a, A: App, P: Pair>(
    segment: &Segment<'a, P>,
    app: &'a A,
    scratch: &mut [u8],
) -> Result<Segment<'a, P>, DropReason> {
    let secrets = || core::iter::once(&segment.config.secret).chain(segment.config.former.iter().flatten());
    if let Some(proven) = secrets().map(|secret| under(segment, secret)).find(|segment| is_proof(segment, app)) {
        return Ok(proven);
    }
    let mut fitting =
        secrets().map(|secret| under(segment, secret)).filter(|segment| is_progress(segment, app, scratch));
    match (fitting.next(), fitting.next()) {
        (None, _) => Ok(*segment),
        (Some(only), None) => Ok(only),
        (Some(_), Some(_)) => Err(DropReason::TcpEcho),
    }
}

/// The segment as one of a connection that began under this secret.
fn under<'a, P: Pair>(segment: &Segment<'a, P>, secret: &Secret) -> Segment<'a, P> {
    Segment { keys: secret.flow_keys(&Flow::of(&segment.packet.reply_path, &segment.header)), ..*segment }
}

/// Whether what it sends back proves this secret.
fn is_proof<A: App, P: Pair>(segment: &Segment<'_, P>, app: &A) -> bool {
    match segment.stamp() {
        Some(Stamp::Handshake { .. }) => segment.keys.offset(segment.header.ack(), 0) == 0,
        Some(Stamp::Whole | Stamp::Done) => true,
        Some(Stamp::Part { .. }) => segment.may_begin_again(),
        Some(Stamp::LaterPart(_) | Stamp::Stored(_)) => false,
        Some(Stamp::Kept(_)) => {
            let seq = segment.header.seq();
            let again = segment.repeated_request_end().unwrap_or(seq);
            let starts = [seq, seq.advance(1), seq.rewind(GET.len() as u32), again];
            starts.into_iter().any(|start| segment.verify_kept(start).is_some())
        }
        None => !segment.has_timestamps() && segment.verify_start(app).is_some(),
    }
}

/// Whether it can be of a client in the middle of a response.
fn is_progress<A: App, P: Pair>(segment: &Segment<'_, P>, app: &A, scratch: &mut [u8]) -> bool {
    match segment.stamp() {
        // Without the request nothing else is known of it.
        Some(Stamp::Part { .. } | Stamp::LaterPart(_)) if segment.payload.is_empty() => return true,
        Some(Stamp::LaterPart(_)) => {}
        _ if segment.has_timestamps() => {
            return segment.echoed_segment().is_some_and(|echoed| {
                Transfer::find(segment, echoed, app).is_some()
                    || app.stores_parts() && request::answer_part_again(segment, echoed, app, scratch).is_some()
            });
        }
        _ if segment.payload.is_empty() => return probe::is_echoed(segment, app),
        _ => {}
    }
    segment.config.large_replies != LargeReplies::Fragments
        && RequestLine::parse_for(app.methods(), segment.payload)
            .is_ok_and(|line| resume::find_place(segment, &line, app, scratch).is_some())
}
