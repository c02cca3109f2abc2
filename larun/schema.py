"""Every array of the store and every column of the tables: name, type, unit, fill, meaning.

`python -m larun.schema` prints the listing that is checked in as `docs/schema.md`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag
from functools import cache
from typing import TYPE_CHECKING, ClassVar

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa

SCHEMA_VERSION = 2
"""Raised whenever a reader of an older store could misread a newer one."""


@dataclass(frozen=True, slots=True)
class Compression:
    """How Blosc compresses the chunks of an array; all are lossless."""

    cname: str
    clevel: int
    shuffle: str


COMPRESSION_BLOCK = 1 << 21
"""Bytes that Blosc compresses at once, so that a chunk of 16 stars at 2 min is one block; of lz4 it takes 1 MiB."""

SMALL = Compression("zstd", 1, "bitshuffle")
"""What is smooth or short; in blocks of this size level 1 is as small as level 3 in Blosc's own blocks."""

NOISY = Compression("lz4", 5, "bitshuffle")
"""What every star has at every cadence: mostly noise, of which zstd takes 5 % more, in three times the time. Of the
barycentric correction it takes a third more, in twice the time, which is 4 % of a star."""

FLAGS = Compression("zstd", 1, "shuffle")
"""Bits that are nearly always the same."""


@dataclass(frozen=True, slots=True)
class Array:
    """One Zarr array of a sector."""

    name: str
    dims: tuple[str, ...]
    dtype: str
    unit: str | None
    fill: float | int
    meaning: str
    compression: Compression = SMALL


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table; `dtype` is NumPy's name, or `str`, `bool` or `list[str]`."""

    name: str
    dtype: str
    unit: str | None
    meaning: str

    @property
    def arrow_type(self) -> pa.DataType:
        """Type of the column in Arrow and Parquet."""
        import pyarrow as pa

        named = {"str": pa.string(), "bool": pa.bool_(), "list[str]": pa.list_(pa.string())}
        return named.get(self.dtype) or pa.from_numpy_dtype(np.dtype(self.dtype))


class Status:
    """What became of a target; every planned target has exactly one once its shard is recorded."""

    STORED = "stored"
    ABSENT = "absent"
    CORRUPT = "corrupt"
    UNREACHABLE = "unreachable"
    REJECTED = "rejected"

    PENDING_CODE = 0
    """Code in the `status` array of a target whose shard has not been written."""

    CODES: ClassVar[dict[str, int]] = {STORED: 1, ABSENT: 2, CORRUPT: 3, UNREACHABLE: 4, REJECTED: 5}


SEARCHED = "searched"
"""Status of a detection whose star was searched; the others carry the status that left nothing to search."""

TARGET, CADENCE = "target", "cadence"
NAN = float("nan")

SECTOR_ARRAYS: tuple[Array, ...] = (
    Array("target_id", (TARGET,), "int64", None, -1, "TIC (TESS), KIC (Kepler) or EPIC (K2) number"),
    Array("ra", (TARGET,), "float64", "deg", NAN, "right ascension, ICRS, J2000 as in the product header"),
    Array("dec", (TARGET,), "float64", "deg", NAN, "declination, ICRS, J2000 as in the product header"),
    Array("tmag", (TARGET,), "float32", "mag", NAN, "TESS magnitude (Kepler magnitude for Kepler and K2)"),
    Array("teff", (TARGET,), "float32", "K", NAN, "effective temperature of the star"),
    Array("logg", (TARGET,), "float32", "dex(cm/s2)", NAN, "surface gravity of the star"),
    Array("radius", (TARGET,), "float32", "solRad", NAN, "radius of the star"),
    Array("camera", (TARGET,), "uint8", None, 0, "camera, 1 to 4; 0 where not known"),
    Array("ccd", (TARGET,), "uint8", None, 0, "CCD, 1 to 4 (Kepler: output channel); 0 where not known"),
    Array("status", (TARGET,), "uint8", None, 0, "what became of the target at ingest, see flag_meanings"),
    Array("n_good", (TARGET,), "int32", None, 0, "cadences with finite flux and no rejected quality bit"),
    Array("cadence_no", (CADENCE,), "int32", None, -1, "cadence number of the mission"),
    Array("time", (CADENCE,), "float64", "d", NAN, "mid-cadence time at the spacecraft, TDB, zero point of time_format"),
    Array("time_correction", (TARGET, CADENCE), "float32", "d", NAN,
          "barycentric minus spacecraft time of this star; add it to `time`", NOISY),
    Array("flux", (TARGET, CADENCE), "float32", "electron/s", NAN,
          "flux as the mission delivered it (PDCSAP for SPOC); see the array's own unit", NOISY),
    Array("flux_err", (TARGET, CADENCE), "float32", "electron/s", NAN, "one-sigma error of flux", NOISY),
    Array("background", (TARGET, CADENCE), "float32", "electron/s", NAN, "background that was subtracted", NOISY),
    Array("centroid_col", (TARGET, CADENCE), "float32", "pix", NAN, "flux-weighted centroid, column", NOISY),
    Array("centroid_row", (TARGET, CADENCE), "float32", "pix", NAN, "flux-weighted centroid, row", NOISY),
    Array("quality", (TARGET, CADENCE), "int32", None, -1, "quality bits of the mission; -1 where no cadence was delivered", FLAGS),
)  # fmt: skip

SECTOR_COORDINATES = frozenset(a.name for a in SECTOR_ARRAYS if len(a.dims) == 1)
"""Arrays that xarray shows as coordinates."""

FLUX_ARRAYS = tuple(a for a in SECTOR_ARRAYS if a.dims == (TARGET, CADENCE))
TARGET_ARRAYS = tuple(a for a in SECTOR_ARRAYS if a.dims == (TARGET,))
CADENCE_ARRAYS = tuple(a for a in SECTOR_ARRAYS if a.dims == (CADENCE,))

PLAN_COLUMNS: tuple[Column, ...] = (
    Column("target_id", "int64", None, "TIC, KIC or EPIC number"),
    Column("ra", "float64", "deg", "right ascension, ICRS"),
    Column("dec", "float64", "deg", "declination, ICRS"),
    Column("tmag", "float32", "mag", "TESS (or Kepler) magnitude"),
    Column("camera", "uint8", None, "camera; 0 where not known"),
    Column("ccd", "uint8", None, "CCD; 0 where not known"),
    Column("product", "str", None, "file name of the product, as the archive calls it"),
)

CLASSES: tuple[str, ...] = (
    "noise",
    "stellar_signal",
    "planetary_transit",
    "eclipsing_binary",
    "instrument_artifact",
    "unknown_anomaly",
)
"""The six classes, in the order of the network's outputs."""

VIEW_LENGTH = 1024
"""Samples of one network input."""

VIEW_DEFINITION: dict = {
    "version": 3,
    "length": VIEW_LENGTH,
    "views": [
        ["global", 256],
        ["odd", 112],
        ["even", 112],
        ["secondary", 112],
        ["depth", 112],
        ["sector", 256],
        ["measured", 64],
    ],
    "half_width_durations": 2.5,
    "depth_scale": 2.0,
    "absolute_scale": 1e-3,
    "compression": 1e3,
}
"""How `larun.views` fills a network input; a bundle is refused where it was trained on another definition.

`views` are names and lengths in order. The version is raised whenever a sample changes its meaning.
"""


class EventFlag(IntFlag):
    """What vetting noticed about an event; a row may carry several."""

    FEW_TRANSITS = 1
    LOW_COVERAGE = 2
    ODD_EVEN = 4
    SECONDARY = 8
    TOO_DEEP = 16
    V_SHAPE = 32
    SINGLE_DOMINATES = 64
    NEAR_GAP = 128
    SINUSOID = 256
    LONG_DURATION = 512
    PERIOD_ALIAS = 1024
    EPOCH_PILE_UP = 2048
    ODD_EVEN_EPOCH = 4096
    NOT_UNIQUE = 8192
    INCONSISTENT = 16384
    NEAR_DUMP = 32768
    CENTROID_SHIFT = 65536
    TRANSIT_PILE_UP = 131072
    EPHEMERIS_MATCH = 262144
    SINGLE_TRANSIT = 524288

    @property
    def names(self) -> list[str]:
        """Names of the flags that are set, in lower case."""
        return [flag.name.lower() for flag in EventFlag if flag in self]


EVENT_COLUMNS: tuple[Column, ...] = (
    Column("event", "int16", None, "1 is the best event of its target; further ones count on, each found with those before it in the same light curve masked"),
    Column("period_d", "float64", "d", "period; NaN for a single transit"),
    Column("t0_btjd", "float64", "d", "mid-time of the first transit in the data, BJD(TDB) - 2457000, for Kepler and K2 too"),
    Column("duration_h", "float32", "h", "full duration of the transit"),
    Column("depth_ppm", "float32", "ppm", "mean depth of the transits"),
    Column("depth_err_ppm", "float32", "ppm", "one-sigma error of the depth, red noise included"),
    Column("snr", "float32", None, "depth over its error"),
    Column("sde", "float32", None, "signal detection efficiency of the peak (Kovács et al. 2002)"),
    Column("detection", "float32", None, "how sure a transit-like signal is, 0 to 1; see larun/search/rating.py"),
    Column("n_transits", "int16", None, "transits with at least half their cadences observed"),
    Column("odd_even_sigma", "float32", None, "difference of odd and even depths over its error"),
    Column("odd_even_epoch_sigma", "float32", None, "difference of the mid-times of odd and even transits over its error"),
    Column("depth_chi2", "float32", None, "reduced chi-square of the depths of single transits, n_transits - 1 degrees of freedom"),
    Column("secondary_depth_ppm", "float32", "ppm", "deepest dip at another phase, same duration"),
    Column("secondary_snr", "float32", None, "secondary depth over its error"),
    Column("secondary_phase", "float32", None, "phase of that dip, 0 to 1, the transit at 0"),
    Column("secondary_share", "float32", None, "share of its dimming that its strongest occurrence carries"),
    Column("tertiary_snr", "float32", None, "significance of the next deepest dip at a third phase"),
    Column("positive_snr", "float32", None, "significance of the strongest brightening at another phase"),
    Column("phase_scatter", "float32", None, "standard deviation of such significances over all other phases"),
    Column("shape", "float32", None, "flat part of the transit over its duration: 0 a V, 1 a box; NaN for less than 4 cadences"),
    Column("single_event_fraction", "float32", None, "share of the signal that its strongest transit carries"),
    Column("sinusoid_ratio", "float32", None, "chi-square gain of a sinusoid over that of the box, at half, once or twice the period"),
    Column("gap_fraction", "float32", None, "share of the transits that touch a gap of the data"),
    Column("dump_fraction", "float32", None, "share of the transits during or just after a momentum dump"),
    Column("centroid_offset_pix", "float32", "pix", "distance from the star to the source of the dip, by the centroid's shift"),
    Column("centroid_sigma", "float32", None, "shift of the centroid in transit over its error"),
    Column("column_pix", "float32", "pix", "mean flux-weighted centroid, column"),
    Column("row_pix", "float32", "pix", "mean flux-weighted centroid, row"),
    Column("phase_coverage", "float32", None, "share of the orbital phases that were observed"),
    Column("scatter_ppm", "float32", "ppm", "robust scatter of the detrended flux per cadence"),
    Column("red_noise_ppm", "float32", "ppm", "robust scatter on the time scale of the duration"),
    Column("variability_period_d", "float64", "d", "period of the sinusoid that explains most of the flux before detrending, dips left out"),
    Column("variability_amplitude_ppm", "float32", "ppm", "half of its range"),
    Column("variability_power", "float32", None, "share of the variance that it explains (generalised Lomb-Scargle)"),
    Column("variability_log_fap", "float32", None, "log10 of the probability that white noise has such a peak (Baluev 2008)"),
    Column("variability_kind", "uint8", None, "0 none, 1 rotation, 2 pulsation"),
    Column("n_waves", "uint8", None, "waves of the star that were taken out before detrending; 0 where the trend sufficed"),
    Column("n_good", "int32", None, "cadences that the search could use; 0 where there is no light curve"),
    Column("n_negative", "int32", None, "cadences left out because their flux is far below zero; not counted where sectors are stitched"),
    Column("flags", "uint32", None, "bits of EventFlag; epoch_pile_up, transit_pile_up and ephemeris_match, which need the whole sector, in candidates only"),
)  # fmt: skip

PROVENANCE_COLUMNS: tuple[Column, ...] = (
    Column("simulated", "bool", None, "true if the light curves were made by the simulated archive"),
    Column("run", "str", None, "identifier of the sweep"),
    Column("larun_version", "str", None, "version of larun that wrote the row"),
    Column("plan_digest", "str", None, "digest of the ingest plan"),
    Column("bundle", "str", None, "name and version of the model bundle"),
    Column("bundle_digest", "str", None, "digest of the model bundle"),
    Column("config_digest", "str", None, "digest of the settings that change the result"),
)

JOINED_COLUMNS: tuple[Column, ...] = (
    Column("n_sectors", "int16", None, "sectors of the light curve in which the event was found; 1 for this sector alone"),
    Column("sectors", "str", None, "which, e.g. 1-3,5"),
    Column("same_event", "int16", None, "event of this target, found in this sector alone, that is the same signal; 0 for none"),
    Column("not_joined", "str", None, "earlier sectors that were to be joined and are not, and why; empty where none"),
)  # fmt: skip
"""What a sweep that joins sectors says about a row."""

DETECTION_COLUMNS: tuple[Column, ...] = (
    Column("tic", "int64", None, "TIC number; null for Kepler and K2"),
    Column("target", "str", None, "catalogue and number, e.g. TIC 261136679, KIC 11904151"),
    Column("mission", "str", None, "tess, kepler or k2"),
    Column("sector", "int32", None, "sector (TESS), quarter (Kepler) or campaign (K2)"),
    Column("author", "str", None, "pipeline that made the light curve"),
    Column("cadence_s", "int32", "s", "time between cadences"),
    Column("ra", "float64", "deg", "right ascension, ICRS"),
    Column("dec", "float64", "deg", "declination, ICRS"),
    Column("tmag", "float32", "mag", "TESS (or Kepler) magnitude"),
    Column("radius", "float32", "solRad", "radius of the star"),
    Column("camera", "uint8", None, "camera, 1 to 4; 0 where not known"),
    Column("ccd", "uint8", None, "CCD, 1 to 4 (Kepler: output channel); 0 where not known"),
    Column("status", "str", None, "searched, or the ingest status that left nothing to search"),
    Column("reason", "str", None, "why nothing was searched; empty where it was"),
    *JOINED_COLUMNS,
    *EVENT_COLUMNS,
    Column("class", "str", None, "class of the largest probability; null where nothing was searched"),
    *(Column(f"p_{name}", "float32", None, f"calibrated probability of {name}") for name in CLASSES),
    *PROVENANCE_COLUMNS,
)

EARLIER_COLUMNS: tuple[Column, ...] = (
    Column("target_id", "int64", None, "TIC, KIC or EPIC number"),
    Column("row", "int32", None, "row of the target in the plan of the swept sector"),
    Column("earlier_sector", "int32", None, "sector, quarter or campaign that is joined with it"),
    Column("author", "str", None, "pipeline of that light curve"),
    Column("cadence_s", "int32", "s", "time between its cadences"),
    Column("earlier_row", "int32", None, "row of the target in the plan of that sector"),
    Column("record", "str", None, "digest of the record of its shard there"),
)  # fmt: skip
"""Light curves of earlier sectors that a sweep joins with those of its own."""

PARTITIONS = ("mission", "sector", "run")
"""Columns that are the folders of a table, `mission=tess/sector=1/run=...`, and not in its files: that is where every
reader of such folders looks for them, and several refuse files that hold them too."""

SECTOR_COLUMNS: tuple[Column, ...] = (
    Column("same_ephemeris", "int32", None, "other stars of the sector with this epoch and period; 0 where chance brings so many together"),
    Column("pile_up_fraction", "float32", None,
           "share of the transits at times when unusually many stars of the camera dim; NaN with more than 12 transits"),
    Column("parent", "str", None, "star whose signal this one repeats; null where none does"),
    Column("parent_how", "str", None, "near: within reach of its light, column: on its column of the CCD; null"),
    Column("parent_light", "float32", None, "light that it loses over that lost here"),
    Column("parent_period_ratio", "float32", None, "period over that of its signal"),
    Column("parent_arcsec", "float32", "arcsec", "distance to it"),
)  # fmt: skip
"""What the events of a whole sector say about one of them."""

CANDIDATE_COLUMNS: tuple[Column, ...] = (
    Column("rank", "int32", None, "1 is the most promising"),
    Column("score", "float32", None, "what the ranking sorts by, 0 to 1"),
    *DETECTION_COLUMNS,
    *SECTOR_COLUMNS,
)


KNOWN_COLUMNS: tuple[Column, ...] = (
    Column("object", "str", None, "name of the object in its catalogue, e.g. TOI-700.01"),
    Column("tic", "int64", None, "TIC number of its star; null where the catalogue gives none"),
    Column("ra", "float64", "deg", "right ascension, ICRS, at the epoch of the catalogue"),
    Column("dec", "float64", "deg", "declination, ICRS, at the epoch of the catalogue"),
    Column("disposition", "str", None, "what the catalogue says it is; null where it says nothing"),
    Column("period_d", "float64", "d", "period"),
    Column("period_err_d", "float64", "d", "one-sigma error of the period"),
    Column(
        "t0_btjd", "float64", "d", "mid-time of a transit or eclipse, BJD - 2457000; HJD in variable-star catalogues"
    ),
    Column("duration_h", "float64", "h", "duration of the transit as the catalogue gives it"),
    Column("depth_ppm", "float64", "ppm", "depth of the transit"),
)

STELLAR_COLUMNS: tuple[Column, ...] = (
    Column("tic", "int64", None, "TIC number"),
    Column("ra", "float64", "deg", "right ascension, ICRS, J2000"),
    Column("dec", "float64", "deg", "declination, ICRS, J2000"),
    Column("tmag", "float64", "mag", "TESS magnitude"),
    Column("teff", "float64", "K", "effective temperature"),
    Column("teff_err", "float64", "K", "its one-sigma error"),
    Column("logg", "float64", "dex(cm/s2)", "surface gravity"),
    Column("radius", "float64", "solRad", "radius"),
    Column("radius_err", "float64", "solRad", "its one-sigma error"),
    Column("mass", "float64", "solMass", "mass"),
    Column("mass_err", "float64", "solMass", "its one-sigma error"),
    Column("density", "float64", "solMass/solRad3", "mean density, the Sun's being 1"),
    Column("contamination", "float64", None, "flux of neighbours over flux of the star, in the TESS band"),
    Column("luminosity_class", "str", None, "DWARF or GIANT; null where not known"),
    Column("tic_disposition", "str", None, "SPLIT, JOIN, DUPLICATE, ARTIFACT; null for a plain entry"),
)

MATCH_COLUMNS: tuple[Column, ...] = (
    Column("tic", "int64", None, "TIC number of the star that was swept; null for Kepler and K2"),
    Column("target", "str", None, "catalogue and number of that star, as in detections"),
    Column("event", "int16", None, "number of the event that was compared, as in detections"),
    Column("mission", "str", None, "tess, kepler or k2"),
    Column("sector", "int32", None, "sector (TESS), quarter (Kepler) or campaign (K2)"),
    Column("catalogue", "str", None, "catalogue that knows the object"),
    Column("object", "str", None, "name of the object in that catalogue"),
    Column("disposition", "str", None, "what the catalogue says it is; null where it says nothing"),
    Column("matched_by", "str", None, "tic, or position where the catalogue has another TIC number or none"),
    Column("separation_arcsec", "float64", "arcsec", "between star and object, proper motion ignored"),
    Column("period_d", "float64", "d", "period of the object in the catalogue"),
    Column("t0_btjd", "float64", "d", "mid-time of a transit or eclipse in the catalogue"),
    Column("period_ratio", "float64", None, "period of the event over that of the object"),
    Column("relation", "str", None, "same period, half the period, twice the period, another period, no period known"),
    Column("epoch_phase", "float64", None,
           "epoch of the event in periods of the object after its nearest predicted one, -0.5 to 0.5; NaN where "
           "the error of the catalogue's period is not known, or adds up to more than a tenth of it"),
    Column("catalogue_sha256", "str", None, "content of the snapshot that was matched"),
    Column("run", "str", None, "identifier of the sweep"),
)  # fmt: skip

UNKNOWN = (
    "What is not known is NaN in columns of floats, null in `tic` and `class`, and 0 in `camera` and `ccd`. Of a star "
    "that was not searched every number of its event is NaN, `n_transits` and `flags` are 0, and `status` and `reason` "
    "say why."
)
"""How detections and candidates say that a value is missing."""


@cache
def event_dtype() -> np.dtype:
    """NumPy record type of one event per star, from `EVENT_COLUMNS`."""
    return np.dtype([(c.name, c.dtype) for c in EVENT_COLUMNS])


@cache
def _unknown_event() -> np.ndarray:
    event = np.zeros(1, event_dtype())
    event["event"] = 1
    for column in EVENT_COLUMNS:
        if column.dtype.startswith("float"):
            event[column.name] = np.nan
    return event


def empty_events(n: int) -> np.ndarray:
    """Records of `n` events of which nothing is known, each the first of its target: NaN, zero counts, no flags."""
    return np.repeat(_unknown_event(), n)


def listing() -> str:
    """Describe all arrays and tables as Markdown."""
    lines = [
        "# Arrays and tables",
        "",
        "Generated by `make schema` from `larun/schema.py`; a test compares the two.",
        f"Schema version {SCHEMA_VERSION}.",
        "",
        "## Sector store (Zarr v3)",
        "",
        "| array | dims | dtype | unit | fill | compression | meaning |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| `{a.name}` | {', '.join(a.dims)} | {a.dtype} | {a.unit or ''} | {a.fill} "
        f"| {a.compression.cname} {a.compression.clevel} {a.compression.shuffle} | {a.meaning} |"
        for a in SECTOR_ARRAYS
    ]
    codes = ", ".join(f"{code} {name}" for name, code in Status.CODES.items())
    lines += ["", f"Codes of `status`: {Status.PENDING_CODE} pending, {codes}."]
    for title, columns in (
        ("Plan (`plan.parquet`)", PLAN_COLUMNS),
        ("Detections", DETECTION_COLUMNS),
        ("Candidates", CANDIDATE_COLUMNS),
        ("Light curves of earlier sectors (`run=*.earlier.parquet`)", EARLIER_COLUMNS),
        ("Matches with catalogues", MATCH_COLUMNS),
        ("Snapshot of a catalogue of objects", KNOWN_COLUMNS),
        ("Snapshot of the stars' parameters", STELLAR_COLUMNS),
    ):
        lines += ["", f"## {title}", "", "| column | dtype | unit | meaning |", "|---|---|---|---|"]
        lines += [f"| `{c.name}` | {c.dtype} | {c.unit or ''} | {c.meaning} |" for c in columns]
    lines += ["", UNKNOWN]
    lines += ["", f"{', '.join(f'`{name}`' for name in PARTITIONS)} are in the folder names, not in the files."]
    lines += ["", "## Flags", "", "| bit | name |", "|---|---|"]
    lines += [f"| {flag.value} | {flag.name.lower()} |" for flag in EventFlag]
    lines += ["", "## Classes", "", ", ".join(CLASSES) + "."]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    import sys

    sys.stdout.write(listing())
