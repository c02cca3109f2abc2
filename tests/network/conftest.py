"""A small trained bundle and small labelled views, made once."""

import functools
import sys
from pathlib import Path

import keras
import pytest
from pretend import SMALL, pretend_data

from larun.config import Settings
from larun.network import compare, evaluate

DRAWS = 20
"""Of the bootstrap, where its intervals are not looked at; they are in test_evaluate.py."""

KNOWN_WARNINGS = (
    # TensorFlow 2.21 with NumPy 2, whenever a variable becomes an array.
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning",
)


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(300))  # TensorFlow starts, trains and converts
            for message in KNOWN_WARNINGS:
                item.add_marker(pytest.mark.filterwarnings(message))


@pytest.fixture(scope="session", autouse=True)
def untraced_keras():
    """Hide what goes on within Keras from the measurement of coverage, which makes it a third slower."""
    with pytest.MonkeyPatch.context() as patched:
        for name in ("fit", "predict", "export"):
            patched.setattr(keras.Model, name, _untraced(getattr(keras.Model, name)))
        yield


def _untraced(method):
    @functools.wraps(method)
    def call(*arguments, **options):
        tracer = sys.gettrace()
        sys.settrace(None)
        try:
            return method(*arguments, **options)
        finally:
            sys.settrace(tracer)

    return call


@pytest.fixture(scope="session")
def data():
    return pretend_data()


@pytest.fixture(scope="session")
def small_settings():
    return Settings(**SMALL)


@pytest.fixture(scope="session")
def bundle(data, small_settings):
    """A bundle trained for a few epochs on pretend views."""
    from larun.network.fit import fit

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(evaluate, "BOOTSTRAPS", DRAWS)
        return fit(small_settings, data, "0001", lambda done: None)


@pytest.fixture
def few_draws(monkeypatch):
    """Scores with quick intervals."""
    for module in (evaluate, compare):
        monkeypatch.setattr(module, "BOOTSTRAPS", DRAWS)
