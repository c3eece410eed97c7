//! Publication day: a table, a file, a server behind a real TAP device, and clients that look up their results.
//! Needs root.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Cursor, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use dbase::FieldValue;
use lethe_harness::test;
use lethe_testnet::browser::Browser;
use lethe_testnet::{Namespace, Server, V4, V6};
use nix::sys::signal::Signal;
use tempfile::TempDir;

/// A directory that the server may read as the user `nobody`.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
    folder
}

/// Runs `lethe`; returns what it says.
fn lethe(folder: &Path, arguments: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_lethe")).current_dir(folder).args(arguments).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

fn prepare(folder: &Path, table: &str) -> String {
    let fields = ["--id-field", "准考证号", "--secret-field", "身份证号"];
    let (success, said) = lethe(folder, &[&["prepare", "scores"], &fields[..], &[table, "scores.lethe"]].concat());
    assert!(success, "{said}");
    said
}

/// The table of a sample, and the file that is made of it.
fn sample(candidates: u32) -> (TempDir, Vec<Candidate>) {
    let folder = folder();
    let (success, said) =
        lethe(folder.path(), &["prepare", "scores-sample", "--candidates", &candidates.to_string(), "scores.dbf"]);
    assert!(success, "{said}");
    prepare(folder.path(), "scores.dbf");
    let candidates = read(&folder.path().join("scores.dbf"));
    (folder, candidates)
}

/// A candidate, read from the table by a crate that shares no code with ours.
struct Candidate {
    seat: String,
    identity: String,
    fields: BTreeMap<String, String>,
}

fn read(table: &Path) -> Vec<Candidate> {
    let mut reader = dbase::Reader::new(Cursor::new(fs::read(table).unwrap())).unwrap();
    let candidate = |record: Result<dbase::Record, dbase::Error>| {
        let text = |value| match value {
            FieldValue::Character(text) => text.unwrap(),
            FieldValue::Numeric(number) => number.unwrap().to_string(),
            other => panic!("{other:?}"),
        };
        let mut fields: BTreeMap<_, _> = record.unwrap().into_iter().map(|(name, value)| (name, text(value))).collect();
        let [seat, identity] = ["准考证号", "身份证号"].map(|name| fields.remove(name).unwrap());
        Candidate { seat, identity, fields }
    };
    reader.iter_records().map(candidate).collect()
}

impl Candidate {
    /// Whether a page has every field of the table, as a row of its own. Points have one digit behind the point.
    fn is_on(&self, page: &str) -> bool {
        let has = |name: &str, value: &str| {
            let row = format!("<tr><th>{name}<td>{value}");
            page.split_once(&row).is_some_and(|(_, rest)| rest.starts_with('<') || rest.starts_with(".0<"))
        };
        self.fields.iter().all(|(name, value)| has(name, value)) && page.contains(&format!("<h2>{}</h2>", self.seat))
    }
}

fn serve(folder: &TempDir) -> (Namespace, Server) {
    let space = Namespace::new();
    let server = Server::start(&space, &format!("scores {}", folder.path().join("scores.lethe").display()));
    (space, server)
}

/// Digits as an input method for Chinese may make them.
fn wide(text: &str) -> String {
    text.chars().map(|character| char::from_u32(u32::from(character) - 0x20 + 0xff00).unwrap()).collect()
}

/// What a reader of one language sees.
struct Words {
    languages: &'static str,
    name: &'static str,
    title: &'static str,
    wrong: &'static str,
    empty: &'static str,
}

const WORDS: [Words; 2] = [
    Words {
        languages: "zh-CN,zh;q=0.9,en;q=0.8",
        name: "zh",
        title: "考试成绩查询",
        wrong: "没有找到。请核对两个号码后再试。",
        empty: "请填写两个号码。",
    },
    Words {
        languages: "en-GB,en;q=0.9",
        name: "en",
        title: "Exam results",
        wrong: "Nothing found. Please check both numbers.",
        empty: "Please fill in both numbers.",
    },
];

#[test(root, "chromium")]
fn a_browser_opens_the_form_types_submits_and_reads_the_score() {
    let (folder, candidates) = sample(1000);
    let (space, server) = serve(&folder);
    let mut browser = Browser::start(&space);
    for (words, base) in WORDS.iter().zip([V4, V6]) {
        for (device, width, height, mobile) in [("desktop", 1280, 800, false), ("phone", 375, 667, true)] {
            browser.become_device(width, height, mobile, words.languages);
            let person = &candidates[usize::from(mobile) + 10];
            let shot = |browser: &mut Browser, what| browser.screenshot(&format!("{}-{device}-{what}", words.name));
            browser.open(&format!("{base}/"));
            assert!(browser.read().starts_with(words.title), "{}", browser.read());
            shot(&mut browser, "form");

            // The identity number of another candidate, then a seat without a candidate: the same answer.
            for (seat, identity) in [(&*person.seat, &*candidates[500].identity), ("2699019999999", &person.identity)] {
                browser.type_into("[name=seat]", seat);
                browser.type_into("[name=id]", identity);
                browser.follow("button");
                assert!(browser.read().contains(words.wrong), "{}", browser.read());
                let typed =
                    browser.evaluate("[...document.querySelectorAll('input')].map(input => input.value).join()");
                shot(&mut browser, "wrong");
                assert_eq!(typed, format!("{seat},{identity}"), "what was typed can be corrected");
                browser.open(&format!("{base}/"));
            }
            // Empty fields: the browser sends no request. A client that sends one all the same is told.
            browser.click("button");
            assert_eq!(browser.evaluate("document.querySelectorAll(':invalid').length > 0"), true);
            browser.open(&format!("{base}/?seat=&id="));
            assert!(browser.read().contains(words.empty), "{}", browser.read());

            // Digits as wide as characters, with spaces, and an x for the check digit.
            browser.type_into("[name=seat]", &format!(" {} ", wide(&person.seat)));
            browser.type_into("[name=id]", &wide(&person.identity.to_lowercase()));
            browser.follow("button");
            let seen = browser.read();
            for value in person.fields.values() {
                assert!(seen.contains(value.as_str()), "{value}: {seen}");
            }
            assert!(!seen.contains(&person.identity), "{seen}");
            shot(&mut browser, "page");
            let overflow = browser.evaluate("document.documentElement.scrollWidth - innerWidth");
            assert!(overflow.as_i64().unwrap() <= 0, "the page is {overflow} wider than the screen");
            browser.follow("a");
            assert!(browser.read().starts_with(words.title));
        }
    }
    drop(browser);
    server.stop();
}

/// The height of what a finger has to hit, in pixels of the page (WCAG 2.2, 2.5.5).
const TARGET: f64 = 44.0;

#[test(root, "chromium")]
fn on_a_phone_nothing_is_cut_off_or_too_small_to_hit_and_a_digit_can_be_corrected() {
    let (folder, candidates) = sample(100);
    let (space, server) = serve(&folder);
    let mut browser = Browser::start(&space);
    let person = &candidates[5];
    let mistyped = person.seat.replacen(char::is_numeric, "", 1);
    for (width, height) in [(360, 640), (390, 844)] {
        for (words, dark, percent) in
            [(&WORDS[0], false, 100), (&WORDS[1], true, 100), (&WORDS[0], false, 200), (&WORDS[1], false, 200)]
        {
            browser.become_device(width, height, true, words.languages);
            browser.prefer_dark(dark);
            let name = format!("{width}-{}-{percent}{}", words.name, if dark { "-dark" } else { "" });
            let see = |browser: &mut Browser, what: &str| {
                browser.evaluate(&format!("document.documentElement.style.fontSize = '{percent}%'"));
                browser.screenshot(&format!("{name}-{what}"));
                let number = |browser: &mut Browser, what| browser.evaluate(what).as_f64().unwrap();
                let overflow =
                    number(browser, "document.documentElement.scrollWidth - document.documentElement.clientWidth");
                assert!(overflow <= 0.0, "{name}-{what} is {overflow} wider than the screen");
                assert_eq!(browser.evaluate("innerWidth"), width, "{name}-{what}");
                let least = "Math.min(...[...document.querySelectorAll('input,button,a')].map(\
                    element => element.getBoundingClientRect().height))";
                let least = number(browser, least);
                assert!(least >= TARGET, "{name}-{what}: {least} pixels");
            };
            browser.open(&format!("{V4}/"));
            see(&mut browser, "form");
            browser.click("button");
            see(&mut browser, "nothing-typed");
            browser.type_into("[name=seat]", &mistyped);
            browser.type_into("[name=id]", &person.identity);
            browser.enter();
            assert!(browser.read().contains(words.wrong), "{}", browser.read());
            see(&mut browser, "wrong");
            browser.evaluate("document.querySelector('[name=seat]').select()");
            browser.insert(&person.seat);
            browser.enter();
            assert!(browser.read().contains(&person.seat), "{}", browser.read());
            see(&mut browser, "page");
            browser.open(&format!("{V4}/?seat=%20&id={}", person.identity));
            assert!(browser.read().contains(words.empty), "{}", browser.read());
            see(&mut browser, "empty");
        }
    }
    drop(browser);
    server.stop();
}

#[test(root, "curl")]
fn curl_gets_the_form_in_one_packet_and_is_told_that_nobody_may_keep_it() {
    let (folder, candidates) = sample(100);
    let (space, server) = serve(&folder);
    for base in [V4, V6] {
        let form = space.run(&format!("curl -sSgi '{base}/'"));
        assert!(form.starts_with("HTTP/1.1 200 OK\r\n") && form.len() <= 1208, "{} bytes: {form}", form.len());
        let person = &candidates[42];
        let page = space.run(&format!("curl -sSgi '{base}/?seat={}&id={}'", person.seat, person.identity));
        assert!(person.is_on(&page) && page.contains("\r\nCache-Control: no-store\r\n"), "{page}");
        let status = |query: &str| space.run(&format!("curl -sSg -o /dev/null -w '%{{http_code}}' '{base}/{query}'"));
        assert_eq!([status("?seat=1&id=1"), status("?seat=1"), status("robots.txt")], ["404", "400", "404"]);
    }
    server.stop();
}

#[test(root, "curl")]
fn a_damaged_file_is_not_served_and_a_damaged_page_is_nobodys() {
    let (folder, candidates) = sample(100);
    let path = folder.path().join("scores.lethe");
    let good = fs::read(&path).unwrap();
    let person = &candidates[7];
    let seat = format!("<h2>{}", person.seat);
    let at = good.windows(seat.len()).position(|window| window == seat.as_bytes()).unwrap();
    let damaged = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        fs::write(&path, bytes).unwrap();
        lethe(folder.path(), &["prepare", "scores", "--check", "scores.lethe"])
    };

    let (success, said) = damaged(good.len() - 200);
    assert!(!success && said.contains("the checksum of the index is"), "{said}");
    let serve_it = ["serve", "--device", "tap:none", "--addr", "10.9.0.2", "scores", "scores.lethe"];
    let (success, said) = lethe(folder.path(), &serve_it);
    assert!(!success && said.contains("the checksum of the index is"), "{said}");

    let (success, said) = damaged(at + 5);
    assert!(!success && said.contains("damaged: 1 of 100 records, the first at byte "), "{said}");
    let (space, server) = serve(&folder);
    let status = |person: &Candidate| {
        let query = format!("?seat={}&id={}", person.seat, person.identity);
        space.run(&format!("curl -sSg -w ' %{{http_code}}' '{V4}/{query}'"))
    };
    let told = status(person);
    assert!(told.ends_with(" 500") && told.contains("系统故障"), "{told}");
    assert!(candidates.iter().filter(|other| other.seat != person.seat).all(|other| other.is_on(&status(other))));
    server.stop();
}

#[test(root, "curl")]
fn a_signal_brings_the_new_file_while_the_old_one_is_served() {
    let (folder, candidates) = sample(50);
    let (space, mut server) = serve(&folder);
    let other = lethe(folder.path(), &["prepare", "scores-sample", "--candidates", "60", "--seed", "2", "other.dbf"]);
    assert!(other.0, "{}", other.1);
    prepare(folder.path(), "other.dbf");
    let get = |person: &Candidate| space.run(&format!("curl -sSg '{V4}/?seat={}&id={}'", person.seat, person.identity));
    assert!(candidates[3].is_on(&get(&candidates[3])));
    for _ in 0..4 {
        server.signal(Signal::SIGHUP);
        assert!(server.line().starts_with("reloaded: 60 candidates, "));
    }
    let others = read(&folder.path().join("other.dbf"));
    assert!(others[55].is_on(&get(&others[55])) && !candidates[3].is_on(&get(&candidates[3])));
    server.stop();
}

/// One request over a connection of its own; the whole reply.
fn fetch(query: &str, reply: &mut Vec<u8>) {
    let mut stream = TcpStream::connect("10.9.0.2:80").unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    // In one piece, as browsers do.
    stream
        .write_all(format!("GET /?{query} HTTP/1.1\r\nHost: 10.9.0.2\r\nConnection: close\r\n\r\n").as_bytes())
        .unwrap();
    reply.clear();
    stream.read_to_end(reply).unwrap();
}

/// Looks up every candidate, with as many connections at a time; returns how many pages were wrong.
fn look_up_all(space: &Namespace, candidates: Arc<Vec<Candidate>>, at_a_time: usize) -> usize {
    space.enter_all(at_a_time, {
        let next = Arc::new(AtomicUsize::new(0));
        let wrong = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&wrong);
        let work = move || {
            let mut reply = Vec::new();
            while let Some(person) = candidates.get(next.fetch_add(1, Ordering::Relaxed)) {
                fetch(&format!("seat={}&id={}", person.seat, person.identity), &mut reply);
                let is_right = str::from_utf8(&reply).is_ok_and(|page| person.is_on(page));
                wrong.fetch_add((!is_right).into(), Ordering::Relaxed);
            }
        };
        (work, move || counted.load(Ordering::Relaxed))
    })
}

#[test(root)]
fn everybody_of_a_small_school_gets_the_own_page() {
    let (folder, candidates) = sample(2000);
    let (space, server) = serve(&folder);
    assert_eq!(look_up_all(&space, Arc::new(candidates), 4), 0);
    server.stop();
}

/// What the book says to put in front of the server, as it stands there.
#[test(root, "curl", "nft")]
fn the_rule_of_the_book_slows_down_who_guesses_and_nobody_else() {
    let book = include_str!("../../docs/scores.md");
    let (_, rules) = book.split_once("```nft\n").unwrap();
    let (rules, _) = rules.split_once("```").unwrap();
    let (folder, candidates) = sample(50);
    let (space, server) = serve(&folder);
    let path = folder.path().join("guard.nft");
    fs::write(&path, rules).unwrap();
    space.run(&format!("nft -f {}", path.display()));
    let guesses = space.enter(|| {
        let (start, mut guesses) = (Instant::now(), 0);
        while start.elapsed() < Duration::from_secs(3) {
            let server = "10.9.0.2:80".parse().unwrap();
            guesses += usize::from(TcpStream::connect_timeout(&server, Duration::from_millis(50)).is_ok());
        }
        guesses
    });
    // A burst of 50, and 10 in each second; a slow machine has some time more.
    assert!((50..=120).contains(&guesses), "{guesses} guesses in three seconds");
    space.run("ip address add 10.9.0.3/24 dev lethe0");
    let person = &candidates[1];
    let url = format!("{V4}/?seat={}&id={}", person.seat, person.identity);
    assert!(person.is_on(&space.run(&format!("curl -sSg --interface 10.9.0.3 --max-time 5 '{url}'"))));
    server.stop();
}

/// The figures of the talk: run by `tools/scores`, since it takes a minute and a release build.
#[test(root)]
#[ignore = "400,000 candidates: tools/scores"]
fn publication_day() {
    let folder: PathBuf = std::env::var_os("LETHE_SCORES").expect("tools/scores sets it").into();
    let candidates = read(&folder.join("scores.dbf"));
    let space = Namespace::new();
    let first = format!("seat={}&id={}", candidates[0].seat, candidates[0].identity);
    let start = Instant::now();
    let server = Server::start(&space, &format!("scores {}", folder.join("scores.lethe").display()));
    let page = space.enter(move || {
        let mut reply = Vec::new();
        fetch(&first, &mut reply);
        reply
    });
    let answered = start.elapsed();
    assert!(candidates[0].is_on(str::from_utf8(&page).unwrap()));
    println!("start to first answer        {:.3} s", answered.as_secs_f64());
    println!("resident at the first answer {} KiB ({} of them its own)", server.resident(), server.status("RssAnon"));
    let (count, candidates) = (candidates.len() as u32, Arc::new(candidates));
    let start = Instant::now();
    let wrong = look_up_all(&space, candidates, 8);
    let elapsed = start.elapsed().as_secs_f64();
    println!(
        "looked up over the TAP       {count} in {elapsed:.1} s, {:.0} a second, {wrong} wrong",
        f64::from(count) / elapsed
    );
    println!("resident at the end          {} KiB ({} of them its own)", server.resident(), server.status("RssAnon"));
    assert_eq!(wrong, 0);
    println!("{}", server.stop());
}

lethe_harness::main!();
