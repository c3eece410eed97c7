//! No client gets more at once than an unknown path takes.

use lethe::verdict::{ReplyKind, Verdict};
use lethe::wire::seq::SeqNumber;
use lethe::wire::tcp::Flags;

use super::{Checker, Exchange, WINDOW_MAX, each_segment, is_probe};
use crate::dissect::Tcp;

/// Segments of a first window (RFC 6928), and of any that a server without state sends for one packet.
const SEGMENTS_MAX: usize = 10;

/// The most that is under way at a time, and what slow start or a step of the window adds: this much answers an ACK of
/// as much.
const UNDER_WAY_MAX: usize = 512 + 128;

/// The most for a client without timestamps whose probe says that all has arrived or is lost: what is in flight at a
/// time, and its last segment once more.
const PROBED_MAX: usize = 32 + 1;

/// What came twice lies closer to an acknowledgement than this, of a client whose windows may be scaled.
const SCALED_MAX: u32 = 1 << 21;

/// Probes for one packet: one that is a clock, and one to spare.
const PROBES_MAX: usize = 2;

/// At most ten segments of data for one packet, or what is under way for an ACK of that or with a hole of that, and two
/// probes; and nothing for an ACK that says no more than that data has come twice: a server that answers that with data
/// goes on for ever (RFC 2883, section 4).
#[derive(Clone, Copy, Debug)]
pub struct Burst;

impl Checker for Burst {
    fn name(&self) -> &'static str {
        "burst"
    }

    fn check(&mut self, exchange: &Exchange<'_>) -> Result<(), String> {
        let (mut segments, mut probes) = (0, 0);
        let mut ends: Option<SeqNumber> = None;
        let is_clock = matches!(exchange.verdict, Verdict::Replied(ReplyKind::NextWindow | ReplyKind::Resent));
        each_segment(exchange, |(_, received), (_, sent)| {
            if sent.payload.is_empty() {
                return Ok(());
            }
            // What leaves a group is its last byte, once more.
            let is_again = sent.payload.len() == 1 && ends.is_some_and(|end| !sent.end().after(end));
            if ends.is_none_or(|end| sent.end().after(end)) {
                ends = Some(sent.end());
            }
            if is_probe(received, sent) || is_again {
                probes += 1;
            } else {
                segments += 1;
            }
            if probes > PROBES_MAX {
                return Err(format!("{probes} probes for one packet"));
            }
            let most = match received.timestamps {
                Some(_) if is_clock => UNDER_WAY_MAX,
                None if is_clock => PROBED_MAX,
                _ => SEGMENTS_MAX,
            };
            if segments > most {
                return Err(format!("{segments} segments of data for one packet"));
            }
            let is_plain = received.payload.is_empty() && !received.flags.has(Flags::FIN);
            if is_plain && has_repeated(received) {
                return Err("data for a client that has got it twice".to_owned());
            }
            Ok(())
        })
    }
}

/// Whether the first SACK block tells of data that came again: it is acknowledged already, or part of the
/// second (RFC 2883, section 4). What is far behind was no data, but a probe, and so is one byte.
fn has_repeated(tcp: &Tcp<'_>) -> bool {
    let edges = |&(from, to): &(u32, u32)| (SeqNumber::new(from), SeqNumber::new(to));
    let Some((from, to)) = tcp.sack.first().map(edges) else { return false };
    let is_in = |(start, end): (SeqNumber, SeqNumber)| !from.before(start) && !to.after(end);
    let window = if tcp.timestamps.is_some() { SCALED_MAX } else { WINDOW_MAX };
    let is_one = to.distance_from(from) == 1;
    let is_acknowledged = from.before(tcp.ack) && tcp.ack.distance_from(from) < window;
    is_acknowledged && !is_one || tcp.sack.get(1).map(edges).is_some_and(is_in)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::stand;
    use crate::frame::{Ends, Segment};
    use crate::testing;

    #[test]
    fn it_sees_one_segment_too_many() {
        let engine = testing::engine();
        let [_, mut asked] = stand::fetch(&engine, &Ends::v4(), "/10");
        asked.sent = vec![asked.sent[0].clone(); SEGMENTS_MAX];
        assert_eq!(asked.check(&mut Burst), Ok(()));
        asked.sent.push(asked.sent[0].clone());
        assert!(asked.check(&mut Burst).unwrap_err().starts_with("11 segments of data"));
    }

    #[test]
    fn it_sees_data_for_what_came_twice() {
        let engine = testing::engine();
        let ends = Ends::v4();
        let [_, asked] = stand::fetch(&engine, &ends, "/10");
        let says = |blocks: &[(u32, u32)], payload: &[u8]| {
            let received = Segment::ack(&ends).ack_number(1000).sack(blocks).payload(payload).frame();
            stand::Recorded { received, ..asked.clone() }.check(&mut Burst).is_ok()
        };
        assert!(says(&[(2000, 3000)], b"") && says(&[(2000, 3000), (4000, 5000)], b""));
        assert!(!says(&[(500, 800)], b"") && !says(&[(500, 800), (4000, 5000)], b""));
        assert!(!says(&[(4000, 4500), (4000, 5000)], b""));
        assert!(says(&[(500, 800)], b"GET / HTTP/1.0\r\n\r\n"), "a request has a right to an answer");
    }
}
