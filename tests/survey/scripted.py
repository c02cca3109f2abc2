"""Archives whose answers are written down beforehand, for tests of what is made of them."""

from __future__ import annotations

import threading
from collections import defaultdict
from functools import lru_cache

from tiny_sector import file_name, product_bytes

from larun.archive.protocol import Fetched
from larun.errors import ProductAbsent
from larun.lightcurve import Star
from larun.paths import Product
from larun.plan import PlannedTarget, TargetList


@lru_cache
def good(tic: int) -> bytes:
    """Product of a star, the same bytes each time: a checksum's card says when it was made."""
    return product_bytes(tic)


def planned(tic: int) -> PlannedTarget:
    return PlannedTarget(Star(tic, 80.0 + tic / 100, -60.0, 9.0, camera=4, ccd=2), file_name(tic))


def flipped(tic: int, bit: int = 0) -> bytes:
    """Product of a star with one bit of its last data block inverted."""
    data = good(tic)
    place = len(data) - 2880 + 100 + bit // 8
    return data[:place] + bytes([data[place] ^ (1 << bit % 8)]) + data[place + 1 :]


class Scripted:
    """Answers per target: bytes or exceptions, one after the other, the last one for ever; else the good product.

    Parameters
    ----------
    name : str
        Of the archive.
    script : dict
        Answers by target number.
    tics : iterable of int
        What it lists.
    """

    def __init__(self, name: str, script: dict | None = None, tics=()):
        self.name = name
        self.script = {tic: list(answers) for tic, answers in (script or {}).items()}
        self.tics = tuple(tics)
        self.asked: defaultdict[int, int] = defaultdict(int)
        self.order: list[int] = []
        self.closed = 0
        self._lock = threading.Lock()

    def targets(self, product: Product) -> TargetList:
        return TargetList(tuple(map(planned, self.tics)), f"https://{self.name}.example/list.sh", "ab" * 32)

    def fetch(self, product: Product, target: PlannedTarget) -> Fetched:
        tic = target.star.target_id
        with self._lock:
            self.asked[tic] += 1
            self.order.append(tic)
            answers = self.script.get(tic, [good(tic)])
            answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, BaseException):
            raise answer
        return Fetched(answer, f"https://{self.name}.example/{target.product}")

    def close(self) -> None:
        self.closed += 1


def absent(name: str) -> ProductAbsent:
    return ProductAbsent(f"{name} has no such product")
