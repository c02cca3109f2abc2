"""lightkurve and astroquery as they come from the package index, told by their own means where the archive is.

Run as a program in a process of its own: ``python unmodified_client.py JOB.json RESULT.npz``.
"""

import json
import sys
import warnings
from pathlib import Path

import numpy as np
import xxhash

COLUMNS = {
    "flux": "flux", "flux_err": "flux_err", "cadence_no": "cadenceno", "quality": "quality",
    "centroid_col": "centroid_col", "centroid_row": "centroid_row", "time_correction": "timecorr",
    "background": "sap_bkg",
}  # fmt: skip
"""Field of `larun.lightcurve.LightCurve` -> column of lightkurve."""


def plain(column) -> np.ndarray:
    """Values of an astropy column without unit and mask, NaN where masked."""
    values = getattr(column, "unmasked", column)
    values = np.asarray(getattr(values, "value", values))
    mask = np.asarray(getattr(column, "mask", False))
    return np.where(mask, np.nan, values) if values.dtype.kind == "f" else values


def hash_of(path) -> str:
    """Hexadecimal XXH3-128 of a file, as records hold it."""
    return xxhash.xxh3_128_hexdigest(Path(path).read_bytes())


def searched(job: dict) -> dict[str, np.ndarray]:
    """Arrays of every light curve that a search by name finds, and the hash of its file; errors as text."""
    import lightkurve

    arrays = {}
    for target, criteria in job["search"]:
        result = lightkurve.search_lightcurve(target, **criteria)
        for i in range(len(result)):
            name = str(result.table["productFilename"][i])
            try:
                curve = result[i].download(quality_bitmask="none")
            except Exception as error:  # noqa: BLE001
                arrays[f"{target}/{name}/error"] = np.array(f"{type(error).__name__}: {error}"[:300])
                continue
            arrays[f"{target}/{name}/xxh128"] = np.array(hash_of(curve.meta["FILENAME"]))
            arrays[f"{target}/{name}/time"] = curve.time.value
            for ours, theirs in COLUMNS.items():
                if theirs in curve.columns:
                    arrays[f"{target}/{name}/{ours}"] = plain(curve[theirs])
    return arrays


def listed(job: dict) -> dict[str, np.ndarray]:
    """Rows of searches without a download, as JSON: author, sector, exposure time and file name, as in lightkurve."""
    import lightkurve

    rows = {}
    for target in job["list"]:
        table = lightkurve.search_lightcurve(target).table
        columns = ("author", "sequence_number", "exptime", "productFilename")
        found = [[str(row["author"]), *(float(row[c]) for c in columns[1:3]), str(row[columns[3]])] for row in table]
        rows[f"rows of {target}"] = np.array(json.dumps(found))
    return rows


def queried(job: dict) -> dict[str, np.ndarray]:
    """SHA-256 of every file that astroquery downloads of targets, under its name."""
    from astroquery.mast import Observations

    found = {}
    for criteria in job["query"]:
        observations = Observations.query_criteria(**criteria)
        products = Observations.filter_products(Observations.get_product_list(observations), extension="lc.fits")
        for row in Observations.download_products(products, download_dir=job["folder"], verbose=False):
            path = Path(row["Local Path"])
            found[path.name] = np.array(hash_of(path))
    return found


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    task = json.loads(Path(sys.argv[1]).read_text())
    np.savez(sys.argv[2], **searched(task), **listed(task), **queried(task))
