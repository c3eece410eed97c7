//! The gates themselves: that they close. A gate that compares nothing, or a test that is not found, would be open.

use std::fs;
use std::path::{Path, PathBuf};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn read(path: impl AsRef<Path>) -> String {
    let path = Path::new(ROOT).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every Cargo.toml of the repository.
fn manifests() -> Vec<PathBuf> {
    let mut folders = vec![PathBuf::from(ROOT)];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let name = entry.file_name();
            if entry.file_type().unwrap().is_dir() && name != "target" && !name.to_string_lossy().starts_with('.') {
                folders.push(entry.path());
            } else if name == "Cargo.toml" {
                found.push(entry.path());
            }
        }
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
