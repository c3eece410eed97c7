"""The clients: `ab`, `wrk`, and `lethe load`, which sends at a fixed rate, floods, and holds connections open.

A generator is a function from a running server to a `Sample`.
"""

import json
import math
import re
import subprocess
from dataclasses import dataclass, field

from .cpu import Cost
from .servers import ADDRESS, PATH
from .wire import CROWD, CROWD_MAC, FORGED, listed

# Seconds for which `lethe load` waits for an answer. SYNs are sent again after 1 and 3 of them.
PATIENCE = 4

# wrk knows all percentiles, and prints few.
DONE = """
done = function(summary, latency)
  local e = summary.errors
  print(string.format("counted %d %d %d %d %d", summary.requests, e.connect + e.read + e.write + e.timeout + e.status,
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9)))
end
"""


@dataclass
class Sample:
    """What one run of a client came to. Costs are in microseconds of CPU a request; latencies in milliseconds."""

    requests: int
    failed: int
    rate: float
    costs: dict = field(default_factory=dict)
    latency: dict = field(default_factory=dict)
    # The share of its time for which the server worked, where that is one worker.
    busy: float = 0.0
    # Of `lethe load`: frames of a flood each second, and packets that a client sends for a request.
    flood: float = 0.0
    packets: float = 0.0

    def answered(self):
        """The share of the requests that were."""
        return 1 - self.failed / self.requests


def measured(server, arguments, read):
    """Runs a client on the client's CPUs, and reads what it printed."""
    command = server.wire.client.inside(["taskset", "-c", listed(server.setup.cpus.client), *map(str, arguments)])
    with Cost(server.setup.baseline, server.server_cpus(), server.pids, server.receivers) as cost:
        run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode:
        raise RuntimeError(f"{server.kind.name}: {arguments[0]} failed: {run.stderr.strip() or run.stdout.strip()}")
    sample = read(run.stdout)
    for name in Cost.PARTS:
        seconds = getattr(cost, name)
        sample.costs[name] = None if seconds is None else seconds / sample.requests * 1e6
    sample.rate = sample.rate or sample.requests / cost.seconds
    sample.busy = cost.server / cost.seconds
    return sample


def with_answers(server, sample):
    """A run of which no answer came says nothing."""
    if sample.requests <= sample.failed:
        raise RuntimeError(f"{server.kind.name}: of {sample.requests} requests {sample.failed} failed")
    return sample


def ab(server, requests, parallel, path=PATH):
    """Short connections, each with one request of HTTP/1.0."""

    def read(text):
        def number(name):
            found = re.search(rf"^{name}:\s+([\d.]+)", text, re.M)
            return float(found[1]) if found else 0

        complete = int(number("Complete requests"))
        failed = int(number("Failed requests") + number("Non-2xx responses"))
        return Sample(complete, failed, number("Requests per second"))

    url = f"http://{ADDRESS}{path}"
    options = ["-q", "-r", "-s", "30", "-n", requests, "-c", min(parallel, requests)]
    return with_answers(server, measured(server, ["ab", *options, url], read))


def wrk(server, seconds, parallel, path=PATH, script=""):
    """Short connections, each with one request of HTTP/1.1 that asks for its end; `script` says what for, if given."""

    def read(text):
        requests, failed, p50, p99, p999 = map(int, re.search(r"counted (\d+) (\d+) (\d+) (\d+) (\d+)", text).groups())
        latency = {"p50": p50 / 1e3, "p99": p99 / 1e3, "p99.9": p999 / 1e3}
        return Sample(requests, failed, 0.0, latency=latency)

    file = server.setup.work / "wrk.lua"
    file.write_text(DONE + script)
    threads = len(server.setup.cpus.client)
    options = ["-t", threads, "-c", max(parallel, threads), "-d", f"{seconds}s", "-s", file]
    return with_answers(server, measured(server, ["wrk", *options, "-H", "Connection: close", f"http://{ADDRESS}{path}"], read))


def crowd(server, *arguments):
    """`lethe load` at the client's end of the wire: clients that the kernel there knows nothing of."""
    place = ["--device", f"packet:{server.near}", "--mac", CROWD_MAC, "--from", CROWD, "--to", ADDRESS, "--path", PATH]
    return [server.setup.client, "load", *place, "--flood-from", FORGED, *arguments]


def steadily(server, rate, seconds, flood=0):
    """Requests at a rate, each on a connection of its own, whatever the server does; beside `flood` SYNs a second from
    nobody, or with `math.inf` as many as can be sent."""

    def read(text):
        found = json.loads(text)
        wanted, frames = found["begun"] + found["never_begun"], found["frames"]
        latency = {mark: (found["latency_us"][mark] or 0) / 1e3 for mark in ("p50", "p99", "p99.9")}
        sample = Sample(wanted, wanted - found["answered"], rate, latency=latency if found["answered"] else {})
        sample.packets, sample.flood = frames["out"] / max(1, found["begun"]), frames["flood"] / found["seconds"]
        return sample

    syns = ["--flood", "syn" if flood == math.inf else f"syn={flood:.0f}"] if flood else []
    times = ["--rate", rate, "--for", f"{seconds}s", "--timeout", f"{PATIENCE}s"]
    return measured(server, crowd(server, *times, *syns, "--json", "--quiet"), read)


class Held:
    """So many connections, open and idle until the end of `with`."""

    # For longer than anything is measured; SYNs that wait for an answer, fewer than a veth queues, so that none is lost;
    # and the seconds after which one that has none is given up.
    FOR, WAVE, PATIENCE = "1h", 200, 60

    def __init__(self, server, count):
        self.count, self.process, self.server = 0, None, server
        if count:
            holding = crowd(server, "--open", count, "--for", self.FOR, "--in-flight", self.WAVE, "--timeout", f"{self.PATIENCE}s")
            command = ["taskset", "-c", listed(server.setup.cpus.client), *map(str, holding)]
            self.process = server.wire.client.start(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    def __enter__(self):
        """Returns when all are open that can be."""
        said = ""
        while self.process and not (found := re.search(r" s  holding .* open (\d+)", said)):
            said = self.process.stderr.readline()
            if not said:
                raise RuntimeError(f"{self.server.kind.name}: connections could not be held")
        self.count = int(found[1]) if self.process else 0
        return self

    def __exit__(self, *_):
        """Their clients vanish; the server's kernel is not to speak to them for long."""
        self.server.wire.server.run("echo 1 >/proc/sys/net/ipv4/tcp_orphan_retries")
        if self.process:
            self.process.kill()
            self.process.communicate()
