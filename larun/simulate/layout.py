"""Header cards and columns of a SPOC 2-minute light-curve file, in the mission's order.

TESS Science Data Products Description Document (EXP-TESS-ARC-ICD-0014), section 5. Only the layout is the
mission's: every value is filled in by the simulation, and metrics of the mission's pipeline stay undefined.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

BLOCK = 2880
CARD = 80


class Undefined:
    """Value of a keyword that the simulation has nothing to say about."""


class PerFile:
    """Value that differs from file to file and is given when the header is written."""


UNDEFINED, PER_FILE = Undefined(), PerFile()
ZERO_CHECKSUM = "0" * 16
_CHECKSUM_COMMENT = "HDU checksum"

Template = tuple[tuple[str, Any, str], ...]

COLUMNS: tuple[tuple[str, str, str, str | None, str, str], ...] = (
    ("TIME", ">f8", "D", "BJD - 2457000, days", "D14.7", "column title: data time stamps"),
    ("TIMECORR", ">f4", "E", "d", "E14.7", "column title: barycentric correction"),
    ("CADENCENO", ">i4", "J", None, "I10", "column title: unique cadence number"),
    ("SAP_FLUX", ">f4", "E", "e-/s", "E14.7", "column title: aperture photometry flux"),
    ("SAP_FLUX_ERR", ">f4", "E", "e-/s", "E14.7", "column title: aperture phot. flux error"),
    ("SAP_BKG", ">f4", "E", "e-/s", "E14.7", "column title: aperture phot. background flux"),
    ("SAP_BKG_ERR", ">f4", "E", "e-/s", "E14.7", "column title: ap. phot. background flux error"),
    ("PDCSAP_FLUX", ">f4", "E", "e-/s", "E14.7", "column title: aperture phot. PDC flux"),
    ("PDCSAP_FLUX_ERR", ">f4", "E", "e-/s", "E14.7", "column title: ap. phot. PDC flux error"),
    ("QUALITY", ">i4", "J", None, "B16.16", "column title: aperture photometry quality flag"),
    ("PSF_CENTR1", ">f8", "D", "pixel", "F10.5", "column title: PSF-fitted column centroid"),
    ("PSF_CENTR1_ERR", ">f4", "E", "pixel", "E14.7", "column title: PSF-fitted column error"),
    ("PSF_CENTR2", ">f8", "D", "pixel", "F10.5", "column title: PSF-fitted row centroid"),
    ("PSF_CENTR2_ERR", ">f4", "E", "pixel", "E14.7", "column title: PSF-fitted row error"),
    ("MOM_CENTR1", ">f8", "D", "pixel", "F10.5", "column title: moment-derived column centroid"),
    ("MOM_CENTR1_ERR", ">f4", "E", "pixel", "E14.7", "column title: moment-derived column error"),
    ("MOM_CENTR2", ">f8", "D", "pixel", "F10.5", "column title: moment-derived row centroid"),
    ("MOM_CENTR2_ERR", ">f4", "E", "pixel", "E14.7", "column title: moment-derived row error"),
    ("POS_CORR1", ">f4", "E", "pixels", "E14.7", "column title: column position correction"),
    ("POS_CORR2", ">f4", "E", "pixels", "E14.7", "column title: row position correction"),
)
"""Name, type in the file, TFORM, TUNIT, TDISP, comment."""

RECORD = np.dtype([(name, code) for name, code, *_ in COLUMNS])
"""One row of the table, 100 bytes."""

_FORM_COMMENT = {"D": "64-bit floating point", "E": "32-bit floating point", "J": "signed 32-bit integer"}
_UNIT_COMMENT = {
    "BJD - 2457000, days": "Barycenter corrected TESS Julian",
    "d": "Days",
    "e-/s": "electrons per second",
    "pixel": "pixel",
    "pixels": "pixel",
}

_TARGET: Template = (
    ("SIMDATA", True, "file is based on simulated data"),
    ("TELESCOP", "TESS", "telescope"),
    ("INSTRUME", "TESS Photometer", "detector type"),
    ("OBJECT", PER_FILE, "string version of target id"),
    ("TICID", PER_FILE, "unique tess target identifier"),
    ("RADESYS", "ICRS", "reference frame of celestial coordinates"),
    ("RA_OBJ", PER_FILE, "[deg] right ascension"),
    ("DEC_OBJ", PER_FILE, "[deg] declination"),
    ("EQUINOX", 2000.0, "equinox of celestial coordinate system"),
)

PRIMARY: Template = (
    ("SIMPLE", True, "conforms to FITS standards"),
    ("BITPIX", 8, "array data type"),
    ("NAXIS", 0, "number of array dimensions"),
    ("EXTEND", True, "file contains extensions"),
    ("NEXTEND", 2, "number of standard extensions"),
    ("EXTNAME", "PRIMARY", "name of extension"),
    ("EXTVER", 1, "extension version number (not format version)"),
    ("SIMDATA", True, "file is based on simulated data"),
    ("ORIGIN", "larun simulation", "made by a program, not observed"),
    ("DATE", PER_FILE, "simulated date of release"),
    ("TSTART", PER_FILE, "observation start time in BTJD"),
    ("TSTOP", PER_FILE, "observation stop time in BTJD"),
    ("DATE-OBS", PER_FILE, "TSTART as UTC calendar date"),
    ("DATE-END", PER_FILE, "TSTOP as UTC calendar date"),
    ("CREATOR", "larun LightCurveExporterPipelineModule", "layout it imitates"),
    ("PROCVER", PER_FILE, "SW version"),
    ("FILEVER", "1.0", "file format version"),
    ("TIMVERSN", "OGIP/93-003", "OGIP memo number for file format"),
    ("TELESCOP", "TESS", "telescope"),
    ("INSTRUME", "TESS Photometer", "detector type"),
    ("DATA_REL", 0, "data release version number"),
    ("OBJECT", PER_FILE, "string version of target id"),
    ("TICID", PER_FILE, "unique tess target identifier"),
    ("SECTOR", PER_FILE, "Observing sector"),
    ("CAMERA", PER_FILE, "Camera number"),
    ("CCD", PER_FILE, "CCD chip number"),
    ("PXTABLE", 0, "pixel table id"),
    ("RADESYS", "ICRS", "reference frame of celestial coordinates"),
    ("RA_OBJ", PER_FILE, "[deg] right ascension"),
    ("DEC_OBJ", PER_FILE, "[deg] declination"),
    ("EQUINOX", 2000.0, "equinox of celestial coordinate system"),
    ("PMRA", PER_FILE, "[mas/yr] RA proper motion"),
    ("PMDEC", PER_FILE, "[mas/yr] Dec proper motion"),
    ("PMTOTAL", PER_FILE, "[mas/yr] total proper motion"),
    ("TESSMAG", PER_FILE, "[mag] TESS magnitude"),
    ("TEFF", PER_FILE, "[K] Effective temperature"),
    ("LOGG", PER_FILE, "[cm/s2] log10 surface gravity"),
    ("MH", PER_FILE, "[log10([M/H])] metallicity"),
    ("RADIUS", PER_FILE, "[solar radii] stellar radius"),
    ("TICVER", "simulated", "TIC version"),
    ("CRMITEN", True, "spacecraft cosmic ray mitigation enabled"),
    ("CRBLKSZ", 10, "[exposures] s/c cosmic ray mitigation block siz"),
    ("CRSPOC", False, "SPOC cosmic ray cleaning enabled"),
    ("CHECKSUM", ZERO_CHECKSUM, _CHECKSUM_COMMENT),
)

_GAINS = {"A": 5.25, "B": 5.17, "C": 5.12, "D": 5.2}
_BLACK_LEVEL = 6500


def _table_template() -> Template:
    cards: list[tuple[str, Any, str]] = [
        ("XTENSION", "BINTABLE", "marks the beginning of a new HDU"),
        ("BITPIX", 8, "array data type"),
        ("NAXIS", 2, "number of array dimensions"),
        ("NAXIS1", RECORD.itemsize, "length of first array dimension"),
        ("NAXIS2", PER_FILE, "length of second array dimension"),
        ("PCOUNT", 0, "group parameter count (not used)"),
        ("GCOUNT", 1, "group count (not used)"),
        ("TFIELDS", len(COLUMNS), "number of table fields"),
    ]
    for number, (name, _, form, unit, display, comment) in enumerate(COLUMNS, start=1):
        cards.append((f"TTYPE{number}", name, comment))
        cards.append((f"TFORM{number}", form, f"column format: {_FORM_COMMENT[form]}"))
        if unit is not None:
            sigma = " (1-sigma)" if name.endswith("_ERR") else ""
            cards.append((f"TUNIT{number}", unit, f"column units: {_UNIT_COMMENT[unit]}{sigma}"))
        cards.append((f"TDISP{number}", display, "column display format"))
    return (*cards, *_EXTENSION, *_TARGET, *_TIMES, *_DETECTOR, *_PIPELINE, *_AFTER_CHECKSUM)


_EXTENSION: Template = (
    ("INHERIT", True, "inherit the primary header"),
    ("EXTNAME", "LIGHTCURVE", "name of extension"),
    ("EXTVER", 1, "extension version number (not format version)"),
)
_TIMES: Template = (
    ("EXPOSURE", PER_FILE, "[d] time on source"),
    ("TIMEREF", "SOLARSYSTEM", "barycentric correction applied to times"),
    ("TASSIGN", "SPACECRAFT", "where time is assigned"),
    ("TIMESYS", "TDB", "time system is Barycentric Dynamical Time (TDB)"),
    ("BJDREFI", 2457000, "integer part of BTJD reference date"),
    ("BJDREFF", 0.0, "fraction of the day in BTJD reference date"),
    ("TIMEUNIT", "d", "time unit for TIME, TSTART and TSTOP"),
    ("TELAPSE", PER_FILE, "[d] TSTOP - TSTART"),
    ("LIVETIME", PER_FILE, "[d] TELAPSE multiplied by DEADC"),
    ("TSTART", PER_FILE, "observation start time in BTJD"),
    ("TSTOP", PER_FILE, "observation stop time in BTJD"),
    ("DATE-OBS", PER_FILE, "TSTART as UTC calendar date"),
    ("DATE-END", PER_FILE, "TSTOP as UTC calendar date"),
)
_DETECTOR: Template = (
    ("DEADC", PER_FILE, "deadtime correction"),
    ("TIMEPIXR", 0.5, "bin time beginning=0 middle=0.5 end=1"),
    ("TIERRELA", 1.16e-05, "[d] relative time error"),
    ("INT_TIME", 1.98, "[s] photon accumulation time per frame"),
    ("READTIME", 0.02, "[s] readout time per frame"),
    ("FRAMETIM", 2.0, "[s] frame time (INT_TIME + READTIME)"),
    ("NUM_FRM", PER_FILE, "number of frames per time stamp"),
    ("TIMEDEL", PER_FILE, "[d] time resolution of data"),
    ("BACKAPP", True, "background is subtracted"),
    ("DEADAPP", True, "deadtime applied"),
    ("VIGNAPP", True, "vignetting or collimator correction applied"),
    *((f"GAIN{output}", gain, f"[electrons/count] CCD output {output} gain") for output, gain in _GAINS.items()),
    *((f"READNOI{output}", PER_FILE, f"[electrons] read noise CCD output {output}") for output in _GAINS),
    ("NREADOUT", PER_FILE, "number of read per cadence"),
    ("FXDOFF", 209700, "compression fixed offset"),
)
_PIPELINE: Template = (
    ("CDPP0_5", PER_FILE, "RMS CDPP on 0.5-hr time scales"),
    ("CDPP1_0", PER_FILE, "RMS CDPP on 1.0-hr time scales"),
    ("CDPP2_0", PER_FILE, "RMS CDPP on 2.0-hr time scales"),
    ("CROWDSAP", PER_FILE, "Ratio of target flux to total flux in op. ap."),
    ("FLFRCSAP", PER_FILE, "Frac. of target flux w/in the op. aperture"),
    ("NSPSDDET", 0, "Number of SPSDs detected"),
    ("NSPSDCOR", 0, "Number of SPSDs corrected"),
    ("PDCVAR", UNDEFINED, "Target variability"),
    ("PDCMETHD", "simulated", "PDC algorithm used for target"),
    ("NUMBAND", 3, "Number of scale bands"),
    *(
        card
        for band in (1, 2, 3)
        for card in (
            (f"FITTYPE{band}", "simulated", f"Fit type used for band {band}"),
            (f"PR_GOOD{band}", UNDEFINED, f"Prior goodness for band {band}"),
            (f"PR_WGHT{band}", UNDEFINED, f"Prior weight for band {band}"),
        )
    ),
    ("PDC_TOT", UNDEFINED, "PDC total goodness metric for target"),
    ("PDC_TOTP", UNDEFINED, "PDC_TOT percentile compared to mod/out"),
    ("PDC_COR", UNDEFINED, "PDC correlation goodness metric for target"),
    ("PDC_CORP", UNDEFINED, "PDC_COR percentile compared to mod/out"),
    ("PDC_VAR", UNDEFINED, "PDC variability goodness metric for target"),
    ("PDC_VARP", UNDEFINED, "PDC_VAR percentile compared to mod/out"),
    ("PDC_NOI", UNDEFINED, "PDC noise goodness metric for target"),
    ("PDC_NOIP", UNDEFINED, "PDC_NOI percentile compared to mod/out"),
    ("PDC_EPT", UNDEFINED, "PDC earth point goodness metric for target"),
    ("PDC_EPTP", UNDEFINED, "PDC_EPT percentile compared to mod/out"),
    ("CHECKSUM", ZERO_CHECKSUM, _CHECKSUM_COMMENT),
)
_AFTER_CHECKSUM: Template = (
    ("TMOFST", PER_FILE, "(s) readout delay for this camera and ccd"),
    *((f"MEANBLC{output}", _BLACK_LEVEL, f"[count] FSW mean black level CCD output {output}") for output in _GAINS),
)
LIGHT_CURVE: Template = _table_template()

APERTURE: Template = (
    ("XTENSION", "IMAGE", "marks the beginning of a new HDU"),
    ("BITPIX", 32, "array data type"),
    ("NAXIS", 2, "number of array dimensions"),
    ("NAXIS1", PER_FILE, "length of first array dimension"),
    ("NAXIS2", PER_FILE, "length of second array dimension"),
    ("PCOUNT", 0, "group parameter count (not used)"),
    ("GCOUNT", 1, "group count (not used)"),
    ("INHERIT", True, "inherit the primary header"),
    ("EXTNAME", "APERTURE", "name of extension"),
    ("EXTVER", 1, "extension version number (not format version)"),
    *_TARGET,
    ("WCSAXES", 2, "number of WCS axes"),
    ("CTYPE1", "RA---TAN", "right ascension coordinate type"),
    ("CTYPE2", "DEC--TAN", "declination coordinate type"),
    ("CRPIX1", PER_FILE, "[pixel] reference pixel along image axis 1"),
    ("CRPIX2", PER_FILE, "[pixel] reference pixel along image axis 2"),
    ("CRVAL1", PER_FILE, "[deg] right ascension at reference pixel"),
    ("CRVAL2", PER_FILE, "[deg] declination at reference pixel"),
    ("CUNIT1", "deg", "physical unit in column dimension"),
    ("CUNIT2", "deg", "physical unit in row dimension"),
    ("CDELT1", -0.00586, "[deg] pixel scale in RA dimension"),
    ("CDELT2", 0.00586, "[deg] pixel scale in Dec dimension"),
    ("PC1_1", 1.0, "linear transformation element cos(th)"),
    ("PC1_2", 0.0, "linear transformation element -sin(th)"),
    ("PC2_1", 0.0, "linear transformation element sin(th)"),
    ("PC2_2", 1.0, "linear transformation element cos(th)"),
    ("WCSNAMEP", "PHYSICAL", "name of world coordinate system alternate P"),
    ("WCSAXESP", 2, "number of WCS physical axes"),
    ("CTYPE1P", "RAWX", "physical WCS axis 1 type CCD col"),
    ("CUNIT1P", "PIXEL", "physical WCS axis 1 unit"),
    ("CRPIX1P", 1, "reference CCD column"),
    ("CRVAL1P", PER_FILE, "value at reference CCD column"),
    ("CDELT1P", 1.0, "physical WCS axis 1 step"),
    ("CTYPE2P", "RAWY", "physical WCS axis 2 type CCD row"),
    ("CUNIT2P", "PIXEL", "physical WCS axis 2 units"),
    ("CRPIX2P", 1, "reference CCD row"),
    ("CRVAL2P", PER_FILE, "value at reference CCD row"),
    ("CDELT2P", 1.0, "physical WCS axis 2 step"),
    ("NPIXSAP", PER_FILE, "Number of pixels in optimal aperture"),
    ("NPIXMISS", 0, "Number of op. aperture pixels not collected"),
    ("CHECKSUM", ZERO_CHECKSUM, _CHECKSUM_COMMENT),
)


def header(template: Template, values: dict[str, Any]) -> bytes:
    """Header of one HDU, padded to whole blocks.

    Parameters
    ----------
    template : Template
        One of `PRIMARY`, `LIGHT_CURVE`, `APERTURE`.
    values : dict
        A value for each keyword of the template that is `PER_FILE`.

    Raises
    ------
    KeyError
        A value is missing.
    """
    parts = [
        part if isinstance(part, str) else card(values.get(f"{part[0]}:name", part[0]), values[part[0]], part[1])
        for part in _compiled(template)
    ]
    text = "".join(parts) + "END"
    return text.ljust(-(-len(text) // BLOCK) * BLOCK).encode("ascii")


@functools.cache
def _compiled(template: Template) -> tuple[str | tuple[str, str], ...]:
    """Cards that never change as text, the others as (keyword, comment)."""
    return tuple(
        (keyword, comment) if isinstance(value, PerFile) else card(keyword, value, comment)
        for keyword, value, comment in template
    )


def card(keyword: str, value: Any, comment: str) -> str:
    """One header card in fixed format, 80 characters (FITS 4.0, section 4.2)."""
    if isinstance(value, Undefined):
        text = ""
    elif isinstance(value, str):
        text = f"'{value:<8}'"
    elif isinstance(value, bool):
        text = "T" if value else "F"
    elif isinstance(value, int):
        text = str(value)
    else:
        text = f"{value:.16G}"
        if not set(text) & {".", "E"}:
            text += ".0"
    justified = f"{text:<20}" if isinstance(value, str) else f"{text:>20}"
    return f"{keyword:<8}= {justified} / {comment}"[:CARD].ljust(CARD)
