//! Nothing is said that its receiver has no room for.

use lethe::wire::tcp::Flags;

use super::{Checker, Exchange, each_segment};

/// A response, its FIN included, fits the window of the segment that it answers: a server without state has no
/// other to go by (RFC 9293, section 3.8.6). It is never scaled, because that was not offered (RFC 7323,
/// section 1.3).
#[derive(Clone, Copy, Debug)]
pub struct Window;

impl Checker for Window {
    fn name(&self) -> &'static str {
        "window"
    }

    fn check(&mut self, exchange: &Exchange<'_>) -> Result<(), String> {
        each_segment(exchange, |(_, received), (_, sent)| {
            // A SYN acknowledges nothing that its window could be counted from.
            if sent.payload.is_empty() || sent.flags.has(Flags::SYN) {
                return Ok(());
            }
            let edge = received.ack.advance(received.window.into());
            if sent.end().after(edge) {
                return Err(format!("{} bytes beyond the window", sent.end().distance_from(edge)));
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::stand;
    use crate::frame::Ends;
    use crate::testing;

    #[test]
    fn it_sees_one_byte_too_many_and_counts_the_fin() {
        let engine = testing::engine();
        let [_, asked] = stand::fetch(&engine, &Ends::v6(), "/10");
        assert_eq!(asked.check(&mut Window), Ok(()));
        let room = |bytes: usize| asked.clone().change(|segment| segment.payload(vec![b'x'; bytes]));
        let window = 64_240;
        assert_eq!(room(window - 1).check(&mut Window), Ok(()));
        assert_eq!(room(window).check(&mut Window).unwrap_err().split(':').next(), Some("1 bytes beyond the window"));
    }
}
