//! The server's TCP options answer the client's.

use lethe::wire::tcp::Flags;

use super::{Checker, Exchange, each_segment};

/// Timestamps if and only if the client uses them, with its own as the echo (RFC 7323, section 3.2); a SACK
/// permission only if it asked; a window scale, of our window by no bits, only on a SYN+ACK to who offered one and uses
/// timestamps; and nothing unknown.
#[derive(Clone, Copy, Debug)]
pub struct Options;

impl Checker for Options {
    fn name(&self) -> &'static str {
        "options"
    }

    fn check(&mut self, exchange: &Exchange<'_>) -> Result<(), String> {
        each_segment(exchange, |(_, received), (_, sent)| {
            // smoltcp gives up at an option of the wrong length, where we skip it.
            if sent.flags.has(Flags::RST) || received.options_are_malformed {
                return Ok(());
            }
            match (received.timestamps, sent.timestamps) {
                (None, Some(_)) => return Err("timestamps that the client does not use".to_owned()),
                (Some(_), None) => return Err("no timestamps, which the client uses".to_owned()),
                (Some((value, _)), Some((_, echo))) if value != echo => {
                    return Err(format!("it echoes timestamp {echo} and not {value}"));
                }
                _ => {}
            }
            let is_syn = sent.flags.has(Flags::SYN);
            if sent.sack_permitted && !(is_syn && received.sack_permitted) || !sent.sack.is_empty() {
                return Err("SACK, which was not asked for".to_owned());
            }
            let may_scale = is_syn && received.window_scale.is_some() && received.timestamps.is_some();
            if sent.window_scale.is_some_and(|shift| shift > 0 || !may_scale) {
                return Err("a window scale that has no place here".to_owned());
            }
            if sent.mss.is_some() != is_syn || !sent.unknown_options.is_empty() {
                return Err("an option that has no place here".to_owned());
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::stand;
    use crate::frame::{Ends, Segment};
    use crate::testing;

    #[test]
    fn it_sees_options_that_do_not_answer() {
        let engine = testing::engine();
        let [opened, asked] = stand::fetch(&engine, &Ends::v4(), "/10");
        assert_eq!(opened.check(&mut Options), Ok(()));
        assert_eq!(asked.check(&mut Options), Ok(()));
        for wrong in [
            opened.clone().change(Segment::sack_permitted),
            opened.clone().change(|segment| segment.window_scale(0)),
            asked.clone().change(|segment| segment.window_scale(0)),
            opened.change(|segment| segment.without_options().mss(1460)),
            asked.clone().change(|segment| segment.without_options().timestamps(1, 5)),
            asked.clone().change(|segment| segment.mss(1460)),
            asked.change(|segment| segment.sack(&[(1, 2)])),
        ] {
            assert!(wrong.check(&mut Options).is_err());
        }
    }
}
