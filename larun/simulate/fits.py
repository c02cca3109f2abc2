"""Write one simulated star as a SPOC light-curve file, and name it as the mission would."""

from __future__ import annotations

import datetime as dt
import math
from typing import Any

import numpy as np

from larun import __version__
from larun.simulate import layout, noise
from larun.simulate.photometry import Photometry
from larun.units import BTJD_OFFSET_D, SECONDS_PER_DAY

_TDB_MINUS_UTC_S = 69.184
"""Since 2017, after 37 leap seconds."""
_FIRST_CONFIGURATION = 119
"""The mission's configuration number was 120 in sector 1 and grew by about one a sector."""
_COLLECTED, _IN_APERTURE, _IN_CENTROID, _IN_BACKGROUND, _OUTPUT_C = 1, 2, 8, 4, 256
_CHECKSUM_EXCLUDED = frozenset(range(0x3A, 0x41)) | frozenset(range(0x5B, 0x61))


def utc(btjd: float) -> dt.datetime:
    """Calendar date in UTC of a time in days after JD 2457000, TDB."""
    since_2000 = (btjd + BTJD_OFFSET_D - 2451544.5) * SECONDS_PER_DAY - _TDB_MINUS_UTC_S
    return dt.datetime(2000, 1, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=since_2000)


def file_name(target_id: int, sector: int, start_d: float) -> str:
    """Name of a product: ``tess{timestamp}-s{sector}-{target}-{configuration}-s_lc.fits``."""
    stamp = utc(start_d).strftime("%Y%j%H%M%S")
    return f"tess{stamp}-s{sector:04d}-{target_id:016d}-{_FIRST_CONFIGURATION + sector:04d}-s_lc.fits"


def write_fits(star: dict[str, Any], photometry: Photometry) -> bytes:
    """Build a whole file.

    Parameters
    ----------
    star : dict
        ``target_id, sector, camera, ccd, ra, dec, pm_ra, pm_dec, tmag, teff, logg, metallicity, radius,
        crowding, column, row, exposure_d, seed``.
    photometry : Photometry
        Columns.

    Returns
    -------
    bytes
        Primary header, light-curve table and aperture image, each HDU with its own CHECKSUM.
    """
    n = len(photometry.cadence_no)
    mask = aperture_mask(float(star["tmag"]))
    values = _values(star, photometry, mask)
    primary = layout.header(layout.PRIMARY, values)
    table = layout.header(layout.LIGHT_CURVE, values | {"NAXIS2": n})
    image = layout.header(layout.APERTURE, values | {"NAXIS1": mask.shape[1], "NAXIS2": mask.shape[0]})
    sizes = [len(primary), len(table), _blocks(n * layout.RECORD.itemsize), len(image), _blocks(mask.nbytes)]
    edges = np.concatenate([[0], np.cumsum(sizes)])
    file = bytearray(int(edges[-1]))
    file[edges[0] : edges[1]] = primary
    file[edges[1] : edges[2]] = table
    file[edges[3] : edges[4]] = image
    _fill(np.frombuffer(file, layout.RECORD, n, int(edges[2])), photometry)
    np.frombuffer(file, ">i4", mask.size, int(edges[4]))[:] = mask.ravel()
    for first, after_header, last in ((0, 1, 1), (1, 2, 3), (3, 4, 5)):
        _sign(file, int(edges[first]), int(edges[after_header]), int(edges[last]))
    return bytes(file)


def aperture_mask(tmag: float) -> np.ndarray:
    """Pixels of the postage stamp, (row, column) int32: collected, background, and a round optimal aperture."""
    rows = 21 if tmag < 6 else 13 if tmag < 7 else 11
    pixels = int(noise.aperture_pixels(tmag))
    row, column = np.indices((rows, 11))
    distance = np.hypot(row - rows // 2 - 0.1, column - 5 + 0.2)
    mask = np.full((rows, 11), _COLLECTED | _OUTPUT_C, np.int32)
    order = np.argsort(distance, axis=None, kind="stable")
    mask.flat[order[:pixels]] |= _IN_APERTURE | _IN_CENTROID
    mask[distance > 4.5] |= _IN_BACKGROUND
    mask.flat[order[:pixels]] &= ~_IN_BACKGROUND
    return mask


def _values(star: dict[str, Any], photometry: Photometry, mask: np.ndarray) -> dict[str, Any]:
    """Value of every keyword that differs from file to file."""
    exposure_d = star["exposure_d"]
    cadence_s = exposure_d * SECONDS_PER_DAY
    known = np.flatnonzero(np.isfinite(photometry.time))
    start = float(photometry.time[known[0]] - 0.5 * exposure_d)
    stop = float(photometry.time[known[-1]] + 0.5 * exposure_d)
    observed = int(np.isfinite(photometry.corrected).sum())
    begin, end = utc(start), utc(stop)
    share = float(noise.aperture_share(star["tmag"]))
    tmag, crowding = float(star["tmag"]), float(star["crowding"])
    cdpp = {
        f"CDPP{name}": float(noise.event_noise_ppm(tmag, hours, crowding, cadence_s))
        for name, hours in (("0_5", 0.5), ("1_0", 1.0), ("2_0", 2.0))
    }
    return {
        "DATE": (end + dt.timedelta(days=30)).strftime("%Y-%m-%d"),
        "TSTART": start,
        "TSTOP": stop,
        "DATE-OBS": begin.strftime("%Y-%m-%dT%H:%M:%S.") + f"{begin.microsecond // 1000:03d}",
        "DATE-END": end.strftime("%Y-%m-%dT%H:%M:%S.") + f"{end.microsecond // 1000:03d}",
        "PROCVER": f"larun-{__version__} seed {star['seed']}",
        "OBJECT": f"SIMULATED {star['target_id']}",
        "TICID": int(star["target_id"]),
        "SECTOR": int(star["sector"]),
        "CAMERA": int(star["camera"]),
        "CCD": int(star["ccd"]),
        "RA_OBJ": float(star["ra"]),
        "DEC_OBJ": float(star["dec"]),
        "PMRA": float(star["pm_ra"]),
        "PMDEC": float(star["pm_dec"]),
        "PMTOTAL": math.hypot(star["pm_ra"], star["pm_dec"]),
        "TESSMAG": tmag,
        "TEFF": float(star["teff"]),
        "LOGG": float(star["logg"]),
        "MH": float(star["metallicity"]),
        "RADIUS": float(star["radius"]),
        "EXPOSURE": observed * exposure_d * noise.LIVE_FRACTION,
        "TELAPSE": stop - start,
        "LIVETIME": (stop - start) * noise.LIVE_FRACTION,
        "DEADC": noise.LIVE_FRACTION,
        "NUM_FRM": round(cadence_s / noise.FRAME_S),
        "TIMEDEL": exposure_d,
        **{f"READNOI{output}": noise.READ_NOISE_E for output in "ABCD"},
        "NREADOUT": round(cadence_s / noise.FRAME_S * noise.MITIGATION),
        **cdpp,
        "CROWDSAP": crowding,
        "FLFRCSAP": share,
        "TMOFST": 0.0,
        "TMOFST:name": f"TMOFST{star['camera']}{star['ccd']}",
        "CRPIX1": 6.0 + float(star["column"]) % 1 - 0.5,
        "CRPIX2": mask.shape[0] // 2 + 1.0 + float(star["row"]) % 1 - 0.5,
        "CRVAL1": float(star["ra"]),
        "CRVAL2": float(star["dec"]),
        "CRVAL1P": int(star["column"]) - 5,
        "CRVAL2P": int(star["row"]) - mask.shape[0] // 2,
        "NPIXSAP": int((mask & _IN_APERTURE > 0).sum()),
    }


def _fill(rows: np.ndarray, photometry: Photometry) -> None:
    for column, values in (
        ("TIME", photometry.time),
        ("TIMECORR", photometry.time_correction),
        ("CADENCENO", photometry.cadence_no),
        ("SAP_FLUX", photometry.aperture),
        ("SAP_FLUX_ERR", photometry.aperture_err),
        ("SAP_BKG", photometry.background),
        ("SAP_BKG_ERR", photometry.background_err),
        ("PDCSAP_FLUX", photometry.corrected),
        ("PDCSAP_FLUX_ERR", photometry.corrected_err),
        ("QUALITY", photometry.quality),
        ("MOM_CENTR1", photometry.column),
        ("MOM_CENTR1_ERR", photometry.column_err),
        ("MOM_CENTR2", photometry.row),
        ("MOM_CENTR2_ERR", photometry.row_err),
        ("POS_CORR1", photometry.shift_column),
        ("POS_CORR2", photometry.shift_row),
    ):
        rows[column] = values
    for column in ("PSF_CENTR1", "PSF_CENTR1_ERR", "PSF_CENTR2", "PSF_CENTR2_ERR"):
        rows[column] = np.nan


def _blocks(size: int) -> int:
    return -(-size // layout.BLOCK) * layout.BLOCK


def _sign(file: bytearray, start: int, header_end: int, stop: int) -> None:
    """Write the CHECKSUM card of one HDU, so that the ones-complement sum over the HDU is all ones."""
    words = np.frombuffer(file, ">u4", (stop - start) // 4, start)
    text = encode_checksum(ones_complement_sum(words))
    at = file.index(b"CHECKSUM= '", start, header_end) + 11
    file[at : at + 16] = text


def ones_complement_sum(words: np.ndarray) -> int:
    """32-bit ones-complement sum of big-endian words (FITS 4.0, appendix J.1)."""
    total = int(words.sum(dtype=np.uint64))
    while total >> 32:
        total = (total & 0xFFFFFFFF) + (total >> 32)
    return total


def encode_checksum(total: int) -> bytes:
    """Sixteen characters that turn the sum of an HDU, zeros in its CHECKSUM, to all ones (FITS 4.0, appendix J.2).

    Parameters
    ----------
    total : int
        Ones-complement sum of the HDU with ``'0000000000000000'`` as its CHECKSUM.
    """
    value = ~total & 0xFFFFFFFF
    characters = [[0] * 4 for _ in range(4)]
    for place in range(4):
        byte = value >> (24 - 8 * place) & 0xFF
        quarter, rest = divmod(byte, 4)
        quads = [quarter + 0x30 + (rest if k == 0 else 0) for k in range(4)]
        while any(q in _CHECKSUM_EXCLUDED for q in quads):
            for k in (0, 2):
                if quads[k] in _CHECKSUM_EXCLUDED or quads[k + 1] in _CHECKSUM_EXCLUDED:
                    quads[k] += 1
                    quads[k + 1] -= 1
        for k in range(4):
            characters[k][place] = quads[k]
    plain = bytes(c for group in characters for c in group)
    return plain[-1:] + plain[:-1]
