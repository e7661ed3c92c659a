"""Every figure against a calculation by hand or an independent formula."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import numpy as np
import pytest

from heliograph.backtest import metrics
from heliograph.backtest.result import Signals

HOUR_MS = 3_600_000


def test_a_year_has_365_days() -> None:
    assert [metrics.bars_per_year(t) for t in ("1m", "1h", "4h", "1d")] == [525_600, 8_760, 2_190, 365]


def test_sharpe_and_volatility_scale_with_the_root_of_bars_a_year() -> None:
    r = np.array([0.01, -0.02, 0.03, 0.0])
    by_hand = np.mean(r) / math.sqrt(sum((x - np.mean(r)) ** 2 for x in r) / 3)
    assert metrics.sharpe(r, 8_760) == pytest.approx(by_hand * math.sqrt(8_760), rel=1e-12)
    curve = 100 * np.cumprod(np.concatenate([[1.0], 1 + r]))
    assert metrics.of_curve(curve, "1h").volatility == pytest.approx(r.std(ddof=1) * math.sqrt(8_760), rel=1e-9)


def test_sortino_counts_every_bar_in_the_downside() -> None:
    r = np.array([0.02, -0.01, 0.02, -0.03])
    assert metrics.sortino(r, 1.0) == pytest.approx(
        0.0 / 1 if r.mean() == 0 else r.mean() / math.sqrt((1e-4 + 9e-4) / 4)
    )
    assert math.isnan(metrics.sortino(np.array([0.01, 0.02]), 1.0))


def test_drawdown_calmar_and_growth_of_a_known_year() -> None:
    curve = np.full(366, 100.0)
    curve[100:200] = 150.0
    curve[200:300] = 75.0
    curve[300:] = 120.0
    m = metrics.of_curve(curve, "1d")
    assert m.max_drawdown == 0.5
    assert m.cagr == pytest.approx(0.2)
    assert m.calmar == pytest.approx(0.4)
    assert m.total_return == pytest.approx(0.2)


def test_a_flat_curve_has_no_ratio_but_no_error_either() -> None:
    m = metrics.of_curve(np.full(10, 100.0), "1h")
    assert (m.total_return, m.cagr, m.volatility, m.max_drawdown) == (0.0, 0.0, 0.0, 0.0)
    assert all(math.isnan(x) for x in (m.sharpe, m.sortino, m.calmar, m.probabilistic_sharpe))


def test_a_single_point_is_a_curve_too() -> None:
    m = metrics.of_curve(np.array([100.0]), "1h")
    assert m.total_return == 0.0
    assert math.isnan(m.cagr)


def test_months_chain_to_the_whole_and_midnight_ends_its_month() -> None:
    start = int(datetime(2024, 1, 31, 22, tzinfo=UTC).timestamp() * 1000)
    close = start + HOUR_MS * np.arange(5, dtype=np.int64)  # 22, 23, 00, 01, 02
    months = metrics.monthly_returns(close, np.array([100.0, 110.0, 121.0, 121.0, 60.5]))
    assert months == pytest.approx({(2024, 1): 0.21, (2024, 2): -0.5})


def _signals(median: list[float], came: list[float], confidence: list[float]) -> Signals:
    q = np.array(median)[:, None, None] + np.array([-0.01, 0.0, 0.01])
    return Signals((24,), (0.1, 0.5, 0.9), q, np.array(confidence)[:, None], np.array(came)[:, None])


def test_hit_rate_passes_over_what_has_no_sign_or_is_not_known() -> None:
    signals = _signals([1, 1, -1, 1, 0], [0.5, -0.5, -0.1, math.nan, 1.0], [0.6] * 5)
    assert metrics.hit_rate(signals, 24) == pytest.approx(2 / 3)
    assert math.isnan(metrics.hit_rate(_signals([1], [math.nan], [0.5]), 24))


def test_confident_group_comes_last() -> None:
    n = 1_000
    confidence = np.linspace(0.4, 0.9, n)
    hit = np.arange(n) >= n // 2
    signals = _signals([0.001] * n, np.where(hit, 0.01, -0.01).tolist(), confidence.tolist())
    hits, stated = metrics.hit_rate_by_confidence(signals, 24)
    assert hits.tolist() == [0.0] * 5 + [1.0] * 5
    assert np.all(np.diff(stated) > 0)
    assert metrics.hit_rate_by_confidence(_signals([1], [1], [0.5]), 24)[0].size == 0


def test_pit_of_true_quantiles_is_uniform() -> None:
    rng = np.random.default_rng(3)
    came = rng.uniform(-1, 1, 20_000)
    levels = (0.1, 0.5, 0.9)
    q = np.tile(np.array([-0.8, 0.0, 0.8]), (came.size, 1, 1))
    signals = Signals((1,), levels, q, np.full((came.size, 1), 0.5), came[:, None])
    share, expected = metrics.pit_counts(signals, 1)
    assert expected == pytest.approx([0.1, 0.4, 0.4, 0.1])
    assert share == pytest.approx(expected, abs=0.01)
