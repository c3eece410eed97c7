//! Real clients that reach a real port through a bad network, and what Wireshark makes of a simulated one.
//! Needs root.
//!
//! What a link loses depends on the order in which the kernel sends, so no two runs are the same; what the
//! clients read must be.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use lethe_harness::test;
use lethe_sim::sample::expected;
use lethe_testnet::{Namespace, Server, V4, V6};

/// The network: one frame of ten is lost, each way.
const NETWORK: &str = "--impair loss=10%,seed=7";

/// How often each client fetches.
const FETCHES: usize = 100;

/// How many bytes a fetch asks for: from none to what takes two fragments.
fn size(fetch: usize) -> usize {
    fetch * 20
}

/// Fetches go by turns to the two addresses.
fn url(fetch: usize) -> String {
    let base = if fetch.is_multiple_of(2) { V4 } else { V6 };
    format!("{base}/{}", size(fetch))
}

/// A server behind that network.
fn behind_loss() -> (Namespace, Server) {
    let space = Namespace::new();
    let server = Server::start(&space, &format!("{NETWORK} sample"));
    space.patient_neighbors("lethe0").unwrap();
    (space, server)
}

/// The first packets of responses.
const RESPONSES: &[&str] = &["response", "first-window"];

/// Checks that there was a packet of one of these kinds at least for each fetch, and that the network lost as much as
/// it was told to.
fn check_network(space: &Namespace, server: Server, kinds: &[&[&str]]) {
    let repeated = "awk '/^Tcp: [0-9]/ { print $13 }' /proc/net/snmp";
    let repeated: usize = space.run(repeated).trim().parse().unwrap();
    // Of a fetch, one SYN in five and one request in five are sent again.
    assert!(repeated > FETCHES / 10, "the kernel sent only {repeated} segments again");
    let table = server.stop();
    for rows in kinds {
        let is_one = |line: &&str| line.split_whitespace().nth(2).is_some_and(|name| rows.contains(&name));
        let count = |line: &str| line.split_whitespace().next().unwrap().parse::<usize>().unwrap();
        let count: usize = table.lines().filter(is_one).map(count).sum();
        assert!(count >= FETCHES, "{rows:?}: {table}");
    }
}

#[test(root, "curl")]
fn curl_gets_everything_through_a_network_that_loses_a_tenth() {
    let (space, server) = behind_loss();
    let folder = tempfile::tempdir().unwrap();
    // A SYN is sent seven times within two minutes, even by an older kernel: less than one connection in 100,000 fails.
    let list: Vec<String> = (0..FETCHES).map(|fetch| format!("{fetch} {}", url(fetch))).collect();
    fs::write(folder.path().join("list"), list.join("\n") + "\n").unwrap();
    let curl = "curl --silent --show-error --globoff --max-time 120 --output $0 $1";
    space.run(&format!("cd {}; xargs -P 25 -L 1 sh -c '{curl}' <list", folder.path().display()));
    for fetch in 0..FETCHES {
        let body = fs::read(folder.path().join(fetch.to_string())).unwrap();
        assert!(body == expected(size(fetch)), "{}: {} other bytes", url(fetch), body.len());
    }
    check_network(&space, server, &[&["syn-ack"], RESPONSES]);
}

#[test(root, "chromium")]
fn a_browser_gets_everything_through_a_network_that_loses_a_tenth() {
    let (space, server) = behind_loss();
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("page.html");
    fs::write(&page, fetching_page()).unwrap();
    // The page is a file and so of another origin: what it fetches it may read only without web security. Time
    // stands still for a page while it fetches, so its time is not over before all has come.
    let text = space.run(&format!(
        "chromium --headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync \
         --disable-dev-shm-usage --disable-background-networking --disable-component-update --disable-web-security \
         --user-data-dir={} --virtual-time-budget=1000000 --dump-dom file://{} 2>/dev/null",
        folder.path().join("profile").display(),
        page.display()
    ));
    let fetched: BTreeSet<&str> = text.lines().filter(|line| line.starts_with("fetched ")).collect();
    assert_eq!(fetched.len(), FETCHES, "{text}");
    for fetch in 0..FETCHES {
        let line = format!("fetched {} {}", url(fetch), hex(&expected(size(fetch))));
        assert!(fetched.contains(line.as_str()), "{}: {text}", url(fetch));
    }
    // It keeps its connections.
    check_network(&space, server, &[RESPONSES]);
}

/// A page that fetches everything, and writes down what it got.
fn fetching_page() -> String {
    let urls: Vec<String> = (0..FETCHES).map(url).collect();
    format!(
        "<!doctype html><pre id=out></pre><script>
        const hex = byte => byte.toString(16).padStart(2, '0');
        const show = line => document.getElementById('out').append('\\n' + line + '\\n');
        async function get(url) {{
            const reply = await fetch(url);
            const body = new Uint8Array(await reply.arrayBuffer());
            show(`fetched ${{url}} ${{[...body].map(hex).join('')}}`);
        }}
        {urls:?}.map(url => get(url).catch(error => show(`${{url}}: ${{error}}`)));
        </script>"
    )
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// What `lethe simulate` writes down, Wireshark can show: which end of the link, and what became of a frame.
#[test("tshark")]
fn a_recorded_simulation_says_in_wireshark_what_became_of_each_frame() {
    let folder = tempfile::tempdir().unwrap();
    let pcap = folder.path().join("out.pcapng");
    let simulate = ["simulate", "--seed", "1", "--requests", "20", "--impair", "loss=20%,corrupt=5%,delay=20ms"];
    let lethe = Command::new(env!("CARGO_BIN_EXE_lethe")).args(simulate).arg("--pcap").arg(&pcap).output().unwrap();
    assert!(lethe.status.success(), "{}", String::from_utf8_lossy(&lethe.stderr));
    let fields = ["-T", "fields", "-e", "frame.interface_name", "-e", "frame.comment"];
    let output = Command::new("tshark").env("HOME", folder.path()).arg("-r").arg(&pcap).args(fields).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let frames: Vec<(&str, &str)> = text.lines().map(|line| line.split_once('\t').unwrap()).collect();
    assert!(frames.len() > 200, "{text}");
    let sides: BTreeSet<&str> = frames.iter().map(|(side, _)| *side).collect();
    assert_eq!(sides, BTreeSet::from(["client side", "server side"]));
    for (_, comment) in &frames {
        assert!(comment.starts_with("sent: ") || comment.starts_with("arrived: "), "{comment}");
        assert!(comment.contains("(client "), "{comment}");
    }
    for fate in ["sent: lost ", "delayed 20ms", "corrupted"] {
        assert!(frames.iter().any(|(_, comment)| comment.contains(fate)), "{fate}: {text}");
    }
}

lethe_harness::main!();
