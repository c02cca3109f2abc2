"""The pages lead somewhere: links exist, decision records are listed, commands have the options that are shown."""

import re
from pathlib import Path

import pytest

from larun.cli import app

PROJECT = Path(__file__).parent.parent
PAGES = sorted(
    page for pattern in ("*.md", "docs/**/*.md", "deployments/*.md") for page in PROJECT.glob(pattern) if page.is_file()
)
DECISIONS = PROJECT / "docs" / "decisions"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_links_lead_to_files_and_headings(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" in link:
            continue
        path, _, heading = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if heading:
            headings = re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE)
            assert heading in {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings}, link


def test_decision_records_count_up_and_are_listed_with_their_titles():
    records = sorted(DECISIONS.glob("0*.md"))
    titles = [record.read_text().splitlines()[0].removeprefix("# ") for record in records]
    assert [int(record.name[:4]) for record in records] == list(range(1, len(records) + 1))
    listed = re.findall(r"^(\d+)\. \[(.+)\]\((.+)\)$", (DECISIONS / "README.md").read_text(), re.MULTILINE)
    assert listed == [(*title.split(". ", 1), record.name) for title, record in zip(titles, records, strict=True)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_commands_in_pages_exist_with_their_options(page):
    from typer.main import get_command

    larun = get_command(app)
    for line in re.findall(r"(?:^|`)(?:\.venv/bin/)?larun ([^`#|\n]+)", page.read_text(), re.MULTILINE):
        command, words = larun, line.split()
        while words and words[0] in getattr(command, "commands", {}):
            command = command.commands[words.pop(0)]
        if command is larun:
            continue
        known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        used = set(re.findall(r"(?:^|\s)(--[a-z-]+)", " ".join(words)))
        assert used <= known | {"--help"}, line
