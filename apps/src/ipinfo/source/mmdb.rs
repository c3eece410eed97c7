//! MaxMind DB files, in the shapes that they are published in.
//!
//! | | GeoLite2, GeoIP2, DB-IP | ip-location-db | IPinfo |
//! |---|---|---|---|
//! | code | `country.iso_code` | `country_code` | `country_code`, or `country` |
//! | country | `country.names.en` | | `country`, or `country_name` |
//! | region | `subdivisions[0].names.en` | `state1` | `region` |
//! | city | `city.names.en` | `city` | `city` |
//! | latitude, longitude | in `location` | as they are | as they are, or `lat`, `lng`, also as text |
//! | AS number | `autonomous_system_number` | the same | `asn`, as `AS15169` |
//! | organization | `autonomous_system_organization` | the same | `as_name` |
//!
//! A value of another type than expected is taken for one that is not there.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use maxminddb::{LookupResult, MaxMindDbError, PathElement, Reader, WithinOptions};

use super::super::language::Language;
use super::{PrepareError, Record, Source};

/// What stands before the metadata, at the end of a file.
const MARKER: &[u8] = b"\xab\xcd\xefMaxMind.com";

/// The metadata of a file has at most 128 KiB.
const METADATA_MAX: usize = 128 << 10;

/// Whether a file has the metadata of a MaxMind DB.
pub(super) fn is_mmdb(bytes: &[u8]) -> bool {
    let end = &bytes[bytes.len().saturating_sub(METADATA_MAX)..];
    end.windows(MARKER.len()).any(|window| window == MARKER)
}

/// Reads all networks of a file.
pub(super) fn read(bytes: &[u8]) -> Result<Source, PrepareError> {
    let in_header = |error: MaxMindDbError| damaged("in its header".to_owned(), &error);
    let reader = Reader::from_source(bytes).map_err(in_header)?;
    let metadata = reader.metadata();
    // A tree has one leaf more than nodes; in a damaged file, a node may be that of many networks.
    let mut leaves = u64::from(metadata.node_count) + 1;
    let mut source = Source::empty(vec![Language::English]);
    let mut records = HashMap::new();
    let options = WithinOptions::default().include_networks_without_data();
    let mut last = None;
    for network in reader.networks(options).map_err(in_header)? {
        let behind = || last.map_or_else(|| "at its first network".to_owned(), |last: IpAddr| format!("behind {last}"));
        let network = network.map_err(|error| damaged(behind(), &error))?;
        leaves = leaves.checked_sub(1).ok_or_else(|| {
            let error = "more networks than its nodes can have".to_owned();
            PrepareError::Mmdb { place: behind(), error }
        })?;
        let Some(offset) = network.offset() else { continue };
        let block = network.network().map_err(|error| damaged(behind(), &error))?;
        let record = if let Some(&record) = records.get(&offset) {
            record
        } else {
            let record = record(&network).map_err(|error| damaged(format!("in {block}"), &error))?;
            let record = (record.has_place() || record.has_network()).then(|| source.record(record));
            records.insert(offset, record);
            record
        };
        let (first, end) = ends(block.ip(), block.prefix());
        last = Some(end);
        let Some(record) = record else { continue };
        source.add(first, end, record).map_err(|error| damaged(format!("in {block}"), &error))?;
    }
    if source.records.is_empty() {
        return Err(PrepareError::Nothing { database_type: metadata.database_type.clone() });
    }
    let names = source.records.iter().flat_map(|record| &record.names).flatten();
    let languages: Vec<_> = names.map(|&(language, _)| language).collect();
    source.languages.extend(Language::ALL.into_iter().filter(|language| languages.contains(language)));
    Ok(source)
}

fn damaged(place: String, error: &impl ToString) -> PrepareError {
    PrepareError::Mmdb { place, error: error.to_string() }
}

/// The first and the last address of a network.
fn ends(address: IpAddr, prefix: u8) -> (IpAddr, IpAddr) {
    match address {
        IpAddr::V4(v4) => {
            let hosts = u32::MAX.checked_shr(prefix.into()).unwrap_or_default();
            let first = v4.to_bits() & !hosts;
            (Ipv4Addr::from_bits(first).into(), Ipv4Addr::from_bits(first | hosts).into())
        }
        IpAddr::V6(v6) => {
            let hosts = u128::MAX.checked_shr(prefix.into()).unwrap_or_default();
            let first = v6.to_bits() & !hosts;
            (Ipv6Addr::from_bits(first).into(), Ipv6Addr::from_bits(first | hosts).into())
        }
    }
}

type Network<'a, 'b> = LookupResult<'a, &'b [u8]>;

fn record(network: &Network<'_, '_>) -> Result<Record, MaxMindDbError> {
    let first_of = |paths: &[&[&str]]| {
        let mut texts = paths.iter().map(|path| text(network, path));
        texts.find(|text| !matches!(text, Ok(None))).unwrap_or(Ok(None))
    };
    let is_code = |name: &&str| name.len() == 2;
    let flat = text(network, &["country"])?;
    let code = match first_of(&[&["country", "iso_code"], &["country_code"]])? {
        None => flat.filter(is_code),
        code => code,
    };
    let names = |section: &[PathElement<'_>], flat: Option<&str>| -> Result<Vec<_>, MaxMindDbError> {
        let mut names = Vec::new();
        for language in Language::ALL {
            let path = [section, &[PathElement::Key("names"), PathElement::Key(language.key())]].concat();
            if let Some(name) = known(network.decode_path::<&str>(&path))?.filter(|name| !name.is_empty()) {
                names.push((language, name.to_owned()));
            }
        }
        let flat = flat.filter(|_| names.is_empty()).map(|name| (Language::English, name.to_owned()));
        names.extend(flat);
        Ok(names)
    };
    let country = match text(network, &["country_name"])? {
        None => flat.filter(|name| !is_code(name)),
        name => name,
    };
    let country = names(&[PathElement::Key("country")], country)?;
    let region = first_of(&[&["state1"], &["region"], &["state"]])?;
    let region = names(&[PathElement::Key("subdivisions"), PathElement::Index(0)], region)?;
    let city = names(&[PathElement::Key("city")], text(network, &["city"])?)?;
    let degrees = |paths: &[&[&str]]| -> Result<Option<i32>, MaxMindDbError> {
        for path in paths {
            let path = keys(path);
            let number = match known(network.decode_path::<f64>(&path))? {
                None => known(network.decode_path::<f32>(&path))?.map(f64::from),
                number => number,
            };
            let number = match number {
                None => known(network.decode_path::<&str>(&path))?.and_then(|text| text.parse().ok()),
                number => number,
            };
            if let Some(number) = number.filter(|number| number.abs() <= 180.0) {
                return Ok(Some((number * 10_000.0).round() as i32));
            }
        }
        Ok(None)
    };
    let latitude = degrees(&[&["location", "latitude"], &["latitude"], &["lat"]])?;
    let longitude = degrees(&[&["location", "longitude"], &["longitude"], &["lng"], &["lon"]])?;
    let asn = match number(network, "autonomous_system_number")? {
        None => number(network, "asn")?,
        asn => asn,
    };
    let org = first_of(&[&["autonomous_system_organization"], &["as_name"], &["organization"]])?;
    Ok(Record {
        names: [country, region, city],
        code: code.filter(is_code).unwrap_or_default().to_owned(),
        org: org.unwrap_or_default().to_owned(),
        asn: asn.unwrap_or_default(),
        position: latitude.zip(longitude).map(|(latitude, longitude)| [latitude, longitude]),
    })
}

/// A text that is not empty.
fn text<'a>(network: &Network<'a, '_>, path: &[&str]) -> Result<Option<&'a str>, MaxMindDbError> {
    Ok(known(network.decode_path::<&str>(&keys(path)))?.filter(|text| !text.is_empty()))
}

/// An AS number, of any size, or with `AS` before it.
fn number(network: &Network<'_, '_>, key: &str) -> Result<Option<u32>, MaxMindDbError> {
    let path = [PathElement::Key(key)];
    if let Some(number) = known(network.decode_path::<u32>(&path))? {
        return Ok(Some(number));
    }
    if let Some(number) = known(network.decode_path::<u16>(&path))? {
        return Ok(Some(number.into()));
    }
    if let Some(number) = known(network.decode_path::<u64>(&path))? {
        return Ok(number.try_into().ok());
    }
    Ok(text(network, &[key])?.and_then(|text| text.trim_start_matches("AS").parse().ok()))
}

fn keys<'k>(path: &[&'k str]) -> Vec<PathElement<'k>> {
    path.iter().map(|&key| PathElement::Key(key)).collect()
}

/// What is there, if it is of the type that was asked for.
fn known<T>(value: Result<Option<T>, MaxMindDbError>) -> Result<Option<T>, MaxMindDbError> {
    match value {
        Err(MaxMindDbError::Decoding { .. }) => Ok(None),
        other => other,
    }
}
