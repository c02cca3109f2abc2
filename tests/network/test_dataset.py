"""The labelled set: which curves are taken, where shapes go, and what a training from nothing gets."""

import numpy as np
import pytest
from test_bank import days, row, write_bank

from larun.config import Settings
from larun.network import dataset, simulated
from larun.network.bank import UNLABELLED, Curve, Ephemeris
from larun.network.examples import ARTEFACT, BINARY, NOISE, PLANET, STELLAR


def curve(star, label, step=0.02, seed=0, **known):
    time, _ = days(24, step=step)
    flux = 1 + 1e-3 * np.random.default_rng(seed).standard_normal(len(time))
    return Curve(star, label, "made", time, flux.astype(np.float32), **known)


def test_pieces_of_a_star_are_limited():
    pieces = [curve("a", STELLAR) for _ in range(9)] + [curve("b", PLANET) for _ in range(15)]
    items = dataset.plan(pieces, [], 0, 1)
    stars = [item.curve.star for item in items]
    assert stars.count("a") == dataset.PER_STAR
    assert stars.count("b") == dataset.PER_STAR_OF_EVENTS


def test_half_of_the_shapes_go_to_each_cadence_and_none_to_planets_or_held_out_stars():
    short, long = 120 / 86400, 0.02
    bank = [curve(f"s{i}", STELLAR, short) for i in range(6)] + [curve(f"n{i}", NOISE, long) for i in range(30)]
    bank += [curve("p", PLANET, short), curve("e", BINARY, long), curve("i", ARTEFACT, long), curve("v", STELLAR, long)]
    hosts = [curve(f"h{i}", UNLABELLED, long) for i in range(10)]
    items = dataset.plan(bank, hosts, 80, 1, hold_out=("n3", "h4"))
    load = {item.curve.star: item.injections for item in items}
    assert sum(load[f"s{i}"] for i in range(6)) == pytest.approx(40, abs=3)
    assert sum(load.values()) == pytest.approx(80, abs=8)
    assert all(load[star] == 0 for star in ("p", "e", "n3"))
    assert "h4" not in load
    assert all(item.injections for item in items if item.curve.label == UNLABELLED)


def test_a_host_gives_itself_its_quieted_self_and_shapes():
    settings = Settings(training={"seed": 3})
    data = dataset.item_views(dataset.Item(curve("q", NOISE), 8), settings)
    assert data.offered["real noise"] == 1
    assert data.offered["hybrid noise"] == 1
    assert sum(data.offered.values()) == 10
    assert set(data.star) == {"q"}
    again = dataset.item_views(dataset.Item(curve("q", NOISE), 8), settings)
    assert again.digest == data.digest


def test_a_host_may_be_older_than_the_zero_point_of_its_times():
    ancient = curve("q", NOISE)
    ancient = Curve("q", NOISE, "made", ancient.time - 3000, ancient.flux)
    assert ancient.time[0] < 0
    assert dataset.item_views(dataset.Item(ancient, 2), Settings()).offered["real noise"] == 1


def test_a_restless_variable_star_hosts_only_planets_and_binaries():
    star = curve("v", STELLAR)
    wave = 0.02 * np.sin(2 * np.pi * star.time / 0.4)
    restless = Curve("v", STELLAR, "made", star.time, (star.flux + wave).astype(np.float32))
    data = dataset.item_views(dataset.Item(restless, 12), Settings())
    kinds = {name for name in data.offered if name.startswith("hybrid")}
    assert kinds <= {"hybrid planetary_transit", "hybrid eclipsing_binary"}
    assert data.offered["real stellar_signal"] == 1


def test_a_folder_gives_all_three_sources(tmp_path):
    rng = np.random.default_rng(0)
    time, flat = days(24)
    dip = np.where(np.abs((time - 1326.0 + 1.5) % 3.0 - 1.5) < 0.0625, 0.01, 0.0)
    curves = [(time, flat + 1e-3 * rng.standard_normal(len(time)) - k * dip) for k in (0, 0, 1)]
    rows = [row(0), row(1), row(2, label="planetary_transit", period_d="3.0", t0="1326.0", duration_h="3")]
    write_bank(tmp_path, rows, curves)
    train = {"data": str(tmp_path), "stars": 12, "injections": 4}
    settings = Settings(dataset=train, simulate={"days": 10, "cadence_s": 600})
    done = []
    data = dataset.training_views(settings, lambda at, total: done.append((at, total)))
    assert set(data.source) == {"real", "hybrid", "simulated"}
    assert (data.source[data.star == "TIC 2"] == "real").all()
    assert data.label[data.star == "TIC 2"].tolist() == [PLANET]
    assert done[-1] == (3 + 12, 3 + 12)
    assert all(name.startswith("simulated ") for name in data.star[data.source == "simulated"])


def test_without_a_real_host_shapes_go_into_simulated_stars():
    planet = curve("p", PLANET, ephemerides=(Ephemeris(3.0, 1326.0, 3.0),))
    settings = Settings(dataset={"stars": 30, "injections": 24}, simulate={"days": 12, "cadence_s": 600})
    done = []
    data = dataset.training_views(settings, lambda at, total: done.append((at, total)), [planet])
    assert done[-1] == (1 + 30 + 24, 1 + 30 + 24)
    shapes = {name: n for name, n in data.offered.items() if name.startswith("simulated")}
    assert shapes["simulated instrument_artifact"] > 0
    assert shapes["simulated unknown_anomaly"] > 0


def test_a_training_from_nothing_is_simulated_and_deterministic():
    settings = Settings(dataset={"stars": 30, "injections": 12}, simulate={"days": 12, "cadence_s": 600})
    done = []
    data = dataset.training_views(settings, lambda at, total: done.append((at, total)))
    assert set(data.source) == {"simulated"}
    assert done[-1] == (42, 42)
    assert len(np.unique(data.label)) >= 4
    assert dataset.training_views(settings, lambda at, total: None).digest == data.digest


@pytest.mark.parametrize(
    ("changes", "kept"),
    [
        ({"class6": "noise", "kind": "quiet"}, True),
        ({"class6": "eclipsing_binary", "expected_snr": 14.0}, False),
        ({"class6": "eclipsing_binary", "expected_snr": 16.0}, True),
        ({"class6": "unknown_anomaly", "expected_snr": np.nan}, False),
        ({"class6": "stellar_signal", "amplitude_ppm": 59.0}, False),
        ({"class6": "stellar_signal", "amplitude_ppm": 61.0}, True),
        ({"class6": "planetary_transit", "expected_snr": 3.0}, True),
    ],
)
def test_simulated_signals_too_weak_to_be_seen_are_left_out(changes, kept):
    truth = {"target_id": 9, "kind": "k", "period_d": 2.0, "t0_btjd": 1326.0, "duration_h": 2.0, "expected_snr": 50.0,
             "amplitude_ppm": 100.0}  # fmt: skip
    found = simulated._example(truth | changes, hourly_ppm=20.0)
    assert (found is not None) is kept
    if kept and changes["class6"] == "planetary_transit":
        assert found.ephemerides == (Ephemeris(2.0, 1326.0, 2.0),)


def test_an_artefact_hosts_only_planets_and_binaries_and_is_never_noise():
    data = dataset.item_views(dataset.Item(curve("i", ARTEFACT), 16), Settings())
    kinds = {name for name in data.offered if name.startswith("hybrid")}
    assert kinds == {"hybrid planetary_transit", "hybrid eclipsing_binary"}
    assert data.offered["real instrument_artifact"] == 1
