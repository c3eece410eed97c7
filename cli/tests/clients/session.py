"""requests.Session: asks for each file of a list, and compares what comes with its SHA-256.

Arguments: the beginning of each URL, the list, in the form of sha256sum, and how many bytes of cookies every fifth
request has, if it is for a file of at most 10 kB."""

import hashlib
import sys

import requests

base, path, cookies = sys.argv[1:]
count = failures = 0
with requests.Session() as session, open(path, encoding="ascii") as lines:
    for line in lines:
        wanted, name = line.split()
        count += 1
        is_long = count % 5 == 0 and int(name) <= 10_000
        fields = {"Cookie": "a=" + "b" * int(cookies)} if is_long and int(cookies) else {}
        try:
            response = session.get(f"{base}/{name}", headers=fields, timeout=60)
            if response.status_code != 200 or hashlib.sha256(response.content).hexdigest() != wanted:
                raise ValueError(f"{response.status_code}, {len(response.content)} bytes")
        except (requests.RequestException, ValueError) as error:
            failures += 1
            print(f"{name}: {error!r}", file=sys.stderr)
print(f"{count} requests, {failures} failures")
