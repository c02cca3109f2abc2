"""Shards and pure-Python kernels for the search tests."""

import importlib

import numpy as np
import pytest
from numba.core.registry import CPUDispatcher

from larun.lightcurve import Shard, Star

KERNEL_MODULES = (
    "selection",
    *(
        f"search.{name}"
        for name in (
            "prepare",
            "biweight",
            "detrend",
            "variability",
            "prewhiten",
            "cotrend",
            "flatten",
            "best_box",
            "box",
            "fold",
            "lookups",
            "peaks",
            "transits",
            "cells",
            "template",
            "rating",
            "refine",
            "measure",
            "dips",
            "shape",
            "pointing",
            "single",
            "events",
            "pipeline",
        )
    ),
)


@pytest.fixture(scope="session")
def make_shard():
    """Function that makes a shard of (star, cadence) fluxes."""

    def make(flux, *, time=None, quality=None, correction=None, cadence_s=1800.0, mission="tess") -> Shard:
        flux = np.atleast_2d(np.asarray(flux, np.float32))
        n_stars, n = flux.shape
        missing = np.full(flux.shape, np.nan, np.float32)
        time = 1325.0 + np.arange(n) * cadence_s / 86400 if time is None else time
        return Shard(
            stars=(Star(),) * n_stars,
            time=time,
            cadence_no=np.arange(n, dtype=np.int32),
            time_correction=missing if correction is None else np.asarray(correction, np.float32),
            flux=flux,
            flux_err=missing,
            background=missing,
            centroid_col=missing,
            centroid_row=missing,
            quality=np.zeros(flux.shape, np.int32) if quality is None else quality,
            mission=mission,
            cadence_s=cadence_s,
        )

    return make


@pytest.fixture
def uncompile(monkeypatch):
    """Function that replaces every compiled kernel of a module by the Python it was compiled from."""

    def replace(name):
        module = importlib.import_module(name)
        for attribute, value in vars(module).copy().items():
            if isinstance(value, CPUDispatcher):
                monkeypatch.setattr(module, attribute, value.py_func)

    return replace


@pytest.fixture
def pure_python(uncompile):
    """The search with nothing of it compiled."""
    for name in KERNEL_MODULES:
        uncompile(f"larun.{name}")


def box_transits(time, period, t0, duration, depth):
    """Relative flux with box-shaped transits, days."""
    phase = (time - t0) / period
    return np.where(np.abs(phase - np.rint(phase)) * period < duration / 2, 1 - depth, 1.0)
