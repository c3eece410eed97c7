//! Four servers behind one address: a router spreads packets over them by flow or one by one, BGP tells it which are
//! there, `lethe check` tells BGP. Needs root, BIRD and nft.
//!
//! docs/cluster.md has the same configuration, explained.

#[path = "support/space.rs"]
mod space;

use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::sleep;
use std::time::{Duration, Instant};

use lethe_apps::sample::expected;
use nix::sys::signal::Signal;
use nix::unistd::User;
use space::{Namespace, Server, V4, V6};
use tempfile::TempDir;

/// Requests of one run of `ab`, if nobody wants more. As much as the figures in docs/cluster.md: 50000.
const REQUESTS: &str = "LETHE_CLUSTER_REQUESTS";

/// How soon something must have come about that takes some milliseconds or a second.
const PATIENCE: Duration = Duration::from_mins(1);

/// Servers.
const MEMBERS: usize = 4;

/// Something that runs until the test is over.
struct Background(Child);

impl Background {
    /// Runs a program, with arguments that are separated by spaces.
    fn start(space: &Namespace, program: &str, arguments: &str) -> Self {
        let mut command = space.command(program);
        Self(command.args(arguments.split(' ')).stdin(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// How closely a server is watched. On a busy machine a quick one takes some for dead that are not.
struct Watch {
    /// How long the check waits for an answer.
    timeout: &'static str,
    /// Whether BFD is on.
    bfd: &'static str,
}

impl Watch {
    const QUICK: Self = Self { timeout: "300ms", bfd: "on" };
    const PATIENT: Self = Self { timeout: "10s", bfd: "off" };
}

/// Does something when it goes, however that comes.
struct Finally<F: Fn()>(F);

impl<F: Fn()> Drop for Finally<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// A machine that serves: Lethe at its interface, beside the kernel, and BIRD and the check on the kernel.
struct Member {
    server: Option<Server>,
    _check: Background,
    bird: Background,
    space: Namespace,
    number: usize,
    secret: PathBuf,
    /// What it serves.
    app: String,
}

impl Member {
    /// One with everything but its server.
    fn new(number: usize, router: &Namespace, folder: &Path, app: &str, watch: &Watch) -> Self {
        let space = Namespace::new();
        space.run(&format!(
            "sysctl -qw net.ipv6.conf.default.accept_dad=0
             ip link add lethe0 type veth peer name s{number} netns {router}
             ip addr add 10.7.{number}.1/24 dev lethe0
             ip addr add fd07:{number}::1/64 dev lethe0 nodad
             ip link set lethe0 up
             ip route add default via 10.7.{number}.254
             ip route add default via fd07:{number}::254
             ip route add 10.7.{number}.2 via 10.7.{number}.254",
            router = router.name()
        ));
        router.run(&format!(
            "ip addr add 10.7.{number}.254/24 dev s{number}
             ip addr add fd07:{number}::254/64 dev s{number} nodad
             ip link set s{number} up"
        ));
        let bfd = watch.bfd;
        let config = format!(
            "router id 10.7.{number}.1;
             protocol device {{ }}
             protocol bfd {{ interface \"*\" {{ interval 200 ms; multiplier 10; }}; }}
             protocol static service4 {{ disabled; ipv4; route 10.9.0.2/32 blackhole; }}
             protocol static service6 {{ disabled; ipv6; route fd09::2/128 blackhole; }}
             protocol bgp uplink {{
                 local 10.7.{number}.1 as 65001;
                 neighbor 10.7.{number}.254 as 65000;
                 bfd {bfd};
                 connect delay time 1;
                 error wait time 1, 5;
                 ipv4 {{ import none; export all; }};
                 ipv6 {{ import none; export all; }};
             }}"
        );
        let bird = start_bird(&space, &folder.join(format!("s{number}")), &config);
        let birdc =
            |verb: &str| format!("birdc -s {}/s{number}.ctl {verb} '\"service*\"' >/dev/null", folder.display());
        let mut check = space.command(env!("CARGO_BIN_EXE_lethe"));
        check.args(["check", &format!("http://10.7.{number}.2/1"), "--every", "100ms", "--timeout", watch.timeout]);
        check.args(["--rise", "2", "--fall", "2", "--up", &birdc("enable"), "--down", &birdc("disable")]);
        let check = Background(check.stderr(Stdio::null()).spawn().unwrap());
        let secret = folder.join(format!("secret{number}"));
        Self { server: None, _check: check, bird, space, number, secret, app: app.to_owned() }
    }

    fn start(&mut self, options: &str) {
        let Self { number, app, .. } = self;
        let app = format!("--addr 10.7.{number}.2 --secret-file {} {options} {app}", self.secret.display());
        let mut server = Server::start_on(&self.space, &["--device", "packet:lethe0"], &app);
        // The third address.
        assert!(server.line().starts_with("listening on"));
        self.server = Some(server);
    }

    fn kill(&mut self) {
        self.server.take().unwrap().signal(Signal::SIGKILL);
    }

    /// The counters of its server, which ends with that.
    fn stop(&mut self) -> String {
        self.server.take().unwrap().stop()
    }

    fn write_secrets(&self, secrets: &[&str]) {
        fs::write(&self.secret, secrets.concat()).unwrap();
        fs::set_permissions(&self.secret, fs::Permissions::from_mode(0o600)).unwrap();
        // Who reads it again on SIGHUP.
        chown(&self.secret, User::from_name("nobody").unwrap().map(|user| user.uid.as_raw()), None).unwrap();
    }

    /// Has its server take other secrets.
    fn rotate(&mut self, secrets: &[&str]) {
        self.write_secrets(secrets);
        let server = self.server.as_mut().unwrap();
        server.signal(Signal::SIGHUP);
        let text = if secrets.len() == 1 { "one secret".to_owned() } else { format!("{} secrets", secrets.len()) };
        assert_eq!(server.line(), format!("reloaded: {text}\n"));
    }
}

/// Starts BIRD, which takes a configuration and a socket of this name.
fn start_bird(space: &Namespace, name: &Path, config: &str) -> Background {
    fs::write(name.with_extension("conf"), format!("log \"{}.log\" all;\n{config}", name.display())).unwrap();
    Background::start(space, "bird", &format!("-f -c {0}.conf -s {0}.ctl", name.display()))
}

/// Clients, a router, and the servers behind it.
struct Cluster {
    members: Vec<Member>,
    _bird: Background,
    client: Namespace,
    router: Namespace,
    _folder: TempDir,
}

const FIRST: &str = "000102030405060708090a0b0c0d0e0f\n";
const SECOND: &str = "101112131415161718191a1b1c1d1e1f\n";

impl Cluster {
    /// One whose servers are all announced. They check `/1` with themselves.
    fn new(app: &str, options: &str, watch: &Watch) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let (client, router) = (Namespace::new(), Namespace::new());
        router.run(
            "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
             sysctl -qw net.ipv6.conf.default.accept_dad=0
             sysctl -qw net.ipv4.fib_multipath_hash_policy=1 net.ipv6.fib_multipath_hash_policy=1
             sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0
             sysctl -qw net.ipv4.conf.all.send_redirects=0 net.ipv4.conf.default.send_redirects=0",
        );
        client.run(&format!("ip link add client0 type veth peer name client0 netns {}", router.name()));
        for (space, host) in [(&client, 1), (&router, 254)] {
            space.run(&format!(
                "ip addr add 10.8.0.{host}/24 dev client0
                 ip addr add fd08::{host}/64 dev client0 nodad
                 ip link set client0 up"
            ));
        }
        client.run("ip route add default via 10.8.0.254; ip route add default via fd08::254");
        let mut members: Vec<_> =
            (1..=MEMBERS).map(|number| Member::new(number, &router, folder.path(), app, watch)).collect();
        let bird = start_bird(&router, &folder.path().join("router"), &router_config(watch));
        for member in &mut members {
            member.write_secrets(&[FIRST]);
            member.start(options);
        }
        let cluster = Self { members, _bird: bird, client, router, _folder: folder };
        for number in 1..=MEMBERS {
            cluster.wait_for_route(number, true);
        }
        cluster
    }

    /// Has the router send each packet to the next server, whatever flow it belongs to.
    fn spread_packets(&self) {
        for number in 1..=MEMBERS {
            for family in ["-4", "-6"] {
                self.router.run(&format!("ip {family} rule add pref 10{number} fwmark 10{number} lookup 10{number}"));
            }
        }
        self.router.run(
            "nft -f - <<'END'
             table inet spread {
                 chain prerouting {
                     type filter hook prerouting priority mangle
                     ip daddr 10.9.0.2 meta mark set numgen inc mod 4 offset 101
                     ip6 daddr fd09::2 meta mark set numgen inc mod 4 offset 101
                 }
             }
END",
        );
    }

    /// Waits until a server is announced, or no longer, for both addresses; how long that took.
    #[track_caller]
    fn wait_for_route(&self, number: usize, there: bool) -> Duration {
        let since = Instant::now();
        let table = format!("ip route show table 10{number}; ip -6 route show table 10{number}");
        loop {
            let (_, text) = self.router.try_run(&table);
            let routes = text.lines().filter(|line| line.contains("via")).count();
            if routes == if there { 2 } else { 0 } {
                return since.elapsed();
            }
            assert!(since.elapsed() < PATIENCE, "server {number}, announced {there}: {text}");
            sleep(Duration::from_millis(5));
        }
    }

    /// The counters of all servers, which end with that.
    fn stop(&mut self) -> Vec<String> {
        self.members.iter_mut().map(Member::stop).collect()
    }

    #[track_caller]
    fn check_download(&self, base: &str, size: usize, options: &str) {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().display();
        self.client.run(&format!("curl -sSg --max-time 100 {options} -o {path} {base}/{size}"));
        let body = fs::read(file.path()).unwrap();
        assert!(body == expected(size), "{base}/{size}: {} others came", body.len());
    }

    /// Keeps 200 clients busy while something is done: how many requests were answered, in how many runs. None may fail.
    fn check_load(&mut self, work: impl FnOnce(&mut Self)) -> (usize, usize) {
        let over = AtomicBool::new(false);
        let requests: usize = std::env::var(REQUESTS).map_or(5000, |text| text.parse().expect("a number"));
        let client = self.client.name().to_owned();
        std::thread::scope(|scope| {
            let load = scope.spawn(|| {
                let mut runs = 0;
                while runs == 0 || !over.load(Ordering::Relaxed) {
                    check_ab(&client, requests);
                    runs += 1;
                }
                (runs * requests, runs)
            });
            // Also when it panics: the scope waits for its threads.
            let done = Finally(|| over.store(true, Ordering::Relaxed));
            work(self);
            drop(done);
            load.join().unwrap()
        })
    }

    /// What the clients' kernel has counted under this name.
    fn client_count(&self, name: &str) -> usize {
        let text = self.client.run(&format!("nstat -asz {name} | awk '$1 == \"{name}\" {{ print $2 }}'"));
        text.trim().parse().unwrap_or_else(|_| panic!("{name}: {text:?}"))
    }
}

/// BIRD's of the router: a table for each server, and one for all, with several ways for one address.
fn router_config(watch: &Watch) -> String {
    let bfd = watch.bfd;
    let mut config = "router id 10.8.0.254;
        protocol device { }
        protocol bfd { interface \"*\" { interval 200 ms; multiplier 10; }; }
        protocol kernel { merge paths on; ipv4 { import none; export all; }; }
        protocol kernel { merge paths on; ipv6 { import none; export all; }; }\n"
        .to_owned();
    for number in 1..=MEMBERS {
        let _ = write!(
            config,
            "ipv4 table only4_{number};
             ipv6 table only6_{number};
             protocol pipe {{ table master4; peer table only4_{number}; import all; export none; }}
             protocol pipe {{ table master6; peer table only6_{number}; import all; export none; }}
             protocol kernel {{ kernel table 10{number}; ipv4 {{ table only4_{number}; import none; export all; }}; }}
             protocol kernel {{ kernel table 10{number}; ipv6 {{ table only6_{number}; import none; export all; }}; }}
             protocol bgp s{number} {{
                 local 10.7.{number}.254 as 65000;
                 neighbor 10.7.{number}.1 as 65001;
                 bfd {bfd};
                 connect delay time 1;
                 error wait time 1, 5;
                 ipv4 {{ table only4_{number}; import where net = 10.9.0.2/32; export none; }};
                 ipv6 {{ table only6_{number}; import where net = fd09::2/128; export none; }};
             }}\n"
        );
    }
    config
}

/// 200 clients at a time, none of which may fail.
#[track_caller]
fn check_ab(client: &str, requests: usize) {
    let mut command = std::process::Command::new("ip");
    command.args(["netns", "exec", client, "timeout", "180", "ab", "-q", "-r", "-c", "200"]);
    let output = command.args(["-n", &requests.to_string(), &format!("{V4}/1000")]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let line = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map_or("none", str::trim);
    assert_eq!(line("Complete requests:"), requests.to_string(), "{output:?}");
    assert_eq!((line("Failed requests:"), line("Non-2xx responses:")), ("0", "none"), "{text}");
}

/// Says what was counted: docs/cluster.md quotes it.
fn report(what: &str, requests: usize, runs: usize, again: usize, tables: &[String]) {
    let missed: usize = rows(tables, "missed:").iter().sum();
    let dropped: Vec<_> =
        tables.iter().flat_map(|table| table.lines().filter(|line| line.contains(" dropped "))).collect();
    println!(
        "{what}: {requests} requests in {runs} runs of ab, 0 failed, {again} segments sent again by the clients, \
         {missed} frames missed by the servers, dropped: {dropped:#?}"
    );
}

/// A row of what a server prints at its end; zero, if it is not there.
fn row(table: &str, name: &str) -> usize {
    let row = table.lines().find(|line| line.split_whitespace().nth(2) == Some(name));
    row.map_or(0, |row| row.split_whitespace().next().unwrap().parse().unwrap())
}

fn rows(tables: &[String], name: &str) -> Vec<usize> {
    tables.iter().map(|table| row(table, name)).collect()
}

#[test]
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

#[test]
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
            "packet by packet {by_packet}: 5 MB in {:?} ({:?} to {:?}), {resent} times something sent again for 21 of them",
            times[10], times[0], times[20]
        );
    }
}

#[test]
fn by_flow_each_connection_stays_with_one_server() {
    let mut cluster = Cluster::new("sample", "", &Watch::PATIENT);
    check_ab(cluster.client.name(), 1000);
    cluster.check_download(V6, 100_000, "");
    let tables = cluster.stop();
    // But for what was sent again, each has answered whom it has greeted.
    for table in &tables {
        let greeted = row(table, "syn-ack");
        assert!(greeted > 100 && row(table, "response").abs_diff(greeted) < 100, "{table}");
    }
    let windows = rows(&tables, "next-window");
    assert_eq!(windows.iter().filter(|&&windows| windows > 0).count(), 1, "{windows:?}");
}

#[test]
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
    assert!(again > 0, "nobody was served by the one that was killed");
    println!("withdrawn after {:?}, announced after {:?}", times[0], times[1]);
    let tables = cluster.stop();
    assert!(rows(&tables, "response").iter().all(|&responses| responses > 0), "{tables:?}");
    report("one killed and another started", requests, runs, again, &tables);
}

/// Whoever is silent cannot withdraw anything: BFD (RFC 5880) does.
#[test]
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
    cluster.members[2].bird.0.kill().unwrap();
    println!("BIRD ended: withdrawn after {:?}", cluster.wait_for_route(3, false));
    check_ab(cluster.client.name(), 200);
}

/// What comes for 5 MB, to a reader that says when it has begun, and waits until it may go on.
fn fetch_in_two(address: &str, begun: &Sender<()>, may_go_on: &Receiver<()>) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"GET /5000000 HTTP/1.1\r\nHost: lethe\r\n\r\n").unwrap();
    let mut body = vec![0; 100_000];
    stream.read_exact(&mut body).unwrap();
    begun.send(()).unwrap();
    may_go_on.recv().unwrap();
    stream.read_to_end(&mut body).unwrap();
    body
}

#[test]
fn no_request_fails_while_the_secret_is_rotated() {
    let mut cluster = Cluster::new("sample", "", &Watch::PATIENT);
    cluster.spread_packets();
    let (requests, runs) = cluster.check_load(|cluster| {
        let steps: [&[&str]; 2] = [&[FIRST, SECOND], &[SECOND, FIRST]];
        let (client, members) = (&cluster.client, &mut cluster.members);
        std::thread::scope(|scope| {
            // They begin under the first secret, and end when all new ones begin under the second.
            let downloads = ["10.9.0.2:80", "[fd09::2]:80"].map(|address| {
                let (begun, has_begun) = mpsc::channel();
                let (go_on, may_go_on) = mpsc::channel();
                let body = scope.spawn(move || client.enter(move || fetch_in_two(address, &begun, &may_go_on)));
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
#[test]
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
