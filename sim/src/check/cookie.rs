//! Only a client that has shown a valid cookie gets data (design, rules 2 and 3).

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::SocketAddr;

use lethe::cookie::EPOCH_SECONDS;
use lethe::time::Instant;
use lethe::wire::seq::SeqNumber;
use lethe::wire::tcp::Flags;

use super::{Checker, Exchange, GET, MSS_BITS, each_segment, has_other_bits, is_probe, may_be_asked_from};
use crate::dissect::{Frame, Tcp};
use crate::peer::client::Framed;

/// Handshakes that are remembered. Only those of this epoch and the one before matter; with more than
/// this in so short a time the checker cannot tell any more, and stays silent for as long.
const HANDSHAKES_MAX: usize = 1 << 20;

/// Connections that have been given data and are remembered, and timestamps of that data. With one more, the
/// oldest connection is forgotten; of those that are not known nothing is said from then on.
const CONNECTIONS_MAX: usize = 1 << 14;
const STAMPS_MAX: usize = 1 << 20;

/// Remembers each SYN+ACK, and insists that data and FIN go only to one who has shown that they reach it:
///
/// * who acknowledges a SYN+ACK, with the segment that follows the SYN, in the epoch it was made in or the next;
/// * who echoes a timestamp of data that was sent on the connection, or of an ACK that opened it for the next request,
///   however long ago;
/// * who has begun its request at the SYN and acknowledges data that was sent, however long ago;
/// * who says that it has got a probe of ours.
///
/// Without timestamps, where the client stands is told by eleven bits of the cookie only. So one segment in a thousand
/// that acknowledges the SYN+ACK from further on, or from the byte before (a keep-alive probe, or what a smuggler
/// sends), or more than was sent, passes for the first, which is no more than its own sender's loss. A few times in a
/// run nothing is said of that. And to one who has a cookie, it is good with another MSS in it with the same chance:
/// nothing is said where no more than that pass of those that are tried.
///
/// A timestamp of data is the keyed base and what is said of a segment, so one that a network changes in a bit may say
/// the same of another segment. Nothing is said of that either.
///
/// A FIN that is sent blindly may fit the end of a long response, and be answered with ours, which is no larger.
///
/// On a connection that stays open, what a timestamp says is in its low 31 bits: an attacker may change the highest.
/// Where a probe of ours begins is keyed, and its length is not. A request may lack its method, where its client has
/// received segments behind the first of a long response. All else is as narrow as on connections of one request.
#[derive(Clone, Debug, Default)]
pub struct Cookie {
    given: Given,
    handshakes: HashMap<Handshake, u64>,
    /// The handshakes in the order in which they were made.
    order: VecDeque<(Handshake, u64)>,
    /// Some of this epoch were forgotten.
    forgotten: Option<u64>,
    coincidences: u32,
    /// Cookies with another MSS than the one that was given, without timestamps: those that came, and those of them
    /// that drew data.
    changed: HashSet<Handshake>,
    passed: HashSet<Handshake>,
}

/// Where the request begins that this segment is the beginning of. A client that has received segments behind the first
/// of a long response, which acknowledge its method, sends the rest again.
fn begin_of_request(received: &Tcp<'_>) -> SeqNumber {
    let is_rest = received.payload.starts_with(b"/") && !received.sack.is_empty() && received.timestamps.is_some();
    if is_rest { received.seq.rewind(GET.len() as u32) } else { received.seq }
}

/// Whether a FIN is answered with a FIN, as that of a client which has all of a long response. Blindly sent, one of
/// some thousand fits: the residue of an acknowledgement is ten bits.
fn is_end_of_long_response(received: &Tcp<'_>, sent: &Tcp<'_>) -> bool {
    let is_fin = |tcp: &Tcp<'_>| tcp.flags.has(Flags::FIN) && tcp.payload.is_empty() && tcp.timestamps.is_some();
    is_fin(received) && is_fin(sent)
}

/// How often in one run that may be.
const COINCIDENCES_MAX: u32 = 4;

/// One cookie of so many with another MSS may be good; it is one in a thousand, and one more.
const CHANGED_GOOD: usize = 100;

/// With more of them, nothing is said.
const CHANGED_MAX: usize = 1 << 16;

/// The bits of a cookie with the scale, where the client uses timestamps.
const SCALE_BITS: u32 = 7 << 24;

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Handshake {
    client: SocketAddr,
    server: SocketAddr,
    /// What follows the SYN,
    seq: SeqNumber,
    /// and what acknowledges the SYN+ACK.
    ack: SeqNumber,
}

/// What has been sent on each connection.
#[derive(Clone, Debug, Default)]
struct Given {
    connections: HashMap<(SocketAddr, SocketAddr), Connection>,
    order: VecDeque<(SocketAddr, SocketAddr)>,
    stamps: usize,
    has_forgotten: bool,
}

#[derive(Clone, Debug, Default)]
struct Connection {
    /// The timestamps of data.
    stamps: HashSet<u32>,
    /// A response has not said that the connection ends.
    stays_open: bool,
    /// For each handshake, what follows the SYN, what follows the SYN+ACK, and where the data ends.
    streams: Vec<(SeqNumber, SeqNumber, SeqNumber)>,
    /// Probes: where each begins and ends, the oldest first.
    probes: VecDeque<(u32, u32)>,
}

/// Probes of a connection that are remembered. A round trip takes two, and more than some round trips are not
/// under way.
const PROBES_MAX: usize = 1024;

/// Handshakes between the same ports that are remembered: each SYN that is repeated may give one.
const STREAMS_MAX: usize = 64;

impl Given {
    fn open(&mut self, handshake: Handshake) {
        let Handshake { client, server, seq, ack } = handshake;
        let streams = &mut self.connection((client, server)).streams;
        if streams.iter().all(|&(first, start, _)| (first, start) != (seq, ack)) {
            if streams.len() == STREAMS_MAX {
                streams.remove(0);
            }
            streams.push((seq, ack, ack));
        }
    }

    fn send(&mut self, ends: (SocketAddr, SocketAddr), received: &Tcp<'_>, sent: &Tcp<'_>) {
        let connection = self.connection(ends);
        // Of several handshakes of this request, the one that it is nearest to; two may have had the same cookie.
        let mut streams: Vec<_> =
            connection.streams.iter_mut().filter(|(first, ..)| may_be_asked_from(received, *first)).collect();
        let nearest = streams.iter().map(|(_, start, _)| sent.seq.distance_from(*start)).min();
        for (_, start, end) in &mut streams {
            if Some(sent.seq.distance_from(*start)) == nearest && sent.end().after(*end) {
                *end = sent.end();
            }
        }
        connection.stays_open |= matches!(Framed::parse(sent.payload, false), Ok(Some(head)) if !head.is_last);
        self.stamp(ends, sent);
    }

    /// Takes note of the timestamp of a segment: that of data, or of an ACK of all of a request with which its client
    /// may go on. One that only comes back is known.
    fn stamp(&mut self, ends: (SocketAddr, SocketAddr), sent: &Tcp<'_>) {
        let connection = self.connection(ends);
        let is_new = sent.timestamps.is_some_and(|(value, _)| connection.stamps.insert(value));
        self.stamps += usize::from(is_new);
        while self.stamps > STAMPS_MAX {
            self.forget_oldest();
        }
    }

    fn probe(&mut self, ends: (SocketAddr, SocketAddr), sent: &Tcp<'_>) {
        let probes = &mut self.connection(ends).probes;
        if probes.len() == PROBES_MAX {
            probes.pop_front();
        }
        probes.push_back((sent.seq.value(), sent.end().value()));
    }

    fn connection(&mut self, ends: (SocketAddr, SocketAddr)) -> &mut Connection {
        if !self.connections.contains_key(&ends) {
            if self.order.len() == CONNECTIONS_MAX {
                self.forget_oldest();
            }
            self.order.push_back(ends);
        }
        self.connections.entry(ends).or_default()
    }

    fn forget_oldest(&mut self) {
        let oldest = self.order.pop_front().and_then(|oldest| self.connections.remove(&oldest));
        self.stamps -= oldest.map_or(0, |oldest| oldest.stamps.len());
        self.has_forgotten = true;
    }

    /// Whether this segment shows that data has reached its sender, or may for all that is known.
    fn is_shown_by(&self, ends: (SocketAddr, SocketAddr), received: &Tcp<'_>) -> bool {
        let Some(connection) = self.connections.get(&ends) else { return self.has_forgotten };
        // Where a probe begins is what is keyed. How long it was may be wrong, where a network changes packets.
        let is_probe = |(from, _): &(u32, u32)| connection.probes.iter().any(|(start, _)| start == from);
        let repeats = received.sack.first().is_some_and(is_probe);
        // On a connection that stays open, a stamp is the same in both halves of the circle.
        let is_other_half = |echo: u32| connection.stays_open && connection.stamps.contains(&(echo ^ 1 << 31));
        let is_known = |echo: u32| connection.stamps.contains(&echo) || is_other_half(echo);
        let echoes = received.timestamps.is_some_and(|(_, echo)| is_known(echo));
        let acknowledges = |&(first, start, end): &(SeqNumber, SeqNumber, SeqNumber)| {
            received.seq == first && received.ack.after(start) && !received.ack.after(end)
        };
        echoes || repeats || connection.streams.iter().any(acknowledges)
    }

    /// Whether this has the cookie of its client with another MSS in it, and no timestamps, which would tell.
    fn has_another_mss(&self, ends: (SocketAddr, SocketAddr), received: &Tcp<'_>) -> bool {
        let is_changed = |&(first, start, _): &(SeqNumber, SeqNumber, SeqNumber)| {
            received.seq == first && has_other_bits(received, start, MSS_BITS)
        };
        let connection = self.connections.get(&ends).filter(|_| received.timestamps.is_none());
        connection.is_some_and(|connection| connection.streams.iter().any(is_changed))
    }

    /// Whether it echoes a timestamp of data of which a network has changed a bit.
    fn has_changed_echo(&self, ends: (SocketAddr, SocketAddr), received: &Tcp<'_>) -> bool {
        let Some((_, echo)) = received.timestamps else { return false };
        let is_near =
            |connection: &Connection| (0..u32::BITS).any(|bit| connection.stamps.contains(&(echo ^ 1 << bit)));
        self.connections.get(&ends).is_some_and(is_near)
    }

    /// Whether this may be a client without timestamps that has had its SYN+ACK and goes on from there, acknowledges
    /// more than it was sent, or has another scale in its cookie, or whose request comes again with a bit of its
    /// sequence number changed by a network: in the middle of a response, the cookie of each of sixty epochs is good.
    fn may_be_coincidence(&self, ends: (SocketAddr, SocketAddr), received: &Tcp<'_>) -> bool {
        let connection = self.connections.get(&ends).filter(|_| received.timestamps.is_none());
        let Some(connection) = connection else { return false };
        let is_later = |&(first, start, _): &(SeqNumber, SeqNumber, SeqNumber)| {
            let place = received.seq.distance_from(first);
            received.ack == start && ((1..1 << 16).contains(&place) || place == u32::MAX)
        };
        let has_another_scale = |&(first, start, _): &(SeqNumber, SeqNumber, SeqNumber)| {
            received.seq == first && has_other_bits(received, start, SCALE_BITS)
        };
        let has_changed_seq = |&(first, start, end): &(SeqNumber, SeqNumber, SeqNumber)| {
            let differs = received.seq.value() ^ first.value();
            differs.is_power_of_two() && received.ack.after(start) && !received.ack.after(end)
        };
        let is_ahead = |&(first, _, end): &(SeqNumber, SeqNumber, SeqNumber)| {
            received.seq == first && (1..1 << 16).contains(&received.ack.distance_from(end))
        };
        let streams = &connection.streams;
        let may_be =
            |stream| is_later(stream) || is_ahead(stream) || has_another_scale(stream) || has_changed_seq(stream);
        streams.iter().any(may_be)
    }
}

impl Cookie {
    /// Whether a cookie with another MSS may have been good by chance.
    fn may_have_passed(&mut self, changed: Handshake) -> bool {
        self.passed.insert(changed);
        self.changed.len() >= CHANGED_MAX || self.passed.len() <= 1 + self.changed.len() / CHANGED_GOOD
    }

    fn remember(&mut self, handshake: Handshake, epoch: u64) {
        while self.order.front().is_some_and(|&(_, made)| made + 1 < epoch) || self.order.len() >= HANDSHAKES_MAX {
            let Some((oldest, made)) = self.order.pop_front() else { break };
            if self.handshakes.get(&oldest) == Some(&made) {
                self.handshakes.remove(&oldest);
            }
            if made + 1 >= epoch {
                self.forgotten = Some(made);
            }
        }
        self.handshakes.insert(handshake, epoch);
        self.order.push_back((handshake, epoch));
    }

    fn problem(&self, handshake: Handshake, epoch: u64) -> Option<&'static str> {
        if self.forgotten.is_some_and(|forgotten| forgotten + 1 >= epoch) {
            return None;
        }
        match self.handshakes.get(&handshake) {
            Some(made) if made + 1 >= epoch => None,
            Some(_) => Some("data for a cookie that has expired"),
            None => Some("data for a client that has shown no cookie"),
        }
    }
}

impl Checker for Cookie {
    fn name(&self) -> &'static str {
        "cookie"
    }

    fn check(&mut self, exchange: &Exchange<'_>) -> Result<(), String> {
        let epoch = epoch(exchange.now);
        if let Some(frame) = Frame::dissect(exchange.received)
            && let Some((ip, received)) = frame.tcp().filter(|(_, received)| !received.payload.is_empty())
            && let ends = (ip.from(received), ip.to(received))
            && self.given.has_another_mss(ends, received)
            && self.changed.len() < CHANGED_MAX
        {
            self.changed.insert(Handshake { client: ends.0, server: ends.1, seq: received.seq, ack: received.ack });
        }
        let mut is_counted = false;
        each_segment(exchange, |(ip, received), (_, sent)| {
            let (client, server) = (ip.from(received), ip.to(received));
            if sent.flags.has(Flags::SYN) {
                let handshake = Handshake { client, server, seq: received.seq.advance(1), ack: sent.seq.advance(1) };
                self.remember(handshake, epoch);
                self.given.open(handshake);
                return Ok(());
            }
            if sent.payload.is_empty() && !sent.flags.has(Flags::FIN) {
                let echo = received.timestamps.map(|(_, echo)| echo);
                if sent.timestamps.is_some_and(|(value, _)| Some(value) != echo) {
                    self.given.stamp((client, server), sent);
                }
                return Ok(());
            }
            let handshake = Handshake { client, server, seq: begin_of_request(received), ack: received.ack };
            if let Some(problem) = self.problem(handshake, epoch)
                && !self.given.is_shown_by((client, server), received)
                && !self.given.has_changed_echo((client, server), received)
            {
                let is_coincidence = if self.given.has_another_mss((client, server), received) {
                    self.may_have_passed(handshake)
                } else {
                    self.coincidences += u32::from(!is_counted);
                    is_counted = true;
                    let may_be = self.given.may_be_coincidence((client, server), received)
                        || is_end_of_long_response(received, sent);
                    may_be && self.coincidences <= COINCIDENCES_MAX
                };
                if !is_coincidence {
                    return Err(problem.to_owned());
                }
            }
            if is_probe(received, sent) {
                self.given.probe((client, server), sent);
                // A client that is where a check is echoes it.
                self.given.stamp((client, server), sent);
            } else if sent.payload.is_empty() {
                self.given.stamp((client, server), sent);
            } else {
                self.given.send((client, server), received, sent);
            }
            Ok(())
        })
    }
}

const fn epoch(now: Instant) -> u64 {
    now.as_unix_seconds() / EPOCH_SECONDS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::stand::{self, NOW, Recorded};
    use crate::frame::{Ends, Segment};
    use crate::testing;

    #[test]
    fn it_sees_data_for_no_cookie_another_or_an_old_one() {
        let engine = testing::engine();
        let ends = Ends::v4();
        let [opened, asked] = stand::fetch(&engine, &ends, "/10");
        let later = |seconds| Instant::from_unix_seconds(NOW.as_unix_seconds() + seconds);
        let says =
            |result: Result<(), String>| result.err().map(|problem| problem.split(':').next().unwrap().to_owned());

        let mut checker = Cookie::default();
        let unknown = Some("data for a client that has shown no cookie".to_owned());
        assert_eq!(says(asked.check(&mut checker)), unknown);
        assert_eq!(opened.check(&mut checker), Ok(()));
        assert_eq!(asked.check(&mut checker), Ok(()));
        let [_, other] = stand::fetch(&engine, &ends.client_port(40_001), "/10");
        assert_eq!(says(other.check(&mut checker)), unknown);

        let next_epoch = Recorded { now: later(60), ..asked.clone() };
        assert_eq!(next_epoch.check(&mut checker), Ok(()));
        let too_late = Recorded { now: later(120), ..asked };
        assert_eq!(says(too_late.check(&mut checker)), Some("data for a cookie that has expired".to_owned()));
    }

    #[test]
    fn a_few_may_pass_for_the_first_segment_by_coincidence() {
        let engine = testing::engine();
        let ends = Ends::v4();
        let [opened, asked] = stand::fetch(&engine, &ends, "/10");
        let mut checker = Cookie::default();
        assert_eq!(opened.check(&mut checker), Ok(()));
        let frame = Frame::dissect(&asked.received).unwrap();
        let (_, request) = frame.tcp().unwrap();
        let later = Segment::ack(&ends).seq(request.seq.value() + 18).ack_number(request.ack.value());
        let later = Recorded { received: later.payload("GET / HTTP/1.0\r\n\r\n").frame(), ..asked.clone() };
        for _ in 0..COINCIDENCES_MAX {
            assert_eq!(later.check(&mut checker), Ok(()));
        }
        assert!(later.check(&mut checker).is_err());
    }

    #[test]
    fn a_few_cookies_may_be_good_with_another_scale_and_without_timestamps() {
        let engine = testing::engine();
        let ends = Ends::v4();
        let [opened, asked] = stand::fetch(&engine, &ends, "/10");
        let cookie = Frame::dissect(&opened.sent[0]).unwrap().tcp().unwrap().1.seq.value();
        let check = |checker: &mut Cookie, changed: u32| {
            let ack = Segment::ack(&ends).seq(1001).ack_number((cookie ^ changed).wrapping_add(1)).payload("GET");
            Recorded { received: ack.frame(), ..asked.clone() }.check(checker).is_ok()
        };
        let mut checker = Cookie::default();
        assert_eq!(opened.check(&mut checker), Ok(()));
        assert!(!check(&mut checker.clone(), 1 << 23), "that is no scale");
        for _ in 0..COINCIDENCES_MAX {
            assert!(check(&mut checker, 5 << 24));
        }
        assert!(!check(&mut checker, 5 << 24), "too many");
    }

    #[test]
    fn a_few_requests_may_come_again_with_a_changed_sequence_number_in_the_middle_of_a_response() {
        let engine = testing::engine();
        let ends = Ends::v4();
        let [opened, asked] = stand::fetch(&engine, &ends, "/10");
        let sent = Frame::dissect(&asked.sent[0]).unwrap().tcp().unwrap().1.end().rewind(1).value();
        let check = |checker: &mut Cookie, seq: u32| {
            let again = Segment::ack(&ends).seq(seq).ack_number(sent).payload("GET ");
            Recorded { received: again.frame(), ..asked.clone() }.check(checker).is_ok()
        };
        let first = begin_of_request(Frame::dissect(&asked.received).unwrap().tcp().unwrap().1).value();
        let mut checker = Cookie::default();
        assert_eq!([opened.check(&mut checker), asked.check(&mut checker)], [Ok(()), Ok(())]);
        assert!(!check(&mut checker.clone(), first ^ 3), "two bits");
        for bit in 0..COINCIDENCES_MAX {
            assert!(check(&mut checker, first ^ 1 << bit));
        }
        assert!(!check(&mut checker, first ^ 1 << 20), "too many");
    }

    #[test]
    fn of_an_echo_a_network_may_have_changed_a_bit() {
        let engine = testing::engine();
        let ends = Ends::v4();
        let [opened, asked] = stand::fetch(&engine, &ends, "/10");
        let frame = Frame::dissect(&asked.sent[0]).unwrap();
        let (_, sent) = frame.tcp().unwrap();
        let stamp = sent.timestamps.unwrap().0;
        let check = |checker: &mut Cookie, echo: u32| {
            let ack = Segment::ack(&ends).seq(5000).ack_number(sent.seq.value()).timestamps(9, echo);
            Recorded { received: ack.frame(), ..asked.clone() }.check(checker).is_ok()
        };
        let mut checker = Cookie::default();
        assert_eq!(opened.check(&mut checker), Ok(()));
        assert_eq!(asked.check(&mut checker), Ok(()));
        for bit in 0..u32::BITS {
            assert!(check(&mut checker, stamp ^ 1 << bit));
        }
        assert!(!check(&mut checker, stamp ^ 3), "two bits");
    }

    #[test]
    fn of_many_cookies_with_another_mss_one_may_be_good_by_coincidence() {
        let engine = testing::engine();
        let ends = Ends::v4();
        let [opened, _] = stand::fetch(&engine, &ends, "/10");
        let changed = |opened: &Recorded, ends: &Ends, mss: u32| {
            let frame = Frame::dissect(&opened.sent[0]).unwrap();
            let cookie = frame.tcp().unwrap().1.seq.value() ^ mss << 29;
            Segment::ack(ends).seq(1001).ack_number(cookie.wrapping_add(1)).payload("GET").frame()
        };
        let start = Frame::dissect(&opened.sent[0]).unwrap().tcp().unwrap().1.seq.advance(1).value();
        let passed = |checker: &mut Cookie| {
            let data = Segment::ack(&ends.reversed()).seq(start).payload("data").frame();
            [1, 2, 7].map(|mss| {
                let (received, sent) = (changed(&opened, &ends, mss), vec![data.clone()]);
                Recorded { received, sent, ..opened.clone() }.check(checker).is_ok()
            })
        };
        let mut checker = Cookie::default();
        assert_eq!(opened.check(&mut checker), Ok(()));
        assert_eq!(passed(&mut checker), [true, false, false]);
        for port in 1..=CHANGED_GOOD as u16 {
            let other = ends.client_port(port);
            let [opened, _] = stand::fetch(&engine, &other, "/10");
            assert_eq!(opened.check(&mut checker), Ok(()));
            let dropped = Recorded { received: changed(&opened, &other, 4), sent: Vec::new(), ..opened };
            assert_eq!(dropped.check(&mut checker), Ok(()));
        }
        checker.passed.clear();
        assert_eq!(passed(&mut checker), [true, true, false]);
    }

    #[test]
    fn who_shows_that_data_has_come_may_have_more_at_any_time() {
        let engine = testing::engine();
        let ends = Ends::v4();
        let [opened, asked] = stand::fetch(&engine, &ends, "/10");
        let mut checker = Cookie::default();
        assert_eq!(opened.check(&mut checker), Ok(()));
        assert_eq!(asked.check(&mut checker), Ok(()));
        let late = Instant::from_unix_seconds(NOW.as_unix_seconds() + 1000);
        let frame = Frame::dissect(&asked.sent[0]).unwrap();
        let (_, sent) = frame.tcp().unwrap();
        let stamp = sent.timestamps.unwrap().0;
        let mut check = |segment: Segment| {
            let again = Recorded { now: late, received: segment.frame(), ..asked.clone() };
            again.check(&mut checker).is_ok()
        };
        let ack = Segment::ack(&ends).seq(5000).ack_number(sent.seq.value());
        assert!(check(ack.clone().timestamps(9, stamp)), "it echoes our data");
        let syn_ack = Frame::dissect(&opened.sent[0]).unwrap().tcp().unwrap().1.timestamps.unwrap().0;
        assert!(!check(ack.clone().timestamps(9, syn_ack)), "it echoes the SYN+ACK");
        let again = Segment::ack(&ends).seq(1001).payload("GET / HTTP/1.0\r\n\r\n");
        assert!(check(again.clone().ack_number(sent.seq.value() + 5)), "it acknowledges some");
        assert!(!check(again.clone().ack_number(sent.seq.value())), "it acknowledges none");
    }

    #[test]
    fn who_acknowledges_data_behind_the_cookie_of_an_old_connection_may_have_more() {
        let mut checker = Cookie::default();
        for recorded in stand::two_connections() {
            assert_eq!(recorded.check(&mut checker), Ok(()));
        }
        // It acknowledges all of that, which is beyond the start of the old response.
        let [.., last] = stand::two_connections();
        let frame = Frame::dissect(&last.received).unwrap();
        let (_, asked) = frame.tcp().unwrap();
        let again = |ack: SeqNumber| {
            let again = Segment::ack(&Ends::v4()).seq(asked.seq.value()).ack_number(ack.value()).payload("GET ");
            Recorded { received: again.frame(), ..last.clone() }
        };
        let end = asked.ack.advance(1000);
        assert_eq!(again(end).check(&mut checker), Ok(()));
        let ahead = again(end.advance(1));
        assert!((0..COINCIDENCES_MAX).all(|_| ahead.check(&mut checker).is_ok()), "more than there was");
        assert!(ahead.check(&mut checker).is_err(), "too often for chance");
    }

    #[test]
    fn what_it_remembers_of_data_is_bounded() {
        let mut given = Given::default();
        let server = Ends::v4().server;
        for number in 0..=CONNECTIONS_MAX as u32 {
            let client = (std::net::Ipv4Addr::from_bits(number), 1).into();
            given.open(Handshake { client, server, seq: SeqNumber::new(1), ack: SeqNumber::new(1) });
        }
        assert_eq!((given.connections.len(), given.order.len()), (CONNECTIONS_MAX, CONNECTIONS_MAX));
        assert!(given.has_forgotten);
    }

    #[test]
    fn what_it_remembers_is_bounded() {
        let mut checker = Cookie::default();
        let handshake = |number: u32| Handshake {
            client: Ends::v4().client,
            server: Ends::v4().server,
            seq: SeqNumber::new(number),
            ack: SeqNumber::new(1),
        };
        for epoch in 0..4 {
            for number in 0..100 {
                checker.remember(handshake(number), epoch);
            }
        }
        assert_eq!((checker.order.len(), checker.handshakes.len()), (200, 100));
        assert_eq!(checker.problem(handshake(7), 4), None);
        assert!(checker.problem(handshake(7), 5).is_some());
    }
}
