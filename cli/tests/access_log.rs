//! `--access-log`: what a real server writes of what real clients ask, over a TAP device. Needs root.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use lethe_harness::test;
use lethe_testnet::{Namespace, Server, V4, V6};
use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;

/// How long a line may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A directory of the user that servers run as, and a file in it that is not there yet.
fn log() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let path = folder.path().join("access.log");
    (folder, path)
}

/// The lines of a log, once there are so many.
fn lines(path: &Path, count: usize) -> Vec<String> {
    let start = Instant::now();
    loop {
        let text = fs::read_to_string(path).unwrap_or_default();
        let lines: Vec<_> = text.lines().map(str::to_owned).collect();
        if lines.len() >= count && text.ends_with('\n') {
            assert_eq!(lines.len(), count, "{text}");
            return lines;
        }
        assert!(start.elapsed() < PATIENCE, "{count} lines are wanted: {text}");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test(root, "curl")]
fn each_request_has_a_line() {
    let (space, (_folder, path)) = (Namespace::new(), log());
    let server = Server::start(&space, &format!("--access-log {} sample", path.display()));
    let metadata = fs::metadata(&path).unwrap();
    assert_eq!((metadata.uid(), metadata.permissions().mode() & 0o777), (65_534, 0o640), "it belongs to nobody");
    space.run(&format!("curl -sS -A 'a \"b\"' -e http://r/ {V4}/100"));
    space.run(&format!("curl -sSg '{V6}/7?x=%22'"));
    space.run(&format!("curl -sSI {V4}/9"));
    space.run(&format!("curl -sS -X DELETE {V4}/9"));
    // A long one, of which a window goes at first; and two on one connection.
    space.run(&format!("curl -sS -A - {V4}/1000000"));
    space.run(&format!("curl -sS -A - {V4}/1 {V4}/2"));
    let lines = lines(&path, 7);
    let part = |line: usize, from: &str| lines[line].split_once(from).unwrap_or_else(|| panic!("{lines:?}")).1;
    assert!(lines[0].starts_with("10.9.0.1 - - ["), "{lines:?}");
    assert_eq!(part(0, "] "), r#""GET /100 HTTP/1.1" 200 100 "http://r/" "a \x22b\x22""#);
    assert!(lines[1].starts_with("fd09::1 - - ["), "{lines:?}");
    assert!(part(1, "] ").starts_with(r#""GET /7?x=%22 HTTP/1.1" 200 7 "-" "curl/"#), "{lines:?}");
    assert!(part(2, "] ").starts_with(r#""HEAD /9 HTTP/1.1" 200 0 "-" "curl/"#), "{lines:?}");
    assert!(part(3, "] ").starts_with(r#""DELETE /9 HTTP/1.1" 405 "#), "{lines:?}");
    assert_eq!(part(4, "] "), r#""GET /1000000 HTTP/1.1" 200 1000000 "-" "-""#);
    assert_eq!(part(5, "] "), r#""GET /1 HTTP/1.1" 200 1 "-" "-""#);
    assert_eq!(part(6, "] "), r#""GET /2 HTTP/1.1" 200 2 "-" "-""#);
    let table = server.stop();
    assert!(table.contains("  7  lines in the access log, and 0 lost\n"), "{table}");
}

/// Pipelined requests, which come in one packet.
#[test(root, "nc")]
fn requests_of_one_packet_have_a_line_each() {
    let (space, (_folder, path)) = (Namespace::new(), log());
    let server = Server::start(&space, &format!("--access-log {} sample", path.display()));
    let ask = |n: u32| format!("GET /{n} HTTP/1.1\\r\\nHost: h\\r\\n\\r\\n");
    space.run(&format!("printf '{}{}{}' | nc -q 1 10.9.0.2 80 >/dev/null", ask(11), ask(12), ask(13)));
    let lines = lines(&path, 3);
    for (line, n) in lines.iter().zip(11..) {
        assert!(line.ends_with(&format!("] \"GET /{n} HTTP/1.1\" 200 {n} \"-\" \"-\"")), "{lines:?}");
    }
    server.stop();
}

#[test(root, "curl")]
fn a_log_that_is_moved_away_is_begun_anew_on_a_signal_and_is_complete_at_the_end() {
    let (space, (folder, path)) = (Namespace::new(), log());
    let server = Server::start(&space, &format!("--access-log {} --log-format json sample", path.display()));
    space.run(&format!("curl -sS {V4}/1"));
    let first: Value = serde_json::from_str(&lines(&path, 1)[0]).unwrap();
    assert_eq!((&first["target"], &first["status"], &first["bytes"]), (&"/1".into(), &200.into(), &1.into()));
    assert_eq!((&first["host"], &first["client"]), (&"10.9.0.2".into(), &"10.9.0.1".into()));
    let old = folder.path().join("access.log.1");
    fs::rename(&path, &old).unwrap();
    space.run(&format!("curl -sS {V4}/2"));
    lines(&old, 2);
    server.signal(Signal::SIGUSR1);
    let start = Instant::now();
    while !path.exists() {
        assert!(start.elapsed() < PATIENCE);
        thread::sleep(Duration::from_millis(20));
    }
    // Nothing is lost of what is answered just before the end.
    space.run(&format!("for n in $(seq 50); do curl -sS {V4}/$n; done"));
    server.stop();
    assert_eq!(lines(&path, 50).len() + lines(&old, 2).len(), 52);
}

#[test(root, "curl")]
fn a_sample_has_every_so_manyth_request() {
    let (space, (_folder, path)) = (Namespace::new(), log());
    let server = Server::start(&space, &format!("--access-log {} --sample 1/10 sample", path.display()));
    space.run(&format!("for n in $(seq 100); do curl -sS {V4}/$n >/dev/null; done"));
    server.stop();
    let logged = lines(&path, 10);
    assert!(logged.iter().zip((10..).step_by(10)).all(|(line, n)| line.contains(&format!("GET /{n} "))), "{logged:?}");
}

#[test(root, "curl")]
fn a_socket_gets_datagrams_and_what_it_does_not_take_is_lost_and_counted() {
    let (space, (folder, _)) = (Namespace::new(), log());
    let path = folder.path().join("socket");
    let receiver = UnixDatagram::bind(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    let server = Server::start(&space, &format!("--access-log unix:{} sample", path.display()));
    space.run(&format!("curl -sS -A - {V4}/5"));
    let mut room = [0; 200];
    let len = receiver.recv(&mut room).unwrap();
    let line = String::from_utf8_lossy(&room[..len]);
    assert!(line.ends_with("] \"GET /5 HTTP/1.1\" 200 5 \"-\" \"-\""), "{line}");
    drop(receiver);
    fs::remove_file(&path).unwrap();
    space.run(&format!("curl -sS {V4}/6; curl -sS {V4}/7"));
    let table = server.stop();
    assert!(table.contains("  1  lines in the access log, and 2 lost\n"), "{table}");
}

#[test(root)]
fn what_cannot_be_logged_to_is_said_at_the_start() {
    let space = Namespace::new();
    let serve = format!("{} serve --device tap:lethe0 --addr 10.9.0.2", env!("CARGO_BIN_EXE_lethe"));
    for (options, error) in [
        ("--access-log /nowhere/log", "--access-log /nowhere/log: No such file or directory"),
        ("--access-log unix:/nowhere", "--access-log unix:/nowhere: nothing receives at /nowhere"),
        ("--access-log unix:", "a Unix socket needs a path"),
        ("--access-log /tmp/x --log-format xml", "want combined or json"),
        ("--access-log /tmp/x --sample 2", "want a share as in 1/100"),
        ("--log-sample 1/2", "--log-sample is for --access-log, and there is none"),
        ("--log-format json", "--log-format is for --access-log, and there is none"),
    ] {
        let (done, said) = space.try_run(&format!("{serve} {options} sample"));
        assert!(!done && said.contains(error), "{options}: {said}");
    }
}

lethe_harness::main!();
