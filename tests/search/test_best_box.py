import numpy as np
import pytest

from larun.search.best_box import best_box


def test_best_box_finds_epoch_and_duration():
    time = np.arange(0, 20, 0.01)
    flux = -1.0 * (np.abs((time - 1.23 + 1) % 2 - 1) < 0.05)
    values = (flux - flux.mean()).astype(np.float32)
    for function in (best_box, best_box.py_func):
        t0, duration = function(time, values, np.ones_like(values), 2.0, 200, np.array([5, 0, 10, 20]))
        assert t0 == pytest.approx(1.23, abs=0.011)
        assert duration == pytest.approx(0.1)


def test_best_box_of_nothing_is_nan():
    assert np.isnan(best_box(np.arange(5.0), np.zeros(5, np.float32), np.ones(5, np.float32), 2.0, 9, np.array([2]))[0])
