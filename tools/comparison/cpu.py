"""What is spent, in seconds of CPU."""

import os
import pathlib
import resource
import time

TICK = 1 / os.sysconf("SC_CLK_TCK")


def busy():
    """Seconds that each CPU has worked since the start: user, nice, system, irq and softirq of /proc/stat."""
    seconds = {}
    for line in pathlib.Path("/proc/stat").read_text().splitlines():
        name, *ticks = line.split()
        if name.startswith("cpu") and name != "cpu":
            user, nice, system, _idle, _iowait, irq, softirq, *_ = map(int, ticks)
            seconds[int(name[3:])] = (user + nice + system + irq + softirq) * TICK
    return seconds


def of_processes(pids):
    """Seconds that these processes, all their threads and the children they have waited for have run."""
    total = 0
    for pid in pids:
        # The name of the program, in brackets, may have anything in it.
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += sum(map(int, fields[11:15])) * TICK
    return total


def of_children():
    """Seconds that programs which we started and which have ended have run."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


class Baseline:
    """What each CPU does when nothing is asked of it, as a share of the time."""

    def __init__(self, seconds):
        before, start = busy(), time.monotonic()
        time.sleep(seconds)
        length = time.monotonic() - start
        self.share = {cpu: (spent - before[cpu]) / length for cpu, spent in busy().items()}

    def total(self):
        return sum(self.share.values())


class Cost:
    """What is spent within `with`.

    machine   all CPUs, less the baseline
    server    the server's CPUs, less the baseline: the process, and what the kernel does for it in interrupts and
              threads; `None` where the client is on the same CPUs
    process   the server's processes alone
    client    the client's process alone
    """

    def __init__(self, baseline, server_cpus, pids):
        self.baseline, self.cpus, self.pids = baseline, server_cpus, pids

    def __enter__(self):
        self.before = (busy(), of_processes(self.pids), of_children(), time.monotonic())
        return self

    def __exit__(self, failed, *_):
        if failed:
            return
        spent, process, children, start = self.before
        self.seconds = time.monotonic() - start
        work = {
            cpu: seconds - spent[cpu] - self.baseline.share[cpu] * self.seconds for cpu, seconds in busy().items()
        }
        self.machine = sum(work.values())
        self.server = sum(work[cpu] for cpu in self.cpus) if self.cpus else None
        self.process = of_processes(self.pids) - process
        self.client = of_children() - children
