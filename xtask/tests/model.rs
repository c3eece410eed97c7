//! `cargo xtask model --quick`: nothing is wrong with the rules, and something without each of them.

use std::fs;
use std::process::Command;

use lethe_harness::test;

#[test("spin", "cc")]
fn the_rules_hold_and_each_of_them_is_needed() {
    let out = tempfile::tempdir().unwrap();
    let run = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(["model".as_ref(), "--quick".as_ref(), "--out".as_ref(), out.path().as_os_str()])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&[run.stdout, run.stderr].concat()).into_owned();
    assert!(run.status.success(), "{text}");
    let report = fs::read_to_string(out.path().join("model.md")).unwrap();
    for client in ["closes", "closes its end at once", "keeps the connection", "keeps it, and does not wait"] {
        assert_eq!(report.matches(&format!("\n| {client} | 2 |")).count(), 1, "{client}\n{report}");
    }
    let model = fs::read_to_string(lethe_testnet::root().join("model/long.pml")).unwrap();
    let switches = model.lines().filter_map(|line| line.split_once("def WITHOUT_")).map(|(_, name)| name.trim());
    let mut count = 0;
    // Without the old byte, and without what opens the window, all holds as well: they save a round trip.
    for switch in switches.filter(|name| !matches!(*name, "OLD_BYTE" | "OPENING")) {
        let (_, shown) =
            report.split_once(&format!("\n`WITHOUT_{switch}`: ")).unwrap_or_else(|| panic!("{switch}\n{report}"));
        let (_, trail) = shown.split_once("```text\n").unwrap();
        assert!(trail.starts_with("client:  parts 0 to 3"), "{switch}\n{trail}");
        count += 1;
    }
    assert!(count >= 9, "{count} rules can be taken out");
}

lethe_harness::main!();
