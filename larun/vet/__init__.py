"""Vetting: which events are probably no planets, as data that can be read, counted and argued with."""

from larun.vet.checks import CHECKS, Check, Verdict, flag, verdicts
from larun.vet.quantities import Stars, density_solar
from larun.vet.sector import INPUTS, SECTOR_CHECKS, vet_sector, within

__all__ = [
    "CHECKS",
    "INPUTS",
    "SECTOR_CHECKS",
    "Check",
    "Stars",
    "Verdict",
    "density_solar",
    "flag",
    "verdicts",
    "vet_sector",
    "within",
]
