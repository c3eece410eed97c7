//! What holds for every database, and for every file that is none.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use lethe_apps::ContainerError;
use lethe_apps::ipinfo::{Builder, Database, OpenError, Place, Source, prepare};
use proptest::prelude::*;
use proptest::sample::Index;

/// Ranges in order, some of them neighbours, and the name of each one's country.
type Table = Vec<(u32, u32, u8)>;

/// Random tables: the borders of ranges with what lies between two of them known or not.
fn table() -> impl Strategy<Value = Table> {
    let border =
        prop_oneof![any::<u32>(), any::<u16>().prop_map(|high| u32::from(high) << 16), 0_u32..100, Just(u32::MAX)];
    let borders = proptest::collection::btree_set(border, 0..60);
    (borders, proptest::collection::vec(proptest::option::of(0..4_u8), 60)).prop_map(|(borders, names)| {
        let borders: Vec<_> = borders.into_iter().collect();
        let between = borders.windows(2).map(|pair| (pair[0], pair[1] - 1));
        between.zip(names).filter_map(|((first, last), name)| Some((first, last, name?))).collect()
    })
}

const COUNTRIES: [&str; 4] = ["", "中国", "美国", "ö"];

fn built(table: &Table) -> Vec<u8> {
    let mut builder = Builder::new();
    for &(first, last, name) in table {
        let place = Place { country: COUNTRIES[usize::from(name)], ..Place::default() };
        builder.add(Ipv4Addr::from_bits(first)..=Ipv4Addr::from_bits(last), place).unwrap();
    }
    for &(first, last, name) in table {
        let place = Place { country: COUNTRIES[usize::from(name)], ..Place::default() };
        builder.add(first_v6(first)..=last_v6(last), place).unwrap();
    }
    builder.finish()
}

/// Addresses of IPv6 in the order of these numbers: both halves of an address, and some /64 with many ranges.
fn first_v6(bits: u32) -> Ipv6Addr {
    let [upper, lower] = [u128::from(bits >> 8), u128::from(bits & 0xff)];
    Ipv6Addr::from_bits((0x20 << 120) | upper << 64 | lower << 40)
}

fn last_v6(bits: u32) -> Ipv6Addr {
    let next = bits.checked_add(1).map_or(Ipv6Addr::from_bits(0x2100 << 112), first_v6);
    Ipv6Addr::from_bits(next.to_bits() - 1)
}

/// What a lookup must find: the one range that holds the address, by looking at all of them.
fn expected(table: &Table, address: u32) -> Option<&'static str> {
    let name = table.iter().find(|(first, last, _)| (*first..=*last).contains(&address))?.2;
    Some(COUNTRIES[usize::from(name)]).filter(|name| !name.is_empty())
}

/// Writes the checksum that makes damage look intended.
fn seal(file: &mut [u8]) {
    let (contents, checksum) = file.split_last_chunk_mut().unwrap();
    *checksum = crc32fast::hash(contents).to_le_bytes();
}

proptest! {
    #[test]
    fn a_lookup_finds_what_a_look_at_all_ranges_finds(table in table(), addresses: [u32; 32]) {
        let file = built(&table);
        let database = Database::open(&file).unwrap();
        let around = |first: u32, last: u32| [first.saturating_sub(1), first, last, last.saturating_add(1)];
        let borders = table.iter().flat_map(|&(first, last, _)| around(first, last));
        for address in borders.chain(addresses).chain([0, u32::MAX]) {
            let expected = expected(&table, address);
            let addresses = [Ipv4Addr::from_bits(address).into(), first_v6(address).into(), last_v6(address).into()];
            for address in addresses {
                let address: IpAddr = address;
                prop_assert_eq!(database.lookup(address).map(|place| place.country), expected, "{}", address);
            }
        }
    }

    #[test]
    fn the_same_ranges_make_the_same_bytes(table in table()) {
        prop_assert!(built(&table) == built(&table));
    }

    #[test]
    fn a_flipped_bit_anywhere_is_refused(table in table(), at: Index, bit in 0..8_u8) {
        let mut file = built(&table);
        let at = at.index(file.len());
        file[at] ^= 1 << bit;
        prop_assert!(Database::open(&file).is_err());
    }

    #[test]
    fn a_file_cut_off_anywhere_is_refused(table in table(), at: Index) {
        let file = built(&table);
        let error = Database::open(&file[..at.index(file.len())]).unwrap_err();
        let is_cut = matches!(error, OpenError::Container(ContainerError::Length { .. } | ContainerError::Magic));
        prop_assert!(is_cut, "{}", error);
    }

    #[test]
    fn no_bytes_make_open_panic(mut bytes: Vec<u8>) {
        prop_assert!(Database::open(&bytes).is_err());
        bytes.splice(..0, *b"LETHE-IP\x02\0\0\0");
        prop_assert!(Database::open(&bytes).is_err());
    }

    #[test]
    fn no_bytes_make_prepare_panic(mut bytes: Vec<u8>) {
        let _ = Source::read(&bytes, None, false);
        bytes.splice(..0, 2_u16.to_le_bytes());
        prop_assert!(Source::read(&bytes, None, false).is_err());
    }

    #[test]
    fn no_segments_make_prepare_panic_and_what_it_makes_opens(
        region in "(中国|美国|0)(\\|[0a省]{0,3}){4}",
        segments in proptest::collection::vec((0..40_u32, 0..9_u32, 0..3_u32, 0..50_u16), 1..20),
    ) {
        const REGION: u32 = 256 + 256 * 256 * 8;
        let mut file = vec![0; REGION as usize];
        file.extend(region.bytes());
        let first = file.len() as u32;
        let mut next = 0;
        for (gap, length, offset, len) in &segments {
            let len = if *len < 40 { region.len() as u16 } else { *len };
            let begin = next + gap;
            next = begin + length;
            file.extend([begin, next].iter().flat_map(|bits| bits.to_le_bytes()));
            file.extend(len.to_le_bytes());
            file.extend((REGION + offset / 2).to_le_bytes());
        }
        let last = file.len() as u32 - 14;
        file[..2].copy_from_slice(&2_u16.to_le_bytes());
        file[8..12].copy_from_slice(&first.to_le_bytes());
        file[12..16].copy_from_slice(&last.to_le_bytes());
        let source = Source::read(&file, None, false);
        prop_assume!(source.is_ok());
        let source = source.unwrap();
        prop_assert_eq!(source.len(), segments.len());
        let prepared = prepare(&[source], &[], &mut |_, _| ()).unwrap();
        let database = Database::open(&prepared.database).unwrap();
        prop_assert_eq!((prepared.ranges, prepared.places), (database.range_count(), database.place_count()));
    }
}

proptest! {
    // One in twenty gets past `open`, and only those are counted.
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        max_global_rejects: 4096,
        ..ProptestConfig::with_cases(24)
    })]

    /// The strong one: whatever got past `open` cannot fail later, checksum or no checksum.
    #[test]
    fn what_opens_answers_any_address(
        table in table(),
        damage in proptest::collection::vec((any::<Index>(), any::<u8>(), any::<bool>()), 1..3),
        addresses: [u32; 32],
    ) {
        /// Where the index ends.
        const RANGES: usize = 40 + 4 * 65_537;
        let mut file = built(&table);
        let count = |at: usize| u32::from_le_bytes(*file[at..].first_chunk().unwrap()) as usize;
        // Where the ranges of IPv6 begin, if there are any.
        let behind = RANGES + 4 * count(12) + if count(16) > 0 { 4 * 65_537 } else { 0 };
        for (at, byte, behind_index) in damage {
            let from = if behind_index { behind } else { 8 };
            let len = file.len() - from;
            file[from + at.index(len)] = byte;
        }
        seal(&mut file);
        // A case that is refused is drawn anew: were all of them, the property would say nothing.
        let database = Database::open(&file);
        prop_assume!(database.is_ok());
        let database = database.unwrap();
        for address in addresses.into_iter().chain([0, u32::MAX]) {
            for address in [IpAddr::V4(Ipv4Addr::from_bits(address)), first_v6(address).into()] {
                prop_assert!(database.lookup(address).is_none_or(|place| place.len() <= Place::MAX_LEN));
            }
        }
        prop_assert_eq!(database.ranges().count(), database.range_count());
    }
}

/// The embedded database, with every bit of its header and some others flipped.
#[test]
fn a_flipped_bit_in_the_embedded_database_is_refused() {
    let file = include_bytes!("../data/ipinfo.db");
    let mut damaged = file.to_vec();
    let mut steps = (0..40 * 8).chain((40 * 8..file.len() * 8).step_by(99_991));
    assert!(steps.all(|bit| {
        damaged[bit / 8] ^= 1 << (bit % 8);
        let refused = Database::open(&damaged).is_err();
        damaged[bit / 8] ^= 1 << (bit % 8);
        refused
    }));
    assert!(Database::open(&damaged).is_ok());
}
