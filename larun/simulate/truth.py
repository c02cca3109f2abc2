"""The truth table of a simulated sector: what was put in, and how well it could be found."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from larun.config import SimulateSettings, digest
from larun.schema import Column
from larun.simulate.eclipses import Dip, EclipsingPair
from larun.simulate.instrument import Instrument
from larun.simulate.noise import cadence_noise_ppm, event_noise_ppm
from larun.simulate.photometry import dip_of, epoch_of
from larun.simulate.population import CLASS_OF_KIND, Population
from larun.simulate.stars import density_g_cm3
from larun.units import HOURS_PER_DAY, PPM, R_EARTH_PER_R_SUN

TRUTH_COLUMNS: tuple[Column, ...] = (
    Column("target_id", "int64", None, "number of the simulated star; no such TIC number exists"),
    Column("class6", "str", None, "class that a perfect classifier gives"),
    Column("kind", "str", None, "what was simulated"),
    Column("period_d", "float64", "d", "orbital, rotation or dominant pulsation period"),
    Column("t0_btjd", "float64", "d", "mid-time of the first event with data, else of the first after the start"),
    Column("duration_h", "float64", "h", "first to fourth contact, or length of the event"),
    Column("depth_ppm", "float64", "ppm", "largest loss of light; negative for a brightening"),
    Column("mean_depth_ppm", "float64", "ppm", "loss of light averaged over the duration"),
    Column("secondary_depth_ppm", "float64", "ppm", "largest loss of light in the secondary eclipse"),
    Column("secondary_phase", "float64", None, "phase of the secondary eclipse"),
    Column("amplitude_ppm", "float64", "ppm", "peak to peak of rotators, pulsators and contact binaries"),
    Column("radius_earth", "float64", "earthRad", "radius of the planet"),
    Column("radius_ratio", "float64", None, "radius of planet or companion over that of the star"),
    Column("impact", "float64", None, "impact parameter"),
    Column("axis_over_radius", "float64", None, "semi-major axis over the radius of the star"),
    Column("dilution", "float64", None, "share of the light that comes from the varying star"),
    Column("n_transits", "int32", None, "events with at least half their cadences observed"),
    Column("expected_snr", "float64", None, "mean depth over the noise of all observed events together"),
    Column("noise_ppm", "float64", "ppm", "white noise of one cadence"),
    Column("tmag", "float64", "mag", "TESS magnitude"),
    Column("ra", "float64", "deg", "right ascension, ICRS"),
    Column("dec", "float64", "deg", "declination, ICRS"),
    Column("camera", "uint8", None, "camera"),
    Column("ccd", "uint8", None, "CCD"),
    Column("teff", "float64", "K", "effective temperature"),
    Column("logg", "float64", "dex(cm/s2)", "surface gravity"),
    Column("radius", "float64", "solRad", "radius of the star"),
    Column("mass", "float64", "solMass", "mass of the star"),
    Column("density", "float64", "g/cm3", "mean density of the star"),
    Column("simulated", "bool", None, "always true"),
)

_PERIODIC_EVENTS = ("planet", "detached_binary", "blended_binary", "contact_binary", "self_lensing", "dipper")
_SINGLE_EVENTS = ("exocomet", "irregular_dip")


def truth_table(stars: Population, instrument: Instrument, settings: SimulateSettings, sector: int) -> pa.Table:
    """Table of `TRUTH_COLUMNS`, one row a star, units and meanings in the metadata of its fields.

    Parameters
    ----------
    stars : Population
        The sector's stars.
    instrument : Instrument
        The sector's spacecraft.
    settings : SimulateSettings
        The simulation; its seed and digest go into the table's metadata.
    sector : int
        Sector.
    """
    columns: dict[str, object] = {
        name: getattr(stars, name)
        for name in ("target_id", "kind", "period_d", "secondary_phase", "impact", "dilution", "tmag", "ra", "dec",
                     "camera", "ccd", "teff", "logg", "radius", "mass")
    }  # fmt: skip
    noise = cadence_noise_ppm(stars.tmag, stars.crowding, settings.cadence_s)
    varies = np.isin(stars.kind, ("rotator", "delta_scuti", "gamma_doradus", "rr_lyrae", "contact_binary"))
    columns |= {
        "class6": [CLASS_OF_KIND[kind] for kind in stars.kind],
        "amplitude_ppm": np.where(varies, PPM * stars.amplitude, np.nan),
        "radius_earth": np.where(stars.kind == "planet", stars.ratio * stars.radius * R_EARTH_PER_R_SUN, np.nan),
        "radius_ratio": stars.ratio,
        "axis_over_radius": stars.axis,
        "noise_ppm": noise,
        "density": density_g_cm3(stars.mass, stars.radius),
        "simulated": np.ones(len(stars), bool),
    }
    columns |= _events(stars, instrument, settings)
    fields = [pa.field(c.name, c.arrow_type, metadata=_metadata(c)) for c in TRUTH_COLUMNS]
    notes = {"simulated": "true", "sector": str(sector), "seed": str(settings.seed), "settings": digest(settings)}
    arrays = [pa.array(columns[field.name], field.type) for field in fields]
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields, metadata=notes))


def _events(stars: Population, instrument: Instrument, settings: SimulateSettings) -> dict[str, np.ndarray]:
    """Epochs, depths and counts of everything that has events."""
    n = len(stars)
    names = ("t0_btjd", "duration_h", "depth_ppm", "mean_depth_ppm", "secondary_depth_ppm", "expected_snr")
    columns: dict[str, np.ndarray] = {name: np.full(n, np.nan) for name in names}
    columns["n_transits"] = np.zeros(n, np.int32)
    for i in np.flatnonzero(np.isin(stars.kind, (*_PERIODIC_EVENTS, *_SINGLE_EVENTS))):
        event = _event(stars, int(i), instrument, settings.cadence_s)
        for name, value in event.items():
            columns[name][i] = value
    return columns


def _event(stars: Population, i: int, instrument: Instrument, cadence_s: float) -> Mapping[str, float]:
    kind, dilution, duration = stars.kind[i], stars.dilution[i], stars.duration_d[i]
    secondary = np.nan
    if kind in ("planet", "detached_binary", "blended_binary"):
        model = dip_of(stars, i, instrument.exposure_d)
        dip = model.primary if isinstance(model, EclipsingPair) else model
        depth, mean = dilution * dip.depth, dilution * _mean_depth(dip, duration)
        secondary = dilution * model.secondary.depth if isinstance(model, EclipsingPair) else np.nan
    elif kind == "contact_binary":
        duration = 0.5 * stars.period_d[i]
        depth, mean = stars.amplitude[i], 0.5 * stars.amplitude[i]
    else:
        depth = mean = -stars.amplitude[i] if kind == "self_lensing" else stars.amplitude[i]
    first, count = _observed_events(stars, i, duration, instrument)
    hours = duration * HOURS_PER_DAY
    sigma = event_noise_ppm(stars.tmag[i], hours, stars.crowding[i], cadence_s)
    return {
        "t0_btjd": first,
        "duration_h": hours,
        "depth_ppm": PPM * depth,
        "mean_depth_ppm": PPM * mean,
        "secondary_depth_ppm": PPM * secondary,
        "n_transits": count,
        "expected_snr": abs(PPM * mean) * np.sqrt(count) / sigma,
    }


def _mean_depth(dip: Dip, duration_d: float) -> float:
    inside = np.abs(dip.offset_d) <= 0.5 * duration_d
    return float(1 - dip.flux[inside].mean())


def _observed_events(stars: Population, i: int, duration_d: float, instrument: Instrument) -> tuple[float, int]:
    """Time of the first event of which at least half the cadences were observed, and the number of such events."""
    time = instrument.time + instrument.time_correction(stars.ra[i], stars.dec[i])
    seen = np.concatenate([[0], np.cumsum(instrument.observed(int(stars.camera[i]), int(stars.ccd[i])))])
    epoch, period = epoch_of(stars, i, instrument.start_d, instrument.time[-1] - instrument.start_d), stars.period_d[i]
    events = np.arange(epoch, max(time[-1], epoch + 0.5 * period), period) if np.isfinite(period) else np.array([epoch])
    first, last = (np.searchsorted(time, events + side * duration_d) for side in (-0.5, 0.5))
    observed = (seen[last] - seen[first]) * instrument.exposure_d >= 0.5 * duration_d
    return float(events[observed.argmax()] if observed.any() else events[0]), int(observed.sum())


def _metadata(column: Column) -> dict[str, str]:
    return {"meaning": column.meaning} | ({"unit": column.unit} if column.unit else {})
