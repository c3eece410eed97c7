//! What is published: every crate of the workspace that is not marked otherwise can be packaged, and says what it is.

use std::path::Path;
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

#[test]
fn every_published_crate_can_be_packaged() {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().to_str().unwrap();
    let packages = published();
    let mut arguments = vec!["package", "--no-verify", "--allow-dirty", "--quiet", "--target-dir", target];
    for package in &packages {
        arguments.extend(["-p", package["name"].as_str().unwrap()]);
    }
    cargo(&arguments);
    for package in &packages {
        let file = format!("{}-{}.crate", package["name"].as_str().unwrap(), package["version"].as_str().unwrap());
        let len = directory.path().join("package").join(&file).metadata().unwrap().len();
        assert!(len < CRATE_MAX, "{file} has {len} bytes");
    }
}

#[test]
fn every_published_crate_says_what_it_is() {
    let packages = published();
    assert!(packages.len() >= 8, "{}", packages.len());
    for package in packages {
        let name = package["name"].as_str().unwrap();
        assert!(name.starts_with("lethe-"), "{name}: `lethe` alone is taken on crates.io");
        for field in ["description", "license", "readme", "rust_version"] {
            assert!(package[field].as_str().is_some_and(|value| !value.is_empty()), "{name} has no {field}");
        }
        for list in ["keywords", "categories"] {
            assert!(package[list].as_array().is_some_and(|values| (1..=5).contains(&values.len())), "{name}: {list}");
        }
    }
}
