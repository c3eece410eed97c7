//! The database file, which maps IPv4 addresses to places.
//!
//! Numbers are little-endian. The sections follow one another without gaps.
//!
//! | bytes        | what                                                                        |
//! |--------------|-----------------------------------------------------------------------------|
//! | 8            | magic, `LETHE-IP`                                                           |
//! | 4            | version of the format: 1                                                    |
//! | 4            | R, the number of ranges                                                     |
//! | 4            | P, the number of places                                                     |
//! | 4            | T, the bytes of text                                                        |
//! | 4 × 65,537   | index: for h = 0 … 65,536, how many ranges begin below the address h × 2¹⁶  |
//! | 4 × R        | ranges, ascending: low half of the first address (bits 31–16), place (15–0) |
//! | 4 × (3P + 1) | names: where in the text each one begins, and where the last one ends       |
//! | T            | text, UTF-8: country, province, city of place 0, then of place 1, and so on |
//! | 4            | CRC-32 of everything before it                                              |
//!
//! A range ends where the next one begins, and the first begins at 0.0.0.0. Any name may be empty, and
//! a place of three empty names stands for "not known".
//!
//! A lookup reads the index at the high half of the address, and does a binary search among the ranges that begin under
//! that half. If none of them begins at or below the address, the address is in the range before them in the array,
//! which began under a lower half. So ranges need not be split at multiples of 2¹⁶.

use std::fmt;
use std::net::Ipv4Addr;
use std::ops::Range;

use thiserror::Error;

use crate::ContainerError;
use crate::container::{Format, check_len, put_u32, u32_at};

/// The version of the format that is read and written here.
pub const VERSION: u32 = 1;

/// The database that comes with Lethe; `data/README.md` tells its origin.
static EMBEDDED: &[u8] = include_bytes!("../../data/ipinfo.db");

/// Maps IPv4 addresses to places. Lookups cannot fail.
#[derive(Clone, Copy)]
pub struct Database<'a> {
    index: &'a [Word; INDEX_LEN],
    ranges: &'a [Word],
    names: &'a [Word],
    text: &'a str,
}

impl Database<'static> {
    /// The database that comes with Lethe.
    pub fn embedded() -> Self {
        Self::open(EMBEDDED).expect("a database that the tests open")
    }
}

impl<'a> Database<'a> {
    /// Opens the contents of a database file, and checks all of it.
    ///
    /// # Errors
    ///
    /// The first error found. Damage in transit or on disk shows in the length or in a checksum; the other errors mean
    /// that the program that wrote the file is faulty.
    pub fn open(bytes: &'a [u8]) -> Result<Self, OpenError> {
        let database = Self::split(bytes)?;
        database.check_index()?;
        database.check_ranges()?;
        database.check_places()?;
        Ok(database)
    }

    /// The place of an address, if it is known.
    #[inline]
    pub fn lookup(&self, address: Ipv4Addr) -> Option<Place<'a>> {
        self.find(address).map(|place| self.place(place))
    }

    /// The number of the place of an address, if it is known.
    #[inline]
    pub(super) fn find(&self, address: Ipv4Addr) -> Option<usize> {
        let [high, low] = halves(address.to_bits());
        let under = self.under(high);
        let below = self.ranges[under.clone()].partition_point(|&range| first_low(range) <= low);
        // The first range begins at 0.0.0.0, so there is always one at or below the address.
        let place = place_id(self.ranges[under.start + below - 1]);
        (!self.is_unknown(place)).then_some(place)
    }

    /// All places, in the order of their numbers.
    pub(super) fn places(&self) -> impl Iterator<Item = Place<'a>> {
        (0..self.place_count()).map(|place| self.place(place))
    }

    /// All ranges in ascending order: first address, and place if it is known.
    pub fn ranges(&self) -> impl Iterator<Item = (Ipv4Addr, Option<Place<'a>>)> {
        (0..=u16::MAX).flat_map(move |high| {
            self.ranges[self.under(high)].iter().map(move |&range| {
                let first = u32::from(high) << 16 | u32::from(first_low(range));
                (Ipv4Addr::from_bits(first), self.place_of(range))
            })
        })
    }

    /// The number of ranges.
    pub const fn range_count(&self) -> usize {
        self.ranges.len()
    }

    /// The number of places.
    pub const fn place_count(&self) -> usize {
        self.names.len() / NAMES
    }

    /// The ranges that begin at an address with this high half.
    fn under(&self, high: u16) -> Range<usize> {
        let high = usize::from(high);
        number(self.index[high])..number(self.index[high + 1])
    }

    /// The place of a range, when it is known.
    fn place_of(&self, range: Word) -> Option<Place<'a>> {
        let place = self.place(place_id(range));
        (!place.is_empty()).then_some(place)
    }

    /// Whether a place has no name.
    fn is_unknown(&self, place: usize) -> bool {
        self.names[NAMES * place] == self.names[NAMES * place + NAMES]
    }

    fn place(&self, id: usize) -> Place<'a> {
        let first = NAMES * id;
        let [country, province, city] = [first, first + 1, first + 2].map(|at| &self.text[self.name(at)]);
        Place { country, province, city }
    }

    /// The bytes of a name in the text.
    fn name(&self, at: usize) -> Range<usize> {
        number(self.names[at])..number(self.names[at + 1])
    }

    /// Checks header, length and checksum, and splits the sections.
    fn split(bytes: &'a [u8]) -> Result<Self, OpenError> {
        const CHECKED: &str = "the length is right";
        let header = Header::parse(bytes)?;
        check_len(bytes, header.file_len())?;
        let (contents, checksum) = bytes.split_last_chunk().expect(CHECKED);
        let (actual, expected) = (crc32fast::hash(contents), u32::from_le_bytes(*checksum));
        if actual != expected {
            return Err(OpenError::Checksum { actual, expected });
        }
        let (numbers, text) = contents.split_at(contents.len() - header.text as usize);
        let (words, _) = numbers[HEADER_LEN..].as_chunks();
        let (index, words) = words.split_first_chunk().expect(CHECKED);
        let (ranges, names) = words.split_at(header.ranges as usize);
        let text = str::from_utf8(text).map_err(|error| OpenError::Text { at: error.valid_up_to() })?;
        Ok(Self { index, ranges, names, text })
    }

    fn check_index(&self) -> Result<(), OpenError> {
        let [first, .., last] = self.index;
        let ascends = self.index.is_sorted_by_key(|&entry| number(entry));
        if ascends && number(*first) == 0 && number(*last) == self.ranges.len() {
            Ok(())
        } else {
            Err(OpenError::Index)
        }
    }

    fn check_ranges(&self) -> Result<(), OpenError> {
        for high in 0..=u16::MAX {
            let ranges = &self.ranges[self.under(high)];
            let begins = high > 0 || ranges.first().is_some_and(|&range| first_low(range) == 0);
            if !begins || !ranges.is_sorted_by(|&a, &b| first_low(a) < first_low(b)) {
                return Err(OpenError::Ranges { high });
            }
        }
        let places = self.place_count();
        match self.ranges.iter().position(|&range| place_id(range) >= places) {
            Some(range) => Err(OpenError::PlaceOfRange { range, places }),
            None => Ok(()),
        }
    }

    fn check_places(&self) -> Result<(), OpenError> {
        let is_wrong = |&place: &usize| {
            let first = NAMES * place;
            let in_text = (first..first + NAMES).all(|at| self.text.get(self.name(at)).is_some());
            !in_text || self.place(place).len() > Place::MAX_LEN
        };
        match (0..self.place_count()).find(is_wrong) {
            Some(place) => Err(OpenError::Names { place }),
            None => Ok(()),
        }
    }
}

/// A database that owns its memory, so that a server can replace it.
pub(super) struct Owned {
    index: Box<[Word; INDEX_LEN]>,
    ranges: Box<[Word]>,
    names: Box<[Word]>,
    text: Box<str>,
}

impl Owned {
    /// A view of it, for lookups.
    #[inline]
    pub(super) fn database(&self) -> Database<'_> {
        Database { index: &self.index, ranges: &self.ranges, names: &self.names, text: &self.text }
    }
}

impl From<Database<'_>> for Owned {
    fn from(database: Database<'_>) -> Self {
        let Database { index, ranges, names, text } = database;
        Self { index: Box::new(*index), ranges: ranges.into(), names: names.into(), text: text.into() }
    }
}

impl fmt::Debug for Database<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database").field("ranges", &self.range_count()).field("places", &self.place_count()).finish()
    }
}

/// A geographic place. Unknown parts are empty.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct Place<'a> {
    /// The country.
    pub country: &'a str,
    /// The province.
    pub province: &'a str,
    /// The city.
    pub city: &'a str,
}

impl<'a> Place<'a> {
    /// The most bytes of all names of a place, so that the page about it fits a segment: twice those of the longest in
    /// the embedded database.
    pub const MAX_LEN: usize = 84;

    /// The names, from the country down.
    pub const fn names(&self) -> [&'a str; NAMES] {
        [self.country, self.province, self.city]
    }

    /// The bytes of all names.
    pub const fn len(&self) -> usize {
        self.country.len() + self.province.len() + self.city.len()
    }

    /// Whether it has no name.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What is wrong with a database file.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum OpenError {
    /// What any file may suffer: another file, another version, a wrong length.
    #[error("{}", FORMAT.describe(*.0))]
    Container(ContainerError),
    /// The checksum in it is not that of its contents.
    #[error("damaged: the checksum of the contents is {actual:08x}, and {expected:08x} in the file")]
    Checksum {
        /// The checksum of the contents.
        actual: u32,
        /// The checksum at the end of the file.
        expected: u32,
    },
    /// The text is not UTF-8.
    #[error("the names are not UTF-8, from byte {at} of the text")]
    Text {
        /// The first byte that is wrong.
        at: usize,
    },
    /// The index does not ascend from 0 to the number of ranges.
    #[error("the index is out of order")]
    Index,
    /// Ranges do not ascend, or the first one does not begin at 0.0.0.0.
    #[error("the ranges that begin in {}/16 are out of order", Ipv4Addr::from_bits(u32::from(*high) << 16))]
    Ranges {
        /// The high half of their first addresses.
        high: u16,
    },
    /// A range has a place that does not exist.
    #[error("range {range} has none of the {places} places")]
    PlaceOfRange {
        /// The position of the range.
        range: usize,
        /// The number of places.
        places: usize,
    },
    /// The names of a place lie outside of the text, cut a character in two, or are too long.
    #[error("the names of place {place} are not in the text, or longer than {} bytes", Place::MAX_LEN)]
    Names {
        /// The position of the place.
        place: usize,
    },
}

impl From<ContainerError> for OpenError {
    fn from(error: ContainerError) -> Self {
        Self::Container(error)
    }
}

const FORMAT: Format =
    Format { magic: b"LETHE-IP", version: VERSION, file: "a Lethe database", name: "the database format", advice: "" };

/// A number in the file, little-endian.
type Word = [u8; 4];

/// Magic, version and three counts.
const HEADER_LEN: usize = 8 + 4 * size_of::<Word>();

/// An entry for each high half of an address, and one for the end.
pub(super) const INDEX_LEN: usize = (1 << 16) + 1;

/// Country, province and city.
const NAMES: usize = 3;

const CHECKSUM_LEN: usize = size_of::<Word>();

/// The header, before the sections.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    /// The number of ranges.
    pub(super) ranges: u32,
    /// The number of places.
    pub(super) places: u32,
    /// The bytes of text.
    pub(super) text: u32,
}

impl Header {
    fn parse(bytes: &[u8]) -> Result<Self, OpenError> {
        let header: &[u8; HEADER_LEN] = FORMAT.header(bytes)?;
        let [ranges, places, text] = [12, 16, 20].map(|at| u32_at(header, at));
        Ok(Self { ranges, places, text })
    }

    pub(super) fn emit(self, file: &mut Vec<u8>) {
        let mut header: [u8; HEADER_LEN] = FORMAT.new_header();
        for (at, word) in [self.ranges, self.places, self.text].into_iter().enumerate() {
            put_u32(&mut header, 12 + 4 * at, word);
        }
        file.extend(header);
    }

    /// The length of the whole file. The largest counts do not overflow it.
    pub(super) fn file_len(self) -> u64 {
        let [ranges, places, text] = [self.ranges, self.places, self.text].map(u64::from);
        let words = INDEX_LEN as u64 + ranges + (NAMES as u64 * places + 1);
        HEADER_LEN as u64 + words * size_of::<Word>() as u64 + text + CHECKSUM_LEN as u64
    }
}

/// The value of a count or a position.
fn number(word: Word) -> usize {
    u32::from_le_bytes(word) as usize
}

fn halves(address: u32) -> [u16; 2] {
    [(address >> 16) as u16, address as u16]
}

/// An entry of the array of ranges. The high half of the first address follows from the index.
pub(super) fn range(first: u32, place: u16) -> u32 {
    first << 16 | u32::from(place)
}

fn first_low(range: Word) -> u16 {
    halves(u32::from_le_bytes(range))[0]
}

fn place_id(range: Word) -> usize {
    halves(u32::from_le_bytes(range))[1].into()
}

#[cfg(test)]
mod tests {
    use super::super::Builder;
    use super::*;

    fn at(address: &str) -> Option<[&'static str; NAMES]> {
        Database::embedded().lookup(address.parse().unwrap()).map(|place| place.names())
    }

    /// A database in which two ranges are known, and three places with the unknown one.
    fn small() -> Vec<u8> {
        let mut builder = Builder::new();
        let place = |country, city| Place { country, province: "", city };
        let [first, second, third] =
            ["0.0.0.0", "1.2.3.4", "1.3.0.0"].map(|address| address.parse::<Ipv4Addr>().unwrap());
        builder.add(first..=first, place("中国", "南京市")).unwrap();
        builder.add(second..=third, place("美国", "")).unwrap();
        builder.finish()
    }

    /// The error for a database in which the word at `at` is another, and the checksum is right.
    fn with_word(at: usize, word: u32) -> Option<OpenError> {
        let mut file = small();
        file[at..at + 4].copy_from_slice(&word.to_le_bytes());
        sealed(file)
    }

    fn sealed(mut file: Vec<u8>) -> Option<OpenError> {
        let contents = file.len() - CHECKSUM_LEN;
        let checksum = crc32fast::hash(&file[..contents]);
        file[contents..].copy_from_slice(&checksum.to_le_bytes());
        Database::open(&file).err()
    }

    const INDEX: usize = HEADER_LEN;
    const RANGES: usize = INDEX + INDEX_LEN * 4;
    /// There are four ranges with the unknown ones between and behind.
    const NAMES_OF: usize = RANGES + 4 * 4;

    #[test]
    fn the_embedded_database_knows_what_its_source_knew() {
        assert_eq!(at("202.96.128.86"), Some(["中国", "广东省", "广州市"]));
        assert_eq!(at("114.114.114.114"), Some(["中国", "江苏省", "南京市"]));
        assert_eq!(at("60.30.1.1"), Some(["中国", "天津", "天津市"]));
        assert_eq!(at("8.8.8.8"), Some(["美国", "", ""]));
        assert_eq!(at("0.0.0.0"), None);
        assert_eq!(at("255.255.255.255"), None);
    }

    #[test]
    fn the_embedded_database_is_what_its_own_ranges_make() {
        let database = Database::embedded();
        let ranges: Vec<_> = database.ranges().collect();
        let mut builder = Builder::new();
        for (at, &(first, place)) in ranges.iter().enumerate() {
            let last = ranges.get(at + 1).map_or(u32::MAX, |(next, _)| next.to_bits() - 1);
            builder.add(first..=Ipv4Addr::from_bits(last), place.unwrap_or_default()).unwrap();
        }
        assert!(builder.finish() == EMBEDDED);
    }

    #[test]
    fn a_range_ends_where_the_next_begins() {
        let file = small();
        let database = Database::open(&file).unwrap();
        let country = |address: &str| database.lookup(address.parse().unwrap()).map(|place| place.country);
        assert_eq!(country("0.0.0.0"), Some("中国"));
        for unknown in ["0.0.0.1", "1.1.255.255", "1.2.3.3", "1.3.0.1", "255.255.255.255"] {
            assert_eq!(country(unknown), None, "{unknown}");
        }
        for known in ["1.2.3.4", "1.2.255.255", "1.3.0.0"] {
            assert_eq!(country(known), Some("美国"), "{known}");
        }
    }

    #[test]
    fn another_file_is_told_from_a_database() {
        for other in [&b""[..], b"LETHE-I", b"lethe-ip and more", &[0; 1000]] {
            assert_eq!(Database::open(other).err(), Some(ContainerError::Magic.into()));
        }
    }

    #[test]
    fn another_version_is_named() {
        assert_eq!(with_word(8, 2), Some(ContainerError::Version { found: 2 }.into()));
    }

    #[test]
    fn a_file_that_is_cut_off_or_has_grown_is_refused_with_both_lengths() {
        let mut file = small();
        let expected = file.len() as u64;
        file.push(0);
        let wrong = |actual, expected| Some(ContainerError::Length { actual, expected }.into());
        assert_eq!(Database::open(&file).err(), wrong(expected + 1, expected));
        assert_eq!(Database::open(&file[..file.len() - 2]).err(), wrong(expected - 1, expected));
        assert_eq!(Database::open(&file[..20]).err(), wrong(20, 24));
        assert_eq!(with_word(12, u32::MAX), wrong(expected, expected + 4 * (u64::from(u32::MAX) - 4)));
    }

    #[test]
    fn a_damaged_file_is_refused_with_both_checksums() {
        let mut file = small();
        let (contents, checksum) = file.split_at(file.len() - CHECKSUM_LEN);
        let actual = crc32fast::hash(contents);
        let expected = u32::from_le_bytes(checksum.try_into().unwrap());
        assert_eq!(actual, expected);
        *file.last_mut().unwrap() ^= 0x80;
        let expected = expected ^ 0x8000_0000;
        assert_eq!(Database::open(&file).err(), Some(OpenError::Checksum { actual, expected }));
    }

    #[test]
    fn an_index_out_of_order_is_refused() {
        assert_eq!(with_word(INDEX, 1), Some(OpenError::Index));
        assert_eq!(with_word(INDEX + 4 * 7, 1), Some(OpenError::Index));
        assert_eq!(with_word(RANGES - 4, 9), Some(OpenError::Index));
    }

    #[test]
    fn ranges_out_of_order_are_refused() {
        assert_eq!(with_word(RANGES, range(1, 0)), Some(OpenError::Ranges { high: 0 }));
        assert_eq!(with_word(RANGES + 4, range(0, 0)), Some(OpenError::Ranges { high: 0 }));
        assert_eq!(with_word(RANGES + 12, range(0xffff, 0)), None);
    }

    #[test]
    fn a_first_range_that_is_not_at_0_0_0_0_is_refused() {
        // A database of one range, which begins later, or under another high half.
        for (at, word) in [(RANGES, range(1, 0)), (INDEX + 4, 0)] {
            let mut file = Builder::new().finish();
            file[at..at + 4].copy_from_slice(&word.to_le_bytes());
            assert_eq!(sealed(file), Some(OpenError::Ranges { high: 0 }));
        }
    }

    #[test]
    fn a_place_that_there_is_not_is_refused() {
        let error = OpenError::PlaceOfRange { range: 2, places: 3 };
        assert_eq!(with_word(RANGES + 8, range(0x0304, 3)), Some(error));
    }

    #[test]
    fn names_that_are_not_in_the_text_are_refused() {
        let names = |place| Some(OpenError::Names { place });
        // Place 0 is the unknown one. The names of place 1 are 中国 (0 to 6) and 南京市 (6 to 15).
        assert_eq!(with_word(NAMES_OF + 4 * 4, 100), names(1));
        assert_eq!(with_word(NAMES_OF + 4 * 4, 5), names(1));
        assert_eq!(with_word(NAMES_OF + 4 * 5, 3), names(1));
        assert_eq!(with_word(NAMES_OF, 1), names(0));
    }

    #[test]
    fn names_that_are_not_utf_8_are_refused() {
        let mut file = small();
        let text = file.len() - CHECKSUM_LEN - "中国南京市美国".len();
        file[text + 6] = 0xff;
        assert_eq!(sealed(file), Some(OpenError::Text { at: 6 }));
    }

    #[test]
    fn every_error_says_what_is_wrong() {
        for (error, message) in [
            (ContainerError::Magic.into(), "this is not a Lethe database"),
            (
                ContainerError::Version { found: 2 }.into(),
                "version 2 of the database format, where this build reads version 1",
            ),
            (
                ContainerError::Length { actual: 1, expected: 2 }.into(),
                "cut off, or grown: 1 bytes, where there should be 2",
            ),
            (
                OpenError::Checksum { actual: 1, expected: 2 },
                "damaged: the checksum of the contents is 00000001, and 00000002 in the file",
            ),
            (OpenError::Ranges { high: 0x0102 }, "the ranges that begin in 1.2.0.0/16 are out of order"),
            (OpenError::PlaceOfRange { range: 2, places: 3 }, "range 2 has none of the 3 places"),
        ] {
            assert_eq!(error.to_string(), message);
        }
    }
}
