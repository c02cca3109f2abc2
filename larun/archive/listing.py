"""Which targets a sector has: the bulk download list of MAST, read once, with positions where MAST tells them."""

from __future__ import annotations

import hashlib
import io
import logging
import re
from collections.abc import Callable, Iterable
from urllib.parse import unquote, urlsplit

from larun.archive.caom import caom_rows
from larun.archive.failures import redact
from larun.archive.http import PROXY_HINT, Client
from larun.archive.names import ffi_cadence_s, name_of, parse
from larun.archive.wire import Answer
from larun.config import ArchiveSettings
from larun.errors import ArchiveError, ArchiveOutage, ArchiveRefused, InputError, ProductError, ProductUnreachable
from larun.lightcurve import Star
from larun.paths import Product
from larun.plan import PlannedTarget, TargetList

log = logging.getLogger(__name__)

FAST_FIRST_SECTOR = 27
"""20-s light curves exist from here on."""

_INDEX = {
    "spoc": "/tess/bulk_downloads/bulk_downloads_ffi-tp-lc-dv.html",
    "tess-spoc": "/hlsps/tess-spoc/download_scripts/",
    "qlp": "/hlsps/qlp/download_scripts/",
}
_LISTS = {
    ("spoc", 120): "/missions/tess/download_scripts/sector/tesscurl_sector_{sector}_lc.sh",
    ("spoc", 20): "/missions/tess/download_scripts/sector/tesscurl_sector_{sector}_fast-lc.sh",
    ("tess-spoc", 0): "/hlsps/tess-spoc/download_scripts/hlsp_tess-spoc_tess_phot_s{sector:04d}_tess_v1_dl-lc.sh",
    ("qlp", 0): "/hlsps/qlp/download_scripts/hlsp_qlp_tess_ffi_s{sector:04d}_tess_v01_llc-fits.sh",
}
_GAP = 3
"""Sectors without a list after which no more are looked for."""

_MOST_SECTORS = 999

_URI = re.compile(r"""[?&]uri=([^'"\s&]+)""")
_SHELL = ("#", "mkdir ", "cd ", "echo ", "set ", "export ", "exit")
"""Beginnings of lines of a download script that name no file."""


def list_path(author: str, cadence_s: int, sector: int) -> str:
    """Path of the bulk list of a sector on the host of the lists.

    Raises
    ------
    InputError
        MAST has no bulk list of such products; says of which it has.
    """
    return _template(author, cadence_s).format(sector=sector)


def _template(author: str, cadence_s: int) -> str:
    path = _LISTS.get((author, cadence_s if author == "spoc" else 0))
    if path is None:
        raise InputError(
            f"MAST has bulk lists of spoc (120 s and 20 s), tess-spoc and qlp light curves, not of {author} "
            f"{cadence_s} s"
        )
    return path


def require_known(product: Product) -> None:
    """Refuse a product that MAST's bulk lists cannot have.

    Raises
    ------
    InputError
        Says what there is.
    """
    if product.mission != "tess":
        raise InputError(f"the sectors of MAST and its bucket are TESS's; fetch {product} with --from lightkurve")
    list_path(product.author, product.cadence_s, product.sector)
    if product.author != "spoc" and product.cadence_s != ffi_cadence_s(product.sector):
        raise InputError(
            f"full-frame images of sector {product.sector} were taken every {ffi_cadence_s(product.sector)} s, "
            f"not every {product.cadence_s} s"
        )


def lists_client(settings: ArchiveSettings, budget: str, *, patient: bool = True) -> Client:
    """Client of the host of the lists: a service of its own in the budget, unless MAST itself has them."""
    hosts = (urlsplit(settings.lists_url).netloc, urlsplit(settings.mast_url).netloc)
    return Client("mast" if hosts[0] == hosts[1] else "lists", settings, budget, settings.lists_url, patient=patient)


def targets(lists: Client, mast: Client, settings: ArchiveSettings, product: Product) -> TargetList | None:
    """Targets of a product by its bulk list, with positions from MAST; None where there is no such list.

    Raises
    ------
    InputError
        A line of the list cannot be understood, or it names no light curve of the product.
    ArchiveRefused
        Something else than a list came: a proxy answers.
    ProductUnreachable, ArchiveError
        As `Client.get`.
    """
    answer = lists.get(settings.lists_url.rstrip("/") + list_path(product.author, product.cadence_s, product.sector))
    if answer.status != 200:
        return None
    refuse_html(answer, "a list of downloads")
    names = read_names(answer.data, product, answer.url)
    known = positions(mast, settings, product)
    if unlisted := len(known.keys() - names.keys()):
        log.warning("MAST knows %d stars with light curves of %s that %s does not name", unlisted, product, answer.url)
    return TargetList(place(names, known), answer.url, hashlib.sha256(answer.data).hexdigest())


def targets_or(
    lists: Client, mast: Client, settings: ArchiveSettings, product: Product, other: Callable[[], TargetList | None]
) -> TargetList | None:
    """Targets by the bulk list, or in another way where that is not to be had; None where there is no such sector.

    Raises
    ------
    InputError
        As in `targets`.
    ArchiveError
        Neither is to be had; a refusal of the list counts for more than what the other way met.
    """
    found = no_list = None
    try:
        found = targets(lists, mast, settings, product)
    except (ProductUnreachable, ArchiveError) as error:
        log.warning("the bulk list of %s is not to be had, the archive itself is asked instead: %s", product, error)
        no_list = error
    finally:
        lists.close()
    try:
        return found or other()
    except (ProductUnreachable, ArchiveError) as error:
        if isinstance(no_list, ArchiveRefused):
            raise no_list from error
        if isinstance(error, ArchiveError):
            raise
        raise ArchiveOutage(f"the target list of {product} is not to be had: {error}") from error


def refuse_html(answer: Answer, expected: str) -> None:
    """Refuse a web page where something else must come.

    Raises
    ------
    ArchiveRefused
        It is a web page.
    """
    if answer.is_html:
        raise ArchiveRefused(
            f"{answer.url} should be {expected}, and a web page came, beginning {answer.data[:60]!r}: {PROXY_HINT}"
        )


def read_names(data: bytes, product: Product, url: str = "") -> dict[int, str]:
    """Names of a download script by target number; of two files of one target the later, by name.

    Files of other products are left out. A line that is neither shell nor a download is refused, so that a list that
    broke off or was mixed up never becomes a plan.

    Raises
    ------
    InputError
        Names the first line that cannot be understood, or the list names no light curve of the product.
    """
    names: dict[int, str] = {}
    others = 0
    for number, line in enumerate(io.BytesIO(data), start=1):
        text = line.decode(errors="replace").strip()
        if not text or text.startswith(_SHELL):
            continue
        uris = _URI.findall(text)
        if not uris or not text.startswith(("curl ", "wget ")):
            raise InputError(
                f"{redact(url)}: line {number} is no download of a file: {text[:120]!r}; fetch the list again"
            )
        name = unquote(uris[-1]).rpartition("/")[2]
        said = parse(name)
        if said is None or said.product != product:
            others += 1
        elif name > names.get(said.target_id, ""):
            names[said.target_id] = name
    if others:
        log.warning("%s names %d files that are no light curves of %s; they are left out", redact(url), others, product)
    if not names:
        raise InputError(f"{redact(url)} names no light curve of {product}")
    return names


def place(names: dict[int, str], known: dict[int, Star]) -> tuple[PlannedTarget, ...]:
    """Targets in order of number, with what is known about their stars."""
    return tuple(PlannedTarget(known.get(number, Star(number)), names[number]) for number in sorted(names))


def positions(client: Client, settings: ArchiveSettings, product: Product) -> dict[int, Star]:
    """Stars of a product with their positions, by number; empty where MAST does not tell now."""
    try:
        rows = caom_rows(client, settings, product)
    except (ProductError, ArchiveError) as error:
        log.warning("the targets of %s are ordered by number, their positions are not to be had: %s", product, error)
        return {}
    return {star.target_id: star for star, _ in rows}


def targets_by_query(client: Client, settings: ArchiveSettings, product: Product) -> TargetList | None:
    """Targets of a product by one query of MAST's catalogue of observations; None where it has none.

    Raises
    ------
    ProductUnreachable, ArchiveError
        As `Client.post`.
    """
    rows = caom_rows(client, settings, product)
    names: dict[int, str] = {}
    for star, file in rows:
        said = parse(file)
        name = file if said is not None and said.product == product else _by_rule(product, star.target_id, file)
        if name > names.get(star.target_id, ""):
            names[star.target_id] = name
    if not names:
        return None
    found = place(names, {star.target_id: star for star, _ in rows})
    text = "\n".join(f"{t.product} {t.star.ra} {t.star.dec}" for t in found)
    url = f"{settings.mast_url.rstrip('/')}/api/v0/invoke"
    return TargetList(found, redact(url), hashlib.sha256(text.encode()).hexdigest())


def _by_rule(product: Product, number: int, file: str) -> str:
    """Name of a target's light curve from that of another file of it, such as its pixels."""
    kind = "a_fast-lc" if product.cadence_s == 20 else "s_lc"
    return name_of(product, number, re.sub(r"-(?:s|a_fast)(?:[_-]\w+)?(?:\.fits)?$", f"-{kind}.fits", file))


def sectors(client: Client, settings: ArchiveSettings, author: str, cadence_s: int) -> list[int]:
    """Sectors with a bulk list, increasing: by the page that links them, or by looking for one list after another.

    Raises
    ------
    InputError
        There are no lists of such products.
    ArchiveRefused
        Something answers for every sector that there could be: a proxy.
    ProductUnreachable, ArchiveError
        As `Client.get`.
    """
    pattern = re.sub(r"\\\{.*?\\\}", r"(\\d+)", re.escape(_template(author, cadence_s).rpartition("/")[2]))
    answer = client.get(settings.lists_url.rstrip("/") + _INDEX[author])
    found = {int(number) for number in re.findall(pattern, answer.data.decode(errors="replace"))}
    if not found:
        log.warning("%s links no lists (status %d); each list is looked for", answer.url, answer.status)
        found = set(_probed(client, settings, author, cadence_s))
    return sorted(found if author == "spoc" else {s for s in found if ffi_cadence_s(s) == cadence_s})


def _probed(client: Client, settings: ArchiveSettings, author: str, cadence_s: int) -> Iterable[int]:
    sector = FAST_FIRST_SECTOR if (author, cadence_s) == ("spoc", 20) else 1
    missing = 0
    while missing < _GAP:
        if sector > _MOST_SECTORS:
            raise ArchiveRefused(f"{settings.lists_url} answers for every sector up to {_MOST_SECTORS}: {PROXY_HINT}")
        url = settings.lists_url.rstrip("/") + list_path(author, cadence_s, sector)
        answer = client.get(url, method="HEAD")
        if answer.status == 200 and not answer.is_html:
            missing = 0
            yield sector
        else:
            missing += 1
        sector += 1
