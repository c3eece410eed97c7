//! What is installed elsewhere: Debian packages, an archive, and what is in them.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use lethe_testnet::root;
use serde_json::Value;

use crate::{dist_docs, programs};

const ABOUT: &str = "\
Builds releases of `lethe` and writes into target/dist what users get: the Debian packages lethe and lethe-dpdk, an
archive with the program, its man pages, completions and unit for other systems, a bill of materials of the libraries
that are linked (CycloneDX), and SHA256SUMS.

The program runs on the Debian that it is built on and on later ones; lethe-dpdk on that one alone. tools/install dist
installs what this takes, and tools/dist-check tries a package in fresh systems.";

const EXAMPLE: &str = "\
Example:
  cargo xtask dist --without-dpdk && tools/dist-check target/dist/lethe_*.deb bookworm trixie";

#[derive(clap::Args)]
#[command(long_about = ABOUT, after_help = EXAMPLE)]
pub(crate) struct Args {
    /// Leave out lethe-dpdk, which takes DPDK's headers and clang
    #[arg(long)]
    without_dpdk: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    programs::need(&[
        ("dpkg-shlibdeps", "dpkg-dev"),
        ("sha256sum", "coreutils"),
        ("tar", "tar"),
        ("strip", "binutils"),
    ])?;
    let (release, dist) = (programs::release(), programs::target().join("dist"));
    if dist.exists() {
        fs::remove_dir_all(&dist).with_context(|| dist.display().to_string())?;
    }
    fs::create_dir_all(&dist).with_context(|| dist.display().to_string())?;
    document(&release.join("dist-docs"))?;
    // The other one last, so that it is what stays in target/release.
    if !args.without_dpdk {
        programs::build(&["-p lethe-httpd --features dpdk"])?;
        package(&dist, &["--variant", "dpdk"])?;
    }
    programs::build(&["-p lethe-httpd"])?;
    package(&dist, &[])?;
    archive(&release, &dist)?;
    list_materials(&dist)?;
    sum(&dist)?;
    println!("what users get is in {}", dist.display());
    Ok(())
}

/// Man pages, compressed as systems have them, and completions.
fn document(folder: &Path) -> anyhow::Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    dist_docs::write(folder)?;
    let pages =
        fs::read_dir(folder.join("man/man1"))?.map(|page| Ok(page?.path())).collect::<std::io::Result<Vec<_>>>()?;
    run_command(Command::new("gzip").arg("-9n").args(pages), "gzip")
}

/// Makes a Debian package of what was built.
fn package(dist: &Path, options: &[&str]) -> anyhow::Result<()> {
    let mut command = programs::cargo();
    command.args(["deb", "--quiet", "--no-build", "--no-dbgsym", "--strip", "--package", "lethe-httpd", "--output"]);
    run_command(command.arg(dist).args(options), "tools/install dist")
}

/// The program and what belongs to it, as below /usr/local.
fn archive(release: &Path, dist: &Path) -> anyhow::Result<()> {
    let name = format!("lethe-{}-{}-linux", env!("CARGO_PKG_VERSION"), std::env::consts::ARCH);
    let folder = dist.join(&name);
    for (source, place) in [
        (release.join("lethe"), "bin/lethe"),
        (root().join("dist/lethe@.service"), "lib/systemd/system/lethe@.service"),
        (root().join("dist/debian/sysusers.conf"), "lib/sysusers.d/lethe.conf"),
        (root().join("dist/debian/copyright"), "share/doc/lethe/copyright"),
        (root().join("dist/examples/demo.toml"), "share/doc/lethe/examples/demo.toml"),
        (root().join("LICENSE-APACHE"), "share/doc/lethe/LICENSE-APACHE"),
        (root().join("LICENSE-MIT"), "share/doc/lethe/LICENSE-MIT"),
    ] {
        let place = folder.join(place);
        fs::create_dir_all(place.parent().expect("it is below the folder"))?;
        fs::copy(&source, &place).with_context(|| source.display().to_string())?;
    }
    run_command(Command::new("strip").arg(folder.join("bin/lethe")), "strip")?;
    let unit = folder.join("lib/systemd/system/lethe@.service");
    fs::write(&unit, fs::read_to_string(&unit)?.replace("/usr/bin/lethe", "/usr/local/bin/lethe"))?;
    let share = folder.join("share");
    run_command(Command::new("cp").arg("-a").arg(release.join("dist-docs/.")).arg(&share), "cp")?;
    let mut tar = Command::new("tar");
    // Whenever it is made of these files, the archive has these bytes.
    tar.args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--mtime=@0", "--mode=go-w", "-czf"]);
    run_command(tar.arg(dist.join(format!("{name}.tar.gz"))).arg("-C").arg(dist).arg(&name), "tar")?;
    fs::remove_dir_all(&folder)?;
    Ok(())
}

/// Writes down which libraries are linked.
fn list_materials(dist: &Path) -> anyhow::Result<()> {
    let name = format!("lethe-{}.cdx", env!("CARGO_PKG_VERSION"));
    let mut command = programs::cargo();
    command.args(["cyclonedx", "--quiet", "--format", "json", "--all", "--no-build-deps"]);
    command.args(["--override-filename", &name, "--manifest-path", "cli/Cargo.toml"]);
    run_command(&mut command, "tools/install dist")?;
    let file = format!("{name}.json");
    let text = fs::read_to_string(root().join("cli").join(&file)).with_context(|| file.clone())?;
    // Where it was built is of no interest.
    let here = root().display().to_string();
    fs::write(dist.join(&file), text.replace(&format!("{here}/"), "").replace(&here, ""))?;
    // It writes one beside each Cargo.toml of the workspace.
    let metadata = programs::cargo().args(["metadata", "--no-deps", "--format-version", "1"]).output()?;
    let metadata: Value = serde_json::from_slice(&metadata.stdout).context("cargo metadata")?;
    for manifest in metadata["packages"].as_array().into_iter().flatten().filter_map(|it| it["manifest_path"].as_str())
    {
        fs::remove_file(Path::new(manifest).with_file_name(&file)).with_context(|| manifest.to_owned())?;
    }
    Ok(())
}

/// Writes SHA256SUMS of all files.
fn sum(dist: &Path) -> anyhow::Result<()> {
    let mut names: Vec<_> = fs::read_dir(dist)?.map(|file| Ok(file?.file_name())).collect::<std::io::Result<_>>()?;
    names.sort_unstable();
    let sums = File::create(dist.join("SHA256SUMS"))?;
    run_command(Command::new("sha256sum").args(&names).current_dir(dist).stdout(sums), "sha256sum")
}

/// Runs a command; `needed` is what installs it.
fn run_command(command: &mut Command, needed: &str) -> anyhow::Result<()> {
    let status = command.status().with_context(|| format!("{command:?}: {needed}"))?;
    ensure!(status.success(), "{command:?} failed: is what it takes there? {needed}");
    Ok(())
}
