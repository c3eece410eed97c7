//! Each command of `cargo xtask` explains itself, and those that take no minutes do what they say.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use lethe_harness::test;
use lethe_testnet::binary;

const XTASK: &str = env!("CARGO_BIN_EXE_xtask");

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

/// The names of all commands, as the help lists them.
fn commands() -> Vec<String> {
    let help = said(&Command::new(XTASK).arg("--help").output().unwrap());
    let list = help.split("Commands:").nth(1).unwrap_or_else(|| panic!("{help}")).split("Options:").next().unwrap();
    let names =
        list.lines().filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next().map(|name| (line, name)));
    names.filter(|(line, name)| !line.starts_with("   ") && *name != "help").map(|(_, name)| name.to_owned()).collect()
}

#[test]
fn every_command_explains_itself_with_an_example_of_its_own() {
    let commands = commands();
    assert!(commands.len() > 5, "{commands:?}");
    for command in commands {
        let help = Command::new(XTASK).args([&command, "--help"]).output().unwrap();
        let text = said(&help);
        assert!(help.status.success() && text.contains("Usage: "), "{command}: {text}");
        assert!(text.contains("Example") && text.contains(&format!("\n  cargo xtask {command} ")), "{command}: {text}");
        let wrong = Command::new(XTASK).args([&command, "--no-such-option"]).output().unwrap();
        assert_eq!(wrong.status.code(), Some(2), "{command}: {}", said(&wrong));
    }
}

#[test("valgrind")]
fn instructions_fail_where_there_is_nothing_to_compare_with() {
    let folder = tempfile::tempdir().unwrap();
    let rustc = folder.path().join("rustc");
    fs::write(&rustc, "#!/bin/sh\necho 'rustc 1.2.3 (of another day)'\n").unwrap();
    fs::set_permissions(&rustc, PermissionsExt::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
    let gate = Command::new(XTASK).arg("instructions").env("PATH", path).output().unwrap();
    let said = said(&gate);
    assert_eq!(gate.status.code(), Some(1), "{said}");
    for part in ["no figures of rustc 1.2.3", "rust-toolchain.toml", "cargo xtask instructions --update"] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test(root, "nginx")]
fn load_opens_connections_and_tells_of_memory() {
    for server in ["lethe", "nginx"] {
        let output = Command::new("timeout")
            .args(["120", XTASK, "load", "rate", "200", "--for", "1s", "--server", server, "--lethe"])
            .arg(binary())
            .output()
            .unwrap();
        let text = said(&output);
        assert!(output.status.success(), "{text}");
        assert!(text.contains("         200  answered, all bytes right (all)"), "{text}");
        assert!(text.contains("server has"), "{text}");
    }
}

#[test(root)]
fn load_has_idle_connections_answered_without_a_page_more() {
    let output = Command::new("timeout")
        .args(["120", XTASK, "load", "kept", "2000", "--think", "1s", "--now", "--lethe"])
        .arg(binary())
        .output()
        .unwrap();
    let text = said(&output);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("2000 connections, 6000 requests answered, all bytes as they should be"), "{text}");
}

#[test(root, "nginx")]
fn kept_has_a_row_for_each_server_and_loss_and_no_failure() {
    let binaries = Path::new(XTASK).parent().unwrap();
    let relay = binaries.join("examples/relay");
    assert!(relay.exists(), "there is no {} yet: cargo build -p lethe-sim --example relay", relay.display());
    let output = Command::new("timeout")
        .args(["120", XTASK, "kept", "--loss", "0,5", "--clients", "10", "--requests", "20", "--binaries"])
        .arg(binaries)
        .output()
        .unwrap();
    let text = said(&output);
    assert!(output.status.success(), "{text}");
    for (loss, server) in [(0, "Lethe"), (0, "nginx"), (5, "Lethe"), (5, "nginx")] {
        let row = format!("| {loss} % | {server} | 200 | 0 | 10 | 0 |");
        assert!(text.contains(&row), "{row}: {text}");
    }
}

#[test(root)]
fn guest_says_what_is_wrong_before_it_begins() {
    for (arguments, expect) in [
        (&["ne2000", "/bin/true"][..], "there is no card ne2000 here"),
        (&["e1000", "/no/such/program"], "/no/such/program is no program"),
        (&["--queues", "9", "e1000", "/bin/true"], "--queues is a number from 1 to 8"),
    ] {
        let output = Command::new(XTASK).arg("guest").args(arguments).output().unwrap();
        assert!(!output.status.success() && said(&output).contains(expect), "{arguments:?}: {}", said(&output));
    }
}

lethe_harness::main!();
