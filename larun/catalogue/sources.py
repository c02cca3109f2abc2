"""The catalogues that larun knows: where each comes from, what is asked for, and what its columns mean."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from larun.errors import InputError
from larun.paths import Product
from larun.schema import KNOWN_COLUMNS, STELLAR_COLUMNS, Column

_EXOPLANET_ARCHIVE = (
    "This research has made use of the NASA Exoplanet Archive, operated by Caltech under NASA contract."
)
_VIZIER = "This research has made use of the VizieR catalogue access tool, CDS, Strasbourg (10.26093/cds/vizier)."


@dataclass(frozen=True, slots=True)
class Field:
    """One column of a snapshot, and what services and files call it.

    Parameters
    ----------
    column : str
        Column of the snapshot, one of `Catalogue.columns`.
    names : tuple of str
        Names in the service's reply and in the files that people download; the first one that is there counts,
        upper and lower case being the same.
    kind : str
        How a value is read, a key of `larun.catalogue.normalise.READERS`.
    required : bool
        Whether a table without it is refused.
    """

    column: str
    names: tuple[str, ...]
    kind: str = "number"
    required: bool = False


@dataclass(frozen=True, slots=True)
class Catalogue:
    """One catalogue.

    Parameters
    ----------
    name : str
        Name in settings, paths and tables.
    title : str
        What it is, for people.
    service : str
        ``exoplanet_archive``, ``vizier``, ``exofop`` or ``mast``.
    query : str
        ADQL, ``{radius_deg}`` being the radius of matches by position; the path of the file below the service's
        address; or the name of the service at MAST.
    fields : tuple of Field
        What becomes of the reply's columns.
    credit : str
        Acknowledgement that its providers ask for, and the licence where one is stated.
    columns : tuple of Column
        Columns of the snapshot.
    disposition : str
        What every object of it is, where no column says so.
    stars_per_request : int
        Stars of one request, where the catalogue is only asked about given stars; 0 where it is taken whole.
    leave_out : tuple of (str, tuple of str)
        Column of the reply, and values of it whose rows are no objects.
    """

    name: str
    title: str
    service: str
    query: str
    fields: tuple[Field, ...]
    credit: str
    columns: tuple[Column, ...] = KNOWN_COLUMNS
    disposition: str = ""
    stars_per_request: int = 0
    leave_out: tuple[str, tuple[str, ...]] = ("", ())

    @property
    def holds_objects(self) -> bool:
        """Whether stars can be matched with it; the others hold parameters of the stars themselves."""
        return self.columns is KNOWN_COLUMNS

    def snapshot_name(self, product: Product | None) -> str:
        """Name of its snapshot; one that is asked about given stars has one per sector and pipeline."""
        if not self.stars_per_request:
            return self.name
        return f"{self.name}-{re.sub('[^a-z0-9]+', '-', str(product))}"

    def has_snapshot(self, name: str) -> bool:
        """Whether a snapshot of this name is one of this catalogue."""
        return name.startswith(f"{self.name}-") if self.stars_per_request else name == self.name


_PLANETS = Catalogue(
    name="planets",
    title="confirmed planets, NASA Exoplanet Archive (pscomppars)",
    service="exoplanet_archive",
    query="select pl_name,tic_id,ra,dec,pl_orbper,pl_orbpererr1,pl_tranmid,pl_trandur,pl_trandep from pscomppars",
    fields=(
        Field("object", ("pl_name",), "text", required=True),
        Field("tic", ("tic_id",), "tic", required=True),
        Field("ra", ("ra",), "ra", required=True),
        Field("dec", ("dec",), "dec", required=True),
        Field("period_d", ("pl_orbper",), "period", required=True),
        Field("period_err_d", ("pl_orbpererr1",), "positive"),
        Field("t0_btjd", ("pl_tranmid",), "epoch"),
        Field("duration_h", ("pl_trandur",), "positive"),
        Field("depth_ppm", ("pl_trandep",), "percent"),
    ),
    disposition="CP",
    credit=f"{_EXOPLANET_ARCHIVE} doi:10.26133/NEA13",
)

_TOI = Catalogue(
    name="toi",
    title="TESS Objects of Interest, NASA Exoplanet Archive (toi) or ExoFOP",
    service="exoplanet_archive",
    query="select toi,tid,ra,dec,tfopwg_disp,pl_orbper,pl_orbpererr1,pl_tranmid,pl_trandurh,pl_trandep from toi",
    fields=(
        Field("object", ("toi",), "toi", required=True),
        Field("tic", ("tid", "TIC ID"), "tic", required=True),
        Field("ra", ("ra",), "ra", required=True),
        Field("dec", ("dec",), "dec", required=True),
        Field("disposition", ("tfopwg_disp", "TFOPWG Disposition"), "text", required=True),
        Field("period_d", ("pl_orbper", "Period (days)"), "period", required=True),
        Field("period_err_d", ("pl_orbpererr1", "Period (days) err"), "positive"),
        Field("t0_btjd", ("pl_tranmid", "Epoch (BJD)"), "epoch"),
        Field("duration_h", ("pl_trandurh", "Duration (hours)"), "positive"),
        Field("depth_ppm", ("pl_trandep", "Depth (ppm)"), "positive"),
    ),
    credit=f"{_EXOPLANET_ARCHIVE} doi:10.26134/ExoFOP5",
)

_CTOI = Catalogue(
    name="ctoi",
    title="community TESS Objects of Interest, ExoFOP",
    service="exofop",
    query="tess/download_ctoi.php?sort=ctoi&output=csv",
    fields=(
        Field("object", ("CTOI",), "ctoi", required=True),
        Field("tic", ("TIC ID",), "tic", required=True),
        Field("ra", ("RA",), "ra", required=True),
        Field("dec", ("Dec",), "dec", required=True),
        Field("disposition", ("User Disposition",), "text", required=True),
        Field("period_d", ("Period (days)",), "period", required=True),
        Field("period_err_d", ("Period (days) Error",), "positive"),
        Field("t0_btjd", ("Transit Epoch (BJD)", "Midpoint (BJD)"), "epoch"),
        Field("duration_h", ("Duration (hrs)",), "positive"),
        Field("depth_ppm", ("Depth ppm",), "positive"),
    ),
    credit="This research has made use of the Exoplanet Follow-up Observation Program website. doi:10.26134/ExoFOP5",
)

_TESS_EB = Catalogue(
    name="tess-eb",
    title="TESS eclipsing binaries in sectors 1-26, Prsa et al. 2022 (VizieR J/ApJS/258/16)",
    service="vizier",
    query='SELECT * FROM "J/ApJS/258/16/tess-ebs"',
    fields=(
        Field("object", ("TIC",), "star", required=True),
        Field("tic", ("TIC",), "tic", required=True),
        Field("ra", ("RAJ2000",), "ra", required=True),
        Field("dec", ("DEJ2000",), "dec", required=True),
        Field("period_d", ("Per",), "period", required=True),
        Field("period_err_d", ("e_Per",), "positive"),
        # VizieR has served this column under the second name too.
        Field("t0_btjd", ("BJD0", "_tab1_10"), "epoch"),
    ),
    disposition="EB",
    credit=f"Prsa et al. 2022, ApJS 258, 16 (doi:10.3847/1538-4365/ac324a). {_VIZIER} Non-commercial use.",
)

_VSX = Catalogue(
    name="vsx",
    title="AAVSO International Variable Star Index (VizieR B/vsx), around the stars of a sector",
    service="vizier",
    query=(
        'SELECT v."Name", v."V", v."RAJ2000", v."DEJ2000", v."Type", v."Epoch", v."Period" '
        'FROM TAP_UPLOAD.stars AS s JOIN "B/vsx/vsx" AS v '
        "ON 1=CONTAINS(POINT('ICRS', v.\"RAJ2000\", v.\"DEJ2000\"), CIRCLE('ICRS', s.ra, s.dec, {radius_deg}))"
    ),
    fields=(
        Field("object", ("Name",), "text", required=True),
        Field("ra", ("RAJ2000",), "ra", required=True),
        Field("dec", ("DEJ2000",), "dec", required=True),
        Field("disposition", ("Type",), "text", required=True),
        Field("period_d", ("Period",), "period", required=True),
        Field("t0_btjd", ("Epoch",), "epoch"),
    ),
    stars_per_request=2000,
    # 2: found not to vary; 3: the same object under another name.
    leave_out=("V", ("2", "3")),
    credit=f"Watson et al. 2006, SASS 25, 47; the International Variable Star Index (VSX) of the AAVSO. {_VIZIER}",
)

_TIC = Catalogue(
    name="tic",
    title="parameters of a sector's stars, TESS Input Catalog (MAST)",
    service="mast",
    query="Mast.Catalogs.Filtered.Tic.Rows",
    fields=(
        Field("tic", ("ID",), "tic", required=True),
        Field("ra", ("ra",), "ra", required=True),
        Field("dec", ("dec",), "dec", required=True),
        Field("tmag", ("Tmag",), required=True),
        Field("teff", ("Teff",), "positive"),
        Field("teff_err", ("e_Teff",), "positive"),
        Field("logg", ("logg",)),
        Field("radius", ("rad",), "positive"),
        Field("radius_err", ("e_rad",), "positive"),
        Field("mass", ("mass",), "positive"),
        Field("mass_err", ("e_mass",), "positive"),
        Field("density", ("rho",), "positive"),
        Field("contamination", ("contratio",)),
        Field("luminosity_class", ("lumclass",), "text"),
        Field("tic_disposition", ("disposition",), "text"),
    ),
    columns=STELLAR_COLUMNS,
    stars_per_request=500,
    credit="Stassun et al. 2019, AJ 158, 138; Paegert et al. 2021, arXiv:2108.04778. Data from MAST at STScI.",
)

CATALOGUES: dict[str, Catalogue] = {c.name: c for c in (_PLANETS, _TOI, _CTOI, _TESS_EB, _VSX, _TIC)}
"""All catalogues by name, in the order in which they are asked and shown."""


def choose(names: Sequence[str]) -> list[Catalogue]:
    """Catalogues of the given names, in the order of `CATALOGUES`.

    Raises
    ------
    InputError
        There is no catalogue of a name; says which there are.
    """
    unknown = [name for name in names if name not in CATALOGUES]
    if unknown:
        raise InputError(f"there is no catalogue {', '.join(unknown)}; the catalogues are {', '.join(CATALOGUES)}")
    return [catalogue for name, catalogue in CATALOGUES.items() if name in names]
