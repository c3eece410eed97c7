//! No timestamp goes back.

use lethe::wire::seq::SeqNumber;
use lethe::wire::tcp::Flags;

use super::{Checker, Exchange, each_segment};

/// A client drops a segment whose timestamp is before the newest that it has received (RFC 7323, section 5.3), which is
/// the one that it echoes, or a newer one. So nothing is sent with a timestamp before the one that is echoed: on a
/// connection that stays open, for any number of responses.
#[derive(Clone, Copy, Debug)]
pub struct Forward;

impl Checker for Forward {
    fn name(&self) -> &'static str {
        "forward"
    }

    fn check(&mut self, exchange: &Exchange<'_>) -> Result<(), String> {
        // Of several segments, each is received behind the one ahead of it.
        let mut newest = None;
        each_segment(exchange, |(_, received), (_, sent)| {
            let (Some((_, echo)), Some((value, _))) = (received.timestamps, sent.timestamps) else { return Ok(()) };
            let echo = newest.replace(value).unwrap_or(echo);
            let is_data = !sent.payload.is_empty() || sent.flags.has(Flags::FIN);
            if !received.flags.has(Flags::SYN) && is_data && SeqNumber::new(value).before(SeqNumber::new(echo)) {
                return Err(format!("timestamp {value} is {} before the one that is echoed", echo.wrapping_sub(value)));
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::stand;
    use crate::dissect::Frame;
    use crate::frame::Ends;
    use crate::testing;

    #[test]
    fn it_sees_a_timestamp_that_goes_back() {
        let engine = testing::engine();
        let [opened, asked] = stand::fetch(&engine, &Ends::v4(), "/10");
        let (value, _) = Frame::dissect(&opened.sent[0]).unwrap().tcp().unwrap().1.timestamps.unwrap();
        assert_eq!(asked.check(&mut Forward), Ok(()));
        for (back, is_right) in [(0, true), (1, false), ((1 << 31) - 1, false)] {
            let changed = asked.clone().change(|segment| segment.timestamps(value.wrapping_sub(back), 6));
            assert_eq!(changed.check(&mut Forward).is_ok(), is_right, "{back}");
        }
    }
}
