import batman
import numpy as np
import pytest

from larun.search.cells import box_power, lay_out, sums_before
from larun.search.template import DEPTHS, HALF_WIDTHS, LIMB_DARKENING, SHAPES, template_power


def transit(impact, ratio, n=4001):
    """Phase in full durations, and loss of light in the greatest, computed with batman."""
    params = batman.TransitParams()
    params.t0, params.per, params.rp, params.a, params.ecc, params.w = 0.0, 1000.0, ratio, 500.0, 0.0, 90.0
    params.inc = np.degrees(np.arccos(impact / params.a))
    params.u, params.limb_dark = list(LIMB_DARKENING), "quadratic"
    full = params.per / np.pi * np.arcsin(np.sqrt((1 + ratio) ** 2 - impact**2) / params.a)
    phase = np.linspace(-0.5, 0.5, n)
    loss = 1 - batman.TransitModel(params, phase * full).light_curve(params)
    return phase, loss / loss.max()


@pytest.mark.parametrize("shape", range(len(SHAPES)))
def test_stacked_boxes_follow_batman(shape):
    phase, loss = transit(*SHAPES[shape])
    stack = np.zeros_like(phase)
    inner = 0.0
    for width, depth in zip(HALF_WIDTHS[shape], DEPTHS[shape], strict=True):
        ring = (np.abs(phase) >= inner) & (np.abs(phase) < width)
        assert depth == pytest.approx(loss[ring].mean(), abs=0.005)
        stack[ring] = depth
        inner = width
    correlation = np.sum(stack * loss) / np.sqrt(np.sum(stack**2) * np.sum(loss**2))
    assert correlation > 0.993


def with_transits(shape, period=300.0, middle=120.0, full=24.0, n=6000, depth=1.0):
    phase, loss = transit(*SHAPES[shape])
    time = np.arange(n, dtype=float)
    offset = (time + 0.5 - middle + 0.5 * period) % period - 0.5 * period
    return time, -depth * np.interp(offset / full, phase, loss, left=0, right=0)


@pytest.mark.parametrize("shape", range(len(SHAPES)))
def test_template_gains_what_the_shape_holds(shape):
    time, flux = with_transits(shape)
    flux -= flux.mean()
    sums = lay_out(time, sums_before(flux), 1.0, 1)
    best_box = max((box_power(sums, 300.0, 120.0, d), d) for d in np.arange(8.0, 25.0, 0.5))
    power, best, full = template_power(sums, 300.0, 120.0, best_box[1])
    # All of the chi-square of the signal, but for what the stack misses.
    assert power == pytest.approx(np.sum(flux**2), rel=0.02)
    assert power > best_box[0]
    assert full == pytest.approx(24.0, rel=0.1)
    assert abs(best - shape) <= 1


def test_what_brightens_has_no_power():
    time, flux = with_transits(0, depth=-1.0)
    assert template_power(lay_out(time, sums_before(flux - flux.mean()), 1.0, 1), 300.0, 120.0, 20.0)[0] == 0
