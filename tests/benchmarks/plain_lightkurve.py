"""Plain lightkurve, as a person uses it: ``python -m tests.benchmarks.plain_lightkurve FOLDER``.

Takes TIC numbers, those of one line together, and prints for each line a JSON list: processor seconds of each star.
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

    folder = sys.argv[1]
    for line in sys.stdin:
        spent = []
        for tic in line.split():
            started = time.process_time()
            found = lightkurve.search_lightcurve(f"TIC {tic}")
            curve = found.download(download_dir=folder)
            spent.append(time.process_time() - started)
            if curve.meta["TICID"] != int(tic):
                raise SystemExit(f"asked for TIC {tic}, got TIC {curve.meta['TICID']}")
        print(json.dumps(spent), flush=True)


if __name__ == "__main__":
    main()
