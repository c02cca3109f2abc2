import numpy as np
import pytest

from larun.search.peaks import efficiencies, top_peaks


def test_efficiency_is_the_height_in_sigmas_over_the_trend():
    rng = np.random.default_rng(4)
    n = 4000
    rise = np.linspace(2, 6, n)
    spectrum = rise + rng.normal(0, 0.2, n)
    spectrum[1234] = rise[1234] + 4.0
    (found,) = efficiencies(spectrum[None].astype(np.float32))
    assert found.argmax() == 1234
    assert found[1234] == pytest.approx(20, rel=0.1)
    assert abs(np.median(found)) < 0.1


def test_a_spectrum_without_scatter_has_no_peak():
    assert (efficiencies(np.full((1, 300), 3.0, np.float32)) == 0).all()
    assert len(top_peaks(np.zeros(10, np.float32), np.linspace(2, 1, 10), 20.0, 4)) == 0


def test_peaks_are_distinct_and_no_harmonics():
    frequency = np.linspace(2.0, 0.08, 3000)
    spectrum = np.zeros(3000, np.float32)

    def put(period, height):
        spectrum[np.abs(frequency - 1 / period).argmin()] = height

    put(3.0, 20)
    put(3.02, 19)  # the same peak at a baseline of 27 d
    put(6.0, 18)  # twice
    put(1.5, 17)  # half
    put(2.2, 10)
    put(4.5, 9)  # 3/2
    put(1.85, 8)
    found = top_peaks(spectrum, frequency, 27.0, 3)
    np.testing.assert_allclose(1 / frequency[found], [3.0, 2.2, 1.85], rtol=0.01)
