"""Kinds of light-curve FITS that larun knows: how to recognise each, and which column means what.

The flux of each kind is the one that `lightkurve.read` takes by default.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

from larun.archive.fits import Header

SHORTEST_FFI_CADENCE_S = 150.0
"""Target cadences (20 s, 120 s) are shorter, full-frame images (200 s, 600 s, 1800 s) longer."""


@dataclass(frozen=True, eq=False)
class Family:
    """One kind of product; equal to itself alone.

    Parameters
    ----------
    author, mission, time_format, flux_unit : str
        As in `larun.lightcurve.LightCurve`.
    target_key, sector_key, magnitude_key, camera_key, ccd_key : str
        Keywords of the primary header; empty where there is none.
    columns : dict
        Field of `LightCurve` -> names of its column, the first that the table has is taken.
    flux_zero, flux_scale : float
        Delivered flux and `flux_unit`: ``flux = flux_zero + flux_scale * delivered``.
    missing : tuple of float
        Numbers that stand for "not known" in the header.
    """

    author: str
    mission: str
    columns: dict[str, tuple[str, ...]] = field(repr=False)
    time_format: str = "btjd"
    flux_unit: str = "electron/s"
    target_key: str = "TICID"
    sector_key: str = "SECTOR"
    magnitude_key: str = "TESSMAG"
    camera_key: str = "CAMERA"
    ccd_key: str = "CCD"
    flux_zero: float = 0.0
    flux_scale: float = 1.0
    missing: tuple[float, ...] = ()


_SPOC_COLUMNS = {
    "time": ("TIME",),
    "time_correction": ("TIMECORR",),
    "cadence_no": ("CADENCENO",),
    "flux": ("PDCSAP_FLUX",),
    "flux_err": ("PDCSAP_FLUX_ERR",),
    "background": ("SAP_BKG",),
    "centroid_col": ("MOM_CENTR1",),
    "centroid_row": ("MOM_CENTR2",),
    "quality": ("QUALITY",),
}
_KEPLER = {
    "columns": _SPOC_COLUMNS | {"quality": ("SAP_QUALITY",)},
    "time_format": "bkjd",
    "target_key": "KEPLERID",
    "magnitude_key": "KEPMAG",
    "camera_key": "",
    "ccd_key": "CHANNEL",
}

SPOC = Family("spoc", "tess", _SPOC_COLUMNS)
TESS_SPOC = Family("tess-spoc", "tess", _SPOC_COLUMNS)
KEPLER = Family("kepler", "kepler", sector_key="QUARTER", **_KEPLER)
K2 = Family("k2", "k2", sector_key="CAMPAIGN", **_KEPLER)

K2SC = Family(
    "k2sc",
    "k2",
    **_KEPLER
    | {
        "columns": {
            "time": ("TIME",),
            "cadence_no": ("CADENCE",),
            "flux": ("FLUX",),
            "flux_err": ("ERROR",),
            "centroid_col": ("X",),
            "centroid_row": ("Y",),
            "quality": ("QUALITY",),
        }
    },
    sector_key="CAMPAIGN",
)
"""Flux with the pointing systematics removed and the star's own variability kept."""

QLP = Family(
    "qlp",
    "tess",
    {
        "time": ("TIME",),
        "cadence_no": ("CADENCENO",),
        "flux": ("SAP_FLUX",),
        "flux_err": ("KSPSAP_FLUX_ERR", "DET_FLUX_ERR"),
        "centroid_col": ("SAP_X",),
        "centroid_row": ("SAP_Y",),
        "quality": ("QUALITY",),
    },
    flux_unit="relative",
    missing=(-1.0,),
)
"""The background has no unit in the file and the flux is relative, so the background is not kept."""

TASOC = Family(
    "tasoc",
    "tess",
    {
        "time": ("TIME",),
        "time_correction": ("TIMECORR",),
        "cadence_no": ("CADENCENO",),
        "flux": ("FLUX_CORR",),
        "flux_err": ("FLUX_CORR_ERR",),
        "centroid_col": ("MOM_CENTR1",),
        "centroid_row": ("MOM_CENTR2",),
        "quality": ("QUALITY",),
    },
    flux_unit="relative",
    flux_zero=1.0,
    flux_scale=1e-6,
)
"""Delivered in parts per million around zero; here relative, around one. The background is in another unit."""

ELEANOR_LITE = Family(
    "eleanor-lite",
    "tess",
    {
        "time": ("TIME",),
        "time_correction": ("BARYCORR",),
        "cadence_no": ("FFIINDEX",),
        "flux": ("CORR_FLUX",),
        "flux_err": ("FLUX_ERR",),
        "centroid_col": ("X_CENTROID",),
        "centroid_row": ("Y_CENTROID",),
        "quality": ("QUALITY",),
        "raw_flux": ("RAW_FLUX",),
    },
    target_key="TIC_ID",
    magnitude_key="TMAG",
    missing=(999.0,),
)
"""FLUX_ERR is the error of RAW_FLUX; that of the corrected flux is it times CORR_FLUX / RAW_FLUX, as lightkurve
has it. The background has no unit in the file and is not kept."""

FAMILIES = (SPOC, TESS_SPOC, QLP, TASOC, ELEANOR_LITE, KEPLER, K2, K2SC)
KNOWN = ", ".join(family.author for family in FAMILIES)

_SIGNATURES: tuple[tuple[Family, dict[str, str]], ...] = (
    (QLP, {"ORIGIN": "mit/qlp"}),
    (TASOC, {"ORIGIN": "tasoc/aarhus"}),
    (ELEANOR_LITE, {"LITE": "true", "PCORIGIN": ""}),
    (K2SC, {"CREATOR": "k2sc"}),
    (K2, {"TELESCOP": "kepler", "MISSION": "k2", "CREATOR": "fluxexporter"}),
    (KEPLER, {"TELESCOP": "kepler", "CREATOR": "fluxexporter"}),
    (SPOC, {"TELESCOP": "tess", "CREATOR": "lightcurve"}),
)
"""What the primary header of each kind contains, in lower case; the first that fits counts."""

_SIGNING = tuple({key: None for _, signature in _SIGNATURES for key in signature})


def recognise(primary: Header, cadence_s: float | None) -> Family | None:
    """Kind of a product, from its primary header; None where larun does not know it.

    SPOC's target and full-frame light curves differ in nothing but the cadence.
    """
    family = _signed(primary.cards(_SIGNING))
    long = cadence_s is not None and cadence_s > SHORTEST_FFI_CADENCE_S
    return TESS_SPOC if family is SPOC and long else family


@lru_cache(maxsize=64)
def _signed(cards: bytes) -> Family | None:
    """Family with a signature in these cards, which are the same in all files of a kind."""
    header = Header(cards)
    for family, signature in _SIGNATURES:
        if all(key in header and part in header.text(key).lower() for key, part in signature.items()):
            return family
    return None
