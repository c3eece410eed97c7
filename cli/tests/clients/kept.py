"""http.client: clients that each ask for files of a list in random order on one connection, and compare what comes.

Arguments: the server's address, the list in the form of sha256sum, how many clients there are, and how many requests
each makes, or for how many seconds (60s)."""

import hashlib
import http.client
import random
import sys
import threading
import time

address, path, clients, amount = sys.argv[1:]
with open(path, encoding="ascii") as lines:
    files = [line.split() for line in lines]
seconds, requests = (float(amount[:-1]), None) if amount.endswith("s") else (None, int(amount))
lock = threading.Lock()
count = failures = connections = 0


class Connection(http.client.HTTPConnection):
    def connect(self):
        global connections
        super().connect()
        with lock:
            connections += 1


def ask(number):
    global count, failures
    order = random.Random(number)
    connection = Connection(address, 80, timeout=120)
    end = time.monotonic() + (seconds or 0)
    done = 0
    while time.monotonic() < end if seconds else done < requests:
        done += 1
        wanted, name = order.choice(files)
        wrong = 0
        try:
            connection.request("GET", f"/{name}")
            response = connection.getresponse()
            body = response.read()
            if response.status != 200 or hashlib.sha256(body).hexdigest() != wanted:
                raise ValueError(f"{response.status}, {len(body)} bytes")
        except (OSError, http.client.HTTPException, ValueError) as error:
            wrong = 1
            print(f"client {number}, request {done}, {name}: {error!r}", file=sys.stderr)
            connection.close()
        with lock:
            count, failures = count + 1, failures + wrong


threads = [threading.Thread(target=ask, args=(number,)) for number in range(int(clients))]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(f"{count} requests, {failures} failures, {connections} connections")
