"""Labelled real light curves from a folder: the bank, and quiet ones that shapes are injected into.

A bank is two files. ``lc_bank.npz`` holds ``time`` (days), ``flux`` (around 1) and ``flux_err`` of all curves
one after the other, and ``offset``: curve i is ``offset[i]:offset[i + 1]``. ``lc_bank.csv`` has one row per
curve, in any order: ``bank_index`` (i), ``target`` (star), ``label`` (one of the six classes), ``source``,
``mission`` (free text), and where known ``period_d``, ``t0`` and ``duration_h``, several separated by ``;``.

Or it is a table ``labels.csv`` with the columns ``file`` (FITS, CSV or NPZ light curve below the folder), ``target``,
``label`` and ``source``, ``period_d``, ``t0``, ``duration_h`` where known.

``ffi_injection_hosts.npz`` (``time``, ``nflux``, ``offset``) and ``.csv`` (``gaia_dr3``), where present, are
quiet curves without a label.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from larun.archive.files import read
from larun.errors import InputError
from larun.lightcurve import Shard, Star, bad_quality_bits, shard_of
from larun.schema import CLASSES
from larun.units import SECONDS_PER_DAY

SEGMENT_D = 28.5
"""Longest piece of a light curve: the sweep searches one sector at a time."""
SEGMENT_GAP_D = 5.0
MIN_SEGMENT_D = 15.0
MIN_CADENCES = 300
UNLABELLED = -1
LABELS_FILE = "labels.csv"


@dataclass(frozen=True, slots=True)
class Ephemeris:
    """When a known signal repeats: days, hours; duration NaN where not known."""

    period_d: float
    t0: float
    duration_h: float = np.nan


@dataclass(frozen=True)
class Curve:
    """One light curve with what is known about it.

    Parameters
    ----------
    star : str
        Name that all curves of one star share.
    label : int
        Index into `larun.schema.CLASSES`, or `UNLABELLED`.
    origin : str
        Collection that it comes from.
    time : (cadence,) float64
        Days, increasing.
    flux : (cadence,) float32
        Around 1.
    ephemerides : tuple of Ephemeris
        Known planets or eclipses.
    """

    star: str
    label: int
    origin: str
    time: np.ndarray
    flux: np.ndarray
    ephemerides: tuple[Ephemeris, ...] = ()

    @property
    def cadence_d(self) -> float:
        """Median time between cadences, days."""
        return float(np.median(np.diff(self.time)))

    def shard(self, fluxes: np.ndarray | None = None) -> Shard:
        """Shard of this curve, or of several with its cadences, (star, cadence) float32."""
        flux = np.atleast_2d(self.flux if fluxes is None else fluxes).astype(np.float32)
        unknown = np.full(flux.shape, np.nan, np.float32)
        return Shard(
            stars=(Star(),) * len(flux),
            time=self.time,
            cadence_no=np.arange(len(self.time), dtype=np.int32),
            time_correction=unknown,
            flux=flux,
            flux_err=unknown,
            background=unknown,
            centroid_col=unknown,
            centroid_row=unknown,
            quality=np.zeros(flux.shape, np.int32),
            mission="",
            cadence_s=self.cadence_d * SECONDS_PER_DAY,
        )


def star_name(text: str) -> str:
    """One name per star from the ways a bank writes it: catalogue and number where it has one."""
    for pattern, catalogue in (
        (r"kplr0*(\d+)|KIC\s*0*(\d+)", "KIC"),
        (r"ktwo0*(\d+)|k2_llc_0*(\d+)|EPIC\s*0*(\d+)", "EPIC"),
        (r"TIC\s*0*(\d+)", "TIC"),
        (r"Gaia DR3\s*(\d+)", "Gaia DR3"),
    ):
        found = re.search(pattern, text)
        if found:
            return f"{catalogue} {next(group for group in found.groups() if group)}"
    return text.strip()


def read_bank(folder: str | Path) -> list[Curve]:
    """Read the labelled curves of a folder, cut into pieces of one sector's length.

    Parameters
    ----------
    folder : path
        Holds ``lc_bank.npz`` and ``lc_bank.csv``, or ``labels.csv``.

    Returns
    -------
    list of Curve
        In the order of the table.

    Raises
    ------
    InputError
        A file is missing or cannot be read, a column or array is missing, or a label is no class.
    """
    if (Path(folder) / LABELS_FILE).is_file():
        return [piece for curve in _labelled_files(Path(folder)) for piece in segments(curve)]
    rows = _rows(Path(folder) / "lc_bank.csv", ("bank_index", "target", "label", "source", "period_d", "t0"))
    arrays = _arrays(Path(folder) / "lc_bank.npz", ("time", "flux", "offset"))
    curves = []
    for row in rows:
        curves += segments(_described(_curve(arrays, "flux", int(row["bank_index"])), row, "lc_bank.csv"))
    return curves


def _labelled_files(folder: Path) -> Iterator[Curve]:
    """Curves of the files that ``labels.csv`` names, bad cadences left out."""
    for row in _rows(folder / LABELS_FILE, ("file", "target", "label")):
        shard = shard_of(read(folder / row["file"]))
        curve = curve_of(shard)
        if curve is None:
            raise InputError(f"{folder / row['file']} has no good cadence; leave it out of {LABELS_FILE}")
        yield _described(curve, {"source": folder.name, "period_d": "", "t0": ""} | row, LABELS_FILE)


def curve_of(shard: Shard) -> Curve | None:
    """Unlabelled curve of the one star of a shard, its good cadences over their median; None where there are none."""
    time, flux = shard.barycentric_time(0), shard.flux[0].astype(np.float64)
    bad = (shard.quality[0] == -1) | ((shard.quality[0] & bad_quality_bits(shard.mission, shard.author)) != 0)
    good = np.isfinite(time) & np.isfinite(flux) & ~bad
    median = float(np.median(flux[good])) if good.any() else 0.0
    if not median > 0:
        return None
    return Curve("", UNLABELLED, "", time[good], (flux[good] / median).astype(np.float32))


def _described(curve: Curve, row: dict[str, str], table: str) -> Curve:
    """A curve with what a row of a table says of it."""
    if row["label"] not in CLASSES:
        raise InputError(f"{table} has the label {row['label']!r}; known are {', '.join(CLASSES)}")
    return replace(
        curve,
        star=star_name(row["target"]),
        label=CLASSES.index(row["label"]),
        origin=row["source"],
        ephemerides=_ephemerides(row),
    )


def read_hosts(folder: str | Path) -> list[Curve]:
    """Read the quiet unlabelled curves of a folder; none where it has no such files."""
    table = Path(folder) / "ffi_injection_hosts.csv"
    if not table.is_file():
        return []
    arrays = _arrays(table.with_suffix(".npz"), ("time", "nflux", "offset"))
    curves = []
    for index, row in enumerate(_rows(table, ("gaia_dr3",))):
        star = f"Gaia DR3 {row['gaia_dr3']}"
        curves += segments(replace(_curve(arrays, "nflux", index), star=star, origin="ffi_injection_hosts"))
    return curves


def segments(curve: Curve) -> list[Curve]:
    """Cut a curve where it pauses for days or exceeds a sector's length; short pieces are left out."""
    pieces = []
    pauses = np.flatnonzero(np.diff(curve.time) > SEGMENT_GAP_D) + 1
    for observed in np.split(np.arange(len(curve.time)), pauses):
        run = observed
        while len(run):
            n = int(np.searchsorted(curve.time[run], curve.time[run[0]] + SEGMENT_D, side="right"))
            part, run = run[:n], run[n:]
            if n >= MIN_CADENCES and np.ptp(curve.time[part]) >= MIN_SEGMENT_D:
                pieces.append(replace(curve, time=curve.time[part], flux=curve.flux[part]))
    return pieces


def _rows(path: Path, columns: tuple[str, ...]) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise InputError(f"cannot read the table of labelled light curves {path}: {error.strerror}") from error
    missing = [name for name in columns if not rows or name not in rows[0]]
    if missing:
        raise InputError(f"{path} should have rows with the columns {', '.join(columns)}; missing: {missing}")
    return rows


def _arrays(path: Path, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in names}
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{path} should be an NPZ file with {', '.join(names)}: {error}") from error


def _curve(arrays: dict[str, np.ndarray], flux: str, index: int) -> Curve:
    """Unlabelled curve of one index, sorted by time, without missing cadences."""
    start, stop = arrays["offset"][index : index + 2]
    time, values = arrays["time"][start:stop], arrays[flux][start:stop]
    good = np.isfinite(time) & np.isfinite(values)
    time, first = np.unique(time[good], return_index=True)
    return Curve("", UNLABELLED, "", time, values[good][first].astype(np.float32))


def _ephemerides(row: dict[str, str]) -> tuple[Ephemeris, ...]:
    periods, epochs = _numbers(row["period_d"]), _numbers(row["t0"])
    durations = _numbers(row.get("duration_h", "")) or [np.nan] * len(periods)
    if not periods or len(epochs) != len(periods) or len(durations) != len(periods):
        return ()
    return tuple(Ephemeris(*values) for values in zip(periods, epochs, durations, strict=True))


def _numbers(text: str) -> list[float]:
    return [float(part) for part in text.split(";") if part.strip()]
