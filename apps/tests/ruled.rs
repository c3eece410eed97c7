//! What `files` answers behind rules, through the door that the engine uses.

use std::fs;
use std::io::Cursor;
use std::ops::ControlFlow;
use std::path::PathBuf;

use lethe::app::Position;
use lethe::engine::SCRATCH_LEN;
use lethe::http::{Method, RequestLine};
use lethe::{App, Request};
use lethe_apps::files::{About, Builder, Files, Image, Ruled};
use lethe_apps::respond::{Respond, RulesError};
use proptest::prelude::*;
use tempfile::TempDir;

/// Files with these bodies.
fn files(contents: &[(&str, &[u8])]) -> Files {
    let mut builder = Builder::new(Cursor::new(Vec::new())).unwrap();
    add(&mut builder, contents);
    open(builder)
}

fn add(builder: &mut Builder<Cursor<Vec<u8>>>, contents: &[(&str, &[u8])]) {
    for (path, body) in contents {
        let mut go_on = |_| ControlFlow::Continue(());
        let id = builder.add(&About::OK, body.len() as u64, &mut &**body, &mut go_on).unwrap();
        builder.name(path.as_bytes(), id, [None; 3]);
    }
}

fn open(builder: Builder<Cursor<Vec<u8>>>) -> Files {
    Files::new(Image::open(builder.finish().unwrap().into_inner()).unwrap())
}

/// A file of rules, which goes with its directory.
fn written(rules: &str) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("rules.toml");
    fs::write(&file, rules).unwrap();
    (directory, file)
}

fn ruled(rules: &str, files: Files) -> Ruled {
    Ruled::load(&written(rules).1, files).unwrap()
}

/// Head and body of what the engine sends for a request as it comes over a network.
fn sent(app: &impl App, request: &str) -> (String, String) {
    let line = RequestLine::parse_for(app.methods(), request.as_bytes()).unwrap();
    let mut scratch = vec![0; SCRATCH_LEN];
    let response = Request::of_line(&line).with_one_packet(1000).answer(app, &mut scratch).unwrap();
    (str::from_utf8(response.head()).unwrap().to_owned(), response.body().escape_ascii().to_string())
}

fn get(app: &impl App, host: &str, target: &str) -> (String, String) {
    sent(app, &format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"))
}

/// Status and body.
fn outcome(app: &impl App, host: &str, target: &str) -> (u16, String) {
    let (head, body) = get(app, host, target);
    (head[9..12].parse().unwrap(), body)
}

fn field<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.split("\r\n").find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

fn is(status: u16, body: &str) -> (u16, String) {
    (status, body.to_owned())
}

#[test]
fn a_rule_answers_first_and_a_file_what_no_rule_has() {
    let rules = "[[rule]]\npaths = ['/a', '/c']\nbody = 'rule'\n\
                 [[rule]]\npaths = ['/old/*']\nredirect = 'https://{host}/new/{rest}{query}'";
    let app = ruled(rules, files(&[("/a", b"file a"), ("/b", b"file b"), ("/old", b"file old")]));
    assert_eq!((app.rules().rule_count(), app.files().image().path_count()), (2, 3));
    for (path, expect) in [
        ("/a", is(200, "rule")),
        ("/%61", is(200, "rule")),
        ("/b", is(200, "file b")),
        ("/c", is(200, "rule")),
        ("/old", is(200, "file old")),
        ("/d", is(404, "Nothing is here.\\n")),
        ("/..", is(400, "No file can have this path.\\n")),
    ] {
        assert_eq!(outcome(&app, "h", path), expect, "{path}");
    }
    let (head, _) = get(&app, "H.example:80", "/old/x?y");
    assert_eq!((&head[9..12], field(&head, "Location")), ("308", Some("https://h.example/new/x?y")));
}

#[test]
fn a_method_that_no_rule_has_is_that_of_a_file_or_405_with_all_that_there_are() {
    let rules = "[[rule]]\npaths = ['/form']\nmethods = ['POST']\nredirect = '/thanks'\nstatus = 303\n\
                 [[rule]]\npaths = ['/any']\nmethods = ['*']\nstatus = 204";
    let app = ruled(rules, files(&[("/form", b"form"), ("/any", b"file"), ("/b", b"b")]));
    let of = |method: &str, target: &str| {
        let (head, _) = sent(&app, &format!("{method} {target} HTTP/1.1\r\nHost: h\r\n\r\n"));
        (head[9..12].to_owned(), field(&head, "Allow").map(str::to_owned))
    };
    let refused = |allowed: &str| ("405".to_owned(), Some(allowed.to_owned()));
    assert_eq!(outcome(&app, "h", "/form"), is(200, "form"));
    assert_eq!(of("HEAD", "/form"), ("200".to_owned(), None));
    assert_eq!(of("POST", "/form"), ("303".to_owned(), None));
    assert_eq!(of("PUT", "/form"), refused("GET, HEAD, POST"));
    for target in ["/b", "/missing", "/.."] {
        assert_eq!(of("POST", target), refused("GET, HEAD"), "{target}");
    }
    assert_eq!(of("OPTIONS", "*"), refused("GET, HEAD"));
    for method in Method::ALL {
        assert_eq!(of(method.name(), "/any").0, "204");
    }
    let only_get = ruled("[[rule]]\npaths = ['/a']\nbody = 'a'", files(&[]));
    assert!(!only_get.methods().has(Method::Post), "the engine refuses what no rule has");
}

#[test]
fn rules_of_hosts_and_sites_of_hosts_go_together() {
    let mut builder = Builder::new(Cursor::new(Vec::new())).unwrap();
    builder.without_others();
    builder.site(&["a.example".parse().unwrap()]);
    add(&mut builder, &[("/x", b"file of a"), ("/y", b"y of a")]);
    builder.site(&["b.example".parse().unwrap()]);
    add(&mut builder, &[("/x", b"file of b")]);
    let rules = "[[rule]]\nhosts = ['b.example', 'c.example']\npaths = ['/x']\nbody = 'rule'";
    let app = ruled(rules, open(builder));
    assert_eq!(outcome(&app, "a.example", "/x"), is(200, "file of a"));
    assert_eq!(outcome(&app, "B.example:80", "/x"), is(200, "rule"));
    assert_eq!(outcome(&app, "c.example", "/x"), is(200, "rule"));
    assert_eq!(outcome(&app, "a.example", "/y"), is(200, "y of a"));
    assert_eq!(outcome(&app, "c.example", "/y").0, 421);
    assert_eq!(outcome(&app, "a_b", "/x").0, 400);
    assert_eq!(sent(&app, "GET /x HTTP/1.1\r\n").0[9..12], *"431", "the host may still come");
}

#[test]
fn no_rule_and_no_file_share_a_position() {
    let bodies: Vec<Vec<u8>> = [600, 5000, 70_000].map(|len| vec![b'f'; len]).into();
    let long = "r".repeat(3000);
    let rules = format!("[[rule]]\npaths = ['/r']\nbody = '{long}'\n[[rule]]\npaths = ['/s']\nbody = '{long}s'");
    let app = ruled(&rules, files(&[("/a", &bodies[0]), ("/b", &bodies[1]), ("/c", &bodies[2])]));
    assert!(app.stores());
    let mut scratch = vec![0; SCRATCH_LEN];
    let mut covered = 0;
    for path in ["/a", "/b", "/c", "/r", "/s"] {
        let response = app.respond(&Request::get(path.as_bytes()), &mut scratch);
        let first = response.position().unwrap().value();
        assert!(first >= covered, "{path}");
        covered = first + u32::try_from(Position::units(response.len())).unwrap();
        for position in (first..covered).filter_map(Position::new) {
            assert_eq!(app.stored(position), Some(response), "{path}");
        }
    }
    assert_eq!(app.stored(Position::new(covered).unwrap()), None);
    assert!(!ruled("[[rule]]\npaths = ['/a']\nstatus = 204", files(&[])).rules().stores());
}

#[test]
fn what_is_wrong_with_the_rules_is_said_with_its_place() {
    let (_directory, file) = written("[[rule]]\nhosts = ['a_b']\nbody = 'x'");
    let error = Ruled::load(&file, files(&[])).unwrap_err();
    assert!(matches!(error, RulesError::Rule { line: 2, column: 10, .. }), "{error}");
    let missing = Ruled::load(&file.with_file_name("missing"), files(&[])).unwrap_err();
    assert!(matches!(missing, RulesError::Io { .. }), "{missing}");
}

#[test]
fn nothing_is_allocated_for_an_answer() {
    let app = ruled("[[rule]]\npaths = ['/r/*']\nredirect = 'https://{host}/{rest}'", files(&[("/a", b"a")]));
    let mut scratch = vec![0; SCRATCH_LEN];
    for target in ["/a", "/%61", "/r/x", "/r/%61", "/missing"] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n");
        let request = Request::of_line(&RequestLine::parse(request.as_bytes()).unwrap());
        let info = allocation_counter::measure(|| assert!(!app.respond(&request, &mut scratch).is_empty()));
        assert_eq!(info.count_total, 0, "{target}");
    }
}

const RULES: &str = "[[rule]]\nhosts = ['a', '*.a']\npaths = ['/a/*', '/b']\nbody = 'of a'\n\
                     [[rule]]\npaths = ['/a', '/b/*']\nredirect = 'https://{host}{path}{query}'\n\
                     [[rule]]\npaths = ['/b/a']\nmethods = ['POST']\nstatus = 202";

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    /// Each answer is that of the rules alone, or that of the files alone.
    #[test]
    fn a_request_is_answered_by_the_rules_alone_or_by_the_files_alone(
        host in "(b\\.)?[abc]", path in "(/[abc%61]{0,3}){1,3}", query in "(\\?[ab])?",
    ) {
        let contents: [(&str, &[u8]); 4] = [("/a", b"1"), ("/a/a", b"2"), ("/b/a", b"3"), ("/c", b"4")];
        let app = ruled(RULES, files(&contents));
        let rules = Respond::load(&written(RULES).1).unwrap();
        let target = path + &query;
        let (by_rules, by_files) = (get(&rules, &host, &target), get(&files(&contents), &host, &target));
        let is_ruled = !matches!(&by_rules.0[9..12], "404" | "405" | "421");
        prop_assert_eq!(get(&app, &host, &target), if is_ruled { by_rules } else { by_files });
    }
}
