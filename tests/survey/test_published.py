"""Which sweep readers see."""

import pytest

from larun.errors import InputError, NotInStore
from larun.objects import Root
from larun.paths import Product
from larun.store.publish import publish
from larun.survey.published import choose_published, published_candidates

ONE, TWO = Product("tess", 1, "spoc", 120), Product("kepler", 5, "kepler", 1765)


@pytest.fixture
def root(tmp_path):
    return Root(str(tmp_path))


def test_nothing_is_published(root):
    with pytest.raises(NotInStore, match="no published sweep; run `larun sweep` first"):
        choose_published(root)


def test_the_only_one_needs_no_name(root):
    publish(root, ONE, "r1", {"n_candidates": 3})
    assert choose_published(root) == (ONE, {"run": "r1", "n_candidates": 3})
    assert choose_published(root, ONE) == choose_published(root)
    with pytest.raises(NotInStore, match=r"of kepler/q05/kepler-1765s; it has tess/s0001/spoc-120s"):
        choose_published(root, TWO)


def test_several_need_a_name(root):
    publish(root, ONE, "r1", {})
    publish(root, TWO, "r2", {})
    with pytest.raises(InputError, match="choose one with --sector"):
        choose_published(root)
    assert choose_published(root, TWO) == (TWO, {"run": "r2"})


def test_a_run_whose_table_is_gone_is_said_to_be_absent(root):
    publish(root, ONE, "r1", {})
    with pytest.raises(NotInStore, match="run=r1"):
        published_candidates(root)
