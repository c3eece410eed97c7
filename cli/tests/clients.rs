//! Clients that people use, each with short and long files on connections that stay open, over a real TAP device.
//! Needs root.
//!
//! What a client does is written in its own language, in `clients/`. It gets a list of files in the form of
//! `sha256sum`, asks for them in that order, and compares each. Connections are counted by the client's kernel.

use std::fmt::Write as _;
use std::fs;
use std::ops::RangeInclusive;
use std::path::Path;

use lethe_harness::test;
use lethe_testnet::browser::Browser;
use lethe_testnet::{Namespace, Server, V4, V6, content, janitor, row};
use tempfile::TempDir;

/// Lengths of files: within one segment, a byte less and more than one, within a first window, and more.
const LENGTHS: [usize; 16] = [
    100, 200, 700, 1_000, 1_206, 1_447, 1_448, 3_000, 5_000, 10_000, 14_600, 30_000, 65_536, 300_000, 1_000_000,
    2_000_000,
];

/// A round of requests asks for every length once, in steps of so many: no two lengths follow each other twice.
const STEPS: [usize; 8] = [1, 3, 5, 7, 9, 11, 13, 15];

/// How many requests there are, for each family.
const REQUESTS: usize = LENGTHS.len() * STEPS.len();

/// Resources of the page that a browser opens.
const RESOURCES: usize = 30;

/// The lengths that are asked for, one after the other.
fn wanted() -> impl Iterator<Item = usize> {
    let round = |step: usize| (0..LENGTHS.len()).map(move |number| LENGTHS[number * step % LENGTHS.len()]);
    STEPS.into_iter().flat_map(round)
}

/// A machine with clients, a server, and its files.
struct Place {
    space: Namespace,
    server: Server,
    folder: TempDir,
}

impl Place {
    /// One with a file of each length, and these.
    fn new(more: &[(String, Vec<u8>)]) -> Self {
        let (space, folder) = (Namespace::new(), janitor::folder("clients").unwrap());
        let site = folder.path().join("site");
        fs::create_dir(&site).unwrap();
        janitor::open_to_all(&site).unwrap();
        for len in LENGTHS {
            fs::write(site.join(len.to_string()), content(len)).unwrap();
        }
        for (name, bytes) in more {
            fs::write(site.join(name), bytes).unwrap();
        }
        let names: Vec<String> = wanted().map(|len| len.to_string()).collect();
        space.run(&format!("cd {} && sha256sum {} >../list", site.display(), names.join(" ")));
        let server = Server::start(&space, &format!("files {}", site.display()));
        Self { space, server, folder }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// How many connections the kernel has opened in the namespace so far.
    fn opened(&self) -> usize {
        let text = self.space.run("awk '/^Tcp: [0-9]/ { print $6 }' /proc/net/snmp");
        text.trim().parse().unwrap()
    }

    /// Runs a shell line in the folder, and returns what it printed, and how many connections it opened.
    fn run(&self, line: &str) -> (String, usize) {
        let opened = self.opened();
        let said = self.space.run(&format!("cd {}; {line}", self.folder.path().display()));
        println!("{line}: {said}");
        (said, self.opened() - opened)
    }

    /// Has a client ask for all of the list over both families. It opens so many connections for each.
    fn ask(&self, client: impl Fn(&str) -> String, connections: RangeInclusive<usize>) {
        for base in [V4, V6] {
            let (said, opened) = self.run(&client(base));
            assert_eq!(said, format!("{REQUESTS} requests, 0 failures\n"));
            assert!(connections.contains(&opened), "{opened} connections for {base}");
        }
    }

    /// Has a client fetch all of the list over both families, one after the other, into the file `all`.
    fn fetch(&self, client: impl Fn(&str) -> String) {
        let whole: Vec<u8> = wanted().flat_map(content).collect();
        for base in [V4, V6] {
            let urls: Vec<String> = wanted().map(|len| format!("{base}/{len}\n")).collect();
            fs::write(self.path("urls"), urls.concat()).unwrap();
            let (said, opened) = self.run(&client(base));
            let all = fs::read(self.path("all")).unwrap();
            assert!(all == whole, "{} bytes, not {}: {said}", all.len(), whole.len());
            assert_eq!(opened, 1, "connections for {base}: {said}");
        }
    }

    /// Ends the server, which must have answered so many requests at least.
    fn stop(self, requests: usize) {
        let table = self.server.stop();
        assert!(row(&table, "response") + row(&table, "first-window") >= requests, "{table}");
    }
}

/// The path of a program in `clients/`.
fn source(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(name).display().to_string()
}

#[test(root, "/usr/lib/python3/dist-packages/requests/api.py")]
fn a_session_of_python_requests_has_one_connection() {
    let place = Place::new(&[]);
    place.ask(|base| format!("/usr/bin/python3 {} '{base}' list 0", source("session.py")), 1..=1);
    // It does not ask again what a server has closed its connection on. A request of several segments is answered, and
    // its connection is closed.
    place.ask(|base| format!("/usr/bin/python3 {} '{base}' list 3000", source("session.py")), 2..=REQUESTS / 5 + 1);
    place.stop(4 * REQUESTS);
}

/// Where eight ask at a time it opens some more, by the way, and closes them unused: it asks on the first that is free.
#[test(root, "go")]
fn go_has_one_connection_and_few_where_eight_ask_at_a_time() {
    let place = Place::new(&[]);
    place.run(&format!("GOCACHE=$PWD/cache GOFLAGS= go build -o get {}", source("get.go")));
    for (askers, connections) in [(1, 1..=1), (8, 1..=REQUESTS / 4)] {
        place.ask(|base| format!("./get '{base}' list {askers}"), connections);
    }
    place.stop(4 * REQUESTS);
}

/// By default its client asks for an upgrade to HTTP/2 with each request of the scheme `http`, and the response to such
/// a request closes.
#[test(root, "javac")]
fn java_has_one_connection_unless_it_asks_for_an_upgrade() {
    let place = Place::new(&[]);
    place.run(&format!("javac -d . {}", source("Get.java")));
    for (version, connections) in [("HTTP_1_1", 1..=1), ("HTTP_2", REQUESTS..=REQUESTS)] {
        place.ask(|base| format!("java -cp . Get '{base}' list {version}"), connections);
    }
    place.stop(4 * REQUESTS);
}

/// Its `fetch` (undici) opens a second one when it has not yet noticed that the first is free.
#[test(root, "node")]
fn node_has_one_connection_and_at_most_two_with_fetch() {
    let place = Place::new(&[]);
    for (how, connections) in [("agent", 1..=1), ("fetch", 1..=2)] {
        place.ask(|base| format!("node {} '{base}' list {how}", source("get.mjs")), connections);
    }
    place.stop(4 * REQUESTS);
}

#[test(root, "curl")]
fn curl_with_many_urls_has_one_connection() {
    let place = Place::new(&[]);
    place.fetch(|_| "sed 's/.*/url = \"&\"/' urls | curl -sSg --fail -K - >all".to_owned());
    place.stop(2 * REQUESTS);
}

#[test(root, "wget")]
fn wget_with_a_list_has_one_connection() {
    let place = Place::new(&[]);
    place.fetch(|_| "wget -nv -o log -O all -i urls".to_owned());
    place.stop(2 * REQUESTS);
}

/// It speaks HTTP/1.0, compares lengths and no bytes, and asks for one file only. A long response of HTTP/1.0 closes.
#[test(root, "ab")]
fn ab_keeps_its_connections_where_responses_are_short() {
    let place = Place::new(&[]);
    for base in [V4, V6] {
        for (len, requests, kept) in [(100, 5000, 5000), (1_000, 5000, 5000), (30_000, 500, 0), (2_000_000, 20, 0)] {
            let (said, opened) = place.run(&format!("ab -q -k -n {requests} -c 10 '{base}/{len}'"));
            let value = |name: &str| {
                let line = said.lines().find_map(|line| line.strip_prefix(name));
                line.map(|rest| rest.split_whitespace().next().unwrap().parse::<usize>().unwrap())
            };
            let values = ["Complete requests:", "Failed requests:", "Keep-Alive requests:"].map(value);
            assert_eq!(values, [requests, 0, kept].map(Some), "{said}");
            // It has opened some when it notices that it has all that it wants.
            let wanted = if kept > 0 { 10..=10 } else { requests..=requests + 10 };
            assert!(wanted.contains(&opened), "{opened} connections: {said}");
        }
    }
    place.stop(2 * 10_520);
}

/// It opens one more, to see that the server is there.
#[test(root, "wrk")]
fn wrk_has_as_many_connections_as_it_is_told() {
    let place = Place::new(&[]);
    let mut requests = 0;
    for base in [V4, V6] {
        let wrk = format!("wrk -t 2 -c 8 -d 2 -s {} '{base}' -- site list", source("get.lua"));
        let (said, opened) = place.run(&wrk);
        let last = said.lines().last().unwrap();
        let (count, rest) = last.split_once(' ').unwrap();
        assert_eq!((rest, opened), ("requests, 0 failures", 9), "{said}");
        requests += count.parse::<usize>().unwrap();
    }
    assert!(requests > 2 * REQUESTS, "{requests} requests");
    place.stop(requests);
}

/// A page with resources of 200 bytes to 2 MB: scripts, style sheets and images, each with text of its own.
fn page() -> Vec<(String, Vec<u8>)> {
    let mut html = "<!doctype html><title>page</title>\n".to_owned();
    let mut files = Vec::new();
    for number in 0..RESOURCES {
        // No two are of the same length.
        let text = String::from_utf8(content(LENGTHS[1 + number / 2] + number % 2)).unwrap();
        let (tag, body) = match number % 6 {
            0 => (format!("<script src={number}.js></script>"), format!("/*{text}*/")),
            1 => (format!("<link rel=stylesheet href={number}.css>"), format!("/*{text}*/")),
            _ => {
                let begin = "<svg xmlns='http://www.w3.org/2000/svg' width='1' height='1'>";
                (format!("<img src={number}.svg>"), format!("{begin}<!--{text}--></svg>"))
            }
        };
        writeln!(html, "{tag}").unwrap();
        let name = tag.split(['=', '>']).find(|word| word.starts_with(&format!("{number}."))).unwrap();
        files.push((name.to_owned(), body.into_bytes()));
    }
    files.push(("page.html".to_owned(), html.into_bytes()));
    files
}

/// The bytes that are compared are those that came for the page: it takes them from the browser's cache.
#[test(root, "chromium")]
fn a_browser_opens_a_page_of_thirty_resources_with_a_few_connections() {
    let files = page();
    let place = Place::new(&files);
    let mut browser = Browser::start(&place.space);
    for base in [V4, V6] {
        let opened = place.opened();
        browser.open(&format!("{base}/page.html"));
        for (name, bytes) in &files {
            let cached = "{ cache: 'only-if-cached', mode: 'same-origin' }";
            let text = browser.evaluate(&format!("fetch('/{name}', {cached}).then(response => response.text())"));
            assert!(text.as_str().is_some_and(|text| text.as_bytes() == bytes), "{base}/{name} is not what it is");
        }
        let shown = "[...document.images].filter(image => image.naturalWidth === 1).length";
        assert_eq!(browser.evaluate(shown), 20, "images");
        let opened = place.opened() - opened;
        println!("{base}: {opened} connections");
        // Six at a time; one that was opened ahead of need may be closed unused, as with any server.
        assert!((1..=8).contains(&opened), "{opened} connections for {base}");
    }
    drop(browser);
    place.stop(2 * (RESOURCES + 1));
}

lethe_harness::main!();
