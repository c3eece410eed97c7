//! What `files` answers to requests for a part of a file, through the door that the engine uses.

use std::fs;
use std::io::Cursor;
use std::sync::LazyLock;
use std::time::{Duration, UNIX_EPOCH};

use lethe::engine::SCRATCH_LEN;
use lethe::http::{RequestLine, Response};
use lethe::{App, Request};
use lethe_apps::files::{Files, Flaw, Image, Options, PackObserver, Skipped, pack};
use lethe_test::{TestRequest, check_app, simulate};
use proptest::prelude::*;

/// When the files were written.
const WRITTEN: &str = "Sun, 09 Sep 2001 01:46:40 GMT";
const EARLIER: &str = "Sun, 09 Sep 2001 01:46:39 GMT";

/// The bytes of a file of this length.
fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 7 + at / 251) as u8).collect()
}

struct Nothing;

impl PackObserver for Nothing {
    fn listed(&mut self, _: u64) {}
    fn skipped(&mut self, _: &std::path::Path, _: Skipped) {}
    fn unused(&mut self, _: &std::path::Path, _: Option<&std::path::Path>, _: Flaw) {}
    fn compared(&mut self, _: u64, _: u64) {}
    fn packed(&mut self, _: u64, _: u64) {}
    fn stop(&self) -> bool {
        false
    }
}

/// `/short` of 600 bytes, `/long` of 100,000, `/empty`, and `/text.css` with a compressed form.
fn files() -> Files {
    let directory = tempfile::tempdir().unwrap();
    let css = b"a { color: red }\n".repeat(500);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut gzip, &css).unwrap();
    let gzip = gzip.finish().unwrap();
    let time = UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    let contents = [
        ("short", bytes(600)),
        ("long", bytes(100_000)),
        ("empty", Vec::new()),
        ("text.css", css),
        ("text.css.gz", gzip),
    ];
    for (name, contents) in contents {
        let path = directory.path().join(name);
        fs::write(&path, contents).unwrap();
        fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
    }
    let (image, _) = pack(directory.path(), &Options::default(), Cursor::new(Vec::new()), &mut Nothing).unwrap();
    Files::new(Image::open(image.into_inner()).unwrap())
}

/// What is answered to this: its status, its head, its body, and whether it goes as a part.
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
    is_part: bool,
}

impl Answer {
    fn field(&self, name: &str) -> Option<&str> {
        self.head.split("\r\n").find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

/// Asks with these fields, from a client that takes parts or not, in packets of 1,400 bytes.
fn ask(app: &Files, method: &str, path: &str, fields: &str, takes_parts: bool) -> Answer {
    let packet = format!("{method} {path} HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
    let line = RequestLine::parse(packet.as_bytes()).unwrap();
    let mut scratch = vec![0; SCRATCH_LEN];
    let request = Request::of_line(&line).with_one_packet(1400).with_parts(takes_parts);
    let response: Response<'_> = request.answer(app, &mut scratch).unwrap();
    let head = str::from_utf8(response.head()).unwrap().to_owned();
    Answer {
        status: head[9..12].parse().unwrap(),
        head,
        body: response.body().to_vec(),
        is_part: response.whole().is_some(),
    }
}

fn get(app: &Files, path: &str, fields: &str) -> Answer {
    ask(app, "GET", path, fields, true)
}

#[test]
fn a_part_has_all_fields_of_the_file_and_says_which_it_is() {
    let app = files();
    let whole = get(&app, "/short", "");
    let part = get(&app, "/short", "Range: bytes=100-199\r\n");
    assert_eq!((part.status, part.body.as_slice()), (206, &bytes(600)[100..200]));
    assert!(part.head.starts_with("HTTP/1.1 206 Partial Content\r\n"));
    assert_eq!(part.field("Content-Range"), Some("bytes 100-199/600"));
    assert_eq!(part.field("Content-Length"), Some("100"));
    for name in ["Content-Type", "ETag", "Last-Modified"] {
        assert!(part.field(name).is_some() && part.field(name) == whole.field(name), "{name}");
    }
}

#[test]
fn a_part_of_more_than_a_packet_goes_up_to_the_end_or_not_at_all() {
    let app = files();
    let to_end = ["bytes=1000-", "bytes=1000-99999", "bytes=1000-200000", "bytes=-99000"];
    for range in to_end {
        let part = get(&app, "/long", &format!("Range: {range}\r\n"));
        assert_eq!((part.status, part.is_part), (206, true), "{range}");
        assert_eq!(part.field("Content-Range"), Some("bytes 1000-99999/100000"));
        assert_eq!(part.body, bytes(100_000)[1000..]);
    }
    for range in ["bytes=1000-99998", "bytes=0-9999"] {
        let whole = get(&app, "/long", &format!("Range: {range}\r\n"));
        assert_eq!((whole.status, whole.is_part, whole.body.len()), (200, false, 100_000), "{range}");
    }
    // To a client that cannot be sent one, or of whose request more may come.
    for range in to_end {
        assert_eq!(ask(&app, "GET", "/long", &format!("Range: {range}\r\n"), false).status, 200);
    }
    // What fits a packet goes to all.
    for range in ["bytes=99000-", "bytes=500-999", "bytes=-1"] {
        let part = ask(&app, "GET", "/long", &format!("Range: {range}\r\n"), false);
        assert_eq!((part.status, part.is_part), (206, false), "{range}");
    }
}

#[test]
fn a_range_behind_the_end_is_refused_with_the_length() {
    let app = files();
    for (path, range, said) in [("/short", "bytes=600-", "bytes */600"), ("/long", "bytes=100000-", "bytes */100000")] {
        let refused = get(&app, path, &format!("Range: {range}\r\n"));
        assert_eq!((refused.status, refused.field("Content-Range")), (416, Some(said)));
        assert_eq!(refused.body, b"");
    }
    assert_eq!(get(&app, "/empty", "Range: bytes=0-\r\n").status, 200);
}

#[test]
fn what_is_no_range_of_bytes_is_ignored_and_so_is_one_of_head_and_two_of_them() {
    let app = files();
    for fields in [
        "Range: bytes=0-1,5-6\r\n",
        "Range: lines=0-1\r\n",
        "Range: bytes=5-1\r\n",
        "Range: bytes=0-1\r\nRange: bytes=0-1\r\n",
    ] {
        assert_eq!(get(&app, "/short", fields).status, 200, "{fields}");
    }
    assert_eq!(ask(&app, "HEAD", "/short", "Range: bytes=0-1\r\n", true).status, 200);
    assert_eq!(get(&app, "/missing", "Range: bytes=0-1\r\n").status, 404);
}

#[test]
fn a_part_is_of_the_version_that_the_client_has_the_rest_of() {
    let app = files();
    let tag = get(&app, "/short", "").field("ETag").unwrap().to_owned();
    let range = "Range: bytes=10-\r\n";
    for current in [tag.as_str(), WRITTEN] {
        assert_eq!(get(&app, "/short", &format!("{range}If-Range: {current}\r\n")).status, 206, "{current}");
    }
    for other in [&format!("W/{tag}"), "\"a\"", "\"\"", "\"", EARLIER, "Sun, 09 Sep 2001 01:46:41 GMT", "*", "a"] {
        assert_eq!(get(&app, "/short", &format!("{range}If-Range: {other}\r\n")).status, 200, "{other}");
    }
    let twice = format!("{range}If-Range: {tag}\r\nIf-Range: {tag}\r\n");
    assert_eq!(get(&app, "/short", &twice).status, 200);
    // One that has all of it has it, whatever else it asks for (RFC 9110, section 13.2.2).
    assert_eq!(get(&app, "/short", &format!("{range}If-None-Match: {tag}\r\n")).status, 304);
    // A range behind the end of another version is none.
    assert_eq!(get(&app, "/short", "Range: bytes=600-\r\nIf-Range: \"a\"\r\n").status, 200);
}

#[test]
fn a_part_is_one_of_the_form_that_the_client_accepts() {
    let app = files();
    let plain = get(&app, "/text.css", "Range: bytes=8000-\r\n");
    assert_eq!((plain.field("Content-Range"), plain.field("Content-Encoding")), (Some("bytes 8000-8499/8500"), None));
    let packed = get(&app, "/text.css", "Range: bytes=5-\r\nAccept-Encoding: gzip\r\n");
    assert_eq!((packed.status, packed.field("Content-Encoding")), (206, Some("gzip")));
    assert_eq!(packed.field("Vary"), Some("Accept-Encoding"));
}

#[test]
fn nothing_is_allocated_for_a_part() {
    let app = files();
    let mut scratch = vec![0; SCRATCH_LEN];
    for range in ["bytes=1000-", "bytes=5-9", "bytes=100000-"] {
        let packet = format!("GET /./long HTTP/1.1\r\nRange: {range}\r\nIf-Range: {WRITTEN}\r\n\r\n");
        let line = RequestLine::parse(packet.as_bytes()).unwrap();
        let request = Request::of_line(&line).with_one_packet(1400).with_parts(true);
        let counted = allocation_counter::measure(|| assert!(!app.respond(&request, &mut scratch).is_empty()));
        assert_eq!(counted.count_total, 0, "{range}");
    }
}

fn every_request() -> Vec<TestRequest> {
    let ranges = [
        "bytes=0-",
        "bytes=1-",
        "bytes=1460-",
        "bytes=50000-",
        "bytes=98000-",
        "bytes=99990-",
        "bytes=3-9",
        "bytes=-30000",
        "bytes=100000-",
        "bytes=10-60000",
    ];
    let paths = ["/long", "/short", "/text.css", "/missing"];
    let asks = |path: &'static str| {
        let with = move |range: &&str| TestRequest::get(path).header("Host", "h").header("Range", range);
        ranges.iter().map(with).collect::<Vec<_>>()
    };
    let coded = |request: TestRequest| request.header("Accept-Encoding", "gzip");
    let plain: Vec<_> = paths.into_iter().flat_map(asks).collect();
    let whole = paths.map(|path| TestRequest::get(path).header("Host", "h"));
    [plain, asks("/text.css").into_iter().map(coded).collect(), whole.to_vec()].concat()
}

#[test]
fn the_contract_is_kept() {
    check_app(&files(), every_request());
}

/// More than 10,000 fetches.
#[test]
fn every_client_gets_every_byte_of_its_part_under_loss_with_cut_requests_and_kept_connections() {
    let (app, requests) = (files(), every_request());
    let cut = simulate(&app, requests.clone()).loss("5%").split().clients(500).seeds(0..10).run().unwrap();
    let kept = simulate(&app, requests).keep_alive(8).loss("5%").clients(250).seeds(0..10).run().unwrap();
    // A client of the second kind has some four requests.
    assert!(cut.completed > 3_000 && kept.completed > 2_300, "{cut:?} {kept:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn a_part_is_what_it_says(first in 0_usize..110_000, last in proptest::option::of(0_usize..110_000), takes: bool) {
        static FILES: LazyLock<Files> = LazyLock::new(files);
        let last_text = last.map_or_else(String::new, |last| last.to_string());
        let answer = ask(&FILES, "GET", "/long", &format!("Range: bytes={first}-{last_text}\r\n"), takes);
        let all = bytes(100_000);
        match answer.status {
            206 => {
                let range = answer.field("Content-Range").unwrap().strip_prefix("bytes ").unwrap().to_owned();
                let (range, len) = range.split_once('/').unwrap();
                let (from, to) = range.split_once('-').unwrap();
                let (from, to): (usize, usize) = (from.parse().unwrap(), to.parse().unwrap());
                prop_assert_eq!((from, len), (first, "100000"));
                prop_assert_eq!(to, last.unwrap_or(usize::MAX).min(99_999));
                prop_assert_eq!(&answer.body, &all[from..=to]);
            }
            416 => prop_assert!(first >= 100_000),
            200 => prop_assert_eq!(&answer.body, &all),
            other => prop_assert!(false, "{}", other),
        }
    }
}
