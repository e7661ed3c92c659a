"""Estimators of variance against their published formulas, written out in numpy."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view
from tests.unit.features.candles import market, recorded
from tests.unit.features.graphs import assert_laws, values

from heliograph.core.market import Candles
from heliograph.features.graph import Series
from heliograph.features.market import BAR_RETURN, HIGH, LOG_CLOSE, LOW, OPEN, SIGMA
from heliograph.features.market import STEPS as MARKET_STEPS
from heliograph.features.ops import spread

MADE = market(600, seed=2, missing=0.03, quiet=0.05)
ALL: dict[str, Series] = {
    "realised": spread.realised(24),
    "bipower": spread.bipower(24),
    "median_variance": spread.median_variance(24),
    "jump_share": spread.jump_share(24),
    "parkinson": spread.range_terms()[0],
    "garman_klass": spread.range_terms()[1],
    "rogers_satchell": spread.range_terms()[2],
    "yang_zhang": spread.yang_zhang(24),
    "garch": spread.garch(spread.realised(24)),
    "drawdown": spread.drawdown(LOG_CLOSE, 45),
    "skewness": spread.realised_moments(24)[0],
    "kurtosis": spread.realised_moments(24)[1],
    "down": spread.powers()[1],
}


def _window(series: np.ndarray, bars: int) -> np.ndarray:
    return sliding_window_view(np.concatenate([np.full(bars - 1, np.nan), series]), bars)


def _yang_zhang(gap: np.ndarray, body: np.ndarray, term: np.ndarray, bars: int) -> np.ndarray:
    k = 0.34 / (1.34 + (bars + 1) / (bars - 1))
    gaps, bodies = (_window(x, bars).var(axis=1, ddof=1) for x in (gap, body))
    found: np.ndarray = gaps + k * bodies + (1 - k) * _window(term, bars).mean(axis=1)
    return found


def _garch(r: np.ndarray, target: np.ndarray) -> np.ndarray:
    found, h = np.full(r.size, np.nan), math.nan
    for t in np.flatnonzero(~np.isnan(target)):
        h = target[t] if math.isnan(h) else h
        h = (1 - 0.0772 - 0.9046) * target[t] + 0.0772 * r[t] ** 2 + 0.9046 * h
        found[t] = h
    return found


def _references(candles: Candles) -> dict[str, np.ndarray]:
    r, sigma, open_, high, low, steps = values([BAR_RETURN, SIGMA, OPEN, HIGH, LOW, MARKET_STEPS], candles).T
    known = np.where(np.isnan(sigma), np.nan, 1.0)
    up, down, body = np.log(high / open_), np.log(low / open_), np.log(candles.close / open_)
    gap = np.log(open_ / np.concatenate([[np.nan], candles.close[:-1]])) / np.sqrt(steps)
    rogers_satchell = (up * (up - body) + down * (down - body)) * known
    w = _window(r, 24)
    square = (w**2).mean(axis=1)
    bipower = math.pi / 2 * (np.abs(w[:, 1:]) * np.abs(w[:, :-1])).mean(axis=1)
    triples = np.median(np.abs(np.stack([w[:, :-2], w[:, 1:-1], w[:, 2:]])), axis=0)
    logs = _window(np.log(candles.close), 45)
    return {
        "realised": square,
        "bipower": bipower,
        "median_variance": math.pi / (6 - 4 * math.sqrt(3) + math.pi) * (triples**2).mean(axis=1),
        "jump_share": 1 - bipower / square,
        "parkinson": (up - down) ** 2 / (4 * math.log(2)) * known,
        "garman_klass": (0.5 * (up - down) ** 2 - (2 * math.log(2) - 1) * body**2) * known,
        "rogers_satchell": rogers_satchell,
        "yang_zhang": _yang_zhang(gap, body, rogers_satchell, 24),
        "garch": _garch(r, square),
        "drawdown": (np.maximum.accumulate(logs, axis=1) - logs).max(axis=1),
        "skewness": math.sqrt(24) * (w**3).sum(axis=1) / (w**2).sum(axis=1) ** 1.5,
        "kurtosis": 24 * (w**4).sum(axis=1) / (w**2).sum(axis=1) ** 2,
        "down": np.where(np.isnan(r), np.nan, np.minimum(r, 0) ** 2),
    }


def _assert_as_published(candles: Candles) -> None:
    expected = _references(candles)
    found = values(list(ALL.values()), candles)
    for k, name in enumerate(ALL):
        np.testing.assert_allclose(found[:, k], expected[name], rtol=1e-10, atol=1e-16, err_msg=name)


def test_estimators_are_as_published() -> None:
    _assert_as_published(MADE)


def test_estimators_are_as_published_on_recorded_candles(shared_data: Path) -> None:
    _assert_as_published(recorded(shared_data, "kraken", "BTC-USDC", "1m").take(slice(0, 3_000)))


def test_agree_however_cut() -> None:
    assert_laws(list(ALL.values()), MADE)


@pytest.mark.parametrize("name", ALL)
def test_lookback_is_exact(name: str) -> None:
    known = np.isfinite(values(ALL[name], market(120, seed=4)))
    assert int(np.argmax(known)) + 1 == ALL[name].node.lookback_bars
    assert known[ALL[name].node.lookback_bars - 1 :].all()


@settings(max_examples=30, deadline=None)
@given(moves=st.lists(st.integers(-3, 3), min_size=40, max_size=80))
def test_drawdown_is_the_largest_fall_to_a_later_value(moves: list[int]) -> None:
    """Whole numbers of one tick: no rounding, so it must be exact."""
    level = 1_000.0 + np.cumsum(moves)
    ts = MADE.open_ts_ms[0] + 3_600_000 * np.arange(level.size)
    candles = Candles(ts, level, level, level, level, np.ones(level.size))
    made = values([spread.drawdown(LOG_CLOSE, 37), LOG_CLOSE], candles)
    last = made[-37:, 1]
    assert made[-1, 0] == max(last[i] - last[j] for i in range(37) for j in range(i, 37))


def test_a_flat_market_has_no_variance_and_ratios_stay_known() -> None:
    still = np.full(200, 7.0)
    candles = Candles(MADE.open_ts_ms[0] + 3_600_000 * np.arange(200), still, still, still, still, np.zeros(200))
    ratio = spread.log_ratio(spread.realised(24), spread.realised(48))
    made = values([*ALL.values(), ratio], candles)[-1]
    assert dict(zip(ALL, made, strict=False)) == {**dict.fromkeys(ALL, 0.0), "kurtosis": 1.0}
    assert made[-1] == 0.0


def test_range_estimators_agree_on_a_random_walk_without_gaps() -> None:
    """A thousand bars of sixty steps each: every estimator finds the variance of the walk, within 10 %."""
    rng = np.random.default_rng(3)
    steps = rng.normal(0, 0.001, (1_000, 600))
    path = np.cumsum(steps.ravel()).reshape(steps.shape)
    begin = np.concatenate([[0.0], path[:-1, -1]])
    top, bottom = np.maximum(path.max(axis=1), begin), np.minimum(path.min(axis=1), begin)
    bars = [100 * np.exp(level) for level in (begin, top, bottom, path[:, -1])]
    columns = [MADE.open_ts_ms[0] + 3_600_000 * np.arange(1_000), *bars, np.ones(1_000)]
    candles = Candles(*columns)
    true = 600 * 0.001**2
    for name in (
        "realised",
        "bipower",
        "median_variance",
        "parkinson",
        "garman_klass",
        "rogers_satchell",
        "yang_zhang",
    ):
        assert np.nanmean(values(ALL[name], candles)) == pytest.approx(true, rel=0.1), name
