//! When a RST may be sent, and which (RFC 9293, section 3.5.2; design, rule 6).

use lethe::wire::tcp::Flags;

use super::{Checker, Exchange, each_segment};

/// Only where it is allowed, never for a RST, never larger than its cause, and with the one sequence number
/// that the receiver can take it by.
#[derive(Clone, Copy, Debug)]
pub struct Reset {
    allowed: bool,
}

impl Reset {
    /// For an engine that refuses aloud, or one that does not.
    pub const fn new(allowed: bool) -> Self {
        Self { allowed }
    }
}

impl Checker for Reset {
    fn name(&self) -> &'static str {
        "reset"
    }

    fn check(&mut self, exchange: &Exchange<'_>) -> Result<(), String> {
        let size: usize = exchange.sent.iter().map(Vec::len).sum();
        each_segment(exchange, |(_, received), (_, sent)| {
            if received.flags.has(Flags::RST) {
                return Err("a RST was answered".to_owned());
            }
            if !sent.flags.has(Flags::RST) {
                return Ok(());
            }
            if !self.allowed {
                return Err("a RST was sent, and none is allowed".to_owned());
            }
            if size > exchange.received.len() {
                return Err("a RST is larger than what it answers".to_owned());
            }
            if received.flags.has(Flags::ACK) {
                let is_right = sent.seq == received.ack && !sent.flags.has(Flags::ACK);
                return if is_right { Ok(()) } else { Err("a RST that does not go by the ACK".to_owned()) };
            }
            let is_right = sent.seq.value() == 0 && sent.flags.has(Flags::ACK) && sent.ack == received.end();
            if is_right { Ok(()) } else { Err("a RST that does not acknowledge what it answers".to_owned()) }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::stand::{NOW, Recorded};
    use crate::frame::{Ends, Segment};
    use crate::testing;

    #[test]
    fn it_sees_every_kind_of_wrong_rst() {
        let engine = testing::resetting_engine();
        let closed = Ends::v4().server_port(81);
        let syn = Recorded::at(NOW, &engine, Segment::syn(&closed).seq(7).frame());
        let ack = Recorded::at(NOW, &engine, Segment::ack(&closed).seq(7).ack_number(99).frame());
        let check = |recorded: &Recorded, allowed: bool| {
            recorded.check(&mut Reset::new(allowed)).map_err(|problem| problem.split(':').next().unwrap().to_owned())
        };
        let fails = |problem: &str| Err(problem.to_owned());
        for recorded in [&syn, &ack] {
            assert_eq!(check(recorded, true), Ok(()));
            assert_eq!(check(recorded, false), fails("a RST was sent, and none is allowed"));
            let longer = recorded.clone().change(|segment| segment.payload(b"bye"));
            assert_eq!(check(&longer, true), fails("a RST is larger than what it answers"));
        }
        let wrong = ack.clone().change(|segment| segment.seq(100));
        assert_eq!(check(&wrong, true), fails("a RST that does not go by the ACK"));
        let wrong = syn.clone().change(|segment| segment.ack_number(7));
        assert_eq!(check(&wrong, true), fails("a RST that does not acknowledge what it answers"));
        let wrong = Recorded { received: Segment::rst(&closed).seq(7).frame(), ..syn };
        assert_eq!(check(&wrong, true), fails("a RST was answered"));
    }
}
