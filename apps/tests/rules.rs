//! What the application `respond` answers, through the door that the engine uses; and what is said of wrong rules.

use std::fs;
use std::path::Path;

use lethe::engine::SCRATCH_LEN;
use lethe::http::{Method, RequestLine};
use lethe::{App, Request};
use lethe_apps::respond::{Respond, RulesError};
use lethe_test::{TestRequest, check_app, simulate};
use url::{Host, Url};

fn rules(text: &str) -> Respond {
    Respond::parse(text, Path::new("rules.toml")).unwrap()
}

/// An example of the repository.
fn example(name: &str) -> Respond {
    Respond::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/respond").join(name)).unwrap()
}

/// Head and body of the answer to a request as it comes over a network. `None` where no application is asked.
fn try_answer(app: &Respond, request: &[u8]) -> Option<(String, Vec<u8>)> {
    let line = RequestLine::parse_for(app.methods(), request).ok()?;
    let mut scratch = vec![0x5a; SCRATCH_LEN];
    let response = Request::of_line(&line).answer(app, &mut scratch)?;
    Some((str::from_utf8(response.head()).unwrap().to_owned(), response.body().to_vec()))
}

fn answer(app: &Respond, method: &str, host: &str, target: &str) -> (String, String) {
    let request = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    let (head, body) = try_answer(app, request.as_bytes()).unwrap();
    (head, String::from_utf8(body).unwrap())
}

/// The status of an answer to GET, and where it leads.
fn outcome(app: &Respond, host: &str, target: &str) -> (u16, Option<String>) {
    let (head, _) = answer(app, "GET", host, target);
    (head[9..12].parse().unwrap(), field(&head, "Location"))
}

fn field(head: &str, name: &str) -> Option<String> {
    head.split("\r\n").find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).map(str::to_owned)
}

#[test]
fn an_answer_has_the_status_the_fields_and_the_body_of_its_rule() {
    let app = rules(
        "[[rule]]\npaths = ['/a']\nstatus = 404\nbody = 'gone'\nfields = { B = ['1', '2'], Content-Type = 'a/b' }\n\
         [[rule]]\npaths = ['/b']\nbody = 'text'\n[[rule]]\npaths = ['/c']\nstatus = 410\n\
         [[rule]]\npaths = ['/d']\nredirect = 'https://a.example/'\nstatus = 302\nfields = { A = 'b' }",
    );
    for (path, expect, content) in [
        ("/a", "404 Not Found\r\nB: 1\r\nB: 2\r\nContent-Type: a/b\r\nContent-Length: 4\r\n", "gone"),
        ("/b", "200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 4\r\n", "text"),
        ("/c", "410 Gone\r\nContent-Length: 0\r\n", ""),
        ("/d", "302 Found\r\nA: b\r\nLocation: https://a.example/\r\nContent-Length: 0\r\n", ""),
        (
            "/e",
            "404 Not Found\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 17\r\n",
            "Nothing is here.\n",
        ),
    ] {
        let (head, body) = answer(&app, "GET", "h", path);
        assert_eq!(head, format!("HTTP/1.1 {expect}Connection: close\r\n\r\n"));
        assert_eq!(body, content);
        let (head_alone, nothing) = answer(&app, "HEAD", "h", path);
        assert_eq!((head_alone, nothing.as_str()), (head, ""));
    }
}

#[test]
fn a_method_that_no_rule_of_the_place_has_is_answered_with_405_and_those_that_there_are() {
    let app = rules(
        "[[rule]]\npaths = ['/a']\nbody = 'a'\n[[rule]]\npaths = ['/a']\nmethods = ['POST', 'PUT']\nstatus = 202\n\
         [[rule]]\npaths = ['/b']\nmethods = ['POST']\nstatus = 202\n\
         [[rule]]\npaths = ['/c']\nmethods = ['*']\nstatus = 204",
    );
    let allow = |method, path| {
        let (head, _) = answer(&app, method, "h", path);
        (head[9..12].to_owned(), field(&head, "Allow"))
    };
    let refused = |allowed: &str| ("405".to_owned(), Some(allowed.to_owned()));
    assert_eq!(allow("POST", "/a"), ("202".to_owned(), None));
    assert_eq!(allow("DELETE", "/a"), refused("GET, HEAD, POST, PUT"));
    assert_eq!(allow("HEAD", "/b"), refused("POST"));
    for method in Method::ALL {
        assert_eq!(allow(method.name(), "/c"), ("204".to_owned(), None));
    }
    assert_eq!(allow("OPTIONS", "*"), ("404".to_owned(), None), "no path of a rule is `*`");
    assert!(!rules("[[rule]]\nstatus = 200").methods().has(Method::Post), "the engine refuses what no rule has");
}

#[test]
fn the_most_specific_rule_answers_whatever_the_order_of_the_file() {
    let blocks = [
        "[[rule]]\nbody = 'any'",
        "[[rule]]\npaths = ['/a/*']\nbody = 'any /a/*'",
        "[[rule]]\nhosts = ['*.b.example']\nbody = 'under b'",
        "[[rule]]\nhosts = ['a.b.example']\npaths = ['/a/x']\nbody = 'a.b /a/x'",
    ];
    let turned = |by: usize| (0..4).map(|at| blocks[(at + by) % 4]).collect::<Vec<_>>().join("\n");
    for order in (0..4).map(turned) {
        let app = rules(&order);
        for (host, path, expect) in [
            ("A.B.example:80", "/a/x", "a.b /a/x"),
            ("a.b.example", "/a/y", "under b"),
            ("c.a.b.example", "/a/x", "under b"),
            ("b.example", "/a/x", "any /a/*"),
            ("b.example", "/b", "any"),
            ("10.9.0.2", "/%61/%78", "any /a/*"),
        ] {
            assert_eq!(answer(&app, "GET", host, path).1, expect, "{host} {path}");
        }
        let old = try_answer(&app, b"GET /a/x HTTP/1.0\r\n\r\n").unwrap();
        assert_eq!(old.1, b"any /a/*", "no host is any host");
    }
}

#[test]
fn a_host_that_no_rule_has_is_misdirected_where_every_rule_has_one() {
    let named = rules("[[rule]]\nhosts = ['a', '*.b']\npaths = ['/x']\nbody = 'a'");
    let status = |app, host, path| outcome(app, host, path).0;
    assert_eq!([status(&named, "a", "/x"), status(&named, "c.b", "/x"), status(&named, "c", "/x")], [200, 200, 421]);
    assert_eq!([status(&named, "a", "/y"), status(&named, "c", "/y")], [404, 404]);
    assert_eq!(status(&named, "a_b", "/x"), 400);
    let any = rules("[[rule]]\nhosts = ['a']\npaths = ['/x']\nbody = 'a'\n[[rule]]\npaths = ['/y']\nbody = 'any'");
    assert_eq!([status(&any, "c", "/x"), status(&any, "c", "/y")], [404, 200]);
}

#[test]
fn where_the_host_may_still_come_it_is_asked_for_in_the_first_packet() {
    let app = rules(
        "[[rule]]\nhosts = ['a.example']\npaths = ['/a']\nbody = 'a'\n[[rule]]\npaths = ['/b']\nbody = 'b'\n\
         [[rule]]\npaths = ['/c']\nredirect = 'https://{host}/'",
    );
    for (request, expect) in [
        ("GET /a HTTP/1.1\r\n", "431"),
        ("GET /a HTTP/1.1\r\nHost: a.exa", "431"),
        ("GET /a HTTP/1.1\r\nHost: a.example\r\n", "200"),
        ("GET http://a.example/a HTTP/1.1\r\n", "200"),
        ("GET /b HTTP/1.1\r\n", "200"),
        ("GET /c HTTP/1.1\r\n", "431"),
        ("GET /c HTTP/1.1\r\nHost: a.example\r\n", "308"),
        ("GET /c HTTP/1.0\r\n\r\n", "400"),
        ("GET /a HTTP/1.0\r\n\r\n", "404"),
    ] {
        let (head, _) = try_answer(&app, request.as_bytes()).unwrap();
        assert_eq!(&head[9..12], expect, "{request:?}");
    }
}

/// Hosts that are to lead nowhere but to themselves.
const HOSTS: [&[u8]; 52] = [
    b"example.com",
    b"EXAMPLE.com:80",
    b"example.com.",
    b"[2001:db8::1]",
    b"[2001:db8::1]:8080",
    b"192.0.2.1",
    b"",
    b" ",
    b"/evil.example",
    b"//evil.example",
    b"evil.example/",
    b"evil.example//",
    b"evil.example\\@example.com",
    b"example.com\\.evil.example",
    b"example.com@evil.example",
    b"user:password@evil.example",
    b"@evil.example",
    b"example.com:80@evil.example",
    b"example.com:@evil.example",
    b"example.com#@evil.example",
    b"example.com?@evil.example",
    b"example.com:evil",
    b"example.com:80:80",
    b"example.com:99999",
    b"example.com:-1",
    b"example.com;evil.example",
    b"example.com,evil.example",
    b"example.com evil.example",
    b"example.com\tevil.example",
    b"example.com\x0b.evil.example",
    b"example.com\x00.evil.example",
    b"example.com\x7f.evil.example",
    b"example.com%2f@evil.example",
    b"example.com%00.evil.example",
    b"ex%61mple.com",
    b"example.com%0d%0aSet-Cookie:%20a=b",
    b"example.com\rSet-Cookie: a=b",
    b"example.com\r\nSet-Cookie: a=b",
    b"example.com\nLocation: http://evil.example",
    b"example.com\r\nHost: evil.example",
    b"[evil.example]",
    b"[::1]evil.example",
    b"[::1]@evil.example",
    b"[::1%25evil]",
    b"[::1",
    b"::1",
    b"\xe2\x84\x80.evil.example",
    b"\xef\xbc\x8fevil.example",
    b"evil\xe3\x80\x82example",
    b"..",
    b"a..evil.example",
    b"<script>alert(1)</script>",
];

/// Targets that are to lead to themselves on the host of the rule.
const TARGETS: [&[u8]; 50] = [
    b"/",
    b"/a/b?c=d",
    b"//evil.example",
    b"///evil.example/",
    b"////evil.example",
    b"//evil.example/..",
    b"/\\evil.example",
    b"\\\\evil.example",
    b"/\\/evil.example",
    b"//\\evil.example",
    b"/\t/evil.example",
    b"/%09/evil.example",
    b"/%0a/evil.example",
    b"/%0d%0aSet-Cookie:%20a=b",
    b"/%0d%0aLocation:%20http://evil.example",
    b"/a%0d%0a%0d%0a<script>",
    b"/\rSet-Cookie: a=b",
    b"/a\x00b",
    b"/a\x01\x1f\x7f",
    b"/@evil.example",
    b"/:80@evil.example",
    b"@evil.example",
    b":80@evil.example/",
    b".evil.example/",
    b"/%2f%2fevil.example",
    b"/%2f/evil.example",
    b"/%5c%5cevil.example",
    b"/%5cevil.example",
    b"/..//evil.example",
    b"/../../evil.example",
    b"/.//evil.example",
    b"/%2e%2e//evil.example",
    b"/.",
    b"/;@evil.example",
    b"/#@evil.example",
    b"/?//evil.example",
    b"/?@evil.example",
    b"/?a=b\\\\evil.example#c",
    b"/?%0d%0aSet-Cookie:a=b",
    b"/?a\rb",
    b"/http://evil.example",
    b"http://evil.example/",
    b"http://evil.example",
    b"https://evil.example@example.com/",
    b"http://example.com\\@evil.example/",
    b"http:///evil.example",
    b"ftp://evil.example/",
    b"javascript:alert(1)",
    b"/\xe2\x80\xae\xff\xfe",
    b"/\"><script>alert(1)</script>",
];

/// The rules, and how much of a path a `*` of theirs has.
const REDIRECTS: [&str; 7] = [
    "redirect = 'https://{host}{path}{query}'",
    "redirect = 'https://{host}:8443/x/{rest}?from={path}{query}'",
    "redirect = 'https://www.{host}/{rest}'",
    "redirect = 'https://fixed.example{path}{query}'",
    "redirect = 'https://fixed.example/?{rest}'",
    "redirect = '{path}{query}'",
    "redirect = '/{rest}'",
];

/// Checks a redirect of a request that a client sent to a host. Nothing where it was refused.
fn check_redirect(rule: &str, host: &[u8], target: &[u8], head: &str) -> bool {
    let told = || format!("{rule}: {} {}: {head}", host.escape_ascii(), target.escape_ascii());
    let fields: Vec<&str> = head.strip_suffix("\r\n\r\n").unwrap().split("\r\n").collect();
    assert!(fields.iter().all(|line| line.bytes().all(|byte| (b' '..=b'~').contains(&byte))), "{}", told());
    if !head.starts_with("HTTP/1.1 308 ") {
        assert!(head.starts_with("HTTP/1.1 4"), "{}", told());
        return false;
    }
    let names: Vec<&str> = fields[1..].iter().map(|line| line.split_once(": ").unwrap().0).collect();
    assert_eq!(names, ["Location", "Content-Length", "Connection"], "{}", told());
    let location = field(head, "Location").unwrap();
    assert!(!location.contains([' ', '\\', '<', '"']), "{}", told());
    // The target in absolute form names the host that counts. A redirect that does not look at the host is followed
    // from one that is none of these.
    let sent = str::from_utf8(target).ok().filter(|target| !target.starts_with('/'));
    let sent = sent.and_then(|target| Some(target.split_once("://")?.1));
    let asked = match sent {
        _ if !rule.contains("{host}") => "asked.example",
        Some(rest) => rest.split('/').next().unwrap(),
        // A line end in the field makes two fields of it, and the first is the host.
        None => str::from_utf8(host).unwrap().lines().next().unwrap(),
    };
    let asked = Url::parse(&format!("http://{asked}/a/b/c")).unwrap_or_else(|error| panic!("{error}: {}", told()));
    // What ends in a number and is no address leads nowhere.
    let Ok(led) = asked.join(&location) else { return false };
    let expect = match rule {
        rule if rule.contains("www.{host}") => Host::parse(&format!("www.{}", asked.host_str().unwrap())).unwrap(),
        rule if rule.contains("fixed.example") => Host::parse("fixed.example").unwrap(),
        _ => asked.host().unwrap().to_owned(),
    };
    let without_dot = |host: &Host<String>| host.to_string().trim_end_matches('.').to_owned();
    assert_eq!(without_dot(&led.host().unwrap().to_owned()), without_dot(&expect), "{}", told());
    assert!(led.username().is_empty() && led.password().is_none(), "{}", told());
    assert_eq!(
        led.port(),
        if rule.contains(":8443") { Some(8443) } else { asked.port().filter(|_| !rule.contains("//")) }
    );
    true
}

#[test]
fn no_host_and_no_path_leads_elsewhere_than_the_rule_says() {
    let (mut led, mut refused) = (0, 0);
    for rule in REDIRECTS {
        let app = rules(&format!("[[rule]]\npaths = ['/*']\n{rule}"));
        for host in HOSTS {
            for target in TARGETS {
                for before in [&b"GET "[..], b"HEAD "] {
                    let request = [before, target, b" HTTP/1.1\r\nHost: ", host, b"\r\n\r\n"].concat();
                    match try_answer(&app, &request) {
                        Some((head, _)) if check_redirect(rule, host, target, &head) => led += 1,
                        _ => refused += 1,
                    }
                }
            }
        }
    }
    // Neither is everything refused, nor is anything.
    assert!(led > 5_000 && refused > 10_000, "{led} redirects, {refused} refusals");
}

#[test]
fn a_redirect_without_parts_of_the_request_is_finished() {
    let app = rules("[[rule]]\nredirect = 'https://a.example/b?c'");
    let mut scratch = [];
    let request = Request::get(b"/x");
    let response = app.respond(&request, &mut scratch);
    assert!(response.known_sum().is_some() && response.head().starts_with(b"HTTP/1.1 308 "));
}

#[test]
fn a_file_is_found_beside_the_rules_and_has_the_type_of_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let page = "<p>A page\n".repeat(20_000);
    fs::write(folder.path().join("page.html"), &page).unwrap();
    let path = folder.path().join("rules.toml");
    fs::write(&path, "[[rule]]\nstatus = 503\nfile = 'page.html'").unwrap();
    let app = Respond::load(&path).unwrap();
    let (head, body) = answer(&app, "GET", "h", "/");
    assert!(head.starts_with("HTTP/1.1 503 ") && body == page, "{head}");
    assert_eq!(field(&head, "Content-Type").as_deref(), Some("text/html; charset=utf-8"));
    assert!(app.stores(), "a long one is sent by its client's ACKs");
    assert!(!example("connectivity.toml").stores());
}

#[test]
fn a_directory_answers_with_the_files_that_it_had_by_their_names() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = folder.path().join("tokens");
    fs::create_dir_all(tokens.join("inner")).unwrap();
    for (name, text) in [("token-1_A", "one"), ("a b.txt", "two"), (".hidden", "three")] {
        fs::write(tokens.join(name), text).unwrap();
    }
    let path = folder.path().join("rules.toml");
    fs::write(&path, "[[rule]]\npaths = ['/t/*']\ndirectory = 'tokens'\n[[rule]]\nbody = 'else'").unwrap();
    let app = Respond::load(&path).unwrap();
    fs::write(tokens.join("later"), "four").unwrap();
    let body = |app, path| answer(app, "GET", "h", path).1;
    let bodies = ["/t/token-1_A", "/t/a%20b.txt", "/t/.hidden", "/t/", "/t/inner", "/t/later", "/t/../rules.toml"];
    let expect = ["one", "two", "else", "else", "else", "else", "else"];
    assert_eq!(bodies.map(|path| body(&app, path)), expect);
    assert_eq!(body(&Respond::load(&path).unwrap(), "/t/later"), "four");
}

/// What is said of a text, without the path.
fn said(text: &str) -> String {
    let error = Respond::parse(text, Path::new("dir/rules.toml")).map(drop).unwrap_err();
    let text = error.to_string();
    text.strip_prefix("dir/rules.toml:").unwrap_or_else(|| panic!("{text}")).to_owned()
}

#[test]
fn what_is_wrong_is_said_with_its_line_and_column_and_what_would_be_right() {
    for (text, expect) in [
        ("[[rule]]\nbody = 'a", "2:10: "),
        ("[[rule]]\n\n  bodie = 'a'", "3:3: unknown field `bodie`, expected one of `hosts`, `paths`, `methods`, "),
        ("[[rules]]\nbody = 'a'", "1:3: unknown field `rules`, expected `rule`"),
        ("[[rule]]\nstatus = '200'", "2:10: invalid type: string \"200\", expected u16"),
        ("[[rule]]\nhosts = 'a'", "2:9: invalid type: string \"a\", expected a sequence"),
        ("[[rule]]\nbody = 'a'\nbody = 'b'", "3:1: duplicate key"),
        ("\n[[rule]]\npaths = ['/']", "2:1: a rule answers with a body, a file, a directory, a redirect, or a status"),
        ("[[rule]]\nhosts = ['a', 'b_c']\nbody = ''", "2:15: a host is a name of letters, digits, `-` and `.`, or "),
        ("[[rule]]\nhosts = []\nbody = ''", "2:9: an empty list: leave hosts out for all of them"),
        ("[[rule]]\npaths = ['a']\nbody = ''", "2:10: a path begins with a slash: \"/a\""),
        (
            "[[rule]]\npaths = ['/a?b']\nbody = ''",
            "2:10: a path ends before `?` and `#`, and queries are not compared: ",
        ),
        ("[[rule]]\npaths = ['/*/a']\nbody = ''", "2:10: a `*` stands at the end of a path, for all that may follow; "),
        ("[[rule]]\nmethods = ['get']\nbody = ''", "2:12: there are the methods GET, POST, PUT, DELETE, OPTIONS, "),
        ("[[rule]]\nmethods = ['HEAD']\nbody = ''", "2:12: HEAD is answered where GET is: leave it out"),
        ("[[rule]]\nstatus = 299\nbody = ''", "2:10: there is no such status: 200, 404 and 503 are some"),
        ("[[rule]]\nstatus = 206\nbody = ''", "2:10: this status answers conditions and ranges, "),
        ("[[rule]]\nstatus = 204\nbody = ''", "2:10: a response with status 204 has no body"),
        ("[[rule]]\nstatus = 301", "2:10: 301 is a redirect: say where it leads with redirect"),
        ("[[rule]]\nstatus = 200\nredirect = '/'", "2:10: a redirect has status 301, 302, 303, 307 or 308"),
        ("[[rule]]\nbody = ''\nredirect = '/'", "3:12: a rule has body or redirect, and not both"),
        (
            "[[rule]]\nredirect = '/{rest}'\npaths = ['/a']",
            "2:12: {rest} is what a `*` stands for: each path of the rule ",
        ),
        ("[[rule]]\nredirect = 'a'", "2:12: a redirect leads to a URL that begins with https://, http:// or a single "),
        ("[[rule]]\nredirect = '/'\nfields = { Location = 'a' }", "2:12: a redirect has its Location from `redirect`"),
        (
            "[[rule]]\nbody = ''\nfields = { 'A B' = 'c' }",
            "3:12: the name of a field has letters, digits and `-`, and ",
        ),
        (
            "[[rule]]\nbody = ''\n[rule.fields]\nA = \"b\\r\\nC: d\"",
            "4:5: the value of A has a line end or a character ",
        ),
        (
            "[[rule]]\nbody = ''\nfields = { A = '\u{e9}' }",
            "3:16: the value of A has a line end or a character beyond ASCII",
        ),
        ("[[rule]]\nbody = ''\nfields = { A = 1 }", "3:16: the value of a field is a text, or a list of texts"),
        ("[[rule]]\nbody = ''\nfields = { content-length = '1' }", "3:12: content-length is written by the server: "),
        ("[[rule]]\nbody = ''\nfields = { A = '1', a = '2' }", "3:21: a is there twice: write a list of its values"),
        (
            "[[rule]]\npaths = ['/a']\ndirectory = '.'",
            "3:13: the paths of a directory end with `/*`, and `*` stands for ",
        ),
        ("[[rule]]\nfile = 'none'", "2:8: cannot read dir/none"),
        ("[[rule]]\npaths = ['/a/*']\ndirectory = 'none'", "3:13: cannot read dir/none"),
        (
            "[[rule]]\nbody = 'a'\n[[rule]]\nhosts = ['a']\nbody = 'b'\n[[rule]]\nhosts = ['b', 'A']\nbody = 'b'",
            "6:1: GET /* is answered by the rule in line 3 already",
        ),
    ] {
        assert!(said(text).starts_with(expect), "{text}\n{}", said(text));
    }
}

#[test]
fn there_are_limits_to_what_a_file_of_rules_may_ask_for() {
    let list = |count: usize, item: fn(usize) -> String| (0..count).map(item).collect::<Vec<_>>().join(", ");
    let hosts = list(1024, |number| format!("'h{number}'"));
    let paths = list(1025, |number| format!("'/{number}'"));
    let many = said(&format!("[[rule]]\nhosts = [{hosts}]\npaths = [{paths}]\nbody = ''"));
    assert_eq!(many, "1:1: hosts, paths and methods make more than 1048576 answers");
    let long = said(&format!("[[rule]]\npaths = ['/{}']\nbody = ''", "%".repeat(342)));
    assert_eq!(long, "2:10: a path has at most 1024 bytes");
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("%".repeat(255)), "").unwrap();
    let text = format!("[[rule]]\npaths = ['/{}/*']\ndirectory = '.'", "a".repeat(300));
    let error = Respond::parse(&text, &folder.path().join("rules.toml")).map(drop).unwrap_err().to_string();
    assert!(error.ends_with(":1:1: a file has a path of more than 1024 bytes"), "{error}");
}

#[test]
fn a_file_that_cannot_be_read_is_told_with_its_cause() {
    let error = Respond::load(Path::new("none.toml")).map(drop).unwrap_err();
    assert!(matches!(error, RulesError::Io { .. }) && error.to_string() == "cannot read none.toml", "{error}");
    let error = Respond::parse("[[rule]]\nfile = 'none'", Path::new("rules.toml")).map(drop).unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.starts_with("No such file"), "{cause}");
}

#[test]
fn connectivity_checks_are_answered_to_the_byte() {
    let app = example("connectivity.toml");
    for (host, path, status, body) in [
        ("connectivitycheck.gstatic.com", "/generate_204", "204 No Content", ""),
        ("www.google.com", "/gen_204", "204 No Content", ""),
        (
            "captive.apple.com",
            "/hotspot-detect.html",
            "200 OK",
            "<HTML><HEAD><TITLE>Success</TITLE></HEAD><BODY>Success</BODY></HTML>\n",
        ),
        ("www.msftconnecttest.com", "/connecttest.txt", "200 OK", "Microsoft Connect Test"),
        ("www.msftncsi.com", "/ncsi.txt", "200 OK", "Microsoft NCSI"),
        ("detectportal.firefox.com", "/success.txt?ipv4", "200 OK", "success\n"),
        (
            "detectportal.firefox.com",
            "/canonical.html",
            "200 OK",
            "<meta http-equiv=\"refresh\" content=\"0;url=https://support.mozilla.org/kb/captive-portal\"/>",
        ),
        ("network-test.debian.org", "/nm", "200 OK", "NetworkManager is online\n"),
        ("ping.archlinux.org", "/nm-check.txt", "200 OK", "NetworkManager is online\n"),
        ("connectivity-check.ubuntu.com", "/", "204 No Content", ""),
    ] {
        let (head, content) = answer(&app, "GET", host, path);
        assert!(head.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{path}: {head}");
        assert_eq!(content, body, "{path}");
        let is_of_network_manager = body.starts_with("NetworkManager") || host.contains("ubuntu");
        let online = is_of_network_manager.then(|| "online".to_owned());
        assert_eq!(field(&head, "X-NetworkManager-Status"), online, "{path}");
    }
}

#[test]
fn the_other_examples_answer_as_they_say() {
    let led = |url: &str| Some(url.to_owned());
    let https = example("https.toml");
    assert_eq!(outcome(&https, "a.example:80", "/b?c"), (308, led("https://a.example/b?c")));
    assert!(answer(&https, "POST", "a.example", "/b").0.starts_with("HTTP/1.1 308 "));

    let maintenance = example("maintenance.toml");
    let (head, body) = answer(&maintenance, "GET", "a.example", "/any?thing");
    assert!(head.starts_with("HTTP/1.1 503 ") && body.starts_with("<!doctype html>"), "{head}");
    assert_eq!(field(&head, "Retry-After").as_deref(), Some("3600"));
    assert_eq!(answer(&maintenance, "GET", "10.9.0.2", "/health").1, "ok\n");

    let site = example("site.toml");
    let text = |path| answer(&site, "GET", "new.example", path).1;
    assert_eq!(text("/robots.txt"), "User-agent: *\nDisallow: /search\n");
    assert!(text("/.well-known/security.txt").starts_with("Contact: mailto:"));
    assert_eq!(outcome(&site, "new.example", "/security.txt"), (308, led("/.well-known/security.txt")));
    assert_eq!(outcome(&site, "www.old.example", "/robots.txt"), (301, led("https://new.example/robots.txt")));
    assert_eq!(outcome(&site, "new.example", "/archive/1/2?a"), (308, led("/older/1/2?a")));
    assert_eq!(outcome(&site, "new.example", "/older/1/2"), (410, None));

    let acme = example("acme.toml");
    let token = "LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0";
    let (_, body) = answer(&acme, "GET", "a.example", &format!("/.well-known/acme-challenge/{token}"));
    assert!(body.starts_with(&format!("{token}.")), "RFC 8555, section 8.1: {body}");
    let other = "/.well-known/acme-challenge/other";
    assert_eq!(outcome(&acme, "a.example", other), (308, led(&format!("https://a.example{other}"))));
}

/// Rules of every kind, with long answers and short ones, by host and for any.
const EVERY_KIND: &str = "
    [[rule]]
    methods = ['*']
    redirect = 'https://{host}{path}{query}'
    [[rule]]
    paths = ['/generate_204']
    status = 204
    [[rule]]
    paths = ['/long.html']
    file = 'long.html'
    [[rule]]
    paths = ['/middle']
    file = 'middle.txt'
    [[rule]]
    hosts = ['a.example', '*.a.example']
    paths = ['/moved/*']
    redirect = '/to/{rest}'
    [[rule]]
    hosts = ['a.example']
    paths = ['/by-host']
    file = 'long.html'
    [[rule]]
    hosts = ['b.example']
    paths = ['/by-host']
    body = 'short'
";

fn every_kind() -> Respond {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("long.html"), "<p>A long page\n".repeat(2_000)).unwrap();
    fs::write(folder.path().join("middle.txt"), "middle ".repeat(100)).unwrap();
    Respond::parse(EVERY_KIND, &folder.path().join("rules.toml")).unwrap()
}

fn every_request() -> Vec<TestRequest> {
    let mut all: Vec<TestRequest> = Vec::new();
    for host in ["a.example", "x.a.example", "b.example", "c.example:8080", "[2001:db8::1]"] {
        for target in ["/", "/a%20b?c=d", "/generate_204", "/long.html", "/middle", "/by-host", "/moved/x", "//a//b"] {
            all.push(TestRequest::get(target).header("Host", host));
        }
        all.push(TestRequest::head("/long.html").header("Host", host));
    }
    all
}

/// With methods that only some rules have.
fn every_request_of_any_method() -> Vec<TestRequest> {
    let others = ["POST", "DELETE"].map(|method| TestRequest::with_method(method, "/middle").header("Host", "h"));
    [every_request(), others.into()].concat()
}

#[test]
fn the_contract_is_kept() {
    check_app(&every_kind(), every_request_of_any_method());
    for name in ["https.toml", "maintenance.toml", "acme.toml"] {
        check_app(&example(name), every_request_of_any_method());
    }
    for name in ["connectivity.toml", "site.toml"] {
        check_app(&example(name), every_request());
    }
}

#[test]
fn every_client_gets_every_byte_under_loss_with_cut_requests_and_kept_connections() {
    let (app, requests) = (every_kind(), every_request_of_any_method());
    // The host is behind the first segment, of most.
    let cookie = |host| TestRequest::get("/by-host").header("Cookie", &"c".repeat(1400)).header("Host", host);
    let late = ["a.example", "b.example", "c.example"].map(cookie).to_vec();
    let cut =
        simulate(&app, [requests.clone(), late].concat()).loss("5%").split().clients(500).seeds(0..18).run().unwrap();
    let kept = simulate(&app, requests).keep_alive(8).loss("5%").clients(200).seeds(0..10).run().unwrap();
    // A client of the second kind has some four requests.
    assert!(cut.completed > 6_000 && kept.completed == 2_000, "{cut:?} {kept:?}");
}

#[test]
fn nothing_is_allocated_for_an_answer() {
    let app = every_kind();
    let mut scratch = vec![0; SCRATCH_LEN];
    for (host, target) in
        [("a.example", "/moved/%41\\x"), ("x.a.example", "/"), ("b.example", "/by-host"), ("c", "/none"), ("_", "/")]
    {
        let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let counted = allocation_counter::measure(|| {
            let line = RequestLine::parse_for(app.methods(), request.as_bytes()).unwrap();
            assert!(!app.respond(&Request::of_line(&line), &mut scratch).is_empty());
        });
        assert_eq!(counted.count_total, 0, "{target}");
    }
}
