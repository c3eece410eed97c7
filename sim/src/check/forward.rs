//! No timestamp goes back.

use lethe::wire::seq::SeqNumber;
use lethe::wire::tcp::Flags;

use super::{Checker, Exchange, each_segment};

/// A client drops a segment whose timestamp is before the newest that it has received (RFC 7323, section 5.3), which is
/// the one that it echoes, or a newer one. So nothing is sent with a timestamp before the one that is echoed: on a
/// connection that stays open, for any number of responses. Nor is a segment sent with one before that of the segment
/// ahead of it.
///
/// The end of a response behind which the connection stays open may be before the echo, if it goes behind other
/// segments: they have brought the client forward. A client that has lost those drops it, and gets it again.
///
/// What opens the window behind that end, an empty segment, is before the echo always: a client that has not got the
/// end in order must drop it. An empty one with the window of the segment ahead of it opens none: it leaves a group.
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
            if received.flags.has(Flags::SYN) {
                return Ok(());
            }
            let is_before = |other: u32| SeqNumber::new(value).before(SeqNumber::new(other));
            let ahead = newest.replace((value, sent.ack.advance(sent.window.into())));
            if let Some((ahead, _)) = ahead.filter(|&(ahead, _)| is_before(ahead)) {
                return Err(format!("timestamp {value} is {} before that ahead of it", ahead.wrapping_sub(value)));
            }
            let opens_more = ahead.is_some_and(|(_, edge)| edge != sent.ack.advance(sent.window.into()));
            if opens_more && sent.flags == Flags::ACK && sent.payload.is_empty() {
                let opens = || Err(format!("timestamp {value} opens the window of a client that lacks the end"));
                return if is_before(echo) { Ok(()) } else { opens() };
            }
            let is_end = ahead.is_some() && sent.flags == Flags::ACK.with(Flags::PSH);
            if is_before(echo) && !is_end {
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
    use crate::frame::{Ends, Segment};
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

    #[test]
    fn it_sees_a_segment_before_the_one_ahead_of_it_and_lets_only_the_end_be_before_the_echo() {
        let engine = testing::engine();
        let [opened, asked] = stand::fetch(&engine, &Ends::v4(), "/10");
        let (value, _) = Frame::dissect(&opened.sent[0]).unwrap().tcp().unwrap().1.timestamps.unwrap();
        let sends = |values: &[u32], last: Flags| {
            let (end, others) = values.split_last().unwrap();
            let server = Ends::v4().reversed();
            let segment =
                |value: u32, flags| Segment::ack(&server).payload(b"x").with(flags).timestamps(value, 6).frame();
            let mut sent: Vec<Vec<u8>> = others.iter().map(|&value| segment(value, Flags::default())).collect();
            sent.push(segment(*end, last));
            stand::Recorded { sent, ..asked.clone() }.check(&mut Forward)
        };
        let (half, end) = (value.wrapping_add(1 << 30), value.wrapping_add((1 << 31) + 9));
        assert_eq!(sends(&[half, half, end], Flags::PSH), Ok(()));
        assert!(sends(&[half, half, end], Flags::default()).unwrap_err().contains("the one that is echoed"));
        assert!(sends(&[half, half.wrapping_sub(1)], Flags::PSH).unwrap_err().contains("1 before that ahead"));
        assert!(sends(&[end], Flags::PSH).is_err(), "nothing has brought the client forward");
    }

    #[test]
    fn it_sees_a_window_that_opens_for_a_client_without_the_end() {
        let engine = testing::engine();
        let [opened, asked] = stand::fetch(&engine, &Ends::v4(), "/10");
        let (value, _) = Frame::dissect(&opened.sent[0]).unwrap().tcp().unwrap().1.timestamps.unwrap();
        let sends = |end: u32, opening: u32| {
            let segment = |ahead: u32| Segment::ack(&Ends::v4().reversed()).timestamps(value.wrapping_add(ahead), 6);
            let sent = [segment(end).payload(b"x").with(Flags::PSH), segment(opening).window(9)]
                .map(|segment| segment.frame());
            stand::Recorded { sent: sent.into(), ..asked.clone() }.check(&mut Forward)
        };
        assert_eq!(sends(1 << 30, (1 << 31) + 1), Ok(()));
        assert!(sends(1 << 30, 1 << 31 >> 1).unwrap_err().contains("lacks the end"));
        assert!(sends(1 << 30, 3 << 30).is_err(), "not even a client that has the end takes it");
    }
}
