//! What authors of applications can use of the crates that are published, compared with what is written down.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use lethe_testnet::{output, root};

use crate::programs;

const ABOUT: &str = "\
Compares the public items of the crates that authors of applications use with docs/api, one file for each crate and one
line for each item, so that none goes, changes or comes without being seen. `-` is an item that was there and is no
longer, `+` one that is there now: what has a `-` breaks the code of those that use it, and is a new version (0.x before
1.0, a major one afterwards). CHANGELOG.md says what they are to do.

The items are those that rustdoc lists for the features that docs.rs builds.";

const EXAMPLE: &str = "\
Examples:
  cargo xtask api              compare
  cargo xtask api --update     write down what is public now";

#[derive(clap::Args)]
#[command(long_about = ABOUT, after_help = EXAMPLE)]
pub(crate) struct Args {
    /// Write down what is public now
    #[arg(long)]
    update: bool,
}

/// The crates that authors of applications use: the package, its library, and the features that docs.rs builds.
const CRATES: [(&str, &str, &str); 4] = [
    ("lethe-engine", "lethe", ""),
    ("lethe-server", "lethe_server", ""),
    ("lethe-sim", "lethe_sim", "simulator,sites"),
    ("lethe-test", "lethe_test", ""),
];

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let mut changed = Vec::new();
    for (package, library, features) in CRATES {
        let found = items(package, library, features)?;
        let file = root().join("docs/api").join(package).with_extension("txt");
        if args.update {
            fs::write(&file, found).with_context(|| file.display().to_string())?;
        } else if let Some(difference) = difference(&known(&file)?, &found) {
            println!("{package}\n{difference}");
            changed.push(package);
        }
    }
    ensure!(
        changed.is_empty(),
        "what is public has changed in {}: if that is intended, run cargo xtask api --update, commit docs/api, and say \
         in CHANGELOG.md what changes for those that use it",
        changed.join(", ")
    );
    Ok(())
}

fn known(file: &Path) -> anyhow::Result<String> {
    fs::read_to_string(file).with_context(|| format!("{}: cargo xtask api --update writes it", file.display()))
}

/// The public items of a crate, each in a line.
///
/// What every type has, or gets of itself (blanket implementations, `Send`), is left out.
fn items(package: &str, library: &str, features: &str) -> anyhow::Result<String> {
    let json = describe(package, library, features)?;
    let api = public_api::Builder::from_rustdoc_json(&json).omit_blanket_impls(true).omit_auto_trait_impls(true);
    let api = api.build().with_context(|| format!("{}: is rustdoc of another version?", json.display()))?;
    Ok(lines(api.items()))
}

fn lines<T: ToString>(items: impl Iterator<Item = T>) -> String {
    let mut listed = BTreeSet::new();
    // An item that is also re-exported by a glob would be listed twice.
    items.map(|item| item.to_string() + "\n").filter(|line| listed.insert(line.clone())).collect()
}

/// Has rustdoc describe a crate, and returns the file.
fn describe(package: &str, library: &str, features: &str) -> anyhow::Result<PathBuf> {
    // In a folder of its own: dependencies look at this variable when they are built, and are built again when it
    // changes.
    let target = programs::target().join("api");
    let mut command = programs::cargo();
    // The format is not stable, and the compiler that rust-toolchain.toml names has one that `public-api` reads.
    command.env("RUSTC_BOOTSTRAP", "1").args(["rustdoc", "--quiet", "--lib", "--package", package]);
    command.args(["--features", features, "--target-dir"]).arg(&target);
    output(command.args(["--", "-Z", "unstable-options", "--output-format", "json", "--cap-lints", "allow"]))?;
    Ok(target.join("doc").join(library).with_extension("json"))
}

/// What is in one list only, if anything: `-` what is known, `+` what is found.
fn difference(known: &str, found: &str) -> Option<String> {
    let [known, found] = [known, found].map(|text| text.lines().collect::<BTreeSet<_>>());
    let mut text = String::new();
    for (sign, one, other) in [('-', &known, &found), ('+', &found, &known)] {
        for line in one.difference(other) {
            let _ = writeln!(text, "  {sign} {line}");
        }
    }
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_comes_or_changes_is_named() {
        let known = "pub fn a()\npub fn b(u8)\npub fn c()\n";
        assert_eq!(difference(known, known), None);
        let changed = difference(known, "pub fn b(u16)\npub fn c()\npub fn d()\n").unwrap();
        assert_eq!(changed, "  - pub fn a()\n  - pub fn b(u8)\n  + pub fn b(u16)\n  + pub fn d()\n");
    }

    #[test]
    fn items_keep_their_order_and_are_listed_once() {
        assert_eq!(lines(["b", "a", "b"].into_iter()), "b\na\n");
    }
}
