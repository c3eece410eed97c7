//! The gates themselves: that they close. A gate that compares nothing, or a test that is not found, would be open.

use std::fs;
use std::path::{Path, PathBuf};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn read(path: impl AsRef<Path>) -> String {
    let path = Path::new(ROOT).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The files of the repository whose names `is_wanted` wants: neither what was built, nor what is hidden.
fn files(is_wanted: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let mut folders = vec![PathBuf::from(ROOT)];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name == "target" || name.starts_with('.') {
                continue;
            }
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else if is_wanted(&name) {
                found.push(entry.path());
            }
        }
    }
    found
}

/// Every Cargo.toml of the repository.
fn manifests() -> Vec<PathBuf> {
    files(|name| name == "Cargo.toml")
}

/// The most columns of a line.
const COLUMNS: usize = 120;

/// Lines that are longer than that, each with its number.
///
/// In a page of the book these may be: rows of tables, images and comments, which cannot be wrapped, and blocks of
/// code, which are what is typed or printed.
fn long_lines(path: &Path, text: &str) -> Vec<usize> {
    let is_page = path.extension().is_some_and(|extension| extension == "md");
    let (mut is_code, mut is_comment) = (false, false);
    let mut found = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        is_code ^= line.trim_start().starts_with("```");
        is_comment |= line.starts_with("<!--");
        let may_be = is_page && (is_code || is_comment || line.starts_with('|') || line.starts_with("!["));
        if !may_be && line.chars().count() > COLUMNS {
            found.push(number);
        }
        is_comment &= !line.ends_with("-->");
    }
    found
}

#[test]
fn figures_toolchain_and_packages_are_of_one_compiler() {
    let toolchain = read("rust-toolchain.toml");
    let channel = toolchain.lines().find_map(|line| line.strip_prefix("channel = \"")).unwrap().trim_end_matches('"');
    assert!(read("benches/instructions.txt").contains(&format!("\n# rustc {channel} (")), "figures of {channel}");
    let packages = read("Cargo.toml");
    let oldest =
        packages.lines().find_map(|line| line.strip_prefix("rust-version = \"")).unwrap().trim_end_matches('"');
    assert!(channel == oldest || channel.starts_with(&format!("{oldest}.")), "{channel} and {oldest}");
}

#[test]
fn cargo_finds_every_test_by_itself() {
    let manifests = manifests();
    assert!(manifests.len() > 8, "{manifests:?}");
    for manifest in manifests {
        let text = fs::read_to_string(&manifest).unwrap();
        let at = manifest.display();
        assert!(!text.contains("autotests"), "{at}: a test that is forgotten there would never run");
        for test in text.split("[[test]]").skip(1).map(|rest| rest.split("\n[").next().unwrap()) {
            assert!(!test.contains("path ="), "{at}: a test lies where Cargo does not look");
        }
    }
}

#[test]
fn every_fault_of_the_list_can_still_be_put_into_the_engine() {
    let list = read("sim/tests/faults/list.txt");
    let faults: Vec<&str> = list.split("\n[").skip(1).collect();
    assert!(faults.len() > 30, "{}", faults.len());
    for fault in faults {
        let name = fault.split(']').next().unwrap();
        let file =
            fault.lines().find_map(|line| line.strip_prefix("file ")).unwrap_or_else(|| panic!("{name}: no file"));
        let before: Vec<&str> = fault.lines().filter_map(|line| line.strip_prefix('-')).collect();
        let places = read(file).matches(&before.join("\n")).count();
        assert_eq!(places, 1, "{name}: {file} has so many places for it");
    }
}

#[test]
fn a_line_has_at_most_120_columns() {
    let is_text =
        |name: &str| [".rs", ".md", ".toml", ".c", ".h", ".sh", ".bash"].iter().any(|end| name.ends_with(end));
    let is_tool = |path: &Path| path.parent() == Some(&Path::new(ROOT).join("tools"));
    let mut checked = 0;
    let mut problems = Vec::new();
    for path in files(|name| is_text(name) || name == "Makefile" || !name.contains('.')) {
        let name = path.file_name().unwrap().to_string_lossy();
        // Of files without an extension, the tools; the others are data.
        if !is_text(&name) && name != "Makefile" && !is_tool(&path) {
            continue;
        }
        checked += 1;
        let text = fs::read_to_string(&path).unwrap();
        problems.extend(long_lines(&path, &text).iter().map(|number| format!("{}:{number}", path.display())));
    }
    assert!(checked > 300, "{checked}");
    assert!(problems.is_empty(), "lines of more than {COLUMNS} columns:\n{}", problems.join("\n"));
}

#[test]
fn columns_are_characters_and_what_cannot_be_wrapped_may_be_longer() {
    let long = "ü".repeat(COLUMNS + 1);
    let right = &long[2..];
    let lines = |name: &str, text: &str| long_lines(Path::new(name), text);
    assert_eq!(lines("a.rs", &format!("{right}\n{long}\n| {long}")), [2, 3]);
    let page = format!("| {long}\n![{long}\n```\n{long}\n```\n<!-- a\n{long}\n-->\n{right}\n{long}");
    assert_eq!(lines("a.md", &page), [10]);
}
