"""Small simulated sectors that several tests look at."""

import pytest

from larun.config import SimulateSettings
from larun.simulate.sector import SimulatedSector


@pytest.fixture(scope="session")
def full() -> SimulatedSector:
    """Sector of the length of the real sector 1."""
    return SimulatedSector(
        SimulateSettings(stars=60, days=27.883, seed=11, planet_fraction=0.3, binary_fraction=0.15), 1
    )


@pytest.fixture(scope="session")
def short() -> SimulatedSector:
    """Six days, all kinds of stars."""
    settings = SimulateSettings(
        stars=150,
        days=6.0,
        seed=5,
        planet_fraction=0.2,
        binary_fraction=0.2,
        variable_fraction=0.2,
        artefact_fraction=0.15,
        anomaly_fraction=0.15,
    )
    return SimulatedSector(settings, 3)
