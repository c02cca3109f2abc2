"""Static pages of a published sweep: one of the sector, one of each candidate."""

from larun.report.pages import write_report

__all__ = ["write_report"]
