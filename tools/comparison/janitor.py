#!/usr/bin/env python3
"""Waits for the end of its input, which is that of whoever started it, and removes what that has left behind: its network
namespaces with all that runs in them, and its folder. Where nothing is left, it does nothing.

Example:
  python3 tools/comparison/janitor.py 4711 /dev/shm/lethe-compare-x </dev/null
"""

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import sys


def watched(folder):
    """A process that cleans up after this one, however it ends."""
    command = [sys.executable, __file__, str(os.getpid()), str(folder)]
    # A group of its own, so that Ctrl-C is not for it.
    return subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)


def said(*command):
    return subprocess.run(command, capture_output=True, text=True).stdout.split()


def main():
    owner, folder = sys.argv[1:]
    sys.stdin.read()
    mine = [word for word in said("ip", "netns", "list") if word.startswith(f"large-{owner}-")]
    for space in mine:
        for pid in said("ip", "netns", "pids", space):
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
    for space in mine:
        # A cable goes with one of its ends, at once; a namespace when the kernel has the time.
        for word in said("ip", "-n", space, "-br", "link", "show", "type", "veth"):
            if word.startswith(f"c{owner}-"):
                said("ip", "-n", space, "link", "del", word.partition("@")[0])
        said("ip", "netns", "del", space)
    shutil.rmtree(folder, ignore_errors=True)
    for left in pathlib.Path("/var/run/dpdk").glob(f"lethe-compare-s{owner}-*"):
        shutil.rmtree(left, ignore_errors=True)


if __name__ == "__main__":
    main()
