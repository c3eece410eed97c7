//! A network namespace with a real `lethe serve` in it, for tests with real clients. Needs root.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Where [`Server`] is.
pub(crate) const V4: &str = "http://10.9.0.2";
pub(crate) const V6: &str = "http://[fd09::2]";

/// A network namespace, gone at the end of the test.
pub(crate) struct Namespace(String);

impl Namespace {
    /// One with nothing in it but the loopback device.
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("lethe-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let made = Command::new("ip").args(["netns", "add", &name]).status().expect("ip is installed");
        assert!(made.success(), "network namespaces need root");
        let space = Self(name);
        space.run("ip link set lo up");
        space
    }

    /// What `ip` calls it.
    pub(crate) fn name(&self) -> &str {
        &self.0
    }

    /// A program that is to run in it.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.0, program]);
        command
    }

    /// Runs a shell line, at most three minutes of it, and returns what it printed.
    #[track_caller]
    pub(crate) fn run(&self, line: &str) -> String {
        let (success, text) = self.try_run(line);
        assert!(success, "{line}\n{text}");
        text
    }

    /// The same, and whether it succeeded.
    pub(crate) fn try_run(&self, line: &str) -> (bool, String) {
        let output = self.command("timeout").args(["180", "sh", "-c", line]).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    }

    /// Asks for the station with an IPv4 address, twice, with whichever `arping` there is: that of iputils, or the one by
    /// Thomas Habets, which Debian has as well, and which cannot be installed beside the other. Returns the hardware
    /// address that answered both times.
    #[track_caller]
    pub(crate) fn arping(&self, device: &str, address: &str) -> String {
        let (interface, all) = match Arping::installed(self) {
            Arping::Iputils => ("-I", "Received 2 response"),
            Arping::Habets => ("-i", "2 packets received"),
        };
        let text = self.run(&format!("arping -c 2 {interface} {device} {address}"));
        assert!(text.contains(all), "{text}");
        // "Unicast reply from ADDRESS [MAC]" or "42 bytes from MAC (ADDRESS)".
        let is_mac = |word: &&str| word.len() == 17 && word.matches(':').count() == 5;
        let mut macs: Vec<_> = text
            .split(|c: char| c.is_whitespace() || c == '[' || c == ']')
            .filter(is_mac)
            .map(str::to_lowercase)
            .collect();
        macs.dedup();
        assert!(macs.len() == 1, "{text}");
        macs.remove(0)
    }

    /// Whether a station that would like an address is told that it is taken (RFC 5227): it asks from 0.0.0.0.
    pub(crate) fn is_taken(&self, device: &str, address: &str) -> bool {
        match Arping::installed(self) {
            // An answer is a failure.
            Arping::Iputils => !self.try_run(&format!("arping -D -c 1 -I {device} {address}")).0,
            Arping::Habets => self.try_run(&format!("arping -0 -c 1 -i {device} {address}")).0,
        }
    }

    /// Does something with sockets of this namespace.
    pub(crate) fn enter<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let path = format!("/var/run/netns/{}", self.0);
        // A namespace is a thread's own.
        std::thread::spawn(move || {
            setns(std::fs::File::open(path).unwrap(), CloneFlags::CLONE_NEWNET).unwrap();
            work()
        })
        .join()
        .unwrap()
    }

    /// Does the same in as many threads at once, and then something with what came of it.
    pub(crate) fn enter_all<T>(
        &self,
        threads: usize,
        work: (impl FnOnce() + Clone + Send + 'static, impl FnOnce() -> T),
    ) -> T {
        let path = format!("/var/run/netns/{}", self.0);
        let (work, finish) = work;
        let begin = |_| {
            let (work, path) = (work.clone(), path.clone());
            std::thread::spawn(move || {
                setns(std::fs::File::open(path).unwrap(), CloneFlags::CLONE_NEWNET).unwrap();
                work();
            })
        };
        let threads: Vec<_> = (0..threads).map(begin).collect();
        for thread in threads {
            thread.join().unwrap();
        }
        finish()
    }
}

/// The programs called `arping`, which have not one option in common that is needed here.
enum Arping {
    Iputils,
    Habets,
}

impl Arping {
    /// The one that is there, by what it says of itself.
    fn installed(space: &Namespace) -> Self {
        let (_, text) = space.try_run("arping -V");
        if text.contains("iputils") {
            return Self::Iputils;
        }
        assert!(text.contains("Habets"), "this is none of Debian's two programs called arping: {text}");
        Self::Habets
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.0]).status();
    }
}

/// A running `lethe serve`.
pub(crate) struct Server {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
    /// What it said when it was ready.
    pub(crate) start_line: String,
}

impl Server {
    /// Serves 10.9.0.2 and `fd09::2`, and is ready on return. `app` may begin with more options.
    pub(crate) fn start(space: &Namespace, app: &str) -> Self {
        Self::start_on(space, &["--device", "tap:lethe0,host=10.9.0.1/24,host=fd09::1/64"], app)
    }

    /// The same on another device, with the options that it takes.
    pub(crate) fn start_on(space: &Namespace, device: &[&str], app: &str) -> Self {
        let mut child = space
            .command(env!("CARGO_BIN_EXE_lethe"))
            .arg("serve")
            .args(device)
            .args(["--addr", "10.9.0.2", "--addr", "fd09::2"])
            .args(app.split_whitespace())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut start_line = String::new();
        for _ in 0..2 {
            start_line.clear();
            output.read_line(&mut start_line).unwrap();
            assert!(start_line.starts_with("listening on http://"), "{start_line:?}");
        }
        Self { child, output, start_line }
    }

    /// Interrupts it, and returns what it prints on its way out.
    pub(crate) fn stop(self) -> String {
        self.signal(Signal::SIGINT);
        let (success, rest) = self.wait();
        assert!(success, "{rest}");
        rest
    }

    /// Waits until it ends; whether it did so in good order, and what it printed.
    pub(crate) fn wait(mut self) -> (bool, String) {
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).unwrap();
        (self.child.wait().unwrap().success(), rest)
    }

    /// The next line that it prints.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
    }

    /// A line of `/proc/PID/status`.
    pub(crate) fn status(&self, key: &str) -> String {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
        line.trim_start_matches(':').trim().to_owned()
    }

    /// The number of its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Memory that it has in use, in KiB.
    pub(crate) fn resident(&self) -> i64 {
        self.status("VmRSS").trim_end_matches("kB").trim().parse().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
