"""The clients: `ab`, `wrk`, and one that holds connections open.

A generator is a function from a running server to a `Sample`. One that sends at a fixed rate (`lethe load`) has its
place here, beside `ab` and `wrk`, and in `loads` of measure.py; one that holds more connections in that of `Held`, and in
`FULL.held`.
"""

import re
import subprocess
import sys
from dataclasses import dataclass, field

from .cpu import Cost
from .servers import ADDRESS, PATH
from .wire import ROOT, listed

# wrk knows all percentiles, and prints few.
DONE = """
done = function(summary, latency)
  local e = summary.errors
  print(string.format("counted %d %d %d %d %d", summary.requests, e.connect + e.read + e.write + e.timeout + e.status,
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9)))
end
"""
# One of so many files for each request, by chance.
ANY_FILE = """
init = function() math.randomseed(7) end
request = function() return wrk.format("GET", "/" .. math.random(0, %d)) end
"""


@dataclass
class Sample:
    """What one run of a client came to. Costs are in microseconds of CPU a request; latencies in milliseconds."""

    requests: int
    failed: int
    rate: float
    costs: dict = field(default_factory=dict)
    latency: dict = field(default_factory=dict)


def measured(server, arguments, read):
    """Runs a client on the client's CPUs, and reads what it printed."""
    command = server.wire.client.inside(["taskset", "-c", listed(server.setup.cpus.client), *map(str, arguments)])
    with Cost(server.setup.baseline, server.server_cpus(), server.pids, server.receivers) as cost:
        run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode:
        raise RuntimeError(f"{server.kind.name}: {arguments[0]} failed: {run.stderr.strip() or run.stdout.strip()}")
    sample = read(run.stdout)
    if sample.requests <= sample.failed:
        raise RuntimeError(f"{server.kind.name}: of {sample.requests} requests {sample.failed} failed")
    for name in Cost.PARTS:
        seconds = getattr(cost, name)
        sample.costs[name] = None if seconds is None else seconds / sample.requests * 1e6
    sample.rate = sample.rate or sample.requests / cost.seconds
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
    return measured(server, ["ab", "-q", "-r", "-s", "30", "-n", requests, "-c", min(parallel, requests), url], read)


def wrk(server, seconds, parallel, path=PATH, files=0):
    """Short connections, each with one request of HTTP/1.1 that asks for its end; of any of `files` files, if given."""

    def read(text):
        requests, failed, p50, p99, p999 = map(int, re.search(r"counted (\d+) (\d+) (\d+) (\d+) (\d+)", text).groups())
        latency = {"p50": p50 / 1e3, "p99": p99 / 1e3, "p99.9": p999 / 1e3}
        return Sample(requests, failed, 0.0, latency=latency)

    script = server.setup.work / "wrk.lua"
    script.write_text(DONE + (ANY_FILE % (files - 1) if files else ""))
    threads = len(server.setup.cpus.client)
    options = ["-t", threads, "-c", max(parallel, threads), "-d", f"{seconds}s", "-s", script]
    return measured(server, ["wrk", *options, "-H", "Connection: close", f"http://{ADDRESS}{path}"], read)


class Held:
    """So many connections, open and idle until the end of `with`."""

    def __init__(self, server, count):
        script = ROOT / "tools/comparison/hold.py"
        self.process = server.wire.client.start(
            ["taskset", "-c", listed(server.setup.cpus.client), sys.executable, str(script), ADDRESS, str(count)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self):
        line = self.process.stdout.readline().split()
        if not line:
            raise RuntimeError("connections could not be held")
        self.count = int(line[0])
        return self

    def __exit__(self, *_):
        self.process.communicate("")
