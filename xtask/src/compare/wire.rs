//! The wire that everything is measured on, and which CPU does what on it.

use std::fs;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::ensure;
use lethe_testnet::{Namespace, janitor, wait_until};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

/// Where the clients of `lethe load` are, and the forged ones of its floods; and the router that a server with a
/// route table sends its answers to. All are at one hardware address, which no interface has.
pub(super) const CROWD: &str = "10.64.0.0/10";
pub(super) const FORGED: &str = "198.18.0.0/15";
pub(super) const CROWD_MAC: &str = "02:00:00:00:00:01";
const ROUTER: &str = "10.9.0.9";

/// Which CPUs run what: the client has CPUs of its own, the server as many as it has workers.
#[derive(Clone, Debug)]
pub(super) struct Cpus {
    pub(super) server: Vec<usize>,
    pub(super) client: Vec<usize>,
}

impl Cpus {
    /// A server with more workers than there are CPUs for servers gets all, and shares them with the client.
    pub(super) fn of_server(&self, workers: usize) -> Vec<usize> {
        if self.are_apart(workers) {
            return self.server[..workers].to_vec();
        }
        let mut all = [&self.server[..], &self.client].concat();
        all.sort_unstable();
        all
    }

    /// Whether the server does not share them with the client.
    pub(super) fn are_apart(&self, workers: usize) -> bool {
        workers <= self.server.len()
    }
}

/// CPUs as taskset takes them.
pub(super) fn listed(cpus: &[usize]) -> String {
    cpus.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// CPUs as the kernel takes them in /sys.
pub(super) fn mask(cpus: &[usize]) -> String {
    format!("{:x}", cpus.iter().fold(0_u128, |mask, cpu| mask | 1 << cpu))
}

/// A virtual cable between two namespaces, `client` and `server`; the client is 10.9.0.1.
///
/// Left alone, whatever sends on a veth also does the receiver's work in the kernel, and is charged for it. Here each
/// end has a thread of the kernel that receives (threaded NAPI), on the CPUs of that end: as if there were a wire
/// between two machines. So all that a CPU of the server does, it does for the server.
pub(super) struct Wire {
    cpus: Cpus,
    workers: usize,
    pub(super) client: Namespace,
    pub(super) server: Namespace,
    /// The client's interface, and the server's.
    pub(super) near: String,
    pub(super) far: String,
}

impl Wire {
    pub(super) fn new(cpus: &Cpus, workers: usize) -> anyhow::Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let (client, server) = (Namespace::create()?, Namespace::create()?);
        // Names of their own, since the threads that receive are found by them.
        let number = format!("{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let (near, far) = (format!("c{number}"), format!("s{number}"));
        let wire = Self { cpus: cpus.clone(), workers, client, server, near, far };
        wire.client.cable(&wire.near, &wire.server, &wire.far)?;
        for (space, device) in [(&wire.client, &wire.near), (&wire.server, &wire.far)] {
            // AF_XDP cannot be told that a checksum is yet to come; so the client computes it, for every server. No
            // IPv6 of the kernel's own, which would speak where only Lethe is to listen.
            let checksums = if device == &wire.near { "off" } else { "on" };
            space.sh(&format!(
                "echo 1 >/proc/sys/net/ipv6/conf/{device}/disable_ipv6
                 ethtool -K {device} gro on tx {checksums} >/dev/null
                 ip link set {device} up; echo 1 >/sys/class/net/{device}/threaded"
            ))?;
        }
        // An end with TSO goes past the other's thread (veth_skb_is_eligible_for_gro): the server would be charged with
        // all that its client's kernel does. RPS gives that to the client's CPUs.
        wire.client.sh(&format!(
            "echo {mask} >/sys/class/net/{near}/queues/rx-0/rps_cpus
             ip addr add 10.9.0.1/24 dev {near}; echo 1024 65000 >/proc/sys/net/ipv4/ip_local_port_range",
            mask = mask(&cpus.client),
            near = wire.near
        ))?;
        wire.client.patient_neighbors(&wire.near)?;
        // The kernel counts on sockets being closed within a minute; 100,000 connections take ten seconds.
        wire.server.sh("echo 4096 >/proc/sys/net/core/somaxconn; echo 8192 >/proc/sys/net/ipv4/tcp_max_syn_backlog")?;
        Ok(wire)
    }

    /// Puts the threads that receive where they belong, and returns those of the server. XDP may begin new ones, so
    /// this is for when the server is ready.
    pub(super) fn pin(&self) -> anyhow::Result<Vec<u32>> {
        let (ours, theirs) = (receivers(&self.near)?, receivers(&self.far)?);
        for (threads, cpus) in [(&ours, &self.cpus.client), (&theirs, &self.cpus.of_server(self.workers))] {
            let mut set = CpuSet::new();
            for &cpu in cpus {
                set.set(cpu)?;
            }
            for thread in threads {
                sched_setaffinity(Pid::from_raw(thread.cast_signed()), &set)?;
            }
        }
        ensure!(
            !ours.is_empty() && !theirs.is_empty(),
            "this kernel has no threads that receive for a veth: it takes Linux 5.12 or later"
        );
        Ok(theirs)
    }

    /// Makes the kernel of the server's end 10.9.0.2, with a way back to all clients.
    pub(super) fn give_address(&self) -> anyhow::Result<()> {
        self.server.sh(&format!(
            "ip addr add 10.9.0.2/24 dev {far}
             ip neigh add {ROUTER} lladdr {CROWD_MAC} dev {far} nud permanent
             ip route add {CROWD} via {ROUTER}; ip route add {FORGED} via {ROUTER}",
            far = self.far
        ))?;
        Ok(())
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        janitor::remove_spaces(&[self.client.name(), self.server.name()]);
    }
}

/// The processes in a namespace that stay, without those that are there for one connection.
pub(super) fn lasting(space: &Namespace) -> anyhow::Result<Vec<u32>> {
    let mut before = Vec::new();
    wait_until("the server's processes stay the same", Duration::from_secs(10), || {
        let now = space.pids()?;
        let same = now == before;
        before.clone_from(&now);
        Ok(same.then_some(now))
    })
}

/// The kernel's threads that receive for an interface.
fn receivers(device: &str) -> anyhow::Result<Vec<u32>> {
    let begin = format!("napi/{device}-");
    let thread = |entry: std::io::Result<fs::DirEntry>| {
        let entry = entry.ok()?;
        let pid = entry.file_name().to_str()?.parse().ok()?;
        // Others may have ended.
        fs::read_to_string(entry.path().join("comm")).ok()?.starts_with(&begin).then_some(pid)
    };
    Ok(fs::read_dir("/proc")?.filter_map(thread).collect())
}
