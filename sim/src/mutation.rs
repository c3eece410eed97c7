//! What can be done to a frame, and to a row of frames: small, and small to write down.
//!
//! A [`Mutation`] is a value, so that a property test can draw it and make it smaller when it has found
//! something; [`Mutation::draw`] draws one from a stream of random numbers where there is no such test.

use crate::dissect::Frame;
use crate::frame::{Ends, Segment};
use crate::random::Random;

/// Something done to one frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mutation {
    /// One bit is another, counted from the beginning as if the frame were a ring. Checksums stay as
    /// they are.
    FlipBit(usize),
    /// One bit is another, and all checksums are made right again, as broken hardware does.
    FlipBitMended(usize),
    /// One byte is this.
    SetByte(usize, u8),
    /// Only so many bytes are left, if there are more.
    Truncate(usize),
    /// So many bytes stand behind it.
    Extend(usize),
    /// The bytes of two places are exchanged.
    Swap(usize, usize),
}

/// No frame is made longer than this by [`Mutation::Extend`].
const EXTEND_MAX: usize = 64;

/// The places in a frame that say what it is: half of all mutations happen there.
const HEADERS_LEN: u64 = 80;

impl Mutation {
    /// Draws one.
    pub fn draw(random: &mut Random) -> Self {
        let place = |random: &mut Random| {
            let limit = *random.pick(&[HEADERS_LEN, 2048]);
            random.below(limit) as usize
        };
        match random.below(6) {
            0 => Self::FlipBit(place(random) * 8 + random.below(8) as usize),
            1 => Self::FlipBitMended(place(random) * 8 + random.below(8) as usize),
            2 => Self::SetByte(place(random), *random.pick(&[0, 1, 0x7f, 0x80, 0xff])),
            3 => Self::Truncate(place(random)),
            4 => Self::Extend(random.below(EXTEND_MAX as u64) as usize),
            _ => Self::Swap(place(random), place(random)),
        }
    }

    /// The frame after it.
    #[must_use]
    pub fn apply(self, frame: &[u8]) -> Vec<u8> {
        let mut frame = frame.to_vec();
        if frame.is_empty() {
            return frame;
        }
        let len = frame.len();
        match self {
            Self::FlipBit(bit) => frame[bit / 8 % len] ^= 1 << (bit % 8),
            Self::FlipBitMended(bit) => {
                frame[bit / 8 % len] ^= 1 << (bit % 8);
                mend(&mut frame);
            }
            Self::SetByte(at, value) => frame[at % len] = value,
            Self::Truncate(to) => frame.truncate(to),
            Self::Extend(by) => frame.resize(len + by.min(EXTEND_MAX), 0),
            Self::Swap(one, other) => frame.swap(one % len, other % len),
        }
        frame
    }
}

/// Makes the checksums of an IP packet and of TCP or ICMP in it right.
pub fn mend(frame: &mut [u8]) {
    let Some((link, is_v4)) = network(frame) else { return };
    let Some(packet) = frame.get_mut(link..) else { return };
    if is_v4 {
        let header_len = usize::from(packet[0] & 15) * 4;
        let Some(header) = packet.get_mut(..header_len).filter(|header| header.len() >= 20) else { return };
        header[10..12].fill(0);
        let checksum = crate::frame::internet_checksum([&*header]);
        header[10..12].copy_from_slice(&checksum.to_be_bytes());
    }
    // Where the checksum of the transport stands, and over what it goes.
    let Some(dissected) = Frame::dissect(frame) else { return };
    let Some(ip) = dissected.ip().filter(|ip| ip.fragment.is_none()) else { return };
    let at = match ip.protocol {
        6 => 16,
        1 | 58 => 2,
        _ => return,
    };
    let start = frame.len() - ip.padding - ip.payload.len();
    let end = frame.len() - ip.padding;
    let (source, destination) = (ip.source, ip.destination);
    let pseudo_header = if ip.protocol == 1 {
        Vec::new()
    } else {
        let ends = Ends::between((source, 0).into(), (destination, 0).into());
        crate::frame::pseudo_header(&ends, ip.protocol, end - start)
    };
    let Some(message) = frame.get_mut(start..end).filter(|message| message.len() >= at + 2) else { return };
    message[at..at + 2].fill(0);
    let checksum = crate::frame::internet_checksum([pseudo_header.as_slice(), message]);
    message[at..at + 2].copy_from_slice(&checksum.to_be_bytes());
}

/// Where the IP header begins, and whether it is IPv4.
fn network(frame: &[u8]) -> Option<(usize, bool)> {
    let link = if frame.get(12..14)? == [0x81, 0x00] { 18 } else { 14 };
    let ether_type = frame.get(link - 2..link)?;
    frame.get(link..link + 20)?;
    match ether_type {
        [0x08, 0x00] => Some((link, true)),
        [0x86, 0xdd] => Some((link, false)),
        _ => None,
    }
}

/// Something done to a row of frames. Places are counted as if the row were a ring.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// A frame is missing.
    Drop(usize),
    /// A frame comes twice: the second time so many frames later.
    Duplicate(usize, usize),
    /// A frame comes so many frames later.
    Delay(usize, usize),
    /// A TCP segment comes in two, cut so many bytes into its payload.
    Split(usize, usize),
    /// A frame is changed.
    Change(usize, Mutation),
}

impl Step {
    /// Does it.
    pub fn apply(self, frames: &mut Vec<Vec<u8>>) {
        let count = frames.len();
        if count == 0 {
            return;
        }
        match self {
            Self::Drop(at) => {
                frames.remove(at % count);
            }
            Self::Duplicate(at, later) => {
                let copy = frames[at % count].clone();
                frames.insert((at % count + 1 + later).min(count), copy);
            }
            Self::Delay(at, later) => {
                let frame = frames.remove(at % count);
                frames.insert((at % count + later).min(count - 1), frame);
            }
            Self::Split(at, place) => {
                if let Some([first, second]) = split(&frames[at % count], place) {
                    frames[at % count] = first;
                    frames.insert(at % count + 1, second);
                }
            }
            Self::Change(at, mutation) => frames[at % count] = mutation.apply(&frames[at % count]),
        }
    }
}

/// The segment in two, as a sender with a smaller MSS would send it; `None` if it has less than two bytes.
fn split(frame: &[u8], place: usize) -> Option<[Vec<u8>; 2]> {
    let dissected = Frame::dissect(frame)?;
    let (ip, tcp) = dissected.tcp()?;
    let ends = Ends {
        client_mac: dissected.source,
        server_mac: dissected.destination,
        client: ip.from(tcp),
        server: ip.to(tcp),
        vlan: dissected.vlan,
    };
    let place = 1 + place % tcp.payload.len().checked_sub(1).filter(|&places| places > 0)?;
    let (first, second) = tcp.payload.split_at(place);
    let whole = Segment::copy_of(&ends, tcp);
    // PSH and FIN belong to the last byte.
    let last = lethe::wire::tcp::Flags::new(!0x09);
    let first =
        Segment::copy_of(&ends, &crate::dissect::Tcp { flags: tcp.flags.masked(last), ..tcp.clone() }).payload(first);
    Some([first.frame(), whole.seq(tcp.seq.advance(place as u32).value()).payload(second).frame()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Icmp;
    use crate::notation;

    fn request(ends: &Ends) -> Vec<u8> {
        Segment::ack(ends).seq(7).timestamps(1, 2).payload(b"GET / HTTP/1.0\r\n\r\n").frame()
    }

    #[test]
    fn a_flipped_bit_shows_in_the_checksum_unless_that_is_mended() {
        for ends in [Ends::v4(), Ends::v6(), Ends::v4().vlan(1)] {
            for good in [request(&ends), Icmp::echo(&ends, 1, 2, b"abc").frame()] {
                let bit = (good.len() - 1) * 8;
                let problem = |frame: &[u8]| Frame::dissect(frame).unwrap().problem();
                assert_eq!(problem(&good), None);
                assert!(problem(&Mutation::FlipBit(bit).apply(&good)).is_some());
                let mended = Mutation::FlipBitMended(bit).apply(&good);
                assert_eq!(problem(&mended), None);
                assert_ne!(mended, good);
            }
        }
    }

    #[test]
    fn a_split_segment_says_the_same_in_two() {
        let ends = Ends::v6();
        let mut frames = vec![Segment::fin(&ends).seq(7).timestamps(1, 2).payload(b"abcde").frame()];
        Step::Split(0, 2).apply(&mut frames);
        let lines: Vec<String> = frames.iter().map(|frame| notation::line(frame)).collect();
        assert_eq!(lines[0], "[fd09::1]:40000 > [fd09::2]:80 ACK seq 7 ack 0 win 64240 <ts 1 2> 3 bytes");
        assert_eq!(lines[1], "[fd09::1]:40000 > [fd09::2]:80 ACK FIN seq 10 ack 0 win 64240 <ts 1 2> 2 bytes");
        Step::Split(1, 7).apply(&mut frames);
        assert_eq!(frames.len(), 3);
        Step::Split(1, 0).apply(&mut frames);
        assert_eq!(frames.len(), 3, "a single byte cannot be split");
    }

    #[test]
    fn rows_are_dropped_from_doubled_and_shuffled() {
        let row = || vec![vec![0], vec![1], vec![2]];
        let after = |step: Step| {
            let mut frames = row();
            step.apply(&mut frames);
            frames.concat()
        };
        assert_eq!(after(Step::Drop(4)), [0, 2]);
        assert_eq!(after(Step::Duplicate(0, 0)), [0, 0, 1, 2]);
        assert_eq!(after(Step::Duplicate(0, 9)), [0, 1, 2, 0]);
        assert_eq!(after(Step::Delay(0, 1)), [1, 0, 2]);
        assert_eq!(after(Step::Delay(0, 9)), [1, 2, 0]);
    }

    #[test]
    fn no_mutation_of_any_frame_is_a_panic() {
        let mut random = Random::from_seed(1);
        for _ in 0..5_000 {
            let mut frame = request(&Ends::v4());
            for _ in 0..random.below(6) {
                frame = Mutation::draw(&mut random).apply(&frame);
            }
            mend(&mut frame);
        }
    }
}
