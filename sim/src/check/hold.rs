//! Who has not got a long reply to its end is not told that its request has come.

use std::net::SocketAddr;

use lethe::wire::seq::SeqNumber;
use lethe::wire::tcp::Flags;

use super::{Checker, Exchange, each_segment, is_probe, keeps_open};
use crate::dissect::Tcp;
use crate::peer::client::Framed;
use crate::recent::Recent;
use crate::stream::Stream;

/// Connections that are remembered; of an older one nothing is said.
const CONNECTIONS_MAX: usize = 4096;

/// A server without timers needs the client's: as long as the client may have to ask for the rest of a reply,
/// some of what it has sent stays unacknowledged. A reply that came in one segment needs no asking for its
/// rest. Whether a client that closes its side has its reply is unknown without timestamps that tell its
/// segments apart: its FIN is acknowledged.
#[derive(Clone, Debug, Default)]
pub struct Hold {
    connections: Recent<(SocketAddr, SocketAddr), Connection, CONNECTIONS_MAX>,
}

#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each tells something else of the connection")]
struct Connection {
    /// Where the reply begins.
    start: SeqNumber,
    /// Where all ends that the client has sent, so far as it was heard.
    asked: SeqNumber,
    /// A segment without PSH ends there: its client has more to send, whose timer will run.
    has_more: bool,
    /// How far the client has acknowledged the reply.
    acknowledged: SeqNumber,
    /// Some of the reply has been sent without the rest.
    is_long: bool,
    /// The timestamp of the first data.
    stamp: Option<u32>,
    /// Others were sent since: they tell segments apart.
    is_clocked: bool,
    /// Where the reply ends, FIN included, once that has been sent.
    end: Option<SeqNumber>,
    /// Where another reply ends, which came in one segment because not all of the request was there.
    whole_end: Option<SeqNumber>,
    /// A FIN alone was sent where the reply begins, because not all of the request was there.
    is_refused: bool,
    /// The timestamp of the last segment of these two kinds, which end the connection.
    ended: Option<u32>,
    /// There was another handshake between the same ports: it is unknown which of the two a segment belongs to,
    /// and nothing is said.
    is_reused: bool,
    /// Where the next reply may begin, on a connection that stays open: several requests may have been answered
    /// together, or the first of them alone,
    next: Vec<SeqNumber>,
    /// and the beginning of this one, until its head tells that.
    head: Stream,
}

impl Hold {
    fn open(&mut self, ends: (SocketAddr, SocketAddr), received: &Tcp<'_>, sent: &Tcp<'_>) {
        let start = sent.seq.advance(1);
        let new = || Connection::new(start, received.seq.advance(1), false);
        let connection = self.connections.get_or_insert_with(ends, new);
        connection.is_reused |= connection.start != start;
    }

    fn look(&mut self, ends: (SocketAddr, SocketAddr), received: &Tcp<'_>, sent: &Tcp<'_>) -> Result<(), String> {
        let Some(connection) = self.connections.get_mut(&ends) else { return Ok(()) };
        // A segment of another connection between the same ports: more is said of it than could be sent.
        if sent.seq.distance_from(connection.start) > REPLY_MAX {
            return Ok(());
        }
        if connection.begin_next(received, sent) || keeps_open(received, sent) {
            return Ok(());
        }
        connection.hear(received);
        let is_fin = sent.flags.has(Flags::FIN);
        let is_whole = is_fin && !sent.payload.is_empty() && sent.seq == connection.start;
        if !sent.payload.is_empty() && !is_fin {
            connection.is_long = true;
        }
        if is_fin && sent.payload.is_empty() && sent.seq == connection.start {
            connection.is_refused = true;
        }
        if is_fin && sent.seq == connection.start {
            connection.ended = sent.timestamps.map(|(value, _)| value);
        }
        // A FIN alone may be for an older connection between the same ports.
        if is_whole {
            connection.whole_end = Some(sent.end());
        } else if is_fin && (!sent.payload.is_empty() || connection.end.is_none()) {
            connection.end = Some(sent.end());
        }
        if let Some((value, _)) = sent.timestamps.filter(|_| !sent.payload.is_empty() && !is_whole) {
            connection.is_clocked |= *connection.stamp.get_or_insert(value) != value;
        }
        let is_received = connection.end.is_some_and(|end| !connection.acknowledged.before(end.rewind(1)))
            || connection.whole_end.is_some_and(|end| [end, end.rewind(1)].contains(&connection.acknowledged))
            || connection.is_refused && connection.acknowledged == connection.start.advance(1)
            // Linux sends what is lost while it reads an ACK, and before it acknowledges what came with it.
            || connection.ended.is_some() && connection.ended == received.timestamps.map(|(_, echo)| echo);
        let closes_unseen = received.flags.has(Flags::FIN) && !connection.is_clocked;
        if connection.is_long
            && !connection.is_reused
            && !is_whole
            && !is_received
            && !closes_unseen
            && !connection.has_more
            && !sent.ack.before(connection.asked)
        {
            return Err("it acknowledges all of a request whose reply is not acknowledged".to_owned());
        }
        Ok(())
    }
}

/// Places that are remembered where the next reply may begin.
const NEXT_MAX: usize = 16;

/// Longer than any head, padding included.
const HEAD_MAX: usize = 4096;

/// Longer than any reply: 2^25 positions of 512 bytes are more, but no test waits for them.
const REPLY_MAX: u32 = 1 << 28;

impl Connection {
    fn new(start: SeqNumber, asked: SeqNumber, is_reused: bool) -> Self {
        Self {
            start,
            asked,
            has_more: false,
            acknowledged: start,
            is_long: false,
            stamp: None,
            is_clocked: false,
            end: None,
            whole_end: None,
            is_refused: false,
            ended: None,
            is_reused,
            next: Vec::new(),
            head: Stream::default(),
        }
    }

    /// Goes on to the next request, once the response to the one before has been acknowledged, of a connection that was
    /// kept open. Tells whether a segment is of a request before.
    fn begin_next(&mut self, received: &Tcp<'_>, sent: &Tcp<'_>) -> bool {
        let is_begun = |next: &&SeqNumber| !received.ack.before(**next);
        if let Some(&next) = self.next.iter().filter(is_begun).max_by_key(|next| next.distance_from(self.start)) {
            *self = Self { asked: received.end(), ..Self::new(next, received.seq, self.is_reused) };
        }
        let at = sent.seq.distance_from(self.start) as usize;
        let keeps_open = at == 0 && keeps_open(received, sent);
        if (self.next.is_empty() || keeps_open) && at < HEAD_MAX && !is_probe(received, sent) {
            if at == 0 && self.head.insert(at, sent.payload).is_err() {
                // To half a header section it said something else of the connection.
                self.head = Stream::default();
            }
            // What changes is for `Stability`.
            let _ = self.head.insert(at, sent.payload);
            // No response to HEAD goes in several segments.
            let response = if keeps_open {
                Some(Framed { len: sent.payload.len(), is_last: false })
            } else {
                Framed::parse(self.head.contiguous(), false).ok().flatten()
            };
            if let Some(response) = response.filter(|response| !response.is_last) {
                let next = self.start.advance(response.len as u32);
                if !self.next.contains(&next) && self.next.len() < NEXT_MAX {
                    self.next.push(next);
                }
                self.head = Stream::default();
                // As if a FIN followed: once it has all of the response, the client has no need to ask for more.
                self.end = Some(next.advance(1));
            }
        }
        sent.seq.before(self.start)
    }

    fn hear(&mut self, received: &Tcp<'_>) {
        if received.end().after(self.asked) {
            self.asked = received.end();
            self.has_more = true;
        }
        let is_last = received.flags.has(Flags::PSH) || received.flags.has(Flags::FIN);
        if received.end() == self.asked && is_last {
            self.has_more = false;
        }
        if received.ack.after(self.acknowledged) {
            self.acknowledged = received.ack;
        }
    }
}

impl Checker for Hold {
    fn name(&self) -> &'static str {
        "hold"
    }

    fn check(&mut self, exchange: &Exchange<'_>) -> Result<(), String> {
        each_segment(exchange, |(ip, received), (_, sent)| {
            let ends = (ip.from(received), ip.to(received));
            if sent.flags.has(Flags::SYN) {
                self.open(ends, received, sent);
                return Ok(());
            }
            if sent.flags.has(Flags::RST) {
                return Ok(());
            }
            self.look(ends, received, sent)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::stand::{self, Recorded};
    use crate::dissect::Frame;
    use crate::frame::{Ends, Segment};
    use crate::testing;

    #[test]
    fn it_sees_a_request_acknowledged_before_its_reply_is() {
        let engine = testing::engine();
        let ends = Ends::v4();
        let [opened, asked] = stand::fetch(&engine, &ends, "/1000");
        let frame = Frame::dissect(&asked.sent[0]).unwrap();
        let sent = frame.tcp().unwrap().1;
        let [start, all] = [sent.seq.value(), sent.ack.value()];
        let server = |seq: u32, ack: u32, len: usize, fin: bool| {
            let segment = if fin { Segment::fin(&ends.reversed()) } else { Segment::ack(&ends.reversed()) };
            segment.seq(seq).ack_number(ack).payload(vec![b'x'; len]).frame()
        };
        let client = |ack: u32| Segment::ack(&ends).seq(all).ack_number(ack).timestamps(9, 9).frame();
        let check = |received: Option<Vec<u8>>, sent: Vec<u8>, checker: &mut Hold| {
            let received = received.unwrap_or(asked.received.clone());
            Recorded { received, sent: vec![sent], ..asked.clone() }.check(checker)
        };
        let mut checker = Hold::default();
        assert_eq!(opened.check(&mut checker), Ok(()));
        assert_eq!(asked.check(&mut checker), Ok(()), "a reply of one segment holds nothing back");
        assert!(check(None, server(start, all, 100, false), &mut checker).is_err());
        assert_eq!(check(None, server(start, all - 1, 100, false), &mut checker), Ok(()));
        assert_eq!(check(Some(client(start + 100)), server(start + 100, all - 1, 100, true), &mut checker), Ok(()));
        let more = Segment::ack(&ends).seq(all).ack_number(start + 199).payload(b"more").frame();
        assert_eq!(check(Some(more), server(start + 199, all + 4, 1, false), &mut checker), Ok(()), "without PSH");
        let last = Segment::ack(&ends).seq(all).ack_number(start + 199).payload(b"more").with(Flags::PSH).frame();
        assert!(check(Some(last), server(start + 199, all + 4, 1, false), &mut checker).is_err());
        let mut checker = Hold::default();
        assert_eq!(opened.check(&mut checker), Ok(()));
        assert!(check(None, server(start, all, 100, false), &mut checker).is_err());
        assert_eq!(check(Some(client(start + 100)), server(start + 100, all - 1, 100, true), &mut checker), Ok(()));
        let early = check(Some(client(start + 199)), server(start + 201, all, 0, false), &mut checker);
        assert!(early.unwrap_err().starts_with("it acknowledges all of a request"));
        assert_eq!(check(Some(client(start + 201)), server(start + 201, all, 0, false), &mut checker), Ok(()));
    }
}
