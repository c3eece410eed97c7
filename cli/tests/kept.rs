//! Connections that stay open, from real clients through a real TAP device. Needs root.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use lethe_harness::test;
use lethe_testnet::{Namespace, Server, V4, V6, row};
use nix::sys::socket::{setsockopt, sockopt};

fn serve(options: &str) -> (Namespace, Server) {
    let space = Namespace::new();
    let server = Server::start(&space, &format!("{options} ipinfo"));
    // After three lost ARP requests in a row the kernel reports "no route to host".
    for family in ["ipv4", "ipv6"] {
        space.run(&format!("sysctl -qw net.{family}.neigh.lethe0.mcast_solicit=30"));
    }
    (space, server)
}

fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    stream
}

/// Requests where `ip` is, and checks that the response is about that address and nothing else.
fn get(stream: &mut TcpStream, ip: [u8; 4]) {
    let [a, b, c, d] = ip;
    let name = format!("{a}.{b}.{c}.{d}");
    stream.write_all(format!("GET /{name}.json HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes()).unwrap();
    let mut response = Vec::new();
    let (head, body) = loop {
        let mut part = [0; 4096];
        let len = stream.read(&mut part).unwrap();
        assert!(len > 0, "it was closed: {}", response.escape_ascii());
        response.extend_from_slice(&part[..len]);
        let text = String::from_utf8_lossy(&response).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.split("Content-Length: ").nth(1).unwrap();
        let length: usize = length.lines().next().unwrap().parse().unwrap();
        if body.len() >= length {
            break (head.to_owned(), body.to_owned());
        }
    };
    assert!(head.starts_with("HTTP/1.1 ") && !head.contains("Connection"), "{head}");
    assert!(body.contains(&format!("\"{name}\"")), "{name}: {body}");
}

#[test(root, "curl", "ab")]
fn curl_and_ab_make_all_their_requests_on_connections_that_stay_open() {
    let (space, server) = serve("");
    for base in [V4, V6] {
        let urls: Vec<String> = (1..=50).map(|number| format!("-o /dev/null '{base}/8.8.8.{number}'")).collect();
        let connections = space.run(&format!("curl -sSg -w '%{{num_connects}}' {}", urls.join(" ")));
        assert_eq!(connections, format!("1{}", "0".repeat(49)));
    }
    let text = space.run(&format!("ab -q -k -n 5000 -c 20 {V4}/8.8.8.8"));
    for line in ["Keep-Alive requests:    5000", "Failed requests:        0"] {
        assert!(text.contains(line), "{text}");
    }
    let table = server.stop();
    assert_eq!(row(&table, "response"), 5100, "{table}");
    assert!((22..=32).contains(&row(&table, "syn-ack")), "{table}");
}

/// Requests of 20 clients behind a network that loses, reorders and duplicates: each gets its own responses.
#[test(root)]
fn no_response_belongs_to_another_request_behind_a_bad_network() {
    let (space, server) = serve("--impair loss=5%,reorder=5%,duplicate=2%,delay=10ms");
    space.enter(|| {
        thread::scope(|scope| {
            for client in 0..20_u8 {
                let address = if client % 2 == 0 { "10.9.0.2:80" } else { "[fd09::2]:80" };
                scope.spawn(move || {
                    let mut stream = connect(address);
                    for number in 0..50 {
                        get(&mut stream, [client + 1, 2, 3, number]);
                    }
                });
            }
        });
    });
    let table = server.stop();
    assert!(row(&table, "response") >= 1000, "{table}");
}

#[test(root)]
fn an_idle_connection_is_there_after_probes_and_a_restart_of_the_server() {
    let space = Namespace::new();
    // One that stays: without the device of its route, a kernel sends segments of 36 bytes.
    space.run("ip tuntap add lethe0 mode tap");
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "00112233445566778899aabbccddeeff\n").unwrap();
    let options = format!("--secret-file {} ipinfo", secret.display());
    let server = Server::start(&space, &options);
    let mut streams = space.enter(|| {
        let mut streams = ["10.9.0.2:80", "[fd09::2]:80"].map(connect);
        for stream in &mut streams {
            setsockopt(&*stream, sockopt::KeepAlive, &true).unwrap();
            setsockopt(&*stream, sockopt::TcpKeepIdle, &1).unwrap();
            setsockopt(&*stream, sockopt::TcpKeepInterval, &1).unwrap();
            setsockopt(&*stream, sockopt::TcpKeepCount, &2).unwrap();
            get(stream, [8, 8, 8, 8]);
        }
        streams
    });
    thread::sleep(Duration::from_millis(3500));
    for stream in &mut streams {
        get(stream, [1, 1, 1, 1]);
        setsockopt(&*stream, sockopt::KeepAlive, &false).unwrap();
    }
    let table = server.stop();
    assert!(row(&table, "keep-alive") >= 4, "{table}");
    assert_eq!(row(&table, "syn-ack"), 2, "{table}");

    let server = Server::start(&space, &options);
    for stream in &mut streams {
        get(stream, [9, 9, 9, 9]);
    }
    drop(streams);
    let table = server.stop();
    assert!(!table.contains("syn-ack"), "{table}");
}

lethe_harness::main!();
