"""The tables and charts, out of what was measured."""

import math
import os
import pathlib
import platform
import re
import statistics
import subprocess
import sys
import time

from . import chart
from .cpu import Cost
from .servers import REFERENCE
from .wire import ROOT, large, listed

# What the parts of a cost are called in the tables.
COLUMNS = ("server", "its process", "its CPUs", "whole machine", "client's process")
BEGIN, END = "<!-- compare: begin -->", "<!-- compare: end -->"


def spread(values):
    """Least, median and most; `None` if there is nothing."""
    values = [value for value in values if value is not None]
    return (min(values), statistics.median(values), max(values)) if values else None


def figure(values, digits=1):
    """The median, and in brackets from the least to the most."""
    found = spread(values)
    if found is None:
        return "–"
    least, median, most = found
    if len(values) == 1:
        return f"{median:.{digits}f}"
    return f"{median:.{digits}f} ({least:.{digits}f} to {most:.{digits}f})"


def table(head, rows):
    """Markdown; all columns but the first to the right."""
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    return "\n".join(lines + ["| " + " | ".join(map(str, row)) + " |" for row in rows])


def said(*command):
    """The first line that a program prints about itself."""
    run = subprocess.run(command, capture_output=True, text=True)
    return ((run.stdout + run.stderr).strip().splitlines() or ["?"])[0].strip()


def machine(setup):
    """What it was measured on, and with what."""
    models = re.findall(r"^model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text(), re.M)
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    virtual = ", a virtual machine" if "hypervisor" in pathlib.Path("/proc/cpuinfo").read_text() else ""
    commit = said("git", "-C", str(ROOT), "log", "-1", "--format=%h of %cs")
    idle = setup.baseline.total() * 100
    amount = setup.amount
    clients = ", ".join(f"`ab -n {requests} -c {parallel}`" for parallel, requests in amount.short.items())
    return "\n".join(
        (
            f"* {time.strftime('%Y-%m-%d')}, commit {commit}, `{' '.join(['tools/compare', *sys.argv[1:]])}`; {amount.rounds} "
            f"round{'s' * (amount.rounds > 1)} of {clients} and `wrk -c {min(amount.short)} -d {amount.seconds}s` for Lethe and nginx "
            f"with one worker, {amount.rounds_of_others} with `-n {amount.short_of_others}` for the others, {amount.rounds_of_more} of "
            f"everything else; {amount.steady} s at each rate.",
            f"* {len(models)} CPUs ({models[0] if models else platform.machine()}){virtual}, {memory:.0f} GiB, "
            f"Linux {platform.release()}. Servers on CPU {listed(setup.cpus.server)}, clients on {listed(setup.cpus.client)}.",
            f"* {said('nginx', '-v')}; {said('ab', '-V').removeprefix('This is ').partition(' <')[0]}; {said('wrk', '-v').split('Copyright')[0].strip()}.",
            f"* Before it, with nothing asked of it, the machine was busy for {idle:.1f} % of one CPU, which is subtracted.",
        )
    )


class Report:
    """Sections, and the charts that they show."""

    def __init__(self):
        self.sections, self.charts = [], {}

    def add(self, title, *parts):
        self.sections.append("\n\n".join((f"### {title}", *parts)))

    def draw(self, name, title, svg):
        self.charts[f"{name}.svg"] = svg
        return f"![{title}](charts/{name}.svg)"

    def write(self, folder):
        """Puts the charts into `folder`/charts, and the text between the marks of performance.md."""
        (folder / "charts").mkdir(parents=True, exist_ok=True)
        for name, svg in self.charts.items():
            (folder / "charts" / name).write_text(svg)
        page = folder / "performance.md"
        text = page.read_text() if page.exists() else f"{BEGIN}\n{END}\n"
        before, _, rest = text.partition(BEGIN)
        after = rest.partition(END)[2]
        page.write_text("\n\n".join((before + BEGIN, *self.sections, END + after)))


def short(report, found):
    """Costs, ratios and latencies of short connections."""
    samples, clients = found["samples"], found["clients"]
    for client in clients:
        rows = []
        for name, of in samples.items():
            costs = [[sample.costs[what] for sample in of[client]] for what in Cost.PARTS]
            rate = statistics.median(sample.rate for sample in of[client])
            rows.append((name, *map(figure, costs), f"{rate:.0f}", sum(sample.failed for sample in of[client])))
        head = ("µs of CPU a request", *COLUMNS, "requests/s", "failed")
        parts = [table(head, rows)]
        if client == clients[0]:
            parts.insert(0, cost_chart(report, client, samples))
        report.add(f"Short connections: {client}", *parts)
    rows = []
    for name, of in found["ratios"].items():
        for client, ratios in of.items():
            rows.append((name, client, figure(ratios["server"], 2), figure(ratios["machine"], 2)))
    head = (f"CPU time, of that of {REFERENCE.name}", "client", "server", "whole machine")
    report.add("Lethe beside nginx", table(head, rows))
    rows = []
    for name, of in samples.items():
        latencies = [sample.latency for sample in of[clients[-1]]]
        rows.append((name, *(figure([latency[mark] for latency in latencies], 2) for mark in ("p50", "p99", "p99.9"))))
    report.add(f"Latency: {clients[-1]}", table(("milliseconds", "p50", "p99", "p99.9"), rows))


def cost_chart(report, client, samples):
    title = f"CPU time of the server per short connection ({client})"
    rows = []
    for name, of in samples.items():
        found = spread([sample.costs["server"] for sample in of[client]])
        rows.append((name, found, name.startswith("Lethe")))
    rows.sort(key=lambda row: row[1][1])
    return report.draw("cost-of-a-connection", title, chart.bars(title, "µs: its processes, and the kernel receiving for it", rows))


def memory(report, rows):
    """Memory by open connections, and what a request costs beside them."""
    lines, sizes, costs = [], {}, {}
    for row in rows:
        part = row.processes - row.before + row.kernel
        each = f"{part / row.count / 1e3:.2f}" if row.count else "–"
        spent = [sample.costs["server"] for sample in row.samples]
        sizes.setdefault(row.server, []).append((row.count, (row.before + max(part, 0),) * 3))
        costs.setdefault(row.server, []).append((row.count, spread(spent)))
        cells = (row.before, row.processes, row.kernel)
        lines.append((row.server, f"{row.count:,}", *(f"{bytes / 1e6:.1f}" for bytes in cells), each, figure(spent)))
    head = ("server", "open connections", "its processes before, MB", "with them", "the kernel's growth, MB", "the server's part, kB each", "a request meanwhile, µs of the server's CPU")
    series = [(name, [(count, tuple(bytes / 1e6 for bytes in of)) for count, of in points]) for name, points in sizes.items()]
    title = "Memory by open connections"
    first = report.draw("memory", title, chart.lines(title, "open connections", "MB: processes, and the kernel's growth", series, steep=True))
    title = "Cost of a request by open connections"
    svg = chart.lines(title, "open connections", "µs of the server's CPU time a request", list(costs.items()))
    second = report.draw("cost-by-open-connections", title, svg)
    report.add("Open connections", first, second, table(head, lines))


def loss(report, found):
    """Completion times, and their ratios in the same round."""
    rows = []
    for (percent, size), of in found.items():
        if len(of) < 2:
            continue
        for mark in (50, 90, 99):
            each = {name: [large.percentile(times, mark) for times in rounds] for name, rounds in of.items()}
            ratios = [ours / theirs for ours, theirs in zip(each["Lethe"], each["nginx"])]
            cells = (figure(each["Lethe"], 3), figure(each["nginx"], 3), figure(ratios, 2))
            rows.append((f"{percent} %, {large.human(size)}, p{mark}", *cells))
    head = ("loss each way, 20 ms each way; seconds", "Lethe", "nginx", "Lethe/nginx")
    report.add("Completion time under loss", table(head, rows))


def growth(report, title, name, unit, found, logarithmic=True):
    """A chart and a table of what the server spends, by something that grows."""
    series, rows = [], []
    for label, steps in found.items():
        points = []
        for step, samples in steps:
            costs = [[sample.costs[what] for sample in samples] for what in ("server", "machine")]
            points.append((step, spread(costs[0])))
            rate = statistics.median(sample.rate for sample in samples)
            failed = sum(sample.failed for sample in samples)
            rows.append((label, f"{step:,}", *map(figure, costs), f"{rate:.0f}", failed))
        series.append((label, points))
    image = report.draw(name, title, chart.lines(title, unit, "µs of the server's CPU time a request", series, logarithmic))
    head = ("µs of CPU a request", unit, "server", "whole machine", "requests/s", "failed")
    report.add(title, image, table(head, rows))


def rates(report, found):
    """Latency by the rate of requests, alone and in a flood."""
    rows, series = [], {}
    for (name, rate, flooded), samples in sorted(found.items(), key=lambda item: (item[0][2], item[0][1])):
        syns = f"{statistics.median(sample.flood for sample in samples):,.0f}" if flooded else "–"
        rows.append((name, f"{rate:,}", syns, *under_way(samples)))
        marks = [sample.latency["p99"] for sample in samples if sample.latency]
        if marks:
            series.setdefault((name, flooded), []).append((rate, spread(marks)))
    images = []
    for flooded, file, title in (
        (False, "latency-by-rate", "99th percentile of latency by rate"),
        (True, "latency-by-rate-in-flood", "99th percentile of latency by rate, nine of ten packets a flood"),
    ):
        of = [(name, points) for (name, which), points in series.items() if which == flooded]
        if of:
            images.append(report.draw(file, title, chart.lines(title, "requests a second", "ms", of, steep=True)))
    head = ("requests at a fixed rate; latency in ms", "requests/s", "SYNs/s beside them", "answered", "p50", "p99", "p99.9", "server's CPU")
    report.add("Latency at a fixed rate", *images, table(head, rows))


def under_way(samples):
    """Cells of runs of `lethe load`: the share that was answered, how late, and how busy the server was."""
    latencies = [sample.latency for sample in samples if sample.latency]
    marks = (figure([latency[mark] for latency in latencies], 2) for mark in ("p50", "p99", "p99.9"))
    answered = [sample.answered() * 100 for sample in samples]
    # Never 100 of what is not all.
    share = "all" if min(answered) == 100 else figure([math.floor(part * 100) / 100 for part in answered], 2) + " %"
    return share, *marks, figure([sample.busy * 100 for sample in samples], 0) + " %"


def flood(report, found):
    """The share that is answered, by the rate of SYNs beside it."""
    rows, series = [], {}
    for (name, _), samples in found.items():
        syns = statistics.median(sample.flood for sample in samples)
        rows.append((name, f"{syns:,.0f}", *under_way(samples)))
        series.setdefault(name, []).append((syns, spread([sample.answered() * 100 for sample in samples])))
    of = [(name, sorted(points)) for name, points in series.items()]
    title = "Requests that are answered in a SYN flood"
    image = report.draw("goodput-in-flood", title, chart.lines(title, "SYNs a second", "% of the requests", of, logarithmic=False))
    head = ("1,000 requests a second; latency in ms", "SYNs/s beside them", "answered", "p50", "p99", "p99.9", "server's CPU")
    report.add("Goodput under a SYN flood", image, table(head, rows))
