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


@pytest.mark.parametrize(
    ("cloud", "mast", "status", "archive"),
    [
        ([absent("cloud")], [GOOD], "stored", "mast"),
        ([DOWN], [GOOD], "stored", "mast"),
        ([OUT], [GOOD], "stored", "mast"),
        ([REFUSED], [GOOD], "stored", "mast"),
        ([OSError("reset")], [GOOD], "stored", "mast"),
        ([InputError("cloud holds no such product")], [GOOD], "stored", "mast"),
        ([ZeroDivisionError("a bug")], [GOOD], "stored", "mast"),
        ([flipped(TIC)], [GOOD], "stored", "mast"),
        ([absent("cloud")], [absent("mast")], "absent", ""),
        ([absent("cloud")], [DOWN], "unreachable", ""),
        ([DOWN], [absent("mast")], "unreachable", ""),
        ([flipped(TIC)], [absent("mast")], "corrupt", "cloud"),
        ([absent("cloud")], [flipped(TIC)], "corrupt", "mast"),
        ([DOWN], [flipped(TIC)], "corrupt", "mast"),
        ([flipped(TIC)], [OUT], "corrupt", "cloud"),
        ([DOWN], [OUT], "unreachable", ""),
        ([OUT], [DOWN], "unreachable", ""),
    ],
)
def test_status_of_several_archives(cloud, mast, status, archive):
    found = archives(cloud, mast)
    obtained = obtain(found, PRODUCT, TARGET)
    assert (obtained.status, obtained.archive) == (status, archive)
    assert (obtained.checked is None) == (status != "stored")
    assert (obtained.damaged is None) == (status != "corrupt")
    assert asked(found)[1] >= 1
    if status != "stored":
        assert "cloud: " in obtained.reason
        assert "mast: " in obtained.reason


@pytest.mark.parametrize(
    ("cloud", "mast", "error"),
    [
        ([OUT], None, ArchiveOutage),
        ([OUT], [OUT], ArchiveOutage),
        ([absent("cloud")], [OUT], ArchiveOutage),
        ([OUT], [absent("mast")], ArchiveOutage),
        ([REFUSED], [OUT], ArchiveOutage),
        ([REFUSED], [absent("mast")], ArchiveRefused),
    ],
)
def test_no_status_where_no_archive_that_could_have_it_serves(cloud, mast, error):
    with pytest.raises(error):
        obtain(archives(cloud, mast), PRODUCT, TARGET)


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
