"""Lists of stars that a person gives, and what is no list of stars."""

import pytest
from tiny_sector import product_bytes

from larun.archive.stars import WantedStar, parse_stars, read_stars, together
from larun.errors import InputError


def listed(tmp_path, content, mission="tess"):
    path = tmp_path / "list.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_stars(path, mission)


def test_every_way_to_write_a_star(tmp_path):
    stars = listed(
        tmp_path,
        "\ufeff# bright ones\r\nTIC 261136679\r\ntic38846515\n\n  KIC-11904151  \nEPIC_201367065\n  # more\n"
        "29779873\nKepler-10\nPi   Mensae\n* bet Pic\n",
    )
    assert [(star.mission, star.number) for star in stars] == [
        ("tess", 261136679), ("tess", 38846515), ("kepler", 11904151), ("k2", 201367065), ("tess", 29779873),
        ("", -1), ("", -1), ("", -1),
    ]  # fmt: skip
    assert [star.text for star in stars if not star.is_number] == ["Kepler-10", "Pi Mensae", "* bet Pic"]
    assert str(stars[2]) == "KIC 11904151"
    assert str(WantedStar("Kepler-10", "kepler", 11904151)) == "Kepler-10 (KIC 11904151)"


@pytest.mark.parametrize(("mission", "catalogue"), [("kepler", "KIC"), ("k2", "EPIC"), ("tess", "TIC")])
def test_bare_numbers_are_of_the_mission(tmp_path, mission, catalogue):
    (star,) = listed(tmp_path, "11904151", mission)
    assert str(star) == f"{catalogue} 11904151"
    assert (star,) == parse_stars(["11904151"], mission)


def test_junk_is_named_line_by_line_with_what_is_allowed(tmp_path):
    lines = {
        1: "TIC 1",
        2: "<!DOCTYPE html><html>",
        3: '""',
        5: "TIC",
        6: "KIC abc",
        7: "TIC 0",
        8: "EPIC 123456789012345678901234567890",
        9: "Kepler\x1b[31m-10",
        10: "-5",
        11: "tic1",
        12: "1",
        13: "TIC 261136679, TIC 5",
    }
    text = "\n".join(lines.get(i, "") for i in range(1, 14))
    with pytest.raises(InputError) as error:
        listed(tmp_path, text)
    said = str(error.value)
    assert "line 1 (" not in said
    for number in set(lines) - {1, 13}:
        assert f"line {number} (" in said, number
    assert "and 1 more" in said
    assert "line 1 did" in said
    assert "`KIC 11904151`" in said
    assert "\x1b" not in said


def test_a_long_list_of_junk_makes_a_short_message(tmp_path):
    with pytest.raises(InputError) as error:
        listed(tmp_path, "\n".join(f"<li>{i}{'x' * 500}</li>" for i in range(5000)))
    assert len(str(error.value)) < 1500
    assert "4990 more" in str(error.value)


def test_names_that_occur_twice(tmp_path):
    with pytest.raises(InputError, match=r"line 3 .* again, line 1 did"):
        listed(tmp_path, "Kepler-10\nTIC 1\nKEPLER-10\n")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no star"),
        (b"# only a comment\n\n", "no star"),
        (b"\x89PNG\r\n\x1a\n\x00", "not UTF-8"),
        (b"TIC 1\nTIC \xff\n", "line 2 is not UTF-8"),
        (b"PK\x03\x04rest", "compressed"),
        (b"TIC 1\x00TIC 2", "control characters"),
    ],
)
def test_files_that_are_no_list(tmp_path, content, reason):
    with pytest.raises(InputError, match=reason):
        listed(tmp_path, content)


def test_a_fits_file_given_by_mistake(tmp_path):
    with pytest.raises(InputError, match="FITS file"):
        listed(tmp_path, product_bytes(7))


def test_paths_that_cannot_be_read(tmp_path):
    for path in (tmp_path, tmp_path / "missing", "\0"):
        with pytest.raises(InputError, match="cannot read"):
            read_stars(path)


def test_targets_on_the_command_line_are_judged_alike():
    assert parse_stars(["Kepler-10", "EPIC 201367065"])[1] == WantedStar("EPIC 201367065", "k2", 201367065)
    with pytest.raises(InputError, match=r"target 2 \(''\) is empty"):
        parse_stars(["TIC 1", " "])
    with pytest.raises(InputError, match="no star"):
        parse_stars([])
    with pytest.raises(InputError, match="mission must be"):
        parse_stars(["1"], "hst")


def test_lists_are_put_together_with_each_star_once():
    first, second = parse_stars(["TIC 3", "Kepler-10", "TIC 1"]), parse_stars(["1", "kepler-10", "TIC 2"])
    assert [star.text for star in together(first, second)] == ["TIC 3", "Kepler-10", "TIC 1", "TIC 2"]
