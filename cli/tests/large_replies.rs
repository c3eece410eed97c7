//! Replies of many segments to real curl, over a real TAP device. Needs root.
//!
//! Every body is compared byte for byte, and where nothing is lost every segment is counted: by the client's
//! kernel, so that the server cannot count wrong and send wrong in the same way. `cargo xtask large` does this with
//! more and for longer.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use lethe_harness::test;
use lethe_sim::sample::expected;
use lethe_testnet::{Namespace, Server, V4, V6, row};
use nix::sys::signal::Signal;
use tempfile::TempDir;

/// Bytes of options in each segment of a connection with timestamps.
const TIMESTAMPS: usize = 12;

/// The smallest MSS of clients whose connection stays open behind a reply of many segments.
const KEPT_MSS_MIN: usize = 1220;

/// How often a count is begun anew because the machine stood still for so long that the client asked again.
const ATTEMPTS: usize = 5;

/// Downloads in parallel, through one curl each.
struct Downloads<'a> {
    space: &'a Namespace,
    folder: TempDir,
    sizes: Vec<usize>,
}

impl<'a> Downloads<'a> {
    /// Those of `sizes`, by turns from each of `bases`.
    fn new(space: &'a Namespace, bases: &[&str], sizes: &[usize]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let urls = bases.iter().cycle().zip(sizes).enumerate();
        let list: Vec<String> = urls.map(|(number, (base, size))| format!("{number} {base}/{size}\n")).collect();
        fs::write(folder.path().join("list"), list.concat()).unwrap();
        Self { space, folder, sizes: sizes.to_vec() }
    }

    /// Downloads all of them, each through the filter `behind`, and compares every byte; returns how long it took.
    #[track_caller]
    fn check(&self, behind: &str) -> Duration {
        let start = Instant::now();
        self.space.run(&self.line(behind));
        let took = start.elapsed();
        for (number, &size) in self.sizes.iter().enumerate() {
            let body = fs::read(self.path(number)).unwrap();
            assert!(body == expected(size), "download {number} of {size} bytes: {} others came", body.len());
        }
        took
    }

    fn line(&self, behind: &str) -> String {
        let curl = "curl --silent --show-error --globoff --max-time 120 $1";
        format!(
            "cd {}; xargs -P 25 -L 1 bash -o pipefail -c '{curl} | {behind} >$0' <list",
            self.folder.path().display()
        )
    }

    fn path(&self, number: usize) -> impl AsRef<Path> {
        self.folder.path().join(number.to_string())
    }

    /// Waits until so many bytes of each have come.
    fn wait_for(&self, bytes: u64) {
        let come = |number| fs::metadata(self.path(number)).map_or(0, |file| file.len());
        for _ in 0..1000 {
            if (0..self.sizes.len()).all(|number| come(number) >= bytes) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("nothing comes");
    }
}

/// What the client's kernel has counted under this name.
fn kernel_count(space: &Namespace, name: &str) -> usize {
    let text = space.run(&format!("nstat -asz {name} | awk '$1 == \"{name}\" {{ print $2 }}'"));
    text.trim().parse().unwrap_or_else(|_| panic!("{name}: {text:?}"))
}

/// Downloads `size` bytes, and returns how many frames with data the kernel received; none if anything was sent
/// again.
fn count_segments(base: &str, size: usize, mtu: u16) -> (usize, Option<usize>, String) {
    let space = Namespace::new();
    let server = Server::start(&space, "sample");
    space.run(&format!("ip link set lethe0 mtu {mtu}"));
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().display();
    let head = space.run(&format!("curl -sSg --max-time 60 -o {path} -w '%{{size_header}}' {base}/{size}"));
    assert!(fs::read(file.path()).unwrap() == expected(size), "{base}/{size}, MTU {mtu}");
    // Then both have counted the same: what the server has sent, the kernel has received.
    let table = server.stop();
    let received = kernel_count(&space, "TcpInSegs");
    // Where the machine is busy, the kernel drops frames of a burst.
    let asked_again = kernel_count(&space, "TcpRetransSegs") > 0 || table.contains("  resent ");
    let without_data: usize = ["syn-ack", "settled", "late-ack", "fin-ack"].map(|name| row(&table, name)).iter().sum();
    (head.parse().unwrap(), (!asked_again).then(|| received - without_data), table)
}

/// Of a reply that no network damages, no byte is sent twice, and no segment is shorter than it could be.
#[track_caller]
fn check_fewest_segments(base: &str, size: usize, mtu: u16, mss: usize) {
    for _ in 0..ATTEMPTS {
        let (head, counted, table) = count_segments(base, size, mtu);
        if let Some(counted) = counted {
            // If the connection stays open, the length of segments is odd, and behind the last one goes an empty one
            // that opens the window. A byte that has been acknowledged goes ahead of the last one, unless the ACK
            // before that is the last.
            let is_kept = usize::from(mss >= KEPT_MSS_MIN);
            let segments = (head + size).div_ceil(mss - TIMESTAMPS - is_kept);
            // What stays on this machine is not cut: the kernel receives two segments as one, but for the last.
            let fewest = segments - (segments - 1) / 2 + is_kept;
            // Where a window ends between two segments, each of them goes by itself.
            let expected = fewest..=fewest + is_kept + segments / 64;
            assert!(expected.contains(&counted), "{base}/{size}, MTU {mtu}: {counted}, not {expected:?}\n{table}");
            return;
        }
    }
    panic!("{base}/{size}, MTU {mtu}: something was sent again, each of {ATTEMPTS} times");
}

#[test(root, "curl")]
fn a_reply_takes_the_fewest_segments_that_hold_it() {
    for size in [100_000, 1_000_000] {
        check_fewest_segments(V4, size, 1500, 1460);
        check_fewest_segments(V6, size, 1500, 1440);
    }
}

#[test(root, "curl")]
fn a_reply_fits_the_link_of_a_client_that_has_a_small_one() {
    check_fewest_segments(V4, 100_000, 576, 536);
    // Of 1240 bytes the cookie remembers 1220.
    check_fewest_segments(V4, 100_000, 1280, 1220);
    check_fewest_segments(V6, 100_000, 1280, 1220);
}

/// A server of the pattern behind a network that loses one frame of twenty, each way.
fn behind_loss() -> (Namespace, Server) {
    let space = Namespace::new();
    let server = Server::start(&space, "--impair loss=5%,delay=1ms,seed=7 sample");
    space.patient_neighbors("lethe0").unwrap();
    (space, server)
}

/// Everything arrives, whichever TCP features the client's kernel has switched off.
#[track_caller]
fn check_through_loss(setting: &str, sizes: &[usize]) {
    let (space, server) = behind_loss();
    space.run(setting);
    Downloads::new(&space, &[V4, V6], sizes).check("cat");
    assert!(kernel_count(&space, "TcpRetransSegs") > 0, "nothing was lost");
    let table = server.stop();
    assert!(row(&table, "first-window") >= sizes.len(), "{table}");
}

#[test(root, "curl")]
fn replies_of_100_kilobytes_arrive_through_loss() {
    check_through_loss("true", &[100_000; 20]);
}

#[test(root, "curl")]
fn replies_of_200_kilobytes_arrive_through_loss() {
    check_through_loss("true", &[200_000; 5]);
}

#[test(root, "curl")]
fn replies_that_have_no_position_arrive_through_loss() {
    // The sample application stores none of this size.
    check_through_loss("true", &[14_001; 10]);
}

#[test(root, "curl")]
fn a_client_without_selective_acknowledgments_gets_everything() {
    check_through_loss("echo 0 >/proc/sys/net/ipv4/tcp_sack", &[100_000; 10]);
}

#[test(root, "curl")]
fn a_client_without_timestamps_gets_everything() {
    check_through_loss("echo 0 >/proc/sys/net/ipv4/tcp_timestamps", &[14_000; 10]);
}

#[test(root, "curl")]
fn a_client_without_both_gets_everything() {
    check_through_loss("echo 0 | tee /proc/sys/net/ipv4/tcp_timestamps >/proc/sys/net/ipv4/tcp_sack", &[14_000; 6]);
}

#[test(root, "curl")]
fn a_client_without_window_scaling_gets_everything() {
    check_through_loss("echo 0 >/proc/sys/net/ipv4/tcp_window_scaling", &[100_000; 10]);
}

#[test(root, "curl")]
fn a_client_with_a_small_link_gets_everything_through_loss() {
    check_through_loss("ip link set lethe0 mtu 1280", &[100_000; 6]);
}

/// The server keeps nothing about a reply that is under way.
#[test(root, "curl")]
fn replies_go_on_from_another_server() {
    const SIZE: usize = 5_000_000;
    let space = Namespace::new();
    space.run("ip tuntap add lethe0 mode tap");
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    fs::write(&secret, "000102030405060708090a0b0c0d0e0f\n").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    // A window of 32 segments every 20 ms: the whole takes two seconds.
    let app = format!("--impair delay=10ms --secret-file {} sample", secret.display());
    let first = Server::start(&space, &app);
    let downloads = Downloads::new(&space, &[V4, V6], &[SIZE; 4]);
    std::thread::scope(|scope| {
        let whole = scope.spawn(|| downloads.check("cat"));
        downloads.wait_for(SIZE as u64 / 10);
        first.signal(Signal::SIGKILL);
        drop(first);
        let come: Vec<u64> = (0..4).map(|number| fs::metadata(downloads.path(number)).unwrap().len()).collect();
        assert!(come.iter().all(|&bytes| bytes < SIZE as u64), "{come:?}: it was all over");
        let second = Server::start(&space, &app);
        whole.join().unwrap();
        let table = second.stop();
        assert_eq!(row(&table, "first-window"), 0, "no transfer began anew: {table}");
    });
}

/// A slow reader closes its window; when the window opens again, the transfer goes on.
fn check_slow_reader(timestamps: u8) {
    let space = Namespace::new();
    let _server = Server::start(&space, "sample");
    space.run(&format!("echo {timestamps} >/proc/sys/net/ipv4/tcp_timestamps"));
    // A receive buffer that is full at once, as is the pipe behind it.
    space.run("echo 4096 16384 16384 >/proc/sys/net/ipv4/tcp_rmem");
    let reader = "(for pause in 1 2 3; do sleep 0.7; head --bytes 200000; done; cat)";
    let took = Downloads::new(&space, &[V4, V6], &[1_000_000; 2]).check(reader);
    assert!(took > Duration::from_secs(2), "{took:?} is not slow");
    // Closed, or so far that no segment fits: what was offered is not taken back.
    let closed = ["TcpExtTCPToZeroWindowAdv", "TcpExtTCPWantZeroWindowAdv"].map(|name| kernel_count(&space, name));
    assert!(closed.iter().sum::<usize>() > 0, "the window was never closed");
}

#[test(root, "curl")]
fn a_slow_reader_gets_everything() {
    check_slow_reader(1);
}

#[test(root, "curl")]
#[ignore = "most of a minute: the client's timer is all that goes on when its window opens again"]
fn a_slow_reader_without_timestamps_gets_everything() {
    check_slow_reader(0);
}

/// Fetches a number of bytes with a receive buffer of the size of the second argument, and prints how many came.
const SMALL_BUFFER: &str = "
import socket, sys
host, size, buffer = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
client = socket.socket(socket.AF_INET6 if ':' in host else socket.AF_INET)
client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
client.settimeout(20)
client.connect((host, 80))
client.sendall(b'GET /%d HTTP/1.1\\r\\nHost: h\\r\\nConnection: close\\r\\n\\r\\n' % size)
come = b''
while piece := client.recv(65536):
    come += piece
print(len(come.split(b'\\r\\n\\r\\n', 1)[1]))
";

/// With the least `SO_RCVBUF` that Linux takes, a window has 1152 bytes: less than a segment.
#[test(root, "python3")]
fn a_client_whose_window_is_smaller_than_a_segment_gets_everything() {
    for timestamps in [1, 0] {
        let space = Namespace::new();
        let _server = Server::start(&space, "sample");
        space.run(&format!("echo {timestamps} >/proc/sys/net/ipv4/tcp_timestamps"));
        for (base, size, buffer) in [(V4, 1_400, 1), (V4, 14_000, 1), (V6, 14_000, 1), (V4, 14_000, 2_000)] {
            let host = base.trim_start_matches("http://").trim_matches(['[', ']']);
            let come = space.run(&format!("python3 -c \"{SMALL_BUFFER}\" {host} {size} {buffer}"));
            assert_eq!(come.trim(), size.to_string(), "{base}, buffer {buffer}, timestamps {timestamps}");
        }
    }
}

#[test(root, "curl")]
fn a_reply_goes_in_segments_or_in_fragments_as_is_asked_for() {
    for (mode, verdict, reassembled) in [("segments", "first-window", 0), ("fragments", "response", 2)] {
        let space = Namespace::new();
        let server = Server::start(&space, &format!("--large-replies {mode} sample"));
        Downloads::new(&space, &[V4, V6], &[14_000; 2]).check("cat");
        let packets = kernel_count(&space, "IpReasmOKs") + kernel_count(&space, "Ip6ReasmOKs");
        assert!(packets >= reassembled && (packets == 0) == (reassembled == 0), "{mode}: {packets} were in fragments");
        let table = server.stop();
        assert!(row(&table, verdict) >= 2, "{mode}: {table}");
    }
}

lethe_harness::main!();
