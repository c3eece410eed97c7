//! Real clients against the real `lethe` over a real TAP device, in network namespaces that the tests
//! make and remove. Needs root.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const V4: &str = "http://10.9.0.2";
const V6: &str = "http://[fd09::2]";

/// A network namespace, gone at the end of the test.
struct Namespace(String);

impl Namespace {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("lethe-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let made = Command::new("ip").args(["netns", "add", &name]).status().expect("ip is installed");
        assert!(made.success(), "network namespaces need root");
        let space = Self(name);
        space.run("ip link set lo up");
        space
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.0, program]);
        command
    }

    /// Runs a shell line, at most a minute of it, and returns what it printed.
    #[track_caller]
    fn run(&self, line: &str) -> String {
        let (success, text) = self.try_run(line);
        assert!(success, "{line}\n{text}");
        text
    }

    fn try_run(&self, line: &str) -> (bool, String) {
        let output = self.command("timeout").args(["60", "sh", "-c", line]).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    }

    /// Does something with sockets of this namespace.
    fn enter<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let path = format!("/var/run/netns/{}", self.0);
        // A namespace is a thread's own.
        std::thread::spawn(move || {
            setns(std::fs::File::open(path).unwrap(), CloneFlags::CLONE_NEWNET).unwrap();
            work()
        })
        .join()
        .unwrap()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.0]).status();
    }
}

/// A running `lethe serve`.
struct Server {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
}

impl Server {
    /// Serves 10.9.0.2 and `fd09::2`, and is ready on return. `app` may begin with more options.
    fn start(space: &Namespace, app: &str) -> Self {
        let device = "tap:lethe0,host=10.9.0.1/24,host=fd09::1/64";
        let mut child = space
            .command(env!("CARGO_BIN_EXE_lethe"))
            .args(["serve", "--device", device, "--addr", "10.9.0.2", "--addr", "fd09::2"])
            .args(app.split_whitespace())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        for _ in 0..2 {
            let mut line = String::new();
            output.read_line(&mut line).unwrap();
            assert!(line.starts_with("listening on http://"), "{line:?}");
        }
        Self { child, output }
    }

    /// Interrupts it, and returns what it prints on its way out.
    fn stop(mut self) -> String {
        self.signal(Signal::SIGINT);
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).unwrap();
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}: {rest}");
        rest
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
    }

    /// A line of `/proc/PID/status`.
    fn status(&self, key: &str) -> String {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
        line.trim_start_matches(':').trim().to_owned()
    }

    /// Memory that it has in use, in KiB.
    fn resident(&self) -> i64 {
        self.status("VmRSS").trim_end_matches("kB").trim().parse().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ipinfo() -> (Namespace, Server) {
    let space = Namespace::new();
    let server = Server::start(&space, "ipinfo");
    (space, server)
}

#[test]
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

#[test]
fn ping_and_arping_are_answered() {
    let (space, _server) = ipinfo();
    for ping in ["ping 10.9.0.2", "ping -s 1400 10.9.0.2", "ping -6 fd09::2", "ping -6 -s 1400 fd09::2"] {
        let text = space.run(&format!("{ping} -c 3 -i 0.1 -W 2"));
        assert!(text.contains("3 received, 0% packet loss"), "{text}");
    }
    let text = space.run("arping -c 2 -I lethe0 10.9.0.2");
    assert!(text.contains("02:4C:65:74:68:65") && text.contains("Received 2 response"), "{text}");
    // Somebody who would like the address is told that it is taken.
    assert!(!space.try_run("arping -D -c 1 -I lethe0 10.9.0.2").0);
}

#[test]
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

#[test]
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

#[test]
fn a_request_in_two_segments_is_answered_once_and_right() {
    let (space, server) = ipinfo();
    for server in ["10.9.0.2:80", "[fd09::2]:80"] {
        let reply = space.enter(move || {
            let mut stream = TcpStream::connect(server).unwrap();
            stream.set_nodelay(true).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            stream.write_all(b"GET /202.96").unwrap();
            std::thread::sleep(Duration::from_millis(50));
            stream.write_all(b".128.86 HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
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

#[test]
fn a_half_closed_connection_gets_its_response() {
    let (space, _server) = ipinfo();
    for address in ["10.9.0.2", "fd09::2"] {
        let start = Instant::now();
        let reply = space.run(&format!("printf 'GET /8.8.8.8 HTTP/1.0\\r\\n\\r\\n' | nc -N {address} 80"));
        assert!(reply.ends_with("美国\n"), "{reply}");
        assert!(start.elapsed() < Duration::from_secs(5));
        // No request at all: both ends close, and nobody waits for anything.
        assert_eq!(space.run(&format!("nc -N {address} 80 </dev/null")), "");
    }
    let closed =
        "for _ in $(seq 50); do ss -Htan state established state fin-wait-1 state last-ack | grep -q . || exit 0;
         sleep 0.1; done; ss -tan; exit 1";
    space.run(closed);
}

#[test]
fn a_reply_of_20_kilobytes_comes_in_fragments() {
    let space = Namespace::new();
    let server = Server::start(&space, "sample");
    for address in ["10.9.0.2:80", "[fd09::2]:80"] {
        let address: SocketAddr = address.parse().unwrap();
        let reply = space.enter(move || {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            stream.write_all(b"GET /20000 HTTP/1.1\r\n\r\n").unwrap();
            let mut reply = Vec::new();
            stream.read_to_end(&mut reply).unwrap();
            reply
        });
        assert!(reply.ends_with(&lethe_apps::sample::expected(20_000)), "{} bytes", reply.len());
    }
    for (file, name) in [("snmp", "Ip:"), ("snmp6", "Ip6ReasmOKs")] {
        let text = space.run(&format!("cat /proc/net/{file}"));
        assert!(text.contains(name), "{text}");
    }
    assert!(space.run("grep Ip6ReasmOKs /proc/net/snmp6").trim_end().ends_with('1'), "IPv6 was reassembled");
    drop(server);
}

#[test]
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
#[test]
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
        stream.write_all(b"GET /8.8.8.8 HTTP/1.1\r\n\r\n").unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        reply
    });
    assert!(reply.ends_with("美国\n"), "{reply}");
}

#[test]
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
