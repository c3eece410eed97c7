//! Network namespaces.

use std::ffi::OsStr;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Context;
use nix::sched::{CloneFlags, setns};

use crate::janitor;
use crate::program::output;

/// After three lost ARP requests in a row the kernel reports "no route to host". So many are sent instead.
const ARP_REQUESTS: u32 = 20;

/// A network namespace. When it is dropped, all that runs in it ends, and it is removed.
#[derive(Debug)]
pub struct Namespace(String);

impl Namespace {
    /// A namespace that has nothing but the loopback device.
    ///
    /// # Panics
    ///
    /// Without root.
    #[expect(clippy::new_without_default, reason = "it does not come without effort")]
    pub fn new() -> Self {
        Self::create().unwrap_or_else(|error| panic!("network namespaces need root: {error}"))
    }

    /// A namespace that has nothing but the loopback device.
    ///
    /// # Errors
    ///
    /// Without root.
    pub fn create() -> anyhow::Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("lethe-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        janitor::remember_space(&name)?;
        output(Command::new("ip").args(["netns", "add", &name]))?;
        let space = Self(name);
        space.sh("ip link set lo up")?;
        Ok(space)
    }

    /// What `ip` calls it.
    pub fn name(&self) -> &str {
        &self.0
    }

    /// A program that is to run in it.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        Self::command_in(&self.0, program)
    }

    /// A program that is to run in the namespace of this name.
    pub fn command_in(name: &str, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("ip");
        // Debian has administration programs where not every shell looks.
        let path = std::env::var("PATH").unwrap_or_default();
        command.args(["netns", "exec", name]).arg(program).env("PATH", format!("{path}:/usr/sbin:/sbin"));
        command
    }

    /// Runs a shell script that ends with its first error, and returns what it printed.
    ///
    /// # Errors
    ///
    /// When it fails: with what it said.
    pub fn sh(&self, script: &str) -> anyhow::Result<String> {
        output(self.command("sh").args(["-ec", script]))
    }

    /// Makes a device usable at once, with address `number` of the networks 10.9.0.0/24 and `fd09::/64`.
    ///
    /// # Errors
    ///
    /// When it is not there.
    pub fn address(&self, device: &str, number: u8) -> anyhow::Result<()> {
        self.sh(&format!(
            "echo 0 >/proc/sys/net/ipv6/conf/{device}/accept_dad; ip link set {device} up
             ip addr add 10.9.0.{number}/24 dev {device}; ip addr add fd09::{number}/64 dev {device} nodad"
        ))?;
        self.patient_neighbors(device)
    }

    /// Has the kernel ask for a hardware address more often, which matters where frames are lost.
    ///
    /// # Errors
    ///
    /// When there is no such device.
    pub fn patient_neighbors(&self, device: &str) -> anyhow::Result<()> {
        let setting =
            |family: &str| format!("echo {ARP_REQUESTS} >/proc/sys/net/{family}/neigh/{device}/mcast_solicit");
        self.sh(&format!("{}; {}", setting("ipv4"), setting("ipv6")))?;
        Ok(())
    }

    /// Makes a cable to another namespace: `near` is its end here, `far` the one there.
    ///
    /// # Errors
    ///
    /// When there is a device of such a name.
    pub fn cable(&self, near: &str, other: &Self, far: &str) -> anyhow::Result<()> {
        self.sh(&format!("ip link add {near} type veth peer name {far} netns {}", other.0))?;
        Ok(())
    }

    /// The processes in it.
    ///
    /// # Errors
    ///
    /// When it is gone.
    pub fn pids(&self) -> anyhow::Result<Vec<u32>> {
        let text = output(Command::new("ip").args(["netns", "pids", &self.0]))?;
        text.split_whitespace().map(|pid| pid.parse().context("a number")).collect()
    }

    /// Runs a shell line, at most three minutes of it, and returns what it printed.
    #[track_caller]
    pub fn run(&self, line: &str) -> String {
        let (success, text) = self.try_run(line);
        assert!(success, "{line}\n{text}");
        text
    }

    /// Runs a shell line, at most three minutes of it, and returns whether it succeeded, with what it printed.
    pub fn try_run(&self, line: &str) -> (bool, String) {
        self.try_run_for(180, line)
    }

    /// Runs a shell line, at most so many seconds of it, and returns whether it succeeded, with what it printed.
    pub fn try_run_for(&self, seconds: u32, line: &str) -> (bool, String) {
        let output = self.command("timeout").args([&seconds.to_string(), "sh", "-c", line]).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    }

    /// Asks for the station with an IPv4 address, twice, with whichever `arping` there is: that of iputils, or the one
    /// by Thomas Habets, which Debian has as well, and which cannot be installed beside the other. Returns the hardware
    /// address that answered both times.
    #[track_caller]
    pub fn arping(&self, device: &str, address: &str) -> String {
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
    pub fn is_taken(&self, device: &str, address: &str) -> bool {
        match Arping::installed(self) {
            // An answer is a failure.
            Arping::Iputils => !self.try_run(&format!("arping -D -c 1 -I {device} {address}")).0,
            Arping::Habets => self.try_run(&format!("arping -0 -c 1 -i {device} {address}")).0,
        }
    }

    /// Does something with sockets of this namespace.
    pub fn enter<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let path = format!("/var/run/netns/{}", self.0);
        // A namespace is a thread's own.
        std::thread::spawn(move || {
            setns(std::fs::File::open(path).unwrap(), CloneFlags::CLONE_NEWNET).unwrap();
            work()
        })
        .join()
        .unwrap()
    }

    /// Does something in as many threads at once, and then something with what came of it.
    pub fn enter_all<T>(
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

/// The two programs called `arping`, whose options differ.
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
        janitor::remove_spaces(&[&self.0]);
    }
}
