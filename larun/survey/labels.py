"""Which stars are known to be what, from snapshots of catalogues: the labels of a training set of real light curves.

A star is labelled only where its catalogues agree. No catalogue lists artefacts and unknown anomalies: these classes
come from shapes that are injected into the quiet stars.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from larun.network.bank import Ephemeris
from larun.paths import Product
from larun.schema import CLASSES

NOISE, STELLAR, PLANET, BINARY = (
    CLASSES.index(name) for name in ("noise", "stellar_signal", "planetary_transit", "eclipsing_binary")
)
CONFIRMED = frozenset({"CP", "KP"})
"""Dispositions of a TOI that is a planet: confirmed, known before. A candidate (PC) may be anything."""

_ECLIPSING = ("E", "EA", "EB", "EW", "EC", "ED", "ESD", "EP")
"""Types of VSX that eclipse; several of one star are joined by ``/``, ``|`` or ``+``."""


@dataclass(frozen=True)
class KnownStar:
    """A star with what is known about it.

    Parameters
    ----------
    tic : int
        TIC number.
    label : int
        Index into `larun.schema.CLASSES`.
    catalogue : str
        Which one says so.
    hosts : tuple of str
        Names of the star as a host of planets, such as ``Kepler-10``, by which other missions are asked.
    ephemerides : tuple of Ephemeris
        Planets or eclipses, BTJD.
    stored : (Product, int), optional
        Ingested sector that holds its light curve, and its row there; else its light curves are fetched.
    """

    tic: int
    label: int
    catalogue: str
    hosts: tuple[str, ...] = ()
    ephemerides: tuple[Ephemeris, ...] = ()
    stored: tuple[Product, int] | None = None


def known_stars(tables: Mapping[str, pa.Table]) -> list[KnownStar]:
    """Planets and binaries of the catalogues ``planets``, ``toi`` and ``tess-eb``, those that are there.

    Parameters
    ----------
    tables : mapping
        Snapshots by name, with the columns of `larun.schema.KNOWN_COLUMNS`.

    Returns
    -------
    list of KnownStar
        By number; each star once. A planet needs period and epoch. A star with an object of another kind, a candidate
        of the same star among them, is left out.
    """
    found: dict[int, KnownStar] = {}
    disputed: set[int] = set()
    for name, label in (("planets", PLANET), ("toi", PLANET), ("tess-eb", BINARY)):
        for row in tables[name].to_pylist() if name in tables else ():
            tic = row["tic"]
            if tic is None or tic < 0:
                continue
            if name == "toi" and row["disposition"] not in CONFIRMED:
                disputed.add(tic)
                continue
            known = _ephemeris(row)
            former = found.get(tic)
            if former and former.label != label:
                disputed.add(tic)
            elif former and former.catalogue == name and known:
                found[tic] = _joined(former, row, known)
            elif not former and (known or label == BINARY):
                star = KnownStar(tic, label, name, ephemerides=(known,) if known else ())
                found[tic] = _named(star, row)
    return [found[tic] for tic in sorted(found) if tic not in disputed]


def chosen(stars: Iterable[KnownStar], planets: int, non_planets: int, seed: int) -> list[KnownStar]:
    """At most so many planets and others, the same ones whenever asked; more of a number only adds to fewer."""

    def place(star: KnownStar) -> bytes:
        return hashlib.sha256(f"{seed}:{star.tic}".encode()).digest()

    ordered = sorted(stars, key=place)
    mine = [star for star in ordered if star.label == PLANET][:planets]
    return mine + _by_turns([star for star in ordered if star.label != PLANET], non_planets)


def variable_label(kind: str) -> int | None:
    """Class of a variable star by its type in VSX; None where it says nothing, as for candidates of several types."""
    types = {part.strip(" :*") for part in kind.upper().replace("/", "|").replace("+", "|").split("|")} - {""}
    if not types or types & {"CST", "MISC", "VAR", "NON-CV"}:
        return None
    eclipsing = {t in _ECLIPSING for t in types}
    if eclipsing == {True, False}:
        return None
    return BINARY if eclipsing == {True} else STELLAR


def _by_turns(stars: list[KnownStar], n: int) -> list[KnownStar]:
    """The first `n`, the classes taking turns as long as they have any."""
    queues = {label: [s for s in stars if s.label == label] for label in sorted({s.label for s in stars})}
    taken: list[KnownStar] = []
    for turn in range(max(map(len, queues.values()), default=0)):
        taken += [queue[turn] for queue in queues.values() if turn < len(queue)]
    return taken[:n]


def _joined(star: KnownStar, row: dict, known: Ephemeris) -> KnownStar:
    return _named(replace(star, ephemerides=(*star.ephemerides, known)), row)


def _named(star: KnownStar, row: dict) -> KnownStar:
    """With the name of the host, where the object is named after one that Kepler or K2 found."""
    host = str(row["object"] or "").rpartition(" ")[0]
    if not host.startswith(("Kepler-", "K2-", "KOI-")) or host in star.hosts:
        return star
    return replace(star, hosts=(*star.hosts, host))


def _ephemeris(row: dict) -> Ephemeris | None:
    period, epoch, duration = (np.nan if row[n] is None else row[n] for n in ("period_d", "t0_btjd", "duration_h"))
    return Ephemeris(period, epoch, duration) if np.isfinite(period) and np.isfinite(epoch) else None
