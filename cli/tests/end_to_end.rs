//! Real clients against the real `lethe` over a real TAP device, in network namespaces that the tests
//! make and remove. Needs root.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use lethe_harness::test;
use lethe_testnet::{Namespace, Server, V4, V6};
use nix::sys::signal::Signal;

fn ipinfo() -> (Namespace, Server) {
    let space = Namespace::new();
    let server = Server::start(&space, "ipinfo");
    (space, server)
}

#[test(root, "curl")]
fn curl_gets_places_over_both_families() {
    let (space, server) = ipinfo();
    for base in [V4, V6] {
        assert_eq!(space.run(&format!("curl -sSg '{base}/202.96.128.86'")), "中国 广东省 广州市\n");
        assert_eq!(space.run(&format!("curl -sSg '{base}/8.8.8.8'")), "美国\n");
        let json = space.run(&format!("curl -sSg '{base}/114.114.114.114.json'"));
        assert!(json.contains("南京市"), "{json}");
        let page = space.run(&format!("curl -sSg -w '%{{http_code}}' '{base}/'"));
        assert!(page.contains("<form") && page.ends_with("200"), "{page}");
        let status = |target: &str| space.run(&format!("curl -sSg -o /dev/null -w '%{{http_code}}' '{base}/{target}'"));
        assert_eq!([status("10.0.0.1"), status("1.2.3"), status("favicon.ico")], ["404", "400", "404"]);
    }
    let table = server.stop();
    assert!(table.contains("response") && table.contains("syn-ack"), "{table}");
}

#[test(root, "arping", "ping")]
fn ping_and_arping_are_answered() {
    let (space, _server) = ipinfo();
    for ping in ["ping 10.9.0.2", "ping -s 1400 10.9.0.2", "ping -6 fd09::2", "ping -6 -s 1400 fd09::2"] {
        let text = space.run(&format!("{ping} -c 3 -i 0.1 -W 2"));
        assert!(text.contains("3 received, 0% packet loss"), "{text}");
    }
    assert_eq!(space.arping("lethe0", "10.9.0.2"), "02:4c:65:74:68:65");
    assert!(space.is_taken("lethe0", "10.9.0.2") && !space.is_taken("lethe0", "10.9.0.9"));
}

#[test(root, "ab")]
fn ab_finds_no_failure_and_memory_does_not_grow() {
    let (space, server) = ipinfo();
    let ab = |requests: u32| {
        let text = space.run(&format!("ab -q -r -n {requests} -c 100 {V4}/202.96.128.86"));
        let line = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map_or("none", str::trim);
        assert_eq!(line("Complete requests:"), requests.to_string(), "{text}");
        assert_eq!(line("Failed requests:"), "0", "{text}");
        assert_eq!(line("Non-2xx responses:"), "none", "{text}");
    };
    ab(1000);
    let before = server.resident();
    ab(5000);
    let after = server.resident();
    // The kernel counts pages in batches, so a few may seem to come and go. 5,000 connections would not
    // fit in them: that is 26 bytes each.
    assert!((after - before).abs() <= 128, "{before} KiB resident before 5,000 requests, {after} after");
}

#[test(root, "curl")]
fn odd_requests_get_what_they_should() {
    let (space, _server) = ipinfo();
    let cookie = "x".repeat(900);
    let long = "x".repeat(6000);
    let text = |line: &str| space.run(line);
    assert_eq!(text(&format!("curl -sS -b c={cookie} {V4}/8.8.8.8")), "美国\n");
    // A request of several segments: its line is in the first.
    assert_eq!(text(&format!("curl -sS -b c={long} {V4}/8.8.8.8")), "美国\n");
    let post = text(&format!("curl -sSi -d a=b {V4}/"));
    assert!(post.starts_with("HTTP/1.1 405 ") && post.contains("\r\nAllow: GET, HEAD\r\n"), "{post}");
    let head = text(&format!("curl -sSI {V4}/8.8.8.8"));
    assert!(head.starts_with("HTTP/1.1 200 OK") && head.contains("Content-Length: 7\r\n"), "{head}");
    let too_long = text(&format!("curl -sSi {V4}/{long}"));
    assert!(too_long.starts_with("HTTP/1.1 414 "), "{too_long}");
    assert_eq!(text(&format!("curl -sS --http1.0 {V4}/8.8.8.8")), "美国\n");
}

#[test(root)]
fn a_request_in_two_segments_is_answered_once_and_right() {
    let (space, server) = ipinfo();
    for server in ["10.9.0.2:80", "[fd09::2]:80"] {
        let reply = space.enter(move || {
            let mut stream = TcpStream::connect(server).unwrap();
            stream.set_nodelay(true).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            stream.write_all(b"GET /202.96").unwrap();
            std::thread::sleep(Duration::from_millis(50));
            stream.write_all(b".128.86 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").unwrap();
            let mut reply = String::new();
            stream.read_to_string(&mut reply).unwrap();
            reply
        });
        assert!(reply.ends_with("中国 广东省 广州市\n"), "{reply}");
        assert_eq!(reply.matches("HTTP/1.1").count(), 1, "{reply}");
    }
    let table = server.stop();
    assert!(table.contains("http-incomplete"), "{table}");
}

#[test(root, "nc")]
fn a_half_closed_connection_gets_its_response() {
    let (space, _server) = ipinfo();
    for address in ["10.9.0.2", "fd09::2"] {
        let start = Instant::now();
        let reply = space.run(&format!("printf 'GET /8.8.8.8 HTTP/1.0\\r\\n\\r\\n' | nc -N {address} 80"));
        assert!(reply.ends_with("美国\n"), "{reply}");
        assert!(start.elapsed() < Duration::from_secs(5));
        // No request at all: both ends close, and neither waits for anything.
        assert_eq!(space.run(&format!("nc -N {address} 80 </dev/null")), "");
    }
    let closed =
        "for _ in $(seq 50); do ss -Htan state established state fin-wait-1 state last-ack | grep -q . || exit 0;
         sleep 0.1; done; ss -tan; exit 1";
    space.run(closed);
}

#[test(root)]
fn a_reply_of_20_kilobytes_arrives_over_both_families() {
    let space = Namespace::new();
    let server = Server::start(&space, "sample");
    for address in ["10.9.0.2:80", "[fd09::2]:80"] {
        let address: SocketAddr = address.parse().unwrap();
        let reply = space.enter(move || {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            stream.write_all(b"GET /20000 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").unwrap();
            let mut reply = Vec::new();
            stream.read_to_end(&mut reply).unwrap();
            reply
        });
        assert!(reply.ends_with(&lethe_sim::sample::expected(20_000)), "{} bytes", reply.len());
    }
    drop(server);
}

#[test(root)]
fn privileges_are_gone_once_the_device_is_open() {
    let (space, server) = ipinfo();
    assert_eq!(server.status("Uid"), "65534\t65534\t65534\t65534");
    assert_eq!(server.status("Gid"), "65534\t65534\t65534\t65534");
    assert_eq!(server.status("CapEff"), "0000000000000000");
    assert_eq!(server.status("Groups"), "");
    server.stop();
    assert!(!space.try_run("ip link show lethe0").0, "the device goes with the server");
}

/// There is nothing to lose in a crash: another process with the same secret goes on.
#[test(root)]
fn a_connection_outlives_the_server() {
    let space = Namespace::new();
    space.run("ip tuntap add lethe0 mode tap");
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "000102030405060708090a0b0c0d0e0f\n").unwrap();
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
    let app = format!("--secret-file {} ipinfo", secret.display());
    let first = Server::start(&space, &app);
    let stream = space.enter(|| TcpStream::connect("10.9.0.2:80").unwrap());
    first.signal(Signal::SIGKILL);
    drop(first);
    let _second = Server::start(&space, &app);
    let reply = space.enter(move || {
        let mut stream = stream;
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(b"GET /8.8.8.8 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        reply
    });
    assert!(reply.ends_with("美国\n"), "{reply}");
}

#[test(root, "curl")]
fn a_closed_port_is_silence_by_default_and_refused_on_request() {
    let space = Namespace::new();
    let refused = |options: &str| {
        let _server = Server::start(&space, &format!("{options} ipinfo"));
        space.try_run(&format!("curl -sS --max-time 1 {V4}:81/")).1
    };
    // Curl's words for nothing at all, and for a RST.
    let (silence, reset) = (refused(""), refused("--refuse reset"));
    assert!(silence.contains("timed out"), "{silence}");
    assert!(reset.contains("Couldn't connect"), "{reset}");
}

/// The documented systemd unit sends SIGHUP whatever is served.
#[test(root)]
fn a_hangup_ends_no_application() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::write(folder.path().join("8.8.8.8"), "a file\n").unwrap();
    let places = write_places(folder.path(), "places", "first");
    for (app, path, body) in [
        ("ipinfo".to_owned(), "8.8.8.8", "美国\n"),
        ("sample".to_owned(), "0", ""),
        (format!("ipinfo --db {places}"), "8.8.8.8", "first\n"),
        (format!("files {}", folder.path().display()), "8.8.8.8", "a file\n"),
    ] {
        let space = Namespace::new();
        let server = Server::start(&space, &app);
        for _ in 0..2 {
            server.signal(Signal::SIGHUP);
            std::thread::sleep(Duration::from_millis(400));
            assert_eq!(space.run(&format!("curl -sS --max-time 5 {V4}/{path}")), body, "{app}");
        }
        let rest = server.stop();
        assert!(rest.contains("syn-ack"), "{app}: {rest}");
    }
}

/// Writes a database in which all addresses are in one country; returns its path.
fn write_places(folder: &std::path::Path, name: &str, country: &str) -> String {
    let mut builder = lethe_apps::ipinfo::Builder::new();
    let place = lethe_apps::ipinfo::Place { country, ..Default::default() };
    builder.add(std::net::Ipv4Addr::UNSPECIFIED..=std::net::Ipv4Addr::BROADCAST, place).unwrap();
    let path = folder.join(name);
    std::fs::write(&path, builder.finish()).unwrap();
    path.display().to_string()
}

#[test(root)]
fn a_hangup_brings_the_new_database_of_ipinfo_and_a_damaged_one_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let places = write_places(folder.path(), "places", "first");
    let space = Namespace::new();
    let mut server = Server::start(&space, &format!("--generation 3 ipinfo --db {places}"));
    let get = || space.run(&format!("curl -sS --max-time 5 {V4}/8.8.8.8"));
    assert_eq!(get(), "first\n");
    for (generation, country) in ["second", "third", "fourth", "fifth", "sixth"].into_iter().enumerate() {
        write_places(folder.path(), "places", country);
        server.signal(Signal::SIGHUP);
        assert_eq!(server.line(), format!("reloaded: 1 range, 2 places, generation {}\n", generation % 4));
        assert_eq!(get(), format!("{country}\n"));
    }
    std::fs::write(&places, "no database").unwrap();
    server.signal(Signal::SIGHUP);
    std::thread::sleep(Duration::from_millis(600));
    assert_eq!(get(), "sixth\n");
    server.stop();
}

#[test(root)]
fn every_signal_to_end_prints_the_counters_and_takes_the_device_away() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let (space, server) = ipinfo();
        space.run(&format!("curl -sS {V4}/8.8.8.8"));
        // `timeout` sends it to the process and to its group, so it comes twice.
        server.signal(signal);
        std::thread::sleep(Duration::from_millis(1));
        server.signal(signal);
        let (success, rest) = server.wait();
        assert!(success && rest.contains("syn-ack"), "{signal}: {rest}");
        assert!(!space.try_run("ip link show lethe0").0, "{signal}");
    }
}

/// `lethe serve … | head`: standard output has no reader any more, and clients are answered all the same.
#[test(root)]
fn a_reader_that_leaves_ends_no_server() {
    let (space, folder) = (Namespace::new(), tempfile::tempdir().unwrap());
    let (success, text) = space.try_run(&format!(
        "timeout -s INT 4 {} serve --device tap:lethe0,host=10.9.0.1/24 --addr 10.9.0.2 --stats ipinfo 2>{said} | \
         head -1 &
         sleep 2.5; curl -sS --max-time 1 {V4}/8.8.8.8; wait; cat {said}",
        env!("CARGO_BIN_EXE_lethe"),
        said = folder.path().join("said").display(),
    ));
    assert!(success && text.ends_with("美国\n"), "{text}");
}

/// A route is taken back once, however the end comes.
#[test(root)]
fn down_is_done_once_when_the_server_goes_and_not_again_at_the_end() {
    for signal in ["INT", "TERM", "HUP"] {
        let (space, server) = ipinfo();
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log").display().to_string();
        let check = format!(
            "{} check {V4}/ --every 100ms --timeout 100ms --rise 1 --fall 1 --up 'echo up >>{log}' --down 'echo down \
             >>{log}'",
            env!("CARGO_BIN_EXE_lethe")
        );
        // While the server is up the end is a reason to take it back,
        space.run(&format!("timeout --preserve-status -s {signal} 1 {check}"));
        assert_eq!(std::fs::read_to_string(&log).unwrap(), "up\ndown\n", "{signal}");
        // and when it has been taken back before, there is nothing left to do.
        server.signal(Signal::SIGINT);
        let (_, text) = (server.wait(), space.run(&format!("timeout --preserve-status -s {signal} 1 {check}")));
        assert_eq!(std::fs::read_to_string(&log).unwrap(), "up\ndown\ndown\n", "{signal}: {text}");
    }
}

/// A server may be stopped ahead of its check, whose fetch is then not answered.
#[test]
fn a_check_ends_at_once_also_while_it_waits_for_an_answer() {
    // The kernel completes its handshakes.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", silent.local_addr().unwrap());
    let mut check = std::process::Command::new("timeout");
    check.args(["--preserve-status", "-s", "TERM", "1", env!("CARGO_BIN_EXE_lethe"), "check", &url]);
    let since = Instant::now();
    assert!(check.args(["--every", "100ms", "--timeout", "30s"]).status().unwrap().success());
    assert!(since.elapsed() < Duration::from_secs(10), "{:?}", since.elapsed());
}

lethe_harness::main!();
