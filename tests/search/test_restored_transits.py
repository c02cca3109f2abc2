import numpy as np
import pytest

from larun.config import SearchSettings
from larun.search import pipeline
from larun.search.pipeline import search_shard

SETTINGS = SearchSettings(max_events=1)
PERIOD_D, EPOCH = 9.3, 1327.9


def shard_of_transits(make_shard, *durations_h, depth=1.2e-3, noise=3e-4):
    """Stars with a slow wave and transits of the given durations."""
    time = 1325 + np.arange(0, 27, 1 / 48)
    rng = np.random.default_rng(8)
    offset = np.abs((time - EPOCH + PERIOD_D / 2) % PERIOD_D - PERIOD_D / 2)
    flux = [1 + 2e-3 * np.sin(2 * np.pi * time / 11) + rng.normal(0, noise, len(time)) for _ in durations_h]
    lost = [np.where(offset < duration / 48, depth, 0.0) for duration in durations_h]
    return make_shard(1000 * (np.stack(flux) - np.stack(lost)), time=time)


def without_restoring(monkeypatch, shard):
    monkeypatch.setattr(pipeline, "restore_transits", lambda stars, first, settings: list(first))
    return search_shard(shard, SETTINGS)


def test_long_transits_get_their_depth_back(make_shard, monkeypatch):
    shard = shard_of_transits(make_shard, 3, 7, 11)
    restored = search_shard(shard, SETTINGS)
    plain = without_restoring(monkeypatch, shard)
    np.testing.assert_allclose(restored.events["period_d"], PERIOD_D, rtol=5e-3)
    np.testing.assert_allclose(restored.events["depth_ppm"], 1200, rtol=0.08)
    assert (plain.events["depth_ppm"][1:] < 0.9 * 1200).all()
    assert (restored.events["snr"][1:] > 1.3 * plain.events["snr"][1:]).all()
    np.testing.assert_array_equal(restored.events["detection"], plain.events["detection"])
    assert restored.events["duration_h"][2] == pytest.approx(11, rel=0.15)


def test_what_is_not_strong_stays_as_it_was(make_shard, monkeypatch):
    shard = make_shard(1000 + np.random.default_rng(3).normal(0, 1, (6, 1296)))
    restored = search_shard(shard, SETTINGS)
    plain = without_restoring(monkeypatch, shard)
    weak = plain.events["snr"] < 6
    assert weak.sum() > 2
    np.testing.assert_array_equal(restored.detrended[weak], plain.detrended[weak])
    np.testing.assert_array_equal(restored.events[weak]["depth_ppm"], plain.events[weak]["depth_ppm"])
