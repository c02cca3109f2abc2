"""Services of catalogues on loopback."""

import pytest

from tests.loopback.services import Services, serving, settings_for


@pytest.fixture(scope="session")
def served():
    """Address of the services, and what they hold."""
    services = Services()
    with serving(services.application()) as url:
        yield url, services


@pytest.fixture
def services(served) -> Services:
    """What the services hold, fresh for each test."""
    served[1].reset()
    return served[1]


@pytest.fixture
def tables(services):
    return services.tables


@pytest.fixture
def settings(served, services):
    return settings_for(served[0])
