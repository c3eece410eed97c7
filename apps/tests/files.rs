//! What the application `files` answers, through the door that the engine uses.

mod compress;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Cursor;
use std::ops::ControlFlow;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use compress::{STYLE, brotli, gzip};
use lethe::app::{Generations, Position};
use lethe::http::{Headers, RequestLine};
use lethe::versions::Versions;
use lethe::{App, Request};
use lethe_apps::ContainerError;
use lethe_apps::files::{
    About, AddError, Builder, FILE_MAX, Files, Flaw, Image, ObjectId, OpenError, Options, PackError, PackObserver,
    Packed, Site, Sites, Skipped, pack, pack_sites,
};
use nix::sys::stat::Mode;
use nix::unistd::{Uid, mkfifo, setfsuid};
use proptest::prelude::*;
use tempfile::TempDir;

/// An observer that records what was skipped.
#[derive(Default)]
struct Notes {
    skipped: Vec<(PathBuf, Skipped)>,
    packed: Vec<(u64, u64)>,
    stop: bool,
}

impl PackObserver for Notes {
    fn listed(&mut self, _: u64) {}

    fn skipped(&mut self, path: &Path, why: Skipped) {
        self.skipped.push((path.to_owned(), why));
    }

    fn unused(&mut self, path: &Path, of: Option<&Path>, why: Flaw) {
        panic!("{} is not used in place of {of:?}: {why}", path.display());
    }

    fn compared(&mut self, _: u64, _: u64) {}

    fn packed(&mut self, done: u64, total: u64) {
        self.packed.push((done, total));
    }

    fn stop(&self) -> bool {
        self.stop
    }
}

/// A directory with these files.
fn directory(files: &[(&str, &[u8])]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (path, contents) in files {
        let path = directory.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, contents).unwrap();
    }
    directory
}

fn packed_with(directory: &Path, options: &Options) -> (Vec<u8>, Packed, Notes) {
    let mut notes = Notes::default();
    let (out, packed) = pack(directory, options, Cursor::new(Vec::new()), &mut notes).unwrap();
    (out.into_inner(), packed, notes)
}

fn image_of(directory: &Path) -> Vec<u8> {
    packed_with(directory, &Options::default()).0
}

fn open(bytes: &[u8]) -> Result<Image, OpenError> {
    Image::open(bytes.to_owned())
}

fn files(contents: &[(&str, &[u8])]) -> Files {
    Files::new(open(&image_of(directory(contents).path())).unwrap())
}

#[derive(Clone, PartialEq, Debug)]
struct Answer {
    status: u16,
    fields: BTreeMap<String, String>,
    body: Vec<u8>,
    position: Option<Position>,
}

impl Answer {
    fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str)
    }
}

fn ask(app: &impl App, target: &str, fields: &str, generation: u8) -> Answer {
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let section = format!("{fields}\r\n");
    let headers = Headers::new(section.as_bytes());
    let (path, query) = (path.as_bytes(), query.map(str::as_bytes));
    let request = Request::get(path).with_query(query).with_headers(headers).with_generation(generation);
    let mut scratch = vec![0; lethe::engine::SCRATCH_LEN];
    let response = app.respond(&request, &mut scratch);
    let head = str::from_utf8(response.head()).unwrap();
    let (status, fields) = head.strip_suffix("\r\n\r\n").unwrap().split_once("\r\n").unwrap();
    let fields = fields.split("\r\n").map(|line| line.split_once(": ").unwrap());
    let answer = Answer {
        status: status.strip_prefix("HTTP/1.1 ").unwrap()[..3].parse().unwrap(),
        fields: fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        body: response.body().to_vec(),
        position: response.position(),
    };
    assert_eq!(answer.field("Connection"), Some("close"), "{target}");
    assert_eq!(answer.field("Date"), None);
    let length = (answer.status != 304).then(|| answer.body.len().to_string());
    assert_eq!(answer.fields.get("Content-Length"), length.as_ref(), "{target}");
    answer
}

fn get(app: &Files, target: &str) -> Answer {
    ask(app, target, "", 0)
}

#[track_caller]
fn check(app: &Files, target: &str, status: u16, body: &[u8]) -> Answer {
    let answer = get(app, target);
    assert_eq!((answer.status, answer.body.escape_ascii().to_string()), (status, body.escape_ascii().to_string()));
    answer
}

#[test]
fn a_file_is_answered_with_its_bytes_type_length_and_tag() {
    let app = files(&[("a.html", b"<p>a"), ("b/c.png", b"\x89PNG"), ("b/empty", b"")]);
    let answer = check(&app, "/a.html", 200, b"<p>a");
    assert_eq!(answer.field("Content-Type"), Some("text/html; charset=utf-8"));
    assert!(answer.field("ETag").unwrap().starts_with('"') && answer.field("ETag").unwrap().len() == 34);
    assert_eq!(answer.field("Vary"), None);
    assert_eq!(check(&app, "/b/c.png", 200, b"\x89PNG").field("Content-Type"), Some("image/png"));
    assert_eq!(check(&app, "/b/empty", 200, b"").field("Content-Type"), Some("application/octet-stream"));
}

#[test]
fn text_is_utf_8_and_other_types_are_what_they_are() {
    let types = [
        ("a.css", "text/css; charset=utf-8"),
        ("a.txt", "text/plain; charset=utf-8"),
        ("A.HTM", "text/html; charset=utf-8"),
        ("a.js", "text/javascript; charset=utf-8"),
        ("a.json", "application/json"),
        ("a.svg", "image/svg+xml"),
        ("a.wasm", "application/wasm"),
        ("a.woff2", "font/woff2"),
        ("a.unknown", "application/octet-stream"),
        ("README", "application/octet-stream"),
    ];
    let app = files(&types.map(|(name, _)| (name, &b"a"[..])));
    for (name, expect) in types {
        assert_eq!(get(&app, &format!("/{name}")).field("Content-Type"), Some(expect), "{name}");
    }
}

#[test]
fn a_query_changes_nothing() {
    let app = files(&[("a", b"a")]);
    check(&app, "/a?b=c", 200, b"a");
    check(&app, "/a?", 200, b"a");
}

#[test]
fn a_directory_is_answered_with_its_index() {
    let app = files(&[("index.html", b"root"), ("a/index.html", b"a"), ("a/b/index.html", b"b"), ("c/d", b"d")]);
    check(&app, "/", 200, b"root");
    check(&app, "/index.html", 200, b"root");
    check(&app, "/a/", 200, b"a");
    check(&app, "/a/b/", 200, b"b");
    check(&app, "/c/", 404, b"Nothing is here.\n");
}

#[test]
fn a_directory_without_its_slash_is_told_where_it_is() {
    let app = files(&[("a b/index.html", b"a"), ("c/d", b"d"), ("index.html", b"root"), ("xindex.html", b"x")]);
    assert_eq!(check(&app, "/a%20b", 301, b"").field("Location"), Some("/a%20b/"));
    assert_eq!(check(&app, "/%61%20b?c=%2f", 301, b"").field("Location"), Some("/%61%20b/?c=%2f"));
    // Nothing is behind the slash either.
    check(&app, "/c", 404, b"Nothing is here.\n");
    check(&app, "/x", 404, b"Nothing is here.\n");
    check(&app, "//a%20b", 404, b"Nothing is here.\n");
}

#[test]
fn a_long_path_is_redirected_as_well() {
    let name = "a".repeat(250);
    let path = format!("{name}/{name}/{name}");
    let app = files(&[(&format!("{path}/index.html"), b"a")]);
    let encoded: String = path.bytes().map(|b| if b == b'/' { "/".to_owned() } else { format!("%{b:02x}") }).collect();
    let location = format!("/{encoded}/");
    assert_eq!(check(&app, &format!("/{encoded}"), 301, b"").field("Location"), Some(location.as_str()));
}

#[test]
fn what_is_not_there_is_404_and_what_cannot_be_is_400() {
    let app = files(&[("a", b"a")]);
    for path in ["/b", "/a/", "/A", "/a.", "//", &format!("/{}", "x".repeat(2000)), "/%ff"] {
        check(&app, path, 404, b"Nothing is here.\n");
    }
    for path in ["/../a", "/%2e%2e/a", "/a%00", "/%2fa", "/..%5ca", "/%zz", "/b/../a"] {
        check(&app, path, 400, b"No file can have this path.\n");
    }
}

#[test]
fn a_page_of_ones_own_is_shown_for_what_is_not_there() {
    let app = files(&[("404.html", b"<h1>Gone"), ("404.html.gz", &gzip(b"<h1>Gone")), ("a/404.html", b"not this")]);
    let answer = check(&app, "/b", 404, b"<h1>Gone");
    assert_eq!(answer.field("Content-Type"), Some("text/html; charset=utf-8"));
    assert_eq!(answer.field("ETag"), None);
    check(&app, "/404.html", 200, b"<h1>Gone");
    check(&app, "/%2f", 400, b"No file can have this path.\n");
}

#[test]
fn a_client_that_has_the_file_is_told_so() {
    let app = files(&[("a", b"a"), ("b", b"bb"), ("b.gz", &gzip(b"bb"))]);
    let tag = get(&app, "/a").field("ETag").unwrap().to_owned();
    for known in [&tag, "*", &format!("\"x\", W/{tag}")] {
        let answer = ask(&app, "/a", &format!("If-None-Match: {known}\r\n"), 0);
        assert_eq!((answer.status, answer.field("ETag"), answer.body.len()), (304, Some(tag.as_str()), 0), "{known}");
        assert_eq!(answer.field("Vary"), None);
    }
    assert_eq!(ask(&app, "/b", &format!("If-None-Match: {tag}\r\n"), 0).status, 200);
    // Of a file that varies, it is the form that it would have been sent.
    let gzip = ask(&app, "/b", "Accept-Encoding: gzip\r\n", 0);
    let fields = format!("If-None-Match: {}\r\n", gzip.field("ETag").unwrap());
    assert_eq!(ask(&app, "/b", &fields, 0).status, 200);
    let answer = ask(&app, "/b", &format!("Accept-Encoding: gzip\r\n{fields}"), 0);
    assert_eq!((answer.status, answer.field("Vary")), (304, Some("Accept-Encoding")));
    assert_eq!(ask(&app, "/missing", "If-None-Match: *\r\n", 0).status, 404);
}

/// A site with these files, made with these options.
fn site(contents: &[(&str, &[u8])], options: &Options) -> Files {
    Files::new(open(&packed_with(directory(contents).path(), options).0).unwrap())
}

#[test]
fn a_file_says_when_it_was_written_and_a_client_that_knows_that_is_told_so() {
    let directory = directory(&[("a", b"a"), ("404.html", b"no")]);
    let written = UNIX_EPOCH + Duration::from_secs(1_780_000_000);
    let set = |name, time| File::options().write(true).open(directory.path().join(name)).unwrap().set_modified(time);
    set("a", written + Duration::from_millis(300)).unwrap();
    let app = Files::new(open(&image_of(directory.path())).unwrap());
    let (time, later, earlier) =
        ("Thu, 28 May 2026 20:26:40 GMT", "Thursday, 28-May-26 20:26:41 GMT", "Thu, 28 May 2026 20:26:39 GMT");
    assert_eq!(get(&app, "/a").field("Last-Modified"), Some(time));
    assert_eq!(get(&app, "/b").field("Last-Modified"), None, "the page for what is not there");
    let status = |fields: &str| ask(&app, "/a", fields, 0).status;
    let since = |date| format!("If-Modified-Since: {date}\r\n");
    assert_eq!([time, later, earlier, "yesterday", ""].map(|date| status(&since(date))), [304, 304, 200, 200, 200]);
    // A tag is the better condition, and two dates are none.
    assert_eq!(status(&format!("If-None-Match: \"x\"\r\n{}", since(time))), 200);
    assert_eq!(status(&format!("{0}{0}", since(time))), 200);
    // What HTTP cannot write is not said.
    set("a", UNIX_EPOCH - Duration::from_secs(1)).unwrap();
    let before_1970 = Files::new(open(&image_of(directory.path())).unwrap());
    assert_eq!(get(&before_1970, "/a").field("Last-Modified"), None);
    assert_eq!(ask(&before_1970, "/a", &since(time), 0).status, 200);
}

#[test]
fn rules_add_fields_by_path_and_a_304_has_those_of_caches() {
    let rules = [
        "* Strict-Transport-Security: max-age=31536000",
        "* Cache-Control: no-cache",
        "*.css Cache-Control: max-age=60",
        "/a/* Expires: 0",
    ];
    let fields = rules.map(|rule| rule.parse().unwrap()).to_vec();
    let app = site(
        &[("index.html", b"i"), ("a/b.css", b"b"), ("404.html", b"no")],
        &Options { fields, ..Options::default() },
    );
    let said = |path: &str| {
        let answer = get(&app, path);
        ["Strict-Transport-Security", "Cache-Control", "Expires"].map(|name| answer.field(name).map(str::to_owned))
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(said("/"), [some("max-age=31536000"), some("no-cache"), None]);
    assert_eq!(said("/a/b.css"), [some("max-age=31536000"), some("max-age=60"), some("0")]);
    assert_eq!(said("/nothing"), [some("max-age=31536000"), some("no-cache"), None]);
    let tag = get(&app, "/a/b.css").field("ETag").unwrap().to_owned();
    let known = ask(&app, "/a/b.css", &format!("If-None-Match: {tag}\r\n"), 0);
    assert_eq!(known.status, 304);
    let names: Vec<_> = known.fields.keys().map(String::as_str).collect();
    assert_eq!(names, ["Cache-Control", "Connection", "ETag", "Expires"]);
    assert_eq!((known.field("Cache-Control"), known.field("ETag")), (Some("max-age=60"), Some(&*tag)));
    // Fields are part of a head, which has to fit a segment.
    let long = format!("* X: {}", "x".repeat(500)).parse().unwrap();
    let options = Options { fields: vec![long], ..Options::default() };
    let error = pack(directory(&[("a", b"a")]).path(), &options, Cursor::new(Vec::new()), &mut Notes::default());
    assert!(said_of(&error.unwrap_err()).contains("more than 512 bytes"));
}

#[test]
fn a_page_is_found_without_its_extension_if_asked_for() {
    let contents: [(&str, &[u8]); 8] = [
        ("index.html", b"root"),
        ("a.html", b"a"),
        ("a/index.html", b"a/"),
        ("b", b"b"),
        ("b.html", b"b.html"),
        ("c.htm", b"c"),
        ("d/e.html", b"e"),
        ("404.html", b"no"),
    ];
    let app = site(&contents, &Options { clean_urls: true, ..Options::default() });
    for (path, body) in
        [("/a", "a"), ("/a.html", "a"), ("/a/", "a/"), ("/b", "b"), ("/d/e", "e"), ("/404", "no"), ("/", "root")]
    {
        check(&app, path, 200, body.as_bytes());
    }
    for path in ["/c", "/d", "/index"] {
        check(&app, path, 404, b"no");
    }
    check(&files(&contents), "/d/e", 404, b"no");
    check(&files(&contents), "/a", 301, b"");
}

#[test]
fn a_directory_without_an_index_is_listed_if_asked_for() {
    let contents: [(&str, &[u8]); 4] = [("a/b.txt", b"b"), ("a/c/d", b"dd"), ("e/index.html", b"e"), ("e/f", b"f")];
    let app = site(&contents, &Options { listing: true, ..Options::default() });
    let page = get(&app, "/a/");
    assert_eq!((page.status, page.field("Content-Type")), (200, Some("text/html; charset=utf-8")));
    let text = String::from_utf8(page.body).unwrap();
    assert!(text.contains("<a href=\"./b.txt\">b.txt</a><td>1") && text.contains("<a href=\"./c/\">"), "{text}");
    assert_eq!(check(&app, "/a", 301, b"").field("Location"), Some("/a/"));
    assert!([get(&app, "/"), get(&app, "/a/c/")].iter().all(|page| page.status == 200));
    check(&app, "/e/", 200, b"e");
    let unlisted = files(&contents);
    assert_eq!(["/", "/a/", "/a"].map(|path| get(&unlisted, path).status), [404; 3]);
}

#[test]
fn unknown_paths_are_answered_with_a_file_if_asked_for() {
    let contents: [(&str, &[u8]); 2] = [("app.html", b"app"), ("404.html", b"no")];
    let with = |path: &str| Options { fallback: Some(path.to_owned()), ..Options::default() };
    for path in ["app.html", "/app.html"] {
        let app = site(&contents, &with(path));
        let answer = check(&app, "/users/7", 200, b"app");
        assert_eq!(answer.field("Content-Type"), Some("text/html; charset=utf-8"));
        check(&app, "/404.html", 200, b"no");
        check(&app, "/..", 400, b"No file can have this path.\n");
    }
    let error = pack(directory(&contents).path(), &with("b"), Cursor::new(Vec::new()), &mut Notes::default());
    assert_eq!(error.unwrap_err().to_string(), "no file /b to answer unknown paths with");
}

#[test]
fn a_client_gets_the_form_that_it_likes_best() {
    let app = files(&[
        ("a.css", STYLE),
        ("a.css.gz", &gzip(STYLE)),
        ("a.css.br", &brotli(STYLE)),
        ("a.css.zst", include_bytes!("cases/style.css.zst")),
        ("b.css.gz", b"only compressed"),
        ("c.css", b"c"),
        ("c.css.gz", &gzip(b"c")),
    ]);
    let chosen = |accept: &str| {
        let answer = ask(&app, "/a.css", &format!("Accept-Encoding: {accept}\r\n"), 0);
        assert_eq!(answer.field("Vary"), Some("Accept-Encoding"));
        assert_eq!(answer.field("Content-Type"), Some("text/css; charset=utf-8"));
        answer.field("Content-Encoding").unwrap_or("identity").to_owned()
    };
    assert_eq!(chosen("gzip, deflate, br, zstd"), "br");
    assert_eq!(chosen("gzip, deflate"), "gzip");
    assert_eq!(chosen("gzip, zstd"), "zstd");
    assert_eq!(chosen("br;q=0.1, gzip;q=0.2"), "gzip");
    assert_eq!(chosen("deflate"), "identity");
    assert_eq!(chosen("gzip;q=0"), "identity");
    assert_eq!(chosen("identity, br;q=0.9"), "identity");
    assert_eq!(chosen("identity;q=0"), "identity");
    assert_eq!(chosen("*;q=0"), "identity");
    assert_eq!(chosen("*"), "br");
    // Under its own name it is a file like any other.
    let archive = check(&app, "/a.css.gz", 200, &gzip(STYLE));
    assert_eq!((archive.field("Content-Type"), archive.field("Content-Encoding")), (Some("application/gzip"), None));
    check(&app, "/b.css", 404, b"Nothing is here.\n");
    // What is liked as well is chosen by its length, and what is liked better is not.
    assert_eq!(ask(&app, "/c.css", "Accept-Encoding: gzip, identity\r\n", 0).body, b"c");
    assert_eq!(ask(&app, "/c.css", "Accept-Encoding: gzip\r\n", 0).body, gzip(b"c"));
}

#[test]
fn an_index_has_its_variants() {
    let app = files(&[("index.html", STYLE), ("index.html.br", &brotli(STYLE))]);
    assert_eq!(ask(&app, "/", "Accept-Encoding: br\r\n", 0).body, brotli(STYLE));
}

#[test]
fn hidden_files_are_served_only_when_they_are_asked_for() {
    let directory = directory(&[(".a", b"a"), (".git/b", b"b"), ("c", b"c")]);
    let (bytes, packed, notes) = packed_with(directory.path(), &Options::default());
    let app = Files::new(open(&bytes).unwrap());
    assert_eq!((packed.files, notes.skipped.len()), (1, 2));
    assert_eq!([get(&app, "/.a").status, get(&app, "/.git/b").status, get(&app, "/c").status], [404, 404, 200]);
    let (bytes, packed, notes) = packed_with(directory.path(), &Options { hidden: true, ..Options::default() });
    let app = Files::new(open(&bytes).unwrap());
    assert_eq!((packed.files, notes.skipped.len()), (3, 0));
    assert_eq!([get(&app, "/.a").status, get(&app, "/.git/b").status, get(&app, "/c").status], [200, 200, 200]);
}

#[test]
fn links_are_followed_within_the_directory_and_never_out_of_it() {
    let outside = directory(&[("secret", b"secret"), ("d/e", b"e")]);
    let inside = directory(&[("a", b"a"), ("d/b", b"b")]);
    let (root, out) = (inside.path(), outside.path());
    let link = |target: &Path, name: &str| symlink(target, root.join(name)).unwrap();
    link(Path::new("a"), "relative");
    link(&root.join("d/b"), "absolute");
    link(Path::new("d"), "directory");
    link(&out.join("secret"), "out");
    link(&out.join("d"), "out-directory");
    link(Path::new("../../../../../../../../etc/passwd"), "up");
    link(Path::new("nowhere"), "dangling");
    link(Path::new("self"), "self");
    link(Path::new(".."), "d/loop");
    link(Path::new("/dev/null"), "device");
    let (bytes, packed, mut notes) = packed_with(root, &Options::default());
    let app = Files::new(open(&bytes).unwrap());
    check(&app, "/relative", 200, b"a");
    check(&app, "/absolute", 200, b"b");
    check(&app, "/directory/b", 200, b"b");
    for path in ["/out", "/out-directory/e", "/up", "/dangling", "/self", "/d/loop/a", "/device"] {
        check(&app, path, 404, b"Nothing is here.\n");
    }
    assert_eq!(packed.files, 5);
    notes.skipped.sort();
    let skipped: Vec<_> =
        notes.skipped.iter().map(|(path, why)| (path.file_name().unwrap().to_str().unwrap(), *why)).collect();
    // Once by its own name, and once by that of the link to the directory that it is in.
    let expect = [
        ("loop", Skipped::Loop),
        ("loop", Skipped::Loop),
        ("dangling", Skipped::Dangling),
        ("device", Skipped::Outside),
        ("out", Skipped::Outside),
        ("out-directory", Skipped::Outside),
        ("self", Skipped::Dangling),
        ("up", Skipped::Outside),
    ];
    assert_eq!(skipped, expect);
}

#[test]
fn a_link_to_where_nobody_may_look_is_one_out_of_the_directory_and_any_other_failure_an_error() {
    let (hidden, inside) = (directory(&[("d/secret", b"secret")]), directory(&[("a", b"a")]));
    for (path, mode) in [(inside.path(), 0o755), (hidden.path(), 0o755), (&hidden.path().join("d"), 0o0)] {
        fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    }
    symlink(hidden.path().join("d/secret"), inside.path().join("link")).unwrap();
    let (_, packed, notes) = as_another_user(|| packed_with(inside.path(), &Options::default()));
    assert_eq!((packed.files, notes.skipped.len(), notes.skipped[0].1), (1, 1, Skipped::Outside));
    fs::remove_file(inside.path().join("link")).unwrap();
    symlink("a/below-a-file", inside.path().join("link")).unwrap();
    let result = pack(inside.path(), &Options::default(), Cursor::new(Vec::new()), &mut Notes::default());
    assert!(matches!(result, Err(PackError::Io { path, .. }) if path.ends_with("link")));
}

#[test]
fn what_is_no_file_or_cannot_be_asked_for_is_skipped() {
    let directory = directory(&[("a\\b", b"a"), ("c", b"c")]);
    let long = (0..5).fold(directory.path().to_owned(), |path, _| path.join("l".repeat(240)));
    fs::create_dir_all(&long).unwrap();
    mkfifo(&directory.path().join("pipe"), Mode::S_IRWXU).unwrap();
    let large = File::create(directory.path().join("large")).unwrap();
    large.set_len(FILE_MAX + 1).unwrap();
    let (_, packed, notes) = packed_with(directory.path(), &Options::default());
    assert_eq!(packed.files, 1);
    let mut skipped: Vec<_> = notes.skipped.iter().map(|(_, why)| *why).collect();
    skipped.sort_unstable();
    assert_eq!(skipped, [Skipped::Special, Skipped::Backslash, Skipped::Long, Skipped::Large]);
}

/// An error and what it comes from.
fn said_of(error: &PackError) -> String {
    use std::error::Error as _;
    error.source().map_or(error.to_string(), |source| format!("{error}: {source}"))
}

/// Root may read everything, so this is done in a thread that looks at files as another user.
fn as_another_user<T: Send>(run: impl FnOnce() -> T + Send) -> T {
    let run = || {
        if Uid::effective().is_root() {
            setfsuid(Uid::from_raw(65_534));
        }
        run()
    };
    std::thread::scope(|scope| scope.spawn(run).join().unwrap())
}

#[test]
fn what_cannot_be_read_is_named() {
    let missing = pack(Path::new("/missing"), &Options::default(), Cursor::new(Vec::new()), &mut Notes::default());
    assert_eq!(said_of(&missing.unwrap_err()), "cannot read /missing: No such file or directory (os error 2)");
    let directory = directory(&[("a", b"a")]);
    let file = directory.path().join("a");
    assert!(matches!(
        pack(&file, &Options::default(), Cursor::new(Vec::new()), &mut Notes::default()),
        Err(PackError::Io { path, .. }) if path == file
    ));
    fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o755)).unwrap();
    fs::set_permissions(&file, PermissionsExt::from_mode(0o0)).unwrap();
    let directory = directory.path();
    let result = as_another_user(|| {
        assert!(fs::read(&file).is_err());
        pack(directory, &Options::default(), Cursor::new(Vec::new()), &mut Notes::default())
    });
    assert!(matches!(result, Err(PackError::Io { path, .. }) if path.ends_with("a")));
}

#[test]
fn packing_stops_when_it_is_told_to() {
    let directory = directory(&[("a", b"a")]);
    let mut notes = Notes { stop: true, ..Notes::default() };
    let result = pack(directory.path(), &Options::default(), Cursor::new(Vec::new()), &mut notes);
    assert!(matches!(result, Err(PackError::Stopped)));
}

#[test]
fn a_file_that_is_written_to_while_it_is_read_is_an_error() {
    /// Writes to the file each time that a piece of it was read.
    struct Meddler(PathBuf);
    impl PackObserver for Meddler {
        fn listed(&mut self, _: u64) {}
        fn skipped(&mut self, _: &Path, _: Skipped) {}
        fn unused(&mut self, _: &Path, _: Option<&Path>, _: Flaw) {}
        fn compared(&mut self, _: u64, _: u64) {}
        fn packed(&mut self, done: u64, _: u64) {
            if done > 0 {
                let file = fs::OpenOptions::new().write(true).open(&self.0).unwrap();
                file.set_modified(UNIX_EPOCH + Duration::from_secs(done)).unwrap();
                file.set_len(file.metadata().unwrap().len() + 1).unwrap();
            }
        }
    }
    let directory = directory(&[("a", &vec![b'a'; 3 << 20])]);
    let path = directory.path().join("a");
    let result = pack(directory.path(), &Options::default(), Cursor::new(Vec::new()), &mut Meddler(path.clone()));
    assert!(matches!(result, Err(PackError::Changed { path: changed }) if changed.ends_with("a")));
}

#[test]
fn the_same_directory_makes_the_same_bytes() {
    let gzipped = gzip(b"a");
    let contents: [(&str, &[u8]); 4] = [("a", b"a"), ("b/index.html", b"b"), ("a.gz", &gzipped), ("404.html", b"d")];
    let mut reversed = contents;
    reversed.reverse();
    assert_eq!(image_of(directory(&contents).path()), image_of(directory(&reversed).path()));
}

#[test]
fn progress_goes_from_nothing_to_all() {
    let gzipped = gzip(b"");
    let len = gzipped.len() as u64;
    let directory = directory(&[("a", &vec![1; (2 << 20) + 1]), ("b", b""), ("b.gz", &gzipped)]);
    let (_, packed, notes) = packed_with(directory.path(), &Options::default());
    let total = (2 << 20) + 1 + 2 * len;
    assert_eq!((packed.files, packed.bytes, packed.variants), (3, total - len, 1));
    let expect = [0, 1 << 20, 2 << 20, total - 2 * len, total - len, total].map(|done| (done, total));
    assert_eq!(notes.packed, expect);
}

#[test]
fn an_empty_directory_is_an_image_in_which_nothing_is_found() {
    let app = files(&[]);
    assert!(app.image().is_empty());
    check(&app, "/", 404, b"Nothing is here.\n");
    assert_eq!(app.stored(Position::new(0).unwrap()), None);
}

#[test]
fn every_position_of_a_stored_response_leads_to_it() {
    // Around what a unit holds, and around the piece that is copied at once.
    let sizes = [0, 1, 300, 349, 350, 351, 500, 5000, 100_000, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3_000_000];
    let contents = sizes.map(|size| (format!("{size:07}"), vec![b'a'; size]));
    let contents: Vec<_> = contents.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    let app = files(&contents);
    let mut next = 0_u32;
    for (name, bytes) in &contents {
        let answer = check(&app, &format!("/{name}"), 200, bytes);
        let len = answer.body.len() + 13 + answer.fields.iter().map(|(n, v)| n.len() + v.len() + 4).sum::<usize>() + 6;
        let Some(first) = answer.position else {
            assert!(len <= Position::UNIT, "{name}: {len}");
            continue;
        };
        assert!(len > Position::UNIT, "{name}: {len}");
        // What is longer than a first window begins with a block.
        next = if len > 8192 { next.next_multiple_of(Position::BLOCK as u32) } else { next };
        assert_eq!(first.value(), next, "{name}");
        next += u32::try_from(Position::units(len)).unwrap();
        for unit in first.value()..next {
            let stored = app.stored(Position::new(unit).unwrap()).unwrap();
            assert_eq!((stored.position(), stored.len(), stored.body() == *bytes), (Some(first), len, true), "{unit}");
        }
    }
    for unit in
        [next, Position::PER_GENERATION, Position::PER_VERSION - 1, 3 * Position::PER_GENERATION, Position::COUNT - 1]
    {
        assert_eq!(app.stored(Position::new(unit).unwrap()), None, "{unit}");
    }
}

#[test]
fn a_new_image_answers_new_connections_and_the_old_one_those_that_there_are() {
    let version = |number: u8| Files::new(open(&image_of(directory(&[("a", &[number; 1000])]).path())).unwrap());
    let mut app = Versions::new(version(0));
    assert_eq!(app.generations(), Generations { current: 0, live: 0b0001 });
    for (number, live) in [(1, 0b0011), (2, 0b0111), (3, 0b1111)] {
        assert!(app.replace(version(number)).iter().all(Option::is_none));
        assert_eq!(app.generations(), Generations { current: number, live });
        for generation in 0..=number {
            let answer = ask(&app, "/a", "", generation);
            assert_eq!(answer.body, [generation; 1000]);
            let position = answer.position.unwrap();
            assert_eq!(position.value(), u32::from(generation) * Position::PER_GENERATION);
            assert_eq!(app.stored(position).unwrap().body(), [generation; 1000]);
        }
    }
    // The fourth replacement takes the place of the first image.
    assert_eq!(app.replace(version(4)).iter().flatten().count(), 1);
    assert_eq!(app.generations(), Generations { current: 0, live: 0b1111 });
    assert_eq!(ask(&app, "/a", "", 0).body, [4; 1000]);
    assert_eq!(ask(&app, "/a", "", 1).body, [1; 1000]);
}

/// An image with something of everything.
fn sample() -> Vec<u8> {
    let contents: [(&str, &[u8]); 5] = [
        ("index.html", b"root"),
        ("a/index.html", b"a"),
        ("a.gz", &[7; 900]),
        ("a.css", b"a"),
        ("404.html", &[8; 700]),
    ];
    image_of(directory(&contents).path())
}

#[test]
fn damage_is_told_by_its_kind() {
    let bytes = sample();
    let damaged = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = bytes.clone();
        change(&mut bytes);
        open(&bytes).unwrap_err()
    };
    let len = bytes.len() as u64;
    assert!(open(&bytes).is_ok());
    assert_eq!(damaged(&|bytes| bytes.clear()), ContainerError::Magic.into());
    assert_eq!(damaged(&|bytes| bytes[0] = b'l'), ContainerError::Magic.into());
    assert_eq!(damaged(&|bytes| bytes.truncate(20)), ContainerError::Length { actual: 20, expected: 64 }.into());
    assert_eq!(damaged(&|bytes| bytes[8] = 5), ContainerError::Version { found: 5 }.into());
    assert_eq!(damaged(&|bytes| bytes[12] ^= 1), ContainerError::HeaderChecksum.into());
    assert_eq!(damaged(&|bytes| bytes.push(0)), ContainerError::Length { actual: len + 1, expected: len }.into());
    assert_eq!(damaged(&|bytes| _ = bytes.pop()), ContainerError::Length { actual: len - 1, expected: len }.into());
    assert!(matches!(
        damaged(&|bytes| *bytes.last_mut().unwrap() ^= 1),
        OpenError::Container(ContainerError::IndexChecksum { .. })
    ));
    assert_eq!(damaged(&|bytes| bytes[64 + 9] ^= 1), OpenError::Head { object: "/404.html".to_owned() });
    let image = open(&bytes).unwrap();
    assert!(image.check_bodies(&mut |_, _| ()).is_ok());
    let body = bytes.windows(4).position(|window| window == b"root").unwrap();
    let mut flipped = bytes.clone();
    flipped[body] ^= 1;
    let error = open(&flipped).unwrap().check_bodies(&mut |_, _| ()).unwrap_err();
    // It goes by the first of the names that it has.
    assert_eq!(error.to_string(), "damaged: the contents of / are not what they were");
}

#[test]
fn a_bit_that_flips_is_found_wherever_it_is() {
    let bytes = sample();
    for at in 0..bytes.len() {
        let mut bytes = bytes.clone();
        bytes[at] ^= 1 << (at % 8);
        let found = open(&bytes).and_then(|image| image.check_bodies(&mut |_, _| ()));
        assert!(found.is_err(), "byte {at}");
    }
}

#[test]
fn an_image_that_is_cut_off_anywhere_is_refused() {
    let bytes = sample();
    for len in 0..bytes.len() {
        assert!(open(&bytes[..len]).is_err(), "{len}");
    }
}

#[test]
fn nothing_is_allocated_to_answer() {
    let app =
        files(&[("a.css", &[1; 5000]), ("a.css.gz", &gzip(&[1; 5000])), ("b/index.html", b"b"), ("404.html", b"gone")]);
    let tag = ask(&app, "/a.css", "", 0).field("ETag").unwrap().to_owned();
    let known = format!("If-None-Match: {tag}\r\n");
    let mut scratch = vec![0; lethe::engine::SCRATCH_LEN];
    for (path, fields) in [
        ("/a.css", "Accept-Encoding: gzip, br\r\n"),
        ("/%61.css", ""),
        ("/a.css", &known),
        ("/b", ""),
        ("/missing", ""),
        ("/..", ""),
    ] {
        let section = format!("{fields}\r\n");
        let request = Request::get(path.as_bytes()).with_headers(Headers::new(section.as_bytes()));
        let info = allocation_counter::measure(|| {
            let response = app.respond(&request, &mut scratch);
            assert!(!response.is_empty());
            if let Some(position) = response.position() {
                assert!(app.stored(position).is_some());
            }
        });
        assert_eq!(info.count_total, 0, "{path}");
    }
}

/// Packs `others`, and named sites, each with the hosts before its `=`.
fn image_of_sites(others: Option<&TempDir>, named: &[(&str, &TempDir)], options: &Options) -> (Vec<u8>, Packed, Notes) {
    let site = |&(host, directory): &(&str, &TempDir)| -> Site {
        Site { host: host.parse().unwrap(), directory: directory.path().to_owned() }
    };
    let sites = Sites::new(others.map(TempDir::path), &named.iter().map(site).collect::<Vec<_>>()).unwrap();
    let mut notes = Notes::default();
    let (out, packed) = pack_sites(&sites, options, Cursor::new(Vec::new()), &mut notes).unwrap();
    (out.into_inner(), packed, notes)
}

fn sites(others: Option<&TempDir>, named: &[(&str, &TempDir)]) -> Files {
    Files::new(open(&image_of_sites(others, named, &Options::default()).0).unwrap())
}

/// Status and body of what the engine sends for a request as it comes over a network.
fn sent(app: &Files, request: &str) -> (u16, String) {
    let line = RequestLine::parse(request.as_bytes()).unwrap();
    let mut scratch = vec![0; lethe::engine::SCRATCH_LEN];
    let response = Request::of_line(&line).with_one_packet(1000).answer(app, &mut scratch).unwrap();
    let status = str::from_utf8(&response.head()[9..12]).unwrap().parse().unwrap();
    (status, response.body().escape_ascii().to_string())
}

/// What the engine sends for a path of a host.
fn of_host(app: &Files, host: &str, target: &str) -> (u16, String) {
    sent(app, &format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"))
}

fn is(status: u16, body: &str) -> (u16, String) {
    (status, body.to_owned())
}

#[test]
fn a_host_has_its_own_site_or_that_of_the_longest_end_of_its_name_or_that_of_all_others() {
    let [any, own, under, deeper] = ["any", "own", "under", "deeper"].map(|text| directory(&[("a", text.as_bytes())]));
    let named =
        [("example.org", &own), ("*.example.org", &under), ("*.b.example.org", &deeper), ("[2001:db8::1]", &own)];
    let app = sites(Some(&any), &named);
    for (host, expect) in [
        ("example.org", "own"),
        ("EXAMPLE.org:8080", "own"),
        ("example.org.", "own"),
        ("[2001:DB8::1]:80", "own"),
        ("a.example.org", "under"),
        ("b.example.org", "under"),
        ("x.a.Example.org", "under"),
        ("a.b.example.org:80", "deeper"),
        ("notexample.org", "any"),
        ("org", "any"),
        ("10.9.0.2", "any"),
    ] {
        assert_eq!(of_host(&app, host, "/a"), is(200, expect), "{host}");
    }
}

#[test]
fn a_host_of_no_site_is_answered_with_421_unless_there_is_one_for_all_others() {
    let [own, any] = ["own", "any"].map(|text| directory(&[("a", text.as_bytes())]));
    let named = sites(None, &[("example.org", &own)]);
    let misdirected = is(421, "This host is not served here.\\n");
    assert_eq!(of_host(&named, "example.org", "/a"), is(200, "own"));
    assert_eq!(of_host(&named, "a.example.org", "/a"), misdirected);
    // Which paths there are is not told to it either.
    assert_eq!(of_host(&named, "10.9.0.2", "/.."), misdirected);
    let old = "GET /a HTTP/1.0\r\n\r\n";
    assert_eq!(sent(&named, old), misdirected);
    assert_eq!(sent(&sites(Some(&any), &[("example.org", &own)]), old), is(200, "any"));
}

#[test]
fn the_host_of_an_absolute_target_counts_and_not_the_field() {
    let [a, b] = ["a", "b"].map(|text| directory(&[("f", text.as_bytes())]));
    let app = sites(None, &[("a", &a), ("b", &b)]);
    assert_eq!(sent(&app, "GET http://a/f HTTP/1.1\r\nHost: b\r\n\r\n"), is(200, "a"));
    assert_eq!(sent(&app, "GET http://B:80/f HTTP/1.0\r\n\r\n"), is(200, "b"));
    assert_eq!(sent(&app, "GET http://c/f HTTP/1.1\r\nHost: a\r\n\r\n").0, 421);
}

#[test]
fn a_host_that_cannot_be_is_refused_and_one_that_may_still_come_is_waited_for() {
    let own = directory(&[("short", b"short"), ("long", &[b'x'; 2000])]);
    let app = sites(Some(&own), &[("example.org", &own)]);
    for host in ["a_b", "a@example.org", "example.org:x", ""] {
        assert_eq!(of_host(&app, host, "/short").0, 400, "{host}");
    }
    let cut = |target: &str, fields: &str| sent(&app, &format!("GET {target} HTTP/1.1\r\n{fields}")).0;
    assert_eq!([cut("/short", ""), cut("/short", "Cookie: a\r\n")], [431, 431]);
    // One packet is whole or lost, whatever other host may follow.
    let named = "/long?encoding=identity";
    assert_eq!(["/short", "/long", named].map(|target| cut(target, "Host: example.org\r\n")), [200, 307, 431]);
    assert_eq!(["", "?encoding=identity"].map(|query| cut(&format!("http://example.org/long{query}"), "")), [307, 200]);
    // Without sites, hosts do not matter.
    let plain = Files::new(open(&image_of(own.path())).unwrap());
    assert_eq!(sent(&plain, "GET /long?encoding=identity HTTP/1.1\r\n").0, 200);
    assert_eq!(of_host(&plain, "a_b", "/short").0, 200);
}

#[test]
fn a_site_has_its_own_indexes_forms_redirects_and_page_for_404() {
    let any = directory(&[("404.html", b"any gone"), ("d/index.html", b"any d")]);
    let own = directory(&[("404.html", b"own gone"), ("a.css", &[1; 900]), ("a.css.gz", &gzip(&[1; 900]))]);
    let bare = directory(&[("d/index.html", b"bare d")]);
    let app = sites(Some(&any), &[("own", &own), ("bare", &bare), ("*.bare", &bare)]);
    assert_eq!(of_host(&app, "x", "/d/"), is(200, "any d"));
    assert_eq!(of_host(&app, "own", "/d/"), is(404, "own gone"));
    for bare in ["bare", "x.bare"] {
        assert_eq!(of_host(&app, bare, "/d/"), is(200, "bare d"));
        assert_eq!(of_host(&app, bare, "/d").0, 301);
        assert_eq!(of_host(&app, bare, "/x"), is(404, "Nothing is here.\\n"));
    }
    assert_eq!(of_host(&app, "x", "/x"), is(404, "any gone"));
    assert_eq!(of_host(&app, "own", "/.."), is(400, "No file can have this path.\\n"));
    let css = ask(&app, "/a.css", "Host: own\r\nAccept-Encoding: gzip\r\n", 0);
    assert_eq!((css.field("Content-Encoding"), css.position.is_some()), (Some("gzip"), false));
    let plain = ask(&app, "/a.css", "Host: own\r\n", 0);
    assert_eq!(app.stored(plain.position.unwrap()).unwrap().body(), [1; 900]);
}

#[test]
fn no_path_leads_into_another_site() {
    let [any, own] = ["any", "own"].map(|text| directory(&[("a", text.as_bytes())]));
    let app = sites(Some(&any), &[("own", &own), ("*.own", &own)]);
    for target in ["/own", "/own/a", "//own/a", "/own%2fa", "/*.own/a", "/../own/a"] {
        assert!(matches!(of_host(&app, "x", target).0, 400 | 404), "{target}");
    }
    for target in ["/own/a", "/", "//a"] {
        assert_eq!(of_host(&app, "own", target).0, 404, "{target}");
    }
}

#[test]
fn an_image_carries_its_sites_and_a_directory_of_several_hosts_is_in_it_once() {
    let [any, own] = ["any", "own"].map(|text| directory(&[("a", text.as_bytes()), ("b", &[0; 600])]));
    let named = [("a.org", &own), ("b.org", &own), ("*.b.org", &own)];
    let (bytes, packed, notes) = image_of_sites(Some(&any), &named, &Options::default());
    assert_eq!(packed, Packed { files: 4, bytes: 1206, variants: 0 });
    assert_eq!((notes.packed[0], *notes.packed.last().unwrap()), ((0, 1206), (1206, 1206)));
    let image = open(&bytes).unwrap();
    assert_eq!((image.site_count(), image.object_count(), image.path_count()), (3, 4, 8));
    assert_eq!(bytes, image_of_sites(Some(&any), &named, &Options::default()).0, "the same bytes each time");
    let plain = open(&image_of_sites(Some(&any), &[], &Options::default()).0).unwrap();
    assert_eq!((plain.site_count(), plain.path_count()), (0, 2));
}

#[test]
fn options_are_those_of_each_site() {
    let [any, own] = ["any", "own"].map(|text| directory(&[("app.html", text.as_bytes())]));
    let options =
        Options { clean_urls: true, listing: true, fallback: Some("app.html".to_owned()), ..Options::default() };
    let app = Files::new(open(&image_of_sites(Some(&any), &[("own", &own)], &options).0).unwrap());
    for (host, text) in [("x", "any"), ("own", "own")] {
        assert_eq!(of_host(&app, host, "/app"), is(200, text));
        assert_eq!(of_host(&app, host, "/users/7"), is(200, text));
        assert!(of_host(&app, host, "/").1.contains("app.html"));
    }
    let without = directory(&[("b", b"b")]);
    let sites = Sites::new(Some(any.path()), &[Site { host: "b".parse().unwrap(), directory: without.path().into() }]);
    let refused = pack_sites(&sites.unwrap(), &options, Cursor::new(Vec::new()), &mut Notes::default()).unwrap_err();
    assert!(matches!(refused, PackError::Fallback { .. }), "{refused}");
}

#[test]
fn nothing_is_allocated_to_find_a_site() {
    let own = directory(&[("a", b"own")]);
    let app = sites(None, &[("example.org", &own), ("*.example.org", &own)]);
    let mut scratch = vec![0; lethe::engine::SCRATCH_LEN];
    for host in ["Example.ORG:80", "a.b.c.example.org", "elsewhere", "a_b"] {
        let request = format!("GET /%61 HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let request = Request::of_line(&RequestLine::parse(request.as_bytes()).unwrap());
        let info = allocation_counter::measure(|| assert!(!app.respond(&request, &mut scratch).is_empty()));
        assert_eq!(info.count_total, 0, "{host}");
    }
}

/// Sites by the names of their hosts, of two letters and a star before, and what is in their only file.
fn some_sites() -> impl Strategy<Value = (bool, BTreeMap<String, TempDir>)> {
    let name = "(\\*\\.)?[ab](\\.[ab]){0,2}";
    (any::<bool>(), prop::collection::btree_set(name, 1..8)).prop_map(|(has_others, names)| {
        let of = |name: String| (name.clone(), directory(&[("a", name.as_bytes())]));
        (has_others, names.into_iter().map(of).collect())
    })
}

/// Names of files, with all that is odd.
fn name() -> impl Strategy<Value = Vec<u8>> {
    let byte =
        prop_oneof![3 => b'a'..=b'c', 1 => any::<u8>().prop_filter("no name has it", |b| ![0, b'/'].contains(b))];
    prop::collection::vec(byte, 1..8).prop_filter("not a name", |name| name != b"." && name != b"..")
}

/// A tree: up to three directories deep.
fn tree() -> impl Strategy<Value = BTreeMap<Vec<Vec<u8>>, Vec<u8>>> {
    let contents = prop::collection::vec(any::<u8>(), 0..2000);
    prop::collection::btree_map(prop::collection::vec(name(), 1..4), contents, 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(128) })]

    #[test]
    fn the_site_of_a_host_is_what_a_look_at_every_site_finds(
        (has_others, named) in some_sites(), hosts in prop::collection::vec("[ab](\\.[ab]){0,3}", 8),
    ) {
        let others = directory(&[("a", b"others")]);
        let all: Vec<_> = named.iter().map(|(name, directory)| (name.as_str(), directory)).collect();
        let app = sites(has_others.then_some(&others), &all);
        for host in hosts {
            let fits = |name: &&str| name.strip_prefix('*').map_or(**name == host, |end| host.ends_with(end));
            let names = named.keys().map(String::as_str).filter(fits);
            let best = names.max_by_key(|name| (!name.starts_with('*'), name.len()));
            let expect = match best {
                Some(name) => is(200, name),
                None if has_others => is(200, "others"),
                None => is(421, "This host is not served here.\\n"),
            };
            prop_assert_eq!(of_host(&app, &host, "/a"), expect, "{} of {:?}", host, named.keys());
        }
    }

    #[test]
    fn every_file_of_a_tree_is_served_byte_for_byte(tree in tree()) {
        use std::ffi::OsStr;
        use std::os::unix::ffi::OsStrExt;
        let directory = tempfile::tempdir().unwrap();
        let mut written = BTreeMap::new();
        for (path, contents) in &tree {
            let real = path.iter().fold(directory.path().to_owned(), |real, name| real.join(OsStr::from_bytes(name)));
            // A file is no directory: the first one that comes stays.
            let is_free = fs::create_dir_all(real.parent().unwrap()).is_ok() && !real.exists();
            if is_free && fs::write(&real, contents).is_ok() {
                written.insert(path.clone(), contents.clone());
            }
        }
        let (bytes, packed, _) = packed_with(directory.path(), &Options { hidden: true, ..Options::default() });
        let image = open(&bytes).unwrap();
        prop_assert!(image.check_bodies(&mut |_, _| ()).is_ok());
        let app = Files::new(image);
        let mut served = 0;
        for (path, contents) in &written {
            let encoded = path.iter().map(|name| name.iter().fold("/".to_owned(), |path, b| format!("{path}%{b:02X}")));
            let answer = get(&app, &encoded.collect::<String>());
            if path.iter().any(|name| name.contains(&b'\\')) {
                prop_assert_eq!(answer.status, 400);
            } else {
                prop_assert_eq!((answer.status, &answer.body), (200, contents));
                served += 1;
            }
        }
        prop_assert_eq!(packed.files, served);
    }

    #[test]
    fn random_bytes_are_no_image(bytes in prop::collection::vec(any::<u8>(), 0..500), magic in any::<bool>()) {
        let bytes = if magic { [b"LETHE-FS\x01\0\0\0", &bytes[..]].concat() } else { bytes };
        prop_assert!(open(&bytes).is_err());
    }
}

/// Figures rather than rules: how long the largest directory takes that `files` is made for, and how much
/// memory. Run it with `cargo test --release -p lethe-apps --test files -- --ignored --nocapture`.
#[test]
#[ignore = "writes a gigabyte"]
fn a_hundred_thousand_files_and_a_gigabyte_are_packed_in_little_memory() {
    let directory = tempfile::tempdir().unwrap();
    for number in 0..100_000 {
        let folder = directory.path().join(format!("{:03}", number / 1000));
        if number % 1000 == 0 {
            fs::create_dir(&folder).unwrap();
        }
        fs::write(folder.join(format!("{number}.html")), format!("<p>{number}\n").repeat(30)).unwrap();
    }
    let large = File::create(directory.path().join("large.bin")).unwrap();
    large.set_len(1 << 30).unwrap();
    let out = tempfile::tempfile().unwrap();
    let begun = std::time::Instant::now();
    let (_, packed) = pack(directory.path(), &Options::default(), &out, &mut Notes::default()).unwrap();
    assert_eq!(packed.files, 100_001);
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    println!("packed in {:?}, {peak} KiB at most in memory", begun.elapsed());
    // The files alone are a thousand times as many bytes as a piece of one.
    assert!(peak < 200_000, "{peak} KiB");
}

/// Adds a body that is said to be of `len` bytes.
fn add<W: std::io::Write + std::io::Seek>(
    builder: &mut Builder<W>,
    len: u64,
    body: &[u8],
) -> Result<ObjectId, AddError> {
    let about = About { content_type: "text/css", ..About::OK };
    builder.add(&about, len, &mut &*body, &mut |_| ControlFlow::Continue(()))
}

#[test]
fn a_body_of_another_length_than_it_is_said_to_have_leaves_nothing_behind() {
    // In one piece, and in several.
    for len in [1000, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 2 << 20] {
        let body = vec![b'a'; len];
        let mut builder = Builder::new(Cursor::new(Vec::new())).unwrap();
        for said in [len as u64 - 1, len as u64 + 1] {
            assert!(matches!(add(&mut builder, said, &body), Err(AddError::Length)), "{said} of {len}");
        }
        let object = add(&mut builder, len as u64, &body).unwrap();
        builder.name(b"/a", object, [None; 3]);
        let image = Image::open(builder.finish().unwrap().into_inner()).unwrap();
        assert_eq!((image.object_count(), image.body_bytes()), (1, len as u64));
        image.check_bodies(&mut |_, _| ()).unwrap();
    }
}

#[test]
fn a_response_that_fits_any_segment_has_no_position() {
    let position = |len: usize| {
        let mut builder = Builder::new(Cursor::new(Vec::new())).unwrap();
        let object = add(&mut builder, len as u64, &vec![b'a'; len]).unwrap();
        builder.name(b"/a", object, [None; 3]);
        let app = Files::new(Image::open(builder.finish().unwrap().into_inner()).unwrap());
        let request = Request::get(b"/a");
        let mut scratch = vec![0; lethe::engine::SCRATCH_LEN];
        let response = app.respond(&request, &mut scratch);
        (response.len(), response.position().is_some())
    };
    let head = position(300).0 - 300;
    assert_eq!(position(512 - head), (512, false));
    assert_eq!(position(513 - head), (513, true));
}

#[test]
fn each_reason_to_add_no_body_has_its_message() {
    let broken = || std::io::Error::other("x");
    for (error, message) in [
        (AddError::Read(broken()), "cannot be read"),
        (AddError::Length, "changed while it was read"),
        (AddError::Head, "its header fields have more than 512 bytes"),
        (AddError::TooMany, "too many files"),
        (AddError::Stopped, "stopped"),
        (AddError::Write(broken()), "the image cannot be written"),
    ] {
        assert_eq!(error.to_string(), message);
    }
}

/// A reporter that does something to the file `a` when all files were listed.
struct Changer<F>(Option<F>);

impl<F: FnOnce()> PackObserver for Changer<F> {
    fn listed(&mut self, _: u64) {}
    fn skipped(&mut self, _: &Path, _: Skipped) {}
    fn unused(&mut self, _: &Path, _: Option<&Path>, _: Flaw) {}
    fn compared(&mut self, _: u64, _: u64) {}
    fn packed(&mut self, _: u64, _: u64) {
        if let Some(change) = self.0.take() {
            change();
        }
    }
}

#[test]
fn what_a_file_has_become_since_it_was_listed_is_an_error() {
    let error = |change: fn(&Path)| {
        let directory = directory(&[("a", b"a"), ("b", b"b")]);
        let path = directory.path().canonicalize().unwrap().join("a");
        let mut changer = Changer(Some(|| change(&path)));
        let error = pack(directory.path(), &Options::default(), Cursor::new(Vec::new()), &mut changer).unwrap_err();
        said_of(&error).replace(path.to_str().unwrap(), "a")
    };
    let link = |path: &Path| {
        fs::remove_file(path).unwrap();
        symlink("b", path).unwrap();
    };
    assert_eq!(error(link), "cannot read a: became a link while it was read");
    // Another program may never write to a pipe.
    let pipe = |path: &Path| {
        fs::remove_file(path).unwrap();
        mkfifo(path, Mode::S_IRWXU).unwrap();
    };
    assert_eq!(error(pipe), "cannot read a: is no file any more");
    let large = |path: &Path| fs::OpenOptions::new().write(true).open(path).unwrap().set_len(FILE_MAX + 1).unwrap();
    assert_eq!(error(large), "a changes while it is read: put files in place by renaming them");
}
