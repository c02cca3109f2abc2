"""Small FITS products in the official SPOC layout, written by astropy."""

import io

import numpy as np
import pytest
from astropy.io import fits

SPOC_COLUMNS = (
    "TIME D, TIMECORR E, CADENCENO J, SAP_FLUX E, SAP_FLUX_ERR E, SAP_BKG E, SAP_BKG_ERR E, PDCSAP_FLUX E, "
    "PDCSAP_FLUX_ERR E, QUALITY J, PSF_CENTR1 D, PSF_CENTR1_ERR E, PSF_CENTR2 D, PSF_CENTR2_ERR E, MOM_CENTR1 D, "
    "MOM_CENTR1_ERR E, MOM_CENTR2 D, MOM_CENTR2_ERR E, POS_CORR1 E, POS_CORR2 E"
)


def write_spoc(n=300, tic=1234, sector=1, cadence_s=120, checksum=True, header=None, columns=None, extra=None):
    """Bytes of a SPOC light curve; `header` changes the primary header, `columns` replaces values."""
    index = np.arange(n)
    values = {
        "TIME": 1325.0 + index * cadence_s / 86400,
        "TIMECORR": np.full(n, 0.001),
        "CADENCENO": 70444 + index,
        "PDCSAP_FLUX": 1000.0 + np.sin(index),
        "PDCSAP_FLUX_ERR": np.full(n, 0.5),
        "SAP_BKG": 50.0 + 0.1 * index,
        "QUALITY": np.where(index == 7, 128, 0),
        "MOM_CENTR1": 100 + 0.001 * index,
        "MOM_CENTR2": 200 - 0.001 * index,
    } | (columns or {})
    kinds = dict(item.split() for item in SPOC_COLUMNS.split(", "))
    made = [
        fits.Column(
            name, kind, array=np.asarray(values.get(name, np.zeros(n)), dtype={"D": "f8", "E": "f4", "J": "i4"}[kind])
        )
        for name, kind in kinds.items()
    ]
    primary = fits.PrimaryHDU()
    primary.header.update(
        {
            "NEXTEND": 2,
            "TELESCOP": "TESS",
            "ORIGIN": "NASA/Ames",
            "CREATOR": "1 LightCurveExporterPipelineModule",
            "OBJECT": f"TIC {tic}",
            "TICID": tic,
            "SECTOR": sector,
            "CAMERA": 2,
            "CCD": 3,
            "RA_OBJ": 12.5,
            "DEC_OBJ": -33.25,
            "TESSMAG": 9.5,
            "TEFF": 5800.0,
            "LOGG": None,
            "RADIUS": 1.1,
            "SIMDATA": False,
        }
    )
    for key, value in (header or {}).items():
        if value is ...:
            del primary.header[key]
        else:
            primary.header[key] = value
    table = fits.BinTableHDU.from_columns(made + (extra or []), name="LIGHTCURVE")
    table.header.update({"BJDREFI": 2457000, "BJDREFF": 0.0, "TIMEDEL": cadence_s / 86400, "TIMEUNIT": "d"})
    aperture = fits.ImageHDU(np.ones((11, 11), np.int32), name="APERTURE")
    buffer = io.BytesIO()
    fits.HDUList([primary, table, aperture]).writeto(buffer, checksum=checksum)
    return buffer.getvalue()


@pytest.fixture
def spoc():
    """`write_spoc`."""
    return write_spoc
