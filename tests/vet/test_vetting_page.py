"""The page on vetting says what the tests are."""

from pathlib import Path

import pytest

from larun import candidates
from larun.config import VetSettings
from larun.schema import EventFlag
from larun.vet import CHECKS, SECTOR_CHECKS

PAGE = (Path(__file__).parents[2] / "docs" / "vetting.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("check", [*CHECKS, *SECTOR_CHECKS], ids=lambda check: check.threshold)
def test_every_test_is_listed_with_its_threshold_and_paper(check):
    limit = VetSettings.model_fields[check.threshold].default
    sign = ">" if check.raised_above else "<"
    unit = f" {check.unit}" if check.unit else ""
    flagged_if = f"{sign} {limit:g}{unit} (`{check.threshold}`)"
    assert f"| `{check.flag.name.lower()}` | {flagged_if} | {check.meaning} | {check.paper} |" in PAGE


def test_the_page_says_what_each_flag_does_to_the_score():
    ranking = PAGE.split("## What flags do to the ranking")[1].split("## ")[0]
    strong, weak = ranking.split("times 0.5")
    weak = weak.split("`v_shape`")[0]
    for flag in EventFlag:
        name = f"`{flag.name.lower()}`"
        assert (name in strong) == (flag in candidates.FALSE_POSITIVE_FLAGS)
        assert (name in weak) == (flag in candidates.DOUBT_FLAGS)
