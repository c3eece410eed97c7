//! Builds a database.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

use thiserror::Error;

use super::database::{Header, INDEX_LEN, Place, range};

/// Builds the bytes of a [`Database`](super::Database) from ranges in ascending order.
///
/// Adjacent ranges with the same place are merged. The same ranges always make the same bytes.
#[derive(Debug)]
pub struct Builder<'a> {
    /// First address and place of each range.
    ranges: Vec<(u32, u16)>,
    places: Vec<Place<'a>>,
    ids: HashMap<Place<'a>, u16>,
    /// The first address behind all ranges so far; 2^32 at the end.
    next: u64,
}

impl<'a> Builder<'a> {
    /// The most places of a database: their numbers have 16 bits.
    pub const MAX_PLACES: usize = 1 << 16;

    /// The place of addresses in no range.
    const UNKNOWN: u16 = 0;

    /// An empty database.
    pub fn new() -> Self {
        let unknown = Place::default();
        Self { ranges: Vec::new(), places: vec![unknown], ids: HashMap::from([(unknown, Self::UNKNOWN)]), next: 0 }
    }

    /// Adds a range. Addresses between it and the one before have no place.
    ///
    /// # Errors
    ///
    /// When the range is out of order, or the format cannot hold its place.
    pub fn add(&mut self, addresses: RangeInclusive<Ipv4Addr>, place: Place<'a>) -> Result<(), BuildError> {
        let (first, last) = addresses.into_inner();
        let (begin, end) = (u64::from(first.to_bits()), u64::from(last.to_bits()) + 1);
        if begin < self.next || end <= begin {
            return Err(BuildError::Order { first, last });
        }
        let id = self.id_of(place)?;
        self.go_to(begin);
        self.begin(id);
        self.next = end;
        Ok(())
    }

    /// The bytes of the database.
    pub fn finish(mut self) -> Vec<u8> {
        self.go_to(1 << 32);
        let text: String = self.places.iter().flat_map(Place::names).collect();
        let header =
            Header { ranges: self.ranges.len() as u32, places: self.places.len() as u32, text: text.len() as u32 };
        let mut file = Vec::new();
        header.emit(&mut file);
        for word in self.index().chain(self.ranges()).chain(self.name_bounds()) {
            file.extend(word.to_le_bytes());
        }
        file.extend(text.bytes());
        file.extend(crc32fast::hash(&file).to_le_bytes());
        file
    }

    /// Leaves addresses up to `address` without a place.
    fn go_to(&mut self, address: u64) {
        if self.next < address {
            self.begin(Self::UNKNOWN);
            self.next = address;
        }
    }

    /// Begins a range at `next`, unless the one before it has the same place.
    fn begin(&mut self, place: u16) {
        if self.ranges.last().is_none_or(|&(_, before)| before != place) {
            self.ranges.push((self.next as u32, place));
        }
    }

    fn id_of(&mut self, place: Place<'a>) -> Result<u16, BuildError> {
        if let Some(&id) = self.ids.get(&place) {
            return Ok(id);
        }
        if place.len() > Place::MAX_LEN {
            return Err(BuildError::PlaceTooLong { len: place.len() });
        }
        let id = u16::try_from(self.places.len()).map_err(|_| BuildError::TooManyPlaces)?;
        self.places.push(place);
        self.ids.insert(place, id);
        Ok(id)
    }

    fn index(&self) -> impl Iterator<Item = u32> {
        (0..INDEX_LEN as u64).map(|high| {
            let first_above = high << 16;
            self.ranges.partition_point(|&(first, _)| u64::from(first) < first_above) as u32
        })
    }

    fn ranges(&self) -> impl Iterator<Item = u32> {
        self.ranges.iter().map(|&(first, place)| range(first, place))
    }

    fn name_bounds(&self) -> impl Iterator<Item = u32> {
        let ends = self.places.iter().flat_map(Place::names).scan(0, |end, name| {
            *end += name.len() as u32;
            Some(*end)
        });
        std::iter::once(0).chain(ends)
    }
}

impl Default for Builder<'_> {
    fn default() -> Self {
        Self::new()
    }
}

/// Why a range cannot be added.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum BuildError {
    /// It ends before it begins, or begins before the one before it ends.
    #[error("the range from {first} to {last} is out of order")]
    Order {
        /// Its first address.
        first: Ipv4Addr,
        /// Its last address.
        last: Ipv4Addr,
    },
    /// There are more places than the format can number.
    #[error("more than {} places", Builder::MAX_PLACES)]
    TooManyPlaces,
    /// The names of a place are longer than [`Place::MAX_LEN`] together.
    #[error("names of {len} bytes for one place, where {} can be", Place::MAX_LEN)]
    PlaceTooLong {
        /// The bytes of its names.
        len: usize,
    },
}

#[cfg(test)]
mod tests {
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
            assert_eq!(refused, Err(BuildError::Order { first, last }));
        }
        builder.add(address(u32::MAX)..=address(u32::MAX), country("b")).unwrap();
    }

    #[test]
    fn what_the_format_cannot_hold_is_refused() {
        let mut builder = Builder::new();
        let long = "x".repeat(Place::MAX_LEN + 1);
        let refused = builder.add(address(0)..=address(0), country(&long));
        assert_eq!(refused, Err(BuildError::PlaceTooLong { len: Place::MAX_LEN + 1 }));

        let names: Vec<_> = (0..Builder::MAX_PLACES as u32).map(|id| id.to_string()).collect();
        let (last, names) = names.split_last().unwrap();
        for (id, name) in (0..).zip(names) {
            builder.add(address(id)..=address(id), country(name)).unwrap();
        }
        let one_more = address(0xffff)..=address(0xffff);
        assert_eq!(builder.add(one_more.clone(), country(last)), Err(BuildError::TooManyPlaces));
        builder.add(one_more, country("0")).unwrap();
        assert_eq!(Database::open(&builder.finish()).unwrap().place_count(), Builder::MAX_PLACES);
    }
}
