//! Four servers behind one address: a router spreads packets over them by flow or one by one, BGP tells it which are
//! there, `lethe check` tells BGP. Needs root, BIRD and nft.
//!
//! docs/cluster.md has the same configuration, explained.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::sleep;
use std::time::{Duration, Instant};

use lethe_harness::test;
use lethe_sim::sample::expected;
use lethe_testnet::cluster::{Cluster, FIRST, Finally, PATIENCE, SECOND, Watch, check_ab, report, rows};
use lethe_testnet::{V4, V6, row};
use nix::sys::signal::Signal;
use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, SockaddrStorage};

#[test(root, "bird", "nft", "curl")]
fn one_response_comes_from_all_servers_packet_by_packet() {
    for base in [V4, V6] {
        let mut cluster = Cluster::new("sample", "", &Watch::PATIENT);
        cluster.spread_packets();
        cluster.check_download(base, 1_000_000, "");
        let tables = cluster.stop();
        assert_eq!(rows(&tables, "first-window").iter().sum::<usize>(), 1, "{tables:?}");
        assert!(rows(&tables, "next-window").iter().all(|&windows| windows > 0), "{tables:?}");
    }
}

#[test(root, "bird", "nft", "curl")]
#[ignore = "half a minute, for the figures in docs/cluster.md"]
fn long_responses_by_flow_and_packet_by_packet() {
    for by_packet in [false, true] {
        let mut cluster = Cluster::new("sample", "", &Watch::PATIENT);
        if by_packet {
            cluster.spread_packets();
        }
        let fetch = |_| {
            let since = Instant::now();
            cluster.check_download(V4, 5_000_000, "");
            since.elapsed()
        };
        let mut times: Vec<_> = (0..21).map(fetch).collect();
        times.sort_unstable();
        let resent: usize = rows(&cluster.stop(), "resent").iter().sum();
        println!(
            "packet by packet {by_packet}: 5 MB in {:?} ({:?} to {:?}), {resent} times something sent again for 21 of \
             them",
            times[10], times[0], times[20]
        );
    }
}

#[test(root, "bird", "curl", "ab")]
fn by_flow_each_connection_stays_with_one_server() {
    let mut cluster = Cluster::new("sample", "", &Watch::PATIENT);
    check_ab(cluster.client.name(), 1000);
    cluster.check_download(V6, 100_000, "");
    let tables = cluster.stop();
    // Except for retransmissions, each server has answered the connections whose SYN it answered.
    for table in &tables {
        let greeted = row(table, "syn-ack");
        assert!(greeted > 100 && row(table, "response").abs_diff(greeted) < 100, "{table}");
    }
    let windows = rows(&tables, "next-window");
    assert_eq!(windows.iter().filter(|&&windows| windows > 0).count(), 1, "{windows:?}");
}

#[test(root, "bird", "nft")]
fn no_request_fails_while_a_server_is_killed_and_another_comes() {
    let mut cluster = Cluster::new("sample", "", &Watch::QUICK);
    cluster.spread_packets();
    let mut times = Vec::new();
    let (requests, runs) = cluster.check_load(|cluster| {
        sleep(Duration::from_millis(500));
        cluster.members[0].kill();
        times.push(cluster.wait_for_route(1, false));
        sleep(Duration::from_millis(500));
        let since = Instant::now();
        cluster.members[0].start("");
        cluster.wait_for_route(1, true);
        times.push(since.elapsed());
    });
    let again = cluster.client_count("TcpRetransSegs");
    println!("withdrawn after {:?}, announced after {:?}", times[0], times[1]);
    let tables = cluster.stop();
    assert!(tables.len() == 4 && rows(&tables, "response").iter().all(|&responses| responses > 0), "{tables:?}");
    report("one killed and another started", requests, runs, again, &tables);
}

/// A machine that is cut off cannot withdraw its routes: BFD (RFC 5880) detects it.
#[test(root, "bird", "nft", "ab")]
fn a_machine_that_falls_silent_is_withdrawn() {
    let mut cluster = Cluster::new("sample", "", &Watch::QUICK);
    // Sessions of BFD begin after those of BGP.
    sleep(Duration::from_secs(3));
    cluster.members[1].space.run(
        "nft -f - <<'END'
         table inet silence {
             chain in { type filter hook input priority 0; policy drop; }
             chain out { type filter hook output priority 0; policy drop; }
         }
END",
    );
    println!("a silent machine: withdrawn after {:?}", cluster.wait_for_route(2, false));
    cluster.members[2].kill_bird();
    println!("BIRD ended: withdrawn after {:?}", cluster.wait_for_route(3, false));
    check_ab(cluster.client.name(), 200);
}

/// A connection from this address and port. In the middle of a long response one connection in a hundred fits two
/// secrets (docs/cluster.md). Addresses and ports decide that, so with these it never happens.
fn connect_from(own: SocketAddr, address: SocketAddr) -> TcpStream {
    let family = if own.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let socket = socket::socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
    socket::bind(socket.as_raw_fd(), &SockaddrStorage::from(own)).unwrap();
    socket::connect(socket.as_raw_fd(), &SockaddrStorage::from(address)).unwrap();
    socket.into()
}

/// A download of 5 MB by a reader that says when it has begun, and waits until it may go on.
fn fetch_in_two([own, address]: [&str; 2], begun: &Sender<()>, may_go_on: &Receiver<()>) -> Vec<u8> {
    let mut stream = connect_from(own.parse().unwrap(), address.parse().unwrap());
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"GET /5000000 HTTP/1.1\r\nHost: lethe\r\nConnection: close\r\n\r\n").unwrap();
    let mut body = vec![0; 100_000];
    stream.read_exact(&mut body).unwrap();
    begun.send(()).unwrap();
    may_go_on.recv().unwrap();
    stream.read_to_end(&mut body).unwrap();
    body
}

#[test(root, "bird", "nft")]
fn no_request_fails_while_the_secret_is_rotated() {
    let mut cluster = Cluster::new("sample", "", &Watch::PATIENT);
    cluster.spread_packets();
    let (requests, runs) = cluster.check_load(|cluster| {
        let steps: [&[&str]; 2] = [&[FIRST, SECOND], &[SECOND, FIRST]];
        let (client, members) = (&cluster.client, &mut cluster.members);
        std::thread::scope(|scope| {
            // They begin under the first secret, and end when all new ones begin under the second.
            // From ports that the clients of `ab` do not get.
            let ends = [["10.8.0.1:20000", "10.9.0.2:80"], ["[fd08::1]:20000", "[fd09::2]:80"]];
            let downloads = ends.map(|ends| {
                let (begun, has_begun) = mpsc::channel();
                let (go_on, may_go_on) = mpsc::channel();
                let body = scope.spawn(move || client.enter(move || fetch_in_two(ends, &begun, &may_go_on)));
                (body, has_begun, go_on)
            });
            for (_, has_begun, _) in &downloads {
                has_begun.recv().unwrap();
            }
            for secrets in steps {
                for member in &mut *members {
                    member.rotate(secrets);
                    sleep(Duration::from_millis(50));
                }
            }
            for (body, _, go_on) in downloads {
                go_on.send(()).unwrap();
                let body = body.join().unwrap();
                assert!(body.ends_with(&expected(5_000_000)), "{} bytes came", body.len());
            }
        });
        for member in &mut cluster.members {
            member.rotate(&[SECOND]);
        }
        sleep(Duration::from_millis(500));
    });
    let again = cluster.client_count("TcpRetransSegs");
    report("secret rotated", requests, runs, again, &cluster.stop());
}

/// Machines load a new version one after the other; a client gets the one that it began with, from all of them.
#[test(root, "bird", "nft")]
fn no_response_is_of_two_versions_while_servers_reload_one_after_the_other() {
    const LEN: usize = 200_000;
    let site = tempfile::tempdir().unwrap();
    fs::set_permissions(site.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(site.path().join("1"), "1").unwrap();
    let write = |version: u8| fs::write(site.path().join("page"), vec![version; LEN]).unwrap();
    write(b'a');
    let mut cluster = Cluster::new(&format!("files {}", site.path().display()), "--settle 2s", &Watch::PATIENT);
    cluster.spread_packets();
    let client = cluster.client.name().to_owned();
    let fetch = || {
        let mut command = std::process::Command::new("ip");
        command.args(["netns", "exec", &client, "curl", "-sSg", "--max-time", "60", &format!("{V4}/page")]);
        let body = command.output().unwrap().stdout;
        let version = body.first().copied();
        assert!(body.len() == LEN && body.iter().all(|&byte| Some(byte) == version), "{} bytes came", body.len());
        version
    };
    let over = AtomicBool::new(false);
    let versions = std::thread::scope(|scope| {
        let clients = [(); 4].map(|()| {
            scope.spawn(|| {
                let mut versions = Vec::new();
                while !over.load(Ordering::Relaxed) {
                    versions.extend(fetch());
                }
                versions.extend(fetch());
                versions
            })
        });
        let done = Finally(|| over.store(true, Ordering::Relaxed));
        sleep(Duration::from_millis(300));
        write(b'b');
        for member in &cluster.members {
            member.server.as_ref().unwrap().signal(Signal::SIGHUP);
            sleep(Duration::from_millis(200));
        }
        for member in &mut cluster.members {
            let server = member.server.as_mut().unwrap();
            let mut lines = || server.line();
            lines();
            assert!(lines().starts_with("reloaded: 2 paths, "));
            assert_eq!(lines(), "new connections begin with generation 1\n");
        }
        // What comes now has to be told which one that is.
        cluster.members[3].kill();
        cluster.members[3].start("--generation 1");
        cluster.wait_for_route(4, true);
        sleep(Duration::from_millis(300));
        drop(done);
        clients.map(|client| client.join().unwrap())
    });
    for versions in versions {
        assert_eq!((versions.first(), versions.last()), (Some(&b'a'), Some(&b'b')), "{versions:?}");
    }
    cluster.stop();
}

lethe_harness::main!();
