import csv
import hashlib
import pickle
import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest

from larun.config import SimulateSettings
from larun.errors import InputError, StoreError
from larun.schema import CLASSES
from larun.simulate.sector import SimulatedSector, write_sector
from larun.simulate.truth import TRUTH_COLUMNS

TINY = SimulateSettings(stars=6, days=3.0, seed=3)

OTHER_PROCESS = """
import hashlib
from larun.config import SimulateSettings
from larun.simulate.sector import SimulatedSector
sector = SimulatedSector(SimulateSettings(stars=6, days=3.0, seed=3), 2)
for star in reversed(sector.stars):
    print(star.target_id, hashlib.sha256(sector.fits(star.target_id)).hexdigest())
"""


def folded(time, flux, period, t0, width):
    """Flux within `width` of mid-event, by offset from it, days."""
    offset = (time - t0 + period / 2) % period - period / 2
    near = np.isfinite(flux) & (np.abs(offset) < width)
    return offset[near], flux[near]


def test_bytes_are_the_same_in_another_process_and_order():
    sector = SimulatedSector(TINY, 2)
    ours = {str(s.target_id): hashlib.sha256(sector.fits(s.target_id)).hexdigest() for s in sector.stars}
    answer = subprocess.run([sys.executable, "-c", OTHER_PROCESS], capture_output=True, text=True, check=True)
    assert dict(line.split() for line in answer.stdout.splitlines()) == ours
    assert len(set(ours.values())) == 6


def test_a_sector_is_cheap_to_pickle_and_the_same_after():
    sector = SimulatedSector(TINY, 2)
    first = sector.stars[0].target_id
    data = sector.fits(first)
    text = pickle.dumps(sector)
    assert len(text) < 3000
    assert pickle.loads(text).fits(first) == data


def test_bytes_change_with_seed_and_sector():
    first = SimulatedSector(TINY, 2)
    other = SimulatedSector(TINY.model_copy(update={"seed": 4}), 2)
    number = first.stars[0].target_id
    assert first.fits(number) != other.fits(number)
    assert first.truth.column("period_d").to_pylist() != other.truth.column("period_d").to_pylist()
    assert SimulatedSector(TINY, 3).stars[0].target_id != number


def test_truth_says_what_it_is(short):
    truth = short.truth
    assert truth.column_names == [c.name for c in TRUTH_COLUMNS]
    assert truth.schema.metadata[b"simulated"] == b"true"
    assert truth.schema.field("depth_ppm").metadata[b"unit"] == b"ppm"
    assert set(truth.column("class6").to_pylist()) == set(CLASSES)
    assert truth.column("simulated").to_pylist() == [True] * len(short.stars)
    for row in truth.to_pylist():
        if row["class6"] == "planetary_transit":
            assert row["n_transits"] <= 6.0 / row["period_d"] + 1
            assert row["depth_ppm"] >= row["mean_depth_ppm"] > 0
            assert row["radius_earth"] > 0.9
        if row["class6"] in ("noise", "instrument_artifact"):
            assert np.isnan(row["period_d"])
            assert row["n_transits"] == 0


def test_planets_are_where_the_truth_says(full):
    """The folded light curve of each strong planet has the truth's depth at the truth's epoch, and none elsewhere."""
    rows = [r for r in full.truth.to_pylist() if r["class6"] == "planetary_transit" and r["expected_snr"] > 60]
    assert len(rows) >= 2
    for row in rows:
        curve = full.light_curve(row["target_id"])
        width = row["duration_h"] / 24
        offset, flux = folded(curve.time, curve.flux.astype(np.float64), row["period_d"], row["t0_btjd"], 2 * width)
        inside, outside = np.abs(offset) < 0.5 * width, np.abs(offset) > 0.6 * width
        depth = 1e6 * (1 - flux[inside].mean() / flux[outside].mean())
        assert depth == pytest.approx(row["mean_depth_ppm"], rel=0.15)
        loss = np.median(flux[outside]) - flux
        centre = np.sum(offset[inside] * loss[inside]) / np.sum(loss[inside])
        assert abs(centre) < 0.06 * width
        first = np.abs(curve.time - row["t0_btjd"]) < 0.5 * width
        assert np.isfinite(curve.flux[first]).sum() >= 0.5 * width * 720 - 1


def test_snr_of_the_truth_is_that_of_the_data(full):
    """Depth over the scatter of means over the duration, out of transit."""
    rows = [r for r in full.truth.to_pylist() if r["class6"] == "planetary_transit" and 10 < r["tmag"] < 13]
    row = max(rows, key=lambda r: r["expected_snr"])
    curve = full.light_curve(row["target_id"])
    width = row["duration_h"] / 24
    offset, flux = folded(curve.time, curve.flux.astype(np.float64), row["period_d"], row["t0_btjd"], 9)
    out = flux[np.abs(offset) > 0.6 * width]
    per_event = round(width * 720)
    groups = out[: len(out) // per_event * per_event].reshape(-1, per_event).mean(axis=1)
    sigma = np.std(np.diff(groups)) / np.sqrt(2) / np.median(out)
    snr = row["mean_depth_ppm"] * 1e-6 / sigma * np.sqrt(row["n_transits"])
    assert row["expected_snr"] == pytest.approx(snr, rel=0.5)


def test_eclipses_are_where_the_truth_says(full):
    rows = [r for r in full.truth.to_pylist() if r["kind"] == "detached_binary" and r["expected_snr"] > 100]
    assert rows
    for row in rows:
        curve = full.light_curve(row["target_id"])
        flux = curve.flux / np.nanpercentile(curve.flux, 90)
        width = row["duration_h"] / 24
        for epoch, depth in (
            (row["t0_btjd"], row["depth_ppm"]),
            (row["t0_btjd"] + row["secondary_phase"] * row["period_d"], row["secondary_depth_ppm"]),
        ):
            _, near = folded(curve.time, flux, row["period_d"], epoch, 0.06 * width)
            assert 1e6 * (1 - np.median(near)) == pytest.approx(depth, rel=0.2, abs=2e4)


def test_blends_move_the_centroid():
    settings = SimulateSettings(
        stars=30, days=12.0, seed=2, planet_fraction=0, binary_fraction=1, variable_fraction=0, artefact_fraction=0,
        anomaly_fraction=0,
    )  # fmt: skip
    sector = SimulatedSector(settings, 1)
    rows = [r for r in sector.truth.to_pylist() if r["kind"] == "blended_binary" and r["n_transits"] > 2]
    row = max(rows, key=lambda r: r["mean_depth_ppm"] * 10 ** (-0.2 * r["tmag"]))
    p = sector.photometry(row["target_id"])
    width = row["duration_h"] / 24
    moved = np.hypot(*(
        inside.mean() - outside.mean()
        for values, shift in ((p.column, p.shift_column), (p.row, p.shift_row))
        for offset, motion in [folded(p.time, values - shift, row["period_d"], row["t0_btjd"], 2 * width)]
        for inside, outside in [(motion[np.abs(offset) < 0.3 * width], motion[np.abs(offset) > 0.6 * width])]
    ))  # fmt: skip
    assert 0.2 < moved / (row["mean_depth_ppm"] * 1e-6) < 3


def test_light_curve_describes_itself(full):
    curve = full.light_curve(full.stars[0].target_id)
    assert curve.simulated
    assert curve.author == "simulated"
    assert (curve.mission, curve.sector, curve.time_format, curve.flux_unit) == ("tess", 1, "btjd", "electron/s")
    spacecraft = curve.time - curve.time_correction.astype(np.float64)
    good = np.isfinite(spacecraft)
    assert np.abs(spacecraft[good] - full.instrument.time[good]).max() < 1e-9


def test_an_unknown_star_is_named(full):
    with pytest.raises(InputError, match="has no star 261136679"):
        full.fits(261136679)


def test_write_sector(tmp_path):
    seen = []
    paths = write_sector(tmp_path / "sector", TINY, 2, lambda done, total: seen.append((done, total)))
    assert seen == [(i, 6) for i in range(1, 7)]
    sector = SimulatedSector(TINY, 2)
    assert [p.name for p in paths] == [sector.file_name(s.target_id) for s in sector.stars]
    assert all(p.read_bytes() == sector.fits(s.target_id) for p, s in zip(paths, sector.stars, strict=True))
    table = pq.read_table(tmp_path / "sector" / "truth.parquet")
    assert table.schema.equals(sector.truth.schema, check_metadata=True)
    for name in table.column_names:
        np.testing.assert_array_equal(table[name].to_numpy(), sector.truth[name].to_numpy())
    with (tmp_path / "sector" / "truth.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [int(r["target_id"]) for r in rows] == [s.target_id for s in sector.stars]
    assert {r["simulated"] for r in rows} == {"True"}


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot write the simulated sector to"):
        write_sector(tmp_path / "file", TINY, 1)
