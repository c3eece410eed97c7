//! The real `lethe` in a virtual machine, on network cards that QEMU emulates: DPDK's PCI drivers, with descriptor
//! rings, checksums made and checked by the card, and real clients at the other end. One line of a table a card.
//! Needs root; docs/guest.md has the rest.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use lethe_harness::test;
use lethe_sim::sample::expected;
use lethe_testnet::capture::{Capture, data_segments};
use lethe_testnet::guest::{Guest, Settings};
use lethe_testnet::{V4, V6};

/// What a card is bound to: a driver of the kernel that gives it to a program, behind an IOMMU or without one.
const VFIO: &str = "vfio-pci";
const UIO: &str = "uio_pci_generic";

/// QEMU translates every instruction of the guest, which takes some six seconds for this many requests.
const AB: &str = "-n 20000 -c 200";

#[test(root, "curl", "ab", "nft", "ping", "qemu-system-x86_64", "tcpdump")]
fn e1000() {
    check("e1000", 1, VFIO, Cutting::ByEngine);
}

#[test(root, "curl", "ab", "nft", "ping", "qemu-system-x86_64", "tcpdump")]
fn e1000e() {
    check("e1000e", 1, VFIO, Cutting::ByEngine);
}

#[test(root, "curl", "ab", "nft", "ping", "qemu-system-x86_64", "tcpdump")]
fn vmxnet3() {
    check("vmxnet3", 1, VFIO, Cutting::ByCard);
}

#[test(root, "curl", "ab", "nft", "ping", "qemu-system-x86_64", "tcpdump")]
fn virtio() {
    check("virtio-net-pci", 1, VFIO, Cutting::ByCard);
}

#[test(root, "curl", "ab", "nft", "ping", "qemu-system-x86_64", "tcpdump")]
fn virtio_with_two_queues_and_two_workers_and_without_an_iommu() {
    check("virtio-net-pci", 2, UIO, Cutting::ByCard);
}

/// What makes segments of a frame that has room for two.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cutting {
    /// Nothing: each segment is written by itself.
    ByEngine,
    /// The card, or what it hands the frame to.
    ByCard,
}

/// Everything that a client can do, through one card.
fn check(card: &str, queues: usize, bind: &str, cutting: Cutting) {
    // Two guests at a time would take four processors.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let started = Instant::now();
    let guest = Serving::start(card, queues, bind);
    let boot = started.elapsed().as_secs_f64();

    for base in [V4, V6] {
        assert_eq!(guest.fetch(&format!("{base}/1000")), expected(1000));
    }
    for ping in ["ping 10.9.0.2", "ping -s 1400 10.9.0.2", "ping -6 fd09::2", "ping -6 -s 1400 fd09::2"] {
        // One at a time: after several it would not wait for the last on a machine that is busy.
        guest.run(&format!("for _ in 1 2 3 4 5; do {ping} -c 1 -W 20 || exit; done"));
    }
    let ab = guest.run(&format!("ab -q -r {AB} {V4}/100"));
    let line = |name: &str| ab.lines().find_map(|line| line.strip_prefix(name)).map_or("none", str::trim);
    assert_eq!(line("Complete requests:"), "20000", "{card}: {ab}");
    assert_eq!((line("Failed requests:"), line("Non-2xx responses:")), ("0", "none"), "{card}: {ab}");
    for base in [V4, V6].into_iter().cycle().take(20) {
        assert!(guest.fetch(&format!("{base}/100000")) == expected(100_000), "{card}: {base}");
    }
    for base in [V4, V6] {
        guest.check_cutting(base, cutting, card);
    }
    let started = Instant::now();
    assert!(guest.fetch(&format!("{V4}/10000000")) == expected(10_000_000), "{card}");
    let rate = 10.0 / started.elapsed().as_secs_f64();
    guest.send_wrong_checksums();

    let (beginning, end) = guest.stop();
    check_end(card, queues, &end);
    // What the program says of the port: driver, workers, and who does what about checksums.
    let port = beginning.lines().find_map(|line| line.split_once("(net_")).map_or("", |(_, port)| port);
    assert!(beginning.contains(&format!("is bound to {bind}")), "{card}: {beginning}");
    assert!(port.contains("checked by the card, ") && port.contains("the card (TCP)"), "{card}: {beginning}");
    println!(
        "\n| {card}, {bind} | net_{} | ready in {boot:.0} s | curl v4, v6 | ping v4, v6: 0 of 20 lost | ab {AB}: 0 \
         failed | 100 kB x 20, 10 MB: equal, {rate:.1} MB/s | wrong checksums dropped |",
        port.replacen("):", ",", 1)
    );
}

/// Checks the program's last output: it ended well, every worker received packets, the wrong checksums were noticed,
/// and every buffer was given back.
fn check_end(card: &str, queues: usize, end: &str) {
    let workers: Vec<_> = end.lines().filter(|line| line.starts_with("lcore ")).collect();
    assert_eq!(workers.len(), queues, "{card}: {end}");
    assert!(workers.iter().all(|line| !line.contains(": in 0,")), "{card}: a worker had nothing to do:\n{end}");
    for expected in ["guest: the program ended with status 0", "tcp-checksum", "ipv4-checksum"] {
        assert!(end.contains(expected), "{card}: no {expected:?} in\n{end}");
    }
    let kept = end.lines().find(|line| line.contains("buffers not given back")).unwrap_or("no line of buffers");
    assert!(kept.trim_start().starts_with("0 "), "{card}: {kept}");
}

/// A guest that serves, and what it said until it was ready.
struct Serving {
    guest: Guest,
    text: String,
}

impl Serving {
    /// One that answers with `sample`, ready on return.
    fn start(card: &str, queues: usize, bind: &str) -> Self {
        let cores = format!("-l 0-{}", queues - 1);
        let arguments =
            ["serve", "--device", "dpdk:0", "--eal", &cores, "--addr", "10.9.0.2", "--addr", "fd09::2", "sample"];
        let settings = Settings {
            card: card.to_owned(),
            bind: bind.to_owned(),
            queues,
            ready: "listening on".to_owned(),
            program: env!("CARGO_BIN_EXE_lethe").into(),
            arguments: arguments.map(String::from).to_vec(),
        };
        let mut text = String::new();
        let guest = Guest::start(&settings, |line| text = format!("{text}{line}\n"));
        Self { guest: guest.unwrap_or_else(|error| panic!("{card}: {error:#}\n{text}")), text }
    }

    /// Runs a shell line as the guest's neighbor, and returns what it printed.
    #[track_caller]
    fn run(&self, line: &str) -> String {
        self.guest.space.run(line)
    }

    #[track_caller]
    fn fetch(&self, url: &str) -> Vec<u8> {
        let output = self.guest.space.command("timeout").args(["180", "curl", "-sSg", url]).output().unwrap();
        assert!(output.status.success(), "{url}: {output:?}");
        output.stdout
    }

    /// Fetches a long response, and sees how many segments there are in the frames that leave the guest.
    fn check_cutting(&self, base: &str, cutting: Cutting, card: &str) {
        const SIZE: usize = 1_000_000;
        const MSS: usize = 1460;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("capture");
        let capture = Capture::start(&self.guest.space, "tap", &path, &["src", "port", "80"]).unwrap();
        assert!(self.fetch(&format!("{base}/{SIZE}")) == expected(SIZE), "{card}: {base}");
        capture.stop().unwrap();
        let lengths = data_segments(&path).unwrap();
        let pairs = lengths.iter().filter(|&&length| length > MSS).count();
        match cutting {
            Cutting::ByEngine => assert_eq!(pairs, 0, "{card}: {base}: {lengths:?}"),
            // What is sent again goes a segment a frame, and on a machine that is busy some is. Pairs have half of the
            // response at least.
            Cutting::ByCard => assert!(pairs * 2 * MSS >= SIZE / 2, "{card}: {base}: {lengths:?}"),
        }
    }

    /// Sends packets whose checksums are wrong, and sees that they are not answered.
    fn send_wrong_checksums(&self) {
        for wrong in ["tcp checksum set 0xdead", "ip checksum set 0xdead"] {
            self.run(&format!(
                "nft 'table netdev wrong {{ chain card {{
                     type filter hook egress device tap priority 0; ip protocol tcp {wrong}; }}; }}'"
            ));
            assert!(!self.guest.space.try_run(&format!("curl -sS --max-time 1 {V4}/100")).0, "{wrong}");
            self.run("nft delete table netdev wrong");
        }
        assert_eq!(self.fetch(&format!("{V4}/100")), expected(100));
    }

    /// Interrupts the program, waits until the guest is off, and returns what it said at its beginning and its end.
    fn stop(self) -> (String, String) {
        (self.text, self.guest.stop().unwrap())
    }
}

lethe_harness::main!();
