//! Connections that stay open, from real clients through a real TAP device. Needs root.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use lethe_harness::test;
use lethe_testnet::kept::{ADDRESSES, Client, Crowd, Site};
use lethe_testnet::{Namespace, Server, V4, V6, row};
use nix::sys::socket::{setsockopt, sockopt};
use tempfile::TempDir;

fn serve(options: &str) -> (Namespace, Server) {
    let space = Namespace::new();
    let server = Server::start(&space, &format!("{options} ipinfo"));
    space.patient_neighbors("lethe0").unwrap();
    (space, server)
}

/// Asks where `ip` is, and checks that the response is about that address and nothing else.
fn get(client: &mut Client, ip: [u8; 4]) {
    let [a, b, c, d] = ip;
    let name = format!("{a}.{b}.{c}.{d}");
    let (head, body) = client.get(&format!("/{name}.json")).unwrap();
    assert!(!head.contains("Connection"), "{head}");
    assert!(String::from_utf8_lossy(&body).contains(&format!("\"{name}\"")), "{name}: {}", body.escape_ascii());
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
                scope.spawn(move || {
                    let mut asker = Client::new(ADDRESSES[usize::from(client % 2)]);
                    for number in 0..50 {
                        get(&mut asker, [client + 1, 2, 3, number]);
                    }
                    assert_eq!(asker.opened, 1);
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
    let (_folder, secret) = secret();
    let options = format!("{secret} ipinfo");
    let server = Server::start(&space, &options);
    let mut clients = space.enter(|| {
        let mut clients = ADDRESSES.map(Client::new);
        for client in &mut clients {
            get(client, [8, 8, 8, 8]);
            let stream = client.stream().unwrap();
            setsockopt(stream, sockopt::KeepAlive, &true).unwrap();
            setsockopt(stream, sockopt::TcpKeepIdle, &1).unwrap();
            setsockopt(stream, sockopt::TcpKeepInterval, &1).unwrap();
            setsockopt(stream, sockopt::TcpKeepCount, &2).unwrap();
        }
        clients
    });
    thread::sleep(Duration::from_millis(3500));
    for client in &mut clients {
        get(client, [1, 1, 1, 1]);
        setsockopt(client.stream().unwrap(), sockopt::KeepAlive, &false).unwrap();
    }
    let table = server.stop();
    assert!(row(&table, "keep-alive") >= 4, "{table}");
    assert_eq!(row(&table, "syn-ack"), 2, "{table}");

    let server = Server::start(&space, &options);
    for client in &mut clients {
        get(client, [9, 9, 9, 9]);
        assert_eq!(client.opened, 1);
    }
    drop(clients);
    let table = server.stop();
    assert!(!table.contains("syn-ack"), "{table}");
}

/// The option for a secret that several servers have, and the folder that it is in.
fn secret() -> (TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret");
    fs::write(&path, "00112233445566778899aabbccddeeff\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let option = format!("--secret-file {}", path.display());
    (folder, option)
}

/// Lengths of files: most fit one segment, and every fourth does not.
fn lengths() -> Vec<usize> {
    (1..=64).map(|number| if number % 4 == 0 { 500 * number } else { 100 + 10 * number }).collect()
}

/// A namespace of clients, with cables to as many servers' namespaces. Each of these has one end, `lethe0`, and its
/// kernel has no address there.
fn behind_cables(servers: usize) -> (Namespace, Vec<Namespace>) {
    let client = Namespace::new();
    let spaces: Vec<_> = (0..servers).map(|_| Namespace::new()).collect();
    for (number, space) in spaces.iter().enumerate() {
        let device = format!("client{number}");
        space.cable("lethe0", &client, &device).unwrap();
        space.run("echo 1 >/proc/sys/net/ipv6/conf/lethe0/disable_ipv6; ip link set lethe0 up");
        client.address(&device, 1).unwrap();
    }
    (client, spaces)
}

/// All requests were answered with the right bytes, each client's on one connection.
#[track_caller]
fn check(crowd: &Arc<Crowd>, client: &Namespace) {
    let outcome = crowd.run(client);
    assert!(outcome.failures.is_empty(), "{} failed: {:#?}", outcome.failures.len(), outcome.failures);
    assert_eq!((outcome.opened, outcome.again), (crowd.clients, 0));
    assert_eq!(outcome.answers.len(), crowd.clients * crowd.requests);
}

/// A server is killed so many times while clients make their requests, and another one with its secret goes on.
#[track_caller]
fn check_restarts(clients: usize, requests: usize, kills: usize) {
    let (client, spaces) = behind_cables(1);
    let crowd = Crowd::new(clients, requests, 1, Site::new(&lengths()).unwrap());
    let (_folder, secret) = secret();
    let app = format!("{secret} files {}", crowd.site.path().display());
    let start = || Server::start_on(&spaces[0], &["--device", "packet:lethe0"], &app);
    let server = thread::scope(|scope| {
        let mut server = start();
        let whole = scope.spawn(|| check(&crowd, &client));
        for number in 1..=kills {
            crowd.wait_for(clients * requests * number / (kills + 1)).unwrap();
            server.kill();
            assert!(!whole.is_finished(), "it was all over");
            server = start();
        }
        whole.join().unwrap();
        server
    });
    let table = server.stop();
    assert!(row(&table, "syn-ack") == 0 && row(&table, "response") > 0, "{table}");
}

#[test(root)]
fn no_request_fails_where_a_server_is_killed_and_started_again() {
    check_restarts(20, 100, 2);
}

#[test(root)]
#[ignore = "a minute: make soak"]
fn none_of_fifty_thousand_requests_fails_where_a_server_is_killed_and_started_again() {
    check_restarts(50, 1000, 10);
}

/// Two servers, and each packet goes to one of them by chance.
#[track_caller]
fn check_two_servers(clients: usize, requests: usize) {
    let (client, spaces) = behind_cables(2);
    for (family, all) in [("-4", "10.9.0.2"), ("-6", "fd09::2")] {
        for number in 0..2 {
            client.run(&format!(
                "ip {family} route add {all} dev client{number} table 10{number}
                 ip {family} rule add pref 10{number} fwmark 10{number} lookup 10{number}"
            ));
        }
    }
    client.run(
        "echo 0 | tee /proc/sys/net/ipv4/conf/*/rp_filter >/dev/null
         nft -f - <<'END'
         table inet spread {
             chain out {
                 type route hook output priority mangle
                 ip daddr 10.9.0.2 meta mark set numgen random mod 2 offset 100
                 ip6 daddr fd09::2 meta mark set numgen random mod 2 offset 100
             }
         }
END",
    );
    let crowd = Crowd::new(clients, requests, 1, Site::new(&lengths()).unwrap());
    let (_folder, secret) = secret();
    let app = format!("{secret} files {}", crowd.site.path().display());
    let servers: Vec<_> =
        spaces.iter().map(|space| Server::start_on(space, &["--device", "packet:lethe0"], &app)).collect();
    check(&crowd, &client);
    let tables: Vec<_> = servers.into_iter().map(Server::stop).collect();
    for name in ["syn-ack", "response", "first-window", "next-window"] {
        let counts: Vec<_> = tables.iter().map(|table| row(table, name)).collect();
        // Each has a share that is no accident where there are many.
        assert!(counts.iter().all(|&count| count > 0 && 3 * count >= counts[0]), "{name}: {counts:?}");
    }
}

#[test(root, "nft")]
fn no_request_fails_where_each_packet_goes_to_one_of_two_servers_by_chance() {
    check_two_servers(20, 100);
}

#[test(root, "nft")]
#[ignore = "a minute: make soak"]
fn none_of_fifty_thousand_requests_fails_where_each_packet_goes_to_one_of_two_servers_by_chance() {
    check_two_servers(50, 1000);
}

/// Clients of Python's http.client ask for files of 100 bytes to 300 kB, and one of `longest` bytes, by each family:
/// `amount` is how many requests each makes, or for how long. None of them is told to try again.
#[track_caller]
fn check_http_client(impairment: &str, clients: usize, amount: &str, longest: usize) {
    // Some of them are as long as a segment or a few, give or take a byte.
    let edges = [1206, 1207, 1427, 1428, 1447, 1448, 2895, 14_480].iter().flat_map(|&edge| [edge - 1, edge, edge + 1]);
    let lengths = (0..70_usize).map(|n| 100 + n * n * n * 299_900 / 328_509).chain(edges).chain([longest]);
    let site = Site::new(&lengths.collect::<Vec<_>>()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (space, list) = (Namespace::new(), folder.path().join("list"));
    space.run(&format!("cd {}; sha256sum * >{}", site.path().display(), list.display()));
    let server = Server::start(&space, &format!("{impairment} files {}", site.path().display()));
    space.patient_neighbors("lethe0").unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/kept.py");
    for address in ["10.9.0.2", "fd09::2"] {
        let (script, list) = (script.display(), list.display());
        let line = format!("python3 {script} {address} {list} {clients} {amount}");
        let (success, said) = space.try_run_for(1000, &line);
        println!("{address}: {said}");
        assert!(success && said.ends_with(&format!(" requests, 0 failures, {clients} connections\n")), "{said}");
    }
    let table = server.stop();
    assert!(row(&table, "first-window") > 0 && row(&table, "next-window") > 0, "{table}");
}

#[test(root, "python3")]
fn an_http_client_of_python_has_one_connection() {
    check_http_client("", 1, "1000", 10_000_000);
}

#[test(root, "python3")]
#[ignore = "minutes: make soak"]
fn an_http_client_of_python_makes_a_hundred_thousand_requests_on_one_connection() {
    check_http_client("", 1, "100000", 10_000_000);
}

#[test(root, "python3")]
fn http_clients_of_python_keep_their_connections_behind_loss() {
    check_http_client("--impair loss=2%,delay=1ms", 20, "3s", 300_001);
}

#[test(root, "python3")]
#[ignore = "minutes: make soak"]
fn http_clients_of_python_keep_their_connections_for_a_minute_behind_loss() {
    check_http_client("--impair loss=2%,delay=10ms", 20, "60s", 10_000_000);
}

lethe_harness::main!();
