import pickle

import pytest

from larun.archive.protocol import Archive
from larun.config import SimulateSettings
from larun.errors import InputError, ProductAbsent
from larun.lightcurve import Star
from larun.paths import Product
from larun.plan import PlannedTarget
from larun.simulate.archive import SimulatedArchive

SETTINGS = SimulateSettings(stars=4, days=2.0)
PRODUCT = Product("tess", 5, "simulated", 120)


def test_it_is_an_archive():
    archive = SimulatedArchive(SETTINGS)
    assert isinstance(archive, Archive)
    assert archive.name == "simulated"


def test_targets_and_their_files():
    archive = SimulatedArchive(SETTINGS)
    targets = archive.targets(PRODUCT).targets
    assert len(targets) == 4
    fetched = archive.fetch(PRODUCT, targets[2])
    assert fetched.data.startswith(b"SIMPLE  =                    T")
    assert fetched.source == f"simulated:{targets[2].product.rpartition('/')[2]}"
    again = pickle.loads(pickle.dumps(archive))
    assert len(pickle.dumps(archive)) < 3000
    assert again.fetch(PRODUCT, targets[2]).data == fetched.data


@pytest.mark.parametrize("change", [{"planet_fraction": 0.2}, {"days": 3.0}, {"seed": 1}])
def test_products_of_another_simulation_have_other_names(change):
    """A plan names its products, so a sector is never resumed with another simulation."""
    names = {t.product for t in SimulatedArchive(SETTINGS).targets(PRODUCT)}
    assert not names & {t.product for t in SimulatedArchive(SETTINGS.model_copy(update=change)).targets(PRODUCT)}


@pytest.mark.parametrize(
    "product",
    [
        Product("tess", 5, "spoc", 120),
        Product("tess", 5, "simulated", 20),
        Product("kepler", 5, "simulated", 120),
    ],
)
def test_other_products_are_refused(product):
    with pytest.raises(InputError, match="simulated-120s"):
        SimulatedArchive(SETTINGS).targets(product)


def test_an_unknown_star_is_absent():
    with pytest.raises(ProductAbsent, match="has no star"):
        SimulatedArchive(SETTINGS).fetch(PRODUCT, PlannedTarget(Star(target_id=261136679), "x.fits"))
