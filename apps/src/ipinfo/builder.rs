//! Builds a database.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;

use thiserror::Error;

use super::database::{Header, Place, Record, UNKNOWN, bucket_v6, halves, part};
use super::language::Language;
use super::table;
use crate::container::put_u32;

/// Builds the bytes of a [`Database`](super::Database) from ranges in ascending order.
///
/// Adjacent ranges with the same place are merged. The same ranges always make the same bytes.
#[derive(Debug)]
pub struct Builder {
    languages: Vec<Language>,
    v4: Ranges,
    v6: Ranges,
    places: Vec<Record>,
    ids: HashMap<Record, u32>,
    text: String,
    /// Where strings are in the text, by the bytes that they have there.
    strings: HashMap<Box<str>, u32>,
}

/// The number of a place in a database that is being built.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PlaceId(u32);

impl Builder {
    /// The most places of a database: their numbers, and one more, have 24 bits.
    pub const MAX_PLACES: usize = (1 << 24) - 1;

    /// An empty database, with names in one language, Chinese.
    pub fn new() -> Self {
        Self::in_languages(&[Language::Chinese])
    }

    /// An empty database, with names in these languages, the first one of which every name is in. There is at least
    /// one, and none twice.
    pub fn in_languages(languages: &[Language]) -> Self {
        let mut builder = Self {
            languages: languages.to_vec(),
            v4: Ranges::new(0, 1 << 32),
            v6: Ranges::new(V6_FROM, V6_TO),
            places: Vec::new(),
            ids: HashMap::new(),
            text: String::new(),
            strings: HashMap::new(),
        };
        builder.place(&[Place::default()]).expect("a place without names");
        builder
    }

    /// The number of a place, with its names in each language. Languages at the end may be left out: names in them are
    /// then those of the first one, and so are empty names.
    ///
    /// # Errors
    ///
    /// When the format cannot hold it.
    pub fn place(&mut self, in_languages: &[Place<'_>]) -> Result<PlaceId, BuildError> {
        let first = in_languages.first().copied().unwrap_or_default();
        let in_languages = &in_languages[..in_languages.len().min(self.languages.len())];
        let len = in_languages.iter().map(Place::len).max().unwrap_or_default();
        let strings = in_languages.iter().flat_map(Place::names).chain([first.code, first.org]);
        let longest = strings.map(str::len).max().unwrap_or_default();
        if len > Place::MAX_LEN || longest > MAX_STRING {
            return Err(BuildError::PlaceTooLong { len: len.max(longest) });
        }
        let mut record = [0; _];
        for name in 0..3 {
            let names: Vec<_> = (0..self.languages.len())
                .map(|at| in_languages.get(at).map_or("", |place| place.names()[name]))
                .map(|translated| if translated == first.names()[name] { "" } else { translated })
                .collect();
            let names = [&[first.names()[name]], &names[1..]].concat();
            put_u32(&mut record, 4 * name, self.strings(&names)?);
        }
        put_u32(&mut record, 12, self.strings(&[first.code])?);
        put_u32(&mut record, 16, self.strings(&[first.org])?);
        put_u32(&mut record, 20, first.asn);
        let [latitude, longitude] = first.position.unwrap_or([i32::MIN; 2]);
        put_u32(&mut record, 24, latitude.cast_unsigned());
        put_u32(&mut record, 28, longitude.cast_unsigned());
        if let Some(&id) = self.ids.get(&record) {
            return Ok(PlaceId(id));
        }
        let id = number_of_next(self.places.len())?;
        self.places.push(record);
        self.ids.insert(record, id);
        Ok(PlaceId(id))
    }

    /// Adds a range whose place has the same names in all languages. Addresses between it and the one before have no
    /// place.
    ///
    /// # Errors
    ///
    /// When the range is out of order, or the format cannot hold its place.
    pub fn add<A: Into<IpAddr>>(&mut self, addresses: RangeInclusive<A>, place: Place<'_>) -> Result<(), BuildError> {
        let place = self.place(&[place])?;
        self.add_place(addresses, place)
    }

    /// Adds a range whose place has a number. Addresses of IPv6 that are not in `2000::/3` are left out.
    ///
    /// # Errors
    ///
    /// When the range is out of order.
    pub fn add_place<A: Into<IpAddr>>(
        &mut self,
        addresses: RangeInclusive<A>,
        PlaceId(id): PlaceId,
    ) -> Result<(), BuildError> {
        let (first, last) = addresses.into_inner();
        let (first, last) = (first.into(), last.into());
        let is_added = match (first, last) {
            (IpAddr::V4(first), IpAddr::V4(last)) => self.v4.add(first.to_bits().into(), last.to_bits().into(), id),
            (IpAddr::V6(first), IpAddr::V6(last)) => self.v6.add(first.to_bits(), last.to_bits(), id),
            _ => false,
        };
        if is_added { Ok(()) } else { Err(BuildError::Order { first, last }) }
    }

    /// The bytes of the database.
    pub fn finish(mut self) -> Vec<u8> {
        self.v4.go_to(self.v4.end);
        let v4 = self.v4.list.iter().map(|&(first, place)| {
            let [bucket, rest] = halves(Ipv4Addr::from_bits(first as u32));
            (bucket, rest.into(), place)
        });
        let (v4, (v6, parts)): (Vec<_>, _) = (v4.collect(), self.networks());
        let mut languages = [0; _];
        for (number, &language) in languages.iter_mut().zip(&self.languages) {
            *number = language as u8;
        }
        let header = Header {
            ranges: v4.len() as u32,
            ranges_v6: v6.len() as u32,
            parts: parts.len() as u32,
            places: self.places.len() as u32,
            text: self.text.len() as u32,
            languages,
        };
        let mut file = Vec::with_capacity(header.file_len() as usize);
        header.emit(&mut file);
        table::emit::<4>(&mut file, &v4, header.is_wide());
        if !v6.is_empty() {
            table::emit::<8>(&mut file, &v6, header.is_wide());
        }
        file.extend(parts.iter().flat_map(|&(first, place)| part(first, place)));
        file.extend(self.places.as_flattened());
        file.extend(self.text.bytes());
        file.extend(crc32fast::hash(&file).to_le_bytes());
        file
    }

    /// The ranges of IPv6 by the upper halves of their addresses, and the parts of what is longer.
    fn networks(&mut self) -> (Vec<Entry>, Vec<(u128, u32)>) {
        let (mut networks, mut parts) = (Vec::new(), Vec::new());
        if self.v6.list.is_empty() {
            return (networks, parts);
        }
        self.v6.go_to(V6_TO);
        let of_parts = self.places.len() as u32;
        let mut push = |network: u128, place: u32| {
            if let Some((bucket, rest)) = bucket_v6(network << 64) {
                networks.push((bucket, rest, place));
            }
        };
        // The first network behind one with parts, and the place that is there if nothing else begins there.
        let mut behind = None;
        let mut before = UNKNOWN as u32;
        for ranges in self.v6.list.chunk_by(|a, b| a.0 >> 64 == b.0 >> 64) {
            let (first, place) = ranges[0];
            let network = first >> 64;
            if let Some((behind, place)) = behind.take().filter(|&(behind, _)| behind < network) {
                push(behind, place);
            }
            if ranges.len() == 1 && first as u64 == 0 {
                push(network, place);
                before = place;
            } else {
                push(network, of_parts);
                if first as u64 != 0 {
                    parts.push((network << 64, before));
                }
                parts.extend(ranges);
                before = ranges[ranges.len() - 1].1;
                behind = Some((network + 1, before));
            }
        }
        if let Some((behind, place)) = behind {
            push(behind, place);
        }
        (networks, parts)
    }

    /// Where in the text these strings follow one another.
    fn strings(&mut self, strings: &[&str]) -> Result<u32, BuildError> {
        let mut bytes = String::new();
        for string in strings {
            bytes.push(char::from(string.len() as u8));
            bytes.push_str(string);
        }
        if let Some(&at) = self.strings.get(&*bytes) {
            return Ok(at);
        }
        let at = u32::try_from(self.text.len()).map_err(|_| BuildError::TooMuchText)?;
        self.text.push_str(&bytes);
        self.strings.insert(bytes.into(), at);
        Ok(at)
    }
}

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}

/// Bucket, rest and place of a range.
type Entry = (u16, u64, u32);

/// The first address of IPv6 that a database has, and the one behind the last.
const V6_FROM: u128 = 0x2000 << 112;
const V6_TO: u128 = 0x4000 << 112;

/// The most bytes of a string: its length is a character of one byte.
pub(super) const MAX_STRING: usize = 127;

fn number_of_next(places: usize) -> Result<u32, BuildError> {
    if places < Builder::MAX_PLACES { Ok(places as u32) } else { Err(BuildError::TooManyPlaces) }
}

/// The ranges of one family so far.
#[derive(Debug)]
struct Ranges {
    /// First address and place of each range.
    list: Vec<(u128, u32)>,
    /// The first address behind all ranges so far, the end of all in the end.
    next: u128,
    /// The last address that was added, also outside of these.
    last: Option<u128>,
    end: u128,
}

impl Ranges {
    const fn new(begin: u128, end: u128) -> Self {
        Self { list: Vec::new(), next: begin, last: None, end }
    }

    /// Adds a range. Returns whether it is in order.
    fn add(&mut self, first: u128, last: u128, place: u32) -> bool {
        if last < first || self.last.is_some_and(|before| first <= before) {
            return false;
        }
        self.last = Some(last);
        let (begin, end) = (first.max(self.next), last.saturating_add(1).min(self.end));
        if begin < end {
            self.go_to(begin);
            self.begin(place);
            self.next = end;
        }
        true
    }

    /// Leaves addresses up to `address` without a place.
    fn go_to(&mut self, address: u128) {
        if self.next < address {
            self.begin(UNKNOWN as u32);
            self.next = address;
        }
    }

    /// Begins a range at `next`, unless the one before it has the same place.
    fn begin(&mut self, place: u32) {
        if self.list.last().is_none_or(|&(_, before)| before != place) {
            self.list.push((self.next, place));
        }
    }
}

/// Why a range or a place cannot be added.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum BuildError {
    /// It ends before it begins, or begins before the one before it ends.
    #[error("the range from {first} to {last} is out of order")]
    Order {
        /// Its first address.
        first: IpAddr,
        /// Its last address.
        last: IpAddr,
    },
    /// There are more places than the format can number.
    #[error("more than {} places", Builder::MAX_PLACES)]
    TooManyPlaces,
    /// There is more text than the format can number.
    #[error("more than 4 GiB of names")]
    TooMuchText,
    /// The names of a place are longer than [`Place::MAX_LEN`] together, or one of its strings is longer than 127
    /// bytes.
    #[error("names of {len} bytes for one place, where {} can be, and {MAX_STRING} in one", Place::MAX_LEN)]
    PlaceTooLong {
        /// The bytes of its names.
        len: usize,
    },
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::super::Database;
    use super::*;

    fn address(bits: u32) -> Ipv4Addr {
        Ipv4Addr::from_bits(bits)
    }

    fn country(name: &str) -> Place<'_> {
        Place { country: name, ..Place::default() }
    }

    #[test]
    fn neighbours_of_one_place_become_one_range() {
        let mut builder = Builder::new();
        builder.add(address(0)..=address(9), country("a")).unwrap();
        builder.add(address(10)..=address(19), country("a")).unwrap();
        builder.add(address(20)..=address(u32::MAX), country("b")).unwrap();
        let file = builder.finish();
        let ranges: Vec<_> = Database::open(&file).unwrap().ranges().collect();
        assert_eq!(ranges, [(address(0), Some(country("a"))), (address(20), Some(country("b")))]);
    }

    #[test]
    fn a_database_of_nothing_knows_nothing() {
        let file = Builder::new().finish();
        let database = Database::open(&file).unwrap();
        assert_eq!(database.ranges().collect::<Vec<_>>(), [(address(0), None)]);
        assert_eq!(database.lookup(Ipv4Addr::BROADCAST), None);
    }

    #[test]
    fn ranges_that_do_not_ascend_are_refused() {
        let mut builder = Builder::new();
        builder.add(address(5)..=address(u32::MAX - 1), country("a")).unwrap();
        for (first, last) in [(4, 4), (u32::MAX - 1, u32::MAX), (u32::MAX, 0)].map(|(a, b)| (address(a), address(b))) {
            let refused = builder.add(first..=last, country("b"));
            assert_eq!(refused, Err(BuildError::Order { first: first.into(), last: last.into() }));
        }
        builder.add(address(u32::MAX)..=address(u32::MAX), country("b")).unwrap();
    }

    #[test]
    fn what_the_format_cannot_hold_is_refused() {
        let mut builder = Builder::new();
        let long = "x".repeat(Place::MAX_LEN + 1);
        let refused = builder.add(address(0)..=address(0), country(&long));
        assert_eq!(refused, Err(BuildError::PlaceTooLong { len: Place::MAX_LEN + 1 }));

        let name = "x".repeat(MAX_STRING + 1);
        let long = Place { org: &name, ..Place::default() };
        assert_eq!(builder.place(&[long]), Err(BuildError::PlaceTooLong { len: MAX_STRING + 1 }));
        assert!(builder.place(&[country(&name[1..])]).is_ok());

        assert_eq!(number_of_next(Builder::MAX_PLACES - 1), Ok(Builder::MAX_PLACES as u32 - 1));
        assert_eq!(number_of_next(Builder::MAX_PLACES), Err(BuildError::TooManyPlaces));
    }

    /// As many places as fit 16 bits, with the unknown one, and one more.
    #[test]
    fn numbers_of_places_have_24_bits_where_16_are_too_few() {
        for count in [0xffff_u32, 0x1_0000, 0x1_0001] {
            let names: Vec<_> = (1..count).map(|id| id.to_string()).collect();
            let mut builder = Builder::new();
            let network = |id: u32| Ipv6Addr::from_bits(V6_FROM + (u128::from(id) << 80));
            for (id, name) in (1..).zip(&names) {
                builder.add(address(id)..=address(id), country(name)).unwrap();
                let first = network(id);
                builder.add(first..=Ipv6Addr::from_bits(first.to_bits() + 7), country(name)).unwrap();
            }
            let file = builder.finish();
            let database = Database::open(&file).unwrap();
            assert_eq!(database.place_count(), count as usize);
            for (id, name) in (1..).zip(&names) {
                for address in [IpAddr::V4(address(id)), IpAddr::V6(network(id))] {
                    assert_eq!(database.lookup(address), Some(country(name)));
                }
            }
            assert_eq!(database.lookup(Ipv6Addr::from_bits(network(1).to_bits() + 8)), None);
        }
    }

    #[test]
    fn a_name_that_a_language_has_not_is_that_of_the_first() {
        let mut builder = Builder::in_languages(&[Language::Chinese, Language::English, Language::German]);
        let place = |country, city| Place { country, city, ..Place::default() };
        let id = builder.place(&[place("中国", "广州市"), place("China", "")]).unwrap();
        builder.add_place(address(0)..=address(9), id).unwrap();
        let file = builder.finish();
        let database = Database::open(&file).unwrap();
        let found = [0, 1, 2, 3].map(|language| database.lookup_in(address(7).into(), language).unwrap());
        let names = found.map(|place| [place.country, place.city]);
        assert_eq!(names[0], ["中国", "广州市"]);
        assert_eq!(names[1], ["China", "广州市"]);
        assert_eq!(names[2], ["中国", "广州市"]);
        assert_eq!(names[3], ["中国", "广州市"], "a language that there is not is the first");
        assert_eq!(database.languages().map(Language::tag).collect::<Vec<_>>(), ["zh", "en", "de"]);
    }
}
