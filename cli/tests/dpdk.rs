//! `lethe serve --device dpdk:0` over DPDK's virtual devices: real clients through the kernel's interfaces, and
//! captures from file to file. Needs root. Every server is a process with an EAL of its own.

#[path = "support/outside.rs"]
mod outside;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use lethe_harness::test;
use lethe_sim::capture::{Packet, Reader};
use lethe_sim::sample::expected;
use lethe_testnet::capture::{Capture, data_segments};
use lethe_testnet::{Namespace, Server, V4, V6};
use nix::sys::signal::Signal;
use nix::unistd::User;
use outside::Template;

/// How long a server may take to handle what it is sent.
const PATIENCE: Duration = Duration::from_secs(20);

/// An EAL of its own, which leaves nothing behind in `/run`.
struct Prefix(String);

impl Prefix {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        Self(format!("lethe-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed)))
    }

    /// Arguments of an EAL that sees no card of the machine, and has one virtual device.
    fn eal(&self, vdev: &str) -> String {
        format!("--eal=--no-pci --no-huge -m 128 --no-telemetry --file-prefix {} -l 0 --vdev {vdev}", self.0)
    }

    /// Arguments of such an EAL with two lcores.
    fn eal_of_two(&self, vdev: &str) -> String {
        self.eal(vdev).replace("-l 0", "-l 0,1")
    }
}

impl Drop for Prefix {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(format!("/var/run/dpdk/{}", self.0));
    }
}

/// The commands that make `lethe0`, which the server has, with `client0` at the other end.
const VETH: &str = "
    ip link add lethe0 type veth peer name client0
    sysctl -qw net.ipv6.conf.lethe0.disable_ipv6=1 net.ipv6.conf.client0.accept_dad=0
    ethtool -K client0 tx off >/dev/null
    ip link set lethe0 up";

/// The commands that make the client's end ready.
const CLIENT: &str = "
    ip addr add 10.9.0.1/24 dev client0
    ip link set client0 up
    ip addr add fd09::1/64 dev client0 nodad";

/// What any driver has to do: pages and pings over both families, many requests, long responses. `before` and `after`
/// the server is started the client's interface is made.
fn check(vdev: &str, before: &str, after: &str) {
    let (space, prefix) = (Namespace::new(), Prefix::new());
    space.run(before);
    let server = Server::start_on(&space, &["--device", "dpdk:0", &prefix.eal(vdev)], "sample");
    space.run(after);
    let folder = tempfile::tempdir().unwrap();
    let download = |size: usize, times: usize| {
        let expect = folder.path().join("expect");
        fs::write(&expect, expected(size).repeat(times)).unwrap();
        for base in [V4, V6] {
            let curl = format!("for _ in $(seq {times}); do curl -sSg --max-time 20 '{base}/{size}'; done");
            space.run(&format!("({curl}) | cmp - {}", expect.display()));
        }
    };
    download(100, 1);
    for ping in ["ping 10.9.0.2", "ping -s 1400 10.9.0.2", "ping -6 fd09::2", "ping -6 -s 1400 fd09::2"] {
        let text = space.run(&format!("{ping} -c 3 -i 0.1 -W 2"));
        assert!(text.contains("3 received, 0% packet loss"), "{text}");
    }
    let text = space.run(&format!("ab -q -r -n 2000 -c 50 {V4}/100"));
    let line = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map_or("none", str::trim);
    assert_eq!((line("Complete requests:"), line("Failed requests:")), ("2000", "0"), "{text}");
    download(100_000, 3);
    let table = server.stop();
    let count = |what: &str| count(&table, what);
    assert_eq!(count("frames in, "), count("by the card's count: frames in"), "{table}");
    assert_eq!(count("frames out, "), count("by the card's count: frames out"), "{table}");
    // The driver of AF_XDP keeps the buffers that it was to receive into.
    if !vdev.starts_with("net_af_xdp") {
        assert_eq!(count("not given back"), 0, "{table}");
    }
}

/// The number in front of the line of the table that has this in it.
#[track_caller]
fn count(table: &str, what: &str) -> u64 {
    let line = table.lines().find(|line| line.contains(what));
    line.and_then(|line| line.split_whitespace().next())
        .and_then(|word| word.parse().ok())
        .unwrap_or_else(|| panic!("{table}"))
}

#[test(root, "curl", "ab", "ping")]
fn clients_are_served_through_af_packet() {
    check("net_af_packet0,iface=lethe0,framesz=2048", VETH, CLIENT);
}

#[test(root, "curl", "ab", "ping")]
fn clients_are_served_through_af_xdp() {
    check("net_af_xdp0,iface=lethe0,force_copy=1", VETH, CLIENT);
}

#[test(root, "curl", "ab", "ping")]
fn clients_are_served_through_a_tap_of_dpdk() {
    check("net_tap0,iface=client0", "", CLIENT);
}

/// What `tso=on` sends in a frame, `net_tap` cuts where it is of IPv4, and hands to the kernel as it is where it is of
/// IPv6.
#[test(root, "curl", "sha256sum", "tcpdump")]
fn two_segments_go_in_a_frame_that_the_driver_cuts() {
    const SIZE: usize = 1_000_000;
    let (space, prefix) = (Namespace::new(), Prefix::new());
    let eal = prefix.eal("net_tap0,iface=client0");
    let server = Server::start_on(&space, &["--device", "dpdk:0,tso=on", &eal], "sample");
    space.run(CLIENT);
    let folder = tempfile::tempdir().unwrap();
    let expect = folder.path().join("expect");
    fs::write(&expect, expected(SIZE)).unwrap();
    let sum = space.run(&format!("sha256sum <{}", expect.display()));
    let lengths = [V4, V6].map(|base| {
        let path = folder.path().join("capture");
        let capture = Capture::start(&space, "client0", &path, &["src", "port", "80"]).unwrap();
        assert_eq!(space.run(&format!("curl -sSg --max-time 60 {base}/{SIZE} | sha256sum")), sum, "{base}");
        assert_eq!(capture.stop().unwrap(), 0, "{base}: frames that were not recorded");
        data_segments(&path).unwrap()
    });
    let table = server.stop();
    let [v4, v6] = &lengths;
    // The MTU of the engine is that of the device less a link header with a tag.
    let [full_v4, full_v6] = [40, 60].map(|headers| 1500 - 18 - headers - 12);
    assert!(v4.iter().all(|&len| len <= full_v4), "{v4:?}");
    let pairs = v6.iter().filter(|&&len| (full_v6 + 1..=2 * full_v6).contains(&len)).count();
    // What is sent again goes a segment a frame, and on a machine that is busy some is. Pairs have half of the response
    // at least.
    assert!(pairs * 2 * full_v6 >= SIZE / 2, "{v6:?}");
    // Of what the engine has sent the driver has made more: a frame more for each pair of IPv4.
    let cut = count(&table, "by the card's count: frames out") - count(&table, "frames out, ");
    assert!(cut as usize * 2 * full_v4 >= SIZE / 2, "{cut} of {} frames: {table}", v4.len());
    assert_eq!(count(&table, "not given back"), 0, "{table}");
}

/// The kernel spreads clients over both queues of the socket.
#[test(root, "ab")]
fn two_workers_serve_what_comes_on_two_queues() {
    let (space, prefix) = (Namespace::new(), Prefix::new());
    space.run(VETH);
    let eal = prefix.eal_of_two("net_af_packet0,iface=lethe0,framesz=2048,qpairs=2");
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("metrics.sock").display().to_string();
    let server =
        Server::start_on(&space, &["--device", "dpdk:0", &eal, "--metrics", &format!("unix:{socket}")], "sample");
    space.run(CLIENT);
    let text = space.run(&format!("ab -q -r -n 1000 -c 20 {V4}/100"));
    assert!(text.contains("Complete requests:      1000") && text.contains("Failed requests:        0"), "{text}");
    let watched = watched(&socket);
    let table = server.stop();
    // Each worker has published what it has counted, and the card's counts are there as well.
    let number = |of: &str| {
        watched
            .lines()
            .find_map(|line| line.strip_prefix(of)?.trim().parse::<u64>().ok())
            .unwrap_or_else(|| panic!("{watched}"))
    };
    for lcore in [0, 1] {
        let frames = number(&format!("lethe_frames_received_total{{worker=\"{lcore}\"}}"));
        assert!(table.contains(&format!("lcore {lcore}: in {frames},")), "{table}{watched}");
    }
    assert_eq!(number("lethe_card_frames_received_total"), count(&table, "by the card's count: frames in"));
    assert_eq!(number("lethe_card_frames_sent_total"), count(&table, "by the card's count: frames out"));
    assert_eq!((number("lethe_card_link_up"), number("lethe_frames_missed_total")), (1, 0));
    let received = |lcore| {
        let line = table.lines().find_map(|line| line.strip_prefix(&format!("lcore {lcore}: in ")));
        line.and_then(|line| line.split(',').next()?.parse::<u64>().ok()).unwrap_or_else(|| panic!("{table}"))
    };
    assert!(received(0) > 500 && received(1) > 500, "{table}");
    assert_eq!(received(0) + received(1), count(&table, "frames in, "), "{table}");
    assert_eq!(count(&table, "not given back"), 0, "{table}");
}

/// What `/metrics` says once it says the same for half a second.
fn watched(socket: &str) -> String {
    let get = || {
        let output =
            Command::new("curl").args(["-sS", "--unix-socket", socket, "http://lethe/metrics"]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines()
            .filter(|line| line.starts_with("lethe_") && !line.contains("uptime"))
            .collect::<Vec<_>>()
            .join("\n")
    };
    let (start, mut before) = (Instant::now(), get());
    loop {
        std::thread::sleep(Duration::from_millis(500));
        let now = get();
        if now == before {
            return now;
        }
        assert!(start.elapsed() < PATIENCE, "{now}");
        before = now;
    }
}

/// SIGHUP while they work: each lets go of the old files between two bursts.
#[test(root, "curl")]
fn files_are_reloaded_under_two_workers() {
    let (space, prefix) = (Namespace::new(), Prefix::new());
    space.run(VETH);
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(folder.path().join("page"), "old").unwrap();
    let eal = prefix.eal_of_two("net_af_packet0,iface=lethe0,framesz=2048,qpairs=2");
    let app = format!("files {}", folder.path().display());
    let mut server = Server::start_on(&space, &["--device", "dpdk:0", &eal], &app);
    space.run(CLIENT);
    assert_eq!(space.run(&format!("curl -sS {V4}/page")), "old");
    fs::write(folder.path().join("page"), "new").unwrap();
    server.signal(Signal::SIGHUP);
    let line = server.line();
    assert!(line.starts_with("reloaded: "), "{line}");
    // Either worker may be asked.
    for _ in 0..10 {
        assert_eq!(space.run(&format!("curl -sS {V4}/page")), "new");
    }
}

/// SIGHUP with a new secret: a handshake under the old secret is still answered under it.
#[test(root)]
fn secrets_are_reloaded_under_two_workers() {
    let (space, prefix) = (Namespace::new(), Prefix::new());
    space.run(VETH);
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let secret = folder.path().join("secret");
    let write = |lines: &str| {
        fs::write(&secret, lines).unwrap();
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
        chown(&secret, User::from_name("nobody").unwrap().map(|user| user.uid.as_raw()), None).unwrap();
    };
    let [old, new] = [1, 2].map(|digit| format!("{digit:032}\n"));
    write(&old);
    let eal = prefix.eal_of_two("net_af_packet0,iface=lethe0,framesz=2048,qpairs=2");
    let app = format!("--secret-file {} sample", secret.display());
    let mut server = Server::start_on(&space, &["--device", "dpdk:0", &eal], &app);
    space.run(CLIENT);
    let (connected, has_connected) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel();
    let answer = std::thread::scope(|scope| {
        let client = scope.spawn(|| {
            space.enter(move || {
                let mut stream = TcpStream::connect("10.9.0.2:80").unwrap();
                connected.send(()).unwrap();
                may_go_on.recv().unwrap();
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                stream.write_all(b"GET /100 HTTP/1.1\r\nHost: lethe\r\nConnection: close\r\n\r\n").unwrap();
                let mut answer = Vec::new();
                stream.read_to_end(&mut answer).unwrap();
                answer
            })
        });
        has_connected.recv().unwrap();
        write(&format!("{new}{old}"));
        server.signal(Signal::SIGHUP);
        assert_eq!(server.line(), "reloaded: 2 secrets\n");
        go_on.send(()).unwrap();
        client.join().unwrap()
    });
    assert!(answer.ends_with(&expected(100)), "{}", String::from_utf8_lossy(&answer));
    server.stop();
}

#[test(root)]
fn what_cannot_be_had_is_said_with_what_can_be_done() {
    let prefix = Prefix::new();
    let said = |device: &str, eal: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lethe"));
        command.args(["serve", "--addr", "10.9.0.2", "--device", device, eal, "ipinfo"]);
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let text = said("dpdk:1", &prefix.eal("net_null0"));
    assert!(text.contains("lethe: DPDK has no port 1: it found 1\n"), "{text}");
    let text = said("dpdk:0", &prefix.eal("net_af_packet0,iface=lethe-none"));
    assert!(
        text.contains("lethe: DPDK has no port 0: it found 0.") && text.contains("dpdk-devbind.py --bind"),
        "{text}"
    );
    let text = said("dpdk:0,tso=on", &prefix.eal("net_null0"));
    assert!(text.contains("lethe: port 0 (net_null): it does not offer to cut frames (TSO)"), "{text}");
    let text = said("dpdk:0,mtu=65521", &prefix.eal("net_tap0"));
    assert!(text.contains("lethe: port 0 (net_tap): "), "{text}");
    let eal = format!("--eal=--no-pci --no-huge -m 8 --no-telemetry --file-prefix {} -l 0 --vdev net_null0", prefix.0);
    let text = said("dpdk:0", &eal);
    assert!(text.contains("have memory for its buffers") && text.contains("vm.nr_hugepages"), "{text}");
}

/// The engine is the same: what DPDK answers to a capture is what `lethe replay` answers, frame for frame, in order.
#[test(root)]
fn every_capture_is_answered_as_by_replay() {
    let mut compared = 0;
    for capture in captures() {
        let name = capture.file_name().unwrap().to_string_lossy().into_owned();
        let folder = tempfile::tempdir().unwrap();
        let app = if name.starts_with("sample") { "sample" } else { "ipinfo" };
        let replayed = replayed(&capture, &folder.path().join("replayed.pcapng"), app);
        let answered = answered(&capture, &folder.path().join("answered.pcap"), app, replayed.len());
        assert!(answered == replayed, "{name}: {} frames by DPDK, {} by replay", answered.len(), replayed.len());
        assert!(!replayed.is_empty(), "{name}");
        compared += replayed.len();
    }
    println!("{compared} frames compared, 0 different");
}

fn captures() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../pcaps");
    let is_capture = |path: &PathBuf| path.extension().is_some_and(|kind| kind == "pcap" || kind == "pcapng");
    let captures: Vec<_> = folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).filter(is_capture).collect();
    assert!(captures.len() >= 10, "only {} captures were found", captures.len());
    captures
}

fn read(path: &Path) -> Vec<Packet> {
    let reader = Reader::new(File::open(path).unwrap()).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    reader.map(Result::unwrap).collect()
}

/// The answers of `lethe replay`.
fn replayed(input: &Path, output: &Path, app: &str) -> Vec<Vec<u8>> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lethe"));
    command.arg("replay").arg(input).arg("--out").arg(output).args(["--addr", "10.9.0.2", "--addr", "fd09::2", app]);
    let done = command.output().unwrap();
    assert!(done.status.success(), "{done:?}");
    read(output).into_iter().filter(|packet| packet.interface == 1).map(|packet| packet.bytes).collect()
}

/// The answers through `net_pcap`, of which there ought to be so many: by the command of docs/deploy-dpdk.md, which
/// says nothing of the time.
fn answered(input: &Path, output: &Path, app: &str, expected: usize) -> Vec<Vec<u8>> {
    let (space, prefix) = (Namespace::new(), Prefix::new());
    let vdev = format!("net_pcap0,rx_pcap={},tx_pcap={}", input.display(), output.display());
    let secret = format!("{}/../pcaps/secret", env!("CARGO_MANIFEST_DIR"));
    let options = ["--device", "dpdk:0", &prefix.eal(&vdev), "--stats", "--secret-file", &secret];
    let mut server = Server::start_on(&space, &options, app);
    let (start, mut sent) = (Instant::now(), 0);
    while sent < expected && start.elapsed() < PATIENCE {
        let line = server.line();
        let out = line.split_once("out ").and_then(|(_, rest)| rest.split_once("/s"));
        sent += out.and_then(|(count, _)| count.parse::<usize>().ok()).unwrap_or_else(|| panic!("{line}"));
    }
    let table = server.stop();
    assert_eq!(count(&table, "frames out, "), expected as u64, "{table}");
    read(output).into_iter().map(|packet| packet.bytes).collect()
}

/// Two processes, each with a card: both cards are memory that the two share. `lethe load` is the clients.
#[test(root)]
fn clients_of_our_own_are_behind_a_card_too() {
    let (space, prefixes) = (Namespace::new(), [Prefix::new(), Prefix::new()]);
    let folder = tempfile::tempdir().unwrap();
    // The server opens its socket as root, and the clients connect to it as the user `nobody`.
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let socket = folder.path().join("memif");
    let vdev = |role: &str| format!("net_memif0,role={role},socket={},socket-abstract=no", socket.display());
    let server = Server::start_on(&space, &["--device", "dpdk:0", &prefixes[0].eal(&vdev("server"))], "sample");
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o777)).unwrap();
    let mut load = space.command("timeout");
    load.args(["60", env!("CARGO_BIN_EXE_lethe"), "load", "--quiet", "--device", "dpdk:0"]);
    load.arg(prefixes[1].eal(&vdev("client")));
    load.args("--from 10.0.0.0/8 --from fd09::/64 --to 10.9.0.2 --to [fd09::2]:80".split(' '));
    load.args("--path /1000 --path /20000 --open 20k --for 100ms".split(' '));
    let output = load.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("20000  answered, status and body right (all)"), "{text}");
    assert_eq!(count(&server.stop(), " syn-ack") / 20_000, 1);
}

/// A project of its own, built with the feature.
#[test(root, "curl")]
fn the_template_is_served_through_dpdk() {
    let template = Template::copy();
    let program = template.build("dpdk");
    let (space, prefix) = (Namespace::new(), Prefix::new());
    space.run(VETH);
    let mut command = space.command(&program);
    command.args(["serve", "--device", "dpdk:0", &prefix.eal("net_af_packet0,iface=lethe0,framesz=2048")]);
    command.args(["--addr", "10.9.0.2"]).arg(template.path().join("page.html"));
    let server = Server::launch(&mut command, 1).unwrap();
    space.run(CLIENT);
    assert_eq!(space.run(&format!("curl -sS '{V4}/hello?name=Ada'")), "<!doctype html><p>Hello, Ada\n");
    space.run(&format!("curl -sS {V4}/ | cmp - {}/page.html", template.path().display()));
    let table = server.stop();
    assert_eq!(count(&table, "  response"), 2, "{table}");
}

lethe_harness::main!();
