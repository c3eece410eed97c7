//! The database file, which maps addresses to places.
//!
//! Numbers are little-endian. The sections follow one another without gaps.
//!
//! | bytes        | what                                                                                        |
//! |--------------|---------------------------------------------------------------------------------------------|
//! | 8            | magic, `LETHE-IP`                                                                           |
//! | 4            | version of the format: 2                                                                    |
//! | 4            | R, the number of ranges of IPv4                                                             |
//! | 4            | S, the number of ranges of IPv6; with 0, there is no table of IPv6                          |
//! | 4            | Q, the number of parts                                                                      |
//! | 4            | P, the number of places                                                                     |
//! | 4            | T, the bytes of text                                                                        |
//! | 8            | the languages of names, a byte each, then zeros                                             |
//! | 4 × 65,537   | index of IPv4: for h = 0 … 65,536, how many ranges begin below the address h × 2¹⁶          |
//! | 4 × R        | ranges, ascending: low half of the first address (bits 31–16), place (15–0)                 |
//! | R            | bits 16 to 23 of the place of each range; only if P is 65,536 or more                       |
//! | 4 × 65,537   | index of IPv6, by bits 3 to 18 of an address                                                |
//! | 8 × S        | ranges, ascending: bits 19 to 63 of the first address (bits 60–16), place (15–0)            |
//! | S            | bits 16 to 23 of the place of each range; only if P is 65,536 or more                       |
//! | 20 × Q       | parts, ascending: first address (16 bytes), place (4)                                       |
//! | 32 × P       | places: where in the text country, region, city, code and organization are; AS number; then |
//! |              | latitude and longitude in ten-thousandths of a degree, both -2³¹ if not known               |
//! | T            | text, UTF-8: strings of up to 127 bytes, each behind a byte with its length                 |
//! | 4            | CRC-32 of everything before it                                                              |
//!
//! A range ends where the next one begins, and the first begins at 0.0.0.0, or at `2000::`. The table of IPv6 has
//! `2000::/3`, in which all addresses of hosts are (RFC 4291, section 2.4), by the upper 64 bits of addresses: where a
//! /64 has several places, its place is P, and its parts say more.
//!
//! Country, region and city are as many strings in a row as there are languages. One that is empty is that of the first
//! language. Place 0 is "not known".

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use thiserror::Error;

use super::language::Language;
use super::table::{INDEX_LEN, OwnedTable, Table, Word};
use crate::ContainerError;
use crate::container::{Format, check_len, put_u32, u32_at};

/// The version of the format that is read and written here.
pub const VERSION: u32 = 2;

/// The database that comes with Lethe; `data/README.md` tells its origin.
static EMBEDDED: &[u8] = include_bytes!("../../data/ipinfo.db");

/// Maps addresses to places. Lookups cannot fail.
#[derive(Clone, Copy)]
pub struct Database<'a> {
    v4: Table<'a, 4>,
    v6: Option<Table<'a, 8>>,
    parts: &'a [Part],
    places: &'a [Record],
    text: &'a str,
    languages: [u8; Language::COUNT],
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
        let places = database.place_count();
        if Language::list(database.languages).is_none() {
            return Err(OpenError::Languages);
        }
        database.v4.check(4, places.checked_sub(1).ok_or(OpenError::Names { place: 0 })?)?;
        if let Some(v6) = &database.v6 {
            v6.check(6, places)?;
        }
        database.check_parts()?;
        database.check_places()?;
        Ok(database)
    }

    /// The place of an address, if it is known, with names in the first language.
    #[inline]
    pub fn lookup(&self, address: impl Into<IpAddr>) -> Option<Place<'a>> {
        self.lookup_in(address.into(), 0)
    }

    /// The place of an address, if it is known, with names in one of the [languages](Self::languages), by its number.
    #[inline]
    pub fn lookup_in(&self, address: IpAddr, language: usize) -> Option<Place<'a>> {
        let place = match address {
            IpAddr::V4(v4) => self.find(v4),
            IpAddr::V6(v6) => self.find_v6(v6),
        };
        place.map(|place| self.place(place, language))
    }

    /// The languages that names are in. The first one has every name.
    pub fn languages(&self) -> impl Iterator<Item = Language> + use<> {
        Language::list(self.languages).into_iter().flatten()
    }

    /// The number of the place of an address, if it is known.
    #[inline]
    pub(super) fn find(&self, address: Ipv4Addr) -> Option<usize> {
        let [bucket, rest] = halves(address);
        let place = self.v4.find(bucket, rest.into());
        (place != UNKNOWN).then_some(place)
    }

    /// The number of the place of an address, if it is known.
    #[inline]
    pub(super) fn find_v6(&self, address: Ipv6Addr) -> Option<usize> {
        let (bucket, rest) = bucket_v6(address.to_bits())?;
        let mut place = self.v6.as_ref()?.find(bucket, rest);
        if place == self.places.len() {
            place = self.part(address.to_bits());
        }
        (place != UNKNOWN).then_some(place)
    }

    /// All places in the first language, in the order of their numbers.
    pub(super) fn places(&self) -> impl Iterator<Item = Place<'a>> {
        (0..self.place_count()).map(|place| self.place(place, 0))
    }

    /// All ranges of IPv4 in ascending order: first address, and place if it is known.
    pub fn ranges(&self) -> impl Iterator<Item = (Ipv4Addr, Option<Place<'a>>)> {
        self.v4.iter().map(|(bucket, rest, place)| {
            let first = u32::from(bucket) << 16 | rest as u32;
            (Ipv4Addr::from_bits(first), (place != UNKNOWN).then(|| self.place(place, 0)))
        })
    }

    /// The number of ranges of IPv4.
    pub const fn range_count(&self) -> usize {
        self.v4.ranges.len()
    }

    /// The number of ranges of IPv6, with those within a /64.
    pub fn range_count_v6(&self) -> usize {
        self.v6.map_or(0, |v6| v6.ranges.len()) + self.parts.len()
    }

    /// The number of places.
    pub const fn place_count(&self) -> usize {
        self.places.len()
    }

    /// The place of the part that has an address.
    #[cold]
    fn part(&self, address: u128) -> usize {
        let below = self.parts.partition_point(|part| first_of(part) <= address);
        place_of(&self.parts[below - 1])
    }

    fn place(&self, place: usize, language: usize) -> Place<'a> {
        let place = &self.places[place];
        let language = if self.languages.get(language).is_some_and(|&is_there| is_there != 0) { language } else { 0 };
        let name = |at: usize| {
            let at = u32_at(place, at) as usize;
            let name = self.strings(at).nth(language).flatten().unwrap_or_default();
            if name.is_empty() { self.string(at) } else { name }
        };
        let [latitude, longitude] = [24, 28].map(|at| u32_at(place, at).cast_signed());
        Place {
            country: name(0),
            region: name(4),
            city: name(8),
            code: self.string(u32_at(place, 12) as usize),
            org: self.string(u32_at(place, 16) as usize),
            asn: u32_at(place, 20),
            position: (latitude != i32::MIN).then_some([latitude, longitude]),
        }
    }

    fn string(&self, at: usize) -> &'a str {
        self.strings(at).next().flatten().unwrap_or_default()
    }

    /// The strings from a place in the text on, `None` for one that is not all there.
    fn strings(&self, mut at: usize) -> impl Iterator<Item = Option<&'a str>> {
        let text = self.text;
        std::iter::from_fn(move || {
            let len = usize::from(*text.as_bytes().get(at)?);
            let string = text.get(at + 1..at + 1 + len);
            at += 1 + len;
            Some(string)
        })
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
        let (v4, rest) = split_table(&contents[HEADER_LEN..], header.ranges, header.is_wide());
        let (v6, rest) = if header.ranges_v6 == 0 {
            (None, rest)
        } else {
            let (v6, rest) = split_table(rest, header.ranges_v6, header.is_wide());
            (Some(v6), rest)
        };
        let (parts, rest) = rest.split_at(size_of::<Part>() * header.parts as usize);
        let (places, text) = rest.split_at(size_of::<Record>() * header.places as usize);
        let text = str::from_utf8(text).map_err(|error| OpenError::Text { at: error.valid_up_to() })?;
        let (parts, places) = (parts.as_chunks().0, places.as_chunks().0);
        Ok(Self { v4, v6, parts, places, text, languages: header.languages })
    }

    /// Whether each /64 that has parts has one that begins with it.
    fn check_parts(&self) -> Result<(), OpenError> {
        let places = self.place_count();
        let are_right = self.parts.is_sorted_by(|a, b| first_of(a) < first_of(b))
            && self.parts.iter().all(|part| place_of(part) < places);
        let is_there = |(bucket, rest, place): (u16, u64, usize)| {
            let first = first_v6(bucket, rest);
            place < places || self.parts.binary_search_by_key(&first, first_of).is_ok()
        };
        let are_there = || self.v6.is_none_or(|v6| v6.iter().all(is_there));
        if are_right && are_there() { Ok(()) } else { Err(OpenError::Parts) }
    }

    fn check_places(&self) -> Result<(), OpenError> {
        let languages = self.languages().count();
        let are_in_text = |at: u32, count: usize| {
            let mut strings = self.strings(at as usize);
            (0..count).all(|_| matches!(strings.next(), Some(Some(_))))
        };
        let is_right = |place: usize| {
            let record = &self.places[place];
            (0..12).step_by(4).all(|at| are_in_text(u32_at(record, at), languages))
                && (12..20).step_by(4).all(|at| are_in_text(u32_at(record, at), 1))
                && (0..languages).all(|language| self.place(place, language).len() <= Place::MAX_LEN)
        };
        match (0..self.place_count()).find(|&place| !is_right(place)) {
            Some(place) => Err(OpenError::Names { place }),
            None => Ok(()),
        }
    }
}

/// Splits a table off the front of bytes whose length was checked.
fn split_table<const N: usize>(bytes: &[u8], ranges: u32, wide: bool) -> (Table<'_, N>, &[u8]) {
    let (index, rest) = bytes.split_at(INDEX_LEN * size_of::<Word>());
    let index = index.as_chunks().0.try_into().expect("an entry for each bucket");
    let (words, rest) = rest.split_at(N * ranges as usize);
    let (high, rest) = rest.split_at(if wide { ranges as usize } else { 0 });
    (Table { index, ranges: words.as_chunks().0, high }, rest)
}

/// A database that owns its memory, so that a server can replace it.
pub(super) struct Owned {
    v4: OwnedTable<4>,
    v6: Option<OwnedTable<8>>,
    parts: Box<[Part]>,
    places: Box<[Record]>,
    text: Box<str>,
    languages: [u8; Language::COUNT],
}

impl Owned {
    /// A view of it, for lookups.
    #[inline]
    pub(super) fn database(&self) -> Database<'_> {
        Database {
            v4: self.v4.table(),
            v6: self.v6.as_ref().map(OwnedTable::table),
            parts: &self.parts,
            places: &self.places,
            text: &self.text,
            languages: self.languages,
        }
    }
}

impl From<Database<'_>> for Owned {
    fn from(database: Database<'_>) -> Self {
        let Database { v4, v6, parts, places, text, languages } = database;
        let (v4, v6) = (v4.into(), v6.map(Into::into));
        Self { v4, v6, parts: parts.into(), places: places.into(), text: text.into(), languages }
    }
}

impl fmt::Debug for Database<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database")
            .field("ranges", &self.range_count())
            .field("ranges_v6", &self.range_count_v6())
            .field("places", &self.place_count())
            .finish()
    }
}

/// A geographic place, and the network that an address of it is in. Unknown parts are empty.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct Place<'a> {
    /// The country.
    pub country: &'a str,
    /// The region: a province or a state.
    pub region: &'a str,
    /// The city.
    pub city: &'a str,
    /// The two letters of the country (ISO 3166-1).
    pub code: &'a str,
    /// The organization that has the network.
    pub org: &'a str,
    /// The number of the autonomous system (RFC 4271); 0 if it is not known.
    pub asn: u32,
    /// Latitude and longitude, in ten-thousandths of a degree.
    pub position: Option<[i32; 2]>,
}

impl<'a> Place<'a> {
    /// The most bytes of country, region and city, so that the page about a place fits a segment.
    pub const MAX_LEN: usize = 168;

    /// The names, from the country down.
    pub const fn names(&self) -> [&'a str; 3] {
        [self.country, self.region, self.city]
    }

    /// The bytes of all names.
    pub const fn len(&self) -> usize {
        self.country.len() + self.region.len() + self.city.len()
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
    /// There is no language, or one that is not known, or one twice.
    #[error("the languages are none that this build knows")]
    Languages,
    /// The index does not ascend from 0 to the number of ranges.
    #[error("the index of IPv{family} is out of order")]
    Index {
        /// 4 or 6.
        family: u8,
    },
    /// Ranges do not ascend, or the first one does not begin at the first address.
    #[error("the ranges that begin in {} are out of order", block(*family, *bucket))]
    Ranges {
        /// 4 or 6.
        family: u8,
        /// The bucket of their first addresses.
        bucket: u16,
    },
    /// A range has a place that does not exist.
    #[error("range {range} of IPv{family} has none of the {places} places")]
    PlaceOfRange {
        /// 4 or 6.
        family: u8,
        /// The position of the range.
        range: usize,
        /// The number of places.
        places: usize,
    },
    /// Parts do not ascend, a /64 has none, or one has a place that does not exist.
    #[error("the parts of networks longer than /64 are out of order")]
    Parts,
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

const FORMAT: Format = Format {
    magic: b"LETHE-IP",
    version: VERSION,
    file: "a Lethe database",
    name: "the database format",
    advice: ": make it again with lethe prepare ipinfo",
};

/// First address and place of a part.
type Part = [u8; 20];

/// A place.
pub(super) type Record = [u8; 32];

/// The number of the place of addresses in no range.
pub(super) const UNKNOWN: usize = 0;

/// Magic, version, five counts and the languages.
const HEADER_LEN: usize = 8 + 6 * size_of::<Word>() + Language::COUNT;

const CHECKSUM_LEN: usize = size_of::<Word>();

/// The header, before the sections.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    /// The number of ranges of IPv4.
    pub(super) ranges: u32,
    /// The number of ranges of IPv6.
    pub(super) ranges_v6: u32,
    /// The number of parts.
    pub(super) parts: u32,
    /// The number of places.
    pub(super) places: u32,
    /// The bytes of text.
    pub(super) text: u32,
    /// The languages of names.
    pub(super) languages: [u8; Language::COUNT],
}

impl Header {
    fn parse(bytes: &[u8]) -> Result<Self, OpenError> {
        let header: &[u8; HEADER_LEN] = FORMAT.header(bytes)?;
        let [ranges, ranges_v6, parts, places, text] = [12, 16, 20, 24, 28].map(|at| u32_at(header, at));
        let languages = *header.last_chunk().expect("they end it");
        Ok(Self { ranges, ranges_v6, parts, places, text, languages })
    }

    pub(super) fn emit(self, file: &mut Vec<u8>) {
        let mut header: [u8; HEADER_LEN] = FORMAT.new_header();
        let counts = [self.ranges, self.ranges_v6, self.parts, self.places, self.text];
        for (at, word) in counts.into_iter().enumerate() {
            put_u32(&mut header, 12 + 4 * at, word);
        }
        *header.last_chunk_mut().expect("they end it") = self.languages;
        file.extend(header);
    }

    /// Whether numbers of places have 24 bits. The number of places is one of them, since it stands for parts.
    pub(super) const fn is_wide(self) -> bool {
        self.places > u16::MAX as u32
    }

    /// The length of the whole file. The largest counts do not overflow it.
    pub(super) fn file_len(self) -> u64 {
        let Self { ranges, ranges_v6, parts, places, text, .. } = self;
        let table = |ranges: u32, len: u64| {
            INDEX_LEN as u64 * size_of::<Word>() as u64 + u64::from(ranges) * (len + u64::from(self.is_wide()))
        };
        let v6 = if ranges_v6 == 0 { 0 } else { table(ranges_v6, 8) };
        let parts = u64::from(parts) * size_of::<Part>() as u64;
        let places = u64::from(places) * size_of::<Record>() as u64;
        (HEADER_LEN + CHECKSUM_LEN) as u64 + table(ranges, 4) + v6 + parts + places + u64::from(text)
    }
}

/// Bucket and rest of an address of IPv4.
pub(super) fn halves(address: Ipv4Addr) -> [u16; 2] {
    let bits = address.to_bits();
    [(bits >> 16) as u16, bits as u16]
}

/// The bits of an address of IPv6 that are the rest.
const REST_V6: u32 = 45;

/// Bucket and rest of an address of IPv6, if it is in `2000::/3`.
#[inline]
pub(super) const fn bucket_v6(address: u128) -> Option<(u16, u64)> {
    let network = (address >> 64) as u64;
    if network >> (REST_V6 + 16) != 1 {
        return None;
    }
    Some(((network >> REST_V6) as u16, network & ((1 << REST_V6) - 1)))
}

/// The first address with this bucket and this rest.
const fn first_v6(bucket: u16, rest: u64) -> u128 {
    (((1_u64 << 16 | bucket as u64) << REST_V6 | rest) as u128) << 64
}

/// The block of addresses in a bucket, for a message.
fn block(family: u8, bucket: u16) -> String {
    if family == 4 {
        format!("{}/16", Ipv4Addr::from_bits(u32::from(bucket) << 16))
    } else {
        format!("{}/19", Ipv6Addr::from_bits(first_v6(bucket, 0)))
    }
}

fn first_of(part: &Part) -> u128 {
    u128::from_le_bytes(*part.first_chunk().expect("it has 20 bytes"))
}

fn place_of(part: &Part) -> usize {
    u32_at(part, 16) as usize
}

/// A part, as it is in the file.
pub(super) fn part(first: u128, place: u32) -> Part {
    let mut part = [0; size_of::<Part>()];
    part[..16].copy_from_slice(&first.to_le_bytes());
    put_u32(&mut part, 16, place);
    part
}

#[cfg(test)]
mod tests {
    use super::super::Builder;
    use super::*;

    fn at(address: &str) -> Option<[&'static str; 3]> {
        Database::embedded().lookup(address.parse::<IpAddr>().unwrap()).map(|place| place.names())
    }

    /// A database in which two ranges are known, and three places with the unknown one.
    fn small() -> Vec<u8> {
        let mut builder = Builder::new();
        let place = |country, city| Place { country, city, ..Place::default() };
        let [first, second, third] =
            ["0.0.0.0", "1.2.3.4", "1.3.0.0"].map(|address| address.parse::<Ipv4Addr>().unwrap());
        builder.add(first..=first, place("中国", "南京市")).unwrap();
        builder.add(second..=third, place("美国", "")).unwrap();
        let address = |text: &str| text.parse::<Ipv6Addr>().unwrap();
        builder.add(address("2001:db8::")..=address("2001:db8:0:1::7"), place("美国", "")).unwrap();
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
    const INDEX_V6: usize = RANGES + 4 * 4;
    const RANGES_V6: usize = INDEX_V6 + INDEX_LEN * 4;
    /// Unknown, `2001:db8::`, its next /64, which has parts, and unknown again.
    const PARTS: usize = RANGES_V6 + 4 * 8;
    const PLACES: usize = PARTS + 2 * 20;

    /// An entry of the table of IPv4.
    fn range(rest: u32, place: u32) -> u32 {
        rest << 16 | place
    }

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
    fn the_embedded_database_knows_countries_of_ipv6_in_two_languages() {
        assert_eq!(at("2001:4860:4860::8888"), Some(["美国", "", ""]));
        assert_eq!(at("2001:200::1"), Some(["日本", "", ""]));
        assert_eq!(at("2400:3200::1"), Some(["中国", "", ""]));
        for unknown in ["::", "::1", "2001:db8::1", "fe80::1", "fd09::1", "3fff::1"] {
            assert_eq!(at(unknown), None, "{unknown}");
        }
        let database = Database::embedded();
        assert_eq!(database.languages().collect::<Vec<_>>(), [Language::Chinese, Language::English]);
        let english = |address: &str| database.lookup_in(address.parse().unwrap(), 1).unwrap();
        assert_eq!(english("2001:4860:4860::8888").country, "United States");
        assert_eq!(english("202.96.128.86").names(), ["China", "广东省", "广州市"]);
        assert_eq!(english("202.96.128.86").code, "CN");
    }

    #[test]
    fn a_range_ends_where_the_next_begins() {
        let file = small();
        let database = Database::open(&file).unwrap();
        let country = |address: &str| database.lookup(address.parse::<IpAddr>().unwrap()).map(|place| place.country);
        assert_eq!(country("0.0.0.0"), Some("中国"));
        for unknown in [
            "0.0.0.1",
            "1.1.255.255",
            "1.2.3.3",
            "1.3.0.1",
            "255.255.255.255",
            "2001:db7:ffff::",
            "2001:db8:0:1::8",
            "2001:db8:0:2::",
            "3fff:ffff::",
            "4000::",
            "::",
            "ff00::",
        ] {
            assert_eq!(country(unknown), None, "{unknown}");
        }
        for known in ["1.2.3.4", "1.2.255.255", "1.3.0.0", "2001:db8::", "2001:db8::ffff:0:0:0", "2001:db8:0:1::7"] {
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
        assert_eq!(with_word(8, 1), Some(ContainerError::Version { found: 1 }.into()));
    }

    #[test]
    fn a_file_that_is_cut_off_or_has_grown_is_refused_with_both_lengths() {
        let mut file = small();
        let expected = file.len() as u64;
        file.push(0);
        let wrong = |actual, expected| Some(ContainerError::Length { actual, expected }.into());
        assert_eq!(Database::open(&file).err(), wrong(expected + 1, expected));
        assert_eq!(Database::open(&file[..file.len() - 2]).err(), wrong(expected - 1, expected));
        assert_eq!(Database::open(&file[..20]).err(), wrong(20, 40));
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
        for (family, index, ranges) in [(4, INDEX, RANGES), (6, INDEX_V6, RANGES_V6)] {
            assert_eq!(with_word(index, 1), Some(OpenError::Index { family }));
            assert_eq!(with_word(index + 4 * 7, 0), Some(OpenError::Index { family }));
            assert_eq!(with_word(ranges - 4, 9), Some(OpenError::Index { family }));
        }
    }

    #[test]
    fn ranges_out_of_order_are_refused() {
        assert_eq!(with_word(RANGES, range(1, 0)), Some(OpenError::Ranges { family: 4, bucket: 0 }));
        assert_eq!(with_word(RANGES + 4, range(0, 0)), Some(OpenError::Ranges { family: 4, bucket: 0 }));
        assert_eq!(with_word(RANGES + 12, range(0xffff, 0)), None);
        // The second word of an entry is the upper half of the rest.
        assert_eq!(with_word(RANGES_V6 + 4, 1), Some(OpenError::Ranges { family: 6, bucket: 0 }));
        assert!(matches!(with_word(RANGES_V6 + 12, u32::MAX), Some(OpenError::Ranges { family: 6, bucket: 0x0008 })));
    }

    #[test]
    fn a_first_range_that_is_not_at_0_0_0_0_is_refused() {
        // A database of one range, which begins later, or under another high half.
        for (at, word) in [(RANGES, range(1, 0)), (INDEX + 4, 0)] {
            let mut file = Builder::new().finish();
            file[at..at + 4].copy_from_slice(&word.to_le_bytes());
            assert_eq!(sealed(file), Some(OpenError::Ranges { family: 4, bucket: 0 }));
        }
    }

    #[test]
    fn a_place_that_there_is_not_is_refused() {
        let error = OpenError::PlaceOfRange { family: 4, range: 2, places: 3 };
        assert_eq!(with_word(RANGES + 8, range(0x0304, 3)), Some(error));
    }

    #[test]
    fn names_that_are_not_in_the_text_are_refused() {
        let names = |place| Some(OpenError::Names { place });
        // Place 0 is the unknown one. The text has an empty string, and then 中国 behind its length.
        for at in (0..20).step_by(4) {
            assert_eq!(with_word(PLACES + 32 + at, 1000), names(1));
            assert_eq!(with_word(PLACES + at, 2), names(0));
        }
        assert_eq!(with_word(PLACES + 32 + 20, 1000), None);
    }

    #[test]
    fn parts_out_of_order_or_that_there_are_not_are_refused() {
        assert_eq!(with_word(PARTS + 16, 3), Some(OpenError::Parts));
        assert_eq!(with_word(PARTS + 20, 0), Some(OpenError::Parts));
        assert_eq!(with_word(PARTS + 20, 9), None);
        assert_eq!(with_word(PARTS, 1), Some(OpenError::Parts));
        assert_eq!(with_word(PARTS + 20 + 12, 0), Some(OpenError::Parts));
    }

    #[test]
    fn languages_that_are_not_known_are_refused() {
        assert_eq!(with_word(32, 0), Some(OpenError::Languages));
        assert_eq!(with_word(32, 9), Some(OpenError::Languages));
    }

    #[test]
    fn names_that_are_not_utf_8_are_refused() {
        let mut file = small();
        let text = file.len() - CHECKSUM_LEN - "..中国.南京市.美国".len();
        file[text + 2] = 0xff;
        assert_eq!(sealed(file), Some(OpenError::Text { at: 2 }));
    }

    #[test]
    fn every_error_says_what_is_wrong() {
        for (error, message) in [
            (ContainerError::Magic.into(), "this is not a Lethe database"),
            (
                ContainerError::Version { found: 1 }.into(),
                "version 1 of the database format, where this build reads version 2: make it again with lethe prepare \
                 ipinfo",
            ),
            (
                ContainerError::Length { actual: 1, expected: 2 }.into(),
                "cut off, or grown: 1 bytes, where there should be 2",
            ),
            (
                OpenError::Checksum { actual: 1, expected: 2 },
                "damaged: the checksum of the contents is 00000001, and 00000002 in the file",
            ),
            (OpenError::Ranges { family: 4, bucket: 0x0102 }, "the ranges that begin in 1.2.0.0/16 are out of order"),
            (OpenError::Ranges { family: 6, bucket: 8 }, "the ranges that begin in 2001::/19 are out of order"),
            (OpenError::PlaceOfRange { family: 4, range: 2, places: 3 }, "range 2 of IPv4 has none of the 3 places"),
        ] {
            assert_eq!(error.to_string(), message);
        }
    }
}
