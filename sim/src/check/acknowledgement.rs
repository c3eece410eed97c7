//! Nothing is acknowledged that is not there, and nothing is said from where the client is not.

use lethe::verdict::{ReplyKind, Verdict};
use lethe::wire::tcp::Flags;

use super::{Checker, Exchange, each_segment, is_probe};

/// A server without state knows of the client's stream only the segment in hand: it acknowledges no byte
/// behind it, of a SYN only the SYN (RFC 9293, section 3.10.7.2: what else it holds is not kept), and begins
/// where the client says that it is. A probe is from far behind that.
#[derive(Clone, Copy, Debug)]
pub struct Acknowledgement;

impl Checker for Acknowledgement {
    fn name(&self) -> &'static str {
        "acknowledgement"
    }

    fn check(&mut self, exchange: &Exchange<'_>) -> Result<(), String> {
        each_segment(exchange, |(_, received), (_, sent)| {
            if sent.flags.has(Flags::RST) {
                return Ok(());
            }
            if !sent.flags.has(Flags::ACK) {
                return Err("a segment without ACK".to_owned());
            }
            let is_syn = received.flags.has(Flags::SYN);
            // A probe of an idle connection is a byte before its client's next one, and its acknowledgement says so.
            let is_idle = exchange.verdict == Verdict::Replied(ReplyKind::KeepAlive) && received.payload.is_empty();
            let end = if is_syn || is_idle { received.seq.advance(1) } else { received.end() };
            if sent.ack.after(end) {
                return Err(format!("{} bytes acknowledged that are not there", sent.ack.distance_from(end)));
            }
            if is_syn && sent.ack != end {
                return Err("the SYN is not acknowledged".to_owned());
            }
            if !is_syn && sent.seq.before(received.ack) && !is_probe(received, sent) {
                return Err("it says again what the client has acknowledged".to_owned());
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::stand::{self, NOW, Recorded};
    use crate::frame::{Ends, Segment};
    use crate::testing;

    #[test]
    fn it_sees_one_byte_too_many() {
        let engine = testing::engine();
        let [opened, asked] = stand::fetch(&engine, &Ends::v4(), "/10");
        for recorded in [opened, asked] {
            assert_eq!(recorded.check(&mut Acknowledgement), Ok(()));
            let ack = crate::dissect::Frame::dissect(&recorded.sent[0]).unwrap().tcp().unwrap().1.ack;
            let wrong = recorded.change(|segment| segment.ack_number(ack.value() + 1));
            assert!(wrong.check(&mut Acknowledgement).unwrap_err().starts_with("1 bytes acknowledged"));
        }
    }

    #[test]
    fn it_sees_data_on_a_syn_acknowledged_that_is_not_kept() {
        let engine = testing::engine();
        let syn = Segment::syn(&Ends::v4()).seq(7).payload(b"GET / HTTP/1.0\r\n\r\n");
        let mut recorded = Recorded::at(NOW, &engine, syn.frame());
        recorded.sent = vec![Segment::syn(&Ends::v4().reversed()).with(Flags::ACK).ack_number(8).mss(1460).frame()];
        assert_eq!(recorded.check(&mut Acknowledgement), Ok(()));
        let wrong = recorded.change(|segment| segment.ack_number(syn.end()));
        assert!(wrong.check(&mut Acknowledgement).unwrap_err().starts_with("18 bytes acknowledged"));
    }
}
