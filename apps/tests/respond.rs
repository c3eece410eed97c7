//! What the application `ipinfo` answers, through the door that the engine uses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use lethe::app::Generations;
use lethe::http::{HEAD_ROOM, Headers, Status};
use lethe::versions::Versions;
use lethe::{App, Request};
use lethe_apps::ipinfo::{Builder, Database, Dataset, IpInfo, Language, Place};
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
    vary: Option<String>,
    body: String,
    len: usize,
}

fn request<'a>(client: &str, target: &'a str) -> Request<'a> {
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    Request::get(path.as_bytes()).with_query(query.map(str::as_bytes)).with_client(client.parse().unwrap())
}

/// The answer of `app`, taken apart; its length is checked against what it says of itself.
fn answer_of(app: &impl App, client: &str, target: &str) -> Answer {
    answer_in(app, client, target, "")
}

/// The answer to a client that prefers these languages.
fn answer_in(app: &impl App, client: &str, target: &str, languages: &str) -> Answer {
    let mut scratch = SCRATCH;
    let fields = format!("Accept-Language: {languages}\r\n\r\n");
    let request = request(client, target).with_headers(Headers::new(fields.as_bytes()));
    let response = app.respond(&request, &mut scratch);
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
        vary: field("Vary"),
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
    check_text("/2001:4860:4860::8888", Status::Ok, "美国\n");
    check_text("/[2001:4860:4860::8888]", Status::Ok, "美国\n");
}

#[test]
fn a_place_is_answered_as_json() {
    let guangzhou = serde_json::json!({
        "ip": "202.96.128.86", "country": "中国", "country_code": "CN", "region": "广东省", "province": "广东省",
        "city": "广州市",
    });
    for target in ["/202.96.128.86.json", "/202.96.128.86/json", "/json"] {
        check_json(target, Status::Ok, &guangzhou);
    }
    for (target, ip) in [("/::ffff:8.8.8.8.json", "8.8.8.8"), ("/[2001:4860::8888]/json", "2001:4860::8888")] {
        let expected = serde_json::json!({
            "ip": ip, "country": "美国", "country_code": "US", "region": "", "province": "", "city": "",
        });
        check_json(target, Status::Ok, &expected);
    }
}

#[test]
fn what_a_database_knows_more_of_is_in_the_json_object_and_what_it_does_not_is_left_out() {
    let all = Place {
        country: "United States",
        region: "California",
        city: "Mountain View",
        code: "US",
        org: "Google \"LLC\"",
        asn: 15169,
        position: Some([374_223, -1_220_850]),
    };
    let network = Place { asn: 13335, org: "Cloudflare", ..Place::default() };
    let file = database([all, network, Place { asn: 1, ..Place::default() }]);
    let app = IpInfo::new(Database::open(&file).unwrap());
    let json = |target| serde_json::from_str::<serde_json::Value>(&answer_of(&app, GUANGZHOU, target).body).unwrap();
    let expected = serde_json::json!({
        "ip": "0.0.0.0", "country": "United States", "country_code": "US", "region": "California",
        "province": "California", "city": "Mountain View", "latitude": 37.4223, "longitude": -122.085,
        "asn": "AS15169", "org": "Google \"LLC\"",
    });
    assert_eq!(json("/0.0.0.0.json"), expected);
    let expected = serde_json::json!({
        "ip": "0.0.0.1", "country": "", "region": "", "province": "", "city": "", "asn": "AS13335",
        "org": "Cloudflare",
    });
    assert_eq!(json("/0.0.0.1.json"), expected);
    let text = |target| answer_of(&app, GUANGZHOU, target).body;
    assert_eq!(text("/0.0.0.0"), "United States California Mountain View\n");
    assert_eq!([text("/0.0.0.1"), text("/0.0.0.2")], ["AS13335 Cloudflare\n", "AS1\n"]);
}

/// A database in which each address from 0.0.0.0 on has one of these places.
fn database<const N: usize>(places: [Place<'_>; N]) -> Vec<u8> {
    let mut builder = Builder::new();
    for (bits, place) in (0..).zip(places) {
        builder.add(Ipv4Addr::from_bits(bits)..=Ipv4Addr::from_bits(bits), place).unwrap();
    }
    builder.finish()
}

#[test]
fn the_address_of_the_client_is_a_line_of_text() {
    for (client, body) in [(GUANGZHOU, "202.96.128.86\n"), ("::ffff:10.0.0.1", "10.0.0.1\n"), ("FD09::1", "fd09::1\n")]
    {
        let answer = answer(client, "/ip");
        assert_eq!((answer.status.as_str(), answer.body.as_str()), (Status::Ok.line(), body));
        assert_eq!(answer.content_type, "text/plain; charset=utf-8");
        assert_eq!((answer.cache.as_deref(), answer.vary), (Some("no-store"), None));
    }
    // Also where there is no place for it, since `curl -f` would not say it.
    let answer = answer("fd09::1", "/json");
    assert_eq!(answer.status, Status::Ok.line());
    assert!(answer.body.contains("\"ip\":\"fd09::1\"") && answer.body.contains("\"error\":\"a private address"));
}

#[test]
fn names_are_in_the_language_that_the_client_prefers_and_text_in_the_first() {
    let app = IpInfo::embedded();
    let body = |target, languages| answer_in(&app, "2001:4860::8888", target, languages).body;
    for target in ["/json", "/8.8.8.8.json", "/", "/?ip=8.8.8.8"] {
        assert!(body(target, "en-US,en;q=0.9").contains("United States"), "{target}");
        for languages in ["zh-CN,zh;q=0.9,en;q=0.8", "de", ""] {
            assert!(body(target, languages).contains("美国"), "{target} {languages}");
        }
    }
    assert!(body("/", "en").contains("<p lang=en>United States<") && body("/", "fr").contains("<p lang=zh>美国<"));
    assert_eq!(body("/8.8.8.8", "en"), "美国\n");
    assert_eq!(body("/2001:4860::8888", "en"), "美国\n");
}

#[test]
fn an_answer_varies_with_the_language_where_there_is_a_choice() {
    let vary = |target| answer(GUANGZHOU, target).vary;
    for target in ["/json", "/8.8.8.8.json", "/2001:4860::8888/json", "/", "/?ip=8.8.8.8"] {
        assert_eq!(vary(target).as_deref(), Some("Accept-Language"), "{target}");
    }
    for target in ["/8.8.8.8", "/2001:4860::8888", "/ip", "/10.0.0.1.json", "/?ip=x", "/x"] {
        assert_eq!(vary(target), None, "{target}");
    }
    let file = database([Place { country: "a", ..Place::default() }]);
    let app = IpInfo::new(Database::open(&file).unwrap());
    assert_eq!(answer_of(&app, GUANGZHOU, "/0.0.0.0.json").vary, None);
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
    check_page("fd09::1", "/", Status::Ok, &["<h1>fd09::1</h1>", "is a private address"]);
}

#[test]
fn an_address_without_a_place_is_not_found_in_every_form() {
    let why = "a private address (RFC 1918), in use in many networks at once";
    check_text("/10.0.0.1", Status::NotFound, &format!("10.0.0.1 is {why}.\n"));
    check_json("/10.0.0.1.json", Status::NotFound, &serde_json::json!({ "ip": "10.0.0.1", "error": why }));
    check_page(GUANGZHOU, "/?ip=10.0.0.1", Status::NotFound, &["<h1>10.0.0.1</h1>", why]);

    let why = "an address set aside for documentation (RFC 3849, RFC 9637)";
    check_text("/2001:DB8::0:1", Status::NotFound, &format!("2001:db8::1 is {why}.\n"));
    check_json("/2001:db8::2.json", Status::NotFound, &serde_json::json!({ "ip": "2001:db8::2", "error": why }));
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
    for address in ["2001:db8::", "2001:db8:ffff:ffff::", "2001:db8:8000::1", "3fff::", "3fff:fff:ffff::"] {
        assert_eq!(database.lookup(address.parse::<IpAddr>().unwrap()), None, "{address}");
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
    for target in ["/", "/?ip=", "/json", "/ip"] {
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
    let names = ["国".repeat(20), "省".repeat(18), "市".repeat(18)];
    let [country, region, city] = names.each_ref().map(String::as_str);
    let place = Place { country, region, city, ..Place::default() };
    assert_eq!(place.len(), Place::MAX_LEN);
    let mut builder = Builder::in_languages(&[Language::Chinese, Language::English]);
    builder.add(Ipv4Addr::UNSPECIFIED..=Ipv4Addr::BROADCAST, place).unwrap();
    let longest: Ipv6Addr = LONG_V6.parse().unwrap();
    builder.add(longest..=longest, place).unwrap();
    let file = builder.finish();
    let app = IpInfo::new(Database::open(&file).unwrap());
    for target in ["/".to_owned(), format!("/?ip={LONG_V6}"), "/?ip=255.255.255.255".to_owned()] {
        let target = &target;
        let answer = answer_of(&app, LONG_V6, target);
        assert_eq!(answer.vary.as_deref(), Some("Accept-Language"));
        assert!(answer.len <= SEGMENT, "{} bytes: {answer:?}", answer.len);
    }
}

#[test]
fn names_are_escaped_as_the_form_demands() {
    let place = Place { country: "<b>&\"", region: "\\\n", ..Place::default() };
    let mut builder = Builder::new();
    builder.add(Ipv4Addr::UNSPECIFIED..=Ipv4Addr::BROADCAST, place).unwrap();
    let file = builder.finish();
    let app = IpInfo::new(Database::open(&file).unwrap());
    assert!(answer_of(&app, GUANGZHOU, "/").body.contains("<p lang=zh>&lt;b&gt;&amp;&quot; \\\n<form"));
    let json: serde_json::Value = serde_json::from_str(&answer_of(&app, GUANGZHOU, "/1.2.3.4.json").body).unwrap();
    assert_eq!((&json["country"], &json["region"]), (&"<b>&\"".into(), &"\\\n".into()));
}

#[test]
fn no_answer_allocates() {
    let app = IpInfo::embedded();
    let targets = [
        "/",
        "/8.8.8.8",
        "/8.8.8.8.json",
        "/10.0.0.1",
        "/2001:4860::1",
        "/::1",
        "/?ip=2001%3adb8::1",
        "/?ip=x",
        "/x",
        "/ip",
        "/json",
    ];
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
        path in "/([0-9a-f.:%+]{0,24}|[!-~]{0,80}|[0-9]{1,3}(\\.[0-9]{1,3}){2,4})([./]json)?",
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
    assert!(app.add(IpInfo::new(database("second"))).iter().all(Option::is_none));
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
        assert!(app.add(IpInfo::new(database(country))).iter().all(Option::is_none));
        app.advance();
    }
    assert!(app.add(IpInfo::new(database("fifth"))).iter().any(Option::is_some));
    assert!(answer(&app, 3, "/8.8.8.8").contains("fifth") && answer(&app, 2, "/8.8.8.8").contains("fourth"));
}

#[test]
fn a_database_says_how_large_it_is_and_shows_none_of_its_bytes() {
    let database = Database::embedded();
    let expect = format!(
        "Database {{ ranges: {}, ranges_v6: {}, places: {} }}",
        database.range_count(),
        database.range_count_v6(),
        database.place_count()
    );
    assert_eq!(format!("{database:?}"), expect);
    assert_eq!(
        format!("{:?}", IpInfo::new(database)),
        format!("IpInfo {{ data: Dataset {{ database: {expect}, .. }} }}")
    );
}
