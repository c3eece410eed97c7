//! Corruption: one bit of a frame is turned over.
//!
//! One bit, because that is what a checksum is sure to find: were it several, some frames would pass, and
//! what a client reads could not be judged. In a fragment it is a zero that becomes a one: of those, any
//! fifteen in the packet that is put together are found, while one bit up and the same bit of another word
//! down are not.
//!
//! Sometimes the checksums are made to fit, as by hardware that breaks a packet and then computes them:
//! then anything may be read.
//!
//! Only what stands behind the link header of an IP packet is touched. On a real wire the frame check
//! sequence watches over the rest, and an ARP reply that lies is the client's misfortune: it has no
//! checksum, and a server has no say in how long a client believes it.

use super::packet::{Ip, Packet, mend_ipv4};
use super::{Fate, Frame, Passage, Rule};
use crate::frame::internet_checksum;
use crate::random::{Probability, Random};

pub(super) struct Corruption {
    probability: Probability,
    mend: Probability,
    random: Random,
}

impl Corruption {
    pub(super) fn new(probability: Probability, mend: Probability, random: Random) -> Self {
        Self { probability, mend, random }
    }
}

impl Rule for Corruption {
    fn apply(&mut self, mut frame: Frame, passage: &mut Passage) {
        let packet = Packet::parse(&frame.bytes);
        let found = packet.map(|packet| (packet.link.len(), packet.ip.fragment().is_some()));
        let Some((start, is_fragment)) = found.filter(|_| self.random.chance(self.probability)) else {
            passage.pass(frame);
            return;
        };
        let byte = start + self.random.below((frame.bytes.len() - start) as u64) as usize;
        let drawn = self.random.below(8) as u32;
        let may_turn = |bit: &u32| !is_fragment || frame.bytes[byte] >> bit & 1 == 0;
        let Some(bit) = (drawn..drawn + 8).map(|bit| bit % 8).find(may_turn) else {
            passage.pass(frame);
            return;
        };
        frame.bytes[byte] ^= 1 << bit;
        let mended = self.random.chance(self.mend) && mend(&mut frame.bytes);
        passage.pass_marked(frame, Fate::Corrupted { byte, bit: bit as u8, mended });
    }
}

/// Makes the checksums of a frame fit again, where it is still whole enough to have any.
fn mend(frame: &mut [u8]) -> bool {
    let Some(packet) = Packet::parse_unchecked(frame) else {
        return false;
    };
    let start = packet.link.len();
    let is_fragment = packet.ip.fragment().is_some();
    let (header_len, len, protocol) = match packet.ip {
        Ip::V4 { header, payload } => (header.len(), payload.len(), header[9]),
        Ip::V6 { header, payload } => (header.len(), payload.len(), header[6]),
    };
    let (at, has_pseudo_header) = match protocol {
        6 => (16, true),
        58 => (2, true),
        _ => (2, false),
    };
    let numbers = [[0, protocol], (len as u16).to_be_bytes()].concat();
    let pseudo_header = if has_pseudo_header { [packet.ip.addresses(), &numbers].concat() } else { Vec::new() };
    let (header, rest) = frame[start..].split_at_mut(header_len);
    if header[0] >> 4 == 4 {
        mend_ipv4(header);
    }
    // The checksum of a fragmented packet covers more than can be seen here.
    let Some(payload) = rest.get_mut(..len).filter(|payload| !is_fragment && payload.len() >= at + 2) else {
        return true;
    };
    payload[at..at + 2].fill(0);
    let checksum = internet_checksum([pseudo_header.as_slice(), payload]);
    payload[at..at + 2].copy_from_slice(&checksum.to_be_bytes());
    true
}
