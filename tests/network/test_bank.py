"""Reading the bank of labelled light curves."""

import csv

import numpy as np
import pytest
from tiny_sector import product_bytes

from larun.errors import InputError
from larun.network import bank
from larun.schema import CLASSES

COLUMNS = ("source", "target", "label", "period_d", "t0", "duration_h", "bank_index")


def write_bank(folder, rows, curves, name="lc_bank", flux="flux"):
    times, fluxes = zip(*curves, strict=True)
    np.savez(
        folder / f"{name}.npz",
        offset=np.cumsum([0, *map(len, times)]),
        time=np.concatenate(times),
        **{flux: np.concatenate(fluxes).astype(np.float32)},
    )
    with (folder / f"{name}.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def row(index, **changes):
    values = {"source": "made", "target": f"TIC {index}", "label": "noise", "bank_index": index}
    return dict.fromkeys(COLUMNS, "") | values | changes


def days(span, start=1325.0, step=0.02):
    time = start + np.arange(0, span, step)
    return time, np.ones(len(time))


def test_rows_find_their_curves_in_any_order(tmp_path):
    curves = [days(20), days(25, start=1400.0)]
    rows = [row(1, label="planetary_transit", period_d="3.0;7.0", t0="1401;1402", duration_h="2;3"), row(0)]
    write_bank(tmp_path, rows, curves)
    planet, quiet = bank.read_bank(tmp_path)
    assert planet.star == "TIC 1"
    assert CLASSES[planet.label] == "planetary_transit"
    assert planet.time[0] == 1400.0
    assert planet.ephemerides == (bank.Ephemeris(3.0, 1401.0, 2.0), bank.Ephemeris(7.0, 1402.0, 3.0))
    assert quiet.time[0] == 1325.0
    assert quiet.ephemerides == ()
    assert quiet.cadence_d == pytest.approx(0.02)


def test_long_curves_are_cut_into_sectors_and_short_pieces_left_out(tmp_path):
    first, second = days(60), days(10, start=1500.0)
    write_bank(tmp_path, [row(0)], [tuple(np.concatenate(pair) for pair in zip(first, second, strict=True))])
    pieces = bank.read_bank(tmp_path)
    assert [round(np.ptp(piece.time)) for piece in pieces] == [28, 28]
    assert pieces[1].time[0] > pieces[0].time[-1]


def test_missing_and_unsorted_cadences(tmp_path):
    time, flux = days(20)
    flux = np.sin(time)
    flux[5] = np.nan
    write_bank(tmp_path, [row(0)], [(time[::-1], flux[::-1])])
    (curve,) = bank.read_bank(tmp_path)
    assert len(curve.time) == len(time) - 1
    assert (np.diff(curve.time) > 0).all()
    assert curve.flux == pytest.approx(np.sin(curve.time), abs=1e-6)


def test_hosts_have_no_label(tmp_path):
    write_bank(tmp_path, [{"gaia_dr3": "77"}], [days(20)], "ffi_injection_hosts", "nflux")
    (host,) = bank.read_hosts(tmp_path)
    assert host.star == "Gaia DR3 77"
    assert host.label == bank.UNLABELLED
    assert bank.read_hosts(tmp_path / "nowhere") == []


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("TIC 00261136679", "TIC 261136679"),
        ("kplr009726699-2009350155506_llc.fits", "KIC 9726699"),
        ("KIC 11446443", "KIC 11446443"),
        ("ktwo211117077", "EPIC 211117077"),
        ("hlsp_k2sc_k2_llc_211099743-c04_kepler_v2", "EPIC 211099743"),
        ("Gaia DR3 6586335479449639936", "Gaia DR3 6586335479449639936"),
        ("Algol ", "Algol"),
    ],
)
def test_one_name_per_star(text, name):
    assert bank.star_name(text) == name


def test_the_shard_of_a_curve_is_the_curve():
    time, flux = days(20)
    curve = bank.Curve("a", 0, "made", time, flux.astype(np.float32))
    shard = curve.shard(np.stack([curve.flux, 2 * curve.flux]))
    assert len(shard) == 2
    assert np.array_equal(shard.barycentric_time(1), time)
    assert shard.cadence_s == pytest.approx(0.02 * 86400)


def test_an_unknown_label_is_named(tmp_path):
    write_bank(tmp_path, [row(0, label="planet")], [days(20)])
    with pytest.raises(InputError, match="label 'planet'; known are noise"):
        bank.read_bank(tmp_path)


def test_missing_files_columns_and_arrays_are_named(tmp_path):
    with pytest.raises(InputError, match=r"cannot read .*lc_bank\.csv"):
        bank.read_bank(tmp_path)
    write_bank(tmp_path, [{"target": "a"}], [days(20)])
    with pytest.raises(InputError, match=r"missing: \['bank_index', 'label', 'source'"):
        bank.read_bank(tmp_path)
    write_bank(tmp_path, [row(0)], [days(20)])
    np.savez(tmp_path / "lc_bank.npz", time=np.zeros(3))
    with pytest.raises(InputError, match=r"lc_bank\.npz should be an NPZ file with time, flux, offset"):
        bank.read_bank(tmp_path)
    (tmp_path / "lc_bank.npz").write_bytes(b"<html>")
    with pytest.raises(InputError, match=r"lc_bank\.npz should be an NPZ file"):
        bank.read_bank(tmp_path)


def test_the_real_bank_can_be_read(real_data):
    curves = bank.read_bank(real_data)
    labels = np.array([curve.label for curve in curves])
    assert len({curve.star for curve in curves}) > 1000
    assert set(np.unique(labels)) == {0, 1, 2, 3, 4}
    assert all(curve.ephemerides for curve in curves if curve.label == 2)
    assert max(np.ptp(curve.time) for curve in curves) <= bank.SEGMENT_D


def test_files_of_three_kinds_with_a_table_of_labels(tmp_path):
    time, _ = days(20)
    flux = 1000 * (1 + 1e-3 * np.sin(time))
    (tmp_path / "a.csv").write_text("time,flux\n" + "\n".join(f"{t},{f}" for t, f in zip(time, flux, strict=True)))
    np.savez(tmp_path / "b.npz", time=time, flux=flux, quality=np.arange(len(time)) % 2)
    (tmp_path / "c.fits").write_bytes(product_bytes(21))
    (tmp_path / "labels.csv").write_text(
        "file,target,label,period_d,t0,duration_h\na.csv,TIC 7,planetary_transit,3,1326,2\nb.npz,star,noise,,,\n"
        "c.fits,TIC 21,noise,,,\n"
    )
    curves = bank.read_bank(tmp_path)
    assert [(c.star, CLASSES[c.label]) for c in curves[:2]] == [("TIC 7", "planetary_transit"), ("star", "noise")]
    assert curves[0].ephemerides == (bank.Ephemeris(3.0, 1326.0, 2.0),)
    assert curves[0].flux == pytest.approx(flux / np.median(flux), abs=1e-6)
    assert curves[0].origin == tmp_path.name
    assert len(curves[1].time) == len(time), "without a mission no quality bit is bad"
    (tmp_path / "labels.csv").write_text("file,target,label\nnone.csv,TIC 7,noise\n")
    with pytest.raises(InputError, match=r"there is no file .*none\.csv"):
        bank.read_bank(tmp_path)
    (tmp_path / "labels.csv").write_text("file,target,label\na.csv,TIC 7,planet\n")
    with pytest.raises(InputError, match=r"labels\.csv has the label 'planet'"):
        bank.read_bank(tmp_path)
