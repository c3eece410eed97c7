//! `dist-docs DIRECTORY`: man pages, and completions for shells, for those who package a server.
//!
//! It is no command of a server: only a program that is built with the feature `dist-docs` has it, and no help lists
//! it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap_complete::Shell;

/// Where each shell looks for completions, below `/usr/share`.
const COMPLETIONS: [(Shell, &str); 3] = [
    (Shell::Bash, "bash-completion/completions"),
    (Shell::Zsh, "zsh/site-functions"),
    (Shell::Fish, "fish/vendor_completions.d"),
];

/// Writes the files of a command into a directory as they are below `/usr/share`.
pub(crate) fn write(command: clap::Command, directory: &Path) -> anyhow::Result<()> {
    let name = command.get_name().to_owned();
    for (shell, place) in COMPLETIONS {
        let place = make(directory.join(place))?;
        // A copy: completions are made of a command that has been given `help`, of which there is to be no page.
        let file = clap_complete::generate_to(shell, &mut command.clone(), &name, &place);
        let file = file.with_context(|| place.display().to_string())?;
        // bash-completion looks for a file of the name of the command.
        if shell == Shell::Bash {
            fs::rename(&file, place.join(&name)).with_context(|| file.display().to_string())?;
        }
    }
    let place = make(directory.join("man/man1"))?;
    clap_mangen::generate_to(command, &place).with_context(|| place.display().to_string())
}

fn make(directory: PathBuf) -> anyhow::Result<PathBuf> {
    fs::create_dir_all(&directory).with_context(|| directory.display().to_string())?;
    Ok(directory)
}
