"""How the cost of a request grows: with what is served, and how."""

import subprocess
from functools import partial

from . import load, servers
from .measure import check_body, something, turns
from .servers import DPDK, PATH, Kind, on_dpdk, on_interface, running
from .wire import large

# One of so many files for each request, by chance; and a candidate.
SEED = "init = function() math.randomseed(7) end\n"
ANY_FILE = SEED + 'request = function() return wrk.format("GET", "/" .. math.random(0, %d)) end\n'
ANY_CANDIDATE = SEED + (
    "request = function()\n"
    "  local n = math.random(0, %d)\n"
    '  return wrk.format("GET", string.format("/?seat=%%07d&id=%%09d", n, n * 7))\n'
    "end\n"
)

# What a worker of DPDK takes at most.
DPDK_BURST = 32


def growth(setup, kinds, steps, site_of, run):
    """Samples by server and step: {server: [(step, [Sample of each round])]}. `kinds` say by the step which server it
    is, or none; `site_of` what it serves."""
    found, rounds = {}, setup.amount.rounds_of_more
    setup.progress.expect(rounds * sum(kind(step) is not None for kind in kinds.values() for step in steps))
    for step in steps:
        site = site_of(step)
        for number in range(rounds):
            for label, kind in turns([(label, kind(step)) for label, kind in kinds.items()], number):
                if kind is None:
                    continue
                setup.progress.step(f"{label}, {step:,}, round {number + 1}")
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

    return growth(setup, BOTH, setup.amount.sizes, lambda _: site, run)


def by_files(setup):
    """Cost by the number of files, of 200 bytes each, asked for in no order."""

    def site(count):
        return setup.folder(f"files-{count}", {str(number): b"%0200d" % number for number in range(count)})

    def run(server, count):
        check_body(server, f"/{count - 1}", b"%0200d" % (count - 1))
        return load.wrk(server, setup.amount.seconds, min(setup.amount.short), script=ANY_FILE % (count - 1))

    return growth(setup, BOTH, setup.amount.files, site, run)


def page(number):
    """What a candidate gets to see: with its head one packet."""
    return b"%01000d" % number


def by_candidates(setup):
    """Cost by the number of exam results, of which each request wants another."""
    kinds = {"Lethe, packet": lambda _: servers.lethe_packet(1), "Lethe, xdp": lambda _: servers.LETHE[2]}

    def table(count):
        text, file = setup.work / "scores.txt", setup.work / f"scores-{count}"
        with open(text, "wb") as rows:
            rows.writelines(b"%07d_%09d_%s\n" % (number, number * 7, page(number)) for number in range(count))
        subprocess.run([large.LETHE, "prepare", "scores", text, file], check=True, capture_output=True)
        text.unlink()
        file.chmod(0o644)
        return file

    def run(server, count):
        check_body(server, f"/?seat={count - 1:07}&id={(count - 1) * 7:09}", page(count - 1))
        # When it starts it reads its pages once, beside its work: that is to be over.
        load.wrk(server, 1, min(setup.amount.short), script=ANY_CANDIDATE % (count - 1))
        return load.wrk(server, setup.amount.seconds, min(setup.amount.short), script=ANY_CANDIDATE % (count - 1))

    return growth(setup, kinds, setup.amount.candidates, table, run)


def by_workers(setup):
    """Cost by the number of workers, as many as there are CPUs."""
    cpus = len({*setup.cpus.server, *setup.cpus.client})
    steps = [workers for workers in (1, 2, 4, 8, 16) if workers <= cpus]
    kinds = {"Lethe, packet": servers.lethe_packet, "nginx, file": servers.nginx_static}
    return growth(setup, kinds, steps, lambda _: None, some_lookups(setup))


def by_burst(setup):
    """Cost by how many frames are taken at a time."""

    def on(device, burst):
        return Kind(f"Lethe, {device}, --burst {burst}", on_interface(device + ":{}", "--burst", burst))

    def on_card(burst):
        start = lambda server: on_dpdk(server, "--burst", str(burst))  # noqa: E731
        return Kind(f"{DPDK.name}, --burst {burst}", start) if burst <= DPDK_BURST else None

    kinds = {"Lethe, packet": partial(on, "packet"), "Lethe, xdp": partial(on, "xdp")}
    if setup.dpdk:
        kinds[DPDK.name] = on_card
    return growth(setup, kinds, setup.amount.bursts, lambda _: None, some_lookups(setup))


def some_lookups(setup):
    def run(server, _):
        check_body(server, PATH, setup.body)
        return load.ab(server, setup.amount.growth, min(setup.amount.short))

    return run
