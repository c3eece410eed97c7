//! Makes a database of one or several sources.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::builder::{BuildError, Builder, MAX_STRING, PlaceId};
use super::countries;
use super::database::{Database, Place};
use super::language::Language;
use super::source::{Range, Record, Source};

/// Ranges between two calls of `progress`: enough calls for a smooth progress bar.
const PROGRESS_STEP: u64 = 4096;

/// The result of [`prepare`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Prepared {
    /// The contents of the database file.
    pub database: Vec<u8>,
    /// Ranges of IPv4 in the database.
    pub ranges: usize,
    /// Ranges of IPv6 in the database.
    pub ranges_v6: usize,
    /// Places in the database, the unknown one counted.
    pub places: usize,
}

/// Builds a database of what sources say. Where several say where an address is, or whose it is, the first of them
/// counts.
///
/// Names are kept in `languages`, or, if there are none, in all those of the sources, and those of countries also in
/// English and Chinese. `progress` is called with the number of ranges so far, and about how many there are. The same
/// sources always make the same database.
///
/// # Errors
///
/// When the format cannot hold what the sources say.
pub fn prepare(
    sources: &[Source],
    languages: &[Language],
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Prepared, BuildError> {
    let mut all: Vec<Language> = Vec::new();
    let of_sources = sources.iter().flat_map(|source| &source.languages).chain(&countries::LANGUAGES);
    for &language in if languages.is_empty() { of_sources.collect::<Vec<_>>() } else { languages.iter().collect() } {
        if !all.contains(&language) {
            all.push(language);
        }
    }
    let mut places = Places { sources, builder: Builder::in_languages(&all), languages: all, known: HashMap::new() };
    let total = sources.iter().map(|source| source.len() as u64).sum();
    let mut done = 0_u64;
    for family in 0..2 {
        let mut sweep = Sweep { ranges: sources.iter().map(|source| &source.ranges[family][..]).collect(), at: 0 };
        while let Some((first, last, records)) = sweep.next() {
            if done < total && done.is_multiple_of(PROGRESS_STEP) {
                progress(done, total);
            }
            done += 1;
            let place = places.of(&records)?;
            let address = |bits: u128| match family {
                0 => IpAddr::V4(Ipv4Addr::from_bits(bits as u32)),
                _ => IpAddr::V6(Ipv6Addr::from_bits(bits)),
            };
            places.builder.add_place(address(first)..=address(last), place)?;
        }
    }
    progress(total, total);
    let database = places.builder.finish();
    let opened = Database::open(&database).expect("what the builder makes can be opened");
    let (ranges, ranges_v6, places) = (opened.range_count(), opened.range_count_v6(), opened.place_count());
    Ok(Prepared { database, ranges, ranges_v6, places })
}

/// Goes through the ranges of several sources at once.
struct Sweep<'a> {
    /// The ranges of each source that do not end before `at`.
    ranges: Vec<&'a [Range]>,
    at: u128,
}

impl Sweep<'_> {
    /// The next addresses that any source knows of, up to where one says something else: first, last, and the number
    /// of the record of each source.
    fn next(&mut self) -> Option<(u128, u128, Vec<Option<u32>>)> {
        let first =
            self.ranges.iter().filter_map(|ranges| ranges.first()).map(|range| range.first.max(self.at)).min()?;
        let mut last = u128::MAX;
        let mut records = Vec::with_capacity(self.ranges.len());
        for ranges in &mut self.ranges {
            let record = match ranges.first() {
                Some(range) if range.first <= first => {
                    last = last.min(range.last);
                    Some(range.record)
                }
                Some(range) => {
                    last = last.min(range.first - 1);
                    None
                }
                None => None,
            };
            records.push(record);
        }
        for ranges in &mut self.ranges {
            if let Some((_, rest)) = ranges.split_first().filter(|(range, _)| range.last == last) {
                *ranges = rest;
            }
        }
        self.at = last.saturating_add(1);
        Some((first, last, records))
    }
}

/// The places of the database, by the records that they were made of.
struct Places<'a> {
    sources: &'a [Source],
    builder: Builder,
    languages: Vec<Language>,
    /// By source and number of the record that says where addresses are, and of the one that says whose they are.
    known: HashMap<[Option<(usize, u32)>; 2], PlaceId>,
}

impl Places<'_> {
    /// The place of addresses that each source has this record of.
    fn of(&mut self, records: &[Option<u32>]) -> Result<PlaceId, BuildError> {
        let record = |(source, at): (usize, u32)| &self.sources[source].records[at as usize];
        let first = |is_there: fn(&Record) -> bool| {
            let known = records.iter().enumerate().filter_map(|(source, &at)| Some((source, at?)));
            known.into_iter().find(|&it| is_there(record(it)))
        };
        let of = [first(Record::has_place), first(Record::has_network)];
        if let Some(&id) = self.known.get(&of) {
            return Ok(id);
        }
        let nothing = Record::default();
        let [place, network] = of.map(|of| of.map_or(&nothing, record));
        let in_languages: Vec<_> =
            self.languages.iter().map(|&language| Owned::of(place, network, language, self.languages[0])).collect();
        let in_languages: Vec<_> = in_languages.iter().map(Owned::place).collect();
        let id = self.builder.place(&in_languages)?;
        self.known.insert(of, id);
        Ok(id)
    }
}

/// A place in one language.
struct Owned<'a> {
    names: [String; 3],
    code: &'a str,
    org: String,
    asn: u32,
    position: Option<[i32; 2]>,
}

impl<'a> Owned<'a> {
    fn of(place: &'a Record, network: &'a Record, language: Language, first: Language) -> Self {
        let country = place.names[0].first().map_or("", |(_, name)| name);
        let code = if place.code.is_empty() { countries::code(country).unwrap_or_default() } else { &place.code };
        let name = |at: usize| {
            let known = &place.names[at];
            let in_it = |language| known.iter().find(|&&(of, _)| of == language).map(|(_, name)| name.as_str());
            let of_country = |language| countries::name(code, language).filter(|_| at == 0);
            // The first language has every name, if need be one in another.
            let any = || known.first().map(|(_, name)| name.as_str()).or_else(|| (at == 0).then_some(code));
            let own = in_it(language).or_else(|| of_country(language));
            own.or_else(|| if language == first { any() } else { None }).unwrap_or_default()
        };
        // Country and region have at most a third of the room each, and the city what is left of it.
        let [country, region] = [0, 1].map(|at| shortened(name(at), Place::MAX_LEN / 3));
        let room = (Place::MAX_LEN - country.len() - region.len()).min(MAX_STRING);
        let names = [country, region, shortened(name(2), room)];
        Self { names, code, org: shortened(&network.org, ORG_MAX), asn: network.asn, position: place.position }
    }

    fn place(&self) -> Place<'_> {
        let [country, region, city] = self.names.each_ref().map(String::as_str);
        Place { country, region, city, code: self.code, org: &self.org, asn: self.asn, position: self.position }
    }
}

/// The most bytes of the name of an organization.
const ORG_MAX: usize = 100;

/// A text of at most so many bytes, with an ellipsis where it was longer.
fn shortened(text: &str, max: usize) -> String {
    const ELLIPSIS: &str = "…";
    let text = text.trim();
    if text.len() <= max {
        return text.to_owned();
    }
    let end = (0..=max - ELLIPSIS.len()).rev().find(|&end| text.is_char_boundary(end)).unwrap_or_default();
    [text[..end].trim_end(), ELLIPSIS].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_shortened_between_two_characters() {
        assert_eq!(shortened(" abcdef ", 6), "abcdef");
        assert_eq!(shortened("abcdefg", 6), "abc…");
        assert_eq!(shortened("国国国", 8), "国…");
        assert_eq!(shortened("ab cdefg", 6), "ab…");
    }

    #[test]
    fn ranges_of_several_sources_are_cut_where_one_says_something_else() {
        let range = |first, last, record| Range { first, last, record };
        let [one, two] = [vec![range(5, 9, 0), range(20, 29, 1)], vec![range(0, 6, 7), range(8, 24, 8)]];
        let mut sweep = Sweep { ranges: vec![&one, &two], at: 0 };
        let all: Vec<_> = std::iter::from_fn(|| sweep.next()).collect();
        let expected = [
            (0, 4, vec![None, Some(7)]),
            (5, 6, vec![Some(0), Some(7)]),
            (7, 7, vec![Some(0), None]),
            (8, 9, vec![Some(0), Some(8)]),
            (10, 19, vec![None, Some(8)]),
            (20, 24, vec![Some(1), Some(8)]),
            (25, 29, vec![Some(1), None]),
        ];
        assert_eq!(all, expected);
        let whole = [range(0, u128::MAX, 0)];
        let mut sweep = Sweep { ranges: vec![&whole], at: 0 };
        assert_eq!(sweep.next(), Some((0, u128::MAX, vec![Some(0)])));
        assert_eq!(sweep.next(), None);
    }
}
