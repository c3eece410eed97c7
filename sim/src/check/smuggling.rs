//! A later segment of a request that looks like a request is never answered as one.

use lethe::verdict::{ReplyKind, Verdict};
use lethe::wire::tcp::Flags;

use super::{Checker, Exchange, each_segment};
use crate::scenario::SMUGGLED;

/// Behind a proxy, requests of many people share a connection, and one of them may hide a request in a header field of
/// his own: a server that takes a segment for a request because it begins like one would answer it, and the next
/// person would read that. No client ever begins a request like `SMUGGLED`, so no such segment is one, whatever is
/// lost ahead of it. It draws no response, and no FIN that its client has not sent.
#[derive(Clone, Copy, Debug)]
pub struct Smuggling;

impl Checker for Smuggling {
    fn name(&self) -> &'static str {
        "smuggling"
    }

    fn check(&mut self, exchange: &Exchange<'_>) -> Result<(), String> {
        // It may be the ACK that a response to another request goes on by.
        let is_answer = matches!(
            exchange.verdict,
            Verdict::Replied(ReplyKind::Response | ReplyKind::Refusal | ReplyKind::FirstWindow | ReplyKind::Closed)
        );
        if !is_answer {
            return Ok(());
        }
        each_segment(exchange, |(_, received), (_, sent)| {
            if !received.payload.starts_with(SMUGGLED) {
                return Ok(());
            }
            if !sent.payload.is_empty() {
                return Err("a later part of a request was answered as one".to_owned());
            }
            if sent.flags.has(Flags::FIN) && !received.flags.has(Flags::FIN) {
                return Err("a later part of a request ended its connection".to_owned());
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::stand::{self, Recorded};
    use crate::frame::{Ends, Segment};
    use crate::testing;

    #[test]
    fn it_sees_a_response_and_a_fin_that_a_part_of_a_request_draws() {
        let engine = testing::engine();
        let ends = Ends::v4();
        let [_, asked] = stand::fetch(&engine, &ends, "/10");
        assert_eq!(asked.check(&mut Smuggling), Ok(()));
        let part = Segment::ack(&ends).seq(1100).ack_number(1).payload(SMUGGLED);
        let answered = Recorded { received: part.clone().frame(), ..asked };
        assert!(answered.check(&mut Smuggling).unwrap_err().starts_with("a later part of a request was answered"));
        let closed = answered.change(|segment| segment.payload([]).with(Flags::FIN));
        assert!(closed.check(&mut Smuggling).unwrap_err().starts_with("a later part of a request ended"));
        let leaves = Recorded { received: part.with(Flags::FIN).frame(), ..closed };
        assert_eq!(leaves.check(&mut Smuggling), Ok(()));
    }
}
