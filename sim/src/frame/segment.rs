//! TCP segments (RFC 9293, section 3.1).

use lethe::wire::tcp::Flags;

use super::packet::pseudo_header;
use super::{Ends, Packet, internet_checksum};

const TCP: u8 = 6;

/// A TCP segment: what is not said is zero, but for the window.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Segment {
    ends: Ends,
    seq: u32,
    ack: u32,
    flags: Flags,
    window: u16,
    urgent: u16,
    options: Vec<u8>,
    payload: Vec<u8>,
    bad_checksum: bool,
    header_len: Option<u8>,
}

impl Segment {
    /// A segment with these flags, and the window that Linux opens with.
    pub const fn new(ends: &Ends, flags: Flags) -> Self {
        Self {
            ends: *ends,
            seq: 0,
            ack: 0,
            flags,
            window: 64_240,
            urgent: 0,
            options: Vec::new(),
            payload: Vec::new(),
            bad_checksum: false,
            header_len: None,
        }
    }

    /// A SYN.
    pub const fn syn(ends: &Ends) -> Self {
        Self::new(ends, Flags::SYN)
    }

    /// An ACK; with a payload it is what data comes in.
    pub const fn ack(ends: &Ends) -> Self {
        Self::new(ends, Flags::ACK)
    }

    /// FIN and ACK.
    pub const fn fin(ends: &Ends) -> Self {
        Self::new(ends, Flags::FIN.with(Flags::ACK))
    }

    /// A RST without ACK.
    pub const fn rst(ends: &Ends) -> Self {
        Self::new(ends, Flags::RST)
    }

    /// Takes all options out.
    #[must_use]
    pub fn without_options(mut self) -> Self {
        self.options.clear();
        self
    }

    /// Adds flags.
    #[must_use]
    pub const fn with(mut self, flags: Flags) -> Self {
        self.flags = self.flags.with(flags);
        self
    }

    /// The sequence number.
    #[must_use]
    pub const fn seq(mut self, seq: u32) -> Self {
        self.seq = seq;
        self
    }

    /// The acknowledgement number. The ACK flag is a matter of [`Segment::new`].
    #[must_use]
    pub const fn ack_number(mut self, ack: u32) -> Self {
        self.ack = ack;
        self
    }

    /// The window, as it stands in the header.
    #[must_use]
    pub const fn window(mut self, window: u16) -> Self {
        self.window = window;
        self
    }

    /// The urgent pointer; the URG flag is bit 0x20.
    #[must_use]
    pub const fn urgent(mut self, urgent: u16) -> Self {
        self.urgent = urgent;
        self
    }

    /// The payload.
    #[must_use]
    pub fn payload(mut self, payload: impl AsRef<[u8]>) -> Self {
        self.payload = payload.as_ref().to_vec();
        self
    }

    /// Appends an option, or anything else, to the options as it is. They hold 40 bytes.
    #[must_use]
    pub fn option(mut self, bytes: &[u8]) -> Self {
        self.options.extend(bytes);
        assert!(self.options.len() <= 40, "TCP options take at most 40 bytes");
        self
    }

    /// Maximum segment size.
    #[must_use]
    pub fn mss(self, mss: u16) -> Self {
        let [high, low] = mss.to_be_bytes();
        self.option(&[2, 4, high, low])
    }

    /// Window scale.
    #[must_use]
    pub fn window_scale(self, shift: u8) -> Self {
        self.option(&[1, 3, 3, shift])
    }

    /// SACK permitted.
    #[must_use]
    pub fn sack_permitted(self) -> Self {
        self.option(&[4, 2])
    }

    /// SACK blocks: each from a sequence number to the one behind it (RFC 2018, section 3).
    #[must_use]
    pub fn sack(self, blocks: &[(u32, u32)]) -> Self {
        let mut option = vec![1, 1, 5, 2 + 8 * blocks.len() as u8];
        for (from, to) in blocks {
            option.extend(from.to_be_bytes());
            option.extend(to.to_be_bytes());
        }
        self.option(&option)
    }

    /// Timestamps, with two no-ops in front if the options would else not be aligned.
    #[must_use]
    pub fn timestamps(self, value: u32, echo: u32) -> Self {
        let aligned = if self.options.len() % 4 == 2 { self } else { self.option(&[1, 1]) };
        let mut option = vec![8, 10];
        option.extend(value.to_be_bytes());
        option.extend(echo.to_be_bytes());
        aligned.option(&option)
    }

    /// The checksum is wrong.
    #[must_use]
    pub const fn bad_checksum(mut self) -> Self {
        self.bad_checksum = true;
        self
    }

    /// The length field says so many words of four bytes, whatever is true.
    #[must_use]
    pub const fn header_words(mut self, words: u8) -> Self {
        self.header_len = Some(words);
        self
    }

    /// The sequence number behind the segment: SYN and FIN count as a byte each.
    pub fn end(&self) -> u32 {
        let flags = u32::from(self.flags.has(Flags::SYN)) + u32::from(self.flags.has(Flags::FIN));
        self.seq.wrapping_add(self.payload.len() as u32).wrapping_add(flags)
    }

    /// The IP packet, to be changed below TCP.
    pub fn packet(&self) -> Packet {
        Packet::new(&self.ends, TCP, self.bytes())
    }

    /// The frame.
    pub fn frame(&self) -> Vec<u8> {
        self.packet().frame()
    }

    fn bytes(&self) -> Vec<u8> {
        let mut options = self.options.clone();
        options.resize(options.len().next_multiple_of(4), 0);
        let words = self.header_len.unwrap_or(5 + (options.len() / 4) as u8);
        let mut bytes = Vec::with_capacity(20 + options.len() + self.payload.len());
        bytes.extend(self.ends.client.port().to_be_bytes());
        bytes.extend(self.ends.server.port().to_be_bytes());
        bytes.extend(self.seq.to_be_bytes());
        bytes.extend(self.ack.to_be_bytes());
        bytes.extend([words << 4, self.flags.bits()]);
        bytes.extend(self.window.to_be_bytes());
        bytes.extend([0, 0]);
        bytes.extend(self.urgent.to_be_bytes());
        bytes.extend(options);
        bytes.extend(&self.payload);
        let pseudo_header = pseudo_header(&self.ends, TCP, bytes.len());
        let checksum = internet_checksum([pseudo_header.as_slice(), &bytes]) ^ u16::from(self.bad_checksum);
        bytes[16..18].copy_from_slice(&checksum.to_be_bytes());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn syn_and_fin_count_as_a_byte_each() {
        let ends = Ends::v4();
        assert_eq!(Segment::syn(&ends).seq(7).end(), 8);
        assert_eq!(Segment::fin(&ends).seq(u32::MAX).payload(b"ab").end(), 2);
        assert_eq!(Segment::rst(&ends).seq(7).end(), 7);
    }

    #[test]
    fn timestamps_are_aligned_whatever_stands_before_them() {
        let ends = Ends::v4();
        for segment in [
            Segment::syn(&ends).timestamps(1, 2),
            Segment::syn(&ends).mss(1460).timestamps(1, 2),
            Segment::syn(&ends).mss(1460).sack_permitted().timestamps(1, 2),
        ] {
            assert_eq!(segment.options.len() % 4, 0);
            assert_eq!(segment.options[segment.options.len() - 8..], [0, 0, 0, 1, 0, 0, 0, 2]);
        }
    }
}
