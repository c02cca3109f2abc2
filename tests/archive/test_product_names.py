import pytest

from larun.archive.decode import decode
from larun.archive.names import parse


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("tess2018206045859-s0001-0000000261136679-0120-s_lc.fits", ("tess", "spoc", 261136679, 1, 120)),
        ("tess2020212050318-s0028-0000000261136679-0190-a_fast-lc.fits", ("tess", "spoc", 261136679, 28, 20)),
        ("hlsp_tess-spoc_tess_phot_0000000038846515-s0012_tess_v1_lc.fits", ("tess", "tess-spoc", 38846515, 12, 1800)),
        ("hlsp_tess-spoc_tess_phot_0000000038846515-s0039_tess_v1_lc.fits", ("tess", "tess-spoc", 38846515, 39, 600)),
        ("hlsp_qlp_tess_ffi_s0069-0000000038846515_tess_v01_llc.fits", ("tess", "qlp", 38846515, 69, 200)),
        (
            "hlsp_tasoc_tess_ffi_tic00261136679-s0001-cam4-ccd2-c1800_tess_v05_cbv-lc.fits",
            ("tess", "tasoc", 261136679, 1, 1800),
        ),
        (
            "hlsp_tasoc_tess_tpf_tic00261136679-s0001-cam4-ccd2-c0120_tess_v05_ens-lc.fits",
            ("tess", "tasoc", 261136679, 1, 120),
        ),
        ("kplr011442793-2010078095331_llc.fits", ("kepler", "kepler", 11442793, 4, 1765)),
        ("kplr011442793-2009201121230_slc.fits", ("kepler", "kepler", 11442793, None, 59)),
        ("ktwo206103150-c03_llc.fits", ("k2", "k2", 206103150, 3, 1765)),
        ("ktwo206103150-c102_llc.fits", ("k2", "k2", 206103150, None, 1765)),
        ("hlsp_k2sc_k2_llc_211099743-c04_kepler_v2_lc.fits", ("k2", "k2sc", 211099743, 4, 1765)),
    ],
)
def test_official_names(name, expected):
    found = parse(name)
    assert (found.mission, found.author, found.target_id, found.sector, found.cadence_s) == expected


@pytest.mark.parametrize(
    "name",
    [
        "tess2018206045859-s0001-0000000261136679-0120-s_tp.fits",
        "tess2018206045859-s0001-0000000261136679-0120-s_lc.fits.gz",
        "kplr011442793-2010078095331_lpd-targ.fits",
        "wasp4.fits",
        "",
    ],
)
def test_other_names(name):
    assert parse(name) is None


def test_names_agree_with_the_headers_of_every_real_file(real_data):
    for path in (real_data / "fits").glob("*.fits"):
        name, curve = parse(path.name), decode(path.read_bytes())
        assert (name.mission, name.author, name.target_id, name.sector, name.cadence_s) == (
            curve.mission,
            curve.author,
            curve.star.target_id,
            curve.sector,
            round(curve.cadence_s),
        )
