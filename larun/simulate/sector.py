"""A simulated sector: its stars, the truth about them, and their products one by one."""

from __future__ import annotations

import csv
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from larun.config import SimulateSettings
from larun.errors import InputError, StoreError
from larun.lightcurve import LightCurve, Star
from larun.simulate.fits import file_name, write_fits
from larun.simulate.instrument import Instrument
from larun.simulate.photometry import Photometry, observe
from larun.simulate.population import FIRST_TARGET_ID, TARGETS_PER_SECTOR, Population, draw_population
from larun.simulate.random import Stream, generator
from larun.simulate.truth import truth_table


class SimulatedSector:
    """One simulated sector. Cheap to make and to pickle; everything is drawn on first use.

    Parameters
    ----------
    settings : SimulateSettings
        Stars, fractions, length, cadence and seed.
    sector : int
        1 or larger; sectors differ in stars, fields, systematics and times.

    Notes
    -----
    Every star has a random stream of its own, so that its bytes do not depend on the order or the process in
    which stars are made.
    """

    def __init__(self, settings: SimulateSettings, sector: int):
        self.settings, self.sector = settings, sector
        self.instrument = Instrument(settings, sector)

    def __reduce__(self):
        return type(self), (self.settings, self.sector)

    @cached_property
    def population(self) -> Population:
        """Stars and their signals, as arrays."""
        return draw_population(self.settings, self.sector)

    @cached_property
    def stars(self) -> tuple[Star, ...]:
        """Stars as the headers of their products describe them, in order of their numbers."""
        p = self.population
        columns = (p.target_id, p.ra, p.dec, p.tmag, p.teff, p.logg, p.radius, p.camera, p.ccd)
        return tuple(Star(*row) for row in zip(*(column.tolist() for column in columns), strict=True))

    @cached_property
    def truth(self) -> pa.Table:
        """What was put into each star, one row each, see `larun.simulate.truth.TRUTH_COLUMNS`."""
        return truth_table(self.population, self.instrument, self.settings, self.sector)

    def row(self, target_id: int) -> int:
        """Row of a star.

        Raises
        ------
        InputError
            The sector has no such star.
        """
        row = target_id - FIRST_TARGET_ID - TARGETS_PER_SECTOR * self.sector
        if not 0 <= row < self.settings.stars:
            first = FIRST_TARGET_ID + TARGETS_PER_SECTOR * self.sector
            raise InputError(
                f"simulated sector {self.sector} has no star {target_id}; its stars are {first} to "
                f"{first + self.settings.stars - 1}"
            )
        return row

    def photometry(self, target_id: int) -> Photometry:
        """All columns of one star's product; `InputError` if the sector has no such star."""
        row = self.row(target_id)
        rng = generator(self.settings.seed, self.sector, Stream.STAR, row)
        return observe(self.population, row, self.instrument, rng)

    def fits(self, target_id: int) -> bytes:
        """One star's product in the mission's file layout; `InputError` if the sector has no such star."""
        row, p = self.row(target_id), self.population
        names = ("target_id", "camera", "ccd", "ra", "dec", "pm_ra", "pm_dec", "tmag", "teff", "logg",
                 "metallicity", "radius", "crowding", "column", "row")  # fmt: skip
        star = {name: getattr(p, name)[row].item() for name in names}
        star |= {"sector": self.sector, "exposure_d": self.instrument.exposure_d, "seed": self.settings.seed}
        return write_fits(star, self.photometry(target_id))

    def file_name(self, target_id: int) -> str:
        """Name of one star's product, as the mission would call it."""
        return file_name(target_id, self.sector, self.instrument.start_d)

    def light_curve(self, target_id: int) -> LightCurve:
        """One star's light curve, the same values as in its file; `InputError` if the sector has no such star."""
        photometry = self.photometry(target_id)
        return LightCurve(
            star=self.stars[self.row(target_id)],
            mission="tess",
            sector=self.sector,
            author="simulated",
            cadence_s=float(self.settings.cadence_s),
            time_format="btjd",
            flux_unit="electron/s",
            cadence_no=photometry.cadence_no,
            time=photometry.time,
            time_correction=photometry.time_correction,
            flux=photometry.corrected,
            flux_err=photometry.corrected_err,
            background=photometry.background,
            centroid_col=photometry.column.astype(np.float32),
            centroid_row=photometry.row.astype(np.float32),
            quality=photometry.quality,
            source=self.file_name(target_id),
            simulated=True,
        )


def write_sector(
    folder: str | Path,
    settings: SimulateSettings,
    sector: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Path]:
    """Write a whole sector as files, with the truth as ``truth.csv`` and ``truth.parquet`` beside them.

    Parameters
    ----------
    folder : path
        Made if it does not exist; files of the same names are replaced.
    settings : SimulateSettings
        The simulation.
    sector : int
        1 or larger.
    progress : callable
        Called with the files written and their total.

    Returns
    -------
    list of Path
        Light-curve files, in order of the stars' numbers.

    Raises
    ------
    StoreError
        The folder cannot be written.
    """
    simulated, folder = SimulatedSector(settings, sector), Path(folder)
    paths = [folder / simulated.file_name(star.target_id) for star in simulated.stars]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for done, (star, path) in enumerate(zip(simulated.stars, paths, strict=True), 1):
            path.write_bytes(simulated.fits(star.target_id))
            progress(done, len(paths))
        pq.write_table(simulated.truth, folder / "truth.parquet")
        with (folder / "truth.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, simulated.truth.column_names)
            writer.writeheader()
            writer.writerows(simulated.truth.to_pylist())
    except OSError as error:
        raise StoreError(
            f"cannot write the simulated sector to {folder}: {error.strerror or error}. Check its rights and the "
            f"space left; {len(paths)} files need about {len(paths) * 2.1:.0f} MB."
        ) from error
    return paths
