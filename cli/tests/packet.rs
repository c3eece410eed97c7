//! `lethe serve` on an interface of the kernel (`--device packet:` and `--device xdp:`): real clients at the other
//! end of a veth, each end in a network namespace of its own. Needs root.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::thread;
use std::time::Duration;

use lethe::config::Addresses;
use lethe::port::{Port as _, RxQueue, Transmit, TxChecksum, TxFrame, TxQueue};
use lethe_harness::test;
use lethe_hw::packet::{PacketConfig, PacketPort};
use lethe_sim::sample::expected;
use lethe_testnet::{Namespace, Server, V4, V6};
use nix::sys::signal::Signal;

/// Both kinds of port.
const KINDS: [&str; 2] = ["packet:lethe0", "xdp:lethe0"];

/// A veth: `lethe0` with the server, where the kernel is 10.9.0.3 and `fd09::3`, and `client0` with the clients.
struct Wire {
    server: Namespace,
    client: Namespace,
}

impl Wire {
    /// One of this MTU, with as many queues at both ends.
    fn new(mtu: u32, queues: u32) -> Self {
        let wire = Self { server: Namespace::new(), client: Namespace::new() };
        let (queues, peer) = (format!("numrxqueues {queues} numtxqueues {queues}"), wire.client.name());
        wire.server.run(&format!("ip link add lethe0 {queues} type veth peer name client0 {queues} netns {peer}"));
        for (space, name, host) in [(&wire.server, "lethe0", 3), (&wire.client, "client0", 1)] {
            space.run(&format!(
                "ip link set {name} mtu {mtu} up
                 ip addr add 10.9.0.{host}/24 dev {name}
                 ip addr add fd09::{host}/64 dev {name} nodad"
            ));
        }
        wire
    }

    /// A server on `device`. A veth has no metadata for XDP, so a frame cannot say that its checksum is yet to be
    /// computed: the clients compute it.
    fn serve(&self, device: &str, app: &str) -> Server {
        if device.starts_with("xdp") {
            self.client.run("ethtool -K client0 tx off");
        }
        Server::start_on(&self.server, &["--device", device], app)
    }

    /// What the server says that cannot start.
    fn mistake(&self, device: &str) -> String {
        let lethe = env!("CARGO_BIN_EXE_lethe");
        let (success, text) =
            self.server.try_run(&format!("timeout 60 {lethe} serve --device {device} --addr 10.9.0.2 sample"));
        assert!(!success, "{device}: {text}");
        text
    }

    #[track_caller]
    fn check_pages(&self) {
        self.check_download(100);
    }

    #[track_caller]
    fn check_download(&self, size: usize) {
        for base in [V4, V6] {
            let file = tempfile::NamedTempFile::new().unwrap();
            self.client.run(&format!("curl -sSg --max-time 60 -o {} '{base}/{size}'", file.path().display()));
            let body = fs::read(file.path()).unwrap();
            assert!(body == expected(size), "{base}/{size}: {} others came", body.len());
        }
    }

    #[track_caller]
    fn check_pings(&self, sizes: &[u32]) {
        for (ping, size) in
            ["ping 10.9.0.2", "ping -6 fd09::2"].iter().flat_map(|ping| sizes.iter().map(move |s| (ping, s)))
        {
            let text = self.client.run(&format!("{ping} -s {size} -c 3 -i 0.1 -W 2"));
            assert!(text.contains("3 received, 0% packet loss"), "{text}");
        }
    }

    /// The interface is the kernel's, program or not.
    #[track_caller]
    fn check_ping_of_the_kernel(&self) {
        let text = self.client.run("ping 10.9.0.3 -c 1 -W 2");
        assert!(text.contains("1 received"), "{text}");
    }

    #[track_caller]
    fn check_ab(&self, requests: u32) {
        let text = self.client.run(&format!("ab -q -r -n {requests} -c 200 {V4}/100"));
        let line = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map_or("none", str::trim);
        assert_eq!(line("Complete requests:"), requests.to_string(), "{text}");
        assert_eq!((line("Failed requests:"), line("Non-2xx responses:")), ("0", "none"), "{text}");
    }
}

/// What the server's metrics say in the lines with these words, all workers together, once they say the same for half a
/// second.
fn metrics<const N: usize>(socket: &str, words: [&str; N]) -> [u64; N] {
    let mut before = None;
    loop {
        let output = Command::new("curl").args(["-sS", "--unix-socket", socket, "http://lethe/metrics"]).output();
        let text = String::from_utf8(output.unwrap().stdout).unwrap();
        let value = |words: &str| {
            let lines = text.lines().filter(|line| line.contains(words)).filter_map(|line| line.rsplit_once(' '));
            lines.map(|(_, value)| value.parse::<u64>().unwrap()).sum()
        };
        let found = words.map(value);
        if before.replace(found) == Some(found) {
            return found;
        }
        thread::sleep(Duration::from_millis(500));
    }
}

/// A row of what the server prints at its end; zero, if it is not there.
fn row(table: &str, name: &str) -> usize {
    let row = table.lines().find(|line| line.contains(name));
    row.map_or(0, |row| row.split_whitespace().next().unwrap().parse().unwrap())
}

/// Bytes as [`Namespace::run`] returns them.
fn as_text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Why frames were dropped.
fn dropped(table: &str) -> Vec<&str> {
    table.lines().filter_map(|line| line.split_once(" dropped ")?.1.split_whitespace().next()).collect()
}

#[test(root, "curl", "ab", "arping", "ethtool", "ping")]
fn clients_of_all_kinds_are_served() {
    for device in KINDS {
        let wire = Wire::new(1500, 1);
        let server = wire.serve(device, "sample");
        wire.check_pages();
        wire.check_pings(&[56, 1400]);
        wire.check_download(100_000);
        wire.check_download(10_000_000);
        wire.check_ab(5000);
        wire.client.arping("client0", "10.9.0.2");
        let table = server.stop();
        // What is not for us never came, and what was sent did not come back.
        assert_eq!(dropped(&table), [] as [&str; 0], "{device}: {table}");
        assert_eq!(row(&table, "frames missed"), 0, "{device}: {table}");
    }
}

#[test(root, "curl", "ethtool", "ping")]
fn frames_of_9000_bytes_go_both_ways() {
    for device in KINDS {
        let wire = Wire::new(9000, 1);
        let server = wire.serve(device, "sample");
        wire.check_pages();
        wire.check_pings(&[8900]);
        wire.check_download(10_000_000);
        let table = server.stop();
        // However many of them the kernel drops, and are sent again.
        let sent = row(&table, "frames out");
        let bytes = table.lines().find_map(|line| line.split_once("frames out, ")?.1.split_once(' ')).unwrap().0;
        assert!(bytes.parse::<usize>().unwrap() > 8000 * sent, "{device}: {table}");
    }
}

/// Frames that the kernel has coalesced (GRO) may be longer than the slots of the rings.
#[test(root, "ethtool", "ping")]
fn a_frame_of_any_length_is_received_whole() {
    for device in KINDS {
        let wire = Wire::new(1500, 1);
        let server = wire.serve(device, "sample");
        wire.server.run("ip link set lethe0 mtu 9000");
        wire.client.run("ip link set client0 mtu 9000; ping -c 1 -W 0.2 -s 5000 10.9.0.2 || true");
        let table = server.stop();
        // Had it been cut, its length field would be wrong; whole, the answer does not fit the MTU that was.
        assert_eq!(dropped(&table), ["icmp-malformed"], "{device}: {table}");
    }
}

/// A request of several segments comes in one frame or in several, and the clients' ACKs as they are.
#[test(root, "curl", "ethtool")]
fn what_the_kernel_has_put_together_is_taken_as_it_is() {
    // Curl sends no cookie of this length.
    let header = format!("X-Long: {}", "x".repeat(6000));
    for device in KINDS {
        for (sender, receiver) in [("on", "off"), ("off", "on"), ("on", "on")] {
            let wire = Wire::new(1500, 1);
            let server = wire.serve(device, "sample");
            wire.server.run(&format!("ethtool -K lethe0 gro {receiver}"));
            wire.client.run(&format!("ethtool -K client0 tx {sender} tso {sender} gso {sender}"));
            // The kernel vouches for no checksum that was not computed.
            if device.starts_with("xdp") {
                wire.client.run("ethtool -K client0 tx off");
            }
            for _ in 0..5 {
                let page = wire.client.run(&format!("curl -sS --max-time 20 -H '{header}' {V4}/100"));
                assert_eq!(page, as_text(&expected(100)));
            }
            wire.check_download(10_000_000);
            let table = server.stop();
            // The rest of the request, where it comes by itself.
            let others: Vec<_> = dropped(&table).into_iter().filter(|&reason| reason != "tcp-cookie").collect();
            assert_eq!(others, [] as [&str; 0], "{device}, tso {sender}, gro {receiver}: {table}");
        }
    }
}

#[test(root, "curl", "ethtool", "ping")]
fn the_interface_stays_the_kernels_for_everything_else() {
    for device in KINDS {
        let wire = Wire::new(1500, 1);
        let listener = wire.server.enter(|| TcpListener::bind("10.9.0.3:22").unwrap());
        let mut stream = wire.client.enter(|| TcpStream::connect("10.9.0.3:22").unwrap());
        let (mut login, _) = listener.accept().unwrap();
        let server = wire.serve(device, "sample");
        wire.check_pages();
        // Connections to the kernel stay open.
        let mut echoed = [0; 4];
        stream.write_all(b"ls\r\n").unwrap();
        login.read_exact(&mut echoed).unwrap();
        assert_eq!(&echoed, b"ls\r\n");
        wire.client.run("ip neigh flush all");
        for ping in ["ping 10.9.0.3", "ping -6 fd09::3"] {
            let text = wire.client.run(&format!("{ping} -c 2 -i 0.1 -W 2"));
            assert!(text.contains("2 received"), "{device}: {text}");
        }
        // The kernel has no such address, so it says nothing against what the server says for it.
        let resets = wire.server.run("nstat -asz TcpOutRsts IcmpOutDestUnreachs | awk 'NR > 1 { print $2 }'");
        assert_eq!(resets, "0\n0\n", "{device}");
        let table = server.stop();
        assert_eq!(row(&table, "echo "), 0, "{device}: {table}");
        assert_eq!(dropped(&table), [] as [&str; 0], "{device}: {table}");
    }
}

#[test(root, "curl", "ethtool")]
fn an_address_of_its_own_can_be_given_to_the_server() {
    for device in KINDS {
        let wire = Wire::new(1500, 1);
        let _server = wire.serve(device, "--mac 02:00:00:00:00:77 sample");
        wire.check_pages();
        assert!(wire.client.run("ip neigh show 10.9.0.2").contains("02:00:00:00:00:77"));
        let own = wire.server.run("cat /sys/class/net/lethe0/address");
        let wire = Wire::new(1500, 1);
        let _server = wire.serve(device, "sample");
        wire.check_pages();
        let neighbor = wire.client.run("ip neigh show 10.9.0.2");
        let real = wire.server.run("cat /sys/class/net/lethe0/address");
        assert!(neighbor.contains(real.trim()) && real != own, "{neighbor}");
    }
}

/// An ARP request for 10.9.0.2 from 10.9.0.9, on VLAN 5 with priority 1.
const TAGGED_QUESTION: [u8; 46] = *b"\
    \xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00\x09\x81\x00\x20\x05\x08\x06\
    \x00\x01\x08\x00\x06\x04\x00\x01\x02\x00\x00\x00\x00\x09\x0a\x09\x00\x09\x00\x00\x00\x00\x00\x00\x0a\x09\x00\x02";

/// Up to two of the five segments of a fetch are bare ACKs. Nothing is woken for those that would only be absorbed, and
/// each is counted: as many segments are received as the client has sent.
#[test(root, "curl", "ethtool")]
fn bare_acks_that_nothing_answers_are_left_out_and_counted() {
    const FETCHES: u64 = 30;
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("metrics.sock").display().to_string();
    let check = |device: &str, server: &str, timestamps: bool, are_left_out: bool| {
        let wire = Wire::new(1500, 2);
        wire.client.run(&format!("echo {} >/proc/sys/net/ipv4/tcp_timestamps", u8::from(timestamps)));
        let lethe = wire.serve(device, &format!("--metrics unix:{socket} {server} ipinfo"));
        // One at a time: of two in one packet the second would not be begun.
        let urls = format!("{V4}/202.96.128.86 {V6}/202.96.128.86 ").repeat(FETCHES as usize / 2);
        wire.client.run(&format!("for url in {urls}; do curl -sSg --max-time 5 -o /dev/null $url; done"));
        let names = ["lethe_frames_received_total{", "lethe_turn_frames_sum{", r#"verdict="ack"}"#];
        let what = format!("{device}, {server}, timestamps {timestamps}");
        let [received, taken, acks] = metrics(&socket, names);
        // That of the handshake; that of the response may be part of the client's FIN.
        assert!(acks >= FETCHES, "{what}: {acks}");
        assert_eq!(received - taken, if are_left_out { acks } else { 0 }, "{what}");
        let table = lethe.stop();
        let sent = wire.client.run("nstat -asz TcpOutSegs | awk 'NR > 1 { print $2 }'").trim().parse::<usize>();
        let answered = ["syn-ack", " response ", "fin-ack"].map(|name| row(&table, name)).iter().sum::<usize>();
        assert_eq!(answered + row(&table, "absorbed  ack"), sent.unwrap(), "{what}: {table}");
        assert_eq!(row(&table, "frames missed"), 0, "{what}: {table}");
    };
    for device in KINDS {
        let closing = "--keep-alive off";
        check(device, closing, true, true);
        check(device, closing, false, true);
        check(&format!("{device},acks"), closing, true, false);
        check(device, &format!("{closing} --workers 2"), true, true);
        // A connection that stays open needs ACKs, but those of clients without timestamps.
        check(device, "", true, false);
        check(device, "", false, true);
    }
}

/// Without permission for programs nothing could count what is left out, so nothing is.
#[test(root, "curl", "setpriv")]
fn bare_acks_are_received_where_they_could_not_be_counted() {
    const FETCHES: u64 = 10;
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("metrics.sock").display().to_string();
    let wire = Wire::new(1500, 1);
    let mut command = wire.server.command("setpriv");
    command.args(["--bounding-set=-bpf,-net_admin,-sys_admin", env!("CARGO_BIN_EXE_lethe"), "serve"]);
    command.args("--device packet:lethe0 --addr 10.9.0.2 --addr fd09::2 --keep-alive off".split(' '));
    let lethe = Server::launch(command.args(["--metrics", &format!("unix:{socket}"), "ipinfo"]), 2).unwrap();
    wire.client.run(&format!("for n in $(seq {FETCHES}); do curl -sS --max-time 5 -o /dev/null {V4}/; done"));
    let names = ["lethe_frames_received_total{", "lethe_turn_frames_sum{", r#"verdict="ack"}"#];
    let [received, taken, acks] = metrics(&socket, names);
    assert!(received == taken && acks >= FETCHES, "{received} received, {taken} in turns, {acks} ACKs");
    lethe.stop();
}

/// Whether the kernel can be told to drop frames behind a socket (Linux 6.6).
fn has_tcx() -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split('.').map_while(|number| number.parse::<u32>().ok());
    (numbers.next(), numbers.next()) >= (Some(6), Some(6))
}

/// A kernel that forwards takes a packet that came to its hardware address for one to send on, unless it is told to
/// drop it, which takes permission.
#[test(root, "curl", "ethtool", "setpriv")]
fn a_kernel_that_forwards_is_warned_of_and_leaves_alone_what_is_not_its_own() {
    let wire = Wire::new(1500, 1);
    wire.server.run("echo 1 >/proc/sys/net/ipv4/ip_forward");
    // It ends because there is no place for the log, which is opened after the warning.
    let options = "--device packet:lethe0 --addr 10.9.0.2 --access-log /none/log";
    let lethe = env!("CARGO_BIN_EXE_lethe");
    let unprivileged = format!("setpriv --bounding-set=-bpf,-net_admin,-sys_admin {lethe} serve {options} sample");
    let (_, text) = wire.server.try_run(&unprivileged);
    assert!(text.contains("warning: the kernel forwards"), "{text}");
    assert!(!wire.mistake("packet:lethe0 --access-log /none/log --mac 02:00:00:00:00:77").contains("warning"));
    assert_ne!(wire.mistake("packet:lethe0 --access-log /none/log").contains("warning"), has_tcx());
    let own_mac = "--mac 02:00:00:00:00:77 sample";
    let mut served = vec![("packet:lethe0", own_mac), ("xdp:lethe0", "sample")];
    if has_tcx() {
        served.push(("packet:lethe0", "sample"));
    }
    for (device, app) in served {
        let _server = wire.serve(device, app);
        wire.client.run("ip neigh flush all");
        wire.check_pages();
    }
    let forwarded = wire.server.run("nstat -asz IpForwDatagrams | awk 'NR > 1 { print $2 }'");
    assert_eq!(forwarded, "0\n");
}

#[test(root, "curl", "ethtool")]
fn the_kernel_handles_what_is_for_us_only_where_it_cannot_be_told_otherwise_and_goes_on_with_its_own() {
    let wire = Wire::new(1500, 1);
    let _server = wire.serve("packet:lethe0", "sample");
    let received = || wire.server.run("nstat -asz IpInReceives | awk 'NR > 1 { print $2 }'").trim().parse().unwrap();
    let before: u64 = received();
    wire.client.run("curl -sS --max-time 5 http://10.9.0.2/");
    assert_eq!(received() == before, has_tcx());
    // Its own address.
    wire.client.run("ping -c 1 -W 5 10.9.0.3");
    assert!(received() > before);
}

#[test(root, "ethtool")]
fn tagged_frames_are_answered_with_their_tag() {
    for device in KINDS {
        let wire = Wire::new(1500, 1);
        let _server = wire.serve(device, "sample");
        // A port of ours is the client: no kernel need have VLANs.
        let answer = wire.client.enter(|| {
            let mut addresses = Addresses::new();
            addresses.add("10.9.0.9".parse().unwrap()).unwrap();
            let config = PacketConfig { interface: "client0".to_owned(), fanout: None, acks: false };
            let mut port = PacketPort::open(&config, None, &addresses).unwrap();
            {
                let (_, mut tx) = port.queues();
                let queued = tx.transmit(|buffer| {
                    buffer[..TAGGED_QUESTION.len()].copy_from_slice(&TAGGED_QUESTION);
                    Some(TxFrame { len: TAGGED_QUESTION.len(), checksum: TxChecksum::Complete })
                });
                assert_eq!(queued, Transmit::Queued(TAGGED_QUESTION.len()));
                tx.flush();
            }
            port.wait(Duration::from_secs(2)).unwrap();
            let (mut rx, _) = port.queues();
            let answer = rx.receive().expect("an answer");
            answer.bytes.to_vec()
        });
        assert_eq!(answer[..6], TAGGED_QUESTION[6..12], "{device}");
        assert_eq!(answer[12..25], TAGGED_QUESTION[12..25], "{device}: tag and type, and what is asked for");
        assert_eq!((answer[25], &answer[32..36]), (2, &[10, 9, 0, 2][..]), "{device}: an answer by the one asked");
    }
}

#[test(root, "curl", "ethtool")]
fn a_link_that_goes_down_and_comes_back_is_served_on_and_one_that_is_deleted_ends_it() {
    for device in KINDS {
        let wire = Wire::new(1500, 1);
        let server = wire.serve(device, "sample");
        wire.check_pages();
        for (space, name) in [(&wire.server, "lethe0"), (&wire.client, "client0")] {
            space.run(&format!("ip link set {name} down; sleep 0.6; ip link set {name} up"));
            wire.client.run("ip addr replace fd09::1/64 dev client0 nodad");
            wire.check_pages();
        }
        wire.server.run("ip link del lethe0");
        let (status, text) = server.wait();
        assert!(!status && text.contains("frames in"), "{device}: {text}");
    }
}

#[test(root, "ethtool")]
fn privileges_are_gone_once_the_interface_is_open() {
    for device in KINDS {
        let wire = Wire::new(1500, 1);
        let server = wire.serve(device, "sample");
        assert_eq!(server.status("Uid"), "65534\t65534\t65534\t65534", "{device}");
        assert_eq!(server.status("CapEff"), "0000000000000000", "{device}");
    }
}

#[test(root, "ethtool")]
fn every_mistake_comes_with_what_mends_it() {
    let wire = Wire::new(1500, 2);
    for kind in ["packet", "xdp"] {
        let device = format!("{kind}:lethe0");
        assert!(wire.mistake(&format!("{kind}:none0")).contains("there is no interface none0: `ip -brief link`"));
        assert!(wire.mistake(&format!("{kind}:lo")).contains("interface lo is not an Ethernet interface"));
        wire.server.run("ip link set lethe0 down");
        assert!(wire.mistake(&device).contains("interface lethe0 is down: `ip link set lethe0 up`"));
        wire.server.run("ip link set lethe0 up");
        let lethe = env!("CARGO_BIN_EXE_lethe");
        let unprivileged =
            format!("setpriv --reuid nobody --clear-groups {lethe} serve --device {device} --addr 10.9.0.2 sample");
        // The build folder may be readable by root alone: a copy of the program is run.
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let copy = folder.path().join("lethe");
        fs::copy(lethe, &copy).unwrap();
        let (success, text) = wire.server.try_run(&unprivileged.replace(lethe, copy.to_str().unwrap()));
        assert!(
            !success && text.contains("no permission to use interface lethe0") && text.contains("`setcap cap_net_raw"),
            "{text}"
        );
    }
    assert!(wire.mistake("xdp:lethe0,queue=2").contains("interface lethe0 has no queue 2: it has 2, counted from 0"));
    assert!(wire.mistake("xdp:lethe0,zerocopy").contains("leave out `zerocopy`"));
    let lethe = env!("CARGO_BIN_EXE_lethe");
    let limited = format!(
        "ulimit -l 1024; setpriv --bounding-set -ipc_lock {lethe} serve --device xdp:lethe0 --addr 10.9.0.2 sample"
    );
    let text = wire.server.try_run(&limited).1;
    assert!(
        text.contains("more memory than this process may lock") && text.contains("`ulimit -l unlimited`"),
        "{text}"
    );
    let _server = wire.serve("xdp:lethe0", "sample");
    assert!(wire.mistake("xdp:lethe0").contains("interface lethe0 has an XDP program already"));
}

#[test(root, "ethtool")]
fn the_program_leaves_the_interface_with_the_server_however_that_ends() {
    let wire = Wire::new(1500, 1);
    let has_program = || wire.server.run("ip link show lethe0").contains(" xdp ");
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGKILL] {
        let server = wire.serve("xdp:lethe0", "sample");
        assert!(has_program());
        server.signal(signal);
        server.wait();
        assert!(!has_program(), "after {signal}");
        wire.check_ping_of_the_kernel();
    }
}

#[test(root, "curl", "ab", "ethtool")]
fn frames_are_taken_from_every_queue_or_from_one() {
    let wire = Wire::new(1500, 2);
    let mut server = wire.serve("xdp:lethe0", "sample");
    assert!(server.start_line.contains("(xdp lethe0, 2 queues, copied, "), "{}", server.start_line);
    wire.check_pages();
    wire.check_ab(5000);
    server.stop();
    server = wire.serve("xdp:lethe0,queue=1,copy", "sample");
    assert!(server.start_line.contains("(xdp lethe0, 1 of 2 queues, copied, "), "{}", server.start_line);
}

#[test(root, "curl", "ab", "ethtool")]
fn a_driver_without_a_place_for_programs_is_served_by_the_kernels() {
    let wire = Wire::new(1500, 1);
    wire.server.run(
        "ip addr flush dev lethe0
         ip link add bridge0 type bridge
         ip link set lethe0 master bridge0
         ip link set bridge0 up",
    );
    for device in ["xdp:bridge0", "xdp:lethe0,generic"] {
        if device.contains("lethe0") {
            wire.server.run("ip link del bridge0");
        }
        let server = wire.serve(device, "sample");
        assert!(server.start_line.contains(", 1 queue, generic XDP, copied, "), "{}", server.start_line);
        wire.client.run("ip neigh flush all");
        wire.check_pages();
        wire.check_download(100_000);
        wire.check_ab(1000);
    }
}

/// Two servers that answer for one address: clients see resets, or every answer twice.
#[test(root)]
fn an_address_that_others_have_too_is_warned_of() {
    let wire = Wire::new(1500, 1);
    // It ends because there is no place for the log, which is opened after the warning.
    let text = wire.mistake("packet:lethe0 --addr 10.9.0.3 --addr fd09::3 --access-log /none/log");
    for address in ["10.9.0.3", "fd09::3"] {
        let warning = format!("warning: the kernel has {address} too, on lethe0, and answers for it as well");
        assert!(text.contains(&warning), "{text}");
    }
    assert!(!wire.mistake("packet:lethe0 --access-log /none/log").contains("warning"));

    let server = wire.serve("packet:lethe0", "sample");
    // 10.9.0.2 is the address of both.
    for device in ["packet:lethe0", "packet:lethe0,fanout=7", "xdp:lethe0"] {
        let text = wire.mistake(&format!("{device} --access-log /none/log"));
        assert!(text.contains("serves 10.9.0.2 on lethe0 already") && text.contains("fanout=1"), "{device}: {text}");
        assert!(text.contains(&format!("warning: process {} ", server.pid())), "{device}: {text}");
    }
    server.stop();
    // There is no warning of a server that has ended, nor of one that shares the interface.
    assert!(!wire.mistake("packet:lethe0 --access-log /none/log").contains("warning"));
    let _server = wire.serve("packet:lethe0,fanout=7", "sample");
    assert!(!wire.mistake("packet:lethe0,fanout=7 --access-log /none/log").contains("warning"));
    for device in ["packet:lethe0,fanout=8", "packet:lethe0"] {
        assert!(wire.mistake(&format!("{device} --access-log /none/log")).contains("on lethe0 already"), "{device}");
    }
}

/// No flow belongs to one process: processes that share a secret can each answer any packet.
#[test(root, "curl", "ab", "ethtool")]
fn processes_share_the_frames_of_an_interface() {
    let wire = Wire::new(1500, 1);
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    fs::write(&secret, "000102030405060708090a0b0c0d0e0f\n").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let app = format!("--secret-file {} sample", secret.display());
    let servers = [(); 2].map(|()| wire.serve("packet:lethe0,fanout=7", &app));
    wire.check_pages();
    wire.check_ab(5000);
    let replied = servers.map(|server| row(&server.stop(), " response "));
    // Each request is answered once; a few may be asked again.
    assert!(replied.iter().all(|&count| count > 1000) && replied.iter().sum::<usize>() < 7500, "{replied:?}");
}

/// Frames that each worker of a server has received, by what it prints at its end.
fn frames_of_workers(table: &str) -> Vec<u64> {
    let of = |line: &str| line.strip_prefix("worker ")?.split_once(": in ")?.1.split_once(',')?.0.parse().ok();
    table.lines().filter_map(of).collect()
}

/// On `packet:`, `xdp:` and `tap:`: each has frames of its own, and any of them answers any packet.
#[test(root, "curl", "ab", "ethtool")]
fn workers_of_one_process_share_a_device() {
    for device in KINDS {
        let wire = Wire::new(1500, 2);
        let server = wire.serve(device, "--workers 2 --cpus 0,1 sample");
        wire.check_pages();
        wire.check_download(10_000_000);
        wire.check_ab(5000);
        check_workers(device, server);
    }
    let space = Namespace::new();
    let server = Server::start(&space, "--workers 2 sample");
    space.run("curl -sSg -o /dev/null 'http://10.9.0.2/10000000' 'http://[fd09::2]/100'");
    let text = space.run("ab -q -r -n 5000 -c 200 http://10.9.0.2/100");
    assert!(text.contains("Failed requests:        0"), "{text}");
    check_workers("tap", server);
}

#[track_caller]
fn check_workers(device: &str, server: Server) {
    let table = server.stop();
    let frames = frames_of_workers(&table);
    assert!(frames.len() == 2 && frames.iter().all(|&frames| frames > 100), "{device}: {table}");
    // The kernel says more to a TAP device, and counts no losses of it.
    if device != "tap" {
        assert_eq!(dropped(&table), [] as [&str; 0], "{device}: {table}");
        assert_eq!(row(&table, "frames missed"), 0, "{device}: {table}");
    }
}

/// SIGHUP while all workers answer: each response is one version from its first byte to its last.
#[test(root, "curl", "ethtool")]
fn workers_reload_together() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let (site, bodies) = (folder.path().join("site"), folder.path().join("bodies"));
    let text = |version: u32| format!("version {version:08}\n").repeat(5000);
    for folder in [&site, &bodies] {
        fs::create_dir(folder).unwrap();
    }
    for device in KINDS {
        fs::write(site.join("page"), text(0)).unwrap();
        let wire = Wire::new(1500, 2);
        let mut server = wire.serve(device, &format!("--workers 2 files {}", site.display()));
        let one = format!("curl -sSf --max-time 20 -o {}/$n {V4}/page", bodies.display());
        thread::scope(|scope| {
            let clients = scope.spawn(|| wire.client.run(&format!("set -e; for n in $(seq 200); do {one}; done")));
            for version in 1..=4 {
                fs::write(site.join("page"), text(version)).unwrap();
                server.signal(Signal::SIGHUP);
                let line = server.line();
                assert!(line.starts_with("reloaded: "), "{line}");
            }
            clients.join().unwrap();
        });
        for body in fs::read_dir(&bodies).unwrap() {
            let body = fs::read_to_string(body.unwrap().path()).unwrap();
            assert!((0..=4).any(|version| body == text(version)), "{device}: {}", &body[..40.min(body.len())]);
        }
        for _ in 0..10 {
            assert_eq!(wire.client.run(&format!("curl -sS {V4}/page")), text(4));
        }
        server.stop();
    }
}

/// Here all is faster than the client reads. It acknowledges all that fills its window at once, and what it waits for
/// then must not wait for its timer.
#[test(root, "wrk")]
fn a_reader_that_is_late_waits_for_no_timer() {
    let wire = Wire::new(1500, 1);
    for keep_alive in ["off", "on"] {
        let server = wire.serve("packet:lethe0", &format!("--keep-alive {keep_alive} sample"));
        wire.client.run(&format!("wrk -t 1 -c 1 -d 2 {V4}/100000"));
        let table = server.stop();
        let (begun, resumed) = (row(&table, "first-window"), row(&table, "resumed"));
        assert!(begun > 20 && resumed * 10 < begun, "{keep_alive}: {table}");
    }
}

#[test(root)]
fn what_workers_cannot_share_is_said() {
    let wire = Wire::new(1500, 1);
    for (device, error) in [
        ("xdp:lethe0 --workers 2", "too few receive queues for 2 workers: 1"),
        ("xdp:lethe0,queue=0 --workers 2", "leave out `queue=`, or --workers"),
        ("packet:lethe0 --workers 2 --cpus 0", "1 processors for 2 workers"),
        ("packet:lethe0 --workers 2 --impair loss=1%", "--impair is one network"),
        ("packet:lethe0 --workers 0", "0 is not in 1..=256"),
        ("packet:lethe0 --workers 2 --cpus 0,0", "a processor is there twice"),
    ] {
        let text = wire.mistake(device);
        assert!(text.contains(error), "{device}: {text}");
    }
}

lethe_harness::main!();
