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
use super::ip::{AddressPair, Protocol};
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

/// The timestamps option (RFC 7323, section 3), as it stands in a header (fast: read and written at once).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Timestamps(u64);

impl Timestamps {
    /// The sender's own, and the last one that the sender got from its peer.
    #[inline]
    pub const fn new(value: u32, echo: u32) -> Self {
        Self(wide(Word::new(value), Word::new(echo)))
    }

    /// The sender's own.
    #[inline]
    pub const fn value(self) -> u32 {
        Word(self.0 as u32).field()
    }

    /// The last one that the sender got from us.
    #[inline]
    pub const fn echo(self) -> u32 {
        Word((self.0 >> 32) as u32).field()
    }

    /// Those of an answer: this value, and the sender's own as the echo.
    #[inline]
    #[must_use]
    pub const fn answered_with(self, value: u32) -> Self {
        Self(wide(Word::new(value), Word(self.0 as u32)))
    }

    /// Value and echo exchanged.
    #[inline]
    #[must_use]
    pub const fn reversed(self) -> Self {
        Self(self.0.rotate_left(32))
    }

    /// With this much added to the value.
    #[inline]
    #[must_use]
    pub(crate) const fn advanced(self, by: u32) -> Self {
        Self::new(self.value().wrapping_add(by), self.echo())
    }
}

/// The options that stand on SYNs only.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SynOptions {
    /// The largest segment that the sender takes.
    pub mss: Option<u16>,
    /// The sender would like selective acknowledgements.
    pub sack_permitted: bool,
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
    /// Length, flags and window.
    rest: Word,
    /// Sequence number and acknowledgement.
    numbers: u64,
    /// The timestamps, if there are any.
    pub timestamps: Option<Timestamps>,
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
        timestamps: Option<Timestamps>,
    ) -> Self {
        let len = if timestamps.is_some() { HEADER_LEN + TIMESTAMPS_LEN } else { HEADER_LEN };
        let (ports, rest) = (Word::pair(source_port, destination_port), Word::pair(flags.0 as u16, window));
        let rest = Word(rest.0 | length_bits(len));
        Self { ports, rest, numbers: wide(Word::new(seq.value()), Word::new(ack.value())), timestamps }
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

    /// Adds to the timestamp of the sender, if there is one.
    pub(crate) fn advance_timestamp(&mut self, by: u32) {
        self.timestamps = self.timestamps.map(|timestamps| timestamps.advanced(by));
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
        let (ports, rest) = (Word(get::<0, _>(fixed) as u32), Word(get::<12, _>(fixed) as u32));
        // As nearly all are: with timestamps, and nothing else.
        if let Some((head, payload)) = segment.split_first_chunk::<{ HEADER_LEN + TIMESTAMPS_LEN }>()
            && (rest.0 ^ length_bits(head.len())) & LENGTH == 0
            && get::<20, _>(head) as u32 == TIMESTAMPS_SHAPE
        {
            let timestamps = Some(Timestamps(get::<24, _>(head)));
            return Ok((Self { ports, rest, numbers, timestamps }, payload));
        }
        let (header, payload) = segment.split_at_checked(header_len(rest)).ok_or(Malformed)?;
        // Fails when the header length is below its own fixed part.
        let options = header.get(HEADER_LEN..).ok_or(Malformed)?;
        let timestamps = match options.first_chunk() {
            None if options.is_empty() => None,
            Some(options) if header.len() == HEADER_LEN + options.len() && is_usual_syn(options) => {
                Some(Timestamps(get::<8, _>(options)))
            }
            _ => scan(options)?.0,
        };
        Ok((Self { ports, rest, numbers, timestamps }, payload))
    }

    /// Bytes of the header: a multiple of 4.
    #[inline]
    pub const fn header_len(&self) -> usize {
        header_len(self.rest)
    }

    /// The header as it is sent, its checksum zero.
    #[inline]
    pub(crate) const fn words(&self) -> Words {
        let Self { ports, numbers, rest: Word(rest), timestamps } = *self;
        let (len, options) = match timestamps {
            Some(Timestamps(both)) => {
                (HEADER_LEN + TIMESTAMPS_LEN, [TIMESTAMPS_SHAPE as u64 | both << 32, both >> 32, 0])
            }
            None => (HEADER_LEN, [0; 3]),
        };
        Words { ports, numbers, flags: rest as u64, options, len }
    }

    /// The header of a SYN+ACK with these options. A window scale stands beside timestamps only.
    #[inline]
    pub(crate) const fn syn_words(&self, mss: u16, sack_permitted: bool, window_scale: Option<u8>) -> Words {
        let (mss, no_ops) = (Word::pair(0x0204, mss), if sack_permitted { 0x0402 } else { 0x0101 });
        let none = Word::ZERO;
        match (self.timestamps, window_scale) {
            (Some(Timestamps(both)), None) => {
                self.words_with(HEADER_LEN + 16, [wide(mss, Word::pair(no_ops, 0x080a)), both, 0])
            }
            (Some(Timestamps(both)), Some(shift)) => {
                let scale = wide(Word::pair(0x0103, 0x0300 | shift as u16), none);
                self.words_with(HEADER_LEN + 20, [wide(mss, Word::pair(no_ops, 0x080a)), both, scale])
            }
            (None, _) if sack_permitted => {
                self.words_with(HEADER_LEN + 8, [wide(mss, Word::pair(no_ops, 0x0101)), 0, 0])
            }
            (None, _) => self.words_with(HEADER_LEN + 4, [wide(mss, none), 0, 0]),
        }
    }

    #[inline]
    const fn words_with(&self, len: usize, options: [u64; 3]) -> Words {
        let Self { ports, numbers, rest: Word(rest), .. } = *self;
        Words { ports, numbers, flags: (rest & !LENGTH | length_bits(len)) as u64, options, len }
    }
}

/// The length of a header, in its third word.
const LENGTH: u32 = 0xf0;

/// A length in bytes, as it stands in the third word of a header.
const fn length_bits(len: usize) -> u32 {
    (len as u32 / 4) << 4
}

/// Bytes of the header with this third word.
const fn header_len(Word(rest): Word) -> usize {
    ((rest & LENGTH) >> 2) as usize
}

/// How options begin that are nothing but timestamps: two no-ops, kind and length.
const TIMESTAMPS_SHAPE: u32 = u32::from_le_bytes([1, 1, 8, 10]);

/// A header in the words that it is summed and written in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Words {
    ports: Word,
    /// Sequence number and acknowledgement.
    numbers: u64,
    /// Length, flags, window and checksum.
    flags: u64,
    /// The options, and zeros behind them.
    options: [u64; SENT_OPTIONS_MAX.div_ceil(8)],
    /// Bytes of the header.
    len: usize,
}

impl Words {
    /// Bytes of the header.
    #[inline]
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// The sum over all of them.
    #[inline]
    pub(crate) fn sum(&self) -> Sum {
        let (wide, words) = self.summed();
        Sum::of_headers([], wide, words)
    }

    /// The sum over all of them, and the pseudo-header of a segment of this length.
    #[inline]
    pub(crate) fn sum_between(&self, addresses: AddressPair, length: usize) -> Sum {
        let (wide, words) = self.summed();
        addresses.pseudo_header_and(Protocol::TCP, length, wide, words)
    }

    /// What there is to sum: eight bytes at a time, and the other words.
    #[inline]
    const fn summed(&self) -> ([u64; 5], u64) {
        let ([first, second, third], Word(ports)) = (self.options, self.ports);
        ([self.numbers, self.flags, first, second, third], ports as u64)
    }

    /// Sets the checksum.
    #[inline]
    #[must_use]
    pub(crate) const fn with_checksum(self, checksum: u16) -> Self {
        Self { flags: wide(Word(self.flags as u32), Word::pair(checksum, 0)), ..self }
    }

    /// Writes the header, and zeros behind it.
    #[inline]
    pub(crate) fn emit(&self, room: &mut [u8; HEADER_ROOM]) {
        let [first, second, third] = self.options;
        set::<0, _>(room, wide(self.ports, Word::ZERO));
        set::<4, _>(room, self.numbers);
        set::<12, _>(room, self.flags);
        set::<20, _>(room, first);
        set::<28, _>(room, second);
        set::<36, _>(room, third);
    }
}

/// Whether these are the options of a SYN of Linux.
#[inline]
fn is_usual_syn(options: &[u8; 20]) -> bool {
    // Kinds and lengths; not the MSS, the timestamps and the scale.
    let (first, last) = (get::<0, _>(options), get::<12, _>(options) >> 32);
    (first ^ u64::from_le_bytes([2, 4, 0, 0, 4, 2, 8, 10])) & 0xffff_ffff_0000_ffff
        | (last ^ u64::from(u32::from_le_bytes([1, 3, 3, 0]))) & 0x00ff_ffff
        == 0
}

impl SynOptions {
    /// Reads the options of a SYN, whose header has been parsed: first as nearly all have them, then as they may come.
    #[inline]
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        match bytes.first_chunk() {
            Some(options) if bytes.len() == options.len() && is_usual_syn(options) => {
                let [_, _, m0, m1, .., scale] = *options;
                Self { mss: Some(u16::from_be_bytes([m0, m1])), sack_permitted: true, window_scale: Some(scale) }
            }
            _ => scan(bytes).map_or(Self::default(), |(_, options)| options),
        }
    }
}

/// Walks the option list, wherever options begin in it (RFC 9293, section 3.2): at most 40 bytes, and each step takes
/// at least one of them.
#[cold]
fn scan(bytes: &[u8]) -> Result<(Option<Timestamps>, SynOptions), Malformed> {
    let (mut timestamps, mut found) = (None, SynOptions::default());
    let mut rest = bytes;
    loop {
        let (kind, length) = match *rest {
            [] | [0, ..] => return Ok((timestamps, found)),
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
            (2, &[_, _, m0, m1]) => found.mss = Some(u16::from_be_bytes([m0, m1])),
            (3, &[_, _, scale]) => found.window_scale = Some(scale),
            (4, &[_, _]) => found.sack_permitted = true,
            (8, &[_, _, ref both @ ..]) if let Some(both) = both.as_array() => {
                timestamps = Some(Timestamps(u64::from_le_bytes(*both)));
            }
            // RFC 9293, section 3.1: options that are not understood are skipped.
            _ => {}
        }
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

    fn emit(words: Words) -> ([u8; HEADER_ROOM], usize) {
        let mut buffer = [1; HEADER_ROOM];
        words.emit(&mut buffer);
        (buffer, words.len())
    }

    fn header(timestamps: Option<Timestamps>) -> Header {
        let (seq, ack) = (SeqNumber::new(0x0102_0304), SeqNumber::new(0xfffe_fdfc));
        Header::new([40_000, 80], seq, ack, Flags::SYN.with(Flags::ACK), 64_240, timestamps)
    }

    /// What is read of a segment with these options.
    fn with_options(options: &[u8]) -> Result<(Option<Timestamps>, SynOptions), Malformed> {
        let (bytes, _) = emit(header(None).words());
        let mut segment: Vec<u8> = bytes[..HEADER_LEN].to_vec();
        segment.extend(options);
        segment.resize(HEADER_LEN + options.len().next_multiple_of(4), 0);
        segment[12] = ((segment.len() / 4) << 4) as u8;
        let (header, _) = Header::parse(&segment)?;
        Ok((header.timestamps, SynOptions::parse(&segment[HEADER_LEN..header.header_len()])))
    }

    /// Whether what is written of a header is read, and its sum is right.
    fn survives(header: Header, words: Words) -> SynOptions {
        let (buffer, len) = emit(words);
        let (parsed, payload) = Header::parse(&buffer[..len]).unwrap();
        assert_eq!((parsed.timestamps, payload, parsed.header_len()), (header.timestamps, &[][..], len));
        let fields = |header: Header| (header.seq(), header.ack(), header.flags(), header.window());
        assert_eq!(fields(parsed), fields(header));
        assert_eq!((parsed.source_port(), parsed.destination_port()), (40_000, 80));
        assert_eq!(words.sum().finish(), Sum::new().with(&buffer[..len]).finish());
        SynOptions::parse(&buffer[HEADER_LEN..len])
    }

    #[test]
    fn header_survives_emit_and_parse_with_every_set_of_options() {
        for timestamps in [None, Some(Timestamps::new(7, 0x8000_0001))] {
            let header = header(timestamps);
            assert_eq!(survives(header, header.words()), SynOptions::default());
            let (buffer, len) = emit(header.words());
            assert_eq!(Header::parse(&buffer[..len]), Ok((header, &[][..])));
            for sack_permitted in [false, true] {
                // A scale only beside timestamps.
                for window_scale in [None, Some(0), Some(14)].into_iter().take(if timestamps.is_some() { 3 } else { 1 })
                {
                    let found = survives(header, header.syn_words(1460, sack_permitted, window_scale));
                    assert_eq!(found, SynOptions { mss: Some(1460), sack_permitted, window_scale });
                }
            }
        }
    }

    #[test]
    fn timestamps_are_answered_with_those_that_came() {
        let theirs = Timestamps::new(7, 9);
        assert_eq!((theirs.value(), theirs.echo()), (7, 9));
        assert_eq!(theirs.reversed(), Timestamps::new(9, 7));
        assert_eq!(theirs.answered_with(3), Timestamps::new(3, 7));
        assert_eq!(theirs.advanced(u32::MAX), Timestamps::new(6, 9));
    }

    #[test]
    fn a_header_length_below_its_fixed_part_or_beyond_the_segment_is_malformed() {
        let (bytes, _) = emit(header(None).words());
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
            assert_eq!(with_options(options), scan(options), "{options:?}");
            // With a bit that is not as it should be.
            for bit in 0..8 * options.len() {
                let mut other = options.to_vec();
                other[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(with_options(&other), scan(&other), "{other:?}");
            }
        }
        let (timestamps, parsed) = with_options(&syn).unwrap();
        assert_eq!((parsed.mss, parsed.sack_permitted, parsed.window_scale), (Some(1460), true, Some(7)));
        assert_eq!(timestamps, Some(Timestamps::new(0x0102_0304, 0x0506_0708)));
    }

    #[test]
    fn unknown_options_are_skipped() {
        let (_, options) = with_options(&[3, 3, 7, 254, 6, 1, 2, 3, 4, 1, 2, 4, 5, 0xb4]).unwrap();
        assert_eq!(options.mss, Some(1460));
    }

    const NOTHING: (Option<Timestamps>, SynOptions) =
        (None, SynOptions { mss: None, sack_permitted: false, window_scale: None });

    #[test]
    fn nothing_is_read_behind_the_end_of_the_list() {
        assert_eq!(with_options(&[0, 2, 4, 5, 0xb4]), Ok(NOTHING));
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
        assert_eq!(with_options(&[2, 3, 5, 1]), Ok(NOTHING));
        assert_eq!(with_options(&[4, 4, 0, 0]), Ok(NOTHING));
    }

    #[test]
    fn flags_that_are_set_stay_set() {
        let both = Flags::SYN.with(Flags::ACK);
        assert_eq!([both.with(Flags::ACK), both.with(both)], [both; 2]);
        let header = header(None).with_flags(Flags::ACK.with(Flags::PSH));
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
