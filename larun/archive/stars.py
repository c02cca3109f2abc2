"""Lists of stars that a person gives: by catalogue number, by a bare number, or by name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from larun.errors import InputError
from larun.paths import CATALOGUES, parse_star

ALLOWED = (
    "one star per line: `TIC 261136679`, `KIC 11904151`, `EPIC 201367065`, a bare number of the mission's catalogue, "
    "or a name such as `Kepler-10`; lines that begin with # are comments"
)

NAMED_STARS = " (named stars)"
"""Ending of the source of a target list that is of the stars a person named, not of a sector."""

MAX_NUMBER = 10**16 - 1
"""The missions' file names have room for 16 digits."""

MAX_LIST_BYTES = 64 * 2**20
"""No list of stars is longer: the whole TIC of one sector's 2-minute targets is 300 kB."""

_NAME = re.compile(r"[A-Za-z0-9*][A-Za-z0-9 +\-_.*'/()]{0,63}")
_FAULTS_SHOWN = 10


@dataclass(frozen=True, slots=True)
class WantedStar:
    """A star that a person asked for.

    Parameters
    ----------
    text : str
        As the person wrote it, without surrounding space.
    mission : str
        Mission whose catalogue `number` belongs to; empty for a name that is not resolved yet.
    number : int
        TIC, KIC or EPIC number; -1 for a name that is not resolved yet.
    """

    text: str
    mission: str = ""
    number: int = -1

    @property
    def is_number(self) -> bool:
        """Whether the catalogue number is known, so that no resolver is needed."""
        return self.number >= 0

    def __str__(self) -> str:
        if not self.is_number:
            return self.text
        known = f"{CATALOGUES[self.mission]} {self.number}"
        return known if self.text.isdigit() or parse_star(self.text) else f"{self.text} ({known})"


def read_stars(path: str | Path, mission: str = "tess") -> tuple[WantedStar, ...]:
    """Read a list of stars.

    Parameters
    ----------
    path : path
        UTF-8 text, see `ALLOWED`. Empty lines are passed over.
    mission : str
        Whose catalogue bare numbers belong to.

    Raises
    ------
    InputError
        The file cannot be read, is no text, holds no star, or has lines that are none or occur twice; names the
        lines and says what is allowed.
    """
    try:
        with Path(path).expanduser().open("rb") as file:
            data = file.read(MAX_LIST_BYTES + 1)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read the list of stars {path}: {getattr(error, 'strerror', error)}") from error
    if len(data) > MAX_LIST_BYTES:
        raise InputError(f"{path} is no list of stars, it is longer than {MAX_LIST_BYTES} bytes; expected {ALLOWED}")
    if data.startswith((b"SIMPLE  =", b"\x1f\x8b", b"PK\x03\x04")):
        kind = "a FITS file" if data.startswith(b"SIMPLE") else "a compressed file"
        raise InputError(f"{path} is {kind} and no list of stars; expected {ALLOWED}")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise InputError(f"{path} is no list of stars, line {line} is not UTF-8 text; expected {ALLOWED}") from error
    lines = [(i, line.strip()) for i, line in enumerate(re.split(r"\r\n|\n|\r", text), 1)]
    return _parse([(f"line {i}", line) for i, line in lines if line and not line.startswith("#")], mission, str(path))


def parse_stars(names: Sequence[str], mission: str = "tess") -> tuple[WantedStar, ...]:
    """Stars given one by one, as with ``--target``; as in `read_stars`.

    Raises
    ------
    InputError
        A name is none, or occurs twice; says which and what is allowed.
    """
    return _parse([(f"target {i}", name.strip()) for i, name in enumerate(names, 1)], mission, "the targets given")


def together(*lists: Iterable[WantedStar]) -> tuple[WantedStar, ...]:
    """Stars of several lists, each once, in the order in which they come first."""
    once: dict[tuple[str, int | str], WantedStar] = {}
    for stars in lists:
        for star in stars:
            once.setdefault(_identity(star), star)
    return tuple(once.values())


def _parse(places: list[tuple[str, str]], mission: str, source: str) -> tuple[WantedStar, ...]:
    if mission not in CATALOGUES:
        raise InputError(f"mission must be one of {', '.join(CATALOGUES)}, not {mission!r}")
    stars: dict[tuple[str, int | str], tuple[str, WantedStar]] = {}
    faults = []
    for place, text in places:
        star, fault = _star(text, mission)
        if star is not None and (earlier := stars.get(_identity(star))):
            fault = f"names {star} again, {earlier[0]} did"
        if fault:
            faults.append(f"{place} ({_shown(text)}) {fault}")
        elif star is not None:
            stars[_identity(star)] = (place, star)
    if faults:
        more = f"; and {len(faults) - _FAULTS_SHOWN} more" if len(faults) > _FAULTS_SHOWN else ""
        raise InputError(f"{source}: " + "; ".join(faults[:_FAULTS_SHOWN]) + f"{more}. Expected {ALLOWED}")
    if not stars:
        raise InputError(f"there is no star in {source}; expected {ALLOWED}")
    return tuple(star for _, star in stars.values())


def _star(text: str, mission: str) -> tuple[WantedStar | None, str]:
    """Star of one line, or what is wrong with it."""
    known = (mission, int(text)) if text.isascii() and text.isdigit() else parse_star(text)
    if known is not None:
        if not 0 < known[1] <= MAX_NUMBER:
            return None, f"should have a number from 1 to {MAX_NUMBER}"
        return WantedStar(text, *known), ""
    if fault := _fault_of_name(text):
        return None, fault
    return WantedStar(" ".join(text.split())), ""


def _fault_of_name(text: str) -> str:
    """Why a text is no name of a star; empty where it may be one."""
    if not text:
        return "is empty"
    if not text.isprintable():
        return "has control characters"
    if not _NAME.fullmatch(text) or not re.search("[A-Za-z]", text):
        return "is no name of a star"
    if text.upper().split(maxsplit=1)[0].rstrip("-_") in CATALOGUES.values():
        return "has no catalogue number"
    return ""


def _identity(star: WantedStar) -> tuple[str, int | str]:
    return (star.mission, star.number) if star.is_number else ("", star.text.casefold())


def _shown(text: str) -> str:
    """Line of a person in an error message: short, and without what could upset a terminal."""
    return ascii(text if len(text) <= 40 else text[:37] + "...")
