"""A worker process of the budget's tests: fetches from a URL in threads until it is stopped.

Run as ``python -m tests.archive.budget_worker ADDRESS URL THREADS SECONDS SETTINGS``; says that it is ready, begins
when it is told something, and prints requests served and the
longest wait for one, or the error that ended it.
"""

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from larun.archive.http import Client
from larun.config import ArchiveSettings
from larun.errors import LarunError


def say(*words: object) -> None:
    sys.stdout.write(" ".join(str(word) for word in words) + "\n")
    sys.stdout.flush()


def main(address: str, url: str, threads: str, seconds: str, settings: str) -> None:
    client = Client("mast", ArchiveSettings(**json.loads(settings)), address)
    say("ready")
    sys.stdin.readline()
    end = time.monotonic() + float(seconds)

    def fetch(_) -> tuple[int, float]:
        served, longest = 0, 0.0
        while time.monotonic() < end:
            start = time.monotonic()
            client.get(url)
            served, longest = served + 1, max(longest, time.monotonic() - start)
        return served, longest

    try:
        with ThreadPoolExecutor(int(threads)) as pool:
            results = list(pool.map(fetch, range(int(threads))))
        say(sum(r[0] for r in results), max(r[1] for r in results))
    except LarunError as error:
        say(type(error).__name__, error)
    client.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
