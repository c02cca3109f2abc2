"""The `simulated` archive: products that are made when they are fetched."""

from __future__ import annotations

from dataclasses import dataclass

from larun.config import SimulateSettings, digest
from larun.errors import InputError, ProductAbsent
from larun.paths import Product
from larun.plan import PlannedTarget, TargetList
from larun.simulate.sector import SimulatedSector


@dataclass(frozen=True, slots=True)
class Generated:
    """A product as it was made: its bytes, and a name that says so."""

    data: bytes
    source: str


class SimulatedArchive:
    """Archive of simulated sectors, any sector number; the same bytes in any order and process.

    Parameters
    ----------
    settings : SimulateSettings
        The simulation.
    """

    name = "simulated"

    def __init__(self, settings: SimulateSettings):
        self.settings = settings
        self._sectors: dict[int, SimulatedSector] = {}

    def __reduce__(self):
        return type(self), (self.settings,)

    def targets(self, product: Product) -> TargetList:
        """All stars of a simulated sector.

        The name of a product begins with the digest of the simulation, so that a plan is of one simulation only.

        Raises
        ------
        InputError
            The product is not a simulated one of the settings' cadence.
        """
        sector = self._sector(product)
        place = f"simulation-{digest(self.settings)[:12]}"
        return TargetList(
            tuple(PlannedTarget(star, f"{place}/{sector.file_name(star.target_id)}") for star in sector.stars)
        )

    def fetch(self, product: Product, target: PlannedTarget) -> Generated:
        """Make one star's file.

        Raises
        ------
        InputError
            The product is not a simulated one of the settings' cadence.
        ProductAbsent
            The sector has no such star.
        """
        sector, number = self._sector(product), target.star.target_id
        try:
            data = sector.fits(number)
        except InputError as error:
            raise ProductAbsent(str(error)) from error
        return Generated(data, f"simulated:{sector.file_name(number)}")

    def close(self) -> None:
        """Nothing is held open."""

    def _sector(self, product: Product) -> SimulatedSector:
        if (product.mission, product.author, product.cadence_s) != ("tess", "simulated", self.settings.cadence_s):
            raise InputError(
                f"the simulated archive holds tess/s{product.sector:04d}/simulated-{self.settings.cadence_s}s, "
                f"not {product}; ask for author `simulated` and cadence {self.settings.cadence_s} s, or change "
                "simulate.cadence_s"
            )
        if product.sector not in self._sectors:
            self._sectors[product.sector] = SimulatedSector(self.settings, product.sector)
        return self._sectors[product.sector]
