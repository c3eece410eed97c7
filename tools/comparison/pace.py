"""Requests at a fixed rate, whatever the server does: how long they take, and how many are answered, alone and beside a
flood of SYNs."""

import contextlib
import statistics

from . import load, servers
from .measure import check_body, something, turns
from .servers import EPOLL, PATH, REFERENCE, running

# Of all packets to the server these are the flood.
SHARE = 0.9

# Requests a second beside floods of growing rates.
BESIDE = 1000


def rates(setup):
    """Latency at fixed rates: {(server, rate, whether there is a flood): [Sample of each round]}."""
    amount, found = setup.amount, {}
    kinds = [*setup.lethe(), REFERENCE, EPOLL]
    setup.progress.expect(amount.rounds_of_more * len(kinds) * 2)
    for number in range(amount.rounds_of_more):
        for flooded in (False, True):
            for kind in turns(kinds, number):
                setup.progress.step(f"{kind.name}{', in a flood' * flooded}, round {number + 1}")
                with setup.going_on(), ready(setup, kind) as server:
                    for rate in amount.rates_in_flood if flooded else amount.rates:
                        flood = rate * syns_a_request(found, kind) if flooded else 0
                        sample = load.steadily(server, rate, amount.steady, flood)
                        found.setdefault((kind.name, rate, flooded), []).append(sample)
    return something(setup, found)


def syns_a_request(found, kind):
    """So many that they are nine of ten packets, by what a client sent for a request when there was no flood."""
    idle = [samples for (name, _, flooded), samples in found.items() if name == kind.name and not flooded]
    if not idle:
        raise RuntimeError(f"{kind.name}: how many packets a request takes is not known")
    return statistics.median(sample.packets for sample in idle[0]) * SHARE / (1 - SHARE)


def flood(setup):
    """A fixed rate beside floods: {(server, SYNs a second that were asked for): [Sample of each round]}."""
    amount, found = setup.amount, {}
    kinds = [*(kind for kind in setup.lethe() if "tap" not in kind.name), REFERENCE, servers.WITHOUT_COOKIES]
    setup.progress.expect(amount.rounds_of_more * (len(kinds) - 1) + 1)
    for number in range(amount.rounds_of_more):
        for kind in turns(kinds if number == 0 else kinds[:-1], number):
            setup.progress.step(f"{kind.name}, round {number + 1}")
            with setup.going_on(), ready(setup, kind) as server:
                for syns in (0, *amount.floods):
                    sample = load.steadily(server, min(BESIDE, max(amount.rates)), amount.steady, syns)
                    found.setdefault((kind.name, syns), []).append(sample)
    return something(setup, found)


@contextlib.contextmanager
def ready(setup, kind):
    """A server that was looked at, and is warm, until the end of `with`."""
    with running(setup, kind) as server:
        check_body(server, PATH, setup.body)
        load.ab(server, min(2000, setup.amount.growth), 10)
        yield server
