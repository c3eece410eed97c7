//! Nothing that is new is left out.

use std::collections::HashMap;
use std::net::SocketAddr;

use lethe::wire::seq::SeqNumber;
use lethe::wire::tcp::Flags;

use super::{Checker, Exchange, each_segment, is_probe};

/// Connections that it is made for: those of one test.
const CONNECTIONS_MAX: usize = 4096;

/// Segment after segment is sent of a response, each for the first time behind the one before: none that a window has
/// moved over stays unsent.
///
/// That is so where no ACK is lost and none overtakes another. What a lost ACK would have drawn is sent when the client
/// misses it; so this checker is not among [`all`](super::all).
#[derive(Clone, Debug, Default)]
pub struct Unsent {
    /// Where all ends that has been sent.
    ends: HashMap<(SocketAddr, SocketAddr), SeqNumber>,
    /// Segments that were sent once more.
    again: u64,
}

impl Unsent {
    /// How many segments have been sent once more.
    pub const fn again(&self) -> u64 {
        self.again
    }
}

impl Checker for Unsent {
    fn name(&self) -> &'static str {
        "unsent"
    }

    fn check(&mut self, exchange: &Exchange<'_>) -> Result<(), String> {
        each_segment(exchange, |(ip, received), (_, sent)| {
            let ends = (ip.from(received), ip.to(received));
            if sent.flags.has(Flags::SYN) && self.ends.len() < CONNECTIONS_MAX {
                self.ends.insert(ends, sent.seq.advance(1));
            }
            let Some(end) = self.ends.get_mut(&ends).filter(|_| !sent.payload.is_empty() && !is_probe(received, sent))
            else {
                return Ok(());
            };
            if sent.seq.after(*end) {
                return Err(format!("{} bytes ahead of it have not been sent", sent.seq.distance_from(*end)));
            }
            if sent.end().after(*end) {
                *end = sent.end();
            } else {
                self.again += 1;
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
    fn it_sees_a_segment_that_was_left_out_and_counts_what_is_sent_again() {
        let engine = testing::engine();
        let ends = Ends::v4();
        let [opened, asked] = stand::fetch(&engine, &ends, "/10");
        let mut checker = Unsent::default();
        assert_eq!(opened.check(&mut checker), Ok(()));
        assert_eq!(asked.check(&mut checker), Ok(()));
        let end = checker.ends[&(ends.client, ends.server)].value();
        let mut send = |seq: u32| {
            let sent = Segment::ack(&ends.reversed()).seq(seq).payload(b"more").frame();
            Recorded { sent: vec![sent], ..asked.clone() }.check(&mut checker)
        };
        assert_eq!([send(end - 1), send(end - 4), send(end - 1)], [Ok(()), Ok(()), Ok(())]);
        assert!(send(end + 4).unwrap_err().starts_with("1 bytes ahead of it have not been sent"));
        assert_eq!(checker.again(), 2);
    }
}
