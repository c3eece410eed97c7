//! HTTPS by each terminator of docs/https.md in front of Lethe, with the configuration that is there. Needs root.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::panic::resume_unwind;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{scope, sleep};
use std::time::Duration;

use lethe_harness::test;
use lethe_testnet::cluster::{FIRST, Finally};
use lethe_testnet::terminator::{Terminator, certificate};
use lethe_testnet::{Namespace, Program, Server, binary, content, janitor, row};
use tempfile::TempDir;

/// Lengths of files: one segment, four, and more than a first window, twice.
const LENGTHS: [usize; 4] = [200, 5_000, 300_000, 2_000_000];

/// What a client asks for, over and over: mostly short files.
const MIXED: [usize; 16] =
    [200, 200, 5_000, 200, 300_000, 200, 200, 5_000, 200, 2_000_000, 200, 200, 300_000, 5_000, 200, 200];

/// Clients at a time, each a curl with one connection: every other one has HTTP/2.
const CLIENTS: usize = 4;

/// Connections to Lethe that may be made for a thousand requests: health checks, and one for each client and worker.
const FEW: usize = 50;

/// A machine with a terminator, and two TAP devices for servers.
struct Place {
    space: Namespace,
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        let (space, folder) = (Namespace::new(), janitor::folder("https").unwrap());
        let site = folder.path().join("site");
        fs::create_dir(&site).unwrap();
        janitor::open_to_all(&site).unwrap();
        fs::write(site.join("index.html"), "hello\n").unwrap();
        for len in LENGTHS {
            fs::write(site.join(len.to_string()), content(len)).unwrap();
        }
        let secret = folder.path().join("secret");
        fs::write(&secret, FIRST).unwrap();
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
        certificate(&space, folder.path()).unwrap();
        // They stay when a server is killed, as a card does.
        for number in [0, 1] {
            space.run(&format!(
                "ip tuntap add lethe{number} mode tap
                 ip addr add 10.9.{number}.1/24 dev lethe{number}; ip link set lethe{number} up"
            ));
            space.patient_neighbors(&format!("lethe{number}")).unwrap();
        }
        Self { space, folder }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Lethe on the device of this number, at this address.
    fn serve(&self, number: usize, address: &str, app: &str) -> Server {
        let mut command = self.space.command(binary());
        command.args(["serve", "--device", &format!("tap:lethe{number}"), "--addr", address, "--keep-alive", "on"]);
        command.arg("--secret-file").arg(self.path().join("secret")).args(app.split_whitespace());
        Server::launch(&mut command, 1).unwrap()
    }

    /// Lethe at 10.9.NUMBER.2, with the files.
    fn serve_files(&self, number: usize) -> Server {
        let site = self.path().join("site");
        self.serve(number, &format!("10.9.{number}.2"), &format!("files {}", site.display()))
    }

    fn start(&self, terminator: Terminator, config: &str) -> Program {
        let program = terminator.start(&self.space, self.path(), config, &[]).unwrap();
        // Until its health checks have found the servers.
        let line = format!("{} --retry 20 --retry-all-errors --retry-delay 1 https://localhost/", self.curl());
        assert_eq!(self.space.run(&line), "hello\n", "{terminator:?}");
        program
    }

    /// The beginning of a command.
    fn curl(&self) -> String {
        format!("curl -sS --fail --max-time 60 --cacert {}", self.path().join("cert.pem").display())
    }

    /// One curl asks for so many files, one after the other, and each must be what it is on the disk.
    fn fetch(&self, client: usize, files: &[usize], count: usize) {
        let folder = self.path().join(format!("client{client}"));
        fs::create_dir_all(&folder).unwrap();
        let wanted: Vec<usize> = (0..count).map(|number| files[(number + 5 * client) % files.len()]).collect();
        let line = |(number, len): (usize, &usize)| {
            format!("url = \"https://localhost/{len}\"\noutput = \"{}/{number}\"\n", folder.display())
        };
        let config: String = wanted.iter().enumerate().map(line).collect();
        fs::write(folder.join("config"), config).unwrap();
        let version = if client.is_multiple_of(2) { "--http1.1" } else { "--http2" };
        let list = folder.join("config");
        self.space.run(&format!("{} {version} --fail-early -K {}", self.curl(), list.display()));
        for (number, &len) in wanted.iter().enumerate() {
            let path = folder.join(number.to_string());
            assert!(fs::read(&path).unwrap() == content(len), "client {client}, request {number}: not {len} bytes");
            fs::remove_file(path).unwrap();
        }
    }

    /// Clients ask for files while something is done, each for at least `count`. None may fail. How many requests they
    /// made.
    fn fetch_during(&self, files: &[usize], count: usize, work: impl FnOnce()) -> usize {
        let (over, requests) = (AtomicBool::new(false), AtomicUsize::new(0));
        scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS)
                .map(|client| {
                    let (over, requests) = (&over, &requests);
                    scope.spawn(move || {
                        loop {
                            // Before the files are asked for: the last ones are asked for when all is done.
                            let is_last = over.load(Ordering::Relaxed);
                            self.fetch(client, files, count);
                            requests.fetch_add(count, Ordering::Relaxed);
                            if is_last {
                                break;
                            }
                        }
                    })
                })
                .collect();
            // Also when it panics: the scope waits for its threads.
            let done = Finally(|| over.store(true, Ordering::Relaxed));
            work();
            drop(done);
            for client in clients {
                client.join().unwrap_or_else(|panic| resume_unwind(panic));
            }
        });
        requests.load(Ordering::Relaxed)
    }
}

/// Kills a server, and starts another after a while.
fn replace(server: &mut Server, after: Duration, start: impl FnOnce() -> Server) {
    server.kill();
    sleep(after);
    *server = start();
}

#[test(root, "curl", "openssl", "nginx", "haproxy", "caddy")]
fn responses_are_those_of_a_direct_fetch_over_both_versions() {
    for terminator in Terminator::ALL {
        let place = Place::new();
        let server = place.serve_files(0);
        let _program = place.start(terminator, &terminator.config().unwrap());
        let curl = place.curl();
        for (option, version) in [("--http1.1", "1.1"), ("--http2", "2")] {
            let said =
                place.space.run(&format!("{curl} {option} -o /dev/null -w '%{{http_version}}' https://localhost/"));
            assert_eq!(said, version, "{terminator:?}");
            for len in LENGTHS.into_iter().chain(LENGTHS) {
                let compared = format!(
                    "curl -sS http://10.9.0.2/{len} >direct; {curl} {option} https://localhost/{len} >through
                     test $(wc -c <direct) = {len}; cmp direct through"
                );
                place.space.run(&format!("set -e; cd {}; {compared}", place.path().display()));
            }
            let ask = |more: &str| place.space.run(&format!("{curl} {option} {more}"));
            let head = ask("-I https://localhost/2000000").to_lowercase();
            assert!(head.contains("content-length: 2000000\r\n"), "{terminator:?}: {head}");
            let tag = head.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap();
            let code = "-o /dev/null -w '%{http_code}'";
            assert_eq!(ask(&format!("{code} -H 'If-None-Match: {tag}' https://localhost/2000000")), "304");
            let (_, missing) = place.space.try_run(&format!("{curl} {option} {code} https://localhost/missing"));
            assert!(missing.contains("404"), "{terminator:?}: {missing}");
        }
        server.stop();
    }
}

#[test(root, "curl", "openssl", "nginx", "haproxy", "caddy")]
fn a_thousand_requests_go_through_few_connections() {
    for terminator in Terminator::ALL {
        let place = Place::new();
        let server = place.serve_files(0);
        let _program = place.start(terminator, &terminator.config().unwrap());
        let requests = place.fetch_during(&[200], 300, || {});
        let table = server.stop();
        let (responses, connections) = (row(&table, "response"), row(&table, "syn-ack"));
        println!("{terminator:?}: {requests} requests, {responses} responses, {connections} connections");
        assert!(responses > requests && requests >= 1200 && connections <= FEW, "{terminator:?}: {table}");
    }
}

#[test(root, "curl", "openssl", "nginx", "haproxy", "caddy")]
fn no_request_fails_while_lethe_is_killed_and_started_again() {
    for terminator in Terminator::ALL {
        let place = Place::new();
        let mut server = place.serve_files(0);
        let _program = place.start(terminator, &terminator.config().unwrap());
        let requests = place.fetch_during(&MIXED, 80, || {
            for _ in 0..2 {
                sleep(Duration::from_millis(300));
                replace(&mut server, Duration::from_millis(300), || place.serve_files(0));
            }
        });
        let table = server.stop();
        println!("{terminator:?}: {requests} requests, the last server: {} responses", row(&table, "response"));
        assert!(row(&table, "response") > 0 && row(&table, "first-window") > 0, "{terminator:?}: {table}");
    }
}

#[test(root, "curl", "openssl", "nginx", "haproxy", "caddy")]
fn no_request_fails_while_one_of_two_servers_is_killed_and_then_the_other() {
    for terminator in Terminator::ALL {
        let place = Place::new();
        let mut servers = [0, 1].map(|number| place.serve_files(number));
        let _program = place.start(terminator, &terminator.config_of_two().unwrap());
        let requests = place.fetch_during(&MIXED, 80, || {
            // The second one goes when the first one is known to be back.
            for (number, wait, down) in [(0, 500, 1500), (1, 2500, 500)] {
                sleep(Duration::from_millis(wait));
                replace(&mut servers[number], Duration::from_millis(down), || place.serve_files(number));
            }
        });
        let tables = servers.map(Server::stop);
        println!("{terminator:?}: {requests} requests, {:?} responses", tables.each_ref().map(|t| row(t, "response")));
        assert!(tables.iter().all(|table| row(table, "response") > 0), "{terminator:?}: {tables:?}");
    }
}

#[test(root, "curl", "openssl", "nginx", "haproxy", "caddy", "nft")]
fn no_request_fails_where_two_servers_behind_one_address_get_packets_in_turn() {
    for terminator in Terminator::ALL {
        let place = Place::new();
        let app = format!("files {}", place.path().join("site").display());
        let servers = [0, 1].map(|number| place.serve(number, "10.9.0.2", &app));
        for number in [0, 1] {
            place.space.run(&format!(
                "echo 0 >/proc/sys/net/ipv4/conf/lethe{number}/rp_filter; echo 0 >/proc/sys/net/ipv4/conf/all/rp_filter
                 ip rule add pref 10{number} fwmark 10{number} lookup 10{number}
                 ip route add table 10{number} 10.9.0.2 dev lethe{number} src 10.9.0.1"
            ));
        }
        place.space.run(
            "nft -f - <<'END'
             table inet turns {
                 chain out {
                     type route hook output priority mangle
                     ip daddr 10.9.0.2 meta mark set numgen inc mod 2 offset 100
                 }
             }
END",
        );
        let _program = place.start(terminator, &terminator.config().unwrap());
        let small = place.fetch_during(&[200], 100, || {});
        let requests = small + place.fetch_during(&MIXED, 48, || {});
        let responses = servers.map(Server::stop).map(|table| row(&table, "response"));
        println!("{terminator:?}: {requests} requests, {responses:?} responses");
        assert!(responses.iter().all(|&count| count > small / 4), "{terminator:?}: {responses:?}");
    }
}

#[test(root, "curl", "openssl", "nginx", "haproxy", "caddy")]
fn ipinfo_shows_the_terminator_unless_it_is_told_the_client() {
    for terminator in Terminator::ALL {
        let place = Place::new();
        let server = place.serve(0, "10.9.0.2", "ipinfo");
        let fetch = |config: String, target: &str| {
            let _program = terminator.start(&place.space, place.path(), &config, &[]).unwrap();
            let more = "-4 -H 'X-Forwarded-For: 8.8.8.8' --retry 20 --retry-all-errors --retry-delay 1";
            // A private address is a 404, with a page about it.
            place.space.run(&format!("{} {more} 'https://localhost/{target}'", place.curl().replace("--fail ", "")))
        };
        for (config, target, shown) in [
            (terminator.config(), "", "10.9.0.1"),
            (terminator.config_with_address(), "", "127.0.0.1"),
            (terminator.config_with_address(), "?ip=9.9.9.9", "9.9.9.9"),
        ] {
            let page = fetch(config.unwrap(), target);
            assert!(page.contains(&format!("<h1>{shown}</h1>")), "{terminator:?}, {target:?}: {page}");
        }
        server.stop();
    }
}

lethe_harness::main!();
