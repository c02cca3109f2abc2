"""Views with their labels, and their split by star."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from larun.errors import InputError
from larun.schema import CLASSES, VIEW_LENGTH

REAL, HYBRID, SIMULATED = "real", "hybrid", "simulated"
"""Sources: observed and labelled as it is; a shape injected into an observed light curve; nothing observed."""

TRAIN, VALIDATION, TEST = "train", "validation", "test"
SPLIT_FILE = "split.csv"
"""Side of every star, in a bundle."""


@dataclass(frozen=True)
class LabelledViews:
    """Network inputs with what is known about them.

    Parameters
    ----------
    views : (n, 1024) float32
        From `larun.views.shard_views`.
    label : (n,) int64
        Index into `larun.schema.CLASSES`.
    star : (n,) str
        Star that each view belongs to.
    source : (n,) str
        `REAL`, `HYBRID` or `SIMULATED`.
    kind : (n,) str
        Collection of a real light curve, else the shape.
    offered : dict
        Per source and class, how many light curves were searched to get these.
    start_d : (n,) float64
        When the light curve of each view begins, in its own days; NaN where not known.
    """

    views: np.ndarray
    label: np.ndarray
    star: np.ndarray
    source: np.ndarray
    kind: np.ndarray
    offered: dict[str, int]
    start_d: np.ndarray

    def __post_init__(self):
        n = len(self.label)
        if self.views.shape != (n, VIEW_LENGTH) or any(
            getattr(self, f.name).shape != (n,) for f in fields(self) if f.name not in ("views", "offered")
        ):
            raise InputError(f"{n} labels need ({n}, {VIEW_LENGTH}) views and as many stars, sources and kinds")
        if not np.isfinite(self.views).all():
            raise InputError("views hold NaN or infinity; every sample must be finite")
        if n and not ((self.label >= 0) & (self.label < len(CLASSES))).all():
            raise InputError(f"labels must be 0 to {len(CLASSES) - 1}")

    def __len__(self) -> int:
        return len(self.label)

    def take(self, rows: np.ndarray) -> LabelledViews:
        """Some of the views, in the given order; `rows` are indices or a mask."""
        chosen = {f.name: getattr(self, f.name)[rows] for f in fields(self) if f.name != "offered"}
        return LabelledViews(**chosen, offered=self.offered)

    @property
    def digest(self) -> str:
        """Hexadecimal SHA-256 over views, labels, stars and sources."""
        total = hashlib.sha256(np.ascontiguousarray(self.views, "<f4").tobytes())
        total.update(np.ascontiguousarray(self.label, "<i8").tobytes())
        total.update("\n".join([*self.star, *self.source]).encode())
        return total.hexdigest()

    def counts(self) -> dict[str, dict[str, int]]:
        """Views per source and class."""
        return {
            str(source): {
                name: int(np.sum((self.source == source) & (self.label == k))) for k, name in enumerate(CLASSES)
            }
            for source in np.unique(self.source)
        }


def concatenate(parts: Sequence[LabelledViews]) -> LabelledViews:
    """Join views in order; offered counts add up."""
    offered: dict[str, int] = {}
    for part in parts:
        for name, count in part.offered.items():
            offered[name] = offered.get(name, 0) + count
    names = [f.name for f in fields(LabelledViews) if f.name != "offered"]
    return LabelledViews(**{name: np.concatenate([getattr(p, name) for p in parts]) for name in names}, offered=offered)


def labelled(views: np.ndarray, columns: dict[str, Sequence[Any]], offered: dict[str, int]) -> LabelledViews:
    """Labelled views from lists; `columns` has ``label, star, source, kind`` and may have ``start_d``."""
    return LabelledViews(
        views=np.asarray(views, np.float32).reshape(-1, VIEW_LENGTH),
        label=np.asarray(columns["label"], np.int64),
        **{name: np.asarray(columns[name], dtype=np.str_) for name in ("star", "source", "kind")},
        offered=offered,
        start_d=np.asarray(columns.get("start_d", np.full(len(columns["label"]), np.nan)), np.float64),
    )


def split_by_star(
    star: np.ndarray, validation: float, test: float, seed: int, hold_out: Sequence[str] = ()
) -> np.ndarray:
    """Side of each view, (n,) str: `TRAIN`, `VALIDATION` or `TEST`, the same for all views of a star.

    A star's side follows from its name and the seed alone, so that it stays when stars are added.

    Parameters
    ----------
    star : (n,) str
        Names.
    validation, test : float
        Shares of the stars.
    seed : int
        Another seed is another split.
    hold_out : sequence of str
        Stars that are on the test side whatever their hash says.
    """
    names, member = np.unique(star, return_inverse=True)
    hashes = (hashlib.sha256(f"{seed}:{name}".encode()).digest() for name in names)
    place = np.array([int.from_bytes(value[:8], "big") / 2**64 for value in hashes])
    side = np.where(place < test, TEST, np.where(place < test + validation, VALIDATION, TRAIN))
    side = np.where(np.isin(names, list(hold_out)), TEST, side)
    return side[member]


def validate_by_time(side: np.ndarray, star: np.ndarray, start_d: np.ndarray, times: tuple[float, float]) -> np.ndarray:
    """Another choice of the stars that validate: those with a light curve that begins within a range of time.

    Parameters
    ----------
    side : (n,) str
        From `split_by_star`; stars that are held out stay so, all others train unless they validate.
    star : (n,) str
        Names.
    start_d : (n,) float
        When the light curves begin; NaN where not known.
    times : (float, float)
        First time, and the one before which the last begins.
    """
    within = (start_d >= times[0]) & (start_d < times[1])
    chosen = np.isin(star, star[within])
    return np.where(side == TEST, TEST, np.where(chosen, VALIDATION, TRAIN))


def require_disjoint(star: np.ndarray, side: np.ndarray) -> None:
    """Refuse a split that has one star on two sides.

    Raises
    ------
    InputError
        Names the stars.
    """
    pairs = np.unique(np.stack([star, side]), axis=1)
    names, counts = np.unique(pairs[0], return_counts=True)
    if (counts > 1).any():
        shared = ", ".join(names[counts > 1][:5])
        raise InputError(f"{np.sum(counts > 1)} stars are on two sides of the split, such as {shared}; split by star")


def split_table(parts: dict[str, LabelledViews]) -> bytes:
    """The side of every star as CSV, sorted by star: ``star,side``."""
    written = io.StringIO()
    table = csv.writer(written, lineterminator="\n")
    table.writerow(("star", "side"))
    table.writerows(sorted((str(star), side) for side, part in parts.items() for star in np.unique(part.star)))
    return written.getvalue().encode()


def read_split(table: bytes) -> dict[str, str]:
    """Side of each star, from `split_table`."""
    return {row["star"]: row["side"] for row in csv.DictReader(io.StringIO(table.decode()))}
