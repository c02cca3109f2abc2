"""Vetting: which events are probably no planets, as data that can be read, counted and argued with."""

from larun.vet.checks import CHECKS, Check, Stars, Verdict, density_solar, flag, verdicts
from larun.vet.sector import pile_up

__all__ = ["CHECKS", "Check", "Stars", "Verdict", "density_solar", "flag", "pile_up", "verdicts"]
