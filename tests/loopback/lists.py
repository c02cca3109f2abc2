"""Bulk download lists and the pages that link to them.

Names and forms as the archive's own scripts have them: those of the mission by PITFALLS and by many public clients;
those of TESS-SPOC and QLP by public clients alone (file names ``..._dl-lc.sh`` and ``..._llc-fits.sh``, folder
``/hlsps/NAME/download_scripts/``, lines ``curl -f --create-dirs --output 'PATH' 'URL'``). Whether the lines of the
two high-level lists quote their arguments in every sector was not verified.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cached_property

from tests.loopback.answer import Answer, page, text
from tests.loopback.library import Held, Library

_HOST = "https://mast.stsci.edu/api/v0.1/Download/file/?uri="
_MISSION = "/missions/tess/download_scripts/sector/"
_INDEX = "/tess/bulk_downloads/bulk_downloads_ffi-tp-lc-dv.html"
_HLSP = {
    "tess-spoc": "hlsp_tess-spoc_tess_phot_s{:04d}_tess_v1_dl-lc.sh",
    "qlp": "hlsp_qlp_tess_ffi_s{:04d}_tess_v01_llc-fits.sh",
}

Kind = tuple[str, bool]
"""Author, and whether the cadence is 20 s."""


def _kind(item: Held) -> Kind:
    return item.author, item.exposure_s < 60


def _path(kind: Kind, sector: int) -> str:
    author, fast = kind
    if author == "spoc":
        return f"{_MISSION}tesscurl_sector_{sector}_{'fast-lc' if fast else 'lc'}.sh"
    return f"/hlsps/{author}/download_scripts/{_HLSP[author].format(sector)}"


def _mission_line(item: Held) -> str:
    return f"curl -C - -L -o {item.name} {_HOST}{item.uri}"


def _hlsp_line(item: Held) -> str:
    place = item.uri.removeprefix(f"mast:HLSP/{item.author}/")
    return f"curl -f --create-dirs --output './{place}' '{_HOST}{item.uri}'"


class Lists:
    """Bulk lists of a library.

    Parameters
    ----------
    library : Library
        What is held.
    """

    def __init__(self, library: Library):
        self.library = library

    @cached_property
    def _listed(self) -> dict[str, list[Held]]:
        """Products of each list, by its path."""
        found: dict[str, list[Held]] = {}
        for item in self.library.held:
            if item.author == "spoc" or item.author in _HLSP:
                found.setdefault(_path(_kind(item), item.sector), []).append(item)
        return found

    def answer(self, path: str) -> Answer:
        """A list, or a page of links to lists; 404 for a sector that is not held."""
        lists = self._listed
        if path in lists:
            line: Callable[[Held], str] = _mission_line if path.startswith(_MISSION) else _hlsp_line
            return text("#!/bin/sh\n" + "".join(f"{line(item)}\n" for item in lists[path]), "application/x-sh")
        if path == _INDEX:
            return _page([p for p in lists if p.startswith(_MISSION)])
        match = re.fullmatch(r"/hlsps/([a-z-]+)/download_scripts/", path)
        if match and match[1] in _HLSP:
            return _page([p.rpartition("/")[2] for p in lists if p.startswith(path)])
        return page(404, f"there is nothing at {path}")


def _page(links: list[str]) -> Answer:
    rows = "".join(f'<tr><td><a href="{link}">{link.rpartition("/")[2]}</a></td></tr>\n' for link in sorted(links))
    body = (
        f"<!DOCTYPE html>\n<html><head><title>Bulk Downloads</title></head><body><table>\n{rows}</table></body></html>"
    )
    return text(body, "text/html; charset=UTF-8")
