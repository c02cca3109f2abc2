"""Which sweep readers see."""

import pytest

from larun.errors import InputError, NotInStore
from larun.objects import Root
from larun.paths import Product
from larun.store.publish import publish
from larun.survey.published import choose_published, find_published, published_candidates

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


def test_what_is_said_of_a_sweep_decides_which_it_is(root):
    with pytest.raises(NotInStore, match="no published sweep; run"):
        find_published(root)
    other = Product("tess", 1, "qlp", 1800)
    publish(root, ONE, "r1", {})
    assert find_published(root) == ONE
    with pytest.raises(NotInStore, match="no published sweep of mission kepler; it has tess/s0001/spoc-120s"):
        find_published(root, mission="kepler")
    publish(root, TWO, "r2", {})
    publish(root, other, "r3", {})
    assert find_published(root, mission="kepler") == find_published(root, 5) == TWO
    assert find_published(root, 1, author="qlp") == other
    with pytest.raises(InputError, match=r"several .* of sector 1: tess/s0001/.*choose one with .*--author"):
        find_published(root, 1)
    with pytest.raises(NotInStore, match="of mission tess, sector 5;"):
        find_published(root, 5, "tess")
