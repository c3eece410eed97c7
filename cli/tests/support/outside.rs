//! Programs that are made with the library: the examples, and the template as a project of its own in another folder.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use tempfile::TempDir;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Where this workspace is built. What is built outside of it shares that, and with it most dependencies.
fn target() -> PathBuf {
    env::current_exe().unwrap().ancestors().nth(3).unwrap().to_owned()
}

/// Runs the cargo that runs this test, without a network.
fn cargo(folder: &Path, arguments: &[&str]) {
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .current_dir(folder)
        .env("CARGO_TARGET_DIR", target())
        .env("CARGO_NET_OFFLINE", "true")
        // That of the workspace.
        .env("CARGO_PROFILE_DEV_OPT_LEVEL", "1")
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "cargo {}: {}", arguments.join(" "), String::from_utf8_lossy(&said));
}

/// Builds an example of this workspace.
pub(crate) fn example(name: &str) -> PathBuf {
    cargo(Path::new(ROOT), &["build", "--package", name]);
    target().join("debug").join(name)
}

/// The template in an empty folder.
pub(crate) struct Template {
    folder: TempDir,
}

impl Template {
    /// Copies it, with paths in place of the versions of its dependencies, and the versions of this workspace for the
    /// rest.
    pub(crate) fn copy() -> Self {
        let folder = tempfile::Builder::new().prefix("lethe-template-").tempdir().unwrap();
        // The server reads its page again as the user `nobody`.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let root = fs::canonicalize(ROOT).unwrap();
        copy_folder(&root.join("examples/template"), folder.path());
        fs::copy(root.join("Cargo.lock"), folder.path().join("Cargo.lock")).unwrap();
        let manifest = folder.path().join("Cargo.toml");
        let mut text = fs::read_to_string(&manifest).unwrap();
        for (name, directory) in [("lethe-server", "server"), ("lethe-test", "test")] {
            let (published, path) = (format!("{name} = \"0.1\""), root.join(directory).display().to_string());
            assert_eq!(text.matches(&published).count(), 1, "{text}");
            text = text.replace(&published, &format!("{name} = {{ path = \"{path}\" }}"));
        }
        fs::write(manifest, text).unwrap();
        Self { folder }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Runs its own tests.
    pub(crate) fn test(&self) {
        cargo(self.path(), &["test"]);
    }

    /// Builds it with these features. The program is a copy: another build does not replace it.
    pub(crate) fn build(&self, features: &str) -> PathBuf {
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        cargo(self.path(), &["build", "--features", features]);
        let program = self.path().join("site");
        fs::copy(target().join("debug/site"), &program).unwrap();
        program
    }
}

fn copy_folder(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir(&target).unwrap();
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
