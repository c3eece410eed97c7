//! Every checksum in every frame that is sent is right.

use super::{Checker, Exchange, whole};
use crate::dissect::Frame;
use crate::notation;

/// IPv4 headers, TCP and both ICMPs; that of a datagram in fragments over the whole of it.
#[derive(Clone, Copy, Debug)]
pub struct Checksum;

impl Checker for Checksum {
    fn name(&self) -> &'static str {
        "checksum"
    }

    fn check(&mut self, exchange: &Exchange<'_>) -> Result<(), String> {
        let fragments = exchange.sent.iter().map(Vec::as_slice);
        let wholes = if exchange.sent.len() > 1 { whole(exchange.sent) } else { Vec::new() };
        for bytes in fragments.chain(wholes.iter().map(AsRef::as_ref)) {
            let problem = Frame::dissect(bytes).and_then(|frame| frame.problem());
            if let Some(problem) = problem.filter(|problem| problem.contains("checksum")) {
                return Err(format!("{problem}: {}", notation::line(bytes)));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::stand;
    use crate::frame::Ends;
    use crate::testing;

    #[test]
    fn it_sees_a_bit_that_is_not_what_the_checksum_is_of() {
        let engine = testing::engine();
        for ends in [Ends::v4(), Ends::v6()] {
            for path in ["/10", "/11", "/5000"] {
                let [_, asked] = stand::fetch(&engine, &ends, path);
                assert_eq!(asked.check(&mut Checksum), Ok(()));
                for number in 0..asked.sent.len() {
                    let mut wrong = asked.clone();
                    *wrong.sent[number].last_mut().unwrap() ^= 1;
                    assert!(wrong.check(&mut Checksum).unwrap_err().starts_with("the TCP checksum is wrong"));
                }
            }
        }
        let [mut opened, _] = stand::fetch(&engine, &Ends::v4(), "/");
        opened.sent[0][22] ^= 1;
        assert!(opened.check(&mut Checksum).unwrap_err().starts_with("the IPv4 header checksum is wrong"));
    }
}
