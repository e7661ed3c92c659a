"""Calibration brings a forecaster that is wrong on purpose to its nominal figures."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest

from heliograph.model import calibrate
from heliograph.model.calibrate import Calibration, Raw

LEVELS = (0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975)
NORMAL = np.array([NormalDist().inv_cdf(p) for p in LEVELS])


def world(num=8_000, seed=0):
    """Returns whose spread depends on something that only the network knows."""
    rng = np.random.default_rng(seed)
    spread = np.exp(0.5 * rng.normal(size=(num, 2)))
    return spread, spread * rng.normal(size=(num, 2))


def raw_of(z, setup=None, direction=None):
    num = z.shape[0]
    return Raw(
        z, np.zeros((num, 2, 3)) if setup is None else setup, np.zeros((num, 2)) if direction is None else direction
    )


def fit(raw, y, base=None, setup=None):
    num = y.shape[0]
    base = np.quantile(y, LEVELS, axis=0).T if base is None else base
    return calibrate.fit(
        raw,
        z_NH=y,
        scale_NH=np.ones((num, 2)),
        setup_NH=np.zeros((num, 2), dtype=np.int64) if setup is None else setup,
        base_HQ=base,
        setup_prior_HC=np.log(np.full((2, 3), 1 / 3)),
        levels=LEVELS,
    )


@pytest.mark.parametrize("factor", [0.5, 1.6])
def test_widths_bring_a_misscaled_cone_to_nominal_coverage(factor):
    spread, y = world(20_000)
    z = factor * spread[..., None] * NORMAL
    widths = calibrate.fit_widths(z, y, LEVELS)
    np.testing.assert_allclose(widths, 1 / factor, rtol=0.05)
    fresh_spread, fresh = world(20_000, seed=1)
    wide = calibrate.widened(factor * fresh_spread[..., None] * NORMAL, widths)
    for k, nominal in enumerate((0.95, 0.8, 0.5)):
        inside = ((fresh >= wide[..., k]) & (fresh <= wide[..., -1 - k])).mean(axis=0)
        np.testing.assert_allclose(inside, nominal, atol=0.012)


def test_trust_in_a_good_network_is_full_and_in_a_harmful_one_is_none():
    spread, y = world()
    assert fit(raw_of(spread[..., None] * NORMAL), y).trust_H == pytest.approx([1.0, 1.0], abs=0.1)
    harmful = fit(raw_of(spread[::-1, :, None] * NORMAL * 2.0), y)
    assert (harmful.trust_H == 0.0).all()
    assert (harmful.width_HK == 1.0).all()


def test_without_trust_the_forecast_is_exactly_the_baseline():
    rng = np.random.default_rng(2)
    base = np.sort(rng.normal(size=(2, 7)), axis=1)
    calibration = Calibration(np.zeros(2), np.ones((2, 3)), np.ones(2), np.ones(2))
    raw = raw_of(np.sort(rng.normal(size=(5, 2, 7)), axis=-1))
    forecast = calibration.apply(raw, base_HQ=base, setup_prior_HC=np.zeros((2, 3)), scale_BH=np.full((5, 2), 0.02))
    np.testing.assert_allclose(forecast.quantile_BHQ, np.broadcast_to(base * 0.02, (5, 2, 7)), rtol=1e-14)


def test_trust_never_loses_to_the_baseline_on_its_own_slice():
    spread, y = world(2_000)
    z = spread[..., None] * NORMAL * 1.3 + 0.2
    base = np.quantile(y, LEVELS, axis=0).T
    trust = fit(raw_of(z), y, base=base).trust_H
    ours = calibrate.pinball(y, calibrate.blended(z, base, trust), LEVELS).mean(axis=0)
    theirs = calibrate.pinball(y, np.broadcast_to(base, z.shape), LEVELS).mean(axis=0)
    assert (ours <= theirs + 1e-12).all()


def test_overconfident_direction_is_cooled_and_a_blind_one_is_silenced():
    rng = np.random.default_rng(4)
    logit = rng.normal(size=(20_000, 2))
    up = rng.random((20_000, 2)) < calibrate.sigmoid(logit)
    slope = calibrate.fit_direction_slope(3.0 * logit, up)
    np.testing.assert_allclose(slope, 1 / 3, atol=0.03)
    blind = calibrate.fit_direction_slope(rng.normal(size=(20_000, 2)), up)
    assert (blind <= 0.05).all()


def test_confidence_is_the_probability_that_the_medians_sign_is_right():
    """The stated confidence of each tenth is its hit rate, whichever way the median points."""
    rng = np.random.default_rng(6)
    logit = rng.normal(size=(40_000, 2))
    y = np.where(rng.random((40_000, 2)) < calibrate.sigmoid(logit), 1.0, -1.0) * np.abs(rng.normal(size=(40_000, 2)))
    z = NORMAL + 0.3 * np.sign(logit)[..., None]
    calibration = fit(raw_of(z, direction=2.0 * logit), y)
    forecast = calibration.apply(
        raw_of(z, direction=2.0 * logit),
        base_HQ=np.quantile(y, LEVELS, axis=0).T,
        setup_prior_HC=np.zeros((2, 3)),
        scale_BH=np.ones((40_000, 2)),
    )
    right = np.sign(forecast.quantile_BHQ[..., 3]) == np.sign(y)
    order = np.argsort(forecast.confidence_BH[:, 0])
    for tenth in np.array_split(order, 10):
        assert forecast.confidence_BH[tenth, 0].mean() == pytest.approx(right[tenth, 0].mean(), abs=0.025)


def test_setup_slope_passes_over_unknown_setups():
    rng = np.random.default_rng(8)
    logit = rng.normal(size=(20_000, 2, 3))
    share = calibrate.softmax(logit)
    drawn = (rng.random((20_000, 2, 1)) > share.cumsum(-1)[..., :2]).sum(-1)
    drawn[:5_000] = -1
    np.testing.assert_allclose(calibrate.fit_setup_slope(2.0 * logit, np.zeros((2, 3)), drawn), 0.5, atol=0.03)


def test_widening_inner_levels_pushes_outer_ones_out():
    z = np.array([[[-2.0, -1.0, 0.0, 1.0, 2.0]]])
    assert calibrate.widened(z, np.array([[1.0, 3.0]])).tolist() == [[[-3.0, -3.0, 0.0, 3.0, 3.0]]]


HOURS = 3_600_000


@pytest.mark.parametrize(("every", "horizon", "share"), [(1, 1, 1.0), (1, 24, 1 / 24), (4, 24, 1 / 6), (24, 4, 1.0)])
def test_overlapping_labels_count_for_what_is_new_in_them(every, horizon, share):
    known = np.arange(0, 2_400, every) * HOURS
    assert calibrate.effective(known, (horizon,), HOURS)[0] == pytest.approx(known.size * share)


def test_ten_markets_count_for_less_than_two():
    one = np.arange(500) * HOURS
    alone, beside = (calibrate.effective(np.repeat(one, n), (1,), HOURS)[0] for n in (1, 10))
    assert alone < beside < 2 * alone
    assert calibrate.effective(one[:1], (1, 4), HOURS).tolist() == [1.0, 1.0]
    assert calibrate.effective(one[:0], (1, 4), HOURS).tolist() == [0.0, 0.0]


def test_shrunk_temperature_lies_between_the_usual_one_and_what_was_measured():
    rng = np.random.default_rng(11)
    logit = rng.normal(size=(5_000, 1))
    up = rng.random((5_000, 1)) < calibrate.sigmoid(0.1 * logit)
    free = calibrate.fit_direction_slope(logit, up)[0]
    told = [calibrate.fit_direction_slope(logit, up, np.array([n]))[0] for n in (1e-9, 10.0, 200.0, 1e9)]
    assert told[0] == pytest.approx(0.8, abs=0.05)
    assert told == sorted(told, reverse=True)
    assert told[-1] == pytest.approx(free, abs=1e-4)


def test_a_harmful_head_is_silenced_and_never_turned_round():
    rng = np.random.default_rng(12)
    logit = rng.normal(size=(5_000, 1))
    assert calibrate.fit_direction_slope(logit, rng.random((5_000, 1)) < calibrate.sigmoid(-logit))[0] == 0.0
    drawn = np.argmin(rng.gumbel(size=(5_000, 1, 3)) + 3 * rng.normal(size=(5_000, 1, 3)), axis=-1)
    against = np.where(np.eye(3)[drawn] > 0, -1.0, 1.0)
    assert calibrate.fit_setup_slope(against, np.zeros((1, 3)), drawn)[0] == 0.0


def test_slope_is_the_minimum_of_the_cross_entropy():
    rng = np.random.default_rng(13)
    logit = rng.normal(size=(3_000, 1, 3))
    drawn = (rng.random((3_000, 1, 1)) > calibrate.softmax(0.6 * logit).cumsum(-1)[..., :2]).sum(-1)
    best = calibrate.fit_setup_slope(logit, np.zeros((1, 3)), drawn)[0]

    def loss(slope):
        share = calibrate.softmax(slope * logit)
        return -np.log(np.take_along_axis(share, drawn[..., None], -1)).mean()

    assert loss(best) <= min(loss(best - 1e-3), loss(best + 1e-3))


def test_separable_signs_end_at_the_steepest_slope():
    logit = np.linspace(-1, 1, 200)[:, None]
    assert calibrate.fit_direction_slope(logit, logit > 0)[0] == pytest.approx(3.0)


def test_no_known_outcome_leaves_the_usual_temperatures():
    nothing = np.full((5, 1), -1)
    assert calibrate.fit_setup_slope(np.zeros((5, 1, 3)), np.zeros((1, 3)), nothing).tolist() == [1.0]
    assert calibrate.fit_direction_slope(np.zeros((0, 1)), np.zeros((0, 1), dtype=bool)).tolist() == [0.8]


@pytest.mark.parametrize("factor", [0.95, 1.0, 1.05])
def test_a_little_misfit_is_left_to_the_tracker(factor):
    spread, y = world(20_000)
    z = factor * spread[..., None] * NORMAL
    assert (calibrate.fit_widths(z, y, LEVELS, np.array([1e3, 1e3])) == 1.0).all()


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_a_great_misfit_is_brought_within_what_passes(factor):
    spread, y = world(20_000)
    z = factor * spread[..., None] * NORMAL
    free = np.log(calibrate.fit_widths(z, y, LEVELS))
    told = np.log(calibrate.fit_widths(z, y, LEVELS, np.array([400.0, 1e12])))
    np.testing.assert_allclose(np.abs(free - told), np.broadcast_to([[0.15], [0.1]], free.shape), atol=1e-5)
    assert (np.sign(told) == np.sign(free)).all()


@pytest.mark.parametrize("shift", [-3.0, -0.4, 0.0, 0.7, 3.0])
def test_quantiles_say_what_they_promise_of_a_rise(shift):
    told = calibrate.probability_up((shift + NORMAL)[None, None], LEVELS)[0, 0]
    assert told == pytest.approx(min(max(NormalDist(shift).cdf(0) * -1 + 1, LEVELS[0]), LEVELS[-1]), abs=0.02)


def test_certain_quantiles_say_certain_things():
    flat = np.array([[[0.01] * 7, [-0.01] * 7, [0.0] * 7]])
    assert calibrate.probability_up(flat, LEVELS)[0].tolist() == pytest.approx([0.975, 0.025, 0.975])


def test_logit_undoes_the_sigmoid():
    x = np.linspace(-10, 10, 41)
    np.testing.assert_allclose(calibrate.logit(calibrate.sigmoid(x)), x, rtol=1e-9, atol=1e-9)
    assert np.isfinite(calibrate.logit(np.array([0.0, 1.0]))).all()


def test_temperatures_leave_little_calibration_error():
    """Half a year of hourly origins, a head that boasts threefold: the fresh calibration error stays below a point."""
    rng = np.random.default_rng(14)
    odds = rng.normal(0, 0.2, size=(2, 20_000, 1))
    up = rng.random(odds.shape) < calibrate.sigmoid(odds)
    slope = calibrate.fit_direction_slope(3 * odds[0], up[0], np.array([6_000.0]))
    stated = calibrate.sigmoid(slope * 3 * odds[1])[:, 0]
    place = np.minimum((stated * 15).astype(int), 14)
    gaps = [abs((stated - up[1, :, 0])[place == k].sum()) for k in range(15)]
    assert sum(gaps) / stated.size <= 0.01
