//! What is published: `cargo package --workspace` passes, the packages that it makes are those that users get, and each
//! says what it is.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The most that crates.io takes, compressed.
const CRATE_MAX: u64 = 10 << 20;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn cargo(arguments: &[&str]) -> Vec<u8> {
    let output = Command::new(env!("CARGO")).args(arguments).current_dir(root()).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo {arguments:?}: {stderr}");
    output.stdout
}

/// The packages that are published, as cargo describes them.
fn published() -> Vec<Value> {
    let metadata: Value = serde_json::from_slice(&cargo(&["metadata", "--no-deps", "--format-version", "1"])).unwrap();
    let packages = metadata["packages"].as_array().unwrap().clone();
    packages.into_iter().filter(|package| package["publish"].is_null()).collect()
}

/// Packages the whole workspace into `target`, without the network: what is missing there has not been built either.
fn package(target: &Path, options: &[&str]) {
    let target = ["--target-dir", target.to_str().unwrap()];
    cargo(&[&["package", "--workspace", "--allow-dirty", "--offline", "--quiet"], &target[..], options].concat());
    for package in published() {
        let file = format!("{}-{}.crate", package["name"].as_str().unwrap(), package["version"].as_str().unwrap());
        let len = Path::new(target[1]).join("package").join(&file).metadata().unwrap().len();
        assert!((1..CRATE_MAX).contains(&len), "{file} has {len} bytes");
    }
}

#[test]
fn the_workspace_can_be_packaged() {
    package(tempfile::tempdir().unwrap().path(), &["--no-verify"]);
}

#[test]
#[ignore = "two minutes, and DPDK's headers: make package"]
fn every_crate_can_be_built_from_its_package() {
    // Kept from run to run, so that dependencies are built once.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("package");
    forget_earlier_packages(&target);
    package(&target, &["--config", "profile.dev.debug=0", "--config", "profile.dev.opt-level=0"]);
}

/// Removes what is left of packages of the same version: cargo takes neither their sources nor what was built of them
/// for changed.
fn forget_earlier_packages(target: &Path) {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".cargo"))).unwrap();
    // The registry of a `cargo package` is named by the hash of its path alone.
    let sources = entries(&home.join("registry/src"), "-");
    let places = sources.into_iter().chain([target.join("debug/.fingerprint")]);
    for (place, package) in
        places.flat_map(|place| published().into_iter().map(move |package| (place.clone(), package)))
    {
        for stale in entries(&place, &format!("{}-", package["name"].as_str().unwrap())) {
            fs::remove_dir_all(stale).unwrap();
        }
    }
}

/// What is in a folder, if that is there, and has a name that begins so.
fn entries(folder: &Path, start: &str) -> Vec<PathBuf> {
    let Ok(all) = fs::read_dir(folder) else { return Vec::new() };
    let all = all.map(|entry| entry.unwrap()).filter(|entry| entry.file_name().to_string_lossy().starts_with(start));
    all.map(|entry| entry.path()).collect()
}

#[test]
fn every_published_crate_says_what_it_is() {
    let packages = published();
    let names: BTreeSet<&str> = packages.iter().map(|package| package["name"].as_str().unwrap()).collect();
    // `lethe` alone is taken on crates.io. What only tests use, or this repository alone, has `publish = false`.
    let expected = ["apps", "dpdk-sys", "engine", "httpd", "hw", "load", "server", "sim", "test"];
    assert_eq!(names, expected.map(|name| format!("lethe-{name}")).iter().map(String::as_str).collect());
    for package in &packages {
        let name = package["name"].as_str().unwrap();
        for field in ["description", "license", "readme", "rust_version"] {
            assert!(package[field].as_str().is_some_and(|value| !value.is_empty()), "{name} has no {field}");
        }
        for list in ["keywords", "categories"] {
            assert!(package[list].as_array().is_some_and(|values| (1..=5).contains(&values.len())), "{name}: {list}");
        }
    }
}
