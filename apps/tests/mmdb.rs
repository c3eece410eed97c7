//! MaxMind DB files, in the shapes that they are published in: what is made of them, or why nothing is.

mod support;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use lethe_apps::ipinfo::{Database, Language, Place, PrepareError, Source, prepare};
use maxminddb::{LookupResult, Reader, WithinOptions, path};
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};
use support::mmdb::mmdb;

/// The database of these files together.
fn prepared(files: &[&[u8]], languages: &[Language]) -> Vec<u8> {
    let sources: Vec<_> = files.iter().map(|file| Source::read(file, None, false).unwrap()).collect();
    prepare(&sources, languages, &mut |_, _| ()).unwrap().database
}

/// The place of an address in the database of one file with one record for 1.0.0.0/8 and `2600::/12`.
#[track_caller]
fn check(record: &Value, expected: Place<'_>) {
    let file = mmdb(&[("2600::/12", record), ("1.0.0.0/8", record)], "Test");
    let database = prepared(&[&file], &[Language::English]);
    let database = Database::open(&database).unwrap();
    for address in ["1.0.0.0", "1.255.255.255", "2600::", "260f:ffff:ffff:ffff:ffff:ffff:ffff:ffff"] {
        assert_eq!(database.lookup(address.parse::<IpAddr>().unwrap()), Some(expected), "{address}");
    }
    for address in ["0.255.255.255", "2.0.0.0", "25ff:ffff::", "2610::", "::"] {
        assert_eq!(database.lookup(address.parse::<IpAddr>().unwrap()), None, "{address}");
    }
}

const MOUNTAIN_VIEW: Place<'_> = Place {
    country: "United States",
    region: "California",
    city: "Mountain View",
    code: "US",
    org: "",
    asn: 0,
    position: Some([374_223, -1_220_850]),
};

const GOOGLE: Place<'_> =
    Place { country: "", region: "", city: "", code: "", org: "Google LLC", asn: 15169, position: None };

fn geolite_city() -> Value {
    json!({
        "city": { "geoname_id": 5_375_480, "names": { "en": "Mountain View", "ru": "Маунтин-Вью" } },
        "continent": { "code": "NA", "names": { "en": "North America" } },
        "country": { "iso_code": "US", "names": { "en": "United States", "de": "USA", "zh-CN": "美国" } },
        "location": { "accuracy_radius": 1000, "latitude": 37.4223, "longitude": -122.085 },
        "subdivisions": [{ "iso_code": "CA", "names": { "en": "California", "pt-BR": "Califórnia" } }, { "names": {} }],
    })
}

#[test]
fn the_shape_of_geolite2_geoip2_and_db_ip_is_read() {
    check(&geolite_city(), MOUNTAIN_VIEW);
    let country = json!({ "country": { "iso_code": "US", "names": { "en": "United States" } } });
    check(&country, Place { country: "United States", code: "US", ..Place::default() });
    let asn = json!({ "autonomous_system_number": 15169, "autonomous_system_organization": "Google LLC" });
    check(&asn, GOOGLE);
}

#[test]
fn the_shape_of_ip_location_db_is_read() {
    let city = json!({
        "city": "Mountain View", "country_code": "US", "latitude": 37.4223, "longitude": -122.085, "postcode": "",
        "state1": "California", "state2": "", "timezone": "",
    });
    check(&city, MOUNTAIN_VIEW);
    check(&json!({ "country_code": "US" }), Place { country: "United States", code: "US", ..Place::default() });
    check(&json!({ "autonomous_system_number": 15169, "autonomous_system_organization": "Google LLC" }), GOOGLE);
}

#[test]
fn the_shape_of_ipinfo_is_read() {
    let lite = json!({
        "as_domain": "google.com", "as_name": "Google LLC", "asn": "AS15169", "continent": "North America",
        "continent_code": "NA", "country": "United States", "country_code": "US",
    });
    check(&lite, Place { country: "United States", code: "US", ..GOOGLE });
    let location = json!({
        "city": "Mountain View", "country": "US", "lat": "37.4223", "lng": "-122.0850", "region": "California",
    });
    check(&location, MOUNTAIN_VIEW);
    let country =
        json!({ "country": "US", "country_name": "United States", "asn": "AS15169", "as_name": "Google LLC" });
    check(&country, Place { country: "United States", code: "US", ..GOOGLE });
}

#[test]
fn a_value_of_another_type_is_not_there() {
    let odd = json!({
        "country_code": 7, "city": ["a"], "latitude": "north", "longitude": 1.5, "asn": {}, "country": { "names": "x" },
        "as_name": "Google LLC", "autonomous_system_number": 15169,
    });
    check(&odd, GOOGLE);
}

#[test]
fn names_are_in_the_languages_that_the_file_has_or_that_are_asked_for() {
    let file = mmdb(&[("1.0.0.0/8", &geolite_city())], "GeoLite2-City");
    let of = |languages: &[Language], at: usize| {
        let database = prepared(&[&file], languages);
        let database = Database::open(&database).unwrap();
        let place = database.lookup_in(Ipv4Addr::new(1, 2, 3, 4).into(), at).unwrap();
        let tags: Vec<_> = database.languages().map(Language::tag).collect();
        (tags.join(","), place.names().map(str::to_owned))
    };
    let all = "en,zh,de,pt,ru";
    for (at, names) in [
        ["United States", "California", "Mountain View"],
        ["美国", "California", "Mountain View"],
        ["USA", "California", "Mountain View"],
        ["United States", "Califórnia", "Mountain View"],
        ["United States", "California", "Маунтин-Вью"],
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(of(&[], at), (all.to_owned(), names.map(str::to_owned)));
    }
    // The first language has every name, if need be in another one.
    let names = ["USA", "California", "Mountain View"].map(str::to_owned);
    assert_eq!(of(&[Language::German], 0), ("de".to_owned(), names));
}

#[test]
fn of_several_files_the_first_that_says_where_and_the_first_that_says_whose_count() {
    let country = |code: &str| json!({ "country_code": code });
    let asn = |number: u32| json!({ "autonomous_system_number": number, "autonomous_system_organization": "x" });
    let city = mmdb(&[("1.0.0.0/8", &country("DE")), ("2600::/12", &country("US"))], "City");
    let more = mmdb(&[("0.0.0.0/1", &country("FR"))], "Country");
    let networks = mmdb(&[("1.128.0.0/9", &asn(7)), ("2600:8000::/17", &asn(8)), ("9.0.0.0/8", &asn(9))], "ASN");
    let database = prepared(&[&city, &networks, &more], &[]);
    let database = Database::open(&database).unwrap();
    for (address, code, asn) in [
        ("0.0.0.0", "FR", 0),
        ("1.0.0.0", "DE", 0),
        ("1.127.255.255", "DE", 0),
        ("1.128.0.0", "DE", 7),
        ("1.255.255.255", "DE", 7),
        ("2.0.0.0", "FR", 0),
        ("9.0.0.1", "FR", 9),
        ("2600::", "US", 0),
        ("2600:8000::", "US", 8),
        ("2600:ffff:ffff::", "US", 8),
        ("2601::", "US", 0),
    ] {
        let place = database.lookup(address.parse::<IpAddr>().unwrap()).unwrap();
        assert_eq!((place.code, place.asn), (code, asn), "{address}");
    }
    assert_eq!(database.lookup(Ipv4Addr::new(128, 0, 0, 0)), None);
}

#[test]
fn names_that_are_too_long_for_a_page_are_shortened() {
    let long = |char: &str| char.repeat(90);
    let record = json!({ "city": long("c"), "state1": long("s"), "country": long("国"), "as_name": long("oo") });
    let file = mmdb(&[("1.0.0.0/8", &record)], "City");
    let database = prepared(&[&file], &[]);
    let place = Database::open(&database).unwrap().lookup(Ipv4Addr::new(1, 0, 0, 0)).unwrap();
    assert!(place.len() <= Place::MAX_LEN && place.names().iter().all(|name| name.ends_with('…')), "{place:?}");
    assert!(place.org.len() == 100 && place.org.ends_with('…'));
}

#[test]
fn a_file_about_other_things_is_refused_with_what_it_is() {
    let file = mmdb(&[("1.0.0.0/8", &json!({ "is_anonymous": true }))], "GeoIP2-Anonymous-IP");
    let error = Source::read(&file, None, false).unwrap_err();
    assert_eq!(error, PrepareError::Nothing { database_type: "GeoIP2-Anonymous-IP".to_owned() });
    assert!(error.to_string().contains("type \"GeoIP2-Anonymous-IP\" without country_code"), "{error}");
}

#[test]
fn damage_is_named_with_its_place() {
    let file = mmdb(&[("1.0.0.0/8", &json!({ "country_code": "US" }))], "Country");
    let error_of = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut file = file.clone();
        change(&mut file);
        Source::read(&file, None, false).unwrap_err().to_string()
    };
    let find = |needle: &[u8]| file.windows(needle.len()).position(|window| window == needle).unwrap();
    // A pointer to where nothing is, in place of the record.
    let record = find(b"country_code") - 2;
    let error = error_of(&|file| file[record] = 0x38);
    assert!(error.starts_with("a damaged MaxMind DB file, in 1.0.0.0/8: "), "{error}");
    let metadata = find(b"node_count");
    let error = error_of(&|file| file[metadata] = b'x');
    assert!(error.starts_with("a damaged MaxMind DB file, in its header: "), "{error}");
    // A node that leads back to the first one.
    let error = error_of(&|file| file[..8].fill(0));
    assert!(error.starts_with("a damaged MaxMind DB file, at its first network: "), "{error}");
    // Half of a file has no end, by which it would be known.
    let error = error_of(&|file| file.truncate(200));
    assert!(error.starts_with("none of a MaxMind DB file, an xdb file"), "{error}");
}

/// Blocks without overlap: half of a block may be left to others, several times.
fn blocks() -> impl Strategy<Value = Vec<(String, u8)>> {
    let block = |(bits, prefix, v6, name): (u128, u8, bool, u8)| {
        if v6 {
            // Few upper halves, so that many a /64 has parts.
            let bits = 0x2 << 124 | (bits >> 100) << 96 | bits & 0xffff_0000_0000_0000_00ff;
            let prefix = 4 + prefix % 125;
            let bits = bits & u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or_default();
            (format!("{}/{prefix}", Ipv6Addr::from_bits(bits)), name)
        } else {
            let prefix = 4 + prefix % 29;
            let bits = bits as u32 & u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or_default();
            (format!("{}/{prefix}", Ipv4Addr::from_bits(bits)), name)
        }
    };
    proptest::collection::vec((any::<u128>(), any::<u8>(), any::<bool>(), 0..40_u8).prop_map(block), 1..80)
}

/// A record of either shape.
fn record(name: u8) -> Value {
    let (text, degrees) = (format!("city {name}"), f64::from(name) - 20.5);
    match name % 3 {
        0 => json!({ "country_code": "DE", "city": text, "latitude": degrees, "longitude": -degrees }),
        1 => json!({
            "country": { "iso_code": "FR", "names": { "en": "France" } }, "city": { "names": { "en": text } },
            "location": { "latitude": degrees, "longitude": degrees },
        }),
        _ => json!({ "autonomous_system_number": name, "autonomous_system_organization": text }),
    }
}

/// What `maxminddb` finds, and what our database does, of code, city, position and AS number.
type Known = (String, String, Option<[i32; 2]>, u32);

fn expected(found: &LookupResult<'_, impl AsRef<[u8]>>) -> Option<Known> {
    let text = |paths: [&[maxminddb::PathElement<'_>]; 2]| {
        let mut texts = paths.into_iter().filter_map(|path| found.decode_path::<String>(path).ok().flatten());
        texts.find(|text| !text.is_empty()).unwrap_or_default()
    };
    let degrees = |paths: [&[maxminddb::PathElement<'_>]; 2]| {
        let mut numbers = paths.into_iter().filter_map(|path| {
            let double = found.decode_path::<f64>(path).ok().flatten();
            double.or_else(|| found.decode_path::<f32>(path).ok().flatten().map(f64::from))
        });
        numbers.next().map(|degrees| (degrees * 10_000.0).round() as i32)
    };
    found.has_data().then(|| {
        let latitude = degrees([&path!["location", "latitude"], &path!["latitude"]]);
        let longitude = degrees([&path!["location", "longitude"], &path!["longitude"]]);
        let number = found.decode_path::<u32>(&path!["autonomous_system_number"]);
        (
            text([&path!["country", "iso_code"], &path!["country_code"]]),
            text([&path!["city", "names", "en"], &path!["city"]]),
            latitude.zip(longitude).map(|(latitude, longitude)| [latitude, longitude]),
            number.ok().flatten().unwrap_or_default(),
        )
    })
}

fn known(place: Place<'_>) -> Known {
    (place.code.to_owned(), place.city.to_owned(), place.position, place.asn)
}

/// How many of these addresses are answered otherwise than `maxminddb` does.
fn differences(file: &[u8], database: &Database<'_>, addresses: impl Iterator<Item = IpAddr>) -> usize {
    let reader = Reader::from_source(file).unwrap();
    let differs = |&address: &IpAddr| {
        let found = reader.lookup(address).ok().and_then(|found| expected(&found));
        // What says neither where nor whose addresses are is not kept.
        let found = found.filter(|(code, city, _, asn)| !code.is_empty() || !city.is_empty() || *asn != 0);
        let ours = database.lookup(address).map(known);
        let is_different = ours != found;
        if is_different {
            println!("{address}: {ours:?}, and {found:?} by maxminddb");
        }
        is_different
    };
    addresses.filter(differs).count()
}

/// Random addresses of IPv4, or of `2000::/3`.
fn random(seed: u64, v6: bool) -> impl Iterator<Item = IpAddr> {
    let mut state = seed;
    let mut next = move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed ^ mixed >> 29
    };
    std::iter::repeat_with(move || {
        if v6 {
            let bits = u128::from(next()) << 64 | u128::from(next());
            Ipv6Addr::from_bits(bits >> 3 | 0x2 << 124).into()
        } else {
            Ipv4Addr::from_bits(next() as u32).into()
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn every_address_is_answered_as_by_the_reader_of_the_file(blocks in blocks(), seed: u64) {
        let records: Vec<_> = blocks.iter().map(|(_, name)| record(*name)).collect();
        let entries: Vec<_> = blocks.iter().zip(&records).map(|((block, _), record)| (&block[..], record)).collect();
        let file = mmdb(&entries, "Test");
        let database = prepared(&[&file], &[]);
        let database = Database::open(&database).unwrap();
        let near = blocks.iter().flat_map(|(block, _)| {
            let (first, prefix) = block.split_once('/').unwrap();
            let prefix: u32 = prefix.parse().unwrap();
            match first.parse::<IpAddr>().unwrap() {
                IpAddr::V4(first) => {
                    let (first, size) = (first.to_bits(), u32::MAX.checked_shr(prefix).unwrap_or_default());
                    [first.wrapping_sub(1), first, first + size, (first + size).wrapping_add(1)]
                        .map(|bits| Ipv4Addr::from_bits(bits).into())
                }
                IpAddr::V6(first) => {
                    let (first, size) = (first.to_bits(), u128::MAX.checked_shr(prefix).unwrap_or_default());
                    [first - 1, first, first + size, first + size + 1].map(|bits| Ipv6Addr::from_bits(bits).into())
                }
            }
        });
        let near: Vec<IpAddr> = near.collect();
        let addresses = near.into_iter().chain(random(seed, false).take(200)).chain(random(seed, true).take(200));
        prop_assert_eq!(differences(&file, &database, addresses), 0);
    }

    #[test]
    fn damage_anywhere_is_an_error_or_another_file(
        blocks in blocks(),
        damage in proptest::collection::vec((any::<Index>(), any::<u8>()), 1..8),
        cut in proptest::option::of(any::<Index>()),
    ) {
        let records: Vec<_> = blocks.iter().map(|(_, name)| record(*name)).collect();
        let entries: Vec<_> = blocks.iter().zip(&records).map(|((block, _), record)| (&block[..], record)).collect();
        let mut file = mmdb(&entries, "Test");
        for (at, byte) in damage {
            let at = at.index(file.len());
            file[at] = byte;
        }
        if let Some(cut) = cut {
            file.drain(..cut.index(file.len()));
        }
        if let Ok(source) = Source::read(&file, None, false) {
            let database = prepare(&[source], &[], &mut |_, _| ()).unwrap().database;
            prop_assert!(Database::open(&database).is_ok());
        }
    }
}

/// The files in `LETHE_MMDB`, with colons between them, each by itself: `tools/ipinfo-compare` fetches some.
#[test]
fn real_files_are_answered_as_by_their_reader() {
    let Some(files) = std::env::var_os("LETHE_MMDB") else {
        println!("skipped: LETHE_MMDB names no files");
        return;
    };
    for file in std::env::split_paths(&files) {
        let bytes = std::fs::read(&file).unwrap();
        let database = prepared(&[&bytes], &[]);
        let opened = Database::open(&database).unwrap();
        let reader = Reader::from_source(&bytes).unwrap();
        // Half of them anywhere, and half in networks of the file, which are few in all of 2000::/3.
        let networks: Vec<_> =
            reader.networks(WithinOptions::default()).unwrap().map(Result::unwrap).step_by(97).collect();
        let within = |v6: bool| {
            let networks =
                networks.iter().map(|network| network.network().unwrap()).filter(move |it| it.is_ipv6() == v6);
            let networks: Vec<_> = networks.collect();
            let count = networks.len().max(1);
            let pick = random(1, v6).zip(random(2, v6)).filter_map(move |(pick, host)| {
                let bits = |address| match address {
                    IpAddr::V4(v4) => v4.to_bits().into(),
                    IpAddr::V6(v6) => v6.to_bits(),
                };
                let network = networks.get((bits(pick) % count as u128) as usize)?;
                let (first, prefix) = (bits(network.ip()), u32::from(network.prefix()));
                let size = if v6 { u128::MAX.checked_shr(prefix) } else { u128::from(u32::MAX).checked_shr(prefix) };
                let bits = first | bits(host) & size.unwrap_or_default();
                Some(if v6 { Ipv6Addr::from_bits(bits).into() } else { IpAddr::V4(Ipv4Addr::from_bits(bits as u32)) })
            });
            pick.take(if count > 1 { 5000 } else { 0 })
        };
        for v6 in [false, true] {
            let addresses: Vec<_> = random(7, v6).take(5000).chain(within(v6)).collect();
            let (count, found) = (addresses.len(), addresses.iter().filter(|&&it| opened.lookup(it).is_some()).count());
            let differ = differences(&bytes, &opened, addresses.into_iter());
            println!("{}: {count} of IPv{}, {found} known, {differ} different", file.display(), if v6 { 6 } else { 4 });
            assert_eq!(differ, 0);
        }
        println!("{}: {} bytes of {}", file.display(), database.len(), bytes.len());
    }
}
