"""Official file names of light-curve products: what they say, and where MAST and its bucket keep them.

A name outlives damage to the header, so that a product whose header cannot be read still has a target.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from larun.errors import InputError
from larun.paths import Product

_KEPLER_QUARTERS = {
    "2009131105131": 0, "2009166043257": 1, "2009259160929": 2, "2009350155506": 3, "2010009091648": 4,
    "2010078095331": 4, "2010174085026": 5, "2010265121752": 6, "2010355172524": 7, "2011073133259": 8,
    "2011177032512": 9, "2011271113734": 10, "2012004120508": 11, "2012088054726": 12, "2012179063303": 13,
    "2012277125453": 14, "2013011073258": 15, "2013098041711": 16, "2013131215648": 17,
}  # fmt: skip
"""Time stamps of the long-cadence files (archive.stsci.edu/kepler/software/get_kepler.py).

Quarter 4 has a second for the failed module 3.
"""

KEPLER_LONG_CADENCE_S, KEPLER_SHORT_CADENCE_S = 1765, 59
_FFI_CADENCES_S = ((26, 1800), (55, 600))
"""Last sector with this cadence of full-frame images; 200 s from then on."""
FFI_AUTHORS = frozenset({"tess-spoc", "qlp", "eleanor-lite"})
"""Pipelines whose light curves come from full-frame images alone."""


@dataclass(frozen=True, slots=True)
class OfficialName:
    """What an official file name says; None where it says nothing.

    Parameters
    ----------
    mission, author : str
        As in `larun.paths.Product`.
    target_id : int
        TIC, KIC or EPIC number.
    sector : int or None
        Sector, quarter or campaign.
    cadence_s : int
        Nominal time between cadences, seconds.
    """

    mission: str
    author: str
    target_id: int
    sector: int | None
    cadence_s: int

    @property
    def product(self) -> Product | None:
        """Product that a file of this name belongs to; None where the name gives no sector."""
        return None if self.sector is None else Product(self.mission, self.sector, self.author, self.cadence_s)


_PATTERNS = tuple(
    (re.compile(pattern), mission, author)
    for pattern, mission, author in (
        (r"tess\d{13}-s(?P<sector>\d{4})-(?P<id>\d{16})-\d{4}-(?P<kind>s|a_fast)[-_]lc\.fits", "tess", "spoc"),
        (r"hlsp_tess-spoc_tess_phot_(?P<id>\d{16})-s(?P<sector>\d{4})_tess_v\d+_lc\.fits", "tess", "tess-spoc"),
        (r"hlsp_qlp_tess_ffi_s(?P<sector>\d{4})-(?P<id>\d{16})_tess_v\d+_llc\.fits", "tess", "qlp"),
        (
            r"hlsp_tasoc_tess_(?:ffi|tpf)_tic(?P<id>\d{11})-s(?P<sector>\d{4})-cam\d-ccd\d-c(?P<cadence>\d{4})_tess_.+-lc\.fits",
            "tess",
            "tasoc",
        ),
        (
            r"hlsp_gsfc-eleanor-lite_tess_ffi_s(?P<sector>\d{4})-(?P<id>\d{16})_tess_v[\d.]+_lc\.fits",
            "tess",
            "eleanor-lite",
        ),
        (r"kplr(?P<id>\d{9})-(?P<stamp>\d{13})_(?P<kind>llc|slc)\.fits", "kepler", "kepler"),
        (r"ktwo(?P<id>\d{9})-c(?P<campaign>\d{2,3})_(?P<kind>llc|slc)\.fits", "k2", "k2"),
        (r"hlsp_k2sc_k2_(?P<kind>llc)_(?P<id>\d{9})-c(?P<campaign>\d{2,3})_kepler_v\d+_lc\.fits", "k2", "k2sc"),
    )
)


def parse(name: str) -> OfficialName | None:
    """What a file name says; None where it follows no official pattern."""
    for pattern, mission, author in _PATTERNS:
        match = pattern.fullmatch(name)
        if match:
            said = match.groupdict()
            sector = _sector(said)
            return OfficialName(mission, author, int(said["id"]), sector, _cadence(said, mission, author, sector))
    return None


def ffi_cadence_s(sector: int) -> int:
    """Nominal time between the full-frame images of a TESS sector, seconds."""
    return next((cadence for last, cadence in _FFI_CADENCES_S if sector <= last), 200)


def name_of(product: Product, target_id: int, example: str = "") -> str:
    """Official name of a target's file.

    The time stamp and the configuration number in SPOC's names are constant within a sector, so that any name of the
    sector gives all others.

    Parameters
    ----------
    product : Product
        What the file holds.
    target_id : int
        TIC number.
    example : str
        Name of any other file of this product; needed for SPOC's own products.

    Raises
    ------
    InputError
        The rule is not known for this product, or the example is no name of it.
    """
    if product.author == "tess-spoc":
        return f"hlsp_tess-spoc_tess_phot_{target_id:016d}-s{product.sector:04d}_tess_v1_lc.fits"
    if product.author == "qlp":
        return f"hlsp_qlp_tess_ffi_s{product.sector:04d}-{target_id:016d}_tess_v01_llc.fits"
    said = parse(example)
    if product.author != "spoc" or said is None or said.product != product:
        raise InputError(f"the name of TIC {target_id} in {product} cannot be told from {example!r}")
    return re.sub(r"-\d{16}-", f"-{target_id:016d}-", example)


def mast_uri(name: str) -> str:
    """URI under which MAST keeps a file, such as ``mast:TESS/product/tess...-s_lc.fits``.

    Raises
    ------
    InputError
        No place is known for such a name.
    """
    said = _placed(name)
    return f"mast:TESS/product/{name}" if said.author == "spoc" else f"mast:HLSP/{_hlsp_folder(said)}/{name}"


def bucket_key(name: str) -> str:
    """Key of a file in the public bucket of the mission, such as ``tess/public/tid/s0001/0000/...``.

    Raises
    ------
    InputError
        No place is known for such a name.
    """
    said = _placed(name)
    if said.author == "spoc":
        return f"tess/public/tid/s{said.sector:04d}/{_digits(said.target_id)}/{name}"
    return f"mast/hlsp/{_hlsp_folder(said)}/{name}"


def bucket_folder(author: str) -> str:
    """Prefix of the sectors of a pipeline in the public bucket.

    Raises
    ------
    InputError
        No place is known for such a pipeline.
    """
    folders = {"spoc": "tess/public/tid/", "tess-spoc": "mast/hlsp/tess-spoc/", "qlp": "mast/hlsp/qlp/"}
    if author not in folders:
        raise InputError(f"the public bucket is known to hold {', '.join(folders)}, not {author!r}")
    return folders[author]


def _placed(name: str) -> OfficialName:
    said = parse(name)
    if said is None or said.author not in ("spoc", "tess-spoc", "qlp"):
        raise InputError(
            f"{name!r} is no official name of a light curve of SPOC, TESS-SPOC or QLP; MAST and its bucket keep "
            "files under those"
        )
    return said


def _hlsp_folder(said: OfficialName) -> str:
    target = "target/" if said.author == "tess-spoc" else ""
    return f"{said.author}/s{said.sector:04d}/{target}{_digits(said.target_id)}"


def _digits(target_id: int) -> str:
    digits = f"{target_id:016d}"
    return "/".join(digits[i : i + 4] for i in range(0, 16, 4))


def _sector(said: dict[str, str]) -> int | None:
    if "sector" in said:
        return int(said["sector"])
    if "stamp" in said:
        return _KEPLER_QUARTERS.get(said["stamp"])
    campaign = int(said["campaign"])
    # Campaigns that were observed in two parts are numbered 91, 92, 101, 102, 111, 112 in names; the header decides.
    return campaign if campaign < 20 else None


def _cadence(said: dict[str, str], mission: str, author: str, sector: int | None) -> int:
    if mission != "tess":
        return KEPLER_SHORT_CADENCE_S if said["kind"] == "slc" else KEPLER_LONG_CADENCE_S
    if author == "spoc":
        return 120 if said["kind"] == "s" else 20
    if "cadence" in said:
        return int(said["cadence"])
    return ffi_cadence_s(sector)
