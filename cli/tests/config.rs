//! `lethe serve --config`: the file, the environment and the command line of a real process.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// Runs `lethe serve` with arguments that are separated by spaces, in `directory`, with these variables.
fn serve(directory: &Path, arguments: &str, variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lethe"));
    command.env_clear().envs(variables.iter().copied()).current_dir(directory).arg("serve");
    command.args(arguments.split(' ').filter(|word| !word.is_empty())).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).unwrap()
}

/// What is in force: standard output of `--print-config`.
#[track_caller]
fn in_force(file: &str, arguments: &str, variables: &[(&str, &str)]) -> String {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("a.toml"), file).unwrap();
    let output = serve(directory.path(), &format!("--print-config {arguments}"), variables);
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout).to_owned()
}

/// What is said of a mistake, and the exit code.
#[track_caller]
fn check_error(file: &str, arguments: &str, variables: &[(&str, &str)], expect: &str) {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("a.toml"), file).unwrap();
    let output = serve(directory.path(), arguments, variables);
    let said = text(&output.stderr);
    assert!(!output.status.success() && said.contains(expect), "{expect}: {said}");
}

const FILE: &str = "device = 'tap:file'\naddr = ['10.9.0.2']\nburst = 3\nceiling = 30\n[sample]\nmax = 4\n";

#[test]
fn the_command_line_goes_before_the_environment_and_that_before_the_file() {
    let variables = [("LETHE_BURST", "5"), ("LETHE_CEILING", "50"), ("LETHE_SAMPLE_MAX", "6")];
    let found = in_force(FILE, "--config a.toml --ceiling 70", &variables);
    let lines = ["device = \"tap:file\"", "ceiling = 70", "burst = 5", "first-window = 10", "[sample]", "max = 6"];
    for line in lines {
        assert!(found.lines().any(|found| found == line), "{line}: {found}");
    }
}

#[test]
fn the_environment_alone_can_say_all_but_the_application() {
    let variables = [
        ("LETHE_DEVICE", "tap:t"),
        ("LETHE_ADDR", "10.9.0.2,fd09::2"),
        ("LETHE_TCP_PORT", "80,8080"),
        ("LETHE_STATS", "true"),
        ("LETHE_IPINFO_DB", "places.db"),
    ];
    let found = in_force("", "ipinfo", &variables);
    for line in [
        "addr = [\"10.9.0.2\", \"fd09::2\"]",
        "tcp-port = [80, 8080]",
        "stats = true",
        "[ipinfo]",
        "db = \"places.db\"",
    ] {
        assert!(found.lines().any(|found| found == line), "{line}: {found}");
    }
    let by_file = in_force(FILE, "", &[("LETHE_CONFIG", "a.toml")]);
    assert!(by_file.contains("device = \"tap:file\"\n"), "{by_file}");
}

#[test]
fn a_wrong_variable_is_named() {
    check_error(FILE, "--config a.toml", &[("LETHE_BURST", "999")], "LETHE_BURST");
    check_error(FILE, "--config a.toml", &[("LETHE_STATS", "maybe")], "LETHE_STATS");
    // Not where the command line goes before it.
    let output = in_force(FILE, "--config a.toml --burst 7", &[("LETHE_BURST", "999")]);
    assert!(output.contains("burst = 7\n"), "{output}");
}

#[test]
fn what_is_in_force_can_be_the_file() {
    let first = in_force(FILE, "--config a.toml --stats", &[("LETHE_MTU", "1")]);
    assert_eq!(in_force(&first, "--config a.toml", &[]), first);
    for app in ["files . --hidden --field /*=x", "ipinfo", "respond rules.toml", "sample", "scores a.image"] {
        let app = app.replace("--field /*=x", "--clean-urls");
        let first = in_force("", &format!("--device tap:t --addr 10.9.0.2 {app}"), &[]);
        assert_eq!(in_force(&first, "--config a.toml", &[]), first, "{app}");
    }
}

#[test]
fn a_mistake_in_the_file_ends_the_command_with_its_place() {
    check_error("adr = 1\n", "--config a.toml", &[], "lethe: a.toml:1:1: adr: there is neither");
    check_error("", "--config b.toml", &[], "lethe: cannot read b.toml: No such file");
    let device = "lethe: a.toml:1:1: device: there is no kind of device called `tape`";
    check_error("device = 'tape:a'\naddr = '10.9.0.2'\n[ipinfo]\n", "--config a.toml", &[], device);
    let addr = "a.toml:2:1: addr: --addr 0.0.0.0: ";
    check_error("device = 'tap:a'\naddr = '0.0.0.0'\n[ipinfo]\n", "--config a.toml", &[], addr);
    let host = "a.toml:2:1: addr: 10.9.0.2 cannot be both the server's and the kernel's";
    let file = "device = 'tap:a,host=10.9.0.2/24'\naddr = '10.9.0.2'\n[ipinfo]\n";
    check_error(file, "--config a.toml", &[], host);
    // What the command line has said instead is no mistake of the file.
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("a.toml"), FILE).unwrap();
    let output = serve(directory.path(), "--config a.toml --addr 0.0.0.0 --print-config", &[]);
    assert!(text(&output.stderr).starts_with("lethe: --addr 0.0.0.0: "), "{}", text(&output.stderr));
}

#[test]
fn a_user_that_the_server_cannot_go_on_as_is_told_before_data_is_loaded() {
    for (user, why) in [("no-such-user", "there is no user called"), ("root", "--user root is root")] {
        let file = format!("device = 'tap:a'\naddr = '10.9.0.2'\nuser = '{user}'\n[ipinfo]\ndb = 'missing'\n");
        check_error(&file, "--config a.toml", &[], &format!("lethe: a.toml:3:1: user: {why}"));
        let words = format!("--device tap:a --addr 10.9.0.2 --user {user} ipinfo --db missing");
        check_error("", &words, &[], &format!("lethe: {why}"));
    }
}

#[test]
fn what_is_missing_in_the_file_is_told_as_on_the_command_line() {
    check_error("addr = '10.9.0.2'\n[ipinfo]\n", "--config a.toml", &[], "--device <DEVICE>");
    check_error("device = 'tap:t'\naddr = '10.9.0.2'\n", "--config a.toml", &[], "requires a subcommand");
    check_error("device = 'tap:t'\naddr = '10.9.0.2'\n[files]\n", "--config a.toml", &[], "<DIR_OR_IMAGE>");
}
