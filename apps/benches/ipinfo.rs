//! The cost of a lookup, and of an answer.

use std::hint::black_box;
use std::net::{Ipv4Addr, Ipv6Addr};

use divan::Bencher;
use lethe::{App, Request};
use lethe_apps::ipinfo::{Database, IpInfo};

fn main() {
    divan::main();
}

/// Addresses without a pattern (xorshift), so that neither cache nor branch predictor learns them.
fn addresses() -> impl FnMut() -> Ipv4Addr {
    let mut state = 0x9e37_79b9_u32;
    move || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        Ipv4Addr::from_bits(state)
    }
}

/// Random addresses in China, where the ranges are dense and every place has three names.
fn chinese(database: &Database<'_>) -> impl FnMut() -> Ipv4Addr {
    let known: Vec<_> = std::iter::repeat_with(addresses())
        .filter(|&address| database.lookup(address).is_some_and(|place| !place.city.is_empty()))
        .take(1 << 16)
        .collect();
    let mut at = 0;
    move || {
        at = (at + 1) % known.len();
        known[at]
    }
}

#[divan::bench]
fn address_alone(bencher: Bencher<'_, '_>) {
    let mut address = addresses();
    bencher.bench_local(|| black_box(address()));
}

#[divan::bench]
fn lookup_anywhere(bencher: Bencher<'_, '_>) {
    let database = Database::embedded();
    let mut address = addresses();
    bencher.bench_local(|| database.lookup(address()));
}

#[divan::bench]
fn lookup_in_china(bencher: Bencher<'_, '_>) {
    let database = Database::embedded();
    let mut address = chinese(&database);
    bencher.bench_local(|| database.lookup(address()));
}

/// Random addresses of networks that registries have, with a place if that is asked for.
fn addresses_v6(database: &Database<'_>, known: bool, count: usize) -> impl FnMut() -> Ipv6Addr {
    let mut address = addresses();
    let mut bits = move || u128::from(address().to_bits());
    let begins = [0x2001, 0x2400, 0x2600, 0x2800, 0x2a00, 0x2a02, 0x2c0f_u128];
    let any = move || {
        let begin = begins[(bits() % begins.len() as u128) as usize];
        Ipv6Addr::from_bits(begin << 112 | bits() << 80 | bits() << 48 | bits())
    };
    let addresses: Vec<_> = std::iter::repeat_with(any)
        .filter(|&address| !known || database.lookup(address).is_some())
        .take(count)
        .collect();
    let mut at = 0;
    move || {
        at = (at + 1) % addresses.len();
        addresses[at]
    }
}

#[divan::bench]
fn lookup_v6_anywhere(bencher: Bencher<'_, '_>) {
    let database = Database::embedded();
    let mut address = addresses_v6(&database, false, 1 << 16);
    bencher.bench_local(|| database.lookup(address()));
}

#[divan::bench]
fn lookup_v6_known(bencher: Bencher<'_, '_>) {
    let database = Database::embedded();
    let mut address = addresses_v6(&database, true, 1 << 16);
    bencher.bench_local(|| database.lookup(address()));
}

/// The database in `LETHE_IPINFO_DB`, if it names one: one of all cities, whose places are in memory, and in no cache.
#[divan::bench(args = ["v4", "v6"], sample_size = 4096)]
fn lookup_in_another(bencher: Bencher<'_, '_>, family: &str) {
    let Some(file) = std::env::var_os("LETHE_IPINFO_DB") else { return };
    let bytes = std::fs::read(file).expect("a database");
    let database = Database::open(&bytes).expect("a database");
    if family == "v4" {
        let mut address = addresses();
        bencher.bench_local(|| database.lookup(address()));
    } else {
        let mut address = addresses_v6(&database, true, 1 << 20);
        bencher.bench_local(|| database.lookup(address()));
    }
}

#[divan::bench]
fn open() -> Database<'static> {
    Database::embedded()
}

const TARGETS: [&str; 10] = [
    "/202.96.128.86",
    "/202.96.128.86.json",
    "/10.0.0.1",
    "/2001:4860:4860::8888",
    "/2001:4860:4860::8888.json",
    "/json",
    "/ip",
    "/",
    "/?ip=202.96.128.86",
    "/favicon.ico",
];

#[divan::bench(args = TARGETS)]
fn respond(bencher: Bencher<'_, '_>, target: &str) {
    let app = IpInfo::embedded();
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let request = Request::get(path.as_bytes())
        .with_query(query.map(str::as_bytes))
        .with_client(Ipv4Addr::new(202, 96, 128, 86).into());
    let mut scratch = [0; 4096];
    bencher.bench_local(|| app.respond(black_box(&request), &mut scratch).len());
}
