//! No packet is larger than the MTU, and no segment larger than its receiver said it takes.

use std::collections::VecDeque;
use std::net::SocketAddr;

use lethe::wire::seq::SeqNumber;
use lethe::wire::tcp::Flags;

use super::{Checker, Exchange, MSS_BITS, has_other_bits};
use crate::dissect::{Frame, Ip, Tcp};
use crate::notation;

/// Clients whose MSS is remembered; of an older one any size is taken.
const CLIENTS_MAX: usize = 4096;

/// What is sent to a client that says it takes less: the smallest MSS that a cookie can carry.
const MSS_MIN: usize = 88;

/// The smallest packet that every IPv6 link carries (RFC 8200, section 5), less the headers: there is
/// no reason for less, whatever a client says, and routers would not cut it.
const MSS_MIN_V6: usize = 1220;

/// The MTU, and the MSS of each client for segments that are not in fragments.
#[derive(Clone, Debug)]
pub struct Size {
    mtu: usize,
    /// The largest MSS that each has announced, the oldest first.
    announced: VecDeque<(SocketAddr, usize)>,
    /// The last cookies, and to whom they were sent.
    cookies: VecDeque<(SocketAddr, SeqNumber)>,
}

impl Size {
    /// For packets of at most `mtu` bytes, IP header included.
    pub const fn new(mtu: usize) -> Self {
        Self { mtu, announced: VecDeque::new(), cookies: VecDeque::new() }
    }

    fn listen(&mut self, ip: &Ip<'_>, tcp: &Tcp<'_>) {
        // RFC 9293, section 3.7.1: what is assumed when nothing is said.
        let default = if ip.source.is_ipv4() { 536 } else { 1220 };
        let minimum = if ip.source.is_ipv4() { MSS_MIN } else { MSS_MIN_V6 };
        let mss = tcp.mss.map_or(default, usize::from).max(minimum);
        let client = ip.from(tcp);
        if let Some((_, known)) = self.announced.iter_mut().find(|(known, _)| *known == client) {
            // An old SYN may come after a new one.
            *known = mss.max(*known);
            return;
        }
        if self.announced.len() == CLIENTS_MAX {
            self.announced.pop_front();
        }
        self.announced.push_back((client, mss));
    }

    fn remember(&mut self, client: SocketAddr, cookie: SeqNumber) {
        if self.cookies.len() == CLIENTS_MAX {
            self.cookies.pop_front();
        }
        self.cookies.push_back((client, cookie));
    }

    /// Whether this has a cookie of its client with another MSS in it: without timestamps, one in a thousand is good.
    fn has_another_mss(&self, received: &Frame<'_>) -> bool {
        let Some((ip, tcp)) = received.tcp().filter(|(_, tcp)| tcp.timestamps.is_none()) else { return false };
        let is_changed = |&(client, cookie): &(SocketAddr, SeqNumber)| {
            client == ip.from(tcp) && has_other_bits(tcp, cookie.advance(1), MSS_BITS)
        };
        self.cookies.iter().any(is_changed)
    }

    fn limit(&self, client: SocketAddr) -> Option<usize> {
        self.announced.iter().rev().find(|(known, _)| *known == client).map(|&(_, mss)| mss)
    }
}

impl Checker for Size {
    fn name(&self) -> &'static str {
        "size"
    }

    fn check(&mut self, exchange: &Exchange<'_>) -> Result<(), String> {
        let received = Frame::dissect(exchange.received);
        if let Some((ip, tcp)) = received.as_ref().and_then(Frame::tcp)
            && tcp.flags.has(Flags::SYN)
        {
            self.listen(ip, tcp);
        }
        for bytes in exchange.sent {
            let Some(frame) = Frame::dissect(bytes) else { continue };
            let Some(ip) = frame.ip() else { continue };
            if ip.len > self.mtu {
                return Err(format!("{} bytes over the MTU: {}", ip.len - self.mtu, notation::line(bytes)));
            }
            let Some((ip, tcp)) = frame.tcp() else { continue };
            // An MSS counts the options in (RFC 6691).
            let size = ip.payload.len().saturating_sub(20);
            if tcp.flags.has(Flags::SYN) {
                self.remember(ip.to(tcp), tcp.seq);
            }
            if let Some(limit) = self.limit(ip.to(tcp)).filter(|&limit| size > limit)
                && !received.as_ref().is_some_and(|received| self.has_another_mss(received))
            {
                return Err(format!("{} bytes over the client's MSS: {}", size - limit, notation::line(bytes)));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::stand;
    use crate::frame::{Ends, Segment};
    use crate::testing;

    #[test]
    fn it_sees_a_byte_too_many() {
        let engine = testing::engine();
        for (ends, headers) in [(Ends::v4(), 40), (Ends::v6(), 60)] {
            let mut checker = Size::new(1500);
            let [opened, asked] = stand::fetch(&engine, &ends, "/5000");
            assert_eq!(opened.check(&mut checker), Ok(()));
            assert_eq!(asked.check(&mut checker), Ok(()), "fragments may make more than the MSS");
            let mut check = |payload: usize| {
                let mut wrong = asked.clone();
                wrong.sent = vec![Segment::ack(&ends.reversed()).payload(vec![0; payload]).frame()];
                wrong.check(&mut checker).err()
            };
            assert_eq!(check(1500 - headers), None);
            assert!(check(1501 - headers).unwrap().starts_with("1 bytes over the MTU"));
        }
    }

    #[test]
    fn it_sees_a_segment_that_the_client_does_not_take() {
        let engine = testing::engine();
        let mut checker = Size::new(1500);
        let ends = Ends::v4();
        let syn = Segment::syn(&ends).mss(100).frame();
        let mut recorded = stand::Recorded::at(stand::NOW, &engine, syn);
        recorded.sent = vec![Segment::ack(&ends.reversed()).timestamps(1, 2).payload([0; 89]).frame()];
        assert!(recorded.check(&mut checker).unwrap_err().starts_with("1 bytes over the client's MSS"));
    }

    #[test]
    fn a_cookie_with_another_mss_may_be_good_by_chance() {
        let engine = testing::engine();
        let mut checker = Size::new(1500);
        let ends = Ends::v4();
        let opened = stand::Recorded::at(stand::NOW, &engine, Segment::syn(&ends).mss(100).frame());
        assert_eq!(opened.check(&mut checker), Ok(()));
        let cookie = Frame::dissect(&opened.sent[0]).unwrap().tcp().unwrap().1.seq.value();
        let mut check = |changed: u32| {
            let asked = Segment::ack(&ends).ack_number((cookie ^ changed).wrapping_add(1)).payload("GET ");
            let sent = vec![Segment::ack(&ends.reversed()).payload([0; 101]).frame()];
            stand::Recorded { received: asked.frame(), sent, ..opened.clone() }.check(&mut checker).is_ok()
        };
        assert!(check(1 << 29) && check(MSS_BITS));
        assert!(!check(0) && !check(1 << 28));
    }
}
