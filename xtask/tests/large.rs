//! `cargo xtask large times`, and the network that it has servers share. Needs root.

use std::fs;
use std::path::Path;
use std::process::Command;

use lethe_harness::test;
use lethe_testnet::Namespace;
use lethe_testnet::relay::{self, Relay, Way};

fn binaries() -> &'static Path {
    let binaries = Path::new(env!("CARGO_BIN_EXE_xtask")).parent().unwrap();
    for (name, package) in [("lethe", "-p lethe-httpd"), ("examples/relay", "-p lethe-sim --example relay")] {
        assert!(binaries.join(name).exists(), "there is no {name} yet: cargo build {package}");
    }
    binaries
}

/// Runs a command of `cargo xtask` with the programs that are there, and returns its report.
fn measured(command: &str, out: &Path) -> String {
    let run = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(command.split(' '))
        .args(["--binaries".as_ref(), binaries().as_os_str(), "--out".as_ref(), out.as_os_str()])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&[run.stdout, run.stderr].concat()).into_owned();
    assert!(run.status.success(), "{text}");
    fs::read_to_string(out.join("performance.md")).unwrap()
}

/// A client, and two kernels behind one relay.
fn two_kernels(impairment: &str) -> (Relay, Namespace, [Namespace; 2]) {
    let (client, servers) = (Namespace::new(), [Namespace::new(), Namespace::new()]);
    let [one, other] = &servers;
    let program = binaries().join("examples/relay");
    let relay = relay::start(&program, &client, &[one, other], Way::Switch, impairment).unwrap();
    for (number, server) in servers.iter().enumerate() {
        server.address(&format!("server{number}"), number as u8 + 2).unwrap();
    }
    // IPv6 has something to say at any time.
    for space in [&client, one, other] {
        space.run("sysctl -qw net.ipv6.conf.all.disable_ipv6=1");
    }
    client.run("ping -c 1 -w 20 10.9.0.2; ping -c 1 -w 20 10.9.0.3");
    (relay, client, servers)
}

#[test(root, "ping")]
fn a_relay_that_is_a_switch_counts_what_each_server_sends_and_what_arrives() {
    let (mut relay, client, _servers) = two_kernels("delay=1ms");
    let before = relay.counters().unwrap();
    client.run("ping -q -c 10 -i 0.01 -s 1000 10.9.0.3");
    let after = relay.counters().unwrap();
    let grown =
        |number: usize| (after[number].frames - before[number].frames, after[number].bytes - before[number].bytes);
    assert_eq!(grown(1), (10, 10 * 1042), "{after:?}");
    assert_eq!(grown(0), (0, 0), "what has an address goes there alone: {after:?}");
    assert_eq!((after[1].longest, after[1].delivered), (1042, after[1].frames), "{after:?}");

    let (mut relay, client, _servers) = two_kernels("loss=30%,seed=3");
    let before = relay.counters().unwrap();
    assert!(!client.try_run("ping -q -c 40 -i 0.01 -W 1 10.9.0.2 | grep -q ' 0% packet loss'").0);
    let after = relay.counters().unwrap();
    let [sent, arrived] = [after[0].frames - before[0].frames, after[0].delivered - before[0].delivered];
    assert!((10..40).contains(&sent) && arrived < sent && arrived > 0, "{sent} sent, {arrived} arrived");
}

#[test(root, "nginx", "ethtool")]
fn times_of_downloads_have_a_row_and_a_chart_with_each_server() {
    let out = tempfile::tempdir().unwrap();
    let report = measured("large times --rtt 4,8,16 --loss 0 --size 14000,64000 --count 2", out.path());
    let rows: Vec<Vec<&str>> = report
        .lines()
        .filter(|line| line.starts_with("| ") && !line.contains("RTT"))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    assert_eq!(rows.len(), 6, "{report}");
    let head = report.lines().find(|line| line.starts_with("| RTT")).unwrap();
    let names: Vec<&str> =
        ["Lethe", "nginx, cubic", "nginx, bbr"].into_iter().filter(|name| head.contains(name)).collect();
    assert!(names.starts_with(&["Lethe", "nginx, cubic"]), "{head}");
    for row in &rows {
        let rtt: f64 = row[0].parse().unwrap();
        for (number, name) in names.iter().enumerate() {
            let (median, _) = row[4 + number].split_once(" / ").unwrap();
            let median: f64 = median.parse().unwrap();
            assert!(median * 1e3 >= 2.0 * rtt, "{name}: a handshake and a request take two round trips: {row:?}");
            let bytes: f64 = row[row.len() - names.len() + number].parse().unwrap();
            assert!((1.04..1.5).contains(&bytes), "{name}: {row:?}");
        }
    }
    for size in [14_000, 64_000] {
        let svg = fs::read_to_string(out.path().join(format!("charts/long-by-rtt-loss-0-{size}.svg"))).unwrap();
        assert!(svg.ends_with("</svg>\n") && !svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        assert!(names.iter().all(|name| svg.contains(&format!(">{name}<"))), "{svg}");
    }
}

#[test(root, "nginx", "ethtool")]
fn a_bottleneck_is_shared_by_all_that_are_beside_cubic() {
    let out = tempfile::tempdir().unwrap();
    let command = "fair --rate 10mbit --queue 1bdp --flows 2 --rounds 1 --seconds 2 --warmup 1 --beside lethe,cubic";
    let report = measured(command, out.path());
    for name in ["Lethe", "nginx, cubic"] {
        let start = format!("| 10mbit | 1 BDP | 2 | {name} | ");
        let row = report.lines().find_map(|line| line.strip_prefix(&start)).unwrap_or_else(|| panic!("{report}"));
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let number = |cell: &str| -> f64 { cell.split(' ').next().unwrap().parse().unwrap() };
        let [share, index, least, used] = [0, 1, 2, 3].map(|at| number(cells[at]));
        assert!((1.0..100.0).contains(&share) && (0.25..=1.0).contains(&index) && least < 1.0, "{report}");
        // No more than passes, headers aside, and not much less.
        assert!((50.0..=97.0).contains(&used), "{report}");
        assert!(number(cells[4]) + number(cells[5]) > 0.0, "a queue of 17 frames must drop some: {report}");
    }
}

lethe_harness::main!();
