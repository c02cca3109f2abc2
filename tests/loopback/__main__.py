"""Serve an archive on loopback for tests by hand: `python -m tests.loopback --help`."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.loopback import Faults, Library, Loopback


def main() -> None:
    """Serve until the keyboard interrupts."""
    parser = argparse.ArgumentParser(prog="python -m tests.loopback", description=__doc__)
    parser.add_argument("--tiny", type=int, default=0, metavar="N", help="stars of the tiny sector, TIC 0 to N - 1")
    parser.add_argument("--mission", type=int, default=0, metavar="N", help="stars with files of 2 MB")
    parser.add_argument("--folder", type=Path, action="append", default=[], help="real files below a folder")
    parser.add_argument("--kepler", action="store_true", help="Kepler-10 and K2-3")
    parser.add_argument("--sector", type=int, default=1, help="of --tiny and --mission")
    parser.add_argument("--port", type=int, default=8765)
    parser.add_argument("--latency", type=float, default=0.0, metavar="S", help="wait before each answer, seconds")
    parser.add_argument("--rate", type=float, default=0.0, help="share of downloads that fail")
    parser.add_argument("--seed", type=int, default=0, help="of the failures")
    given = parser.parse_args()
    library = Library(())
    if given.tiny:
        library += Library.tiny(range(given.tiny), given.sector)
    if given.mission:
        library += Library.mission(given.mission, given.sector)
    for folder in given.folder:
        library += Library.folder(folder)
    if given.kepler or not library.held:
        library += Library.kepler()
    faults = Faults(rate=given.rate, seed=given.seed)
    with (
        tempfile.TemporaryDirectory(prefix="loopback-home-") as home,
        Loopback(library, faults, given.latency, port=given.port) as server,
    ):
        environment = server.astroquery_environment(home)
        for name, value in sorted(environment.items()):
            sys.stdout.write(f"export {name}={value}\n")
        for section, settings in server.overrides().items():
            for name, value in settings.items():
                sys.stdout.write(f"export LARUN_{section.upper()}__{name.upper()}={value}\n")
        sys.stdout.write(f"# {len(library)} products at {server.url}, log in {server.log_file}; Ctrl-C ends it\n")
        sys.stdout.flush()
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            sys.stdout.write("\n")


if __name__ == "__main__":
    main()
