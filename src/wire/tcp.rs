//! The TCP header (RFC 9293, section 3.1) and the options that are understood here.
//!
//! ```text
//!  0             2             4             8             12     13     14            16            18        20
//! +-------------+-------------+-------------+-------------+------+------+-------------+-------------+---------+-----
//! | source port | dest. port  | sequence    | acknowledg. | len  | flags| window      | checksum    | urgent  | opt.
//! +-------------+-------------+-------------+-------------+------+------+-------------+-------------+---------+-----
//!
//! option:  0 end    1 no-op    2 4 MSS(2)    4 2 SACK permitted    8 10 value(4) echo(4)
//! ```

use core::fmt;

use super::checksum::Sum;
use super::seq::SeqNumber;
use super::{Word, get, set, wide};
use crate::verdict::DropReason;

/// Bytes of a header without options.
pub const HEADER_LEN: usize = 20;

/// Bytes of the most options that a header holds (RFC 9293, section 3.1).
pub const OPTIONS_MAX: usize = 40;

/// Bytes of the most options that are sent here: MSS, SACK-permitted, timestamps and a window scale.
const SENT_OPTIONS_MAX: usize = 4 + TIMESTAMPS_LEN + 4;

/// Room that a header is written in: the longest, to the end of the eight bytes that its last option is in.
pub(crate) const HEADER_ROOM: usize = HEADER_LEN + SENT_OPTIONS_MAX.next_multiple_of(8);

/// Bytes of the timestamps option with two no-ops for alignment, as it is usually sent (RFC 7323, appendix A).
pub(crate) const TIMESTAMPS_LEN: usize = 12;

/// The flags of a segment.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Flags(u8);

impl Flags {
    /// No more data from the sender.
    pub const FIN: Self = Self(0x01);
    /// Synchronize sequence numbers.
    pub const SYN: Self = Self(0x02);
    /// Reset the connection.
    pub const RST: Self = Self(0x04);
    /// Push to the application.
    pub const PSH: Self = Self(0x08);
    /// The acknowledgement field means something.
    pub const ACK: Self = Self(0x10);

    /// The flags of this byte of a header.
    pub const fn new(bits: u8) -> Self {
        Self(bits)
    }

    /// The byte of the header.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// The flags of both.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `other` are set.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Of these flags, those that are in `mask`.
    #[must_use]
    pub const fn masked(self, mask: Self) -> Self {
        Self(self.0 & mask.0)
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [(Flags, &str); 5] =
            [(Flags::SYN, "SYN"), (Flags::FIN, "FIN"), (Flags::RST, "RST"), (Flags::PSH, "PSH"), (Flags::ACK, "ACK")];
        let mut between = "";
        for (_, name) in NAMES.iter().filter(|(flag, _)| self.has(*flag)) {
            write!(f, "{between}{name}")?;
            between = "+";
        }
        Ok(())
    }
}

/// The timestamps option (RFC 7323, section 3).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Timestamps {
    /// The sender's own.
    pub value: u32,
    /// The last one that the sender got from us.
    pub echo: u32,
}

/// The options of a segment, as far as they are understood here.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Options {
    /// The largest segment that the sender takes.
    pub mss: Option<u16>,
    /// The sender would like selective acknowledgements.
    pub sack_permitted: bool,
    /// Timestamps.
    pub timestamps: Option<Timestamps>,
    /// By how many bits the sender would like to scale its windows.
    pub window_scale: Option<u8>,
}

/// The segment or an option is cut off, or a length field contradicts the bytes. A type of its own instead of a
/// [`DropReason`] (fast: no shared place).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Malformed;

impl From<Malformed> for DropReason {
    #[inline]
    fn from(Malformed: Malformed) -> Self {
        Self::TcpMalformed
    }
}

/// The header of a segment. Its first fields are kept as they stand on the wire: most go back unchanged, and not all
/// are read. Those that are next to each other are one number (fast: read and written at once).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    ports: Word,
    /// Flags and window. The length is left out.
    rest: Word,
    /// Sequence number and acknowledgement.
    numbers: u64,
    /// The options.
    pub options: Options,
}

impl Header {
    /// A header with these fields.
    #[inline]
    pub const fn new(
        [source_port, destination_port]: [u16; 2],
        seq: SeqNumber,
        ack: SeqNumber,
        flags: Flags,
        window: u16,
        options: Options,
    ) -> Self {
        let (ports, rest) = (Word::pair(source_port, destination_port), Word::pair(flags.0 as u16, window));
        Self { ports, rest, numbers: wide(Word::new(seq.value()), Word::new(ack.value())), options }
    }

    /// From which port.
    #[inline]
    pub const fn source_port(&self) -> u16 {
        self.ports.first()
    }

    /// To which port.
    #[inline]
    pub const fn destination_port(&self) -> u16 {
        self.ports.second()
    }

    /// Where the payload, or else the next byte of the sender, stands in its stream.
    #[inline]
    pub const fn seq(&self) -> SeqNumber {
        SeqNumber::new(Word(self.numbers as u32).field())
    }

    /// The next byte that the sender expects.
    #[inline]
    pub const fn ack(&self) -> SeqNumber {
        SeqNumber::new(Word((self.numbers >> 32) as u32).field())
    }

    /// SYN, ACK and so on.
    #[inline]
    pub const fn flags(&self) -> Flags {
        Flags(self.rest.first() as u8)
    }

    /// How many bytes the sender takes, as it stands in the header: not scaled.
    #[inline]
    pub const fn window(&self) -> u16 {
        self.rest.second()
    }

    /// Sets the sequence number.
    #[inline]
    #[must_use]
    pub const fn with_seq(self, seq: SeqNumber) -> Self {
        Self { numbers: wide(Word::new(seq.value()), Word::new(self.ack().value())), ..self }
    }

    /// Sets the acknowledgement number.
    #[inline]
    #[must_use]
    pub const fn with_ack(self, ack: SeqNumber) -> Self {
        Self { numbers: wide(Word::new(self.seq().value()), Word::new(ack.value())), ..self }
    }

    /// Adds flags.
    #[inline]
    #[must_use]
    pub const fn with_flags(self, flags: Flags) -> Self {
        Self { rest: Word::pair(self.rest.first() | flags.0 as u16, self.rest.second()), ..self }
    }

    /// Takes flags away.
    #[inline]
    #[must_use]
    pub const fn without_flags(self, flags: Flags) -> Self {
        Self { rest: Word::pair(self.rest.first() & !(flags.0 as u16), self.rest.second()), ..self }
    }

    /// Sets the window.
    #[inline]
    #[must_use]
    pub const fn with_window(self, window: u16) -> Self {
        Self { rest: Word::pair(self.rest.first(), window), ..self }
    }

    /// Splits a segment into header and payload. The checksum is not looked at.
    ///
    /// # Errors
    ///
    /// [`Malformed`]: the segment or an option is cut off, or a length lies.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "fast: inline")]
    pub fn parse(segment: &[u8]) -> Result<(Self, &[u8]), Malformed> {
        let (fixed, _) = segment.split_first_chunk::<HEADER_LEN>().ok_or(Malformed)?;
        let numbers = get::<4, _>(fixed);
        let (ports, rest) = (get::<0, _>(fixed) as u32, get::<12, _>(fixed) as u32);
        let header_len = (rest >> 4 & 0xf) as usize * 4;
        let (header, payload) = segment.split_at_checked(header_len).ok_or(Malformed)?;
        // Fails when the header length is below its own fixed part.
        let options = header.get(HEADER_LEN..).ok_or(Malformed)?;
        let options = Options::parse(options)?;
        Ok((Self { ports: Word(ports), rest: Word(rest & !0xff), numbers, options }, payload))
    }

    /// Bytes of the header: a multiple of 4.
    #[inline]
    pub const fn header_len(&self) -> usize {
        HEADER_LEN + self.options.len()
    }

    /// The header as it is sent, its checksum zero.
    #[inline]
    pub(crate) fn words(&self) -> Words {
        let Options { mss, sack_permitted, timestamps, window_scale } = self.options;
        let no_ops = if sack_permitted { 0x0402 } else { 0x0101 };
        let mss = mss.map(|mss| Word::pair(0x0204, mss));
        let none = Word::ZERO;
        let (options, count) = match (mss, timestamps) {
            (None, Some(Timestamps { value, echo })) => {
                ([wide(Word::pair(no_ops, 0x080a), Word::new(value)), wide(Word::new(echo), none), 0], 3)
            }
            (Some(mss), Some(Timestamps { value, echo })) => {
                let scale = window_scale.map(|shift| Word::pair(0x0103, 0x0300 | u16::from(shift)));
                let count = if scale.is_some() { 5 } else { 4 };
                let [first, second] = [wide(mss, Word::pair(no_ops, 0x080a)), wide(Word::new(value), Word::new(echo))];
                ([first, second, wide(scale.unwrap_or(none), none)], count)
            }
            (Some(mss), None) if sack_permitted => ([wide(mss, Word::pair(no_ops, 0x0101)), 0, 0], 2),
            (Some(mss), None) => ([wide(mss, none), 0, 0], 1),
            (None, None) if sack_permitted => ([wide(Word::pair(no_ops, 0x0101), none), 0, 0], 1),
            (None, None) => ([0; 3], 0),
        };
        let count = HEADER_LEN / 4 + count;
        let Self { ports, numbers, rest: Word(rest), .. } = *self;
        Words { ports, numbers, flags: Word((count as u32) << 4 | rest), options, count }
    }
}

/// A header in the words that it is summed and written in, its checksum zero.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Words {
    ports: Word,
    /// Sequence number and acknowledgement.
    numbers: u64,
    /// Length, flags and window.
    flags: Word,
    /// The options, and zeros behind them.
    options: [u64; SENT_OPTIONS_MAX.div_ceil(8)],
    /// How many words of four bytes the header has.
    count: usize,
}

impl Words {
    /// Bytes of the header.
    #[inline]
    pub(crate) const fn len(&self) -> usize {
        4 * self.count
    }

    /// The sum over all of them.
    #[inline]
    pub(crate) fn sum(&self) -> Sum {
        let [first, second, third] = self.options;
        Sum::new().with_words([self.ports, self.flags]).with_wide([self.numbers, first, second, third])
    }

    /// Writes the header, and zeros behind it.
    #[inline]
    pub(crate) fn emit(&self, checksum: u16, room: &mut [u8; HEADER_ROOM]) {
        let [first, second, third] = self.options;
        set::<0, _>(room, wide(self.ports, Word::ZERO));
        set::<4, _>(room, self.numbers);
        set::<12, _>(room, wide(self.flags, Word::pair(checksum, 0)));
        set::<20, _>(room, first);
        set::<28, _>(room, second);
        set::<36, _>(room, third);
    }
}

impl Options {
    /// Reads the options of a segment: first as nearly all have them, then as they may come.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "fast: inline")]
    #[expect(clippy::redundant_guards, reason = "a guard compares four bytes at once")]
    fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let timestamps =
            |value, echo| Some(Timestamps { value: u32::from_be_bytes(value), echo: u32::from_be_bytes(echo) });
        match bytes.as_chunks() {
            ([], []) => Ok(Self::default()),
            // With timestamps, and nothing else.
            (&[shape, value, echo], []) if shape == [1, 1, 8, 10] => {
                Ok(Self { timestamps: timestamps(value, echo), ..Self::default() })
            }
            // A SYN of Linux, with the scale of its window.
            (&[[2, 4, m0, m1], shape, value, echo, [1, 3, 3, scale]], []) if shape == [4, 2, 8, 10] => {
                let mss = Some(u16::from_be_bytes([m0, m1]));
                let timestamps = timestamps(value, echo);
                Ok(Self { mss, sack_permitted: true, timestamps, window_scale: Some(scale) })
            }
            // Taken apart (fast: no shared place).
            _ => {
                let Self { mss, sack_permitted, timestamps, window_scale } = Self::scan(bytes)?;
                Ok(Self { mss, sack_permitted, timestamps, window_scale })
            }
        }
    }

    /// Walks the option list, wherever options begin in it (RFC 9293, section 3.2): at most 40 bytes, and each step
    /// takes at least one of them.
    #[cold]
    fn scan(bytes: &[u8]) -> Result<Self, Malformed> {
        let (mut mss, mut sack_permitted, mut timestamps, mut window_scale) = (None, false, None, None);
        let mut rest = bytes;
        loop {
            let (kind, length) = match *rest {
                [] | [0, ..] => return Ok(Self { mss, sack_permitted, timestamps, window_scale }),
                [1, ..] => {
                    rest = rest.get(1..).unwrap_or_default();
                    continue;
                }
                [kind, length, ..] if length >= 2 => (kind, usize::from(length)),
                _ => return Err(Malformed),
            };
            let (option, after) = rest.split_at_checked(length).ok_or(Malformed)?;
            rest = after;
            match (kind, option) {
                (2, &[_, _, m0, m1]) => mss = Some(u16::from_be_bytes([m0, m1])),
                (3, &[_, _, scale]) => window_scale = Some(scale),
                (4, &[_, _]) => sack_permitted = true,
                (8, &[_, _, v0, v1, v2, v3, e0, e1, e2, e3]) => {
                    timestamps = Some(Timestamps {
                        value: u32::from_be_bytes([v0, v1, v2, v3]),
                        echo: u32::from_be_bytes([e0, e1, e2, e3]),
                    });
                }
                // RFC 9293, section 3.1: options that are not understood are skipped.
                _ => {}
            }
        }
    }

    /// Bytes that the options take, padded to a multiple of 4. A window scale stands on a SYN+ACK with timestamps only.
    #[inline]
    const fn len(&self) -> usize {
        let scale = if self.window_scale.is_some() && self.timestamps.is_some() { 4 } else { 0 };
        let mss = if self.mss.is_some() { 4 + scale } else { 0 };
        let timestamps = if self.timestamps.is_some() { TIMESTAMPS_LEN } else { 0 };
        let sack = if self.sack_permitted && self.timestamps.is_none() { 4 } else { 0 };
        mss + timestamps + sack
    }
}

/// The SACK blocks of a segment (RFC 2018, section 3), as they stand there: not validated.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct SackBlocks {
    blocks: [(SeqNumber, SeqNumber); Self::MAX],
    len: usize,
}

impl SackBlocks {
    /// As many as 40 bytes of options hold.
    pub(crate) const MAX: usize = 4;

    /// Reads the options of a segment whose header has been parsed.
    pub(crate) fn parse(options: &[u8]) -> Self {
        let mut rest = options;
        loop {
            match *rest {
                [1, ..] => rest = rest.get(1..).unwrap_or_default(),
                [5, length, ..] => {
                    let option = rest.get(2..usize::from(length)).unwrap_or_default();
                    return Self::read(option);
                }
                [kind, length, ..] if kind != 0 && length >= 2 => {
                    rest = rest.get(usize::from(length)..).unwrap_or_default();
                }
                _ => return Self::default(),
            }
        }
    }

    fn read(option: &[u8]) -> Self {
        let mut found = Self::default();
        let (blocks, _) = option.as_chunks::<8>();
        for (slot, &[a, b, c, d, e, f, g, h]) in found.blocks.iter_mut().zip(blocks) {
            *slot =
                (SeqNumber::new(u32::from_be_bytes([a, b, c, d])), SeqNumber::new(u32::from_be_bytes([e, f, g, h])));
            found.len += 1;
        }
        found
    }

    /// Start and end of each, in the order of the option.
    pub(crate) fn as_slice(&self) -> &[(SeqNumber, SeqNumber)] {
        self.blocks.get(..self.len).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec::Vec;

    use super::*;

    fn emit(header: &Header) -> ([u8; HEADER_ROOM], usize) {
        let mut buffer = [1; HEADER_ROOM];
        header.words().emit(0, &mut buffer);
        (buffer, header.words().len())
    }

    fn header(options: Options) -> Header {
        let (seq, ack) = (SeqNumber::new(0x0102_0304), SeqNumber::new(0xfffe_fdfc));
        Header::new([40_000, 80], seq, ack, Flags::SYN.with(Flags::ACK), 64_240, options)
    }

    fn with_options(options: &[u8]) -> Result<Options, Malformed> {
        let (bytes, _) = emit(&header(Options::default()));
        let mut segment: Vec<u8> = bytes[..HEADER_LEN].to_vec();
        segment.extend(options);
        segment.resize(HEADER_LEN + options.len().next_multiple_of(4), 0);
        segment[12] = ((segment.len() / 4) << 4) as u8;
        Header::parse(&segment).map(|(header, _)| header.options)
    }

    #[test]
    fn header_survives_emit_and_parse_with_every_set_of_options() {
        for mss in [None, Some(1460)] {
            for sack_permitted in [false, true] {
                for timestamps in [None, Some(Timestamps { value: 7, echo: 0x8000_0001 })] {
                    // A scale only where a SYN+ACK has one.
                    for window_scale in [None, Some(0), Some(14)]
                        .into_iter()
                        .take(1 + 2 * usize::from(mss.is_some() && timestamps.is_some()))
                    {
                        let header = header(Options { mss, sack_permitted, timestamps, window_scale });
                        let (buffer, len) = emit(&header);
                        let (parsed, payload) = Header::parse(&buffer[..len]).unwrap();
                        assert_eq!((parsed, payload, header.header_len()), (header, &[][..], len));
                        assert_eq!(header.words().sum().finish(), Sum::new().with(&buffer[..len]).finish());
                    }
                }
            }
        }
    }

    #[test]
    fn a_header_length_below_its_fixed_part_or_beyond_the_segment_is_malformed() {
        let (bytes, _) = emit(&header(Options::default()));
        for length in 0..16_u8 {
            let mut segment: [u8; 24] = *bytes.first_chunk().unwrap();
            segment[12] = length << 4;
            let right = length == 5 || length == 6;
            assert_eq!(Header::parse(&segment).is_ok(), right, "{length}");
        }
        assert_eq!(Header::parse(&bytes[..19]), Err(Malformed));
    }

    #[test]
    fn what_is_read_at_a_glance_is_what_a_walk_reads() {
        let syn = [2, 4, 5, 0xb4, 4, 2, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 3, 3, 7];
        let ack = [1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8];
        for options in [&syn[..], &ack, &[]] {
            assert_eq!(Options::parse(options), Options::scan(options), "{options:?}");
        }
        let parsed = Options::parse(&syn).unwrap();
        assert_eq!((parsed.mss, parsed.sack_permitted, parsed.window_scale), (Some(1460), true, Some(7)));
    }

    #[test]
    fn unknown_options_are_skipped() {
        let options = with_options(&[3, 3, 7, 254, 6, 1, 2, 3, 4, 1, 2, 4, 5, 0xb4]).unwrap();
        assert_eq!(options.mss, Some(1460));
    }

    #[test]
    fn nothing_is_read_behind_the_end_of_the_list() {
        assert_eq!(with_options(&[0, 2, 4, 5, 0xb4]), Ok(Options::default()));
    }

    #[test]
    fn an_option_that_lies_about_its_length_is_malformed() {
        assert_eq!(with_options(&[2, 0, 5, 0xb4]), Err(Malformed));
        assert_eq!(with_options(&[2, 1, 5, 0xb4]), Err(Malformed));
        assert_eq!(with_options(&[8, 10, 0, 0]), Err(Malformed));
        assert_eq!(with_options(&[1, 1, 1, 2]), Err(Malformed));
    }

    #[test]
    fn an_option_of_the_wrong_length_for_its_kind_is_skipped() {
        assert_eq!(with_options(&[2, 3, 5, 1]), Ok(Options::default()));
        assert_eq!(with_options(&[4, 4, 0, 0]), Ok(Options::default()));
    }

    #[test]
    fn flags_that_are_set_stay_set() {
        let both = Flags::SYN.with(Flags::ACK);
        assert_eq!([both.with(Flags::ACK), both.with(both)], [both; 2]);
        let header = header(Options::default()).with_flags(Flags::ACK.with(Flags::PSH));
        assert_eq!(header.flags(), both.with(Flags::PSH));
    }

    #[test]
    fn sack_blocks_are_found_behind_other_options_and_not_behind_the_end_of_the_list() {
        let option = [5, 10, 0, 0, 0, 1, 0, 0, 0, 2];
        let found = |ahead: &[u8]| SackBlocks::parse(&[ahead, &option].concat()).as_slice().len();
        assert_eq!([&[][..], &[1, 1], &[254, 2], &[3, 3, 7, 1], &[8, 10, 0, 0, 0, 0, 5, 10, 0, 0]].map(found), [1; 5]);
        // The end of the list, with what could be a length behind it; and an option that has no length.
        assert_eq!([&[0][..], &[0, 2], &[254, 0], &[254, 1]].map(found), [0; 4]);
    }

    #[test]
    fn flags_are_shown_by_their_names() {
        let all = Flags::FIN.with(Flags::SYN).with(Flags::RST).with(Flags::PSH).with(Flags::ACK);
        assert_eq!(std::format!("{all:?}"), "SYN+FIN+RST+PSH+ACK");
        assert_eq!(std::format!("{:?}", Flags::ACK), "ACK");
    }
}
