"""One product from several archives: what is asked again, what is asked elsewhere, and the status in the end."""

import pytest
import xxhash
from scripted import Scripted, absent, flipped, good, planned
from tiny_sector import PRODUCT, file_name

from larun.errors import (
    ArchiveOutage,
    ArchiveRefused,
    InputError,
    ProductCorrupt,
    ProductRejected,
    ProductUnreachable,
)
from larun.survey.obtain import DOWNLOADS, REASON_LENGTH, obtain, source_name

TIC = 11
TARGET = planned(TIC)
GOOD = good(TIC)
HTML = b"<!DOCTYPE html><html>503</html>"


def archives(cloud, mast=None):
    found = [Scripted("cloud", {TIC: cloud})]
    return found + ([Scripted("mast", {TIC: mast})] if mast is not None else [])


def asked(found):
    return [archive.asked[TIC] for archive in found]


def test_the_first_archive_that_delivers_is_the_last_that_is_asked():
    found = archives([GOOD], [GOOD])
    obtained = obtain(found, PRODUCT, TARGET)
    assert (obtained.status, obtained.reason, obtained.archive) == ("stored", "", "cloud")
    assert obtained.checked.star.target_id == obtained.star.target_id == TIC
    assert obtained.xxh128 == xxhash.xxh3_128(GOOD).hexdigest()
    assert obtained.source == f"https://cloud.example/{file_name(TIC)}"
    assert obtained.damaged is None
    assert asked(found) == [1, 0]


@pytest.mark.parametrize("bad", [flipped(TIC), GOOD[:-2880], good(99), HTML, b""])
def test_a_product_that_was_damaged_on_the_way_is_asked_for_again_at_the_same_place(bad):
    found = archives([bad, GOOD], [GOOD])
    obtained = obtain(found, PRODUCT, TARGET)
    assert (obtained.status, obtained.archive) == ("stored", "cloud")
    assert obtained.xxh128 == xxhash.xxh3_128(GOOD).hexdigest()
    assert asked(found) == [2, 0]


def test_two_equal_damaged_downloads_end_it_there():
    found = archives([flipped(TIC), flipped(TIC), GOOD], [GOOD])
    obtained = obtain(found, PRODUCT, TARGET)
    assert (obtained.status, obtained.archive) == ("stored", "mast")
    assert asked(found) == [2, 1]


def test_downloads_that_differ_are_asked_for_so_many_times():
    assert DOWNLOADS == 3
    found = archives([flipped(TIC, bit) for bit in range(9)])
    obtained = obtain(found, PRODUCT, TARGET)
    assert obtained.status == "corrupt"
    assert "checksum" in obtained.reason
    assert obtained.damaged == flipped(TIC, 2)
    assert obtained.xxh128 == xxhash.xxh3_128(flipped(TIC, 2)).hexdigest()
    assert asked(found) == [3]


DOWN = ProductUnreachable("503 six times")
OUT = ArchiveOutage("mast is out of service")
REFUSED = ArchiveRefused("a proxy asks for a password")


ANSWERS = {
    "good": GOOD,
    "damaged": flipped(TIC),
    "web page": HTML,
    "other star": good(99),
    "absent": absent("somewhere"),
    "not held": InputError("no such product here"),
    "down": DOWN,
    "broken": OSError("reset"),
    "bug": ZeroDivisionError("a bug"),
    "out": OUT,
    "refused": REFUSED,
}
"""What an archive may answer: a product, sound or not, or an error."""

SAYS = {
    "good": "stored",
    "damaged": "corrupt",
    "web page": "corrupt",
    "other star": "corrupt",
    "absent": "absent",
    "not held": "absent",
    "down": "unreachable",
    "broken": "unreachable",
    "bug": "unreachable",
}
"""Status of a target of which one archive alone says so."""


@pytest.mark.parametrize("answer", SAYS)
def test_status_of_one_archive(answer):
    obtained = obtain(archives([ANSWERS[answer]]), PRODUCT, TARGET)
    assert obtained.status == SAYS[answer]
    assert not obtained.reason.startswith("cloud: ")


def status_of(*said):
    """Status that follows from what all archives say; None where it is no status but an error."""
    statuses = [SAYS.get(answer) for answer in said]
    if "stored" in statuses:
        return "stored"
    if None in statuses and set(statuses) <= {None, "absent"}:
        return None
    return next(status for status in ("corrupt", "unreachable", "absent") if status in statuses)


@pytest.mark.parametrize("first", ANSWERS)
@pytest.mark.parametrize("second", ANSWERS)
def test_status_of_two_archives(first, second):
    found = archives([ANSWERS[first]], [ANSWERS[second]])
    expected = status_of(first, second)
    if expected is None:
        with pytest.raises(ArchiveOutage if "out" in (first, second) else ArchiveRefused):
            obtain(found, PRODUCT, TARGET)
        return
    obtained = obtain(found, PRODUCT, TARGET)
    assert obtained.status == expected
    delivered = next((name for name, said in (("cloud", first), ("mast", second)) if SAYS.get(said) == expected), "")
    assert obtained.archive == (delivered if expected in ("stored", "corrupt") else "")
    assert (obtained.checked is not None) == (expected == "stored")
    assert (obtained.damaged is not None) == (expected == "corrupt")
    assert bool(obtained.xxh128) == (expected in ("stored", "corrupt"))
    assert (found[1].asked[TIC] == 0) == (first == "good")
    assert bool(obtained.reason) == (expected != "stored")
    if obtained.reason:
        assert obtained.reason.startswith("cloud: ")
        assert "; mast: " in obtained.reason


@pytest.mark.parametrize("error", [OUT, REFUSED])
def test_an_archive_alone_that_does_not_serve_is_no_status_of_a_target(error):
    with pytest.raises(type(error)):
        obtain(archives([error]), PRODUCT, TARGET)


def test_running_out_of_memory_is_raised():
    with pytest.raises(MemoryError):
        obtain(archives([MemoryError()], [GOOD]), PRODUCT, TARGET)


def test_what_a_check_refuses():
    """Damage that a check finds is asked for again; a sound product of no use is not, nowhere."""
    verdicts = iter([ProductCorrupt("its times are not the sector's"), None])

    def damaged_first(curve):
        verdict = next(verdicts)
        if verdict:
            raise verdict
        return len(curve)

    found = archives([GOOD], [GOOD])
    obtained = obtain(found, PRODUCT, TARGET, damaged_first)
    assert (obtained.status, obtained.checked, asked(found)) == ("stored", 48, [2, 0])

    def useless(curve):
        raise ProductRejected("3 good cadences")

    found = archives([GOOD], [GOOD])
    obtained = obtain(found, PRODUCT, TARGET, useless)
    assert (obtained.status, obtained.reason, asked(found)) == ("rejected", "3 good cadences", [1, 0])
    assert obtained.archive == "cloud"
    assert obtained.star.tmag == pytest.approx(9.0 + TIC / 1000)
    assert obtained.damaged is None


def test_reasons_are_bounded_and_carry_no_secret():
    secrets = ProductUnreachable(
        "https://user:hunter2@cloud.example/x?X-Amz-Signature=abcd&list=1&X-Amz-Security-Token=efgh answers\n 503 "
        + "again and " * 400
    )
    obtained = obtain(archives([secrets], [secrets]), PRODUCT, TARGET)
    assert len(obtained.reason) <= REASON_LENGTH
    for secret in ("hunter2", "abcd", "efgh", "\n"):
        assert secret not in obtained.reason
    assert obtained.reason.startswith("cloud: https://cloud.example/x?")
    error = OSError(5, "Input/output error", "/home/somebody/x.fits")
    assert obtain(archives([error]), PRODUCT, TARGET).reason == "OSError: Input/output error"


def test_source_names():
    assert source_name("/data/files/a.fits") == "a.fits"
    assert source_name("a.fits") == "a.fits"
    assert source_name("s3://stpubdata/tess/a.fits") == "s3://stpubdata/tess/a.fits"
