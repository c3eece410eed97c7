//! `lethe serve files` and curl, over a real TAP device in a network namespace. Needs root.

use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use lethe_harness::test;
use lethe_testnet::{Namespace, Server, V4, V6};
use nix::sys::signal::Signal;
use tempfile::TempDir;

/// A directory that every user may read, with these files.
fn site(files: &[(&str, &[u8])]) -> TempDir {
    let site = tempfile::tempdir().unwrap();
    fs::set_permissions(site.path(), PermissionsExt::from_mode(0o755)).unwrap();
    for (path, contents) in files {
        let path = site.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, contents).unwrap();
    }
    site
}

fn serve(path: &Path) -> (Namespace, Server) {
    let space = Namespace::new();
    let server = Server::start(&space, &format!("files {}", path.display()));
    (space, server)
}

/// The bytes, compressed by gzip.
fn gzip(path: &Path) {
    assert!(Command::new("gzip").args(["-k", "-9"]).arg(path).status().unwrap().success());
}

#[test(root, "curl")]
fn curl_gets_files_indexes_and_errors_over_both_families() {
    let image: Vec<u8> = (0..20_000_u32).flat_map(u32::to_be_bytes).take(20_000).collect();
    let site = site(&[
        ("index.html", b"<h1>root\n"),
        ("docs/index.html", b"<h1>docs\n"),
        ("docs/a b.txt", b"a b\n"),
        ("image.png", &image),
        ("404.html", b"<h1>gone\n"),
    ]);
    symlink("/etc/passwd", site.path().join("passwd")).unwrap();
    let (space, _server) = serve(site.path());
    for base in [V4, V6] {
        let get = |target: &str| space.run(&format!("curl -sSg --path-as-is -w ' %{{http_code}}' '{base}{target}'"));
        assert_eq!(get("/"), "<h1>root\n 200");
        assert_eq!(get("/docs/"), "<h1>docs\n 200");
        assert_eq!(get("/docs/a%20b.txt?c"), "a b\n 200");
        assert_eq!(get("/missing"), "<h1>gone\n 404");
        assert_eq!(get("/passwd"), "<h1>gone\n 404");
        assert_eq!(get("/../etc/passwd"), "No file can have this path.\n 400");
        assert_eq!(get("/%2e%2e/etc/passwd"), "No file can have this path.\n 400");
        assert_eq!(space.run(&format!("curl -sSgL '{base}/docs'")), "<h1>docs\n");
        let saved = site.path().join("saved");
        space.run(&format!("curl -sSg -o {} '{base}/image.png'", saved.display()));
        assert_eq!(fs::read(saved).unwrap(), image);
    }
}

#[test(root, "curl")]
fn curl_gets_the_head_alone_and_nothing_that_it_has() {
    let site = site(&[("a.txt", b"hello\n")]);
    let (space, _server) = serve(site.path());
    let head = space.run(&format!("curl -sSI {V4}/a.txt"));
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains("\r\nContent-Length: 6\r\n"), "{head}");
    let tags = site.path().join("tags");
    let fetch = || {
        let tags = tags.display();
        space.run(&format!("curl -sS --etag-save {tags} --etag-compare {tags} -w '%{{http_code}}' {V4}/a.txt"))
    };
    assert_eq!(fetch(), "hello\n200");
    assert_eq!(fetch(), "304");
}

#[test(root, "curl")]
fn curl_asks_for_what_has_been_written_since() {
    let site = site(&[("a.txt", b"hello\n")]);
    let (space, _server) = serve(site.path());
    let fetch =
        |since: &str| space.run(&format!("curl -sS -z \"$(date -uR -d '{since}')\" -w '%{{http_code}}' {V4}/a.txt"));
    assert_eq!(["1 hour ago", "now"].map(fetch), ["hello\n200", "304"]);
    let (copy, file) = (site.path().join("copy"), site.path().join("a.txt"));
    let written = |path: &Path| fs::metadata(path).unwrap().modified().unwrap().duration_since(UNIX_EPOCH).unwrap();
    space.run(&format!("curl -sSR -o {} {V4}/a.txt", copy.display()));
    assert_eq!(written(&copy).as_secs(), written(&file).as_secs());
}

#[test(root, "curl")]
fn a_response_of_one_packet_has_a_date_where_that_is_asked_for() {
    let long = vec![b'x'; 100_000];
    let site = site(&[("a.txt", b"hello\n"), ("long", &long)]);
    let space = Namespace::new();
    let _server = Server::start(&space, &format!("--date files {}", site.path().display()));
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let requests = [(V4, "/a.txt", "200"), (V6, "/a.txt", "200"), (V4, "/none", "404"), (V6, "/%", "400")];
    for (base, path, status) in requests {
        let before = now();
        let response = space.run(&format!("curl -sSgi '{base}{path}'"));
        assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{response}");
        let date = response.lines().find_map(|line| line.strip_prefix("Date: ")).expect(&response);
        let date = httpdate::parse_http_date(date.trim()).unwrap().duration_since(UNIX_EPOCH).unwrap().as_secs();
        assert!((before..=now()).contains(&date), "{date}: {response}");
    }
    // Its parts are drawn by packets that come at different times.
    let response = space.run(&format!("curl -sSgi '{V4}/long'"));
    assert!(!response.contains("\r\nDate: ") && response.ends_with(str::from_utf8(&long).unwrap()));
}

#[test(root, "curl")]
fn curl_gets_pages_without_extensions_lists_fields_and_a_fallback() {
    let site = site(&[("app.html", b"app\n"), ("docs/a.html", b"a\n"), ("docs/b/c.css", b"c\n")]);
    let image = tempfile::tempdir().unwrap();
    fs::set_permissions(image.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let image = image.path().join("site.image");
    let made = Command::new(env!("CARGO_BIN_EXE_lethe"))
        .args(["prepare", "files", "--clean-urls", "--listing", "--fallback", "app.html"])
        .args(["--field", "*.css Cache-Control: max-age=60"])
        .args([site.path(), &image])
        .status();
    assert!(made.unwrap().success());
    fs::set_permissions(&image, PermissionsExt::from_mode(0o644)).unwrap();
    let (space, _server) = serve(&image);
    for base in [V4, V6] {
        let get = |target: &str| space.run(&format!("curl -sSgL -w '%{{http_code}}' '{base}{target}'"));
        assert_eq!(["/docs/a", "/users/7"].map(get), ["a\n200", "app\n200"]);
        let list = get("/docs");
        assert!(list.contains("<a href=\"./b/\">") && list.contains("<a href=\"./a.html\">"), "{list}");
        let head = space.run(&format!("curl -sSgI '{base}/docs/b/c.css'"));
        assert!(head.contains("\r\nCache-Control: max-age=60\r\n"), "{head}");
    }
}

#[test(root, "curl")]
fn curl_gets_what_was_compressed_beforehand_and_unpacks_it() {
    let text = "All that is solid melts into air.\n".repeat(100);
    let site = site(&[("a.txt", text.as_bytes())]);
    gzip(&site.path().join("a.txt"));
    let (space, _server) = serve(site.path());
    assert_eq!(space.run(&format!("curl -sS --compressed {V4}/a.txt")), text);
    let head = space.run(&format!("curl -sSI -H 'Accept-Encoding: gzip' {V4}/a.txt"));
    assert!(
        head.contains("\r\nContent-Encoding: gzip\r\n") && head.contains("\r\nVary: Accept-Encoding\r\n"),
        "{head}"
    );
    let fetched = |options: &str| -> u32 {
        let line = format!("curl -sS {options} -o /dev/null -w '%{{size_download}}' {V4}/a.txt");
        space.run(&line).parse().unwrap()
    };
    assert!(fetched("--compressed") < 200);
    assert_eq!(fetched(""), 3400);
}

#[test(root, "curl")]
fn a_signal_brings_the_new_files() {
    let site = site(&[("a.txt", b"version 0\n")]);
    let (space, mut server) = serve(site.path());
    let get = || space.run(&format!("curl -sS {V4}/a.txt"));
    assert_eq!(get(), "version 0\n");
    // Once around the generations, so that whichever one a request is taken to be of has the last version.
    for version in 1..=4 {
        fs::write(site.path().join("a.txt"), format!("version {version}\n")).unwrap();
        server.signal(Signal::SIGHUP);
        let line = server.line();
        assert!(line.starts_with("reloaded: 1 path, 1 response, "), "{line}");
    }
    assert_eq!(get(), "version 4\n");
    server.stop();
}

/// A file of this length that takes no room on the disk, with this text at its end.
fn sparse(path: &Path, len: u64, end: &str) {
    let file = fs::File::create(path).unwrap();
    file.write_all_at(end.as_bytes(), len - end.len() as u64).unwrap();
}

#[test(root, "curl")]
fn files_of_more_than_two_gibibytes_are_stored_and_replaced() {
    const LEN: u64 = 740 << 20;
    const PART: u64 = 20_000_000;
    let site = site(&[]);
    for name in ["a", "b", "c"] {
        sparse(&site.path().join(name), LEN, &format!("old {name}"));
    }
    let (space, mut server) = serve(site.path());
    // A part of many segments goes by the client's ACKs: without a position the answer would be 200, and all of it.
    let end = |name: &str| {
        let (from, width) = (LEN - PART, 5);
        let get = format!("curl -sSg -r {from}- -o part -w '%{{http_code}} %{{size_download}} ' '{V4}/{name}'");
        space.run(&format!("cd {}; {get}; tail -c {width} part; rm part", site.path().display()))
    };
    for name in ["a", "b", "c"] {
        assert_eq!(end(name), format!("206 {PART} old {name}"));
    }
    sparse(&site.path().join("c"), LEN, "new c");
    server.signal(Signal::SIGHUP);
    let line = server.line();
    assert!(line.starts_with("reloaded: ") && line.contains("generation 2"), "{line}");
    assert_eq!([end("c"), end("b")], [format!("206 {PART} new c"), format!("206 {PART} old b")]);
    server.stop();
    let path = site.path().display();
    let serve = "serve --device tap:lethe1,host=10.9.1.1/24 --addr 10.9.1.2 --generation 1 files";
    let (is_served, said) = space.try_run(&format!("{} {serve} {path} 2>&1", env!("CARGO_BIN_EXE_lethe")));
    assert!(!is_served && said.contains("--generation is even for data of more than 2 GiB"), "{said}");
}

#[test(root, "curl")]
fn a_prepared_image_is_served_and_replaced_by_another() {
    let site = site(&[("a.txt", b"old\n")]);
    let directory = self::site(&[]);
    let image = directory.path().join("image");
    let prepare = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lethe"));
        assert!(command.args(["prepare", "files"]).arg(site.path()).arg(&image).status().unwrap().success());
    };
    prepare();
    let (space, mut server) = serve(&image);
    let get = || space.run(&format!("curl -sS {V4}/a.txt"));
    assert_eq!(get(), "old\n");
    fs::write(site.path().join("a.txt"), "new\n").unwrap();
    prepare();
    assert_eq!(get(), "old\n");
    for _ in 0..4 {
        server.signal(Signal::SIGHUP);
        assert!(server.line().starts_with("reloaded: "));
    }
    assert_eq!(get(), "new\n");
    // What is damaged is not taken, and the server goes on.
    let mut bytes = fs::read(&image).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(directory.path().join("damaged"), bytes).unwrap();
    fs::rename(directory.path().join("damaged"), &image).unwrap();
    server.signal(Signal::SIGHUP);
    std::thread::sleep(std::time::Duration::from_secs(1));
    assert_eq!(get(), "new\n");
    server.stop();
}

#[test(root, "curl")]
fn curl_gets_the_site_of_each_host_from_directories_and_from_an_image() {
    let [any, own, under] = ["any", "own", "under"].map(|text| site(&[("a.txt", text.as_bytes())]));
    let named = [
        format!("--site=example.org={}", own.path().display()),
        format!("--site=*.example.org={}", under.path().display()),
    ];
    let directory = site(&[]);
    let image = directory.path().join("image");
    let made = Command::new(env!("CARGO_BIN_EXE_lethe")).args(["prepare", "files"]).args(&named).arg(&image).status();
    assert!(made.unwrap().success());
    fs::set_permissions(&image, PermissionsExt::from_mode(0o644)).unwrap();
    let directories = format!("{} {}", any.path().display(), named.join(" "));
    for (source, other) in
        [(directories, "any 200"), (image.display().to_string(), "This host is not served here.\n 421")]
    {
        let space = Namespace::new();
        let _server = Server::start(&space, &format!("files {source}"));
        for base in [V4, V6] {
            let get = |options: &str| space.run(&format!("curl -sSg -w ' %{{http_code}}' {options} '{base}/a.txt'"));
            assert_eq!(get("-H 'Host: Example.ORG:8080'"), "own 200");
            assert_eq!(get("-H 'Host: a.b.example.org'"), "under 200");
            assert_eq!(get(""), other);
            assert_eq!(get("-0 -H Host:"), other);
            assert_eq!(get("-H 'Host: elsewhere' --request-target http://example.org/a.txt"), "own 200");
            assert_eq!(get("-H 'Host: a_b'"), "The request names no host, or one that cannot be.\n 400");
        }
    }
}

#[test(root, "curl")]
fn rules_come_before_files_and_both_are_replaced_together_or_not_at_all() {
    let site = site(&[("a.txt", b"file 0\n"), ("b.txt", b"b 0\n")]);
    let folder = self::site(&[]);
    let rules = folder.path().join("rules.toml");
    let write = |version: u32| {
        let rule = format!("[[rule]]\npaths = ['/a.txt']\nbody = 'rule {version}'\n");
        fs::write(&rules, rule + "[[rule]]\npaths = ['/old/*']\nredirect = '/{rest}'\n").unwrap();
        fs::write(site.path().join("b.txt"), format!("b {version}\n")).unwrap();
    };
    write(0);
    let space = Namespace::new();
    let mut server = Server::start(&space, &format!("files {} --rules {}", site.path().display(), rules.display()));
    let get = |path: &str| space.run(&format!("curl -sSL -w ' %{{http_code}}' {V4}{path}"));
    assert_eq!(["/a.txt", "/b.txt", "/old/b.txt"].map(get), ["rule 0 200", "b 0\n 200", "b 0\n 200"]);
    assert_eq!(get("/c"), "Nothing is here.\n 404");
    for version in 1..=4 {
        write(version);
        server.signal(Signal::SIGHUP);
        let line = server.line();
        assert!(line.starts_with("reloaded: ") && line.contains(", 2 rules"), "{line}");
    }
    assert_eq!(["/a.txt", "/b.txt", "/old/b.txt"].map(get), ["rule 4 200", "b 4\n 200", "b 4\n 200"]);
    write(5);
    fs::write(&rules, "[[rule]]\nbody = 1").unwrap();
    server.signal(Signal::SIGHUP);
    std::thread::sleep(std::time::Duration::from_secs(1));
    assert_eq!(["/a.txt", "/b.txt"].map(get), ["rule 4 200", "b 4\n 200"]);
    server.stop();
}

lethe_harness::main!();
