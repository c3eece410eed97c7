"""What is measured, in the order of the report. Each function returns what it found, by name."""

import contextlib
import pathlib
import re
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

    rounds: int
    # Requests of `ab`, by how many at a time; and seconds of `wrk`.
    short: dict
    seconds: int
    # Requests of `ab` for what grows, and the sizes and numbers that it grows to.
    growth: int
    sizes: tuple
    files: tuple
    held: tuple
    # Downloads over each network with loss, and its share of lost packets.
    downloads: int
    losses: tuple
    idle: int


FULL = Amount(
    rounds=5,
    short={100: 100_000, 1000: 100_000},
    seconds=10,
    growth=20_000,
    sizes=(200, 500, 1000, 1400, 3000, 5000, 10_000, 14_000, 30_000, 100_000),
    files=(100, 1000, 10_000, 100_000),
    held=(1000, 10_000),
    downloads=200,
    losses=(1, 5),
    idle=10,
)
QUICK = Amount(
    rounds=1,
    short={10: 100, 50: 100},
    seconds=1,
    growth=100,
    sizes=(200, 14_000),
    files=(10, 100),
    held=(20,),
    downloads=4,
    losses=(1,),
    idle=1,
)


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
    # What went wrong; the rest of an hour is not lost for it.
    failures: list = field(default_factory=list)

    @contextlib.contextmanager
    def going_on(self):
        """Whatever fails within is noted, and left out."""
        try:
            yield
        except RuntimeError as error:
            note(f"failed: {error}")
            self.failures.append(str(error))

    def prepare(self):
        """Asks Lethe once, and watches the machine while nothing is asked of it."""
        large.LETHE, large.RELAY = self.binaries / "lethe", self.binaries / "examples" / "relay"
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
        raise RuntimeError(f"nothing could be measured: {setup.failures[-1]}")
    return found


def check_body(server, path, expected):
    body = server.get(path).stdout
    if body != expected:
        raise RuntimeError(f"{server.kind.name} answers {path} with {body[:60]!r}, and not with {expected[:60]!r}")


# ---------------------------------------------------------------- short connections


def loads(amount):
    """The clients of short connections, by their names in the tables."""
    clients = {
        f"ab, {parallel} at a time": lambda server, n=requests, c=parallel: load.ab(server, n, c)
        for parallel, requests in amount.short.items()
    }
    parallel = min(amount.short)
    clients[f"wrk, {parallel} at a time"] = lambda server: load.wrk(server, amount.seconds, parallel)
    return clients


def short(setup):
    """Short connections to everybody. Lethe and nginx follow one another, and take turns at being first."""
    found = {"samples": {}, "ratios": {}, "clients": list(loads(setup.amount))}
    for number in range(setup.amount.rounds):
        note(f"short connections, round {number + 1} of {setup.amount.rounds}")
        for kind in setup.lethe():
            with setup.going_on():
                pair = [REFERENCE, kind]
                both = {one.name: serve(setup, one, found) for one in (pair if number % 2 == 0 else reversed(pair))}
                for client, sample in both[kind.name].items():
                    beside = both[REFERENCE.name][client].costs
                    for what in ("server", "machine"):
                        ratios = found["ratios"].setdefault(kind.name, {}).setdefault(client, {}).setdefault(what, [])
                        if beside[what] > 0:
                            ratios.append(sample.costs[what] / beside[what])
        for kind in servers.OTHERS if number % 2 == 0 else reversed(servers.OTHERS):
            with setup.going_on():
                serve(setup, kind, found)
    return something(setup, found["samples"]) and found


def serve(setup, kind, found):
    """All the clients of short connections at one server, after a look at what it answers."""
    samples = {}
    with running(setup, kind) as server:
        check_body(server, PATH, setup.body)
        load.ab(server, min(2000, *setup.amount.short.values()), 10)  # to warm up
        for client, run in loads(setup.amount).items():
            samples[client] = run(server)
    for client, sample in samples.items():
        found["samples"].setdefault(kind.name, {}).setdefault(client, []).append(sample)
    return samples


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
    """Bytes of the whole kernel: slabs, stacks of threads, page tables, and what TCP counts as its buffers."""
    info = pathlib.Path("/proc/meminfo").read_text()
    kilobytes = sum(int(re.search(rf"^{name}:\s+(\d+)", info, re.M)[1]) for name in ("Slab", "KernelStack", "PageTables"))
    pages = int(re.search(r"^TCP: .* mem (\d+)", pathlib.Path("/proc/net/sockstat").read_text(), re.M)[1])
    return (kilobytes << 10) + (pages << 12)


def memory(setup):
    """Memory with so many connections open: rows of (server, connections, processes, kernel and how much more it is)."""
    kinds = [servers.lethe_packet(1), REFERENCE, *(kind for kind in servers.OTHERS if kind.workers == 1)]
    rows = []
    for kind in (kind for kind in kinds if "file" not in kind.name):
        note(f"memory: {kind.name}")
        for count in (0, *setup.amount.held):
            if count > kind.most_held:
                continue
            with setup.going_on(), running(setup, kind) as server:
                before = memory_of_kernel()
                with load.Held(server, count) as held:
                    time.sleep(min(2, setup.amount.idle / 4))
                    rows.append((kind.name, held.count, memory_of(processes_in(server.space)), memory_of_kernel() - before))
                    if held.count < count:
                        note(f"{kind.name}: of {count} connections {held.count} were made")
    return rows


# ---------------------------------------------------------------- loss


def loss(setup):
    """Completion times over a bad network: {(percent, size): {server: [[seconds] of each round]}}."""
    found, sizes = {}, (1000, 14_000)
    theirs = SimpleNamespace(work=setup.work, congestion_control="cubic")
    for number in range(setup.amount.rounds):
        for percent in setup.amount.losses:
            impair = f"loss={percent}%,delay=20ms,seed={number + 1}"
            note(f"{impair}, round {number + 1} of {setup.amount.rounds}")
            networks = {
                "Lethe": lambda stack: large.lethe_here(stack, impair)[0],
                "nginx": lambda stack: large.nginx_behind(stack, theirs, sizes, impair),
            }
            for name in networks if number % 2 == 0 else reversed(networks):
                with setup.going_on(), contextlib.ExitStack() as stack:
                    space = networks[name](stack)
                    for size in sizes:
                        urls = [f"{large.BASES['v4']}/{size}"] * setup.amount.downloads
                        downloads = large.Batch(setup.work, space, urls).result()
                        if any(one.digest != large.EXPECTED(size) for one in downloads):
                            raise RuntimeError(f"{name}, {size} bytes, {impair}: not what was to come")
                        times = [one.seconds for one in downloads]
                        found.setdefault((percent, size), {}).setdefault(name, []).append(times)
    return found


# ---------------------------------------------------------------- how cost grows


def growth(setup, words, kinds, steps, site_of, run):
    """Samples by server and step: {server: [(step, [Sample of each round])]}."""
    found = {}
    for step in steps:
        site = site_of(step)
        for number in range(setup.amount.rounds):
            note(f"{words} {step}, round {number + 1} of {setup.amount.rounds}")
            two = [(label, kind(step)) for label, kind in kinds.items()]
            for label, kind in two if number % 2 == 0 else reversed(two):
                with setup.going_on(), running(setup, kind, site) as server:
                    found.setdefault(label, {}).setdefault(step, []).append(run(server, step))
    return {label: list(samples.items()) for label, samples in something(setup, found).items()}


BOTH = {"Lethe, packet": lambda _: servers.lethe_packet(1), "nginx, file": lambda _: servers.nginx_static(1)}


def by_size(setup):
    """Cost by the size of a file."""
    large.EXPECTED(max(setup.amount.sizes))
    contents = {size: large.EXPECTED.bytes[:size] for size in setup.amount.sizes}
    site = setup.folder("sizes", {str(size): content for size, content in contents.items()})

    def run(server, size):
        check_body(server, f"/{size}", contents[size])
        # Fewer of those that take long.
        requests = round(setup.amount.growth * min(1, 14_000 / size))
        return load.ab(server, requests, min(setup.amount.short), f"/{size}")

    return growth(setup, "bytes a file:", BOTH, setup.amount.sizes, lambda _: site, run)


def by_files(setup):
    """Cost by the number of files, of 200 bytes each, asked for in no order."""

    def site(count):
        return setup.folder(f"files-{count}", {str(number): b"%0200d" % number for number in range(count)})

    def run(server, count):
        check_body(server, f"/{count - 1}", b"%0200d" % (count - 1))
        return load.wrk(server, setup.amount.seconds, min(setup.amount.short), files=count)

    return growth(setup, "files:", BOTH, setup.amount.files, site, run)


def by_workers(setup):
    """Cost by the number of workers, as many as there are CPUs."""
    cpus = len({*setup.cpus.server, *setup.cpus.client})
    steps = [workers for workers in (1, 2, 4, 8, 16) if workers <= cpus]
    kinds = {"Lethe, packet": servers.lethe_packet, "nginx, file": servers.nginx_static}

    def run(server, _):
        check_body(server, PATH, setup.body)
        return load.ab(server, setup.amount.growth, min(setup.amount.short))

    return growth(setup, "workers:", kinds, steps, lambda _: None, run)
