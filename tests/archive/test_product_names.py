import pytest

from larun.archive.decode import decode
from larun.archive.names import bucket_folder, bucket_key, mast_uri, name_of, parse
from larun.errors import InputError
from larun.paths import Product


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


SPOC = "tess2018206045859-s0001-0000000261136679-0120-s_lc.fits"
FAST = "tess2020212050318-s0028-0000000261136679-0190-a_fast-lc.fits"
TESS_SPOC = "hlsp_tess-spoc_tess_phot_0000000016740101-s0045_tess_v1_lc.fits"
QLP = "hlsp_qlp_tess_ffi_s0011-0000000277554109_tess_v01_llc.fits"

PLACES = [
    (SPOC, f"mast:TESS/product/{SPOC}", f"tess/public/tid/s0001/0000/0002/6113/6679/{SPOC}"),
    (FAST, f"mast:TESS/product/{FAST}", f"tess/public/tid/s0028/0000/0002/6113/6679/{FAST}"),
    (
        TESS_SPOC,
        f"mast:HLSP/tess-spoc/s0045/target/0000/0000/1674/0101/{TESS_SPOC}",
        f"mast/hlsp/tess-spoc/s0045/target/0000/0000/1674/0101/{TESS_SPOC}",
    ),
    (
        QLP,
        f"mast:HLSP/qlp/s0011/0000/0002/7755/4109/{QLP}",
        f"mast/hlsp/qlp/s0011/0000/0002/7755/4109/{QLP}",
    ),
]
"""As lightkurve's tests and other public clients have them."""


@pytest.mark.parametrize(("name", "uri", "key"), PLACES)
def test_where_mast_and_the_bucket_keep_a_file(name, uri, key):
    assert mast_uri(name) == uri
    assert bucket_key(name) == key
    said = parse(name)
    assert key.startswith(f"{bucket_folder(said.author)}s{said.sector:04d}/")


@pytest.mark.parametrize("place", [mast_uri, bucket_key])
@pytest.mark.parametrize("name", ["", "wasp4.fits", "../../etc/passwd", "ktwo206103150-c03_llc.fits"])
def test_no_place_is_made_up_for_other_names(place, name):
    with pytest.raises(InputError, match="no official name of a light curve"):
        place(name)


def test_the_bucket_is_not_known_to_hold_other_pipelines():
    with pytest.raises(InputError, match="spoc, tess-spoc, qlp"):
        bucket_folder("tasoc")


@pytest.mark.parametrize("name", [SPOC, FAST, TESS_SPOC, QLP])
def test_a_name_follows_from_any_other_of_the_sector(name):
    said = parse(name)
    example = name.replace(f"{said.target_id:016d}", f"{77:016d}")
    assert name_of(said.product, said.target_id, example) == name


def test_names_of_real_files_follow_from_one_of_their_sector(real_data):
    names = sorted(path.name for path in (real_data / "fits").glob("tess2018206045859-s0001-*.fits"))
    assert len(names) == 10
    for name in names:
        assert name_of(Product("tess", 1, "spoc", 120), parse(name).target_id, names[0]) == name


@pytest.mark.parametrize("example", ["", FAST, QLP])
def test_a_name_of_another_product_is_no_example(example):
    with pytest.raises(InputError, match=r"TIC 7 in tess/s0001/spoc-120s cannot be told"):
        name_of(Product("tess", 1, "spoc", 120), 7, example)
