"""What a target costs in the store: bytes against the mission's file, and time to write and to read.

``python -m tests.benchmarks.storage --json`` prints one JSON object as its last line, for a shard of simulated stars
and for the real SPOC stars of sector 1 where the folder of real data is there: bytes per target of every array, the
ratio to the FITS files and to the plain columns, whether every bit comes back through Zarr and xarray, milliseconds
per target to write and to read, milliseconds to read one star and a whole shard from a folder and from an S3 server
on loopback, and what other codecs and formats make of the same arrays. CPU time but where it says wall; medians.
The few real stars bear the cost of a whole shard's 18 objects: their bytes compare, their times per target do not.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import io
import json
import multiprocessing
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xarray
import zarr
from numcodecs import Blosc, Zstd

from larun.archive.protocol import Archive
from larun.config import Settings, load
from larun.ledger import read_record
from larun.objects import Root
from larun.paths import Product
from larun.plan import Plan
from larun.schema import FLUX_ARRAYS
from larun.store.reading import read_rows, read_shard
from larun.store.sector import SHARD_ARRAYS, ShardWriter, create_sector, object_path
from larun.survey.archives import open_archives
from larun.survey.ingest import IngestWork, ingest_shards, start_ingest
from tests.benchmarks.machine import machine, versions

REAL = Path(__file__).parents[2].parent / "shared" / "data" / "fits"
BUCKET = "survey"
SECTOR_TARGETS = 20_000

Clock = Callable[[], float]


def measure(stars: int, rounds: int) -> dict[str, Any]:
    """Both shards, on both kinds of root."""
    simulated = Settings(simulate={"stars": stars}, ingest={"shard_targets": stars})
    result: dict[str, Any] = {
        "what": f"one shard of {stars} simulated 2-min stars and one of the real SPOC stars of sector 1 that are here, "
        f"medians of {rounds} rounds"
    }
    with _s3() as options, tempfile.TemporaryDirectory() as folder:
        for name, settings, spec, product in (
            ("simulated", simulated, "simulated", Product("tess", 1, "simulated", 120)),
            ("real", load(), f"folder:{REAL}", Product("tess", 1, "spoc", 120)),
        ):
            if name == "real" and not REAL.is_dir():
                result[name] = None
                continue
            archive = open_archives(spec, settings)[0]
            root = Root(f"{folder}/{name}")
            plan = start_ingest(root, [archive], product, settings.ingest)
            ingest_shards(IngestWork.of(root, [archive], plan, [0], settings.ingest))
            result[name] = _shard(archive, root, plan, Root(f"s3://{BUCKET}/{name}", options), rounds)
    return result | {
        "machine": machine(),
        "versions": versions("larun", "numpy", "zarr", "numcodecs", "pyarrow", "astropy", "s3fs", "moto"),
    }


def _shard(archive: Archive, root: Root, plan: Plan, remote: Root, rounds: int) -> dict[str, Any]:
    """Everything about one shard that has been ingested into `root`."""
    stored = zarr.open_group(root.full(plan.product.zarr), mode="r")
    columns = {array.name: stored[array.name][:] for array in SHARD_ARRAYS}
    files = [archive.fetch(plan.product, target).data for target in plan.targets]
    stars = len(files)
    sizes = {name: Path(root.full(object_path(plan.product, name, 0))) for name in columns}
    kept = {name: path.stat().st_size / stars for name, path in sizes.items() if path.exists()}
    fits, plain = sum(map(len, files)) / stars, sum(values.nbytes for values in columns.values()) / stars
    total = sum(kept.values())
    return {
        "stars": stars,
        "bytes per target": {
            "FITS file": round(fits),
            "FITS file, gzip": round(sum(len(gzip.compress(data, 6)) for data in files[:16]) / len(files[:16])),
            "plain columns": round(plain),
            "stored": round(total),
            **{name: round(size) for name, size in kept.items() if name in {a.name for a in FLUX_ARRAYS}},
        },
        "FITS over stored": round(fits / total, 2),
        "plain columns over stored": round(plain / total, 2),
        "GB per sector": round(total * SECTOR_TARGETS / 1e9, 2),
        "every bit comes back": _bit_exact(root, plan, columns, files),
        "local": _times(root, plan, columns, rounds),
        "S3 on loopback": _times(remote, plan, columns, rounds),
        "peers": _peers({a.name: columns[a.name] for a in FLUX_ARRAYS}, rounds),
    }


def _bit_exact(root: Root, plan: Plan, columns: dict[str, np.ndarray], files: list[bytes]) -> bool:
    """Whether the fluxes, errors and qualities of astropy, Zarr, xarray and our own reader are the same bits."""
    from astropy.io import fits

    ours, _ = read_shard(root, plan, 0, read_record(root, plan, 0).hashes)
    dataset = xarray.open_zarr(root.full(plan.product.zarr))
    same = [
        columns[a.name].tobytes() == getattr(ours, a.name).tobytes() == dataset[a.name].values.tobytes()
        for a in FLUX_ARRAYS
    ]
    for row, data in enumerate(files):
        with fits.open(io.BytesIO(data)) as product:
            table = product[1].data
        at = np.searchsorted(plan.grid.cadence_no, table["CADENCENO"])
        for name, column in (("flux", "PDCSAP_FLUX"), ("flux_err", "PDCSAP_FLUX_ERR"), ("quality", "QUALITY")):
            delivered = table[column].astype(columns[name].dtype)
            same.append(delivered.tobytes() == columns[name][row, at].tobytes())
    return all(same)


def _times(root: Root, plan: Plan, columns: dict[str, np.ndarray], rounds: int) -> dict[str, Any]:
    """Write the shard to a new place, and read it, and single stars, back."""
    stars = len(columns["status"])
    megabytes = sum(values.nbytes for values in columns.values()) / 1e6
    chunk = plan.chunk_targets
    writes, reads, shard_wall, star_wall = [], [], [], []
    for attempt in range(rounds + 1):
        place = Root(f"{root.url}-{attempt}", root.storage_options)
        create_sector(place, plan)

        def write(place: Root = place) -> dict[str, str]:
            writer = ShardWriter(place, plan, 0)
            for first in range(0, stars, chunk):
                writer.add({name: values[first : first + chunk] for name, values in columns.items()})
            return writer.finish()

        written, hashes = _timed(write)
        read, _ = _timed(lambda place=place, hashes=hashes: read_shard(place, plan, 0, hashes))
        rows = np.random.default_rng(attempt).integers(0, stars, 5)
        single = [
            _timed(lambda place=place, row=row: read_rows(place, plan.product, slice(row, row + 1)))[0]["wall"]
            for row in rows.tolist()
        ]
        writes.append(written)
        reads.append(read["cpu"])
        shard_wall.append(read["wall"])
        star_wall.append(statistics.median(single))
        place.delete("")
    return {
        "write, read back, CPU ms per target": _median([w["cpu"] for w in writes], stars),
        "write, read back, wall ms per target": _median([w["wall"] for w in writes], stars),
        "read, CPU ms per target": _median(reads, stars),
        "write, MB/s wall": round(megabytes / statistics.median(w["wall"] for w in writes[1:])),
        "read, MB/s wall": round(megabytes / statistics.median(shard_wall[1:])),
        "one shard, wall ms": _median(shard_wall),
        "one star, wall ms": _median(star_wall),
    }


def _timed(work: Callable[[], Any]) -> tuple[dict[str, float], Any]:
    wall, cpu = time.perf_counter(), time.process_time()
    value = work()
    return {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}, value


def _median(seconds: list[float], over: int = 1) -> float:
    """Median in milliseconds; the first round, which imports and connects, is left out."""
    return round(1e3 * statistics.median(seconds[1:]) / over, 3)


def _peers(arrays: dict[str, np.ndarray], rounds: int) -> dict[str, dict[str, Any]]:
    """Other ways to pack the same arrays, 16 stars at a time: bytes and CPU per target, and whether bits come back."""
    codecs = {
        "blosc zstd 3, bitshuffle, blocks of Blosc's own": Blosc("zstd", 3, Blosc.BITSHUFFLE, 0),
        "blosc zstd 1, bitshuffle, 2 MiB blocks": Blosc("zstd", 1, Blosc.BITSHUFFLE, 1 << 21),
        "blosc lz4 9, bitshuffle": Blosc("lz4", 9, Blosc.BITSHUFFLE, 1 << 21),
        "blosc lz4 5, bitshuffle": Blosc("lz4", 5, Blosc.BITSHUFFLE, 1 << 21),
        "blosc lz4 5, byte shuffle": Blosc("lz4", 5, Blosc.SHUFFLE, 1 << 21),
        "zstd 3, no shuffle": Zstd(3),
    }
    ways = {name: (codec.encode, codec.decode) for name, codec in codecs.items()}
    ways["Parquet, zstd 3, byte stream split"] = (_parquet, _from_parquet)
    ways["FITS tiles, GZIP_2 (astropy)"] = (_fits_tiles, _from_fits_tiles)
    stars = len(next(iter(arrays.values())))
    chunks = [np.ascontiguousarray(v[i : i + 16]) for v in arrays.values() for i in range(0, min(stars, 64), 16)]
    found = {}
    for name, (pack, unpack) in ways.items():
        times = []
        for _ in range(min(rounds, 3)):
            packed_in, packed = _timed(lambda pack=pack: [pack(chunk) for chunk in chunks])
            unpacked_in, back = _timed(lambda unpack=unpack, packed=packed: [unpack(data) for data in packed])
            times.append((packed_in["cpu"], unpacked_in["cpu"]))
        exact = all(
            np.frombuffer(values, "u1").tobytes() == chunk.tobytes() for values, chunk in zip(back, chunks, strict=True)
        )
        found[name] = {
            "bytes": round(sum(map(len, packed)) / min(stars, 64)),
            "write ms": round(1e3 * min(t[0] for t in times) / min(stars, 64), 3),
            "read ms": round(1e3 * min(t[1] for t in times) / min(stars, 64), 3),
            "exact": exact,
        }
    return found


def _parquet(chunk: np.ndarray) -> bytes:
    table = pa.table({f"c{i}": row for i, row in enumerate(chunk)})
    buffer = io.BytesIO()
    pq.write_table(
        table, buffer, compression="zstd", compression_level=3, use_dictionary=False, use_byte_stream_split=True
    )
    return buffer.getvalue()


def _from_parquet(data: bytes) -> bytes:
    table = pq.read_table(io.BytesIO(data), use_threads=False)
    return np.stack([column.to_numpy() for column in table.columns]).tobytes()


def _fits_tiles(chunk: np.ndarray) -> bytes:
    from astropy.io import fits

    buffer = io.BytesIO()
    image = fits.CompImageHDU(chunk, compression_type="GZIP_2", quantize_level=0.0, tile_shape=(1, chunk.shape[1]))
    fits.HDUList([fits.PrimaryHDU(), image]).writeto(buffer)
    return buffer.getvalue()


def _from_fits_tiles(data: bytes) -> bytes:
    from astropy.io import fits

    with fits.open(io.BytesIO(data)) as packed:
        values = packed[1].data
    return np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes()


@contextlib.contextmanager
def _s3() -> Iterator[dict[str, Any]]:
    """Storage options of an S3 server in a process of its own, with an empty bucket."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    server = context.Process(target=_serve_s3, args=(theirs,), daemon=True)
    server.start()
    try:
        endpoint = ours.recv()
        yield {"key": "test", "secret": "test", "endpoint_url": endpoint}
    finally:
        ours.send("stop")
        server.join(10)
        server.kill()


def _serve_s3(pipe: Any) -> None:
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    client = boto3.client(
        "s3", endpoint_url=endpoint, aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1"
    )
    client.create_bucket(Bucket=BUCKET)
    pipe.send(endpoint)
    pipe.recv()
    server.stop()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line, and nothing else")
    parser.add_argument("--stars", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning, module="astropy")
        result = measure(arguments.stars, arguments.rounds)
    print(json.dumps(result) if arguments.json else json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
