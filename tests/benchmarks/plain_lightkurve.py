"""Plain lightkurve, as a person uses it: ``python -m tests.benchmarks.plain_lightkurve FOLDER TIC...``.

Prints one JSON list as its last line: processor seconds of each star after the first.
"""

from __future__ import annotations

import json
import sys
import time
import warnings


def main() -> None:
    """Search and download each star, one after the other."""
    warnings.simplefilter("ignore")
    import lightkurve

    folder, *tics = sys.argv[1:]
    spent = []
    for tic in tics:
        started = time.process_time()
        found = lightkurve.search_lightcurve(f"TIC {tic}")
        curve = found.download(download_dir=folder)
        spent.append(time.process_time() - started)
        if curve.meta["TICID"] != int(tic):
            raise SystemExit(f"asked for TIC {tic}, got TIC {curve.meta['TICID']}")
    print(json.dumps(spent[1:]))


if __name__ == "__main__":
    main()
