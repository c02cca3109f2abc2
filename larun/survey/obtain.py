"""One target's product from the archives in their order: fetched, decoded, verified, and asked for again if damaged."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

import xxhash

from larun.archive.decode import decode, verify
from larun.archive.failures import without_secrets
from larun.archive.protocol import Archive, Fetched
from larun.errors import (
    ArchiveError,
    ArchiveOutage,
    ArchiveRefused,
    InputError,
    ProductAbsent,
    ProductCorrupt,
    ProductError,
    ProductRejected,
)
from larun.lightcurve import LightCurve, Star
from larun.paths import Product
from larun.plan import PlannedTarget
from larun.schema import Status

logger = logging.getLogger(__name__)

DOWNLOADS = 3
"""Times that one archive is asked for a product that arrives damaged."""

REASON_LENGTH = 600
"""Characters of a reason at most; a record holds one for every target that is not stored."""

_SEVERITY = (Status.CORRUPT, Status.UNREACHABLE, Status.ABSENT)
"""Of what several archives said the first of these is the target's status."""

Checked = TypeVar("Checked")


@dataclass(frozen=True, slots=True)
class Obtained(Generic[Checked]):
    """What the archives gave for one target.

    Parameters
    ----------
    status : str
        ``stored`` where there is a light curve; else one of the other values of `larun.schema.Status`.
    reason : str
        What each archive said, where there is no light curve.
    archive : str
        Archive that delivered what the status speaks of; empty where nothing came.
    source : str
        File name or URL of it; empty where nothing came.
    xxh128 : str
        Hexadecimal XXH3-128 of the product as it arrived; empty where nothing came.
    star : Star, optional
        What the header of a sound product says about the target, stored or rejected.
    checked : object, optional
        What the check made of the light curve; the light curve itself without a check.
    damaged : bytes, optional
        The product, where it arrived and failed verification.
    """

    status: str
    reason: str = ""
    archive: str = ""
    source: str = ""
    xxh128: str = ""
    star: Star | None = None
    checked: Checked | None = None
    damaged: bytes | None = None


class _Answer(NamedTuple):
    """What one archive gave in the end; `error` is set where it does not serve."""

    obtained: Obtained
    error: ArchiveError | None = None


def _itself(curve: LightCurve) -> LightCurve:
    return curve


def obtain(
    archives: Sequence[Archive],
    product: Product,
    target: PlannedTarget,
    check: Callable[[LightCurve], Checked] = _itself,
) -> Obtained[Checked]:
    """Product of one target, from the first archive that delivers it whole.

    An archive whose product arrives damaged is asked again, up to `DOWNLOADS` times in all, but not after two equal
    downloads: its own copy is damaged then. An archive that does not have the product, does not deliver it or is out
    of service is followed by the next.

    Parameters
    ----------
    archives : sequence of Archive
        In the order in which they are asked.
    product : Product
        The sector.
    target : PlannedTarget
        What is wanted.
    check : callable
        Takes the verified light curve; raises `ProductCorrupt` where it is damaged after all, and
        `ProductRejected` where it is sound and of no use, which ends the search.

    Returns
    -------
    Obtained
        Of several failures the gravest decides on the status: damage, then no delivery. A target is absent only if
        every archive says so.

    Raises
    ------
    ArchiveError
        No archive that could have the product serves: `ArchiveOutage` where one of them may do so later.
    MemoryError
        Which is no fault of the target.
    """
    answers: list[tuple[str, _Answer]] = []
    for archive in archives:
        answer = _ask(archive, product, target, check)
        if answer.error is None and answer.obtained.status in (Status.STORED, Status.REJECTED):
            return answer.obtained
        answers.append((archive.name, answer))
    _require_service(answers)
    worst = min(
        (answer.obtained for _, answer in answers if answer.error is None),
        key=lambda obtained: _SEVERITY.index(obtained.status),
    )
    said = [(name, str(answer.error) if answer.error else answer.obtained.reason) for name, answer in answers]
    reason = said[0][1] if len(said) == 1 else "; ".join(f"{name}: {text}" for name, text in said)
    return Obtained(worst.status, _bounded(reason), worst.archive, worst.source, worst.xxh128, damaged=worst.damaged)


def _require_service(answers: list[tuple[str, _Answer]]) -> None:
    """Raise where no archive that could have the product serves; one that says it has not could not."""
    if any(answer.error is None and answer.obtained.status != Status.ABSENT for _, answer in answers):
        return
    out = [answer.error for _, answer in answers if answer.error is not None]
    if not out:
        return
    kind = ArchiveOutage if any(isinstance(error, ArchiveOutage) for error in out) else ArchiveRefused
    if len(out) == 1:
        raise out[0]
    raise kind("; ".join(map(str, out))) from out[0]


def _ask(archive: Archive, product: Product, target: PlannedTarget, check: Callable[[LightCurve], Checked]) -> _Answer:
    """What one archive gives, asked again while its product arrives damaged."""
    seen: set[str] = set()
    for download in range(1, DOWNLOADS + 1):
        answer = _ask_once(archive, product, target, check)
        obtained = answer.obtained
        if obtained.status != Status.CORRUPT or not obtained.xxh128 or answer.error is not None:
            return answer
        if obtained.xxh128 in seen:
            break
        seen.add(obtained.xxh128)
        if download < DOWNLOADS:
            logger.info("%s came damaged from %s and is asked for again", target.product, archive.name)
    return answer


def _ask_once(
    archive: Archive, product: Product, target: PlannedTarget, check: Callable[[LightCurve], Checked]
) -> _Answer:
    """One download, decoded, verified and checked; whatever befalls it is the answer."""
    try:
        fetched = archive.fetch(product, target)
    except ProductError as error:
        return _Answer(Obtained(error.status, _bounded(str(error))))
    except InputError as error:
        return _Answer(Obtained(ProductAbsent.status, _bounded(str(error))))
    except ArchiveError as error:
        return _Answer(Obtained(Status.UNREACHABLE), error)
    except OSError as error:
        # `strerror` leaves out the path, which differs from machine to machine.
        reason = f"{type(error).__name__}: {error.strerror or error}"
        return _Answer(Obtained(Status.UNREACHABLE, _bounded(reason)))
    except MemoryError:
        raise
    except Exception as error:
        # Nothing arrived that could be damaged.
        logger.exception("fetching %s from %s failed in an unforeseen way", target.product, archive.name)
        return _Answer(Obtained(Status.UNREACHABLE, _bounded(f"{type(error).__name__}: {error}")))
    return _Answer(_examined(archive, product, target, fetched, check))


def _examined(
    archive: Archive, product: Product, target: PlannedTarget, fetched: Fetched, check: Callable[[LightCurve], Checked]
) -> Obtained[Checked]:
    came = {
        "archive": archive.name,
        "source": source_name(fetched.source),
        "xxh128": xxhash.xxh3_128_hexdigest(fetched.data),
    }
    try:
        curve = decode(fetched.data, came["source"])
        verify(curve, product, target.star.target_id)
        try:
            return Obtained(Status.STORED, checked=check(curve), star=curve.star, **came)
        except ProductRejected as error:
            return Obtained(error.status, _bounded(str(error)), star=curve.star, **came)
    except ProductCorrupt as error:
        return Obtained(error.status, _bounded(str(error)), damaged=fetched.data, **came)
    except MemoryError:
        raise
    except Exception as error:
        logger.exception("%s failed in an unforeseen way", target.product)
        reason = f"{type(error).__name__}: {error}"
        return Obtained(Status.CORRUPT, _bounded(reason), damaged=fetched.data, **came)


def _bounded(reason: str) -> str:
    """A reason on one line, without secrets, cut in its middle where it is too long."""
    text = without_secrets(" ".join(reason.split()))
    if len(text) <= REASON_LENGTH:
        return text
    half = REASON_LENGTH // 2 - 3
    return f"{text[:half]} ... {text[-half:]}"


def source_name(source: str) -> str:
    """URL as it is; of a local path only the file name, so that the store does not depend on where it lay."""
    return source if "://" in source else source.replace("\\", "/").rpartition("/")[2]
