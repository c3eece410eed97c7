//! What the application `ipinfo` answers, through the door that the engine uses.

use std::net::{IpAddr, Ipv4Addr};

use lethe::app::Generations;
use lethe::http::{HEAD_ROOM, Status};
use lethe::versions::Versions;
use lethe::{App, Request};
use lethe_apps::ipinfo::{Builder, Database, Dataset, IpInfo, Place};
use proptest::prelude::*;

/// A client with a place.
const GUANGZHOU: &str = "202.96.128.86";

/// The longest address.
const LONG_V6: &str = "2001:db80:1111:2222:3333:4444:5555:6666";

/// The payload of a TCP segment with timestamps on the narrowest path that IPv6 allows.
const SEGMENT: usize = 1280 - 40 - 20 - 12;

/// The scratch buffer is as large as it has to be for a segment, and no larger.
type Scratch = [u8; HEAD_ROOM + SEGMENT];

const SCRATCH: Scratch = [0; HEAD_ROOM + SEGMENT];

#[derive(PartialEq, Debug)]
struct Answer {
    status: String,
    content_type: String,
    cache: Option<String>,
    body: String,
    len: usize,
}

fn request<'a>(client: &str, target: &'a str) -> Request<'a> {
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    Request::get(path.as_bytes()).with_query(query.map(str::as_bytes)).with_client(client.parse().unwrap())
}

/// The answer of `app`, taken apart; its length is checked against what it says of itself.
fn answer_of(app: &impl App, client: &str, target: &str) -> Answer {
    let mut scratch = SCRATCH;
    let response = app.respond(&request(client, target), &mut scratch);
    let head = str::from_utf8(response.head()).unwrap();
    let (status, fields) = head.strip_suffix("\r\n\r\n").unwrap().split_once("\r\n").unwrap();
    let field = |name: &str| {
        fields.split("\r\n").find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).map(str::to_owned)
    };
    assert_eq!(field("Content-Length"), Some(response.body().len().to_string()));
    assert_eq!(field("Connection").as_deref(), Some("close"));
    Answer {
        status: status.to_owned(),
        content_type: field("Content-Type").unwrap(),
        cache: field("Cache-Control"),
        body: String::from_utf8(response.body().to_vec()).unwrap(),
        len: response.len(),
    }
}

fn answer(client: &str, target: &str) -> Answer {
    answer_of(&IpInfo::embedded(), client, target)
}

fn check_text(target: &str, status: Status, body: &str) {
    let answer = answer(GUANGZHOU, target);
    assert_eq!((answer.status.as_str(), answer.body.as_str()), (status.line(), body), "{target}");
    assert_eq!(answer.content_type, "text/plain; charset=utf-8");
}

fn check_json(target: &str, status: Status, body: &serde_json::Value) {
    let answer = answer(GUANGZHOU, target);
    assert_eq!(answer.status, status.line(), "{target}");
    assert_eq!(serde_json::from_str::<serde_json::Value>(&answer.body).unwrap(), *body, "{target}");
    assert_eq!(answer.content_type, "application/json");
}

fn check_page(client: &str, target: &str, status: Status, contents: &[&str]) {
    let answer = answer(client, target);
    assert_eq!(answer.status, status.line(), "{target}");
    assert_eq!(answer.content_type, "text/html; charset=utf-8");
    for part in ["<!doctype html>", "name=viewport", "<form action=\"/\">", "name=ip", "forgets every connection"] {
        assert!(answer.body.contains(part), "{target}: {part}");
    }
    for part in contents {
        assert!(answer.body.contains(part), "{target}: {part}");
    }
}

#[test]
fn a_place_is_answered_as_text() {
    check_text("/202.96.128.86", Status::Ok, "中国 广东省 广州市\n");
    check_text("/::ffff:202.96.128.86", Status::Ok, "中国 广东省 广州市\n");
    check_text("/8.8.8.8", Status::Ok, "美国\n");
}

#[test]
fn a_place_is_answered_as_json() {
    let place = |ip: &str, country: &str, province: &str, city: &str| {
        let names = [("ip", ip), ("country", country), ("province", province), ("city", city)];
        names.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect::<serde_json::Value>()
    };
    check_json("/202.96.128.86.json", Status::Ok, &place("202.96.128.86", "中国", "广东省", "广州市"));
    check_json("/::ffff:8.8.8.8.json", Status::Ok, &place("8.8.8.8", "美国", "", ""));
}

#[test]
fn a_place_is_answered_as_a_page() {
    check_page(GUANGZHOU, "/?ip=8.8.8.8", Status::Ok, &["<h1>8.8.8.8</h1>", "美国", "<a href=\"/\">"]);
    check_page(LONG_V6, "/?ip=+%38.8.8.8&x=y", Status::Ok, &["<h1>8.8.8.8</h1>", "美国"]);
}

#[test]
fn the_root_is_a_page_about_the_client() {
    check_page(GUANGZHOU, "/", Status::Ok, &["Your address<h1>202.96.128.86</h1>", "中国 广东省 广州市"]);
    check_page("::ffff:8.8.8.8", "/?ip=", Status::Ok, &["<h1>8.8.8.8</h1>", "美国"]);
}

#[test]
fn the_root_is_there_for_a_client_without_a_place() {
    check_page("10.9.0.1", "/", Status::Ok, &["<h1>10.9.0.1</h1>", "is a private address"]);
    check_page("fd09::1", "/", Status::Ok, &["<h1>fd09::1</h1>", "is an IPv6 address"]);
}

#[test]
fn an_address_without_a_place_is_not_found_in_every_form() {
    let why = "a private address (RFC 1918), in use in many networks at once";
    check_text("/10.0.0.1", Status::NotFound, &format!("10.0.0.1 is {why}.\n"));
    check_json("/10.0.0.1.json", Status::NotFound, &serde_json::json!({ "ip": "10.0.0.1", "error": why }));
    check_page(GUANGZHOU, "/?ip=10.0.0.1", Status::NotFound, &["<h1>10.0.0.1</h1>", why]);

    let why = "an IPv6 address, and the data has only IPv4";
    check_text("/2001:DB8::0:1", Status::NotFound, &format!("2001:db8::1 is {why}.\n"));
    check_json("/::1.json", Status::NotFound, &serde_json::json!({ "ip": "::1", "error": why }));
    check_page(GUANGZHOU, "/?ip=2001%3Adb8%3A%3A1", Status::NotFound, &["<h1>2001:db8::1</h1>", why]);

    check_text("/192.88.99.1", Status::NotFound, "192.88.99.1 is not in the data.\n");
}

#[test]
fn the_embedded_database_has_no_place_for_any_address_of_special_purpose() {
    let database = Database::embedded();
    let ranges: Vec<_> = database.ranges().collect();
    for block in [
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",
    ] {
        let (address, prefix) = block.split_once('/').unwrap();
        let first: Ipv4Addr = address.parse().unwrap();
        let last = Ipv4Addr::from_bits(first.to_bits() | u32::MAX >> prefix.parse::<u32>().unwrap());
        assert_eq!(database.lookup(first), None, "{block}");
        let begin_within = ranges.iter().filter(|(begin, _)| (first..=last).contains(begin));
        assert!(begin_within.into_iter().all(|(_, place)| place.is_none()), "{block}");
    }
}

#[test]
fn a_failed_attempt_at_an_address_is_a_bad_request_in_every_form() {
    check_text("/1.2.3", Status::BadRequest, "That is not an IP address. One looks like 8.8.8.8.\n");
    check_json("/256.1.1.1.json", Status::BadRequest, &serde_json::json!({ "error": "not an IP address" }));
    check_page(GUANGZHOU, "/?ip=%3Cscript%3E", Status::BadRequest, &["<h1>Not an IP address</h1>"]);
}

#[test]
fn any_other_path_is_not_found() {
    for target in ["/favicon.ico", "/robots.txt", "/cafe", "/1.2.3.4/", "/x.json"] {
        check_text(target, Status::NotFound, "Nothing is here. Ask for / or for an address, as in /8.8.8.8.\n");
    }
}

#[test]
fn an_answer_may_be_cached_unless_it_depends_on_the_client() {
    for target in ["/8.8.8.8", "/8.8.8.8.json", "/?ip=8.8.8.8", "/10.0.0.1"] {
        assert_eq!(answer(GUANGZHOU, target).cache.as_deref(), Some("max-age=3600"), "{target}");
    }
    for target in ["/", "/?ip="] {
        assert_eq!(answer(GUANGZHOU, target).cache.as_deref(), Some("no-store"), "{target}");
    }
}

/// Every page about every place and every kind of address, with the longest address of that kind.
#[test]
fn every_page_fits_one_segment_on_every_path() {
    let database = Database::embedded();
    let longest = |place: Place<'_>| place.names().map(str::len).iter().sum::<usize>();
    let (address, _) = database
        .ranges()
        .filter_map(|(first, place)| Some((first, longest(place?))))
        .max_by_key(|&(first, len)| (len, first.to_string().len()))
        .unwrap();
    let special = ["0.111.111.111", "10.111.111.111", "100.100.111.111", "127.111.111.111", "169.254.111.111"];
    let special = special.iter().chain(&["192.0.0.111", "192.0.2.111", "198.18.111.111", "198.51.100.111"]);
    let special = special.chain(&["224.111.111.111", "255.255.255.255", "255.255.255.254", "192.88.99.111", LONG_V6]);
    for client in special.copied().chain([address.to_string().as_str(), GUANGZHOU]) {
        for target in ["/".to_owned(), format!("/?ip={client}"), "/?ip=x".to_owned()] {
            let answer = answer(client, &target);
            assert!(answer.len <= SEGMENT, "{} bytes: {answer:?}", answer.len);
        }
    }
}

#[test]
fn the_page_about_the_longest_place_that_a_database_can_have_fits_one_segment() {
    let names = ["国".repeat(10), "省".repeat(9), "市".repeat(9)];
    let [country, province, city] = names.each_ref().map(String::as_str);
    assert_eq!(country.len() + province.len() + city.len(), Place::MAX_LEN);
    let mut builder = Builder::new();
    builder.add(Ipv4Addr::UNSPECIFIED..=Ipv4Addr::BROADCAST, Place { country, province, city }).unwrap();
    let file = builder.finish();
    let app = IpInfo::new(Database::open(&file).unwrap());
    for target in ["/", "/?ip=255.255.255.255"] {
        let answer = answer_of(&app, "255.255.255.255", target);
        assert!(answer.len <= SEGMENT, "{} bytes: {answer:?}", answer.len);
    }
}

#[test]
fn names_are_escaped_as_the_form_demands() {
    let place = Place { country: "<b>&\"", province: "\\\n", city: "" };
    let mut builder = Builder::new();
    builder.add(Ipv4Addr::UNSPECIFIED..=Ipv4Addr::BROADCAST, place).unwrap();
    let file = builder.finish();
    let app = IpInfo::new(Database::open(&file).unwrap());
    assert!(answer_of(&app, GUANGZHOU, "/").body.contains("<p lang=zh>&lt;b&gt;&amp;&quot; \\\n<form"));
    let json: serde_json::Value = serde_json::from_str(&answer_of(&app, GUANGZHOU, "/1.2.3.4.json").body).unwrap();
    assert_eq!((&json["country"], &json["province"]), (&"<b>&\"".into(), &"\\\n".into()));
}

#[test]
fn no_answer_allocates() {
    let app = IpInfo::embedded();
    let targets = ["/", "/8.8.8.8", "/8.8.8.8.json", "/10.0.0.1", "/::1", "/?ip=2001%3adb8::1", "/?ip=x", "/x"];
    let mut scratch = SCRATCH;
    for target in targets {
        for client in [GUANGZHOU, LONG_V6] {
            let request = request(client, target);
            let allocations = allocation_counter::measure(|| {
                std::hint::black_box(app.respond(&request, &mut scratch));
            });
            assert_eq!(allocations.count_total, 0, "{target}");
        }
    }
}

proptest! {
    #[test]
    fn any_request_is_answered_with_one_of_three_codes_and_again_the_same(
        path in "/([0-9a-f.:%+]{0,24}|[!-~]{0,80}|[0-9]{1,3}(\\.[0-9]{1,3}){2,4})(\\.json)?",
        query in proptest::option::of("(ip=)?[!-~]{0,90}"),
        client: IpAddr,
    ) {
        let target = query.map_or(path.clone(), |query| format!("{path}?{query}"));
        // A `?` of the path's own would end it, as the engine's parser has it.
        let answer = answer(&client.to_string(), &target);
        let codes = [Status::Ok, Status::BadRequest, Status::NotFound].map(Status::line);
        prop_assert!(codes.contains(&answer.status.as_str()));
        prop_assert!(answer.len <= SEGMENT);
        if answer.content_type == "application/json" {
            prop_assert!(serde_json::from_str::<serde_json::Value>(&answer.body).is_ok());
        }
        prop_assert_eq!(self::answer(&client.to_string(), &target), answer);
    }

    #[test]
    fn a_scratch_buffer_of_any_size_does_no_harm(size in 0..=SCRATCH.len(), client: IpAddr) {
        let app = IpInfo::embedded();
        let client = client.to_string();
        for target in ["/", "/8.8.8.8", "/8.8.8.8.json", "/x"] {
            let mut scratch = vec![0; size];
            let response = app.respond(&request(&client, target), &mut scratch);
            prop_assert!(response.head().ends_with(b"\r\n\r\n"));
        }
    }
}

/// A connection that began with one database continues with it; new connections get the next one after the advance.
#[test]
fn a_connection_is_answered_from_the_database_that_it_began_with() {
    let database = |country| {
        let mut builder = Builder::new();
        let place = Place { country, ..Place::default() };
        builder.add(Ipv4Addr::UNSPECIFIED..=Ipv4Addr::BROADCAST, place).unwrap();
        Dataset::read(&builder.finish()).unwrap()
    };
    let mut app = Versions::of_generation(IpInfo::new(database("first")), 3);
    let answer = |app: &Versions<IpInfo<'_>>, generation, path: &str| {
        let request = request(GUANGZHOU, path).with_generation(generation);
        let mut scratch = [0; 4096];
        String::from_utf8(app.respond(&request, &mut scratch).body().to_vec()).unwrap()
    };
    assert_eq!(app.generations(), Generations { current: 3, live: 0b1000 });
    assert!(app.add(IpInfo::new(database("second"))).is_none());
    assert_eq!(app.generations(), Generations { current: 3, live: 0b1001 });
    for path in ["/8.8.8.8", "/8.8.8.8.json"] {
        assert!(answer(&app, 3, path).contains("first") && answer(&app, 0, path).contains("second"), "{path}");
    }
    app.advance();
    assert_eq!(app.generations(), Generations { current: 0, live: 0b1001 });
    for path in ["/8.8.8.8", "/8.8.8.8.json"] {
        assert!(answer(&app, 3, path).contains("first") && answer(&app, 0, path).contains("second"), "{path}");
    }
    // A fourth one takes the place of the oldest, which is given back.
    for country in ["third", "fourth"] {
        assert!(app.add(IpInfo::new(database(country))).is_none());
        app.advance();
    }
    assert!(app.add(IpInfo::new(database("fifth"))).is_some());
    assert!(answer(&app, 3, "/8.8.8.8").contains("fifth") && answer(&app, 2, "/8.8.8.8").contains("fourth"));
}

#[test]
fn a_database_says_how_large_it_is_and_shows_none_of_its_bytes() {
    let database = Database::embedded();
    let expect = format!("Database {{ ranges: {}, places: {} }}", database.range_count(), database.place_count());
    assert_eq!(format!("{database:?}"), expect);
    assert_eq!(
        format!("{:?}", IpInfo::new(database)),
        format!("IpInfo {{ data: Dataset {{ database: {expect}, .. }} }}")
    );
}
