//! Reassembly of IP fragments at the receiving end of a link (RFC 791, section 3.2; RFC 8200, section 4.5).
//!
//! ```text
//!  fragments of one packet:   0......8......16.....24..        what is there already is ignored; a part
//!                             |  3rd  |  1st  | 2nd |          that overlaps otherwise, or says that the
//!                                               more = 0       end is elsewhere, takes all with it
//! ```
//!
//! As in Linux (`inet_frag_queue_insert`): whether bytes that are there already are the same is not looked
//! at, what was there of a packet is thrown away when its parts contradict each other (RFC 5722), and
//! what still comes begins a new one.

use std::time::Duration;

use lethe::time::Instant;

use super::packet::{Fragment, Ip, Packet, finish_ipv4};
use crate::clock::after;

/// The most packets put together at a time; the oldest makes room. More than a client has replies under
/// way, and few enough to look through.
const PACKETS_MAX: usize = 16;

/// How long the parts of a packet are kept (Linux: `ipfrag_time`).
const PATIENCE: Duration = Duration::from_secs(30);

/// The longest IP payload: its length field has 16 bits.
const PAYLOAD_MAX: usize = u16::MAX as usize;

/// Puts the fragments of IP packets together.
#[derive(Debug, Default)]
pub struct Reassembler {
    /// Oldest first.
    unfinished: Vec<Unfinished>,
}

/// A packet of which parts are there.
#[derive(Debug)]
struct Unfinished {
    key: Key,
    deadline: Instant,
    /// Link and IP header of the first fragment, once that is there.
    head: Option<Head>,
    /// In order of their offsets, and none over another.
    parts: Vec<Part>,
    /// How long the whole is, once its end is there.
    len: Option<usize>,
}

/// What fragments of one packet have in common.
#[derive(PartialEq, Eq, Debug)]
struct Key {
    addresses: Vec<u8>,
    identification: u32,
    protocol: u8,
}

#[derive(Debug)]
struct Head {
    bytes: Vec<u8>,
    /// Bytes of link header.
    link_len: usize,
}

#[derive(Debug)]
struct Part {
    offset: usize,
    data: Vec<u8>,
}

/// Two parts of a packet cannot both be right.
struct Contradiction;

impl Reassembler {
    /// Takes a frame, and gives back what the host behind it gets to see: the frame itself if it holds no
    /// fragment, the whole packet if it holds the last one that was missing, or else nothing.
    pub fn receive(&mut self, now: Instant, frame: Vec<u8>) -> Option<Vec<u8>> {
        let Some(packet) = Packet::parse(&frame) else {
            return Some(frame);
        };
        let Some(fragment) = packet.ip.fragment() else {
            return Some(frame);
        };
        self.unfinished.retain(|packet| now < packet.deadline);
        let index = self.find(now, &packet, &fragment);
        let unfinished = &mut self.unfinished[index];
        let is_wrong = unfinished.add(&packet, &fragment).is_err();
        if !is_wrong && !unfinished.is_complete() {
            return None;
        }
        let unfinished = self.unfinished.remove(index);
        if is_wrong { None } else { unfinished.into_frame() }
    }

    fn find(&mut self, now: Instant, packet: &Packet<'_>, fragment: &Fragment<'_>) -> usize {
        let Fragment { identification, protocol, .. } = *fragment;
        let key = Key { addresses: packet.ip.addresses().to_vec(), identification, protocol };
        if let Some(index) = self.unfinished.iter().position(|other| other.key == key) {
            return index;
        }
        if self.unfinished.len() == PACKETS_MAX {
            self.unfinished.remove(0);
        }
        let deadline = after(now, PATIENCE);
        self.unfinished.push(Unfinished { key, deadline, head: None, parts: Vec::new(), len: None });
        self.unfinished.len() - 1
    }
}

impl Unfinished {
    fn add(&mut self, packet: &Packet<'_>, fragment: &Fragment<'_>) -> Result<(), Contradiction> {
        let Fragment { offset, more, data, .. } = *fragment;
        let end = offset + data.len();
        if !data.is_empty() && self.has(offset, end) {
            return Ok(());
        }
        let at = self.parts.partition_point(|part| part.offset < offset);
        let (before, behind) = self.parts.split_at(at);
        let overlaps = before.last().is_some_and(|part| part.end() > offset)
            || behind.first().is_some_and(|part| part.offset < end);
        // Only the last part may have a length that is no multiple of eight, and there is one end.
        let is_odd = more && (data.len() % 8 != 0 || data.is_empty());
        let furthest = self.parts.last().map_or(0, Part::end);
        let is_beyond = match self.len {
            Some(len) => end > len || (!more && end != len),
            None => !more && furthest > end,
        };
        if overlaps || is_odd || is_beyond || end > PAYLOAD_MAX {
            return Err(Contradiction);
        }
        if !more {
            self.len = Some(end);
        }
        if offset == 0 {
            let header = match packet.ip {
                Ip::V4 { header, .. } => header,
                Ip::V6 { header, .. } => header.as_slice(),
            };
            self.head = Some(Head { bytes: [packet.link, header].concat(), link_len: packet.link.len() });
        }
        self.parts.insert(at, Part { offset, data: data.to_vec() });
        Ok(())
    }

    /// Whether all bytes from `offset` to `end` are there.
    fn has(&self, offset: usize, end: usize) -> bool {
        let grown = self
            .parts
            .iter()
            .fold(offset, |reached, part| if part.offset <= reached { reached.max(part.end()) } else { reached });
        grown >= end
    }

    fn is_complete(&self) -> bool {
        let there: usize = self.parts.iter().map(|part| part.data.len()).sum();
        self.len == Some(there)
    }

    /// The packet as it was before it was cut.
    fn into_frame(self) -> Option<Vec<u8>> {
        let Head { bytes: mut frame, link_len } = self.head?;
        let len = self.len?;
        let header = &mut frame[link_len..];
        if header[0] >> 4 == 4 {
            finish_ipv4(header, len, 0, false);
        } else {
            header[4..6].copy_from_slice(&(len as u16).to_be_bytes());
            header[6] = self.key.protocol;
        }
        frame.reserve_exact(len);
        self.parts.iter().for_each(|part| frame.extend_from_slice(&part.data));
        Some(frame)
    }
}

impl Part {
    fn end(&self) -> usize {
        self.offset + self.data.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::*;
    use crate::frame::{Ends, Packet as Builder};

    const NOW: Instant = Instant::from_unix_seconds(1_780_000_000);
    const ID: u32 = 7;

    fn ends() -> impl Strategy<Value = Ends> {
        prop_oneof![Just(Ends::v4()), Just(Ends::v6()), Just(Ends::v4().vlan(9)), Just(Ends::v6().vlan(9))]
    }

    fn packet(ends: &Ends, len: usize) -> Builder {
        let payload: Vec<u8> = (0..len).map(|at| (at / 8) as u8 ^ at as u8).collect();
        Builder::new(ends, 6, payload).may_be_fragmented()
    }

    /// The packet as it is put together: an IPv4 header still has the identification of its fragments.
    fn whole(builder: &Builder, ends: &Ends) -> Vec<u8> {
        if ends.server.is_ipv4() { builder.clone().fragment(ID, 0, false).frame() } else { builder.frame() }
    }

    fn receive_all(reassembler: &mut Reassembler, frames: impl IntoIterator<Item = Vec<u8>>) -> Vec<Vec<u8>> {
        frames.into_iter().filter_map(|frame| reassembler.receive(NOW, frame)).collect()
    }

    proptest! {
        #[test]
        fn fragments_in_any_order_and_twice_make_one_packet(
            ends in ends(),
            len in 600..9000_usize,
            mtu in 100..560_usize,
            order in any::<Index>(),
            duplicates in prop::collection::vec(any::<Index>(), 0..5),
            shuffle in any::<u64>(),
        ) {
            let builder = packet(&ends, len);
            let mut frames = builder.fragments(ID, mtu);
            let last = frames.swap_remove(order.index(frames.len()));
            frames.extend(duplicates.iter().map(|at| frames[at.index(frames.len())].clone()).collect::<Vec<_>>());
            frames.sort_by_key(|frame| {
                let mut place = crate::random::Random::from_seed(shuffle).fork(&format!("{frame:?}"));
                place.next_u64()
            });
            let mut reassembler = Reassembler::default();
            prop_assert_eq!(receive_all(&mut reassembler, frames), Vec::<Vec<u8>>::new());
            prop_assert_eq!(reassembler.receive(NOW, last), Some(whole(&builder, &ends)));
            prop_assert!(reassembler.unfinished.is_empty());
        }

        #[test]
        fn packets_under_way_together_are_not_mixed(ends in ends(), order in any::<u64>()) {
            let other = ends.client_port(1);
            let mut frames = packet(&ends, 2000).fragments(ID, 576);
            let second = Builder::new(&other, 6, vec![1; 2000]).may_be_fragmented();
            frames.extend(second.fragments(ID + 1, 576));
            frames.sort_by_key(|frame| crate::random::Random::from_seed(order).fork(&format!("{frame:?}")).next_u64());
            let mut got = receive_all(&mut Reassembler::default(), frames);
            got.sort_by_key(|frame| *frame.last().unwrap());
            prop_assert_eq!(got.len(), 2);
            prop_assert!(got.contains(&whole(&packet(&ends, 2000), &ends)));
        }

        #[test]
        fn any_fragments_at_all_do_no_harm(
            ends in ends(),
            parts in prop::collection::vec((0..4_u32, 0..200_u16, any::<bool>(), 0..100_usize), 0..100),
        ) {
            let mut reassembler = Reassembler::default();
            for (id, offset, more, len) in parts {
                let frame = Builder::new(&ends, 6, vec![0; len]).fragment(id, offset * 8, more).frame();
                if let Some(frame) = reassembler.receive(NOW, frame) {
                    prop_assert!(frame.len() <= 201 * 8 + 100 + 60);
                }
                for unfinished in &reassembler.unfinished {
                    prop_assert!(unfinished.parts.windows(2).all(|pair| pair[0].end() <= pair[1].offset));
                }
            }
        }
    }

    #[test]
    fn what_is_no_fragment_passes() {
        for frame in [packet(&Ends::v4(), 100).frame(), packet(&Ends::v6(), 100).frame(), vec![], vec![0xff; 60]] {
            assert_eq!(Reassembler::default().receive(NOW, frame.clone()), Some(frame));
        }
    }

    #[test]
    fn a_fragment_that_overlaps_takes_all_with_it() {
        for ends in [Ends::v4(), Ends::v6()] {
            let builder = packet(&ends, 1000);
            let frames = builder.fragments(ID, 400);
            // From within the first fragment to within the second.
            let overlapping = Builder::new(&ends, 6, vec![9; 392]).fragment(ID, 8, true).frame();
            let mut reassembler = Reassembler::default();
            let attack = [frames[0].clone(), overlapping, frames[1].clone(), frames[2].clone()];
            assert!(receive_all(&mut reassembler, attack).is_empty());
            // Sent again, it is whole after all.
            assert_eq!(receive_all(&mut reassembler, frames), [whole(&builder, &ends)]);
        }
    }

    #[test]
    fn the_first_to_come_wins() {
        for ends in [Ends::v4(), Ends::v6()] {
            let builder = packet(&ends, 1000);
            let frames = builder.fragments(ID, 400);
            let inside = Builder::new(&ends, 6, vec![9; 16]).fragment(ID, 8, true).frame();
            let all = [frames[0].clone(), inside, frames[1].clone(), frames[2].clone()];
            assert_eq!(receive_all(&mut Reassembler::default(), all), [whole(&builder, &ends)]);
        }
    }

    #[test]
    fn parts_are_kept_for_half_a_minute() {
        let frames = packet(&Ends::v4(), 1000).fragments(ID, 576);
        for (seconds, is_whole) in [(29, true), (30, false)] {
            let mut reassembler = Reassembler::default();
            reassembler.receive(NOW, frames[0].clone());
            let later = after(NOW, Duration::from_secs(seconds));
            assert_eq!(reassembler.receive(later, frames[1].clone()).is_some(), is_whole, "{seconds} s");
        }
    }

    #[test]
    fn only_so_many_packets_are_put_together_at_a_time() {
        let first = |id| packet(&Ends::v6(), 1000).fragments(id, 576).swap_remove(0);
        let mut reassembler = Reassembler::default();
        assert!(receive_all(&mut reassembler, (0..100).map(first)).is_empty());
        assert_eq!(reassembler.unfinished.len(), PACKETS_MAX);
        let last = packet(&Ends::v6(), 1000).fragments(99, 576).swap_remove(1);
        assert!(reassembler.receive(NOW, last).is_some());
    }

    #[test]
    fn a_fragment_with_a_wrong_checksum_is_left_to_the_host() {
        let mut frame = packet(&Ends::v4(), 1000).fragments(ID, 576).swap_remove(0);
        frame[24] ^= 1;
        assert_eq!(Reassembler::default().receive(NOW, frame.clone()), Some(frame));
    }
}
