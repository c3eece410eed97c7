//! Nothing is said that its receiver has no room for.

use std::net::SocketAddr;

use lethe::wire::tcp::Flags;

use super::{Checker, Exchange, each_segment};
use crate::peer::client::SCALE_MAX;
use crate::recent::Recent;

/// Clients whose scale is remembered; of an older one any window is taken.
const CLIENTS_MAX: usize = 4096;

/// A response, its FIN included, fits the window of the segment that it answers: a server without state has no
/// other to go by (RFC 9293, section 3.8.6). It is scaled if both have said so on their SYNs (RFC 7323, section
/// 2.2), which the server does for clients with timestamps only. These send timestamps in every segment (section 3.2):
/// so one without belongs to another handshake between the same ports, and its window is not scaled.
#[derive(Clone, Debug, Default)]
pub struct Window {
    /// By how many bits, at most where there were several handshakes between the same ports.
    scales: Recent<(SocketAddr, SocketAddr), u8, CLIENTS_MAX>,
}

impl Checker for Window {
    fn name(&self) -> &'static str {
        "window"
    }

    fn check(&mut self, exchange: &Exchange<'_>) -> Result<(), String> {
        each_segment(exchange, |(ip, received), (_, sent)| {
            let ends = (ip.from(received), ip.to(received));
            if sent.flags.has(Flags::SYN) {
                // Behind an option that a network has made one of another kind, the scale may not be legible here.
                let offered = received.window_scale.or(received.options_are_malformed.then_some(SCALE_MAX));
                let shift = offered.filter(|_| sent.window_scale.is_some());
                let most = self.scales.get_or_insert_with(ends, u8::default);
                *most = shift.unwrap_or_default().max(*most);
                return Ok(());
            }
            // A SYN acknowledges nothing that its window could be counted from.
            if sent.payload.is_empty() {
                return Ok(());
            }
            // Of a handshake that was not seen nothing is known.
            let Some(&shift) = self.scales.get(&ends) else { return Ok(()) };
            let shift = if received.timestamps.is_some() { shift } else { 0 };
            let edge = received.ack.advance(u32::from(received.window) << shift);
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
    use crate::check::stand::{self, NOW, Recorded};
    use crate::frame::{Ends, Segment};
    use crate::testing;

    #[test]
    fn it_sees_one_byte_too_many_and_counts_the_fin() {
        let engine = testing::engine();
        let [opened, asked] = stand::fetch(&engine, &Ends::v6(), "/10");
        let mut checker = Window::default();
        assert_eq!(opened.check(&mut checker), Ok(()));
        assert_eq!(asked.check(&mut checker), Ok(()));
        let mut room =
            |bytes: usize| asked.clone().change(|segment| segment.payload(vec![b'x'; bytes])).check(&mut checker);
        let window = 64_240;
        assert_eq!(room(window - 1), Ok(()));
        assert_eq!(room(window).unwrap_err().split(':').next(), Some("1 bytes beyond the window"));
    }

    #[test]
    fn it_knows_how_the_window_of_a_client_is_scaled() {
        let engine = testing::engine();
        let ends = Ends::v4();
        for (shift, room) in [(None, 2000), (Some(7), 2000 << 7), (Some(3), 2000)] {
            let mut syn = Segment::syn(&ends).seq(1000).mss(1460).timestamps(5, 0);
            if let Some(shift) = shift {
                syn = syn.window_scale(shift);
            }
            let mut checker = Window::default();
            assert_eq!(Recorded::at(NOW, &engine, syn.frame()).check(&mut checker), Ok(()));
            let received = Segment::ack(&ends).seq(1001).ack_number(9).window(2000).timestamps(6, 7).payload(b"x");
            let received = Recorded::at(NOW, &engine, received.frame());
            let mut check = |bytes: u32| {
                let sent = Segment::ack(&ends.reversed()).seq(9 + bytes - 1).payload(b"x").timestamps(7, 6);
                Recorded { sent: vec![sent.frame()], ..received.clone() }.check(&mut checker)
            };
            assert!(check(room).is_ok() && check(room + 1).is_err(), "{shift:?}");
        }
    }

    /// An old connection between the same ports, without timestamps, may still be sent its response and a probe.
    #[test]
    fn without_timestamps_no_window_is_scaled() {
        let engine = testing::engine();
        let ends = Ends::v4();
        let mut checker = Window::default();
        let syn = Segment::syn(&ends).seq(1000).mss(1460).timestamps(5, 0).window_scale(10);
        assert_eq!(Recorded::at(NOW, &engine, syn.frame()).check(&mut checker), Ok(()));
        let received = Segment::ack(&ends).seq(501).ack_number(9).window(64_000).payload(b"x");
        let received = Recorded::at(NOW, &engine, received.frame());
        let mut check = |seq: u32| {
            let sent = Segment::ack(&ends.reversed()).seq(seq).payload(b"x").frame();
            Recorded { sent: vec![sent], ..received.clone() }.check(&mut checker)
        };
        assert!(check(9 + 63_999).is_ok() && check(9 + 64_000).is_err());
        // The oldest that a probe can be.
        assert_eq!(check(9_u32.wrapping_sub((1 << 31) - (1 << 17))), Ok(()));
    }
}
