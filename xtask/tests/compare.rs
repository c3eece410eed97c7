//! `cargo xtask compare --quick`: every server answers as Lethe does, and has its row. Needs root, and two CPUs.

use std::fs;
use std::path::Path;
use std::process::Command;

use lethe_harness::test;

/// The names of those that short connections are made to.
const SERVERS: [&str; 14] = [
    "Lethe, tap",
    "Lethe, packet, 1 worker",
    "Lethe, xdp",
    "Lethe, packet, --gather 50us",
    "Lethe, xdp, --gather 50us",
    "nginx, return, 1 worker",
    "nginx, return, 2 workers",
    "nginx, file, 1 worker",
    "nginx, file, 2 workers",
    "epoll, one thread",
    "io_uring, one thread",
    "poll, one thread",
    "a thread a connection",
    "a process a connection",
];

/// The names of those that keep connections open.
const KEEPERS: [&str; 6] = [
    "Lethe, tap",
    "Lethe, packet, 1 worker",
    "Lethe, xdp",
    "nginx, return, 1 worker",
    "epoll, one thread",
    "io_uring, one thread",
];

/// All charts.
const CHARTS: [&str; 12] = [
    "cost-of-a-connection",
    "cost-of-a-kept-request",
    "latency-by-rate",
    "latency-by-rate-in-flood",
    "goodput-in-flood",
    "memory",
    "cost-by-open-connections",
    "cost-by-size",
    "cost-by-files",
    "cost-by-candidates",
    "cost-by-workers",
    "cost-by-burst",
];

/// The rows of the table under a heading that begins so, each as its cells.
fn rows<'r>(report: &'r str, heading: &str) -> Vec<Vec<&'r str>> {
    let section = report.split("### ").find(|section| section.starts_with(heading));
    let section = section.unwrap_or_else(|| panic!("no {heading}\n{report}"));
    let lines = section.lines().filter(|line| line.starts_with('|'));
    lines.skip(2).map(|line| line.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

#[test(root, "nginx", "ab", "wrk", "h2load", "ethtool")]
fn a_quick_comparison_has_a_row_for_everybody() {
    let binaries = Path::new(env!("CARGO_BIN_EXE_xtask")).parent().unwrap();
    let packages = ["-p lethe-httpd", "-p lethe-peers", "-p lethe-sim --example relay"];
    for (name, package) in ["lethe", "lethe-peers", "examples/relay"].into_iter().zip(packages) {
        assert!(binaries.join(name).exists(), "there is no {name} yet: cargo build {package}");
    }
    let out = tempfile::tempdir().unwrap();
    let run = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(["compare".as_ref(), "--quick".as_ref(), "--binaries".as_ref(), binaries.as_os_str()])
        .args(["--out".as_ref(), out.path().as_os_str()])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&[run.stdout, run.stderr].concat()).into_owned();
    assert!(run.status.success(), "{text}");

    let report = fs::read_to_string(out.path().join("performance.md")).unwrap();
    for (connections, servers, clients) in [
        ("Short", &SERVERS[..], ["ab, 10 at a time", "ab, 50 at a time", "wrk, 10 at a time"]),
        ("Kept", &KEEPERS[..], ["ab -k, 10 at a time", "h2load --h1, 10 at a time", "wrk, 10 at a time"]),
    ] {
        for client in clients {
            let rows = rows(&report, &format!("{connections} connections: {client}"));
            assert_eq!(rows.len(), servers.len(), "{connections}, {client}\n{report}");
            for &server in servers {
                let row = rows.iter().find(|row| row[0] == server).unwrap_or_else(|| panic!("{server}\n{report}"));
                let (spent, failed) = (row[1].split(' ').next().unwrap(), row[row.len() - 1]);
                assert!(spent.parse::<f64>().unwrap() > 0.0, "{server} cannot have cost {spent}");
                assert_eq!(failed, "0", "{server}, {client}: requests that failed");
            }
        }
        assert_eq!(rows(&report, &format!("{connections} connections: latency, wrk")).len(), servers.len(), "{report}");
        let beside = rows(&report, &format!("{connections} connections: Lethe beside nginx"));
        let ways = servers.iter().filter(|server| server.starts_with("Lethe")).count();
        assert_eq!(beside.len(), 3 * ways, "so many ways and three clients\n{report}");
    }
    let paced = rows(&report, "Latency at a fixed rate");
    assert_eq!(paced.len(), 5 * 3, "five servers, two rates and one in a flood\n{report}");
    let flood = rows(&report, "Goodput under a SYN flood");
    assert_eq!(flood.len(), 4 * 2, "four servers, without a flood and with one\n{report}");
    for row in paced.iter().chain(&flood) {
        assert!(row[row.len() - 2].parse::<f64>().is_ok_and(|latency| latency > 0.0), "no answer: {row:?}");
    }
    let open: Vec<_> = rows(&report, "Open connections").iter().map(|row| row[1]).collect();
    assert_eq!(open, ["0", "20", "500"].repeat(7), "{report}");
    assert_eq!(rows(&report, "Completion time under loss").len(), 6, "{report}");
    for (heading, chart, servers) in [
        ("Cost by the size of a reply", "cost-by-size", 3),
        ("Cost by the number of files", "cost-by-files", 2),
        ("Cost by the number of exam results", "cost-by-candidates", 2),
        ("Cost by the number of workers", "cost-by-workers", 2),
        ("Cost by the frames that are taken at a time", "cost-by-burst", 2),
    ] {
        assert_eq!(rows(&report, heading).len(), 2 * servers, "two steps\n{report}");
        assert!(report.contains(&format!("(charts/{chart}.svg)")), "{report}");
    }
    assert!(!report.contains("What failed"), "{report}");
    for chart in CHARTS {
        let svg = fs::read_to_string(out.path().join(format!("charts/{chart}.svg"))).unwrap();
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"), "{svg}");
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }
}

lethe_harness::main!();
