import numpy as np
import pytest

from larun.config import SimulateSettings
from larun.simulate import noise
from larun.simulate.instrument import Instrument, correlated_noise
from larun.units import MAD_TO_SIGMA


def scatter_ppm(values):
    """Robust scatter from cadence to cadence, ppm of the median."""
    steps = np.diff(values)
    steps = steps[np.isfinite(steps)]
    return 1e6 * MAD_TO_SIGMA * np.median(np.abs(steps - np.median(steps))) / np.sqrt(2) / np.nanmedian(values)


def test_barycentric_correction_is_that_of_astropy(full):
    from astropy.constants import c
    from astropy.coordinates import get_body_barycentric
    from astropy.time import Time

    time = full.instrument.time[::2000]
    for ra, dec in ((0.0, 0.0), (84.3, -80.5), (211.0, 45.0)):
        a, d = np.radians(ra), np.radians(dec)
        direction = np.array([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)])
        earth = get_body_barycentric("earth", Time(2457000.0, time, format="jd", scale="tdb"), ephemeris="builtin")
        expected = (direction @ earth.xyz.to_value("m")) / c.value / 86400
        assert np.abs(full.instrument.time_correction(ra, dec)[::2000] - expected).max() < 1e-8


def test_gap_dumps_and_bits(full):
    instrument = full.instrument
    assert np.diff(instrument.dumps).min() >= 2.5
    assert np.diff(instrument.dumps).max() <= 3.0
    assert instrument.in_gap.sum() * instrument.exposure_d == pytest.approx(1.13, abs=0.01)
    quality = instrument.quality
    assert np.all(quality[instrument.in_gap] & 8)
    for dump in instrument.dumps:
        near = np.abs(instrument.time - dump) * 1440 < 6
        assert np.all(quality[near] & 32)
    assert 20 < ((quality & 32) != 0).sum() < 90
    assert np.all(instrument.cadence_no == 70444 + np.arange(len(instrument.time)))


def test_scattered_light_is_shared_by_a_ccd_and_marks_the_worst(full):
    states = [full.instrument.camera(camera, ccd) for camera in (1, 2, 3, 4) for ccd in (1, 2, 3, 4)]
    worst = max(states, key=lambda state: state.glare.max())
    marked = (worst.quality & 4096) != 0
    assert 0.001 < marked.mean() < 0.2
    assert worst.glare[marked].min() > worst.glare[~marked].max() * 0.999
    assert full.instrument.camera(1, 1) is states[0]
    assert not np.array_equal(states[0].trends, states[1].trends)


def test_sectors_follow_each_other():
    settings = SimulateSettings(days=27.4)
    one, two = Instrument(settings, 1), Instrument(settings, 2)
    assert two.time[0] > one.time[-1]
    assert two.cadence_no[0] > one.cadence_no[-1]
    assert one.start_d == pytest.approx(1325.29, abs=0.01)


def test_long_cadences_and_short_sectors_work():
    instrument = Instrument(SimulateSettings(days=2.0, cadence_s=7200), 1)
    assert len(instrument.time) == 24
    assert instrument.in_gap.any()
    assert np.isfinite(instrument.camera(1, 1).trends).all()


def test_correlated_noise_has_its_scale():
    values = correlated_noise(np.random.default_rng(1), 200_000, 0.01, 0.08)
    assert values.std() == pytest.approx(1.0, abs=0.03)
    lag = 8
    assert np.mean(values[lag:] * values[:-lag]) == pytest.approx(np.exp(-1), abs=0.04)


def test_noise_by_magnitude_is_that_of_tess():
    hour = noise.event_noise_ppm(np.array([8.0, 10.0, 16.0]), 1.0)
    assert hour[0] == pytest.approx(65, rel=0.3)
    assert hour[1] == pytest.approx(200, rel=0.2)
    assert hour[2] == pytest.approx(1e4, rel=0.35)
    assert np.all(np.diff(noise.cadence_noise_ppm(np.linspace(5.5, 15.5, 40))) > 0)


def test_noise_and_aperture_against_real_stars(real_data):
    from astropy.io import fits

    checked = 0
    for path in sorted((real_data / "fits").glob("tess20*-s_lc.fits")):
        with fits.open(path) as hdus:
            tmag, crowding = hdus[0].header["TESSMAG"], hdus[1].header["CROWDSAP"]
            table = hdus[1].data
            sky = np.nanmedian(table["SAP_BKG"]) / hdus[2].header["NPIXSAP"]
            if crowding < 0.7 or sky > 200:
                continue
            error = 1e6 * np.nanmedian(table["PDCSAP_FLUX_ERR"] / table["PDCSAP_FLUX"])
            assert noise.cadence_noise_ppm(tmag, crowding) == pytest.approx(error, rel=0.25), path.name
            assert noise.aperture_pixels(tmag) == pytest.approx(hdus[2].header["NPIXSAP"], rel=0.5), path.name
            assert noise.aperture_share(tmag) == pytest.approx(hdus[1].header["FLFRCSAP"], rel=0.12), path.name
            checked += 1
    assert checked > 5


def test_scatter_of_quiet_stars_is_that_of_the_formula(full):
    p = full.population
    quiet = np.flatnonzero(p.kind == "quiet")
    ratios = []
    for i in quiet[:25]:
        flux = full.photometry(int(p.target_id[i])).corrected.astype(np.float64)
        ratios.append(scatter_ppm(flux) / noise.cadence_noise_ppm(p.tmag[i], p.crowding[i]))
    assert np.median(ratios) == pytest.approx(1.0, abs=0.04)
    assert np.all(np.abs(np.array(ratios) - 1) < 0.1)


def test_errors_are_the_scatter_and_flux_is_that_of_the_magnitude(full):
    p = full.population
    i = int(np.flatnonzero(p.kind == "quiet")[0])
    photometry = full.photometry(int(p.target_id[i]))
    relative = 1e6 * np.nanmedian(photometry.corrected_err) / np.nanmedian(photometry.corrected)
    assert scatter_ppm(photometry.corrected.astype(float)) == pytest.approx(relative, rel=0.1)
    assert np.nanmedian(photometry.corrected) == pytest.approx(10 ** (-0.4 * (p.tmag[i] - 20.5)), rel=0.01)
    assert np.all(np.isnan(photometry.time) == full.instrument.in_gap)
    assert np.all(np.isnan(photometry.corrected[(photometry.quality & 32) != 0]))


def test_centroid_follows_the_pointing(full):
    p = full.population
    i = int(np.flatnonzero((p.kind == "quiet") & (p.tmag < 10))[0])
    photometry = full.photometry(int(p.target_id[i]))
    good = np.isfinite(photometry.column)
    assert np.corrcoef(photometry.column[good], photometry.shift_column[good])[0, 1] > 0.8
    assert np.nanmedian(photometry.column) == pytest.approx(p.column[i], abs=0.3)


def test_artefact_stars_stand_out(short):
    """Artefact stars hold more power on long time scales than quiet ones, relative to their white noise."""
    p = short.population

    def slow_ppm(i) -> float:
        flux = short.photometry(int(p.target_id[i])).corrected.astype(np.float64)
        bins = [part[np.isfinite(part)].mean() for part in np.array_split(flux, 72) if np.isfinite(part).any()]
        return np.std(bins) / np.median(bins) * 1e6 / noise.cadence_noise_ppm(p.tmag[i]) * np.sqrt(60)

    quiet = [slow_ppm(i) for i in np.flatnonzero(p.kind == "quiet")]
    kinds = ("momentum_ramps", "scattered_light", "discontinuities")
    loud = [slow_ppm(i) for i in np.flatnonzero(np.isin(p.kind, kinds))]
    assert np.median(loud) > 2 * np.median(quiet)
