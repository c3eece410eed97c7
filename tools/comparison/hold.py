#!/usr/bin/env python3
"""Opens connections, says how many are open, and keeps them until its input ends.

Example:
  python3 tools/comparison/hold.py 10.9.0.2 10000
"""

import resource
import select
import socket
import sys

# So many at a time: fewer than any server's backlog.
WAVE = 200


def opened(address, count):
    """Connections whose handshake is done."""
    poll, pending, done = select.poll(), {}, []
    for _ in range(count):
        one = socket.socket()
        one.setblocking(False)
        one.connect_ex((address, 80))
        poll.register(one, select.POLLOUT)
        pending[one.fileno()] = one
    while pending:
        ready = poll.poll(5000)
        if not ready:
            break
        for number, event in ready:
            poll.unregister(number)
            one = pending.pop(number)
            if not event & (select.POLLERR | select.POLLHUP):
                done.append(one)
    return done


def main():
    address, count = sys.argv[1], int(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    held = []
    for start in range(0, count, WAVE):
        held += opened(address, min(WAVE, count - start))
    try:
        print(len(held), flush=True)
        sys.stdin.read()
    except BrokenPipeError:
        pass  # nobody waits for them any more


if __name__ == "__main__":
    main()
