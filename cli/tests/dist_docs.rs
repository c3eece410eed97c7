//! Man pages and completions, as `cargo xtask dist-docs` writes them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use lethe_harness::test;
use tempfile::TempDir;

const LETHE: &str = env!("CARGO_BIN_EXE_lethe");

fn written() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let status = Command::new(LETHE).arg("dist-docs").arg(directory.path()).status().unwrap();
    assert!(status.success());
    directory
}

/// The names of all commands and applications, each behind those that it belongs to, as the help lists them.
fn commands() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut open = vec!["lethe".to_owned()];
    while let Some(name) = open.pop() {
        let help = Command::new(LETHE).args(name.split(' ').skip(1)).arg("--help").output().unwrap();
        let help = String::from_utf8(help.stdout).unwrap();
        let is_heading = |line: &&str| matches!(*line, "Commands:" | "Applications:");
        let listed = help.lines().skip_while(|line| !is_heading(line)).skip(1).take_while(|line| !line.is_empty());
        let below = listed.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
        open.extend(below.filter(|word| !["", "help"].contains(word)).map(|word| format!("{name} {word}")));
        names.insert(name);
    }
    names
}

#[test]
fn every_command_has_a_man_page_and_no_other_is_there() {
    let directory = written();
    let pages = fs::read_dir(directory.path().join("man/man1")).unwrap();
    let pages: BTreeSet<String> = pages.map(|page| page.unwrap().file_name().into_string().unwrap()).collect();
    let expected: BTreeSet<String> = commands().iter().map(|name| name.replace(' ', "-") + ".1").collect();
    assert!(expected.len() > 20, "{expected:?}");
    assert_eq!(pages, expected);
    let serve = fs::read_to_string(directory.path().join("man/man1/lethe-serve.1")).unwrap();
    assert!(serve.contains("lethe serve") && serve.contains("config"), "{serve}");
}

#[test("man", "groff")]
fn man_reads_every_page_without_a_warning() {
    let directory = written();
    for page in fs::read_dir(directory.path().join("man/man1")).unwrap() {
        let page = page.unwrap().path();
        let mut man = Command::new("man");
        man.env("MANWIDTH", "100").args(["--warnings", "-E", "UTF-8", "-l", "-Tutf8"]).arg(&page);
        let output = man.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.is_empty(), "{}: {said}", page.display());
        assert!(!output.stdout.is_empty(), "{}", page.display());
    }
}

/// What bash completes the last word of a line to.
fn completed(directory: &Path, line: &str) -> BTreeSet<String> {
    let script = directory.join("bash-completion/completions/lethe");
    let words: Vec<&str> = line.split(' ').collect();
    let (last, before) = (words.len() - 1, words[words.len() - 2]);
    let current = words[last];
    // What bash does when the key is pressed: the function of the command gets the words, and leaves an array.
    let program = "source \"$1\"; shift; current=$1; before=$2; shift 2; COMP_WORDS=(\"$@\"); \
                   COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); COMP_LINE=\"$*\"; COMP_POINT=${#COMP_LINE}; \
                   compopt() { :; }; \
                   \"$(complete -p lethe | sed 's/.*-F \\([^ ]*\\).*/\\1/')\" lethe \"$current\" \"$before\"; \
                   printf '%s\\n' \"${COMPREPLY[@]}\"";
    let mut bash = Command::new("bash");
    bash.args(["--norc", "-c", program, "bash"]).arg(script).args([current, before]).args(words);
    let output = bash.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
    String::from_utf8(output.stdout).unwrap().lines().filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

#[test("bash")]
fn bash_completes_commands_applications_options_and_values() {
    let directory = written();
    for (line, expect) in [
        ("lethe ser", &["serve"][..]),
        ("lethe be", &["bench"]),
        ("lethe dist", &[]),
        ("lethe serve --secret", &["--secret-file"]),
        ("lethe serve fil", &["files"]),
        ("lethe serve --keep-alive o", &["off", "on"]),
        ("lethe prepare ip", &["ipinfo"]),
    ] {
        let expect: BTreeSet<String> = expect.iter().map(|&word| word.to_owned()).collect();
        assert_eq!(completed(directory.path(), line), expect, "{line}");
    }
}

#[test]
fn every_shell_has_its_file() {
    let directory = written();
    for file in
        ["bash-completion/completions/lethe", "zsh/site-functions/_lethe", "fish/vendor_completions.d/lethe.fish"]
    {
        let text = fs::read_to_string(directory.path().join(file)).unwrap();
        assert!(text.contains("serve") && !text.contains("dist-docs"), "{file}");
    }
}

lethe_harness::main!();
