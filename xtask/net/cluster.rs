//! Four servers in network namespaces behind one address, and a router that spreads packets over them.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use lethe_sim::sample::expected;
use nix::sys::signal::Signal;
use nix::unistd::User;
use tempfile::TempDir;

use crate::{Namespace, Program, Server, V4, binary, janitor, row};

/// Requests of one run of `ab`, unless more are wanted. As much as the figures in docs/cluster.md: 50000.
const REQUESTS: &str = "LETHE_CLUSTER_REQUESTS";

/// How long to wait for what takes some milliseconds, or a second.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// Servers.
const MEMBERS: usize = 4;

/// How closely a server is watched. On a busy machine, quick checks take live servers for dead.
pub struct Watch {
    /// How long the check waits for an answer.
    timeout: &'static str,
    /// Whether BFD is on.
    bfd: &'static str,
}

impl Watch {
    /// Notices a dead server within a second.
    pub const QUICK: Self = Self { timeout: "300ms", bfd: "on" };
    /// Takes no slow server for a dead one.
    pub const PATIENT: Self = Self { timeout: "10s", bfd: "off" };
}

/// Runs a closure when it is dropped, after a panic too.
pub struct Finally<F: Fn()>(pub F);

impl<F: Fn()> Drop for Finally<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// A machine that serves: Lethe at its interface, beside the kernel, and BIRD and the check on the kernel.
pub struct Member {
    /// Its server, while it runs.
    pub server: Option<Server>,
    _check: Program,
    bird: Program,
    /// Its network.
    pub space: Namespace,
    number: usize,
    secret: PathBuf,
    /// What it serves.
    app: String,
}

impl Member {
    /// A machine with everything but its server.
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
        let mut check = space.command(binary());
        check.args(["check", &format!("http://10.7.{number}.2/1"), "--every", "100ms", "--timeout", watch.timeout]);
        check.args(["--rise", "2", "--fall", "2", "--up", &birdc("enable"), "--down", &birdc("disable")]);
        let check = Program::start(check.stderr(Stdio::null())).unwrap();
        let secret = folder.join(format!("secret{number}"));
        Self { server: None, _check: check, bird, space, number, secret, app: app.to_owned() }
    }

    /// Starts its server, with these options.
    pub fn start(&mut self, options: &str) {
        let Self { number, app, .. } = self;
        let app = format!("--addr 10.7.{number}.2 --secret-file {} {options} {app}", self.secret.display());
        let mut server = Server::start_on(&self.space, &["--device", "packet:lethe0"], &app);
        // The third address.
        assert!(server.line().starts_with("listening on"));
        self.server = Some(server);
    }

    /// Kills its server.
    pub fn kill(&mut self) {
        self.server.take().unwrap().signal(Signal::SIGKILL);
    }

    /// Ends its BIRD, and nothing else.
    pub fn kill_bird(&mut self) {
        self.bird.kill();
    }

    /// The counters of its server, which ends with that.
    fn stop(&mut self) -> String {
        self.server.take().unwrap().stop()
    }

    fn write_secrets(&self, secrets: &[&str]) {
        fs::write(&self.secret, secrets.concat()).unwrap();
        fs::set_permissions(&self.secret, fs::Permissions::from_mode(0o600)).unwrap();
        // The server reads it again on SIGHUP, as this user.
        chown(&self.secret, User::from_name("nobody").unwrap().map(|user| user.uid.as_raw()), None).unwrap();
    }

    /// Has its server take other secrets.
    pub fn rotate(&mut self, secrets: &[&str]) {
        self.write_secrets(secrets);
        let server = self.server.as_mut().unwrap();
        server.signal(Signal::SIGHUP);
        let text = if secrets.len() == 1 { "one secret".to_owned() } else { format!("{} secrets", secrets.len()) };
        assert_eq!(server.line(), format!("reloaded: {text}\n"));
    }
}

/// Starts BIRD, which takes a configuration and a socket of this name.
fn start_bird(space: &Namespace, name: &Path, config: &str) -> Program {
    fs::write(name.with_extension("conf"), format!("log \"{}.log\" all;\n{config}", name.display())).unwrap();
    let mut command = space.command("bird");
    command.args("-f -c {0}.conf -s {0}.ctl".split(' ').map(|word| word.replace("{0}", &name.display().to_string())));
    Program::start(command.stdin(Stdio::null())).unwrap()
}

/// Clients, a router, and the servers behind it.
pub struct Cluster {
    /// The servers.
    pub members: Vec<Member>,
    _bird: Program,
    /// The network of the clients.
    pub client: Namespace,
    router: Namespace,
    _folder: TempDir,
}

/// The secret of all servers.
pub const FIRST: &str = "000102030405060708090a0b0c0d0e0f\n";
/// Another secret.
pub const SECOND: &str = "101112131415161718191a1b1c1d1e1f\n";

impl Cluster {
    /// A cluster whose servers are all announced. Each one checks `/1` on itself.
    pub fn new(app: &str, options: &str, watch: &Watch) -> Self {
        let folder = janitor::folder("cluster").unwrap();
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
    pub fn spread_packets(&self) {
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
    pub fn wait_for_route(&self, number: usize, there: bool) -> Duration {
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
    pub fn stop(&mut self) -> Vec<String> {
        self.members.iter_mut().map(Member::stop).collect()
    }

    /// Downloads a body with curl and these options, and compares every byte.
    #[track_caller]
    pub fn check_download(&self, base: &str, size: usize, options: &str) {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().display();
        self.client.run(&format!("curl -sSg --max-time 100 {options} -o {path} {base}/{size}"));
        let body = fs::read(file.path()).unwrap();
        assert!(body == expected(size), "{base}/{size}: {} others came", body.len());
    }

    /// Keeps 200 clients busy while something is done: how many requests were answered, in how many runs. None may
    /// fail.
    pub fn check_load(&mut self, work: impl FnOnce(&mut Self)) -> (usize, usize) {
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
    pub fn client_count(&self, name: &str) -> usize {
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
pub fn check_ab(client: &str, requests: usize) {
    let mut command = std::process::Command::new("ip");
    command.args(["netns", "exec", client, "timeout", "180", "ab", "-q", "-r", "-c", "200"]);
    let output = command.args(["-n", &requests.to_string(), &format!("{V4}/1000")]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let line = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map_or("none", str::trim);
    assert_eq!(line("Complete requests:"), requests.to_string(), "{output:?}");
    assert_eq!((line("Failed requests:"), line("Non-2xx responses:")), ("0", "none"), "{text}");
}

/// Prints what was counted, which docs/cluster.md quotes.
pub fn report(what: &str, requests: usize, runs: usize, again: usize, tables: &[String]) {
    let missed: usize = rows(tables, "missed:").iter().sum();
    let dropped: Vec<_> =
        tables.iter().flat_map(|table| table.lines().filter(|line| line.contains(" dropped "))).collect();
    println!(
        "{what}: {requests} requests in {runs} runs of ab, 0 failed, {again} segments sent again by the clients, \
         {missed} frames missed by the servers, dropped: {dropped:#?}"
    );
}

/// The sum of a row over several servers.
pub fn rows(tables: &[String], name: &str) -> Vec<usize> {
    tables.iter().map(|table| row(table, name)).collect()
}
