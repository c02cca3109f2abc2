"""Inference: calibrated probabilities from the INT8 network alone."""

import subprocess
import sys

import numpy as np
import pytest

from larun.bundles import FLOAT_FILE, KERAS_FILE, load_bundle
from larun.errors import BundleError, InputError
from larun.network.infer import Classifier, Interpreter, calibrated


@pytest.fixture(scope="module")
def default():
    return load_bundle("default")


@pytest.fixture(scope="module")
def views():
    rng = np.random.default_rng(0)
    return np.clip(0.3 * rng.standard_normal((150, 1024)), -1, 1).astype(np.float32)


def test_rows_are_probabilities(default, views):
    probabilities = Classifier(default).probabilities(views)
    assert probabilities.shape == (150, 6)
    assert probabilities.dtype == np.float32
    assert probabilities.sum(axis=1) == pytest.approx(1.0, abs=1e-5)
    assert probabilities.min() >= 0


@pytest.mark.parametrize("batch", [1, 64, 256])
def test_the_batch_does_not_matter(default, views, batch):
    expected = Classifier(default, batch=7).probabilities(views)
    assert np.array_equal(Classifier(default, batch).probabilities(views), expected)


def test_no_views_are_no_rows(default):
    assert Classifier(default).probabilities(np.empty((0, 1024))).shape == (0, 6)


def test_int8_ranks_like_the_float_network(default, views):
    from scipy.stats import spearmanr

    exact = Interpreter(default.files[FLOAT_FILE]).logits(views)
    int8 = Classifier(default)._interpreter.logits(views)
    for k in range(6):
        assert spearmanr(exact[:, k], int8[:, k]).statistic > 0.9


def test_another_length_is_refused(default):
    with pytest.raises(InputError, match=r"should be \(n, 1024\), they are \(3, 512\)"):
        Classifier(default).probabilities(np.zeros((3, 512)))


def test_nan_is_refused(default, views):
    wrong = views.copy()
    wrong[3, 7] = np.nan
    with pytest.raises(InputError, match="1 of 150 views hold NaN"):
        Classifier(default).probabilities(wrong)


def test_something_else_is_no_network(default):
    with pytest.raises(BundleError, match="no readable TFLite"):
        Interpreter(default.files[KERAS_FILE])


def test_calibration_is_a_softmax_of_scaled_and_shifted_logits():
    logits = np.array([[2.0, 0, 0, 0, 0, -2.0]])
    bias = np.array([0, 0.5, 0, 0, 0, 0])
    expected = np.exp(np.array([1.0, 0.5, 0, 0, 0, -1.0]))
    assert calibrated(logits, 2.0, bias)[0] == pytest.approx(expected / expected.sum(), rel=1e-6)
    assert np.isfinite(calibrated(logits * 1e4, 1.0, bias)).all()


def test_no_tensorflow_and_no_keras_are_loaded():
    code = (
        "import sys, numpy as np\n"
        "from larun.bundles import load_bundle\n"
        "from larun.network.infer import Classifier\n"
        "Classifier(load_bundle('default')).probabilities(np.zeros((2, 1024)))\n"
        "sys.exit(any(name.split('.')[0] in ('tensorflow', 'keras', 'jax') for name in sys.modules))\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
