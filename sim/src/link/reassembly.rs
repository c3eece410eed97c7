//! Reassembly of IP fragments at the receiving end of a link (RFC 791, section 3.2; RFC 8200, section 4.5).
//!
//! ```text
//!  fragments of one packet:   0......8......16.....24..        a part that is there already is ignored;
//!                             |  3rd  |  1st  | 2nd |          one that overlaps otherwise condemns the
//!                                               more = 0       packet (RFC 5722)
//! ```

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
    head: Option<Vec<u8>>,
    /// In order of their offsets, and none over another.
    parts: Vec<Part>,
    /// How long the whole is, once its end is there.
    len: Option<usize>,
    /// Its parts contradict each other: the rest of it is waited for only to be thrown away.
    condemned: bool,
}

#[derive(Debug)]
struct Part {
    offset: usize,
    data: Vec<u8>,
}

/// What fragments of one packet have in common.
#[derive(PartialEq, Eq, Debug)]
struct Key {
    addresses: Vec<u8>,
    identification: u32,
    protocol: u8,
}

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
        unfinished.add(&packet, &fragment);
        let whole = unfinished.whole(fragment.protocol)?;
        self.unfinished.remove(index);
        Some(whole)
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
        let parts = Vec::new();
        self.unfinished.push(Unfinished { key, deadline, head: None, parts, len: None, condemned: false });
        self.unfinished.len() - 1
    }
}

impl Unfinished {
    fn add(&mut self, packet: &Packet<'_>, fragment: &Fragment<'_>) {
        let Fragment { offset, more, data, .. } = *fragment;
        let end = offset + data.len();
        let at = self.parts.partition_point(|part| part.offset < offset);
        if self.parts.get(at).is_some_and(|part| part.offset == offset && part.data == data) {
            return;
        }
        let overlaps = at.checked_sub(1).is_some_and(|before| self.parts[before].end() > offset)
            || self.parts.get(at).is_some_and(|part| part.offset < end);
        // Only the last part may have a length that is no multiple of eight, and there is one end.
        let is_odd = more && (data.len() % 8 != 0 || data.is_empty());
        let furthest = self.parts.last().map_or(0, Part::end);
        let contradicts = match self.len {
            Some(len) => end > len || (!more && end != len),
            None => !more && furthest > end,
        };
        if overlaps || is_odd || contradicts || end > PAYLOAD_MAX {
            self.condemned = true;
        }
        if self.condemned {
            self.parts.clear();
            return;
        }
        if !more {
            self.len = Some(end);
        }
        if offset == 0 {
            let header = match packet.ip {
                Ip::V4 { header, .. } => header,
                Ip::V6 { header, .. } => header.as_slice(),
            };
            self.head = Some([packet.link, header].concat());
        }
        self.parts.insert(at, Part { offset, data: data.to_vec() });
    }

    /// The packet as it was before it was cut, if no part of it is missing.
    fn whole(&self, protocol: u8) -> Option<Vec<u8>> {
        let len = self.len?;
        let there: usize = self.parts.iter().map(|part| part.data.len()).sum();
        if there < len {
            return None;
        }
        let head = self.head.as_ref()?;
        let mut frame = Vec::with_capacity(head.len() + len);
        frame.extend_from_slice(head);
        self.parts.iter().for_each(|part| frame.extend_from_slice(&part.data));
        let header_len = if self.key.addresses.len() == 8 { usize::from(head[link_len(head)] & 0xf) * 4 } else { 40 };
        let header = &mut frame[head.len() - header_len..head.len()];
        if header_len == 40 && header[0] >> 4 == 6 {
            header[4..6].copy_from_slice(&(len as u16).to_be_bytes());
            header[6] = protocol;
        } else {
            finish_ipv4(header, len, 0, false);
        }
        Some(frame)
    }
}

impl Part {
    fn end(&self) -> usize {
        self.offset + self.data.len()
    }
}

fn link_len(frame: &[u8]) -> usize {
    if matches!(frame.get(12..14), Some([0x81, 0])) { 18 } else { 14 }
}
