"""Published figures of the probabilistic and the deflated Sharpe ratio."""

from __future__ import annotations

import math

import numpy as np
import pytest

from heliograph.backtest.significance import (
    Moments,
    deflated_sharpe,
    expected_maximum,
    moments,
    probabilistic_sharpe,
)
from heliograph.core.errors import ConfigError

DAILY = Moments(n=1250, sharpe=2.5 / math.sqrt(250), skew=-3.0, kurtosis=10.0)


def test_probabilistic_sharpe_gives_the_figures_of_the_2012_paper() -> None:
    assert probabilistic_sharpe(Moments(24, 0.458, -2.448, 10.164)) == pytest.approx(0.91336, abs=5e-6)
    assert probabilistic_sharpe(Moments(24, 0.458, 0.0, 3.0)) == pytest.approx(0.98167, abs=5e-6)


def test_deflated_sharpe_gives_the_figures_of_the_2014_paper() -> None:
    assert math.sqrt(0.5 / 250) * expected_maximum(100) == pytest.approx(0.113172, abs=5e-7)
    assert deflated_sharpe(DAILY, trials=100, trials_variance=0.5 / 250) == pytest.approx(0.900397, abs=5e-7)
    assert deflated_sharpe(DAILY, trials=46, trials_variance=0.5 / 250) == pytest.approx(0.950502, abs=5e-7)
    normal = Moments(DAILY.n, DAILY.sharpe, 0.0, 3.0)
    assert deflated_sharpe(normal, trials=88, trials_variance=0.5 / 250) == pytest.approx(0.950491, abs=5e-7)


def test_one_trial_deflates_nothing_and_more_trials_deflate_more() -> None:
    values = [deflated_sharpe(DAILY, trials=n) for n in (1, 2, 10, 1000)]
    assert values[0] == probabilistic_sharpe(DAILY)
    assert values == sorted(values, reverse=True)


def test_no_trial_at_all_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least 1, not 0"):
        expected_maximum(0)


def test_moments_of_a_long_normal_sample() -> None:
    m = moments(np.random.default_rng(1).normal(0.1, 1.0, 200_000))
    assert (m.sharpe, m.skew, m.kurtosis) == pytest.approx((0.1, 0.0, 3.0), abs=0.03)


@pytest.mark.parametrize("flat", [[], [0.01], [0.0, 0.0, 0.0]])
def test_returns_without_variation_have_no_sharpe(flat: list[float]) -> None:
    m = moments(np.array(flat))
    assert math.isnan(m.sharpe)
    assert math.isnan(probabilistic_sharpe(m))
    assert math.isnan(deflated_sharpe(m, trials=10))
