"""Real catalogues imported as snapshots, against ten real stars of sector 1: who they are is known."""

import numpy as np
import pytest
from astropy.io import fits
from test_known import PRODUCT, RUN, write_detections

from larun.candidates import in_words
from larun.config import load
from larun.objects import Root
from larun.survey import snapshots
from larun.survey.known import known_objects, match_sweep

WASP_100, PI_MEN, AU_MIC, BINARY = 38846515, 261136679, 441420236, 117544915
EVENTS = {
    WASP_100: {"period_d": 2.849375, "t0_btjd": 1327.3655},
    PI_MEN: {"period_d": 6.2678, "t0_btjd": 1325.5040},
    BINARY: {"period_d": 1.6, "t0_btjd": 1326.0},
}
"""Hellier et al. 2014, MNRAS 440, 1982 (2,456,272.3395 + 370 cycles of 2.849375 d); Huang et al. 2018, ApJ 868, L39."""


@pytest.fixture(scope="module")
def known(real_data, tmp_path_factory):
    root = Root(str(tmp_path_factory.mktemp("root")))
    for name in ("TOIs_exofop_2024", "CTOIs_exofop", "nasa_ps_2021_subset"):
        snapshots.import_table(root, str(real_data / "catalogs" / f"{name}.csv"))
    headers = [fits.getheader(path) for path in sorted((real_data / "fits").glob("tess*-s0001-*s_lc.fits"))]
    nothing = {"period_d": np.nan, "t0_btjd": np.nan}
    stars = {header["TICID"]: EVENTS.get(header["TICID"], nothing) for header in headers}
    assert len(stars) == 10
    places = {name: [header[f"{name.upper()}_OBJ"] for header in headers] for name in ("ra", "dec")}
    write_detections(root, stars=stars, **places)
    settings = load(catalogues={"use": ["planets", "toi", "ctoi"]})
    record = match_sweep(root, PRODUCT, RUN, settings)
    assert record["deferred"] == {}
    return known_objects(root, PRODUCT, RUN).matches


def test_all_rows_of_the_real_tables_are_read(real_data, tmp_path):
    root = Root(str(tmp_path))
    rows = {
        name: snapshots.import_table(root, str(real_data / "catalogs" / f"{name}.csv"))["rows"]
        for name in ("TOIs_exofop_2024", "CTOIs_exofop", "nasa_ps_2021_subset")
    }
    assert rows["TOIs_exofop_2024"] == 6161
    assert rows["CTOIs_exofop"] == 3343
    toi = snapshots.load(root, "toi")
    periods = toi["period_d"].to_numpy()
    assert np.isnan(periods).sum() == 92, "a period of 0 is none"
    assert toi["tic"].null_count == 0
    assert np.isfinite(toi["ra"].to_numpy()).all()
    epochs = toi["t0_btjd"].to_numpy()
    assert 900 < np.nanmin(epochs) < np.nanmax(epochs) < 4000, "in the years of TESS, one earlier"


@pytest.mark.parametrize(("tic", "name"), [(WASP_100, "TOI-106.01 KP"), (PI_MEN, "TOI-144.01 CP")])
def test_known_planets_are_named_with_their_period(known, tic, name):
    (row,) = known[f"TIC {tic}"]
    assert in_words(row) == f"{name}, same period"
    assert row["matched_by"] == "tic"
    assert row["period_ratio"] == pytest.approx(1, rel=1e-4)


def test_the_epoch_of_pi_men_c_is_the_predicted_one(known):
    (row,) = known[f"TIC {PI_MEN}"]
    assert abs(row["epoch_phase"]) * 6.2678 < 0.01, "days, from 2018 to 2023"


def test_a_planet_without_a_period_is_named_all_the_same(known):
    said = [in_words(row) for row in known[f"TIC {AU_MIC}"]]
    assert "TOI-2221.01 CP, no period known" in said
    assert any(text.startswith("AU Mic b CP") for text in said)


def test_the_binary_is_no_known_planet(known):
    assert f"TIC {BINARY}" not in known


def test_positions_agree_with_the_headers(known):
    separations = {name: row["separation_arcsec"] for name, rows in known.items() for row in rows}
    assert separations[f"TIC {WASP_100}"] < 1.0
    assert separations[f"TIC {AU_MIC}"] < 10.0, "it moves 0.45 arcsec a year"
