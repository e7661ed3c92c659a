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
