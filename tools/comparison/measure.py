"""What is measured, in the order of the report. Each function returns what it found, by name."""

import contextlib
import math
import pathlib
import re
import shutil
import time
from dataclasses import dataclass, field
from types import SimpleNamespace

from . import load, servers
from .cpu import Baseline
from .servers import PATH, REFERENCE, running
from .wire import Cpus, large, processes_in


@dataclass
class Amount:
    """How much of everything."""

    # How often: short connections to Lethe and to nginx with one worker; the same to the others; everything else.
    rounds: int
    rounds_of_others: int
    rounds_of_more: int
    # Requests of `ab`, by how many at a time, and those of the others; and seconds of `wrk`.
    short: dict
    short_of_others: int
    seconds: int
    # Seconds of `lethe load` at a rate; requests a second alone, and beside a flood that is nine of ten packets; and SYNs
    # a second beside a thousand requests.
    steady: int
    rates: tuple
    rates_in_flood: tuple
    floods: tuple
    # Requests of `ab` for what grows, and the sizes and numbers that it grows to.
    growth: int
    sizes: tuple
    files: tuple
    candidates: tuple
    bursts: tuple
    held: tuple
    # Downloads over each network with loss, and its share of lost packets.
    downloads: int
    losses: tuple
    idle: int


FULL = Amount(
    rounds=5,
    rounds_of_others=2,
    rounds_of_more=2,
    short={100: 100_000, 1000: 100_000},
    short_of_others=20_000,
    seconds=3,
    steady=3,
    rates=(1000, 10_000, 30_000),
    rates_in_flood=(1000, 10_000),
    floods=(50_000, 100_000, 200_000, math.inf),
    growth=10_000,
    sizes=(200, 500, 1000, 1400, 3000, 14_000, 30_000, 100_000),
    files=(100, 1000, 10_000, 100_000),
    candidates=(1000, 10_000, 100_000, 400_000),
    bursts=(1, 4, 16, 32, 64, 256),
    held=(10_000, 100_000, 1_000_000),
    downloads=200,
    losses=(1, 5),
    idle=10,
)
QUICK = Amount(
    rounds=1,
    rounds_of_others=1,
    rounds_of_more=1,
    short={10: 100, 50: 100},
    short_of_others=100,
    seconds=1,
    steady=1,
    rates=(200, 400),
    rates_in_flood=(200,),
    floods=(2000,),
    growth=100,
    sizes=(200, 14_000),
    files=(10, 100),
    candidates=(10, 100),
    bursts=(1, 32),
    held=(20, 500),
    downloads=4,
    losses=(1,),
    idle=1,
)


class Progress:
    """Which measurement of how many, and which of its steps."""

    def __init__(self):
        self.begun, self.name, self.place, self.steps, self.done = time.monotonic(), "", "", 0, 0

    def begin(self, name, number, of):
        self.name, self.place, self.steps, self.done = name, f"{number}/{of}", 0, 0

    def expect(self, steps):
        self.steps = steps

    def step(self, words):
        self.done += 1
        minutes = (time.monotonic() - self.begun) / 60
        note(f"{minutes:4.1f} min  measurement {self.place} {self.name}, step {self.done}/{self.steps}: {words}")


@dataclass
class Setup:
    """All that a measurement needs to know."""

    amount: Amount
    cpus: Cpus
    work: pathlib.Path
    binaries: pathlib.Path
    dpdk: bool
    # The answer of Lethe to `PATH`, and a directory in which it is a file.
    body: bytes = b""
    site: pathlib.Path = None
    baseline: Baseline = None
    # The command once more, for clients: what a server has in memory it shares with nobody.
    client: pathlib.Path = None
    progress: Progress = field(default_factory=Progress)
    # What went wrong; the rest of an hour is not lost for it.
    failures: list = field(default_factory=list)

    @contextlib.contextmanager
    def going_on(self):
        """Whatever fails within is noted, and left out."""
        try:
            yield
        # Also what nobody has thought of: the rest is worth more than where exactly it came from.
        except Exception as error:
            words = str(error) if isinstance(error, RuntimeError) else f"{type(error).__name__}: {error}"
            note(f"failed: {words}")
            self.failures.append(f"{self.progress.name}: {words}")

    def prepare(self):
        """Asks Lethe once, and watches the machine while nothing is asked of it."""
        large.LETHE, large.RELAY = self.binaries / "lethe", self.binaries / "examples" / "relay"
        self.client = shutil.copy(large.LETHE, self.work / "client")
        with running(self, servers.lethe_packet(1)) as server:
            self.body = server.get(PATH).stdout
        self.site = self.folder("site", {PATH[1:]: self.body})
        self.baseline = Baseline(self.amount.idle)

    def folder(self, name, files):
        """A directory that every server may read."""
        folder = self.work / name
        folder.mkdir()
        folder.chmod(0o755)
        for name, content in files.items():
            (folder / name).write_bytes(content)
        return folder

    def lethe(self):
        return [*servers.LETHE, *([servers.DPDK] if self.dpdk else [])]


def note(words):
    print(f"{time.strftime('%H:%M:%S')} {words}", flush=True)


def something(setup, found):
    """What was found, if anything was."""
    if not found:
        raise RuntimeError("nothing could be measured")
    return found


def check_body(server, path, expected):
    body = server.get(path).stdout
    if body != expected:
        raise RuntimeError(f"{server.kind.name} answers {path} with {body[:60]!r}, and not with {expected[:60]!r}")


# ---------------------------------------------------------------- short connections


def loads(amount, most=math.inf):
    """The clients of short connections, by their names in the tables; of `ab` at most so many requests."""
    clients = {
        f"ab, {parallel} at a time": lambda server, n=min(requests, most), c=parallel: load.ab(server, n, c)
        for parallel, requests in amount.short.items()
    }
    parallel = min(amount.short)
    clients[f"wrk, {parallel} at a time"] = lambda server: load.wrk(server, amount.seconds, parallel)
    return clients


def groups(setup):
    """Each of Lethe's ports next to an nginx, which two of them share, and nginx with a file at the end."""
    lethe = [*setup.lethe(), *servers.GATHERING]
    pairs = [lethe[at : at + 2] for at in range(0, len(lethe), 2)]
    return [[pair[0], REFERENCE, *pair[1:]] for pair in pairs] + [[servers.STATIC]]


def short(setup):
    """Short connections to everybody. Lethe and nginx follow one another, and take turns at being first."""
    amount = setup.amount
    found = {"samples": {}, "ratios": {}, "clients": list(loads(amount))}
    setup.progress.expect(amount.rounds * sum(map(len, groups(setup))) + amount.rounds_of_others * len(servers.OTHERS))
    for number in range(amount.rounds):
        for group in groups(setup):
            group = {kind.name: serve(setup, kind, found, number) for kind in turns(group, number)}
            reference = group.pop(REFERENCE.name, {})
            for name, of in group.items():
                for client in of.keys() & reference.keys():
                    compare(found, name, client, of[client].costs, reference[client].costs)
        if number < amount.rounds_of_others:
            for kind in turns(servers.OTHERS, number):
                serve(setup, kind, found, number, amount.short_of_others)
    return something(setup, found["samples"]) and found


def turns(kinds, number):
    """Who was first in one round is last in the next."""
    return kinds if number % 2 == 0 else kinds[::-1]


def compare(found, name, client, costs, beside):
    """Notes what a server cost of what its neighbor did."""
    for what in ("server", "machine"):
        ratios = found["ratios"].setdefault(name, {}).setdefault(client, {}).setdefault(what, [])
        if beside[what] > 0:
            ratios.append(costs[what] / beside[what])


def serve(setup, kind, found, number, most=math.inf):
    """All the clients of short connections at one server, after a look at what it answers; nothing if that failed."""
    setup.progress.step(f"{kind.name}, round {number + 1}")
    samples = {}
    with setup.going_on():
        with running(setup, kind) as server:
            check_body(server, PATH, setup.body)
            load.ab(server, min(2000, *setup.amount.short.values()), 10)  # to warm up
            for client, run in loads(setup.amount, most).items():
                samples[client] = run(server)
        for client, sample in samples.items():
            found["samples"].setdefault(kind.name, {}).setdefault(client, []).append(sample)
        return samples
    return {}


# ---------------------------------------------------------------- memory


def memory_of(pids):
    """Bytes that these processes have in memory, pages that several share counted once (Pss)."""
    total = 0
    for pid in pids:
        # A process may have ended since it was listed.
        with contextlib.suppress(OSError, TypeError):
            rollup = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
            total += int(re.search(r"^Pss:\s+(\d+)", rollup, re.M)[1]) << 10
    return total


def memory_of_kernel():
    """Bytes of the whole kernel: objects in slabs, stacks of threads, page tables, and what TCP counts as its buffers."""
    info = pathlib.Path("/proc/meminfo").read_text()
    kilobytes = sum(int(re.search(rf"^{name}:\s+(\d+)", info, re.M)[1]) for name in ("KernelStack", "PageTables"))
    # Those in use, and not the pages that they are in: who was here before leaves pages with room in them.
    slabs = re.findall(r"^\S+ +(\d+) +\d+ +(\d+) ", pathlib.Path("/proc/slabinfo").read_text(), re.M)
    objects = sum(int(count) * int(size) for count, size in slabs)
    pages = int(re.search(r"^TCP: .* mem (\d+)", pathlib.Path("/proc/net/sockstat").read_text(), re.M)[1])
    return objects + (kilobytes << 10) + (pages << 12)


def settled():
    """The kernel's memory, once it is done with what was before: it frees connections in its own time."""
    before = memory_of_kernel()
    for _ in range(20):
        time.sleep(0.5)
        now = memory_of_kernel()
        if before - now < 4 << 20:
            break
        before = now
    return now


@dataclass
class Open:
    """A server with connections open: how many, its processes' memory before and with them, the kernel's growth, all in
    bytes; and what a request costs meanwhile."""

    server: str
    count: int
    before: int
    processes: int
    kernel: int
    samples: list


def memory(setup):
    """Memory with so many connections open, and what a request costs beside them."""
    kinds = [servers.lethe_packet(1), REFERENCE, *(kind for kind in servers.OTHERS if kind.workers == 1)]
    plan = [(kind, count) for kind in kinds for count in (0, *setup.amount.held) if count <= kind.most_held]
    setup.progress.expect(len(plan))
    rows = []
    for kind, count in plan:
        setup.progress.step(f"{kind.name}, {count:,} connections")
        with setup.going_on(), running(setup, kind, held=count) as server:
            check_body(server, PATH, setup.body)
            load.ab(server, min(2000, setup.amount.growth), 10)  # to warm up
            before, kernel = memory_of(server.pids), settled()
            with load.Held(server, count) as held:
                processes, kernel = memory_of(processes_in(server.space)), memory_of_kernel() - kernel
                if held.count < count:
                    note(f"{kind.name}: of {count} connections {held.count} were made")
                rounds = range(setup.amount.rounds_of_more)
                samples = [load.ab(server, setup.amount.growth // 4, min(setup.amount.short)) for _ in rounds]
                rows.append(Open(kind.name, held.count, before, processes, kernel, samples))
    return something(setup, rows)


# ---------------------------------------------------------------- loss


def loss(setup):
    """Completion times over a bad network: {(percent, size): {server: [[seconds] of each round]}}."""
    found, sizes = {}, (1000, 14_000)
    theirs = SimpleNamespace(work=setup.work, congestion_control="cubic")
    rounds = setup.amount.rounds_of_more
    setup.progress.expect(rounds * len(setup.amount.losses) * 2)
    for number in range(rounds):
        for percent in setup.amount.losses:
            impair = f"loss={percent}%,delay=20ms,seed={number + 1}"
            networks = {
                "Lethe": lambda stack: large.lethe_here(stack, impair)[0],
                "nginx": lambda stack: large.nginx_behind(stack, theirs, sizes, impair),
            }
            for name in turns(list(networks), number):
                setup.progress.step(f"{name}, {impair}")
                with setup.going_on(), contextlib.ExitStack() as stack:
                    space = networks[name](stack)
                    for size in sizes:
                        urls = [f"{large.BASES['v4']}/{size}"] * setup.amount.downloads
                        downloads = large.Batch(setup.work, space, urls).result()
                        if any(one.digest != large.EXPECTED(size) for one in downloads):
                            raise RuntimeError(f"{name}, {size} bytes, {impair}: not what was to come")
                        times = [one.seconds for one in downloads]
                        found.setdefault((percent, size), {}).setdefault(name, []).append(times)
    return something(setup, found)
