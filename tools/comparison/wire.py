"""The network that everything is measured on, and which CPU does what on it."""

import contextlib
import importlib.machinery
import importlib.util
import itertools
import os
import pathlib
import signal
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]

# Where the clients of `lethe load` are, and those whom its floods say they come from; and the router that a server with
# a route table sends its answers to. All are at one hardware address, which no interface has.
CROWD, FORGED, ROUTER, CROWD_MAC = "10.64.0.0/10", "198.18.0.0/15", "10.9.0.9", "02:00:00:00:00:01"


def load_large():
    """tools/large as a module: its namespaces, and its network with loss."""
    loader = importlib.machinery.SourceFileLoader("large", str(ROOT / "tools/large"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("large", loader))
    loader.exec_module(module)
    module.CAPTURES, module.FORGETFUL = None, False
    return module


large = load_large()


class Cpus:
    """Who runs where: the client on CPUs of its own, the server on as many as it has workers."""

    def __init__(self, server, client):
        self.server, self.client = server, client

    def of_server(self, workers):
        """A server with more workers than there are CPUs for servers gets all, and shares them with the client."""
        return self.server[:workers] if workers <= len(self.server) else sorted({*self.server, *self.client})

    def are_apart(self, workers):
        return workers <= len(self.server)


def listed(cpus):
    return ",".join(map(str, cpus))


def mask(cpus):
    return f"{sum(1 << cpu for cpu in cpus):x}"


class Wire:
    """A virtual cable between two namespaces, `client` and `server`; the client is 10.9.0.1.

    Left alone, whoever sends on a veth also does the receiver's work in the kernel, and is charged for it. Here each end
    has a thread of the kernel that receives (threaded NAPI), on the CPUs of that end: as if there were a wire between
    two machines. So all that a CPU of the server does, it does for the server.
    """

    numbers = itertools.count()

    def __init__(self, stack, cpus, workers):
        self.cpus, self.workers = cpus, workers
        self.client, self.server = large.Space(stack), large.Space(stack)
        # Names of their own, since the threads that receive are found by them.
        number = f"{os.getpid()}-{next(self.numbers)}"
        self.near, self.far = f"c{number}", f"s{number}"
        self.client.run(f"ip link add {self.near} type veth peer name {self.far} netns {self.server.name}")
        for space, device in ((self.client, self.near), (self.server, self.far)):
            # AF_XDP cannot be told that a checksum is yet to come; so the client computes it, for every server.
            # No IPv6 of the kernel's own, which would speak where only Lethe is to listen.
            checksums = "tx off" if space is self.client else "tx on"
            space.run(
                f"echo 1 >/proc/sys/net/ipv6/conf/{device}/disable_ipv6; ethtool -K {device} gro on {checksums} >/dev/null;"
                f"ip link set {device} up; echo 1 >/sys/class/net/{device}/threaded"
            )
        # An end with TSO goes past the other's thread (veth_skb_is_eligible_for_gro): the server would be charged with all
        # that its client's kernel does. RPS gives that to the client's CPUs.
        self.client.run(f"echo {mask(cpus.client)} >/sys/class/net/{self.near}/queues/rx-0/rps_cpus")
        self.client.run(f"ip addr add 10.9.0.1/24 dev {self.near}; echo 1024 65000 >/proc/sys/net/ipv4/ip_local_port_range")
        self.client.patient_neighbors(self.near)
        # The kernel counts on sockets being closed within a minute; 100,000 connections take ten seconds.
        self.server.run("echo 4096 >/proc/sys/net/core/somaxconn; echo 8192 >/proc/sys/net/ipv4/tcp_max_syn_backlog")
        # The cable goes before the namespaces, which the kernel removes in its own time.
        stack.callback(subprocess.run, ["ip", "-n", self.client.name, "link", "del", self.near], capture_output=True)
        # And before that all ends that is still in them: without its wire, who waits for the other end waits for ever.
        stack.callback(self.clear)

    def clear(self):
        """Ends every process in both namespaces. They are ours: so are the namespaces."""
        for space in (self.client, self.server):
            for pid in processes_in(space):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def pin(self):
        """Puts the threads that receive where they belong, and returns those of the server. XDP may begin new ones, so
        this is for when the server is ready."""
        ours, theirs = list(receivers(self.near)), list(receivers(self.far))
        for threads, cpus in ((ours, self.cpus.client), (theirs, self.cpus.of_server(self.workers))):
            for thread in threads:
                os.sched_setaffinity(thread, cpus)
        if not (ours and theirs):
            raise RuntimeError("this kernel has no threads that receive for a veth: it takes Linux 5.12 or later")
        return theirs

    def give_address(self):
        """Makes the kernel of the server's end 10.9.0.2, with a way back to all clients."""
        self.server.run(
            f"ip addr add 10.9.0.2/24 dev {self.far};"
            f"ip neigh add {ROUTER} lladdr {CROWD_MAC} dev {self.far} nud permanent;"
            f"ip route add {CROWD} via {ROUTER}; ip route add {FORGED} via {ROUTER}"
        )


def processes_in(space):
    """The processes in a namespace, by their numbers."""
    return [int(pid) for pid in large.command(["ip", "netns", "pids", space.name]).split()]


def receivers(device):
    """The kernel's threads that receive for an interface."""
    for path in pathlib.Path("/proc").glob("[0-9]*/comm"):
        try:
            if path.read_text().startswith(f"napi/{device}-"):
                yield int(path.parent.name)
        except OSError:
            pass  # it has ended
