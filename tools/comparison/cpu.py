"""What is spent, in seconds of CPU."""

import os
import pathlib
import resource
import time

# What has run, as the scheduler counts it (linux/posix-timers.h).
CPUCLOCK_SCHED = 2
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
    """Seconds that these processes, all their threads and the children they have waited for have run.

    Where utime and stime of /proc/PID/stat are in hundredths of a second, the clock of the process has nanoseconds; its
    number is what clock_getcpuclockid(3) gives.
    """
    total = 0.0
    for pid in pids:
        # The name of the program, in brackets, may have anything in it.
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        children = sum(map(int, fields[13:15])) * TICK
        total += time.clock_gettime(~pid << 3 | CPUCLOCK_SCHED) + children
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

    server    the server's processes and the kernel's thread that receives for it, as the scheduler counts them
    process   the server's processes alone
    cpus      the server's CPUs by /proc/stat, less the baseline; `None` where the client is on the same CPUs
    machine   all CPUs by /proc/stat, less the baseline
    client    the client's process alone
    """

    PARTS = ("server", "process", "cpus", "machine", "client")

    def __init__(self, baseline, server_cpus, pids, receivers):
        self.baseline, self.server_cpus, self.pids, self.receivers = baseline, server_cpus, pids, receivers

    def __enter__(self):
        start = time.monotonic()
        self.before = (busy(), of_processes(self.pids), of_processes(self.receivers), of_children(), start)
        return self

    def __exit__(self, failed, *_):
        if failed:
            return
        spent, process, receivers, children, start = self.before
        self.seconds = time.monotonic() - start
        work = {
            cpu: seconds - spent[cpu] - self.baseline.share[cpu] * self.seconds for cpu, seconds in busy().items()
        }
        self.machine = sum(work.values())
        self.cpus = sum(work[cpu] for cpu in self.server_cpus) if self.server_cpus else None
        self.process = of_processes(self.pids) - process
        self.server = self.process + of_processes(self.receivers) - receivers
        self.client = of_children() - children
