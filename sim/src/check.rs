//! Checkers: what must be true of every answer, one invariant a file.
//!
//! The engine answers each frame from that frame alone, so what a checker is shown is one
//! [`Exchange`]: a frame that went in, and all that came out for it.
//!
//! [`all`] gives the standard set. To add one: a file here, a line in `all`, and a test that shows that it
//! fires on a planted fault. What a checker remembers is bounded; where it has to forget, it stays silent
//! rather than cry wolf.

mod acknowledgement;
mod address;
mod burst;
mod checksum;
mod cookie;
mod format;
mod forward;
mod hold;
mod options;
mod pairing;
mod probe;
mod purity;
mod quote;
mod reflection;
mod reset;
mod size;
mod smuggling;
mod stability;
#[cfg(test)]
mod stand;
mod unsent;
mod verdict;
mod window;

use std::borrow::Cow;

use lethe::config::Refuse;
use lethe::time::Instant;
use lethe::verdict::{Stats, Verdict};
use lethe::wire::seq::SeqNumber;
use lethe::wire::tcp::Flags;
use lethe::{App, Engine};

pub use acknowledgement::Acknowledgement;
pub use address::Address;
pub use burst::Burst;
pub use checksum::Checksum;
pub use cookie::Cookie;
pub use format::Format;
pub use forward::Forward;
pub use hold::Hold;
pub use options::Options;
pub use pairing::Pairing;
pub use probe::Probe;
pub use purity::Purity;
pub use quote::Quote;
pub use reflection::Reflection;
pub use reset::Reset;
pub use size::Size;
pub use smuggling::Smuggling;
pub use stability::Stability;
pub use unsent::Unsent;
pub use verdict::Truthful;
pub use window::Window;

use crate::dissect::{Frame, Ip, Tcp};
use crate::link::Reassembler;
use crate::notation;
use crate::peer::client::Framed;
use crate::workspace::Workspace;

/// A frame that the engine was given, and all that it did about it.
#[derive(Clone, Copy, Debug)]
pub struct Exchange<'a> {
    /// When.
    pub now: Instant,
    /// The frame that was received.
    pub received: &'a [u8],
    /// What became of it.
    pub verdict: Verdict,
    /// The frames that were sent for it, in order.
    pub sent: &'a [Vec<u8>],
}

/// One invariant.
pub trait Checker {
    /// Its name, as it stands in a report.
    fn name(&self) -> &'static str;

    /// Looks at one exchange.
    ///
    /// # Errors
    ///
    /// When the invariant does not hold: one line that says what was wrong with which frame.
    fn check(&mut self, exchange: &Exchange<'_>) -> Result<(), String>;
}

/// The standard set for an engine.
pub fn all<'e, A: App>(engine: &'e Engine<A>) -> Vec<Box<dyn Checker + 'e>> {
    let config = engine.config();
    vec![
        Box::new(Format),
        Box::new(Checksum),
        Box::new(Address::new(config.mac)),
        Box::new(Size::new(config.mtu.bytes().into())),
        Box::new(Smuggling),
        Box::new(Probe::default()),
        Box::new(Truthful),
        Box::new(Quote),
        Box::new(Reset::new(config.refuse == Refuse::Reset)),
        Box::new(Reflection),
        Box::new(Options),
        Box::new(Acknowledgement),
        Box::new(Forward),
        Box::new(Pairing::new(engine)),
        Box::new(Hold::default()),
        Box::new(Window::default()),
        Box::new(Burst),
        Box::new(Cookie::default()),
        Box::new(Stability::default()),
        Box::new(Purity::new(engine)),
    ]
}

/// Gives frames to an engine, each at its time, and has every exchange looked at.
///
/// # Errors
///
/// The first violation: the checker, what it says, and the frame that brought it to light.
pub fn observe<'f, A: App>(
    engine: &Engine<A>,
    checkers: &mut [Box<dyn Checker + '_>],
    frames: impl IntoIterator<Item = (Instant, &'f [u8])>,
) -> Result<Stats, String> {
    observe_each(engine, checkers, frames, |_| ())
}

/// Gives frames to an engine as [`observe`] does, and hands every exchange on when the checkers have seen it.
///
/// # Errors
///
/// Those of [`observe`].
pub fn observe_each<'f, A: App>(
    engine: &Engine<A>,
    checkers: &mut [Box<dyn Checker + '_>],
    frames: impl IntoIterator<Item = (Instant, &'f [u8])>,
    mut look: impl FnMut(&Exchange<'_>),
) -> Result<Stats, String> {
    let mut stats = Stats::default();
    let mut workspace = Workspace::default();
    for (now, received) in frames {
        let (verdict, sent) = workspace.answer(engine, now, received);
        stats.count_received(received.len(), verdict);
        workspace.count_answers(&mut stats);
        for frame in &sent {
            stats.count_sent(frame.len());
        }
        let exchange = Exchange { now, received, verdict, sent: &sent };
        for checker in &mut *checkers {
            let name = checker.name();
            let violation = |problem| format!("{name}: {problem}, for {}", notation::line(received));
            checker.check(&exchange).map_err(violation)?;
        }
        look(&exchange);
    }
    Ok(stats)
}

/// Everything of a stream that is still of interest lies closer to its acknowledgement than this, where windows are not
/// scaled.
const WINDOW_MAX: u32 = 1 << 16;

/// More than a client asks on a connection, and less than the initial sequence numbers of two connections between the
/// same ports are apart.
const ASKED_MAX: u32 = 8 << 20;

/// Whether a segment may belong to the connection on which its client asks from here on. Our sequence numbers do not
/// tell: the cookies of two connections between the same ports may be so near to each other that the response on one
/// reaches into that on the other.
fn may_be_asked_from(received: &Tcp<'_>, first: SeqNumber) -> bool {
    received.end().distance_from(first) <= ASKED_MAX
}

/// Whether a segment is a probe: bytes of nothing from far behind, which a client that has SACK and no timestamps
/// says that it has got twice.
fn is_probe(received: &Tcp<'_>, sent: &Tcp<'_>) -> bool {
    let is_old = (WINDOW_MAX..1 << 31).contains(&received.ack.distance_from(sent.end()));
    let is_blank = !sent.payload.is_empty() && sent.payload.iter().all(|&byte| byte == 0);
    let is_plain = !sent.flags.has(Flags::SYN) && !sent.flags.has(Flags::FIN) && !sent.flags.has(Flags::RST);
    // With timestamps one byte that the client has acknowledged, for an ACK at once: ahead of the last segment of a
    // response behind which the connection stays open, or where its timer has expired.
    let is_acked = received.ack.distance_from(sent.end()) <= 1;
    let draws_ack = sent.payload.len() == 1 && is_acked && received.timestamps.is_some();
    is_plain && (draws_ack || is_old && is_blank && received.timestamps.is_none() && sent.timestamps.is_none())
}

/// The bits of a cookie with the MSS.
const MSS_BITS: u32 = 7 << 29;

/// Whether a segment acknowledges the SYN+ACK that ends at `start`, but with other `bits` in its cookie.
fn has_other_bits(received: &Tcp<'_>, start: SeqNumber, bits: u32) -> bool {
    let differs = received.ack.rewind(1).value() ^ start.rewind(1).value();
    differs != 0 && differs & !bits == 0
}

/// The frames that were sent, with fragments put together, each where its last fragment stood.
fn whole(sent: &[Vec<u8>]) -> Vec<Cow<'_, [u8]>> {
    let mut reassembler = Reassembler::default();
    let is_fragment =
        |frame: &[u8]| Frame::dissect(frame).is_some_and(|frame| frame.ip().is_some_and(|ip| ip.fragment.is_some()));
    let put_together = |frame: &'_ Vec<u8>| {
        // The time does not matter: all of them are sent at once.
        let whole = reassembler.receive(Instant::default(), frame.clone());
        whole.map(Cow::Owned)
    };
    let mut put_together = put_together;
    let frames = sent.iter();
    frames
        .filter_map(
            |frame| if is_fragment(frame) { put_together(frame) } else { Some(Cow::Borrowed(frame.as_slice())) },
        )
        .collect()
}

/// How a request begins whose response may go in several segments on a connection that stays open. It is acknowledged
/// by the segments that the response begins with: what comes again has the rest.
const GET: &[u8] = b"GET ";

/// Where the first request in these bytes ends, if it is complete.
fn end_of_request(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|end| end == b"\r\n\r\n").map(|at| at + 4)
}

/// The requests that may begin in a segment, each with its place: what comes again may lack its method, or have the
/// rest of a request ahead of it whose response has been acknowledged.
fn beginnings<'a>(received: &Tcp<'a>) -> Vec<(SeqNumber, Cow<'a, [u8]>)> {
    let behind = requests_in(received).map(|rest| {
        let place = received.seq.advance((received.payload.len() - rest.len()) as u32);
        (place, Cow::Borrowed(rest))
    });
    let whole = received.payload.starts_with(b"/").then(|| {
        let whole = [GET, received.payload].concat();
        (received.seq.rewind(GET.len() as u32), Cow::Owned(whole))
    });
    whole.into_iter().chain(behind).collect()
}

/// What a segment may be the answer to of what it answers: all of that, or what comes behind the rest of a request
/// whose response has been acknowledged.
fn requests_in<'a>(received: &Tcp<'a>) -> impl Iterator<Item = &'a [u8]> {
    let payload = received.payload;
    let behind = match payload {
        [b'\n', rest @ ..] => Some(rest),
        [b'/', ..] => end_of_request(payload).and_then(|end| payload.get(end..)),
        _ => None,
    };
    [payload].into_iter().chain(behind)
}

/// Whether a segment leaves its connection open behind complete responses, and nothing else, to the requests in the
/// segment that it answers.
fn keeps_open(received: &Tcp<'_>, sent: &Tcp<'_>) -> bool {
    let says_close = |requests: &[u8]| {
        let first = Framed::parse(sent.payload, requests.starts_with(b"HEAD "));
        matches!(first, Ok(Some(Framed { is_last: true, .. })))
    };
    !sent.flags.has(Flags::FIN)
        && requests_in(received).any(|requests| !says_close(requests) && are_responses(sent.payload, requests))
}

/// Whether a segment holds complete responses, and nothing else, to the requests in the segment that it answers.
fn holds_responses(received: &Tcp<'_>, sent: &Tcp<'_>) -> bool {
    requests_in(received).any(|requests| are_responses(sent.payload, requests))
}

fn are_responses(sent: &[u8], mut requests: &[u8]) -> bool {
    let mut responses = sent;
    while !responses.is_empty() {
        let Ok(Some(response)) = Framed::parse(responses, requests.starts_with(b"HEAD ")) else { return false };
        let Some(rest) = responses.get(response.len..) else { return false };
        responses = rest;
        requests = end_of_request(requests).and_then(|end| requests.get(end..)).unwrap_or_default();
    }
    !sent.is_empty()
}

/// Looks at every TCP segment that was sent for a TCP segment, fragments put together.
fn each_segment(
    exchange: &Exchange<'_>,
    mut look: impl FnMut((&Ip<'_>, &Tcp<'_>), (&Ip<'_>, &Tcp<'_>)) -> Result<(), String>,
) -> Result<(), String> {
    if exchange.sent.is_empty() {
        return Ok(());
    }
    let Some(received) = Frame::dissect(exchange.received) else { return Ok(()) };
    let Some(received) = received.tcp() else { return Ok(()) };
    for bytes in whole(exchange.sent) {
        let Some(sent) = Frame::dissect(&bytes) else { continue };
        let Some(sent) = sent.tcp() else { continue };
        look(received, sent).map_err(|problem| format!("{problem}: {}", notation::line(&bytes)))?;
    }
    Ok(())
}
