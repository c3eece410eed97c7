//! `--metrics` and `lethe top`: what a real server says of itself while real clients ask it, over a TAP device. Needs
//! root.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use lethe_harness::test;
use lethe_testnet::browser::Browser;
use lethe_testnet::{Namespace, Server, V4};
use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;

/// How long a server may take to handle what it is sent.
const PATIENCE: Duration = Duration::from_secs(20);

/// A kernel that sends nothing of its own accord, so that only requests are counted.
const QUIET: &str = "sysctl -qw net.ipv6.conf.default.disable_ipv6=1";
const NEIGHBOR: &str = "ip neigh replace 10.9.0.2 lladdr 02:4c:65:74:68:65 dev lethe0 nud permanent";
const DEVICE: [&str; 2] = ["--device", "tap:lethe0,host=10.9.0.1/24"];

/// A directory, and the path of a socket in one that is not there yet.
fn socket() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let path = folder.path().join("run/metrics.sock");
    (folder, path)
}

/// A server that is watched at `socket`.
fn start(space: &Namespace, socket: &Path, app: &str) -> Server {
    space.run(QUIET);
    let server = Server::start_on(space, &DEVICE, &format!("--metrics unix:{} {app}", socket.display()));
    space.run(NEIGHBOR);
    server
}

fn get(socket: &Path, path: &str) -> String {
    let output = Command::new("curl")
        .args(["-sS", "--fail", "--max-time", "5", "--unix-socket"])
        .arg(socket)
        .arg(format!("http://lethe{path}"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// What `/metrics` says: values, as they are written, by name and labels.
fn metrics(socket: &Path) -> BTreeMap<String, String> {
    let text = get(socket, "/metrics");
    let samples = text.lines().filter(|line| !line.starts_with('#')).map(|line| line.rsplit_once(' ').unwrap());
    samples.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn json(socket: &Path) -> Value {
    serde_json::from_str(&get(socket, "/stats.json")).unwrap()
}

/// The metrics of a server that has nothing to do any more.
fn settled(socket: &Path) -> BTreeMap<String, String> {
    let counters = |()| {
        let all = metrics(socket);
        all.into_iter().filter(|(name, _)| name.starts_with("lethe_") && name.contains("_total")).collect()
    };
    let start = Instant::now();
    let mut before: BTreeMap<_, _> = counters(());
    loop {
        thread::sleep(Duration::from_millis(300));
        let now = counters(());
        if now == before {
            return now;
        }
        assert!(start.elapsed() < PATIENCE, "{before:?}\n{now:?}");
        before = now;
    }
}

fn verdict(action: &str, name: &str) -> String {
    match action {
        "dropped" => format!("lethe_drops_total{{worker=\"0\",reason=\"{name}\"}}"),
        _ => format!("lethe_verdicts_total{{worker=\"0\",action=\"{action}\",verdict=\"{name}\"}}"),
    }
}

#[test(root, "curl")]
fn counters_grow_by_what_was_done_and_end_as_the_table_has_them() {
    let (space, (_folder, socket)) = (Namespace::new(), socket());
    let server = start(&space, &socket, "sample");
    let before = settled(&socket);
    for _ in 0..7 {
        space.run(&format!("curl -sS {V4}/100"));
    }
    space.run(&format!("curl -sS {V4}/100000"));
    assert!(!space.try_run(&format!("curl -sS --max-time 1 {V4}:81/")).0);
    let after = settled(&socket);
    let number = |of: &BTreeMap<_, String>, name: &str| of[name].parse::<u64>().unwrap();
    let grown = |name: &str| number(&after, name) - number(&before, name);
    let replied = |kind: &str| grown(&verdict("replied", kind));
    assert_eq!([replied("syn-ack"), replied("response"), replied("first-window")], [8, 7, 1]);
    let responses = |class| grown(&format!("lethe_responses_total{{worker=\"0\",class=\"{class}\"}}"));
    assert_eq!(["2xx", "3xx", "4xx", "5xx"].map(responses), [8, 0, 0, 0]);
    assert_eq!(
        metrics(&socket)["lethe_turn_frames_sum{worker=\"0\"}"],
        after["lethe_frames_received_total{worker=\"0\"}"]
    );
    // A SYN, and once more after a second, if the clock of curl is a little behind.
    assert!([1, 2].contains(&grown(&verdict("dropped", "tcp-closed-port"))));
    assert!(grown("lethe_bytes_sent_total{worker=\"0\"}") > 100_700);
    assert_eq!(metrics(&socket)["lethe_data_generation"], "0");

    // JSON says the same.
    let counters = &json(&socket)["workers"][0]["counters"];
    assert_eq!(json(&socket)["total"], *counters);
    let mut names = 0;
    for action in ["replied", "absorbed", "dropped"] {
        for (name, count) in counters[action].as_object().unwrap() {
            assert_eq!(after[&verdict(action, name)], count.to_string(), "{name}");
            names += 1;
        }
    }
    let is_verdict = |name: &&String| name.starts_with("lethe_verdicts_total") || name.starts_with("lethe_drops_total");
    assert_eq!(names, after.keys().filter(is_verdict).count());
    for total in ["frames_received", "bytes_received", "frames_sent", "bytes_sent", "queue_full", "turns", "full_turns"]
    {
        assert_eq!(after[&format!("lethe_{total}_total{{worker=\"0\"}}")], counters[total].to_string(), "{total}");
    }

    // And so does the table.
    let table = server.stop();
    let mut rows = 0;
    for line in table.lines() {
        if let [count, action @ ("replied" | "absorbed" | "dropped"), name, ..] =
            line.split_whitespace().collect::<Vec<_>>()[..]
        {
            assert_eq!(after[&verdict(action, name)], count, "{line}");
            rows += 1;
        }
    }
    assert_eq!(rows, after.iter().filter(|(name, value)| is_verdict(name) && *value != "0").count(), "{table}");
    let total = |what: &str| {
        format!("{} {what}, {} bytes\n", counters[format!("frames_{what}")], counters[format!("bytes_{what}")])
    };
    let frames = [("received", "in"), ("sent", "out")]
        .map(|(name, word)| total(name).replace(&format!(" {name},"), &format!("  frames {word},")));
    assert!(frames.iter().all(|line| table.contains(line)), "{frames:?}\n{table}");
}

#[test(root)]
fn the_socket_is_for_its_owner_and_group_and_gone_with_the_server() {
    let (space, (_folder, socket)) = (Namespace::new(), socket());
    let server = start(&space, &socket, "ipinfo");
    let metadata = fs::metadata(&socket).unwrap();
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o7777, 0o660);

    // A second server, on another device: this socket is taken.
    let second = space
        .command(env!("CARGO_BIN_EXE_lethe"))
        .args(["serve", "--device", "tap:lethe1", "--addr", "10.9.1.2", "--metrics"])
        .arg(format!("unix:{}", socket.display()))
        .arg("ipinfo")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert_eq!(second.status.code(), Some(1), "{said}");
    assert!(said.contains("the socket is in use, by another server?"), "{said}");

    // One that is killed leaves its socket, and the next one replaces it.
    server.signal(Signal::SIGKILL);
    server.wait();
    assert!(socket.exists());
    let server = start(&space, &socket, "ipinfo");
    assert_eq!(json(&socket)["application"], "ipinfo");
    server.stop();
    assert!(!socket.exists());
}

#[test(root, "curl")]
fn who_connects_and_says_nothing_keeps_nobody_waiting() {
    let (space, (_folder, socket)) = (Namespace::new(), socket());
    let server = start(&space, &socket, "ipinfo");
    // More than there are places; every second one begins to ask, unless it has lost its place by then.
    let mut silent: Vec<_> = (0..40).map(|_| UnixStream::connect(&socket).unwrap()).collect();
    for stream in silent.iter_mut().step_by(2) {
        let _ = stream.write_all(b"GET /metr");
    }
    // Asks, and does not read.
    let mut deaf = UnixStream::connect(&socket).unwrap();
    deaf.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").unwrap();
    let start = Instant::now();
    assert_eq!(json(&socket)["device"], "tap lethe0");
    assert_eq!(space.run(&format!("curl -sS {V4}/8.8.8.8")), "美国\n");
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    // The newest connection keeps its place for a while, and is then closed.
    let mut last = silent.pop().unwrap();
    last.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(last.read(&mut [0; 1]).unwrap(), 0);
    assert!(start.elapsed() > Duration::from_secs(3), "{:?}", start.elapsed());
    server.stop();
    assert!(!socket.exists());
}

#[test(root, "curl")]
fn a_port_of_this_machine_is_asked_as_well_and_one_for_others_only_if_it_is_said() {
    let space = Namespace::new();
    space.run("ip addr add 192.0.2.1/32 dev lo");
    let server = Server::start_on(&space, &DEVICE, "--metrics 127.0.0.1:9690 ipinfo");
    let text = space.run("curl -sSi http://127.0.0.1:9690/metrics");
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n") && text.contains("\nlethe_uptime_seconds "), "{text}");
    let lethe = env!("CARGO_BIN_EXE_lethe");
    let top = space.run(&format!("{lethe} top --once 127.0.0.1:9690"));
    assert!(top.starts_with("lethe ") && top.contains("\nWORKER"), "{top}");
    server.stop();

    let serve = format!("{lethe} serve --device tap:lethe0 --addr 10.9.0.2 --metrics");
    let (done, said) = space.try_run(&format!("{serve} 192.0.2.1:9690 ipinfo"));
    assert!(!done && said.contains("other machines could ask as well: take 127.0.0.1:9690"), "{said}");
    let server = Server::start_on(&space, &DEVICE, "--metrics 192.0.2.1:9690,public ipinfo");
    assert!(space.run("curl -sS http://192.0.2.1:9690/").contains("/stats.json"));
    let (done, said) = space.try_run(&format!("{serve} 192.0.2.1:9690,public ipinfo").replace("lethe0", "lethe1"));
    assert!(!done && said.contains("the port is in use: take another one"), "{said}");
    server.stop();
}

#[test(root)]
fn a_reload_is_another_generation_and_one_that_fails_is_counted() {
    let (space, (folder, socket)) = (Namespace::new(), socket());
    let site = folder.path().join("site");
    fs::create_dir(&site).unwrap();
    fs::write(site.join("page"), "old").unwrap();
    let mut server = start(&space, &socket, &format!("files {}", site.display()));
    let data = || {
        let data = json(&socket)["data"].clone();
        ["generation", "reloads", "reload_failures"].map(|name| data[name].as_u64().unwrap())
    };
    assert_eq!(data(), [0, 0, 0]);
    let loaded = json(&socket)["data"]["loaded_time_seconds"].as_f64().unwrap();
    thread::sleep(Duration::from_millis(1100));
    server.signal(Signal::SIGHUP);
    assert!(server.line().starts_with("reloaded: "));
    let wait = |expect| {
        let start = Instant::now();
        while data() != expect {
            assert!(start.elapsed() < PATIENCE, "{:?}", data());
            thread::sleep(Duration::from_millis(20));
        }
    };
    wait([1, 1, 0]);
    assert!(json(&socket)["data"]["loaded_time_seconds"].as_f64().unwrap() > loaded);
    fs::remove_dir_all(&site).unwrap();
    server.signal(Signal::SIGHUP);
    wait([1, 1, 1]);
    assert_eq!(metrics(&socket)["lethe_reload_failures_total"], "1");
}

/// People copy the number from one of the three to another (docs/cluster.md).
#[test(root)]
fn the_generation_is_one_number_for_the_option_the_messages_and_the_metrics() {
    let (space, (folder, socket)) = (Namespace::new(), socket());
    let site = folder.path().join("site");
    fs::create_dir(&site).unwrap();
    let mut server = start(&space, &socket, &format!("--generation 2 files {}", site.display()));
    let shown = || metrics(&socket)["lethe_data_generation"].clone();
    assert_eq!(shown(), "2");
    for generation in ["3", "0", "1"] {
        server.signal(Signal::SIGHUP);
        let line = server.line();
        assert!(line.ends_with(&format!(", generation {generation}\n")), "{line}");
        assert_eq!(shown(), generation);
    }
    server.stop();
}

/// Runs `lethe top` on a terminal of 24 rows and 80 columns, beside a shell line that can use `$tty`; what came to the
/// terminal, with its settings before and after.
fn on_terminal(socket: &Path, beside: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let (lethe, tty) = (env!("CARGO_BIN_EXE_lethe"), folder.path().join("tty"));
    let line = format!(
        "stty rows 24 cols 80; stty -g; tty >{tty}; {lethe} top unix:{socket}; echo code=$?; stty -g",
        tty = tty.display(),
        socket = socket.display()
    );
    let beside = format!(
        "(while ! [ -s {tty} ]; do sleep 0.1; done; tty=$(cat {tty}); sleep 0.5; {beside})",
        tty = tty.display()
    );
    let output = Command::new("timeout")
        .args(["30", "sh", "-c", &format!("{beside} | SHELL=/bin/sh TERM=xterm script -qec '{line}' /dev/null")])
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// Where the cursor is hidden: at the end of each screen.
const HIDE: &str = "\x1b[?25l";

/// A terminal of this size that this was written to.
fn terminal([rows, columns]: [u16; 2], text: &str) -> vt100::Parser {
    let mut terminal = vt100::Parser::new(rows, columns, 0);
    terminal.process(text.as_bytes());
    terminal
}

/// The rows that a terminal of this size shows, without blanks at their ends.
fn shown(rows: u16, columns: u16, text: &str) -> Vec<String> {
    let terminal = terminal([rows, columns], text);
    terminal.screen().rows(0, columns).map(|row| row.trim_end().to_owned()).collect()
}

#[test(root, "curl", "script")]
fn top_draws_a_terminal_and_gives_it_back() {
    const ENTER: &str = "\x1b[?1049h";
    const LEAVE: &str = "\x1b[?1049l\x1b[?25h";
    let (space, (_folder, socket)) = (Namespace::new(), socket());
    let server = start(&space, &socket, "ipinfo");
    let curl =
        |seconds: u32| format!("for _ in $(seq {seconds}0); do curl -sS {V4}/8.8.8.8 >/dev/null; sleep 0.1; done");
    thread::scope(|scope| {
        scope.spawn(|| space.run(&curl(5)));
        // A smaller terminal in the middle.
        let text = on_terminal(&socket, "sleep 2; stty rows 12 cols 60 <$tty; sleep 1; printf q");
        let (before, rest) = text.split_once(ENTER).unwrap_or_else(|| panic!("{text:?}"));
        let (screens, after) = rest.split_once(LEAVE).unwrap_or_else(|| panic!("{text:?}"));
        let settings = before.trim();
        assert!(settings.contains(':') && after.trim() == format!("code=0\r\n{settings}"), "{before:?} {after:?}");
        // What a terminal shows of it, before it is cleared for another size and after that.
        let (large, small) = screens.split_once("\x1b[2J").unwrap_or_else(|| panic!("{screens:?}"));
        assert!(large.matches(HIDE).count() >= 3 && small.contains(HIDE), "no screens: {screens:?}");
        let (large, small) = (shown(24, 80, large), shown(12, 60, small));
        assert!(large[0].starts_with("lethe ") && large[0].contains("tap lethe0"), "{large:?}");
        assert!(large[23].ends_with("q: quit") && small[11].ends_with("q: quit"), "{large:?} {small:?}");
        let rate =
            large.iter().find_map(|line| line.strip_prefix("requests/s ")?.split(' ').next()?.parse::<u32>().ok());
        assert!(rate.is_some_and(|rate| (1..=20).contains(&rate)), "{large:?}");
    });
    // Ctrl-C is a key, SIGTERM a signal; both give the terminal back, and so does a server that goes.
    let term = "kill -TERM $(pgrep -x -t ${tty#/dev/} lethe)";
    for end in ["printf '\\003'", term] {
        let text = on_terminal(&socket, end);
        assert!(text.contains(ENTER) && text.contains(LEAVE) && text.contains("code=0"), "{text:?}");
    }
    let text = thread::scope(|scope| {
        let text = scope.spawn(|| on_terminal(&socket, "sleep 3; printf q"));
        thread::sleep(Duration::from_secs(1));
        server.stop();
        text.join().unwrap()
    });
    let (screens, after) = text.split_once(LEAVE).unwrap_or_else(|| panic!("{text:?}"));
    assert!(shown(24, 80, screens)[23].starts_with("no answer at unix:") && after.contains("code=0"), "{text:?}");
}

/// A window that is closed, or a connection of ssh that is cut.
#[test(root, "script", "pgrep")]
fn top_ends_with_its_terminal() {
    let (space, (_folder, socket)) = (Namespace::new(), socket());
    let server = start(&space, &socket, "ipinfo");
    let line = format!("exec {} top unix:{}", env!("CARGO_BIN_EXE_lethe"), socket.display());
    let mut script = Command::new("script");
    script.args(["-qec", &line, "/dev/null"]).env("SHELL", "/bin/sh").env("TERM", "xterm");
    let mut script = script.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    thread::sleep(Duration::from_secs(1));
    let children = Command::new("pgrep").args(["-P", &script.id().to_string(), "-x", "lethe"]).output().unwrap();
    let top = PathBuf::from("/proc").join(String::from_utf8(children.stdout).unwrap().trim());
    assert!(top.join("stat").exists(), "{}", top.display());
    script.kill().unwrap();
    script.wait().unwrap();
    let start = Instant::now();
    while top.join("stat").exists() {
        assert!(start.elapsed() < PATIENCE, "{} goes on", top.display());
        thread::sleep(Duration::from_millis(50));
    }
    server.stop();
}

#[test(root)]
fn top_says_what_is_missing() {
    let lethe = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_lethe")).arg("top").args(arguments).output().unwrap();
        (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    };
    let (space, (folder, socket)) = (Namespace::new(), socket());
    let place = format!("unix:{}", socket.display());
    let no_answer = format!(
        "lethe: no answer at {place}: start the server with --metrics {place}, or name the address that it has\n"
    );
    assert_eq!(lethe(&[&place]), (Some(1), no_answer));
    // Another web server.
    let other = folder.path().join("other");
    let listener = std::os::unix::net::UnixListener::bind(&other).unwrap();
    let answer = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 100]).unwrap();
        stream.write_all(b"HTTP/1.1 404 Not Found\r\n\r\n").unwrap();
    });
    let (code, said) = lethe(&[&format!("unix:{}", other.display())]);
    answer.join().unwrap();
    assert!(code == Some(1) && said.contains("is not a server that was started with --metrics"), "{said}");

    let server = start(&space, &socket, "ipinfo");
    let (code, said) = lethe(&[&place]);
    assert!(code == Some(1) && said.contains("there is no terminal to draw on: --once"), "{said}");
    let (code, once) = lethe(&[&place, "--once"]);
    assert!(code == Some(0) && once.starts_with("lethe ") && once.contains("requests/s 0"), "{once}");
    let (code, text) = lethe(&[&place, "--json"]);
    let passed_on: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, &passed_on["total"]), (Some(0), &json(&socket)["total"]));
    server.stop();
}

/// A page that looks like this screen.
fn page(screen: &vt100::Screen) -> String {
    let (rows, columns) = screen.size();
    let style =
        "body { margin: 0; background: #101418 } pre { margin: 8px; font: 15px/19px monospace; color: #dde3ea }";
    let mut page = format!("<!doctype html><meta charset=utf-8><style>{style}</style><pre>");
    for row in 0..rows {
        for column in 0..columns {
            let Some(cell) = screen.cell(row, column) else { continue };
            let text = if cell.has_contents() { cell.contents() } else { " " };
            let text = text.replace('&', "&amp;").replace('<', "&lt;");
            let [begin, end] = if cell.bold() { ["<b>", "</b>"] } else { [""; 2] };
            page.extend([begin, &text, end]);
        }
        page.push('\n');
    }
    page
}

/// Keeps what a command has drawn on a terminal of this size after some seconds, as docs/pictures has it.
fn keep_picture(space: &Namespace, name: &str, [rows, columns]: [u16; 2], command: &str) {
    let line = format!("stty rows {rows} cols {columns}; exec {} {command}", env!("CARGO_BIN_EXE_lethe"));
    let text = space
        .run(&format!("(sleep 12; printf q) | SHELL=/bin/sh TERM=xterm timeout 60 script -qec '{line}' /dev/null"));
    // The last screen, ahead of what gives the terminal back.
    let drawn = text.rsplit_once("\x1b[?1049l").unwrap_or_else(|| panic!("{text:?}")).0;
    let terminal = terminal([rows, columns], drawn);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("screen.html");
    fs::write(&file, page(terminal.screen())).unwrap();
    let mut browser = Browser::start(space);
    browser.become_device(u32::from(columns) * 9 + 18, u32::from(rows) * 19 + 16, false, "en");
    browser.open(&format!("file://{}", file.display()));
    browser.screenshot(name);
}

/// `LETHE_SCREENSHOTS=docs/pictures`: the pictures of the README and of docs/using.md.
#[test(root, "script", "chromium", "wrk")]
#[ignore = "for docs/pictures"]
fn pictures_of_top_and_demo() {
    keep_picture(&Namespace::new(), "demo", [32, 100], "demo --rate 2000 --loss 2%");
    let (space, (_folder, socket)) = (Namespace::new(), socket());
    let server = start(&space, &socket, "ipinfo");
    thread::scope(|scope| {
        scope.spawn(|| space.run(&format!("wrk -t 1 -c 100 -d 20 {V4}/8.8.8.8")));
        keep_picture(&space, "top", [24, 100], &format!("top unix:{}", socket.display()));
    });
    server.stop();
}

lethe_harness::main!();
