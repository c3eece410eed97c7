//! Man pages, and completions for shells.

use std::path::{Path, PathBuf, absolute};

use anyhow::{Context, ensure};

use crate::programs;

const ABOUT: &str = "\
Writes man pages and completions of `lethe` into a directory, as they are below /usr/share: man/man1/lethe.1 and one for
each command, and what bash, zsh and fish complete the command line by. They are made of the command line itself, by a
build of their own: `lethe` as it is installed has nothing of it.";

const EXAMPLE: &str = "\
Example:
  cargo xtask dist-docs /usr/local/share";

#[derive(clap::Args)]
#[command(long_about = ABOUT, after_help = EXAMPLE)]
pub(crate) struct Args {
    /// Where to write them; what is there is replaced
    directory: PathBuf,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let directory = absolute(&args.directory).with_context(|| args.directory.display().to_string())?;
    write(&directory)?;
    println!("man pages and completions are in {}", directory.display());
    Ok(())
}

/// Writes them into a directory.
pub(crate) fn write(directory: &Path) -> anyhow::Result<()> {
    let mut command = programs::cargo();
    // Apart from the program without the feature, which would be built again each time.
    command.args(["run", "--quiet", "--package", "lethe-httpd", "--features", "dist-docs", "--target-dir"]);
    command.arg(programs::target().join("dist-docs")).args(["--", "dist-docs"]).arg(directory);
    ensure!(command.status().context("there is no cargo")?.success(), "nothing was written");
    Ok(())
}
