//! `lethe serve`, running.

use std::collections::BTreeMap;
use std::env;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, Stdio};

use anyhow::ensure;
use nix::sys::signal::Signal;

use crate::{Namespace, Program};

/// A TAP device whose other end is the namespace's kernel, as a client.
pub const TAP: &str = "tap:lethe0,host=10.9.0.1/24,host=fd09::1/64";

/// The command `lethe` of this build: beside the executable that runs, or a folder above, as Cargo lays them out.
///
/// # Panics
///
/// When it is not built.
pub fn binary() -> PathBuf {
    let own = env::current_exe().expect("a test is a file");
    let folders = own.ancestors().skip(1).take(3);
    let found = folders.map(|folder| folder.join("lethe")).find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("no `lethe` near {}: cargo build -p lethe-httpd", own.display()))
}

/// A running `lethe serve`.
#[derive(Debug)]
pub struct Server {
    program: Program,
    output: BufReader<ChildStdout>,
    /// What it printed until it was ready.
    pub start_line: String,
}

impl Server {
    /// Serves 10.9.0.2 and `fd09::2`, and is ready on return. `app` may begin with more options.
    pub fn start(space: &Namespace, app: &str) -> Self {
        Self::start_on(space, &["--device", TAP], app)
    }

    /// Serves 10.9.0.2 and `fd09::2` on another device, which takes the options `device`.
    ///
    /// # Panics
    ///
    /// When it does not start.
    #[track_caller]
    pub fn start_on(space: &Namespace, device: &[&str], app: &str) -> Self {
        let mut command = serve(space, &binary(), device);
        Self::launch(command.args(app.split_whitespace()), 2).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Starts a command that is `lethe serve` with `addresses` addresses, and waits until it listens on all of them.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub fn launch(command: &mut Command, addresses: usize) -> anyhow::Result<Self> {
        let mut program = Program::start(command.stdout(Stdio::piped()))?;
        let mut output = BufReader::new(program.output().expect("it is piped"));
        let mut start_line = String::new();
        for _ in 0..addresses {
            start_line.clear();
            output.read_line(&mut start_line)?;
            ensure!(start_line.starts_with("listening on http://"), "lethe did not start: {start_line:?}");
        }
        Ok(Self { program, output, start_line })
    }

    /// Interrupts it, and returns what it prints on its way out.
    pub fn stop(self) -> String {
        self.signal(Signal::SIGINT);
        let (success, rest) = self.wait();
        assert!(success, "{rest}");
        rest
    }

    /// Waits until it ends, and returns whether it did so in good order, with what it printed.
    ///
    /// # Panics
    ///
    /// When its output cannot be read.
    pub fn wait(mut self) -> (bool, String) {
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).unwrap();
        (self.program.wait().unwrap().success(), rest)
    }

    /// Kills it, and waits until it is gone.
    pub fn kill(&mut self) {
        self.program.kill();
    }

    /// The next line that it prints.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        self.program.signal(signal);
    }

    /// A line of `/proc/PID/status`.
    pub fn status(&self, key: &str) -> String {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
        line.trim_start_matches(':').trim().to_owned()
    }

    /// The number of its process.
    pub fn pid(&self) -> u32 {
        self.program.pid()
    }

    /// Memory that it has in use, in KiB.
    pub fn resident(&self) -> i64 {
        self.status("VmRSS").trim_end_matches("kB").trim().parse().unwrap()
    }
}

/// The counters that a server prints at its end, by their names.
pub fn counters(table: &str) -> BTreeMap<String, u64> {
    let counter = |line: &str| {
        let mut words = line.split_whitespace().peekable();
        let count = words.next()?.parse().ok()?;
        words.next_if(|word| ["replied", "absorbed", "dropped"].contains(word));
        let name = words.next()?;
        let way = words.next().map_or("", |word| word.trim_end_matches(','));
        let name = if ["in", "out"].contains(&way) { format!("{name} {way}") } else { name.to_owned() };
        Some((name, count))
    };
    table.lines().filter_map(counter).collect()
}

/// A row of what a server prints at its end; zero, if it is not there.
pub fn row(table: &str, name: &str) -> usize {
    let row = table.lines().find(|line| line.split_whitespace().nth(2) == Some(name));
    row.and_then(|row| row.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// `lethe serve` for 10.9.0.2 and `fd09::2` on a device, which takes the options `device`.
pub fn serve(space: &Namespace, lethe: &Path, device: &[&str]) -> Command {
    let mut command = space.command(lethe);
    command.arg("serve").args(device).args(["--addr", "10.9.0.2", "--addr", "fd09::2"]);
    command
}

#[cfg(test)]
mod tests {
    use super::{counters, row};

    #[test]
    fn counters_are_found_by_their_names() {
        let table = "     1 s  in 3/s  out 0/s
           4  dropped   ipv6-not-for-us  IPv6: not for us
          12  replied   syn-ack          a SYN
           9  frames in, 360 bytes
           0  of 4095 buffers not given back\n";
        let counters = counters(table);
        for (name, count) in [("ipv6-not-for-us", 4), ("syn-ack", 12), ("frames in", 9)] {
            assert_eq!(counters.get(name), Some(&count), "{name}: {counters:?}");
        }
        assert_eq!((row(table, "syn-ack"), row(table, "fin-ack")), (12, 0));
    }
}
