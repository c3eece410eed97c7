//! Where the commands of a page run: a network, processes and a few directories of their own, so that nothing of this
//! machine is touched, and all is gone at the end. Needs root.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::{binary, janitor, root};

/// Seconds that a command may take, and one that builds.
const PATIENCE: u64 = 100;
const PATIENCE_TO_BUILD: u64 = 1200;

/// How long a program may take until it says what it is quoted to say.
const READY: Duration = Duration::from_secs(10);

/// The repository as a page sees it: what is written there goes to a directory that is removed.
const SHOWN: [&str; 9] = ["apps", "benches", "cli", "docs", "examples", "pcaps", "sim", "tests", "tools"];

/// `cargo` as the machine has it, without a network. What is built by a page shares the folder in which this workspace
/// is built, which it finds as `$LETHE_TARGET`, and the workspace as `$LETHE_ROOT`.
const CARGO: &str = r#"#!/bin/sh
export PATH="$(dirname "$LETHE_CARGO"):$PATH" CARGO_NET_OFFLINE=true CARGO_PROFILE_DEV_OPT_LEVEL=1
exec "$LETHE_CARGO" "$@"
"#;

/// A network, processes and a working directory for the commands of one page.
#[derive(Debug)]
pub struct Session {
    space: Child,
    init: String,
    folder: TempDir,
    /// Where commands run: `cd` changes it.
    work: PathBuf,
    /// Programs that stay, by their names, with what they have said so far.
    staying: BTreeMap<String, (Child, PathBuf)>,
    number: u32,
}

impl Session {
    /// One in which nothing runs.
    #[expect(clippy::new_without_default, reason = "it does not come without effort")]
    pub fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("lethe-docs-").tempdir().unwrap();
        let at = folder.path();
        janitor::open_to_all(at).unwrap();
        let (bin, work) = (at.join("bin"), at.join("work"));
        for path in [&bin, &work] {
            fs::create_dir(path).unwrap();
        }
        symlink(binary(), bin.join("lethe")).unwrap();
        fs::write(bin.join("cargo"), CARGO).unwrap();
        fs::set_permissions(bin.join("cargo"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        // On a terminal it shows no progress of a page that it prints.
        fs::write(at.join(".curlrc"), "silent\nshow-error\ngloboff\n").unwrap();
        for name in SHOWN {
            symlink(fs::canonicalize(root().join(name)).unwrap(), work.join(name)).unwrap();
        }
        // /run and /srv are empty, and /sys is that of the new network.
        let begin = "set -e
             mount -t tmpfs tmpfs /run; mount -t tmpfs tmpfs /srv; mount -t sysfs sysfs /sys
             mkdir -p /run/netns
             ip link set lo up
             echo ready; exec sleep infinity";
        let mut space = Command::new("unshare")
            .args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", begin])
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare is installed");
        let mut line = String::new();
        BufReader::new(space.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n", "a network of its own needs root");
        let children = format!("/proc/{0}/task/{0}/children", space.id());
        let init = fs::read_to_string(children).unwrap().trim().to_owned();
        Self { space, init, folder, work, staying: BTreeMap::new(), number: 0 }
    }

    /// A shell in there, which runs `script`.
    fn shell(&self, script: &str) -> Command {
        let bin = self.folder.path().join("bin");
        let path = format!("{}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", bin.display());
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.init, "--net", "--mount", "--pid"]);
        command.arg(format!("--wdns={}", self.work.display()));
        let patience = if script.starts_with("cargo ") { PATIENCE_TO_BUILD } else { PATIENCE };
        command.args(["timeout", "--kill-after", "5", &patience.to_string(), "sh", "-c", script]);
        let home =
            std::env::var("CARGO_HOME").unwrap_or_else(|_| std::env::var("HOME").unwrap_or_default() + "/.cargo");
        command.env("CARGO_HOME", home);
        command.env("LETHE_CARGO", env!("CARGO"));
        command.env("LETHE_ROOT", root());
        command.env("LETHE_TARGET", binary().ancestors().nth(2).unwrap());
        command.env("PATH", path).env("HOME", self.folder.path()).env("LC_ALL", "C.UTF-8").env_remove("RUST_BACKTRACE");
        command.stdin(Stdio::null());
        command
    }

    /// A file that a command writes to; both of its outputs go there, as to a terminal.
    fn transcript(&mut self) -> (PathBuf, File) {
        self.number += 1;
        let path = self.folder.path().join(format!("said-{}", self.number));
        let file = File::create(&path).unwrap();
        (path, file)
    }

    /// Runs a command until it ends; whether it ended well, and what it said.
    pub fn run(&mut self, script: &str) -> (bool, String) {
        if let Some(folder) = script.strip_prefix("cd ") {
            self.work.push(folder);
            return (self.work.is_dir(), String::new());
        }
        let (path, file) = self.transcript();
        let mut command = self.shell(script);
        let status = command.stdout(file.try_clone().unwrap()).stderr(file).status().unwrap();
        let said = fs::read_to_string(path).unwrap();
        // What tshark says to root only.
        let said = said.lines().filter(|line| !line.starts_with("Running as user \"root\""));
        (status.success(), said.flat_map(|line| [line, "\n"]).collect())
    }

    /// Runs a command whose standard input is `input`.
    pub fn run_with(&mut self, script: &str, input: &str) -> (bool, String) {
        let path = self.folder.path().join("input");
        fs::write(&path, input).unwrap();
        self.run(&format!("{script} <{}", path.display()))
    }

    /// Starts a program that goes on, in place of one of the same name, and gives it some time until it has said what
    /// `is_enough`. Whether it goes on, and what it has said.
    pub fn start(&mut self, script: &str, is_enough: impl Fn(&str) -> bool) -> Result<(bool, String), String> {
        let words: Vec<&str> = script.split_whitespace().take(2).collect();
        let name = words.join(" ");
        self.stop(&name)?;
        let (path, file) = self.transcript();
        let pid = path.with_extension("pid");
        let mut command = self.shell(&format!("echo $$ >{}; exec {script}", pid.display()));
        let mut child = command.stdout(file.try_clone().unwrap()).stderr(file).spawn().unwrap();
        let since = Instant::now();
        loop {
            let said = fs::read_to_string(&path).unwrap();
            if child.try_wait().unwrap().is_some() {
                return Ok((false, said));
            }
            if is_enough(&said) || since.elapsed() > READY {
                self.staying.insert(name, (child, path));
                return Ok((true, said));
            }
            sleep(Duration::from_millis(20));
        }
    }

    /// Interrupts a program that stays: it has to end, and well.
    pub fn stop(&mut self, name: &str) -> Result<(), String> {
        let Some((mut child, path)) = self.staying.remove(name) else { return Ok(()) };
        let pid = path.with_extension("pid");
        let _ = self.shell(&format!("kill -INT $(cat {})", pid.display())).status();
        let status = child.wait().unwrap();
        let said = fs::read_to_string(path).unwrap();
        if status.success() { Ok(()) } else { Err(format!("{name} ended with {status}; it said:\n{said}")) }
    }

    /// Interrupts all programs that stay: each has to end, and well.
    pub fn stop_all(&mut self) -> Result<(), String> {
        let names: Vec<String> = self.staying.keys().cloned().collect();
        names.iter().try_for_each(|name| self.stop(name))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // With its first process, all processes in there end.
        let _ = self.space.kill();
        let _ = self.space.wait();
        for (child, _) in self.staying.values_mut() {
            let _ = child.wait();
        }
    }
}
