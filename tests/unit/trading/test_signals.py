"""From a forecast to a distribution over one horizon."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from tests.unit.trading.makes import LEVELS, LIMITS, forecast

from heliograph.config.settings import RiskSettings
from heliograph.core.errors import ConfigError
from heliograph.trading import signals

EPS = 1e-9


@pytest.mark.parametrize("levels", [LEVELS, (0.1, 0.5, 0.9), (0.5,)])
def test_masses_sum_to_one_and_are_symmetric(levels):
    masses, _ = signals.masses(levels)
    assert math.isclose(math.fsum(masses), 1.0)
    assert all(math.isclose(a, b) for a, b in zip(masses, reversed(masses), strict=True))


def test_tails_are_those_of_an_exponential():
    """The Laplace distribution falls off exponentially: from its quantiles come its mean, its variance and its tail's mean."""
    laplace = tuple(math.copysign(math.log(2 * min(q, 1 - q)), q - 0.5) * 0.01 for q in LEVELS)
    weights, rate = signals.masses(LEVELS)
    nodes, variances = signals.parts(laplace, rate)
    assert math.fsum(w * r for w, r in zip(weights, nodes, strict=True)) == pytest.approx(0.0, abs=1e-15)
    mean_beyond = (weights[0] * nodes[0] + weights[1] * nodes[1]) / LEVELS[0]
    assert mean_beyond == pytest.approx(laplace[0] - 0.01)
    variance = math.fsum(w * (r * r + v) for w, r, v in zip(weights, nodes, variances, strict=True))
    assert variance == pytest.approx(2 * 0.01**2, rel=0.04)


def test_mean_and_spread_are_those_of_the_forecast_distribution():
    signal = signals.read(forecast(0, 0.001, sigma=0.02), LIMITS, 0.0)
    assert signal.expected_return == pytest.approx(0.001 + 0.02**2 / 2, rel=0.03)
    assert signal.spread == pytest.approx(0.02, rel=0.03)


def test_returns_are_simple_not_logarithmic():
    row = forecast(0, 0.0).quantile_HQ[0]
    signal = signals.read(forecast(0, 0.0), LIMITS, 0.0)
    assert signal.returns[2] == pytest.approx(math.expm1((row[0] + row[1]) / 2))
    assert list(signal.returns) == sorted(signal.returns)


def test_certain_forecast_has_no_spread():
    sure = replace(forecast(0, 0.0), quantile_HQ=((0.01,) * len(LEVELS),))
    assert signals.read(sure, LIMITS, 0.0).spread == pytest.approx(0.0, abs=1e-12)


def test_horizon_is_the_one_that_sizes_follow():
    two = replace(forecast(0, 0.01), horizons_bars=(1, 24))
    two = replace(two, quantile_HQ=(two.quantile_HQ[0], forecast(0, -0.05).quantile_HQ[0]), confidence_H=(0.6, 0.9))
    signal = signals.read(two, RiskSettings(horizon_bars=24), 0.0)
    assert signal.expected_return < -0.04
    assert signal.confidence == 0.9
    assert signal.horizons_per_year == 365.0


def test_missing_horizon_is_a_config_error_that_names_the_ones_there_are():
    with pytest.raises(ConfigError, match=r"use one of \(1,\)"):
        signals.read(forecast(0, 0.0), RiskSettings(horizon_bars=24), 0.0)


@pytest.mark.parametrize(("confidence", "abstains"), [(0.5 - EPS, "low_confidence"), (0.5, ""), (0.5 + EPS, "")])
def test_confidence_boundary(confidence, abstains):
    assert signals.read(forecast(0, 0.01, confidence=confidence), LIMITS, 0.0).abstains == abstains


@pytest.mark.parametrize(
    ("factor", "abstains"), [(1 - EPS, ""), (1.0, "edge_below_cost"), (1 + EPS, "edge_below_cost")]
)
@pytest.mark.parametrize("mean", [0.01, -0.01])
def test_edge_must_exceed_the_round_trip(mean, factor, abstains):
    edge = abs(signals.read(forecast(0, mean), LIMITS, 0.0).expected_return)
    one_side_bps = edge / 2 * 1e4
    signal = signals.read(forecast(0, mean), LIMITS, one_side_bps)
    exact = edge * factor / 2 * 1e4 if factor != 1.0 else _bps_that_give(edge, one_side_bps)
    assert signal.round_trip_cost == pytest.approx(edge)
    assert signals.read(forecast(0, mean), LIMITS, exact).abstains == abstains


def _bps_that_give(edge, bps):
    """The figure whose round trip is the edge to the last bit, or the next above."""
    while 2.0 * bps * 1e-4 < edge:
        bps = math.nextafter(bps, math.inf)
    return bps
