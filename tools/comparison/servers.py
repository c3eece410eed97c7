"""Those that are compared, and how each is started."""

import contextlib
import math
import os
import pathlib
import resource
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass

from .wire import Wire, large, listed, mask, processes_in

ADDRESS = "10.9.0.2"
# What each of them is asked, and must answer alike.
PATH = "/202.96.128.86"


@dataclass(frozen=True)
class Kind:
    """A server that can be started: its name in the tables, what starts it as a `Running`, and its workers."""

    name: str
    start: callable
    workers: int = 1
    # Connections that it is asked to hold: with a thread or a process for each, and where all are gone over for one, more
    # are too much for a test.
    most_held: int = 1_000_000


class Running:
    """A server that answers, with its client's end of the wire."""

    def __init__(self, stack, setup, kind, site=None, held=0):
        self.stack, self.setup, self.kind, self.site = stack, setup, kind, site
        # Connections that it must be able to hold, and processes that have descriptors for so many.
        self.held, limit = held, resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self.parts = 1 if held + 2000 < limit else math.ceil(held / (limit * 0.85))
        self.wire = Wire(stack, setup.cpus, kind.workers)
        # Where it runs, and the client's interface. A TAP has its client in the same namespace.
        self.space, self.near = self.wire.server, self.wire.near
        self.processes = []
        kind.start(self)
        self.wait()
        self.receivers = self.wire.pin()
        self.pids = self.lasting()

    def run(self, *arguments, **options):
        """Starts a program on the server's CPUs."""
        cpus = listed(self.setup.cpus.of_server(self.kind.workers))
        process = self.space.start(["taskset", "-c", cpus, *map(str, arguments)], stdout=subprocess.DEVNULL, **options)
        self.processes.append(process)
        self.stack.callback(large.end, process)

    def get(self, path):
        """What it answers, whole; an error if it does not."""
        curl = ["curl", "-sS", "--fail", "--max-time", "5", f"http://{ADDRESS}{path}"]
        return subprocess.run(self.wire.client.inside(curl), capture_output=True)

    def wait(self):
        """Until it answers."""
        path = PATH if self.site is None else "/" if self.site.is_file() else f"/{min(os.listdir(self.site))}"
        for _ in range(100):
            answer = self.get(path)
            if answer.returncode == 0:
                return
            for process in self.processes:
                if process.poll() is not None:
                    raise RuntimeError(f"{self.kind.name} ended: {' '.join(process.args)}")
            time.sleep(0.05)
        raise RuntimeError(f"{self.kind.name} does not answer: {answer.stderr.decode().strip()}")

    def lasting(self):
        """Its processes, without those that are there for one connection."""
        pids = None
        while (now := processes_in(self.space)) != pids:
            pids = now
            time.sleep(0.05)
        return pids

    def server_cpus(self):
        """The CPUs that work for it alone, if there are any."""
        workers = self.kind.workers
        return self.setup.cpus.of_server(workers) if self.setup.cpus.are_apart(workers) else None


@contextlib.contextmanager
def running(setup, kind, site=None, **options):
    """A server from here to the end of `with`; of the files in `site`, if there is one, else of the lookup. `held` is
    how many connections it must be able to hold."""
    with contextlib.ExitStack() as stack:
        yield Running(stack, setup, kind, site, **options)


# ---------------------------------------------------------------- Lethe


def application(server):
    """What it serves: the lookup, files of a directory, or the table in a file."""
    if server.site is None:
        return ("ipinfo",)
    return ("scores" if server.site.is_file() else "files", server.site)


def on_interface(device, *more):
    """Lethe at the server's end of the wire, a process a worker."""

    def start(server):
        binary, workers = server.setup.binaries / "lethe", server.kind.workers
        options = more
        if workers > 1:
            secret = pathlib.Path(server.setup.work) / "secret"
            secret.write_text("00112233445566778899aabbccddeeff\n")
            secret.chmod(0o600)
            options = (*more, "--secret-file", secret)
        where = device.format(server.wire.far)
        for _ in range(workers):
            server.run(binary, "serve", "--device", where, "--addr", ADDRESS, *options, *application(server))

    return start


def on_tap(server):
    """Lethe at a TAP, which is a cable of its own: the client's kernel is at the other end of it, and not of the veth."""
    server.space, server.near = server.wire.client, "lethe0"
    server.space.run(f"ip addr del 10.9.0.1/24 dev {server.wire.near}")
    where = "tap:lethe0,host=10.9.0.1/24"
    server.run(server.setup.binaries / "lethe", "serve", "--device", where, "--addr", ADDRESS, *application(server))
    for _ in range(100):
        with contextlib.suppress(RuntimeError):
            # What Lethe sends is received by the client's CPUs here too.
            queue = "/sys/class/net/lethe0/queues/rx-0/rps_cpus"
            server.space.run(f"ip link show lethe0 up | grep -q lethe0; echo {mask(server.setup.cpus.client)} >{queue}")
            server.space.patient_neighbors("lethe0")
            return
        time.sleep(0.05)
    raise RuntimeError("the TAP did not come up")


def on_dpdk(server, *options):
    """Lethe's worker by way of DPDK's AF_XDP driver."""
    prefix = f"lethe-compare-{server.wire.far}"
    server.stack.callback(shutil.rmtree, f"/var/run/dpdk/{prefix}", ignore_errors=True)
    lcores = f"--lcores 0@{server.setup.cpus.of_server(1)[0]}"
    vdev = f"--vdev net_af_xdp0,iface={server.wire.far},force_copy=1"
    eal = f"--no-pci --no-huge -m 128 --no-telemetry --file-prefix {prefix} {lcores} {vdev}"
    lethe = (server.setup.binaries / "lethe", "serve", "--device", "dpdk:0", f"--eal={eal}", "--addr", ADDRESS)
    server.run(*lethe, *options, *application(server), stderr=subprocess.DEVNULL)


# ---------------------------------------------------------------- the others


def nginx(static, cookies=1):
    """nginx, which has the answer in its configuration or in a file; and whether its kernel answers SYNs with cookies
    when there are more than it remembers."""

    def start(server):
        server.wire.give_address()
        server.wire.server.run(f"echo {cookies} >/proc/sys/net/ipv4/tcp_syncookies")
        workers = max(server.kind.workers, server.parts)
        room = max(20_000, math.ceil(server.held / server.parts * 1.1))
        shared = " reuseport" if server.parts > 1 else ""
        folder = pathlib.Path(tempfile.mkdtemp(dir=server.setup.work))
        folder.chmod(0o755)
        location = f"root {server.site or server.setup.site};"
        if not static:
            location = f"location / {{ return 200 \"{server.setup.body.decode().rstrip()}\\n\"; }}"
        temporary = "".join(
            f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        (folder / "conf").write_text(
            f"daemon off; worker_processes {workers}; pid {folder}/pid;"
            f"error_log {folder}/errors; events {{ worker_connections {room}; }}"
            f"http {{ {temporary} access_log off; sendfile on; tcp_nopush on; client_header_timeout 600s;"
            f"default_type text/plain; charset utf-8; server {{ listen 80 backlog=4096{shared}; {location} }} }}"
        )
        server.run("nginx", "-p", folder, "-c", folder / "conf", stderr=subprocess.DEVNULL)

    return start


def peer(model):
    """A server of benches/peers."""

    def start(server):
        server.wire.give_address()
        for _ in range(server.parts):
            server.run(server.setup.binaries / "lethe-peers", model, f"{ADDRESS}:80")

    return start


def lethe_packet(workers):
    device = "packet:{}" if workers == 1 else "packet:{},fanout=7"
    return Kind(f"Lethe, packet, {workers} worker{'s' * (workers > 1)}", on_interface(device), workers)


def nginx_static(workers):
    return Kind(f"nginx, file, {workers} worker{'s' * (workers > 1)}", nginx(True), workers)


# With which all others are compared.
REFERENCE = Kind("nginx, return, 1 worker", nginx(False))
WITHOUT_COOKIES = Kind("nginx, no SYN cookies", nginx(False, cookies=0))
STATIC = nginx_static(1)
EPOLL = Kind("epoll, one thread", peer("epoll"))

LETHE = [Kind("Lethe, tap", on_tap), lethe_packet(1), Kind("Lethe, xdp", on_interface("xdp:{}"))]
# Which wait a little after each turn. Latency is not what this is for, and so they are not asked for it.
GATHERING = [
    Kind(f"Lethe, {device}, --gather 50us", on_interface(f"{device}:{{}}", "--gather", "50us"))
    for device in ("packet", "xdp")
]
DPDK = Kind("Lethe, dpdk by net_af_xdp", on_dpdk)

OTHERS = [
    Kind("nginx, return, 2 workers", nginx(False), 2),
    nginx_static(2),
    EPOLL,
    Kind("io_uring, one thread", peer("uring")),
    Kind("poll, one thread", peer("poll"), most_held=10_000),
    Kind("a thread a connection", peer("threads"), most_held=10_000),
    Kind("a process a connection", peer("processes"), most_held=10_000),
]
