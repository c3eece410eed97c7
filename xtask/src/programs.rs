//! Programs that are measured, and those that measure.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, ensure};
use lethe_testnet::root;
use nix::unistd::Uid;

/// Where Cargo builds.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Where release builds are.
pub(crate) fn release() -> PathBuf {
    target().join("release")
}

/// Cargo, in the repository.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Builds a release of each of `packages`, which are arguments of `cargo build`.
pub(crate) fn build(packages: &[&str]) -> anyhow::Result<()> {
    for package in packages {
        let status = cargo().args(["build", "--quiet", "--release"]).args(package.split(' ')).status();
        ensure!(status.context("there is no cargo")?.success(), "nothing was built: cargo build --release {package}");
    }
    Ok(())
}

/// Fails without root.
pub(crate) fn need_root() -> anyhow::Result<()> {
    ensure!(Uid::effective().is_root(), "network namespaces and interfaces need root");
    Ok(())
}

/// Fails where a program is missing; `pairs` are a program and the package that has it.
pub(crate) fn need(pairs: &[(&str, &str)]) -> anyhow::Result<()> {
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    let is_there = |program: &str| std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
    let mut missing: Vec<_> =
        pairs.iter().filter(|(program, _)| !is_there(program)).map(|&(_, package)| package).collect();
    missing.sort_unstable();
    missing.dedup();
    ensure!(missing.is_empty(), "missing: apt-get install {}", missing.join(" "));
    Ok(())
}
