"""Real stars that the default bundle never trained on, from their files through search and views to a class."""

import numpy as np
import pytest

from larun.archive.files import read
from larun.bundles import load_bundle
from larun.config import SearchSettings
from larun.lightcurve import shard_of
from larun.network.infer import Classifier
from larun.schema import CLASSES
from larun.search.pipeline import search_shard
from larun.views import shard_views

PERIODS = {"TIC 38846515": 2.84938, "TIC 261136679": 6.2678, "TIC 402026209": 1.33823}
"""WASP-100 b, Pi Mensae c, WASP-4 b: NASA Exoplanet Archive."""


@pytest.fixture(scope="module")
def bundle():
    return load_bundle("default")


def classified(path, bundle):
    shard = shard_of(read(path))
    found = search_shard(shard, SearchSettings())
    views = shard_views(shard, np.arange(len(shard)), found.relative, found.detrended, found.events)
    probabilities = Classifier(bundle).probabilities(views)[0]
    return found.events[0], CLASSES[int(np.argmax(probabilities))]


@pytest.mark.parametrize(
    ("name", "star"),
    [
        ("tess2018206045859-s0001-0000000038846515-0120-s_lc.fits", "TIC 38846515"),
        ("hlsp_qlp_tess_ffi_s0002-0000000038846515_tess_v01_llc.fits", "TIC 38846515"),
        ("tess2018206045859-s0001-0000000261136679-0120-s_lc.fits", "TIC 261136679"),
        ("hlsp_tess-spoc_tess_phot_0000000261136679-s0001_tess_v1_lc.fits", "TIC 261136679"),
        ("tess2018234235059-s0002-0000000402026209-0121-s_lc.fits", "TIC 402026209"),
    ],
)
def test_known_planets_are_planets(real_data, bundle, name, star):
    event, found = classified(real_data / "fits" / name, bundle)
    assert star in bundle.manifest["data"]["held_out_stars"]
    assert event["period_d"] == pytest.approx(PERIODS[star], rel=0.002)
    assert found == "planetary_transit"


@pytest.mark.parametrize(
    ("name", "star"),
    [
        ("tess2018206045859-s0001-0000000117544915-0120-s_lc.fits", "TIC 117544915"),
        ("tess2018206045859-s0001-0000000032150630-0120-s_lc.fits", "TIC 32150630"),
        ("tess2019112060037-s0011-0000000425064757-0143-s_lc.fits", "TIC 425064757"),
    ],
)
def test_known_binaries_are_binaries(real_data, bundle, name, star):
    assert star in bundle.manifest["data"]["held_out_stars"]
    assert classified(real_data / "fits" / name, bundle)[1] == "eclipsing_binary"
