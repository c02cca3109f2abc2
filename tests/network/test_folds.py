"""Cross-validation: who is trained on, who chooses, who is scored."""

import numpy as np
import pytest

from larun.errors import InputError
from larun.network.folds import cross_validate, fold_of


def test_a_star_is_in_one_fold_and_stays_there():
    star = np.array([f"star {i % 50}" for i in range(200)])
    fold = fold_of(star, 5, 1)
    assert {len(set(fold[star == name])) for name in star} == {1}
    assert np.array_equal(fold_of(star[:40], 5, 1), fold[:40])
    assert np.bincount(fold, minlength=5).min() > 0
    assert not np.array_equal(fold_of(star, 5, 2), fold)


@pytest.mark.usefixtures("few_draws")
def test_every_star_is_scored_once_by_a_network_that_never_saw_it(data):
    trained = []

    def fitted(train, choosing, stage):
        trained.append((set(train.star), set(choosing.star), stage))
        seen = {view.tobytes() for view in np.concatenate([train.views, choosing.views])}

        def logits(views):
            # Right where it has seen the view, wrong (class 0) elsewhere.
            known = {view.tobytes(): label for view, label in zip(data.views, data.label, strict=True)}
            return np.stack([8.0 * np.eye(6)[known[v.tobytes()] if v.tobytes() in seen else 0] for v in views]).astype(
                np.float32
            )

        return logits

    said = cross_validate(data, 3, 1, fitted)
    assert [stage for *_, stage in trained] == ["fold-1", "fold-2", "fold-3"]
    for train, choosing, _ in trained:
        assert not train & choosing
        assert train | choosing < set(data.star)
    assert sum(said["stars"]) == len(set(data.star))
    assert said["metrics"]["all"]["views"] == len(data)
    assert said["metrics"]["all"]["accuracy"]["value"] == pytest.approx(np.mean(data.label == 0), abs=1e-4)


def test_a_fold_without_a_class_is_named(data):
    with pytest.raises(InputError, match=r"fold \d of 3 has no view of eclipsing_binary"):
        cross_validate(data.take((data.label != 3) | (data.star == "star 1")), 3, 1, None)
